"""`convbert-np inspect` and `convbert-np convert`: what is in a checkpoint, and the same in another format."""

import argparse
import json
import re
from math import prod
from pathlib import Path

from convbert_np.checkpoints.convert import DTYPES, convert
from convbert_np.checkpoints.inspection import Inspection, inspect
from convbert_np.checkpoints.writing import FORMATS
from convbert_np.cli.codes import FAILED, OK
from convbert_np.config import ConvBertConfig
from convbert_np.verify.table import Table

OPTIONS = {"source": "SRC", "target": "DST"} | {name: f"--{name}" for name in ("part", "format", "dtype", "config")}
WHERE = (
    "a directory with config.json and weights; the file of the weights (model.safetensors, pytorch_model.bin, tf_model.h5, "
    ".npz, or an index of several); or the prefix of a TensorFlow 1 bundle (model.ckpt-1000)"
)


def add_inspect(commands: argparse._SubParsersAction) -> None:
    """`inspect PATH`."""
    command = commands.add_parser(
        "inspect", help="list the tensors of a checkpoint of any format",
        description="List the names, types and shapes of the tensors in PATH. Their values are not read unless --values asks for "
        "them. Nothing in a file is ever executed. Exit code 1 if --values finds a number that is not finite.",
    )  # fmt: skip
    command.add_argument("path", metavar="PATH", help=WHERE)
    command.add_argument("--values", action="store_true", help="read the values, too: smallest, largest, mean, std")
    command.add_argument("--only", metavar="TEXT", default="", help="only tensors whose name contains this")
    command.add_argument("--json", action="store_true", help="print JSON instead of a table")
    command.set_defaults(command=run_inspect)


def run_inspect(parsed: argparse.Namespace) -> int:
    """`inspect PATH`."""
    found = inspect(parsed.path, parsed.values)
    tensors = {name: tensor for name, tensor in found.checkpoint.tensors.items() if parsed.only in name}
    if found.checkpoint.tensors and not tensors:
        raise ValueError(f"--only: no tensor's name contains {parsed.only!r}")
    if parsed.json:
        print(json.dumps(as_json(found, tensors), indent=1))
    else:
        print_inspection(found, tensors)
    return FAILED if any(found.statistics[name].not_finite for name in tensors if name in found.statistics) else OK


def as_json(found: Inspection, tensors: dict) -> dict:
    """What was found as JSON holds it."""
    checkpoint = found.checkpoint
    rows = {
        name: {"dtype": tensor.dtype, "shape": list(tensor.shape), "bytes": tensor.nbytes}
        | (found.statistics[name]._asdict() if name in found.statistics else {})
        for name, tensor in tensors.items()
    }
    return {
        "format": checkpoint.format,
        "path": str(checkpoint.path),
        "files": {str(file): file.stat().st_size for file in checkpoint.files},
        "parameters": found.parameters,
        "tensors": rows,
    }


def print_inspection(found: Inspection, tensors: dict) -> None:
    """A summary and a table."""
    checkpoint = found.checkpoint
    print(f"{checkpoint.path}: {checkpoint.format}")
    for file in checkpoint.files:
        print(f"  {file.name}  {file.stat().st_size:,} bytes")
    types = ", ".join(f"{count} {dtype}" for dtype, count in found.dtypes.most_common())
    print(f"{len(checkpoint.tensors)} tensors ({types}), {found.parameters:,} numbers\n")
    header = ["tensor", "type", "shape", "numbers"]
    rows = [[name, t.dtype, " x ".join(map(str, t.shape)) or "one number", f"{prod(t.shape):,}"] for name, t in tensors.items()]
    if found.statistics:
        header += ["smallest", "largest", "mean", "std", "not finite"]
        for row in rows:
            *numbers, not_finite = found.statistics[row[0]]
            row += [*(f"{number:.4g}" for number in numbers), str(not_finite)]
    print(Table(header, rows, right=range(3, len(header))))


def add_convert(commands: argparse._SubParsersAction) -> None:
    """`convert SRC DST`."""
    command = commands.add_parser(
        "convert", help="write a checkpoint in another format",
        description="Read SRC, whatever its format, and write it under the names of PyTorch's state_dict. The state of an "
        "optimizer is left out.",
    )  # fmt: skip
    command.add_argument("source", metavar="SRC", help=WHERE)
    command.add_argument(
        "target", metavar="DST", help="a directory, which gets config.json and the weights, or a file .safetensors, .bin or .npz"
    )
    command.add_argument("--format", choices=tuple(FORMATS), help="of a directory's weights (default: safetensors)")
    command.add_argument("--dtype", choices=DTYPES, help="convert all real numbers (default: as they are)")
    command.add_argument(
        "--part", choices=("discriminator", "generator"), default="discriminator",
        help="of a TensorFlow 1 bundle (default: discriminator, the released ConvBERT)",
    )  # fmt: skip
    command.add_argument("--config", metavar="FILE", help="a config.json to take in place of that beside SRC")
    command.add_argument("--shard-size", metavar="SIZE", default="5GB", help="split larger weights, e.g. 200MB (default: 5GB)")
    command.add_argument("--overwrite", action="store_true", help="replace what DST holds")
    command.set_defaults(command=run_convert)


def run_convert(parsed: argparse.Namespace) -> int:
    """`convert SRC DST`."""
    config = None if parsed.config is None else ConvBertConfig.from_json_file(parsed.config)
    try:
        done = convert(
            parsed.source, parsed.target, parsed.format, parsed.dtype, parsed.part, config, parsed.shard_size, parsed.overwrite
        )
    except (ValueError, OSError) as error:
        text = str(error).replace("overwrite=True", "--overwrite").replace("max_shard_size", "--shard-size")
        text = text.replace("give config= a ConvBertConfig", "give --config")
        raise ValueError(re.sub(r"^(\w+):", lambda said: f"{OPTIONS.get(said[1], said[1])}:", text)) from error
    total = sum(tensor.nbytes for tensor in done.tensors.values())
    print(f"read: {done.source.path}, {done.source.format}, {len(done.source.tensors)} tensors")
    if done.left_out:
        print(f"left out: the state of an optimizer, {len(done.left_out)} tensors")
    for file in done.files:
        print(f"written: {file}, {Path(file).stat().st_size:,} bytes")
    for file in done.removed:
        print(f"removed: {file}, weights of before")
    print(f"{len(done.tensors)} tensors, {total:,} bytes of values")
    return OK
