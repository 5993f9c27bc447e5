"""Whole models: derivatives, outputs, calling conventions, parameters, corner cases."""

import gc
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import HEADS, SMALL, inputs_for, make

import convbert_np as cb
from convbert_np.interface.output import ModelOutput
from convbert_np.ops.activations import ACTIVATIONS
from convbert_np.tree import flatten
from convbert_np.verify.gradients import check_model_gradients

heads = pytest.mark.parametrize("head", HEADS)
LABELLED = [head for head in HEADS if head != "model"]

configs = st.fixed_dictionaries(
    {
        "sizes": st.sampled_from([(12, 4, 2), (12, 6, 2), (8, 2, 4), (20, 5, 2), (12, 3, 1), (24, 12, 4), (8, 1, 2)]),
        "num_groups": st.sampled_from([1, 2, 4]),
        "conv_kernel_size": st.sampled_from([1, 3, 5, 9]),
        "embedding_size": st.sampled_from([7, 12, 20]),
        "num_hidden_layers": st.integers(0, 3),
        "pad_token_id": st.sampled_from([None, 0, 1, -1]),
        "hidden_act": st.sampled_from([name for name, about in ACTIVATIONS.items() if about.analytic]),
    }
)


@heads
@settings(max_examples=8, deadline=None, derandomize=True, database=None)
@given(drawn=configs, length=st.integers(1, 7), training=st.booleans(), seed=st.integers(0, 1000))
def test_gradients_of_whole_models_are_the_derivatives(head, drawn, length, training, seed):
    hidden, num_heads, ratio = drawn["sizes"]
    config = {name: value for name, value in drawn.items() if name != "sizes"}
    config |= {"hidden_size": hidden, "num_attention_heads": num_heads, "head_ratio": ratio, "intermediate_size": 16}
    model = make(head, seed=seed, **config)
    arguments = inputs_for(head, model, length=length, seed=seed) | {"training": training, "rng": seed}
    arguments["labels"] = arguments.get("labels")
    if head in ("model", "answer"):
        arguments.pop("labels")
    check_model_gradients(model, arguments, seed=seed).raise_if_wrong()


@pytest.mark.parametrize("act", [name for name, about in ACTIVATIONS.items() if not about.analytic])
def test_gradients_with_kinked_activations(act):
    model = make("sequence", hidden_act=act, seed=3)
    check_model_gradients(model, inputs_for("sequence", model), tolerance=1e-6).raise_if_wrong()


@pytest.mark.parametrize("head", LABELLED)
def test_loss_alone_is_the_default_cotangent(head):
    model = make(head)
    out = model(**inputs_for(head, model))
    one = model.backward(out, {"loss": np.ones(())})
    for name, gradient in model.backward(out).items():
        np.testing.assert_array_equal(gradient, one[name])
    check_model_gradients(model, inputs_for(head, model), {"loss": np.ones(())}).raise_if_wrong()


@heads
def test_gradients_have_the_parameters_names_shapes_and_dtype(head):
    for dtype in (np.float32, np.float64):
        model = make(head, dtype)
        out = model(**inputs_for(head, model))
        cotangents = None if head != "model" else {"last_hidden_state": np.ones_like(out.last_hidden_state)}
        grads = model.backward(out, cotangents)
        assert list(grads) == list(model.named_parameters())
        for name, parameter in model.named_parameters().items():
            assert grads[name].shape == parameter.shape and grads[name].dtype == dtype, name
        everything = flatten(out.cache) | model.backward(out, cotangents, intermediates=True)
        assert {
            n: v.dtype for n, v in everything.items() if getattr(v, "dtype", np.dtype("i8")).kind == "f" and v.dtype != dtype
        } == {}


@heads
def test_every_value_has_a_gradient_of_its_shape(head):
    model = make(head)
    out = model(**inputs_for(head, model), training=True, rng=1)
    cotangents = None if head != "model" else {"last_hidden_state": np.ones_like(out.last_hidden_state)}
    grads = model.backward(out, cotangents, intermediates=True)
    constants = ("self.mask", "loss_fct.labels", "generator_lm_head.weight")
    for name, value in flatten(out.cache).items():
        if getattr(value, "dtype", np.dtype("i8")).kind == "f" and not name.endswith(constants):
            assert grads[name].shape == value.shape, name
    assert grads["inputs_embeds"].shape == (*inputs_for(head, model)["input_ids"].shape, 10)


def test_gradient_of_inputs_embeds_is_the_derivative():
    model = make("token")
    given = inputs_for("token", model)
    given["inputs_embeds"] = np.random.default_rng(0).standard_normal((2, 5, 10))
    given.pop("input_ids")
    gradient = model.backward(model(**given), intermediates=True)["inputs_embeds"]
    direction = np.random.default_rng(1).standard_normal((2, 5, 10))
    twin = model.astype(np.complex128)
    loss = twin(**given | {"inputs_embeds": given["inputs_embeds"] + 1e-20j * direction}).loss
    np.testing.assert_allclose(loss.imag / 1e-20, np.sum(gradient * direction), rtol=1e-12)
    assert np.all(model.backward(model(**given))["convbert.embeddings.word_embeddings.weight"] == 0)


def test_gradient_of_a_head_mask_is_the_derivative():
    model = make("token")
    given = inputs_for("token", model)
    head_mask = np.random.default_rng(0).standard_normal((2, 2))
    grads = model.backward(model(**given, head_mask=head_mask), intermediates=True)
    twin = model.astype(np.complex128)
    for layer, head in np.ndindex(2, 2):
        step = np.zeros((2, 2), complex)
        step[layer, head] = 1e-20j
        want = twin(**given, head_mask=head_mask + step).loss.imag / 1e-20
        got = grads[f"convbert.encoder.layer.{layer}.attention.self.head_mask"]
        np.testing.assert_allclose(got[0, head, 0, 0], want, rtol=1e-11)


@pytest.mark.parametrize("name", ["hidden_states", "attentions", "dynamic_kernels"])
def test_cotangents_of_the_body_outputs(name):
    model = make("model", num_hidden_layers=3)
    given = inputs_for("model", model)
    outputs = model(**given, output_attentions=True, output_hidden_states=True)
    rng = np.random.default_rng(0)
    values = outputs.dynamic_kernels if name == "dynamic_kernels" else outputs[name]
    cotangents = [rng.standard_normal(value.shape) for value in values]
    grads = model.backward(outputs, {name: cotangents})
    separate = [model.backward(outputs, {f"{name}.{i}": one}) for i, one in enumerate(cotangents)]
    twin = model.astype(np.complex128)
    for parameter, value in twin.named_parameters().items():
        direction = rng.standard_normal(value.shape) if "word_embeddings" not in parameter else np.zeros(value.shape)
        np.testing.assert_allclose(grads[parameter], sum(one[parameter] for one in separate), rtol=1e-9, atol=1e-12)
        value += 1e-20j * direction
        moved = twin(**given, output_attentions=True, output_hidden_states=True)
        moved_values = moved.dynamic_kernels if name == "dynamic_kernels" else moved[name]
        want = sum(np.sum(c * v) for c, v in zip(cotangents, moved_values, strict=True)).imag / 1e-20
        value -= 1e-20j * direction
        np.testing.assert_allclose(np.sum(grads[parameter] * direction), want, rtol=1e-10, atol=1e-12, err_msg=parameter)


def test_cotangents_none_and_sums():
    model = make("masked_lm")
    out = model(**inputs_for("masked_lm", model))
    some = np.random.default_rng(0).standard_normal(out.dynamic_kernels[1].shape)
    a = model.backward(out, {"dynamic_kernels": [None, some]})
    b = model.backward(out, {"dynamic_kernels.1": some})
    both = model.backward(out, {"dynamic_kernels.1": some, "loss": 2.0})
    loss = model.backward(out)
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])
        np.testing.assert_allclose(both[name], a[name] + 2 * loss[name], rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize(
    "cotangents, message",
    [
        ({"logits": np.ones(3)}, r"'logits' must have the shape \(2, 5, 31\), got \(3,\)"),
        ({"pooler_output": np.ones(3)}, "'pooler_output' is not an output"),
        ({"attentions": [None]}, "must be a list of 2 arrays"),
        ({"attentions.2": np.ones(1)}, r"index must be in \[0, 2\)"),
        ({"hidden_states.x": np.ones(1)}, "index must be in"),
        ({"loss.1": np.ones(1)}, "not an output"),
        ({"hidden_states.01": np.ones((2, 5, 12))}, "index must be in"),
        ({"hidden_states": np.ones((3, 2, 5, 12))}, "must be a list of 3 arrays"),
        (
            {"hidden_states": [None, np.ones((2, 5, 12)), None], "hidden_states.1": np.ones((2, 5, 12))},
            "'hidden_states.1' is given twice",
        ),
    ],
)
def test_wrong_cotangents_are_named(cotangents, message):
    model = make("masked_lm")
    out = model(**inputs_for("masked_lm", model))
    with pytest.raises(ValueError, match=message):
        model.backward(out, cotangents)


def test_one_cotangent_may_fill_the_gap_of_a_list():
    model = make("model")
    out = model(np.array([[3, 4, 5]]))
    a, b = np.random.default_rng(0).standard_normal((2, 1, 3, 12))
    together = model.backward(out, {"hidden_states": [a, b, None]})
    for cotangents in (
        {"hidden_states.1": b, "hidden_states": [a, None, None]},
        {"hidden_states": [a, None, None], "hidden_states.1": b},
    ):
        for name, gradient in model.backward(out, cotangents).items():
            np.testing.assert_array_equal(gradient, together[name])


def test_cotangents_may_be_a_tuple():
    model = make("model")
    out = model(np.array([[3, 4, 5]]))
    some = np.ones((1, 3, 12))
    for a, b in zip(
        model.backward(out, {"hidden_states": (None, some, None)}).values(),
        model.backward(out, {"hidden_states": [None, some, None]}).values(),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_backward_without_cache_loss_or_output_says_so():
    model = make("masked_lm")
    given = inputs_for("masked_lm", model)
    with pytest.raises(ValueError, match="keep_cache=False"):
        model.backward(model(**given, keep_cache=False))
    with pytest.raises(TypeError, match="return_dict=True"):
        model.backward(model(**given, return_dict=False))
    given.pop("labels")
    out = model(**given)
    with pytest.raises(ValueError, match="has no loss"):
        model.backward(out)
    with pytest.raises(ValueError, match="no 'loss' in this output"):
        model.backward(out, {"loss": 1.0})


@pytest.mark.parametrize("head", LABELLED)
def test_unreduced_losses(head):
    model = make(head)
    given = inputs_for(head, model)
    mean, rows = model(**given), model(**given, reduction="none")
    kept = given["labels"].size - np.sum(given["labels"] == -100) if "labels" in given else 2
    np.testing.assert_allclose(rows.loss.sum() / kept, mean.loss, rtol=1e-12)
    np.testing.assert_allclose(model(**given, reduction="sum").loss, rows.loss.sum(), rtol=1e-12)
    assert rows.loss.shape == ((2, 5) if head in ("masked_lm", "token") else (2,))
    with pytest.raises(ValueError, match="loss per label"):
        model.backward(rows)
    grads = model.backward(rows, {"loss": np.full(rows.loss.shape, 1 / kept)})
    for name, gradient in model.backward(mean).items():
        np.testing.assert_allclose(grads[name], gradient, rtol=1e-9, atol=1e-13)
    with pytest.raises(ValueError, match="reduction: must be one of"):
        model(**given, reduction="average")


@heads
def test_outputs_by_attribute_key_index_and_tuple(head):
    model = make(head)
    given = inputs_for(head, model) | {"output_attentions": True, "output_hidden_states": True}
    out = model(**given)
    first = {"model": ["last_hidden_state"], "answer": ["loss", "start_logits", "end_logits"]}.get(head, ["loss", "logits"])
    names = [*first, "hidden_states", "attentions"]
    assert isinstance(out, ModelOutput) and out.keys() == names and list(out) == names and len(out) == len(names)
    as_tuple = model(**given, return_dict=False)
    assert isinstance(as_tuple, tuple) and len(as_tuple) == len(names) and len(out.to_tuple()) == len(names)
    for index, name in enumerate(names):
        assert out[name] is getattr(out, name) and out[index] is out[name] and name in out
        np.testing.assert_array_equal(np.array(as_tuple[index]), np.array(out[name]))
    assert len(out.hidden_states) == 3 and len(out.attentions) == 2 and len(out.dynamic_kernels) == 2
    assert out["cache"] is out.cache and out["dynamic_kernels"] is out.dynamic_kernels
    batch = 6 if head == "choice" else 2
    assert out.hidden_states[0].shape == (batch, 5, 12)
    assert out.attentions[0].shape == (batch, 2, 5, 5) and out.dynamic_kernels[0].shape == (batch, 5, 2, 3)
    np.testing.assert_allclose(out.dynamic_kernels[0].sum(axis=-1), 1, rtol=1e-12)
    with pytest.raises(AttributeError, match="it has"):
        _ = out.pooler_output
    with pytest.raises(KeyError, match="pooler_output"):
        out["pooler_output"]
    assert "cache: kept" in repr(out)


@heads
def test_what_is_not_asked_for_is_absent(head):
    model = make(head)
    given = {name: value for name, value in inputs_for(head, model).items() if "label" not in name and "position" not in name}
    out = model(**given)
    assert out.hidden_states is None and out.attentions is None and "attentions" not in out
    assert "loss" not in out and (head == "model" or out.loss is None)
    assert len(out.to_tuple()) == (2 if head == "answer" else 1)
    model.config.output_attentions = True
    assert len(model(**given).attentions) == 2
    model.config.return_dict = False
    assert isinstance(model(**given), tuple)


@heads
def test_keep_cache_changes_nothing_but_the_cache(head):
    model = make(head)
    given = inputs_for(head, model) | {"output_attentions": True, "output_hidden_states": True}
    kept, freed = model(**given), model(**given, keep_cache=False)
    assert freed.cache is None and kept.cache is not None
    for name in kept:
        np.testing.assert_array_equal(np.array(kept[name]), np.array(freed[name]))
    np.testing.assert_array_equal(np.array(kept.dynamic_kernels), np.array(freed.dynamic_kernels))


@heads
def test_calling_conventions(head):
    model = make(head)
    given = inputs_for(head, model)
    want = model(**given).to_tuple()
    ordered = [given["input_ids"], given["attention_mask"], given["token_type_ids"]]
    rest = {name: value for name, value in given.items() if name not in ("input_ids", "attention_mask", "token_type_ids")}
    for first, keywords in (
        (given, {}),
        (ordered, rest),
        (tuple(ordered), rest),
        ([*ordered, None], rest),
        (
            {"input_ids": given["input_ids"], "token_type_ids": given["token_type_ids"]},
            rest | {"attention_mask": given["attention_mask"]},
        ),
        (given["input_ids"].tolist(), {k: v for k, v in given.items() if k != "input_ids"}),
    ):
        for a, b in zip(want, model(first, **keywords).to_tuple(), strict=True):
            np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(model(*ordered, **rest).to_tuple()[-1], want[-1])
    with pytest.raises(ValueError, match="attention_mask: is given twice"):
        model(ordered, attention_mask=given["attention_mask"])
    with pytest.raises(ValueError, match="attention_mask: is given twice"):
        model(
            {"attention_mask": given["attention_mask"], "input_ids": given["input_ids"]}, attention_mask=given["attention_mask"]
        )
    open_ended = {"input_ids": given["input_ids"], "attention_mask": None, "token_type_ids": given["token_type_ids"]}
    np.testing.assert_array_equal(model(open_ended, attention_mask=given["attention_mask"], **rest).to_tuple()[-1], want[-1])
    with pytest.raises(ValueError, match=r"unknown keys \['ids'\]"):
        model({"ids": given["input_ids"]})
    with pytest.raises(ValueError, match="at most"):
        model([given["input_ids"]] * 9)


def test_dropout_is_off_by_default_random_in_training_and_repeatable():
    model = make("masked_lm")
    given = inputs_for("masked_lm", model)
    assert model(**given).loss == model(**given, training=False, rng=3).loss
    first, second = (model(**given, training=True, rng=seed) for seed in (1, 2))
    assert first.loss != second.loss
    assert (
        first.loss
        == model(**given, training=True, rng=1).loss
        == model(**given, training=True, rng=np.random.default_rng(1)).loss
    )
    assert first.loss == model(**given, training=True, rng=first.cache).loss
    model(**given, training=True)
    with pytest.raises(TypeError, match="rng: must be"):
        model(**given, training=True, rng="seed")
    with pytest.raises(ValueError, match="lacks one that is needed"):
        model(**given, training=True, rng={"convbert": {}})


def test_attentions_in_training_are_those_after_dropout_and_head_mask():
    model = make("model")
    out = model(**inputs_for("model", model), training=True, rng=0, output_attentions=True, head_mask=[1.0, 0.5])
    mixed = out.cache["encoder"]["layer"]["0"]["attention"]["self"]
    want = mixed["probs"] * mixed["dropout"]["mask"] / 0.8 * np.array([1, 0.5])[None, :, None, None]
    np.testing.assert_allclose(out.attentions[0], want, rtol=1e-12)


def test_padding_is_masked_in_attention_and_leaks_through_the_convolution():
    model = make("model", num_hidden_layers=1, conv_kernel_size=3)
    ids = np.array([[5, 6, 7, 8, 9, 1]])
    short = model(ids[:, :5]).last_hidden_state
    padded = model(ids, attention_mask=[[1, 1, 1, 1, 1, 0]]).last_hidden_state
    np.testing.assert_allclose(padded[:, :4], short[:, :4], rtol=1e-12)
    assert np.abs(padded[:, 4] - short[:, 4]).max() > 1e-3


def test_masks_in_every_form():
    model = make("model")
    ids = np.arange(2, 12).reshape(2, 5)
    mask = np.array([[1, 1, 1, 1, 0], [1, 1, 1, 0, 0]])
    want = model(ids, attention_mask=mask).last_hidden_state
    for same in (mask.astype(bool), mask.astype(np.float32), mask.tolist(), np.repeat(mask[:, None], 5, axis=1)):
        np.testing.assert_array_equal(model(ids, attention_mask=same).last_hidden_state, want)
    np.testing.assert_array_equal(model(ids, attention_mask=mask * 1.0 + (1 - mask) * 0.5).last_hidden_state, want)
    both = model(ids, attention_mask=mask[:1]).last_hidden_state
    np.testing.assert_array_equal(both, model(ids, attention_mask=np.repeat(mask[:1], 2, axis=0)).last_hidden_state)
    uniform = model(ids, attention_mask=np.zeros((2, 5)), output_attentions=True).attentions[0]
    np.testing.assert_array_equal(uniform, np.full_like(uniform, 0.2))
    for others in (1, 0):
        lone = model(ids, attention_mask=np.array([[others, 2, 1, 1, 1]]), output_attentions=True).attentions[0]
        np.testing.assert_array_equal(lone[..., 1], np.ones_like(lone[..., 1]))
    np.testing.assert_array_equal(model(ids).last_hidden_state, model(ids, attention_mask=np.ones((2, 5))).last_hidden_state)


def test_defaults_of_positions_and_types():
    model = make("model")
    ids = np.arange(2, 12).reshape(2, 5)
    want = model(ids).last_hidden_state
    for position_ids in (np.arange(5), np.arange(5)[None], np.tile(np.arange(5), (2, 1))):
        looked_up = model(ids, position_ids=position_ids).cache["embeddings"]["position_embeddings"]["y"]
        assert looked_up.shape == (len(np.atleast_2d(position_ids)), 5, 10)
        np.testing.assert_array_equal(model(ids, position_ids=position_ids).last_hidden_state, want)
    for token_type_ids in (np.zeros((1, 5), int), np.zeros((2, 5), int)):
        np.testing.assert_array_equal(model(ids, token_type_ids=token_type_ids).last_hidden_state, want)
    np.testing.assert_array_equal(model(ids.astype(np.int32)).last_hidden_state, want)
    words = model.params["embeddings"]["word_embeddings"]["weight"][ids]
    np.testing.assert_array_equal(model(inputs_embeds=words).last_hidden_state, want)
    long = np.zeros((1, 12), int)
    assert model(long, position_ids=np.zeros((1, 12), int)).last_hidden_state.shape == (1, 12, 12)


def test_head_masks_in_every_form():
    model = make("model")
    ids = np.arange(2, 12).reshape(2, 5)
    want = model(ids, head_mask=np.array([0.0, 2.0])).last_hidden_state
    assert np.abs(want - model(ids).last_hidden_state).max() > 1e-3
    for same in ([0.0, 2.0], np.array([[0, 2], [0, 2]]), np.array([0.0, 2.0]).reshape(1, 1, 2, 1, 1).repeat(2, axis=0)):
        np.testing.assert_array_equal(model(ids, head_mask=same).last_hidden_state, want)
    small = make("model", np.float32)
    assert (
        small(ids, head_mask=[0, 2]).last_hidden_state.dtype
        == small(ids, head_mask=np.array([0.0, 2.0])).last_hidden_state.dtype
        == np.float32
    )
    full = np.broadcast_to(np.array([0.0, 2.0])[None, None, :, None, None], (2, 2, 2, 5, 5))
    np.testing.assert_array_equal(model(ids, head_mask=full).last_hidden_state, want)


IDS = np.arange(2, 12).reshape(2, 5)
BAD_CALLS = [
    (dict(), ValueError, "input_ids: You have to specify either input_ids or inputs_embeds"),
    (dict(input_ids=IDS, inputs_embeds=np.zeros((2, 5, 10))), ValueError, "cannot specify both"),
    (dict(input_ids=IDS.astype(float)), TypeError, "input_ids: must be integers, got dtype float64"),
    (dict(input_ids=IDS + 20), ValueError, r"input_ids: must be in \[0, 31\) \(vocab_size\), got values from 22 to 31"),
    (dict(input_ids=IDS - 3), ValueError, r"input_ids: must be in \[0, 31\)"),
    (dict(input_ids=IDS[0]), ValueError, r"input_ids: must have the shape \(batch, sequence\)"),
    (dict(input_ids=IDS[:0]), ValueError, "neither of them 0"),
    (dict(input_ids=IDS[:, :0]), ValueError, "neither of them 0"),
    (dict(input_ids=[[1, 2], [3]]), ValueError, "input_ids: is not rectangular"),
    (dict(input_ids="text"), TypeError, "input_ids: must hold numbers, got str"),
    (dict(input_ids=np.array([["a"]], dtype=object)), TypeError, "input_ids: must"),
    (dict(input_ids=np.zeros((1, 12), int)), ValueError, "longer than the max_position_embeddings 11"),
    (dict(inputs_embeds=np.zeros((1, 12, 10))), ValueError, "inputs_embeds: a sequence of 12"),
    (dict(inputs_embeds=np.zeros((2, 5, 9))), ValueError, "embedding_size 10"),
    (dict(inputs_embeds=np.zeros((2, 5))), ValueError, "inputs_embeds: must have the shape"),
    (
        dict(inputs_embeds=np.zeros((2, 5, 10), np.float32)),
        TypeError,
        "inputs_embeds: must be float64 like the model, got float32",
    ),
    (dict(input_ids=IDS, token_type_ids=IDS), ValueError, "token_type_ids: must be in"),
    (dict(input_ids=IDS, token_type_ids=np.zeros((2, 4), int)), ValueError, "token_type_ids: must have the shape"),
    (dict(input_ids=IDS, position_ids=IDS), ValueError, "position_ids: must be in"),
    (dict(input_ids=IDS, position_ids=np.zeros((2, 4), int)), ValueError, "position_ids: must have the shape"),
    (
        dict(input_ids=IDS, attention_mask=np.ones((2, 4))),
        ValueError,
        r"attention_mask: must have the shape \(2, 5\) or \(1, 5\)",
    ),
    (dict(input_ids=IDS, attention_mask=np.ones((2, 1, 1, 5))), ValueError, "attention_mask: must have the shape"),
    (dict(input_ids=IDS, attention_mask=np.full((2, 5), np.nan)), ValueError, "attention_mask: must hold numbers"),
    (dict(input_ids=IDS, attention_mask=np.full((2, 5), 3)), ValueError, "attention_mask: must hold numbers"),
    (dict(input_ids=IDS, attention_mask=IDS - 2), ValueError, "attention_mask: must hold numbers"),
    (dict(input_ids=IDS, attention_mask=np.ones((2, 5), complex)), ValueError, "attention_mask: must hold numbers"),
    (dict(input_ids=IDS, head_mask=np.ones(2, complex)), TypeError, "head_mask: must hold numbers"),
    (dict(input_ids=IDS, position_ids=np.arange(5) - 1), ValueError, "position_ids: must be in"),
    (dict(input_ids=[]), ValueError, "neither of them 0"),
    (dict(input_ids=[None, np.ones((2, 5))]), ValueError, "You have to specify either"),
    (dict(input_ids=IDS, attention_mask=np.full((2, 5), -1)), ValueError, "attention_mask: must hold numbers"),
    (dict(input_ids=IDS, attention_mask=[["a"] * 5] * 2), TypeError, "attention_mask: must hold numbers"),
    (dict(input_ids=IDS, head_mask=np.ones(4)), ValueError, r"head_mask: must have the shape \(heads,\) = \(2,\)"),
    (dict(input_ids=IDS, head_mask=np.ones((3, 2))), ValueError, "head_mask: must have the shape"),
    (dict(input_ids=IDS, head_mask=["a", "b"]), TypeError, "head_mask: must hold numbers"),
]


@pytest.mark.parametrize("given, error, message", BAD_CALLS)
def test_bad_arguments_are_named(given, error, message):
    with pytest.raises(error, match=message):
        make("model")(**given)


BAD_LABELS = [
    ("masked_lm", {}, IDS + 25, ValueError, r"labels: must be in \[0, 31\)"),
    ("masked_lm", {}, IDS * 0 - 1, ValueError, "or -100 to be ignored"),
    ("masked_lm", {}, IDS.astype(float), TypeError, "labels: class labels must be integers"),
    ("masked_lm", {}, IDS[:, :4], ValueError, r"labels: must have the shape \(2, 5\)"),
    ("token", {}, IDS, ValueError, r"labels: must be in \[0, 2\)"),
    ("sequence", {}, np.array([0, 2]), ValueError, r"labels: must be in \[0, 2\)"),
    ("sequence", {}, np.array([0.0, 1.0]), ValueError, r"labels: must have the shape \(2, 2\)"),
    ("sequence", {}, np.array([True, False]), TypeError, "labels: must be floating-point"),
    ("sequence", {"num_labels": 1}, np.array([True, False]), TypeError, "labels: must be floating-point"),
    ("sequence", {"num_labels": 1}, np.zeros(3), ValueError, r"labels: must have the shape \(2,\) or \(2, 1\)"),
    ("sequence", {"num_labels": 3, "problem_type": "regression"}, np.zeros(2), ValueError, r"\(2, 3\)"),
    ("choice", {}, np.array([0, 3]), ValueError, r"labels: must be in \[0, 3\)"),
]


@pytest.mark.parametrize("head, config, labels, error, message", BAD_LABELS)
def test_bad_labels_are_named(head, config, labels, error, message):
    model = make(head, **config)
    given = inputs_for("choice" if head == "choice" else "model", model)
    with pytest.raises(error, match=message):
        model(**given | {"labels": labels})


def test_question_answering_positions():
    model = make("answer")
    given = inputs_for("model", model)
    both = model(**given, start_positions=[[1], [2]], end_positions=[3, 4]).loss
    assert both == model(**given, start_positions=[1, 2], end_positions=[3, 4]).loss
    assert (
        model(**given, start_positions=[-7, 2], end_positions=[3, 4]).loss
        == model(**given, start_positions=[0, 2], end_positions=[3, 4]).loss
    )
    ignored = model(**given, start_positions=[1, 9], end_positions=[3, 5]).loss
    first = {name: value[:1] for name, value in given.items()}
    np.testing.assert_allclose(ignored, model(**first, start_positions=[1], end_positions=[3]).loss, rtol=1e-12)
    assert model(**given, start_positions=[1, 2]).loss is None
    nothing = model(**given, start_positions=[9, 9], end_positions=[3, 4])
    assert np.isnan(nothing.loss)
    assert all(np.all(np.isfinite(gradient)) for gradient in model.backward(nothing).values())
    with pytest.raises(ValueError, match=r"start_positions: must have the shape \(2,\) or \(2, 1\)"):
        model(**given, start_positions=[[1, 2], [3, 4]], end_positions=[3, 4])
    with pytest.raises(TypeError, match="end_positions: must be integers"):
        model(**given, start_positions=[1, 2], end_positions=[3.0, 4.0])
    with pytest.raises(ValueError, match="num_labels: question answering needs 2"):
        make("answer", num_labels=3)


def test_nothing_to_learn_is_nan_with_zero_gradients():
    model = make("masked_lm")
    given = inputs_for("masked_lm", model)
    out = model(**given | {"labels": np.full((2, 5), -100)})
    assert np.isnan(out.loss)
    assert all(np.all(gradient == 0) for gradient in model.backward(out).values())


def test_problem_types_are_inferred_each_time_and_can_be_set():
    model = make("sequence", num_labels=3)
    given = inputs_for("model", model)
    single, multi = model(**given, labels=[0, 2]), model(**given, labels=np.eye(3)[:2])
    assert single.cache["loss_fct"]["problem_type"] == "single_label_classification"
    assert multi.cache["loss_fct"]["problem_type"] == "multi_label_classification"
    assert model.config.problem_type is None
    regression = make("sequence", num_labels=3, problem_type="regression")(**given, labels=np.eye(3)[:2])
    np.testing.assert_allclose(regression.loss, np.mean((regression.logits - np.eye(3)[:2]) ** 2), rtol=1e-12)
    one = make("sequence", num_labels=1)
    np.testing.assert_allclose(one(**given, labels=[0.5, 1.5]).loss, one(**given, labels=[[0.5], [1.5]]).loss)
    assert one(**given, labels=[1, 2]).loss == one(**given, labels=[1.0, 2.0]).loss
    assert make("sequence", dtype=np.float32, num_labels=1)(**given, labels=[0.5, 1.5]).loss.dtype == np.float32


def test_multiple_choice_pools_the_last_position_by_default():
    model = make("choice")
    given = inputs_for("choice", model)
    out = model(**given, output_hidden_states=True)
    weight = model.params["classifier"]
    want = out.hidden_states[-1][:, -1] @ weight["weight"].T + weight["bias"]
    np.testing.assert_allclose(out.logits, want.reshape(2, 3), rtol=1e-12)
    given["attention_mask"] = given["attention_mask"][:, :2]
    with pytest.raises(ValueError, match="disagree on the number of choices"):
        model(**given)
    with pytest.raises(ValueError, match=r"input_ids: must have 3 axes for multiple choice"):
        model(np.zeros((2, 5), int))
    with pytest.raises(ValueError, match="summary_type: must be one of"):
        make("choice", summary_type="attn")
    with pytest.raises(ValueError, match="summary_activation"):
        make("choice", summary_activation="softmax")
    with pytest.raises(ValueError, match="summary_first_dropout"):
        make("choice", summary_first_dropout=2.0)
    with pytest.raises(ValueError, match="summary_proj_to_labels"):
        make("choice", summary_use_proj=True, summary_proj_to_labels=True)
    assert make("choice", summary_use_proj=True, summary_proj_to_labels=True, num_labels=12).num_parameters() > 0


@pytest.mark.parametrize("kind", ["last", "first", "mean", "cls_index"])
def test_multiple_choice_summaries_have_right_gradients(kind):
    model = make(
        "choice",
        summary_type=kind,
        summary_use_proj=True,
        summary_activation="tanh",
        summary_first_dropout=0.2,
        summary_last_dropout=0.1,
    )
    check_model_gradients(model, inputs_for("choice", model) | {"training": True, "rng": 1}).raise_if_wrong()


def test_tied_word_embedding_collects_both_gradients():
    model = make("masked_lm", pad_token_id=2)
    given = inputs_for("masked_lm", model)
    given["input_ids"][0, 0] = 2
    out = model(**given)
    grads = model.backward(out)
    assert "generator_lm_head.weight" not in grads
    untied = make("masked_lm", tie_word_embeddings=False, pad_token_id=2)
    state = model.state_dict()
    untied.load_state_dict(state)
    assert untied(**given).loss == out.loss
    apart = untied.backward(untied(**given))
    top, bottom = apart["generator_lm_head.weight"], apart["convbert.embeddings.word_embeddings.weight"]
    np.testing.assert_allclose(grads["convbert.embeddings.word_embeddings.weight"], top + bottom, rtol=1e-12)
    assert np.all(bottom[2] == 0) and np.any(top[2] != 0)
    assert "generator_lm_head.weight" not in model.backward(out, intermediates=True)


def test_parameters_by_name():
    model = make("masked_lm")
    assert model.num_parameters() == sum(p.size for p in model.named_parameters().values())
    state = model.state_dict()
    assert len(state) == len(model.named_parameters()) + 1
    assert state["generator_lm_head.weight"] is state["convbert.embeddings.word_embeddings.weight"]
    other = cb.ConvBertForMaskedLM(model.config, seed=5, dtype=np.float64)
    assert other.load_state_dict(state) == ([], [], ())
    for name, value in other.state_dict().items():
        np.testing.assert_array_equal(value, state[name])
        assert name == "generator_lm_head.weight" or value is not state[name]
    one = {name: value for name, value in state.items() if name != "convbert.embeddings.word_embeddings.weight"}
    assert other.load_state_dict(one) == ([], [], ())
    assert other.load_state_dict(state | {"convbert.embeddings.position_ids": np.arange(11)[None]}) == ([], [], ())


def test_load_state_dict_is_all_or_nothing():
    model = make("token")
    before = {name: value.copy() for name, value in model.named_parameters().items()}
    state = {name: value + 1 for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=r"classifier.bias is \(3,\), must be \(2,\)"):
        model.load_state_dict(state | {"classifier.bias": np.zeros(3)})
    state["surplus"] = state.pop("classifier.bias")
    with pytest.raises(ValueError, match=r"missing \['classifier.bias'\], unexpected \['surplus'\]"):
        model.load_state_dict(state)
    for name, value in model.named_parameters().items():
        np.testing.assert_array_equal(value, before[name])
    report = model.load_state_dict(state, strict=False)
    assert report == (["classifier.bias"], ["surplus"], ())
    np.testing.assert_array_equal(model.params["classifier"]["bias"], before["classifier.bias"])
    np.testing.assert_array_equal(model.params["classifier"]["weight"], before["classifier.weight"] + 1)


def test_seeds_and_dtypes_of_fresh_models():
    config = cb.ConvBertConfig(**SMALL)
    a, b, c = (
        cb.ConvBertModel(config, seed=1),
        cb.ConvBertModel(config, seed=1, dtype=np.float64),
        cb.ConvBertModel(config, seed=2),
    )
    assert a.dtype == np.float32 and b.dtype == np.float64
    for name, value in a.named_parameters().items():
        np.testing.assert_array_equal(value, b.named_parameters()[name])
    word = "embeddings.word_embeddings.weight"
    assert np.any(a.named_parameters()[word] != c.named_parameters()[word])
    for bad in (np.int64, np.float16):
        with pytest.raises(ValueError, match="dtype: must be float32 or float64"):
            cb.ConvBertModel(config, dtype=bad)
    with pytest.raises(TypeError, match="config: must be a ConvBertConfig"):
        cb.ConvBertModel({"hidden_size": 12})


def test_initialisation_is_the_references():
    config = cb.ConvBertConfig(
        vocab_size=400, hidden_size=128, num_hidden_layers=1, num_attention_heads=4, intermediate_size=256, embedding_size=64,
        num_groups=2, initializer_range=0.03, pad_token_id=3,
    )  # fmt: skip
    for name, value in cb.ConvBertForMaskedLM(config).named_parameters().items():
        if name.endswith("LayerNorm.weight"):
            assert np.all(value == 1)
        elif name.endswith("bias"):
            assert np.all(value == 0)
        else:
            assert abs(value.std() / 0.03 - 1) < 0.15 and abs(value.mean()) < 0.01, name
    word = cb.ConvBertForMaskedLM(config).params["convbert"]["embeddings"]["word_embeddings"]["weight"]
    assert np.all(word[3] == 0) and np.all(np.any(np.delete(word, 3, 0) != 0, axis=1))


@pytest.mark.parametrize("size", [25, 40])
@pytest.mark.parametrize("head", ["model", "masked_lm"])
def test_resize_token_embeddings(head, size):
    model = make(head)
    before = {name: value.copy() for name, value in model.named_parameters().items()}
    model.resize_token_embeddings(size)
    assert model.config.vocab_size == size and model.config.hidden_size == 12
    rows = min(size, 31)
    for name, value in model.named_parameters().items():
        if before[name].shape == value.shape:
            np.testing.assert_array_equal(value, before[name])
        else:
            assert value.shape[0] == size and value.dtype == np.float64
            np.testing.assert_array_equal(value[:rows], before[name][:rows])
            if name.endswith("lm_head.bias"):
                assert np.all(value[rows:] == 0)
            else:
                assert np.all(np.any(value[rows:] != 0, axis=1))
    ids = np.full((1, 3), size - 1)
    assert model(ids).to_tuple()[0].shape[-1] == (12 if head == "model" else size)
    with pytest.raises(ValueError, match="vocab_size"):
        model.resize_token_embeddings(0)
    with pytest.raises(ValueError, match="pad_token_id"):
        model.resize_token_embeddings(1)


def test_astype_copies():
    model = make("token")
    twin = model.astype(np.float32)
    assert twin.dtype == np.float32 and model.dtype == np.float64
    given = inputs_for("token", model)
    assert twin(**given).logits.dtype == np.float32
    np.testing.assert_allclose(twin(**given).logits, model(**given).logits, rtol=1e-3, atol=1e-4)
    same = model.astype(np.float64)
    same.params["classifier"]["bias"] += 1
    assert np.all(model.params["classifier"]["bias"] != same.params["classifier"]["bias"])


def test_chunking_changes_nothing():
    given = inputs_for("model", make("model"))
    want = make("model")(**given).last_hidden_state
    np.testing.assert_array_equal(make("model", chunk_size_feed_forward=5)(**given).last_hidden_state, want)


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.uint16, np.int64])
def test_integer_labels_of_any_width(dtype):
    model = make("sequence", num_labels=3)
    given = inputs_for("sequence", model)
    assert model(**given).loss == model(**given | {"labels": given["labels"].astype(dtype)}).loss


def test_resized_models_keep_their_padding_row():
    model = make("model", pad_token_id=2)
    model.resize_token_embeddings(40)
    out = model(np.array([[2, 3, 39]]))
    gradient = model.backward(out, {"last_hidden_state": np.random.default_rng(0).standard_normal((1, 3, 12))})
    rows = gradient["embeddings.word_embeddings.weight"]
    assert np.all(rows[2] == 0) and np.any(rows[3] != 0) and np.any(rows[39] != 0)


def test_keep_cache_false_frees_each_layer_when_it_is_done():
    model = make("model", np.float32, num_hidden_layers=8, hidden_size=32, intermediate_size=64, max_position_embeddings=64)
    ids = np.random.default_rng(0).integers(2, 31, (4, 64))
    model(ids)

    def peak(**options):
        gc.collect()
        tracemalloc.start()
        try:
            out = model(ids, **options)
            return tracemalloc.get_traced_memory()[1], out
        finally:
            tracemalloc.stop()

    assert peak(keep_cache=False)[0] < 0.3 * peak()[0]
