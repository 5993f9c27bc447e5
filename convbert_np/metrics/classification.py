"""Metrics of classes: accuracy, F1, Matthews correlation; of one class per example, or of sets of them."""

from collections.abc import Callable, Hashable, Iterable, Sequence, Set
from typing import Any, NamedTuple

import numpy as np


class Counts(NamedTuple):
    """Of one class, or of all together: predicted and true, predicted but false, true but not predicted."""

    hits: int
    false_alarms: int
    misses: int

    @property
    def precision(self) -> float:
        """hits / predicted; 0 if nothing was predicted."""
        return ratio(self.hits, self.hits + self.false_alarms)

    @property
    def recall(self) -> float:
        """hits / true; 0 if nothing is true."""
        return ratio(self.hits, self.hits + self.misses)

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall, 2 hits / (2 hits + false alarms + misses); 0 if there is nothing."""
        return ratio(2 * self.hits, 2 * self.hits + self.false_alarms + self.misses)


def ratio(part: float, whole: float) -> float:
    """part / whole, and 0 where the whole is 0."""
    return float(part / whole) if whole else 0.0


def check_pairs(true: Sequence[object], predicted: Sequence[object]) -> None:
    """Raise ValueError unless there are as many predictions as truths, and at least one."""
    if len(true) != len(predicted):
        raise ValueError(f"predicted: must be one for each of the {len(true)} true values, got {len(predicted)}")
    if not len(true):
        raise ValueError("true: there is nothing to measure")


def accuracy(true: Sequence[object], predicted: Sequence[object]) -> float:
    """The share of predictions that are equal to the truth. Sets are equal if all of their members are."""
    check_pairs(true, predicted)
    return sum(t == p for t, p in zip(true, predicted, strict=True)) / len(true)


def counts_by_class(
    true: Sequence[Set[Any]], predicted: Sequence[Set[Any]], class_of: Callable[[Any], Any] = lambda member: member
) -> dict[Any, Counts]:
    """The counts of every class that is true or predicted anywhere.

    Each example has a set of classes, or of things of which `class_of` tells the class.
    """
    check_pairs(true, predicted)
    found: dict[Any, list[int]] = {}
    for t, p in zip(true, predicted, strict=True):
        for place, members in enumerate((t & p, p - t, t - p)):
            for member in members:
                found.setdefault(class_of(member), [0, 0, 0])[place] += 1
    return {member: Counts(*numbers) for member, numbers in found.items()}


def as_sets(values: Iterable[Hashable]) -> list[Set[Hashable]]:
    """One class per example, as sets of one."""
    return [{value} for value in values]


def macro_f1(true: Sequence[Set[Hashable]], predicted: Sequence[Set[Hashable]]) -> float:
    """The mean of the classes' F1, over the classes that are true or predicted anywhere; 0 if there are none."""
    counts = counts_by_class(true, predicted)
    return ratio(sum(each.f1 for each in counts.values()), len(counts))


def micro_f1(true: Sequence[Set[Hashable]], predicted: Sequence[Set[Hashable]]) -> float:
    """F1 of the counts of all classes together. With one class per example it is the accuracy."""
    counts = counts_by_class(true, predicted).values()
    return Counts(*(sum(numbers) for numbers in zip(*counts, strict=True))).f1 if counts else 0.0


def matthews(true: Sequence[Hashable], predicted: Sequence[Hashable]) -> float:
    r"""The correlation of true and predicted classes: 1 if all are right, about 0 by chance, down to -1.

        MCC = (n c - sum_k t_k p_k) / sqrt((n^2 - sum_k p_k^2) (n^2 - sum_k t_k^2))

    n examples, c of them right, t_k of class k, p_k predicted so; with two classes it is Matthews' phi. 0 where the truth or the
    prediction is always the same class.

    Source: Gorodkin 2004, R_K; Matthews 1975 for two classes.
    """
    check_pairs(true, predicted)
    numbers = {name: index for index, name in enumerate(dict.fromkeys([*true, *predicted]))}
    t, p = (np.bincount([numbers[name] for name in names], minlength=len(numbers)).tolist() for names in (true, predicted))
    n, right = len(true), sum(a == b for a, b in zip(true, predicted, strict=True))
    spread = (n * n - sum(x * x for x in p)) * (n * n - sum(x * x for x in t))
    return ratio(n * right - sum(a * b for a, b in zip(t, p, strict=True)), spread**0.5)
