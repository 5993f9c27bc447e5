"""Where arrays live: the only module that knows of CuPy, and it imports it only when it is asked for.

CuPy's arrays implement NumPy's protocols, so that np.exp(x) of an array on the GPU is computed there. What those protocols
leave open is here: moving arrays, adding up at repeated places, and numbers that were drawn on the host.
"""

import importlib
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

DEVICES = ("numpy", "cupy")


def library_of(x: Any) -> Any:
    """The module whose array x is: numpy or cupy."""
    return np if isinstance(x, np.ndarray | np.generic) else sys.modules[type(x).__module__.partition(".")[0]]


def cupy() -> Any:
    """CuPy. Raises ImportError that says what to install if it is missing, and RuntimeError if it finds no GPU to work on."""
    try:
        library = importlib.import_module("cupy")
    except ImportError as error:
        raise ImportError(f'device: "cupy" needs CuPy ({error}): pip install "convbert-np[cupy]"') from error
    try:
        library.zeros(1)
    except Exception as error:  # each layer below CuPy has errors of its own
        raise RuntimeError(f'device: "cupy" finds no GPU that works ({type(error).__name__}: {error})') from error
    return library


def to_device(tree: Any, device: str) -> Any:
    """An array, or all arrays of a nested dict, on a device: "cupy", the GPU, or "numpy", the host. Other values stay."""
    if not isinstance(device, str) or device not in DEVICES:
        raise ValueError(f"device: must be one of {', '.join(DEVICES)}, got {device!r}")
    library = np if device == "numpy" else cupy()

    def moved(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: moved(one) for key, one in value.items()}
        if not hasattr(value, "__array_function__") or library_of(value) is library:
            return value
        return to_host(value) if library is np else library.asarray(value)

    return moved(tree)


def to_host(x: Any) -> Any:
    """An array as NumPy's; the only copy from a device to the host."""
    return x if library_of(x) is np else library_of(x).asnumpy(x)


def as_like(x: Any, like: Any) -> Any:
    """An array of the host on the device where `like` is."""
    library = library_of(like)
    return x if library is np or library_of(x) is library else library.asarray(x)


def add_at(table: Any, ids: Any, rows: Any) -> Any:
    """table[ids[r]] += rows[r] for every r, repeated ids included, on a device; changes `table` and returns it."""
    library_of(table).add.at(table, ids, rows)
    return table
