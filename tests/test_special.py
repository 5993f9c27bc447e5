"""erf, erfc, Phi and phi against mpmath, in units in the last place or in relative error."""

import importlib.util
from pathlib import Path

import mpmath as mp
import numpy as np
import pytest

from convbert_np.ops import special
from convbert_np.ops.special import erf, erfc, normal_cdf, normal_cdf_and_pdf, normal_pdf

PRECISIONS = ["float32", "float64"]
FUNCTIONS = [erf, erfc, normal_cdf, normal_pdf]
REFERENCES = {erf: mp.erf, erfc: mp.erfc, normal_cdf: mp.ncdf, normal_pdf: mp.npdf}


@pytest.fixture(autouse=True)
def strict():
    """40 digits, and every floating-point warning is an error: the functions suppress the unavoidable."""
    with mp.workdps(40), np.errstate(all="raise"):
        yield


def points(precision, *intervals):
    """300 evenly spaced and 900 random points in each interval."""
    rng = np.random.default_rng(7)
    drawn = [part for low, high in intervals for part in (np.linspace(low, high, 300), rng.uniform(low, high, 900))]
    return np.concatenate(drawn).astype(precision)


def ulp_errors(y, x, reference):
    """|y - reference(x)| in units of the spacing of the dtype at the reference."""
    exact = [reference(mp.mpf(float(v))) for v in x]
    with np.errstate(under="ignore"):
        spacing = np.spacing(np.abs(np.array([float(e) for e in exact])).astype(y.dtype))
    return max(abs(mp.mpf(float(a)) - e) / float(s) for a, e, s in zip(y, exact, spacing, strict=True))


def relative_error(y, x, reference):
    """The largest relative error among the elements whose exact value is a normal number of the dtype."""
    smallest = float(np.finfo(y.dtype).smallest_normal)
    pairs = [(mp.mpf(float(a)), reference(mp.mpf(float(v)))) for a, v in zip(y, x, strict=True)]
    return max(abs(a / e - 1) for a, e in pairs if abs(e) > smallest)


@pytest.mark.parametrize(("precision", "limit"), [("float32", 2), ("float64", 2)])
def test_erf_in_ulp(precision, limit):
    x = points(precision, (-1.1, 1.1), (-7, 7), (0.98, 1.02))
    assert ulp_errors(erf(x), x, mp.erf) <= limit


@pytest.mark.parametrize("precision", PRECISIONS)
def test_erf_of_tiny_numbers(precision):
    info = np.finfo(precision)
    tiny = [
        0.0,
        float(info.smallest_subnormal),
        float(info.smallest_normal) * 0.7,
        float(info.smallest_normal),
        1e-20,
    ]
    x = np.array([sign * v for v in tiny for sign in (1, -1)], dtype=precision)
    y = erf(x)
    assert ulp_errors(y, x, mp.erf) <= 1
    assert np.array_equal(np.signbit(y), np.signbit(x))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_erf_saturates(precision):
    huge = np.finfo(precision).max
    x = np.array([6.5, 30, 1e4, huge, np.inf, -6.5, -30, -1e4, -huge, -np.inf], dtype=precision)
    assert np.array_equal(erf(x), np.sign(x))


@pytest.mark.parametrize(("precision", "end", "limit"), [("float32", 9.1, 1e-6), ("float64", 26.5, 2e-15)])
def test_erfc_keeps_its_relative_accuracy_in_the_tail(precision, end, limit):
    x = points(precision, (-3, 1.5), (0, end))
    assert relative_error(erfc(x), x, mp.erfc) <= limit


@pytest.mark.parametrize(("precision", "start", "limit"), [("float32", -12.9, 1e-6), ("float64", -37.5, 2e-15)])
def test_normal_cdf_and_gelu_keep_their_relative_accuracy_in_the_tail(precision, start, limit):
    x = points(precision, (start, 10), (-8.1, -7.9), (-2, 2))
    assert relative_error(normal_cdf(x), x, mp.ncdf) <= limit
    assert relative_error(x * normal_cdf(x), x, lambda v: v * mp.ncdf(v)) <= limit


@pytest.mark.parametrize(("precision", "end", "limit"), [("float32", 12.9, 1e-6), ("float64", 37.3, 2e-15)])
def test_normal_pdf(precision, end, limit):
    x = points(precision, (-end, end), (-2, 2))
    assert relative_error(normal_pdf(x), x, mp.npdf) <= limit


@pytest.mark.parametrize("precision", PRECISIONS)
def test_round_values(precision):
    zero, infinity = np.array([0.0, -0.0], dtype=precision), np.array([np.inf, -np.inf], dtype=precision)
    assert np.array_equal(normal_cdf(zero), [0.5, 0.5])
    assert np.array_equal(erfc(zero), [1, 1])
    assert np.array_equal(normal_cdf(infinity), [1, 0])
    assert np.array_equal(erfc(infinity), [0, 2])
    assert np.array_equal(normal_pdf(infinity), [0, 0])


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_dtype_shape_and_nan(function, precision):
    x = np.array([[0.3, np.nan], [-4.0, 2.0]], dtype=precision)
    y = function(x)
    assert (y.dtype, y.shape) == (x.dtype, x.shape)
    assert np.array_equal(np.isnan(y), np.isnan(x))
    assert function(x[1, 1]).dtype == x.dtype
    assert function(np.empty_like(x, shape=(0, 3))).shape == (0, 3)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_no_step_at_the_seams(precision):
    """erf changes its formula at 1 and the others at 0; they stay monotonic there to rounding."""
    eps = np.finfo(precision).eps
    for function, seam in [(erf, 1), (erf, -1), (erfc, 0), (normal_cdf, 0)]:
        x = (seam + eps * np.arange(-40, 41)).astype(precision)
        assert np.max(np.abs(np.diff(function(x)))) <= 4 * eps


@pytest.mark.parametrize(
    ("function", "derivative"),
    [
        (erf, lambda x: 2 / np.sqrt(np.pi) * np.exp(-x * x)),
        (erfc, lambda x: -2 / np.sqrt(np.pi) * np.exp(-x * x)),
        (normal_cdf, normal_pdf),
        (normal_pdf, lambda x: -x * normal_pdf(x)),
    ],
)
def test_complex_step(function, derivative):
    x = np.concatenate([np.linspace(-12, 12, 193), [-1.0, 1.0, -1e-9, 1e-9]])
    stepped = function(x + 1e-30j)
    assert stepped.dtype == np.complex128
    with np.errstate(under="ignore"):
        assert np.allclose(stepped.imag / 1e-30, derivative(x), rtol=1e-12, atol=1e-15)
    assert np.allclose(stepped.real, function(x), rtol=1e-15, atol=0)


def test_the_pair_is_the_two_functions():
    x = np.linspace(-5, 5, 101)
    cdf, pdf = normal_cdf_and_pdf(x)
    assert np.array_equal(cdf, normal_cdf(x))
    assert np.array_equal(pdf, normal_pdf(x))


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("dtype", ["float16", "int64"])
def test_other_dtypes_are_refused(function, dtype):
    with pytest.raises(TypeError, match=f"float32, float64 or complex128, got dtype {dtype}"):
        function(np.ones(3, dtype=dtype))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_tables_are_those_of_the_script(precision):
    path = Path(__file__).parent / "tools" / "fit_erf.py"
    spec = importlib.util.spec_from_file_location("fit_erf", path)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    with np.errstate(all="warn"):
        printed = script.tables(precision)
    assert {name: tuple(row) for name, row in printed.items()} == special._TABLES[precision]
