"""What a caller may hand to a model: checked, completed with the defaults, and brought to one form."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from convbert_np.config import ConvBertConfig
from convbert_np.tree import Tree

ARGUMENTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids", "head_mask", "inputs_embeds")


def by_name(*values: Any) -> dict[str, Any]:
    """The arguments of a call under their names, in documented order."""
    return dict(zip(ARGUMENTS, values, strict=True))


def unpack(first: Any, given: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call whose first one may be a list or tuple of arrays in documented order, or a dict of all.

    `given` holds the arguments by name in documented order, input_ids first. A list is one of arguments if it begins with an
    array of ids (B, S), or with None; a list of numbers, or of lists of numbers, is the ids themselves.
    Source: the calling conventions of the TensorFlow classes in transformers 4.37.2.
    """
    if isinstance(first, Mapping):
        packed = dict(first)
        unknown = [name for name in packed if name not in given]
        if unknown:
            raise ValueError(f"input_ids: the dict has the unknown keys {unknown}; allowed are {list(given)}")
    elif isinstance(first, list | tuple) and first and (first[0] is None or is_batch(first[0])):
        if len(first) > len(given):
            raise ValueError(f"input_ids: a list of {len(first)} arrays; at most {len(given)} are allowed: {list(given)}")
        packed = dict(zip(given, first, strict=False))
    else:
        return given
    packed = {name: value for name, value in packed.items() if value is not None}
    twice = [name for name in packed if name != "input_ids" and given[name] is not None]
    if twice:
        raise ValueError(f"{twice[0]}: is given twice, in the first argument and by keyword")
    return given | {"input_ids": None} | packed


def is_batch(item: Any) -> bool:
    """Whether this is an array with a batch axis, rather than one row of ids."""
    return hasattr(item, "__array_function__") and item.ndim >= 2


def as_array(value: Any, name: str) -> Any:
    """`value` as an array; an array of another library that speaks NumPy's protocols stays what it is."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name}: a masked array is not understood; fill it first")
    if hasattr(value, "__array_function__") and not isinstance(value, np.ndarray):
        return value
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{name}: is not rectangular: its rows differ in length (pad them first)") from error
    if array.dtype.kind not in "biufc":
        raise TypeError(f"{name}: must hold numbers, got {type(value).__name__}")
    return array


def as_integers(value: Any, name: str, low: int, high: int, what: str) -> Any:
    """`value` as an array of integers in [low, high). Raises TypeError or ValueError that names the argument."""
    array = as_array(value, name)
    if array.size:
        if array.dtype.kind not in "iu":
            raise TypeError(f"{name}: must be integers, got dtype {array.dtype}")
        least, most = int(array.min()), int(array.max())
        if least < low or most >= high:
            raise ValueError(f"{name}: must be in [{low}, {high}) ({what}), got values from {least} to {most}")
    return array.copy()  # the caller may fill the batch anew before the backward


def check_shape(array: Any, name: str, allowed: list[tuple[int, ...]]) -> Any:
    """Return the array if its shape is one of those allowed, else raise ValueError that names the argument."""
    if array.shape not in allowed:
        shapes = " or ".join(map(str, dict.fromkeys(allowed)))
        raise ValueError(f"{name}: must have the shape {shapes}, got {array.shape}")
    return array


def flatten_choices(arguments: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Fold the choices of multiple-choice arguments (B, C, ...) into the batch: (B*C, ...), and tell C."""
    folded, choices = dict(arguments), set()
    for name in ("input_ids", "attention_mask", "token_type_ids", "position_ids", "inputs_embeds"):
        if arguments[name] is not None:
            array = as_array(arguments[name], name)
            axes = 4 if name == "inputs_embeds" else 3
            if array.ndim != axes:
                raise ValueError(
                    f"{name}: must have {axes} axes for multiple choice, (batch, choices, sequence"
                    f"{', embedding' if axes == 4 else ''}), got the shape {array.shape}"
                )
            choices.add(array.shape[1])
            folded[name] = array.reshape(-1, *array.shape[2:])
    if len(choices) > 1:
        raise ValueError(f"input_ids: the arguments disagree on the number of choices: {sorted(choices)}")
    if not choices:
        raise ValueError("input_ids: You have to specify either input_ids or inputs_embeds")
    return folded, choices.pop()


def prepare(arguments: dict[str, Any], config: ConvBertConfig, dtype: Any) -> Tree:
    """Check the arguments of a call and complete them.

    Returns input_ids (B, S) or None, inputs_embeds (B, S, E) or None, token_type_ids and position_ids (B or 1, S), mask (the
    additive mask, broadcastable to (B, N, S, S), or None) and head_masks (a list, one per layer, or None).
    Raises ValueError or TypeError that names the argument, what was given and what is allowed.
    """
    input_ids, inputs_embeds = arguments["input_ids"], arguments["inputs_embeds"]
    if input_ids is not None and inputs_embeds is not None:
        raise ValueError("input_ids: You cannot specify both input_ids and inputs_embeds at the same time")
    if input_ids is None and inputs_embeds is None:
        raise ValueError("input_ids: You have to specify either input_ids or inputs_embeds")
    if input_ids is not None:
        input_ids = as_integers(input_ids, "input_ids", 0, config.vocab_size, "vocab_size")
        like, shape = input_ids, input_ids.shape
        if len(shape) != 2 or 0 in shape:
            raise ValueError(f"input_ids: must have the shape (batch, sequence), neither of them 0, got {shape}")
    else:
        inputs_embeds = as_floats(inputs_embeds, "inputs_embeds", dtype)
        like, shape = inputs_embeds, inputs_embeds.shape[:2]
        if inputs_embeds.ndim != 3 or 0 in inputs_embeds.shape or inputs_embeds.shape[2] != config.embedding_size:
            raise ValueError(
                f"inputs_embeds: must have the shape (batch, sequence, embedding_size {config.embedding_size}), none of them 0, "
                f"got {inputs_embeds.shape}"
            )
    return {
        "input_ids": input_ids,
        "inputs_embeds": inputs_embeds,
        "token_type_ids": prepare_token_types(arguments["token_type_ids"], shape, config, like),
        "position_ids": prepare_positions(arguments["position_ids"], shape, config, like),
        "mask": prepare_mask(arguments["attention_mask"], shape, dtype),
        "head_masks": prepare_head_masks(arguments["head_mask"], shape, config, dtype),
    }


def as_floats(value: Any, name: str, dtype: Any) -> Any:
    """`value` as an array of the model's dtype; another float dtype is refused rather than converted in silence."""
    array = as_array(value, name)
    real = hasattr(value, "dtype") or array.dtype.kind in "iuf"
    if not real or (array.dtype != dtype and hasattr(value, "dtype")):
        raise TypeError(f"{name}: must be {np.dtype(dtype)} like the model, got {array.dtype}; convert it with .astype")
    return array.astype(dtype)


def prepare_token_types(token_type_ids: Any, shape: tuple[int, int], config: ConvBertConfig, like: Any) -> Any:
    """The segment of every token, 0 by default."""
    if token_type_ids is None:
        return np.zeros_like(like, shape=shape, dtype=np.int64)
    ids = as_integers(token_type_ids, "token_type_ids", 0, config.type_vocab_size, "type_vocab_size")
    return check_shape(ids, "token_type_ids", [shape, (1, shape[1])])


def prepare_positions(position_ids: Any, shape: tuple[int, int], config: ConvBertConfig, like: Any) -> Any:
    """The position of every token, counted from 0 by default."""
    length, most = shape[1], config.max_position_embeddings
    if position_ids is not None:
        ids = as_integers(position_ids, "position_ids", 0, most, "max_position_embeddings")
        return check_shape(ids, "position_ids", [shape, (1, length), (length,)]).reshape(-1, length)
    if length > most:
        name = "input_ids" if like.ndim == 2 else "inputs_embeds"
        raise ValueError(f"{name}: a sequence of {length} tokens is longer than the max_position_embeddings {most}")
    return np.cumsum(np.ones_like(like, shape=(1, length), dtype=np.int64), axis=1) - 1


def prepare_mask(attention_mask: Any, shape: tuple[int, int], dtype: Any) -> Any:
    """The additive mask: 0 where attention is allowed (attention_mask 1), the most negative number where not (0); None for none.

    mask = (1 - attention_mask) * min, linear in between: 0.5 masks as well. A row of 0 only attends to all alike.
    Shapes: attention_mask (B or 1, S) -> (., 1, 1, S), or (B or 1, S, S) -> (., 1, S, S).
    """
    batch, length = shape
    if attention_mask is None:
        return None
    given = as_array(attention_mask, "attention_mask")
    if given.dtype.kind not in number_kinds(dtype) or not bool(np.all((given.real >= 0) & (given.real <= 2))):
        raise ValueError("attention_mask: must hold numbers: 1 attends, 0 does not (a number between works, up to 2)")
    check_shape(given, "attention_mask", [(b, *rest) for rest in ((length,), (length, length)) for b in (batch, 1)])
    expanded = given[:, None, None, :] if given.ndim == 2 else given[:, None, :, :]
    return (1 - expanded.astype(dtype)) * np.finfo(dtype).min


def number_kinds(dtype: Any) -> str:
    """The kinds of numbers that a model of this dtype can take: complex ones only if it is complex."""
    return "biufc" if np.dtype(dtype).kind == "c" else "biuf"


def prepare_head_masks(head_mask: Any, shape: tuple[int, int], config: ConvBertConfig, dtype: Any) -> list | None:
    """One factor per attention head and layer: (N,), (L, N) or (L, B or 1, N, S or 1, S or 1); the convolution has none."""
    if head_mask is None:
        return None
    array = as_array(head_mask, "head_mask")
    if array.dtype.kind not in number_kinds(dtype):
        raise TypeError(f"head_mask: must hold numbers, got dtype {array.dtype}")
    (batch, length), layers, heads = shape, config.num_hidden_layers, config.num_heads
    full = [(layers, b, heads, s, t) for b in (1, batch) for s in (1, length) for t in (1, length)]
    if array.shape not in [(heads,), (layers, heads), *full]:
        raise ValueError(
            f"head_mask: must have the shape (heads,) = {(heads,)}, (layers, heads) = {(layers, heads)} or "
            f"(layers, batch or 1, heads, sequence or 1, sequence or 1), got {array.shape}; a layer has "
            f"{heads} attention heads: num_attention_heads {config.num_attention_heads} // head_ratio {config.head_ratio}"
        )
    array = array.astype(dtype)
    if array.ndim == 1:
        return [array[None, :, None, None]] * layers
    return [one[None, :, None, None] if array.ndim == 2 else one for one in array]
