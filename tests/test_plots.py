"""The pictures show the numbers they claim to show, and refuse what they cannot show."""

import sys

import numpy as np
import pytest
from small import inputs_for, make

import convbert_np as cb
from convbert_np.learn import plots
from convbert_np.learn.curves import plot_training
from convbert_np.tree import flatten

SELF = "convbert.encoder.layer.1.attention.self"


@pytest.fixture
def plt():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg", force=True)
    import matplotlib.pyplot

    yield matplotlib.pyplot
    matplotlib.pyplot.close("all")


@pytest.fixture(scope="module")
def out_and_trace():
    model = make("masked_lm")
    out = model(**inputs_for("masked_lm", model))
    return out, cb.trace(out, model.backward(out, intermediates=True))


TOKENS = ["[CLS]", "a", "b", "c", "[SEP]"]


def shown(figure, index=0):
    """The numbers of one of a figure's heatmaps, as they are drawn."""
    images = [image for axes in figure.axes for image in axes.images]
    return np.asarray(images[index].get_array())


def test_every_value_and_every_gradient_can_be_drawn(plt, out_and_trace):
    _, trace = out_and_trace
    figure = plt.figure()
    for value in trace:
        for gradient in (False, True):
            if "layer.0" not in value.name and np.ndim(value.value) and (value.gradient is not None or not gradient):
                figure.clf()
                plots.plot_value(value, TOKENS, gradient=gradient, ax=figure.add_subplot())


@pytest.mark.parametrize("gradient", [False, True])
def test_a_value_is_drawn_as_it_is_and_at_chooses_the_slice(plt, out_and_trace, gradient):
    _, trace = out_and_trace
    value = trace[f"{SELF}.scores"]
    array = value.gradient if gradient else value.value
    np.testing.assert_array_equal(shown(plots.plot_value(value, TOKENS, gradient=gradient)), array[0, 0])
    np.testing.assert_array_equal(shown(plots.plot_value(value, TOKENS, gradient=gradient, B=1, N=1)), array[1, 1])
    kernel = trace[f"{SELF}.conv_kernel_layer.dynamic_kernel"].value
    np.testing.assert_array_equal(
        shown(plots.plot_value(trace[f"{SELF}.conv_kernel_layer.dynamic_kernel"], N=1)), kernel[0, :, 1]
    )
    np.testing.assert_array_equal(shown(plots.plot_value(trace[f"{SELF}.conv_kernel_layer.dynamic_kernel"], S=2)), kernel[0, 2])


def test_colours_are_centred_at_zero_for_signed_values_and_start_there_for_others(plt, out_and_trace):
    _, trace = out_and_trace
    signed = plots.plot_value(trace[f"{SELF}.scores"]).axes[0].images[0]
    positive = plots.plot_value(trace[f"{SELF}.probs"]).axes[0].images[0]
    assert signed.norm.vmin == -signed.norm.vmax == -np.abs(trace[f"{SELF}.scores"].value[0, 0]).max()
    assert positive.norm.vmin == 0
    assert (signed.cmap.name, positive.cmap.name) == (plots.SIGNED, plots.POSITIVE)


def test_tokens_stand_along_the_sequence_and_offsets_along_the_taps(plt, out_and_trace):
    _, trace = out_and_trace
    axes = plots.plot_value(trace[f"{SELF}.conv_kernel_layer.dynamic_kernel"], TOKENS).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == TOKENS
    assert [label.get_text() for label in axes.get_xticklabels()] == ["-1", "0", "+1"]
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("sequence (S)", "offset of the tap (K)")


@pytest.mark.parametrize("keyword", [{"output_attentions": True}, {}, {"output_attentions": True, "keep_cache": False}])
def test_attention_and_kernels_of_every_head(plt, keyword):
    model = make("masked_lm")
    given = inputs_for("masked_lm", model)
    weights = model(**given, output_attentions=True).attentions[1]
    out = model(**given, **keyword)
    attention, kernels = plots.plot_attention(out, 1, TOKENS, batch=1), plots.plot_kernels(out, 1, TOKENS, batch=1)
    for head in range(model.config.num_heads):
        np.testing.assert_array_equal(shown(attention, head), weights[1, head])
        np.testing.assert_array_equal(shown(kernels, head), out.dynamic_kernels[1][1, :, head])


def test_the_band_is_the_convolution_as_a_matrix(plt, out_and_trace):
    out, trace = out_and_trace
    layer = flatten(out.cache)
    name = f"{SELF}.conv_kernel_layer"
    heads = layer[f"{name}.v"][0].reshape(5, 2, -1)
    conv = trace[f"{name}.conv"].value[0].reshape(5, 2, -1)
    figure = plots.plot_band(out, 1, TOKENS)
    for head in range(2):
        matrix = shown(figure, head)
        assert np.isnan(np.ma.filled(matrix, np.nan)[0, 2:]).all()
        np.testing.assert_allclose(np.nan_to_num(np.ma.filled(matrix, np.nan)) @ heads[:, head], conv[:, head], rtol=1e-12)


@pytest.mark.parametrize("position", range(5))
def test_span_lays_the_taps_over_their_tokens(plt, out_and_trace, position):
    out, _ = out_and_trace
    axes = plots.plot_span(out, 1, position, TOKENS).axes[0]
    axes.figure.canvas.draw()
    bars = {(round(bar.get_x() + bar.get_width() / 2), i): bar.get_height() for i, c in enumerate(axes.containers) for bar in c}
    for head in range(2):
        for j in range(3):
            assert bars[position + j - 1, head] == out.dynamic_kernels[1][0, position, head, j]
    labels = {int(x): label.get_text() for x, label in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)}
    assert all(text == (TOKENS[s] if 0 <= s < 5 else "0") for s, text in labels.items())


def test_gradient_flow_has_every_norm_in_the_order_of_computation(plt, out_and_trace):
    _, trace = out_and_trace
    layer = trace.only("layer.1")
    axes = plots.plot_gradient_flow(layer).axes[0]
    graded = [value for value in layer if value.gradient is not None]
    points = {int(row): norm for line in axes.lines for norm, row in zip(*line.get_data(), strict=True)}
    np.testing.assert_allclose([points[row] for row in range(len(graded))], [np.linalg.norm(v.gradient.ravel()) for v in graded])
    assert [label.get_text() for label in axes.get_yticklabels()] == [v.name.split(".", 4)[-1] for v in graded]


def test_gradient_flow_of_a_deep_model_and_of_zeros(plt):
    model = make("masked_lm", num_hidden_layers=5)
    out = model(**inputs_for("masked_lm", model))
    trace = cb.trace(out, model.backward(out, intermediates=True))
    assert len(trace) > plots.MOST_NAMES
    axes = plots.plot_gradient_flow(trace).axes[0]
    axes.figure.canvas.draw()
    assert [text.get_text() for text in axes.texts] == ["embeddings", *(f"layer {i}" for i in range(5)), "head and loss"]
    zeros = cb.trace(out, model.backward(out, {"logits": np.zeros_like(out.logits)}, intermediates=True))
    plots.plot_gradient_flow(zeros.only("layer.0")).canvas.draw()


def test_own_axes_are_used(plt, out_and_trace):
    out, trace = out_and_trace
    figure, axes = plt.subplots(2, 2)
    assert plots.plot_attention(out, 0, ax=axes[0]) is figure
    assert plots.plot_value(trace[f"{SELF}.y"], ax=axes[1, 0]) is figure
    assert plots.plot_gradient_flow(trace.only("layer.0"), ax=axes[1, 1]) is figure
    assert [len(one.images) for one in axes.ravel()] == [1, 1, 1, 0]
    figure.canvas.draw()


def test_a_long_sequence_names_only_some_tokens(plt):
    model = make("model", max_position_embeddings=100)
    out = model(input_ids=np.arange(90)[None] % 29 + 2)
    tokens = [f"t{s}" for s in range(90)]
    axes = plots.plot_kernels(out, 0, tokens).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == tokens[::3]


def test_what_cannot_be_drawn_is_refused(plt, out_and_trace):
    out, trace = out_and_trace
    scores = trace[f"{SELF}.scores"]
    with pytest.raises(ValueError, match="tokens: there are 2 for 5 positions"):
        plots.plot_value(scores, ["a", "b"])
    with pytest.raises(ValueError, match="tokens: there are 2 for 5 positions"):
        plots.plot_attention(out, 0, ["a", "b"])
    with pytest.raises(ValueError, match="K: is not an axis of this value; it has B N S S"):
        plots.plot_value(scores, K=1)
    with pytest.raises(ValueError, match=r"N: must be in \[0, 2\), got 2"):
        plots.plot_value(scores, N=2)
    with pytest.raises(ValueError, match="has no gradient in this trace"):
        plots.plot_value(cb.trace(out)[f"{SELF}.scores"], gradient=True)
    with pytest.raises(ValueError, match="there is nothing to draw"):
        plots.plot_value(trace["loss_fct.loss"])
    with pytest.raises(ValueError, match=r"layer: must be in \[0, 2\), got 2"):
        plots.plot_kernels(out, 2)
    with pytest.raises(ValueError, match=r"position: must be in \[0, 5\), got 5"):
        plots.plot_span(out, 0, 5)
    with pytest.raises(ValueError, match="no value has a gradient"):
        plots.plot_gradient_flow(cb.trace(out))
    with pytest.raises(ValueError, match="ax: must be 2 Axes, got 1"):
        plots.plot_kernels(out, 0, ax=plt.subplots()[1])
    with pytest.raises(ValueError, match="has no attention weights"):
        model = make("model")
        plots.plot_attention(model(input_ids=[[3, 4]], keep_cache=False), 0)


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch, out_and_trace):
    for module in ("matplotlib", "matplotlib.pyplot"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"pip install 'convbert-np\[plot\]'"):
        plots.plot_kernels(out_and_trace[0], 0)


def test_the_curves_of_a_training_run(plt):
    records = [{"step": i + 1, "loss": 1 / (i + 1), "lr": 0.1, "norm": 1.0} for i in range(300)]
    records[99]["evaluation"] = records[299]["evaluation"] = {"masked_loss": 2.0, "perplexity": 7.4}
    figure = plot_training(records)
    assert [axes.get_title(loc="left") for axes in figure.axes if axes.get_visible()] == [
        "loss", "learning rate", "norm of the gradients", "masked loss, held out",
    ]  # fmt: skip
    smooth = figure.axes[0].lines[1]
    assert len(smooth.get_xdata()) == 300 - 5 and smooth.get_ydata()[0] == pytest.approx(np.mean([1 / i for i in range(1, 7)]))
    with pytest.raises(ValueError, match="records: there are none"):
        plot_training([])
