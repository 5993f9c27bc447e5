"""Dynamic masking, by its statistics and its guarantees."""

import numpy as np
import pytest

from convbert_np.training.masking import BERT_MASKING, GENERATOR_MASKING, IGNORED, Masking, candidates_of, mask_tokens

VOCAB, MASK, SPECIAL = 1000, 4, (0, 1, 2, 3, 4)


def draw(seed=0, rows=400, length=100, masking=BERT_MASKING):
    rng = np.random.default_rng(seed)
    ids = rng.integers(5, VOCAB, (rows, length))
    ids[:, 0], ids[:, -1] = 2, 3
    ids[::2, 60:] = 0
    attends = (ids != 0).astype(np.int64)
    candidates = candidates_of(ids, SPECIAL, attends)
    return ids, candidates, *mask_tokens(ids, candidates, rng, MASK, VOCAB, masking)


@pytest.mark.parametrize("masking", [BERT_MASKING, GENERATOR_MASKING, Masking(0.4, 0.5, 0.3)])
def test_shares(masking):
    ids, candidates, masked, labels = draw(masking=masking)
    chosen = labels != IGNORED
    np.testing.assert_array_equal(chosen.sum(axis=1), np.round(masking.probability * candidates.sum(axis=1)))
    assert not np.any(chosen & ~candidates)
    np.testing.assert_array_equal(masked[~chosen], ids[~chosen])
    np.testing.assert_array_equal(labels[chosen], ids[chosen])
    n = chosen.sum()
    hidden, same = np.mean(masked[chosen] == MASK), np.mean(masked[chosen] == ids[chosen])
    for found, share in ((hidden, masking.mask_share), (same, 1 - masking.mask_share - masking.random_share)):
        assert abs(found - share) < 4 * np.sqrt(share * (1 - share) / n) + 2 / VOCAB
    swapped = chosen & (masked != MASK) & (masked != ids)
    if masking.random_share:
        values = masked[swapped]
        assert (
            values.min() < 20
            and values.max() > VOCAB - 20
            and abs(values.mean() - VOCAB / 2) < 4 * VOCAB / np.sqrt(12 * len(values))
        )
    else:
        assert not swapped.any()


def test_every_place_is_chosen_equally_often():
    _, candidates, _, labels = draw(rows=6000, length=20)
    often = (labels != IGNORED).sum(axis=0) / 6000
    assert often[0] == often[-1] == 0
    inner = often[1:-1]
    assert np.all(np.abs(inner - inner.mean()) < 4.5 * np.sqrt(inner.mean() / 6000))
    assert candidates[:, 1:-1].all()


def test_the_generator_decides_everything():
    one, same, other = draw(1), draw(1), draw(2)
    for a, b in zip(one, same, strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.any(one[2] != other[2])


def test_one_at_least_and_never_too_many():
    ids = np.array([[2, 7, 3, 0, 0], [2, 3, 0, 0, 0], [2, 7, 8, 9, 3]])
    _, labels = mask_tokens(ids, candidates_of(ids, SPECIAL), np.random.default_rng(0), MASK, VOCAB)
    np.testing.assert_array_equal((labels != IGNORED).sum(axis=1), [1, 0, 1])
    _, _, _, labels = draw(masking=Masking(0.9, most=3))
    np.testing.assert_array_equal((labels != IGNORED).sum(axis=1), 3)
    np.testing.assert_array_equal(candidates_of(ids, SPECIAL, ids * 0 + 1)[2], [False, True, True, True, False])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"candidates": np.ones((2, 3))}, "candidates: must have the shape"),
        ({"mask_token_id": VOCAB}, "mask_token_id"),
        ({"masking": Masking(1.5)}, "probability: must be between 0 and 1"),
        ({"masking": Masking(0.1, 0.8, 0.3)}, "random_share: 0.3 and mask_share 0.8"),
        ({"masking": Masking(most=0)}, "most: must be at least 1"),
    ],
)
def test_bad_arguments(change, message):
    given = {"input_ids": np.ones((2, 4), int), "candidates": np.ones((2, 4)), "rng": np.random.default_rng(0)}
    with pytest.raises(ValueError, match=message):
        mask_tokens(**(given | {"mask_token_id": MASK, "vocab_size": VOCAB} | change))
