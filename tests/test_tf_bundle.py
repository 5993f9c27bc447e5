"""TensorFlow 1 checkpoints: what TensorFlow wrote is read, under our names; files that lie are refused."""

import json
import random
import re
import shutil
import struct
import tracemalloc
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convbert_np import ConvBertConfig, ConvBertForMaskedLM, ConvBertModel
from convbert_np.checkpoints import CheckpointError
from convbert_np.checkpoints.crc32c import MOST_HALVINGS, POLYNOMIAL, crc32c, masked
from convbert_np.checkpoints.tf1_names import config_of_tf1, from_tf1
from convbert_np.checkpoints.tf_bundle import is_slot, open_tf_bundle
from convbert_np.checkpoints.tf_table import LONGEST_KEY, MAGIC, MOST_ENTRIES, read_table

FIXTURES = Path(__file__).parent / "fixtures" / "checkpoints" / "tf1"
PRETRAINING, GROUPED = FIXTURES / "pretraining", FIXTURES / "grouped"


def expected(directory: Path) -> dict[str, np.ndarray]:
    """What TensorFlow read from a checkpoint."""
    with np.load(directory / "expected.npz") as file:
        variables, data = json.loads(file["variables"].tobytes()), file["data"].tobytes()
    found, place = {}, 0
    for name, (dtype, shape) in variables.items():
        number = int(np.prod(shape))
        found[name] = np.frombuffer(data, dtype, number, place).reshape(shape)
        place += found[name].nbytes
    assert place == len(data)
    return found


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


# ---- the checksum


def slow_crc32c(data: bytes) -> int:
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ POLYNOMIAL * (register & 1)
    return register ^ 0xFFFFFFFF


def test_crc32c_of_the_published_examples():
    examples = {b"123456789": 0xE3069283, b"": 0, bytes(32): 0x8A9136AA, b"\xff" * 32: 0x62A8AB43, bytes(range(32)): 0x46DD794E}
    assert {data: crc32c(data) for data in examples} == examples
    assert masked(0) == 0xA282EAD8 and masked(0xE3069283) == 0xC78AB0E5


WIDTH = 1 << MOST_HALVINGS


@pytest.mark.parametrize(
    "size",
    [1, 2, 3, 4, 5, 7, 8, 27, 28, 29, 4 * WIDTH - 5, 4 * WIDTH - 4, 4 * WIDTH - 1, 4 * WIDTH, 4 * WIDTH + 1, 9 * WIDTH + 2],
)
def test_crc32c_is_the_bitwise_one_at_every_length(size):
    data = np.random.default_rng(size).integers(0, 256, size).astype(np.uint8)
    assert crc32c(data) == crc32c(data.tobytes()) == slow_crc32c(data.tobytes())


# ---- what TensorFlow wrote


@pytest.mark.parametrize("name", ["pretraining", "grouped", "types"])
def test_values_are_those_that_tensorflow_reads(name):
    tensors, want = open_tf_bundle(FIXTURES / name), expected(FIXTURES / name)
    assert {n for n, t in tensors.items() if t.dtype != "object" and not is_slot(n)} == want.keys()
    for variable, value in want.items():
        tensor = tensors[variable]
        assert tensor.name == variable and tensor.shape == value.shape
        assert same(tensor.copy(), value) and same(tensor.array(), value)
        assert tensor.fetch().flags.writeable and not tensor.view().flags.writeable


def test_every_type():
    tensors = open_tf_bundle(FIXTURES / "types")
    types = {name.removeprefix("a/"): tensor.dtype for name, tensor in tensors.items() if name.startswith("a/")}
    assert types.pop("complex64") == types.pop("string") == "object"
    assert len(types) == 13 and all(name == dtype for name, dtype in types.items())
    assert tensors["scalar"].shape == () and tensors["empty"].shape == (0, 4)
    for name, kind in (("a/complex64", "complex64"), ("a/string", "string")):
        for read in (tensors[name].view, tensors[name].fetch):
            with pytest.raises(CheckpointError, match=f"tensor '{name}': is of TensorFlow's type {kind}, which is not read"):
                read()


def test_three_shards_and_the_slots_of_an_optimizer():
    tensors, want = open_tf_bundle(PRETRAINING), expected(PRETRAINING)
    assert {Path(tensor.path).name for tensor in tensors.values()} == {f"model.ckpt-70.data-0000{i}-of-00003" for i in range(3)}
    assert tensors.keys() - want.keys() == {f"{n}/adam_{s}" for n in want for s in "mv"} | {"global_step"}
    assert tensors["global_step"].copy() == 70
    for name, value in want.items():
        assert same(tensors[f"{name}/adam_m"].copy(), value / 2)
        assert same(tensors[f"{name}/adam_v"].copy(), value**2)


def test_what_is_a_slot():
    slots = ["a/adam_m", "a/b/adam_v", "a/Adam", "a/Adam_1", "x/a/Adam_12", "global_step", "beta1_power", "x/beta2_power_1"]
    assert all(map(is_slot, slots))
    names = ["a/adam_m/x", "a/adam", "aAdam", "Adams", "my_global_step", "beta3_power", "electra/embeddings_project/kernel", ""]
    assert not any(map(is_slot, names))


def test_a_variable_is_a_view_of_the_file_until_it_is_fetched():
    tensors = open_tf_bundle(GROUPED)
    a, b = (tensors["electra/embeddings/word_embeddings"].view() for _ in range(2))
    assert np.shares_memory(a, b) and not a.flags.owndata
    first, second = (tensors["electra/embeddings/word_embeddings"].fetch() for _ in range(2))
    assert not np.shares_memory(first, second)


def test_a_partitioned_variable_is_refused_by_name():
    with pytest.raises(CheckpointError, match=r"model\.ckpt\.index: tensor 'b': is partitioned"):
        open_tf_bundle(FIXTURES / "partitioned")


# ---- what names a checkpoint


def test_a_checkpoint_is_named_by_prefix_index_or_directory(tmp_path):
    want = open_tf_bundle(GROUPED).keys()
    for path in (GROUPED / "model.ckpt", str(GROUPED / "model.ckpt"), GROUPED / "model.ckpt.index", str(GROUPED)):
        assert open_tf_bundle(path).keys() == want
    for file in GROUPED.glob("model*"):
        shutil.copy(file, tmp_path)
    assert open_tf_bundle(tmp_path).keys() == want
    (tmp_path / "other.index").touch()
    with pytest.raises(FileNotFoundError, match=r"has no file named checkpoint.*\['model.ckpt.index', 'other.index'\]"):
        open_tf_bundle(tmp_path)
    (tmp_path / "checkpoint").write_text('# latest\nmodel_checkpoint_path: "model.ckpt"\nall_model_checkpoint_paths: "gone"\n')
    assert open_tf_bundle(tmp_path).keys() == want
    (tmp_path / "checkpoint").write_text(f'model_checkpoint_path: "{tmp_path.as_posix()}/model.ckpt"\n')
    assert open_tf_bundle(tmp_path).keys() == want
    (tmp_path / "checkpoint").write_text(f'model_checkpoint_path: "{tmp_path.as_posix()}/../{tmp_path.name}/model.ckpt"\n')
    with pytest.raises(CheckpointError, match="not the plain name"):
        open_tf_bundle(tmp_path)


@pytest.mark.parametrize(
    "name",
    ["../x", "/etc/passwd", "a/b", "..", ".", "", "a\\\\b", "C:x", "a\\n", "\0", "gs://bucket/model.ckpt", "\udcff", "\x1b[2J"],
)
def test_a_path_out_of_the_directory_is_not_followed(tmp_path, name):
    text = f'model_checkpoint_path: "{name}"\n'.encode("utf-8", "surrogateescape")
    (tmp_path / "checkpoint").write_bytes(text)
    with pytest.raises(CheckpointError, match=r"checkpoint: names .*, which is not the plain name of a checkpoint"):
        open_tf_bundle(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "has no line of the form"),
        (b'model_checkpoint_path "x"', "has no line of the form"),
        (b"model_checkpoint_path: 'x'", "has no line of the form"),
        (b'all_model_checkpoint_paths: "x"', "has no line of the form"),
        (b'model_checkpoint_path: "x', "has no line of the form"),
        (b" " * 65_537, "has 65537 bytes; no such file has more than 65536"),
    ],
)
def test_a_bad_file_named_checkpoint(tmp_path, text, message):
    (tmp_path / "checkpoint").write_bytes(text)
    with pytest.raises(CheckpointError, match=message):
        open_tf_bundle(tmp_path)


def test_absent_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"model\.ckpt\.index: there is no such file"):
        open_tf_bundle(tmp_path / "model.ckpt")
    with pytest.raises(FileNotFoundError, match="has no file named checkpoint"):
        open_tf_bundle(tmp_path)
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "x"')
    with pytest.raises(FileNotFoundError, match=r"x\.index"):
        open_tf_bundle(tmp_path)
    for file in PRETRAINING.glob("*"):
        shutil.copy(file, tmp_path)
    (tmp_path / "model.ckpt-70.data-00001-of-00003").unlink()
    with pytest.raises(CheckpointError, match="data-00001-of-00003: there is no such file, though the index"):
        open_tf_bundle(tmp_path)


# ---- our names


def pytorch_of(values: dict[str, np.ndarray], scope: str) -> dict[str, np.ndarray]:
    """The body's parameters in PyTorch's form, written out anew; `scope` is electra or generator."""
    out = {}
    for name, value in values.items():
        if name.startswith(f"{scope}/") or name.startswith("electra/embeddings/"):
            new = re.sub(r"layer_(\d)", r"layer.\1", name.partition("/")[2].replace("/", "."))
            if new.endswith(".kernel") and "g_dense" not in new:
                value = value.T
            elif new.endswith("depthwise_kernel"):
                value = np.moveaxis(value, 0, 2)
            elif new.endswith("pointwise_kernel"):
                value = np.swapaxes(value, 0, 2)
            elif new.endswith("conv_attn_key.bias"):
                value = value.reshape(-1, 1)
            for old, ours in (
                ("g_dense", "dense"), ("conv_attn_key", "key_conv_attn_layer"), ("conv_attn_kernel", "conv_kernel_layer"),
                ("conv_attn_point", "conv_out_layer"), ("wise_kernel", "wise.weight"), ("kernel", "weight"), ("gamma", "weight"),
                ("beta", "bias"), ("weight_layer", "kernel_layer"), ("conv_conv", "conv"), ("_embeddings", "_embeddings.weight"),
            ):  # fmt: skip
                new = new.replace(old, ours)
            out[new] = value
    return out


@pytest.mark.parametrize("directory", [PRETRAINING, GROUPED])
def test_the_discriminator_is_a_convbert(directory):
    tensors, values = open_tf_bundle(directory), expected(directory)
    found = from_tf1(tensors)
    head = {f"discriminator_predictions.{n}" for n in ("dense.weight", "dense.bias", "dense_1.weight", "dense_1.bias")}
    want = pytorch_of(values, "electra")
    assert found.keys() - head == want.keys()
    for name, value in want.items():
        for array in (found[name].copy(), found[name].array()):
            assert found[name].shape == value.shape and same(array, np.ascontiguousarray(value)), name
        assert found[name].fetch().flags.c_contiguous and found[name].fetch().flags.writeable
    model = ConvBertModel(ConvBertConfig(**config_of_tf1(tensors), pad_token_id=0))
    report = model.load_state_dict({name: tensor.copy() for name, tensor in found.items()}, strict=False)
    assert report.missing_keys == [] and set(report.unexpected_keys) == head
    assert same(found["discriminator_predictions.dense_1.weight"].copy(), values["discriminator_predictions/dense_1/kernel"].T)
    assert same(found["discriminator_predictions.dense.bias"].copy(), values["discriminator_predictions/dense/bias"])


def test_the_generator_is_a_masked_language_model():
    tensors, values = open_tf_bundle(PRETRAINING), expected(PRETRAINING)
    found = from_tf1(tensors, part="generator")
    want = {f"convbert.{name}": value for name, value in pytorch_of(values, "generator").items()} | {
        "generator_predictions.dense.weight": values["generator_predictions/dense/kernel"].T,
        "generator_predictions.dense.bias": values["generator_predictions/dense/bias"],
        "generator_predictions.LayerNorm.weight": values["generator_predictions/LayerNorm/gamma"],
        "generator_predictions.LayerNorm.bias": values["generator_predictions/LayerNorm/beta"],
        "generator_lm_head.bias": values["generator_predictions/output_bias"],
    }
    assert found.keys() == want.keys()
    assert all(same(found[name].copy(), np.ascontiguousarray(want[name])) for name in want)
    model = ConvBertForMaskedLM(ConvBertConfig(**config_of_tf1(tensors, "generator")))
    report = model.load_state_dict({name: tensor.copy() for name, tensor in found.items()})
    assert report.missing_keys == report.unexpected_keys == []
    word = "embeddings.word_embeddings.weight"
    assert same(model.state_dict()["generator_lm_head.weight"], values["electra/embeddings/word_embeddings"])
    assert same(found[f"convbert.{word}"].copy(), from_tf1(tensors)[word].copy())


def test_what_the_shapes_tell():
    common = {"type_vocab_size": 2, "head_ratio": 2}
    assert config_of_tf1(open_tf_bundle(PRETRAINING)) == common | {
        "vocab_size": 13, "embedding_size": 6, "max_position_embeddings": 5, "hidden_size": 8, "num_hidden_layers": 2,
        "num_attention_heads": 4, "conv_kernel_size": 3, "intermediate_size": 10, "num_groups": 1,
    }  # fmt: skip
    assert config_of_tf1(open_tf_bundle(PRETRAINING), "generator") == common | {
        "vocab_size": 13, "embedding_size": 6, "max_position_embeddings": 5, "hidden_size": 4, "num_hidden_layers": 1,
        "num_attention_heads": 2, "conv_kernel_size": 3, "intermediate_size": 7, "num_groups": 1,
    }  # fmt: skip
    assert config_of_tf1(open_tf_bundle(GROUPED)) == common | {
        "vocab_size": 11, "embedding_size": 8, "max_position_embeddings": 7, "hidden_size": 8, "num_hidden_layers": 2,
        "num_attention_heads": 4, "conv_kernel_size": 5, "intermediate_size": 12, "num_groups": 2,
    }  # fmt: skip


def test_a_generator_of_one_head_is_read_but_is_no_model_of_ours():
    tensors = open_tf_bundle(GROUPED)
    found = from_tf1(tensors, "generator")
    dense = "convbert.encoder.layer.0.attention.output.dense.weight"
    assert found[dense].copy().shape == (4, 8)
    with pytest.raises(CheckpointError, match=r"the generator's heads of one kind have 4 channels together.*hidden size 4"):
        config_of_tf1(tensors, "generator")
    shape = {"hidden_size": 4, "num_attention_heads": 1, "num_hidden_layers": 1, "intermediate_size": 6, "num_groups": 2}
    table = {"vocab_size": 11, "embedding_size": 8, "max_position_embeddings": 7, "conv_kernel_size": 5}
    model = ConvBertForMaskedLM(ConvBertConfig(**shape, **table))
    with pytest.raises(ValueError, match=f"{re.escape(dense)} is \\(4, 8\\), must be \\(4, 4\\)"):
        model.load_state_dict({name: tensor.copy() for name, tensor in found.items()})


def test_unknown_variables_are_kept_and_a_generators_own_embeddings_are_its_own():
    tensors = dict(open_tf_bundle(PRETRAINING))
    any_tensor = tensors["electra/embeddings/LayerNorm/gamma"]
    unknown = [
        "electra/encoder/layer_01/output/dense/bias", "electra/encoder/layer_{i}/output/dense/bias", "other",
        "generator/pooler/kernel",
        "electra/encoder/layer_0/attention/output/g_dense/bias", "discriminator_predictions/dense_2/bias", "xelectra/embeddings",
        "electra/embeddings_project/kernel/x",
    ]  # fmt: skip
    for part in ("discriminator", "generator"):
        found = from_tf1(tensors | {name: any_tensor for name in unknown}, part)
        assert found.keys() - from_tf1(tensors, part).keys() == set(unknown)
    own = from_tf1(tensors | {"generator/embeddings/LayerNorm/beta": any_tensor}, "generator")
    assert [name for name in own if "LayerNorm" in name and "embeddings" in name] == ["convbert.embeddings.LayerNorm.bias"]
    assert from_tf1({}) == {}


def test_bad_names_and_shapes():
    tensors = dict(open_tf_bundle(PRETRAINING))
    gamma, query = tensors["electra/embeddings/LayerNorm/gamma"], "electra/encoder/layer_0/attention/self/query/kernel"
    with pytest.raises(ValueError, match=r"part: must be one of .*'discriminator', 'generator'.*got 'electra'"):
        from_tf1(tensors, part="electra")
    with pytest.raises(ValueError, match="tensors: there are none"):
        config_of_tf1({})
    with pytest.raises(CheckpointError, match=rf"tensor '{gamma.name}': has the shape \(6,\); there must be 2 axes"):
        from_tf1(tensors | {query: gamma})
    twice = "electra/encoder/layer_0/output/g_dense/bias"
    with pytest.raises(
        CheckpointError, match=rf"tensor '{twice}': becomes encoder.layer.0.output.dense.bias, and so does '.*/dense/bias'"
    ):
        from_tf1(tensors | {twice: gamma})
    for name, change, message in (
        ("electra/embeddings/word_embeddings", None, "holds no discriminator .*: it lacks what becomes embeddings.word_embed"),
        ("electra/embeddings/word_embeddings", (3,), r"has the shape \(3,\); there must be 2 axes"),
        ("electra/embeddings/word_embeddings", (13, 0), "not those of a ConvBERT: embedding_size: must be at least 1"),
        (query, (8, 3), "have 3 channels together, which is not half of its hidden size 8"),
        (query.replace("_0", "_1"), (8, 3), r"becomes encoder.layer.1.\S+ with the shape \(3, 8\).* it must be \(4, 8\)"),
        ("electra/encoder/layer_0/attention/self/conv_attn_kernel/kernel", (4, 2), "num_attention_heads: must be at least 1"),
        ("electra/encoder/layer_0/attention/self/conv_attn_key/depthwise_kernel", (0, 8, 1), "conv_kernel_size"),
        ("electra/encoder/layer_0/intermediate/dense/bias", (), r"has the shape \(\); there must be 1 axes"),
    ):
        changed = {n: t for n, t in tensors.items() if n != name}
        if change is not None:
            changed[name] = replace(tensors[name], shape=change)
        with pytest.raises(CheckpointError, match=message):
            config_of_tf1(changed)
    gap = {name.replace("electra/encoder/layer_1/", "electra/encoder/layer_5/"): tensor for name, tensor in tensors.items()}
    with pytest.raises(CheckpointError, match=r"has the layers \[0, 5\], which are not numbered from 0"):
        config_of_tf1(gap)


# ---- files that lie


def varint(number: int) -> bytes:
    data = bytearray()
    while number >= 0x80:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*data, number])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number * 8) + varint(value)
    return varint(number * 8 + 2) + varint(len(value)) + value


def shape_of(*sizes: int) -> bytes:
    return b"".join(field(2, field(1, size)) for size in sizes)


def entry(shape=(2, 3), dtype=1, shard=0, begin=0, size=24, extra=b"") -> bytes:
    text = shape if isinstance(shape, bytes) else shape_of(*shape)
    return field(1, dtype) + field(2, text) + field(3, shard) + field(4, begin) + field(5, size) + b"\x35" + bytes(4) + extra


def record(key: bytes, value: bytes, shared: int = 0) -> bytes:
    return varint(shared) + varint(len(key)) + varint(len(value)) + key + value


def block_of(content: bytes, restarts=(0,), number=None) -> bytes:
    """A block of records."""
    number = len(restarts) if number is None else number
    return content + struct.pack(f"<{len(restarts)}I", *restarts) + struct.pack("<I", number)


def sealed(block: bytes, compression: int = 0) -> bytes:
    """A block and its trailer."""
    block += bytes([compression])
    return block + struct.pack("<I", masked(crc32c(block)))


def footer(begin: int, size: int) -> bytes:
    return (varint(0) * 2 + varint(begin) + varint(size)).ljust(40, b"\0") + struct.pack("<Q", MAGIC)


def table_of(*blocks: bytes, handles=None, compression: int = 0) -> bytes:
    """A table of blocks; `handles` are what the index block says instead of the truth."""
    content, places = b"", []
    for block in blocks:
        places.append((len(content), len(block)))
        content += sealed(block, compression)
    listed = b"".join(record(b"k%d" % i, varint(a) + varint(b)) for i, (a, b) in enumerate(handles or places))
    index = block_of(listed)
    return content + sealed(index) + footer(len(content), len(index))


HEADER = field(1, 1) + field(3, field(1, 1))


def index_of(entries: dict[bytes, bytes], header: bytes | None = HEADER) -> bytes:
    """The index of a bundle."""
    records = ({} if header is None else {b"": header}) | entries
    return table_of(block_of(b"".join(record(key, value) for key, value in records.items())))


def one(**changes) -> bytes:
    return index_of({b"x": entry(**changes)})


def open_crafted(directory: Path, index: bytes, data: bytes = bytes(24)) -> dict:
    (directory / "m.index").write_bytes(index)
    (directory / "m.data-00000-of-00001").write_bytes(data)
    return open_tf_bundle(directory / "m")


def test_what_the_tests_craft_is_read(tmp_path):
    entries = {b"x": entry(), b"y": entry((), size=4, begin=24), b"z": entry((0, 9), size=0, begin=28)}
    assert {n: t.shape for n, t in open_crafted(tmp_path, index_of(entries), bytes(28)).items()} == {
        "x": (2, 3), "y": (), "z": (0, 9),
    }  # fmt: skip
    several = table_of(*(block_of(record(key, value)) for key, value in ({b"": HEADER} | entries).items()))
    assert list(open_crafted(tmp_path, several, bytes(28))) == ["x", "y", "z"]
    shared = record(b"", HEADER) + record(b"aab", entry()) + record(b"c", entry((), size=4, begin=24), shared=2)
    assert list(open_crafted(tmp_path, table_of(block_of(shared)), bytes(28))) == ["aab", "aac"]
    first = record(b"", HEADER) + record(b"aab", entry())
    restarted = block_of(first + record(b"b", entry((), size=4, begin=24)), restarts=(0, len(first)))
    assert list(open_crafted(tmp_path, table_of(restarted), bytes(28))) == ["aab", "b"]


def test_a_checksum_is_compared_when_a_variable_is_fetched(tmp_path):
    for file in GROUPED.glob("*"):
        shutil.copy(file, tmp_path)
    (data,) = tmp_path.glob("*.data*")
    content = bytearray(data.read_bytes())
    content[-1] ^= 1
    data.write_bytes(content)
    refused = []
    for name, tensor in open_tf_bundle(tmp_path).items():
        tensor.view()
        try:
            tensor.fetch()
        except CheckpointError as error:
            refused.append(name)
            assert str(error) == f"{data}: tensor {name!r}: its values do not match their checksum: the file is damaged"
    assert len(refused) == 1


BOMB = block_of(  # keys of 2048 bytes at 5 bytes each
    record(b"a" * (LONGEST_KEY - 2) + b"\0\0", b"")
    + b"".join(record(struct.pack(">H", i), b"", shared=LONGEST_KEY - 2) for i in range(1, 9000))
)
HOSTILE = [
    (b"", "does not end as a table does"),
    (footer(0, 0)[1:], "does not end as a table does"),
    (footer(0, 0), "a block of 0 bytes at byte 0 does not fit"),
    (footer(0, 43), "a block of 43 bytes at byte 0 does not fit"),
    (footer(2**63, 2**63), "a block of 9223372036854775808 bytes at byte 9223372036854775808 does not fit"),
    (b"\xff" * 40 + struct.pack("<Q", MAGIC), "no number of at most 10 bytes"),
    (table_of(b""), "a block of 0 bytes cannot have 0 restart points"),
    (table_of(block_of(b""), handles=[(0, 8), (0, 8)]), "does not list the blocks one after the other"),
    (table_of(block_of(b""), handles=[(13, 13)]), "the block at byte 13 reaches into the index block"),
    (table_of(block_of(b""), handles=[(13, 8)]), "the block at byte 13 reaches into the index block"),
    (table_of(block_of(b""), handles=[(2**62, 8)]), "reaches into the index block"),
    (table_of(block_of(b""), handles=[(0, 7)]), "the block at byte 0 does not match its checksum"),
    (table_of(block_of(b""), compression=1), r"the block at byte 0 is compressed \(snappy\), which TensorFlow does not write"),
    (table_of(block_of(b""), compression=7), r"compressed \(number 7\)"),
    (table_of(block_of(b"", number=0)), "a block of 8 bytes cannot have 0 restart points"),
    (table_of(block_of(b"", number=2)), "a block of 8 bytes cannot have 2 restart points"),
    (table_of(block_of(b"", number=2**32 - 1)), "cannot have 4294967295 restart points"),
    (table_of(block_of(record(b"", b""), restarts=(1,))), "restart points of a block do not rise from 0"),
    (table_of(block_of(record(b"", b""), restarts=(0, 0))), "restart points of a block do not rise from 0"),
    (table_of(block_of(record(b"", b""), restarts=(0, 2))), "a restart point of a block is not at an entry"),
    (table_of(block_of(record(b"", b""), restarts=(0, 99))), "a restart point of a block is not at an entry"),
    (table_of(block_of(record(b"a", b"") + record(b"b", b"", 1), restarts=(0, 4))), "lengths of an entry .* are impossible"),
    (table_of(block_of(record(b"b", b"", shared=1))), "lengths of an entry .* are impossible"),
    (table_of(block_of(record(b"b", b"") + record(b"b", b"", shared=2))), "lengths of an entry .* are impossible"),
    (table_of(block_of(b"\0\1\1a")), "lengths of an entry .* are impossible"),
    (table_of(block_of(b"\0\0" + varint(2**64 - 1))), "lengths of an entry .* are impossible"),
    (table_of(block_of(b"\0" + varint(2**63) * 2)), "lengths of an entry .* are impossible"),
    (table_of(block_of(b"\x80" * 10 + b"\1")), "no number of at most 10 bytes, below 2\\^64"),
    (table_of(block_of(b"\xff" * 9 + b"\2")), "no number of at most 10 bytes, below 2\\^64"),
    (table_of(block_of(record(b"a" * (LONGEST_KEY + 1), b""))), "lengths of an entry .* are impossible"),
    (table_of(block_of(record(b"a", b"") * 2)), "the key b'a' comes after b'a'"),
    (table_of(block_of(record(b"b", b"") + record(b"a", b""))), "the key b'a' comes after b'b'"),
    (table_of(block_of(record(b"a", b"")), block_of(record(b"a", b""))), "the key b'a' comes after b'a'"),
    (table_of(BOMB), "or longer keys than its size allows"),
    (table_of(block_of(b"")), "has no header"),
    (table_of(*[block_of(b"")] * 1025), "has more than 1024 blocks"),
    (index_of({}, None), "has no header"),
    (index_of({}, b""), "0 shards are not between 1 and 256"),
    (index_of({}, field(1, 257)), "257 shards are not between"),
    (index_of({}, field(1, 2**64 - 1)), "the field 1 of a message is negative"),
    (index_of({}, field(1, 1) + field(2, 1)), "big-endian"),
    (index_of({}, field(1, 1) * 2), "the field 1 of a message is there twice"),
    (index_of({}, field(1, b"1")), "the field 1 of a message is of the kind 2, not 0"),
    (index_of({}, b"\x0b"), "a field of a message is of the kind 3"),
    (index_of({}, b"\x0a\x05abcd"), "a field of 5 bytes does not fit into its message of 6"),
    (index_of({}, b"\x0a" + varint(2**64 - 1)), "a field of 18446744073709551615 bytes does not fit"),
    (index_of({}, b"\x0d\0\0\0"), "a field of 4 bytes does not fit"),
    (index_of({}, b"\x08"), "no number of at most 10 bytes"),
    (index_of({}, b"\x08" + b"\x80" * 10 + b"\1"), "no number of at most 10 bytes"),
    (index_of({b"\xff": entry()}), r"the name b'\\xff' is not UTF-8"),
    (index_of({b"\xed\xa0\x80": entry()}), "is not UTF-8"),
    (index_of({b"a\n": entry()}), r"the name 'a\\n' cannot be printed"),
    (index_of({b"\0x": entry()}), "holds a slice of a partitioned variable"),
    (one(extra=field(7, b"")), "tensor 'x': is partitioned"),
    (one(extra=field(7, b"") * 1000), "tensor 'x': a message has more than 1000 fields"),
    (one(extra=field(7, 1)), "tensor 'x': the field 7 of a message is of the kind 0, not 2"),
    (one(extra=field(6, 1)), "tensor 'x': the field 6 of a message is there twice"),
    (one(shard=1), "tensor 'x': lies in shard 1, but there are 1"),
    (one(shard=2**63), "tensor 'x': the field 3 of a message is negative"),
    (one(begin=2**64 - 8), "tensor 'x': the field 4 of a message is negative"),
    (one(size=2**64 - 8), "tensor 'x': the field 5 of a message is negative"),
    (one(size=23), r"tensor 'x': float32 \(2, 3\) needs 24 bytes, not 23"),
    (one(size=25), r"tensor 'x': float32 \(2, 3\) needs 24 bytes, not 25"),
    (one(shape=(2**60,)), "needs 4611686018427387904 bytes, not 24"),
    (one(shape=(2**62, 4), size=0), "needs .* bytes, not 0"),
    (one(shape=(2**64 - 1,)), "tensor 'x': the field 1 of a message is negative"),
    (one(shape=[1] * 65, size=4), "tensor 'x': its shape is not one of at most 64 axes"),
    (one(shape=field(3, 1)), "tensor 'x': its shape is not one"),
    (one(shape=b"\x12\x01"), "tensor 'x': a field of 1 bytes does not fit"),
    (one(dtype=7, shape=(25,)), "tensor 'x': 25 values cannot lie in 24 bytes"),
    (one(dtype=101, shape=(2**60,)), "values cannot lie in 24 bytes"),
    (one(begin=1), r"m\.data-00000-of-00001: tensor 'x': ends at byte 25, after the file's 24 bytes"),
    (one(begin=2**62), "after the file's 24 bytes"),
    (index_of({b"x": entry(), b"y": entry()}), "tensor 'y': begins at byte 0, within another variable"),
    (index_of({b"x": entry(begin=4, shape=(3,), size=12), b"y": entry((2,), size=8)}), "'x': begins at byte 4, within another"),
    (bytes(2**20) + one(), "bytes; no such file has more than 1048576"),
]  # fmt: skip


@pytest.mark.parametrize(("index", "message"), HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_index_is_refused_with_the_reason(tmp_path, index, message):
    crc32c(b"")  # makes its tables
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=message):
            open_crafted(tmp_path, index)
        assert tracemalloc.get_traced_memory()[1] < 6_000_000
    finally:
        tracemalloc.stop()


def test_impossible_sizes_of_an_empty_variable_and_a_bad_boolean_are_refused_when_read(tmp_path):
    tensor = open_crafted(tmp_path, one(shape=(0, 2**62, 2**62), size=0))["x"]
    with pytest.raises(CheckpointError, match=r"tensor 'x': the shape .* is impossible"):
        tensor.view()
    tensor = open_crafted(tmp_path, one(shape=(24,), dtype=10), b"\2" * 24)["x"]
    for read in (tensor.view, tensor.fetch):
        with pytest.raises(CheckpointError, match="tensor 'x': a boolean is neither 0 nor 1"):
            read()


def test_too_many_entries_are_refused(tmp_path):
    records = b"".join(record(struct.pack(">I", i), b"") for i in range(MOST_ENTRIES + 1))
    with pytest.raises(CheckpointError, match="has more than 16384 entries"):
        read_table("x", table_of(block_of(records)))


def read_or_refuse(path: Path) -> bool:
    """Whether a checkpoint is opened and all of it read; any error but ours fails the test."""
    try:
        tensors = open_tf_bundle(path)
    except CheckpointError:
        return False
    read = 0
    for tensor in tensors.values():
        with suppress(CheckpointError):
            tensor.array()
            read += tensor.copy().shape == tensor.shape
    for part in ("discriminator", "generator"):
        with suppress(CheckpointError):
            from_tf1(tensors, part)
            config_of_tf1(tensors, part)
    return read == sum(tensor.dtype != "object" for tensor in tensors.values())


def mutated(content: bytes, generator: random.Random, stop: int) -> bytes:
    """Some of the first `stop` bytes changed, or the content cut off."""
    if generator.random() < 0.1:
        return content[: generator.randrange(len(content))]
    changed = bytearray(content)
    for _ in range(generator.choice([1, 1, 2, 5])):
        place = generator.randrange(stop)
        changed[place] = generator.choice(
            [0, 1, 0x7F, 0x80, 0xFF, generator.randrange(256), changed[place] ^ 1 << generator.randrange(8)]
        )
    return bytes(changed)


def first_block(index: bytes) -> int:
    """The size of the one block of data in an index: the block behind it begins at the first number of the footer."""
    size = shift = 0
    for byte in index[-48:]:
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    return size - 5


def mutants(directory: Path, number: int, seed: int):
    """Names and contents of changed files: the index, the index with a good checksum again, the numbers."""
    generator = random.Random(seed)
    (index,) = directory.glob("*.index")
    datas = list(directory.glob("*.data*"))
    content = index.read_bytes()
    size = first_block(content)
    for _ in range(number):
        kind = generator.random()
        if kind < 0.25:
            yield index.name, mutated(content, generator, len(content))
        elif kind < 0.9:
            block = mutated(content[:size], generator, size)
            yield index.name, sealed(block.ljust(size, b"\0")) + content[size + 5 :]
        else:
            data = generator.choice(datas)
            yield data.name, mutated(data.read_bytes(), generator, data.stat().st_size)


@pytest.mark.parametrize("name", ["pretraining", "grouped", "types"])
def test_mutated_checkpoints_are_read_or_refused(tmp_path, name):
    for file in (FIXTURES / name).glob("model*"):
        shutil.copy(file, tmp_path)
    read = 0
    number = 150
    for file, content in mutants(FIXTURES / name, number, seed=1):
        original = (tmp_path / file).read_bytes()
        (tmp_path / file).write_bytes(content)
        read += read_or_refuse(tmp_path)
        (tmp_path / file).write_bytes(original)
    assert 0 < read < number // 2


@pytest.mark.parametrize("part", ["index", "data-00000-of-00001"])
def test_truncated_checkpoints_are_refused(tmp_path, part):
    for file in (FIXTURES / "types").glob("model*"):
        shutil.copy(file, tmp_path)
    content = (tmp_path / f"model.ckpt.{part}").read_bytes()
    for length in range(len(content)):
        (tmp_path / f"model.ckpt.{part}").write_bytes(content[:length])
        with pytest.raises(CheckpointError):
            open_tf_bundle(tmp_path)
