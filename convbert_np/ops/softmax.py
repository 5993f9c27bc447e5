"""Softmax and its logarithm, stable for logits of any size."""

import numpy as np

from convbert_np.memory import like
from convbert_np.ops.sums import precise_sum, row_sums, sum_of_exp
from convbert_np.tree import Tree


def softmax(x, axis=-1, out=None):
    r"""Positive weights along an axis that sum to 1.

        y_i = exp(x_i - max x) / sum_j exp(x_j - max x)                                 (1)

    Subtracting the maximum changes nothing (the shift cancels) and keeps exp from overflowing. `out` may be x itself.

    Shapes : x, y any; `axis` is the one that sums to 1.
    Cache  : x, axis, y.
    Source : torch.softmax.
    """
    with np.errstate(over="ignore", under="ignore"):  # what overflows is -inf, and its exponential 0
        y = np.subtract(x, np.max(x, axis=axis, keepdims=True), out=like(x) if out is None else out)  # (1)
        np.exp(y, out=y)  # (1)
    y /= precise_sum(y, axis)  # (1)
    return y, {"x": x, "axis": axis, "y": y}


def softmax_backward(dy, cache) -> Tree:
    """Adjoint of `softmax`: dx = y * (dy - <dy, y>). The weights sum to 1, so dx sums to 0."""
    y, axis = cache["y"], cache["axis"]
    along = row_sums(dy, y) if axis == -1 else np.sum(dy * y, axis=axis, keepdims=True)
    dx = np.subtract(dy, along, out=like(dy))  # (1)
    dx *= y  # (1)
    return {"x": dx, "y": dy}


def log_softmax(x, axis=-1):
    r"""Logarithm of the softmax, without ever forming a quotient that could underflow.

        y = (x - max x) - log sum_j exp(x_j - max x)                                    (1)

    Shapes : x, y any.
    Cache  : x, axis, y.
    Source : torch.log_softmax.
    """
    y = np.subtract(x, np.max(x, axis=axis, keepdims=True), out=like(x))  # (1)
    with np.errstate(under="ignore"):
        y -= np.log(sum_of_exp(y, axis))  # (1)
    return y, {"x": x, "axis": axis, "y": y}


def log_softmax_backward(dy, cache) -> Tree:
    """Adjoint of `log_softmax`: dx = dy - softmax(x) * sum(dy)."""
    y, axis = cache["y"], cache["axis"]
    dx = np.exp(y, out=like(y))
    dx *= -np.sum(dy, axis=axis, keepdims=True)  # (1)
    dx += dy  # (1)
    return {"x": dx, "y": dy}
