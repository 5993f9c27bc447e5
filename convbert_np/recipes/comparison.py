"""Whose guesses of held-out tokens are better: the same hidden tokens for all, and how sure a difference is."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from convbert_np.interface.models import ConvBertForMaskedLM
from convbert_np.interface.pretraining import ConvBertForMaskedPositions
from convbert_np.recipes.ngrams import Ngrams
from convbert_np.training.corpus import Corpus
from convbert_np.training.masking import IGNORED, Masking
from convbert_np.training.pretraining import EVALUATION_SEED, at_masked_positions

HIDDEN = Masking(probability=0.15, mask_share=1.0, random_share=0.0)
DEVELOPMENT = 20  # every so manieth row of the training text fits the weights of the n-gram models
RESAMPLES = 2000


class Hidden(NamedTuple):
    """Held-out rows (n, S) with tokens hidden, labels (n, S) that say which, and document and source of each hidden token."""

    inputs: np.ndarray
    labels: np.ndarray
    documents: np.ndarray
    sources: np.ndarray


class Guesses(NamedTuple):
    """What a model says of each hidden token: log-probability of the true one, and whether the first guess is right."""

    log_probs: np.ndarray
    right: np.ndarray

    @property
    def accuracy(self) -> float:
        """The share of right first guesses."""
        return float(self.right.mean())

    @property
    def perplexity(self) -> float:
        """exp of the mean negative log-probability."""
        return float(np.exp(-self.log_probs.mean()))

    def of(self, chosen: np.ndarray) -> "Guesses":
        """The guesses of some hidden tokens alone."""
        return Guesses(self.log_probs[chosen], self.right[chosen])


def hidden_in(held_out: Mapping[str, Corpus], sep_id: int) -> Hidden:
    """15 % of the tokens of each row become [MASK], always the same ones. A document ends at [SEP] or goes on in the next row."""
    rows = np.concatenate([corpus.rows for corpus in held_out.values()])
    names = np.repeat(list(held_out), [len(corpus.rows) for corpus in held_out.values()])
    inputs = next(iter(held_out.values())).inputs_of(rows, np.random.default_rng(EVALUATION_SEED), HIDDEN)
    ends = np.where(np.arange(rows.shape[1]) == rows.shape[1] - 1, False, rows == sep_id)
    documents = np.cumsum(ends.ravel()).reshape(rows.shape)
    places = inputs["labels"] != IGNORED
    sources = np.broadcast_to(names[:, None], rows.shape)[places]
    return Hidden(inputs["input_ids"], inputs["labels"], documents[places], sources)


def guesses_of_model(model: ConvBertForMaskedLM, hidden: Hidden, batch_size: int = 32) -> Guesses:
    """The guesses of a masked language model."""
    lean = model if isinstance(model, ConvBertForMaskedPositions) else at_masked_positions(model)
    log_probs, right = [], []
    for begin in range(0, len(hidden.inputs), batch_size):
        rows = slice(begin, begin + batch_size)
        out = lean(input_ids=hidden.inputs[rows], labels=hidden.labels[rows], keep_cache=False)
        truth = hidden.labels[rows][hidden.labels[rows] != IGNORED]
        logits = out.logits.astype(np.float64)
        highest = logits.max(axis=1)
        sums = highest + np.log(np.exp(logits - highest[:, None]).sum(axis=1))
        log_probs.append(logits[np.arange(len(truth)), truth] - sums)
        right.append(logits.argmax(axis=1) == truth)
    return Guesses(np.concatenate(log_probs), np.concatenate(right))


def guesses_of_ngrams(
    train: Corpus, hidden: Hidden, contexts: Sequence[tuple[int, ...]], neighbours: np.ndarray | None = None
) -> Guesses:
    """The guesses of an n-gram model counted on the training rows, its weights fitted on a twentieth of these beforehand.

    It sees what the models see: a neighbour that is hidden itself is unknown; with `neighbours`, the rows (n, S) themselves, it
    sees all neighbours.
    """
    development = np.arange(len(train.rows)) % DEVELOPMENT == 0
    model = Ngrams(train.rows[~development], train.vocab_size, contexts)
    held = train.inputs_of(train.rows[development], np.random.default_rng(EVALUATION_SEED), HIDDEN)
    model.fit(held["input_ids"] if neighbours is None else train.rows[development], held["labels"])
    model.count(train.rows)
    truth = hidden.labels[hidden.labels != IGNORED]
    found = model.distributions(hidden.inputs if neighbours is None else neighbours, hidden.labels)
    pairs = [(np.log(probs[true]), probs.argmax() == true) for probs, true in zip(found, truth, strict=True)]
    log_probs, right = zip(*pairs, strict=True)
    return Guesses(np.array(log_probs), np.array(right))


def bootstrap(documents: np.ndarray, *values: np.ndarray, seed: int = 0) -> np.ndarray:
    """The means of each value over 2,000 resamples of the documents: (values, 2000). All values share the resamples."""
    _, index = np.unique(documents, return_inverse=True)
    number = index.max() + 1
    times = np.random.default_rng(seed).multinomial(number, np.full(number, 1 / number), RESAMPLES)
    sizes = times @ np.bincount(index)
    return np.stack([times @ np.bincount(index, weights=value) / sizes for value in values])
