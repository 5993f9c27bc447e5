"""Fine-tuning: a pre-trained model and the examples of a task; every task by the same function."""

import hashlib
import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from convbert_np.checkpoints.pretrained import load_pretrained
from convbert_np.config import ConvBertConfig
from convbert_np.interface.base import ConvBertPreTrainedModel
from convbert_np.interface.models import ConvBertModel
from convbert_np.progress import Progress
from convbert_np.tasks import TASKS, Task
from convbert_np.tasks.batches import Row, batch_of, weight_of
from convbert_np.tasks.predictor import Examples, evaluate, examples_of, tokenized
from convbert_np.tokenization import ConvBertTokenizerFast
from convbert_np.training.corpus import Part, held_out, rows_of_step
from convbert_np.training.loop import Record, Settings, run_directory, train

Start = str | os.PathLike[str] | ConvBertConfig
BODY = "convbert."


class Prepared(NamedTuple):
    """A task with its labels, the tokenizer, rows to train on, and examples to evaluate on, with their rows."""

    task: Task
    tokenizer: ConvBertTokenizerFast
    start: Start
    rows: list[Row]
    held: list[Any]
    held_rows: list[Row]

    def steps(self, epochs: float, batch_size: int) -> int:
        """How many steps go through the rows so many times."""
        return max(1, round(epochs * len(self.rows) / batch_size))


def finetune(
    task: str | Task,
    data: Examples | Prepared,
    model: Start,
    settings: Settings,
    *,
    evaluation: Examples | float | None = None,
    tokenizer: ConvBertTokenizerFast | None = None,
    batch_size: int = 32,
    accumulation: int = 1,
    seed: int = 0,
    directory: str | os.PathLike[str] | None = None,
    dtype: Any = np.float32,
    progress: Progress | None = None,
) -> tuple[ConvBertPreTrainedModel, Iterator[Record]]:
    """A model with a new head and the steps of its fine-tuning: iterate over them to train it.

        settings = Settings(steps=500, learning_rate=1e-4, warmup_steps=50, layerwise_decay=0.8)
        model, records = finetune("classification", "train.csv", "pretrained", settings, evaluation=0.1)
        for record in records: ...

    task          its name, or a task with its options, such as Classification(text="review")
    data          a file, examples, or what `prepare` returned, which `evaluation` and `tokenizer` then are part of
    model         where a pre-trained model is (any that from_pretrained reads), or a configuration: random weights
    evaluation    a file or examples to evaluate on, or the share of `data` that is held out for it; None: no evaluation
    tokenizer     that of the model's directory, if it is None
    batch_size    rows per step, each padded to the longest of its part; they are computed in `accumulation` parts
    seed          of the head, the split, the order and the dropout
    directory     see `train`: a run that was killed goes on

    Its configuration names the labels and holds the task's options, so that `predict` needs no more than what the model's and
    the tokenizer's save_pretrained leave. Raises ValueError naming the argument, or the file and the line.
    """
    ready = data if isinstance(data, Prepared) else prepare(task, data, model, evaluation, tokenizer, seed)
    if not 1 <= accumulation <= batch_size:
        raise ValueError(f"accumulation: must be between 1 and batch_size {batch_size}, got {accumulation}")
    network = with_head(ready.task, ready.start, ready.tokenizer, seed, dtype)
    pad = ready.tokenizer.pad_token_id
    about = {"task": ready.task.name, "options": asdict(ready.task), "batch_size": batch_size, "accumulation": accumulation}
    about |= {"seed": seed, "dtype": np.dtype(dtype).name, "data": fingerprint(ready), "model": checksum(network)}

    def parts_of(step: int) -> Iterator[Part]:
        return parts_of_step(ready.rows, step, seed, batch_size, accumulation, pad)

    def evaluate_now(current: ConvBertPreTrainedModel) -> Mapping[str, float]:
        return evaluate(current, ready.task, ready.held, ready.held_rows, pad, batch_size)

    check = evaluate_now if ready.held else None
    directory = None if directory is None else run_directory(directory)
    return network, train(network, parts_of, settings, directory, evaluate=check, about=about, progress=progress)


def prepare(
    task: str | Task,
    data: Examples,
    model: Start,
    evaluation: Examples | float | None = None,
    tokenizer: ConvBertTokenizerFast | None = None,
    seed: int = 0,
    show: bool | None = False,
) -> Prepared:
    """Examples read, labels collected, texts tokenized: all of `finetune` that comes before the model; `show`: a progress bar."""
    if isinstance(task, str) and task not in TASKS:
        raise ValueError(f"task: must be one of {', '.join(TASKS)}, got {task!r}")
    task = TASKS[task]() if isinstance(task, str) else task
    if tokenizer is None:
        if isinstance(model, ConvBertConfig):
            raise ValueError("tokenizer: must be given where the model is a configuration")
        tokenizer = ConvBertTokenizerFast.from_pretrained(model)
    config = model if isinstance(model, ConvBertConfig) else config_in(model)
    examples, held = examples_of(task, data), []
    task = in_order_of(task.within(config).fitted(examples), config)
    if isinstance(evaluation, int | float):
        examples, held = split(task, examples, evaluation, seed) if evaluation else (examples, [])
    elif evaluation is not None:
        held = examples_of(task, evaluation)
    task.check([*examples, *held])
    rows = [row for row in tokenized(task, examples, tokenizer, True, show) if weight_of(row)]
    if not rows:
        raise ValueError("data: holds no token to train on")
    return Prepared(task, tokenizer, model, rows, held, tokenized(task, held, tokenizer, True, show))


def in_order_of(task: Task, config: ConvBertConfig) -> Task:
    """The task with its labels numbered as in a model that was fine-tuned for the same labels before."""
    known = [config.id2label[index] for index in range(config.num_labels)]
    same = config.architectures == [task.kind.__name__] and set(task.labels) == set(known)
    return replace(task, labels=tuple(known)) if same else task


def split(task: Task, examples: list[Any], share: float, seed: int) -> tuple[list[Any], list[Any]]:
    """Examples to train on and a share of them to evaluate on; those of one group stay together."""
    groups: dict[Any, list[Any]] = {}
    for number, example in enumerate(examples):
        group = task.group(example)
        groups.setdefault(number if group is None else group, []).append(example)
    kept, held = held_out(list(groups.values()), share, seed, "examples (or groups of them that belong together)")
    return [example for group in kept for example in group], [example for group in held for example in group]


def config_in(model: str | os.PathLike[str]) -> ConvBertConfig:
    """The configuration of a pre-trained model, in whatever form it comes."""
    is_here = Path(model).exists() or Path(f"{model}.index").is_file()
    if is_here and not (Path(model) / "config.json").is_file():  # the file of the weights, or a TensorFlow 1 bundle
        return load_pretrained(ConvBertModel, model)[0].config
    return ConvBertConfig.from_pretrained(model)


def with_head(task: Task, start: Start, tokenizer: ConvBertTokenizerFast, seed: int, dtype: Any) -> ConvBertPreTrainedModel:
    """The model with the task's head: the body as it was pre-trained, or random weights where `start` is a configuration.

    A head is taken over if it is of this task and of these sizes. Raises ValueError if the vocabulary is too large for the model,
    or the body's shapes do not fit; warns if parameters of the body are missing.
    """
    config = start if isinstance(start, ConvBertConfig) else config_in(start)
    size = max(tokenizer.get_vocab().values()) + 1
    if size > config.vocab_size:
        raise ValueError(f"tokenizer: has ids up to {size - 1}, the model's vocab_size is {config.vocab_size}")
    config = ConvBertConfig.from_dict(config.to_dict(), **task.configured(config))
    if isinstance(start, ConvBertConfig):
        return task.kind(config, seed, dtype)
    model, report = load_pretrained(task.kind, start, dtype, seed, config, ignore_mismatched_sizes=True)
    wrong = [mismatch.name for mismatch in report.mismatched_keys if mismatch.name.startswith(BODY)]
    if wrong:
        raise ValueError(f"model: {start} has other shapes than its configuration says: {', '.join(wrong[:5])}")
    missing = [name for name in report.missing_keys if name.startswith(BODY)]
    if missing:
        warnings.warn(f"{start}: lacks {', '.join(missing)}; these are freshly drawn", stacklevel=3)
    return model


def parts_of_step(rows: Sequence[Row], step: int, seed: int, batch_size: int, parts: int, pad_token_id: int) -> Iterator[Part]:
    """The batch of a step in parts whose gradients are to be added up. It depends on the arguments alone."""
    chosen = [rows[index] for index in rows_of_step(len(rows), seed, step, batch_size).tolist()]
    total = sum(map(weight_of, chosen))
    for index, places in enumerate(np.array_split(np.arange(batch_size), parts)):
        part = [chosen[place] for place in places.tolist()]
        yield Part(batch_of(part, pad_token_id), {"loss": sum(map(weight_of, part)) / total}, (seed, 4, step, index))


def fingerprint(ready: Prepared) -> str:
    """A checksum of the rows: the same examples, cut in the same way, have the same."""
    digest = hashlib.sha256()
    for row in (*ready.rows, *ready.held_rows):
        digest.update(json.dumps(row.inputs, sort_keys=True).encode())
    return digest.hexdigest()


def checksum(model: ConvBertPreTrainedModel) -> str:
    """A checksum of the parameters that a run starts from."""
    digest = hashlib.sha256()
    for name, parameter in model.named_parameters().items():
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(parameter).data)
    return digest.hexdigest()
