"""Runs a rebuilt notebook in the sandbox and judges it: outputs and verdicts are put into it.

A check cell is not run as written. Its question goes, with inputs that only this run knows, to the student's function
in the sandbox; plain values come back and are compared here with what the lab's solution answers. Nothing that runs in
the sandbox can see or change that comparison.

A cell that runs too long, dies or takes too much memory ends the run. The notebook is then run again without it, so
that it costs its own points only.
"""

import contextlib
import hashlib
import hmac
import time
from dataclasses import dataclass, field, replace

from nbformat import NotebookNode
from nbformat.v4 import new_output

from autograder import harmless
from autograder.rebuild import released
from autograder.reference import reference
from autograder.sandbox import Limits, Session, Stopped, session
from autograder.source import checked_exercise, tags
from autograder.unseen import unseen
from course.checking.lab import PUBLIC
from course.checking.reply import read
from course.checking.verdict import Verdict

MAX_WORDS = 600  # characters of what a verdict says about one case
OPEN = "is not written yet"  # what a comparison says of an exercise that nobody has begun


@dataclass
class Outcome:
    """What a notebook has earned."""

    status: str = "graded"  # or "timeout", "crashed"
    scores: dict[str, float] = field(default_factory=dict)  # points by exercise
    met: dict[str, str] = field(default_factory=dict)  # by exercise: "right", "wrong", "open", "stopped" or a hint
    stopped: dict[str, str] = field(default_factory=dict)  # why, by the cell's id


def seed(secret: str, student: str, lab: str, exercise: str) -> str:
    """The seed of one question to one student: nobody can hand on an answer, and a run can be repeated."""
    message = "\0".join([student, lab, exercise]).encode()
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def execute(
    notebook: NotebookNode, lab: str, student: str, secret: str, limits: Limits, unsafe: bool = False
) -> Outcome:
    """Run and judge a notebook that `rebuild` has made. NoIsolation if there is no sandbox, unless `unsafe`."""
    run = _Run(notebook, lab, student, secret)
    until = time.monotonic() + limits.submission
    for _ in range(limits.restarts):
        with session(limits, until, unsafe) as cells:
            if run.complete(cells):
                return run.outcome
        if time.monotonic() >= until:
            run.give_up("timeout", f"the whole notebook ran for more than {limits.submission:g} seconds")
            return run.outcome
    run.give_up("crashed", f"the notebook had to be stopped {limits.restarts} times before this cell")
    return run.outcome


class _Run:
    """One notebook and what is known of it so far."""

    def __init__(self, notebook: NotebookNode, lab: str, student: str, secret: str) -> None:
        self.lab, self.student, self.secret = lab, student, secret
        self.outcome = Outcome()
        # figures that nobody has edited cannot change a grade
        unneeded = {cell.id: cell.source for cell in released(lab, lab).cells if tags(cell) & {"see", "train"}}
        self.cells = [
            cell for cell in notebook.cells if cell.cell_type == "code" and unneeded.get(cell.id) != cell.source
        ]
        self.seen: set[str] = set()  # ids of the cells that have run, been judged, or been stopped

    def complete(self, cells: Session) -> bool:
        """Run what counts, in a fresh session; False if something had to be stopped before all of it was seen."""
        for cell in self.cells:
            exercise = checked_exercise(cell)
            if cell.id in self.outcome.stopped or exercise in self.outcome.scores:
                continue
            try:
                if exercise:
                    self._judge(cell, exercise, cells)
                else:
                    cell.outputs, cell.execution_count = harmless.outputs(cells.run(cell.source))
                self.seen.add(cell.id)
            except (Stopped, ValueError) as stop:
                if exercise not in self.outcome.scores:  # else only its hint is lost
                    self._stop(cell, str(stop))
                return all(cell.id in self.seen for cell in self.cells)
        return True

    def give_up(self, status: str, why: str) -> None:
        """Whatever has no verdict by now will not get one."""
        self.outcome.status = status
        for cell in self.cells:
            if cell.id not in self.seen and checked_exercise(cell):
                self._stop(cell, why)

    def _judge(self, cell: NotebookNode, exercise: str, cells: Session) -> None:
        key, judge = seed(self.secret, self.student, self.lab, exercise), reference(self.lab)
        cells.ask(self.lab, exercise, key, unseen(exercise, key))
        expected = judge.expected(exercise, key)  # while the sandbox is at it
        given = read(cells.answer())
        try:
            verdict = judge.verdict(exercise, key, given, expected)
        except Exception:  # values that no function returns, made up to upset the comparison
            given = {}
            verdict = judge.verdict(exercise, key, given, expected)
        verdict = _in_short(verdict)
        self._record(cell, verdict, judge.credit(verdict))
        self.seen.add(cell.id)
        if not verdict.right and any(reply.error is None for reply in given.values()):
            cells.ask(self.lab, exercise, PUBLIC, "")
            public = read(cells.answer())
            with contextlib.suppress(Exception):  # made up like the above
                self._record(cell, judge.explained(verdict, key, given, expected, public), judge.credit(verdict))

    def _record(self, cell: NotebookNode, verdict: Verdict, share: float) -> None:
        points = share * cell.metadata.nbgrader["points"]
        problems = set(verdict.problems.values())
        met = "right" if verdict.right else "open" if problems == {OPEN} else verdict.hint or "wrong"
        self.outcome.scores[verdict.exercise], self.outcome.met[verdict.exercise] = points, met
        cell.execution_count = None
        cell.outputs = [_shown(verdict)]
        if not verdict.right and points > 0:  # nbgrader reads partial credit from a result that is a number
            cell.outputs.append(new_output("execute_result", {"text/plain": f"{points:.2f}"}, execution_count=None))
        elif not verdict.right:
            cell.outputs.append(_no_points(verdict))

    def _stop(self, cell: NotebookNode, why: str) -> None:
        exercise = checked_exercise(cell)
        self.outcome.stopped[cell.id] = why
        self.seen.add(cell.id)
        verdict = Verdict(exercise or "this cell", {"this": f"was stopped: {why}"})
        if exercise:
            self.outcome.scores[exercise], self.outcome.met[exercise] = 0.0, "stopped"
        cell.outputs, cell.execution_count = [_shown(verdict), _no_points(verdict)], None


def _in_short(verdict: Verdict) -> Verdict:
    """The verdict with no more of a student's words in it than a person reads."""
    problems = {
        case: problem and harmless.text(problem if len(problem) <= MAX_WORDS else f"{problem[:MAX_WORDS]} …")
        for case, problem in verdict.problems.items()
    }
    return replace(verdict, problems=problems)


def _shown(verdict: Verdict) -> NotebookNode:
    return new_output("display_data", {"text/plain": str(verdict), "text/html": verdict._repr_html_()})


def _no_points(verdict: Verdict) -> NotebookNode:
    """What nbgrader takes for a failed test; the words are in the verdict that is shown above it."""
    line = f"{verdict.exercise}: no points"
    return new_output("error", ename="CheckFailed", evalue=line, traceback=[line])
