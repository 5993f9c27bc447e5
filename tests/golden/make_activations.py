"""Write activations.npz: values and derivatives of PyTorch's activation functions in float64.

    python tests/golden/make_activations.py

Needs torch and transformers 4.37.2. Keys: x, and for every name <name>.y and <name>.dx, the derivative at x.
"""

from pathlib import Path

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from transformers.activations import ACT2FN  # pyright: ignore[reportMissingImports]

KINKS = [0.0, 6.0, 10.0]


def grid():
    """Ordinary numbers, every kink with its two neighbours, and numbers far out."""
    near_kinks = [np.nextafter(kink, side) for kink in KINKS for side in (-np.inf, kink, np.inf)]
    beyond = [1e-12, 1e-6, 14.5, 25.0, 50.0, 300.0, 710.0, 1e4]
    return np.concatenate([np.linspace(-13, 13, 105), near_kinks, [-0.0], beyond, np.negative(beyond)])


def main():
    """Evaluate every function on the grid and differentiate its sum."""
    functions = {name: ACT2FN[name] for name in ACT2FN} | {"selu": torch.nn.SELU()}
    arrays = {"x": grid()}
    for name, function in functions.items():
        x = torch.tensor(grid(), requires_grad=True)
        y = function(x)
        y.sum().backward()
        arrays[f"{name}.y"] = y.detach().numpy()
        arrays[f"{name}.dx"] = x.grad.numpy()
    np.savez_compressed(Path(__file__).with_name("activations.npz"), allow_pickle=False, **arrays)


if __name__ == "__main__":
    main()
