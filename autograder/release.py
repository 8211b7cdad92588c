"""The last steps from a lab's solution to the student's notebook."""

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell
from nbgrader.preprocessors import NbGraderPreprocessor

from autograder import repository
from autograder.source import is_check, tags

STUB = "your code here"
INSTALL = """\
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("course") is None:  # as on Colab; where the course is installed, this cell does nothing
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "git+{}"], check=True)"""


class InstallWhereMissing(NbGraderPreprocessor):
    """Puts a cell before the first code cell that installs the course on a machine that has none."""

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        """Insert the cell."""
        first = next(i for i, cell in enumerate(nb.cells) if cell.cell_type == "code")
        cell = new_code_cell(INSTALL.format(repository()), id="install-course", metadata={"tags": ["install"]})
        nb.cells.insert(first, cell)
        return nb, resources


class NameStubs(NbGraderPreprocessor):
    """Lets an open exercise say which one it is, wherever it is called."""

    def preprocess_cell(self, cell: NotebookNode, resources: dict, index: int) -> tuple[NotebookNode, dict]:
        """Put the exercise's name into the stub that nbgrader has left."""
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        if cell.cell_type == "code" and name:
            cell.source = cell.source.replace(f'"{STUB}"', f'"{name} is yours to write"')
        return cell, resources


class LetErrorsPass(NbGraderPreprocessor):
    """Tags the checks and the figures `raises-exception`, so that "Run All" goes on past an exercise not yet done."""

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        """Forget what the outputs were built from, since there are none; tag the cells."""
        nb.metadata.pop("built_from", None)
        return super().preprocess(nb, resources)

    def preprocess_cell(self, cell: NotebookNode, resources: dict, index: int) -> tuple[NotebookNode, dict]:
        """Add the tag to a code cell that depends on what the student has written."""
        if cell.cell_type == "code" and (is_check(cell) or "see" in tags(cell)):
            cell.metadata["tags"] = sorted(tags(cell) | {"raises-exception"})
        return cell, resources
