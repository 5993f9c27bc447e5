"""Gradient checks: does a backward compute the derivative of its forward? For any pair of functions, and for whole models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from convbert_np.backend import as_like, to_host
from convbert_np.interface.base import ConvBertPreTrainedModel
from convbert_np.interface.inputs import as_array
from convbert_np.ops.activations import ACTIVATIONS
from convbert_np.tree import flatten, unflatten
from convbert_np.verify.table import Table

METHODS = {"complex": (1e-20, 1e-12), "central": (1e-5, 1e-7)}
SMALL = 1e-3


@dataclass(frozen=True)
class GradientCheck:
    """One gradient against its numerical derivative.

    `error` is the relative L2 error, nan if there is no gradient to compare; `detail` says what is wrong, in words.
    """

    name: str
    error: float
    tolerance: float
    detail: str = ""

    @property
    def ok(self) -> bool:
        """Whether the error is within the tolerance; nan is not."""
        return self.error <= self.tolerance


class GradientReport(list[GradientCheck]):
    """The checks of all gradients of one backward. It prints as a table; `raise_if_wrong` turns a failure into an error."""

    @property
    def ok(self) -> bool:
        """Whether there are checks and all of them passed."""
        return bool(self) and all(check.ok for check in self)

    def raise_if_wrong(self) -> GradientReport:
        """Raise AssertionError that names every wrong gradient; return the report if all are right."""
        if not self.ok:
            raise AssertionError(f"wrong gradients:\n{self.table()}" if self else "there is no gradient to check")
        return self

    def table(self) -> Table:
        """The report as a table."""
        rows = [[c.name, f"{c.error:.1e}", f"{c.tolerance:.0e}", "ok" if c.ok else "WRONG", c.detail] for c in self]
        return Table(["gradient of", "error", "allowed", "verdict", "detail"], rows)

    def __repr__(self) -> str:
        return str(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def check_gradients(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    arguments: Mapping[str, Any],
    method: str = "complex",
    seed: int | np.random.Generator = 0,
    tolerance: float | None = None,
    entries: int = 100,
) -> GradientReport:
    """Compare every gradient that `backward` returns for an argument of `forward` with a numerical derivative.

    `y, cache = forward(**arguments)` and `grads = backward(dy, cache)`; arguments may be nested dicts of arrays, and the
    gradients then are, too. All float64 arrays among the arguments are checked, at `entries` random places of each, for a
    random cotangent dy of order 1, so that no gradient can hide in a sum; where that leaves places out, also along one random
    direction through all of them.

    Methods: "complex" steps along the imaginary axis, f'(x) = Im f(x + ih) / h with h = 1e-20: exact to rounding (1e-12), for
    functions that are analytic; "central" takes (f(x + h) - f(x - h)) / 2h with h = 1e-5: good to 1e-7, for smooth ones.

    Raises ValueError or TypeError for an unknown method, a tolerance or number of entries that would check nothing, arguments
    that are not float64, or a backward that returns no dict. Source: Squire & Trapp 1998 for the complex step.
    """
    step, allowed = known_method(method, tolerance)
    if isinstance(entries, bool) or not isinstance(entries, int) or entries < 1:
        raise ValueError(f"entries: must be an integer of at least 1, got {entries!r}")
    rng = np.random.default_rng(seed)
    flat = flatten(arguments)
    floats = float64_names(flat)
    before = {name: flat[name].copy() for name in floats}
    made = forward(**arguments)
    if not isinstance(made, tuple) or len(made) != 2 or not hasattr(made[0], "dtype"):
        raise TypeError("forward: must return (y, cache), y being one array")
    y, cache = made
    cotangent = as_like(np.asarray(rng.standard_normal(y.shape)), y)
    returned = backward(cotangent, cache)
    if not isinstance(returned, Mapping):
        raise TypeError(f"backward: must return a dict from names to gradients, got {type(returned).__name__}")
    grads = flatten(returned)
    report = GradientReport()
    for name in floats:
        if not np.array_equal(before[name], flat[name], equal_nan=True):
            report.append(GradientCheck(name, float("nan"), allowed, "forward or backward changes this argument"))
            continue
        where = rng.permutation(flat[name].size)[:entries]
        known = {*flat, *(flatten(cache) if isinstance(cache, Mapping) else ())}
        if name not in grads:
            strange = [other for other in grads if other not in known]
            detail = "the backward returns no gradient of this argument" + (f", but one of {strange}" if strange else "")
            report.append(GradientCheck(name, float("nan"), allowed, detail))
            continue
        numeric = [
            derivative(lambda value: objective(forward, flat, value, cotangent), floats, flat, name, k, method, step)
            for k in where
        ]
        check = judge(name, np.array(numeric), grads[name], flat[name], where, allowed)
        if check.ok and flat[name].size > entries:
            check = judge_direction(forward, flat, floats, name, grads[name], cotangent, rng, method, step, allowed)
        report.append(check)
    return report


def known_method(method: str, tolerance: float | None) -> tuple[float, float]:
    """Step and tolerance of a method; a tolerance that is given goes before the method's own."""
    if not isinstance(method, str) or method not in METHODS:
        raise ValueError(f"method: must be one of {sorted(METHODS)}, got {method!r}")
    if tolerance is not None and not 0 < tolerance < 1:
        raise ValueError(f"tolerance: must be above 0 and below 1, got {tolerance!r}")
    return METHODS[method][0], METHODS[method][1] if tolerance is None else tolerance


def float64_names(flat: Mapping[str, Any]) -> list[str]:
    """The arguments that are arrays of float64. Raises ValueError for floats of another size, which would go unchecked."""
    arrays = {name: value for name, value in flat.items() if hasattr(value, "__array_function__") and value.dtype.kind in "fc"}
    for name, value in arrays.items():
        if value.dtype != np.float64 or value.size == 0:
            raise ValueError(f"arguments: {name} must be float64 and not empty to be checked, got {value.dtype} {value.shape}")
    if not arrays:
        raise ValueError("arguments: hold no float64 array, so that there is no gradient to check")
    return list(arrays)


def objective(forward: Callable[..., Any], flat: dict[str, Any], changed: dict[str, Any], cotangent: np.ndarray) -> Any:
    """<cotangent, y> for changed arguments."""
    y, _ = forward(**unflatten(flat | changed))
    return np.sum(cotangent * y)


def derivative(
    function: Callable[[dict[str, Any]], Any],
    floats: list[str],
    flat: dict[str, Any],
    name: str,
    direction: Any,
    method: str,
    step: float,
) -> float:
    """The numerical derivative of `function` along a direction of one argument; a number is the index of one entry."""
    if isinstance(direction, int | np.integer):
        index, direction = direction, np.zeros(flat[name].shape)
        direction.reshape(-1)[index] = 1
    direction = as_like(direction, flat[name])
    if method == "complex":
        values = {key: flat[key].astype(np.complex128) for key in floats}
        return float(np.imag(function(values | {name: values[name] + 1j * step * direction})) / step)
    up, down = (function({name: flat[name] + sign * step * direction}) for sign in (1, -1))
    return float((up - down) / (2 * step))


def judge(
    name: str, numeric: np.ndarray, gradient: Any, argument: np.ndarray, where: np.ndarray, tolerance: float
) -> GradientCheck:
    """Compare a gradient with its numerical derivative at some entries."""
    got, want = (getattr(gradient, "shape", ()), getattr(gradient, "dtype", None)), (argument.shape, argument.dtype)
    if got != want:
        detail = f"the gradient is {got[1]} {got[0]}, the argument {want[1]} {want[0]}"
        return GradientCheck(name, float("nan"), tolerance, detail)
    analytic = to_host(gradient.reshape(-1)[as_like(where, gradient)])
    size, differences = np.linalg.norm(numeric), np.abs(analytic - numeric)
    error = float(np.linalg.norm(differences) / size) if size else float("inf") if np.any(analytic) else 0.0
    if error <= tolerance:
        return GradientCheck(name, error, tolerance)
    worst = int(np.argmax(np.where(np.isnan(differences), np.inf, differences)))
    place = tuple(int(i) for i in np.unravel_index(where[worst], argument.shape))
    detail = f"at {place}: backward {analytic[worst]:.6g}, numerical {numeric[worst]:.6g}"
    if not size and tolerance < 1e-9:
        hint = '; the numerical derivative is 0 everywhere: is the forward analytic? If not, method="central"'
    else:
        hint = scale_hint(analytic, numeric) or place_hint(differences, numeric, where, argument.shape)
    return GradientCheck(name, error, tolerance, detail + hint)


def judge_direction(
    forward: Callable[..., Any], flat: dict[str, Any], floats: list[str], name: str, gradient: Any, cotangent: np.ndarray,
    rng: np.random.Generator, method: str, step: float, tolerance: float,
) -> GradientCheck:  # fmt: skip
    """Compare <gradient, v> with the derivative along a random direction v through all entries of an argument."""
    v = as_like(rng.standard_normal(flat[name].shape), flat[name])
    numeric = derivative(lambda value: objective(forward, flat, value, cotangent), floats, flat, name, v, method, step)
    exact, scale = float(np.sum(gradient * v)), float(np.linalg.norm(gradient))
    error = abs(exact - numeric) / scale if scale else float("inf") if numeric else 0.0
    detail = f"right where it was looked at, but along a random direction: backward {exact:.6g}, numerical {numeric:.6g}"
    return GradientCheck(name, error, tolerance, "" if error <= tolerance else detail)


def scale_hint(analytic: np.ndarray, numeric: np.ndarray) -> str:
    """If the gradient is a constant multiple of the right one, which: a forgotten factor or a sign."""
    square = float(np.dot(numeric, numeric))
    factor = float(np.dot(analytic, numeric)) / square if square else 0.0
    explained = np.linalg.norm(analytic - factor * numeric) <= 1e-6 * np.linalg.norm(analytic)
    return f"; everywhere {factor:.6g} times the right one" if factor and np.all(np.isfinite(analytic)) and explained else ""


def place_hint(differences: np.ndarray, numeric: np.ndarray, where: np.ndarray, shape: tuple[int, ...]) -> str:
    """How many of the entries looked at are wrong, and whether they lie together: all at one index of an axis."""
    wrong = ~(differences <= 1e-6 * np.max(np.abs(numeric)))
    places = np.stack(np.unravel_index(where, shape), axis=-1)
    common = [
        f"index[{axis}] == {places[wrong][0, axis]}"
        for axis, size in enumerate(shape)
        if size > 1 and np.any(wrong) and np.all(places[wrong][:, axis] == places[wrong][0, axis])
    ]
    together = f", all with {' and '.join(common)}" if common and np.sum(wrong) > 1 else ""
    return f"; wrong at {np.sum(wrong)} of {len(where)} places{together}"


def check_model_gradients(
    model: ConvBertPreTrainedModel,
    arguments: Mapping[str, Any],
    cotangents: Mapping[str, Any] | None = None,
    method: str | None = None,
    seed: int = 0,
    tolerance: float | None = None,
) -> GradientReport:
    """Check the backward of a whole float64 model: for every parameter, along one random direction of that parameter.

    `arguments` are those of the call (with labels: the loss is checked too; with training=True the masks of the first call are
    repeated). Without `cotangents` every output gets a random one. The derivative along the direction v must be <gradient, v>.
    `method` is "complex" where the configuration's activation is analytic, else "central".

    The padding row of the word embeddings is left out: its gradient is held at 0 on purpose, whatever the derivative says.
    A gradient far smaller than the rest (the key's bias has none at all: the softmax does not see it) is judged on the scale of
    SMALL times the whole gradient.

    Raises TypeError or ValueError for what is no model, or one of another dtype.
    """
    if not isinstance(model, ConvBertPreTrainedModel) or not isinstance(arguments, Mapping):
        raise TypeError(f"model, arguments: must be a model and a dict, got {type(model).__name__}, {type(arguments).__name__}")
    if model.dtype != np.float64:
        raise ValueError(f"model: must be float64 for a gradient check, got {model.dtype}; use model.astype(np.float64)")
    method = method or ("complex" if ACTIVATIONS[model.config.hidden_act].analytic else "central")
    step, allowed = known_method(method, tolerance)
    rng = np.random.default_rng(seed)
    call: dict[str, Any] = dict(arguments) | {"return_dict": True, "output_attentions": True, "output_hidden_states": True}
    call.pop("keep_cache", None)
    out = model(**call)
    if cotangents is None:
        single = [name for name in out if not isinstance(out[name], tuple)]
        cotangents = {name: as_like(np.asarray(rng.standard_normal(out[name].shape)), out[name]) for name in single}
    grads = model.backward(out, cotangents)
    directions = {name: as_like(rng.standard_normal(g.shape) / np.sqrt(g.size), g) for name, g in grads.items()}
    if model.config.pad_token_id is not None:
        directions[f"{model.prefix}embeddings.word_embeddings.weight"][model.config.pad_token_id] = 0
    exact = {name: float(np.sum(grads[name] * v)) for name, v in directions.items()}
    scale = SMALL * float(np.linalg.norm(list(exact.values())))
    twin = model.astype(np.complex128) if method == "complex" else model.astype(np.float64)
    call |= {"rng": out.cache} if call.get("training") else {}
    if call.get("inputs_embeds") is not None:
        call["inputs_embeds"] = as_array(call["inputs_embeds"], "inputs_embeds").astype(twin.dtype)
    report = GradientReport()
    for name, direction in directions.items():
        numeric = directional_derivative(twin, call, cotangents, name, direction, method, step)
        error = abs(exact[name] - numeric) / max(abs(numeric), scale) if scale else float(exact[name] != numeric)
        detail = f"along a random direction: backward {exact[name]:.6g}, numerical {numeric:.6g}"
        report.append(GradientCheck(name, error, allowed, "" if error <= allowed else detail))
    return report


def directional_derivative(
    twin: ConvBertPreTrainedModel, call: dict, cotangents: Mapping[str, Any], name: str, v: np.ndarray, method: str, step: float
) -> float:
    """The derivative of sum_o <R_o, output_o> along the direction v of one parameter."""
    parameters = twin.named_parameters()

    def value_at(change: Any) -> Any:
        twin.params = unflatten(parameters | {name: parameters[name] + change})
        out = twin(**call, keep_cache=False)
        twin.params = unflatten(parameters)
        return sum(weighted(out, output, cotangent) for output, cotangent in cotangents.items())

    if method == "complex":
        return float(np.imag(value_at(1j * step * v)) / step)
    return float((value_at(step * v) - value_at(-step * v)) / (2 * step))


def weighted(out: Any, name: str, cotangent: Any) -> Any:
    """<cotangent, output>, for one output, one of a list ("hidden_states.1"), or a list with None for those that do not count."""
    base, _, index = name.partition(".")
    value = out[base]
    if index:
        return np.sum(cotangent * value[int(index)])
    if isinstance(value, tuple):
        return sum(np.sum(c * v) for c, v in zip(cotangent, value, strict=True) if c is not None)
    return np.sum(cotangent * value)
