"""The engine of the fast class: ids, and where in the text each comes from.

The places of a text are put together of the places in its chunks, which are remembered as well: see `engine`.
"""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, chain
from typing import NamedTuple

import numpy as np

from convbert_np.tokenization.added_tokens import AddedToken
from convbert_np.tokenization.cache import Cache
from convbert_np.tokenization.engine import DROPPED_SPACE, LONGEST, SHAPES, Engine, Ids, packed
from convbert_np.tokenization.normalization import Normalization
from convbert_np.tokenization.segments import any_of, find, have_no_space
from convbert_np.tokenization.wordpiece import WordPiece

Word = tuple[int, bytes, str | None]  # its start; start and end of each id from there, packed; the text of an added token
Shape = tuple[Word, ...]  # what the ids of a chunk come from

SPAN = 2 * array("i").itemsize  # bytes of a start and an end


class FastEngine(Engine):
    """The rules of the fast class: see `segments` and `normalization`.

    raw     the added tokens that are looked for in the text as it is: text to (id, token)
    normal  those that are looked for in the normalized text
    names   id to token, of the vocabulary and of the added tokens
    """

    def __init__(
        self,
        normalization: Normalization,
        model: WordPiece,
        raw: Mapping[str, tuple[int, AddedToken]],
        normal: Mapping[str, tuple[int, AddedToken]],
        names: Mapping[int, str],
    ):
        tokens = [token for _, token in (*raw.values(), *normal.values())]
        super().__init__(normalization, model, have_no_space([token.content for token in tokens]))
        self.strips = any(token.lstrip or token.rstrip for token in tokens)
        self.names = names
        self.raw, self.raw_pattern = raw, any_of(raw)
        self.raw_firsts = frozenset(content[0] for content in raw if content)
        self.normal, self.normal_pattern = normal, any_of(normal)
        self.shapes: Cache[Shape] = Cache(self.chunk_shape, SHAPES, LONGEST)

    def chunk_ids(self, chunk: str) -> Ids:
        """The ids of a chunk, or of any text: cut at added tokens, then into words, then into pieces."""
        if self.raw_firsts.isdisjoint(chunk):
            return self.normal_ids(chunk)
        matches = find(chunk, self.raw_pattern, self.raw)
        parts = (self.normal_ids(chunk[start:end]) if n is None else (n,) for start, end, n in matches)
        return tuple(chain.from_iterable(parts))

    def is_plain(self, text: str) -> bool:
        """Whether no added token can stand in the text."""
        return self.normal_pattern is None and self.raw_firsts.isdisjoint(text)

    def normal_ids(self, text: str) -> Ids:
        """The ids of a text in which no added token stands but normalized ones."""
        if self.normal_pattern is None:
            return self.plain_ids(self.normalization.words(text))
        normal = self.normalization.normalized(text)
        matches = find(normal, self.normal_pattern, self.normal)
        split = self.normalization.split_normal
        parts = (self.plain_ids(split(normal[start:end])) if n is None else (n,) for start, end, n in matches)
        return tuple(chain.from_iterable(parts))

    def ids(self, text: str) -> list[int]:
        """The ids of a text; no special token is added."""
        return self.chunked_ids(text) if self.local else list(self.chunk_ids(text))

    # Where the ids come from

    def chunk_shape(self, text: str) -> Shape:
        """The words of a text, and where in it each of its ids comes from; an added token is a word."""
        if self.is_plain(text):
            shape = tuple(self.words_of(*self.normalization.aligned(text)))
        else:
            shape = tuple(self.words_of_parts(text))
        return self.remember(shape, shape)

    def words_of_parts(self, text: str) -> Iterable[Word]:
        """The added tokens of a text, with the text that each took, and the words of what is between them."""
        for start, end, number in find(text, self.raw_pattern, self.raw):
            if number is not None:
                yield 0, packed([start, end]), text[start:end]
                continue
            normal, origins = self.normalization.aligned(text[start:end], start)
            for first, last, added in find(normal, self.normal_pattern, self.normal):
                if added is not None:
                    yield 0, packed([origins[first], origins[last - 1] + 1]), normal[first:last]
                else:
                    yield from self.words_of(normal[first:last], origins[first:last])

    def words_of(self, normal: str, origins: Sequence[int]) -> Iterable[Word]:
        """The words of a normalized text, whose characters come from the places `origins`."""
        last = 0
        for word in self.normalization.split_normal(normal):
            first = normal.index(word, last)  # only white space stands before it
            last = first + len(word)
            yield *placed(self.pieces[word][1], origins, first, last), None

    def learn_places(self, chunks: Iterable[str]) -> None:
        """Put the shapes, and the ids, of new chunks into the caches, all at once where every character stays one."""
        new = [chunk for chunk in set(chunks) if len(chunk) <= LONGEST]
        if not self.is_plain("\n".join(new)):
            new = list(filter(self.is_plain, new))
        text = "\n".join(new)
        if not new or self.normalization.has_marks(text.translate(self.normalization.normal)):
            return
        normal, origins = self.normalization.aligned(text)
        self.chunks.make_room(len(new))
        self.shapes.make_room(len(new))
        for chunk, (ids, shape) in zip(new, self.rows_of_words(normal, origins, list(map(len, new))), strict=True):
            self.chunks[chunk] = ids
            self.shapes[chunk] = self.remember(shape, shape)

    def rows_of_words(self, normal: str, origins: Sequence[int], lengths: Sequence[int]) -> Iterable[tuple[Ids, Shape]]:
        """The ids and the shape of every part of a text, from the text normalized; parts are one character apart."""
        pieces = self.pieces
        rest = iter(lengths)
        begin = last = 0
        stop = next(rest)
        ids: Ids = ()
        shape: Shape = ()
        for word in self.normalization.split_normal(normal):
            first = normal.index(word, last)  # only white space stands before it
            last = first + len(word)
            while origins[first] >= stop:
                yield ids, shape
                ids, shape = (), ()
                begin = stop + 1
                stop = begin + next(rest)
            numbers, spans = pieces[word]
            start, spans = placed(spans, origins, first, last)
            ids += numbers
            shape += ((start - begin, spans, None),)
        yield ids, shape
        yield from (((), ()) for _ in rest)

    def places(self, text: str) -> "Places":
        """Where the ids of a text come from."""
        if not self.local or self.strips or DROPPED_SPACE.search(text):  # a token that strips reaches over white space
            return Places([0], [self.chunk_shape(text)])
        chunks = text.replace("\n", " ").replace("\t", " ").replace("\r", " ").split(" ")
        starts = np.cumsum([0, *map(len, chunks)])[:-1] + np.arange(len(chunks))
        step = max(self.shapes.entries // 2, 1)  # so many fit into the caches at once
        parts = (self.shapes_of_chunks(chunks[start : start + step]) for start in range(0, len(chunks), step))
        return Places(starts.tolist(), list(chain.from_iterable(parts)))

    def shapes_of_chunks(self, chunks: Sequence[str]) -> list[Shape]:
        """The shapes of chunks, of which those that are new are learnt together."""
        shapes = list(map(self.shapes.get, chunks))
        if not all(shapes):  # () for a chunk of nothing
            self.learn_places([chunk for chunk, found in zip(chunks, shapes, strict=True) if found is None])
            return list(map(self.shapes.__getitem__, chunks))
        return shapes  # type: ignore[return-value]


class Places(NamedTuple):
    """Where the ids of a text come from: the start of every chunk, and its shape."""

    starts: list[int]
    shapes: list[Shape]

    def counts(self) -> list[int]:
        """The number of ids of every word."""
        return [len(spans) // SPAN for shape in self.shapes for _, spans, _ in shape]

    def offsets(self) -> list[tuple[int, int]]:
        """The (start, end) in the text of every id."""
        pairs = zip(self.starts, self.shapes, strict=True)
        words = [(at + start, spans) for at, shape in pairs for start, spans, _ in shape]
        if not words:
            return []
        starts, packages = zip(*words, strict=True)
        spans = np.frombuffer(b"".join(packages), np.intc).reshape(-1, 2)
        at = np.repeat(np.array(starts, np.int64), [len(package) // SPAN for package in packages])
        return list(zip((spans[:, 0] + at).tolist(), (spans[:, 1] + at).tolist(), strict=True))

    def words(self) -> list[int]:
        """The number of the word of every id."""
        return [word for word, count in enumerate(self.counts()) for _ in range(count)]

    def given(self) -> dict[int, str]:
        """The text of every id that an added token gave, by the place of the id."""
        before = accumulate(self.counts(), initial=0)
        texts = [text for shape in self.shapes for _, _, text in shape]
        return {at: text for at, text in zip(before, texts, strict=False) if text is not None}


def placed(spans: bytes, origins: Sequence[int], first: int, last: int) -> tuple[int, bytes]:
    """Where a word of a normalized text comes from: its start in the text, and its spans counted from there.

    The word is normal[first:last], and `origins` are the places in the text of the characters of `normal`. Its
    spans in the text are those in `normal`, unless characters in it became none or several.
    """
    start = origins[first]
    places = origins[first:last]
    if isinstance(places, range) or places == list(range(start, start + last - first)):
        return start, spans
    marks = enumerate(array("i", spans))
    return start, packed([(places[at - 1] + 1 if index % 2 else places[at]) - start for index, at in marks])
