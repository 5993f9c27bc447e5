"""Baselines for masked tokens: how often words are, and how often they are between these neighbours."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from convbert_np.training.masking import IGNORED

UNIGRAM: tuple[tuple[int, ...], ...] = ()
LEFT = ((-1,), (-2, -1))
BOTH = ((-1,), (1,), (-2, -1), (1, 2), (-1, 1))
BUCKETS = (1, 3, 30)  # how often a context was seen: never, once or twice, up to 29 times, more often
ROUNDS, PRIOR = 20, 10.0


class Counts(NamedTuple):
    """How often each token stands at the place that a context leaves open, as sorted keys of context * V + token."""

    keys: np.ndarray
    counts: np.ndarray

    def seen(self, contexts: np.ndarray, vocab_size: int) -> tuple[np.ndarray, np.ndarray]:
        """Where each context's keys begin and end."""
        return np.searchsorted(self.keys, contexts * vocab_size), np.searchsorted(self.keys, (contexts + 1) * vocab_size)


class Ngrams:
    r"""An interpolated model of one token given some of its neighbours.

        p(w | neighbours) = w_0[b] / V + w_1[b] count(w) / N + sum_c w_{c+2}[b] count(w, context_c) / count(context_c)

    `contexts` are the neighbours by distance: UNIGRAM none, LEFT the trigram model (one and two tokens to the left), BOTH also
    those to the right and the pair around. A context that was never seen has weight 0; the others' sum to 1. The bucket b says
    how often each context was seen (Jelinek and Mercer 1980), and the weights are fitted by expectation maximisation on rows
    that were not counted.

    rows (n, S) are ids; beyond a row's ends, and where a neighbour is hidden, is a token that is never counted.
    """

    def __init__(self, rows: np.ndarray, vocab_size: int, contexts: Sequence[tuple[int, ...]]):
        self.vocab_size, self.contexts = vocab_size, contexts
        self.count(rows)
        self.overall = np.full(len(contexts) + 2, 1 / (len(contexts) + 2))
        self.weights: dict[tuple[int, ...], np.ndarray] = {}

    def count(self, rows: np.ndarray) -> None:
        """Count anew; the weights stay."""
        frequencies = np.bincount(rows.ravel(), minlength=self.vocab_size)
        self.unigram = frequencies / frequencies.sum()
        places = np.ones(rows.shape, bool)
        self.tables = []
        for context in self.contexts:
            keys = self.context_ids(rows, places, context) * self.vocab_size + rows.ravel()
            self.tables.append(Counts(*np.unique(keys, return_counts=True)))

    def context_ids(self, rows: np.ndarray, places: np.ndarray, context: tuple[int, ...]) -> np.ndarray:
        """The number of the context of each place; beyond the row's ends stands the token V."""
        reach = max(map(abs, context))
        padded = np.pad(rows.astype(np.int64), ((0, 0), (reach, reach)), constant_values=self.vocab_size)
        number = np.zeros(int(places.sum()), np.int64)
        for distance in context:
            column = padded[:, reach + distance : padded.shape[1] - reach + distance]
            number = number * (self.vocab_size + 1) + column[places]
        return number

    def fit(self, inputs: np.ndarray, labels: np.ndarray) -> None:
        """Fit the weights to masked rows that were not counted: first one vector for all places, then one per bucket near it."""
        parts, buckets = self.parts_of(inputs, labels)
        for _ in range(ROUNDS):
            self.overall = shares(parts, self.overall).mean(axis=0)
        for bucket in set(buckets):
            own = parts[[other == bucket for other in buckets]]
            weights = self.overall
            for _ in range(ROUNDS):
                weights = shares(own, weights).sum(axis=0) + PRIOR * self.overall
                weights = weights / weights.sum()
            self.weights[bucket] = weights

    def parts_of(self, inputs: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, list[tuple[int, ...]]]:
        """The probability that each part of the sum gives to the true token (M, 2 + contexts), and the buckets."""
        places = labels != IGNORED
        truth = labels[places]
        parts = [np.full(len(truth), 1 / self.vocab_size), self.unigram[truth]]
        levels = []
        for context, table in zip(self.contexts, self.tables, strict=True):
            contexts = self.context_ids(inputs, places, context)
            begin, end = table.seen(contexts, self.vocab_size)
            sums = np.concatenate([[0], np.cumsum(table.counts)])
            total = sums[end] - sums[begin]
            at = np.minimum(np.searchsorted(table.keys, contexts * self.vocab_size + truth), len(table.keys) - 1)
            hit = table.keys[at] == contexts * self.vocab_size + truth
            parts.append(np.where(hit, table.counts[at], 0) / np.maximum(total, 1))
            levels.append(np.searchsorted(BUCKETS, total, side="right"))
        return np.stack(parts, axis=1), list(zip(*(level.tolist() for level in levels), strict=True)) or [()] * len(truth)

    def distributions(self, inputs: np.ndarray, labels: np.ndarray):
        """The probabilities (V,) of every token at one masked place after the other."""
        places = labels != IGNORED
        _, buckets = self.parts_of(inputs, labels)
        spans = []
        for context, table in zip(self.contexts, self.tables, strict=True):
            spans.append(table.seen(self.context_ids(inputs, places, context), self.vocab_size))
        for index, bucket in enumerate(buckets):
            weights = usable(self.weights.get(bucket, self.overall), bucket)
            probs = weights[0] / self.vocab_size + weights[1] * self.unigram
            for weight, (begin, end), table in zip(weights[2:], spans, self.tables, strict=True):
                if end[index] > begin[index]:
                    span = slice(begin[index], end[index])
                    counts = table.counts[span]
                    probs[table.keys[span] % self.vocab_size] += weight * counts / counts.sum()
            yield probs


def usable(weights: np.ndarray, bucket: tuple[int, ...]) -> np.ndarray:
    """The weights without those of contexts that were never seen, brought to the sum 1."""
    kept = weights * np.array([1, 1, *(level > 0 for level in bucket)])
    return kept / kept.sum()


def shares(parts: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """How much each part of the sum contributes to the probability of each true token: the expectation step. Rows sum to 1."""
    products = parts * weights
    return products / products.sum(axis=1, keepdims=True)
