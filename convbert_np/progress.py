"""A progress bar of one line on a terminal."""

import shutil
import sys
import time
from collections.abc import Callable
from typing import Self, TextIO

INTERVAL = 0.1  # seconds at least between two drawings
BAR = 24  # characters

Tell = Callable[[str, int, int | None], object]


class Progress:
    """Shows how much of a task is done: share, bar, count, rate and time left, on one line that is redrawn.

        with Progress("merges", total=30000, unit="pieces") as progress:
            for ...:
                progress.advance()

    title  what is being done
    total  the count at the end; None if it is not known: the count, the rate and the time so far are shown
    unit   what is counted, in the plural
    show   True or False: draw or do not; None: draw if `file` is a terminal
    tell   called with (title, done, total) in place of drawing
    file   where to draw, sys.stderr unless given
    clock  the seconds passed, as a function

    It is drawn, or told, at most ten times a second, and at the end of the `with` block.
    """

    def __init__(
        self,
        title: str,
        total: int | None = None,
        unit: str = "",
        *,
        show: bool | None = None,
        tell: Tell | None = None,
        file: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.title, self.total, self.unit = title, total, unit
        self.file = sys.stderr if file is None else file
        self.show = is_terminal(self.file) if show is None else show
        self.tell, self.clock = tell, clock
        self.done = self.before = 0
        self.start = self.drawn = clock()
        self._width = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._draw()
        if self.show and self.tell is None:
            self.file.write("\n")
            self.file.flush()

    def begin_at(self, done: int) -> None:
        """So much was done before this: it counts as done, but not for the rate."""
        self.done = self.before = done

    def advance(self, number: int = 1) -> None:
        """Count `number` more as done."""
        self.update(self.done + number)

    def update(self, done: int) -> None:
        """Set how much is done."""
        self.done = done
        if self.clock() - self.drawn >= INTERVAL:
            self._draw()

    def line(self) -> str:
        """The text to show now."""
        seconds = self.clock() - self.start
        rate = (self.done - self.before) / seconds if seconds > 0 else 0.0
        of = "" if self.total is None else f"/{self.total:,}"
        counted = f"{self.done:,}{of} {self.unit}".rstrip() + f", {number(rate)}/s" * (rate > 0)
        if not self.total:
            return f"{self.title} {counted}, {duration(seconds)}"
        share = min(self.done / self.total, 1.0)
        bar = ("#" * int(BAR * share)).ljust(BAR)
        if share == 1:
            rest = f", {duration(seconds)}"
        else:
            rest = f", {duration((self.total - self.done) / rate)} left" if rate > 0 else ""
        return f"{self.title} {share:4.0%} |{bar}| {counted}{rest}"

    def _draw(self) -> None:
        self.drawn = self.clock()
        if self.tell is not None:
            self.tell(self.title, self.done, self.total)
        elif self.show:
            text = self.line()[: shutil.get_terminal_size().columns - 1]
            self.file.write("\r" + text.ljust(self._width))  # blanks over what a longer line left behind
            self.file.flush()
            self._width = len(text)


def is_terminal(file: TextIO | None) -> bool:
    """Whether the file is an open terminal; None, the stderr of a program without a console, is none."""
    return file is not None and not file.closed and file.isatty()


def number(rate: float) -> str:
    """A rate in whole numbers, or with two digits if it is small."""
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"


def duration(seconds: float) -> str:
    """Seconds as m:ss or h:mm:ss."""
    minutes, second = divmod(round(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"
