"""What a search asks a model for: requests, how they are answered together, and what they cost.

A model is any function generate(prompts, n, max_new, stop) -> n texts for each prompt.  Whoever needs texts is a
coroutine that yields a list of requests and is sent the list of their texts.  So the same code serves one search
that asks for one thing after the other (`answered`) and a hundred that share batches (`together`).
"""

import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

from course.search.actions import Action
from course.search.answers import equations, known_numbers, verify_step
from course.search.tree import Node, question, trace

Generate = Callable[[list[str], int, int, list[str]], list[list[str]]]
Result = TypeVar("Result")


class Request(NamedTuple):
    """n texts wanted after a prompt, each at most max_new tokens long or up to one of the stop strings, included."""

    prompt: str
    n: int
    max_new: int
    stop: tuple[str, ...] = ()


Coroutine = Generator[list[Request], list[list[str]], Result]


def together(coroutines: Sequence[Coroutine[Result]]) -> Coroutine[list[Result]]:
    """Many coroutines as one: what they ask for at the same time is asked for together.  Their results, in order."""
    results: dict[int, Result] = {}
    asked: dict[int, list[Request]] = {}

    def advance(i: int, texts: list[list[str]] | None) -> None:
        try:
            asked[i] = coroutines[i].send(texts)  # type: ignore[arg-type]
        except StopIteration as stop:
            results[i] = stop.value

    for i in range(len(coroutines)):
        advance(i, None)
    while asked:
        waiting, asked = asked, {}
        texts = iter((yield [request for requests in waiting.values() for request in requests]))
        for i, requests in waiting.items():
            advance(i, [next(texts) for _ in requests])
    return [results[i] for i in range(len(coroutines))]


def answered(coroutine: Coroutine[Result], generate: Generate) -> Result:
    """Run a coroutine to its end, answering what it asks for with a model: requests of one kind in one call."""
    texts: list[list[str]] | None = None
    while True:
        try:
            requests = coroutine.send(texts)  # type: ignore[arg-type]
        except StopIteration as stop:
            return stop.value
        texts = serve(requests, generate)


def serve(requests: Sequence[Request], generate: Generate) -> list[list[str]]:
    """The texts of each request.  Raises ValueError if the model gives another number of texts."""
    kinds: dict[tuple[int, int, tuple[str, ...]], list[int]] = {}
    for i, request in enumerate(requests):
        kinds.setdefault(request[1:], []).append(i)
    texts: list[list[str]] = [[] for _ in requests]
    for (n, max_new, stop), places in kinds.items():
        given = generate([requests[i].prompt for i in places], n, max_new, list(stop))
        if len(given) != len(places) or any(len(some) != n for some in given):
            counts = [len(some) for some in given]
            raise ValueError(f"The model gave {counts} texts; wanted {n} for each of {len(places)} prompts.")
        for i, some in zip(places, given, strict=True):
            texts[i] = some
    return texts


def count_tokens(text: str) -> int:
    """Words, numbers and signs: exactly the tokens of our own model, and nearly those of others."""
    return len(re.findall(r"\w+|[^\w\s]", text))


@dataclass
class Bill:
    """What one coroutine cost: a prompt counts once, however many texts are made from it."""

    prompt_tokens: int = 0
    generated_tokens: int = 0

    @property
    def tokens(self) -> int:
        """All tokens, read and written."""
        return self.prompt_tokens + self.generated_tokens


def counted(coroutine: Coroutine[Result], bill: Bill) -> Coroutine[Result]:
    """The coroutine, with what it asks for and gets put on a bill of its own, whoever it shares batches with."""
    texts: list[list[str]] | None = None
    while True:
        try:
            requests = coroutine.send(texts)  # type: ignore[arg-type]
        except StopIteration as stop:
            return stop.value
        texts = yield requests
        bill.prompt_tokens += sum(count_tokens(request.prompt) for request in requests)
        bill.generated_tokens += sum(count_tokens(text) for some in texts for text in some)


class Meter:
    """generate with a count of what it cost: prompt_tokens, generated_tokens, calls.

    A prompt counts once, however many texts are made from it: that is what a server with a cache computes.
    budget: with it, a call that might exceed so many tokens is not made: the texts are empty from then on.
    """

    def __init__(self, generate: Generate, budget: float = float("inf"), count: Callable[[str], int] = count_tokens):
        self.generate, self.budget, self.count = generate, budget, count
        self.prompt_tokens = self.generated_tokens = self.calls = 0

    @property
    def tokens(self) -> int:
        """All tokens, read and written."""
        return self.prompt_tokens + self.generated_tokens

    def __call__(self, prompts: list[str], n: int, max_new: int, stop: list[str]) -> list[list[str]]:
        """The model's texts, counted."""
        read = sum(map(self.count, prompts))
        if self.tokens + read + len(prompts) * n * max_new > self.budget:
            return [[""] * n for _ in prompts]
        texts = self.generate(prompts, n, max_new, stop)
        self.calls += 1
        self.prompt_tokens += read
        self.generated_tokens += sum(self.count(text) for some in texts for text in some)
        return texts


@dataclass(frozen=True)
class Counts:
    """How many children an action makes (steps, subquestions) and how many votes an answer gets."""

    steps: int = 3
    subquestions: int = 3
    votes: int = 32
    sub_votes: int = 10


class Format(Protocol):
    """How problems of one kind are written for a model: what to ask it for, given a question and the trace so far."""

    def step(self, question: str, trace: str, n: int) -> Request:
        """For n next steps of thought."""

    def finish(self, question: str, trace: str, n: int) -> Request:
        """For n ways through all remaining steps, which end by stating the answer."""

    def subquestion(self, question: str, trace: str, n: int) -> Request:
        """For n next sub-questions; `asked` makes a question of a text."""

    def asked(self, text: str) -> str:
        """The sub-question in a text, "" if there is none."""

    def is_last(self, question: str, subquestion: str) -> bool:
        """Whether the sub-question is the question itself."""

    def answer(self, question: str, trace: str, subquestion: str, n: int) -> Request:
        """For n answers to the sub-question; to the last one, such that state the answer."""

    def reanswer(self, question: str, trace: str, subquestion: str, n: int) -> Request:
        """For n answers to the sub-question, asked for in another way; `replied` makes answers of the texts."""

    def replied(self, text: str) -> str:
        """The answer to the sub-question in a text for `reanswer`, as a text for `answer` would give it."""

    def rephrase(self, question: str, n: int) -> Request:
        """For n other ways to put the question; `rephrased` makes questions of the texts."""

    def rephrased(self, question: str, text: str) -> str:
        """The question anew, from a text for `rephrase`."""


@dataclass(frozen=True)
class Asking:
    """What the actions ask for: asking(node, action) -> for each child it makes, the texts that vote on it.

    actions: those in use; another one gives no child.  counts: how many children and votes.
    accept(node, text): with it, texts that it does not accept are dropped (`verified` is one).
    A trace that states the answer already is continued from before that sentence, so that it is stated again.
    """

    format: Format
    actions: tuple[Action, ...] = tuple(Action)
    counts: Counts = Counts()
    accept: Callable[[Node, str], bool] | None = None

    def __call__(self, node: Node, action: Action) -> Coroutine[list[list[str]]]:
        """The coroutine that asks for an action's texts."""
        if action not in self.actions:
            return []
        lists = yield from self._texts(node, action)
        if self.accept is not None:
            lists = [[text for text in texts if self.accept(node, text)] for texts in lists]
        return [texts for texts in lists if any(texts)]

    def _texts(self, node: Node, action: Action) -> Coroutine[list[list[str]]]:
        form, counts, put, so_far = self.format, self.counts, question(node), _open(trace(node))
        if action is Action.STEP:
            (texts,) = yield [form.step(put, so_far, counts.steps)]
            return [[text.strip()] for text in texts]
        if action is Action.FINISH:
            (texts,) = yield [form.finish(put, so_far, counts.votes)]
            return [[text.strip() for text in texts]]
        if action is Action.REPHRASE:
            (texts,) = yield [form.rephrase(put, 1)]
            return [[form.rephrased(put, text)] for text in texts]
        if action is Action.REANSWER:
            subquestion = form.asked(node.text)
            earlier = trace(node).removesuffix(node.text).rstrip()
            (texts,) = yield [form.reanswer(put, earlier, subquestion, counts.sub_votes)]
            return [[f"{subquestion} {form.replied(text)}".strip() for text in texts]]
        (texts,) = yield [form.subquestion(put, so_far, counts.subquestions)]
        asked = [subquestion for subquestion in map(form.asked, texts) if subquestion]
        lists = yield [
            form.answer(put, so_far, each, counts.votes if form.is_last(put, each) else counts.sub_votes)
            for each in asked
        ]
        return [[f"{each} {text.strip()}" for text in texts] for each, texts in zip(asked, lists, strict=True)]


def _open(trace: str) -> str:
    """A trace without a sentence at its end that states the answer."""
    return re.sub(r"\s*\bthe answer is[^.]*(\.\d+)?\.?\s*$", "", trace, flags=re.IGNORECASE)


class Ask:
    """ask(node, action) -> the texts for each child, from a model at once; ask.tokens, what they cost so far."""

    def __init__(self, asking: Asking, generate: Generate):
        self.asking = asking
        self.meter = generate if isinstance(generate, Meter) else Meter(generate)

    def __call__(self, node: Node, action: Action) -> list[list[str]]:
        """The texts for an action's children."""
        return answered(self.asking(node, action), self.meter)

    @property
    def tokens(self) -> int:
        """All tokens, read and written."""
        return self.meter.tokens

    @property
    def prompt_tokens(self) -> int:
        """Tokens read."""
        return self.meter.prompt_tokens

    @property
    def generated_tokens(self) -> int:
        """Tokens written."""
        return self.meter.generated_tokens


def verified(node: Node, text: str) -> bool:
    """Whether the step verifier, which knows no answer, lets a text pass after a node: see verify_step."""
    return verify_step(text, known_numbers(question(node)) | {c for *_, c in equations(trace(node))})
