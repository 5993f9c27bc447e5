"""convbert-np doctor: what it finds on machines of many kinds, what it advises, and the restart with better kernels."""

import argparse
import json
import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from convbert_np.cli import doctor, kernels
from convbert_np.verify import advice, blas, machine, rates

ROOT = Path(__file__).parents[1]
SKX = {"AVX512F", "AVX512CD", "AVX512BW", "AVX512DQ", "AVX512VL"}
AVX2 = {"SSE42", "AVX", "AVX2", "FMA3"}
WHEEL = {"Build Dependencies": {"blas": {"name": "scipy-openblas", "found": True, "version": "0.3.31"}}}
DYNAMIC = "OpenBLAS 0.3.31 USE64BITINT DYNAMIC_ARCH NO_AFFINITY {} MAX_THREADS=64"


# ---- machines


class Function:
    """A function of a library, as ctypes hands it out."""

    restype = None

    def __init__(self, answer):
        self.answer = answer

    def __call__(self, *given):
        return self.answer(*given) if callable(self.answer) else self.answer


class Library:
    """A loaded library with these functions."""

    def __init__(self, **functions):
        for name, answer in functions.items():
            setattr(self, name, Function(answer))


def openblas(kernel_set, threads=8, parallel=1, config=DYNAMIC, form="scipy_openblas_{}64_", **more):
    answers = {
        "get_corename": kernel_set.encode(),
        "get_config": config.format(kernel_set).encode(),
        "get_num_threads": threads,
        "get_parallel": parallel,
    }
    return [
        ("/numpy.libs/libscipy_openblas64_.so", Library(**{form.format(name): value for name, value in answers.items()}, **more))
    ]


def mkl(processor, threads=8):
    def version(reference):
        reference._obj.major, reference._obj.minor, reference._obj.processor = 2024, 2, processor.encode()

    return [("/lib/libmkl_rt.so.2", Library(MKL_Get_Version=version, MKL_Get_Max_Threads=threads))]


@dataclass
class Case:
    """A machine; and what is to be found and advised there."""

    libraries: list = field(default_factory=list)
    features: set = field(default_factory=set)
    cpuinfo: str = ""
    config: dict = field(default_factory=lambda: WHEEL)
    processors: int | None = 8
    siblings: int = 1
    architecture: str = "x86_64"
    system: str = "linux"
    files: dict = field(default_factory=dict)
    sysctl: dict = field(default_factory=dict)
    environ: dict = field(default_factory=dict)
    name: str | None = "OpenBLAS"
    instructions: str | None = None
    tried: list = field(default_factory=list)
    remarks: list = field(default_factory=list)

    def sources(self, root):
        files = {"proc/cpuinfo": self.cpuinfo, "proc/meminfo": "MemTotal: 32000000 kB\nMemAvailable: 16000000 kB\n", **self.files}
        for number in range(self.processors or 0):
            first = number - number % self.siblings
            files[f"sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list"] = f"{first}-{first + self.siblings - 1}\n"
        for path, text in files.items():
            if text is not None:
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text(text)
        affinity = frozenset(range(self.processors)) if self.processors and self.system == "linux" else None
        features = dict.fromkeys(self.features, True) | {"NEVER": False}
        return machine.Sources(
            root, self.environ, self.system, self.architecture, self.config, features, self.processors, affinity, self.sysctl.get
        )  # fmt: skip


def built(name, **more):
    return {"Build Dependencies": {"blas": {"name": name, "found": True, **more}}}


AMD = "processor: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC 9B45\nflags\t\t: fpu avx avx2\n"
INTEL = "processor: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Xeon(R)\nflags\t\t: fpu avx avx2\n"
NEOVERSE = "processor: 0\nFeatures\t: fp asimd sve\nCPU implementer\t: 0x41\nCPU part\t: 0xd40\n"
QUOTA = {"proc/self/cgroup": "0::/box\n", "sys/fs/cgroup/box/cpu.max": "200000 100000\n", "sys/fs/cgroup/box/memory.max": "max\n"}
AVX512_MKL = "Intel(R) Advanced Vector Extensions 512 (Intel(R) AVX-512) enabled processors"

CASES = {
    "avx-512 amd with avx2 kernels": Case(
        openblas("Haswell"), AVX2 | SKX, AMD, instructions="AVX2", tried=[{"OPENBLAS_CORETYPE": "SKYLAKEX"}]
    ),
    "zen kernels, numpy 2.5 names": Case(
        openblas("Zen"), AVX2 | {"X86_V4"}, AMD, instructions="AVX2", tried=[{"OPENBLAS_CORETYPE": "SKYLAKEX"}]
    ),
    "avx-512 of which a part is missing": Case(openblas("Haswell"), AVX2 | {"AVX512F", "AVX512CD"}, INTEL, instructions="AVX2"),
    "a build that has no avx-512 kernels": Case(
        openblas("Haswell", gotoblas_HASWELL=0, gotoblas_NEHALEM=0), AVX2 | SKX, AMD, instructions="AVX2"
    ),
    "a build that has them": Case(
        openblas("Haswell", gotoblas_HASWELL=0, gotoblas_SKYLAKEX=0), AVX2 | SKX, AMD, instructions="AVX2",
        tried=[{"OPENBLAS_CORETYPE": "SKYLAKEX"}],
    ),
    "a build of one kernel set": Case(
        openblas("Haswell", config="OpenBLAS 0.3.21 NO_AFFINITY {}", form="openblas_{}"), AVX2 | SKX, AMD, instructions="AVX2",
        remarks=["built for one kernel set, Haswell (AVX2), and the processor offers AVX-512"],
    ),
    "avx-512 amd with avx-512 kernels": Case(
        openblas("SkylakeX"), AVX2 | SKX, AMD, instructions="AVX-512", tried=[{"OPENBLAS_CORETYPE": "HASWELL"}]
    ),
    "intel with skylakex": Case(openblas("SkylakeX"), AVX2 | SKX, INTEL, instructions="AVX-512"),
    "an unknown processor with sse kernels": Case(
        openblas("Prescott"), AVX2, INTEL, instructions="SSE3", tried=[{"OPENBLAS_CORETYPE": "HASWELL"}]
    ),
    "one thread of eight": Case(
        openblas("Haswell", threads=1), AVX2, INTEL, instructions="AVX2", environ={"OMP_NUM_THREADS": "1"},
        tried=[{"OPENBLAS_NUM_THREADS": "8"}],
    ),
    "one thread of eight, openmp": Case(
        openblas("Haswell", threads=1, parallel=2), AVX2, INTEL, instructions="AVX2", tried=[{"OMP_NUM_THREADS": "8"}]
    ),
    "hyperthreads": Case(
        openblas("Haswell", threads=8), AVX2, INTEL, siblings=2, instructions="AVX2", tried=[{"OPENBLAS_NUM_THREADS": "4"}]
    ),
    "a container's share": Case(
        openblas("SkylakeX", threads=8), AVX2 | SKX, INTEL, files=QUOTA, instructions="AVX-512",
        tried=[{"OPENBLAS_NUM_THREADS": "2"}],
    ),
    "both": Case(
        openblas("Haswell", threads=1), AVX2 | SKX, AMD, instructions="AVX2",
        tried=[{"OPENBLAS_CORETYPE": "SKYLAKEX"}, {"OPENBLAS_NUM_THREADS": "8"}],
    ),
    "neoverse": Case(openblas("neoversev1"), {"NEON", "ASIMD", "SVE"}, NEOVERSE, architecture="aarch64"),
    "an arm processor that openblas does not know": Case(
        openblas("armv8"), {"NEON", "ASIMD"}, NEOVERSE, architecture="aarch64", tried=[{"OPENBLAS_CORETYPE": "NEOVERSEN1"}]
    ),
    "accelerate": Case(
        [], {"NEON", "ASIMD"}, config=built("accelerate"), architecture="arm64", system="darwin", name="Accelerate",
        sysctl={
            "machdep.cpu.brand_string": "Apple M2", "hw.physicalcpu": "8", "hw.memsize": "17179869184",
            "sysctl.proc_translated": "0",
        },
    ),
    "rosetta": Case(
        openblas("Nehalem"), {"SSE42"}, architecture="x86_64", system="darwin", instructions="SSE4.2",
        sysctl={"machdep.cpu.brand_string": "VirtualApple", "hw.physicalcpu": "8", "sysctl.proc_translated": "1"},
        remarks=["Python is emulated (Rosetta"],
    ),
    "rosetta in a container": Case(
        openblas("Nehalem"), {"SSE42"}, INTEL.replace("GenuineIntel", "VirtualApple"), instructions="SSE4.2",
        remarks=["Python is emulated (Rosetta"],
    ),
    "x86 on arm": Case(
        openblas("Nehalem"), {"SSE42"}, NEOVERSE, instructions="SSE4.2", remarks=["emulated (an x86 build on an ARM processor)"]
    ),
    "arm on x86": Case(
        openblas("neoversen1"), {"NEON"}, INTEL, architecture="aarch64", remarks=["emulated (an ARM build on an x86 processor)"]
    ),
    "mkl": Case(mkl(AVX512_MKL), AVX2 | SKX, INTEL, config=built("mkl-sdl"), name="MKL", instructions="AVX-512"),
    "mkl with one thread": Case(
        mkl(AVX512_MKL, 1), AVX2 | SKX, INTEL, name="MKL", instructions="AVX-512", tried=[{"MKL_NUM_THREADS": "8"}]
    ),
    "no blas": Case(
        [], AVX2, INTEL, config={"Build Dependencies": {"blas": {"name": "", "found": False}}}, name=blas.NONE,
        remarks=["NumPy has no optimised BLAS (none: NumPy's own loops)"],
    ),
    "plain blas": Case([], AVX2, INTEL, config=built("blas"), name=blas.PLAIN, remarks=["NumPy has no optimised BLAS (plain"]),
    "plain in name, openblas when loaded": Case(
        openblas("Haswell", form="openblas_{}"), AVX2, INTEL, config=built("blas"), instructions="AVX2"
    ),
    "numpy without vector loops": Case(
        openblas("Haswell"), AVX2, INTEL, instructions="AVX2",
        config=WHEEL | {"SIMD Extensions": {"baseline": ["SSE", "SSE2"], "found": []}},
        remarks=["without AVX2 for its elementwise loops"],
    ),
    "a small container": Case(
        openblas("Haswell"), AVX2, INTEL, instructions="AVX2",
        files=QUOTA | {"sys/fs/cgroup/box/cpu.max": "max 100000\n", "sys/fs/cgroup/box/memory.max": "1073741824\n"},
        remarks=["The container's limit is 1.1 GB. The base model needs about 4 GB for a training step"],
    ),
    "a tiny one": Case(
        openblas("Haswell"), AVX2, INTEL, instructions="AVX2",
        files={"proc/self/cgroup": "4:memory:/gone\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "268435456\n"},
        remarks=["The base model needs about 0.6 GB for a forward pass"],
    ),
    "nothing is known": Case(
        [], set(), config={}, processors=None, architecture="", name=None, files={"proc/cpuinfo": None, "proc/meminfo": None}
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_what_is_found_and_tried(case, tmp_path):
    sources = case.sources(tmp_path)
    found = blas.find_blas(sources.config, case.libraries)
    report = doctor.describe(sources, found)
    assert (found.name, found.instructions) == (case.name, case.instructions)
    assert [trial.variables for trial in advice.trials(found, report["processor"], report["threads"])] == case.tried
    remarks = advice.remarks(found, report["processor"], report["numpy"], report["memory"])
    assert len(remarks) == len(case.remarks)
    assert all(part in remark for part, remark in zip(case.remarks, remarks, strict=True))
    json.dumps(report)


def facts_of(case, root):
    sources = case.sources(root)
    return doctor.describe(sources, blas.find_blas(sources.config, case.libraries))


def test_the_facts_of_an_amd_machine(tmp_path):
    case = CASES["avx-512 amd with avx2 kernels"]
    case = Case(
        case.libraries, case.features, case.cpuinfo, processors=8, siblings=2, environ={"OMP_NUM_THREADS": "8", "HOME": "/"}
    )
    facts = facts_of(case, tmp_path)
    assert facts["blas"] | {"library": None} == {
        "name": "OpenBLAS", "version": "0.3.31", "kernel_set": "Haswell", "instructions": "AVX2", "kernel_sets_in_build": None,
        "chosen_at_run_time": True, "threads": 8, "threading": "its own", "library": None,
    }  # fmt: skip
    assert facts["processor"] == {
        "model": "AMD EPYC 9B45", "architecture": "x86_64", "offers": ["SSE4.2", "AVX", "AVX2", "AVX-512"],
        "emulation": "none seen",
    }  # fmt: skip
    assert facts["threads"] == {
        "blas_threads": 8, "logical_processors": 8, "usable_by_this_process": 8, "cores_among_them": 4, "container_quota": None,
        "environment": {"OMP_NUM_THREADS": "8"},
    }  # fmt: skip
    assert facts["memory"] == {"total": 32768000000, "available": 16384000000, "container_limit": None}


def test_the_facts_of_a_mac(tmp_path):
    facts = facts_of(CASES["accelerate"], tmp_path)
    assert facts["processor"]["model"] == "Apple M2" and facts["threads"]["cores_among_them"] == 8
    assert facts["memory"]["total"] == 2**34 and facts["threads"]["usable_by_this_process"] == 8


def test_the_facts_of_an_arm_server(tmp_path):
    facts = facts_of(CASES["neoverse"], tmp_path)
    assert facts["processor"]["model"] == "ARM implementer 0x41, part 0xd40" and facts["processor"]["offers"] == ["NEON", "SVE"]
    assert facts["blas"]["kernel_set"] == "neoversev1"


def test_cpuinfo_answers_where_numpy_does_not(tmp_path):
    case = Case(cpuinfo="flags : avx avx2 fma avx512f avx512dq avx512cd avx512bw avx512vl sse4_2\n")
    assert facts_of(case, tmp_path)["processor"]["offers"] == ["SSE4.2", "AVX", "AVX2", "AVX-512"]


def test_cores_without_a_topology(tmp_path):
    blocks = [f"processor : {n}\nphysical id : 0\ncore id : {n % 2}\n" for n in range(4)]
    case = Case(cpuinfo="\n".join(blocks), processors=4, files={})
    sources = case.sources(tmp_path)
    for path in (tmp_path / "sys").rglob("thread_siblings_list"):
        path.unlink()
    assert machine.cores(sources) == 2


def test_what_is_not_known_is_printed_as_unknown(tmp_path, capsys):
    report = facts_of(CASES["nothing is known"], tmp_path)
    for section, facts in report.items():
        doctor.print_section(section, facts)
    text = capsys.readouterr().out
    assert "\n  container limit  none found\n" in text and "\n  environment             nothing set\n" in text
    for label in (
        "built with",
        "chosen at run time",
        "kernel set",
        "model",
        "offers",
        "emulation",
        "blas threads",
        "cores among them",
        "total",
        "available",
    ):
        assert f"\n  {label} " in text and next(line for line in text.splitlines() if line.startswith(f"  {label} ")).endswith(
            "unknown"
        )


@pytest.mark.parametrize(
    "files, quota, limit",
    [
        ({}, None, None),
        ({"proc/self/cgroup": "0::/\n"}, None, None),
        (
            {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n", "sys/fs/cgroup/memory.max": "4096\n"},
            1.5, 4096,
        ),
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/b/cpu.max": "100000 100000\n", "sys/fs/cgroup/a/cpu.max": "50000 100000\n",
                "sys/fs/cgroup/cpu.max": "max 100000\n",
                "sys/fs/cgroup/a/b/memory.max": "8192\n", "sys/fs/cgroup/a/memory.max": "4096\n",
            },
            0.5, 4096,
        ),
        (
            {
                "proc/self/cgroup": "5:cpu,cpuacct:/x\n4:memory:/y\n3:pids:/z\n",
                "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "300000\n", "sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000\n",
                "sys/fs/cgroup/memory/y/memory.limit_in_bytes": "4096\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{2**63 - 4096}\n",
                "sys/fs/cgroup/memory/z/memory.limit_in_bytes": "1\n",
            },
            3.0, 4096,
        ),
        (
            {
                "proc/self/cgroup": "5:cpu:/\n4:memory:/\n", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{2**63 - 4096}\n",
            },
            None, None,
        ),
        ({"proc/self/cgroup": "nonsense"}, None, None),
    ],
)  # fmt: skip
def test_limits_of_a_container(files, quota, limit, tmp_path):
    facts = facts_of(Case(files=files), tmp_path)
    assert (facts["threads"]["container_quota"], facts["memory"]["container_limit"]) == (quota, limit)


@pytest.mark.parametrize("form", ["scipy_openblas_{}64_", "scipy_openblas_{}", "openblas_{}64_", "openblas_{}_64", "openblas_{}"])
def test_openblas_by_any_name(form):
    found = blas.find_blas({}, [("/lib/liblapack.so", Library()), *openblas("SkylakeX", 3, form=form)])
    assert (found.name, found.kernel_set, found.threads, found.version) == ("OpenBLAS", "SkylakeX", 3, "0.3.31")


def test_a_library_that_fails_is_passed_over():
    def fails(*_):
        raise OSError("no")

    assert blas.find_blas(WHEEL, [("/a", Library(openblas_get_corename=fails))]).name == "OpenBLAS"
    blis = Library(bli_info_get_version_str=b"1.0", bli_thread_get_num_threads=4)
    assert blas.find_blas({}, [("/a", blis)]) == blas.Blas("BLIS", "1.0", threads=4, library="/a")


def test_the_library_that_comes_with_numpy_is_asked_first(monkeypatch):
    paths = [
        "/lib/libc.so",
        "/scipy.libs/libscipy_openblas.so",
        "/numpy.libs/libscipy_openblas64_.so",
        "/lib/libmkl_rt.so.2",
        "/gone/blas",
    ]
    monkeypatch.setattr(blas, "loaded_paths", lambda: [*paths, *paths])
    monkeypatch.setattr(blas.ctypes, "CDLL", lambda path: {name: name for name in paths[:4]}[path])
    assert [path for path, _ in blas.loaded_libraries()] == [paths[2], paths[1], paths[3]]


def test_the_library_that_numpy_has_loaded_is_found():
    name = str(np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"])  # type: ignore[index]
    if "openblas" not in name or sys.platform != "linux":
        pytest.skip("this NumPy has no OpenBLAS of its own")
    found = blas.find_blas({})
    assert found.name == "OpenBLAS" and found.kernel_set and found.threads and Path(found.library or "").is_file()
    if found.chosen_at_run_time and found.instructions:
        script = "from convbert_np.verify.blas import find_blas; print(find_blas({}).kernel_set, find_blas({}).threads)"
        environ = os.environ | {"OPENBLAS_CORETYPE": "Nehalem", "OPENBLAS_NUM_THREADS": "1"}
        assert run([sys.executable, "-c", script], environ).stdout.split() == ["Nehalem", "1"]


# ---- advice


def rate_of(*answers):
    """A rate whose answers depend on the variables, and the order in which it was asked."""
    asked = []

    def rate(variables):
        asked.append(dict(variables))
        values = next(values for wanted, values in answers if wanted == dict(variables))
        return values[sum(earlier == asked[-1] for earlier in asked) - 1] if isinstance(values, list) else values

    return rate, asked


A, B = {"A": "1"}, {"B": "2"}


def test_trials_take_turns_and_what_helps_is_measured_together():
    rate, asked = rate_of(({}, 100.0), (A, 180.0), (B, 200.0), (A | B, 350.0))
    found = advice.measured([advice.Trial("a.", A), advice.Trial("b.", B)], rate)
    assert asked == [{}, A, B] * 5 + [{}, A | B] * 5
    assert [(one.variables, one.gain, one.verdict) for one in found] == [
        (A, 1.8, "gain"), (B, 2.0, "gain"), (A | B, 3.5, "gain")
    ]  # fmt: skip
    assert str(found[0]) == "a.\nA=1 is 1.8 times as fast here (products: 100 -> 180 GFLOP/s in float32)."


@pytest.mark.parametrize(
    "after, verdict",
    [
        ([105.0] * 5, "gain"),
        ([104.9] * 5, "no gain"),
        ([50.0] * 5, "no gain"),
        ([90.0, 150.0, 150.0, 150.0, 150.0], "gain"),
        ([90.0, 90.0, 150.0, 150.0, 150.0], "unclear"),
    ],
)
def test_no_advice_below_five_percent_or_from_noise(after, verdict):
    rate, _ = rate_of(({}, 100.0), (A, after))
    found = advice.measured([advice.Trial("a.", A)], rate)
    assert [one.verdict for one in found] == [verdict]


def test_a_trial_that_fails_is_no_advice():
    rate, asked = rate_of(({}, 100.0), (A, None), (B, 150.0))
    found = advice.measured([advice.Trial("a.", A), advice.Trial("b.", B)], rate)
    assert [one.variables for one in found] == [B]
    assert advice.measured([advice.Trial("a.", A)], lambda variables: None) == []
    asked.clear()
    assert advice.measured([], rate) == [] and asked == []


def test_what_is_printed_as_advice(capsys, monkeypatch):
    for name in (kernels.CHOICE, kernels.SWITCH):
        monkeypatch.delenv(name, raising=False)
    wide = {"OPENBLAS_CORETYPE": "SKYLAKEX"}
    rate, _ = rate_of(({}, 225.0), (wide, 420.0), (A, 226.0), (B, [100.0, 100.0, 500.0, 500.0, 500.0]))
    tried = advice.measured([advice.Trial("w.", wide), advice.Trial("a.", A), advice.Trial("b.", B)], rate)
    doctor.print_advice(tried, ["Something else."])
    text = capsys.readouterr().out
    assert "  1. w.\n     OPENBLAS_CORETYPE=SKYLAKEX is 1.9 times as fast here (products: 225 -> 420 GFLOP/s" in text
    assert "Before Python is started: " in text and "choose these kernels themselves" in text
    assert "\n  2. Something else.\n" in text and "\n  3." not in text
    assert "a. A=1 was tried and gains nothing here (1.00 times as fast)." in text
    assert "b. Whether B=2 helps is not clear (0.44 to 2.22 times as fast)" in text
    monkeypatch.setenv(kernels.SWITCH, "default")
    doctor.print_advice(tried, [])
    assert "choose these kernels themselves" not in capsys.readouterr().out
    doctor.print_advice([], [])
    assert capsys.readouterr().out == "ADVICE\n  none\n"


# ---- measurements


def test_the_shortest_time_counts(monkeypatch):
    ticks = iter([0.0, 5.0, 5.0, 7.0, 7.0, 10.0, 10.0, 14.0])
    monkeypatch.setattr(rates.time, "perf_counter", lambda: next(ticks))
    calls = []
    assert rates.best_time(lambda: calls.append(1), 10.0) == 2.0 and len(calls) == 4


def test_rates_are_work_by_time(monkeypatch):
    monkeypatch.setattr(rates, "best_time", lambda run, seconds: run() is None or 1.0)
    assert rates.product_rate(np.float64, 1) == 2 * 256**3 / 1e9
    numbers = 1024 * 3072
    assert rates.elementwise_rates(1) == {"add_gb_per_s": 12 * numbers / 1e9, "exp_gb_per_s": 8 * numbers / 1e9}
    monkeypatch.setattr(rates, "best_time", lambda run, seconds: 0.001)
    assert rates.product_rate(np.float32, 1) == pytest.approx(2 * 2048**3 / 1e6)


def test_the_rate_in_a_process_of_its_own(monkeypatch):
    monkeypatch.setattr(rates, "PATIENCE", 120.0)
    assert (rates.rate_with({"OPENBLAS_NUM_THREADS": "1"}) or 0) > 0
    assert rates.rate_with({"PYTHONHOME": os.devnull}) is None
    monkeypatch.setattr(sys, "executable", "")
    assert rates.rate_with({}) is None


# ---- the command

SECTIONS = ["PYTHON", "NUMPY", "BLAS", "PROCESSOR", "THREADS", "MEMORY", "EXTRAS", "RATES", "ADVICE"]
COMMAND = """
import argparse, sys
from convbert_np.cli.doctor import add_doctor
parser = argparse.ArgumentParser()
add_doctor(parser.add_subparsers())
parsed = parser.parse_args()
code = parsed.command(parsed)
assert not {"matplotlib", "huggingface_hub", "cupy"} & set(sys.modules)
sys.exit(code)
"""


def run(command, environ=None):
    environ = {**(os.environ if environ is None else environ), "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=300)


def test_the_command_prints_every_section():
    done = run([sys.executable, "-c", COMMAND, "doctor"])
    assert done.returncode == 0 and done.stderr == ""
    assert [line for line in done.stdout.splitlines() if line.isupper()] == SECTIONS
    for label in ("products float32", "products float64", "add", "exp"):
        line = next(line for line in done.stdout.splitlines() if line.startswith(f"  {label} "))
        assert float(line.split()[-2]) > 0
    assert np.__version__ in done.stdout


def parsed(*arguments):
    parser = argparse.ArgumentParser()
    doctor.add_doctor(parser.add_subparsers())
    return parser.parse_args(["doctor", *arguments])


def test_json_holds_the_same(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "measure", lambda: {"products_float32_gflops": 225.5})
    monkeypatch.setattr(doctor, "find_blas", lambda config: blas.Blas("OpenBLAS", "1", "Haswell", "AVX2", threads=10**6))
    monkeypatch.setattr(doctor, "measured", lambda trials: advice.measured(trials, lambda given: 200.0 if given else 100.0))
    monkeypatch.setattr(doctor, "remarks", lambda *given: ["Something."])
    assert doctor.run_doctor(parsed("--json")) == 0
    found = json.loads(capsys.readouterr().out)
    assert [name.upper() for name in found][:8] == SECTIONS[:8]
    assert found["rates"] == {"threads_of_products": 10**6, "products_float32_gflops": 225.5}
    assert found["remarks"] == ["Something."] and found["tried"][-1]["gain"] == 2.0
    assert found["tried"][-1]["verdict"] == "gain" and found["tried"][-1]["variables"]
    assert doctor.run_doctor(parsed()) == 0
    text = capsys.readouterr().out
    assert "225.5 GFLOP/s" in text and "2.0 times as fast" in text and "Something." in text


# ---- the restart


HASWELL = blas.Blas("OpenBLAS", "0.3.31", "Haswell", "AVX2", chosen_at_run_time=True)


@pytest.fixture
def avx512(monkeypatch):
    """An AVX-512 processor with AVX2 kernels."""
    monkeypatch.setattr(kernels, "find_blas", lambda config: HASWELL)
    monkeypatch.setattr(kernels, "numpy_features", lambda: dict.fromkeys(AVX2 | SKX, True))
    monkeypatch.setattr(kernels, "command_line", lambda: ["python"])
    return monkeypatch


def test_better_kernels_are_chosen(avx512):
    wanted = {"OPENBLAS_CORETYPE": "SKYLAKEX"}
    for environ in ({}, {kernels.SWITCH: "best"}, {kernels.SWITCH: ""}, {"OPENBLAS_CORETYPE": ""}):
        assert kernels.choose_kernels(environ, None) == wanted


@pytest.mark.parametrize("environ", [{kernels.SWITCH: "default"}, {kernels.CHOICE: "Haswell"}, {kernels.MARKER: "1"}])
def test_the_user_decides(avx512, environ):
    assert kernels.choose_kernels(environ, None) is None


def test_another_program_is_not_started_again(avx512):
    assert kernels.choose_kernels({}, ["trace", "x"]) is None and kernels.choose_kernels({}, []) is None
    avx512.setattr(kernels, "command_line", lambda: None)
    assert kernels.choose_kernels({}, None) is None


@pytest.mark.parametrize(
    "found",
    [
        blas.Blas("MKL", instructions="AVX2"),
        blas.Blas("OpenBLAS", kernel_set="SkylakeX", instructions="AVX-512"),
        blas.Blas("OpenBLAS", kernel_set="Nehalem", instructions="SSE4.2"),
        blas.Blas("OpenBLAS", kernel_set="armv8"),
        blas.Blas("OpenBLAS", kernel_set="Haswell", instructions="AVX2", chosen_at_run_time=False),
        blas.Blas("OpenBLAS", kernel_set="Haswell", instructions="AVX2", kernel_sets_in_build=["Haswell"]),
        blas.Blas(),
    ],
)
def test_other_libraries_are_left_alone(avx512, found):
    avx512.setattr(kernels, "find_blas", lambda config: found)
    assert kernels.choose_kernels({}, None) is None


def test_an_avx2_processor_is_left_alone(avx512):
    for features in (AVX2, AVX2 | {"AVX512F", "AVX512CD"}, set()):
        avx512.setattr(kernels, "numpy_features", lambda features=features: dict.fromkeys(features, True))
        assert kernels.choose_kernels({}, None) is None


def test_an_unknown_switch_is_an_error(avx512):
    with pytest.raises(ValueError, match="CONVBERT_NP_KERNELS: must be one of best, default, got 'fast'"):
        kernels.choose_kernels({kernels.SWITCH: "fast"}, None)


def test_the_command_line_that_can_be_repeated(monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", ["python", "-X", "utf8", "-m", "convbert_np.cli", "trace", "a b"])
    monkeypatch.setattr(sys, "argv", ["/somewhere/__main__.py", "trace", "a b"])
    assert kernels.command_line() == [sys.executable, "-X", "utf8", "-m", "convbert_np.cli", "trace", "a b"]
    for argv in (["/x/__main__.py", "trace", "other"], ["", "trace", "a b"], ["-", "trace", "a b"]):
        monkeypatch.setattr(sys, "argv", argv)
        assert kernels.command_line() is None


PROGRAM = """
import os, sys
from convbert_np.cli import kernels
from convbert_np.verify.blas import Blas

kernels.find_blas = lambda config: Blas("OpenBLAS", "0.3.31", "Haswell", "AVX2")
kernels.numpy_features = lambda: dict.fromkeys(["AVX512F", "AVX512CD", "AVX512BW", "AVX512DQ", "AVX512VL"], True)
print("begins", os.environ.get("OPENBLAS_CORETYPE"), flush=True)
if {always}:
    os.environ.pop("OPENBLAS_CORETYPE", None)
chosen = kernels.choose_kernels(os.environ, None)
if chosen or {always}:
    print("buffered, not lost")
    kernels.restart_with(chosen or {{"OPENBLAS_CORETYPE": "SKYLAKEX"}})
print("works on", sys.argv[1:], sys.stdin.read())
sys.exit(7)
"""


def restarted(tmp_path, always=False, **variables):
    script = tmp_path / "a program.py"
    script.write_text(textwrap.dedent(PROGRAM.format(always=always)))
    ours = (kernels.CHOICE, kernels.SWITCH, kernels.MARKER, "PYTHONUNBUFFERED")
    environ = {name: text for name, text in os.environ.items() if name not in ours}
    command = [sys.executable, str(script), "a b", "--c"]
    return subprocess.run(
        command, env={**environ, "PYTHONPATH": str(ROOT), **variables}, input="text", capture_output=True, text=True, timeout=120
    )


def test_the_restart_runs_the_same_command_once(tmp_path):
    done = restarted(tmp_path)
    lines = ["begins None", "buffered, not lost", "begins SKYLAKEX", "works on ['a b', '--c'] text"]
    assert done.stdout.splitlines() == lines and done.returncode == 7
    assert done.stderr.count("\n") == 1 and "OPENBLAS_CORETYPE=SKYLAKEX" in done.stderr
    assert "CONVBERT_NP_KERNELS=default prevents it" in done.stderr


def test_the_marker_prevents_a_loop(tmp_path):
    done = restarted(tmp_path, always=True)
    assert done.stdout.count("begins") == 2 and done.stderr.count("started again") == 1 and done.returncode == 7


def test_the_variable_prevents_the_restart(tmp_path):
    done = restarted(tmp_path, **{kernels.SWITCH: "default"})
    assert done.stdout.splitlines() == ["begins None", "works on ['a b', '--c'] text"] and done.stderr == ""


def test_a_restart_that_the_system_refuses_goes_on(monkeypatch, capsys):
    if os.name != "posix":
        pytest.skip("there is no execve")

    def refuses(*given):
        raise OSError("no")

    monkeypatch.setattr(kernels, "command_line", lambda: ["python"])
    monkeypatch.setattr(os, "execve", refuses)
    monkeypatch.delenv(kernels.MARKER, raising=False)
    kernels.restart_with({"X": "1"})
    assert "not started again: no" in capsys.readouterr().err and "X" not in os.environ
