"""The models under the names people know. Each holds a configuration and a tree of parameters, nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np

from convbert_np.config import ConvBertConfig
from convbert_np.interface import objectives
from convbert_np.interface.base import LM_HEAD, WORD_EMBEDDINGS, ConvBertPreTrainedModel
from convbert_np.interface.inputs import by_name, flatten_choices
from convbert_np.interface.options import Options
from convbert_np.interface.output import ModelOutput
from convbert_np.model import heads
from convbert_np.model.initialise import Shapes, body_shapes, layer_norm_shapes, linear_shapes
from convbert_np.tree import Tree


class ConvBertModel(ConvBertPreTrainedModel):
    """The bare model: the last hidden states (B, S, H). Source: ConvBertModel in transformers 4.37.2."""

    labels_of = ()
    outputs = ("last_hidden_state",)
    prefix = ""  # type: ignore[assignment]

    @property
    def body(self) -> Tree:
        """The parameters of the body: all of them."""
        return self.params

    @classmethod
    def shapes(cls, config: ConvBertConfig) -> Shapes:
        """Name and shape of every parameter."""
        return body_shapes(config)

    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        head_mask: Any = None,
        inputs_embeds: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        training: bool = False,
        rng: Any = None,
        *,
        keep_cache: bool | str = True,
    ) -> Any:
        """Run the model: as `ConvBertPreTrainedModel.__call__`, without labels."""
        given = by_name(input_ids, attention_mask, token_type_ids, position_ids, head_mask, inputs_embeds)
        options = Options(output_attentions, output_hidden_states, return_dict, training, rng, keep_cache, "mean")
        return self.run(given, options)

    def finish(self, x: Any, labels: list, choices: int | None, rng: Any, reduction: str) -> tuple[dict[str, Any], Tree]:
        """The last hidden states themselves."""
        return {"last_hidden_state": x}, {}

    def unfinish(self, direct: dict[str, Any], out: ModelOutput) -> Tree:
        """Adjoint of `finish`."""
        return {"x": direct.get("last_hidden_state", np.zeros_like(out.last_hidden_state))}


class ConvBertForMaskedLM(ConvBertPreTrainedModel):
    """Guess the masked tokens: logits (B, S, V). Source: ConvBertForMaskedLM in transformers 4.37.2."""

    head_pair = (heads.masked_lm_head, heads.masked_lm_head_backward)
    loss_pair = (objectives.token_loss, objectives.token_loss_backward)

    @classmethod
    def head_shapes(cls, config: ConvBertConfig) -> Shapes:
        """generator_predictions and generator_lm_head; the latter's weight only where it is not the word embeddings'."""
        width, name = config.embedding_size, "generator_predictions"
        shapes = layer_norm_shapes(f"{name}.LayerNorm", width) | linear_shapes(f"{name}.dense", config.hidden_size, width)
        own = {} if config.tie_word_embeddings else {LM_HEAD: (config.vocab_size, width)}
        return shapes | own | {"generator_lm_head.bias": (config.vocab_size,)}

    @property
    def tied(self) -> bool:
        """Whether the head's last weight is the word embeddings."""
        return "weight" not in self.params["generator_lm_head"]

    def head_params(self) -> Tree:
        """The parameters that the head reads: its own, and as its last weight the word embeddings where they are tied."""
        if not self.tied:
            return self.params
        word = self.body["embeddings"]["word_embeddings"]["weight"]
        return self.params | {"generator_lm_head": self.params["generator_lm_head"] | {"weight": word}}

    def collect_gradients(self, flat: dict[str, Any], intermediates: bool) -> dict[str, Any]:
        """A tied word embedding is read twice, at the bottom and at the top: the two gradients add up."""
        if self.tied:
            name = self.prefix + WORD_EMBEDDINGS
            top = flat.pop(LM_HEAD)
            if name in flat:
                top += flat[name]
            flat[name] = top
        return super().collect_gradients(flat, intermediates)

    def state_dict(self) -> dict[str, Any]:
        """The parameters under all names of PyTorch's state_dict: a tied weight under both of its names, as one array."""
        state = self.named_parameters()
        if not self.tied:
            return state
        bias = state.pop("generator_lm_head.bias")
        return state | {LM_HEAD: state[self.prefix + WORD_EMBEDDINGS], "generator_lm_head.bias": bias}

    def tied_name(self, name: str) -> str | None:
        """The word embeddings and the head's weight are one parameter, unless the configuration unties them."""
        pair = (self.prefix + WORD_EMBEDDINGS, LM_HEAD)
        return pair[1 - pair.index(name)] if self.tied and name in pair else None


class ConvBertForSequenceClassification(ConvBertPreTrainedModel):
    """Classify a sequence, or regress on it: logits (B, num_labels).

    The loss is a squared error, a cross-entropy or a binary cross-entropy, by config.problem_type or, where that is None, by
    num_labels and the labels' dtype. Source: ConvBertForSequenceClassification in transformers 4.37.2.
    """

    head_pair = (heads.sequence_classification_head, heads.sequence_classification_head_backward)
    loss_pair = (objectives.sequence_loss, objectives.sequence_loss_backward)

    @classmethod
    def head_shapes(cls, config: ConvBertConfig) -> Shapes:
        """classifier.dense and classifier.out_proj."""
        hidden = config.hidden_size
        return linear_shapes("classifier.dense", hidden, hidden) | linear_shapes("classifier.out_proj", hidden, config.num_labels)


class ConvBertForTokenClassification(ConvBertPreTrainedModel):
    """Classify every token: logits (B, S, num_labels). Source: ConvBertForTokenClassification in transformers 4.37.2."""

    head_pair = (heads.token_classification_head, heads.token_classification_head_backward)
    loss_pair = (objectives.token_loss, objectives.token_loss_backward)

    @classmethod
    def head_shapes(cls, config: ConvBertConfig) -> Shapes:
        """classifier."""
        return linear_shapes("classifier", config.hidden_size, config.num_labels)


class ConvBertForMultipleChoice(ConvBertPreTrainedModel):
    """Choose among C continuations: arguments (B, C, S), logits (B, C), labels (B,).

    Source: ConvBertForMultipleChoice in transformers 4.37.2, which by default judges a choice by its last position, padding or
    not.
    """

    head_pair = (heads.multiple_choice_head, heads.multiple_choice_head_backward)
    loss_pair = (objectives.choice_loss, objectives.choice_loss_backward)

    @classmethod
    def check_config(cls, config: ConvBertConfig) -> None:
        """The summary's settings must be possible."""
        heads.check_summary(config)

    @classmethod
    def head_shapes(cls, config: ConvBertConfig) -> Shapes:
        """sequence_summary.summary, where the configuration asks for it, and classifier."""
        hidden, projected = config.hidden_size, getattr(config, "summary_use_proj", False)
        summary = linear_shapes("sequence_summary.summary", hidden, hidden) if projected else {}
        return summary | linear_shapes("classifier", hidden, 1)

    def fold(self, arguments: dict[str, Any]) -> tuple[dict[str, Any], int | None]:
        """(B, C, S) -> (B*C, S)."""
        return flatten_choices(arguments)

    def unfold(self, dx: Any, out: ModelOutput) -> Any:
        """(B*C, ...) -> (B, C, ...)."""
        return dx.reshape(*out.logits.shape, *dx.shape[1:])


class ConvBertForQuestionAnswering(ConvBertPreTrainedModel):
    """Find the span that answers: start_logits and end_logits (B, S).

    Source: ConvBertForQuestionAnswering in transformers 4.37.2.
    """

    labels_of = ("start_positions", "end_positions")
    outputs = ("start_logits", "end_logits")
    head_pair = (heads.question_answering_head, heads.question_answering_head_backward)
    loss_pair = (objectives.span_loss, objectives.span_loss_backward)

    @classmethod
    def check_config(cls, config: ConvBertConfig) -> None:
        """A span has a start and an end."""
        if config.num_labels != 2:
            raise ValueError(f"num_labels: question answering needs 2, a start and an end, got {config.num_labels}")

    @classmethod
    def head_shapes(cls, config: ConvBertConfig) -> Shapes:
        """qa_outputs."""
        return linear_shapes("qa_outputs", config.hidden_size, 2)

    def __call__(  # type: ignore[override]
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        head_mask: Any = None,
        inputs_embeds: Any = None,
        start_positions: Any = None,
        end_positions: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        training: bool = False,
        rng: Any = None,
        *,
        keep_cache: bool | str = True,
        reduction: str = "mean",
    ) -> Any:
        """Run the model: as `ConvBertPreTrainedModel.__call__`, with the two positions (B,) as labels.

        A position beyond the sequence is ignored, a negative one counts as 0. Without both there is no loss.
        """
        given = by_name(input_ids, attention_mask, token_type_ids, position_ids, head_mask, inputs_embeds)
        options = Options(output_attentions, output_hidden_states, return_dict, training, rng, keep_cache, reduction)
        return self.run(given | {"start_positions": start_positions, "end_positions": end_positions}, options)

    def finish(self, x: Any, labels: list, choices: int | None, rng: Any, reduction: str) -> tuple[dict[str, Any], Tree]:
        """The logits in two, and the mean of their losses."""
        results, cache = super().finish(x, labels, choices, rng, reduction)
        return {"loss": results["loss"]} | {name: cache[name] for name in self.outputs}, cache

    def join(self, direct: dict[str, Any], out: ModelOutput) -> Any:
        """What is asked of the two logits directly, side by side."""
        return np.stack([direct.get(name, np.zeros_like(out[name])) for name in self.outputs], axis=-1)
