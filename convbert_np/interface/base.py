"""What all models share: parameters by name, the call, the backward pass. The models themselves are in models.py."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Self

import numpy as np

from convbert_np.backend import to_device
from convbert_np.config import ConvBertConfig, check_flag
from convbert_np.interface.cotangents import split_cotangents
from convbert_np.interface.inputs import as_array, by_name, prepare, unpack
from convbert_np.interface.options import Options, as_dtype, as_generator, as_parameter
from convbert_np.interface.output import ModelOutput
from convbert_np.model.convbert import convbert, convbert_backward
from convbert_np.model.initialise import Shapes, body_shapes, initialise
from convbert_np.ops.dropout import child
from convbert_np.tree import Tree, flatten, select, unflatten

Pair = tuple[Any, Any]  # a forward and its backward
WORD_EMBEDDINGS = "embeddings.word_embeddings.weight"
LM_HEAD = "generator_lm_head.weight"


class Mismatch(NamedTuple):
    """A parameter that a checkpoint holds in another shape than the model's."""

    name: str
    found: tuple[int, ...]
    needed: tuple[int, ...]


class LoadReport(NamedTuple):
    """What a state dict or a checkpoint lacked, had too much, or had in another shape."""

    missing_keys: list[str]
    unexpected_keys: list[str]
    mismatched_keys: Sequence[Mismatch] = ()


class ConvBertPreTrainedModel:
    """What all models share: parameters by name, the call and the backward pass.

    `seed` and `dtype` (float32 or float64; complex128 serves complex-step derivatives) make fresh parameters, with the
    reference's initialisation. `params` is the tree of parameters; its dotted paths are the names of PyTorch's
    named_parameters(), the tied word embedding once. `loss_weights` says of which losses "loss" is the weighted sum.
    """

    labels_of: tuple[str, ...] = ("labels",)
    outputs: tuple[str, ...] = ("logits",)
    loss_weights: Mapping[str, float] = MappingProxyType({"loss": 1.0})

    def __init__(self, config: ConvBertConfig, seed: int | np.random.Generator = 0, dtype: Any = np.float32):
        if not isinstance(config, ConvBertConfig):
            raise TypeError(f"config: must be a ConvBertConfig, got {type(config).__name__}")
        config.validate()
        self.check_config(config)
        self.config = copy.deepcopy(config)
        self.params: Tree = initialise(self.shapes(config), config, as_generator(seed, "seed"), as_dtype(dtype))

    @classmethod
    def assembled(cls, config: ConvBertConfig, make: Callable[[str, tuple[int, ...]], Any]) -> Self:
        """The model whose parameters are make(name, shape), asked for one after the other in PyTorch's order."""
        config.validate()
        cls.check_config(config)
        model = cls.__new__(cls)
        model.config = copy.deepcopy(config)
        model.params = unflatten({name: make(name, shape) for name, shape in cls.shapes(config).items()})
        return model

    def __repr__(self) -> str:
        layers, size, number = self.config.num_hidden_layers, self.config.hidden_size, self.num_parameters()
        return f"{type(self).__name__}({layers} layers, hidden size {size}, {number:,} parameters, {self.dtype})"

    # What a kind of model adds to the body.

    @classmethod
    def check_config(cls, config: ConvBertConfig) -> None:
        """Raise ValueError if this kind of model cannot be built from the configuration."""

    @classmethod
    def head_shapes(cls, config: ConvBertConfig) -> Shapes:
        """Name and shape of the head's own parameters, in the order of the state_dict."""
        raise TypeError(f"{cls.__name__} has no head")

    @classmethod
    def shapes(cls, config: ConvBertConfig) -> Shapes:
        """Name and shape of every parameter of this kind of model."""
        return {f"convbert.{name}": shape for name, shape in body_shapes(config).items()} | cls.head_shapes(config)

    head_pair: Pair = (None, None)
    loss_pair: Pair = (None, None)

    def head_params(self) -> Tree:
        """The parameters that the head reads."""
        return self.params

    # Parameters.

    @property
    def body(self) -> Tree:
        """The parameters of the body."""
        return self.params["convbert"]

    @property
    def prefix(self) -> str:
        """What stands before the names of the body: "convbert." in a model with a head."""
        return "convbert."

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the parameters, and so of everything that is computed."""
        return self.body["embeddings"]["word_embeddings"]["weight"].dtype

    def named_parameters(self) -> dict[str, Any]:
        """The parameters by name, in PyTorch's order, the tied word embedding once. The arrays are the model's own."""
        return flatten(self.params)

    def num_parameters(self) -> int:
        """How many numbers the model learns."""
        return sum(parameter.size for parameter in self.named_parameters().values())

    def state_dict(self) -> dict[str, Any]:
        """The parameters under all names of PyTorch's state_dict: a tied weight under both of its names, as one array."""
        return self.named_parameters()

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> LoadReport:
        """Take over parameters by name, as copies of the model's dtype; nothing is changed if anything is wrong.

        Of a tied weight one name suffices. Old checkpoints' position_ids are passed over. Raises ValueError that lists shapes
        which do not fit and, if `strict`, names that are missing or unexpected.
        """
        if not isinstance(state_dict, Mapping) or not all(isinstance(name, str) for name in state_dict):
            raise TypeError(f"state_dict: must be a dict from names to arrays, got {type(state_dict).__name__}")
        given = {name: as_array(value, name) for name, value in state_dict.items() if not name.endswith("position_ids")}
        own = self.state_dict()
        wrong = [f"{n} is {given[n].shape}, must be {own[n].shape}" for n in own if n in given and given[n].shape != own[n].shape]
        if wrong:
            raise ValueError("state_dict: shapes do not fit the configuration: " + "; ".join(wrong))
        report = LoadReport(self.missing_from(given), [name for name in given if name not in own])
        if strict and any(report):
            raise ValueError(f"state_dict: missing {report.missing_keys}, unexpected {report.unexpected_keys}")
        parameters = self.named_parameters()
        loaded: dict[str, Any] = {name: given.get(name, given.get(self.tied_name(name) or name)) for name in parameters}
        for name, value in loaded.items():
            other = self.tied_name(name) or name
            if other in given and not np.array_equal(given[other], value, equal_nan=True):
                raise ValueError(
                    f"state_dict: {name} and {other} are one parameter here, but differ; "
                    "a configuration with tie_word_embeddings=False keeps both"
                )
        self.params = unflatten(
            {name: parameters[name] if value is None else as_parameter(value, name, self.dtype) for name, value in loaded.items()}
        )
        return report

    def missing_from(self, given: Mapping[str, Any]) -> list[str]:
        """The names of the state dict that `given` does not supply, directly or by the other name of a tied weight."""
        return [name for name in self.state_dict() if name not in given and self.tied_name(name) not in given]

    def tied_name(self, name: str) -> str | None:
        """The other name of a parameter that has two, else None."""
        return None

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str],
        dtype: Any = np.float32,
        seed: int | np.random.Generator = 0,
        config: ConvBertConfig | None = None,
        *,
        part: str = "discriminator",
        ignore_mismatched_sizes: bool = False,
        output_loading_info: bool = False,
        **more: Any,
    ) -> Any:
        """The model in a checkpoint: a directory, a file, or a repository's id.

        name_or_path  a directory with config.json and weights; the file of the weights, or the prefix of a TensorFlow 1 bundle;
                      or an id like "user/name" of the Hugging Face Hub, which is downloaded (needs the extra `hub`)
        dtype         float32 or float64, whatever the type in the file is
        seed          for parameters that the checkpoint lacks, such as a new head; there is a warning that names them
        config        takes the place of config.json
        part          of a TensorFlow 1 bundle of the pre-training: "discriminator" (the released ConvBERT) or "generator"
        ignore_mismatched_sizes  parameters of other shapes than the model's are drawn afresh, too, with a warning
        output_loading_info      return (model, LoadReport) without warnings: missing, unexpected and mismatched names
        more          fields of the configuration to change; for an id: revision, cache_dir, token, local_files_only, subfolder

        Read are model.safetensors and pytorch_model.bin, in one file or in several, tf_model.h5, TensorFlow 1 bundles and .npz.
        Nothing in a file is executed. Raises FileNotFoundError, TypeError, ValueError or CheckpointError naming the file or the
        argument.
        """
        from convbert_np.checkpoints.pretrained import load_pretrained, warn_of  # files know the models, not the models files

        check_flag("output_loading_info", output_loading_info)
        options = {"part": part, "ignore_mismatched_sizes": ignore_mismatched_sizes, **more}
        model, report = load_pretrained(cls, name_or_path, dtype, seed, config, **options)
        if output_loading_info:
            return model, report
        warn_of(report, name_or_path)
        return model

    def save_pretrained(
        self, directory: str | os.PathLike[str], format: str = "safetensors", max_shard_size: int | str = "5GB"
    ) -> None:
        """Write config.json and the weights into a directory; transformers' from_pretrained reads them.

        format          "safetensors"; "torch", a pytorch_model.bin; "npz", which only this package and NumPy read
        max_shard_size  larger weights are split into files of at most so many bytes; a number or "200MB"

        Broken off at any moment, it leaves the old model, the new one or none, never parts of both; weights of an earlier call
        are removed. A tied weight is stored once. Raises ValueError, TypeError or OSError naming the argument or the file.
        """
        from convbert_np.checkpoints.pretrained import save_pretrained

        save_pretrained(self, directory, format, max_shard_size)

    def astype(self, dtype: Any) -> Self:
        """A copy of this model whose parameters are of another dtype."""
        dtype, model = as_dtype(dtype), copy.copy(self)
        model.config = copy.deepcopy(self.config)
        model.params = unflatten({name: as_parameter(value, name, dtype) for name, value in self.named_parameters().items()})
        return model

    def to(self, device: str) -> Self:
        """Move the parameters to a device, "cupy" (a GPU) or "numpy" (the host), and return this model.

        What a call is given then must be there, too; what it returns is there. Raises ValueError for another device, ImportError
        without CuPy, RuntimeError without a GPU.
        """
        self.params = to_device(self.params, device)
        return self

    def resize_token_embeddings(self, new_num_tokens: int, seed: int | np.random.Generator = 0) -> None:
        """Change the vocabulary to `new_num_tokens` pieces: the first rows stay, new ones are drawn as in a fresh model.

        The bias of a masked-LM head follows, with 0 for new pieces. Raises ValueError if the padding row would be lost.
        """
        old, config = self.config, ConvBertConfig.from_dict(self.config.to_dict() | {"vocab_size": new_num_tokens})
        fresh = initialise(self.shapes(config), config, as_generator(seed, "seed"), self.dtype)
        kept = flatten(fresh)
        for name, value in self.named_parameters().items():
            if kept[name].shape == value.shape:
                kept[name] = value
            else:
                rows = min(old.vocab_size, new_num_tokens)
                kept[name][:rows] = value[:rows]
        self.config, self.params = config, unflatten(kept)

    # The call and its adjoint.

    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        head_mask: Any = None,
        inputs_embeds: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        training: bool = False,
        rng: Any = None,
        *,
        keep_cache: bool | str = True,
        reduction: str = "mean",
    ) -> Any:
        """Run the model; with `labels`, compute the loss too.

        input_ids (B, S) integers in [0, V), or inputs_embeds (B, S, E); attention_mask (B, S) or (B, S, S), 1 attends;
        token_type_ids and position_ids (B, S); head_mask (N,) or (L, N). For multiple choice there is an axis of choices after
        the batch. The first argument may also be a list or tuple of arrays in this order, or a dict of all arguments.

        `training` switches dropout on; `rng` is a numpy Generator, a seed, or a tree of masks (the `.cache` of an earlier
        training call repeats its masks). `keep_cache` says what outlives the call: True, every named value; "backward", what
        `backward` reads, which is enough to train; "recompute", of each layer its input alone, from which `backward` computes
        it again (gradient checkpointing: the same gradients, less memory, a third more time); False, nothing, and there is no
        backward. `reduction="none"` leaves the loss per label.

        Returns a ModelOutput, or with return_dict=False a tuple. Raises ValueError or TypeError naming the argument.
        """
        given = by_name(input_ids, attention_mask, token_type_ids, position_ids, head_mask, inputs_embeds)
        options = Options(output_attentions, output_hidden_states, return_dict, training, rng, keep_cache, reduction)
        return self.run(given | {"labels": labels}, options)

    def run(self, given: dict[str, Any], options: Options) -> Any:
        """The call, once the arguments of each kind of model are gathered by name."""
        self.config.validate()
        arguments = unpack(given["input_ids"], given)
        labels = [arguments.pop(name) for name in self.labels_of]
        arguments, choices = self.fold(arguments)
        options = options.resolve(self.config)
        inputs = prepare(arguments, self.config, self.dtype)
        wanted = {"attentions": options.output_attentions, "hidden_states": options.output_hidden_states}
        collect = ["dynamic_kernels", *(name for name, asked in wanted.items() if asked)]
        rng = options.generator()
        x, collected, body_cache = convbert(
            inputs,
            self.body,
            self.config,
            child(rng, self.prefix[:-1]) if self.prefix else rng,
            collect,
            options.keep,
        )
        results, cache = self.finish(x, labels, choices, rng, options.reduction)
        kernels = collected.pop("dynamic_kernels")
        results |= {name: collected.get(name) for name in ("hidden_states", "attentions")}
        if body_cache is not None:
            cache = ({"convbert": body_cache} if self.prefix else body_cache) | cache
        out = ModelOutput(results, options.once, dynamic_kernels=kernels, cache=None if body_cache is None else cache)
        return out if options.return_dict else out.to_tuple()

    def fold(self, arguments: dict[str, Any]) -> tuple[dict[str, Any], int | None]:
        """Bring the arguments to (B, S); multiple choice has an axis more."""
        return arguments, None

    def finish(self, x: Any, labels: list, choices: int | None, rng: Any, reduction: str) -> tuple[dict[str, Any], Tree]:
        """From the last hidden states to the results of this kind of model, and the cache of head and loss."""
        logits, cache = self.head_pair[0](x, self.head_params(), self.config, rng)
        if choices is not None:
            logits = logits.reshape(-1, choices)
        loss = None
        if all(label is not None for label in labels):
            loss, loss_cache = self.loss_pair[0](logits, *labels, self.config, reduction)
            cache = cache | loss_cache
        return {"loss": loss, "logits": logits}, cache

    def backward(
        self, out: ModelOutput, cotangents: Mapping[str, Any] | None = None, intermediates: bool = False
    ) -> dict[str, Any]:
        """The gradient of the loss for every parameter, under exactly the names of `named_parameters`.

        With `cotangents`, {output name: array of its shape}, the vector-Jacobian product sum_o <R_o, output_o> takes the place of
        the loss: any of loss, the logits, last_hidden_state, and hidden_states, attentions, dynamic_kernels (a list with None
        for those that do not count, or a single one as "hidden_states.3"). With `intermediates` the gradient of every named
        value of the cache is returned too, and that of the argument inputs_embeds under "inputs_embeds".

        The cache refers to the parameters, it does not copy them: to change them in place between the call and the backward
        changes the gradients. After a call with keep_cache="backward" the cache is taken from the output, and every layer's
        values are forgotten when the way back has passed it: then there is one way back only. Raises ValueError if the output
        carries no cache, is another model's, has no loss, or has a loss per label without a cotangent for it.
        """
        if not isinstance(out, ModelOutput):
            raise TypeError(f"out: must be the ModelOutput of a call (return_dict=True), got {type(out).__name__}")
        if out.cache is None:
            raise ValueError(
                "out: has no values to go back through: it was computed with keep_cache=False, or with keep_cache='backward' or "
                "'recompute' and gone back through already"
            )
        self.check_own(out)
        body_cache = out.cache["convbert"] if self.prefix else out.cache
        direct, indexed = split_cotangents(cotangents, out, self.outputs, body_cache, self.dtype)
        head_grads = self.unfinish(direct, out)
        dx = head_grads.pop("x")
        keep = None if intermediates else self.body
        head_grads = head_grads if intermediates else select(head_grads, self.head_params())
        grads = convbert_backward(dx, body_cache, **indexed, keep=keep, forget=out.take_cache())
        tree = ({"convbert": grads} if self.prefix else grads) | head_grads
        gradients = self.collect_gradients(flatten(tree), intermediates)
        if intermediates:
            gradients["inputs_embeds"] = self.unfold(gradients[f"{self.prefix}embeddings.inputs_embeds"], out)
        return gradients

    def unfold(self, dx: Any, out: ModelOutput) -> Any:
        """Adjoint of `fold`."""
        return dx

    def check_own(self, out: ModelOutput) -> None:
        """Raise ValueError unless the output was computed with this model's present parameters."""
        cached = flatten(out.cache)
        unread = {self.prefix + WORD_EMBEDDINGS} if f"{self.prefix}embeddings.word_embeddings.ids" not in cached else set()
        for name, parameter in self.named_parameters().items():
            used = cached.get(name)
            same = used is parameter or (used is not None and used.dtype == parameter.dtype and np.array_equal(used, parameter))
            if not same and name not in unread:
                raise ValueError(
                    f"out: was not computed by this model with its present parameters ({name} differs); call the model again"
                )

    def unfinish(self, direct: dict[str, Any], out: ModelOutput) -> Tree:
        """Adjoint of `finish`: the gradients of loss and head, and that of the last hidden states under "x"."""
        asked, grads = any(name in direct for name in self.outputs), {}
        dlogits = self.join(direct, out) if asked or "loss" not in direct else None
        if "loss" in direct:
            grads = self.loss_pair[1](direct["loss"], out.cache)
            of_loss = grads.pop("logits")
            dlogits = of_loss if dlogits is None else dlogits + of_loss
        return self.head_pair[1](dlogits, out.cache) | grads

    def join(self, direct: dict[str, Any], out: ModelOutput) -> Any:
        """What is asked of the logits directly."""
        return direct.get("logits", np.zeros_like(out.logits))

    def collect_gradients(self, flat: dict[str, Any], intermediates: bool) -> dict[str, Any]:
        """The gradients in the order of the parameters, zeros for a parameter that was not used, then those of the values."""
        grads = {name: flat[name] if name in flat else np.zeros_like(p) for name, p in self.named_parameters().items()}
        return grads | flat if intermediates else grads
