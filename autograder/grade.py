"""Grades one submission: the same bytes, lab, student and secret give the same scores, whatever the submission does."""

import hashlib
import time

import nbformat

from autograder.execute import Outcome, execute
from autograder.rebuild import NOTHING, Unreadable, read, rebuild, released
from autograder.result import NoIsolation, Result
from autograder.sandbox import Limits

__all__ = ["Limits", "NoIsolation", "Result", "grade"]

USUAL = Limits()


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
