"""The equations of the ops and blocks, each paired with the line that computes it and the line of its adjoint.

A docstring numbers its equations, "y = x W^T + b    (1)"; the line of code that computes one ends in the comment "# (1)", in the
forward and in the backward. `equations()` collects them; the test-suite asks that none is orphaned.
"""

import ast
import importlib.resources
import re
from collections.abc import Iterator
from typing import NamedTuple

TAG = re.compile(r"\((\d)\)")


class Equation(NamedTuple):
    """One equation: where it stands, its number and text, and the lines of forward and backward that carry its number."""

    module: str
    function: str
    number: int
    text: str
    forward: list[str]
    backward: list[str]


def equations() -> list[Equation]:
    """All numbered equations of ops/, model/ and interface/, in the order of the files."""
    return [
        equation
        for room in ("ops", "model", "interface")
        for name, source in sources(room)
        for equation in of_module(name, source)
    ]


def sources(room: str) -> Iterator[tuple[str, str]]:
    """Name and text of the modules of a room."""
    for file in sorted((importlib.resources.files("convbert_np") / room).iterdir(), key=lambda file: file.name):
        if file.name.endswith(".py"):
            yield f"{room}.{file.name.removesuffix('.py')}", file.read_text(encoding="utf-8")


def of_module(module: str, source: str) -> Iterator[Equation]:
    """The equations of one module. The lines of a function within a function are the outer one's."""
    found = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    inner = {node for outer in found for node in ast.walk(outer) if node is not outer and isinstance(node, ast.FunctionDef)}
    functions = {node.name: node for node in found if node not in inner}
    for name, node in functions.items():
        texts = numbered(ast.get_docstring(node) or "")
        backward = tagged(source, functions[f"{name}_backward"]) if f"{name}_backward" in functions else {}
        forward = {} if name.endswith("_backward") else tagged(source, node)
        for number in sorted(texts.keys() | (forward.keys() if not name.endswith("_backward") else set())):
            yield Equation(module, name, number, texts.get(number, ""), forward.get(number, []), backward.get(number, []))


def numbered(docstring: str) -> dict[int, str]:
    """The equations of a docstring by number: the indented lines that end in one, with the unnumbered ones above them."""
    found: dict[int, str] = {}
    pending: list[str] = []
    for line in docstring.splitlines():
        match = re.fullmatch(r"( {4,}\S.*?)\s+\((\d)\)", line)
        if match:
            found[int(match[2])] = "\n".join([*pending, match[1].strip()])
            pending = []
        else:
            pending = [*pending, line.strip()] if re.match(r" {4,}\S.*=", line) else []
    return found


def tagged(source: str, node: ast.FunctionDef) -> dict[int, list[str]]:
    """The lines of a function by the numbers in their trailing comment; a statement of several lines carries it on its last."""
    found: dict[int, list[str]] = {}
    lines = source.splitlines()
    statements = [s for s in ast.walk(node) if isinstance(s, ast.stmt) and not isinstance(s, ast.FunctionDef | ast.For | ast.If)]
    for index in range(node.lineno, node.end_lineno or node.lineno):
        code, _, comment = lines[index].partition("# (")
        for number in TAG.findall("(" + comment) if comment else []:
            starts = [s.lineno - 1 for s in statements if s.lineno - 1 <= index < (s.end_lineno or s.lineno)]
            first = max(starts, default=index)
            text = " ".join(line.partition("# (")[0].strip() for line in lines[first:index]) + " " + code.strip()
            found.setdefault(int(number), []).append(text.strip())
    return found
