"""What transformers 5 (PyTorch, float64) and transformers 4 (TensorFlow, float32) computed, against our models.

The weights and inputs of tests/golden/versions.* were run by both libraries; versions_v5.* and versions_tensorflow.* hold their
outputs. Twelve models: six heads, each on a body with full and on one with grouped linear maps.

PyTorch's float64 outputs must agree to 1e-12. TensorFlow's are float32, so the yardstick is how far a correct float32 program is
off: the floor of an output is the root mean square, over a few runs with slightly changed weights, of the relative L2 distance
between our own float32 and float64 results. TensorFlow and we round differently but about equally often, so that TensorFlow's
distance from the truth is a small multiple of the floor: at most 1.2 of any array here, and 2.9 of a loss, where one number is
at the mercy of luck. The limit is 5, as for our own float32 results; a mistake in the mathematics is far above it.
"""

import functools
import json
from pathlib import Path

import numpy as np
import pytest

from convbert_np.checkpoints.safetensors import read_safetensors
from convbert_np.config import ConvBertConfig
from convbert_np.interface import models
from convbert_np.verify.golden import FLOAT32_FLOORS, relative_error

GOLDEN = Path(__file__).parent / "golden"
FLOOR_RUNS = 12
TOKEN_HEADS = ("ConvBertForMaskedLM", "ConvBertForTokenClassification")
SEQUENCE_HEADS = ("ConvBertForSequenceClassification", "ConvBertForMultipleChoice", "ConvBertForQuestionAnswering")


def read(name):
    """The models of a file by path ("<body>/<class>"), and its tensors."""
    described = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))["models"]
    return described, read_safetensors(GOLDEN / f"{name}.safetensors")


MODELS, TENSORS = read("versions")
PATHS = list(MODELS)
every_model = pytest.mark.parametrize("path", PATHS)


def recorded(library, path):
    """The outputs of a library for a model, by dotted name."""
    described, tensors = read(f"versions_{library}")
    return {name: tensors[key] for name, key in described[path]["outputs"].items()}


def state_dict_of(path):
    """The parameters of a model: what stands under a prefix of the file goes by another in the model."""
    state = {}
    for ours, theirs in MODELS[path]["params"].items():
        state |= {ours + key.removeprefix(theirs): x for key, x in TENSORS.items() if key.startswith(theirs)}
    return state


def run(path, dtype, state=None, **options):
    """Our outputs by dotted name, in the order of the reference."""
    about = MODELS[path]
    model = getattr(models, about["model_class"])(ConvBertConfig.from_dict(about["config"]), dtype=dtype)
    model.load_state_dict(state_dict_of(path) if state is None else state)
    inputs = {name: TENSORS[key] for name, key in about["inputs"].items()}
    out = model(inputs, output_hidden_states=True, output_attentions=True, **options)
    flat = {}
    for name, value in out.items():
        flat |= {f"{name}.{i}": x for i, x in enumerate(value)} if isinstance(value, tuple) else {name: value}
    return flat


def with_losses(path, dtype, state=None):
    """Our outputs, and as "losses" the loss of each label, or of each example."""
    flat = run(path, dtype, state)
    return flat | ({"losses": run(path, dtype, state, reduction="none")["loss"]} if "loss" in flat else {})


@functools.cache
def floors(path):
    """The float32 floor of every output."""
    rng, squares = np.random.default_rng(5), {}
    for _ in range(FLOOR_RUNS):
        changed = {
            name: (x * (1 + rng.uniform(-1, 1, x.shape) * 2.0**-12)).astype(np.float32) for name, x in state_dict_of(path).items()
        }
        low, truth = (with_losses(path, dtype, changed) for dtype in (np.float32, np.float64))
        for name, value in truth.items():
            squares.setdefault(name, []).append(relative_error(low[name], value) ** 2)
    return {name: float(np.sqrt(np.mean(values))) for name, values in squares.items()}


def by_label(path, loss):
    """TensorFlow's loss and the one of ours it should equal.

    For one label a sequence TensorFlow returns a loss for each example, (B,); where every token has a label, their mean over the
    labels that are not ignored, of shape (1,).
    """
    return ("loss", loss.reshape(())) if path.endswith(TOKEN_HEADS) else ("losses", loss)


def test_all_heads_and_bodies_are_there():
    heads = {"ConvBertModel", *TOKEN_HEADS, *SEQUENCE_HEADS}
    assert {tuple(path.split("/")) for path in PATHS} == {(body, head) for body in ("groups1", "groups2") for head in heads}
    for library in ("v5", "tensorflow"):
        described, tensors = read(f"versions_{library}")
        assert list(described) == PATHS
        dtypes = {x.dtype.name for x in tensors.values()}
        assert dtypes == {"float64" if library == "v5" else "float32"}


@every_model
@pytest.mark.parametrize("library", ["v5", "tensorflow"])
def test_outputs_have_the_same_names_in_the_same_order(path, library):
    assert list(recorded(library, path)) == list(run(path, np.float64))


@every_model
def test_transformers_5(path):
    ours = run(path, np.float64)
    for name, truth in recorded("v5", path).items():
        assert np.shape(ours[name]) == truth.shape, name
        assert relative_error(ours[name], truth) <= 1e-12, name


@every_model
def test_tensorflow_outputs(path):
    """TensorFlow's outputs are a float32 rounding of our float64 ones."""
    ours, floor = with_losses(path, np.float64), floors(path)
    for name, theirs in recorded("tensorflow", path).items():
        name, theirs = by_label(path, theirs) if name == "loss" else (name, theirs)
        assert np.shape(ours[name]) == theirs.shape, name
        assert relative_error(theirs.astype(np.float64), ours[name]) <= FLOAT32_FLOORS * floor[name], name


@every_model
def test_our_float32_outputs(path):
    ours, truth, floor = with_losses(path, np.float32), with_losses(path, np.float64), floors(path)
    for name, value in truth.items():
        assert ours[name].dtype == np.float32, name
        assert relative_error(ours[name].astype(np.float64), value) <= FLOAT32_FLOORS * floor[name], name


@every_model
def test_floors_are_those_of_float32(path):
    """The yardstick itself: a few roundings, neither nothing nor a licence."""
    for name, floor in floors(path).items():
        assert 2.0**-26 < floor < 2e-5, name


@pytest.mark.parametrize("path", [p for p in PATHS if p.endswith(SEQUENCE_HEADS)])
def test_a_sequence_has_one_loss(path):
    """TensorFlow's loss of shape (B,) is ours with reduction "none"; the mean of both is the loss of the PyTorch class."""
    theirs = recorded("tensorflow", path)["loss"]
    ours = run(path, np.float64, reduction="none")["loss"]
    batch = TENSORS[MODELS[path]["inputs"]["input_ids"]].shape[0]
    assert theirs.shape == ours.shape == (batch,)
    assert np.mean(ours) == pytest.approx(run(path, np.float64)["loss"], rel=1e-15, abs=0)
    assert np.mean(ours) == pytest.approx(recorded("v5", path)["loss"], rel=1e-12, abs=0)


@pytest.mark.parametrize("path", [p for p in PATHS if p.endswith(TOKEN_HEADS)])
def test_every_token_has_a_loss(path):
    """TensorFlow's loss has the shape (1,) and is our mean; ours with reduction "none" is (B, S), 0 where a label is ignored."""
    theirs, labels = recorded("tensorflow", path)["loss"], TENSORS[MODELS[path]["inputs"]["labels"]]
    ours = run(path, np.float64, reduction="none")["loss"]
    assert theirs.shape == (1,)
    assert ours.shape == labels.shape
    ignored = labels == -100
    assert 0 < np.sum(ignored) < ignored.size
    assert np.all(ours[ignored] == 0)
    assert np.all(ours[~ignored] > 0)
    mean = np.sum(ours) / np.sum(~ignored)
    assert mean == pytest.approx(run(path, np.float64)["loss"], rel=1e-15, abs=0)
    assert mean == pytest.approx(recorded("v5", path)["loss"], rel=1e-12, abs=0)
    assert theirs[0] == pytest.approx(mean, rel=FLOAT32_FLOORS * floors(path)["loss"], abs=0)
