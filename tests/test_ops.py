"""The ops: their derivatives, their definitions written out in loops, their dtypes, their names."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ops_catalogue import PAIRS

from convbert_np.ops import linear, sums
from convbert_np.ops.attention import attention, attention_backward, merge_heads, split_heads
from convbert_np.ops.broadcasting import sum_to_shape
from convbert_np.ops.dropout import dropout
from convbert_np.ops.dynamic_conv import span_dynamic_conv, span_dynamic_conv_backward
from convbert_np.ops.embedding import embedding, embedding_backward, scatter_add
from convbert_np.ops.grouped_linear import grouped_linear
from convbert_np.ops.layer_norm import layer_norm, layer_norm_backward
from convbert_np.ops.losses import (
    binary_cross_entropy_with_logits,
    binary_cross_entropy_with_logits_backward,
    cross_entropy,
    cross_entropy_backward,
    mse_loss,
)
from convbert_np.ops.separable_conv import depthwise_conv, separable_conv
from convbert_np.ops.softmax import log_softmax, log_softmax_backward, softmax, softmax_backward
from convbert_np.ops.sums import column_sums
from convbert_np.tree import flatten, unflatten
from convbert_np.verify.gradients import check_gradients

pairs = pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
sizes = st.lists(st.integers(1, 7), min_size=5, max_size=5)
RNG = np.random.default_rng(5)


@pairs
@settings(max_examples=12, deadline=None, derandomize=True, database=None)
@given(n=sizes, seed=st.integers(0, 2**32 - 1))
def test_gradients_are_the_derivatives(pair, n, seed):
    rng = np.random.default_rng(seed)
    arguments = pair.draw(rng, n)
    held = {name: arguments.pop(name) for name in pair.constants if name in arguments}
    report = check_gradients(lambda **a: pair.forward(**a, **held), pair.backward, arguments, pair.method, seed, entries=25)
    if pair.method == "central" and not report.ok:  # a kink within the step: draw again, further from it
        arguments = pair.draw(rng, n)
        report = check_gradients(lambda **a: pair.forward(**a, **held), pair.backward, arguments, pair.method, seed, entries=25)
    report.raise_if_wrong()


@pairs
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtypes_stay(pair, dtype):
    flat = flatten(pair.draw(np.random.default_rng(1), [2, 5, 3, 4, 6]))
    arguments = unflatten({k: v.astype(dtype) if getattr(v, "dtype", None) == np.float64 else v for k, v in flat.items()})
    y, cache = pair.forward(**arguments)
    grads = pair.backward(np.asarray(y * 0 + dtype(0.5)), cache)
    arrays = {k: v for k, v in (flatten(cache) | flatten(grads)).items() if hasattr(v, "dtype") and v.dtype.kind == "f"}
    assert {k: v.dtype for k, v in arrays.items() if v.dtype != dtype} == {}
    assert y.dtype == dtype


@pairs
def test_gradients_have_the_names_and_shapes_of_the_values(pair):
    arguments = pair.draw(np.random.default_rng(1), [2, 5, 3, 4, 6])
    y, cache = pair.forward(**arguments)
    dy = np.asarray(y * 0 + 1.0)
    grads = flatten(pair.backward(dy, cache))
    values = {k: v for k, v in flatten(cache).items() if hasattr(v, "dtype") and v.dtype.kind == "f" and k not in pair.constants}
    assert grads.keys() == values.keys()
    assert {k: v.shape for k, v in grads.items()} == {k: v.shape for k, v in values.items()}
    assert cache[pair.output] is y and grads[pair.output] is dy


@pairs
def test_arguments_are_not_changed(pair):
    arguments = pair.draw(np.random.default_rng(1), [2, 5, 3, 4, 6])
    before = {k: v.copy() for k, v in flatten(arguments).items() if isinstance(v, np.ndarray)}
    y, cache = pair.forward(**arguments)
    values = {k: v.copy() for k, v in flatten(cache).items() if isinstance(v, np.ndarray)}
    dy = np.asarray(y * 0 + 1.0)
    pair.backward(dy, cache)
    for name, value in before.items():
        np.testing.assert_array_equal(flatten(arguments)[name], value)
    for name, value in values.items():
        np.testing.assert_array_equal(flatten(cache)[name], value)
    assert np.all(dy == 1)


def test_grouped_linear_by_definition():
    x, weight, bias = RNG.standard_normal((2, 3, 8)), RNG.standard_normal((2, 4, 5)), RNG.standard_normal(10)
    y, _ = grouped_linear(x, weight, bias)
    for g in range(2):
        want = x[..., 4 * g : 4 * g + 4] @ weight[g] + bias[5 * g : 5 * g + 5]
        np.testing.assert_allclose(y[..., 5 * g : 5 * g + 5], want, rtol=1e-13)


@pytest.mark.parametrize("length, taps", [(7, 3), (7, 9), (2, 9), (1, 5), (4, 1)])
def test_depthwise_conv_by_definition(length, taps):
    x, weight = RNG.standard_normal((2, length, 3)), RNG.standard_normal((3, 1, taps))
    want = np.zeros_like(x)
    for s in range(length):
        for j in range(taps):
            if 0 <= s + j - taps // 2 < length:
                want[:, s] += x[:, s + j - taps // 2] * weight[:, 0, j]
    np.testing.assert_allclose(depthwise_conv(x, weight)[0], want, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("length, taps", [(7, 3), (7, 9), (2, 9), (1, 5), (4, 1)])
def test_span_dynamic_conv_by_definition(length, taps):
    heads, d = 2, 3
    q, key, v = (RNG.standard_normal((2, length, heads * d)) for _ in range(3))
    weight, bias = RNG.standard_normal((heads * taps, heads * d)), RNG.standard_normal(heads * taps)
    conv, cache = span_dynamic_conv(q, key, v, weight, bias, heads)
    want = np.zeros_like(v)
    for b in range(2):
        for s in range(length):
            logits = (weight @ (q[b, s] * key[b, s]) + bias).reshape(heads, taps)
            kernel = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
            for n in range(heads):
                for j in range(taps):
                    if 0 <= s + j - taps // 2 < length:
                        want[b, s, n * d : n * d + d] += kernel[n, j] * v[b, s + j - taps // 2, n * d : n * d + d]
    np.testing.assert_allclose(conv, want, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(cache["dynamic_kernel"].sum(axis=-1), 1, rtol=1e-14)


def test_attention_by_definition():
    q, k, v = (RNG.standard_normal((2, 3, 5, 4)) for _ in range(3))
    mask = np.zeros((2, 1, 1, 5))
    mask[1, ..., 3:] = np.finfo(float).min
    context, cache = attention(q, k, v, mask)
    for b, n in np.ndindex(2, 3):
        visible = slice(0, 5 if b == 0 else 3)
        scores = q[b, n] @ k[b, n, visible].T / 2.0
        probs = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(context[b, n], probs @ v[b, n, visible], rtol=1e-12)
    assert np.all(cache["probs"][1, ..., 3:] == 0)


def test_outputs_inside_take_their_own_cotangents():
    q, k, v = (RNG.standard_normal((2, 3, 5, 4)) for _ in range(3))
    context, cache = attention(q, k, v)
    direct = RNG.standard_normal(cache["attention_weights"].shape)
    zero = attention_backward(np.zeros_like(context), cache, direct)
    want = softmax_backward(direct, {"y": cache["probs"], "axis": -1})["x"] @ k / 2.0
    np.testing.assert_allclose(zero["q"], want, rtol=1e-12)
    x, w, b = RNG.standard_normal((2, 5, 6)), RNG.standard_normal((6, 6)), RNG.standard_normal(6)
    conv, cache = span_dynamic_conv(x, x, x, w, b, 2)
    direct = RNG.standard_normal(cache["dynamic_kernel"].shape)
    zero = span_dynamic_conv_backward(np.zeros_like(conv), cache, direct)
    want = softmax_backward(direct, {"y": cache["dynamic_kernel"], "axis": -1})["x"]
    np.testing.assert_allclose(zero["logits"], want, rtol=1e-12)
    assert np.all(zero["v"] == 0)


def test_heads_split_and_merge():
    x = RNG.standard_normal((2, 5, 12))
    heads = split_heads(x, 3)
    np.testing.assert_array_equal(heads[:, 1], x[:, :, 4:8])
    np.testing.assert_array_equal(merge_heads(heads), x)


def test_embedding_padding_row_learns_nothing():
    ids, weight = np.array([[1, 3, 1], [0, 1, 4]]), RNG.standard_normal((6, 2))
    dy = RNG.standard_normal((2, 3, 2))
    free = embedding_backward(dy, embedding(ids, weight)[1])["weight"]
    held = embedding_backward(dy, embedding(ids, weight, padding_idx=1)[1])["weight"]
    np.testing.assert_allclose(free[1], dy[0, 0] + dy[0, 2] + dy[1, 1], rtol=1e-14)
    assert np.all(held[1] == 0)
    np.testing.assert_array_equal(np.delete(held, 1, 0), np.delete(free, 1, 0))
    assert np.all(free[[2, 5]] == 0)
    last = embedding_backward(dy, embedding(ids, weight, padding_idx=-2)[1])["weight"]
    assert np.all(last[4] == 0)


def test_scatter_add_adds_repeated_rows_onto_what_is_there():
    table, ids, rows = RNG.standard_normal((9, 3)), RNG.integers(0, 9, 50), RNG.standard_normal((50, 3))
    want = table.copy()
    np.add.at(want, ids, rows)
    np.testing.assert_allclose(scatter_add(table, ids, rows), want, rtol=1e-13)
    assert np.array_equal(scatter_add(table.copy(), ids[:0], rows[:0]), table)


def test_layer_norm_survives_a_large_mean_and_uses_eps_inside_the_root():
    x = 1e8 + RNG.standard_normal((3, 16))
    y, _ = layer_norm(x, np.ones(16), np.zeros(16), 1e-12)
    assert abs(y.std() - 1) < 1e-6
    constant, cache = layer_norm(np.full((2, 8), 7.0), np.ones(8), np.zeros(8), 1e-12)
    assert np.all(constant == 0)
    assert np.all(cache["inverse_std"] == 1e6)
    y, _ = layer_norm(np.array([[1e-3, -1e-3]]), np.ones(2), np.zeros(2), 1e-6)
    np.testing.assert_allclose(y, [[2**-0.5, -(2**-0.5)]], rtol=1e-12)


def test_layer_norm_backward_by_jacobian():
    x, gain, dy = RNG.standard_normal(5), RNG.standard_normal(5), RNG.standard_normal(5)
    grads = layer_norm_backward(dy[None], layer_norm(x[None], gain, np.zeros(5), 0.1)[1])
    sigma = np.sqrt(x.var() + 0.1)
    z = (x - x.mean()) / sigma
    jacobian = gain[:, None] * (np.eye(5) - 1 / 5 - np.outer(z, z) / 5) / sigma
    np.testing.assert_allclose(grads["x"][0], dy @ jacobian, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_and_losses_are_stable_for_huge_logits(dtype):
    x = np.array([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4], [1e4, 1e4, -1e4]], dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        y, cache = softmax(x)
        np.testing.assert_allclose(y, [[1, 0, 0], [1 / 3] * 3, [0.5, 0.5, 0]], rtol=1e-6)
        assert np.all(np.isfinite(softmax_backward(np.ones_like(y), cache)["x"]))
        logs, cache = log_softmax(x)
        np.testing.assert_allclose(logs[0], [0, -2e4, -1e4], rtol=1e-6)
        np.testing.assert_allclose(logs[1], np.full(3, -np.log(3)), rtol=1e-6)
        np.testing.assert_allclose(logs[2], [-np.log(2), -np.log(2), -2e4 - np.log(2)], rtol=1e-6)
        assert np.all(np.isfinite(log_softmax_backward(np.ones_like(logs), cache)["x"]))
        loss, cache = cross_entropy(x, np.array([1, 0, 2]))
        np.testing.assert_allclose(loss, (2e4 + np.log(3) + 2e4 + np.log(2)) / 3, rtol=1e-6)
        assert np.all(np.isfinite(cross_entropy_backward(np.ones_like(loss), cache)["logits"]))
        loss, cache = binary_cross_entropy_with_logits(x, np.ones_like(x))
        np.testing.assert_allclose(loss, (5e4 + np.log(2)) / 9, rtol=1e-5)
        binary = binary_cross_entropy_with_logits_backward(np.ones_like(loss), cache)["logits"]
        np.testing.assert_allclose(binary * 9, np.where(x > 0, 0, np.where(x < 0, -1, -0.5)), atol=1e-6)


def test_binary_cross_entropy_gradient_is_exact_in_the_tail():
    logits = np.array([-40.0])
    loss, cache = binary_cross_entropy_with_logits(logits, np.zeros(1))
    np.testing.assert_allclose(loss, np.exp(-40), rtol=1e-12)
    gradient = binary_cross_entropy_with_logits_backward(np.ones_like(loss), cache)["logits"]
    np.testing.assert_allclose(gradient, np.exp(-40), rtol=1e-12)


def test_cross_entropy_with_nothing_to_learn_is_nan_and_its_gradient_zero():
    loss, cache = cross_entropy(RNG.standard_normal((2, 3)), np.array([-100, -100]))
    assert np.isnan(loss)
    assert np.all(cross_entropy_backward(np.ones_like(loss), cache)["logits"] == 0)
    rows, _ = cross_entropy(RNG.standard_normal((2, 3)), np.array([-100, 1]), reduction="none")
    assert rows[0] == 0 and rows[1] > 0


@pytest.mark.parametrize("loss", [mse_loss, binary_cross_entropy_with_logits])
def test_reductions_of_elementwise_losses(loss):
    logits, labels = RNG.standard_normal((3, 4)), RNG.random((3, 4))
    rows = loss(logits, labels, "none")[0]
    assert rows.shape == (3, 4)
    np.testing.assert_allclose(loss(logits, labels, "sum")[0], rows.sum(), rtol=1e-14)
    np.testing.assert_allclose(loss(logits, labels, "mean")[0], rows.mean(), rtol=1e-14)
    with pytest.raises(ValueError, match="reduction: must be one of"):
        loss(logits, labels, "average")


def test_dropout_draws_keeps_and_repeats():
    x = np.ones((200, 100), np.float32)
    y, cache = dropout(x, 0.25, np.random.default_rng(0))
    assert abs(cache["mask"].mean() - 0.75) < 0.01
    np.testing.assert_array_equal(np.unique(y), np.float32([0, 1 / 0.75]))
    again, _ = dropout(x, 0.25, cache)
    np.testing.assert_array_equal(again, y)
    for off in ((x, 0.0, np.random.default_rng(0)), (x, 0.5)):
        same, cache = dropout(*off)
        assert same is x and "mask" not in cache
    assert np.all(dropout(x, 1.0, np.random.default_rng(0))[0] == 0)
    with pytest.raises(ValueError, match="mask"):
        dropout(x, 0.5, mask=np.ones(3, bool))
    with pytest.raises(ValueError, match="rng: the tree of dropout masks lacks one"):
        dropout(x, 0.5, {})


def test_separable_conv_has_one_bias_and_no_activation():
    x = RNG.standard_normal((1, 4, 2))
    depthwise, pointwise = {"weight": np.zeros((2, 1, 3))}, {"weight": np.ones((3, 2, 1))}
    y, _ = separable_conv(x, depthwise, pointwise, np.array([[-1.0], [0.0], [2.0]]))
    np.testing.assert_array_equal(y, np.broadcast_to([-1.0, 0, 2], (1, 4, 3)))


def test_sum_to_shape_undoes_broadcasting():
    dy = RNG.standard_normal((4, 3, 5))
    np.testing.assert_allclose(sum_to_shape(dy, (1, 3, 5)), dy.sum(axis=0, keepdims=True))
    np.testing.assert_allclose(sum_to_shape(dy, (3, 1)), dy.sum(axis=(0, 2))[:, None])
    assert sum_to_shape(dy, (4, 3, 5)) is dy


@pytest.mark.parametrize("pair", [pair for pair in PAIRS if pair.output == "loss"], ids=lambda pair: pair.name)
def test_the_gradient_of_a_loss_may_be_a_plain_number(pair):
    arguments = pair.draw(np.random.default_rng(1), [2, 5, 3, 4, 6])
    arguments |= {"logits": arguments["logits"].astype(np.float32)}
    if arguments["labels"].dtype.kind == "f":
        arguments["labels"] = arguments["labels"].astype(np.float32)
    loss, cache = pair.forward(**arguments)
    plain, array = pair.backward(2.0, cache)["logits"], pair.backward(np.full_like(loss, 2), cache)["logits"]
    assert plain.dtype == array.dtype == np.float32
    np.testing.assert_array_equal(plain, array)


@pytest.mark.parametrize("number", [1, 63, 64, 65, 2000])
@pytest.mark.parametrize("order", ["C", "F"])
def test_column_sums_round_little_however_many_rows_there_are(number, order):
    rng = np.random.default_rng(7)
    x, factor = (np.asarray(rng.random((number, 5)).astype(np.float32), order=order) for _ in range(2))
    for arrays in ((x,), (x, factor)):
        exact = np.prod([each.astype(np.float64) for each in arrays], axis=0).sum(axis=0)
        sums = column_sums(*arrays)
        assert sums.dtype == np.float32 and np.abs(sums / exact - 1).max() < 5 * np.finfo(np.float32).eps
        stacked = [each.astype(np.float64).reshape(number, 1, 5) for each in arrays]
        np.testing.assert_allclose(column_sums(*stacked), exact, rtol=1e-14)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(1, 40, 30_000), (30_000, 7)])
def test_float32_probabilities_sum_to_one_however_the_logits_lie(order, shape):
    """A few rows of logits come out of `linear` column by column, which NumPy would add up from left to right."""
    rng, axis = np.random.default_rng(5), int(np.argmax(shape)) - len(shape)
    x = np.asarray(rng.normal(0, 2.5, shape).astype(np.float32), order=order)
    exact = np.exp(x.astype(np.float64))
    exact /= exact.sum(axis=axis, keepdims=True)
    eps = np.finfo(np.float32).eps
    y, cache = log_softmax(x, axis)
    assert np.abs(y - np.log(exact)).max() < 32 * eps  # of numbers up to 30, whose last place is 16 eps
    np.testing.assert_allclose(softmax(x, axis)[0], exact, rtol=32 * eps)
    dy = np.zeros_like(y)
    np.put_along_axis(dy, np.argmax(y, axis=axis, keepdims=True), -1, axis=axis)
    dx = log_softmax_backward(dy, cache)["x"].astype(np.float64)
    assert np.abs(dx.sum(axis=axis)).max() < 4 * eps


def test_softmax_is_silent_about_weights_too_small_to_hold():
    x = np.array([[0.0, -800.0, -1.5e308], [1.7e308, -1.7e308, 0.0]])
    with np.errstate(all="raise"):
        np.testing.assert_array_equal(softmax(x)[0], [[1, 0, 0], [1, 0, 0]])
        np.testing.assert_array_equal(log_softmax(x[:1])[0], x[:1])


@pytest.mark.parametrize("p", [0.0, 0.5])
@pytest.mark.parametrize("rng", ["seed", 3, np.ones((2, 3), bool)])
def test_a_source_of_dropout_masks_that_is_none_is_named(p, rng):
    with pytest.raises(TypeError, match="rng: must be a numpy Generator or a tree of masks"):
        dropout(np.ones((2, 3)), p, rng)


@pytest.mark.parametrize("rows", [255, 256, 257, 700])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_few_and_many_rows_of_a_linear_map(rows, dtype):
    """The product is taken from either side, and the arrays then lie otherwise in memory; the numbers are those of the sum."""
    rng = np.random.default_rng(0)
    x, weight, bias, dy = (rng.standard_normal(shape).astype(dtype) for shape in ((rows, 5), (7, 5), (7,), (rows, 7)))
    y, cache = linear.linear(x.reshape(1, rows, 5), weight, bias)
    tolerance = 1e-13 if dtype == np.float64 else 1e-5
    np.testing.assert_allclose(y[0], np.einsum("ri,oi->ro", x, weight) + bias, rtol=tolerance, atol=tolerance)
    grads = linear.linear_backward(dy.reshape(1, rows, 7), cache)
    sparse = dy * (rng.random((rows, 1)) < 0.2) * (rng.random((rows, 7)) < 0.5)  # empty rows, and rows with some zeros
    some = linear.linear_backward_of_some_rows(sparse.reshape(1, rows, 7), cache)
    for found, cotangent in ((grads, dy), (some, sparse)):
        np.testing.assert_allclose(found["x"][0], np.einsum("ro,oi->ri", cotangent, weight), rtol=tolerance, atol=10 * tolerance)
        np.testing.assert_allclose(found["weight"], np.einsum("ro,ri->oi", cotangent, x), rtol=tolerance, atol=30 * tolerance)
        np.testing.assert_allclose(found["bias"], cotangent.sum(axis=0), rtol=tolerance, atol=30 * tolerance)


def test_sums_over_some_rows_at_a_time(monkeypatch):
    x = np.random.default_rng(0).standard_normal((3, 5, 11))
    want = np.sum(np.exp(x), axis=-1, keepdims=True)
    for size in (1, 88, 200, 10**6):
        monkeypatch.setattr(sums, "ROWS_BYTES", size)
        np.testing.assert_allclose(sums.sum_of_exp(x, -1), want, rtol=1e-14)
