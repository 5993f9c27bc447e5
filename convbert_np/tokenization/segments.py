"""Finding added tokens in a text: where the reference cuts it before anything else looks at it.

Both classes take the leftmost match, and of several at one place the longest. What differs:

    slow    The text is lower-cased first, but for the special tokens (and for added tokens that are "normalized"). The flags
            of a token then act on its neighbours: `lstrip` and `rstrip` take their white space, and a
            `single_word` that has a neighbour without a space between is glued to it and becomes plain text.
    fast    Tokens that are not "normalized" are looked for in the text as it is, the others, themselves
            normalized, in the normalized rest. `single_word` asks for no word character at either side;
            `lstrip` and `rstrip` extend the match over white space.

Source: PreTrainedTokenizer.tokenize of transformers 4.37.2; AddedVocabulary of tokenizers 0.15.2.
"""

from collections.abc import Iterable, Mapping, Sequence

import regex

from convbert_np.tokenization.added_tokens import AddedToken

WORD = r"[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]"
SPACE = r"[\t-\r\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
BEGINS_WITH_WORD = regex.compile(WORD)
ENDS_WITH_WORD = regex.compile(f"(?r){WORD}")
BEGINS_WITH_SPACE = regex.compile(f"{SPACE}*")
ENDS_WITH_SPACE = regex.compile(f"(?r){SPACE}*")

Match = tuple[int, int, int | None]


def any_of(texts: Iterable[str], longest_first: bool = True) -> regex.Pattern[str] | None:
    """A pattern that matches any of the texts, None if there is none but empty ones."""
    kept = [text for text in dict.fromkeys(texts) if text]
    ordered = sorted(kept, key=len, reverse=True) if longest_first else kept
    return regex.compile("|".join(map(regex.escape, ordered))) if ordered else None


def lower_except(text: str, kept: regex.Pattern[str] | None) -> str:
    """Lower-case each character by itself, but nothing that the pattern matches."""
    if kept is None:
        return lower_case(text)
    parts = []
    at = 0
    for match in kept.finditer(text):
        parts += [lower_case(text[at : match.start()]), match.group()]
        at = match.end()
    return "".join([*parts, lower_case(text[at:])])


def lower_case(text: str) -> str:
    """Lower-case each character by itself: a final U+03A3 becomes U+03C3, not U+03C2 as in a whole word."""
    if text.isascii() or "\u03a3" not in text:
        return text.lower()
    return "\u03a3".lower().join(map(str.lower, text.split("\u03a3")))


def cut(text: str, pattern: regex.Pattern[str] | None) -> list[str]:
    """The text in parts that are matches of the pattern or hold none; no part is empty."""
    if pattern is None:
        return [text] if text else []
    parts = []
    at = 0
    for match in pattern.finditer(text):
        parts += [text[at : match.start()], match.group()]
        at = match.end()
    return [part for part in (*parts, text[at:]) if part]


def act_on_neighbours(parts: list[str], added: Mapping[str, AddedToken]) -> list[str]:
    """What the flags of the added tokens among the parts do to the parts beside them (slow class)."""
    parts = list(parts)
    for index, part in enumerate(parts):
        token = added.get(part)
        if token is None:
            continue
        left = parts[index - 1] if index else ""
        right = parts[index + 1] if index + 1 < len(parts) else ""
        if token.rstrip and right:
            parts[index + 1] = right.lstrip()
        if token.lstrip and left:
            parts[index - 1] = left.rstrip()
        if token.single_word and left and left[-1] != " ":
            parts[index - 1] += part
            parts[index] = ""
        elif token.single_word and right and right[0] != " ":
            parts[index + 1] = part + parts[index + 1]
            parts[index] = ""
    return [part for part in parts if part]


def find(text: str, pattern: regex.Pattern[str] | None, added: Mapping[str, tuple[int, AddedToken]]) -> list[Match]:
    """The whole text as (start, end, id of an added token or None), as the fast class cuts it."""
    if pattern is None or not text:
        return [(0, len(text), None)] if text else []
    matches: list[Match] = []
    at = 0
    for match in pattern.finditer(text):
        number, token = added[match.group()]
        start, end = match.span()
        if token.single_word and not stands_alone(text, start, end):
            continue
        if token.lstrip:
            start = max(at, ends(ENDS_WITH_SPACE, text, start)[0])
        if token.rstrip:
            end = ends(BEGINS_WITH_SPACE, text, end)[1]
        if start > at:
            matches.append((at, start, None))
        matches.append((start, end, number))
        at = end
    return [*matches, (at, len(text), None)] if at < len(text) else matches


def ends(pattern: regex.Pattern[str], text: str, at: int) -> tuple[int, int]:
    """The span of the white space that ends, or begins, at a place."""
    reverse = bool(pattern.flags & regex.REVERSE)
    match = pattern.match(text, 0, at) if reverse else pattern.match(text, at)
    return match.span() if match else (at, at)


def stands_alone(text: str, start: int, end: int) -> bool:
    """Whether no word character touches the span."""
    before = start > 0 and BEGINS_WITH_WORD.match(text[start - 1])
    after = end < len(text) and BEGINS_WITH_WORD.match(text[end])
    return not before and not after


def have_no_space(texts: Sequence[str]) -> bool:
    """Whether no text holds white space, so that white space may cut before they are looked for."""
    return not any(character.isspace() for text in texts for character in text)
