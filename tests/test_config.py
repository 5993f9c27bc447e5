"""ConvBertConfig: fields, checks, files."""

import copy
import json
import pickle

import pytest

from convbert_np import ConvBertConfig

BASE = {
    "vocab_size": 30522, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072,
    "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "max_position_embeddings": 512,
    "type_vocab_size": 2, "initializer_range": 0.02, "layer_norm_eps": 1e-12, "pad_token_id": 1, "bos_token_id": 0,
    "eos_token_id": 2, "embedding_size": 768, "head_ratio": 2, "conv_kernel_size": 9, "num_groups": 1, "classifier_dropout": None,
}  # fmt: skip


def test_defaults_are_those_of_the_reference():
    config = ConvBertConfig()
    assert {name: getattr(config, name) for name in BASE} == BASE
    assert config.num_labels == 2 and config.id2label == {0: "LABEL_0", 1: "LABEL_1"} and config.problem_type is None
    assert config.tie_word_embeddings and config.use_return_dict and not config.output_attentions
    assert json.loads(config.to_json_string()) == BASE | {"model_type": "convbert"}
    assert (config.num_heads, config.head_size, config.all_head_size) == (6, 64, 384)


@pytest.mark.parametrize(
    "heads, ratio, want", [(12, 1, (12, 32)), (12, 4, (3, 128)), (12, 5, (2, 192)), (2, 4, (1, 384)), (12, 24, (1, 384))]
)
def test_derived_sizes(heads, ratio, want):
    config = ConvBertConfig(num_attention_heads=heads, head_ratio=ratio)
    assert (config.num_heads, config.head_size) == want and config.all_head_size == 384


BAD = [
    ({"hidden_size": 10, "num_attention_heads": 6}, ValueError, "hidden_size: 10 is not divisible by the 3 heads"),
    ({"hidden_size": 9, "num_attention_heads": 6}, ValueError, "must be even"),
    ({"conv_kernel_size": 4}, ValueError, "conv_kernel_size: must be odd"),
    ({"num_groups": 5}, ValueError, "num_groups: 5 does not divide hidden_size 768"),
    ({"num_groups": 3, "intermediate_size": 1000}, ValueError, "num_groups: 3 does not divide intermediate_size"),
    ({"pad_token_id": 30522}, ValueError, "pad_token_id: must be None or below vocab_size"),
    ({"head_ratio": 0}, ValueError, "head_ratio: must be at least 1, got 0"),
    ({"head_ratio": 2.0}, TypeError, "head_ratio: must be an integer, got 2.0"),
    ({"hidden_size": "768"}, TypeError, "hidden_size: must be an integer"),
    ({"num_hidden_layers": -1}, ValueError, "num_hidden_layers: must be at least 0"),
    ({"num_hidden_layers": True}, TypeError, "num_hidden_layers: must be an integer"),
    ({"hidden_act": "GELU"}, ValueError, "hidden_act: must be one of .* got 'GELU'"),
    ({"hidden_act": len}, ValueError, "hidden_act: must be one of"),
    ({"hidden_dropout_prob": 1.5}, ValueError, "hidden_dropout_prob: must be a probability"),
    ({"hidden_dropout_prob": float("nan")}, ValueError, "hidden_dropout_prob"),
    ({"hidden_dropout_prob": None}, TypeError, "hidden_dropout_prob: must be a number"),
    ({"classifier_dropout": -0.1}, ValueError, "classifier_dropout"),
    ({"layer_norm_eps": float("inf")}, ValueError, "layer_norm_eps: must be finite"),
    ({"initializer_range": "0.02"}, TypeError, "initializer_range: must be a number"),
    ({"problem_type": "ranking"}, ValueError, "problem_type: must be None or one of"),
    ({"is_decoder": True}, ValueError, "encoder only"),
    ({"add_cross_attention": True}, ValueError, "encoder only"),
    ({"id2label": ["a", "b"]}, TypeError, "id2label: must be a dict"),
    ({"label2id": 3}, TypeError, "label2id: must be a dict"),
    ({"id2label": {0: "a"}, "num_labels": 2}, ValueError, "num_labels: is 2, but id2label names 1"),
    ({"id2label": {}}, ValueError, "id2label: must be a dict that names at least one"),
    ({"num_labels": 0}, ValueError, "num_labels: must be at least 1"),
    ({"head_size": 3}, ValueError, "head_size: is a name that the configuration computes itself"),
    ({"to_dict": 3}, ValueError, "to_dict"),
]


@pytest.mark.parametrize("fields, error, message", BAD)
def test_impossible_configurations_are_named(fields, error, message):
    with pytest.raises(error, match=message):
        ConvBertConfig(**fields)


def test_unknown_fields_are_kept(tmp_path):
    config = ConvBertConfig(hidden_size=96, my_field={"a": [1, 2]}, summary_type="first")
    assert config.my_field == {"a": [1, 2]}
    assert ConvBertConfig.from_dict(config.to_dict()) == config
    config.save_pretrained(tmp_path / "new" / "place")
    again = ConvBertConfig.from_pretrained(tmp_path / "new" / "place")
    assert again == config and again.my_field == {"a": [1, 2]} and again.summary_type == "first"
    assert ConvBertConfig.from_pretrained(tmp_path / "new" / "place" / "config.json") == config
    assert "num_labels" not in config.to_dict() and "return_dict" not in json.loads(config.to_json_string())
    assert json.loads(config.to_json_string(use_diff=False))["return_dict"] is True


def test_labels():
    config = ConvBertConfig(id2label={"0": "no", "1": "yes", "2": "maybe"})
    assert config.num_labels == 3 and config.id2label[2] == "maybe" and config.label2id == {"no": 0, "yes": 1, "maybe": 2}
    assert config.to_dict()["id2label"] == {"0": "no", "1": "yes", "2": "maybe"}
    assert ConvBertConfig.from_dict(config.to_dict()) == config
    assert ConvBertConfig.from_dict(config.to_dict(), num_labels=4).id2label[3] == "LABEL_3"
    config.num_labels = 3
    assert config.id2label[2] == "maybe"
    config.num_labels = 1
    assert config.id2label == {0: "LABEL_0"} and config.label2id == {"LABEL_0": 0}


def test_from_dict_takes_overrides_and_refuses_other_models():
    assert ConvBertConfig.from_dict({"hidden_size": 96, "model_type": "conv_bert"}, hidden_act="relu").hidden_act == "relu"
    with pytest.raises(ValueError, match="model_type: this is the configuration of a 'bert' model"):
        ConvBertConfig.from_dict({"model_type": "bert"})
    with pytest.raises(TypeError, match="fields: must be a dict"):
        ConvBertConfig.from_dict([1])


@pytest.mark.parametrize(
    "text, message", [("", "is not valid JSON"), ("[1]", "must hold a JSON object"), ('{"hidden_size": 0}', "hidden_size")]
)
def test_broken_files(tmp_path, text, message):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        ConvBertConfig.from_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError):
        ConvBertConfig.from_pretrained(tmp_path / "other")


def test_copies_are_equal_and_independent():
    config = ConvBertConfig(extra=[1])
    for twin in (copy.deepcopy(config), pickle.loads(pickle.dumps(config)), ConvBertConfig.from_dict(config.to_dict())):
        assert twin == config
        twin.hidden_size = 96
        assert twin != config
    assert config != 3 and "hidden_size" in repr(config)
