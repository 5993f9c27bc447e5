"""`convbert-np finetune TASK DATA`."""

import argparse
from pathlib import Path
from typing import Any

from convbert_np.cli.codes import FAILED, OK, positive
from convbert_np.cli.pretrain import draw, ends_well, share, told
from convbert_np.cli.tokenizer import load_tokenizer
from convbert_np.config import ConvBertConfig, read_json_object
from convbert_np.data import TINY
from convbert_np.progress import Progress
from convbert_np.tasks import TASKS, Task
from convbert_np.tasks.task import options_of
from convbert_np.tokenization import ConvBertTokenizerFast
from convbert_np.training.finetuning import Prepared, config_in, finetune, prepare
from convbert_np.training.loop import OPTIMIZERS, Settings, run_directory
from convbert_np.training.schedule import SCHEDULES
from convbert_np.training.sizes import SIZES, config_of_size
from convbert_np.training.state import read_log

BASE = 768  # hidden size from which on the original code takes the smaller rate
RATES = {True: 1e-4, False: 3e-4}
DECAY = 0.8


def add_finetune(commands: argparse._SubParsersAction) -> None:
    """`finetune TASK DATA --model DIR --out DIR`."""
    command = commands.add_parser(
        "finetune", help="train a pre-trained ConvBERT for a task",
        description="Train a pre-trained ConvBERT for a task from a file of examples. Killed at any moment and started again "
        "with the same arguments it goes on from its last checkpoint, and ends with the same parameters, bit for bit.",
    )  # fmt: skip
    tasks = command.add_subparsers(metavar="TASK", required=True)
    for name, kind in TASKS.items():
        one = tasks.add_parser(name, help=kind.told, description=f"Fine-tune for {kind.told}.")
        one.add_argument("data", metavar="DATA", help="the examples to train on")
        one.add_argument("--out", metavar="DIR", required=True, help="where model, tokenizer, log, curves and checkpoint go")
        add_task_options(one, kind)
        add_start_options(one)
        add_step_options(one)
        one.set_defaults(command=run_finetune, task=kind)


def add_task_options(command: argparse.ArgumentParser, kind: type[Task]) -> None:
    """The task's own options."""
    group = command.add_argument_group("task")
    for name, (default, help_text, what) in options_of(kind).items():
        dashed, target = name.replace("_", "-"), f"task_{name}"
        if what is bool:
            switch = f"--no-{dashed}" if default else f"--{dashed}"
            group.add_argument(switch, dest=target, action="store_const", const=not default, help=help_text)
            continue
        default = kind.usual_length if name == "length" else default
        shown = f"{help_text} (default: {default})" if default not in (None, ()) else help_text
        how: dict[str, Any] = {"type": what, "metavar": {int: "N", float: "X"}.get(what, "NAME")}
        how = {"choices": what} if isinstance(what, tuple) else how
        group.add_argument(f"--{dashed}", dest=target, help=shown, **how)


def add_start_options(command: argparse.ArgumentParser) -> None:
    """From which weights."""
    group = command.add_argument_group("model")
    about = "a pre-trained model, of any format, with its tokenizer (default: that of the package; none with --from-scratch)"
    group.add_argument("--model", metavar="DIR", help=about)
    group.add_argument("--vocab", metavar="PATH", help="the tokenizer: a vocab.txt, a tokenizer.json or a directory")
    group.add_argument("--cased", action="store_true", help="with --vocab FILE: do not lower-case")
    group.add_argument("--from-scratch", action="store_true", help="random weights, in the sizes of --config, --size or --model")
    group.add_argument("--config", metavar="FILE.json", help="with --from-scratch: a configuration; vocab_size is set")
    group.add_argument("--size", choices=tuple(SIZES), help="with --from-scratch")


def add_step_options(command: argparse.ArgumentParser) -> None:
    """Steps, optimizer, evaluation."""
    group = command.add_argument_group("training")
    held = group.add_mutually_exclusive_group()
    held.add_argument("--eval", metavar="FILE", help="examples to evaluate on")
    held.add_argument("--held-out", metavar="SHARE", type=share, default=0.1, help="of DATA (default: 0.1; 0: none)")
    group.add_argument("--epochs", metavar="X", type=float, default=3.0, help="how often each example is seen (default: 3)")
    group.add_argument("--steps", metavar="N", type=positive, help="in place of --epochs")
    group.add_argument("--batch-size", metavar="N", type=positive, default=32, help="rows per step (default: 32)")
    group.add_argument("--accumulation", metavar="N", type=positive, default=1, help="parts of a batch (default: 1)")
    group.add_argument("--learning-rate", metavar="X", type=float, help="at the peak (default: 3e-4, for hidden size 768 1e-4)")
    group.add_argument("--layerwise-decay", metavar="X", type=float, help="of the rate, per layer (default: 0.8; 1 from scratch)")
    group.add_argument("--warmup", metavar="N", type=int, help="steps (default: a tenth of all)")
    group.add_argument("--schedule", choices=tuple(SCHEDULES), default="bert", help="of the learning rate (default: bert)")
    group.add_argument("--optimizer", choices=tuple(OPTIMIZERS), default="bert", help="form of AdamW (default: bert)")
    group.add_argument("--weight-decay", metavar="X", type=float, default=0.01, help="default: 0.01")
    group.add_argument("--clip", metavar="X", type=float, default=1.0, help="norm of the gradients at most (default: 1)")
    group.add_argument("--recompute", action="store_true", help="less memory, more time: gradient checkpointing")
    group.add_argument("--seed", metavar="N", type=int, default=0, help="of head, split, order and dropout (default: 0)")
    group.add_argument("--evaluate-every", metavar="N", type=positive, help="steps (default: once per epoch)")
    group.add_argument("--save-every", metavar="N", type=positive, default=200, help="steps (default: 200)")
    group.add_argument("--quiet", action="store_true", help="no progress bar")


def run_finetune(parsed: argparse.Namespace) -> int:
    """`finetune TASK DATA --model DIR --out DIR`."""
    if not parsed.from_scratch:
        parsed.model = parsed.model or str(TINY)
    if parsed.model and Path(parsed.out).resolve() == Path(parsed.model).resolve():
        raise ValueError("--out: must be another directory than --model, which would be written over")
    tokenizer = tokenizer_of(parsed)
    start = parsed.model if not parsed.from_scratch else config_of(parsed, tokenizer)
    evaluation = parsed.eval if parsed.eval is not None else parsed.held_out
    show = False if parsed.quiet else None
    ready = prepare(task_from(parsed), parsed.data, start, evaluation, tokenizer, parsed.seed, show)
    settings = settings_of(parsed, ready)
    directory = run_directory(parsed.out)
    tokenizer.save_pretrained(directory)
    with Progress("", settings.steps, "steps", show=show) as progress:
        model, records = finetune(
            ready.task, ready, start, settings, batch_size=parsed.batch_size, accumulation=parsed.accumulation, seed=parsed.seed,
            directory=directory, progress=progress,
        )  # fmt: skip
        if not ends_well(records, progress):
            return FAILED
    model.save_pretrained(directory)
    log = read_log(directory)
    print(f"{told(log[-1])}\nwritten: {directory}, {model.num_parameters():,} parameters; {described(ready)}")
    draw(log, directory)
    return OK


def task_from(parsed: argparse.Namespace) -> Task:
    """The task with the options that were given."""
    given = {name: getattr(parsed, f"task_{name}") for name in options_of(parsed.task)}
    return parsed.task(**{name: value for name, value in given.items() if value is not None})


def tokenizer_of(parsed: argparse.Namespace) -> ConvBertTokenizerFast:
    """The tokenizer of --vocab, or of --model."""
    if not parsed.from_scratch and (parsed.config or parsed.size):
        raise ValueError("--from-scratch: must be given with --config and --size, which make a model of random weights")
    if parsed.vocab:
        return load_tokenizer(parsed.vocab, parsed.cased, slow=False)  # type: ignore[return-value]
    if not parsed.model:
        raise ValueError("--vocab: must be given with --from-scratch, unless --model has a tokenizer")
    return ConvBertTokenizerFast.from_pretrained(parsed.model)


def config_of(parsed: argparse.Namespace, tokenizer: ConvBertTokenizerFast) -> ConvBertConfig:
    """The sizes of a model of random weights."""
    vocab_size = max(tokenizer.get_vocab().values()) + 1
    if parsed.config:
        return ConvBertConfig.from_dict(read_json_object(parsed.config) | {"vocab_size": vocab_size})
    if parsed.size or not parsed.model:
        positions = parsed.task_length or parsed.task.usual_length
        pad = tokenizer.pad_token_id
        return config_of_size(parsed.size or "tiny", vocab_size, max_position_embeddings=positions, pad_token_id=pad)
    return config_in(parsed.model)


def settings_of(parsed: argparse.Namespace, ready: Prepared) -> Settings:
    """How to train, as the options ask."""
    if parsed.steps is None and not 0 < parsed.epochs < float("inf"):
        raise ValueError(f"--epochs: must be above 0, got {parsed.epochs}")
    steps = parsed.steps or ready.steps(parsed.epochs, parsed.batch_size)
    config = ready.start if isinstance(ready.start, ConvBertConfig) else config_in(ready.start)
    rate = RATES[config.hidden_size >= BASE] if parsed.learning_rate is None else parsed.learning_rate
    decay = (1.0 if parsed.from_scratch else DECAY) if parsed.layerwise_decay is None else parsed.layerwise_decay
    return Settings(
        steps=steps, learning_rate=rate, warmup_steps=steps // 10 if parsed.warmup is None else parsed.warmup,
        schedule=parsed.schedule, optimizer=parsed.optimizer, weight_decay=parsed.weight_decay, max_norm=parsed.clip,
        layerwise_decay=decay, recompute=parsed.recompute, save_every=parsed.save_every,
        evaluate_every=parsed.evaluate_every or ready.steps(1, parsed.batch_size),
    )  # fmt: skip


def described(ready: Prepared) -> str:
    """What was learnt from, in words."""
    labels = ready.task.labels
    shown = f", {len(labels)} labels: {', '.join(labels[:10])}{', ...' * (len(labels) > 10)}" if labels else ""
    rows = f"{len(ready.rows):,} rows to train on, {len(ready.held):,} examples to evaluate on"
    return rows + shown
