"""ConvBertForPreTraining: the released sizes, the equations put together by hand, the gradients, the samples."""

import numpy as np
import pytest
from small import SMALL, inputs_for, stressed

import convbert_np as cb
from convbert_np.interface.pretraining import ConvBertForPreTraining, generator_config, gumbel_sample
from convbert_np.names import lookup
from convbert_np.tree import flatten

RELEASED = {
    "small": {"hidden_size": 256, "embedding_size": 128, "num_attention_heads": 4, "intermediate_size": 1024},
    "medium-small": {
        "hidden_size": 384, "embedding_size": 128, "num_attention_heads": 8, "intermediate_size": 1536, "num_groups": 2,
    },
    "base": {"generator_hidden_size": 1 / 3},
}  # fmt: skip
COUNTS = {  # of the original code: all, electra, generator, generator_predictions, discriminator_predictions
    "small": (14_019_903, 13_143_768, 770_988, 39_098, 66_049),
    "medium-small": (18_539_191, 17_475_888, 871_884, 43_194, 148_225),
    "base": (115_836_059, 105_680_520, 9_334_744, 229_434, 591_361),
}


@pytest.mark.parametrize("name", RELEASED)
def test_parameters_of_the_released_sizes(name):
    config = cb.ConvBertConfig(vocab_size=30522, pad_token_id=0, **RELEASED[name])
    sizes = {n: int(np.prod(shape)) for n, shape in ConvBertForPreTraining.shapes(config).items()}
    parts = ("", "convbert.", "generator.", "generator_", "discriminator_")
    assert tuple(sum(size for n, size in sizes.items() if n.startswith(part)) for part in parts) == COUNTS[name]


def make(dtype=np.float64, **more):
    config = cb.ConvBertConfig(**(SMALL | {"generator_hidden_size": 0.5, "pad_token_id": 0} | more))
    return stressed(ConvBertForPreTraining(config, dtype=dtype))


def inputs(model, batch=3, length=7):
    given = inputs_for("masked_lm", model, batch, length)
    given["labels"][np.random.default_rng(0).random((batch, length)) < 0.6] = -100
    given["labels"][1, 2] = 5
    return given


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    "more",
    [{}, {"generator_hidden_size": 0.25, "hidden_size": 24}, {"embedding_size": 12, "num_groups": 2, "generator_layers": 0.5},
     {"hidden_act": "relu"}],
)  # fmt: skip
def test_gradients(more, training):
    model = make(**more)
    cb.check_model_gradients(model, inputs(model) | {"training": training, "rng": 3}).raise_if_wrong()


def test_the_parts_together():
    """loss = loss of the generator + 50 * loss of the discriminator on what the generator fills in."""
    model = make()
    given = inputs(model)
    out = model(**given, rng=1)
    labels = given.pop("labels")
    masked = labels != -100
    alone = model.generator()(**given, labels=labels)
    np.testing.assert_allclose(out.generator_logits, alone.logits[masked], rtol=1e-12)
    np.testing.assert_allclose(out.generator_loss, alone.loss, rtol=1e-13)
    original = np.where(masked, labels, given["input_ids"])
    np.testing.assert_array_equal(out.filled_ids[~masked], original[~masked])
    np.testing.assert_array_equal(out.is_fake, out.filled_ids != original)
    assert out.is_fake.any() and not out.is_fake[~masked].any()
    x = model.discriminator()(out.filled_ids, given["attention_mask"], given["token_type_ids"]).last_hidden_state
    head = model.params["discriminator_predictions"]
    wide = x @ head["dense"]["weight"].T + head["dense"]["bias"]
    from convbert_np.ops.activations import activation

    logits = (activation(wide, "gelu")[0] @ head["dense_1"]["weight"].T + head["dense_1"]["bias"])[..., 0]
    np.testing.assert_allclose(out.discriminator_logits, logits, rtol=1e-12)
    kept = given["attention_mask"] == 1
    want = np.mean((np.logaddexp(0, logits) - out.is_fake * logits)[kept])
    np.testing.assert_allclose(out.discriminator_loss, want, rtol=1e-12)
    np.testing.assert_allclose(out.loss, out.generator_loss + 50 * out.discriminator_loss, rtol=1e-14)
    np.testing.assert_allclose(model(given | {"input_ids": out.filled_ids}).discriminator_logits, logits, rtol=1e-12)


def test_nothing_flows_from_the_discriminator_into_the_generator():
    model = make()
    out = model(**inputs(model), rng=1)
    grads = model.backward(out, {"discriminator_loss": np.array(1.0)})
    own = [name for name in grads if name.startswith("generator")]
    assert own and all(not np.any(grads[name]) for name in own)
    assert all(np.any(g) for name, g in grads.items() if name not in own and "key.bias" not in name)
    grads = model.backward(out, {"generator_loss": np.array(1.0)})
    assert all(np.any(grads[name]) for name in own if "key.bias" not in name)
    others = [name for name in grads if name not in own and ".embeddings." not in name]
    assert all(not np.any(grads[name]) for name in others) and np.any(grads["convbert.embeddings.LayerNorm.weight"])


def test_each_level_of_keeping_gives_the_same():
    model = make()
    given = inputs(model) | {"training": True, "rng": 5}
    full, lean, none = (model(**given, keep_cache=keep) for keep in (True, "backward", False))
    assert full.loss == lean.loss == none.loss and none.cache is None
    want, got = model.backward(full), model.backward(lean)
    assert want.keys() == got.keys() == model.named_parameters().keys()
    for name, g in want.items():
        np.testing.assert_array_equal(got[name], g)
    for out in (lean, none):
        with pytest.raises(ValueError, match="out: has no values to go back through"):
            model.backward(out)


def test_an_earlier_call_is_repeated_by_its_cache():
    model = make()
    first = model(**inputs(model), training=True, rng=7)
    again = model(**inputs(model), training=True, rng=first.cache)
    other = model(**inputs(model), training=True, rng=8)
    assert first.loss == again.loss != other.loss
    np.testing.assert_array_equal(first.filled_ids, again.filled_ids)


def test_every_value_has_a_name_and_axes():
    model = make()
    out = model(**inputs(model), training=True, rng=1)
    grads = model.backward(out, intermediates=True)
    for name, value in (flatten(out.cache) | grads).items():
        if hasattr(value, "shape") and name != "inputs_embeds":
            assert len(lookup(name).axes_of(value.shape).split()) == value.ndim, name
    traced = cb.trace(out, grads)
    assert traced["discriminator_loss_fct.loss"].value == out.discriminator_loss
    assert traced["generator.encoder.layer.1.output.LayerNorm.y"].gradient is not None


def test_samples_are_drawn_from_the_softmax():
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05], np.float32))
    drawn = gumbel_sample(np.broadcast_to(logits, (40000, 4)), np.random.default_rng(0))
    found = np.bincount(drawn, minlength=4) / 40000
    assert np.all(np.abs(found - np.exp(logits)) < 4 * np.sqrt(np.exp(logits) / 40000))


def test_generator_and_discriminator_share_the_arrays():
    model = make()
    generator, discriminator = model.generator(), model.discriminator()
    assert isinstance(generator, cb.ConvBertForMaskedLM) and isinstance(discriminator, cb.ConvBertModel)
    word = model.named_parameters()["convbert.embeddings.word_embeddings.weight"]
    assert generator.named_parameters()["convbert.embeddings.word_embeddings.weight"] is word
    assert discriminator.named_parameters()["embeddings.word_embeddings.weight"] is word


def test_saved_and_loaded(tmp_path):
    model = make(np.float32)
    model.save_pretrained(tmp_path)
    again = ConvBertForPreTraining.from_pretrained(tmp_path)
    assert again.named_parameters().keys() == model.named_parameters().keys()
    for name, value in again.named_parameters().items():
        np.testing.assert_array_equal(value, model.named_parameters()[name])
    with pytest.warns(UserWarning, match="are not used by this model"):
        body = cb.ConvBertModel.from_pretrained(tmp_path)
    np.testing.assert_array_equal(body.params["encoder"]["layer"]["0"]["output"]["dense"]["weight"],
                                  model.body["encoder"]["layer"]["0"]["output"]["dense"]["weight"])  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"generator_hidden_size": 0}, "generator_hidden_size: must be a share"),
        ({"generator_hidden_size": 2.0}, "generator_hidden_size: must be a share"),
        ({"generator_layers": "all"}, "generator_layers: must be a share"),
        ({"generator_hidden_size": 0.25}, "generator_hidden_size: 0.25 of this configuration makes no generator"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings"),
    ],
)
def test_configurations_without_a_generator(fields, message):
    with pytest.raises(ValueError, match=message):
        ConvBertForPreTraining(cb.ConvBertConfig(**(SMALL | {"generator_hidden_size": 0.5} | fields)))


def test_bad_calls():
    model = make()
    given = inputs(model)
    for change, message in (
        ({"labels": given["labels"] * 1.0}, "labels: class labels must be integers"),
        ({"inputs_embeds": np.zeros((3, 7, 10)), "input_ids": None}, "inputs_embeds: the generator replaces ids"),
        ({"reduction": "none"}, "reduction: the pre-training loss is a sum of means"),
        ({"attention_mask": np.ones((3, 7, 7))}, r"attention_mask: must have the shape \(batch, sequence\)"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            model(**(given | change))


def test_the_small_generator_has_one_head_of_full_width():
    config = generator_config(cb.ConvBertConfig(**RELEASED["small"]))
    assert (config.hidden_size, config.num_heads, config.head_size, config.all_head_size) == (64, 1, 64, 64)
    assert (config.intermediate_size, config.num_hidden_layers) == (256, 12)
    config = generator_config(cb.ConvBertConfig(**RELEASED["base"]))
    assert (config.hidden_size, config.num_attention_heads, config.head_size, config.all_head_size) == (256, 4, 64, 128)
