"""The levels of keeping: what survives, that the gradients are the same, and that nothing is kept which nobody reads."""

import weakref

import numpy as np
import pytest
from small import HEADS, inputs_for, make

from convbert_np.model import encoder as model_encoder
from convbert_np.model.encoder import encoder_layer_backward
from convbert_np.model.keeping import UNREAD, everything, for_backward, nothing, outputs_alone
from convbert_np.tree import flatten


class Recorder(dict):
    """A tree that notes which of its leaves are read."""

    def __init__(self, tree, read, path=""):
        super().__init__({k: Recorder(v, read, f"{path}{k}.") if isinstance(v, dict) else v for k, v in tree.items()})
        self.read, self.path = read, path

    def __getitem__(self, key):
        value = super().__getitem__(key)
        if not isinstance(value, dict):
            self.read.add(self.path + key)
        return value


@pytest.mark.parametrize("groups", [1, 2])
def test_what_is_dropped_is_just_what_no_backward_reads(groups):
    model = make("model", num_groups=groups, hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.1)
    out = model(**inputs_for("model", model), training=True, rng=0)
    cache, read = out.cache["encoder"]["layer"]["0"], set()
    encoder_layer_backward(np.ones_like(out.last_hidden_state), Recorder(cache, read))
    flat, parameters = flatten(cache), {id(value) for value in model.named_parameters().values()}
    held = [flat[name] for name in read if hasattr(flat[name], "shape")]
    unread = {
        name for name, value in flat.items()
        if hasattr(value, "shape") and id(value) not in parameters and not any(np.shares_memory(value, one) for one in held)
    }  # fmt: skip
    dropped = {f"{part}.{path}" for part, paths in UNREAD.items() for path in paths}
    constants = {"attention.self.mask", "output.LayerNorm.y"}  # one mask serves all layers; y is the layer's result
    assert unread - constants == dropped
    assert not dropped & read


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("training", [False, True])
def test_the_gradients_are_the_same_from_what_is_kept_to_train(head, training):
    model = make(head, hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.1, num_hidden_layers=2)
    given = inputs_for(head, model) | {"training": training, "rng": 5}
    full, lean = model(**given), model(**given, keep_cache="backward")
    assert set(flatten(lean.cache)) < set(flatten(full.cache))
    cotangents = None if getattr(full, "loss", None) is not None else {"last_hidden_state": full.last_hidden_state}
    want, have = model.backward(full, cotangents), model.backward(lean, cotangents)
    assert list(want) == list(have)
    for name, gradient in want.items():
        np.testing.assert_array_equal(have[name], gradient, err_msg=name)


def test_there_is_one_way_back_from_what_is_kept_to_train():
    model = make("masked_lm", num_hidden_layers=2)
    given = inputs_for("masked_lm", model)
    out = model(**given, keep_cache="backward")
    layers = out.cache["convbert"]["encoder"]["layer"]
    assert len(layers) == 2 and "cache: kept" in repr(out)
    model.backward(out)
    assert layers == {} and out.cache is None and "gone back through" in repr(out)
    with pytest.raises(ValueError, match="gone back through already"):
        model.backward(out)
    again = model(**given)
    for _ in range(2):
        model.backward(again)


def test_the_gradients_of_all_values_come_from_what_is_kept_to_train():
    model = make("masked_lm")
    given = inputs_for("masked_lm", model)
    full = model.backward(model(**given), intermediates=True)
    lean = model.backward(model(**given, keep_cache="backward"), intermediates=True)
    assert full.keys() == lean.keys()
    for name, gradient in full.items():
        np.testing.assert_array_equal(lean[name], gradient, err_msg=name)


def test_outputs_alone():
    cache = {"attention_weights": 1, "scores": 2, "conv_kernel_layer": {"dynamic_kernel": 3, "t": 4}}
    kept = {"attention_weights": 1, "conv_kernel_layer": {"dynamic_kernel": 3}}
    both = outputs_alone(("hidden_states", "attentions", "dynamic_kernels"))
    assert both("attention.self", cache) == kept and both("intermediate", {"dense": {"y": 1}, "attention_weights": 2}) == {}
    assert outputs_alone(("attentions",))("attention.self", cache) == {"attention_weights": 1}
    assert outputs_alone({"dynamic_kernels": []})("attention.self", cache) == {"conv_kernel_layer": {"dynamic_kernel": 3}}
    assert outputs_alone(())("attention.self", cache) == nothing("attention.self", cache) == {}
    assert everything("output", cache) is cache
    with pytest.raises(KeyError):
        for_backward("another part", cache)


@pytest.mark.parametrize("asked", [False, True])
def test_attention_weights_that_nobody_asked_for_are_gone_before_the_layer_goes_on(asked, monkeypatch):
    model, alive, seen = make("model"), [], []
    mix, widen = model_encoder.mixed_attention, model_encoder.intermediate

    def mixed_attention(*given):
        m, cache = mix(*given)
        alive.append(weakref.ref(cache["attention_weights"]))
        return m, cache

    def intermediate(*given):
        seen.append(alive[-1]() is not None)
        return widen(*given)

    monkeypatch.setattr(model_encoder, "mixed_attention", mixed_attention)
    monkeypatch.setattr(model_encoder, "intermediate", intermediate)
    model(**inputs_for("model", model), keep_cache=False, output_attentions=asked)
    assert seen == [asked] * 2


@pytest.mark.parametrize("value", [None, 1, 0, "all", "False", [True]])
def test_another_level_is_refused(value):
    model = make("model")
    with pytest.raises(TypeError, match="keep_cache: must be True, False, 'backward' or 'recompute'"):
        model(**inputs_for("model", model), keep_cache=value)
