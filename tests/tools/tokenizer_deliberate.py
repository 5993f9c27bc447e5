"""Where our tokenizers differ from the reference on purpose: each kind of case has a line here, and nothing else may differ.

An entry is a reason and a predicate of the case, our outcome and the reference's. The predicates see only cases
that disagree; the comparisons print how many cases each reason accounts for.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

NO_LIMIT = int(1e30)


class Saved(NamedTuple):
    """A case of save_pretrained: its answer (under this name) or one of the files.

    kind    "slow" or "fast"
    legacy  the argument legacy_format
    prefix  the argument filename_prefix
    name    the file
    label   how the tokenizer was made
    """

    kind: str
    legacy: bool | None
    prefix: str | None
    name: str
    label: str


def refused(ours: Any, theirs: Any, error: type[Exception] = ValueError) -> bool:
    """Whether ours raised this error where the reference gave an answer."""
    return isinstance(ours, error) and not isinstance(theirs, BaseException)


def answered(ours: Any, theirs: Any, error: type[Exception]) -> bool:
    """Whether ours gave an answer where the reference broke with this error."""
    return isinstance(theirs, error) and not isinstance(ours, BaseException)


def arguments_of(case: Any) -> dict[str, Any]:
    """The arguments of a case that is a call of a tokenizer; {} for another."""
    return getattr(case, "arguments", {})


def is_short(case: Any) -> bool:
    """Whether a call truncates to less than its special tokens."""
    arguments = arguments_of(case)
    limit = arguments.get("max_length")
    if limit is None:
        limit = case.attributes.get("model_max_length", NO_LIMIT) if arguments else NO_LIMIT
    rows = arguments.get("text") if isinstance(arguments.get("text"), list) else []
    pair = "text_pair" in arguments or any(isinstance(row, tuple) for row in rows)
    cuts = arguments.get("truncation") not in (False, "do_not_truncate") and arguments.get("add_special_tokens", True)
    return cuts and limit < (3 if pair else 2)


def is_mixed(case: Any) -> bool:
    """Whether one of the inputs of a call is one text, and another, or an entry, is of another kind."""
    arguments = arguments_of(case)
    text, pair = arguments.get("text"), arguments.get("text_pair")
    entries = {type(row) for row in text} if isinstance(text, list) else set()
    return len(entries) > 1 or (pair is not None and type(text) is not type(pair))


def is_array(value: Any) -> bool:
    """Whether a part of an outcome is an array, as `plain` writes it: "array", dtype, shape, values."""
    return isinstance(value, list | tuple) and list(value[:1]) == ["array"]


def is_ragged(value: Any) -> bool:
    """Whether there is an array of arrays among the results."""
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list | tuple):
        return False
    return (is_array(value) and value[1] == "object") or any(is_ragged(entry) for entry in value)


def without_dtypes(value: Any) -> Any:
    """An outcome with the dtype of every empty array taken out."""
    if is_array(value) and 0 in value[2]:
        return "array", value[2]
    if isinstance(value, list | tuple):
        return type(value)(without_dtypes(entry) for entry in value)
    return {key: without_dtypes(entry) for key, entry in value.items()} if isinstance(value, dict) else value


def is_method(case: Any, *names: str) -> bool:
    """Whether a case is a call of one of these methods."""
    return isinstance(case, tuple) and not arguments_of(case) and any(type(part) is str and part in names for part in case[:2])


def is_lookup(case: Any) -> bool:
    """Whether a case is a call of one of the methods that lead between tokens, words and characters."""
    names = (
        "token_to_sequence",
        "token_to_word",
        "token_to_chars",
        "word_to_tokens",
        "word_to_chars",
        "char_to_token",
        "char_to_word",
    )
    return isinstance(case, tuple) and any(type(part) is str and part in names for part in case[:2])


DELIBERATE: list[tuple[str, Callable[[Any, Any, Any], bool]]] = [
    ("max_length smaller than the number of special tokens", lambda case, ours, theirs: refused(ours, theirs) and is_short(case)),
    ("rows of several lengths as one array", lambda case, ours, theirs: refused(ours, theirs) and is_ragged(theirs)),
    ("an empty array is int64, not float64", lambda case, ours, theirs: without_dtypes(ours) == without_dtypes(theirs)),
    (
        "one text beside many, or entries of several kinds",
        lambda case, ours, theirs: refused(ours, theirs, TypeError) and is_mixed(case),
    ),
    (
        "an argument that no method knows, that is deprecated or that no page mentions",
        lambda case, ours, theirs: (
            refused(ours, theirs, TypeError)
            and bool({"unknown_argument", "pad_to_max_length", "split_special_tokens"} & set(arguments_of(case)))
        ),
    ),
    (
        "an id that is a string of digits",
        lambda case, ours, theirs: refused(ours, theirs, TypeError) and is_method(case, "convert_ids_to_tokens"),
    ),
    (
        "an id that is a NumPy integer",
        lambda case, ours, theirs: answered(ours, theirs, TypeError) and is_method(case, "convert_ids_to_tokens", "decode"),
    ),
    (
        "one string where a batch belongs",
        lambda case, ours, theirs: refused(ours, theirs, TypeError) and is_method(case, "batch_encode_plus"),
    ),
    (
        "a negative index of a token, which breaks the reference",
        lambda case, ours, theirs: is_lookup(case) and isinstance(theirs, AttributeError | OverflowError | TypeError),
    ),
    (
        "a second text that there is not",
        lambda case, ours, theirs: is_lookup(case) and refused(ours, theirs) and "sequence_index" in str(ours),
    ),
    (
        "an empty filename_prefix, of which the fast class of the reference makes a hyphen",
        lambda case, ours, theirs: (
            isinstance(case, Saved)
            and (case.kind, case.prefix) == ("fast", "")
            and (
                (case.name == "-vocab.txt" and ours is None)
                or (case.name == "vocab.txt" and theirs is None)
                or (case.name == "save_pretrained" and ours == sorted(name.replace("-vocab", "vocab") for name in theirs))
            )
        ),
    ),
    (
        "arguments of tokenize that the slow class of the reference takes and ignores",
        lambda case, ours, theirs: refused(ours, theirs, TypeError) and is_method(case, "tokenize"),
    ),
    (
        "rows of ids as a batch, which the documentation of the reference promises",
        lambda case, ours, theirs: answered(ours, theirs, ValueError) and is_method(case, "batch_encode_plus"),
    ),
    (
        "pad of nothing returns an encoding, not the dict that it was given",
        lambda case, ours, theirs: is_method(case, "pad") and isinstance(theirs, dict) and ours == list(theirs.items()),
    ),
    (
        "the mask of special tokens that prepare_for_model of the fast class cannot make in the reference",
        lambda case, ours, theirs: answered(ours, theirs, AssertionError) and is_method(case, "prepare_for_model"),
    ),
    (
        "nothing as an array",
        lambda case, ours, theirs: answered(ours, theirs, ValueError) and is_method(case, "prepare_for_model") and not case[1][0],
    ),
    (
        "an unknown strategy where nothing is to be cut",
        lambda case, ours, theirs: refused(ours, theirs) and is_method(case, "truncate_sequences") and "strategy" in str(ours),
    ),
    ("an index beyond the row", lambda case, ours, theirs: is_lookup(case) and isinstance(ours, IndexError) and theirs is None),
    (
        "files are written before an argument is found to be wrong",
        lambda case, ours, theirs: (
            isinstance(case, Saved)
            and (case.kind, case.legacy) == ("slow", False)
            and ours is None
            and case.name.endswith(("tokenizer_config.json", "special_tokens_map.json"))
        ),
    ),
    (
        "a file is said to be written that was not",
        lambda case, ours, theirs: (
            isinstance(case, Saved)
            and case.name == "save_pretrained"
            and isinstance(ours, list)
            and sorted({*theirs} - {*ours}) == ["added_tokens.json"]
            and not {*ours} - {*theirs}
        ),
    ),
    (
        "unknown words after unk_token was given to the fast class under a name that is not in the vocabulary",
        lambda case, ours, theirs: not isinstance(ours, BaseException) and "Missing [UNK] token" in str(theirs),
    ),
    (
        "two texts as one text of encode",
        lambda case, ours, theirs: refused(ours, theirs, TypeError) and is_method(case, "encode", "encode_plus"),
    ),
]


def deliberate(case: Any, ours: Any, theirs: Any) -> str | None:
    """The reason for which two outcomes may differ, or None."""
    return next((reason for reason, applies in DELIBERATE if applies(case, ours, theirs)), None)
