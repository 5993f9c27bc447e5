"""Elementwise work on large arrays: block by block, so that a block stays in a core's cache, on all cores.

A chain of steps over a large array spends its time on memory, and NumPy works on one core. Here the whole chain runs over one
block before it goes to the next, and the blocks are shared out over a few threads, for NumPy lets other threads run during a
step. The numbers do not depend on the number of threads: every element is computed by itself.

The plain form, function(*arrays), is what the tests compare with.
"""

import contextvars
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from convbert_np.memory import empty

BLOCK_BYTES = 1 << 20  # a step over less takes no longer than to hand Python's lock to another thread
SHARE_BYTES = 1 << 20  # less work than this is not worth another thread


def in_blocks(function: Callable[..., Any], *arrays: Any) -> Any:
    """function(*arrays) for an elementwise function and arrays of one shape; an array, or a tuple of arrays.

    Small arrays, and anything but plain NumPy arrays (an accelerator's), are computed in one piece. The results lie in memory as
    the first array does.
    """
    if not is_large(arrays):
        return function(*arrays)
    order = sorted(range(arrays[0].ndim), key=lambda axis: -arrays[0].strides[axis])
    shape, back = [arrays[0].shape[axis] for axis in order], np.argsort(order)
    flat = [array.transpose(order).reshape(-1) for array in arrays]
    step = max(1, BLOCK_BYTES // arrays[0].itemsize)
    first = function(*(array[:step] for array in flat))
    several = isinstance(first, tuple)
    results = [empty((len(flat[0]),), part.dtype) for part in (first if several else (first,))]

    def fill(start: int, stop: int) -> None:
        for begin in range(start, stop, step):
            block = slice(begin, min(begin + step, stop))
            parts = first if begin == 0 and block.stop == step else function(*(array[block] for array in flat))
            for result, part in zip(results, parts if several else (parts,), strict=True):
                result[block] = part

    share(fill, len(flat[0]), max(1, SHARE_BYTES // arrays[0].itemsize))
    shaped = tuple(result.reshape(shape).transpose(back) for result in results)
    return shaped if several else shaped[0]


def is_large(arrays: tuple[Any, ...]) -> bool:
    """Whether arrays are plain NumPy arrays with more numbers than a block."""
    return all(type(array) is np.ndarray for array in arrays) and arrays[0].nbytes > BLOCK_BYTES


def share(work: Callable[[int, int], None], count: int, least: int) -> None:
    """work(start, stop) over parts of range(count) at the same time, each of at least `least`; this thread takes part."""
    parts = max(1, min(number_of_threads(), count // least))
    first, *others = pairwise(count * part // parts for part in range(parts + 1))
    waiting = [pool().submit(contextvars.copy_context().run, work, *part) for part in others]  # np.errstate is of the context
    try:
        work(*first)
    finally:
        wait(waiting)
    for part in waiting:
        part.result()


@cache
def number_of_threads() -> int:
    """OMP_NUM_THREADS, which the BLAS of NumPy obeys as well; without it the cores that this process may use."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return int(told) if told.isdecimal() and int(told) > 0 else cores


@cache
def pool() -> ThreadPoolExecutor:
    """The threads beside the one that asks for work."""
    return ThreadPoolExecutor(max(1, number_of_threads() - 1), "convbert-np")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=pool.cache_clear)  # a child process has none of its parent's threads
