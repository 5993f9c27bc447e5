"""A bounded memory of what a function returned, and a pause of Python's garbage collector."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Cache(dict[str, Value], Generic[Value]):
    """A dict that computes what it lacks, and forgets: `cache[key]` is `function(key)`.

    It holds at most `entries` values; when it is full it forgets the older half. So a hit costs no more than one of
    a dict. Keys of more than `longest` characters are never kept.
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

    def make_room(self, count: int) -> None:
        """Forget the older half if so many more values do not fit."""
        if len(self) + count > self.entries:
            for old in list(self)[: max(count, self.entries // 2)]:  # in one step, for another thread may change it meanwhile
                self.pop(old, None)  # another thread may have been here first


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
