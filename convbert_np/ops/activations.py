"""The activation functions that a ConvBERT configuration may name as hidden_act, each with its derivative.

The names, the formulas and the derivatives at kinks are those of transformers 4.37.2 (activations.py) on
PyTorch, and selu is added to them. Two expressions are evaluated in another form, equal in exact arithmetic,
which stays accurate where the value is tiny:

* 0.5 (1 + erf(x / sqrt(2))) is Phi(x), the distribution function of the standard normal, from special.py;
* 0.5 (1 + tanh(u)) is sigmoid(2u).

So gelu and gelu_python are one function, and so are gelu_new, gelu_accurate and gelu_pytorch_tanh.

Every function here maps an array to an array of the same shape and dtype: float32 or float64, and where
`analytic` is True also complex128 with a tiny imaginary part, for complex-step derivatives.
"""

import difflib
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from convbert_np.blocks import in_blocks
from convbert_np.memory import like
from convbert_np.ops.special import (
    folded_normal,
    magnitude,
    normal_cdf,
    normal_cdf_and_pdf,
    normal_odds,
    normal_pdf,
    unfold_tail,
)

_SQRT_2_OVER_PI = math.sqrt(2 / math.pi)
_LAPLACE_MU, _LAPLACE_SIGMA = 0.707107, 0.282095  # the published six digits of sqrt(1/2) and sqrt(1/(4 pi))
_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


class Activation(NamedTuple):
    """A function of one number, its derivative, and whether it is analytic on the whole real axis."""

    value: Callable[[Any], Any]
    derivative: Callable[[Any], Any]
    analytic: bool


def activation(x, name):
    r"""Apply the activation function f called `name` to every element.

        y = f(x)                                                                        (1)

    Shapes : x, y any.
    Cache  : x, y, name.
    Raises : ValueError if `name` is not a key of ACTIVATIONS; TypeError if f needs Phi and x is not float32,
             float64 or complex128.
    Source : transformers 4.37.2, ACT2FN.
    """
    function = _lookup(name)
    with np.errstate(under="ignore", over="ignore"):
        y = in_blocks(function.value, x)  # (1)
    return y, {"x": x, "y": y, "name": name}


def activation_backward(dy, cache):
    """Adjoint of `activation`: dx = dy * f'(x). At a kink f' is the value that PyTorch takes there."""
    function = _lookup(cache["name"])
    with np.errstate(under="ignore", over="ignore"):
        dx = in_blocks(lambda x, dy: np.multiply(dy, function.derivative(x), out=like(dy)), cache["x"], dy)  # (1)
    return {"x": dx, "y": dy}


def _lookup(name):
    if isinstance(name, str) and name in ACTIVATIONS:
        return ACTIVATIONS[name]
    close = difflib.get_close_matches(str(name).lower(), ACTIVATIONS, 1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise ValueError(f"hidden_act must be one of {', '.join(ACTIVATIONS)}; got {name!r}.{hint}")


def gelu(x):
    """x Phi(x), as max(x, 0) - |x| Phi(-|x|); in float32 as x / (1 + Phi(-x)/Phi(x))"""
    if x.dtype == np.float32:
        inverse_cdf = normal_odds(x)
        inverse_cdf += 1
        return np.divide(x, inverse_cdf, out=inverse_cdf)
    a, _, tail = folded_normal(x)
    tail *= a
    return (np.maximum(x, 0) if np.isrealobj(x) else (x + magnitude(x)) / 2) - tail


def gelu_derivative(x):
    """Phi(x) + x phi(x)"""
    if x.dtype == np.float32:
        inverse_cdf = normal_odds(x)
        inverse_cdf += 1
        cdf = np.divide(1, inverse_cdf, out=inverse_cdf)
        gaussian = np.multiply(x, x, out=like(x))
        gaussian *= -0.5
        np.exp(gaussian, out=gaussian)
    else:
        _, gaussian, tail = folded_normal(x)
        cdf = unfold_tail(x, tail)
    gaussian *= 1 / math.sqrt(2 * math.pi)
    gaussian *= x
    gaussian += cdf
    return gaussian


def gelu_10(x):
    """min(gelu(x), 10): gelu clipped to [-10, 10], whose lower end it never reaches"""
    return np.minimum(gelu(x), 10)


def gelu_10_derivative(x):
    """gelu'(x) where gelu(x) <= 10, the end included; else 0"""
    cdf, pdf = normal_cdf_and_pdf(x)
    return (cdf + x * pdf) * ((x * cdf).real <= 10)


def gelu_new(x):
    """0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))"""
    return _tanh_gelu(x, _SQRT_2_OVER_PI)


def gelu_new_derivative(x):
    """The derivative of gelu_new"""
    return _tanh_gelu_derivative(x, _SQRT_2_OVER_PI)


def gelu_fast(x):
    """0.5 x (1 + tanh(0.7978845608 x (1 + 0.044715 x^2))): gelu_new with sqrt(2/pi) cut to ten digits"""
    return _tanh_gelu(x, 0.7978845608)


def gelu_fast_derivative(x):
    """The derivative of gelu_fast"""
    return _tanh_gelu_derivative(x, 0.7978845608)


def _tanh_gelu(x, scale):
    """x sigmoid(2u) = 0.5 x (1 + tanh(u)), u = scale * (x + 0.044715 x^3)"""
    return x * sigmoid(2 * scale * x * (1 + 0.044715 * x * x))


def _tanh_gelu_derivative(x, scale):
    """s + x s (1 - s) 2u', s = sigmoid(2u), u' = scale * (1 + 3 * 0.044715 x^2)"""
    s = sigmoid(2 * scale * x * (1 + 0.044715 * x * x))
    return s + x * s * (1 - s) * (2 * scale * (1 + 3 * 0.044715 * x * x))


def quick_gelu(x):
    """x sigmoid(1.702 x)"""
    return x * sigmoid(1.702 * x)


def quick_gelu_derivative(x):
    """s + 1.702 x s (1 - s), s = sigmoid(1.702 x)"""
    s = sigmoid(1.702 * x)
    return s + 1.702 * x * s * (1 - s)


def laplace(x):
    """0.5 (1 + erf((x - mu) / (sigma sqrt(2)))) = Phi((x - mu) / sigma), mu = 0.707107, sigma = 0.282095"""
    return normal_cdf((x - _LAPLACE_MU) / _LAPLACE_SIGMA)


def laplace_derivative(x):
    """phi((x - mu) / sigma) / sigma"""
    return normal_pdf((x - _LAPLACE_MU) / _LAPLACE_SIGMA) / _LAPLACE_SIGMA


def sigmoid(x):
    """1 / (1 + exp(-x)), with sigmoid(-|x|) = e / (1 + e), e = exp(-|x|), which cannot overflow"""
    e = np.exp(-magnitude(x))
    return unfold_tail(x, e / (1 + e))


def sigmoid_derivative(x):
    """s (1 - s), s = sigmoid(x), with 1 - s = sigmoid(-x)"""
    return sigmoid(x) * sigmoid(-x)


def silu(x):
    """x sigmoid(x)"""
    return x * sigmoid(x)


def silu_derivative(x):
    """s + x s (1 - s), s = sigmoid(x)"""
    s = sigmoid(x)
    return s + x * s * (1 - s)


def mish(x):
    """x tanh(softplus(x)), softplus(x) = log(1 + exp(x))"""
    return x * np.tanh(_softplus(x))


def mish_derivative(x):
    """t + x (1 - t^2) sigmoid(x), t = tanh(softplus(x))"""
    t = np.tanh(_softplus(x))
    return t + x * (1 - t * t) * sigmoid(x)


def _softplus(x):
    """log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)), with max(x, 0) = x/2 + |x|/2"""
    a = magnitude(x)
    return 0.5 * x + 0.5 * a + np.log1p(np.exp(-a))


def tanh(x):
    """tanh(x)"""
    return np.tanh(x)


def tanh_derivative(x):
    """1 - tanh(x)^2"""
    y = np.tanh(x)
    return 1 - y * y


def linear(x):
    """x"""
    return x


def linear_derivative(x):
    """1"""
    return np.ones_like(x)


def relu(x):
    """max(x, 0)"""
    return np.maximum(x, 0)


def relu_derivative(x):
    """1 where x > 0, else 0"""
    return _indicator(x.real > 0, x)


def relu2(x):
    """max(x, 0)^2"""
    return np.square(np.maximum(x, 0))


def relu2_derivative(x):
    """2 max(x, 0)"""
    return 2 * np.maximum(x, 0)


def relu6(x):
    """min(max(x, 0), 6)"""
    return np.minimum(np.maximum(x, 0), 6)


def relu6_derivative(x):
    """1 where 0 < x < 6, else 0"""
    return _indicator((x.real > 0) & (x.real < 6), x)


def leaky_relu(x):
    """x where x > 0, else 0.01 x"""
    return np.maximum(x, 0.01 * x)


def leaky_relu_derivative(x):
    """1 where x > 0, else 0.01"""
    return np.maximum(_indicator(x.real > 0, x), 0.01)


def selu(x):
    """scale * (x where x > 0, else alpha (exp(x) - 1)), alpha = 1.673263..., scale = 1.050701..."""
    return _SELU_SCALE * (np.maximum(x, 0) + _SELU_ALPHA * np.expm1(np.minimum(x, 0)))


def selu_derivative(x):
    """scale * (1 where x > 0, else alpha exp(x))"""
    positive = _indicator(x.real > 0, x)
    return _SELU_SCALE * (positive + (1 - positive) * _SELU_ALPHA * np.exp(np.minimum(x, 0)))


def _indicator(condition, x):
    """1 where the condition holds, else 0, in the dtype of x."""
    return condition.astype(x.dtype)


ACTIVATIONS: dict[str, Activation] = {
    "gelu": Activation(gelu, gelu_derivative, True),
    "gelu_10": Activation(gelu_10, gelu_10_derivative, False),
    "gelu_fast": Activation(gelu_fast, gelu_fast_derivative, True),
    "gelu_new": Activation(gelu_new, gelu_new_derivative, True),
    "gelu_python": Activation(gelu, gelu_derivative, True),
    "gelu_pytorch_tanh": Activation(gelu_new, gelu_new_derivative, True),
    "gelu_accurate": Activation(gelu_new, gelu_new_derivative, True),
    "laplace": Activation(laplace, laplace_derivative, True),
    "leaky_relu": Activation(leaky_relu, leaky_relu_derivative, False),
    "linear": Activation(linear, linear_derivative, True),
    "mish": Activation(mish, mish_derivative, True),
    "quick_gelu": Activation(quick_gelu, quick_gelu_derivative, True),
    "relu": Activation(relu, relu_derivative, False),
    "relu2": Activation(relu2, relu2_derivative, False),
    "relu6": Activation(relu6, relu6_derivative, False),
    "sigmoid": Activation(sigmoid, sigmoid_derivative, True),
    "silu": Activation(silu, silu_derivative, True),
    "swish": Activation(silu, silu_derivative, True),
    "tanh": Activation(tanh, tanh_derivative, True),
    "selu": Activation(selu, selu_derivative, False),
}
