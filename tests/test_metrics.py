"""Metrics against plain formulations and cases counted by hand."""

import numpy as np
import pytest

from convbert_np.metrics import answers as a
from convbert_np.metrics import classification as c
from convbert_np.metrics import entities as e
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


# Entities.


def conlleval(true, said):
    """Entities counted as conlleval does: in one pass, with a flag for a true entity that has been predicted so far."""

    def ends(before, now):
        (p, a), (q, b) = before, now
        return p != "O" and (a != b or q in "OBS" or p in "ES")

    def starts(before, now):
        (p, a), (q, b) = before, now
        return q != "O" and (a != b or q in "BS" or p in "OES")

    hits, all_true, all_said, inside = 0, 0, 0, False
    t = p = ("O", "")
    sequence = [pair for tags in zip(true, said, strict=True) for pair in [*zip(*tags, strict=True), ("O", "O")]]
    for true_tag, said_tag in sequence:
        u, q = ((tag[0], tag[2:]) for tag in (true_tag, said_tag))
        if inside:
            if ends(t, u) and ends(p, q):
                hits, inside = hits + 1, False
            elif ends(t, u) != ends(p, q):
                inside = False
        inside = inside or (starts(t, u) and starts(p, q) and u[1] == q[1])
        all_true, all_said = all_true + starts(t, u), all_said + starts(p, q)
        t, p = u, q
    return hits, all_said - hits, all_true - hits


@pytest.mark.parametrize("prefixes", ["BI", "I", "BIES"])
@pytest.mark.parametrize("seed", range(10))
def test_entities_as_conlleval_counts_them(seed, prefixes):
    rng = np.random.default_rng(seed)
    tags = ["O", *(f"{prefix}-{kind}" for prefix in prefixes for kind in ("X", "Y"))]
    true = [rng.choice(tags, rng.integers(1, 12)).tolist() for _ in range(30)]
    said = [[tag if rng.random() < 0.7 else str(rng.choice(tags)) for tag in sentence] for sentence in true]
    counts = e.entity_counts(true, said)
    assert tuple(sum(each[n] for each in counts.values()) for n in range(3)) == conlleval(true, said)
    hits, false_alarms, misses = conlleval(true, said)
    found = e.entity_scores(true, said)
    assert found["precision"] == pytest.approx(hits / (hits + false_alarms)) and hits > 5
    assert found["recall"] == pytest.approx(hits / (hits + misses))
    assert found["f1"] == pytest.approx(2 * hits / (2 * hits + false_alarms + misses))
    flat = [np.concatenate(each) for each in (true, said)]
    assert found["accuracy"] == pytest.approx(np.mean(flat[0] == flat[1]))


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ("B-P I-P O B-P", [(0, 2, "P"), (3, 4, "P")]),  # IOB2
        ("I-P I-P B-P O I-Q", [(0, 2, "P"), (2, 3, "P"), (4, 5, "Q")]),  # IOB1
        ("I-P I-Q", [(0, 1, "P"), (1, 2, "Q")]),
        ("B-P E-P S-P B-P I-P E-P", [(0, 2, "P"), (2, 3, "P"), (3, 6, "P")]),
        ("B-P L-P U-P I-P", [(0, 2, "P"), (2, 3, "P"), (3, 4, "P")]),
        ("E-P I-P", [(0, 1, "P"), (1, 2, "P")]),
        ("NOUN VERB VERB O", [(0, 1, "NOUN"), (1, 2, "VERB"), (2, 3, "VERB")]),  # no prefixes
        ("B-A-B I-A-B", [(0, 2, "A-B")]),
        ("O O", []),
    ],
)
def test_entities_by_hand(tags, found):
    assert e.entities(tags.split()) == found


def test_an_entity_is_right_as_a_whole():
    found = e.entity_scores([["B-P", "I-P", "O", "B-Q"]], [["B-P", "O", "O", "B-Q"]])
    assert found == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "accuracy": 0.75}
    assert e.entity_scores([["O"]], [["O"]]) == {"precision": 0, "recall": 0, "f1": 0, "accuracy": 1}
    assert e.entity_counts([["B-P"], ["B-Q"]], [["B-Q"], ["B-Q"]]) == {"P": (0, 0, 1), "Q": (1, 1, 0)}
    with pytest.raises(ValueError, match="predicted: must be a tag for each of the 2 words"):
        e.entity_scores([["O", "O"]], [["O"]])


# Answers.


@pytest.mark.parametrize(
    ("true", "said", "exact", "f1"),
    [
        ("the Cat!", "cat", 1, 1),
        ("An  apple a day", "apple day", 1, 1),
        ("theater", "ater", 0, 0),
        ("U.S.", "us", 1, 1),
        ("New York City", "York", 0, 2 * 1 * (1 / 3) / (1 + 1 / 3)),
        ("to be or not to be", "to be to to", 0, 2 * (3 / 4) * (3 / 6) / (3 / 4 + 3 / 6)),
        ("one", "two", 0, 0),
        ("", "", 1, 1),
        ("", "the", 1, 1),
        ("x", "", 0, 0),
        ("", "x", 0, 0),
        ("co-operate", "cooperate", 1, 1),
        ("naïve", "naive", 0, 0),
    ],
)
def test_an_answer(true, said, exact, f1):
    assert a.exact_match(true, said) == exact and a.word_f1(true, said) == pytest.approx(f1, abs=1e-12)


def test_the_best_of_several_answers_counts():
    found = a.answer_scores([["New York", "York"], ["a b c"]], ["york", "b c d"])
    assert found == {"exact_match": 0.5, "f1": pytest.approx((1 + 0.8) / 2)}  # of b c and b c d


def test_questions_without_an_answer():
    found = a.answer_scores([["x"], [], [], ["the"]], ["x", "", "y", ""])  # of "the" nothing is left: no answer is right
    assert found == pytest.approx({
        "exact_match": 0.75, "f1": 0.75, "has_answer_exact_match": 1, "has_answer_f1": 1, "no_answer_exact_match": 2 / 3,
        "no_answer_f1": 2 / 3,
    })  # fmt: skip
    assert set(a.answer_scores([[]], [""])) == {"exact_match", "f1", "no_answer_exact_match", "no_answer_f1"}
