"""JSON as a file of a checkpoint may hold it: an object, no key twice, no value that is no JSON, Unicode text only.

A short text can need much memory: "[]," makes a list of 64 bytes. So both its length and the number of its values are limited, to
what 25,000 tensors take; the largest ConvBERT has 300.
"""

import json
import os
from typing import Any

from convbert_np.checkpoints.errors import CheckpointError, shown

LONGEST_JSON = 5_000_000
MOST_VALUES = 200_000


def parse_json(path: str | os.PathLike[str], text: bytes, what: str) -> dict[str, Any]:
    """The JSON object in a text that begins with "{". Raises CheckpointError that says `what` ("the header") is wrong."""
    if not text.startswith(b"{"):
        raise CheckpointError(path, f"{what} does not begin with '{{'")
    if len(text) > LONGEST_JSON or sum(map(text.count, (b",", b"[", b"{"))) > MOST_VALUES:
        reason = f"is longer than {LONGEST_JSON:,} bytes, or has more than {MOST_VALUES:,} values"
        raise CheckpointError(path, f"{what} {reason}: no model has so many tensors")
    try:
        return json.loads(text.decode(), object_pairs_hook=unique_keys, parse_constant=refuse_constant)
    except RecursionError:
        raise CheckpointError(path, f"{what} is nested too deeply") from None
    except ValueError as error:
        raise CheckpointError(path, f"{what} is not valid JSON: {error}") from None


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object as a dict; ValueError if a key repeats or is no Unicode text."""
    content: dict[str, Any] = {}
    for key, value in pairs:
        key.encode("utf-8")
        if key in content:
            raise ValueError(f"the key {shown(key)} occurs twice")
        content[key] = value
    return content


def refuse_constant(name: str) -> None:
    """Raise ValueError for NaN and Infinity, which Python's parser takes for JSON."""
    raise ValueError(f"{name} is no JSON")
