"""The fuzzer of the checkpoint readers: a sample of its files, what it once found, and faults that it must find."""

import json
import os
import random
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent / "tools"))
import fuzz_checkpoints
from fuzz_bundle import bundle_seeds
from fuzz_checkpoints import FORMATS, counts, make_case, run, table, try_case
from fuzz_hdf5 import Hdf5
from fuzz_json import safetensors_of
from fuzz_judge import Watch, judge
from fuzz_parts import Case, Liar
from fuzz_torch import many_tensors
from fuzz_zip import Part, archive

from convbert_np.checkpoints import CheckpointError, StoredTensor, open_checkpoint
from convbert_np.checkpoints.safetensors import open_safetensors
from convbert_np.checkpoints.strict_json import LONGEST_JSON, MOST_VALUES

EACH = 170  # files of a kind
MIB = 1 << 20


@pytest.fixture(scope="module")
def watch():
    return Watch()


# ---- a sample


@pytest.mark.parametrize("kind", FORMATS)
def test_files_of_every_kind_load_or_are_refused(kind, tmp_path, watch):
    loaded = refused = 0
    for seed in range(EACH):
        outcome, _ = try_case(tmp_path, make_case(kind, seed), watch)
        assert outcome.failure is None, f"--only {kind} --seed {seed}: {outcome.failure}"
        loaded += outcome.loaded
        refused += bool(outcome.reasons)
    assert refused and (loaded or kind in ("torch-attack", "anything"))


def test_a_number_always_makes_the_same_file(tmp_path):
    program = Path(__file__).parent / "tools" / "fuzz_checkpoints.py"
    for kind, seed in (("bundle", 3), ("index", 8)):
        command = [sys.executable, program, "--only", kind, "--seed", str(seed), "--keep", str(tmp_path / kind)]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": "7"}, check=True)
        assert "failure: None" in done.stdout
        files = make_case(kind, seed).files
        assert {path.name: path.read_bytes() for path in (tmp_path / kind).iterdir()} == files and files


def test_a_file_that_takes_too_long_is_a_failure(tmp_path, watch):
    case = Case(RIGHT, "x.safetensors", "safetensors", EXPECTED)
    assert try_case(tmp_path, case, watch)[0].failure is None
    failures = [(0, try_case(tmp_path, case, watch, most_seconds=0.0)[0].failure), *run("safetensors", 1, 3, 0.0).failures]
    assert [seed for seed, _ in failures] == [0, 1, 2] and all(re.fullmatch("took .* s", why or "") for _, why in failures)


def test_there_are_as_many_files_as_promised():
    assert sum(counts(fuzz_checkpoints.FILES).values()) >= 200_000 and counts(1).keys() == FORMATS.keys()


# ---- what it found


INDEX = "model.safetensors.index.json"


def shards(*files: str) -> dict[str, bytes]:
    return {INDEX: json.dumps({"weight_map": {f"x{i}": file for i, file in enumerate(files)}}).encode()}


def tensor(name: str) -> bytes:
    return safetensors_of(json.dumps({name: {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}}).encode(), b"")


def hdf5(name: bytes) -> bytes:
    file = Hdf5(Liar(random.Random(0), 0.0))
    link = file.link(name, file.dataset(np.ones(2)))
    return file.finish(file.place(file.header([(2, struct.pack("<BB2Q", 0, 0, 2**64 - 1, 2**64 - 1)), link])))


def torch_file(pickled: bytes) -> bytes:
    return archive(Liar(random.Random(0), 0.0), [Part(b"a/data.pkl", pickled), Part(b"a/data/0", b"")])


BUNDLE = {"m.index": bundle_seeds()[0][0]}
CRAFTED = [
    (shards("x" * 300), INDEX, "the file 'xx.* is not a name in the index's own directory"),
    (shards("\U0001f600" * 64), INDEX, "is not a name in the index's own directory"),
    (shards(*(f"f{i}" for i in range(257))), INDEX, "names 257 files; 256 are allowed"),
    (BUNDLE | {"checkpoint": b'model_checkpoint_path: "%s"' % (b"m" * 300)}, "", "is not the plain name of a checkpoint"),
    ({"x.safetensors": safetensors_of(b'{"a":[' + b"[]," * 110_000 + b"[]]}", b"")}, "x.safetensors", "more than 200,000 val"),
    ({"x.safetensors": safetensors_of(b'{"a":[' + b"{}," * 100_000 + b"1]}", b"")}, "x.safetensors", "more than 200,000 val"),
    ({"x.safetensors.index.json": b'{"weight_map":{' + b"," * 200_000}, "x.safetensors.index.json", "more than 200,000 val"),
    ({"x.safetensors": struct.pack("<Q", LONGEST_JSON + 1).ljust(LONGEST_JSON + 9)}, "x.safetensors", "header of 5000001 bytes"),
    ({"x.safetensors.index.json": b" " * (LONGEST_JSON + 1)}, "x.safetensors.index.json", "is longer than 5,000,000 bytes"),
    ({"x.safetensors": tensor("\x1b[2J")}, "x.safetensors", r"tensor '\\x1b\[2J': its name has characters that"),
    ({"x.safetensors": tensor("\u202e")}, "x.safetensors", r"tensor '\\u202e': its name has characters that"),
    ({"x.bin": torch_file(b"".join(many_tensors(1)).replace(b"X\1\0\0\0a", b"X\1\0\0\0\n"))}, "x.bin", "cannot be printed"),
    ({"x.bin": torch_file(b"".join(many_tensors(20_000)))}, "x.bin", "has 20001 entries; 20000 are allowed"),
    ({"x.h5": hdf5(b"\x7f")}, "x.h5", "cannot be"),
]  # fmt: skip


@pytest.mark.parametrize(("files", "target", "message"), CRAFTED, ids=range(len(CRAFTED)))
def test_a_crafted_file_is_refused_with_the_reason(tmp_path, watch, files, target, message):
    case = Case(files, target, "")  # no reader but open_checkpoint
    outcome, _ = try_case(tmp_path, case, watch)
    assert outcome.failure is None
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(tmp_path / target)


def test_one_number_of_bfloat16_is_an_array(tmp_path, watch):
    files = {"x.safetensors": safetensors_of(b'{"a":{"dtype":"BF16","shape":[],"data_offsets":[0,2]}}', b"\xc0\x3f")}
    outcome, _ = try_case(tmp_path, Case(files, "x.safetensors", "safetensors"), watch)
    a = open_safetensors(tmp_path / "x.safetensors")["a"]
    assert outcome.failure is None and outcome.loaded
    assert type(a.copy()) is np.ndarray and a.copy() == a.array() == 1.5 and a.copy().flags.writeable


def test_many_tensors_are_read(tmp_path):
    (tmp_path / "x.bin").write_bytes(torch_file(b"".join(many_tensors(19_999))))
    assert len(open_checkpoint(tmp_path / "x.bin").tensors) == 20_000
    entry = b'"x%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
    header = b"{" + b",".join(entry % i for i in range(MOST_VALUES // 8)) + b"}"
    (tmp_path / "x.safetensors").write_bytes(safetensors_of(header, b""))
    assert len(open_checkpoint(tmp_path / "x.safetensors").tensors) == 25_000


# ---- that it finds faults

RIGHT = {"x.safetensors": safetensors_of(b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', struct.pack("<2f", 1, 2))}
EXPECTED = {"a": np.array([1, 2], np.float32)}


def changed(path: Path, **changes) -> dict[str, StoredTensor]:
    """What the file has, with a tensor that was tampered with."""
    a = open_safetensors(path)["a"]
    return {"a": StoredTensor(**{**{key: getattr(a, key) for key in StoredTensor.__dataclass_fields__}, **changes})}


def frozen(*values: float) -> np.ndarray:
    array = np.array(values, np.float32)
    array.flags.writeable = False
    return array


def forever(path: Path) -> dict:
    return {"a": forever(path)}


def traces(path: Path) -> dict:
    (path.parent / "canary").touch()
    return open_safetensors(path)


SHARED = np.array([1, 2], np.float32)
FAULTS = {
    "KeyError": lambda path: {}["x"],
    "RecursionError": forever,
    "struct.error|error: unpack requires": lambda path: struct.unpack("<Q", b""),
    "UnicodeDecodeError": lambda path: b"\xff".decode(),
    "MemoryError": lambda path: np.ones(2**60, np.uint8),
    "SystemExit": lambda path: sys.exit(3),
    "the message has": lambda path: (_ for _ in ()).throw(CheckpointError(path, "x" * 5000)),
    "a right file was refused": lambda path: (_ for _ in ()).throw(CheckpointError(path, "x")),
    "view and fetch differ": lambda path: changed(path, fetch=lambda: np.array([1, 3], np.float32)),
    "has other values than were written": lambda path: changed(
        path, view=lambda: frozen(1, 3), fetch=lambda: np.array([1, 3], np.float32)
    ),
    r"view of 'a' is float32 \(2,\), not float32 \(2, 1\)": lambda path: changed(path, shape=(2, 1)),
    "not int32": lambda path: changed(path, dtype="int32"),
    "the view can be written to": lambda path: changed(path, view=lambda: np.array([1, 2], np.float32)),
    "or the copy is no array of its own": lambda path: changed(path, view=lambda: SHARED[:], fetch=lambda: SHARED),
    "has the tensors": lambda path: {},
    "not every value is a StoredTensor": lambda path: {"a": np.zeros(2)},
    "is no text": lambda path: {"\ud800": open_safetensors(path)["a"]},
    "did what no reader may do: os.system": lambda path: os.system("true") or open_safetensors(path),
    "did what no reader may do: compile|did what no reader may do: exec": lambda path: eval("1") and open_safetensors(path),
    "did what no reader may do: open": lambda path: open(os.devnull, "rb").close() or open_safetensors(path),
    r"did what no reader may do: open|have become": traces,
}


@pytest.mark.parametrize("failure", FAULTS)
def test_a_planted_fault_is_found(tmp_path, watch, failure):
    case = Case(RIGHT, "x.safetensors", "safetensors", EXPECTED)
    outcome, _ = try_case(tmp_path, case, watch, lambda *given: judge(*given, {"safetensors": FAULTS[failure]}))
    assert outcome.failure and re.search(failure, outcome.failure)
    (tmp_path / "canary").unlink(missing_ok=True)


def test_no_fault_is_found_where_there_is_none_but_a_loaded_attack_is_one(tmp_path, watch):
    assert try_case(tmp_path, Case(RIGHT, "x.safetensors", "safetensors", EXPECTED), watch)[0].failure is None
    outcome, _ = try_case(tmp_path, Case(RIGHT, "x.safetensors", "safetensors", refused=True), watch)
    assert outcome.failure == "an attack was loaded"


PLANTED = f"""
import os, sys
sys.path[:0] = [{str(Path(__file__).parent / "tools")!r}, {str(Path(__file__).parents[1])!r}]
import fuzz_checkpoints, numpy
from convbert_np.checkpoints import formats
def reader(path):
    FAULT
right = formats.OPENERS["safetensors"]
formats.OPENERS["safetensors"] = lambda path: reader(path) or right(path)
fuzz_checkpoints.HANG = 1.0
sys.exit(fuzz_checkpoints.main())
"""


@pytest.mark.parametrize(
    ("fault", "failure"),
    [
        ("pass", None),
        ("{}['x']", "KeyError: 'x'"),
        ("while True: pass", "hung for 1 s"),
        ("os.abort()", "ended the process with -6"),
        ("numpy.ones(200 << 20, numpy.uint8)", "took (19|20)[0-9] MB"),
        ("numpy.ones(2 << 30, numpy.uint8)", "MemoryError"),
    ],
)
def test_a_fault_in_a_worker_is_found(tmp_path, monkeypatch, fault, failure):
    program = tmp_path / "planted.py"
    program.write_text(PLANTED.replace("FAULT", fault))
    monkeypatch.setattr(fuzz_checkpoints, "PROGRAM", [sys.executable, str(program)])
    monkeypatch.setattr(fuzz_checkpoints, "HANG", 1.0)
    tally = run("safetensors", 0, 2)
    assert tally.files == 2 and len(tally.failures) == (0 if failure is None else 2)
    assert all(re.search(failure or "-", why) for _, why in tally.failures)
    assert f"| safetensors | 2 | {tally.loaded} | " in table({"safetensors": tally})
