"""Does this installation compute what PyTorch computed? The shipped golden bundles, on this machine."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convbert_np.data import golden_directory
from convbert_np.verify.golden import Comparison, compare, compute, load_golden
from convbert_np.verify.table import Table

SHIPPED = ("masked_lm", "model_groups", "model_dropout", "question_answering", "multiple_choice_mean")


@dataclass(frozen=True)
class SelftestResult:
    """The comparisons of one bundle in one dtype."""

    bundle: str
    model_class: str
    dtype: str
    comparisons: list[Comparison]

    @property
    def ok(self) -> bool:
        """Whether there were comparisons and every tensor passed."""
        return bool(self.comparisons) and all(comparison.ok for comparison in self.comparisons)

    def table(self) -> Table:
        """Every tensor: error, floor, error over floor, limit, verdict."""
        rows = [
            [c.name, f"{c.error:.2e}", f"{c.floor:.2e}", over_floor(c), f"{c.limit:.2e}", "ok" if c.ok else "WRONG", c.kind]
            for c in self.comparisons
        ]
        header = ["tensor", "error", "floor", "error/floor", "allowed", "", "kind"]
        return Table(header, rows, right=range(1, 5), caption=f"{self.bundle} ({self.model_class}, {self.dtype})")

    def summary(self) -> list[str]:
        """One line: how many tensors, how many wrong, and the worst of them in shares of what is allowed."""
        worst = max(self.comparisons, key=lambda c: (not c.ok, c.error / c.limit if c.limit else c.error))
        wrong = sum(not comparison.ok for comparison in self.comparisons)
        share = f"{worst.error / worst.limit:.2g}" if worst.limit else f"{worst.error:.2g}"
        return [self.bundle, self.model_class, self.dtype, str(len(self.comparisons)), str(wrong), share, worst.name]


def over_floor(comparison: Comparison) -> str:
    """error / floor, in words where the floor is 0."""
    if comparison.floor:
        return f"{comparison.error / comparison.floor:.2g}"
    return "exact" if comparison.error == 0 else f"{comparison.error:.1e} > 0"


def selftest(directory: Path | None = None) -> list[SelftestResult]:
    """Compute every shipped bundle in float64 and float32 and compare. Raises FileNotFoundError if the bundles are not there."""
    directory = directory or golden_directory()
    results = []
    for name in SHIPPED:
        golden = load_golden(directory / name)
        for dtype in (np.float64, np.float32):
            comparisons = list(compare(golden, compute(golden, dtype), dtype))
            results.append(SelftestResult(name, golden.manifest["model_class"], np.dtype(dtype).name, comparisons))
    return results


def summary_table(results: list[SelftestResult]) -> Table:
    """One line per bundle and dtype."""
    header = ["bundle", "model", "dtype", "tensors", "wrong", "worst / allowed", "worst tensor"]
    return Table(header, [result.summary() for result in results], right=(3, 4, 5))
