"""A class is graded with nbgrader's stock commands in a copy of the checkout: exact points, readable feedback."""

import csv
import html
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook

from autograder import ROOT
from autograder.misconceptions import misconceptions
from autograder.rebuild import rebuild
from autograder.source import checked_exercise
from tests import submissions
from tests.checkout import copy_checkout

LAB = "lab1_odes_sdes"
POINTS = submissions.points(LAB)
TOTAL = sum(POINTS.values())
FIRST, SECOND, THIRD = list(POINTS)[:3]
SOLVED_BY_HALF = list(POINTS)[::2]

# what each submission must earn for its code
EXPECTED = {
    "perfect": TOTAL,
    "half": sum(POINTS[name] for name in SOLVED_BY_HALF),
    "untouched": 0,
    "hard_coded": 0,
    "patched": 0,
    "forged": 0,
    "raises_first": TOTAL,
    "copied_and_deleted": TOTAL - POINTS[THIRD],
    "endless": TOTAL - POINTS[FIRST],
    "endless_cell": TOTAL - POINTS[FIRST],
    "dies": TOTAL - POINTS[FIRST],
    "flood": TOTAL - POINTS[FIRST],
    "own_helper": TOTAL,
    "stripped": TOTAL,
    "noisy": TOTAL,
    "spy": TOTAL,
    "showy": TOTAL,
    "mistaken": 0,
    "not_a_notebook": 0,
}


def mistaken() -> nbformat.NotebookNode:
    """In every exercise the first misconception of the list, as a student would write it."""
    sources = {}
    for name in POINTS:
        function, _ = misconceptions(LAB, name)[0]
        module = Path(sys.modules[function.__module__].__file__).read_text()
        alias = f"\n{name} = {function.__name__}\n"
        sources[name] = module.replace("from autograder.misconceptions import misconception", STAND_IN) + alias
    return submissions.fill(submissions.released(LAB), sources)


STAND_IN = "misconception = lambda exercise, hint: (lambda function: function)"


@dataclass
class Graded:
    """What the commands left behind."""

    root: Path
    totals: dict[str, float]
    scores: dict[str, dict[str, float]]
    log: str

    def page(self, student: str) -> str:
        """The feedback page."""
        return (self.root / "feedback" / student / LAB / f"{LAB}.html").read_text()

    def feedback(self, student: str) -> str:
        """The feedback page as text."""
        page = self.page(student)
        body = re.sub(r"<(style|script)\b.*?</\1>", "", page[page.index("<body") :], flags=re.DOTALL)
        return html.unescape(re.sub(r"<[^>]*>", "", body))


def nbgrader(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    # as in an activated environment, and with the setting that the instructor's page asks for
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "TRAITLETS_APPLICATION_RAISE_CONFIG_FILE_ERROR": "1"}
    command = [sys.executable, "-m", "nbgrader", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    return copy_checkout(tmp_path_factory.mktemp("checkout"))


@pytest.fixture(scope="module")
def graded(checkout) -> Graded:
    folder = checkout / "autograder"
    for student in EXPECTED:
        path = folder / "submitted" / student / LAB / f"{LAB}.ipynb"
        path.parent.mkdir(parents=True)
        if student == "not_a_notebook":
            path.write_bytes(b"\x89PNG this is no notebook")
        else:
            notebook = mistaken() if student == "mistaken" else getattr(submissions, student)(LAB)
            nbformat.write(notebook, path)
    log = ""
    for command in [
        ("generate_assignment", LAB, "--force"),
        ("autograde", LAB, "--Judge.timeout=6", "--Judge.question_timeout=5", "--Judge.secret=a secret of this test"),
        ("generate_feedback", LAB),
        ("export",),
    ]:
        done = nbgrader(folder, *command)
        log += done.stdout + done.stderr
        assert done.returncode == 0, log[-4000:]
    with open(folder / "grades.csv") as file:
        totals = {row["student_id"]: float(row["raw_score"]) for row in csv.DictReader(file)}
    with Gradebook(f"sqlite:///{folder}/gradebook.db") as gradebook:
        scores = {
            student: {
                grade.name.removeprefix("check_"): grade.auto_score
                for grade in gradebook.find_submission_notebook(LAB, LAB, student).grades
            }
            for student in EXPECTED
        }
    return Graded(folder, totals, scores, log)


@pytest.mark.parametrize("student", EXPECTED)
def test_every_submission_gets_exactly_its_points(graded, student):
    assert graded.totals[student] == EXPECTED[student]


def test_a_point_is_lost_only_where_the_mistake_is(graded):
    for student in ("endless", "endless_cell", "dies", "flood"):
        wrong = {name for name in POINTS if graded.scores[student][name] < POINTS[name]}
        assert wrong == {FIRST}, student
    assert {name for name in POINTS if graded.scores["half"][name]} == set(SOLVED_BY_HALF)
    assert {name for name in POINTS if not graded.scores["copied_and_deleted"][name]} == {THIRD}


def test_the_release_made_by_the_stock_command_is_the_committed_one(graded):
    made = graded.root.parent / "labs" / LAB / f"{LAB}.ipynb"
    assert made.read_bytes() == (ROOT / "labs" / LAB / f"{LAB}.ipynb").read_bytes()


def test_answers_in_words_wait_for_a_person(graded):
    with Gradebook(f"sqlite:///{graded.root}/gradebook.db") as gradebook:
        grades = gradebook.find_submission_notebook(LAB, LAB, "perfect").grades
        waiting = {grade.name for grade in grades if grade.needs_manual_grade}
    assert waiting == {"why_stability", "why_no_mixing"}


# ---- feedback -------------------------------------------------------------------------------------------------------


def test_feedback_says_what_is_right_and_what_is_not_written(graded):
    text = graded.feedback("half")
    for i, name in enumerate(POINTS):
        assert (f"✓ {name}: right" if i % 2 == 0 else f"✗ {name}: it is not written yet.") in text


def test_feedback_names_the_mistake(graded):
    text = graded.feedback("mistaken")
    for name in POINTS:
        _, hint = misconceptions(LAB, name)[0]
        assert f"Hint: {hint}" in text, name


def test_feedback_says_why_something_was_stopped(graded):
    assert f"✗ {FIRST}: it was stopped: it ran for more than 5 seconds." in graded.feedback("endless")
    assert "✗ this cell: it was stopped: it ran for more than 6 seconds." in graded.feedback("endless_cell")
    assert f"✗ {FIRST}: it was stopped: it ended the Python process." in graded.feedback("dies")
    assert f"✗ {FIRST}: it gave no answer that can be read." in graded.feedback("flood")
    assert "could not be read as a notebook" in graded.feedback("not_a_notebook")


@pytest.mark.parametrize("student", EXPECTED)
def test_feedback_shows_nothing_of_the_graders_own(graded, student):
    text = graded.feedback(student)
    for ours in ("autograder", "__import__", "Traceback", str(graded.root)):
        # a submission may speak of such things itself
        own = ("grader modules", "secrets:") if student == "spy" else ()
        lines = [line for line in text.splitlines() if ours in line and not any(word in line for word in own)]
        if student not in ("raises_first", "patched", "endless_cell"):  # their own exceptions have tracebacks
            assert lines == [], ours


def test_the_reference_never_enters_the_students_process(graded):
    text = graded.feedback("spy")
    assert "grader modules: []" in text
    assert "secrets: []" in text


def test_a_flood_of_output_does_not_reach_the_feedback(graded):
    assert (graded.root / "autograded" / "noisy" / LAB / f"{LAB}.ipynb").stat().st_size < 3_000_000


def test_plots_magics_and_rich_output_reach_the_feedback_and_scripts_do_not(graded):
    page = graded.page("showy")
    assert "data:image/png;base64,iVBOR" in page
    assert "<em>a rich output</em>" in page
    assert "Wall time" in page
    assert "My <strong>thoughts</strong>" in page
    assert "<script>steal" not in page


# ---- grading again --------------------------------------------------------------------------------------------------


def test_a_second_run_grades_nothing_twice_and_a_forced_one_agrees(graded):
    done = nbgrader(graded.root, "autograde", LAB, "--student=perfect")
    assert "Skipping existing assignment" in done.stderr
    done = nbgrader(graded.root, "autograde", LAB, "--student=perfect", "--force")
    assert done.returncode == 0
    with Gradebook(f"sqlite:///{graded.root}/gradebook.db") as gradebook:
        assert gradebook.find_submission(LAB, "perfect").score == TOTAL


def test_an_empty_class_is_an_error_in_one_sentence(checkout, graded, tmp_path):
    done = nbgrader(graded.root, "autograde", LAB, f"--CourseDirectory.submitted_directory={tmp_path}")
    assert done.returncode != 0
    assert "No notebooks were matched by" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_broken_configuration_stops_the_command(checkout):
    """nbgrader would go on with its defaults, and run the submissions unjudged."""
    config = checkout / "broken" / "nbgrader_config.py"
    config.parent.mkdir()
    shutil.copy(checkout / "autograder" / "nbgrader_config.py", config)
    config.write_text(config.read_text() + "\nc.Judge.secret = 1 / 0\n")
    done = nbgrader(config.parent, "autograde", LAB)
    assert done.returncode != 0
    assert "ZeroDivisionError" in done.stderr


# ---- rebuilding -----------------------------------------------------------------------------------------------------


def test_an_untouched_submission_is_rebuilt_as_the_release():
    release = submissions.released(LAB)
    assert rebuild(submissions.untouched(LAB), release) == release


def test_checks_are_taken_from_the_release_whatever_the_submission_says():
    notebook = submissions.perfect(LAB)
    i = submissions.find(notebook, f"check_{FIRST}")
    notebook.cells[i].source = "1 + 1"
    notebook.cells[i].metadata.nbgrader.update(points=1000, grade=False, locked=False)
    again = rebuild(notebook, submissions.released(LAB))
    cell = again.cells[submissions.find(again, f"check_{FIRST}")]
    assert cell.source == f"check({FIRST})"
    assert checked_exercise(cell) == FIRST
    assert cell.metadata.nbgrader.points == POINTS[FIRST]


def test_of_several_copies_the_last_that_was_worked_on_counts():
    notebook = submissions.perfect(LAB)
    i = submissions.find(notebook, FIRST)
    stub = submissions.released(LAB).cells[i]
    worked_on = notebook.cells[i].source
    notebook.cells.append(stub)
    again = rebuild(notebook, submissions.released(LAB))
    assert again.cells[submissions.find(again, FIRST)].source == worked_on


def test_a_hand_graded_answer_cannot_be_marked_as_something_else():
    notebook = submissions.perfect(LAB)
    cell = notebook.cells[submissions.find(notebook, "why_stability")]
    cell.metadata.nbgrader.update(solution=False, grade=True, locked=True)
    again = rebuild(notebook, submissions.released(LAB))
    marks = again.cells[submissions.find(again, "why_stability")].metadata.nbgrader
    assert marks.solution
    assert marks.grade


def test_a_cell_of_unreasonable_length_is_not_read():
    notebook = submissions.perfect(LAB)
    notebook.cells[submissions.find(notebook, FIRST)].source = "#" * 300_000
    again = rebuild(notebook, submissions.released(LAB))
    assert again.cells[submissions.find(again, FIRST)].source.endswith("at most 200,000 are read")
