"""Real text through the command line, on a directory that transformers wrote, against PyTorch; and the README's numbers."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from convbert_np import ConvBertForMaskedLM, cli
from convbert_np.data import TINY

pytestmark = pytest.mark.parity
SENTENCE = "The capital of France is [MASK]."
README = Path(__file__).resolve().parents[2] / "README.md"


@pytest.fixture(scope="module")
def reference():
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    return torch, transformers


def run_theirs(torch, transformers, directory, text, answer, dtype):
    """Loss, logits, hidden states and gradients by name, of the reference's own tokenizer and model."""
    tokenizer = transformers.ConvBertTokenizer.from_pretrained(directory)
    model = transformers.ConvBertForMaskedLM.from_pretrained(directory).to(dtype).eval()
    inputs = tokenizer(text, return_tensors="pt")
    labels = torch.where(inputs["input_ids"] == tokenizer.mask_token_id, tokenizer.convert_tokens_to_ids(answer), -100)
    out = model(**inputs, labels=labels, output_hidden_states=True)
    out.loss.backward()
    return tokenizer, inputs, out, {name: p.grad.numpy() for name, p in model.named_parameters()}


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-12), ("float32", 2e-5)])
def test_trace_of_a_directory_that_transformers_wrote(reference, tmp_path, capsys, dtype, tolerance):
    torch, transformers = reference
    torch.manual_seed(3)
    size = len((TINY / "vocab.txt").read_text(encoding="utf-8").splitlines())
    config = transformers.ConvBertConfig(
        vocab_size=size, hidden_size=24, num_hidden_layers=2, num_attention_heads=4, intermediate_size=40, embedding_size=16,
        max_position_embeddings=40, num_groups=2, initializer_range=0.3, pad_token_id=0,
    )  # fmt: skip
    model = transformers.ConvBertForMaskedLM(config)
    with torch.no_grad():  # 4.37.2 leaves grouped linear maps uninitialised
        for name, parameter in model.named_parameters():
            if (parameter.dim() == 3 and "key_conv" not in name) or name.endswith("dense.bias"):
                parameter.normal_(0, 0.3)
    model.save_pretrained(tmp_path)
    transformers.ConvBertTokenizer(TINY / "vocab.txt", do_lower_case=True).save_pretrained(tmp_path)
    code = cli.main(["trace", SENTENCE, "--model", str(tmp_path), "--answer", "paris", "--json", "--dtype", dtype])
    told = json.loads(capsys.readouterr().out)
    tokenizer, inputs, out, grads = run_theirs(torch, transformers, tmp_path, SENTENCE, "paris", getattr(torch, dtype))
    assert code == 0 and told["input_ids"] == inputs["input_ids"][0].tolist()
    assert told["tokens"] == tokenizer.convert_ids_to_tokens(told["input_ids"])
    np.testing.assert_allclose(told["loss"], out.loss.item(), rtol=tolerance)
    values = {name: v["value"] for v in told["values"] for name in (v["name"], *v["other_names"])}
    for index, state in enumerate(out.hidden_states[1:]):
        ours = np.array(values[f"convbert.encoder.layer.{index}.output.LayerNorm.y"])
        assert np.linalg.norm(ours - state.detach().numpy()) <= tolerance * np.linalg.norm(ours)
    ours = np.array(values["generator_lm_head.y"])
    assert np.linalg.norm(ours - out.logits.detach().numpy()) <= tolerance * np.linalg.norm(ours)
    for name, want in grads.items():
        error = np.linalg.norm(np.array(told["gradients"][name]) - want)
        assert error <= 20 * tolerance * np.linalg.norm(want) or name.endswith("key.bias"), name
    best = torch.softmax(out.logits[0, 6].double(), -1).topk(5)
    assert [token for token, _ in told["predictions"][0]["top"]] == tokenizer.convert_ids_to_tokens(best.indices)
    np.testing.assert_allclose([p for _, p in told["predictions"][0]["top"]], best.values.detach(), rtol=100 * tolerance)


@pytest.mark.parametrize("text", ["Paris is the capital of France and London is the capital of [MASK]!", "How now, my [MASK]?"])
def test_the_trained_model_in_float32_is_as_near_the_truth_as_pytorch(reference, text):
    """Its probabilities are peaked, as those of fresh parameters are not: a sum that rounds badly shows in every gradient."""
    torch, transformers = reference
    tokenizer, inputs, _, truth = run_theirs(torch, transformers, TINY, text, "england", torch.float64)
    theirs = run_theirs(torch, transformers, TINY, text, "england", torch.float32)[-1]
    model, ids = ConvBertForMaskedLM.from_pretrained(TINY), inputs["input_ids"].numpy()
    labels = np.where(ids == tokenizer.mask_token_id, tokenizer.convert_tokens_to_ids("england"), -100)
    ours = model.backward(model(ids, labels=labels))
    names = [name for name in truth if not name.endswith("key.bias")]
    errors = np.array([[np.linalg.norm(own[n] - truth[n]) / np.linalg.norm(truth[n]) for n in names] for own in (ours, theirs)])
    assert np.median(errors[0]) < 3 * np.median(errors[1]) and np.all(errors[0] < 5 * np.maximum(errors[1], errors[1].mean()))


def test_the_readme_quotes_pytorch_truly(reference):
    torch, transformers = reference
    _, _, out, grads = run_theirs(torch, transformers, TINY, "How now, my [MASK]?", "lord", torch.float64)
    norm = np.linalg.norm(grads["convbert.encoder.layer.0.attention.self.conv_kernel_layer.weight"])
    quoted = re.findall(r"# ([\d.]+)\s+PyTorch: ([\d.]+)", README.read_text(encoding="utf-8"))
    assert len(quoted) == 2
    for (ours, theirs), want in zip(quoted, (out.loss.item(), float(norm)), strict=True):
        assert abs(float(ours) - want) < 1e-14 * want * 10 and abs(float(theirs) - want) < 1e-14 * want * 10
