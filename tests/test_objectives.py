"""The losses of the tasks: every problem type under every reduction, and the forms that labels may have."""

import numpy as np
import pytest

from convbert_np.config import ConvBertConfig
from convbert_np.interface.objectives import sequence_loss, sequence_loss_backward, token_loss

RNG = np.random.default_rng(3)
CASES = {
    "regression on one number": ({"num_labels": 1}, RNG.standard_normal(4)),
    "regression on three": ({"num_labels": 3, "problem_type": "regression"}, RNG.standard_normal((4, 3))),
    "regression on three integers": ({"num_labels": 3, "problem_type": "regression"}, RNG.integers(0, 5, (4, 3))),
    "classes": ({"num_labels": 3}, np.array([0, 2, -100, 1])),
    "yes or no": ({"num_labels": 3}, RNG.random((4, 3))),
}


@pytest.mark.parametrize("case", CASES)
def test_a_reduction_is_that_of_the_losses_it_reduces(case):
    settings, labels = CASES[case]
    config, logits = ConvBertConfig(**settings), RNG.standard_normal((4, settings["num_labels"]))
    rows, cache = sequence_loss(logits, labels, config, "none")
    assert rows.shape == labels.shape
    kept = np.sum(labels != -100)
    for reduction, want in (("sum", rows.sum()), ("mean", rows.sum() / kept)):
        loss, reduced = sequence_loss(logits, labels, config, reduction)
        np.testing.assert_allclose(loss, want, rtol=1e-14)
        one, each = sequence_loss_backward(np.ones_like(loss), reduced), sequence_loss_backward(np.ones_like(rows), cache)
        np.testing.assert_allclose(one["logits"] * (kept if reduction == "mean" else 1), each["logits"], rtol=1e-14)
    np.testing.assert_array_equal(sequence_loss(logits, labels, config)[0], sequence_loss(logits, labels, config, "mean")[0])


def test_class_labels_may_stand_in_a_column():
    config, logits, labels = ConvBertConfig(num_labels=3), RNG.standard_normal((4, 3)), np.array([0, 2, -100, 1])
    loss, cache = sequence_loss(logits, labels[:, None], config)
    assert loss == sequence_loss(logits, labels, config)[0]
    np.testing.assert_array_equal(cache["loss_fct"]["labels"], labels)
    with pytest.raises(ValueError, match="labels"):
        sequence_loss(logits, labels[None], config)


def test_a_single_class_may_be_ignored():
    loss, _ = token_loss(RNG.standard_normal((1, 3, 1)), np.array([[0, -100, 0]]), ConvBertConfig(num_labels=1))
    assert loss == 0
