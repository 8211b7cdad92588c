"""A class to grade in a folder of its own, with the stand-in for the grader."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook

from autograder import batch, run
from autograder.folder import COURSE_ID, Folder
from autograder.gradebook import Book
from autograder.ledger import Ledger
from tests import stand_in, submissions

LAB = "lab1_odes_sdes"
POINTS = submissions.points(LAB)
TOTAL = sum(POINTS.values())
FIRST, SECOND, THIRD = list(POINTS)[:3]
ALL_RIGHT = dict.fromkeys(POINTS, "right")


@dataclass
class Classroom:
    """nbgrader's course folder, and what the tests do in it."""

    root: Path

    @property
    def folder(self) -> Folder:
        return Folder(self.root)

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.folder.run(LAB))

    def place(self, student: str) -> Path:
        path = self.root / "submitted" / student / LAB / f"{LAB}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def hand_in(self, student: str, answers: dict[str, str] | bytes | None = None) -> Path:
        """A notebook with these words in its answers (default: all right), or these bytes."""
        path = self.place(student)
        if isinstance(answers, bytes):
            path.write_bytes(answers)
        else:
            nbformat.write(stand_in.write(LAB, ALL_RIGHT if answers is None else answers), path)
        return path

    def write_in_words(self, student: str, cell: str, answer: str) -> None:
        path = self.place(student)
        nbformat.write(submissions.fill(nbformat.read(path, as_version=4), {cell: answer}), path)

    def grade(self, work: run.Work = stand_in.work, **options) -> batch.Report:
        return batch.grade_lab(self.folder, LAB, batch.Options(quiet=True, **options), work)

    def enrol(self, *students: str) -> None:
        from autograder.roster import Person

        with Book(self.folder, LAB) as book:
            book.enrol(map(Person, students))

    def gradebook(self) -> Gradebook:
        return Gradebook(self.folder.gradebook, COURSE_ID)

    def scores(self) -> dict[str, float]:
        """Everybody's points in the gradebook."""
        with self.gradebook() as book:
            return {submission.student_id: submission.score for submission in book.assignment_submissions(LAB)}

    def grades(self, student: str) -> dict[str, tuple]:
        """A student's cells in the gradebook: automatic and manual score, and whether a person has to look."""
        with self.gradebook() as book:
            notebook = book.find_submission_notebook(LAB, LAB, student)
            return {g.name: (g.auto_score, g.manual_score, bool(g.needs_manual_grade)) for g in notebook.grades}

    def everything(self) -> dict[str, object]:
        """All that a run leaves for nbgrader, without what is drawn by chance."""
        notebooks = {
            path.relative_to(self.root).as_posix(): json.loads(path.read_text())
            for path in sorted((self.root / "autograded").rglob("*.ipynb"))
        }
        return {"scores": {s: self.grades(s) for s in self.scores()}, "notebooks": notebooks}


def inline(tasks, processes, work):
    """In place of `run.local`: the same outcomes, without processes to start."""
    for task in tasks:
        outcome = run._outcome(task, work)
        if isinstance(outcome, Exception):
            raise outcome
        yield outcome


@pytest.fixture(scope="session")
def empty_gradebook(tmp_path_factory) -> Path:
    """A new gradebook with the lab in it: nbgrader takes a second and more to make one."""
    root = tmp_path_factory.mktemp("gradebook")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COURSE_GRADEBOOK", raising=False)
        with Book(Folder(root), LAB) as book:
            book.register()
    return root / "gradebook.db"


@pytest.fixture
def classroom(tmp_path, empty_gradebook, monkeypatch) -> Classroom:
    """An empty class, graded in this process."""
    monkeypatch.delenv("COURSE_GRADEBOOK", raising=False)
    monkeypatch.setattr(run, "local", inline)
    root = tmp_path / "class"
    root.mkdir()
    shutil.copy(empty_gradebook, root)
    return Classroom(root)
