"""The notebooks themselves: the solution runs from top to bottom, the student's to the first open exercise."""

import copy
import os
import subprocess
import sys

import nbformat
import pytest
from nbclient import NotebookClient

from autograder import LABS, ROOT, SOLUTIONS
from autograder.source import labs, tags
from tests import submissions
from tests.submissions import untrained


@pytest.fixture(autouse=True)
def _no_download(tmp_path_factory, monkeypatch):
    """Notebooks find no images to download and go on with what they have: the same on every machine."""
    monkeypatch.setenv("COURSE_DATA", str(tmp_path_factory.mktemp("no_data")))


def run(notebook, folder):
    """Execute a notebook; errors stay in its outputs."""
    os.environ["PYTHONPATH"] = str(ROOT)
    try:
        NotebookClient(
            notebook,
            timeout=300,
            kernel_name="python3",
            allow_errors=True,
            resources={"metadata": {"path": str(folder)}},
        ).execute()
    finally:
        del os.environ["PYTHONPATH"]
    return notebook


def errors(cell):
    return [output for output in cell.get("outputs", []) if output.output_type == "error"]


@pytest.mark.parametrize("lab", labs())
def test_the_solution_runs_under_nbval(lab, tmp_path):
    """Every cell but long trainings runs without an error; text that is the same everywhere is as stored."""
    nbformat.write(untrained(nbformat.read(SOLUTIONS / lab / f"{lab}.ipynb", as_version=4)), tmp_path / f"{lab}.ipynb")
    command = [
        *(sys.executable, "-m", "pytest", "--nbval-lax", "-q", "-p", "no:cacheprovider"),
        *(f"--rootdir={tmp_path}", "--nbval-cell-timeout=300", str(tmp_path / f"{lab}.ipynb")),
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COURSE_STATIC": "1", "COURSE_PROGRESS": "off"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize("lab", labs())
def test_the_students_notebook_runs_to_the_first_open_exercise(lab, tmp_path):
    notebook = run(untrained(nbformat.read(LABS / lab / f"{lab}.ipynb", as_version=4)), tmp_path)
    first = next(i for i, cell in enumerate(notebook.cells) if cell.source.startswith("check("))
    assert not any(errors(cell) for cell in notebook.cells[:first])
    [error] = errors(notebook.cells[first])
    exercise = notebook.cells[first].source[6:-1]
    assert error.ename == "CheckFailed"
    assert error.traceback == [f"\x1b[1;31m✗ {exercise}: it is not written yet.\x1b[0m"]
    # "Run All" goes on: whatever fails later is a check or a figure that waits for the student's own function
    for cell in notebook.cells[first:]:
        if errors(cell):
            assert "raises-exception" in tags(cell), cell.source


@pytest.mark.parametrize("lab", labs())
def test_answers_filled_in_one_by_one_turn_their_checks_green(lab, tmp_path):
    """With half of the exercises solved, exactly their checks pass, in a live kernel, and progress is remembered."""
    notebook = untrained(submissions.half(lab))
    notebook.cells = [c for c in notebook.cells if "see" not in tags(c)]
    notebook = run(copy.deepcopy(notebook), tmp_path)
    solved = set(list(submissions.points(lab))[::2])
    states = {c.source[6:-1]: not errors(c) for c in notebook.cells if c.source.startswith("check(")}
    assert {name for name, right in states.items() if right} == solved
    remembered = (tmp_path / ".course_progress.json").read_text()
    assert all(f'"{name}": "done"' in remembered for name in solved)
