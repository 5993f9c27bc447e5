"""Softmax and its logarithm, stable for logits of any size."""

import numpy as np

from convbert_np.blocks import in_rows
from convbert_np.tree import Tree


def softmax(x, axis=-1):
    r"""Positive weights along an axis that sum to 1.

        y_i = exp(x_i - max x) / sum_j exp(x_j - max x)                                 (1)

    Subtracting the maximum changes nothing (the shift cancels) and keeps exp from overflowing.

    Shapes : x, y any; `axis` is the one that sums to 1.
    Cache  : x, axis, y.
    Source : torch.softmax.
    """

    def of_rows(x):
        with np.errstate(over="ignore", under="ignore"):  # what overflows is -inf, and its exponential 0
            y = np.exp(x - np.max(x, axis=axis, keepdims=True))  # (1)
        return y / np.sum(y, axis=axis, keepdims=True)  # (1)

    y = in_rows(of_rows, x) if axis == -1 else of_rows(x)
    return y, {"x": x, "axis": axis, "y": y}


def softmax_backward(dy, cache) -> Tree:
    """Adjoint of `softmax`: dx = y * (dy - <dy, y>). The weights sum to 1, so dx sums to 0."""
    y, axis = cache["y"], cache["axis"]

    def of_rows(dy, y):
        return y * (dy - np.sum(dy * y, axis=axis, keepdims=True))  # (1)

    return {"x": in_rows(of_rows, dy, y) if axis == -1 else of_rows(dy, y), "y": dy}


def log_softmax(x, axis=-1):
    r"""Logarithm of the softmax, without ever forming a quotient that could underflow.

        y = (x - max x) - log sum_j exp(x_j - max x)                                    (1)

    Shapes : x, y any.
    Cache  : x, axis, y.
    Source : torch.log_softmax.
    """

    def of_rows(x):
        shifted = x - np.max(x, axis=axis, keepdims=True)  # (1)
        with np.errstate(under="ignore"):
            return shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True))  # (1)

    y = in_rows(of_rows, x) if axis == -1 else of_rows(x)
    return y, {"x": x, "axis": axis, "y": y}


def log_softmax_backward(dy, cache) -> Tree:
    """Adjoint of `log_softmax`: dx = dy - softmax(x) * sum(dy)."""
    y, axis = cache["y"], cache["axis"]

    def of_rows(dy, y):
        return dy - np.exp(y) * np.sum(dy, axis=axis, keepdims=True)  # (1)

    return {"x": in_rows(of_rows, dy, y) if axis == -1 else of_rows(dy, y), "y": dy}
