"""Dropout: in training, set a random share of the values to zero."""

from collections.abc import Mapping

import numpy as np

from convbert_np.backend import as_like
from convbert_np.tree import Tree


def dropout(x, p, rng=None, mask=None):
    r"""Zero each value with probability p and stretch the rest, so that the mean stays.

        y = x * mask / (1 - p)                                                          (1)

    The mask (True: kept) is an argument, or drawn from a numpy Generator; `rng` may also be a mapping that holds the mask
    under "mask": the cache of an earlier call repeats that call. Without either, or at p = 0, dropout is the identity.

    Shapes : x, mask, y any, all the same.
    Cache  : x, p, y; mask if dropout was active.
    Source : Srivastava et al. 2014; torch.nn.Dropout (inverted form).
    """
    if not isinstance(rng, Mapping) and rng is not None and not hasattr(rng, "random"):
        raise TypeError(f"rng: must be a numpy Generator or a tree of masks, got {type(rng).__name__}")
    if mask is None and rng is not None and p > 0:
        mask = rng.get("mask") if isinstance(rng, Mapping) else as_like(rng.random(x.shape, dtype=np.float32) >= p, x)
        if mask is None:
            raise ValueError(f"rng: the tree of dropout masks lacks one that is needed, of shape {x.shape}")
    if mask is None:
        return x, {"x": x, "p": p, "y": x}
    if getattr(mask, "dtype", None) != np.bool_ or mask.shape != x.shape:
        given = f"{mask.dtype} {mask.shape}" if hasattr(mask, "dtype") else type(mask).__name__
        raise ValueError(f"mask: a dropout mask must be a bool array of the values' shape {x.shape}, got {given}")
    y = x * (mask * stretch(p, x))  # (1)
    return y, {"x": x, "p": p, "mask": mask, "y": y}


def dropout_backward(dy, cache) -> Tree:
    """Adjoint of `dropout`: the gradient passes where the value passed, stretched alike."""
    if "mask" not in cache:
        return {"x": dy, "y": dy}
    return {"x": dy * (cache["mask"] * stretch(cache["p"], dy)), "y": dy}  # (1)


def stretch(p, x):
    """1 / (1 - p) in the dtype of x; 0 where nothing is kept at all (p = 1)."""
    return x.dtype.type(1 / (1 - p) if p < 1 else 0)


def child(rng, key):
    """The branch `key` of a tree of dropout masks; a Generator (or None) serves all branches and is passed on as it is."""
    return rng.get(key, {}) if isinstance(rng, Mapping) else rng
