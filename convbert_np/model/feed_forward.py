"""The position-wise parts of a layer: projection with residual and normalisation, and the feed-forward network."""

from convbert_np.config import ConvBertConfig
from convbert_np.ops.activations import activation, activation_backward
from convbert_np.ops.dropout import child, dropout, dropout_backward
from convbert_np.ops.grouped_linear import grouped_linear, grouped_linear_backward
from convbert_np.ops.layer_norm import layer_norm, layer_norm_backward
from convbert_np.ops.linear import linear, linear_backward
from convbert_np.ops.sums import total
from convbert_np.tree import Tree


def full_or_grouped_linear(x, weight, bias):
    """`linear` for a weight (out, in), `grouped_linear` for a weight (G, in/G, out/G)."""
    return (linear if weight.ndim == 2 else grouped_linear)(x, weight, bias)


def full_or_grouped_linear_backward(dy, cache) -> Tree:
    """Adjoint of `full_or_grouped_linear`."""
    return (linear_backward if cache["weight"].ndim == 2 else grouped_linear_backward)(dy, cache)


def intermediate(x, params, config: ConvBertConfig):
    r"""The first half of the feed-forward network: widen, then bend.

        y = act(x W_1^T + b_1)                                    (W_1 full or grouped) (1)

    Shapes : x (B, S, H), y (B, S, I).
    Cache  : the caches of dense and intermediate_act_fn.
    Source : Jiang et al. 2020, grouped linear; ConvBertIntermediate in transformers 4.37.2.
    """
    wide, dense = full_or_grouped_linear(x, **params["dense"])  # (1)
    y, act = activation(wide, config.hidden_act)  # (1)
    return y, {"dense": dense, "intermediate_act_fn": act}


def intermediate_backward(dy, cache) -> Tree:
    """Adjoint of `intermediate`."""
    act = activation_backward(dy, cache["intermediate_act_fn"])  # (1)
    dense = full_or_grouped_linear_backward(act["x"], cache["dense"])  # (1)
    return {"dense": dense, "intermediate_act_fn": act}


def project_add_norm(x, residual, params, config: ConvBertConfig, rng=None):
    r"""Project back to the hidden size, add what was there before, normalise: the end of both halves of a layer.

        y = LayerNorm(dropout(x W^T + b) + residual)                                    (1)

    Shapes : x (B, S, H) after mixed attention or (B, S, I) after the intermediate layer; residual, y (B, S, H).
    Cache  : residual; the caches of dense, dropout, LayerNorm.
    Source : ConvBertSelfOutput and ConvBertOutput in transformers 4.37.2 (in the latter W is full or grouped).
    """
    projected, dense = full_or_grouped_linear(x, **params["dense"])  # (1)
    kept, drop = dropout(projected, config.hidden_dropout_prob, child(rng, "dropout"))  # (1)
    y, norm = layer_norm(total([kept, residual]), **params["LayerNorm"], eps=config.layer_norm_eps)  # (1)
    return y, {"dense": dense, "dropout": drop, "residual": residual, "LayerNorm": norm}


def project_add_norm_backward(dy, cache) -> Tree:
    """Adjoint of `project_add_norm`: the sum hands its gradient to both terms."""
    norm = layer_norm_backward(dy, cache["LayerNorm"])  # (1)
    drop = dropout_backward(norm["x"], cache["dropout"])  # (1)
    dense = full_or_grouped_linear_backward(drop["x"], cache["dense"])  # (1)
    return {"dense": dense, "dropout": drop, "residual": norm["x"], "LayerNorm": norm}
