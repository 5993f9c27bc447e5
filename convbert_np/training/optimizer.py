"""AdamW, gradient clipping and accumulation: functions on flat dicts {name: array} that change their first argument in place.

Parameters, gradients and moments have the same names. An elementwise chain over all parameters of a model spends its time on
memory: here the whole chain runs over one block, which stays in a cache, before it goes to the next, and the blocks are
shared out over a few threads. Every element is computed by itself, so that the numbers do not depend on the number of threads.
"""

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from convbert_np.blocks import share

BLOCK = 1 << 17  # elements: few enough for a cache, many enough that threads seldom wait for each other
SHARED = 2  # blocks that are worth another thread
EXCLUDED = r"LayerNorm|layer_norm|bias"

Flat = dict[str, Any]


class AdamW(NamedTuple):
    """The constants of AdamW.

    beta1, beta2     how much of the moments is kept at a step
    eps              keeps the quotient of the moments finite
    weight_decay     per unit of learning rate, not through the moments
    bias_correction  divide the moments by what they lack while they are young: PyTorch does, the original ConvBERT does not
    exclude          parameters whose name has this regular expression in it are not decayed
    """

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.01
    bias_correction: bool = True
    exclude: str = EXCLUDED

    def decay_of(self, name: str) -> float:
        """The weight decay of the parameter of this name."""
        return 0.0 if self.exclude and re.search(self.exclude, name) else self.weight_decay


PYTORCH = AdamW()
BERT = AdamW(eps=1e-6, bias_correction=False)


class Moments(NamedTuple):
    """The running means of the gradient and of its square, each under the parameters' names."""

    first: Flat
    second: Flat


class Factors(NamedTuple):
    """The numbers by which one step changes one parameter: see `adamw_update`."""

    lr: float
    decay: float
    correction1: float
    correction2: float
    scale: float


def new_moments(params: Mapping[str, Any]) -> Moments:
    """The moments before the first step: zeros."""
    return Moments(*({name: np.zeros_like(p) for name, p in params.items()} for _ in range(2)))


def adamw(
    params: Mapping[str, Any],
    grads: Mapping[str, Any],
    moments: Moments,
    step: int,
    lr: float,
    settings: AdamW = PYTORCH,
    *,
    lr_factors: Mapping[str, float] | None = None,
    scale: float = 1.0,
) -> None:
    """One step of AdamW: changes parameters and moments in place.

    step        counts from 1; bias correction needs it
    lr          the learning rate of this step
    settings    PYTORCH (torch.optim.AdamW) or BERT (of the original ConvBERT) or constants of your own
    lr_factors  a factor of the learning rate for each name (see `layerwise_factors`)
    scale       of the gradients (see `clip_coefficient`), so that clipping takes no pass of its own

    Shapes : the arrays of a name have one shape in all four.
    Source : Loshchilov and Hutter 2019 (arXiv 1711.05101); torch.optim.AdamW; AdamWeightDecayOptimizer of the original code.
    Raises ValueError if names or shapes differ, or if a parameter cannot be changed in place.
    """
    check_alike(params, grads=grads, first_moments=moments.first, second_moments=moments.second)
    if step < 1:
        raise ValueError(f"step: counts from 1, got {step}")
    correction1, correction2 = (1 - beta**step if settings.bias_correction else 1.0 for beta in settings[:2])
    jobs: list[tuple[Any, Any]] = []
    for name, p in params.items():
        if not p.flags.writeable:
            raise ValueError(f"params: {name} is read-only; training changes parameters in place")
        rate = lr if lr_factors is None else lr * lr_factors[name]
        arrays = (p, grads[name], moments.first[name], moments.second[name])
        jobs += in_parts(arrays, Factors(rate, settings.decay_of(name), correction1, correction2, scale))

    def work(start: int, stop: int) -> None:
        space = np.empty(BLOCK, np.uint64)  # room for a block of any real dtype
        for arrays, factors in jobs[start:stop]:
            p, g, m, v = arrays
            is_block = type(p) is np.ndarray and p.ndim == 1 and p.size <= BLOCK
            scratch = space.view(p.dtype)[: p.size] if is_block else np.empty_like(p)
            adamw_update(p, g, m, v, factors, settings, scratch)

    share(work, len(jobs), SHARED)


def adamw_update(p, g, m, v, factors: Factors, settings: AdamW, scratch) -> None:
    r"""The step of one parameter.

        g' = scale * g                                                                  (1)
        m  = beta1 * m + (1 - beta1) * g'                                               (2)
        v  = beta2 * v + (1 - beta2) * g'^2                                             (3)
        p  = p - lr * decay * p - lr * m^ / (sqrt(v^) + eps)                            (4)

    where m^ = m / correction1 and v^ = v / correction2: with bias correction these are 1 - beta1^t and 1 - beta2^t, else 1. Then
    m^ and v^ are weighted means over the gradients so far; without it they begin near 0, and the first steps are larger:
    (1 - beta1) / sqrt(1 - beta2), about 3, where those of PyTorch are about 1 (times the learning rate).

    Shapes : p, g, m, v, scratch all the same; p, m and v are changed, scratch is for temporaries.
    """
    lr, decay, correction1, correction2, scale = factors
    np.multiply(g, scale * (1 - settings.beta1), out=scratch)  # (1)
    m *= settings.beta1  # (2)
    m += scratch  # (2)
    np.multiply(g, g, out=scratch)
    scratch *= scale * scale * (1 - settings.beta2)  # (1)
    v *= settings.beta2  # (3)
    v += scratch  # (3)
    np.sqrt(v, out=scratch)  # (4)
    if correction2 != 1:
        scratch *= 1 / math.sqrt(correction2)  # (4)
    scratch += settings.eps  # (4)
    np.divide(m, scratch, out=scratch)  # (4)
    scratch *= lr / correction1  # (4)
    if decay:
        p *= 1 - lr * decay  # (4)
    p -= scratch  # (4)


def global_norm(grads: Mapping[str, Any]) -> float:
    """The Euclidean norm of all gradients together. The sums of squares of the blocks are added up in float64."""
    jobs = [part for grad in grads.values() for (part,), _ in in_parts((grad,), None)]
    squares = np.zeros(len(jobs))

    def work(start: int, stop: int) -> None:
        for index in range(start, stop):
            flat = jobs[index].reshape(-1)
            squares[index] = np.einsum("i,i->", flat, flat)

    share(work, len(jobs), SHARED)
    return float(np.sqrt(np.sum(squares)))


def clip_coefficient(norm: float, max_norm: float | None) -> float:
    """What gradients of this norm are multiplied by, so that it becomes at most `max_norm`: min(1, max_norm / (norm + 1e-6)).

    None: no clipping, 1. Source: torch.nn.utils.clip_grad_norm_ (the original code leaves out the 1e-6).
    """
    return 1.0 if max_norm is None else min(1.0, max_norm / (norm + 1e-6))


def clip_gradients(grads: Mapping[str, Any], max_norm: float) -> float:
    """Scale gradients in place so that their global norm is at most `max_norm`; returns the norm that it was."""
    norm = global_norm(grads)
    coefficient = clip_coefficient(norm, max_norm)
    if coefficient < 1:
        for grad in grads.values():
            grad *= coefficient
    return norm


def accumulate(total: Flat, grads: Flat) -> Flat:
    """total[name] += grads[name], in place; returns `total`. An empty `total` takes the arrays of `grads` as its own.

    The gradient of a mean over n labels is the sum, over the parts of the batch, of (labels of the part / n) * (gradient of the
    part's mean): let the share be the cotangent of the part's loss, model.backward(out, {"loss": share}).
    """
    if not total:
        total |= grads
        return total
    check_alike(total, grads=grads)
    for name, grad in grads.items():
        total[name] += grad
    return total


def layerwise_factors(names: Mapping[str, Any] | list[str], decay: float, num_layers: int) -> dict[str, float]:
    """Layer-wise decay of the learning rate: what lies deeper, and is more general, is changed less when a task is learnt.

    factor = decay^(L + 2 - depth), depth 0 for the embeddings and embeddings_project, i + 1 for layer i, L + 2 for a head.

    Source: the original code's optimization.py (decay .8 in its fine-tuning).
    """
    factors = {}
    for name in names:
        layer = re.search(r"encoder\.layer\.([0-9]+)\.", name)
        embedded = re.match(r"(convbert\.|generator\.)?embeddings(_project)?\.", name)
        depth = int(layer[1]) + 1 if layer else 0 if embedded else num_layers + 2
        factors[name] = decay ** (num_layers + 2 - depth)
    return factors


def in_parts(arrays: tuple[Any, ...], factors: Any) -> list[tuple[tuple[Any, ...], Any]]:
    """Arrays of one shape cut into flat views of at most BLOCK elements; whole where they cannot be cut without a copy."""
    if not all(type(array) is np.ndarray and array.flags.c_contiguous for array in arrays):
        return [(arrays, factors)]
    flat = [array.reshape(-1) for array in arrays]
    return [(tuple(array[begin : begin + BLOCK] for array in flat), factors) for begin in range(0, flat[0].size, BLOCK)]


def check_alike(params: Mapping[str, Any], **others: Mapping[str, Any]) -> None:
    """Raise ValueError, naming the argument, unless all have the same names, shapes and dtypes."""
    for argument, other in others.items():
        if other.keys() != params.keys():
            raise ValueError(
                f"{argument}: must have the parameters' names; differing: {sorted(other.keys() ^ params.keys())[:5]}"
            )
        for name, p in params.items():
            if other[name].shape != p.shape or other[name].dtype != p.dtype:
                found, wanted = (f"{a.dtype} {a.shape}" for a in (other[name], p))
                raise ValueError(f"{argument}: {name} is {found}, must be {wanted}")
