"""The right answers: what the lab's own solution says. It runs only in the grader's process."""

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from autograder.misconceptions import replies
from autograder.source import is_check, read_source, tags
from autograder.unseen import unseen
from course.checking.lab import Lab, load
from course.checking.reply import Reply
from course.checking.verdict import Misconception, Verdict, judge


class Reference:
    """A lab's questions together with the functions of its solution."""

    def __init__(self, lab: str):
        self.lab: Lab = load(lab)
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
        return list(self._recalled(exercise, seed))

    def _recalled(self, exercise: str, seed: str) -> Iterator[Misconception]:
        return replies(self.lab.name, self.lab.find(exercise), seed, unseen(exercise, seed))

    def verdict(
        self,
        exercise: str,
        seed: str,
        given: dict[str, Reply],
        expected: dict[str, Reply] | None = None,
        known: Iterable[Misconception] | None = None,
    ) -> Verdict:
        """Judge replies that were given under this seed.

        expected, known: the right and the typical wrong replies, where they have been asked for already.
        """
        expected = self.expected(exercise, seed) if expected is None else expected
        verdict = judge(exercise, given, expected, [])
        if verdict.right or any(reply.error for reply in given.values()):  # no misconception raises anything
            return verdict
        # one after the other: the later ones need not be asked
        for mistake in self._recalled(exercise, seed) if known is None else known:
            named = judge(exercise, given, expected, [mistake])
            if named.hint:
                return named
        return verdict

    def credit(self, verdict: Verdict) -> float:
        """The share of the points that a verdict earns, from 0 to 1."""
        return verdict.share if self.lab.find(verdict.exercise).partial else float(verdict.right)


@functools.cache
def reference(lab: str) -> Reference:
    """The lab's reference, made once per process."""
    return Reference(lab)
