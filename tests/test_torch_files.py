"""PyTorch's files: what torch wrote is read exactly, what we write is laid out as torch does it, and files that lie are refused.

The fixtures were written by torch 2.13 (tests/tools/make_checkpoint_fixtures_torch.py).
"""

import os
import random
import struct
import tarfile
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch_parts import FILES, FIXTURES, assert_same, expected_of

from convbert_np.checkpoints import CheckpointError
from convbert_np.checkpoints.archive import open_archive
from convbert_np.checkpoints.stored import Source
from convbert_np.checkpoints.torch_file import open_torch
from convbert_np.checkpoints.torch_writer import CLASSES, c_strides, write_torch

# ---- reading what torch wrote


@pytest.mark.parametrize("file", FILES)
def test_a_file_of_torch_is_read_exactly(file):
    assert_same(open_torch(FIXTURES / file), expected_of(FILES[file]))


@pytest.mark.parametrize("form", [".bin", ".legacy.bin"])
def test_views_are_views_of_the_mapped_file(form):
    tensors = open_torch(str(FIXTURES / f"views{form}"))
    views = {name: tensor.view() for name, tensor in tensors.items()}
    assert np.shares_memory(views["x"], views["tied"]) and np.shares_memory(views["x"], views["transposed"])
    assert views["transposed"].strides == (4, 20) and views["repeated"].strides == (0,)
    assert not np.shares_memory(views["x"], views["y"])


def test_the_types_are_all_that_are_known():
    assert {tensor.dtype for tensor in open_torch(FIXTURES / "types.bin").values()} == {*CLASSES, "bfloat16"}


def test_a_state_dict_is_found_in_its_wrapper():
    assert "0.weight" in open_torch(FIXTURES / "wrapped.bin") and "step" not in open_torch(FIXTURES / "model_state_dict.bin")


def test_opening_reads_no_tensor(tmp_path):
    path = tmp_path / "x.bin"
    write_torch(path, {"x": np.ones(2**20, np.float32), "y": np.ones((3, 2**19), np.float32).T})
    tracemalloc.start()
    try:
        tensors = open_torch(path)
        assert {name: x.view()[-1].sum() for name, x in tensors.items()} == {"x": 1, "y": 3}
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_the_old_tar_form_and_torchscript_are_named_with_the_way_out(tmp_path):
    path = tmp_path / "x.bin"
    with tarfile.open(path, "w") as tar:
        tar.addfile(tarfile.TarInfo("storages"))
    with pytest.raises(CheckpointError, match=r"tar form of PyTorch before 0\.2.* write it again"):
        open_torch(path)
    with pytest.raises(CheckpointError, match=r"TorchScript archive.* torch\.jit\.load"):
        open_torch(FIXTURES / "script.pt")


@pytest.mark.parametrize("content", [b"", b"x", b"\x89HDF\r\n\x1a\n" + bytes(600), b"{}" + bytes(300)])
def test_another_file_is_named_by_how_it_begins(tmp_path, content):
    (tmp_path / "x.bin").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"x\.bin: begins with b.*: this is no file of PyTorch"):
        open_torch(tmp_path / "x.bin")


def test_an_absent_file_and_a_folder_are_errors_of_the_system(tmp_path):
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(OSError):
            open_torch(path)


# ---- damage to the data


def test_fetch_checks_the_crc_of_whole_and_part_and_view_does_not(tmp_path):
    content = bytearray((FIXTURES / "views.bin").read_bytes())
    with zipfile.ZipFile(FIXTURES / "views.bin") as archive:
        raw = archive.read("views/data/0")
    content[content.index(raw) + 3] ^= 1
    (tmp_path / "x.bin").write_bytes(content)
    tensors = open_torch(tmp_path / "x.bin")
    for name in ("x", "rows", "columns", "none"):
        tensors[name].view()
        with pytest.raises(CheckpointError, match=r"member 'views/data/0': its content has the CRC-32 \w+, not \w+"):
            tensors[name].fetch()
    tensors["y"].fetch()


def test_without_a_crc_nothing_is_checked(tmp_path):
    content = bytearray((FIXTURES / "without_crc.bin").read_bytes())
    value = expected_of("state_dict")["1.weight"][1]
    content[content.index(value.tobytes())] ^= 1
    (tmp_path / "x.bin").write_bytes(content)
    assert open_torch(tmp_path / "x.bin")["1.weight"].copy()[0] != value[0]


@pytest.mark.parametrize("form", [".bin", ".legacy.bin"])
def test_a_boolean_other_than_0_and_1_is_refused_when_it_is_read(tmp_path, form):
    content = (FIXTURES / f"views{form}").read_bytes()
    y = expected_of("views")["y"][1]
    stored = y.transpose(1, 2, 0).tobytes()
    assert content.count(stored) == 1
    bad = content.replace(stored, b"\2" + stored[1:]).replace(
        *(struct.pack("<I", zlib.crc32(x)) for x in (stored, b"\2" + stored[1:]))
    )
    (tmp_path / "x.bin").write_bytes(bad)
    tensor = open_torch(tmp_path / "x.bin")["y"]
    for read in (tensor.view, tensor.fetch):
        with pytest.raises(CheckpointError, match="tensor 'y': a boolean is neither 0 nor 1"):
            read()


def test_a_file_that_became_shorter_is_refused_by_fetch(tmp_path):
    path = tmp_path / "x.bin"
    write_torch(path, {"x": np.ones(10**5, np.float32), "y": np.ones((3, 10**5), np.float32).T[1:]})
    tensors = open_torch(path)
    os.truncate(path, 5000)
    for name in tensors:
        with pytest.raises(CheckpointError, match="ends before byte"):
            tensors[name].fetch()


# ---- writing

KINDS = sorted(CLASSES)
any_array = st.sampled_from(KINDS).flatmap(
    lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
)
any_tensors = st.dictionaries(st.text(st.characters(exclude_categories=("Cs",)), max_size=8), any_array, max_size=5)


@given(tensors=any_tensors)
def test_what_is_written_is_read(tmp_path_factory, tensors):
    path = tmp_path_factory.getbasetemp() / "round-trip.bin"
    write_torch(path, tensors)
    assert_same(open_torch(path), {name: (x.dtype.name, x) for name, x in tensors.items()})


def test_any_memory_layout_and_byte_order_is_written_in_c_order(tmp_path):
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    variants = {"t": x.T, "step": x[:, ::2, ::-1], "big": x.astype(">f4"), "wide": np.broadcast_to(x[0], (5, 3, 4))}
    write_torch(tmp_path / "x.bin", variants)
    assert_same(
        open_torch(tmp_path / "x.bin"), {name: ("float32", np.array(y, np.float32, order="C")) for name, y in variants.items()}
    )


def test_the_same_memory_is_stored_once(tmp_path):
    x, y = np.ones((30, 40), np.float32), np.ones((30, 40), np.float32)
    tied = {"x": x, "x again": x, "x flat": x.reshape(-1), "t": x.T, "t again": x.T}
    write_torch(tmp_path / "x.bin", {**tied, "y": y, "bits": x.view(np.int32), "part": x[:20]})
    assert_same(
        open_torch(tmp_path / "x.bin"),
        {k: (v.dtype.name, v.copy()) for k, v in (tied | {"y": y, "bits": x.view(np.int32), "part": x[:20]}).items()},
    )
    with zipfile.ZipFile(tmp_path / "x.bin") as archive:
        sizes = [info.file_size for info in archive.infolist() if "/data/" in info.filename]
    assert sizes == [4800, 4800, 4800, 4800, 3200]


def test_strides_of_an_empty_tensor_are_those_of_torch():
    assert (c_strides((2, 0, 3)), c_strides((0, 3)), c_strides(()), c_strides((4, 5, 6))) == ([3, 3, 1], [3, 1], [], [30, 6, 1])


def test_the_file_is_a_sound_archive_with_aligned_members_and_the_same_bytes_each_time(tmp_path):
    tensors = {"a": np.ones((3, 5), np.float16), "b": np.arange(7), "\u00e9": np.array(True)}
    for name in ("x.bin", "other name.bin"):
        write_torch(tmp_path / name, tensors)
    assert (tmp_path / "x.bin").read_bytes() == (tmp_path / "other name.bin").read_bytes()
    with zipfile.ZipFile(tmp_path / "x.bin") as archive:
        names = [f"archive/{name}" for name in ("data.pkl", ".format_version", ".storage_alignment", "byteorder")]
        assert archive.testzip() is None
        assert archive.namelist() == [*names, "archive/data/0", "archive/data/1", "archive/data/2", "archive/version"]
        assert archive.read("archive/byteorder") == b"little" and archive.read("archive/version") == b"3\n"
    members = open_archive(Source(tmp_path / "x.bin"))
    assert [member.begin % 64 for member in members.values()] == [0] * 8


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"x": [1.0]}, "tensor 'x' must be a NumPy array, not list"),
        ({"x": np.array([None])}, "tensor 'x' has the dtype object; allowed are bool, float16"),
        ({"x": np.ones(1, complex)}, "tensor 'x' has the dtype complex128"),
        ({"x": np.ones(1, np.uint16)}, "tensor 'x' has the dtype uint16"),
        ({1: np.ones(1)}, "name must be a string, not 1"),
        ({"\ud800": np.ones(1)}, "name must be Unicode text"),
    ],
)
def test_what_the_format_cannot_hold_is_refused_before_writing(tmp_path, tensors, message):
    with pytest.raises(TypeError, match=message):
        write_torch(tmp_path / "x.bin", tensors)
    assert not list(tmp_path.iterdir())


# ---- damaged files


def read_or_refuse(path: Path, content: bytes) -> bool:
    """Whether a file is read; any error but CheckpointError fails the test."""
    path.write_bytes(content)
    try:
        for stored in open_torch(path).values():
            assert stored.copy().shape == stored.view().shape == stored.shape
    except CheckpointError:
        return False
    return True


@pytest.mark.parametrize("file", ["state_dict.bin", "views.legacy.bin"])
def test_truncated_files_are_refused(tmp_path, file):
    content = (FIXTURES / file).read_bytes()
    for length in range(0, len(content), 3):
        assert not read_or_refuse(tmp_path / "x.bin", content[:length]), length


@pytest.mark.parametrize(
    "file", ["wrapped.bin", "protocol_4.bin", "without_crc.bin", "views.legacy.bin", "parameters.legacy.bin"]
)
def test_mutated_files_are_read_or_refused(tmp_path, file):
    content = (FIXTURES / file).read_bytes()
    generator = random.Random(0)
    read = 0
    for _ in range(400):
        mutated = bytearray(content)
        for _ in range(generator.choice([1, 1, 1, 2, 5])):
            mutated[generator.randrange(len(content))] = generator.choice([0, 1, 255, generator.randrange(256), *b"(.}RQu"])
        read += read_or_refuse(tmp_path / "x.bin", bytes(mutated))
    assert 0 < read < 400
