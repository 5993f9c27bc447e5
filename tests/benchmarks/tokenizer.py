"""The speed of the tokenizers, ours and the reference's, on one thread; prints Markdown.

python tests/benchmarks/tokenizer.py speed VOCAB CORPUS... [--library-python P] [--reference-python P]
python tests/benchmarks/tokenizer.py start VOCAB CORPUS [...]
python tests/benchmarks/tokenizer.py linear VOCAB
python tests/benchmarks/tokenizer.py stream VOCAB

Every side is a process of its own (sides.py). The processes of a comparison are all started, and then asked in turn,
round by round, so that a change in the machine's speed meets them alike; while one works, the others wait.
docs/tokenizer-speed.md says how to get the corpora and what came out.
"""

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from texts import HARD, UNITS, WORDS_A_TEXT

ROOT = Path(__file__).resolve().parents[2]
ONE_THREAD = dict.fromkeys(("RAYON_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
OURS = ("fast", "fast_offsets", "slow")
SIDES = {  # by the option that names their Python
    "ours": OURS,
    "library": ("library", "library_bare", "library_offsets"),
    "reference": ("reference_fast", "reference_slow"),
}
RATIOS = (
    ("fast", "library"),
    ("fast", "library_bare"),
    ("fast_offsets", "library_offsets"),
    ("fast", "reference_fast"),
    ("fast", "reference_slow"),
    ("slow", "reference_slow"),
)
SAME_IDS = (("fast", "fast_offsets", "library", "library_offsets", "reference_fast"), ("slow", "reference_slow"))


class Side:
    """A process of sides.py: `ask` sends a request and waits for the answer, None where the process ended."""

    def __init__(self, name: str, python: str, options: argparse.Namespace):
        self.name = name
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, **ONE_THREAD, "TOKENIZERS_PARALLELISM": "false", "PYTHONPATH": path}
        command = [python, str(Path(__file__).with_name("sides.py")), name, options.vocab, str(options.batch)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(command, env=environment, text=True, **pipes)
        self.hello = self.read()

    def read(self) -> dict[str, Any] | None:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def ask(self, limit: float | None = None, **request: Any) -> dict[str, Any] | None:
        assert self.process.stdin is not None
        timer = threading.Timer(limit or 3600, self.process.kill)
        timer.start()
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            return self.read()
        finally:
            timer.cancel()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextlib.contextmanager
def started(options: argparse.Namespace) -> Iterator[list[Side]]:
    """The sides that are asked for and whose Python is known; those that cannot start say why and are left out."""
    pythons = {"ours": sys.executable, "library": options.library_python, "reference": options.reference_python}
    names = [(name, pythons[package]) for package, sides in SIDES.items() for name in sides if pythons[package]]
    wanted = [(name, python) for name, python in names if not options.sides or name in options.sides]
    sides = [Side(name, python, options) for name, python in wanted]
    try:
        for side in sides:
            if side.hello is None:
                print(f"NOT MEASURED: {side.name} did not start", file=sys.stderr)
        ready = [side for side in sides if side.hello is not None]
        if not ready:
            raise SystemExit("no side could start: see --sides, --library-python and --reference-python")
        yield ready
    finally:
        for side in sides:
            side.close()


def asked(side: Side, **request: Any) -> dict[str, Any]:
    """The answer of a side that must give one."""
    reply = side.ask(**request)
    if reply is None:
        raise RuntimeError(f"the process of {side.name} ended at {request}")
    return reply


def print_row(*cells: object) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def print_head(title: str, *cells: object) -> None:
    print(f"\n**{title}**\n")
    print_row(*cells)
    print_row(*["---"] * len(cells))


def speed(options: argparse.Namespace) -> None:
    """MB/s of every side: the first pass of a new process, and the median of the passes after it."""
    for corpus in options.corpus:
        for unit in options.units:
            with started(options) as sides:
                rounds = measure(sides, {"path": corpus, "unit": unit}, options)
                print_speed(f"{Path(corpus).stem}, {unit}", sides, rounds, options.clock)
                print_ratios(rounds, options.clock)
                compare(sides, {"do": "digest", "path": corpus, "unit": unit, "share": options.share})


def measure(sides: list[Side], what: dict[str, str], options: argparse.Namespace) -> list[dict[str, dict[str, Any]]]:
    """For every round the answers of all sides, which take turns in going first."""
    rounds = []
    for turn in range(options.rounds + 1):
        order = sides if turn % 2 == 0 else sides[::-1]
        shares = {side.name: options.share if side.name == "reference_slow" else 1 for side in order}
        rounds.append({side.name: asked(side, do="time", **what, share=shares[side.name]) for side in order})
    return rounds


def print_speed(title: str, sides: list[Side], rounds: list[dict[str, dict[str, Any]]], clock: str) -> None:
    print_head(title, "side", "package", "MB", "first pass, MB/s", "median, MB/s", "least to most", "CPU/wall")
    for side in sides:
        answers = [turn[side.name] for turn in rounds]
        first, *rates = (rate(reply, clock) for reply in answers)
        threads = statistics.median(reply["cpu"] / reply["wall"] for reply in answers)
        size = f"{answers[0]['megabytes']:.2f}"
        spread = f"{min(rates):.2f} to {max(rates):.2f}"
        median = f"{statistics.median(rates):.2f}"
        print_row(side.name, (side.hello or {})["package"], size, f"{first:.2f}", median, spread, f"{threads:.2f}")


def print_ratios(rounds: list[dict[str, dict[str, Any]]], clock: str) -> None:
    """The ratios of the rates in the same round: in the first one, and the median and the range of the others."""
    pairs = [pair for pair in RATIOS if rounds[0].keys() >= set(pair)]
    if pairs:
        print_head("Times as fast", "side", "than", "first pass", "median", "least to most")
    for ours, theirs in pairs:
        first, *ratios = [rate(turn[ours], clock) / rate(turn[theirs], clock) for turn in rounds]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print_row(ours, theirs, f"{first:.2f}", f"{statistics.median(ratios):.2f}", spread)


def rate(reply: dict[str, Any], clock: str) -> float:
    """MB/s by the clock on the wall or that of the processor."""
    return reply["megabytes"] / reply[clock]


def compare(sides: list[Side], request: dict[str, Any]) -> None:
    """Raise AssertionError if sides that must give the same ids, or the same offsets, do not."""
    replies = {side.name: asked(side, **request) for side in sides if side.name != "library_bare"}
    for group in SAME_IDS:
        if len({replies[name]["ids"] for name in group if name in replies}) > 1:
            raise AssertionError(f"ids differ: { {name: replies[name] for name in group if name in replies} }")
    if len({reply["offsets"] for name, reply in replies.items() if name.endswith("offsets")}) > 1:
        raise AssertionError("offsets differ")
    counts = sorted({reply["tokens"] for reply in replies.values()})
    print(f"\nThe ids of the sides that must agree agree (1 in {request['share']} texts; {counts} ids).", flush=True)


def start(options: argparse.Namespace) -> None:
    """Seconds for the import, for loading the vocabulary, and for 1 MB of text as one string, first and again."""
    found: dict[str, list[list[float]]] = {}
    for _ in range(options.rounds):
        with started(options) as sides:
            for side in sides:
                hello = side.hello or {}
                request = {"do": "start", "path": options.corpus[0], "size": 1_000_000}
                calls = [asked(side, **request)["wall"] for _ in range(2)]
                found.setdefault(side.name, []).append([hello["import"], hello["load"], *calls])
    print_head("Cold start, medians in seconds", "side", "import", "vocabulary", "first 1 MB", "the same again")
    for name, rows in found.items():
        print_row(name, *(f"{statistics.median(column):.3f}" for column in zip(*rows, strict=True)))


def linear(options: argparse.Namespace) -> None:
    """Seconds for 1, 2.5, 5 and 10 MB without a space; a side that takes too long is ended."""
    sizes = [1_000_000, 2_500_000, 5_000_000, 10_000_000]
    options.sides = options.sides or OURS
    print_head("Seconds", "text", "side", *(f"{size / 1e6:g} MB" for size in sizes), "10 MB / 1 MB")
    for kind in HARD:
        with started(options) as sides:
            for side in sides:
                print_row(kind, side.name, *hard_cells(side, kind, sizes, options))


def hard_cells(side: Side, kind: str, sizes: list[int], options: argparse.Namespace) -> list[str]:
    """The seconds for each size, as far as the limit allows, and the ratio of the last to the first."""
    seconds: list[float] = []
    for size in sizes:
        reply = side.ask(options.limit, do="hard", kind=kind, size=size)
        if reply is None and side.process.wait() != -signal.SIGKILL:
            raise RuntimeError(f"the process of {side.name} ended at {size} bytes of {kind}")
        if reply is None:
            over = [f"over {options.limit:g}"] * (len(sizes) - len(seconds))
            return [f"{second:.2f}" for second in seconds] + over + ["-"]
        seconds.append(reply[options.clock])
    return [f"{second:.2f}" for second in seconds] + [f"{seconds[-1] / seconds[0]:.1f}"]


def stream(options: argparse.Namespace) -> None:
    """The growth of memory over a stream of distinct words."""
    options.sides = options.sides or OURS
    words = options.words // WORDS_A_TEXT * WORDS_A_TEXT
    with started(options) as sides:
        print_head(f"{words:,} distinct words", "side", "ids", "seconds", "peak memory, MiB", "growth, MiB")
        for side in sides:
            reply = asked(side, do="stream", words=words)
            print_row(side.name, f"{reply['ids']:,}", *(f"{reply[name]:.1f}" for name in ("wall", "peak", "growth")))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The speed of the tokenizers on one thread.")
    commands = {"speed": speed, "start": start, "linear": linear, "stream": stream}
    parser.add_argument("command", choices=commands)
    parser.add_argument("vocab", help="a vocab.txt")
    parser.add_argument("corpus", nargs="*", help="UTF-8 text; blank lines separate documents")
    parser.add_argument("--library-python", help="a Python with the newest `tokenizers`")
    parser.add_argument("--reference-python", help="a Python with transformers 4.37.2")
    parser.add_argument("--sides", nargs="+", choices=sum(SIDES.values(), ()), help="only these sides")
    parser.add_argument("--units", nargs="+", choices=UNITS, default=UNITS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=1000, help="texts in one call of `speed`")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: on a machine that others use too")
    parser.add_argument("--share", type=int, default=20, help="reference_slow gets one text in so many")
    parser.add_argument("--limit", type=float, default=60, help="seconds for one text of `linear`")
    parser.add_argument("--words", type=int, default=10_000_000)
    options = parser.parse_args()
    if options.command in ("speed", "start") and not options.corpus:
        parser.error(f"{options.command} needs a corpus")
    options.run = commands[options.command]
    return options


if __name__ == "__main__":
    options = arguments()
    options.run(options)
