"""Multiple choice: which of several endings goes on best."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from convbert_np.config import ConvBertConfig
from convbert_np.interface.models import ConvBertForMultipleChoice
from convbert_np.metrics.classification import accuracy
from convbert_np.ops.softmax import softmax
from convbert_np.tasks.batches import Row
from convbert_np.tasks.files import Line, read_table, text_cell
from convbert_np.tasks.task import Task, option
from convbert_np.tokenization import ConvBertTokenizerFast


class Choice(NamedTuple):
    """A context, the endings to choose from, what each of them begins with, and the number of the right one (None: unknown)."""

    context: str
    endings: tuple[str, ...]
    stem: str = ""
    label: int | None = None
    place: str = "an example"


@dataclass(frozen=True)
class Choices(Task):
    """Multiple choice, from .csv, .tsv or .jsonl in the columns of SWAG: sent1, sent2, ending0, ending1, ..., label.

    In .jsonl the endings may be one list, under the name of `endings`.
    """

    name = "choices"
    kind = ConvBertForMultipleChoice
    told = "the best of several endings: .csv, .tsv or .jsonl with the columns of SWAG"
    beside = ("choice",)
    has_labels = False

    context: str = option("sent1", "the column of the context")
    stem: str = option("sent2", "the column of what every ending begins with, if there is one")
    endings: str = option("ending", "the columns of the endings, without their numbers")
    label: str = option("label", "the column of the number of the right ending, from 0")

    def read(self, path: str | os.PathLike[str], labelled: bool = True) -> list[Choice]:
        """One example per line."""
        found = []
        for line in read_table(path):
            if labelled and self.label not in line.cells:
                text_cell(line, self.label, "label")
            endings, label = self.endings_of(line), label_of(line, line.cells.get(self.label))
            if label is not None and not 0 <= label < len(endings):
                raise ValueError(f"{line.place}: {self.label} must be a number from 0 to {len(endings) - 1}, got {label}")
            stem = text_cell(line, self.stem, "stem") if self.stem in line.cells or self.stem != Choices.stem else ""
            found.append(Choice(text_cell(line, self.context, "context"), endings, stem, label, line.place))
        return found

    def endings_of(self, line: Line) -> tuple[str, ...]:
        """The endings of a line, in the order of their numbers. Raises ValueError for fewer than two."""
        given = line.cells.get(self.endings)
        if not isinstance(given, list):
            numbers = {name: re.fullmatch(re.escape(self.endings) + r"(\d+)", name) for name in line.cells}
            names = sorted((name for name, found in numbers.items() if found), key=lambda name: int(numbers[name][1]))  # type: ignore
            given = [text_cell(line, name, "endings") for name in names]
        if len(given) < 2 or not all(isinstance(ending, str) for ending in given):
            wanted = f"columns {self.endings}0, {self.endings}1, ... or a list {self.endings}"
            raise ValueError(f"{line.place}: has no {wanted} of at least two texts; the option 'endings' names others")
        return tuple(given)

    def example(self, text: str, choice: Sequence[str] = (), **given: Any) -> Choice:
        """A context and its endings. Raises ValueError for fewer than two."""
        if len(choice) < 2:
            raise ValueError(f"choice: must be given twice at least, got {len(choice)}")
        return Choice(text, tuple(choice))

    def check(self, examples: Sequence[Choice]) -> None:
        """Every example must have a label, and as many endings as the first."""
        for example in examples:
            if example.label is None:
                raise ValueError(f"{example.place}: has no label")
            if len(example.endings) != len(examples[0].endings):
                raise ValueError(f"{example.place}: has {len(example.endings)} endings, the first has {len(examples[0].endings)}")

    def rows(self, examples: Sequence[Choice], tokenizer: ConvBertTokenizerFast, labelled: bool) -> list[Row]:
        """For every ending [CLS] context [SEP] stem ending [SEP]; too long, tokens of the longer of the two are cut off."""
        found = []
        for number, example in enumerate(examples):
            seconds = [f"{example.stem} {ending}".strip() for ending in example.endings]
            firsts = [example.context] * len(seconds)
            encoding = tokenizer(firsts, seconds, truncation=True, max_length=self.length, verbose=False)
            inputs = {name: encoding[name] for name in ("input_ids", "token_type_ids")}
            found.append(Row(inputs | ({"labels": example.label} if labelled else {}), number))
        return found

    def decode(
        self, examples: Sequence[Choice], rows: Sequence[Row], outputs: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        """prediction, the number of the most probable ending, and the probabilities of all as scores."""
        probs = [softmax(np.asarray(output["logits"], np.float64))[0] for output in outputs]
        return [{"prediction": int(np.argmax(each)), "scores": each.tolist()} for each in probs]

    def score(self, examples: Sequence[Choice], predictions: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """accuracy."""
        if any(example.label is None for example in examples):
            return {}
        said = [prediction["prediction"] for prediction in predictions]
        return {"accuracy": accuracy([example.label for example in examples], said)}

    def written(self, examples: Sequence[Choice], predictions: Sequence[Mapping[str, Any]]) -> str:
        """A JSON object per line: context, stem, endings, label if there is one, prediction, scores."""
        lines = []
        for example, prediction in zip(examples, predictions, strict=True):
            given = {name: value for name, value in example._asdict().items() if value not in (None, "") and name != "place"}
            lines.append(json.dumps(given | dict(prediction), ensure_ascii=False) + "\n")
        return "".join(lines)

    def settings(self, config: ConvBertConfig) -> dict[str, Any]:
        """Judge a choice by its first token unless the configuration says otherwise: the last one may be padding."""
        return {"summary_type": getattr(config, "summary_type", "first")}


def label_of(line: Line, value: Any) -> int | None:
    """The number of the right ending; None where there is nothing. Raises ValueError naming the place if it is no number."""
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not str(value).strip().isdecimal():
        raise ValueError(f"{line.place}: the label must be the number of an ending, from 0, got {value!r:.80}")
    return int(value)
