"""Token classification: a tag for each word of a sentence, such as the entities or the parts of speech."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np

from convbert_np.interface.models import ConvBertForTokenClassification
from convbert_np.interface.objectives import IGNORED
from convbert_np.metrics.entities import OUTSIDE, entity_scores
from convbert_np.tasks.batches import Row
from convbert_np.tasks.files import read_text
from convbert_np.tasks.task import Task, in_order, known_label, names_in, option
from convbert_np.tasks.windows import best_windows, windows
from convbert_np.tokenization import ConvBertTokenizerFast

DOCUMENT = "-DOCSTART-"
WORD = re.compile(r"\w+|[^\w\s]")


class Sentence(NamedTuple):
    """Words, a tag for each (None: no tags), where the sentence begins, and the columns of its lines."""

    words: tuple[str, ...]
    tags: tuple[str, ...] | None = None
    place: str = "an example"
    columns: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Tokens(Task):
    """Token classification, from columns as of the CoNLL shared tasks: a word per line, an empty line after each sentence.

    The columns are separated by tabs if the first line has one, else by blanks.
    """

    name = "tokens"
    kind = ConvBertForTokenClassification
    told = "a tag for each word, such as entities: CoNLL columns, a word per line and an empty line after a sentence"

    labels: tuple[str, ...] = option((), "tags beside those in DATA, with commas between two", names_in)
    word: int = option(1, "the number of the column of the word", int)
    tag: int = option(-1, "the number of the column of the tag; -1: the last; 0: none", int)
    stride: int = option(32, "tokens that two windows share, where a sentence is longer than a row", int)

    def read(self, path: str | os.PathLike[str], labelled: bool = True) -> list[Sentence]:
        """One example per sentence; lines that begin with -DOCSTART- only end one. Without tags if there is one column."""
        found = [self.sentence(path, lines, labelled) for lines in sentences_of(path)]
        if not found:
            raise ValueError(f"{path}: holds no examples")
        return found

    def sentence(self, path: Any, lines: list[tuple[int, tuple[str, ...]]], labelled: bool) -> Sentence:
        """The sentence of some numbered lines. Raises ValueError for a column that is not there."""
        place = f"{path}, line {lines[0][0]}"
        width = len(lines[0][1])
        for number, columns in lines:
            if len(columns) != width:
                raise ValueError(f"{path}, line {number}: has {len(columns)} columns, the line before has {width}")
        tag = width if self.tag == -1 else self.tag
        for name, column in (("word", self.word), ("tag", tag if tag or labelled else 1)):
            if not 1 <= column <= width:
                raise ValueError(f"{place}: has {width} columns, so there is no column {column}; the option {name!r} chooses it")
        if labelled and tag == self.word:
            raise ValueError(f"{place}: has {width} columns: there is none of the tags; the option 'tag' chooses it")
        words = tuple(columns[self.word - 1] for _, columns in lines)
        tags = None if tag in (0, self.word) else tuple(columns[tag - 1] for _, columns in lines)
        return Sentence(words, tags, place, tuple(columns for _, columns in lines))

    def example(self, text: str, **given: Any) -> Sentence:
        """A sentence, cut into words and single punctuation marks. Raises ValueError if it has none."""
        words = tuple(WORD.findall(text))
        if not words:
            raise ValueError("text: has no words")
        return Sentence(words)

    def fitted(self, examples: Sequence[Sentence]) -> Self:
        """With the tags of all examples."""
        found = {tag for example in examples for tag in example.tags or ()}
        return replace(self, labels=self.labels + in_order(found - set(self.labels)))

    def check(self, examples: Sequence[Sentence]) -> None:
        """There must be a known tag for every word."""
        numbers = {label: number for number, label in enumerate(self.labels)}
        for example in examples:
            if example.tags is None or len(example.tags) != len(example.words):
                raise ValueError(f"{example.place}: must have a tag for each of its {len(example.words)} words")
            for tag in example.tags:
                known_label(tag, numbers, example.place)

    def rows(self, examples: Sequence[Sentence], tokenizer: ConvBertTokenizerFast, labelled: bool) -> list[Row]:
        """[CLS] sentence [SEP], in windows if it is too long; the first piece of a word has its label, all others -100.

        Of a word in several windows only the piece counts that sees most around it. `places` are the (position in the row, word)
        of those that count.
        """
        return [row for number, example in enumerate(examples) for row in self.rows_of(example, number, tokenizer, labelled)]

    def rows_of(self, example: Sentence, number: int, tokenizer: ConvBertTokenizerFast, labelled: bool) -> Iterator[Row]:
        """The rows of one sentence."""
        numbers = {label: index for index, label in enumerate(self.labels)}
        encoding = tokenizer(list(example.words), is_split_into_words=True, add_special_tokens=False, verbose=False)
        ids, words = encoding["input_ids"], encoding.word_ids()
        spans = windows(len(ids), (self.length or self.usual_length) - 2, self.stride)
        best = best_windows(len(ids), spans)
        for window, (start, end) in enumerate(spans):
            row = tokenizer.build_inputs_with_special_tokens(ids[start:end])
            first = (at for at in range(start, end) if best[at] == window and (at == 0 or words[at] != words[at - 1]))
            places = [(1 + at - start, words[at]) for at in first]
            inputs = {"input_ids": row, "token_type_ids": [0] * len(row)}
            if labelled:
                labels = [IGNORED] * len(row)
                for position, word in places:
                    labels[position] = numbers[example.tags[word]]  # type: ignore[index]
                inputs["labels"] = labels
            yield Row(inputs, number, places)

    def decode(self, examples: Sequence[Sentence], rows: Sequence[Row], outputs: Sequence[Mapping[str, Any]]) -> list[list[str]]:
        """The most probable tag of every word; O, or the first label, for words of which the tokenizer leaves nothing."""
        nothing = OUTSIDE if OUTSIDE in self.labels else self.labels[0]
        found = [[nothing] * len(example.words) for example in examples]
        for row, output in zip(rows, outputs, strict=True):
            best = np.argmax(output["logits"], axis=-1)
            for position, word in row.places:
                found[row.example][word] = self.labels[best[position]]
        return found

    def score(self, examples: Sequence[Sentence], predictions: Sequence[Sequence[str]]) -> dict[str, float]:
        """precision, recall and f1 of whole entities, and the accuracy of the tags."""
        tags = [example.tags for example in examples if example.tags is not None]
        return entity_scores(tags, predictions) if len(tags) == len(examples) else {}

    def written(self, examples: Sequence[Sentence], predictions: Sequence[Sequence[str]]) -> str:
        """The columns of the file with one more, the predicted tag: as conlleval reads them."""
        lines = []
        for example, tags in zip(examples, predictions, strict=True):
            columns = example.columns or [(word,) for word in example.words]
            lines += ["\t".join((*cells, tag)) + "\n" for cells, tag in zip(columns, tags, strict=True)] + ["\n"]
        return "".join(lines)


def sentences_of(path: str | os.PathLike[str]) -> Iterator[list[tuple[int, tuple[str, ...]]]]:
    """The sentences of a file, as numbered lines of columns; with tabs, a line of # without a tab is a comment."""
    lines = read_text(path).replace("\r\n", "\n").split("\n")
    tabs = "\t" in next((line for line in lines if line.strip() and not line.startswith("#")), "")
    sentence: list[tuple[int, tuple[str, ...]]] = []
    for number, line in enumerate([*lines, ""], 1):
        if line.strip() and not line.startswith(DOCUMENT):
            if not (tabs and line.startswith("#") and "\t" not in line):
                sentence.append((number, tuple(line.split("\t") if tabs else line.split())))
        elif sentence:
            yield sentence
            sentence = []
