"""A small transformer as a reasoner: words in, words out."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence

import torch

from course.networks.decoding import Memory, log_prob, sample
from course.networks.gpt import GPT, Words
from course.search.actions import Action
from course.search.tree import Node, question, trace
from course.stories import AGAIN, WORDS
from course.weights import load, made_by

ROWS = 256  # texts that grow together


class LanguageReasoner:
    """generate(prompts, n, max_new, stop): a GPT behind the interface of all reasoners, sampled at a temperature.

    seed: the same one gives the same texts for the same prompts.  A text depends on its prompt and on how often that
    was asked for before, not on what else is in the batch (but for rounding).
    memory: how many words of prompts to keep what was read of; 0 reads every prompt from its first word.
    """

    def __init__(self, model: GPT, words: Words, temperature: float = 1.0, seed: int = 0, memory: int = 30_000):
        self.model, self.words, self.temperature, self.seed = model.eval(), words, temperature, seed
        self.memory = Memory(memory) if memory else None
        self.asked: Counter[str] = Counter()

    def at(self, temperature: float, seed: int = 0) -> "LanguageReasoner":
        """The same model at another temperature: 0 is the most probable word each time."""
        other = LanguageReasoner(self.model, self.words, temperature, seed, memory=0)
        other.memory = self.memory
        return other

    def __call__(self, prompts: list[str], n: int, max_new: int, stop: list[str]) -> list[list[str]]:
        """n texts for each prompt, of at most max_new words, up to the first of the stop words, included.

        Raises ValueError for words that the model does not have and stop strings that are more than one.
        """
        ends = [self._word(mark) for mark in stop]
        numbers = [self.words.encode(prompt) for prompt in prompts]
        uniform = [self._uniform(prompt, n, max_new) for prompt in prompts]
        order = sorted(range(len(prompts)), key=lambda i: len(numbers[i]))  # of about the same length: little filling
        texts: dict[int, list[str]] = {}
        share = max(1, ROWS // max(n, 1))
        for start in range(0, len(order), share):
            some = order[start : start + share]
            u = torch.stack([uniform[i] for i in some])
            drawn = sample(self.model, [numbers[i] for i in some], u, ends, self.temperature, self.memory)
            texts |= {i: [self.words.decode(text) for text in each] for i, each in zip(some, drawn, strict=True)}
        return [texts[i] for i in range(len(prompts))]

    def score(self, prompt: str, texts: Sequence[str]) -> list[float]:
        """The log-probability of each text after the prompt, in nats."""
        encoded = [self.words.encode(text) for text in texts]
        return [sum(logs) for logs in log_prob(self.model, self.words.encode(prompt), encoded, self.memory)]

    def prior(self, node: Node) -> list[float]:
        """For each child of a node how probable the model finds its text among its siblings', for puct.

        The softmax of the mean log-probabilities per word: texts of different actions differ much in length.
        """
        reasoning = f"{question(node)} {trace(node)}".strip()
        means = []
        for child in node.children:
            prompt = f"{question(node)} {AGAIN}" if child.action is Action.REPHRASE else reasoning
            means.append(self.score(prompt, [child.text])[0] / max(1, len(self.words.encode(child.text))))
        return torch.tensor(means).softmax(0).tolist()

    def _word(self, mark: str) -> int:
        found = self.words.encode(mark)
        if len(found) != 1:
            raise ValueError(f"The stop string {mark!r} has {len(found)} words; wanted one.")
        return found[0]

    def _uniform(self, prompt: str, n: int, max_new: int) -> torch.Tensor:
        self.asked[prompt] += 1
        key = hashlib.sha256(f"{self.seed} {self.asked[prompt]} {prompt}".encode()).digest()
        return torch.rand(n, max_new, generator=torch.Generator().manual_seed(int.from_bytes(key[:7], "big")))


def load_reasoner(temperature: float = 1.0, seed: int = 0) -> LanguageReasoner:
    """The small transformer that ships; `python -m course.recipes.reasoner` makes it."""
    about = made_by("reasoner")
    model = GPT(len(WORDS), about["width"], about["layers"], about["heads"])
    model.load_state_dict(load("reasoner"))
    return LanguageReasoner(model, Words(WORDS), temperature, seed)


def completer(generate: Callable, question: str, max_new: int = 80) -> Callable[[list[str]], list[str]]:
    """complete(prefixes) for mutually_consistent: how a model goes on from the start of a trace, once each."""

    def complete(prefixes: list[str]) -> list[str]:
        return [texts[0] for texts in generate([f"{question} {prefix}" for prefix in prefixes], 1, max_new, [])]

    return complete
