"""The engine of the fast class: ids, and where in the text each comes from.

The places of a text are put together of the places in its chunks, which are remembered as well: see `engine`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain

import numpy as np

from convbert_np.tokenization.added_tokens import AddedToken
from convbert_np.tokenization.cache import Cache
from convbert_np.tokenization.engine import DROPPED_SPACE, LONGEST, SHAPES, Engine, Ids, Spans
from convbert_np.tokenization.normalization import Normalization
from convbert_np.tokenization.segments import any_of, find, have_no_space
from convbert_np.tokenization.wordpiece import WordPiece

Shape = tuple[Spans, tuple[int, ...], tuple[tuple[int, str], ...]]
"""What the ids of a chunk come from: (start, end) of each; how many each word has; (place, text) of added tokens."""


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
        spans: list[tuple[int, int]] = []
        sizes: list[int] = []
        given: list[tuple[int, str]] = []
        for found, added in self.words_of_parts(text):
            given += [] if added is None else [(len(spans), added)]
            spans += found
            sizes.append(len(found))
        shape = tuple(spans), tuple(sizes), tuple(given)
        return self.remember(shape, shape)

    def words_of_parts(self, text: str) -> Iterable[tuple[Spans, str | None]]:
        """The spans of the added tokens of a text, with the text that each took, and of the words between them."""
        for start, end, number in find(text, self.raw_pattern, self.raw):
            if number is not None:
                yield ((start, end),), text[start:end]
                continue
            normal, origins = self.normalization.aligned(text[start:end], start)
            for first, last, added in find(normal, self.normal_pattern, self.normal):
                if added is not None:
                    yield ((origins[first], origins[last - 1] + 1),), normal[first:last]
                else:
                    yield from ((spans, None) for spans in self.words_of(normal[first:last], origins[first:last]))

    def words_of(self, normal: str, origins: Sequence[int]) -> Iterable[Spans]:
        """The spans of the words of a normalized text, whose characters come from the places `origins`."""
        last = 0
        for word in self.normalization.split_normal(normal):
            first = normal.index(word, last)  # only white space stands before it
            last = first + len(word)
            yield placed(self.pieces[word][1], origins, first, last, 0)

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
        for chunk, (ids, spans, sizes) in zip(new, self.rows_of_words(normal, origins, list(map(len, new))), strict=True):
            self.chunks[chunk] = ids
            shape = spans, sizes, ()
            self.shapes[chunk] = self.remember(shape, shape)

    def rows_of_words(
        self, normal: str, origins: Sequence[int], lengths: Sequence[int]
    ) -> Iterable[tuple[Ids, Spans, tuple[int, ...]]]:
        """The ids, the spans and the sizes of words of every part of a text; parts are one character apart.

        Given are the text normalized, the places that its characters come from, and the lengths of the parts before that.
        """
        pieces = self.pieces
        rest = iter(lengths)
        begin = last = 0
        stop = next(rest)
        ids: Ids = ()
        spans: Spans = ()
        sizes: tuple[int, ...] = ()
        for word in self.normalization.split_normal(normal):
            first = normal.index(word, last)  # only white space stands before it
            last = first + len(word)
            while origins[first] >= stop:
                yield ids, spans, sizes
                ids, spans, sizes = (), (), ()
                begin = stop + 1
                stop = begin + next(rest)
            numbers, cuts = pieces[word]
            ids += numbers
            spans += placed(cuts, origins, first, last, begin)
            sizes += (len(numbers),)
        yield ids, spans, sizes
        yield from (((), (), ()) for _ in rest)

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


@dataclass(frozen=True)
class Places:
    """Where the ids of a text come from: the start of every chunk, and its shape."""

    starts: list[int]
    shapes: list[Shape]

    def offsets(self) -> list[tuple[int, int]]:
        """The (start, end) in the text of every id."""
        pairs = zip(self.starts, self.shapes, strict=True)
        return [(at + start, at + end) for at, (spans, _, _) in pairs for start, end in spans]

    def words(self) -> list[int]:
        """The number of the word of every id."""
        sizes = chain.from_iterable(sizes for _, sizes, _ in self.shapes)
        return [word for word, size in enumerate(sizes) for _ in range(size)]

    def given(self) -> dict[int, str]:
        """The text of every id that an added token gave, by the place of the id."""
        before = accumulate((len(spans) for spans, _, _ in self.shapes), initial=0)
        return {at + place: text for at, (_, _, given) in zip(before, self.shapes, strict=False) for place, text in given}

    def __len__(self) -> int:
        """The number of ids."""
        return sum(len(spans) for spans, _, _ in self.shapes)


def placed(spans: Spans, origins: Sequence[int], first: int, last: int, begin: int) -> Spans:
    """Where the pieces of a word of a normalized text come from, counted from the place `begin` of the text.

    The word is normal[first:last], and `origins` are the places in the text of the characters of `normal`. Its
    spans in the text are those in `normal`, unless characters in it became none or several.
    """
    shift = origins[first] - begin
    places = origins[first:last]
    if isinstance(places, range) or places == list(range(origins[first], origins[first] + last - first)):
        return tuple([(start + shift, end + shift) for start, end in spans]) if shift else spans
    return tuple([(places[start] - begin, places[end - 1] + 1 - begin) for start, end in spans])
