"""Token classification: CoNLL columns, the alignment of words and pieces, windows over long sentences."""

from itertools import pairwise

import numpy as np
import pytest
from small import UNTRAINED

from convbert_np import ConvBertTokenizerFast
from convbert_np.config import ConvBertConfig
from convbert_np.tasks import Sentence, Tokens, task_of
from convbert_np.tasks.windows import best_windows, windows

TOKENIZER = ConvBertTokenizerFast.from_pretrained(UNTRAINED)
CONLL = """-DOCSTART- -X- O

EU NNP B-ORG
rejects VBZ O
call NN O

Peter NNP B-PER
"""


def written(tmp_path, text, name="a.conll", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding) if isinstance(text, str) else text)
    return path


# Files.


@pytest.mark.parametrize("change", [
    lambda t: t, lambda t: "\ufeff" + t, lambda t: t.replace("\n", "\r\n"), lambda t: t.replace(" ", "\t"), lambda t: t.rstrip(),
    lambda t: "# a comment\n" + t.replace(" ", "\t"), lambda t: t.replace("\n\n", "\n \n\n"), lambda t: t.replace(" ", "  "),
])  # fmt: skip
def test_columns(tmp_path, change):
    found = Tokens().read(written(tmp_path, change(CONLL)))
    assert [(s.words, s.tags) for s in found] == [
        (("EU", "rejects", "call"), ("B-ORG", "O", "O")), (("Peter",), ("B-PER",)),
    ]  # fmt: skip
    assert found[0].place.endswith(("a.conll, line 3", "a.conll, line 4")) and found[1].columns == (("Peter", "NNP", "B-PER"),)


def test_other_columns(tmp_path):
    path = written(tmp_path, "1 # x\n2 b y\n")  # a hash is a word here
    assert Tokens(word=2, tag=1).read(path)[0][:2] == (("#", "b"), ("1", "2"))
    assert Tokens(word=3, tag=0).read(path, labelled=False)[0][:2] == (("x", "y"), None)
    assert Tokens().read(written(tmp_path, "a\nb\n"), labelled=False)[0][:2] == (("a", "b"), None)


@pytest.mark.parametrize(
    ("text", "task", "message"),
    [
        ("", Tokens(), "holds no examples"),
        ("-DOCSTART- O\n\n\n", Tokens(), "holds no examples"),
        ("a O\nb\n", Tokens(), "line 2: has 1 columns, the line before has 2"),
        ("a\n", Tokens(), "line 1: has 1 columns: there is none of the tags"),
        ("a O\n", Tokens(word=3), "line 1: has 2 columns, so there is no column 3; the option 'word'"),
        ("a O\n", Tokens(tag=0), "line 1: has 2 columns, so there is no column 0; the option 'tag'"),
        (b"a O\n\xff O\n", Tokens(), "line 2: is not UTF-8"),
    ],
)
def test_files_that_are_wrong(tmp_path, text, task, message):
    with pytest.raises(ValueError, match=message):
        task.read(written(tmp_path, text))


def test_labels():
    task = Tokens(labels=("B-Z",)).fitted([Sentence(("a", "b"), ("O", "B-X")), Sentence(("c",), None)])
    assert task.labels == ("B-Z", "B-X", "O")
    with pytest.raises(ValueError, match="here: the label 'B-Q' is none of those to learn"):
        task.check([Sentence(("a",), ("B-Q",), "here")])
    for tags in (None, ("O", "O")):
        with pytest.raises(ValueError, match="here: must have a tag for each of its 1 words"):
            task.check([Sentence(("a",), tags, "here")])
    fields = task.within(ConvBertConfig()).configured(ConvBertConfig()) | {"architectures": ["ConvBertForTokenClassification"]}
    assert task_of(ConvBertConfig(**fields)) == task.within(ConvBertConfig())


# Alignment.


def test_the_first_piece_of_a_word_has_its_label():
    words = ("the", "cats", "\u200b", "sat", "his")  # of the third nothing is left
    task = Tokens(labels=("O", "A", "B", "C"), length=32)
    (row,) = task.rows([Sentence(words, ("O", "A", "B", "C", "O"))], TOKENIZER, True)
    encoding = TOKENIZER(list(words), is_split_into_words=True)
    assert row.inputs["input_ids"] == encoding["input_ids"] and len(encoding["input_ids"]) > 7
    expected, before = [], None
    for word in encoding.word_ids():
        expected.append(-100 if word is None or word == before else [0, 1, 2, 3, 0][word])
        before = word
    assert row.inputs["labels"] == expected and 2 not in expected
    assert [word for _, word in row.places] == [0, 1, 3, 4]
    logits = np.zeros((len(expected), 4))
    logits[np.arange(len(expected)), [max(0, label) for label in expected]] = 1
    assert task.decode([Sentence(words)], [row], [{"logits": logits}]) == [["O", "A", "O", "C", "O"]]
    assert "labels" not in task.rows([Sentence(words)], TOKENIZER, False)[0].inputs


@pytest.mark.parametrize("stride", [0, 3, 50])
def test_a_sentence_longer_than_a_row_is_read_in_windows(stride):
    rng = np.random.default_rng(0)
    words = tuple(rng.choice(["the", "cats", "sat", "his", "moonlight"], 40).tolist())
    tags = tuple(rng.choice(["X", "Y", "Z"], 40).tolist())
    task = Tokens(labels=("X", "Y", "Z"), length=12, stride=stride)
    rows = task.rows([Sentence(words, tags)], TOKENIZER, True)
    assert len(rows) > 5 and all(len(row.inputs["input_ids"]) <= 12 for row in rows)
    assert sorted(word for row in rows for _, word in row.places) == list(range(40))  # every word counts once
    assert sum(label != -100 for row in rows for label in row.inputs["labels"]) == 40
    logits = [np.eye(3)[[max(0, label) for label in row.inputs["labels"]]] for row in rows]
    assert task.decode([Sentence(words)], rows, [{"logits": each} for each in logits]) == [list(tags)]


def test_no_room():
    with pytest.raises(ValueError, match="length: leaves 0 tokens for the text"):
        Tokens(labels=("O",), length=2).rows([Sentence(("a",), ("O",))], TOKENIZER, True)


# Windows.


@pytest.mark.parametrize("number", [0, 1, 6, 7, 8, 11, 12, 13, 40])
@pytest.mark.parametrize(("room", "stride"), [(7, 0), (7, 2), (7, 3), (7, 99), (1, 0), (2, 1)])
def test_windows_cover_the_text_and_overlap(number, room, stride):
    spans, stride = windows(number, room, stride), min(stride, room // 2)
    assert spans[0][0] == 0 and spans[-1][1] == number and all(end - start <= room for start, end in spans)
    assert (len(spans) == 1) == (number <= room)
    for (start, end), (after, _) in pairwise(spans):
        assert end - start == room and end - after == stride
    for size in range(1, stride + 1):
        for begin in range(number - size + 1):
            assert any(start <= begin and begin + size <= end for start, end in spans)


@pytest.mark.parametrize("number", [1, 9, 10, 23, 40])
def test_the_best_window_sees_most_around_a_token(number):
    spans = windows(number, 9, 4)
    found = best_windows(number, spans)
    for place in range(number):
        seen = []
        for start, end in spans:
            before = place - start if start > 0 else 10**6  # nothing is cut off at the ends of the text
            after = end - 1 - place if end < number else 10**6
            seen.append(min(before, after) if start <= place < end else -1)
        assert found[place] == seen.index(max(seen))


# Predictions.


def test_predictions_are_columns(tmp_path):
    task = Tokens(labels=("O", "B-PER"))
    examples = task.read(written(tmp_path, CONLL))
    text = task.written(examples, [["O", "O", "B-PER"], ["B-PER"]])
    assert text == "EU\tNNP\tB-ORG\tO\nrejects\tVBZ\tO\tO\ncall\tNN\tO\tB-PER\n\nPeter\tNNP\tB-PER\tB-PER\n\n"
    found = task.score(examples, [["O", "O", "B-PER"], ["B-PER"]])
    assert found == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "accuracy": 0.5}
    assert task.score([*examples, Sentence(("a",))], [["O"] * 3, ["O"], ["O"]]) == {}
    assert task.example("Don't go, Peter!").words == ("Don", "'", "t", "go", ",", "Peter", "!")
    assert task.written([task.example("a b")], [["O", "B-PER"]]) == "a\tO\nb\tB-PER\n\n"
    with pytest.raises(ValueError, match="text: has no words"):
        task.example("  ")
