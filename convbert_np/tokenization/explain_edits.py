"""Bits of text before and after a stage, so that a reader sees what each stage changed."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import regex

CLUSTERS = regex.compile(r"\X", regex.DOTALL)

Words = Sequence[tuple[str, bool]]  # each word, and whether it is kept


class Edit(NamedTuple):
    """A bit of text before and after a stage; `kept`: an added token or a word never split, which no stage touches."""

    before: str
    after: str
    kept: bool = False

    @property
    def changed(self) -> bool:
        """Whether the two differ."""
        return self.before != self.after


def merged(edits: Iterable[Edit]) -> tuple[Edit, ...]:
    """The edits without empty ones, and with neighbours that change nothing made one."""
    found: list[Edit] = []
    for (changed, kept), group in groupby(edits, lambda edit: (edit.changed, edit.kept)):
        if changed or kept:
            found += [edit for edit in group if edit.before or edit.after]
            continue
        text = "".join(edit.before for edit in group)
        found += [Edit(text, text)] if text else []
    return tuple(found)


def edits_of(before: str, after: str, function: Callable[[str], str], room: int) -> list[Edit]:
    """What a function changed in a text: by characters if it works on each alone, else by grapheme clusters, else in one.

    Only the first `room` characters are looked at so closely; what follows is one edit.
    """
    if before == after:
        return [Edit(before, after)]
    head, tail = before[:room], before[room:]
    for units in (head, CLUSTERS.findall(head)):
        edits = [Edit(unit, function(unit)) for unit in units]
        result = "".join([edit.after for edit in edits])
        if result == after or (tail and after.startswith(result)):
            return [*edits, Edit(tail, after[len(result) :])]
    return [Edit(before, after)]


def split_edits(cells: Iterable[tuple[str, Words]]) -> Iterator[Edit]:
    """The edits that leave the words of every text in place, and one space between them."""
    space = gap = ""
    for text, words in cells:
        at = 0
        for word, kept in words:
            start = text.index(word, at)
            yield Edit(gap + text[at:start], space)
            yield Edit(word, word, kept)
            at, gap, space = start + len(word), "", " "
        gap += text[at:]
    yield Edit(gap, "")


def shortened_edits(text: str, parts: Words) -> list[Edit]:
    """The edits that leave the parts of a text in place, whose white space between and inside may have gone."""
    edits: list[Edit] = []
    at = 0
    for part, kept in parts:
        start = text.find(part, at)
        whole = start >= 0 and (start == at or text[at:start].isspace())
        for unit in [part] if whole else part:
            start = text.index(unit, at)
            edits += [Edit(text[at:start], ""), Edit(unit, unit, kept)]
            at = start + len(unit)
    return [*edits, Edit(text[at:], "")]
