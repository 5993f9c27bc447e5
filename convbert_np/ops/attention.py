"""Scaled dot-product attention."""

import numpy as np

from convbert_np.memory import like, matmul
from convbert_np.ops.broadcasting import sum_to_shape
from convbert_np.ops.dropout import child, dropout, dropout_backward
from convbert_np.ops.softmax import softmax, softmax_backward
from convbert_np.tree import Tree


def attention(q, k, v, mask=None, head_mask=None, p=0.0, rng=None):
    r"""Let every position take a weighted mean of the values, weighted by how well its query fits their keys.

        scores            = q k^T / sqrt(d)                                             (1)
        probs             = softmax(scores + mask)                (over the keys)       (2)
        attention_weights = dropout_p(probs) * head_mask                                (3)
        context           = attention_weights v                                         (4)

    Shapes : q, k, v, context (B, N, S, d); scores, probs, attention_weights (B, N, S, S); the additive `mask` and the factor
             `head_mask` broadcast to these. The mask is a constant: it has no gradient.
    Cache  : q, k, v, mask, head_mask (the last two if given), scores, probs, dropout, attention_weights, context.
    Source : Vaswani et al. 2017 (arXiv 1706.03762); ConvBertSelfAttention in transformers 4.37.2.
    """
    scores = matmul(q, np.swapaxes(k, -1, -2))  # (1)
    scores /= q.shape[-1] ** 0.5  # (1)
    masked = scores if mask is None else np.add(scores, mask, out=like(scores))  # (2)
    probs, _ = softmax(masked, out=None if mask is None else masked)  # (2)
    kept, dropout_cache = dropout(probs, p, child(rng, "dropout"))  # (3)
    attention_weights = kept if head_mask is None else kept * head_mask  # (3)
    context = matmul(attention_weights, v)  # (4)
    given = {"mask": mask, "head_mask": head_mask}
    cache: Tree = {"q": q, "k": k, "v": v} | {name: value for name, value in given.items() if value is not None}
    cache |= {"scores": scores, "probs": probs, "dropout": dropout_cache}
    return context, cache | {"attention_weights": attention_weights, "context": context}


def attention_backward(dcontext, cache, dattention_weights=None) -> Tree:
    """Adjoint of `attention`. `dattention_weights` is what else the loss takes from the weights, an output of the model too."""
    q, k, v = cache["q"], cache["k"], cache["v"]
    dweights = matmul(dcontext, np.swapaxes(v, -1, -2))  # (4)
    dv = matmul(np.swapaxes(cache["attention_weights"], -1, -2), dcontext)  # (4)
    if dattention_weights is not None:
        dweights = dweights + dattention_weights
    grads: Tree = {"v": dv, "attention_weights": dweights, "context": dcontext}
    dkept = dweights
    if "head_mask" in cache:
        head_mask = cache["head_mask"]
        grads["head_mask"] = sum_to_shape(dweights * cache["dropout"]["y"], head_mask.shape)  # (3)
        dkept = dweights * head_mask  # (3)
    grads["dropout"] = dropout_backward(dkept, cache["dropout"])  # (3)
    grads["probs"] = grads["dropout"]["x"]
    grads["scores"] = softmax_backward(grads["probs"], {"y": cache["probs"], "axis": -1})["x"]  # (2)
    dproducts = np.divide(grads["scores"], q.shape[-1] ** 0.5, out=like(grads["scores"]))  # (1)
    grads["q"] = matmul(dproducts, k)  # (1)
    grads["k"] = matmul(np.swapaxes(dproducts, -1, -2), q)  # (1)
    return grads


def split_heads(x, num_heads):
    """(B, S, N*d) -> (B, N, S, d): each head takes a slice of d channels."""
    batch, length, width = x.shape
    return np.swapaxes(x.reshape(batch, length, num_heads, width // num_heads), 1, 2)


def merge_heads(x):
    """(B, N, S, d) -> (B, S, N*d): the inverse of `split_heads`, and so its adjoint."""
    batch, num_heads, length, size = x.shape
    return np.swapaxes(x, 1, 2).reshape(batch, length, num_heads * size)
