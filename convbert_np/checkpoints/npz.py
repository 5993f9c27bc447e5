"""NumPy's .npz: a zip archive whose members NAME.npy are arrays, compressed or not; read without evaluating anything.

A .npy file is the bytes 0x93 "NUMPY", two bytes of version, the length n of the header (2 bytes little-endian in version 1, 4
in versions 2 and 3), the header, and the numbers. The header is the text of a Python dict (in version 3 UTF-8, else Latin-1),
ended by spaces and a newline:

    {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }

`descr` is the byte order (< little, > big, | none), the kind of number and its size in bytes. In Fortran order the first axis
varies fastest. An array of objects (descr '|O') is a pickle, which executes what it says; it is refused.

Nothing in a file is believed. A compressed archive may declare a multiple of its own size only, so that a small file cannot
fill the memory.

Source: the description in numpy.lib.format and files that NumPy 1.26 and 2.4 write.
"""

import os
import re
import zipfile
import zlib
from collections.abc import Mapping
from math import prod
from typing import NamedTuple

import numpy as np

from convbert_np.checkpoints.archive import EXTRA, LOCAL, Member, inflate, open_archive, read_member
from convbert_np.checkpoints.errors import CheckpointError
from convbert_np.checkpoints.stored import MOST_AXES, Source, StoredTensor, shaped
from convbert_np.files import atomic_write

MAGIC = b"\x93NUMPY"
SUFFIX = ".npy"
LONGEST_HEADER = 10_000  # NumPy's own limit
LENGTHS = {1: 2, 2: 4, 3: 4}  # bytes of the header's length, by version
LARGEST_RATIO = 8  # what all members may inflate to, for each byte of the file; parameters hardly shrink
ALWAYS_ALLOWED = 1 << 20  # bytes that they may inflate to in any case
ALIGNMENT = 64
PADDING = 0xD935  # the id of an extra field of a zip archive that aligns what follows
LONGEST_NAME = 1000
ONE_BYTE = ("b1", "i1", "u1")
KINDS = (*ONE_BYTE, "i2", "i4", "i8", "u2", "u4", "u8", "f2", "f4", "f8")
DICT = re.compile(  # the keys in this order, in which NumPy writes them
    r"\{ *'descr' *: *'([^'\\]*)' *, *'fortran_order' *: *(True|False) *, *'shape' *: *\(([0-9, ]*)\) *,? *\} *\n?"
)
SIZE = re.compile(r" *(0|[1-9][0-9]{0,18}) *")


class Header(NamedTuple):
    """What a .npy file says of its array: type and byte order, whether in Fortran order, shape; and where the numbers begin."""

    code: np.dtype
    fortran: bool
    shape: tuple[int, ...]
    start: int


def open_npz(path: str | os.PathLike[str]) -> dict[str, StoredTensor]:
    """The arrays of a file that np.savez or np.savez_compressed wrote, by name; only their headers are read.

    `view` maps what is stored, little-endian and not compressed; `fetch` also checks the CRC-32, and gives an array in C order.
    Big-endian arrays are converted.

    Raises CheckpointError for a file that is damaged, has an array that is not of real numbers or booleans, or whose compressed
    members would need more than LARGEST_RATIO times its size (and 1 MiB); OSError for one that cannot be opened.
    """
    source = Source(path)
    members = open_archive(source, allow_deflate=True)
    declared = sum(member.size for member in members.values() if member.deflated)
    most = max(LARGEST_RATIO * source.size, ALWAYS_ALLOWED)
    if declared > most:
        raise CheckpointError(path, f"its compressed members would need {declared} bytes; {most} are allowed for its size")
    return {name: stored(source, name, member) for name, member in by_name(source, members).items()}


def write_npz(path: str | os.PathLike[str], tensors: Mapping[str, np.ndarray]) -> None:
    """Write arrays by name, like np.savez; np.load reads the file, which appears whole or not at all.

    The numbers are little-endian, in C order, and aligned. The same arrays give the same bytes. Raises TypeError or
    ValueError, before anything is written, for a name that is no plain text or could be a path out of a directory, and for
    a value that is no array of real numbers or booleans.
    """
    for name, array in tensors.items():
        check_name(name)
        check_array(name, array)
    with atomic_write(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in tensors.items():
            little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            header = npy_header(array)
            info = zipfile.ZipInfo(f"{name}{SUFFIX}")  # of 1980, the first year of the format
            info.file_size = len(header) + little.nbytes
            info.extra = padding(file.tell() + LOCAL.size + len(info.filename.encode()) + EXTRA.size)
            with archive.open(info, "w") as member:
                member.write(header)
                member.write(little.reshape(-1).view(np.uint8).data)


# Reading.


def by_name(source: Source, members: Mapping[str, Member]) -> dict[str, Member]:
    """The members by the names of their arrays."""
    found = {}
    for name, member in members.items():
        if not name.endswith(SUFFIX) or not name.isprintable():
            raise CheckpointError(source.path, f"the member {name!r:.200} is no array with a printable name")
        found[name.removesuffix(SUFFIX)] = member
    return found


def stored(source: Source, name: str, member: Member) -> StoredTensor:
    """The array of a member."""
    header = parse_header(source, name, member)

    def view() -> np.ndarray:
        if member.deflated:
            return read_only(arranged(source, name, header, np.frombuffer(inflate(member, member.size), np.uint8)))
        return read_only(arranged(source, name, header, source.mapped[member.begin : member.end]))

    def fetch() -> np.ndarray:
        content = np.frombuffer(inflate(member, member.size), np.uint8) if member.deflated else read_member(member)
        array = arranged(source, name, header, content)
        return np.require(array, requirements=["C", "A", "W"])

    return StoredTensor(source.path, name, header.code.name, header.shape, view, fetch)


def arranged(source: Source, name: str, header: Header, content: np.ndarray) -> np.ndarray:
    """The bytes of a .npy file as its array, in this machine's byte order."""
    shape = header.shape[::-1] if header.fortran else header.shape
    array = shaped(source.path, name, content[header.start :], header.code, shape)
    array = array.transpose() if header.fortran else array
    return array.astype(header.code.newbyteorder("="), copy=False)


def read_only(array: np.ndarray) -> np.ndarray:
    """The array, which cannot be written to."""
    array.flags.writeable = False
    return array


def parse_header(source: Source, name: str, member: Member) -> Header:
    """The header of a .npy file, which must account for every byte of its member."""
    start = beginning(source, name, member)
    width = LENGTHS.get(start[6]) if len(start) > 7 and start.startswith(MAGIC) and start[7] == 0 else None
    if width is None:
        raise CheckpointError(source.path, "is no .npy file of a known version", name)
    begin = 8 + width
    length = int.from_bytes(start[8:begin], "little")
    if begin + length > len(start):
        raise CheckpointError(source.path, f"its header of {length} bytes is longer than its file, or than any", name)
    header = parse_text(source, name, start[begin : begin + length], begin + length)
    needed = prod(header.shape) * header.code.itemsize
    if header.start + needed != member.size:
        reason = f"{header.code.name} {header.shape!r:.80} needs {needed!r:.40} bytes, not {member.size - header.start}"
        raise CheckpointError(source.path, reason, name)
    return header


def beginning(source: Source, name: str, member: Member) -> bytes:
    """The first bytes of a member: enough for a header."""
    content = source.read(member.begin, min(member.end, member.begin + 2 * LONGEST_HEADER)).tobytes()
    if not member.deflated:
        return content[:LONGEST_HEADER]
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, min(member.size, LONGEST_HEADER) or 1)
    except zlib.error as error:
        raise CheckpointError(source.path, f"cannot be inflated: {error}", name) from None


def parse_text(source: Source, name: str, text: bytes, start: int) -> Header:
    """The dict of a header."""
    match = DICT.fullmatch(text.decode("latin-1"))
    if match is None:
        raise CheckpointError(source.path, f"its header {text!r:.200} is not that of an array of numbers", name)
    descr, fortran, sizes = match.groups()
    if descr[1:] not in KINDS or descr[0] not in ("<>|=" if descr[1:] in ONE_BYTE else "<>"):
        kinds = {"O": "objects (a pickle, which is not read)", "c": "complex numbers", "U": "texts", "S": "texts"}
        raise CheckpointError(source.path, f"is of the type {descr!r:.80}: {kinds.get(descr[1:2], 'no numbers')}", name)
    return Header(np.dtype(descr), fortran == "True", parse_shape(source, name, sizes), start)


def parse_shape(source: Source, name: str, text: str) -> tuple[int, ...]:
    """The sizes in a tuple: of "", "3,", "2, 3" or "2, 3,"; a single one needs its comma."""
    *parts, last = text.split(",")
    parts += [last] if last.strip() else []
    sizes = [SIZE.fullmatch(part) for part in parts]
    if not all(sizes) or len(sizes) > MOST_AXES or (len(sizes) == 1 and last.strip()):
        raise CheckpointError(source.path, f"({text:.80}) is no shape of at most {MOST_AXES} axes", name)
    return tuple(int(size[1]) for size in sizes if size)


# Writing.


def check_name(name: object) -> None:
    """Raise TypeError or ValueError unless a name can be a member's."""
    if not isinstance(name, str):
        raise TypeError(f"tensors: a name must be a string, not {name!r:.80}")
    if not name.isprintable() or len(name) > LONGEST_NAME or "\\" in name or name.startswith("/") or ".." in name.split("/"):
        raise ValueError(f"tensors: {name!r:.80} must be printable, of at most {LONGEST_NAME} characters, and no path upwards")


def check_array(name: str, array: object) -> None:
    """Raise TypeError unless a value is an array that the format can hold without a pickle."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"tensor {name!r} must be a NumPy array, not {type(array).__name__}")
    if array.dtype.str[1:] not in KINDS:
        raise TypeError(f"tensor {name!r} has the dtype {array.dtype}, which is none of real numbers or booleans")


def padding(place: int) -> bytes:
    """An extra field, with nothing in it, after which a place is at a multiple of ALIGNMENT."""
    size = -place % ALIGNMENT
    return EXTRA.pack(PADDING, size) + bytes(size)


def npy_header(array: np.ndarray) -> bytes:
    """The beginning of a .npy file in version 1, padded so that the numbers are aligned."""
    little = array.dtype.newbyteorder("<").str
    text = f"{{'descr': {little!r}, 'fortran_order': False, 'shape': {array.shape!r}, }}"
    begin = len(MAGIC) + 4
    text += " " * (-(begin + len(text) + 1) % ALIGNMENT) + "\n"
    return MAGIC + bytes((1, 0)) + len(text).to_bytes(2, "little") + text.encode("ascii")
