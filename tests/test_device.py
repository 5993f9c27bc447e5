"""The whole package on arrays that are not NumPy's: everything is computed where the arrays are, and stays there."""

import subprocess
import sys
import types

import device
import numpy as np
import pytest
from device import COPIES
from ops_catalogue import PAIRS
from small import HEADS, SMALL, inputs_for, make, stressed

from convbert_np import ConvBertConfig, trace
from convbert_np.backend import as_like, library_of, to_device, to_host
from convbert_np.interface.pretraining import ConvBertForPreTraining
from convbert_np.ops.activations import ACTIVATIONS, activation, activation_backward
from convbert_np.ops.dropout import dropout
from convbert_np.training.optimizer import adamw, clip_gradients, global_norm, new_moments
from convbert_np.tree import flatten
from convbert_np.verify.gradients import check_gradients, check_model_gradients


def moved(tree):
    return to_device(tree, "cupy")


def compare(have, want, **tolerances):
    """The same names; arrays on the device, with the numbers of the host's."""
    have, want = (tree if any("." in name for name in tree) else flatten(tree) for tree in (have, want))
    assert list(have) == list(want)
    for name, value in want.items():
        if isinstance(value, np.ndarray | np.generic):
            assert isinstance(have[name], device.ndarray), f"{name} is not on the device"
            assert have[name].shape == value.shape and have[name].dtype == value.dtype, name
            np.testing.assert_allclose(have[name]._hidden, value, err_msg=name, **({"rtol": 1e-9, "atol": 1e-12} | tolerances))


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_every_op(cupy, pair):
    rng = np.random.default_rng(3)
    arguments = pair.draw(rng, [2, 3, 4, 5, 6, 7])
    y, cache = pair.forward(**arguments)
    dy = np.asarray(rng.standard_normal(np.shape(y)))
    y_there, cache_there = pair.forward(**moved(arguments))
    compare({"y": y_there, "cache": cache_there}, {"y": y, "cache": cache})
    compare(pair.backward(cupy.asarray(dy), cache_there), pair.backward(dy, cache))
    assert not COPIES


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_activation(cupy, name, dtype):
    rng = np.random.default_rng(3)
    x, dy = rng.standard_normal((2, 3, 500)).astype(dtype) * 3
    y, cache = activation(x, name)
    y_there, cache_there = activation(cupy.asarray(x), name)
    loose = {"rtol": 1e-5, "atol": 1e-6} if dtype == np.float32 else {}
    compare({"y": y_there}, {"y": y}, **loose)
    compare(activation_backward(cupy.asarray(dy), cache_there), activation_backward(dy, cache), **loose)
    assert not COPIES


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("keep", [True, "backward"])
def test_every_model(cupy, head, training, keep):
    model = make(head, hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.1, num_hidden_layers=2)
    given = inputs_for(head, model)
    options = {"training": training, "rng": 3, "keep_cache": keep, "output_attentions": True, "output_hidden_states": True}
    out = model(**given, **options)
    there = make(head, hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.1, num_hidden_layers=2).to("cupy")
    assert all(isinstance(p, device.ndarray) for p in there.named_parameters().values())
    out_there = there(**moved(given), **options)
    compare(out_there.cache, out.cache)
    results = ({n: v for n, v in one.items() if not isinstance(v, tuple)} for one in (out_there, out))
    compare(*results)
    cotangents = None if getattr(out, "loss", None) is not None else {"last_hidden_state": out.last_hidden_state}
    grads = model.backward(out, cotangents, intermediates=True)
    grads_there = there.backward(out_there, moved(cotangents) if cotangents else None, intermediates=True)
    compare(grads_there, grads)
    assert not COPIES
    np.testing.assert_array_equal(
        there.to("numpy").named_parameters()[
            "convbert.embeddings.LayerNorm.weight" if there.prefix else "embeddings.LayerNorm.weight"
        ],
        model.body["embeddings"]["LayerNorm"]["weight"],
    )
    assert COPIES["get"] == len(model.named_parameters())


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("keep", [True, "backward", "recompute"])
def test_pretraining(cupy, training, keep):
    def fresh():
        config = ConvBertConfig(**(SMALL | {"generator_hidden_size": 0.5, "pad_token_id": 0}))
        return stressed(ConvBertForPreTraining(config, dtype=np.float64))

    model, there = fresh(), fresh().to("cupy")
    given = inputs_for("masked_lm", model, 3, 7)
    given["labels"][:, ::2] = -100
    options = {"training": training, "rng": 3, "keep_cache": keep}
    out, out_there = model(**given, **options), there(**moved(given), **options)
    compare(dict(out_there.items()), dict(out.items()))
    assert isinstance(out_there.filled_ids, device.ndarray) and isinstance(out_there.is_fake, device.ndarray)
    compare(there.backward(out_there), model.backward(out))
    assert not COPIES


def test_the_trace_is_of_the_device(cupy):
    model = make("masked_lm").to("cupy")
    given = inputs_for("masked_lm", model)
    out = model(**moved(given))
    shown = trace(out, model.backward(out, intermediates=True))
    assert all(isinstance(value.value, device.ndarray) for value in shown)
    assert not COPIES
    assert "probs" in str(shown) and not COPIES, "what is printed are numbers, not arrays"


def test_the_optimizer(cupy):
    rng = np.random.default_rng(0)
    params, grads = ({"a.weight": rng.standard_normal((3, 4)), "a.bias": rng.standard_normal(5)} for _ in range(2))
    params_there, grads_there = moved(params), moved(grads)
    moments, moments_there = new_moments(params), new_moments(params_there)
    for step in (1, 2):
        adamw(params, grads, moments, step, 0.1)
        adamw(params_there, grads_there, moments_there, step, 0.1)
    compare(params_there, params)
    compare(moments_there.second, moments.second)
    assert global_norm(grads_there) == pytest.approx(global_norm(grads), rel=1e-12)
    clip_gradients(grads_there, 0.1)
    assert global_norm(grads_there) == pytest.approx(0.1, rel=1e-4)
    assert not COPIES


def test_gradient_checks(cupy):
    pair = next(pair for pair in PAIRS if pair.name == "span_dynamic_conv")
    arguments = pair.draw(np.random.default_rng(0), [2, 3, 4, 5, 6, 7])
    assert check_gradients(pair.forward, pair.backward, moved(arguments), pair.method).ok

    def wrong(dy, cache):
        grads = pair.backward(dy, cache)
        return grads | {"bias": grads["bias"] * 2}

    assert not check_gradients(pair.forward, wrong, moved(arguments), pair.method).ok
    model = make("masked_lm")
    given = inputs_for("masked_lm", model)
    assert check_model_gradients(model.to("cupy"), moved(given)).ok


def test_a_planted_leak_is_found(cupy):
    """The double refuses what would bring numbers to the host, or arrays of the host into an operation."""
    x, host = cupy.asarray(np.ones((2, 3))), np.ones((2, 3))
    leaks = {
        "becomes NumPy's": lambda: np.asarray(x),
        "meets NumPy's": lambda: x + host,
        "NumPy's first": lambda: host * x,
        "in place": lambda: np.add(x, x, out=host),
        "as an index": lambda: x[np.array([0, 1])],
        "as a value": lambda: x.__setitem__(0, host[0]),
        "a function": lambda: np.concatenate([x, host]),
        "generalised": lambda: np.matmul(x, x.T),
        "a method": lambda: np.add.reduceat(x, [0]),
        "not offered": lambda: np.put_along_axis(x, x, 1, 0),
        "of another library": lambda: np.kron(x, x),
        "a product": lambda: host.T @ x,
    }
    for what, leak in leaks.items():
        with pytest.raises((TypeError, ValueError)):
            leak()
            pytest.fail(f"{what}: not refused")

    def leaky_op(x):
        return cupy.asarray(np.exp(to_host(x)))

    leaky_op(x)
    assert COPIES["get"] == 1


def test_dropout_masks_of_a_host_generator_are_those_of_the_host(cupy):
    x = np.ones((4, 50))
    y, _ = dropout(x, 0.3, np.random.default_rng(1))
    there, _ = dropout(cupy.asarray(x), 0.3, np.random.default_rng(1))
    np.testing.assert_array_equal(there._hidden, y)


def test_moving(cupy):
    tree = {"a": np.arange(3), "b": {"c": 1.5, "d": None}}
    there = moved(tree)
    assert isinstance(there["a"], device.ndarray) and there["b"] == {"c": 1.5, "d": None}
    assert moved(there)["a"] is there["a"] and to_device(tree, "numpy")["a"] is tree["a"]
    assert library_of(there["a"]) is cupy and library_of(tree["a"]) is np and as_like(there["a"], there["a"]) is there["a"]
    np.testing.assert_array_equal(to_device(there, "numpy")["a"], tree["a"])


@pytest.mark.parametrize("where", ["cuda", None, 0, ["cupy"], "CuPy"])
def test_another_device_is_refused(where):
    model = make("model")
    before = model.params
    with pytest.raises(ValueError, match=r"device: must be one of numpy, cupy, got"):
        model.to(where)
    assert model.params is before


def test_without_cupy_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(ImportError, match=r'pip install "convbert-np\[cupy\]"'):
        make("model").to("cupy")


def test_with_a_broken_cupy_there_is_one_error(monkeypatch):
    broken = types.ModuleType("cupy")

    def zeros(_):
        raise OSError("libcuda.so.1: cannot open shared object file")

    broken.zeros = zeros
    monkeypatch.setitem(sys.modules, "cupy", broken)
    with pytest.raises(RuntimeError, match=r"finds no GPU that works \(OSError: libcuda"):
        make("model").to("cupy")


def test_cupy_is_not_imported_unless_asked_for():
    script = (
        "import sys, numpy as np, convbert_np as cb\n"
        "cb.ConvBertModel(cb.ConvBertConfig(vocab_size=9, hidden_size=8, num_attention_heads=2, intermediate_size=8,"
        " num_hidden_layers=1, embedding_size=8, max_position_embeddings=9))(np.ones((1, 3), int))\n"
        "assert 'cupy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
