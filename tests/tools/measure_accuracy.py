"""Measure the figures of docs/accuracy.md and print them as Markdown.

python tests/tools/measure_accuracy.py golden special import      (extra test)
python tests/tools/measure_accuracy.py pytorch                    (extra reference)
"""

import platform
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np

from convbert_np.tree import unflatten
from convbert_np.verify.golden import compare, compute, golden_paths, load_golden

TESTS = Path(__file__).resolve().parents[1]


def print_table(header: list[str], rows: list[list[str]]) -> None:
    for row in [header, ["---"] * len(header), *rows]:
        print("| " + " | ".join(row) + " |")
    print()


def golden() -> None:
    """Every golden bundle: the worst errors in float64, and in float32 in units of the rounding floor."""
    rows = []
    for path in golden_paths(TESTS / "golden"):
        bundle = load_golden(path)
        double = [c for c in compare(bundle, compute(bundle, np.float64), np.float64) if c.kind == "rounding"]
        single = [c for c in compare(bundle, compute(bundle, np.float32), np.float32) if c.kind == "rounding"]
        exact = [c for c in compare(bundle, compute(bundle, np.float32), np.float32) if c.kind == "exact"]
        worst = max(single, key=lambda c: c.error / c.floor)
        rows.append(
            [
                bundle.name,
                str(len(bundle.manifest["tensors"])),
                f"{max(c.error for c in double if c.name.startswith('values/')):.1e}",
                f"{max(c.error for c in double if c.name.startswith('grads/')):.1e}",
                f"{statistics.median(c.error / c.floor for c in single):.2f}",
                f"{worst.error / worst.floor:.2f}",
                f"`{worst.name}`",
                f"{len(exact)}, {'all exact' if all(c.error == 0 for c in exact) else 'NOT ALL EXACT'}",
            ]
        )
    header = [
        "bundle",
        "tensors",
        "float64: worst value",
        "worst gradient",
        "float32: median error / floor",
        "worst",
        "which",
        "exact ones",
    ]
    print_table(header, rows)


def special() -> None:
    """erf, erfc, Phi and gelu against mpmath."""
    import mpmath as mp

    from convbert_np.ops.activations import gelu
    from convbert_np.ops.special import erf, erfc, normal_cdf

    mp.mp.dps = 60
    rng = np.random.default_rng(0)
    functions = {
        "erf": (erf, mp.erf, (-6, 6)),
        "erfc": (erfc, mp.erfc, (-3, 26)),
        "normal_cdf": (normal_cdf, mp.ncdf, (-37, 8)),
        "gelu": (gelu, lambda x: x * mp.ncdf(x), (-37, 8)),
    }
    rows = []
    for name, (ours, exact, (low, high)) in functions.items():
        for dtype in (np.float64, np.float32):
            bottom = max(low, -6 if name == "gelu" else -12) if dtype == np.float32 else low
            top = min(high, 9) if dtype == np.float32 else high
            x = np.concatenate([np.linspace(bottom, top, 4000), rng.uniform(-1.5, 1.5, 4000)]).astype(dtype)
            x = x[(x >= bottom) & (x <= top)]
            y = ours(x)
            ulps, relative = [], []
            for argument, value in zip(x, y, strict=True):
                want = exact(mp.mpf(float(argument)))
                if want != 0:
                    error = abs(mp.mpf(float(value)) - want)
                    ulps.append(float(error / mp.mpf(float(np.spacing(np.abs(dtype(want)))))))
                    relative.append(float(error / abs(want)))
            rows.append([name, np.dtype(dtype).name, f"[{bottom}, {top}]", f"{max(ulps):.2f}", f"{max(relative):.1e}"])
    print_table(["function", "dtype", "range", "largest error, ulp", "largest relative error"], rows)


def import_time(runs: int = 15) -> None:
    """The time that `import convbert_np` takes after `import numpy, regex`, each in a fresh interpreter."""
    script = "import time, numpy, regex; t = time.perf_counter(); import convbert_np; print(time.perf_counter() - t)"
    times = [
        float(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout)
        for _ in range(runs)
    ]
    print_table(
        ["import convbert_np after numpy and regex", "seconds"],
        [[f"median of {runs}", f"{statistics.median(times):.3f}"], ["worst", f"{max(times):.3f}"]],
    )


def pytorch() -> None:
    """The base configuration, 12 layers, against PyTorch: masked LM, B=2, S=128, one row padded at 100."""
    import torch
    import transformers

    from convbert_np import ConvBertConfig, ConvBertForMaskedLM

    rng = np.random.default_rng(0)
    config = ConvBertConfig(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    model = ConvBertForMaskedLM(config)
    flat = {}
    for name, value in model.named_parameters().items():
        noise = rng.standard_normal(value.shape, dtype=np.float32)
        gain = name.endswith("LayerNorm.weight")
        flat[name] = 0.9 + 0.15 * noise if gain else noise * np.float32(0.1 if name.endswith("bias") else 0.04)
    model.params = unflatten(flat)
    ids = rng.integers(5, config.vocab_size, (2, 128))
    mask = np.ones((2, 128), np.int64)
    mask[1, 100:] = 0
    labels = np.where(rng.random((2, 128)) < 0.15, ids, -100)
    theirs = transformers.ConvBertForMaskedLM(
        transformers.ConvBertConfig(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    )
    theirs.load_state_dict({name: torch.tensor(np.array(value)) for name, value in model.state_dict().items()})

    def run_theirs(dtype):
        theirs.to(dtype).zero_grad()
        out = theirs(*(torch.tensor(a) for a in (ids, mask)), labels=torch.tensor(labels), output_hidden_states=True)
        out.loss.backward()
        grads = {name: parameter.grad.numpy().copy() for name, parameter in theirs.named_parameters()}
        return [out.loss.detach().numpy(), *(h.detach().numpy() for h in out.hidden_states), out.logits.detach().numpy()], grads

    def run_ours(dtype):
        ours = model.astype(dtype)
        out = ours(ids, mask, labels=labels, output_hidden_states=True)
        return [out.loss, *out.hidden_states, out.logits], ours.backward(out)

    def error(got, want):
        return float(np.linalg.norm((got - want).ravel()) / np.linalg.norm(want.ravel()))

    truth, truth_grads = run_theirs(torch.float64)
    rows = []
    for label, (values, grads) in (
        ("ours, float64", run_ours(np.float64)),
        ("ours, float32", run_ours(np.float32)),
        ("PyTorch, float32", run_theirs(torch.float32)),
    ):
        relative = [error(grads[name], want) for name, want in truth_grads.items() if not name.endswith("key.bias")]
        states = [error(a, b) for a, b in zip(values[1:-1], truth[1:-1], strict=True)]
        loss, logits = abs(float(values[0]) - float(truth[0])), error(values[-1], truth[-1])
        numbers = [loss, max(states), logits, statistics.median(relative), max(relative)]
        rows.append([label, *(f"{number:.1e}" for number in numbers)])
    header = [
        "against PyTorch in float64",
        "loss (absolute)",
        "worst hidden state",
        "logits",
        "median gradient",
        "worst gradient",
    ]
    print_table(header, rows)


SECTIONS = {"golden": golden, "special": special, "import": import_time, "pytorch": pytorch}


def main() -> None:
    print(f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}\n")
    for name in sys.argv[1:]:
        SECTIONS[name]()


if __name__ == "__main__":
    main()
