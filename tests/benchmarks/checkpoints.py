"""The time and the memory that checkpoints take, ours and the reference's; prints Markdown.

python tests/benchmarks/checkpoints.py --reference-python P [--directory D] [--rounds 5]

The reference library (transformers 4.37.2 with PyTorch, in the Python P) makes a base model of random parameters once and
writes it as model.safetensors and as pytorch_model.bin (423 MB each) into the directory, or a temporary one. Then every
measurement is a process of its own, on one thread, and the sides take turns, so that a change in the machine's speed
meets them alike. All files are read once before, so they come from the cache of the operating system.

Time is taken from the call to its return; the imports are over by then. Memory is what the process has above the level
before the call: in all (VmHWM, the kernel's own record of the peak, set back before the call), private (RssAnon) and of
mapped files (RssFile); the peaks of the latter two are read from outside every 2 ms, in processes that are not timed.
Afterwards the digests of all parameters are compared. Linux only.
"""

import argparse
import contextlib
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
FORMATS = {"safetensors": "model.safetensors", "bin": "pytorch_model.bin"}
LEVELS = {"all": "VmHWM", "private": "RssAnon", "mapped": "RssFile"}
SIDES = ("ours", "reference")
INTERVAL = 0.002
Answer = dict[str, Any]


# ---- a side: a process that does one thing


def make(directory: str) -> Answer:
    """Write the reference's base model in both formats."""
    import torch
    from transformers import ConvBertConfig, ConvBertModel  # type: ignore[import-not-found]

    torch.manual_seed(0)
    model = ConvBertModel(ConvBertConfig())
    for name in FORMATS:
        model.save_pretrained(Path(directory) / name, safe_serialization=name == "safetensors")
    return {"parameters": sum(value.numel() for value in model.parameters())}


def prepare_open(side: str, path: str) -> tuple[Callable[[], Any], Callable[[Any], Any]]:
    """What opens a safetensors file, and what takes its first tensor; everything is imported."""
    if side == "ours":
        from convbert_np.checkpoints import read_safetensors

        return lambda: read_safetensors(path), lambda tensors: next(iter(tensors.values())).sum()
    import safetensors
    import torch  # noqa: F401

    def first(file: Any) -> Any:
        return file.get_tensor(next(iter(file.keys()))).sum()

    return lambda: safetensors.safe_open(path, "pt"), first


def prepare_load(side: str, directory: str) -> tuple[Callable[[], Any], Callable[[Any], Any]]:
    """What loads the model, and what says which parameters it has; everything is imported."""
    import numpy as np

    if side == "ours":
        from convbert_np import ConvBertModel

        return lambda: ConvBertModel.from_pretrained(directory, dtype=np.float32), lambda model: digest(model.state_dict())
    from transformers import ConvBertModel as Reference  # type: ignore[import-not-found]

    def arrays(model: Any) -> dict[str, Any]:
        return {name: value.numpy() for name, value in model.state_dict().items()}

    return lambda: Reference.from_pretrained(directory), lambda model: digest(arrays(model))


def digest(state: dict[str, Any]) -> str:
    """A hash of all names, shapes and values."""
    found = hashlib.sha256()
    for name in sorted(state):
        found.update(f"{name} {state[name].shape} {state[name].dtype}".encode())
        found.update(state[name].tobytes())
    return found.hexdigest()


def child(job: str, side: str, path: str) -> None:
    """Do one thing; a line when it is ready to begin, and after a line of input and the work one with the answer."""
    if job == "make":
        return print(json.dumps(make(path)))
    run, then = (prepare_open if job == "open" else prepare_load)(side, path)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # sets VmHWM back
    before = levels("self")
    print(json.dumps(before), flush=True)
    sys.stdin.readline()
    start = time.perf_counter()
    result = run()
    seconds = time.perf_counter() - start
    after = levels("self")
    print(json.dumps({"seconds": seconds, "growth": {name: after[name] - before[name] for name in LEVELS}}), flush=True)
    if sys.stdin.readline() == "then\n":
        print(json.dumps(str(then(result))), flush=True)


def levels(process: int | str) -> dict[str, int]:
    """The memory of a process in bytes, by the names of LEVELS."""
    text = Path(f"/proc/{process}/status").read_text()
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {name: 1024 * int(lines[field].split()[0]) for name, field in LEVELS.items()}


# ---- the process that asks


def started(python: str, job: str, side: str, path: str) -> subprocess.Popen[str]:
    environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    command = [python, __file__, "--child", job, side, path]
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def measure(python: str, job: str, side: str, path: str, watch: bool = False, then: bool = False) -> Answer | None:
    """One measurement in a new process; None if it fails. `watch`: with "peak", the peaks by LEVELS above the level before."""
    with started(python, job, side, path) as process:
        assert process.stdin is not None and process.stdout is not None
        ready = process.stdout.readline()
        if not ready:
            return None
        with watching(process.pid, json.loads(ready)) if watch else contextlib.nullcontext({}) as peak:
            print("go", file=process.stdin, flush=True)
            line = process.stdout.readline()
        if not line:
            return None
        answer = json.loads(line) | {"peak": peak}
        print("then" if then else "end", file=process.stdin, flush=True)
        return answer | ({"then": json.loads(process.stdout.readline())} if then else {})


@contextlib.contextmanager
def watching(process: int, before: dict[str, int]) -> Iterator[dict[str, int]]:
    """The highest levels of memory of a process above those before, while the block runs."""
    peak, done = dict.fromkeys(LEVELS, 0), threading.Event()

    def watch() -> None:
        while not done.wait(INTERVAL):
            with contextlib.suppress(OSError, KeyError):  # the process has ended
                now = levels(process)
                peak.update({name: max(peak[name], now[name] - before[name]) for name in LEVELS})

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def rounds_of(options: argparse.Namespace, job: str, path: str) -> dict[str, list[Answer]]:
    """The answers of every side, which take turns in going first; the last one is watched, and says what it has read."""
    pythons = {"ours": sys.executable, "reference": options.reference_python}
    found: dict[str, list[Answer]] = {side: [] for side in SIDES}
    for turn in range(options.rounds + 1):
        last = turn == options.rounds
        for side in SIDES if turn % 2 == 0 else SIDES[::-1]:
            answer = measure(pythons[side], job, side, path, watch=last, then=last)
            if answer is None:
                print(f"NOT MEASURED: {side}, {job} {path}", file=sys.stderr)
                return {}
            found[side].append(answer)
    return found


def print_row(*cells: object) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def print_head(title: str, *cells: object) -> None:
    print(f"\n**{title}**\n")
    print_row(*cells)
    print_row(*["---"] * len(cells))


def print_sides(found: dict[str, list[Answer]], unit: int, label: str, scale: float = 1) -> None:
    """Time and memory of every side, and the ratio of the times of the same round. `unit`: what memory is counted in."""
    print_head(
        label,
        "side",
        "s" if scale == 1 else "ms",
        "least to most",
        "peak, all",
        "peak, private",
        "peak, mapped",
        "after, private",
        "after, mapped",
    )
    for side, answers in found.items():
        *timed, watched = answers
        seconds = [scale * answer["seconds"] for answer in timed]
        whole = statistics.median(answer["growth"]["all"] for answer in timed)
        after = (statistics.median(answer["growth"][name] for answer in timed) for name in ("private", "mapped"))
        memory = (whole, watched["peak"]["private"], watched["peak"]["mapped"], *after)
        spread = f"{min(seconds):.3g} to {max(seconds):.3g}"
        print_row(side, f"{statistics.median(seconds):.3g}", spread, *(f"{level / unit:.3f}" for level in memory))
    pairs = zip(found["ours"][:-1], found["reference"][:-1], strict=True)
    ratios = [ours["seconds"] / theirs["seconds"] for ours, theirs in pairs]
    print(f"\nOurs takes {statistics.median(ratios):.3f} times the time of the reference", end=" ")
    print(f"({min(ratios):.3f} to {max(ratios):.3f}, {len(ratios)} rounds).", flush=True)


def run(options: argparse.Namespace, directory: Path) -> None:
    parameters = ask_for_files(options, directory)
    weights = 4 * parameters
    for name, file in FORMATS.items():
        (directory / name / file).read_bytes()  # into the cache of the operating system
    path = directory / "safetensors" / FORMATS["safetensors"]
    found = rounds_of(options, "open", str(path))
    if found:
        print_sides(found, 10**6, f"Opening a safetensors file of {path.stat().st_size / 1e6:.0f} MB; memory in MB", 1000)
    for name, file in FORMATS.items():
        found = rounds_of(options, "load", str(directory / name))
        if not found:
            continue
        print_sides(
            found, weights, f"Loading {parameters:,} parameters from {file}; memory in units of their {weights / 1e6:.0f} MB"
        )
        if len({answers[-1]["then"] for answers in found.values()}) > 1:
            raise AssertionError(f"{file}: the parameters differ")
        print("Both have the same parameters.", flush=True)


def ask_for_files(options: argparse.Namespace, directory: Path) -> int:
    """Make the files, if they are not there; the number of parameters."""
    note = directory / "parameters.json"
    if not note.is_file():
        with started(options.reference_python, "make", "reference", str(directory)) as process:
            note_text, _ = process.communicate()
        if process.returncode:
            raise SystemExit("the files could not be made: see --reference-python")
        note.write_text(note_text)
    return json.loads(note.read_text())["parameters"]


def main() -> None:
    parser = argparse.ArgumentParser(description="The time and the memory that checkpoints take.")
    parser.add_argument("--reference-python", help="a Python with transformers 4.37.2, PyTorch and safetensors")
    parser.add_argument("--directory", type=Path, help="where the files are, or are made; temporary if not given")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return child(*options.child)
    if not options.reference_python:
        parser.error("--reference-python is needed")
    if options.directory:
        options.directory.mkdir(parents=True, exist_ok=True)
        return run(options, options.directory)
    with tempfile.TemporaryDirectory() as temporary:
        run(options, Path(temporary))


if __name__ == "__main__":
    main()
