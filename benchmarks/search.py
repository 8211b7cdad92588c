"""The small transformer's texts, and tree searches with it: together and with a cache, against one by one."""

import random
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from statistics import median
from typing import Any

import torch

from benchmarks.measure import Candidate, Case, Settings, Table, apart, duration, race, ratios
from course.reasoners.formats import StoryFormat
from course.reasoners.language import LanguageReasoner, load_reasoner
from course.search import Asking, Counts, Meter, Node, answered, searching, together
from course.stories import make_stories

TEXTS, WORDS = 16, 60  # texts for each story, words at most


class Prompts:
    """Stories, and the model as it ships, which has read nothing yet."""

    def __init__(self, share: float, *, stories: int) -> None:
        self.prompts = [story.text for story in make_stories(max(1, round(stories * share)), seed=0)]

    def reasoner(self, memory: int = 30_000) -> LanguageReasoner:
        shipped = load_reasoner()
        return LanguageReasoner(shipped.model, shipped.words, memory=memory)

    @cached_property
    def expected(self) -> list[list[str]]:
        return all_at_once(self)


def all_at_once(p: Prompts) -> list[list[str]]:
    return p.reasoner()(p.prompts, TEXTS, WORDS, [])


def a_story_at_a_time(p: Prompts) -> list[list[str]]:
    reasoner = p.reasoner()
    return [reasoner([prompt], TEXTS, WORDS, [])[0] for prompt in p.prompts]


def prompts_not_shared(p: Prompts) -> list[list[str]]:
    """Each text reads its prompt itself."""
    reasoner = p.reasoner(memory=0)
    flat = [prompt for prompt in p.prompts for _ in range(TEXTS)]
    texts = [text for (text,) in reasoner(flat, 1, WORDS, [])]
    return [texts[i : i + TEXTS] for i in range(0, len(texts), TEXTS)]


def a_text_at_a_time(p: Prompts) -> list[list[str]]:
    reasoner = p.reasoner(memory=0)
    return [[reasoner([prompt], 1, WORDS, [])[0][0] for _ in range(TEXTS)] for prompt in p.prompts]


@torch.inference_mode()
def without_a_cache(p: Prompts) -> list[list[str]]:
    """A text at a time, and for each word all words before it are read again."""
    reasoner, generator = p.reasoner(), torch.Generator().manual_seed(0)
    lists = []
    for prompt in p.prompts:
        texts = []
        for _ in range(TEXTS):
            words, text = reasoner.words.encode(prompt), []
            while len(text) < WORDS:
                shares = torch.softmax(reasoner.model(torch.tensor([[*words, *text]]))[0, -1], -1)
                word = int(torch.multinomial(shares, 1, generator=generator))
                if word == 0:
                    break
                text.append(word)
            texts.append(reasoner.words.decode(text))
        lists.append(texts)
    return lists


def same_kind(p: Prompts, result: list[list[str]]) -> None:
    """As many texts as asked for, about as long as those of the base; the draws differ from way to way."""
    if [len(texts) for texts in result] != [TEXTS] * len(p.prompts):
        raise ValueError("not the number of texts that was asked for")
    own, base = (sum(len(text.split()) for texts in lists for text in texts) for lists in (result, p.expected))
    if not 0.5 < own / base < 2:
        raise ValueError(f"its texts have {own} words in all, those of the base {base}")


class Searches(Prompts):
    """As many searches, and what the model says in them."""

    rollouts = 8
    asking = Asking(StoryFormat(), counts=Counts(votes=8, sub_votes=4))

    def __init__(self, share: float, *, stories: int) -> None:
        super().__init__(share, stories=stories)
        self.meters: list[Meter] = []  # of the models that were asked

    def counted(self, memory: int = 30_000) -> Meter:
        """The model, with a count of its calls."""
        self.meters.append(Meter(self.reasoner(memory)))
        return self.meters[-1]

    def coroutines(self, **options: Any) -> list:
        return [
            searching(prompt, self.asking, self.rollouts, rng=random.Random(i), **options)
            for i, prompt in enumerate(self.prompts)
        ]

    @cached_property
    def said(self) -> dict[tuple, list[list[list[str]]]]:
        """What the model answered to each call of the searches together, by the call, in order."""
        said: dict[tuple, list[list[list[str]]]] = {}
        reasoner = self.reasoner()

        def recording(prompts: list[str], n: int, max_new: int, stop: list[str]) -> list[list[str]]:
            texts = reasoner(prompts, n, max_new, stop)
            said.setdefault((*prompts, n, max_new, *stop), []).append(texts)
            return texts

        answered(together(self.coroutines()), recording)
        return said


def searches_together(p: Searches) -> list[Node]:
    return answered(together(p.coroutines()), p.counted())


def one_after_the_other(p: Searches) -> list[Node]:
    reasoner = p.counted()
    return [answered(coroutine, reasoner) for coroutine in p.coroutines()]


def nothing_kept(p: Searches) -> list[Node]:
    return answered(together(p.coroutines()), p.counted(memory=0))


def virtual_loss(p: Searches) -> list[Node]:
    reasoner = p.counted()
    return [answered(coroutine, reasoner) for coroutine in p.coroutines(at_once=8)]


def no_model(p: Searches) -> list[Node]:
    """The same searches with the model's texts from a table: what the trees themselves cost."""
    turns: dict[tuple, int] = {}

    def replaying(prompts: list[str], n: int, max_new: int, stop: list[str]) -> list[list[str]]:
        key = (*prompts, n, max_new, *stop)
        turns[key] = turns.get(key, -1) + 1
        return p.said[key][turns[key]]

    return answered(together(p.coroutines()), replaying)


def all_done(p: Searches, roots: Sequence[Node]) -> None:
    """Every search made its rollouts, and none went deeper than it may."""
    if [root.visits for root in roots] != [p.rollouts] * len(p.prompts):
        raise ValueError("a search made another number of rollouts")
    if max(node.depth for root in roots for node in root.walk()) > 5:
        raise ValueError("a search went deeper than it may")


def cases(settings: Settings) -> Iterator[Case]:
    stories = 2 if settings.quick else 32
    yield Case(
        f"{TEXTS} solutions of each of {stories} stories by the small transformer",
        partial(Prompts, stories=stories),
        [
            Candidate("all at once, prompts shared", all_at_once),
            Candidate("all at once, each text reads its prompt", prompts_not_shared),
            Candidate("a story at a time", a_story_at_a_time),
            Candidate("a text at a time", a_text_at_a_time, 0.1),
            Candidate("a text at a time, without a cache", without_a_cache, 0.05),
        ],
        same_kind,
    )
    stories = 2 if settings.quick else 16
    yield Case(
        f"Tree searches of {Searches.rollouts} rollouts on {stories} stories",
        partial(Searches, stories=stories),
        [
            Candidate("together", searches_together),
            Candidate("together, nothing kept of prompts", nothing_kept),
            Candidate("one after the other, 8 rollouts at once", virtual_loss),
            Candidate("one after the other", one_after_the_other),
            Candidate("together, texts from a table", no_model, note="the trees without the model."),
        ],
        all_done,
    )


def tables(settings: Settings) -> Iterator[Table]:
    for case, unit in zip(cases(settings), ("tokens per second", "calls of the model"), strict=True):
        times = apart(race, case, settings)
        amounts = apart(amounts_of, case, settings, unit)
        base = times[case.candidates[0].name]
        rows = []
        for candidate in case.candidates:
            found = ratios(times[candidate.name], base)
            amount = amounts[candidate.name]
            cell = f"{amount / median(times[candidate.name]):,.0f}" if unit == "tokens per second" else f"{amount:,.0f}"
            rows.append([candidate.name, f"{median(found):.2f}", f"{found[0]:.2f}-{found[-1]:.2f}", cell])
        notes = [f"{each.name}: {each.note}" for each in case.candidates if each.note]
        title = f"{case.title} (1.00 = {duration(median(base))})"
        yield Table(title, ["", "time", "lowest-highest", unit], rows, notes)


def amounts_of(case: Case, settings: Settings, unit: str) -> dict[str, float]:
    """For each candidate the tokens that its texts have, or the calls of the model that it makes."""
    torch.set_num_threads(settings.threads)
    found = {}
    for candidate in case.candidates:
        problem = case.make(candidate.share)
        if unit == "tokens per second":
            words = problem.reasoner().words
            found[candidate.name] = sum(len(words.encode(t)) for some in candidate.run(problem) for t in some)
            found[candidate.name] /= candidate.share
        else:
            candidate.run(problem)
            found[candidate.name] = sum(meter.calls for meter in problem.meters)
    return found
