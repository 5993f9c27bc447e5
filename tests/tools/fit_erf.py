"""Compute the coefficient tables of convbert_np/ops/special.py, and print them.

    python tests/tools/fit_erf.py

All fits interpolate at Chebyshev nodes, solved in 60 digits, which comes within a small factor of the best
possible (minimax) error:

* erf(z)/z - 1 as a polynomial in z^2, for 0 <= z <= 1;
* Phi(-a) exp(a^2/2) as a rational function P(a)/Q(a), for 0 <= a <= top. The nodes are Chebyshev's in the
  mapped variable (a - 4)/(a + 4), which gives the curved part near zero its share. All coefficients come out
  positive, so that evaluating P and Q cancels nothing;
* for float32 alone, log(Phi(x) / Phi(-x)) / x as a rational function of x^2, for 0 <= x <= 6. The nodes are Chebyshev's in x.
  These coefficients are positive as well, so that the quotient grows with x beyond 6, too.
"""

import mpmath as mp
import numpy as np

# degree of the polynomial; degrees of P and Q; the largest a, where exp(-a^2/2) is zero in this precision
SETTINGS = {"float32": (6, 4, 5, 14.5), "float64": (11, 10, 11, 40.0)}
LOGIT = (4, 3, 6)  # degrees of P and Q, the largest x
MIDDLE = 4  # the a at the middle of the mapped interval


def scaled_tail(a):
    """Phi(-a) exp(a^2/2), Phi being the cumulative distribution function of the normal distribution."""
    return mp.erfc(a / mp.sqrt(2)) / 2 * mp.exp(a * a / 2)


def chebyshev_nodes(count, low, high):
    """The `count` Chebyshev nodes of the interval [low, high]."""
    angles = [(2 * j + 1) * mp.pi / (2 * count) for j in range(count)]
    return [low + (high - low) * (1 + mp.cos(angle)) / 2 for angle in angles]


def fit_polynomial(degree):
    """Coefficients, highest power first, of erf(z)/z - 1 in s = z^2 on [0, 1]."""
    nodes = chebyshev_nodes(degree + 1, mp.mpf(0), mp.mpf(1))
    powers = mp.matrix([[s**k for k in range(degree, -1, -1)] for s in nodes])
    return list(mp.lu_solve(powers, mp.matrix([mp.erf(mp.sqrt(s)) / mp.sqrt(s) - 1 for s in nodes])))


def fit_rational(points, p_degree, q_degree):
    """Coefficients of P and of Q, highest power first, Q(0) = 1, with P(a)/Q(a) = f at each of the points (a, f).

    P(a)/f - (Q(a) - 1) = 1 at each point is one row of a linear system.
    """
    rows = [[a**k / f for k in range(p_degree, -1, -1)] + [-(a**k) for k in range(q_degree, 0, -1)] for a, f in points]
    solution = list(mp.lu_solve(mp.matrix(rows), mp.matrix([1] * len(rows))))
    return solution[: p_degree + 1], [*solution[p_degree + 1 :], mp.mpf(1)]


def fit_tail(p_degree, q_degree, top):
    """P and Q with P(a)/Q(a) = scaled_tail(a) for 0 <= a <= top."""
    mapped = chebyshev_nodes(p_degree + q_degree + 1, mp.mpf(-1), (mp.mpf(top) - MIDDLE) / (top + MIDDLE))
    nodes = [MIDDLE * (1 + t) / (1 - t) for t in mapped]
    return fit_rational([(a, scaled_tail(a)) for a in nodes], p_degree, q_degree)


def fit_logit(p_degree, q_degree, top):
    """P and Q with P(x^2)/Q(x^2) = log(Phi(x) / Phi(-x)) / x for 0 < x <= top."""
    nodes = chebyshev_nodes(p_degree + q_degree + 1, mp.mpf(0), mp.mpf(top))
    return fit_rational([(x * x, mp.log(mp.ncdf(x) / mp.ncdf(-x)) / x) for x in nodes], p_degree, q_degree)


def tables(precision):
    """The tables of one precision ("float32" or "float64"), rounded to it: {"erf": , "p": , "q": , ...}."""
    degree, p_degree, q_degree, top = SETTINGS[precision]
    with mp.workdps(60):
        p, q = fit_tail(p_degree, q_degree, top)
        exact = {"erf": fit_polynomial(degree), "p": p, "q": q}
        if precision == "float32":
            exact["logit_p"], exact["logit_q"] = fit_logit(*LOGIT)
        # str() of a NumPy scalar is the shortest text that reads back as the same number
        return {name: [float(str(np.dtype(precision).type(c))) for c in row] for name, row in exact.items()}


if __name__ == "__main__":
    for precision in SETTINGS:
        print(f'    "{precision}": {{')
        for name, row in tables(precision).items():
            print(f'        "{name}": (')
            for coefficient in row:
                print(f"            {coefficient!r},")
            print("        ),")
        print("    },")
