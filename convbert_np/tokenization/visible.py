"""Characters made visible: controls, formats, odd spaces and marks without a letter, which a reader would not see."""

import unicodedata
from collections.abc import Iterable

import regex

HIDDEN = regex.compile(r"[\p{C}\p{Z}\p{Default_Ignorable_Code_Point}]")
MARK = regex.compile(r"\p{M}")
CIRCLE, SPACE = "\u25cc", "\u2423"


def visible(text: str, apart: bool = False) -> str:
    """The text with a picture or the code point for what has no picture of its own.

    A control character becomes its control picture, any other hidden one its code point in brackets; a mark that
    follows no letter stands on a dotted circle. With `apart` so does every mark, and a space is seen too.
    """
    shown = []
    bare = True
    for character in text:
        mark = bool(MARK.match(character)) and not HIDDEN.match(character)
        shown.append(CIRCLE + character if mark and (bare or apart) else picture(character, apart))
        bare = not mark and bool(HIDDEN.match(character))
    return "".join(shown)


def picture(character: str, spaces: bool) -> str:
    """What stands for one character."""
    code = ord(character)
    if character == " ":
        return SPACE if spaces else " "
    if code < 32 or code == 127:
        return "\u2421" if code == 127 else chr(0x2400 + code)
    return f"\u27e8U+{code:04X}\u27e9" if HIDDEN.match(character) else character


def columns(text: str) -> int:
    """How many columns a text takes in a terminal: two for a wide character, none for a mark on another one."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.category(c) in ("Mn", "Me") else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def shortened(text: str, limit: int) -> str:
    """The text, or its start and how many characters follow."""
    return text if len(text) <= limit else f"{text[:limit]}\u2026 {len(text) - limit:,} more"


def wrapped(items: Iterable[str], width: int, between: str = "") -> list[str]:
    """The items in lines of at most `width` columns; an item that is longer is broken."""
    lines = [""]
    for item in items:
        joined = f"{lines[-1]}{between}{item}" if lines[-1] else item
        if columns(joined) <= width:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for character in item:
            if lines[-1] and columns(lines[-1] + character) > width:
                lines.append("")
            lines[-1] += character
    return lines
