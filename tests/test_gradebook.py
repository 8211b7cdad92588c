"""What our runner leaves is what nbgrader's own steps would have left, and nbgrader goes on from there."""

import shutil

import nbformat
import pytest
from nbgrader.api import Gradebook
from nbgrader.apps.api import NbGraderAPI
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import SaveAutoGrades
from traitlets.config import Config

from autograder.folder import COURSE_ID, Folder
from autograder.gradebook import Book
from tests import submissions
from tests.classroom import FIRST, LAB, SECOND, THIRD, TOTAL, Classroom

MIXED = {FIRST: "right", SECOND: "half", THIRD: "hint: mind the sign"}


def test_the_gradebook_is_what_nbgraders_own_step_makes_of_the_graded_notebook(classroom, empty_gradebook, tmp_path):
    classroom.hand_in("anna", MIXED)
    classroom.write_in_words("anna", "why_stability", "Because.")
    classroom.hand_in("ben", {})
    classroom.grade()
    other = Classroom(tmp_path / "stock")
    other.root.mkdir()
    shutil.copy(empty_gradebook, other.root)
    for student in ("anna", "ben"):
        with other.gradebook() as book:
            book.update_or_create_student(student)
            book.update_or_create_submission(LAB, student)
        graded = nbformat.read(classroom.folder.autograded(student, LAB) / f"{LAB}.ipynb", as_version=4)
        about = {"student": student, "assignment": LAB, "notebook": LAB, "db_url": other.folder.gradebook}
        SaveAutoGrades().preprocess(graded, {"nbgrader": about})
        assert classroom.grades(student) == other.grades(student)
        with classroom.gradebook() as ours, other.gradebook() as stock:
            comments = [
                {c.name: c.comment for c in book.find_submission_notebook(LAB, LAB, student).comments}
                for book in (ours, stock)
            ]
        assert comments[0] == comments[1]
        assert set(comments[0].values()) == ({None, "No response."} if student == "anna" else {"No response."})


def test_the_lab_is_registered_as_nbgrader_registers_it(classroom):
    """`nbgrader generate_assignment` leaves the cells of the release, which tests/test_grading.py runs."""
    release = submissions.released(LAB)
    with classroom.gradebook() as book:
        notebook = book.find_notebook(LAB, LAB)
        assert {cell.name: cell.max_score for cell in notebook.grade_cells} == {
            cell.metadata.nbgrader.grade_id: cell.metadata.nbgrader.points
            for cell in release.cells
            if cell.metadata.get("nbgrader", {}).get("grade")
        }
        assert {cell.name: cell.source for cell in notebook.source_cells} == {
            cell.metadata.nbgrader.grade_id: cell.source for cell in release.cells if "nbgrader" in cell.metadata
        }


def test_an_answer_in_words_waits_for_a_person_until_it_changes(classroom):
    classroom.hand_in("anna", MIXED)
    classroom.write_in_words("anna", "why_stability", "Because.")
    classroom.grade()
    assert classroom.grades("anna")["why_stability"] == (None, None, True)
    assert classroom.grades("anna")["why_no_mixing"] == (0, None, False)
    with classroom.gradebook() as book:
        grade = book.find_grade("why_stability", LAB, LAB, "anna")
        grade.manual_score, grade.needs_manual_grade = 4.0, False
        book.db.commit()
    classroom.hand_in("anna", MIXED | {THIRD: "right"})
    classroom.write_in_words("anna", "why_stability", "Because.")
    classroom.grade()
    assert classroom.grades("anna")["why_stability"] == (None, 4.0, False)
    classroom.write_in_words("anna", "why_stability", "Because of the sign.")
    classroom.grade()
    assert classroom.grades("anna")["why_stability"] == (None, 4.0, True)


def test_a_score_that_a_person_has_overruled_is_looked_at_again_only_if_the_automatic_one_changes(classroom):
    classroom.hand_in("anna", MIXED)
    classroom.grade()
    with classroom.gradebook() as book:
        grade = book.find_grade(f"check_{THIRD}", LAB, LAB, "anna")
        grade.manual_score, grade.needs_manual_grade = 1.0, False
        book.db.commit()
    classroom.grade(again=True)
    assert classroom.grades("anna")[f"check_{THIRD}"] == (0, 1.0, False)
    classroom.hand_in("anna", MIXED | {THIRD: "half"})
    classroom.grade()
    auto, manual, looked_at = classroom.grades("anna")[f"check_{THIRD}"]
    assert (auto > 0, manual, looked_at) == (True, 1.0, True)


def test_a_gradebook_that_was_lost_is_made_again_from_the_results(classroom, empty_gradebook):
    classroom.hand_in("anna", MIXED)
    classroom.grade()
    before = classroom.everything()
    shutil.copy(empty_gradebook, classroom.root)
    report = classroom.grade()
    assert (report.graded_now, classroom.everything()) == (0, before)


def test_a_late_submission_is_penalised_by_nbgraders_own_rule(classroom):
    (classroom.root / "nbgrader_config.py").write_text(
        "from nbgrader.plugins import LateSubmissionPlugin\n"
        "class Half(LateSubmissionPlugin):\n"
        "    def late_submission_penalty(self, student_id, score, total_seconds_late):\n"
        "        return score / 2\n"
        "c = get_config()\nc.AssignLatePenalties.plugin_class = Half\n"
    )
    with classroom.gradebook() as book:
        book.update_or_create_assignment(LAB, duedate="2026-10-01 12:00:00 UTC")
    for student, hour in (("anna", 11), ("ben", 13)):
        path = classroom.hand_in(student)
        path.with_name("timestamp.txt").write_text(f"2026-10-01 {hour}:00:00.0 UTC")
    classroom.grade()
    with classroom.gradebook() as book:
        found = {s.student_id: s for s in book.assignment_submissions(LAB)}
        assert {student: s.late_submission_penalty or 0 for student, s in found.items()} == {
            "anna": 0,
            "ben": TOTAL / 2,
        }
        assert found["ben"].total_seconds_late == 3600
    stamp = classroom.folder.autograded("ben", LAB) / "timestamp.txt"
    assert stamp.read_text() == "2026-10-01 13:00:00.0 UTC"


def test_the_formgrader_sees_the_submissions_as_graded(classroom):
    classroom.hand_in("anna", MIXED)
    classroom.write_in_words("anna", "why_stability", "Because.")
    classroom.enrol("anna", "missing")
    classroom.grade()
    config = Config()
    config.CourseDirectory.root = str(classroom.root)
    config.CourseDirectory.db_url = classroom.folder.gradebook
    config.CourseDirectory.course_id = COURSE_ID
    api = NbGraderAPI(CourseDirectory(config=config), config=config)
    found = {submission["student"]: submission for submission in api.get_submissions(LAB)}
    assert (found["anna"]["autograded"], found["anna"]["needs_manual_grade"]) == (True, True)
    (notebook,) = api.get_notebook_submissions(LAB, LAB)
    assert (notebook["student"], notebook["max_code_score"]) == ("anna", TOTAL)


def test_nothing_but_the_graded_notebook_and_the_time_gets_into_autograded(classroom):
    path = classroom.hand_in("anna")
    path.with_name("torch.py").write_text("raise SystemExit")
    path.with_name("link").symlink_to("/etc/passwd")
    classroom.grade()
    assert [p.name for p in classroom.folder.autograded("anna", LAB).iterdir()] == [f"{LAB}.ipynb"]


def test_the_receipt_of_nbgraders_exchange_goes_with_the_graded_notebook(classroom):
    """Without it `nbgrader release_feedback` stops; tests/test_exchange.py goes the whole way."""
    receipt = classroom.hand_in("anna").with_name("submission_secret.txt")
    receipt.write_text("0123abc")
    classroom.grade()
    graded = classroom.folder.autograded("anna", LAB) / "submission_secret.txt"
    assert graded.read_text() == "0123abc"
    receipt.unlink()
    receipt.symlink_to("/etc/passwd")
    classroom.grade()
    assert not graded.exists()


def test_a_new_gradebook_is_made_where_there_is_none(tmp_path, monkeypatch):
    monkeypatch.delenv("COURSE_GRADEBOOK", raising=False)
    with Book(Folder(tmp_path), LAB) as book:
        book.register()
        assert book.people() == []
    with Gradebook(f"sqlite:///{tmp_path}/gradebook.db", COURSE_ID) as book:
        assert book.find_assignment(LAB).max_code_score == pytest.approx(TOTAL)
