"""`convbert-np doctor`: what this machine offers, what NumPy makes of it, and what is left lying."""

import argparse
import json
import os
from collections.abc import Mapping
from typing import Any

import convbert_np
from convbert_np.cli.codes import OK
from convbert_np.cli.kernels import CHOICE, SWITCH
from convbert_np.verify.advice import GAIN, UNCLEAR, Advice, measured, remarks, trials
from convbert_np.verify.blas import Blas, find_blas
from convbert_np.verify.machine import (
    Sources,
    extras_facts,
    memory_facts,
    numpy_facts,
    processor_facts,
    python_facts,
    threads_facts,
)
from convbert_np.verify.rates import measure

Report = dict[str, dict[str, Any]]
UNITS = {"_gflops": "GFLOP/s", "_gb_per_s": "GB/s"}
EXPORT = {"posix": "export {}", "nt": "set {}"}


def add_doctor(commands: argparse._SubParsersAction) -> None:
    """`doctor`."""
    command = commands.add_parser(
        "doctor", help="what this machine offers, and whether NumPy uses it",
        description="Print Python, NumPy, its BLAS and kernel set, threads, processor, memory, two seconds of measured rates, "
        "and advice where something is left lying: each variable that may help is tried in a process of its own, and is advised "
        "only if it gains 5 % or more. Nothing is changed.",
    )  # fmt: skip
    command.add_argument("--json", action="store_true", help="print JSON instead")
    command.set_defaults(command=run_doctor)


def run_doctor(parsed: argparse.Namespace) -> int:
    """`doctor`."""
    sources = Sources()
    blas = find_blas(sources.config)
    report = describe(sources, blas)
    if not parsed.json:
        for section in report:
            print_section(section, report[section])
    report["rates"] = {"threads_of_products": blas.threads} | measure()
    if not parsed.json:
        print_section("rates", report["rates"])
    tried = measured(trials(blas, report["processor"], report["threads"]))
    noted = remarks(blas, report["processor"], report["numpy"], report["memory"])
    if parsed.json:
        print(json.dumps(report | {"tried": [advice.facts() for advice in tried], "remarks": noted}, indent=1))
    else:
        print_advice(tried, noted)
    return OK


def describe(sources: Sources, blas: Blas) -> Report:
    """Everything but the rates."""
    return {
        "python": {"convbert-np": convbert_np.__version__} | python_facts(),
        "numpy": numpy_facts(sources),
        "blas": blas.facts(),
        "processor": processor_facts(sources),
        "threads": threads_facts(sources, blas.threads),
        "memory": memory_facts(sources),
        "extras": extras_facts(),
    }


def print_section(title: str, facts: Mapping[str, Any]) -> None:
    """A heading and a line for each fact."""
    rows = [(label_of(title, name), shown(title, name, value)) for name, value in facts.items()]
    width = max(len(label) for label, _ in rows)
    print(title.upper())
    for label, text in rows:
        print(f"  {label.ljust(width)}  {text}")
    print(flush=True)


def label_of(section: str, name: str) -> str:
    """A fact's name as text."""
    for ending in UNITS:
        name = name.removesuffix(ending)
    return name if section == "extras" else name.replace("_", " ")


def shown(section: str, name: str, value: Any) -> str:
    """A fact as text."""
    if value is None:
        return "none found" if name in ("container_limit", "container_quota") else "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if section == "memory":
        return f"{value / 1e9:.1f} GB"
    if isinstance(value, dict):
        return " ".join(f"{key}={text}" for key, text in value.items()) or "nothing set"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    unit = next((unit for ending, unit in UNITS.items() if name.endswith(ending)), "")
    return f"{value:.1f} {unit}" if unit else f"{value:g}" if isinstance(value, float) else str(value)


def print_advice(tried: list[Advice], noted: list[str]) -> None:
    """What is left lying, and what was tried in vain."""
    useful = [with_how(advice) for advice in tried if advice.verdict == GAIN]
    print("ADVICE")
    for number, text in enumerate([*useful, *noted], 1):
        print(f"  {number}. " + text.replace("\n", "\n     "))
    if not useful and not noted:
        print("  none")
    for advice in tried:
        if advice.verdict != GAIN:
            print(f"  {advice.reason} {in_vain(advice)}")


def in_vain(advice: Advice) -> str:
    """A trial that is no advice."""
    if advice.verdict == UNCLEAR:
        spread = f"{advice.least:.2f} to {advice.most:.2f} times as fast"
        return f"Whether {advice.assignment} helps is not clear ({spread}): the machine is busy; ask again when it is not."
    return f"{advice.assignment} was tried and gains nothing here ({advice.gain:.2f} times as fast)."


def with_how(advice: Advice) -> str:
    """The advice, and how to follow it."""
    how = EXPORT.get(os.name, "{}").format(advice.assignment)
    ours = advice.variables.get(CHOICE) == "SKYLAKEX" and not os.environ.get(CHOICE) and os.environ.get(SWITCH) != "default"
    own = "\nThe commands of convbert-np that compute choose these kernels themselves." if ours else ""
    return f"{advice}\nBefore Python is started: {how}{own}"
