"""Models from and to checkpoints of every format."""

import gzip
import json
import os
import re
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from small import HEADS, SMALL, inputs_for, make

import convbert_np as cb
from convbert_np.checkpoints import CheckpointError, open_checkpoint, write_safetensors
from convbert_np.checkpoints import pretrained as pretrained_module
from convbert_np.checkpoints.convert import convert
from convbert_np.checkpoints.npz import write_npz
from convbert_np.checkpoints.torch_writer import write_torch
from convbert_np.files import write_text

WORD, HEAD = "convbert.embeddings.word_embeddings.weight", "generator_lm_head.weight"
FORMATS = {"safetensors": "model.safetensors", "torch": "pytorch_model.bin", "npz": "model.npz"}
every_format = pytest.mark.parametrize("format", list(FORMATS))


def loaded(cls, path, **more):
    """from_pretrained with no warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return cls.from_pretrained(path, **more)


def write_model(directory: Path, model, tensors, write=write_safetensors, file="model.safetensors") -> Path:
    """A model's configuration and these tensors in a directory."""
    directory.mkdir(exist_ok=True, parents=True)
    model.config.save_pretrained(directory)
    write(directory / file, dict(tensors))
    return directory


def assert_same(one, other) -> None:
    """Two models have the same parameters, bit by bit."""
    assert list(one.named_parameters()) == list(other.named_parameters())
    for name, value in one.named_parameters().items():
        np.testing.assert_array_equal(value, other.named_parameters()[name], err_msg=name)


# ---- what is written is read


@every_format
@pytest.mark.parametrize("head", list(HEADS))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_saved_is_loaded(tmp_path, head, format, dtype):
    model = make(head, dtype)
    model.save_pretrained(tmp_path / "new" / "place", format=format)
    assert sorted(os.listdir(tmp_path / "new" / "place")) == sorted(["config.json", FORMATS[format]])
    again = loaded(HEADS[head], tmp_path / "new" / "place", dtype=dtype)
    assert_same(model, again)
    inputs = inputs_for(head, model)
    for name, value in model(**inputs).items():
        np.testing.assert_array_equal(value, again(**inputs)[name])


@pytest.mark.parametrize("format", ["safetensors", "torch"])
@pytest.mark.parametrize("size", ["2KB", 700, 1])
def test_large_weights_are_split(tmp_path, format, size):
    model = make("masked_lm", np.float32)
    model.save_pretrained(tmp_path, format=format, max_shard_size=size)
    stem, ending = FORMATS[format].rsplit(".", 1)
    shards = sorted(path.name for path in tmp_path.glob(f"{stem}-*"))
    index = json.loads((tmp_path / f"{FORMATS[format]}.index.json").read_text())
    assert len(shards) > 3 and shards[0] == f"{stem}-00001-of-{len(shards):05}.{ending}"
    assert sorted(set(index["weight_map"].values())) == shards and not (tmp_path / FORMATS[format]).exists()
    checkpoint = open_checkpoint(tmp_path)
    total = sum(value.nbytes for value in model.named_parameters().values())
    assert index["metadata"]["total_size"] == total
    assert set(index["weight_map"]) == set(checkpoint.tensors)
    assert_same(model, loaded(cb.ConvBertForMaskedLM, tmp_path))


def test_weights_of_an_earlier_call_are_removed_and_other_files_are_not(tmp_path):
    model, other = make("token", np.float32, seed=1), make("token", np.float32, seed=2)
    (tmp_path / "vocab.txt").write_text("[PAD]\n")
    (tmp_path / "model-notes.safetensors.txt").write_text("mine")
    kept = {"config.json", "vocab.txt", "model-notes.safetensors.txt"}
    for model_now, options, files in (
        (model, {"max_shard_size": 3000}, None),
        (other, {}, {"model.safetensors"}),
        (model, {"format": "torch"}, {"pytorch_model.bin"}),
        (other, {"format": "torch", "max_shard_size": 3000}, None),
        (model, {"format": "npz"}, {"model.npz"}),
        (other, {"max_shard_size": 3000}, None),
        (model, {"max_shard_size": 4000}, None),
    ):
        model_now.save_pretrained(tmp_path, **options)
        found = {path.name for path in tmp_path.iterdir()} - kept
        assert found == files if files else len(found) > 3
        assert_same(model_now, loaded(cb.ConvBertForTokenClassification, tmp_path))


LAYOUTS = (
    {},
    {"max_shard_size": 3000},
    {"max_shard_size": 4000},
    {"format": "torch"},
    {"format": "torch", "max_shard_size": 3000},
    {"format": "npz"},
)


@pytest.mark.parametrize("before", LAYOUTS, ids=str)
@pytest.mark.parametrize("after", LAYOUTS, ids=str)
@pytest.mark.parametrize("eps", [1e-12, 1e-6], ids=["same_config", "other_config"])
def test_a_save_that_is_broken_off_leaves_the_old_model_the_new_one_or_none(tmp_path, monkeypatch, before, after, eps):
    """Stopped before any one of its renamings and removals, it leaves no parts of both, and no temporary file."""
    old, new = make("token", np.float32, seed=1), make("token", np.float32, seed=2, layer_norm_eps=eps)
    old.save_pretrained(tmp_path / "old", **before)
    found = []
    for steps in range(100):
        directory = shutil.copytree(tmp_path / "old", tmp_path / str(steps))
        done = save_some_steps(monkeypatch, steps, lambda directory=directory: new.save_pretrained(directory, **after))
        assert not list(directory.glob(".*"))
        found.append(which_model(directory, {"old": old, "new": new}))
        if done:
            break
    assert found[0] == "old" and found[-1] == "new" and len(found) > 2
    assert found == sorted(found, key=["old", "none", "new"].index)


def save_some_steps(monkeypatch, steps: int, save) -> bool:
    """Save, but be broken off before the renaming or removal of this number; whether the save came to its end."""
    left = iter(range(steps))

    def counted(real):
        def step(path, *target, **options):
            place = Path(*target or (path,))
            is_step = not any(part.startswith(".convbert-np-") for part in place.parts[-2:])
            if is_step and next(left, None) is None:
                raise KeyboardInterrupt
            return real(path, *target, **options)

        return step

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)  # which takes most of the time
        patch.setattr(os, "replace", counted(os.replace))
        patch.setattr(Path, "unlink", counted(Path.unlink))
        try:
            save()
        except KeyboardInterrupt:
            return False
    return True


def which_model(directory: Path, models) -> str:
    """The name of the model that a directory holds; "none" if it holds no weights."""
    try:
        model = loaded(cb.ConvBertForTokenClassification, directory)
    except FileNotFoundError:
        return "none"
    name = next(
        name
        for name, m in models.items()
        if np.array_equal(m.state_dict()["classifier.weight"], model.state_dict()["classifier.weight"])
    )
    assert_same(model, models[name])
    assert model.config.layer_norm_eps == models[name].config.layer_norm_eps, "the configuration of one, the weights of the other"
    return name


def test_a_save_that_fails_changes_nothing(tmp_path, monkeypatch):
    old, new = make("token", np.float32, seed=1), make("token", np.float32, seed=2)
    old.save_pretrained(tmp_path / "old", max_shard_size=3000)
    before = {path.name: path.read_bytes() for path in (tmp_path / "old").iterdir()}

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for format in FORMATS:
        for directory in (tmp_path / "old", tmp_path / "new" / "place"):
            with pytest.raises(OSError, match="No space left"):
                new.save_pretrained(directory, format=format)
    assert {path.name: path.read_bytes() for path in (tmp_path / "old").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["old"], "no empty directory is left"


def test_a_directory_that_is_closed_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)  # root, who may run this, may write anywhere
    with pytest.raises(PermissionError, match=f"{re.escape(str(tmp_path))}: is a directory that one may not write to"):
        make("token", np.float32).save_pretrained(tmp_path / "new")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("format", ["safetensors", "torch", "npz"])
def test_the_configuration_names_the_type_of_the_weights(tmp_path, dtype, format):
    """transformers takes it for torch_dtype="auto"; that of an earlier file would be wrong."""
    model = make("token", dtype)
    model.config.torch_dtype = "bfloat16"
    model.save_pretrained(tmp_path, format=format)
    assert json.loads((tmp_path / "config.json").read_text())["torch_dtype"] == np.dtype(dtype).name
    assert model.config.torch_dtype == "bfloat16", "the model's own configuration is left alone"


def test_a_directory_in_which_the_new_weights_would_not_be_found_is_refused(tmp_path):
    model = make("token", np.float32)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(NotADirectoryError, match="is a file, not a directory to write to"):
        model.save_pretrained(tmp_path / "file")
    with pytest.raises(NotADirectoryError, match="file: is a file, not a directory to write to"):
        model.save_pretrained(tmp_path / "file" / "below" / "it")
    (tmp_path / "tf").mkdir()
    (tmp_path / "tf" / "tf_model.h5").write_text("preferred to an .npz")
    with pytest.raises(FileExistsError, match=r"tf_model\.h5, which would be loaded in place of model\.npz"):
        model.save_pretrained(tmp_path / "tf", format="npz")
    (tmp_path / "taken" / "config.json").mkdir(parents=True)
    with pytest.raises(FileExistsError, match=r"config\.json: is a directory"):
        model.save_pretrained(tmp_path / "taken")
    with (
        pytest.raises(ValueError, match=r"max_shard_size: 1 makes \d+ files; 2 are allowed"),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr("convbert_np.checkpoints.writing.MOST_SHARDS", 2)
        model.save_pretrained(tmp_path / "new", max_shard_size=1)
    assert sorted(map(str, (p.relative_to(tmp_path) for p in tmp_path.rglob("*")))) == [
        "file", "taken", "taken/config.json", "tf", "tf/tf_model.h5",
    ]  # fmt: skip
    model.save_pretrained(tmp_path / "tf", format="torch")
    assert_same(model, loaded(cb.ConvBertForTokenClassification, tmp_path / "tf"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "h5"}, "format: must be one of safetensors, torch, npz, got 'h5'"),
        ({"format": ["torch"]}, "format: must be one of"),
        ({"max_shard_size": "big"}, "max_shard_size: must be"),
    ],
)
def test_a_save_that_cannot_be_done_writes_nothing(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        make("token", np.float32).save_pretrained(tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()


# ---- names as others write them


@pytest.mark.parametrize("head", list(HEADS))
def test_old_names_of_layer_norms_and_buffers(tmp_path, head):
    model = make(head, np.float32)
    state = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in model.named_parameters().items()
    }
    state[f"{model.prefix}embeddings.position_ids"] = np.arange(11)[None]
    assert_same(model, loaded(HEADS[head], write_model(tmp_path, model, state)))


@pytest.mark.parametrize("head", list(HEADS))
def test_a_bare_model_fits_a_model_with_a_head_and_the_other_way_round(tmp_path, head):
    body, model = make("model", np.float32, seed=3), make(head, np.float32, seed=4)
    body.save_pretrained(tmp_path / "body")
    model.save_pretrained(tmp_path / "whole")
    cls = HEADS[head]
    into, report = cls.from_pretrained(tmp_path / "body", output_loading_info=True)
    own = [name for name in model.named_parameters() if model.prefix and not name.startswith("convbert.")]
    assert sorted(name for name in report.missing_keys if name != HEAD) == sorted(own) and report.unexpected_keys == []
    for name, value in body.named_parameters().items():
        np.testing.assert_array_equal(into.named_parameters()[model.prefix + name], value)
    bare, report = cb.ConvBertModel.from_pretrained(tmp_path / "whole", output_loading_info=True)
    assert report.missing_keys == [] and sorted(report.unexpected_keys) == sorted(own)
    for name, value in bare.named_parameters().items():
        np.testing.assert_array_equal(value, model.named_parameters()[model.prefix + name])


def test_a_bare_body_beside_a_head_gets_its_prefix(tmp_path):
    model = make("token", np.float32)
    state = {name.removeprefix("convbert."): value for name, value in model.named_parameters().items()}
    assert_same(model, loaded(cb.ConvBertForTokenClassification, write_model(tmp_path, model, state)))


@pytest.mark.parametrize("lacking", [WORD, HEAD])
def test_one_of_the_two_names_of_a_tied_weight_suffices(tmp_path, lacking):
    model = make("masked_lm", np.float32)
    state = {name: value for name, value in model.state_dict().items() if name != lacking}
    assert_same(model, loaded(cb.ConvBertForMaskedLM, write_model(tmp_path, model, state)))


@pytest.mark.parametrize("write", [(write_safetensors, "model.safetensors"), (write_torch, "pytorch_model.bin")])
def test_two_copies_of_a_tied_weight_must_agree(tmp_path, write):
    model = make("masked_lm", np.float32)
    state = {name: value.copy() for name, value in model.state_dict().items()}
    assert_same(model, loaded(cb.ConvBertForMaskedLM, write_model(tmp_path / "same", model, state, *write)))
    state[HEAD][3, 2] += 1
    directory = write_model(tmp_path / "other", model, state, *write)
    with pytest.raises(CheckpointError, match=rf"tensor '({WORD}|{HEAD})': differs from .*tie_word_embeddings=False"):
        cb.ConvBertForMaskedLM.from_pretrained(directory)
    untied = loaded(cb.ConvBertForMaskedLM, directory, tie_word_embeddings=False)
    np.testing.assert_array_equal(untied.state_dict()[HEAD], state[HEAD])


def test_two_tensors_of_one_name_are_refused(tmp_path):
    model = make("token", np.float32)
    state = dict(model.named_parameters())
    name = "convbert.embeddings.LayerNorm.weight"
    directory = write_model(tmp_path, model, state | {name.replace("weight", "gamma"): state[name]})
    with pytest.raises(CheckpointError, match=r"are both convbert\.embeddings\.LayerNorm\.weight"):
        cb.ConvBertForTokenClassification.from_pretrained(directory)


# ---- what does not fit


def test_shapes_that_do_not_fit_are_refused_or_drawn_afresh(tmp_path):
    make("token", np.float32, num_labels=2).save_pretrained(tmp_path)
    cls = cb.ConvBertForTokenClassification
    with pytest.raises(
        CheckpointError, match=r"classifier\.weight is \(2, 12\), must be \(5, 12\).*ignore_mismatched_sizes=True"
    ):
        cls.from_pretrained(tmp_path, num_labels=5)
    with pytest.warns(UserWarning, match=r"classifier\.weight is \(2, 12\), not \(5, 12\); classifier\.bias is .* freshly drawn"):
        model = cls.from_pretrained(tmp_path, num_labels=5, ignore_mismatched_sizes=True)
    assert model.state_dict()["classifier.weight"].shape == (5, 12)
    assert np.all(model.state_dict()["classifier.bias"] == 0)
    _, report = loaded(cls, tmp_path, num_labels=5, ignore_mismatched_sizes=True, output_loading_info=True)
    assert report.missing_keys == report.unexpected_keys == []
    assert [(m.name, m.found, m.needed) for m in report.mismatched_keys] == [
        ("classifier.weight", (2, 12), (5, 12)),
        ("classifier.bias", (2,), (5,)),
    ]


def test_a_head_that_the_file_lacks_is_drawn_from_the_seed(tmp_path):
    make("model", np.float32).save_pretrained(tmp_path)
    cls = cb.ConvBertForSequenceClassification

    def draw(**more):
        model, _ = cls.from_pretrained(tmp_path, output_loading_info=True, **more)
        return model.state_dict()["classifier.dense.weight"]

    np.testing.assert_array_equal(draw(), draw(seed=0))
    np.testing.assert_array_equal(draw(seed=3), draw(seed=np.random.default_rng(3)))
    assert np.any(draw(seed=0) != draw(seed=3)) and 0.01 < draw().std() < 0.03
    np.testing.assert_array_equal(draw(dtype=np.float64), draw().astype(np.float64))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: {"x": np.ones(3, np.float32)}, "holds none of the parameters of a ConvBERT"),
        (lambda s: s | {"classifier.bias": np.ones(2, np.int32)}, r"tensor 'classifier\.bias': must hold real numbers, is int32"),
        (lambda s: s | {"classifier.bias": np.array([0, 1e300])}, r"tensor 'classifier\.bias': holds numbers that are too large"),
    ],
)
def test_tensors_that_are_no_parameters_are_refused(tmp_path, change, message):
    model = make("token", np.float32)
    directory = write_model(tmp_path, model, change(model.state_dict()))
    with pytest.raises(CheckpointError, match=message):
        cb.ConvBertForTokenClassification.from_pretrained(directory)


def test_half_precision_is_converted(tmp_path):
    model = make("token", np.float32)
    state = {name: value.astype(np.float16) for name, value in model.named_parameters().items()}
    for dtype in (np.float32, np.float64):
        again = loaded(cb.ConvBertForTokenClassification, write_model(tmp_path, model, state), dtype=dtype)
        for name, value in again.named_parameters().items():
            assert value.dtype == dtype
            np.testing.assert_array_equal(value, state[name].astype(dtype))


@pytest.mark.parametrize("dtype", [np.float16, "int32", "x", None])
def test_only_float32_and_float64_are_computed_in(tmp_path, dtype):
    make("token", np.float32).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="dtype: must be float32 or float64"):
        cb.ConvBertForTokenClassification.from_pretrained(tmp_path, dtype=dtype)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"part": "generator"}, ValueError, "part: 'generator' is for a TensorFlow 1 bundle"),
        ({"part": "both"}, ValueError, "part: must be"),
        ({"ignore_mismatched_sizes": 1}, TypeError, "ignore_mismatched_sizes"),
        ({"output_loading_info": "yes"}, TypeError, "output_loading_info"),
        ({"config": {}}, TypeError, "config: must be a ConvBertConfig"),
        ({"hiden_size": 3}, TypeError, "hiden_size: is neither an argument nor a field"),
        ({"seed": -1}, ValueError, "seed"),
    ],
)
def test_arguments_are_checked(tmp_path, options, error, message):
    make("token", np.float32).save_pretrained(tmp_path)
    with pytest.raises(error, match=message):
        cb.ConvBertForTokenClassification.from_pretrained(tmp_path, **options)


@pytest.mark.parametrize(
    "field",
    [
        {"num_hidden_layers": 10**8},
        {"vocab_size": 10**12},
        {"intermediate_size": 10**9},
        {"max_position_embeddings": 10**9},
        {"conv_kernel_size": 10**9 + 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("ignore", [False, True])
def test_no_configuration_asks_for_far_more_than_the_file_holds(tmp_path, field, ignore):
    """What a file lacks is drawn, and a few bytes of config.json could fill the memory with it."""
    model = make("token", np.float32)
    directory = write_model(tmp_path, model, {"convbert.embeddings.LayerNorm.bias": np.ones(10, np.float32)})
    fields = json.loads((directory / "config.json").read_text()) | field
    (directory / "config.json").write_text(json.dumps(fields))
    with pytest.raises(CheckpointError, match=r"and the configuration asks for [0-9,]+"):
        cb.ConvBertForTokenClassification.from_pretrained(directory, ignore_mismatched_sizes=ignore)
    with pytest.raises(CheckpointError if "num_hidden_layers" in field else FileExistsError, match=r"layers|overwrite=True"):
        convert(directory, directory)


def test_tensors_may_share_their_bytes_but_not_without_end(tmp_path):
    """Many tensors on one storage are small in the file, and would fill the disk when they are converted."""
    value = np.ones((300, 1000), np.float32)
    write_torch(tmp_path / "few.bin", {f"x{i}": value for i in range(8)})
    assert len(open_checkpoint(tmp_path / "few.bin").tensors) == 8
    write_torch(tmp_path / "many.bin", {f"x{i}": value for i in range(9)})
    with pytest.raises(CheckpointError, match=r"its tensors have 10,800,000 bytes together, more than 8 times the 1,20"):
        open_checkpoint(tmp_path / "many.bin")


def test_a_configuration_may_not_be_longer_than_any(tmp_path, monkeypatch):
    make("token", np.float32).save_pretrained(tmp_path)
    monkeypatch.setattr("convbert_np.config.LONGEST_JSON", 99)
    with pytest.raises(ValueError, match=r"config\.json: .*longer than 99 bytes"):
        cb.ConvBertForTokenClassification.from_pretrained(tmp_path)


# ---- which file


@every_format
def test_a_file_is_known_by_its_content(tmp_path, format):
    model = make("token", np.float32)
    model.save_pretrained(tmp_path, format=format)
    path = tmp_path / FORMATS[format]
    expected = {"safetensors": "safetensors", "torch": "PyTorch", "npz": "NumPy (npz)"}[format]
    assert open_checkpoint(path).format == open_checkpoint(tmp_path).format == expected
    assert_same(model, loaded(cb.ConvBertForTokenClassification, path))
    other = tmp_path / "weights.npz" if format == "npz" else tmp_path / "weights"
    path.rename(other)
    assert open_checkpoint(other).format == expected
    assert_same(model, loaded(cb.ConvBertForTokenClassification, other))


def test_of_several_the_first_by_preference_is_taken(tmp_path):
    models = [make("token", np.float32, seed=seed) for seed in range(3)]
    for model, write, file in zip(
        models, (write_npz, write_torch, write_safetensors), ("model.npz", "pytorch_model.bin", "model.safetensors"), strict=True
    ):
        write_model(tmp_path, model, model.named_parameters(), write, file)
        assert_same(model, loaded(cb.ConvBertForTokenClassification, tmp_path))


@pytest.mark.parametrize(
    "content",
    [b"", b"x", b"hello, world, this is text", b"\x80", b"\x80\x02", b"PK", b"PK\3\4" + b"x" * 40, b"\x89HDF\r\n\x1a\n"],
)
@pytest.mark.parametrize("name", ["weights", "pytorch_model.bin", "model.safetensors", "tf_model.h5", "model.npz", "x.index"])
def test_a_file_of_no_format_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=name):
        open_checkpoint(tmp_path / name)


def test_what_is_not_there_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        open_checkpoint(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match=r"holds no weights; looked for model\.safetensors"):
        open_checkpoint(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match=r"found \['config.json'\]"):
        cb.ConvBertModel.from_pretrained(tmp_path)
    make("model", np.float32).save_pretrained(tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"config\.json: there is no such file; give config="):
        cb.ConvBertModel.from_pretrained(tmp_path)
    assert loaded(cb.ConvBertModel, tmp_path, config=cb.ConvBertConfig(**SMALL)).num_parameters()


def test_a_checkpoint_of_text_in_place_of_numbers_is_refused(tmp_path):
    write_text(tmp_path / "model.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n")
    with pytest.raises(CheckpointError, match="Git LFS"):
        open_checkpoint(tmp_path)


# ---- cost


def test_a_model_is_loaded_tensor_by_tensor(tmp_path, monkeypatch):
    """No value is read before the model asks for it, and none twice."""
    make("masked_lm", np.float32).save_pretrained(tmp_path)
    fetched: list[str] = []
    real = pretrained_module.read_as
    monkeypatch.setattr(pretrained_module, "read_as", lambda tensor, dtype: fetched.append(tensor.name) or real(tensor, dtype))
    model = loaded(cb.ConvBertForMaskedLM, tmp_path)
    assert sorted(fetched) == sorted(model.named_parameters())
    for value in model.named_parameters().values():
        assert (value.flags.writeable and value.flags.owndata) or value.base is not None
        assert value.flags.c_contiguous
    before = model.state_dict()[WORD].copy()
    make("masked_lm", np.float32, seed=9).save_pretrained(tmp_path)
    np.testing.assert_array_equal(model.state_dict()[WORD], before), "the model holds copies, not the file"


# ---- TensorFlow's files, as TensorFlow wrote them

FIXTURES = Path(__file__).parent / "fixtures" / "checkpoints"
TF2_CASES = json.loads((FIXTURES / "tf2" / "cases.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", [name for name in TF2_CASES if name in HEADS])
def test_a_directory_of_tensorflow_2(tmp_path, case):
    (tmp_path / "tf_model.h5").write_bytes(gzip.decompress((FIXTURES / "tf2" / f"{case}.h5.gz").read_bytes()))
    config = cb.ConvBertConfig(**TF2_CASES[case]["config"])
    config.save_pretrained(tmp_path)
    model = loaded(HEADS[case], tmp_path, dtype=np.float32)
    expected = np.load(FIXTURES / "tf2" / "expected.npz")
    for name, value in model.named_parameters().items():
        key = f"params/{name.removeprefix('convbert.')}/{'x'.join(map(str, value.shape))}"
        np.testing.assert_array_equal(value, expected[key], err_msg=name)


def test_a_sharded_model_of_tensorflow_2(tmp_path):
    for file in (FIXTURES / "tf2" / "sharded").glob("*.gz"):
        (tmp_path / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.format == "TensorFlow 2 (HDF5)" and len(checkpoint.files) == 2
    names = pretrained_module.under_our_names(checkpoint)
    assert "embeddings.word_embeddings.weight" in names or WORD in names
    assert all(name.startswith(("convbert.", "embeddings", "encoder", "classifier", "qa", "generator")) for name in names)


@pytest.mark.parametrize("how", ["prefix", "index", "directory"])
def test_a_bundle_of_tensorflow_1(how):
    folder = FIXTURES / "tf1" / "pretraining"
    path = {"prefix": folder / "model.ckpt-70", "index": folder / "model.ckpt-70.index", "directory": folder}[how]
    with pytest.warns(UserWarning, match=r"discriminator_predictions\.dense\.bias.* are not used by this model"):
        model = cb.ConvBertModel.from_pretrained(path)
    generator = loaded(cb.ConvBertForMaskedLM, path, part="generator")
    assert model.num_parameters() > 1000 and generator.config.hidden_size < model.config.hidden_size
    word = model.params["embeddings"]["word_embeddings"]["weight"]
    np.testing.assert_array_equal(generator.state_dict()[WORD], word)  # the values of all are compared in test_tf_bundle.py


def test_a_bundle_becomes_a_directory_for_transformers(tmp_path):
    source = FIXTURES / "tf1" / "pretraining" / "model.ckpt-70"
    done = convert(source, tmp_path / "discriminator")
    assert any("adam_m" in name for name in done.left_out) and "discriminator_predictions.dense.weight" in done.tensors
    convert(source, tmp_path / "generator", part="generator")
    direct = cb.ConvBertModel.from_pretrained(source, output_loading_info=True)[0]
    assert_same(direct, cb.ConvBertModel.from_pretrained(tmp_path / "discriminator", output_loading_info=True)[0])
    assert_same(loaded(cb.ConvBertForMaskedLM, source, part="generator"), loaded(cb.ConvBertForMaskedLM, tmp_path / "generator"))
