"""Checkpoints in several files."""

import json
from pathlib import Path

import numpy as np
import pytest

from convbert_np.checkpoints import CheckpointError, write_safetensors
from convbert_np.checkpoints.formats import open_checkpoint
from convbert_np.checkpoints.sharded import as_size, index_text, read_weight_map, shard_files, shard_names, split

RNG = np.random.default_rng(5)
TENSORS = {name: RNG.standard_normal(shape) for name, shape in {"b": (2, 3), "a.c": (4,), "d": (), "e": (0, 2)}.items()}


def write_shards(directory: Path, parts: dict[str, list[str]], weight_map: dict[str, object] | None = None) -> Path:
    """Files with these tensors each, and the index of them, or one that says this."""
    for file, names in parts.items():
        write_safetensors(directory / file, {name: TENSORS[name] for name in names})
    told = {name: file for file, names in parts.items() for name in names} if weight_map is None else weight_map
    path = directory / "model.safetensors.index.json"
    path.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": told}), encoding="utf-8")
    return path


def test_the_tensors_of_all_files_are_read(tmp_path):
    index = write_shards(tmp_path, {"x.safetensors": ["b", "d"], "y.safetensors": ["a.c", "e"]})
    for path in (tmp_path, index):
        found = open_checkpoint(path)
        assert found.format == "safetensors" and found.path == index
        assert [file.name for file in found.files] == ["x.safetensors", "y.safetensors"] == shard_names(index)
        assert {name: tensor.array().tolist() for name, tensor in found.tensors.items()} == {
            name: value.tolist() for name, value in TENSORS.items()
        }


def test_a_file_may_hold_more_than_the_index_says_as_in_the_reference(tmp_path):
    write_shards(tmp_path, {"x.safetensors": ["b", "d"]}, {"b": "x.safetensors"})
    assert sorted(open_checkpoint(tmp_path).tensors) == ["b", "d"]


@pytest.mark.parametrize(
    "file",
    [
        "../x.safetensors",
        "/etc/passwd",
        "..",
        ".",
        "",
        "a/b.safetensors",
        "a\\b",
        "C:x",
        "x\0",
        "x\n",
        "\u202ex",
        None,
        3,
        ["x"],
        "\ud800",
    ],
)
def test_no_index_leads_out_of_its_directory(tmp_path, file):
    index = write_shards(tmp_path, {"x.safetensors": ["b"]}, {"b": file})
    with pytest.raises(CheckpointError, match=r"tensor 'b': the file .* is not a name in the index's own directory"):
        open_checkpoint(index)


@pytest.mark.parametrize(
    ("parts", "weight_map", "message"),
    [
        ({"x.safetensors": ["b"]}, {"b": "x.safetensors", "d": "x.safetensors"}, "'d': is not in x.safetensors, where the index"),
        ({"x.safetensors": ["b"]}, {"b": "y.safetensors"}, "there is no file y.safetensors, which the index names"),
        ({"x.safetensors": ["b"], "y.safetensors": ["b"]}, None, "is not in x.safetensors|is in x.safetensors and in y"),
        ({"x.safetensors": ["b"]}, {}, "has no weight_map"),
        ({"x.safetensors": ["b"]}, ["b"], "has no weight_map"),
    ],
)
def test_an_index_that_does_not_fit_its_files_is_refused(tmp_path, parts, weight_map, message):
    if len(parts) == 2:
        weight_map = {"b": "x.safetensors", "c": "y.safetensors"}
        message = "is in x.safetensors and in y.safetensors"
    index = write_shards(tmp_path, parts, weight_map)
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(index)


def test_shards_may_not_have_more_tensors_together_than_any_model(tmp_path, monkeypatch):
    index = write_shards(tmp_path, {"x.safetensors": ["b", "d"], "y.safetensors": ["a.c", "e"]})
    monkeypatch.setattr("convbert_np.checkpoints.sharded.MOST_TENSORS", 3)
    with pytest.raises(CheckpointError, match="its files have more than 3 tensors"):
        open_checkpoint(index)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"weight_map": {"a": "x", "a": "y"}}', "{" * 100_000, '{"a": NaN}', "\ufeff{}"])
def test_an_index_that_is_no_json_object_is_refused(tmp_path, text):
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match="the index"):
        read_weight_map(path)


def test_an_index_of_another_kind_is_refused(tmp_path):
    (tmp_path / "x.index.json").write_text('{"weight_map": {"a": "x"}}')
    with pytest.raises(CheckpointError, match="none of"):
        open_checkpoint(tmp_path / "x.index.json")


def test_tensors_are_split_in_order_and_a_large_one_stands_alone():
    assert split({"a": 3, "b": 3, "c": 9, "d": 1, "e": 5}, 6) == [["a", "b"], ["c"], ["d", "e"]]
    assert split({"a": 3, "b": 3, "c": 3, "d": 3}, 6, {"d": "a"}) == [["a", "b", "d"], ["c"]]
    assert split({"a": 7}, 6) == [["a"]] and split({}, 6) == [[]]
    assert shard_files("model.safetensors", 1) == ["model.safetensors"]
    assert shard_files("a.b.bin", 2) == ["a.b-00001-of-00002.bin", "a.b-00002-of-00002.bin"]
    assert json.loads(index_text([("x", ["b", "a"])], 7)) == {"metadata": {"total_size": 7}, "weight_map": {"a": "x", "b": "x"}}


@pytest.mark.parametrize(
    ("size", "number"),
    [
        (5, 5),
        ("5GB", 5 * 10**9),
        ("200MiB", 200 * 2**20),
        (" 1.5 kb ", 1500),
        ("7", 7),
        ("3B", 3),
        ("2KiB", 2048),
        ("1gib", 2**30),
    ],
)
def test_sizes(size, number):
    assert as_size(size) == number


@pytest.mark.parametrize(
    ("size", "error"),
    [
        (0, ValueError),
        (-1, ValueError),
        ("x", ValueError),
        ("", ValueError),
        (True, TypeError),
        (1.5, TypeError),
        (None, TypeError),
        ("0.1B", ValueError),
    ],
)
def test_a_size_that_is_none_is_refused(size, error):
    with pytest.raises(error, match="max_shard_size"):
        as_size(size)
