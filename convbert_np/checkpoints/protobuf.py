"""Messages of protocol buffers, as far as TensorFlow's checkpoints need them.

A message is a row of fields in any order. A field is a key, which is a varint (its number * 8 + its kind), and a value, of the
kind 0: a varint; 1: 8 bytes; 2: a length, which is a varint, and so many bytes, of a message or a text; 5: 4 bytes.

A varint is a number in groups of 7 bits, the lowest first; every byte but the last has its highest bit set.

Source: the encoding of protocol buffers; files that TensorFlow 2.15 wrote.
"""

import os
from collections.abc import Iterable
from typing import Any, NoReturn

from convbert_np.checkpoints.errors import CheckpointError

VARINT, BYTES, WORD = 0, 2, 5
FIXED = {1: 8, WORD: 4}
LONGEST_VARINT = 10
MOST_FIELDS = 1000
Path = str | os.PathLike[str]


class Message:
    """The fields of a message of protocol buffers, at most MOST_FIELDS. A field may be there once, unless it is `repeated`.

    `path` and `tensor` are for the error, CheckpointError.
    """

    def __init__(self, path: Path, tensor: str | None, content: bytes, repeated: Iterable[int] = ()):
        self.path, self.tensor, self.content = path, tensor, content
        self.fields: dict[int, list[tuple[int, Any]]] = {}
        place = number = 0
        while place < len(content):
            number += 1
            if number > MOST_FIELDS:
                self.refuse(f"a message has more than {MOST_FIELDS} fields")
            key, place = varint(path, content, place)
            value, place = self.value(key % 8, place)
            found = self.fields.setdefault(key // 8, [])
            if found and key // 8 not in repeated:
                self.refuse(f"the field {key // 8} of a message is there twice")
            found.append((key % 8, value))

    def value(self, kind: int, place: int) -> tuple[int | bytes, int]:
        """The value of a field that begins at a place, and the place behind it."""
        if kind == VARINT:
            return varint(self.path, self.content, place)
        if kind != BYTES and kind not in FIXED:
            self.refuse(f"a field of a message is of the kind {kind}")
        size = FIXED.get(kind, 0)
        if kind == BYTES:
            size, place = varint(self.path, self.content, place)
        if place + size > len(self.content):
            self.refuse(f"a field of {size} bytes does not fit into its message of {len(self.content)}")
        return self.content[place : place + size], place + size

    def number(self, field: int) -> int:
        """The whole number of a field, not negative; 0 if it is absent."""
        number = self.one(field, VARINT, 0)
        if number >> 63:
            self.refuse(f"the field {field} of a message is negative")
        return number

    def word(self, field: int) -> int:
        """The four bytes of a field as a number; 0 if it is absent."""
        return int.from_bytes(self.one(field, WORD, b""), "little")

    def part(self, field: int) -> bytes:
        """The bytes of a field; none if it is absent."""
        return self.one(field, BYTES, b"")

    def parts(self, field: int) -> list[bytes]:
        """The bytes of each of the fields of this number."""
        return [self.of_kind(field, BYTES, pair) for pair in self.fields.get(field, [])]

    def one(self, field: int, kind: int, absent: Any) -> Any:
        """The value of a field, which must be of a kind."""
        found = self.fields.get(field)
        return self.of_kind(field, kind, found[0]) if found else absent

    def of_kind(self, field: int, kind: int, pair: tuple[int, Any]) -> Any:
        """A field's value, if it is of the kind that it must be."""
        if pair[0] != kind:
            self.refuse(f"the field {field} of a message is of the kind {pair[0]}, not {kind}")
        return pair[1]

    def refuse(self, reason: str) -> NoReturn:
        """Raise CheckpointError."""
        raise CheckpointError(self.path, reason, self.tensor)


def varint(path: Path, content: bytes, place: int) -> tuple[int, int]:
    """The number that begins at a place, below 2^64, and the place behind it."""
    number = 0
    for shift, byte in enumerate(content[place : place + LONGEST_VARINT]):
        number |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            if number >> 64:
                break
            return number, place + shift + 1
    raise CheckpointError(path, f"no number of at most {LONGEST_VARINT} bytes, below 2^64, stands at byte {place} of its part")
