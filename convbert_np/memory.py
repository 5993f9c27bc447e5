"""Memory for large arrays that is used again, where NumPy would return it to the system and ask for it anew.

A layer makes and drops some hundred megabytes. What is returned to the system comes back page by page, each of them cleared,
and that takes a fifth of a training step. So large arrays are cut from slabs that stay: always the lowest place that is free
and large enough, which keeps the pages that were ever touched to about as many as were in use at one time.
"""

import math
import os
import threading
from bisect import bisect
from typing import Any, ClassVar

import numpy as np

LARGE = 1 << 17  # bytes; the C library itself keeps what is smaller
SLAB = 1 << 28  # bytes; those that are never touched take no memory
ALIGNED = 64  # bytes, a line of the cache
STAGGER = 1088  # bytes: steps over arrays that start at the same place of a page get into each other's way in the cache


class Slab:
    """A piece of memory and the ranges of it that are free, in order."""

    def __init__(self, size: int):
        self.memory = np.empty(size, np.uint8)
        self.free = [(0, size)]

    def take(self, size: int) -> int | None:
        """The start of the first free range that is large enough, which is free no more; or None."""
        for index, (start, stop) in enumerate(self.free):
            if stop - start >= size:
                self.free[index : index + 1] = [(start + size, stop)] if stop - start > size else []
                return start
        return None

    def give(self, start: int, stop: int) -> None:
        """Make a range free again, together with free ones beside it."""
        at = bisect(self.free, (start, stop))
        first = last = at
        if at and self.free[at - 1][1] == start:
            first, start = at - 1, self.free[at - 1][0]
        if at < len(self.free) and self.free[at][0] == stop:
            last, stop = at + 1, self.free[at][1]
        self.free[first:last] = [(start, stop)]

    def is_idle(self) -> bool:
        """Whether all of it is free."""
        return self.free == [(0, len(self.memory))]


class Loan:
    """The owner of an array's memory: gives it back when the array and all its views are gone."""

    __slots__ = ("__array_interface__", "slab", "start", "stop")
    slabs: ClassVar[list[Slab]] = []
    lock = threading.RLock()  # to take may run the garbage collector, and that may give

    def __init__(self, size: int):
        rounded = -(-size // ALIGNED) * ALIGNED + STAGGER
        with self.lock:
            for slab in self.slabs:
                if (start := slab.take(rounded)) is not None:
                    break
            else:
                slab = Slab(max(SLAB, rounded))
                self.slabs.append(slab)
                start = 0
                slab.take(rounded)
        self.slab, self.start, self.stop = slab, start, start + rounded
        self.__array_interface__ = slab.memory[start : start + size].__array_interface__

    def __del__(self) -> None:
        with self.lock:
            self.slab.give(self.start, self.stop)


def unlock() -> None:
    """In a new process: a thread of its parent may have held the lock, and is not there to open it."""
    Loan.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=unlock)


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


def matmul(a: Any, b: Any) -> Any:
    """a @ b, for matrices or for stacks of matrices with the same leading axes."""
    if type(a) is not np.ndarray or type(b) is not np.ndarray:
        return a @ b
    return np.matmul(a, b, out=empty((*a.shape[:-1], b.shape[-1]), np.result_type(a, b)))


def empty_like(x: Any, shape: tuple[int, ...]) -> Any:
    """An array with arbitrary numbers of the type of x and another shape."""
    return empty(shape, x.dtype) if type(x) is np.ndarray else np.empty_like(x, shape=shape)


def release() -> None:
    """Return the memory to the system of slabs of which nothing is in use."""
    with Loan.lock:
        Loan.slabs[:] = [slab for slab in Loan.slabs if not slab.is_idle()]
