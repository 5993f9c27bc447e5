"""What the settings of a tokenizer may be, whether they are given to its constructor or set as attributes later."""

from collections.abc import Callable
from typing import Any

from convbert_np.tokenization.checks import check_flag, check_number, check_text, check_texts, is_integer
from convbert_np.tokenization.settings import NO_LIMIT

SIDES = ("right", "left")


def check_side(value: object, argument: str) -> str:
    """ "right" or "left"."""
    if value not in SIDES:
        raise ValueError(f"{argument} must be 'right' or 'left', not {value!r}")
    return str(value)


def check_choice(value: object, argument: str) -> bool | None:
    """True, False or None."""
    return None if value is None else check_flag(value, argument)


def check_words(value: object, argument: str) -> list[str] | None:
    """A list of strings, or None."""
    return None if value is None else check_texts(value, argument)


def check_input_names(value: object, argument: str) -> list[str]:
    """A list of names, of which the first is that of the ids."""
    names = check_texts(value, argument)
    if names[:1] != ["input_ids"]:
        raise ValueError(f"{argument} must begin with 'input_ids', not be {names}")
    return names


def check_limit(value: object, argument: str) -> int:
    """A number of ids of at least 1; None or a huge float, as files hold it, for no limit."""
    is_huge = isinstance(value, float) and value > NO_LIMIT // 2
    return (None if is_huge else check_number(value, argument, 1)) or NO_LIMIT  # type: ignore[arg-type]


def check_natural(value: object, argument: str) -> int:
    """An integer of at least 0."""
    if not is_integer(value):
        raise TypeError(f"{argument} must be an integer, not {value!r:.80}")
    if value < 0:
        raise ValueError(f"{argument} must be at least 0, not {value}")
    return int(value)


SETTINGS: dict[str, Callable[[Any, str], Any]] = {  # what a setting of a tokenizer may be, also when it is set later
    "clean_up_tokenization_spaces": check_flag,
    "model_input_names": check_input_names,
    "model_max_length": check_limit,
    "pad_token_type_id": check_natural,
    "padding_side": check_side,
    "truncation_side": check_side,
    "verbose": check_flag,
}
ENGINE_SETTINGS: dict[str, Callable[[Any, str], Any]] = {
    "clean_text": check_flag,
    "do_basic_tokenize": check_flag,
    "do_lower_case": check_flag,
    "never_split": check_words,
    "split_special_tokens": check_flag,
    "strip_accents": check_choice,
    "tokenize_chinese_chars": check_flag,
    "wordpieces_prefix": check_text,
}
