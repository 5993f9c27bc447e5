"""What a call of a model returns."""

from collections.abc import Iterator
from typing import Any

EXTRAS = ("dynamic_kernels", "cache")


class ModelOutput:
    """The named results of a call, by attribute (`out.logits`), key (`out["logits"]`) or index (`out[0]`).

    As in the reference, index, length, iteration and `to_tuple` see the documented results only, without those that are None;
    an attribute that is None may still be asked for. Beyond the reference there are, by attribute and key:
    `dynamic_kernels`, the convolution kernels (B, S, N, K) of each layer, and `cache`, the tree of all named values.
    Source: transformers.utils.ModelOutput.
    """

    def __init__(self, results: dict[str, Any], once: bool = False, **extras: Any):
        vars(self).update(_results=results, _extras=extras, _once=once)

    def __getattr__(self, name: str) -> Any:
        for values in (self.__dict__.get("_results", {}), self.__dict__.get("_extras", {})):
            if name in values:
                return values[name]
        raise AttributeError(f"this output has no {name!r}; it has {[*self.__dict__.get('_results', {}), *EXTRAS]}")

    def take_cache(self) -> bool:
        """Part with the cache if it was kept for one way back only; whether that is so."""
        if self._once:
            vars(self)["_extras"] = self._extras | {"cache": None}
        return self._once

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{name}: the results of a call are not to be changed")

    def __getitem__(self, key: str | int | slice) -> Any:
        if not isinstance(key, str):
            return self.to_tuple()[key]
        value = self._results.get(key, self._extras.get(key))
        if value is None:
            extras = [name for name in EXTRAS if self._extras.get(name) is not None]
            raise KeyError(f"{key!r} is not in this output; it has {[*self.keys(), *extras]}")
        return value

    def keys(self) -> list[str]:
        """The names of the results that are not None."""
        return [name for name, value in self._results.items() if value is not None]

    def values(self) -> list[Any]:
        """The results that are not None."""
        return [value for value in self._results.values() if value is not None]

    def items(self) -> list[tuple[str, Any]]:
        """Names and results, without those that are None."""
        return list(zip(self.keys(), self.values(), strict=True))

    def to_tuple(self) -> tuple[Any, ...]:
        """The results that are not None, in documented order: what return_dict=False gives."""
        return tuple(self.values())

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def __contains__(self, name: object) -> bool:
        return name in self.keys()

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._results, *EXTRAS]

    def __repr__(self) -> str:
        lines = [f"  {name}: {describe(value)}" for name, value in self.items()]
        kernels = self._extras.get("dynamic_kernels", ())
        cache = (
            "kept; see trace(out)" if self._extras.get("cache") is not None else "none (keep_cache=False, or gone back through)"
        )
        return "\n".join(["ModelOutput", *lines, f"  dynamic_kernels: {describe(kernels)}", f"  cache: {cache}"])


def describe(value: Any) -> str:
    """One line on an array, or on a tuple of arrays."""
    if isinstance(value, tuple):
        return f"{len(value)} x {describe(value[0])}" if value else "none (no layers)"
    return f"{value:.6g}" if value.ndim == 0 else f"{value.dtype} {value.shape}"
