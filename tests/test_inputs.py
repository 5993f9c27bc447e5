"""The arguments of a call: every form that is taken, and what is refused."""

import numpy as np
import pytest
from small import make

from convbert_np.interface.inputs import as_array

IDS = np.arange(2, 12).reshape(2, 5)
EMBEDS = np.random.default_rng(0).standard_normal((2, 5, 10))


class Foreign:
    """An array of another library, as far as anyone can tell from outside."""

    def __array_function__(self, function, types, arguments, keywords):
        return NotImplemented

    def __array__(self, dtype=None, copy=None):
        raise TypeError("must not be brought to the host")


def test_arrays_of_other_libraries_stay_what_they_are():
    foreign = Foreign()
    assert as_array(foreign, "x") is foreign


def test_subclasses_of_ndarray_become_plain_arrays():
    matrix = np.arange(10).reshape(2, 5).view(np.matrix)
    assert type(as_array(matrix, "x")) is np.ndarray
    np.testing.assert_array_equal(make("model")(matrix + 2).last_hidden_state, make("model")(IDS).last_hidden_state)


def test_embeddings_may_be_lists_of_real_numbers():
    model = make("model")
    want = model(inputs_embeds=np.round(EMBEDS)).last_hidden_state
    np.testing.assert_array_equal(model(inputs_embeds=np.round(EMBEDS).tolist()).last_hidden_state, want)
    np.testing.assert_array_equal(model(inputs_embeds=np.round(EMBEDS).astype(int).tolist()).last_hidden_state, want)
    single = make("model", np.float32)
    assert single(inputs_embeds=EMBEDS.tolist()).last_hidden_state.dtype == np.float32


@pytest.mark.parametrize(
    "embeds, error, message",
    [
        ((EMBEDS + 1j).tolist(), TypeError, "inputs_embeds: must be float64 like the model, got complex128"),
        ((EMBEDS > 0).tolist(), TypeError, "inputs_embeds: must be float64 like the model, got bool"),
        (EMBEDS.astype(int), TypeError, "inputs_embeds: must be float64 like the model, got int64"),
        (EMBEDS[:, :0], ValueError, "none of them 0"),
        (EMBEDS[:0], ValueError, "none of them 0"),
    ],
)
def test_embeddings_that_are_none_are_refused(embeds, error, message):
    with pytest.raises(error, match=message):
        make("model")(inputs_embeds=embeds)


def test_token_types_start_at_0():
    with pytest.raises(ValueError, match=r"token_type_ids: must be in \[0, 2\) \(type_vocab_size\), got values from -1 to 0"):
        make("model")(IDS, token_type_ids=[[0, 0, -1, 0, 0]] * 2)


def test_choices_may_be_given_as_embeddings():
    model = make("choice")
    ids = np.random.default_rng(1).integers(2, 31, (2, 3, 5))
    words = model.params["convbert"]["embeddings"]["word_embeddings"]["weight"]
    want = model(ids, position_ids=ids * 0, attention_mask=ids % 2, token_type_ids=ids % 2)
    got = model(inputs_embeds=words[ids], position_ids=ids * 0, attention_mask=ids % 2, token_type_ids=ids % 2)
    np.testing.assert_array_equal(got.logits, want.logits)
    gradient = model.backward(got, {"logits": np.ones((2, 3))}, intermediates=True)["inputs_embeds"]
    assert gradient.shape == (2, 3, 5, 10)


@pytest.mark.parametrize(
    "given, message",
    [
        ({}, "input_ids: You have to specify either"),
        ({"attention_mask": np.ones((2, 3, 5))}, "input_ids: You have to specify either"),
        (
            {"inputs_embeds": np.ones((2, 5, 10))},
            r"inputs_embeds: must have 4 axes for multiple choice, \(batch, choices, sequence, embedding\)",
        ),
        ({"input_ids": np.ones((2, 3, 5), int), "position_ids": np.ones((2, 5), int)}, "position_ids: must have 3 axes"),
        ({"input_ids": np.ones((2, 3, 5), int), "token_type_ids": np.ones((2, 2, 5), int)}, "disagree on the number of choices"),
    ],
)
def test_choices_that_are_none_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        make("choice")(**given)
