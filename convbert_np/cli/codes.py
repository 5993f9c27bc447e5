"""Exit codes, and checks that several commands make of their arguments."""

import argparse
import os
from pathlib import Path

OK, FAILED, MISUSED, INTERRUPTED = 0, 1, 2, 130


def positive(text: str) -> int:
    """A positive number, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


def check_target(path: str, option: str, ending: str = "") -> None:
    """Raise ValueError or OSError if the option's file could not be written there: before all the work, not after it."""
    if ending and not path.endswith(ending):
        raise ValueError(f"{option}: must end in {ending}, got {path!r}")
    directory = Path(path).parent
    if not directory.is_dir() or Path(path).is_dir() or not os.access(directory, os.W_OK):
        raise OSError(f"{option}: {path!r} cannot be written: {directory} is no directory to write to, or the file is one")
