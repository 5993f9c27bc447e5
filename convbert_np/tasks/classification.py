"""Sequence classification: one class, a set of classes, or a number for a text or a pair of texts."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np

from convbert_np.config import PROBLEM_TYPES, ConvBertConfig
from convbert_np.interface.models import ConvBertForSequenceClassification
from convbert_np.metrics.classification import accuracy, as_sets, macro_f1, matthews, micro_f1
from convbert_np.metrics.regression import mean_squared_error, pearson, spearman
from convbert_np.ops.activations import sigmoid
from convbert_np.ops.softmax import softmax
from convbert_np.tasks.batches import Row
from convbert_np.tasks.files import read_table, text_cell
from convbert_np.tasks.task import Task, in_order, known_label, names_in, option
from convbert_np.tokenization import ConvBertTokenizerFast

REGRESSION, SINGLE, MULTI = PROBLEM_TYPES


class Text(NamedTuple):
    """A text or a pair of texts, its label as the file has it (None: no label), and where it stands."""

    text: str
    pair: str | None = None
    label: Any = None
    place: str = "an example"


@dataclass(frozen=True)
class Classification(Task):
    """Sequence classification, from .csv, .tsv or .jsonl with a line for every text.

    problem    "single_label_classification", one class of several; "multi_label_classification", any number of them (a JSON list,
               or text with `separator` between two); "regression", a number. None: what the labels of the examples look like:
               lists; numbers that are not all whole; else classes
    """

    name = "classification"
    kind = ConvBertForSequenceClassification
    beside = ("pair",)
    told = "a class, a set of classes or a number for each text or pair of texts: .csv, .tsv or .jsonl"

    labels: tuple[str, ...] = option((), "labels beside those in DATA, with commas between two", names_in)
    text: str = option("text", "the column of the text")
    pair: str = option("text_pair", "the column of the second text, if there is one")
    label: str = option("label", "the column of the label")
    header: bool = option(True, "the first line of .csv and .tsv names no columns: they are 1, 2, 3", bool)
    problem: str | None = option(None, "what a label is; without it, what the labels look like", PROBLEM_TYPES)
    separator: str = option("|", "between two labels of a text, in .csv and .tsv")

    def read(self, path: str | os.PathLike[str], labelled: bool = True) -> list[Text]:
        """One example per line. An empty cell, or null, is no label, except where sets of labels are asked for."""
        found = []
        for line in read_table(path, self.header):
            pair = text_cell(line, self.pair, "pair") if self.pair in line.cells or self.pair != Classification.pair else None
            if labelled and self.label not in line.cells:
                text_cell(line, self.label, "label")
            label = line.cells.get(self.label)
            found.append(Text(text_cell(line, self.text, "text"), pair, label, line.place))
        return found

    def example(self, text: str, pair: str | None = None, **given: Any) -> Text:
        """A text, or two."""
        return Text(text, pair)

    def fitted(self, examples: Sequence[Text]) -> Self:
        """With the problem and the labels."""
        problem = self.problem or problem_of([example.label for example in examples])
        task = replace(self, problem=problem)
        if problem == REGRESSION:
            return replace(task, labels=())
        found = {name for example in examples for name in task.names_of(example)}
        labels = self.labels + in_order(found - set(self.labels))
        if len(labels) < (2 if problem == SINGLE else 1):
            raise ValueError(f"label: there must be at least two classes to tell apart, the examples have {', '.join(labels)}")
        return replace(task, labels=labels)

    def check(self, examples: Sequence[Text]) -> None:
        """Every label must be a number, or known."""
        numbers = {label: number for number, label in enumerate(self.labels)}
        for example in examples:
            if self.problem == REGRESSION:
                number_of(example)
            for name in () if self.problem == REGRESSION else self.names_of(example):
                known_label(name, numbers, example.place)

    def names_of(self, example: Text) -> tuple[str, ...]:
        """The names of an example's classes. Raises ValueError naming the place if there is no label, or it is none."""
        label = example.label
        if self.problem == MULTI and isinstance(label, str):
            label = [part.strip() for part in label.split(self.separator) if part.strip()]
        if self.lacks_label(example):
            raise ValueError(f"{example.place}: has no label")
        if isinstance(label, list | tuple) != (self.problem == MULTI):
            raise ValueError(f"{example.place}: the label {label!r:.80} does not fit the problem {self.problem}")
        names = label if self.problem == MULTI else [label]
        if not all(isinstance(name, str | int | float) for name in names):
            raise ValueError(f"{example.place}: a label must be text or a number, got {label!r:.80}")
        return tuple(str(name) for name in names)

    def lacks_label(self, example: Text) -> bool:
        """Whether there is no label: an empty cell is none, unless it is an empty set."""
        return example.label is None or (example.label == "" and self.problem != MULTI)

    def value_of(self, example: Text, numbers: Mapping[str, int]) -> Any:
        """The label as the loss takes it: a number, the number of a class, or a 1 for each class that holds, else 0."""
        if self.problem == REGRESSION:
            return number_of(example)
        given = [known_label(name, numbers, example.place) for name in self.names_of(example)]
        return given[0] if self.problem == SINGLE else [float(number in given) for number in range(len(numbers))]

    def rows(self, examples: Sequence[Text], tokenizer: ConvBertTokenizerFast, labelled: bool) -> list[Row]:
        """[CLS] text [SEP], or [CLS] text [SEP] pair [SEP]; too long, tokens of the longer text are cut off."""
        numbers = {label: number for number, label in enumerate(self.labels)}
        found = []
        for number, example in enumerate(examples):
            encoding = tokenizer(example.text, example.pair, truncation=True, max_length=self.length, verbose=False)
            inputs = {name: encoding[name] for name in ("input_ids", "token_type_ids")}
            found.append(Row(inputs | ({"labels": self.value_of(example, numbers)} if labelled else {}), number))
        return found

    def decode(self, examples: Sequence[Text], rows: Sequence[Row], outputs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """prediction, and for classes the probability of each as scores."""
        return [self.decision(np.asarray(output["logits"], np.float64)) for output in outputs]

    def decision(self, logits: np.ndarray) -> dict[str, Any]:
        """The most probable class; all classes with a probability above one half; or the number itself."""
        if self.problem == REGRESSION:
            return {"prediction": float(logits[0])}
        probs = softmax(logits)[0] if self.problem == SINGLE else sigmoid(logits)
        scores = {label: float(p) for label, p in zip(self.labels, probs, strict=True)}
        if self.problem == SINGLE:
            return {"prediction": self.labels[int(np.argmax(probs))], "scores": scores}
        return {"prediction": [label for label, p in scores.items() if p > 0.5], "scores": scores}

    def score(self, examples: Sequence[Text], predictions: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """accuracy, macro F1 and Matthews; for sets also micro F1; for numbers the correlations and the squared error."""
        if any(self.lacks_label(example) for example in examples):
            return {}
        said = [prediction["prediction"] for prediction in predictions]
        if self.problem == REGRESSION:
            true = [number_of(example) for example in examples]
            metrics = {"pearson": pearson, "spearman": spearman, "mean_squared_error": mean_squared_error}
            return {name: metric(true, said) for name, metric in metrics.items()}
        names = [self.names_of(example) for example in examples]
        if self.problem == MULTI:
            sets, guessed = [set(each) for each in names], [set(each) for each in said]
            return {"accuracy": accuracy(sets, guessed), "micro_f1": micro_f1(sets, guessed), "macro_f1": macro_f1(sets, guessed)}
        one = [each[0] for each in names]
        macro = macro_f1(as_sets(one), as_sets(said))
        return {"accuracy": accuracy(one, said), "macro_f1": macro, "matthews": matthews(one, said)}

    def written(self, examples: Sequence[Text], predictions: Sequence[Mapping[str, Any]]) -> str:
        """A JSON object per line: the texts, the label if there is one, the prediction, the scores."""
        lines = []
        for example, prediction in zip(examples, predictions, strict=True):
            given = {name: value for name, value in example._asdict().items() if value is not None and name != "place"}
            lines.append(json.dumps(given | dict(prediction), ensure_ascii=False) + "\n")
        return "".join(lines)

    def settings(self, config: ConvBertConfig) -> dict[str, Any]:
        """problem_type."""
        return {"problem_type": self.problem}

    @classmethod
    def restored(cls, config: ConvBertConfig) -> Self:
        """Of a model that was fine-tuned elsewhere, too: its problem follows from its number of labels where it does not say."""
        problem = config.problem_type or (REGRESSION if config.num_labels == 1 else SINGLE)
        task = super().restored(config)
        return replace(task, problem=problem, labels=() if problem == REGRESSION else task.labels)


def problem_of(labels: Sequence[Any]) -> str:
    """What labels look like: lists are sets of classes, numbers that are not all whole are a regression, the rest classes."""
    if any(isinstance(label, list | tuple) for label in labels):
        return MULTI
    numbers = [as_number(label) for label in labels]
    return REGRESSION if None not in numbers and any(number % 1 for number in numbers) else SINGLE  # type: ignore[operator]


def as_number(label: Any) -> float | None:
    """A label as a finite number, or None if it is none."""
    try:
        number = float(label) if isinstance(label, str | int | float) and not isinstance(label, bool) else math.nan
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def number_of(example: Text) -> float:
    """The label of an example as a number. Raises ValueError naming the place if it is none."""
    number = as_number(example.label)
    if number is None:
        raise ValueError(f"{example.place}: the label of a regression must be a finite number, got {example.label!r:.80}")
    return number
