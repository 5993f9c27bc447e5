"""Writing PyTorch's zip form (described in torch_file): a dict from name to tensor, as PyTorch since 1.6 loads it.

The pickle is put together by hand, in protocol 2 and of the opcodes that torch.save uses, but without a memo. Every member
is stored uncompressed and begins at a multiple of 64 bytes, by an extra field "FB" of filling bytes in its local header, as
torch.save does it; so the file can be mapped. The bytes depend on nothing but the tensors and their order.
"""

import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from math import prod
from typing import IO, Any

import numpy as np

from convbert_np.checkpoints.archive import CENTRAL, END, END64, EXTRA, IN_EXTRA, LOCAL, LOCATOR64, STORED, UTF8
from convbert_np.checkpoints.opcodes import CODES
from convbert_np.checkpoints.stored import BFLOAT16
from convbert_np.checkpoints.torch_tensors import STORAGE_TYPES
from convbert_np.files import atomic_write

ROOT = "archive"
ALIGNMENT = 64
FILLING = int.from_bytes(b"FB", "little")  # the id of the extra field
CLASSES = {dtype: name for name, dtype in STORAGE_TYPES.items() if dtype != BFLOAT16}
NEEDED = 45  # the version of zip that has zip64
TIME, DATE = 0, 1 << 5 | 1  # midnight of 1 January 1980, the first that zip knows


def write_torch(path: str | os.PathLike[str], tensors: Mapping[str, np.ndarray]) -> None:
    """Write arrays by name; torch.load gives a dict of tensors, also with weights_only=True and mmap=True.

    Arrays that are the same memory, as tied weights are, become tensors on one storage, as torch.save does it. The
    file appears whole or not at all. Raises TypeError, before anything is written, for a name that is no Unicode text and
    for a value that is no array of float16, 32, 64, int8, 16, 32, 64, uint8 or bool.
    """
    tensors = dict(tensors)  # which keeps the arrays, and so their addresses, until the end
    for name, array in tensors.items():
        check_tensor(name, array)
    storages: dict[Any, np.ndarray] = {}
    keys: dict[str, str] = {}
    numbers: dict[Any, str] = {}
    for name, array in tensors.items():
        memory = memory_of(array)
        keys[name] = numbers.setdefault(memory, str(len(numbers)))
        storages.setdefault(keys[name], array)
    with atomic_write(path) as file:
        write_archive(file, members_of(encode_dict(tensors, keys), storages))


def check_tensor(name: Any, array: Any) -> None:
    """Raise TypeError if a tensor's name or type is impossible."""
    if not isinstance(name, str):
        raise TypeError(f"a tensor's name must be a string, not {name!r}")
    try:
        name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise TypeError(f"a tensor's name must be Unicode text: {error}") from None
    if not isinstance(array, np.ndarray):
        raise TypeError(f"tensor {name!r} must be a NumPy array, not {type(array).__name__}")
    if array.dtype.name not in CLASSES:
        raise TypeError(f"tensor {name!r} has the dtype {array.dtype}; allowed are {', '.join(sorted(CLASSES))}")


def memory_of(array: np.ndarray) -> tuple:
    """What two arrays have in common if they can share a storage: address, type and extent, and strides unless in C order."""
    address = array.__array_interface__["data"][0]
    layout = (array.size,) if array.flags.c_contiguous else (array.shape, array.strides)
    return address, array.dtype.str, *layout


def members_of(pickled: bytes, storages: Mapping[str, np.ndarray]) -> Iterator[tuple[str, memoryview]]:
    """Names and contents of the archive's members, in the order of torch.save."""
    yield "data.pkl", memoryview(pickled)
    yield ".format_version", memoryview(b"1")
    yield ".storage_alignment", memoryview(str(ALIGNMENT).encode())
    yield "byteorder", memoryview(b"little")
    for key, array in storages.items():
        plain = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        yield f"data/{key}", plain.reshape(-1).view(np.uint8).data
    yield "version", memoryview(b"3\n")


# ---- the pickle


def encode_dict(tensors: Mapping[str, np.ndarray], keys: Mapping[str, str]) -> bytes:
    """The pickle of a dict of tensors in C order; `keys` are those of their storages."""
    entries = [encode_text(name) + encode_tensor(array, keys[name]) for name, array in tensors.items()]
    return code("PROTO") + b"\2" + code("EMPTY_DICT", "MARK") + b"".join(entries) + code("SETITEMS", "STOP")


def encode_tensor(array: np.ndarray, key: str) -> bytes:
    """The call of _rebuild_tensor_v2 for an array in C order, with requires_grad=False and an empty dict of hooks."""
    storage = encode_text("storage") + encode_global("torch", CLASSES[array.dtype.name]) + encode_text(key)
    storage += encode_text("cpu") + encode_integer(array.size)
    return b"".join(
        [
            encode_global("torch._utils", "_rebuild_tensor_v2"),
            code("MARK", "MARK") + storage + code("TUPLE", "BINPERSID"),
            encode_integer(0) + encode_sizes(array.shape) + encode_sizes(c_strides(array.shape)),
            code("NEWFALSE") + encode_global("collections", "OrderedDict") + code("EMPTY_TUPLE", "REDUCE"),
            code("TUPLE", "REDUCE"),
        ]
    )


def c_strides(shape: tuple[int, ...]) -> list[int]:
    """The strides of C order in elements; as torch does it, an axis of length 0 counts as 1."""
    return [prod(max(size, 1) for size in shape[axis + 1 :]) for axis in range(len(shape))]


def code(*names: str) -> bytes:
    """The opcodes of these names."""
    return bytes(CODES[name] for name in names)


def encode_global(module: str, name: str) -> bytes:
    """GLOBAL with a module and a name."""
    return code("GLOBAL") + f"{module}\n{name}\n".encode()


def encode_text(text: str) -> bytes:
    """BINUNICODE with a text."""
    raw = text.encode("utf-8")
    return code("BINUNICODE") + struct.pack("<I", len(raw)) + raw


def encode_integer(number: int) -> bytes:
    """A number that is not negative: BININT of 4 bytes, or LONG1 of 8."""
    return code("BININT") + struct.pack("<i", number) if number < 2**31 else code("LONG1") + struct.pack("<Bq", 8, number)


def encode_sizes(sizes: Iterable[int]) -> bytes:
    """A tuple of numbers."""
    return code("MARK") + b"".join(map(encode_integer, sizes)) + code("TUPLE")


# ---- the archive


def write_archive(file: IO[bytes], members: Iterable[tuple[str, memoryview]]) -> None:
    """Write a zip archive of stored members, each beginning at a multiple of ALIGNMENT, all in the folder ROOT."""
    entries = []
    place = 0
    for name, content in members:
        raw = f"{ROOT}/{name}".encode()
        crc, size = zlib.crc32(content), len(content)
        header = local_header(raw, crc, size, place)
        file.write(header)
        file.write(content)
        entries.append(central_entry(raw, crc, size, place))
        place += len(header) + size
    directory = b"".join(entries)
    file.write(directory)
    end = place + len(directory)
    count = len(entries)
    file.write(END64.pack(b"PK\6\6", END64.size - 12, NEEDED, NEEDED, 0, 0, count, count, len(directory), place))
    file.write(LOCATOR64.pack(b"PK\6\7", 0, end, 1))
    few, short, begin = min(count, 0xFFFF), min(len(directory), IN_EXTRA), min(place, IN_EXTRA)
    file.write(END.pack(b"PK\5\6", 0, 0, few, few, short, begin, 0))


def local_header(name: bytes, crc: int, size: int, place: int) -> bytes:
    """The local header at a place of the file: with sizes of 8 bytes if need be, and filled up to the alignment."""
    extra = EXTRA.pack(1, 16) + struct.pack("<2Q", size, size) if size >= IN_EXTRA else b""
    filled = -(place + LOCAL.size + len(name) + len(extra) + EXTRA.size) % ALIGNMENT
    extra += EXTRA.pack(FILLING, filled) + b"Z" * filled
    short = min(size, IN_EXTRA)
    fixed = LOCAL.pack(b"PK\3\4", NEEDED, UTF8, STORED, TIME, DATE, crc, short, short, len(name), len(extra))
    return fixed + name + extra


def central_entry(name: bytes, crc: int, size: int, place: int) -> bytes:
    """The entry of the central directory for a member whose local header is at a place of the file."""
    wide = [size, size] if size >= IN_EXTRA else []
    wide += [place] if place >= IN_EXTRA else []
    extra = EXTRA.pack(1, 8 * len(wide)) + struct.pack(f"<{len(wide)}Q", *wide) if wide else b""
    short, begin = min(size, IN_EXTRA), min(place, IN_EXTRA)
    numbers = (crc, short, short, len(name), len(extra), 0, 0, 0, 0, begin)
    return CENTRAL.pack(b"PK\1\2", NEEDED, NEEDED, UTF8, STORED, TIME, DATE, *numbers) + name + extra
