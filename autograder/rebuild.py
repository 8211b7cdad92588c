"""Makes a submission safe to grade: the released notebook, with the student's answers put in.

A student may have copied, deleted, reordered, unlocked or retyped cells. What is graded is always the release: only the
sources of answer cells are taken over, by their id, and cells that the student added are kept where they stood.
"""

import copy
import json
import re
from pathlib import Path
from typing import Any

import nbformat
from nbconvert.exporters import NotebookExporter
from nbformat import NotebookNode
from nbgrader.preprocessors import NbGraderPreprocessor

from autograder import LABS, harmless

MAX_FILE = 100_000_000  # bytes of a submission
MAX_SOURCE = 200_000  # characters of one cell
MAX_ADDED = 300  # cells of the student's own
KEPT_TAG = "added-by-student"


def released(lab: str, notebook: str) -> NotebookNode:
    """The student's notebook as it was handed out."""
    path: Path = LABS / lab / f"{notebook}.ipynb"
    return nbformat.read(path, as_version=4)


def read(data: bytes) -> dict[str, Any]:
    """The cells of a submitted file, of any version of the format; one that says so if there are none to be read."""
    try:
        if len(data) > MAX_FILE:
            raise ValueError(f"it is larger than {MAX_FILE / 1e6:.0f} MB")
        notebook = json.loads(data.decode("utf-8-sig", "replace"))
        pages = notebook.get("worksheets", [notebook])  # version 3 had pages, but nobody ever used a second one
        cells = [_read_cell(cell) for page in pages for cell in page["cells"]]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, MemoryError) as error:
        raise Unreadable(f"the file is not a notebook ({type(error).__name__})") from None
    seen = set()
    for i, cell in enumerate(cells):
        if cell["id"] in seen or not re.fullmatch(r"[\w-]{1,64}", cell["id"], re.ASCII):
            cell["id"] = f"cell-{i}"
        seen.add(cell["id"])
    return {"cells": cells}


class Unreadable(ValueError):
    """A submission that is no notebook."""


def rebuild(submission: dict[str, Any], release: NotebookNode) -> NotebookNode:
    """The release with the submission's answers.

    A cell is known by nbgrader's grade_id, else by its id, else by what stood in it when it was released. Of several
    copies the last that differs from the release counts, wherever it stands. Cells unknown to the release follow the
    cell they followed in the submission.
    """
    result = copy.deepcopy(release)
    by_name: dict[str, NotebookNode] = {}
    for cell in result.cells:
        by_name[cell.id] = cell
        if "nbgrader" in cell.metadata:
            by_name[cell.metadata.nbgrader.grade_id] = cell
    original = {cell.id: cell.source for cell in release.cells}
    by_source = {cell.source: cell for cell in result.cells}
    added: dict[str | None, list[NotebookNode]] = {}
    count = 0
    last = None
    for cell in map(_read_cell, submission["cells"]):
        name = cell["metadata"].get("nbgrader", {}).get("grade_id")
        known = by_name.get(name) or by_name.get(cell["id"]) or by_source.get(cell["source"])
        if known is None:
            count += 1
            if count <= MAX_ADDED:
                added.setdefault(last, []).append(_plain(cell, f"added-{count}"))
            continue
        last = known.id
        is_answer = known.metadata.get("nbgrader", {}).get("solution")
        # the student may edit any cell that is not a check
        if (is_answer or "nbgrader" not in known.metadata) and cell["source"] != original[known.id]:
            _put(cell, known)
    cells = added.get(None, [])
    for cell in result.cells:
        cells += [cell, *added.get(cell.id, [])]
    result.cells = cells
    return result


def _read_cell(cell: dict[str, Any]) -> dict[str, Any]:
    """What is taken from a cell: its source, its names, and the pictures that were pasted into a text."""
    source = cell.get("source", cell.get("input", ""))  # version 3 said input
    source = harmless.text("".join(map(str, source)) if isinstance(source, list) else source)
    if len(source) > MAX_SOURCE:
        source = f"# this cell was {len(source):,} characters long; at most {MAX_SOURCE:,} are read"
    metadata = cell.get("metadata")
    marks = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    return {
        "cell_type": "code" if cell.get("cell_type") == "code" else "markdown",
        "id": str(cell.get("id")),
        "metadata": {"nbgrader": {"grade_id": str(marks.get("grade_id"))}} if isinstance(marks, dict) else {},
        "source": source,
        "attachments": harmless.attachments(cell.get("attachments")),
    }


NOTHING = {
    "cells": [
        _read_cell({"source": "**The submitted file could not be read as a notebook, so nothing in it was graded.**"})
    ]
}


def _put(cell: dict[str, Any], into: NotebookNode) -> None:
    into.source = cell["source"]
    if into.cell_type != "code":
        into.source = harmless.markdown(into.source, cell["attachments"])
        if cell["attachments"]:
            into.attachments = nbformat.from_dict(cell["attachments"])


def _plain(cell: dict[str, Any], id: str) -> NotebookNode:
    """An added cell as source and pictures alone: no outputs or metadata."""
    plain = _as_node(cell | {"id": id, "metadata": {"tags": [KEPT_TAG]}})
    _put(cell, plain)
    return plain


def _as_node(cell: dict[str, Any]) -> NotebookNode:
    if cell["cell_type"] == "code":
        return nbformat.v4.new_code_cell(cell["source"], id=cell["id"], metadata=cell["metadata"])
    return nbformat.v4.new_markdown_cell(**{key: value for key, value in cell.items() if key != "cell_type"})


class SubmissionExporter(NotebookExporter):
    """Reads a submission that may be anything: a file that is no notebook counts as one without an answer."""

    def from_file(self, file_stream: Any, resources: dict | None = None, **kwargs: Any) -> tuple:
        """Convert an open file; one that cannot be read is replaced by a sentence that says so."""
        if not any(isinstance(step, Rebuild) for step in self._preprocessors):
            return super().from_file(file_stream, resources, **kwargs)  # rebuilt already
        try:
            found = read(file_stream.buffer.read())  # bytes: what is not UTF-8 need not be lost
        except Unreadable as error:
            self.log.error("%s counts as empty: %s", getattr(file_stream, "name", "?"), error)
            found = NOTHING
        notebook = nbformat.v4.new_notebook(cells=[_as_node(cell) for cell in found["cells"]])
        return self.from_notebook_node(notebook, resources=resources, **kwargs)


class Rebuild(NbGraderPreprocessor):
    """The first step of nbgrader's autograding: see `rebuild`."""

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        """Replace the submission by the release with its answers."""
        about = resources["nbgrader"]
        return rebuild(nb, released(about["assignment"], about["notebook"])), resources
