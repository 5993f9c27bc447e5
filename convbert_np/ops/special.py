r"""The error function and the normal distribution in NumPy, which has neither.

Two approximations carry everything here, each with its own coefficients for float32 and for float64, and a third one
float32's gelu:

    erf(z)           = z + z q(z^2)                 |z| < 1     q a polynomial
    Phi(-a)          = exp(-a^2/2) P(a)/Q(a)        a >= 0      P, Q polynomials with positive coefficients
    Phi(-x) / Phi(x) = exp(-x P(x^2)/Q(x^2))                    other P, Q, with positive coefficients too

Phi is the cumulative distribution function of the standard normal distribution, and
erfc(z) = 2 Phi(-sqrt(2) z). The second form keeps the relative accuracy where Phi(-a) itself is tiny: what is
rounded is a factor, never a difference.

Every function takes float32 or float64 arrays and returns the same dtype. complex128 is for complex-step
derivatives (a tiny imaginary part): the case is chosen by the real part, and all the rest is analytic.
"""

import math

import numpy as np

from convbert_np.blocks import in_blocks
from convbert_np.memory import like

# Printed by tests/tools/fit_erf.py. Highest power first.
_TABLES: dict[str, dict[str, tuple[float, ...]]] = {
    "float32": {
        "erf": (
            7.875875e-05,
            -0.00080168643,
            0.0051890872,
            -0.026854211,
            0.11283594,
            -0.37612626,
            0.12837917,
        ),
        "p": (
            0.0044562453,
            0.042808935,
            0.18950465,
            0.44646063,
            0.5,
        ),
        "q": (
            0.011170069,
            0.10731079,
            0.48607177,
            1.2280682,
            1.6908067,
            1.0,
        ),
        "logit_p": (
            1.5247389e-06,
            0.0005613993,
            0.018343862,
            0.22194293,
            1.5957692,
        ),
        "logit_q": (
            8.930063e-05,
            0.007282338,
            0.09354207,
            1.0,
        ),
    },
    "float64": {
        "erf": (
            -7.795898827002142e-10,
            1.3720064546777686e-08,
            -1.6208483801871705e-07,
            1.6447424703317362e-06,
            -1.492473690741966e-05,
            0.00012055294904839707,
            -0.0008548325975389692,
            0.0052239776071164225,
            -0.02686617064323777,
            0.11283791670945006,
            -0.37612638903183543,
            0.12837916709551256,
        ),
        "p": (
            2.206141608820233e-07,
            6.888404471046805e-06,
            0.00010550308358398394,
            0.0010313590966463827,
            0.007077350580471882,
            0.03548940042984599,
            0.13154403773894913,
            0.3563636068023978,
            0.6783918019176626,
            0.8271826026699026,
            0.5,
        ),
        "q": (
            5.529976934507568e-07,
            1.7266669414247877e-05,
            0.0002650100100628648,
            0.002602500542560113,
            0.018003638082759107,
            0.0915094353867671,
            0.34694890025332376,
            0.9772321662020906,
            1.9973289481605838,
            2.8133958314729957,
            2.4522497661426708,
            1.0,
        ),
    },
}

_FARTHEST = 40.0  # exp(-40^2/2) is zero in float64
_LARGEST_SQUARE = 1e6  # its polynomials are finite in float32, and the odds of its root zero


def erf(x):
    """The error function, 2/sqrt(pi) * integral of exp(-t^2) from 0 to x.

    Within 2 units in the last place in float64 and 4 in float32, over the whole range. erf(-0) is -0.
    Raises TypeError for other dtypes than those of this module.
    """
    return in_blocks(_erf, x)


def erfc(x):
    """The complementary error function 1 - erf(x).

    Its relative error is under 1e-6 in float32 and 2e-15 in float64, until it underflows.
    Raises TypeError for other dtypes than those of this module.
    """
    return in_blocks(_erfc, x)


def normal_cdf(x):
    """Phi(x), the cumulative distribution function of the standard normal distribution.

    Its relative error is under 1e-6 in float32 and 2e-15 in float64, until it underflows; hence so is that of
    gelu(x) = x Phi(x).
    Raises TypeError for other dtypes than those of this module.
    """
    return in_blocks(lambda block: normal_cdf_and_pdf(block)[0], x)


def normal_pdf(x):
    """phi(x) = exp(-x^2/2) / sqrt(2 pi), the density of the standard normal distribution: Phi's derivative.

    Raises TypeError for other dtypes than those of this module.
    """
    return in_blocks(lambda block: normal_cdf_and_pdf(block)[1], x)


def normal_cdf_and_pdf(x):
    """Phi(x) and phi(x) as a pair, for the price of one of them: both need exp(-x^2/2)."""
    tables = _tables(x)
    with np.errstate(under="ignore"):
        a = np.minimum(magnitude(x), _FARTHEST)
        gaussian = _exp_minus_square(a, 0.5)
        tail = gaussian * _scaled_tail(a, tables)
        return unfold_tail(x, tail), gaussian * (1 / math.sqrt(2 * math.pi))


def folded_normal(x):
    """a = |x| (at most 40), exp(-a^2/2) and Phi(-a), of which gelu and its derivative are made in float64."""
    a = np.minimum(magnitude(x), _FARTHEST)
    gaussian = _exp_minus_square(a, 0.5)
    return a, gaussian, gaussian * _scaled_tail(a, _tables(x))


def normal_odds(x):
    """Phi(-x) / Phi(x), the odds against: exp(-x R(x^2)), where R is a quotient of polynomials with positive coefficients.

    For float32 alone, where it makes gelu and its derivative in half of the steps that Phi takes. Relatively exact to 1e-5 for
    x <= 6, where it is 1e-9.
    """
    tables = _tables(x)
    squares = np.multiply(x, x, out=like(x))
    squares = np.minimum(squares, _LARGEST_SQUARE, out=squares if x.ndim else None)
    odds = _polynomial(squares, tables["logit_p"])
    odds /= _polynomial(squares, tables["logit_q"])
    odds *= -x if x.ndim == 0 else np.negative(x, out=squares)
    return np.exp(odds, out=odds)


def magnitude(x):
    """|x|; for complex x the analytic function that equals it on the real axis, +x or -x."""
    return np.where(x.real < 0, -x, x) if np.iscomplexobj(x) else np.abs(x)


def unfold_tail(x, tail):
    """F(x) from tail = F(-|x|), for an F with F(-x) = 1 - F(x): tail if x < 0, else 1 - tail.

    Written as |0 - tail| and |1 - tail|, because np.where takes as long as all the rest of normal_cdf.
    """
    return magnitude((x.real >= 0) - tail)


def _erf(x):
    tables = _tables(x)
    with np.errstate(under="ignore"):
        z = magnitude(x)
        inner = np.minimum(z, 1.0)
        near_zero = inner + inner * _polynomial(inner * inner, tables["erf"])
        return _give_sign(x, np.where(z.real < 1, near_zero, 1 - _twice_tail(z, tables)))


def _erfc(x):
    tables = _tables(x)
    with np.errstate(under="ignore"):
        tail = _twice_tail(magnitude(x), tables)
        return np.where(x.real < 0, 2 - tail, tail)


def _twice_tail(z, tables):
    """erfc(z) = 2 Phi(-sqrt(2) z), z >= 0. The rounding of sqrt(2) z reaches only the slowly varying P/Q."""
    clipped = np.minimum(z, _FARTHEST / math.sqrt(2))
    return 2 * _exp_minus_square(clipped, 1.0) * _scaled_tail(clipped * math.sqrt(2), tables)


def _scaled_tail(a, tables):
    """Phi(-a) exp(a^2/2) = P(a)/Q(a) for 0 <= a <= 40."""
    return _polynomial(a, tables["p"]) / _polynomial(a, tables["q"])


def _exp_minus_square(a, factor):
    """exp(-factor a^2) for 0 <= a <= 40 and factor 0.5 or 1, as accurate as exp itself.

    Rounding a^2 = 1000 would already cost a relative error of 1000 * eps in the exponential. Hence
    a = high + rest, where high is a multiple of 1/16, whose square is exact, and
    a^2 = high^2 + (a - high)(a + high).
    """
    high = np.rint(a.real * 16) * 0.0625
    return np.exp(high * high * -factor) * np.exp((high - a) * (high + a) * factor)


def _polynomial(x, coefficients):
    """Horner's rule; the coefficient of the highest power comes first."""
    y = np.multiply(x, coefficients[0], out=like(x))
    for coefficient in coefficients[1:-1]:
        y += coefficient
        y *= x
    y += coefficients[-1]
    return y


def _give_sign(x, y):
    """y >= 0 with the sign of x, that of a zero included."""
    return np.where(x.real < 0, -y, y) if np.iscomplexobj(x) else np.copysign(y, x)


def _tables(x):
    name = x.real.dtype.name
    if name not in _TABLES:
        raise TypeError(f"x must be float32, float64 or complex128, got dtype {x.dtype}")
    return _TABLES[name]
