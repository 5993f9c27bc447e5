"""How fast this machine multiplies matrices and passes over arrays.

As a program (`python rates.py`) it prints the rate of float32 products alone, as one number: so it is measured in a process
of its own, whose environment OpenBLAS reads when it is loaded. It imports NumPy and the standard library only.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

import numpy as np

SMALLEST, LARGEST = 256, 2048  # sides of the matrices: large enough for all threads, small enough for a slow BLAS
WORTH_TIMING = 0.02  # seconds of one product: long beside the waiting of one thread for another
TRYING = 0.05  # seconds
ACTIVATIONS = (1024, 3072)  # those of the base model's feed-forward layers for 8 sentences of 128 tokens
CHILD_SECONDS = 0.25
PATIENCE = 60.0


def best_time(run: Callable[[], object], seconds: float) -> float:
    """The shortest time of all the runs that fit into the seconds, of three at least: other work only ever adds time."""
    run()
    times: list[float] = []
    while len(times) < 3 or sum(times) < seconds:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def product_rate(dtype: type, seconds: float) -> float:
    """Additions and multiplications per second in the product of two square matrices, in 1e9 (GFLOP/s)."""
    side = SMALLEST
    while side < LARGEST and best_time(product(side, dtype), TRYING) < WORTH_TIMING:
        side *= 2
    return 2 * side**3 / best_time(product(side, dtype), seconds) / 1e9


def product(side: int, dtype: type) -> Callable[[], object]:
    """What multiplies two square matrices."""
    a = np.linspace(-1, 1, side * side, dtype=dtype).reshape(side, side)
    out = np.empty_like(a)
    return lambda: np.matmul(a, a, out=out)


def elementwise_rates(seconds: float) -> dict[str, float]:
    """Bytes read and written per second by `add` and `exp` on float32, in 1e9 (GB/s). NumPy does this in one thread."""
    a = np.linspace(-1, 1, ACTIVATIONS[0] * ACTIVATIONS[1], dtype=np.float32).reshape(ACTIVATIONS)
    b, out = a.copy(), np.empty_like(a)
    return {
        "add_gb_per_s": 3 * a.nbytes / best_time(lambda: np.add(a, b, out=out), seconds / 2) / 1e9,
        "exp_gb_per_s": 2 * a.nbytes / best_time(lambda: np.exp(a, out=out), seconds / 2) / 1e9,
    }


def measure(seconds: float = 2.0) -> dict[str, float]:
    """All rates, in about so many seconds."""
    return {
        "products_float32_gflops": product_rate(np.float32, seconds / 4),
        "products_float64_gflops": product_rate(np.float64, seconds / 4),
        **elementwise_rates(seconds / 2),
    }


def rate_with(variables: Mapping[str, str]) -> float | None:
    """The rate of float32 products in a new process with these variables set; None if that fails."""
    if not sys.executable or getattr(sys, "frozen", False):  # there is no interpreter to start
        return None
    command = [sys.executable, "-P", __file__]  # -P: this directory is no place to import from
    environ = {**os.environ, **variables}
    try:
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=PATIENCE, check=True)
        return float(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


if __name__ == "__main__":
    print(product_rate(np.float32, CHILD_SECONDS))
