"""Plant bugs, one at a time, in the mathematics, and count how many of them the tests notice.

    python tests/tools/mutants.py --list                    every mutant: its id and what it changes
    python tests/tools/mutants.py [--jobs 2] [--json FILE]  all of them
    python tests/tools/mutants.py --sample 20 --seed 7      a few, as evenly over the files as 20 allows; the seed decides which
    python tests/tools/mutants.py --only ID [ID ...]        these
    python tests/tools/mutants.py --match 'ops/losses.py*'  those whose ids fit the pattern

A mutant is one small edit in ops/, model/ or interface/, found in the syntax tree: another operator, a term dropped, an axis or
a bound off by one, a gradient forgotten (KINDS lists them). It is killed if the tests fail, or do not end. First, quickly, come
the comparisons with the golden bundles in float64, which tests/test_golden.py makes as well; a mutant that passes is put before
the tests, those first that name its module. The tests run against a copy of the package; the working tree is not touched.

An id is file:function:kind:digest, where the digest is that of the statement before and after. It survives edits elsewhere; if
the statement itself is edited, an entry of EQUIVALENT goes stale, is reported, and must be thought through again.

Exit status: 0 if none survived, 1 if some did, 2 if the unmutated package fails or an entry of EQUIVALENT is stale.
"""

import argparse
import ast
import contextlib
import fnmatch
import hashlib
import json
import os
import queue
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "convbert_np"
ROOMS = ("ops", "model", "interface")
EXCLUDED = {"interface/output.py": "only names and prints results"}

KINDS = {
    "operator": "+ for -, * for /, += for -= and so on",
    "drop-term": "a term of a sum, a factor of a product, one of two dicts or conditions is forgotten",
    "sign": "-x becomes x",
    "constant": "a number or a truth value is another",
    "axis": "an axis is another",
    "index": "a slice bound or an index is off by one, a bound is dropped, a new axis is elsewhere",
    "comparison": "< for <=, == for != and so on",
    "condition": "a condition is inverted, or always true, or always false",
    "keyword": "a keyword argument is forgotten",
    "optional": "an optional argument is not handed on: the default takes its place",
    "swap": "two neighbouring arguments, or values of an assignment, change places",
    "entry": "an entry of a dict is forgotten",
    "name": "another key or setting that the function uses as well",
    "delete": "an update, a call or a rebinding is forgotten",
    "sibling": "another function of NumPy",
    "call": "a conversion or transposition is forgotten",
    "loop": "the first or the last round of a loop is left out, or the order is another",
    "einsum": "two indices change places",
}

# Mutants that no test can kill, because they change no value, no gradient and no error: the proof, and those that it is for.
PROOFS = {
    "A product from the left and one from the right are the same up to rounding: which rows take which is a matter of speed.": (
        "ops/linear.py:module:constant:e553cd",
        "ops/linear.py:module:constant:b74566",
        "ops/linear.py:product:condition:4525e8",
        "ops/linear.py:product:condition:4dc79c",
        "ops/linear.py:product:condition:a2f30b",
        "ops/linear.py:product:comparison:02aee0",
        "ops/linear.py:product:comparison:8d2c91",
    ),
    "How many rows are worked on at a time is a matter of speed.": (
        "ops/sums.py:module:constant:2414e4",
        "ops/sums.py:module:constant:f2e80d",
        "ops/sums.py:module:constant:4a0be1",
        "ops/sums.py:module:constant:ea948a",
        "ops/sums.py:sum_of_exp:constant:4076e0",
        "ops/sums.py:sum_of_exp:operator:4aa5c4",
        "ops/sums.py:sum_of_exp:operator:2f9367",
        "ops/sums.py:sum_of_exp:drop-term:4003d9",
        "ops/sums.py:sum_of_exp:drop-term:ff0c76",
        "ops/sums.py:sum_of_exp:drop-term:b40a62",
        "ops/sums.py:sum_of_exp:index:451cea",
        "ops/sums.py:sum_of_exp:constant:907dba",
        "ops/sums.py:sum_of_exp:call:0dfbc7",
        "ops/linear.py:linear_backward_of_some_rows:keyword:b49ddb",
    ),
    "The same sum without its short cut, rounded in another way: within what one accepts of float32, but less accurate.": (
        "ops/sums.py:row_sums:condition:a182f9",
        "ops/sums.py:row_sums:comparison:b62b11",
        "ops/sums.py:row_sums:comparison:6fdb18",
        "ops/sums.py:sum_of_exp:condition:aa4107",
    ),
    "The sum of two arrays does not depend on which comes first; an array made anew is one like the first.": (
        "ops/sums.py:total:swap:2c5fe5",
        "ops/sums.py:total:keyword:478061",
    ),
    "The function is not analytic, so x is real, and the real part of a real x is x.": (
        "ops/activations.py:gelu_10_derivative:call:6a923f",
        "ops/activations.py:relu_derivative:call:40add7",
        "ops/activations.py:relu6_derivative:call:03c17e",
        "ops/activations.py:relu6_derivative:call:e1e0eb",
        "ops/activations.py:leaky_relu_derivative:call:197270",
        "ops/activations.py:selu_derivative:call:f89aa9",
    ),
    "Phi(x) rounds to 1 for x near 10, so x Phi(x) <= 10 where x <= 10.": (
        "ops/activations.py:gelu_10_derivative:drop-term:958515",
    ),
    "Where x > 0 the exponential, at most e, is multiplied by 0; elsewhere min(x, 1) = x.": (
        "ops/activations.py:selu_derivative:constant:257267",
    ),
    "The sum over an axis of one entry is that entry.": ("ops/broadcasting.py:sum_to_shape:drop-term:3bb3f0",),
    "linear_backward asks whether there is a bias, never for its value.": (
        "ops/dynamic_conv.py:span_dynamic_conv_backward:name:aea5e4",
    ),
    "The ids are at least 0: they differ from -2 as from -1.": ("ops/embedding.py:scatter_add:constant:3de8cb",),
    "0 is reduceat's default axis.": ("ops/embedding.py:scatter_add:keyword:3158c0",),
    "A product of a stack of matrices with one matrix is that of all their rows with it.": ("ops/linear.py:linear:call:0dfbc7",),
    "The order of the names is seen in an error message only.": (
        "ops/losses.py:module:swap:45a406",
        "ops/losses.py:module:swap:d3423b",
        "model/heads.py:module:swap:6daec9",
        "model/heads.py:module:swap:1ab676",
        "model/heads.py:module:swap:fac9dd",
    ),
    "-1 is take_along_axis's default axis, from NumPy 2.3 on; before, there was none, and the mutant raised.": (
        "ops/losses.py:cross_entropy:keyword:8e4fce",
    ),
    "The last class exists like the first, and stands for an ignored label alike: its value is not used.": (
        "ops/losses.py:cross_entropy:constant:05c276",
    ),
    "The axis has one entry: the first is the last.": (
        "ops/losses.py:cross_entropy:index:bb36a1",
        "ops/separable_conv.py:pointwise_conv:index:4140ad",
        "ops/separable_conv.py:pointwise_conv_backward:index:1764d6",
        "ops/separable_conv.py:separable_conv:index:182048",
    ),
    "exp(-0) = exp(0).": ("ops/losses.py:binary_cross_entropy_with_logits:comparison:29bd7c",),
    "exp(-a^2/2) is zero at 40 already, and P/Q is finite beyond.": (
        "ops/special.py:module:constant:994b2b",
        "ops/special.py:_twice_tail:operator:669095",
        "ops/special.py:_twice_tail:drop-term:deb2e9",
        "ops/special.py:_twice_tail:constant:9d7231",
    ),
    "For real x the two differ in the sign of a zero, which no caller lets through: erf sets it, the others add.": (
        "ops/special.py:magnitude:condition:d28aa5",
    ),
    "Where z >= 1 the polynomial is computed for nothing, and at 2 it is finite.": ("ops/special.py:_erf:constant:2b554b",),
    "For real z they are one; a complex z is compared by its real part first, and at exactly 1 both forms hold.": (
        "ops/special.py:_erf:call:fb321b",
    ),
    "The rest is then below 1/16, not 1/32, and the square still exact: only the rounding changes, within what is promised.": (
        "ops/special.py:_exp_minus_square:sibling:90ceef",
    ),
    "The imaginary part is tiny and rounds to 0.": ("ops/special.py:_exp_minus_square:call:d512f2",),
    "What is zipped has the same length by construction.": (
        "model/heads.py:check_summary:constant:19c30a",
        "interface/inputs.py:by_name:constant:21c9f9",
    ),
    "The first of these is no parameter and no output: it is not kept anyway.": ("model/keeping.py:recomputed:loop:888092",),
    "The order of these is of no consequence.": (
        "model/keeping.py:module:swap:8a50ae",
        "interface/options.py:module:swap:6b4c39",
        "interface/options.py:module:swap:80b144",
        "interface/options.py:Options.resolve:swap:3b6def",
        "interface/options.py:Options.resolve:swap:6507a2",
        "interface/models.py:ConvBertForMaskedLM.tied_name:swap:47e145",
    ),
    "Whether two arrays are equal does not depend on which is named first.": (
        "interface/base.py:ConvBertPreTrainedModel.check_own:swap:5464c6",
    ),
    "The last parameter has no second name.": ("interface/base.py:ConvBertPreTrainedModel.load_state_dict:loop:0f4e78",),
    "A name without a second one finds nothing under None, and itself under its own name, which is the same.": (
        "interface/base.py:ConvBertPreTrainedModel.load_state_dict:drop-term:360046",
        "interface/base.py:ConvBertPreTrainedModel.load_state_dict:drop-term:385679",
    ),
    "IGNORED is -100.": (
        "interface/objectives.py:token_loss:optional:80beb7",
        "interface/objectives.py:sequence_loss:optional:80beb7",
    ),
    "There is one label here: the first logit is the last.": ("interface/objectives.py:sequence_loss:index:711460",),
    "A shape with an axis more is another shape.": ("interface/objectives.py:class_labels:drop-term:14168d",),
    "The name of an output has no dot: one with an index is not among them.": (
        "interface/cotangents.py:split_cotangents:drop-term:c659a6",
    ),
}
EQUIVALENT = {name: proof for proof, names in PROOFS.items() for name in names}

OPERATORS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.MatMult: ast.Mult, ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.BitAnd: ast.BitOr,
}  # fmt: skip
COMPARISONS = {
    ast.Lt: (ast.LtE, ast.Gt), ast.LtE: (ast.Lt, ast.GtE), ast.Gt: (ast.GtE, ast.Lt), ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,), ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}  # fmt: skip
SIBLINGS = {
    "mean": ("sum",), "sum": ("mean", "max"), "maximum": ("minimum",), "minimum": ("maximum",), "max": ("min",), "min": ("max",),
    "zeros_like": ("ones_like",), "ones_like": ("zeros_like",), "zeros": ("ones",), "ones": ("zeros",), "log1p": ("log",),
    "expm1": ("exp",), "exp": ("exp2", "expm1"), "log": ("log2", "log1p"), "sqrt": ("square", "cbrt"), "tanh": ("arctan",),
    "square": ("abs",), "abs": ("negative",), "rint": ("floor",), "cumsum": ("cumprod",), "copysign": ("minimum",),
    "empty_like": ("zeros_like",), "concatenate": ("stack",), "stack": ("concatenate",), "all": ("any",), "any": ("all",),
}  # fmt: skip
FIRST_ARGUMENT_OF = {"abs", "clip", "rint", "square", "copysign", "maximum", "minimum", "exp", "sqrt", "tanh", "log", "magnitude"}
CONVERSIONS = {"T", "real"}  # attributes of an array; the methods are those of CONVERTING
CONVERTING = {"astype", "reshape"}
SYMMETRIC = {"maximum", "minimum", "isinstance", "hasattr", "getattr", "range", "min", "max"}


@dataclass(frozen=True)
class Mutant:
    """One edit: the bytes start to end of a file of the package give way to `text`."""

    id: str
    file: str
    kind: str
    line: int
    change: str
    start: int
    end: int
    text: str

    def apply(self, source: bytes) -> bytes:
        return source[: self.start] + self.text.encode() + source[self.end :]


# Finding mutants.


class Source:
    """A file, its syntax tree, and where each node of it stands."""

    def __init__(self, path: Path):
        self.bytes = path.read_bytes()
        self.tree = ast.parse(self.bytes)
        self.lines = [0]
        for line in self.bytes.splitlines(keepends=True):
            self.lines.append(self.lines[-1] + len(line))
        self.parents = {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}

    def span(self, node) -> tuple[int, int]:
        return self.lines[node.lineno - 1] + node.col_offset, self.lines[node.end_lineno - 1] + node.end_col_offset

    def text(self, node) -> str:
        start, end = self.span(node)
        return self.bytes[start:end].decode()

    def without(self, first, last) -> tuple[int, int]:
        """Where the element of a list from node `first` to node `last` stands, with one comma."""
        start, end = self.span(first)[0], self.span(last)[1]
        if comma := re.match(rb"\s*,[ ]*", self.bytes[end:]):
            return start, end + comma.end()
        return start - len(re.search(rb"(,\s*)?$", self.bytes[:start]).group()), end

    def statement(self, node) -> tuple[int, int]:
        """Where the statement around a node stands, its indentation included; of a compound one what is before its body."""
        while not isinstance(node, ast.stmt):
            node = self.parents[node]
        end = self.span(node.body[0])[0] if hasattr(node, "body") else self.span(node)[1]
        return self.lines[node.lineno - 1], end

    def function(self, node) -> str:
        """The dotted name of the innermost function or class around a node; a function's defaults are its own."""
        names = []
        while node is not self.tree:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names.append(node.name)
            node = self.parents[node]
        return ".".join(reversed(names)) or "module"

    def function_node(self, node):
        while not isinstance(node, ast.FunctionDef | ast.Module):
            node = self.parents[node]
        return node


def all_mutants(package: Path) -> list[Mutant]:
    """Every mutant of the package, in the order of the files and of the lines."""
    paths = [path for room in ROOMS for path in sorted((package / room).glob("*.py")) if path.name != "__init__.py"]
    sources = {name: Source(path) for path in paths if (name := path.relative_to(package).as_posix()) not in EXCLUDED}
    defaults = {}
    for source in sources.values():
        defaults |= {node.name: defaults_of(node) for node in source.tree.body if isinstance(node, ast.FunctionDef)}
    return [mutant for name, source in sources.items() for mutant in mutants_of(name, source, defaults)]


def mutants_of(file: str, source: Source, defaults: dict[str, list]) -> Iterator[Mutant]:
    """The mutants of one file. An edit that does not parse, or that another kind has made already, is passed over."""
    made, places = set(), Counter()
    for node in code_nodes(source.tree):
        if message_only(node, source):
            continue
        for kind, (start, end), text in edits(node, source, defaults):
            low, high = source.statement(node)
            old = source.bytes[low:high].decode()
            new = (source.bytes[low:start] + text.encode() + source.bytes[end:high]).decode()
            with contextlib.suppress(SyntaxError):
                before, after = normal(old), normal(new)
                if before == after or (low, after) in made:
                    continue
                made.add((low, after))
                function, line = source.function(node), source.bytes[:start].count(b"\n") + 1
                place = (function, kind, before, after)
                digest = hashlib.sha256(f"{before}\n{after}\n{places[place]}".encode()).hexdigest()[:6]
                places[place] += 1
                name = f"{file}:{function}:{kind}:{digest}"
                yield Mutant(name, file, kind, line, difference(before, after), start, end, text)


def normal(statement: str) -> str:
    """A statement, or the head of a compound one, as Python itself would write it."""
    code = textwrap.dedent(statement.rstrip(" "))
    code = code.removeprefix("el") if code.startswith("elif") else code
    head = code.endswith("\n")
    return ast.unparse(ast.parse(code + " pass" if head else code))


def difference(before: str, after: str, width: int = 44) -> str:
    """What differs between two statements, with what stands around it, on one line."""
    before, after = (re.sub(r"\s+", " ", text.removesuffix("pass")).strip() for text in (before, after))
    same = common(before, after)
    rest = common(before[same:][::-1], after[same:][::-1])
    low, cut = max(0, same - width), max(0, rest - width)
    pieces = [("... " if low else "") + text[low : len(text) - cut] + (" ..." if cut else "") for text in (before, after)]
    return " -> ".join(piece.strip() for piece in pieces)


def common(one: str, other: str) -> int:
    """How many characters two texts have in common at their beginnings."""
    return next((index for index, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def code_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a tree but annotations, docstrings, imports, decorators, error messages and other formatted strings."""
    if isinstance(node, ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom | ast.Assert):
        return
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return
    yield node
    for field, value in ast.iter_fields(node):
        if field not in ("annotation", "returns", "decorator_list", "bases"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from code_nodes(child)


def defaults_of(function: ast.FunctionDef) -> list[tuple[str, str | None]]:
    """Name and default of each positional parameter."""
    names, given = [argument.arg for argument in function.args.args], [ast.unparse(node) for node in function.args.defaults]
    return list(zip(names, [None] * (len(names) - len(given)) + given, strict=True))


def edits(node: ast.AST, source: Source, defaults: dict[str, list]) -> Iterator[tuple[str, tuple[int, int], str]]:
    """What can be done to one node: the kind, the place, and the text that is put there."""
    place = source.span(node) if hasattr(node, "lineno") else (0, 0)
    match node:
        case ast.BinOp():
            yield from ((kind, place, text) for kind, text in operator_edits(node))
        case ast.AugAssign():
            target, value = ast.unparse(node.target), ast.unparse(node.value)
            yield "delete", place, "pass"
            yield "operator", place, f"{target} = {value}"
            if type(node.op) in OPERATORS:
                yield "operator", place, ast.unparse(ast.AugAssign(node.target, OPERATORS[type(node.op)](), node.value))
        case ast.BoolOp():
            other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield "operator", place, wrapped(ast.BoolOp(other, node.values))
            for index in range(len(node.values)):
                values = node.values[:index] + node.values[index + 1 :]
                yield "drop-term", place, wrapped(values[0] if len(values) == 1 else ast.BoolOp(node.op, values))
        case ast.Compare(ops=[op]) if not is_test(node, source):
            for other in COMPARISONS.get(type(op), ()):
                yield "comparison", place, wrapped(ast.Compare(node.left, [other()], node.comparators))
        case ast.UnaryOp(op=ast.USub() | ast.Not()) if integer(node) is None:
            yield "sign", place, wrapped(node.operand)
        case ast.Constant() | ast.UnaryOp(op=ast.USub()):
            yield from ((kind, place, text) for kind, text in constant_edits(node, source))
        case ast.Dict():
            for key, value in zip(node.keys, node.values, strict=True):
                if key is not None:
                    yield "entry", source.without(key, value), ""
        case ast.Call():
            yield from call_edits(node, source, defaults)
        case ast.Attribute(attr=attribute):
            if attribute in CONVERSIONS:
                yield "call", place, wrapped(node.value)
            if isinstance(node.value, ast.Name) and node.value.id == "config":
                for other in others(node, source, lambda n: n.attr if isinstance(n, ast.Attribute) else None, node.value):
                    yield "name", place, f"config.{other}"
        case ast.Subscript(slice=ast.Constant(value=str())) if isinstance(node.ctx, ast.Load):
            for other in others(node, source, lambda n: n.slice.value if isinstance(n, ast.Subscript) else None, node.value):
                yield "name", source.span(node.slice), repr(other)
        case ast.Subscript(slice=ast.Tuple(elts=elements)):
            for left, right in pairwise(elements):
                if "None" in (pair := {ast.unparse(left), ast.unparse(right)}) and pair & {":", "..."}:
                    yield "index", *exchanged(left, right, source)
        case ast.Slice():
            for bound in (node.lower, node.upper):
                if bound is not None:
                    yield "index", source.span(bound), ""
                    if integer(bound) is None:
                        yield "index", source.span(bound), f"{wrapped(bound)} + 1"
                        yield "index", source.span(bound), f"{wrapped(bound)} - 1"
        case ast.Expr(value=ast.Call()):
            yield "delete", place, "pass"
        case ast.Assign(targets=[target], value=value):
            if isinstance(target, ast.Subscript) or (isinstance(target, ast.Name) and bound_before(target, source)):
                yield "delete", place, "pass"
            if isinstance(value, ast.Tuple):
                for left, right in pairwise(value.elts):
                    yield "swap", *exchanged(left, right, source)
        case ast.For(target=_, iter=ast.Call(func=ast.Name(id="range"), args=arguments)):
            low, high = [ast.Constant(0), *arguments][-2:]
            yield "loop", source.span(node.iter), f"range({wrapped(low)} + 1, {ast.unparse(high)})"
            yield "loop", source.span(node.iter), f"range({ast.unparse(low)}, {wrapped(high)} - 1)"
        case ast.For():
            yield "loop", source.span(node.iter), f"list({ast.unparse(node.iter)})[1:]"
            yield "loop", source.span(node.iter), f"list({ast.unparse(node.iter)})[:-1]"
        case ast.comprehension(iter=items, ifs=conditions):
            yield "loop", source.span(items), f"list({ast.unparse(items)})[1:]"
            for condition in conditions:
                yield from condition_edits(condition, source)
        case ast.If() | ast.IfExp():
            yield from condition_edits(node.test, source)


def message_only(node: ast.AST, source: Source, depth: int = 2) -> bool:
    """Whether a node belongs to an error message, or to the assignment of a name that is read for one only."""
    while not isinstance(node, ast.stmt | ast.Module):
        node = source.parents[node]
    match node:
        case ast.Raise():
            return True
        case ast.Assign(targets=[ast.Name(id=name)]) if depth:
            uses = [use for use in ast.walk(source.function_node(node)) if isinstance(use, ast.Name) and use.id == name]
            reads = [use for use in uses if isinstance(use.ctx, ast.Load)]
            return bool(reads) and all(message_only(use, source, depth - 1) for use in reads)
    return False


def wrapped(node: ast.AST) -> str:
    return ast.unparse(node) if isinstance(node, ast.Name | ast.Constant) else f"({ast.unparse(node)})"


def integer(node: ast.AST | None) -> int | None:
    """The value of an integer literal, with its sign."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = integer(node.operand)
        return None if value is None else -value
    return node.value if isinstance(node, ast.Constant) and type(node.value) is int else None


def is_test(node: ast.AST, source: Source) -> bool:
    """Whether a comparison is a whole condition, which the kind "condition" inverts; < and <= have other neighbours still."""
    parent = source.parents[node]
    whole = node in parent.ifs if isinstance(parent, ast.comprehension) else getattr(parent, "test", None) is node
    return whole and len(COMPARISONS.get(type(node.ops[0]), ())) == 1


def operator_edits(node: ast.BinOp) -> Iterator[tuple[str, str]]:
    left, right = wrapped(node.left), wrapped(node.right)
    sequences = (ast.JoinedStr, ast.List, ast.ListComp)
    if any(isinstance(side, sequences) or (isinstance(side, ast.Constant) and isinstance(side.value, str))
           for side in (node.left, node.right)):  # fmt: skip
        return
    if type(node.op) in OPERATORS:
        yield "operator", wrapped(ast.BinOp(node.left, OPERATORS[type(node.op)](), node.right))
    if type(node.op) in OPERATORS or isinstance(node.op, ast.BitOr):
        yield "drop-term", left
    if isinstance(node.op, ast.Add | ast.Mult | ast.MatMult | ast.BitOr | ast.BitAnd):
        yield "drop-term", right
    if isinstance(node.op, ast.Sub):
        yield "drop-term", f"(-{right})"
    if isinstance(node.op, ast.Div):
        yield "drop-term", f"(1 / {right})"


def condition_edits(test: ast.expr, source: Source) -> Iterator[tuple[str, tuple[int, int], str]]:
    for text in (f"(not {wrapped(test)})", "True", "False"):
        yield "condition", source.span(test), text


def constant_edits(node: ast.expr, source: Source) -> Iterator[tuple[str, str]]:
    """A number slightly off: integers by one, round numbers doubled, measured ones by a percent and in the sixth digit."""
    parent = source.parents[node]
    value = integer(node)
    if value is not None and not (isinstance(parent, ast.UnaryOp) and isinstance(parent.op, ast.USub)):
        kind = place_kind(node, source)
        steps = (1,) if value < 0 and is_method(parent, "reshape") else (1, -1)  # to reshape, -2 is what -1 is
        yield from ((kind, str(value + step)) for step in steps)
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool) and getattr(parent, "arg", "") != "optimize":
        yield "constant", str(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, float):
        digits = len(repr(node.value).split("e")[0].replace(".", "").strip("0"))
        yield "constant", repr(node.value * 1.01 if digits > 2 else node.value * 2 or 0.5)
        table = isinstance(parent, ast.Tuple) and len(parent.elts) > 3
        if digits > 5 and not table:
            yield "constant", f"{node.value:.5g}"
    elif isinstance(node, ast.Constant) and is_method(parent, "einsum") and parent.args[0] is node:
        inputs, output = node.value.split("->")
        first, second = inputs.split(",")
        yield from (("einsum", repr(f"{twisted},{second}->{output}")) for twisted in twists(first))
        yield from (("einsum", repr(f"{inputs}->{twisted}")) for twisted in twists(output))


def twists(letters: str) -> list[str]:
    """The same letters with two neighbours in each other's place."""
    return [letters[:i] + letters[i + 1] + letters[i] + letters[i + 2 :] for i in range(len(letters) - 1)]


def is_method(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == name


def place_kind(node: ast.expr, source: Source) -> str:
    """Whether an integer stands for an axis, for an index, or for a number."""
    parent = source.parents[node]
    if isinstance(parent, ast.Tuple):
        node, parent = parent, source.parents[parent]
    if isinstance(parent, ast.keyword) and parent.arg == "axis":
        return "axis"
    if is_method(parent, "swapaxes"):
        return "axis"
    if isinstance(parent, ast.Slice) or (isinstance(parent, ast.Subscript) and parent.slice is node):
        return "index"
    return "constant"


def call_edits(node: ast.Call, source: Source, defaults: dict[str, list]) -> Iterator[tuple[str, tuple[int, int], str]]:
    place, function = source.span(node), node.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    numpy = isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id == "np"
    if name in ("range", "dict", "zip", "list", "reversed", "print"):
        if name == "reversed":
            yield "loop", place, f"list({ast.unparse(node.args[0])})"
        return
    if numpy:
        for other in SIBLINGS.get(name, ()):
            yield "sibling", source.span(function), f"np.{other}"
    if (numpy or isinstance(function, ast.Name)) and name in FIRST_ARGUMENT_OF and node.args:
        yield "call", place, wrapped(node.args[0])
    if name in CONVERTING and isinstance(function, ast.Attribute):
        yield "call", place, wrapped(function.value)
    for keyword in node.keywords:
        if keyword.arg not in (None, "optimize"):  # optimize: the order of an einsum's products, not their value
            yield "keyword", source.without(keyword, keyword), ""
    for argument, (_, default) in zip(node.args, defaults.get(name, ()), strict=False):
        if isinstance(argument, ast.Starred):
            break
        if default is not None:
            yield "optional", source.span(argument), default
    symmetric = name in SYMMETRIC or (name == "einsum" and len(set(re.split(",|->", ast.literal_eval(node.args[0]))[:2])) == 1)
    if not symmetric:
        for left, right in pairwise(node.args):
            if type(left) is type(right) and isinstance(left, ast.Name | ast.Attribute | ast.Subscript):
                yield "swap", *exchanged(left, right, source)


def exchanged(left: ast.expr, right: ast.expr, source: Source) -> tuple[tuple[int, int], str]:
    """Two neighbours in each other's place."""
    (start, middle), (after, end) = source.span(left), source.span(right)
    return (start, end), source.text(right) + source.bytes[middle:after].decode() + source.text(left)


def others(node: ast.expr, source: Source, key, base: ast.expr) -> list[str]:
    """The key that comes after a node's own among those which its function reads from the same dict or object."""
    here = ast.dump(base)
    found = []
    for other in ast.walk(source.function_node(node)):
        if isinstance(other, type(node)) and ast.dump(other.value) == here:
            if isinstance(other, ast.Subscript) and not isinstance(getattr(other.slice, "value", None), str):
                continue
            if key(other) not in found:
                found.append(key(other))
    return [found[(found.index(key(node)) + 1) % len(found)]] if len(found) > 1 else []


def bound_before(target: ast.Name, source: Source) -> bool:
    """Whether a name has a value already where it is assigned: as a parameter or by an earlier line."""
    function = source.function_node(target)
    if isinstance(function, ast.FunctionDef) and target.id in {argument.arg for argument in function.args.args}:
        return True
    names = (node for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
    return any(node.id == target.id and node.lineno < target.lineno for node in names)


# Running the tests.

GOLDEN = """
import sys
import numpy as np
from pathlib import Path
import convbert_np
assert Path(convbert_np.__file__).parents[1] == Path(sys.argv[1]), convbert_np.__file__
from convbert_np.verify.golden import compare, compute, golden_paths, load_golden
paths = golden_paths("tests/golden")
assert paths
for path in paths:
    golden = load_golden(path)
    for comparison in compare(golden, compute(golden, np.float64), np.float64):
        assert comparison.ok, comparison
"""

# Hypothesis: the same examples every time, no time limit on one, and no search for a smaller one after a failure.
PROFILE = """
from hypothesis import Phase, settings
settings.register_profile("mutants", derandomize=True, deadline=None, database=None, phases=[Phase.explicit, Phase.generate])
"""


class Bench:
    """A copy of the repository to test in, and one copy of the package per worker to mutate."""

    def __init__(self, folder: Path, jobs: int, tests: list[str]):
        self.repository, self.folder = folder / "repository", folder
        copy_repository(self.repository)
        self.files = [str(Path(name)) for name in tests] or sorted(
            path.relative_to(self.repository).as_posix() for path in (self.repository / "tests").rglob("test_*.py")
        )
        self.mentions = {name: (self.repository / name).read_text(encoding="utf-8") for name in self.files}
        self.free: queue.Queue[Path] = queue.Queue()
        for index in range(jobs):
            shutil.copytree(self.repository / PACKAGE, folder / str(index) / PACKAGE)
            (folder / str(index) / "tests").symlink_to(self.repository / "tests")  # the selftest looks for the bundles there
            (folder / str(index) / "mutants_profile.py").write_text(PROFILE, encoding="utf-8")
            self.free.put(folder / str(index))

    @property
    def package(self) -> Path:
        return self.repository / PACKAGE

    def ordered(self, file: str) -> list[str]:
        """The test files, those first that are named after a module, then those that mention it."""
        stem = Path(file).stem
        importing = re.compile(rf"\b{Path(file).parent.name}(\.| import ){stem}\b")
        return sorted(self.files, key=lambda name: (f"test_{stem}" not in name, not importing.search(self.mentions[name])))

    def golden(self, worker: Path, timeout: float) -> str | None:
        return self.run([sys.executable, "-P", "-B", "-c", GOLDEN, str(worker)], worker, timeout)

    def suite(self, worker: Path, file: str, timeout: float) -> str | None:
        options = ["-q", "-x", "--no-header", "--tb=line", "-p", "no:cacheprovider", "-p", "mutants_profile"]
        command = [sys.executable, "-P", "-B", "-m", "pytest", *options, "--hypothesis-profile=mutants", *self.ordered(file)]
        return self.run(command, worker, timeout)

    def run(self, command: list[str], worker: Path, timeout: float) -> str | None:
        """None if the command succeeds, else how it failed."""
        one_thread = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM")}
        environment = os.environ | one_thread | {"PYTHONPATH": str(worker), "PYTHONHASHSEED": "0"}
        process = subprocess.Popen(
            command, cwd=self.repository, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            kill(process)
            return "does not end"
        if process.returncode == 0:
            return None
        if "pytest" in command and process.returncode in (4, 5):
            raise RuntimeError(f"pytest could not start:\n{output}")
        lines = output.strip().splitlines() or [f"exit status {process.returncode}"]
        return next((line for line in lines if line.startswith(("FAILED", "ERROR"))), lines[-1])

    def judge(self, mutant: Mutant, timeout: float) -> dict:
        """Plant a mutant, see whether the tests notice, and take it out again."""
        worker, start = self.free.get(), time.perf_counter()
        target = worker / PACKAGE / mutant.file
        source = target.read_bytes()
        try:
            target.write_bytes(mutant.apply(source))
            by, reason = "golden", self.golden(worker, timeout)
            if reason is None:
                by, reason = "tests", self.suite(worker, mutant.file, timeout)
        finally:
            target.write_bytes(source)
            self.free.put(worker)
        verdict = {"status": "killed" if reason else "survived", "by": by if reason else None, "reason": reason}
        return verdict | {"seconds": round(time.perf_counter() - start, 2)}


def copy_repository(target: Path) -> None:
    """Copy the working tree, without what git ignores."""
    ignore = shutil.ignore_patterns(".git", "__pycache__", ".*_cache", ".hypothesis", ".venv*", "*.egg-info", "build", "dist")
    command = ["git", "ls-files", "-co", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        shutil.copytree(ROOT, target, ignore=ignore)
        return
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target / name)


def kill(process: subprocess.Popen) -> None:
    """End a process and those that it has started."""
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.communicate()


# What to run, and what came of it.


def sample(mutants: list[Mutant], count: int, seed: int) -> list[Mutant]:
    """`count` mutants, as many from each file as from any other (as far as that goes), chosen by the seed."""
    rng = random.Random(seed)
    files: dict[str, list[Mutant]] = {}
    for mutant in mutants:
        files.setdefault(mutant.file, []).append(mutant)
    piles = list(files.values())
    rng.shuffle(piles)
    for pile in piles:
        rng.shuffle(pile)
    rounds = [pile[index] for index in range(max(map(len, piles), default=0)) for pile in piles if index < len(pile)]
    chosen = set(rounds[:count])
    return [mutant for mutant in mutants if mutant in chosen]


def choose(mutants: list[Mutant], arguments: argparse.Namespace) -> list[Mutant]:
    if arguments.only:
        unknown = set(arguments.only) - {mutant.id for mutant in mutants}
        if unknown:
            raise SystemExit(f"no such mutant: {', '.join(sorted(unknown))}")
        return [mutant for mutant in mutants if mutant.id in arguments.only]
    if arguments.match:
        mutants = [mutant for mutant in mutants if any(fnmatch.fnmatch(mutant.id, pattern) for pattern in arguments.match)]
    if arguments.sample:
        return sample([mutant for mutant in mutants if mutant.id not in EQUIVALENT], arguments.sample, arguments.seed)
    return mutants


def run_all(bench: Bench, mutants: list[Mutant], timeout: float, jobs: int) -> Iterator[dict]:
    """The verdict on each mutant, as soon as it is there; those of EQUIVALENT are not run."""
    with ThreadPoolExecutor(jobs) as pool:
        waiting = {}
        for mutant in mutants:
            if mutant.id in EQUIVALENT:
                yield asdict(mutant) | {"status": "equivalent", "reason": EQUIVALENT[mutant.id]}
            else:
                waiting[pool.submit(bench.judge, mutant, timeout)] = mutant
        for future in as_completed(waiting):
            yield asdict(waiting[future]) | future.result()


def report(results: list[dict], seconds: float) -> dict:
    counts = Counter(result["status"] for result in results)
    for title, field in (("file", "file"), ("kind", "kind")):
        print(f"\n{title:32} killed  equivalent  survived")
        for name in dict.fromkeys(result[field] for result in results):
            row = Counter(result["status"] for result in results if result[field] == name)
            print(f"{name:32} {row['killed']:6}  {row['equivalent']:10}  {row['survived']:8}")
    survivors = [result for result in results if result["status"] == "survived"]
    if survivors:
        print("\nSurvivors:")
    for result in survivors:
        print(f"  {result['id']}  (line {result['line']})\n      {result['change']}")
    summary = {"mutants": len(results)} | {status: counts[status] for status in ("killed", "equivalent", "survived")}
    print("\n" + ", ".join(f"{count} {name}" for name, count in summary.items()) + f", in {seconds:.0f} s")
    return summary


def main() -> int:
    parser = argparse.ArgumentParser(description="Plant bugs in the mathematics and count how many the tests notice.")
    parser.add_argument("--list", action="store_true", help="show the mutants, run none")
    parser.add_argument("--sample", type=int, metavar="N", help="only N mutants, spread over the files")
    parser.add_argument("--seed", type=int, default=0, help="decides which mutants --sample takes (default 0)")
    parser.add_argument("--only", nargs="+", metavar="ID", help="only these mutants; even those of EQUIVALENT are run")
    parser.add_argument("--match", nargs="+", metavar="PATTERN", help="only mutants whose ids fit one of these shell patterns")
    parser.add_argument("--tests", nargs="+", default=[], metavar="FILE", help="only these test files (default: all)")
    parser.add_argument("--jobs", type=int, default=1, help="how many mutants at a time (default 1)")
    parser.add_argument("--timeout", type=float, help="seconds per test run (default: ten times that of the unmutated suite)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there")
    arguments = parser.parse_args()
    mutants = all_mutants(ROOT / PACKAGE)
    if arguments.list:
        for mutant in choose(mutants, arguments):
            print(f"{mutant.id}\n    {mutant.change}{'   [equivalent]' if mutant.id in EQUIVALENT else ''}")
        print(f"{len(mutants)} mutants in all, {len(EQUIVALENT)} of them equivalent")
        return 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        bench = Bench(Path(folder), arguments.jobs, arguments.tests)
        mutants = all_mutants(bench.package)
        stale = sorted(set(EQUIVALENT) - {mutant.id for mutant in mutants})
        if stale:
            print("EQUIVALENT names mutants that are no more:", *stale, sep="\n  ")
            return 2
        if arguments.only:
            for name in arguments.only:
                EQUIVALENT.pop(name, None)
        chosen, start = choose(mutants, arguments), time.perf_counter()
        worker = Path(folder) / "0"
        reason = bench.golden(worker, 600) or bench.suite(worker, "", 3600)
        if reason:
            print(f"the unmutated package fails: {reason}")
            return 2
        seconds = time.perf_counter() - start
        timeout = arguments.timeout or max(30.0, 10 * seconds)
        print(f"the unmutated package passes, in {seconds:.1f} s; {len(chosen)} of {len(mutants)} mutants to run", flush=True)
        results = []
        for result in run_all(bench, chosen, timeout, arguments.jobs):
            results.append(result)
            if result["status"] == "survived":
                print(f"[{len(results)}] survived: {result['id']}   {result['change']}", flush=True)
            elif len(results) % 100 == 0:
                print(f"[{len(results)}] {time.perf_counter() - start:.0f} s", flush=True)
    order = {mutant.id: index for index, mutant in enumerate(mutants)}
    results.sort(key=lambda result: order[result["id"]])
    summary = report(results, time.perf_counter() - start)
    if arguments.json:
        content = json.dumps({"summary": summary, "mutants": results}, indent=1, ensure_ascii=False)
        arguments.json.write_text(content + "\n", encoding="utf-8")
    return 1 if summary["survived"] else 0


if __name__ == "__main__":
    sys.exit(main())
