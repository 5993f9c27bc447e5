"""Encoding: one row of a batch of the fast class, with the way from every token back to the text."""

from collections.abc import Sequence
from functools import cached_property
from itertools import islice
from typing import Any, NamedTuple

from convbert_np.tokenization.checks import is_integer
from convbert_np.tokenization.fast_engine import FastEngine
from convbert_np.tokenization.places import Places

NOWHERE = (0, 0)


class CharSpan(NamedTuple):
    """A span of characters of the text: text[start:end]."""

    start: int
    end: int


class TokenSpan(NamedTuple):
    """A span of tokens of a row: row[start:end]."""

    start: int
    end: int


class EncodedText:
    """The ids of one text, or of one list of words; where each comes from is worked out when it is asked for."""

    def __init__(self, engine: FastEngine, text: str | Sequence[str], places: list[Places] | None = None):
        self.engine = engine
        self.text = text
        if places is not None:
            self.places = places
            self.ids = [number for part in places for number in part.ids]
        elif isinstance(text, str):
            self.ids = engine.ids(text)
        else:
            self.ids = [number for word in text for number in engine.ids(word)]

    @classmethod
    def with_places(cls, engine: FastEngine, texts: Sequence[str | Sequence[str]]) -> list["EncodedText"]:
        """Many texts, or lists of words, with the places worked out already."""
        parts = [(text,) if isinstance(text, str) else text for text in texts]
        places = iter(engine.places([text for part in parts for text in part]))
        return [cls(engine, text, list(islice(places, len(part)))) for text, part in zip(texts, parts, strict=True)]

    @cached_property
    def places(self) -> list[Places]:
        """Where the ids come from, for the text or for each of the words."""
        return self.engine.places((self.text,) if isinstance(self.text, str) else self.text)

    @cached_property
    def tokens(self) -> list[str]:
        """The token of each id; of an added token the text that it took, white space included."""
        tokens = [self.engine.names[number] for number in self.ids]
        before = 0
        for places in self.places:
            for place, text in places.added.items():
                tokens[before + place] = text
            before += len(places.ids)
        return tokens

    def __getstate__(self) -> dict[str, Any]:
        """All that there is to know, but not the engine with its vocabulary and caches, for pickle and for copies."""
        return {name: getattr(self, name) for name in ("text", "ids", "offsets", "words", "tokens")}

    @cached_property
    def offsets(self) -> list[tuple[int, int]]:
        """The (start, end) of each id in the text, or in its word if words were given."""
        return [span for places in self.places for span in places.offsets]

    @cached_property
    def words(self) -> list[int]:
        """The number of the word of each id, of the words that were given or that the engine cut."""
        if isinstance(self.text, str):
            return self.places[0].words()
        return [index for index, places in enumerate(self.places) for _ in places.ids]


class Padding(NamedTuple):
    """What fills a row up: how many, where, and with what."""

    count: int
    side: str
    number: int
    type_id: int
    token: str


class Encoding:
    """One row: [CLS] text [SEP], or [CLS] text [SEP] text_pair [SEP], or the texts alone; windows of them; padded.

    sequences    the one or two texts
    spans        the window of each: (start, end) of its ids
    special      ((id, token) of [CLS], (id, token) of [SEP]), or None: no special tokens are added
    overflowing  the rows of the further windows, in the order of the reference

    Attributes, each a list over the row: `ids`, `type_ids`, `tokens`, `offsets`, `word_ids`, `sequence_ids`,
    `attention_mask`, `special_tokens_mask`. What belongs to no text has the offsets (0, 0) and None for its word and
    its sequence.

    Source: tokenizers.Encoding of tokenizers 0.15.2.
    """

    def __init__(
        self,
        sequences: Sequence[EncodedText],
        spans: Sequence[tuple[int, int]],
        special: tuple[tuple[int, str], tuple[int, str]] | None,
    ):
        self.sequences = sequences
        self.spans = spans
        self.special = special
        self.padding: Padding | None = None
        self.overflowing: list[Encoding] = []

    def row(self, values: Sequence[Sequence[Any]], cls: Any, seps: Sequence[Any], pad: Any) -> list[Any]:
        """Lay out a row: values of the texts' ids, between those of the special tokens and of the padding."""
        if self.special is None:
            row = [value for part in values for value in part]
        elif len(values) == 1:
            row = [cls, *values[0], seps[0]]
        else:
            row = [cls, *values[0], seps[0], *values[1], seps[1]]
        if self.padding is None:
            return row
        fill = [pad] * self.padding.count
        return fill + row if self.padding.side == "left" else row + fill

    def windowed(self, columns: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
        """The windows of columns over the ids of each text."""
        pairs = zip(columns, self.spans, strict=True)
        return [column if end - start == len(column) else column[start:end] for column, (start, end) in pairs]

    def constant(self, value: Any) -> list[list[Any]]:
        """The same value for every id of the texts."""
        return [[value] * (end - start) for start, end in self.spans]

    def __len__(self) -> int:
        """The number of ids in the row."""
        special = 0 if self.special is None else 1 + len(self.spans)
        padding = 0 if self.padding is None else self.padding.count
        return sum(end - start for start, end in self.spans) + special + padding

    @property
    def n_sequences(self) -> int:
        """1 for a text, 2 for a pair."""
        return len(self.sequences)

    @cached_property
    def ids(self) -> list[int]:
        """The ids."""
        cls, sep = (0, 0) if self.special is None else (self.special[0][0], self.special[1][0])
        pad = 0 if self.padding is None else self.padding.number
        return self.row(self.windowed([text.ids for text in self.sequences]), cls, [sep] * len(self.spans), pad)

    @property
    def type_ids(self) -> list[int]:
        """0 for the first text and its special tokens, 1 for the second."""
        if len(self.spans) == 1 and self.padding is None:
            return [0] * len(self)
        parts = [[index] * (end - start) for index, (start, end) in enumerate(self.spans)]
        return self.row(parts, 0, range(len(self.spans)), 0 if self.padding is None else self.padding.type_id)

    @property
    def attention_mask(self) -> list[int]:
        """0 for padding, else 1."""
        if self.padding is None:
            return [1] * len(self)
        return self.row(self.constant(1), 1, [1] * len(self.spans), 0)

    @property
    def special_tokens_mask(self) -> list[int]:
        """1 for the special tokens that were added and for padding, else 0."""
        return self.row(self.constant(0), 1, [1] * len(self.spans), 1)

    @property
    def offsets(self) -> list[tuple[int, int]]:
        """The (start, end) of every token in its text."""
        return self.row(self.windowed([text.offsets for text in self.sequences]), NOWHERE, [NOWHERE] * len(self.spans), NOWHERE)

    @property
    def word_ids(self) -> list[int | None]:
        """The number of the word of every token in its text."""
        return self.row(self.windowed([text.words for text in self.sequences]), None, [None] * len(self.spans), None)

    @property
    def words(self) -> list[int | None]:
        """The number of the word of every token in its text (an older name)."""
        return self.word_ids

    @property
    def sequence_ids(self) -> list[int | None]:
        """0 for a token of the first text, 1 for one of the second."""
        parts = [[index] * (end - start) for index, (start, end) in enumerate(self.spans)]
        return self.row(parts, None, [None] * len(self.spans), None)

    @property
    def tokens(self) -> list[str]:
        """The tokens as strings."""
        cls, sep = ("", "") if self.special is None else (self.special[0][1], self.special[1][1])
        pad = "" if self.padding is None else self.padding.token
        return self.row(self.windowed([text.tokens for text in self.sequences]), cls, [sep] * len(self.spans), pad)

    def pad(self, length: int, side: str, number: int, type_id: int, token: str) -> None:
        """Fill this row and the overflowing ones up to a length."""
        for row in self.overflowing:
            row.pad(length, side, number, type_id, token)
        if length > len(self):
            self.padding = Padding(length - len(self), side, number, type_id, token)
            self.__dict__.pop("ids", None)

    def tokens_of_sequence(self, index: int) -> range:
        """The places in the row of the ids of one text; ValueError for a text that there is not."""
        if not is_integer(index) or index not in range(len(self.spans)):
            raise ValueError(f"sequence_index must be in [0, {len(self.spans)}), not {index}")
        lengths = [end - start for start, end in self.spans]
        added = 0 if self.special is None else 1
        left = self.padding.count if self.padding is not None and self.padding.side == "left" else 0
        start = left + added + sum(lengths[:index]) + index * added
        return range(start, start + lengths[index])

    def check_token(self, token_index: int) -> int:
        """The number of a token of the row, which may count from the end; IndexError for one that there is not."""
        if not -len(self) <= token_index < len(self):
            raise IndexError(f"token_index must be in [{-len(self)}, {len(self)}), not {token_index}")
        return token_index

    def token_to_sequence(self, token_index: int) -> int | None:
        """Which text a token belongs to, None if to none."""
        return self.sequence_ids[self.check_token(token_index)]

    def token_to_chars(self, token_index: int) -> tuple[int, int] | None:
        """The span of a token in its text, None if it is of none."""
        return None if self.sequence_ids[self.check_token(token_index)] is None else self.offsets[token_index]

    def token_to_word(self, token_index: int) -> int | None:
        """The number of the word of a token, None if it is of none."""
        return self.word_ids[self.check_token(token_index)]

    def word_to_tokens(self, word_index: int, sequence_index: int = 0) -> tuple[int, int] | None:
        """The span of the tokens of a word, None if it has none."""
        words = self.word_ids
        places = [place for place in self.tokens_of_sequence(sequence_index) if words[place] == word_index]
        return (places[0], places[-1] + 1) if places else None

    def word_to_chars(self, word_index: int, sequence_index: int = 0) -> tuple[int, int] | None:
        """The span of a word in its text, None if it has no token."""
        span = self.word_to_tokens(word_index, sequence_index)
        return None if span is None else (self.offsets[span[0]][0], self.offsets[span[1] - 1][1])

    def char_to_token(self, char_index: int, sequence_index: int = 0) -> int | None:
        """The first token whose span holds a character of a text, None for white space and for what was dropped."""
        offsets = self.offsets
        places = self.tokens_of_sequence(sequence_index)
        return next((place for place in places if offsets[place][0] <= char_index < offsets[place][1]), None)

    def char_to_word(self, char_index: int, sequence_index: int = 0) -> int | None:
        """The word that holds a character of a text, None for white space and for what was dropped."""
        token = self.char_to_token(char_index, sequence_index)
        return None if token is None else self.token_to_word(token)

    def __repr__(self) -> str:
        names = "ids, type_ids, tokens, offsets, attention_mask, special_tokens_mask, overflowing"
        return f"Encoding(num_tokens={len(self)}, attributes=[{names}])"
