"""What this machine is: processor, threads, memory, and the Python and NumPy on it. For `convbert-np doctor`.

Every function takes `Sources`, the places that the facts are read from, so that a test can describe another machine.
What cannot be found out is None: nothing here raises an exception for a machine that it does not know.
"""

import importlib.util
import os
import platform
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

VARIABLES = (
    "OPENBLAS_CORETYPE", "OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS", "OMP_PROC_BIND", "MKL_NUM_THREADS",
    "MKL_ENABLE_INSTRUCTIONS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NPY_DISABLE_CPU_FEATURES",
    "NPY_ENABLE_CPU_FEATURES", "CONVBERT_NP_KERNELS",
)  # fmt: skip

# What a processor offers, and the names (of NumPy or of /proc/cpuinfo, lower case without "_") of which one set must be there.
OFFERS: dict[str, tuple[set[str], ...]] = {
    "SSE4.2": ({"sse42"},),
    "AVX": ({"avx"},),
    "AVX2": ({"avx2", "fma3"}, {"avx2", "fma"}),
    "AVX-512": ({"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"}, {"avx512skx"}, {"x86v4"}),
    "NEON": ({"neon"}, {"asimd"}),
    "SVE": ({"sve"},),
    "VSX": ({"vsx"},),
}
EXTRAS = {"matplotlib": "matplotlib", "huggingface_hub": "huggingface_hub", "cupy": "cupy"}
X86 = ("x86_64", "amd64", "i386", "i686")
ARM = ("aarch64", "arm64")


def attempt(find: Callable[..., Any], *given: Any) -> Any:
    """What `find(*given)` returns, or None if it raises: files, symbols and keys differ by system and build."""
    try:
        return find(*given)
    except Exception:
        return None


def numpy_config() -> dict[str, Any]:
    """How NumPy was built."""
    return attempt(lambda: np.show_config(mode="dicts")) or {}


def numpy_features() -> dict[str, bool]:
    """The processor's features as NumPy found them: both the processor and the operating system support them."""
    module = attempt(lambda: np._core._multiarray_umath)  # type: ignore[attr-defined]
    return dict(getattr(module, "__cpu_features__", {}))


def sysctl(name: str) -> str | None:
    """A value of the kernel of macOS."""
    answer = attempt(lambda: subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, timeout=5, check=True))
    return answer.stdout.strip() or None if answer else None


@dataclass(frozen=True)
class Sources:
    """Where the facts are read from; by default this machine."""

    root: Path = Path("/")
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    system: str = sys.platform
    architecture: str = field(default_factory=platform.machine)
    config: Mapping[str, Any] = field(default_factory=numpy_config)
    features: Mapping[str, bool] = field(default_factory=numpy_features)
    processors: int | None = field(default_factory=os.cpu_count)
    affinity: frozenset[int] | None = field(default_factory=lambda: attempt(lambda: frozenset(os.sched_getaffinity(0))))
    sysctl: Callable[[str], str | None] = sysctl

    def text(self, path: str) -> str:
        """A file of /proc or /sys."""
        return (self.root / path.lstrip("/")).read_text(encoding="utf-8", errors="replace")


# ---- Python and NumPy


def python_facts() -> dict[str, Any]:
    """The interpreter."""
    bits = 64 if sys.maxsize > 2**32 else 32
    return {
        "version": platform.python_version(),
        "implementation": f"{platform.python_implementation()}, {bits} bit",
        "built_for": sysconfig.get_platform(),
        "executable": sys.executable or None,
    }


def numpy_facts(sources: Sources) -> dict[str, Any]:
    """NumPy and the vector instructions of its own loops."""
    simd = attempt(lambda: sources.config["SIMD Extensions"]) or {}
    chosen = simd.get("found", []) if simd else None
    return {"version": np.__version__, "built_with": simd.get("baseline"), "chosen_at_run_time": chosen}


def extras_facts() -> dict[str, Any]:
    """Which optional packages are installed; none is imported."""
    return {name: attempt(lambda module: importlib.util.find_spec(module) is not None, module) for name, module in EXTRAS.items()}


# ---- processor


def processor_facts(sources: Sources) -> dict[str, Any]:
    """Its name, what it offers, and whether it is emulated."""
    first = next(cpuinfo(sources), {})
    return {
        "model": model_name(sources, first),
        "architecture": sources.architecture or None,
        "offers": offers(sources.features, first),
        "emulation": emulation(sources, first),
    }


def cpuinfo(sources: Sources) -> Iterator[dict[str, str]]:
    """The blocks of /proc/cpuinfo, one for each logical processor; keys in lower case."""
    for block in (attempt(sources.text, "/proc/cpuinfo") or "").split("\n\n"):
        pairs = (line.split(":", 1) for line in block.splitlines() if ":" in line)
        found = {key.strip().lower(): value.strip() for key, value in pairs}
        if found:
            yield found


def model_name(sources: Sources, first: Mapping[str, str]) -> str | None:
    """The processor's name; ARM has numbers instead."""
    if "model name" in first:
        return first["model name"]
    if "cpu part" in first:
        return f"ARM implementer {first.get('cpu implementer', '?')}, part {first['cpu part']}"
    if sources.system == "darwin":
        return sources.sysctl("machdep.cpu.brand_string")
    return sources.environ.get("PROCESSOR_IDENTIFIER")


def offers(features: Mapping[str, bool], first: Mapping[str, str]) -> list[str] | None:
    """Which of OFFERS are usable: NumPy has asked processor and operating system; /proc/cpuinfo answers where NumPy does not."""
    found = {name for name, there in features.items() if there} or set(
        f"{first.get('flags', '')} {first.get('features', '')}".split()
    )
    names = {name.lower().replace("_", "") for name in found}
    return [label for label, sets in OFFERS.items() if any(names >= wanted for wanted in sets)] if names else None


def emulation(sources: Sources, first: Mapping[str, str]) -> str | None:
    """Which emulation this process runs under, "none seen", or None where there is nothing to judge by."""
    translated = sources.sysctl("sysctl.proc_translated") if sources.system == "darwin" else None
    arm_host = "cpu implementer" in first or sources.environ.get("PROCESSOR_IDENTIFIER", "").startswith("ARM")
    architecture = sources.architecture.lower()
    if translated == "1" or first.get("vendor_id") == "VirtualApple":
        return "Rosetta: an x86 build on an Apple processor"
    if architecture in X86 and arm_host:
        return "an x86 build on an ARM processor"
    if architecture in ARM and first.get("vendor_id") in ("GenuineIntel", "AuthenticAMD"):
        return "an ARM build on an x86 processor"
    if "TCG" in first.get("model name", ""):
        return "QEMU's software processor"
    return "none seen" if first or sources.system in ("darwin", "win32") else None


# ---- threads


def threads_facts(sources: Sources, blas_threads: int | None) -> dict[str, Any]:
    """How many threads the BLAS uses, and how many processors there are for them."""
    usable = len(sources.affinity) if sources.affinity else sources.processors
    return {
        "blas_threads": blas_threads,
        "logical_processors": sources.processors,
        "usable_by_this_process": usable,
        "cores_among_them": attempt(cores, sources),
        "container_quota": attempt(quota, sources),
        "environment": {name: sources.environ[name] for name in VARIABLES if name in sources.environ},
    }


def cores(sources: Sources) -> int | None:
    """The cores behind the logical processors that this process may use: hyperthreads of one core count once."""
    if sources.system == "darwin":
        return int(sources.sysctl("hw.physicalcpu") or "")
    usable = sources.affinity or range(sources.processors or 0)
    topology = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    siblings = [attempt(sources.text, topology.format(number)) for number in usable]
    if siblings and None not in siblings:
        return len(set(siblings))
    blocks = {block.get("processor"): block for block in cpuinfo(sources)}
    return len({(blocks[str(n)]["physical id"], blocks[str(n)]["core id"]) for n in usable}) or None


def quota(sources: Sources) -> float | None:
    """The processors' time that the container may use, in processors."""
    found = [
        int(used) / int(period)
        for text in cgroup(sources, "cpu", "cpu.max", "cpu.cfs_quota_us", "cpu.cfs_period_us")
        for used, period in [text.split()[:2]]
        if used not in ("max", "-1")
    ]
    return min(found, default=None)


def cgroup(sources: Sources, controller: str, new: str, *old: str) -> Iterator[str]:
    """The texts of a control group's files, from this process' group up to the root; `old` are the names in version 1."""
    for line in sources.text("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        base = f"/sys/fs/cgroup/{controller}" if controllers else "/sys/fs/cgroup"
        inner = PurePosixPath(path.lstrip("/"))
        for part in dict.fromkeys((inner, *inner.parents)):
            texts = [attempt(sources.text, f"{base}/{part}/{name}") for name in (old if controllers else (new,))]
            if None not in texts:
                yield " ".join(texts)


# ---- memory


def memory_facts(sources: Sources) -> dict[str, Any]:
    """Bytes of memory: in all, available now, and the container's limit."""
    total, available = attempt(memory, sources) or (None, None)
    return {"total": total, "available": available, "container_limit": attempt(memory_limit, sources, total)}


def memory(sources: Sources) -> tuple[int | None, int | None]:
    """In all, and available now."""
    if sources.system == "darwin":
        return int(sources.sysctl("hw.memsize") or ""), None
    if sources.system == "win32":
        return windows_memory()
    pairs = dict(line.split(":", 1) for line in sources.text("/proc/meminfo").splitlines() if ":" in line)
    total, available = (1024 * int(pairs[name].split()[0]) if name in pairs else None for name in ("MemTotal", "MemAvailable"))
    return total, available


def windows_memory() -> tuple[int, int]:
    """GlobalMemoryStatusEx: after two 32-bit fields (size, load) come total and available bytes."""
    import ctypes

    status = (ctypes.c_ulonglong * 8)()
    ctypes.cast(status, ctypes.POINTER(ctypes.c_ulong))[0] = ctypes.sizeof(status)
    ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))  # type: ignore[attr-defined]
    return status[1], status[2]


def memory_limit(sources: Sources, total: int | None) -> int | None:
    """The lowest limit of the control groups; version 1 says "no limit" with a number near 2**63."""
    texts: Iterable[str] = cgroup(sources, "memory", "memory.max", "memory.limit_in_bytes")
    limits = [int(text) for text in texts if text.strip() != "max"]
    return min((limit for limit in limits if limit < (total or 2**60)), default=None)
