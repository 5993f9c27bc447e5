"""`convbert-np predict DATA-or-TEXT --model DIR`."""

import argparse
import json
import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from convbert_np.cli.codes import OK, check_target, positive
from convbert_np.files import write_text
from convbert_np.tasks import Task
from convbert_np.tasks.files import ENDINGS
from convbert_np.tasks.predictor import Predictor, examples_of
from convbert_np.tasks.task import options_of

BESIDE = ("pair", "context", "choice")


def add_predict(commands: argparse._SubParsersAction) -> None:
    """`predict DATA-or-TEXT --model DIR`."""
    command = commands.add_parser(
        "predict", help="ask a fine-tuned ConvBERT",
        description="Predict for each example of a file, or for one text. The directory knows the task. Where the file has "
        "labels, the metrics are told on the standard error.",
    )  # fmt: skip
    command.add_argument("data", metavar="DATA-or-TEXT", help="a file such as the task was fine-tuned from, or a text")
    command.add_argument("--model", metavar="DIR", required=True, help="what finetune wrote")
    command.add_argument("--out", metavar="FILE", help="where the predictions go (default: the standard output)")
    command.add_argument("--details", metavar="FILE", help="all that is known of each prediction, a JSON value per line")
    beside = command.add_argument_group("beside a TEXT")
    beside.add_argument("--pair", metavar="TEXT", help="the second text of a pair")
    beside.add_argument("--context", metavar="TEXT", help="in which the answer to a question is looked for")
    beside.add_argument("--choice", metavar="TEXT", action="append", help="an ending to choose from; once for each")
    command.add_argument(
        "--option", metavar="NAME=VALUE", action="append", default=[],
        help="an option of the task in place of the one it was fine-tuned with, for example text=review",
    )  # fmt: skip
    command.add_argument("--batch-size", metavar="N", type=positive, default=32, help="rows at a time (default: 32)")
    command.add_argument("--quiet", action="store_true", help="no progress bar")
    command.set_defaults(command=run_predict)


def run_predict(parsed: argparse.Namespace) -> int:
    """`predict DATA-or-TEXT --model DIR`."""
    for option in ("out", "details"):
        if getattr(parsed, option) is not None:
            check_target(getattr(parsed, option), f"--{option}")
    predictor = Predictor.from_pretrained(parsed.model)
    task = replace(predictor.task, **given_options(type(predictor.task), parsed.option))
    predictor = predictor._replace(task=task.within(predictor.model.config))
    examples = examples_for(predictor.task, parsed)
    predictions = predictor(examples, parsed.batch_size, show=False if parsed.quiet else None)
    text = predictor.task.written(examples, predictions)
    if parsed.out is None:
        sys.stdout.write(text)
    else:
        write_text(parsed.out, text)
    if parsed.details is not None:
        write_text(parsed.details, "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in predictions))
    tell_metrics(predictor.task, examples, predictions)
    return OK


def given_options(kind: type[Task], pairs: Sequence[str]) -> dict[str, Any]:
    """The options of --option by name. Raises ValueError for one that the task does not have, or a value that is none."""
    offered, given = options_of(kind), {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        if name not in offered or "=" not in pair:
            raise ValueError(f"--option: must be NAME=VALUE with a NAME of {', '.join(offered)}, got {pair!r}")
        given[name] = value_in(text, name, offered[name][2])
    return given


def value_in(text: str, name: str, kind: Any) -> Any:
    """The value of an option: see `option` for its kinds."""
    if isinstance(kind, tuple) or kind is bool:
        allowed = {"true": True, "false": False} if kind is bool else {each: each for each in kind}
        if text not in allowed:
            raise ValueError(f"--option: {name} must be one of {', '.join(allowed)}, got {text!r}")
        return allowed[text]
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"--option: {name} must be a number, got {text!r}") from None


def examples_for(task: Task, parsed: argparse.Namespace) -> list[Any]:
    """The examples of the file, or the one that the text is."""
    given = {name: getattr(parsed, name) for name in BESIDE if getattr(parsed, name) is not None}
    for name in given.keys() - set(task.beside):
        raise ValueError(f"--{name}: is nothing that the task {task.name} looks at")
    named_like_a_file = parsed.data.lower().endswith(ENDINGS) and " " not in parsed.data
    if not Path(parsed.data).is_file() and not named_like_a_file:
        return [task.example(parsed.data, **given)]
    for name in given:
        raise ValueError(f"--{name}: is for a TEXT, and {parsed.data} is a file")
    return examples_of(task, parsed.data, labelled=False)


def tell_metrics(task: Task, examples: Sequence[Any], predictions: Sequence[Any]) -> None:
    """The metrics, on the standard error, where there are labels; labels that are not known count as wrong."""
    metrics = task.score(examples, predictions)
    if not metrics:
        return
    try:
        task.check(examples)
    except ValueError as error:
        warnings.warn(f"{error}; it counts as wrong", stacklevel=2)
    print(", ".join(f"{name} {value:.4f}" for name, value in metrics.items()), file=sys.stderr)
