"""TensorFlow 1 bundles written: byte for byte those of TensorFlow's Saver; both parts of the pre-training there and back."""

import numpy as np
import pytest
from small import SMALL, make, stressed
from test_tf_bundle import FIXTURES, GROUPED, PRETRAINING, expected

from convbert_np import ConvBertConfig, ConvBertForMaskedLM, ConvBertForPreTraining, ConvBertModel
from convbert_np.checkpoints import tf_writer
from convbert_np.checkpoints.tf1_names import to_tf1
from convbert_np.checkpoints.tf_bundle import is_slot, open_tf_bundle
from convbert_np.checkpoints.tf_table import read_table
from convbert_np.checkpoints.tf_writer import save_tf1, write_tf_bundle


def model_of(dtype=np.float32, **more):
    config = ConvBertConfig(**(SMALL | {"generator_hidden_size": 0.5, "pad_token_id": 0} | more))
    return stressed(ConvBertForPreTraining(config, dtype=dtype))


def same(one, other):
    ours, theirs = one.named_parameters(), other.named_parameters()
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        np.testing.assert_array_equal(theirs[name], value)


def test_the_files_are_those_of_tensorflow(tmp_path):
    """What its Saver wrote, read and written again, is what it wrote."""
    write_tf_bundle(tmp_path / "model.ckpt", {name: tensor.copy() for name, tensor in open_tf_bundle(GROUPED).items()})
    for name in ("model.ckpt.index", "model.ckpt.data-00000-of-00001", "checkpoint"):
        assert (tmp_path / name).read_bytes() == (GROUPED / name).read_bytes(), name


@pytest.mark.parametrize("block", [1, 300, 1 << 18])
def test_every_type_and_shape_in_blocks_of_any_size(tmp_path, monkeypatch, block):
    monkeypatch.setattr(tf_writer, "BLOCK", block)
    read = {
        name: tensor for name, tensor in open_tf_bundle(FIXTURES / "types").items() if tensor.dtype not in ("object", "bfloat16")
    }
    tensors = {name: tensor.copy() for name, tensor in read.items()} | {"x/\u00e9": np.arange(3), "transposed": np.ones((2, 3)).T}
    write_tf_bundle(tmp_path / "some.ckpt", tensors)
    found = open_tf_bundle(tmp_path)
    assert list(found) == sorted(tensors, key=str.encode)
    for name, value in tensors.items():
        got = found[name].copy()
        assert got.dtype == value.dtype and got.shape == value.shape
        np.testing.assert_array_equal(got, value)


def test_a_table_of_many_keys():
    entries = {f"{number:05d}/a".encode(): bytes([number % 256]) * (number % 40) for number in range(3000)}
    assert read_table("t", tf_writer.table(entries)) == entries
    assert [tf_writer.successor(key) for key in (b"abc", b"\xffa", b"\xff\xff", b"")] == [b"b", b"\xffb", b"\xff\xff", b""]


@pytest.mark.parametrize("directory", [PRETRAINING, GROUPED])
def test_variables_of_the_original_code_there_and_back(directory):
    """A model read from TensorFlow's checkpoint becomes exactly its variables again."""
    model = ConvBertForPreTraining.from_pretrained(directory)
    variables, want = to_tf1(model.named_parameters()), expected(directory)
    assert variables.keys() == want.keys()
    for name, value in want.items():
        np.testing.assert_array_equal(variables[name], value)


@pytest.mark.parametrize(
    "more", [{}, {"num_groups": 2, "embedding_size": 12}, {"generator_hidden_size": 1.0, "generator_layers": 0.5}]
)
def test_pretraining_is_written_and_read(tmp_path, more):
    model = model_of(**more)
    save_tf1(model, tmp_path / "model.ckpt")
    same(model, ConvBertForPreTraining.from_pretrained(tmp_path / "model.ckpt"))
    (tmp_path / "config.json").unlink()  # then the shapes tell
    again = ConvBertForPreTraining.from_pretrained(tmp_path / "model.ckpt")
    same(model, again)
    with pytest.warns(UserWarning, match="discriminator_predictions"):
        same(model.discriminator(), ConvBertModel.from_pretrained(tmp_path / "model.ckpt"))
    same(model.generator(), ConvBertForMaskedLM.from_pretrained(tmp_path / "model.ckpt", part="generator"))


def test_the_small_models_generator_is_written_and_read(tmp_path):
    """One head of each kind, as wide as the hidden state."""
    model = model_of(hidden_size=24, num_attention_heads=4, generator_hidden_size=0.25)
    assert model.named_parameters()["generator.encoder.layer.0.attention.output.dense.weight"].shape == (6, 12)
    save_tf1(model, tmp_path / "model.ckpt")
    (tmp_path / "config.json").unlink()
    again = ConvBertForPreTraining.from_pretrained(tmp_path / "model.ckpt")
    assert again.config.generator_num_attention_heads == 1
    same(model, again)


def test_one_part_alone(tmp_path):
    body, lm = make("model", np.float32), make("masked_lm", np.float32)
    save_tf1(body, tmp_path / "body.ckpt")
    same(body, ConvBertModel.from_pretrained(tmp_path / "body.ckpt"))
    save_tf1(lm, tmp_path / "lm.ckpt")
    names = {name for name in open_tf_bundle(tmp_path / "lm.ckpt") if not is_slot(name)}
    assert "generator/encoder/layer_0/output/dense/kernel" in names and "electra/embeddings/word_embeddings" in names
    same(lm, ConvBertForMaskedLM.from_pretrained(tmp_path / "lm.ckpt", part="generator"))


def test_what_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="model: the original code has no variables for the head of a ConvBertForTokenC"):
        save_tf1(make("token"), tmp_path / "model.ckpt")
    with pytest.raises(TypeError, match="tensor 'a' has the dtype complex128"):
        write_tf_bundle(tmp_path / "model.ckpt", {"a": np.ones(2, complex)})
    with pytest.raises(ValueError, match=r"state: nothing.weight has no variable in the original code"):
        to_tf1({"nothing.weight": np.ones(2)})
    with pytest.raises(ValueError, match="part: must be one of"):
        to_tf1({}, "head")
    assert not list(tmp_path.iterdir())
