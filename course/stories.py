"""Arithmetic stories of 2 to 6 steps: texts whose every intermediate result is known exactly.

    Tom has 5 apples. Ida has 4 pens. Mia has 3 more apples than Tom. Ben has 2 times as many apples as Mia.
    How many apples does Ben have?

    Mia has 5 + 3 = 8. Ben has 8 * 2 = 16. The answer is 16.

The words are few, so that a small language model can learn them; a reader of English needs no legend.
"""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from course.search.answers import last_number

NAMES = ("Ada", "Ben", "Cleo", "Dan", "Eve", "Finn", "Gus", "Hana", "Ida", "Jon", "Kim", "Leo")
THINGS = ("apples", "books", "cards", "coins", "pens", "shells")
LARGEST = 60  # no number in a story is larger

ASK = "How many"  # starts a sub-question
AGAIN = "Again:"  # after a story: tell it once more, in order and without what is not needed
WORDS = (
    *("<end>", ".", "?", "+", "-", "*", "/", "="),
    *("has", "have", "more", "fewer", "than", "times", "half", "as", "and", "together"),
    *("How", "many", "does", "do", "The", "answer", "is", AGAIN),
    *NAMES,
    *THINGS,
    *map(str, range(LARGEST + 1)),
)


@dataclass(frozen=True)
class Step:
    """One calculation: left operator right = value is what the owners have."""

    owners: tuple[str, ...]
    thing: str
    left: int
    operator: str
    right: int
    value: int

    @property
    def equation(self) -> str:
        """Such as 5 + 3 = 8."""
        return f"{self.left} {self.operator} {self.right} = {self.value}"

    @property
    def text(self) -> str:
        """As a step of thought: Mia has 5 + 3 = 8."""
        return f"{' and '.join(self.owners)} {'has' if len(self.owners) == 1 else 'have'} {self.equation}."

    @property
    def question(self) -> str:
        """As a question: How many apples does Mia have?"""
        if len(self.owners) == 1:
            return f"How many {self.thing} does {self.owners[0]} have?"
        return f"How many {self.thing} do {' and '.join(self.owners)} have together?"


@dataclass(frozen=True)
class Story:
    """A problem: its facts in the order told, the question, the steps that solve it, and the answer.

    needed: the facts that the answer depends on, in the order of the steps; the others are distractors.
    """

    facts: tuple[str, ...]
    needed: tuple[str, ...]
    steps: tuple[Step, ...]

    @property
    def question(self) -> str:
        """What is asked: the question of the last step."""
        return self.steps[-1].question

    @property
    def text(self) -> str:
        """The facts and the question."""
        return " ".join((*self.facts, self.question))

    @property
    def rephrased(self) -> str:
        """The same problem without distractors, its facts in the order in which they are used."""
        return " ".join((*self.needed, self.question))

    @property
    def answer(self) -> int:
        """The value of the last step."""
        return self.steps[-1].value

    @property
    def solution(self) -> str:
        """All steps in words, and the answer."""
        return " ".join([*(step.text for step in self.steps), f"The answer is {self.answer}."])


def make_story(rng: random.Random, steps: int, distractors: int = 0) -> Story:
    """A random story with so many steps and distracting facts.

    Every step needs the result of the step before; some also need an earlier one.  Half of the distractors are about
    other things, half are about the same thing but lead nowhere.
    Raises ValueError for steps outside 1, ..., 6 or distractors outside 0, ..., 4.
    """
    if not 1 <= steps <= 6:
        raise ValueError(f"steps is {steps}; wanted 1 to 6.")
    if not 0 <= distractors <= 4:
        raise ValueError(f"distractors is {distractors}; wanted 0 to 4.")
    names, thing, other = rng.sample(NAMES, len(NAMES)), *rng.sample(THINGS, 2)
    people = {names[0]: rng.randint(2, 15)}  # who has how many
    facts = [f"{names[0]} has {people[names[0]]} {thing}."]
    done: list[Step] = []
    while len(done) < steps:
        previous = names[len(done)]
        if len(done) == steps - 1 and steps > 1 and rng.random() < 0.2:
            partner = rng.choice(list(people)[:-1])
            if people[previous] + people[partner] <= LARGEST:
                owners, value = (partner, previous), people[partner] + people[previous]
                done.append(Step(owners, thing, people[partner], "+", people[previous], value))
                break
        fact, step = _relation(rng, names[len(done) + 1], thing, previous, people)
        facts.append(fact)
        done.append(step)
        people[names[len(done)]] = step.value
    told, owners_of_other = list(facts), rng.sample(names[: len(people) + 2], len(people) + 2)
    for i in range(distractors):
        stranger = names[-1 - i]
        if rng.random() < 0.5:
            fact = f"{owners_of_other.pop()} has {rng.randint(2, 15)} {other}."
        else:
            fact, _ = _relation(rng, stranger, thing, rng.choice(list(people)), people)
        told.insert(rng.randint(0, len(told)), fact)
    return Story(tuple(told), tuple(facts), tuple(done))


def _relation(rng: random.Random, name: str, thing: str, other: str, people: dict[str, int]) -> tuple[str, Step]:
    """How many `name` has, told by how many another one has, and the step that finds it."""
    have = people[other]
    kinds = []
    if have <= LARGEST - 9:
        kinds.append("+")
    if have >= 4:
        kinds.append("-")
    if have <= LARGEST // 4:
        kinds.append("*")
    if have >= 4 and have % 2 == 0:
        kinds.append("/")
    partners = [p for p in people if p != other and people[p] + have <= LARGEST]
    if partners and rng.random() < 0.4:
        kinds.append("and")
    kind = rng.choice(kinds)
    if kind == "+":
        k = rng.randint(2, 9)
        return f"{name} has {k} more {thing} than {other}.", Step((name,), thing, have, "+", k, have + k)
    if kind == "-":
        k = rng.randint(2, min(9, have - 1))
        return f"{name} has {k} fewer {thing} than {other}.", Step((name,), thing, have, "-", k, have - k)
    if kind == "*":
        k = rng.randint(2, 4)
        return f"{name} has {k} times as many {thing} as {other}.", Step((name,), thing, have, "*", k, have * k)
    if kind == "/":
        return f"{name} has half as many {thing} as {other}.", Step((name,), thing, have, "/", 2, have // 2)
    partner = rng.choice(partners)
    fact = f"{name} has as many {thing} as {partner} and {other} together."
    return fact, Step((name,), thing, people[partner], "+", have, people[partner] + have)


def make_stories(
    count: int, seed: int, steps: Sequence[int] = (2, 3, 4, 5, 6), distractors: Sequence[int] = (0, 1, 2)
) -> list[Story]:
    """So many random stories, their steps and distractors drawn uniformly from those given; the same seed, the same."""
    rng = random.Random(seed)
    return [make_story(rng, rng.choice(steps), rng.choice(distractors)) for _ in range(count)]


def make_example(story: Story, rng: random.Random) -> list[tuple[str, bool]]:
    """A text to learn from, in pieces (text, whether a model learns to write it), in one of the actions' formats.

    Half of the solutions are steps alone, the others ask all or some of the sub-questions.  A model does not learn
    when to ask one: an action decides that, by starting the sub-question for it.
    """
    if rng.random() < 0.12:
        return [(f"{story.text} {AGAIN}", False), (story.rephrased, True)]
    pieces = [(story.rephrased if rng.random() < 0.12 else story.text, False)]
    asked = rng.choice((0.0, 0.0, 0.5, 1.0))
    for step in story.steps:
        if rng.random() < asked:
            pieces += [(ASK, False), (f"{step.question.removeprefix(ASK)} {step.equation}.", True)]
        else:
            pieces.append((step.text, True))
    return [*pieces, (f"The answer is {story.answer}.", True)]


_FACTS = {  # how a fact is told, and the sign that it calculates with
    r"(?P<name>\w+) has (?P<k>\d+) (?P<thing>\w+)\.": "",
    r"(?P<name>\w+) has (?P<k>\d+) more (?P<thing>\w+) than (?P<other>\w+)\.": "+",
    r"(?P<name>\w+) has (?P<k>\d+) fewer (?P<thing>\w+) than (?P<other>\w+)\.": "-",
    r"(?P<name>\w+) has (?P<k>\d+) times as many (?P<thing>\w+) as (?P<other>\w+)\.": "*",
    r"(?P<name>\w+) has half as many (?P<thing>\w+) as (?P<other>\w+)\.": "/",
    r"(?P<name>\w+) has as many (?P<thing>\w+) as (?P<partner>\w+) and (?P<other>\w+) together\.": "+",
}
_QUESTION = re.compile(r"How many (\w+) (?:does (\w+) have|do (\w+) and (\w+) have together)\?")


@dataclass(frozen=True)
class Rule:
    """What a fact says: a number, or how it follows from others."""

    fact: str
    sign: str
    number: int
    others: tuple[str, ...]

    def step(self, name: str, thing: str, values: dict[str, int]) -> Step:
        """The calculation, from the values of the others."""
        left, right = [*(values[other] for other in self.others), self.number][:2]
        return Step((name,), thing, left, self.sign, right, calculate(left, self.sign, right))


def sentences(text: str) -> list[str]:
    """The sentences of a text, each with its full stop or question mark."""
    return re.findall(r"[^.?\s][^.?]*[.?]", text)


def read_question(sentence: str) -> tuple[str, tuple[str, ...]]:
    """The thing and the owners that a question asks for.  Raises ValueError if it is none."""
    question = _QUESTION.fullmatch(sentence)
    if question is None:
        raise ValueError(f"{sentence!r} is not a question of the stories; wanted How many ... have?")
    thing, *names = (group for group in question.groups() if group)
    return thing, tuple(names)


@lru_cache(4096)  # a model that is asked about the same story a thousand times reads it once
def read_rules(text: str) -> Mapping[str, Rule]:
    """By name, in the order in which the question of a text needs them, what its facts say about the thing asked for.

    Raises ValueError where the facts do not lead to an answer.
    """
    *facts, asked = sentences(text) or [""]
    thing, names = read_question(asked)
    told: dict[str, Rule] = {}
    for fact in facts:
        for pattern, sign in _FACTS.items():
            found = re.fullmatch(pattern, fact)
            if found and found["thing"] == thing:
                groups = found.groupdict()
                others = tuple(groups[key] for key in ("partner", "other") if key in groups)
                told[found["name"]] = Rule(fact, sign, int(groups.get("k", 2)), others)
    rules: dict[str, Rule] = {}

    def need(name: str, below: tuple[str, ...]) -> None:
        if name in below or name not in told:
            raise ValueError(f"Nothing says how many {thing} {name} has.")
        for other in told[name].others:
            need(other, (*below, name))
        rules.setdefault(name, told[name])

    for name in names:
        need(name, ())
    return MappingProxyType(rules)


def solve(text: str, believed: Mapping[str, int] = MappingProxyType({})) -> list[Step]:
    """The steps that solve a text in the language of the stories, told in whatever order.

    believed: values by name that are taken as they are; they need no step.
    Raises ValueError where the facts do not lead to an answer.
    """
    thing, names = read_question((sentences(text) or [""])[-1])
    values, steps = dict(believed), []
    for name, rule in read_rules(text).items():
        if name not in values:
            if rule.sign:
                steps.append(rule.step(name, thing, values))
            values[name] = steps[-1].value if rule.sign else rule.number
    if len(names) == 2:
        left, right = (values[name] for name in names)
        steps.append(Step(names, thing, left, "+", right, left + right))
    return steps


def calculate(left: int, sign: str, right: int) -> int:
    """left sign right, in whole numbers."""
    return {"+": left + right, "-": left - right, "*": left * right, "/": left // max(right, 1)}[sign]


def read_trace(said: Sequence[str]) -> tuple[dict[str, int], str, int | None]:
    """What the sentences of a trace say: values by name, a sub-question still to be answered, and the last result.

    The last result is the answer stated, or that of a sum over two people; None if there is none yet.
    """
    believed: dict[str, int] = {}
    subquestion, result = "", None
    for sentence in said:
        if sentence.endswith("?"):
            subquestion = sentence
            continue
        value = last_number(sentence)
        if value is None:
            continue
        names = _QUESTION.findall(subquestion) or re.findall(r"^([A-Z]\w+) (?:and ([A-Z]\w+) )?ha", sentence)
        people = [name for group in names for name in group[-3:] if name]
        subquestion = ""
        if len(people) == 1:
            believed[people[0]] = int(value)
        else:
            result = int(value)
    return believed, subquestion, result


def is_right(story: Story, question: str, trace: str) -> bool:
    """Whether all that a trace says about a story is true so far, and the question, perhaps rephrased, asks the same.

    Every value that it names is compared with what follows from the facts.
    """
    try:
        if _result(question) != story.answer or ask_for(story.facts, sentences(question)[-1]) != story.answer:
            return False
        believed, _, result = read_trace(sentences(trace))
        thing = story.steps[-1].thing
        right = all(value == ask_for(story.facts, f"How many {thing} does {n} have?") for n, value in believed.items())
    except ValueError:
        return False
    return right and result in (None, story.answer)


def ask_for(facts: Sequence[str], question: str) -> int:
    """The true answer to a question about the facts.  Raises ValueError if they do not lead to one."""
    return _result(" ".join([*facts, question]))


def _result(text: str) -> int:
    steps = solve(text)
    return steps[-1].value if steps else next(iter(read_rules(text).values())).number
