"""An explanation as a page of plain text."""

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING

import regex

from convbert_np.tokenization.explanation import Stage, Step, Word
from convbert_np.tokenization.visible import shortened, visible, wrapped

if TYPE_CHECKING:
    from convbert_np.tokenization.explain import Explanation

WIDTH, LABEL = 100, 20
LONGEST_TEXT, LONGEST_WORD = 400, 40
CHANGES, STEPS, TRIED, TOKENS = 12, 12, 6, 200
ATOMS = regex.compile(r"\S+\s*|\s+")
ARROW, TOKEN = "\u2192", ("\u27e6", "\u27e7")


def text_page(explanation: "Explanation") -> str:
    """The page: the text, the stages, the words with the steps on each, the tokens and ids."""
    text = visible(shortened(explanation.text, LONGEST_TEXT))
    shown = explanation.words[: explanation.max_words]
    lines = [explanation.title, "", *block("text", ATOMS.findall(text)), "", "STAGES"]
    for number, stage in enumerate(explanation.stages, 1):
        lines += stage_lines(number, stage)
    if explanation.off:
        lines += block("switched off", explanation.off, ", ")
    lines += ["", "WORDS"]
    for number, word in enumerate(shown, 1):
        lines += word_lines(number, word)
    if len(explanation.words) > len(shown):
        lines.append(f"\u2026 {len(explanation.words) - len(shown):,} more words")
    found, more = first_tokens(explanation, shown)
    tokens = [visible(shortened(token, LONGEST_WORD)) for _, token, _ in found]
    lines += ["", *block("tokens", [*tokens, *more], "  "), *block("ids", [*(str(id_) for *_, id_ in found), *more], "  ")]
    return "\n".join(line.rstrip() for line in lines)


def first_tokens(explanation: "Explanation", words: Iterable[Word]) -> tuple[list[tuple[Word, str, int]], list[str]]:
    """The first tokens of words as (word, token, id), and how many the whole text has more."""
    every = ((word, token, id_) for word in words for token, id_ in zip(word.tokens, word.ids, strict=True))
    found = list(islice(every, TOKENS))
    hidden = len(explanation.ids) - len(found)
    return found, [f"\u2026 {hidden:,} more"] if hidden else []


def block(label: str, items: Iterable[str], between: str = "") -> list[str]:
    """A label, and beside it the items in as many lines as they need."""
    return [f"{label if index == 0 else '':{LABEL}}{line}" for index, line in enumerate(wrapped(items, WIDTH - LABEL, between))]


def stage_lines(number: int, stage: Stage) -> list[str]:
    """A stage: what it does, and the text after it with what has changed."""
    lines = block(f"{number:2} {stage.name}", stage.does.split(" "), " ")
    if not stage.changed:
        return [*lines, *block("", ["(nothing to do)"])]
    lines += block("", ATOMS.findall(marked_text(stage)))
    changes = [change(*pair) for pair in dict.fromkeys((edit.before, edit.after) for edit in stage.edits if edit.changed)]
    more = [f"\u2026 {len(changes) - CHANGES:,} more"] if len(changes) > CHANGES else []
    return [*lines, *(block("", [*changes[:CHANGES], *more], "   ") if changes else [])]


def marked_text(stage: Stage) -> str:
    """The start of the text after a stage, with what is kept in brackets."""
    shown = ""
    for edit in stage.edits:
        room = LONGEST_TEXT - len(shown)
        if room <= 0:
            return f"{shown}\u2026"
        part = visible(shortened(edit.after, room))
        shown += part.join(TOKEN) if edit.kept else part
    return shown


def change(before: str, after: str) -> str:
    """One change: "\u00c9 \u2192 \u00e9", or what is dropped or put in."""
    old, new = (visible(shortened(text, LONGEST_WORD), apart=True) for text in (before, after))
    if not before:
        return f"+{new}"
    return f"{old} {ARROW} {new}" if after else f"{old} dropped"


def word_lines(number: int, word: Word) -> list[str]:
    """A word, where it stands, and its steps; all in one line if the first candidate is the word."""
    notes = [visible(shortened(word.text, LONGEST_WORD))]
    if word.span:
        notes.append(f"[{word.span[0]}:{word.span[1]}]")
    if word.kept or word.unknown:
        notes.append(f"{word.kept or word.unknown} {ARROW} {visible(shortened(word.tokens[0], LONGEST_WORD))} {word.ids[0]}")
    if len(word.steps) == 1 and word.steps[0].tried == 1 and word.steps[0].id is not None:
        return block(f"{number:2}", [*notes, outcome(word.steps[0])], "  ")
    lines = block(f"{number:2}", notes, "  ")
    for step in word.steps[:STEPS]:
        lines += block(f"     at {step.start}", [*tried(step), outcome(step)], "  ")
    if len(word.steps) > STEPS:
        lines += block("", [f"\u2026 {len(word.steps) - STEPS:,} more steps"])
    return lines


def picked(step: Step) -> list[int]:
    """The candidates that are shown: the first and the last ones, and -1 where some are left out between."""
    if step.tried <= TRIED + 1:
        return list(range(step.tried))
    return [*range(TRIED - 2), -1, step.tried - 2, step.tried - 1]


def left_out(step: Step) -> str:
    """How many candidates are not shown."""
    return f"\u2026 {step.tried - TRIED:,} more"


def tried(step: Step) -> list[str]:
    """The candidates that were not found."""
    numbers = [index for index in picked(step) if step.end is None or index < step.tried - 1]
    return [left_out(step) if i < 0 else visible(shortened(step.candidate(i).text, LONGEST_WORD)) for i in numbers]


def outcome(step: Step) -> str:
    """What was found."""
    if step.piece is None:
        return f"{ARROW} nothing"
    return f"{ARROW} {visible(shortened(step.piece, LONGEST_WORD))} {step.id}"
