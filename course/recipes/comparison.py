"""The shipped transformer under every method: `python -m course.recipes.comparison` writes the table that Lab 6 shows.

What each method answers to 200 fresh stories, and the tokens read and written for it; the tree search without each of
the five actions; three ways to choose from the same trees; and what the second opinion keeps of right and of wrong
traces.  About half an hour on one core.
"""

import itertools
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm

from course.reasoners.formats import StoryFormat
from course.reasoners.language import LanguageReasoner, load_reasoner
from course.search import (
    Action,
    Asking,
    Counts,
    Meter,
    Node,
    answered,
    beam,
    collect_solutions,
    final_answer,
    majority_vote,
    mask_path,
    prior_weight,
    puct,
    question,
    searching,
    select_answer,
    together,
    trace,
    verified,
    vote,
)
from course.search.asking import count_tokens
from course.stories import Story, make_stories

TABLE = Path(__file__).with_name("comparison.json")
STORIES, VOTES, ROLLOUTS, SEED = 200, 128, 8, 60
COUNTS = Counts(votes=8, sub_votes=4)
FORM = StoryFormat()
EVERY, CHECKED = Asking(FORM, counts=COUNTS), Asking(FORM, counts=COUNTS, accept=verified)
QUESTIONS = Asking(FORM, (Action.SUBQUESTION, Action.REANSWER), COUNTS)
SHARES = (0.2, 0.3, 0.4, 0.5)
Answers = list[float | None]
Row = tuple[int, Answers]  # tokens per story, and the answer to each


def majority(answers: Iterable[float | None]) -> float | None:
    """The answer that comes most often."""
    return majority_vote(answers)[0]


def attempts(stories: Sequence[Story], model: LanguageReasoner) -> dict[str, list[Row]]:
    """Votes of 4, 16, ... solutions: of all, of those that the verifier lets pass; the most probable one; any right."""
    lists = [texts for _, texts in answered(together([vote(story.text, FORM, VOTES) for story in stories]), model)]
    answers = [[final_answer(text) for text in texts] for texts in lists]
    scores = [model.score(story.text, texts) for story, texts in zip(stories, lists, strict=True)]
    passed = [[verified(Node(story.text), text) for text in texts] for story, texts in zip(stories, lists, strict=True)]
    rows: dict[str, list[Row]] = {}
    for n in (4, 16, VOTES):
        read = sum(count_tokens(story.text) for story in stories)
        tokens = (read + sum(count_tokens(text) for texts in lists for text in texts[:n])) // len(stories)
        true = [itertools.compress(some[:n], each) for some, each in zip(answers, passed, strict=True)]
        best = [some[each.index(max(each[:n]))] for some, each in zip(answers, scores, strict=True)]
        some_right = [
            float(story.answer) if story.answer in some[:n] else None
            for story, some in zip(stories, answers, strict=True)
        ]
        for name, chosen in {
            "self-consistency": [majority(some[:n]) for some in answers],
            "self-consistency, verified": [majority(some) for some in true],
            "best of n": best,
            "any of n": some_right,
        }.items():
            rows.setdefault(name, []).append((tokens, chosen))
    return rows


def rated(stories: Sequence[Story], model: LanguageReasoner, method: Callable[[str], Any]) -> Row:
    """Tokens and answers of a method, a coroutine of (answer, texts) for a question."""
    meter = Meter(model)
    results = answered(together([method(story.text) for story in stories]), meter)
    return meter.tokens // len(stories), [answer for answer, _ in results]


def searched(
    stories: Sequence[Story], model: LanguageReasoner, rollouts: int, asking: Asking, **how: Any
) -> tuple[Row, list[Node]]:
    """Tokens and answers, every solution counting 1, and the tree of each story."""
    meter = Meter(model)
    coroutines = [
        searching(story.text, asking, rollouts, rng=random.Random(SEED + i), **how) for i, story in enumerate(stories)
    ]
    roots = answered(together(coroutines), meter)
    return (
        meter.tokens // len(stories),
        [majority(node.answer for node in collect_solutions(r)) for r in roots],
    ), roots


def survivals(model: LanguageReasoner, prompts: Sequence[tuple[str, str]]) -> list[int]:
    """For each pair of a question and a trace, how many of the trace's beginnings lead to its own answer."""
    starts = [f"{put} {mask_path(text, share)}" for put, text in prompts for share in SHARES]
    endings = [texts[0] for texts in model(starts, 1, FORM.longest, [])]
    answers = [final_answer(f"{start} {ending}") for start, ending in zip(starts, endings, strict=True)]
    k = len(SHARES)
    return [answers[k * i : k * (i + 1)].count(final_answer(text)) for i, (_, text) in enumerate(prompts)]


def choices(
    stories: Sequence[Story], second: LanguageReasoner, roots: Sequence[Node]
) -> tuple[dict[str, Answers], dict[str, int]]:
    """What three ways of choosing answer, from the same trees; and how many distinct right and wrong traces are kept.

    Where the second opinion keeps nothing, all solutions vote.
    """
    solutions = [collect_solutions(root) for root in roots]
    distinct = [list({(question(node), trace(node)): node for node in each}.items()) for each in solutions]
    agreed = iter(survivals(second, [key for each in distinct for key, _ in each]))
    ways: dict[str, Answers] = {
        "every solution counts 1": [],
        "by prior weight": [],
        "the mutually consistent only": [],
    }
    kept: Counter[str] = Counter()
    for story, each, nodes in zip(stories, distinct, solutions, strict=True):
        surviving = set()
        for key, node in each:
            survives, true = next(agreed) >= 2, "right" if node.answer == story.answer else "wrong"
            kept[true] += 1
            kept[f"{true}, kept"] += survives
            if survives:
                surviving.add(key)
        consistent = [node.answer for node in nodes if (question(node), trace(node)) in surviving]
        ways["every solution counts 1"].append(majority(node.answer for node in nodes))
        ways["by prior weight"].append(select_answer((node.answer, prior_weight(node.path)) for node in nodes)[0])
        ways["the mutually consistent only"].append(majority(consistent or [node.answer for node in nodes]))
    return ways, dict(kept)


def measure(stories: Sequence[Story], model: LanguageReasoner, progress: bool = True) -> dict[str, Any]:
    """Everything, for these stories; every method draws the same random numbers for the same prompt."""
    methods: dict[str, list[Row]] = {}
    without: dict[str, Row] = {}
    bar = tqdm(total=17, disable=not progress)

    def note(name: str, row: Row) -> None:
        methods.setdefault(name, []).append(row)
        bar.set_description(name)
        bar.update()

    def fresh() -> LanguageReasoner:
        return model.at(1.0, seed=SEED)

    note("greedy", rated(stories, model.at(0.0), partial(vote, form=FORM, n=1)))
    methods |= attempts(stories, fresh())
    bar.update()
    for width in (2, 4):
        note("beam", rated(stories, fresh(), partial(beam, form=FORM, width=width, score=model.score)))
    for rollouts in (2, ROLLOUTS // 2, ROLLOUTS):
        row, trees = searched(stories, fresh(), rollouts, EVERY)
        note("tree search", row)
    for rollouts in (2, ROLLOUTS):
        note("tree search, verified", searched(stories, fresh(), rollouts, CHECKED)[0])
    note("tree search, sub-questions only", searched(stories, fresh(), ROLLOUTS, QUESTIONS)[0])
    note("tree search, puct", searched(stories, fresh(), ROLLOUTS, EVERY, rule=puct, prior=model.prior)[0])
    for missing in Action:
        asking = Asking(FORM, tuple(action for action in Action if action is not missing), COUNTS)
        without[missing.name] = searched(stories, fresh(), ROLLOUTS // 2, asking)[0]
        bar.update()
    ways, kept = choices(stories, model.at(1.0, seed=SEED + 1), trees)
    bar.close()
    truth = [float(story.answer) for story in stories]
    return {"truth": truth, "methods": methods, "without": without, "choosing": ways, "second opinion": kept}


def load() -> dict[str, Any]:
    """The table that `measure` made."""
    return json.loads(TABLE.read_text(encoding="utf-8"))


def write(table: dict[str, Any]) -> None:
    """Write a table, the answers to all stories in one line."""
    text = json.dumps(table, indent=1)
    lines = re.sub(r"\[[^][]*\]", lambda found: " ".join(found[0].split()), text)
    TABLE.write_text(lines + "\n", encoding="utf-8")


def main() -> None:
    """Measure everything and write it."""
    torch.set_num_threads(1)
    write(measure(make_stories(STORIES, seed=SEED), load_reasoner(seed=SEED)))


if __name__ == "__main__":
    main()
