"""A grader that believes what the answers say of themselves: for tests of everything around the real one.

A cell that holds `# right` is right, `# half` is worth half; `# hint: ...` is that misconception; `# kill` kills the
process that grades. Every call is noted in the file $STAND_IN_LOG.
"""

import hashlib
import os
import signal

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_output

from autograder.rebuild import Unreadable, read, rebuild, released
from autograder.result import NoIsolation, Result
from autograder.run import Task
from autograder.source import checked_exercise
from tests import submissions


def write(lab: str, answers: dict[str, str]) -> NotebookNode:
    """A submission with these words in its answers."""
    return submissions.fill(released(lab, lab), {name: f"# {words}" for name, words in answers.items()})


def work(task: Task) -> Result:
    if path := os.environ.get("STAND_IN_LOG"):
        with open(path, "a") as log:
            log.write(f"{task.student}\n")
    if b"# kill" in task.content:
        os.kill(os.getpid(), signal.SIGKILL)
    if b"# bug" in task.content:
        raise ZeroDivisionError("a mistake of the grader's\nin two lines")
    if b"# no isolation" in task.content:
        raise NoIsolation("this machine has no walls")
    release, status, note = released(task.lab, task.lab), "graded", ""
    try:
        notebook = rebuild(read(task.content), release)
    except Unreadable:
        notebook, status, note = release, "unreadable", "not a notebook"
    scores, met, sources = {}, {}, {}
    for cell in notebook.cells:
        marks = cell.metadata.get("nbgrader", {})
        if cell.cell_type == "code" and marks.get("solution"):
            sources[marks.grade_id] = cell.source
        if exercise := checked_exercise(cell):
            source, points = sources[exercise], marks.points
            scores[exercise] = points if "# right" in source else points / 2 if "# half" in source else 0.0
            met[exercise] = _met(source)
            cell.outputs = _outputs(exercise, scores[exercise], points, met[exercise])
    digest = hashlib.sha256(task.content).hexdigest()
    text = nbformat.writes(notebook)
    return Result(task.student, task.lab, status, scores, text, digest, met, 0.01, note)


def slow(task: Task) -> Result:
    """Long enough for a worker to be killed at it."""
    sum(i * i for i in range(2_000_000))
    return work(task)


def _met(source: str) -> str:
    if "# right" in source:
        return "right"
    if "# hint: " in source:
        return source.partition("# hint: ")[2].partition("\n")[0]
    return "wrong" if source.startswith("#") else "open"


def _outputs(exercise: str, score: float, points: float, met: str) -> list[NotebookNode]:
    shown = new_output("display_data", {"text/plain": f"{exercise}: {met}"})
    if score == points:
        return [shown]
    if score:
        return [shown, new_output("execute_result", {"text/plain": f"{score:.2f}"}, execution_count=None)]
    return [shown, new_output("error", ename="CheckFailed", evalue="no points", traceback=["no points"])]
