"""What all kinds of fuzzed files are made with: a case, a liar, and the mutations that know nothing of a format.

A builder writes a right file field by field, and asks a `Liar` for each field. The liar mostly gives back what it is given,
and now and then something else: an edge of an integer's range, the size of the file, another field's value. Lengths and
checksums that are computed after a lie are right, so that the lie gets past the checks before it. What a liar that told no lie
has built must load, with the values that the builder put in.
"""

import json
import random
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

Item = TypeVar("Item")

TESTS = Path(__file__).resolve().parents[1]
FIXTURES = TESTS / "fixtures" / "checkpoints"
GOLDEN = TESTS / "golden"
RATES = (0.0, 0.003, 0.01, 0.01, 0.03, 0.03, 0.1)  # how often a field is a lie
EDGES = sorted(
    {(1 << bits) + near for bits in (0, 7, 8, 15, 16, 24, 31, 32, 33, 40, 48, 53, 60, 62, 63, 64) for near in (-1, 0, 1)}
    | {0, -1}
)
NAMES = (
    "x", "a/b", "a.b", "", " ", ".", "..", "../x", "/etc/passwd", "a\\b", "C:x", "a\nb", "a\0b", "\x1b[2J", "\u200b", "\u202e",
    "\ufeff", "\U0001f600", "\u00e9", "e\u0301", "x" * 300, "x" * 70_000, "__metadata__", "con",
    "embeddings.word_embeddings.weight",
    "embeddings.position_ids", "adam_m", "global_step", "model", "state_dict",
)  # fmt: skip
CODES = {"float32": "<f4", "float64": "<f8", "float16": "<f2", "int64": "<i8", "int32": "<i4", "uint8": "|u1", "bool": "|b1"}


class Case(NamedTuple):
    """A checkpoint to be tried.

    files     the content of each file by name
    target    the file to be opened; "": the directory
    reader    the reader that is called besides `open_checkpoint`, one of fuzz_judge.READERS
    expected  what must be read, if nothing is wrong with the files; None: not known
    refused   whether they must not load: they are an attack
    """

    files: dict[str, bytes]
    target: str
    reader: str
    expected: dict[str, np.ndarray] | None = None
    refused: bool = False


class Liar:
    """A source of fields, some of them false.

    rng    a generator of random numbers
    rate   the probability of a lie
    told   how many lies were told
    known  numbers that other fields have: good lies
    """

    def __init__(self, rng: random.Random, rate: float | None = None):
        self.rng = rng
        self.rate = rng.choice(RATES) if rate is None else rate
        self.told = 0
        self.known: list[int] = [0, 1]

    def lies(self, factor: float = 1.0) -> bool:
        """Whether to lie now; if so, it counts."""
        lie = self.rng.random() < self.rate * factor
        self.told += lie
        return lie

    def number(self, value: int) -> int:
        """A number, or another."""
        if len(self.known) < 500:
            self.known.append(value)
        return another_number(self.rng, value, self.known) if self.lies() else value

    def pack(self, layout: str, *values: int | bytes) -> bytes:
        """Numbers and texts as struct.pack lays them out; each number may be a lie, cut to its width."""
        parts, order = [], layout[0]
        codes = [code for code in expanded(layout[1:])]
        given = iter(values)
        for code in codes:
            if code == "x":
                parts.append(b"\0")
            elif code.endswith("s"):
                value = next(given)
                parts.append(struct.pack(order + code, self.text(value) if isinstance(value, bytes) else b""))
            else:
                parts.append(packed_number(order + code, self.number(int(next(given)))))
        return b"".join(parts)

    def text(self, content: bytes) -> bytes:
        """Bytes, or others."""
        return blind(self.rng, content, 1) if self.lies() else content

    def pick(self, value: Item, *others: Item) -> Item:
        """A value, or one of the others."""
        return self.rng.choice(others) if self.lies() else value

    def some(self, items: Sequence[Item]) -> list[Item]:
        """Items, or with one of them left out, twice, or moved."""
        items = list(items)
        if items and self.lies():
            place = self.rng.randrange(len(items))
            kind = self.rng.randrange(3)
            item = items[place] if kind == 1 else items.pop(place)
            if kind:
                items.insert(self.rng.randrange(len(items) + 1), item)
        return items


def expanded(layout: str) -> list[str]:
    """The codes of a layout of struct one by one; "4s" is one."""
    codes, count = [], ""
    for code in layout:
        if code.isdigit():
            count += code
            continue
        codes += [count + code] if code == "s" else [code] * int(count or 1)
        count = ""
    return codes


def packed_number(layout: str, value: int) -> bytes:
    """A number in the width of a layout, without its higher bits if it has some."""
    size = struct.calcsize(layout)
    return (value & (1 << 8 * size) - 1).to_bytes(size, "big" if layout[0] == ">" else "little")


def another_number(rng: random.Random, value: int, known: Sequence[int]) -> int:
    """Another number than a value: near it, an edge of a range, or one of those that are known."""
    kind = rng.randrange(6)
    if kind == 0:
        return value + rng.choice((-8, -2, -1, 1, 2, 8))
    if kind == 1:
        return value ^ 1 << rng.randrange(64)
    if kind == 2:
        return rng.choice((value * 2, value // 2, -value, value * 256, value << 32))
    if kind == 3:
        return rng.choice(known) + rng.choice((0, 0, 0, -1, 1))
    return rng.choice(EDGES)


# Blind mutations.


def blind(rng: random.Random, content: bytes, most: int = 4, other: bytes = b"") -> bytes:
    """Bytes with up to `most` mutations that know nothing of their meaning; `other` is what may be spliced in."""
    for _ in range(rng.randint(1, most)):
        content = rng.choice(MUTATIONS)(rng, content, other)
    return content


def cut(rng: random.Random, content: bytes, _: bytes) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def cut_front(rng: random.Random, content: bytes, _: bytes) -> bytes:
    return content[min(len(content), rng.choice((1, 2, 4, 8, rng.randrange(len(content) + 1)))) :]


def flip(rng: random.Random, content: bytes, _: bytes) -> bytes:
    changed = bytearray(content)
    for _time in range(rng.choice((1, 1, 1, 2, 8)) if content else 0):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def put(rng: random.Random, content: bytes, _: bytes) -> bytes:
    place = rng.randrange(len(content) + 1)
    value = bytes([rng.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF, rng.randrange(256)))])
    return content[:place] + value * rng.choice((1, 1, 2, 8)) + content[place + 1 :]


def put_edge(rng: random.Random, content: bytes, _: bytes) -> bytes:
    size = rng.choice((1, 2, 4, 4, 8, 8))
    place = rng.randrange(max(1, len(content) - size + 1))
    place -= rng.choice((0, place % size))
    near = len(content) + rng.choice((-1, 0, 1))
    value = rng.choice((rng.choice(EDGES), near, rng.randrange(len(content) + 1), len(content) - place))
    edge = (value & (1 << 8 * size) - 1).to_bytes(size, rng.choice(("little", "little", "little", "big")))
    return content[:place] + edge + content[place + size :]


def put_word(rng: random.Random, content: bytes, _: bytes) -> bytes:
    size = rng.choice((1, 2, 4, 8, 16, 32))
    first, second = (rng.randrange(max(1, len(content) - size + 1)) for _ in range(2))
    return content[:first] + content[second : second + size] + content[first + size :]


def insert(rng: random.Random, content: bytes, _: bytes) -> bytes:
    place = rng.randrange(len(content) + 1)
    return content[:place] + rng.randbytes(rng.choice((1, 2, 4, 8, 64))) + content[place:]


def delete(rng: random.Random, content: bytes, _: bytes) -> bytes:
    place = rng.randrange(len(content) + 1)
    return content[:place] + content[place + rng.choice((1, 2, 4, 8, 64, 512)) :]


def repeat(rng: random.Random, content: bytes, _: bytes) -> bytes:
    first = rng.randrange(len(content) + 1)
    part = content[first : first + rng.choice((1, 4, 16, 64, 512))]
    return content[:first] + part * rng.choice((2, 2, 3, 20)) + content[first + len(part) :]


def splice(rng: random.Random, content: bytes, other: bytes) -> bytes:
    first, second = rng.randrange(len(content) + 1), rng.randrange(len(other) + 1)
    if rng.random() < 0.5:
        return content[:first] + other[second:]
    part = other[second : second + rng.choice((4, 16, 64, 1024))]
    return content[:first] + part + content[first + rng.choice((0, len(part))) :]


def add(rng: random.Random, content: bytes, other: bytes) -> bytes:
    return content + rng.choice((b"\0", b"\0" * 8, rng.randbytes(22), content, other))


MUTATIONS: tuple[Callable[[random.Random, bytes, bytes], bytes], ...] = (
    cut, cut_front, flip, flip, flip, put, put, put_edge, put_edge, put_edge, put_word, insert, delete, repeat, splice, add,
)  # fmt: skip


# Values and JSON.


def arrays(rng: random.Random, codes: Sequence[str] = tuple(CODES.values()), most: int = 4) -> dict[str, np.ndarray]:
    """A few small arrays with names."""
    found = {}
    for number in range(rng.randint(0, most)):
        name = rng.choice((f"x{number}", f"embeddings.LayerNorm.b{number}", f"a.{number}.weight"))
        shape = [rng.choice((1, 2, 3, 5)) for _ in range(rng.choice((0, 1, 1, 2, 2, 3)))]
        found[name] = array_of(rng, rng.choice(codes), shape)
    return found


def array_of(rng: random.Random, code: str, shape: Sequence[int]) -> np.ndarray:
    """An array of random numbers."""
    count = int(np.prod(shape, dtype=int))
    if code.endswith("b1"):
        return np.frombuffer(bytes(rng.randrange(2) for _ in range(count)), np.bool_).reshape(shape)
    if "f" in code:
        return np.array([rng.gauss(0, 1) for _ in range(count)]).astype(code).reshape(shape)
    return np.frombuffer(rng.randbytes(count * np.dtype(code).itemsize), code).reshape(shape)


def changed_json(rng: random.Random, value: Any, path: int = 0) -> Any:
    """A JSON value with one node changed, or its members in disorder. Duplicates come from `json_text`."""
    if path < 6 and isinstance(value, dict | list) and value and rng.random() < 0.85:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = rng.choice(keys)
        copy = dict(value) if isinstance(value, dict) else list(value)
        kind = rng.random()
        if kind < 0.08:
            del copy[key]
        elif kind < 0.16 and isinstance(copy, dict):
            copy[rng.choice(NAMES)] = copy.pop(key)
        elif kind < 0.24:
            copy[key] = value[rng.choice(keys)]
        elif kind < 0.28 and isinstance(copy, list):
            copy *= rng.choice((2, 70))
        else:
            copy[key] = changed_json(rng, copy[key], path + 1)
        return copy
    return json_value(rng, value)


def json_value(rng: random.Random, value: Any) -> Any:
    """Another value in the place of one."""
    if type(value) is int and rng.random() < 0.7:
        return another_number(rng, value, (value, 4, 8, 24))
    nested: Any = []
    for _ in range(rng.choice((1, 3, 60))):
        nested = rng.choice(([nested], {"a": nested}))
    return rng.choice(
        (None, True, False, 0, -1, -0.0, 1.5, 1e308, 2**63, 2**64, 10**30, 10**5000, "", "F32", "BOOL", "F8_E4M3", [], {}, nested,
         [0, 0], [1] * 65, [2**62, 4], [2**63], [True], [1.0], rng.choice(NAMES), {"dtype": "F32"}, "\ud800", Raw("NaN"))
    )  # fmt: skip


class Raw(str):
    """A text that goes into JSON as it is."""


def json_text(rng: random.Random, value: Any, odd: float) -> bytes:
    """JSON that may repeat keys or hold what is no JSON; `odd` is how often."""
    text = serialised(rng, value, odd).encode("utf-8", "surrogatepass")
    if rng.random() < odd:
        text = rng.choice(
            (
                blind(rng, text, 2),
                b" " + text,
                b"\xef\xbb\xbf" + text,
                text + b"\0",
                text + text,
                text.decode("latin-1").encode("utf-16"),
            )
        )
    return text


def serialised(rng: random.Random, value: Any, odd: float) -> str:
    """Likewise, as a text."""
    if rng.random() < odd / 10:
        return rng.choice(
            ("NaN", "-Infinity", "01", "1e999", "-0", "'x'", '"\\ud800"', '"\\u0000"', "1" * 5000, "[" * 2000, "//")
        )
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        pairs = [f"{json.dumps(k)}:{serialised(rng, v, odd)}" for k, v in value.items()]
        if pairs and rng.random() < odd / 5:
            pairs.append(rng.choice(pairs))
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(serialised(rng, item, odd) for item in value) + "]"
    if type(value) is int and value.bit_length() > 10_000:
        return "1" + "0" * 5000  # Python refuses to write these out
    return json.dumps(value)
