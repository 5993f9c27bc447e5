"""Execute every notebook from top to bottom; with --write, keep the new outputs, without what changes from run to run.

    python tests/tools/run_notebooks.py [--write]     (extra notebooks)

An error in a cell ends the run with exit code 1: what the notebooks claim, their cells assert.
"""

import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
KERNEL_SPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}


def main() -> None:
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        notebook = nbformat.read(path, 4)
        start = time.perf_counter()
        NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(NOTEBOOKS)}}).execute()
        print(f"{path.name}: {len(notebook.cells)} cells in {time.perf_counter() - start:.0f} s")
        if "--write" in sys.argv:
            notebook.metadata = {"kernelspec": KERNEL_SPEC, "language_info": {"name": "python"}}
            for cell in notebook.cells:
                cell.metadata = {}
            nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
