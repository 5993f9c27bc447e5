"""Fuzzed safetensors and indexes of shards, and files of no format or of two."""

import json
import random
import struct
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from fuzz_bundle import bundle_seeds
from fuzz_hdf5 import Hdf5, hdf5_seeds
from fuzz_parts import CODES, FIXTURES, GOLDEN, NAMES, Case, Liar, array_of, arrays, blind, changed_json, json_text, serialised
from fuzz_torch import Program, torch_parts, torch_seeds
from fuzz_zip import Part, archive

from convbert_np.checkpoints.safetensors import write_safetensors

UNDEFINED = 2**64 - 1
TYPES = {"<f4": "F32", "<f8": "F64", "<f2": "F16", "<i8": "I64", "<i4": "I32", "|u1": "U8", "|b1": "BOOL"}


# Safetensors.


def safetensors_of(header: bytes, data: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", (len(header) if length is None else length) & UNDEFINED) + header + data


def safetensors(rng: random.Random) -> Case:
    """A header with lies, of the right length, and the values."""
    liar, given = Liar(rng), arrays(rng)
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}} if rng.random() < 0.3 else {}
    data = b""
    for name, array in given.items():
        extent = [liar.number(len(data)), liar.number(len(data) + array.nbytes)]
        shape = [liar.number(size) for size in array.shape]
        if liar.lies(0.3):
            shape, extent = rng.choice(([0, 2**62], [2**62, 4, 0], [1] * 64, [1] * 65, [2**63 - 1] * 2)), [len(data)] * 2
        kind = liar.pick(TYPES[array.dtype.str], *TYPES.values(), "BF16", "C64", "F8_E5M2", "f32", "")
        header[liar.pick(name, *NAMES)] = {"dtype": kind, "shape": liar.some(shape), "data_offsets": liar.some(extent)}
        data += array.tobytes()
    odd = rng.choice((0.0, 0.0, 0.0, 0.2))
    value: Any = header
    if rng.random() < 0.3:
        liar.told += 1
        value = changed_json(rng, header)
    text = json_text(rng, value, odd) if odd else serialised(rng, value, 0.0).encode("utf-8", "surrogatepass")
    if rng.random() < 0.003:
        text = many_values(rng)
        liar.told += 1
    text += b" " * rng.choice((0, -len(text) % 8))
    content = safetensors_of(text, liar.pick(data, data[:-1], data + b"\0", b""), liar.number(len(text)))
    return Case({"x.safetensors": content}, "x.safetensors", "safetensors", None if liar.told or odd else given)


def many_values(rng: random.Random) -> bytes:
    """JSON of very many values, or a very long text."""
    count = rng.choice((1000, 100_000, 1_000_000))
    entry = b'"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    return rng.choice(
        (
            b'{"a":[' + b"[]," * count + b"[]]}", b'{"a":[' + b'{"a":{}},' * (count // 4) + b"[]]}", b'{"a":' * count,
            b'{"a":' + b"[" * count,
            b'{"a":' + b"[" * 900 + b"]" * 900 + b"}", b'{"a":"' + b"x" * (9 * count + 900_000) + "\U0001f600".encode() + b'"}',
            b'{"a":' + b"9" * 4000 + b"}",
            b"{" + b",".join(entry % i for i in range(count // 20)) + b"}",
            b"{" + b",".join(entry % 1 for _ in range(count // 20)) + b"}",
            b'{"a":{"dtype":"F32","data_offsets":[0,0],"shape":[' + b"0," * count + b"0]}}", b'{"a":[' + b"1e5," * count + b"1]}",
            b'{"a":[' + b"9" * 4000 + (b"," + b"9" * 4000) * (count // 1000) + b"]}",
            b'{"__metadata__":{' + b",".join(b'"%d":""' % i for i in range(count // 20)) + b"}}",
            b'{"a":"' + b"\\u0001" * count + b'"}', *odd_texts(count), b'{"a":[' + b'"\xc3\xa9",' * count + b"1]}",
        )
    )  # fmt: skip


def odd_texts(count: int) -> list[bytes]:
    """Very long texts in every place of a header, whose repr takes four times the memory."""
    text = '"\U0001f600' + "\x7f" * (4 * count) + '"'
    entry = '{%s:{"dtype":%s,"shape":%s,"data_offsets":%s}}'
    places = (text, '"F32"', "[0]", "[0,0]"), ('"a"', text, "[0]", "[0,0]"), ('"a"', '"F32"', f"[{text}]", "[0,0]")
    twice = f"{{{text}:1,{text}:1}}"
    return [(entry % place).encode() for place in (*places, ('"a"', '"F32"', "[0]", f"[0,{text}]"))] + [twice.encode()]


@cache
def safetensors_seeds() -> list[bytes]:
    """Small files: of the official library, of our own writer, and the smallest golden one cut down."""
    found = [path.read_bytes() for path in sorted((FIXTURES / "torch").glob("*.safetensors"))]
    rng = random.Random(2)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.safetensors")
        for _ in range(4):
            given = {f"x{i}": array_of(rng, rng.choice(list(CODES.values())), (2, 3)) for i in range(4)}
            write_safetensors(path, given, {"format": "pt"})
            found.append(path.read_bytes())
    return found


@cache
def golden() -> list[bytes]:
    """The golden files, which are larger."""
    return [path.read_bytes() for path in sorted(GOLDEN.glob("*.safetensors"))]


def safetensors_blind(rng: random.Random) -> Case:
    """A seed with blind mutations, mostly in the header, or with its JSON changed and a right length."""
    content = rng.choice(golden() if rng.random() < 0.02 else safetensors_seeds())
    length = struct.unpack("<Q", content[:8])[0]
    header, data = content[8 : 8 + length], content[8 + length :]
    if rng.random() < 0.5:
        value = changed_json(rng, json.loads(header))
        changed = safetensors_of(json_text(rng, value, rng.choice((0.0, 0.1))), data)
    elif rng.random() < 0.7:
        changed = safetensors_of(blind(rng, header, 3, rng.choice(safetensors_seeds())), data)
    else:
        changed = blind(rng, content, 3, rng.choice(safetensors_seeds()))
    return Case({"x.safetensors": changed}, "x.safetensors", "safetensors")


# Indexes of shards.


def shards(rng: random.Random) -> Case:
    """An index of safetensors or of PyTorch's files, with lies, and its shards."""
    liar = Liar(rng)
    ending = liar.pick(rng.choice((".safetensors", ".bin", ".h5")), ".npz", "")
    files, weights, expected = {}, {}, {}
    for number in range(rng.randint(1, 3)):
        name = f"model-{number + 1:05}-of-00003{ending}"
        header, data = {}, b""
        if ending == ".bin":
            program = Program(liar, f"{liar.pick(number, 0)}.")
            pickled = b"".join(program.build())
            content = archive(liar, torch_parts(liar, pickled, program.storages))
            weights |= {liar.pick(key, *NAMES): name for key in program.expected}
            expected |= program.expected
        elif ending == ".h5":
            file = Hdf5(liar)
            found = {f"{liar.pick(number, 0)}.{key}": array for key, array in arrays(rng).items() if array.dtype.kind != "b"}
            content = file.finish(file.group({key: file.dataset(array) for key, array in found.items()}))
            weights |= dict.fromkeys(found, name)
            expected |= found
        else:
            for key, array in arrays(rng).items():
                key = f"{liar.pick(number, 0)}.{key}"
                header[key] = {
                    "dtype": TYPES[array.dtype.str],
                    "shape": list(array.shape),
                    "data_offsets": [len(data), len(data) + array.nbytes],
                }
                data += array.tobytes()
                weights[liar.pick(key, *NAMES)] = name
                expected[key] = array
            content = safetensors_of(json.dumps(header).encode(), data)
        if name in weights.values():
            files[name] = liar.text(content)
    listed = {
        key: liar.pick(name, *NAMES, "../" + name, "./" + name, "/" + name, f"model{ending}.index.json", "x" + name, name.upper())
        for key, name in weights.items()
    }
    value: Any = {"metadata": {"total_size": 1}, "weight_map": listed}
    odd = rng.choice((0.0, 0.0, 0.2))
    if rng.random() < 0.3:
        value = changed_json(rng, value)
        liar.told += 1
    text = json_text(rng, value, odd)
    if rng.random() < 0.002:
        text, odd = many_values(rng), 1.0
    elif rng.random() < 0.002:
        text, odd = serialised(rng, {"weight_map": {f"x{i}": f"f{i}" for i in range(300)}}, 0.0).encode(), 1.0
    target = f"model{ending}.index.json"
    known = expected if ending in (".safetensors", ".bin", ".h5") and expected else None
    if liar.lies(0.3) and files:
        files.pop(rng.choice(list(files)))
    return Case(files | {target: text}, target, "index", None if liar.told or odd else known)


# Anything.


def anything(rng: random.Random) -> Case:
    """Bytes of two formats together, or of none, under any name."""
    seeds = (
        safetensors_seeds(),
        hdf5_seeds(5000),
        [packed_seed(part) for part in torch_seeds()[:2]],
        [index for index, _ in bundle_seeds()],
    )
    first, second = rng.choice(rng.choice(seeds)), rng.choice(rng.choice(seeds))
    starts = (b"", b"PK\3\4", b"PK\5\6" + bytes(18), b"\x80\2", b"\x89HDF\r\n\x1a\n", b"version https://git-lfs",
    b"\2" + bytes(7) + b"{}",
              bytes(257) + b"ustar", b"\x93NUMPY")  # fmt: skip
    content = rng.choice(
        (rng.choice(starts) + rng.randbytes(rng.choice((0, 1, 40, 600))), first + second, blind(rng, first, 3, second))
    )
    ending = rng.choice(
        (
            ".bin",
            ".pt",
            ".safetensors",
            ".h5",
            ".npz",
            ".index",
            ".ckpt",
            "",
            ".safetensors.index.json",
            ".bin.index.json",
            ".index.json",
        )
    )
    reader = rng.choice(("safetensors", "torch", "hdf5", "bundle", "npz"))
    name = "x" + (".index" if reader == "bundle" else ending)
    return Case({name: content}, name, reader)


def packed_seed(part: tuple[str, bytes, dict[str, bytes]]) -> bytes:
    """A seed of PyTorch's packed again."""
    _, pickled, storages = part
    return archive(
        Liar(random.Random(0), 0.0),
        [Part(b"a/data.pkl", pickled), *(Part(b"a/data/" + k.encode(), v) for k, v in storages.items())],
    )
