"""The safetensors format, read without copying and written in the layout of the official library.

A file is: the length n of the header, 8 bytes, little-endian; the header, n bytes of UTF-8 JSON that begin
with "{" and may end with spaces; the values of all tensors, little-endian, in C order. The header maps each
tensor's name to its "dtype", its "shape" and its "data_offsets" [begin, end) counted from the end of the
header, and "__metadata__" to a dict from string to string. The tensors cover the rest of the file without gap
or overlap.

Nothing in a file is believed: every number is compared with the size of the file before it is used.

Source: the format description and the behaviour of the safetensors library (0.8.0).
"""

import json
import os
import struct
from collections.abc import Mapping
from math import prod
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from convbert_np.checkpoints.errors import CheckpointError, shown
from convbert_np.checkpoints.stored import BFLOAT16, MOST_AXES, Source, StoredTensor, contiguous, itemsize
from convbert_np.checkpoints.strict_json import LONGEST_JSON, parse_json
from convbert_np.files import atomic_write

DTYPES = {  # in the order in which the official library lays out a file; NumPy's names, save bfloat16
    "U64": "uint64",
    "I64": "int64",
    "F64": "float64",
    "C64": "complex64",
    "F32": "float32",
    "U32": "uint32",
    "I32": "int32",
    "BF16": BFLOAT16,
    "F16": "float16",
    "U16": "uint16",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
RANKS = {name: rank for rank, name in enumerate(DTYPES)}
LENGTH = struct.Struct("<Q")
METADATA = "__metadata__"


class Entry(NamedTuple):
    """One tensor of a header: its type ("F32", ...), its shape, and where its bytes lie after the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


class Header(NamedTuple):
    """A whole header: the tensors in the file's order, the metadata, and the offset of the first value."""

    tensors: dict[str, Entry]
    metadata: dict[str, str]
    start: int


def open_safetensors(path: str | os.PathLike[str]) -> dict[str, StoredTensor]:
    """The tensors of a file, none of whose values is read before it is asked for.

    The file stays open while one of them lives, and must not be changed in place meanwhile (`write_safetensors`
    replaces it, which is safe). Raises CheckpointError for a file that is not a valid safetensors file, OSError for one that
    cannot be opened.
    """
    source = Source(path)
    header = parse_header(source)
    return {
        name: contiguous(source, name, DTYPES[entry.dtype], entry.shape, header.start + entry.begin)
        for name, entry in header.tensors.items()
    }


def read_safetensors(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Every tensor of a file as a read-only view of the memory-mapped file; BF16, which NumPy lacks, as a float32 copy.

    Errors as in `open_safetensors`.
    """
    return {name: tensor.array() for name, tensor in open_safetensors(path).items()}


def read_header(path: str | os.PathLike[str]) -> Header:
    """Read and check the names, types, shapes and places of a file's tensors, and its metadata; no values.

    Errors as in `open_safetensors`.
    """
    return parse_header(Source(path))


def write_safetensors(
    path: str | os.PathLike[str],
    tensors: Mapping[str, np.ndarray | StoredTensor],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write tensors by name; the file appears whole or not at all. Those of another file are copied one at a time.

    The bytes are those of the official library: tensors sorted by type (U64, I64, F64, ... BOOL) and then by
    name, the header padded with spaces to a multiple of 8, so that every value is aligned. Raises TypeError,
    before anything is written, for a name or metadata that is not a string, and for a value of a type that is not in DTYPES.
    """
    types = {name: type_name(name, tensor) for name, tensor in tensors.items()}
    names = sorted(tensors, key=lambda name: (RANKS[types[name]], name))
    header: dict[str, Any] = {} if metadata is None else {METADATA: check_strings(metadata)}
    end = 0
    for name in names:
        begin, end = end, end + tensors[name].nbytes
        shape = list(tensors[name].shape)
        header[name] = {"dtype": types[name], "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    with atomic_write(path) as file:
        file.write(LENGTH.pack(len(text)) + text)
        for name in names:
            tensor = tensors[name]
            array = tensor.view() if isinstance(tensor, StoredTensor) else tensor
            little = array.dtype.newbyteorder("<")
            file.write(np.ascontiguousarray(array, dtype=little).reshape(-1).view(np.uint8).data)


def parse_header(source: Source) -> Header:
    """Read the header of an open file and check it against the size of the file."""
    path, size = source.path, source.size
    if size < LENGTH.size:
        raise CheckpointError(path, f"{size} bytes are too few for a safetensors file")
    (length,) = LENGTH.unpack(source.read(0, LENGTH.size).tobytes())
    if length > size - LENGTH.size:
        raise CheckpointError(path, f"the header's length {length} does not fit into the file's {size} bytes")
    if length > LONGEST_JSON:  # before it is read
        raise CheckpointError(path, f"the header of {length} bytes is longer than {LONGEST_JSON:,}: no model has so many tensors")
    content = parse_json(path, source.read(LENGTH.size, LENGTH.size + length).tobytes(), "the header")
    metadata = content.pop(METADATA, {})
    if not is_string_dict(metadata):
        raise CheckpointError(path, f"{METADATA} is not a dict from string to string")
    tensors = {name: parse_entry(path, name, value) for name, value in content.items()}
    start = LENGTH.size + length
    check_layout(path, tensors, size - start)
    return Header(tensors, metadata, start)


def parse_entry(path: str | os.PathLike[str], name: str, value: Any) -> Entry:
    """Check one tensor's entry by itself: its fields, and that its extent is what its type and shape need."""
    if not isinstance(value, dict):
        raise CheckpointError(path, "its entry is not a dict", name)
    dtype, shape, offsets = value.get("dtype"), value.get("shape"), value.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise CheckpointError(path, f"the dtype {shown(dtype, 80)} is unknown", name)
    if not is_sizes(shape) or len(shape) > MOST_AXES:
        raise CheckpointError(path, f"{shown(shape, 80)} is no shape of at most {MOST_AXES} axes", name)
    if not is_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise CheckpointError(path, f"data_offsets {shown(offsets, 80)} are not [begin, end]", name)
    needed = prod(shape) * itemsize(DTYPES[dtype])
    if needed != offsets[1] - offsets[0]:
        reason = f"{dtype} {shape!r:.80} needs {needed!r:.40} bytes, not data_offsets {offsets}"
        raise CheckpointError(path, reason, name)
    return Entry(dtype, tuple(shape), *offsets)


def is_sizes(value: Any) -> TypeGuard[list[int]]:
    """Whether the value is a list of integers in [0, 2^63)."""
    return isinstance(value, list) and all(type(size) is int and 0 <= size < 2**63 for size in value)


def check_layout(path: str | os.PathLike[str], tensors: Mapping[str, Entry], size: int) -> None:
    """Check that the tensors cover the `size` bytes after the header, each byte once."""
    covered = 0
    for name, entry in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        extent = f"data_offsets [{entry.begin}, {entry.end}]"
        if entry.begin != covered:
            fault = "leave a gap after" if entry.begin > covered else "overlap the tensors before"
            raise CheckpointError(path, f"{extent} {fault} byte {covered}", name)
        if entry.end > size:
            raise CheckpointError(path, f"{extent} exceed the {size} bytes there are", name)
        covered = entry.end
    if covered != size:
        raise CheckpointError(path, f"{size - covered} bytes at the end belong to no tensor")


def type_name(name: object, tensor: object) -> str:
    """The format's name for a tensor's type; TypeError if the tensor's name or type is impossible."""
    if not isinstance(name, str) or name == METADATA:
        raise TypeError(f"a tensor's name must be a string other than {METADATA}, not {name!r}")
    check_strings({name: ""})
    if not isinstance(tensor, np.ndarray | StoredTensor):
        raise TypeError(f"tensor {name!r} must be a NumPy array, not {type(tensor).__name__}")
    found = NAMES.get(tensor.dtype if isinstance(tensor, StoredTensor) else tensor.dtype.name)
    if found is None:
        raise TypeError(f"tensor {name!r} has the dtype {tensor.dtype}, which safetensors cannot hold")
    return found


def is_string_dict(value: Any) -> bool:
    """Whether the value is a dict from string to string."""
    return isinstance(value, dict) and all(isinstance(text, str) for pair in value.items() for text in pair)


def check_strings(metadata: Mapping[str, str]) -> dict[str, str]:
    """A dict of the metadata; TypeError if a key or a value is not a string of Unicode characters."""
    metadata = dict(metadata)
    if not is_string_dict(metadata):
        raise TypeError(f"metadata must map strings to strings, not {metadata!r:.200}")
    try:
        "".join([*metadata, *metadata.values()]).encode("utf-8")
    except UnicodeEncodeError as error:
        raise TypeError(f"names and metadata must be Unicode text: {error}") from None
    return metadata
