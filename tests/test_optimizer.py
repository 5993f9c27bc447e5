"""AdamW, clipping, accumulation and schedules against closed forms and against themselves in one piece."""

import math

import numpy as np
import pytest

from convbert_np import blocks
from convbert_np.training import optimizer
from convbert_np.training.optimizer import (
    BERT,
    PYTORCH,
    AdamW,
    accumulate,
    adamw,
    clip_coefficient,
    clip_gradients,
    global_norm,
    layerwise_factors,
    new_moments,
)
from convbert_np.training.schedule import bert_schedule, constant_schedule, linear_schedule

SHAPES = {"a.weight": (5, 7), "a.bias": (7,), "a.LayerNorm.weight": (3,), "b.weight": (2, 3, 4)}


def random(seed, dtype=np.float64, shapes=SHAPES):
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}


def plain(params, gradients, steps, lr, settings, lr_factors=None):
    """AdamW as the papers write it, one array after the other, in float64."""
    found = {}
    for name, start in params.items():
        p, m, v = start.astype(np.float64), 0.0, 0.0
        rate = lr * (lr_factors or {}).get(name, 1.0)
        decay = 0.0 if any(word in name for word in ("LayerNorm", "layer_norm", "bias")) else settings.weight_decay
        for t in range(1, steps + 1):
            g = gradients[t - 1][name].astype(np.float64)
            m = settings.beta1 * m + (1 - settings.beta1) * g
            v = settings.beta2 * v + (1 - settings.beta2) * g**2
            young = (1 - settings.beta1**t, 1 - settings.beta2**t) if settings.bias_correction else (1, 1)
            p = p - rate * (m / young[0] / (np.sqrt(v / young[1]) + settings.eps) + decay * p)
        found[name] = p
    return found


@pytest.mark.parametrize("settings", [PYTORCH, BERT, AdamW(0.7, 0.95, 1e-3, 0.2, True), AdamW(0.0, 0.5, 1e-2, 0.1, False)])
def test_steps_against_the_papers_form(settings):
    params, gradients = random(0), [random(seed) for seed in range(1, 8)]
    factors = {name: 0.5 + index for index, name in enumerate(params)}
    want = plain(params, gradients, 7, 0.03, settings, factors)
    moments = new_moments(params)
    arrays = dict(params)
    for t, grads in enumerate(gradients, 1):
        adamw(params, grads, moments, t, 0.03, settings, lr_factors=factors)
    for name, p in params.items():
        assert p is arrays[name]
        np.testing.assert_allclose(p, want[name], rtol=1e-13, atol=1e-14)


def test_a_constant_gradient_moves_by_a_closed_form():
    """With bias correction each step is lr g / (|g| + eps); without it the moments are still growing from 0."""
    g, lr = {"w": np.array([3.0, -0.2, 1e-7])}, 0.01
    for settings in (PYTORCH, BERT):
        params, moments, want = {"w": np.zeros(3)}, new_moments(g), np.zeros(3)
        for t in range(1, 30):
            adamw(params, g, moments, t, lr, settings._replace(weight_decay=0.0))
            young1, young2 = (1, 1) if settings.bias_correction else (1 - 0.9**t, math.sqrt(1 - 0.999**t))
            want -= lr * young1 * g["w"] / (young2 * np.abs(g["w"]) + settings.eps)
        np.testing.assert_allclose(params["w"], want, rtol=1e-11)
    params, moments = {"w": np.zeros(1)}, new_moments({"w": np.zeros(1)})
    adamw(params, {"w": np.array([5.0])}, moments, 1, 1.0, BERT)
    assert params["w"][0] == pytest.approx(-0.1 / math.sqrt(0.001), rel=1e-5)  # BERT's first step is three times as large


def test_decay_is_decoupled_and_spares_gains_and_biases():
    params = {
        "w": np.full(4, 2.0),
        "w.bias": np.full(4, 2.0),
        "LayerNorm.weight": np.full(4, 2.0),
        "x.layer_norm.w": np.full(4, 2.0),
    }
    zero = {name: np.zeros(4) for name in params}
    adamw(params, zero, new_moments(params), 1, 0.1, PYTORCH._replace(weight_decay=0.5))
    np.testing.assert_allclose(params["w"], 2.0 * (1 - 0.1 * 0.5), rtol=1e-15)
    for name in ("w.bias", "LayerNorm.weight", "x.layer_norm.w"):
        np.testing.assert_array_equal(params[name], 2.0)
    adamw(params, zero, new_moments(params), 1, 0.1, PYTORCH._replace(weight_decay=0.5, exclude=""))
    np.testing.assert_allclose(params["w.bias"], 2.0 * (1 - 0.1 * 0.5), rtol=1e-15)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_blocks_and_threads_change_nothing(monkeypatch, threads, dtype):
    shapes = {"long": (4001,), "wide": (37, 41), "empty": (0, 3), "bias": (1,)}
    whole, gradients = random(0, dtype, shapes), [random(seed, dtype, shapes) for seed in (1, 2, 3)]
    cut = {name: value.copy() for name, value in whole.items()}
    moments, cut_moments = new_moments(whole), new_moments(cut)
    for t, grads in enumerate(gradients, 1):
        adamw(whole, grads, moments, t, 0.1, scale=0.3)
    monkeypatch.setattr(optimizer, "BLOCK", 100)
    monkeypatch.setattr(optimizer, "SHARED", 2)
    monkeypatch.setattr(blocks, "number_of_threads", lambda: threads)
    blocks.pool.cache_clear()
    for t, grads in enumerate(gradients, 1):
        adamw(cut, grads, cut_moments, t, 0.1, scale=0.3)
        assert global_norm(grads) == pytest.approx(
            np.sqrt(sum(np.sum(g.astype(np.float64) ** 2) for g in grads.values())), rel=1e-6
        )
    blocks.pool.cache_clear()
    for name in shapes:
        for one, other in ((whole, cut), (moments.first, cut_moments.first), (moments.second, cut_moments.second)):
            np.testing.assert_array_equal(one[name], other[name])
            assert one[name].dtype == dtype


def test_scale_is_that_of_the_gradients():
    params, scaled = random(0), random(0)
    moments, scaled_moments = new_moments(params), new_moments(params)
    for t in (1, 2):
        grads = random(t)
        adamw(params, {name: 0.25 * g for name, g in grads.items()}, moments, t, 0.1)
        adamw(scaled, grads, scaled_moments, t, 0.1, scale=0.25)
    for name in params:
        np.testing.assert_allclose(scaled[name], params[name], rtol=1e-14)


def test_arrays_that_are_not_contiguous_are_changed_too():
    base = np.arange(12.0).reshape(3, 4)
    params, grads = {"w": base.T}, {"w": np.ones((4, 3))}
    adamw(params, grads, new_moments({"w": np.zeros((4, 3))}), 1, 0.5, PYTORCH._replace(weight_decay=0.0))
    np.testing.assert_allclose(base, np.arange(12.0).reshape(3, 4) - 0.5, rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p, g, m: g.pop("a.bias"), "grads: must have the parameters' names"),
        (lambda p, g, m: g.update({"more": np.ones(1)}), "grads: must have the parameters' names"),
        (lambda p, g, m: g.update({"a.bias": np.ones(8)}), r"grads: a.bias is float64 \(8,\), must be float64 \(7,\)"),
        (lambda p, g, m: g.update({"a.bias": np.ones(7, np.float32)}), "grads: a.bias is float32"),
        (lambda p, g, m: m.second.pop("a.weight"), "second_moments: must have the parameters' names"),
        (lambda p, g, m: p["b.weight"].setflags(write=False), "params: b.weight is read-only"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_changes(change, message):
    params, grads = random(0), random(1)
    moments = new_moments(params)
    change(params, grads, moments)
    before = {name: p.copy() for name, p in params.items()}
    with pytest.raises(ValueError, match=message):
        adamw(params, grads, moments, 1, 0.1)
    for name, p in params.items():
        np.testing.assert_array_equal(p, before[name])


def test_the_step_counts_from_1():
    params = random(0)
    with pytest.raises(ValueError, match="step: counts from 1, got 0"):
        adamw(params, random(1), new_moments(params), 0, 0.1)


def test_clipping():
    grads = {"a": np.full((2, 2), 3.0), "b": np.full(4, 4.0)}
    assert global_norm(grads) == 10.0
    assert clip_coefficient(10.0, None) == 1.0 and clip_coefficient(10.0, 11.0) == 1.0
    assert clip_coefficient(10.0, 1.0) == 1 / (10 + 1e-6)
    assert clip_gradients(grads, 5.0) == 10.0
    assert global_norm(grads) == pytest.approx(5.0, rel=1e-6) and grads["b"][0] == pytest.approx(2.0, rel=1e-6)
    assert clip_gradients(grads, 50.0) == pytest.approx(5.0, rel=1e-6) and grads["b"][0] == pytest.approx(2.0, rel=1e-6)
    assert math.isnan(global_norm({"a": np.array([1.0, np.nan])})) and math.isinf(global_norm({"a": np.array([np.inf])}))


def test_accumulated_parts_are_the_whole():
    """The gradient of a mean is the sum of the gradients of its parts' means, each by the part's share of the rows."""
    rng = np.random.default_rng(4)
    x, w = rng.standard_normal((11, 3)), rng.standard_normal(3)

    def gradient(rows, share=1.0):
        return {"w": share * 2 * rows.T @ (rows @ w) / len(rows)}  # of share * mean((x w)^2)

    total: dict = {}
    parts = [x[:2], x[2:9], x[9:]]
    for part in parts:
        assert accumulate(total, gradient(part, len(part) / len(x))) is total
    np.testing.assert_allclose(total["w"], gradient(x)["w"], rtol=1e-13)
    with pytest.raises(ValueError, match="grads: must have the parameters' names"):
        accumulate(total, {"v": w})


def test_layerwise_decay():
    """With L layers: embeddings .8^(L+2), layer i .8^(L+1-i), a head 1."""
    names = [
        "convbert.embeddings.word_embeddings.weight", "embeddings.LayerNorm.bias", "convbert.embeddings_project.weight",
        "convbert.encoder.layer.0.output.dense.weight", "encoder.layer.11.attention.self.query.bias", "classifier.dense.weight",
    ]  # fmt: skip
    found = layerwise_factors(names, 0.8, 12)
    assert list(found) == names
    assert list(found.values()) == [0.8**14, 0.8**14, 0.8**14, 0.8**13, 0.8**2, 1.0]


def test_schedules():
    linear = [linear_schedule(step, 10, 4) for step in range(12)]
    np.testing.assert_allclose(linear, [0, 1 / 4, 2 / 4, 3 / 4, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6, 0, 0], rtol=1e-15)
    bert = [bert_schedule(step, 10, 4) for step in range(12)]
    np.testing.assert_allclose(
        bert, [0, 0.9 / 4, 0.8 / 2, 0.7 * 3 / 4, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0, 0], rtol=1e-12, atol=1e-15
    )
    assert [constant_schedule(step, 10, 2) for step in (0, 1, 2, 9, 20)] == [0, 0.5, 1, 1, 1]
    assert linear_schedule(3, 10, 0) == 0.7 and linear_schedule(0, 5) == 1.0 and linear_schedule(6, 10, 2, power=2.0) == 0.25
    assert linear_schedule(5, 5, 5) == 0.0
    for schedule in (linear_schedule, bert_schedule, constant_schedule):
        for arguments, message in (((-1, 5), "step:"), ((0, 0), "total_steps:"), ((0, 5, 6), "warmup_steps:")):
            with pytest.raises(ValueError, match=message):
                schedule(*arguments)
