"""Twenty steps of training a small model, ours and the reference's side by side in float64: losses and parameters to 1e-10.

With dropout the masks that PyTorch draws are recorded at each step and handed to our model. One parameter is told apart: the
gradient of a key's bias is 0 by the invariance of the softmax, what both sides find is rounding, and Adam divides it by itself.
"""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import test_parity as parity
from test_parity import reference  # noqa: F401  (a fixture: imports torch and transformers)

from convbert_np.training.optimizer import (
    BERT,
    PYTORCH,
    AdamW,
    accumulate,
    adamw,
    clip_coefficient,
    global_norm,
    layerwise_factors,
    new_moments,
)
from convbert_np.training.schedule import bert_schedule, linear_schedule
from convbert_np.tree import unflatten

pytestmark = pytest.mark.parity
STEPS, WARMUP, LR, TOLERANCE = 20, 4, 5e-3, 1e-10
CONFIG = {
    "vocab_size": 37, "hidden_size": 24, "embedding_size": 16, "num_attention_heads": 4, "head_ratio": 2, "num_groups": 2,
    "intermediate_size": 30, "num_hidden_layers": 2, "conv_kernel_size": 5, "max_position_embeddings": 12, "pad_token_id": 0,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Run:
    """How to train."""

    settings: AdamW = PYTORCH
    theirs: str = "torch"
    dropout: float = 0.0
    max_norm: float | None = None
    layerwise: float = 1.0
    schedule: Any = linear_schedule
    parts: int = 1


RUNS = {
    "PyTorch": Run(),
    "PyTorch with dropout": Run(dropout=0.2, max_norm=7.0),
    "PyTorch, accumulated, layerwise": Run(dropout=0.1, max_norm=7.0, layerwise=0.8, parts=3),
    "BERT": Run(BERT, "original", schedule=bert_schedule),
    "BERT with dropout, clipped, layerwise": Run(BERT, "original", 0.2, 7.0, 0.8, bert_schedule),
    "BERT without decay": Run(BERT._replace(weight_decay=0.0), "transformers", max_norm=7.0, parts=2),
}


def draw_batch(step):
    """Two segments, padding, masked-LM labels."""
    rng = np.random.default_rng((7, step))
    ids = rng.integers(1, CONFIG["vocab_size"], (6, 9))
    lengths = rng.integers(4, 10, 6)
    mask = (np.arange(9) < lengths[:, None]).astype(np.int64)
    labels = np.where((rng.random(ids.shape) < 0.4) & (mask == 1), ids, -100)
    labels[::2, 1] = ids[::2, 1]  # in every part some label counts
    types = (np.arange(9) > lengths[:, None] // 2).astype(np.int64)
    return {"input_ids": ids * mask, "attention_mask": mask, "token_type_ids": types, "labels": labels}


def parts_of(batch, number):
    """The batch in parts, each with its share of the labels."""
    total = (batch["labels"] != -100).sum()
    for rows in np.array_split(np.arange(6), number):
        part = {name: x[rows] for name, x in batch.items()}
        yield part, (part["labels"] != -100).sum() / total


def original_step(groups, state, settings, factor):
    """AdamWeightDecayOptimizer of the original code, written for PyTorch's tensors."""
    torch = parity.torch
    with torch.no_grad():
        for group in groups:
            for p in group["params"]:
                m, v = state.setdefault(p, (torch.zeros_like(p), torch.zeros_like(p)))
                next_m = settings.beta1 * m + (1.0 - settings.beta1) * p.grad
                next_v = settings.beta2 * v + (1.0 - settings.beta2) * torch.square(p.grad)
                update = next_m / (torch.sqrt(next_v) + settings.eps) + group["weight_decay"] * p
                p.copy_(p - group["lr"] * factor * update)
                state[p] = (next_m, next_v)


def groups_of(model, run):
    """A group of its own for each parameter: its learning rate and weight decay, by the rules of the original code."""
    layers, groups = CONFIG["num_hidden_layers"], []
    for name, p in model.named_parameters():
        depth = 0 if ".embeddings" in name else layers + 2
        if ".layer." in name:
            depth = int(name.split(".layer.")[1].split(".")[0]) + 1
        decay = 0.0 if any(word in name for word in ("LayerNorm", "layer_norm", "bias")) else run.settings.weight_decay
        groups.append({"params": [p], "lr": LR * run.layerwise ** (layers + 2 - depth), "weight_decay": decay})
    return groups


def stepper(model, run):
    """A function that makes one step of the reference's side with the gradients in `.grad`."""
    torch, transformers = parity.torch, parity.transformers
    groups, state = groups_of(model, run), {}
    options = {"lr": LR, "betas": run.settings[:2], "eps": run.settings.eps}
    if run.theirs == "torch":
        optimizer = torch.optim.AdamW(groups, **options)
    elif run.theirs == "transformers":
        from transformers.optimization import AdamW as BertAdamW

        optimizer = BertAdamW(groups, **options, correct_bias=False, no_deprecation_warning=True)
    if run.theirs != "original" and run.schedule is linear_schedule:
        schedule = transformers.get_linear_schedule_with_warmup(optimizer, WARMUP, STEPS)

    def step(number):
        if run.theirs == "original":
            factor = (1 - number / STEPS) * min(1.0, number / WARMUP)
            return original_step(groups, state, run.settings, factor)
        optimizer.step()
        return schedule.step()

    return step


@pytest.mark.parametrize("name", RUNS)
def test_twenty_steps(name):
    run = RUNS[name]
    torch = parity.torch
    dropouts = dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob"), run.dropout)
    theirs = parity.reference_model("ConvBertForMaskedLM", CONFIG | dropouts, 11)
    ours = parity.our_model(theirs)
    theirs.train()
    params = ours.named_parameters()
    start = {name: p.copy() for name, p in params.items()}
    moments, factors = new_moments(params), layerwise_factors(params, run.layerwise, CONFIG["num_hidden_layers"])
    their_step = stepper(theirs, run)
    torch.manual_seed(3)
    norms = []
    for number in range(STEPS):
        theirs.zero_grad()
        total, losses, their_losses = {}, [], []
        for part, weight in parts_of(draw_batch(number), run.parts):
            masks, handles = parity.record_masks(theirs)
            loss = theirs(**{n: torch.from_numpy(x) for n, x in part.items()}).loss * float(weight)
            loss.backward()
            for handle in handles:
                handle.remove()
            assert bool(masks) == (run.dropout > 0)
            out = ours(**part, training=True, rng=unflatten(masks))
            accumulate(total, ours.backward(out, {"loss": weight}))
            losses.append(float(out.loss) * weight)
            their_losses.append(loss.item())
        np.testing.assert_allclose(losses, their_losses, rtol=TOLERANCE)
        norms.append(global_norm(total))
        scale = clip_coefficient(norms[-1], run.max_norm)
        if run.max_norm is not None:
            their_norm = torch.nn.utils.clip_grad_norm_(theirs.parameters(), run.max_norm).item()
            assert math.isclose(their_norm, norms[-1], rel_tol=TOLERANCE)
        lr = LR * run.schedule(number, STEPS, WARMUP)
        adamw(params, total, moments, number + 1, lr, run.settings, lr_factors=factors, scale=scale)
        their_step(number)
    assert run.max_norm is None or min(norms) < run.max_norm < max(norms)
    for name, p in theirs.named_parameters():
        want, got = p.detach().numpy(), params[name]
        if name.endswith("key.bias"):  # its gradient is 0 but for rounding, 1e-17, which Adam divides by eps
            assert np.linalg.norm(got - want) <= STEPS * LR * 1e-16 / run.settings.eps
            continue
        assert np.linalg.norm(got - want) <= TOLERANCE * np.linalg.norm(want), name
        assert np.linalg.norm(got - want) <= 1e-8 * np.linalg.norm(want - start[name]), name
