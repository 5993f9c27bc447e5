"""The progress bar: what it writes, how often, and when it is silent. Its clock is the test's own."""

import io
import sys

import pytest

from convbert_np import progress
from convbert_np.progress import Progress, duration


class Clock:
    """A clock that the test sets."""

    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """A file that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_line_has_share_bar_count_rate_and_time_left(clock):
    bar = Progress("merges", 4000, "pieces", show=False, clock=clock)
    clock.now = 2.0
    bar.update(1000)
    assert bar.line() == "merges  25% |######                  | 1,000/4,000 pieces, 500/s, 0:06 left"


def test_line_at_the_end_has_the_time_it_took(clock):
    bar = Progress("merges", 4, show=False, clock=clock)
    clock.now = 75.0
    bar.update(4)
    assert bar.line() == f"merges 100% |{'#' * 24}| 4/4, 0.053/s, 1:15"


def test_line_without_a_total_has_no_bar(clock):
    bar = Progress("reading", unit="texts", show=False, clock=clock)
    clock.now = 3.0
    bar.update(1500)
    assert bar.line() == "reading 1,500 texts, 500/s, 0:03"


def test_line_before_anything_is_done_has_no_rate(clock):
    assert Progress("x", 2, show=False, clock=clock).line() == f"x   0% |{' ' * 24}| 0/2"
    assert Progress("x", show=False, clock=clock).line() == "x 0, 0:00"
    assert Progress("x", 0, show=False, clock=clock).line() == "x 0/0, 0:00"


def test_more_than_the_total_is_no_more_than_all(clock):
    bar = Progress("x", 2, show=False, clock=clock)
    clock.now = 1.0
    bar.update(3)
    assert bar.line() == f"x 100% |{'#' * 24}| 3/2, 3/s, 0:01"


def test_it_is_drawn_at_most_ten_times_a_second(clock):
    told = []
    with Progress("x", 100, tell=lambda *state: told.append(state), clock=clock) as bar:
        for step in range(100):
            clock.now = (step + 1) / 64
            bar.advance()
    assert told[-1] == ("x", 100, 100)
    assert [done for _, done, _ in told] == [*range(7, 99, 7), 100], "seven 64ths are the first more than 0.1 s"


def test_a_function_is_told_instead_of_drawing(clock):
    file = Terminal()
    with Progress("x", tell=lambda *state: None, file=file, clock=clock) as bar:
        bar.advance()
    assert file.getvalue() == ""


def test_a_terminal_is_drawn_on_and_another_file_is_not(clock):
    for file, drawn in ((Terminal(), True), (io.StringIO(), False)):
        with Progress("x", 1, file=file, clock=clock) as bar:
            bar.advance()
        assert bool(file.getvalue()) is drawn


def test_drawing_can_be_forced_and_forbidden(clock):
    for file, show in ((Terminal(), False), (io.StringIO(), True)):
        with Progress("x", 1, show=show, file=file, clock=clock) as bar:
            bar.advance()
        assert bool(file.getvalue()) is show


def test_a_shorter_line_covers_the_longer_one_before_it(clock):
    file = Terminal()
    with Progress("x", 1000, file=file, clock=clock) as bar:
        clock.now = 100.0
        bar.update(10)
        clock.now = 101.0
        bar.update(1000)
    _, first, second, third = file.getvalue().split("\r")
    assert first.rstrip() == f"x   1% |{' ' * 24}| 10/1,000, 0.1/s, 2:45:00 left"
    assert second.rstrip() == f"x 100% |{'#' * 24}| 1,000/1,000, 9.9/s, 1:41"
    assert len(second) == len(first) > len(second.rstrip()) and third == second.rstrip() + "\n"


def test_a_line_stays_on_a_narrow_terminal(clock, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    file = Terminal()
    with Progress("merges", 10, file=file, clock=clock):
        pass
    assert file.getvalue() == "\rmerges   0% |      \n"


def test_the_line_is_ended_when_the_task_fails(clock):
    file = Terminal()
    with pytest.raises(KeyError), Progress("x", 1, file=file, clock=clock):
        raise KeyError
    assert file.getvalue().endswith("\n")


def test_stderr_is_looked_up_when_a_bar_is_made_and_may_be_missing(clock, monkeypatch):
    for file in (None, Terminal()):
        monkeypatch.setattr(sys, "stderr", file)
        with Progress("x", 1, clock=clock):
            pass
        assert file is None or file.getvalue()


def test_a_closed_file_is_no_terminal():
    file = Terminal()
    file.close()
    assert not progress.is_terminal(file)


def test_durations():
    assert [duration(seconds) for seconds in (0.4, 59.6, 3599, 3661)] == ["0:00", "1:00", "59:59", "1:01:01"]
