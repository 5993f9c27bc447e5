"""The way of one text through the stages of a tokenizer, one after the other, with notes for the reader.

The stages are those of `Normalization`, put on the whole text, where the engine fuses them and works chunk by chunk.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from itertools import groupby
from typing import Any, NamedTuple

from convbert_np.tokenization.engine import SlowEngine
from convbert_np.tokenization.explain_edits import Edit, edits_of, merged, shortened_edits, split_edits
from convbert_np.tokenization.explanation import Part, Span, Stage, Step, Word
from convbert_np.tokenization.fast_engine import FastEngine
from convbert_np.tokenization.segments import cut, find, lower_case
from convbert_np.tokenization.wordpiece import WordPiece

DETAIL = 10_000  # characters of a text that are compared one by one
ADDED, NEVER_SPLIT = "added token", "never split"
DOES = {
    "lower text": "Each character is lower-cased by itself, special tokens excepted.",
    "added tokens": "The text is cut at added tokens, which no further stage touches.",
    "clean": "Control characters are dropped, white space becomes a space.",
    "chinese": "Spaces are put around each Chinese character.",
    "compose": "A letter and its marks become one character where Unicode has one (NFC).",
    "white space": "The text is cut at white space; words never to be split are kept as they are.",
    "lower": "Each character is lower-cased by itself.",
    "strip": "Accents are taken off: decomposed (NFD), without nonspacing marks.",
    "normalized tokens": "The text is cut at added tokens that are looked for only here.",
    "never split": "The text is cut at white space again, for words never to be split that it now has.",
    "punctuation": "Spaces are put around each punctuation character.",
    "split": "The text is cut into words at spaces.",
}


class Run(NamedTuple):
    """A part of the text on its way; `kept` as in `Word`.

    token, id  those of an added token
    span       (start, end) in the text as given (fast class)
    origins    the place in the text as given of each character (fast class, once the run is normalized)
    """

    text: str
    kept: str | None = None
    token: str = ""
    id: int | None = None
    span: Span | None = None
    origins: Sequence[int] = ()


class Path:
    """The way of a text through the stages; the subclasses know the order of their class.

    stages, parts, words  what was noted on the way
    """

    options: tuple[str, ...]

    def __init__(self, engine: Any, text: str):
        self.engine = engine
        self.normalization = engine.normalization
        self.functions = dict(engine.normalization.stages)
        self.cut = cache(self.cut_word)
        self.text = text
        self.stages: list[Stage] = []
        self.parts: list[Part] = []
        self.words = list(self.words_of(self.walk()))

    def walk(self) -> list[Run]:
        """Take the text through all stages; the runs that its words are in."""
        raise NotImplementedError

    def plain_words(self, run: Run) -> Iterator[Word]:
        """The words of a run that is no added token."""
        raise NotImplementedError

    def name_of(self, piece: str, number: int) -> str:
        """The token of a piece."""
        return piece

    @property
    def off(self) -> tuple[str, ...]:
        """The stages that the settings leave out."""
        done = {stage.name for stage in self.stages}
        return tuple(name for name in self.options if name not in done)

    def note(self, name: str, edits: Iterable[Edit], cuts: bool = False) -> None:
        """Remember a stage."""
        found = merged(edits)
        self.stages.append(Stage(name, DOES[name], found, cuts or any(edit.changed for edit in found)))

    def change(self, name: str, runs: list[Run], function: Callable[[str], str]) -> list[Run]:
        """Put the runs that are not kept through a function, and note it as a stage."""
        function = cache(function)
        edits: list[Edit] = []
        changed = []
        room = DETAIL
        for run in runs:
            after = run.text if run.kept else function(run.text)
            edits += [Edit(run.text, after, True)] if run.kept else edits_of(run.text, after, function, room)
            changed.append(run._replace(text=after))
            room = max(0, room - len(run.text))
        self.note(name, edits)
        return changed

    def put_through(self, name: str, runs: list[Run]) -> list[Run]:
        """Put the runs that are not kept through a stage of the normalization."""
        return self.change(name, runs, partial(self.applied, name))

    def applied(self, name: str, text: str) -> str:
        """A text after a stage of the normalization."""
        return self.normalization.apply(name, self.functions[name], text)

    def split(self, runs: list[Run]) -> None:
        """Note the last stage."""
        words = self.normalization.split
        cells = [(run.text, [(run.text, True)] if run.kept else [(word, False) for word in words(run.text)]) for run in runs]
        self.note("split", split_edits(cells), cuts=sum(len(found) for _, found in cells) > 1)

    def words_of(self, runs: list[Run]) -> Iterator[Word]:
        """The words of the runs."""
        for run in runs:
            if run.kept == ADDED and run.id is not None:
                yield Word(run.text, ADDED, run.span, (), (run.text,), (run.id,))
            else:
                yield from self.plain_words(run)

    def cut_word(self, text: str) -> Word:
        """A word with the steps of WordPiece on it; equal words are one object."""
        model: WordPiece = self.engine.model
        too_long = len(text) > model.max_characters
        steps = () if too_long else steps_of(model, text)
        pairs = [(step.piece, step.id) for step in steps if step.piece is not None and step.id is not None]
        unknown = f"longer than {model.max_characters} characters" if too_long else None
        if steps and len(pairs) < len(steps):
            unknown = f"nothing fits at character {steps[-1].start}"
        pairs = [(model.unk_token, model.vocabulary[model.unk_token])] if unknown else pairs
        tokens = tuple([self.name_of(piece, number) for piece, number in pairs])
        return Word(text, None, None, steps, tokens, tuple([number for _, number in pairs]), unknown)


class SlowPath(Path):
    """The order of the slow class: see `segments` and `normalization`."""

    options = ("lower text", "clean", "chinese", "compose", "lower", "strip", "punctuation")
    engine: SlowEngine

    def walk(self) -> list[Run]:
        """Lower-case, cut at added tokens, then through the stages; words never split are kept from NFC or strip on."""
        runs = self.cut_at_added(self.lower_text() if self.engine.lowers else self.text)
        for name in self.functions:
            if name == "punctuation":
                runs = self.keep_never_split("never split", runs)
            runs = self.put_through(name, runs)
            if name == "compose":
                runs = self.keep_never_split("white space", runs)
        self.split(runs)
        return runs

    def lower_text(self) -> str:
        """Note the stage that lower-cases the text, save what is excepted from it."""
        kept = self.engine.kept
        parts = [Run(part, ADDED if kept and kept.fullmatch(part) else None) for part in cut(self.text, kept)]
        return "".join([run.text for run in self.change("lower text", parts, lower_case)])

    def cut_at_added(self, lowered: str) -> list[Run]:
        """Cut at the added tokens, whose flags may take white space from the parts beside them."""
        segments = self.engine.segments(self.text)
        self.note(
            "added tokens",
            shortened_edits(lowered, [(part, number is not None) for part, number in segments]),
            any(number is not None for _, number in segments),
        )
        self.parts = [Part(part, None if number is None else part, number, None) for part, number in segments]
        return [Run(part, None if number is None else ADDED, part, number) for part, number in segments]

    def keep_never_split(self, name: str, runs: list[Run]) -> list[Run]:
        """Cut at white space and keep the words that are never split; if there is none, the second time does nothing."""
        never = self.normalization.never_split
        cells = [
            [run] if run.kept else [Run(word, NEVER_SPLIT if word in never else None) for word in run.text.split()]
            for run in runs
        ]
        keeps = any(word.kept and not run.kept for run, words in zip(runs, cells, strict=True) for word in words)
        if name != "white space" and not keeps:
            return runs
        pairs = zip(runs, cells, strict=True)
        self.note(name, split_edits((run.text, [(word.text, bool(word.kept)) for word in words]) for run, words in pairs), keeps)
        return joined([word for words in cells for word in words])

    def plain_words(self, run: Run) -> Iterator[Word]:
        """The words of a run that is no added token."""
        for text in [run.text] if run.kept else self.normalization.split(run.text):
            if text in self.engine.never_split:
                yield Word(text, NEVER_SPLIT, None, (), (text,), (self.engine.token_id(text),))
            else:
                yield self.cut(text)


class FastPath(Path):
    """The order of the fast class: see `segments` and `normalization`."""

    options = ("clean", "chinese", "strip", "lower")
    engine: FastEngine

    def walk(self) -> list[Run]:
        """Cut at added tokens, through the stages, and before punctuation cut at those that are normalized."""
        runs = self.cut_at_added()
        for name in self.functions:
            if name != "punctuation":
                runs = self.put_through(name, runs)
        runs = [part for run in runs for part in ([run] if run.kept else self.cut_at_normalized(run))]
        if self.engine.normal_pattern is not None:
            self.note(
                "normalized tokens", [Edit(run.text, run.text, bool(run.kept)) for run in runs], any(run.kept for run in runs)
            )
        self.split(self.put_through("punctuation", runs))
        self.parts = [
            Part(self.text[slice(*run.span)], run.token if run.kept else None, run.id, run.span) for run in runs if run.span
        ]
        return runs

    def cut_at_added(self) -> list[Run]:
        """Cut at the added tokens that are looked for in the text as given."""
        runs = []
        for start, end, number in find(self.text, self.engine.raw_pattern, self.engine.raw):
            runs.append(self.run(self.text[start:end], number, (start, end)))
        self.note_cut("added tokens", runs)
        return runs

    def note_cut(self, name: str, runs: list[Run]) -> None:
        """Remember a stage that cuts the text and leaves it as it is."""
        self.note(name, [Edit(run.text, run.text, bool(run.kept)) for run in runs], any(run.kept for run in runs))

    def cut_at_normalized(self, run: Run) -> Iterator[Run]:
        """Cut a normalized run at the added tokens that are looked for there; its characters get their origins."""
        start, end = run.span or (0, 0)
        _, origins = self.normalization.aligned(self.text[start:end], start)
        for first, last, number in find(run.text, self.engine.normal_pattern, self.engine.normal):
            span = (origins[first], origins[last - 1] + 1)
            yield self.run(run.text[first:last], number, span, origins[first:last])

    def run(self, text: str, number: int | None, span: Span, origins: Sequence[int] = ()) -> Run:
        """A run; an added token if it has a number."""
        if number is None:
            return Run(text, span=span, origins=origins)
        return Run(text, ADDED, self.engine.names[number], number, span)

    def plain_words(self, run: Run) -> Iterator[Word]:
        """The words of a run that is no added token."""
        last = 0
        for text in self.normalization.split(self.applied("punctuation", run.text)):
            first = run.text.index(text, last)
            last = first + len(text)
            word = self.cut(text)
            span = (run.origins[first], run.origins[last - 1] + 1)
            yield Word(text, None, span, word.steps, word.tokens, word.ids, word.unknown)

    def name_of(self, piece: str, number: int) -> str:
        """The token of the id, by which this class goes."""
        return self.engine.names.get(number, piece)


def joined(words: list[Run]) -> list[Run]:
    """The words as runs with a space between any two words: each that is kept alone, those between in one."""
    runs: list[Run] = []
    for kept, group in groupby(words, lambda word: bool(word.kept)):
        for part in list(group) if kept else [Run(" ".join([word.text for word in group]))]:
            runs += [Run(" "), part] if runs else [part]
    return runs


def steps_of(model: WordPiece, word: str) -> tuple[Step, ...]:
    """The steps of WordPiece on a word; the last one has no end where nothing fits."""
    steps: list[Step] = []
    start = 0
    while start < len(word):
        pieces = model.continuations if start else model.vocabulary
        end = min(len(word), start + model.longest[start > 0].get(word[start : start + 2], 1))
        while end > start and word[start:end] not in pieces:
            end -= 1
        prefix = model.prefix if start else ""
        if end == start:
            return (*steps, Step(word, start, prefix, None, None))
        steps.append(Step(word, start, prefix, end, pieces[word[start:end]]))
        start = end
    return tuple(steps)
