"""How a model is made and run: the options of a call, seeds, types of numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from convbert_np.config import ConvBertConfig, check_flag
from convbert_np.interface.inputs import number_kinds
from convbert_np.model.keeping import Keep, everything, for_backward, nothing, recomputed
from convbert_np.ops.losses import REDUCTIONS

KEEP = {True: everything, "backward": for_backward, "recompute": recomputed, False: nothing}
ONCE = ("backward", "recompute")  # levels of which there is one way back
DTYPES = (np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.complex128))


class Options(NamedTuple):
    """How to run a model."""

    output_attentions: bool | None
    output_hidden_states: bool | None
    return_dict: bool | None
    training: bool
    rng: Any
    keep_cache: bool | str
    reduction: str

    def resolve(self, config: ConvBertConfig) -> Options:
        """What the caller left open is as the configuration says."""
        check_flag("training", self.training)
        if not isinstance(self.keep_cache, bool | np.bool_) and self.keep_cache not in ONCE:
            raise TypeError(f"keep_cache: must be True, False, 'backward' or 'recompute', got {self.keep_cache!r}")
        if self.reduction not in REDUCTIONS:
            raise ValueError(f"reduction: must be one of {REDUCTIONS}, got {self.reduction!r}")
        names = ("output_attentions", "output_hidden_states", "return_dict")
        given = {name: getattr(config if getattr(self, name) is None else self, name) for name in names}
        return self._replace(**{name: check_flag(name, value) for name, value in given.items()})

    @property
    def keep(self) -> Keep:
        """What of a layer's values outlives it."""
        return KEEP[self.keep_cache]

    @property
    def once(self) -> bool:
        """Whether there is one way back only."""
        return self.keep_cache in ONCE

    def generator(self) -> Any:
        """The source of dropout masks: None without training."""
        rng = self.rng if isinstance(self.rng, Mapping) else as_generator(self.rng, "rng")
        return rng if self.training else None


def as_generator(seed: Any, name: str) -> Any:
    """A numpy Generator as it is, or one made from a seed (None: from the machine's entropy). Errors name the argument."""
    if isinstance(seed, np.random.Generator) or type(seed).__module__.startswith("cupy"):
        return seed
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int | np.integer)):
        raise TypeError(f"{name}: must be a numpy Generator, a seed or a tree of masks, got {type(seed).__name__}")
    if seed is not None and seed < 0:
        raise ValueError(f"{name}: a seed must not be negative, got {seed}")
    return np.random.default_rng(seed)


def as_dtype(dtype: Any) -> np.dtype:
    """The dtype of a model. Raises ValueError naming the argument."""
    try:
        known = np.dtype(dtype)
    except TypeError as error:
        raise ValueError(f"dtype: must be float32 or float64, got {dtype!r}") from error
    if dtype is None or known not in DTYPES:
        raise ValueError(f"dtype: must be float32 or float64, got {dtype!r}")
    return known


def as_parameter(value: Any, name: str, dtype: np.dtype) -> Any:
    """A copy of an array as a parameter of this dtype. Raises TypeError or ValueError if that would lose its numbers."""
    if value.dtype.kind not in number_kinds(dtype):
        raise TypeError(f"{name}: must hold real numbers, got dtype {value.dtype}")
    with np.errstate(over="raise"):
        try:
            return value.astype(dtype)
        except FloatingPointError as error:
            raise ValueError(f"{name}: holds numbers that are too large for {dtype}") from error
