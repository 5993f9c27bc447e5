"""Layer normalisation over the last axis."""

import numpy as np

from convbert_np.blocks import in_rows
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

    def of_rows(x):
        centred = x - np.mean(x, axis=-1, keepdims=True)  # (1)
        inverse_std = 1 / np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True) + eps)  # (2)
        normalized = centred * inverse_std  # (3)
        return inverse_std, normalized, normalized * weight + bias  # (4)

    inverse_std, normalized, y = in_rows(of_rows, x)
    cache = {"x": x, "weight": weight, "bias": bias, "eps": eps, "inverse_std": inverse_std}
    return y, cache | {"normalized": normalized, "y": y}


def layer_norm_backward(dy, cache) -> Tree:
    """Adjoint of `layer_norm`, step by step from (4) to (1). In one line, with n = normalized and dn its gradient,

        dx = inverse_std * (dn - mean(dn) - n * mean(dn * n)):

    a row's mean and variance depend on all of its entries, hence the two means. inverse_std has a gradient of its own, the sum
    of dn * centred over the row; in dx it stands as n * mean(dn * n).
    """
    weight, inverse_std, normalized = cache["weight"], cache["inverse_std"], cache["normalized"]
    rows = tuple(range(dy.ndim - 1))
    dweight, dbias = np.sum(dy * normalized, axis=rows), np.sum(dy, axis=rows)  # (4)

    def of_rows(dy, normalized, inverse_std):
        dnormalized = dy * weight  # (4)
        along = np.sum(dnormalized * normalized, axis=-1, keepdims=True)
        dinverse_std = along / inverse_std  # (3)
        dcentred = (dnormalized - normalized * (along / dy.shape[-1])) * inverse_std  # (3) (2)
        return dcentred - np.mean(dcentred, axis=-1, keepdims=True), dinverse_std, dnormalized  # (1)

    dx, dinverse_std, dnormalized = in_rows(of_rows, dy, normalized, inverse_std)
    return {
        "x": dx, "weight": dweight, "bias": dbias,
        "inverse_std": dinverse_std, "normalized": dnormalized, "y": dy,
    }  # fmt: skip
