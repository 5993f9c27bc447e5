"""A bounded memory of what a function returned, and a pause of Python's garbage collector."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

Value = TypeVar("Value")

PORTIONS = 8


class Cache(dict[str, Value], Generic[Value]):
    """A dict that computes what it lacks, and forgets: `cache[key]` is `function(key)`.

    It holds at most `entries` values; when it is full it forgets every eighth. So a hit costs no more than one of a
    dict, and of a text with more keys than fit, met again and again, most are known each time; to forget the oldest would
    forget each just before it is met again. Keys of more than `longest` characters are never kept.
    """

    def __init__(self, function: Callable[[str], Value], entries: int, longest: int):
        super().__init__()
        self.function = function
        self.entries = entries
        self.longest = longest

    def __missing__(self, key: str) -> Value:
        """Compute the value, and keep it."""
        value = self.function(key)
        self.put(key, value)
        return value

    def put(self, key: str, value: Value) -> None:
        """Keep a value, as if it had been computed here."""
        if len(key) <= self.longest:
            self.make_room(1)
            self[key] = value

    @property
    def portion(self) -> int:
        """How many values are forgotten at once: so many new ones fit in."""
        return max(self.entries // PORTIONS, 1)

    def make_room(self, count: int) -> None:
        """Forget values, spread evenly over all, if so many more do not fit.

        Those that stay move into a new table: in the old one every deleted entry would keep its place, until a table
        of twice the size takes over.
        """
        if len(self) + count <= self.entries:
            return
        keys = list(self)  # in one step, for another thread may change the cache meanwhile
        del keys[:: max(min(PORTIONS, len(keys) // max(count, 1)), 1)]
        values = list(map(self.get, keys))
        self.clear()
        self.update((key, value) for key, value in zip(keys, values, strict=True) if value is not None)


@contextmanager
def collector_paused() -> Iterator[None]:
    """Do not look for reference cycles meanwhile.

    A batch makes millions of small lists and tuples, no cycle among them; to look through them again and again takes
    a fifth of the time. The collector is left as it was found, whatever happens.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
