"""The product floor: the matrix products of a model's task, with its shapes and layouts, and nothing else.

Weights are as many as the model has, since reading them is part of the work; an activation is one array for all layers.
A gradient is two products more for each one: that of the left factor, and that of the right one. In the masked-LM head
they are counted for the labelled positions only: at all others the gradient of the logits is zero.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Layout = tuple[tuple[int, ...], tuple[int, ...]]  # the shape in memory, and the axes to bring it to (..., rows, columns)
HEADS_FIRST, HEADS_FIRST_TRANSPOSED, PLAIN = (0, 2, 1, 3), (0, 2, 3, 1), (0, 1, 2, 3)


class Product(NamedTuple):
    """A product `left @ right`, and whether its right factor is a weight, of which there is another one each time."""

    name: str
    left: Layout
    right: Layout
    weight: bool = True

    @property
    def operations(self) -> int:
        """Multiplications and additions."""
        (*batch, rows, inner), (*_, columns) = shape_of(self.left), shape_of(self.right)
        return 2 * math.prod(batch) * rows * inner * columns


def shape_of(layout: Layout) -> tuple[int, ...]:
    shape, axes = layout
    return tuple(shape[axis] for axis in axes)


def linear(name: str, rows: int, inner: int, columns: int, groups: int = 1) -> Product:
    """x W^T with W (out, in), or for a grouped map one product for each group, W (G, in, out)."""
    if groups == 1:
        return Product(name, ((rows, inner), (0, 1)), ((columns, inner), (1, 0)))
    weight = (groups, inner // groups, columns // groups)
    return Product(name, ((rows, groups, inner // groups), (1, 0, 2)), (weight, (0, 1, 2)))


def layer_products(config: Any, batch: int, length: int) -> list[Product]:
    """Those of one layer, in the order of computation."""
    rows, hidden, width = batch * length, config.hidden_size, config.all_head_size
    heads, inner, groups = config.num_heads, config.intermediate_size, config.num_groups
    names = ("query", "key", "value", "pointwise", "conv_out_layer")
    by_head, square = (batch, length, heads, config.head_size), (batch, heads, length, length)
    return [
        *(linear(name, rows, hidden, width) for name in names),
        linear("conv_kernel_layer", rows, width, heads * config.conv_kernel_size),
        Product("scores", (by_head, HEADS_FIRST), (by_head, HEADS_FIRST_TRANSPOSED), weight=False),
        Product("context", (square, PLAIN), (by_head, HEADS_FIRST), weight=False),
        linear("attention.output", rows, 2 * width, hidden),
        linear("intermediate", rows, hidden, inner, groups),
        linear("output", rows, inner, hidden, groups),
    ]


def body_products(config: Any, batch: int, length: int) -> list[Product]:
    """Those of the body."""
    rows, width, hidden = batch * length, config.embedding_size, config.hidden_size
    project = [linear("embeddings_project", rows, width, hidden)] if width != hidden else []
    return project + config.num_hidden_layers * layer_products(config, batch, length)


def head_products(config: Any, rows: int) -> list[Product]:
    """Those of the masked-LM head."""
    width = config.embedding_size
    return [
        linear("generator_predictions", rows, config.hidden_size, width),
        linear("generator_lm_head", rows, width, config.vocab_size),
    ]


def floor(config: Any, task: str, batch: int, length: int, labelled: int) -> tuple[Callable[[], None], int]:
    """What runs all products of a task, and how many operations they are."""
    body, head = body_products(config, batch, length), head_products(config, batch * length)
    forward = body if task == "encoder" else body + head
    backward = body + head_products(config, labelled) if task in ("backward", "step") else []
    arrays: dict[Layout, Any] = {}
    weights = [made(product.right) if product.weight else None for product in forward]
    jobs = [(activation(arrays, p.left), factor(arrays, p, w)) for p, w in zip(forward, weights, strict=True)]
    back = [(activation(arrays, p.left), factor(arrays, p, w)) for p, w in zip(backward, weights[: len(backward)], strict=True)]
    adjoints = [(left, right, activation(arrays, plain(left.shape[:-1] + right.shape[-1:]))) for left, right in back[::-1]]
    operations = sum(p.operations for p in forward) + 2 * sum(p.operations for p in backward)
    return lambda: run(jobs, adjoints), operations


def run(jobs: list[tuple[Any, Any]], adjoints: list[tuple[Any, Any, Any]]) -> None:
    for left, right in jobs:
        np.matmul(left, right)
    for left, right, dy in adjoints:
        np.matmul(dy, right.swapaxes(-1, -2))
        if right.strides[-1] > right.strides[-2]:  # held transposed, and so is its gradient
            np.matmul(dy.swapaxes(-1, -2), left)
        else:
            np.matmul(left.swapaxes(-1, -2), dy)


def plain(shape: tuple[int, ...]) -> Layout:
    return shape, tuple(range(len(shape)))


def factor(arrays: dict[Layout, Any], product: Product, weight: Any) -> Any:
    """The right factor: the weight, or an activation."""
    return activation(arrays, product.right) if weight is None else weight


def activation(arrays: dict[Layout, Any], layout: Layout) -> Any:
    """The array of this layout; made when it is first asked for."""
    if layout not in arrays:
        arrays[layout] = made(layout)
    return arrays[layout]


def made(layout: Layout) -> Any:
    shape, axes = layout
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32).transpose(axes)
