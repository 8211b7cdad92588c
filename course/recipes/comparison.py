"""The shipped transformer under every method: `python -m course.recipes.comparison` writes the table that Lab 6 shows.

Accuracy on fresh stories, and the tokens read and written for it, by method and size; and what the second opinion
keeps of right and of wrong traces.  About half an hour on one core.
"""

import itertools
import json
import random
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
    puct,
    question,
    searching,
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
SHARES = (0.2, 0.3, 0.4, 0.5)
Row = tuple[int, int]  # tokens per story, right answers


def voted(stories: Sequence[Story], model: LanguageReasoner, n: int) -> list[list[str]]:
    """n solutions of each story."""
    return [texts for _, texts in answered(together([vote(story.text, FORM, n) for story in stories]), model)]


def rated(stories: Sequence[Story], model: LanguageReasoner, method: Callable[[str], Any]) -> Row:
    """Tokens and right answers of a method, a coroutine of (answer, texts) for a question."""
    meter = Meter(model)
    results = answered(together([method(story.text) for story in stories]), meter)
    return meter.tokens // len(stories), right(stories, [answer for answer, _ in results])


def searched(
    stories: Sequence[Story], model: LanguageReasoner, rollouts: int, asking: Asking, **how: Any
) -> tuple[Row, list[Node]]:
    """Tokens and right answers, every solution counting 1, and the tree of each story."""
    meter = Meter(model)
    coroutines = [
        searching(story.text, asking, rollouts, rng=random.Random(SEED + i), **how) for i, story in enumerate(stories)
    ]
    roots = answered(together(coroutines), meter)
    answers = [counted(collect_solutions(root)) for root in roots]
    return (meter.tokens // len(stories), right(stories, answers)), roots


def right(stories: Sequence[Story], answers: Iterable[float | None]) -> int:
    """How many answers are right."""
    return sum(answer == story.answer for story, answer in zip(stories, answers, strict=True))


def counted(solutions: Sequence[Node]) -> float | None:
    """The answer that most solutions give."""
    return majority_vote([node.answer for node in solutions])[0]


def majority(texts: Sequence[str]) -> float | None:
    """The answer that most texts state."""
    return majority_vote(map(final_answer, texts))[0]


def survivals(model: LanguageReasoner, prompts: Sequence[tuple[str, str]]) -> list[int]:
    """For each pair of a question and a trace, how many of the trace's beginnings lead to its own answer."""
    starts = [f"{put} {mask_path(text, share)}" for put, text in prompts for share in SHARES]
    endings = [texts[0] for texts in model(starts, 1, FORM.longest, [])]
    answers = [final_answer(f"{start} {ending}") for start, ending in zip(starts, endings, strict=True)]
    k = len(SHARES)
    return [answers[k * i : k * (i + 1)].count(final_answer(text)) for i, (_, text) in enumerate(prompts)]


def measure(stories: Sequence[Story], model: LanguageReasoner, progress: bool = True) -> dict[str, Any]:
    """Everything, for these stories."""
    methods: dict[str, list[Row]] = {}
    bar = tqdm(total=18, disable=not progress)

    def note(name: str, row: Row) -> None:
        methods.setdefault(name, []).append(row)
        bar.set_description(f"{name}: {row[1]} at {row[0]}")
        bar.update()

    note("greedy", rated(stories, model.at(0.0), partial(vote, form=FORM, n=1)))
    lists = voted(stories, model, VOTES)
    scores = [model.score(story.text, texts) for story, texts in zip(stories, lists, strict=True)]
    passed = [[verified(Node(story.text), text) for text in texts] for story, texts in zip(stories, lists, strict=True)]
    for n in (4, 16, VOTES):
        tokens = sum(count_tokens(story.text) for story in stories)
        tokens = (tokens + sum(count_tokens(text) for texts in lists for text in texts[:n])) // len(stories)
        note("self-consistency", (tokens, right(stories, [majority(texts[:n]) for texts in lists])))
        true = [list(itertools.compress(texts[:n], each)) for texts, each in zip(lists, passed, strict=True)]
        note("self-consistency, verified", (tokens, right(stories, map(majority, true))))
        best = [texts[each.index(max(each[:n]))] for texts, each in zip(lists, scores, strict=True)]
        note("best of n", (tokens, right(stories, map(final_answer, best))))
    for width in (2, 4):
        narrow = partial(beam, form=FORM, width=width, score=model.score)
        note("beam", rated(stories, model, narrow))
    every, checked = Asking(FORM, counts=COUNTS), Asking(FORM, counts=COUNTS, accept=verified)
    for rollouts in (2, ROLLOUTS):
        row, trees = searched(stories, model, rollouts, every)
        note("tree search", row)
        note("tree search, verified", searched(stories, model, rollouts, checked)[0])
    questions = Asking(FORM, (Action.SUBQUESTION, Action.REANSWER), COUNTS)
    note("tree search, sub-questions only", searched(stories, model, ROLLOUTS, questions)[0])
    note("tree search, puct", searched(stories, model, ROLLOUTS, every, rule=puct, prior=model.prior)[0])
    bar.close()
    oracle = sum(story.answer in map(final_answer, texts) for story, texts in zip(stories, lists, strict=True))
    opinion = second_opinion(stories, model.at(1.0, seed=SEED + 1), trees)
    return {"stories": len(stories), "methods": methods, "any of the votes right": oracle, "second opinion": opinion}


def second_opinion(stories: Sequence[Story], second: LanguageReasoner, roots: Sequence[Node]) -> dict[str, Any]:
    """What mutual consistency keeps of the right and the wrong solutions of these trees, and what they then answer."""
    distinct = [
        list({(question(node), trace(node)): node for node in collect_solutions(root)}.items()) for root in roots
    ]
    agreed = iter(survivals(second, [key for each in distinct for key, _ in each]))
    kept: Counter[str] = Counter()
    answers = []
    for story, each in zip(stories, distinct, strict=True):
        surviving = []
        for _, node in each:
            survives, true = next(agreed) >= 2, node.answer == story.answer
            kept[f"{'right' if true else 'wrong'}"] += 1
            kept[f"{'right' if true else 'wrong'}, kept"] += survives
            if survives:
                surviving.append(node)
        answers.append(counted(surviving or [node for _, node in each]))
    everything = [counted([node for _, node in each]) for each in distinct]
    return {**kept, "vote of all": right(stories, everything), "vote of the kept": right(stories, answers)}


def load() -> dict[str, Any]:
    """The table that `measure` made."""
    return json.loads(TABLE.read_text(encoding="utf-8"))


def main() -> None:
    """Measure everything and write it."""
    torch.set_num_threads(1)
    stories = make_stories(STORIES, seed=SEED)
    TABLE.write_text(json.dumps(measure(stories, load_reasoner(seed=SEED)), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
