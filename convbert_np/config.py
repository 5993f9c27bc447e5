"""ConvBertConfig: the sizes and settings of a model, read from and written to the config.json of the reference library."""

import copy
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from convbert_np.files import write_text
from convbert_np.ops.activations import ACTIVATIONS

PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")


class ConvBertConfig:
    """The configuration of a ConvBERT, with the fields and defaults of transformers 4.37.2; the defaults are ConvBERT-base.

    Fields of every pretrained model that matter here (`num_labels`, `id2label`, `label2id`, `problem_type`, `return_dict`,
    `output_attentions`, `output_hidden_states`, `tie_word_embeddings`, `summary_type`, ...) are given by keyword. A field that
    this class does not know is kept, readable as an attribute, and written back by `to_dict` and `save_pretrained`.

    The mixed attention derives three sizes: `num_heads` N = max(1, num_attention_heads // head_ratio) heads of each kind, of
    `head_size` d = hidden_size // N // 2 channels, in all `all_head_size` A = N*d = hidden_size / 2 channels of each kind.

    Raises ValueError or TypeError, naming the field, for a configuration that no model can have.
    Source: ConvBertConfig and PretrainedConfig in transformers 4.37.2.
    """

    model_type = "convbert"

    def __init__(
        self,
        vocab_size: int = 30522,
        hidden_size: int = 768,
        num_hidden_layers: int = 12,
        num_attention_heads: int = 12,
        intermediate_size: int = 3072,
        hidden_act: str = "gelu",
        hidden_dropout_prob: float = 0.1,
        attention_probs_dropout_prob: float = 0.1,
        max_position_embeddings: int = 512,
        type_vocab_size: int = 2,
        initializer_range: float = 0.02,
        layer_norm_eps: float = 1e-12,
        pad_token_id: int | None = 1,
        bos_token_id: int | None = 0,
        eos_token_id: int | None = 2,
        embedding_size: int = 768,
        head_ratio: int = 2,
        conv_kernel_size: int = 9,
        num_groups: int = 1,
        classifier_dropout: float | None = None,
        **shared: Any,
    ):
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.hidden_act = hidden_act
        self.hidden_dropout_prob = hidden_dropout_prob
        self.attention_probs_dropout_prob = attention_probs_dropout_prob
        self.max_position_embeddings = max_position_embeddings
        self.type_vocab_size = type_vocab_size
        self.initializer_range = initializer_range
        self.layer_norm_eps = layer_norm_eps
        self.pad_token_id = pad_token_id
        self.bos_token_id = bos_token_id
        self.eos_token_id = eos_token_id
        self.embedding_size = embedding_size
        self.head_ratio = head_ratio
        self.conv_kernel_size = conv_kernel_size
        self.num_groups = num_groups
        self.classifier_dropout = classifier_dropout
        self._set_shared(copy.deepcopy(shared))
        self.validate()

    def _set_shared(self, shared: dict[str, Any]) -> None:
        """The fields of every pretrained model, then whatever else was given."""
        self.return_dict = shared.pop("return_dict", True)
        self.output_attentions = shared.pop("output_attentions", False)
        self.output_hidden_states = shared.pop("output_hidden_states", False)
        self.tie_word_embeddings = shared.pop("tie_word_embeddings", True)
        self.chunk_size_feed_forward = shared.pop("chunk_size_feed_forward", 0)
        self.is_decoder = shared.pop("is_decoder", False)
        self.add_cross_attention = shared.pop("add_cross_attention", False)
        self.problem_type = shared.pop("problem_type", None)
        self.architectures = shared.pop("architectures", None)
        self._set_labels(shared.pop("id2label", None), shared.pop("label2id", None), shared.pop("num_labels", None))
        model_type = shared.pop("model_type", self.model_type)
        if model_type not in (self.model_type, "conv_bert"):
            raise ValueError(f"model_type: this is the configuration of a {model_type!r:.200} model, not of a 'convbert'")
        for name, value in shared.items():
            if hasattr(type(self), name) or name.startswith("__"):
                raise ValueError(f"{name}: is a name that the configuration computes itself; it cannot be a field")
            setattr(self, name, value)

    def _set_labels(self, id2label: Any, label2id: Any, num_labels: Any) -> None:
        """The labels by number and by name; by default two."""
        for name, labels in (("id2label", id2label), ("label2id", label2id)):
            if labels is not None and not isinstance(labels, dict):
                raise TypeError(f"{name}: must be a dict, got {labels!r:.200}")
        if id2label is None:
            self.num_labels = 2 if num_labels is None else num_labels
        else:
            self.id2label = numbered_labels(id2label)
            self.label2id = {label: index for index, label in self.id2label.items()}
            if num_labels not in (None, len(id2label)):
                raise ValueError(f"num_labels: is {num_labels}, but id2label names {len(id2label)} labels: {id2label}")
        if label2id is not None:
            self.label2id = label2id

    @property
    def num_labels(self) -> int:
        """How many labels a classifier tells apart: the length of `id2label`. Setting it renames them LABEL_0, LABEL_1, ..."""
        return len(self.id2label)

    @num_labels.setter
    def num_labels(self, number: int) -> None:
        number = plain(number)
        check_integer("num_labels", number)
        if number > MOST_LABELS:
            raise ValueError(f"num_labels: must be at most {MOST_LABELS}, got {number}")
        if len(getattr(self, "id2label", ())) != number:
            self.id2label = {index: f"LABEL_{index}" for index in range(number)}
            self.label2id = {label: index for index, label in self.id2label.items()}

    @property
    def use_return_dict(self) -> bool:
        """Whether a call returns an output object rather than a tuple, unless told otherwise: `return_dict`."""
        return self.return_dict

    @property
    def num_heads(self) -> int:
        """N: how many attention heads, and as many convolution heads, a layer has."""
        return max(1, self.num_attention_heads // self.head_ratio)

    @property
    def head_size(self) -> int:
        """d: the channels of one head."""
        return self.hidden_size // self.num_heads // 2

    @property
    def all_head_size(self) -> int:
        """A = N*d: the channels of all attention heads together, and of all convolution heads together."""
        return self.num_heads * self.head_size

    def validate(self) -> None:
        """Raise ValueError or TypeError, naming the field, if no model can be built from this configuration.

        NumPy's numbers become Python's: np.int64(3) is 3.
        """
        for name, value in vars(self).items():
            vars(self)[name] = plain(value)
        for name in (
            "return_dict",
            "output_attentions",
            "output_hidden_states",
            "tie_word_embeddings",
            "is_decoder",
            "add_cross_attention",
        ):
            check_flag(name, getattr(self, name))
        for name in (
            "vocab_size", "hidden_size", "num_attention_heads", "intermediate_size", "max_position_embeddings",
            "type_vocab_size", "embedding_size", "head_ratio", "conv_kernel_size", "num_groups",
        ):  # fmt: skip
            check_integer(name, getattr(self, name))
        check_integer("num_hidden_layers", self.num_hidden_layers, least=0)
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"):
            check_probability(name, getattr(self, name), optional=name == "classifier_dropout")
        for name in ("initializer_range", "layer_norm_eps"):
            check_nonnegative(name, getattr(self, name))
        self._validate_sizes()
        self._validate_choices()

    def _validate_sizes(self) -> None:
        if self.hidden_size % self.num_heads:
            raise ValueError(
                f"hidden_size: {self.hidden_size} is not divisible by the {self.num_heads} heads of each kind "
                f"(num_attention_heads {self.num_attention_heads} // head_ratio {self.head_ratio})"
            )
        if (self.hidden_size // self.num_heads) % 2:
            raise ValueError(
                f"hidden_size: {self.hidden_size} / {self.num_heads} heads of each kind = "
                f"{self.hidden_size // self.num_heads} channels, which must be even: one half attends, the other convolves"
            )
        if self.conv_kernel_size % 2 == 0:
            raise ValueError(f"conv_kernel_size: must be odd, so that a window has a centre, got {self.conv_kernel_size}")
        for name in ("hidden_size", "intermediate_size"):
            if getattr(self, name) % self.num_groups:
                raise ValueError(f"num_groups: {self.num_groups} does not divide {name} {getattr(self, name)}")
        if self.pad_token_id is not None:
            check_integer("pad_token_id", self.pad_token_id, least=-self.vocab_size)
            if self.pad_token_id >= self.vocab_size:
                raise ValueError(f"pad_token_id: must be None or below vocab_size {self.vocab_size}, got {self.pad_token_id}")

    def _validate_choices(self) -> None:
        self.id2label = numbered_labels(self.id2label)
        if not isinstance(self.hidden_act, str) or self.hidden_act not in ACTIVATIONS:
            raise ValueError(f"hidden_act: must be one of {sorted(ACTIVATIONS)}, got {self.hidden_act!r:.200}")
        if self.problem_type is not None and self.problem_type not in PROBLEM_TYPES:
            raise ValueError(f"problem_type: must be None or one of {PROBLEM_TYPES}, got {self.problem_type!r:.200}")
        if self.is_decoder or self.add_cross_attention:
            raise ValueError(
                "is_decoder / add_cross_attention: ConvBERT is an encoder only: its convolution sees the future, so that a "
                "causal mask on the attention alone would not make it causal"
            )
        for name, value in vars(self).items():
            try:
                json.dumps(value, allow_nan=False)
            except (TypeError, ValueError, RecursionError) as error:
                raise TypeError(f"{name}: must be a value that JSON can hold, got {type(value).__name__}: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        """All fields, unknown ones included, as values that JSON can hold; `from_dict` reads them back."""
        return {"model_type": self.model_type} | {
            name: {str(k): v for k, v in value.items()} if name == "id2label" else copy.deepcopy(value)
            for name, value in vars(self).items()
        }

    def to_diff_dict(self) -> dict[str, Any]:
        """The ConvBERT fields, and of the others only those that differ from their defaults: what config.json holds."""
        default = ConvBertConfig()
        own = vars(default).keys() - SHARED_FIELDS
        reference = default.to_dict()
        return {
            name: value
            for name, value in self.to_dict().items()
            if name in own or name == "model_type" or name not in reference or value != reference[name]
        }

    def to_json_string(self, use_diff: bool = True) -> str:
        """The configuration as JSON text; with `use_diff` shared fields at their defaults are left out."""
        fields = self.to_diff_dict() if use_diff else self.to_dict()
        return json.dumps(fields, indent=2, sort_keys=True) + "\n"

    def to_json_file(self, path: str | os.PathLike, use_diff: bool = True) -> None:
        """Write `to_json_string` to a file, whole or not at all."""
        write_text(Path(path), self.to_json_string(use_diff))

    def save_pretrained(self, directory: str | os.PathLike) -> None:
        """Write config.json into a directory, which is made if need be."""
        Path(directory).mkdir(parents=True, exist_ok=True)
        self.to_json_file(Path(directory) / "config.json")

    @classmethod
    def from_dict(cls, fields: dict[str, Any], **overrides: Any) -> "ConvBertConfig":
        """The configuration of a dict such as `to_dict` returns; keyword arguments win over its fields."""
        if not isinstance(fields, dict):
            raise TypeError(f"fields: must be a dict, got {type(fields).__name__}")
        bad = [name for name in fields if not isinstance(name, str) or name == "self"]
        if bad:
            raise ValueError(f"fields: {bad[0]!r:.200} is not the name of a field")
        if overrides.keys() & {"num_labels", "id2label"}:
            fields = {name: value for name, value in fields.items() if name not in ("num_labels", "id2label", "label2id")}
        return cls(**(fields | overrides))

    @classmethod
    def from_json_file(cls, path: str | os.PathLike, **overrides: Any) -> "ConvBertConfig":
        """The configuration of a JSON file. Raises ValueError if the file is not a JSON object."""
        fields = read_json_object(path)
        try:
            return cls.from_dict(fields, **overrides)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{path}: {error}") from error

    @classmethod
    def from_pretrained(cls, name_or_path: str | os.PathLike, **overrides: Any) -> "ConvBertConfig":
        """The configuration in a model's directory (its config.json), of a JSON file, or of a repository of the Hugging Face Hub.

        `overrides` are fields to change and, for a repository's id like "user/name" (needs the extra `hub`), revision,
        cache_dir, token, local_files_only and subfolder.
        """
        from convbert_np.checkpoints.hub import resolve, take_options  # only to download: files know the configuration

        path = resolve(name_or_path, "config", take_options(overrides))
        return cls.from_json_file(path / "config.json" if path.is_dir() else path, **overrides)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ConvBertConfig) and self.to_dict() == other.to_dict()

    def __repr__(self) -> str:
        return f"ConvBertConfig {self.to_json_string()}"


MOST_LABELS = 1_000_000
LONGEST_JSON = 100_000_000  # bytes; so many labels take less
SHARED_FIELDS = {
    "return_dict", "output_attentions", "output_hidden_states", "tie_word_embeddings", "chunk_size_feed_forward",
    "is_decoder", "add_cross_attention", "problem_type", "architectures", "id2label", "label2id",
}  # fmt: skip


def read_json_object(path: str | os.PathLike) -> dict[str, Any]:
    """The object in a JSON file. Raises FileNotFoundError or ValueError naming the file."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    try:
        if Path(path).stat().st_size > LONGEST_JSON:
            raise ValueError(f"longer than {LONGEST_JSON:,} bytes")
        fields = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: is not valid JSON: {error}") from error
    if not isinstance(fields, dict):
        raise ValueError(f"{path}: must hold a JSON object, holds a {type(fields).__name__}")
    return fields


def plain(value: Any) -> Any:
    """A NumPy number as the Python number that it is; anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


def numbered_labels(id2label: Any) -> dict[int, str]:
    """Check that labels are numbered 0, 1, 2, ...; JSON has the numbers as strings."""
    if not isinstance(id2label, dict) or not id2label:
        raise ValueError(f"id2label: must be a dict that names at least one label, got {id2label!r:.200}")
    numbers = [int(key) if isinstance(key, str) and key.isdecimal() else plain(key) for key in id2label]
    whole = all(isinstance(number, int) and not isinstance(number, bool) for number in numbers)
    if not whole or sorted(numbers) != list(range(len(numbers))):
        raise ValueError(f"id2label: must number the labels 0, 1, 2, ..., got the numbers {list(id2label)!r:.200}")
    if not all(isinstance(label, str) for label in id2label.values()):
        raise TypeError(f"id2label: must map numbers to strings, got {id2label!r:.200}")
    return dict(zip(numbers, id2label.values(), strict=True))


def check_flag(name: str, value: Any) -> bool:
    """Raise TypeError, naming the argument, unless `value` is true or false; return it as a bool."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name}: must be True or False, got {value!r:.200}")
    return bool(value)


def check_integer(name: str, value: Any, least: int = 1) -> None:
    """Raise TypeError or ValueError, naming the field, unless `value` is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}: must be an integer, got {value!r:.200}")
    if value < least:
        raise ValueError(f"{name}: must be at least {least}, got {value}")


def check_nonnegative(name: str, value: Any) -> None:
    """Raise TypeError or ValueError, naming the field, unless `value` is a finite number of at least 0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name}: must be a number, got {value!r:.200}")
    if not 0 <= value < float("inf"):
        raise ValueError(f"{name}: must be finite and not negative, got {value}")


def check_probability(name: str, value: Any, optional: bool = False) -> None:
    """Raise TypeError or ValueError, naming the field, unless `value` is in [0, 1], or None where that is allowed."""
    if value is None and optional:
        return
    check_nonnegative(name, value)
    if not 0 <= float(value) <= 1:  # type: ignore[arg-type]
        raise ValueError(f"{name}: must be a probability between 0 and 1, got {value}")
