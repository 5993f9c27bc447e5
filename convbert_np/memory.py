"""Memory for large arrays that is used again, where NumPy would return it to the system and ask for it anew.

A layer makes and drops some hundred megabytes. What is returned to the system comes back page by page, each of them cleared,
and that takes a fifth of a training step. So large arrays are cut from slabs that stay: always the lowest place that is free
and large enough, which keeps the pages that were ever touched to about as many as were in use at one time.

An array that is huge and larger than all that is in use together is the system's again: the scores of a whole vocabulary for a
long batch, where nothing is kept for a way back. All free pages of the slabs go before it comes, and it goes when it is dropped.
"""

import math
import mmap
import os
import threading
from bisect import bisect
from contextlib import suppress
from typing import Any, ClassVar

import numpy as np

LARGE = 1 << 17  # bytes; the C library itself keeps what is smaller
SLAB = 1 << 28  # bytes; those that are never touched take no memory
HUGE = SLAB // 2
PRIVATE = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}  # a copy for each child
BLOCK_ROWS = 4096  # of a product: with them grows the memory that the BLAS takes for itself
ALIGNED = 64  # bytes, a line of the cache
STAGGER = 1088  # bytes: steps over arrays that start at the same place of a page get into each other's way in the cache


class Slab:
    """A piece of memory and the ranges of it that are free, in order."""

    def __init__(self, size: int):
        try:
            self.pages = mmap.mmap(-1, size, **PRIVATE)
        except OSError as error:
            raise MemoryError(f"the system gives no {size} bytes more: {error}") from error
        self.memory = np.frombuffer(self.pages, np.uint8)
        self.free = [(0, size)]
        self.advise("MADV_HUGEPAGE", 0, size)  # as NumPy does, where there are such pages

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

    def trim(self) -> None:
        """Return the pages of what is free to the system, which keeps the range and gives fresh ones when it is next touched."""
        for start, stop in self.free:
            first, end = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE, stop // mmap.PAGESIZE * mmap.PAGESIZE
            if first < end:
                self.advise("MADV_DONTNEED", first, end - first)

    def advise(self, name: str, start: int, size: int) -> None:
        """Tell the system something about a range of pages, if it understands; it is free not to follow."""
        if hasattr(mmap, name):
            with suppress(OSError):
                self.pages.madvise(getattr(mmap, name), start, size)

    def in_use(self) -> int:
        """How many bytes are not free."""
        return len(self.memory) - sum(stop - start for start, stop in self.free)

    def is_idle(self) -> bool:
        """Whether all of it is free."""
        return self.in_use() == 0


class Loan:
    """The owner of an array's memory: gives it back when the array and all its views are gone."""

    __slots__ = ("__array_interface__", "slab", "start", "stop")
    slabs: ClassVar[list[Slab]] = []
    lock = threading.RLock()  # to take may run the garbage collector, and that may give

    def __init__(self, size: int):
        self.slab: Slab | None = None
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
        if self.slab is not None:
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
    if size < LARGE or (size > HUGE and make_room(size)):
        return np.empty(shape, dtype)
    return np.asarray(Loan(size)).view(dtype).reshape(shape)


def make_room(size: int) -> bool:
    """Return what is free to the system if less than `size` is in use of all slabs together; whether it is so."""
    with Loan.lock:
        if sum(slab.in_use() for slab in Loan.slabs) >= size:
            return False
        for slab in Loan.slabs:
            slab.trim()
    return True


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
    product = empty((*a.shape[:-1], b.shape[-1]), np.result_type(a, b))
    step = BLOCK_ROWS if a.ndim == 2 else max(1, len(a))
    for begin in range(0, len(a), step):
        np.matmul(a[begin : begin + step], b, out=product[begin : begin + step])
    return product


def empty_like(x: Any, shape: tuple[int, ...]) -> Any:
    """An array with arbitrary numbers of the type of x and another shape."""
    return empty(shape, x.dtype) if type(x) is np.ndarray else np.empty_like(x, shape=shape)


def release() -> None:
    """Return the memory to the system of slabs of which nothing is in use."""
    with Loan.lock:
        Loan.slabs[:] = [slab for slab in Loan.slabs if not slab.is_idle()]
