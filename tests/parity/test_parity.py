"""Our models against the reference models of transformers 4.37.2 on PyTorch, live, on random configurations and inputs.

In float64 both sides compute the same numbers: the values agree to a relative L2 error of 1e-12, the gradients to 1e-11. In
float32 the truth is PyTorch's float64 result; how far PyTorch's own float32 result is from it is the yardstick for ours.
"""

import dataclasses
import functools
import json
import warnings
from typing import Any

import numpy as np
import pytest

import convbert_np
from convbert_np import ConvBertConfig
from convbert_np.checkpoints.safetensors import read_safetensors, write_safetensors
from convbert_np.ops.activations import ACTIVATIONS
from convbert_np.tree import flatten, unflatten
from convbert_np.verify.golden import FLOAT64_GRADIENT, FLOAT64_VALUE

pytestmark = pytest.mark.parity
torch: Any = None
transformers: Any = None

MODEL_CLASSES = (
    "ConvBertModel", "ConvBertForMaskedLM", "ConvBertForSequenceClassification", "ConvBertForTokenClassification",
    "ConvBertForQuestionAnswering", "ConvBertForMultipleChoice",
)  # fmt: skip
HIDDEN_ACTS = (*(name for name in ACTIVATIONS if name != "selu"),)  # selu is ours alone: the reference documents, but lacks it
CASES = 66
LABELS = ("labels", "start_positions", "end_positions")
WORDS = "embeddings.word_embeddings.weight"


@pytest.fixture(scope="module", autouse=True)
def reference():
    """Import the reference libraries, which takes seconds, only if a test of this file is run."""
    global torch, transformers
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch
        import transformers

        transformers.ConvBertModel  # noqa: B018  (is imported on first use)
    assert transformers.__version__ == "4.37.2"
    transformers.logging.set_verbosity_error()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the models are small
    yield
    torch.set_num_threads(threads)


# Random cases.


@dataclasses.dataclass(frozen=True)
class Case:
    """A model, a call of it, and what is differentiated: sum_o <R_o, output_o>, or the loss if there is no R."""

    model_class: str
    config: dict[str, Any]
    inputs: dict[str, np.ndarray]
    training: bool = False
    cotangents: dict[str, np.ndarray] | None = None
    seed: int = 0

    @property
    def has_loss(self):
        return any(name in self.inputs for name in LABELS)


def pick(rng, *choices):
    """One of the choices."""
    return choices[int(rng.integers(len(choices)))]


def draw_config(rng, index):
    """A random configuration; the activation goes round by the index."""
    kinds, ratio, size = int(rng.integers(1, 4)), int(rng.integers(1, 5)), int(rng.integers(1, 6))
    size = max(size, -(-4 // kinds))  # at least 8 channels: a layer norm of 2 has nothing left to vary
    hidden, groups = 2 * kinds * size, pick(rng, 1, 2, 3)
    groups = groups if hidden % groups == 0 else 2
    heads = int(rng.integers(1, ratio + 1)) if kinds == 1 else kinds * ratio + int(rng.integers(0, ratio))
    dropout = pick(rng, 0.1, 0.4)
    return {
        "vocab_size": int(rng.integers(20, 40)), "hidden_size": hidden, "embedding_size": pick(rng, hidden, 7, 12, 20),
        "num_attention_heads": heads, "head_ratio": ratio, "num_groups": groups, "intermediate_size": groups * int(rng.integers(5, 12)),
        "num_hidden_layers": pick(rng, 1, 2, 2, 3), "conv_kernel_size": pick(rng, 1, 3, 5, 9, 11),
        "hidden_act": HIDDEN_ACTS[index % len(HIDDEN_ACTS)], "max_position_embeddings": int(rng.integers(12, 16)),
        "type_vocab_size": int(rng.integers(1, 4)), "pad_token_id": pick(rng, 0, 1, None, -1), "layer_norm_eps": pick(rng, 1e-12, 1e-5),
        "hidden_dropout_prob": dropout, "attention_probs_dropout_prob": pick(rng, 0.0, dropout),
        "classifier_dropout": pick(rng, None, 0.0, 0.3),
    }  # fmt: skip


def draw_inputs(rng, config, shape):
    """Random arguments; `shape` (B, S), or (B, C, S) for multiple choice."""
    rows, length = int(np.prod(shape[:-1])), shape[-1]
    layers, positions = config["num_hidden_layers"], config["max_position_embeddings"]
    kinds = max(1, config["num_attention_heads"] // config["head_ratio"])
    ids = rng.integers(0, config["vocab_size"], shape)
    ids.flat[0] = (config["pad_token_id"] or 0) % config["vocab_size"]
    inputs = {"input_ids": ids} if rng.random() < 0.75 else {"inputs_embeds": real(rng, (*shape, config["embedding_size"]))}

    lengths = rng.integers(1, length + 1, rows)
    padding = (np.arange(length) < lengths[:, None]).astype(np.int64)
    square = np.maximum(padding[:, None, :] * (rng.random((rows, length, length)) < 0.7), np.eye(length, dtype=np.int64))
    fractional = np.where(padding == 1, 1.0, pick(rng, 0.5, 1e-3)).astype(np.float32)
    zero = np.where(np.arange(rows)[:, None] == rows - 1, 0, padding)
    masks = [None, padding, padding.astype(bool), padding.astype(np.int32), padding.astype(np.float32), fractional, zero]
    mask = pick(rng, *masks, padding) if len(shape) == 3 else pick(rng, *masks, square, square)
    if mask is not None:
        inputs["attention_mask"] = mask.reshape(*shape[:-1], *mask.shape[1:])
    token_types = rng.integers(0, config["type_vocab_size"], shape)
    position_ids = rng.integers(0, positions, shape)
    flat = len(shape) == 2
    token_types = pick(rng, None, token_types, token_types[:1] if flat else token_types)
    position_ids = pick(rng, None, position_ids, position_ids[:1] if flat else position_ids, position_ids[0] if flat else None)
    head_mask = pick(
        rng, None, None, rng.uniform(0, 2, kinds), rng.uniform(0, 2, (layers, kinds)), rng.uniform(0, 2, (layers, rows, kinds, 1, length))
    )  # fmt: skip
    given = {"token_type_ids": token_types, "position_ids": position_ids}
    given |= {"head_mask": None if head_mask is None else head_mask.astype(np.float32)}
    return inputs | {name: value for name, value in given.items() if value is not None}


def real(rng, shape):
    """Normal numbers that float32 holds exactly."""
    return rng.standard_normal(shape).astype(np.float32)


def classes(rng, shape, count, ignored=0.3):
    """Class labels, some of them -100, but not all."""
    labels = np.where(rng.random(shape) < ignored, -100, rng.integers(0, count, shape))
    labels.flat[-1] = count - 1
    return labels


def draw_sequence_labels(rng, config, batch, index):
    """Settings and labels of each loss of sequence classification in turn."""
    problem, number = (
        (None, 1), (None, 3), (None, 4), ("regression", 1), ("regression", 3), ("single_label_classification", 3),
        ("multi_label_classification", 2), ("multi_label_classification", 1), ("single_label_classification", 2),
    )[index % 9]  # fmt: skip
    config |= {"problem_type": problem, "num_labels": number}
    if problem == "multi_label_classification" or (problem is None and number == 4):
        return rng.integers(0, 2, (batch, number)).astype(np.float32)
    if problem == "regression" or number == 1:
        return real(rng, pick(rng, (batch,), (batch, 1)) if number == 1 else (batch, number))
    return classes(rng, pick(rng, (batch,), (batch, 1)), number)


def draw_summary(rng, config, index):
    """Settings of each summary of multiple choice in turn."""
    config["summary_type"] = ("last", "first", "mean", "cls_index")[index % 4]
    if rng.random() < 0.3:
        del config["summary_type"]
    config |= {"summary_use_proj": pick(rng, True, False), "summary_activation": pick(rng, None, "tanh", "gelu", "relu")}
    config |= {"summary_first_dropout": pick(rng, 0.0, 0.2), "summary_last_dropout": pick(rng, 0.0, 0.3)}
    if config["summary_use_proj"] and rng.random() < 0.5:
        config |= {"summary_proj_to_labels": True, "num_labels": config["hidden_size"]}


def draw_case(index):
    """Case number `index`: heads, activations, losses and summaries go round, all else is random."""
    rng = np.random.default_rng((2020, index))
    model_class, config, turn = MODEL_CLASSES[index % 6], draw_config(rng, index), index // 6
    batch, length = pick(rng, 1, 2, 3), pick(rng, 1, 2, 5, 8, 12)
    shape = (batch, pick(rng, 2, 3), length) if model_class == "ConvBertForMultipleChoice" else (batch, length)
    inputs = draw_inputs(rng, config, shape)
    if model_class == "ConvBertForMaskedLM":
        config["tie_word_embeddings"] = pick(rng, True, True, False)
        inputs["labels"] = classes(rng, shape, config["vocab_size"])
    elif model_class == "ConvBertForTokenClassification":
        config["num_labels"] = pick(rng, 1, 2, 5)
        inputs["labels"] = classes(rng, shape, config["num_labels"])
    elif model_class == "ConvBertForSequenceClassification":
        inputs["labels"] = draw_sequence_labels(rng, config, batch, turn)
    elif model_class == "ConvBertForQuestionAnswering":
        positions = rng.integers(-2, length + 2, (2, *pick(rng, (batch,), (batch, 1))))
        positions.reshape(2, -1)[:, 0] = length - 1, 0  # one label at least counts
        inputs |= {"start_positions": positions[0], "end_positions": positions[1]}
    elif model_class == "ConvBertForMultipleChoice":
        draw_summary(rng, config, turn)
        inputs["labels"] = rng.integers(0, shape[1], batch)
    if model_class != "ConvBertModel" and rng.random() < 0.25:
        inputs = {name: value for name, value in inputs.items() if name not in LABELS}
    case = Case(model_class, config, inputs, training=rng.random() < 0.4, seed=index)
    return case if case.has_loss and rng.random() < 0.5 else dataclasses.replace(case, cotangents=draw_cotangents(rng, case))


def draw_cotangents(rng, case):
    """Random R of some outputs; those of a listed output are given one by one, or as a list with None."""
    config, inputs = case.config, case.inputs
    like = inputs.get("input_ids", inputs.get("inputs_embeds"))
    choices = case.model_class == "ConvBertForMultipleChoice"
    lead = like.shape[: 3 if choices else 2]
    rows, length, layers = int(np.prod(lead[:-1])), lead[-1], config["num_hidden_layers"]
    kinds = max(1, config["num_attention_heads"] // config["head_ratio"])
    labels = config.get("num_labels", 2)
    main = {
        "ConvBertModel": {"last_hidden_state": (rows, length, config["hidden_size"])},
        "ConvBertForMaskedLM": {"logits": (rows, length, config["vocab_size"])},
        "ConvBertForSequenceClassification": {"logits": (rows, labels)},
        "ConvBertForTokenClassification": {"logits": (rows, length, labels)},
        "ConvBertForQuestionAnswering": {"start_logits": (rows, length), "end_logits": (rows, length)},
        "ConvBertForMultipleChoice": {"logits": lead[:-1]},
    }[case.model_class]
    body = {f"hidden_states.{i}": (rows, length, config["hidden_size"]) for i in range(layers + 1)}
    body |= {f"attentions.{i}": (rows, kinds, length, length) for i in range(layers)}
    chosen = main if rng.random() < 0.7 else dict([pick(rng, *main.items())])
    chosen = chosen | {name: shape for name, shape in body.items() if rng.random() < 0.4}
    if case.has_loss and rng.random() < 0.7:
        chosen = {"loss": ()} | (chosen if rng.random() < 0.7 else {})
    return {name: np.asarray(real(rng, shape)) for name, shape in chosen.items()}


# Both sides of a case.


def stress(name, shape, rng):
    """Weights under which every parameter matters: no gain is 1, no bias 0, and every softmax is sharp; float32."""
    noise = rng.standard_normal(shape)
    if "LayerNorm" in name:
        value = 0.9 + 0.15 * noise if name.endswith("weight") else 0.1 * noise
    elif name.endswith("bias"):
        value = 0.1 * noise
    elif "_embeddings" in name:
        value = 0.5 * noise
    elif "depthwise" in name:
        value = 1 / shape[-1] + 0.25 * noise
    else:
        value = (1.5 if "attention.self" in name else 1.1) / np.sqrt(shape[1]) * noise
    return np.asarray(value, np.float32)


def reference_model(model_class, config, seed=0, dtype=None):
    """The reference's model with stress weights."""
    model = getattr(transformers, model_class)(transformers.ConvBertConfig(**config))
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.from_numpy(stress(name, tuple(parameter.shape), rng)))
    return model.to(dtype or torch.float64).eval()


def our_model(theirs):
    """Our model of the configuration, the parameters and the dtype of the reference's."""
    config = ConvBertConfig.from_dict(theirs.config.to_dict())
    state = {name: value.detach().numpy() for name, value in theirs.state_dict().items()}
    model = getattr(convbert_np, type(theirs).__name__)(config, dtype=next(iter(state.values())).dtype)
    model.load_state_dict(state)
    return model


def record_masks(model):
    """Make every dropout of a model in training record the mask it draws, under the name our cache has for it."""
    masks, handles = {}, []

    def on_enter(path, module, args):
        if module.training and module.p > 0:
            state = torch.get_rng_state()  # draw the mask for ones, then put the generator back
            kept = torch.nn.functional.dropout(torch.ones_like(args[0]), module.p) != 0
            torch.set_rng_state(state)
            masks[f"{path}2.mask" if f"{path}.mask" in masks else f"{path}.mask"] = kept.numpy()

    for path, module in model.named_modules():
        if isinstance(module, torch.nn.Dropout):
            handles.append(module.register_forward_pre_hook(functools.partial(on_enter, path)))
    return masks, handles


@dataclasses.dataclass
class Results:
    """What one side computes: outputs, gradients of the parameters, gradients of the arguments, dropout masks, and the output."""

    values: dict[str, np.ndarray]
    grads: dict[str, np.ndarray]
    arguments: dict[str, np.ndarray]
    masks: dict[str, np.ndarray]
    names: list[str]


def flat_outputs(outputs):
    """The outputs by dotted name, tuples taken apart."""
    flat = {}
    for name, value in outputs.items():
        flat |= {f"{name}.{i}": x for i, x in enumerate(value)} if isinstance(value, tuple) else {name: value}
    return flat


def run_reference(case, dtype, model=None):
    """The reference's results for a case, as float64 or float32 arrays."""
    model = reference_model(case.model_class, case.config, case.seed, dtype) if model is None else model
    model.train(case.training)
    model.zero_grad()
    tensors = {name: torch.from_numpy(np.ascontiguousarray(x)) for name, x in case.inputs.items()}
    tensors = {name: x.to(dtype) if x.is_floating_point() else x for name, x in tensors.items()}
    leaves = {name: tensors[name].requires_grad_() for name in ("inputs_embeds", "head_mask") if name in tensors}
    masks, handles = record_masks(model)
    torch.manual_seed(case.seed)
    outputs = model(**tensors, output_hidden_states=True, output_attentions=True)
    for handle in handles:
        handle.remove()
    flat = flat_outputs(outputs)
    if case.cotangents is None:
        objective = outputs.loss
    else:
        objective = sum((torch.from_numpy(r).to(dtype) * flat[name]).sum() for name, r in case.cotangents.items())
    wanted = dict(model.named_parameters()) | leaves
    found = torch.autograd.grad(objective, list(wanted.values()), allow_unused=True)
    grads = {n: np.zeros(tuple(x.shape), numpy_dtype(dtype)) if g is None else g.numpy() for (n, x), g in zip(wanted.items(), found)}
    arguments = {name: grads.pop(name) for name in leaves}
    return Results({name: x.detach().numpy() for name, x in flat.items()}, grads, arguments, masks, list(outputs.keys()))


def numpy_dtype(dtype):
    return np.float64 if dtype == torch.float64 else np.float32


def run_ours(case, model, masks):
    """Our results for a case, with the dropout masks of the reference."""
    inputs = {n: x.astype(model.dtype) if x.dtype.kind == "f" else x for n, x in case.inputs.items()}
    options = {"training": case.training, "rng": unflatten(masks), "output_hidden_states": True, "output_attentions": True}
    out = model(**inputs, **options)
    grads = model.backward(out, case.cotangents, intermediates=True)
    parameters = {name: grads[name] for name in model.named_parameters()}
    for name, gradient in model.backward(out, as_lists(case.cotangents, case.config)).items():
        np.testing.assert_array_equal(gradient, parameters[name], err_msg=name)
    arguments = {n: grads[n].reshape(inputs[n].shape) for n in ("inputs_embeds",) if n in inputs}
    if "head_mask" in inputs:
        layers = [g for n, g in grads.items() if n.endswith("attention.self.head_mask")]
        whole = np.stack(layers).reshape(-1, *inputs["head_mask"].shape[-4:]) if inputs["head_mask"].ndim == 5 else np.stack(layers)
        arguments["head_mask"] = whole.sum(0).reshape(-1) if inputs["head_mask"].ndim == 1 else whole.reshape(inputs["head_mask"].shape)
    return Results(flat_outputs(out), parameters, arguments, masks, out.keys())


def as_lists(cotangents, config):
    """The cotangents of listed outputs as lists with None for those that do not count."""
    if cotangents is None:
        return None
    layers = config["num_hidden_layers"]
    lists = {name: x for name, x in cotangents.items() if "." not in name}
    for base, count in (("hidden_states", layers + 1), ("attentions", layers)):
        one_by_one = [cotangents.get(f"{base}.{i}") for i in range(count)]
        lists |= {base: one_by_one} if any(x is not None for x in one_by_one) else {}
    return lists


def distances(got, want, smallest=0.0):
    """By name, the L2 distance relative to the truth's size, or to `smallest` if that is more; nan if not comparable."""
    result = {}
    for name, truth in want.items():
        if np.shape(got[name]) != truth.shape:
            result[name] = float("nan")
            continue
        difference = np.linalg.norm(np.subtract(got[name], truth, dtype=np.float64))
        size = max(float(np.linalg.norm(truth.astype(np.float64))), smallest)
        result[name] = float(difference / size) if size else (float("inf") if difference else 0.0)
    return result


def size_of(grads):
    """A thousandth of the size of all gradients together.

    Some gradients are zero by theory (that of a key's bias; of whatever adds the same to all choices of a softmax), and what is
    left of them is rounding. So a gradient smaller than this is judged relative to this: in float64 that still means that no
    gradient may be off by more than 1e-14 of the whole.
    """
    return 1e-3 * float(np.sqrt(sum(np.sum(np.square(g, dtype=np.float64)) for g in grads.values())))


def assert_close(got, want, value=FLOAT64_VALUE, gradient=FLOAT64_GRADIENT):
    """Values and gradients of two sides agree; if not, the message lists the worst."""
    assert list(got.values) == list(want.values)
    assert list(got.grads) == list(want.grads)
    assert got.arguments.keys() == want.arguments.keys()
    dtype = next(iter(got.grads.values())).dtype
    assert {np.asarray(x).dtype for x in (*got.values.values(), *got.grads.values(), *got.arguments.values())} == {dtype}
    wrong = {n: d for n, d in distances(got.values, want.values).items() if not d <= value}
    small = size_of(want.grads)
    wrong |= {f"grad of {n}": d for n, d in distances(got.grads, want.grads, small).items() if not d <= gradient}
    wrong |= {f"grad of {n}": d for n, d in distances(got.arguments, want.arguments, small).items() if not d <= gradient}
    assert not wrong, "\n".join(f"{name}: {distance:.2e}" for name, distance in wrong.items())


def check(case):
    """Compare both sides of a case in float64; returns them."""
    theirs = reference_model(case.model_class, case.config, case.seed)
    ours = our_model(theirs)
    want = run_reference(case, torch.float64, theirs)
    got = run_ours(case, ours, want.masks)
    assert_close(got, want)
    return got, want


# Random configurations.

every_case = pytest.mark.parametrize("index", range(CASES))


@every_case
def test_float64(index):
    case = draw_case(index)
    got, want = check(case)
    assert got.names == want.names
    assert bool(want.masks) <= case.training


@every_case
def test_names_and_order(index):
    case = draw_case(index)
    theirs = reference_model(case.model_class, case.config)
    ours = our_model(theirs)
    named = {name: tuple(parameter.shape) for name, parameter in theirs.named_parameters()}
    assert [(name, x.shape) for name, x in ours.named_parameters().items()] == list(named.items())
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert ours.num_parameters() == theirs.num_parameters()


@every_case
def test_tuples(index):
    """return_dict=False: the same entries in the same order, whichever outputs are asked for, by argument or configuration."""
    case = draw_case(index)
    rng = np.random.default_rng(index)
    asked = {name: bool(rng.integers(2)) for name in ("output_attentions", "output_hidden_states")}
    by_config = bool(rng.integers(2))
    config = case.config | (asked | {"return_dict": False} if by_config else {})
    options = {} if by_config else asked | {"return_dict": False}
    theirs = reference_model(case.model_class, config, case.seed)
    tensors = {n: torch.from_numpy(np.ascontiguousarray(x)) for n, x in case.inputs.items()}
    with torch.no_grad():
        want = theirs(**{n: x.double() if x.is_floating_point() else x for n, x in tensors.items()}, **options)
    inputs = {n: x.astype(np.float64) if x.dtype.kind == "f" else x for n, x in case.inputs.items()}
    got = our_model(theirs)(**inputs, **options)
    assert isinstance(got, tuple)
    assert structure(got) == structure(want)
    want, got = ({str(i): x for i, x in enumerate(leaves(side))} for side in (want, got))
    assert max(distances(got, {name: x.numpy() for name, x in want.items()}).values()) <= FLOAT64_VALUE


def structure(outputs):
    """The nested tuples of an output, with shapes for arrays."""
    return tuple(structure(x) if isinstance(x, tuple) else tuple(x.shape) for x in outputs)


def leaves(outputs):
    """The arrays of nested tuples, in order."""
    return [leaf for x in outputs for leaf in (leaves(x) if isinstance(x, tuple) else [x])]
