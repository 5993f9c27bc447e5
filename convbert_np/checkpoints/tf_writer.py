"""TensorFlow's checkpoint bundle, written: what tf_bundle.py and tf_table.py read, and TensorFlow's own Saver.

The values lie in one file, in the order of their names; the index is a table of one block of data, or several if it is large.
"""

import os
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from convbert_np.checkpoints.crc32c import crc32c, masked
from convbert_np.checkpoints.tf1_names import to_tf1
from convbert_np.checkpoints.tf_bundle import DTYPES
from convbert_np.checkpoints.tf_table import FOOTER, MAGIC
from convbert_np.files import atomic_write, write_text
from convbert_np.interface.base import ConvBertPreTrainedModel
from convbert_np.interface.models import ConvBertForMaskedLM, ConvBertModel
from convbert_np.interface.pretraining import ConvBertForPreTraining

NUMBERS = {name: number for number, name in DTYPES.items()}
RESTART = 16  # entries between two restart points
BLOCK = 1 << 18  # bytes after which a block is closed
HEADER = bytes([0x08, 1, 0x1A, 2, 0x08, 1])  # one shard, little-endian; version: producer 1


def save_tf1(model: ConvBertPreTrainedModel, path: str | os.PathLike[str]) -> None:
    """Write a model as the original code's checkpoint: `path`, such as "run/model.ckpt", is the beginning of its files' names.

    Of a ConvBertForPreTraining both parts are written, of a ConvBertModel the discriminator, of a ConvBertForMaskedLM the
    generator; the original code (and load_tf_weights_in_convbert of transformers) reads them, and `from_pretrained`. config.json
    and `checkpoint`, which names the bundle, are written beside it. Raises ValueError for another kind of model, OSError.
    """
    parts = {ConvBertForPreTraining: "pretraining", ConvBertModel: "discriminator", ConvBertForMaskedLM: "generator"}
    part = next((part for kind, part in parts.items() if isinstance(model, kind)), None)
    if part is None:
        raise ValueError(f"model: the original code has no variables for the head of a {type(model).__name__}")
    write_tf_bundle(path, to_tf1(model.named_parameters(), part))
    model.config.save_pretrained(Path(path).parent)


def write_tf_bundle(path: str | os.PathLike[str], tensors: Mapping[str, np.ndarray]) -> None:
    """Write arrays by name as a bundle of one shard, with the file `checkpoint` that names it.

    The index, without which there is no bundle, is removed first and written last. Raises TypeError, before anything is written,
    for a type that TensorFlow does not have here.
    """
    path = Path(path)
    for name, value in tensors.items():
        if value.dtype.name not in NUMBERS:
            raise TypeError(f"tensor {name!r} has the dtype {value.dtype}, which a TensorFlow checkpoint cannot hold")
    index = path.with_name(f"{path.name}.index")
    index.unlink(missing_ok=True)
    entries: dict[bytes, bytes] = {b"": HEADER}
    offset = 0
    with atomic_write(path.with_name(f"{path.name}.data-00000-of-00001")) as file:
        for name in sorted(tensors, key=str.encode):
            value = np.asarray(tensors[name])
            data = np.ascontiguousarray(value, value.dtype.newbyteorder("<")).reshape(-1).view(np.uint8)
            file.write(data.data)
            entries[name.encode()] = entry(NUMBERS[value.dtype.name], value.shape, offset, data)
            offset += data.size
    with atomic_write(index) as file:
        file.write(table(entries))
    write_text(path.with_name("checkpoint"), f'model_checkpoint_path: "{path.name}"\nall_model_checkpoint_paths: "{path.name}"\n')


def entry(dtype: int, shape: tuple[int, ...], offset: int, data: np.ndarray) -> bytes:
    """What the index says of one variable; a field that is 0 is left out."""
    axes = b"".join(part(2, number(1, size)) for size in shape)
    crc = struct.pack("<BI", 6 << 3 | 5, masked(crc32c(data)))
    return number(1, dtype) + part(2, axes) + number(4, offset) + number(5, data.size) + crc


def number(field: int, value: int) -> bytes:
    """A field of a message that holds a number; nothing for 0."""
    return varint(field << 3) + varint(value) if value else b""


def part(field: int, content: bytes) -> bytes:
    """A field of a message that holds bytes."""
    return varint(field << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    """A number in groups of seven bits, the lowest first."""
    groups = bytearray()
    while value >= 0x80:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


# The table.


def table(entries: Mapping[bytes, bytes]) -> bytes:
    """A table of keys, which must rise, and values: blocks of data, an empty block, the block of the blocks, the footer."""
    content, handles = bytearray(), {}
    rest = list(entries.items())
    while rest:
        size = taken = 0
        while taken < len(rest) and size < BLOCK:
            size += len(rest[taken][0]) + len(rest[taken][1])
            taken += 1
        last = rest[taken - 1][0]
        handles[last if rest[taken:] else successor(last)] = append_block(content, block(rest[:taken], RESTART))
        rest = rest[taken:]
    empty = append_block(content, block([], RESTART))
    index = append_block(content, block(handles.items(), 1))
    footer = (empty + index).ljust(FOOTER - 8, b"\0") + struct.pack("<Q", MAGIC)
    return bytes(content + footer)


def block(entries: Iterable[tuple[bytes, bytes]], interval: int) -> bytes:
    """Entries one after the other, each without what its key shares with the one before; then the restart points."""
    content, restarts, before = bytearray(), [], b""
    for index, (key, value) in enumerate(entries):
        if index % interval == 0:
            restarts.append(len(content))
            before = b""
        shared = len(common(key, before))
        content += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    restarts = restarts or [0]
    return bytes(content) + struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))


def common(key: bytes, before: bytes) -> bytes:
    """What two keys begin with."""
    pairs = zip(key, before, strict=False)
    return key[: next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(key), len(before)))]


def append_block(content: bytearray, block: bytes) -> bytes:
    """Put a block, that it is not compressed, and the checksum of both behind the others; its handle."""
    handle = varint(len(content)) + varint(len(block))
    content += block + b"\0" + struct.pack("<I", masked(crc32c(block + b"\0")))
    return handle


def successor(key: bytes) -> bytes:
    """A short key that is not below the given one: the first byte that can be, raised by one."""
    for place, byte in enumerate(key):
        if byte != 0xFF:
            return key[:place] + bytes([byte + 1])
    return key
