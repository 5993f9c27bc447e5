"""What of a layer's values outlives their computation: everything, what the backward pass reads, nothing that can be computed
again, or the outputs alone.

A part of a layer is computed with all its values in a cache, always by the same function. What happens to that cache when
the part is done is up to a `Keep`, which the layer calls on it: memory is saved there, and nowhere in the mathematics.
"""

from collections.abc import Callable, Container

from convbert_np.tree import Tree, flatten, unflatten

Keep = Callable[[str, Tree], Tree]  # (the part's name, its cache) -> what is kept of it

PROJECTED = {"dense.y", "dropout.x", "dropout.y", "LayerNorm.x"}
UNREAD = {
    "attention.self": {
        "key_conv_attn_layer.pointwise.y", "conv_kernel_layer.logits", "conv_kernel_layer.conv", "scores", "context",
    },
    "attention.output": PROJECTED,
    "intermediate": set(),
    "output": PROJECTED,
}  # the values that no backward pass reads, and that are no other value's array  # fmt: skip
PARAMETERS = (".weight", ".bias")
MIXED = "attention.self"
OUTPUTS = {"attentions": "attention_weights", "dynamic_kernels": "conv_kernel_layer.dynamic_kernel"}  # of MIXED


def everything(part: str, cache: Tree) -> Tree:
    """Every named value, to be looked at."""
    return cache


def for_backward(part: str, cache: Tree) -> Tree:
    """What the backward pass reads, to train."""
    return unflatten({path: value for path, value in flatten(cache).items() if path not in UNREAD[part]})


def recomputed(part: str, cache: Tree) -> Tree:
    """The outputs and the parameters, which are the model's own arrays: on its way back the layer is computed again (gradient
    checkpointing)."""
    kept = OUTPUTS.values() if part == MIXED else ()
    return unflatten({path: value for path, value in flatten(cache).items() if path in kept or path.endswith(PARAMETERS)})


def nothing(part: str, cache: Tree) -> Tree:
    """Nothing: there is no way back."""
    return {}


def outputs_alone(collect: Container[str]) -> Keep:
    """As `nothing`, but for the outputs of OUTPUTS that are asked for."""
    wanted = {path for name, path in OUTPUTS.items() if name in collect}

    def keep(part: str, cache: Tree) -> Tree:
        return unflatten({path: value for path, value in flatten(cache).items() if part == MIXED and path in wanted})

    return keep


def forget_outputs(layer: Tree) -> None:
    """Drop the outputs that `recomputed` kept, once they are collected; of each the shape is noted under "shapes"."""
    mixed = layer["attention"]["self"]
    weights, kernel = mixed.pop("attention_weights"), mixed["conv_kernel_layer"].pop("dynamic_kernel")
    layer["shapes"] = {"attentions": weights.shape, "dynamic_kernels": kernel.shape}
