"""The table of names: every parameter and every value, with its axes, its equation, and what it is called elsewhere.

A name is a path of PyTorch's state_dict, extended downwards. For a module M of the PyTorch model, M.x is its input and M.y its
output, as a forward hook sees them, the channels always last. `{i}` stands for a layer's index. The names of the body are those
of ConvBertModel; in a model with a head "convbert." stands before them.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

AXES = {
    "B": "batch (times choices, in multiple choice)",
    "S": "sequence",
    "V": "vocabulary",
    "E": "embedding",
    "H": "hidden",
    "I": "intermediate",
    "N": "heads of each kind",
    "d": "head size",
    "A": "N*d, all heads of one kind",
    "K": "taps of a kernel",
    "G": "groups",
    "C": "classes (masked LM: the vocabulary), or choices",
    "P": "positions",
    "T": "token types",
    "M": "masked positions of the whole batch (pre-training)",
    "R": "positions of the whole batch that are not padding (pre-training)",
    "1": "1",
}

SELF = "encoder.layer.{i}.attention.self"
OUT = "encoder.layer.{i}.attention.output"
FF1 = "encoder.layer.{i}.intermediate"
FF2 = "encoder.layer.{i}.output"


class Name(NamedTuple):
    """One row: the name, its axes, its equation, and the tensor or variable of the other implementations ("" if none)."""

    name: str
    axes: str
    equation: str
    pytorch: str = ""
    tf2: str = ""
    tf1: str = ""

    def axes_of(self, shape: tuple[int, ...]) -> str:
        """The axes of an array of this shape: the alternative that fits it, of "1 S E or B S E"."""
        alternatives = self.axes.split(" or ")
        for axes in alternatives:
            letters = axes.split()
            if len(letters) == len(shape) and all(size == 1 for axis, size in zip(letters, shape, strict=True) if axis == "1"):
                return axes
        return alternatives[-1]

    @property
    def is_parameter(self) -> bool:
        """Whether this is learnt: the last word is weight or bias."""
        return self.name.endswith((".weight", ".bias"))


def tf2_name(module: str, leaf: str) -> str:
    """A parameter's variable in the TensorFlow 2 classes of transformers; "" if there is none."""
    if module.startswith("discriminator_predictions"):  # transformers has no model for this
        return ""
    path = module.replace(".", "/").replace("encoder/layer/{i}", "encoder/layer_._{i}")
    prefix = "" if module.startswith(("generator", "classifier", "qa_outputs", "sequence_summary")) else "convbert/"
    return f"{prefix}{path}/{leaf}"


def tf1_name(module: str, leaf: str) -> str:
    """A parameter's variable in the original TensorFlow 1 code; heads have none there."""
    if module.startswith(("classifier", "qa_outputs", "sequence_summary")):
        return ""
    if module.startswith("discriminator_predictions"):
        return f"{module.replace('.', '/')}/{leaf}"
    path = module.replace(".", "/").replace("encoder/layer/{i}", "encoder/layer_{i}")
    for ours, theirs in (
        ("key_conv_attn_layer", "conv_attn_key"),
        ("conv_kernel_layer", "conv_attn_kernel"),
        ("conv_out_layer", "conv_attn_point"),
    ):
        path = path.replace(ours, theirs)
    return f"{path}/{leaf}" if module.startswith("generator") else f"electra/{path}/{leaf}"


def parameter(module: str, leaf: str, axes: str, equation: str, tf2: str, tf1: str) -> Name:
    """A parameter's row."""
    old = tf1_name(module, tf1) if tf1 else ""
    return Name(f"{module}.{leaf}", axes, equation, f"{module}.{leaf}", tf2_name(module, tf2), old)


def module_input(module: str, axes: str, equation: str) -> Name:
    """What goes into a module."""
    return Name(f"{module}.x", axes, equation, f"input of {module}")


def module_output(module: str, axes: str, equation: str) -> Name:
    """What comes out of a module."""
    return Name(f"{module}.y", axes, equation, f"output of {module}")


def linear_rows(module: str, x: str, axes_in: str, axes_out: str, grouped: bool = False) -> Iterator[Name]:
    """A linear map: input, parameters, output."""
    last_in, last_out = axes_in.split()[-1], axes_out.split()[-1]
    note = f" or G {last_in}/G {last_out}/G" if grouped else ""
    kernel = "kernel (transposed)" if not grouped else "kernel (transposed; grouped: axes 2 1 0)"
    yield module_input(module, axes_in, x)
    yield parameter(module, "weight", f"{last_out} {last_in}{note}", "W", kernel, "kernel (transposed)" if not grouped else
                    "kernel (transposed; grouped: under g_dense, as it is)")  # fmt: skip
    yield parameter(module, "bias", last_out, "b", "bias", "bias")
    yield module_output(module, axes_out, "x W^T + b" + (", or group by group x_g W_g + b_g" if grouped else ""))


def layer_norm_rows(module: str, x: str, axes: str) -> Iterator[Name]:
    """A layer norm: input, parameters, what happens inside, output."""
    last, rows = axes.split()[-1], " ".join([*axes.split()[:-1], "1"])
    yield module_input(module, axes, x)
    yield parameter(module, "weight", last, "gain", "gamma", "gamma")
    yield parameter(module, "bias", last, "shift", "beta", "beta")
    yield Name(f"{module}.inverse_std", rows, "1 / sqrt(mean((x - mean(x))^2) + eps)", f"inside {module}")
    yield Name(f"{module}.normalized", axes, "(x - mean(x)) * inverse_std", f"inside {module}")
    yield module_output(module, axes, "normalized * weight + bias")


def dropout_rows(module: str, x: str, axes: str) -> Iterator[Name]:
    """A dropout: input, mask, output."""
    yield module_input(module, axes, x)
    yield Name(f"{module}.mask", axes, "1 where kept (training only)", f"inside {module}")
    yield module_output(module, axes, "x * mask / (1 - p); x if dropout is off")


def activation_rows(module: str, x: str, axes: str, function: str) -> Iterator[Name]:
    """An activation: input and output."""
    yield module_input(module, axes, x)
    yield module_output(module, axes, f"{function}(x)")


def embedding_rows() -> Iterator[Name]:
    """The embeddings, up to the first hidden state."""
    for table, rows, ids, leaf in (
        ("word_embeddings", "V", "input_ids", "weight"),
        ("position_embeddings", "P", "position_ids", "embeddings"),
        ("token_type_embeddings", "T", "token_type_ids", "embeddings"),
    ):
        module = f"embeddings.{table}"
        position = "1 S{0} or " if table == "position_embeddings" else ""
        yield Name(f"{module}.ids", f"{position.format('')}B S", ids, f"input of {module}")
        row = parameter(module, "weight", f"{rows} E", "W", leaf, "")
        yield row._replace(tf1=f"electra/embeddings/{table}")
        yield module_output(module, f"{position.format(' E')}B S E", f"W[{ids}]")
        if table == "word_embeddings":
            yield Name("embeddings.inputs_embeds", "B S E", "the argument, or word_embeddings.y", "the argument inputs_embeds")
    yield from layer_norm_rows("embeddings.LayerNorm", "inputs_embeds + position_embeddings.y + token_type_embeddings.y", "B S E")
    yield from dropout_rows("embeddings.dropout", "LayerNorm.y", "B S E")
    yield from linear_rows("embeddings_project", "embeddings.dropout.y", "B S E", "B S H")


def mixed_attention_rows() -> Iterator[Name]:
    """Mixed attention, in the order of computation."""
    yield Name("encoder.layer.{i}.x", "B S H", "hidden state i", "input of encoder.layer.{i}")
    yield module_input(SELF, "B S H", "hidden state i")
    for module in ("query", "key", "value"):
        yield from linear_rows(f"{SELF}.{module}", "self.x", "B S H", "B S A")
    yield from separable_conv_rows(f"{SELF}.key_conv_attn_layer")
    yield from linear_rows(f"{SELF}.conv_out_layer", "self.x", "B S H", "B S A")
    yield from span_conv_rows(f"{SELF}.conv_kernel_layer")
    yield from attention_rows()
    yield Name(f"{SELF}.y", "B S 2A", "[context, conv] along the channels", f"output of {SELF}")


def separable_conv_rows(module: str) -> Iterator[Name]:
    """The span-aware key."""
    yield module_input(module, "B S H", "self.x")
    yield module_input(f"{module}.depthwise", "B S H", "self.x")
    yield parameter(f"{module}.depthwise", "weight", "H 1 K", "W", "", "")._replace(
        tf2=tf2_name(module, "depthwise_kernel (axes 1 2 0)"), tf1=tf1_name(module, "depthwise_kernel (axes 1 2 0)")
    )
    yield module_output(f"{module}.depthwise", "B S H", "sum_j x[s + j - (K-1)/2, h] W[h, j]")
    yield module_input(f"{module}.pointwise", "B S H", "depthwise.y")
    yield parameter(f"{module}.pointwise", "weight", "A H 1", "W", "", "")._replace(
        tf2=tf2_name(module, "pointwise_kernel (axes 2 1 0)"), tf1=tf1_name(module, "pointwise_kernel (axes 2 1 0)")
    )
    yield module_output(f"{module}.pointwise", "B S A", "x W^T")
    yield parameter(module, "bias", "A 1", "b", "bias (A)", "bias (A)")
    yield module_output(module, "B S A", "pointwise.y + bias")


def span_conv_rows(module: str) -> Iterator[Name]:
    """Span-based dynamic convolution. Its module is the linear map in the middle: hooks see t go in and the logits come out."""
    yield Name(f"{module}.q", "B S A", "query.y, as the convolution reads it", "second factor of torch.multiply")
    yield Name(f"{module}.span_key", "B S A", "key_conv_attn_layer.y", "first factor of torch.multiply")
    yield Name(f"{module}.v", "B S A", "conv_out_layer.y", "output of conv_out_layer")
    yield parameter(module, "weight", "NK A", "W", "kernel (transposed)", "kernel (transposed)")
    yield parameter(module, "bias", "NK", "b", "bias", "bias")
    yield Name(f"{module}.t", "B S A", "q * span_key", f"input of {module}")
    yield Name(f"{module}.logits", "B S N K", "t W^T + b", f"output of {module}, reshaped")
    yield Name(f"{module}.dynamic_kernel", "B S N K", "softmax over the K taps of logits", "torch.softmax, reshaped")
    yield Name(f"{module}.conv", "B S A", "sum_j dynamic_kernel[s, j] v[s + j - (K-1)/2]", "first torch.matmul, reshaped")


def attention_rows() -> Iterator[Name]:
    """The attention heads."""
    for letter, module in zip("qkv", ("query", "key", "value"), strict=True):
        yield Name(f"{SELF}.{letter}", "B N S d", f"heads of {module}.y", f"transpose_for_scores({module})")
    yield Name(f"{SELF}.mask", "B 1 1 S or B 1 S S", "(1 - attention_mask) * the most negative number", "extended_attention_mask")
    yield Name(f"{SELF}.head_mask", "1 N 1 1", "the argument head_mask of this layer", f"argument head_mask of {SELF}")
    yield Name(f"{SELF}.scores", "B N S S", "q k^T / sqrt(d)", "attention_scores, before the mask")
    yield Name(f"{SELF}.probs", "B N S S", "softmax over keys of (scores + mask)", "softmax of attention_scores")
    yield from dropout_rows(f"{SELF}.dropout", "probs", "B N S S")
    yield Name(f"{SELF}.attention_weights", "B N S S", "dropout.y * head_mask", "attentions[{i}]")
    yield Name(f"{SELF}.context", "B N S d", "attention_weights v", "context_layer, before the permutation")


def layer_end_rows(module: str, x: str, axes_in: str, residual: str, grouped: bool) -> Iterator[Name]:
    """Projection, dropout, residual, layer norm."""
    yield from linear_rows(f"{module}.dense", x, axes_in, "B S H", grouped)
    yield from dropout_rows(f"{module}.dropout", "dense.y", "B S H")
    yield Name(f"{module}.residual", "B S H", residual, f"argument input_tensor of {module}")
    yield from layer_norm_rows(f"{module}.LayerNorm", "dropout.y + residual", "B S H")


def head_rows() -> Iterator[Name]:
    """The heads."""
    yield from masked_lm_rows()
    yield Name("generator_lm_head.weight", "V E", "the word embeddings, if tied", "generator_lm_head.weight",
               "convbert/embeddings/word_embeddings/weight", "electra/embeddings/word_embeddings")  # fmt: skip
    yield Name("generator_lm_head.bias", "V", "b", "generator_lm_head.bias", "generator_lm_head/bias",
               "generator_predictions/output_bias")  # fmt: skip
    yield from or_masked(module_output("generator_lm_head", "B S V", "x W^T + b; the logits"))
    yield from pretraining_rows()
    yield module_input("classifier", "B S H", "what the classifier reads (multiple choice: B H)")
    yield from dropout_rows("classifier.dropout", "x of the first token", "B H")
    yield from linear_rows("classifier.dense", "dropout.y", "B H", "B H")
    yield from activation_rows("classifier.activation", "dense.y", "B H", "hidden_act")
    yield from dropout_rows("classifier.dropout2", "activation.y", "B H")
    yield from linear_rows("classifier.out_proj", "dropout2.y", "B H", "B C")
    yield from dropout_rows("dropout", "last hidden state", "B S H")
    yield parameter("classifier", "weight", "C H or 1 H", "W", "kernel (transposed)", "")
    yield parameter("classifier", "bias", "C or 1", "b", "bias", "")
    yield module_output("classifier", "B S C", "x W^T + b; the logits (multiple choice: B 1)")
    yield from linear_rows("qa_outputs", "last hidden state", "B S H", "B S 2")
    for side, index in (("start", 0), ("end", 1)):
        yield Name(f"{side}_logits", "B S", f"qa_outputs.y[..., {index}]", f"{side}_logits")
    yield from summary_rows()
    yield from loss_rows()


def masked_lm_rows() -> Iterator[Name]:
    """The masked-LM head up to its last map. In pre-training it sees the masked positions alone."""
    yield from or_masked(*linear_rows("generator_predictions.dense", "last hidden state", "B S H", "B S E"))
    yield from or_masked(*activation_rows("generator_predictions.activation", "dense.y", "B S E", "gelu"))
    yield from or_masked(*layer_norm_rows("generator_predictions.LayerNorm", "activation.y", "B S E"))
    yield from or_masked(module_input("generator_lm_head", "B S E", "generator_predictions.LayerNorm.y"))


def or_masked(*rows: Name) -> Iterator[Name]:
    """Rows whose values may have one axis, of the masked positions, in place of batch and sequence."""
    for row in rows:
        yield row if row.is_parameter else row._replace(axes=f"{row.axes} or {row.axes.replace('B S', 'M')}")


def pretraining_rows() -> Iterator[Name]:
    """Replaced-token detection: what the generator put in, and the discriminator's head."""
    yield Name("masked_positions", "B S", "whether the position has a label")
    yield Name("sampled_ids", "M", "argmax of generator_lm_head.y + Gumbel noise")
    module = "discriminator_predictions"
    yield from linear_rows(f"{module}.dense", "last hidden state", "B S H", "B S H")
    yield from activation_rows(f"{module}.activation", "dense.y", "B S H", "hidden_act")
    yield from linear_rows(f"{module}.dense_1", "activation.y", "B S H", "B S 1")
    yield Name("discriminator_logits", "B S", "dense_1.y[..., 0]")


def summary_rows() -> Iterator[Name]:
    """The summary of a choice; its steps are there if the configuration asks for them."""
    module = "sequence_summary"
    yield module_input(module, "B S H", "last hidden state")
    yield Name(f"{module}.pooled", "B H", "the last position, the first, or the mean", f"inside {module}")
    yield from dropout_rows(f"{module}.first_dropout", "pooled", "B H")
    yield from linear_rows(f"{module}.summary", "pooled or first_dropout.y", "B H", "B H")
    yield from activation_rows(f"{module}.activation", "what came before", "B H", "summary_activation")
    yield from dropout_rows(f"{module}.last_dropout", "what came before", "B H")


def loss_rows() -> Iterator[Name]:
    """The losses."""
    for module, logits, axes in (
        ("loss_fct", "the logits", "B S C"), ("start_loss_fct", "start_logits", "B S"), ("end_loss_fct", "end_logits", "B S"),
    ):  # fmt: skip
        labels = axes.rpartition(" ")[0]
        masked = [" or M C", " or M"] if module == "loss_fct" else ["", ""]  # the positions that a training step looks at
        yield Name(f"{module}.logits", axes + masked[0], f"{logits} (with the axes of the task)", "first argument of the loss")
        yield Name(
            f"{module}.labels", labels + masked[1], "the labels (with the axes of the task)", "second argument of the loss"
        )
        yield Name(f"{module}.log_probs", axes + masked[0], "log softmax over classes of logits", "inside cross_entropy")
        yield Name(f"{module}.loss", "", "mean over the kept labels", "result of the loss")
    yield Name("loss", "", "(start_loss_fct.loss + end_loss_fct.loss) / 2", "loss")
    yield Name("generator_loss_fct.logits", "M V", "generator_lm_head.y")
    yield Name("generator_loss_fct.labels", "M", "the original ids")
    yield Name("generator_loss_fct.log_probs", "M V", "log softmax over the vocabulary of logits")
    yield Name("generator_loss_fct.loss", "", "mean cross-entropy over the masked positions")
    yield Name("discriminator_loss_fct.kept", "B S", "attention_mask > 0")
    yield Name("discriminator_loss_fct.logits", "R", "discriminator_logits where kept")
    yield Name("discriminator_loss_fct.labels", "R", "1 where the sampled id is not the original one, else 0")
    yield Name("discriminator_loss_fct.loss", "", "mean binary cross-entropy over the kept positions")


@cache
def names() -> tuple[Name, ...]:
    """All rows, in the order of computation."""
    layer_output = "encoder.layer.{i}.attention.output.LayerNorm.y"
    return (
        *embedding_rows(),
        *mixed_attention_rows(),
        *layer_end_rows(OUT, "self.y", "B S 2A", "encoder.layer.{i}.x", grouped=False),
        *linear_rows(f"{FF1}.dense", layer_output, "B S H", "B S I", grouped=True),
        *activation_rows(f"{FF1}.intermediate_act_fn", "dense.y", "B S I", "hidden_act"),
        *layer_end_rows(FF2, "intermediate_act_fn.y", "B S I", layer_output, grouped=True),
        *head_rows(),
    )


@cache
def _index() -> dict[str, Name]:
    return {row.name: row for row in names()}


def lookup(name: str) -> Name:
    """The row of a name; any layer, with or without "convbert.", or "generator.". Raises KeyError for what is not a name."""
    general = re.sub(r"^encoder\.layer\.\d+\.", "encoder.layer.{i}.", re.sub(r"^(convbert|generator)\.", "", name))
    if general not in _index():
        raise KeyError(f"{name!r} is not a name of a parameter or value of ConvBERT")
    return _index()[general]
