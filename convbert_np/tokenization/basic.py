"""Text to words: cleaning, spaces around Chinese characters, normal forms, accents, and punctuation.

Every step is a function from string to string or to words. Those that look at one character at a time are
`str.translate` with a table that fills itself: an entry is computed the first time a character is met.

Source: BasicTokenizer and the slow ConvBertTokenizer of transformers 4.37.2; the character classes are those
of Python's `unicodedata`, so that text in code points newer than Python's Unicode version counts as
unassigned and is dropped.
"""

import unicodedata
from collections.abc import Callable, Collection

CHINESE = (  # the blocks of Han characters; Hangul and Kana are written in words and stay out
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0x2F800, 0x2FA1F),
)


class CharacterTable(dict[int, str]):
    """A table for `str.translate` made from a function of one character."""

    def __init__(self, function: Callable[[str], str]):
        super().__init__()
        self.function = function

    def __missing__(self, codepoint: int) -> str:
        """Compute the entry of a character that is met for the first time."""
        replacement = self[codepoint] = self.function(chr(codepoint))
        return replacement


def is_space(character: str) -> bool:
    """Tab, line feed, carriage return and the category Zs."""
    return character in "\t\n\r" or unicodedata.category(character) == "Zs"


def is_dropped(character: str) -> bool:
    """U+FFFD and the categories C* (control, format, private use, unassigned), except \\t, \\n, \\r."""
    return character == "\ufffd" or (character not in "\t\n\r" and unicodedata.category(character)[0] == "C")


def is_chinese(character: str) -> bool:
    """Whether the character lies in one of the blocks of Han characters above."""
    return any(first <= ord(character) <= last for first, last in CHINESE)


def is_punctuation(character: str) -> bool:
    """The categories P*, and all printable ASCII but letters, digits and space (so also $ + < = ^ ` |)."""
    ascii_symbol = "!" <= character <= "~" and not character.isalnum()
    return ascii_symbol or unicodedata.category(character)[0] == "P"


CLEANED = CharacterTable(lambda c: "" if is_dropped(c) else " " if is_space(c) else c)
CHINESE_SPACED = CharacterTable(lambda c: f" {c} " if is_chinese(c) else c)
LOWERED = CharacterTable(str.lower)
UNMARKED = CharacterTable(lambda c: "" if unicodedata.category(c) == "Mn" else c)
PUNCTUATION_SPACED = CharacterTable(lambda c: f" {c} " if is_punctuation(c) else c)


def lower_case(text: str) -> str:
    """Lower-case each character by itself: a final U+03A3 becomes U+03C3, not U+03C2 as in a whole word."""
    return text.translate(LOWERED)


def strip_accents(text: str) -> str:
    """Take off the marks (category Mn) that the normal form NFD separates; the rest stays in NFD."""
    return unicodedata.normalize("NFD", text).translate(UNMARKED)


def split_punctuation(word: str) -> list[str]:
    """Cut a word so that every punctuation character stands alone."""
    return word.translate(PUNCTUATION_SPACED).split()


def basic_words(text: str, strip: bool, tokenize_chinese_chars: bool = True, never_split: Collection[str] = ()) -> list[str]:
    """Cut text (lower-cased already, if it is to be) into words and punctuation, for WordPiece to look up.

    strip                   take accents off
    tokenize_chinese_chars  make each Chinese character a word
    never_split             words that stay as they are where white space alone delimits them
    """
    text = text.translate(CLEANED)
    if tokenize_chinese_chars:
        text = text.translate(CHINESE_SPACED)
    words = []
    for word in unicodedata.normalize("NFC", text).split():
        if strip and word not in never_split:
            word = strip_accents(word)
        words += [word] if word in never_split else split_punctuation(word)
    return words
