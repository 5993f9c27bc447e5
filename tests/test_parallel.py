"""Pre-training over MPI: two ranks are as one process, stop together, and go on as if they had not been killed."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from mpi_job import CASES, STEPS, trained

from convbert_np import cli
from convbert_np.training.corpus import Part
from convbert_np.training.loop import gradients
from convbert_np.training.parallel import Ranks, StoppedElsewhere, launched, mpi_ranks, split_like
from convbert_np.training.state import CHECKPOINT, read_log

MISSING = [
    name for name, found in (("mpirun", shutil.which("mpirun")), ("mpi4py", importlib.util.find_spec("mpi4py"))) if not found
]
needs_mpi = pytest.mark.skipif(bool(MISSING), reason=f"MPI is not installed: no {' and no '.join(MISSING)}")
JOB = [sys.executable, str(Path(__file__).with_name("mpi_job.py"))]
COMMAND = [sys.executable, "-m", "convbert_np.cli"]
ENVIRONMENT = os.environ | {
    "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "CONVBERT_NP_KERNELS": "default",
    "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",  # containers have no other user
    "OMPI_MCA_rmaps_base_oversubscribe": "1", "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",  # nor two cores
    "OMPI_MCA_mpi_yield_when_idle": "1",  # a rank that waits leaves its core to the other
}  # fmt: skip
SMALL = [
    "--vocab-size", "60", "--layers", "1", "--hidden-size", "16", "--embedding-size", "8", "--heads", "4", "--kernel-size", "3",
    "--intermediate-size", "20", "--length", "16", "--batch-size", "6", "--held-out", "0.2", "--evaluate-every", "10",
    "--save-every", "3", "--steps", "24", "--quiet",
]  # fmt: skip


def start(*command):
    """Two ranks of a command."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(["mpirun", "-n", "2", *map(str, command)], env=ENVIRONMENT, **pipes)


def end(process):
    """Exit code and texts of a process that must end within two minutes."""
    try:
        out, error = process.communicate(timeout=120)
    finally:
        process.kill()
    return process.returncode, out, error


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    rng, path = np.random.default_rng(0), tmp_path_factory.mktemp("text") / "corpus.txt"
    words = ["the", "cat", "sat", "on", "a", "red", "mat", "and", "saw", "two", "birds", "near", "water"]
    path.write_text("\n\n".join(" ".join(rng.choice(words, 12)) + "." for _ in range(60)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    """For each case what either rank has at the end."""
    out = tmp_path_factory.mktemp("ranks")
    code, _, error = end(start(*JOB, "train", out))
    assert code == 0, error
    return [[dict(np.load(out / f"{number}-{rank}.npz")) for rank in range(2)] for number in range(len(CASES))]


def assert_same_training(found, params, records, before):
    """Losses, and how far each parameter went, to 1e-12."""
    losses = found.pop("losses")
    np.testing.assert_allclose(losses, [record["loss"] for record in records], rtol=1e-12)
    assert len(losses) == STEPS and found.keys() == params.keys()
    for name, p in params.items():
        way, apart = np.linalg.norm(p - before[name]), np.linalg.norm(found[name] - p)
        if name.endswith(
            "key.bias"
        ):  # its gradient is 0 in exact arithmetic: what moves it is rounding, over the optimizer's eps
            assert apart < 1e-9, (name, apart)
        else:
            assert apart <= 1e-12 * np.linalg.norm(p) and apart < 1e-10 * way, (name, apart, way)


@needs_mpi
@pytest.mark.parametrize("number", range(len(CASES)))
def test_two_ranks_are_as_one_process(followed, number):
    zero, one = followed[number]
    for name, p in zero.items():
        np.testing.assert_array_equal(one[name], p, err_msg=name)
    assert_same_training(dict(zero), *trained(*CASES[number]))


@needs_mpi
def test_two_ranks_are_as_one_process_with_the_doubled_batch(followed):
    """Without dropout the batch in one part: what a step would be without any parts or ranks."""
    assert CASES[3] == ("mlm", 0.0, 2)
    assert_same_training(dict(followed[3][0]), *trained("mlm", 0.0, 1))


# Stopped.


@needs_mpi
@pytest.mark.parametrize(
    ("kind", "code", "message"),
    [
        ("nan", 1, "convbert-np: step 3: the loss is not finite; the first value that is not is generator_lm_head.bias"),
        ("error", 1, "RuntimeError: planted on rank 1"),
        ("disk", 2, "convbert-np: error: planted: the disk is full"),
        ("between", 1, "RuntimeError: planted where the ranks agree on nothing"),
        ("drift", 2, "convbert-np: error: checksum of the parameters: is"),
    ],
)
def test_an_error_on_one_rank_stops_all(text, tmp_path, kind, code, message):
    found, out, error = end(start(*JOB, "fault", kind, "pretrain", text, "--out", tmp_path / "run", *SMALL, "--mpi"))
    assert found == code and error.count(message) == 1, error
    told = [line for line in error.splitlines() if line.startswith("convbert-np: ") or "Error: " in line]
    assert len(told) == 1 and "written" not in out
    assert len(read_log(tmp_path / "run")) == {"between": 0, "disk": 3}.get(kind, 2)


@needs_mpi
def test_misuse_is_told_once(text, tmp_path):
    command = [*COMMAND, "pretrain", text, "--out", tmp_path / "run", *SMALL, "--mpi", "--accumulation", "1"]
    code, _, error = end(start(*command))
    assert code == 2 and error.count("convbert-np: error") == 1, error
    assert "accumulation: must be at least 2, a part of the batch for each rank, got 1" in error


# Killed.


def children_of(process):
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(pid) for pid in listed.read_text().split()]


def kill_all(process, ready):
    """Kill mpirun and the ranks as soon as something is true, and wait until they are gone."""
    while not ready():
        assert process.poll() is None, process.communicate()
        time.sleep(0.001)
    pids = [process.pid, *children_of(process)]
    assert len(pids) == 3
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    process.communicate()
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        time.sleep(0.01)


@needs_mpi
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="there is no list of a process' children in /proc here")
def test_killed_it_ends_with_the_same_parameters(text, tmp_path):
    def started(out):
        return start(*COMMAND, "pretrain", text, "--out", out, *SMALL, "--objective", "rtd", "--mpi")

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    code, out, error = end(started(whole))
    assert code == 0 and out.count(f"written: {whole}, ") == out.count("step 24: loss") == 1, error
    for least in (5, 16):
        kill_all(started(killed), lambda n=least: (killed / "log.jsonl").exists() and len(read_log(killed)) >= n)
        assert (killed / CHECKPOINT).exists()
    code, _, error = end(started(killed))
    assert code == 0, error
    for name in ("model.safetensors", CHECKPOINT, "vocab.txt"):
        assert (whole / name).read_bytes() == (killed / name).read_bytes(), name
    assert [record["step"] for record in read_log(killed)] == list(range(1, 25))
    assert cli.main(["pretrain", str(text), "--out", str(killed), *SMALL, "--objective", "rtd", "--accumulation", "2"]) == 2


# Without MPI.


def test_one_process_is_a_rank_by_itself():
    ranks, grads, losses = Ranks(), {"a": np.ones(3)}, {"loss": 2.0}
    assert (ranks.rank, ranks.size, list(ranks.mine("abc"))) == (0, 1, ["a", "b", "c"])
    assert ranks.sum(grads, losses) == (grads, losses)
    with pytest.raises(KeyError, match="own"), ranks.or_abort(), ranks.together():
        raise KeyError("own")


def test_parts_are_dealt_out_in_turn():
    seen = []
    for rank in range(3):
        ranks = Ranks()
        ranks.rank, ranks.size = rank, 3
        seen.append(list(ranks.mine(range(7))))
    assert seen == [[0, 3, 6], [1, 4], [2, 5]]
    with pytest.raises(ValueError, match="parts: there are none for step 5"):
        gradients(None, [Part({}, 1.0, (0,))][1:], 4)  # type: ignore[arg-type]


def test_a_flat_array_is_split_as_the_arrays_were_joined():
    arrays = {"b": np.arange(6.0).reshape(2, 3), "a": np.array(7.0), "c": np.array([8.0])}
    flat = np.concatenate([array.reshape(-1) for array in arrays.values()])
    found = split_like(flat, arrays)
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].shape == array.shape and np.shares_memory(found[name], flat)


def test_without_mpi4py_the_error_names_the_extra(monkeypatch, capsys, text, tmp_path):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(ImportError, match=r'pip install "convbert-np\[mpi\]"'):
        mpi_ranks()
    assert cli.main(["pretrain", str(text), "--out", str(tmp_path), *SMALL, "--mpi"]) == 2
    assert "mpi: needs MPI and mpi4py" in capsys.readouterr().err


def test_mpirun_without_the_option_is_refused(monkeypatch, capsys, text, tmp_path):
    """Each of the processes would train a model of its own into the same files."""
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "3")
    assert launched() == 3
    assert cli.main(["pretrain", str(text), "--out", str(tmp_path / "run"), *SMALL]) == 2
    assert "mpi: 3 processes were started by MPI; add --mpi" in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_nothing_imports_mpi4py_unasked():
    code = "import sys, convbert_np.cli, convbert_np.training.parallel as p; p.alone(); sys.exit('mpi4py' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_those_who_stop_with_another_say_nothing(monkeypatch, capsys, text, tmp_path):
    def stopped():
        raise StoppedElsewhere("rank 1: planted")

    monkeypatch.setattr("convbert_np.cli.pretrain.alone", stopped)
    assert cli.main(["pretrain", str(text), "--out", str(tmp_path), *SMALL]) == 0
    assert capsys.readouterr() == ("", "")
