"""The texts of the tokenizer benchmark: a corpus cut into units, hard cases, and a stream of distinct words."""

import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path

WORDS_A_TEXT = 10_000
LONG = 10_000_000  # bytes of the one string
UNITS = ("documents", "lines", "string")


def wrapped(text: str, width: int = 60) -> list[str]:
    """The text in pieces of at most `width` characters, cut at spaces where there are any."""
    pieces = []
    start = 0
    while start < len(text):
        end = start + width
        if end < len(text):
            space = max(text.rfind(" ", start, end), text.rfind("\n", start, end))
            end = space + 1 if space > start else end
        pieces.append(text[start:end].strip())
        start = end
    return [piece for piece in pieces if piece]


def read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8")


def prefix(text: str, size: int) -> str:
    """The first `size` bytes of UTF-8 of a text that is repeated as often as needed, less a cut character."""
    repeated = text * (size // len(text) + 1)
    return repeated[:size].encode()[:size].decode(errors="ignore")


@cache
def read_texts(path: str, unit: str, share: int) -> list[str]:
    """The texts of a corpus by unit: one in every `share` of them, of the one string the first part."""
    if unit == "string":
        return [prefix(read(path), LONG // share)]
    documents = read(path).rstrip("\n").split("\n\n")
    texts = documents if unit == "documents" else [line for document in documents for line in wrapped(document)]
    return texts[::share]


def random_characters(alphabet: str, count: int) -> str:
    return "".join(random.Random(0).choices(alphabet, k=count))


def letters(size: int) -> str:
    return random_characters("abcdefghijklmnopqrstuvwxyz", size)


def han(size: int) -> str:
    return random_characters("".join(map(chr, range(0x4E00, 0x9FFF))), size // 3)


def punctuation(size: int) -> str:
    return random_characters("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", size)


HARD = {  # name: a text of `size` bytes of UTF-8 without a space
    "one letter": lambda size: "a" * size,
    "one capital": lambda size: "A" * size,
    "random letters": letters,
    "random Han": han,
    "punctuation": punctuation,
    "marks U+0301 U+0316": lambda size: "\u0301\u0316" * (size // 4),
    "e and marks": lambda size: "e" + "\u0301\u0316" * (size // 4),
    "marks U+0F73": lambda size: "\u0f73" * (size // 3),
    "[MASK][MASK]": lambda size: "[MASK]" * (size // 6),
    "[[[[": lambda size: "[" * size,
    "##a##a": lambda size: "##a" * (size // 3),
    "U+0000": lambda size: "\0" * size,
    "unknown letters": lambda size: "\u16a0" * (size // 3),
    "white space": lambda size: " \t\n\u3000" * (size // 6),
}


def distinct_words(count: int) -> Iterator[str]:
    """`count` different words of 6 to 10 random-looking letters, WORDS_A_TEXT to a text; `count` must be a multiple.

    Word i of n letters is the number (a i + b) mod 26^n written with 26 digits; as a and 26 have no common
    divisor, the words differ.
    """
    import numpy as np

    for start in range(0, count, WORDS_A_TEXT):
        length = 6 + start // WORDS_A_TEXT % 5
        numbers = np.arange(start, start + WORDS_A_TEXT, dtype=np.int64)
        numbers = (numbers * 5_654_321 + 123_457) % 26**length
        digits = numbers[:, None] // 26 ** np.arange(length, dtype=np.int64) % 26
        rows = np.full((WORDS_A_TEXT, length + 1), ord(" "), dtype=np.uint8)
        rows[:, :-1] = digits + ord("a")
        yield rows.tobytes().decode("ascii")
