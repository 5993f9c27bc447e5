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
from itertools import chain
from operator import itemgetter
from typing import Any

from convbert_np.tokenization.added_tokens import AddedToken
from convbert_np.tokenization.cache import Cache
from convbert_np.tokenization.normalization import Normalization
from convbert_np.tokenization.places import Ids, Spans
from convbert_np.tokenization.segments import (
    act_on_neighbours,
    any_of,
    cut,
    have_no_space,
    lower_case,
    lower_except,
)
from convbert_np.tokenization.wordpiece import WordPiece

CHUNKS, WORDS, SHAPES, KNOWN = 150_000, 8_000, 40_000, 1 << 12  # entries of the caches: together less than 50 MB
LONGEST = 32

DROPPED_SPACE = re.compile("[\x0b\x0c\x1c-\x1f\x85]")  # white space to str.split, but a control character to BERT
SURE_SPACE = re.compile("[ \t\n\r]+")

FIRST = itemgetter(0)

Pieces = tuple[Ids, Spans]  # ids; (start, end) of each in the word


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
        """The ids of a word that the stages have made, and where in it each stands."""
        ids, ends = self.model.match(word)
        return tuple(ids), self.spans_of(tuple(ends))

    def spans_of(self, ends: tuple[int, ...]) -> Spans:
        """(start, end) of each piece, from where the pieces end; one object for all words cut at the same places."""
        spans = self.known.get(ends)
        return spans or self.remember(ends, tuple(zip((0, *ends[:-1]), ends, strict=True)))

    def remember(self, key: Any, value: Any) -> Any:
        """Keep a value that many words or chunks have; give it back."""
        if len(self.known) > KNOWN:
            self.known.clear()
        return self.known.setdefault(key, value)

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
        rows = self.normalization.words_of_lines(self.prepared(new))
        self.chunks.make_room(len(new))
        self.chunks.update(zip(new, map(self.plain_ids, rows), strict=True))

    def prepared(self, chunks: list[str]) -> list[str]:
        """Plain chunks as the stages want them."""
        return chunks

    def chunked_ids(self, text: str) -> list[int]:
        """The ids of a text, chunk by chunk."""
        chunks = SURE_SPACE.split(text) if DROPPED_SPACE.search(text) else text.split()
        return list(chain.from_iterable(self.rows_of_chunks(chunks)))

    def rows_of_chunks(self, chunks: Sequence[str]) -> list[Ids]:
        """The ids of each chunk, of which those that are new are learnt together, as many at once as the cache takes."""
        step = self.chunks.portion
        if len(chunks) > step:
            parts = (self.rows_of_chunks(chunks[start : start + step]) for start in range(0, len(chunks), step))
            return list(chain.from_iterable(parts))
        rows = list(map(self.chunks.get, chunks))
        if not all(rows):  # () for a chunk of nothing is rare
            self.learn([chunk for chunk, row in zip(chunks, rows, strict=True) if row is None])
            known = self.chunks
            rows = [known[chunk] if row is None else row for chunk, row in zip(chunks, rows, strict=True)]
        return rows  # type: ignore[return-value]


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
            return (self.token_id(word),), self.spans_of((len(word),))
        return super().word_pieces(word)

    def is_plain(self, text: str) -> bool:
        """Whether no added token can stand in the text, nor anything that keeps its case."""
        return self.firsts.isdisjoint(text) and (not self.lowers or self.firsts.isdisjoint(lower_case(text)))

    def prepared(self, chunks: list[str]) -> list[str]:
        """Plain chunks, lower-cased if that is asked for."""
        return list(map(lower_case, chunks)) if self.lowers else chunks

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
