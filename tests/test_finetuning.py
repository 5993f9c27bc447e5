"""Fine-tuning: every start, every task learns its rule, a run that is killed ends the same, and what is wrong is named."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import convbert_np as cb
from convbert_np import cli
from convbert_np.checkpoints.tf_writer import save_tf1
from convbert_np.cli import parser
from convbert_np.cli.finetune import config_of, settings_of, tokenizer_of
from convbert_np.data import TINY
from convbert_np.interface.pretraining import ConvBertForPreTraining
from convbert_np.tasks import Answer, Choice, Classification, Question, Questions, Sentence, Text, Tokens
from convbert_np.tasks.predictor import Predictor, evaluate
from convbert_np.training.finetuning import finetune, parts_of_step, prepare, split
from convbert_np.training.loop import Settings, finish, gradients
from convbert_np.training.state import CHECKPOINT, read_log

TOKENIZER = cb.ConvBertTokenizerFast.from_pretrained(TINY)
WORDS = [word for word in TOKENIZER.get_vocab() if word.isalpha() and len(word) > 2][:30]
NEGATIVE, POSITIVE, *OTHERS = WORDS
CONFIG = cb.ConvBertConfig(
    vocab_size=len(TOKENIZER), hidden_size=32, embedding_size=16, num_hidden_layers=1, num_attention_heads=4,
    intermediate_size=48, conv_kernel_size=3, pad_token_id=0, max_position_embeddings=48, hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0, initializer_range=0.1,
)  # fmt: skip
SETTINGS = Settings(steps=80, learning_rate=5e-3, warmup_steps=10, evaluate_every=1000)


def reviews(seed=0, number=300):
    """The rule: one of two words says the class."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(number):
        label, words = int(rng.integers(2)), rng.choice(OTHERS, rng.integers(3, 9)).tolist()
        words.insert(int(rng.integers(len(words) + 1)), WORDS[label])
        found.append(Text(" ".join(words), None, ["neg", "pos"][label]))
    return found


def save(path, header, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return save(tmp_path_factory.mktemp("data") / "reviews.csv", ["text", "label"], [(e.text, e.label) for e in reviews()])


def learnt(task, examples, start=CONFIG, settings=SETTINGS, **more):
    """The evaluation after learning from four fifths of the examples."""
    _, records = finetune(task, examples, start, settings, evaluation=0.2, tokenizer=TOKENIZER, batch_size=16, **more)
    return finish(records)["evaluation"]


# Every task learns its rule.


def test_a_class():
    found = learnt("classification", reviews())
    assert found["accuracy"] > 0.95 and found["macro_f1"] > 0.95 and found["matthews"] > 0.9 and found["mean_loss"] < 0.2


def test_a_pair():
    """The rule: whether the two texts begin with the same word."""
    rng, examples = np.random.default_rng(0), []
    for _ in range(400):
        a, b = rng.choice(OTHERS[:2], 2)
        examples.append(Text(f"{a} {rng.choice(OTHERS[2:])}", f"{b} {rng.choice(OTHERS[2:])}", "same" if a == b else "other"))
    assert learnt("classification", examples, settings=Settings(200, 5e-3, 20))["accuracy"] > 0.95


def test_a_number():
    """The rule: how often a word occurs, halved."""
    rng, examples = np.random.default_rng(0), []
    for _ in range(400):
        times = int(rng.integers(5))
        words = [POSITIVE] * times + rng.choice(OTHERS, 6 - times).tolist()
        examples.append(Text(" ".join(rng.permutation(words)), None, times / 2))
    found = learnt("classification", examples, settings=Settings(150, 5e-3, 20))
    assert found["pearson"] > 0.95 and found["spearman"] > 0.95 and found["mean_squared_error"] < 0.05
    assert found["mean_loss"] == pytest.approx(found["mean_squared_error"], rel=1e-4)


def test_sets_of_classes():
    rng, examples = np.random.default_rng(0), []
    for _ in range(400):
        labels = [name for name in (NEGATIVE, POSITIVE) if rng.random() < 0.5]
        words = labels + rng.choice(OTHERS, 4).tolist()
        examples.append(Text(" ".join(rng.permutation(words)), None, labels))
    found = learnt("classification", examples, settings=Settings(150, 5e-3, 20))
    assert found["accuracy"] > 0.95 and found["micro_f1"] > 0.95 and found["macro_f1"] > 0.95


def test_a_tag_for_every_word():
    """The rule: one or two words behind one of two are an entity. Some words are many pieces, sentences longer than a row."""
    rng, examples = np.random.default_rng(0), []
    for _ in range(300):
        words, tags = [], []
        for _ in range(rng.integers(3, 9)):
            kind, size = int(rng.integers(3)), int(rng.integers(1, 3))
            some = [*rng.choice(OTHERS[1:], size - 1), rng.choice([*OTHERS[1:], *["cats"] * 9])]
            words += [[OTHERS[0], NEGATIVE, POSITIVE][kind], *some]
            tags += ["O", *([["O"] * 2, ["B-X", "I-X"], ["B-Y", "I-Y"]][kind][:size])]
        examples.append(Sentence(tuple(words), tuple(tags)))
    config = cb.ConvBertConfig.from_dict(CONFIG.to_dict(), conv_kernel_size=5)
    found = learnt(Tokens(length=24, stride=6), examples, config, settings=Settings(250, 5e-3, 20))
    assert found["f1"] > 0.95 and found["accuracy"] > 0.97


@pytest.mark.parametrize("unanswerable", [False, True])
def test_an_answer_in_a_context(unanswerable):
    """The rule: the answer is what stands behind a certain word; without it there is none. Contexts are longer than a row."""
    rng, examples = np.random.default_rng(0), []
    for number in range(300):
        words = rng.choice(OTHERS, rng.integers(10, 40)).tolist()
        place = int(rng.integers(len(words)))
        context = " ".join([*words[:place], POSITIVE, *words[place:]])
        answer = Answer(words[place], len(" ".join(words[:place])) + (place > 0) + len(POSITIVE) + 1)
        if unanswerable and rng.random() < 0.4:
            context, answer = " ".join(words), None
        examples.append(Question(str(number), "what is it", context, (answer,) if answer else ()))
    found = learnt(Questions(length=24, stride=8), examples, settings=Settings(250, 5e-3, 20))
    assert found["exact_match"] > 0.95 and found["f1"] > 0.95
    assert ("no_answer_f1" in found) == unanswerable


def test_the_best_of_several_endings():
    rng, examples = np.random.default_rng(0), []
    for _ in range(300):
        label, endings = int(rng.integers(4)), [rng.choice(OTHERS, rng.integers(2, 6)).tolist() for _ in range(4)]
        endings[label].insert(1, POSITIVE)
        examples.append(Choice(" ".join(rng.choice(OTHERS, 3)), tuple(map(" ".join, endings)), OTHERS[0], label))
    assert learnt("choices", examples, settings=Settings(100, 5e-3, 10))["accuracy"] > 0.95


# The batch of a step.


def test_parts_of_a_batch_give_the_gradients_of_the_whole():
    """Accumulated over parts of other lengths and weights, in float64, on a model whose convolution is one tap wide.

    So padding, which differs between the parts, is read by no token.
    """
    config = cb.ConvBertConfig.from_dict(CONFIG.to_dict(), conv_kernel_size=1)
    for examples in (reviews(number=40), [Text(e.text, None, 0.5 + len(e.text)) for e in reviews(number=40)]):
        ready = prepare("classification", examples, config, None, TOKENIZER)
        model, _ = finetune("classification", ready, config, SETTINGS, dtype=np.float64)
        whole, losses = gradients(model, parts_of_step(ready.rows, 3, 0, 13, 1, 0))
        parts, summed = gradients(model, parts_of_step(ready.rows, 3, 0, 13, 4, 0))
        assert summed["loss"] == pytest.approx(losses["loss"], rel=1e-12)
        for name, grad in whole.items():
            assert np.linalg.norm(parts[name] - grad) <= 1e-10 * max(1e-3, np.linalg.norm(grad)), name


def test_a_step_depends_on_seed_and_number_alone():
    ready = prepare("classification", reviews(), CONFIG, None, TOKENIZER)
    first, again, other = (list(parts_of_step(ready.rows, step, seed, 8, 2, 0)) for step, seed in ((5, 1), (5, 1), (5, 2)))
    assert [part.seed for part in first] == [(1, 4, 5, 0), (1, 4, 5, 1)]
    assert all(np.array_equal(a.inputs[name], b.inputs[name]) for a, b in zip(first, again, strict=True) for name in a.inputs)
    assert not all(np.array_equal(a.inputs["labels"], b.inputs["labels"]) for a, b in zip(first, other, strict=True))
    batches = [next(parts_of_step(ready.rows, step, 1, 10, 1, 0)).inputs["input_ids"] for step in range(30)]
    seen = sorted([token for token in row if token] for batch in batches for row in batch.tolist())
    assert seen == sorted(row.inputs["input_ids"] for row in ready.rows)  # an epoch: every row once


# Evaluation.


def test_evaluation_by_hand():
    ready = prepare("classification", reviews(), CONFIG, 0.2, TOKENIZER)
    assert len(ready.held) == 60 and len(ready.rows) == 240
    model, _ = finetune("classification", ready, CONFIG, SETTINGS, dtype=np.float64)
    losses, right = [], []
    for example in ready.held:
        inputs = TOKENIZER(example.text, return_tensors="np")
        out = model(**inputs, labels=np.array([["neg", "pos"].index(example.label)]))
        losses.append(out.loss)
        right.append(["neg", "pos"][int(np.argmax(out.logits[0]))] == example.label)
    found = evaluate(model, ready.task, ready.held, ready.held_rows, 0, 7)
    assert found["mean_loss"] == pytest.approx(np.mean(losses), rel=1e-12) and found["accuracy"] == np.mean(right)


def test_a_prediction_does_not_depend_on_what_is_beside_it(tmp_path):
    model, _ = finetune("classification", reviews(), CONFIG, SETTINGS, tokenizer=TOKENIZER, dtype=np.float64)
    predictor = Predictor(prepare("classification", reviews(), CONFIG, None, TOKENIZER).task, model, TOKENIZER)
    together = predictor(reviews(1, 20), 8)
    for example, prediction in zip(reviews(1, 20), together, strict=True):
        assert predictor([example])[0]["scores"] == pytest.approx(prediction["scores"], rel=1e-10)


def test_answers_that_are_nowhere_are_not_learnt_from_but_predicted():
    good, lost = Question("1", "a", "the his", (Answer("his", 4),)), Question("2", "a", "the his", (Answer("x", -1),))
    task = Questions(length=16)
    ready = prepare(task, [good, lost], CONFIG, [good, lost], TOKENIZER)
    assert [row.example for row in ready.rows] == [0] and len(ready.held_rows) == 2
    model, _ = finetune(task, ready, CONFIG, SETTINGS, dtype=np.float64)
    alone = prepare(task, [good], CONFIG, [good], TOKENIZER)
    found, expected = (evaluate(model, each.task, each.held, each.held_rows, 0) for each in (ready, alone))
    assert found["mean_loss"] == pytest.approx(expected["mean_loss"], rel=1e-12)
    assert set(evaluate(model, task, [lost], [ready.held_rows[1]._replace(example=0)], 0)) == {"exact_match", "f1"}
    with pytest.raises(ValueError, match="data: holds no token to train on"):
        prepare(task, [lost], CONFIG, None, TOKENIZER)


def test_rows_know_their_examples_beyond_a_thousand():
    examples = [Text(OTHERS[n % 7], None, "ab"[n % 2]) for n in range(2100)]
    ready = prepare("classification", examples, CONFIG, None, TOKENIZER)
    assert [row.example for row in ready.rows] == list(range(2100))
    assert [row.inputs["labels"] for row in ready.rows] == [n % 2 for n in range(2100)]


def test_groups_are_not_split():
    class Grouped(Classification):
        def group(self, example):
            return example.pair

    examples = [Text(str(n), "abcdef"[n % 6], "x") for n in range(60)]
    kept, held = split(Grouped(), examples, 0.34, 0)
    assert len(held) == 20 and not {e.pair for e in held} & {e.pair for e in kept}
    kept, held = split(Classification(), examples, 0.34, 0)
    assert len(held) == 20 and {e.pair for e in held} & {e.pair for e in kept}
    with pytest.raises(ValueError, match=r"held_out: 0\.9 of 1 examples"):
        split(Classification(), examples[:1], 0.9, 0)


# Where it starts from.


@pytest.mark.parametrize(
    "kind", [cb.ConvBertModel, cb.ConvBertForMaskedLM, ConvBertForPreTraining, cb.ConvBertForTokenClassification]
)
def test_any_pre_trained_directory(kind, tmp_path):
    config = cb.ConvBertConfig.from_dict(CONFIG.to_dict(), generator_hidden_size=0.5)
    start = kind(config, seed=3)
    start.save_pretrained(tmp_path)
    TOKENIZER.save_pretrained(tmp_path)
    model, _ = finetune("classification", reviews(), tmp_path, SETTINGS)
    own, given = model.named_parameters(), start.named_parameters()
    for name, value in own.items():
        if name.startswith("convbert."):
            body = (
                given[name if name in given else name.removeprefix("convbert.")] if kind is not ConvBertForPreTraining else None
            )
            assert body is None or np.array_equal(value, body), name
    if kind is ConvBertForPreTraining:
        body = cb.ConvBertModel.from_pretrained(tmp_path, output_loading_info=True)[0].named_parameters()
        assert all(np.array_equal(own[f"convbert.{name}"], value) for name, value in body.items())
    assert model.config.id2label == {0: "neg", 1: "pos"} and model.config.problem_type == "single_label_classification"


@pytest.mark.parametrize("form", ["torch", "npz", "file", "bundle", "bundle without a configuration"])
def test_any_format(form, tmp_path):
    start = cb.ConvBertModel(CONFIG, seed=3)
    path = tmp_path
    if form.startswith("bundle"):
        path = tmp_path / "model.ckpt"
        save_tf1(start, path)
    else:
        start.save_pretrained(tmp_path, format="torch" if form == "file" else form)
        path = tmp_path / "pytorch_model.bin" if form == "file" else tmp_path
    if form.endswith("configuration"):
        (tmp_path / "config.json").unlink()
    model, _ = finetune("classification", reviews(), path, SETTINGS, tokenizer=TOKENIZER)
    own = model.named_parameters()
    assert all(np.array_equal(own[f"convbert.{name}"], value) for name, value in start.named_parameters().items())
    assert model.config.hidden_size == 32 and model.config.num_labels == 2


def test_a_fine_tuned_model_is_fine_tuned_again(tmp_path):
    """With the same labels its head and their order stay; with others the head is new."""
    first, _ = finetune("classification", reviews(), CONFIG, SETTINGS, tokenizer=TOKENIZER)
    first.config.id2label = {0: "pos", 1: "neg"}
    first.save_pretrained(tmp_path)
    TOKENIZER.save_pretrained(tmp_path)
    again, _ = finetune("classification", reviews(), tmp_path, SETTINGS)
    assert again.config.id2label == {0: "pos", 1: "neg"}
    head = "classifier.out_proj.weight"
    assert np.array_equal(again.named_parameters()[head], first.named_parameters()[head])
    three = [*reviews(), Text("x", None, "neutral")]
    more, _ = finetune("classification", three, tmp_path, SETTINGS)
    assert list(more.config.id2label.values()) == ["neg", "neutral", "pos"] and more.named_parameters()[head].shape == (3, 32)


def test_what_does_not_fit(tmp_path):
    with pytest.raises(ValueError, match="tokenizer: must be given where the model is a configuration"):
        finetune("classification", reviews(), CONFIG, SETTINGS)
    with pytest.raises(ValueError, match="task: must be one of classification"):
        finetune("classify", reviews(), CONFIG, SETTINGS, tokenizer=TOKENIZER)
    with pytest.raises(ValueError, match="data: there are no examples"):
        finetune("classification", [], CONFIG, SETTINGS, tokenizer=TOKENIZER)
    with pytest.raises(ValueError, match="accumulation: must be between 1 and batch_size 4, got 5"):
        finetune("classification", reviews(), CONFIG, SETTINGS, tokenizer=TOKENIZER, batch_size=4, accumulation=5)
    small = cb.ConvBertConfig.from_dict(CONFIG.to_dict(), vocab_size=50)
    with pytest.raises(ValueError, match=f"tokenizer: has ids up to {len(TOKENIZER) - 1}, the model's vocab_size is 50"):
        finetune("classification", reviews(), small, SETTINGS, tokenizer=TOKENIZER)
    words = Sentence((POSITIVE,), ("O",))
    with pytest.raises(ValueError, match="there: the label 'B-X' is none of those to learn: O"):
        prepare("tokens", [words], CONFIG, [Sentence((POSITIVE,), ("B-X",), "there")], TOKENIZER)
    with pytest.raises(ValueError, match="an example: the label 'new' is none of those to learn: neg, pos"):
        finetune("classification", reviews(), CONFIG, SETTINGS, tokenizer=TOKENIZER, evaluation=[Text("x", None, "new")])


def test_a_body_that_does_not_fit_is_not_taken_for_a_head(tmp_path):
    TOKENIZER.save_pretrained(tmp_path)
    cb.ConvBertForMaskedLM(CONFIG).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"intermediate_size": 44}))
    with pytest.raises(ValueError, match=r"model: .* has other shapes than its configuration says: convbert\.encoder"):
        finetune("classification", reviews(), tmp_path, SETTINGS)
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 2}))
    with pytest.warns(UserWarning, match="lacks convbert.encoder.layer.1"):
        finetune("classification", reviews(), tmp_path, SETTINGS)


def test_a_model_without_its_head_does_not_predict(tmp_path):
    TOKENIZER.save_pretrained(tmp_path)
    cb.ConvBertForMaskedLM(CONFIG).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"architectures": ["ConvBertForSequenceClassification"]}))
    with pytest.raises(ValueError, match=r"model: .* lacks classifier\.dense\.weight, .*: it was not fine-tuned"):
        Predictor.from_pretrained(tmp_path)


def test_a_run_with_other_data_or_another_start_is_not_resumed(tmp_path):
    def begin(examples=None, **more):
        given = {"tokenizer": TOKENIZER, "directory": tmp_path, "batch_size": 4} | more
        finish(finetune("classification", examples or reviews(), given.pop("start", CONFIG), Settings(3, 1e-3), **given)[1])

    begin()
    begin()
    for name, change in {
        "data": {"examples": reviews(1)},
        "model": {"start": cb.ConvBertConfig.from_dict(CONFIG.to_dict(), initializer_range=0.2)},
        "batch_size": {"batch_size": 5},
        "options": {"examples": [*reviews(), Text("x", None, "third")]},
    }.items():
        with pytest.raises(ValueError, match=r"but the run in .* was started with") as caught:
            begin(**change)
        assert str(caught.value).startswith(f"{name}:") or name == "options"


# The commands.

QUICK = ["--batch-size", "8", "--save-every", "7", "--evaluate-every", "10", "--learning-rate", "0.005", "--quiet"]


def run(capsys, *arguments):
    code = cli.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A directory with a small pre-trained model."""
    directory = tmp_path_factory.mktemp("pretrained")
    cb.ConvBertForMaskedLM(CONFIG, seed=1).save_pretrained(directory)
    TOKENIZER.save_pretrained(directory)
    return directory


def test_from_a_table_to_predictions(table, start, tmp_path, capsys):
    out = tmp_path / "run"
    code, told, error = run(
        capsys, "finetune", "classification", table, "--model", start, "--out", out, "--epochs", 4, *QUICK, "--layerwise-decay", 1
    )
    assert code == 0, error
    assert "held out: mean loss" in told and "270 rows to train on, 30 examples to evaluate on, 2 labels: neg, pos" in told
    log = read_log(out)
    assert log[12]["lr"] == pytest.approx(0.005 * (1 - 12 / 135) * 12 / 13)  # a tenth of the steps are warm-up
    assert len(log) == 135 and log[-1]["evaluation"]["accuracy"] > 0.95
    assert {"checkpoint.safetensors", "config.json", "log.jsonl", "model.safetensors", "vocab.txt"} <= {
        p.name for p in out.iterdir()
    }
    code, said, error = run(capsys, "predict", table, "--model", out, "--quiet")
    found = [json.loads(line) for line in said.splitlines()]
    right = np.mean([each["label"] == each["prediction"] for each in found])
    assert code == 0 and len(found) == 300 and right > 0.95
    assert f"accuracy {right:.4f}, macro_f1 0.9" in error or right == 1
    code, said, _ = run(capsys, "predict", f"{OTHERS[0]} {POSITIVE}", "--model", out, "--quiet")
    assert code == 0 and json.loads(said)["prediction"] == "pos"
    other = save(tmp_path / "other.csv", ["review", "label"], [(POSITIVE, "pos"), (NEGATIVE, "new")])
    target = tmp_path / "said.jsonl"
    code, said, error = run(capsys, "predict", other, "--model", out, "--quiet", "--out", target, "--option", "text=review")
    assert code == 0 and said == "" and "accuracy 0.5000" in error and "line 3: the label 'new' is none" in error
    assert [json.loads(line)["prediction"] for line in target.read_text().splitlines()] == ["pos", "neg"]


@pytest.mark.parametrize("task", ["tokens", "questions", "choices"])
def test_every_task_has_its_commands(task, start, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("convbert_np.cli.finetune.draw", lambda *given: None)
    asked = [
        {"id": f"{n}", "question": "you ?", "answers": [{"text": "his", "answer_start": 4}], "context": "the his our " * n}
        for n in range(1, 11)
    ]
    squad = {"data": [{"paragraphs": [{"context": each.pop("context"), "qas": [each]} for each in asked]}]}
    files = {
        "tokens": ("a.conll", "the X O\nhis Y B-P\n\nour Z B-P\n\n" * 5),
        "questions": ("a.json", json.dumps(squad)),
        "choices": ("a.csv", "sent1,sent2,ending0,ending1,label\n" + "the,his,our,you,1\nyou,our,his,now,0\n" * 5),
    }
    name, text = files[task]
    (tmp_path / name).write_text(text, encoding="utf-8")
    out, data = tmp_path / "run", tmp_path / name
    code, told, error = run(
        capsys, "finetune", task, data, "--model", start, "--out", out, "--steps", 3, "--length", 16, *QUICK, "--recompute"
    )
    assert code == 0 and "held out: mean loss" in told, error
    code, said, error = run(capsys, "predict", data, "--model", out, "--quiet", "--details", tmp_path / "details.jsonl")
    details = [json.loads(line) for line in (tmp_path / "details.jsonl").read_text().splitlines()]
    assert code == 0 and len(details) == 10
    if task == "tokens":
        columns = [line.split("\t") for line in said.splitlines()]
        assert columns[:5] == [["the", "X", "O", details[0][0]], ["his", "Y", "B-P", details[0][1]], [""],
                               ["our", "Z", "B-P", details[1][0]], [""]]  # fmt: skip
        assert len(columns) == 25 and "f1 " in error
        text = ["now you."]
    elif task == "questions":
        assert json.loads(said) == {each["id"]: each["prediction"] for each in details} and "exact_match " in error
        assert len(details[9]["n_best"]) == 20
        text = ["you ?", "--context", "the his our"]
    else:
        assert [json.loads(line)["prediction"] for line in said.splitlines()] == [each["prediction"] for each in details]
        assert "accuracy " in error
        text = ["the", "--choice", "his", "--choice", "our"]
    code, said, error = run(capsys, "predict", *text, "--model", out, "--quiet")
    assert code == 0 and said.strip() and error == "", error
    code, _, error = run(capsys, "predict", *text, "--pair", "x", "--model", out, "--quiet")
    assert code == 2 and f"--pair: is nothing that the task {task} looks at" in error


def begin(table, start, out):
    arguments = [
        "finetune",
        "classification",
        table,
        "--model",
        start,
        "--out",
        out,
        "--steps",
        "60",
        "--accumulation",
        "2",
        *QUICK,
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "CONVBERT_NP_KERNELS": "default"}
    command = [sys.executable, "-m", "convbert_np.cli", *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def steps_in(out):
    log = out / "log.jsonl"
    return log.read_bytes().count(b"\n") if log.exists() else 0


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here")
def test_killed_at_random_points_it_ends_with_the_same_parameters(table, start, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    processes, codes = [begin(table, start, whole)], []
    for steps in np.sort(np.random.default_rng(2).integers(1, 50, 3)).tolist():
        process = begin(table, start, killed)
        while process.poll() is None and steps_in(killed) < steps:
            time.sleep(0.001)
        process.kill()
        process.communicate()
        codes.append(process.returncode)
    assert codes.count(-signal.SIGKILL) > 1  # a busy machine may look too late
    processes.append(begin(table, start, killed))
    for process in processes:
        _, error = process.communicate()
        assert process.returncode == 0, error.decode()
    for name in ("model.safetensors", CHECKPOINT, "config.json", "tokenizer.json"):
        assert (whole / name).read_bytes() == (killed / name).read_bytes(), name
    logs = [[{k: v for k, v in record.items() if k != "seconds"} for record in read_log(out)] for out in (whole, killed)]
    assert logs[0] == logs[1] and len(logs[0]) == 60 and "evaluation" in logs[0][9]


def test_the_defaults_are_those_of_the_original(table, start, tmp_path):
    """Rates by the sizes, decayed by layer where there is something to keep."""

    def settings(*more):
        parsed = parser().parse_args(["finetune", "classification", str(table), "--out", "x", "--quiet", *map(str, more)])
        tokenizer = tokenizer_of(parsed)
        config = config_of(parsed, tokenizer) if parsed.from_scratch else parsed.model
        return settings_of(parsed, prepare("classification", table, config, 0.1, tokenizer))

    found = settings("--model", start)
    assert (found.learning_rate, found.layerwise_decay, found.optimizer, found.schedule) == (3e-4, 0.8, "bert", "bert")
    assert (found.steps, found.warmup_steps, found.weight_decay, found.evaluate_every) == (25, 2, 0.01, 8)  # 270 rows
    found = settings("--from-scratch", "--model", start)
    assert (found.learning_rate, found.layerwise_decay) == (3e-4, 1.0)
    found = settings("--from-scratch", "--vocab", TINY, "--size", "base", "--steps", 7)
    assert (found.learning_rate, found.steps, found.warmup_steps) == (1e-4, 7, 0)


def test_from_scratch(table, start, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("convbert_np.cli.finetune.draw", lambda *given: None)  # which takes a second each
    common = ["finetune", "classification", table, "--steps", 2, *QUICK, "--from-scratch"]
    code, _, error = run(capsys, *common, "--model", start, "--out", tmp_path / "a", "--seed", 4)
    assert code == 0, error
    sizes = cb.ConvBertConfig.from_pretrained(tmp_path / "a")
    assert (sizes.hidden_size, sizes.max_position_embeddings) == (32, 48)
    pre = cb.ConvBertForMaskedLM.from_pretrained(start).named_parameters()
    own = cb.ConvBertForSequenceClassification.from_pretrained(tmp_path / "a").named_parameters()
    name = "convbert.encoder.layer.0.attention.self.query.weight"
    assert np.abs(pre[name] - own[name]).max() > 0.05
    code, _, error = run(
        capsys, *common, "--vocab", TINY / "vocab.txt", "--size", "tiny", "--length", 20, "--out", tmp_path / "b"
    )
    assert code == 0, error
    sizes = cb.ConvBertConfig.from_pretrained(tmp_path / "b")
    assert (sizes.hidden_size, sizes.max_position_embeddings, sizes.vocab_size) == (128, 20, len(TOKENIZER))
    (tmp_path / "c.json").write_text(json.dumps(CONFIG.to_dict() | {"hidden_size": 16}))
    code, _, error = run(capsys, *common, "--vocab", TINY, "--config", tmp_path / "c.json", "--out", tmp_path / "c")
    assert code == 0 and cb.ConvBertConfig.from_pretrained(tmp_path / "c").hidden_size == 16, error


def test_without_a_model_it_starts_from_that_of_the_package(table, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("convbert_np.cli.finetune.draw", lambda *given: None)
    code, _, error = run(
        capsys, "finetune", "classification", table, "--steps", 1, *QUICK, "--learning-rate", 0, "--out", tmp_path / "a"
    )
    assert code == 0, error
    own = cb.ConvBertForSequenceClassification.from_pretrained(tmp_path / "a").named_parameters()
    package = cb.ConvBertForMaskedLM.from_pretrained(TINY).named_parameters()
    body = {name: p for name, p in package.items() if name.startswith("convbert.")}
    assert len(body) > 90
    for name, p in body.items():
        np.testing.assert_array_equal(own[name], p, err_msg=name)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--model", "nowhere"], "nowhere"),
        (["--from-scratch"], "--vocab: must be given with --from-scratch"),
        (["--model", "START", "--size", "tiny"], "--from-scratch: must be given with --config and --size"),
        (["--model", "START", "--out", "START"], "--out: must be another directory than --model"),
        (["--model", "START", "--length", "99"], "length: must be between 3 and the model's max_position_embeddings 48, got 99"),
        (["--model", "START", "--text", "review"], "line 2: has no column 'review'"),
        (["--model", "START", "--problem", "regression"], "line 2: the label of a regression must be a finite number"),
        (["--model", "START", "--epochs", "0"], "--epochs: must be above 0"),
        (["--model", "START", "--learning-rate", "-1"], "learning_rate: must be finite and not negative"),
        (["--model", "START", "--held-out", "1"], "held_out: must be a share"),
        (["--model", "START", "--eval", "nowhere.csv"], "nowhere.csv: there is no such file"),
        (["--model", "START", "--accumulation", "9"], "accumulation: must be between 1 and batch_size 8"),
    ],
)
def test_misuse(table, start, tmp_path, capsys, more, message):
    given = [start if word == "START" else word for word in more]
    code, _, error = run(capsys, "finetune", "classification", table, "--out", tmp_path / "run", *QUICK, *given)
    assert code == 2 and message in error, error
    assert not (tmp_path / "run" / CHECKPOINT).exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["some text"], "model: is a ConvBertForMaskedLM, which was not fine-tuned"),
        (["some text", "--out", "nowhere/said.jsonl"], "--out: 'nowhere/said.jsonl' cannot be written"),
    ],
)
def test_misuse_of_predict(start, capsys, more, message):
    code, _, error = run(capsys, "predict", "--model", start, *more)
    assert code == 2 and message in error, error


def test_predict_names_what_is_wrong(table, tmp_path, capsys):
    model, _ = finetune("classification", reviews(), CONFIG, SETTINGS, tokenizer=TOKENIZER)
    model.save_pretrained(tmp_path)
    TOKENIZER.save_pretrained(tmp_path)
    for more, message in (
        (["nowhere.csv"], "nowhere.csv: there is no such file"),
        ([table, "--pair", "x"], "--pair: is for a TEXT"),
        (["x", "--option", "texts=y"], "--option: must be NAME=VALUE with a NAME of"),
        (["x", "--option", "length=y"], "--option: length must be a number, got 'y'"),
        (["x", "--option", "length=500"], "length: must be between 3 and"),
        (["x", "--option", "header=maybe"], "--option: header must be one of true, false"),
    ):
        code, _, error = run(capsys, "predict", "--model", tmp_path, *more)
        assert code == 2 and message in error, error


def test_it_stops_at_what_is_not_finite(table, start, tmp_path, capsys):
    code, _, error = run(
        capsys,
        "finetune",
        "classification",
        table,
        "--model",
        start,
        "--out",
        tmp_path,
        "--steps",
        40,
        *QUICK,
        "--learning-rate",
        1e30,
    )
    assert code == 1 and "is not finite; the first value that is not is" in error
    assert not (tmp_path / "model.safetensors").exists()
