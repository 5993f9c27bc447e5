"""The ops at their edges: what is broadcast, empty, ignored, at the end of a range, or left at its default."""

import itertools

import numpy as np
import pytest

from convbert_np.ops.activations import ACTIVATIONS
from convbert_np.ops.attention import attention
from convbert_np.ops.broadcasting import sum_to_shape
from convbert_np.ops.dropout import dropout, stretch
from convbert_np.ops.embedding import scatter_add
from convbert_np.ops.layer_norm import layer_norm
from convbert_np.ops.losses import cross_entropy, cross_entropy_backward
from convbert_np.ops.special import erf, erfc

RNG = np.random.default_rng(11)
WITH_KINKS = {"gelu_10", "leaky_relu", "relu", "relu2", "relu6", "selu"}


def broadcast_pairs():
    """Every shape of up to three axes of 0, 1 or 2 entries, with every shape that can be broadcast to it."""
    for ndim in range(4):
        for shape in itertools.product((0, 1, 2), repeat=ndim):
            for own in range(ndim + 1):
                for small in itertools.product(*({size, 1} for size in shape[ndim - own :])):
                    yield shape, small


def test_sum_to_shape_undoes_every_broadcast():
    for shape, small in broadcast_pairs():
        dy = RNG.standard_normal(shape)
        want = np.zeros(small)
        for index in np.ndindex(shape):
            last = index[len(shape) - len(small) :]
            want[tuple(i if size > 1 else 0 for i, size in zip(last, small, strict=True))] += dy[index]
        got = sum_to_shape(dy, small)
        assert got.shape == small
        np.testing.assert_allclose(got, want, rtol=1e-14, atol=1e-15, err_msg=f"{shape} to {small}")


def test_activations_without_a_derivative_somewhere_are_the_only_ones_not_analytic():
    assert {name for name, about in ACTIVATIONS.items() if not about.analytic} == WITH_KINKS


def test_attention_drops_nothing_by_default():
    q, k, v = RNG.standard_normal((3, 1, 2, 4, 3))
    context, cache = attention(q, k, v, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(context, attention(q, k, v)[0])
    assert "mask" not in cache["dropout"]


class Draws:
    """A generator that draws what it is told to."""

    def __init__(self, values):
        self.values = values

    def random(self, shape, dtype):
        return self.values.astype(dtype).reshape(shape)


def test_dropout_keeps_what_is_drawn_at_p_or_above():
    drawn = np.array([0.0, 0.25, np.nextafter(np.float32(0.5), np.float32(0)), 0.5, 0.75])
    _, cache = dropout(np.ones(5), 0.5, Draws(drawn))
    assert cache["mask"].tolist() == [False, False, False, True, True]


def test_dropout_masks_are_the_generators_float32_draws():
    """One seed gives one mask, whatever the dtype of the model."""
    want = np.random.default_rng(4).random((3, 50), dtype=np.float32) >= 0.3
    for dtype in (np.float32, np.float64):
        np.testing.assert_array_equal(dropout(np.ones((3, 50), dtype), 0.3, np.random.default_rng(4))[1]["mask"], want)


def test_a_given_dropout_mask_is_taken_before_one_is_drawn():
    mask = np.array([True, False, True, True])
    y, cache = dropout(np.ones(4), 0.5, np.random.default_rng(0), mask)
    assert cache["mask"] is mask
    np.testing.assert_array_equal(y, [2, 0, 2, 2])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dropout_of_everything_is_zero_and_not_nan(dtype):
    assert stretch(1.0, np.ones(1, dtype)) == 0
    y, _ = dropout(np.ones(4, dtype), 1.0, mask=np.array([True, False, True, True]))
    np.testing.assert_array_equal(y, 0)
    assert y.dtype == dtype


def test_the_cache_holds_the_settings_too():
    x = RNG.standard_normal((2, 3))
    assert dropout(x, 0.25)[1]["p"] == dropout(x, 0.25, np.random.default_rng(0))[1]["p"] == 0.25
    assert layer_norm(x, np.ones(3), np.zeros(3), 1e-3)[1]["eps"] == 1e-3


def test_scatter_add_takes_the_rows_of_an_id_in_their_order():
    """In another order the sums would differ in their last bits, and so from one sorting algorithm to another."""
    ids, rows = RNG.integers(0, 4, 3000), RNG.standard_normal((3000, 3)) * 10.0 ** RNG.integers(-6, 7, (3000, 1))
    got = scatter_add(np.zeros((4, 3)), ids, rows)
    for one in range(4):
        np.testing.assert_array_equal(got[one], np.add.reduceat(rows[ids == one], [0], axis=0)[0])


def test_scatter_add_of_nothing_changes_nothing():
    table = RNG.standard_normal((3, 2))
    np.testing.assert_array_equal(scatter_add(table.copy(), np.zeros(0, np.int64), np.zeros((0, 2))), table)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_an_ignored_label_among_a_single_class(reduction):
    logits, labels = RNG.standard_normal((3, 1)), np.array([0, -100, 0])
    loss, cache = cross_entropy(logits, labels, reduction=reduction)
    np.testing.assert_array_equal(loss, np.zeros_like(loss))
    np.testing.assert_array_equal(cross_entropy_backward(np.ones_like(loss), cache)["logits"], 0)


@pytest.mark.parametrize("dloss", [0.0, 1.0, np.inf, np.nan])
def test_without_any_label_every_gradient_is_zero_in_silence(dloss):
    """Whatever comes from above: nothing is multiplied by 1/0."""
    loss, cache = cross_entropy(RNG.standard_normal((2, 3)), np.array([-100, -100]))
    with np.errstate(all="raise"):
        grads = cross_entropy_backward(np.float64(dloss), cache)
    assert np.isnan(loss)
    np.testing.assert_array_equal(grads["logits"], 0)


@pytest.mark.parametrize("step", [1e-20, -1e-20])
def test_complex_steps_at_the_seams(step):
    """At 0 and at 1, where one form gives way to another, the derivative is that of either."""
    at = np.array([-1.0, 0.0, 1.0])
    want = 2 / np.sqrt(np.pi) * np.exp(-(at**2))
    np.testing.assert_allclose(erf(at + 1j * step).imag / step, want, rtol=1e-14)
    np.testing.assert_allclose(erfc(at + 1j * step).imag / step, -want, rtol=1e-14)
