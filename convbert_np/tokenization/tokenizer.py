"""ConvBertTokenizer: text to the ids of a ConvBERT model, and ids back to text."""

import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self, overload

import numpy as np

from convbert_np.files import atomic_write, write_text
from convbert_np.tokenization.basic import basic_words, lower_case
from convbert_np.tokenization.batch import (
    PADDING_NAMES,
    PADDINGS,
    TRUNCATION_NAMES,
    TRUNCATIONS,
    BatchEncoding,
    as_array,
    as_pairs,
    choice,
    pad_rows,
    truncate_longest_first,
)
from convbert_np.tokenization.checks import (
    as_ids,
    check_flag,
    check_length,
    check_text,
    check_token,
    is_integer,
)
from convbert_np.tokenization.pretrained import SETTINGS, read_settings
from convbert_np.tokenization.vocabulary import check_in_vocabulary, load_vocabulary
from convbert_np.tokenization.wordpiece import clean_up_spaces, join_pieces, wordpiece


class ConvBertTokenizer:
    """The WordPiece tokenizer of BERT and ConvBERT, as the slow class of transformers 4.37.2 cuts text.

    Text is lower-cased, cut at the special tokens, and every part between them goes through `basic_words` and
    `wordpiece`. The special tokens are recognised anywhere in the text, also glued to a word, in exactly
    their own spelling.

    vocab_file              the vocab.txt; it must hold the five special tokens
    do_lower_case           lower-case the text, special tokens excepted
    tokenize_chinese_chars  make each Chinese character a word
    strip_accents           take accents off; None: if do_lower_case
    model_max_length        the length to truncate or pad to where no max_length is given

    Attributes: the arguments; `vocab`, the dict from token to id; `unk_token_id`, `sep_token_id`,
    `pad_token_id`, `cls_token_id`, `mask_token_id`; `all_special_tokens` and `all_special_ids`.

    Raises FileNotFoundError, ValueError or TypeError naming the file or the argument.
    """

    def __init__(
        self,
        vocab_file: str | os.PathLike[str],
        do_lower_case: bool = True,
        *,
        unk_token: str = "[UNK]",
        sep_token: str = "[SEP]",
        pad_token: str = "[PAD]",
        cls_token: str = "[CLS]",
        mask_token: str = "[MASK]",
        tokenize_chinese_chars: bool = True,
        strip_accents: bool | None = None,
        model_max_length: int | None = None,
    ):
        self.vocab_file = vocab_file
        self.vocab = load_vocabulary(vocab_file)
        self.do_lower_case = check_flag(do_lower_case, "do_lower_case")
        self.tokenize_chinese_chars = check_flag(tokenize_chinese_chars, "tokenize_chinese_chars")
        self.strip_accents = None if strip_accents is None else check_flag(strip_accents, "strip_accents")
        self.model_max_length = check_length(model_max_length, "model_max_length", at_least=1)
        self.unk_token = check_token(unk_token, "unk_token")
        self.sep_token = check_token(sep_token, "sep_token")
        self.pad_token = check_token(pad_token, "pad_token")
        self.cls_token = check_token(cls_token, "cls_token")
        self.mask_token = check_token(mask_token, "mask_token")
        special = (unk_token, sep_token, pad_token, cls_token, mask_token)
        check_in_vocabulary(self.vocab, special, vocab_file)
        self.unk_token_id, self.sep_token_id, self.pad_token_id, self.cls_token_id, self.mask_token_id = (
            self.vocab[token] for token in special
        )
        self.all_special_tokens = list(dict.fromkeys(special))
        self.all_special_ids = [self.vocab[token] for token in self.all_special_tokens]
        self._tokens = {number: token for token, number in self.vocab.items()}
        self._protected = any_of(self.all_special_tokens)
        self._special = any_of(sorted(self.all_special_tokens, key=len, reverse=True))

    @classmethod
    def from_pretrained(cls, directory: str | os.PathLike[str], **settings: Any) -> Self:
        """Read vocab.txt and, if there, tokenizer_config.json in a local folder; `settings` go before the latter."""
        directory = Path(directory)
        if not directory.is_dir():
            raise FileNotFoundError(f"there is no folder {directory} to read a tokenizer from")
        return cls(directory / "vocab.txt", **{**read_settings(directory), **settings})

    def save_pretrained(self, directory: str | os.PathLike[str]) -> None:
        """Write vocab.txt, byte for byte the one that was read, and tokenizer_config.json, for `from_pretrained`."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        vocabulary = Path(self.vocab_file).read_bytes()
        settings = {name: getattr(self, name) for name in SETTINGS if getattr(self, name) is not None}
        with atomic_write(directory / "vocab.txt") as file:
            file.write(vocabulary)
        write_text(directory / "tokenizer_config.json", json.dumps(settings, indent=2) + "\n")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.vocab_size} tokens, do_lower_case={self.do_lower_case})"

    @property
    def vocab_size(self) -> int:
        """The number of distinct tokens: less than the largest id + 1 where lines of vocab.txt repeat."""
        return len(self.vocab)

    def __len__(self) -> int:
        """The number of distinct tokens."""
        return len(self.vocab)

    def get_vocab(self) -> dict[str, int]:
        """A copy of the dict from token to id."""
        return dict(self.vocab)

    def tokenize(self, text: str) -> list[str]:
        """Cut text into tokens of the vocabulary; no special token is added."""
        text = check_text(text, "text")
        if self.do_lower_case:
            parts = cut(text, self._protected)
            text = "".join(part if special else lower_case(part) for part, special in parts)
        tokens = []
        for part, special in cut(text, self._special):
            tokens += [part] if special else self._tokenize_plain(part)
        return tokens

    def _tokenize_plain(self, text: str) -> list[str]:
        """The tokens of text in which no special token stands."""
        strip = self.do_lower_case if self.strip_accents is None else self.strip_accents
        words = basic_words(text, strip, self.tokenize_chinese_chars, self.all_special_tokens)
        return [piece for word in words for piece in wordpiece(word, self.vocab, self.unk_token)]

    @overload
    def convert_tokens_to_ids(self, tokens: str) -> int: ...  # pyright: ignore[reportOverlappingOverload]
    @overload
    def convert_tokens_to_ids(self, tokens: Iterable[str]) -> list[int]: ...
    def convert_tokens_to_ids(self, tokens: str | Iterable[str]) -> int | list[int]:
        """The id of a token, or the ids of several; that of unk_token for one not in the vocabulary."""
        if isinstance(tokens, str):
            return self.vocab.get(tokens, self.unk_token_id)
        if not isinstance(tokens, Iterable):
            raise TypeError(f"tokens must be a string or a list of strings, not {type(tokens).__name__}")
        checked = (check_text(token, f"tokens[{index}]") for index, token in enumerate(tokens))
        return [self.vocab.get(token, self.unk_token_id) for token in checked]

    @overload
    def convert_ids_to_tokens(self, ids: int, skip_special_tokens: bool = False) -> str: ...
    @overload
    def convert_ids_to_tokens(self, ids: Sequence[int] | np.ndarray, skip_special_tokens: bool = False) -> list[str]: ...
    def convert_ids_to_tokens(self, ids: int | Sequence[int] | np.ndarray, skip_special_tokens: bool = False) -> str | list[str]:
        """The token of an id, or the list of tokens of several; unk_token for an id without a token.

        skip_special_tokens leaves the special tokens out of a list.
        """
        if is_integer(ids):
            return self._tokens.get(int(ids), self.unk_token)
        skipped = self.all_special_ids if skip_special_tokens else ()
        kept = (number for number in as_ids(ids, "ids") if number not in skipped)
        return [self._tokens.get(number, self.unk_token) for number in kept]

    def decode(
        self,
        token_ids: int | Sequence[int] | np.ndarray,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool = True,
    ) -> str:
        """The text of one row of ids: pieces glued together and, if cleaned up, no space before punctuation."""
        tokens = self.convert_ids_to_tokens(as_ids(token_ids, "token_ids"), skip_special_tokens)
        text = join_pieces(tokens)
        return clean_up_spaces(text) if clean_up_tokenization_spaces else text

    def __call__(
        self,
        text: str | Sequence[str],
        text_pair: str | Sequence[str] | None = None,
        padding: bool | str = False,
        truncation: bool | str = False,
        max_length: int | None = None,
        return_tensors: str | None = None,
    ) -> BatchEncoding:
        """The inputs of a model for one text or many: [CLS] text [SEP], or [CLS] text [SEP] text_pair [SEP].

        padding         True or "longest": to the longest row; "max_length"; False or "do_not_pad"
        truncation      True or "longest_first": the longer of a pair first; False or "do_not_truncate"
        max_length      ids in a row, special tokens included; None: model_max_length
        return_tensors  None: lists; "np": int64 arrays (B, S), with B = 1 for one text

        Returns input_ids, token_type_ids (0 up to the first [SEP] and for padding, then 1) and attention_mask
        (0 for padding). Raises TypeError or ValueError naming the argument, also for a max_length that would have
        no effect or is smaller than the number of special tokens. (The reference leaves a single text as long as
        it is where max_length is 2 or less; here 2 gives [CLS] [SEP].)
        """
        pairs = as_pairs(text, text_pair)
        padded = choice(padding, "padding", PADDINGS, PADDING_NAMES)
        truncated = choice(truncation, "truncation", TRUNCATIONS, TRUNCATION_NAMES) == "longest_first"
        if return_tensors not in (None, "np"):
            raise ValueError(f'return_tensors must be None or "np", not {return_tensors!r}')
        limit = self._limit(max_length, 2 if text_pair is None else 3, truncated, padded == "max_length")
        rows = [self._row(first, second, limit if truncated else None) for first, second in pairs]
        encoding = padded_columns(rows, padded, limit, self.pad_token_id)
        if return_tensors == "np":
            return BatchEncoding({name: as_array(column) for name, column in encoding.items()})
        if isinstance(text, str):
            return BatchEncoding({name: column[0] for name, column in encoding.items()})
        return encoding

    def _limit(self, max_length: int | None, special: int, truncated: bool, padded: bool) -> int | None:
        """The length to cut and pad to; ValueError if it is needed and not given, or given and of no use."""
        if max_length is not None and not (truncated or padded):
            raise ValueError('max_length has no effect without truncation=True or padding="max_length"')
        limit = self.model_max_length if max_length is None else max_length
        if limit is None and (truncated or padded):
            raise ValueError("max_length must be given: this tokenizer has no model_max_length")
        return check_length(limit, "max_length", at_least=special if truncated else 1)

    def _row(self, first: str, second: str | None, limit: int | None) -> tuple[list[int], list[int]]:
        """The ids and the token type ids of one text or pair, cut to `limit`."""
        ids = self.convert_tokens_to_ids(self.tokenize(first))
        pair_ids = [] if second is None else self.convert_tokens_to_ids(self.tokenize(second))
        if limit is not None:
            ids, pair_ids = truncate_longest_first(ids, pair_ids, limit - (2 if second is None else 3))
        head = [self.cls_token_id, *ids, self.sep_token_id]
        tail = [] if second is None else [*pair_ids, self.sep_token_id]
        return head + tail, [0] * len(head) + [1] * len(tail)


def padded_columns(rows: list[tuple[list[int], list[int]]], padding: str, limit: int | None, pad_token_id: int) -> BatchEncoding:
    """The ids and token types of every row, and the mask of the ids that are no padding, padded as asked."""
    longest = max(len(ids) for ids, _ in rows)
    length = {"do_not_pad": 0, "longest": longest, "max_length": limit}[padding] or 0
    return BatchEncoding(
        input_ids=pad_rows([ids for ids, _ in rows], length, pad_token_id),
        token_type_ids=pad_rows([types for _, types in rows], length, 0),
        attention_mask=pad_rows([[1] * len(ids) for ids, _ in rows], length, 0),
    )


def any_of(tokens: Iterable[str]) -> re.Pattern[str]:
    """A pattern of one group that matches any of the tokens, the first of them that fits."""
    return re.compile("(" + "|".join(map(re.escape, tokens)) + ")")


def cut(text: str, pattern: re.Pattern[str]) -> list[tuple[str, bool]]:
    """Cut text at the matches of a pattern of one group: the parts, each with whether it is a match."""
    return [(part, index % 2 == 1) for index, part in enumerate(pattern.split(text)) if part]
