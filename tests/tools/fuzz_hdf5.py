"""Fuzzed HDF5 files: groups in the old form and the new, datasets, and the graph of addresses between them.

A file is built from the leaves to the root: what is pointed at is placed first. Checksums are not made: the reader passes
them over.
"""

import gzip
import random
import struct
from functools import cache

import numpy as np
from fuzz_parts import CODES, FIXTURES, NAMES, Case, Liar, another_number, array_of, arrays, blind

UNDEFINED = 2**64 - 1


class Hdf5:
    """The bytes of a file that is being built, whose superblock has room at the start."""

    def __init__(self, liar: Liar):
        self.liar, self.rng = liar, liar.rng
        self.content = bytearray(96)
        self.places: list[int] = []

    def place(self, block: bytes) -> int:
        """Put a block at the end; its address, which may be a lie: another's or none."""
        self.content += bytes(-len(self.content) % 8)
        address = len(self.content)
        self.content += block
        return self.liar.number(address)

    def header(self, messages: list[tuple[int, bytes]]) -> bytes:
        """An object header of either version, in one block or two."""
        liar, rng = self.liar, self.rng
        messages = liar.some(messages)
        newer = rng.random() < 0.4
        extra = rng.choice(([], [], [(0, b"")], [(12, bytes(24))], [(0x15, b"")], [(0x10, b"")] * bool(messages)))
        if extra and extra[0][0] == 0x10:  # the rest in a continuation block
            half = rng.randrange(len(messages))
            rest = self.block(messages[half:], newer)
            rest = liar.text(b"OCHK") + rest + b"sums" if newer else rest
            extra, messages = [(0x10, liar.pack("<QQ", self.place(rest), len(rest)))], messages[:half]
        messages = messages + liar.pick(
            extra, [(0x99, b"")], [(11, bytes(8))], [(7, bytes(8))], [(3, bytes(8))], [(1, b"\2\0\0\2")]
        )
        block = self.block(messages, newer)
        if not newer:
            return liar.pack("<BxHII4x", 1, len(messages), 1, len(block)) + block
        flags = 2 | rng.choice((0, 0x20))
        return (
            liar.text(b"OHDR")
            + liar.pack("<BB", 2, flags)
            + bytes(16 if flags & 0x20 else 0)
            + liar.pack("<I", len(block))
            + block
            + b"sums"
        )

    def block(self, messages: list[tuple[int, bytes]], newer: bool) -> bytes:
        """Messages one after the other."""
        block = b""
        for kind, content in messages:
            content = self.liar.text(content)
            content += b"" if newer else bytes(-len(content) % 8)
            flags = 0x80 if kind == 0x99 and self.rng.random() < 0.5 else 0
            block += self.liar.pack("<BHB" if newer else "<HHB3x", kind, len(content), flags) + content
        return block

    def group(self, members: dict[str, int]) -> int:
        """A group with its links in one of the forms."""
        liar, rng = self.liar, self.rng
        names = [(liar.pick(name, *NAMES).encode("utf-8", "surrogatepass")[:1100], at) for name, at in sorted(members.items())]
        names = liar.some(names)
        if rng.random() < 0.5:
            info = [(2, liar.pack("<BBQQ", 0, 0, UNDEFINED, UNDEFINED))]
            return self.place(self.header(info + [self.link(name, at) for name, at in names]))
        heap, entries = bytes(8), []
        for name, at in names:
            cache = (0, 0) if rng.random() < 0.9 else (1, 0)
            entries.append(liar.pack("<QQII16x", len(heap), at, *cache))
            heap += name + liar.pick(b"\0", b"")
            heap += bytes(-len(heap) % 8)
        heap += bytes(8)
        data = self.place(heap)
        local = self.place(liar.text(b"HEAP") + liar.pack("<BxxxQQQ", 0, len(heap), 1, data))
        half = rng.randrange(len(entries) + 1) if rng.random() < 0.3 else len(entries)
        nodes = [
            self.place(liar.text(b"SNOD") + liar.pack("<BxH", 1, len(part)) + b"".join(part))
            for part in (entries[:half], entries[half:])
        ]
        tree = self.tree(nodes[: 1 if half == len(entries) else 2], 0)
        for level in range(1, rng.choice((1, 1, 1, 2, 3))):
            tree = self.tree([tree], level)
        return self.place(self.header([(0x11, liar.pack("<QQ", tree, local))]))

    def tree(self, children: list[int], level: int) -> int:
        """A node of a B-tree."""
        liar = self.liar
        pairs = b"".join(liar.pack("<QQ", 0, child) for child in liar.some(children))
        head = liar.text(b"TREE") + liar.pack("<BBHQQ", 0, level, len(children), UNDEFINED, UNDEFINED)
        return self.place(head + pairs + bytes(8))

    def link(self, name: bytes, address: int) -> tuple[int, bytes]:
        """A link message."""
        flags = self.rng.choice((0, 0, 1, 4, 8, 16, 2))
        kind = (self.liar.pack("<B", 0) if flags & 8 else b"") + (bytes(8) if flags & 4 else b"") + (b"\1" if flags & 16 else b"")
        width = "<BHIQ"[0] + "BHIQ"[flags & 3 if len(name) < 256 else 2]
        flags = flags if len(name) < 256 else flags & ~3 | 2
        length = self.liar.pack(width, len(name))
        return 6, self.liar.pack("<BB", 1, flags) + kind + length + name + self.liar.pack("<Q", address)

    def dataset(self, array: np.ndarray) -> int:
        """A dataset with its values."""
        liar, rng = self.liar, self.rng
        shape = [liar.number(size) for size in array.shape]
        if liar.lies(0.3):
            shape = rng.choice(([0, 2**62], [2**62, 0, 4], [2**63, 2], [1] * 32, [1] * 33, [0] * 32, [2**59], [2**40]))
        shape = liar.some(shape)
        older = rng.random() < 0.5
        space = liar.pack(
            "<BBBB4x" if older else "<BBBB", 1 if older else 2, len(shape), 0, *(() if older else (1,)), *((0,) if older else ())
        )
        space += liar.pack(f"<{len(shape)}Q", *shape)
        messages = [(1, space), (3, datatype(liar, array.dtype.str))]
        if not array.any() and rng.random() < 0.6:
            layout = struct.pack("<BBQQ", 3, 1, UNDEFINED, array.nbytes)
            messages.append(
                (
                    5,
                    liar.pick(
                        b"\3\x0a",
                        b"\1\0\0\1",
                        b"\3\x2a\4\0\0\0\0\0\0\0",
                        b"\3\x2a\5\0\0\0\0\0\0\0\0",
                        b"\2\1\0\0",
                        b"\3\x2a\4\0\0\0\0\0\0\1",
                        b"\2\1\0\1\4\0\0\0\0\0\0\0",
                        b"\3\x2a\xff\xff\xff\xff",
                    ),
                )
            )
        elif rng.random() < 0.2:
            layout = liar.pack("<BBH", 3, 0, array.nbytes) + array.tobytes()
        else:
            kind = liar.pick(1, 0, 2, 3, 7)
            layout = liar.pack("<BBQQ", rng.choice((3, 3, 4)), kind, self.values(array), array.nbytes)
        return self.place(self.header([*messages, (8, layout)]))

    def values(self, array: np.ndarray) -> int:
        """The address of a dataset's values, or one within those of another."""
        self.places.append(self.place(self.liar.pick(array.tobytes(), array.tobytes()[:-1])))
        return self.liar.pick(self.places[-1], self.places[0], self.places[0] + 1)

    def finish(self, root: int) -> bytes:
        """The file with its superblock."""
        liar = self.liar
        self.content += bytes(max(0, 1100 - len(self.content)))  # a file must be as large as what it has not written
        end = len(self.content)
        if self.rng.random() < 0.5:
            sizes = liar.pack("<8B2HI", *(0, 0, 0, 0, 0, 8, 8, 0), 4, 16, 0)
            start = sizes + liar.pack("<4Q2Q24x", 0, UNDEFINED, end, UNDEFINED, 0, root)
        else:
            start = liar.pack("<4B4Q", self.rng.choice((2, 3)), 8, 8, 0, 0, UNDEFINED, end, root) + b"sums"
        start = liar.text(b"\x89HDF\r\n\x1a\n") + start
        return start.ljust(96, b"\0") + bytes(self.content[96:])


FLOATS = {"<f2": (2, 5, 10), "<f4": (4, 8, 23), "<f8": (8, 11, 52)}


def datatype(liar: Liar, code: str) -> bytes:
    """A datatype message."""
    size = np.dtype(code).itemsize
    if code in FLOATS:
        _, exponent, mantissa = FLOATS[code]
        fields = (0x11, 0x20, 8 * size - 1, 0, size, 0, 8 * size, mantissa, exponent, 0, mantissa, 2 ** (exponent - 1) - 1)
        return liar.pack("<BBBBIHHBBBBI", *fields)
    return liar.pack("<BBBBIHH", 0x10, 8 if "i" in code else 0, 0, 0, size, 0, 8 * size)


def hdf5(rng: random.Random) -> Case:
    """A file of groups and datasets, with lies."""
    liar = Liar(rng)
    file, expected = Hdf5(liar), {}

    def tree_of(path: str, depth: int) -> int:
        members = {}
        for name, array in arrays(rng, [code for code in CODES.values() if code != "|b1"], 3).items():
            array = np.zeros_like(array) if rng.random() < 0.1 else array
            name = rng.choice((name.replace(".", "_"), "classifier", "kernel:0"))
            members[name] = file.dataset(array)
            liar.known.append(members[name])
            expected[path + name] = array
        for _ in range(rng.choice((0, 1, 2)) if depth else 0):
            name = rng.choice(("convbert", "g", "embeddings", "qa_outputs", "tf_conv_bert_model"))
            if name not in members:
                members[name] = tree_of(f"{path}{name}/", depth - 1)
        return file.group(members)

    if rng.random() < 0.1:
        root, expected = copies(file)
    else:
        root = tree_of("", rng.choice((0, 1, 2)))
    content = file.finish(liar.pick(root, *liar.known[-3:]))
    if rng.random() < 0.02:
        content, liar.told = hdf5_amounts(rng), 1
    return Case({"x.h5": content}, "x.h5", "hdf5", None if liar.told else expected)


def copies(file: Hdf5) -> tuple[int, dict[str, np.ndarray]]:
    """A group that has the embeddings of words several times, and what must be read if these agree."""
    rng = file.rng
    array, members, expected = array_of(rng, "<f4", (3, 2)), {}, {}
    for group in rng.sample(("convbert", "generator_lm_head", "c", "d", "e", "f"), rng.choice((1, 2, 2, 3, 6))):
        differs = rng.random() < 0.15
        own = array_of(rng, rng.choice(("<f4", "<f8")), rng.choice(((3, 2), (2, 3), (6,)))) if differs else array
        at = file.dataset(own)
        for name in ("weight:0", "word_embeddings", "embeddings", "convbert", "m"):
            at = file.group({name: at})
        members[group] = at
        expected[f"{group}/m/convbert/embeddings/word_embeddings/weight:0"] = own
    return file.group(members), expected


def hdf5_amounts(rng: random.Random) -> bytes:
    """A file that asks for much: deep groups, long blocks, blocks that overlap, wide trees."""
    file = Hdf5(Liar(rng, 0.0))
    kind, count = rng.randrange(6), rng.choice((40, 1000, 30_000, 101_000))
    if kind == 0:
        at = file.dataset(np.zeros(2))
        for _ in range(min(count, 1000)):
            at = file.group({rng.choice(("g", "g" * 200)): at})
        return file.finish(at)
    if kind == 1:
        return file.finish(file.place(file.header([(0, b"")] * min(count, 8000))))
    if kind == 2:
        return file.finish(file.group({f"{i}": 96 + 8 * i for i in range(min(count, 5000))}))
    if kind == 3:  # continuation blocks, each within the one before
        begin = len(file.content)
        file.content += b"".join(
            struct.pack("<HHB3xQQ", 0x10, 16, 0, begin + 24 * (i + 1), 24 * count) for i in range(count)
        ) + bytes(24 * count)
        return file.finish(file.place(struct.pack("<BxHII4x", 1, 1, 1, 24) + struct.pack("<HHB3xQQ", 0x10, 16, 0, begin, 24)))
    if kind == 4:  # a symbol node with names that overlap
        names = file.place(b"x" * 1000 + bytes(8))
        heap = file.place(struct.pack("<4sB3xQQQ", b"HEAP", 0, 1008, 1, names))
        entries = b"".join(struct.pack("<QQ24x", i % 1000, 96) for i in range(count))
        nodes = [file.place(struct.pack("<4sBxH", b"SNOD", 1, min(count, 65535)) + entries)]
        return file.finish(file.place(file.header([(0x11, struct.pack("<QQ", file.tree(nodes, 0), heap))])))
    tree = file.tree([len(file.content)] * 3, 9)
    for level in range(10):
        tree = file.tree([tree + rng.choice((0, 8)) for _ in range(rng.choice((2, 1000)))], level)
    return file.finish(file.place(file.header([(0x11, struct.pack("<QQ", tree, tree))])))


@cache
def hdf5_seeds(largest: int) -> list[bytes]:
    """The fixtures of at most so many bytes."""
    found = [gzip.decompress(path.read_bytes()) for path in sorted((FIXTURES / "tf2").rglob("*.h5.gz"))]
    return [content for content in found if len(content) <= largest]


def hdf5_blind(rng: random.Random) -> Case:
    """A file of h5py's or Keras', with mutations that are mostly of its structures."""
    seeds = hdf5_seeds(10**9 if rng.random() < 0.03 else 30_000)
    content = rng.choice(seeds)
    if rng.random() < 0.3:
        return Case({"x.h5": blind(rng, content, 2, rng.choice(hdf5_seeds(10_000)))}, "x.h5", "hdf5")
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4))):
        signature = rng.choice((b"TREE", b"SNOD", b"HEAP", b"OHDR", b"OCHK", b"\x01\x00", b"\x11\x20", b"\x08\x00", b"\x89HDF"))
        places = [i for i in range(0, len(content)) if content.startswith(signature, i)] if len(content) < 5000 else []
        start = rng.choice(places) if places else max(0, content.find(signature, rng.randrange(len(content))))
        place = start + rng.choice((rng.randrange(8), 8 * rng.randrange(16), rng.randrange(200)))
        size = rng.choice((1, 2, 4, 8, 8))
        old = int.from_bytes(content[place : place + size], "little")
        value = another_number(rng, old, (rng.choice(places) if places else 96, len(content), 96, old, UNDEFINED))
        changed[place : place + size] = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
    return Case({"x.h5": bytes(changed)}, "x.h5", "hdf5")
