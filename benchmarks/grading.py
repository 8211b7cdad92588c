"""Submissions per minute: `autograder grade` against stock `nbgrader autograde` on the same notebooks."""

import contextlib
import itertools
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import nbformat
import psutil
from nbformat import NotebookNode
from nbgrader.api import Gradebook

from autograder import LABS
from autograder.source import read_source, tags
from benchmarks.measure import Settings, Table, apart, duration, megabytes, ratios, seconds, skipped
from tests import submissions
from tests.checkout import copy_checkout

LAB = "lab1_odes_sdes"
STUDENTS, QUICK_STUDENTS = 60, 2
PROCESSES = 2
# nbgrader as it comes; only a cell may take longer than its 30 seconds, because the machine may be busy
STOCK_CONFIG = """
c = get_config()
c.CourseDirectory.course_id = "stock"
c.ExecutePreprocessor.timeout = 600
"""

Make = Callable[[NotebookNode], NotebookNode]  # a submission from the release


def tables(settings: Settings) -> Iterator[Table]:
    students = QUICK_STUDENTS if settings.quick else STUDENTS
    title = f"Grading {students} submissions of {LAB}"
    if not (LABS / LAB / f"{LAB}.ipynb").exists():
        yield skipped(title, f"labs/{LAB} is not built yet.")
        return
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        environment = _environment(scratch, settings.threads)
        ours = _our_course(scratch, environment, students)
        candidates = {
            "stock nbgrader autograde": (_autograde, _stock_course(scratch, environment, students, settings.quick)),
            "nbgrader autograde, our configuration": (_autograde, ours),
            f"autograder grade, {PROCESSES} processes": (_grade, _folder(scratch / "runner", students, KINDS)),
        }
        times: dict[str, list[float]] = {name: [] for name in candidates}
        peaks = dict.fromkeys(candidates, 0.0)
        for _ in range(1 if settings.quick else min(2, settings.rounds)):
            for name, (run, course) in reversed(candidates.items()):  # stock nbgrader, the slowest, comes last
                spent, most = apart(_measured, run, course, environment)
                _expect(course, students)
                times[name].append(spent / students)
                peaks[name] = max(most, peaks[name])
        yield _table(title, times, peaks, settings.quick)
        yield _memory(scratch, environment, students)


def _table(title: str, times: dict[str, list[float]], peaks: dict[str, float], quick: bool) -> Table:
    base, *_ = times.values()
    rows = []
    for name, spent in times.items():
        found = ratios(base, spent)
        spread = f"{found[0]:.1f}-{found[-1]:.1f}"
        speed = [f"{median(found):.1f}", spread, f"{60 / median(spent):.1f}"]
        rows.append([name, *speed, megabytes(peaks[name])])
    figures = "Figures were left out of what stock nbgrader runs" if quick else "Stock nbgrader runs the figures too"
    return Table(
        f"{title} (1.0 = {duration(median(base))} a submission)",
        ["", "times as many", "lowest-highest", "submissions a minute", "peak memory"],
        rows,
        [
            f"{figures}; ours leaves out those that nobody has edited. Everything from the start of the command to the "
            "last grade in the gradebook is counted. Peak memory is that of the largest process."
        ],
    )


def _memory(scratch: Path, environment: dict[str, str], students: int) -> Table:
    """Whether the grader grows with the number of submissions, or with what they print."""
    rows = []
    for name, count, kinds in (
        (f"{max(1, students // 6)} submissions", max(1, students // 6), KINDS),
        (f"{students} submissions", students, KINDS),
        (f"{students} submissions that print 5 MB each", students, [_noisy]),
    ):
        course = _folder(scratch / name.replace(" ", "-"), count, kinds)
        _, most = apart(_measured, _grade, course, environment)
        rows.append([name, megabytes(most)])
    return Table(f"Memory of `autograder grade`, {PROCESSES} processes", ["", "largest process"], rows)


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
    """A copy of the repository, whose autograder/ is nbgrader's folder, with the lab released and handed in."""
    course = copy_checkout(scratch / "ours") / "autograder"
    _nbgrader("generate_assignment", course, environment)
    return _folder(course, students, KINDS)


def _stock_course(scratch: Path, environment: dict[str, str], students: int, quick: bool) -> Path:
    """A course as nbgrader's own documentation sets it up, with the same notebook; its checks run as they stand."""
    course = scratch / "stock"
    notebook = read_source(LAB)
    notebook.cells = [cell for cell in notebook.cells if not quick or "see" not in tags(cell)]
    source = course / "source" / LAB / f"{LAB}.ipynb"
    source.parent.mkdir(parents=True)
    nbformat.write(notebook, source)
    (course / "nbgrader_config.py").write_text(STOCK_CONFIG)
    _nbgrader("generate_assignment", course, environment)
    return _folder(course, students, KINDS, nbformat.read(course / "release" / LAB / f"{LAB}.ipynb", as_version=4))


def _perfect(release: NotebookNode) -> NotebookNode:
    return submissions.fill(release, submissions.answers(LAB))


def _half(release: NotebookNode) -> NotebookNode:
    return submissions.fill(release, {name: submissions.answers(LAB)[name] for name in list(POINTS)[::2]})


def _noisy(release: NotebookNode) -> NotebookNode:
    notebook = _perfect(release)
    first = submissions.find(notebook, next(iter(POINTS)))
    notebook.cells[first].source += "\nprint('x' * 5_000_000)"
    return notebook


POINTS = submissions.points(LAB) if (LABS / LAB / f"{LAB}.ipynb").exists() else {}
KINDS: list[Make] = [_perfect, _half]
EXPECTED = {_perfect: sum(POINTS.values()), _half: sum(list(POINTS.values())[::2])}


def _folder(course: Path, students: int, kinds: list[Make], release: NotebookNode | None = None) -> Path:
    """nbgrader's folder with submissions of these kinds in turn."""
    notebooks = [make(release or submissions.released(LAB)) for make in kinds]
    for student, notebook in zip(range(students), itertools.cycle(notebooks), strict=False):
        path = course / "submitted" / f"student{student:03}" / LAB / f"{LAB}.ipynb"
        path.parent.mkdir(parents=True)
        nbformat.write(notebook, path)
    return course


def _measured(run: Callable[[Path, dict[str, str]], None], course: Path, environment: dict[str, str]) -> tuple:
    """Seconds, and the most bytes of memory that one process had, looked at ten times a second."""
    over, largest = threading.Event(), [0]

    def look() -> None:
        while not over.wait(0.1):
            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    largest[0] = max(largest[0], process.memory_info().rss)

    watch = threading.Thread(target=look)
    watch.start()
    try:
        return seconds(run, course, environment), largest[0]
    finally:
        over.set()
        watch.join()


def _autograde(course: Path, environment: dict[str, str]) -> None:
    _nbgrader("autograde", course, environment)


def _grade(course: Path, environment: dict[str, str]) -> None:
    options = ["--course", str(course), "grade", LAB, "--again", "-n", str(PROCESSES)]
    _command("autograder grade", ["autograder.cli", *options], course, environment)


def _nbgrader(command: str, course: Path, environment: dict[str, str]) -> None:
    _command(f"nbgrader {command}", ["nbgrader", command, LAB, "--force", "--log-level=WARN"], course, environment)


def _command(name: str, module: list[str], course: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *module], cwd=course, env=environment, text=True, capture_output=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{name} failed in {course.name}:\n{done.stderr or done.stdout}")


def _expect(course: Path, students: int) -> None:
    """A grader that is fast because it grades nothing would win."""
    with Gradebook(f"sqlite:///{course}/gradebook.db") as gradebook:
        scores = {s.student_id: (s.code_score, s.max_code_score) for s in gradebook.assignment_submissions(LAB)}
    most = sum(POINTS.values())
    right = {
        f"student{student:03}": (EXPECTED[kind], most)
        for student, kind in zip(range(students), itertools.cycle(KINDS), strict=False)
    }
    if scores != right:
        raise ValueError(f"{course.name}: the scores are {scores}; they should be {right}")
