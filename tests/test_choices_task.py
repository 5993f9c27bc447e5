"""Multiple choice: SWAG's columns, lists in JSON, rows of choices."""

import json

import numpy as np
import pytest

import convbert_np as cb
from convbert_np.config import ConvBertConfig
from convbert_np.data import TINY
from convbert_np.tasks import Choice, Choices, task_of
from convbert_np.tasks.batches import batch_of, run_rows

TOKENIZER = cb.ConvBertTokenizerFast.from_pretrained(TINY)
HEADER = "video,sent1,sent2,ending1,ending0,ending10,ending2,label\n"


def written(tmp_path, text, name="a.csv"):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / name


def test_columns_of_swag(tmp_path):
    (found,) = Choices().read(written(tmp_path, HEADER + 'v,"A man, old",He,one,zero,ten,two,3\n'))
    assert found[:4] == ("A man, old", ("zero", "one", "two", "ten"), "He", 3) and found.place.endswith("line 2")
    path = written(tmp_path, "premise,choice0,choice1\nWhy?,a,b\n")
    task = Choices(context="premise", endings="choice")
    assert task.read(path, labelled=False)[0][:4] == ("Why?", ("a", "b"), "", None)


def test_lists_in_json(tmp_path):
    line = {"question": "Why?", "options": ["a", "b", "c"], "answer": 2}
    task = Choices(context="question", endings="options", label="answer")
    assert task.read(written(tmp_path, json.dumps(line), "a.jsonl"))[0][:4] == ("Why?", ("a", "b", "c"), "", 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sent1,label\nx,0\n", "line 2: has no columns ending0, ending1, .* or a list ending of at least two texts"),
        ("sent1,ending0,label\nx,a,0\n", "line 2: has no columns ending0"),
        ("ending0,ending1,label\na,b,0\n", "line 2: has no column 'sent1'"),
        ("sent1,ending0,ending1\nx,a,b\n", "line 2: has no column 'label'"),
        ("sent1,ending0,ending1,label\nx,a,b,2\n", "line 2: label must be a number from 0 to 1, got 2"),
        ("sent1,ending0,ending1,label\nx,a,b,a\n", "line 2: the label must be the number of an ending, from 0, got 'a'"),
        ("sent1,ending0,ending1,label\nx,a,b,-1\n", "line 2: the label must be the number of an ending"),
        ("sent1,ending0,ending1,label\n", "holds no examples"),
    ],
)
def test_files_that_are_wrong(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        Choices().read(written(tmp_path, text))


def test_examples_that_are_wrong():
    good = Choice("a", ("b", "c"), "", 0)
    with pytest.raises(ValueError, match="an example: has no label"):
        Choices().check([good, good._replace(label=None)])
    with pytest.raises(ValueError, match="here: has 3 endings, the first has 2"):
        Choices().check([good, Choice("a", ("b", "c", "d"), "", 0, "here")])
    with pytest.raises(ValueError, match="choice: must be given twice at least, got 1"):
        Choices().example("a", choice=["b"])
    assert Choices().example("a", choice=["b", "c"])[:2] == ("a", ("b", "c"))


def test_rows():
    task = Choices(length=9)
    (row, long) = task.rows(
        [Choice("the his", ("our", "you come"), "now", 1), Choice("the " * 20, ("his", "our"), "", 0)], TOKENIZER, True
    )
    assert row.inputs["labels"] == 1 and row.shape == (8, 2)
    assert row.inputs["input_ids"] == [
        TOKENIZER("the his", "now our")["input_ids"],
        TOKENIZER("the his", "now you come")["input_ids"],
    ]
    assert row.inputs["token_type_ids"][1] == TOKENIZER("the his", "now you come")["token_type_ids"]
    assert long.shape == (9, 2)
    batch = batch_of([row, long], 0)
    assert batch["input_ids"].shape == (2, 2, 9) == batch["attention_mask"].shape and batch["labels"].tolist() == [1, 0]
    assert batch["attention_mask"][0].sum(-1).tolist() == [7, 8]


def test_outputs_of_rows_with_other_numbers_of_choices():
    config = ConvBertConfig(
        vocab_size=len(TOKENIZER), hidden_size=16, embedding_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, pad_token_id=0, max_position_embeddings=32, summary_type="first",
    )  # fmt: skip
    model = cb.ConvBertForMultipleChoice(config, dtype=np.float64)
    rows = Choices(length=20).rows([Choice("the", ("his", "our")), Choice("the", ("his", "our", "you"))], TOKENIZER, False)
    outputs, loss = run_rows(model, rows, 0)
    assert [output["logits"].shape for output in outputs] == [(2,), (3,)] and np.isnan(loss)
    assert outputs[1]["logits"][:2] == pytest.approx(outputs[0]["logits"], rel=1e-10)


def test_predictions():
    task = Choices()
    logits = np.array([0.0, 2.0, 1.0])
    (found,) = task.decode([Choice("a", ("b", "c", "d"))], [], [{"logits": logits}])
    assert found["prediction"] == 1 and found["scores"] == pytest.approx((np.exp(logits) / np.exp(logits).sum()).tolist())
    examples = [Choice("a", ("b", "c"), "s", 1), Choice("a", ("b", "c"), "", 0)]
    said = [{"prediction": 1}, {"prediction": 1}]
    assert task.score(examples, said) == {"accuracy": 0.5}
    assert task.score([*examples, Choice("a", ("b", "c"))], [*said, {"prediction": 0}]) == {}
    assert list(map(json.loads, task.written(examples, said).splitlines())) == [
        {"context": "a", "endings": ["b", "c"], "stem": "s", "label": 1, "prediction": 1},
        {"context": "a", "endings": ["b", "c"], "label": 0, "prediction": 1},
    ]  # fmt: skip


def test_a_choice_is_judged_by_its_first_token():
    assert Choices().configured(ConvBertConfig())["summary_type"] == "first"
    assert Choices().configured(ConvBertConfig(summary_type="mean"))["summary_type"] == "mean"
    fields = Choices(stem="x").within(ConvBertConfig()).configured(ConvBertConfig()) | {
        "architectures": ["ConvBertForMultipleChoice"]
    }
    assert task_of(ConvBertConfig(**fields)) == Choices(stem="x", length=128)
