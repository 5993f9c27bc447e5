"""The special tokens of a tokenizer: [UNK], [SEP], [PAD], [CLS], [MASK], and those that a user names."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from convbert_np.tokenization.added_tokens import AddedToken
from convbert_np.tokenization.checks import as_ids, check_flag, check_text, is_integer
from convbert_np.tokenization.notices import warn

NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
ADDITIONAL = "additional_special_tokens"
DEFAULTS = {name: f"[{name.removesuffix('_token').upper()}]" for name in NAMES[2:]}

Token = str | AddedToken


def check_special(value: object, argument: str) -> Token:
    """A string or an AddedToken that is not empty."""
    if not isinstance(value, str | AddedToken):
        raise TypeError(f"{argument} must be a string or an AddedToken, not {value!r}")
    if not str(value):
        raise ValueError(f"{argument} must not be empty")
    check_text(str(value), argument)
    return value


def check_specials(values: object, argument: str) -> list[Token]:
    """A list of strings or AddedTokens."""
    if not isinstance(values, list | tuple):
        raise TypeError(f"{argument} must be a list of strings or AddedTokens, not {values!r:.80}")
    return [check_special(value, f"{argument}[{index}]") for index, value in enumerate(values)]


def token_property(name: str) -> Any:
    """The text of a special token as an attribute; None where it is not set."""

    def get(self: "SpecialTokens") -> str | None:
        value = self._special.get(name)
        return None if value is None else str(value)

    def put(self: "SpecialTokens", value: Token | None) -> None:
        self._set_special(name, value)

    return property(get, put, doc=f"The text of the {name.replace('_', ' ')}, None where there is none.")


def id_property(name: str) -> Any:
    """The id of a special token as an attribute; None where it is not set."""

    def get(self: "SpecialTokens") -> int | None:
        value = self._special.get(name)
        return None if value is None else self.convert_tokens_to_ids(str(value))

    def put(self: "SpecialTokens", value: int | None) -> None:
        self._set_special(name, None if value is None else self._token_of(value, f"{name}_id"))

    return property(get, put, doc=f"The id of the {name.replace('_', ' ')}, None where there is none.")


class SpecialTokens:
    """What both tokenizer classes offer to read and to set special tokens.

    Every one of bos_token, eos_token, unk_token, sep_token, pad_token, cls_token, mask_token is an attribute, and so is its
    id (bos_token_id, ...); additional_special_tokens is a list. A setter takes a string or an AddedToken that
    the vocabulary holds already; `add_special_tokens` sets and adds at once.

    Source: SpecialTokensMixin of transformers 4.37.2.
    """

    bos_token, bos_token_id = token_property("bos_token"), id_property("bos_token")
    eos_token, eos_token_id = token_property("eos_token"), id_property("eos_token")
    unk_token, unk_token_id = token_property("unk_token"), id_property("unk_token")
    sep_token, sep_token_id = token_property("sep_token"), id_property("sep_token")
    pad_token, pad_token_id = token_property("pad_token"), id_property("pad_token")
    cls_token, cls_token_id = token_property("cls_token"), id_property("cls_token")
    mask_token, mask_token_id = token_property("mask_token"), id_property("mask_token")

    convert_tokens_to_ids: Callable[..., Any]
    convert_ids_to_tokens: Callable[..., Any]

    def __init__(self) -> None:
        self._special: dict[str, Token] = {}
        self._additional: list[Token] = []
        self.pad_token_type_id = 0

    def _changed(self) -> None:
        """Forget what was made for the tokens as they were."""
        raise NotImplementedError

    def _add(self, tokens: Sequence[Token], special: bool) -> int:
        """Add tokens to the vocabulary by the rules of the class."""
        raise NotImplementedError

    def _own_id(self, token: str) -> int | None:
        """The id that a token has of its own."""
        raise NotImplementedError

    def _knows(self, token: str) -> bool:
        """Whether a token has an id of its own."""
        return self._own_id(token) is not None

    def _token_of(self, number: object, argument: str) -> str:
        """The token of an id that a setter was given; ValueError if it has none of its own."""
        if not is_integer(number):
            raise TypeError(f"{argument} must be an integer, not {number!r:.80}")
        token = self.convert_ids_to_tokens(number) if number >= 0 else None
        if token is None or self.convert_tokens_to_ids(token) != number:
            raise ValueError(f"{argument} must be the id of a token, {number} is none")
        return token

    def _set_special(self, name: str, value: Token | None) -> None:
        """Set a special token; a warning if it has no id."""
        if value is None:
            self._special.pop(name, None)
        else:
            self._special[name] = check_special(value, name)
            if not self._knows(str(value)):
                advice = f'it has the id of the unknown token until add_special_tokens({{"{name}": ...}}) adds it'
                warn(f"{name} {str(value)!r} is not in the vocabulary: {advice}")
        self._changed()

    def _replace_special(self, given: AddedToken, added: AddedToken) -> None:
        """Where this very token is a special one, let it have the flags with which it was added."""
        self._special = {name: added if value is given else value for name, value in self._special.items()}
        self._additional = [added if value is given else value for value in self._additional]

    @property
    def additional_special_tokens(self) -> list[str]:
        """The further special tokens as strings."""
        return [str(token) for token in self._additional]

    @additional_special_tokens.setter
    def additional_special_tokens(self, values: Sequence[Token] | None) -> None:
        self._additional = check_specials(values or [], ADDITIONAL)
        self._changed()

    @property
    def additional_special_tokens_ids(self) -> list[int]:
        """The ids of the further special tokens."""
        return self.convert_tokens_to_ids(self.additional_special_tokens)

    @additional_special_tokens_ids.setter
    def additional_special_tokens_ids(self, values: Sequence[int]) -> None:
        numbers = as_ids(values, "additional_special_tokens_ids")
        self._additional = [self._token_of(number, "additional_special_tokens_ids") for number in numbers]
        self._changed()

    @property
    def special_tokens_map_extended(self) -> dict[str, Any]:
        """The special tokens that are set by name, strings or AddedTokens as they were given."""
        named = {name: self._special[name] for name in NAMES if name in self._special}
        return {**named, ADDITIONAL: list(self._additional)} if self._additional else named

    @property
    def special_tokens_map(self) -> dict[str, Any]:
        """The special tokens that are set by name, as strings."""
        texts = {name: str(self._special[name]) for name in NAMES if name in self._special}
        return {**texts, ADDITIONAL: self.additional_special_tokens} if self._additional else texts

    @property
    def all_special_tokens_extended(self) -> list[Token]:
        """Every special token, strings or AddedTokens as they were given, in the order of `NAMES`, then the further ones."""
        first: dict[str, Token] = {}
        for name in NAMES:
            if name in self._special:
                first.setdefault(str(self._special[name]), self._special[name])
        return [*first.values(), *(token for token in self._additional if str(token) not in first)]

    @property
    def all_special_tokens(self) -> list[str]:
        """Every special token, as strings."""
        return [str(token) for token in self.all_special_tokens_extended]

    @property
    def all_special_ids(self) -> list[int]:
        """The ids of all special tokens."""
        return self.convert_tokens_to_ids(self.all_special_tokens)

    def sanitize_special_tokens(self) -> int:
        """Add to the vocabulary the special tokens that it lacks; how many they were."""
        return self.add_tokens(self.all_special_tokens_extended, special_tokens=True)

    def add_tokens(self, new_tokens: Token | Sequence[Token], special_tokens: bool = False) -> int:
        """Add tokens that text is cut at before anything else.

        Returns how many were added: the slow class counts those that the vocabulary lacked, the fast class all that
        were not added just so before. A token is found inside words too, unless it is an AddedToken with single_word.

        new_tokens      a string, an AddedToken or a list of them; a token of the vocabulary keeps its id,
                        any other gets the next free one, so that the model's embedding must grow
        special_tokens  they are special: never lower-cased, and left out by skip_special_tokens
        """
        given: Sequence[Any] = new_tokens if isinstance(new_tokens, list | tuple) else [new_tokens]
        checked = [check_added(token, index) for index, token in enumerate(given if new_tokens is not None else [])]
        added = self._add(checked, check_flag(special_tokens, "special_tokens"))
        self._changed()
        return added

    def add_special_tokens(self, special_tokens_dict: Mapping[str, Any], replace_additional_special_tokens: bool = True) -> int:
        """Set special tokens by name and add to the vocabulary those that it lacks; the number of those added.

        special_tokens_dict                name (one of `NAMES` or "additional_special_tokens") to token or tokens
        replace_additional_special_tokens  False: further special tokens join those that there are
        """
        values: list[Token] = []
        replace = check_flag(replace_additional_special_tokens, "replace_additional_special_tokens")
        for name, value in check_special_dict(special_tokens_dict).items():
            if name == ADDITIONAL:
                tokens = [as_special(token) for token in value]
                if not replace:
                    tokens = [token for token in tokens if str(token) not in self.additional_special_tokens]
                self._additional = list(tokens) if replace and tokens else [*self._additional, *tokens]
                values += tokens
            else:
                token = self._special[name] = as_special(value)
                values += [token] if token not in values else []
        return self.add_tokens(values, special_tokens=True) if values else 0


def check_special_dict(tokens: object) -> dict[str, Any]:
    """The name and the token, or the tokens, of each entry: all of them checked before one is set."""
    if not isinstance(tokens, Mapping):
        raise TypeError(f"special_tokens_dict must be a dict from name to token, not {tokens!r:.80}")
    unknown = [name for name in tokens if name not in (*NAMES, ADDITIONAL)]
    if unknown:
        raise ValueError(f"special_tokens_dict has {unknown[0]!r}, which is none of {', '.join([*NAMES, ADDITIONAL])}")
    return {name: (check_specials if name == ADDITIONAL else check_special)(value, name) for name, value in tokens.items()}


def check_added(token: object, index: int) -> Token:
    """A string, also an empty one, or an AddedToken."""
    if not isinstance(token, str | AddedToken):
        raise TypeError(f"new_tokens[{index}] must be a string or an AddedToken, not {token!r}")
    check_text(str(token), f"new_tokens[{index}]")
    return token


def as_special(token: Token) -> AddedToken:
    """An AddedToken as it is, a string as one that is special."""
    return token if isinstance(token, AddedToken) else AddedToken(token, special=True)
