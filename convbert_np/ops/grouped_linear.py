"""The grouped affine map of ConvBERT's feed-forward layers: each slice of the input feeds its own slice of the output."""

import numpy as np

from convbert_np.tree import Tree


def grouped_linear(x, weight, bias):
    r"""Cut the channels of x into G groups and map each by a matrix of its own.

        y_{g,o} = sum_i x_{g,i} W_{g,i,o} + b_{g,o}                                     (1)

    A weight of G groups holds 1/G of the numbers of a full linear map. Note the order of its axes: (in, out), not (out, in)
    as in `linear`.

    Shapes : x (..., G*in), weight (G, in, out), bias (G*out,), y (..., G*out).
    Cache  : x, weight, bias, y.
    Source : Jiang et al. 2020, grouped linear; GroupedLinearLayer in transformers 4.37.2.
    """
    groups, width, _ = weight.shape
    x_groups = x.reshape(-1, groups, width)
    y = np.einsum("rgi,gio->rgo", x_groups, weight, optimize=True)  # (1)
    y = y.reshape(*x.shape[:-1], len(bias)) + bias  # (1)
    return y, {"x": x, "weight": weight, "bias": bias, "y": y}


def grouped_linear_backward(dy, cache) -> Tree:
    """Adjoint of `grouped_linear`, group by group: dx_g = dy_g W_g^T, dW_g = sum over rows of x_g^T dy_g."""
    x, weight = cache["x"], cache["weight"]
    groups, width, out = weight.shape
    x_groups, dy_groups = x.reshape(-1, groups, width), dy.reshape(-1, groups, out)
    dx = np.einsum("rgo,gio->rgi", dy_groups, weight, optimize=True).reshape(x.shape)  # (1)
    dweight = np.einsum("rgi,rgo->gio", x_groups, dy_groups, optimize=True)  # (1)
    dbias = np.sum(dy_groups, axis=0).reshape(-1)  # (1)
    return {"x": dx, "weight": dweight, "bias": dbias, "y": dy}
