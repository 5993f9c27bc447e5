"""The gradient checks themselves: what they find, and whether they say it well."""

import numpy as np
import pytest
from small import inputs_for, make

from convbert_np import check_gradients, check_model_gradients
from convbert_np.verify.gradients import GradientReport

RNG = np.random.default_rng(0)
X, V = RNG.standard_normal((4, 6)), RNG.standard_normal(6)


def forward(x, v):
    return np.tanh(x) * v, {"x": x, "v": v}


def backward(dy, cache):
    t = np.tanh(cache["x"])
    return {"x": dy * cache["v"] * (1 - t * t), "v": np.sum(dy * t, axis=0)}


def report_of(spoil, arguments=None, **options):
    return check_gradients(forward, lambda dy, cache: spoil(backward(dy, cache)), arguments or {"x": X, "v": V}, **options)


def test_a_right_backward_passes():
    report = report_of(lambda grads: grads)
    assert report.ok and [check.name for check in report] == ["x", "v"] and max(check.error for check in report) < 1e-15
    assert report.raise_if_wrong() is report
    assert report_of(lambda grads: grads, method="central").ok
    assert "ok" in repr(report) and "<table>" in report._repr_html_()


@pytest.mark.parametrize(
    "spoil, name, words",
    [
        (lambda g: g | {"x": -g["x"]}, "x", "everywhere -1 times the right one"),
        (lambda g: g | {"v": 3 * g["v"]}, "v", "everywhere 3 times the right one"),
        (lambda g: g | {"x": np.where(np.arange(6) == 2, 0, g["x"])}, "x", "wrong at 4 of 24 places, all with index[1] == 2"),
        (lambda g: g | {"x": g["x"].T}, "x", "the gradient is float64 (6, 4), the argument float64 (4, 6)"),
        (lambda g: g | {"x": g["x"].astype(np.float32)}, "x", "the gradient is float32"),
        (lambda g: {"x": g["x"]}, "v", "returns no gradient of this argument"),
        (lambda g: {"x": g["x"], "vv": g["v"]}, "v", "but one of ['vv']"),
        (lambda g: g | {"x": g["x"] * np.nan}, "x", "backward nan"),
    ],
)
def test_a_wrong_backward_is_described(spoil, name, words):
    report = report_of(spoil)
    (wrong,) = [check for check in report if not check.ok]
    assert wrong.name == name and words in wrong.detail
    with pytest.raises(AssertionError, match="wrong gradients"):
        report.raise_if_wrong()


def test_what_lies_between_the_places_looked_at_is_found():
    arguments = {"x": RNG.standard_normal((200, 6)), "v": V}
    assert report_of(lambda grads: grads, arguments, entries=20).ok

    def spoil(grads):
        grads["x"][137] = 0
        return grads

    (wrong,) = [check for check in report_of(spoil, arguments, entries=5) if not check.ok]
    assert "along a random direction" in wrong.detail


def test_a_forward_that_is_not_analytic_is_suspected():
    report = check_gradients(lambda x: (np.abs(x), {"x": x}), lambda dy, c: {"x": dy * np.sign(c["x"])}, {"x": X})
    assert "is the forward analytic" in report[0].detail
    assert check_gradients(lambda x: (np.abs(x), {"x": x}), lambda dy, c: {"x": dy * np.sign(c["x"])}, {"x": X}, "central").ok


def test_a_forward_that_changes_its_argument_is_found():
    def careless(x):
        x *= 2
        return x.copy(), {}

    report = check_gradients(careless, lambda dy, cache: {"x": 2 * dy}, {"x": X.copy()})
    assert not report.ok and "changes this argument" in report[0].detail


@pytest.mark.parametrize(
    "options, message",
    [
        ({"method": "newton"}, "method: must be one of"),
        ({"tolerance": 0.0}, "tolerance: must be above 0"),
        ({"tolerance": float("inf")}, "tolerance"),
        ({"entries": 0}, "entries: must be an integer"),
        ({"arguments": {"x": X.astype(np.float32), "v": V}}, "x must be float64"),
        ({"arguments": {"x": X[:0], "v": V}}, "not empty"),
        ({"arguments": {"n": 3}}, "no float64 array"),
    ],
)
def test_checks_that_would_check_nothing_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        report_of(lambda grads: grads, **options)


@pytest.mark.parametrize("wrong", [lambda x: 2 * x, lambda x: (2 * x,), lambda x: ((x, x), {})])
def test_a_forward_that_is_none_is_named(wrong):
    with pytest.raises(TypeError, match=r"forward: must return \(y, cache\)"):
        check_gradients(wrong, backward, {"x": X})
    with pytest.raises(TypeError, match="backward: must return a dict"):
        check_gradients(lambda x: (x, {}), lambda dy, cache: dy, {"x": X})


def test_an_empty_report_is_not_right():
    assert not GradientReport().ok
    with pytest.raises(AssertionError, match="no gradient to check"):
        GradientReport().raise_if_wrong()


def test_a_wrong_model_is_found_by_parameter(monkeypatch):
    from convbert_np.model import mixed_attention

    right = mixed_attention.separable_conv_backward

    def forgetful(dy, cache):
        grads = right(dy, cache)
        return grads | {"bias": grads["bias"] * 0}

    monkeypatch.setattr(mixed_attention, "separable_conv_backward", forgetful)
    model = make("token")
    wrong = [check.name for check in check_model_gradients(model, inputs_for("token", model)) if not check.ok]
    assert wrong == [f"convbert.encoder.layer.{i}.attention.self.key_conv_attn_layer.bias" for i in (0, 1)]
    with pytest.raises(ValueError, match="model: must be float64"):
        check_model_gradients(model.astype(np.float32), {})
    with pytest.raises(TypeError, match="model, arguments"):
        check_model_gradients(3, {})
