"""Checkpoints written: config.json and the weights, in one file or in several, as the reference lays them out."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from convbert_np.checkpoints.npz import write_npz
from convbert_np.checkpoints.safetensors import write_safetensors
from convbert_np.checkpoints.sharded import as_size, index_text, shard_files, split
from convbert_np.checkpoints.stored import StoredTensor
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
ENDINGS = {os.path.splitext(weights)[1]: name for name, (weights, _) in FORMATS.items()}
OURS = re.compile(r"(model|pytorch_model)(-\d{5}-of-\d{5})?\.(safetensors|bin|npz)(\.index\.json)?")


def write_checkpoint(
    directory: Path, config: ConvBertConfig, tensors: Tensors, format: str, max_shard_size: int | str = "5GB"
) -> list[Path]:
    """Write config.json and the weights into a directory, which is made if there is none; the files of the weights.

    Each file appears whole or not at all. Weights that another call left there are removed, so that no loader takes them for the
    new ones: an index before the shards that it names are replaced, and all others at the end. An .npz is never sharded.
    """
    weights, write = FORMATS[format]
    most = as_size(max_shard_size)
    same = repeated(tensors)
    sizes = {name: value.nbytes for name, value in tensors.items()}
    shards = [list(tensors)] if format == "npz" else split(sizes, most, same)
    names = shard_files(weights, len(shards))
    directory.mkdir(parents=True, exist_ok=True)
    if len(shards) > 1:
        for file in directory.iterdir():
            if OURS.fullmatch(file.name) and file.name.endswith(".index.json"):
                file.unlink()
    config.save_pretrained(directory)
    for file, shard in zip(names, shards, strict=True):
        write(directory / file, {name: tensors[name] for name in shard})
    if len(shards) > 1:
        total = sum(size for name, size in sizes.items() if name not in same)
        write_text(directory / f"{weights}.index.json", index_text(zip(names, shards, strict=True), total))
        names.append(f"{weights}.index.json")
    for file in list(directory.iterdir()):
        if OURS.fullmatch(file.name) and file.name not in names:
            file.unlink()
    return [directory / name for name in names]


def repeated(tensors: Tensors) -> dict[str, str]:
    """Name to an earlier name, of each array that is that of the earlier name (a tied weight)."""
    first: dict[int, str] = {}
    arrays = {name: id(value) for name, value in tensors.items() if isinstance(value, np.ndarray)}
    return {name: first[place] for name, place in arrays.items() if first.setdefault(place, name) != name}
