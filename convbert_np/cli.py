"""The command line: convbert-np.

Exit codes: 0 all is well; 1 a check failed, or a value is not finite; 2 the command was misused, or a file cannot be read or
written; 130 interrupted.
"""

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import convbert_np
from convbert_np.checkpoints.pretrained import load_pretrained, warn_of
from convbert_np.data import TINY
from convbert_np.verify.explore import Exploration, explore
from convbert_np.verify.selftest import selftest, summary_table

OK, FAILED, MISUSED, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parsed = parser().parse_args(arguments)
    if sys.stdout is None:
        return MISUSED
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.showwarning = lambda message, *rest, **more: print(f"convbert-np: warning: {message}", file=sys.stderr)
            return parsed.command(parsed)
    except BrokenPipeError:
        sys.stderr.close()
        return OK
    except KeyboardInterrupt:
        print("convbert-np: interrupted", file=sys.stderr)
        return INTERRUPTED
    except (OSError, ValueError, TypeError) as error:
        print(f"convbert-np: error: {str(error).splitlines()[0] if str(error) else type(error).__name__}", file=sys.stderr)
        return MISUSED
    except MemoryError:
        print("convbert-np: error: there is not enough memory for this model and text", file=sys.stderr)
        return MISUSED


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    top = argparse.ArgumentParser(prog="convbert-np", description="ConvBERT in pure NumPy.")
    top.add_argument("--version", action="version", version=f"convbert-np {convbert_np.__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    add_trace(commands)
    add_selftest(commands)
    return top


def add_trace(commands: argparse._SubParsersAction) -> None:
    """`trace TEXT`."""
    command = commands.add_parser(
        "trace", help="run a sentence forward and backward, show every value",
        description="Run TEXT through a masked language model, forward and backward: prints the tokens, every named value with "
        "its gradient, the loss and the predictions. [MASK] in TEXT is to be guessed.",
    )  # fmt: skip
    command.add_argument("text", metavar="TEXT", help='for example "The capital of France is [MASK]."')
    command.add_argument("--pair", metavar="TEXT", help="a second text, in the second segment")
    command.add_argument(
        "--answer", metavar="WORD", action="append", default=[],
        help="what stands behind [MASK]; once per mask. Without it the loss is that of the model's own guess",
    )  # fmt: skip
    command.add_argument(
        "--model", metavar="DIR", default=None,
        help="a directory with config.json, model.safetensors and vocab.txt (default: the tiny, untrained model of the package)",
    )  # fmt: skip
    command.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="default: float32")
    shown = command.add_mutually_exclusive_group()
    shown.add_argument("--only", metavar="TEXT", default="", help="show only values whose name contains this")
    command.add_argument("--top", metavar="N", type=positive, default=5, help="how many predictions to show (default: 5)")
    shown.add_argument("--json", action="store_true", help="print everything that was computed as JSON instead")
    command.add_argument("--save", metavar="FILE.npz", help="write everything that was computed to this file")
    command.set_defaults(command=run_trace)


def positive(text: str) -> int:
    """A positive number, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


def run_trace(parsed: argparse.Namespace) -> int:
    """`trace TEXT`."""
    if parsed.save is not None:
        check_target(parsed.save)
    if parsed.model == "":
        raise ValueError("--model: must be a directory, got an empty name")
    directory = parsed.model or TINY
    tokenizer = convbert_np.ConvBertTokenizer.from_pretrained(directory)
    model, report = load_pretrained(convbert_np.ConvBertForMaskedLM, directory, np.dtype(parsed.dtype))
    warn_of(report, directory)
    result = explore(parsed.text, model, tokenizer, parsed.pair, parsed.answer, parsed.top)
    if parsed.save:
        result.save(parsed.save)
    if parsed.json:
        result.write_json(sys.stdout)
    else:
        print_exploration(result, parsed, trained=parsed.model is not None and not report.missing_keys)
    wrong = result.trace.first_non_finite()
    if wrong is not None:
        print(f"convbert-np: {wrong.name} is the first value that is not finite", file=sys.stderr)
        return FAILED
    return OK


def check_target(path: str) -> None:
    """Raise ValueError or OSError if --save could not write there: before all the work, not after it."""
    if not path.endswith(".npz"):
        raise ValueError(f"--save: must end in .npz, got {path!r}")
    directory = Path(path).parent
    if not directory.is_dir() or Path(path).is_dir() or not os.access(directory, os.W_OK):
        raise OSError(f"--save: {path!r} cannot be written: {directory} is no directory to write to, or the file is one")


def print_exploration(result: Exploration, parsed: argparse.Namespace, trained: bool) -> None:
    """Tokens, values, loss, predictions."""
    shown = result.trace.only(parsed.only)
    if not len(shown):
        raise ValueError(f"--only: no name of a value contains {parsed.only!r}; without it all names are shown")
    print("TOKENS", result.token_table(), sep="\n")
    print(f"\nVALUES, in the order of computation ({len(shown)} of {len(result.trace)})", shown, sep="\n")
    print(f"\nLOSS {float(result.output.loss):.6f}  ({result.objective})")
    print("\nPREDICTIONS", result.prediction_table(), sep="\n")
    if not trained:
        whose = "The model of the package" if parsed.model is None else "This model's masked-LM head"
        print(f"\n{whose} is not trained: its predictions mean nothing. --model DIR takes one that is.")
    if parsed.save:
        print(f"\nwritten: {parsed.save}")


def add_selftest(commands: argparse._SubParsersAction) -> None:
    """`selftest`."""
    command = commands.add_parser(
        "selftest", help="compare this installation with values that PyTorch computed",
        description="Compute the shipped golden values on this machine, in float64 and float32, and compare each tensor with "
        "what PyTorch computed: error, rounding floor, and their ratio. Exit code 1 if any tensor is wrong.",
    )  # fmt: skip
    command.add_argument("--brief", action="store_true", help="one line per bundle instead of one per tensor")
    command.set_defaults(command=run_selftest)


def run_selftest(parsed: argparse.Namespace) -> int:
    """`selftest`."""
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


if __name__ == "__main__":
    sys.exit(main())
