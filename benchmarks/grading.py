"""Seconds per submission: our autograder against stock `nbgrader autograde` on the same perfect notebooks."""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import nbformat
from nbformat import NotebookNode
from nbgrader.api import Gradebook

from autograder import LABS, ROOT
from autograder.source import read_source, tags
from benchmarks.measure import Settings, Table, apart, duration, high_water, megabytes, ratios, seconds, skipped
from tests import submissions

LAB = "lab1_odes_sdes"
# nbgrader as it comes; only a cell may take longer than its 30 seconds, because the machine may be busy
STOCK_CONFIG = """
c = get_config()
c.CourseDirectory.course_id = "stock"
c.ExecutePreprocessor.timeout = 600
"""
# an instructor's own files in autograder/, and what Python leaves behind
NOT_COPIED = ["submitted", "autograded", "feedback", "exchange", "gradebook.db*", "__pycache__", "*.log"]


def tables(settings: Settings) -> Iterator[Table]:
    students = 1 if settings.quick else 4
    rounds = 1 if settings.quick else min(2, settings.rounds)
    title = f"Grading {students} perfect submission{'s' * (students > 1)} of {LAB}"
    if not (LABS / LAB / f"{LAB}.ipynb").exists():
        yield skipped(title, f"labs/{LAB} is not built yet.")
        return
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        environment = _environment(scratch, settings.threads)
        courses = {
            "stock nbgrader autograde": _stock_course(scratch, environment, students, figures=not settings.quick),
            "our autograder": _our_course(scratch, environment, students),
        }
        times: dict[str, list[float]] = {name: [] for name in courses}
        peaks = dict.fromkeys(courses, 0.0)
        for _ in range(rounds):
            for name, course in courses.items():
                spent, most = apart(_autograde, course, environment)
                _expect_full_marks(course, students)
                times[name].append(spent / students)
                peaks[name] = max(most, peaks[name])
    yield _table(title, times, peaks, settings.quick)


def _table(title: str, times: dict[str, list[float]], peaks: dict[str, float], quick: bool) -> Table:
    base, *_ = times.values()
    rows = []
    for name, spent in times.items():
        found = ratios(spent, base)
        spread = f"{found[0]:.2f}-{found[-1]:.2f}"
        rows.append([name, f"{median(found):.2f}", spread, duration(median(spent)), megabytes(peaks[name])])
    figures = "Figures were left out of what stock nbgrader runs" if quick else "Stock nbgrader runs the figures too"
    return Table(
        f"{title} (1.00 = {duration(median(base))} a submission)",
        ["", "time", "lowest-highest", "a submission", "peak memory"],
        rows,
        [
            f"{figures}; our autograder leaves out those that nobody has edited. Starting nbgrader is counted, "
            "shared by the submissions. Peak memory is that of the largest process."
        ],
    )


def _environment(scratch: Path, threads: int) -> dict[str, str]:
    """Nothing of this user's own settings, and a place outside the repository for whatever is written."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("COURSE_")}
    return inherited | {
        # nbgrader calls alembic, which lies beside the interpreter
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "PYTHONPATH": str(scratch / "ours"),
        "JUPYTER_CONFIG_DIR": str(scratch / "jupyter"),
        "IPYTHONDIR": str(scratch / "ipython"),
        "OMP_NUM_THREADS": str(threads),
        "COURSE_PROGRESS": "off",
        "TRAITLETS_APPLICATION_RAISE_CONFIG_FILE_ERROR": "1",
    }


def _our_course(scratch: Path, environment: dict[str, str], students: int) -> Path:
    """nbgrader's folder in a copy of the repository, with the lab released and handed in."""
    for room in "autograder", "course", "labs", "solutions":
        shutil.copytree(ROOT / room, scratch / "ours" / room, ignore=shutil.ignore_patterns(*NOT_COPIED))
    course = scratch / "ours" / "autograder"
    _nbgrader("generate_assignment", course, environment)
    _hand_in(course, submissions.perfect(LAB), students)
    return course


def _stock_course(scratch: Path, environment: dict[str, str], students: int, *, figures: bool) -> Path:
    """A course as nbgrader's own documentation sets it up, with the same notebook; its checks run as they stand."""
    course = scratch / "stock"
    notebook = read_source(LAB)
    notebook.cells = [cell for cell in notebook.cells if figures or "see" not in tags(cell)]
    source = course / "source" / LAB / f"{LAB}.ipynb"
    source.parent.mkdir(parents=True)
    nbformat.write(notebook, source)
    (course / "nbgrader_config.py").write_text(STOCK_CONFIG)
    _nbgrader("generate_assignment", course, environment)
    release = nbformat.read(course / "release" / LAB / f"{LAB}.ipynb", as_version=4)
    _hand_in(course, submissions.fill(release, submissions.answers(LAB)), students)
    return course


def _hand_in(course: Path, notebook: NotebookNode, students: int) -> None:
    for student in range(students):
        path = course / "submitted" / f"student{student}" / LAB / f"{LAB}.ipynb"
        path.parent.mkdir(parents=True)
        nbformat.write(notebook, path)


def _autograde(course: Path, environment: dict[str, str]) -> tuple[float, float]:
    """Seconds, and the peak memory in bytes of the largest process."""
    spent = seconds(_nbgrader, "autograde", course, environment)
    return spent, high_water(resource.RUSAGE_CHILDREN)


def _nbgrader(command: str, course: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", command, LAB, "--force", "--log-level=WARN"],
        cwd=course,
        env=environment,
        text=True,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"nbgrader {command} failed in {course.name}:\n{done.stderr or done.stdout}")


def _expect_full_marks(course: Path, students: int) -> None:
    """A grader that is fast because it grades nothing would win."""
    with Gradebook(f"sqlite:///{course}/gradebook.db") as gradebook:
        scores = [(s.code_score, s.max_code_score) for s in gradebook.assignment_submissions(LAB)]
    expected = sum(submissions.points(LAB).values())
    if scores != [(expected, expected)] * students:
        raise ValueError(f"{course.name}: the scores are {scores}; every one should be {expected:g}")
