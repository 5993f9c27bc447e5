"""Write the files of tests/fixtures/checkpoints/torch with PyTorch itself.

    python tests/tools/make_checkpoint_fixtures_torch.py     (extra reference: torch 2.13.0)

Every object is written in the zip form and in the legacy form. What the tensors of all files are is in expected.safetensors,
under "object/name", written by the safetensors library.
"""

import argparse
from collections import OrderedDict
from pathlib import Path

import safetensors.torch
import torch

FOLDER = Path(__file__).resolve().parents[1] / "fixtures" / "checkpoints" / "torch"


def types() -> dict:
    """Every type, a scalar, empty tensors."""
    x = torch.randn(2, 3, dtype=torch.float64)
    tensors = {str(t).removeprefix("torch."): x.to(t) for t in (torch.float16, torch.bfloat16, torch.float32, torch.float64)}
    integers = torch.randint(-100, 100, (3, 2))
    tensors |= {str(t).removeprefix("torch."): integers.to(t) for t in (torch.int8, torch.int16, torch.int32, torch.int64)}
    tensors |= {"uint8": integers.abs().to(torch.uint8), "bool": integers > 0}
    return tensors | {"scalar": torch.tensor(1.5), "empty": torch.zeros(0, 3), "empty_middle": torch.zeros(2, 0, 3)}


def views() -> dict:
    """Tensors that share storages, with offsets and strides."""
    x = torch.randn(4, 5)
    y = torch.randint(0, 9, (3, 4, 2)).to(torch.bool)
    return {
        "x": x, "tied": x, "transposed": x.t(), "rows": x[1:3], "columns": x[:, 1:4], "steps": x[::2, ::3], "element": x[2, 3],
        "diagonal": x.diagonal(), "repeated": x[0, :1].expand(5), "none": x[2:2], "y": y.permute(2, 0, 1), "z": y[:, 1, :],
    }  # fmt: skip


def module() -> torch.nn.Module:
    """A small module with a buffer of integers."""
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2), torch.nn.BatchNorm1d(2))
    torch.nn.init.normal_(model[1].weight)
    return model


def wrapped() -> dict:
    """What a training script saves: the state dict beside other things."""
    model = module()
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(4, 3)).square().sum().backward()
    optimizer.step()
    others = {
        "epoch": 3,
        "loss": 0.25,
        "seen": 2**40,
        "note": "caf\u00e9",
        "done": False,
        "none": None,
        "list": [1, (2, -3, 4, 5), {}],
    }
    return others | {"state_dict": model.state_dict(), "optimizer": optimizer.state_dict()}


def parameters() -> dict:
    """Parameters, one with an attribute, in a dict."""
    named = torch.nn.Parameter(torch.randn(3))
    named.kind = "bias"  # type: ignore[attr-defined]
    return {"weight": torch.nn.Parameter(torch.randn(2, 3)), "bias": named, "frozen": torch.nn.Parameter(torch.randn(1), False)}


def save(name: str, content: object, tensors: dict) -> dict:
    """Write an object in both forms; its tensors as entries of expected.safetensors."""
    torch.save(content, FOLDER / f"{name}.bin")
    torch.save(content, FOLDER / f"{name}.legacy.bin", _use_new_zipfile_serialization=False)
    return {f"{name}/{key}": value.detach().clone().contiguous() for key, value in tensors.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    torch.manual_seed(0)
    FOLDER.mkdir(parents=True, exist_ok=True)
    expected = {}
    for make in (types, views, parameters):
        content = make()
        expected |= save(make.__name__, content, content)
    state = module().state_dict()
    expected |= save("state_dict", state, state)
    content = wrapped()
    expected |= save("wrapped", content, content["state_dict"])
    expected |= save("model_state_dict", {"model_state_dict": OrderedDict(state), "step": torch.tensor(5)}, state)
    safetensors.torch.save_file(expected, FOLDER / "expected.safetensors")
    for protocol in (3, 4, 5):
        torch.save(OrderedDict(state), FOLDER / f"protocol_{protocol}.bin", pickle_protocol=protocol)
    torch.serialization.set_crc32_options(False)
    torch.save(state, FOLDER / "without_crc.bin")
    torch.serialization.set_crc32_options(True)
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), FOLDER / "script.pt")


if __name__ == "__main__":
    main()
