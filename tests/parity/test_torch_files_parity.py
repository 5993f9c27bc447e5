"""PyTorch's files against PyTorch itself: what it writes we read, what we write it reads, bit for bit."""

import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convbert_np.checkpoints import CheckpointError
from convbert_np.checkpoints.torch_file import open_torch
from convbert_np.checkpoints.torch_writer import CLASSES, write_torch

pytestmark = pytest.mark.parity
FORMS = (True, False)


@pytest.fixture(scope="module")
def torch() -> Any:
    return pytest.importorskip("torch")


def assert_same(torch: Any, path: Path, theirs: dict) -> None:
    """That a file has exactly these tensors of torch."""
    ours = open_torch(path)
    assert list(ours) == list(theirs)
    for name, tensor in theirs.items():
        value = tensor.detach()
        if value.dtype == torch.bfloat16:
            value = value.float()
        for array in (ours[name].array(), ours[name].copy()):
            assert array.dtype == value.numpy().dtype and array.shape == tuple(tensor.shape)
            assert array.tobytes() == value.numpy().tobytes()


def random_view(torch: Any, generator: np.random.Generator, base: Any) -> Any:
    """A view of a tensor with 3 axes: some of its axes in another order, a part of them."""
    view = base.permute(*generator.permutation(3).tolist())
    for axis, size in enumerate(view.shape):
        begin = int(generator.integers(0, size))
        view = view.narrow(axis, begin, int(generator.integers(0, size - begin + 1)))
        if view.shape[axis] > 2 and generator.random() < 0.5:
            view = view[(slice(None),) * axis + (slice(None, None, 2),)]
    return view


@pytest.mark.parametrize("zip_form", FORMS)
def test_random_views_of_all_types(torch, tmp_path, zip_form):
    generator = np.random.default_rng(5)
    torch.manual_seed(5)
    types = [getattr(torch, name) for name in (*CLASSES, "bfloat16")]
    for case in range(60):
        bases = [(100 * torch.rand(*generator.integers(1, 6, 3).tolist())).to(dtype) for dtype in types]
        tensors = {f"{i}.{j}": random_view(torch, generator, base) for i, base in enumerate(bases) for j in range(3)}
        path = tmp_path / f"{case}.bin"
        torch.save(tensors, path, _use_new_zipfile_serialization=zip_form, pickle_protocol=2 + case % 4)
        assert_same(torch, path, tensors)


@pytest.mark.parametrize("zip_form", FORMS)
@pytest.mark.parametrize("head", ["ConvBertModel", "ConvBertForMaskedLM"])
def test_a_model_of_transformers(torch, tmp_path, zip_form, head):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(2)
    config = transformers.ConvBertConfig(
        vocab_size=101, hidden_size=24, num_hidden_layers=2, num_attention_heads=6, intermediate_size=36, embedding_size=12,
        max_position_embeddings=20, num_groups=2,
    )  # fmt: skip
    model = getattr(transformers, head)(config)
    state = model.state_dict()
    for content in (state, OrderedDict(state), dict(model.named_parameters()), {"model": state, "epoch": 1}):
        torch.save(content, tmp_path / "x.bin", _use_new_zipfile_serialization=zip_form)
        assert_same(torch, tmp_path / "x.bin", content.get("model", content))
    model.save_pretrained(tmp_path, safe_serialization=False)
    assert_same(torch, tmp_path / "pytorch_model.bin", state)


def test_a_checkpoint_of_training(torch, tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))
    optimizer = torch.optim.Adam(model.parameters())
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    model(torch.randn(5, 4)).square().sum().backward()
    optimizer.step()
    content = {"model_state_dict": model.state_dict(), "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}
    torch.save(content, tmp_path / "x.bin")
    assert_same(torch, tmp_path / "x.bin", model.state_dict())
    torch.save(model, tmp_path / "x.bin")
    with pytest.raises(CheckpointError, match=r"the global 'torch\.nn\.modules\.container\.Sequential' is not allowed"):
        open_torch(tmp_path / "x.bin")


@pytest.mark.parametrize("options", [{"weights_only": True}, {"weights_only": True, "mmap": True}, {"weights_only": False}])
def test_torch_loads_what_we_write(torch, tmp_path, options):
    generator = np.random.default_rng(1)
    tensors = {f"{kind}.weight": (9 * generator.standard_normal((3, 5, 2))).astype(kind) for kind in CLASSES}
    x = tensors["float32.weight"]
    tensors |= {"tied": x, "flat": x.reshape(-1), "t": x.T, "big": x.astype(">f4"), "step": x[:, ::2], "\u00e9": np.array(1.5)}
    tensors |= {"empty": np.zeros((0, 3)), "middle": np.zeros((2, 0, 3), np.int8)}
    write_torch(tmp_path / "x.bin", tensors)
    loaded = torch.load(tmp_path / "x.bin", **options)
    assert list(loaded) == list(tensors)
    for name, array in tensors.items():
        assert loaded[name].is_contiguous() and loaded[name].shape == array.shape and not loaded[name].requires_grad
        assert loaded[name].numpy().tobytes() == np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    assert loaded["tied"].data_ptr() == loaded["float32.weight"].data_ptr() == loaded["flat"].data_ptr()
    write_torch(tmp_path / "x.bin", {})
    assert torch.load(tmp_path / "x.bin", **options) == {}


def test_transformers_loads_a_directory_that_we_wrote(torch, tmp_path):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(3)
    config = transformers.ConvBertConfig(
        vocab_size=101, hidden_size=24, num_hidden_layers=2, num_attention_heads=6, intermediate_size=36, embedding_size=12,
        max_position_embeddings=20,
    )  # fmt: skip
    model = transformers.ConvBertForMaskedLM(config).eval()
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    write_torch(tmp_path / "pytorch_model.bin", state)
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    loaded, report = transformers.ConvBertForMaskedLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    assert loaded.generator_lm_head.weight is loaded.convbert.embeddings.word_embeddings.weight
    ids = torch.arange(3, 17).reshape(2, 7)
    assert torch.equal(loaded.eval()(ids).logits, model(ids).logits)
