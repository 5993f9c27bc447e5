"""HDF5 files of plain arrays, as Keras writes tf_model.h5, read without the HDF5 library.

hdf5_format.py and hdf5_groups.py describe the structures that lead from the start of the file to each dataset. A dataset's
own header says all that is needed: the dataspace message its shape; the datatype message its type, spelt out bit by bit (where
sign, exponent and mantissa lie); the layout message where the values are, in C order:

    compact      in the message itself
    contiguous   at an address; an undefined one if no value was ever written: all values are the fill value
    chunked      in pieces, each perhaps compressed, which a B-tree finds; not read, and Keras does not write it

A path of names from the root, "convbert/tf_conv_bert_model/.../kernel:0", is the tensor's name. What is not read (chunks,
compression, external and virtual storage, soft and external links, committed types, types other than little-endian numbers)
is an error that names it; nothing is left out in silence, except attributes, which are not tensors.

Source: the HDF5 File Format Specification, version 3.0 (The HDF Group), and files written by h5py 3.16 and Keras 2.15.
"""

import os
import struct
from math import prod
from typing import NamedTuple

import numpy as np

from convbert_np.checkpoints.hdf5_format import (
    BYTES,
    DATASPACE,
    DATATYPE,
    EXTERNAL,
    FILL,
    FILL_OLD,
    FILTERS,
    LAYOUT,
    LONGEST_NAME,
    PAIR,
    SIZES,
    UNDEFINED,
    Message,
    Metadata,
    messages,
    root_address,
    single,
)
from convbert_np.checkpoints.hdf5_groups import is_group, links
from convbert_np.checkpoints.stored import Source, StoredTensor, contiguous

MOST_AXES = 32  # the format's limit
DEEPEST = 32
CLASSES = (
    "integers", "floating-point numbers", "times", "strings", "bit fields", "opaque bytes", "compounds", "references",
    "enumerations (h5py's booleans)", "variable-length sequences or strings", "arrays", "complex numbers",
)  # fmt: skip
COMPACT, CONTIGUOUS, CHUNKED, VIRTUAL = range(4)
REWRITE = "save the file again with h5py, contiguous"


def integer(size: int, signed: bool) -> bytes:
    """The datatype message of little-endian integers."""
    return struct.pack("<BBxxIHH", 0, 8 if signed else 0, size, 0, 8 * size)


def floating(size: int, exponent: int, mantissa: int) -> bytes:
    """The datatype message of little-endian IEEE numbers with so many bits of exponent and mantissa."""
    sign, bias = 8 * size - 1, 2 ** (exponent - 1) - 1
    return struct.pack("<BBBxIHHBBBBI", 1, 0x20, sign, size, 0, 8 * size, mantissa, exponent, 0, mantissa, bias)


DTYPES = {
    **{integer(size, signed): f"{'' if signed else 'u'}int{8 * size}" for size in (1, 2, 4, 8) for signed in (True, False)},
    floating(2, 5, 10): "float16",
    floating(4, 8, 23): "float32",
    floating(8, 11, 52): "float64",
}


class Dataset(NamedTuple):
    """Type, shape, number of bytes, and address of the values; None where all values are zero and none is stored."""

    dtype: str
    shape: tuple[int, ...]
    size: int
    begin: int | None


def open_hdf5(path: str | os.PathLike[str]) -> dict[str, StoredTensor]:
    """Every dataset of a file by its path, "group/subgroup/dataset"; no value is read.

    Raises CheckpointError for a file that is not HDF5, is damaged, or uses what is not read; OSError for one that cannot be
    opened.
    """
    source = Source(path)
    file = Metadata(source)
    datasets: dict[int, Dataset] = {}  # by address: one dataset may have several names
    named: dict[str, int] = {}
    pending = [("", root_address(file))]
    while pending:
        name, address = pending.pop()
        file.place = name or None
        if address not in datasets:
            found = messages(file, address)
            if is_group(found):
                pending.extend(reversed(members(file, name, found)))
                continue
            datasets[address] = dataset(file, found)
        named[name] = address
    if "" in named:
        raise file.error("its root is no group")
    check_apart(file, named, datasets)
    return {name: stored(source, name, datasets[address]) for name, address in named.items()}


def members(file: Metadata, group: str, found: list[Message]) -> list[tuple[str, int]]:
    """The path and address of every member of a group. Raises CheckpointError for one that is too deep or too long."""
    paths = [(f"{group}/{name}" if group else name, address) for name, address in links(file, found).items()]
    for path, _ in paths:
        if path.count("/") >= DEEPEST or len(path) > LONGEST_NAME:
            raise file.error(f"has a member below {DEEPEST} groups, or with a path of more than {LONGEST_NAME} characters")
    return paths


def dataset(file: Metadata, found: list[Message]) -> Dataset:
    """A dataset from the messages of its header. Raises CheckpointError if it is not one that can be read."""
    parts = [
        single(file, found, kind, what) for kind, what in ((DATASPACE, "a shape"), (DATATYPE, "a type"), (LAYOUT, "a layout"))
    ]
    if parts[0] is None or parts[1] is None or parts[2] is None:
        kind = "a committed datatype" if parts[1] else "an object that is no group and no dataset"
        raise file.error(f"is {kind}, which is not read")
    if single(file, found, FILTERS, "filters"):
        raise file.error(f"is compressed or otherwise filtered; {REWRITE} and without compression")
    if single(file, found, EXTERNAL, "external files"):
        raise file.error(f"keeps its values in other files, which are not read; {REWRITE}")
    shape, dtype = shape_of(file, parts[0]), dtype_of(file, parts[1])
    size = prod(shape) * np.dtype(dtype).itemsize
    if size > file.end:
        raise file.error(f"{dtype} {shape!r:.80} needs {size!r:.40} bytes, more than the file's {file.end}")
    begin = begin_of(file, parts[2], size)
    fills = [single(file, found, kind, "a fill value") for kind in (FILL, FILL_OLD)]
    if begin is None and not all(is_zero(file, fill) for fill in fills):
        raise file.error("was never written and has a fill value other than zero, which is not read; write its values")
    return Dataset(dtype, shape, size, begin)


def shape_of(file: Metadata, message: Message) -> tuple[int, ...]:
    """The shape in a dataspace message."""
    version, axes = file.fields(BYTES, message.begin, "a dataspace", message.end)
    if version not in (1, 2):
        raise file.error(f"a dataspace of version {version} is not read")
    if version == 2 and file.fields(BYTES, message.begin + 2, "a dataspace", message.end)[1] == 2:
        raise file.error("has a null dataspace (no value and no shape), which is not read")
    if axes > MOST_AXES:
        raise file.error(f"has {axes} axes; the format allows {MOST_AXES}")
    first = message.begin + (8 if version == 1 else 4)
    shape = file.fields(struct.Struct(f"<{axes}Q"), first, "a dataspace", message.end)
    if prod(max(length, 1) for length in shape) >= 2**60:
        raise file.error(f"the shape {shape!r:.80} is impossible")  # even without elements: NumPy has none of this shape
    return shape


def dtype_of(file: Metadata, message: Message) -> str:
    """NumPy's name of the type in a datatype message."""
    (first,) = file.fields(SIZES[0], message.begin, "a datatype", message.end)
    kind = first & 0x0F  # the upper half is the version, and numbers look the same in all
    size = 12 if kind == 0 else 20
    text = bytes([kind]) + file.text(message.begin + 1, min(message.begin + size, message.end))
    if text not in DTYPES:
        what = CLASSES[kind] if kind < len(CLASSES) else f"of the unknown class {kind}"
        odd = "" if kind > 1 else " that are big-endian or of an unusual size or form"
        raise file.error(f"its values are {what}{odd}; only little-endian integers, float16, float32 and float64 are read")
    return DTYPES[text]


def begin_of(file: Metadata, message: Message, size: int) -> int | None:
    """The address of the `size` bytes of values that a layout message describes; None if there are none."""
    version, kind = file.fields(BYTES, message.begin, "a layout", message.end)
    if version not in (3, 4, 5):
        raise file.error(f"a layout of version {version} (HDF5 before 1.6.3) is not read; save the file again with h5py")
    if kind in (CHUNKED, VIRTUAL):
        raise file.error(f"is {'chunked' if kind == CHUNKED else 'a virtual dataset'}, which is not read; {REWRITE}")
    if kind == COMPACT:
        (given,) = file.fields(SIZES[1], message.begin + 2, "a layout", message.end)
        begin = message.begin + 4
        end = message.end
    elif kind == CONTIGUOUS:
        begin, given = file.fields(PAIR, message.begin + 2, "a layout", message.end)
        end = file.end
    else:
        raise file.error(f"a layout of class {kind} is unknown")
    if begin == UNDEFINED:
        return None
    if given != size:
        raise file.error(f"its type and shape need {size} bytes, not the {given} of its layout")
    file.check_extent(begin, size, end, "the values")
    return begin


def is_zero(file: Metadata, message: Message | None) -> bool:
    """Whether the fill value in a message is not defined, or zero."""
    if message is None:
        return True
    at = message.begin
    if message.kind == FILL:
        version, flags = file.fields(BYTES, at, "a fill value", message.end)
        if version not in (2, 3):
            raise file.error(f"a fill value of version {version} is not read; {REWRITE}")
        defined = flags & 0x20 if version == 3 else file.fields(SIZES[0], at + 3, "a fill value", message.end)[0]
        if not defined:
            return True
        at += 2 if version == 3 else 4
    (size,) = file.fields(SIZES[2], at, "a fill value", message.end)
    if size > 8:
        raise file.error(f"a fill value of {size} bytes is none of a number")
    return not any(file.text(at + 4, file.check_extent(at + 4, size, message.end, "a fill value")))


def check_apart(file: Metadata, named: dict[str, int], datasets: dict[int, Dataset]) -> None:
    """Raise CheckpointError if the values of two datasets overlap."""
    names = {address: name for name, address in named.items()}
    stored = ((found.begin, found.size, address) for address, found in datasets.items() if found.begin is not None and found.size)
    before = 0
    for begin, size, address in sorted(stored):
        file.place = names[address]
        if begin < before:
            raise file.error(f"its values, at byte {begin}, overlap those of another dataset")
        before = begin + size


def stored(source: Source, name: str, found: Dataset) -> StoredTensor:
    """A dataset as a tensor of the file."""
    if found.begin is not None:
        return contiguous(source, name, found.dtype, found.shape, found.begin)
    return StoredTensor(
        source.path,
        name,
        found.dtype,
        found.shape,
        lambda: np.broadcast_to(np.zeros((), found.dtype), found.shape),
        lambda: np.zeros(found.shape, found.dtype),
    )
