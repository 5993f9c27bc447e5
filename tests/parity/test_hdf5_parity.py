"""Our reader of HDF5 against h5py on random files, and the TensorFlow models of transformers against ours through tf_model.h5.

The first needs h5py, the second tensorflow-cpu 2.15.1 with transformers 4.37.2; what is not installed is skipped.
"""

import importlib.util
import random
from pathlib import Path

import numpy as np
import pytest

import convbert_np as cb
from convbert_np.checkpoints.hdf5 import open_hdf5
from convbert_np.checkpoints.tf2_names import from_tf2

pytestmark = pytest.mark.parity
needs_h5py = pytest.mark.skipif(importlib.util.find_spec("h5py") is None, reason="needs h5py")
needs_tensorflow = pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="needs tensorflow")
OPTIONS = (
    {}, {"track_order": True}, {"libver": "latest"}, {"libver": ("v108", "v108")}, {"libver": ("v110", "v112")},
    {"libver": ("earliest", "v114")}, {"meta_block_size": 64},
)  # fmt: skip
OLD = ({}, {"meta_block_size": 64})  # what leads to the older form of groups, of many members
CODES = ("<f2", "<f4", "<f8", "i1", "u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8")
CASES = 140
FLOAT32_FLOOR = 2e-6  # relative L2 error of TensorFlow's outputs in float32; measured on these cases: up to 4e-7
CLASSES = {
    "ConvBertModel": ("last_hidden_state",),
    "ConvBertForMaskedLM": ("logits",),
    "ConvBertForSequenceClassification": ("logits",),
    "ConvBertForMultipleChoice": ("logits",),
    "ConvBertForTokenClassification": ("logits",),
    "ConvBertForQuestionAnswering": ("start_logits", "end_logits"),
}


def fill(group, rng: random.Random, values: np.random.Generator, depth: int, most: int) -> None:
    """Random members of a group, sometimes many."""
    for index in range(rng.choice([0, 1, 3, most, most])):
        # a name beyond ASCII makes the group one of the newer form, which holds eight members without a fractal heap
        name = rng.choice(["w", "größe" if most < 8 else "size", "a b", "x:0", "long" * 20]) + str(index)
        if depth and rng.random() < 0.4:
            fill(group.create_group(name), rng, values, depth - 1, most)
            continue
        shape = tuple(rng.choice([0, 1, 2, 3, 5]) for _ in range(rng.randrange(5)))
        code = rng.choice(CODES)
        if rng.random() < 0.1:
            group.create_dataset(name, shape, code)
        else:
            group[name] = (20 * values.standard_normal(shape)).astype(code)
        for number in range(rng.choice([0, 0, 0, 2, 20])):
            group[name].attrs[f"attribute {number}"] = "text" * rng.randrange(1, 30)


def values_of(group, prefix: str = "") -> dict[str, np.ndarray]:
    found = {}
    for name in group:
        member = group[name]
        found |= {prefix + name: member[()]} if hasattr(member, "shape") else values_of(member, f"{prefix}{name}/")
    return found


@needs_h5py
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_random_files_of_h5py_are_read_as_h5py_reads_them(tmp_path, options):
    import h5py

    datasets = 0
    for seed in range(CASES // len(OPTIONS)):
        rng = random.Random(seed)
        path = tmp_path / f"{seed}.h5"
        with h5py.File(path, "w", **options) as file:
            fill(file, rng, np.random.default_rng(seed), *((2, 20) if options in OLD else (4, 7)))
        with h5py.File(path) as file:
            wanted = values_of(file)
        tensors = open_hdf5(path)
        assert tensors.keys() == wanted.keys()
        for name, tensor in tensors.items():
            found = tensor.fetch()
            assert (found.dtype, found.shape) == (wanted[name].dtype, wanted[name].shape)
            assert found.tobytes() == wanted[name].tobytes() == tensor.view().tobytes(), name
        datasets += len(wanted)
    assert datasets > 100


@needs_tensorflow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CLASSES)
def test_a_random_tensorflow_model_computes_the_same_here(tmp_path, name):
    import tensorflow
    import transformers

    for seed in range(3):
        rng = np.random.default_rng(seed)
        groups = 1 + seed % 2
        config = dict(
            vocab_size=int(rng.integers(20, 40)), hidden_size=int(rng.choice([16, 24, 32])), num_hidden_layers=1 + seed,
            num_attention_heads=4, intermediate_size=int(rng.choice([20, 28])), embedding_size=int(rng.choice([10, 16])),
            max_position_embeddings=13, conv_kernel_size=int(rng.choice([3, 5])), num_groups=groups,
            num_labels=2 if "Answering" in name else 5, summary_type="first", summary_use_proj=True, summary_activation="tanh",
            summary_proj_to_labels=False,
        )  # fmt: skip
        theirs = getattr(transformers, f"TF{name}")(transformers.ConvBertConfig(**config))
        theirs(theirs.dummy_inputs)
        for variable in theirs.weights:
            variable.assign_add(tensorflow.constant(0.05 * rng.standard_normal(variable.shape), tensorflow.float32))
        theirs.save_pretrained(tmp_path, safe_serialization=False)
        tensors = from_tf2(open_hdf5(Path(tmp_path) / "tf_model.h5"))
        ours = getattr(cb, name)(cb.ConvBertConfig(**config), dtype=np.float64)
        report = ours.load_state_dict({key: tensor.array() for key, tensor in tensors.items()})
        assert not any(report)
        shape = (2, 3, 7) if "Choice" in name else (2, 7)
        given = {"input_ids": rng.integers(2, 20, shape), "token_type_ids": rng.integers(0, 2, shape)}
        wanted, found = theirs({key: tensorflow.constant(value) for key, value in given.items()}, return_dict=True), ours(**given)
        for output in CLASSES[name]:
            error = np.linalg.norm(found[output] - wanted[output].numpy()) / np.linalg.norm(found[output])
            assert error < FLOAT32_FLOOR, (seed, output, error)
