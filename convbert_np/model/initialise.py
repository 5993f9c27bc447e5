"""Parameters: their names and shapes, and their values before any training."""

import numpy as np

from convbert_np.config import ConvBertConfig
from convbert_np.tree import Tree, unflatten

Shapes = dict[str, tuple[int, ...]]


def body_shapes(config: ConvBertConfig) -> Shapes:
    """Name and shape of every parameter of the body, in the order of PyTorch's state_dict."""
    width, hidden = config.embedding_size, config.hidden_size
    shapes: Shapes = {
        "embeddings.word_embeddings.weight": (config.vocab_size, width),
        "embeddings.position_embeddings.weight": (config.max_position_embeddings, width),
        "embeddings.token_type_embeddings.weight": (config.type_vocab_size, width),
    } | layer_norm_shapes("embeddings.LayerNorm", width)
    if width != hidden:
        shapes |= linear_shapes("embeddings_project", width, hidden)
    for index in range(config.num_hidden_layers):
        shapes |= {f"encoder.layer.{index}.{name}": shape for name, shape in layer_shapes(config).items()}
    return shapes


def layer_shapes(config: ConvBertConfig) -> Shapes:
    """Name and shape of the parameters of one layer."""
    hidden, inner, groups = config.hidden_size, config.intermediate_size, config.num_groups
    heads, taps, width = config.num_heads, config.conv_kernel_size, config.all_head_size
    shapes: Shapes = {}
    for name in ("query", "key", "value"):
        shapes |= linear_shapes(f"attention.self.{name}", hidden, width)
    shapes |= {
        "attention.self.key_conv_attn_layer.bias": (width, 1),
        "attention.self.key_conv_attn_layer.depthwise.weight": (hidden, 1, taps),
        "attention.self.key_conv_attn_layer.pointwise.weight": (width, hidden, 1),
    }
    shapes |= linear_shapes("attention.self.conv_kernel_layer", width, heads * taps)
    shapes |= linear_shapes("attention.self.conv_out_layer", hidden, width)
    shapes |= linear_shapes("attention.output.dense", 2 * width, hidden)
    shapes |= layer_norm_shapes("attention.output.LayerNorm", hidden)
    shapes |= linear_shapes("intermediate.dense", hidden, inner, groups)
    shapes |= linear_shapes("output.dense", inner, hidden, groups)
    return shapes | layer_norm_shapes("output.LayerNorm", hidden)


def linear_shapes(name: str, inputs: int, outputs: int, groups: int = 1) -> Shapes:
    """A linear map's parameters: (out, in), or for a grouped one (G, in/G, out/G)."""
    weight = (outputs, inputs) if groups == 1 else (groups, inputs // groups, outputs // groups)
    return {f"{name}.weight": weight, f"{name}.bias": (outputs,)}


def layer_norm_shapes(name: str, size: int) -> Shapes:
    """A layer norm's parameters."""
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}


def initialise(shapes: Shapes, config: ConvBertConfig, rng, dtype) -> Tree:
    """Fresh parameters: weights N(0, initializer_range), the padding row and all biases 0, LayerNorm gains 1.

    The numbers are drawn in float32, so that a float64 model of the same seed has the same parameters exactly. A grouped
    linear map is drawn like any other, where the reference leaves it uninitialised.
    Source: ConvBertPreTrainedModel._init_weights in transformers 4.37.2.
    """
    flat = {name: initial_value(name, shape, config, rng).astype(dtype) for name, shape in shapes.items()}
    return unflatten(flat)


def initial_value(name: str, shape: tuple[int, ...], config: ConvBertConfig, rng) -> np.ndarray:
    """The initial value of one parameter, told by its name; float32."""
    if name.endswith("LayerNorm.weight"):
        return np.ones(shape, np.float32)
    if name.endswith(".bias"):
        return np.zeros(shape, np.float32)
    value = rng.standard_normal(shape, dtype=np.float32) * np.float32(config.initializer_range)
    if name.endswith("word_embeddings.weight") and config.pad_token_id is not None:
        value[config.pad_token_id] = 0
    return value
