"""The variables of the original TensorFlow 1 code under this package's names.

Pre-training makes two models in one graph, and a checkpoint holds both:

    electra/...                      the discriminator, which is the ConvBERT that is released: embeddings, encoder
    discriminator_predictions/...    its head: dense (H, H) and dense_1 (H, 1)
    generator/...                    the generator: its own embeddings_project and encoder; the embeddings are electra's
    generator_predictions/...        its head: dense, LayerNorm, output_bias

The names within a model are those of the column tf1 of convbert_np.names, with what happens to the axes. A grouped linear map
stands under g_dense instead of dense and is stored as it is here, (G, in/G, out/G).

Source: load_tf_weights_in_convbert in transformers 4.37.2; for the generator the variables of the original code
(yitu-opensource/ConvBert at 32ef067).
"""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np

from convbert_np.checkpoints.errors import CheckpointError
from convbert_np.checkpoints.stored import StoredTensor
from convbert_np.checkpoints.tf_bundle import is_slot
from convbert_np.config import ConvBertConfig
from convbert_np.model.initialise import body_shapes
from convbert_np.names import FF1, FF2, lookup, names

PARTS = ("discriminator", "generator", "pretraining")
LAYER_HERE = re.compile(r"encoder\.layer\.([0-9]+)\.")
NEW = -1  # in an order of axes: one of size 1 that the variable lacks
ORDERS = {"transposed": (1, 0), "A": (0, NEW)}
LAYER = re.compile(r"(?<=/encoder/)layer_(0|[1-9][0-9]{0,3})(?=/)")
EMBEDDINGS = "electra/embeddings/"
RELEASED_RATIO = 2  # of every released model


class Target(NamedTuple):
    """Where a variable goes: the part it belongs to, its name here, and what happens to its axes."""

    part: str
    name: str
    axes: str


def from_tf1(tensors: Mapping[str, StoredTensor], part: str = "discriminator") -> dict[str, StoredTensor]:
    """The tensors of one part of a TensorFlow 1 checkpoint under this package's names and with its axes; nothing is read.

    "discriminator" gives the names of ConvBertModel, and its head's as discriminator_predictions.dense.weight and so on.
    "generator" gives those of ConvBertForMaskedLM (without the tied generator_lm_head.weight), with the embeddings that both
    parts share. "pretraining" gives those of ConvBertForPreTraining, which are both. Left out are an optimizer's variables (see
    `is_slot`) and those of the other part; a variable that neither knows keeps its name, so that it is found to be unexpected. A
    tensor keeps its variable's name as its own `name`.

    Raises ValueError for another `part`, CheckpointError for a variable with a wrong number of axes and for two that
    would have the same name.
    """
    if part not in PARTS:
        raise ValueError(f"part: must be one of {PARTS}, got {part!r}")
    found: dict[str, StoredTensor] = {}
    own_embeddings = part == "generator" and any(name.startswith("generator/embeddings/") for name in tensors)
    for name, tensor in tensors.items():
        target = None if is_slot(name) else target_of(name)
        if is_slot(name) or (target and not belongs(name, target, part, own_embeddings)):
            continue
        new = renamed(name, target, part)
        if new in found:
            raise CheckpointError(tensor.path, f"becomes {new:.200}, and so does {found[new].name!r:.200}", name)
        found[new] = tensor if target is None else with_axes(tensor, target.axes)
    return found


def config_of_tf1(tensors: Mapping[str, StoredTensor], part: str = "discriminator") -> dict[str, Any]:
    """The fields of ConvBertConfig that the shapes of a part tell; dropout, activation and the like have no trace in them.

    The heads of each kind N are told by the dynamic kernel's N*K logits. Any num_attention_heads and head_ratio whose
    quotient is N compute the same; given are 2 N and 2, as in the released models.

    Raises ValueError as `from_tf1` does, CheckpointError if the variables are not those of a ConvBERT that ConvBertConfig can
    describe. Such is the generator of the small model: with one attention head, fewer than the head ratio, the original code
    gives both kinds of head all of the hidden state, not half of it.
    """
    if not tensors:
        raise ValueError("tensors: there are none")
    if part == "pretraining":
        return config_of_tf1(tensors) | generator_fields(tensors)
    prefix = "convbert." if part == "generator" else ""
    found = from_tf1(tensors, part)
    body = {name.removeprefix(prefix): tensor for name, tensor in found.items() if name.startswith(prefix)}
    path = next(iter(tensors.values())).path
    shape = partial(shape_of, path, part, body)
    fields = embedding_fields(shape) | layer_fields(path, part, shape) | {"num_hidden_layers": number_of_layers(path, body)}
    check_config(path, fields, body)
    return fields


def embedding_fields(shape: Callable[[str], tuple[int, ...]]) -> dict[str, int]:
    """What the shapes of the embeddings tell."""
    vocab, width = shape("embeddings.word_embeddings.weight")
    positions, types = (shape(f"embeddings.{table}_embeddings.weight")[0] for table in ("position", "token_type"))
    return {"vocab_size": vocab, "embedding_size": width, "max_position_embeddings": positions, "type_vocab_size": types}


def layer_fields(path: str | os.PathLike[str], part: str, shape: Callable[[str], tuple[int, ...]]) -> dict[str, int]:
    """What the shapes of a layer tell."""
    layer = "encoder.layer.0."
    width, hidden = shape(f"{layer}attention.self.query.weight")
    taps = shape(f"{layer}attention.self.key_conv_attn_layer.depthwise.weight")[2]
    logits = shape(f"{layer}attention.self.conv_kernel_layer.weight")[0]
    inner = shape(f"{layer}intermediate.dense.bias")[0]
    dense = shape(f"{layer}intermediate.dense.weight")
    if 2 * width != hidden:
        reason = f"the {part}'s heads of one kind have {width} channels together, which is not half of its hidden size {hidden}"
        raise CheckpointError(path, f"{reason}; ConvBertConfig cannot describe that (num_attention_heads was below head_ratio)")
    return {
        "hidden_size": hidden,
        "num_attention_heads": logits // max(1, taps) * RELEASED_RATIO,
        "head_ratio": RELEASED_RATIO,
        "conv_kernel_size": taps,
        "intermediate_size": inner,
        "num_groups": dense[0] if len(dense) == 3 else 1,
    }


def generator_fields(tensors: Mapping[str, StoredTensor]) -> dict[str, Any]:
    """The fields of a discriminator's configuration that say what generator goes with it (see `generator_config`)."""
    path = next(iter(tensors.values())).path
    found = from_tf1(tensors, "generator")
    body = {name.removeprefix("convbert."): tensor for name, tensor in found.items() if name.startswith("convbert.")}
    shape = partial(shape_of, path, "generator", body)
    width, hidden = shape("encoder.layer.0.attention.self.query.weight")
    own = layer_fields(path, "generator", lambda name: (hidden // 2, hidden) if name.endswith("query.weight") else shape(name))
    if width == hidden and own["num_attention_heads"] == RELEASED_RATIO:
        own["num_attention_heads"] = 1  # fewer than the ratio: one head of each kind, as wide as the hidden state
    elif 2 * width != hidden:
        raise CheckpointError(path, f"the generator's heads of one kind have {width} channels, its hidden size is {hidden}")
    whole = config_of_tf1(tensors)
    return {
        "generator_hidden_size": hidden / whole["hidden_size"],
        "generator_layers": number_of_layers(path, body) / whole["num_hidden_layers"],
        "generator_num_attention_heads": own["num_attention_heads"],
        "generator_intermediate_size": own["intermediate_size"],
    }


def number_of_layers(path: str | os.PathLike[str], body: Iterable[str]) -> int:
    """How many layers there are. Raises CheckpointError unless they are numbered from 0 on."""
    layers = sorted({int(match[1]) for match in map(LAYER_HERE.match, body) if match})
    if layers != list(range(len(layers))):
        raise CheckpointError(path, f"has the layers {layers!r:.200}, which are not numbered from 0 without a gap")
    return len(layers)


def shape_of(path: str | os.PathLike[str], part: str, body: Mapping[str, StoredTensor], name: str) -> tuple[int, ...]:
    """The shape of a parameter that every ConvBERT has. Raises CheckpointError if it is missing or has other axes."""
    if name not in body:
        raise CheckpointError(path, f"holds no {part} of a ConvBERT, or a part of one: it lacks what becomes {name}")
    tensor = body[name]
    possible = {len(axes.split()) for axes in lookup(name).axes.split(" or ")}
    if len(tensor.shape) not in possible:
        reason = f"has the shape {tensor.shape!r:.80}; there must be {' or '.join(map(str, sorted(possible)))} axes"
        raise CheckpointError(tensor.path, reason, tensor.name)
    return tensor.shape


def check_config(path: str | os.PathLike[str], fields: Mapping[str, Any], body: Mapping[str, StoredTensor]) -> None:
    """Raise CheckpointError unless the fields are those of a ConvBertConfig whose shapes are those of the body."""
    try:
        shapes = body_shapes(ConvBertConfig(**fields, pad_token_id=None))
    except ValueError as error:
        raise CheckpointError(path, f"its shapes are not those of a ConvBERT: {error}") from None
    for name, tensor in body.items():
        if tensor.shape != shapes.get(name, tensor.shape):
            reason = f"becomes {name} with the shape {tensor.shape}; with what the other shapes tell it must be {shapes[name]}"
            raise CheckpointError(tensor.path, reason, tensor.name)


# The names.


@cache
def targets() -> dict[str, Target]:
    """Where each variable goes, by its name with layer_{i}; both parts."""
    table: dict[str, Target] = {}
    for row in names():
        variable, _, note = row.tf1.partition(" (")
        axes = note.rstrip(")")
        if not variable or row.name == "generator_lm_head.weight":
            continue
        if variable.startswith("electra/"):
            table |= variants(variable, row.name, axes, "discriminator")
            table |= variants(variable.replace("electra/", "generator/", 1), row.name, axes, "generator")
        else:
            table[variable] = Target(variable.partition("_")[0], row.name, axes)
    return table


def variants(variable: str, name: str, axes: str, part: str) -> dict[str, Target]:
    """The rows of a variable of a part; a linear map that may be grouped has two."""
    rows = {variable: Target(part, name, axes.partition("; ")[0])}
    if name.startswith((f"{FF1}.dense.", f"{FF2}.dense.")):
        rows[variable.replace("/dense/", "/g_dense/")] = Target(part, name, "")
    return rows


def target_of(name: str) -> Target | None:
    """Where a variable goes; None if no part knows it."""
    layer = LAYER.search(name)
    target = None if "{" in name else targets().get(LAYER.sub("layer_{i}", name, count=1))
    if target is None or layer is None:
        return target
    return target._replace(name=target.name.replace("{i}", layer[1]))


def belongs(name: str, target: Target, part: str, own_embeddings: bool) -> bool:
    """Whether a variable is one of a part: its own, or an embedding that the generator shares."""
    shared = part == "generator" and name.startswith(EMBEDDINGS) and not own_embeddings
    return shared or part in (target.part, "pretraining")


def renamed(name: str, target: Target | None, part: str) -> str:
    """A variable's name here."""
    if target is None:
        return name
    if part == "pretraining":
        of_generator, of_discriminator = name.startswith("generator/"), name.startswith("electra/")
        return f"{'generator.' * of_generator}{'convbert.' * of_discriminator}{target.name}"
    of_body = part == "generator" and name.startswith(("electra/", "generator/"))
    return f"convbert.{target.name}" if of_body else target.name


def to_tf1(state: Mapping[str, np.ndarray], part: str = "pretraining") -> dict[str, np.ndarray]:
    """The inverse of `from_tf1`: parameters under this package's names as variables of the original code, as views.

    "pretraining" takes the parameters of a ConvBertForPreTraining, "discriminator" those of a ConvBertModel, "generator" those of
    a ConvBertForMaskedLM. Raises ValueError for another `part`, and for a name that the original code has no variable for.
    """
    if part not in PARTS:
        raise ValueError(f"part: must be one of {PARTS}, got {part!r}")
    variables: dict[str, np.ndarray] = {}
    for name, value in state.items():
        if name == "generator_lm_head.weight" and part != "discriminator":
            continue  # the word embeddings
        scope, _, inner = name.partition(".") if name.startswith(("convbert.", "generator.")) else ("", "", name)
        owner = "generator" if "generator" in (scope, part) and not inner.startswith("embeddings.") else "discriminator"
        general = re.sub(r"(?<=encoder\.layer\.)[0-9]+", "{i}", inner)
        layer = LAYER_HERE.match(inner)
        weight = state.get(name.removesuffix("bias") + "weight", value) if name.endswith("bias") else value
        grouped = general.startswith((f"{FF1}.dense.", f"{FF2}.dense.")) and weight.ndim == 3
        variable, axes = sources().get((general, owner, grouped), ("", ""))
        if not variable:
            raise ValueError(f"state: {name} has no variable in the original code")
        variables[variable.replace("layer_{i}", f"layer_{layer[1]}") if layer else variable] = without_axes(value, axes)
    return variables


@cache
def sources() -> dict[tuple[str, str, bool], tuple[str, str]]:
    """The variable of each name (with {i}) of a part, and whether it is grouped; with what happens to its axes."""
    table = {(t.name, t.part, "/g_dense/" in variable): (variable, t.axes) for variable, t in targets().items()}
    heads = {(name, "discriminator", grouped): row for (name, _, grouped), row in table.items() if name.startswith("generator_")}
    return table | heads


def without_axes(value: np.ndarray, axes: str) -> np.ndarray:
    """A parameter with the axes of its variable; the inverse of `with_axes`."""
    if not axes:
        return value
    order = ORDERS.get(axes) or tuple(map(int, axes.removeprefix("axes ").split()))
    kept = [axis for axis in order if axis != NEW]
    return value.reshape([size for axis, size in zip(order, value.shape, strict=True) if axis != NEW]).transpose(np.argsort(kept))


# The axes.


def with_axes(tensor: StoredTensor, axes: str) -> StoredTensor:
    """The tensor with its axes as they are here. `view` is a view of the tensor's, `fetch` gives an array in C order."""
    if not axes:
        return tensor
    order = ORDERS.get(axes) or tuple(map(int, axes.removeprefix("axes ").split()))
    old = tuple(axis for axis in order if axis != NEW)
    if len(tensor.shape) != len(old):
        raise CheckpointError(tensor.path, f"has the shape {tensor.shape!r:.80}; there must be {len(old)} axes", tensor.name)

    def change(values: np.ndarray) -> np.ndarray:
        return values.transpose(old).reshape(shape)

    shape = tuple(1 if axis == NEW else tensor.shape[axis] for axis in order)
    return replace(
        tensor,
        shape=shape,
        view=lambda: change(tensor.view()),
        fetch=lambda: np.ascontiguousarray(change(tensor.fetch())),
    )
