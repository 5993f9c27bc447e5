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
from convbert_np.verify.golden import FLOAT32_FLOORS, FLOAT64_GRADIENT, FLOAT64_VALUE

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
        "num_attention_heads": heads, "head_ratio": ratio, "num_groups": groups,
        "intermediate_size": groups * int(rng.integers(5, 12)), "num_hidden_layers": pick(rng, 1, 2, 2, 3),
        "conv_kernel_size": pick(rng, 1, 3, 5, 9, 11), "hidden_act": HIDDEN_ACTS[index % len(HIDDEN_ACTS)],
        "max_position_embeddings": int(rng.integers(12, 16)), "type_vocab_size": int(rng.integers(1, 4)),
        "pad_token_id": pick(rng, 0, 1, None, -1), "layer_norm_eps": pick(rng, 1e-12, 1e-5),
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
    by_entry = rng.uniform(0, 2, (layers, rows, kinds, 1, length))
    head_mask = pick(rng, None, None, rng.uniform(0, 2, kinds), rng.uniform(0, 2, (layers, kinds)), by_entry)
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
    grads = {
        n: np.zeros(tuple(x.shape), numpy_dtype(dtype)) if g is None else g.numpy()
        for (n, x), g in zip(wanted.items(), found, strict=True)
    }
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
        whole = (
            np.stack(layers).reshape(-1, *inputs["head_mask"].shape[-4:]) if inputs["head_mask"].ndim == 5 else np.stack(layers)
        )
        arguments["head_mask"] = (
            whole.sum(0).reshape(-1) if inputs["head_mask"].ndim == 1 else whole.reshape(inputs["head_mask"].shape)
        )
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


def test_the_cases_cover_what_they_should():
    cases = [draw_case(index) for index in range(CASES)]
    configs = [case.config for case in cases]

    def seen(name):
        return {config.get(name) for config in configs}

    assert seen("hidden_act") == set(HIDDEN_ACTS)
    assert seen("num_groups") == {1, 2, 3}
    assert seen("head_ratio") == {1, 2, 3, 4}
    assert seen("num_hidden_layers") == {1, 2, 3}
    assert seen("conv_kernel_size") == {1, 3, 5, 9, 11}
    assert seen("pad_token_id") == {0, 1, None, -1}
    assert seen("problem_type") == {None, "regression", "single_label_classification", "multi_label_classification"}
    assert seen("summary_type") == {None, "last", "first", "mean", "cls_index"}
    assert seen("tie_word_embeddings") == {None, True, False}
    assert any(config["num_attention_heads"] < config["head_ratio"] for config in configs)
    assert {config["embedding_size"] == config["hidden_size"] for config in configs} == {True, False}
    shapes = [
        (case.inputs["input_ids"] if "input_ids" in case.inputs else case.inputs["inputs_embeds"][..., 0]).shape for case in cases
    ]
    assert {shape[-1] for shape in shapes} == {1, 2, 5, 8, 12}
    assert {shape[0] for shape in shapes} == {1, 2, 3}
    assert any(shape[-1] < config["conv_kernel_size"] for shape, config in zip(shapes, configs, strict=True))
    given = [(case.model_class, name, x.ndim, x.dtype.kind) for case in cases for name, x in case.inputs.items()]
    for dimensions in (2, 3):
        assert any(name == "attention_mask" and n == dimensions and m != MODEL_CLASSES[-1] for m, name, n, _ in given)
    assert {kind for _, name, _, kind in given if name == "attention_mask"} == {"i", "b", "f"}
    assert {n for _, name, n, _ in given if name == "head_mask"} == {1, 2, 5}
    assert {n for m, name, n, _ in given if name == "position_ids" and m != MODEL_CLASSES[-1]} == {1, 2}
    for model_class in MODEL_CLASSES:
        mine = [case for case in cases if case.model_class == model_class]
        assert {case.training for case in mine} == {True, False}
        assert {"inputs_embeds" in case.inputs for case in mine} == {True, False}
        assert any(case.cotangents and any("." in name for name in case.cotangents) for case in mine)
        assert model_class == "ConvBertModel" or {case.has_loss for case in mine} == {True, False}
    assert any(case.training and "head_mask" in case.inputs for case in cases)


# float32.

FLOAT32_RUNS = 6


@every_case
def test_float32(index):
    """Our float32 results are as near to the truth as PyTorch's own.

    The error of each tensor is the root mean square, over a few runs with slightly changed weights, of the relative L2 error
    against PyTorch in float64. Ours may be 5 times that of PyTorch in float32; it is 1 in the mean, and chance makes it 2 or 3
    for tensors of a few numbers. Half of one rounding (in a gradient: of all gradients together) is always allowed.
    """
    case = draw_case(index)
    models = {
        name: reference_model(case.model_class, case.config, case.seed, getattr(torch, name)) for name in ("float32", "float64")
    }
    start = {name: parameter.numpy(force=True).copy() for name, parameter in models["float32"].named_parameters()}
    squares: dict[str, list[tuple[float, float, float]]] = {}
    for run in range(FLOAT32_RUNS):
        rng = np.random.default_rng((run, index))
        for name, parameter in models["float32"].named_parameters():
            changed = (start[name] * (1 + rng.uniform(-1, 1, start[name].shape) * 2.0**-12 * (run > 0))).astype(np.float32)
            parameter.data.copy_(torch.from_numpy(changed))
            models["float64"].get_parameter(name).data.copy_(torch.from_numpy(changed))
        low, truth = (run_reference(case, getattr(torch, name), models[name]) for name in ("float32", "float64"))
        for name, mask in truth.masks.items():
            np.testing.assert_array_equal(low.masks[name], mask)
        ours = run_ours(case, our_model(models["float32"]), truth.masks)
        assert {x.dtype for x in (*ours.values.values(), *ours.grads.values())} == {np.dtype(np.float32)}
        small = size_of(truth.grads)
        for kind, least in (("values", 0.0), ("grads", small)):
            want = getattr(truth, kind)
            errors = [distances(getattr(side, kind), want, least) for side in (ours, low)]
            for name, value in want.items():
                size = max(float(np.linalg.norm(value)), least)
                always = 2.0**-25 * (1e3 * small / size if kind == "grads" and size else 1.0)
                squares.setdefault(f"{kind} {name}", []).append(tuple(x**2 for x in (errors[0][name], errors[1][name], always)))
    wrong = {}
    for name, runs in squares.items():
        mine, floor, always = np.sqrt(np.mean(runs, axis=0))
        if not mine <= FLOAT32_FLOORS * max(floor, always):
            wrong[name] = f"error {mine:.2e}, PyTorch's {floor:.2e}"
    assert not wrong, wrong


# Corners.


def corner(model_class="ConvBertModel", shape=(2, 6), seed=5, training=False, cotangents="all", inputs=None, **config):
    """A small case; `cotangents` "all": of every output except the loss, "loss": the loss alone."""
    config = {
        "vocab_size": 23, "hidden_size": 12, "embedding_size": 8, "num_attention_heads": 4, "head_ratio": 2,
        "intermediate_size": 10, "num_hidden_layers": 2, "conv_kernel_size": 5, "max_position_embeddings": 10,
        "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
    } | config  # fmt: skip
    rng = np.random.default_rng(seed)
    inputs = {"input_ids": rng.integers(0, config["vocab_size"], shape)} | (inputs or {})
    inputs = {name: value for name, value in inputs.items() if value is not None}
    case = Case(model_class, config, inputs, training, None, seed)
    if cotangents == "loss":
        return case
    drawn = {}
    while not drawn or any(name == "loss" for name in drawn):
        drawn = draw_cotangents(rng, case)
    return dataclasses.replace(case, cotangents=drawn)


def both(case):
    """Both sides of a case in float64, not compared."""
    theirs = reference_model(case.model_class, case.config, case.seed)
    want = run_reference(case, torch.float64, theirs)
    return run_ours(case, our_model(theirs), want.masks), want


@pytest.mark.parametrize(
    ("model_class", "labels"),
    [
        ("ConvBertForMaskedLM", {"labels": np.full((2, 6), -100)}),
        ("ConvBertForTokenClassification", {"labels": np.full((2, 6), -100)}),
        ("ConvBertForSequenceClassification", {"labels": np.array([-100, -100])}),
        ("ConvBertForQuestionAnswering", {"start_positions": np.array([6, 99]), "end_positions": np.array([7, 6])}),
    ],
)
def test_all_labels_ignored(model_class, labels):
    """The loss is 0/0 = nan, and every gradient is exactly 0."""
    got, want = both(corner(model_class, inputs=labels, cotangents="loss"))
    assert np.isnan(got.values.pop("loss"))
    assert np.isnan(want.values.pop("loss"))
    assert_close(got, want)
    for grads in (got.grads, want.grads):
        assert all(np.all(gradient == 0) for gradient in grads.values())


def test_all_choices_ignored():
    got, want = both(corner("ConvBertForMultipleChoice", (2, 3, 5), inputs={"labels": np.array([-100, -100])}, cotangents="loss"))
    assert np.isnan(got.values["loss"])
    assert np.isnan(want.values["loss"])
    assert all(np.all(gradient == 0) for gradient in (*got.grads.values(), *want.grads.values()))


@pytest.mark.parametrize("ignored", ["start", "end"])
def test_one_side_of_the_span_ignored(ignored):
    """The loss is nan, the other side's gradients are those of its own loss."""
    positions = {f"{side}_positions": np.array([6, 8]) if side == ignored else np.array([2, 0]) for side in ("start", "end")}
    got, want = both(corner("ConvBertForQuestionAnswering", inputs=positions, cotangents="loss"))
    assert np.isnan(got.values.pop("loss"))
    assert np.isnan(want.values.pop("loss"))
    assert_close(got, want)
    weight = got.grads["qa_outputs.weight"]
    row = ("start", "end").index(ignored)
    assert np.all(weight[row] == 0)
    assert np.all(weight[1 - row] != 0)


@pytest.mark.parametrize(("position", "same_as"), [(-1, 0), (-7, 0), (6, None), (99, None), (5, 5)])
def test_span_positions_are_clamped(position, same_as):
    """A negative one counts as 0, one beyond the sequence not at all."""
    positions = {"start_positions": np.array([position, 3]), "end_positions": np.array([4, position])}
    got, _ = check(corner("ConvBertForQuestionAnswering", inputs=positions, cotangents="loss"))
    if same_as is not None:
        positions = {name: np.where(x == position, same_as, x) for name, x in positions.items()}
        again, _ = check(corner("ConvBertForQuestionAnswering", inputs=positions, cotangents="loss"))
        assert got.values["loss"] == again.values["loss"]


def test_without_both_positions_there_is_no_loss():
    got, want = check(corner("ConvBertForQuestionAnswering", inputs={"start_positions": np.array([1, 2])}))
    assert "loss" not in got.names
    assert got.names == want.names


def test_a_row_that_may_attend_to_nothing_attends_to_all():
    mask = np.array([[0, 0, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0]])
    got, want = check(corner(inputs={"attention_mask": mask}))
    for side in (got, want):
        np.testing.assert_allclose(side.values["attentions.0"][0], 1 / 6, rtol=1e-15)
        assert np.all(side.values["attentions.0"][1, ..., 3:] == 0)
    square = np.ones((2, 6, 6), np.int64)
    square[1, 2] = 0
    got, _ = check(corner(inputs={"attention_mask": square}))
    np.testing.assert_allclose(got.values["attentions.1"][1, :, 2], 1 / 6, rtol=1e-15)


@pytest.mark.parametrize("value", [0.5, 1 - 2.0**-40, 0.999999, 1e-300, 2.0, 1.5])
def test_fractional_masks(value):
    """The mask is linear: 0.5 masks as well, 2 draws all attention, and only the nearest neighbours of 1 are in between."""
    mask = np.ones((2, 6))
    mask[0, 2], mask[1, 4:] = value, 0
    theirs = reference_model("ConvBertModel", (case := corner(inputs={"attention_mask": mask})).config, case.seed)
    want = run_reference(case, torch.float64, theirs)
    got = run_ours(case, our_model(theirs), want.masks)
    assert_close(got, want)
    assert np.all(got.values["attentions.0"][0, ..., 2] == (0 if value < 1 else 1))


@pytest.mark.parametrize("pad", [0, 7, -1, -23, None])
@pytest.mark.parametrize("model_class", ["ConvBertModel", "ConvBertForMaskedLM"])
def test_the_padding_row_does_not_learn(model_class, pad):
    """The padding row's gradient is 0; where the head reads it too, only the head's share."""
    rng = np.random.default_rng(1)
    labels = {"labels": rng.integers(0, 23, (2, 6))} if model_class == "ConvBertForMaskedLM" else {}
    ids = rng.integers(0, 23, (2, 6))
    ids[:, 2:4] = (pad or 0) % 23
    case = corner(model_class, inputs={"input_ids": ids, **labels}, cotangents="loss" if labels else "all", pad_token_id=pad)
    got, _ = check(case)
    if not labels:
        rows = np.any(got.grads[WORDS] != 0, axis=1)
        assert set(np.flatnonzero(rows)) == set(ids.ravel()) - ({pad % 23} if pad is not None else set())
    else:
        untied = dataclasses.replace(case, config=case.config | {"tie_word_embeddings": False})
        model = reference_model(untied.model_class, untied.config)
        tied = reference_model(case.model_class, case.config, case.seed).state_dict()
        model.load_state_dict(tied)
        apart = run_ours(untied, our_model(model), {})
        whole = got.grads[f"convbert.{WORDS}"]
        parts = apart.grads[f"convbert.{WORDS}"], apart.grads["generator_lm_head.weight"]
        np.testing.assert_allclose(whole, parts[0] + parts[1], rtol=0, atol=1e-14 * np.abs(whole).max())
        if pad is not None:
            np.testing.assert_array_equal(whole[pad], parts[1][pad])


@pytest.mark.parametrize("shape", [(2, 12), (1, 30)])
def test_longer_than_the_positions(shape):
    """A sequence may be longer than max_position_embeddings if its positions and segments are given."""
    rng = np.random.default_rng(3)
    check(corner(shape=shape, inputs={"position_ids": rng.integers(0, 10, shape), "token_type_ids": rng.integers(0, 2, shape)}))


@pytest.mark.parametrize("model_class", MODEL_CLASSES)
@pytest.mark.parametrize("width", [8, 12])
def test_no_layers(model_class, width):
    shape = (2, 2, 6) if model_class == "ConvBertForMultipleChoice" else (2, 6)
    got, want = check(corner(model_class, shape, num_hidden_layers=0, embedding_size=width))
    assert got.names == want.names


def test_chunked_feed_forward_is_the_same():
    """The reference may go through the feed-forward network in pieces, which changes nothing but its memory."""
    check(corner(chunk_size_feed_forward=2))


@pytest.mark.parametrize("shape", [(1, 6), (1, 6, 6), (2, 6), (2, 6, 6)])
@pytest.mark.parametrize("dtype", ["bool", "int32", "int64", "float32"])
def test_mask_shapes_and_types(shape, dtype):
    """One mask may serve the whole batch."""
    mask = np.random.default_rng(8).integers(0, 2, shape).astype(dtype)
    check(corner(inputs={"attention_mask": mask}))


@pytest.mark.parametrize("shape", [(2,), (2, 2), (2, 1, 2, 1, 1), (2, 2, 2, 1, 1), (2, 1, 2, 6, 6), (2, 2, 2, 6, 1)])
def test_head_mask_shapes(shape):
    """The head mask and its gradient."""
    head_mask = np.random.default_rng(9).uniform(-1, 2, shape).astype(np.float32)
    case = corner(inputs={"head_mask": head_mask})
    theirs = reference_model(case.model_class, case.config, case.seed)
    want = run_reference(case, torch.float64, theirs)
    assert_close(run_ours(case, our_model(theirs), want.masks), want)


@pytest.mark.parametrize("name", ["hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"])
@pytest.mark.parametrize("model_class", ["ConvBertForSequenceClassification", "ConvBertForTokenClassification"])
def test_dropout_of_everything(model_class, name):
    """Probability 1: nothing passes, forward or backward."""
    labels = np.array([1, 0]) if model_class == "ConvBertForSequenceClassification" else np.ones((2, 6), np.int64)
    got, _ = check(corner(model_class, inputs={"labels": labels}, cotangents="loss", training=True, **{name: 1.0}))
    assert np.isfinite(got.values["loss"])


def test_training_without_dropout_is_evaluation():
    case = corner(seed=9)
    got, _ = check(dataclasses.replace(case, training=True))
    again, _ = check(case)
    for name, value in again.values.items():
        np.testing.assert_array_equal(got.values[name], value)


@pytest.mark.parametrize("model_class", MODEL_CLASSES)
def test_our_dropout_masks_in_the_reference(model_class, monkeypatch):
    """The other way round: our generator draws the masks, and the reference is made to use them, in the order of its calls."""
    shape = (2, 2, 6) if model_class == "ConvBertForMultipleChoice" else (2, 6)
    settings = {"hidden_dropout_prob": 0.3, "attention_probs_dropout_prob": 0.2, "summary_first_dropout": 0.4}
    case = corner(model_class, shape, training=True, **settings)
    theirs = reference_model(model_class, case.config, case.seed)
    ours = our_model(theirs)
    options = {"training": True, "output_hidden_states": True, "output_attentions": True}
    out = ours(**case.inputs, rng=17, **options)
    masks = [(name, mask) for name, mask in flatten(out.cache).items() if name.endswith(("dropout.mask", "dropout2.mask"))]
    pending = iter(masks)

    def dropout(x, p=0.5, training=True, inplace=False):
        if not training or p == 0:
            return x
        name, mask = next(pending)
        assert mask.shape == x.shape, name
        return x * torch.from_numpy(mask) / (1 - p)

    monkeypatch.setattr(torch.nn.functional, "dropout", dropout)
    monkeypatch.setattr(f"{__name__}.record_masks", lambda model: ({}, []))
    want = run_reference(case, torch.float64, theirs)
    assert next(pending, None) is None
    got = run_ours(case, ours, dict(masks))
    assert_close(got, want)
    assert all(0.4 < mask.mean() < 0.95 for _, mask in masks)
    for name, value in flat_outputs(out).items():
        np.testing.assert_array_equal(got.values[name], value)


def test_saturated_softmaxes():
    """Weights far larger than usual: every softmax is nearly one-hot."""
    case = corner("ConvBertForMaskedLM", inputs={"labels": np.random.default_rng(0).integers(0, 23, (2, 6))}, cotangents="loss")
    theirs = reference_model(case.model_class, case.config, case.seed)
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if name.endswith(("query.weight", "key.weight", "conv_kernel_layer.weight", "word_embeddings.weight")):
                parameter.mul_(30)
    want = run_reference(case, torch.float64, theirs)
    got = run_ours(case, our_model(theirs), want.masks)
    assert np.quantile(got.values["attentions.0"].max(-1), 0.1) > 0.99
    assert_close(got, want, value=1e-11, gradient=1e-9)  # such a model magnifies rounding


def test_rows_without_variance():
    """Embeddings that are all equal: the layer norm divides 0 by the root of epsilon."""
    case = corner(num_hidden_layers=1)
    theirs = reference_model(case.model_class, case.config, case.seed)
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if "_embeddings" in name:
                parameter.fill_(0.25)
    want = run_reference(case, torch.float64, theirs)
    assert_close(run_ours(case, our_model(theirs), want.masks), want)


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_integers_of_either_size(dtype):
    rng = np.random.default_rng(2)
    ids, types = rng.integers(0, 23, (2, 6)).astype(dtype), rng.integers(0, 2, (1, 6)).astype(dtype)
    check(corner(inputs={"input_ids": ids, "token_type_ids": types}))


def test_inputs_embeds_are_the_word_embeddings():
    case = corner()
    got, _ = check(case)
    weight = stress_of(case)[WORDS].astype(np.float32)
    embedded = dataclasses.replace(case, inputs={"inputs_embeds": weight[case.inputs["input_ids"]]})
    again, _ = check(embedded)
    for name, value in got.values.items():
        np.testing.assert_array_equal(again.values[name], value)


def stress_of(case):
    model = reference_model(case.model_class, case.config, case.seed)
    return {name: parameter.numpy(force=True) for name, parameter in model.named_parameters()}


def test_the_gradient_of_inputs_embeds_has_their_shape():
    """Choices included: it is the gradient of the argument, (B, C, S, E)."""
    embeds = real(np.random.default_rng(4), (2, 3, 5, 8)).astype(np.float64)
    case = corner("ConvBertForMultipleChoice", (2, 3, 5), inputs={"input_ids": None, "inputs_embeds": embeds})
    ours = our_model(reference_model(case.model_class, case.config, case.seed))
    out = ours(inputs_embeds=embeds)
    grads = ours.backward(out, {"logits": np.ones((2, 3))}, intermediates=True)
    assert grads["inputs_embeds"].shape == embeds.shape


# A vocabulary that grows or shrinks.


@pytest.mark.parametrize("model_class", ["ConvBertModel", "ConvBertForMaskedLM", "ConvBertForTokenClassification"])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("number", [31, 17, 23])
def test_resize_token_embeddings(model_class, tied, number):
    """Names, shapes, old rows and the new bias are the reference's. The new rows are random on both sides."""
    rng = np.random.default_rng(6)
    labels = {"labels": rng.integers(0, 2, (2, 6))} if model_class != "ConvBertModel" else {}
    inputs = {"input_ids": rng.integers(0, 17, (2, 6)), **labels}
    case = corner(model_class, inputs=inputs, cotangents="loss" if labels else "all", tie_word_embeddings=tied, pad_token_id=3)
    theirs = reference_model(model_class, case.config, case.seed)
    ours = our_model(theirs)
    theirs.resize_token_embeddings(number)
    ours.resize_token_embeddings(number)
    assert ours.config.vocab_size == theirs.config.vocab_size == number

    state, want = ours.state_dict(), {name: x.numpy() for name, x in theirs.state_dict().items()}
    assert [(name, x.shape) for name, x in state.items()] == [(name, x.shape) for name, x in want.items()]
    words = [name for name in state if name.endswith((WORDS, "generator_lm_head.weight"))]
    kept = min(number, 23)
    for name, value in want.items():
        assert state[name].dtype == np.float64
        old = slice(0, kept) if name in words else slice(None)
        np.testing.assert_array_equal(state[name][old], value[old], err_msg=name)
    for name in words:
        assert np.all(state[name][kept:] != 0)
    if model_class == "ConvBertForMaskedLM":
        assert np.all(state["generator_lm_head.bias"][23:] == 0)

    ours.load_state_dict(want)
    body = theirs if model_class == "ConvBertModel" else theirs.convbert
    body.embeddings.word_embeddings.padding_idx = 3  # transformers 4 forgets it when it resizes, 5 and we do not
    results = run_reference(case, torch.float64, theirs)
    assert_close(run_ours(case, ours, results.masks), results)


# Names and numbers at full size.


@pytest.mark.parametrize("model_class", MODEL_CLASSES)
@pytest.mark.parametrize(
    "config",
    [
        {},
        {"hidden_size": 256, "embedding_size": 128, "num_attention_heads": 4, "intermediate_size": 1024},
        {"hidden_size": 384, "embedding_size": 128, "num_attention_heads": 8, "intermediate_size": 1536, "num_groups": 2},
    ],
    ids=["base", "small", "medium-small"],
)
def test_names_at_full_size(model_class, config):
    """Without allocating the weights: the reference on the meta device, ours by its shapes."""
    with torch.device("meta"):
        theirs = getattr(transformers, model_class)(transformers.ConvBertConfig(**config))
    shapes = getattr(convbert_np, model_class).shapes(ConvBertConfig(**config))
    assert list(shapes.items()) == [(name, tuple(x.shape)) for name, x in theirs.named_parameters()]
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == theirs.num_parameters()


# The configuration.


def plain(fields):
    """Fields as JSON holds them."""
    return json.loads(json.dumps(fields, sort_keys=True))


def test_config_fields_and_defaults():
    """Every field that we have, the reference has, with the same default."""
    theirs, ours = transformers.ConvBertConfig(), ConvBertConfig()
    fields = vars(ours)
    assert len(fields) > 25
    for name, value in fields.items():
        assert getattr(theirs, name) == value, name
        assert type(getattr(theirs, name)) is type(value), name
    assert theirs.num_labels == ours.num_labels
    assert theirs.use_return_dict == ours.use_return_dict
    assert theirs.model_type == ours.model_type


def configs():
    """A configuration of every kind of case, with fields that only the reference knows."""
    yield {}
    yield {
        "id2label": {0: "no", 1: "yes", 2: "maybe"},
        "label2id": {"no": 0, "yes": 1, "maybe": 2},
        "unheard_of": [1, {"a": None}],
    }
    yield {"num_labels": 5, "output_attentions": True, "return_dict": False, "tie_word_embeddings": False, "temperature": 0.5}
    yield {"architectures": ["ConvBertModel"], "pad_token_id": None, "bos_token_id": 7, "classifier_dropout": 0.0}
    for index in range(12):
        yield draw_case(index).config


@pytest.mark.parametrize("index", range(16))
def test_config_round_trip(index, tmp_path):
    """to_dict and from_dict, save_pretrained and from_pretrained, from each side to the other and back."""
    arguments = list(configs())[index]
    theirs = transformers.ConvBertConfig(**arguments)
    ours = ConvBertConfig.from_dict(theirs.to_dict())
    for name, value in vars(theirs).items():
        if not name.startswith("_") and name != "transformers_version":
            assert getattr(ours, name) == value, name
    back = transformers.ConvBertConfig.from_dict(ours.to_dict())
    assert plain(back.to_dict()) == plain(theirs.to_dict())
    assert back == transformers.ConvBertConfig.from_dict(theirs.to_dict())

    theirs.save_pretrained(tmp_path / "theirs")
    ours.save_pretrained(tmp_path / "ours")
    read_by_us = ConvBertConfig.from_pretrained(tmp_path / "theirs")
    read_by_them = transformers.ConvBertConfig.from_pretrained(tmp_path / "ours")
    assert plain({**read_by_them.to_dict(), "_name_or_path": ""}) == plain({**theirs.to_dict(), "_name_or_path": ""}) | {
        "transformers_version": read_by_them.transformers_version or transformers.__version__
    }
    written = json.loads((tmp_path / "ours" / "config.json").read_text(encoding="utf-8"))
    assert written.keys() >= json.loads((tmp_path / "theirs" / "config.json").read_text(encoding="utf-8")).keys()
    for name, value in vars(ConvBertConfig(**arguments)).items():
        assert getattr(read_by_us, name) == value, name
        assert getattr(read_by_them, name) == value, name
    assert ConvBertConfig.from_pretrained(tmp_path / "ours") == ours


# Directories.


@pytest.mark.parametrize("model_class", MODEL_CLASSES)
@pytest.mark.parametrize("tied", [True, False])
def test_a_directory_saved_by_the_reference(model_class, tied, tmp_path):
    """Its configuration and weights, read by us, give its numbers."""
    shape = (2, 2, 6) if model_class == "ConvBertForMultipleChoice" else (2, 6)
    case = corner(model_class, shape, tie_word_embeddings=tied, num_groups=2, hidden_act="gelu_new")
    theirs = reference_model(model_class, case.config, case.seed, torch.float32)
    theirs.save_pretrained(tmp_path, safe_serialization=True)
    state = read_safetensors(tmp_path / "model.safetensors")
    absent = {"generator_lm_head.weight"} if model_class == "ConvBertForMaskedLM" and tied else set()
    assert theirs.state_dict().keys() - state.keys() == absent

    ours = getattr(convbert_np, model_class)(ConvBertConfig.from_pretrained(tmp_path), dtype=np.float64)
    assert tuple(ours.load_state_dict(state)) == ([], [], ())
    want = run_reference(case, torch.float64, theirs.double())
    assert_close(run_ours(case, ours, want.masks), want)
    whole = getattr(convbert_np, model_class).from_pretrained(tmp_path, dtype=np.float64)
    assert whole.config == ours.config
    assert_close(run_ours(case, whole, want.masks), want)


@pytest.mark.parametrize("model_class", MODEL_CLASSES)
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("in_one", [True, False], ids=["model", "parts"])
def test_a_directory_saved_by_us(model_class, tied, in_one, tmp_path):
    """Our configuration and weights, read by the reference, give our numbers: all keys find their place."""
    shape = (2, 2, 6) if model_class == "ConvBertForMultipleChoice" else (2, 6)
    case = corner(model_class, shape, tie_word_embeddings=tied, num_groups=2)
    ours = getattr(convbert_np, model_class)(ConvBertConfig(**case.config), seed=3)
    ours.load_state_dict({name: stress(name, x.shape, np.random.default_rng(1)) for name, x in ours.named_parameters().items()})
    if in_one:
        ours.save_pretrained(tmp_path)
    else:
        ours.config.save_pretrained(tmp_path)
        write_safetensors(tmp_path / "model.safetensors", ours.named_parameters(), {"format": "pt"})
    theirs, report = getattr(transformers, model_class).from_pretrained(tmp_path, output_loading_info=True)
    assert report == {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": [], "error_msgs": []}
    want = run_reference(case, torch.float64, theirs.double())
    assert_close(run_ours(case, ours.astype(np.float64), want.masks), want)


# At the size of the base model.


@functools.cache
def full_size():
    """Two layers of the base model with a masked-LM head, 1,000 words, two sequences of 128 tokens, one of them padded."""
    rng = np.random.default_rng(7)
    ids, mask = rng.integers(5, 1000, (2, 128)), np.ones((2, 128), np.int64)
    ids[1, 100:], mask[1, 100:] = 0, 0
    segments = np.zeros_like(ids)
    segments[:, 60:] = mask[:, 60:]
    labels = np.where(rng.random(ids.shape) < 0.15, ids, -100)
    config = {
        "vocab_size": 1000, "num_hidden_layers": 2, "pad_token_id": 0, "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }  # fmt: skip
    inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": segments, "labels": labels}
    case = Case("ConvBertForMaskedLM", config, inputs, seed=7)
    return case, run_reference(case, torch.float64)


def test_full_size_float64():
    case, want = full_size()
    got = run_ours(case, our_model(reference_model(case.model_class, case.config, case.seed)), {})
    assert got.values["hidden_states.2"].shape == (2, 128, 768)
    assert got.values["attentions.1"].shape == (2, 6, 128, 128)
    assert_close(got, want)


def test_full_size_float32():
    """With tensors of this size one run suffices to compare our error with PyTorch's."""
    case, want = full_size()
    theirs = reference_model(case.model_class, case.config, case.seed, torch.float32)
    low, ours = run_reference(case, torch.float32, theirs), run_ours(case, our_model(theirs), {})
    small = size_of(want.grads)
    for kind, least in (("values", 0.0), ("grads", small)):
        mine, floors = (distances(getattr(side, kind), getattr(want, kind), least) for side in (ours, low))
        wrong = {
            name: (mine[name], floor) for name, floor in floors.items() if not mine[name] <= FLOAT32_FLOORS * max(floor, 2.0**-23)
        }
        assert not wrong
