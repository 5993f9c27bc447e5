"""What kind a character is: to be dropped, white space, Chinese, punctuation, a mark; its lower case, its decomposition.

The two reference classes ask different tables. The slow class asks Python's `unicodedata`, so its answers change with
the version of Python (`UNICODEDATA`). The fast class asks tables that are compiled into the library `tokenizers` and
come from several older versions of Unicode (`PINNED`). Its answers are the same under every Python: see `unicode_tables`.

Every function takes one character; none looks at its neighbours.

Source: BasicTokenizer of transformers 4.37.2; BertNormalizer and BertPreTokenizer of tokenizers 0.15.2, asked about every
code point. docs/unicode.md lists where the two differ.
"""

import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from convbert_np.tokenization import unicode_tables

HAN_BLOCKS = (  # Hangul and Kana are written in words and stay out
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0x2F800, 0x2FA1F),
)


@dataclass(frozen=True)
class Characters:
    """The tables of one class of tokenizer, as functions of one character.

    is_dropped      cleaning takes it out (controls, formats and the like)
    is_space        cleaning makes it a space
    splits          it is white space to the final cut into words; without cleaning this is not the same as is_space
    is_chinese      it is made a word of its own
    is_punctuation  it is split off
    is_mark         a nonspacing mark, which stripping accents takes out of the canonical decomposition
    lower           its lower case, one or two characters
    decompose       its canonical decomposition (NFD)
    combining       its canonical combining class, by which NFD orders marks; 0 for what is never moved
    """

    name: str
    is_dropped: Callable[[str], bool]
    is_space: Callable[[str], bool]
    splits: Callable[[str], bool]
    is_chinese: Callable[[str], bool]
    is_punctuation: Callable[[str], bool]
    is_mark: Callable[[str], bool]
    lower: Callable[[str], str]
    decompose: Callable[[str], str]
    combining: Callable[[str], int]


class CodePoints:
    """A set of code points, written in hexadecimal: "0041-005A 00AA 0100-012E/2" (from 0100 to 012E every second one)."""

    def __init__(self, text: str):
        self.ranges = sorted(map(parse_range, text.split()), key=lambda r: r.start)
        self.starts = [r.start for r in self.ranges]

    def __contains__(self, codepoint: int) -> bool:
        """Whether the code point is in one of the ranges, which do not overlap."""
        place = bisect_right(self.starts, codepoint)
        return place > 0 and codepoint in self.ranges[place - 1]

    def __iter__(self) -> Iterator[int]:
        """All code points in order."""
        return (codepoint for one in self.ranges for codepoint in one)

    def has(self, character: str) -> bool:
        """Whether the character is in the set."""
        return ord(character) in self


def parse_range(text: str) -> range:
    """Read "00AA", "0041-005A" or "0100-012E/2"; the last code point is included."""
    ends, _, step = text.partition("/")
    first, _, last = ends.partition("-")
    return range(int(first, 16), int(last or first, 16) + 1, int(step or 1))


def is_dropped(character: str) -> bool:
    """U+FFFD and the categories C* (control, format, private use, unassigned), except \\t, \\n, \\r."""
    return character == "\ufffd" or (character not in "\t\n\r" and unicodedata.category(character)[0] == "C")


def is_space(character: str) -> bool:
    """Tab, line feed, carriage return and the category Zs."""
    return character in "\t\n\r" or unicodedata.category(character) == "Zs"


def is_chinese(character: str) -> bool:
    """Whether the character lies in one of the blocks of Han characters above."""
    return any(first <= ord(character) <= last for first, last in HAN_BLOCKS)


def is_punctuation(character: str) -> bool:
    """The categories P*, and all printable ASCII but letters, digits and space (so also $ + < = > ^ ` | ~)."""
    ascii_symbol = "!" <= character <= "~" and not character.isalnum()
    return ascii_symbol or unicodedata.category(character)[0] == "P"


def is_mark(character: str) -> bool:
    """The category Mn."""
    return unicodedata.category(character) == "Mn"


def decompose(character: str) -> str:
    """The canonical decomposition by Python's `unicodedata`."""
    return unicodedata.normalize("NFD", character)


KNOWN = CodePoints(unicode_tables.KNOWN)


@cache
def pinned_lower_table() -> dict[str, str]:
    """Every character that the fast class lower-cases, and its lower case."""
    pairs = {chr(c): chr(c + shift) for shift, text in unicode_tables.LOWER.items() for c in CodePoints(text)}
    return pairs | unicode_tables.LOWER_SPECIAL


def pinned_lower(character: str) -> str:
    """The lower case by the pinned tables."""
    return pinned_lower_table().get(character, character)


def pinned_decompose(character: str) -> str:
    """The canonical decomposition; what the pinned tables do not know stays as it is."""
    return unicodedata.normalize("NFD", character) if ord(character) in KNOWN else character


def pinned_combining(character: str) -> int:
    """The canonical combining class; 0 for what the pinned tables do not know."""
    return unicodedata.combining(character) if ord(character) in KNOWN else 0


UNICODEDATA = Characters(
    name=f"unicodedata {unicodedata.unidata_version}",
    is_dropped=is_dropped,
    is_space=is_space,
    splits=str.isspace,
    is_chinese=is_chinese,
    is_punctuation=is_punctuation,
    is_mark=is_mark,
    lower=str.lower,
    decompose=decompose,
    combining=unicodedata.combining,
)

PINNED = Characters(
    name="tokenizers 0.15.2",
    is_dropped=CodePoints(unicode_tables.DROPPED).has,
    is_space=CodePoints(unicode_tables.SPACES).has,
    splits=CodePoints(unicode_tables.SPLITTING).has,
    is_chinese=CodePoints(unicode_tables.CHINESE).has,
    is_punctuation=CodePoints(unicode_tables.PUNCTUATION).has,
    is_mark=CodePoints(unicode_tables.MARKS).has,
    lower=pinned_lower,
    decompose=pinned_decompose,
    combining=pinned_combining,
)
