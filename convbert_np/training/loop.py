"""The training loop: batches, gradients, steps, log, evaluation, checkpoints. A run that was killed goes on as if it had not."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convbert_np.interface.base import ConvBertPreTrainedModel
from convbert_np.progress import Progress
from convbert_np.training.corpus import Part
from convbert_np.training.optimizer import (
    BERT,
    PYTORCH,
    AdamW,
    Moments,
    accumulate,
    adamw,
    clip_coefficient,
    global_norm,
    layerwise_factors,
    new_moments,
)
from convbert_np.training.parallel import Ranks
from convbert_np.training.schedule import SCHEDULES
from convbert_np.training.state import State, append_log, begin_log, load_state, save_state
from convbert_np.tree import flatten

OPTIMIZERS = {"pytorch": PYTORCH, "bert": BERT}
Record = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """How to train.

    steps            in all
    learning_rate    at its peak
    warmup_steps     until then
    schedule         "linear", "bert" or "constant" (see schedule.py)
    optimizer        AdamW as "pytorch" has it or as "bert" does (see optimizer.py)
    weight_decay     of all but gains and biases
    max_norm         gradients are clipped to this global norm; None: not
    layerwise_decay  factor of the learning rate per layer from the top; 1: none
    recompute        of each layer keep its input alone and compute it again on the way back: less memory, the same numbers
    evaluate_every   steps between two evaluations; there is one at the end in any case
    save_every       steps between two checkpoints; there is one at the end in any case
    """

    steps: int
    learning_rate: float
    warmup_steps: int = 0
    schedule: str = "linear"
    optimizer: str = "pytorch"
    weight_decay: float = 0.01
    max_norm: float | None = 1.0
    layerwise_decay: float = 1.0
    recompute: bool = False
    evaluate_every: int = 1000
    save_every: int = 1000

    def __post_init__(self) -> None:
        for name in ("steps", "evaluate_every", "save_every"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise ValueError(f"{name}: must be an integer of at least 1, got {getattr(self, name)!r}")
        for name, known in (("schedule", SCHEDULES), ("optimizer", OPTIMIZERS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name}: must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        for name in ("learning_rate", "weight_decay", "layerwise_decay", *(["max_norm"] if self.max_norm is not None else [])):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name}: must be finite and not negative, got {getattr(self, name)!r}")
        self.factor(0)

    def factor(self, step: int) -> float:
        """The schedule's factor of the learning rate after `step` steps."""
        return SCHEDULES[self.schedule](step, self.steps, self.warmup_steps)

    def is_due(self, every: int, done: int) -> bool:
        """Whether what is to be done `every` so many steps, and at the end, is to be done after `done` of them."""
        return done == self.steps or done % every == 0

    def adamw(self) -> AdamW:
        """The constants of the optimizer."""
        return OPTIMIZERS[self.optimizer]._replace(weight_decay=self.weight_decay)


class NotFinite(FloatingPointError):
    """Training met a number that is not finite: at which step, with which arguments of the call, under which name first."""

    def __init__(self, what: str, step: int, inputs: Mapping[str, Any], name: str):
        shown = np.array2string(np.asarray(inputs.get("input_ids", [])), threshold=24, edgeitems=3, separator=",")
        batch = f"the batch's input_ids are {' '.join(shown.split())}"
        super().__init__(f"step {step}: the {what} is not finite; the first value that is not is {name}; {batch}")
        self.step, self.inputs, self.name = step, dict(inputs), name


def train(
    model: ConvBertPreTrainedModel,
    parts_of: Callable[[int], Iterable[Part]],
    settings: Settings,
    directory: str | os.PathLike[str] | None = None,
    *,
    evaluate: Callable[[ConvBertPreTrainedModel], Mapping[str, float]] | None = None,
    about: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    ranks: Ranks | None = None,
) -> Iterator[Record]:
    """Train a model in place, step by step; yields what there is to tell of each step.

        for record in train(model, parts_of, Settings(steps=1000, learning_rate=1e-3), "run"):
            print(record["step"], record["loss"])

    parts_of   the batch of a step (counted from 0), in parts whose gradients are added up; it must depend on the step alone
    directory  where checkpoint.safetensors and log.jsonl are kept; None: nowhere. If there is a checkpoint the run goes on from
               it: killed at any moment and started again, it ends with the same parameters, bit for bit
    evaluate   metrics of the model, after every `evaluate_every` steps and at the end
    about      whatever else a resumed run must have in common with the one that was begun, as JSON can hold it
    progress   a bar to be advanced
    ranks      the processes that share each batch (see parallel.py), of which rank 0 evaluates and writes; None: this one alone

    A record holds step (the number of steps done), loss and every other loss of the model, lr, norm (of the gradients, before
    clipping), seconds and, under "evaluation", the metrics. Raises NotFinite as soon as a loss or gradient is not finite: before
    that step changes anything. Raises ValueError, naming the setting, if `directory` holds a run with other settings.
    """
    params = model.named_parameters()
    ranks = ranks or Ranks()
    recorded = asdict(settings) | dict(about or {}) | ({"ranks": ranks.size} if ranks.size > 1 else {})
    with ranks.together():
        state = None if directory is None else load_state(directory, params, recorded)
        params, moments, done = state or State(params, new_moments(params), 0)
        factors = layerwise_factors(params, settings.layerwise_decay, model.config.num_hidden_layers)
    ranks.check_same(recorded | {"step": done})
    ranks.check_parameters(params)
    if ranks.rank > 0:
        directory = evaluate = progress = None
    with ranks.together():
        begin(directory, progress, done)
    for step in range(done, settings.steps):
        begun = time.monotonic()
        with ranks.together():
            grads, losses = gradients(model, ranks.mine(parts_of(step)), step, settings.recompute)
        grads, losses = ranks.sum(grads, losses)
        with ranks.together():
            record: Record = {"step": step + 1, **losses, **update(params, grads, moments, step, settings, factors)}
            del grads  # before the next step makes its own
            record["seconds"] = round(time.monotonic() - begun, 4)
            if evaluate is not None and settings.is_due(settings.evaluate_every, step + 1):
                record["evaluation"] = dict(evaluate(model))
        if settings.is_due(settings.save_every, step + 1):
            ranks.check_parameters(params)
        with ranks.together():
            if directory is not None:
                append_log(directory, record)
                if settings.is_due(settings.save_every, step + 1):
                    save_state(directory, State(params, moments, step + 1), recorded)
            if progress is not None:
                progress.title = f"loss {record['loss']:.4f}"
                progress.advance()
        yield record


def begin(directory: str | os.PathLike[str] | None, progress: Progress | None, done: int) -> None:
    """Make log and bar ready to go on after `done` steps."""
    if directory is not None:
        begin_log(directory, done)
    if progress is not None:
        progress.begin_at(done)


def update(
    params: Mapping[str, Any],
    grads: Mapping[str, Any],
    moments: Moments,
    step: int,
    settings: Settings,
    factors: Mapping[str, float],
) -> dict[str, float]:
    """Take the step, in place; the learning rate, and the norm that the gradients had before clipping."""
    norm, lr = global_norm(grads), settings.learning_rate * settings.factor(step)
    scale = clip_coefficient(norm, settings.max_norm)
    adamw(params, grads, moments, step + 1, lr, settings.adamw(), lr_factors=factors, scale=scale)
    return {"lr": lr, "norm": norm}


def gradients(
    model: ConvBertPreTrainedModel, parts: Iterable[Part], step: int = 0, recompute: bool = False
) -> tuple[dict[str, Any], dict[str, float]]:
    """The gradients of a batch, and its losses by name: sums over its parts, of each loss by the part's share of it.

    Raises NotFinite, and ValueError if there is no part.
    """
    keep = "recompute" if recompute else "backward"
    total: dict[str, Any] = {}
    losses: dict[str, float] = {}
    for part in parts:
        out = model(**part.inputs, training=True, rng=np.random.default_rng(part.seed), keep_cache=keep)
        if not np.isfinite(out.loss):
            raise NotFinite("loss", step + 1, part.inputs, first_non_finite(model, part))
        add_losses(losses, out, part, model.loss_weights)
        grads = model.backward(out, {name: weight * part.shares[name] for name, weight in model.loss_weights.items()})
        wrong = next((name for name, g in grads.items() if not np.isfinite(global_norm({name: g}))), None)
        if wrong is not None:
            raise NotFinite("gradient", step + 1, part.inputs, wrong)
        accumulate(total, grads)
    if not losses:
        raise ValueError(f"parts: there are none for step {step + 1}; a batch needs at least as many as there are ranks")
    return total, losses


def add_losses(losses: dict[str, float], out: Mapping[str, Any], part: Part, weights: Mapping[str, float]) -> None:
    """Add what a part contributes to each loss of the batch, and to "loss", their weighted sum."""
    own = {name: part.shares[name] * float(out[name]) for name in weights}
    for name, value in {"loss": sum(weights[name] * value for name, value in own.items()), **own}.items():
        losses[name] = losses.get(name, 0.0) + value


def first_non_finite(model: ConvBertPreTrainedModel, part: Part) -> str:
    """The name of the first parameter or value, in the order of computation, that is not finite in the call of this part."""
    for name, parameter in model.named_parameters().items():
        if not np.all(np.isfinite(parameter)):
            return name
    out = model(**part.inputs, training=True, rng=np.random.default_rng(part.seed))
    values = {name: value for name, value in flatten(out.cache).items() if getattr(value, "dtype", np.dtype(int)).kind == "f"}
    return next((name for name, value in values.items() if not name.endswith(".mask") and not np.all(np.isfinite(value))), "loss")


def finish(records: Iterable[Record]) -> Record:
    """Run a training to its end; its last record, empty if there was nothing left to do."""
    last: Record = {}
    for record in records:
        last = record
    return last


def run_directory(path: str | os.PathLike[str]) -> Path:
    """The directory of a run, made if need be. Raises OSError naming it if it cannot be."""
    directory = Path(path)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"{path}: is not a directory that can be written to: {error}") from error
    return directory
