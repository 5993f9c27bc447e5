"""Golden bundles: what the PyTorch model computes, name by name, and how exactly we must agree with it.

A bundle is two files. NAME.safetensors holds the tensors `params/<name>`, `inputs/<argument>`, `masks/<name>` (dropout masks),
`cotangents/<output>`, `values/<name>` and `grads/<name>`, the last two in float64. NAME.json holds the model's class and
configuration, and of every value and gradient its float32 floor: the relative L2 error of a float32 run of PyTorch.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convbert_np.checkpoints.safetensors import read_safetensors
from convbert_np.config import ConvBertConfig, read_json_object
from convbert_np.interface import models
from convbert_np.interface.base import ConvBertPreTrainedModel
from convbert_np.interface.inputs import ARGUMENTS
from convbert_np.tree import flatten, unflatten

FLOAT64_VALUE, FLOAT64_GRADIENT, FLOAT32_FLOORS = 1e-12, 1e-11, 5.0


@dataclass(frozen=True)
class Golden:
    """One golden bundle."""

    name: str
    manifest: dict[str, Any]
    tensors: dict[str, np.ndarray]

    def group(self, kind: str) -> dict[str, np.ndarray]:
        """The tensors of one kind (params, inputs, masks, cotangents) by name."""
        return {name[len(kind) + 1 :]: value for name, value in self.tensors.items() if name.startswith(kind + "/")}

    def expected(self, name: str) -> np.ndarray:
        """The value or gradient `values/<name>` or `grads/<name>`; tensors of equal bytes are stored once."""
        about = self.manifest["tensors"][name]
        return self.tensors[about.get("same_as", name)].reshape(about["shape"])

    def model(self, dtype: Any) -> ConvBertPreTrainedModel:
        """The model with the bundle's configuration and parameters."""
        config = ConvBertConfig.from_dict(self.manifest["config"])
        model = getattr(models, self.manifest["model_class"])(config, dtype=dtype)
        model.load_state_dict(self.group("params"))
        return model


@dataclass(frozen=True)
class Comparison:
    """How one tensor compares with the golden one.

    `error` is the relative L2 error; for a tensor that is zero by theory, its largest entry relative to the size of its
    summands. `limit` is the most that is allowed. `ratio` is error over limit: above 1 the tensor is wrong.
    """

    name: str
    kind: str
    error: float
    floor: float
    limit: float

    @property
    def ok(self) -> bool:
        """Whether the error is within its limit; nan is not."""
        return self.error <= self.limit


def golden_paths(directory: str | os.PathLike[str]) -> list[Path]:
    """The golden bundles in a directory, in order of their names."""
    return [path for path in sorted(Path(directory).glob("*.json")) if "model_class" in read_json_object(path)]


def load_golden(path: str | os.PathLike) -> Golden:
    """Read the bundle of this path, given without or with its suffix."""
    path = Path(path).with_suffix(".json")
    manifest = read_json_object(path)
    if not manifest.get("tensors") or not hasattr(models, str(manifest.get("model_class"))):
        raise ValueError(f"{path}: is not the manifest of a golden bundle")
    return Golden(path.stem, manifest, read_safetensors(path.with_suffix(".safetensors")))


def compute(golden: Golden, dtype: Any) -> dict[str, np.ndarray]:
    """Everything the bundle records, computed by us: `values/<name>` and `grads/<name>`."""
    model, inputs = golden.model(dtype), golden.group("inputs")
    arguments = {n: v.astype(dtype) if v.dtype.kind == "f" and n in ARGUMENTS else v for n, v in inputs.items()}
    masks = unflatten({name: mask.astype(bool) for name, mask in golden.group("masks").items()})
    out = model(arguments, training=golden.manifest["training"], rng=masks)
    cotangents: dict[str, Any] = dict(golden.group("cotangents"))
    if golden.manifest["loss"]:
        cotangents["loss"] = np.ones_like(out.loss)
    grads = model.backward(out, cotangents, intermediates=True)
    values = {f"values/{name}": value for name, value in flatten(out.cache).items()}
    return values | {f"grads/{name}": value for name, value in grads.items()}


def compare(golden: Golden, computed: dict[str, np.ndarray], dtype: Any) -> Iterator[Comparison]:
    """One comparison per recorded tensor, in order of computation."""
    for name, about in golden.manifest["tensors"].items():
        want, got = golden.expected(name), computed.get(name)
        limit, floor = limit_of(name, about, dtype), about["floor"]
        error = float("nan")
        if got is not None and got.shape == want.shape and got.dtype == dtype and np.all(np.isfinite(got)):
            error = relative_error(got, want) if about["kind"] != "zero_by_theory" else absolute_error(got, about["scale"])
        yield Comparison(name, about["kind"], error, floor, limit)


def limit_of(name: str, about: dict[str, Any], dtype: Any) -> float:
    """The largest error that is rounding: a fixed one in float64, a few floors in float32."""
    if np.dtype(dtype) == np.float64:
        return FLOAT64_VALUE if name.startswith("values/") else FLOAT64_GRADIENT
    return FLOAT32_FLOORS * (about["floor"] if about["kind"] != "zero_by_theory" else float(np.finfo(dtype).eps))


def relative_error(got: np.ndarray, want: np.ndarray) -> float:
    """The relative L2 error; where the truth is exactly 0, 0 or inf."""
    difference, size = np.linalg.norm((got - want).ravel()), np.linalg.norm(want.ravel())
    return float(difference / size) if size else float("inf") if difference else 0.0


def absolute_error(got: np.ndarray, scale: float) -> float:
    """The largest entry of what should be zero, relative to the size of its summands."""
    return float(np.max(np.abs(got))) / scale if scale else float("inf") if np.any(got) else 0.0
