"""The speed and the memory of the model, ours and the reference's, at equal thread counts; prints Markdown.

python tests/benchmarks/model.py --reference-python P [--onnx]       seconds of every task, and its product floor
python tests/benchmarks/model.py growth --reference-python P         the same, growing with the sequence and the batch
python tests/benchmarks/model.py memory --reference-python P         peak memory of every task
python tests/benchmarks/model.py start --reference-python P          seconds of the import

The reference is transformers 4.37.2 on PyTorch, eager, in the Python P; with --onnx also ONNX Runtime (P needs onnx and
onnxruntime) with the optimised graph of the same encoder. Every side is a process of its own (model_sides.py). All load
the same random parameters and are asked in turn, round by round, so that a change in the machine's speed meets them
alike; while one works, the others wait.

Before a task is timed, the results of every side are compared with what the reference computes in float64 (model_truth.py):
last hidden state, logits, loss, the gradient of every parameter. Ours may be at most five times as far from it as the
reference's own float32 (model_errors.py); more ends the run with an error.

The product floor is the matrix products of the task alone (model_products.py), in the same process and round. A setting
is the environment of our side: as installed, or tuned, with the variable by which OpenBLAS chooses the kernels that the
processor supports, if it has not chosen them by itself. Seconds are those of the clock on the wall, since several threads
work: on a machine that others use at the same time they mean nothing.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from typing import Any

from model_machine import describe
from model_process import ONNX, REFERENCE, Json, all_started, started, variants, wanted
from model_rounds import (
    Sides,
    median_of,
    model_of,
    parsed_shape,
    prepared,
    print_head,
    print_row,
    print_times,
    run_rounds,
    truth_of,
)

TASKS = {
    "encoder": "encoder forward",
    "masked_lm": "masked-LM forward",
    "backward": "forward + backward",
    "step": "step with AdamW",
}
SIZES = ("base", "medium-small", "small")
SHAPES = ("1x128", "8x128", "1x512", "4x512")
GROWTH = {
    "the sequence": ("1x128", "1x256", "1x512", "1x1024", "1x2048"),
    "the batch": ("1x128", "2x128", "4x128", "8x128", "16x128"),
}
QUICK = {"sizes": ["small"], "shapes": ["1x32", "2x64"], "rounds": 2, "layers": 2}
USUAL = {"speed": TASKS, "growth": ("encoder",), "memory": TASKS, "start": ()}


def speed(options: argparse.Namespace) -> None:
    """The table of seconds for every size."""
    for size in options.sizes:
        with model_of(options, size, positions(options.shapes)) as directory, all_started(options) as sides:
            measured(options, sides, directory, f"{size}, seconds", options.shapes)


def growth(options: argparse.Namespace) -> None:
    """Seconds as the sequence or the batch grows, and what that is for a token."""
    for size in options.sizes:
        growths = {"sequence and batch": options.shapes} if options.shapes else GROWTH
        longest = positions([shape for shapes in growths.values() for shape in shapes])
        with model_of(options, size, longest) as directory, all_started(options) as sides:
            for what, shapes in growths.items():
                found = measured(options, sides, directory, f"{size}, growth with {what}", shapes)
                print_growth(f"{size}, growth with {what}: microseconds for a token", found, shapes)


def measured(
    options: argparse.Namespace, sides: Sides, directory: str, title: str, shapes: Sequence[str]
) -> dict[tuple[str, str, str], float]:
    """Print a table of the tasks and shapes; the median seconds by task, shape and side."""
    others = [name for name in (REFERENCE, ONNX) if name in sides]
    columns = ("products alone, s", "GFLOP/s", "share of products", "CPU/wall")
    print_head(title, "task", "shape", "side", "seconds", "least to most", *(f"times {name}" for name in others), *columns)
    found, notes = {}, []
    for shape in shapes:
        with truth_of(options, directory, shape) as truth:
            for task in options.tasks:
                ready, operations, words = prepared(sides, directory, task, shape, truth)
                notes += [f"{TASKS[task]}, {shape}: {word}" for word in words]
                rounds = run_rounds(ready, options.rounds) if ready else []
                print_times((TASKS[task], shape), ready, others, rounds, operations)
                found |= {(task, shape, name): median_of(rounds, name) for name in ready}
    print("\nErrors, relative to the reference in float64, of ours / of the reference in float32:\n")
    print("\n".join(f"- {note}" for note in notes), flush=True)
    return found


def positions(shapes: Sequence[str]) -> int:
    """The positions that a model must have: those of the released ones, or more for longer sequences."""
    return max(512, *(parsed_shape(shape)[1] for shape in shapes))


def print_growth(title: str, found: dict[tuple[str, str, str], float], shapes: Sequence[str]) -> None:
    print_head(title, "task", "side", *shapes)
    for task, name in dict.fromkeys((task, name) for task, _, name in found):
        tokens = {shape: parsed_shape(shape)[0] * parsed_shape(shape)[1] for shape in shapes}
        print_row(TASKS[task], name, *(f"{found[task, shape, name] / tokens[shape] * 1e6:.4g}" for shape in shapes))


def memory(options: argparse.Namespace) -> None:
    """The peak of memory of every task, in a new process each time."""
    with model_of(options, "tiny", 512) as tiny:
        for size in options.sizes:
            with model_of(options, size, positions(options.shapes)) as directory:
                columns = ("parameters", "task", "together", f"times {REFERENCE}", "whole process")
                print_head(f"{size}, peak memory in MB", "task", "shape", "side", *columns)
                for task in options.tasks:
                    for shape in options.shapes:
                        print_memory(options, tiny, directory, task, shape)


def print_memory(options: argparse.Namespace, tiny: str, directory: str, task: str, shape: str) -> None:
    """The rows of one task and shape."""
    found = {name: levels(options, name, tiny, directory, task, shape) for name in wanted(options)}
    theirs = found.get(REFERENCE)
    for name, own in found.items():
        if isinstance(own, str):
            print_row(TASKS[task], shape, name, own, *"----")
        elif own:
            before, loaded, peak = own
            ratio = f"{(peak - before) / (theirs[2] - theirs[0]):.3f}" if theirs and name != REFERENCE else "-"
            megabytes = [f"{level / 1e6:.0f}" for level in (loaded - before, peak - loaded, peak - before)]
            print_row(TASKS[task], shape, name, *megabytes, ratio, f"{peak / 1e6:.0f}")


def levels(options: argparse.Namespace, name: str, tiny: str, directory: str, task: str, shape: str) -> Any:
    """The memory of a side before the model is loaded, after it, and at its peak; or why there is none.

    Before, a tiny model does the same task: libraries load code and buffers when they are first used, however large the model.
    """
    kind, python, variables = wanted(options)[name]
    if kind == "onnx" and task != "encoder":
        return None
    with started(kind, python, options.threads, variables) as side:
        found = []
        for place, (batch, length) in ((tiny, (2, 128)), (directory, parsed_shape(shape))):
            request: Json = {"directory": place, "batch": batch, "length": length}
            if kind == "onnx":
                with started("reference", python, options.threads) as exporter:
                    exporter.ask("export", **request)
            reply = side.ask("prepare", task=task, **request)
            if "missing" in reply:
                return f"left out: {reply['missing']}"
            found.append(reply | side.ask("memory"))
    return found[0]["after"], found[1]["level"], found[1]["peak"]


def start(options: argparse.Namespace) -> None:
    """Seconds of the import in new processes, and the memory that they have then."""
    kinds = {"numpy": sys.executable, "ours": sys.executable, "reference": options.reference_python, "onnx": options.onnx_python}
    order = [(kind, python) for kind, python in kinds.items() if python]
    found: dict[str, list[Json]] = {kind: [] for kind, _ in order}
    for turn in range(options.rounds + 1):
        for kind, python in order if turn % 2 == 0 else order[::-1]:
            with started(kind, python, options.threads) as side:
                found[kind].append(side.hello)
    print_head("Import", "side", "seconds", "least to most", "memory, MB")
    for kind, hellos in found.items():
        times = [hello["import"] for hello in hellos[1:]]  # the first one has read the files from the disk
        level = statistics.median(hello["level"] for hello in hellos)
        print_row(kind, f"{statistics.median(times):.3f}", f"{min(times):.3f} to {max(times):.3f}", f"{level / 1e6:.0f}")


def print_machine(options: argparse.Namespace) -> None:
    """The machine, and for every side its packages, threads and kernels."""
    print("\n".join(f"- {line}" for line in describe()))
    print(f"- {options.threads} threads; Python {sys.version.split()[0]}")
    for name, (kind, python, variables) in wanted(options).items():
        with started(kind, python, options.threads, variables) as side:
            words = [f"{value}" if what == kind else f"{what} {value}" for what, value in side.hello["versions"].items()]
        words += [f"{variable}={value}" for variable, value in variables.items()]
        print(f"- {name}: {', '.join(words)}")
    if "tuned" in options.settings and not any(options.variants.values()):
        print("- tuned is the same as installed here: the kernels fit the processor, or none are known that fit better")
    sys.stdout.flush()


def shape(text: str) -> str:
    parsed_shape(text)
    return text


def positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"must be a number of at least 1, got {text!r}")
    return int(text)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The speed and the memory of the model.")
    commands = {"speed": speed, "growth": growth, "memory": memory, "start": start}
    parser.add_argument("command", nargs="?", choices=commands, default="speed")
    parser.add_argument("--reference-python", help="a Python with transformers 4.37.2 and PyTorch; without it ours runs alone")
    parser.add_argument("--onnx", action="store_true", help="ONNX Runtime too")
    parser.add_argument("--settings", nargs="+", choices=("installed", "tuned"), default=("installed", "tuned"))
    parser.add_argument("--sizes", nargs="+", choices=SIZES)
    parser.add_argument("--shapes", nargs="+", type=shape, metavar="BxS", help="batch x length, such as 8x128")
    parser.add_argument("--tasks", nargs="+", choices=TASKS)
    parser.add_argument("--rounds", type=positive)
    parser.add_argument("--threads", type=positive, default=2, help="of every side")
    parser.add_argument("--layers", type=positive, help="fewer layers than the size has, to try something out")
    parser.add_argument("--quick", action="store_true", help="two layers, short sequences, two rounds: does it all work?")
    options = parser.parse_args()
    if options.onnx and not options.reference_python:
        parser.error("--onnx needs --reference-python")
    return completed(options, commands)


def completed(options: argparse.Namespace, commands: dict) -> argparse.Namespace:
    """The options with what was not given."""
    usual = QUICK if options.quick else {"rounds": 7}
    usual = {"sizes": SIZES if options.command != "growth" else SIZES[:1], "tasks": USUAL[options.command]} | usual
    usual |= {"shapes": SHAPES} if options.command != "growth" and not options.quick else {}
    for name, value in usual.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    options.tasks = [task for task in TASKS if task in options.tasks]  # a step changes the parameters: it comes last
    options.onnx_python = options.reference_python if options.onnx else None
    options.variants = variants(options)
    options.run = commands[options.command]
    return options


if __name__ == "__main__":
    options = arguments()
    print_machine(options)
    options.run(options)
