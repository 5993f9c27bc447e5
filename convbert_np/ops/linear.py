"""The affine map y = x W^T + b."""

import numpy as np

from convbert_np.tree import Tree


def linear(x, weight, bias=None):
    r"""Map the last axis of x by an affine function.

        y = x W^T + b                                                                   (1)

    Shapes : x (..., in), weight (out, in), bias (out,) or None, y (..., out).
    Cache  : x, weight, bias (if given), y.
    Source : torch.nn.Linear. The leading axes are folded into one for a single two-dimensional product.
    """
    rows = x.reshape(-1, x.shape[-1])
    y = rows @ weight.T  # (1)
    if bias is not None:
        y += bias  # (1)
    y = y.reshape(*x.shape[:-1], len(weight))
    cache: Tree = {"x": x, "weight": weight, "y": y}
    return y, cache if bias is None else cache | {"bias": bias}


def linear_backward(dy, cache) -> Tree:
    """Adjoint of `linear`: dx = dy W, dW = sum over rows of dy^T x, db = sum over rows of dy."""
    x, weight = cache["x"], cache["weight"]
    rows, drows = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
    grads = {"x": (drows @ weight).reshape(x.shape), "weight": drows.T @ rows, "y": dy}  # (1)
    if "bias" in cache:
        grads["bias"] = np.sum(drows, axis=0)  # (1)
    return grads
