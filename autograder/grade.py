"""Grades one submission: the same bytes, lab, student and secret give the same scores, whatever the submission does."""

import hashlib
import json
import time
from dataclasses import asdict, dataclass

import nbformat

from autograder.execute import Outcome, execute
from autograder.rebuild import NOTHING, Unreadable, read, rebuild, released
from autograder.sandbox import Limits, NoIsolation

__all__ = ["Limits", "NoIsolation", "Result", "grade"]


USUAL = Limits()


@dataclass(frozen=True)
class Result:
    """What became of one submission."""

    student: str
    lab: str
    status: str  # "graded", "timeout", "crashed", "unreadable" or "missing"
    scores: dict[str, float]  # points per exercise; every graded one of the lab is there
    notebook: str  # the graded notebook (JSON), as nbgrader's autograded/ wants it; "" when there was nothing
    digest: str  # sha256 of the submitted bytes
    met: dict[str, str]  # exercise -> "right", "wrong", "open", "stopped" or the hint of the recognised misconception
    seconds: float
    note: str  # one line for the instructor; "" when there is nothing to say

    def to_json(self) -> bytes:
        """All of it as JSON."""
        return json.dumps(asdict(self), sort_keys=True).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "Result":
        """The inverse of `to_json`; ValueError for anything else."""
        try:
            return cls(**json.loads(data))
        except TypeError as error:
            raise ValueError(f"not a result: {error}") from None


def grade(
    submission: bytes, lab: str, student: str, secret: str, *, unsafe: bool = False, limits: Limits = USUAL
) -> Result:
    """Run and judge a submission; never raises for anything a submission does. NoIsolation unless `unsafe`.

    RuntimeError when the machine, not the submission, fails: no memory for a new process, a sandbox that is gone.
    """
    start = time.monotonic()
    note = ""
    try:
        found = read(submission)
    except Unreadable as error:
        found, note = NOTHING, str(error)
    notebook = rebuild(found, released(lab, lab))
    outcome = execute(notebook, lab, student, secret, limits, unsafe)
    return Result(
        student=student,
        lab=lab,
        status="unreadable" if found is NOTHING else outcome.status,
        scores=outcome.scores,
        notebook=nbformat.writes(notebook) + "\n",
        digest=hashlib.sha256(submission).hexdigest(),
        met=outcome.met,
        seconds=round(time.monotonic() - start, 3),
        note=note or _note(outcome),
    )


def _note(outcome: Outcome) -> str:
    """What had to be stopped, and why."""
    return "; ".join(f"cell {name} was stopped: {why}" for name, why in list(outcome.stopped.items())[:3])
