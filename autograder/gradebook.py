"""The one writer to nbgrader's gradebook and `autograded/`: what nbgrader's own autograde leaves, from our results.

Writing the same result twice changes nothing, and what a person has entered (scores, comments) is never touched.
"""

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbgrader.api import BaseCell, Gradebook, InvalidEntry, MissingEntry, Student, SubmittedAssignment
from nbgrader.preprocessors import AssignLatePenalties, SaveCells
from nbgrader.utils import compute_checksum, determine_grade, is_grade, is_solution, parse_utc
from sqlalchemy.exc import SAWarning, SQLAlchemyError
from traitlets.config import Config, PyFileConfigLoader

from autograder.folder import COURSE_ID, Folder
from autograder.ledger import Record, write
from autograder.rebuild import released
from autograder.roster import Person


class Unavailable(RuntimeError):
    """The gradebook cannot be read or written at this moment; the message is one line."""

    @classmethod
    def because(cls, error: Exception) -> "Unavailable":
        """From what the database said."""
        said = str(getattr(error, "orig", None) or error).partition("\n")[0]
        if "locked" in said:
            said = "another program holds it"
        return cls(f"the gradebook cannot be used: {said}")


Change = tuple[float, float]  # an exercise's score before and now


class Book:
    """nbgrader's gradebook, opened for one lab: `with Book(folder, lab) as book`."""

    def __init__(self, folder: Folder, lab: str):
        self.folder, self.lab = folder, lab
        # nbgrader starts alembic by its bare name to make a new gradebook
        os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        try:
            self.book = Gradebook(folder.gradebook, COURSE_ID)
        except (SQLAlchemyError, OSError) as error:
            raise Unavailable.because(error) from None

    def __enter__(self) -> "Book":
        return self

    def __exit__(self, *_: object) -> None:
        self.book.close()

    # ---- the roster

    def people(self) -> list[Person]:
        """Everybody on the roster, in order."""
        return [
            Person(s.id, s.first_name or "", s.last_name or "", s.email or "", s.lms_user_id or "")
            for s in self._tried(lambda: self.book.db.query(Student).order_by(Student.id).all())
        ]

    def enrol(self, people: Iterable[Person]) -> None:
        """Put people on the roster, all or none of them; what is known of one is kept where nothing new is said."""

        def enrol() -> None:
            for person in people:
                student = self.book.db.get(Student, person.id) or Student(id=person.id)
                for name in ("first_name", "last_name", "email"):
                    if value := getattr(person, name):
                        setattr(student, name, value)
                if person.lms:
                    student.lms_user_id = person.lms
                self.book.db.add(student)
            self.book.db.commit()

        self._tried(enrol)

    # ---- the lab

    def register(self) -> None:
        """Make the lab and its cells known, as `nbgrader generate_assignment` does; only what is new is written."""
        release = released(self.lab, self.lab)
        wanted = {
            cell.metadata.nbgrader.grade_id: cell.metadata.nbgrader.get("points", 0)
            for cell in release.cells
            if is_grade(cell)
        }

        def register() -> None:
            try:
                notebook = self.book.find_notebook(self.lab, self.lab)
                if {cell.name: cell.max_score for cell in notebook.grade_cells} == wanted:
                    return
            except MissingEntry:
                self.book.update_or_create_assignment(self.lab)
            resources = {"nbgrader": {"notebook": self.lab, "assignment": self.lab, "db_url": self.folder.gradebook}}
            SaveCells().preprocess(release, resources)
            self.book.db.expire_all()

        try:
            self._tried(register)
        except RuntimeError as error:  # nbgrader's: cells were added or removed although there are submissions
            if isinstance(error, Unavailable):
                raise
            raise Unavailable(f"the gradebook has another version of {self.lab}: {error}") from None

    # ---- results

    def record(self, record: Record) -> dict[str, Change]:
        """Write a result: the notebook to `autograded/`, scores and automatic comments to the gradebook.

        Returns the exercises that had another score before.
        """
        result = record.result
        folder = self.folder.autograded(result.student, self.lab)
        path = folder / f"{self.lab}.ipynb"
        before = path.read_bytes() if path.exists() else b""
        notebook = nbformat.v4.reads(result.notebook)
        answers_before = _answers(before)
        changed = self._tried(lambda: self._scores(record, notebook, answers_before))
        # last: should this process die in between, the next one still sees which answers are new
        self._write(path, result.notebook.encode(), before)
        for name, text in (("timestamp.txt", record.timestamp), ("submission_secret.txt", record.receipt)):
            path = folder / name
            if text:
                self._write(path, text.encode(), path.read_bytes() if path.exists() else b"")
            else:
                path.unlink(missing_ok=True)
        return changed

    def _scores(self, record: Record, notebook: NotebookNode, answers_before: dict[str, str]) -> dict[str, Change]:
        result = record.result
        changed: dict[str, Change] = {}
        timestamp = parse_utc(record.timestamp) if record.timestamp else None
        try:
            submission = self.book.find_submission(self.lab, result.student)
        except MissingEntry:
            with warnings.catch_warnings(), _quiet():
                warnings.simplefilter("ignore", SAWarning)  # about the way nbgrader adds it, which works
                submission = self.book.add_submission(self.lab, result.student, timestamp=timestamp)
        if submission.timestamp != timestamp:
            submission.timestamp = timestamp
        names = {cell.id: cell.name for cell in self.book.db.query(BaseCell.id, BaseCell.name)}
        (written,) = (each for each in submission.notebooks if each.name == self.lab)
        grades = {names[grade.cell_id]: grade for grade in written.grades}
        comments = {names[comment.cell_id]: comment for comment in written.comments}
        for cell in notebook.cells:
            if is_grade(cell):
                name = cell.metadata.nbgrader.grade_id
                self._grade(grades[name], cell, answers_before, changed)
            if is_solution(cell):
                comment = comments[cell.metadata.nbgrader.grade_id]
                untouched = cell.metadata.nbgrader.get("checksum") == compute_checksum(cell)
                if comment.auto_comment != ("No response." if untouched else None):
                    comment.auto_comment = "No response." if untouched else None
        if self.book.db.dirty:
            self.book.db.commit()
        self._late(submission)
        return changed

    def _grade(
        self, grade: Any, cell: NotebookNode, answers_before: dict[str, str], changed: dict[str, Change]
    ) -> None:
        name = cell.metadata.nbgrader.grade_id
        by_hand = is_solution(cell)
        score, _ = determine_grade(cell)
        if grade.auto_score == score and not (by_hand and answers_before.get(name) != cell.source):
            return  # whatever a person has done since stays done
        if grade.auto_score is not None and score is not None:
            changed[name.removeprefix("check_")] = (grade.auto_score, score)
        grade.auto_score = score
        # as nbgrader does: what a person has scored, or has to score, is looked at again
        grade.needs_manual_grade = score is None or grade.manual_score is not None

    def _late(self, submission: SubmittedAssignment) -> None:
        """The penalty of a late submission, by nbgrader's own step and whatever plugin the course has configured."""
        if not submission.total_seconds_late and not submission.late_submission_penalty:
            return
        about = {"notebook": self.lab, "assignment": self.lab, "student": submission.student.id}
        resources = {"nbgrader": about | {"db_url": self.folder.gradebook}}
        AssignLatePenalties(config=self._configuration()).preprocess(nbformat.v4.new_notebook(), resources)
        self.book.db.expire_all()

    def _configuration(self) -> Config:
        if not (self.folder.root / "nbgrader_config.py").exists():
            return Config()
        return PyFileConfigLoader("nbgrader_config.py", path=str(self.folder.root)).load_config()

    # ---- what is there

    def waiting(self) -> int:
        """How many submissions to the lab have something that a person has to look at."""
        submissions = self._submissions()
        return sum(bool(submission.needs_manual_grade) for submission in submissions)

    def scores(self) -> dict[str, SubmittedAssignment]:
        """Every graded submission to the lab, by student."""
        return {submission.student_id: submission for submission in self._submissions()}

    def _submissions(self) -> list[SubmittedAssignment]:
        return self._tried(lambda: self.book.assignment_submissions(self.lab))

    def maximum(self) -> float:
        """The points of the lab, written answers included."""
        try:
            return self._tried(lambda: self.book.find_assignment(self.lab).max_score)
        except MissingEntry:
            return 0.0

    def _tried(self, action: Any) -> Any:
        try:
            return action()
        except (SQLAlchemyError, InvalidEntry) as error:
            self.book.db.rollback()
            cause = error.__context__ if isinstance(error, InvalidEntry) else error  # nbgrader hides some behind this
            if not isinstance(cause, SQLAlchemyError):
                raise
            raise Unavailable.because(cause) from None

    def _write(self, path: Path, content: bytes, before: bytes) -> None:
        if content != before:
            write(path, content, mode=0o444)  # as nbgrader: nobody edits a graded notebook by mistake


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the traceback that nbgrader logs before it raises."""
    log = logging.getLogger("tornado.application")
    log.disabled = True
    try:
        yield
    finally:
        log.disabled = False


def _answers(notebook: bytes) -> dict[str, str]:
    """The sources of the cells that are graded by hand, in a notebook that was graded before."""
    try:
        cells = nbformat.v4.reads(notebook.decode()).cells if notebook else []
    except ValueError:
        return {}
    return {cell.metadata.nbgrader.grade_id: cell.source for cell in cells if is_grade(cell) and is_solution(cell)}
