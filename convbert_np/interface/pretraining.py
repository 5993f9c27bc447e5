"""ConvBERT's own pre-training: a generator fills masked places in, a discriminator finds out where."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from convbert_np.backend import as_like
from convbert_np.config import ConvBertConfig
from convbert_np.interface.base import LM_HEAD, WORD_EMBEDDINGS, ConvBertPreTrainedModel
from convbert_np.interface.cotangents import split_cotangents
from convbert_np.interface.inputs import as_array, prepare, unpack
from convbert_np.interface.models import ConvBertForMaskedLM, ConvBertModel
from convbert_np.interface.objectives import IGNORED, class_labels, detection_loss, detection_loss_backward
from convbert_np.interface.options import Options, as_generator
from convbert_np.interface.output import ModelOutput
from convbert_np.model.convbert import convbert, convbert_backward
from convbert_np.model.heads import (
    discriminator_head,
    discriminator_head_backward,
    masked_lm_head,
    masked_lm_head_backward,
)
from convbert_np.model.initialise import Shapes, body_shapes, linear_shapes
from convbert_np.ops.dropout import child
from convbert_np.ops.losses import cross_entropy, cross_entropy_backward
from convbert_np.tree import Tree, flatten

GENERATOR_SIZE = 0.25
GENERATOR_WEIGHT, DISCRIMINATOR_WEIGHT = 1.0, 50.0
SHARED = "embeddings."
HEADS = ("generator_predictions", "generator_lm_head")
SMALLEST = np.finfo(np.float32).tiny


class GeneratorConfig(ConvBertConfig):
    """The configuration of a generator. With fewer attention heads than the head ratio its heads are twice as wide.

    One head of the original code has H channels, of which both kinds of attention have one then; ConvBertConfig gives each H / 2.
    The small model's generator is such a one.
    """

    @property
    def head_size(self) -> int:
        """d: the channels of one head."""
        heads = self.num_attention_heads
        return self.hidden_size // heads if heads < self.head_ratio else super().head_size


def generator_config(config: ConvBertConfig) -> GeneratorConfig:
    """The generator that goes with a discriminator: as deep, but narrower.

    Hidden size and attention heads are those of the discriminator times the field `generator_hidden_size` (.25 unless the
    configuration has it), the intermediate size is four times the hidden size, the layers are those of the discriminator times
    `generator_layers` (1). The fields `generator_num_attention_heads` and `generator_intermediate_size` win, if there.

    Source: get_generator_config of the original code. Raises ValueError naming the field.
    """
    share, depth = (getattr(config, n, d) for n, d in (("generator_hidden_size", GENERATOR_SIZE), ("generator_layers", 1)))
    for name, value in (("generator_hidden_size", share), ("generator_layers", depth)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
            raise ValueError(f"{name}: must be a share of the discriminator's, above 0 and at most 1, got {value!r}")
    hidden = round(config.hidden_size * share)
    fields: dict[str, Any] = {
        "hidden_size": hidden,
        "num_attention_heads": getattr(
            config, "generator_num_attention_heads", max(1, round(config.num_attention_heads * share))
        ),
        "intermediate_size": getattr(config, "generator_intermediate_size", 4 * hidden),
        "num_hidden_layers": round(config.num_hidden_layers * depth),
    }
    try:
        return GeneratorConfig(**{n: v for n, v in config.to_dict().items() if n != "model_type"} | fields)
    except ValueError as error:
        raise ValueError(f"generator_hidden_size: {share} of this configuration makes no generator: {error}") from error


def gumbel_sample(logits, rng):
    r"""Draw one class per row from softmax(logits), by the Gumbel trick.

        g_c    = -log(e_c),  e_c exponentially distributed        (standard Gumbel noise)
        sample = argmax_c (logits_c + g_c)

    Shapes : logits (M, V), sample (M,). There is no gradient through this.
    Source : sample_from_softmax of the original code, temperature 1.
    """
    noise = np.log(np.maximum(rng.standard_exponential(logits.shape, dtype=np.float32), SMALLEST))
    return np.argmax(logits.real - as_like(noise, logits), axis=-1)


class ConvBertForMaskedPositions(ConvBertForMaskedLM):
    """ConvBertForMaskedLM for training: the head sees the M positions that have a label, and logits are (M, V).

    Loss and gradients are the same; of the head's work, the most in a small model, six sevenths are saved. It needs labels.
    """

    def finish(self, x: Any, labels: list, choices: int | None, rng: Any, reduction: str) -> tuple[dict[str, Any], Tree]:
        """The masked positions' logits, and their loss."""
        if labels[0] is None:
            raise ValueError("labels: this model looks at positions with a label only; ConvBertForMaskedLM looks at all")
        own = class_labels(labels[0], "labels", x.shape[:2], self.config.vocab_size, x)
        masked = own != IGNORED
        results, cache = super().finish(x[masked], [own[masked]], choices, rng, reduction)
        return results, {"masked_positions": masked} | cache

    def unfinish(self, direct: dict[str, Any], out: ModelOutput) -> Tree:
        """Adjoint of `finish`: other positions get no gradient."""
        grads, masked = super().unfinish(direct, out), out.cache["masked_positions"]
        dx = np.zeros_like(grads["x"], shape=(*masked.shape, grads["x"].shape[-1]))
        dx[masked] = grads["x"]
        return grads | {"x": dx}

    def masked_lm(self) -> ConvBertForMaskedLM:
        """The same model, which looks at all positions; its parameters are this model's own arrays."""
        model = ConvBertForMaskedLM.__new__(ConvBertForMaskedLM)
        model.config, model.params = self.config, self.params
        return model


class ConvBertForPreTraining(ConvBertPreTrainedModel):
    """Replaced-token detection: `convbert` with `discriminator_predictions` is the discriminator, the ConvBERT that is kept.

    The parameters' names are those of the other models. The generator's own begin with "generator." (embeddings_project, encoder)
    and with generator_predictions and generator_lm_head (its head); the embeddings are shared: word, position and type tables
    with their LayerNorm stand under "convbert.embeddings", and the word table is the generator's last map, too.

    Source: PretrainingModel of the original code (yitu-opensource/ConvBert), which is that of ELECTRA (Clark et al. 2020,
    arXiv 2003.10555). The reference library has no such model.
    """

    outputs = ("generator_loss", "discriminator_loss", "generator_logits", "discriminator_logits")
    loss_weights = MappingProxyType({"generator_loss": GENERATOR_WEIGHT, "discriminator_loss": DISCRIMINATOR_WEIGHT})

    @classmethod
    def check_config(cls, config: ConvBertConfig) -> None:
        """There must be a generator for it, and the word embeddings must be shared."""
        generator_config(config)
        if not config.tie_word_embeddings:
            raise ValueError("tie_word_embeddings: the generator's last map is the word embeddings; it cannot be False here")

    @classmethod
    def head_shapes(cls, config: ConvBertConfig) -> Shapes:
        """The generator's own body and head, and the discriminator's head."""
        small, hidden = generator_config(config), config.hidden_size
        body = {f"generator.{n}": shape for n, shape in body_shapes(small).items() if not n.startswith(SHARED)}
        head = linear_shapes("discriminator_predictions.dense", hidden, hidden)
        return (
            body | ConvBertForMaskedLM.head_shapes(small) | head | linear_shapes("discriminator_predictions.dense_1", hidden, 1)
        )

    @classmethod
    def from_pretrained(cls, name_or_path: Any, *positional: Any, part: str = "pretraining", **more: Any) -> Any:
        """See `ConvBertPreTrainedModel.from_pretrained`. Of a TensorFlow 1 bundle both parts are read."""
        return super().from_pretrained(name_or_path, *positional, part=part, **more)

    @property
    def generator_body(self) -> Tree:
        """The parameters of the generator's body, the shared embeddings included."""
        return {"embeddings": self.body["embeddings"]} | self.params.get("generator", {})

    def generator(self) -> ConvBertForMaskedLM:
        """The generator as a masked language model; its parameters are this model's own arrays."""
        model = ConvBertForMaskedLM.__new__(ConvBertForMaskedLM)
        model.config = generator_config(self.config)
        model.params = {"convbert": self.generator_body} | {name: self.params[name] for name in HEADS}
        return model

    def discriminator(self) -> ConvBertModel:
        """The body of the discriminator, which is what is fine-tuned; its parameters are this model's own arrays."""
        model = ConvBertModel.__new__(ConvBertModel)
        model.config, model.params = self.config, self.body
        return model

    # Forward.

    def run(self, given: dict[str, Any], options: Options) -> Any:
        r"""The call: see `ConvBertPreTrainedModel.__call__`; here

            logits_G  = generator(input_ids)[masked positions]
            loss_G    = cross_entropy(logits_G, labels)
            sampled   = gumbel_sample(logits_G)                   (no gradient)
            filled    = the original ids, at masked positions the sampled ones
            logits_D  = discriminator(filled)
            loss_D    = binary_cross_entropy(logits_D, filled != original)
            loss      = 1 * loss_G + 50 * loss_D

        input_ids (B, S) with [MASK] in place of some ids; labels (B, S): the original ids at the masked positions, -100
        elsewhere (see `convbert_np.training.masking`). loss_D is a mean over the positions that attention_mask does not exclude.
        `rng` draws the dropout masks and, with or without `training`, the samples; a tree (an earlier call's cache) repeats both.

        Results: loss, generator_loss, discriminator_loss, generator_logits (M, V) of the M masked positions,
        discriminator_logits (B, S); beyond these filled_ids and is_fake (B, S). Without labels there is the discriminator alone.
        """
        self.config.validate()
        arguments = unpack(given["input_ids"], given)
        labels, options = arguments.pop("labels"), options.resolve(self.config)
        if arguments["inputs_embeds"] is not None:
            raise ValueError("inputs_embeds: the generator replaces ids; give input_ids")
        if options.reduction != "mean":
            raise ValueError(f"reduction: the pre-training loss is a sum of means, got {options.reduction!r}")
        rng = options.rng if isinstance(options.rng, Mapping) else as_generator(options.rng, "rng")
        inputs = prepare(arguments, self.config, self.dtype)
        results: dict[str, Any] = dict.fromkeys(("loss", *self.outputs))
        cache: Tree = {}
        original = inputs["input_ids"]
        if labels is not None:
            labels = class_labels(labels, "labels", original.shape, self.config.vocab_size, None)
            original = np.where(labels == IGNORED, original, labels)
            results, cache, filled = self.generate(inputs, labels, rng, options)
            inputs |= {"input_ids": filled}
        results["discriminator_logits"], collected, own = self.discriminate(inputs, rng, options)
        cache |= own
        is_fake = inputs["input_ids"] != original
        if labels is not None:
            kept = attended(arguments["attention_mask"], original)
            results["discriminator_loss"], detected = detection_loss(results["discriminator_logits"], is_fake, kept)
            results["loss"] = sum(weight * results[name] for name, weight in self.loss_weights.items())
            cache |= detected | {"loss": results["loss"]}
        kernels = collected.pop("dynamic_kernels")
        results |= {name: collected.get(name) for name in ("hidden_states", "attentions")}
        extras = {"filled_ids": inputs["input_ids"], "is_fake": is_fake}
        extras |= {"dynamic_kernels": kernels, "cache": cache if options.keep_cache else None}
        out = ModelOutput(results, options.once, **extras)
        return out if options.return_dict else out.to_tuple()

    def generate(self, inputs: Tree, labels: Any, rng: Any, options: Options) -> tuple[dict[str, Any], Tree, Any]:
        """The generator at the masked positions: its results, its cache, and the ids with its samples filled in."""
        small, masked = generator_config(self.config), labels != IGNORED
        noise = child(rng, "generator") if options.training else None
        without = inputs | {"head_masks": None}
        x, _, body = convbert(without, self.generator_body, small, noise, (), options.keep)
        word = self.body["embeddings"]["word_embeddings"]["weight"]
        head_params = self.params | {"generator_lm_head": self.params["generator_lm_head"] | {"weight": word}}
        logits, head = masked_lm_head(x[masked], head_params, small)
        loss, loss_cache = cross_entropy(logits, labels[masked])
        sampled = rng["sampled_ids"] if isinstance(rng, Mapping) else gumbel_sample(logits, rng)
        filled = np.where(masked, labels, inputs["input_ids"])
        filled[masked] = sampled
        cache: Tree = {"generator": body, **head, "generator_loss_fct": loss_cache}
        cache |= {"masked_positions": masked, "sampled_ids": sampled}
        return {"loss": None, "generator_loss": loss, "discriminator_loss": None, "generator_logits": logits}, cache, filled

    def discriminate(self, inputs: Tree, rng: Any, options: Options) -> tuple[Any, dict[str, Any], Tree]:
        """The discriminator: its logits, what was asked of its body, its cache."""
        wanted = {"attentions": options.output_attentions, "hidden_states": options.output_hidden_states}
        collect = ["dynamic_kernels", *(name for name, asked in wanted.items() if asked)]
        noise = child(rng, "convbert") if options.training else None
        x, collected, body = convbert(inputs, self.body, self.config, noise, collect, options.keep)
        logits, head = discriminator_head(x, self.params, self.config)
        return logits, collected, {"convbert": body, **head}

    # Backward.

    def backward(
        self, out: ModelOutput, cotangents: Mapping[str, Any] | None = None, intermediates: bool = False
    ) -> dict[str, Any]:
        """The gradient of the loss for every parameter; see `ConvBertPreTrainedModel.backward`.

        Both parts have a gradient of the shared embeddings, and so has the generator's last map: they add up. Nothing flows from
        the discriminator into the generator.
        """
        if not isinstance(out, ModelOutput):
            raise TypeError(f"out: must be the ModelOutput of a call (return_dict=True), got {type(out).__name__}")
        if out.cache is None:
            raise ValueError(
                "out: has no values to go back through: keep_cache=False, or 'backward' and gone back through already"
            )
        self.check_own(out)
        cache = out.cache
        direct, indexed = split_cotangents(cotangents, out, self.outputs, cache["convbert"], self.dtype)
        forget, (own, other) = out.take_cache(), (None, None) if intermediates else (self.body, self.generator_body)
        tree = self.back_through_discriminator(direct, out, cache, {**indexed, "keep": own, "forget": forget})
        if out.generator_loss is not None:
            tree |= self.back_through_generator(direct, cache, {"keep": other, "forget": forget})
        flat = flatten(tree)
        for name in [n for n in flat if n.startswith("generator.embeddings.") and n.endswith((".weight", ".bias"))]:
            shared = name.replace("generator.", "convbert.", 1)
            flat[shared] = flat[shared] + flat[name]
        if LM_HEAD in flat:
            flat[self.prefix + WORD_EMBEDDINGS] = flat[self.prefix + WORD_EMBEDDINGS] + flat.pop(LM_HEAD)
        return self.collect_gradients(flat, intermediates)

    def back_through_discriminator(self, direct: dict[str, Any], out: ModelOutput, cache: Tree, options: dict) -> Tree:
        """The gradients of `discriminate`, of its loss and of what stands over it."""
        dlogits = direct.get("discriminator_logits", np.zeros_like(out.discriminator_logits))
        dloss = self.direct_loss("discriminator_loss", direct, dlogits)
        grads: Tree = {"loss": direct["loss"]} if "loss" in direct else {}
        if out.discriminator_loss is not None:
            grads |= detection_loss_backward(dloss, cache)
            dlogits = dlogits + grads.pop("logits")
        head = discriminator_head_backward(dlogits, cache)
        body = convbert_backward(head.pop("x"), cache["convbert"], **options)
        return {"convbert": body, **head, **grads}

    def back_through_generator(self, direct: dict[str, Any], cache: Tree, options: dict) -> Tree:
        """The gradients of `generate`; the samples have none."""
        dloss = self.direct_loss("generator_loss", direct, cache["generator_loss_fct"]["loss"])
        loss = cross_entropy_backward(dloss, cache["generator_loss_fct"])
        dlogits = loss["logits"] + direct.get("generator_logits", 0)
        head = masked_lm_head_backward(dlogits, cache)
        drows, masked = head.pop("x"), cache["masked_positions"]
        dx = np.zeros_like(drows, shape=(*masked.shape, drows.shape[-1]))
        dx[masked] = drows
        body = convbert_backward(dx, cache["generator"], **options)
        return {"generator": body, **head, "generator_loss_fct": loss}

    def direct_loss(self, name: str, direct: dict[str, Any], like: Any) -> Any:
        """The gradient of one of the two losses: what is asked of it, and its share of what is asked of their sum."""
        nothing = np.zeros_like(like, shape=())
        return direct.get(name, nothing) + self.loss_weights[name] * direct.get("loss", nothing)


def attended(attention_mask: Any, ids: Any) -> Any:
    """Which positions are not padding. Raises ValueError for a mask with an axis of queries, which does not say."""
    if attention_mask is None:
        return np.ones_like(ids, dtype=bool)
    mask = as_array(attention_mask, "attention_mask")
    if mask.ndim != 2:
        raise ValueError(f"attention_mask: must have the shape (batch, sequence) in pre-training, got {mask.shape}")
    return np.broadcast_to(mask.real > 0, ids.shape).copy()
