"""The tree: its nodes, the rule that chooses among children, and how a reward travels up.

Nothing in here knows a model: what a node says is text, and a reward is a number.
"""

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Optional

from course.search.actions import Action

Rule = Callable[["Node", float], float]


@dataclass(eq=False)
class Node:
    """One piece of reasoning, and what the search knows about it.

    text: the question at the root, else what the model wrote here;  action: how it was made, None for the question.
    visits, total: how many rollouts came through, and the sum of their rewards.
    value: the share of the votes for the text's answer, where votes were taken on an answer to the question.
    answer: the answer to the question, if the text states one: the node is a solution.
    guesses: answers to the question that were sampled from here, the votes of its FINISH child.
    prior: how probable the model finds the node among its siblings, for `puct`.
    terminal: nothing may follow.
    """

    text: str
    action: Action | None = None
    parent: Optional["Node"] = field(default=None, repr=False)
    children: list["Node"] = field(default_factory=list, repr=False)
    visits: int = 0
    total: float = 0.0
    value: float | None = None
    answer: float | None = None
    guesses: list[float | None] = field(default_factory=list, repr=False)
    prior: float = 1.0
    terminal: bool = False

    @property
    def path(self) -> list["Node"]:
        """The nodes from the root to this one."""
        return [*(self.parent.path if self.parent else []), self]

    @property
    def depth(self) -> int:
        """How many nodes are above; 0 at the root."""
        return 0 if self.parent is None else self.parent.depth + 1

    @property
    def mean(self) -> float:
        """The mean reward of the rollouts that came through, 0 before the first."""
        return self.total / self.visits if self.visits else 0.0

    def add(self, child: "Node") -> "Node":
        """Make child the last of this node's children, and return it."""
        child.parent = self
        self.children.append(child)
        return child

    def walk(self) -> Iterator["Node"]:
        """This node and all below it, depth first: each before its children, children in order."""
        yield self
        for child in self.children:
            yield from child.walk()


def question(node: Node) -> str:
    """The question as this node's path has it: the root's, or the last rephrased one."""
    return [step.text for step in node.path if step.action in (None, Action.REPHRASE)][-1]


def trace(node: Node) -> str:
    """The reasoning on the way to a node: the texts after the question, joined by spaces.

    A sub-question answered again stands in the place of the first attempt; a rephrased question is no part of it.
    """
    texts: list[str] = []
    for step in node.path[1:]:
        if step.action is Action.REANSWER:
            texts.pop()
        if step.action is not Action.REPHRASE:
            texts.append(step.text)
    return " ".join(texts)


def uct(node: Node, weight: float) -> float:
    """Upper confidence bound of a child: Q / N + weight sqrt(ln N_parent / N), infinite before the first visit.

    Q = node.total, N = node.visits.  Kocsis & Szepesvári (2006), section 2.3.
    """
    if node.visits == 0:
        return math.inf
    assert node.parent is not None
    return node.total / node.visits + weight * math.sqrt(math.log(node.parent.visits) / node.visits)


def puct(node: Node, weight: float) -> float:
    """The bound with a prior: Q / N + weight prior sqrt(N_parent) / (1 + N), Q / N = 0 before the first visit.

    Silver et al. (2017), Mastering the game of Go without human knowledge, methods.
    """
    assert node.parent is not None
    return node.mean + weight * node.prior * math.sqrt(node.parent.visits) / (1 + node.visits)


def select(root: Node, weight: float, rng: random.Random, rule: Rule = uct) -> Node:
    """Walk down from the root to where the tree is to grow: a node without children, or one not yet visited.

    Of several children that were never visited (rule: infinite) one is drawn with rng.choice; else it goes on to the
    child with the greatest rule(child, weight), the first of equals.
    """
    node = root
    while node.children:
        bounds = [rule(child, weight) for child in node.children]
        fresh = [child for child, bound in zip(node.children, bounds, strict=True) if bound == math.inf]
        if fresh:
            return rng.choice(fresh)
        node = node.children[bounds.index(max(bounds))]
    return node


def backpropagate(node: Node, reward: float) -> None:
    """Count one visit and the reward at the node and everywhere above it."""
    above: Node | None = node
    while above is not None:
        above.visits += 1
        above.total += reward
        above = above.parent


SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda s: 1.0,
    "linear": lambda s: 1 - 0.9 * s,
    "exponential": lambda s: 0.1**s,
}


def exploration_weight(rollout: int, rollouts: int, start: float, schedule: str = "constant") -> float:
    """The weight in rollout 0, ..., rollouts - 1: start all along, or falling towards start / 10.

    With s = rollout / rollouts: start (constant), start (1 - 0.9 s) (linear), start 0.1^s (exponential).
    Raises ValueError for another schedule.
    """
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule is {schedule!r}; wanted one of {', '.join(SCHEDULES)}.")
    return start * SCHEDULES[schedule](rollout / rollouts)
