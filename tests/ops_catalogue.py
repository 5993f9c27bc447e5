"""Every forward/backward pair of ops/, with a way to draw random arguments for it: shared by the tests of all of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from convbert_np.ops import (
    activations,
    attention,
    dropout,
    dynamic_conv,
    embedding,
    grouped_linear,
    layer_norm,
    linear,
    losses,
    separable_conv,
    softmax,
)


@dataclass(frozen=True)
class Pair:
    name: str
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    draw: Callable[[np.random.Generator, list[int]], dict[str, Any]]
    method: str = "complex"
    output: str = "y"
    constants: tuple[str, ...] = ()  # float arguments without a gradient


def pair(module, name, draw, **options):
    return Pair(options.pop("label", name), getattr(module, name), getattr(module, name + "_backward"), draw, **options)


def draw_linear(rng, n):
    b, s, i, o = n[:4]
    return {"x": rng.standard_normal((b, s, i)), "weight": rng.standard_normal((o, i)), "bias": rng.standard_normal(o)}


def draw_grouped(rng, n):
    b, s, i, o = n[:4]
    groups = 2 + n[4] % 2
    weight = rng.standard_normal((groups, i, o))
    return {"x": rng.standard_normal((b, s, groups * i)), "weight": weight, "bias": rng.standard_normal(groups * o)}


def draw_embedding(rng, n):
    b, s, v, e = n[0], n[1], n[2] + 1, n[3]
    return {"ids": rng.integers(0, v, (b, s)), "weight": rng.standard_normal((v, e))}


def draw_layer_norm(rng, n):
    shape = (n[0], n[1], n[2] + 1)
    return {
        "x": rng.standard_normal(shape) * 2 + 3, "weight": rng.standard_normal(shape[-1]),
        "bias": rng.standard_normal(shape[-1]), "eps": 1e-3,
    }  # fmt: skip


def draw_dropout(rng, n):
    x = rng.standard_normal((n[0], n[1], n[2]))
    return {"x": x, "p": 0.3, "mask": rng.random(x.shape) >= 0.3}


def draw_attention(rng, n):
    b, s, heads, d = n[:4]
    shape = (b, heads, s, d)
    mask = np.where(rng.random((b, 1, 1, s)) < 0.3, float(np.finfo(np.float32).min), 0.0)
    mask[..., 0] = 0
    return {
        "q": rng.standard_normal(shape), "k": rng.standard_normal(shape), "v": rng.standard_normal(shape), "mask": mask,
        "head_mask": rng.standard_normal((1, heads, 1, 1)), "p": 0.3,
        "rng": {"dropout": {"mask": rng.random((b, heads, s, s)) >= 0.3}},
    }  # fmt: skip


def draw_depthwise(rng, n):
    b, s, h, k = n[0], n[1], n[2], 2 * (n[3] % 5) + 1
    return {"x": rng.standard_normal((b, s, h)), "weight": rng.standard_normal((h, 1, k))}


def draw_pointwise(rng, n):
    b, s, h, a = n[:4]
    return {"x": rng.standard_normal((b, s, h)), "weight": rng.standard_normal((a, h, 1))}


def draw_separable(rng, n):
    depthwise, a = draw_depthwise(rng, n), n[4]
    pointwise = rng.standard_normal((a, depthwise["x"].shape[-1], 1))
    return {
        "x": depthwise["x"], "depthwise": {"weight": depthwise["weight"]}, "pointwise": {"weight": pointwise},
        "bias": rng.standard_normal((a, 1)),
    }  # fmt: skip


def draw_span_conv(rng, n):
    b, s, heads, d, k = n[0], n[1], n[2], n[3], 2 * (n[4] % 5) + 1
    q, span_key, v = (rng.standard_normal((b, s, heads * d)) for _ in range(3))
    weight, bias = rng.standard_normal((heads * k, heads * d)), rng.standard_normal(heads * k)
    return {"q": q, "span_key": span_key, "v": v, "weight": weight, "bias": bias, "num_heads": heads}


def draw_cross_entropy(rng, n):
    b, s, c = n[0], n[1], n[2] + 1
    labels = np.where(rng.random((b, s)) < 0.3, -100, rng.integers(0, c, (b, s)))
    labels[0, 0] = 0
    return {"logits": 3 * rng.standard_normal((b, s, c)), "labels": labels}


def draw_regression(rng, n):
    return {"logits": rng.standard_normal((n[0], n[1])), "labels": rng.standard_normal((n[0], n[1]))}


def draw_binary(rng, n):
    return {"logits": 3 * rng.standard_normal((n[0], n[1])), "labels": rng.random((n[0], n[1]))}


def with_arguments(draw, **more):
    return lambda rng, n: draw(rng, n) | more


def draw_activation(name):
    return lambda rng, n: {"x": rng.standard_normal((n[0], n[1], n[2])) * 3, "name": name}


LOSSES = [
    pair(
        losses, name, with_arguments(draw, reduction=reduction), output="loss", constants=("labels",), label=f"{name} {reduction}"
    )
    for name, draw in (
        ("cross_entropy", draw_cross_entropy),
        ("mse_loss", draw_regression),
        ("binary_cross_entropy_with_logits", draw_binary),
    )
    for reduction in ("mean", "sum", "none")
]
ACTIVATIONS = [
    pair(activations, "activation", draw_activation(name), label=name, method="complex" if about.analytic else "central")
    for name, about in activations.ACTIVATIONS.items()
]
PAIRS = [
    pair(linear, "linear", draw_linear),
    pair(linear, "linear", lambda rng, n: {k: v for k, v in draw_linear(rng, n).items() if k != "bias"}, label="linear, no bias"),
    pair(grouped_linear, "grouped_linear", draw_grouped),
    pair(embedding, "embedding", draw_embedding),
    pair(layer_norm, "layer_norm", draw_layer_norm),
    pair(softmax, "softmax", lambda rng, n: {"x": 3 * rng.standard_normal(n[:3]), "axis": n[4] % 3}),
    pair(softmax, "log_softmax", lambda rng, n: {"x": 3 * rng.standard_normal(n[:3]), "axis": n[4] % 3}),
    pair(dropout, "dropout", draw_dropout),
    pair(attention, "attention", draw_attention, output="context", constants=("mask",)),
    pair(separable_conv, "depthwise_conv", draw_depthwise),
    pair(separable_conv, "pointwise_conv", draw_pointwise),
    pair(separable_conv, "separable_conv", draw_separable),
    pair(dynamic_conv, "span_dynamic_conv", draw_span_conv, output="conv"),
    *LOSSES,
    *ACTIVATIONS,
]
