"""Sequence classification: what files hold, how labels are understood, what predictions are."""

import json

import numpy as np
import pytest

from convbert_np import ConvBertTokenizerFast
from convbert_np.config import ConvBertConfig
from convbert_np.data import TINY
from convbert_np.tasks import Classification, Text, task_of
from convbert_np.tasks.batches import Row, alike, batch_of, padded, weight_of
from convbert_np.tasks.files import read_table


def written(tmp_path, name, text, encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding) if isinstance(text, str) else text)
    return path


def texts(examples):
    return [tuple(example)[:3] for example in examples]


# Files.


def test_csv_with_bom_quotes_newlines_and_blank_lines(tmp_path):
    text = 'label,text\r\npos,"a ""good"", long\r\nfilm"\r\n\r\nneg, bad\r\n'
    found = Classification().read(written(tmp_path, "a.csv", text, "utf-8-sig"))
    assert texts(found) == [('a "good", long\r\nfilm', None, "pos"), (" bad", None, "neg")]
    assert found[0].place.endswith("a.csv, line 3") and found[1].place.endswith("a.csv, line 5")


def test_tsv_has_no_quotes(tmp_path):
    found = Classification().read(written(tmp_path, "a.tsv", 'text\ttext_pair\tlabel\n"hi" I said\t"the end\t1\n'))
    assert texts(found) == [('"hi" I said', '"the end', "1")]


def test_json_lines(tmp_path):
    lines = [{"text": "a", "label": "x", "more": [1]}, {"text": "b", "label": 3}, {"text": "c", "label": None}]
    found = Classification().read(written(tmp_path, "a.jsonl", "\n".join(map(json.dumps, lines)) + "\n\n"))
    assert texts(found) == [("a", None, "x"), ("b", None, 3), ("c", None, None)]
    assert texts(Classification().read(written(tmp_path, "a.json", "\n".join(map(json.dumps, lines))))) == texts(found)
    listed = Classification().read(written(tmp_path, "a.json", "\n " + json.dumps(lines, indent=1)))
    assert texts(listed) == texts(found) and listed[1].place.endswith("a.json, item 2")


def test_without_a_header_columns_are_numbers(tmp_path):
    task = Classification(header=False, text="3", pair="1", label="2")
    assert texts(task.read(written(tmp_path, "a.csv", "p,yes,t\n"))) == [("t", "p", "yes")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "holds no examples"),
        ("a.csv", "text,label\n\n", "holds no examples"),
        ("a.csv", "sentence,label\nx,y\n", "line 2: has no column 'text', only 'sentence', 'label'; the option 'text'"),
        ("a.csv", "text,class\nx,y\n", "line 2: has no column 'label'"),
        ("a.csv", "text,label\nx,y,z\n", "line 2: has 3 cells, the first line has 2"),
        ("a.csv", "text,text\nx,y\n", "line 1: names the column 'text' twice"),
        ("a.csv", 'text,label\n"x,y\n', "line 2: unexpected end of data"),
        ("a.csv", b"text,label\nok,y\n\xff,y\n", "line 3: is not UTF-8"),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text": \n', "line 2: is not valid JSON"),
        ("a.jsonl", "[1]\n", "line 1: must hold a JSON object, holds a list"),
        ("a.jsonl", '{"text": 5, "label": 1}\n', "line 1: text must be text, is 5"),
        ("a.json", '[{"text": "a", "label": 1}, 2]', "item 2: must hold a JSON object, holds a int"),
        ("a.json", "[", "is not valid JSON"),
        ("a.xlsx", "", "must end in .csv, .tsv, .jsonl"),
    ],
)
def test_files_that_are_wrong(tmp_path, name, content, message):
    with pytest.raises(ValueError, match=message) as caught:
        Classification().read(written(tmp_path, name, content))
    assert name in str(caught.value)


def test_a_file_that_is_not_there():
    with pytest.raises(FileNotFoundError, match=r"nowhere\.csv: there is no such file"):
        read_table("nowhere.csv")


def test_without_labels_where_none_are_asked_for(tmp_path):
    path = written(tmp_path, "a.csv", "text\nx\n")
    assert texts(Classification().read(path, labelled=False)) == [("x", None, None)]
    with pytest.raises(ValueError, match="has no column 'label'"):
        Classification().read(path)
    with pytest.raises(ValueError, match="has no column 'other'"):
        Classification(pair="other").read(path, labelled=False)


# Labels.


@pytest.mark.parametrize(
    ("labels", "problem", "names"),
    [
        (["b", "a", "b"], "single_label_classification", ("a", "b")),
        (["--5", "4"], "single_label_classification", ("--5", "4")),
        (["10", "9", "-2"], "single_label_classification", ("-2", "9", "10")),
        (["²", "1"], "single_label_classification", ("1", "²")),
        (["10", "9", "2"], "single_label_classification", ("2", "9", "10")),
        ([10, 9, 2.0], "single_label_classification", ("10", "2.0", "9")),
        (["1.5", "2"], "regression", ()),
        ([0.25, 1], "regression", ()),
        ([True, False], "single_label_classification", ("False", "True")),
        (["1.5", "x"], "single_label_classification", ("1.5", "x")),
        ([["a"], ["c", "b"], []], "multi_label_classification", ("a", "b", "c")),
    ],
)
def test_the_problem_follows_from_the_labels(labels, problem, names):
    task = Classification().fitted([Text("t", None, label) for label in labels])
    assert task.problem == problem and task.labels == names
    task.check([Text("t", None, label) for label in labels])


def test_labels_that_were_named_come_first():
    examples = [Text("t", None, label) for label in ("b", "a")]
    assert Classification(labels=("z", "b")).fitted(examples).labels == ("z", "b", "a")


def test_sets_in_cells():
    task = Classification(problem="multi_label_classification").fitted([Text("t", None, "a | c"), Text("t", None, "")])
    assert task.labels == ("a", "c")
    assert [row.inputs["labels"] for row in task.within(ConvBertConfig()).rows(
        [Text("t", None, "c|a"), Text("t", None, ""), Text("t", None, "a")], ConvBertTokenizerFast.from_pretrained(TINY), True
    )] == [[1.0, 1.0], [0.0, 0.0], [1.0, 0.0]]  # fmt: skip


@pytest.mark.parametrize(
    ("problem", "labels", "new", "message"),
    [
        (None, ["a", "b"], "c", "here: the label 'c' is none of those to learn: a, b"),
        (None, ["a", "b"], "", "here: has no label"),
        (None, ["a", "b"], None, "here: has no label"),
        (None, ["a", "b"], ["a"], "here: the label .* does not fit"),
        (None, ["a", "b"], {"a": 1}, "here: a label must be text or a number"),
        ("regression", ["1", "2"], "x", "here: the label of a regression must be a finite number, got 'x'"),
        ("regression", ["1", "2"], "nan", "here: the label of a regression must be a finite number"),
        ("multi_label_classification", ["a", "b"], None, "here: has no label"),
        ("multi_label_classification", ["a", "b"], "a|d", "here: the label 'd'"),
    ],
)
def test_labels_that_are_wrong(problem, labels, new, message):
    task = Classification(problem=problem).fitted([Text("t", None, label) for label in labels])
    with pytest.raises(ValueError, match=message):
        task.check([Text("t", None, new, "here")])


def test_one_class_is_too_few():
    with pytest.raises(ValueError, match="at least two classes to tell apart, the examples have a"):
        Classification().fitted([Text("t", None, "a")] * 3)


# What the model reads, and says.


def test_rows_are_the_tokenizer_s_and_cut_at_the_length():
    tokenizer = ConvBertTokenizerFast.from_pretrained(TINY)
    task = Classification(length=9).fitted([Text("the his", "our", "a"), Text("x", None, "b")])
    examples = [Text("the his", "our you", "b"), Text("the his our " * 9, None, "a"), Text("the " * 9, "you " * 4, "a")]
    rows = task.rows(examples, tokenizer, True)
    assert [row.inputs["labels"] for row in rows] == [1, 0, 0] and [row.example for row in rows] == [0, 1, 2]
    expected = tokenizer("the his", "our you")
    assert rows[0].inputs["input_ids"] == expected["input_ids"]
    assert rows[0].inputs["token_type_ids"] == expected["token_type_ids"] and 1 in expected["token_type_ids"]
    assert [row.shape for row in rows[1:]] == [(9,), (9,)]
    assert rows[2].inputs["token_type_ids"].count(1) == 4  # the longer text loses first
    assert "labels" not in task.rows(examples, tokenizer, False)[0].inputs


def test_decisions():
    task = Classification().fitted([Text("", None, label) for label in "abc"])
    logits = np.array([1.0, 3.0, -1.0])
    found = task.decision(logits)
    assert found["prediction"] == "b"
    assert found["scores"] == pytest.approx(dict(zip("abc", np.exp(logits) / np.exp(logits).sum(), strict=True)))
    many = Classification(labels=("a", "b", "c"), problem="multi_label_classification")
    assert many.decision(logits)["prediction"] == ["a", "b"]
    assert many.decision(logits)["scores"]["c"] == pytest.approx(1 / (1 + np.e))
    assert Classification(problem="regression").decision(logits[:1]) == {"prediction": 1.0}


def test_scores():
    task = Classification(labels=("a", "b"), problem="single_label_classification")
    said = [{"prediction": name} for name in "abb"]
    assert task.score([Text("", None, name) for name in "abc"], said)["accuracy"] == pytest.approx(2 / 3)  # c is not known
    assert task.score([Text("", None, name) for name in ("a", None, "b")], said) == {}
    numbers = Classification(problem="regression")
    found = numbers.score([Text("", None, n) for n in ("1", 2, "3.5")], [{"prediction": n} for n in (1.0, 2.0, 4.5)])
    assert found["spearman"] == pytest.approx(1) and found["mean_squared_error"] == pytest.approx(1 / 3)
    many = Classification(labels=("a", "b"), problem="multi_label_classification")
    found = many.score([Text("", None, ["a"]), Text("", None, "a|b")], [{"prediction": ["a"]}, {"prediction": ["b"]}])
    assert found == {"accuracy": 0.5, "micro_f1": 0.8, "macro_f1": pytest.approx((2 / 3 + 1) / 2)}


def test_predictions_are_written_as_json_lines():
    task = Classification(labels=("a", "b"), problem="single_label_classification")
    text = task.written([Text("ü", None, "a", "x"), Text("v", "w")], [{"prediction": "a"}, {"prediction": "b"}])
    assert list(map(json.loads, text.splitlines())) == [
        {"text": "ü", "label": "a", "prediction": "a"}, {"text": "v", "pair": "w", "prediction": "b"},
    ]  # fmt: skip


# The configuration remembers the task.


def test_the_configuration_remembers_the_task():
    task = Classification(text="review", header=False).fitted([Text("", None, label) for label in "ba"])
    task = task.within(ConvBertConfig(max_position_embeddings=64))
    assert task.length == 64
    fields = task.configured(ConvBertConfig()) | {"architectures": ["ConvBertForSequenceClassification"]}
    config = ConvBertConfig.from_dict(ConvBertConfig().to_dict(), **fields)
    config = ConvBertConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert config.id2label == {0: "a", 1: "b"} and config.label2id == {"a": 0, "b": 1}
    assert config.problem_type == "single_label_classification" and task_of(config) == task


def test_a_model_that_was_fine_tuned_elsewhere():
    fields = {"architectures": ["ConvBertForSequenceClassification"], "id2label": {0: "no", 1: "yes"}}
    assert task_of(ConvBertConfig(**fields)) == Classification(
        labels=("no", "yes"), problem="single_label_classification", length=128
    )
    assert task_of(ConvBertConfig(**(fields | {"id2label": {0: "x"}}))).problem == "regression"
    for odd in ([1], {"classification": 3}, {"classification": {"unknown": 1, "labels": ["x"]}}, {"summary": {"text": "x"}}):
        assert task_of(ConvBertConfig(**fields, task_specific_params=odd)).text == "text"
    with pytest.raises(ValueError, match="model: is a ConvBertModel, which was not fine-tuned"):
        task_of(ConvBertConfig(architectures=["ConvBertModel"]))


@pytest.mark.parametrize("length", [2, 513])
def test_a_length_that_the_model_does_not_take(length):
    with pytest.raises(ValueError, match=f"length: must be between 3 and the model's max_position_embeddings 512, got {length}"):
        Classification(length=length).within(ConvBertConfig())


# Batches.


def test_padding():
    assert padded([3, 5], 0).tolist() == [3, 5]
    assert padded([[1, 2], [3]], 7).tolist() == [[1, 2], [3, 7]]
    assert padded([[[1], [2, 3]], [[4, 5, 6], [7]]], 0).tolist() == [[[1, 0, 0], [2, 3, 0]], [[4, 5, 6], [7, 0, 0]]]
    rows = [Row({"input_ids": [4, 5], "labels": [1, -100]}, 0), Row({"input_ids": [4, 5, 6], "labels": [-100, 2, 0]}, 1)]
    batch = batch_of(rows, 9)
    assert batch["input_ids"].tolist() == [[4, 5, 9], [4, 5, 6]] and batch["attention_mask"].tolist() == [[1, 1, 0], [1, 1, 1]]
    assert batch["labels"].tolist() == [[1, -100, -100], [-100, 2, 0]]
    assert "attention_mask" not in batch_of(rows[:1], 9)
    assert [weight_of(row) for row in rows] == [1, 2]
    assert weight_of(Row({"input_ids": [1], "labels": [0.0, 1.0]}, 0)) == 1 == weight_of(Row({"input_ids": [1]}, 0))


def test_batches_of_one_length():
    rows = [Row({"input_ids": [1] * length}, 0) for length in (3, 5, 3, 3, 4)]
    assert list(alike(rows, 2)) == [[1], [4], [0, 2], [3]]
