"""`convbert-np trace`: a sentence through a model and back."""

import argparse
import sys

import numpy as np

from convbert_np.checkpoints.pretrained import load_pretrained, warn_of
from convbert_np.cli.codes import FAILED, OK, check_target, positive
from convbert_np.data import TINY
from convbert_np.interface.models import ConvBertForMaskedLM
from convbert_np.tokenization import ConvBertTokenizer
from convbert_np.verify.explore import Exploration, explore


def add_trace(commands: argparse._SubParsersAction) -> None:
    """`trace TEXT`."""
    command = commands.add_parser(
        "trace", help="run a sentence forward and backward, show every value",
        description="Run TEXT through a masked language model, forward and backward: prints the tokens, every named value with "
        "its gradient, the loss and the predictions. [MASK] in TEXT is to be guessed.",
    )  # fmt: skip
    command.add_argument("text", metavar="TEXT", help='for example "How now, my [MASK]?"')
    command.add_argument("--pair", metavar="TEXT", help="a second text, in the second segment")
    command.add_argument(
        "--answer", metavar="WORD", action="append", default=[],
        help="what stands behind [MASK]; once per mask. Without it the loss is that of the model's own guess",
    )  # fmt: skip
    command.add_argument(
        "--model", metavar="DIR", default=None,
        help="a directory with config.json, model.safetensors and vocab.txt (default: the tiny model of the package)",
    )  # fmt: skip
    command.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="default: float32")
    shown = command.add_mutually_exclusive_group()
    shown.add_argument("--only", metavar="TEXT", default="", help="show only values whose name contains this")
    command.add_argument("--top", metavar="N", type=positive, default=5, help="how many predictions to show (default: 5)")
    shown.add_argument("--json", action="store_true", help="print everything that was computed as JSON instead")
    command.add_argument("--save", metavar="FILE.npz", help="write everything that was computed to this file")
    command.set_defaults(command=run_trace)


def run_trace(parsed: argparse.Namespace) -> int:
    """`trace TEXT`."""
    if parsed.save is not None:
        check_target(parsed.save, "--save", ".npz")
    if parsed.model == "":
        raise ValueError("--model: must be a directory, got an empty name")
    directory = parsed.model or TINY
    tokenizer = ConvBertTokenizer.from_pretrained(directory)
    model, report = load_pretrained(ConvBertForMaskedLM, directory, np.dtype(parsed.dtype))
    warn_of(report, directory)
    result = explore(parsed.text, model, tokenizer, parsed.pair, parsed.answer, parsed.top)
    if parsed.save:
        result.save(parsed.save)
    if parsed.json:
        result.write_json(sys.stdout)
    else:
        print_exploration(result, parsed, trained=not report.missing_keys)
    wrong = result.trace.first_non_finite()
    if wrong is not None:
        print(f"convbert-np: {wrong.name} is the first value that is not finite", file=sys.stderr)
        return FAILED
    return OK


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
        print("\nThis model's masked-LM head is not trained: its predictions mean nothing.")
    if parsed.save:
        print(f"\nwritten: {parsed.save}")
