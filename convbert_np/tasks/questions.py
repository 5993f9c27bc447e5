"""Question answering: the span of a context that answers a question, or that there is none."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np

from convbert_np.config import ConvBertConfig
from convbert_np.interface.models import ConvBertForQuestionAnswering
from convbert_np.metrics.answers import answer_scores
from convbert_np.ops.softmax import softmax
from convbert_np.tasks.batches import NOWHERE, Row
from convbert_np.tasks.squad import Question, located, read_squad
from convbert_np.tasks.task import Task, option
from convbert_np.tasks.windows import windows
from convbert_np.tokenization import ConvBertTokenizerFast

NO_ANSWER = 0  # the position of [CLS], at which an answer that is not there begins and ends


class Span(NamedTuple):
    """A span of tokens, both ends included, and its score."""

    score: float
    start: int
    end: int


@dataclass(frozen=True)
class Questions(Task):
    """Extractive question answering, from the JSON of SQuAD 1.1 and 2.0.

    unanswerable    whether [CLS] competes with the spans; set where a question of the examples has no answer
    null_threshold  by how much the score of [CLS] must exceed that of the best span for no answer to be predicted
    """

    name = "questions"
    kind = ConvBertForQuestionAnswering
    told = "the words of a context that answer a question: JSON of SQuAD 1.1 or 2.0"
    usual_length = 384
    beside = ("context",)
    has_labels = False

    stride: int = option(128, "tokens that two windows over a long context share", int)
    question_length: int = option(64, "tokens of a question at most", int)
    answer_length: int = option(30, "tokens of an answer at most, in a prediction", int)
    n_best: int = option(20, "answers to be told of for each question", int)
    unanswerable: bool = option(False, "a question may have no answer; so it is where one of the examples has none", bool)
    null_threshold: float = option(0.0, "predict no answer if its score exceeds the best answer's by more", float)

    def read(self, path: str | os.PathLike[str], labelled: bool = True) -> list[Question]:
        """See `read_squad`."""
        return read_squad(path, labelled)

    def example(self, text: str, context: str = "", **given: Any) -> Question:
        """A question and its context. Raises ValueError without one."""
        if not context.strip():
            raise ValueError("context: must be given with a question")
        return Question("question", text, context)

    def fitted(self, examples: Sequence[Question]) -> Self:
        """With `unanswerable` if it is so."""
        return replace(self, unanswerable=self.unanswerable or any(has_none(example) for example in examples))

    def check(self, examples: Sequence[Question]) -> None:
        """The answers must be known, and there must be some unless questions may have none."""
        for example in examples:
            if example.answers is None:
                raise ValueError(f"{example.place}: has no answers")
            if has_none(example) and not self.unanswerable:
                raise ValueError(f"{example.place}: has no answer, which no question had that was learnt from")

    def rows(self, examples: Sequence[Question], tokenizer: ConvBertTokenizerFast, labelled: bool) -> list[Row]:
        """[CLS] question [SEP] context [SEP], in overlapping windows over the context.

        A window in which the first answer does not lie whole is labelled as if there were none; an answer that is nowhere in the
        context gives no label. `places` are (the position of the window's first token, the (start, end) of each in the context).
        """
        contexts: dict[str, tuple[list[int], list[tuple[int, int]]]] = {}
        rows: list[Row] = []
        for number, example in enumerate(examples):
            if example.context not in contexts:  # about which there are often several questions
                encoding = tokenizer(example.context, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
                contexts[example.context] = (encoding["input_ids"], encoding["offset_mapping"])
            rows += self.rows_of(example, number, *contexts[example.context], tokenizer, labelled)
        return rows

    def rows_of(
        self,
        example: Question,
        number: int,
        ids: list[int],
        offsets: list[tuple[int, int]],
        tokenizer: ConvBertTokenizerFast,
        labelled: bool,
    ) -> Iterator[Row]:
        """The windows of one question over the ids of its context."""
        encoding = tokenizer(example.question, add_special_tokens=False, verbose=False)
        question = encoding["input_ids"][: self.question_length]
        span = answer_span(example, offsets) if labelled else None
        first = len(question) + 2
        for start, end in windows(len(ids), (self.length or self.usual_length) - first - 1, self.stride):
            row = tokenizer.build_inputs_with_special_tokens(question, ids[start:end])
            inputs = {"input_ids": row, "token_type_ids": [0] * first + [1] * (len(row) - first)}
            if span is not None:
                inputs |= dict(zip(("start_positions", "end_positions"), within(span, start, end, first), strict=True))
            yield Row(inputs, number, (first, offsets[start:end]))

    def decode(
        self, examples: Sequence[Question], rows: Sequence[Row], outputs: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        """id, prediction ("" for no answer), n_best with their texts, starts and probabilities, and null_odds.

        null_odds is the score of no answer, the least over the windows, minus that of the best span; None without a span.
        """
        found: list[dict[tuple[int, int], float]] = [{} for _ in examples]
        nulls = [np.inf] * len(examples)
        for row, output in zip(rows, outputs, strict=True):
            start, end = (np.asarray(output[name], np.float64) for name in ("start_logits", "end_logits"))
            first, offsets = row.places
            inside = slice(first, first + len(offsets))
            nulls[row.example] = min(nulls[row.example], start[NO_ANSWER] + end[NO_ANSWER])
            for score, begin, last in best_spans(start[inside], end[inside], self.n_best, self.answer_length):
                place = (offsets[begin][0], offsets[last][1])
                found[row.example][place] = max(score, found[row.example].get(place, -np.inf))
        return [self.decision(*each) for each in zip(examples, found, nulls, strict=True)]

    def decision(self, example: Question, spans: Mapping[tuple[int, int], float], null: float) -> dict[str, Any]:
        """The prediction for a question from the scores of spans of characters, and that of no answer."""
        ranked = sorted(((score, place) for place, score in spans.items()), key=lambda each: (-each[0], each[1]))[: self.n_best]
        best = [{"text": example.context[slice(*place)], "start": place[0], "score": score} for score, place in ranked]
        odds = float(null - ranked[0][0]) if ranked else None
        if self.unanswerable:
            best = sorted([*best, {"text": "", "start": -1, "score": null}], key=lambda each: -each["score"])
        probs = softmax(np.array([each["score"] for each in best]))[0] if best else []
        n_best = [each | {"probability": float(p)} for each, p in zip(best, probs, strict=True)]
        none = odds is None or (self.unanswerable and odds > self.null_threshold)
        said = "" if none else example.context[slice(*ranked[0][1])]
        return {"id": example.id, "prediction": said, "n_best": n_best, "null_odds": odds}

    def score(self, examples: Sequence[Question], predictions: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """exact_match and f1, with those of questions with and without an answer where there are both."""
        if any(example.answers is None for example in examples):
            return {}
        true = [[answer.text for answer in example.answers or ()] for example in examples]
        return answer_scores(true, [prediction["prediction"] for prediction in predictions])

    def written(self, examples: Sequence[Question], predictions: Sequence[Mapping[str, Any]]) -> str:
        """The JSON object of the SQuAD scripts: the prediction for each id."""
        said = {prediction["id"]: prediction["prediction"] for prediction in predictions}
        return json.dumps(said, ensure_ascii=False, indent=1) + "\n"

    def group(self, example: Question) -> str:
        """Questions about one context stay together."""
        return example.context

    def settings(self, config: ConvBertConfig) -> dict[str, Any]:
        """Two labels, a start and an end."""
        return {"num_labels": 2}


def has_none(example: Question) -> bool:
    """Whether it is known that a question has no answer."""
    return example.answers is not None and not example.answers


def answer_span(example: Question, offsets: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The first and last token of the first answer that is in the context; NOWHERE if none is, NO_ANSWER if there is none."""
    if not example.answers:
        return NO_ANSWER - 1, NO_ANSWER - 1  # no window has it
    for answer in example.answers:
        text, start = located(answer, example.context)
        touched = [n for n, (begin, end) in enumerate(offsets) if begin < start + len(text) and end > start] if start >= 0 else []
        if touched:
            return touched[0], touched[-1]
    return NOWHERE, NOWHERE


def within(span: tuple[int, int], start: int, end: int, first: int) -> tuple[int, int]:
    """The positions of a span of the context's tokens in the row of a window [start, end) whose first token stands at `first`."""
    if span[0] == NOWHERE:
        return span
    inside = start <= span[0] and span[1] < end
    return (span[0] - start + first, span[1] - start + first) if inside else (NO_ANSWER, NO_ANSWER)


def best_spans(start: np.ndarray, end: np.ndarray, number: int, most: int) -> list[Span]:
    """The spans of at most `most` tokens with the highest scores, best first; of equal ones the shorter, then the earlier.

    score(i, j) = start_i + end_j,  i <= j < i + most

    Shapes: start, end (S,).
    """
    size, most = len(start), min(most, len(start))
    scores = np.full((most, size), -np.inf)  # (length - 1, start)
    for extra in range(most):
        scores[extra, : size - extra] = start[: size - extra] + end[extra:]
    flat = scores.reshape(-1)
    least = np.partition(flat, -number)[-number] if number < flat.size else -np.inf
    good = np.flatnonzero((flat >= least) & (flat > -np.inf))  # to be sorted are a few
    kept = good[np.argsort(-flat[good], kind="stable")][:number]
    return [Span(float(flat[k]), int(k % size), int(k % size + k // size)) for k in kept]
