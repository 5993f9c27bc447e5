"""Cutting one text or a pair to a length, as each of the two classes does it.

The slow class returns what is left and the ids that it took off; the fast class returns windows that follow one
another over the text. For a pair under "longest_first" they differ in which side loses the odd token.

Source: PreTrainedTokenizerBase.truncate_sequences of transformers 4.37.2; truncate_encodings and Encoding.truncate of
tokenizers 0.15.2.
"""

from collections.abc import Sequence

from convbert_np.tokenization.notices import warn

Window = tuple[int, int]

SIDES = ("right", "left")


def cut_off(ids: list[int], remove: int, stride: int, side: str) -> tuple[list[int], list[int]]:
    """Take `remove` ids off one side: what is left, and what was taken off with `stride` ids more."""
    taken = min(len(ids), stride + remove)
    if side == "left":
        return ids[remove:], ids[:taken]
    return ids[:-remove], ids[-taken:]


def shares(first: int, second: int, remove: int) -> tuple[int, int]:
    """How many ids each of a pair loses: first the longer one its surplus, then both half, the second the odd one.

    If the first is the longer, it loses its surplus and the smaller half of the rest.
    """
    surplus = min(abs(first - second), remove)
    rest = remove - surplus
    if first > second:
        return surplus + rest // 2, rest - rest // 2
    return rest // 2, surplus + rest - rest // 2


def truncate_slow(
    ids: list[int], pair_ids: list[int] | None, remove: int, strategy: str, stride: int, side: str, verbose: bool = True
) -> tuple[list[int], list[int] | None, list[int]]:
    """The ids of both texts with `remove` of them taken off, and those taken off (none for a pair under longest_first).

    Where the text to be cut has no more than `remove` ids nothing is cut, and a warning is given if verbose.
    """
    if remove <= 0 or strategy == "do_not_truncate":
        return ids, pair_ids, []
    if strategy == "longest_first" and pair_ids is not None:
        first, second = shares(len(ids), len(pair_ids), remove)
        if side == "left":
            return ids[first:], pair_ids[second:], []
        return ids[: max(len(ids) - first, 0)], pair_ids[: max(len(pair_ids) - second, 0)], []
    target = pair_ids if strategy == "only_second" else ids
    if target is None:
        return ids, pair_ids, []
    if len(target) <= remove:
        which = "second" if strategy == "only_second" else "first"
        message = (
            f"truncation={strategy!r} cannot take {remove} ids off the {which} text, which has {len(target)}: nothing is cut"
        )
        if verbose:
            warn(message)
        return ids, pair_ids, []
    left, overflowing = cut_off(target, remove, stride, side)
    return (ids, left, overflowing) if strategy == "only_second" else (left, pair_ids, overflowing)


def windows(length: int, limit: int, stride: int, side: str) -> list[Window]:
    """The (start, end) of the windows of at most `limit` over `length` ids; each overlaps the one before by `stride`."""
    if limit >= length:
        return [(0, length)]
    if limit == 0:
        return [(0, 0), (0, length)]
    if stride >= limit:
        raise ValueError(f"stride must be smaller than the {limit} ids that max_length leaves for the text, not {stride}")
    found = []
    for step in range(0, length, limit - stride):
        start, end = (step, min(step + limit, length)) if side == "right" else (max(length - step - limit, 0), length - step)
        found.append((start, end))
        if (end == length) if side == "right" else (start == 0):
            break
    return found


def fair_lengths(first: int, second: int, limit: int) -> tuple[int, int]:
    """The lengths that the two of a pair keep within `limit` under "longest_first" (fast class)."""
    short, long = sorted((first, second))
    long = short if short > limit else max(short, limit - short)
    if short + long > limit:
        short, long = limit // 2, limit // 2 + limit % 2
    return (long, short) if first > second else (short, long)


def truncate_fast(lengths: Sequence[int], limit: int, strategy: str, stride: int, side: str) -> list[list[Window]]:
    """The windows over each of one or two texts; the first of each is what the encoding itself holds.

    Raises ValueError where a strategy cannot be followed: only_second without a second text, or a text that is too
    short to lose all that must go.
    """
    remove = sum(lengths) - limit
    if remove <= 0 or strategy == "do_not_truncate":
        return [[(0, length)] for length in lengths]
    if limit == 0:
        return [windows(length, 0, stride, side) for length in lengths]
    if strategy == "longest_first":
        kept = fair_lengths(lengths[0], lengths[1], limit) if len(lengths) == 2 else (limit,)
        return [windows(length, keep, stride, side) for length, keep in zip(lengths, kept, strict=True)]
    index = ("only_first", "only_second").index(strategy)
    if index >= len(lengths):
        raise ValueError('truncation="only_second" needs a second text (text_pair)')
    if lengths[index] <= remove:
        which = ("first", "second")[index]
        raise ValueError(
            f"truncation={strategy!r} cannot take {remove} ids off the {which} text, which has {lengths[index]}: "
            "the sequence to truncate is too short to respect max_length"
        )
    cut = [[(0, length)] for length in lengths]
    cut[index] = windows(lengths[index], lengths[index] - remove, stride, side)
    return cut
