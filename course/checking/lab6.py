"""The questions of Lab 6, reasoning by tree search: what each exercise is asked, and on which trees and texts."""

import contextvars
import itertools
import math
import random
from collections import Counter, defaultdict
from dataclasses import replace
from fractions import Fraction

from course.checking import Lab
from course.checking.reply import Reply
from course.search import Action, Node

lab = Lab("lab6_tree_search", "Reasoning by tree search")
question, check = lab.question, lab.check

STEP, FINISH, SUBQUESTION, REANSWER, REPHRASE = Action


# What is asked about a call besides its value.


def afterwards(reply, look):
    """What `look()` sees after the call, whatever the call returned; the error if it failed."""
    return replace(reply, value=True).map(lambda _: look())


def refused(reply):
    """In words: does the call refuse its input with a ValueError?"""
    if reply.error is None:
        return Reply(value="no ValueError")
    return Reply(value="a ValueError") if reply.error.startswith("ValueError") else reply


def names(actions):
    """The names of a list of actions, in words."""
    if not isinstance(actions, (list, tuple)):
        return actions
    return ", ".join(str(getattr(action, "name", action)) for action in actions) or "nothing"


def shown(number):
    """A number or None as a string, in which both look alike."""
    return f"{number:.6g}" if isinstance(number, (int, float)) else str(number)


def text_of(node):
    return node.text if isinstance(node, Node) else node


def texts_of(nodes):
    return [text_of(node) for node in nodes] if isinstance(nodes, (list, tuple)) else nodes


# Trees. A node is called by its place: "node 2.1" is the first child of the question's second child.


def plant(visits, total, children=()):
    """A tree from (visits, total, [the same of every child])."""

    def grow(node, place, visits, total, children=()):
        node.visits, node.total = visits, total
        for i, child in enumerate(children, 1):
            grow(node.add(Node(action=STEP, text=f"node {place}{i}")), f"{place}{i}.", *child)
        return node

    return grow(Node(action=None, text="the question"), "", visits, total, children)


def marks(root):
    """The visits and the total of every node of a tree, under its text."""
    return {
        f"{what} of {node.text}": float(value)
        for node in root.walk()
        for what, value in (("visits", node.visits), ("total", node.total))
    }


class Garden:
    """A tree that is hidden until it is expanded, and what was expanded so far.

    Every node has `branching` children down to `depth`, where all are terminal; above, a node is terminal with the
    chance `ends` and remains without children with the chance `dead`. Terminal nodes have values, except for some
    with the chance `silent`.
    """

    def __init__(self, draw, depth, branching, ends=0.1, dead=0.1, silent=0.2):
        self.depth, self.branching, self.expanded = depth, branching, []
        self.values, self.ends, self.dead = {}, set(), set()
        for length in range(1, depth + 1):
            for place in itertools.product(range(1, branching + 1), repeat=length):
                text = "node " + ".".join(map(str, place))
                if length == depth or draw.uniform() < ends:
                    self.ends.add(text)
                    self.values[text] = None if draw.uniform() < silent else draw.uniform(0.1, 1)
                elif length > 1 and draw.uniform() < dead:
                    self.dead.add(text)

    def expand(self, node):
        """Give a node its children."""
        self.expanded.append(node.text)
        if node.text in self.dead or node.terminal or len(self.expanded) > 1000:
            return
        place = "" if node.parent is None else node.text.removeprefix("node ") + "."
        for i in range(1, self.branching + 1):
            text = f"node {place}{i}"
            child = Node(action=STEP, text=text, terminal=text in self.ends, value=self.values.get(text))
            child.answer = None if child.value is None else float(len(text) + i)
            node.add(child)


def rng_with(draw, *wanted):
    """A random.Random of which all these are true, each asked with a fresh copy."""
    start = draw.integer(0, 10**6)
    seeds = (seed for seed in itertools.count(start) if all(wish(random.Random(seed)) for wish in wanted))
    return random.Random(next(seeds))


# ---- the tree -------------------------------------------------------------------------------------------------------


@question
def uct(answer, draw):
    """The upper confidence bound"""

    def child(visits, parent_visits):
        """A child of a node that is itself no root."""
        root = plant(parent_visits + draw.integer(40, 60), draw.uniform(20, 30))
        middle = root.add(Node(action=STEP, text="the parent", visits=parent_visits))
        middle.total = parent_visits * draw.uniform(0.3, 0.9)
        for text, n in (("the child", visits), ("its sibling", parent_visits - visits)):
            middle.add(Node(action=STEP, text=text, visits=n, total=n * draw.uniform(0.3, 0.9)))
        return middle.children[0]

    return {
        "a child that was visited often": answer(child(draw.integer(8, 14), draw.integer(30, 40)), draw.uniform(1, 3)),
        "a child that was visited once": answer(child(1, draw.integer(5, 9)), draw.uniform(1, 3)),
        "a child that was never visited": answer(child(0, draw.integer(5, 9)), draw.uniform(1, 3)),
        "an only child": answer(child(n := draw.integer(4, 7), n), draw.uniform(0.2, 0.7)),
        "a weight of zero": answer(child(draw.integer(3, 7), draw.integer(10, 20)), 0.0),
    }


def four_roles(draw, visits, depth):
    """Children in random order, down to `depth`.

    One was visited most, one has the greatest total, one the greatest mean, one the greatest bound with the weight 4.
    """

    def child(share, mean):
        n = int(visits * share)
        return n, n * (mean + draw.uniform(-0.02, 0.02)), four_roles(draw, n, depth - 1) if depth > 1 else []

    return [child(*role) for role in draw.shuffled([(0.5, 0.2), (0.25, 0.7), (0.18, 0.85), (0.07, 0.6)])]


@question
def select(answer, draw):
    """Selection"""

    def visited():
        return plant(1000, 440.0, four_roles(draw, 1000, 2))

    def some_fresh():
        """Of six children three were never visited."""
        seen = [(draw.integer(3, 9), draw.uniform(1, 3)) for _ in range(3)]
        return plant(21, 6.0, draw.shuffled([*seen, *[(0, 0.0)] * 3]))

    def drawn(root):
        """A generator that draws not the first child that was never visited; and from all children, a visited one."""
        fresh = [child for child in root.children if child.visits == 0]
        return rng_with(
            draw, lambda rng: rng.choice(fresh) is not fresh[0], lambda rng: rng.choice(root.children) not in fresh
        )

    def deeper():
        """Below the child with the greatest bound, one of three was never visited."""
        below = draw.shuffled([(5, 4.0, []), (4, 2.5, []), (0, 0.0, [])])
        return plant(40, 20.0, draw.shuffled([(30, 12.0, [(29, 11.0, [])]), (10, 7.0, below)]))

    def twins():
        """Three children with the same greatest bound among five."""
        total = draw.uniform(2, 3)
        return plant(40, 16.0, draw.shuffled([(4, total, [])] * 3 + [(14, 4.0, [])] * 2))

    def grown():
        """The only child that was never visited has children already, like in a tree that is there from the start."""
        return plant(40, 20.0, draw.shuffled([(30, 12.0, []), (10, 7.0, []), (0, 0.0, [(0, 0.0)] * 3)]))

    fresh, equal = some_fresh(), twins()
    best = [child for child in equal.children if child.visits == 4]
    not_first = rng_with(draw, lambda rng: rng.choice(best) is best[1])
    middle = rng_with(draw, lambda rng: rng.choice(range(9)) in range(1, 8))
    walked = visited()
    down = answer(walked, 4.0, random.Random(1)).map(text_of)
    return {
        "the question alone": answer(plant(3, 1.0), 2.0, random.Random(1)).map(text_of),
        "a tree in which everything was visited": down,
        "a weight of zero": answer(visited(), 0.0, random.Random(2)).map(text_of),
        "children of which some were never visited": answer(fresh, 2.0, drawn(fresh)).map(text_of),
        "children of which none was ever visited": answer(plant(1, 0.5, [(0, 0.0)] * 9), 2.0, middle).map(text_of),
        "a grandchild that was never visited": answer(deeper(), 2.0, random.Random(3)).map(text_of),
        "a child that was never visited and has children": answer(grown(), 2.0, random.Random(4)).map(text_of),
        "several children with the same bound": answer(equal, 2.0, not_first).map(text_of),
        "leaving the tree as it was": afterwards(down, lambda: marks(walked)),
    }


@question
def backpropagate(answer, draw):
    """Backpropagation"""

    def tree():
        """Every visit and total drawn; the leaves have values of their own, which are not the reward."""
        counts = [(draw.integer(3, 9), draw.uniform(1, 3)) for _ in range(6)]
        a, b, c, d, e, f = counts
        root = plant(*a, [(*b, [(*c, [(*d,)]), (*e,)]), (*f,)])
        for node in root.walk():
            node.value = None if node.children else draw.uniform(0.1, 0.9)
        return root

    def after(place, *rewards):
        root = tree()
        node = next(node for node in root.walk() if node.text == place)
        replies = [answer(node, reward) for reward in rewards]
        reply = next((reply for reply in replies if reply.error is not None), replies[-1])
        return afterwards(reply, lambda: marks(root))

    return {
        "a leaf far down": after("node 1.1.1", draw.uniform(0.2, 0.9)),
        "a node with children": after("node 1.1", draw.uniform(0.2, 0.9)),
        "a child of the question": after("node 2", draw.uniform(0.2, 0.9)),
        "the question itself": after("the question", draw.uniform(0.2, 0.9)),
        "a reward of zero": after("node 1.2", 0.0),
        "three rewards after each other": after("node 1.2", *(draw.uniform(0.2, 0.9) for _ in "abc")),
    }


@question
def exploration_weight(answer, draw):
    """The weight of exploration"""
    rollouts = draw.integer(12, 20)
    rollout, start = draw.integer(4, rollouts - 4), draw.uniform(1, 3)
    other = draw.choice(["cosine", "quadratic", "none", "log"])
    return {
        "a constant weight": answer(rollout, rollouts, start, "constant"),
        "a linear schedule": answer(rollout, rollouts, start, "linear"),
        "an exponential schedule": answer(rollout, rollouts, start, "exponential"),
        "the first rollout of a linear schedule": answer(0, rollouts, start, "linear"),
        "the last rollout of an exponential schedule": answer(rollouts - 1, rollouts, start, "exponential"),
        "a schedule that nobody knows": refused(answer(rollout, rollouts, start, other)),
    }


# ---- votes and expansion --------------------------------------------------------------------------------------------


def different(draw, count, low=2, high=60):
    """So many different numbers, as floats."""
    return [float(number) for number in draw.shuffled(range(low, high))[:count]]


@question
def majority_vote(answer, draw):
    """The majority of the votes"""
    low, middle, high, other = sorted(different(draw, 4))
    a, b = draw.shuffled([low, high])
    return {
        "a majority": answer(draw.shuffled([a] * 4 + [middle] * 3 + [b] * 3)),
        "texts without a number": answer(draw.shuffled([a] * 3 + [b, None, None])),
        "a majority of texts without a number": answer(draw.shuffled([a, a, b, None, None, None, None])),
        "a tie of which the smaller number came first": answer([low, high, low, high, other]),
        "a tie of which the greater number came first": answer([high, low, high, low, middle]),
        "a majority for the answer 0": answer(draw.shuffled([0.0] * 3 + [a, a, b, None])),
        "no number at all": answer([None] * draw.integer(2, 5)),
        "no texts": answer([]),
    }


@question
def allowed_actions(answer, draw):
    """What may follow what"""

    def after(*actions, terminal=False):
        node = Node(action=None, text="the question")
        for action in actions:
            node = node.add(Node(action=action, text=f"made by {action.name}"))
        node.terminal = terminal
        return answer(node).map(names)

    ended = draw.choice([STEP, SUBQUESTION, REANSWER])
    before = [SUBQUESTION, ended] if ended is REANSWER else [REPHRASE, ended]
    cases = {
        "the question": after(),
        "a step": after(STEP),
        "a step after a sub-question": after(SUBQUESTION, STEP),
        "all remaining steps": after(STEP, FINISH),
        "a sub-question": after(SUBQUESTION),
        "a sub-question answered again": after(SUBQUESTION, REANSWER),
        "a rephrased question": after(REPHRASE),
        "a node at which the reasoning ends": after(*before, terminal=True),
    }
    return {name: cases[name] for name in draw.shuffled(cases)}


class Asked:
    """A model as a table: for every action, the texts that vote on each child; and what it was asked."""

    def __init__(self, table):
        self.table, self.actions = table, []

    def __call__(self, node, action):
        """The texts for each child."""
        self.actions.append(action)
        return [list(texts) for texts in self.table.get(action, [])]


def sentence(a, b, end=""):
    return f"Mia has {a:g} + {b:g} = {a + b:g}.{end}"


def texts_by(node):
    return [f"{child.action.name}: {child.text}" for child in node.children]


def answers_by(node):
    return [f"{child.action.name}: {shown(child.answer)}" for child in node.children]


def values_by(node):
    return [f"{child.action.name}: {shown(child.value)}" for child in node.children]


def ends_by(node):
    return [f"{child.action.name}: {'terminal' if child.terminal else 'goes on'}" for child in node.children]


def children_of(node):
    """All that an expansion decides, and below which node each child hangs."""
    below = [f"below {text_of(child.parent)}" for child in node.children]
    columns = (texts_by(node), answers_by(node), values_by(node), ends_by(node), below)
    return [" | ".join(facts) for facts in zip(*columns, strict=True)]


@question
def expand(answer, draw):
    """Expansion"""
    a, b, c, wrong, other = (int(number) for number in different(draw, 5, 10, 50))
    right = draw.integer(60, 99)
    whole = [
        f"Mia has {a} + {b} = {a + b}. The answer is {wrong}.",
        f"Mia has {a} + {b} = {a + b}.",
        f"The answer is {right}. That is {c} more than {right - c}.",
        f"In all {a + b} + {c} = {a + b + c}. The answer is {right}.",
        f"So the answer is {wrong}, or rather: the answer is {right}.",
        f"Twice {c} is {2 * c}.",
        f"The answer is {other}. No, half of {c + c}, which is {c}.",
    ]
    voted = [sentence(a, b, " So 1."), sentence(a, b), f"Mia has {b} + {a} = {a + b}.", f"Perhaps {other}."]
    last = [f"How many apples does Ben have? {n} The answer is {m}." for n, m in ((a, other), (b, right), (c, right))]
    table = {
        STEP: [[sentence(a, b)], [f"Ben has {a} + {c} = {a + c}."], [f"The answer is {right}."]],
        FINISH: [whole],
        SUBQUESTION: [voted, [], last],
        REANSWER: [[f"Again: {a}.", f"Again: {b}.", f"Once more: {b}."]],
        REPHRASE: [[f"Given {a} and {b}. How many apples does Ben have?"]],
    }

    def below(*actions):
        """A node below the question, made by these actions."""
        node = Node(action=None, text="How many apples does Ben have?")
        for i, action in enumerate(actions, 1):
            node = node.add(Node(action=action, text=f"{i} so far."))
        return node

    def asked(node, ask, depth=5):
        return answer(node, ask, depth)

    root, ask = below(), Asked(table)
    first = asked(root, ask)
    again = below(STEP, SUBQUESTION)
    deep = asked(again, Asked(table), depth=3)
    silent, mute = below(STEP), Asked({STEP: [[], ["Let us see."]], FINISH: [["Mia is well.", f"Mia has {a}."]]})
    without = asked(silent, mute, depth=3)
    ended = below(STEP, STEP)
    ended.terminal = True
    nothing = asked(ended, Asked(table))
    return {
        "the texts of a question's children": afterwards(first, lambda: texts_by(root)),
        "the answers of a question's children": afterwards(first, lambda: answers_by(root)),
        "the values of a question's children": afterwards(first, lambda: values_by(root)),
        "where the reasoning ends": afterwards(first, lambda: ends_by(root)),
        "the guesses that the question keeps": afterwards(first, lambda: [shown(guess) for guess in root.guesses]),
        "what the model was asked for": afterwards(first, lambda: names(ask.actions)),
        "a sub-question one step above the depth": afterwards(deep, lambda: children_of(again)),
        "votes that state no answer": afterwards(
            without, lambda: children_of(silent) + [shown(guess) for guess in silent.guesses]
        ),
        "a node at which the reasoning ends": afterwards(nothing, lambda: children_of(ended)),
    }


# ---- the search -----------------------------------------------------------------------------------------------------


def planted(garden, *places):
    """A question, expanded along these places: "2.1" expands the question, node 2 and node 2.1."""
    root = Node(action=None, text="the question")
    for place in ("", *places):
        node = root
        for i in place.split(".") if place else ():
            node = node.children[int(i) - 1]
        garden.expand(node)
    garden.expanded.clear()
    return root


@question
def simulate(answer, draw):
    """Simulation"""

    def garden(depth, dead=0.0):
        return Garden(draw, depth, 3, ends=0.0, dead=dead)

    def far(rng):
        """Whether the walk takes another child than the first again and again."""
        taken = [rng.choice(range(3)) for _ in range(4)]
        return 0 not in taken and len(set(taken[:3])) == 2

    fresh = garden(4)
    root = Node(action=None, text="the question")
    walk = answer(root, fresh.expand, rng_with(draw, far))
    half = garden(4)
    grown = planted(half, "1", "2", "3")
    known = answer(grown, half.expand, rng_with(draw, far))
    stuck = garden(3, dead=1.0)
    begun = Node(action=None, text="the question")
    dead_end = answer(begun, stuck.expand, rng_with(draw, far))
    ended = planted(garden(1)).children[draw.integer(0, 2)]
    # A step may state the answer without being terminal: the reasoning goes on.
    talking = garden(4)
    early = planted(talking)
    for child, value in zip(early.children, (0.3, 0.8, 0.5), strict=True):
        child.answer, child.value = 1.0, value
    goes_on = answer(early, talking.expand, rng_with(draw, far))
    return {
        "a tree of which nothing is known": walk.map(text_of),
        "a tree that has grown already": known.map(text_of),
        "a dead end": dead_end.map(text_of),
        "a terminal node": answer(ended, garden(1).expand, random.Random(1)).map(text_of),
        "a step that states the answer": goes_on.map(text_of),
        "what is expanded": afterwards(known, lambda: list(half.expanded)),
        "what is expanded on the way to a dead end": afterwards(dead_end, lambda: list(stuck.expanded)),
        "the tree that stays": afterwards(walk, lambda: texts_of(list(root.walk()))),
        "leaving all visits at zero": afterwards(
            walk, lambda: sum(node.visits + node.total for node in root.walk()) + 0.0
        ),
    }


def grown(root):
    """A tree after a search, as lists over its nodes, depth first."""
    nodes = list(root.walk())
    return {
        "text of the root": root.text,
        "texts": texts_of(nodes),
        "visits": [float(node.visits) for node in nodes],
        "totals": [float(node.total) for node in nodes],
    }


@question
def search(answer, draw):
    """The search"""

    def ask(rollouts, start, schedule, **shape):
        garden = Garden(draw, **({"depth": 3, "branching": 3} | shape))
        rng = random.Random(draw.integer(0, 10**6))
        return answer("Where does it lead?", garden.expand, rollouts, start, schedule, rng).map(grown)

    # Two ends, visited twice and once: which of them the last of four rollouts tries depends on its weight. With 0.325
    # start, which is right, it is not the same as with 0.1 start.
    start, best, few = draw.uniform(2, 4), draw.uniform(0.6, 0.9), Garden(draw, 1, 2)
    few.values = dict(zip(draw.shuffled(few.values), (best, best - 0.06 * start), strict=True))
    four = answer("Where does it lead?", few.expand, 4, start, "linear", random.Random(draw.integer(0, 99)))
    refuses = Garden(draw, 2, 2)
    return {
        "a single rollout": ask(1, 2.0, "constant", ends=0.0, dead=0.0, silent=0.0),
        "thirty rollouts": ask(30, draw.uniform(1, 2), "constant", silent=0.0, dead=0.0),
        "leaves without a value": ask(30, draw.uniform(0.5, 1), "constant", silent=0.5, dead=0.2),
        "four rollouts with a weight that falls": four.map(grown),
        "a weight that falls linearly": ask(60, draw.uniform(1, 2), "linear"),
        "a weight that falls exponentially": ask(60, draw.uniform(1, 2), "exponential"),
        "a small tree that is soon known": ask(100, draw.uniform(0.4, 0.8), "linear", depth=2, branching=4),
        "no rollouts": refused(answer("Why?", refuses.expand, 0, 2.0, "constant", random.Random(1))),
    }


# ---- the answer -----------------------------------------------------------------------------------------------------


@question
def collect_solutions(answer, draw):
    """The solutions in a tree"""

    def tree(shares):
        """A tree of depth 3. The chances that a node states an answer: inside the tree, and at its ends."""
        inside, ends = shares
        spec = [(2, 1.0, [(1, 0.5, [(0, 0.0)] * draw.integer(1, 3))] * draw.integer(1, 2))] * 3
        root = plant(7, 3.0, spec)
        for node in root.walk():
            if node.parent is not None and draw.uniform() < (inside if node.children else ends):
                node.answer = float(draw.integer(1, 50))
            node.terminal = not node.children
            node.value = 0.5 if node.terminal and draw.uniform() < 0.5 else None
        return root

    def marked(*places, value=8.0):
        root = tree((0.0, 0.0))
        for node in root.walk():
            if node.text in places:
                node.answer = value
                node.visits = 3
        return root

    return {
        "solutions at the ends of the tree": answer(tree((0.0, 0.9))).map(texts_of),
        "solutions from which the reasoning goes on": answer(
            marked("node 1", "node 1.1", "node 1.1.1", "node 2", "node 3.1.1", value=float(draw.integer(2, 9)))
        ).map(texts_of),
        "solutions anywhere": answer(tree((0.5, 0.7))).map(texts_of),
        "the answer 0": answer(marked("node 2.1", "node 2.1.1", value=0.0)).map(texts_of),
        "a tree without solutions": answer(tree((0.0, 0.0))).map(texts_of),
        "the question alone": answer(plant(0, 0.0)).map(texts_of),
    }


@question
def prior_weight(answer, draw):
    """The weight of a path"""
    right, wrong, other = different(draw, 3)

    def path(*guesses, own=()):
        """A path whose nodes have these guesses, to a solution with guesses of its own."""
        node = Node(action=None, text="the question", guesses=list(guesses[0]))
        for i, some in enumerate(guesses[1:], 1):
            node = node.add(Node(action=SUBQUESTION, text=f"{i} so far.", guesses=list(some)))
        solution = node.add(Node(action=STEP, text="The answer.", answer=right, guesses=list(own)))
        node.add(Node(action=STEP, text="Another answer.", answer=wrong))
        return solution.path

    def votes(*counts):
        """Guesses in random order: so many right, wrong, others, and without an answer."""
        some = [value for value, n in zip((right, wrong, other, None), counts, strict=False) for _ in range(n)]
        return draw.shuffled(some)

    k, m, n = draw.integer(2, 7), draw.integer(2, 6), draw.integer(1, 5)
    return {
        "one node with guesses": answer(path(votes(k, m, 1), [])),
        "several nodes with guesses": answer(path(votes(k, 3), votes(2, m, n), votes(5, n))),
        "guesses without an answer": answer(path(votes(k, 1, 0, m), votes(3, 2, 0, n))),
        "nodes without guesses": answer(path([], votes(k, m), [], [])),
        "guesses made from the solution itself": answer(path(votes(3, k), [], own=votes(1, 3, 1))),
        "an answer that nobody guessed": answer(path(votes(2, 2), votes(0, 3, 2))),
        "a path of the solution alone": answer(
            [Node(action=None, text="The answer.", answer=right, guesses=votes(2, 1))]
        ),
    }


@question
def select_answer(answer, draw):
    """The answer that is selected"""
    a, b, c = different(draw, 3)

    def some(answer, *weights):
        return [(answer, weight * scale) for weight in weights]

    scale = draw.uniform(0.5, 2)
    return {
        "one solution": answer(some(a, 0.4)),
        "several weights for one answer": answer(
            draw.shuffled(some(a, 0.5, 0.11) + some(b, 0.3, 0.36, 0.29) + some(c, 0.1, 0.2, 0.05, 0.04))
        ),
        "one heavy solution against many light ones": answer(
            draw.shuffled(some(a, 0.9) + some(b, 0.1, 0.2, 0.05) + some(c, 0.3, 0.25))
        ),
        "solutions without an answer": answer(
            draw.shuffled(some(None, 0.8, 0.7) + some(a, 0.4, 0.3) + some(b, 0.2, 0.1))
        ),
        "a tie of the smaller answer, which came first": answer(
            [(min(a, b), 0.25), (c, 0.125), (max(a, b), 0.5), (min(a, b), 0.25)]
        ),
        "a tie of the greater answer, which came first": answer([(max(a, b), 0.5), (c, 0.25), (min(a, b), 0.5)]),
        "the answer 0": answer(draw.shuffled(some(0.0, 0.4, 0.3) + some(a, 0.2, 0.25) + some(None, 0.1))),
        "weights that are all zero": answer([(a, 0.0), (b, 0.0)]),
        "no solution with an answer": answer([(None, 0.5)] * draw.integer(0, 2)),
    }


# ---- find the bug ---------------------------------------------------------------------------------------------------
# Functions (answers, weights) -> {answer: sum of its weights} for `weights_test`. Each makes at most one mistake, and
# none raises an error on any lists of equal lengths.


def in_order(answers):
    """The places of the answers, equal ones together, in the order in which each first comes."""
    answers = list(answers)
    return sorted(range(len(answers)), key=lambda i: answers.index(answers[i]))


def added(answers, weights):
    sums: dict = {}
    for each, weight in zip(answers, weights, strict=True):
        sums[each] = sums.get(each, 0) + weight
    return sums


def grouped(answers, weights):
    groups = defaultdict(list)
    for each, weight in zip(answers, weights, strict=True):
        groups[each].append(weight)
    return groups


def backwards(answers, weights):
    return added(list(answers)[::-1], list(weights)[::-1])


def by_counter(answers, weights):
    sums: Counter = Counter()
    for each, weight in zip(answers, weights, strict=True):
        sums[each] += weight
    return sums


def by_fractions(answers, weights):
    return added(answers, [Fraction(weight) for weight in weights])


def by_fsum(answers, weights):
    return {
        each: math.fsum(some) for each, some in sorted(grouped(answers, weights).items(), key=lambda kv: len(kv[1]))
    }


def with_rounding(answers, weights):
    """Right but for an error in the last digit."""
    return {each: total * (1 + 3e-16) for each, total in added(answers, weights).items()}


def regrouped(answers, weights):
    answers = list(answers)
    return added([answers[i] for i in in_order(answers)], weights)


def weights_regrouped_only(answers, weights):
    answers, weights = list(answers), list(weights)
    return added(answers, [weights[i] for i in in_order(answers)])


def averages(answers, weights):
    return {each: sum(some) / len(some) for each, some in grouped(answers, weights).items()}


def the_last(answers, weights):
    return dict(zip(answers, weights, strict=True))


def the_greatest(answers, weights):
    return {each: max(some) for each, some in grouped(answers, weights).items()}


def counts(answers, weights):
    return {each: len(some) for each, some in grouped(answers, weights).items()}


def heaviest_first(answers, weights):
    return added(answers, sorted(weights, reverse=True))


def neighbours_only(answers, weights):
    runs = itertools.groupby(zip(answers, weights, strict=True), key=lambda pair: pair[0])
    return {each: sum(weight for _, weight in run) for each, run in runs}


def one_short(answers, weights):
    return added(list(answers)[:-1], list(weights)[:-1])


def shifted(answers, weights):
    weights = list(weights)
    return added(answers, weights[1:] + weights[:1])


def shares(answers, weights):
    sums = added(answers, weights)
    everything = sum(sums.values())
    return {each: total / everything for each, total in sums.items()} if everything else sums


def exchanged(answers, weights):
    sums = added(answers, weights)
    return dict(zip(sums, [*list(sums.values())[1:], *list(sums.values())[:1]], strict=True))


def only_repeated(answers, weights):
    return {each: sum(some) for each, some in grouped(answers, weights).items() if len(some) > 1}


TOTALS = {
    "right sums": added,
    "right sums in another order": backwards,
    "right sums in a Counter": by_counter,
    "right sums in a defaultdict": lambda answers, weights: defaultdict(float, added(answers, weights)),
    "right sums of fractions": by_fractions,
    "right sums by math.fsum": by_fsum,
    "right sums with a rounding error": with_rounding,
    "answers regrouped and weights not": regrouped,
    "weights regrouped and answers not": weights_regrouped_only,
    "the mean of each answer's weights": averages,
    "the last weight of each answer": the_last,
    "the greatest weight of each answer": the_greatest,
    "how often each answer came": counts,
    "weights that were sorted": heaviest_first,
    "sums of neighbours only": neighbours_only,
    "sums without the last solution": one_short,
    "every weight given to the solution before": shifted,
    "sums divided by all the weight": shares,
    "no answer that came only once": only_repeated,
    "sums that belong to other answers": exchanged,
}
_handed: contextvars.ContextVar = contextvars.ContextVar("_handed")


def unnamed(function):
    """A function that does what `function` does: they are all alike in name, code and closure. Only calls tell."""
    _handed.set(function)

    def totals(answers, weights):
        return _handed.get()(answers, weights)

    totals.__qualname__ = "totals"
    return totals


@question
def weights_test(answer, draw):
    """A test that finds the wrong sums"""
    totals = TOTALS | draw.unseen
    return {name: answer(unnamed(totals[name])) for name in draw.shuffled(totals)}


# ---- second opinions ------------------------------------------------------------------------------------------------


@question
def verify_step(answer, draw):
    """A step that can be verified"""
    a, b, c = draw.integer(11, 19), draw.integer(21, 29), draw.integer(2, 4)
    x = draw.integer(91, 99)  # known from nowhere: no sum or difference of the others
    q = draw.integer(2, 9)
    known = {float(a), float(b), float(c)}

    def ask(text, known=known):
        return answer(text, set(known))

    chain = f"Mia has {a} + {b} = {a + b}. Ben has {a + b} * {c} = {(a + b) * c}."
    kept = {float(a), float(b), float(c)}
    after = answer(chain, kept)
    cases = {
        "a true equation with known numbers": ask(f"Mia has {a} + {b} = {a + b}."),
        "a false equation": ask(f"Mia has {a} + {b} = {a + b + draw.choice([-1, 1, 10])}."),
        "a first number from nowhere": ask(f"Mia has {x} - {a} = {x - a}."),
        "a second number from nowhere": ask(f"Mia has {a} + {x} = {a + x}."),
        "two numbers from nowhere": ask(f"Mia has {x} + {x - 1} = {2 * x - 1}."),
        "a result that the next equation uses": ask(chain),
        "a result that is used before it is found": ask(
            f"Ben has {a + b} * {c} = {(a + b) * c}. Mia has {a} + {b} = {a + b}."
        ),
        "a second equation that is false": ask(
            f"Mia has {b} - {a} = {b - a}. Ben has {b - a} * {c} = {(b - a) * c + 1}."
        ),
        "a second equation with a number from nowhere": ask(
            f"Mia has {b} - {a} = {b - a}. Ben has {x} + {c} = {x + c}."
        ),
        "a first equation that is false": ask(f"Mia has {a} + {c} = {a + c - 1}. Ben has {b} + {c} = {b + c}."),
        "a division": ask(f"Each has {a * c} / {c} = {a}.", {float(a * c), float(c)}),
        "decimals": ask("It is 0.1 + 0.2 = 0.3 metres, then 0.3 * 3 = 0.9 metres.", {0.1, 0.2, 3.0}),
        "a rounded result": ask(f"Each has {3 * q + 1} / 3 = {round((3 * q + 1) / 3, 2)}.", {3.0 * q + 1, 3.0}),
        "a division by zero": ask(f"Each has {a} / 0 = 0.", {float(a), 0.0}),
        "no equation": ask(f"Mia has {x} apples, and Ben has none."),
        "leaving the known numbers as they were": afterwards(after, lambda: sorted(kept)),
    }
    return {name: cases[name] for name in draw.shuffled(cases)}


WORDS = ["Mia", "Ben", "Ada", "has", "gives", "takes", "five", "few", "apples", "again", "then", "more,", "less."]


@question
def mask_path(answer, draw):
    """The start of a path"""

    def text(count):
        return [draw.choice(WORDS) for _ in range(count)]

    spaced = "  ".join(text(5)) + " \n" + "\n".join(text(4)) + " "
    return {
        "a part that is rounded up": answer(" ".join(text(draw.choice([9, 19]))), 0.3),
        "a part that is rounded down": answer(" ".join(text(draw.choice([7, 17]))), 0.3),
        "less than one word": answer(" ".join(text(draw.integer(3, 4))), 0.1),
        "the whole text": answer(" ".join(text(draw.integer(6, 9))), 1.0),
        "a text with line breaks and double spaces": answer(spaced, 0.67),
        "an empty text": answer("", 0.5),
        "a share of zero": refused(answer("Mia has five apples.", 0.0)),
        "a share above one": refused(answer("Mia has five apples.", draw.uniform(1.1, 2))),
    }


class SecondModel:
    """Continues a prefix by a table from its number of words, and remembers every call."""

    def __init__(self, endings):
        self.endings, self.calls = endings, []

    def __call__(self, prefixes):
        """A continuation of every prefix."""
        self.calls.append(list(prefixes))
        return [self.endings.get(len(prefix.split()), "So it is.") for prefix in prefixes]


@question
def mutually_consistent(answer, draw):
    """What a second model makes of it"""
    a, b, c, wrong = (int(number) for number in different(draw, 4, 3, 30))
    n = (a + b) * c
    right = [
        f"Mia has {a} + {b} = {a + b}. Ben has {a + b} * {c} = {n}. The answer is {n}.",
        f"Ben has {n}. The answer is {n}. That is {b} more than {n - b}.",  # its last number is another one
        f"Perhaps the answer is {n + wrong}. No, the answer is {n}.",
    ]
    wrongs = [
        f"The answer is {n + wrong}.",
        f"So far Mia has {n}.",  # the number, but nothing is stated
        f"The answer is {n + 1}, and not {n}.",
    ]
    shares, places = (0.2, 0.3, 0.4, 0.5), (4, 5, 7, 9)  # the text has 18 words
    text = right[0]

    def ask(good, needed=2):
        """A second model that agrees after `good` of the four prefixes."""
        agrees = draw.shuffled([True] * good + [False] * (4 - good))
        rights, others = iter(draw.shuffled(right) + right), iter(draw.shuffled(wrongs) + wrongs)
        model = SecondModel({p: next(rights) if a else next(others) for p, a in zip(places, agrees, strict=True)})
        return answer(text, model, shares, needed), model

    three, model = ask(3)
    # 18 words: after 15 "The", after 17 "The answer is", after 18 all has been said.
    late = SecondModel({15: f"answer is {n}.", 17: f"{n + wrong}.", 18: "", 6: wrongs[0]})
    open_end = f"Mia has {a} + {b} = {a + b}. Ben has {a + b} * {c} = {n}. So much for now, I think."
    silent = SecondModel({})
    nothing = answer(open_end, silent, shares, 2)
    return {
        "a model that agrees three times": three,
        "a model that agrees just often enough": ask(2)[0],
        "a model that agrees once": ask(1)[0],
        "a model that never agrees": ask(0)[0],
        "three that are needed and two that agree": ask(2, needed=3)[0],
        "cuts near the end": answer(text, late, (0.35, 0.85, 0.95, 1.0), 2),
        "a text that states no answer": nothing,
        "what the second model is asked": afterwards(three, lambda: model.calls),
        "what it is asked about a text that states no answer": afterwards(nothing, lambda: silent.calls),
    }
