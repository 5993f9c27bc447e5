"""Bad input: it is refused early, in words that name the argument; what was given is never changed or half-written."""

import copy
import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from small import HEADS, SMALL, UNTRAINED, inputs_for, make

import convbert_np as cb

IDS = np.arange(2, 12).reshape(2, 5)
ZEROS = np.zeros((2, 5), int)


def config(**fields):
    return cb.ConvBertConfig(**(SMALL | fields))


def cli(*arguments, **more):
    return subprocess.run(
        [sys.executable, "-m", "convbert_np.cli", *arguments],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=120,
        **more,
    )


# What holds.


@pytest.mark.parametrize("value", [12.0, "12", True, None, [12], float("nan"), 0, -1])
@pytest.mark.parametrize(
    "name", ["vocab_size", "hidden_size", "head_ratio", "conv_kernel_size", "num_groups", "max_position_embeddings"]
)
def test_a_size_that_is_none_is_named(name, value):
    with pytest.raises((TypeError, ValueError), match=f"^{name}: must be"):
        config(**{name: value})


@pytest.mark.parametrize("value", ["0.1", True, float("nan"), float("inf"), -0.1, [0.1]])
@pytest.mark.parametrize("name", ["hidden_dropout_prob", "classifier_dropout", "initializer_range", "layer_norm_eps"])
def test_a_number_that_is_none_is_named(name, value):
    with pytest.raises((TypeError, ValueError), match=f"^{name}: must be"):
        config(**{name: value})


@pytest.mark.parametrize(
    "text", ["", "[1]", "3", '{"a":', "\0", '{"hidden_dropout_prob": NaN}', '{"vocab_size": ' + "9" * 5000 + "}"]
)
def test_a_config_file_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError):
        cb.ConvBertConfig.from_pretrained(tmp_path)


def test_configurations_survive_every_way_of_copying():
    one = config(foo=[1, {"a": 2}], id2label={0: "x", 1: "y"}, pad_token_id=None, return_dict=False)
    for twin in (copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one)), cb.ConvBertConfig.from_dict(one.to_dict())):
        assert twin == one and twin.id2label == {0: "x", 1: "y"}
    assert cb.ConvBertConfig.from_dict(json.loads(one.to_json_string())) == one
    assert one != one.to_dict() and one != 1


@pytest.mark.parametrize(
    "kind", ["fortran", "read-only", "strided", "uint8", "uint64", "big-endian", "list", "rows", "memoryview"]
)
def test_ids_of_every_layout_give_the_same(kind):
    frozen = IDS.copy()
    frozen.flags.writeable = False
    ids = {
        "fortran": np.asfortranarray(IDS),
        "read-only": frozen,
        "strided": np.repeat(IDS, 2, 1)[:, ::2],
        "uint8": IDS.astype(np.uint8),
        "uint64": IDS.astype(np.uint64),
        "big-endian": IDS.astype(">i4"),
        "list": IDS.tolist(),
        "rows": list(IDS),
        "memoryview": memoryview(IDS),
    }[kind]
    model = make("model")
    np.testing.assert_array_equal(model(ids).last_hidden_state, model(IDS).last_hidden_state)


@pytest.mark.parametrize(
    "ids",
    [
        3,
        3.0,
        "abc",
        b"abc",
        [[2**70]],
        np.full((1, 3), 2**64 - 1, np.uint64),
        IDS > 3,
        IDS + 0j,
        IDS.astype("m8[s]"),
        {1, 2},
        object(),
    ],
)
def test_ids_that_are_none_are_named(ids):
    with pytest.raises((TypeError, ValueError), match=r"^input_ids: must"):
        make("model")(ids)


@pytest.mark.parametrize("head", HEADS)
def test_nothing_that_is_given_is_changed(head):
    model = make(head)
    given = inputs_for(head, model) | {"head_mask": np.ones((2, 2))}
    before = copy.deepcopy((given, model.params))
    out = model(**given, training=True, rng=3)
    cotangents = {"last_hidden_state": np.ones((2, 5, 12))} if head == "model" else None
    cache = copy.deepcopy(out.cache)
    grads = model.backward(out, cotangents)
    for old, new in zip(map(cb.flatten, (*before, cache)), map(cb.flatten, (given, model.params, out.cache)), strict=True):
        for name in old:
            np.testing.assert_array_equal(old[name], new[name], err_msg=name)
    names = list(grads)
    assert not [(a, b) for i, a in enumerate(names) for b in names[i + 1 :] if np.shares_memory(grads[a], grads[b])]


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda thing: pickle.loads(pickle.dumps(thing))])
def test_models_and_outputs_survive_every_way_of_copying(again):
    model = make("masked_lm")
    out = model(**inputs_for("masked_lm", model))
    twin = again(out)
    for name, gradient in again(model).backward(twin).items():
        np.testing.assert_allclose(
            gradient, model.backward(out)[name], rtol=1e-9, atol=1e-12
        )  # arrays may lie otherwise in memory
    state = again(model).state_dict()
    assert state["generator_lm_head.weight"] is state["convbert.embeddings.word_embeddings.weight"]


@pytest.mark.parametrize("size", [0, -1, 1.5, "40", None, True, 1])
def test_a_resize_that_fails_changes_nothing(size):
    model = make("masked_lm")
    params = model.params
    with pytest.raises((TypeError, ValueError)):
        model.resize_token_embeddings(size)
    assert model.config.vocab_size == 31 and model.params is params


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["trace", ""], "text: holds no token to predict"),
        (["trace", "[PAD]"], "text: holds no token to predict"),
        (["trace", "hello " * 200], "the model takes at most 128"),
        (["trace", os.fsdecode(b"\xff")], "text has a lone surrogate"),
        (["trace", "a", "--answer", "b"], "answers: there are 1 for 0"),
        (["trace", "[MASK]", "--answer", "two words"], "answers: 'two words' is not one token"),
        (["trace", "a", "--save", "x.txt"], "--save: must end in .npz"),
        (["trace", "a", "--save", "/nowhere/x.npz"], "/nowhere/"),
        (["trace", "a", "--model", "/nowhere"], "/nowhere"),
    ],
)
def test_a_misused_command_says_so_in_one_line(arguments, message):
    done = cli(*arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and message in done.stderr


# What was once found to fail.


def refuses(function, match=""):
    with pytest.raises((TypeError, ValueError), match=match):
        function()


def test_masked_labels_are_refused():
    refuses(lambda: make("sequence")(IDS, labels=np.ma.array([0, 1], mask=[0, 1])), "labels")


@pytest.mark.parametrize("name", ["input_ids", "attention_mask"])
def test_masked_arguments_are_refused(name):
    given = {"input_ids": IDS} | {name: np.ma.array(np.ones((2, 5), int), mask=IDS > 8)}
    refuses(lambda: make("model")(**given), name)


@pytest.mark.parametrize("other", [{"num_hidden_layers": 3}, {"hidden_size": 16}, {"vocab_size": 99}])
def test_backward_refuses_the_output_of_a_model_of_other_sizes(other):
    out = make("token")(IDS, labels=ZEROS)
    refuses(lambda: make("token", **other).backward(out), "out")


@pytest.mark.parametrize("head", ["sequence", "masked_lm", "answer", "model"])
def test_backward_refuses_the_output_of_another_kind_of_model(head):
    out = make("token")(IDS, labels=ZEROS)
    cotangents = {"last_hidden_state": np.ones((2, 5, 12))} if head == "model" else None
    refuses(lambda: make(head).backward(out, cotangents), "out")


@pytest.mark.parametrize("which", ["ids", "labels"])
def test_a_batch_that_is_filled_anew_does_not_change_the_gradient(which):
    model, batch = make("token"), {"ids": IDS.copy(), "labels": ZEROS.copy()}
    out = model(batch["ids"], labels=batch["labels"])
    want = model.backward(out)
    batch[which][...] = 1
    for name, gradient in model.backward(out).items():
        np.testing.assert_array_equal(gradient, want[name])


def test_two_copies_of_a_tied_weight_must_agree():
    state = dict(make("masked_lm").state_dict())
    state["generator_lm_head.weight"] = state["generator_lm_head.weight"] + 1
    refuses(lambda: make("masked_lm").load_state_dict(state), "generator_lm_head.weight")


@pytest.mark.parametrize("value", [np.ones(2) + 1j, np.array([1, None], object), np.zeros(2, "M8[s]"), np.full(2, "1")])
def test_parameters_that_are_no_real_numbers_are_refused(value):
    model = make("token")
    refuses(lambda: model.load_state_dict(model.state_dict() | {"classifier.bias": value}), "classifier.bias")


@pytest.mark.parametrize("typo", ["hidden_droput_prob", "config", "torch_dtype", "ignore_mismatched_sizes"])
def test_from_pretrained_refuses_what_it_does_not_know(typo):
    refuses(lambda: cb.ConvBertForMaskedLM.from_pretrained(UNTRAINED, **{typo: 0.5}), typo)


@pytest.mark.parametrize(
    "labels", [{}, {0: "a", 2: "b"}, {-1: "a", 0: "b"}, {0: "a", "0": "b"}, {0.5: "a", 1.5: "b"}, {0: 1}, {"x": "a"}]
)
def test_labels_must_be_numbered_from_0(labels):
    refuses(lambda: config(id2label=labels), "id2label")


@pytest.mark.parametrize("name", ["return_dict", "output_attentions", "output_hidden_states", "tie_word_embeddings"])
def test_a_flag_is_true_or_false(name):
    refuses(lambda: config(**{name: "False"}), name)


@pytest.mark.parametrize("name", ["training", "keep_cache", "return_dict", "output_attentions"])
def test_an_option_is_true_or_false(name):
    refuses(lambda: make("model")(IDS, **{name: "no"}), name)


@pytest.mark.parametrize("kind", [np.int64, np.int32])
def test_numpy_integers_are_integers(kind):
    assert config(num_labels=kind(3)).to_dict() == config(num_labels=3).to_dict()


def test_numpy_floats_are_floats():
    json.loads(config(hidden_dropout_prob=np.float32(0.5)).to_json_string())


def test_a_configuration_that_json_cannot_hold_is_refused():
    refuses(lambda: config(foo=object()), "foo")


def test_a_model_is_saved_whole_or_not_at_all(tmp_path):
    model = make("masked_lm", np.float32)
    model.save_pretrained(tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    model.config.foo = object()
    model.params["generator_lm_head"]["bias"] += 1
    with pytest.raises((TypeError, ValueError)):
        model.save_pretrained(tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


@pytest.mark.parametrize("mask", [np.full((2, 5), 3), np.full((2, 5), 255, np.uint8)])
def test_a_mask_above_2_is_refused(mask):
    refuses(lambda: make("model")(IDS, mask), "attention_mask")


def test_a_tuple_may_hold_arrays_of_one_axis():
    model = make("sequence")
    labels = np.array([0, 1])
    assert model((IDS, None, None, None, None, None, labels)).loss == model(IDS, labels=labels).loss


def test_arrays_and_lists_in_a_tuple_are_not_read_as_ids():
    refuses(lambda: make("choice")((IDS, np.ones((2, 5), int).tolist())), "input_ids: must have 3 axes")


@pytest.mark.parametrize("rng", [np.random.RandomState(0), -1])
def test_a_source_of_randomness_that_is_none_is_named(rng):
    refuses(lambda: make("model")(IDS, training=True, rng=rng), "rng")


def test_a_dropout_mask_is_true_or_false():
    model = make("token")
    out = model(IDS, labels=ZEROS, training=True, rng=1)
    out.cache["convbert"]["embeddings"]["dropout"]["mask"] = out.cache["convbert"]["embeddings"]["dropout"]["mask"] * 5.0
    refuses(lambda: model(IDS, training=True, rng=out.cache), "rng|mask")


@pytest.mark.parametrize("cotangents", [[], "logits", {1: 2}])
def test_cotangents_that_are_none_are_named(cotangents):
    model = make("token")
    refuses(lambda: model.backward(model(IDS, labels=ZEROS), cotangents), "cotangents")


@pytest.mark.parametrize("cotangent", [np.ones((2, 5, 2)) + 1j, np.ones((2, 5, 2), object), np.full((2, 5, 2), "1")])
def test_a_cotangent_is_real(cotangent):
    model = make("token")
    refuses(lambda: model.backward(model(IDS), {"logits": cotangent}), "cotangents")


def test_an_unknown_reduction_is_refused_without_labels_too():
    refuses(lambda: make("token")(IDS, reduction="avg"), "reduction")


@pytest.mark.parametrize("entries", [0, -100])
def test_a_gradient_check_checks_something(entries):
    refuses(
        lambda: cb.check_gradients(lambda x: (2 * x, {}), lambda dy, cache: {"x": 9 * dy}, {"x": np.ones(3)}, entries=entries),
        "entries",
    )


@pytest.mark.parametrize(
    "cotangent", [{"hidden_states.1": np.ones((2, 5, 12))}, {"hidden_states": [None, None, np.ones((2, 5, 12))]}]
)
def test_models_are_checked_for_every_cotangent_that_backward_takes(cotangent):
    model = make("token")
    assert cb.check_model_gradients(model, {"input_ids": IDS, "output_hidden_states": True}, cotangent).ok


def test_a_model_that_returns_tuples_can_be_checked():
    model = make("token", return_dict=False)
    assert cb.check_model_gradients(model, inputs_for("token", model)).ok


@pytest.mark.parametrize("flat", [{"a": 1, "a.b": 2}, {"a.b": 2, "a": 1}])
def test_names_that_clash_are_refused(flat):
    refuses(lambda: cb.unflatten(flat), r"a\.b")


def tiny_with(tmp_path, **fields):
    """A copy of a small model with other fields in its config.json."""
    for file in os.listdir(UNTRAINED):
        (tmp_path / file).write_bytes((UNTRAINED / file).read_bytes())
    (tmp_path / "config.json").write_text(json.dumps(json.loads((tmp_path / "config.json").read_text()) | fields))
    return tmp_path


def test_trace_runs_a_model_that_returns_tuples(tmp_path):
    assert cli("trace", "a [MASK]", "--model", str(tiny_with(tmp_path, return_dict=False))).returncode == 0


def test_an_empty_model_directory_is_no_directory():
    assert cli("trace", "a", "--model", "").returncode == 2


def test_json_is_written_whole_or_not_at_all(tmp_path):
    model = cb.ConvBertForMaskedLM.from_pretrained(tiny_with(tmp_path))
    model.params["generator_lm_head"]["bias"][0] = np.nan
    model.save_pretrained(tmp_path)
    done = cli("trace", "a [MASK]", "--json", "--model", str(tmp_path))
    assert done.stdout == "" or json.loads(done.stdout)


@pytest.mark.parametrize("options", [{"env": os.environ | {"PYTHONWARNINGS": "error"}}, {}])
def test_no_warning_and_no_config_gives_a_traceback(tmp_path, options):
    directory = tiny_with(tmp_path, tie_word_embeddings=False)
    if not options:
        (directory / "config.json").write_text('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}")
    done = cli("trace", "a [MASK]", "--model", str(directory), **options)
    assert "Traceback" not in done.stderr and done.returncode in (0, 2)
