"""A reasoner whose mistakes are knobs: it solves stories exactly, and then errs as often as it is told to."""

import random
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from course.search.asking import count_tokens
from course.stories import AGAIN, ASK, Step, Story, calculate, read_question, read_rules, read_trace, sentences, solve

_MISREAD = {"+": "-", "-": "+", "*": "+", "/": "-"}  # the sign that a misunderstood fact is taken for


@dataclass(frozen=True)
class Errors:
    """How often a step goes wrong.

    slip: a chance drawn anew in every text: the equation's result is off, so that the equation is false.
    misread: the share of facts that this format always misunderstands, in the same way in every text: the equation
    is true, and the wrong one.
    """

    slip: float = 0.1
    misread: float = 0.0

    def __post_init__(self):
        for name, value in (("slip", self.slip), ("misread", self.misread)):
            if not 0 <= value <= 1:
                raise ValueError(f"{name} is {value}; wanted a share between 0 and 1.")


class SimulatedReasoner:
    """generate(prompts, n, max_new, stop) for stories, with errors that depend on the format.

    step: errors in steps of thought;  subquestion: in answers to sub-questions (None: as in steps);
    reanswer: where a sub-question is asked as a story's question (None: as in sub-questions).
    stories: those whose own question is no sub-question; needed for `reanswer` only.
    seed: the same one gives the same texts for the same prompts in the same order.  Which facts a format misreads
    depends on the seed, the fact and the format, not on the prompt.
    It writes nothing after a text that it cannot read.
    """

    def __init__(
        self,
        step: Errors = Errors(),
        subquestion: Errors | None = None,
        reanswer: Errors | None = None,
        stories: Iterable[Story] = (),
        seed: int = 0,
    ):
        subquestion = subquestion or step
        self.errors = {"step": step, "subquestion": subquestion, "reanswer": reanswer or subquestion}
        self.seed = seed
        self.questions = {frozenset(story.facts): story.question for story in stories}
        self.asked: Counter[str] = Counter()

    def __call__(self, prompts: list[str], n: int, max_new: int, stop: list[str]) -> list[list[str]]:
        """n texts for each prompt, cut after max_new tokens and after the first of the stop strings."""
        return [[cut(self._text(prompt), max_new, stop) for _ in range(n)] for prompt in prompts]

    def _text(self, prompt: str) -> str:
        self.asked[prompt] += 1
        rng = random.Random(f"{self.seed} {self.asked[prompt]} {prompt}")
        try:
            if prompt.endswith(AGAIN):
                return _retold(prompt.removesuffix(AGAIN))
            return self._continued(prompt, rng)
        except ValueError:
            return ""

    def _continued(self, prompt: str, rng: random.Random) -> str:
        """All that is left to say after a question and a trace, which may end anywhere."""
        story, trace = _split(prompt)
        *facts, question = sentences(story)
        form = "step" if self.questions.get(frozenset(facts), question) == question else "reanswer"
        said, opened = sentences(trace), re.split(r"[.?]\s*", trace)[-1]
        believed, subquestion, result = read_trace(said)
        texts: list[str] = []
        if subquestion or opened.startswith(ASK):  # to be asked or answered before anything else
            if not subquestion:
                left = solve(story, believed)
                subquestion = left[0].question if left else question
                texts.append(subquestion)
            names = read_question(subquestion)[1]
            path = solve(" ".join([*facts, subquestion]), {k: v for k, v in believed.items() if (k,) != names})
            if path:
                step = self._erring(path[-1], story, "subquestion", rng)
                texts.append(f"{step.equation}.")
                value = step.value
            else:
                value = read_rules(" ".join([*facts, subquestion]))[names[0]].number
                texts.append(f"{value}.")
            if subquestion == question:
                result = value
            elif len(names) == 1:
                believed[names[0]] = value
        owners = read_question(question)[1]
        while result is None:
            left = solve(story, believed)
            if left:
                step = self._erring(left[0], story, form, rng)
                texts.append(step.text)
                believed[step.owners[0]] = step.value
                result = step.value if step.owners == owners else None
            else:
                result = believed.get(owners[0], read_rules(story)[owners[0]].number)
        if "The answer is" not in trace or opened:
            texts.append(f"The answer is {result}.")
        return _rest(" ".join(texts), opened)

    def _erring(self, step: Step, story: str, form: str, rng: random.Random) -> Step:
        """A step as it is, misread, or with a slip."""
        errors = self.errors[form]
        fact = read_rules(story)[step.owners[0]].fact if len(step.owners) == 1 else step.question
        if random.Random(f"{self.seed} {form} {fact}").random() < errors.misread:
            step = replace(step, operator=_MISREAD[step.operator])
            step = replace(step, value=calculate(step.left, step.operator, step.right))
        if rng.random() < errors.slip:
            step = replace(step, value=max(0, step.value + rng.choice((-3, -2, -1, 1, 2, 3))))
        return step


def _retold(text: str) -> str:
    """A story without what its question does not need, in the order of the steps."""
    return " ".join([*(rule.fact for rule in read_rules(text).values()), sentences(text)[-1]])


def _split(prompt: str) -> tuple[str, str]:
    """The story, up to its first question mark, and the trace behind it."""
    story, mark, trace = prompt.partition("?")
    return story + mark, trace.strip()


def _rest(text: str, opened: str) -> str:
    """What is left of a text whose first words are written already, perhaps others in their place."""
    return text[len(opened) :].strip() if text.startswith(opened) else " ".join(text.split()[len(opened.split()) :])


def cut(text: str, max_new: int, stop: list[str]) -> str:
    """A text up to its max_new-th token, and up to the first of the stop strings, which belongs to it."""
    ends = [text.index(mark) + len(mark) for mark in stop if mark in text]
    text = text[: min(ends)] if ends else text
    if count_tokens(text) > max_new:
        text = text[: [match.end() for match in re.finditer(r"\w+|[^\w\s]", text)][max_new - 1]] if max_new else ""
    return text
