"""Metrics of named entities, counted as conlleval counts them: whole entities, by type and exact boundaries."""

from collections.abc import Sequence
from typing import NamedTuple

from convbert_np.metrics.classification import Counts, accuracy, counts_by_class

OUTSIDE = "O"
SINGLE, BEGINS, ENDS = "S", ("B", "S", "U"), ("E", "L", "S", "U")
PREFIXES = ("B", "I", "M", *ENDS)


class Entity(NamedTuple):
    """The words of a sentence from `start` up to, not including, `end` are an entity of this type."""

    start: int
    end: int
    type: str


def split_tag(tag: str) -> tuple[str, str]:
    """Prefix and type of a tag: "B-PER" is ("B", "PER"). One without a prefix, other than O, is an entity of one word."""
    prefix, dash, kind = tag.partition("-")
    if tag == OUTSIDE:
        return OUTSIDE, ""
    return (prefix, kind) if dash and prefix in PREFIXES else (SINGLE, tag)


def entities(tags: Sequence[str]) -> list[Entity]:
    """The entities that the tags of a sentence describe.

    A new one begins at B- (S-, U-), after E- (L-, S-, U-), after O, and where the type changes. So IOB1, in which I- begins an
    entity too, IOB2, IOBES and BILOU need not be told apart, and a sequence that breaks their rules still has a meaning.

    Source: conlleval of the CoNLL-2000 shared task.
    """
    found: list[Entity] = []
    previous = (OUTSIDE, "")
    for place, tag in enumerate(tags):
        prefix, kind = split_tag(tag)
        goes_on = prefix not in BEGINS and previous[0] != OUTSIDE and previous[0] not in ENDS and previous[1] == kind
        if prefix != OUTSIDE and goes_on:
            found[-1] = found[-1]._replace(end=place + 1)
        elif prefix != OUTSIDE:
            found.append(Entity(place, place + 1, kind))
        previous = (prefix, kind)
    return found


def entity_counts(true: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> dict[str, Counts]:
    """The counts for each type, over sentences; an entity is hit if a prediction has its type and both of its boundaries."""
    sets = ([set(entities(tags)) for tags in sentences] for sentences in (true, predicted))
    return counts_by_class(*sets, class_of=lambda entity: entity.type)


def entity_scores(true: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> dict[str, float]:
    """precision, recall and f1 of all entities together, and accuracy, the share of words whose tag is right.

    Raises ValueError if a sentence has not as many predicted tags as true ones, or if there is no word.
    """
    counts = entity_counts(true, predicted).values()
    for t, p in zip(true, predicted, strict=True):
        if len(t) != len(p):
            raise ValueError(f"predicted: must be a tag for each of the {len(t)} words of a sentence, got {len(p)}")
    total = Counts(*(sum(each[place] for each in counts) for place in range(3)))
    right = accuracy([tag for tags in true for tag in tags], [tag for tags in predicted for tag in tags])
    return {"precision": total.precision, "recall": total.recall, "f1": total.f1, "accuracy": right}
