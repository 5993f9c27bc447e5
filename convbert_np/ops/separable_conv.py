"""One-dimensional convolution in two cheap steps: along the sequence per channel, then across channels per position."""

from collections.abc import Iterator

import numpy as np

from convbert_np.ops.linear import linear, linear_backward
from convbert_np.tree import Tree


def taps(length: int, num_taps: int) -> Iterator[tuple[int, slice, slice]]:
    """For each tap j of a centred window: j, the positions that have a neighbour there, and those neighbours.

    Tap j of position s looks at position s + j - (K-1)/2. Positions outside the sequence count as zero, so they are left out
    of the sums: no padded copy is needed.
    """
    for j in range(num_taps):
        offset = j - (num_taps - 1) // 2
        if abs(offset) < length:
            here = slice(max(0, -offset), length - max(0, offset))
            there = slice(max(0, offset), length - max(0, -offset))
            yield j, here, there


def depthwise_conv(x, weight):
    r"""Convolve each channel along the sequence with a filter of its own.

        y_{s,h} = sum_j x_{s + j - (K-1)/2, h} W_{h,j}            (zero outside [0, S))   (1)

    Shapes : x, y (B, S, H); weight (H, 1, K), K odd.
    Cache  : x, weight, y.
    Source : torch.nn.Conv1d(groups=H, bias=False), a cross-correlation: the filter is not flipped.
    """
    y = np.zeros_like(x)
    for j, here, there in taps(x.shape[1], weight.shape[-1]):
        y[:, here] += x[:, there] * weight[:, 0, j]  # (1)
    return y, {"x": x, "weight": weight, "y": y}


def depthwise_conv_backward(dy, cache) -> Tree:
    """Adjoint of `depthwise_conv`: each tap carries the gradient back to the neighbour that it read."""
    x, weight = cache["x"], cache["weight"]
    dx, dweight = np.zeros_like(x), np.zeros_like(weight)
    for j, here, there in taps(x.shape[1], weight.shape[-1]):
        dx[:, there] += dy[:, here] * weight[:, 0, j]  # (1)
        dweight[:, 0, j] = np.einsum("bsh,bsh->h", dy[:, here], x[:, there])  # (1)
    return {"x": dx, "weight": dweight, "y": dy}


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
