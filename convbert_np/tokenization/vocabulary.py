"""The vocabulary: a text file with one token per line, whose ids are the line numbers."""

import os
from collections.abc import Mapping, Sequence

from convbert_np.files import write_text
from convbert_np.tokenization.checks import check_path


def read_lines(path: str | os.PathLike[str]) -> list[str]:
    """The lines of a vocab.txt, without their ends.

    The file is UTF-8; lines end with \\n, \\r\\n or \\r (the released ConvBERT files have \\r\\n), and
    nothing but the line end is taken off a line.

    Raises FileNotFoundError if there is no such file, IsADirectoryError if it is a folder, ValueError if it is empty, not
    UTF-8 or begins with a byte order mark, TypeError if `path` is none.
    Source: load_vocab of tokenization_convbert.py in transformers 4.37.2.
    """
    path = check_path(path, "vocab_file")
    try:
        with path.open(encoding="utf-8", newline=None) as file:
            lines = file.readlines()
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no vocabulary file {path} (vocab_file)") from None
    except IsADirectoryError:
        raise IsADirectoryError(f"vocab_file must be a file, {path} is a folder: read it with from_pretrained") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"the vocabulary file {path} is not UTF-8 text: {error}") from None
    if not lines:
        raise ValueError(f"the vocabulary file {path} is empty")
    if lines[0].startswith("\ufeff"):
        raise ValueError(f"the vocabulary file {path} begins with a byte order mark, which would be part of the first token")
    return [line.removesuffix("\n") for line in lines]


def write_vocabulary(tokens: Sequence[str], path: str | os.PathLike[str]) -> None:
    """Write a vocab.txt, one token per line, whole or not at all; the id of a token is its place in the list.

    Raises ValueError for a token that holds a line end, for it would be two.
    """
    broken = next((token for token in tokens if "\n" in token or "\r" in token), None)
    if broken is not None:
        raise ValueError(f"tokens must hold no line end, {broken!r} does")
    write_text(path, "".join(f"{token}\n" for token in tokens))


def numbered(lines: Sequence[str]) -> dict[str, int]:
    """Token to id, the 0-based number of its LINE.

    Where a token stands on several lines the last one wins, so that the dict may be smaller than the largest
    id + 1, as it is for the released files.
    """
    return {token: number for number, token in enumerate(lines)}


def lines_of(vocabulary: Mapping[str, int]) -> list[str]:
    """Lines from which `numbered` makes just this vocabulary, which may have holes.

    A line whose number is nobody's id repeats the next token that has one: the later line wins, so nothing is
    added. Such repetitions are what the released files have in their holes.
    """
    lines: list[str] = []
    for token, number in sorted(vocabulary.items(), key=lambda item: item[1]):
        lines += [token] * (number + 1 - len(lines))
    return lines
