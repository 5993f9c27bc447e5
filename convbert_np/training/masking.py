"""Dynamic masking: each time a text is seen, other tokens of it are hidden."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

IGNORED = -100


class Masking(NamedTuple):
    """How much is chosen to be guessed, and what happens to the chosen tokens.

    probability   the share of a row's tokens that is chosen, one at least
    mask_share    of the chosen ones: becomes [MASK]
    random_share  of the chosen ones: becomes any token of the vocabulary; the rest stays as it is
    most          at most so many per row; None: any number
    """

    probability: float = 0.15
    mask_share: float = 0.8
    random_share: float = 0.1
    most: int | None = None


BERT_MASKING = Masking()
GENERATOR_MASKING = Masking(mask_share=0.85, random_share=0.0)  # the original code's: 85 % [MASK], the rest unchanged


def mask_tokens(
    input_ids: Any,
    candidates: Any,
    rng: np.random.Generator,
    mask_token_id: int,
    vocab_size: int,
    masking: Masking = BERT_MASKING,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Hide some tokens: the ids with them hidden, and the labels, -100 where nothing is to be guessed.

        number of a row = min(most, max(1, round(probability * candidates of the row)))
        the chosen      = so many of the row's candidates, all sets equally likely

    A row without candidates has no labels. All randomness is the generator's.

    Shapes : input_ids, candidates, and both results (B, S); candidates says which tokens may be chosen (see `candidates_of`).
    Source : Devlin et al. 2019 (arXiv 1810.04805), masked LM; create_masked_lm_predictions of the original BERT code. The code of
    ConvBERT draws positions with repetition, so that it chooses a little fewer than it says; here they are all different.
    Raises ValueError naming the argument.
    """
    ids, candidates = np.asarray(input_ids), np.asarray(candidates, bool)
    check_masking(masking)
    if ids.ndim != 2 or candidates.shape != ids.shape:
        raise ValueError(f"candidates: must have the shape (B, S) of input_ids {ids.shape}, got {candidates.shape}")
    if not 0 <= mask_token_id < vocab_size:
        raise ValueError(f"mask_token_id: must be in [0, {vocab_size}), got {mask_token_id}")
    available = candidates.sum(axis=1)
    number = np.minimum(available, np.maximum(1, np.round(masking.probability * available)))
    number = number if masking.most is None else np.minimum(number, masking.most)
    lots = np.where(candidates, rng.random(ids.shape), 2.0)
    rank = np.argsort(np.argsort(lots, axis=1, kind="stable"), axis=1)
    chosen = rank < number[:, None]
    fate, random_ids = rng.random(ids.shape), rng.integers(0, vocab_size, ids.shape)
    hidden = chosen & (fate < masking.mask_share)
    swapped = chosen & ~hidden & (fate < masking.mask_share + masking.random_share)
    masked = np.where(hidden, mask_token_id, np.where(swapped, random_ids, ids))
    return masked.astype(ids.dtype), np.where(chosen, ids, IGNORED)


def candidates_of(input_ids: Any, special_ids: Iterable[int], attention_mask: Any = None) -> np.ndarray:
    """Which tokens may be hidden: those that are neither special ([CLS], [SEP], [MASK], [PAD], ...) nor padding. Shape (B, S)."""
    plain = ~np.isin(input_ids, list(special_ids))
    return plain if attention_mask is None else plain & (np.asarray(attention_mask) > 0)


def check_masking(masking: Masking) -> None:
    """Raise ValueError, naming the field, unless the shares are shares."""
    for name in ("probability", "mask_share", "random_share"):
        if not 0 <= getattr(masking, name) <= 1:
            raise ValueError(f"{name}: must be between 0 and 1, got {getattr(masking, name)}")
    if masking.mask_share + masking.random_share > 1 + 1e-12:
        raise ValueError(f"random_share: {masking.random_share} and mask_share {masking.mask_share} are together more than 1")
    if masking.most is not None and masking.most < 1:
        raise ValueError(f"most: must be at least 1 or None, got {masking.most}")
