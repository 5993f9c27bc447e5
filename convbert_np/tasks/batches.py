"""From rows of ids to the arguments of a call: padded to the longest of a batch, or in batches that need no padding."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from convbert_np.interface.base import ConvBertPreTrainedModel
from convbert_np.interface.objectives import IGNORED

NOWHERE = 1 << 30  # a start and an end of an answer that the loss passes over: beyond every row


class Row(NamedTuple):
    """What the model reads of an example, or of a part of it.

    inputs   the arguments of the call as lists: input_ids, token_type_ids (both S, or C lists of them for C choices) and, where
             they are known, labels, or start_positions and end_positions
    example  the number of the example
    places   where the tokens come from, for tasks that must know
    """

    inputs: dict[str, Any]
    example: int
    places: Any = None

    @property
    def shape(self) -> tuple[int, ...]:
        """(S,), or (S, C) where there are choices, of which the longest has S ids."""
        ids = self.inputs["input_ids"]
        return (max(map(len, ids)), len(ids)) if isinstance(ids[0], list) else (len(ids),)


def padded(values: Sequence[Any], fill: int) -> np.ndarray:
    """Numbers, or lists of numbers, or lists of such lists, as one array: lists are filled up to the longest.

    Shapes: (B,), (B, S) or (B, C, S).
    """
    if not isinstance(values[0], list):
        return np.array(values)
    if isinstance(values[0][0], list):
        flat = padded([part for value in values for part in value], fill)
        return flat.reshape(len(values), -1, flat.shape[-1])
    length = max(map(len, values))
    return np.array([value + [fill] * (length - len(value)) for value in values])


def batch_of(rows: Sequence[Row], pad_token_id: int) -> dict[str, np.ndarray]:
    """The arguments of a call for some rows, with an attention_mask if there is padding."""
    fills = {"input_ids": pad_token_id, "labels": IGNORED}
    batch = {name: padded([row.inputs[name] for row in rows], fills.get(name, 0)) for name in rows[0].inputs}
    attends = padded([ones(row.inputs["input_ids"]) for row in rows], 0)
    return batch if attends.all() else batch | {"attention_mask": attends}


def ones(ids: Any) -> Any:
    """The same lists with a 1 for every id."""
    return [ones(part) for part in ids] if isinstance(ids[0], list) else [1] * len(ids)


def weight_of(row: Row) -> int:
    """How many labels a row has: those of its tokens that are not -100; 0 for an answer that is nowhere; else 1."""
    labels = row.inputs.get("labels")
    if row.inputs.get("start_positions") == NOWHERE:
        return 0
    is_by_token = isinstance(labels, list) and isinstance(labels[0], int)
    return sum(label != IGNORED for label in labels) if is_by_token else 1  # type: ignore[union-attr]


def alike(rows: Sequence[Row], batch_size: int) -> Iterator[list[int]]:
    """The numbers of all rows in batches of one shape, the longest first.

    ConvBERT's convolution reads the padding that follows a text. So without padding a prediction does not depend on what is
    predicted beside it.
    """
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for number, row in enumerate(rows):
        by_shape.setdefault(row.shape, []).append(number)
    for shape in sorted(by_shape, reverse=True):
        numbers = by_shape[shape]
        yield from (numbers[begin : begin + batch_size] for begin in range(0, len(numbers), batch_size))


def run_rows(
    model: ConvBertPreTrainedModel,
    rows: Sequence[Row],
    pad_token_id: int,
    batch_size: int = 32,
    tell: Callable[[int], None] = lambda number: None,
) -> tuple[list[dict[str, np.ndarray]], float]:
    """The outputs of the model for every row, by name, and the mean loss over all labels (nan if there are none).

    `tell` is called with the number of rows of each batch that is done.
    """
    outputs: list[dict[str, np.ndarray]] = [{}] * len(rows)
    total, count = 0.0, 0
    for numbers in alike(rows, batch_size):
        batch: dict[str, Any] = batch_of([rows[number] for number in numbers], pad_token_id)
        weight = sum(weight_of(rows[number]) for number in numbers)
        if not weight:  # the mean over no label is nan
            batch = {name: value for name, value in batch.items() if name not in model.labels_of}
        out = model(**batch, keep_cache=False)
        if "loss" in out and out.loss is not None:
            total, count = total + weight * float(out.loss), count + weight
        for place, number in enumerate(numbers):
            outputs[number] = {name: out[name][place] for name in model.outputs}
        tell(len(numbers))
    return outputs, total / count if count else float("nan")
