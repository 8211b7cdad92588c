"""A tree that one can solve by hand: what its leaves pay is known, so every choice has a known cost."""

import math
import random
from collections.abc import Iterator, Sequence

from course.search.tree import Node, Rule, backpropagate, select, uct


class KnownTree:
    """A full tree whose leaves pay 1 with a known chance, else 0.

    chances: of the leaves, from the left to the right; their number is branching ** depth.
    A bandit is the tree of depth 1.  Raises ValueError for chances outside [0, 1] or another number of leaves.
    """

    def __init__(self, chances: Sequence[float], branching: int | None = None):
        """branching: children of each node; None: as many as there are leaves, a bandit."""
        branching = len(chances) if branching is None else branching
        if not chances or not all(0 <= chance <= 1 for chance in chances):
            raise ValueError(f"The chances are {list(chances)}; wanted at least one, all between 0 and 1.")
        if branching < 1 or (branching == 1 < len(chances)):
            raise ValueError(f"branching is {branching}; wanted at least 2.")
        depth = 0 if len(chances) == 1 else round(math.log(len(chances), branching))
        if branching**depth != len(chances):
            raise ValueError(f"There are {len(chances)} leaves; wanted a power of {branching}.")
        self.chances, self.branching, self.depth = tuple(chances), branching, depth

    def grow(self) -> Node:
        """The whole tree, not yet visited; a node's text is its number among those of its depth."""
        root = Node("0", terminal=self.depth == 0)
        level = [root]
        for depth in range(1, self.depth + 1):
            for node in level:
                first = int(node.text) * self.branching
                node.children = [
                    Node(str(first + i), parent=node, terminal=depth == self.depth) for i in range(self.branching)
                ]
            level = [child for node in level for child in node.children]
        return root

    def leaves(self, node: Node) -> range:
        """The numbers of the leaves below a node."""
        size = self.branching ** (self.depth - node.depth)
        return range(int(node.text) * size, (int(node.text) + 1) * size)

    def value(self, node: Node) -> float:
        """What the best leaf below a node pays on average."""
        return max(self.chances[leaf] for leaf in self.leaves(node))

    def rollouts(self, root: Node, count: int, weight: float, rng: random.Random, rule: Rule = uct) -> Iterator[Node]:
        """So many rollouts of UCT, each a yield of the leaf that it reached.

        Below the node that was selected it goes on at random, as in `simulate`.
        """
        for _ in range(count):
            leaf = select(root, weight, rng, rule)
            while leaf.children:
                leaf = rng.choice(leaf.children)
            backpropagate(leaf, float(rng.random() < self.chances[int(leaf.text)]))
            yield leaf

    def regrets(self, count: int, weight: float, rng: random.Random, rule: Rule = uct) -> list[float]:
        """After each of so many rollouts, what they paid less on average than the best leaf, summed up."""
        total, sums = 0.0, []
        for leaf in self.rollouts(self.grow(), count, weight, rng, rule):
            total += max(self.chances) - self.chances[int(leaf.text)]
            sums.append(total)
        return sums

    def visits(self, root: Node) -> list[int]:
        """How often each leaf was reached."""
        return [node.visits for node in root.walk() if node.terminal]


def ucb_visits(chances: Sequence[float], weight: float, count: int) -> list[float]:
    """How often UCT pulls each arm of a bandit, in theory.

    After many pulls all arms' bounds are equal, m_i + weight sqrt(ln n / N_i) = b for every arm i, with the N_i
    adding up to n: so N_i = weight^2 ln n / (b - m_i)^2, and b is found by bisection.  (A fluid limit: it leaves out
    that means are estimated; for arms that are pulled often it is close.)
    """
    if count < 2 or weight <= 0:
        raise ValueError(f"count is {count} and weight {weight}; wanted at least 2 and a positive weight.")
    low, high = max(chances), max(chances) + weight * math.sqrt(math.log(count))
    for _ in range(200):
        bound = (low + high) / 2
        pulls = [weight**2 * math.log(count) / (bound - mean) ** 2 if bound > mean else math.inf for mean in chances]
        low, high = (bound, high) if sum(pulls) > count else (low, bound)
    return pulls


def regret_bound(chances: Sequence[float], count: int) -> float:
    """Auer, Cesa-Bianchi & Fischer (2002), theorem 1: UCB1 (weight sqrt 2) regrets at most this much after n pulls.

    8 sum_i ln(n) / gap_i + (1 + pi^2 / 3) sum_i gap_i, over the arms with a gap to the best.
    """
    gaps = [max(chances) - chance for chance in chances if chance < max(chances)]
    return 8 * math.log(count) * sum(1 / gap for gap in gaps) + (1 + math.pi**2 / 3) * sum(gaps)


def lower_bound(chances: Sequence[float], count: int) -> float:
    """Lai & Robbins (1985): in the long run no consistent rule regrets less than about this much.

    ln(n) sum_i gap_i / KL(chance_i, best), over the arms with a gap to the best.
    """
    best = max(chances)
    return math.log(count) * sum((best - chance) / _kl(chance, best) for chance in chances if chance < best)


def _kl(p: float, q: float) -> float:
    """The divergence of a coin with chance q from one with chance p."""
    if (q == 1 and p < 1) or (q == 0 and p > 0):
        return math.inf
    return sum(a * math.log(a / b) for a, b in ((p, q), (1 - p, 1 - q)) if a > 0)
