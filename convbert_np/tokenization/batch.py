"""From one text or many to the rectangular arrays a model takes: checking, truncating, padding."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from convbert_np.tokenization.checks import check_text

PADDINGS = {False: "do_not_pad", True: "longest"}
TRUNCATIONS = {False: "do_not_truncate", True: "longest_first"}
PADDING_NAMES = ("do_not_pad", "longest", "max_length")
TRUNCATION_NAMES = ("do_not_truncate", "longest_first")


class BatchEncoding(dict[str, Any]):
    """The inputs of a model by name, also as attributes: `encoding.input_ids` is `encoding["input_ids"]`."""

    def __getattr__(self, name: str) -> Any:
        """Look up a name that is no attribute of a dict among the keys."""
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the encoding has no {name!r}, only {', '.join(self)}") from None


def as_texts(texts: object, argument: str) -> list[str]:
    """One string, or a list or tuple of at least one, as a list; else TypeError or ValueError."""
    if isinstance(texts, str):
        return [check_text(texts, argument)]
    if not isinstance(texts, list | tuple):
        raise TypeError(f"{argument} must be a string or a list of strings, not {type(texts).__name__}")
    if not texts:
        raise ValueError(f"{argument} is an empty batch: it must hold at least one string")
    return [check_text(text, f"{argument}[{index}]") for index, text in enumerate(texts)]


def as_pairs(text: object, text_pair: object) -> list[tuple[str, str | None]]:
    """Zip texts and, unless it is None, text_pair; both must be one string or lists of the same length."""
    firsts = as_texts(text, "text")
    if text_pair is None:
        return [(first, None) for first in firsts]
    seconds = as_texts(text_pair, "text_pair")
    if isinstance(text, str) != isinstance(text_pair, str):
        raise TypeError("text and text_pair must be both strings or both lists of strings")
    if len(firsts) != len(seconds):
        raise ValueError(f"text and text_pair must be equally many: {len(firsts)} and {len(seconds)}")
    return list(zip(firsts, seconds, strict=True))


def choice(value: object, argument: str, booleans: dict[bool, str], names: Sequence[str]) -> str:
    """The strategy that a boolean or a name stands for; else ValueError naming the choices."""
    if isinstance(value, bool):
        return booleans[value]
    if not isinstance(value, str) or value not in names:
        raise ValueError(f"{argument} must be True, False or one of {', '.join(names)}, not {value!r}")
    return value


def truncate_longest_first(first: list[int], second: list[int], length: int) -> tuple[list[int], list[int]]:
    """Drop ids from the end of the longer list, or of the second if equally long, until `length` are left."""
    keep_first, keep_second = len(first), len(second)
    while keep_first + keep_second > max(length, 0):
        if keep_first > keep_second:
            keep_first -= 1
        else:
            keep_second -= 1
    return first[:keep_first], second[:keep_second]


def pad_rows(rows: list[list[int]], length: int, value: int) -> list[list[int]]:
    """Append `value` to each row that is shorter than `length`."""
    return [row + [value] * (length - len(row)) for row in rows]


def as_array(rows: list[list[int]]) -> np.ndarray:
    """The rows as an int64 array (B, S); ValueError if they differ in length."""
    if len({len(row) for row in rows}) > 1:
        raise ValueError('return_tensors="np" needs rows of one length: pass padding=True')
    return np.array(rows, dtype=np.int64)
