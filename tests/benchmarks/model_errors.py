"""Did the sides compute the same? Errors in float32, judged by those of the reference.

An error is |result - truth| / |truth| in the L2 norm; the truth is what the reference computes in float64, and the floor is
the error of its own float32.
"""

import math
import re

Errors = dict[str, list[float]]  # by name: the squared error and the squared norm
LIMIT = 5.0  # floors
RESOLUTION = 2.0**-23  # of float32: a single number may be nearer to the truth by chance
ZERO = "attention.self.key.bias"  # a softmax does not see what this bias adds, so its gradient is nothing but rounding


def judge(who: str, ours: Errors, reference: Errors) -> str:
    """Both sides' errors in a few words. Raises AssertionError where ours are too large."""
    if ours.keys() != reference.keys():
        raise AssertionError(f"{who}: has other results than the reference: {sorted(ours.keys() ^ reference.keys())}")
    words = [single(who, name, ours, reference) for name in ("last_hidden_state", "logits", "loss") if name in ours]
    parameters = [name for name in ours if "." in name]
    if parameters:
        words.append(together(who, parameters, ours, reference))
    return "; ".join(words)


def error(errors: Errors, *names: str) -> float:
    """The relative error of some tensors, taken as one."""
    wrong, norm = (sum(errors[name][part] for name in names) for part in (0, 1))
    return math.sqrt(wrong / norm)


def single(who: str, name: str, ours: Errors, reference: Errors) -> str:
    own, theirs = error(ours, name), error(reference, name)
    check(who, name, own, max(theirs, RESOLUTION) if name == "loss" else theirs)
    return f"{name} {own:.1e} / {theirs:.1e}"


def together(who: str, names: list[str], ours: Errors, reference: Errors) -> str:
    """All parameters' gradients (or steps) as one, and then each gradient by itself.

    Not each step: the first step of AdamW is the gradient over its own size, so that where the gradient is hardly more than
    rounding the step is a matter of chance, and a few such numbers are most of a small tensor's error.
    """
    own, theirs = error(ours, *names), error(reference, *names)
    check(who, "all parameters", own, theirs)
    if "loss" not in ours:
        return f"steps {own:.1e} / {theirs:.1e}"
    floors = floors_by_kind(names, reference)
    ratios = {name: error(ours, name) / floors[kind(name)] for name in names if kind(name) in floors}
    worst = max(ratios, key=lambda name: ratios[name])
    for name, ratio in ratios.items():
        check(who, name, ratio * floors[kind(name)], floors[kind(name)])
    return f"parameters {own:.1e} / {theirs:.1e}, worst {ratios[worst]:.1f} floors ({worst})"


def floors_by_kind(names: list[str], reference: Errors) -> dict[str, float]:
    """The root mean square of the reference's errors over all layers: one small tensor's floor would be a matter of chance."""
    squares: dict[str, list[float]] = {}
    for name in names:
        if not name.endswith(ZERO):
            squares.setdefault(kind(name), []).append(error(reference, name) ** 2)
    return {name: math.sqrt(sum(values) / len(values)) for name, values in squares.items()}


def kind(name: str) -> str:
    """The name of a parameter without the number of its layer."""
    return re.sub(r"\.layer\.\d+\.", ".layer.", name)


def check(who: str, name: str, own: float, floor: float) -> None:
    if not own <= LIMIT * floor:  # a nan is wrong, too
        raise AssertionError(f"{who}: {name} has an error of {own:.2e}; the reference's own float32 has {floor:.2e}")
