"""Pictures of values, attention, kernels and gradients. They need matplotlib: the extra `convbert-np[plot]`.

Every function draws and returns a matplotlib Figure: Jupyter shows it, `figure.savefig("attention.svg")` keeps it. With `ax` (one
Axes; where heads stand side by side, one for each) it draws into axes of your own. Colours are safe for the colour-blind: signed
values run from blue through white at 0 to red; those that cannot be negative from white to dark blue. Grey is where there is
nothing to show.
"""

import re
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convbert_np.interface.output import ModelOutput
from convbert_np.names import AXES
from convbert_np.verify.trace import Trace, TracedValue

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIGNED, POSITIVE, NOTHING = "RdBu_r", "Blues", "0.9"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito 2008
CELL = 0.24  # inches for a row or column that carries a label
MOST_LABELS = 40  # tokens along a side; of more, every second, third, ... is written
MOST_NAMES = 100


def plot_value(
    value: TracedValue, tokens: Sequence[str] | None = None, gradient: bool = False, ax: "Axes | None" = None, **at: int
) -> "Figure":
    """Any value of a trace as a heatmap, with the tokens along its sequence axes.

        plot_value(trace(out)["convbert.encoder.layer.0.attention.self.scores"], tokens, N=1)

    Two axes can be shown. Of the others the batch and the heads go first, then the leading ones; there the index 0 is taken, or
    what `at` says by the axis's letter. `gradient` shows the loss gradient of the value instead.

    Raises ValueError if the value is a single number or has no gradient, if there is no such axis or index, or if the tokens are
    not as many as the positions.
    """
    if gradient and value.gradient is None:
        raise ValueError(
            f"value: {value.name} has no gradient in this trace; trace(out, grads) needs those of intermediates=True"
        )
    array: Any = np.asarray(value.gradient if gradient else value.value)
    if array.ndim == 0 or array.size == 0:
        raise ValueError(f"value: {value.name} has the shape {array.shape}, there is nothing to draw")
    numbers, letters, taken = two_axes(array.real.astype(np.float64), value.axes.split(), at)
    for letter, size in zip(letters, numbers.shape, strict=True):
        if letter == "S" and size > 1:
            checked_tokens(tokens, size)
    figure, (axes,) = canvas(1, heatmap_size(numbers, letters, tokens), ax)
    image = heatmap(axes, numbers)
    for side, letter, size in zip((axes.yaxis, axes.xaxis), letters, numbers.shape, strict=True):
        label_axis(side, letter, size, tokens)
    title(axes, ("gradient of " if gradient else "") + short(value.name) + taken)
    colour_bar(figure, image, axes)
    return figure


def plot_attention(
    out: ModelOutput, layer: int, tokens: Sequence[str] | None = None, batch: int = 0, ax: "Sequence[Axes] | None" = None
) -> "Figure":
    """The attention weights of a layer, head beside head: row s shows from where token s takes its values. Rows sum to 1.

    Raises ValueError if the output has neither attentions nor a cache, no such layer, or other than `tokens` many positions.
    """
    weights = np.asarray(attention_weights(out, layer))[batch].real
    return squares(weights, tokens, f"attention weights, layer {layer}", ax)


def plot_band(
    out: ModelOutput, layer: int, tokens: Sequence[str] | None = None, batch: int = 0, ax: "Sequence[Axes] | None" = None
) -> "Figure":
    """The dynamic kernels of a layer laid out like attention weights: row s shows from where token s takes its values.

    A kernel reaches (K-1)/2 positions to each side; what is beyond is grey. A row near an end of the sequence sums to less than
    1: the taps that fall outside read zeros.
    """
    kernels = kernels_of(out, layer, batch)
    return squares(np.stack([band(kernel) for kernel in kernels]), tokens, f"dynamic kernels as a band, layer {layer}", ax)


def plot_kernels(
    out: ModelOutput, layer: int, tokens: Sequence[str] | None = None, batch: int = 0, ax: "Sequence[Axes] | None" = None
) -> "Figure":
    """Each token's kernel, head beside head: K taps, at the offsets from the token at which they read. Rows sum to 1."""
    kernels = kernels_of(out, layer, batch)
    count, length, num_taps = kernels.shape
    checked_tokens(tokens, length)
    figure, axes = canvas(count, (count * (num_taps * CELL + 0.4) + 1.9, length * CELL + 1.1), ax)
    image = None
    for head, (one, kernel) in enumerate(zip(axes, kernels, strict=True)):
        image = heatmap(one, kernel, (0, 1))
        label_axis(one.xaxis, "K", num_taps)
        label_axis(one.yaxis, "S", length, tokens, with_text=head == 0)
        one.set_title(f"head {head}", fontsize=10)
    if ax is None:
        figure.suptitle(f"dynamic kernels, layer {layer}", fontsize=11)
    colour_bar(figure, image, axes)
    return figure


def plot_span(
    out: ModelOutput, layer: int, position: int, tokens: Sequence[str] | None = None, batch: int = 0, ax: "Axes | None" = None
) -> "Figure":
    """What one token reads by convolution: its kernels' taps over the tokens that they fall on.

    The taps of all heads stand side by side. Beyond the ends of the sequence a tap reads zeros; that weight is lost.

    Raises ValueError if there is no such position, layer, or other than `tokens` many positions.
    """
    kernels = kernels_of(out, layer, batch)
    count, length, num_taps = kernels.shape
    checked_tokens(tokens, length)
    if not 0 <= position < length:
        raise ValueError(f"position: must be in [0, {length}), got {position}")
    reach = (num_taps - 1) // 2
    read = position + np.arange(num_taps) - reach
    shown = np.arange(min(read[0], max(0, read[0] - 3)), max(read[-1] + 1, min(length, read[-1] + 4)))
    figure, (axes,) = canvas(1, (len(shown) * 0.42 + 2, 2.5), ax)
    axes.axvspan(read[0] - 0.5, read[-1] + 0.5, color="0.95", zorder=0)
    for head, kernel in enumerate(kernels[:, position]):
        width = 0.8 / count
        colour = COLOURS[head % len(COLOURS)]
        axes.bar(read - 0.4 + width * (head + 0.5), kernel, width, color=colour, label=f"head {head}", zorder=2)
    labels = [tokens[s] if tokens is not None else str(s) for s in range(length)]
    axes.set_xticks(
        shown, [labels[s] if 0 <= s < length else "0" for s in shown], rotation=60, ha="right", rotation_mode="anchor", fontsize=8
    )
    axes.get_xticklabels()[position - shown[0]].set_fontweight("bold")
    for tick, s in zip(axes.get_xticklabels(), shown, strict=True):
        tick.set_color("black" if s in read and 0 <= s < length else "0.6")
    axes.set(xlim=(shown[0] - 0.5, shown[-1] + 0.5), ylim=(0, 1.05))
    axes.set_ylabel("dynamic kernel", fontsize=9)
    title(axes, f"what {labels[position]!r} at position {position} reads by convolution, layer {layer}")
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    bare(axes)
    return figure


def plot_gradient_flow(trace: Trace, ax: "Axes | None" = None) -> "Figure":
    """The norm of the loss gradient of every value, in the order of computation; the backward pass goes from bottom to top.

    Values without a gradient (ids, masks) are left out; a hollow point at the edge is a gradient of exactly 0. A trace of more
    than MOST_NAMES values shows the names of layers only: `trace.only("layer.1")` gives all names.

    Raises ValueError if no value of the trace has a gradient.
    """
    graded = [value for value in trace if value.gradient is not None]
    if not graded:
        raise ValueError("trace: no value has a gradient; give trace() those of backward(out, intermediates=True)")
    norms = np.array([np.linalg.norm(np.asarray(value.gradient).ravel()) for value in graded])
    groups = np.array([group_of(value.name) for value in graded])
    names = len(graded) <= MOST_NAMES
    figure, (axes,) = canvas(1, (7.5, max(2.0, len(graded) * 0.135 + 0.8) if names else 6), ax)
    rows, at = np.arange(len(graded)), np.where(norms > 0, norms, norms[norms > 0].min() / 3 if np.any(norms > 0) else 1)
    for number, group in enumerate(dict.fromkeys(groups)):
        mine, colour = groups == group, COLOURS[number % len(COLOURS)]
        for kind, face in ((mine & (norms > 0), colour), (mine & (norms == 0), "white")):
            axes.plot(at[kind], rows[kind], "o", color=colour, mfc=face, ms=4)
        axes.text(1.01, rows[mine].mean(), group, color=colour, va="center", fontsize=9, transform=axes.get_yaxis_transform())
        if number % 2 == 0:
            axes.axhspan(rows[mine].min() - 0.5, rows[mine].max() + 0.5, color="0.96", zorder=0)
    labels = [inside_group(value.name) for value in graded]
    axes.set_yticks(rows if names else [], labels if names else [], fontsize=7)
    axes.set(xscale="log", ylim=(len(graded) - 0.5, -0.5))
    axes.set_xlabel("norm of the gradient", fontsize=9)
    axes.grid(axis="x", color="0.85", lw=0.8)
    axes.set_axisbelow(True)
    bare(axes)
    return figure


# Where the numbers come from.


def attention_weights(out: ModelOutput, layer: int) -> Any:
    """The attention weights (B, N, S, S) of a layer, from the output or else from its cache."""
    if out.attentions is not None:
        return nth(out.attentions, layer)
    if out.cache is None:
        raise ValueError("out: has no attention weights; call the model with output_attentions=True or keep the cache")
    body = out.cache.get("convbert", out.cache)
    return nth([one["attention"]["self"]["attention_weights"] for one in body["encoder"]["layer"].values()], layer)


def kernels_of(out: ModelOutput, layer: int, batch: int) -> np.ndarray:
    """The dynamic kernels (N, S, K) of a layer and a sentence of the batch."""
    return np.swapaxes(np.asarray(nth(out.dynamic_kernels, layer))[batch].real, 0, 1)


def nth(layers: Sequence[Any], layer: int) -> Any:
    """What belongs to a layer."""
    if not 0 <= layer < len(layers):
        raise ValueError(f"layer: must be in [0, {len(layers)}), got {layer}")
    return layers[layer]


def band(kernel: np.ndarray) -> np.ndarray:
    """A head's kernels (S, K) as a matrix (S, S) of weights: from row to column, nan beyond the kernel's reach."""
    length, num_taps = kernel.shape
    matrix = np.full((length, length), np.nan)
    for j in range(num_taps):
        here = np.arange(length)
        there = here + j - (num_taps - 1) // 2
        inside = (there >= 0) & (there < length)
        matrix[here[inside], there[inside]] = kernel[inside, j]
    return matrix


def two_axes(array: np.ndarray, letters: list[str], at: dict[str, int]) -> tuple[np.ndarray, list[str], str]:
    """At most two axes of an array: the rest is indexed. Also their letters, and in words what was taken elsewhere."""
    letters = letters[-array.ndim :] if array.ndim else []
    letters = [*[""] * (array.ndim - len(letters)), *letters]
    for letter, index in at.items():
        if letter not in letters:
            raise ValueError(f"{letter}: is not an axis of this value; it has {' '.join(letters) or 'none'}")
        if not 0 <= index < array.shape[letters.index(letter)]:
            raise ValueError(f"{letter}: must be in [0, {array.shape[letters.index(letter)]}), got {index}")
    taken = []
    while array.ndim > 2 or (array.ndim and at.keys() & set(letters)) or (array.ndim == 2 and "B" in letters[:1]):
        chosen = next((letter for letter in (*at, "B", "N") if letter in letters), letters[0])
        axis = letters.index(chosen)
        index = at.get(chosen, 0)
        if array.shape[axis] > 1:
            taken.append(f"{chosen} = {index}")
        array, letters = np.take(array, index, axis), letters[:axis] + letters[axis + 1 :]
        at = {letter: number for letter, number in at.items() if letter != chosen}
    while array.ndim < 2:
        array, letters = array[None], ["", *letters]
    return array, letters, f"   ({', '.join(taken)})" if taken else ""


# How it is drawn.


def pyplot() -> Any:
    """matplotlib.pyplot, or an error that says how to get it."""
    try:
        import matplotlib.pyplot
    except ImportError as error:
        raise ImportError("plots need matplotlib: pip install 'convbert-np[plot]'") from error
    return matplotlib.pyplot


def canvas(count: int, size: tuple[float, float], ax: Any) -> tuple[Any, list[Any]]:
    """A figure with `count` axes side by side; or the axes given, with their figure.

    In Jupyter the figure is taken off pyplot's list, which would show it a second time.
    """
    plt = pyplot()
    if ax is not None:
        axes = list(np.ravel(np.asarray(ax, dtype=object)))
        if len(axes) != count:
            raise ValueError(f"ax: must be {count} Axes, got {len(axes)}")
        return axes[0].figure, axes
    figure, axes = plt.subplots(1, count, figsize=size, layout="constrained", squeeze=False)
    if "inline" in plt.get_backend():
        plt.close(figure)
    return figure, list(axes[0])


def squares(matrices: np.ndarray, tokens: Sequence[str] | None, title: str, ax: Any) -> Any:
    """Weights (N, S, S), head beside head."""
    count, length, _ = matrices.shape
    checked_tokens(tokens, length)
    side = max(1.8, min(length, MOST_LABELS) * CELL)
    figure, axes = canvas(count, (count * (side + 0.3) + 1.6, side + 1.4), ax)
    image = None
    for head, (one, matrix) in enumerate(zip(axes, matrices, strict=True)):
        image = heatmap(one, matrix, (0, 1))
        label_axis(one.xaxis, "S", length, tokens, "token that is read (S)")
        label_axis(one.yaxis, "S", length, tokens, "token that reads (S)", with_text=head == 0)
        one.set_title(f"head {head}", fontsize=10)
    if ax is None:
        figure.suptitle(title, fontsize=11)
    colour_bar(figure, image, axes)
    return figure


def heatmap(axes: Any, numbers: np.ndarray, limits: tuple[float, float] | None = None) -> Any:
    """An image of a matrix: diverging around 0 if any number is negative."""
    finite = numbers[np.isfinite(numbers)]
    largest = float(np.abs(finite).max()) if finite.size else 0.0
    signed = bool((finite < 0).any())
    low, high = limits or ((-largest, largest) if signed else (0, largest or 1))
    axes.set_facecolor(NOTHING)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0)
    colours = SIGNED if signed else POSITIVE
    return axes.imshow(numbers, cmap=colours, vmin=low, vmax=high, aspect="auto", interpolation="nearest")


def heatmap_size(numbers: np.ndarray, letters: list[str], tokens: Sequence[str] | None) -> tuple[float, float]:
    """Inches that give labelled rows room, and others what fits."""
    height = numbers.shape[0] * CELL if letters[0] == "S" and tokens is not None else numbers.shape[0] * 0.18
    width = numbers.shape[1] * CELL if letters[1] == "S" and tokens is not None else numbers.shape[1] * 0.18
    return min(max(width, 1), 8) + 1.8, min(max(height, 0.3), 8) + 1.1


def label_axis(
    side: Any, letter: str, size: int, tokens: Sequence[str] | None = None, words: str = "", with_text: bool = True
) -> None:
    """Ticks and label of one side: tokens on the sequence, offsets on the taps, numbers elsewhere."""
    vertical = side.axis_name == "y"
    if letter == "S" and tokens is not None and len(tokens) == size:
        every = -(-size // MOST_LABELS)
        turned = {} if vertical else {"rotation": 90}
        side.set_ticks(
            range(0, size, every), list(tokens)[::every] if with_text else [""] * len(tokens[::every]), fontsize=8, **turned
        )
    elif letter == "K":
        side.set_ticks(range(size), [f"{j - (size - 1) // 2:+d}" if 2 * j + 1 != size else "0" for j in range(size)], fontsize=8)
    elif size == 1:
        side.set_ticks([])
    else:
        side.set_major_locator(locator())
        side.set_tick_params(labelsize=8, labelleft=with_text or not vertical)
    name = "offset of the tap (K)" if letter == "K" else f"{AXES[letter]} ({letter})" if letter in AXES else letter
    if with_text and size > 1:
        side.set_label_text(words or name, fontsize=9)


def locator() -> Any:
    """Ticks at whole numbers."""
    pyplot()
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(integer=True, min_n_ticks=1)


def colour_bar(figure: Any, image: Any, axes: Any) -> None:
    """A slim colour bar without a frame."""
    bar = figure.colorbar(image, ax=axes, fraction=0.05, pad=0.02, aspect=25)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, length=2)


def title(axes: Any, text: str) -> None:
    """A small title at the left; too long a name is broken at its dots."""
    width = max(24, int(axes.figure.get_figwidth() * 9))
    lines = textwrap.wrap(text.replace(".", ". "), width, break_long_words=False)
    axes.set_title("\n".join(lines).replace(". ", "."), fontsize=9, loc="left")


def bare(axes: Any) -> None:
    """No frame on the right and at the top."""
    axes.spines[["right", "top"]].set_visible(False)
    axes.tick_params(length=2, labelsize=8)


def checked_tokens(tokens: Sequence[str] | None, length: int | None) -> None:
    """Raise ValueError if the tokens are not as many as the positions."""
    if tokens is not None and length is not None and len(tokens) != length:
        raise ValueError(f"tokens: there are {len(tokens)} for {length} positions")


def short(name: str) -> str:
    """A name without what every name of the encoder begins with."""
    return re.sub(r"^(convbert\.)?(encoder\.)?", "", name)


def group_of(name: str) -> str:
    """The part of the model in which a value is computed."""
    found = re.match(r"layer\.(\d+)\.", short(name))
    return f"layer {found[1]}" if found else "embeddings" if short(name).startswith("embeddings") else "head and loss"


def inside_group(name: str) -> str:
    """A name without its layer."""
    return re.sub(r"^layer\.\d+\.", "", short(name))
