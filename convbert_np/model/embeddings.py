"""From ids to vectors: word, position and segment embeddings."""

from convbert_np.config import ConvBertConfig
from convbert_np.ops.broadcasting import sum_to_shape
from convbert_np.ops.dropout import child, dropout, dropout_backward
from convbert_np.ops.embedding import embedding, embedding_backward
from convbert_np.ops.layer_norm import layer_norm, layer_norm_backward
from convbert_np.tree import Tree


def embeddings(input_ids, inputs_embeds, token_type_ids, position_ids, params, config: ConvBertConfig, rng=None):
    r"""Say of every token what it is, where it stands, and in which segment.

        inputs_embeds = W_word[input_ids]                         (or given)            (1)
        e             = inputs_embeds + W_position[position_ids] + W_type[token_type_ids] (2)
        y             = dropout(LayerNorm(e))                                           (3)

    Shapes : input_ids (B, S) or None, inputs_embeds (B, S, E) or None; token_type_ids, position_ids (B or 1, S); y (B, S, E).
    Cache  : inputs_embeds; the caches of word_embeddings, position_embeddings, token_type_embeddings, LayerNorm, dropout.
    Source : ConvBertEmbeddings in transformers 4.37.2.
    """
    cache: Tree = {}
    if input_ids is not None:
        padding_idx = config.pad_token_id
        inputs_embeds, cache["word_embeddings"] = embedding(
            input_ids, **params["word_embeddings"], padding_idx=padding_idx
        )  # (1)
    cache["inputs_embeds"] = inputs_embeds
    position, cache["position_embeddings"] = embedding(position_ids, **params["position_embeddings"])
    segment, cache["token_type_embeddings"] = embedding(token_type_ids, **params["token_type_embeddings"])
    e = inputs_embeds + position + segment  # (2)
    normed, cache["LayerNorm"] = layer_norm(e, **params["LayerNorm"], eps=config.layer_norm_eps)  # (3)
    y, cache["dropout"] = dropout(normed, config.hidden_dropout_prob, child(rng, "dropout"))  # (3)
    return y, cache


def embeddings_backward(dy, cache) -> Tree:
    """Adjoint of `embeddings`: the three tables share the gradient of their sum."""
    grads: Tree = {"dropout": dropout_backward(dy, cache["dropout"])}  # (3)
    grads["LayerNorm"] = layer_norm_backward(grads["dropout"]["x"], cache["LayerNorm"])  # (3)
    de = grads["LayerNorm"]["x"]
    for table in ("position_embeddings", "token_type_embeddings"):
        grads[table] = embedding_backward(sum_to_shape(de, cache[table]["y"].shape), cache[table])  # (2)
    grads["inputs_embeds"] = sum_to_shape(de, cache["inputs_embeds"].shape)  # (2)
    if "word_embeddings" in cache:
        grads["word_embeddings"] = embedding_backward(grads["inputs_embeds"], cache["word_embeddings"])  # (1)
    return grads
