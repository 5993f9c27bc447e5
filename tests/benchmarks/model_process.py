"""The processes of the benchmark of the model: which there are, and how they are asked."""

import contextlib
import json
import os
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from model_machine import better_kernels

ROOT = Path(__file__).resolve().parents[2]
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
OURS, TUNED, REFERENCE, ONNX = "ours", "ours, tuned", "reference", "ONNX Runtime"
Json = dict[str, Any]


class Process:
    """A process of model_sides.py: `ask` sends a request and waits for the answer."""

    def __init__(self, kind: str, python: str, threads: int, variables: dict[str, str] | None = None):
        self.kind = kind
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, **dict.fromkeys(THREADS, str(threads)), "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"}
        command = [python, str(Path(__file__).with_name("model_sides.py")), kind]
        pipes: Json = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(command, env=environment | (variables or {}), text=True, **pipes)
        self.hello = self.read("its start")

    def read(self, what: str) -> Json:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the process {self.kind} ended at {what}; its own message stands above")
        return json.loads(line)

    def ask(self, do: str, **request: Any) -> Json:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, **request}) + "\n")
        self.process.stdin.flush()
        return self.read(f"{do} {request}")

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextlib.contextmanager
def started(kind: str, python: str, threads: int, variables: dict[str, str] | None = None) -> Iterator[Process]:
    """One process, ended with the block."""
    process = Process(kind, python, threads, variables)
    try:
        yield process
    finally:
        process.close()


def variants(options: Namespace) -> dict[str, dict[str, str]]:
    """What is added to the environment of our side, by the name of the variant."""
    found: dict[str, dict[str, str]] = {OURS: {}} if "installed" in options.settings else {}
    if "tuned" not in options.settings:
        return found
    with started("ours", sys.executable, options.threads) as probe:
        variables = better_kernels(probe.hello["versions"]["kernels"])
    return found | {TUNED: variables} if variables else {OURS: {}}


def wanted(options: Namespace) -> dict[str, tuple[str, str, dict[str, str]]]:
    """Kind, Python and additions to the environment of every side, by its name."""
    found = {name: ("ours", sys.executable, variables) for name, variables in options.variants.items()}
    if options.reference_python:
        found[REFERENCE] = ("reference", options.reference_python, {})
    if options.onnx:
        found[ONNX] = ("onnx", options.reference_python, {})
    return found


@contextlib.contextmanager
def all_started(options: Namespace) -> Iterator[dict[str, Process]]:
    """A process for every side, ended with the block."""
    with contextlib.ExitStack() as stack:
        sides = wanted(options).items()
        yield {name: stack.enter_context(started(kind, python, options.threads, more)) for name, (kind, python, more) in sides}
