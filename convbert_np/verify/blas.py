"""The BLAS that NumPy has loaded: its name, its kernel set, its threads.

NumPy says only what it was built with. The library itself is asked through ctypes: it is among the files that this process
has mapped, and its functions have names that differ by build (openblas_get_corename, scipy_openblas_get_corename64_, ...).
"""

import ctypes
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convbert_np.verify.machine import attempt

# The kernel sets of OpenBLAS for x86 by the instructions they use, from the narrowest.
INSTRUCTIONS = {
    "Prescott": "SSE3", "Core2": "SSE3", "Barcelona": "SSE3", "Nehalem": "SSE4.2", "Sandybridge": "AVX", "Bulldozer": "AVX",
    "Piledriver": "AVX", "Steamroller": "AVX", "Excavator": "AVX2", "Haswell": "AVX2", "Zen": "AVX2", "SkylakeX": "AVX-512",
    "Cooperlake": "AVX-512", "SapphireRapids": "AVX-512",
}  # fmt: skip
WIDTHS = ("SSE3", "SSE4.2", "AVX", "AVX2", "AVX-512")
PARALLEL = {0: "none", 1: "its own", 2: "OpenMP"}
NAMES = {"openblas": "OpenBLAS", "mkl": "MKL", "accelerate": "Accelerate", "blis": "BLIS", "armpl": "Arm Performance Libraries"}
NONE, PLAIN = "none: NumPy's own loops", "plain BLAS, not optimised"
LIBRARIES = ("blas", "mkl_rt", "blis")


@dataclass(frozen=True)
class Blas:
    """What is known of the BLAS; None for what is not."""

    name: str | None = None
    version: str | None = None
    kernel_set: str | None = None
    instructions: str | None = None
    kernel_sets_in_build: list[str] | None = None
    chosen_at_run_time: bool | None = None
    threads: int | None = None
    threading: str | None = None
    library: str | None = None

    def facts(self) -> dict[str, Any]:
        """The same as a dict."""
        return asdict(self)

    @property
    def optimised(self) -> bool:
        """False if NumPy's products run without an optimised library."""
        return self.name not in (NONE, PLAIN)


def find_blas(config: Mapping[str, Any], libraries: Iterable[tuple[str, Any]] | None = None) -> Blas:
    """The BLAS in use: what a loaded library says of itself, otherwise what NumPy was built with. `libraries`: (path, handle)."""
    built = attempt(lambda: config["Build Dependencies"]["blas"]) or {}
    for path, library in loaded_libraries() if libraries is None else libraries:
        for ask in (ask_openblas, ask_mkl, ask_blis):
            found = attempt(ask, path, library)
            if found is not None:
                return found
    return Blas(built_name(built), built.get("version") or None)


def built_name(built: Mapping[str, Any]) -> str | None:
    """The name for what NumPy's configuration calls it; None if it says nothing."""
    name = str(built.get("name", "")).lower()
    if built and (built.get("found") is False or name in ("none", "lapack_lite")):
        return NONE
    if name in ("blas", "cblas", "netlib", "refblas"):
        return PLAIN
    return next((label for part, label in NAMES.items() if part in name), name or None)


# ---- which libraries are loaded


def loaded_libraries() -> Iterator[tuple[str, Any]]:
    """Path and handle of every loaded library that may be a BLAS, those that come with NumPy first."""
    paths = [path for path in dict.fromkeys(loaded_paths()) if any(part in Path(path).name.lower() for part in LIBRARIES)]
    for path in sorted(paths, key=lambda path: "numpy" not in path):
        library = attempt(ctypes.CDLL, path)
        if library is not None:
            yield path, library


def loaded_paths() -> list[str]:
    """The files mapped into this process; where that cannot be asked, the libraries beside NumPy."""
    ask = {"linux": linux_paths, "darwin": darwin_paths}.get(sys.platform, lambda: [])
    return attempt(ask) or [*map(str, beside_numpy())]


def linux_paths() -> list[str]:
    """From /proc/self/maps: the sixth field is the path."""
    lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    return [fields[5] for fields in (line.split(maxsplit=5) for line in lines) if len(fields) == 6]


def darwin_paths() -> list[str]:
    """From the dynamic linker."""
    dyld: Any = ctypes.CDLL(None)
    dyld._dyld_get_image_name.restype = ctypes.c_char_p
    return [dyld._dyld_get_image_name(number).decode() for number in range(dyld._dyld_image_count())]


def beside_numpy() -> Iterator[Path]:
    """The libraries that a wheel of NumPy brings."""
    home = Path(np.__file__).parent
    for directory in (home.parent / "numpy.libs", home / ".libs", home / ".dylibs"):
        yield from attempt(lambda directory=directory: sorted(directory.iterdir())) or []


# ---- asking them


def ask_openblas(path: str, library: Any) -> Blas | None:
    """OpenBLAS, whatever prefix and suffix its functions have; None if it is another library."""
    for prefix in ("scipy_openblas", "openblas"):
        for suffix in ("64_", "_64", ""):
            kernel_set = text_of(library, f"{prefix}_get_corename{suffix}")
            if kernel_set is not None:
                config = text_of(library, f"{prefix}_get_config{suffix}") or ""
                return Blas(
                    "OpenBLAS",
                    next((word for word in config.split() if word[0].isdigit()), None),
                    kernel_set,
                    instructions_of(kernel_set),
                    [name for name in INSTRUCTIONS if hasattr(library, f"gotoblas_{name.upper()}")] or None,
                    "DYNAMIC_ARCH" in config.split() if config else None,
                    number_of(library, f"{prefix}_get_num_threads{suffix}"),
                    PARALLEL.get(number_of(library, f"{prefix}_get_parallel{suffix}") or 0),
                    path,
                )
    return None


def ask_mkl(path: str, library: Any) -> Blas | None:
    """MKL; None if it is another library. Its kernel set is named after the processor's instructions."""
    if not hasattr(library, "MKL_Get_Version"):
        return None

    class Version(ctypes.Structure):
        _fields_ = (
            *((name, ctypes.c_int) for name in ("major", "minor", "update")),
            *((name, ctypes.c_char_p) for name in ("status", "build", "processor", "platform")),
        )

    version = Version()
    library.MKL_Get_Version(ctypes.byref(version))
    kernels = version.processor.decode() if version.processor else None
    width = next((width for width in reversed(WIDTHS) if kernels and width in kernels.replace("(R)", "")), None)
    numbers = f"{version.major}.{version.minor}.{version.update}"
    return Blas("MKL", numbers, kernels, width, threads=number_of(library, "MKL_Get_Max_Threads"), library=path)


def ask_blis(path: str, library: Any) -> Blas | None:
    """BLIS; None if it is another library."""
    version = text_of(library, "bli_info_get_version_str")
    if version is None:
        return None
    return Blas("BLIS", version, threads=number_of(library, "bli_thread_get_num_threads"), library=path)


def text_of(library: Any, name: str) -> str | None:
    """What the library's function of this name returns, a text; None if there is none."""
    function = getattr(library, name, None)
    if function is None:
        return None
    function.restype = ctypes.c_char_p
    return function().decode()


def number_of(library: Any, name: str) -> int | None:
    """What the library's function of this name returns, a number; None if there is none."""
    function = getattr(library, name, None)
    return None if function is None else int(function())


# ---- kernel sets


def instructions_of(kernel_set: str) -> str | None:
    """The instructions that a kernel set of OpenBLAS for x86 uses; None for others."""
    return {name.lower(): width for name, width in INSTRUCTIONS.items()}.get(kernel_set.lower())


def wider_kernels(blas: Blas, offered: Iterable[str] | None) -> str | None:
    """The kernel set of OpenBLAS for wider instructions than it uses, if the processor offers and the build has it."""
    if blas.name != "OpenBLAS" or blas.instructions is None or blas.chosen_at_run_time is False:
        return None
    for kernel_set in ("SkylakeX", "Haswell"):
        width = INSTRUCTIONS[kernel_set]
        in_build = blas.kernel_sets_in_build is None or kernel_set in blas.kernel_sets_in_build
        if width in (offered or ()) and in_build and WIDTHS.index(width) > WIDTHS.index(blas.instructions):
            return kernel_set.upper()
    return None
