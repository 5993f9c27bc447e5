"""Text to ids at the speed of dict look-ups: what both tokenizer classes run on.

Words repeat. So the engine cuts a text at white space, which is cheap, and remembers the ids of every chunk that it
met ("don't," is a chunk) and those of every word inside a chunk ("don", "'", "t", ","). Only what is new goes
through the stages of `Normalization` and through `WordPiece`. This is exact because nothing in those stages looks across
white space: no character composes with a space, and no word holds one. Where that is not so (an added token with
a space in it, a flag of the slow class that looks at neighbours) the text is first cut at the added tokens.

An engine is made for one setting of a tokenizer and never changed, save for what its caches hold: see `Cache`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, chain
from operator import itemgetter
from typing import Any, NamedTuple

from convbert_np.tokenization.added_tokens import AddedToken
from convbert_np.tokenization.cache import Cache
from convbert_np.tokenization.normalization import Normalization
from convbert_np.tokenization.segments import (
    act_on_neighbours,
    any_of,
    cut,
    find,
    have_no_space,
    lower_case,
    lower_except,
)
from convbert_np.tokenization.wordpiece import WordPiece

CHUNKS, WORDS, SHAPES, KNOWN = 7 << 14, 1 << 16, 7 << 14, 1 << 13  # entries of the caches: together less than 50 MB
LONGEST = 32

DROPPED_SPACE = re.compile("[\x0b\x0c\x1c-\x1f\x85]")  # white space to str.split, but a control character to BERT
SURE_SPACE = re.compile("[ \t\n\r]+")

FIRST = itemgetter(0)

Ids = tuple[int, ...]
Spans = tuple[tuple[int, int], ...]
Pieces = tuple[Ids, tuple[int, ...]]  # ids; where in the word each ends
Given = tuple[tuple[int, str], ...]
Shape = tuple[Spans, tuple[int, ...], Given]  # (start, end) of each id of a chunk; ids in each word; (place, text) of added tokens


class Engine:
    """What the engines of both classes share: the two caches, and the walk over the chunks of a text."""

    def __init__(self, normalization: Normalization, model: WordPiece, local: bool):
        self.normalization = normalization
        self.model = model
        self.local = local
        self.pieces: Cache[Pieces] = Cache(self.word_pieces, WORDS, LONGEST)
        self.chunks: Cache[Ids] = Cache(self.chunk_ids, CHUNKS, LONGEST)
        self.known: dict[Any, Any] = {}

    def word_pieces(self, word: str) -> Pieces:
        """The ids of a word that the stages have made, and where in it each ends."""
        ids, ends = self.model.match(word)
        return tuple(ids), self.shared(tuple(ends))

    def shared(self, value: Any) -> Any:
        """An equal value that was met before: thousands of words are cut at the same places."""
        if len(self.known) > KNOWN:
            self.known.clear()
        return self.known.setdefault(value, value)

    def chunk_ids(self, chunk: str) -> Ids:
        """The ids of a chunk; its added tokens are cut out first if the engine is local."""
        raise NotImplementedError

    def is_plain(self, text: str) -> bool:
        """Whether no added token can stand in the text, nor any part of it that wants care."""
        raise NotImplementedError

    def plain_ids(self, words: Sequence[str]) -> Ids:
        """The ids of words, one after the other."""
        if len(words) > 8:
            return tuple(chain.from_iterable(map(FIRST, map(self.pieces.__getitem__, words))))
        ids: Ids = ()
        for word in words:
            ids += self.pieces[word][0]
        return ids

    def learn(self, chunks: Iterable[str]) -> None:
        """Put the ids of chunks that are met for the first time into the cache, all at once where they are plain."""
        new = [chunk for chunk in set(chunks) if len(chunk) <= LONGEST]
        if not self.is_plain("\n".join(new)):
            new = list(filter(self.is_plain, new))
        rows = self.normalization.words_of_lines(list(map(self.prepared, new)))
        self.chunks.make_room(len(new))
        self.chunks.update(zip(new, map(self.plain_ids, rows), strict=True))

    def prepared(self, chunk: str) -> str:
        """A plain chunk as the stages want it."""
        return chunk

    def chunked_ids(self, text: str) -> list[int]:
        """The ids of a text, chunk by chunk."""
        chunks = SURE_SPACE.split(text) if DROPPED_SPACE.search(text) else text.split()
        step = max(self.chunks.entries // 2, 1)  # so many fit into the cache at once
        if len(chunks) <= step:
            return self.ids_of_chunks(chunks)
        parts = (self.ids_of_chunks(chunks[start : start + step]) for start in range(0, len(chunks), step))
        return list(chain.from_iterable(parts))

    def ids_of_chunks(self, chunks: Sequence[str]) -> list[int]:
        """The ids of chunks, of which those that are new are learnt together."""
        ids = list(map(self.chunks.get, chunks))
        if not all(ids):  # () for a chunk of nothing is rare
            self.learn([chunk for chunk, found in zip(chunks, ids, strict=True) if found is None])
            ids = map(self.chunks.__getitem__, chunks)
        return list(chain.from_iterable(ids))  # type: ignore[arg-type]


class SlowEngine(Engine):
    """The rules of the slow class: see `segments` and `normalization`.

    added         token to (id, AddedToken)
    kept          a pattern of what is not lower-cased; None: nothing is lower-cased before cutting
    never_split   the words that the caller asked never to split, which WordPiece does not see either
    split_special True: added tokens are not cut out
    """

    def __init__(
        self,
        normalization: Normalization,
        model: WordPiece,
        added: Mapping[str, tuple[int, AddedToken]],
        kept: Sequence[str],
        never_split: frozenset[str],
        split_special: bool = False,
    ):
        flagged = any(token.lstrip or token.rstrip or token.single_word for _, token in added.values())
        super().__init__(normalization, model, not flagged and have_no_space([*added, *kept]))
        self.added = added
        self.tokens = {content: token for content, (_, token) in added.items()}
        self.kept = any_of(kept, longest_first=False)
        self.pattern = None if split_special else any_of(added)
        self.firsts = frozenset(content[0] for content in [*added, *kept] if content)
        self.lowers = normalization.lower and normalization.basic
        self.never_split = never_split

    def segments(self, text: str) -> list[tuple[str, int | None]]:
        """The parts of a text, lower-cased if that is asked for: (added token, its id) or (plain text, None)."""
        if self.lowers:
            text = lower_except(text, self.kept)
        parts = cut(text, self.pattern)
        if not self.local:
            parts = act_on_neighbours(parts, self.tokens)
        return [(part, self.added[part][0] if part in self.added else None) for part in parts]

    def word_pieces(self, word: str) -> Pieces:
        """The ids of a word that the stages have made; a word that is never split has one."""
        if word in self.never_split:
            return (self.token_id(word),), (len(word),)
        return super().word_pieces(word)

    def is_plain(self, text: str) -> bool:
        """Whether no added token can stand in the text, nor anything that keeps its case."""
        return self.firsts.isdisjoint(text) and (not self.lowers or self.firsts.isdisjoint(lower_case(text)))

    def prepared(self, chunk: str) -> str:
        """A plain chunk, lower-cased if that is asked for."""
        return lower_case(chunk) if self.lowers else chunk

    def token_id(self, token: str) -> int:
        """The id of a token, that of the unknown token if it has none."""
        if token in self.added:
            return self.added[token][0]
        return self.model.vocabulary.get(token, self.model.vocabulary[self.model.unk_token])

    def chunk_ids(self, chunk: str) -> Ids:
        """The ids of a chunk; its added tokens are cut out first if the engine is local."""
        if not self.local:
            return self.plain_ids(self.normalization.words(chunk))
        segments = self.segments(chunk)
        if len(segments) == 1 and segments[0][1] is None:
            return self.plain_ids(self.normalization.words(segments[0][0]))
        parts = (self.plain_ids(self.normalization.words(part)) if n is None else (n,) for part, n in segments)
        return tuple(chain.from_iterable(parts))

    def ids(self, text: str) -> list[int]:
        """The ids of a text; no special token is added."""
        if self.local:
            return self.chunked_ids(text)
        parts = (self.chunked_ids(part) if number is None else (number,) for part, number in self.segments(text))
        return list(chain.from_iterable(parts))

    def tokens_of(self, text: str) -> list[str]:
        """The tokens of a text as strings, straight from the stages."""
        tokens = []
        for part, number in self.segments(text):
            words = self.normalization.words(part) if number is None else ()
            pieces = ([word] if word in self.never_split else self.model.tokens(word) for word in words)
            tokens += chain.from_iterable(pieces) if number is None else (part,)
        return tokens


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
        spans: list[tuple[int, int]] = []
        sizes: list[int] = []
        given: list[tuple[int, str]] = []
        for part, added in self.shapes_of_parts(text):
            given += [] if added is None else [(len(spans), added)]
            spans += part[0]
            sizes += part[1]
        return self.shared((tuple(spans), tuple(sizes), tuple(given)))

    def shapes_of_parts(self, text: str) -> Iterable[tuple[Shape, str | None]]:
        """The shapes of the added tokens of a text, with the text that each took, and of what is between them."""
        for start, end, number in find(text, self.raw_pattern, self.raw):
            if number is not None:
                yield (((start, end),), (1,), ()), text[start:end]
                continue
            normal, origins = self.normalization.aligned(text[start:end], start)
            for first, last, added in find(normal, self.normal_pattern, self.normal):
                if added is not None:
                    yield (((origins[first], origins[last - 1] + 1),), (1,), ()), normal[first:last]
                else:
                    yield self.shape_of_words(normal[first:last], origins[first:last]), None

    def shape_of_words(self, normal: str, origins: Sequence[int]) -> Shape:
        """The shape of a normalized text, whose characters come from the places `origins`."""
        spans: list[tuple[int, int]] = []
        sizes: list[int] = []
        last = 0
        for word in self.normalization.split_normal(normal):
            first = start = normal.index(word, last)  # only white space stands before it
            ends = self.pieces[word][1]
            sizes.append(len(ends))
            for end in ends:
                last = first + end
                spans.append((origins[start], origins[last - 1] + 1))
                start = last
        return tuple(spans), tuple(sizes), ()

    def places(self, text: str) -> "Places":
        """Where the ids of a text come from."""
        if not self.local or self.strips or DROPPED_SPACE.search(text):  # a token that strips reaches over white space
            return Places([0], [self.chunk_shape(text)])
        chunks = text.replace("\n", " ").replace("\t", " ").replace("\r", " ").split(" ")
        starts = accumulate(map(len, chunks), lambda at, length: at + length + 1, initial=0)
        return Places(list(starts), list(map(self.shapes.__getitem__, chunks)))


class Places(NamedTuple):
    """Where the ids of a text come from: the start of every chunk, and its shape."""

    starts: list[int]
    shapes: list[Shape]

    def offsets(self) -> list[tuple[int, int]]:
        """The (start, end) in the text of every id."""
        pairs = zip(self.starts, self.shapes, strict=False)
        return [(at + start, at + end) for at, (spans, _, _) in pairs for start, end in spans]

    def words(self) -> list[int]:
        """The number of the word of every id."""
        sizes = chain.from_iterable(sizes for _, sizes, _ in self.shapes)
        return [word for word, size in enumerate(sizes) for _ in range(size)]

    def given(self) -> dict[int, str]:
        """The text of every id that an added token gave, by the place of the id."""
        before = accumulate((len(spans) for spans, _, _ in self.shapes), initial=0)
        return {at + place: text for at, shape in zip(before, self.shapes, strict=False) for place, text in shape[2]}


__all__ = ["Engine", "FastEngine", "Places", "SlowEngine"]
