"""One-dimensional convolution in two cheap steps: along the sequence per channel, then across channels per position."""

import numpy as np

from convbert_np.memory import empty_like
from convbert_np.ops.linear import linear, linear_backward
from convbert_np.tree import Tree


def windows(x, num_taps):
    """What a centred window of K = num_taps positions sees from every position: (B, S, ...) -> (B, S, ..., K).

    Entry j of position s is x_{s + j - (K-1)/2}, and 0 outside of the sequence. All but the padded copy is a view: no number is
    copied K times.
    """
    batch, length, *channels = x.shape
    half = (num_taps - 1) // 2
    padded = empty_like(x, (batch, length + num_taps - 1, *channels))
    padded[:, :half], padded[:, half : half + length], padded[:, half + length :] = 0, x, 0
    return np.lib.stride_tricks.sliding_window_view(padded, num_taps, axis=1)


def depthwise_conv(x, weight):
    r"""Convolve each channel along the sequence with a filter of its own.

        y_{s,h} = sum_j x_{s + j - (K-1)/2, h} W_{h,j}            (zero outside [0, S))   (1)

    Shapes : x, y (B, S, H); weight (H, 1, K), K odd.
    Cache  : x, weight, y.
    Source : torch.nn.Conv1d(groups=H, bias=False), a cross-correlation: the filter is not flipped.
    """
    by_tap = weight[:, 0].T.copy()  # (K, H)
    y = np.einsum("bshj,jh->bsh", windows(x, len(by_tap)), by_tap)  # (1)
    return y, {"x": x, "weight": weight, "y": y}


def depthwise_conv_backward(dy, cache) -> Tree:
    """Adjoint of `depthwise_conv`: x_s is read by the positions around it, by the one j - (K-1)/2 before it with tap j."""
    x, weight = cache["x"], cache["weight"]
    flipped = weight[:, 0, ::-1].T.copy()  # (K, H)
    dx = np.einsum("bshj,jh->bsh", windows(dy, len(flipped)), flipped)  # (1)
    dweight = np.einsum("bsh,bshj->jh", dy, windows(x, len(flipped))).T[:, None]  # (1)
    return {"x": dx, "weight": dweight.copy(), "y": dy}


def pointwise_conv(x, weight):
    r"""Mix the channels of each position: a convolution of width 1, which is a linear map.

        y_s = W x_s                                                                     (1)

    Shapes : x (B, S, in), weight (out, in, 1), y (B, S, out).
    Cache  : x, weight, y.
    Source : torch.nn.Conv1d(kernel_size=1, bias=False).
    """
    y, _ = linear(x, weight[:, :, 0])  # (1)
    return y, {"x": x, "weight": weight, "y": y}


def pointwise_conv_backward(dy, cache) -> Tree:
    """Adjoint of `pointwise_conv`: that of the linear map."""
    grads = linear_backward(dy, {"x": cache["x"], "weight": cache["weight"][:, :, 0]})  # (1)
    return grads | {"weight": grads["weight"][:, :, None]}


def separable_conv(x, depthwise, pointwise, bias):
    r"""A depthwise, then a pointwise convolution, then one bias: the span-aware key of ConvBERT.

        y = pointwise(depthwise(x)) + bias                                              (1)

    Shapes : x (B, S, H), depthwise {"weight": (H, 1, K)}, pointwise {"weight": (A, H, 1)}, bias (A, 1), y (B, S, A).
    Cache  : x, depthwise and pointwise (the caches of the two steps), bias, y.
    Source : Jiang et al. 2020, span-based dynamic convolution; SeparableConv1D in transformers 4.37.2.
    """
    filtered, depthwise_cache = depthwise_conv(x, **depthwise)  # (1)
    mixed, pointwise_cache = pointwise_conv(filtered, **pointwise)  # (1)
    y = mixed + bias[:, 0]  # (1)
    return y, {"x": x, "depthwise": depthwise_cache, "pointwise": pointwise_cache, "bias": bias, "y": y}


def separable_conv_backward(dy, cache) -> Tree:
    """Adjoint of `separable_conv`: the two steps, last one first."""
    dbias = np.sum(dy, axis=(0, 1))[:, None]  # (1)
    pointwise = pointwise_conv_backward(dy, cache["pointwise"])  # (1)
    depthwise = depthwise_conv_backward(pointwise["x"], cache["depthwise"])  # (1)
    return {"x": depthwise["x"], "depthwise": depthwise, "pointwise": pointwise, "bias": dbias, "y": dy}
