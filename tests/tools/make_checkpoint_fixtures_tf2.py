"""Record tiny TensorFlow 2 checkpoints, what they hold by PyTorch's names, and what TensorFlow computes from them.

It is run by hand, from the root of the repository, in two separate environments in this order; MODELS_DIR is for what the
first leaves to the second:

    in an environment with torch==2.13.0 transformers==4.37.2 safetensors:
        python tests/tools/make_checkpoint_fixtures_tf2.py pytorch MODELS_DIR
    in an environment with tensorflow-cpu==2.15.1 transformers==4.37.2 h5py safetensors:
        python tests/tools/make_checkpoint_fixtures_tf2.py tensorflow MODELS_DIR

The PyTorch classes make the models, with random parameters, and save them; the TensorFlow classes load those files (the
library itself transposes and renames), and save tf_model.h5. tests/fixtures/checkpoints/tf2/ then has

    NAME.h5.gz              the file that save_pretrained wrote
    sharded/*               the files of masked_lm in two parts, with their index
    layouts/*.h5.gz         files of h5py with other options: those that are read, and refused-*, which are not
    expected.npz            params/<PyTorch's name>/<shape>, inputs/<argument>, <NAME>/<output>, <layout>/<dataset>
    cases.json              NAME -> class, config, outputs

where the outputs are TensorFlow's, in float32. The parameters are drawn by name and shape, without "convbert.", so that the
models share them; they are multiples of 1/16, and the files are compressed, to be small here.
"""

import argparse
import gzip
import json
import shutil
import zlib
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parents[1] / "fixtures" / "checkpoints" / "tf2"
CONFIG = dict(
    vocab_size=29, hidden_size=16, embedding_size=12, num_hidden_layers=1, num_attention_heads=4, intermediate_size=20,
    max_position_embeddings=11, type_vocab_size=7, conv_kernel_size=3, num_labels=5,
)  # fmt: skip
SUMMARY = dict(summary_type="mean", summary_use_proj=True, summary_activation="tanh", summary_proj_to_labels=False)
CASES = {
    "model": ("ConvBertModel", {"num_hidden_layers": 2, "embedding_size": 16}),
    "masked_lm": ("ConvBertForMaskedLM", {"num_groups": 2}),
    "sequence": ("ConvBertForSequenceClassification", {}),
    "choice": ("ConvBertForMultipleChoice", SUMMARY),
    "token": ("ConvBertForTokenClassification", {}),
    "answer": ("ConvBertForQuestionAnswering", {"num_labels": 2}),
}


def drawn(name, shape):
    """The values of a parameter, from its name and shape."""
    generator = np.random.default_rng(zlib.crc32(name.encode()))
    values = generator.standard_normal(shape) * (0.1 if name.endswith("bias") else 1 / np.sqrt(max(shape[-1], 4)))
    return (np.round(16 * values) / 16 + name.endswith("LayerNorm.weight")).astype(np.float32)


def pack(source, target):
    """Store a file compressed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.with_name(target.name + ".gz").write_bytes(gzip.compress(source.read_bytes(), 9, mtime=0))


def inputs():
    """The arguments of every model; multiple choice has one more axis, of one choice a row."""
    generator = np.random.default_rng(0)
    mask = np.ones((3, 6), np.int64)
    mask[1, 4:] = 0
    return {
        "input_ids": generator.integers(2, CONFIG["vocab_size"], (3, 6)),
        "attention_mask": mask,
        "token_type_ids": generator.integers(0, CONFIG["type_vocab_size"], (3, 6)),
    }


def make_pytorch(folder):
    """Save the models of PyTorch."""
    import torch
    import transformers

    for case, (name, changes) in CASES.items():
        model = getattr(transformers, name)(transformers.ConvBertConfig(**(CONFIG | changes)))
        with torch.no_grad():
            for key, value in model.named_parameters():
                value.copy_(torch.from_numpy(drawn(key.removeprefix("convbert."), tuple(value.shape))))
        model.save_pretrained(folder / case)


def make_tensorflow(folder):
    """Load them with TensorFlow, save tf_model.h5, and record the outputs."""
    import transformers
    from safetensors.numpy import load_file

    shutil.rmtree(FOLDER, ignore_errors=True)
    expected = {f"inputs/{name}": value for name, value in inputs().items()}
    cases = {}
    for case, (name, changes) in CASES.items():
        model = getattr(transformers, f"TF{name}").from_pretrained(folder / case)
        model.save_pretrained(folder / case, safe_serialization=False)
        pack(folder / case / "tf_model.h5", FOLDER / f"{case}.h5")
        for key, value in load_file(folder / case / "model.safetensors").items():
            place = f"params/{key.removeprefix('convbert.')}/{'x'.join(map(str, value.shape))}"
            assert np.array_equal(expected.setdefault(place, value), value)
        given = {key: value[:, None] if case == "choice" else value for key, value in inputs().items()}
        outputs = {key: value.numpy() for key, value in model(given, return_dict=True).items()}
        expected |= {f"{case}/{key}": value for key, value in outputs.items()}
        cases[case] = {"class": name, "config": CONFIG | changes, "outputs": sorted(outputs)}
        if case == "masked_lm":
            model.save_pretrained(folder / "sharded", safe_serialization=False, max_shard_size="9KB")
    for path in sorted((folder / "sharded").glob("tf_model*")):
        pack(path, FOLDER / "sharded" / path.name)
    np.savez_compressed(FOLDER / "expected.npz", **(expected | make_layouts(folder)))
    lines = [f"{json.dumps(case)}: {json.dumps(fields)}" for case, fields in cases.items()]
    (FOLDER / "cases.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def make_layouts(folder):
    """Write files with other options of h5py; return the values of those that can be read."""
    import h5py

    readable = {
        "default": {},
        "ordered": {"track_order": True},
        "v108": {"libver": ("v108", "v108")},
        "latest": {"libver": "latest"},
        "many": {},
    }
    expected = {}
    for name, options in readable.items():
        path = folder / f"{name}.h5"
        with h5py.File(path, "w", **options) as file:
            fill_many(file) if name == "many" else fill(file)
        pack(path, FOLDER / "layouts" / path.name)
        with h5py.File(path) as file:
            if name != "many":  # whose values are their numbers, modulo 251
                datasets_of(file, f"{name}/", expected)
    for name, write in refused().items():
        path = folder / f"refused-{name}.h5"
        options = {"user_block": {"userblock_size": 512}, "dense": {"libver": "latest"}, "new_soft_link": {"track_order": True}}
        options = options.get(name, {})
        with h5py.File(path, "w", **options) as file:
            write(file)
        pack(path, FOLDER / "layouts" / path.name)
    return expected


def datasets_of(group, prefix, found):
    """Collect the values of all datasets, those of two names twice."""
    for name, member in group.items():
        if hasattr(member, "shape"):
            found[prefix + name] = member[()]
        else:
            datasets_of(member, f"{prefix}{name}/", found)


def fill(file):
    """Write everything that is read; no group has more than eight members."""
    import h5py

    generator = np.random.default_rng(0)
    for code in ("i1", "u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8"):
        file[f"integers/{code.strip('<')}"] = generator.integers(0, 100, (2, 3)).astype(code)
    for code in ("<f2", "<f4", "<f8"):
        file[f"floats/{code.strip('<')}"] = generator.standard_normal((3, 4)).astype(code)
    shapes = file.create_group("shapes")
    shapes["scalar"] = np.float32(1.5)
    shapes["none"] = np.zeros((0, 4), np.float32)
    shapes["five"] = generator.standard_normal((2, 1, 3, 1, 2)).astype(np.float32)
    unwritten = file.create_group("unwritten")
    unwritten.create_dataset("zeros", (2, 3), "<f4")
    unwritten.create_dataset("none", (0, 3), "<f4")
    filled = file.create_dataset("filled", (2, 3), "<f4", fillvalue=7.0)
    filled[0] = 1
    compact = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    compact.set_layout(h5py.h5d.COMPACT)
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    space = h5py.h5s.create_simple(values.shape)
    h5py.h5d.create(file.id, b"compact", h5py.h5t.IEEE_F32LE, space, compact).write(h5py.h5s.ALL, h5py.h5s.ALL, values)
    deep = file.create_dataset("gr\u00f6\u00dfe/b c/d:0", data=values + 0.5)
    for index in range(30):  # so that the headers need a second block
        deep.attrs[f"attribute {index}"] = "text" * 10
        deep.parent.attrs[f"attribute {index}"] = np.arange(index)
    file["gr\u00f6\u00dfe/same"] = deep


def fill_many(file):
    """Write so many members that the group's B-tree has two levels."""
    for index in range(300):
        file[f"group/x{index}"] = np.uint8(index % 251)


def refused():
    """Name and writer of the files that are refused."""
    import h5py

    values = np.arange(12, dtype="<f4").reshape(3, 4)

    def virtual(file):
        layout = h5py.VirtualLayout((3, 4), "<f4")
        layout[:] = h5py.VirtualSource("other.h5", "x", (3, 4))
        file.create_virtual_dataset("x", layout)

    def put(value, **options):
        return lambda file: file.create_dataset("x", data=value, **options)

    return {
        "chunked": put(values, chunks=(2, 2)),
        "compressed": put(values, compression="gzip"),
        "external": lambda file: file.create_dataset("x", (3, 4), "<f4", external="other.bin"),
        "virtual": virtual,
        "soft_link": lambda file: file.__setitem__("x", h5py.SoftLink("/y")),
        "new_soft_link": lambda file: file.__setitem__("x", h5py.SoftLink("/y")),
        "external_link": lambda file: file.__setitem__("x", h5py.ExternalLink("other.h5", "/y")),
        "committed": lambda file: file.__setitem__("x", np.dtype("<f4")),
        "of_committed": lambda file: (
            file.__setitem__("z", np.dtype("<f4")),
            file.create_dataset("x", data=values, dtype=file["z"]),
        ),
        "variable_length": put("text"),
        "text": put(np.bytes_("text")),
        "big_endian": put(values.astype(">f4")),
        "compound": put(np.zeros(2, [("a", "<f4"), ("b", "<i4")])),
        "boolean": put(values > 3),
        "complex": put(values.astype("<c8")),
        "null": put(h5py.Empty("<f4")),
        "fill_value": lambda file: file.create_dataset("x", (3, 4), "<f4", fillvalue=7.0),
        "user_block": put(values),
        "dense": lambda file: [file.create_dataset(f"x{index}", data=values) for index in range(20)],
        "cycle": lambda file: file.create_group("a").__setitem__("b", file["/"]),
        "two_names": lambda file: (file.create_dataset("a/x", data=values), file.__setitem__("b", file["a"])),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=("pytorch", "tensorflow"))
    parser.add_argument("models", type=Path)
    given = parser.parse_args()
    {"pytorch": make_pytorch, "tensorflow": make_tensorflow}[given.stage](given.models)
