"""Models from checkpoints of every format, and back: what from_pretrained and save_pretrained of the models do."""

import os
import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from math import prod
from typing import Any, TypeVar

import numpy as np

from convbert_np.checkpoints import formats
from convbert_np.checkpoints.errors import CheckpointError, shown
from convbert_np.checkpoints.formats import Checkpoint, open_checkpoint
from convbert_np.checkpoints.hub import resolve, take_options
from convbert_np.checkpoints.npz import LARGEST_RATIO
from convbert_np.checkpoints.stored import StoredTensor
from convbert_np.checkpoints.tf1_names import PARTS, config_of_tf1, from_tf1
from convbert_np.checkpoints.tf2_names import from_tf2
from convbert_np.checkpoints.writing import FORMATS, write_checkpoint
from convbert_np.config import ConvBertConfig, check_flag, read_json_object
from convbert_np.interface.base import ConvBertPreTrainedModel, LoadReport, Mismatch
from convbert_np.interface.options import as_dtype, as_generator
from convbert_np.model.initialise import initial_value
from convbert_np.tokenization.checks import check_path

Model = TypeVar("Model", bound=ConvBertPreTrainedModel)
CONFIG = "config.json"
BODY = "convbert."
MOST_LAYERS = 1000  # if there are no more tensors than that
ALWAYS_DRAWN = 1 << 23  # numbers
OPTIONAL_FIELDS = (
    "num_labels", "summary_type", "summary_use_proj", "summary_activation", "summary_proj_to_labels", "summary_first_dropout",
    "summary_last_dropout", "generator_hidden_size", "generator_layers", "generator_num_attention_heads",
    "generator_intermediate_size",
)  # fmt: skip
LEGACY = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
BUFFERS = ("embeddings.position_ids", "embeddings.token_type_ids")  # of old checkpoints: no parameters


def load_pretrained(
    cls: type[Model],
    name_or_path: str | os.PathLike[str],
    dtype: Any = np.float32,
    seed: int | np.random.Generator = 0,
    config: ConvBertConfig | None = None,
    part: str = "discriminator",
    ignore_mismatched_sizes: bool = False,
    **more: Any,
) -> tuple[Model, LoadReport]:
    """The model in a checkpoint, and what that lacked, had too much, or had in another shape; see `from_pretrained`.

    The parameters are read one after the other, each straight into an array of its own. What is missing is drawn from `seed`.
    """
    options = take_options(more)
    if "torch_dtype" in more:
        raise TypeError(f"torch_dtype: the type of the parameters is the argument dtype here; got {more['torch_dtype']!r:.40}")
    dtype, rng = as_dtype(dtype), as_generator(seed, "seed")
    check_flag("ignore_mismatched_sizes", ignore_mismatched_sizes)
    name_or_path = check_path(name_or_path, "name_or_path") if isinstance(name_or_path, os.PathLike) else name_or_path
    is_bundle = isinstance(name_or_path, str | os.PathLike) and os.path.isfile(f"{name_or_path}.index")
    if is_bundle and options.subfolder:
        raise ValueError("subfolder: is for a directory or a repository, not for the prefix of a bundle")
    path = name_or_path if is_bundle else resolve(name_or_path, "model" if config is None else "weights", options)
    checkpoint = open_checkpoint(path)
    tensors = under_our_names(checkpoint, part)
    config = configuration_of(checkpoint, config, part, more)
    check_amount(checkpoint, tensors, cls.shapes(config))
    blank = cls.assembled(config, lambda name, shape: np.broadcast_to(np.zeros((), dtype), shape))
    tensors = fitting_names(checkpoint, tensors, blank)
    report = compared(checkpoint, tensors, blank, ignore_mismatched_sizes)
    unfit = {mismatch.name for mismatch in report.mismatched_keys}
    given = {name: tensors.get(name, tensors.get(blank.tied_name(name) or name)) for name in blank.named_parameters()}
    with Readers() as readers:
        values = {name: readers.submit(read_as, t, dtype) for name, t in given.items() if t is not None and name not in unfit}

        def make(name: str, shape: tuple[int, ...]) -> np.ndarray:
            return values[name].result() if name in values else initial_value(name, shape, config, rng).astype(dtype)

        return cls.assembled(config, make), report


class Readers(ThreadPoolExecutor):
    """Threads that read tensors, a few at a time: most of the time the kernel copies. If one fails, the rest is dropped."""

    def __init__(self) -> None:
        super().__init__(min(4, os.cpu_count() or 1))

    def __exit__(self, *raised: Any) -> None:
        self.shutdown(cancel_futures=True)


def under_our_names(checkpoint: Checkpoint, part: str = "discriminator") -> dict[str, StoredTensor]:
    """The tensors of a checkpoint by the names, and in the layout, of PyTorch's state_dict."""
    if part not in PARTS:
        raise ValueError(f"part: must be one of {', '.join(PARTS)}, got {part!r}")
    if checkpoint.format == formats.TF1:
        return from_tf1(checkpoint.tensors, part)
    if part == "generator":
        raise ValueError(f"part: 'generator' is for a TensorFlow 1 bundle of the pre-training, not for {checkpoint.path}")
    is_tf2 = checkpoint.format == formats.TF2 or any(name.endswith(":0") for name in checkpoint.tensors)
    return from_tf2(checkpoint.tensors) if is_tf2 else checkpoint.tensors


def configuration_of(
    checkpoint: Checkpoint, config: ConvBertConfig | None, part: str, overrides: Mapping[str, Any]
) -> ConvBertConfig:
    """The configuration to build the model from: as given, or of config.json, or what a TensorFlow 1 bundle's shapes tell.

    Raises TypeError for an override that is no field, CheckpointError if there is no configuration.
    """
    if config is not None and not isinstance(config, ConvBertConfig):
        raise TypeError(f"config: must be a ConvBertConfig, got {type(config).__name__}")
    directory = checkpoint.path if checkpoint.path.is_dir() else checkpoint.path.parent
    file = directory / CONFIG
    if config is not None:
        fields = config.to_dict()
    elif file.is_file() and part != "generator":
        fields = read_json_object(file)
    elif checkpoint.format == formats.TF1:
        fields = config_of_tf1(checkpoint.tensors, part) | {"pad_token_id": 0}  # as in the vocabulary that was released with it
    else:
        raise FileNotFoundError(f"{file}: there is no such file; give config= a ConvBertConfig")
    known = {*fields, *vars(ConvBertConfig()), *OPTIONAL_FIELDS}
    for name in overrides:
        if name not in known:
            raise TypeError(f"{name}: is neither an argument nor a field of the configuration")
    if config is None and file.is_file() and part != "generator":
        found = ConvBertConfig.from_json_file(file, **overrides)
    else:
        found = ConvBertConfig.from_dict(fields, **overrides)
    if found.num_hidden_layers > max(MOST_LAYERS, len(checkpoint.tensors)):
        reason = f"has {len(checkpoint.tensors)} tensors, and the configuration asks for {found.num_hidden_layers} layers"
        raise CheckpointError(checkpoint.path, reason)
    return found


def check_amount(checkpoint: Checkpoint, tensors: Mapping[str, StoredTensor], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise CheckpointError for a configuration that asks for far more than the file holds, all of which would be drawn."""
    asked, held = (sum(map(prod, found)) for found in (shapes.values(), (tensor.shape for tensor in tensors.values())))
    if asked > max(LARGEST_RATIO * held, ALWAYS_DRAWN):
        reason = f"holds {held:,} numbers, and the configuration asks for {asked:,}: this is no checkpoint of such a model"
        raise CheckpointError(checkpoint.path, reason)


def fitting_names(
    checkpoint: Checkpoint, tensors: Mapping[str, StoredTensor], model: ConvBertPreTrainedModel
) -> dict[str, StoredTensor]:
    """The tensors under this model's names: with or without "convbert.", a layer norm's gain and shift by their newer names."""
    own = model.state_dict()
    prefixed = any(name.startswith(BODY) for name in tensors)
    renamed: dict[str, StoredTensor] = {}
    for old, tensor in tensors.items():
        name = old
        for legacy, new in LEGACY.items():
            name = name.replace(legacy, new)
        if name.endswith(BUFFERS) and name not in own:
            continue
        if not model.prefix:
            name = name.removeprefix(BODY)
        elif not prefixed and BODY + name in own:
            name = BODY + name
        if name in renamed:
            raise CheckpointError(checkpoint.path, f"and {shown(renamed[name].name)} are both {name:.200}", tensor.name)
        renamed[name] = tensor
    return renamed


def compared(
    checkpoint: Checkpoint, tensors: Mapping[str, StoredTensor], model: ConvBertPreTrainedModel, ignore_mismatched: bool
) -> LoadReport:
    """What a checkpoint lacks, has too much, or has in another shape than the model asks for.

    Raises CheckpointError if it has nothing of the model, for other shapes unless these are to be ignored, for values that are
    no real numbers, and for a tied weight whose two copies differ.
    """
    own = model.state_dict()
    missing = model.missing_from(tensors)
    if len(missing) == len(own):
        raise CheckpointError(checkpoint.path, "holds none of the parameters of a ConvBERT")
    given = {name: tensors[name] for name in own if name in tensors}
    mismatched = [Mismatch(name, t.shape, own[name].shape) for name, t in given.items() if t.shape != own[name].shape]
    if mismatched and not ignore_mismatched:
        listed = "; ".join(f"{name} is {found}, must be {needed}" for name, found, needed in mismatched[:3])
        more = f" and {len(mismatched) - 3} more" if len(mismatched) > 3 else ""
        hint = "ignore_mismatched_sizes=True draws these afresh"
        raise CheckpointError(checkpoint.path, f"shapes do not fit the configuration: {listed}{more}; {hint}")
    for name, tensor in given.items():
        if not tensor.dtype.endswith(("float16", "float32", "float64")):
            raise CheckpointError(tensor.path, f"must hold real numbers, is {tensor.dtype}", name)
        other = tensors.get(model.tied_name(name) or name)
        if other is not None and other is not tensor and other.shape == tensor.shape and not same_values(tensor, other):
            reason = f"differs from {model.tied_name(name)}, and they are one parameter here"
            raise CheckpointError(tensor.path, f"{reason}; a configuration with tie_word_embeddings=False keeps both", name)
    return LoadReport(missing, [name for name in tensors if name not in own], mismatched)


def same_values(one: StoredTensor, other: StoredTensor) -> bool:
    """Whether two stored tensors are equal; they are not read if they are the same bytes of the same file."""
    first, second = one.view(), other.view()
    place, other_place = ((a.__array_interface__["data"], a.strides, a.dtype) for a in (first, second))
    return place == other_place or np.array_equal(one.array(), other.array(), equal_nan=True)


def read_as(tensor: StoredTensor, dtype: np.dtype) -> np.ndarray:
    """The values of a stored tensor as a new array. Raises CheckpointError for numbers too large for the type."""
    with np.errstate(over="raise"):
        try:
            return tensor.copy(dtype)
        except FloatingPointError:
            raise CheckpointError(tensor.path, f"holds numbers that are too large for {dtype}", tensor.name) from None


def warn_of(report: LoadReport, path: str | os.PathLike[str]) -> None:
    """Warn, in words, if a checkpoint did not fit the model exactly."""
    if report.missing_keys:
        warnings.warn(f"{path}: lacks {', '.join(report.missing_keys)}; these are freshly drawn", stacklevel=3)
    if report.unexpected_keys:
        warnings.warn(f"{path}: {', '.join(report.unexpected_keys)} are not used by this model", stacklevel=3)
    if report.mismatched_keys:
        listed = (f"{name} is {found}, not {needed}" for name, found, needed in report.mismatched_keys)
        warnings.warn(f"{path}: {'; '.join(listed)}; these are freshly drawn", stacklevel=3)


def save_pretrained(
    model: ConvBertPreTrainedModel,
    directory: str | os.PathLike[str],
    format: str = "safetensors",
    max_shard_size: int | str = "5GB",
) -> None:
    """Write config.json and the weights into a directory; see the method of the models."""
    directory = check_path(directory, "directory")
    if not isinstance(format, str) or format not in FORMATS:
        raise ValueError(f"format: must be one of {', '.join(FORMATS)}, got {format!r}")
    config = ConvBertConfig.from_dict(model.config.to_dict() | {"architectures": [type(model).__name__]})
    state = model.named_parameters() if format == "safetensors" else model.state_dict()
    if {name: value.shape for name, value in model.named_parameters().items()} != model.shapes(config):
        raise ValueError("config: the model's configuration was changed and does not describe its parameters any more")
    if model.dtype.kind == "c":
        raise ValueError("dtype: a complex model serves gradient checks only; it cannot be saved")
    write_checkpoint(directory, config, state, format, max_shard_size)
