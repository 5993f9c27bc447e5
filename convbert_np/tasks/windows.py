"""Texts that are longer than a row: overlapping windows, and which of them sees the most around a token."""

from collections.abc import Sequence

import numpy as np


def windows(number: int, room: int, stride: int) -> list[tuple[int, int]]:
    """Windows (start, end) of at most `room` tokens over a text of so many, of which two neighbours share `stride`.

    The stride is at most half of the room. All of the text that is no longer than the stride lies whole in some window. One
    window where the text fits, or is empty. Raises ValueError without room.
    """
    if room < 1:
        raise ValueError(f"length: leaves {room} tokens for the text, and must leave one at least")
    step = room - min(stride, room // 2)
    starts = range(0, max(1, number - room + step), step)
    return [(start, min(start + room, number)) for start in starts]


def best_windows(number: int, spans: Sequence[tuple[int, int]]) -> np.ndarray:
    """For each token the window in which it is farthest from an edge that cuts the text; the first of equals. Shape (number,)."""
    places = np.arange(number)
    context = []
    for start, end in spans:
        before = places - start if start else np.full(number, number)
        after = end - 1 - places if end < number else np.full(number, number)
        context.append(np.where((places >= start) & (places < end), np.minimum(before, after), -1))
    return np.argmax(context, axis=0)
