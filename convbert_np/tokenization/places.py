"""Where ids come from: the way from every id back to the characters of the text.

The pieces of a text lie one behind the other on the characters that its normalization leaves, white space apart. So the
lengths of the pieces, summed up, say on which of those each piece lies, and each of those comes from one
character of the text. This takes a few sums over arrays, and no look at any single word.

It does not hold for a chunk (what stands between white space) with an unknown word, whose length its id does not
tell, with an added token, or with marks that change places. Such a chunk is odd: its `Shape` is made word by word.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from convbert_np.tokenization.normalization import Normalization
from convbert_np.tokenization.wordpiece import WordPiece

Ids = tuple[int, ...]
Spans = tuple[tuple[int, int], ...]
Shape = tuple[Spans, tuple[int, ...], tuple[tuple[int, str], ...]]
"""What the ids of a chunk come from: (start, end) of each; how many each word has; (place, text) of added tokens."""

SPACES = np.array([chr(code).isspace() for code in range(0x3001)] + [False])
MET, MOVES, WIDTH = 128, 64, 63


class CharacterWidths:
    """How many characters, white space apart, normalization makes of a character; worked out when it is first met.

    An entry of `table` is 0 for a character that was not met yet, else MET + the width, + MOVES if it leaves a combining mark.
    """

    def __init__(self, normalization: Normalization):
        self.normalization = normalization
        self.table = np.zeros(0x110000, np.uint8)

    def __call__(self, codes: np.ndarray) -> np.ndarray:
        """The entries of code points (n,)."""
        entries = self.table[codes]
        if not np.all(entries):
            for code in np.unique(codes[entries == 0]).tolist():
                made = "".join(self.normalization.split(self.normalization.whole[code]))
                self.table[code] = MET + len(made) + MOVES * self.normalization.has_marks(made)
            entries = self.table[codes]
        return entries


@dataclass(frozen=True)
class PieceLengths:
    """What an id tells about its piece.

    lengths    the number of characters it stands for, by id; 0 where the id does not tell
    continues  whether it stands within a word, by id
    """

    lengths: np.ndarray
    continues: np.ndarray

    @classmethod
    def of(cls, model: WordPiece, added: Iterable[int], is_punctuation: Callable[[str], bool]) -> "PieceLengths":
        """The pieces of a vocabulary.

        Ids of added tokens do not tell, nor that of the unknown token, one that several tokens have, and one far
        beyond the number of tokens. No id tells anything if a word can begin with what stands before a piece
        within a word; with "##" none can, for punctuation is split off.
        """
        prefix, vocabulary = model.prefix, model.vocabulary
        most = 2 * len(vocabulary)
        lengths, continues = np.zeros(most + 1, np.intp), np.zeros(most + 1, bool)
        if any(map(is_punctuation, prefix)):
            unsure = {*added, vocabulary[model.unk_token], *repeated(vocabulary.values())}
            known = {number: token for token, number in vocabulary.items() if 0 <= number < most and number not in unsure}
            numbers = list(known)
            continues[numbers] = [token.startswith(prefix) and token != prefix for token in known.values()]
            lengths[numbers] = list(map(len, known.values())) - len(prefix) * continues[numbers]
        return cls(lengths, continues)


def repeated(numbers: Iterable[int]) -> set[int]:
    """The numbers that occur more than once."""
    numbers = list(numbers)
    return set() if len(set(numbers)) == len(numbers) else {n for n, count in Counter(numbers).items() if count > 1}


class Chunks:
    """The chunks of a text: their ids, and where they begin."""

    def __init__(self, texts: Sequence[str], rows: Sequence[Ids], starts: np.ndarray):
        self.texts = texts
        self.starts = starts
        self.counts = np.fromiter(map(len, rows), np.intp, len(rows))
        self.firsts = np.cumsum(self.counts) - self.counts
        self.owners = np.repeat(np.arange(len(rows)), self.counts)

    def having(self, pieces: np.ndarray, characters: np.ndarray) -> np.ndarray:
        """The chunks (c,) in which any of the pieces (p,) or of the characters (s,) stands."""
        found = np.zeros(len(self.texts), bool)
        found[self.owners[pieces]] = True
        found[np.searchsorted(self.starts, np.flatnonzero(characters), "right") - 1] = True
        return np.flatnonzero(found)


@dataclass(frozen=True)
class Places:
    """Where the ids of a text come from.

    ids      the ids
    offsets  the (start, end) of each in the text
    begins   whether it begins a word (p,)
    added    the text that an added token took, by the place of its id
    """

    ids: Sequence[int]
    offsets: list[tuple[int, int]]
    begins: np.ndarray
    added: Mapping[int, str]

    def words(self) -> list[int]:
        """The number of the word of every id."""
        return (np.cumsum(self.begins) - 1).tolist()


class Layout:
    """The pieces of a text, or of several texts joined by one character, laid on the characters.

    starts, ends  the span of each id (p,)
    """

    def __init__(self, ids: Sequence[int], entries: np.ndarray, pieces: PieceLengths):
        numbers = np.fromiter(ids, np.intp, len(ids))
        self.ids = ids
        self.entries = entries
        self.lengths = pieces.lengths.take(numbers, mode="clip")
        self.begins = ~pieces.continues.take(numbers, mode="clip")
        self.added: dict[int, str] = {}

    @property
    def is_told(self) -> bool:
        """Whether the ids tell all."""
        return bool(np.all(self.lengths)) and not np.any(self.entries & MOVES)

    def lay(self) -> None:
        """Lay the pieces one behind the other on what normalization leaves of the characters."""
        origins = np.append(np.repeat(np.arange(len(self.entries)), self.entries & WIDTH), 0)
        behind = np.cumsum(self.lengths)
        self.starts = origins.take(behind - self.lengths, mode="clip")
        self.ends = origins.take(behind - 1, mode="clip") + 1

    def lay_but(self, chunks: Chunks, odd: np.ndarray, shapes: Sequence[Shape]) -> None:
        """The same, save that the chunks `odd` have these shapes: the first piece of each takes its place meanwhile."""
        mine = np.isin(chunks.owners, odd)
        starts, counts = chunks.starts[odd], chunks.counts[odd]
        before = np.append(0, np.cumsum(self.entries & WIDTH))
        sizes = np.array([len(chunks.texts[index]) for index in odd.tolist()], np.intp)
        self.lengths[mine] = 0
        self.lengths[chunks.firsts[odd[counts > 0]]] = (before[starts + sizes] - before[starts])[counts > 0]
        self.lay()
        spans = [end for spans, _, _ in shapes for span in spans for end in span]
        self.starts[mine], self.ends[mine] = np.reshape(spans, (-1, 2)).T + np.repeat(starts, counts)
        self.begins[mine] = [place == 0 for _, words, _ in shapes for size in words for place in range(size)]
        firsts = chunks.firsts[odd].tolist()
        self.added = {at + place: text for at, (_, _, added) in zip(firsts, shapes, strict=True) for place, text in added}

    def places(self, bounds: np.ndarray) -> list[Places]:
        """The places of each of the texts, given where they begin (t,)."""
        owners = np.searchsorted(bounds, self.starts, "right") - 1
        starts, ends = self.starts - bounds[owners], self.ends - bounds[owners]
        offsets = list(zip(starts.tolist(), ends.tolist(), strict=True))
        if len(bounds) == 1:
            return [Places(self.ids, offsets, self.begins, self.added)]
        stops = np.cumsum(np.bincount(owners, minlength=len(bounds))).tolist()
        parts = [slice(*part) for part in pairwise((0, *stops))]
        added: list[dict[int, str]] = [{} for _ in parts]
        for place, text in self.added.items():
            added[owners[place]][place - parts[owners[place]].start] = text
        return [Places(self.ids[part], offsets[part], self.begins[part], taken) for part, taken in zip(parts, added, strict=True)]


def code_points(text: str) -> np.ndarray:
    """The code points of a text (s,)."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def starts_of_chunks(codes: np.ndarray) -> np.ndarray:
    """Where each chunk begins that str.split cuts a text into (c,)."""
    space = SPACES.take(codes, mode="clip")
    return np.flatnonzero(~space & np.append(True, space[:-1]))
