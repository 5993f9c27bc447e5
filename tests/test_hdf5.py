"""TensorFlow's tf_model.h5: files that h5py and Keras wrote, crafted files that lie, and the names of the variables."""

import gzip
import json
import random
import struct
import tracemalloc
from math import prod
from pathlib import Path

import numpy as np
import pytest

import convbert_np as cb
from convbert_np.checkpoints import CheckpointError
from convbert_np.checkpoints.hdf5 import open_hdf5
from convbert_np.checkpoints.stored import Source, StoredTensor
from convbert_np.checkpoints.tf2_names import from_tf2

FOLDER = Path(__file__).parent / "fixtures" / "checkpoints" / "tf2"
LAYOUTS = FOLDER / "layouts"
CASES = json.loads((FOLDER / "cases.json").read_text(encoding="utf-8"))
READABLE = ("default", "ordered", "v108", "latest")
FLOAT32_FLOOR = 1e-6  # relative L2 error of TensorFlow's float32 outputs; measured: 2.6e-7
NAN = 2**64 - 1  # an undefined address


def unpacked(path: Path) -> bytes:
    return gzip.decompress(path.with_name(path.name + ".gz").read_bytes())


@pytest.fixture
def file(tmp_path):
    """A function that puts a fixture, or given bytes, into a file."""

    def put(content: Path | bytes) -> Path:
        path = tmp_path / "x.h5"
        path.write_bytes(unpacked(content) if isinstance(content, Path) else content)
        return path

    return put


@pytest.fixture(scope="module")
def expected():
    with np.load(FOLDER / "expected.npz") as arrays:
        return dict(arrays)


def same(found: np.ndarray, wanted: np.ndarray) -> bool:
    return (found.dtype, found.shape, found.tobytes()) == (wanted.dtype, wanted.shape, wanted.tobytes())


# ---- reading


@pytest.mark.parametrize("name", READABLE)
def test_every_dataset_of_a_file_of_h5py_is_read_exactly(file, expected, name):
    tensors = open_hdf5(file(LAYOUTS / f"{name}.h5"))
    wanted = {key.removeprefix(f"{name}/"): value for key, value in expected.items() if key.startswith(f"{name}/")}
    assert tensors.keys() == wanted.keys() and len(wanted) == 20
    for key, tensor in tensors.items():
        assert (tensor.name, tensor.dtype, tensor.shape) == (key, wanted[key].dtype.name, wanted[key].shape)
        assert same(tensor.view(), wanted[key]) and same(tensor.fetch(), wanted[key]) and same(tensor.array(), wanted[key])
        assert not tensor.view().flags.writeable and tensor.fetch().flags.writeable


def test_the_files_have_what_they_should(file):
    content = {name: unpacked(LAYOUTS / f"{name}.h5") for name in READABLE}
    assert [content[name][8] for name in READABLE] == [0, 0, 2, 3]  # superblocks
    assert [b"SNOD" in content[name] for name in READABLE] == [True, True, False, False]
    assert [b"OHDR" in content[name] for name in READABLE] == [False, True, True, True]
    many = open_hdf5(file(LAYOUTS / "many.h5"))
    assert list(many) == sorted(many) and len(many) == 300
    assert all(tensor.array() == int(name.removeprefix("group/x")) % 251 for name, tensor in many.items())


def test_opening_reads_no_values_and_a_view_copies_none(file, monkeypatch):
    path = file(FOLDER / "masked_lm.h5")
    open_hdf5(path)  # what is made once is made
    monkeypatch.setattr(Source, "read", lambda *_: pytest.fail("values were read"))
    tracemalloc.start()
    try:
        tensors = open_hdf5(path)
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()
    first = tensors["convbert/tf_conv_bert_for_masked_lm/convbert/embeddings/word_embeddings/weight:0"]
    assert not first.view().flags.owndata and np.shares_memory(first.view(), first.view())
    with pytest.raises(pytest.fail.Exception, match="values were read"):
        first.fetch()


def test_the_values_outlive_the_dict_and_are_ones_own(file):
    tensor = open_hdf5(file(LAYOUTS / "default.h5"))["shapes/five"]
    one, other = tensor.fetch(), tensor.fetch()
    one[:] = 0
    assert same(other, tensor.view()) and other.any() and tensor.nbytes == other.nbytes == 48


# ---- the TensorFlow models


def parameters(expected, case: str) -> dict[str, np.ndarray]:
    """What PyTorch's save_pretrained wrote of the model that TensorFlow then saved."""
    config = cb.ConvBertConfig(**CASES[case]["config"])
    state = getattr(cb, CASES[case]["class"])(config).named_parameters()
    keys = {name: f"params/{name.removeprefix('convbert.')}/{'x'.join(map(str, value.shape))}" for name, value in state.items()}
    return {name: expected[key] for name, key in keys.items()}


@pytest.mark.parametrize("case", CASES)
def test_the_variables_of_tensorflow_are_the_parameters_of_pytorch(file, expected, case):
    tensors = from_tf2(open_hdf5(file(FOLDER / f"{case}.h5")))
    wanted = parameters(expected, case)
    assert tensors.keys() == wanted.keys()
    for name, tensor in tensors.items():
        assert tensor.shape == wanted[name].shape and tensor.name.endswith(":0")
        assert same(tensor.view(), wanted[name]) and same(tensor.fetch(), wanted[name]), name
        assert not tensor.view().flags.writeable and tensor.fetch().flags.c_contiguous and tensor.fetch().flags.writeable


@pytest.mark.parametrize("case", CASES)
def test_a_model_from_tensorflow_computes_what_tensorflow_computed(file, expected, case):
    model = getattr(cb, CASES[case]["class"])(cb.ConvBertConfig(**CASES[case]["config"]), dtype=np.float64)
    tensors = from_tf2(open_hdf5(file(FOLDER / f"{case}.h5")))
    report = model.load_state_dict({name: tensor.array() for name, tensor in tensors.items()})
    assert not any(report)
    given = {name: expected[f"inputs/{name}"] for name in ("input_ids", "attention_mask", "token_type_ids")}
    output = model(**{name: value[:, None] if case == "choice" else value for name, value in given.items()})
    for name in CASES[case]["outputs"]:
        wanted = expected[f"{case}/{name}"]
        assert wanted.shape == output[name].shape and wanted.any()
        assert np.linalg.norm(output[name] - wanted) < FLOAT32_FLOOR * np.linalg.norm(wanted), name


def test_the_parts_of_a_model_in_several_files_are_taken_together(file, expected):
    index = json.loads(unpacked(FOLDER / "sharded" / "tf_model.h5.index.json"))
    tensors = {}
    for part in sorted(set(index["weight_map"].values())):
        found = open_hdf5(file(FOLDER / "sharded" / part))
        tensors |= found
        assert all(from_tf2({name: tensor}) for name, tensor in found.items())
    assert len(set(index["weight_map"].values())) == 2
    wanted = parameters(expected, "masked_lm")
    found = from_tf2(tensors)
    assert found.keys() == wanted.keys() and all(tensor.shape == wanted[name].shape for name, tensor in found.items())


def tensor(name: str, values: np.ndarray) -> StoredTensor:
    view = values.view()
    view.flags.writeable = False
    return StoredTensor("a.h5", name, values.dtype.name, values.shape, lambda: view, values.copy)


def renamed(*names: str, shape: tuple[int, ...] = (3, 4)) -> list[str]:
    return list(from_tf2({name: tensor(name, np.ones(shape, np.float32)) for name in names}))


def test_names_are_understood_behind_group_and_model_or_alone():
    query = "convbert/encoder/layer_._11/attention/self/query/kernel"
    for path in (f"convbert/any_model_7/{query}:0", f"any_model_7/{query}:0", f"{query}:0", query):
        assert renamed(path) == ["encoder.layer.11.attention.self.query.weight"]
        assert renamed(path, "qa_outputs/m/qa_outputs/kernel:0") == [
            "convbert.encoder.layer.11.attention.self.query.weight", "qa_outputs.weight",
        ]  # fmt: skip
    assert renamed("convbert/m/convbert/embeddings/position_embeddings/weight:0") == ["embeddings.position_embeddings.weight"]
    assert renamed("sequence_summary/m/sequence_summary/summary/kernel:0") == ["sequence_summary.summary.weight"]
    assert renamed("top_level_model_weights/classifier/kernel:0") == ["classifier.weight"]


def test_what_is_no_variable_of_the_models_keeps_its_name():
    odd = [
        "convbert/m/convbert/pooler/dense/kernel:0",
        "a/b/c/classifier/kernel:0", "classifier/kernel:1", "dropout_3/x", "x", "kernel:0",
        "convbert/encoder/layer_._01/output/dense/kernel:0", "convbert/encoder/layer_._{i}/output/dense/kernel:0",
        "convbert/encoder/layer_._1234567/output/dense/kernel:0", "convbert/encoder/layer_._\u0661/output/dense/kernel:0",
        "convbert.encoder.y", "convbert//embeddings/LayerNorm/gamma:0",
    ]  # fmt: skip
    assert renamed(*odd, shape=(2, 2, 2, 2)) == odd
    assert renamed("convbert.encoder.y", "convbert/embeddings/LayerNorm/gamma:0") == [
        "convbert.encoder.y", "embeddings.LayerNorm.weight",
    ]  # fmt: skip


def test_copies_of_a_variable_must_agree():
    names = [f"{group}/m/convbert/embeddings/word_embeddings/weight:0" for group in ("convbert", "generator_lm_head")]
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    values[1, 1] = np.nan
    pair = {name: tensor(name, values) for name in names}
    found = from_tf2(pair)["embeddings.word_embeddings.weight"]
    assert found.name == names[0] and same(found.view(), values) and same(found.fetch(), values)
    pair[names[1]] = tensor(names[1], np.where(values == 11, np.float32(5), values))
    found = from_tf2(pair)["embeddings.word_embeddings.weight"]
    for read in (found.view, found.fetch):
        with pytest.raises(CheckpointError, match=r"a\.h5: tensor 'generator_lm_head.*differs from 'convbert/m"):
            read()
    pair[names[1]] = tensor(names[1], values.T)
    with pytest.raises(CheckpointError, match=r"'generator_lm_head.*float32 \(4, 3\), one of 2 copies of 'convbert"):
        from_tf2(pair)
    pair[names[1]] = tensor(names[1], values.astype(np.float64))
    with pytest.raises(CheckpointError, match=r"float64 \(3, 4\)"):
        from_tf2(pair)
    with pytest.raises(CheckpointError, match="one of 5000 copies"):
        renamed(*(f"g/m{i}/{names[0].partition('/m/')[2]}" for i in range(5000)))


@pytest.mark.parametrize(
    ("variable", "shape", "message"),
    [
        ("qa_outputs/kernel:0", (2,), "has the shape .*must have 2 axes"),
        ("qa_outputs/kernel:0", (2, 3, 4), "must have 2 axes"),
        ("convbert/encoder/layer_._0/output/dense/kernel:0", (2, 3, 4, 5), "must have 2 or 3 axes"),
        ("convbert/encoder/layer_._0/attention/self/key_conv_attn_layer/bias:0", (2, 1), "must have 1 axes"),
    ],
)
def test_variables_with_an_impossible_number_of_axes_are_refused(variable, shape, message):
    with pytest.raises(CheckpointError, match=message) as caught:
        renamed(variable, shape=shape)
    assert caught.value.tensor == variable


def test_what_is_no_dict_of_tensors_is_refused():
    for wrong in ([], {"x": np.ones(1)}, None):
        with pytest.raises(TypeError, match="tensors: must be a dict from names to StoredTensor"):
            from_tf2(wrong)  # type: ignore[arg-type]


# ---- what is refused by name

REFUSED = {
    "chunked": "tensor 'x': is chunked",
    "compressed": "tensor 'x': is compressed or otherwise filtered; save the file again with h5py",
    "external": "tensor 'x': keeps its values in other files",
    "virtual": "tensor 'x': is a virtual dataset",
    "soft_link": "has a soft link 'x'",
    "new_soft_link": "has a soft link 'x'",
    "external_link": "has a soft link 'x'|has an external link 'x'",
    "committed": "tensor 'x': is a committed datatype",
    "of_committed": "tensor 'x': has a committed datatype or another shared message",
    "variable_length": "tensor 'x': its values are variable-length",
    "text": "tensor 'x': its values are strings",
    "big_endian": "tensor 'x': its values are floating-point numbers that are big-endian",
    "compound": "tensor 'x': its values are compounds",
    "boolean": "tensor 'x': its values are enumerations",
    "complex": "tensor 'x': its values are compounds",
    "null": "tensor 'x': has a null dataspace",
    "fill_value": "tensor 'x': was never written and has a fill value other than zero",
    "user_block": "does not begin with the signature of HDF5",
    "dense": "dense storage in a fractal heap",
    "cycle": "tensor 'a/b': an object header at byte 96 is reached twice",
    "two_names": "tensor 'b': an object header at byte 800 is reached twice",
}


def test_every_recorded_refusal_is_tested():
    assert {path.name for path in LAYOUTS.glob("refused-*")} == {f"refused-{name}.h5.gz" for name in REFUSED}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_read_is_refused_by_name(file, name):
    with pytest.raises(CheckpointError, match=r"x\.h5: .*(" + REFUSED[name] + ")"):
        open_hdf5(file(LAYOUTS / f"refused-{name}.h5"))


def test_an_absent_file_and_a_folder_are_errors_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        open_hdf5(tmp_path / "absent.h5")
    with pytest.raises(OSError):
        open_hdf5(tmp_path)


# ---- crafted files

ROOT, HEAP, TREE, NODE, OBJECT, DATA, END = 96, 136, 296, 344, 1024, 1280, 1344
F4 = struct.pack("<BBBxIHHBBBBI", 0x11, 0x20, 31, 4, 0, 32, 23, 8, 0, 23, 127)


def superblock(end: int = END, root: int = ROOT, base: int = 0, extra: int = NAN) -> bytes:
    sizes = struct.pack("<8B2HI", 0, 0, 0, 0, 0, 8, 8, 0, 4, 16, 0)
    return b"\x89HDF\r\n\x1a\n" + sizes + struct.pack("<4Q2Q24x", base, NAN, end, extra, 0, root)


def header(*messages: tuple[int, bytes], flags: int = 0) -> bytes:
    block = b""
    for kind, content in messages:
        content += b"\0" * (-len(content) % 8)
        block += struct.pack("<HHB3x", kind, len(content), flags) + content
    return struct.pack("<BxHII4x", 1, len(messages), 1, len(block)) + block


def newer(*messages: tuple[int, bytes], flags: int = 2, version: int = 2) -> bytes:
    block = b"".join(struct.pack("<BHB", kind, len(content), 0) + content for kind, content in messages)
    return struct.pack("<4sBBI", b"OHDR", version, flags, len(block)) + block + b"sums"


def table(tree: int = TREE, heap: int = HEAP) -> tuple[int, bytes]:
    return 0x11, struct.pack("<QQ", tree, heap)


def link(name: bytes, address: int, kind: bytes = b"") -> tuple[int, bytes]:
    return 6, bytes([1, 8 if kind else 0]) + kind + bytes([len(name)]) + name + struct.pack("<Q", address)


def heap(names: bytes = b"\0" * 8 + b"x\0", size: int = 128, at: int = HEAP + 32, version: int = 0) -> bytes:
    return struct.pack("<4sB3xQQQ", b"HEAP", version, size, 1, at) + names.ljust(128, b"\0")


def tree(*children: int, level: int = 0, used: int | None = None, kind: int = 0) -> bytes:
    pairs = b"".join(struct.pack("<QQ", 0, child) for child in children)
    head = struct.pack("<4sBBHQQ", b"TREE", kind, level, len(children) if used is None else used, NAN, NAN)
    return head + pairs + struct.pack("<Q", 8)


def node(*entries: tuple[int, int], count: int | None = None, cache: int = 0) -> bytes:
    head = struct.pack("<4sBxH", b"SNOD", 1, len(entries) if count is None else count)
    return head + b"".join(struct.pack("<QQI20x", name, address, cache) for name, address in entries)


def space(*shape: int, version: int = 1, axes: int | None = None) -> tuple[int, bytes]:
    return 1, struct.pack("<BBBx4x", version, len(shape) if axes is None else axes, 0) + struct.pack(f"<{len(shape)}Q", *shape)


def layout(begin: int = DATA, size: int = 24, kind: int = 1, version: int = 3) -> tuple[int, bytes]:
    return 8, struct.pack("<BBQQ", version, kind, begin, size)


def dataset(*shape: int, begin: int = DATA, size: int | None = None) -> bytes:
    return header(space(*shape), (3, F4), layout(begin, 4 * prod(shape) if size is None else size))


def crafted(parts: dict[int, bytes] | None = None) -> bytes:
    """A file of one float32 dataset "x" of shape (2, 3), with other bytes at some addresses."""
    blocks = {
        0: superblock(),
        ROOT: header(table()),
        HEAP: heap(),
        TREE: tree(NODE),
        NODE: node((8, OBJECT)),
        OBJECT: dataset(2, 3),
    }
    content = bytearray(max(END, *(at + len(block) for at, block in (parts or {}).items()), 0))
    blocks[0] = superblock(len(content))
    content[DATA : DATA + 24] = np.arange(6, dtype=np.float32).tobytes()
    for at, block in {**blocks, **(parts or {})}.items():
        content[at : at + len(block)] = block
    return bytes(content)


GROUPS = {4096 + 64 * i: newer(link(b"g", 4096 + 64 * (i + 1))) for i in range(40)}
LONG_NAMES = {4096 + 256 * i: newer(link(b"g" * 200, 4096 + 256 * (i + 1))) for i in range(8)} | {6144: bytes(256)}
HOSTILE = [
    (b"", "does not begin with the signature"),
    (b"\x89HDF\r\n\x1a", "does not begin with the signature"),
    (b"\x89HDF\r\n\x1a\n", "the superblock at byte 8 needs 2 bytes"),
    (crafted({8: b"\x01"}), "superblock of version 1 is not read"),
    (crafted({13: b"\x04"}), "offsets and lengths of 4 and 8 bytes"),
    (crafted({14: b"\x04"}), "offsets and lengths of 8 and 4 bytes"),
    (crafted({0: superblock(base=512)}), "a base address"),
    (crafted({0: superblock(extra=100)}), "driver information"),
    (crafted({0: superblock(end=END + 1)}), "is cut off: it should have 1345 bytes"),
    (crafted({0: superblock(end=NAN)}), "is cut off"),
    (crafted({0: superblock(end=DATA + 8)}), "the values at byte 1280 needs 24 bytes, which exceed byte 1288"),
    (crafted({0: superblock(root=NAN)}), "an object header at byte 18446744073709551615 needs"),
    (crafted({0: superblock(root=END - 3)}), "an object header at byte 1341 needs"),
    (crafted({0: superblock(root=OBJECT)}), "its root is no group"),
    (crafted({0: superblock(root=HEAP)}), "there is no object header"),
    (crafted({ROOT: struct.pack("<BxHII4x", 1, 1, 1, 2**32 - 1)}), "object header's block at byte 112 needs 4294967295"),
    (crafted({ROOT: struct.pack("<BxHII4xHHB3x", 1, 1, 1, 24, 0x11, 65535, 0)}), "a message of type 17 .* needs 65535"),
    (crafted({ROOT: struct.pack("<BxHII4xHH", 1, 1, 1, 16, 0x11, 16)}), "a message of type 17 .* needs 16 bytes"),
    (crafted({ROOT: struct.pack("<BxHII4x", 1, 1, 1, 28)}), "block ends within a message"),
    (crafted({ROOT: header((0x11, bytes(8)))}), "a symbol table message .* needs 16 bytes"),
    (crafted({0: superblock(root=DATA - 64), DATA - 64: header(table(), table())}), "has 2 messages with a symbol table"),
    (crafted({ROOT: header((0x99, b""), flags=0x80)}), "the unknown type 153, which forbids"),
    (crafted({ROOT: header(table(), flags=2)}), "another shared message"),
    (crafted({ROOT: header()}), "is an object that is no group and no dataset"),
    # continuations
    (crafted({ROOT: header((0x10, struct.pack("<QQ", ROOT + 16, 24)))}), "a continuation block at byte 112 is reached twice"),
    (crafted({ROOT: header((0x10, struct.pack("<QQ", END, 8)))}), "a continuation block .* needs 8 bytes"),
    (crafted({ROOT: header((0x10, struct.pack("<QQ", 0, 2**63)))}), "a continuation block .* needs"),
    (crafted({ROOT: newer((0x10, struct.pack("<QQ", HEAP, 4)))}), "there is no continuation block"),
    (crafted({ROOT: newer((0x10, struct.pack("<QQ", HEAP, 80)))}), "there is no continuation block"),
    (crafted({ROOT: newer(version=3)}), "object header of version 3"),
    (crafted({ROOT: newer()[:6] + b"\xff\xff\xff\xff"}), "object header's block"),
    # B-trees and symbol nodes
    (crafted({ROOT: header(table(tree=HEAP))}), "no node of a group's B-tree at byte 136"),
    (crafted({ROOT: header(table(tree=NAN))}), "a B-tree's node at byte 18446744073709551615"),
    (crafted({TREE: tree(NODE, kind=1)}), "no node of a group's B-tree"),
    (crafted({TREE: tree(NODE, used=65535)}), "a B-tree's node of 65535 children .* needs"),
    (crafted({TREE: tree(TREE, level=1)}), "a B-tree's node at byte 296 is reached twice"),
    (crafted({TREE: tree(NODE, level=1), NODE: tree(TREE, level=1)}), "no node of a group's B-tree, level 0, at byte 344"),
    (crafted({TREE: tree(NODE, level=255), NODE: tree(TREE, level=254)}), "a B-tree's node at byte 296 is reached twice"),
    (crafted({TREE: tree(NODE, level=1), NODE: node()}), "no node of a group's B-tree, level 0"),
    (crafted({ROOT: header(table(tree=DATA)), DATA: tree(NODE, NODE)}), "a symbol node at byte 344 is reached twice"),
    (crafted({TREE: tree(HEAP)}), "no symbol node at byte 136"),
    (crafted({TREE: tree(END - 4)}), "a symbol node at byte 1340 needs"),
    (crafted({NODE: node((8, OBJECT), count=65535)}), "a symbol node of 65535 entries .* needs"),
    (crafted({NODE: node((8, OBJECT), (8, OBJECT))}), "two members of the name 'x'"),
    (crafted({NODE: node((8, ROOT))}), "tensor 'x': an object header at byte 96 is reached twice"),
    (crafted({NODE: node((8, NAN), cache=2)}), "a soft link 'x'"),
    (crafted({NODE: node((8, NAN))}), "tensor 'x': an object header at byte 18446744073709551615"),
    # heaps and names
    (crafted({ROOT: header(table(heap=TREE))}), "no local heap at byte 296"),
    (crafted({HEAP: heap(version=1)}), "no local heap"),
    (crafted({HEAP: heap(size=2**64 - 1)}), "a local heap's names at byte 168 needs"),
    (crafted({HEAP: heap(at=NAN)}), "a local heap's names"),
    (crafted({NODE: node((128, OBJECT))}), "a name in a local heap at byte 296 needs 1 bytes"),
    (crafted({NODE: node((2**63, OBJECT))}), "a name in a local heap"),
    (crafted({HEAP: heap(b"x" * 128)}), "does not end within 120 bytes"),
    (crafted({NODE: node((0, OBJECT))}), "a link's name has 0 bytes"),
    (crafted({HEAP: heap(bytes(8) + b"\xff\xfe\0")}), "is no UTF-8"),
    (crafted({HEAP: heap(bytes(8) + b"\xed\xa0\x80\0")}), "is no UTF-8"),
    (crafted({HEAP: heap(bytes(8) + b"../x\0")}), "cannot be a link's name"),
    (crafted({HEAP: heap(bytes(8) + b".\0")}), "cannot be a link's name"),
    # newer links
    (crafted({ROOT: newer(link(b"", OBJECT))}), "a link's name has 0 bytes"),
    (crafted({ROOT: newer(link(b"a\0", OBJECT))}), "cannot be a link's name"),
    (crafted({ROOT: newer(link(b"a", OBJECT), link(b"a", OBJECT))}), "two members of the name 'a'"),
    (crafted({ROOT: newer(link(b"a", OBJECT, b"\x40"))}), "an external link 'a'"),
    (crafted({ROOT: newer(link(b"a", OBJECT, b"\x41"))}), "a link of type 65"),
    (crafted({ROOT: newer((6, b"\x01\x00\xffa"))}), "a link's name at byte .* needs 255 bytes"),
    (crafted({ROOT: newer((6, b"\x01\x03" + b"\xff" * 8))}), "a link's name at byte .* needs 18446744073709551615"),
    (crafted({ROOT: newer((6, b"\x01\x00\x01a1234"))}), "a link at byte .* needs 8 bytes"),
    (crafted({ROOT: newer((6, b"\x01"))}), "a link at byte .* needs 2 bytes"),
    (crafted({ROOT: newer((2, b"\x00\x00" + struct.pack("<QQ", 0, 0)))}), "dense storage"),
    (crafted({ROOT: newer((2, b"\x00\x01" + struct.pack("<QQQ", 0, 5, 0)))}), "dense storage"),
    (crafted({ROOT: newer((2, b"\x01\x00" + struct.pack("<QQ", 0, 0)))}), "link information of version 1"),
    # datasets
    (crafted({OBJECT: header(space(2, 3), (3, F4))}), "tensor 'x': is a committed datatype"),
    (crafted({OBJECT: header(space(2, 3), layout())}), "is an object that is no group"),
    (crafted({OBJECT: header(space(2, 3), space(2, 3), (3, F4), layout())}), "2 messages with a shape"),
    (crafted({OBJECT: header(space(2, 3, version=3), (3, F4), layout())}), "dataspace of version 3"),
    (crafted({OBJECT: header(space(2, 3, axes=3), (3, F4), layout())}), "a dataspace .* needs 24 bytes"),
    (crafted({OBJECT: header(space(2, 3, axes=255), (3, F4), layout())}), "has 255 axes"),
    (crafted({OBJECT: dataset(2**63, 2, size=0)}), "the shape .* is impossible"),
    (crafted({OBJECT: dataset(0, 2**62)}), "the shape .* is impossible"),
    (crafted({OBJECT: dataset(*[2**60] * 20, size=0)}), "the shape .* is impossible"),
    (crafted({OBJECT: dataset(2**40)}), "needs 4398046511104 bytes, more than the file's 1344"),
    (crafted({OBJECT: dataset(2**40, begin=NAN)}), "needs 4398046511104 bytes"),
    (crafted({OBJECT: dataset(2, 3, size=23)}), "need 24 bytes, not the 23 of its layout"),
    (crafted({OBJECT: dataset(2, 3, size=NAN)}), "need 24 bytes, not the"),
    (crafted({OBJECT: dataset(2, 3, begin=END - 23)}), "the values at byte 1321 needs 24 bytes"),
    (crafted({OBJECT: dataset(2, 3, begin=NAN - 1)}), "the values at byte 18446744073709551614 needs"),
    (crafted({OBJECT: header(space(2, 3), (3, F4[:12]), layout())}), "floating-point numbers that are"),
    (crafted({OBJECT: header(space(2, 3), (3, F4[:-4] + b"\x7e\0\0\0"), layout())}), "an unusual size or form"),
    (crafted({OBJECT: header(space(2, 3), (3, b"\x1e" + F4[1:]), layout())}), "of the unknown class 14"),
    (crafted({OBJECT: header(space(2, 3), (3, F4), layout(version=2))}), "a layout of version 2"),
    (crafted({OBJECT: header(space(2, 3), (3, F4), layout(kind=7))}), "a layout of class 7"),
    (crafted({OBJECT: header(space(2, 3), (3, F4), (8, struct.pack("<BBH4x", 3, 0, 24)))}), "the values .* needs 24 bytes"),
    (crafted({OBJECT: header(space(2, 3), (3, F4), layout(NAN), (5, b"\x09\0\0\0"))}), "fill value of version 9"),
    (crafted({OBJECT: header(space(2, 3), (3, F4), layout(NAN), (4, b"\xff\xff\xff\xff"))}), "fill value of 4294967295 bytes"),
    (crafted({OBJECT: newer(space(2), (3, F4), layout(NAN, 8), (5, b"\x03\x20\x08\0\0\0\0"))}), "a fill value .* needs 8 bytes"),
    (
        crafted({NODE: node((8, OBJECT), (9, DATA)), HEAP: heap(bytes(8) + b"xy\0"), OBJECT: dataset(2, 3, begin=END - 24)}),
        "no object",
    ),
    # depth and amount
    (crafted({ROOT: newer(link(b"g", 4096)), **GROUPS}), "has a member below 32 groups"),
    (crafted({0: superblock(end=4096 + 9 * 256, root=4096), **LONG_NAMES}), "a path of more than 1024 characters"),
]


@pytest.mark.parametrize(("content", "message"), HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_file_is_refused_with_its_name_and_the_reason(file, content, message):
    path = file(content)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=r"x\.h5: .*(" + message + ")"):
            open_hdf5(path)
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
    finally:
        tracemalloc.stop()


def test_the_crafted_file_without_a_lie_is_read(file):
    for parts in ({}, {ROOT: newer(link(b"x", OBJECT))}, {0: superblock(), ROOT: newer(link(b"x", OBJECT), flags=0x22 & 2)}):
        (x,) = open_hdf5(file(crafted(parts))).values()
        assert x.name == "x" and x.array().tolist() == [[0, 1, 2], [3, 4, 5]]


def test_overlapping_values_are_refused_and_two_names_of_a_dataset_are_not(file):
    names = heap(bytes(8) + b"x\0y\0")
    both = node((8, OBJECT), (10, OBJECT))
    assert [tensor.shape for tensor in open_hdf5(file(crafted({HEAP: names, NODE: both}))).values()] == [(2, 3)] * 2
    second = OBJECT + 128
    parts = {HEAP: names, NODE: node((8, OBJECT), (10, second)), second: dataset(2, begin=DATA + 23, size=8)}
    with pytest.raises(CheckpointError, match="tensor 'y': its values, at byte 1303, overlap those of another dataset"):
        open_hdf5(file(crafted(parts)))
    parts[second] = dataset(2, begin=DATA + 24, size=8)
    assert list(open_hdf5(file(crafted(parts)))) == ["x", "y"]


SPACE, MORE = 2**16, 2**20  # where there is nothing of the crafted file
NOTHING = struct.pack("<HHB3x", 0, 0, 0)


def amounts() -> dict[str, bytes]:
    """Files that ask for more work than is done: of messages, overlapping objects, links, blocks, nodes and names."""

    def root_at_space(content: bytes, others: dict[int, bytes]) -> bytes:
        parts = {SPACE: content, **others}
        end = max(at + len(block) for at, block in parts.items())
        return crafted({**parts, 0: superblock(end, SPACE)})

    def to(address: int, size: int) -> tuple[int, bytes]:
        return 0x10, struct.pack("<QQ", address, size)

    links = [link(b"%d" % i, MORE + 72 * i) for i in range(12_000)]
    objects = b"".join(header((2, struct.pack("<HQQ", 0, NAN, NAN)), to(2**21 + 8 * i, 8 * 50_000)) for i in range(3000))
    blocks = b"".join(struct.pack("<HHB3xQQ", 0x10, 16, 0, MORE + 24 * (i + 1), 24) for i in range(101_000))
    nodes = tree(*range(2**21, 2**21 + 8 * 60_000, 8))
    texts = b"".join(b"%0999d\0" % i for i in range(21))
    entries = b"".join(struct.pack("<QQI20x", i, OBJECT, 0) for i in range(20_000) if i % 1000 != 999)
    return {
        "messages": root_at_space(header(*[(0, b"")] * 8000, to(MORE, 8 * 120_000)), {MORE: NOTHING * 120_000}),
        "objects": root_at_space(newer(*links[:3000]), {MORE: objects, 2**21: NOTHING * 80_000}),
        "links": root_at_space(newer(*links), {}),
        "blocks": root_at_space(header(to(MORE, 24)), {MORE: blocks}),
        "nodes": root_at_space(header(table(tree=MORE)), {MORE: tree(MORE + 64, 3 * MORE, level=1), MORE + 64: nodes,
                                                         2**21: node() * 60_000, 3 * MORE: nodes}),
        "names": root_at_space(header(table(MORE, HEAP)), {MORE: tree(2**21), HEAP: heap(b"", len(texts), 2 * SPACE),
                                                          2 * SPACE: texts, 2**21: node(count=len(entries) // 40) + entries}),
    }  # fmt: skip


AMOUNTS = amounts()


@pytest.mark.parametrize("name", AMOUNTS)
def test_files_that_ask_for_much_work_are_refused_with_little(file, name):
    path = file(AMOUNTS[name])
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match="has far more links and messages than any model"):
            open_hdf5(path)
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()


# ---- damaged files


def load_or_refuse(path: Path, content: bytes) -> bool:
    """Whether a file is read; any error but CheckpointError fails the test."""
    path.write_bytes(content)
    try:
        tensors = open_hdf5(path)
    except CheckpointError:
        return False
    total = sum(tensor.fetch().nbytes for tensor in tensors.values())
    assert total <= len(content) * max(len(tensors), 1)
    for tensor in from_tf2(tensors).values() if len(tensors) < 100 else ():
        assert tensor.shape == tensor.view().shape
    return True


def test_truncated_files_are_refused(tmp_path):
    for name in READABLE:
        content = unpacked(LAYOUTS / f"{name}.h5")
        for length in [*range(300), *range(300, len(content), 61), len(content) - 1]:
            assert not load_or_refuse(tmp_path / "x.h5", content[:length]), length


@pytest.mark.parametrize("name", [*READABLE, "many", "refused-dense"])
def test_mutated_files_are_read_or_refused(tmp_path, name):
    content = unpacked(LAYOUTS / f"{name}.h5")
    generator = random.Random(name)
    used = [place for place, byte in enumerate(content) if byte]
    read = 0
    for _ in range(600 if name != "many" else 60):
        mutated = bytearray(content)
        for _ in range(generator.choice([1, 1, 1, 2, 5])):
            place = generator.choice(used) + generator.choice([0, 0, 1, 2])
            mutated[place % len(mutated)] = generator.choice([0, 1, 2, 16, 127, 128, 255, generator.randrange(256)])
        read += load_or_refuse(tmp_path / "x.h5", bytes(mutated))
    assert (read > 20) == (name != "refused-dense")
