"""What both tokenizer classes are: settings, special tokens, a vocabulary; ids to tokens and to text."""

import inspect
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from convbert_np.tokenization import settings as files
from convbert_np.tokenization.added_tokens import AddedToken
from convbert_np.tokenization.attributes import ENGINE_SETTINGS, SETTINGS
from convbert_np.tokenization.checks import as_ids, check_flag, check_text, is_integer
from convbert_np.tokenization.notices import warn
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
            known = dict.fromkeys((*inspect.signature(type(self)).parameters, *COMMON))
            known.pop("more")
            raise TypeError(f"{type(self).__name__} has no argument {unknown[0]!r}; it has {', '.join(known)}")
        self.init_kwargs: dict[str, Any] = {**arguments, **more}
        self.verbose = more.get("verbose", False)  # decides on messages that only the reference has
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
            warn(f"the vocabulary lacks {tokens}: added behind its end, the model's embedding must grow")

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
        limit = "no limit" if self.model_max_length >= files.NO_LIMIT else self.model_max_length
        return (
            f"{type(self).__name__}({len(self)} tokens, model_max_length={limit}, "
            f"padding_side={self.padding_side!r}, truncation_side={self.truncation_side!r}, "
            f"special_tokens={self.special_tokens_map})"
        )

    # Ids to text

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """The token of an id, or the list of tokens of several.

        An id without a token gives unk_token in the slow class, None in the fast one. skip_special_tokens leaves the special
        tokens out of a list.
        """
        if is_integer(ids):
            return self._token(int(ids))
        skipped = set(self.all_special_ids) if skip_special_tokens else ()
        return [self._token(number) for number in as_ids(ids, "ids") if number not in skipped]

    def _token(self, number: int) -> str | None:
        """The token of an id."""
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
        rows = [as_ids(row, f"sequences[{index}]") for index, row in enumerate(sequences)]
        return [self.decode(row, skip_special_tokens=skip_special_tokens, **more) for row in rows]

    @staticmethod
    def clean_up_tokenization(out_string: str) -> str:
        """Take out the spaces before punctuation and in English contractions."""
        return clean_up_spaces(check_text(out_string, "out_string"))

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """The id of a token, or the ids of several; that of unk_token for one not in the vocabulary; None for None."""
        if tokens is None:
            return None
        if isinstance(tokens, str):
            return self._token_id(check_text(tokens, "tokens"))
        if not isinstance(tokens, Sequence) or isinstance(tokens, bytes | bytearray):
            raise TypeError(f"tokens must be a string or a list of strings, not {type(tokens).__name__}")
        return [self._token_id(check_text(token, f"tokens[{index}]")) for index, token in enumerate(tokens)]

    def _token_id(self, token: str) -> int:
        """The id of a token, that of unk_token if it has none."""
        number = self._own_id(token)
        if number is None:
            number = self._own_id(self._unknown)
        if number is None:
            raise ValueError(f"the token {token!r} is not in the vocabulary, and neither is unk_token")
        return number

    @property
    def _unknown(self) -> str:
        """The token of words that cannot be cut."""
        raise NotImplementedError

    def _changed(self) -> None:
        """Forget the engine."""
        self._engine = None

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the engine, whose caches are made anew."""
        return {**self.__dict__, "_engine": None}
