"""The structures of an HDF5 file: superblock and object headers. Groups are in hdf5_groups.py, datasets in hdf5.py.

An HDF5 file is a graph of objects, which point at each other by address (an offset in the file); all numbers are
little-endian. The superblock at the start has the address of the root group. Every object, group or dataset, is an object
header: a list of typed messages (dataspace = shape, datatype, layout = where the values are, link = a name and the address
of an object, attribute, ...), in one block or, by continuation messages, in several. Version 1 of the header aligns
everything to 8 bytes; version 2 ("OHDR") packs it and adds checksums, which find accidents and are passed over here.

Nothing in a file is believed. Addresses and sizes are compared with the size of the file; every block is read at most once, so
that there are no loops; and the number of things read is limited as a whole, so that blocks which overlap cost no time. There
is no recursion.

Source: the HDF5 File Format Specification, version 3.0 (The HDF Group), and files written by h5py 3.16 with HDF5 2.0.
"""

import struct
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from convbert_np.checkpoints.errors import CheckpointError
from convbert_np.checkpoints.stored import Source

SIGNATURE = b"\x89HDF\r\n\x1a\n"
UNDEFINED = 2**64 - 1  # the address of what is not there
MOST_STEPS = 100_000  # of which a layer of ConvBERT takes 430
LONGEST_NAME = 1024

DATASPACE, LINK_INFO, DATATYPE, FILL_OLD, FILL, LINK, EXTERNAL, LAYOUT = 1, 2, 3, 4, 5, 6, 7, 8
FILTERS, ATTRIBUTE, CONTINUATION, SYMBOL_TABLE = 11, 12, 16, 17
LAST_KNOWN = 0x18
SHARED, MUST_BE_KNOWN = 2, 0x80  # flags of a message

HEAD_1, HEAD_2, HEAD_2_ORDERED = struct.Struct("<HHB3x"), struct.Struct("<BHB"), struct.Struct("<BHBxx")
SUPERBLOCK_0, SUPERBLOCK_2 = struct.Struct("<BB9x4Q8xQ"), struct.Struct("<BBx4Q")
HEADER_1 = struct.Struct("<Bxxx4xI4x")
BYTES, PAIR = struct.Struct("<BB"), struct.Struct("<QQ")
SIZES = [struct.Struct("<" + code) for code in "BHIQ"]


class Message(NamedTuple):
    """A message of an object header: what it is, and where its content is in the file."""

    kind: int
    begin: int
    end: int


class Metadata:
    """The bytes of a file, read with every address checked."""

    def __init__(self, source: Source):
        self.path = source.path
        self.bytes = source.mapped.data
        self.end = source.size
        self.steps = 0
        self.used: set[int] = set()
        self.place: str | None = None  # the object that is being read, for the message of an error

    def error(self, reason: str) -> CheckpointError:
        """The error that says what is wrong with the object that is being read."""
        return CheckpointError(self.path, reason, self.place)

    def check_extent(self, begin: int, size: int, end: int, what: str) -> int:
        """The end of `size` bytes from `begin` on. Raises CheckpointError if that is beyond `end`."""
        if begin + size > end:
            raise self.error(f"{what} at byte {begin} needs {size} bytes, which exceed byte {end}, where it must end")
        return begin + size

    def fields(self, layout: struct.Struct, at: int, what: str, end: int | None = None) -> tuple[Any, ...]:
        """The numbers at an address, which must lie before `end` (None: the end of the file)."""
        self.check_extent(at, layout.size, self.end if end is None else end, what)
        return layout.unpack_from(self.bytes, at)

    def text(self, begin: int, end: int) -> bytes:
        """The bytes [begin, end), which the caller has checked to be few and in the file."""
        return bytes(self.bytes[begin:end])

    def name(self, begin: int, end: int) -> str:
        """The bytes [begin, end) as the name of a link. Raises CheckpointError for what cannot be one."""
        if not 0 < end - begin <= LONGEST_NAME:
            raise self.error(f"a link's name has {end - begin} bytes, not 1 to {LONGEST_NAME}")
        try:
            name = self.text(begin, end).decode()
        except UnicodeDecodeError:
            raise self.error(f"a link's name {self.text(begin, end)!r:.80} is no UTF-8") from None
        if "/" in name or "\0" in name or name == ".":
            raise self.error(f"{name!r:.80} cannot be a link's name")
        return name

    def step(self, count: int = 1) -> None:
        """Count what is read. Raises CheckpointError if it is too much for a file of tensors."""
        self.steps += count
        if self.steps > MOST_STEPS:
            raise self.error("has far more links and messages than any model")

    def use(self, address: int, what: str) -> None:
        """Note that the block at an address is read now. Raises CheckpointError if it has been read before."""
        if address in self.used:
            raise self.error(f"{what} at byte {address} is reached twice: a loop, or a group of two names, which is not read")
        self.used.add(address)


def root_address(file: Metadata) -> int:
    """Read the superblock: the address of the root group. The file counts no further than the superblock says."""
    if file.text(0, 8) != SIGNATURE:
        raise file.error("does not begin with the signature of HDF5 (nor is a file with a user block read)")
    version = file.fields(BYTES, 8, "the superblock")[0]
    if version == 0:
        sizes = file.fields(SUPERBLOCK_0, 13, "the superblock")
        base, end, extra, root = sizes[2], sizes[4], sizes[5], sizes[6]
    elif version in (2, 3):
        *sizes, base, extra, end, root = file.fields(SUPERBLOCK_2, 9, "the superblock")
    else:
        raise file.error(f"a superblock of version {version} is not read, only 0, 2 and 3; save the file again with h5py")
    if tuple(sizes[:2]) != (8, 8):
        raise file.error(f"offsets and lengths of {sizes[0]} and {sizes[1]} bytes are not read, only of 8")
    if base != 0 or extra != UNDEFINED:
        raise file.error("a base address, driver information and a superblock extension are not read; save it again with h5py")
    if end > file.end:
        raise file.error(f"is cut off: it should have {end} bytes and has {file.end}")
    file.end = end
    return root


def messages(file: Metadata, address: int) -> list[Message]:
    """All messages of the object header at an address, in the order of the file."""
    file.use(address, "an object header")
    head, begin, end = first_block(file, address)
    blocks, found = deque([(begin, end)]), []
    while blocks:
        for message in messages_of_block(file, head, *blocks.popleft()):
            found.append(message)
            if message.kind == CONTINUATION:
                blocks.append(continued(file, message, head is not HEAD_1))
    return found


def first_block(file: Metadata, address: int) -> tuple[struct.Struct, int, int]:
    """How an object header begins each message, and the begin and end of its first block of them."""
    file.check_extent(address, 6, file.end, "an object header")
    if file.text(address, address + 4) != b"OHDR":
        version, size = file.fields(HEADER_1, address, "an object header")
        if version != 1:
            raise file.error(f"there is no object header at byte {address}")
        begin = address + HEADER_1.size
        return HEAD_1, begin, file.check_extent(begin, size, file.end, "an object header's block")
    version, flags = file.fields(BYTES, address + 4, "an object header")
    if version != 2:
        raise file.error(f"an object header of version {version} is not read")
    begin = address + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
    width = SIZES[flags & 3]
    (size,) = file.fields(width, begin, "an object header")
    begin += width.size
    end = file.check_extent(begin, size, file.end, "an object header's block")
    return HEAD_2_ORDERED if flags & 4 else HEAD_2, begin, end


def continued(file: Metadata, message: Message, newer: bool) -> tuple[int, int]:
    """The begin and end of the block that a continuation message names."""
    begin, size = file.fields(PAIR, message.begin, "a continuation message", message.end)
    file.use(begin, "a continuation block")
    end = file.check_extent(begin, size, file.end, "a continuation block")
    if not newer:
        return begin, end
    if size < 8 or file.text(begin, begin + 4) != b"OCHK":
        raise file.error(f"there is no continuation block at byte {begin}")
    return begin + 4, end - 4


def messages_of_block(file: Metadata, head: struct.Struct, begin: int, end: int) -> Iterator[Message]:
    """The messages of one block. Raises CheckpointError for a message that is shared or that nobody knows and must."""
    while end - begin >= head.size:
        kind, size, flags = head.unpack_from(file.bytes, begin)
        file.step()
        begin += head.size
        after = file.check_extent(begin, size, end, f"a message of type {kind}")
        if flags & SHARED and kind != ATTRIBUTE:
            raise file.error("has a committed datatype or another shared message, which is not read; save it again with h5py")
        if flags & MUST_BE_KNOWN and kind > LAST_KNOWN:
            raise file.error(f"has a message of the unknown type {kind}, which forbids to read on")
        yield Message(kind, begin, after)
        begin = after
    if begin != end and head is HEAD_1:
        raise file.error(f"an object header's block ends within a message, at byte {end}")


def single(file: Metadata, found: list[Message], kind: int, what: str) -> Message | None:
    """The message of a type, None if there is none. Raises CheckpointError if there are several."""
    of_kind = [message for message in found if message.kind == kind]
    if len(of_kind) > 1:
        raise file.error(f"has {len(of_kind)} messages with {what}, not one")
    return of_kind[0] if of_kind else None
