"""The texts of a call, checked: one or many, alone or in pairs, as strings or as lists of words."""

from collections.abc import Sequence
from typing import Any

from convbert_np.tokenization.checks import check_text, is_integer

Text = str | list[str]
Pair = tuple[Any, Any]


def check_words(words: object, argument: str) -> list[str]:
    """A list of strings."""
    if not isinstance(words, list | tuple):
        raise TypeError(f"{argument} must be a list of words with is_split_into_words=True, not {type(words).__name__}")
    return [check_text(word, f"{argument}[{index}]") for index, word in enumerate(words)]


def check_one(text: object, argument: str, split: bool) -> Text:
    """A text: a string, or a list of words if the text is split into words."""
    return check_words(text, argument) if split else check_text(text, argument)


def check_batch(texts: object, argument: str, split: bool) -> list[Text]:
    """A list of at least one text."""
    if not isinstance(texts, list | tuple):
        raise TypeError(f"{argument} must be a list of texts, not {type(texts).__name__}")
    if not texts:
        raise ValueError(f"{argument} is an empty batch: it must hold at least one text")
    if not split and all(type(text) is str and text.isascii() for text in texts):
        return list(texts)
    return [check_one(text, f"{argument}[{index}]", split) for index, text in enumerate(texts)]


def is_batch(text: object, argument: str, split: bool) -> bool:
    """Whether an argument holds many texts; TypeError if it is neither a text nor a list."""
    if isinstance(text, str):
        if split:
            raise TypeError(f"{argument} must be a list of words, or of lists of them, with is_split_into_words=True")
        return False
    if not isinstance(text, list | tuple):
        raise TypeError(
            f"{argument} must be a string, a list of strings or a list of lists of strings, not {type(text).__name__}"
        )
    return not split or (len(text) > 0 and isinstance(text[0], list | tuple))


def pair_up(text: object, text_pair: object, split: bool, names: tuple[str, str]) -> tuple[list[Pair], bool]:
    """The (first, second) of every row, second None where there is none, and whether they were many."""
    first_name, second_name = names
    many = is_batch(text, first_name, split)
    if text_pair is not None and is_batch(text_pair, second_name, split) != many:
        raise TypeError(f"{first_name} and {second_name} must be both one text or both lists of texts")
    if not many:
        second = None if text_pair is None else check_one(text_pair, second_name, split)
        return [(check_one(text, first_name, split), second)], False
    if not split and text_pair is None and text and all(isinstance(item, list | tuple) for item in text):  # type: ignore[union-attr]
        return check_pairs(text, first_name, split), True
    firsts = check_batch(text, first_name, split)
    if text_pair is None:
        return [(first, None) for first in firsts], True
    seconds = check_batch(text_pair, second_name, split)
    if len(firsts) != len(seconds):
        raise ValueError(f"{first_name} and {second_name} must be equally many: {len(firsts)} and {len(seconds)}")
    return list(zip(firsts, seconds, strict=True)), True


def check_pairs(batch: object, argument: str, split: bool) -> list[Pair]:
    """The rows of `batch_encode_plus`: each a text, or a list of two texts."""
    if not isinstance(batch, list | tuple):
        raise TypeError(f"{argument} must be a list of texts or of pairs of texts, not {type(batch).__name__}")
    if not batch:
        raise ValueError(f"{argument} is an empty batch: it must hold at least one text")
    rows: list[Pair] = []
    for index, item in enumerate(batch):
        name = f"{argument}[{index}]"
        nested = isinstance(item, list | tuple) and (not split or bool(item and isinstance(item[0], list | tuple)))
        if not nested:
            rows.append((check_one(item, name, split), None))
        elif len(item) != 2:
            raise ValueError(f"{name} must be a text or a pair of texts, not {len(item)} of them")
        else:
            rows.append((check_one(item[0], f"{name}[0]", split), check_one(item[1], f"{name}[1]", split)))
    return rows


def is_ids(value: Any) -> bool:
    """Whether a value is a non-empty list of integers."""
    is_list = isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray)
    return is_list and len(value) > 0 and all(map(is_integer, value))
