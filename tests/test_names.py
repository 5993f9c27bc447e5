"""The table of names: complete, true to the shapes, true to TensorFlow; the pages made from the code are current."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from small import HEADS, inputs_for, make

import convbert_np as cb
from convbert_np.names import AXES, lookup, names
from convbert_np.tree import flatten
from convbert_np.verify.equations import equations, numbered, tagged

sys.path.append(str(Path(__file__).parent / "tools"))
GOLDEN = Path(__file__).parent / "golden"
SIZES = {
    "S": 5,
    "V": 31,
    "E": 10,
    "H": 12,
    "I": 14,
    "N": 2,
    "d": 3,
    "A": 6,
    "2A": 12,
    "K": 3,
    "P": 11,
    "T": 2,
    "1": 1,
    "NK": 6,
    "2": 2,
}


def size_of(axis: str, head: str, config) -> set[int]:
    if axis == "B":
        return {6, 2, 1} if head == "choice" else {2, 1}
    if axis == "C":
        return {config.num_labels, config.vocab_size} | ({3, 1} if head == "choice" else set())
    return {SIZES[axis]} | ({1} if axis == "S" else set())


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("head", HEADS)
def test_every_name_is_in_the_table_with_its_axes(head, training):
    more = {"summary_use_proj": True, "summary_activation": "tanh", "summary_first_dropout": 0.1, "summary_last_dropout": 0.1}
    model = make(head, num_labels=2, **more)
    out = model(**inputs_for(head, model), training=training, rng=0, head_mask=np.ones(2))
    arrays = {name: value for name, value in flatten(out.cache).items() if hasattr(value, "shape")}
    assert arrays.keys() >= {f"{model.prefix}embeddings.inputs_embeds"}
    for name, value in (arrays | model.named_parameters()).items():
        row = lookup(name)
        axes = row.axes.split(" or ")[0].split()
        if name == "classifier.x":  # (B, H) in multiple choice
            axes = axes if value.ndim == 3 else ["B", "H"]
        elif name in ("classifier.weight", "classifier.y") and head == "choice":
            axes = ["1", "H"] if name.endswith("weight") else ["B", "1"]
        elif name.startswith("loss_fct.") and head in ("sequence", "choice"):
            axes = [axis for axis in axes if axis != "S"]
        assert len(axes) == value.ndim, (name, axes, value.shape)
        for axis, length in zip(axes, value.shape, strict=True):
            assert length in size_of(axis, head, model.config), (name, axes, value.shape)


def test_names_are_unique_and_their_axes_known():
    rows = names()
    assert len({row.name for row in rows}) == len(rows) > 150
    for row in rows:
        for axis in re.findall(r"[A-Za-z]|\d(?![A-Za-z])", row.axes.replace(" or ", " ")):
            assert axis in AXES or axis == "2", row
    with pytest.raises(KeyError, match=r"'encoder.layer.0.nothing' is not a name"):
        lookup("encoder.layer.0.nothing")


def as_pytorch(shape, note):
    if "transposed" in note and len(shape) == 2:
        return shape[::-1]
    axes = re.search(r"axes (\d) (\d) (\d)", note)
    if axes and len(shape) == 3:
        return tuple(shape[int(axis)] for axis in axes.groups())
    return (*shape, 1) if note == "A" else shape


def test_tensorflow_variables_are_those_of_tensorflow():
    recorded = json.loads((GOLDEN / "tensorflow_variables.json").read_text(encoding="utf-8"))
    seen = set()
    for model, variables in recorded.items():
        head, groups = model.split(", groups ")
        config = cb.ConvBertConfig(
            vocab_size=37, hidden_size=16, embedding_size=12, num_hidden_layers=1, num_attention_heads=4, intermediate_size=20,
            max_position_embeddings=11, conv_kernel_size=3, num_groups=int(groups), summary_use_proj=True,
        )  # fmt: skip
        promised = {}
        for name, value in getattr(cb, head)(config).named_parameters().items():
            variable, _, note = lookup(name).tf2.partition(" (")
            promised[variable.replace("{i}", "0")] = (note.rstrip(")"), value.shape, name)
        assert promised.keys() == variables.keys(), model
        for variable, shape in variables.items():
            note, want, name = promised[variable]
            assert as_pytorch(tuple(shape), note) == want, (name, variable, shape)
            seen.add(lookup(name).name)
    assert seen == {row.name for row in names() if row.is_parameter and row.tf2} - {"generator_lm_head.weight"}


def test_tensorflow_1_names_follow_the_original_code():
    rows = {row.name: row.tf1 for row in names() if row.is_parameter}
    layer = "encoder.layer.{i}.attention.self."
    assert rows[layer + "key_conv_attn_layer.pointwise.weight"].startswith(
        "electra/encoder/layer_{i}/attention/self/conv_attn_key/"
    )
    assert rows[layer + "conv_kernel_layer.weight"].startswith("electra/encoder/layer_{i}/attention/self/conv_attn_kernel/kernel")
    assert rows[layer + "conv_out_layer.bias"] == "electra/encoder/layer_{i}/attention/self/conv_attn_point/bias"
    assert rows["embeddings.token_type_embeddings.weight"] == "electra/embeddings/token_type_embeddings"
    assert rows["generator_lm_head.bias"] == "generator_predictions/output_bias"
    assert rows["classifier.weight"] == ""


def test_no_equation_is_orphaned():
    found = equations()
    assert len(found) >= 55
    for equation in found:
        assert equation.text, f"{equation.module}.{equation.function}: ({equation.number}) is in the code, not in the docstring"
        assert equation.forward, f"{equation.module}.{equation.function}: ({equation.number}) is at no line of the forward"
        assert equation.backward, f"{equation.module}.{equation.function}: ({equation.number}) is at no line of the backward"


def test_every_pair_has_equations_and_a_source():
    import ast
    import importlib

    functions = {(equation.module, equation.function) for equation in equations()}
    chains = {
        "encoder",
        "token_loss",
        "sequence_loss",
        "choice_loss",
        "full_or_grouped_linear",
    }  # composed of pairs that have them
    for room in ("ops", "model", "interface"):
        package = importlib.import_module(f"convbert_np.{room}")
        for path in Path(str(package.__file__)).parent.glob("*.py"):
            nodes = {n.name: n for n in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(n, ast.FunctionDef)}
            for name in nodes:
                if f"{name}_backward" in nodes and name not in chains:
                    assert (f"{room}.{path.stem}", name) in functions, name
                    docstring = ast.get_docstring(nodes[name]) or ""
                    assert "Source" in docstring and "Shapes" in docstring, name


def test_orphans_would_be_found():
    import ast

    docstring = '    """F.\n\n        y = 2 x        (1)\n        z = y + 1      (2)\n\n    Shapes : any.\n    """\n'
    source = "def f(x):\n" + docstring + "    y = 2 * x  # (1)\n    return y\n"
    (node,) = ast.parse(source).body
    assert isinstance(node, ast.FunctionDef)
    assert numbered(ast.get_docstring(node) or "") == {1: "y = 2 x", 2: "z = y + 1"}
    assert tagged(source, node) == {1: ["y = 2 * x"]}


@pytest.mark.parametrize("name", ["names.md", "equations.md"])
def test_pages_made_from_the_code_are_current(name):
    import make_docs

    assert make_docs.is_current(name, make_docs.PAGES[name]()), "run: python tests/tools/make_docs.py"


def test_every_test_that_the_deviations_name_exists():
    page = (Path(__file__).parents[1] / "docs" / "deviations.md").read_text(encoding="utf-8")
    code = "\n".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    promised = set(re.findall(r"`(test_\w+)`", page))
    assert len(promised) > 20
    assert [name for name in sorted(promised) if f"def {name}(" not in code] == []
    for name in re.findall(r"`(tests/test_\w+\.py)`", page):
        assert (Path(__file__).parents[1] / name).exists(), name
