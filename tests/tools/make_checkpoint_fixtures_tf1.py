"""Write small TensorFlow 1 checkpoints with TensorFlow's own Saver, and what they hold beside them.

    in an environment with tensorflow-cpu==2.15.1, from the root of the repository:
        PYTHONPATH=. python tests/tools/make_checkpoint_fixtures_tf1.py

writes into tests/fixtures/checkpoints/tf1, each checkpoint with a file `checkpoint` into a directory of its own, and the
variables as TensorFlow reads them again into expected.npz there (but for an optimizer's slots and what is no number):

    pretraining    discriminator and generator of the pre-training graph, one group, in three shards; with the slots adam_m
                   (half the variable) and adam_v (its square), and global_step
    grouped        likewise with two groups, without embeddings_project, in one shard; the generator has one head and
                   so, as the original small model's, attention as wide as its hidden state
    types          a variable of every type
    partitioned    a variable in two slices
"""

import json
import os
import shutil
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1] / "fixtures" / "checkpoints" / "tf1"
SHARDS = 3


def linear(name, inputs, outputs):
    return {f"{name}/kernel": (inputs, outputs), f"{name}/bias": (outputs,)}


def grouped(scope, inputs, outputs, groups):
    if groups == 1:
        return linear(f"{scope}/dense", inputs, outputs)
    return {f"{scope}/g_dense/kernel": (groups, inputs // groups, outputs // groups), f"{scope}/g_dense/bias": (outputs,)}


def norm(name, size):
    return {f"{name}/LayerNorm/gamma": (size,), f"{name}/LayerNorm/beta": (size,)}


def layer(scope, hidden, width, heads, inner, taps, groups):
    self = f"{scope}/attention/self"
    shapes = {}
    for name in ("query", "key", "value", "conv_attn_point"):
        shapes |= linear(f"{self}/{name}", hidden, width)
    shapes |= {
        f"{self}/conv_attn_key/depthwise_kernel": (taps, hidden, 1),
        f"{self}/conv_attn_key/pointwise_kernel": (1, hidden, width),
        f"{self}/conv_attn_key/bias": (width,),
    }
    shapes |= linear(f"{self}/conv_attn_kernel", width, heads * taps)
    shapes |= linear(f"{scope}/attention/output/dense", 2 * width, hidden) | norm(f"{scope}/attention/output", hidden)
    shapes |= grouped(f"{scope}/intermediate", hidden, inner, groups) | grouped(f"{scope}/output", inner, hidden, groups)
    return shapes | norm(f"{scope}/output", hidden)


def graph(vocab, embedding, positions, discriminator, generator, taps, groups):
    """Names and shapes of the pre-training graph; a part is its number of layers, hidden size, A, N and inner size."""
    shapes = {
        "electra/embeddings/word_embeddings": (vocab, embedding),
        "electra/embeddings/token_type_embeddings": (2, embedding),
        "electra/embeddings/position_embeddings": (positions, embedding),
    } | norm("electra/embeddings", embedding)
    for scope, (layers, hidden, width, heads, inner) in (("electra", discriminator), ("generator", generator)):
        if hidden != embedding:
            shapes |= linear(f"{scope}/embeddings_project", embedding, hidden)
        for index in range(layers):
            shapes |= layer(f"{scope}/encoder/layer_{index}", hidden, width, heads, inner, taps, groups)
    shapes |= linear("generator_predictions/dense", generator[1], embedding) | norm("generator_predictions", embedding)
    shapes |= {"generator_predictions/output_bias": (vocab,)}
    hidden = discriminator[1]
    return (
        shapes
        | linear("discriminator_predictions/dense", hidden, hidden)
        | linear("discriminator_predictions/dense_1", hidden, 1)
    )


def random_values(shapes, seed):
    generator = np.random.default_rng(seed)
    return {name: generator.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def save(directory, values, shards=1, step=None, partitioned=()):
    """Save variables of these values with the Saver of TensorFlow 1; some in two slices."""
    import tensorflow as tf

    v1 = tf.compat.v1
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    with tf.Graph().as_default():
        for index, (name, value) in enumerate(values.items()):
            with tf.device(f"/cpu:{index % shards}"):
                pieces = v1.fixed_size_partitioner(2) if name in partitioned else None
                v1.get_variable(name, initializer=tf.constant(value), partitioner=pieces, use_resource=False)
        with v1.Session(config=v1.ConfigProto(device_count={"CPU": shards})) as session:
            session.run(v1.global_variables_initializer())
            saver = v1.train.Saver(sharded=shards > 1, save_relative_paths=True)
            saver.save(session, f"{directory}/model.ckpt", global_step=step, write_meta_graph=False)


def write_expected(directory, prefix):
    """What TensorFlow reads from the checkpoint: {variable: [type, shape]} as JSON, then the bytes of all in its order."""
    import tensorflow as tf

    from convbert_np.checkpoints.tf_bundle import is_slot

    reader = tf.train.load_checkpoint(str(directory / prefix))
    found = {
        name: np.asarray(reader.get_tensor(name)) for name in sorted(reader.get_variable_to_shape_map()) if not is_slot(name)
    }
    bfloat16 = tf.bfloat16.as_numpy_dtype
    found = {name: value.astype(np.float32) if value.dtype == bfloat16 else value for name, value in found.items()}
    found = {name: value for name, value in found.items() if value.dtype.kind in "fiub"}
    shapes = json.dumps({name: [value.dtype.name, value.shape] for name, value in found.items()})
    data = np.frombuffer(b"".join(value.tobytes() for value in found.values()), np.uint8)
    np.savez_compressed(directory / "expected.npz", variables=np.frombuffer(shapes.encode(), np.uint8), data=data)


def all_types():
    import tensorflow as tf

    generator = np.random.default_rng(3)
    values = {f"a/{name}": generator.integers(0, 99, (2, 3)).astype(name) for name in (
        "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")}  # fmt: skip
    values |= {f"a/{name}": generator.standard_normal((3, 2)).astype(name) for name in ("float16", "float32", "float64")}
    values["a/bfloat16"] = generator.standard_normal((5,)).astype(tf.bfloat16.as_numpy_dtype)
    values["a/bool"] = np.array([True, False, True])
    values["a/complex64"] = np.array([1j, 2], np.complex64)
    values["a/string"] = np.array([b"x", b"yy"], dtype=object)
    return values | {"scalar": np.array(1.5, np.float32), "empty": np.zeros((0, 4), np.float32)}


def main():
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    tf.compat.v1.disable_eager_execution()
    values = random_values(graph(13, 6, 5, (2, 8, 4, 2, 10), (1, 4, 2, 1, 7), taps=3, groups=1), seed=0)
    slots = {f"{name}/adam_m": value / 2 for name, value in values.items()}
    slots |= {f"{name}/adam_v": value**2 for name, value in values.items()}
    save(ROOT / "pretraining", values | slots | {"global_step": np.int64(70)}, shards=SHARDS, step=70)
    write_expected(ROOT / "pretraining", "model.ckpt-70")
    values = random_values(graph(11, 8, 7, (2, 8, 4, 2, 12), (1, 4, 4, 1, 6), taps=5, groups=2), seed=1)
    save(ROOT / "grouped", values)
    write_expected(ROOT / "grouped", "model.ckpt")
    save(ROOT / "types", all_types())
    write_expected(ROOT / "types", "model.ckpt")
    save(ROOT / "partitioned", {"a": np.ones(3, np.float32), "b": np.ones((4, 3), np.float32)}, partitioned={"b"})


if __name__ == "__main__":
    main()
