"""What the comparisons of the tokenizers share."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "tools"))


@pytest.fixture(scope="module", autouse=True)
def reference():
    """Nothing here runs without the reference."""
    pytest.importorskip("transformers")


@pytest.fixture(scope="module", params=["slow", "fast"])
def sides(request):
    """The classes of one kind, ours and the reference's."""
    from tokenizer_compare import sides_of

    return sides_of(request.param)


@pytest.fixture(scope="module")
def tokenizers(sides, tmp_path_factory):
    """Pairs of tokenizers over all vocabularies, made when they are asked for."""
    from tokenizer_compare import Tokenizers

    return Tokenizers(sides, tmp_path_factory.mktemp("vocabularies"))
