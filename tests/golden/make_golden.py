"""Record the golden bundles: every value and every gradient of the unmodified reference models.

It is run by hand, in three separate environments, and what it writes next to itself is committed. The three
commands, in this order:

    in an environment with torch==2.13.0 transformers==4.37.2 safetensors:
        python make_golden.py pytorch [--models MODELS_DIR] [--only NAME ...]
    in an environment with torch==2.13.0 transformers==5.23.0 safetensors:
        python make_golden.py v5 MODELS_DIR
    in an environment with tensorflow-cpu==2.15.1 transformers==4.37.2 safetensors, and no torch:
        python make_golden.py tensorflow MODELS_DIR

``pytorch`` writes all bundles, ``versions.*`` (weights and inputs shared by the version comparison) and, if asked,
MODELS_DIR (the same models as ``save_pretrained`` directories); ``v5`` and ``tensorflow`` run those models and write
``versions_v5.*`` and ``versions_tensorflow.*``. Each command rewrites its part of ``manifest.json``.

A bundle NAME is ``NAME.safetensors`` and ``NAME.json``:

    params/<state_dict name>   float32   parameters (a tied one once); the truth is computed in float64 from these
    inputs/<argument>          int64 or float32, arguments of the model's forward
    masks/<path>.mask          uint8     the kept entries (1) of every active dropout
    cotangents/<output>        float32   R of the scalar objective = loss (if labels) + sum over outputs <R, output>
    values/<name>              float64   every named value of the forward pass
    grads/<name>               float64   gradient of the objective by every value, port and parameter

``<name>`` is the path of the PyTorch module followed by the word for the value. M.x is the input of module M and M.y
its output, as a forward hook sees them (but always with the channels last); the gradient under M.x is what flows
into the input through M alone, the one under M.y is the total. The JSON lists the tensors in order of computation,
each with its shape and

    same_as   the name of an earlier tensor with the same bytes (then it is not stored again; its shape may differ)
    kind      "exact": float32 arithmetic gives it without an error; "rounding": it does not;
              "zero_by_theory": mathematically zero, so only the size of its summands ("scale") can judge it
    floor     root mean square, over eight float32 runs with slightly changed weights, of the relative L2 error of the
              PyTorch model against its own float64 truth ("zero_by_theory": of the largest error divided by scale)
              Some floors lie below 2^-24, one rounding of a float32: no program can be held to less than that.

``versions.json`` says for each model (``<configuration>/<class>``) its class, configuration, parameters ("params":
prefix of the names -> prefix of the tensors) and inputs (argument -> tensor); ``versions_v5.json`` and
``versions_tensorflow.json`` its outputs (dotted name -> tensor): float64 from PyTorch, float32 from TensorFlow.

How a value is had from an unmodified model: global module hooks give every module's input and output, and replace
the input by a fresh alias whose gradient is the port's gradient; a ``TorchFunctionMode`` sees the calls that no
module wraps (softmax, matmul, ...). What a fused kernel hides (layer norm, cross-entropy) is computed in a small
graph beside the model, and that graph must turn the recorded output gradient into the recorded input gradient.
"""

import argparse
import hashlib
import inspect
import json
import math
import platform
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
FLOOR_RUNS = 8
CLS, SEP, MASK, FIRST_WORD = 2, 3, 4, 6


# ---------------------------------------------------------------------------------------------------------------------
# What is recorded: configurations and inputs


def small_config(**changes):
    """Arguments of ConvBertConfig for a model of a few thousand parameters; dropout off."""
    base = {
        "vocab_size": 37, "embedding_size": 16, "hidden_size": 16, "intermediate_size": 22, "num_hidden_layers": 1,
        "num_attention_heads": 4, "head_ratio": 2, "conv_kernel_size": 3, "num_groups": 1, "hidden_act": "gelu",
        "max_position_embeddings": 13, "type_vocab_size": 2, "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }  # fmt: skip
    return base | changes


def sentences(rng, batch, length, config, padding=(0, 3)):
    """Ids of [CLS] a [SEP] b [SEP] [PAD]*, with a [MASK] and a real [PAD]; segments; and the 2-D mask. All (B, S)."""
    pad = config.get("pad_token_id", 1) or 0
    ids = rng.integers(FIRST_WORD, config["vocab_size"], (batch, length))
    mask, segments = np.ones((batch, length), np.int64), np.zeros((batch, length), np.int64)
    for row in range(batch):
        real = length - padding[row % len(padding)]
        middle = int(rng.integers(2, real - 1))
        ids[row, [0, middle, real - 1]] = CLS, SEP, SEP
        ids[row, 1 + row % 2] = MASK if middle != 1 + row % 2 else SEP
        segments[row, middle + 1 : real] = 1
        ids[row, real:], mask[row, real:] = pad, 0
    ids[0, length - 2] = pad  # attended to like any word, yet its embedding's gradient must be dropped
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": segments}


def labels_for(rng, ids, classes, ignored=0.4):
    """Labels (of the shape of ids), about ``ignored`` of them -100; the first is always kept, the last never."""
    labels = np.where(rng.random(ids.shape) < ignored, -100, rng.integers(0, classes, ids.shape))
    labels.flat[0], labels.flat[-1] = classes - 1, -100
    return labels


FAR = {"intermediate.dense.weight": 8.0}  # the activations that are clipped far from zero get there


def float32(x):
    return np.asarray(x, np.float32)


def bundle(model_class, config, inputs, seed, cotangents=(), training=False, scales=None):
    """What make_bundle needs; ``scales``: factors of the weights whose name contains the key."""
    return {
        "model_class": model_class, "config": config, "inputs": inputs, "seed": seed, "cotangents": cotangents,
        "training": training, "scales": scales or {},
    }  # fmt: skip


def base_model_bundles():
    """ConvBertModel: groups, projection, head counts, kernels, masks, head mask, positions, embeddings, dropout."""
    config = small_config(
        num_hidden_layers=2, hidden_size=24, embedding_size=24, num_attention_heads=6, conv_kernel_size=5,
        intermediate_size=28,
    )  # fmt: skip
    rng = np.random.default_rng(11)
    every = ("last_hidden_state", "hidden_states.0", "hidden_states.1", "hidden_states.2", "attentions.0",
             "attentions.1")  # fmt: skip
    yield "model", bundle("ConvBertModel", config, sentences(rng, 2, 7, config), 11, every)

    config = small_config(
        embedding_size=10, hidden_size=24, num_attention_heads=3, head_ratio=1, num_groups=2, intermediate_size=26,
        conv_kernel_size=9, num_hidden_layers=2, hidden_act="gelu_new", pad_token_id=0, type_vocab_size=3,
    )  # fmt: skip
    rng = np.random.default_rng(12)
    inputs = sentences(rng, 2, 7, config)
    inputs["attention_mask"] = inputs["attention_mask"][:, None, :] * (rng.random((2, 7, 7)) < 0.8)
    inputs["attention_mask"] = np.maximum(inputs["attention_mask"], np.eye(7, dtype=np.int64)[None])
    inputs["position_ids"] = rng.integers(0, config["max_position_embeddings"], (2, 7))
    inputs["head_mask"] = float32([[1.0, 0.0, 0.5], [0.75, 1.0, 1.25]])
    outputs = ("last_hidden_state", "attentions.0", "hidden_states.1")
    yield "model_groups", bundle("ConvBertModel", config, inputs, 12, outputs)

    config = small_config(
        embedding_size=12, num_attention_heads=2, head_ratio=4, conv_kernel_size=5, num_hidden_layers=3,
        hidden_act="relu", pad_token_id=None, intermediate_size=20, layer_norm_eps=1e-5,
    )  # fmt: skip
    rng = np.random.default_rng(13)
    mask = np.array([[1, 1, 1, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0, 0]])
    inputs = {"inputs_embeds": float32(0.8 * rng.standard_normal((2, 7, 12))), "attention_mask": mask}
    outputs = ("last_hidden_state", "hidden_states.3", "attentions.2")
    yield "model_one_head", bundle("ConvBertModel", config, inputs, 13, outputs)

    config = small_config(
        embedding_size=14, hidden_size=20, num_groups=2, hidden_act="silu", pad_token_id=0, intermediate_size=24,
        hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.15, conv_kernel_size=5,
    )  # fmt: skip
    rng = np.random.default_rng(14)
    inputs = sentences(rng, 2, 7, config)
    inputs["attention_mask"] = float32(inputs["attention_mask"])
    inputs["attention_mask"][0, 3], inputs["attention_mask"][1, 5] = 0.5, 0.25
    inputs["head_mask"] = float32([[0.5, 1.5]])
    outputs = ("last_hidden_state", "hidden_states.0", "attentions.0")
    yield "model_dropout", bundle("ConvBertModel", config, inputs, 14, outputs, training=True)

    # Embeddings so small that the layer norm's epsilon counts, and how it enters the equation.
    config = small_config(hidden_act="gelu_pytorch_tanh", type_vocab_size=1)
    inputs = {"input_ids": np.random.default_rng(15).integers(0, 37, (3, 5))}
    outputs, scales = ("last_hidden_state",), {"_embeddings": 2.0**-20, "query.weight": 2.0, "self.key.weight": 2.0}
    yield "model_tiny_embeddings", bundle("ConvBertModel", config, inputs, 15, outputs, scales=scales)


def token_head_bundles():
    """Heads with one prediction for each token: masked language model, token classification, question answering."""
    config = small_config(embedding_size=12, num_hidden_layers=2, conv_kernel_size=5, pad_token_id=0, intermediate_size=20)
    rng = np.random.default_rng(21)
    inputs = sentences(rng, 2, 7, config)
    inputs["labels"] = labels_for(rng, inputs["input_ids"], config["vocab_size"])
    outputs = ("logits", "hidden_states.1", "attentions.0")
    yield "masked_lm", bundle("ConvBertForMaskedLM", config, inputs, 21, outputs)

    config = small_config(
        hidden_size=24, embedding_size=24, num_attention_heads=12, head_ratio=4, num_groups=2, conv_kernel_size=9,
        hidden_act="gelu_fast", tie_word_embeddings=False, intermediate_size=26, vocab_size=29,
    )  # fmt: skip
    rng = np.random.default_rng(22)
    inputs = sentences(rng, 2, 7, config)
    inputs["labels"] = labels_for(rng, inputs["input_ids"], config["vocab_size"], ignored=0.7)
    yield "masked_lm_untied", bundle("ConvBertForMaskedLM", config, inputs, 22)

    config = small_config(
        hidden_act="mish", hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.3, num_labels=5, pad_token_id=0,
        embedding_size=10, conv_kernel_size=9,
    )  # fmt: skip
    rng = np.random.default_rng(23)
    inputs = sentences(rng, 2, 8, config)
    inputs["labels"] = labels_for(rng, inputs["input_ids"], 5)
    yield "token_classification", bundle("ConvBertForTokenClassification", config, inputs, 23, training=True)

    config = small_config(hidden_act="leaky_relu", conv_kernel_size=5, num_groups=2, embedding_size=8)
    rng = np.random.default_rng(24)
    inputs = sentences(rng, 3, 7, config, padding=(0, 2, 1))
    inputs["start_positions"] = np.array([2, 9, 0])  # 9 lies outside: ignored
    inputs["end_positions"] = np.array([4, 3, -2])  # -2 counts as 0
    outputs = ("start_logits", "end_logits")
    yield "question_answering", bundle("ConvBertForQuestionAnswering", config, inputs, 24, outputs)


def sequence_head_bundles():
    """Heads with one prediction for each sequence: the four losses of sequence classification, multiple choice."""
    name, model_class = "sequence_classification_", "ConvBertForSequenceClassification"
    config = small_config(hidden_act="tanh", num_labels=1, pad_token_id=None)
    rng = np.random.default_rng(31)
    inputs = sentences(rng, 2, 7, config) | {"labels": float32([0.7, -1.3])}
    yield name + "regression", bundle(model_class, config, inputs, 31)

    config = small_config(hidden_act="quick_gelu", num_labels=3, problem_type="regression", head_ratio=1,
                          embedding_size=12, conv_kernel_size=5)  # fmt: skip
    rng = np.random.default_rng(32)
    inputs = sentences(rng, 2, 7, config) | {"labels": float32(rng.standard_normal((2, 3)))}
    yield name + "regression_3", bundle(model_class, config, inputs, 32)

    config = small_config(
        hidden_act="gelu_10", num_labels=4, hidden_dropout_prob=0.1, classifier_dropout=0.25, pad_token_id=0,
        attention_probs_dropout_prob=0.1,
    )  # fmt: skip
    rng = np.random.default_rng(33)
    inputs = sentences(rng, 3, 5, config, padding=(0, 1)) | {"labels": np.array([3, -100, 1])}
    yield name + "single_label", bundle(model_class, config, inputs, 33, training=True, scales=FAR)

    config = small_config(hidden_act="laplace", num_labels=5, num_groups=2, embedding_size=10, pad_token_id=0)
    rng = np.random.default_rng(34)
    inputs = sentences(rng, 2, 7, config) | {"labels": float32([[1, 0, 0, 1, 0], [0, 1, 1, 0, 1]])}
    yield name + "multi_label", bundle(model_class, config, inputs, 34, ("logits",))

    name, model_class = "multiple_choice_", "ConvBertForMultipleChoice"
    config = small_config(hidden_act="relu6", pad_token_id=0)
    yield name + "last", bundle(model_class, config, choices(35, config), 35, scales=FAR)
    summary = {"summary_use_proj": True, "summary_activation": "tanh"}
    config = small_config(hidden_act="sigmoid", summary_type="mean", **summary)
    yield name + "mean", bundle(model_class, config, choices(36, config), 36)
    config = small_config(
        hidden_act="relu2", summary_type="first", summary_first_dropout=0.2, summary_last_dropout=0.3, **summary
    )
    yield name + "first", bundle(model_class, config, choices(37, config), 37, ("logits",), training=True)


def choices(seed, config):
    """Inputs of a multiple-choice model: 2 questions of 3 choices of 5 tokens (2, 3, 5), and the right choices."""
    rng = np.random.default_rng(seed)
    flat = sentences(rng, 6, 5, config, padding=(0, 1))
    return {name: x.reshape(2, 3, 5) for name, x in flat.items()} | {"labels": np.array([2, 0])}


def all_bundles():
    yield from base_model_bundles()
    yield from token_head_bundles()
    yield from sequence_head_bundles()


def config_dict(config):
    """The fields of ConvBertConfig that say what the model is, without those that transformers writes for itself."""
    names = [n for n in inspect.signature(type(config).__init__).parameters if n not in ("self", "kwargs")]
    full = config.to_dict()
    drop = {"transformers_version", "id2label", "label2id", "model_type", "architectures", "torch_dtype", "dtype"}
    chosen = {n: full[n] for n in names}
    chosen |= {n: v for n, v in config.to_diff_dict().items() if n not in drop and n not in chosen}
    return chosen | {"num_labels": config.num_labels, "problem_type": config.problem_type}


def stress_weight(name, shape, rng):
    """A value, float32, under which the parameter matters: no gain is 1, no bias 0, and every softmax is sharp."""
    noise = rng.standard_normal(shape)
    if "LayerNorm" in name:
        return float32(0.9 + 0.15 * noise if name.endswith("weight") else 0.1 * noise)
    if name.endswith("bias"):
        return float32(0.1 * noise)
    for part, deviation in {"word_emb": 0.6, "position_emb": 0.4, "token_type_emb": 0.5}.items():
        if part in name:
            return float32(deviation * noise)
    if "depthwise" in name:
        return float32(1 / shape[-1] + 0.25 * noise)
    gain = next((g for part, g in GAINS.items() if part in name), 1.1)
    return float32(gain / math.sqrt(shape[1]) * noise)


# A depthwise weight apart, axis 1 of every weight counts the inputs, whether it is a matrix, grouped or pointwise.
GAINS = {"query": 1.5, "attention.self.key.": 1.5, "conv_kernel_layer": 2.0, "pointwise": 1.8}


# ---------------------------------------------------------------------------------------------------------------------
# How it is recorded


class Recorder:
    """All named values of one forward pass of a model, and after ``backward`` their gradients.

    ``entries`` maps each name to (tensor, layout), in order of computation; ``layout`` turns the tensor, or its
    gradient, into the documented layout. ``hidden`` maps the names inside a fused kernel to (value, gradient);
    ``masks`` maps a dropout's mask to (kept, p).
    """

    def __init__(self, model):
        import torch

        self.torch, self.model = torch, model
        self.paths = {module: path for path, module in model.named_modules()}
        self.entries, self.hidden, self.masks, self.fused = {}, {}, {}, []
        self.stack, self.calls = [], {}
        self.prefix = "" if type(model).__name__ == "ConvBertModel" else "convbert."

    def keep(self, name, tensor, layout=None):
        """Record a tensor under a name."""
        if name in self.entries:
            raise ValueError(f"{name} is recorded twice")
        if tensor.requires_grad:
            tensor.retain_grad()
        self.entries[name] = (tensor, layout or (lambda t: t))

    def alias(self, name, tensor, layout=None):
        """Record a fresh alias of a tensor and return it: its gradient is what flows through this port alone."""
        port = tensor.view_as(tensor)
        self.keep(name, port, layout)
        return port

    def forward(self, inputs):
        """Run the model under the hooks; returns its outputs."""
        hooks, recorder = self.torch.nn.modules.module, self
        self.shape = next(x for x in (inputs.get("input_ids"), inputs.get("inputs_embeds")) if x is not None).shape[:2]

        class Calls(self.torch.overrides.TorchFunctionMode):
            def __torch_function__(self, func, types, args=(), kwargs=None):
                return recorder.on_call(func, args, kwargs or {})

        if inputs.get("inputs_embeds") is not None:
            self.keep(self.prefix + "embeddings.inputs_embeds", inputs["inputs_embeds"])
        handles = [
            hooks.register_module_forward_pre_hook(self.on_enter),
            hooks.register_module_forward_hook(self.on_leave),
        ]
        try:
            with Calls():
                outputs = self.model(**inputs, output_hidden_states=True, output_attentions=True)
        finally:
            for handle in handles:
                handle.remove()
        self.name_span_outputs(outputs)
        return outputs

    def name_span_outputs(self, outputs):
        """Question answering: the two halves of the logits, in front of their losses; the total loss last."""
        if "start_logits" not in outputs:
            return
        losses = {n: self.entries.pop(n) for n in list(self.entries) if "_loss_fct." in n}
        self.keep("start_logits", outputs.start_logits)
        self.keep("end_logits", outputs.end_logits)
        self.entries |= losses
        if outputs.loss is not None:
            self.keep("loss", outputs.loss)

    # Modules

    def path_of(self, module):
        """The name of a module; one that the model makes during its forward is named by its role."""
        if module in self.paths:
            path = self.paths[module]
        elif type(module).__name__.endswith("Loss"):
            which = ["start_", "end_"][self.calls.get("loss", 0)] if hasattr(self.model, "qa_outputs") else ""
            self.calls["loss"] = self.calls.get("loss", 0) + 1
            return which + "loss_fct"
        elif self.stack[-1][0] == "ConvBertClassificationHead":
            path = self.stack[-1][1] + ".activation"
        else:
            return ""  # an activation that calls another one
        self.calls[path] = self.calls.get(path, 0) + 1
        return path if self.calls[path] == 1 else f"{path}{self.calls[path]}"

    def on_enter(self, module, args):
        """Global pre-hook: name the inputs."""
        kind, path = type(module).__name__, self.path_of(module)
        self.stack.append((kind, path, module))
        if kind == "ConvBertLayer":
            return (self.alias(path + ".x", args[0]), *args[1:])
        if kind == "ConvBertSelfAttention":
            return self.enter_self_attention(path, args)
        if kind in ("ConvBertSelfOutput", "ConvBertOutput"):
            return args[0], self.alias(path + ".residual", args[1])
        if path.endswith("sequence_summary.first_dropout"):
            self.keep(path.replace("first_dropout", "pooled"), args[0])
        if kind == "ConvBertClassificationHead":
            return (self.alias(path + ".x", args[0]), *args[1:])
        if kind.endswith("Loss"):
            return (self.alias(path + ".logits", args[0], self.by_token), *args[1:])
        if not self.has_ports(kind, path):
            return None
        port = self.alias(path + ".x", args[0], self.layout_of(kind))
        if kind == "Dropout" and module.training and module.p > 0:
            self.record_mask(path, module, port)
        return (port, *args[1:])

    def enter_self_attention(self, path, args):
        args = list(args)
        args[0] = self.alias(path + ".x", args[0])
        if args[2] is not None:
            args[2] = self.alias(path + ".head_mask", args[2])
        return tuple(args)

    def record_mask(self, path, module, x):
        """The mask that this dropout is about to draw: draw it for ones, and put the generator back."""
        state = self.torch.get_rng_state()
        kept = self.torch.nn.functional.dropout(self.torch.ones_like(x), module.p) != 0
        self.masks[path + ".mask"] = (kept, module.p)
        self.torch.set_rng_state(state)

    def has_ports(self, kind, path):
        """Whether M.x and M.y of a module are named values."""
        leaves = ("Linear", "GroupedLinearLayer", "Conv1d", "SeparableConv1D", "LayerNorm", "Dropout", "SequenceSummary")
        activation = path.endswith(("intermediate_act_fn", "activation")) and kind != "Identity"
        return (kind in leaves and not path.endswith("conv_kernel_layer")) or activation

    def by_token(self, tensor):
        """What the model flattened to (B*S, classes) for its loss, as (B, S, classes) again."""
        if type(self.model).__name__ not in ("ConvBertForMaskedLM", "ConvBertForTokenClassification"):
            return tensor
        return tensor.reshape(*self.shape, tensor.shape[-1])

    def layout_of(self, kind):
        """Convolutions have the channels before the positions; the documented layout has them last."""
        return (lambda t: t.transpose(1, 2)) if kind in ("Conv1d", "SeparableConv1D") else None

    def on_leave(self, module, args, output):
        """Global post-hook: name the output."""
        kind, path, _ = self.stack.pop()
        if kind == "ConvBertSelfAttention":
            self.keep(path + ".y", output[0])
        elif kind == "Embedding":
            self.keep(path + ".y", output)
            if path.endswith("word_embeddings"):
                self.keep(path.replace("word_embeddings", "inputs_embeds"), output)
        elif path.endswith("conv_kernel_layer"):
            by_head = (*output.shape[:2], self.stack[-1][2].num_attention_heads, -1)
            self.keep(path + ".logits", output, lambda t: t.reshape(by_head))
        elif kind.endswith("Loss"):
            if kind == "CrossEntropyLoss":
                self.fuse(path, self.cross_entropy, ("log_probs",), path + ".logits", path + ".loss", (module, args[1]))
            self.keep(path + ".loss", output)
        elif self.has_ports(kind, path) and kind != "SequenceSummary":
            if kind == "LayerNorm":
                names = ("inverse_std", "normalized")
                self.fuse(path, self.layer_norm, names, path + ".x", path + ".y", (module,))
            self.keep(path + ".y", output, self.layout_of(kind))
            if path.endswith("conv_out_layer"):
                self.keep(path.replace("conv_out_layer", "conv_kernel_layer.v"), output)
            if path.endswith("pointwise"):
                return output.clone()  # the bias is added in place, which would change what was recorded
        return None

    # Calls of the self-attention that no module wraps

    def on_call(self, func, args, kwargs):
        """TorchFunctionMode: name operands and results of the self-attention's own calls.

        The hooks' own calls pass here, too: none of them may be one that is named.
        """
        if not self.stack or self.stack[-1][0] != "ConvBertSelfAttention":
            return func(*args, **kwargs)
        path, call = self.stack[-1][1] + ".", func.__name__.strip("_")
        if call == "multiply":
            args = (
                self.alias(path + "conv_kernel_layer.span_key", args[0]),
                self.alias(path + "conv_kernel_layer.q", args[1]),
            )
        result = func(*args, **kwargs)
        name, layout = self.name_of_call(call, path, result)
        if name is not None:
            self.keep(path + name, result, layout)
        return result

    def name_of_call(self, call, path, result):
        """(name, layout) of the result of a call, which is known by how many of its kind came before it."""
        names = {
            "multiply": ["conv_kernel_layer.t"],
            "softmax": ["conv_kernel_layer.dynamic_kernel", "probs"],
            "matmul": ["conv_kernel_layer.conv", None, "context"],
            "permute": ["q", "k", "v"],
            "truediv": ["scores"],
            "mul": ["attention_weights"],
        }
        names["div"] = names["truediv"]
        count = self.calls[path + call] = self.calls.get(path + call, 0) + 1
        if call not in names or count > len(names[call]):
            return None, None
        name = names[call][count - 1]
        if name in ("conv_kernel_layer.dynamic_kernel", "conv_kernel_layer.conv"):
            batch, positions = self.entries[path + "x"][0].shape[:2]
            heads = (self.stack[-1][2].num_attention_heads, -1) if name.endswith("kernel") else (-1,)
            return name, lambda t: t.reshape(batch, positions, *heads)
        if name == "context" and path + "attention_weights" not in self.entries:
            entry = self.entries.pop(path + "dropout.y")
            self.entries |= {path + "dropout.y": entry, path + "attention_weights": entry}
        return name, None

    # Values inside fused kernels

    def fuse(self, path, function, names, x, y, arguments):
        """Remember to open a fused kernel once the gradients are there; its values keep their place in the order."""
        self.fused.append((path, function, names, x, y, arguments))
        for name in names:
            self.entries[f"{path}.{name}"] = (None, None)

    def layer_norm(self, x, module):
        centred = x - x.mean(-1, keepdim=True)
        inverse_std = 1 / ((centred**2).mean(-1, keepdim=True) + module.eps).sqrt()
        normalized = centred * inverse_std
        return normalized * module.weight.detach() + module.bias.detach(), (inverse_std, normalized)

    def cross_entropy(self, logits, module, labels):
        log_probs = logits.log_softmax(-1)
        loss = self.torch.nn.functional.nll_loss(log_probs, labels, ignore_index=module.ignore_index)
        return loss, (log_probs,)

    def open_fused(self, path, function, names, x_name, y_name, arguments):
        """Recompute a fused kernel openly; the gradient it hands on must be the one the model handed on."""
        x = self.entries[x_name][0].detach().requires_grad_()
        y, inner = function(x, *arguments)
        recorded_y = self.entries[y_name][0]
        dx, *dinner = self.torch.autograd.grad(y, (x, *inner), recorded_y.grad)
        exact = x.dtype == self.torch.float64
        for mine, recorded in ((y, recorded_y), (dx, self.entries[x_name][0].grad)):
            error = (mine - recorded).norm() / recorded.norm()
            if not error <= (1e-12 if exact else 1e-3):
                raise ValueError(f"{path}: the open computation differs from the fused one by {error:.1e}")
        for name, value, gradient in zip(names, inner, dinner, strict=True):
            layout = self.by_token if name == "log_probs" else lambda t: t
            self.hidden[f"{path}.{name}"] = (layout(value), layout(gradient))

    # Results

    def backward(self, objective):
        """Values and gradients as two dicts of arrays, by name and in order of computation."""
        objective.backward()
        for call in self.fused:
            self.open_fused(*call)
        for name, (mask, p) in self.masks.items():
            x, y = (self.entries[name.removesuffix("mask") + word][0] for word in "xy")
            self.torch.testing.assert_close(y, x * mask / (1 - p))
        values, grads = {}, {}
        for name, (tensor, layout) in self.entries.items():
            if name in self.hidden:
                value, gradient = self.hidden[name]
            else:
                gradient = self.torch.zeros_like(tensor) if tensor.grad is None else tensor.grad
                value, gradient = layout(tensor), layout(gradient)
            values[name], grads[name] = array_of(value), array_of(gradient)
        for name, parameter in self.model.named_parameters():
            gradient = self.torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            grads[name] = array_of(gradient)
        return values, grads


def array_of(tensor):
    return np.ascontiguousarray(tensor.detach().numpy()).reshape(tuple(tensor.shape))


def run_model(model, spec, params, inputs, cotangents, dtype):
    """One forward and backward pass in ``dtype`` with the given float32 weights: values, grads and dropout masks."""
    import torch

    model = model.to(dtype)
    model.zero_grad()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.from_numpy(params[name]))
    model.train(spec["training"])
    tensors = {}
    for name, x in inputs.items():
        floating = x.dtype == np.float32
        tensors[name] = torch.from_numpy(x).to(dtype) if floating else torch.from_numpy(x)
        if name in ("inputs_embeds", "head_mask"):
            tensors[name].requires_grad_()
    torch.manual_seed(spec["seed"])
    recorder = Recorder(model)
    outputs = recorder.forward(tensors)
    objective = outputs.loss if outputs.get("loss") is not None else 0
    for name, r in cotangents.items():
        objective = objective + (torch.from_numpy(r).to(dtype) * output_of(outputs, name)).sum()
    values, grads = recorder.backward(objective)
    return values, grads, {name: array_of(m).astype(np.uint8) for name, (m, _) in recorder.masks.items()}


def output_of(outputs, name):
    """An output by its dotted name: logits, hidden_states.1, ..."""
    head, _, index = name.partition(".")
    return outputs[head][int(index)] if index else outputs[head]


def changed(rng, x):
    """x with every entry multiplied by (1 + u 2^-12), u uniform in [-1, 1], rounded to float32."""
    return float32(x.astype(np.float64) * (1 + rng.uniform(-1, 1, x.shape) * 2.0**-12))


def zero_scale(name, grads):
    """The scale of a gradient that is mathematically zero, or None for every other tensor.

    Zero are: the gradient of a key's bias, which adds the same number to all scores of a query; and where the loss
    is a softmax over choices, that of what adds the same number to all choices. A bias gradient is a sum over
    positions, so the scale is the largest sum of absolute summands.
    """
    path = name.removeprefix("grads/").removesuffix(".bias")
    if not (name.startswith("grads/") and name.endswith(".bias") and path + ".y" in grads):
        return None
    summands = grads[path + ".y"]
    scale = float(np.abs(summands).reshape(-1, summands.shape[-1]).sum(0).max())
    is_zero = np.abs(grads[path + ".bias"]).max() <= 1e-13 * scale
    if path.endswith("attention.self.key") and not is_zero:
        raise ValueError(f"{name} is not zero")
    return scale if is_zero and scale > 0 else None


def measure_floors(model, spec, params, inputs, cotangents, masks):
    """Floor of every values/... and grads/... tensor (see the module's docstring)."""
    import torch

    rng = np.random.default_rng(1000 + spec["seed"])
    squares = {}
    for _ in range(FLOOR_RUNS):
        run_params = {name: changed(rng, x) for name, x in params.items()}
        run_inputs = {
            name: changed(rng, x) if x.dtype == np.float32 and name != "attention_mask" else x for name, x in inputs.items()
        }
        arguments = (model, spec, run_params, run_inputs, cotangents)
        low, high = (run_model(*arguments, dtype) for dtype in (torch.float32, torch.float64))
        for run in (low, high):
            for name, mask in masks.items():
                np.testing.assert_array_equal(run[2][name], mask)
        for group, index in (("values/", 0), ("grads/", 1)):
            for name, truth in high[index].items():
                error = np.abs(low[index][name].astype(np.float64) - truth)
                scale = zero_scale(group + name, high[1])
                if scale is not None:
                    relative = error.max() / scale
                else:
                    norm = np.sqrt((truth**2).sum())
                    relative = np.sqrt((error**2).sum()) / norm if norm else float(np.inf if error.any() else 0)
                squares.setdefault(group + name, []).append(relative**2)
    return {name: math.sqrt(sum(s) / len(s)) for name, s in squares.items()}


# ---------------------------------------------------------------------------------------------------------------------
# Files


def describe(tensors, floors, grads):
    """The JSON entry of every tensor, and the tensors without the repeated ones."""
    entries, stored, seen = {}, {}, {}
    for name, x in tensors.items():
        if not np.isfinite(x).all():
            raise ValueError(f"{name} is not finite")
        floor = floors[name]
        entry = {"shape": list(x.shape), "floor": float(f"{floor:.3g}"), "kind": "rounding" if floor else "exact"}
        scale = zero_scale(name, grads)
        if scale is not None:
            entry |= {"kind": "zero_by_theory", "scale": float(f"{scale:.6g}")}
        elif not floor < 3e-4:
            print(f"    look at {name}: floor {floor:.1e}, largest entry {np.abs(x).max():.1e}")
        key = (name.split("/")[0], x.tobytes())
        if key in seen:
            entry["same_as"] = seen[key]
        else:
            seen[key], stored[name] = name, x
        entries[name] = entry
    return entries, stored


def write_json(path, data, long_keys=("tensors",)):
    """JSON with one line for each entry of the long tables, so that a diff can be read."""
    lines = []
    for key, value in data.items():
        if key in long_keys:
            rows = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items())
            lines.append(f" {json.dumps(key)}: {{\n{rows}\n }}")
        else:
            lines.append(f" {json.dumps(key)}: {json.dumps(value)}")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def write_manifest(section, versions, command):
    """Put this environment and the checksums of all files into manifest.json."""
    path = HERE / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"environments": {}}
    manifest["environments"][section] = {
        "command": command, "platform": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(), "numpy": np.__version__, **versions,
    }  # fmt: skip
    names = [*dict(all_bundles()), "versions", "versions_v5", "versions_tensorflow"]
    files = [HERE / f"{name}{suffix}" for name in sorted(names) for suffix in (".json", ".safetensors")]
    manifest["files"] = {
        p.name: {"size": p.stat().st_size, "sha256": hashlib.sha256(p.read_bytes()).hexdigest()} for p in files if p.exists()
    }
    manifest["seeds"] = {name: spec["seed"] for name, spec in all_bundles()}
    manifest["environments"] = dict(sorted(manifest["environments"].items()))
    write_json(path, manifest, ("environments", "files", "seeds"))


def make_bundle(name, spec):
    """Record one bundle and write its two files."""
    import torch
    import transformers
    from safetensors.numpy import save

    config = transformers.ConvBertConfig(**spec["config"])
    described = config_dict(config)
    model = getattr(transformers, spec["model_class"])(config)
    rng = np.random.default_rng(spec["seed"])
    params = {n: stress_weight(n, tuple(p.shape), rng) for n, p in model.named_parameters()}
    for part, factor in spec["scales"].items():
        params |= {n: float32(factor * x) for n, x in params.items() if part in n}
    inputs = {n: np.ascontiguousarray(x) for n, x in spec["inputs"].items()}
    cotangents = draw_cotangents(model, spec, params, inputs, rng)
    values, grads, masks = run_model(model, spec, params, inputs, cotangents, torch.float64)
    floors = measure_floors(model, spec, params, inputs, cotangents, masks)
    tensors = {f"values/{n}": x for n, x in values.items()} | {f"grads/{n}": x for n, x in grads.items()}
    entries, stored = describe(tensors, floors, grads)
    for group, members in (("params", params), ("inputs", inputs), ("masks", masks), ("cotangents", cotangents)):
        stored |= {f"{group}/{n}": x for n, x in members.items()}
    (HERE / f"{name}.safetensors").write_bytes(save(stored))
    header = {
        "model_class": spec["model_class"], "config": described, "training": spec["training"], "seed": spec["seed"],
        "loss": any(n in inputs for n in ("labels", "start_positions")), "tensors": entries,
    }  # fmt: skip
    write_json(HERE / f"{name}.json", header)
    report(name, values, entries)


def draw_cotangents(model, spec, params, inputs, rng):
    """A float32 cotangent R ~ N(0, 1) for every requested output."""
    import torch

    model = model.double().eval()
    with torch.no_grad():
        tensors = {n: torch.from_numpy(x).to(torch.float64 if x.dtype == np.float32 else torch.int64)
                   for n, x in inputs.items()}  # fmt: skip
        outputs = model(**tensors, output_hidden_states=True, output_attentions=True)
    return {n: float32(rng.standard_normal(tuple(output_of(outputs, n).shape))) for n in spec["cotangents"]}


def report(name, values, entries):
    """Print how much the bundle exercises: a softmax that is nearly uniform would hide mistakes."""
    size = sum((HERE / f"{name}{suffix}").stat().st_size for suffix in (".safetensors", ".json"))
    floors = [e["floor"] for e in entries.values() if e["kind"] == "rounding"]
    text = f"{name}: {size / 1e3:.0f} kB, {len(entries)} tensors, floors {min(floors):.1e} to {max(floors):.1e}"
    for word in ("probs", "dynamic_kernel"):
        maxima = [x.max(-1) for n, x in values.items() if n.endswith("." + word)]
        widths = [x.shape[-1] for n, x in values.items() if n.endswith("." + word)]
        text += f"; {word} mean max {np.mean(np.concatenate([m.ravel() for m in maxima])):.2f} of {widths[0]}"
    print(text, flush=True)


# ---------------------------------------------------------------------------------------------------------------------
# The comparison of versions


HEADS = {
    "ConvBertModel": (), "ConvBertForMaskedLM": ("labels",), "ConvBertForSequenceClassification": ("labels",),
    "ConvBertForMultipleChoice": ("labels",), "ConvBertForTokenClassification": ("labels",),
    "ConvBertForQuestionAnswering": ("start_positions", "end_positions"),
}  # fmt: skip


def version_configs():
    """Two configurations that transformers 4, 5 and its TensorFlow models (head_ratio 2) can all run."""
    shared = {"num_hidden_layers": 2, "conv_kernel_size": 5, "num_labels": 2, "pad_token_id": 0}
    yield "groups1", small_config(embedding_size=12, **shared)
    yield "groups2", small_config(
        hidden_size=24, embedding_size=24, num_attention_heads=6, intermediate_size=28, num_groups=2,
        hidden_act="gelu_new", **shared
    )  # fmt: skip


def version_inputs(model_class, config, seed):
    rng = np.random.default_rng(seed)
    if model_class == "ConvBertForMultipleChoice":
        return choices(seed, config)
    inputs = sentences(rng, 2, 9, config)
    labels = {
        "ConvBertForMaskedLM": {"labels": labels_for(rng, inputs["input_ids"], config["vocab_size"])},
        "ConvBertForSequenceClassification": {"labels": np.array([1, 0])},
        "ConvBertForTokenClassification": {"labels": labels_for(rng, inputs["input_ids"], 2)},
        "ConvBertForQuestionAnswering": {"start_positions": np.array([1, 4]), "end_positions": np.array([6, 5])},
    }
    return inputs | labels.get(model_class, {})


class Store:
    """Tensors under the first of the names they are given; ``add`` returns that name."""

    def __init__(self):
        self.tensors, self.seen = {}, {}

    def add(self, name, x):
        x = np.ascontiguousarray(x).reshape(np.shape(x))
        key = (x.dtype.str, x.shape, x.tobytes())
        if key not in self.seen:
            self.seen[key], self.tensors[name] = name, x
        return self.seen[key]

    def save(self, name, models):
        from safetensors.numpy import save

        (HERE / f"{name}.safetensors").write_bytes(save(self.tensors))
        write_json(HERE / f"{name}.json", {"models": models}, ("models",))
        size = sum((HERE / f"{name}{suffix}").stat().st_size for suffix in (".safetensors", ".json"))
        print(f"{name}: {size / 1e3:.0f} kB, {len(self.tensors)} tensors")


def make_versions(models_dir):
    """Write versions.safetensors and .json: weights and inputs; the heads of a configuration share one body."""
    import torch
    import transformers

    store, models = Store(), {}
    for seed, (config_name, arguments) in enumerate(version_configs(), start=41):
        body = {}
        for number, model_class in enumerate(HEADS):
            config = transformers.ConvBertConfig(**arguments)
            model = getattr(transformers, model_class)(config)
            path, rng = f"{config_name}/{model_class}", np.random.default_rng((seed, number))
            if model_class == "ConvBertModel":
                body = {n: stress_weight(n, tuple(p.shape), rng) for n, p in model.named_parameters()}
            for name, parameter in model.named_parameters():
                in_body = name.removeprefix("convbert.")
                weight = body[in_body] if in_body in body else stress_weight(name, tuple(parameter.shape), rng)
                key = f"{config_name}/body/{in_body}" if in_body in body else f"{path}/params/{name}"
                store.tensors[key] = weight
                with torch.no_grad():
                    parameter.copy_(torch.from_numpy(weight))
            inputs = version_inputs(model_class, arguments, seed)
            models[path] = {
                "model_class": model_class, "config": config_dict(config),
                "params": {"": f"{config_name}/body/"} if model_class == "ConvBertModel" else
                          {"convbert.": f"{config_name}/body/", "": f"{path}/params/"},
                "inputs": {n: store.add(f"{path}/inputs/{n}", x) for n, x in inputs.items()},
            }  # fmt: skip
            if models_dir is not None:
                export(model, inputs, models_dir / config_name / model_class)
    store.save("versions", models)


def export(model, inputs, directory):
    from safetensors.numpy import save_file

    model.eval().save_pretrained(directory, safe_serialization=True)
    save_file({n: np.ascontiguousarray(x) for n, x in inputs.items()}, directory / "inputs.safetensors")


def record_versions(name, models_dir, run):
    """Run every exported model by ``run(model_class, directory, inputs) -> dict of outputs`` and store the outputs."""
    from safetensors.numpy import load_file

    store, models = Store(), {}
    for config_name, _ in version_configs():
        for model_class in HEADS:
            path, directory = f"{config_name}/{model_class}", models_dir / config_name / model_class
            outputs = run(model_class, directory, load_file(directory / "inputs.safetensors"))
            models[path] = {"outputs": {n: store.add(f"{path}/{n}", x) for n, x in outputs.items()}}
    store.save(name, models)


def flat_outputs(outputs):
    """Outputs of a model as a dict by dotted name, tuples taken apart."""
    flat = {}
    for name, value in outputs.items():
        if isinstance(value, (tuple, list)):
            flat |= {f"{name}.{i}": np.asarray(x) for i, x in enumerate(value)}
        elif value is not None:
            flat[name] = np.asarray(value)
    return flat


def run_torch(model_class, directory, inputs):
    """Outputs in float64 of the PyTorch class of the installed transformers."""
    import torch
    import transformers

    model = getattr(transformers, model_class).from_pretrained(directory).double().eval()
    with torch.no_grad():
        tensors = {n: torch.from_numpy(x) for n, x in inputs.items()}
        return flat_outputs(model(**tensors, output_hidden_states=True, output_attentions=True))


def run_tensorflow(model_class, directory, inputs):
    """Outputs in float32 of the TensorFlow class; the loss has the shape that TensorFlow gives it."""
    import tensorflow as tf
    import transformers

    model = getattr(transformers, "TF" + model_class).from_pretrained(directory)
    tensors = {n: tf.constant(x) for n, x in inputs.items()}
    return flat_outputs(model(**tensors, output_hidden_states=True, output_attentions=True, training=False))


# ---------------------------------------------------------------------------------------------------------------------
# Commands


def main():
    parser = argparse.ArgumentParser(description="Record the golden bundles.")
    commands = parser.add_subparsers(dest="command", required=True)
    pytorch = commands.add_parser("pytorch", help="all bundles, with transformers 4.37.2")
    pytorch.add_argument("--models", type=Path, help="also export the models of the version comparison to here")
    pytorch.add_argument("--only", nargs="*", help="only these bundles")
    for name in ("v5", "tensorflow"):
        commands.add_parser(name, help=f"outputs of the {name} models").add_argument("models", type=Path)
    arguments = parser.parse_args()
    {"pytorch": main_pytorch, "v5": main_v5, "tensorflow": main_tensorflow}[arguments.command](arguments)


def main_pytorch(arguments):
    import torch
    import transformers

    torch.set_num_threads(1)
    for name, spec in all_bundles():
        if not arguments.only or name in arguments.only:
            make_bundle(name, spec)
    make_versions(arguments.models)
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    write_manifest("pytorch", versions, "python make_golden.py pytorch --models MODELS_DIR")


def main_v5(arguments):
    import torch
    import transformers

    torch.set_num_threads(1)
    record_versions("versions_v5", arguments.models, run_torch)
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    write_manifest("v5", versions, "python make_golden.py v5 MODELS_DIR")


def main_tensorflow(arguments):
    import tensorflow
    import transformers

    record_versions("versions_tensorflow", arguments.models, run_tensorflow)
    versions = {"tensorflow": tensorflow.__version__, "transformers": transformers.__version__}
    write_manifest("tensorflow", versions, "python make_golden.py tensorflow MODELS_DIR")


if __name__ == "__main__":
    sys.exit(main())
