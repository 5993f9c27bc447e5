"""What is shipped with the package: a tiny trained model (docs/model-card.md), and golden bundles for the selftest."""

from pathlib import Path

HERE = Path(__file__).parent
TINY = HERE / "tiny"


def golden_directory() -> Path:
    """Where the shipped golden bundles are: in the package, or in a source checkout among the tests."""
    packaged = HERE / "golden"
    return packaged if packaged.is_dir() else HERE.parents[1] / "tests" / "golden"
