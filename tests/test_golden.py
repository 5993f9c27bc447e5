"""The golden bundles: every value and every gradient of the PyTorch model, against ours, name by name.

Where a comparison fails, the message lists the first tensors that are wrong, in the order in which they are computed: the first
one is where the mistake is.
"""

import functools
import hashlib
import json
import re
import warnings
from pathlib import Path

import numpy as np
import pytest

from convbert_np.tree import flatten, unflatten
from convbert_np.verify.golden import FLOAT64_VALUE, compare, compute, limit_of, load_golden, relative_error

GOLDEN = Path(__file__).parent / "golden"
NAMES = sorted(path.stem for path in GOLDEN.glob("*.json") if "model_class" in json.loads(path.read_text(encoding="utf-8")))
DTYPES = (np.float64, np.float32)
FLOATS = "fc"
MODEL_CLASSES = {
    "ConvBertModel", "ConvBertForMaskedLM", "ConvBertForSequenceClassification", "ConvBertForTokenClassification",
    "ConvBertForQuestionAnswering", "ConvBertForMultipleChoice",
}  # fmt: skip

every_bundle = pytest.mark.parametrize("name", NAMES)
both_dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)


@functools.cache
def golden_of(name):
    return load_golden(GOLDEN / name)


@functools.cache
def computed_by_us(name, dtype):
    return compute(golden_of(name), dtype)


def is_float(value):
    """Whether this is an array (or a NumPy scalar) of floating-point numbers; a Python float is a setting, not a value."""
    return isinstance(value, np.ndarray | np.generic) and value.dtype.kind in FLOATS


def in_order_of_computation(golden, comparisons):
    """Values first to last; then gradients last to first, as the backward pass meets them; the parameters' at the end."""
    parameters = {f"grads/{name}" for name in golden.group("params")}
    values = [c for c in comparisons if c.name.startswith("values/")]
    grads = [c for c in comparisons if c.name.startswith("grads/")]
    of_values = [c for c in reversed(grads) if c.name not in parameters]
    return values + of_values + [c for c in reversed(grads) if c.name in parameters]


def report(golden, comparisons, most=12):
    """The first tensors that are wrong, one a line; empty if none is."""
    wrong = [c for c in in_order_of_computation(golden, comparisons) if not c.ok]
    if not wrong:
        return ""
    lines = [f"  {c.name} ({c.kind}): error {c.error:.2e}, limit {c.limit:.2e}" for c in wrong[:most]]
    return "\n".join([f"{golden.name}: {len(wrong)} of {len(comparisons)} tensors are wrong; the first:", *lines])


# The bundles agree with the model.


@every_bundle
@both_dtypes
def test_every_value_and_gradient(name, dtype):
    golden = golden_of(name)
    comparisons = list(compare(golden, computed_by_us(name, dtype), dtype))
    assert len(comparisons) == len(golden.manifest["tensors"]) > 100
    assert not (message := report(golden, comparisons)), message


@every_bundle
@both_dtypes
def test_names_are_complete_both_ways(name, dtype):
    golden, computed = golden_of(name), computed_by_us(name, dtype)
    recorded, parameters = set(golden.manifest["tensors"]), set(golden.group("params"))
    assert recorded <= computed.keys()

    ours = {n for n, value in computed.items() if is_float(value)}
    unrecorded = {n for n in ours - recorded if n.startswith("values/")}
    stored = {
        n for n in unrecorded
        if n.removeprefix("values/") in parameters  # a parameter, stored as params/...
        or n.endswith((".attention.self.mask", "loss_fct.labels"))  # an argument in another form, checked below
    }  # fmt: skip
    tied = {"values/generator_lm_head.weight"} if golden.manifest["config"].get("tie_word_embeddings", True) else set()
    assert unrecorded - stored <= tied
    assert {n for n in ours - recorded if n.startswith("grads/")} == {"grads/inputs_embeds"}

    assert {f"grads/{n}" for n in parameters} <= recorded
    with_gradient = {n.removeprefix("grads/") for n in recorded if n.startswith("grads/")} - parameters
    assert with_gradient == {n.removeprefix("values/") for n in recorded if n.startswith("values/")}


@every_bundle
@both_dtypes
def test_nothing_changes_its_dtype(name, dtype):
    found = {n: value.dtype for n, value in computed_by_us(name, dtype).items() if is_float(value)}
    assert len(found) > 100
    assert {n: d for n, d in found.items() if d != dtype} == {}


@every_bundle
@both_dtypes
def test_the_gradient_of_inputs_embeds_has_a_short_name(name, dtype):
    computed = computed_by_us(name, dtype)
    prefix = "" if golden_of(name).manifest["model_class"] == "ConvBertModel" else "convbert."
    folded = computed[f"grads/{prefix}embeddings.inputs_embeds"]  # multiple choice: (B*C, S, E), the argument's is (B, C, S, E)
    assert computed["grads/inputs_embeds"].ndim == (4 if "multiple_choice" in name else 3)
    np.testing.assert_array_equal(computed["grads/inputs_embeds"].reshape(folded.shape), folded)


@every_bundle
@both_dtypes
def test_additive_mask_is_exact(name, dtype):
    """What is added to the scores: 0 where attention is allowed, the most negative number where it is not."""
    given = golden_of(name).group("inputs").get("attention_mask")
    if given is not None:
        folded = given.reshape(-1, *given.shape[2:]) if "MultipleChoice" in golden_of(name).manifest["model_class"] else given
        expanded = folded[:, None, None, :] if folded.ndim == 2 else folded[:, None, :, :]
        want = (1 - expanded.astype(dtype)) * np.finfo(dtype).min
    masks = [value for n, value in computed_by_us(name, dtype).items() if n.endswith(".attention.self.mask")]
    assert len(masks) == (0 if given is None else golden_of(name).manifest["config"]["num_hidden_layers"])
    for mask in masks:
        np.testing.assert_array_equal(mask, np.broadcast_to(want, mask.shape))
        assert mask.dtype == dtype


@every_bundle
def test_labels_are_kept_as_given(name):
    computed, inputs = computed_by_us(name, np.float64), golden_of(name).group("inputs")
    if "labels" in inputs:
        np.testing.assert_array_equal(computed["values/loss_fct.labels"], inputs["labels"])


def names_of_outputs(golden):
    """The named value that each output of a call is."""
    config, model_class = golden.manifest["config"], golden.manifest["model_class"]
    prefix = "" if model_class == "ConvBertModel" else "convbert."
    bottom = "embeddings.dropout.y" if config["embedding_size"] == config["hidden_size"] else "embeddings_project.y"
    layers = [f"{prefix}encoder.layer.{i}" for i in range(config["num_hidden_layers"])]
    names = {"hidden_states": [prefix + bottom, *(f"{layer}.output.LayerNorm.y" for layer in layers)]}
    names["attentions"] = [f"{layer}.attention.self.attention_weights" for layer in layers]
    names["dynamic_kernels"] = [f"{layer}.attention.self.conv_kernel_layer.dynamic_kernel" for layer in layers]
    heads = {
        "ConvBertModel": {"last_hidden_state": names["hidden_states"][-1]},
        "ConvBertForMaskedLM": {"logits": "generator_lm_head.y"},
        "ConvBertForSequenceClassification": {"logits": "classifier.out_proj.y"},
        "ConvBertForTokenClassification": {"logits": "classifier.y"},
        "ConvBertForMultipleChoice": {"logits": "classifier.y"},
        "ConvBertForQuestionAnswering": {"start_logits": "start_logits", "end_logits": "end_logits"},
    }
    loss = {"loss": "loss" if "QuestionAnswering" in model_class else "loss_fct.loss"} if golden.manifest["loss"] else {}
    return loss | heads[model_class] | names


def call(golden, **options):
    """Our model and its output for the inputs of a bundle, with its dropout masks, in float64."""
    model = golden.model(np.float64)
    arguments = {n: v.astype(np.float64) if v.dtype.kind == "f" else v for n, v in golden.group("inputs").items()}
    masks = unflatten({n: mask.astype(bool) for n, mask in golden.group("masks").items()})
    return model, model(arguments, training=golden.manifest["training"], rng=masks, **options)


@every_bundle
def test_the_outputs_are_the_named_values(name):
    """What a call returns is what the bundle records: post-dropout attentions, projected embeddings, folded logits."""
    golden = golden_of(name)
    _, out = call(golden, output_hidden_states=True, output_attentions=True)
    names = names_of_outputs(golden)
    assert list(names)[:-1] == out.keys()
    for output, sources in names.items():
        values = [out[output]] if isinstance(sources, str) else out[output]
        sources = [sources] if isinstance(sources, str) else sources
        for value, source in zip(values, sources, strict=True):
            truth = golden.expected(f"values/{source}")
            assert relative_error(value, truth.reshape(value.shape)) <= FLOAT64_VALUE, (output, source)


@every_bundle
def test_without_intermediates_the_gradients_are_the_same(name):
    golden, kept = golden_of(name), computed_by_us(name, np.float64)
    model, out = call(golden)
    cotangents = golden.group("cotangents") | ({"loss": np.float64(1)} if golden.manifest["loss"] else {})
    grads = model.backward(out, cotangents)
    assert list(grads) == list(model.named_parameters())
    for parameter, gradient in grads.items():
        np.testing.assert_array_equal(gradient, kept[f"grads/{parameter}"], err_msg=parameter)
    assert flatten(out.cache).keys() == {n.removeprefix("values/") for n in kept if n.startswith("values/")}


# The bundles are what was recorded, and cover what they should.


def test_files_are_those_of_the_manifest():
    manifest = json.loads((GOLDEN / "manifest.json").read_text(encoding="utf-8"))
    for file, about in manifest["files"].items():
        content = (GOLDEN / file).read_bytes()
        assert len(content) == about["size"], file
        assert hashlib.sha256(content).hexdigest() == about["sha256"], file
    recorded = {f"{name}{suffix}" for name in NAMES for suffix in (".json", ".safetensors")}
    versions = {path.name for path in GOLDEN.glob("versions*")}
    assert manifest["files"].keys() == recorded | versions


def test_the_bundles_are_small():
    assert sum(path.stat().st_size for path in GOLDEN.iterdir() if path.is_file()) < 6_000_000


def test_the_bundles_cover_the_models():
    manifests = [golden_of(name).manifest for name in NAMES]
    configs = [manifest["config"] for manifest in manifests]
    assert {manifest["model_class"] for manifest in manifests} == MODEL_CLASSES
    assert {config["num_groups"] for config in configs} >= {1, 2}
    assert {config["head_ratio"] for config in configs} >= {1, 2, 4}
    assert {config["embedding_size"] == config["hidden_size"] for config in configs} == {True, False}
    assert {manifest["training"] for manifest in manifests} == {True, False}


@every_bundle
def test_the_truth_is_finite(name):
    for path, tensor in golden_of(name).tensors.items():
        assert tensor.dtype.kind != "f" or np.all(np.isfinite(tensor)), path


# The comparison can fail.


def spoil(value, how):
    """A copy of an array, spoilt; None for one that is missing."""
    if how == "missing":
        return None
    if how == "shape":
        return value[None]
    if how == "transposed":
        return np.ascontiguousarray(value.T)
    if how == "dtype":
        return value.astype(np.float32 if value.dtype == np.float64 else np.float64)
    spoilt = np.array(value, order="C")
    spoilt.reshape(-1)[-1] = {"nan": np.nan, "inf": np.inf, "minus inf": -np.inf}[how]
    return spoilt


VICTIMS = (
    "values/convbert.encoder.layer.0.attention.self.probs", "values/loss_fct.loss",
    "grads/convbert.encoder.layer.1.x", "grads/convbert.encoder.layer.0.attention.self.key.bias",
)  # fmt: skip


@both_dtypes
@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("how", ["nan", "inf", "minus inf", "shape", "dtype", "missing"])
def test_what_is_no_number_never_passes(dtype, victim, how):
    golden, computed = golden_of("masked_lm"), dict(computed_by_us("masked_lm", dtype))
    computed[victim] = spoil(computed[victim], how)
    if computed[victim] is None:
        del computed[victim]
    comparisons = list(compare(golden, computed, dtype))
    assert [c.name for c in comparisons if not c.ok] == [victim]
    assert victim in report(golden, comparisons)


@both_dtypes
@pytest.mark.parametrize("how", ["nan", "inf", "minus inf", "shape", "dtype", "missing"])
def test_every_tensor_is_guarded(dtype, how):
    """All tensors of a bundle spoilt at once: not one passes, whether it is judged as exact, rounded or zero by theory."""
    golden, computed = golden_of("masked_lm"), computed_by_us("masked_lm", dtype)
    spoilt = {n: spoil(computed[n], how) for n in golden.manifest["tensors"]}
    comparisons = list(compare(golden, {n: v for n, v in spoilt.items() if v is not None}, dtype))
    assert {c.kind for c in comparisons} == {"exact", "rounding", "zero_by_theory"}
    assert [c.name for c in comparisons if c.ok] == []


@both_dtypes
def test_a_transposed_tensor_never_passes(dtype):
    golden, computed = golden_of("masked_lm"), dict(computed_by_us("masked_lm", dtype))
    victim = "grads/convbert.encoder.layer.0.attention.self.conv_kernel_layer.dynamic_kernel"
    computed[victim] = spoil(computed[victim], "transposed")
    assert [c.name for c in compare(golden, computed, dtype) if not c.ok] == [victim]


@pytest.mark.parametrize("name", ["masked_lm", "model_dropout", "question_answering"])
def test_half_precision_and_single_precision_do_not_pass(name):
    """Rounded to float16, a float32 result fails at (nearly) every tensor; rounded to float32, a float64 one does."""
    golden = golden_of(name)
    for dtype, lower in ((np.float32, np.float16), (np.float64, np.float32)):
        computed = computed_by_us(name, dtype)
        rounded = {n: computed[n].astype(lower).astype(dtype) for n in golden.manifest["tensors"]}
        kinds = {c.name: c.ok for c in compare(golden, rounded, dtype) if c.kind == "rounding"}
        assert np.mean(list(kinds.values())) < 0.1, [n for n, ok in kinds.items() if ok]


@both_dtypes
def test_the_limit_is_a_limit(dtype):
    """An error just above the limit fails, one just below passes."""
    golden, name = golden_of("model"), "values/encoder.layer.1.output.LayerNorm.y"
    want, about = golden.expected(name), golden.manifest["tensors"][name]
    limit = limit_of(name, about, dtype)
    exact = {name: want}
    for factor, ok in ((0.9, True), (1.1, False)):
        exact[name] = (want * (1 + factor * limit)).astype(dtype)
        (comparison,) = (c for c in compare(golden, exact, dtype) if c.name == name)
        assert comparison.ok is ok


def test_the_float64_limits_are_those_promised():
    about = {"kind": "rounding", "floor": 1e-7}
    assert limit_of("values/x", about, np.float64) == 1e-12
    assert limit_of("grads/x", about, np.float64) == 1e-11
    assert limit_of("values/x", about, np.float32) == pytest.approx(5e-7)


def test_a_wrong_size_in_a_tensor_that_should_be_zero_fails():
    golden, computed = golden_of("masked_lm"), dict(computed_by_us("masked_lm", np.float64))
    zero = next(n for n, about in golden.manifest["tensors"].items() if about["kind"] == "zero_by_theory")
    computed[zero] = np.full_like(computed[zero], 1e-9 * golden.manifest["tensors"][zero]["scale"])
    assert [c.name for c in compare(golden, computed, np.float64) if not c.ok] == [zero]


def test_the_report_names_the_first_tensor_first():
    """A mistake in the middle of the model: the report begins where the mistake was made."""
    golden = golden_of("model")
    values = {n: v for n, v in computed_by_us("model", np.float64).items() if is_float(v)}
    first = "values/encoder.layer.1.intermediate.dense.y"
    names = list(golden.manifest["tensors"])
    wrong = {n: v * 1.01 if n in names[names.index(first) :] else v for n, v in values.items()}
    lines = report(golden, list(compare(golden, wrong, np.float64))).splitlines()
    assert lines[1].strip().startswith(first)


def test_the_reading_that_the_page_shows_reads_every_tensor(monkeypatch, capsys):
    page = (GOLDEN.parents[1] / "docs" / "golden.md").read_text(encoding="utf-8")
    monkeypatch.chdir(GOLDEN.parents[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        exec(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1], {})
    lines = capsys.readouterr().out.splitlines()
    golden = golden_of("masked_lm")
    assert [line.split()[0] for line in lines] == list(golden.manifest["tensors"])
    for line, name in zip(lines, golden.manifest["tensors"], strict=True):
        assert float(line.split()[-1]) == pytest.approx(np.linalg.norm(golden.expected(name)), rel=1e-5)
