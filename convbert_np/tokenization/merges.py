"""The merges of WordPiece training: words cut into pieces, and again and again the best pair made one piece.

Scores change in large numbers: a merge of a and b changes the counts of both, so the scores of every pair that
has one of them, and the total. They are therefore not kept. The pairs stand in blocks of 256, and for each
block an upper bound of its scores is kept. A score rises only where the count of its pair changes or the count
of one of its pieces falls; `merge` then raises the bound of the block. The shrinking total only lowers scores,
which leaves a bound valid. `best` computes the scores of the block with the highest bound, lowers the bound to
what it finds, and has the best pair as soon as a bound is reached. All pairs with that score are remembered, and
those that `merge` lifts to it are added: ties of thousands of rare pairs are then not sought again after each
merge.
"""

from array import array
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from heapq import heappop, heappush
from itertools import pairwise

import numpy as np

from convbert_np.tokenization.wordpiece import CONTINUATION

BLOCK = 256
DECIMALS = 6  # closer scores are a tie: the last bits of a logarithm must not choose the pair

Pair = tuple[int, int]
Rank = tuple[float, str]
Criterion = Callable[[np.ndarray, np.ndarray, np.ndarray, float], np.ndarray]


def likelihood(pair: np.ndarray, first: np.ndarray, second: np.ndarray, total: float) -> np.ndarray:
    """What a merge adds to the log-likelihood of the text: count(ab) log(count(ab) N / (count(a) count(b)))."""
    return pair * np.log(pair * total / (first * second))


def ratio(pair: np.ndarray, first: np.ndarray, second: np.ndarray, total: float) -> np.ndarray:
    """The logarithm of count(ab) / (count(a) count(b)): up to a constant, the gain for one occurrence of the pair."""
    return np.log(pair / (first * second))


def count(pair: np.ndarray, first: np.ndarray, second: np.ndarray, total: float) -> np.ndarray:
    """The count of the pair: byte pair encoding."""
    return pair


CRITERIA: dict[str, Criterion] = {"likelihood": likelihood, "ratio": ratio, "count": count}


def characters(word: str) -> list[str]:
    """The shortest pieces of a word: its characters, all but the first with "##" before them."""
    return [word[0], *(CONTINUATION + character for character in word[1:])]


def replace(word: list[int], first: int, second: int, merged: int) -> list[int]:
    """The word with `merged` for every first, second, from the left: in a a a, only the first two are merged."""
    replaced = []
    position, last = 0, len(word) - 1
    while position <= last:
        if position < last and word[position] == first and word[position + 1] == second:
            replaced.append(merged)
            position += 2
        else:
            replaced.append(word[position])
            position += 1
    return replaced


class Merger:
    """Words in pieces, and the counts of the pieces and of the pairs of neighbours.

    frequencies    how often each word occurs; no word is empty
    criterion      "likelihood", "ratio" or "count", see CRITERIA
    min_frequency  a pair that occurs less often is not merged

    A pair is counted at every place where its pieces stand side by side: a a a has two pairs a a.

    Attributes: `pieces`, the text of every piece by id, in the order in which they were made; `counts`, how often
    each of them occurs, an array of at least that length; `total`, how many pieces the text has. The result
    depends on the frequencies alone, not on their order.
    """

    def __init__(self, frequencies: Mapping[str, int], criterion: str = "likelihood", min_frequency: int = 1):
        self.score = CRITERIA[criterion]
        self.min_frequency = min_frequency
        self.frequencies = list(frequencies.values())
        self.pieces = sorted({piece for word in frequencies for piece in characters(word)})
        ids = {piece: number for number, piece in enumerate(self.pieces)}
        self.words = [[ids[piece] for piece in characters(word)] for word in frequencies]
        self.counts = np.zeros(2 * len(self.pieces) + 1)
        self.total = 0.0
        self.slots: dict[Pair, int] = {}
        self.places: defaultdict[Pair, list[int]] = defaultdict(list)  # the words a pair stands in, or once stood in
        self.neighbours: defaultdict[int, array] = defaultdict(lambda: array("q"))  # the slots of the pairs of a piece
        self.used = 0  # slots
        self.pairs = np.zeros((2, BLOCK), np.intp)
        self.pair_counts = np.zeros(BLOCK)
        self.bounds = np.full(1, -np.inf)
        self.top = np.inf  # the score of the remembered pairs, and these as a heap
        self.tied: list[tuple[Rank, int]] = []
        self._count_all()

    def _count_all(self) -> None:
        changes: defaultdict[Pair, int] = defaultdict(int)
        for index, (word, frequency) in enumerate(zip(self.words, self.frequencies, strict=True)):
            for piece in word:
                self.counts[piece] += frequency
            for pair in pairwise(word):
                changes[pair] += frequency
                self.places[pair].append(index)
        self.total = float(self.counts.sum())
        self._raise(self._change(changes))

    def best(self) -> int | None:
        """The slot of the pair with the highest score; None if no pair occurs often enough.

        Of equal scores the pair that occurs more often is taken, then the one whose merged text comes first by
        code point.
        """
        while (top := self.bounds.max()) > -np.inf:
            if top != self.top or not self.tied:
                self._gather(top)
            while self.tied and not self._is_tied(*self.tied[0]):
                heappop(self.tied)
            if self.tied:
                return self.tied[0][1]
        return None

    def _gather(self, top: float) -> None:
        """Find the pairs whose score is `top`, the highest bound, and lower the bounds of blocks without one."""
        self.top, self.tied = top, []
        for block in np.flatnonzero(self.bounds == top):
            slots = np.arange(block * BLOCK, (block + 1) * BLOCK)
            scores = self._scores(slots)
            self.bounds[block] = scores.max()
            self._remember(slots[scores == top])

    def _remember(self, slots: np.ndarray) -> None:
        for slot in slots.tolist():
            heappush(self.tied, (self._rank(slot), slot))

    def _rank(self, slot: int) -> Rank:
        return -self.pair_counts[slot], self.merged(slot)

    def _is_tied(self, rank: Rank, slot: int) -> bool:
        """Whether a remembered pair still has the highest score, and the count by which it was ranked."""
        return self._scores(np.array([slot]))[0] == self.top and rank[0] == -self.pair_counts[slot]

    def merged(self, slot: int) -> str:
        """The text of the piece that a merge makes of the pair."""
        first, second = self.pairs[:, slot]
        return self.pieces[first] + self.pieces[second].removeprefix(CONTINUATION)

    def merge(self, slot: int) -> int:
        """Make the pair one piece in all words; the id of the piece.

        The piece is a new one. What happens between two borders of pieces does not depend on what stands beyond
        them, so wherever its text is cut off from its neighbours it has been cut in the same two.
        """
        first, second = (int(piece) for piece in self.pairs[:, slot])
        merged = len(self.pieces)
        self.pieces.append(self.merged(slot))
        self.counts = grown(self.counts, len(self.pieces), 0)
        changes: defaultdict[Pair, int] = defaultdict(int)
        times = 0
        for index in self.places[first, second]:
            word, frequency = self.words[index], self.frequencies[index]
            shorter = replace(word, first, second, merged)
            times += frequency * (len(word) - len(shorter))
            if len(shorter) < len(word):
                self._exchange(index, shorter, merged, changes)
        self.counts[[first, second]] -= times if first != second else 2 * times
        self.counts[merged] = times
        self.total -= times
        slots = self._change(changes)
        self._raise(np.concatenate([slots, self._around(first), self._around(second)]))
        return merged

    def _exchange(self, index: int, shorter: list[int], merged: int, changes: defaultdict[Pair, int]) -> None:
        """Put the shorter form in the place of a word, and note how the counts of the pairs change."""
        word, frequency = self.words[index], self.frequencies[index]
        self.words[index] = shorter
        for pair in pairwise(word):
            changes[pair] -= frequency
        for pair in pairwise(shorter):
            changes[pair] += frequency
            if merged in pair:
                self.places[pair].append(index)

    def _scores(self, slots: np.ndarray) -> np.ndarray:
        """The scores of the pairs in the slots, -inf where they may not be merged."""
        counts = self.pair_counts[slots]
        first, second = self.counts[self.pairs[:, slots]]
        scores = self.score(np.maximum(counts, 1), np.maximum(first, 1), np.maximum(second, 1), max(self.total, 1))
        return np.where(counts >= self.min_frequency, np.round(scores, DECIMALS), -np.inf)

    def _raise(self, slots: np.ndarray) -> None:
        """Raise the bounds of the blocks of these slots to the scores in them."""
        scores = self._scores(slots)
        np.maximum.at(self.bounds, slots // BLOCK, scores)
        self._remember(slots[scores == self.top])

    def _change(self, changes: Mapping[Pair, int]) -> np.ndarray:
        """Add to the counts of pairs; the slots of those that changed. A pair that has gone loses its slot."""
        changed = {pair: change for pair, change in changes.items() if change}
        slots = np.array([self._slot(pair) for pair in changed], np.intp)
        self.pair_counts[slots] += list(changed.values())
        for pair, left in zip(changed, self.pair_counts[slots].tolist(), strict=True):
            if not left:
                del self.slots[pair], self.places[pair]
        return slots

    def _slot(self, pair: Pair) -> int:
        """The slot of a pair, a new one if it has none."""
        slot = self.slots.setdefault(pair, self.used)
        if slot == self.used:
            self.used += 1
            self._make_room()
            self.pairs[:, slot] = pair
            for piece in pair:
                self.neighbours[piece].append(slot)
        return slot

    def _make_room(self) -> None:
        self.pair_counts = grown(self.pair_counts, self.used, 0)
        self.pairs = grown(self.pairs, self.used, 0)
        self.bounds = grown(self.bounds, len(self.pair_counts) // BLOCK, -np.inf)

    def _around(self, piece: int) -> np.ndarray:
        """The slots of the pairs that have the piece; those of pairs that have gone are forgotten."""
        slots = np.array(self.neighbours[piece], np.intp)
        living = slots[self.pair_counts[slots] > 0]
        if len(living) < len(slots) // 2:
            self.neighbours[piece] = array("q", living.tolist())
        return living


def grown(values: np.ndarray, size: int, fill: float) -> np.ndarray:
    """The array, doubled along its last axis and filled up if it is shorter than `size`."""
    if values.shape[-1] >= size:
        return values
    return np.concatenate([values, np.full_like(values, fill)], axis=-1)


def make_pieces(merger: Merger, wanted: int, known: Collection[str]) -> Iterator[str]:
    """Merge, and yield each piece that is not known already, until there are `wanted` or no pair is left."""
    made = 0
    while made < wanted and (slot := merger.best()) is not None:
        piece = merger.pieces[merger.merge(slot)]
        if piece not in known:
            made += 1
            yield piece
