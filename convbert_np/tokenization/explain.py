"""`tokenizer.explain(text)`: everything that happens to a text on its way to ids, to be read by people.

The stages are those of `Normalization`, put one after the other on the whole text, where the engine fuses them and
works chunk by chunk. The tests hold both to the same ids.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, NamedTuple

import regex

from convbert_np.tokenization.checks import check_length, check_text
from convbert_np.tokenization.engine import FastEngine, SlowEngine
from convbert_np.tokenization.explain_html import html_page
from convbert_np.tokenization.explain_text import text_page
from convbert_np.tokenization.explanation import Edit, Part, Span, Stage, Step, Word, merged
from convbert_np.tokenization.segments import cut, find, lower_case
from convbert_np.tokenization.wordpiece import WordPiece

DETAIL = 10_000
CLUSTERS = regex.compile(r"\X", regex.DOTALL)
ADDED, NEVER_SPLIT = "added token", "never split"
DOES = {
    "lower text": "Each character of the whole text is lower-cased by itself, special tokens excepted.",
    "added tokens": "The text is cut at the added tokens that stand in it; no stage touches them.",
    "clean": "Control characters are dropped, and white space becomes a space.",
    "chinese": "Spaces are put around each Chinese character.",
    "compose": "Characters and marks that Unicode has one character for become that one (NFC).",
    "white space": "The text is cut at white space; a word that is never split stays as it is from here on.",
    "lower": "Each character is lower-cased by itself.",
    "strip": "Accents are taken off: characters are decomposed (NFD), nonspacing marks dropped.",
    "normalized tokens": "The text so far is cut at the added tokens that are looked for in it and not before.",
    "punctuation": "Spaces are put around each punctuation character.",
    "split": "The text is cut into words at spaces.",
}


@dataclass(frozen=True)
class Explanation:
    """What a tokenizer does to a text, stage by stage and word by word; prints as a page, in Jupyter as HTML.

    text        the text as given
    class_name  the class of the tokenizer
    stages      every stage in its order, with the text before and after it
    off         the stages that the settings of the tokenizer leave out
    parts       the added tokens of the text, and the plain text between them
    words       every word with the steps of WordPiece
    max_words   how many words are printed, None for all

    `tokens` and `ids` are those of `tokenizer.tokenize(text)` and of the tokenizer without special tokens around.
    """

    text: str
    class_name: str
    stages: tuple[Stage, ...]
    off: tuple[str, ...]
    parts: tuple[Part, ...]
    words: tuple[Word, ...]
    max_words: int | None = None

    @property
    def tokens(self) -> list[str]:
        """The tokens of all words."""
        return [token for word in self.words for token in word.tokens]

    @property
    def ids(self) -> list[int]:
        """The ids of all words."""
        return [number for word in self.words for number in word.ids]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: dicts, lists, strings, numbers, booleans and None."""
        lists = {name: [item.to_dict() for item in getattr(self, name)] for name in ("stages", "parts", "words")}
        first = {"text": self.text, "class_name": self.class_name, "off": list(self.off)}
        return {**first, **lists, "tokens": self.tokens, "ids": self.ids}

    def __str__(self) -> str:
        """A page of plain text, no line of more than 100 columns."""
        return text_page(self)

    def __repr__(self) -> str:
        counts = f"{len(self.words)} words, {sum(len(word.ids) for word in self.words)} tokens"
        return f"Explanation({self.class_name}, {len(self.text)} characters, {len(self.stages)} stages, {counts})"

    def _repr_html_(self) -> str:
        """The same page for Jupyter."""
        return html_page(self)


class Run(NamedTuple):
    """A part of the text on its way through the stages; `kept` as in `Word`.

    span     (start, end) in the text as given (fast class)
    origins  the place in the text that each character comes from (fast class, once it is normalized)
    """

    text: str
    kept: str | None = None
    token: str = ""
    id: int | None = None
    span: Span | None = None
    origins: Sequence[int] = ()


def explain(tokenizer: Any, text: str, max_words: int | None = 50) -> Explanation:
    """What a tokenizer does to a text.

    tokenizer  a ConvBertTokenizer or a ConvBertTokenizerFast
    text       a string
    max_words  how many words are printed, None for all; all of them are in the result

    The stages are in the true order of the class. Each step of WordPiece has all candidates from the end of the word
    on, as the algorithm is defined; the engine itself tries none that is longer than any piece with the same two
    first characters. Time and memory grow with the length of the text only.
    Raises TypeError or ValueError naming the argument.
    """
    text = check_text(text, "text")
    max_words = check_length(max_words, "max_words", 0)
    engine = tokenizer.engine
    path = FastPath(engine) if isinstance(engine, FastEngine) else SlowPath(engine)
    runs = path.walk(text)
    words = tuple(path.words(runs))
    possible = path.NAMES if engine.normalization.basic else ()
    off = tuple(name for name in possible if name not in {stage.name for stage in path.stages})
    return Explanation(text, type(tokenizer).__name__, tuple(path.stages), off, tuple(path.parts), words, max_words)


class Path:
    """The way of a text through the stages of an engine; the subclasses know the order of their class."""

    NAMES: tuple[str, ...]

    def __init__(self, engine: Any):
        self.engine = engine
        self.normalization = engine.normalization
        self.model: WordPiece = engine.model
        self.stages: list[Stage] = []
        self.parts: list[Part] = []
        self.steps = cache(partial(steps_of, engine.model))
        self.functions = dict(engine.normalization.stages)

    def note(self, name: str, edits: list[Edit], cuts: bool = False) -> None:
        """Remember a stage."""
        found = merged(edits)
        self.stages.append(Stage(name, DOES[name], found, cuts or any(edit.changed for edit in found)))

    def put_through(self, runs: list[Run], name: str) -> list[Run]:
        """Put the runs that are not kept through a stage, if it is done."""
        if name not in self.functions:
            return runs
        return self.change(runs, name, partial(self.normalization.apply, name, self.functions[name]))

    def change(self, runs: list[Run], name: str, function: Callable[[str], str]) -> list[Run]:
        """Put the runs that are not kept through any function, and remember it as a stage."""
        function, edits, room, changed = cache(function), [], DETAIL, []
        for run in runs:
            after = run.text if run.kept else function(run.text)
            changed.append(run._replace(text=after))
            edits += [Edit(run.text, after, True)] if run.kept else edits_of(run.text, after, function, max(room, 0))
            room -= len(run.text)
        self.note(name, edits)
        return changed

    def words(self, runs: list[Run]) -> Iterator[Word]:
        """The words of the runs."""
        for run in runs:
            if run.kept:
                yield Word(run.token or run.text, run.kept, run.span, (), (run.token or run.text,), (run.id,))  # type: ignore[arg-type]
            else:
                yield from self.plain_words(run)

    def plain_words(self, run: Run) -> Iterator[Word]:
        """The words of a run that is not kept."""
        raise NotImplementedError

    def name_of(self, piece: str, number: int) -> str:
        """The token of a piece."""
        return piece

    def cut_word(self, text: str, span: Span | None = None) -> Word:
        """A word with the steps of WordPiece."""
        model = self.model
        steps = () if len(text) > model.max_characters else self.steps(text)
        unknown = None
        if len(text) > model.max_characters:
            unknown = f"{len(text)} characters, and more than {model.max_characters} are not cut"
        elif steps[-1].id is None:
            unknown = f"nothing in the vocabulary fits at character {steps[-1].start}"
        number = model.vocabulary[model.unk_token]
        pairs = [(model.unk_token, number)] if unknown else [(step.piece, step.id) for step in steps]
        tokens = tuple([self.name_of(piece, number) for piece, number in pairs])  # type: ignore[arg-type]
        return Word(text, None, span, steps, tokens, tuple([number for _, number in pairs]), unknown)  # type: ignore[arg-type]


class SlowPath(Path):
    """The order of the slow class: see `segments` and `normalization`."""

    NAMES = ("lower text", "clean", "chinese", "lower", "strip")
    engine: SlowEngine

    def walk(self, text: str) -> list[Run]:
        """The runs of a text after all stages but the last, which `words` takes."""
        if self.engine.lowers:
            self.lower_text(text)
        runs = self.cut_at_added(self.stages[-1].after if self.stages else text)
        for name in self.functions:
            runs = self.put_through(runs, name)
            if name == "compose":
                runs = self.keep_never_split(runs)
        self.note("split", split_edits(runs, self.normalization.split))
        return runs

    def lower_text(self, text: str) -> None:
        """The first stage: what is excepted from lower-casing is kept."""
        kept = self.engine.kept
        parts = [Run(part, ADDED if kept and kept.fullmatch(part) else None) for part in cut(text, kept)]
        self.change(parts, "lower text", lower_case)

    def cut_at_added(self, text: str) -> list[Run]:
        """The stage that cuts at added tokens; their flags may take white space from the parts beside them."""
        segments = self.engine.segments(text)
        runs = [Run(part, None if number is None else ADDED, part, number) for part, number in segments]
        self.parts = [Part(part, None if number is None else part, number, None) for part, number in segments]
        edits, at = [], 0
        for run in runs:
            found = [Edit("", "")] if run.kept else []
            start = at
            at = end_in(text, at, run.text)
        self.note("added tokens", edits, any(run.kept for run in runs))
        return runs
