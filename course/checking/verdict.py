"""What a check found out about one exercise, and how a person is told."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

from course.checking.compare import compare
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
        good = [case for case, problem in self.problems.items() if problem is None]
        bad = {case: problem for case, problem in self.problems.items() if problem}
        if not good and len(set(bad.values())) == 1:
            lines = [f"✗ {self.exercise}: it {next(iter(bad.values()))}."]
        else:
            where = "wrong in every case"
            if good and len(self.problems) <= MANY_CASES:
                where = f"right for {_listed(good)}; wrong for {_listed(list(bad))}"
            elif good:
                where = f"right in {len(good)} of {len(self.problems)} cases"
            lines = [f"✗ {self.exercise}: {where}."]
            alike: dict[str, list[str]] = {}  # the same words are said once, for all the cases they are about
            for case, problem in bad.items():
                alike.setdefault(problem, []).append(case)
            shown = list(alike.items())[: 1 if self.hint else 3]
            lines += [f"For {_listed(_few(cases))}, it {problem}." for problem, cases in shown]
        return lines + ([f"Hint: {self.hint}"] if self.hint else [])

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
    hint = None
    if any(problems.values()):
        hint = next((known.hint for known in misconceptions if _alike(given, known.replies)), None)
    return Verdict(exercise, problems, hint)


def _alike(given: dict[str, Reply], known: dict[str, Reply]) -> bool:
    return given.keys() == known.keys() and all(compare(given[case], known[case]) is None for case in known)


def _listed(cases: list[str]) -> str:
    return cases[0] if len(cases) == 1 else ", ".join(cases[:-1]) + " and " + cases[-1]


def _few(cases: list[str]) -> list[str]:
    return cases if len(cases) <= 3 else [*cases[:2], f"{len(cases) - 2} more cases"]


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
