"""The engine of the fast class: ids, and where in the text each comes from.

The ids themselves tell where most of them come from: see `places`. For the chunks of which they do not, the places are
made word by word, and remembered as well.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, chain, groupby

import numpy as np

from convbert_np.tokenization.added_tokens import AddedToken
from convbert_np.tokenization.cache import Cache
from convbert_np.tokenization.engine import DROPPED_SPACE, LONGEST, SHAPES, Engine
from convbert_np.tokenization.normalization import Normalization
from convbert_np.tokenization.places import (
    MOVES,
    CharacterWidths,
    Chunks,
    Ids,
    Layout,
    PieceLengths,
    Places,
    Shape,
    Spans,
    code_points,
    starts_of_chunks,
)
from convbert_np.tokenization.segments import any_of, find, have_no_space
from convbert_np.tokenization.wordpiece import WordPiece

TOGETHER = 1 << 14  # characters of the texts whose places are worked out together


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
        self.piece_lengths = PieceLengths.of(
            model, (number for number, _ in (*raw.values(), *normal.values())), normalization.characters.is_punctuation
        )
        self.widths = CharacterWidths(normalization)
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

    def learn_shapes(self, chunks: Iterable[str]) -> None:
        """Put the shapes of new chunks into the cache, all at once where no token is added and no mark moves."""
        new = [chunk for chunk in set(chunks) if len(chunk) <= LONGEST]
        if not self.is_plain("\n".join(new)):
            new = list(filter(self.is_plain, new))
        text = "\n".join(new)
        if not new or self.normalization.has_marks(text.translate(self.normalization.normal)):
            return
        normal, origins = self.normalization.aligned(text)
        self.shapes.make_room(len(new))
        for chunk, (spans, sizes) in zip(new, self.rows_of_words(normal, origins, list(map(len, new))), strict=True):
            shape = spans, sizes, ()
            self.shapes[chunk] = self.remember(shape, shape)

    def rows_of_words(
        self, normal: str, origins: Sequence[int], lengths: Sequence[int]
    ) -> Iterable[tuple[Spans, tuple[int, ...]]]:
        """The spans and the sizes of the words of every part of a text; parts are one character apart.

        Given are the text normalized, the places that its characters come from, and the lengths of the parts before that.
        """
        pieces = self.pieces
        rest = iter(lengths)
        begin = last = 0
        stop = next(rest)
        spans: Spans = ()
        sizes: tuple[int, ...] = ()
        for word in self.normalization.split_normal(normal):
            first = normal.index(word, last)  # only white space stands before it
            last = first + len(word)
            while origins[first] >= stop:
                yield spans, sizes
                spans, sizes = (), ()
                begin = stop + 1
                stop = begin + next(rest)
            cuts = pieces[word][1]
            spans += placed(cuts, origins, first, last, begin)
            sizes += (len(cuts),)
        yield spans, sizes
        yield from (((), ()) for _ in rest)

    def shapes_of_chunks(self, chunks: Sequence[str]) -> list[Shape]:
        """The shapes of chunks, of which those that are new are learnt together, as many at once as the cache takes."""
        step = self.shapes.portion
        if len(chunks) > step:
            parts = (self.shapes_of_chunks(chunks[start : start + step]) for start in range(0, len(chunks), step))
            return list(chain.from_iterable(parts))
        shapes = list(map(self.shapes.get, chunks))
        if not all(shapes):
            self.learn_shapes([chunk for chunk, shape in zip(chunks, shapes, strict=True) if shape is None])
            known = self.shapes
            shapes = [known[chunk] if shape is None else shape for chunk, shape in zip(chunks, shapes, strict=True)]
        return shapes  # type: ignore[return-value]

    def places(self, texts: Sequence[str]) -> list[Places]:
        """The ids of texts and where they come from; short texts together, for that is faster."""
        sizes = accumulate(len(text) for text in texts)
        groups = [
            [text for text, _ in group] for _, group in groupby(zip(texts, sizes, strict=True), lambda pair: pair[1] // TOGETHER)
        ]
        return [places for group in groups for places in self.places_in_group(group)]

    def places_in_group(self, texts: Sequence[str]) -> list[Places]:
        """The same, of texts that are laid out together if they can be cut at white space."""
        text = "\n".join(texts)
        cut = self.local and not self.strips and not DROPPED_SPACE.search(text)  # a token that strips reaches over white space
        if not cut and len(texts) > 1:
            return [places for text in texts for places in self.places_in_group([text])]
        chunks = text.split() if cut else list(texts)
        rows = self.rows_of_chunks(chunks) if cut else [self.chunk_ids(text)]
        codes = code_points(text)
        layout = Layout(list(chain.from_iterable(rows)), self.widths(codes), self.piece_lengths)
        if cut and layout.is_told:
            layout.lay()
        else:
            owned = Chunks(chunks, rows, starts_of_chunks(codes) if cut else np.array([0]))
            odd = owned.having(layout.lengths == 0, layout.entries & MOVES) if cut else np.array([0])
            layout.lay_but(owned, odd, self.shapes_of_chunks([chunks[index] for index in odd.tolist()]))
        return layout.places(np.cumsum([0, *(len(text) + 1 for text in texts[:-1])]))


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
