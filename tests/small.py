"""Small random models and inputs for the tests of whole models."""

from pathlib import Path
from typing import Any

import numpy as np

import convbert_np as cb
from convbert_np.tree import unflatten

UNTRAINED = Path(__file__).parent / "fixtures" / "untrained"  # a model of 1,200 tokens and random parameters that all matter
HEADS = {
    "model": cb.ConvBertModel,
    "masked_lm": cb.ConvBertForMaskedLM,
    "sequence": cb.ConvBertForSequenceClassification,
    "choice": cb.ConvBertForMultipleChoice,
    "token": cb.ConvBertForTokenClassification,
    "answer": cb.ConvBertForQuestionAnswering,
}
SMALL: dict[str, Any] = dict(
    vocab_size=31, hidden_size=12, num_hidden_layers=2, num_attention_heads=4, intermediate_size=14, embedding_size=10,
    max_position_embeddings=11, conv_kernel_size=3, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.2,
)  # fmt: skip


def stressed(model, seed=0):
    """Give a model parameters that all matter: sharp attention, gains not 1, biases not 0."""
    rng = np.random.default_rng(seed)
    flat = {}
    for name, value in model.named_parameters().items():
        if name.endswith("LayerNorm.weight"):
            new = 0.9 + 0.2 * rng.standard_normal(value.shape)
        elif name.endswith("bias"):
            new = 0.1 * rng.standard_normal(value.shape)
        else:
            new = rng.standard_normal(value.shape) / np.sqrt(max(value.shape[-1], 4))
        flat[name] = new.astype(value.dtype)
    model.params = unflatten(flat)
    return model


def make(head: str, dtype=np.float64, seed=0, **config):
    return stressed(HEADS[head](cb.ConvBertConfig(**(SMALL | config)), dtype=dtype), seed)


def inputs_for(head: str, model, batch=2, length=5, choices=3, seed=0) -> dict[str, Any]:
    """Padded, two-segment inputs with labels."""
    rng, config = np.random.default_rng(seed), model.config
    shape = (batch, choices, length) if head == "choice" else (batch, length)
    mask = np.ones(shape, np.int64)
    mask[-1, ..., -1] = 0
    given = {
        "input_ids": rng.integers(2, config.vocab_size, shape),
        "attention_mask": mask,
        "token_type_ids": np.broadcast_to((np.arange(length) > length // 2).astype(np.int64), shape).copy(),
    }
    if head in ("masked_lm", "token"):
        given["labels"] = rng.integers(0, config.vocab_size if head == "masked_lm" else config.num_labels, shape)
        given["labels"][0, 0] = -100
    elif head == "answer":
        given |= {"start_positions": rng.integers(0, length, batch), "end_positions": rng.integers(0, length, batch)}
    elif head == "choice":
        given["labels"] = rng.integers(0, choices, batch)
    elif head == "sequence":
        given["labels"] = rng.integers(0, config.num_labels, batch)
    return given
