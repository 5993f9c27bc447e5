"""Write the pages of docs/ that are made from the code: names.md and equations.md.

python tests/tools/make_docs.py
"""

from pathlib import Path

from convbert_np.files import write_text
from convbert_np.names import AXES, names
from convbert_np.verify.equations import Equation, equations

DOCS = Path(__file__).resolve().parents[2] / "docs"

NAMES_INTRO = """# The names

A name is the same everywhere: in the parameters, the gradients, the cache of a forward pass, the golden files, the trace. It is
a path of PyTorch's `state_dict` (transformers 4.37.2), extended downwards to what happens inside a module. `{i}` is a layer's
index. The names of the body are those of `ConvBertModel`; in a model with a head `convbert.` stands before them.

For a module M of the PyTorch model, **M.x is its input and M.y its output, as a forward hook on M sees them**, with the channels
always last. The one exception is `conv_kernel_layer`: its function here is the whole span-based dynamic convolution, so that a
hook on that module sees `.t` go in and `.logits` come out.

Gradients have the same names. The gradient under a value's own name (`M.y`, `probs`, ...) is the total one. The gradient under an
input's name (`M.x`, `residual`, `conv_kernel_layer.q`) is what flows into that input through M alone: where five modules read the
same x, their five `.x` gradients add up to it. So a wrong branch can be told from a right one.
The gradient of the argument `inputs_embeds`, in its own shape, is also under `inputs_embeds`.

This page is made from `convbert_np/names.py` (`python tests/tools/make_docs.py`), which `trace` shows, too.

## Axes

"""
EQUATIONS_INTRO = """# The equations

Every numbered equation of the docstrings, with the lines of code that carry its number: those that compute it, and those of its
adjoint in the backward. In a backward, `dv` is the gradient of the loss by `v`.

This page is made from the code (`python tests/tools/make_docs.py`).
"""


def names_page() -> str:
    """docs/names.md."""
    axes = "\n".join(f"| {letter} | {meaning} |" for letter, meaning in AXES.items())
    parts = [NAMES_INTRO, "| axis | meaning |\n|---|---|\n" + axes]
    rows = [row for row in names() if not row.is_parameter]
    parts.append("## Values, in the order of computation")
    parts.append(table(["name", "axes", "equation", "PyTorch"], [[code(r.name), r.axes, r.equation, r.pytorch] for r in rows]))
    parameters = [row for row in names() if row.is_parameter]
    parts.append("## Parameters")
    parts.append(
        "The TensorFlow 2 column has the variables of the TF classes of transformers 4.37.2 (below the model's own name, "
        "`tf_conv_bert_model/` for one), checked against these classes; the TensorFlow 1 column those of the original code. What "
        "must be done to a TensorFlow kernel to make it a PyTorch weight stands in parentheses."
    )
    header = ["name (PyTorch)", "axes", "TensorFlow 2", "TensorFlow 1"]
    parts.append(table(header, [[code(r.name), r.axes, variable(r.tf2), variable(r.tf1)] for r in parameters]))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def equations_page() -> str:
    """docs/equations.md."""
    parts, heading = [EQUATIONS_INTRO.strip()], ""
    rows: list[list[str]] = []
    for equation in equations():
        title = f"## {equation.function}\n\n`convbert_np/{equation.module.replace('.', '/')}.py`"
        if title != heading:
            parts += [columns(rows), title] if rows else [title]
            heading, rows = title, []
        rows.append(row_of(equation))
    return "\n\n".join([*parts, columns(rows)]) + "\n"


def columns(rows: list[list[str]]) -> str:
    """The three columns of the equations page."""
    return table(["", "equation", "forward", "backward"], rows)


def row_of(equation: Equation) -> list[str]:
    """One equation."""
    lines = [[code(line) for line in side] for side in (equation.text.splitlines(), equation.forward, equation.backward)]
    return [f"({equation.number})", *("<br>".join(side) for side in lines)]


def code(text: str) -> str:
    """Text in monospace, safe inside a table."""
    return f"`{' '.join(text.split()).replace('|', chr(92) + '|')}`"


def variable(text: str) -> str:
    """A variable in monospace, with what is to be done to it behind."""
    name, _, note = text.partition(" (")
    return (code(name) + (f" ({note}" if note else "")) if name else ""


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, ["---"] * len(header), *rows])


def is_current(name: str, page: str) -> bool:
    """Whether a page on disk is what the code gives."""
    return (DOCS / name).exists() and (DOCS / name).read_text(encoding="utf-8") == page


PAGES = {"names.md": names_page, "equations.md": equations_page}


def main() -> None:
    for name, page in PAGES.items():
        write_text(DOCS / name, page())


if __name__ == "__main__":
    main()
