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
from convbert_np.tokenization.engine import DROPPED_SPACE, LONGEST, SHAPES, Engine, Ids
from convbert_np.tokenization.normalization import Normalization
from convbert_np.tokenization.segments import any_of, find, have_no_space
from convbert_np.tokenization.wordpiece import WordPiece

Given = tuple[tuple[int, str], ...]
Shape = tuple[bytes, tuple[int, ...], Given]
"""What the ids of a chunk come from: start and end of each, packed; ids in each word; (place, text) of added tokens."""

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
        """Where in a text each of its ids comes from, and of which word; an added token is a word."""
        if self.is_plain(text):
            return self.shared(self.shape_of_words(*self.normalization.aligned(text)))
        sizes: tuple[int, ...] = ()
        given: list[tuple[int, str]] = []
        parts = []
        for shape, added in self.shapes_of_parts(text):
            given += [] if added is None else [(sum(map(len, parts)) // SPAN, added)]
            parts.append(shape[0])
            sizes += shape[1]
        return self.shared((b"".join(parts), sizes, tuple(given)))

    def shapes_of_parts(self, text: str) -> Iterable[tuple[Shape, str | None]]:
        """The shapes of the added tokens of a text, with the text that each took, and of what is between them."""
        for start, end, number in find(text, self.raw_pattern, self.raw):
            if number is not None:
                yield (packed([start, end]), (1,), ()), text[start:end]
                continue
            normal, origins = self.normalization.aligned(text[start:end], start)
            for first, last, added in find(normal, self.normal_pattern, self.normal):
                if added is not None:
                    yield (packed([origins[first], origins[last - 1] + 1]), (1,), ()), normal[first:last]
                else:
                    yield self.shape_of_words(normal[first:last], origins[first:last]), None

    def shape_of_words(self, normal: str, origins: Sequence[int]) -> Shape:
        """The shape of a normalized text, whose characters come from the places `origins`."""
        spans: list[int] = []
        sizes: list[int] = []
        last = 0
        for word in self.normalization.split_normal(normal):
            first = start = normal.index(word, last)  # only white space stands before it
            ends = self.pieces[word][1]
            sizes.append(len(ends))
            for end in ends:
                last = first + end
                spans += (origins[start], origins[last - 1] + 1)
                start = last
        return packed(spans), tuple(sizes), ()

    def learn_places(self, chunks: Iterable[str]) -> None:
        """Put the shapes, and the ids, of new chunks into the caches, all at once where every character stays one."""
        new = [chunk for chunk in set(chunks) if len(chunk) <= LONGEST and self.is_plain(chunk)]
        table = self.normalization.normal
        normal = "\n".join(new).translate(table)  # fills the table
        if not table.uneven.isdisjoint("".join(new)):
            new = list(filter(table.uneven.isdisjoint, new))
            normal = "\n".join(new).translate(table)
        if not new or self.normalization.has_marks(normal):
            return
        rows = self.rows_of_words(normal, [len(chunk) for chunk in new])
        self.chunks.make_room(len(new))
        self.shapes.make_room(len(new))
        for chunk, (ids, spans, sizes) in zip(new, rows, strict=True):
            self.chunks[chunk] = tuple(ids)
            self.shapes[chunk] = self.shared((packed(spans), tuple(sizes), ()))

    def rows_of_words(self, normal: str, lengths: Sequence[int]) -> Iterable[tuple[list[int], list[int], list[int]]]:
        """The ids, spans and sizes of words of every part of a normalized text; parts are one character apart."""
        pieces = self.pieces
        rest = iter(lengths)
        begin = last = 0
        stop = next(rest, 0)
        ids: list[int] = []
        spans: list[int] = []
        sizes: list[int] = []
        for word in self.normalization.split_normal(normal):
            first = normal.index(word, last)  # only white space stands before it
            while first >= stop:
                yield ids, spans, sizes
                ids, spans, sizes = [], [], []
                begin = stop + 1
                stop = begin + next(rest)
            numbers, ends = pieces[word]
            ids += numbers
            sizes.append(len(ends))
            start = first - begin
            for end in ends:
                spans += (start, first - begin + end)
                start = first - begin + end
            last = begin + start
        yield ids, spans, sizes
        yield from (([], [], []) for _ in rest)

    def places(self, text: str) -> "Places":
        """Where the ids of a text come from."""
        if not self.local or self.strips or DROPPED_SPACE.search(text):  # a token that strips reaches over white space
            return Places([0], [self.chunk_shape(text)])
        chunks = text.replace("\n", " ").replace("\t", " ").replace("\r", " ").split(" ")
        starts = accumulate(map(len, chunks), lambda at, length: at + length + 1, initial=0)
        step = max(self.shapes.entries // 2, 1)  # so many fit into the caches at once
        parts = (self.shapes_of_chunks(chunks[start : start + step]) for start in range(0, len(chunks), step))
        return Places(list(starts)[:-1], list(chain.from_iterable(parts)))

    def shapes_of_chunks(self, chunks: Sequence[str]) -> list[Shape]:
        """The shapes of chunks, of which those that are new are learnt together."""
        shapes = list(map(self.shapes.get, chunks))
        if not all(shapes):
            self.learn_places([chunk for chunk, found in zip(chunks, shapes, strict=True) if found is None])
            return list(map(self.shapes.__getitem__, chunks))
        return shapes  # type: ignore[return-value]


class Places(NamedTuple):
    """Where the ids of a text come from: the start of every chunk, and its shape."""

    starts: list[int]
    shapes: list[Shape]

    def counts(self) -> list[int]:
        """The number of ids of every chunk."""
        return [len(spans) // SPAN for spans, _, _ in self.shapes]

    def offsets(self) -> list[tuple[int, int]]:
        """The (start, end) in the text of every id."""
        spans = np.frombuffer(b"".join([spans for spans, _, _ in self.shapes]), np.intc).reshape(-1, 2)
        at = np.repeat(np.array(self.starts, np.int64), self.counts())
        return list(zip((spans[:, 0] + at).tolist(), (spans[:, 1] + at).tolist(), strict=True))

    def words(self) -> list[int]:
        """The number of the word of every id."""
        sizes = chain.from_iterable(sizes for _, sizes, _ in self.shapes)
        return [word for word, size in enumerate(sizes) for _ in range(size)]

    def given(self) -> dict[int, str]:
        """The text of every id that an added token gave, by the place of the id."""
        before = accumulate(self.counts(), initial=0)
        return {at + place: text for at, shape in zip(before, self.shapes, strict=False) for place, text in shape[2]}


def packed(spans: list[int]) -> bytes:
    """Starts and ends, one after the other, as bytes."""
    return array("i", spans).tobytes()
