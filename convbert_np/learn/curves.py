"""The picture of a training run: needs matplotlib, the extra `convbert-np[plot]`."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convbert_np.files import atomic_write
from convbert_np.learn.plots import COLOURS, bare, pyplot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SMOOTHED = 50  # points of a smoothed curve at least lie within one window of the average


def plot_training(records: Sequence[dict[str, Any]]) -> "Figure":
    """Losses, learning rate and norm of the gradients over the steps, and what was evaluated on held-out text.

    `records` are those that `convbert_np.training.loop.train` yields, or `read_log` reads. Raises ValueError if there are none.
    """
    if not records:
        raise ValueError("records: there are none to draw")
    steps = np.array([record["step"] for record in records])
    losses = [name for name in records[0] if name == "loss" or name.endswith("_loss")]
    evaluated = [record for record in records if record.get("evaluation")]
    metrics = list(evaluated[0]["evaluation"]) if evaluated else []
    panels = [*([name] for name in losses), ["lr"], ["norm"]]
    panels += [[name] for name in metrics if name != "perplexity"]
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure, grid = pyplot().subplots(rows, columns, figsize=(3.6 * columns, 2.4 * rows), layout="constrained", squeeze=False)
    for axes, (name,) in zip(grid.flat, panels, strict=False):
        if name in metrics and name not in losses:
            points = [(record["step"], record["evaluation"][name]) for record in evaluated]
            axes.plot(*zip(*points, strict=True), "o-", color=COLOURS[1], markersize=3)
            axes.set_title(f"{name.replace('_', ' ')}, held out", fontsize=9, loc="left")
        else:
            draw_curve(axes, steps, np.array([record[name] for record in records]), smoothed=name != "lr")
            axes.set_title(NAMES.get(name, name.replace("_", " ")), fontsize=9, loc="left")
        if name == "norm":
            axes.set_yscale("log")
        axes.set_xlim(0, steps[-1] + 1)
        bare(axes)
    for axes in grid.flat[max(0, len(panels) - columns) : len(panels)]:
        axes.set_xlabel("step", fontsize=9)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    return figure


NAMES = {"lr": "learning rate", "norm": "norm of the gradients", "loss": "loss"}


def draw_curve(axes: Any, steps: np.ndarray, values: np.ndarray, smoothed: bool) -> None:
    """A curve, with its running mean in front if it is long."""
    window = len(values) // SMOOTHED
    if not smoothed or window < 2:
        axes.plot(steps, values, color=COLOURS[0], linewidth=1.2)
        return
    axes.plot(steps, values, color=COLOURS[0], linewidth=0.5, alpha=0.35)
    mean = np.convolve(values, np.ones(window) / window, mode="valid")
    axes.plot(steps[window - 1 :] - (window - 1) / 2, mean, color=COLOURS[0], linewidth=1.5)


def save_curves(records: Sequence[dict[str, Any]], path: str | os.PathLike[str]) -> Path:
    """Write the picture as .png, whole or not at all; returns its path."""
    figure = plot_training(records)
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=150)
    pyplot().close(figure)
    return Path(path)
