"""The right answers: what the lab's own solution says. It runs only in the grader's process."""

import ast
import functools
from typing import Any

from autograder.misconceptions import replies
from autograder.source import read_source, tags
from course.checking.lab import Lab, load
from course.checking.reply import Reply
from course.checking.verdict import Misconception, Verdict, judge


class Reference:
    """A lab's questions together with the functions of its solution."""

    def __init__(self, lab: str):
        self.lab: Lab = load(lab)
        self.namespace: dict[str, Any] = {"__name__": "solution"}
        for cell in read_source(lab).cells:
            if cell.cell_type == "code" and not tags(cell) & {"see", "train"}:
                exec(compile(_without_checks(cell.source), f"<solution of {lab}>", "exec"), self.namespace)

    def expected(self, exercise: str, seed: str) -> dict[str, Reply]:
        """The right replies to a question under this seed."""
        return self.lab.find(exercise).put(self.namespace[exercise], seed)

    def misconceptions(self, exercise: str, seed: str) -> list[Misconception]:
        """The typical wrong replies to a question under this seed."""
        return replies(self.lab.name, self.lab.find(exercise), seed)

    def verdict(self, exercise: str, seed: str, given: dict[str, Reply]) -> Verdict:
        """Judge replies that were given under this seed."""
        verdict = judge(exercise, given, self.expected(exercise, seed), [])
        if verdict.right:
            return verdict
        return judge(exercise, given, self.expected(exercise, seed), self.misconceptions(exercise, seed))

    def credit(self, verdict: Verdict) -> float:
        """The share of the points that a verdict earns, from 0 to 1."""
        return verdict.share if self.lab.find(verdict.exercise).partial else float(verdict.right)


def _without_checks(source: str) -> ast.Module:
    tree = ast.parse(source)
    tree.body = [
        node
        for node in tree.body
        if not (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "check"
        )
    ]
    return tree


@functools.cache
def reference(lab: str) -> Reference:
    """The lab's reference, made once per process."""
    return Reference(lab)
