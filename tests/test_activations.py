"""Every activation function against PyTorch's recorded values, every derivative against its own function."""

from pathlib import Path

import numpy as np
import pytest

from convbert_np.ops.activations import ACTIVATIONS, activation, activation_backward

NAMES = list(ACTIVATIONS)
ANALYTIC = [name for name in NAMES if ACTIVATIONS[name].analytic]
GOLDEN = np.load(Path(__file__).parent / "golden" / "activations.npz")


@pytest.fixture(autouse=True)
def strict():
    """Every floating-point warning is an error."""
    with np.errstate(all="raise"):
        yield


def value_and_derivative(x, name):
    y, cache = activation(x, name)
    return y, activation_backward(np.ones_like(x), cache)["x"]


def scaled_error(actual, expected):
    """The largest difference, relative where |expected| > 1."""
    return np.max(np.abs(actual - expected) / np.maximum(1, np.abs(expected)))


def test_the_names_are_those_of_transformers_and_selu():
    recorded = {key.removesuffix(".y") for key in GOLDEN.files if key.endswith(".y")}
    assert set(NAMES) == recorded
    assert len(NAMES) == 20


@pytest.mark.parametrize("name", NAMES)
def test_pytorch_float64(name):
    """On ordinary numbers, on the kinks and their neighbours, and far out."""
    y, dx = value_and_derivative(GOLDEN["x"], name)
    assert scaled_error(y, GOLDEN[f"{name}.y"]) < 1e-14
    assert scaled_error(dx, GOLDEN[f"{name}.dx"]) < 1e-14


@pytest.mark.parametrize("name", NAMES)
def test_float32(name):
    with np.errstate(under="ignore"):
        x = GOLDEN["x"].astype(np.float32)
    y, dx = value_and_derivative(x, name)
    exact_y, exact_dx = value_and_derivative(x.astype(np.float64), name)
    assert (y.dtype, dx.dtype) == (np.float32, np.float32)
    assert scaled_error(y, exact_y) < 4e-7
    assert scaled_error(dx, exact_dx) < 4e-6


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NAMES)
def test_far_out_there_is_no_warning_and_no_nan(name, dtype):
    x = np.array([-1e4, -800, -104, -90, 90, 104, 800, 1e4], dtype=dtype)
    y, dx = value_and_derivative(x, name)
    assert (y.dtype, dx.dtype) == (dtype, dtype)
    assert np.all(np.isfinite(y)) and np.all(np.isfinite(dx))


@pytest.mark.parametrize("h", [1e-30, -1e-30])
@pytest.mark.parametrize("name", ANALYTIC)
def test_complex_step(name, h):
    x = np.concatenate([np.linspace(-20, 20, 321), [-1e-9, 1e-9, 0.707107]])
    y, _ = activation(x + 1j * h, name)
    assert y.dtype == np.complex128
    derivative = value_and_derivative(x, name)[1]
    assert scaled_error(y.imag / h, derivative) < 1e-12


@pytest.mark.parametrize("step", [1e-30, -1e-30])
@pytest.mark.parametrize("name", ANALYTIC)
def test_complex_step_through_the_derivative(name, step):
    """The backward pass takes complex numbers as well: its complex step is the second derivative."""
    x, h = np.arange(-30, 31) / 10, 1e-5  # 0 is among them, where the sign of the step chooses the branch
    _, slope = value_and_derivative(x + 1j * step, name)
    difference = (value_and_derivative(x + h, name)[1] - value_and_derivative(x - h, name)[1]) / (2 * h)
    assert scaled_error(slope.imag / step, difference) < 1e-7


@pytest.mark.parametrize("name", NAMES)
def test_central_difference(name):
    x, h = np.linspace(-11.97, 11.97, 400), 1e-5  # none of them within h of a kink
    with np.errstate(under="ignore"):
        difference = (activation(x + h, name)[0] - activation(x - h, name)[0]) / (2 * h)
    assert scaled_error(difference, value_and_derivative(x, name)[1]) < 1e-8


KINKS = [
    ("relu", 0.0, 0.0),
    ("relu", -0.0, 0.0),
    ("relu2", 0.0, 0.0),
    ("relu6", 0.0, 0.0),
    ("relu6", 6.0, 0.0),
    ("leaky_relu", 0.0, 0.01),
    ("selu", 0.0, 1.0507009873554805 * 1.6732632423543772),
    ("gelu_10", 10.0, 1.0),
    ("gelu_10", np.nextafter(10.0, 11), 0.0),
]


@pytest.mark.parametrize(("name", "x", "derivative"), KINKS)
def test_kinks(name, x, derivative):
    for dtype in (np.float64, np.float32):
        at = np.nextafter(dtype(x), dtype(11)) if x > 10 else dtype(x)
        assert value_and_derivative(np.array([at]), name)[1][0] == dtype(derivative)


@pytest.mark.parametrize("name", ["gelu", "gelu_python", "gelu_new", "quick_gelu", "silu", "sigmoid", "laplace"])
def test_the_negative_tail_is_relatively_accurate(name):
    """float32 follows float64 where the value is tiny and PyTorch's formulas give zero or noise."""
    x = np.linspace(-6, -3, 100, dtype=np.float32) / (3 if name == "laplace" else 1)
    y, exact = activation(x, name)[0], activation(x.astype(np.float64), name)[0]
    assert np.max(np.abs(y / exact - 1)) < 2e-5


@pytest.mark.parametrize("name", NAMES)
def test_the_pair(name):
    """The names in cache and gradients, the chain rule, nothing overwritten; an array of several blocks."""
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=(2, 300, 250)), rng.normal(size=(2, 300, 250))
    x_before, dy_before = x.copy(), dy.copy()
    y, cache = activation(x, name)
    assert set(cache) == {"x", "y", "name"}
    assert cache["x"] is x and cache["y"] is y and cache["name"] == name
    grads = activation_backward(dy, cache)
    assert set(grads) == {"x", "y"}
    assert grads["y"] is dy
    assert grads["x"].shape == x.shape
    assert np.allclose(grads["x"], dy * ACTIVATIONS[name].derivative(x), rtol=1e-14, atol=1e-16)
    assert np.array_equal(x, x_before) and np.array_equal(dy, dy_before)


@pytest.mark.parametrize("name", NAMES)
def test_nan_stays_nan(name):
    assert np.isnan(activation(np.array([np.nan]), name)[0][0])


@pytest.mark.parametrize("name", NAMES)
def test_value_and_derivative_are_documented(name):
    assert ACTIVATIONS[name].value.__doc__ and ACTIVATIONS[name].derivative.__doc__


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("GELU", "'gelu'"),
        ("Swish", "'swish'"),
        ("gelu_tanh", "'gelu_pytorch_tanh'|'gelu_"),
        ("leakyrelu", "'leaky_relu'"),
    ],
)
def test_an_unknown_name_gets_a_hint(name, hint):
    with pytest.raises(ValueError, match=f"hidden_act.*Did you mean ({hint})") as caught:
        activation(np.ones(2), name)
    assert repr(name) in str(caught.value)
    assert all(allowed in str(caught.value) for allowed in NAMES)


@pytest.mark.parametrize("name", ["qqq", "", None, 3, ["gelu"]])
def test_an_unknown_name_without_a_hint(name):
    with pytest.raises(ValueError, match="hidden_act must be one of"):
        activation(np.ones(2), name)


def test_gelu_refuses_other_dtypes():
    with pytest.raises(TypeError, match="float16"):
        activation(np.ones(2, dtype=np.float16), "gelu")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gelu_of_very_large_numbers(dtype):
    """x for x > 0 and 0 for x < 0, where powers of x overflow."""
    x = np.geomspace(50, 3e38, 200).astype(dtype)
    y, cache = activation(np.concatenate([x, -x]), "gelu")
    np.testing.assert_array_equal(y, np.concatenate([x, 0 * x]))
    np.testing.assert_array_equal(activation_backward(np.ones_like(y), cache)["x"], np.repeat([1, 0], len(x)))
    assert activation(np.array([np.inf], dtype), "gelu")[0] == np.inf
