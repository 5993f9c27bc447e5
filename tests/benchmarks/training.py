"""What a step of training costs: AdamW beside PyTorch's, and memory and time at each level of keeping.

python tests/benchmarks/training.py            AdamW on the parameters of base; needs PyTorch
python tests/benchmarks/training.py --memory   forward and backward of base, each level in a process of its own
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

from convbert_np import ConvBertConfig, ConvBertForMaskedLM
from convbert_np.training.optimizer import adamw, global_norm, new_moments

ROUNDS = 7
LEVELS = ("backward", "recompute")
SHAPES = ((8, 128), (1, 512), (4, 512))


def time_optimizers() -> None:
    """A step and a global norm, ours and PyTorch's in turn; the least and the median of all rounds."""
    import torch

    rng = np.random.default_rng(0)
    shapes = ConvBertForMaskedLM.shapes(ConvBertConfig())
    params, grads = ({n: rng.standard_normal(s, dtype=np.float32) for n, s in shapes.items()} for _ in range(2))
    moments = new_moments(params)
    tensors = [torch.nn.Parameter(torch.from_numpy(p.copy())) for p in params.values()]
    for tensor, grad in zip(tensors, grads.values(), strict=True):
        tensor.grad = torch.from_numpy(grad)
    forms = {"eager": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}
    steps: dict[str, Callable[[int], object]] = {"AdamW, ours": lambda t: adamw(params, grads, moments, t, 1e-4)}
    steps |= {f"torch.optim.AdamW, {n}": step_of(torch.optim.AdamW(tensors, lr=1e-4, **form)) for n, form in forms.items()}
    steps |= {"global norm, ours": lambda t: global_norm(grads)}
    steps |= {"global norm, torch": lambda t: torch.nn.utils.get_total_norm([tensor.grad for tensor in tensors])}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for round_number in range(1, ROUNDS + 1):
        for name, step in steps.items():
            begun = time.perf_counter()
            step(round_number)
            times[name].append(time.perf_counter() - begun)
    print(f"{sum(p.size for p in params.values()):,} parameters, float32; milliseconds, least and median of {ROUNDS}")
    for name, found in times.items():
        print(f"{name:32s} {1e3 * min(found):7.0f} {1e3 * statistics.median(found):7.0f}")


def step_of(optimizer) -> Callable[[int], object]:
    """One step of an optimizer of PyTorch."""
    return lambda t: optimizer.step()


def one_level(level: str, batch: int, length: int) -> None:
    """Peak memory above the model's own, and seconds, of forward and backward."""
    model = ConvBertForMaskedLM(ConvBertConfig())
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 30522, (batch, length))
    labels = np.where(rng.random(ids.shape) < 0.15, ids, -100)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    times = []
    for seed in range(3):
        begun = time.perf_counter()
        grads = model.backward(model(ids, labels=labels, training=True, rng=seed, keep_cache=level))
        times.append(time.perf_counter() - begun)
        del grads
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"{batch}x{length} {level:10s} {peak / 1024:7.0f} MiB {min(times):7.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--level", nargs=3)
    parsed = parser.parse_args()
    if parsed.level:
        one_level(parsed.level[0], int(parsed.level[1]), int(parsed.level[2]))
    elif parsed.memory:
        for batch, length in SHAPES:
            for level in LEVELS:
                subprocess.run([sys.executable, __file__, "--level", level, str(batch), str(length)], check=True)
    else:
        time_optimizers()


if __name__ == "__main__":
    main()
