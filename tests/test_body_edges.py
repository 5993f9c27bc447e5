"""The body of the model as functions: what is optional, what is left alone, what is forgotten, and in which order."""

import tracemalloc

import numpy as np
import pytest
from small import inputs_for, make

from convbert_np.config import ConvBertConfig
from convbert_np.interface.inputs import ARGUMENTS, prepare
from convbert_np.model.convbert import convbert, convbert_backward
from convbert_np.model.encoder import encoder, encoder_backward
from convbert_np.model.heads import check_summary
from convbert_np.model.initialise import initialise
from convbert_np.model.keeping import nothing
from convbert_np.tree import flatten


@pytest.fixture(scope="module")
def body():
    """A model, and its arguments as the functions take them."""
    model = make("model", num_hidden_layers=3)
    given = inputs_for("model", model)
    return model, prepare({name: given.get(name) for name in ARGUMENTS}, model.config, np.float64)


def test_the_body_keeps_its_values_unless_told_otherwise(body):
    model, inputs = body
    x, collected, cache = convbert(inputs, model.params, model.config)
    assert collected == {}
    assert list(cache["encoder"]["layer"]) == ["0", "1", "2"]
    assert convbert(inputs, model.params, model.config, keep=nothing)[2] is None
    np.testing.assert_array_equal(x, model(inputs["input_ids"], token_type_ids=inputs["token_type_ids"],
                                           attention_mask=np.array([[1] * 5, [1] * 4 + [0]])).last_hidden_state)  # fmt: skip


def test_the_encoder_needs_no_visitor(body):
    model, _ = body
    x = np.random.default_rng(0).standard_normal((2, 5, 12))
    seen = []
    y = encoder(x, model.params["encoder"], model.config, visit=lambda index, y, cache: seen.append((index, y)))
    np.testing.assert_array_equal(encoder(x, model.params["encoder"], model.config), y)
    assert [index for index, _ in seen] == [0, 1, 2]
    assert seen[-1][1] is y


def test_what_the_loss_takes_from_the_middle_is_optional_and_left_alone(body):
    model, inputs = body
    x, _, cache = convbert(inputs, model.params, model.config)
    dx = np.ones_like(x)
    alone = flatten(convbert_backward(dx, cache))
    with_none = flatten(convbert_backward(dx, cache, {}, {}, {}))
    assert alone.keys() == with_none.keys()
    assert all(np.array_equal(alone[name], with_none[name]) for name in alone)
    dhidden_states = {3: 2 * dx, 0: dx}
    twice = flatten(convbert_backward(dx, cache, dhidden_states))
    assert list(dhidden_states) == [3, 0]
    np.testing.assert_array_equal(dhidden_states[3], 2 * np.ones_like(x))
    name = "encoder.layer.2.output.LayerNorm.bias"
    np.testing.assert_allclose(twice[name], 3 * alone[name], rtol=1e-14)


def test_only_the_gradients_that_are_kept_come_back(body):
    model, inputs = body
    x, _, cache = convbert(inputs, model.params, model.config)
    everything, kept = convbert_backward(np.ones_like(x), cache), convbert_backward(np.ones_like(x), cache, keep=model.params)
    assert flatten(kept).keys() == flatten(model.params).keys()
    assert all(np.array_equal(value, flatten(everything)[name]) for name, value in flatten(kept).items())
    layers = encoder_backward({3: np.ones_like(x)}, cache["encoder"], {}, {}, model.params["encoder"])["layer"]
    assert flatten(layers).keys() == flatten(model.params["encoder"]["layer"]).keys()
    assert list(layers) == list(everything["encoder"]["layer"]) == ["0", "1", "2"]


def peak(function):
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_what_is_not_kept_takes_no_memory():
    model = make("masked_lm", num_hidden_layers=6, max_position_embeddings=64)
    given = inputs_for("masked_lm", model, batch=4, length=64)
    out = model(**given)
    assert peak(lambda: model(**given, keep_cache=False)) < 0.5 * peak(lambda: model(**given))
    assert peak(lambda: model.backward(out)) < 0.5 * peak(lambda: model.backward(out, intermediates=True))


@pytest.mark.parametrize("pad", [None, 0, 2])
def test_fresh_word_embeddings_are_zero_in_the_padding_row_only(pad):
    config = ConvBertConfig(vocab_size=9, hidden_size=8, embedding_size=8, num_attention_heads=2, pad_token_id=pad)
    shapes = {"embeddings.word_embeddings.weight": (9, 8)}
    (table,) = flatten(initialise(shapes, config, np.random.default_rng(0), np.float32)).values()
    assert [row for row in range(9) if not np.any(table[row])] == ([] if pad is None else [pad])


@pytest.mark.parametrize("name", ["summary_first_dropout", "summary_last_dropout"])
def test_a_summarys_dropouts_are_probabilities(name):
    check_summary(ConvBertConfig(**{name: 0.5}))
    with pytest.raises(ValueError, match=name):
        check_summary(ConvBertConfig(**{name: 1.5}))


def test_a_summary_may_project_to_labels_where_it_does_not_project():
    check_summary(ConvBertConfig(summary_proj_to_labels=True))
    check_summary(ConvBertConfig(summary_proj_to_labels=True, summary_use_proj=False))
    check_summary(ConvBertConfig(summary_use_proj=True))
    with pytest.raises(ValueError, match="summary_proj_to_labels"):
        check_summary(ConvBertConfig(summary_proj_to_labels=True, summary_use_proj=True))
