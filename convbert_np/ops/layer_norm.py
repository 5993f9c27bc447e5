"""Layer normalisation over the last axis."""

import numpy as np

from convbert_np.memory import like
from convbert_np.ops.sums import column_sums, row_sums
from convbert_np.tree import Tree


def layer_norm(x, weight, bias, eps):
    r"""Give every row mean 0 and variance 1, then a learnt gain and shift.

        centred     = x - mean(x)                                                       (1)
        inverse_std = 1 / sqrt(mean(centred^2) + eps)                                   (2)
        normalized  = centred * inverse_std                                             (3)
        y           = normalized * weight + bias                                        (4)

    The row is centred first: mean(x^2) - mean(x)^2 would lose all digits where the mean is large.

    Shapes : x, normalized, y (..., C); weight, bias (C,); inverse_std (..., 1).
    Cache  : x, weight, bias, eps, inverse_std, normalized, y.
    Source : Ba et al. 2016 (arXiv 1607.06450); torch.nn.LayerNorm (biased variance, eps inside the root).
    """
    size = x.shape[-1]
    centred = np.subtract(x, row_sums(x) / size, out=like(x))  # (1)
    inverse_std = 1 / np.sqrt(row_sums(centred, centred) / size + eps)  # (2)
    normalized = np.multiply(centred, inverse_std, out=centred)  # (3)
    y = np.multiply(normalized, weight, out=like(x))  # (4)
    y += bias  # (4)
    cache = {"x": x, "weight": weight, "bias": bias, "eps": eps, "inverse_std": inverse_std}
    return y, cache | {"normalized": normalized, "y": y}


def layer_norm_backward(dy, cache) -> Tree:
    """Adjoint of `layer_norm`, step by step from (4) to (1). In one line, with n = normalized and dn its gradient,

        dx = inverse_std * (dn - mean(dn) - n * mean(dn * n)):

    a row's mean and variance depend on all of its entries, hence the two means. inverse_std has a gradient of its own, the sum
    of dn * centred over the row; in dx it stands as n * mean(dn * n).
    """
    weight, inverse_std, normalized = cache["weight"], cache["inverse_std"], cache["normalized"]
    dnormalized = np.multiply(dy, weight, out=like(dy))  # (4)
    along = row_sums(dnormalized, normalized)
    dcentred = np.multiply(normalized, -along / dy.shape[-1], out=like(dy))  # (2)
    dcentred += dnormalized  # (3)
    dcentred *= inverse_std  # (3)
    dx = np.subtract(dcentred, row_sums(dcentred) / dy.shape[-1], out=dcentred)  # (1)
    return {
        "x": dx, "weight": column_sums(dy, normalized), "bias": column_sums(dy),  # (4)
        "inverse_std": along / inverse_std, "normalized": dnormalized, "y": dy,  # (3)
    }  # fmt: skip
