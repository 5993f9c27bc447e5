"""Mixed attention: half of the heads attend to all positions, the other half convolve a neighbourhood."""

import numpy as np

from convbert_np.config import ConvBertConfig
from convbert_np.ops.attention import attention, attention_backward, merge_heads, split_heads
from convbert_np.ops.dynamic_conv import span_dynamic_conv, span_dynamic_conv_backward
from convbert_np.ops.linear import linear, linear_backward
from convbert_np.ops.separable_conv import separable_conv, separable_conv_backward
from convbert_np.ops.sums import total
from convbert_np.tree import Tree


def mixed_attention(x, params, config: ConvBertConfig, mask=None, head_mask=None, rng=None):
    r"""Self-attention and span-based dynamic convolution side by side, sharing one query.

        query, key, value = x W_q^T + b_q,  x W_k^T + b_k,  x W_v^T + b_v               (1)
        span_key          = separable_conv(x)                     (a key of the span)   (2)
        conv_value        = x W_c^T + b_c                                               (3)
        conv              = span_dynamic_conv(query, span_key, conv_value)              (4)
        context           = attention(heads of query, key, value)                       (5)
        y                 = [context, conv]                       (along the channels)  (6)

    Shapes : x (B, S, H); query, key, value, span_key, conv_value, conv (B, S, A), A = N*d = H/2; y (B, S, 2A).
    Cache  : x; the caches of query, key, value, key_conv_attn_layer (2), conv_out_layer (3), conv_kernel_layer (4); the
             names of `attention` (5), where q, k, v (B, N, S, d) are the heads of query, key, value; y.
    Source : Jiang et al. 2020, mixed attention; ConvBertSelfAttention in transformers 4.37.2.
    """
    cache: Tree = {"x": x}
    query, cache["query"] = linear(x, **params["query"])  # (1)
    key, cache["key"] = linear(x, **params["key"])  # (1)
    value, cache["value"] = linear(x, **params["value"])  # (1)
    span_key, cache["key_conv_attn_layer"] = separable_conv(x, **params["key_conv_attn_layer"])  # (2)
    conv_value, cache["conv_out_layer"] = linear(x, **params["conv_out_layer"])  # (3)
    num_heads = config.num_heads
    conv, cache["conv_kernel_layer"] = span_dynamic_conv(
        query, span_key, conv_value, **params["conv_kernel_layer"], num_heads=num_heads
    )  # (4)
    q, k, v = (split_heads(projected, num_heads) for projected in (query, key, value))
    context, attention_cache = attention(q, k, v, mask, head_mask, config.attention_probs_dropout_prob, rng)  # (5)
    heads = [np.swapaxes(context, 1, 2), conv.reshape(*conv.shape[:2], num_heads, -1)]  # (B, S, N, d) each
    y = np.concatenate(heads, axis=2).reshape(*x.shape[:2], -1)  # (6)
    return y, cache | attention_cache | {"y": y}


def mixed_attention_backward(dy, cache, dattention_weights=None, ddynamic_kernel=None) -> Tree:
    """Adjoint of `mixed_attention`. The query serves both halves, and x five maps: their gradients add up."""
    dcontext, dconv = np.split(dy, 2, axis=-1)  # (6)
    grads = attention_backward(split_heads(dcontext, cache["q"].shape[1]), cache, dattention_weights)  # (5)
    conv = span_dynamic_conv_backward(dconv, cache["conv_kernel_layer"], ddynamic_kernel)  # (4)
    grads["conv_kernel_layer"] = conv
    grads["conv_out_layer"] = linear_backward(conv["v"], cache["conv_out_layer"])  # (3)
    grads["key_conv_attn_layer"] = separable_conv_backward(conv["span_key"], cache["key_conv_attn_layer"])  # (2)
    grads["query"] = linear_backward(merge_heads(grads["q"]) + conv["q"], cache["query"])  # (1)
    grads["key"] = linear_backward(merge_heads(grads["k"]), cache["key"])  # (1)
    grads["value"] = linear_backward(merge_heads(grads["v"]), cache["value"])  # (1)
    dx = total(grads[reader]["x"] for reader in ("query", "key", "value", "key_conv_attn_layer", "conv_out_layer"))  # (1) (2) (3)
    return grads | {"x": dx, "y": dy}
