"""An explanation as HTML for Jupyter: no scripts, all styles inline, colours that suit a light and a dark page."""

from collections.abc import Iterable, Iterator
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING

from convbert_np.tokenization.explain_edits import Edit
from convbert_np.tokenization.explain_text import LONGEST_TEXT, LONGEST_WORD, STEPS, first_tokens, left_out, picked
from convbert_np.tokenization.explanation import Stage, Step, Word
from convbert_np.tokenization.visible import shortened, visible

if TYPE_CHECKING:
    from convbert_np.tokenization.explain import Explanation

MONO = "font-family:ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace"
BOX = f"{MONO};display:inline-block;margin:1px 3px 1px 0;padding:0 5px;border-radius:4px;border:1px solid;white-space:pre"
STYLES = {
    "page": "font-size:13px;line-height:1.55;max-width:62em;text-align:left",
    "heading": "font-weight:600;margin:.9em 0 .2em",
    "cell": "text-align:left;vertical-align:top;padding:3px 10px 3px 0;border-top:1px solid rgba(128,128,128,.3)",
    "row": "background:transparent",
    "text": f"{MONO};white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:isolate",
    "removed": "background:rgba(225,70,60,.28);text-decoration:line-through;border-radius:2px",
    "inserted": "background:rgba(40,165,80,.30);border-radius:2px",
    "kept": "background:rgba(150,95,220,.28);border-radius:3px;padding:0 2px",
    "muted": "opacity:.65",
    "tried": f"{BOX};border-color:rgba(128,128,128,.45);opacity:.7",
    "found": f"{BOX};border-color:rgba(40,165,80,.8);background:rgba(40,165,80,.22);font-weight:600",
    "added": f"{BOX};border-color:rgba(150,95,220,.8);background:rgba(150,95,220,.22);font-weight:600",
    "unknown": f"{BOX};border-color:rgba(225,70,60,.8);background:rgba(225,70,60,.20);font-weight:600",
}


def tag(name: str, style: str, *content: str) -> str:
    """An element; the content is HTML already."""
    return f'<{name} style="{STYLES[style]}">{"".join(content)}</{name}>'


def shown(text: str, limit: int = LONGEST_WORD, apart: bool = False) -> str:
    """Any text as HTML: made visible, cut to length, escaped."""
    return escape(visible(shortened(text, limit), apart))


def html_page(explanation: "Explanation") -> str:
    """The page: the text, the stages, the words with the steps on each, the tokens with their ids."""
    words = explanation.words[: explanation.max_words]
    hidden = len(explanation.words) - len(words)
    more = tag("div", "muted", f"\u2026 {hidden:,} more words") if hidden else ""
    found, rest = first_tokens(explanation, words)
    tokens = "".join(box(style_of(word), token, number) for word, token, number in found)
    off = tag("div", "muted", "Switched off: ", escape(", ".join(explanation.off))) if explanation.off else ""
    return tag(
        "div",
        "page",
        tag("div", "heading", escape(explanation.title)),
        tag("div", "text", shown(explanation.text, LONGEST_TEXT)),
        tag("div", "heading", "Stages"),
        table(map(stage_row, explanation.stages)),
        off,
        tag("div", "heading", "Words"),
        table(map(word_row, words)),
        more,
        tag("div", "heading", "Tokens and ids"),
        tag("div", "row", tokens, *rest),
    )


def table(rows: Iterable[list[str]]) -> str:
    """Rows of cells, which are HTML already."""
    body = "".join(tag("tr", "row", *(tag("td", "cell", cell) for cell in row)) for row in rows)
    return f'<table style="border-collapse:collapse;margin:0">{body}</table>'


def stage_row(stage: Stage) -> list[str]:
    """A stage: its name, what it does, and the text with what changed highlighted."""
    name = f'<b style="white-space:nowrap">{escape(stage.name)}</b>'
    does = tag("span", "muted", escape(stage.does), "" if stage.changed else " Nothing to do.")
    return [name, does + ("<br>" + tag("span", "text", edited_text(stage)) if stage.changed else "")]


def edited_text(stage: Stage) -> str:
    """The start of the text of a stage: what it removed struck through, what it put in and what it keeps coloured."""
    parts = []
    room = LONGEST_TEXT
    for edit in grouped(stage.edits):
        if room <= 0:
            return "".join([*parts, "\u2026"])
        parts.append(edited(edit, room))
        room -= max(len(edit.before), len(edit.after))
    return "".join(parts)


def grouped(edits: Iterable[Edit]) -> Iterator[Edit]:
    """The edits with neighbours that replace or remove text made one, for whole words are easier to read."""
    for replaces, group in groupby(edits, lambda edit: edit.before not in edit.after):
        if replaces:
            befores, afters, _ = zip(*group, strict=True)
            yield Edit("".join(befores), "".join(afters))
        else:
            yield from group


def edited(edit: Edit, room: int) -> str:
    """One edit as HTML; a text that is only put between others stays plain."""
    if edit.kept:
        return tag("span", "kept", shown(edit.after, room))
    if not edit.changed:
        return shown(edit.after, room)
    if edit.before and edit.before in edit.after:
        left, _, right = edit.after.partition(edit.before)
        return marked("inserted", left, room) + shown(edit.before, room) + marked("inserted", right, room)
    return marked("removed", edit.before, room) + marked("inserted", edit.after, room)


def marked(style: str, text: str, room: int) -> str:
    """A coloured text with visible spaces, nothing for none."""
    return tag("span", style, shown(text, room, apart=True)) if text else ""


def style_of(word: Word) -> str:
    """The colour of the tokens of a word."""
    return "added" if word.kept else "unknown" if word.unknown else "found"


def box(style: str, token: str, number: int | None = None) -> str:
    """A small box with a token, and its id if it has one."""
    return tag("span", style, shown(token), "" if number is None else f' <small style="font-weight:400">{number}</small>')


def word_row(word: Word) -> list[str]:
    """A word, and its steps as rows of boxes."""
    place = tag("div", "muted", f"{word.span[0]}\u2013{word.span[1]}") if word.span else ""
    rows = [step_boxes(step) for step in word.steps[:STEPS]]
    if len(word.steps) > STEPS:
        rows.append(tag("span", "muted", f"\u2026 {len(word.steps) - STEPS:,} more steps"))
    if word.kept or word.unknown:
        reason = tag("span", "muted", escape(f" {word.kept or word.unknown}"))
        rows.append(box(style_of(word), word.tokens[0], word.ids[0]) + reason)
    return [f"<b>{tag('span', 'text', shown(word.text))}</b>{place}", "".join(f"<div>{row}</div>" for row in rows)]


def step_boxes(step: Step) -> str:
    """The candidates of a step, the found one last and with its id."""
    boxes = []
    for index in picked(step):
        if index < 0:
            boxes.append(tag("span", "muted", left_out(step), " "))
            continue
        text, found = step.candidate(index)
        boxes.append(box("found", text, step.id) if found else box("tried", text))
    return "".join(boxes)
