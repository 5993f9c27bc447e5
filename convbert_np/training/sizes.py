"""The released models: their sizes, and with what they were pre-trained."""

from typing import Any, NamedTuple

from convbert_np.config import ConvBertConfig


class Size(NamedTuple):
    """A model's fields, and the learning rate and batch size of its pre-training."""

    fields: dict[str, Any]
    learning_rate: float
    batch_size: int


SIZES = {
    "tiny": Size(
        {"hidden_size": 128, "embedding_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 512},
        1e-3, 32,
    ),
    "small": Size({"hidden_size": 256, "embedding_size": 128, "num_attention_heads": 4, "intermediate_size": 1024}, 3e-4, 128),
    "medium-small": Size(
        {"hidden_size": 384, "embedding_size": 128, "num_attention_heads": 8, "intermediate_size": 1536, "num_groups": 2},
        5e-4, 128,
    ),
    "base": Size(
        {"hidden_size": 768, "embedding_size": 768, "num_attention_heads": 12, "intermediate_size": 3072,
         "generator_hidden_size": 1 / 3},
        2e-4, 256,
    ),
}  # fmt: skip
RELEASED_STEPS, RELEASED_WARMUP, RELEASED_LENGTH = 1_000_000, 10_000, 128


def size_of(name: str) -> Size:
    """A size by its name. Raises ValueError for another. "tiny" is ours; the others are those of the original code."""
    if name not in SIZES:
        raise ValueError(f"size: must be one of {', '.join(SIZES)}, got {name!r}")
    return SIZES[name]


def config_of_size(name: str, vocab_size: int, **changes: Any) -> ConvBertConfig:
    """The configuration of a size for a vocabulary whose [PAD] is 0; `changes` win over its fields. Raises ValueError."""
    fields: dict[str, Any] = {"vocab_size": vocab_size, "pad_token_id": 0}
    return ConvBertConfig(**(fields | size_of(name).fields | changes))
