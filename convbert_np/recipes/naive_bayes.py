"""Naive Bayes: what counting words can tell about the class of a text."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class NaiveBayes(NamedTuple):
    """words {word: column}; classes; log_prior (C,); log_likelihood (C, W)."""

    words: dict[str, int]
    classes: tuple[str, ...]
    log_prior: np.ndarray
    log_likelihood: np.ndarray


def words_of(text: str) -> list[str]:
    """Runs of letters and digits, lower-cased."""
    return re.findall(r"\w+", text.lower())


def naive_bayes(texts: Sequence[str], labels: Sequence[str], smoothing: float = 1.0) -> NaiveBayes:
    r"""The multinomial model of some labelled texts.

        P(c)     = texts of class c / texts                                          (1)
        P(w | c) = (count of w in class c + a) / (words in class c + a W)            (2)

    smoothing  a; W is the number of different words

    Source : Manning, Raghavan and Schuetze 2008, Introduction to Information Retrieval, chapter 13.
    Raises ValueError if there is no text, or not one label for each.
    """
    if not texts or len(texts) != len(labels):
        raise ValueError(f"labels: must be one for each of at least one text, got {len(labels)} for {len(texts)}")
    classes = tuple(sorted(set(labels)))
    split = [words_of(text) for text in texts]
    words = {word: column for column, word in enumerate(sorted({word for text in split for word in text}))}
    rows = np.array([classes.index(label) for label in labels])
    counts = np.zeros((len(classes), len(words)))
    of_words = np.repeat(rows, [len(text) for text in split])
    np.add.at(counts, (of_words, np.array([words[word] for text in split for word in text], int)), 1)
    smoothed = counts + smoothing
    log_prior = np.log(np.bincount(rows) / len(rows))  # (1)
    log_likelihood = np.log(smoothed / smoothed.sum(axis=1, keepdims=True))  # (2)
    return NaiveBayes(words, classes, log_prior, log_likelihood)


def classify(model: NaiveBayes, texts: Sequence[str]) -> list[str]:
    r"""For each text the class with the greatest log P(c) + \sum_w log P(w | c); words that no class has are left out."""
    said = []
    for text in texts:
        columns = [model.words[word] for word in words_of(text) if word in model.words]
        said.append(model.classes[int(np.argmax(model.log_prior + model.log_likelihood[:, columns].sum(axis=1)))])
    return said
