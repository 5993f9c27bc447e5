"""The command line: convbert-np.

Exit codes: 0 all is well; 1 a check failed, or a value is not finite; 2 the command was misused, or a file cannot be read or
written; 130 interrupted.
"""

import argparse
import os
import sys
import warnings
from collections.abc import Sequence

import convbert_np
from convbert_np.cli.checkpoints import add_convert, add_inspect
from convbert_np.cli.codes import INTERRUPTED, MISUSED, OK
from convbert_np.cli.doctor import add_doctor
from convbert_np.cli.finetune import add_finetune, run_finetune
from convbert_np.cli.kernels import choose_kernels, restart_with
from convbert_np.cli.predict import add_predict, run_predict
from convbert_np.cli.pretrain import add_fill_mask, add_pretrain, run_pretrain
from convbert_np.cli.selftest import add_selftest
from convbert_np.cli.tokenizer import add_tokenize, add_train_vocab
from convbert_np.cli.trace import add_trace, run_trace
from convbert_np.training.parallel import StoppedElsewhere


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parsed = parser().parse_args(arguments)
    if sys.stdout is None:
        return MISUSED
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.showwarning = lambda message, *rest, **more: print(f"convbert-np: warning: {message}", file=sys.stderr)
            takes_long = parsed.command in (run_pretrain, run_finetune, run_predict)
            is_heavy = takes_long or (parsed.command is run_trace and parsed.model is not None)
            if is_heavy and (variables := choose_kernels(os.environ, arguments)):
                restart_with(variables)  # returns only if the system refuses
            return parsed.command(parsed)
    except StoppedElsewhere:  # the rank that met the error tells it, and its exit code is that of mpirun
        return OK
    except BrokenPipeError:
        sys.stderr.close()
        return OK
    except KeyboardInterrupt:
        print("convbert-np: interrupted", file=sys.stderr)
        return INTERRUPTED
    except (OSError, ValueError, TypeError, ImportError) as error:
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
    add_tokenize(commands)
    add_train_vocab(commands)
    add_inspect(commands)
    add_convert(commands)
    add_doctor(commands)
    add_pretrain(commands)
    add_fill_mask(commands)
    add_finetune(commands)
    add_predict(commands)
    return top
