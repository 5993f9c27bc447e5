"""A model's directory, as the reference library's save_pretrained writes it: config.json and model.safetensors."""

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from convbert_np.checkpoints.errors import CheckpointError
from convbert_np.checkpoints.safetensors import read_safetensors, write_safetensors
from convbert_np.config import ConvBertConfig, read_json_object
from convbert_np.interface.base import ConvBertPreTrainedModel, LoadReport

Model = TypeVar("Model", bound=ConvBertPreTrainedModel)
WEIGHTS = "model.safetensors"
OPTIONAL_FIELDS = (
    "num_labels", "summary_type", "summary_use_proj", "summary_activation", "summary_proj_to_labels", "summary_first_dropout",
    "summary_last_dropout",
)  # fmt: skip
LEGACY = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}


def load_pretrained(
    cls: type[Model],
    directory: str | os.PathLike[str],
    dtype: Any = np.float32,
    seed: int = 0,
    config: ConvBertConfig | None = None,
    **overrides: Any,
) -> tuple[Model, LoadReport]:
    """The model in a directory, and what its file lacked or had too much; what is missing is drawn from `seed`.

    A file of the bare model fits a model with a head and the other way round. `config` takes the place of config.json;
    `overrides` go before its fields, and must be fields that it or every configuration has.
    Raises FileNotFoundError, CheckpointError or ValueError naming the file and the tensor.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise FileNotFoundError(f"{directory}: is not a directory that holds a model")
    config = configuration_of(directory, config, overrides)
    if not (directory / WEIGHTS).is_file():
        found = [path.name for path in sorted(directory.iterdir()) if path.is_file()]
        raise FileNotFoundError(
            f"{directory / WEIGHTS}: there is no such file, and other formats are not read yet; found {found}"
        )
    model = cls(config, seed=seed, dtype=dtype)
    state = fitting_names(read_safetensors(directory / WEIGHTS), model)
    try:
        report = model.load_state_dict(state, strict=False)
    except ValueError as error:
        raise CheckpointError(directory / WEIGHTS, str(error)) from error
    if len(report.missing_keys) == len(model.state_dict()):
        raise CheckpointError(directory / WEIGHTS, "holds none of the parameters of a ConvBERT")
    return model, report


def configuration_of(directory: Path, config: ConvBertConfig | None, overrides: Mapping[str, Any]) -> ConvBertConfig:
    """The configuration to build the model from. Raises TypeError for an override that is no field."""
    if config is not None and not isinstance(config, ConvBertConfig):
        raise TypeError(f"config: must be a ConvBertConfig, got {type(config).__name__}")
    fields = read_json_object(directory / "config.json") if config is None else config.to_dict()
    known = {*fields, *vars(ConvBertConfig()), *OPTIONAL_FIELDS}
    for name in overrides:
        if name not in known:
            raise TypeError(f"{name}: is neither an argument nor a field of the configuration")
    if config is None:
        return ConvBertConfig.from_pretrained(directory, **overrides)
    return ConvBertConfig.from_dict(fields, **overrides)


def fitting_names(tensors: Mapping[str, Any], model: ConvBertPreTrainedModel) -> dict[str, Any]:
    """The tensors under this model's names: with or without "convbert.", a layer norm's gain and shift by their newer names."""
    renamed = {name: value for name, value in tensors.items() if not name.endswith("position_ids")}
    for old, new in LEGACY.items():
        renamed = {name.replace(old, new): value for name, value in renamed.items()}
    prefixed = any(name.startswith("convbert.") for name in renamed)
    if prefixed and not model.prefix:
        return {name.removeprefix("convbert."): v for name, v in renamed.items() if name.startswith("convbert.")}
    if model.prefix and not prefixed:
        return {f"convbert.{name}": value for name, value in renamed.items()}
    return renamed


def warn_of(report: LoadReport, directory: str | os.PathLike[str]) -> None:
    """Warn, in words, if a checkpoint did not fit the model exactly."""
    if report.missing_keys:
        warnings.warn(f"{directory}: lacks {', '.join(report.missing_keys)}; these are freshly drawn", stacklevel=3)
    if report.unexpected_keys:
        warnings.warn(f"{directory}: {', '.join(report.unexpected_keys)} are not used by this model", stacklevel=3)


def save_pretrained(model: ConvBertPreTrainedModel, directory: str | os.PathLike[str]) -> None:
    """Write config.json and model.safetensors, each whole or not at all. A tied weight is stored once, as the reference does."""
    directory = Path(directory)
    config = ConvBertConfig.from_dict(model.config.to_dict() | {"architectures": [type(model).__name__]})
    state = {name: np.ascontiguousarray(value) for name, value in model.named_parameters().items()}
    if {name: value.shape for name, value in state.items()} != model.shapes(config):
        raise ValueError("config: the model's configuration was changed and does not describe its parameters any more")
    if model.dtype.kind == "c":
        raise ValueError("dtype: a complex model serves gradient checks only; it cannot be saved")
    directory.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(directory)
    write_safetensors(directory / WEIGHTS, state, {"format": "pt"})
