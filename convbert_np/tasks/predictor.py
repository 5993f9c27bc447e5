"""From examples to predictions and metrics: what training, evaluation and prediction share, and `Predictor`."""

import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, NamedTuple

import numpy as np

from convbert_np.checkpoints.pretrained import load_pretrained
from convbert_np.config import ConvBertConfig
from convbert_np.interface.base import ConvBertPreTrainedModel
from convbert_np.progress import Progress
from convbert_np.tasks.batches import Row, run_rows
from convbert_np.tasks.catalogue import task_of
from convbert_np.tasks.task import Task
from convbert_np.tokenization import ConvBertTokenizerFast

Examples = str | os.PathLike[str] | Sequence[Any]


def examples_of(task: Task, data: Examples, labelled: bool = True) -> list[Any]:
    """The examples of a file, or those given. Raises ValueError if there are none."""
    examples = task.read(data, labelled) if isinstance(data, str | os.PathLike) else list(data)
    if not examples:
        raise ValueError("data: there are no examples")
    return examples


def tokenized(
    task: Task, examples: Sequence[Any], tokenizer: ConvBertTokenizerFast, labelled: bool, show: bool | None = False
) -> list[Row]:
    """The rows of examples, a thousand examples at a time for the progress bar."""
    rows: list[Row] = []
    with Progress("tokens", len(examples), "examples", show=show if examples else False) as bar:
        for begin in range(0, len(examples), 1000):
            some = examples[begin : begin + 1000]
            rows += [row._replace(example=row.example + begin) for row in task.rows(some, tokenizer, labelled)]
            bar.advance(len(some))
    return rows


def evaluate(
    model: ConvBertPreTrainedModel,
    task: Task,
    examples: Sequence[Any],
    rows: Sequence[Row],
    pad_token_id: int,
    batch_size: int = 32,
) -> dict[str, float]:
    """The metrics of the task on labelled examples, and mean_loss, over all labels, if a row has one."""
    outputs, loss = run_rows(model, rows, pad_token_id, batch_size)
    return ({} if np.isnan(loss) else {"mean_loss": loss}) | task.score(examples, task.decode(examples, rows, outputs))


class Predictor(NamedTuple):
    """A fine-tuned model with its task and tokenizer."""

    task: Task
    model: ConvBertPreTrainedModel
    tokenizer: ConvBertTokenizerFast

    @classmethod
    def from_pretrained(cls, directory: str | os.PathLike[str], dtype: Any = np.float32, **options: Any) -> "Predictor":
        """What fine-tuning left in a directory; `options` of the task take the place of those it was fine-tuned with.

        Raises ValueError or TypeError if the model was not fine-tuned for a task, or naming the option.
        """
        task = task_of(ConvBertConfig.from_pretrained(directory))
        unknown = options.keys() - asdict(task).keys()
        if unknown:
            raise TypeError(f"{sorted(unknown)[0]}: is no option of the task {task.name}: {', '.join(asdict(task))}")
        task = replace(task, **options)
        model, report = load_pretrained(task.kind, directory, dtype)
        if report.missing_keys:
            raise ValueError(f"model: {directory} lacks {', '.join(report.missing_keys)}: it was not fine-tuned")
        return cls(task.within(model.config), model, ConvBertTokenizerFast.from_pretrained(directory))

    def __call__(self, data: Examples, batch_size: int = 32, show: bool | None = False) -> list[Any]:
        """A prediction for each example, or for each example of a file; labels are not looked at."""
        examples = examples_of(self.task, data, labelled=False)
        rows = tokenized(self.task, examples, self.tokenizer, False, show)
        with Progress("predicted", len(rows), "rows", show=show) as bar:
            outputs, _ = run_rows(self.model, rows, self.tokenizer.pad_token_id, batch_size, bar.advance)
        return self.task.decode(examples, rows, outputs)
