"""Trees: nested dicts whose key path, joined by dots, is the name of a parameter, a value or a gradient."""

from collections.abc import Mapping
from typing import Any

Tree = dict[str, Any]


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The leaves of a nested dict under their dotted paths, in insertion order. Raises ValueError for a key with a dot."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if not isinstance(key, str) or "." in key:
            raise ValueError(f"tree: a key must be a string without a dot, got {key!r}")
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return flat


def unflatten(flat: Mapping[str, Any]) -> Tree:
    """The nested dict whose dotted paths are the given names; the inverse of `flatten`.

    Raises ValueError if one name is the beginning of another: it would be a leaf and a branch.
    """
    tree: Tree = {}
    for name, leaf in flat.items():
        *path, last = name.split(".")
        node = tree
        for key in path:
            node = node.setdefault(key, {})
            if not isinstance(node, dict):
                raise ValueError(f"flat: {name!r} clashes with a shorter name, which is a leaf")
        if last in node:
            longer = next(other for other in flat if other.startswith(f"{name}."))
            raise ValueError(f"flat: {name!r} clashes with {longer!r}, which makes it a branch")
        node[last] = leaf
    return tree


def select(tree: Mapping[str, Any], like: Mapping[str, Any]) -> Tree:
    """The part of `tree` whose paths exist in `like`: `select(gradients, params)` keeps the parameters' own."""
    return {
        key: select(value, like[key]) if isinstance(value, Mapping) else value
        for key, value in tree.items()
        if key in like and isinstance(value, Mapping) == isinstance(like[key], Mapping)
    }
