"""The parts of PyTorch's files, to put honest and lying ones together by hand; and what the fixtures hold."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from convbert_np.checkpoints import read_header, read_safetensors
from convbert_np.checkpoints.stored import StoredTensor

FIXTURES = Path(__file__).parent / "fixtures" / "checkpoints" / "torch"
OBJECTS = ("types", "views", "parameters", "state_dict", "wrapped", "model_state_dict")
SAME = {"without_crc.bin": "state_dict", **{f"protocol_{version}.bin": "state_dict" for version in (3, 4, 5)}}
FILES = {f"{name}{form}": name for name in OBJECTS for form in (".bin", ".legacy.bin")} | SAME


def expected_of(name: str) -> dict[str, tuple[str, np.ndarray]]:
    """Type and values, those of a bfloat16 as float32, of the tensors of an object."""
    path = FIXTURES / "expected.safetensors"
    kinds = {entry: value.dtype for entry, value in read_header(path).tensors.items()}
    found = read_safetensors(path).items()
    pairs = {entry: ("bfloat16" if kinds[entry] == "BF16" else x.dtype.name, x) for entry, x in found}
    return {entry.split("/")[1]: pair for entry, pair in pairs.items() if entry.split("/")[0] == name}


def assert_same(tensors: dict[str, StoredTensor], expected: dict[str, tuple[str, np.ndarray]]) -> None:
    assert sorted(tensors) == sorted(expected)
    for name, (dtype, values) in expected.items():
        tensor = tensors[name]
        assert (tensor.name, tensor.dtype, tensor.shape) == (name, dtype, values.shape)
        for array in (tensor.array(), tensor.copy()):
            assert (array.dtype, array.shape, array.tobytes()) == (values.dtype, values.shape, values.tobytes())
        view, fetched = tensor.view(), tensor.fetch()
        assert not view.flags.writeable and fetched.flags.writeable and fetched.flags.c_contiguous
        assert not np.shares_memory(view, fetched) and fetched.nbytes == tensor.nbytes


def entry_of(name: str, content: bytes, /, **changes: Any) -> dict:
    """A member as its fields; `changes` are lies of the central directory, or with local_ before their names of the header.

    hole: so many bytes more, which the file system need not store; place: of the header, as the directory says.
    """
    fields = {"flags": 0x800, "method": 0, "crc": zlib.crc32(content), "packed": len(content), "size": len(content)}
    return {"name": name.encode(), "content": content, "disk": 0, "hole": 0, **fields, **changes}


def write_parts(path: Path, entries: list[dict], **changes: Any) -> None:
    """Write an archive of entries, with zip64 numbers where they are needed; `changes` are lies of the end records."""
    directory = b""
    with open(path, "wb") as file:
        for entry in entries:
            place = entry.get("place", file.tell())
            local = {key: entry.get(f"local_{key}", entry[key]) for key in ("flags", "method", "crc", "packed", "size", "name")}
            numbers = [n for n in (local["size"], local["packed"]) if n >= 2**32 - 1]
            extra = entry.get(
                "local_extra", struct.pack(f"<2H{len(numbers)}Q", 1, 8 * len(numbers), *numbers) if numbers else b""
            )
            sizes = [min(local[key], 2**32 - 1) for key in ("packed", "size")]
            file.write(
                struct.pack(
                    "<4s5H3I2H",
                    b"PK\3\4",
                    20,
                    local["flags"],
                    local["method"],
                    0,
                    0,
                    local["crc"],
                    *sizes,
                    len(local["name"]),
                    len(extra),
                )
            )
            file.write(local["name"] + extra + entry["content"])
            file.seek(entry["hole"], 1)
            numbers = [n for n in (entry["size"], entry["packed"], place) if n >= 2**32 - 1]
            extra = entry.get("extra", struct.pack(f"<2H{len(numbers)}Q", 1, 8 * len(numbers), *numbers) if numbers else b"")
            sizes = [min(entry[key], 2**32 - 1) for key in ("packed", "size")]
            lengths = len(entry["name"]), len(extra), 0, entry["disk"], 0, 0, min(place, 2**32 - 1)
            directory += struct.pack(
                "<4s6H3I5H2I", b"PK\1\2", 20, 20, entry["flags"], entry["method"], 0, 0, entry["crc"], *sizes, *lengths
            )
            directory += entry["name"] + extra
        begin = changes.get("begin", file.tell())
        file.write(directory)
        count, size, end = changes.get("count", len(entries)), changes.get("length", len(directory)), file.tell()
        if changes.get("wide", begin >= 2**32 - 1):
            numbers = changes.get("count64", count), changes.get("length64", size), changes.get("begin64", begin)
            file.write(
                struct.pack(
                    "<4sQ2H2I4Q", b"PK\6\6", changes.get("record", 44), 45, 45, 0, changes.get("disk", 0), numbers[0], *numbers
                )
            )
            file.write(struct.pack("<4sIQI", b"PK\6\7", 0, changes.get("end64", end), 1))
        file.write(
            struct.pack(
                "<4s4H2IH",
                b"PK\5\6",
                0,
                changes.get("disk", 0),
                count,
                count,
                min(size, 2**32 - 1),
                min(begin, 2**32 - 1),
                changes.get("comment", 0),
            )
        )
        file.write(changes.get("behind", b""))


EMPTY = b"\x80\2}."
PICKLE = entry_of("a/data.pkl", EMPTY)
ORDER = entry_of("a/byteorder", b"little")


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def short(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


def number(value: int) -> bytes:
    return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)


def numbers(*values: int) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


ORDERED = b"ccollections\nOrderedDict\n)R"
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"


def storage(key: str = "0", count: int = 6, kind: str = "FloatStorage", more: bytes = b"") -> bytes:
    return b"(" + text("storage") + f"ctorch\n{kind}\n".encode() + text(key) + text("cpu") + number(count) + more + b"tQ"


def tensor(offset: int = 0, sizes: tuple = (2, 3), strides: tuple = (3, 1), more: bytes = b"", of: bytes | None = None) -> bytes:
    stored = storage() if of is None else of
    return REBUILD + b"(" + stored + number(offset) + numbers(*sizes) + numbers(*strides) + b"\x89" + ORDERED + more + b"tR"


def dict_of(value: bytes, name: bytes | None = None) -> bytes:
    return b"\x80\2}" + (text("x") if name is None else name) + value + b"s."


def write_pickle(path: Path, pickled: bytes, data: bytes = bytes(24)) -> Path:
    """The zip form with a pickle and one storage."""
    write_parts(path, [entry_of("a/data.pkl", pickled), ORDER, entry_of("a/data/0", data)])
    return path


PROTO = b"\x80\2"
