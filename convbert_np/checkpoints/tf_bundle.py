"""TensorFlow's checkpoint bundle, in which the original ConvBERT was released; read without TensorFlow.

A bundle `model.ckpt-N` is the file `model.ckpt-N.index` and one or more shards `model.ckpt-N.data-00000-of-00001`, and so on.
(A `model.ckpt-N.meta` beside them holds the graph; it is not read.) The index is a table (see tf_table.py). Its empty key holds
the header, every other key is the name of a variable, whose value says what it is and where its numbers lie, in C order:

    header    1 number of shards    2 byte order (0: little, 1: big)    3 version
    entry     1 type    2 shape    3 shard    4 offset    5 size in bytes    6 masked CRC-32C    7 slices (repeated)
    shape     2 axis (repeated): 1 size, 2 name     3 whether the number of axes is unknown

These are messages of protocol buffers (see protobuf.py). A field that is not there is 0 or empty.

The directory of a training run also has a text file `checkpoint`, which names its latest bundle.

Nothing in a file is believed: every number is compared with the sizes of the files before it is used, and no file is opened
but those that the bundle's own name leads to.

Source: the messages of TensorFlow (tensor_bundle.proto, tensor_shape.proto); files that TensorFlow 2.15 wrote.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np

from convbert_np.checkpoints.crc32c import crc32c, masked
from convbert_np.checkpoints.errors import CheckpointError
from convbert_np.checkpoints.protobuf import Message
from convbert_np.checkpoints.stored import BFLOAT16, MOST_AXES, Source, StoredTensor, contiguous
from convbert_np.checkpoints.tf_table import read_table

DTYPES = {
    1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 9: "int64", 10: "bool", 14: BFLOAT16,
    17: "uint16", 19: "float16", 22: "uint32", 23: "uint64",
}  # fmt: skip
OTHER_DTYPES = {7: "string", 8: "complex64", 18: "complex128", 20: "resource", 21: "variant"}
UNREAD = "object"
LARGEST_INDEX = 1 << 20  # the base model's with its optimizer's slots takes 60 KB
LARGEST_STATE = 1 << 16
MOST_SHARDS = 256
LONGEST_NAME = 200  # bytes, of a bundle; the endings of its files come to it
SLOT = re.compile(r"(.*/)?(adam_[mv]|Adam(_[0-9]+)?|global_step|beta[12]_power(_[0-9]+)?)", re.DOTALL)


class Entry(NamedTuple):
    """What the index says of one variable."""

    dtype: int
    shape: tuple[int, ...]
    shard: int
    begin: int
    size: int
    crc: int


def open_tf_bundle(path: str | os.PathLike[str]) -> dict[str, StoredTensor]:
    """The variables of a bundle by name, none of them read yet.

    `path` is the bundle's name (model.ckpt-N), its index, or a directory: there the file `checkpoint` names the bundle, which
    must be in the directory itself; without it the directory must hold one index only. The variables include an optimizer's
    (see `is_slot`). One of a type that has no numbers (string, resource) or complex ones is listed with the dtype "object" and
    raises CheckpointError when it is read. `fetch` checks the variable's CRC-32C, `view` does not.

    Raises FileNotFoundError if there is no such bundle, CheckpointError for one that is damaged, of the other byte order,
    or holds a partitioned variable.
    """
    index = index_of(path)
    table = read_table(index, read_small(index, LARGEST_INDEX))
    shards = number_of_shards(index, table.pop(b"", None))
    entries = {}
    for key in sorted(table, key=is_slice):
        name = name_of(index, key)
        entries[name] = parse_entry(index, name, table[key], shards)
    prefix = str(index).removesuffix(".index")
    used = {entry.shard for entry in entries.values()}
    sources = {shard: open_shard(f"{prefix}.data-{shard:05d}-of-{shards:05d}") for shard in sorted(used)}
    check_layout(sources, entries)
    return {name: stored(sources[entry.shard], name, entry) for name, entry in entries.items()}


def is_slot(name: str) -> bool:
    """Whether a variable belongs to an optimizer: Adam's averages (adam_m, adam_v, Adam, Adam_1), beta powers, global_step."""
    return SLOT.fullmatch(name) is not None


# Files.


def index_of(path: str | os.PathLike[str]) -> Path:
    """The index file of a bundle. Raises FileNotFoundError if there is none."""
    path = Path(path)
    if path.is_dir():
        path = named_in(path)
    index = path if path.name.endswith(".index") else path.with_name(f"{path.name}.index")
    if not index.is_file():
        raise FileNotFoundError(f"{index}: there is no such file, and so no TensorFlow checkpoint {path.name}")
    return index


def named_in(directory: Path) -> Path:
    """The bundle of a directory. TensorFlow writes its path in full if the run was given a full path."""
    state = directory / "checkpoint"
    if not state.is_file():
        found = sorted(path.name for path in directory.glob("*.index"))
        if len(found) != 1:
            raise FileNotFoundError(f"{directory}: has no file named checkpoint that names one of the indexes {found[:9]}")
        return directory / found[0]
    text = read_small(state, LARGEST_STATE)
    match = re.search(rb'^[ \t]*model_checkpoint_path[ \t]*:[ \t]*"([^"\n]*)"', text, re.MULTILINE)
    if match is None:
        raise CheckpointError(state, 'has no line of the form model_checkpoint_path: "model.ckpt-1"')
    name = match[1].decode("utf-8", "replace").removeprefix(f"{directory.absolute()}{os.sep}")
    if not name.isprintable() or name in ("", ".", "..") or {*name} & {*"/\\:\ufffd"} or len(match[1]) > LONGEST_NAME:
        reason = f"names {name!r:.200}, which is not the plain name of a checkpoint in this directory; only that is followed"
        raise CheckpointError(state, f"{reason}. Give the path of the checkpoint itself")
    return directory / name


def read_small(path: Path, most: int) -> bytes:
    """The bytes of a file of at most so many."""
    source = Source(path)
    if source.size > most:
        raise CheckpointError(path, f"has {source.size} bytes; no such file has more than {most}")
    return source.read(0, source.size).tobytes()


def open_shard(path: str) -> Source:
    """A file of numbers, whose existence the index promised."""
    if not Path(path).is_file():
        raise CheckpointError(path, "there is no such file, though the index of the checkpoint names it")
    return Source(path)


# What the index says.


def number_of_shards(path: Path, header: bytes | None) -> int:
    """The number of shards, from the header."""
    if header is None:
        raise CheckpointError(path, "has no header (the value of the empty key): this is no index of a TensorFlow checkpoint")
    fields = Message(path, None, header)
    shards = fields.number(1)
    if fields.number(2) != 0:
        raise CheckpointError(path, "its numbers are big-endian; only little-endian ones are read")
    if not 0 < shards <= MOST_SHARDS:
        raise CheckpointError(path, f"{shards} shards are not between 1 and {MOST_SHARDS}")
    return shards


def is_slice(key: bytes) -> bool:
    """Whether a key is that of a slice of a partitioned variable, which has a key of its own besides."""
    return key.startswith(b"\0")


def name_of(path: Path, key: bytes) -> str:
    """A key as a name."""
    if is_slice(key):
        raise CheckpointError(path, f"holds a slice of a partitioned variable ({key!r:.200}), which is not read")
    try:
        name = key.decode()
    except UnicodeDecodeError:
        raise CheckpointError(path, f"the name {key!r:.200} is not UTF-8") from None
    if not name.isprintable():
        raise CheckpointError(path, f"the name {name!r:.200} cannot be printed")
    return name


def parse_entry(path: Path, name: str, content: bytes, shards: int) -> Entry:
    """One variable's entry, checked by itself."""
    fields = Message(path, name, content, repeated=(7,))
    if fields.parts(7):
        raise CheckpointError(path, "is partitioned (stored in slices), which is not read", name)
    shape = parse_shape(path, name, fields.part(2))
    entry = Entry(fields.number(1), shape, fields.number(3), fields.number(4), fields.number(5), fields.word(6))
    if entry.shard >= shards:
        raise CheckpointError(path, f"lies in shard {entry.shard}, but there are {shards}, numbered from 0", name)
    if entry.dtype in DTYPES:
        needed = prod(shape) * item_size(entry.dtype)
        if needed != entry.size:
            raise CheckpointError(path, f"{DTYPES[entry.dtype]} {shape!r:.80} needs {needed} bytes, not {entry.size}", name)
    elif prod(shape) > entry.size:
        raise CheckpointError(path, f"{prod(shape)} values cannot lie in {entry.size} bytes", name)
    return entry


def parse_shape(path: Path, name: str, content: bytes) -> tuple[int, ...]:
    """A variable's shape."""
    fields = Message(path, name, content, repeated=(2,))
    axes = fields.parts(2)
    if fields.number(3) or len(axes) > MOST_AXES:
        raise CheckpointError(path, f"its shape is not one of at most {MOST_AXES} axes", name)
    return tuple(Message(path, name, axis).number(1) for axis in axes)


def item_size(dtype: int) -> int:
    """The bytes of one number."""
    return 2 if DTYPES[dtype] == BFLOAT16 else np.dtype(DTYPES[dtype]).itemsize


# The variables.


def check_layout(sources: Mapping[int, Source], entries: Mapping[str, Entry]) -> None:
    """Check that the variables lie within their shards, and that no two overlap."""
    ends = dict.fromkeys(sources, 0)
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].shard, item[1].begin, item[1].size)):
        source, end = sources[entry.shard], entry.begin + entry.size
        if end > source.size:
            raise CheckpointError(source.path, f"ends at byte {end}, after the file's {source.size} bytes", name)
        if entry.begin < ends[entry.shard]:
            raise CheckpointError(source.path, f"begins at byte {entry.begin}, within another variable", name)
        ends[entry.shard] = end


def stored(source: Source, name: str, entry: Entry) -> StoredTensor:
    """A variable; its checksum is compared when it is fetched."""
    if entry.dtype not in DTYPES:
        refuse = refusal(source, name, entry.dtype)
        return StoredTensor(source.path, name, UNREAD, entry.shape, refuse, refuse)
    tensor = contiguous(source, name, DTYPES[entry.dtype], entry.shape, entry.begin)

    def fetch() -> np.ndarray:
        values = tensor.fetch()
        if masked(crc32c(values.reshape(-1).view(np.uint8))) != entry.crc:
            raise CheckpointError(source.path, "its values do not match their checksum: the file is damaged", name)
        return values

    return replace(tensor, fetch=fetch)


def refusal(source: Source, name: str, dtype: int) -> Callable[[], np.ndarray]:
    """What to call to read a variable that cannot be read."""

    def refuse() -> NoReturn:
        kind = OTHER_DTYPES.get(dtype, f"number {dtype}")
        raise CheckpointError(source.path, f"is of TensorFlow's type {kind}, which is not read", name)

    return refuse
