"""Parameters by name: loading, saving, resizing, seeds, and what is refused."""

import warnings

import numpy as np
import pytest
from small import HEADS, SMALL, inputs_for, make

import convbert_np as cb
from convbert_np.interface.options import as_generator

WORD, HEAD = "convbert.embeddings.word_embeddings.weight", "generator_lm_head.weight"


def test_a_model_says_what_it_is():
    model = make("token", num_hidden_layers=3)
    assert (
        repr(model) == f"ConvBertForTokenClassification(3 layers, hidden size 12, {model.num_parameters():,} parameters, float64)"
    )


@pytest.mark.parametrize("state", [None, [], [1], "state", {1: np.ones(2)}, {"classifier.bias": np.ones(2), 1: np.ones(2)}])
def test_a_state_that_is_none_is_refused(state):
    with pytest.raises(TypeError, match="state_dict: must be a dict from names to arrays"):
        make("token").load_state_dict(state)


@pytest.mark.parametrize("which", [0, 7, -1])
def test_every_name_is_checked(which):
    model = make("token")
    state = model.state_dict()
    name = list(state)[which]
    with pytest.raises(ValueError, match=f"{name} is .*, must be"):
        model.load_state_dict(state | {name: state[name][..., None]})
    missing = {other: value for other, value in state.items() if other != name}
    with pytest.raises(ValueError, match=f"missing \\['{name}'\\], unexpected \\[\\]"):
        model.load_state_dict(missing)
    assert model.load_state_dict(missing, strict=False) == ([name], [], ())
    assert model.load_state_dict({"first": np.ones(1), **state, "last": np.ones(1)}, strict=False) == ([], ["first", "last"], ())


@pytest.mark.parametrize("only", [WORD, HEAD])
def test_one_name_of_a_tied_weight_suffices(only):
    source, target = make("masked_lm", seed=1), make("masked_lm", seed=2)
    other = HEAD if only == WORD else WORD
    assert target.load_state_dict({name: value for name, value in source.state_dict().items() if name != other}) == ([], [], ())
    for name, value in target.state_dict().items():
        np.testing.assert_array_equal(value, source.state_dict()[name])


def test_both_names_of_a_tied_weight_may_be_missing():
    model = make("masked_lm")
    before = model.state_dict()[WORD].copy()
    state = {name: value + 1 for name, value in model.state_dict().items() if name not in (WORD, HEAD)}
    assert model.load_state_dict(state, strict=False) == ([WORD, HEAD], [], ())
    np.testing.assert_array_equal(model.state_dict()[HEAD], before)


def test_numbers_too_large_for_the_dtype_are_refused():
    model = make("token", np.float32)
    with pytest.raises(ValueError, match=r"classifier\.bias: holds numbers that are too large for float32"):
        model.load_state_dict(model.state_dict() | {"classifier.bias": np.array([0, 1e300])})


def test_the_default_seed_is_0(tmp_path):
    config = cb.ConvBertConfig(**SMALL)
    fresh, told = cb.ConvBertForMaskedLM(config), cb.ConvBertForMaskedLM(config, seed=0)
    for name, value in fresh.named_parameters().items():
        np.testing.assert_array_equal(value, told.named_parameters()[name])
    fresh.resize_token_embeddings(40)
    told.resize_token_embeddings(40, seed=0)
    np.testing.assert_array_equal(fresh.state_dict()[WORD], told.state_dict()[WORD])
    cb.ConvBertModel(config).save_pretrained(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        a, b = (cb.ConvBertForMaskedLM.from_pretrained(tmp_path, **seed) for seed in ({}, {"seed": 0}))
        c = cb.ConvBertForMaskedLM.from_pretrained(tmp_path, seed=3)
    name = "generator_predictions.dense.weight"
    np.testing.assert_array_equal(a.state_dict()[name], b.state_dict()[name])
    assert np.any(a.state_dict()[name] != c.state_dict()[name])


def test_what_a_file_lacks_or_has_too_much_is_told(tmp_path):
    make("model", np.float32).save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match=r"lacks classifier.weight, classifier.bias; these are freshly drawn"):
        cb.ConvBertForTokenClassification.from_pretrained(tmp_path)
    make("token", np.float32).save_pretrained(tmp_path)
    with pytest.warns(UserWarning) as told:
        cb.ConvBertForMaskedLM.from_pretrained(tmp_path)
    assert "classifier.bias, classifier.weight are not used by this model" in str([str(w.message) for w in told])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cb.ConvBertForTokenClassification.from_pretrained(tmp_path)


def test_from_pretrained_takes_a_configuration_or_fields(tmp_path):
    make("token", np.float32).save_pretrained(tmp_path)
    config = cb.ConvBertConfig(**(SMALL | {"hidden_act": "relu"}))
    for options in ({"config": config}, {"hidden_act": "relu"}):
        assert cb.ConvBertForTokenClassification.from_pretrained(tmp_path, **options).config.hidden_act == "relu"
    with pytest.raises(ValueError, match=r"model\.safetensors: shapes do not fit"):
        cb.ConvBertForTokenClassification.from_pretrained(tmp_path, intermediate_size=16)


def test_a_configuration_changed_for_the_worse_is_noticed():
    config = cb.ConvBertConfig(**SMALL)
    config.conv_kernel_size = 4
    with pytest.raises(ValueError, match="conv_kernel_size: must be odd"):
        cb.ConvBertModel(config)
    model = make("model")
    model.config.hidden_act = "GELU"
    with pytest.raises(ValueError, match="hidden_act: must be one of"):
        model(np.array([[3, 4]]))


def test_a_model_keeps_a_configuration_of_its_own():
    config = cb.ConvBertConfig(**SMALL)
    model = cb.ConvBertModel(config)
    config.output_attentions = True
    assert not model.config.output_attentions


def test_resizing_below_the_other_sizes_keeps_the_other_parameters():
    model = make("masked_lm")
    before = {name: value.copy() for name, value in model.named_parameters().items()}
    model.resize_token_embeddings(8)
    for name, value in model.named_parameters().items():
        np.testing.assert_array_equal(value, before[name][: len(value)])


def test_masks_of_a_complex_model_are_judged_by_their_real_part():
    model = make("model").astype(np.complex128)
    for mask in (np.array([[1, 1, 0]]) + 1e-20j * np.array([[1, -1, -1]]), np.array([[1, 2, 1]]) + 1e-20j):
        assert model(np.array([[3, 4, 5]]), attention_mask=mask).last_hidden_state.dtype == np.complex128


def replaced(model, name):
    """Give a model another array for one parameter, in which one number differs."""
    parameters = model.named_parameters()
    parameters[name] = parameters[name].copy()
    parameters[name].reshape(-1)[-1] += 1
    model.params = cb.unflatten(parameters)


@pytest.mark.parametrize("which", [0, 5, -1])
def test_an_output_of_other_parameters_is_refused(which):
    model = make("token")
    out = model(**inputs_for("token", model))
    name = list(model.named_parameters())[which]
    replaced(model, name)
    with pytest.raises(ValueError, match=f"out: was not computed by this model with its present parameters .{name} differs"):
        model.backward(out)


def test_an_output_of_another_dtype_is_refused_and_nan_is_no_other_parameter():
    single = make("token", np.float32)
    out = single(**inputs_for("token", single))
    with pytest.raises(ValueError, match="differs"):
        single.astype(np.float64).backward(out)
    single.params["classifier"]["bias"][0] = np.nan
    assert np.isnan(single.backward(single(**inputs_for("token", single)))["classifier.weight"]).any()


def test_equal_parameters_in_other_arrays_are_the_same_model():
    model = make("token")
    out = model(**inputs_for("token", model))
    model.load_state_dict(model.state_dict())
    assert model.backward(out).keys() == model.named_parameters().keys()


@pytest.mark.parametrize("tied", [True, False])
def test_a_masked_lm_of_embeddings_learns_its_word_embeddings_from_the_head_alone(tied):
    model = make("masked_lm", tie_word_embeddings=tied)
    given = inputs_for("masked_lm", model)
    ids = given.pop("input_ids")
    out = model(**given, inputs_embeds=model.state_dict()[WORD][ids])
    grads = model.backward(out)
    head = model.backward(out, intermediates=True)
    np.testing.assert_array_equal(grads[WORD], head[WORD])
    assert np.any(grads[WORD] != 0) == tied
    assert (model.state_dict()[HEAD] is model.state_dict()[WORD]) == tied
    if not tied:
        assert model.state_dict()[HEAD] is model.params["generator_lm_head"]["weight"] and np.any(grads[HEAD] != 0)


@pytest.mark.parametrize("head", HEADS)
def test_each_output_comes_when_it_is_asked_for(head):
    model = make(head)
    given = inputs_for(head, model)
    one, other = model(**given, output_attentions=True), model(**given, output_hidden_states=True)
    assert one.hidden_states is None and len(one.attentions) == 2
    assert other.attentions is None and len(other.hidden_states) == 3


def test_sources_of_randomness():
    class Device:
        __module__ = "cupy.random._generator"

    device, generator = Device(), np.random.default_rng(3)
    assert as_generator(device, "rng") is device and as_generator(generator, "rng") is generator
    assert as_generator(np.int64(3), "rng").random() == as_generator(3, "rng").random() == generator.random()
    for wrong in (True, 1.0, "3", np.random.RandomState(0)):
        with pytest.raises(TypeError, match="seed: must be a numpy Generator, a seed or a tree"):
            as_generator(wrong, "seed")


@pytest.mark.parametrize("dtype", [None, "foo", np.float16, np.int64, int])
def test_a_dtype_that_is_none_is_refused(dtype):
    with pytest.raises(ValueError, match="dtype: must be float32 or float64, got"):
        cb.ConvBertModel(cb.ConvBertConfig(**SMALL), dtype=dtype)


def test_parameters_that_are_nan_can_be_loaded():
    source = make("masked_lm")
    for value in source.named_parameters().values():
        value.reshape(-1)[0] = np.nan
    target = make("masked_lm")
    assert target.load_state_dict(source.state_dict()) == ([], [], ())
    for name, value in target.state_dict().items():
        np.testing.assert_array_equal(value, source.state_dict()[name])
