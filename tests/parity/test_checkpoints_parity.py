"""What this package writes, loaded by transformers (4.37.2, and that of the Python CONVBERT_NP_OTHER_PYTHON if it names one)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[1]))

from small import HEADS, inputs_for, make

import convbert_np as cb

pytestmark = pytest.mark.parity
WRITTEN = [("safetensors", "5GB"), ("safetensors", "3KB"), ("torch", "5GB"), ("torch", "3KB")]
SCRIPT = Path(__file__).with_name("transformers_outputs.py")


def directories_of(head: str, tmp_path: Path) -> tuple[list[str], dict]:
    """One model as the reference saves it and as this package does, in all ways; and inputs for it."""
    import torch
    import transformers

    model = make(head, np.float64)
    model.save_pretrained(tmp_path / head / "first")
    theirs = getattr(transformers, HEADS[head].__name__).from_pretrained(tmp_path / head / "first", torch_dtype=torch.float64)
    theirs.double().save_pretrained(tmp_path / head / "theirs")
    found = [tmp_path / head / "theirs"]
    again = HEADS[head].from_pretrained(tmp_path / head / "theirs", dtype=np.float64)
    for index, (format, size) in enumerate(WRITTEN):
        found.append(tmp_path / head / str(index))
        again.save_pretrained(found[-1], format=format, max_shard_size=size)
    inputs = {
        name: value.tolist() for name, value in inputs_for(head, model).items() if "label" not in name and "_pos" not in name
    }
    return list(map(str, found)), inputs


def pythons() -> list[str]:
    """This Python, and another if one is named."""
    other = os.environ.get("CONVBERT_NP_OTHER_PYTHON")
    return [sys.executable, *([other] if other else [])]


def test_transformers_computes_bit_for_bit_the_same_from_our_files(tmp_path):
    jobs = []
    for head, cls in HEADS.items():
        directories, inputs = directories_of(head, tmp_path)
        jobs.append({"cls": cls.__name__, "directories": directories, "inputs": inputs})
    for python in pythons():
        done = subprocess.run([python, SCRIPT], input=json.dumps(jobs), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        print(done.stdout)
        assert [line.split()[2] for line in done.stdout.splitlines()] == [f"{cls.__name__}," for cls in HEADS.values()]


@pytest.mark.parametrize("head", list(HEADS))
@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("size", ["5GB", "3KB"])
def test_what_transformers_writes_is_read(tmp_path, head, safe, size):
    import torch
    import transformers

    directories, _ = directories_of(head, tmp_path / "given")
    theirs = getattr(transformers, HEADS[head].__name__).from_pretrained(directories[0], torch_dtype=torch.float64)
    theirs.save_pretrained(tmp_path / "made", safe_serialization=safe, max_shard_size=size)
    ours = HEADS[head].from_pretrained(tmp_path / "made", dtype=np.float64)
    state = theirs.state_dict()
    assert list(ours.state_dict()) == list(state)
    for name, value in ours.state_dict().items():
        np.testing.assert_array_equal(value, state[name].numpy(), err_msg=name)
    files = sorted(path.name for path in (tmp_path / "made").iterdir() if path.name != "generation_config.json")
    ours.save_pretrained(tmp_path / "again", format="safetensors" if safe else "torch", max_shard_size=size)
    assert sorted(path.name for path in (tmp_path / "again").iterdir()) == files
    for name in files:
        if name.endswith((".safetensors", ".safetensors.index.json")):
            assert (tmp_path / "made" / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name


def test_the_report_of_loading_is_the_references(tmp_path):
    import transformers

    for source in ("model", "masked_lm", "token"):
        make(source, np.float32).save_pretrained(tmp_path / source)
        for head, cls in HEADS.items():
            if (source, head) == ("token", "choice"):
                continue  # both have a classifier, of other shapes: an error on both sides
            theirs = getattr(transformers, cls.__name__)
            _, told = theirs.from_pretrained(tmp_path / source, output_loading_info=True)
            _, report = cls.from_pretrained(tmp_path / source, output_loading_info=True)
            tied = {"generator_lm_head.weight", "convbert.embeddings.word_embeddings.weight"}
            assert set(report.missing_keys) - tied == set(told["missing_keys"]) - tied, (source, head)
            assert set(report.unexpected_keys) == set(told["unexpected_keys"]), (source, head)
    many = dict(num_labels=7, ignore_mismatched_sizes=True, output_loading_info=True)
    _, told = transformers.ConvBertForTokenClassification.from_pretrained(tmp_path / "token", **many)
    _, report = cb.ConvBertForTokenClassification.from_pretrained(tmp_path / "token", **many)
    assert {tuple(m) for m in report.mismatched_keys} == {(n, tuple(a), tuple(b)) for n, a, b in told["mismatched_keys"]}
