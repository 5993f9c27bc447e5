"""Try mutated and crafted files on every reader of checkpoints: each must load rightly or be refused by CheckpointError.

    python tests/tools/fuzz_checkpoints.py                       all kinds, 210,000 files together
    python tests/tools/fuzz_checkpoints.py --files 5000 --jobs 2 fewer, on two cores
    python tests/tools/fuzz_checkpoints.py --most-seconds 20     on a machine that is slow or has much else to do
    python tests/tools/fuzz_checkpoints.py --only hdf5 --seed 17 --keep DIR      one file again, written to DIR
    python tests/tools/fuzz_checkpoints.py --reasons             the refusals too, by their words, and which were never reached

What is checked of each file is described in fuzz_judge.py; besides, it may take 1 second of processor time to open and 1 to be
read, 20 seconds at all, and 100 MB more memory than before. The files are read in processes of their own, so that a crash or a
hang ends one of these only. The same number always makes the same file.

Prints a table in Markdown; exits with 1 if any file failed.
"""

import argparse
import json
import os
import random
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[2])]

import fuzz_attacks  # noqa: E402
import fuzz_bundle  # noqa: E402
import fuzz_hdf5  # noqa: E402
import fuzz_json  # noqa: E402
import fuzz_torch  # noqa: E402
import fuzz_zip  # noqa: E402
from fuzz_judge import PACKAGE, Outcome, Watch, judge, put_files  # noqa: E402
from fuzz_parts import Case  # noqa: E402

Builder = Callable[[random.Random], Case]

FILES = 210_000
FORMATS: dict[str, tuple[int, Builder]] = {  # each with its share of the files
    "safetensors": (14, fuzz_json.safetensors),
    "safetensors-blind": (12, fuzz_json.safetensors_blind),
    "torch-zip": (14, fuzz_torch.torch_zip),
    "torch-legacy": (10, fuzz_torch.torch_legacy),
    "torch-pickle": (24, fuzz_torch.pickles),
    "torch-attack": (14, fuzz_attacks.attacks),
    "torch-blind": (12, fuzz_torch.torch_blind),
    "hdf5": (20, fuzz_hdf5.hdf5),
    "hdf5-blind": (14, fuzz_hdf5.hdf5_blind),
    "bundle": (16, fuzz_bundle.bundle),
    "bundle-blind": (10, fuzz_bundle.bundle_blind),
    "npz": (18, fuzz_zip.npz),
    "npz-blind": (10, fuzz_zip.npz_blind),
    "index": (14, fuzz_json.shards),
    "anything": (8, fuzz_json.anything),
}
MOST_SECONDS = 1.0  # of processor time
HANG = 20.0  # by the clock; tests, which must not depend on the machine's speed, allow as much processor time
MOST_MEMORY = 100 << 20
ROOM = 600 << 20  # address space beyond what a worker has at its start
BATCH = 100
PROGRAM = [sys.executable, str(Path(__file__).resolve())]


def make_case(kind: str, seed: int) -> Case:
    """The case of a kind and a number; always the same."""
    return FORMATS[kind][1](random.Random(f"{kind} {seed}"))


@dataclass
class Tally:
    """The results of one kind of files."""

    files: int = 0
    loaded: int = 0
    slowest: float = 0.0
    largest: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    places: set[tuple[str, int]] = field(default_factory=set)
    failures: list[tuple[int, str]] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Take in other results."""
        self.files += other.files
        self.loaded += other.loaded
        self.slowest = max(self.slowest, other.slowest)
        self.largest = max(self.largest, other.largest)
        self.reasons += other.reasons
        self.places |= other.places
        self.failures += other.failures


# In a worker.


def memory() -> tuple[int, int]:
    """The present and the largest memory of this process in bytes."""
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines())
        return tuple(int(lines[key].split()[0]) << 10 for key in ("VmRSS", "VmHWM"))  # type: ignore[return-value]
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
        return peak, peak


def forget_peak() -> None:
    """Let the largest memory be the present one."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def try_case(
    directory: Path, case: Case, watch: Watch, judged: Callable[..., Outcome] = judge, most_seconds: float = HANG
) -> tuple[Outcome, int]:
    """Judge a case; its outcome, with too much time or memory as failures, and by how many bytes the memory grew."""
    put_files(directory, case)
    forget_peak()
    before, _ = memory()
    outcome = judged(directory, case, watch)
    growth = memory()[1] - before
    if outcome.failure is None and outcome.seconds > most_seconds:
        outcome.failure = f"took {outcome.seconds:.1f} s"
    if outcome.failure is None and growth > MOST_MEMORY:
        outcome.failure = f"took {growth >> 20} MB"
    return outcome, growth


def work(kind: str, first: int, last: int, most_seconds: float, skip: set[int], status: Path) -> None:
    """Try the cases [first, last), and print the results as lines of JSON; what is tried now is noted in `status`."""
    warnings.simplefilter("error")
    with suppress(ValueError, OSError):
        size = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + ROOM, resource.RLIM_INFINITY))
    watch, note = Watch(), os.open(status, os.O_RDWR | os.O_CREAT)
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder).resolve()
        for seed in range(first, min(last, first + 20)):  # makes what is made once
            if seed not in skip:
                os.pwrite(note, struct.pack("<q", seed), 0)
                signal.setitimer(signal.ITIMER_REAL, HANG)
                try_case(directory, make_case(kind, seed), watch)
        level, _ = memory()
        for start in range(first, last, BATCH):
            tally = Tally()
            for seed in range(start, min(last, start + BATCH)):
                if seed not in skip:
                    os.pwrite(note, struct.pack("<q", seed), 0)
                    signal.setitimer(signal.ITIMER_REAL, HANG)  # which ends this process
                    record(tally, seed, *try_case(directory, make_case(kind, seed), watch, most_seconds=most_seconds))
            signal.setitimer(signal.ITIMER_REAL, 0)
            if memory()[0] - level > MOST_MEMORY:
                tally.failures.append((start, "keeps memory: the level has risen by more than 100 MB"))
                level = memory()[0]
            print(encoded(min(last, start + BATCH), tally), flush=True)


def record(tally: Tally, seed: int, outcome: Outcome, growth: int) -> None:
    """Count one outcome."""
    tally.files += 1
    tally.loaded += outcome.loaded
    tally.slowest, tally.largest = max(tally.slowest, outcome.seconds), max(tally.largest, growth)
    tally.reasons += outcome.reasons
    tally.places |= outcome.places
    if outcome.failure:
        tally.failures.append((seed, outcome.failure))


def encoded(done: int, tally: Tally) -> str:
    """A line about the files up to a number."""
    return json.dumps({"done": done, **vars(tally), "places": sorted(tally.places)})


# In the main process.


def run(kind: str, first: int, last: int, most_seconds: float = HANG) -> Tally:
    """The results of the cases [first, last), in as many processes as their crashes need."""
    total, skip = Tally(), set()
    with tempfile.TemporaryDirectory() as folder:
        status = Path(folder, "status")
        while first < last:
            code = 0
            for line, ending in lines_of(kind, first, last, most_seconds, skip, status):
                code = ending
                if line:
                    found = json.loads(line)
                    first = found.pop("done")
                    failures, places = ([tuple(pair) for pair in found.pop(key)] for key in ("failures", "places"))
                    total.add(
                        Tally(**found | {"reasons": Counter(found["reasons"]), "failures": failures, "places": set(places)})
                    )
            if first < last:
                seed = struct.unpack("<q", status.read_bytes())[0] if status.exists() else first
                if code >= 0 or seed in skip:
                    raise RuntimeError(f"a worker for {kind} {seed} ended with {code}: an error of the fuzzer itself")
                skip.add(seed)
                why = f"hung for {HANG:.0f} s" if code == -signal.SIGALRM else f"ended the process with {code}"
                total.failures.append((seed, why))
                total.files += 1
    return total


def lines_of(kind: str, first: int, last: int, most_seconds: float, skip: set[int], status: Path) -> Iterator[tuple[str, int]]:
    """What a worker prints, line by line, and at last its exit status."""
    command = [*PROGRAM, "--worker", kind, str(first), str(last), str(most_seconds), str(status), *map(str, sorted(skip))]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as worker:
        for line in worker.stdout or ():
            yield line, 0
    yield "", worker.returncode


def counts(files: int) -> dict[str, int]:
    """How many files of each kind are tried of so many together."""
    shares = sum(share for share, _ in FORMATS.values())
    return {kind: -(-files * share // shares) for kind, (share, _) in FORMATS.items()}


def table(tallies: Mapping[str, Tally]) -> str:
    """The results in Markdown."""
    total = Tally()
    for tally in tallies.values():
        total.add(tally)
    rows = [
        "| format | files | loaded | refused | reasons | slowest (CPU s) | largest growth (MB) | failures |",
        "|---|" + "---:|" * 7,
    ]
    for kind, t in [*tallies.items(), ("**all**", total)]:
        cells = [f"{t.files:,}", f"{t.loaded:,}", f"{t.files - t.loaded:,}", f"{len(t.reasons)}"]
        cells += [f"{t.slowest:.2f}", f"{t.largest / 2**20:.1f}", f"{len(t.failures)}"]
        rows.append(f"| {kind} | {' | '.join(cells)} |")
    return "\n".join(rows)


def unreached(places: set[tuple[str, int]]) -> list[str]:
    """The statements of the readers that refuse something and were never reached."""
    import ast

    found = []
    others = ("convert.py", "hub.py", "pretrained.py")  # which no file leads to
    for path in sorted(path for path in Path(PACKAGE).glob("*.py") if path.name not in others):
        lines = path.read_text(encoding="utf-8").splitlines()
        for node in ast.walk(ast.parse("\n".join(lines))):
            text = lines[node.lineno - 1].strip() if isinstance(node, ast.Raise | ast.Expr) else ""
            refuses = isinstance(node, ast.Raise) and not text.startswith(
                ("raise TypeError", "raise ValueError", "raise FileNot")
            )
            if refuses or text.startswith("self.refuse("):
                assert isinstance(node, ast.Raise | ast.Expr)
                if not any((path.name, line) in places for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)):
                    found.append(f"{path.name}:{node.lineno}: {text:.110}")
    return found


def repeat(kind: str, seed: int, keep: Path | None) -> int:
    """Try one case again, in this process, and print what becomes of it."""
    case = make_case(kind, seed)
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        for name, content in case.files.items():
            (keep / name).write_bytes(content)
    watch = Watch()
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(2):  # once to make what is made once
            outcome, growth = try_case(Path(folder).resolve(), case, watch)
    print(f"{kind} {seed}: target {case.target!r}, reader {case.reader}")
    print("files " + ", ".join(f"{name} ({len(content)} bytes)" for name, content in case.files.items()))
    print(f"loaded {outcome.loaded}, {outcome.seconds:.3f} s, {growth / 2**20:.1f} MB, failure: {outcome.failure}")
    print("\n".join(outcome.reasons))
    return int(outcome.failure is not None)


def main() -> int:
    """Run the program."""
    if sys.argv[1:2] == ["--worker"]:
        kind, first, last, most_seconds, status, *skip = sys.argv[2:]
        work(kind, int(first), int(last), float(most_seconds), set(map(int, skip)), Path(status))
        return 0
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--files", type=int, default=FILES, help="how many, all kinds together")
    parser.add_argument("--first", type=int, default=0, help="the number of the first file of each kind")
    parser.add_argument("--only", choices=FORMATS, help="one kind of files, of its usual number")
    parser.add_argument("--seed", type=int, help="with --only: this file alone")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="with --seed: write the file there")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--most-seconds", type=float, default=MOST_SECONDS, help="of processor time for one file (default 1)")
    parser.add_argument("--reasons", action="store_true", help="print every reason, and the refusals that were never reached")
    parsed = parser.parse_args()
    if parsed.seed is not None:
        return repeat(parsed.only or parser.error("--seed needs --only"), parsed.seed, parsed.keep)
    wanted = {kind: count for kind, count in counts(parsed.files).items() if parsed.only in (None, kind)}
    start = time.monotonic()
    with ThreadPoolExecutor(parsed.jobs) as pool:
        first, limit = parsed.first, parsed.most_seconds
        jobs = {kind: pool.submit(run, kind, first, first + count, limit) for kind, count in wanted.items()}
        tallies = {kind: job.result() for kind, job in jobs.items()}
    if parsed.reasons:
        for kind, tally in tallies.items():
            print(f"\n{kind}\n" + "\n".join(f"{count:7} {reason}" for reason, count in tally.reasons.most_common()))
        print("\nnever reached:\n" + "\n".join(unreached({place for tally in tallies.values() for place in tally.places})) + "\n")
    print(table(tallies))
    print(f"\n{time.monotonic() - start:.0f} s")
    for kind, tally in tallies.items():
        for seed, failure in tally.failures[:20]:
            print(f"FAILED --only {kind} --seed {seed}: {failure}")
    return int(any(tally.failures for tally in tallies.values()))


if __name__ == "__main__":
    sys.exit(main())
