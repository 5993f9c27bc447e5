"""Memory for large arrays that is used again, where NumPy would return it to the system and ask for it anew.

A layer makes and drops some hundred megabytes. What is returned to the system comes back page by page, each of them cleared,
and that takes a fifth of a training step. So a large array is made on memory that an earlier one has left, of just its size.

No more is held than was in use at one time: before new memory is taken, memory that was left longest is let go.
"""

import math
import threading
from typing import Any

import numpy as np

LARGE = 1 << 20  # bytes; the C library itself keeps what is smaller


class Pool:
    """Blocks of memory: those in use are counted, those that were left are kept by size."""

    def __init__(self) -> None:
        self.lock = threading.RLock()  # taking may run the garbage collector, and that give back
        self.left: dict[int, list[np.ndarray]] = {}  # the size that was left longest first
        self.in_use = self.idle = self.most = 0  # bytes: in use, left, and the most that were in use at one time

    def take(self, size: int) -> np.ndarray:
        """A block of so many bytes, whatever they hold."""
        with self.lock:
            self.in_use += size
            self.most = max(self.most, self.in_use)
            if blocks := self.left.get(size):
                self.idle -= size
                return blocks.pop()
            self.shrink_to(self.most - self.in_use)
        return np.empty(size, np.uint8)

    def give(self, block: np.ndarray) -> None:
        """Leave a block for others."""
        with self.lock:
            self.in_use -= block.nbytes
            self.idle += block.nbytes
            blocks = self.left.pop(block.nbytes, [])
            blocks.append(block)
            self.left[block.nbytes] = blocks

    def shrink_to(self, size: int) -> None:
        """Return idle memory to the system until at most so many bytes of it are left."""
        with self.lock:
            for other in list(self.left):
                while self.idle > size and self.left[other]:
                    self.left[other].pop()
                    self.idle -= other
                if not self.left[other]:
                    del self.left[other]


POOL = Pool()


class Loan:
    """The owner of an array's memory: gives it back when the array and all its views are gone."""

    __slots__ = ("__array_interface__", "block")

    def __init__(self, size: int):
        self.block = POOL.take(size)
        self.__array_interface__ = self.block.__array_interface__

    def __del__(self, give: Any = POOL.give) -> None:
        give(self.block)


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array with arbitrary numbers, as np.empty; a large one on memory that is used again."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    return np.asarray(Loan(size)).view(dtype).reshape(shape) if size >= LARGE else np.empty(shape, dtype)


def like(x: Any) -> Any:
    """An array with arbitrary numbers of the shape and type of x, which lies in memory as x does; for an `out` argument."""
    if type(x) is not np.ndarray or x.nbytes < LARGE:
        return np.empty_like(x)
    order = sorted(range(x.ndim), key=lambda axis: -x.strides[axis])
    return empty(tuple(x.shape[axis] for axis in order), x.dtype).transpose(np.argsort(order))


def zeros_like(x: Any) -> Any:
    """An array of zeros of the shape and type of x."""
    zeros = like(x)
    zeros[...] = 0
    return zeros


def release() -> None:
    """Return all memory to the system that is not in use."""
    POOL.shrink_to(0)


def matmul(a: Any, b: Any) -> Any:
    """a @ b for two matrices."""
    if type(a) is not np.ndarray or type(b) is not np.ndarray:
        return a @ b
    return np.matmul(a, b, out=empty((len(a), b.shape[1]), np.result_type(a, b)))


def empty_like(x: Any, shape: tuple[int, ...]) -> Any:
    """An array with arbitrary numbers of the type of x and another shape."""
    return empty(shape, x.dtype) if type(x) is np.ndarray else np.empty_like(x, shape=shape)
