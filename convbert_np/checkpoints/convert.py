"""A checkpoint of one format into another."""

import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from convbert_np.checkpoints import formats
from convbert_np.checkpoints.formats import Checkpoint, open_checkpoint
from convbert_np.checkpoints.pretrained import configuration_of, read_as, under_our_names
from convbert_np.checkpoints.stored import BFLOAT16, StoredTensor
from convbert_np.checkpoints.tf_bundle import is_slot
from convbert_np.checkpoints.writing import ENDINGS, FORMATS, write_checkpoint
from convbert_np.config import ConvBertConfig

DTYPES = ("float16", "float32", "float64")
REAL = (*DTYPES, BFLOAT16)


class Conversion(NamedTuple):
    """What `convert` did: the checkpoint it read, the files it wrote, the tensors in them, and the names it left out."""

    source: Checkpoint
    files: list[Path]
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

    The state of an optimizer is left out; everything else is kept, also tensors that belong to no model. Raises ValueError,
    FileExistsError, FileNotFoundError or CheckpointError naming the argument or the file; nothing is written then.
    """
    target = Path(target)
    chosen = format_of_target(target, format)
    if dtype is not None and dtype not in DTYPES:
        raise ValueError(f"dtype: must be one of {', '.join(DTYPES)}, got {dtype!r}")
    checkpoint = open_checkpoint(source)
    if not overwrite and (target.is_file() or (target / FORMATS[chosen][0]).is_file()):
        raise FileExistsError(f"{target}: exists; overwrite=True replaces it")
    tensors = under_our_names(checkpoint, part)
    left_out = [name for name in checkpoint.tensors if checkpoint.format == formats.TF1 and is_slot(name)]
    keeps_bfloat16 = chosen == "safetensors"
    tensors = {name: recast(tensor, dtype, keeps_bfloat16) for name, tensor in tensors.items()}
    if target.suffix in ENDINGS:
        FORMATS[chosen][1](target, tensors)
        return Conversion(checkpoint, [target], tensors, left_out)
    config = configuration_of(checkpoint, config, part, {})
    return Conversion(checkpoint, write_checkpoint(target, config, tensors, chosen, max_shard_size), tensors, left_out)


def format_of_target(target: Path, format: str | None) -> str:
    """The format to write. Raises ValueError for one that there is not, or that does not fit the file's name."""
    if format is not None and format not in FORMATS:
        raise ValueError(f"format: must be one of {', '.join(FORMATS)}, got {format!r}")
    if target.suffix in ENDINGS and not target.is_dir():
        if format not in (None, ENDINGS[target.suffix]):
            raise ValueError(f"format: {format!r} does not fit the file {target.name}")
        if not target.parent.is_dir():
            raise FileNotFoundError(f"{target}: there is no directory {target.parent}")
        return ENDINGS[target.suffix]
    if target.is_file():
        raise ValueError(f"target: must be a directory or end in {', '.join(ENDINGS)}, got the file {str(target)!r}")
    return format or "safetensors"


def recast(tensor: StoredTensor, dtype: str | None, keeps_bfloat16: bool) -> StoredTensor:
    """A stored tensor whose real numbers are converted when they are read."""
    wanted = dtype or ("float32" if tensor.dtype == BFLOAT16 and not keeps_bfloat16 else tensor.dtype)
    if tensor.dtype not in REAL or wanted == tensor.dtype:
        return tensor
    read = partial(read_as, tensor, np.dtype(wanted))
    return replace(tensor, dtype=wanted, view=read, fetch=read)
