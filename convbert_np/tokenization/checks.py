"""Checks of arguments: each returns its value, or raises TypeError or ValueError naming the argument."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeGuard

import numpy as np


def check_text(text: object, argument: str) -> str:
    """A string without lone surrogates, which UTF-8 cannot write."""
    if not isinstance(text, str):
        raise TypeError(f"{argument} must be a string, not {type(text).__name__}")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        surrogate = f"{text[error.start]!r} at index {error.start}"
        raise ValueError(f"{argument} has a lone surrogate, {surrogate}") from None
    return text


def is_integer(value: object) -> TypeGuard[int]:
    """Whether the value is an int or a NumPy integer scalar, also a 0-d array; a bool is none."""
    if isinstance(value, np.ndarray):
        return value.ndim == 0 and np.issubdtype(value.dtype, np.integer)
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def as_ids(ids: object, argument: str) -> list[int]:
    """A list of integers from one, or from a sequence or 1-D array of them."""
    if is_integer(ids):
        return [int(ids)]
    if isinstance(ids, np.ndarray) and ids.ndim != 1:
        raise TypeError(f"{argument} must be one row of integers, not an array of shape {ids.shape}")
    if not isinstance(ids, Sequence | np.ndarray) or isinstance(ids, str | bytes | bytearray) or not all(map(is_integer, ids)):
        raise TypeError(f"{argument} must be an integer or a sequence of integers, not {ids!r:.80}")
    return [int(number) for number in ids]


def check_flag(value: object, argument: str) -> bool:
    """True or False, and nothing that only behaves like them."""
    if not isinstance(value, bool):
        raise TypeError(f"{argument} must be True or False, not {value!r}")
    return value


def check_texts(texts: object, argument: str) -> list[str]:
    """A list of strings from any collection of them that is not a string itself."""
    if isinstance(texts, str | bytes | Mapping) or not isinstance(texts, Iterable):
        raise TypeError(f"{argument} must be a list of strings, not {texts!r:.80}")
    return [check_text(text, f"{argument}[{index}]") for index, text in enumerate(texts)]


def check_path(path: object, argument: str) -> Path:
    """A path that is a string or a path object; a number, which `open` takes for a file descriptor, is none."""
    name = os.fspath(path) if isinstance(path, str | os.PathLike) else path
    if not isinstance(name, str):
        raise TypeError(f"{argument} must be a path (a string or a path object), not {path!r:.80}")
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        raise ValueError(f"{argument} must be a path, {name!r:.80} has a lone surrogate") from None
    if not name or "\0" in name:
        raise ValueError(f"{argument} must be a path that is not empty and has no null character, not {name!r:.80}")
    return Path(name)


def check_token(value: object, argument: str) -> str:
    """A string that is not empty."""
    if not isinstance(value, str):
        raise TypeError(f"{argument} must be a string, not {value!r}")
    if not value:
        raise ValueError(f"{argument} must not be empty")
    return value


def check_number(value: object, argument: str, at_least: int) -> int | None:
    """None, or an integer of at least `at_least`."""
    if value is None:
        return None
    if not is_integer(value):
        raise TypeError(f"{argument} must be an integer, not {value!r}")
    if value < at_least:
        raise ValueError(f"{argument} must be at least {at_least}, not {value}")
    return int(value)
