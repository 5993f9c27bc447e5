"""What is in a checkpoint: its tensors, and if asked for the statistics of their values."""

import os
from collections import Counter
from collections.abc import Iterator
from math import inf, prod, sqrt
from typing import NamedTuple

import numpy as np

from convbert_np.checkpoints.formats import Checkpoint, open_checkpoint
from convbert_np.checkpoints.stored import StoredTensor
from convbert_np.config import check_flag

BLOCK = 1 << 20  # numbers looked at together, so that memory does not grow with the tensor


class Statistics(NamedTuple):
    """The smallest, the largest, the mean and the standard deviation of the finite numbers of a tensor, and how many are not."""

    smallest: float
    largest: float
    mean: float
    std: float
    not_finite: int


class Inspection(NamedTuple):
    """A checkpoint, and the statistics of each tensor if they were asked for."""

    checkpoint: Checkpoint
    statistics: dict[str, Statistics]

    @property
    def parameters(self) -> int:
        """The numbers in all tensors."""
        return sum(prod(tensor.shape) for tensor in self.checkpoint.tensors.values())

    @property
    def dtypes(self) -> Counter[str]:
        """How many tensors of each type there are."""
        return Counter(tensor.dtype for tensor in self.checkpoint.tensors.values())


def inspect(path: str | os.PathLike[str], values: bool = False) -> Inspection:
    """Look into a checkpoint of any format; see `open_checkpoint` for what `path` may be and for the errors.

    The values of the tensors are read only with values=True, tensor by tensor.
    """
    check_flag("values", values)
    checkpoint = open_checkpoint(path)
    found = {name: statistics_of(tensor) for name, tensor in checkpoint.tensors.items()} if values else {}
    return Inspection(checkpoint, found)


def statistics_of(tensor: StoredTensor) -> Statistics:
    """The statistics of a tensor's values, in float64 and by blocks; of an empty tensor all are 0 and the extremes infinite."""
    count, not_finite, mean, squares, smallest, largest = 0, 0, 0.0, 0.0, inf, -inf
    for block in blocks_of(tensor.array()):
        finite = block[np.isfinite(block)]
        not_finite += block.size - finite.size
        if not finite.size:
            continue
        smallest, largest = min(smallest, float(finite.min())), max(largest, float(finite.max()))
        scale = finite.size / (count + finite.size)
        shift = float(finite.mean()) - mean  # the means and squares of two parts together (Chan et al. 1979)
        squares += float(np.sum((finite - finite.mean()) ** 2)) + shift**2 * count * scale
        mean += shift * scale
        count += finite.size
    return Statistics(smallest, largest, mean, sqrt(squares / count) if count else 0.0, not_finite)


def blocks_of(array: np.ndarray) -> Iterator[np.ndarray]:
    """The numbers of an array in float64, a block at a time."""
    rows = array.reshape(array.shape[0], -1) if array.ndim > 1 and array.size else array.reshape(1, -1)
    step = max(1, BLOCK // max(1, rows.shape[1]))
    for start in range(0, len(rows), step):
        part = rows[start : start + step].reshape(-1)
        for first in range(0, len(part), BLOCK):
            yield part[first : first + BLOCK].astype(np.float64)
