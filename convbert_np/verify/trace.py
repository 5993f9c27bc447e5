"""Every value of a forward pass, by name and in the order of computation."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import numpy as np

from convbert_np.interface.output import ModelOutput
from convbert_np.names import Name, lookup
from convbert_np.tree import flatten
from convbert_np.verify.table import Table


@dataclass(frozen=True)
class TracedValue:
    """One named value: the array, what is known of its name, its gradient if one was given, and its other names."""

    name: str
    value: Any
    about: Name
    gradient: Any = None
    aliases: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"{self.name}  {self.value.dtype} {self.value.shape}  ({self.axes})  = {self.equation}"

    @property
    def statistics(self) -> dict[str, float]:
        """mean, std, min and max of the value; nan for an empty one."""
        if self.value.size == 0:
            return dict.fromkeys(("mean", "std", "min", "max"), float("nan"))
        numbers = self.value.real.astype(np.float64)
        low, high = float(numbers.min()), float(numbers.max())
        with np.errstate(over="ignore", invalid="ignore"):
            return {"mean": float(numbers.mean()), "std": float(numbers.std()), "min": low, "max": high}

    @property
    def axes(self) -> str:
        """The axes by letter, "B S H"."""
        return self.about.axes_of(self.value.shape)

    @property
    def equation(self) -> str:
        """How the value is computed."""
        return self.about.equation


class Trace:
    """The values of a forward pass in the order of computation, each array once, under the first of its names.

    Iterating gives `TracedValue`s; `trace[name]` finds one under any of its names, or by the end of a name if that is no other's;
    `trace.only("layer.0")` keeps those whose name contains a text. It prints as a table, in Jupyter as HTML.
    """

    def __init__(self, values: list[TracedValue], text: str = ""):
        self._values, self._text = values, text
        self._by_name = {name: value for value in values for name in (value.name, *value.aliases)}

    def __iter__(self) -> Iterator[TracedValue]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __getitem__(self, name: str) -> TracedValue:
        if not isinstance(name, str):
            raise TypeError(f"name: must be a string, got {name!r}")
        if name in self._by_name:
            return self._by_name[name]
        ending = {known: value for known, value in self._by_name.items() if known.endswith("." + name)}
        if len({id(value) for value in ending.values()}) == 1:
            return next(iter(ending.values()))
        if ending:
            raise KeyError(
                f"{name!r} is the end of several names: {', '.join(list(ending)[:5])}{', ...' if len(ending) > 5 else ''}"
            )
        raise KeyError(f"{name!r} is not in this trace; it has {', '.join(self.names()[:5])}, ...")

    def first_non_finite(self) -> TracedValue | None:
        """The first value, in the order of computation, that holds nan or an infinity."""
        return next((value for value in self if not np.all(np.isfinite(value.value))), None)

    def names(self) -> list[str]:
        """The first name of every value."""
        return [value.name for value in self]

    def only(self, text: str) -> "Trace":
        """The values of which a name contains `text`; the table shows that name, too, if it is not the first."""
        return Trace([value for value in self if any(text in name for name in (value.name, *value.aliases))], text)

    def title(self, value: TracedValue) -> str:
        """The name of a value, and the name by which `only` found it if that is another."""
        if self._text in value.name:
            return value.name
        alias = next(alias for alias in value.aliases if self._text in alias)
        mine, other = value.name.split("."), alias.split(".")
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(mine, other, strict=False)))
        return f"{value.name} = {'...' if shared else ''}{'.'.join(other[shared:])}"

    def table(self) -> Table:
        """name, shape, axes, statistics, size of the gradient, equation."""
        graded = any(value.gradient is not None for value in self)
        header = ["name", "shape", "axes", "mean", "std", "min", "max", *(["|gradient|"] if graded else []), "equation"]
        return Table(
            header, [[self.title(value), *table_row(value, graded)] for value in self], right=range(3, 8 if graded else 7)
        )

    def __repr__(self) -> str:
        return str(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def table_row(value: TracedValue, graded: bool) -> list[str]:
    """One line of the table, after the name."""
    shape = "x".join(map(str, value.value.shape)) or "()"
    statistics = [f"{number:.3g}" for number in value.statistics.values()]
    size = ["" if value.gradient is None else f"{float(np.linalg.norm(value.gradient.reshape(-1))):.3g}"] if graded else []
    return [shape, value.axes, *statistics, *size, value.equation]


def trace(out: ModelOutput, grads: Mapping[str, Any] | None = None) -> Trace:
    """Every named value of a call, in the order of computation.

    With `grads`, from `backward(..., intermediates=True)`, each has its gradient. Parameters are left out, and a value that goes
    by several names (a layer's output is the next one's input) stands under the first.

    The gradient is that of the value itself; under another name (`...query.x`) `grads` may have only a part of it.

    Raises ValueError if the call did not keep its values (keep_cache=False), or if the gradients are not those of its values.
    """
    if not isinstance(out, ModelOutput):
        raise TypeError(f"out: must be the ModelOutput of a call (return_dict=True), got {type(out).__name__}")
    if out.cache is None:
        raise ValueError("out: was computed with keep_cache=False, so that there are no values to show")
    if grads is not None and not any(not lookup(name).is_parameter for name in grads if name != "inputs_embeds"):
        raise ValueError("grads: hold no gradient of a value; ask for them by backward(..., intermediates=True)")
    found: dict[tuple, TracedValue] = {}
    for name, value in flatten(out.cache).items():
        if not hasattr(value, "shape") or lookup(name).is_parameter:
            continue
        if grads is not None and name in grads and grads[name].shape != value.shape:
            raise ValueError(
                f"grads: that of {name} has the shape {grads[name].shape}, the value {value.shape}: not of this call"
            )
        key = identity(value)
        if key in found:
            found[key].aliases.append(name)
        else:
            found[key] = TracedValue(name, value, lookup(name), None if grads is None else grads.get(name))
    return Trace(list(found.values()))


def identity(value: Any) -> tuple:
    """What tells arrays apart: the memory and how it is read; a number by itself is told by its object."""
    if not isinstance(value, np.ndarray):
        return ("object", id(value))
    return (value.__array_interface__["data"][0], value.shape, value.strides, value.dtype.str)
