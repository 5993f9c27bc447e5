"""What a run of training must remember: checkpoints that appear whole or not at all, and the log."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from convbert_np.checkpoints.errors import CheckpointError
from convbert_np.checkpoints.safetensors import open_safetensors, read_header, write_safetensors
from convbert_np.files import write_text
from convbert_np.training.optimizer import Moments

CHECKPOINT, LOG = "checkpoint.safetensors", "log.jsonl"
PARAMETER, FIRST, SECOND = "parameter/", "first/", "second/"
TEMPORARY = ".convbert-np-*"


class State(NamedTuple):
    """The parameters and their moments after so many steps."""

    params: Mapping[str, np.ndarray]
    moments: Moments
    step: int


def save_state(directory: str | os.PathLike[str], state: State, settings: Mapping[str, Any]) -> None:
    """Write checkpoint.safetensors, whole or not at all: parameters, moments, the number of steps done, the settings.

    The order of the data and every random number follow from the settings' seed and the number of steps: so they are saved too.
    """
    groups = {PARAMETER: state.params, FIRST: state.moments.first, SECOND: state.moments.second}
    tensors = {prefix + name: value for prefix, group in groups.items() for name, value in group.items()}
    metadata = {"step": str(state.step), "settings": json.dumps(settings, sort_keys=True)}
    write_safetensors(Path(directory) / CHECKPOINT, tensors, metadata)


def load_state(directory: str | os.PathLike[str], params: Mapping[str, np.ndarray], settings: Mapping[str, Any]) -> State | None:
    """The state that a run left, copied into the arrays of `params` and moments of its own; None if it left none.

    Raises ValueError naming the setting if the run was started with others, CheckpointError if the file is not of such a model.
    """
    path = Path(directory) / CHECKPOINT
    if not path.is_file():
        return None
    metadata = read_header(path).metadata
    check_same(path, json.loads(metadata.get("settings", "{}")), json.loads(json.dumps(settings)))
    tensors = open_safetensors(path)
    found = {}
    for prefix in (PARAMETER, FIRST, SECOND):
        group = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        shapes = {name: (tensor.shape, tensor.dtype) for name, tensor in group.items()}
        if shapes != {name: (p.shape, p.dtype.name) for name, p in params.items()}:
            raise CheckpointError(path, f"the tensors {prefix}... are not those of this model")
        found[prefix] = {name: group[name].copy() for name in params}
    for name, p in params.items():
        p[...] = found[PARAMETER][name]
    return State(params, Moments(found[FIRST], found[SECOND]), int(metadata["step"]))


def check_same(path: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Raise ValueError, naming the first that differs, unless the settings are those of the run that is resumed."""
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            raise ValueError(
                f"{name}: is {new.get(name)!r}, but the run in {path.parent} was started with {old.get(name)!r}; "
                "resume it with the same settings, or give another directory"
            )


def begin_log(directory: str | os.PathLike[str], step: int) -> None:
    """Make the log ready to be continued after `step` steps: what was written later, or in part, goes; so do temporary files."""
    for left_over in Path(directory).glob(TEMPORARY):
        left_over.unlink()
    kept = [record for record in read_log(directory) if record["step"] <= step]
    write_text(Path(directory) / LOG, "".join(json.dumps(record) + "\n" for record in kept))


def append_log(directory: str | os.PathLike[str], record: Mapping[str, Any]) -> None:
    """Add a line to log.jsonl."""
    with open(Path(directory) / LOG, "a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def read_log(directory: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The records of log.jsonl in order; a last line that was cut off is left out. None if there is no log."""
    path = Path(directory) / LOG
    lines = path.read_text(encoding="utf-8").split("\n") if path.is_file() else [""]
    return [json.loads(line) for line in lines[:-1] if line.endswith("}")]
