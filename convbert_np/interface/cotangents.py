"""The cotangents of a backward pass: what weight each output has in the number that is differentiated."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from convbert_np.interface.inputs import as_array, number_kinds
from convbert_np.interface.output import ModelOutput
from convbert_np.tree import Tree

Indexed = dict[int, Any]


def split_cotangents(
    cotangents: Mapping[str, Any] | None, out: ModelOutput, outputs: tuple[str, ...], body_cache: Tree, dtype: Any
) -> tuple[dict[str, Any], dict[str, Indexed]]:
    """Check the cotangents and sort them: those of the loss and the head's outputs by name, those of the body's by index.

    Without cotangents the loss alone counts, once. Raises ValueError that names the output, its shape and what was given.
    """
    direct: dict[str, Any] = {}
    body: dict[str, Indexed] = {"dhidden_states": {}, "dattentions": {}, "ddynamic_kernels": {}}
    if cotangents is None:
        return {"loss": default_cotangent(out)}, body
    if not isinstance(cotangents, Mapping) or not all(isinstance(name, str) for name in cotangents):
        raise TypeError(f"cotangents: must be a dict from names of outputs to arrays, got {type(cotangents).__name__}")
    shapes = body_shapes_of(body_cache)
    for name, value in cotangents.items():
        base, _, index = name.partition(".")
        if not index and name in (*outputs, "loss"):
            if getattr(out, name, None) is None:
                raise ValueError(f"cotangents: there is no {name!r} in this output (no labels were given)")
            direct[name] = checked(value, name, out[name].shape, dtype)
        elif base in shapes:
            for position, one in by_index(base, index, value, len(shapes[base])).items():
                if one is not None and position in body[f"d{base}"]:
                    raise ValueError(f"cotangents: '{base}.{position}' is given twice")
                if one is not None:
                    body[f"d{base}"][position] = checked(one, f"{base}.{position}", shapes[base][position], dtype)
        else:
            allowed = [*(("loss",) if "loss" in dir(out) else ()), *outputs, *shapes]
            raise ValueError(f"cotangents: {name!r} is not an output of this model; allowed are {allowed}")
    return direct, body


def default_cotangent(out: ModelOutput) -> Any:
    """The cotangent of a loss that is one number: 1."""
    loss = getattr(out, "loss", None)
    if loss is None:
        raise ValueError("out: has no loss, because no labels were given; say by `cotangents` what to differentiate")
    if loss.ndim:
        raise ValueError(f"out: has a loss per label, of shape {loss.shape}; give cotangents={{'loss': ...}} of that shape")
    return np.ones_like(loss)


def body_shapes_of(cache: Tree) -> dict[str, list[tuple[int, ...]]]:
    """The shapes of the body's outputs, one per index."""
    bottom = cache["embeddings_project"]["y"] if "embeddings_project" in cache else cache["embeddings"]["dropout"]["y"]
    shapes = [shapes_of_layer(layer) for layer in cache["encoder"]["layer"].values()]
    listed = {name: [of_layer[name] for of_layer in shapes] for name in ("attentions", "dynamic_kernels")}
    return {"hidden_states": [bottom.shape] * (len(shapes) + 1)} | listed


def shapes_of_layer(layer: Tree) -> dict[str, tuple[int, ...]]:
    """The shapes of a layer's attentions and kernels; a layer that is to be computed again has noted them."""
    if "shapes" in layer:
        return layer["shapes"]
    mixed = layer["attention"]["self"]
    kernel = mixed["conv_kernel_layer"]["dynamic_kernel"]
    return {"attentions": mixed["attention_weights"].shape, "dynamic_kernels": kernel.shape}


def by_index(base: str, index: str, value: Any, count: int) -> Indexed:
    """The cotangents of a listed output: one, if the name carries its index, else a sequence with None for the rest."""
    if index:
        if not index.isdecimal() or str(int(index)) != index or int(index) >= count:
            raise ValueError(f"cotangents: '{base}.{index}' does not exist; the index must be in [0, {count})")
        return {int(index): value}
    if not isinstance(value, list | tuple) or len(value) != count:
        raise ValueError(f"cotangents: {base!r} must be a list of {count} arrays, with None for those that do not count")
    return dict(enumerate(value))


def checked(value: Any, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
    """The cotangent as an array of the output's shape and of the model's dtype."""
    array = as_array(value, f"cotangents[{name!r}]")
    if array.dtype.kind not in number_kinds(dtype):
        raise TypeError(f"cotangents: that of {name!r} must be real numbers, got dtype {array.dtype}")
    if array.shape != shape:
        raise ValueError(f"cotangents: that of {name!r} must have the shape {shape}, got {array.shape}")
    return array.astype(dtype)
