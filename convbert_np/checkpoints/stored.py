"""A tensor in a file: what is known of it before its values are read, and the two ways to read them.

Every reader of this package gives a dict from name to `StoredTensor`. To make one costs nothing; `view` maps the file
and copies nothing; `copy` reads the values into an array of its own, in the type that is asked for, and nothing
else, so that a model is loaded tensor by tensor with no second copy of it in memory.
"""

import mmap
import os
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from convbert_np.checkpoints.errors import CheckpointError

BFLOAT16 = "bfloat16"  # the upper half of a float32, for which NumPy has no type
MOST_AXES = 64  # NumPy's limit


BLOCK = 1 << 18  # bytes: still in the cache of a core when the CRC-32 looks at them
HUGE = 1 << 22  # bytes of an array for which NumPy asks the kernel for huge pages


def empty_bytes(count: int) -> np.ndarray:
    """An array of bytes to be filled.

    A large one is mapped here: NumPy would ask for huge pages, and where memory is in pieces the kernel then takes
    up to three times as long to load a model.
    """
    if count < HUGE or not hasattr(mmap, "MAP_PRIVATE"):
        return np.empty(count, np.uint8)
    return np.frombuffer(mmap.mmap(-1, count, flags=mmap.MAP_PRIVATE), np.uint8)


class Source:
    """A file of tensors, opened once."""

    def __init__(self, path: str | os.PathLike[str]):
        self.path = path
        self.file = open(path, "rb", buffering=0)  # noqa: SIM115
        weakref.finalize(self, self.file.close)  # when the last tensor that needs it is gone
        self.size = os.fstat(self.file.fileno()).st_size
        self.lock = threading.Lock()

    @cached_property
    def mapped(self) -> np.ndarray:
        """The bytes of the file, read-only, loaded when they are used."""
        if self.size == 0:
            return np.zeros(0, np.uint8)
        return np.frombuffer(mmap.mmap(self.file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)

    def read(self, begin: int, end: int, each: Callable[[np.ndarray], None] | None = None) -> np.ndarray:
        """A copy of the bytes [begin, end); `each` is given every block of it as soon as that is read.

        Raises CheckpointError if the file has become shorter.
        """
        values = empty_bytes(end - begin)
        for start in range(0, end - begin, BLOCK):
            block = values[start : start + BLOCK]
            if self.fill(block, begin + start) != len(block):
                raise CheckpointError(self.path, f"ends before byte {end}, which it had when it was opened")
            if each is not None:
                each(block)
        return values

    def fill(self, block: np.ndarray, place: int) -> int:
        """Read bytes from a place of the file on, as many as the block holds; how many there were. Threads may do so at once."""
        if hasattr(os, "preadv"):
            return os.preadv(self.file.fileno(), [block.data], place)
        with self.lock:
            self.file.seek(place)
            return self.file.readinto(block.data) or 0


@dataclass(frozen=True)
class StoredTensor:
    """A tensor of a file.

    path    the file
    name    what it is called in the file
    dtype   the name of its type: NumPy's ("float32") or "bfloat16"
    shape   its shape
    view    its values as a read-only array, which is a view of the mapped file where the format allows; of a bfloat16
            the bits as uint16
    fetch   its values as a new array that no one else holds; likewise

    `view` and `fetch` raise CheckpointError if the values cannot be read.
    """

    path: str | os.PathLike[str]
    name: str
    dtype: str
    shape: tuple[int, ...]
    view: Callable[[], np.ndarray] = field(repr=False)
    fetch: Callable[[], np.ndarray] = field(repr=False)

    @property
    def nbytes(self) -> int:
        """The bytes of its values."""
        return prod(self.shape) * itemsize(self.dtype)

    def array(self) -> np.ndarray:
        """The values, read-only and without a copy where the format allows; a bfloat16 as float32."""
        values = self.view()
        if self.dtype == BFLOAT16:
            values = bfloat16_to_float32(values)
            values.flags.writeable = False
        return values

    def copy(self, dtype: Any = None) -> np.ndarray:
        """The values as a new array of a type; None: its own, float32 for bfloat16."""
        values = self.fetch()
        if self.dtype == BFLOAT16:
            values = bfloat16_to_float32(values)
        return values if dtype is None or values.dtype == dtype else values.astype(dtype)


def itemsize(dtype: str) -> int:
    """The bytes of one value of a type, named as in `StoredTensor`."""
    return 2 if dtype == BFLOAT16 else np.dtype(dtype).itemsize


def contiguous(source: Source, name: str, dtype: str, shape: tuple[int, ...], begin: int) -> StoredTensor:
    """The tensor whose values lie in C order, little-endian, from byte `begin` of a file on.

    The caller has made sure that the file holds them. `dtype` is a name as in `StoredTensor`.
    """
    code = np.dtype("<u2") if dtype == BFLOAT16 else np.dtype(dtype).newbyteorder("<")
    end = begin + prod(shape) * code.itemsize
    return StoredTensor(
        source.path,
        name,
        dtype,
        shape,
        lambda: shaped(source.path, name, source.mapped[begin:end], code, shape),
        lambda: shaped(source.path, name, source.read(begin, end), code, shape),
    )


def shaped(path: str | os.PathLike[str], name: str, values: np.ndarray, code: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """Bytes as an array. Raises CheckpointError for a boolean that is neither 0 nor 1, and for sizes beyond NumPy's."""
    if code.kind == "b" and values.size and values.max() > 1:
        raise CheckpointError(path, "a boolean is neither 0 nor 1", name)
    try:
        return values.view(code).reshape(shape)
    except ValueError as error:  # an empty tensor whose other sizes are beyond NumPy's
        raise CheckpointError(path, f"the shape {shape} is impossible: {error}", name) from None


def bfloat16_to_float32(halves: np.ndarray) -> np.ndarray:
    """The float32 numbers whose upper 16 bits are given as uint16; exact."""
    return np.asarray(np.left_shift(halves, 16, dtype=np.uint32)).view(np.float32)  # of one number NumPy makes no array
