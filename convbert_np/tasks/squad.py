"""Questions and answers in the JSON of SQuAD 1.1 and 2.0."""

import os
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from convbert_np.tasks.files import read_json


class Answer(NamedTuple):
    """A text and the character of the context at which it begins; -1: it is nowhere in it."""

    text: str
    start: int


class Question(NamedTuple):
    """A question about a context, and its answers: () for none, None if they are not known."""

    id: str
    question: str
    context: str
    answers: tuple[Answer, ...] | None = None
    place: str = "an example"


def read_squad(path: str | os.PathLike[str], labelled: bool) -> list[Question]:
    """The questions of a file; `labelled`: each must have answers, or say that there is none.

    An answer that is not where the file says is looked for in the context, and the nearest occurrence taken; there is a warning
    that tells how many were. Raises ValueError naming file and place for what is missing, and for ids that occur twice.
    """
    found: list[Question] = []
    moves: Counter[str] = Counter()
    for place, context, entry in entries_of(path):
        question = Question(
            str(needed(entry, "id", place, str | int)), needed(entry, "question", place, str), context, None, place
        )
        if labelled or "answers" in entry or entry.get("is_impossible"):
            question = question._replace(answers=tuple(answers_of(entry, context, place, moves)))
        found.append(question)
    if not found:
        raise ValueError(f"{path}: holds no examples")
    twice, number = Counter(question.id for question in found).most_common(1)[0]
    if number > 1:
        raise ValueError(f"{path}: has {number} questions with the id {twice!r}")
    if moves:
        told = f"{moves['moved']} were found elsewhere in their context, {moves['nowhere']} nowhere"
        warnings.warn(f"{path}: {moves.total()} answers are not where it says; {told}", stacklevel=3)
    return found


def entries_of(path: str | os.PathLike[str]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Every question's place in the file, its context and its entry."""
    for a, article in enumerate(needed(read_json(path), "data", str(path), list)):
        for p, paragraph in enumerate(needed(article, "paragraphs", f"{path}, data[{a}]", list)):
            place = f"{path}, data[{a}].paragraphs[{p}]"
            context = needed(paragraph, "context", place, str)
            for q, entry in enumerate(needed(paragraph, "qas", place, list)):
                yield f"{place}.qas[{q}]", context, entry


def needed(entry: Any, name: str, place: str, kind: Any) -> Any:
    """A field that must be there, and of this type."""
    if not isinstance(entry, Mapping) or not isinstance(entry.get(name), kind):
        said = repr(entry.get(name)) if isinstance(entry, Mapping) and name in entry else "nothing"
        wanted = getattr(kind, "__name__", "str or int")
        raise ValueError(f"{place}: {name} must be a {wanted}, got {said:.80}")
    return entry[name]


def answers_of(entry: Mapping[str, Any], context: str, place: str, moves: Counter[str]) -> Iterator[Answer]:
    """The answers of a question, each once, where they are; `moves` counts those that are not where the entry says."""
    if entry.get("is_impossible"):
        return
    seen = set()
    for number, answer in enumerate(needed(entry, "answers", place, list)):
        text = needed(answer, "text", f"{place}.answers[{number}]", str)
        start = needed(answer, "answer_start", f"{place}.answers[{number}]", int)
        found = located(Answer(text, start), context)
        if found.text and found not in seen:
            seen.add(found)
            if found.start != start + len(text) - len(text.lstrip()):
                moves["moved" if found.start >= 0 else "nowhere"] += 1
            yield found


def located(answer: Answer, context: str) -> Answer:
    """The answer without blanks around it, at the occurrence of its text in the context that is nearest to where it should be."""
    text = answer.text.strip()
    start = answer.start + len(answer.text) - len(answer.text.lstrip())
    if start >= 0 and context.startswith(text, start):
        return Answer(text, start)
    places, place = [], context.find(text)
    while text and place >= 0:
        places.append(place)
        place = context.find(text, place + 1)
    return Answer(text, min(places, key=lambda each: abs(each - start)) if places else -1)
