"""The rounds of the benchmark of the model: the sides made ready, compared and asked in turn; and the rows of the tables."""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from model_errors import judge
from model_process import ONNX, REFERENCE, Json, Process, started

ENOUGH = 0.3  # seconds: a faster task runs several times in a round, and its median counts
PAUSE = 0.05  # seconds between two sides, in which the threads of the last one stop waiting for work
Sides = dict[str, Process]
Round = dict[str, Json]  # the answers by the name of the side; those of its products under "... products"


@contextmanager
def model_of(options: argparse.Namespace, size: str, positions: int) -> Iterator[str]:
    """A directory with a model of this size, of random parameters."""
    with tempfile.TemporaryDirectory() as directory:
        with started("ours", sys.executable, options.threads) as maker:
            made = maker.ask("make", directory=directory, size=size, positions=positions, layers=options.layers)
        print(f"\n{size}: {made['parameters']:,} parameters", flush=True)
        yield directory


@contextmanager
def truth_of(options: argparse.Namespace, directory: str, shape: str) -> Iterator[str | None]:
    """A directory with what the reference computes in float64, and the ONNX graph; None without a reference."""
    if not options.reference_python:
        yield None
        return
    batch, length = parsed_shape(shape)
    request = {"directory": directory, "batch": batch, "length": length}
    with tempfile.TemporaryDirectory() as target:
        with started("reference", options.reference_python, options.threads) as process:
            process.ask("truth", **request, tasks=options.tasks, target=target)
            if options.onnx:
                process.ask("export", **request)
        yield target


def prepared(sides: Sides, directory: str, task: str, shape: str, truth: str | None) -> tuple[Sides, int, list[str]]:
    """The sides that can do the task, their results compared; the operations of its products; what is to be said."""
    batch, length = parsed_shape(shape)
    replies = {
        name: side.ask("prepare", directory=directory, task=task, batch=batch, length=length) for name, side in sides.items()
    }
    ready = {name: side for name, side in sides.items() if "missing" not in replies[name]}
    if len({replies[name]["inputs"] for name in ready}) > 1:
        raise AssertionError(f"{task}, {shape}: the sides have other ids or labels: {replies}")
    words = [f"{name} left out: {replies[name]['missing']}" for name in sides if name not in ready and name != ONNX]
    if truth is not None:
        errors = {name: side.ask("check", truth=f"{truth}/{task}") for name, side in ready.items()}
        words += [f"{name}: {judge(name, errors[name], errors[REFERENCE])}" for name in ready if name != REFERENCE]
    else:
        words.append("not compared, there is no reference")
    floors = [side.ask("prepare_products")["operations"] for side in ready.values() if side.kind == "ours"]
    return ready, max(floors, default=0), words


def run_rounds(sides: Sides, rounds: int) -> list[Round]:
    """For every round the answers of all sides, which take turns in going first; a warm-up before."""
    warm = one_round([*sides.items()], 2)
    repeat = max(1, min(20, round(ENOUGH / min(warm.get(REFERENCE, next(iter(warm.values())))["wall"]))))
    order = [*sides.items()]
    return [one_round(order if turn % 2 == 0 else order[::-1], repeat) for turn in range(rounds)]


def one_round(order: list[tuple[str, Process]], repeat: int) -> Round:
    found = {}
    for name, side in order:
        time.sleep(PAUSE)
        found[name] = side.ask("time", repeat=repeat)
        if side.kind == "ours":
            found[name + " products"] = side.ask("time", repeat=repeat, products=True)
    return found


def seconds(answer: Json) -> float:
    return statistics.median(answer["wall"])


def median_of(rounds: list[Round], name: str) -> float:
    return statistics.median(seconds(turn[name]) for turn in rounds)


def ratios(rounds: list[Round], name: str, other: str) -> list[float]:
    """The seconds of one over those of another, round by round; [] if either is not there."""
    return [seconds(turn[name]) / seconds(turn[other]) for turn in rounds if name in turn and other in turn]


def print_times(what: tuple[str, str], sides: Sides, others: list[str], rounds: list[Round], operations: int) -> None:
    """A row for every side; `others` are those that each one is compared with, `operations` the work of the products."""
    for name in sides:
        all_seconds = [seconds(turn[name]) for turn in rounds]
        spread = f"{min(all_seconds):.4g} to {max(all_seconds):.4g}"
        compared = [ratio_cell(ratios(rounds, name, other)) if name != other else "-" for other in others]
        products, floor = name + " products", ["-"] * 3
        if products in rounds[0]:
            least = median_of(rounds, products)
            floor = [f"{least:.4g}", f"{operations / least / 1e9:.0f}", ratio_cell(ratios(rounds, products, name))]
        busy = statistics.median(turn[name]["cpu"] / sum(turn[name]["wall"]) for turn in rounds)
        print_row(*what, name, f"{statistics.median(all_seconds):.4g}", spread, *compared, *floor, f"{busy:.2f}")


def print_row(*cells: object) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def print_head(title: str, *cells: object) -> None:
    print(f"\n**{title}**\n")
    print_row(*cells)
    print_row(*["---"] * len(cells))


def ratio_cell(values: list[float]) -> str:
    return f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})" if values else "-"


def parsed_shape(text: str) -> tuple[int, int]:
    """Batch and length of a text like 8x128."""
    batch, _, length = text.partition("x")
    if not (batch.isdecimal() and length.isdecimal() and int(batch) and int(length)):
        raise argparse.ArgumentTypeError(f"a shape is batch x length, such as 8x128; got {text!r}")
    return int(batch), int(length)
