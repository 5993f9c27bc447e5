"""Whether a reader behaves on a fuzzed file: it loads all of it and rightly, or raises CheckpointError, and touches nothing else.

All the while an audit hook watches what Python itself reports: a file opened outside of the case's own directory or for writing,
a program or code run, a module imported, a socket opened. Any of these is a failure, whatever the reader returns.
"""

import os
import re
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from fuzz_attacks import CANARY
from fuzz_parts import Case

from convbert_np.checkpoints import Checkpoint, CheckpointError, StoredTensor, formats, open_checkpoint
from convbert_np.checkpoints.pretrained import under_our_names
from convbert_np.checkpoints.stored import BFLOAT16
from convbert_np.checkpoints.tf1_names import config_of_tf1

Reader = Callable[[Path], Mapping[str, StoredTensor]]

KINDS = {
    "safetensors": formats.SAFETENSORS,
    "torch": formats.PYTORCH,
    "hdf5": formats.TF2,
    "bundle": formats.TF1,
    "npz": formats.NPZ,
}
READERS: dict[str, Reader] = {name: formats.OPENERS[kind] for name, kind in KINDS.items()}
PACKAGE = str(Path(formats.__file__).parent)
QUIET = {
    "mmap.__new__",
    "builtins.id",
    "os.listdir",
    "os.scandir",
    "object.__getattr__",
    "sys._getframe",
    "glob.glob",
    "pathlib.Path.glob",
}
LONGEST_MESSAGE = 3000
MOST_VALUES = 30_000_000  # read of one file, so that many names of one storage take no time


class Watch:
    """What the audit hook has seen since `start`; a hook can never be removed, so there is one for the process."""

    def __init__(self):
        self.directory = ""
        self.active = False
        self.seen: list[str] = []
        sys.addaudithook(self.hook)

    def hook(self, event: str, arguments: tuple) -> None:
        """Note an event that no reader has a reason for."""
        if not self.active or event in QUIET:
            return
        if event == "open":
            path, mode, flags = arguments
            here = isinstance(path, str | os.PathLike) and os.path.dirname(os.path.abspath(path)) == self.directory
            if here and mode in ("r", "rb") and not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return
        self.seen.append(f"{event} {arguments!r:.200}")


@dataclass
class Outcome:
    """What became of a case.

    loaded    whether all of it was read
    failure   what is wrong with the reader; None: nothing
    reasons   why what was refused was refused, without numbers and names
    places    the places in the package, (file, line), where it was refused
    """

    loaded: bool = False
    failure: str | None = None
    reasons: Counter[str] = field(default_factory=Counter)
    places: set[tuple[str, int]] = field(default_factory=set)
    seconds: float = 0.0  # of opening or of reading all, whichever took longer


class WrongError(Exception):
    """A reader that returned something wrong."""


def put_files(directory: Path, case: Case) -> None:
    """Write a case's files into a directory, which is emptied."""
    for name in os.listdir(directory):
        os.unlink(directory / name)
    for name, content in case.files.items():
        (directory / name).write_bytes(content)


def judge(directory: Path, case: Case, watch: Watch, readers: Mapping[str, Reader] = READERS) -> Outcome:
    """Read a case whose files are in a directory by `open_checkpoint` and, unless that is the same, by its own reader."""
    outcome, path = Outcome(), directory / case.target
    watch.directory, watch.seen = str(directory), []
    watch.active = True
    try:
        loaded = [attempt(outcome, case, lambda: tensors_of(outcome, path), True)]
        if case.reader in readers and reads_alone(path, case, readers):
            loaded.append(attempt(outcome, case, lambda: readers[case.reader](path)))
    finally:
        watch.active = False
    outcome.loaded = any(loaded)
    check_traces(outcome, directory, case, watch)
    if outcome.loaded and case.refused:
        outcome.failure = outcome.failure or "an attack was loaded"
    if not all(loaded) and case.expected is not None and outcome.failure is None:
        outcome.failure = f"a right file was refused: {next(iter(outcome.reasons), '')}"
    return outcome


def reads_alone(path: Path, case: Case, readers: Mapping[str, Reader]) -> bool:
    """Whether the reader by itself is not what `open_checkpoint` has called already."""
    if readers is not READERS or path.is_dir():
        return True
    try:
        return path.name.endswith(formats.INDEX) or formats.format_of(path) != KINDS[case.reader]
    except CheckpointError:
        return True


def tensors_of(outcome: Outcome, path: Path) -> Mapping[str, StoredTensor]:
    """The tensors of a checkpoint, after the conversion of its names was tried."""
    checkpoint = open_checkpoint(path)
    converted(outcome, checkpoint)
    return checkpoint.tensors


def converted(outcome: Outcome, checkpoint: Checkpoint) -> None:
    """Convert the names as from_pretrained does, and read what comes of it."""
    parts = ("discriminator", "generator") if checkpoint.format == formats.TF1 else ("discriminator",)
    for part in parts:
        try:
            tensors = under_our_names(checkpoint, part)
            if tensors is not checkpoint.tensors:
                for error in read_all(tensors):
                    note(outcome, error)
            if checkpoint.format == formats.TF1 and tensors and checkpoint.tensors:
                config_of_tf1(checkpoint.tensors, part)
        except CheckpointError as error:
            note(outcome, error)


def attempt(outcome: Outcome, case: Case, opened: Callable[[], Mapping[str, StoredTensor]], printable: bool = False) -> bool:
    """Open and read a case; whether it loads. What is wrong goes into the outcome."""
    start = time.process_time()
    try:
        tensors = opened()
        middle = time.process_time()
        outcome.seconds, start = max(outcome.seconds, middle - start), middle
        if printable and not all(map(str.isprintable, tensors)):
            raise WrongError(f"not every name is printable: {list(tensors)!r:.200}")
        refused = read_all(tensors)
        for error in refused:
            note(outcome, error)
        if case.expected is not None and not refused:
            check_expected(tensors, case.expected)
        return not refused
    except CheckpointError as error:
        note(outcome, error)
    except FileNotFoundError as error:
        if not no_such_bundle(case):
            outcome.failure = f"FileNotFoundError: {error}"
        outcome.reasons["there is no such file"] += 1
    except WrongError as error:
        outcome.failure = str(error)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        frame, line = list(traceback.walk_tb(error.__traceback__))[-1]
        outcome.failure = (
            outcome.failure or f"{type(error).__name__}: {error!s:.300} ({os.path.basename(frame.f_code.co_filename)}:{line})"
        )
    finally:
        outcome.seconds = max(outcome.seconds, time.process_time() - start)
    return False


def no_such_bundle(case: Case) -> bool:
    """Whether a case is a directory without the bundle that it names, for which FileNotFoundError is right."""
    return case.target == "" or case.target not in case.files


def read_all(tensors: Mapping[str, StoredTensor]) -> list[CheckpointError]:
    """Read every tensor in every way and compare; the errors of those that are refused."""
    refused, values = [], 0
    if not all(isinstance(tensor, StoredTensor) for tensor in tensors.values()):
        raise WrongError("not every value is a StoredTensor")
    for name, tensor in tensors.items():
        check_name(name)
        if values > MOST_VALUES:
            break
        try:
            with np.errstate(all="ignore"):
                values += check_tensor(tensor)
        except CheckpointError as error:
            refused.append(error)
    return refused


def check_name(name: str) -> None:
    """A name must be text that can be written."""
    if type(name) is not str or any("\ud800" <= c < "\ue000" for c in name):
        raise WrongError(f"the name {name!r:.100} is no text")


def check_tensor(tensor: StoredTensor) -> int:
    """Compare what a tensor says with what each way to read it gives; how many values it has."""
    if any(type(size) is not int or size < 0 for size in tensor.shape) or tensor.nbytes < 0:
        raise WrongError(f"{tensor.name!r} has the shape {tensor.shape}")
    view, fetched = tensor.view(), tensor.fetch()
    kind = "uint16" if tensor.dtype == BFLOAT16 else tensor.dtype
    for array, way in ((view, "view"), (fetched, "fetch")):
        if type(array) is not np.ndarray or array.shape != tensor.shape or array.dtype.name != kind:
            raise WrongError(f"{way} of {tensor.name!r} is {array.dtype} {array.shape}, not {kind} {tensor.shape}")
    if view.flags.writeable or not fetched.flags.writeable or not fetched.flags.c_contiguous or np.shares_memory(view, fetched):
        raise WrongError(f"{tensor.name!r}: the view can be written to, or the copy is no array of its own")
    if fetched.nbytes != tensor.nbytes or view.tobytes() != fetched.tobytes():
        raise WrongError(f"{tensor.name!r}: view and fetch differ")
    array = tensor.array()
    single = tensor.copy() if fetched.dtype.kind == "c" else tensor.copy(np.float32)
    if array.shape != tensor.shape or single.shape != tensor.shape or array.flags.writeable:
        raise WrongError(f"{tensor.name!r}: array and copy have other shapes")
    if single.dtype == np.float32 and not np.array_equal(array.astype(np.float32), single, equal_nan=True):
        raise WrongError(f"{tensor.name!r}: array and copy differ")
    return fetched.size


def check_expected(tensors: Mapping[str, StoredTensor], expected: Mapping[str, np.ndarray]) -> None:
    """Compare with what was put into a right file."""
    if tensors.keys() != expected.keys():
        raise WrongError(f"has the tensors {sorted(tensors)!r:.200}, not {sorted(expected)!r:.200}")
    for name, array in expected.items():
        found = tensors[name].fetch()
        if found.dtype != array.dtype or found.shape != array.shape or found.tobytes() != array.tobytes():
            raise WrongError(f"{name!r} has other values than were written")


def check_traces(outcome: Outcome, directory: Path, case: Case, watch: Watch) -> None:
    """Whether a reader did what none may do."""
    if watch.seen:
        outcome.failure = f"did what no reader may do: {watch.seen[0]}"
    names = set(os.listdir(directory))
    if names != set(case.files) or CANARY in names:
        outcome.failure = f"the files have become {sorted(names)!r:.200}"


def note(outcome: Outcome, error: CheckpointError) -> None:
    """Remember why and where something was refused."""
    text = str(error)
    if len(text) > LONGEST_MESSAGE or any("\ud800" <= c < "\ue000" for c in text):
        outcome.failure = f"the message has {len(text)} characters, or surrogates: {text!r:.200}"
    outcome.reasons[plain(error.reason)] += 1
    for frame, line in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename.startswith(PACKAGE):
            outcome.places.add((os.path.basename(frame.f_code.co_filename), line))


def plain(reason: str) -> str:
    """A reason without the numbers and names in it."""
    reason = re.sub(r"b?'[^']*'|b?\"[^\"]*\"|\([^)]*\)|\[[^]]*\]", "'...'", reason[:300])
    return re.sub(r"-?\b(0x)?[0-9][0-9a-f,]*\b|[0-9]+", "N", reason)[:70]
