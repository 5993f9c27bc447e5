"""What `tokenizer.explain(text)` is made of: the stages of a text, its words, and the steps of WordPiece on each word."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from convbert_np.tokenization.explain_edits import Edit

CANDIDATES = 100  # as many as one step of a word that is not too long can have

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage that the text goes through.

    name     its name, as in `Normalization.stages` where it is one of them
    does     what it does, in one sentence
    edits    the text bit by bit, before and after; beyond the first 10,000 characters all in one
    changed  whether it did anything: another text, or a text that is cut
    """

    name: str
    does: str
    edits: tuple[Edit, ...]
    changed: bool

    @property
    def before(self) -> str:
        """The text before the stage."""
        return "".join([edit.before for edit in self.edits])

    @property
    def after(self) -> str:
        """The text after the stage."""
        return "".join([edit.after for edit in self.edits])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        texts = {"before": self.before, "after": self.after, "changed": self.changed}
        edits = [{"before": edit.before, "after": edit.after, "kept": edit.kept} for edit in self.edits]
        return {"name": self.name, "does": self.does, **texts, "edits": edits}


@dataclass(frozen=True, slots=True)
class Part:
    """An added token that was found in the text, or the text between two of them.

    text   what stands in the text; of the slow class, after lower-casing
    token  the added token, None for plain text
    id     its id
    span   (start, end) in the text; None for the slow class, which keeps no places
    """

    text: str
    token: str | None
    id: int | None
    span: Span | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"text": self.text, "token": self.token, "id": self.id, "span": self.span and list(self.span)}


class Candidate(NamedTuple):
    """What is looked up in the vocabulary, with its prefix ("##ing"), and whether it is there."""

    text: str
    found: bool


@dataclass(frozen=True, slots=True)
class Step:
    """One step of WordPiece: the longest piece of `word` that begins at `start` and is in the vocabulary.

    prefix  what stands before the piece in the vocabulary: nothing at the start of the word, else "##"
    end     where the piece ends, None if nothing fits
    id      its id, None if nothing fits
    """

    word: str
    start: int
    prefix: str
    end: int | None
    id: int | None

    @property
    def piece(self) -> str | None:
        """The piece as it stands in the vocabulary, None if nothing fits."""
        return None if self.end is None else self.prefix + self.word[self.start : self.end]

    @property
    def tried(self) -> int:
        """How many candidates there are."""
        return len(self.word) - (self.start if self.end is None else self.end - 1)

    def candidate(self, index: int) -> Candidate:
        """The candidate at a place; the longest, which reaches to the end of the word, is at 0."""
        end = len(self.word) - index
        return Candidate(self.prefix + self.word[self.start : end], end == self.end)

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """All candidates, the longest first; the last one is found, unless nothing fits."""
        return tuple(map(self.candidate, range(self.tried)))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; of the candidates the first 100."""
        candidates = [self.candidate(index)._asdict() for index in range(min(self.tried, CANDIDATES))]
        return {"start": self.start, "candidates": candidates, "tried": self.tried, "piece": self.piece, "id": self.id}


@dataclass(frozen=True, slots=True)
class Word:
    """One word and its tokens.

    text     the word as the stages have made it
    kept     why it is not cut into pieces: "added token", "never split"; None: it is
    span     (start, end) in the text; None for the slow class, which keeps no places
    steps    the steps of WordPiece, none for a word that is kept or too long
    tokens, ids
             what becomes of it; the token of an added token is the text that it took, as the class has it
    unknown  why it is unknown: it is too long, or nothing fits; None: it is not
    """

    text: str
    kept: str | None
    span: Span | None
    steps: tuple[Step, ...]
    tokens: tuple[str, ...]
    ids: tuple[int, ...]
    unknown: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        place = {"text": self.text, "kept": self.kept, "span": self.span and list(self.span)}
        steps = [step.to_dict() for step in self.steps]
        return {**place, "steps": steps, "tokens": list(self.tokens), "ids": list(self.ids), "unknown": self.unknown}
