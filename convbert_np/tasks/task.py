"""What a task must be able to do, and what all of them share."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from typing import Any, ClassVar, Self

from convbert_np.config import ConvBertConfig
from convbert_np.interface.base import ConvBertPreTrainedModel
from convbert_np.tasks.batches import Row
from convbert_np.tokenization import ConvBertTokenizerFast

NOT_STORED = ("labels",)  # they are the configuration's id2label


def option(default: Any, told: str, kind: Any = str) -> Any:
    """A field that the command line offers as an option: its default, what it is, and its type.

    The type is a function from text, bool for a switch (of which it is told what it switches to), or a tuple of the texts that
    are allowed.
    """
    return field(default=default, metadata={"told": told, "kind": kind})


def names_in(text: str) -> tuple[str, ...]:
    """Names with commas between two."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


@dataclass(frozen=True)
class Task:
    """A task: how its files are read, what the model reads of an example, what its outputs mean, how good they are.

    labels  the names of the labels; none for tasks without. Where none are given they are those of the examples
    length  ids in a row at most, special tokens included; None: `usual_length`, or what the model takes if that is less

    A task is made of options alone, which JSON can hold. They are kept in the configuration of a fine-tuned model, so that
    `task_of(config)` is the task that it was fine-tuned for.
    """

    name: ClassVar[str]
    kind: ClassVar[type[ConvBertPreTrainedModel]]
    told: ClassVar[str]
    usual_length: ClassVar[int] = 128
    beside: ClassVar[tuple[str, ...]] = ()  # what `example` takes beside the text
    has_labels: ClassVar[bool] = True  # whether its labels have names

    labels: tuple[str, ...] = ()
    length: int | None = option(None, "tokens in a row at most", int)

    # Each task has its own of these.

    def read(self, path: str | os.PathLike[str], labelled: bool = True) -> list[Any]:
        """The examples of a file; `labelled`: it must have labels. Raises ValueError naming file and line."""
        raise NotImplementedError

    def example(self, text: str, **given: Any) -> Any:
        """The example that a text is, with what is `given` beside it, without a label."""
        raise NotImplementedError

    def fitted(self, examples: Sequence[Any]) -> Self:
        """This task with all that only examples tell, such as their labels. Raises ValueError if nothing can be learnt."""
        return self

    def check(self, examples: Sequence[Any]) -> None:
        """Raise ValueError naming the place unless every example has a label, and one that is known."""
        raise NotImplementedError

    def rows(self, examples: Sequence[Any], tokenizer: ConvBertTokenizerFast, labelled: bool) -> list[Row]:
        """What the model reads of the examples, with their labels if `labelled`."""
        raise NotImplementedError

    def decode(self, examples: Sequence[Any], rows: Sequence[Row], outputs: Sequence[Mapping[str, Any]]) -> list[Any]:
        """A prediction for every example from the outputs for the rows."""
        raise NotImplementedError

    def score(self, examples: Sequence[Any], predictions: Sequence[Any]) -> dict[str, float]:
        """The metrics of predictions; {} if an example has no label to compare with."""
        raise NotImplementedError

    def written(self, examples: Sequence[Any], predictions: Sequence[Any]) -> str:
        """The text of a file of predictions."""
        raise NotImplementedError

    def group(self, example: Any) -> Any:
        """What examples share that must not be split between training and evaluation; None: this one shares nothing."""
        return None

    def settings(self, config: ConvBertConfig) -> dict[str, Any]:
        """The fields of the configuration that the task decides, but for those of all tasks."""
        return {}

    # Shared.

    def configured(self, config: ConvBertConfig) -> dict[str, Any]:
        """The fields of the configuration that the task decides."""
        options = {name: value for name, value in asdict(self).items() if name not in NOT_STORED}
        names = {"id2label": dict(enumerate(self.labels))} if self.labels else {"num_labels": 1}
        return names | self.settings(config) | {"task_specific_params": {self.name: options}}

    @classmethod
    def restored(cls, config: ConvBertConfig) -> Self:
        """The task that a model with this configuration was fine-tuned for."""
        of_tasks = getattr(config, "task_specific_params", None)
        stored = of_tasks.get(cls.name) if isinstance(of_tasks, dict) else None
        known = {each.name for each in fields(cls)} - set(NOT_STORED)
        task = cls(**{name: value for name, value in (stored if isinstance(stored, dict) else {}).items() if name in known})
        if not cls.has_labels:
            return task
        return replace(task, labels=tuple(config.id2label[index] for index in range(config.num_labels)))

    def within(self, config: ConvBertConfig) -> Self:
        """This task with a length that the model takes. Raises ValueError if a longer one was asked for."""
        most = config.max_position_embeddings
        if self.length is not None and not 3 <= self.length <= most:
            raise ValueError(f"length: must be between 3 and the model's max_position_embeddings {most}, got {self.length}")
        return replace(self, length=min(self.usual_length, most) if self.length is None else self.length)


def options_of(kind: type[Task]) -> dict[str, tuple[Any, str, Any]]:
    """The options of a task that a command line offers: name -> (default, what it is, type)."""
    offered = [each for each in fields(kind) if "told" in each.metadata]
    assert not any(each.default is MISSING for each in offered)
    return {each.name: (each.default, each.metadata["told"], each.metadata["kind"]) for each in offered}


def known_label(label: str, labels: Mapping[str, int], place: str) -> int:
    """The number of a label. Raises ValueError naming the place for one that is not known."""
    if label not in labels:
        listed = ", ".join(list(labels)[:10]) + (", ..." if len(labels) > 10 else "")
        raise ValueError(f"{place}: the label {label!r} is none of those to learn: {listed}; the option 'labels' adds more")
    return labels[label]


def in_order(labels: set[str]) -> tuple[str, ...]:
    """Labels in the order of their numbers: by value if all are whole numbers, else by the alphabet."""
    whole = all(re.fullmatch(r"-?[0-9]{1,18}", label) for label in labels)
    return tuple(sorted(labels, key=int if whole else None))  # type: ignore[arg-type]
