"""What the machine and the BLAS are: the description that a benchmark prints, and which kernels would fit the processor."""

import ctypes
import os
import platform
from contextlib import suppress
from pathlib import Path

FLAGS = (
    "avx2", "fma", "avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni", "avx512_bf16", "amx_tile",
    "asimd", "sve",
)  # fmt: skip
SKYLAKEX_NEEDS = {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"}
AVX2_KERNELS = {"Haswell", "Zen", "Excavator"}
BLAS_PREFIXES = ("scipy_openblas_", "openblas_")
BLAS_SUFFIXES = ("64_", "", "_64")


def processor() -> tuple[str, set[str]]:
    """The name of the processor and those of FLAGS that it offers; Linux only, elsewhere its kind and no flags."""
    fields: dict[str, str] = {}
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            fields.setdefault(name.strip().lower(), value.strip())
    name = fields.get("model name") or platform.processor() or platform.machine()
    offered = fields.get("flags", fields.get("features", "")).split()
    return name, {flag for flag in FLAGS if flag in offered}


def describe() -> list[str]:
    """The machine in a few lines."""
    name, flags = processor()
    offered = ", ".join(flag for flag in FLAGS if flag in flags)
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    lines = [f"{name}, {affinity} of {os.cpu_count()} processors usable; {offered or 'flags unknown'}"]
    with suppress(OSError, ValueError):
        size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        load = os.getloadavg()[0]
        lines.append(f"{size / 2**30:.0f} GiB of memory; load average of the last minute, before the benchmark: {load:.2f}")
    return [*lines, f"{platform.system()} {platform.machine()}"]


def blas() -> dict[str, str | int]:
    """The kernel set that NumPy's OpenBLAS chose, its threads and version; {} for another BLAS, or where it is not found."""
    with suppress(OSError):
        paths = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "openblas" in line}
        for path in sorted(paths):
            library = ctypes.CDLL(path)
            for prefix in BLAS_PREFIXES:
                for suffix in BLAS_SUFFIXES:
                    if hasattr(library, f"{prefix}get_corename{suffix}"):
                        return asked(library, prefix, suffix)
    return {}


def asked(library: ctypes.CDLL, prefix: str, suffix: str) -> dict[str, str | int]:
    """What an OpenBLAS says of itself."""
    found: dict[str, str | int] = {}
    for name, kind in (("corename", ctypes.c_char_p), ("config", ctypes.c_char_p), ("num_threads", ctypes.c_int)):
        function = getattr(library, f"{prefix}get_{name}{suffix}")
        function.restype = kind
        answer = function()
        found[name] = answer.decode() if isinstance(answer, bytes) else answer
    return found


def better_kernels(corename: str | int | None) -> dict[str, str]:
    """The environment in which OpenBLAS would choose kernels that use more of the processor; {} if it does already."""
    offered = processor()[1] >= SKYLAKEX_NEEDS
    return {"OPENBLAS_CORETYPE": "SKYLAKEX"} if offered and corename in AVX2_KERNELS else {}
