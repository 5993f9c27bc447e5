"""Gradient checkpointing: a layer is computed again on the way back; gradients are the same bit for bit, memory is less."""

import tracemalloc

import numpy as np
import pytest
from small import HEADS, SMALL, inputs_for, make, stressed

from convbert_np import ConvBertConfig, ConvBertForPreTraining
from convbert_np.tree import flatten


def make_pretraining():
    return stressed(ConvBertForPreTraining(ConvBertConfig(**SMALL, generator_hidden_size=0.5), dtype=np.float64))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("head", [*HEADS, "pretraining"])
def test_the_same_gradients_bit_for_bit(head, training):
    model = make_pretraining() if head == "pretraining" else make(head)
    given = inputs_for("masked_lm" if head == "pretraining" else head, model) | {
        "training": training,
        "head_mask": np.full(2, 0.7),
    }
    cotangents = {"last_hidden_state": np.random.default_rng(1).standard_normal((2, 5, 12))} if head == "model" else None
    full, again = (model(**given, rng=np.random.default_rng(4), keep_cache=keep) for keep in (True, "recompute"))
    want, got = model.backward(full, cotangents), model.backward(again, cotangents)
    assert want.keys() == got.keys()
    for name, g in want.items():
        np.testing.assert_array_equal(got[name], g)
    with pytest.raises(ValueError, match="out: has no values to go back through"):
        model.backward(again)


def test_masks_may_come_from_an_earlier_call_and_cotangents_may_meet_any_output():
    model = make("model")
    given = inputs_for("model", model) | {"training": True, "output_attentions": True, "output_hidden_states": True}
    first = model(**given, rng=3)
    again = model(**given, rng=first.cache, keep_cache="recompute")
    rng = np.random.default_rng(0)
    names = ("hidden_states.1", "attentions.0", "dynamic_kernels.1")
    values = (first.hidden_states[1], first.attentions[0], first.dynamic_kernels[1])
    cotangents = {name: rng.standard_normal(value.shape) for name, value in zip(names, values, strict=True)}
    np.testing.assert_array_equal(again.attentions[1], first.attentions[1])
    want, got = model.backward(first, cotangents), model.backward(again, cotangents)
    for name, g in want.items():
        np.testing.assert_array_equal(got[name], g)
    with pytest.raises(ValueError, match="attentions"):
        model.backward(model(**given, rng=3, keep_cache="recompute"), {"attentions.0": np.ones((1, 2))})


def test_parameters_that_changed_are_noticed():
    model = make("masked_lm")
    out = model(**inputs_for("masked_lm", model), keep_cache="recompute")
    model.load_state_dict({name: value + 1 for name, value in model.state_dict().items()})
    with pytest.raises(ValueError, match="out: was not computed by this model with its present parameters"):
        model.backward(out)


def test_only_the_inputs_of_the_layers_are_kept():
    model = make("token", num_hidden_layers=5)
    out = model(**inputs_for("token", model, 3, 9), training=True, rng=1, keep_cache="recompute")
    params = model.named_parameters().keys()
    own = {n: v for n, v in flatten(out.cache).items() if ".layer." in n and n not in params and hasattr(v, "nbytes")}
    assert {name.split(".layer.")[1][2:] for name in own} == {"x"}

    def held(keep):
        tracemalloc.start()
        out = model(**inputs_for("token", model, 8, 11), training=True, rng=1, keep_cache=keep)
        size = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        return size, out

    assert held("recompute")[0] < 0.5 * held("backward")[0]
