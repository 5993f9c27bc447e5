"""Write the small model of the tests: tests/fixtures/untrained/{config.json, model.safetensors}.

It is not trained. Its parameters are random, but of the kind a trained model has: gains that are not 1, biases that are not 0,
attention and kernels that prefer some positions to others. So every part of it does something, and its predictions mean nothing.

    python tests/tools/make_untrained_model.py
"""

from pathlib import Path

import numpy as np

from convbert_np import ConvBertConfig, ConvBertForMaskedLM
from convbert_np.tree import unflatten

UNTRAINED = Path(__file__).parents[1] / "fixtures" / "untrained"
CONFIG = {
    "vocab_size": 1200, "embedding_size": 24, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "head_ratio": 2, "intermediate_size": 64, "conv_kernel_size": 9, "max_position_embeddings": 128, "pad_token_id": 0,
}  # fmt: skip


def stressed_value(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """A random parameter of the kind its name asks for."""
    noise = rng.standard_normal(shape)
    if name.endswith("LayerNorm.weight"):
        return 0.9 + 0.15 * noise
    if name.endswith("bias"):
        return 0.1 * noise
    if name.endswith("depthwise.weight"):
        return (1 + 2 * noise) / shape[-1]
    if "embeddings." in name:
        return 0.5 * noise
    sharp = 2.5 if name.split(".")[-2] in ("query", "key", "conv_kernel_layer", "pointwise") else 1.0
    return sharp * noise / np.sqrt(shape[1])


def main() -> None:
    lines = len((UNTRAINED / "vocab.txt").read_text(encoding="utf-8").splitlines())
    model = ConvBertForMaskedLM(ConvBertConfig(**(CONFIG | {"vocab_size": lines})))
    rng = np.random.default_rng(20)
    flat = {name: stressed_value(name, value.shape, rng).astype(np.float32) for name, value in model.named_parameters().items()}
    flat["convbert.embeddings.word_embeddings.weight"][0] = 0
    model.params = unflatten(flat)
    model.save_pretrained(UNTRAINED)
    print(f"{UNTRAINED}: {model.num_parameters()} parameters")


if __name__ == "__main__":
    main()
