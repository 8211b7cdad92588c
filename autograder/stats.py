"""What a class can and cannot do yet: per question how many passed, and which misconceptions were met how often."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from matplotlib.figure import Figure

from autograder.result import Result
from course.plotting import DATA, MODEL, NOISE, figure
from course.plotting.style import FAINT, INK, MUTED

# what `Result.met` says beside the hints of misconceptions
RIGHT, WRONG, OPEN, STOPPED = "right", "wrong", "open", "stopped"


@dataclass
class Item:
    """One question: how it was met, and the points it gave."""

    exercise: str
    points: float
    met: Counter[str] = field(default_factory=Counter)
    earned: float = 0.0

    @property
    def asked(self) -> int:
        """How many submissions were judged on it."""
        return self.met.total()

    @property
    def recognised(self) -> list[tuple[str, int]]:
        """The hints of the misconceptions that were met, the most frequent first."""
        known = Counter({said: count for said, count in self.met.items() if said not in (RIGHT, WRONG, OPEN, STOPPED)})
        return sorted(known.items(), key=lambda pair: (-pair[1], pair[0]))

    @property
    def mean(self) -> float:
        """The mean share of the points that was earned, from 0 to 1."""
        return self.earned / (self.asked * self.points) if self.asked and self.points else 0.0

    def facts(self) -> dict[str, Any]:
        """For machines."""
        return {
            "exercise": self.exercise,
            "points": self.points,
            "submissions": self.asked,
            **{said: self.met[said] for said in (RIGHT, WRONG, OPEN, STOPPED)},
            "misconceptions": dict(self.recognised),
            "mean": round(self.mean, 4),
        }


def items(results: Iterable[Result], points: dict[str, float]) -> list[Item]:
    """The statistics of every question, in the lab's order, over all submissions that could be read."""
    found = {exercise: Item(exercise, worth) for exercise, worth in points.items()}
    for result in results:
        if result.status in ("unreadable", "missing"):
            continue
        for exercise, item in found.items():
            if exercise in result.met:
                item.met[result.met[exercise]] += 1
                item.earned += result.scores.get(exercise, 0.0)
    return list(found.values())


def table(statistics: list[Item]) -> str:
    """For a terminal: a line per question, and below it the misconceptions that were met."""
    width = max([len("question"), *(len(item.exercise) for item in statistics)])
    lines = [f"{'question':{width}}   points  right         mean  misconception  wrong  stopped  open"]
    for item in statistics:
        known = sum(count for _, count in item.recognised)
        share = item.met[RIGHT] / item.asked if item.asked else 0.0
        lines.append(
            f"{item.exercise:{width}} {item.points:8g} {item.met[RIGHT]:6} {share:5.0%} {item.mean:8.0%}"
            f" {known:14} {item.met[WRONG]:6} {item.met[STOPPED]:8} {item.met[OPEN]:5}"
        )
        lines += [f"{count:6}  {hint}" for hint, count in item.recognised]
    return "\n".join(lines)


def draw(lab: str, statistics: list[Item]) -> Figure:
    """A bar per question: right, a known misconception (the most frequent in words), otherwise wrong, not written."""
    fig, ax = figure(width=880, height=90 + 42 * len(statistics))
    ax.grid(False, axis="y")
    for row, item in enumerate(statistics):
        known = sum(count for _, count in item.recognised)
        start = 0.0
        for count, colour in (
            (item.met[RIGHT], MODEL),
            (known, DATA),
            (item.met[WRONG] + item.met[STOPPED], NOISE),
            (item.met[OPEN], FAINT),
        ):
            share = count / max(item.asked, 1)
            ax.barh(row, share, left=start, color=colour, height=0.42, zorder=2)
            start += share
        if item.recognised:
            hint, count = item.recognised[0]
            said = hint if len(hint) <= 110 else f"{hint[:107].rsplit(' ', 1)[0]} …"
            said = f"{count} × {said}"
            ax.text(0.004, row + 0.27, said, fontsize=7.5, color=MUTED, va="top", zorder=3, parse_math=False)
    names = [f"{item.exercise}  {item.met[RIGHT]}/{item.asked}" for item in statistics]
    ax.set(xlim=(0, 1), ylim=(len(statistics) - 0.3, -0.55))
    ax.set_yticks(range(len(statistics)), names, color=INK)
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
    keys = [("right", MODEL), ("a known misconception", DATA), ("otherwise wrong", NOISE), ("not written", FAINT)]
    ax.legend(
        handles=[ax.barh(-9, 0, color=colour, label=name) for name, colour in keys],
        loc="upper center",
        bbox_to_anchor=(0.4, -0.04),
        ncols=4,
        frameon=False,
        fontsize=8.5,
    )
    ax.set_title(finding(lab, statistics))
    return fig


def finding(lab: str, statistics: list[Item]) -> str:
    """The figure's title: the question that was solved least often."""
    asked = [item for item in statistics if item.asked]
    if not asked:
        return f"{lab}: nothing is graded yet"
    hardest = min(asked, key=lambda item: item.met[RIGHT] / item.asked)
    if hardest.met[RIGHT] == hardest.asked:
        return f"{lab}: everybody solved everything"
    return f"{lab}: {hardest.exercise} was solved least often, by {hardest.met[RIGHT]} of {hardest.asked}"
