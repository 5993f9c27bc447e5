"""The released ConvBERT models, as far as their values were published: is a checkpoint what its configuration says it is?

Source: the integration tests of ConvBERT in transformers 4.37.2, for PyTorch and for TensorFlow.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from convbert_np.config import ConvBertConfig
from convbert_np.interface.models import ConvBertModel

TOLERANCE = 1e-4  # the reference's own
SIZES = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "embedding_size",
    "head_ratio",
    "conv_kernel_size",
    "num_groups",
    "max_position_embeddings",
    "type_vocab_size",
)


@dataclass(frozen=True)
class Case:
    """Ids (S,) and the first values of the last hidden state for them: those of as many tokens and channels as are given."""

    ids: tuple[int, ...]
    values: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Release:
    """A released model: its name, the sizes that tell it, and the published cases; none where no values were published."""

    name: str
    sizes: dict[str, int]
    cases: tuple[Case, ...] = ()


BASE = {name: getattr(ConvBertConfig(), name) for name in SIZES}
MEDIUM_SMALL = {"hidden_size": 384, "num_attention_heads": 8, "intermediate_size": 1536, "embedding_size": 128, "num_groups": 2}
SMALL = {"hidden_size": 256, "num_attention_heads": 4, "intermediate_size": 1024, "embedding_size": 128}
RELEASES = (
    Release(
        "YituTech/conv-bert-base",
        BASE,
        (
            Case(
                (1, 2, 3, 4, 5, 6),
                ((-0.0864, -0.4898, -0.3677), (0.1434, -0.2952, -0.7640), (-0.0112, -0.4432, -0.5432)),
            ),
            Case(
                (0, 1, 2, 3, 4, 5),
                (
                    (-0.03475493, -0.4686034, -0.30638832),
                    (0.22637248, -0.26988646, -0.7423424),
                    (0.10324868, -0.45013508, -0.58280784),
                ),
            ),
        ),
    ),
    Release("YituTech/conv-bert-medium-small", BASE | MEDIUM_SMALL),
    Release("YituTech/conv-bert-small", BASE | SMALL),
)


@dataclass(frozen=True)
class Recognition:
    """What became of the comparison of a checkpoint with the releases.

    release   the release with the model's sizes; None: there is none
    errors    the largest difference of each published case
    """

    release: Release | None
    errors: tuple[float, ...]

    @property
    def is_same(self) -> bool | None:
        """Whether the checkpoint gives the published values; None where there are none."""
        return all(error <= TOLERANCE for error in self.errors) if self.errors else None

    def __str__(self) -> str:
        if self.release is None:
            return "the configuration is that of no released ConvBERT: there are no published values to compare with"
        if self.is_same is None:
            return f"the configuration is that of {self.release.name}, of which no values were published"
        found = ", ".join(f"{error:.1e}" for error in self.errors)
        verdict = "gives" if self.is_same else "DOES NOT give"
        return (
            f"the configuration is that of {self.release.name}; the checkpoint {verdict} its published values: largest "
            f"difference in each of {len(self.errors)} cases {found}, allowed {TOLERANCE:.0e}"
        )


def release_of(config: ConvBertConfig) -> Release | None:
    """The release whose sizes a configuration has."""
    sizes = {name: getattr(config, name) for name in SIZES}
    return next((release for release in RELEASES if release.sizes == sizes), None)


def recognise(model: ConvBertModel) -> Recognition:
    """Compute the published cases of the release that a model's configuration matches, and compare."""
    release = release_of(model.config)
    return Recognition(release, tuple(error_of(model, case) for case in release.cases) if release else ())


def error_of(model: ConvBertModel, case: Case) -> float:
    """The largest difference between a model's values and those that were published for a case; infinite if one is no number."""
    values: Any = np.array(case.values)
    found = model(np.array([case.ids]), keep_cache=False).last_hidden_state[0, : len(values), : values.shape[1]]
    error = float(np.max(np.abs(found - values)))
    return error if np.isfinite(error) else float("inf")
