""".npz files: what NumPy writes is read and the other way round; files that lie are refused."""

import io
import os
import pickle
import random
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from convbert_np.checkpoints import CheckpointError
from convbert_np.checkpoints.npz import ALIGNMENT, KINDS, LARGEST_RATIO, LONGEST_HEADER, open_npz, write_npz


def sample() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    arrays = {f"a.{kind}": generator.integers(0, 2, (2, 3)).astype(kind) for kind in KINDS}
    arrays |= {f"big.{kind}": generator.integers(0, 99, (4, 3)).astype(f">{kind}") for kind in KINDS if kind[1] != "1"}
    fortran = np.asfortranarray(generator.standard_normal((3, 4, 2)))
    return arrays | {
        "fortran": fortran,
        "fortran/big": fortran.astype(">f4", order="F"),
        "0d": np.array(1.5, np.float32),
        "empty": np.zeros((0, 4)),
        "\u00e9 x.npy": generator.standard_normal(1000),
        "nan": np.array([np.nan, -0.0, np.inf]),
    }


def check(tensors: dict, want: dict[str, np.ndarray]) -> None:
    """The arrays are those, in this machine's byte order, read-only as views and free and in C order as copies."""
    assert list(tensors) == list(want)
    for name, value in want.items():
        tensor = tensors[name]
        assert (tensor.name, tensor.shape, tensor.dtype) == (name, value.shape, value.dtype.name)
        for array in (tensor.view(), tensor.fetch(), tensor.array(), tensor.copy()):
            assert array.dtype == value.dtype.newbyteorder("=") and array.shape == value.shape, name
            assert array.tobytes() == value.astype(array.dtype).tobytes(), name
        assert not tensor.view().flags.writeable
        assert tensor.fetch().flags.c_contiguous and tensor.fetch().flags.writeable and tensor.fetch().flags.aligned


any_array = st.sampled_from([f"{order}{kind}" for kind in KINDS for order in "<>"]).flatmap(
    lambda dtype: hnp.arrays(np.dtype(dtype), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
)
any_name = st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters="/\\"), min_size=1, max_size=8)


# ---- what NumPy writes, and what NumPy reads


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_writes_is_read(tmp_path, save):
    save(tmp_path / "x.npz", **sample())
    check(open_npz(tmp_path / "x.npz"), sample())


@given(tensors=st.dictionaries(any_name.filter(lambda name: name not in ("file", "..")), any_array, max_size=4))
def test_round_trips_through_both(tmp_path_factory, tensors):
    path = tmp_path_factory.getbasetemp() / "round-trip.npz"
    write_npz(path, tensors)
    check(open_npz(path), tensors)
    with np.load(path) as loaded:
        assert set(loaded) == set(tensors)
        for name, value in tensors.items():
            assert loaded[name].dtype == value.dtype.newbyteorder("<") and loaded[name].shape == value.shape
            assert loaded[name].tobytes() == value.astype(loaded[name].dtype).tobytes()
    np.savez_compressed(path, **tensors)
    check(open_npz(path), tensors)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_of_the_header(tmp_path, version):
    value = np.arange(6, dtype=np.float32).reshape(2, 3)
    content = io.BytesIO()
    np.lib.format.write_array(content, value, version)
    write_zip(tmp_path / "x.npz", {"x.npy": content.getvalue()})
    check(open_npz(tmp_path / "x.npz"), {"x": value})


@pytest.mark.parametrize("spaces", range(8))
def test_unaligned_members_are_read(tmp_path, spaces):
    text = "{'descr': '<f8', 'fortran_order': False, 'shape': (2,)}" + " " * spaces
    write_zip(tmp_path / "x.npz", {"x.npy": npy(text, np.array([1.5, -2.5]).tobytes())})
    check(open_npz(tmp_path / "x.npz"), {"x": np.array([1.5, -2.5])})


def test_written_files_are_aligned_deterministic_and_stored(tmp_path):
    write_npz(tmp_path / "x.npz", sample())
    write_npz(str(tmp_path / "y.npz"), sample())
    assert (tmp_path / "x.npz").read_bytes() == (tmp_path / "y.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "x.npz") as archive:
        assert archive.testzip() is None and {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
    whole = np.frombuffer((tmp_path / "x.npz").read_bytes(), np.uint8)
    for tensor in open_npz(tmp_path / "x.npz").values():
        view = tensor.view()
        assert view.ctypes.data % ALIGNMENT == 0 or view.size == 0
    assert whole.size < 30_000
    write_npz(tmp_path / "none.npz", {})
    assert open_npz(tmp_path / "none.npz") == {}
    with np.load(tmp_path / "none.npz") as loaded:
        assert list(loaded) == []


def test_opening_reads_no_numbers_and_views_copy_nothing(tmp_path):
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "x.npz", x=np.random.default_rng(0).standard_normal(2**19))
        tracemalloc.start()
        try:
            tensor = open_npz(tmp_path / "x.npz")["x"]
            assert tracemalloc.get_traced_memory()[1] < 400_000
        finally:
            tracemalloc.stop()
        shared = np.shares_memory(tensor.view(), tensor.view())
        assert shared == (save is np.savez)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_damage_is_found_when_a_member_is_fetched(tmp_path, save):
    path = tmp_path / "x.npz"
    save(path, x=np.random.default_rng(0).standard_normal(100))
    content = bytearray(path.read_bytes())
    content[500] ^= 1
    path.write_bytes(content)
    tensor = open_npz(path)["x"]
    with pytest.raises(CheckpointError, match=r"CRC-32|inflate"):
        tensor.fetch()
    if save is np.savez:
        tensor.view()


# ---- writing: whole or not at all, and only what can be read


@pytest.mark.parametrize(
    ("tensors", "kind", "message"),
    [
        ({"x": [1.0]}, TypeError, "tensor 'x' must be a NumPy array, not list"),
        ({"x": np.float32(1)}, TypeError, "not float32"),
        ({"x": np.array([None])}, TypeError, "tensor 'x' has the dtype object, which is none of real numbers or booleans"),
        ({"x": np.ones(1, complex)}, TypeError, "dtype complex128"),
        ({"x": np.array(["a"])}, TypeError, "dtype <U1"),
        ({"x": np.zeros(1, "f4,f4")}, TypeError, "which is none of real numbers"),
        ({"x": np.zeros(1, "M8[s]")}, TypeError, "which is none of real numbers"),
        ({1: np.ones(1)}, TypeError, "tensors: a name must be a string, not 1"),
        ({"\ud800": np.ones(1)}, ValueError, "must be printable"),
        ({"a\n": np.ones(1)}, ValueError, "must be printable"),
        ({"a\0": np.ones(1)}, ValueError, "must be printable"),
        ({"../a": np.ones(1)}, ValueError, "no path upwards"),
        ({"/a": np.ones(1)}, ValueError, "no path upwards"),
        ({"a\\b": np.ones(1)}, ValueError, "no path upwards"),
        ({"a" * 1001: np.ones(1)}, ValueError, "at most 1000 characters"),
    ],
)
def test_what_cannot_be_read_is_refused_before_writing(tmp_path, tensors, kind, message):
    with pytest.raises(kind, match=message):
        write_npz(tmp_path / "x.npz", tensors)
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "x.npz"
    write_npz(path, {"x": np.ones(1)})
    before = path.read_bytes()

    def fail(*_):
        raise OSError("no space")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        write_npz(path, {"x": np.zeros(9)})
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


# ---- files that lie


def npy(text: str | bytes, data: bytes = b"", version: bytes = b"\1\0", length: int | None = None) -> bytes:
    """A .npy file with any header."""
    text = text if isinstance(text, bytes) else text.encode()
    return b"\x93NUMPY" + version + (len(text) if length is None else length).to_bytes(2, "little") + text + data


def header(descr: object = "<f4", shape: object = "(2,)", fortran: object = False) -> str:
    return f"{{'descr': {descr!r}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n"


def write_zip(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return path


OBJECTS = io.BytesIO()
np.save(OBJECTS, np.array([None, {}]), allow_pickle=True)
STRUCTURED = io.BytesIO()
np.save(STRUCTURED, np.zeros(2, "f4,i4"))
FOUR = bytes(8)
HOSTILE = [
    ({"x.npy": b""}, "tensor 'x': is no .npy file of a known version"),
    ({"x.npy": b"\x93NUMPY"}, "no .npy file of a known version"),
    ({"x.npy": b"\x93NUMPY\1\0"}, "tensor 'x': its header of 0 bytes is longer than its file"),
    ({"x.npy": npy(header(), FOUR, b"\4\0")}, "no .npy file of a known version"),
    ({"x.npy": npy(header(), FOUR, b"\1\1")}, "no .npy file of a known version"),
    ({"x.npy": b"PNUMPY\1\0" + npy(header(), FOUR)[8:]}, "no .npy file of a known version"),
    ({"x.npy": npy(header(), FOUR, length=65535)}, "its header of 65535 bytes is longer than its file, or than any"),
    ({"x.npy": npy(header() + " " * LONGEST_HEADER, FOUR)}, "is longer than its file, or than any"),
    ({"x.npy": b"\x93NUMPY\2\0\xff\xff\xff\xff"}, "its header of 4294967295 bytes"),
    ({"x.npy": npy("", FOUR)}, "its header b'' is not that of an array of numbers"),
    ({"x.npy": npy("__import__('os').system('true')", FOUR)}, "is not that of an array of numbers"),
    ({"x.npy": npy(header(shape="(__import__('os').system('true'),)"), FOUR)}, "is not that of an array of numbers"),
    ({"x.npy": npy(header() + "x", FOUR)}, "is not that of an array of numbers"),
    ({"x.npy": npy("[" * 5000 + "]" * 4000, FOUR)}, "is not that of an array of numbers"),
    ({"x.npy": npy(header() + header(), FOUR)}, "is not that of an array of numbers"),
    ({"x.npy": npy("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", FOUR)}, "is not that of an array"),
    ({"x.npy": npy("{'descr': '<f4', 'shape': (2,)}", FOUR)}, "is not that of an array of numbers"),
    ({"x.npy": npy(header(fortran=2), FOUR)}, "is not that of an array of numbers"),
    ({"x.npy": npy(header(shape="[2]"), FOUR)}, "is not that of an array of numbers"),
    ({"x.npy": npy(header(shape="(-2,)"), FOUR)}, "is not that of an array of numbers"),
    ({"x.npy": npy(header(shape="(2.0,)"), FOUR)}, "is not that of an array of numbers"),
    ({"x.npy": npy(header(shape="(2)"), FOUR)}, r"tensor 'x': \(2\) is no shape of at most 64 axes"),
    ({"x.npy": npy(header(shape="(,)"), FOUR)}, r"\(,\) is no shape"),
    ({"x.npy": npy(header(shape="(2,,)"), FOUR)}, r"\(2,,\) is no shape"),
    ({"x.npy": npy(header(shape="(1 2,)"), FOUR)}, r"\(1 2,\) is no shape"),
    ({"x.npy": npy(header(shape="(02,)"), FOUR)}, r"\(02,\) is no shape"),
    ({"x.npy": npy(header(shape="(" + "9" * 5000 + ",)"), FOUR)}, "is no shape"),
    ({"x.npy": npy(header(shape="(" + "1," * 65 + ")"), FOUR)}, "is no shape of at most 64 axes"),
    ({"x.npy": npy(header(shape=f"({2**62},)"), FOUR)}, "float32 .* needs 18446744073709551616 bytes, not 8"),
    ({"x.npy": npy(header(shape=f"({2**62}, 4)"), b"")}, "needs .* bytes, not 0"),
    ({"x.npy": npy(header(shape="(3,)"), FOUR)}, r"tensor 'x': float32 \(3,\) needs 12 bytes, not 8"),
    ({"x.npy": npy(header(shape="(1,)"), FOUR)}, r"float32 \(1,\) needs 4 bytes, not 8"),
    ({"x.npy": OBJECTS.getvalue()}, r"tensor 'x': is of the type '\|O': objects \(a pickle, which is not read\)"),
    ({"x.npy": npy(header("O", "(1,)"), pickle.dumps(print))}, "is of the type 'O'"),
    ({"x.npy": STRUCTURED.getvalue()}, "is not that of an array of numbers"),
    ({"x.npy": npy(header("<c8", "(1,)"), FOUR)}, "is of the type '<c8': complex numbers"),
    ({"x.npy": npy(header("<U2", "(1,)"), FOUR)}, "is of the type '<U2': texts"),
    ({"x.npy": npy(header("|S8", "(1,)"), FOUR)}, r"is of the type '\|S8': texts"),
    ({"x.npy": npy(header("|V2", "(4,)"), FOUR)}, r"is of the type '\|V2': no numbers"),
    ({"x.npy": npy(header("<M8[s]", "(1,)"), FOUR)}, "no numbers"),
    ({"x.npy": npy(header("<f16", "(1,)"), bytes(16))}, "is of the type '<f16': no numbers"),
    ({"x.npy": npy(header("|f4"), FOUR)}, r"is of the type '\|f4': no numbers"),
    ({"x.npy": npy(header("f4"), FOUR)}, "is of the type 'f4': no numbers"),
    ({"x.npy": npy(header(""), FOUR)}, "is of the type '': no numbers"),
    ({"x.npy": npy(header("<f4 " + "x" * 5000), FOUR)}, "no numbers"),
    ({"x": npy(header(), FOUR)}, "the member 'x' is no array with a printable name"),
    ({"config.json": b"{}"}, "the member 'config.json' is no array"),
    ({"a\n.npy": npy(header(), FOUR)}, r"the member 'a\\n.npy' is no array with a printable name"),
    ({"../x.npy": npy(header(), FOUR)}, "is no name for a file"),
]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize(("members", "message"), HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_member_is_refused_with_its_name_and_the_reason(tmp_path, members, message, method):
    path = write_zip(tmp_path / "bad.npz", members, method)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=r"bad\.npz: (?s:.)*(" + message + ")"):
            open_npz(path)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_impossible_sizes_of_an_empty_array_and_a_bad_boolean_are_refused_when_read(tmp_path):
    members = {
        "e.npy": npy(header(shape=f"(0, {2**62}, {2**62})")),
        "f.npy": npy(header(shape=f"(0, {2**62}, {2**62})", fortran=True)),
        "b.npy": npy(header("|b1", "(1,)"), b"\2"),
    }
    tensors = open_npz(write_zip(tmp_path / "x.npz", members))
    for name, message in (("e", "is impossible"), ("f", "is impossible"), ("b", "a boolean is neither 0 nor 1")):
        for read in (tensors[name].view, tensors[name].fetch):
            with pytest.raises(CheckpointError, match=f"tensor '{name}': .*{message}"):
                read()


def test_a_bomb_is_refused_before_it_is_inflated(tmp_path):
    number = 3_000_000
    content = npy(header(shape=f"({number},)"), bytes(4 * number))
    path = write_zip(tmp_path / "x.npz", {"x.npy": content}, zipfile.ZIP_DEFLATED)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=rf"would need {len(content)} bytes; 1048576 are allowed for its size"):
            open_npz(path)
        assert tracemalloc.get_traced_memory()[1] < 300_000
    finally:
        tracemalloc.stop()
    parts = {f"{i}.npy": npy(header("|u1", "(40000,)"), bytes(40000)) for i in range(30)}
    with pytest.raises(CheckpointError, match="its compressed members would need 12"):
        open_npz(write_zip(path, parts, zipfile.ZIP_DEFLATED))


def test_an_honest_compressed_archive_is_below_the_ratio(tmp_path):
    zeros = np.zeros(200_000, np.uint8)
    random_bytes = np.random.default_rng(0).integers(0, 256, 400_000).astype(np.uint8)
    np.savez_compressed(tmp_path / "x.npz", a=np.concatenate([random_bytes, *[zeros] * 12]))
    assert len(open_npz(tmp_path / "x.npz")["a"].copy()) == 2_800_000 < LARGEST_RATIO * (tmp_path / "x.npz").stat().st_size
    np.savez_compressed(tmp_path / "x.npz", a=np.concatenate([random_bytes, *[zeros] * 15]))
    with pytest.raises(CheckpointError, match="would need"):
        open_npz(tmp_path / "x.npz")


@pytest.mark.parametrize("more", [4, -4])
def test_a_member_that_inflates_to_more_or_less_than_it_declares_is_refused(tmp_path, more):
    data = np.random.default_rng(0).integers(0, 9, 2000 + more).astype(np.uint8).tobytes()
    content = npy(header(shape="(500,)"), data)
    whole = write_zip(tmp_path / "x.npz", {"x.npy": content}, zipfile.ZIP_DEFLATED).read_bytes()
    size, declared = (struct.pack("<I", length) for length in (len(content), len(content) - more))
    assert whole.count(size) == 2  # in the local header and in the directory
    (tmp_path / "x.npz").write_bytes(whole.replace(size, declared))
    tensor = open_npz(tmp_path / "x.npz")["x"]
    for read in (tensor.view, tensor.fetch):
        with pytest.raises(CheckpointError, match=r"does not inflate to exactly \d+ bytes"):
            read()


def test_other_files_are_refused(tmp_path):
    for content in (b"", b"x", b"\x93NUMPY\1\0", b"PK\3\4" + bytes(40)):
        (tmp_path / "x.npz").write_bytes(content)
        with pytest.raises(CheckpointError, match="zip archive"):
            open_npz(tmp_path / "x.npz")
    with pytest.raises(FileNotFoundError):
        open_npz(tmp_path / "absent.npz")


def read_or_refuse(path: Path, content: bytes) -> bool:
    """Whether a file is read, all of it; any error but ours fails the test."""
    path.write_bytes(content)
    try:
        for tensor in open_npz(path).values():
            tensor.array()
            tensor.copy()
    except CheckpointError:
        return False
    return True


def mutants(content: bytes, number: int, seed: int):
    generator = random.Random(seed)
    for _ in range(number):
        changed = bytearray(content)
        for _ in range(generator.choice([1, 1, 2, 5])):
            place = generator.randrange(len(content))
            changed[place] = generator.choice(
                [0, 1, 0xFF, generator.randrange(256), changed[place] ^ 1 << generator.randrange(8)]
            )
        yield bytes(changed if generator.random() < 0.9 else changed[: generator.randrange(len(content))])


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed, lambda path, **tensors: write_npz(path, tensors)])
def test_mutated_files_are_read_or_refused(tmp_path, save):
    save(tmp_path / "x.npz", **{name: sample()[name] for name in ("a.b1", "big.f4", "fortran", "0d", "empty")})
    content = (tmp_path / "x.npz").read_bytes()
    read = sum(read_or_refuse(tmp_path / "x.npz", changed) for changed in mutants(content, 600, seed=2))
    assert 0 < read < 400
