"""TensorFlow 1 checkpoints against TensorFlow and the converter of transformers 4.37.2, live.

Needs both libraries in one environment, which the extra `reference` does not give; without them it is skipped:

    pip install tensorflow-cpu==2.15.1 torch transformers==4.37.2 pytest
    PYTHONPATH=. python -m pytest -m parity tests/parity/test_tf_bundle.py
"""

import sys
from pathlib import Path

import numpy as np
import pytest

from convbert_np.checkpoints.tf1_names import config_of_tf1, from_tf1
from convbert_np.checkpoints.tf_bundle import is_slot, open_tf_bundle

tf = pytest.importorskip("tensorflow", reason="needs tensorflow-cpu 2.15.1, which writes and reads the checkpoints")
transformers = pytest.importorskip("transformers", reason="needs transformers 4.37.2, which has the converter")
pytestmark = [
    pytest.mark.parity,
    pytest.mark.skipif(transformers.__version__ != "4.37.2", reason="only transformers 4.37.2 has the converter"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]

TESTS = Path(__file__).parents[1]
FIXTURES = TESTS / "fixtures" / "checkpoints" / "tf1"


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """The pre-training graph in sizes of which every axis has another, in two shards."""
    sys.path.append(str(TESTS / "tools"))
    import make_checkpoint_fixtures_tf1 as make

    shapes = make.graph(1009, 40, 67, (3, 96, 48, 4, 132), (2, 24, 12, 1, 54), taps=7, groups=3)
    tf.compat.v1.disable_eager_execution()
    directory = tmp_path_factory.mktemp("large")
    make.save(directory, make.random_values(shapes, seed=4) | {"global_step": np.int64(9)}, shards=2, step=9)
    return directory


def directory_of(name, request):
    return request.getfixturevalue("large") if name == "large" else FIXTURES / name


@pytest.mark.parametrize("name", ["pretraining", "grouped", "large"])
def test_the_converter_gives_the_same_parameters(name, request):
    tensors = open_tf_bundle(directory_of(name, request))
    index = next(directory_of(name, request).glob("*.index"))
    config = transformers.ConvBertConfig(**config_of_tf1(tensors))
    model = transformers.ConvBertModel(config)
    converter = transformers.models.convbert.modeling_convbert.load_tf_weights_in_convbert
    converter(model, config, str(index).removesuffix(".index"))
    want = {parameter: value.detach().numpy() for parameter, value in model.named_parameters()}
    found = {n: t for n, t in from_tf1(tensors).items() if not n.startswith("discriminator_predictions.")}
    assert found.keys() == want.keys()
    for parameter, value in want.items():
        for array in (found[parameter].copy(), found[parameter].array()):
            assert array.dtype == value.dtype == np.float32 and array.shape == value.shape, parameter
            assert array.tobytes() == value.tobytes(), parameter


def test_tensorflow_reads_what_is_written(tmp_path):
    """A whole pre-training model, by its reader, which compares the checksums, and by the Saver of TensorFlow 1."""
    from convbert_np import ConvBertConfig, ConvBertForPreTraining
    from convbert_np.checkpoints.tf1_names import to_tf1
    from convbert_np.checkpoints.tf_writer import save_tf1

    sizes = {"hidden_size": 96, "embedding_size": 40, "num_attention_heads": 8, "intermediate_size": 132, "num_groups": 3}
    model = ConvBertForPreTraining(
        ConvBertConfig(vocab_size=1009, num_hidden_layers=3, generator_hidden_size=0.5, **sizes), seed=1
    )
    save_tf1(model, tmp_path / "model.ckpt")
    want = to_tf1(model.named_parameters())
    assert tf.train.latest_checkpoint(str(tmp_path)) == str(tmp_path / "model.ckpt")
    reader = tf.train.load_checkpoint(str(tmp_path))
    assert reader.get_variable_to_shape_map() == {name: list(value.shape) for name, value in want.items()}
    v1 = tf.compat.v1
    with tf.Graph().as_default():
        for name, value in want.items():
            v1.get_variable(name, shape=value.shape, use_resource=False)
        with v1.Session() as session:
            v1.train.Saver().restore(session, str(tmp_path / "model.ckpt"))
            for variable in v1.global_variables():
                np.testing.assert_array_equal(session.run(variable), want[variable.op.name])
                np.testing.assert_array_equal(reader.get_tensor(variable.op.name), want[variable.op.name])


@pytest.mark.parametrize("name", ["pretraining", "grouped", "types", "large"])
def test_tensorflow_reads_the_same_variables(name, request):
    tensors = open_tf_bundle(directory_of(name, request))
    reader = tf.train.load_checkpoint(str(directory_of(name, request)))
    shapes = reader.get_variable_to_shape_map()
    assert {n: list(t.shape) for n, t in tensors.items()} == shapes
    for variable, tensor in tensors.items():
        if tensor.dtype != "object":
            value = np.asarray(reader.get_tensor(variable))
            assert tensor.dtype == value.dtype.name
            assert tensor.fetch().tobytes() == value.tobytes()
    assert {n for n in tensors if is_slot(n)} == {n for n in shapes if n.endswith(("adam_m", "adam_v", "global_step"))}
