"""Metrics of answers to questions: exact match and F1 of the words, as SQuAD's official script counts them."""

import re
import string
from collections import Counter
from collections.abc import Sequence

from convbert_np.metrics.classification import Counts, check_pairs

ARTICLES = re.compile(r"\b(a|an|the)\b", re.UNICODE)
PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalized(text: str) -> str:
    """Lower-cased, without ASCII punctuation, without the articles a, an, the, with single blanks."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def exact_match(true: str, predicted: str) -> float:
    """1 if both are the same when normalized, else 0."""
    return float(normalized(true) == normalized(predicted))


def word_f1(true: str, predicted: str) -> float:
    """F1 of the normalized words, each counted as often as it occurs; of an empty answer 1 if both are empty, else 0."""
    t, p = Counter(normalized(true).split()), Counter(normalized(predicted).split())
    if not t or not p:
        return float(t == p)
    hits = (t & p).total()
    return Counts(hits, p.total() - hits, t.total() - hits).f1


def golds_of(answers: Sequence[str]) -> list[str]:
    """The answers that count: those of which something is left when normalized; if there is none, no answer is right."""
    return [answer for answer in answers if normalized(answer)] or [""]


def answer_scores(true: Sequence[Sequence[str]], predicted: Sequence[str]) -> dict[str, float]:
    """exact_match and f1, the means over the questions of the best over the answers of each.

    Where questions without an answer ([]) are among them, also the means over the others, has_answer_..., and over
    these, no_answer_..., for which "" is the right prediction.

    Source: evaluate-v2.0.py of SQuAD 2.0, which gives percentages, and on SQuAD 1.1 the figures of its own script.
    """
    check_pairs(true, predicted)
    golds = [golds_of(answers) for answers in true]
    scores = [
        (max(exact_match(gold, said) for gold in each), max(word_f1(gold, said) for gold in each), each != [""])
        for each, said in zip(golds, predicted, strict=True)
    ]
    found = mean_scores("", scores)
    if all(has_answer for *_, has_answer in scores):
        return found
    return (
        found
        | mean_scores("has_answer_", [s for s in scores if s[2]])
        | mean_scores("no_answer_", [s for s in scores if not s[2]])
    )


def mean_scores(prefix: str, scores: Sequence[tuple[float, float, bool]]) -> dict[str, float]:
    """The means of (exact match, F1) under their names; {} of none."""
    names = ("exact_match", "f1") if scores else ()
    return {prefix + name: sum(score[place] for score in scores) / len(scores) for place, name in enumerate(names)}
