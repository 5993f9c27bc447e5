"""A BERT of the same size, for comparison: ConvBERT's masked language model with attention in all heads and no convolution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convbert_np.config import ConvBertConfig
from convbert_np.interface.inputs import prepare, unpack
from convbert_np.interface.options import Options
from convbert_np.interface.output import ModelOutput
from convbert_np.interface.pretraining import ConvBertForMaskedPositions
from convbert_np.model.embeddings import embeddings, embeddings_backward
from convbert_np.model.feed_forward import (
    intermediate,
    intermediate_backward,
    project_add_norm,
    project_add_norm_backward,
)
from convbert_np.model.initialise import Shapes, linear_shapes
from convbert_np.ops.attention import attention, attention_backward, merge_heads, split_heads
from convbert_np.ops.dropout import child
from convbert_np.ops.linear import linear, linear_backward
from convbert_np.ops.sums import total
from convbert_np.tree import Tree, flatten

PROJECTIONS = ("query", "key", "value")
SELF = ".attention.self."


def self_attention(x, params, config: ConvBertConfig, mask=None, rng=None):
    r"""All heads attend.

        query, key, value = x W_q^T + b_q,  x W_k^T + b_k,  x W_v^T + b_v               (1)
        y = attention(heads of query, key, value)                                       (2)

    Shapes : x, query, key, value, y (B, S, H), in num_attention_heads heads.
    Source : Devlin et al. 2019 (arXiv 1810.04805).
    """
    cache: Tree = {}
    heads: Tree = {}
    for name, letter in zip(PROJECTIONS, "qkv", strict=True):
        projected, cache[name] = linear(x, **params[name])  # (1)
        heads[letter] = split_heads(projected, config.num_attention_heads)
    context, attended = attention(**heads, mask=mask, p=config.attention_probs_dropout_prob, rng=rng)  # (2)
    return merge_heads(context), cache | attended


def self_attention_backward(dy, cache) -> Tree:
    """Adjoint of `self_attention`."""
    grads = attention_backward(split_heads(dy, cache["q"].shape[1]), cache)  # (2)
    for name, head in zip(PROJECTIONS, "qkv", strict=True):
        grads[name] = linear_backward(merge_heads(grads[head]), cache[name])  # (1)
    return grads | {"x": total(grads[name]["x"] for name in PROJECTIONS)}  # (1)


def layer(x, params, config: ConvBertConfig, mask=None, rng=None):
    """One layer: `self_attention`, then what ConvBERT's layer has after its mixed attention. x, y (B, S, H)."""
    own, rng_attention = params["attention"], child(rng, "attention")
    m, mixed = self_attention(x, own["self"], config, mask, child(rng_attention, "self"))
    a, attended = project_add_norm(m, x, own["output"], config, child(rng_attention, "output"))
    f, widened = intermediate(a, params["intermediate"], config)
    y, narrowed = project_add_norm(f, a, params["output"], config, child(rng, "output"))
    return y, {"attention": {"self": mixed, "output": attended}, "intermediate": widened, "output": narrowed}


def layer_backward(dy, cache) -> Tree:
    """Adjoint of `layer`."""
    output = project_add_norm_backward(dy, cache["output"])
    widened = intermediate_backward(output["dense"]["x"], cache["intermediate"])
    da = total([widened["dense"]["x"], output["residual"]])
    attended = project_add_norm_backward(da, cache["attention"]["output"])
    mixed = self_attention_backward(attended["dense"]["x"], cache["attention"]["self"])
    dx = total([mixed["x"], attended["residual"]])
    return {"x": dx, "attention": {"self": mixed, "output": attended}, "intermediate": widened, "output": output}


class BertForMaskedPositions(ConvBertForMaskedPositions):
    """ConvBertForMaskedPositions in which the layers are those of BERT; names and shapes of all else are the same."""

    @classmethod
    def shapes(cls, config: ConvBertConfig) -> Shapes:
        """Those of ConvBERT, but for the attention's maps: query, key and value of the whole hidden size."""
        shapes = {name: shape for name, shape in super().shapes(config).items() if SELF not in name}
        for index in range(config.num_hidden_layers):
            for name in PROJECTIONS:
                shapes |= linear_shapes(f"convbert.encoder.layer.{index}{SELF}{name}", config.hidden_size, config.hidden_size)
        return shapes

    def run(self, given: dict[str, Any], options: Options) -> ModelOutput:
        """The call, for input_ids, attention_mask and labels; with labels only, as its base class."""
        arguments = unpack(given["input_ids"], given)
        labels, options = arguments.pop("labels"), options.resolve(self.config)
        inputs, rng = prepare(arguments, self.config, self.dtype), child(options.generator(), "convbert")
        cache: Tree = {"encoder": {"layer": {}}}
        x, cache["embeddings"] = embeddings(
            inputs["input_ids"], None, inputs["token_type_ids"], inputs["position_ids"],
            self.body["embeddings"], self.config, child(rng, "embeddings"),
        )  # fmt: skip
        if "embeddings_project" in self.body:
            x, cache["embeddings_project"] = linear(x, **self.body["embeddings_project"])
        for index, params in self.body["encoder"]["layer"].items():
            x, cache["encoder"]["layer"][index] = layer(x, params, self.config, inputs["mask"], child(rng, index))
        results, of_head = self.finish(x, [labels], None, None, options.reduction)
        kept = {"convbert": cache} | of_head if options.keep_cache else None
        return ModelOutput(results, options.once, dynamic_kernels=(), cache=kept)

    def backward(
        self, out: ModelOutput, cotangents: Mapping[str, Any] | None = None, intermediates: bool = False
    ) -> dict[str, Any]:
        """The gradient of the loss, or of `cotangents["loss"]` times the loss, for every parameter."""
        cache = out.cache["convbert"]
        tree = self.unfinish({"loss": (cotangents or {"loss": 1.0})["loss"]}, out)
        dx, layers = tree.pop("x"), {}
        for index in reversed(cache["encoder"]["layer"]):
            layers[index] = layer_backward(dx, cache["encoder"]["layer"][index])
            dx = layers[index]["x"]
        body: Tree = {"encoder": {"layer": layers}}
        if "embeddings_project" in cache:
            body["embeddings_project"] = linear_backward(dx, cache["embeddings_project"])
            dx = body["embeddings_project"]["x"]
        body["embeddings"] = embeddings_backward(dx, cache["embeddings"])
        return self.collect_gradients(flatten({"convbert": body} | tree), intermediates)
