"""Fuzzed files of PyTorch, in both forms: pickles built and changed instruction by instruction, and the bytes of tensors."""

import pickletools
import random
import struct
import zipfile
from functools import cache

import numpy as np
from fuzz_parts import EDGES, FIXTURES, NAMES, Case, Liar, arrays, blind
from fuzz_zip import WIDE, Part, archive

TORCH = FIXTURES / "torch"
STORAGES = {"<f4": "FloatStorage", "<f8": "DoubleStorage", "<f2": "HalfStorage", "<i8": "LongStorage", "<i4": "IntStorage",
            "|u1": "ByteStorage", "|b1": "BoolStorage"}  # fmt: skip


def text(value: str, rng: random.Random | None = None) -> bytes:
    raw = value.encode("utf-8", "surrogatepass")
    if rng and len(raw) < 256 and rng.random() < 0.5:
        return b"\x8c" + bytes([len(raw)]) + raw
    return b"X" + struct.pack("<I", len(raw)) + raw


def integer(value: int) -> bytes:
    if 0 <= value < 256:
        return b"K" + bytes([value])
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def named(module: str, name: str, rng: random.Random) -> list[bytes]:
    if rng.random() < 0.7:
        return [f"c{module}\n{name}\n".encode()]
    return [text(module), text(name), b"\x93"]


def sizes(values: list[int]) -> list[bytes]:
    return [b"(", *map(integer, values), b"t"]


class Program:
    """The pickle of a state dict, and the storages that it asks for."""

    def __init__(self, liar: Liar, prefix: str = ""):
        self.liar, self.rng, self.prefix = liar, liar.rng, prefix
        self.storages: dict[str, bytes] = {}
        self.counts: dict[str, int] = {}
        self.expected: dict[str, np.ndarray] = {}

    def build(self) -> list[bytes]:
        """The instructions."""
        items = []
        for key, array in self.liar.some(list(arrays(self.rng).items())):
            told, name = self.liar.told, self.prefix + key
            items.append(
                [integer(1) if self.liar.lies(0.3) else text(self.liar.pick(name, *NAMES), self.rng), *self.value(array)]
            )
            if told == self.liar.told:
                self.expected[name] = array
        content = self.dict_of(items)
        if items and self.rng.random() < 0.2:
            content = self.dict_of([[text(self.rng.choice(("model", "state_dict", "model_state_dict"))), *content]])
        return [b"\x80" + bytes([self.liar.number(self.rng.choice((2, 2, 3, 4, 5))) & 255]), *content, b"."]

    def dict_of(self, items: list[list[bytes]]) -> list[bytes]:
        """A dict or an OrderedDict."""
        ordered = self.rng.random() < 0.5
        start = [*named("collections", "OrderedDict", self.rng), b")", b"R"] if ordered else [b"}"]
        parts = [part for item in items for part in item]
        body = [b"(", *parts, b"u"] if self.rng.random() < 0.6 else [part for item in items for part in (*item, b"s")]
        state = [b"}", text("_metadata"), b"}", b"s", b"b"] if ordered and self.rng.random() < 0.5 else []
        return [*start, *body, *state]

    def value(self, array: np.ndarray) -> list[bytes]:
        """A tensor, or a parameter made from it."""
        liar, rng = self.liar, self.rng
        key = liar.pick(str(len(self.storages)), "0", "../data.pkl", "x" * 200)
        offset, more = rng.choice(((0, 0), (1, 2)))
        if array.dtype.kind == "b" and liar.lies():
            array = np.full(array.shape, 2, np.uint8).view(np.bool_)
        item = array.dtype.itemsize
        flip_axes = array.ndim > 1 and rng.random() < 0.3
        laid = np.array(array.T if flip_axes else array, order="C")
        self.storages[key] = bytes(offset * item) + laid.tobytes() + bytes(more * item)
        self.counts[key] = array.size + offset + more
        strides = [n // item for n in (laid.T if flip_axes else laid).strides]
        kind = liar.pick(
            STORAGES[array.dtype.str], *STORAGES.values(), "BFloat16Storage", "ComplexFloatStorage", "UntypedStorage"
        )
        storage = [
            b"(", text(liar.pick("storage", "module")), *named("torch", kind, rng), text(key), text("cpu"),
            integer(liar.number(self.counts[key])), b"t", b"Q",
        ]  # fmt: skip
        shape = [liar.number(size) for size in array.shape]
        strides = [liar.number(stride) for stride in strides]
        if liar.lies():
            shape, strides = rng.choice(
                (([2**62], [0]), ([2**31] * 2, [0, 0]), ([0, 2**62, 2**62], [1, 1, 1]), ([1] * 65, [1] * 65), ([2], [1, 1]),
                 ([2**62] * 64, [2**62] * 64), ([1] * 64, [2**63 - 1] * 64), ([10**9], [0]), ([0], [2**63 - 1]), ([1] * 64,
                 [0] * 64))
            )  # fmt: skip
        made = [*named("torch._utils", "_rebuild_tensor_v2", rng), b"(", *storage, integer(liar.number(offset))]
        made += [
            *sizes(liar.some(shape)),
            *sizes(liar.some(strides)),
            b"\x89",
            *named("collections", "OrderedDict", rng),
            b")",
            b"R",
        ]
        made += [*liar.pick([], [b"}", text("neg"), b"\x88", b"s"], [b"N"], [b"N", b"N"]), b"t", b"R"]
        if rng.random() < 0.15:
            return [
                *named("torch._utils", "_rebuild_parameter", rng),
                b"(",
                *made,
                b"\x88",
                b"N" if liar.lies() else b")",
                b"t",
                b"R",
            ]
        return made


ARGUMENTS = {"uint1": 1, "uint2": 2, "int4": 4, "uint4": 4, "uint8": 8, "float8": 8}


def random_instruction(rng: random.Random) -> bytes:
    """Any instruction of any protocol, with some argument."""
    opcode = rng.choice(pickletools.opcodes)
    code = opcode.code.encode("latin-1")
    if opcode.arg is None:
        return code
    kind, width = opcode.arg.name, opcode.arg.name[-1]
    if kind in ARGUMENTS:
        return code + (rng.choice([*EDGES, 0, 1, 2, 3]) & (1 << 8 * ARGUMENTS[kind]) - 1).to_bytes(ARGUMENTS[kind], "little")
    if width in "148":
        raw = rng.choice((b"", b"x", b"os", "\u00e9".encode(), b"\xff", b"\xed\xa0\x80", rng.randbytes(200), bytes(9)))
        return code + (len(raw) if rng.random() < 0.8 else rng.choice(EDGES) & 255).to_bytes(int(width), "little") + raw
    lines = rng.choice(
        (b"0\n", b"1\n", b"-1L\n", b"'x'\n", b"x\n", b"00\n", b"9" * 5000 + b"\n", b"1.5\n", b"\xff\n", b"\n", b"x")
    )
    return code + (b"torch\n" if "pair" in kind else b"") + lines


def changed_program(rng: random.Random, program: list[bytes], times: int) -> list[bytes]:
    """Instructions, some of them left out, repeated, exchanged, with another argument, or strange ones."""
    program = list(program)
    for _ in range(times):
        first, second = (rng.randrange(len(program) or 1) for _ in range(2))
        kind = rng.randrange(7)
        if kind == 0:
            del program[first : first + 1]
        elif kind == 1:
            program[second:second] = program[first : first + rng.choice((1, 1, 3, 10))]
        elif kind == 2 and program:
            program[first], program[second] = program[second], program[first]
        elif kind == 3 and program:
            program[first] = program[first][:1] + blind(rng, program[first][1:], 1)
        elif kind == 4:
            memo = bytes([rng.choice((0, 0, 1, 2))])
            program[first:first] = [
                rng.choice((b"q" + memo, b"h" + memo, b"\x94", b"r" + memo + b"\0\0\0", b"j" + memo + b"\0\0\0"))
            ]
        elif kind == 5:
            program[first:first] = [
                rng.choice((b"(", b"t", b")", b"}", b"]", b"N", b"R", b"b", b"s", b"u", b"a", b"e", b"Q", b"\x85", b"\x86"))
            ]
        else:
            program[first:first] = [random_instruction(rng)]
    return program


def amounts(rng: random.Random) -> list[bytes]:
    """A program that asks for much: nesting, many values, long texts."""
    count = rng.choice((10, 1000, 20_000, 299_990, 300_001))
    if rng.random() < 0.05:
        return many_tensors(min(count, 70_000))
    return [
        b"\x80\2",
        *rng.choice(
            (
                [b"]" * count], [b"}" * count], [b"]" * count + b"a" * (count - 1)], [b"(" * count], [b")" + b"\x85" * count],
                [b"}q\0" + b"h\0" * count], [b"]" + b"q\0h\0a" * (count // 3)], [b"((" + b"t" * count], [b"]\x94" * (count // 2)],
                [b"](" + b"N" * count + b"e"], [b"}", b"".join(integer(i) + b"Ns" for i in range(count // 3))],
                [b"}(" + b"".join(text(str(i)) + b"N" for i in range(count // 3)) + b"u"],
                [text("x" * (count * 20) + "\U0001f600")], *([*place] for place in odd_texts(count)),
                [b"".join(integer(1 << 2000) for _ in range(min(count, 20_000)))],
                [b"ccollections\nOrderedDict\n)R" * (count // 20)],
                [b"".join(b"r" + struct.pack("<I", i * 4099 & WIDE) for i in range(count // 3))], [b"N\x94" + b"\x86" * count],
                [b"}" + b"h\0" * 5 + b"q\0)\x81" * count], [b"N" + b"\x94\x86" * 0 + b"q\0h\0\x86" * (count // 3)],
                [b"\x95" + bytes(8)] * (count // 10), [(text("k") + b"q\0" + b"h\0" * 9) * (count // 20)],
            )
        ),
        b".",
    ]  # fmt: skip


def odd_texts(count: int) -> list[list[bytes]]:
    """Programs with very long texts, whose repr takes four times the memory: as a key, twice, as a global, as a tensor's name."""
    long = text("\U0001f600" + "\x7f" * (12 * count))
    start, _, *rest = many_tensors(0)
    named = [start.removeprefix(b"\x80\2"), long, *rest[:-1], b"u"]
    return [[b"}", long, b"Ns"], [b"}", long, b"Ns", long, b"Ns"], [long, text("x"), b"\x93"], named]


def many_tensors(count: int) -> list[bytes]:
    """So many tensors on one storage, each made by two instructions and a name."""
    function = b"ctorch._utils\n_rebuild_tensor_v2\nq\1"
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + integer(0) + b"tQ"
    tensors = [text(str(number)) + b"h\1h\2R" for number in range(count)]
    return [b"\x80\2}(", text("a"), function, b"(", storage, b"K\0K\0\x85K\1\x85tq\2R", *tensors, b"u."]


def split(content: bytes) -> list[bytes]:
    """The instructions of a pickle."""
    places = [place for _, _, place in pickletools.genops(content) if place is not None]
    return [content[begin:end] for begin, end in zip(places, [*places[1:], places[-1] + 1], strict=True)]


@cache
def torch_seeds() -> list[tuple[str, bytes, dict[str, bytes]]]:
    """Of each file in the zip form: its name, its pickle, and its storages."""
    found = []
    for path in sorted(TORCH.glob("*.bin")):
        if ".legacy" not in path.name and path.name != "without_crc.bin":
            with zipfile.ZipFile(path) as file:
                root = next(name for name in file.namelist() if name.endswith("/data.pkl")).removesuffix("/data.pkl")
                storages = {
                    n.removeprefix(f"{root}/data/"): file.read(n) for n in file.namelist() if n.startswith(f"{root}/data/")
                }
                found.append((root, file.read(f"{root}/data.pkl"), storages))
    return found


def torch_parts(liar: Liar, pickled: bytes, storages: dict[str, bytes]) -> list[Part]:
    """The members of PyTorch's zip form."""
    rng = liar.rng
    root = rng.choice((b"archive", b"a", b"pytorch_model"))
    order = rng.choice((b"big", b"", b"little" * 9, b"\xff")) if liar.lies(2) else b"little"
    more = [Part(root + b"/byteorder", order)] if rng.random() < 0.7 else []
    more += liar.pick([], [Part(b"b/data.pkl", pickled)], [Part(root + b"/constants.pkl", b"")], [Part(root + b"/code/x.py",
    b"")],
                      [Part(b"../x", b"")], [Part(root + b"/x", b"x" * 99, True)], [Part(root + b"/data.pkl", b"")])  # fmt: skip
    data = [
        Part(root + b"/data/" + key.encode(), liar.pick(value, value[:-1], value + b"\0", b"")) for key, value in storages.items()
    ]
    return [Part(liar.pick(root + b"/data.pkl", b"data.pkl", b"a/b/data.pkl"), pickled, liar.lies(0.2)), *more, *data]


def torch_zip(rng: random.Random) -> Case:
    """A file of PyTorch's zip form."""
    liar = Liar(rng)
    kind = rng.random()
    if kind < 0.5:
        program = Program(liar)
        pickled, storages, expected = b"".join(program.build()), program.storages, program.expected
    else:
        _, pickled, storages = rng.choice(torch_seeds())
        expected = None
    content = archive(liar, torch_parts(liar, pickled, storages), rng.choice((1, 64)))
    return Case({"x.bin": content}, "x.bin", "torch", None if liar.told else expected)


def legacy(liar: Liar, program: bytes, storages: dict[str, bytes], counts: dict[str, int]) -> bytes:
    """A file of PyTorch's legacy form."""
    magic = b"\x80\2" + integer(liar.number(0x1950A86A20F9469CFC6C)) + b"."
    version = b"\x80\2" + integer(liar.number(1001)) + b"."
    system = b"\x80\2}" + text("little_endian") + liar.pick(b"\x88", b"\x89", b"N", b"K\1") + b"s."
    order = liar.some(list(storages))
    if len(order) > 1 and liar.lies():
        order[0] = order[1]
    keys = b"\x80\2](" + b"".join(map(text, order)) + b"e."
    data = b"".join(liar.pack("<Q", counts.get(key, 0)) + liar.pick(storages[key], storages[key][:-1]) for key in order)
    return liar.text(magic) + version + liar.text(system) + program + keys + data


def torch_legacy(rng: random.Random) -> Case:
    """A file of PyTorch's legacy form."""
    liar = Liar(rng)
    program = Program(liar)
    pickled = program.build()
    if liar.lies(3):
        pickled = changed_program(rng, pickled, rng.randint(1, 4))
    content = legacy(liar, b"".join(pickled), program.storages, program.counts)
    return Case({"x.bin": content}, "x.bin", "torch", None if liar.told else program.expected)


def pickles(rng: random.Random) -> Case:
    """A changed or large pickle, rightly packed in one of the forms."""
    honest = Liar(rng, 0.0)
    program = Program(Liar(rng, rng.choice((0.0, 0.01, 0.05))))
    kind = rng.random()
    storages, counts = program.storages, program.counts
    if kind < 0.01:
        instructions = amounts(rng)
    elif kind < 0.06:
        instructions = [b"\x80\2", *(random_instruction(rng) for _ in range(rng.choice((1, 5, 30)))), b"."]
    elif kind < 0.3:
        _, content, storages = rng.choice(torch_seeds())
        instructions = changed_program(rng, split(content), rng.choice((1, 1, 2, 5)))
    else:
        instructions = changed_program(rng, program.build(), rng.choice((1, 1, 2, 3, 8)))
    pickled = b"".join(instructions)
    if rng.random() < 0.7:
        content = archive(
            honest, [Part(b"a/data.pkl", pickled), *(Part(b"a/data/" + k.encode(), v) for k, v in storages.items())]
        )
    else:
        content = legacy(honest, pickled, storages, counts)
    return Case({"x.bin": content}, "x.bin", "torch")


def torch_file(rng: random.Random, pattern: str) -> bytes:
    """The content of one of PyTorch's own files."""
    return rng.choice(seed_files(pattern))


@cache
def seed_files(pattern: str) -> list[bytes]:
    """The content of fixtures."""
    return [path.read_bytes() for path in sorted(TORCH.glob(pattern))]


def torch_blind(rng: random.Random) -> Case:
    """A file of PyTorch's with blind mutations."""
    content = blind(rng, torch_file(rng, "*"), rng.choice((1, 1, 3)), torch_file(rng, "*"))
    return Case({"x.bin": content}, "x.bin", "torch")
