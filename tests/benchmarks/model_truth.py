"""What the reference computes in float64: that by which both sides' float32 is judged."""

from pathlib import Path
from typing import Any


def write_truth(model: Any, ids: Any, labels: Any, tasks: list[str], target: str, learning_rate: float) -> None:
    """Write the results of the tasks as .npy files, in a directory for each task."""
    import torch

    model, ids, labels = model.double(), torch.from_numpy(ids), torch.from_numpy(labels)
    learning = not {"backward", "step"}.isdisjoint(tasks)
    with torch.set_grad_enabled(learning):
        found = by_sequence(torch, model, ids, labels, learning or "masked_lm" in tasks)
    for task in tasks:
        folder = Path(target) / task
        folder.mkdir(parents=True)
        write(folder, results(torch, model, found, task, learning_rate))


def by_sequence(torch: Any, model: Any, ids: Any, labels: Any, with_head: bool) -> dict[str, Any]:
    """States, logits and loss; the gradients are left in the parameters.

    Sequence by sequence, so that float64 takes little memory: the loss is a sum over positions and so is its gradient.
    """
    states, logits, loss = [], [torch.empty(0)], torch.zeros(())
    for row, wanted in zip(ids.split(1), labels.split(1), strict=True):
        state = model.convbert(row).last_hidden_state
        states.append(state.detach())
        if with_head:
            scores = model.generator_lm_head(model.generator_predictions(state))
            part = torch.nn.functional.cross_entropy(scores.flatten(0, 1), wanted.flatten(), reduction="sum")
            part = part / (labels != -100).sum()
            if torch.is_grad_enabled():
                part.backward()
            loss = loss + part.detach()
            logits.append(scores.detach().float())
    return {"last_hidden_state": torch.cat(states), "logits": torch.cat(logits[with_head:]), "loss": loss}


def results(torch: Any, model: Any, found: dict[str, Any], task: str, learning_rate: float) -> dict[str, Any]:
    """What a task computes, by name; for a step, by how much it changes each parameter."""
    if task in ("encoder", "masked_lm"):
        name = "last_hidden_state" if task == "encoder" else "logits"
        return {name: found[name]}
    parameters = dict(model.named_parameters())
    if task == "backward":
        return {"loss": found["loss"]} | {name: value.grad for name, value in parameters.items()}
    before = {name: value.detach().clone() for name, value in parameters.items()}
    torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.01).step()
    return {name: value.detach() - before[name] for name, value in parameters.items()}


def write(folder: Path, values: dict[str, Any]) -> None:
    """Numbers in float64, arrays rounded to float32, which is far below the errors in question."""
    import numpy as np

    for name, value in values.items():
        np.save(folder / f"{name}.npy", value.detach().numpy().astype(np.float32 if value.ndim else np.float64))
