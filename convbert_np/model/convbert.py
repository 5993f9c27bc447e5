"""The body of every ConvBERT: embeddings, projection, encoder."""

from collections.abc import Container
from typing import Any

from convbert_np.config import ConvBertConfig
from convbert_np.model.embeddings import embeddings, embeddings_backward
from convbert_np.model.encoder import encoder, encoder_backward
from convbert_np.model.keeping import OUTPUTS, Keep, everything, nothing, outputs_alone
from convbert_np.ops.dropout import child
from convbert_np.ops.linear import linear, linear_backward
from convbert_np.tree import Tree, flatten, select

BODY_OUTPUTS = ("hidden_states", "attentions", "dynamic_kernels")


def convbert(inputs: Tree, params: Tree, config: ConvBertConfig, rng=None, collect: Container[str] = (), keep: Keep = everything):
    r"""From ids to one vector per token.

        e       = embeddings(ids)                                                       (1)
        x_0     = e W^T + b                                       (only where E != H)   (2)
        x_{i+1} = encoder_layer_i(x_i)                                                  (3)

    `inputs` are those of `interface.inputs.prepare`; `collect` names which of BODY_OUTPUTS to return; `keep` is one
    of model/keeping.py: everything, for_backward, recomputed or nothing.

    Shapes : e (B, S, E), x_i (B, S, H).
    Returns: x_L, the collected outputs (hidden_states x_0 ... x_L, the others one per layer), and the cache.
    Cache  : embeddings, embeddings_project (if E != H), encoder.layer.<i>; None with `nothing` as `keep`.
    Source : ConvBertModel in transformers 4.37.2.
    """
    cache: Tree = {}
    x, cache["embeddings"] = embeddings(
        inputs["input_ids"], inputs["inputs_embeds"], inputs["token_type_ids"], inputs["position_ids"],
        params["embeddings"], config, child(rng, "embeddings"),
    )  # (1)  # fmt: skip
    if "embeddings_project" in params:
        x, cache["embeddings_project"] = linear(x, **params["embeddings_project"])  # (2)
    collected: dict[str, list[Any]] = {name: [] for name in BODY_OUTPUTS if name in collect}
    if "hidden_states" in collected:
        collected["hidden_states"].append(x)
    layers: Tree = {}
    has_cache = keep is not nothing

    def visit(index, y, layer_cache):
        mixed = flatten(layer_cache["attention"]["self"])
        for name, values in collected.items():
            values.append(mixed[OUTPUTS[name]] if name in OUTPUTS else y)
        if has_cache:
            layers[str(index)] = layer_cache

    kept = keep if has_cache else outputs_alone(collected)
    head_masks, rng_encoder = inputs["head_masks"], child(rng, "encoder")
    x = encoder(x, params.get("encoder", {}), config, inputs["mask"], head_masks, rng_encoder, visit, kept)  # (3)
    cache["encoder"] = {"layer": layers}
    return x, {name: tuple(values) for name, values in collected.items()}, cache if has_cache else None


def convbert_backward(dx, cache, dhidden_states=None, dattentions=None, ddynamic_kernels=None, keep=None, forget=False) -> Tree:
    """Adjoint of `convbert`: from the gradient dx of x_L to that of everything.

    The three dicts map an index to what the loss takes from that hidden state, attention or kernel directly. With `keep`, a tree
    of parameters, only their gradients are returned. With `forget` each layer's part of the cache is dropped once it is read.
    """
    dhidden_states = dict(dhidden_states or {})
    last = len(cache["encoder"]["layer"])
    dhidden_states[last] = dx + dhidden_states[last] if last in dhidden_states else dx
    kept_layers = None if keep is None else keep.get("encoder", {})
    encoded = encoder_backward(
        dhidden_states, cache["encoder"], dattentions or {}, ddynamic_kernels or {}, kept_layers, forget
    )  # (3)
    grads: Tree = {"encoder": {"layer": encoded["layer"]}}
    de = encoded["x"]
    if "embeddings_project" in cache:
        grads["embeddings_project"] = linear_backward(de, cache["embeddings_project"])  # (2)
        de = grads["embeddings_project"]["x"]
    grads["embeddings"] = embeddings_backward(de, cache["embeddings"])  # (1)
    return grads if keep is None else select(grads, keep)
