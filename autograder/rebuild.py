"""Makes a submission safe to grade: the released notebook, with the student's answers put in.

A student may have copied, deleted, reordered, unlocked or retyped cells. What is graded is always the release: only the
sources of answer cells are taken over, by their id, and cells that the student added are kept where they stood.
"""

import copy
from pathlib import Path
from typing import Any

import nbformat
from nbconvert.exporters import NotebookExporter
from nbformat import NotebookNode
from nbgrader.preprocessors import NbGraderPreprocessor

from autograder import LABS

MAX_SOURCE = 200_000  # characters of one cell
KEPT_TAG = "added-by-student"


def released(lab: str, notebook: str) -> NotebookNode:
    """The student's notebook as it was handed out."""
    path: Path = LABS / lab / f"{notebook}.ipynb"
    return nbformat.read(path, as_version=4)


def rebuild(submission: NotebookNode, release: NotebookNode) -> NotebookNode:
    """The release with the submission's answers.

    An answer is found by nbgrader's grade_id, else by the cell's id; of several copies the last that differs from the
    release counts, wherever it stands. Cells unknown to the release follow the cell they followed in the submission.
    """
    result = copy.deepcopy(release)
    by_name: dict[str, NotebookNode] = {}
    for cell in result.cells:
        by_name[cell.id] = cell
        if "nbgrader" in cell.metadata:
            by_name[cell.metadata.nbgrader.grade_id] = cell
    original = {cell.id: cell.source for cell in release.cells}
    added: dict[str | None, list[NotebookNode]] = {}
    last = None
    for cell in submission.get("cells", []):
        known = by_name.get(_name(cell)) or by_name.get(str(cell.get("id")))
        if known is None:
            added.setdefault(last, []).append(_plain(cell))
            continue
        last = known.id
        if known.metadata.get("nbgrader", {}).get("solution") and _source(cell) != original[known.id]:
            known.source = _source(cell)
        elif "nbgrader" not in known.metadata:
            known.source = _source(cell)  # the student may edit any cell that is not a check
    cells = added.get(None, [])
    for cell in result.cells:
        cells += [cell, *added.get(cell.id, [])]
    result.cells = cells
    for i, cell in enumerate(cell for cell in cells if KEPT_TAG in cell.metadata.get("tags", [])):
        cell.id = f"added-{i}"
    return result


def _name(cell: NotebookNode) -> str:
    metadata = cell.get("metadata")
    marks = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    return str(marks.get("grade_id")) if isinstance(marks, dict) else ""


def _source(cell: NotebookNode) -> str:
    source = cell.get("source", "")
    source = "".join(map(str, source)) if isinstance(source, list) else str(source)
    if len(source) > MAX_SOURCE:
        return f"# this cell was {len(source):,} characters long; at most {MAX_SOURCE:,} are read"
    return source


def _plain(cell: NotebookNode) -> NotebookNode:
    """An added cell as source alone: no outputs, attachments or metadata."""
    make = nbformat.v4.new_code_cell if cell.get("cell_type") == "code" else nbformat.v4.new_markdown_cell
    return make(_source(cell), metadata={"tags": [KEPT_TAG]})


class SubmissionExporter(NotebookExporter):
    """Reads a submission that may be anything: a file that is no notebook counts as one without an answer."""

    def from_file(self, file_stream: Any, resources: dict | None = None, **kwargs: Any) -> tuple:
        """Convert an open file; one that cannot be read is replaced by a sentence that says so."""
        try:
            notebook = nbformat.read(file_stream, as_version=4)
            if not all(isinstance(cell, dict) for cell in notebook["cells"]):
                raise ValueError("its cells are not cells")
        except Exception as error:  # whatever a broken file makes nbformat raise
            self.log.error("%s is not a notebook and counts as empty (%s)", getattr(file_stream, "name", "?"), error)
            text = "**The submitted file could not be read as a notebook, so nothing in it was graded.**"
            notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)])
        return self.from_notebook_node(notebook, resources=resources, **kwargs)


class Rebuild(NbGraderPreprocessor):
    """The first step of nbgrader's autograding: see `rebuild`."""

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        """Replace the submission by the release with its answers."""
        about = resources["nbgrader"]
        return rebuild(nb, released(about["assignment"], about["notebook"])), resources
