"""What a check found out about one exercise, and how a person is told."""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from course.checking.compare import RAISED, compare
from course.checking.reply import Reply

MANY_CASES = 6  # more are counted, not listed


@dataclass(frozen=True)
class Misconception:
    """A typical wrong answer to one draw, and the hint for whoever gives it."""

    hint: str
    replies: dict[str, Reply]


@dataclass(frozen=True)
class Verdict:
    """One exercise's cases, each with None (right) or what is wrong; and the hint, if the mistake was recognised."""

    exercise: str
    problems: dict[str, str | None]
    hint: str | None = None

    @property
    def right(self) -> bool:
        """Whether every case is right."""
        return not any(self.problems.values())

    @property
    def share(self) -> float:
        """The share of the cases that are right, from 0 to 1."""
        return sum(problem is None for problem in self.problems.values()) / len(self.problems)

    @property
    def lines(self) -> list[str]:
        """The verdict in words: one line if right; else what is wrong, where, and the hint."""
        if self.right:
            return [f"✓ {self.exercise}: right"]
        hint = [f"Hint: {self.hint}"] if self.hint else []
        good = [case for case, problem in self.problems.items() if not problem]
        bad = [case for case, problem in self.problems.items() if problem]
        alike: dict[str, list[str]] = {}  # the same words are said once, for all the cases they are about
        for case in bad:
            alike.setdefault(self.problems[case] or "", []).append(case)
        shown = list(alike.items())[:3]
        if not good and len(shown) == 1:
            return [f"✗ {self.exercise}: it {_sentence(shown[0][0])}", *hint]
        if hint:  # it explains everything but the exceptions, so one of the rest is enough, just before it
            raised = [each for each in alike.items() if each[0].startswith(RAISED)]
            explained = [each for each in alike.items() if each not in raised]
            shown = raised[:1] + explained[:1]
        if len(self.problems) > MANY_CASES and good:
            where = f"right in {len(good)} of {len(self.problems)} cases"
        else:
            where = f"right for {_listed(good)}; wrong for {_listed(bad)}" if good else "wrong in every case"
        said = [f"For {_listed(cases)}, it {_sentence(problem)}" for problem, cases in shown]
        if len(alike) == 1 and len(self.problems) <= MANY_CASES:
            said = [f"There it {_sentence(shown[0][0])}"]
        return [f"✗ {self.exercise}: {where}.", *said, *hint]

    def __str__(self) -> str:
        return "\n  ".join(self.lines)

    def _repr_html_(self) -> str:
        colour, background = ("#14532d", "#dcfce7") if self.right else ("#7f1d1d", "#fee2e2")
        first, *rest = (html.escape(line) for line in self.lines)
        return (
            f'<div style="color:{colour};background:{background};border-left:4px solid {colour};border-radius:4px;'
            f'padding:.4em .8em;max-width:60em;line-height:1.45">{first}'
            + "".join(f'<div style="padding-left:1.1em">{line}</div>' for line in rest)
            + "</div>"
        )


def judge(
    exercise: str, given: dict[str, Reply], expected: dict[str, Reply], misconceptions: Sequence[Misconception]
) -> Verdict:
    """Compare replies with the expected ones case by case, and a wrong one with what typical mistakes reply."""
    problems = {
        case: compare(given[case], reply) if case in given else "gave no answer that can be read"
        for case, reply in expected.items()
    }
    return Verdict(exercise, problems, recognised(given, expected, problems, misconceptions))


def recognised(
    given: dict[str, Reply],
    expected: dict[str, Reply],
    problems: dict[str, str | None],
    misconceptions: Iterable[Misconception],
) -> str | None:
    """The hint for whoever replied this and has these problems; None if it is right or no known mistake.

    Where an answer raised an exception, nobody knows what it would have been. The other cases still tell which mistake
    is in it, if one of them is wrong and a single hint explains them all.
    """
    if not any(problem and case in given and given[case].error is None for case, problem in problems.items()):
        return None
    hints = (known.hint for known in misconceptions if _alike(given, known.replies, expected))
    first = next(hints, None)
    complete = all(reply.error is None for reply in given.values())
    return first if complete or all(hint == first for hint in hints) else None


def _alike(given: dict[str, Reply], known: dict[str, Reply], expected: dict[str, Reply]) -> bool:
    """Whether whatever was answered is what this mistake answers, and the mistake gets nothing right in the rest."""
    return given.keys() == known.keys() and all(
        known[case].error is None
        and (compare(reply, known[case]) is None if reply.error is None else compare(known[case], expected[case]))
        for case, reply in given.items()
    )


def _sentence(problem: str) -> str:
    return problem if problem.endswith("…") else f"{problem}."


def _listed(cases: list[str]) -> str:
    some = cases if len(cases) <= 3 else [*cases[:2], f"{len(cases) - 2} more cases"]
    return some[0] if len(some) == 1 else ", ".join(some[:-1]) + " and " + some[-1]


class CheckFailed(AssertionError):
    """Raised by a failing check, so that tools that look for errors (nbgrader's Validate, nbclient) see it.

    In a notebook the verdict is shown instead of a traceback: there is no line of ours to look at.
    """

    def __init__(self, verdict: Verdict):
        super().__init__(str(verdict))
        self.verdict = verdict

    def _render_traceback_(self) -> list[str]:
        """The verdict in place of a traceback: its first line bold, in ANSI colours."""
        first, *rest = self.verdict.lines
        return [f"\x1b[1;31m{first}\x1b[0m", *(f"  {line}" for line in rest)]
