"""Span-based dynamic convolution: the heart of ConvBERT."""

import numpy as np

from convbert_np.memory import like, matmul
from convbert_np.ops.linear import linear, linear_backward
from convbert_np.ops.separable_conv import windows
from convbert_np.ops.softmax import softmax, softmax_backward
from convbert_np.tree import Tree


def span_dynamic_conv(q, span_key, v, weight, bias, num_heads):
    r"""Convolve each token's neighbourhood with a kernel that is made from its own span.

        t_s              = q_s * span_key_s                       (span-aware query)      (1)
        logits_s         = t_s W^T + b                            (K numbers per head)    (2)
        dynamic_kernel_s = softmax_K(logits_s)                    (taps sum to 1)         (3)
        conv_s           = sum_j dynamic_kernel_{s,j} v_{s+j-(K-1)/2}  (0 outside [0, S)) (4)

    Shapes : q, span_key, v, t, conv (B, S, N*d); weight (N*K, N*d), bias (N*K,), K odd; logits, dynamic_kernel (B, S, N, K).
             In (4) each head's kernel acts on that head's d channels.
    Cache  : q, span_key, v, weight, bias, t, logits, dynamic_kernel, conv.
    Source : Jiang et al. 2020 (arXiv 2008.02496), span-based dynamic convolution; ConvBertSelfAttention in transformers 4.37.2.
    Note   : padding is not masked here, in the original neither: a real token's window may read a [PAD] state.
    """
    t = np.multiply(q, span_key, out=like(q))  # (1)
    rows, _ = linear(t, weight, bias)  # (2)
    logits = rows.reshape(*rows.shape[:2], num_heads, -1)
    dynamic_kernel, _ = softmax(logits)  # (3)
    v_windows = windows(by_head(v, num_heads), logits.shape[-1])  # (B, S, N, d, K)
    conv = matmul(v_windows, dynamic_kernel[..., None]).reshape(v.shape)  # (4)
    cache = {"q": q, "span_key": span_key, "v": v, "weight": weight, "bias": bias}
    return conv, cache | {"t": t, "logits": logits, "dynamic_kernel": dynamic_kernel, "conv": conv}


def span_dynamic_conv_backward(dconv, cache, ddynamic_kernel=None) -> Tree:
    """Adjoint of `span_dynamic_conv`. `ddynamic_kernel` is what else the loss takes from the kernels, an output of the model."""
    kernel, v = cache["dynamic_kernel"], cache["v"]
    num_heads, num_taps = kernel.shape[2:]
    dconv_heads, v_heads = by_head(dconv, num_heads), by_head(v, num_heads)
    dkernel = matmul(dconv_heads[..., None, :], windows(v_heads, num_taps))[..., 0, :]  # (4)
    readers = taps_that_read(kernel).copy()
    dv = matmul(windows(dconv_heads, num_taps), readers[..., None]).reshape(v.shape)  # (4)
    if ddynamic_kernel is not None:
        dkernel += ddynamic_kernel
    dlogits = softmax_backward(dkernel, {"y": kernel, "axis": -1})["x"]  # (3)
    projection = {"x": cache["t"], "weight": cache["weight"], "bias": cache["bias"]}
    grads = linear_backward(dlogits.reshape(*dlogits.shape[:2], -1), projection)  # (2)
    dt = grads["x"]
    return {
        "q": np.multiply(dt, cache["span_key"], out=like(dt)), "span_key": np.multiply(dt, cache["q"], out=like(dt)),  # (1)
        "v": dv, "weight": grads["weight"], "bias": grads["bias"],
        "t": dt, "logits": dlogits, "dynamic_kernel": dkernel, "conv": dconv,
    }  # fmt: skip


def taps_that_read(kernel):
    """By which tap each position is read from around it: entry j of position s is tap K-1-j of position s + j - (K-1)/2.

    kernel (B, S, N, K) -> (B, S, N, K). With these weights the adjoint of (4) is a sum over a window, as (4) is.
    """
    around = windows(kernel, kernel.shape[-1])  # (B, S, N, tap, j)
    return np.diagonal(around[..., ::-1, :], axis1=-2, axis2=-1)


def by_head(x, num_heads):
    """(B, S, N*d) -> (B, S, N, d): a view that names the head of each channel."""
    return x.reshape(*x.shape[:2], num_heads, -1)
