"""Rows of ids: special tokens around them, cut to a length, padded; the part that the classes share."""

from collections.abc import Sequence
from typing import Any

from convbert_np.tokenization.base import TokenizerBase
from convbert_np.tokenization.batch import BatchEncoding, check_tensors, is_row
from convbert_np.tokenization.checks import as_ids, check_flag, check_number
from convbert_np.tokenization.notices import warn
from convbert_np.tokenization.options import TRUNCATIONS, Options, choose, strategy
from convbert_np.tokenization.padding import as_rows, check_columns, pad_row, round_up
from convbert_np.tokenization.truncation import truncate_slow


class RowMaker(TokenizerBase):
    """What both classes do with ids that they are given, and the slow class with those of a text.

    Source: prepare_for_model, truncate_sequences and pad of transformers 4.37.2.
    """

    @property
    def max_len_single_sentence(self) -> int:
        """The ids of a text that fit into model_max_length beside the special tokens."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=False)

    @property
    def max_len_sentences_pair(self) -> int:
        """The ids of a pair of texts that fit into model_max_length beside the special tokens."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=True)

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """How many special tokens a row gets: 2, or 3 for a pair."""
        return 3 if check_flag(pair, "pair") else 2

    def _options(self, *arguments: Any, **more: Any) -> Options:
        """Settle the arguments of a call; see `choose`."""
        options = choose(*arguments, model_max_length=self.model_max_length, **more)
        if options.padding != "do_not_pad" and self.pad_token is None:
            raise ValueError("padding needs a pad_token, and this tokenizer has none")
        return options

    def _check_room(self, options: Options, pair: bool) -> None:
        """Raise ValueError if max_length leaves no room for the special tokens."""
        needed = self.num_special_tokens_to_add(pair) if options.add_special_tokens else 0
        if options.truncation != "do_not_truncate" and options.max_length is not None and options.max_length < needed:
            raise ValueError(f"max_length must be at least {needed}, the number of special tokens, not {options.max_length}")

    def _wants(self, asked: bool | None, name: str) -> bool:
        """Whether a value is returned: as asked, else if the model takes it."""
        return name in self.model_input_names if asked is None else asked

    def _warn_if_long(self, length: int, options: Options) -> None:
        """Warn of a row that is longer than the model takes, where no max_length was given."""
        if options.max_length is None and length > self.model_max_length and options.verbose:
            warn(f"a row has {length} ids, the model takes model_max_length={self.model_max_length}")

    def build_inputs_with_special_tokens(self, token_ids_0: Sequence[int], token_ids_1: Sequence[int] | None = None) -> list[int]:
        """[CLS] ids [SEP], or [CLS] ids [SEP] second ids [SEP]."""
        second = None if token_ids_1 is None else as_ids(token_ids_1, "token_ids_1")
        return self._surrounded(as_ids(token_ids_0, "token_ids_0"), second)

    def _surrounded(self, ids: Sequence[int], pair_ids: Sequence[int] | None) -> list[int]:
        """The same for checked ids; ValueError if there is no cls_token or sep_token."""
        cls, sep = self.cls_token_id, self.sep_token_id
        if cls is None or sep is None:
            raise ValueError("the tokenizer has no cls_token or no sep_token to add: set them, or pass add_special_tokens=False")
        first = [cls, *ids, sep]
        return first if pair_ids is None else [*first, *pair_ids, sep]

    def create_token_type_ids_from_sequences(
        self, token_ids_0: Sequence[int], token_ids_1: Sequence[int] | None = None
    ) -> list[int]:
        """0 for [CLS], the first ids and their [SEP], 1 for the second ids and theirs."""
        second = None if token_ids_1 is None else as_ids(token_ids_1, "token_ids_1")
        return self._types(as_ids(token_ids_0, "token_ids_0"), second)

    @staticmethod
    def _types(ids: Sequence[int], pair_ids: Sequence[int] | None) -> list[int]:
        """The same for checked ids."""
        return [0] * (len(ids) + 2) + ([] if pair_ids is None else [1] * (len(pair_ids) + 1))

    def get_special_tokens_mask(
        self,
        token_ids_0: Sequence[int],
        token_ids_1: Sequence[int] | None = None,
        already_has_special_tokens: bool = False,
    ) -> list[int]:
        """1 for the special tokens that ids get, or that they have already, 0 for the rest.

        The fast class asks for already_has_special_tokens=True.
        """
        if check_flag(already_has_special_tokens, "already_has_special_tokens"):
            if token_ids_1 is not None:
                raise ValueError("token_ids_1 must be None with already_has_special_tokens=True")
            special = set(self.all_special_ids)
            return [int(number in special) for number in as_ids(token_ids_0, "token_ids_0")]
        if self.is_fast:
            raise ValueError(
                "already_has_special_tokens must be True: call the tokenizer with return_special_tokens_mask=True, or use "
                "ConvBertTokenizer"
            )
        second = None if token_ids_1 is None else as_ids(token_ids_1, "token_ids_1")
        return special_mask(as_ids(token_ids_0, "token_ids_0"), second)

    def _finish(self, rows: list[dict[str, Any]], many: bool, options: Options, prepend: bool = True) -> BatchEncoding:
        """Pad the rows and put them together."""
        if many and options.return_length:
            rows = [{**row, "length": len(row["input_ids"])} for row in rows]
        mask = self._wants(options.return_attention_mask, "attention_mask")
        if many or rows[0]["input_ids"]:
            rows = self._pad_rows(rows, options, mask)
        elif mask:  # a single row of nothing is not padded
            rows[0]["attention_mask"] = []
        if not many:
            rows = [{**row, "length": len(row["input_ids"])} for row in rows] if options.return_length else rows
            return BatchEncoding(rows[0], tensor_type=options.return_tensors, prepend_batch_axis=prepend)
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        return BatchEncoding(columns, tensor_type=options.return_tensors)

    def _row(self, ids: list[int], pair_ids: list[int] | None, options: Options) -> dict[str, Any]:
        """One row by name, truncated and with its special tokens, not padded."""
        pair, special = pair_ids is not None, options.add_special_tokens
        self._check_row(pair, options)
        total = len(ids) + len(pair_ids or ()) + (self.num_special_tokens_to_add(pair) if special else 0)
        overflowing: list[int] = []
        if options.truncation != "do_not_truncate" and options.max_length and total > options.max_length:
            remove = total - options.max_length
            ids, pair_ids, overflowing = truncate_slow(
                ids, pair_ids, remove, options.truncation, options.stride, self.truncation_side, options.verbose
            )
        row: dict[str, Any] = {}
        if options.return_overflowing_tokens:
            row = {"overflowing_tokens": overflowing, "num_truncated_tokens": total - (options.max_length or 0)}
        plain = [*ids, *(pair_ids or ())]
        row["input_ids"] = self._surrounded(ids, pair_ids) if special else plain
        if self._wants(options.return_token_type_ids, "token_type_ids"):
            types = self._types(ids, pair_ids)
            row["token_type_ids"] = types if special else [0] * len(plain)
        if options.return_special_tokens_mask:
            row["special_tokens_mask"] = special_mask(ids, pair_ids) if special else [0] * len(plain)
        self._warn_if_long(len(row["input_ids"]), options)
        return row

    def _check_row(self, pair: bool, options: Options) -> None:
        """Raise ValueError for arguments that cannot be followed."""
        self._check_room(options, pair)
        if options.return_token_type_ids and not options.add_special_tokens:
            raise ValueError("return_token_type_ids=True needs add_special_tokens=True")
        if options.return_overflowing_tokens and options.max_length is None:
            raise ValueError("return_overflowing_tokens=True needs a max_length")
        if options.return_overflowing_tokens and options.truncation == "longest_first" and pair:
            raise ValueError("return_overflowing_tokens=True needs truncation='only_first' or 'only_second' for a pair of texts")

    def prepare_for_model(
        self,
        ids: Sequence[int],
        pair_ids: Sequence[int] | None = None,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        pad_to_multiple_of: int | None = None,
        return_tensors: str | None = None,
        *,
        prepend_batch_axis: bool = False,
        **more: Any,
    ) -> BatchEncoding:
        """The encoding of ids without special tokens, or of a pair of them; arguments as in `__call__`.

        prepend_batch_axis  put an axis of length 1 before the others of an array
        """
        options = self._options(
            padding, truncation, max_length, stride, pad_to_multiple_of, return_tensors,
            add_special_tokens=add_special_tokens, **more,
        )  # fmt: skip
        second = None if pair_ids is None else as_ids(pair_ids, "pair_ids")
        row = self._row(as_ids(ids, "ids"), second, options)
        return self._finish([row], False, options, check_flag(prepend_batch_axis, "prepend_batch_axis"))

    def truncate_sequences(
        self,
        ids: Sequence[int],
        pair_ids: Sequence[int] | None = None,
        num_tokens_to_remove: int = 0,
        truncation_strategy: bool | str = "longest_first",
        stride: int = 0,
    ) -> tuple[list[int], list[int] | None, list[int]]:
        """The ids and second ids with so many taken off, and those taken off; see `truncate_slow`."""
        remove = check_number(num_tokens_to_remove, "num_tokens_to_remove", -(10**9)) or 0
        chosen = strategy(truncation_strategy, "truncation_strategy", TRUNCATIONS, "longest_first")
        overlap = check_number(stride, "stride", 0) or 0
        second = None if pair_ids is None else as_ids(pair_ids, "pair_ids")
        return truncate_slow(as_ids(ids, "ids"), second, remove, chosen, overlap, self.truncation_side)

    def pad(
        self,
        encoded_inputs: Any,
        padding: bool | str = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
        verbose: bool = True,
    ) -> BatchEncoding:
        """Pad what was encoded before: one encoding, a batch, or a list of encodings.

        encoded_inputs  a mapping from name to a row or to rows, or a list of mappings from name to a row
        the rest        as in `__call__`

        Returns a new BatchEncoding with input_ids, token_type_ids, attention_mask and special_tokens_mask filled up, and
        every other value as it was; arrays if arrays were given.
        """
        main = self.model_input_names[0]
        check_tensors(return_tensors)
        columns, arrays = as_rows(encoded_inputs, main)
        if return_attention_mask is not None:
            check_flag(return_attention_mask, "return_attention_mask")
        mask = self._wants(return_attention_mask, "attention_mask")
        if len(columns[main]) == 0:
            return BatchEncoding({**columns, "attention_mask": []} if return_attention_mask else columns)
        options = self._options(padding, False, max_length, 0, pad_to_multiple_of, return_tensors, verbose=verbose)
        tensors = "np" if return_tensors or arrays else None
        beside = ("token_type_ids", "attention_mask", "special_tokens_mask")
        if is_row(columns[main]):
            check_columns(columns, main, beside)
            return BatchEncoding(self._pad_rows([columns], options, mask)[0], tensor_type=tensors)
        size = len(columns[main])
        uneven = [name for name, column in columns.items() if not isinstance(column, list) or len(column) != size]
        if uneven:
            raise ValueError(f"encoded_inputs has {size} rows of {main} but not as many of {uneven[0]}")
        rows = [{name: column[index] for name, column in columns.items()} for index in range(size)]
        for row in rows:
            check_columns(row, main, beside)
        padded = self._pad_rows(rows, options, mask)
        return BatchEncoding({name: [row[name] for row in padded] for name in padded[0]}, tensor_type=tensors)

    def _pad_rows(self, rows: list[dict[str, Any]], options: Options, mask: bool) -> list[dict[str, Any]]:
        """The rows with an attention mask if wanted, filled up to one length."""
        main = self.model_input_names[0]
        if mask:
            rows = [row if "attention_mask" in row else {**row, "attention_mask": [1] * len(row[main])} for row in rows]
        if options.padding == "do_not_pad":
            return rows
        longest = max(len(row[main]) for row in rows)
        length = longest if options.padding == "longest" else options.max_length or 0
        length = round_up(length, options.pad_to_multiple_of)
        fillers = {main: self.pad_token_id, "token_type_ids": self.pad_token_type_id, "special_tokens_mask": 1}
        fillers |= {"attention_mask": 0} if mask else {}
        return [pad_row(row, main, length, self.padding_side, fillers) for row in rows]


def special_mask(ids: Sequence[int], pair_ids: Sequence[int] | None) -> list[int]:
    """1 for the special tokens that ids get, 0 for the ids."""
    first = [1, *[0] * len(ids), 1]
    return first if pair_ids is None else [*first, *[0] * len(pair_ids), 1]
