"""Sums over rows and over columns, in one pass."""

import numpy as np

from convbert_np.memory import like

BLOCK = 64  # rows
ROWS_BYTES = 1 << 19  # what is worked on at a time: it stays in a core's cache


def row_sums(x, factor=None):
    """The sum over the last axis of x, or of x * factor, (..., C): (..., 1). The product itself is never formed.

    By the BLAS's dot product where it can be: that adds up in many places at once, and so rounds half as much as a sum from left
    to right, which shows in the gradients of queries and keys.
    """
    if type(x) is np.ndarray and x.dtype.kind == "f":
        return np.vecdot(x, np.ones(x.shape[-1], x.dtype) if factor is None else factor)[..., None]
    return np.sum(x if factor is None else x * factor, axis=-1, keepdims=True)


def column_sums(x, factor=None):
    """The sum over all axes but the last of x, or of x * factor, (..., C): (C,). The product itself is never formed.

    NumPy adds rows from left to right, and the error grows with their number: blocks of rows are added up first, then the blocks.
    """
    size = x.shape[-1]
    rows = [each.reshape(-1, size) for each in (x, factor) if each is not None]
    whole = len(rows[0]) // BLOCK * BLOCK
    blocks, rest = [each[:whole].reshape(-1, BLOCK, size) for each in rows], [each[whole:] for each in rows]
    if factor is None:
        return np.sum(np.sum(*blocks, axis=1), axis=0) + np.sum(*rest, axis=0)
    return np.sum(np.einsum("brc,brc->bc", *blocks), axis=0) + np.einsum("rc,rc->c", *rest)


def sum_of_exp(x, axis):
    """The sum of exp(x) over an axis, which is kept; over the last one some rows at a time: exp(x) is never there as a whole."""
    if axis != -1:
        return precise_sum(np.exp(x), axis)
    rows = x.reshape(-1, x.shape[-1])
    step = max(1, ROWS_BYTES // (rows.itemsize * rows.shape[1]))
    sums = [precise_sum(np.exp(rows[start : start + step]), -1) for start in range(0, len(rows), step)]
    return np.concatenate(sums).reshape(*x.shape[:-1], 1)


def precise_sum(x, axis):
    """The sum over an axis, which is kept; of float32 in float64 where NumPy would add up from left to right.

    It adds pairwise along an axis whose numbers lie side by side. But the logits of few tokens lie column by column (see
    `linear.product`), and a sum over thirty thousand probabilities would be wrong in its fifth digit.
    """
    scattered = type(x) is np.ndarray and x.dtype == np.float32 and x.strides[axis] != x.itemsize
    return np.sum(x, axis=axis, keepdims=True, dtype=np.float64 if scattered else None).astype(x.dtype, copy=False)


def total(arrays):
    """The sum of some arrays of one shape: what a value collects that several maps read. None of them is changed."""
    first, second, *others = arrays
    y = np.add(first, second, out=like(first))
    for other in others:
        y += other
    return y
