"""The arguments of a call, checked: which padding, which truncation, to which length, and what to return."""

from dataclasses import dataclass, fields
from typing import Any

from convbert_np.tokenization.batch import check_tensors
from convbert_np.tokenization.checks import check_flag, check_number
from convbert_np.tokenization.notices import warn
from convbert_np.tokenization.settings import NO_LIMIT

PADDINGS = ("do_not_pad", "longest", "max_length")
TRUNCATIONS = ("do_not_truncate", "longest_first", "only_first", "only_second")
LARGE = 10**20


@dataclass(frozen=True)
class Options:
    """The arguments of a call that do not hold text, as `choose` has settled them."""

    add_special_tokens: bool = True
    padding: str = "do_not_pad"
    truncation: str = "do_not_truncate"
    max_length: int | None = None
    stride: int = 0
    is_split_into_words: bool = False
    pad_to_multiple_of: int | None = None
    return_tensors: str | None = None
    return_token_type_ids: bool | None = None
    return_attention_mask: bool | None = None
    return_overflowing_tokens: bool = False
    return_special_tokens_mask: bool = False
    return_offsets_mapping: bool = False
    return_length: bool = False
    verbose: bool = True


FLAGS = (
    "add_special_tokens",
    "is_split_into_words",
    "return_overflowing_tokens",
    "return_special_tokens_mask",
    "return_offsets_mapping",
    "return_length",
    "verbose",
)
UNSET_FLAGS = ("return_token_type_ids", "return_attention_mask")
ARGUMENTS = (
    "text",
    "text_pair",
    "text_target",
    "text_pair_target",
    *(field.name for field in fields(Options)),
)


def choose(
    padding: Any = False,
    truncation: Any = None,
    max_length: int | None = None,
    stride: int = 0,
    pad_to_multiple_of: int | None = None,
    return_tensors: str | None = None,
    model_max_length: int = NO_LIMIT,
    **flags: Any,
) -> Options:
    """Settle the strategies and the length.

    padding     False or "do_not_pad"; True or "longest"; "max_length"
    truncation  None, False or "do_not_truncate"; True or "longest_first"; "only_first"; "only_second"
    max_length  None: the tokenizer's model_max_length where it is needed; where there is none either, a warning
                is given and rows are left as they are

    A max_length with neither padding nor truncation truncates, with a warning, unless truncation is False.
    Raises TypeError or ValueError naming the argument.
    Source: PreTrainedTokenizerBase._get_padding_truncation_strategies of transformers 4.37.2.
    """
    check_flags(flags)
    check_tensors(return_tensors)
    verbose = flags.get("verbose", True)
    max_length = check_number(max_length, "max_length", 0)
    stride = check_number(stride, "stride", 0) or 0
    pad_to_multiple_of = check_number(pad_to_multiple_of, "pad_to_multiple_of", 1)
    padded = strategy(padding, "padding", PADDINGS, "longest")
    truncated = strategy(truncation, "truncation", TRUNCATIONS, "longest_first")
    if max_length is not None and padding is False and truncation is None:
        tell(verbose, "max_length is given without truncation: rows are truncated as by truncation='longest_first'")
        truncated = "longest_first"
    if max_length is not None and padded == "longest" and truncated == "do_not_truncate":
        tell(verbose, "max_length is ignored: padding=True pads to the longest row; use padding='max_length' or truncation=True")
    if max_length is None and model_max_length > LARGE:
        for name, chosen in (("padding", padded == "max_length"), ("truncation", truncated != "do_not_truncate")):
            if chosen:
                tell(verbose, f"{name} needs a max_length, and this tokenizer has no model_max_length: rows are left as they are")
        padded = "do_not_pad" if padded == "max_length" else padded
        truncated = "do_not_truncate"
    elif max_length is None and (padded == "max_length" or truncated != "do_not_truncate"):
        max_length = model_max_length
    both = padded != "do_not_pad" and truncated != "do_not_truncate"
    if both and pad_to_multiple_of and max_length is not None and max_length % pad_to_multiple_of:
        raise ValueError(f"max_length {max_length} is no multiple of pad_to_multiple_of {pad_to_multiple_of}")
    return Options(
        padding=padded,
        truncation=truncated,
        max_length=max_length,
        stride=stride,
        pad_to_multiple_of=pad_to_multiple_of,
        return_tensors=return_tensors,
        **flags,
    )


def tell(verbose: bool, message: str) -> None:
    """Warn the caller of the tokenizer, if it wants to hear."""
    if verbose:
        warn(message)


def check_flags(flags: dict[str, Any]) -> None:
    """Raise TypeError for an argument that there is not, or that is not True or False."""
    for name, value in flags.items():
        if name in UNSET_FLAGS and value is None:
            continue
        if name not in (*FLAGS, *UNSET_FLAGS):
            hint = "; use padding='max_length'" if name == "pad_to_max_length" else ""
            raise TypeError(f"a tokenizer's call has no argument {name!r}{hint}; it has {', '.join(ARGUMENTS)}")
        check_flag(value, name)


def strategy(value: Any, argument: str, names: tuple[str, ...], default: str) -> str:
    """The strategy that a boolean, None or a name (also an enum's value) stands for."""
    if value is None or value is False:
        return names[0]
    if value is True:
        return default
    name = getattr(value, "value", value)
    if not isinstance(name, str) or name not in names:
        raise ValueError(f"{argument} must be True, False or one of {', '.join(names)}, not {value!r}")
    return name
