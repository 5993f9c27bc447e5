"""The heads: what each task makes of the last hidden states x (B, S, H)."""

import numpy as np

from convbert_np.config import ConvBertConfig, check_probability
from convbert_np.ops.activations import ACTIVATIONS, activation, activation_backward
from convbert_np.ops.dropout import child, dropout, dropout_backward
from convbert_np.ops.layer_norm import layer_norm, layer_norm_backward
from convbert_np.ops.linear import linear, linear_backward, linear_backward_of_some_rows
from convbert_np.tree import Tree

SUMMARY_TYPES = ("last", "first", "mean", "cls_index")


def classifier_dropout(config: ConvBertConfig) -> float:
    """The dropout probability before a classifier: its own, or that of the hidden states."""
    return config.hidden_dropout_prob if config.classifier_dropout is None else config.classifier_dropout


def masked_lm_head(x, params, config: ConvBertConfig, rng=None):
    r"""A score for every piece of the vocabulary at every position.

        g      = LayerNorm(gelu(x W^T + b))                       (H -> E; always gelu) (1)
        logits = g W_word^T + b_word                              (E -> V)              (2)

    W_word is generator_lm_head.weight; where it is tied, the caller hands in the word embeddings.

    Shapes : x (B, S, H), g (B, S, E), logits (B, S, V).
    Source : ConvBertGeneratorPredictions and generator_lm_head of ConvBertForMaskedLM in transformers 4.37.2.
    """
    predictions = params["generator_predictions"]
    projected, dense = linear(x, **predictions["dense"])  # (1)
    bent, act = activation(projected, "gelu")  # (1)
    g, norm = layer_norm(bent, **predictions["LayerNorm"], eps=config.layer_norm_eps)  # (1)
    logits, lm_head = linear(g, **params["generator_lm_head"])  # (2)
    cache = {"dense": dense, "activation": act, "LayerNorm": norm}
    return logits, {"generator_predictions": cache, "generator_lm_head": lm_head}


def masked_lm_head_backward(dlogits, cache) -> Tree:
    """Adjoint of `masked_lm_head`; the gradient of x is that of generator_predictions.dense.x."""
    predictions = cache["generator_predictions"]
    lm_head = linear_backward_of_some_rows(dlogits, cache["generator_lm_head"])  # (2)
    norm = layer_norm_backward(lm_head["x"], predictions["LayerNorm"])  # (1)
    act = activation_backward(norm["x"], predictions["activation"])  # (1)
    dense = linear_backward(act["x"], predictions["dense"])  # (1)
    grads: Tree = {"dense": dense, "activation": act, "LayerNorm": norm}
    return {"x": dense["x"], "generator_predictions": grads, "generator_lm_head": lm_head}


def discriminator_head(x, params, config: ConvBertConfig, rng=None):
    r"""For every token a score that it is not the one that stood there.

        h      = act(x W_d^T + b_d)                                                     (1)
        logits = h w^T + b                                        (H -> 1)              (2)

    Shapes : x, h (B, S, H), logits (B, S).
    Source : Clark et al. 2020 (arXiv 2003.10555); get_discriminator_output of the original code.
    """
    own = params["discriminator_predictions"]
    projected, dense = linear(x, **own["dense"])  # (1)
    h, act = activation(projected, config.hidden_act)  # (1)
    scores, dense_1 = linear(h, **own["dense_1"])  # (2)
    logits = scores[..., 0]
    cache = {"dense": dense, "activation": act, "dense_1": dense_1}
    return logits, {"discriminator_predictions": cache, "discriminator_logits": logits}


def discriminator_head_backward(dlogits, cache) -> Tree:
    """Adjoint of `discriminator_head`."""
    own = cache["discriminator_predictions"]
    dense_1 = linear_backward(dlogits[..., None], own["dense_1"])  # (2)
    act = activation_backward(dense_1["x"], own["activation"])  # (1)
    dense = linear_backward(act["x"], own["dense"])  # (1)
    grads: Tree = {"dense": dense, "activation": act, "dense_1": dense_1}
    return {"x": dense["x"], "discriminator_predictions": grads, "discriminator_logits": dlogits}


def sequence_classification_head(x, params, config: ConvBertConfig, rng=None):
    r"""One decision per sequence, from the state of its first token.

        c      = dropout(x_{first token})                                               (1)
        h      = dropout(act(c W_d^T + b_d))                                            (2)
        logits = h W_o^T + b_o                                                          (3)

    Shapes : x (B, S, H), c, h (B, H), logits (B, num_labels).
    Source : ConvBertClassificationHead in transformers 4.37.2.
    """
    p, own, rng = classifier_dropout(config), params["classifier"], child(rng, "classifier")
    c, drop = dropout(x[:, 0], p, child(rng, "dropout"))  # (1)
    projected, dense = linear(c, **own["dense"])  # (2)
    bent, act = activation(projected, config.hidden_act)  # (2)
    h, drop2 = dropout(bent, p, child(rng, "dropout2"))  # (2)
    logits, out_proj = linear(h, **own["out_proj"])  # (3)
    cache = {"x": x, "dropout": drop, "dense": dense, "activation": act, "dropout2": drop2, "out_proj": out_proj}
    return logits, {"classifier": cache}


def sequence_classification_head_backward(dlogits, cache) -> Tree:
    """Adjoint of `sequence_classification_head`: only the first token's state gets a gradient."""
    own = cache["classifier"]
    out_proj = linear_backward(dlogits, own["out_proj"])  # (3)
    drop2 = dropout_backward(out_proj["x"], own["dropout2"])  # (2)
    act = activation_backward(drop2["x"], own["activation"])  # (2)
    dense = linear_backward(act["x"], own["dense"])  # (2)
    drop = dropout_backward(dense["x"], own["dropout"])  # (1)
    dx = np.zeros_like(own["x"])
    dx[:, 0] = drop["x"]  # (1)
    grads: Tree = {"x": dx, "dropout": drop, "dense": dense, "activation": act, "dropout2": drop2, "out_proj": out_proj}
    return {"x": dx, "classifier": grads}


def token_classification_head(x, params, config: ConvBertConfig, rng=None):
    r"""One decision per token.

        logits = dropout(x) W^T + b                                                     (1)

    Shapes : x (B, S, H), logits (B, S, num_labels).
    Source : ConvBertForTokenClassification in transformers 4.37.2.
    """
    kept, drop = dropout(x, classifier_dropout(config), child(rng, "dropout"))  # (1)
    logits, classifier = linear(kept, **params["classifier"])  # (1)
    return logits, {"dropout": drop, "classifier": classifier}


def token_classification_head_backward(dlogits, cache) -> Tree:
    """Adjoint of `token_classification_head`."""
    classifier = linear_backward(dlogits, cache["classifier"])  # (1)
    drop = dropout_backward(classifier["x"], cache["dropout"])  # (1)
    return {"x": drop["x"], "dropout": drop, "classifier": classifier}


def question_answering_head(x, params, config: ConvBertConfig, rng=None):
    r"""For every token, a score that the answer starts there, and one that it ends there.

        y = x W^T + b                                                                   (1)
        start_logits, end_logits = y_{.,0}, y_{.,1}                                     (2)

    Shapes : x (B, S, H), y (B, S, 2), start_logits, end_logits (B, S).
    Source : ConvBertForQuestionAnswering in transformers 4.37.2.
    """
    y, qa_outputs = linear(x, **params["qa_outputs"])  # (1)
    start_logits, end_logits = y[..., 0], y[..., 1]  # (2)
    return y, {"qa_outputs": qa_outputs, "start_logits": start_logits, "end_logits": end_logits}


def question_answering_head_backward(dy, cache) -> Tree:
    """Adjoint of `question_answering_head`."""
    qa_outputs = linear_backward(dy, cache["qa_outputs"])  # (1)
    dstart, dend = dy[..., 0], dy[..., 1]  # (2)
    return {"x": qa_outputs["x"], "qa_outputs": qa_outputs, "start_logits": dstart, "end_logits": dend}


def multiple_choice_head(x, params, config: ConvBertConfig, rng=None):
    r"""One score per choice: the choices of all questions are rows of one batch, B*C of them.

        s      = sequence_summary(x)                                                    (1)
        logits = s W^T + b                                        (H -> 1)              (2)

    Shapes : x (B*C, S, H), s (B*C, H), logits (B*C, 1).
    Source : ConvBertForMultipleChoice in transformers 4.37.2.
    """
    s, summary = sequence_summary(x, params.get("sequence_summary", {}), config, child(rng, "sequence_summary"))  # (1)
    logits, classifier = linear(s, **params["classifier"])  # (2)
    return logits, {"sequence_summary": summary, "classifier": classifier}


def multiple_choice_head_backward(dlogits, cache) -> Tree:
    """Adjoint of `multiple_choice_head`; dlogits may be folded by question, (B, C)."""
    classifier = linear_backward(dlogits.reshape(-1, 1), cache["classifier"])  # (2)
    summary = sequence_summary_backward(classifier["x"], cache["sequence_summary"])  # (1)
    return {"x": summary["x"], "sequence_summary": summary, "classifier": classifier}


def sequence_summary(x, params, config: ConvBertConfig, rng=None):
    r"""One vector for a sequence.

        pooled = x_{last position}, x_{first}, or mean over positions   (summary_type)  (1)
        y      = dropout(act(dropout(pooled) W^T + b))                                  (2)

    The default is the last position, padding or not, and (2) the identity: each step of (2) is there if the configuration asks
    for it: summary_first_dropout, summary_use_proj (W), summary_activation, summary_last_dropout. With summary_type
    "cls_index" the reference's multiple-choice model passes no index, which means the last position.

    Shapes : x (B, S, H), pooled, y (B, H).
    Source : SequenceSummary in transformers 4.37.2.
    """
    kind = getattr(config, "summary_type", "last")
    y = pooled = np.mean(x, axis=1) if kind == "mean" else x[:, 0 if kind == "first" else -1]  # (1)
    cache: Tree = {"x": x, "kind": kind, "pooled": pooled}
    p_first, p_last = summary_dropouts(config)
    if p_first:
        y, cache["first_dropout"] = dropout(y, p_first, child(rng, "first_dropout"))  # (2)
    if "summary" in params:
        y, cache["summary"] = linear(y, **params["summary"])  # (2)
    if name := getattr(config, "summary_activation", None):
        y, cache["activation"] = activation(y, name)  # (2)
    if p_last:
        y, cache["last_dropout"] = dropout(y, p_last, child(rng, "last_dropout"))  # (2)
    return y, cache


def sequence_summary_backward(dy, cache) -> Tree:
    """Adjoint of `sequence_summary`: through the steps that were taken, last one first."""
    adjoints = {"first_dropout": dropout_backward, "summary": linear_backward}
    adjoints |= {"activation": activation_backward, "last_dropout": dropout_backward}
    grads: Tree = {}
    for step in reversed([step for step in adjoints if step in cache]):
        grads[step] = adjoints[step](dy, cache[step])  # (2)
        dy = grads[step]["x"]
    grads["pooled"] = dy
    dx = np.zeros_like(cache["x"])
    if cache["kind"] == "mean":
        dx += dy[:, None] / dx.shape[1]  # (1)
    else:
        dx[:, 0 if cache["kind"] == "first" else -1] = dy  # (1)
    return grads | {"x": dx}


def summary_dropouts(config: ConvBertConfig) -> tuple[float, float]:
    """The probabilities of the two dropouts of `sequence_summary`, 0 where the configuration does not name them."""
    return getattr(config, "summary_first_dropout", None) or 0.0, getattr(config, "summary_last_dropout", None) or 0.0


def check_summary(config: ConvBertConfig) -> None:
    """Raise ValueError, naming the field, if `sequence_summary` cannot be built from the configuration."""
    kind, act = getattr(config, "summary_type", "last"), getattr(config, "summary_activation", None)
    if kind not in SUMMARY_TYPES:
        raise ValueError(f"summary_type: must be one of {SUMMARY_TYPES}, got {kind!r}")
    if act and act not in ACTIVATIONS:
        raise ValueError(f"summary_activation: must be None or one of {sorted(ACTIVATIONS)}, got {act!r}")
    for name, p in zip(("summary_first_dropout", "summary_last_dropout"), summary_dropouts(config), strict=True):
        check_probability(name, p)
    to_labels = getattr(config, "summary_use_proj", False) and getattr(config, "summary_proj_to_labels", False)
    if to_labels and config.num_labels != config.hidden_size:
        raise ValueError(
            f"summary_proj_to_labels: projects to num_labels {config.num_labels}, which the classifier, reading hidden_size "
            f"{config.hidden_size} channels, cannot take"
        )
