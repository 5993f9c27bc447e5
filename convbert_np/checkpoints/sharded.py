"""Checkpoints in several files: an index of JSON that says which tensor lies in which.

`model.safetensors.index.json` holds {"metadata": {"total_size": bytes}, "weight_map": {tensor: file}}, and the files, in the same
directory, are called model-00001-of-00003.safetensors and so on; those of PyTorch pytorch_model-00001-of-00003.bin.

Source: save_pretrained and from_pretrained of transformers 4.37.2.
"""

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from math import inf
from pathlib import Path
from typing import Any

from convbert_np.checkpoints.errors import CheckpointError, shown
from convbert_np.checkpoints.stored import StoredTensor
from convbert_np.checkpoints.strict_json import LONGEST_JSON, parse_json

LONGEST_NAME = 255  # bytes, of a file
MOST_TENSORS = 50_000
MOST_SHARDS = 256  # they stay open, and a process may have few open files
UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "B": 1, "": 1}
SIZE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([KMG]I?B|B|)\s*", re.IGNORECASE)


def read_weight_map(path: str | os.PathLike[str]) -> dict[str, str]:
    """Tensor to file, of an index. Raises CheckpointError for a file name that is more than a name, so leads elsewhere."""
    path = Path(path)
    if path.stat().st_size > LONGEST_JSON:
        raise CheckpointError(path, f"is longer than {LONGEST_JSON:,} bytes")
    weight_map = parse_json(path, path.read_bytes().lstrip(), "the index").get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(path, "has no weight_map from tensors to files")
    for name, file in weight_map.items():
        if not isinstance(file, str) or not is_plain_name(file):
            raise CheckpointError(path, f"the file {shown(file)} is not a name in the index's own directory", name)
    return weight_map


def is_plain_name(file: str) -> bool:
    """Whether a string is the name of a file and leads into no other directory."""
    if file in ("", ".", "..") or not file.isprintable() or any(c in file for c in "/\\:"):
        return False
    return len(file.encode()) <= LONGEST_NAME


def shard_names(path: str | os.PathLike[str]) -> list[str]:
    """The files that an index names, each once, in its order."""
    return list(dict.fromkeys(read_weight_map(path).values()))


def open_shards(
    path: str | os.PathLike[str], opened: Callable[[Path], dict[str, StoredTensor]], has_names: bool = True
) -> tuple[dict[str, StoredTensor], list[Path]]:
    """The tensors of all files that an index names, each opened by `opened`; and the files.

    Every tensor of the index must be in the file that it is said to be in, unless the index has other names than the files, as
    TensorFlow's (has_names=False); as in the reference, a file may hold more. Raises CheckpointError for one that is not, that
    two files hold, or for a file that there is not.
    """
    path = Path(path)
    weight_map = read_weight_map(path)
    tensors: dict[str, StoredTensor] = {}
    listed: dict[str, list[str]] = {}
    for name, where in weight_map.items():
        listed.setdefault(where, []).append(name)
    if len(listed) > MOST_SHARDS:
        raise CheckpointError(path, f"names {len(listed)} files; {MOST_SHARDS} are allowed")
    files = [path.parent / file for file in listed]
    for file in files:
        if not file.is_file():
            raise CheckpointError(path, f"there is no file {file.name}, which the index names")
        found = opened(file)
        twice = next((name for name in found if name in tensors), None)
        if twice is not None:
            raise CheckpointError(path, f"is in {Path(tensors[twice].path).name} and in {file.name}", twice)
        absent = next((name for name in listed[file.name] if name not in found), None)
        if absent is not None and has_names:
            raise CheckpointError(path, f"is not in {file.name}, where the index says it is", absent)
        tensors |= found
        if len(tensors) > MOST_TENSORS:
            raise CheckpointError(path, f"its files have more than {MOST_TENSORS:,} tensors; no model has so many")
    return tensors, files


def as_size(size: int | str) -> int:
    """A number of bytes from one, or from "5GB" or "200MiB". Raises TypeError or ValueError naming max_shard_size."""
    if isinstance(size, bool) or not isinstance(size, int | str):
        raise TypeError(f"max_shard_size: must be a number of bytes or a string like '5GB', got {size!r}")
    match = SIZE.fullmatch(size) if isinstance(size, str) else None
    if isinstance(size, str) and match is None:
        raise ValueError(f"max_shard_size: must be a number of bytes or a string like '5GB' or '200MiB', got {size!r}")
    number = float(match[1]) * UNITS[match[2].upper()] if match else int(size)
    if not 1 <= number < inf:
        raise ValueError(f"max_shard_size: must be at least 1 byte and finite, got {size!r:.40}")
    return int(number)


def split(sizes: Mapping[str, int], most: int, same: Mapping[str, str] | None = None) -> list[list[str]]:
    """Names in shards of at most `most` bytes, in order; a tensor that is larger has a shard of its own.

    `same` maps a tensor that is another one before it to that: both are in one shard, and its bytes do not count.
    """
    shards: list[list[str]] = [[]]
    total = 0
    for name, size in sizes.items():
        first = (same or {}).get(name, name)
        if first != name:
            next(shard for shard in shards if first in shard).append(name)
            continue
        if shards[-1] and total + size > most:
            shards.append([])
            total = 0
        shards[-1].append(name)
        total += size
    return shards


def shard_files(weights: str, count: int) -> list[str]:
    """The names of the files of so many shards: "model-00001-of-00003.safetensors"; of one, the name itself."""
    stem, ending = os.path.splitext(weights)
    return [weights] if count == 1 else [f"{stem}-{number:05}-of-{count:05}{ending}" for number in range(1, count + 1)]


def index_text(shards: Iterable[tuple[str, list[str]]], total_size: int) -> str:
    """The JSON of an index of (file, its tensors)."""
    weight_map = {name: file for file, names in shards for name in names}
    content: dict[str, Any] = {"metadata": {"total_size": total_size}, "weight_map": weight_map}
    return json.dumps(content, indent=2, sort_keys=True) + "\n"
