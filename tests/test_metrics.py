"""Metrics against plain formulations and cases counted by hand."""

import numpy as np
import pytest

from convbert_np.metrics import classification as c
from convbert_np.metrics import regression as r


def classes(seed, number=40, kinds=4):
    rng = np.random.default_rng(seed)
    true = rng.integers(0, kinds, number)
    said = np.where(rng.random(number) < 0.6, true, rng.integers(0, kinds + 1, number))  # one class is never true
    return [f"c{n}" for n in true], [f"c{n}" for n in said]


def plain_f1(true, said, label):
    hits = len([1 for t, p in zip(true, said, strict=True) if t == p == label])
    precision = hits / max(1, said.count(label))
    recall = hits / max(1, true.count(label))
    return 2 * precision * recall / (precision + recall) if hits else 0.0


@pytest.mark.parametrize("seed", range(5))
def test_one_class_per_example(seed):
    true, said = classes(seed)
    labels = sorted({*true, *said})
    assert c.accuracy(true, said) == np.mean(np.array(true) == np.array(said))
    expected = np.mean([plain_f1(true, said, label) for label in labels])
    assert c.macro_f1(c.as_sets(true), c.as_sets(said)) == pytest.approx(expected, rel=1e-12)
    assert c.micro_f1(c.as_sets(true), c.as_sets(said)) == pytest.approx(c.accuracy(true, said), rel=1e-12)
    onehot = [np.array([[name == label for label in labels] for name in names], float) for names in (true, said)]
    cov = [[np.sum((a - a.mean(0)) * (b - b.mean(0))) for b in onehot] for a in onehot]
    assert c.matthews(true, said) == pytest.approx(cov[0][1] / np.sqrt(cov[0][0] * cov[1][1]), rel=1e-12)


def test_matthews_of_two_classes_is_the_correlation_of_zeros_and_ones():
    rng = np.random.default_rng(0)
    true, said = rng.integers(0, 2, 50), rng.integers(0, 2, 50)
    assert c.matthews(true.tolist(), said.tolist()) == pytest.approx(np.corrcoef(true, said)[0, 1], rel=1e-12)
    assert c.matthews([0, 1, 1], [0, 1, 1]) == 1 and c.matthews([0, 1, 0, 1], [1, 0, 1, 0]) == -1
    assert c.matthews([0, 1, 1], [1, 1, 1]) == 0 == c.matthews([1, 1], [1, 0])


def test_sets_of_classes_by_hand():
    true, said = [{"a", "b"}, {"c"}, set(), {"a"}], [{"a"}, {"b", "c"}, set(), {"b"}]
    counts = c.counts_by_class(true, said)
    assert counts == {"a": (1, 0, 1), "b": (0, 2, 1), "c": (1, 0, 0)}
    assert (counts["a"].precision, counts["a"].recall, counts["b"].f1) == (1, 0.5, 0)
    assert c.macro_f1(true, said) == pytest.approx((2 / 3 + 0 + 1) / 3)
    assert c.micro_f1(true, said) == pytest.approx(2 * 2 / (2 * 2 + 2 + 2))
    assert c.accuracy(true, said) == 0.25
    assert c.macro_f1([set()], [set()]) == 0 == c.micro_f1([set()], [set()])


@pytest.mark.parametrize("seed", range(3))
def test_numbers(seed):
    rng = np.random.default_rng(seed)
    true = np.round(rng.standard_normal(30), 1)
    said = np.round(true + rng.standard_normal(30), 1)  # rounded: there are ties
    assert r.pearson(true, said) == pytest.approx(np.corrcoef(true, said)[0, 1], rel=1e-10)
    ranked = [[1 + sum(b < a for b in x) + (sum(b == a for b in x) - 1) / 2 for a in x] for x in (true, said)]
    assert r.ranks(true).tolist() == ranked[0]
    assert r.spearman(true, said) == pytest.approx(np.corrcoef(*ranked)[0, 1], rel=1e-10)
    assert r.mean_squared_error(true, said) == pytest.approx(np.mean((true - said) ** 2), rel=1e-12)
    assert r.spearman(true, np.exp(true)) == pytest.approx(1) and r.pearson(true, np.exp(true)) < 0.99
    assert r.pearson(true, np.ones(30)) == 0 == r.spearman(np.ones(30), said)
    assert -1 <= r.pearson([1, 2, 3], [1e-9, 2e-9, 3e-9]) <= 1


@pytest.mark.parametrize("metric", [c.accuracy, c.matthews, r.pearson, r.spearman, r.mean_squared_error])
def test_errors(metric):
    with pytest.raises(ValueError, match="predicted: must be one for each of the 2"):
        metric([1, 2], [1])
    with pytest.raises(ValueError, match="true: there is nothing"):
        metric([], [])


def test_numbers_must_be_finite():
    with pytest.raises(ValueError, match="predicted: holds values that are not finite"):
        r.pearson([1, 2], [1, np.nan])
