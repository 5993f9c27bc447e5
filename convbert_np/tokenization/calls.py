"""Text to the inputs of a model: the ways of calling a tokenizer."""

from collections.abc import Sequence
from typing import Any

from convbert_np.tokenization.batch import BatchEncoding
from convbert_np.tokenization.explain import MAX_WORDS, Explanation, explain
from convbert_np.tokenization.inputs import Pair, check_pairs, pair_up
from convbert_np.tokenization.options import Options
from convbert_np.tokenization.rows import RowMaker


class Caller(RowMaker):
    """The calls of both classes.

    Source: PreTrainedTokenizerBase.__call__, encode_plus and batch_encode_plus of transformers 4.37.2.
    """

    def __call__(
        self,
        text: Any = None,
        text_pair: Any = None,
        text_target: Any = None,
        text_pair_target: Any = None,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        **unknown: Any,
    ) -> BatchEncoding:
        """The inputs of a model for one text or many: [CLS] text [SEP], or [CLS] text [SEP] text_pair [SEP].

        text, text_pair      a string or a list of strings; with is_split_into_words a list of words, or of such lists
        text_target, text_pair_target
                             further texts, whose ids are returned as "labels" (alone: as an encoding of their own)
        add_special_tokens   put [CLS] and [SEP] around
        padding              True or "longest": to the longest row; "max_length"; False or "do_not_pad"
        truncation           True or "longest_first": the longer of a pair first; "only_first"; "only_second"; False
        max_length           ids in a row, special tokens included; None: model_max_length
        stride               by how many ids a window of overflowing ids overlaps the one before
        is_split_into_words  texts are lists of words, which are never joined
        pad_to_multiple_of   round the length to pad to up
        return_tensors       None: lists; "np": int64 arrays (B, S), with B = 1 for one text
        return_...           further values of the result, see below
        verbose              False: no warnings

        Returns a BatchEncoding with input_ids; token_type_ids (0 for the first text, 1 for the second);
        attention_mask (0 for padding); and where asked for special_tokens_mask (1 for special tokens and padding),
        offset_mapping ((start, end) in the text for every id; fast class), length, and of overflowing ids:
            fast class   every window is a row of its own; overflow_to_sample_mapping tells of which text
            slow class   overflowing_tokens, the ids cut off; num_truncated_tokens, how many
        Raises TypeError or ValueError naming the argument, also for a max_length smaller than the special tokens.
        """
        if text is None and text_target is None:
            raise ValueError("text must be given, or text_target")
        if (text is None and text_pair is not None) or (text_target is None and text_pair_target is not None):
            raise ValueError("text_pair must be given with text, and text_pair_target with text_target")
        options = self._options(
            padding,
            truncation,
            max_length,
            stride,
            pad_to_multiple_of,
            return_tensors,
            add_special_tokens=add_special_tokens,
            is_split_into_words=is_split_into_words,
            return_token_type_ids=return_token_type_ids,
            return_attention_mask=return_attention_mask,
            return_overflowing_tokens=return_overflowing_tokens,
            return_special_tokens_mask=return_special_tokens_mask,
            return_offsets_mapping=return_offsets_mapping,
            return_length=return_length,
            verbose=verbose,
            **unknown,
        )
        split = options.is_split_into_words
        encoding = None if text is None else self._encode(*pair_up(text, text_pair, split, ("text", "text_pair")), options)
        if text_target is None:
            return encoding  # type: ignore[return-value]
        target = self._encode(*pair_up(text_target, text_pair_target, split, ("text_target", "text_pair_target")), options)
        if encoding is None:
            return target
        encoding["labels"] = target["input_ids"]
        return encoding

    def _encode(self, rows: list[Pair], many: bool, options: Options) -> BatchEncoding:
        """The encoding of checked texts."""
        raise NotImplementedError

    def encode_plus(
        self, text: Any, text_pair: Any = None, add_special_tokens: bool = True, padding: bool | str = False,
        truncation: bool | str | None = None, max_length: int | None = None, stride: int = 0, is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None, return_tensors: str | None = None, **more: Any,
    ) -> BatchEncoding:  # fmt: skip
        """The encoding of one text or pair; arguments as in `__call__`.

        The slow class also takes a list of tokens, or of ids, for a text.
        """
        options = self._options(
            padding, truncation, max_length, stride, pad_to_multiple_of, return_tensors,
            add_special_tokens=add_special_tokens, is_split_into_words=is_split_into_words, **more,
        )  # fmt: skip
        rows, many = self._one(text, text_pair, options)
        return self._encode(rows, many, options)

    def _one(self, text: Any, text_pair: Any, options: Options) -> tuple[list[Pair], bool]:
        """The one row of `encode_plus`."""
        rows, many = pair_up(text, text_pair, options.is_split_into_words, ("text", "text_pair"))
        if many:
            raise TypeError("text must be one text: use batch_encode_plus, or call the tokenizer, for many")
        return rows, False

    def batch_encode_plus(
        self, batch_text_or_text_pairs: Sequence[Any], add_special_tokens: bool = True, padding: bool | str = False,
        truncation: bool | str | None = None, max_length: int | None = None, stride: int = 0, is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None, return_tensors: str | None = None, **more: Any,
    ) -> BatchEncoding:  # fmt: skip
        """The encoding of a list of texts, or of pairs of texts; arguments as in `__call__`."""
        options = self._options(
            padding, truncation, max_length, stride, pad_to_multiple_of, return_tensors,
            add_special_tokens=add_special_tokens, is_split_into_words=is_split_into_words, **more,
        )  # fmt: skip
        return self._encode(self._many(batch_text_or_text_pairs, options), True, options)

    def _many(self, batch: Any, options: Options) -> list[Pair]:
        """The rows of `batch_encode_plus`."""
        return check_pairs(batch, "batch_text_or_text_pairs", options.is_split_into_words)

    def encode(
        self, text: Any, text_pair: Any = None, add_special_tokens: bool = True, padding: bool | str = False,
        truncation: bool | str | None = None, max_length: int | None = None, stride: int = 0,
        return_tensors: str | None = None, **more: Any,
    ) -> Any:  # fmt: skip
        """The ids of one text or pair: `encode_plus(...)["input_ids"]`."""
        return self.encode_plus(
            text, text_pair, add_special_tokens, padding, truncation, max_length, stride, return_tensors=return_tensors, **more
        )["input_ids"]

    def explain(self, text: str, max_words: int | None = MAX_WORDS) -> Explanation:
        """Every stage that a text goes through and every candidate that WordPiece looks up; to be printed, or shown in Jupyter.

        max_words  how many words are printed, None for all; see `explain.explain`

        The special tokens that a call puts around a text, [CLS] and [SEP], are not among its words.
        """
        return explain(self, text, max_words)
