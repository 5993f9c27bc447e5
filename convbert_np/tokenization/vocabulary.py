"""The vocabulary: a text file with one token per line, whose ids are the line numbers."""

import os
from collections.abc import Iterable, Mapping


def load_vocabulary(path: str | os.PathLike[str]) -> dict[str, int]:
    """Read a vocab.txt into a dict from token to id.

    The file is UTF-8; lines end with \\n, \\r\\n or \\r (the released ConvBERT files have \\r\\n), and
    nothing but the line end is taken off a line. An id is the 0-based number of a LINE, not of a distinct
    token: where a token stands on several lines the last one wins, so that the dict may be smaller than the
    largest id + 1, as it is for the released files.

    Raises FileNotFoundError if there is no such file, ValueError if it is empty or not UTF-8.
    Source: load_vocab of tokenization_convbert.py in transformers 4.37.2.
    """
    try:
        with open(path, encoding="utf-8", newline=None) as file:
            lines = file.readlines()
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no vocabulary file {os.fspath(path)}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"the vocabulary file {os.fspath(path)} is not UTF-8 text: {error}") from None
    if not lines:
        raise ValueError(f"the vocabulary file {os.fspath(path)} is empty")
    return {line.removesuffix("\n"): number for number, line in enumerate(lines)}


def check_in_vocabulary(vocabulary: Mapping[str, int], tokens: Iterable[str], path: str | os.PathLike[str]) -> None:
    """Raise ValueError, naming the file, if any of the tokens is not in the vocabulary."""
    missing = sorted(set(tokens) - set(vocabulary))
    if missing:
        raise ValueError(f"the vocabulary file {os.fspath(path)} lacks {', '.join(missing)}")
