"""The adjoint of broadcasting."""

import numpy as np


def sum_to_shape(dy, shape):
    """Sum the gradient of a broadcast array over the axes that were stretched: an array of `shape`."""
    extra = dy.ndim - len(shape)
    stretched = tuple(range(extra)) + tuple(
        extra + axis for axis, size in enumerate(shape) if size == 1 and dy.shape[extra + axis] != 1
    )
    return np.sum(dy, axis=stretched).reshape(shape) if stretched else dy
