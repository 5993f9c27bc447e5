"""BatchEncoding: what a tokenizer returns."""

from collections.abc import Sequence
from copy import copy
from typing import Any, overload

import numpy as np

from convbert_np.tokenization.checks import is_integer
from convbert_np.tokenization.encoding import CharSpan, Encoding, TokenSpan

PADDED = ("input_ids", "attention_mask", "token_type_ids", "special_tokens_mask")


class BatchEncoding(dict[str, Any]):
    """The inputs of a model by name, also as attributes: `encoding.input_ids` is `encoding["input_ids"]`.

    From the fast class it also holds an `Encoding` per row: `encoding[0]`, and methods that lead from tokens to words and
    characters and back. Each of these takes the row first, which may be left out where there is one:
    `encoding.token_to_chars(5)` or `encoding.token_to_chars(0, 5)`. A negative row or token counts from the end.

    data                the values by name
    encoding            the `Encoding` of each row, or that of the one row (fast class)
    tensor_type         "np": make the values arrays, see `convert_to_tensors`
    prepend_batch_axis  with an axis of length 1 in front
    n_sequences         how many texts a row has; None: what `encoding` says

    Source: BatchEncoding of transformers 4.37.2.
    """

    def __init__(
        self,
        data: dict[str, Any] | None = None,
        encoding: Encoding | Sequence[Encoding] | None = None,
        tensor_type: str | None = None,
        prepend_batch_axis: bool = False,
        n_sequences: int | None = None,
    ):
        super().__init__(data or {})
        encoding = [encoding] if isinstance(encoding, Encoding) else encoding
        self._encodings = None if encoding is None else list(encoding)
        self._n_sequences = n_sequences
        self.convert_to_tensors(tensor_type, prepend_batch_axis)

    def __getattr__(self, name: str) -> Any:
        """Look up a name that is no attribute of a dict among the keys."""
        try:
            return dict.__getitem__(self, name)
        except KeyError:
            raise AttributeError(f"the encoding has no {name!r}, only {', '.join(self)}") from None

    @overload
    def __getitem__(self, item: str) -> Any: ...
    @overload
    def __getitem__(self, item: int) -> Encoding: ...
    @overload
    def __getitem__(self, item: slice) -> dict[str, Any] | list[Encoding]: ...
    def __getitem__(self, item: str | int | slice) -> Any:
        """A value by name; of the fast class also an `Encoding` by number and several by a slice.

        A slice of an encoding of the slow class gives those rows of every value.
        """
        if isinstance(item, str):
            return super().__getitem__(item)
        if isinstance(item, slice):
            if self._encodings is not None:
                return self._encodings[item]
            return {name: value[item] for name, value in self.items()}
        return self._row("a number as the key", item)

    def copy(self) -> "BatchEncoding":
        """Another encoding of the same values."""
        return copy(self)

    @property
    def data(self) -> dict[str, Any]:
        """The values by name, as a plain dict."""
        return dict(self)

    @property
    def is_fast(self) -> bool:
        """Whether the fast class made it."""
        return self._encodings is not None

    @property
    def encodings(self) -> list[Encoding] | None:
        """The rows of the fast class; None from the slow class."""
        return self._encodings

    @property
    def n_sequences(self) -> int | None:
        """1 for texts, 2 for pairs; None from the slow class."""
        return self._encodings[0].n_sequences if self._encodings and self._n_sequences is None else self._n_sequences

    def _rows(self, method: str) -> list[Encoding]:
        """The rows, or ValueError for what the slow class does not tell."""
        if self._encodings is None:
            raise ValueError(f"{method} needs an encoding of ConvBertTokenizerFast: ConvBertTokenizer keeps no offsets")
        return self._encodings

    def _row(self, method: str, row: int) -> Encoding:
        """One of the rows, or an error that names the number of it."""
        rows = self._rows(method)
        if not is_integer(row):
            raise TypeError(f"{method} needs an integer as batch_index, not {row!r}")
        if not -len(rows) <= row < len(rows):
            raise IndexError(f"batch_index must be in [{-len(rows)}, {len(rows)}), not {row}: {method}")
        return rows[row]

    def _place(self, method: str, row: int, index: int | None) -> tuple[Encoding, int]:
        """The row and the index in it, where the row may be left out."""
        encoding = self._row(method, 0 if index is None else row)
        place = row if index is None else index
        if not is_integer(place):
            raise TypeError(f"{method} needs an integer, not {place!r}")
        return encoding, place

    def tokens(self, batch_index: int = 0) -> list[str]:
        """The tokens of a row."""
        return self._row("tokens()", batch_index).tokens

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """The number of the word of every token of a row, None for one of no word."""
        return self._row("word_ids()", batch_index).word_ids

    def words(self, batch_index: int = 0) -> list[int | None]:
        """An older name of `word_ids`."""
        return self.word_ids(batch_index)

    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """0 or 1 for every token of the first or second text of a row, None for one of neither."""
        return self._row("sequence_ids()", batch_index).sequence_ids

    def token_to_sequence(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """Which text a token belongs to."""
        row, token = self._place("token_to_sequence()", batch_or_token_index, token_index)
        return row.token_to_sequence(token)

    def token_to_word(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """The number of the word of a token, None if it is of none."""
        row, token = self._place("token_to_word()", batch_or_token_index, token_index)
        return row.token_to_word(token)

    def token_to_chars(self, batch_or_token_index: int, token_index: int | None = None) -> CharSpan | None:
        """The characters of the text that became a token, None for a special token."""
        row, token = self._place("token_to_chars()", batch_or_token_index, token_index)
        span = row.token_to_chars(token)
        return None if span is None else CharSpan(*span)

    def word_to_tokens(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> TokenSpan | None:
        """The tokens of a word, None if it has none."""
        row, word = self._place("word_to_tokens()", batch_or_word_index, word_index)
        span = row.word_to_tokens(word, sequence_index)
        return None if span is None else TokenSpan(*span)

    def word_to_chars(self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0) -> CharSpan | None:
        """The characters of a word, None if it has no token."""
        row, word = self._place("word_to_chars()", batch_or_word_index, word_index)
        span = row.word_to_chars(word, sequence_index)
        return None if span is None else CharSpan(*span)

    def char_to_token(self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0) -> int | None:
        """The token that a character of the text became part of, None for white space and for what was dropped."""
        row, character = self._place("char_to_token()", batch_or_char_index, char_index)
        return row.char_to_token(character, sequence_index)

    def char_to_word(self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0) -> int | None:
        """The word that a character of the text is in, None for white space and for what was dropped."""
        row, character = self._place("char_to_word()", batch_or_char_index, char_index)
        return row.char_to_word(character, sequence_index)

    def convert_to_tensors(self, tensor_type: str | None = None, prepend_batch_axis: bool = False) -> "BatchEncoding":
        """Make every value an int64 array, with an axis of length 1 in front if asked; None: leave lists.

        Raises ValueError for a tensor_type other than None and "np", and for rows of unequal length; nothing is changed then.
        """
        check_tensors(tensor_type)
        if tensor_type is not None:
            more = {name: [value] if prepend_batch_axis else value for name, value in self.items()}
            self.update({n: self[n] if isinstance(self[n], np.ndarray) else as_array(n, value) for n, value in more.items()})
        return self


def check_tensors(tensor_type: object) -> None:
    """Raise ValueError unless the value is None or "np"."""
    if tensor_type not in (None, "np"):
        raise ValueError(f'return_tensors must be None or "np", not {tensor_type!r}: this package makes NumPy arrays only')


def as_array(name: str, value: Any) -> np.ndarray:
    """A number or nested lists of numbers as an int64 array, of floats as they are.

    ValueError naming the value if rows differ in length or hold anything else.
    """
    try:
        array = np.array(value)
    except ValueError:
        array = None
    if array is None:
        advice = "pass padding=True, and truncation=True with a max_length where it is needed"
        if name == "overflowing_tokens":
            advice = "the fast class returns overflowing windows as rows of their own"
        elif name not in PADDED:
            advice = f"only {', '.join(PADDED)} are padded; pad {name} beforehand"
        raise ValueError(f'return_tensors="np" needs rows of one length, {name} has several: {advice}')
    if array.dtype.kind == "f" and array.size:
        return array  # labels of a regression
    if array.size and (array.dtype.kind not in "biu" or array.dtype == np.uint64):
        raise ValueError(f'return_tensors="np" needs numbers of at most 64 bits, {name} holds {value!r:.80}')
    return array.astype(np.int64)


def is_row(value: Any) -> bool:
    """Whether a value is one row of ids rather than a list of rows."""
    return len(value) == 0 or is_integer(value[0])
