"""Grades for other systems: CSV files that every field of is quoted and none of is a formula, and Gradescope's JSON."""

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import nbformat

from autograder.result import Result
from autograder.roster import Person
from autograder.source import checked_exercise
from course.checking.lab import load

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a cell that begins so is calculated by a spreadsheet


@dataclass(frozen=True)
class Row:
    """One person's grade for one lab, as it is in the gradebook; `status` is that of the submission."""

    person: Person
    lab: str
    status: str
    raw_score: float
    penalty: float
    max_score: float
    timestamp: str = ""
    duedate: str = ""

    @property
    def score(self) -> float:
        """The points after the penalty for being late."""
        return max(0.0, self.raw_score - self.penalty)


def nbgrader(rows: Iterable[Row]) -> str:
    """The columns of `nbgrader export`, and the submission's status."""
    table = [_nbgrader(row) for row in rows]
    head = table[0] if table else []
    return _csv(list(head), [list(line.values()) for line in table])


def _nbgrader(row: Row) -> dict[str, Any]:
    person = row.person
    return {
        "assignment": row.lab,
        "duedate": row.duedate,
        "timestamp": row.timestamp,
        "student_id": person.id,
        "last_name": person.last_name,
        "first_name": person.first_name,
        "email": person.email,
        "raw_score": row.raw_score,
        "late_submission_penalty": row.penalty,
        "score": row.score,
        "max_score": row.max_score,
        "status": row.status,
    }


def canvas(rows: Iterable[Row], column: str = "") -> str:
    """For Canvas: Grades → Import. `column` is the assignment's title there, its number in brackets included."""
    rows = list(rows)
    head = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", column or (rows[0].lab if rows else "")]
    lines: list[list[Any]] = [["    Points Possible", "", "", "", "", rows[0].max_score]] if rows else []
    for row in rows:
        name = ", ".join(filter(None, [row.person.last_name, row.person.first_name])) or row.person.id
        lines.append([name, row.person.lms, "", row.person.id, "", row.score])
    return _csv(head, lines)


def moodle(rows: Iterable[Row], column: str = "") -> str:
    """For Moodle: Grades → Import → CSV file, mapped by user name, id number or e-mail address."""
    rows = list(rows)
    head = ["Username", "First name", "Last name", "Email address", column or (rows[0].lab if rows else "")]
    return _csv(head, [[r.person.id, r.person.first_name, r.person.last_name, r.person.email, r.score] for r in rows])


def gradescope(result: Result, points: dict[str, float], *, shown: str = "visible") -> str:
    """Gradescope's `results.json` of one submission: every question with its points and its verdict in words."""
    words = verdicts(result)
    questions = load(result.lab).questions
    tests = [
        {
            "name": f"{exercise}: {questions[exercise].title}",
            "score": round(result.scores.get(exercise, 0.0), 4),
            "max_score": worth,
            "status": "passed" if result.scores.get(exercise) == worth else "failed",
            "output": words.get(exercise, result.note or "there is no verdict"),
            "output_format": "text",
            "visibility": shown,
        }
        for exercise, worth in points.items()
    ]
    facts = {
        "score": round(sum(result.scores.values()), 4),
        "execution_time": round(result.seconds),
        "output": result.note,
        "output_format": "text",
        "visibility": shown,
        "stdout_visibility": "hidden",
        "tests": tests,
    }
    return json.dumps(facts, indent=2, ensure_ascii=False)


def verdicts(result: Result) -> dict[str, str]:
    """What the student is told about every exercise, in words, from the graded notebook."""
    if not result.notebook:
        return {}
    found = {}
    for cell in nbformat.v4.reads(result.notebook).cells:
        exercise = checked_exercise(cell)
        texts = [output.data.get("text/plain", "") for output in cell.get("outputs", []) if "data" in output]
        if exercise and texts:
            found[exercise] = "".join(texts[0])
    return found


def _csv(head: list[str], lines: Iterable[list[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    writer.writerow(head)
    for line in lines:
        writer.writerow([_safe(cell) for cell in line])
    return text.getvalue()


def _safe(cell: Any) -> Any:
    """Text that a spreadsheet would calculate gets an apostrophe before it, which the spreadsheet does not show."""
    if isinstance(cell, float):
        return round(cell, 4)
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell
