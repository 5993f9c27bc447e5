"""A table of keys and values, as LevelDB and TensorFlow's checkpoint index lay it out.

A file is a row of blocks and a footer of 48 bytes. The footer holds two handles, of a block that is not needed and of the index
block, zeros up to byte 40, and the magic number. A handle is two varints (see protobuf.py): offset and size of a block. The
index block's values are the handles of the blocks of data, in order.

A block is entries, then the offsets of its restart points and their number (uint32 each). An entry is three varints, how many
bytes of the key it shares with the key before, how many more bytes its key has, and how many its value has; then those bytes.
At a restart point nothing is shared. After a block stand one byte, its compression (0: none), and the masked CRC-32C of the
block and this byte.

Nothing in a file is believed. Blocks follow one another, so that none is read twice; all keys together are bounded.

Source: the LevelDB table format (doc/table_format.md of LevelDB); files that TensorFlow 2.15 wrote.
"""

import os
import struct
from collections.abc import Iterator
from itertools import pairwise

from convbert_np.checkpoints.crc32c import crc32c, masked
from convbert_np.checkpoints.errors import CheckpointError
from convbert_np.checkpoints.protobuf import varint

MAGIC = 0xDB4775248B80FB57
FOOTER = 48
TRAILER = 5
COMPRESSIONS = {1: "snappy", 2: "zlib"}
LONGEST_KEY = 2048
MOST_ENTRIES = 1 << 14
MOST_BLOCKS = 1 << 10
KEYS_PER_BYTE = 8  # all keys in full, for each byte of the file; TensorFlow's have below 3
Path = str | os.PathLike[str]


def read_table(path: Path, content: bytes) -> dict[bytes, bytes]:
    """The values of a table by key, in the file's order. Raises CheckpointError; `path` is for its message only."""
    if len(content) < FOOTER or content[-8:] != struct.pack("<Q", MAGIC):
        raise CheckpointError(path, "does not end as a table does: this is no index of a TensorFlow checkpoint, or a part of one")
    footer, place = content[-FOOTER:-8], 0
    _, place = handle(path, footer, place)
    (begin, size), _ = handle(path, footer, place)
    blocks = content[: len(content) - FOOTER]
    index = block(path, blocks, begin, size)
    table: dict[bytes, bytes] = {}
    end = room = 0
    for number, (_, value) in enumerate(entries(path, index)):
        if number == MOST_BLOCKS:
            raise CheckpointError(path, f"has more than {MOST_BLOCKS} blocks")
        (first, size), rest = handle(path, value, 0)
        if first < end or rest != len(value):
            raise CheckpointError(path, "the index block does not list the blocks one after the other")
        end = first + size + TRAILER
        if end > begin:
            raise CheckpointError(path, f"the block at byte {first} reaches into the index block")
        room = add_entries(path, table, block(path, blocks, first, size), room, len(content) * KEYS_PER_BYTE)
    return table


def add_entries(path: Path, table: dict[bytes, bytes], content: bytes, used: int, most: int) -> int:
    """Add the entries of a block, whose keys must rise; the bytes of all keys so far."""
    last = next(reversed(table), None)
    for key, value in entries(path, content):
        used += len(key)
        if last is not None and key <= last:
            raise CheckpointError(path, f"the key {key!r:.200} comes after {last!r:.200}: a table's keys rise and are unique")
        if len(table) == MOST_ENTRIES or used > most:
            raise CheckpointError(path, f"has more than {MOST_ENTRIES} entries, or longer keys than its size allows")
        table[key] = value
        last = key
    return used


def block(path: Path, blocks: bytes, begin: int, size: int) -> bytes:
    """The block at a place, without its trailer, which is checked."""
    if begin + size + TRAILER > len(blocks):
        raise CheckpointError(path, f"a block of {size} bytes at byte {begin} does not fit into the file")
    compression, crc = struct.unpack_from("<BI", blocks, begin + size)
    if masked(crc32c(memoryview(blocks)[begin : begin + size + 1])) != crc:
        raise CheckpointError(path, f"the block at byte {begin} does not match its checksum: the file is damaged")
    if compression:
        name = COMPRESSIONS.get(compression, f"number {compression}")
        raise CheckpointError(path, f"the block at byte {begin} is compressed ({name}), which TensorFlow does not write")
    return blocks[begin : begin + size]


def entries(path: Path, content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The keys and values of a block, in order."""
    restarts = set(restart_points(path, content))
    place, key = 0, b""
    end = len(content) - 4 * len(restarts) - 4
    while place < end:
        if place in restarts:
            restarts.remove(place)
            key = b""
        shared, place = varint(path, content, place)
        own, place = varint(path, content, place)
        length, place = varint(path, content, place)
        if shared > len(key) or shared + own > LONGEST_KEY or place + own + length > end:
            raise CheckpointError(path, f"the lengths of an entry before byte {place} of a block are impossible")
        key = key[:shared] + content[place : place + own]
        place += own + length
        yield key, content[place - length : place]
    if restarts - {0}:
        raise CheckpointError(path, "a restart point of a block is not at an entry")


def restart_points(path: Path, content: bytes) -> tuple[int, ...]:
    """The offsets of the entries of a block that share nothing; they rise from 0."""
    number = struct.unpack("<I", content[-4:])[0] if len(content) >= 4 else 0
    if not 0 < number <= len(content) // 4 - 1:
        raise CheckpointError(path, f"a block of {len(content)} bytes cannot have {number} restart points")
    points = struct.unpack(f"<{number}I", content[-4 * number - 4 : -4])
    if points[0] != 0 or any(a >= b for a, b in pairwise(points)):
        raise CheckpointError(path, "the restart points of a block do not rise from 0")
    return points


def handle(path: Path, content: bytes, place: int) -> tuple[tuple[int, int], int]:
    """A block's offset and size, and the place behind them."""
    begin, place = varint(path, content, place)
    size, place = varint(path, content, place)
    return (begin, size), place
