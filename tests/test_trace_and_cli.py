"""trace(out), the exploration of a sentence, and the command line."""

import json
import subprocess
import sys
import warnings

import numpy as np
import pytest
from small import UNTRAINED, inputs_for, make

import convbert_np as cb
from convbert_np import cli
from convbert_np.data import TINY
from convbert_np.verify import selftest as selftest_module
from convbert_np.verify.explore import explore
from convbert_np.verify.selftest import selftest

SENTENCE = "The capital of France is [MASK]."


@pytest.fixture(scope="module")
def tiny():
    return cb.ConvBertForMaskedLM.from_pretrained(UNTRAINED, dtype=np.float64), cb.ConvBertTokenizer.from_pretrained(UNTRAINED)


def run(capsys, *arguments):
    code = cli.main(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_trace_shows_each_array_once_in_order_of_computation():
    model = make("masked_lm")
    out = model(**inputs_for("masked_lm", model))
    grads = model.backward(out, intermediates=True)
    traced = cb.trace(out, grads)
    names = traced.names()
    assert len(names) == len(set(names)) == len(traced)
    order = [
        "convbert.embeddings.word_embeddings.y", "convbert.embeddings.LayerNorm.normalized", "convbert.embeddings_project.y",
        "convbert.encoder.layer.0.attention.self.query.y", "convbert.encoder.layer.0.attention.self.conv_kernel_layer.conv",
        "convbert.encoder.layer.0.attention.self.scores", "convbert.encoder.layer.0.attention.self.y",
        "convbert.encoder.layer.0.output.LayerNorm.y", "convbert.encoder.layer.1.attention.self.query.y", "generator_lm_head.y",
        "loss_fct.loss",
    ]  # fmt: skip
    assert [name for name in names if name in order] == order
    assert not [name for name in names if name.endswith((".weight", ".bias"))]
    output = traced["convbert.encoder.layer.0.output.LayerNorm.y"]
    assert "convbert.encoder.layer.1.x" in output.aliases and traced["convbert.encoder.layer.1.x"] is output
    assert output.value is out.cache["convbert"]["encoder"]["layer"]["1"]["x"]
    assert output.gradient is grads[output.name]
    probs = traced["convbert.encoder.layer.0.attention.self.probs"]
    assert probs.axes == "B N S S" and "softmax" in probs.equation
    np.testing.assert_allclose(probs.statistics["mean"], probs.value.mean())
    np.testing.assert_allclose(probs.statistics["max"], probs.value.max())
    text = repr(traced)
    assert all(name in text for name in names) and "|gradient|" in text
    html = traced._repr_html_()
    assert html.count("<tr>") == len(names) + 1 and "&lt;" not in html.split("</thead>")[0]
    few = traced.only("layer.0.attention.self.conv_kernel_layer")
    layers = [[few.title(value).rpartition(".")[2] for value in few.only(f"layer.{i}.attention.self.conv")] for i in (0, 1)]
    assert layers[0] == ["q", "span_key", "v", "t", "logits", "dynamic_kernel", "conv"] and layers[1] == []
    assert "layer.0.attention.self.query.y = ...conv_kernel_layer.q " in repr(few)
    assert "|gradient|" not in repr(cb.trace(out))
    with pytest.raises(KeyError, match="is not in this trace"):
        traced["nothing"]


def test_trace_of_what_was_not_kept():
    model = make("model")
    with pytest.raises(ValueError, match="keep_cache=False"):
        cb.trace(model(**inputs_for("model", model), keep_cache=False))
    with pytest.raises(TypeError, match="out: must be the ModelOutput"):
        cb.trace((1, 2))


def test_explore_answers(tiny):
    model, tokenizer = tiny
    guess = explore(SENTENCE, model, tokenizer)
    assert guess.tokens[1:5] == ["the", "capital", "of", "france"] and guess.tokens[6] == "[MASK]"
    top, probability = guess.predictions[0]["top"][0]
    np.testing.assert_allclose(np.exp(-guess.output.loss), probability, rtol=1e-12)
    told = explore(SENTENCE, model, tokenizer, answers=["Paris"])
    assert told.labels[0, 6] == tokenizer.convert_tokens_to_ids("paris") and np.sum(told.labels != -100) == 1
    assert told.output.loss > guess.output.loss
    named = explore(SENTENCE, model, tokenizer, answers=[top])
    assert named.output.loss == guess.output.loss
    plain = explore("the king", model, tokenizer)
    np.testing.assert_array_equal(plain.labels, [[-100, *plain.input_ids[0, 1:3], -100]])
    two = explore("the [MASK]", model, tokenizer, text_pair="of [MASK]", answers=["king", "queen"])
    assert two.output.cache["convbert"]["embeddings"]["token_type_embeddings"]["ids"].tolist() == [[0, 0, 0, 0, 1, 1, 1]]
    assert list(two.grads)[: len(model.named_parameters())] == list(model.named_parameters())


@pytest.mark.parametrize(
    "text, answers, message",
    [
        (SENTENCE, ["a", "b"], "answers: there are 2 for 1"),
        ("the king", ["a"], "answers: there are 1 for 0"),
        (SENTENCE, ["unfathomable"], "is not one token of the vocabulary"),
        ("", [], "text: holds no token to predict"),
    ],
)
def test_explore_misuse(tiny, text, answers, message):
    with pytest.raises(ValueError, match=message):
        explore(text, *tiny, answers=answers)


def test_trace_command_prints_tokens_values_loss_predictions(capsys):
    code, out, err = run(capsys, "trace", SENTENCE)
    assert code == 0 and err == ""
    for heading in ("TOKENS", "VALUES", "LOSS", "PREDICTIONS"):
        assert heading in out
    assert "not trained" not in out
    assert "convbert.encoder.layer.1.attention.self.conv_kernel_layer.dynamic_kernel" in out
    code, out, _ = run(capsys, "trace", SENTENCE, "--only", "layer.1.attention.self.probs", "--answer", "paris", "--top", "2")
    assert code == 0 and out.count("convbert.encoder") == 1 and "answers given" in out


def test_trace_command_json_and_npz_hold_everything(capsys, tmp_path, tiny):
    model, tokenizer = tiny
    path = tmp_path / "all.npz"
    options = ("--model", str(UNTRAINED), "--json", "--save", str(path), "--dtype", "float64", "--answer", "paris")
    code, out, _ = run(capsys, "trace", SENTENCE, *options)
    assert code == 0
    told = json.loads(out)
    want = explore(SENTENCE, model, tokenizer, answers=["paris"])
    assert told["tokens"] == want.tokens and told["loss"] == float(want.output.loss)
    assert [value["name"] for value in told["values"]] == want.trace.names()
    for value in told["values"]:
        traced = want.trace[value["name"]]
        np.testing.assert_array_equal(np.array(value["value"]), traced.value)
        if traced.gradient is not None:
            np.testing.assert_array_equal(np.array(value["gradient"]), traced.gradient)
    graded = {value["name"] for value in told["values"] if value["gradient"] is not None}
    others = {name for value in told["values"] for name in value["other_names"]}
    assert set(told["gradients"]) | graded | others >= set(want.grads)
    assert set(told["gradients"]) >= set(model.named_parameters())
    with np.load(path) as saved:
        assert {name[7:] for name in saved if name.startswith("values/")} == set(want.trace.names())
        for name, gradient in want.grads.items():
            np.testing.assert_array_equal(saved[f"grads/{name}"], gradient)
        assert saved["tokens"].tolist() == want.tokens and saved["loss"] == want.output.loss
    assert [file.name for file in tmp_path.iterdir()] == ["all.npz"]


def test_trace_command_takes_a_directory(capsys, tmp_path):
    model = cb.ConvBertForMaskedLM.from_pretrained(TINY)
    model.save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_bytes((TINY / "vocab.txt").read_bytes())
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    ours = run(capsys, "trace", SENTENCE)[1].split("PREDICTIONS")[0]
    assert run(capsys, "trace", SENTENCE, "--model", str(tmp_path))[1].split("PREDICTIONS")[0] == ours
    with pytest.warns(UserWarning, match="generator_predictions.* are not used by this model"):
        body = cb.ConvBertModel.from_pretrained(TINY)
    body.save_pretrained(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        code, out, err = run(capsys, "trace", SENTENCE, "--model", str(tmp_path))
    assert code == 0 and "lacks generator_predictions.LayerNorm.weight" in err and "not trained" in out


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["trace", SENTENCE, "--model", "/nowhere"], "/nowhere"),
        (["trace", SENTENCE, "--save", "values.txt"], "--save: must end in .npz"),
        (["trace", SENTENCE, "--save", "/nowhere/at/all.npz"], "/nowhere/at"),
        (["trace", "word " * 200], "takes at most 128"),
        (["trace", SENTENCE, "--answer", "a", "--answer", "b"], "answers: there are 2"),
        (["trace", ""], "text: holds no token"),
    ],
)
def test_errors_are_one_line_and_exit_code_2(capsys, arguments, message):
    code, out, err = run(capsys, *arguments)
    assert (
        code == 2
        and message in err
        and err.count("\n") == 1
        and err.startswith("convbert-np: error: ")
        and "PREDICTIONS" not in out
    )


@pytest.mark.parametrize(
    "arguments", [[], ["nothing"], ["trace"], ["trace", "a", "--top", "0"], ["trace", "a", "--dtype", "int8"]]
)
def test_misuse_of_the_command_line(capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2 and "usage: convbert-np" in capsys.readouterr().err


def test_version_and_help(capsys):
    for flag, text in (("--version", cb.__version__), ("--help", "trace")):
        with pytest.raises(SystemExit) as stop:
            cli.main([flag])
        assert stop.value.code == 0 and text in capsys.readouterr().out


def test_selftest_agrees(capsys):
    code, out, _ = run(capsys, "selftest")
    assert code == 0 and "tensors agree with PyTorch" in out and "WRONG" not in out
    assert out.count("masked_lm (ConvBertForMaskedLM, float") == 2
    assert run(capsys, "selftest", "--brief")[1].count("\n") < 20


@pytest.mark.parametrize("spoilt", [1e-3, np.nan])
def test_selftest_finds_a_wrong_tensor(capsys, monkeypatch, spoilt):
    victim, right = "values/convbert.encoder.layer.0.attention.self.probs", selftest_module.compute

    def wrong(golden, dtype):
        computed = right(golden, dtype)
        return computed | ({victim: computed[victim] * dtype(1 + spoilt)} if victim in computed else {})

    monkeypatch.setattr(selftest_module, "compute", wrong)
    assert {c.name for result in selftest() for c in result.comparisons if not c.ok} == {victim}
    code, out, _ = run(capsys, "selftest")
    assert code == 1 and "ARE WRONG" in out


def test_pipe_that_closes_early():
    arguments = ["trace", SENTENCE, "--json", "--model", str(UNTRAINED)]
    script = f"from convbert_np.cli import main; raise SystemExit(main({arguments!r}))"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(60) == 0
