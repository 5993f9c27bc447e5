"""Exit codes, and checks that several commands make of their arguments."""

import argparse
import os
from pathlib import Path

OK, FAILED, MISUSED, INTERRUPTED = 0, 1, 2, 130


def positive(text: str) -> int:
    """A positive number, for argparse."""
    if not text.strip().isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return int(text)


def check_target(path: str, option: str, ending: str = "") -> None:
    """Raise ValueError or OSError if the option's file could not be written there: before all the work, not after it."""
    if ending and not path.endswith(ending):
        raise ValueError(f"{option}: must end in {ending}, got {path!r}")
    directory = Path(path).parent
    if Path(path).is_dir():
        raise OSError(f"{option}: {path!r} is a directory, not a file to write")
    if not directory.is_dir() or not os.access(directory, os.W_OK):
        raise OSError(f"{option}: {path!r} cannot be written: {directory} is no directory to write to")
