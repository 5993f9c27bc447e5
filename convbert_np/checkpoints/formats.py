"""Which format a checkpoint has: told by the content of a file, or by the files of a directory."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from convbert_np.checkpoints.errors import CheckpointError
from convbert_np.checkpoints.hdf5 import open_hdf5
from convbert_np.checkpoints.npz import ALWAYS_ALLOWED, LARGEST_RATIO, open_npz
from convbert_np.checkpoints.safetensors import open_safetensors
from convbert_np.checkpoints.sharded import open_shards
from convbert_np.checkpoints.stored import StoredTensor
from convbert_np.checkpoints.tf_bundle import UNREAD, open_tf_bundle
from convbert_np.checkpoints.torch_file import open_torch
from convbert_np.tokenization.checks import check_path

Opener = Callable[[Path], dict[str, StoredTensor]]

OPENERS: dict[str, Opener] = {
    "safetensors": open_safetensors,
    "PyTorch": open_torch,
    "TensorFlow 2 (HDF5)": open_hdf5,
    "TensorFlow 1 (bundle)": open_tf_bundle,
    "NumPy (npz)": open_npz,
}
SAFETENSORS, PYTORCH, TF2, TF1, NPZ = OPENERS
INDEX = ".index.json"
SHARDED = {".safetensors": SAFETENSORS, ".bin": PYTORCH, ".h5": TF2}
BUNDLE_PART = re.compile(r"\.data-[0-9]{5}-of-[0-9]{5}$")
PREFERRED = (  # the order of the reference, and then what it does not read
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "tf_model.h5",
    "tf_model.h5.index.json",
    "model.npz",
    "checkpoint",
)


class Checkpoint(NamedTuple):
    """An open checkpoint.

    format   its name, one of OPENERS
    path     the file, or the index of several
    files    the files that hold its tensors
    tensors  the tensors by their names there
    """

    format: str
    path: Path
    files: tuple[Path, ...]
    tensors: dict[str, StoredTensor]


def open_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Open a file, an index of several, a directory that holds one of them, or the prefix of a TensorFlow 1 bundle.

    No values are read. Of several in a directory the first of PREFERRED is taken. Raises FileNotFoundError if there is none,
    CheckpointError for a file that is in none of the formats or is not what its format asks for.
    """
    found = weights_of(check_path(path, "path"))
    if found.name.endswith(INDEX):
        first = SHARDED.get(Path(found.name.removesuffix(INDEX)).suffix)
        if first is None:
            raise CheckpointError(found, f"is an index of none of {', '.join(SHARDED)} files")
        tensors, files = open_shards(found, OPENERS[first], has_names=first != TF2)
        return checked(Checkpoint(first, found, tuple(files), tensors))
    kind = format_of(found)
    tensors = OPENERS[kind](found)
    files = tuple(map(Path, dict.fromkeys(tensor.path for tensor in tensors.values()))) or (found,)
    return checked(Checkpoint(kind, found, files, tensors))


def checked(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint, after what holds for all formats was checked.

    Raises CheckpointError for a name that cannot be shown, since control characters in one could rewrite a terminal's lines; and
    for tensors that are far more than the files hold, by many tensors on one storage, or many that were never written.
    """
    name = next((name for name in checkpoint.tensors if not name.isprintable()), None)
    if name is not None:
        raise CheckpointError(checkpoint.path, "its name has characters that cannot be printed", name)
    size = sum(file.stat().st_size for file in checkpoint.files)
    total = sum(tensor.nbytes for tensor in checkpoint.tensors.values() if tensor.dtype != UNREAD)
    if total > max(LARGEST_RATIO * size, ALWAYS_ALLOWED):
        reason = f"its tensors have {total:,} bytes together, more than {LARGEST_RATIO} times the {size:,} of its files"
        raise CheckpointError(checkpoint.path, reason)
    return checkpoint


def weights_of(path: Path) -> Path:
    """The file of a checkpoint that is given by a path. Raises FileNotFoundError."""
    if path.is_dir():
        files = sorted(child.name for child in path.iterdir() if child.is_file())
        bundles = [name for name in files if name.endswith(".index")]
        name = next((name for name in (*PREFERRED, *bundles[:1]) if name in files), None)
        if name is None or (name == "checkpoint" and not bundles):
            raise FileNotFoundError(f"{path}: holds no weights; looked for {', '.join(PREFERRED)}, found {files}")
        if name != "checkpoint" and name in bundles and len(bundles) > 1:
            raise FileNotFoundError(f"{path}: holds several bundles, {', '.join(bundles)}; give the path of one")
        return path if name == "checkpoint" else path / name
    if path.is_file():
        return path
    if path.with_name(path.name + ".index").is_file():
        return path.with_name(path.name + ".index")
    raise FileNotFoundError(f"{path}: there is no such file or directory")


def format_of(path: Path) -> str:
    """The format of a file, by its first bytes, or of a bundle by its name. Raises CheckpointError for none of them."""
    if path.is_dir() or path.suffix == ".index":
        return TF1
    with open(path, "rb") as file:
        head = file.read(64)
    if BUNDLE_PART.search(path.name) or head.startswith(b"model_checkpoint_path:"):
        raise CheckpointError(path, "is a part of a TensorFlow 1 bundle; give its prefix (model.ckpt-1000) or its directory")
    if head.startswith(b"version https://git-lfs"):
        raise CheckpointError(path, "is a pointer of Git LFS, not the file itself: `git lfs pull` fetches it")
    if head.startswith(b"PK"):
        return NPZ if path.suffix == ".npz" else PYTORCH
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return TF2
    if head[:1] == b"\x80" and head[1:2] <= b"\x05" and head[8:9] != b"{":
        return PYTORCH
    if head[8:9] == b"{" or path.suffix == ".safetensors":
        return SAFETENSORS
    if path.suffix in (".bin", ".pt", ".pth", ".ckpt"):
        return PYTORCH
    raise CheckpointError(path, f"is in none of the formats {', '.join(OPENERS)}: begins with {head[:8]!r}")
