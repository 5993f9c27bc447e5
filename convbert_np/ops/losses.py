"""The losses: cross-entropy, mean squared error, binary cross-entropy."""

import numpy as np

from convbert_np.memory import zeros_like
from convbert_np.ops.softmax import log_softmax, log_softmax_backward
from convbert_np.tree import Tree

REDUCTIONS = ("mean", "sum", "none")


def cross_entropy(logits, labels, ignore_index=-100, reduction="mean"):
    r"""How surprised the model is by the right class.

        log_probs = log_softmax_C(logits)                                               (1)
        loss_r    = -log_probs_{r, labels_r}, 0 where the label is ignored              (2)
        loss      = sum_r loss_r / (number of labels kept)        (reduction "mean")     (3)

    With no label kept the mean is 0/0: the loss is nan and every gradient 0, as in PyTorch.

    Shapes : logits, log_probs (..., C); labels (...) integers in [0, C) or ignore_index; loss () or, unreduced, (...).
    Cache  : logits, labels, ignore_index, reduction, log_probs, loss.
    Source : torch.nn.CrossEntropyLoss.
    """
    log_probs, _ = log_softmax(logits)  # (1)
    keep = labels != ignore_index
    picked = np.take_along_axis(log_probs, np.where(keep, labels, 0)[..., None], axis=-1)[..., 0]
    loss = reduce(np.where(keep, -picked, 0), reduction, count_of(keep, logits))  # (2) (3)
    cache = {"logits": logits, "labels": labels, "ignore_index": ignore_index, "reduction": reduction}
    return loss, cache | {"log_probs": log_probs, "loss": loss}


def cross_entropy_backward(dloss, cache) -> Tree:
    """Adjoint of `cross_entropy`; after (1) it is dlogits = (softmax - onehot) * dloss_r."""
    labels, log_probs = cache["labels"], cache["log_probs"]
    keep = labels != cache["ignore_index"]
    drows = spread(dloss, keep, cache["reduction"], count_of(keep, log_probs), log_probs)  # (3)
    dlog_probs = zeros_like(log_probs)
    kept = np.flatnonzero(keep)
    dlog_probs.reshape(-1, log_probs.shape[-1])[kept, labels.reshape(-1)[kept]] = -drows.reshape(-1)[kept]  # (2)
    dlogits = zeros_like(log_probs)
    dlogits[keep] = log_softmax_backward(dlog_probs[keep], {"y": log_probs[keep], "axis": -1})["x"]  # (1)
    return {"logits": dlogits, "log_probs": dlog_probs, "loss": dloss}


def mse_loss(logits, labels, reduction="mean"):
    r"""Mean squared error.

        loss_r = (logits_r - labels_r)^2                                                (1)
        loss   = mean_r loss_r                                    (reduction "mean")     (2)

    Shapes : logits and labels the same; loss () or, unreduced, theirs.
    Cache  : logits, labels, reduction, loss.
    Source : torch.nn.MSELoss.
    """
    error = logits - labels
    loss = reduce(error * error, reduction, error.size)  # (1) (2)
    return loss, {"logits": logits, "labels": labels, "reduction": reduction, "loss": loss}


def mse_loss_backward(dloss, cache) -> Tree:
    """Adjoint of `mse_loss`."""
    error = cache["logits"] - cache["labels"]
    drows = spread(dloss, np.ones_like(error), cache["reduction"], error.size, error)  # (2)
    return {"logits": 2 * error * drows, "loss": dloss}  # (1)


def binary_cross_entropy_with_logits(logits, labels, reduction="mean"):
    r"""Cross-entropy of independent yes/no questions.

        loss_r = -labels_r log(p_r) - (1 - labels_r) log(1 - p_r),   p = sigmoid(logits)
               = max(logits_r, 0) - logits_r labels_r + log(1 + exp(-|logits_r|))       (1)
        loss   = mean_r loss_r                                    (reduction "mean")     (2)

    The second form of (1) neither overflows nor takes the logarithm of 0.

    Shapes : logits and labels the same; loss () or, unreduced, theirs.
    Cache  : logits, labels, reduction, loss.
    Source : torch.nn.BCEWithLogitsLoss.
    """
    minus_abs = np.where(logits > 0, -logits, logits)
    rows = np.maximum(logits, 0) - logits * labels + np.log1p(np.exp(minus_abs))  # (1)
    loss = reduce(rows, reduction, rows.size)  # (2)
    return loss, {"logits": logits, "labels": labels, "reduction": reduction, "loss": loss}


def binary_cross_entropy_with_logits_backward(dloss, cache) -> Tree:
    """Adjoint of `binary_cross_entropy_with_logits`: dlogits = (sigmoid(logits) - labels) * dloss_r."""
    logits, labels = cache["logits"], cache["labels"]
    drows = spread(dloss, np.ones_like(logits), cache["reduction"], logits.size, logits)  # (2)
    probs = np.exp(np.minimum(logits, 0)) / (1 + np.exp(-np.abs(logits)))  # sigmoid, exact in both tails
    return {"logits": (probs - labels) * drows, "loss": dloss}  # (1)


def count_of(keep, like):
    """How many labels count, as a number of the dtype of `like`."""
    return np.sum(keep, dtype=like.dtype)


def reduce(rows, reduction, count):
    """The mean over `count` rows, the sum, or the rows themselves. Raises ValueError for any other `reduction`."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction: must be one of {REDUCTIONS}, got {reduction!r}")
    if reduction == "none":
        return rows
    with np.errstate(invalid="ignore"):
        return np.sum(rows) / (count if reduction == "mean" else 1)


def spread(dloss, keep, reduction, count, like):
    """Adjoint of `reduce`: what each row that is kept gets of the gradient of the reduced loss, in the dtype of `like`."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(keep, dloss / count if reduction == "mean" else dloss, like.dtype.type(0))
