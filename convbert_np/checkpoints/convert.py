"""A checkpoint of one format into another."""

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from convbert_np.checkpoints import formats
from convbert_np.checkpoints.formats import Checkpoint, open_checkpoint
from convbert_np.checkpoints.pretrained import configuration_of, read_as, under_our_names
from convbert_np.checkpoints.sharded import as_size
from convbert_np.checkpoints.stored import BFLOAT16, StoredTensor
from convbert_np.checkpoints.tf_bundle import is_slot
from convbert_np.checkpoints.writing import CONFIG, ENDINGS, FORMATS, REAL, is_ours, write_checkpoint
from convbert_np.config import ConvBertConfig, check_flag
from convbert_np.model.initialise import body_shapes
from convbert_np.tokenization.checks import check_path

NOT_WRITTEN = (".pt", ".pth", ".h5", ".ckpt", ".index", ".gguf", ".onnx", ".json", ".txt")  # files, but none to write here
DTYPES = ("float16", "float32", "float64")


class Conversion(NamedTuple):
    """What `convert` did: what it read, the files it wrote and removed, the tensors in them, and the names it left out."""

    source: Checkpoint
    files: list[Path]
    removed: list[Path]
    tensors: dict[str, StoredTensor]
    left_out: list[str]


def convert(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    format: str | None = None,
    dtype: str | None = None,
    part: str = "discriminator",
    config: ConvBertConfig | None = None,
    max_shard_size: int | str = "5GB",
    overwrite: bool = False,
) -> Conversion:
    """Read a checkpoint of any format and write it, under the names of PyTorch's state_dict, in another.

    source     as in `open_checkpoint`
    target     a directory, which gets config.json and the weights; or a file .safetensors, .bin or .npz, which gets the weights
    format     of a directory: "safetensors" (the default), "torch" or "npz"
    dtype      "float16", "float32" or "float64" for all real numbers; None: each as it is (bfloat16 becomes float32 where the
               format or NumPy lacks it)
    part       of a TensorFlow 1 bundle: "discriminator" or "generator"
    config     takes the place of the source's config.json, or of what the shapes of a TensorFlow 1 bundle tell
    overwrite  replace what is there

    The state of an optimizer is left out; everything else is kept, also tensors that belong to no model. Raises TypeError,
    ValueError, FileExistsError, FileNotFoundError or CheckpointError naming the argument or the file; nothing is changed then.
    """
    target = check_path(target, "target")
    check_flag("overwrite", overwrite)
    as_size(max_shard_size)
    if dtype is not None and (not isinstance(dtype, str) or dtype not in DTYPES):
        raise ValueError(f"dtype: must be one of {', '.join(DTYPES)}, got {dtype!r}")
    chosen, is_file = target_of(target, format)
    checkpoint = open_checkpoint(check_path(source, "source"))
    tensors = under_our_names(checkpoint, part)
    left_out = [name for name in checkpoint.tensors if checkpoint.format == formats.TF1 and is_slot(name)]
    keeps_bfloat16 = chosen == "safetensors"
    tensors = {name: recast(tensor, dtype, keeps_bfloat16) for name, tensor in tensors.items()}
    if is_file:
        if config is not None:
            raise ValueError(f"config: the file {target.name} takes none; give a directory")
        check_free(target.parent, [target.name] if target.exists() else [], overwrite)
        FORMATS[chosen][1](target, tensors)
        return Conversion(checkpoint, [target], [], tensors, left_out)
    config = configuration_of(checkpoint, config, part, {})
    check_fits(tensors, config)
    held = [path.name for path in target.iterdir() if is_ours(path.name) or path.name == CONFIG] if target.is_dir() else []
    check_free(target, sorted(held), overwrite)
    check_not_source(checkpoint, target, FORMATS[chosen][0])
    files, removed = write_checkpoint(target, config, tensors, chosen, max_shard_size)
    return Conversion(checkpoint, files, removed, tensors, left_out)


def target_of(target: Path, format: str | None) -> tuple[str, bool]:
    """The format to write, and whether to write a file. Raises ValueError for what cannot be written, or does not fit."""
    if format is not None and (not isinstance(format, str) or format not in FORMATS):
        raise ValueError(f"format: must be one of {', '.join(FORMATS)}, got {format!r}")
    if target.is_dir() or (target.suffix not in (*ENDINGS, *NOT_WRITTEN) and not target.exists()):
        return format or "safetensors", False
    if target.suffix not in ENDINGS:
        raise ValueError(f"target: must be a directory or end in {', '.join(ENDINGS)}, got {str(target)!r}")
    if format not in (None, ENDINGS[target.suffix]):
        raise ValueError(f"format: {format!r} does not fit the file {target.name}")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{target}: there is no directory {target.parent}")
    return ENDINGS[target.suffix], True


def check_free(directory: Path, held: list[str], overwrite: bool) -> None:
    """Raise FileExistsError for files that would be replaced or removed unasked."""
    if held and not overwrite:
        listed = ", ".join(held[:3]) + (f" and {len(held) - 3} more files" if len(held) > 3 else "")
        raise FileExistsError(f"{directory}: holds {listed}; overwrite=True replaces them")


def check_not_source(checkpoint: Checkpoint, target: Path, weights: str) -> None:
    """Raise ValueError if files of the source would be removed; a single one may be replaced by the new file of its name."""
    inside = [file.name for file in checkpoint.files if is_ours(file.name) and file.resolve().parent == target.resolve()]
    if inside and inside != [weights]:
        raise ValueError(f"target: {target} holds the source, {inside[0]}, which would be removed; give another directory")


def check_fits(tensors: Mapping[str, StoredTensor], config: ConvBertConfig) -> None:
    """Raise ValueError if a configuration asks for other shapes of the body than there are."""
    shapes = body_shapes(config)
    named = {name.removeprefix("convbert."): tensor.shape for name, tensor in tensors.items()}
    wrong = [f"{name} is {named[name]}, not {shape}" for name, shape in shapes.items() if named.get(name, shape) != shape]
    if wrong:
        raise ValueError(f"config: does not fit the tensors: {'; '.join(wrong[:3])} ({len(wrong)} in all)")


def recast(tensor: StoredTensor, dtype: str | None, keeps_bfloat16: bool) -> StoredTensor:
    """A stored tensor whose real numbers are converted when they are read."""
    wanted = dtype or ("float32" if tensor.dtype == BFLOAT16 and not keeps_bfloat16 else tensor.dtype)
    if tensor.dtype not in REAL or wanted == tensor.dtype:
        return tensor
    read = partial(read_as, tensor, np.dtype(wanted))
    return replace(tensor, dtype=wanted, view=read, fetch=read)
