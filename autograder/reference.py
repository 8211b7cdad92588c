"""The right answers: what the lab's own solution says. It runs only in the grader's process."""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from autograder.misconceptions import misconceptions
from autograder.source import is_check, read_source, tags
from autograder.unseen import unseen
from course.checking.lab import Lab, load
from course.checking.reply import Reply
from course.checking.verdict import Misconception, Verdict, judge, recognised


class Reference:
    """A lab's questions together with the functions of its solution."""

    def __init__(self, lab: str):
        self.lab: Lab = load(lab)
        self._stored = functools.cache(self.lab.stored)
        self.namespace: dict[str, Any] = {"__name__": "solution"}
        for cell in read_source(lab).cells:
            if cell.cell_type == "code" and not tags(cell) & {"see", "train"} and not is_check(cell):
                exec(compile(cell.source, f"<solution of {lab}>", "exec"), self.namespace)

    def expected(self, exercise: str, seed: str) -> dict[str, Reply]:
        """The right replies to a question under this seed."""
        return self.ask(self.namespace[exercise], exercise, seed)

    def ask(self, function: Callable[..., Any], exercise: str, seed: str) -> dict[str, Reply]:
        """The replies of any function to a question under this seed."""
        return self.lab.find(exercise).put(function, seed, unseen(exercise, seed))

    def misconceptions(self, exercise: str, seed: str) -> list[Misconception]:
        """The typical wrong replies to a question under this seed."""
        known = misconceptions(self.lab.name, exercise)
        return [Misconception(hint, self.ask(function, exercise, seed)) for function, hint in known]

    def verdict(
        self, exercise: str, seed: str, given: dict[str, Reply], expected: dict[str, Reply] | None = None
    ) -> Verdict:
        """Judge replies that were given under this seed, without a hint.

        expected: the right replies, where they have been asked for already.
        """
        return judge(exercise, given, self.expected(exercise, seed) if expected is None else expected, [])

    def explained(
        self,
        verdict: Verdict,
        seed: str,
        given: dict[str, Reply],
        expected: dict[str, Reply],
        public: dict[str, Reply],
    ) -> Verdict:
        """The verdict with the hint that helps whoever gave these replies, and `public` to the public question.

        To ask every misconception would take seconds. What they reply to the public question is stored, so only one
        that replies the same there is asked whether it does so under this seed.
        """
        likely = judge(verdict.exercise, public, *self._stored(verdict.exercise)).hint
        alike = [
            Misconception(hint, self.ask(function, verdict.exercise, seed))
            for function, hint in misconceptions(self.lab.name, verdict.exercise)
            if hint == likely
        ]
        return replace(verdict, hint=recognised(given, expected, verdict.problems, alike))

    def credit(self, verdict: Verdict) -> float:
        """The share of the points that a verdict earns, from 0 to 1."""
        return verdict.share if self.lab.find(verdict.exercise).partial else float(verdict.right)


@functools.cache
def reference(lab: str) -> Reference:
    """The lab's reference, made once per process."""
    return Reference(lab)
