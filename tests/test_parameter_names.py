"""Names, shapes, order and number of the parameters: those of the published models, written out."""

from math import prod

import pytest

import convbert_np
from convbert_np import ConvBertConfig
from convbert_np.model.initialise import body_shapes
from convbert_np.tree import flatten

LM_HEAD = "generator_lm_head.weight"
HEADS = {
    "ConvBertModel": "body", "ConvBertForMaskedLM": "masked_lm", "ConvBertForSequenceClassification": "sequence",
    "ConvBertForMultipleChoice": "choice", "ConvBertForTokenClassification": "token", "ConvBertForQuestionAnswering": "span",
}  # fmt: skip
SIZES = {
    "base": {},
    "small": {"hidden_size": 256, "embedding_size": 128, "num_attention_heads": 4, "intermediate_size": 1024},
    "medium-small": {
        "hidden_size": 384, "embedding_size": 128, "num_attention_heads": 8, "intermediate_size": 1536, "num_groups": 2,
    },
}  # fmt: skip

# For each size: keys of the state_dict, and numbers learnt, of ConvBertModel, ConvBertForMaskedLM, ...
COUNTS = {
    "base": [
        (281, 105_680_520), (287, 106_303_170), (285, 106_272_650), (283, 105_681_289), (283, 105_682_058), (283, 105_682_058),
    ],
    "small": [
        (283, 13_143_768), (289, 13_207_442), (287, 13_210_074), (285, 13_144_025), (285, 13_144_282), (285, 13_144_282),
    ],
    "medium-small": [
        (283, 17_475_888), (289, 17_555_946), (287, 17_624_498), (285, 17_476_273), (285, 17_476_658), (285, 17_476_658),
    ],
}  # fmt: skip

EMBEDDINGS = {
    "base": {"word": (30522, 768), "position": (512, 768), "token_type": (2, 768), "LayerNorm": 768},
    "small": {"word": (30522, 128), "position": (512, 128), "token_type": (2, 128), "LayerNorm": 128, "project": (256, 128)},
    "medium-small": {
        "word": (30522, 128),
        "position": (512, 128),
        "token_type": (2, 128),
        "LayerNorm": 128,
        "project": (384, 128),
    },
}

# The shapes of a layer, in the order of the state_dict.
LAYERS = {
    "base": """
        attention.self.query.weight 384 768                          attention.self.query.bias 384
        attention.self.key.weight 384 768                            attention.self.key.bias 384
        attention.self.value.weight 384 768                          attention.self.value.bias 384
        attention.self.key_conv_attn_layer.bias 384 1
        attention.self.key_conv_attn_layer.depthwise.weight 768 1 9
        attention.self.key_conv_attn_layer.pointwise.weight 384 768 1
        attention.self.conv_kernel_layer.weight 54 384               attention.self.conv_kernel_layer.bias 54
        attention.self.conv_out_layer.weight 384 768                 attention.self.conv_out_layer.bias 384
        attention.output.dense.weight 768 768                        attention.output.dense.bias 768
        attention.output.LayerNorm.weight 768                        attention.output.LayerNorm.bias 768
        intermediate.dense.weight 3072 768                           intermediate.dense.bias 3072
        output.dense.weight 768 3072                                 output.dense.bias 768
        output.LayerNorm.weight 768                                  output.LayerNorm.bias 768
    """,
    "small": """
        attention.self.query.weight 128 256                          attention.self.query.bias 128
        attention.self.key.weight 128 256                            attention.self.key.bias 128
        attention.self.value.weight 128 256                          attention.self.value.bias 128
        attention.self.key_conv_attn_layer.bias 128 1
        attention.self.key_conv_attn_layer.depthwise.weight 256 1 9
        attention.self.key_conv_attn_layer.pointwise.weight 128 256 1
        attention.self.conv_kernel_layer.weight 18 128               attention.self.conv_kernel_layer.bias 18
        attention.self.conv_out_layer.weight 128 256                 attention.self.conv_out_layer.bias 128
        attention.output.dense.weight 256 256                        attention.output.dense.bias 256
        attention.output.LayerNorm.weight 256                        attention.output.LayerNorm.bias 256
        intermediate.dense.weight 1024 256                           intermediate.dense.bias 1024
        output.dense.weight 256 1024                                 output.dense.bias 256
        output.LayerNorm.weight 256                                  output.LayerNorm.bias 256
    """,
    "medium-small": """
        attention.self.query.weight 192 384                          attention.self.query.bias 192
        attention.self.key.weight 192 384                            attention.self.key.bias 192
        attention.self.value.weight 192 384                          attention.self.value.bias 192
        attention.self.key_conv_attn_layer.bias 192 1
        attention.self.key_conv_attn_layer.depthwise.weight 384 1 9
        attention.self.key_conv_attn_layer.pointwise.weight 192 384 1
        attention.self.conv_kernel_layer.weight 36 192               attention.self.conv_kernel_layer.bias 36
        attention.self.conv_out_layer.weight 192 384                 attention.self.conv_out_layer.bias 192
        attention.output.dense.weight 384 384                        attention.output.dense.bias 384
        attention.output.LayerNorm.weight 384                        attention.output.LayerNorm.bias 384
        intermediate.dense.weight 2 192 768                          intermediate.dense.bias 1536
        output.dense.weight 2 768 192                                output.dense.bias 384
        output.LayerNorm.weight 384                                  output.LayerNorm.bias 384
    """,
}


def listed_body(size, layers):
    """Names and shapes of the body, in order, from the lists above."""
    tables = EMBEDDINGS[size]
    listed = [(f"embeddings.{name}_embeddings.weight", tables[name]) for name in ("word", "position", "token_type")]
    listed += [(f"embeddings.LayerNorm.{leaf}", (tables["LayerNorm"],)) for leaf in ("weight", "bias")]
    if "project" in tables:
        listed += [("embeddings_project.weight", tables["project"]), ("embeddings_project.bias", tables["project"][:1])]
    layer: list[tuple[str, tuple[int, ...]]] = []
    for word in LAYERS[size].split():
        if word.isdecimal():
            layer[-1] = (layer[-1][0], (*layer[-1][1], int(word)))
        else:
            layer.append((word, ()))
    return listed + [(f"encoder.layer.{i}.{name}", shape) for i in range(layers) for name, shape in layer]


def listed_head(head, hidden, width, vocab=30522, labels=2):
    """Names and shapes in the state_dict of a head."""
    if head == "masked_lm":
        name = "generator_predictions"
        return [
            (f"{name}.LayerNorm.weight", (width,)), (f"{name}.LayerNorm.bias", (width,)),
            (f"{name}.dense.weight", (width, hidden)), (f"{name}.dense.bias", (width,)),
            (LM_HEAD, (vocab, width)), ("generator_lm_head.bias", (vocab,)),
        ]  # fmt: skip
    if head == "sequence":
        return [
            ("classifier.dense.weight", (hidden, hidden)), ("classifier.dense.bias", (hidden,)),
            ("classifier.out_proj.weight", (labels, hidden)), ("classifier.out_proj.bias", (labels,)),
        ]  # fmt: skip
    name, rows = {"choice": ("classifier", 1), "token": ("classifier", labels), "span": ("qa_outputs", labels)}[head]
    return [(f"{name}.weight", (rows, hidden)), (f"{name}.bias", (rows,))]


def listed(size, model_class, layers):
    """Names and shapes in the state_dict of a model, from the lists above."""
    body = listed_body(size, layers)
    if model_class == "ConvBertModel":
        return body
    hidden, width = dict(body)["encoder.layer.0.attention.self.query.weight"][1], EMBEDDINGS[size]["word"][1]
    return [(f"convbert.{name}", shape) for name, shape in body] + listed_head(HEADS[model_class], hidden, width)


every_size = pytest.mark.parametrize("size", SIZES)
every_model = pytest.mark.parametrize("model_class", HEADS)


@every_size
def test_the_body_of_twelve_layers(size):
    assert list(body_shapes(ConvBertConfig(**SIZES[size])).items()) == listed_body(size, 12)


@every_size
@every_model
def test_counts(size, model_class):
    """Computed from the shapes alone: nothing of 400 MB is allocated."""
    keys, numbers = COUNTS[size][list(HEADS).index(model_class)]
    shapes = getattr(convbert_np, model_class).shapes(ConvBertConfig(**SIZES[size]))
    tied = model_class == "ConvBertForMaskedLM"
    assert len(shapes) + tied == keys
    assert sum(prod(shape) for shape in shapes.values()) == numbers
    assert list(shapes.items()) == [item for item in listed(size, model_class, 12) if item[0] != LM_HEAD]


@every_size
@every_model
def test_state_dict_of_a_model(size, model_class):
    """A model with two layers and few words: names, shapes and order of what it holds are those of its shapes."""
    small = {"vocab_size": 11, "num_hidden_layers": 2}
    model = getattr(convbert_np, model_class)(ConvBertConfig(**SIZES[size], **small))
    want = [(name, tuple(11 if n == 30522 else n for n in shape)) for name, shape in listed(size, model_class, 2)]
    state, own = model.state_dict(), model.named_parameters()
    assert [(name, array.shape) for name, array in state.items()] == want
    assert list(own) == [name for name, _ in want if name != LM_HEAD]
    assert own.keys() == flatten(model.params).keys()
    assert model.num_parameters() == sum(array.size for array in own.values())
    assert all(array.dtype == "float32" for array in state.values())


def test_the_tied_weight_is_one_array():
    config = {"vocab_size": 11, "num_hidden_layers": 1, **SIZES["small"]}
    model = convbert_np.ConvBertForMaskedLM(ConvBertConfig(**config))
    state = model.state_dict()
    assert state[LM_HEAD] is state["convbert.embeddings.word_embeddings.weight"]
    assert len(state) == len(model.named_parameters()) + 1

    untied = convbert_np.ConvBertForMaskedLM(ConvBertConfig(**config, tie_word_embeddings=False))
    assert list(untied.state_dict()) == list(state)
    assert list(untied.named_parameters()) == list(state)
    assert untied.num_parameters() == model.num_parameters() + 11 * 128


@pytest.mark.parametrize(
    ("heads", "ratio", "kinds", "size"),
    [(12, 1, 12, 32), (12, 2, 6, 64), (12, 3, 4, 96), (12, 4, 3, 128), (12, 5, 2, 192), (12, 12, 1, 384), (12, 24, 1, 384)],
)
def test_heads_of_each_kind(heads, ratio, kinds, size):
    config = ConvBertConfig(num_attention_heads=heads, head_ratio=ratio)
    assert (config.num_heads, config.head_size, config.all_head_size) == (kinds, size, 384)
    assert body_shapes(config)["encoder.layer.11.attention.self.conv_kernel_layer.weight"] == (kinds * 9, 384)


def test_summary_projection_of_multiple_choice():
    config = {"vocab_size": 11, "num_hidden_layers": 1, **SIZES["small"]}
    model = convbert_np.ConvBertForMultipleChoice(ConvBertConfig(**config, summary_use_proj=True))
    names = list(model.state_dict())[-4:]
    assert names == ["sequence_summary.summary.weight", "sequence_summary.summary.bias", "classifier.weight", "classifier.bias"]
    assert model.state_dict()["sequence_summary.summary.weight"].shape == (256, 256)
