"""The encoder: a stack of layers, each mixed attention then feed-forward."""

import copy
from functools import partial

from convbert_np.config import ConvBertConfig
from convbert_np.model.feed_forward import (
    intermediate,
    intermediate_backward,
    project_add_norm,
    project_add_norm_backward,
)
from convbert_np.model.keeping import Keep, everything, for_backward, forget_outputs, recomputed
from convbert_np.model.mixed_attention import mixed_attention, mixed_attention_backward
from convbert_np.ops.dropout import child
from convbert_np.ops.sums import total
from convbert_np.tree import Tree, select


def encoder_layer(x, params, config: ConvBertConfig, mask=None, head_mask=None, rng=None, keep: Keep = everything):
    r"""One layer.

        m = mixed_attention(x)                                                          (1)
        a = LayerNorm(dropout(m W_o^T + b_o) + x)                                       (2)
        f = act(a W_1^T + b_1)                                                          (3)
        y = LayerNorm(dropout(f W_2^T + b_2) + a)                                       (4)

    Shapes : x, a, y (B, S, H), m (B, S, 2A), f (B, S, I).
    Cache  : x; attention.self (1), attention.output (2), intermediate (3), output (4), each as far as `keep` lets it.
    Source : ConvBertLayer in transformers 4.37.2.
    """
    rng_attention = child(rng, "attention")
    m, mixed = mixed_attention(x, params["attention"]["self"], config, mask, head_mask, child(rng_attention, "self"))  # (1)
    mixed = keep("attention.self", mixed)
    a, attended = project_add_norm(m, x, params["attention"]["output"], config, child(rng_attention, "output"))  # (2)
    attended = keep("attention.output", attended)
    f, widened = intermediate(a, params["intermediate"], config)  # (3)
    widened = keep("intermediate", widened)
    y, narrowed = project_add_norm(f, a, params["output"], config, child(rng, "output"))  # (4)
    narrowed = keep("output", narrowed)
    attention: Tree = {"self": mixed, "output": attended}
    return y, {"x": x, "attention": attention, "intermediate": widened, "output": narrowed}


def encoder_layer_backward(dy, cache, dattention_weights=None, ddynamic_kernel=None) -> Tree:
    """Adjoint of `encoder_layer`: a is read by (3) and by the residual of (4), x by (1) and by the residual of (2)."""
    output = project_add_norm_backward(dy, cache["output"])  # (4)
    widened = intermediate_backward(output["dense"]["x"], cache["intermediate"])  # (3)
    da = total([widened["dense"]["x"], output["residual"]])
    attended = project_add_norm_backward(da, cache["attention"]["output"])  # (2)
    dm = attended["dense"]["x"]
    mixed = mixed_attention_backward(dm, cache["attention"]["self"], dattention_weights, ddynamic_kernel)  # (1)
    dx = total([mixed["x"], attended["residual"]])
    return {"x": dx, "attention": {"self": mixed, "output": attended}, "intermediate": widened, "output": output}


def encoder(x, params, config: ConvBertConfig, mask=None, head_masks=None, rng=None, visit=None, keep: Keep = everything):
    """All layers in turn; `visit(index, y, cache)` sees each one's output and cache, which are forgotten afterwards.

    With `recomputed` as `keep` a cache holds, under "again", what computes the layer once more: from the same input, and with the
    same dropout, for of a Generator the state before the layer is kept.

    Shapes : x, y (B, S, H); mask broadcasts to (B, N, S, S); head_masks one per layer, or None.
    Source : ConvBertEncoder in transformers 4.37.2.
    """
    for index in range(config.num_hidden_layers):
        head_mask = None if head_masks is None else head_masks[index]
        rng_layer = child(child(rng, "layer"), str(index))
        of_layer = partial(encoder_layer, x, params["layer"][str(index)], config, mask, head_mask)
        before = copy.deepcopy(rng_layer) if keep is recomputed and hasattr(rng_layer, "random") else rng_layer
        x, cache = of_layer(rng_layer, keep)
        if visit is not None:
            visit(index, x, cache)
        if keep is recomputed:
            forget_outputs(cache)
            cache["again"] = partial(of_layer, before, for_backward)
        del cache  # or it would live on while the next layer computes
    return x


def encoder_backward(dhidden_states, cache, dattentions, ddynamic_kernels, keep=None, forget=False) -> Tree:
    """Adjoint of `encoder`, last layer first.

    `dhidden_states`, `dattentions`, `ddynamic_kernels` map an index to what the loss takes from that output directly:
    hidden state 0 is the encoder's input, hidden state i+1 the output of layer i. With `keep`, a tree of parameters, only their
    gradients survive a layer. With `forget` the layer's values do not survive it either.
    """
    num_layers = len(cache["layer"])
    layers: Tree = {}
    dx = dhidden_states[num_layers]
    for index in reversed(range(num_layers)):
        key = str(index)
        layer = cache["layer"].pop(key) if forget else cache["layer"][key]
        layer = layer["again"]()[1] if "again" in layer else layer
        grads = encoder_layer_backward(dx, layer, dattentions.get(index), ddynamic_kernels.get(index))
        dx = grads["x"] + dhidden_states[index] if index in dhidden_states else grads["x"]
        layers[key] = grads if keep is None else select(grads, keep["layer"][key])
        del layer, grads  # or they would live on while the layer below computes
    return {"x": dx, "layer": {key: layers[key] for key in reversed(layers)}}
