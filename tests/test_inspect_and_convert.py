"""`inspect` and `convert`, as functions and as commands; the recognition of released models."""

import json
import warnings

import numpy as np
import pytest
from small import HEADS, make

import convbert_np as cb
from convbert_np.checkpoints import CheckpointError, open_checkpoint, write_safetensors
from convbert_np.checkpoints import stored as stored_module
from convbert_np.checkpoints.convert import convert
from convbert_np.checkpoints.inspection import BLOCK, inspect, statistics_of
from convbert_np.checkpoints.stored import StoredTensor
from convbert_np.cli import main
from convbert_np.verify import releases
from convbert_np.verify.releases import BASE, RELEASES, Case, Recognition, Release, recognise, release_of

RNG = np.random.default_rng(11)
FILES = {"safetensors": "model.safetensors", "torch": "pytorch_model.bin", "npz": "model.npz"}


def values_of(path) -> dict:
    """Name to type and values of all tensors."""
    return {name: (tensor.dtype, tensor.array().tolist()) for name, tensor in open_checkpoint(path).tensors.items()}


# ---- inspect


def held(values: np.ndarray) -> StoredTensor:
    """An array as if it lay in a file."""
    return StoredTensor("file", "x", values.dtype.name, values.shape, lambda: values, values.copy)


@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5), (BLOCK + 3,), (2, BLOCK // 2 + 1), (BLOCK // 4, 9)])
def test_statistics_by_blocks_are_those_of_the_whole(shape):
    values = RNG.standard_normal(shape) * 3 + 100
    found = statistics_of(held(values))
    expected = (values.min(), values.max(), values.mean(), values.std(), 0)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-11)


def test_statistics_of_what_is_not_finite_and_of_nothing():
    found = statistics_of(held(np.array([1.0, np.nan, 3.0, np.inf, -np.inf])))
    assert found == (1, 3, 2, 1, 3)
    assert statistics_of(held(np.array([np.nan]))) == (np.inf, -np.inf, 0, 0, 1)
    assert statistics_of(held(np.zeros((0, 4)))) == (np.inf, -np.inf, 0, 0, 0)
    assert statistics_of(held(np.array([1, 2, 6], np.int8)))[:3] == (1, 6, 3)
    assert statistics_of(held(np.full(3, 6e4, np.float16)))[:4] == (np.float16(6e4), np.float16(6e4), np.float16(6e4), 0)


def test_values_are_read_only_if_asked_for(tmp_path, monkeypatch):
    make("token", np.float32).save_pretrained(tmp_path)
    monkeypatch.setattr(stored_module, "shaped", lambda *arguments: pytest.fail("the values of a tensor were read"))
    found = inspect(tmp_path)
    assert found.parameters == make("token").num_parameters() and found.dtypes == {"float32": len(found.checkpoint.tensors)}
    assert found.statistics == {}


def test_the_command_inspect(tmp_path, capsys):
    model = make("token", np.float32)
    model.save_pretrained(tmp_path)
    assert main(["inspect", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert f"{tmp_path / 'model.safetensors'}: safetensors" in printed
    assert f"{len(model.named_parameters())} tensors ({len(model.named_parameters())} float32)" in printed
    for name, value in model.named_parameters().items():
        row = next(line for line in printed.splitlines() if line.startswith(f"{name} "))
        assert row.split()[1] == "float32" and row.split()[-1] == f"{value.size:,}"
        assert " x ".join(map(str, value.shape)) in row
    assert main(["inspect", str(tmp_path / "model.safetensors"), "--values", "--only", "classifier.weight"]) == 0
    printed = capsys.readouterr().out
    weight = model.state_dict()["classifier.weight"]
    assert (
        "classifier.bias" not in printed and f"{weight.astype(float).mean():.4g}" in printed and f"{weight.min():.4g}" in printed
    )
    assert main(["inspect", str(tmp_path), "--json", "--values"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["format"] == "safetensors" and told["parameters"] == model.num_parameters()
    row = told["tensors"]["classifier.weight"]
    assert row["shape"] == list(weight.shape) and row["dtype"] == "float32" and row["bytes"] == weight.nbytes
    np.testing.assert_allclose([row["smallest"], row["std"]], [weight.min(), weight.astype(float).std()], rtol=1e-12)


def test_inspect_tells_what_is_not_finite_or_wrong(tmp_path, capsys):
    write_safetensors(tmp_path / "x.safetensors", {"good": np.ones(2), "bad": np.array([1, np.inf])})
    assert main(["inspect", str(tmp_path / "x.safetensors")]) == 0
    assert main(["inspect", str(tmp_path / "x.safetensors"), "--values"]) == 1
    assert main(["inspect", str(tmp_path / "x.safetensors"), "--values", "--only", "good"]) == 0
    assert main(["inspect", str(tmp_path / "x.safetensors"), "--only", "other"]) == 2
    assert "--only: no tensor's name contains 'other'" in capsys.readouterr().err
    assert main(["inspect", str(tmp_path / "absent")]) == 2
    (tmp_path / "text").write_text("hello, this is no checkpoint")
    assert main(["inspect", str(tmp_path / "text")]) == 2
    assert "is in none of the formats" in capsys.readouterr().err


# ---- convert


@pytest.mark.parametrize("head", list(HEADS))
@pytest.mark.parametrize("source", list(FILES))
@pytest.mark.parametrize("target", list(FILES))
def test_every_format_into_every_other(tmp_path, source, target, head):
    model = make(head, np.float32)
    model.save_pretrained(tmp_path / "a", format=source)
    done = convert(tmp_path / "a", tmp_path / "b", format=target)
    assert [file.name for file in done.files] == ["config.json", FILES[target]]
    assert all(file.is_file() for file in done.files) and done.removed == done.left_out == []
    again, report = HEADS[head].from_pretrained(tmp_path / "b", output_loading_info=True)
    assert not any(report) and again.config.architectures == [HEADS[head].__name__]
    for name, value in model.named_parameters().items():
        np.testing.assert_array_equal(value, again.named_parameters()[name])
    convert(tmp_path / "b", tmp_path / FILES[source])
    assert values_of(tmp_path / FILES[source]) == values_of(tmp_path / "a") | values_of(tmp_path / FILES[source])


@pytest.mark.parametrize("target", list(FILES))
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", None])
def test_types_are_converted(tmp_path, dtype, target):
    tensors = {"a": RNG.standard_normal((2, 3)), "b": RNG.standard_normal(4).astype(np.float16), "c": np.arange(3)}
    write_safetensors(tmp_path / "a.safetensors", tensors)
    path = tmp_path / FILES[target]
    convert(tmp_path / "a.safetensors", path, dtype=dtype)
    for name, (found, values) in values_of(path).items():
        expected = tensors[name] if dtype is None or name == "c" else tensors[name].astype(dtype)
        assert (found, values) == (expected.dtype.name, expected.tolist())


def test_bfloat16_stays_where_the_format_has_it(tmp_path):
    header = b'{"x":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}'
    (tmp_path / "a.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\xc0\x3f\x20\xc0")
    for target, dtype, found in (
        ("b.safetensors", None, "bfloat16"),
        ("c.npz", None, "float32"),
        ("d.bin", None, "float32"),
        ("e.safetensors", "float64", "float64"),
        ("f.npz", "float16", "float16"),
    ):
        convert(tmp_path / "a.safetensors", tmp_path / target, dtype=dtype)
        assert values_of(tmp_path / target) == {"x": (found, [1.5, -2.5])}


def test_a_number_too_large_for_the_type_is_refused_and_nothing_is_written(tmp_path):
    write_safetensors(tmp_path / "a.safetensors", {"x": np.array([1e300])})
    for target in ("b.safetensors", "b.npz", "b.bin"):
        with pytest.raises(CheckpointError, match=r"tensor 'x': holds numbers that are too large for float32"):
            convert(tmp_path / "a.safetensors", tmp_path / target, dtype="float32")
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_what_is_there_is_not_replaced_unasked(tmp_path):
    make("token", np.float32, seed=1).save_pretrained(tmp_path / "a")
    make("token", np.float32, seed=2).save_pretrained(tmp_path / "b")
    before = values_of(tmp_path / "b")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        convert(tmp_path / "a", tmp_path / "b")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        convert(tmp_path / "a", tmp_path / "b" / "model.safetensors")
    assert values_of(tmp_path / "b") == before
    convert(tmp_path / "a", tmp_path / "b", overwrite=True)
    assert values_of(tmp_path / "b") == values_of(tmp_path / "a") != before
    convert(tmp_path / "a", tmp_path / "a", dtype="float64", overwrite=True)
    assert {dtype for dtype, _ in values_of(tmp_path / "a").values()} == {"float64"}


def test_the_source_is_not_removed(tmp_path):
    """In place a single file may be replaced by that of its name; what would go without a successor stays."""
    model = make("token", np.float32)
    model.save_pretrained(tmp_path, max_shard_size=3000)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for options in ({}, {"format": "torch"}, {"max_shard_size": 3000, "dtype": "float64"}):
        with pytest.raises(
            ValueError, match=r"holds the source, model-0000[1-4]-of-00004.*, which would be removed; give another directory"
        ):
            convert(tmp_path, tmp_path, overwrite=True, **options)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    write_safetensors(tmp_path / "mine.safetensors", model.named_parameters())
    done = convert(tmp_path / "mine.safetensors", tmp_path, format="torch", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "mine.safetensors", "pytorch_model.bin"]
    assert {path.name for path in done.removed} == {*before} - {"config.json"}


def test_a_configuration_that_does_not_fit_is_refused(tmp_path):
    make("token", np.float32).save_pretrained(tmp_path / "a")
    config = make("token", np.float32, intermediate_size=22).config
    with pytest.raises(ValueError, match=r"config: does not fit the tensors: .*intermediate.dense.weight is .*, not \(22, 12\)"):
        convert(tmp_path / "a", tmp_path / "b", config=config)
    with pytest.raises(ValueError, match=r"config: the file b\.npz takes none; give a directory"):
        convert(tmp_path / "a", tmp_path / "b.npz", config=config)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_part_of_a_bundle_is_told_from_a_checkpoint(tmp_path):
    (tmp_path / "model.ckpt-70.data-00000-of-00001").write_bytes(bytes(100))
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-70"\n')
    for path in tmp_path.iterdir():
        with pytest.raises(CheckpointError, match=r"part of a TensorFlow 1 bundle; give its prefix \(model\.ckpt-1000\)"):
            open_checkpoint(path)
    model = make("token", np.float32)
    model.save_pretrained(tmp_path / "a", format="torch")
    (tmp_path / "checkpoint").write_bytes((tmp_path / "a" / "pytorch_model.bin").read_bytes())
    assert open_checkpoint(tmp_path / "checkpoint").format == "PyTorch", "the content says what a file is, not the name"


@pytest.mark.parametrize(
    ("target", "options", "error", "message"),
    [
        ("b", {"format": "h5"}, ValueError, "format: must be one of safetensors, torch, npz"),
        ("b.npz", {"format": "torch"}, ValueError, "format: 'torch' does not fit the file b.npz"),
        ("b", {"dtype": "int8"}, ValueError, "dtype: must be one of"),
        ("b", {"part": "generator"}, ValueError, "part: 'generator' is for a TensorFlow 1 bundle"),
        ("b", {"max_shard_size": "x"}, ValueError, "max_shard_size"),
        ("no/such/b.npz", {}, FileNotFoundError, "there is no directory"),
        ("text", {}, ValueError, "target: must be a directory or end in"),
        ("b.pt", {}, ValueError, "target: must be a directory or end in"),
        ("b.h5", {}, ValueError, "target: must be a directory or end in"),
        ("b", {"dtype": ["float32"]}, ValueError, "dtype: must be one of"),
        ("b", {"overwrite": 1}, TypeError, "overwrite"),
    ],
)
def test_convert_checks_its_arguments_and_writes_nothing(tmp_path, target, options, error, message):
    make("token", np.float32).save_pretrained(tmp_path / "a")
    (tmp_path / "text").write_text("mine")
    with pytest.raises(error, match=message):
        convert(tmp_path / "a", tmp_path / target, **options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "text"] and (tmp_path / "text").read_text() == "mine"


def test_a_directory_needs_a_configuration_and_a_file_does_not(tmp_path, capsys):
    model = make("token", np.float32)
    model.save_pretrained(tmp_path / "a")
    (tmp_path / "a" / "config.json").rename(tmp_path / "config.json")
    convert(tmp_path / "a", tmp_path / "b.npz")
    assert main(["convert", str(tmp_path / "a"), str(tmp_path / "c")]) == 2
    assert "give --config" in capsys.readouterr().err and not (tmp_path / "c").exists()
    assert main(["convert", str(tmp_path / "a"), str(tmp_path / "c"), "--config", str(tmp_path / "config.json")]) == 0
    assert cb.ConvBertForTokenClassification.from_pretrained(tmp_path / "c").num_parameters() == model.num_parameters()


def test_the_command_convert(tmp_path, capsys):
    model = make("masked_lm", np.float32)
    model.save_pretrained(tmp_path / "a")
    arguments = ["convert", str(tmp_path / "a"), str(tmp_path / "b"), "--format", "torch", "--dtype", "float16"]
    assert main([*arguments, "--shard-size", "3KB"]) == 0
    printed = capsys.readouterr().out
    assert "read:" in printed and "safetensors" in printed and "pytorch_model-00001-of-" in printed and "index.json" in printed
    assert main(arguments) == 2
    assert "--overwrite replaces them" in capsys.readouterr().err
    assert main([*arguments, "--overwrite"]) == 0
    printed = capsys.readouterr().out
    assert f"written: {tmp_path / 'b' / 'pytorch_model.bin'}, " in printed
    assert f"removed: {tmp_path / 'b' / 'pytorch_model.bin.index.json'}, weights of before" in printed
    assert main([*arguments, "--overwrite", "--shard-size", "x"]) == 2
    assert "--shard-size: must be" in capsys.readouterr().err
    assert json.loads((tmp_path / "b" / "config.json").read_text())["torch_dtype"] == "float16"
    assert main(["convert", str(tmp_path / "a"), str(tmp_path / "b.h5")]) == 2
    assert "DST: must be a directory or end in" in capsys.readouterr().err
    assert main(["convert", str(tmp_path / "a"), str(tmp_path / "d"), "--part", "generator"]) == 2
    assert "--part: 'generator' is for" in capsys.readouterr().err
    again = cb.ConvBertForMaskedLM.from_pretrained(tmp_path / "b")
    for name, value in model.named_parameters().items():
        np.testing.assert_array_equal(again.named_parameters()[name], value.astype(np.float16).astype(np.float32))


# ---- recognition


def test_the_releases_are_told_by_their_sizes():
    assert [release.name.split("/")[1] for release in RELEASES] == ["conv-bert-base", "conv-bert-medium-small", "conv-bert-small"]
    for release, count in zip(RELEASES, (105_680_520, 17_475_888, 13_143_768), strict=True):
        config = cb.ConvBertConfig(**release.sizes)
        assert release_of(config) is release
        assert sum(int(np.prod(shape)) for shape in cb.ConvBertModel.shapes(config).values()) == count
        assert release_of(cb.ConvBertConfig(**(release.sizes | {"conv_kernel_size": 7}))) is None
    base = RELEASES[0]
    assert base.sizes == BASE and [len(case.ids) for case in base.cases] == [6, 6]
    assert np.shape([case.values for case in base.cases]) == (2, 3, 3)


def test_a_checkpoint_that_gives_the_published_values_is_told_from_one_that_does_not(tmp_path, monkeypatch, capsys):
    model = make("model", np.float32)
    ids = (4, 5, 6, 7)
    values = model(np.array([ids])).last_hidden_state[0, :2, :3].round(4)
    sizes = {name: getattr(model.config, name) for name in BASE}
    release = Release("someone/small", sizes, (Case(ids, tuple(map(tuple, values.tolist()))),))
    monkeypatch.setattr(releases, "RELEASES", (release,))
    model.save_pretrained(tmp_path)
    assert main(["selftest", "--model", str(tmp_path)]) == 0
    assert "the checkpoint gives its published values" in capsys.readouterr().out
    model.params["encoder"]["layer"]["1"]["output"]["LayerNorm"]["bias"][1] += 2e-4
    model.save_pretrained(tmp_path)
    assert main(["selftest", "--model", str(tmp_path)]) == 1
    assert "someone/small; the checkpoint DOES NOT give its published values" in capsys.readouterr().out
    model.params["encoder"]["layer"]["1"]["output"]["LayerNorm"]["bias"][2] = np.nan
    assert recognise(model).errors == (np.inf,) and recognise(model).is_same is False


def test_recognition_says_what_it_cannot_tell(tmp_path, monkeypatch, capsys):
    model = make("model", np.float32)
    model.save_pretrained(tmp_path)
    assert main(["selftest", "--model", str(tmp_path)]) == 0
    assert "is that of no released ConvBERT" in capsys.readouterr().out
    assert "of which no values were published" in str(Recognition(RELEASES[1], ()))
    tensors = dict(model.named_parameters())
    del tensors["encoder.layer.0.output.dense.bias"]
    write_safetensors(tmp_path / "model.safetensors", tensors)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert main(["selftest", "--model", str(tmp_path)]) == 2
    assert "lacks encoder.layer.0.output.dense.bias, so its values mean nothing" in capsys.readouterr().err
