"""Checkpoints written: config.json and the weights, in one file or in several, as the reference lays them out."""

import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from convbert_np.checkpoints.npz import write_npz
from convbert_np.checkpoints.safetensors import write_safetensors
from convbert_np.checkpoints.sharded import MOST_SHARDS, as_size, index_text, shard_files, split
from convbert_np.checkpoints.stored import BFLOAT16, StoredTensor
from convbert_np.checkpoints.torch_writer import write_torch
from convbert_np.config import ConvBertConfig
from convbert_np.files import write_text

Tensors = Mapping[str, np.ndarray | StoredTensor]


class Arrays(Mapping[str, np.ndarray]):
    """Tensors as arrays; a stored one is read each time it is asked for, and not kept."""

    def __init__(self, tensors: Tensors):
        self.tensors = tensors

    def __getitem__(self, name: str) -> np.ndarray:
        tensor = self.tensors[name]
        return tensor.array() if isinstance(tensor, StoredTensor) else tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)


def write_as_pytorch(path: Path, tensors: Tensors) -> None:
    """A .safetensors file that transformers takes for PyTorch's."""
    write_safetensors(path, tensors, {"format": "pt"})


def write_as_torch(path: Path, tensors: Tensors) -> None:
    """A file as torch.save writes it."""
    write_torch(path, Arrays(tensors))


def write_as_npz(path: Path, tensors: Tensors) -> None:
    """A file as numpy.savez writes it."""
    write_npz(path, Arrays(tensors))


FORMATS: dict[str, tuple[str, Callable[[Path, Tensors], None]]] = {  # the file of each, and what writes it
    "safetensors": ("model.safetensors", write_as_pytorch),
    "torch": ("pytorch_model.bin", write_as_torch),
    "npz": ("model.npz", write_as_npz),
}
RIVALS = ("tf_model.h5", "tf_model.h5.index.json")  # preferred to an .npz when a directory is read
ENDINGS = {os.path.splitext(weights)[1]: name for name, (weights, _) in FORMATS.items()}
CONFIG = "config.json"
REAL = ("float16", "float32", "float64", BFLOAT16)
INDEX = ".index.json"
SHARD = r"(-\d{5}-of-\d{5})?"
OURS = re.compile(
    rf"model{SHARD}\.safetensors|pytorch_model{SHARD}\.bin|model\.npz|(model\.safetensors|pytorch_model\.bin){re.escape(INDEX)}"
)


def is_ours(name: str) -> bool:
    """Whether a file of weights has a name that `write_checkpoint`, or the reference, gives."""
    return OURS.fullmatch(name) is not None


def write_checkpoint(
    directory: Path, config: ConvBertConfig, tensors: Tensors, format: str, max_shard_size: int | str = "5GB"
) -> tuple[list[Path], list[Path]]:
    """Write config.json and the weights into a directory, which is made if there is none; the files written and removed.

    All files are written into a directory of their own first; if that fails, nothing has changed. Then they are renamed into
    their places (see `put_in_place`), and weights of an earlier call, which a loader might take for the new ones, are removed.
    An .npz is never sharded.

    Raises ValueError naming max_shard_size if that makes more shards than are read, FileExistsError if the directory holds
    weights of another kind that would be loaded in place of the new ones, NotADirectoryError if it is a file.
    """
    weights, write = FORMATS[format]
    same, sizes = repeated(tensors), {name: value.nbytes for name, value in tensors.items()}
    most = as_size(max_shard_size)
    shards = [list(tensors)] if format == "npz" else split(sizes, most, same)
    if len(shards) > MOST_SHARDS:
        raise ValueError(f"max_shard_size: {max_shard_size!r} makes {len(shards)} files; {MOST_SHARDS} are allowed")
    names = shard_files(weights, len(shards))
    check_directory(directory, weights, [*names, CONFIG])
    with present(directory), tempfile.TemporaryDirectory(dir=directory, prefix=".convbert-np-") as staged:
        stage = Path(staged)
        with_dtype(config, tensors).save_pretrained(stage)
        for file, shard in zip(names, shards, strict=True):
            write(stage / file, {name: tensors[name] for name in shard})
        if len(shards) > 1:
            total = sum(size for name, size in sizes.items() if name not in same)
            write_text(stage / f"{weights}{INDEX}", index_text(zip(names, shards, strict=True), total))
            names.append(f"{weights}{INDEX}")
        removed = put_in_place(stage, directory, names)
    return [directory / name for name in (CONFIG, *names)], removed


def with_dtype(config: ConvBertConfig, tensors: Tensors) -> ConvBertConfig:
    """The configuration with the type of the weights as torch_dtype, which transformers loads them in if it is told "auto"."""
    types = {value.dtype if isinstance(value, StoredTensor) else value.dtype.name for value in tensors.values()} & set(REAL)
    return ConvBertConfig.from_dict(config.to_dict(), torch_dtype=types.pop()) if len(types) == 1 else config


@contextmanager
def present(directory: Path) -> Iterator[None]:
    """Make a directory, and those above it, if there is none; if the block fails, those that were made are removed again."""
    made = [path for path in (directory, *directory.parents) if not path.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        with suppress(OSError):  # somebody else has put something there
            for path in made:
                path.rmdir()
        raise


def put_in_place(stage: Path, directory: Path, names: list[str]) -> list[Path]:
    """Rename config.json and the files of weights into a directory, and remove other weights there; what was removed.

    Whenever this is broken off, a loader finds the old model, the new one, or none, never parts of both. What makes weights
    loadable, the one file or the index, comes last. An old index goes first; under another configuration all old weights do.
    """
    ours = sorted((file for file in directory.iterdir() if is_ours(file.name)), key=lambda file: not file.name.endswith(INDEX))
    first = [file for file in ours if file.name.endswith(INDEX) or not same_content(stage / CONFIG, directory / CONFIG)]
    for file in first:
        file.unlink()
    for name in (CONFIG, *names):
        os.replace(stage / name, directory / name)
    for file in ours:
        if file.name not in names and file not in first:
            file.unlink()
    return [file for file in ours if file.name not in names]


def same_content(one: Path, other: Path) -> bool:
    """Whether two files are the same, byte for byte; one may be absent."""
    return other.is_file() and one.read_bytes() == other.read_bytes()


def check_directory(directory: Path, weights: str, names: list[str]) -> None:
    """Raise NotADirectoryError for a file, PermissionError for a directory that is closed, and FileExistsError for what would be
    loaded in place of the weights, or is in the way."""
    found = next(path for path in (directory, *directory.absolute().parents) if os.path.lexists(path))
    if not found.is_dir():
        raise NotADirectoryError(f"{found}: is a file, not a directory to write to")
    if not os.access(found, os.W_OK | os.X_OK):
        raise PermissionError(f"{found}: is a directory that one may not write to")
    for rival in RIVALS:
        if weights == "model.npz" and (directory / rival).exists():
            raise FileExistsError(f"{directory}: holds {rival}, which would be loaded in place of {weights}; remove it first")
    for name in names:
        if (directory / name).is_dir():
            raise FileExistsError(f"{directory / name}: is a directory where a file is to be written")


def repeated(tensors: Tensors) -> dict[str, str]:
    """Name to an earlier name, of each array that is that of the earlier name (a tied weight)."""
    first: dict[int, str] = {}
    arrays = {name: id(value) for name, value in tensors.items() if isinstance(value, np.ndarray)}
    return {name: first[place] for name, place in arrays.items() if first.setdefault(place, name) != name}
