"""`convbert-np pretrain` and `fill-mask`: from text to a model that answers; killed at random points it ends the same."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import convbert_np as cb
from convbert_np import cli
from convbert_np.interface.pretraining import ConvBertForMaskedPositions, ConvBertForPreTraining
from convbert_np.training.corpus import documents_of
from convbert_np.training.loop import Settings, finish
from convbert_np.training.pretraining import corpus_of, evaluate, pretrain
from convbert_np.training.state import CHECKPOINT, read_log

SMALL = [
    "--vocab-size",
    "120",
    "--layers",
    "1",
    "--hidden-size",
    "16",
    "--embedding-size",
    "8",
    "--heads",
    "4",
    "--intermediate-size",
    "20",
    "--kernel-size",
    "3",
    "--generator-size",
    "0.5",
    "--length",
    "16",
    "--batch-size",
    "6",
    "--accumulation",
    "2",
    "--held-out",
    "0.2",
    "--evaluate-every",
    "10",
    "--save-every",
    "3",
    "--quiet",
]
WORDS = [
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "red",
    "mat",
    "and",
    "saw",
    "two",
    "birds",
    "fly",
    "over",
    "old",
    "trees",
    "near",
    "water",
]


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """A text with a pattern: every word is followed by the next of the list, or by itself."""
    rng, lines = np.random.default_rng(0), []
    for _ in range(60):
        place, words = int(rng.integers(16)), []
        for _ in range(12):
            words.append(WORDS[place % 16])
            place += int(rng.random() < 0.8)
        lines += [" ".join(words) + ".", ""]
    path = tmp_path_factory.mktemp("text") / "corpus.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def run(capsys, *arguments):
    code = cli.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize("objective", ["mlm", "rtd"])
def test_from_text_to_a_model_that_answers(text, tmp_path, capsys, objective):
    out = tmp_path / "run"
    code, told, _ = run(capsys, "pretrain", text, "--out", out, "--objective", objective, "--steps", 12, *SMALL)
    assert code == 0 and "step 12: loss" in told and "held out: masked loss" in told
    can_draw = importlib.util.find_spec("matplotlib") is not None
    assert ("no picture of the curves: that needs matplotlib" in told) != can_draw
    assert {path.name for path in out.iterdir()} == {
        "checkpoint.safetensors", "config.json", "log.jsonl", "model.safetensors", "special_tokens_map.json",
        "tokenizer.json", "tokenizer_config.json", "vocab.txt", *(["curves.png"] if can_draw else []),
    }  # fmt: skip
    log = read_log(out)
    assert [record["step"] for record in log] == list(range(1, 13))
    assert [record["step"] for record in log if "evaluation" in record] == [10, 12]
    assert ("detection_loss" in log[-1]["evaluation"]) == (objective == "rtd") == ("generator_loss" in log[0])
    config = json.loads((out / "config.json").read_text())
    kind = "ConvBertForMaskedLM" if objective == "mlm" else "ConvBertForPreTraining"
    assert config["architectures"] == [kind] and config["pad_token_id"] == 0
    code, told, err = run(capsys, "fill-mask", "the cat sat [MASK] a red [MASK].", "--model", out, "--top", 2)
    assert code == 0 and [line[:9] for line in told.splitlines()] == ["[MASK] 1:", "[MASK] 2:"] and told.count("%") == 4, err
    parameters = (out / "model.safetensors").read_bytes()
    code, told, _ = run(capsys, "pretrain", text, "--out", out, "--objective", objective, "--steps", 12, *SMALL)
    assert code == 0 and "step 12: loss" in told and (out / "model.safetensors").read_bytes() == parameters


def test_it_learns_the_pattern(text):
    tokenizer = cb.ConvBertTokenizerFast(write_vocabulary(text))
    corpus = corpus_of(documents_of(text.read_text().split("\n")), tokenizer, 16, progress=False)
    sizes = {"hidden_size": 24, "embedding_size": 16, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 32}
    dropouts = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    more = {"max_position_embeddings": 16, "pad_token_id": 0, "generator_hidden_size": 0.5}
    config = cb.ConvBertConfig(vocab_size=corpus.vocab_size, **sizes, **dropouts, **more)
    for objective, steps, most in (("mlm", 300, 2.0), ("rtd", 200, 3.0)):
        model, records = pretrain(corpus, config, Settings(steps, 0.01, 10), objective=objective, batch_size=16)
        before = evaluate(model, corpus)
        assert before["masked_loss"] == pytest.approx(np.log(corpus.vocab_size), abs=0.1)
        finish(records)
        after = evaluate(model, corpus)
        assert after["masked_loss"] < most and after["masked_accuracy"] > 0.15 > 2 * before["masked_accuracy"]
        assert after == evaluate(model, corpus) and after["perplexity"] == pytest.approx(np.exp(after["masked_loss"]))
        if isinstance(model, ConvBertForPreTraining):
            assert after["detection_loss"] < 0.34 < before["detection_loss"]  # saying the share of fakes alone gives .37
            assert 0 <= after["detection_recall"] <= 1 and after["detection_accuracy"] > 0.88


def write_vocabulary(text):
    tokens = cb.train_wordpiece(list(documents_of(text.read_text().split("\n"))), 110, progress=False)
    cb.write_vocabulary(tokens, text.parent / "vocab.txt")
    return str(text.parent / "vocab.txt")


def test_evaluation_is_that_of_the_full_model(text):
    """The counts by hand, from the logits of all positions."""
    tokenizer = cb.ConvBertTokenizerFast(write_vocabulary(text))
    corpus = corpus_of(documents_of(text.read_text().split("\n")), tokenizer, 16, progress=False)
    sizes = {"hidden_size": 16, "embedding_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 9}
    model = cb.ConvBertForMaskedLM(cb.ConvBertConfig(vocab_size=corpus.vocab_size, max_position_embeddings=16, **sizes))
    found = evaluate(model, corpus, 7)
    from convbert_np.training.masking import BERT_MASKING

    losses, right = [], []
    for begin in range(0, len(corpus.rows), 7):
        rng = np.random.default_rng((5, begin))
        inputs = corpus.inputs_of(corpus.rows[begin : begin + 7], rng, BERT_MASKING)
        out = model(**inputs, reduction="none")
        kept = inputs["labels"] != -100
        losses.append(out.loss[kept])
        right.append((np.argmax(out.logits, -1) == inputs["labels"])[kept])
    assert found["masked_loss"] == pytest.approx(np.concatenate(losses).mean(), rel=1e-5)
    assert found["masked_accuracy"] == pytest.approx(np.concatenate(right).mean(), rel=1e-12)
    assert isinstance(model, cb.ConvBertForMaskedLM) and not isinstance(model, ConvBertForMaskedPositions)


# Killed.


def start(text, out, objective):
    arguments = ["pretrain", str(text), "--out", str(out), "--objective", objective, "--steps", "40", *SMALL]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "CONVBERT_NP_KERNELS": "default"}
    return subprocess.Popen(
        [sys.executable, "-m", "convbert_np.cli", *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def kill_when(process, ready):
    """Kill a process as soon as something is true; whether it came to that before the process ended."""
    while process.poll() is None:
        if ready():
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            return True
        time.sleep(0.001)
    process.communicate()
    return False


def steps_in(out: Path) -> int:
    log = out / "log.jsonl"
    return log.read_bytes().count(b"\n") if log.exists() else 0


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here")
@pytest.mark.parametrize("objective", ["mlm", "rtd"])
def test_killed_at_random_points_it_ends_with_the_same_parameters(text, tmp_path, objective):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = start(text, whole, objective)
    _, error = process.communicate()
    assert process.returncode == 0, error.decode()
    rng = np.random.default_rng(6)
    points = [lambda: (killed / "vocab.txt").exists()]
    points += [lambda n=n: steps_in(killed) >= n for n in np.sort(rng.integers(1, 38, 3)).tolist()]
    points += [lambda: (killed / CHECKPOINT).exists() and any(killed.glob(".convbert-np-*"))]  # while it writes
    kills = [kill_when(start(text, killed, objective), ready) for ready in points]
    assert all(kills[:4])
    process = start(text, killed, objective)
    _, error = process.communicate()
    assert process.returncode == 0, error.decode()
    for name in ("model.safetensors", CHECKPOINT, "vocab.txt"):
        assert (whole / name).read_bytes() == (killed / name).read_bytes(), name
    logs = [[{k: v for k, v in record.items() if k != "seconds"} for record in read_log(out)] for out in (whole, killed)]
    assert logs[0] == logs[1] and len(logs[0]) == 40
    assert not list(killed.glob(".convbert-np-*"))


# Errors.


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--vocab-size", "3"], "vocab_size must be at least"),
        (["--held-out", "1"], "held_out: must be a share"),
        (["--length", "2"], "length: must be at least 3"),
        (["--accumulation", "7"], "accumulation: must be between 1 and batch_size 6"),
        (["--learning-rate", "-1"], "learning_rate: must be finite and not negative"),
        (["--warmup", "99999"], "warmup_steps: must be between 0 and total_steps"),
        (["--hidden-size", "15"], "hidden_size"),
        (["--vocab", "nowhere.txt"], "nowhere.txt"),
    ],
)
def test_misuse(text, tmp_path, capsys, more, message):
    code, _, error = run(capsys, "pretrain", text, "--out", tmp_path / "run", *SMALL, *more)
    assert code == 2 and message in error, error
    assert not (tmp_path / "run" / CHECKPOINT).exists()


def test_a_run_with_other_options_is_not_resumed(text, tmp_path, capsys):
    assert run(capsys, "pretrain", text, "--out", tmp_path, "--steps", 3, *SMALL)[0] == 0
    code, _, error = run(capsys, "pretrain", text, "--out", tmp_path, "--steps", 4, *SMALL)
    assert code == 2 and "steps: is 4, but the run in" in error and "was started with 3" in error
    other = tmp_path / "other.txt"
    other.write_text(text.read_text() + "\n\nmore birds.\n" * 9, encoding="utf-8")
    code, _, error = run(capsys, "pretrain", other, "--out", tmp_path, "--steps", 3, *SMALL)
    assert code == 2 and "corpus: is" in error


def test_fill_mask_needs_a_mask(capsys):
    code, _, error = run(capsys, "fill-mask", "no mask here")
    assert code == 2 and "text: has no [MASK] to fill in" in error
    code, _, error = run(capsys, "fill-mask", "one two " * 80 + "[MASK]")
    assert code == 2 and "the model takes at most 128" in error
