"""Voting against search over a grid of errors: `python -m course.recipes.knobs` writes the table that Lab 6 shows.

The simulated reasoner needs no network, so the table is only a matter of minutes; it ships because a reader who moves
a slider does not want to wait.
"""

import itertools
import json
import random
from pathlib import Path

from tqdm.auto import tqdm

from course.reasoners.formats import StoryFormat
from course.reasoners.simulated import Errors, SimulatedReasoner
from course.search import (
    Action,
    Asking,
    Counts,
    Meter,
    Node,
    answered,
    collect_solutions,
    majority_vote,
    searching,
    vote,
)
from course.stories import Story, make_stories

TABLE = Path(__file__).with_name("knobs.json")
SLIPS, MISREAD = (0.05, 0.4), (0.0, 0.1, 0.25)
STORIES, VOTES, ROLLOUTS = 200, 64, 16
COUNTS = Counts(votes=8, sub_votes=4)
SUBQUESTIONS = (Action.SUBQUESTION, Action.REANSWER)


def measure(stories: list[Story], step: Errors, subquestion: Errors, seed: int = 0) -> dict[str, tuple[int, int]]:
    """By method, how many stories it gets right, and how many tokens it spends on a story."""
    return {
        "vote": _vote(stories, step, subquestion, seed),
        "search": _search(stories, step, subquestion, seed, tuple(Action)),
        "sub-questions only": _search(stories, step, subquestion, seed, SUBQUESTIONS),
    }


def _vote(stories: list[Story], step: Errors, subquestion: Errors, seed: int) -> tuple[int, int]:
    meter = Meter(SimulatedReasoner(step, subquestion, stories=stories, seed=seed))
    right = sum(answered(vote(story.text, StoryFormat(), VOTES), meter)[0] == story.answer for story in stories)
    return right, meter.tokens // len(stories)


def _search(
    stories: list[Story], step: Errors, subquestion: Errors, seed: int, actions: tuple[Action, ...]
) -> tuple[int, int]:
    meter = Meter(SimulatedReasoner(step, subquestion, stories=stories, seed=seed))
    asking, right = Asking(StoryFormat(), actions, COUNTS), 0
    for i, story in enumerate(stories):
        root: Node = answered(searching(story.text, asking, ROLLOUTS, rng=random.Random(seed + i)), meter)
        right += majority_vote([node.answer for node in collect_solutions(root)])[0] == story.answer
    return right, meter.tokens // len(stories)


def load() -> dict[tuple[float, float, float], dict[str, tuple[int, int]]]:
    """The table: by (slip, misread in steps, misread in sub-questions), what `measure` returns, for STORIES stories."""
    rows = json.loads(TABLE.read_text(encoding="utf-8"))
    return {tuple(row["errors"]): {name: tuple(pair) for name, pair in row["results"].items()} for row in rows}


def main() -> None:
    """Measure the whole grid and write it."""
    stories, rows = make_stories(STORIES, seed=0, steps=(2, 3, 4)), []
    for slip, step, subquestion in tqdm(list(itertools.product(SLIPS, MISREAD, MISREAD))):
        results = measure(stories, Errors(slip, step), Errors(slip, subquestion))
        rows.append({"errors": [slip, step, subquestion], "results": results})
    TABLE.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
