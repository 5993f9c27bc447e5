"""What of a layer's values outlives their computation: everything, what the backward pass reads, nothing that can be computed
again, or the outputs alone.

A part of a layer is computed with all its values in a cache, always by the same function. What happens to that cache when
the part is done is up to a `Keep`, which the layer calls on it: memory is saved there, and nowhere in the mathematics.
"""

from collections.abc import Callable

from convbert_np.tree import Tree

Keep = Callable[[str, Tree], Tree]  # (the part's name, its cache) -> what is kept of it

PROJECTED = ("dense.y", "dropout.x", "dropout.y", "LayerNorm.x")
UNREAD = {
    "attention.self": (
        "key_conv_attn_layer.pointwise.y", "conv_kernel_layer.logits", "conv_kernel_layer.conv", "scores", "context",
    ),
    "attention.output": PROJECTED,
    "intermediate": (),
    "output": PROJECTED,
}  # the values that no backward pass reads, and that are no other value's array  # fmt: skip
OUTPUTS = {"attention.self": ("attention_weights", "conv_kernel_layer.dynamic_kernel")}


def everything(part: str, cache: Tree) -> Tree:
    """Every named value, to be looked at."""
    return cache


def for_backward(part: str, cache: Tree) -> Tree:
    """What the backward pass reads, to train."""
    for path in UNREAD[part]:
        *branches, leaf = path.split(".")
        node = cache
        for branch in branches:
            node = node[branch]
        del node[leaf]
    return cache


def recomputed(part: str, cache: Tree) -> Tree:
    """The outputs and the parameters: on its way back the layer is computed again (gradient checkpointing)."""
    return merged(only_parameters(cache), outputs_alone(part, cache))


def only_parameters(cache: Tree) -> Tree:
    """The parameters of a cache, which are the model's own arrays and cost nothing."""
    kept = {key: only_parameters(value) if isinstance(value, dict) else value for key, value in cache.items()}
    return {key: value for key, value in kept.items() if key in ("weight", "bias") or (isinstance(value, dict) and value)}


def merged(tree: Tree, other: Tree) -> Tree:
    """The leaves of both trees."""
    return tree | {
        key: merged(tree[key], value) if isinstance(value, dict) and key in tree else value for key, value in other.items()
    }


def forget_outputs(layer: Tree) -> None:
    """Drop the outputs that `recomputed` kept, once they are collected; of each the shape is noted under "shapes"."""
    mixed = layer["attention"]["self"]
    weights, kernel = mixed.pop("attention_weights"), mixed["conv_kernel_layer"].pop("dynamic_kernel")
    layer["shapes"] = {"attentions": weights.shape, "dynamic_kernels": kernel.shape}


def outputs_alone(part: str, cache: Tree) -> Tree:
    """What a model returns beside its hidden states; there is no way back."""
    kept: Tree = {}
    for path in OUTPUTS.get(part, ()):
        *branches, leaf = path.split(".")
        node, source = kept, cache
        for branch in branches:
            node, source = node.setdefault(branch, {}), source[branch]
        node[leaf] = source[leaf]
    return kept
