"""What importing costs, what the package imports, how its rooms depend on each other, how its code is shaped."""

import ast
import re
import statistics
import subprocess
import sys
import tomllib
from pathlib import Path

import convbert_np

ROOT = Path(__file__).parents[1]
PACKAGE = Path(convbert_np.__file__).parent
ROOMS = [
    "tree",
    "files",
    "progress",
    "backend",
    "memory",
    "blocks",
    "ops",
    "config",
    "names",
    "model",
    "interface",
    "tokenization",
    "checkpoints",
    "data",
    "metrics",
    "tasks",
    "training",
    "verify",
    "learn",
    "cli",
    "recipes",
]


def test_import_brings_in_nothing_but_numpy_regex_and_the_standard_library():
    script = (
        "import sys, numpy, regex; before = set(sys.modules); import convbert_np; "
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    foreign = set(out.split()) - {"convbert_np", "numpy"} - set(sys.stdlib_module_names)
    assert {name for name in foreign if "cython" not in name} == set()  # Cython's modules come with numpy.random


def imports_of(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
    return [n.module or "" for n in nodes if isinstance(n, ast.ImportFrom)] + [
        a.name for n in nodes if isinstance(n, ast.Import) for a in n.names
    ]


def test_a_room_imports_only_from_rooms_above_it():
    for path in PACKAGE.rglob("*.py"):
        relative = path.relative_to(PACKAGE)
        room = relative.parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        assert room in ROOMS, f"{relative} is in no room"
        for name in imports_of(path):
            parts = name.split(".")
            if parts[0] == "convbert_np" and len(parts) > 1:
                assert ROOMS.index(parts[1]) <= ROOMS.index(room), f"{relative} imports {name}"


def test_the_mathematics_knows_numpy_only():
    for room in ("ops", "model"):
        for path in (PACKAGE / room).glob("*.py"):
            allowed = {"numpy", "convbert_np", "collections", "copy", "functools", "typing", "difflib", "math"}
            assert {name.partition(".")[0] for name in imports_of(path)} <= allowed, path


def test_functions_are_short_and_documented():
    lengths = []
    for room in ("ops", "model"):
        for path in (PACKAGE / room).glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef):
                    docstring = node.body[0] if ast.get_docstring(node) else None
                    lengths.append(
                        (node.end_lineno or 0) - (docstring.end_lineno if docstring and docstring.end_lineno else node.lineno)
                    )
    assert statistics.median(lengths) <= 10 and max(lengths) <= 30


def test_project_file():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert sorted(project["dependencies"]) == ["numpy>=2", "regex"]
    extras = {"plot", "notebooks", "cupy", "hub", "reference", "docs", "test", "dev"}
    assert extras <= set(project["optional-dependencies"]) and project["license"] == "MIT"
    assert f"## [{convbert_np.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_links_in_the_pages_lead_somewhere():
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        text = re.sub(r"`[^`]*`|```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name} links to {target}"
