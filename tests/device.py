"""A double of CuPy: a module whose arrays speak NumPy's two protocols and refuse what CuPy's arrays refuse.

Refused are: becoming a NumPy array unasked, meeting a NumPy array in an operation or as an index or value, generalised ufuncs
(np.matmul; the operator @ works), methods of ufuncs (np.add.reduceat; cupy.add.at works), and functions that CuPy lacks.
Scalars may be read (bool, int, float), as on CuPy. `COPIES` counts what was asked to come to the host.
"""

import sys
import types
from collections import Counter
from collections.abc import Mapping

import numpy as np
import pytest

COPIES: Counter = Counter()
OFFERED = {  # functions of NumPy which this package uses and CuPy 13 has under the same name
    "all", "any", "argmax", "argsort", "array_equal", "broadcast_to", "clip", "concatenate", "copy",
    "cumsum", "diagonal", "diff", "dot", "einsum", "empty_like", "flatnonzero", "full_like", "imag", "iscomplexobj", "isrealobj",
    "max", "mean", "min", "norm", "ones_like", "prod", "ravel", "real", "reshape", "sliding_window_view", "split", "stack", "sum",
    "swapaxes", "take_along_axis", "transpose", "where", "zeros_like",
}  # fmt: skip


class ndarray(np.lib.mixins.NDArrayOperatorsMixin):
    """An array of the device, which holds its numbers where nobody looks."""

    def __init__(self, hidden):
        self._hidden = hidden

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`.")

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        if method != "__call__" or ufunc.signature is not None:
            return NotImplemented
        if "out" in options:
            if len(options["out"]) != 1 or not isinstance(options["out"][0], ndarray):
                raise ValueError("out: must be one array of the device")
            options["out"] = (options["out"][0]._hidden,)
        return wrapped(ufunc(*map(unwrapped, inputs), **options))

    def __array_function__(self, function, kinds, arguments, options):
        if function.__name__ not in OFFERED:
            return NotImplemented
        return wrapped(function(*unwrapped(arguments), **unwrapped(options)))

    def __matmul__(self, other):
        return wrapped(self._hidden @ unwrapped(other))

    def __rmatmul__(self, other):
        raise TypeError(f"Unsupported type {type(other)}")

    def __getitem__(self, index):
        return wrapped(self._hidden[unwrapped(index)])

    def __setitem__(self, index, value):
        self._hidden[unwrapped(index)] = unwrapped(value)

    def __len__(self):
        return len(self._hidden)

    def __iter__(self):
        return (self[index] for index in range(len(self)))

    def __bool__(self):
        return bool(self._hidden)

    def __int__(self):
        return int(self._hidden)

    def __float__(self):
        return float(self._hidden)

    def __index__(self):
        return self._hidden.__index__()

    def __format__(self, spec):
        return format(self._hidden, spec) if self.ndim == 0 else "an array of the device"

    def get(self):
        COPIES["get"] += 1
        return self._hidden.copy()


def _attribute(name):
    return property(lambda self: wrapped(getattr(self._hidden, name)))


def _method(name):
    return lambda self, *given, **options: wrapped(getattr(self._hidden, name)(*unwrapped(given), **unwrapped(options)))


for _name in ("shape", "ndim", "size", "nbytes", "itemsize", "dtype", "strides", "flags", "T", "real", "imag"):
    setattr(ndarray, _name, _attribute(_name))
for _name in (
    "reshape",
    "astype",
    "copy",
    "min",
    "max",
    "sum",
    "any",
    "all",
    "mean",
    "std",
    "transpose",
    "ravel",
    "argmax",
    "fill",
):
    setattr(ndarray, _name, _method(_name))
ndarray.__module__ = "cupy"


def wrapped(value):
    """NumPy's result as one of the device: also a single number is an array there."""
    if isinstance(value, np.ndarray | np.generic):
        return ndarray(np.asarray(value))
    return type(value)(map(wrapped, value)) if type(value) in (tuple, list) and any(_is_array(v) for v in value) else value


def _is_array(value):
    return isinstance(value, np.ndarray)


def unwrapped(value):
    """The numbers of the device's arrays. Raises TypeError for an array of the host (a single number of NumPy's is none)."""
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}: an array of the host among those of the device")
    if isinstance(value, ndarray):
        return value._hidden
    if isinstance(value, Mapping):
        return {key: unwrapped(one) for key, one in value.items()}
    return type(value)(map(unwrapped, value)) if type(value) in (tuple, list) else value


def module():
    """The double as a module named cupy."""
    cupy = types.ModuleType("cupy")
    cupy.ndarray = ndarray
    cupy.asarray = lambda x: x if isinstance(x, ndarray) else ndarray(np.array(x))
    cupy.asnumpy = lambda x: x.get() if isinstance(x, ndarray) else np.asarray(x)
    cupy.zeros = lambda shape, dtype=np.float64: ndarray(np.zeros(shape, dtype))
    cupy.add = types.SimpleNamespace(at=lambda table, ids, rows: np.add.at(*unwrapped((table, ids, rows))))
    return cupy


@pytest.fixture
def cupy(monkeypatch):
    """The double, in the place of CuPy."""
    double = module()
    monkeypatch.setitem(sys.modules, "cupy", double)
    COPIES.clear()
    return double
