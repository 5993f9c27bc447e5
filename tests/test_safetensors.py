"""safetensors files: round trips, agreement with the official library, and files that lie."""

import json
import os
import pickle
import random
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy as official
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors import SafetensorError

from convbert_np.checkpoints import CheckpointError, read_header, read_safetensors, write_safetensors
from convbert_np.checkpoints.safetensors import DTYPES, Header

TYPES = [np.dtype(code) for name, code in DTYPES.items() if name != "BF16"]


def data_of(tensors: dict[str, np.ndarray]) -> dict:
    """Tensors as comparable values, NaNs and signs of zeros included."""
    return {name: (array.dtype, array.shape, array.tobytes()) for name, array in tensors.items()}


def file_of(header: object, data: bytes = b"") -> bytes:
    """The bytes of a file with any header: bytes as they are, else as JSON."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(shape: object, begin: object, end: object, dtype: object = "F32") -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def sample() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    arrays = {f"a.{dtype}": generator.integers(0, 2, (2, 3)).astype(dtype) for dtype in TYPES}
    extra = {
        "b.0d": np.array(1.5, np.float32),
        "b.empty": np.zeros((0, 4), np.float32),
        '\u00e9\n"/\x7f': np.ones(1),
    }
    return arrays | extra


any_array = st.sampled_from(TYPES).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
)
any_text = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
any_tensors = st.dictionaries(any_text.filter(lambda name: name != "__metadata__"), any_array, max_size=5)


# ---- round trips


@given(tensors=any_tensors, metadata=st.none() | st.dictionaries(any_text, any_text, min_size=1, max_size=1))
def test_what_is_written_is_read_and_is_the_official_file(tmp_path_factory, tensors, metadata):
    # one piece of metadata: the official library writes several in no fixed order, and none ({}) as invalid JSON
    # where there are no tensors either (0.8.0)
    path = tmp_path_factory.getbasetemp() / "round-trip.safetensors"
    write_safetensors(path, tensors, metadata)
    assert data_of(read_safetensors(path)) == data_of(tensors)
    assert read_header(path).metadata == (metadata or {})
    assert path.read_bytes() == official.save(tensors, metadata)
    assert data_of(official.load_file(path)) == data_of(tensors)


def test_a_file_of_all_types_is_the_official_one(tmp_path):
    path = tmp_path / "x.safetensors"
    write_safetensors(str(path), sample())
    assert path.read_bytes() == official.save(sample())
    write_safetensors(path, sample(), {})
    assert path.read_bytes() == official.save(sample(), {})
    assert list(read_safetensors(path)) == list(read_header(path).tensors)


def test_the_layout_of_one_type_is_sorted_by_name_and_aligned(tmp_path):
    path = tmp_path / "x.safetensors"
    write_safetensors(path, {name: np.ones(3, np.float32) for name in ("b", "a.10", "a.9", "a")}, {"format": "pt"})
    header = read_header(path)
    assert isinstance(header, Header) and header.metadata == {"format": "pt"}
    assert [(name, *entry) for name, entry in header.tensors.items()] == [
        ("a", "F32", (3,), 0, 12),
        ("a.10", "F32", (3,), 12, 24),
        ("a.9", "F32", (3,), 24, 36),
        ("b", "F32", (3,), 36, 48),
    ]
    assert header.start % 8 == 0 and path.stat().st_size == header.start + 48


def test_any_memory_layout_and_byte_order_is_written_in_c_order(tmp_path):
    path = tmp_path / "x.safetensors"
    base = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    variants = {
        "t": base.T,
        "step": base[:, ::2, ::-1],
        "big": base.astype(">f4"),
        "wide": np.broadcast_to(base[0], (5, 3, 4)),
    }
    write_safetensors(path, variants)
    for name, array in read_safetensors(path).items():
        assert array.dtype == np.float32 and array.flags.c_contiguous
        np.testing.assert_array_equal(array, variants[name])


def test_bfloat16_becomes_float32_exactly(tmp_path):
    path = tmp_path / "x.safetensors"
    halves = np.arange(0, 2**16, 7, dtype=np.uint16)
    path.write_bytes(file_of({"x": entry([len(halves)], 0, halves.nbytes, "BF16")}, halves.tobytes()))
    x = read_safetensors(path)["x"]
    assert x.dtype == np.float32 and not x.flags.writeable
    np.testing.assert_array_equal(x.view(np.uint32), halves.astype(np.uint32) << 16)
    assert read_header(path).tensors["x"].dtype == "BF16"


def test_arrays_are_read_only_views_and_nothing_is_copied(tmp_path):
    path = tmp_path / "x.safetensors"
    write_safetensors(path, {"x": np.ones(2**22, np.float32), "y": np.ones(5, np.float32)})
    tracemalloc.start()
    try:
        tensors = read_safetensors(path)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
    assert not any(array.flags.writeable or array.flags.owndata for array in tensors.values())
    with pytest.raises(ValueError, match="read-only"):
        tensors["y"][0] = 2


def test_a_file_may_be_replaced_while_its_arrays_live(tmp_path):
    path = tmp_path / "x.safetensors"
    write_safetensors(path, {"x": np.ones(1000)})
    old = read_safetensors(path)
    write_safetensors(path, {"x": old["x"] * 2})
    assert old["x"].sum() == 1000 and read_safetensors(path)["x"].sum() == 2000


def test_unaligned_and_unpadded_files_are_read(tmp_path):
    path = tmp_path / "x.safetensors"
    header = json.dumps({"a": entry([1], 0, 1, "U8"), "x": entry([2], 1, 17, "F64")}).encode()
    for spaces in range(8):
        path.write_bytes(file_of(header + b" " * spaces, b"\x07" + struct.pack("<2d", 1.5, -2.5)))
        assert read_safetensors(path)["x"].tolist() == [1.5, -2.5]


def test_empty_files_of_no_tensors(tmp_path):
    path = tmp_path / "x.safetensors"
    write_safetensors(path, {})
    assert read_safetensors(path) == {} and path.read_bytes() == official.save({})


# ---- writing: whole or not at all, and only what the format can hold


@pytest.mark.parametrize(
    ("tensors", "metadata", "message"),
    [
        ({"x": [1.0]}, None, "tensor 'x' must be a NumPy array, not list"),
        ({"x": np.float32(1)}, None, "tensor 'x' must be a NumPy array, not float32"),
        ({"x": np.array([None])}, None, "'x' has the dtype object"),
        ({"x": np.ones(1, complex)}, None, "'x' has the dtype complex128"),
        ({"x": np.array(["a"])}, None, "'x' has the dtype <U1"),
        ({1: np.ones(1)}, None, "name must be a string other than __metadata__, not 1"),
        ({"__metadata__": np.ones(1)}, None, "other than __metadata__"),
        ({"\ud800": np.ones(1)}, None, "names and metadata must be Unicode text"),
        ({}, {"a": 1}, "metadata must map strings to strings"),
        ({}, {"a": "\ud800"}, "names and metadata must be Unicode text"),
    ],
)
def test_what_the_format_cannot_hold_is_refused_before_writing(tmp_path, tensors, metadata, message):
    with pytest.raises(TypeError, match=message):
        write_safetensors(tmp_path / "x.safetensors", tensors, metadata)
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "x.safetensors"
    write_safetensors(path, {"x": np.ones(1)})
    before = path.read_bytes()

    def fail(*_):
        raise OSError("no space")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        write_safetensors(path, {"x": np.zeros(9)})
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


# ---- hostile files

NESTED = b'{"x":' + b"[" * 50_000 + b"]" * 50_000 + b"}"
HOSTILE = [
    (b"", "0 bytes are too few"),
    (b"\x02\0\0\0\0\0\0", "7 bytes are too few"),
    (struct.pack("<Q", 3) + b"{}", "header's length 3 does not fit"),
    (struct.pack("<Q", 2**64 - 1) + b"{}", "header's length 18446744073709551615 does not fit"),
    (struct.pack("<Q", 2**63) + b"{}", "does not fit"),
    (file_of(b""), "does not begin with '{'"),
    (file_of(b" {}"), "does not begin with '{'"),
    (file_of(b"[]"), "does not begin with '{'"),
    (file_of(b"{"), "not valid JSON"),
    (file_of(b"{}x"), "not valid JSON"),
    (file_of(b"{}\0"), "not valid JSON"),
    (file_of(b'{"\xff":1}'), "not valid JSON"),
    (file_of('{"x":1}'.encode("utf-16")), "does not begin"),
    (file_of(b'{"x":NaN}'), "NaN is no JSON"),
    (file_of(b'{"x":' + b"1" * 5000 + b"}"), "not valid JSON"),
    (file_of(NESTED), "nested too deeply"),
    (file_of(b'{"a":1,"a":2}'), "the key 'a' occurs twice"),
    (file_of(b'{"__metadata__":{},"__metadata__":{}}'), "occurs twice"),
    (
        file_of(b'{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}', b"1234"),
        "occurs twice",
    ),
    (file_of(b'{"\\ud800":1}'), "not valid JSON"),
    (file_of({"__metadata__": {"a": 1}}), "__metadata__ is not a dict"),
    (file_of({"__metadata__": ["a"]}), "__metadata__ is not a dict"),
    (file_of({"x": 1}), "tensor 'x': its entry is not a dict"),
    (file_of({"x": None}), "its entry is not a dict"),
    (file_of({"x": {}}), "dtype None is unknown"),
    (file_of({"x": entry([1], 0, 4, "F33")}, b"1234"), "tensor 'x': the dtype 'F33' is unknown"),
    (file_of({"x": entry([1], 0, 4, ["F32"])}, b"1234"), "the dtype .* is unknown"),
    (file_of({"x": entry([1], 0, 1, "F8_E4M3")}, b"1"), "dtype 'F8_E4M3' is unknown"),
    (file_of({"x": entry(1, 0, 4)}, b"1234"), "tensor 'x': 1 is no shape"),
    (file_of({"x": entry([-1], 0, 4)}, b"1234"), "no shape"),
    (file_of({"x": entry([-1, -1], 0, 4)}, b"1234"), "no shape"),
    (file_of({"x": entry([1.0], 0, 4)}, b"1234"), "no shape"),
    (file_of({"x": entry([True], 0, 4)}, b"1234"), "no shape"),
    (file_of({"x": entry(["1"], 0, 4)}, b"1234"), "no shape"),
    (file_of({"x": entry([2**64], 0, 4)}, b"1234"), "no shape"),
    (file_of({"x": entry([1] * 65, 0, 4)}, b"1234"), "no shape of at most 64 axes"),
    (file_of({"x": entry([2**62, 2], 0, 4)}, b"1234"), "needs 36893488147419103232 bytes"),
    (file_of({"x": entry([2**62, 4], 0, 0)}), "needs"),
    (file_of({"x": entry([0, 2**62, 2**62], 0, 0)}), "tensor 'x': the shape .* is impossible"),
    (file_of({"x": entry([1], -4, 0)}, b"1234"), "are not"),
    (file_of({"x": entry([1], 4, 0)}, b"1234"), "are not"),
    (file_of({"x": entry([1], 0, 4.0)}, b"1234"), "are not"),
    (file_of({"x": entry([1], 0, None)}, b"1234"), "are not"),
    (file_of({"x": {"dtype": "F32", "shape": [1]}}, b"1234"), "data_offsets None are not"),
    (file_of({"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4, 4]}}, b"1234"), "are not"),
    (file_of({"x": entry([1], 0, 8)}, b"12345678"), "needs 4 bytes, not data_offsets"),
    (file_of({"x": entry([2], 0, 4)}, b"1234"), "needs 8 bytes, not data_offsets"),
    (file_of({"x": entry([1], 0, 4)}, b"123"), "exceed the 3 bytes"),
    (file_of({"x": entry([2**40], 0, 2**42)}, b"1234"), "exceed the 4 bytes"),
    (file_of({"x": entry([1], 4, 8)}, b"12345678"), "leave a gap after byte 0"),
    (file_of({"x": entry([1], 0, 4), "y": entry([1], 8, 12)}, b"1" * 12), "'y'.* leave a gap after byte 4"),
    (file_of({"x": entry([2], 0, 8), "y": entry([1], 4, 8)}, b"1" * 8), "'y'.* overlap"),
    (file_of({"x": entry([1], 0, 4), "y": entry([1], 0, 4)}, b"1" * 4), "'y'.* overlap"),
    (file_of({"x": entry([1], 0, 4)}, b"12345"), "1 bytes at the end belong to no tensor"),
    (file_of({}, b"1"), "1 bytes at the end"),
    (file_of({"x": entry([0], 3, 3), "y": entry([1], 0, 4)}, b"1234"), "'x'.* overlap"),
    (file_of({"x": entry([2], 0, 2, "BOOL")}, b"\1\2"), "tensor 'x': a boolean is neither 0 nor 1"),
]


@pytest.mark.parametrize(("content", "message"), HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_file_is_refused_with_its_name_and_the_reason(tmp_path, content, message):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=r"bad\.safetensors: .*" + message):
            read_safetensors(path)
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
    finally:
        tracemalloc.stop()


def test_the_official_library_refuses_the_same_files_but_two():
    accepted = []
    for content, message in HOSTILE:
        try:
            official.load(content)
            accepted.append(message)
        except (SafetensorError, ValueError, TypeError, KeyError, OverflowError):
            pass
    assert accepted == ["does not begin with '{'", "tensor 'x': a boolean is neither 0 nor 1"]


def test_an_absent_file_and_a_folder_are_errors_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_safetensors(tmp_path / "absent.safetensors")
    with pytest.raises(OSError):
        read_header(tmp_path)


def test_the_error_keeps_its_parts_and_can_be_pickled():
    error = pickle.loads(pickle.dumps(CheckpointError(Path("a/b"), "is bad", "x")))
    assert (error.path, error.reason, error.tensor) == (os.path.join("a", "b"), "is bad", "x")
    assert isinstance(error, ValueError) and str(error).endswith("b: tensor 'x': is bad")


def load_or_refuse(path: Path, content: bytes) -> dict[str, np.ndarray] | None:
    """The tensors of a file, None if it is refused; any other error fails the test."""
    path.write_bytes(content)
    try:
        return {name: array.copy() for name, array in read_safetensors(path).items()}
    except CheckpointError:
        return None


def test_truncated_files_are_refused(tmp_path):
    content = official.save(sample(), {"k": "v"})
    for length in range(len(content)):
        assert load_or_refuse(tmp_path / "x.safetensors", content[:length]) is None, length


def test_mutated_files_are_read_as_the_official_library_does_or_refused(tmp_path):
    content = official.save(sample(), {"k": "v"})
    start = 8 + struct.unpack("<Q", content[:8])[0]
    generator = random.Random(0)
    read = 0
    for _ in range(3000):
        mutated = bytearray(content)
        for _ in range(generator.choice([1, 1, 1, 2, 5])):
            place = generator.randrange(start) if generator.random() < 0.9 else generator.randrange(len(content))
            digits = b'0123456789{}[]",:FIU-' if generator.random() < 0.7 else range(256)
            mutated[place] = generator.choice(digits)
        tensors = load_or_refuse(tmp_path / "x.safetensors", bytes(mutated))
        if tensors is not None:
            read += 1
            assert data_of(tensors) == data_of(official.load(bytes(mutated)))
    assert 100 < read < 2900
