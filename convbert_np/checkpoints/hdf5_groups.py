"""The groups of an HDF5 file: their links, in the old form and the new.

A group keeps the names and addresses of its members in one of three ways. The old way, which h5py and so Keras use by default
for ASCII names, is a symbol table message: a B-tree ("TREE") whose leaves are symbol nodes ("SNOD"), lists of pairs of an
offset in a local heap ("HEAP"), where the name ends with a zero, and an object's address. The new way has one link message for
every member, up to eight. Beyond that the new way has a fractal heap ("dense"), which is not read.

Source: the HDF5 File Format Specification, version 3.0 (The HDF Group), and files written by h5py 3.16.
"""

import struct
from collections.abc import Iterator

from convbert_np.checkpoints.hdf5_format import (
    BYTES,
    LINK,
    LINK_INFO,
    LONGEST_NAME,
    PAIR,
    SIZES,
    SYMBOL_TABLE,
    UNDEFINED,
    Message,
    Metadata,
    single,
)

SOFT_LINK = 2
NOT_A_COPY = "has {} {!r:.80}, which is not read; save the file again with h5py and a copy in place of the link"
STEPS_OF_A_LINK = 10  # a name is larger than a message
TREE, SYMBOLS, SYMBOL = struct.Struct("<4sBBH16x8x"), struct.Struct("<4sBxH"), struct.Struct("<QQI20x")
HEAP, CHILD, ADDRESS = struct.Struct("<4sB3xQ8xQ"), struct.Struct("<Q8x"), struct.Struct("<Q")


def is_group(found: list[Message]) -> bool:
    """Whether the messages are those of a group."""
    return any(message.kind in (SYMBOL_TABLE, LINK_INFO, LINK) for message in found)


def links(file: Metadata, found: list[Message]) -> dict[str, int]:
    """The members of a group, from the messages of its header: name to address of the object header."""
    table = single(file, found, SYMBOL_TABLE, "a symbol table")
    if table is not None:
        pairs = old_links(file, *file.fields(PAIR, table.begin, "a symbol table message", table.end))
    else:
        check_not_dense(file, single(file, found, LINK_INFO, "link information"))
        pairs = (new_link(file, message) for message in found if message.kind == LINK)
    members: dict[str, int] = {}
    for name, address in pairs:
        file.step(STEPS_OF_A_LINK)
        if name in members:
            raise file.error(f"has two members of the name {name!r:.80}")
        members[name] = address
    return members


def old_links(file: Metadata, tree: int, heap: int) -> Iterator[tuple[str, int]]:
    """The links of a symbol table: those of the symbol nodes under its B-tree, from left to right."""
    begin, end = heap_extent(file, heap)
    pending: list[tuple[int, int | None]] = [(tree, None)]
    while pending:
        address, level = pending.pop()
        file.use(address, "a B-tree's node")
        signature, kind, own_level, used = file.fields(TREE, address, "a B-tree's node")
        if signature != b"TREE" or kind != 0 or (level is not None and own_level != level):
            raise file.error(
                f"there is no node of a group's B-tree{'' if level is None else f', level {level},'} at byte {address}"
            )
        first = address + TREE.size
        file.check_extent(first, used * CHILD.size, file.end, f"a B-tree's node of {used} children")
        file.step(used)
        children = [child for (child,) in CHILD.iter_unpack(file.bytes[first : first + used * CHILD.size])]
        if own_level:
            pending.extend((child, own_level - 1) for child in reversed(children))
            continue
        for child in children:
            for offset, target, cache in symbols(file, child):
                name = heap_name(file, begin, end, offset)
                if cache == SOFT_LINK:
                    raise file.error(NOT_A_COPY.format("a soft link", name))
                yield name, target


def heap_extent(file: Metadata, address: int) -> tuple[int, int]:
    """The begin and end of a local heap's names."""
    signature, version, size, begin = file.fields(HEAP, address, "a local heap")
    if signature != b"HEAP" or version != 0:
        raise file.error(f"there is no local heap at byte {address}")
    return begin, file.check_extent(begin, size, file.end, "a local heap's names")


def heap_name(file: Metadata, begin: int, end: int, offset: int) -> str:
    """The name at an offset of a local heap, up to its terminating zero."""
    file.check_extent(begin + offset, 1, end, "a name in a local heap")
    text = file.text(begin + offset, min(begin + offset + LONGEST_NAME + 1, end))
    length = text.find(b"\0")
    if length < 0:
        raise file.error(f"a name in a local heap does not end within {len(text)} bytes")
    return file.name(begin + offset, begin + offset + length)


def symbols(file: Metadata, address: int) -> Iterator[tuple[int, int, int]]:
    """The entries of a symbol node: offset of the name, address of the object, and what else is known of it."""
    file.use(address, "a symbol node")
    signature, version, count = file.fields(SYMBOLS, address, "a symbol node")
    if signature != b"SNOD" or version != 1:
        raise file.error(f"there is no symbol node at byte {address}")
    first = address + SYMBOLS.size
    file.check_extent(first, count * SYMBOL.size, file.end, f"a symbol node of {count} entries")
    yield from SYMBOL.iter_unpack(file.bytes[first : first + count * SYMBOL.size])


def check_not_dense(file: Metadata, message: Message | None) -> None:
    """Raise CheckpointError if the links are in a fractal heap."""
    if message is None:
        return
    version, flags = file.fields(BYTES, message.begin, "link information", message.end)
    if version != 0:
        raise file.error(f"link information of version {version} is not read")
    (heap,) = file.fields(ADDRESS, message.begin + (10 if flags & 1 else 2), "link information", message.end)
    if heap != UNDEFINED:
        raise file.error(
            "a group of the newer form with many members (dense storage in a fractal heap) is not read; "
            "save the file again with h5py, with its default libver and track_order and ASCII names"
        )


def new_link(file: Metadata, message: Message) -> tuple[str, int]:
    """The name and the address in a link message."""
    version, flags = file.fields(BYTES, message.begin, "a link", message.end)
    at = message.begin + 2
    kind = 0
    if flags & 8:
        kind = file.fields(SIZES[0], at, "a link", message.end)[0]
        at += 1
    at += (8 if flags & 4 else 0) + (1 if flags & 16 else 0)
    width = SIZES[flags & 3]
    (length,) = file.fields(width, at, "a link", message.end)
    end = file.check_extent(at + width.size, length, message.end, "a link's name")
    name = file.name(end - length, end)
    if version != 1 or kind != 0:
        form = {1: "a soft link", 64: "an external link"}.get(kind, f"a link of type {kind} and version {version}")
        raise file.error(NOT_A_COPY.format(form, name))
    (target,) = file.fields(ADDRESS, end, "a link", message.end)
    return name, target
