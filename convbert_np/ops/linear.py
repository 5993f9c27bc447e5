"""The affine map y = x W^T + b."""

import numpy as np

from convbert_np.memory import matmul, zeros_like
from convbert_np.ops.sums import column_sums
from convbert_np.tree import Tree

FEW_ROWS = 256


def product(rows, weight):
    """rows @ weight.T. Few rows are multiplied from the right, (weight @ rows.T).T, which the BLAS does faster by a tenth."""
    return matmul(weight, rows.T).T if len(rows) <= FEW_ROWS else matmul(rows, weight.T)


def linear(x, weight, bias=None):
    r"""Map the last axis of x by an affine function.

        y = x W^T + b                                                                   (1)

    Shapes : x (..., in), weight (out, in), bias (out,) or None, y (..., out).
    Cache  : x, weight, bias (if given), y.
    Source : torch.nn.Linear. The leading axes are folded into one for a single two-dimensional product.
    """
    rows = x.reshape(-1, x.shape[-1])
    y = product(rows, weight)  # (1)
    if bias is not None:
        y += bias  # (1)
    y = y.reshape(*x.shape[:-1], len(weight))
    cache: Tree = {"x": x, "weight": weight, "y": y}
    return y, cache if bias is None else cache | {"bias": bias}


def linear_backward(dy, cache) -> Tree:
    """Adjoint of `linear`: dx = dy W, dW = sum over rows of dy^T x, db = sum over rows of dy."""
    x, weight = cache["x"], cache["weight"]
    rows, drows = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
    grads = {"x": matmul(drows, weight).reshape(x.shape), "weight": matmul(drows.T, rows), "y": dy}  # (1)
    if "bias" in cache:
        grads["bias"] = column_sums(drows)  # (1)
    return grads


def linear_backward_of_some_rows(dy, cache) -> Tree:
    """`linear_backward` for a dy that is zero in many rows, as behind a loss over some tokens: only the others are multiplied."""
    rows, drows = cache["x"].reshape(-1, cache["x"].shape[-1]), dy.reshape(-1, dy.shape[-1])
    some = np.any(drows, axis=-1)
    grads = linear_backward(drows[some], cache | {"x": rows[some]})
    dx = zeros_like(rows)
    dx[some] = grads["x"]
    return grads | {"x": dx.reshape(cache["x"].shape), "y": dy}
