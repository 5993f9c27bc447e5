"""Metrics of numbers: correlation of values, correlation of ranks, squared error."""

from typing import Any

import numpy as np

from convbert_np.metrics.classification import check_pairs, ratio


def as_pair(true: Any, predicted: Any) -> tuple[np.ndarray, np.ndarray]:
    """Both as vectors of float64. Raises ValueError if they differ in length or hold what is not finite."""
    t, p = (np.asarray(values, np.float64).reshape(-1) for values in (true, predicted))
    check_pairs(t.tolist(), p.tolist())
    for name, values in (("true", t), ("predicted", p)):
        if not np.all(np.isfinite(values)):
            raise ValueError(f"{name}: holds values that are not finite")
    return t, p


def pearson(true: Any, predicted: Any) -> float:
    r"""The correlation of two lists of numbers; 0 where one of them is constant.

    r = <t - mean t, p - mean p> / (|t - mean t| |p - mean p|)
    """
    t, p = as_pair(true, predicted)
    if np.ptp(t) == 0 or np.ptp(p) == 0:
        return 0.0
    t, p = t - t.mean(), p - p.mean()
    return float(np.clip(t @ p / (np.linalg.norm(t) * np.linalg.norm(p)), -1, 1))


def ranks(values: np.ndarray) -> np.ndarray:
    """The place of each value in their order, from 1; equal values share the mean of their places."""
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(sizes)
    return (last - (sizes - 1) / 2)[group.reshape(-1)]


def spearman(true: Any, predicted: Any) -> float:
    """The correlation of the ranks; 0 where one of the lists is constant."""
    t, p = as_pair(true, predicted)
    return pearson(ranks(t), ranks(p))


def mean_squared_error(true: Any, predicted: Any) -> float:
    """The mean of (predicted - true)^2."""
    t, p = as_pair(true, predicted)
    return ratio(float(np.sum((p - t) ** 2)), len(t))
