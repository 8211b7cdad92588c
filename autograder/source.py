"""Reads a lab's source, the MyST text notebook in `solutions/`, and marks its cells for nbgrader.

What the author writes, and what it becomes:

* a code cell with a `### BEGIN SOLUTION` region: an exercise, its id the name of its first function;
* a code cell `check(name)` with the option `:points:`: the graded test `check_name` (without points: a plain cell);
* a markdown cell opened by `+++ {"question": "name", "points": 3}`: an answer graded by hand, which holds the model
  answer and the rubric;
* tags: `setup` (imports), `see` (only shows something; the grader skips it), `train` (takes a minute: the grader and
  the tests skip it, and no other cell needs it).
  The release adds one more cell, tagged `install`.
"""

import hashlib
import re
from collections import Counter
from pathlib import Path

import jupytext
from nbformat import NotebookNode

from autograder import SOLUTIONS

KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
_CHECK = re.compile(r"check\(\s*(\w+)\s*\)\s*")
_DEF = re.compile(r"^def (\w+)", re.MULTILINE)


class SourceError(ValueError):
    """A lab's source breaks the rules above."""


def labs() -> list[str]:
    """The names of all labs that have a source, in order."""
    return sorted(path.parent.name for path in SOLUTIONS.glob("lab*/lab*.md") if path.stem == path.parent.name)


def source_path(lab: str) -> Path:
    """The lab's source; SourceError if there is none."""
    path = SOLUTIONS / lab / f"{lab}.md"
    if not path.exists():
        raise SourceError(f"there is no lab called {lab!r}: {path.relative_to(SOLUTIONS.parent)} does not exist")
    return path


def read_source(lab: str) -> NotebookNode:
    """The lab as a notebook without outputs, with nbgrader's metadata and ids that do not change between builds."""
    notebook = jupytext.read(source_path(lab), fmt="md:myst")
    notebook.metadata = NotebookNode(kernelspec=NotebookNode(KERNEL), language_info=NotebookNode(name="python"))
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    seen: Counter[str] = Counter()
    grade_ids: set[str] = set()
    for cell in notebook.cells:
        _mark(cell)
        if "nbgrader" in cell.metadata:
            name = cell.metadata.nbgrader.grade_id
            if name in grade_ids:
                raise SourceError(f"{lab}: two cells have the id {name!r}")
            grade_ids.add(name)
            cell.id = name
        else:
            # the content's hash: inserting a cell elsewhere leaves it as it is
            digest = hashlib.sha256(cell.source.encode()).hexdigest()[:12]
            cell.id = f"{digest}-{seen[digest]}" if seen[digest] else digest
            seen[digest] += 1
    return notebook


def _mark(cell: NotebookNode) -> None:
    points = cell.metadata.pop("points", None)
    question = cell.metadata.pop("question", None)
    if question:
        if cell.cell_type != "markdown" or points is None:
            raise SourceError(f"the answer {question!r} must be a markdown cell with points")
        _nbgrader(cell, question, points=points, grade=True, solution=True)
    elif cell.cell_type == "code" and "### BEGIN SOLUTION" in cell.source:
        names = _DEF.findall(cell.source)
        if not names:
            raise SourceError(f"a solution cell must define a function:\n{cell.source}")
        _nbgrader(cell, names[0], solution=True)
    elif points is not None:
        check = _CHECK.fullmatch(cell.source)
        if not check:
            raise SourceError(f"a cell with points must be check(name) alone:\n{cell.source}")
        _nbgrader(cell, f"check_{check[1]}", points=points, grade=True, locked=True)


def _nbgrader(
    cell: NotebookNode,
    grade_id: str,
    *,
    points: float | None = None,
    grade: bool = False,
    solution: bool = False,
    locked: bool = False,
) -> None:
    cell.metadata["nbgrader"] = NotebookNode(
        schema_version=3, grade_id=grade_id, grade=grade, solution=solution, locked=locked, task=False
    )
    if points is not None:
        cell.metadata.nbgrader["points"] = points


def tags(cell: NotebookNode) -> set[str]:
    """The cell's tags."""
    return set(cell.metadata.get("tags", []))


def is_check(cell: NotebookNode) -> bool:
    """Whether the cell is a check, graded or not: `check(name)` alone."""
    return cell.cell_type == "code" and _CHECK.fullmatch(cell.source) is not None


def checked_exercise(cell: NotebookNode) -> str | None:
    """The exercise that a graded check cell is about; None for any other cell."""
    marks = cell.metadata.get("nbgrader", {})
    is_check = cell.cell_type == "code" and marks.get("grade") and marks.get("locked")
    return marks["grade_id"].removeprefix("check_") if is_check else None
