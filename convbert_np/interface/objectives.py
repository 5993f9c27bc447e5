"""From logits and labels to the loss of each task."""

from typing import Any

import numpy as np

from convbert_np.config import ConvBertConfig
from convbert_np.interface.inputs import as_array, as_integers, check_shape
from convbert_np.ops.losses import (
    binary_cross_entropy_with_logits,
    binary_cross_entropy_with_logits_backward,
    cross_entropy,
    cross_entropy_backward,
    mse_loss,
    mse_loss_backward,
)
from convbert_np.tree import Tree

IGNORED = -100


def class_labels(labels: Any, name: str, shape: tuple[int, ...], num_classes: int, like: Any) -> Any:
    """Check labels for a cross-entropy: integers of this shape in [0, num_classes), or -100 to be ignored."""
    labels = as_array(labels, name)
    if labels.dtype.kind in "iu":
        if labels.shape != shape and labels.shape == (*shape, 1):
            labels = labels.reshape(shape)
        kept = np.where(labels == IGNORED, 0, labels)
        as_integers(kept, name, 0, num_classes, f"number of classes; or {IGNORED} to be ignored")
    else:
        raise TypeError(f"{name}: class labels must be integers, got dtype {labels.dtype}")
    return check_shape(labels, name, [shape]).copy()


def float_labels(labels: Any, name: str, shapes: list[tuple[int, ...]], like: Any, kinds: str = "f") -> Any:
    """Check labels for a regression or for independent yes/no questions: numbers of one of these shapes; to the logits' dtype."""
    labels = as_array(labels, name)
    if labels.dtype.kind not in kinds:
        raise TypeError(f"{name}: must be floating-point numbers for this problem_type, got dtype {labels.dtype}")
    return check_shape(labels, name, shapes).astype(like.dtype)


def token_loss(logits, labels, config: ConvBertConfig, reduction="mean"):
    """Cross-entropy over all tokens whose label is not -100. Shapes: logits (B, S, C), labels (B, S)."""
    labels = class_labels(labels, "labels", logits.shape[:-1], logits.shape[-1], logits)
    loss, cache = cross_entropy(logits, labels, IGNORED, reduction)
    return loss, {"loss_fct": cache}


def token_loss_backward(dloss, cache) -> Tree:
    """Adjoint of `token_loss`, and of `choice_loss`."""
    grads = cross_entropy_backward(dloss, cache["loss_fct"])
    return {"logits": grads["logits"], "loss_fct": grads}


def choice_loss(logits, labels, config: ConvBertConfig, reduction="mean"):
    """Cross-entropy over the choices. Shapes: logits (B, C), labels (B,)."""
    return token_loss(logits, labels, config, reduction)


choice_loss_backward = token_loss_backward


def detection_loss(logits, is_fake, kept, reduction="mean"):
    r"""Binary cross-entropy of whether a token was replaced, over the positions that are no padding.

        rows = logits[kept]                                                             (1)
        loss = binary_cross_entropy(rows, is_fake[kept])                                (2)

    Shapes : logits, is_fake, kept (B, S); rows (R,).
    Source : Clark et al. 2020 (arXiv 2003.10555), replaced-token detection; get_discriminator_output of the original code.
    """
    rows = logits[kept]  # (1)
    loss, cache = binary_cross_entropy_with_logits(rows, is_fake[kept].astype(rows.dtype), reduction)  # (2)
    return loss, {"discriminator_loss_fct": {"kept": kept} | cache}


def detection_loss_backward(dloss, cache) -> Tree:
    """Adjoint of `detection_loss`: padding gets no gradient."""
    grads = binary_cross_entropy_with_logits_backward(dloss, cache["discriminator_loss_fct"])  # (2)
    kept = cache["discriminator_loss_fct"]["kept"]
    dlogits = np.zeros_like(grads["logits"], shape=kept.shape)
    dlogits[kept] = grads["logits"]  # (1)
    return {"logits": dlogits, "discriminator_loss_fct": grads}


def infer_problem_type(labels: Any, config: ConvBertConfig) -> str:
    """What `labels` ask for if the configuration does not say: a single label means regression, integers classes."""
    if config.problem_type is not None:
        return config.problem_type
    if config.num_labels == 1:
        return "regression"
    return "single_label_classification" if as_array(labels, "labels").dtype.kind in "iu" else "multi_label_classification"


def sequence_loss(logits, labels, config: ConvBertConfig, reduction="mean"):
    """Squared error, cross-entropy or binary cross-entropy, by the problem type.

    Shapes : logits (B, L); labels (B,) for classes and for a regression on one number, else (B, L).
    Source : the loss of ConvBertForSequenceClassification in transformers 4.37.2.
    """
    batch, num_labels = logits.shape
    problem = infer_problem_type(labels, config)
    if problem == "single_label_classification":
        labels = class_labels(labels, "labels", (batch,), num_labels, logits)
        loss, cache = cross_entropy(logits, labels, IGNORED, reduction)
    elif problem == "multi_label_classification":
        labels = float_labels(labels, "labels", [(batch, num_labels)], logits)
        loss, cache = binary_cross_entropy_with_logits(logits, labels, reduction)
    elif num_labels == 1:
        labels = float_labels(labels, "labels", [(batch,), (batch, 1)], logits, "fiu").reshape(batch)
        loss, cache = mse_loss(logits[:, 0], labels, reduction)
    else:
        labels = float_labels(labels, "labels", [(batch, num_labels)], logits, "fiu")
        loss, cache = mse_loss(logits, labels, reduction)
    return loss, {"loss_fct": cache | {"problem_type": problem}}


def sequence_loss_backward(dloss, cache) -> Tree:
    """Adjoint of `sequence_loss`."""
    backward = {
        "single_label_classification": cross_entropy_backward,
        "multi_label_classification": binary_cross_entropy_with_logits_backward,
        "regression": mse_loss_backward,
    }[cache["loss_fct"]["problem_type"]]
    grads = backward(dloss, cache["loss_fct"])
    dlogits = grads["logits"]
    return {"logits": dlogits if dlogits.ndim == 2 else dlogits[:, None], "loss_fct": grads}


def span_loss(logits, start_positions, end_positions, config: ConvBertConfig, reduction="mean"):
    r"""Cross-entropy over the positions, for the start and for the end of the answer.

        loss = (cross_entropy(start_logits, start) + cross_entropy(end_logits, end)) / 2  (1)

    Positions are clamped to [0, S]; S, beyond the sequence, is ignored, while a negative one becomes 0 and counts.

    Shapes : logits (B, S, 2); positions (B,) or (B, 1).
    Source : the loss of ConvBertForQuestionAnswering in transformers 4.37.2.
    """
    batch, length = logits.shape[:2]
    cache: Tree = {}
    for index, (side, given) in enumerate((("start", start_positions), ("end", end_positions))):
        name = f"{side}_positions"
        positions = as_array(given, name)
        if positions.dtype.kind not in "iu":
            raise TypeError(f"{name}: must be integers, got dtype {positions.dtype}")
        positions = np.clip(check_shape(positions, name, [(batch,), (batch, 1)]).reshape(batch), 0, length)
        _, cache[f"{side}_loss_fct"] = cross_entropy(logits[..., index], positions, length, reduction)  # (1)
    loss = (cache["start_loss_fct"]["loss"] + cache["end_loss_fct"]["loss"]) / 2  # (1)
    return loss, cache | {"loss": loss}


def span_loss_backward(dloss, cache) -> Tree:
    """Adjoint of `span_loss`: each side gets half of the gradient."""
    start = cross_entropy_backward(dloss / 2, cache["start_loss_fct"])  # (1)
    end = cross_entropy_backward(dloss / 2, cache["end_loss_fct"])  # (1)
    dlogits = np.stack([start["logits"], end["logits"]], axis=-1)
    return {"logits": dlogits, "start_loss_fct": start, "end_loss_fct": end, "loss": dloss}
