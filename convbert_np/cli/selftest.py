"""`convbert-np selftest`: this installation against PyTorch's values."""

import argparse

from convbert_np.checkpoints.pretrained import load_pretrained
from convbert_np.cli.codes import FAILED, OK
from convbert_np.interface.models import ConvBertModel
from convbert_np.verify.releases import recognise
from convbert_np.verify.selftest import selftest, summary_table


def add_selftest(commands: argparse._SubParsersAction) -> None:
    """`selftest`."""
    command = commands.add_parser(
        "selftest", help="compare this installation with values that PyTorch computed",
        description="Compute the shipped golden values on this machine, in float64 and float32, and compare each tensor with "
        "what PyTorch computed: error, rounding floor, and their ratio. Exit code 1 if any tensor is wrong. With --model, "
        "compare a checkpoint with the published values of the released model that has its sizes.",
    )  # fmt: skip
    command.add_argument(
        "--model", metavar="DIR", help="a checkpoint (directory, file or repository's id): does it give its published values?"
    )
    command.add_argument("--brief", action="store_true", help="one line per bundle instead of one per tensor")
    command.set_defaults(command=run_selftest)


def run_selftest(parsed: argparse.Namespace) -> int:
    """`selftest`."""
    if parsed.model is not None:
        return run_recognition(parsed.model)
    results = selftest()
    if not parsed.brief:
        for result in results:
            print(result.table(), end="\n\n")
    print(summary_table(results))
    print(
        "\nerror: relative to PyTorch in float64. floor: the error of PyTorch's own float32. allowed: 1e-12 (values) and 1e-11"
        "\n(gradients) in float64, 5 floors in float32; exact ones must be exact, and those that are zero by theory are judged on"
        "\nthe scale of their summands."
    )
    wrong = sum(not comparison.ok for result in results for comparison in result.comparisons)
    count = sum(len(result.comparisons) for result in results)
    print(f"\n{count - wrong} of {count} tensors agree with PyTorch" + ("" if wrong == 0 else f"; {wrong} ARE WRONG"))
    return FAILED if wrong or not count else OK


def run_recognition(name_or_path: str) -> int:
    """`selftest --model DIR`."""
    model, report = load_pretrained(ConvBertModel, name_or_path)
    if report.missing_keys:
        raise ValueError(f"--model: {name_or_path} lacks {', '.join(report.missing_keys)}, so its values mean nothing")
    print(f"{name_or_path}: {model}")
    found = recognise(model)
    print(found)
    return FAILED if found.is_same is False else OK
