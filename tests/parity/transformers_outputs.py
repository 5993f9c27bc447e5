"""Whether transformers computes the same from several directories of one model; run by the Python that has it.

python tests/parity/transformers_outputs.py < JOBS

JOBS is a list in JSON of {"cls": a model class, "inputs": by name, "directories": of which the first was written by
transformers, the others by this package}. Each model is loaded in float64. It must lack nothing and have nothing too much; all
parameters must be those of the first directory bit for bit, and so must all outputs.

transformers 5 leaves parameters in the mapped file, at addresses that depend on what else is in the file, and PyTorch's sums are
taken in another order where the memory is not aligned: from two files that transformers 5 itself writes of one model it computes
outputs that differ in the last bits. So outputs are compared after the parameters were copied into memory of PyTorch's own; and
as they are loaded, too, for files in which they lie alike: the one model.safetensors beside that which this transformers
writes, the one pytorch_model.bin beside that of torch.save.
"""

import json
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
import transformers  # type: ignore[import-not-found]

OPTION = "dtype" if int(transformers.__version__.split(".")[0]) > 4 else "torch_dtype"


def load(cls: Any, directory: str | Path) -> Any:
    """The model in a directory, which must be all there."""
    model, info = cls.from_pretrained(directory, output_loading_info=True, **{OPTION: torch.float64})
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")), (directory, info)
    assert all(value.dtype == torch.float64 for value in model.parameters())
    return model.eval()


def outputs(model: Any, inputs: dict[str, Any]) -> list[bytes]:
    """The bytes of every tensor that a call returns."""
    with torch.no_grad():
        found = model(**{name: torch.tensor(value) for name, value in inputs.items()}).to_tuple()
    return [value.numpy().tobytes() for value in found if isinstance(value, torch.Tensor)]


def copied_outputs(model: Any, inputs: dict[str, Any]) -> list[bytes]:
    """Likewise, after every parameter was copied into memory of its own."""
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()
    return outputs(model, inputs)


def state(model: Any) -> dict[str, bytes]:
    """The bytes of every parameter."""
    return {name: value.numpy().tobytes() for name, value in model.state_dict().items()}


def write_own(model: Any, directory: Path) -> dict[str, Path]:
    """The model as this transformers and this PyTorch write it, by the name of the file."""
    found = {"model.safetensors": directory / "a", "pytorch_model.bin": directory / "b"}
    model.save_pretrained(directory / "a")
    model.config.save_pretrained(directory / "b")
    torch.save(model.state_dict(), directory / "b" / "pytorch_model.bin")
    return found


def check(job: dict[str, Any], scratch: Path) -> None:
    """Compare the directories of one model. Raises AssertionError."""
    cls = getattr(transformers, job["cls"])
    first = load(cls, job["directories"][0])
    own = write_own(first, scratch)
    expected = state(first), copied_outputs(first, job["inputs"])
    for directory in job["directories"][1:]:
        model = load(cls, directory)
        for file, place in own.items():
            if (Path(directory) / file).is_file():
                assert outputs(model, job["inputs"]) == outputs(load(cls, place), job["inputs"]), (directory, file)
        assert state(model) == expected[0], directory
        assert copied_outputs(model, job["inputs"]) == expected[1], directory


def main() -> None:
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    for job in json.load(sys.stdin):
        with tempfile.TemporaryDirectory() as scratch:
            check(job, Path(scratch))
        print(f"transformers {transformers.__version__}: {job['cls']}, {len(job['directories']) - 1} directories")


if __name__ == "__main__":
    main()
