"""rStar's Monte Carlo tree search, as plain functions and as a coroutine that shares batches with others."""

import random
from collections.abc import Callable, Sequence

from course.search.actions import Action, allowed_actions
from course.search.answers import final_answer, last_number, majority_vote
from course.search.asking import Asking, Coroutine, together
from course.search.tree import Node, Rule, backpropagate, exploration_weight, select, uct

Watch = Callable[[int, Node], None]


def expand(node: Node, ask: Callable[[Node, Action], list[list[str]]], depth: int) -> None:
    """Give a node its children: all that the allowed actions make of it.

    ask(node, action) -> for each child, the texts that vote on it.  depth: at which a node is terminal.
    """
    for action in allowed_actions(node):
        for texts in ask(node, action):
            add_child(node, action, texts, depth)


def add_child(node: Node, action: Action, texts: Sequence[str], depth: int) -> None:
    """One child from the texts that vote on it; none from no texts.

    The votes are the answers that the texts state (FINISH) or the last number of each; the child is the first text
    that agrees with the majority.  Its value is the majority's share if it is a voted answer to the question.
    """
    if not texts:
        return
    votes = [final_answer(text) if action is Action.FINISH else last_number(text) for text in texts]
    winner, share = majority_vote(votes)
    text = texts[0 if winner is None else votes.index(winner)]
    answer = final_answer(text)
    voted = action is Action.FINISH or (action is Action.SUBQUESTION and answer is not None)
    child = node.add(Node(text, action, answer=answer, value=share if voted and answer is not None else None))
    child.terminal = voted or child.depth >= depth
    if action is Action.FINISH:
        node.guesses = votes


def simulate(node: Node, expand: Callable[[Node], None], rng: random.Random) -> Node:
    """Walk on from a node at random, growing the tree on the way, to a terminal node or a dead end; return that."""
    while not node.terminal:
        if not node.children:
            expand(node)
        if not node.children:
            break
        node = rng.choice(node.children)
    return node


def search(
    question: str,
    expand: Callable[[Node], None],
    rollouts: int,
    start: float = 2.0,
    schedule: str = "constant",
    rng: random.Random | None = None,
    watch: Watch | None = None,
) -> Node:
    """The tree of so many rollouts: select, simulate, backpropagate the leaf's value (0 if it has none).

    expand(node) gives a node its children.  start, schedule: see exploration_weight.
    watch(rollout, leaf) is called after each rollout.  Raises ValueError for less than one rollout.
    """
    _check(rollouts)
    rng, root = rng or random.Random(0), Node(question)
    for rollout in range(rollouts):
        weight = exploration_weight(rollout, rollouts, start, schedule)
        leaf = simulate(select(root, weight, rng), expand, rng)
        backpropagate(leaf, leaf.value or 0.0)
        if watch is not None:
            watch(rollout, leaf)
    return root


def searching(
    question: str,
    asking: Asking,
    rollouts: int,
    depth: int = 5,
    start: float = 2.0,
    schedule: str = "constant",
    rng: random.Random | None = None,
    watch: Watch | None = None,
    at_once: int = 1,
    rule: Rule = uct,
    prior: Callable[[Node], list[float]] | None = None,
) -> Coroutine[Node]:
    """`search` as a coroutine: what it asks for is asked for together with what others want.

    at_once: rollouts under way at the same time.  One that is under way counts as a visit without a reward (a virtual
    loss), so that the next one goes elsewhere; with 1, the tree is that of `search`.
    rule: the bound that selects, uct or puct;  prior(node): the prior of each of a node's children, for puct.
    """
    _check(rollouts)
    if at_once < 1:
        raise ValueError(f"at_once is {at_once}; wanted at least 1.")
    rng, root = rng or random.Random(0), Node(question)
    rollout = 0
    while rollout < rollouts:
        weight = exploration_weight(rollout, rollouts, start, schedule)
        chosen: list[Node] = []
        for _ in range(min(at_once, rollouts - rollout)):
            node = select(root, weight, rng, rule)
            if node in chosen:  # it has no children yet; whoever comes second would only wait for them
                break
            chosen.append(node)
            _visit(node, +1)
        leaves = yield from together([_simulating(node, asking, depth, rng, prior) for node in chosen])
        for node, leaf in zip(chosen, leaves, strict=True):
            _visit(node, -1)
            backpropagate(leaf, leaf.value or 0.0)
            if watch is not None:
                watch(rollout, leaf)
            rollout += 1
    return root


def _simulating(
    node: Node, asking: Asking, depth: int, rng: random.Random, prior: Callable[[Node], list[float]] | None
) -> Coroutine[Node]:
    """`simulate` as a coroutine; the actions of an expansion ask at the same time."""
    while not node.terminal:
        if not node.children:
            actions = allowed_actions(node)
            lists = yield from together([asking(node, action) for action in actions])
            for action, children in zip(actions, lists, strict=True):
                for texts in children:
                    add_child(node, action, texts, depth)
            if prior is not None:
                for child, share in zip(node.children, prior(node), strict=True):
                    child.prior = share
        if not node.children:
            break
        node = rng.choice(node.children)
    return node


def _visit(node: Node, by: int) -> None:
    for above in node.path:
        above.visits += by


def _check(rollouts: int) -> None:
    if rollouts < 1:
        raise ValueError(f"rollouts is {rollouts}; wanted at least 1.")
