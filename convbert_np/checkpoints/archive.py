"""The zip archive as the places of its members, for the two formats of tensors that are one: PyTorch's and NumPy's .npz.

An archive is read from its end. Its last 22 bytes are the record of the end, which says where the central directory lies,
in bytes before the record, and how many entries it has. Numbers of 4 bytes are too short for large archives: then two
records of the form "zip64" precede the record of the end, the first with the same numbers in 8 bytes, the second with the
place of the first. An entry of the central directory has a member's name, its flags, the method of its compression (0: none,
"stored"; 8: deflate), its sizes, the CRC-32 of its content, and the place of its local header. The local header repeats all
of this just before the member's bytes. Both end with an extra field, a list of (id, length, bytes); id 1 has the numbers
that need 8 bytes and are 0xFFFFFFFF in their usual place. A writer that does not know a member's CRC and sizes in advance
sets bit 3 of the flags and leaves them 0 in the local header.

    local header, name, extra field, bytes of member 1
    local header, name, extra field, bytes of member 2
    ...
    central directory
    [zip64 record of the end, its locator]
    record of the end

What the format allows and neither PyTorch nor NumPy writes is refused: comments, several disks, encryption, bytes in front.

Source: PKWARE's APPNOTE (6.3.9), sections 4.3 to 4.5, and files that torch 2.13 and NumPy 2.4 write.
"""

import struct
import zlib
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from convbert_np.checkpoints.errors import CheckpointError
from convbert_np.checkpoints.stored import Source

LOCAL = struct.Struct("<4s5H3I2H")
CENTRAL = struct.Struct("<4s6H3I5H2I")
LOCATOR64 = struct.Struct("<4sIQI")
END64 = struct.Struct("<4sQ2H2I4Q")
END = struct.Struct("<4s4H2IH")
EXTRA = struct.Struct("<2H")

STORED, DEFLATED = 0, 8
ENCRYPTED, LATE, UTF8 = 1 << 0, 1 << 3, 1 << 11
ALLOWED_FLAGS = 0b110 | LATE | UTF8  # bits 1 and 2 say how hard deflate tried
IN_EXTRA = 0xFFFFFFFF
BEST_RATIO = 1032  # deflate cannot do better
MOST_MEMBERS = 20_000
CHUNK = 1 << 20


@dataclass(frozen=True)
class Member:
    """A member of an archive.

    name        what it is called
    begin, end  where its bytes lie in the file, compressed or not
    size        the bytes of its content; end - begin if it is stored
    crc         the CRC-32 of its content; 0: unknown (torch.serialization.set_crc32_options(False) writes this)
    deflated    whether it is compressed
    header      where its local header begins
    """

    source: Source = field(repr=False)
    name: str
    begin: int
    end: int
    size: int
    crc: int
    deflated: bool
    header: int


class Directory(NamedTuple):
    """Where the central directory lies in the file, and how many entries it has."""

    begin: int
    end: int
    count: int


def open_archive(source: Source, allow_deflate: bool = False) -> dict[str, Member]:
    """The members of an archive by name, in the order of the central directory; no content is read.

    Every number is checked against the file: the members lie in it one after the other, before the directory, and their
    local headers say what the directory says. Raises CheckpointError, also for a compressed member unless `allow_deflate`.
    """
    directory = find_directory(source)
    data = source.read(directory.begin, directory.end).tobytes()
    members: dict[str, Member] = {}
    place = 0
    for _ in range(directory.count):
        member, place = parse_entry(source, data, place, allow_deflate)
        if member.name in members:
            raise fault(source, member.name, "occurs twice")
        members[member.name] = locate(member, directory.begin)
    if place != len(data):
        raise CheckpointError(source.path, f"{len(data) - place} bytes of the central directory belong to no entry")
    check_overlaps(source, members)
    return members


def read_member(member: Member) -> np.ndarray:
    """The content of a stored member as a new array of bytes. Raises CheckpointError if its CRC-32 is wrong."""
    if member.deflated:
        raise ValueError(f"member: {member.name!r} is compressed; inflate reads it")
    crc = 0

    def add(block: np.ndarray) -> None:  # while the block is still in the processor's cache
        nonlocal crc
        crc = zlib.crc32(block.data, crc)

    content = member.source.read(member.begin, member.end, add)
    check_crc(member, crc)
    return content


def verify_member(member: Member) -> None:
    """Read the content of a stored member in small pieces and check its CRC-32. Raises CheckpointError if it is wrong."""
    crc = 0
    for begin in range(member.begin, member.end, CHUNK):
        crc = zlib.crc32(member.source.read(begin, min(begin + CHUNK, member.end)).data, crc)
    check_crc(member, crc)


def inflate(member: Member, limit: int) -> bytes:
    """The content of a member, compressed or not, of at most `limit` bytes.

    Never makes more bytes than the archive declares. Raises CheckpointError if that is more than `limit`, if the content has
    another size or CRC-32, or is no deflate stream.
    """
    if member.size > limit:
        raise fault(member.source, member.name, f"{member.size} bytes are more than the {limit} allowed")
    if not member.deflated:
        return read_member(member).tobytes()
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content = stream.decompress(member.source.read(member.begin, member.end).data, member.size + 1)
    except zlib.error as error:
        raise fault(member.source, member.name, f"cannot be inflated: {error}") from None
    if len(content) != member.size or not stream.eof or stream.unused_data:
        raise fault(member.source, member.name, f"does not inflate to exactly {member.size} bytes")
    check_crc(member, zlib.crc32(content))
    return content


def check_crc(member: Member, crc: int) -> None:
    """Raise CheckpointError if the CRC-32 of a member's content is not the one it should have."""
    if member.crc not in (crc, 0):
        raise fault(member.source, member.name, f"its content has the CRC-32 {crc:08x}, not {member.crc:08x}")


def fault(source: Source, name: str, reason: str) -> CheckpointError:
    """The error of one member."""
    return CheckpointError(source.path, f"member {name!r:.200}: {reason}")


def find_directory(source: Source) -> Directory:
    """The place of the central directory, from the records at the end of the file."""
    place = source.size - END.size
    if place < 0:
        raise CheckpointError(source.path, f"{source.size} bytes are too few for a zip archive")
    magic, *disks, count, size, begin, comment = END.unpack(source.read(place, source.size).data)
    if magic != b"PK\5\6" or comment:
        raise CheckpointError(source.path, "does not end with the end record of a zip archive: it is cut off, or none")
    directory = Directory(begin, place, count)
    if source.size >= END.size + LOCATOR64.size + END64.size:
        locator = LOCATOR64.unpack(source.read(place - LOCATOR64.size, place).data)
        if locator[0] == b"PK\6\7":
            place -= LOCATOR64.size + END64.size
            directory, disks, size = find_directory64(source, place, locator, (*disks, count, size, begin))
    if any(disks[:2]) or disks[2] != directory.count:
        raise CheckpointError(source.path, "the archive is spread over several disks")
    if directory.begin + size != directory.end:
        reason = f"the central directory of {size} bytes at {directory.begin} does not end at byte {directory.end}"
        raise CheckpointError(source.path, reason)
    if directory.count > min(size // CENTRAL.size, MOST_MEMBERS):
        reason = f"the central directory of {size} bytes has {directory.count} entries; {MOST_MEMBERS} are allowed"
        raise CheckpointError(source.path, reason)
    return directory


def find_directory64(source: Source, place: int, locator: tuple, short: tuple[int, ...]) -> tuple[Directory, list[int], int]:
    """Likewise from the zip64 record, which must agree with the usual one: directory, disk numbers, size of the directory."""
    magic, length, _, _, *numbers = END64.unpack(source.read(place, place + END64.size).data)
    if locator[1:] != (0, place, 1) or magic != b"PK\6\6" or length != END64.size - 12:
        raise CheckpointError(source.path, f"there is no zip64 record at byte {place}, where its locator needs it")
    widths = (0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, IN_EXTRA, IN_EXTRA)
    if any(value not in (width, number) for value, width, number in zip(short, widths, numbers, strict=True)):
        raise CheckpointError(source.path, "the zip64 record contradicts the end record")
    *disks, count, size, begin = numbers
    return Directory(begin, place, count), disks, size


def parse_entry(source: Source, data: bytes, place: int, allow_deflate: bool) -> tuple[Member, int]:
    """One entry of the central directory, checked by itself, and the place of the next. `begin` and `end` are not known yet."""
    if len(data) - place < CENTRAL.size or data[place : place + 4] != b"PK\1\2":
        raise CheckpointError(source.path, f"byte {place} of the central directory begins no entry")
    _, _, _, flags, method, _, _, crc, packed, size, *lengths, disk, _, _, header = CENTRAL.unpack_from(data, place)
    start, middle, last, end = accumulate((place + CENTRAL.size, *lengths))
    if end > len(data):
        raise CheckpointError(source.path, f"an entry of the central directory goes {end - len(data)} bytes beyond it")
    name = parse_name(source, data[start:middle], flags)
    size, packed, header = wide(source, name, data[middle:last], (size, packed, header))
    if flags & ENCRYPTED:
        raise fault(source, name, "is encrypted")
    if flags & ~ALLOWED_FLAGS or disk:
        raise fault(source, name, f"has the flags {flags:#x} and the disk {disk}, which are not supported")
    if method not in ((STORED, DEFLATED) if allow_deflate else (STORED,)):
        raise fault(source, name, f"is compressed (method {method}), which is not supported here")
    if packed != size if method == STORED else size > BEST_RATIO * packed:
        raise fault(source, name, f"{packed} bytes cannot hold {size} by method {method}")
    return Member(source, name, 0, packed, size, crc, method == DEFLATED, header), end


def parse_name(source: Source, raw: bytes, flags: int) -> str:
    """A member's name, which must be text and no dangerous path (names are never used as paths here, but may be elsewhere)."""
    try:
        name = raw.decode("utf-8" if flags & UTF8 else "ascii")
    except UnicodeDecodeError:
        raise CheckpointError(source.path, f"a member's name is no text: {raw!r:.80}") from None
    if not name or "\0" in name or "\\" in name or name.startswith("/") or ".." in name.split("/"):
        raise fault(source, name, "is no name for a file")
    return name


def wide(source: Source, name: str, extra: bytes, values: tuple[int, ...]) -> tuple[int, ...]:
    """The numbers of an entry, where those that are 0xFFFFFFFF are taken from the zip64 part of the extra field, in order."""
    missing = values.count(IN_EXTRA)
    if not missing:
        return values
    place = 0
    while place + EXTRA.size <= len(extra):
        kind, length = EXTRA.unpack_from(extra, place)
        place += EXTRA.size
        if kind == 1 and length >= 8 * missing and place + length <= len(extra):
            numbers = iter(struct.unpack_from(f"<{missing}Q", extra, place))
            return tuple(next(numbers) if value == IN_EXTRA else value for value in values)
        place += length
    raise fault(source, name, "lacks the zip64 numbers that it refers to")


def locate(member: Member, limit: int) -> Member:
    """The member with the place of its bytes, which its local header gives; all of it must lie before the byte `limit`."""
    source, name, packed, method = member.source, member.name, member.end, DEFLATED if member.deflated else STORED
    if member.header + LOCAL.size > limit:
        raise fault(source, name, f"its local header at byte {member.header} goes beyond byte {limit}")
    values = LOCAL.unpack(source.read(member.header, member.header + LOCAL.size).data)
    magic, _, flags, found, _, _, crc, short, size, name_length, extra_length = values
    middle = member.header + LOCAL.size + name_length
    begin = middle + extra_length
    if magic != b"PK\3\4":
        raise fault(source, name, f"there is no local header at byte {member.header}")
    if begin + packed > limit:
        raise fault(source, name, f"its {packed} bytes at byte {begin} go beyond byte {limit}")
    text = source.read(middle - name_length, begin).tobytes()
    size, short = wide(source, name, text[name_length:], (size, short))
    late = bool(flags & LATE) and (crc, short, size) == (0, 0, 0)
    if parse_name(source, text[:name_length], flags) != name or found != method or flags & ENCRYPTED:
        raise fault(source, name, "its local header has another name, method or encryption")
    if not late and (crc, short, size) != (member.crc, packed, member.size):
        raise fault(source, name, "its local header has another CRC-32 or size")
    return replace(member, begin=begin, end=begin + packed)


def check_overlaps(source: Source, members: dict[str, Member]) -> None:
    """Raise CheckpointError if two members, local headers included, share a byte."""
    end = 0
    for member in sorted(members.values(), key=lambda member: member.header):
        if member.header < end:
            raise fault(source, member.name, f"begins at byte {member.header}, within another member that ends at {end}")
        end = member.end
