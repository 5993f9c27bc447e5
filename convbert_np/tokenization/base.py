"""What both tokenizer classes share: the forms of calling, padding, decoding, loading and saving."""

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from convbert_np.files import write_text
from convbert_np.tokenization import settings as files
from convbert_np.tokenization.added_tokens import AddedToken
from convbert_np.tokenization.attributes import ENGINE_SETTINGS, SETTINGS
from convbert_np.tokenization.batch import BatchEncoding, check_tensors, is_row
from convbert_np.tokenization.checks import as_ids, check_flag, check_path, check_text, is_integer
from convbert_np.tokenization.explain import MAX_WORDS, Explanation, explain
from convbert_np.tokenization.inputs import Pair, check_pairs, pair_up
from convbert_np.tokenization.options import Options, choose
from convbert_np.tokenization.padding import as_rows, check_columns, pad_row, round_up
from convbert_np.tokenization.special_tokens import ADDITIONAL, DEFAULTS, NAMES, SpecialTokens, check_special, check_specials
from convbert_np.tokenization.wordpiece import clean_up_spaces

COMMON = (
    *NAMES,
    ADDITIONAL,
    "added_tokens_decoder",
    "chat_template",
    "clean_up_tokenization_spaces",
    "max_len",
    "model_input_names",
    "model_max_length",
    "name_or_path",
    "pad_token_type_id",
    "padding_side",
    "split_special_tokens",
    "truncation_side",
    "verbose",
)
OF_EITHER_CLASS = (
    "do_lower_case",
    "do_basic_tokenize",
    "never_split",
    "tokenize_chinese_chars",
    "strip_accents",
    "clean_text",
    "wordpieces_prefix",
    "vocab_file",
    "tokenizer_file",
)


class TokenizerBase(SpecialTokens):
    """The interface of both classes; see `ConvBertTokenizer` and `ConvBertTokenizerFast`.

    Source: PreTrainedTokenizerBase of transformers 4.37.2.
    """

    is_fast: bool
    vocab: dict[str, int]

    def __init__(self, arguments: Mapping[str, Any], more: Mapping[str, Any]):
        super().__init__()
        unknown = [name for name in more if name not in COMMON]
        if unknown:
            known = ", ".join(dict.fromkeys((*arguments, *COMMON)))
            raise TypeError(f"{type(self).__name__} has no argument {unknown[0]!r}; it has {known}")
        self.init_kwargs: dict[str, Any] = {**arguments, **more}
        self.name_or_path = str(more.get("name_or_path", ""))
        self.model_max_length: int = more.get("model_max_length", more.get("max_len"))  # type: ignore[assignment]
        self.padding_side = more.get("padding_side", "right")
        self.truncation_side = more.get("truncation_side", "right")
        self.model_input_names = more.get("model_input_names", ("input_ids", "token_type_ids", "attention_mask"))
        self.clean_up_tokenization_spaces = more.get("clean_up_tokenization_spaces", True)
        self.split_special_tokens = more.get("split_special_tokens", False)
        self.chat_template = more.get("chat_template")
        self.pad_token_type_id = more.get("pad_token_type_id", 0)
        for name in NAMES:
            value = self.init_kwargs.get(name)
            if value is not None:
                self._special[name] = check_special(value, name)
        self._additional = check_specials(more.get(ADDITIONAL) or [], ADDITIONAL)

    def __setattr__(self, name: str, value: Any) -> None:
        """Check the new value of a setting, and forget the engine if it was made for the old one."""
        check = SETTINGS.get(name) or ENGINE_SETTINGS.get(name)
        super().__setattr__(name, value if check is None else check(value, name))
        if name in ENGINE_SETTINGS and self.__dict__.get("_engine") is not None:
            self._changed()

    @staticmethod
    def _given_added(more: Mapping[str, Any]) -> dict[int, AddedToken]:
        """The argument added_tokens_decoder, checked."""
        given = more.get("added_tokens_decoder")
        return {} if given is None else files.read_decoder(given, "added_tokens_decoder")

    def _check_special_tokens(self, path: Any) -> None:
        """Raise ValueError if the vocabulary lacks a special token; warn if the caller's own name for one is to be added."""
        missing = [name for name in NAMES if name in self._special and not self._knows(str(self._special[name]))]
        lacking = [str(self._special[name]) for name in missing if str(self._special[name]) == DEFAULTS.get(name)]
        if lacking:
            raise ValueError(f"the vocabulary {os.fspath(path) if path else ''} lacks {', '.join(lacking)}".replace("  ", " "))
        if missing:
            tokens = ", ".join(f"{name} {str(self._special[name])!r}" for name in missing)
            warnings.warn(f"the vocabulary lacks {tokens}: added behind its end, the model's embedding must grow", stacklevel=4)

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """Id to AddedToken, by id: the tokens that text is cut at before anything else."""
        raise NotImplementedError

    @property
    def added_tokens_encoder(self) -> dict[str, int]:
        """Added token to id, by id."""
        return {token.content: number for number, token in self.added_tokens_decoder.items()}

    def get_added_vocab(self) -> dict[str, int]:
        """Added token to id."""
        return self.added_tokens_encoder

    def get_vocab(self) -> dict[str, int]:
        """Token to id, of the vocabulary and of the added tokens; a copy."""
        return {**self.vocab, **self.added_tokens_encoder}

    @property
    def vocab_size(self) -> int:
        """The number of distinct tokens of the vocabulary, without those added to it.

        Less than the largest id + 1 where lines of vocab.txt repeat, as in the released files.
        """
        return len(self.vocab)

    def __len__(self) -> int:
        """The number of distinct tokens, with those added."""
        return len(self.get_vocab())

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({len(self)} tokens, model_max_length={self.model_max_length}, "
            f"padding_side={self.padding_side!r}, truncation_side={self.truncation_side!r}, "
            f"special_tokens={self.special_tokens_map})"
        )

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

    # Text to ids

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

    def encode(self, text: Any, text_pair: Any = None, **more: Any) -> Any:
        """The ids of one text or pair: `encode_plus(...)["input_ids"]`."""
        return self.encode_plus(text, text_pair, **more)["input_ids"]

    def _wants(self, asked: bool | None, name: str) -> bool:
        """Whether a value is returned: as asked, else if the model takes it."""
        return name in self.model_input_names if asked is None else asked

    def explain(self, text: str, max_words: int | None = MAX_WORDS) -> Explanation:
        """Every stage that a text goes through and every candidate that WordPiece looks up; to be printed, or shown in Jupyter.

        max_words  how many words are printed, None for all; see `explain.explain`
        """
        return explain(self, text, max_words)

    def _warn_if_long(self, length: int, options: Options) -> None:
        """Warn of a row that is longer than the model takes, where no max_length was given."""
        if options.max_length is None and length > self.model_max_length and options.verbose:
            warnings.warn(f"a row has {length} ids, the model takes model_max_length={self.model_max_length}", stacklevel=5)

    # Padding

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

    # Special tokens around ids

    def build_inputs_with_special_tokens(
        self, token_ids_0: Sequence[int], token_ids_1: Sequence[int] | None = None
    ) -> list[int]:
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

    # Ids to text

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """The token of an id, or those of several; see the classes for an id without one."""
        raise NotImplementedError

    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        """The text of tokens: pieces glued together."""
        raise NotImplementedError

    def _decode(self, ids: list[int], skip: bool, between: bool) -> str:
        """The text of ids before spaces are cleaned up."""
        raise NotImplementedError

    def decode(
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        spaces_between_special_tokens: bool = True,
    ) -> str:
        """The text of one row of ids.

        skip_special_tokens           leave special tokens out
        clean_up_tokenization_spaces  no space before punctuation and in English contractions; None: as the tokenizer is set
        spaces_between_special_tokens spaces around added tokens (slow class)
        """
        ids = as_ids(token_ids, "token_ids")
        between = check_flag(spaces_between_special_tokens, "spaces_between_special_tokens")
        text = self._decode(ids, check_flag(skip_special_tokens, "skip_special_tokens"), between)
        clean = clean_up_tokenization_spaces
        clean = self.clean_up_tokenization_spaces if clean is None else check_flag(clean, "clean_up_tokenization_spaces")
        return clean_up_spaces(text) if clean else text

    def batch_decode(self, sequences: Any, skip_special_tokens: bool = False, **more: Any) -> list[str]:
        """The texts of many rows of ids; arguments as in `decode`."""
        is_list = isinstance(sequences, Sequence) and not isinstance(sequences, str | bytes | bytearray)
        if not is_list and not (isinstance(sequences, np.ndarray) and sequences.ndim > 0):
            raise TypeError(f"sequences must be a list of rows of ids, not {type(sequences).__name__}")
        return [self.decode(row, skip_special_tokens=skip_special_tokens, **more) for row in sequences]

    @staticmethod
    def clean_up_tokenization(out_string: str) -> str:
        """Take out the spaces before punctuation and in English contractions."""
        return clean_up_spaces(check_text(out_string, "out_string"))

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """The id of a token, or the ids of several; that of unk_token for one not in the vocabulary; None for None."""
        if tokens is None:
            return None
        if isinstance(tokens, str):
            return self._token_id(tokens)
        if not isinstance(tokens, Sequence):
            raise TypeError(f"tokens must be a string or a list of strings, not {type(tokens).__name__}")
        return [self._token_id(check_text(token, f"tokens[{index}]")) for index, token in enumerate(tokens)]

    def _token_id(self, token: str) -> int:
        """The id of a token, that of unk_token if it has none."""
        raise NotImplementedError

    # Files

    @classmethod
    def from_pretrained(cls, directory: str | os.PathLike[str], **given: Any) -> Self:
        """The tokenizer in a local folder; `given` are arguments of the constructor and go before those of the files.

        Read are vocab.txt, tokenizer_config.json, special_tokens_map.json and added_tokens.json; the fast class
        takes everything but the settings from tokenizer.json if there is one (unless from_slow=True is given).
        Raises FileNotFoundError, ValueError or TypeError naming the file or the argument.
        """
        directory = check_path(directory, "directory")
        if not directory.is_dir():
            raise FileNotFoundError(f"there is no folder {directory} to read a tokenizer from")
        from_slow = check_flag(given.pop("from_slow", False), "from_slow")
        unknown = [name for name in given if name not in (*COMMON, *OF_EITHER_CLASS)]
        if unknown:
            raise TypeError(f"from_pretrained has no argument {unknown[0]!r}")
        found = files.read_settings(directory, given)
        found.setdefault("name_or_path", str(directory))
        found.update({name: path for name, path in cls._files(directory, found, from_slow).items() if name not in given})
        kept = {name: found.pop(name) for name in list(found) if name not in (*COMMON, *OF_EITHER_CLASS)}
        try:
            tokenizer = cls(**found)
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"the tokenizer in {directory}: {error}") from None
        tokenizer.init_kwargs.update(kept)
        return tokenizer

    @classmethod
    def _files(cls, directory: Path, found: dict[str, Any], from_slow: bool) -> dict[str, Any]:
        """The files of a folder that the constructor reads; a null in the settings means not to read that file."""
        return {"vocab_file": directory / files.VOCABULARY}

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        legacy_format: bool | None = None,
        filename_prefix: str | None = None,
    ) -> tuple[str, ...]:
        """Write the tokenizer for `from_pretrained`, here and in transformers; the paths of the files written.

        legacy_format    fast class: True: no tokenizer.json; False: tokenizer.json but neither vocab.txt nor added_tokens.json
        filename_prefix  put before every file name, with a hyphen
        """
        directory, prefix = check_path(save_directory, "save_directory"), self._prefix(filename_prefix)
        if legacy_format is not None:
            check_flag(legacy_format, "legacy_format")
        if directory.exists() and not directory.is_dir():
            raise NotADirectoryError(f"save_directory must be a folder, {directory} is a file")
        contents = self._contents(legacy_format)
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in contents.items():
            write_text(directory / (prefix + name), text)
        return tuple(str(directory / (prefix + name)) for name in contents)

    @staticmethod
    def _prefix(filename_prefix: str | None) -> str:
        """What stands before the file names."""
        if filename_prefix is None or filename_prefix == "":
            return ""
        if {"/", "\\", "\0"} & set(check_text(filename_prefix, "filename_prefix")):
            raise ValueError(f"filename_prefix must be the beginning of a file name without a slash, not {filename_prefix!r:.60}")
        return f"{filename_prefix}-"

    def _contents(self, legacy_format: bool | None) -> dict[str, str]:
        """The text of every file to write."""
        current = {name: getattr(self, name) for name in self.init_kwargs if name not in NAMES and hasattr(self, name)}
        current |= {"model_max_length": self.model_max_length}
        current |= {"clean_up_tokenization_spaces": self.clean_up_tokenization_spaces}
        current.pop("added_tokens_decoder", None)
        tokens = {name: None for name in NAMES if name in self.init_kwargs} | self.special_tokens_map
        contents = {
            files.CONFIG: files.config_text({**self.init_kwargs, **current}, tokens, self.added_tokens_decoder, "ConvBertTokenizer"),
            files.SPECIAL: files.special_map_text(self.special_tokens_map_extended),
        }
        if legacy_format is not False:
            contents[files.VOCABULARY] = self._vocabulary_text()
            behind = {token: number for token, number in self.added_tokens_encoder.items() if number >= self.vocab_size}
            if behind:
                contents[files.ADDED] = files.json_text(behind)
        return contents

    def _vocabulary_text(self) -> str:
        """The text of vocab.txt."""
        raise NotImplementedError

    def save_vocabulary(self, save_directory: str | os.PathLike[str], filename_prefix: str | None = None) -> tuple[str]:
        """Write vocab.txt, from which every id can be read again, into a folder; its path."""
        directory = check_path(save_directory, "save_directory")
        if not directory.is_dir():
            raise NotADirectoryError(f"save_directory must be a folder that exists, {directory} is none")
        path = directory / (self._prefix(filename_prefix) + files.VOCABULARY)
        write_text(path, self._vocabulary_text())
        return (str(path),)

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the engine, whose caches are made anew."""
        return {**self.__dict__, "_engine": None}


__all__ = ["TokenizerBase", "is_integer"]
