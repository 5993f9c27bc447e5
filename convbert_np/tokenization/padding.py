"""Filling rows up to one length, as the slow class and the method `pad` of both do it."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from convbert_np.tokenization.checks import is_integer

LONGEST = 10**8  # a padded row of more ids would fill the memory


def check_longest(length: int) -> int:
    """The length to pad to, if it is possible at all."""
    if length > LONGEST:
        raise ValueError(f"max_length and pad_to_multiple_of ask for rows of {length} ids, more than {LONGEST} are refused")
    return length


def round_up(length: int, multiple: int | None) -> int:
    """The next multiple, of a length that is none; ValueError if it is too long to be padded to."""
    return check_longest(length if not multiple else -(-length // multiple) * multiple)


def pad_row(row: dict[str, Any], main: str, length: int, side: str, fillers: Mapping[str, int]) -> dict[str, Any]:
    """The row with its columns filled up to a length; `main` names the column that tells how many are missing."""
    missing = length - len(row[main])
    if missing <= 0:
        return row
    fill = {name: [fillers[name]] * missing for name in row if name in fillers}
    padded = {name: fill[name] + row[name] if side == "left" else row[name] + fill[name] for name in fill}
    return {**row, **padded}


def as_rows(encoded: Any, main: str) -> tuple[dict[str, Any], bool]:
    """The columns of what `pad` was given, as lists, and whether they hold arrays.

    It is a mapping from name to one row or to rows, or a list of mappings from name to one row.
    """
    if isinstance(encoded, list | tuple):
        if not encoded:
            raise ValueError("encoded_inputs is an empty list: it must hold at least one encoding")
        if not all(isinstance(row, Mapping) for row in encoded):
            raise TypeError("encoded_inputs must be a mapping or a list of mappings")
        uneven = next((row for row in encoded if row.keys() != encoded[0].keys()), None)
        if uneven is not None:
            raise ValueError(f"encoded_inputs have different names: {list(encoded[0])} and {list(uneven)}")
        encoded = {name: [row[name] for row in encoded] for name in encoded[0]}
    if not isinstance(encoded, Mapping):
        raise TypeError(f"encoded_inputs must be a mapping or a list of mappings, not {type(encoded).__name__}")
    if main not in encoded:
        raise ValueError(f"encoded_inputs must hold {main}, it holds {list(encoded)}")
    arrays = any(isinstance(value, np.ndarray) for value in nested(encoded[main]))
    columns = {name: as_list(value, name) for name, value in encoded.items()}
    rows = columns[main]
    many = isinstance(rows, list) and len(rows) > 0 and all(isinstance(row, list) for row in rows)
    if not all(is_list_of_ids(row) for row in (rows if many else [rows])):
        raise TypeError(f"encoded_inputs[{main!r}] must be a list of integers or a list of such lists, not {encoded[main]!r:.80}")
    return columns, arrays


def is_list_of_ids(row: Any) -> bool:
    """Whether a value is a list of integers, also an empty one."""
    return isinstance(row, list) and all(map(is_integer, row))


def check_columns(row: Mapping[str, Any], main: str, names: Collection[str]) -> None:
    """Raise ValueError if what is padded along with the main column has another length."""
    for name in names:
        if name in row and not (isinstance(row[name], list) and len(row[name]) == len(row[main])):
            shown = f"{row[name]!r:.80}"
            raise ValueError(f"encoded_inputs[{name!r}] must be a list as long as {main} ({len(row[main])}), not {shown}")


def nested(value: Any) -> Sequence[Any]:
    """The value and, if it is a list, its first item."""
    return (value, value[0]) if isinstance(value, list | tuple) and value else (value,)


def as_list(value: Any, name: str) -> Any:
    """Arrays as lists, at any depth of two; anything that is no number or list of such is named."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [as_list(item, name) for item in value]
    if is_integer(value):
        return int(value)
    if value is None or isinstance(value, str | bool | float):
        return value
    raise TypeError(f"encoded_inputs[{name!r}] must hold integers, not {type(value).__name__}")
