"""Typical mistakes in Lab 6, reasoning by tree search."""

import math
import random
import statistics
from collections import Counter
from functools import partial

from autograder.misconceptions import misconception
from course import search as given
from course.search import Action, Node

# ---- uct ------------------------------------------------------------------------------------------------------------


@misconception(
    "uct", "The logarithm is of the child's own visits. It is the parent's that make a neglected child rise."
)
def uct_own_logarithm(node, weight):
    return (
        node.total / node.visits + weight * math.sqrt(math.log(node.visits) / node.visits) if node.visits else math.inf
    )


@misconception("uct", "The square root is missing around the quotient of logarithm and visits.")
def uct_without_root(node, weight):
    return node.total / node.visits + weight * math.log(node.parent.visits) / node.visits if node.visits else math.inf


@misconception("uct", "The root is of the logarithm only. In (6.3) it is of the whole fraction, logarithm by visits.")
def uct_root_of_the_logarithm(node, weight):
    return (
        node.total / node.visits + weight * math.sqrt(math.log(node.parent.visits)) / node.visits
        if node.visits
        else math.inf
    )


@misconception(
    "uct",
    "Under the root the visits have changed places: the logarithm is of the parent's, divided by the child's.",
)
def uct_exchanged_visits(node, weight):
    return (
        node.total / node.visits + weight * math.sqrt(math.log(node.visits) / node.parent.visits)
        if node.visits
        else math.inf
    )


@misconception("uct", "The weight went under the root. It multiplies the root as a whole.")
def uct_weight_in_the_root(node, weight):
    return (
        node.total / node.visits + math.sqrt(weight * math.log(node.parent.visits) / node.visits)
        if node.visits
        else math.inf
    )


@misconception(
    "uct",
    "A child that was never visited gets a bound of zero, so it would never be tried. Nothing is known about it: its "
    "bound has no limit.",
)
def uct_zero_at_first(node, weight):
    return given.uct(node, weight) if node.visits else 0.0


@misconception("uct", "The first term is the sum of the rewards. (6.3) has their mean, Q / N.")
def uct_sum_of_rewards(node, weight):
    return node.total + weight * math.sqrt(math.log(node.parent.visits) / node.visits) if node.visits else math.inf


@misconception("uct", "The first term is about the parent. It is the mean reward of this child that is weighed.")
def uct_of_the_parent(node, weight):
    parent = node.parent
    return (
        parent.total / parent.visits + weight * math.sqrt(math.log(parent.visits) / node.visits)
        if node.visits
        else math.inf
    )


@misconception("uct", "The logarithm has the base 10 (or 2). ln is the natural one, math.log.")
def uct_log10(node, weight):
    return (
        node.total / node.visits + weight * math.sqrt(math.log10(node.parent.visits) / node.visits)
        if node.visits
        else math.inf
    )


@misconception(
    "uct",
    "The logarithm counts the root's visits. N_parent belongs to the node right above, which need not be the root.",
)
def uct_visits_of_the_root(node, weight):
    return (
        node.total / node.visits + weight * math.sqrt(math.log(node.path[0].visits) / node.visits)
        if node.visits
        else math.inf
    )


# ---- select ---------------------------------------------------------------------------------------------------------


def down(node, step):
    """Follow step(children) to a node without children."""
    while node.children:
        node = step(node.children)
    return node


def select_by(root, rng, key):
    """As `select`, with another measure of the children."""
    while root.children:
        fresh = [child for child in root.children if not child.visits]
        if fresh:
            return rng.choice(fresh)
        root = max(root.children, key=key)
    return root


@misconception(
    "select", "It goes on to the child that was visited most. That one is known best; the bound decides where to look."
)
def select_most_visited(root, weight, rng):
    return select_by(root, rng, lambda child: child.visits)


@misconception("select", "It goes on to the child with the greatest sum of rewards. Compare the bounds.")
def select_greatest_total(root, weight, rng):
    return select_by(root, rng, lambda child: child.total)


@misconception(
    "select",
    "It goes on to the child with the best mean so far and never explores. Compare the bounds, with the weight.",
)
def select_greatest_mean(root, weight, rng):
    return select_by(root, rng, lambda child: child.mean)


@misconception("select", "It stops after one level. Go on from the chosen child, until a node has no children.")
def select_one_level(root, weight, rng):
    if not root.children:
        return root
    fresh = [child for child in root.children if not child.visits]
    return rng.choice(fresh) if fresh else max(root.children, key=lambda child: given.uct(child, weight))


@misconception(
    "select", "It stops one node too early: at the last node that has children, instead of going on below it."
)
def select_stops_early(root, weight, rng):
    found = given.select(root, weight, rng)
    return found.parent if found.parent is not None else found


@misconception(
    "select",
    "Of several children that were never visited it takes the first. They are equals: draw one with rng.choice, from "
    "those only.",
)
def select_first_fresh(root, weight, rng):
    return down(root, lambda children: max(children, key=lambda child: given.uct(child, weight)))


@misconception(
    "select",
    "Where some children were never visited, it draws among all of them. Draw from those only that were never visited.",
)
def select_draws_from_all(root, weight, rng):
    def step(children):
        if all(child.visits for child in children):
            return max(children, key=lambda child: given.uct(child, weight))
        return rng.choice(children)

    return down(root, step)


@misconception(
    "select",
    "It goes on below a child that was never visited. The walk stops there: nothing is known about it yet.",
)
def select_goes_on_below(root, weight, rng):
    found = given.select(root, weight, rng)
    while found.children:
        found = rng.choice(found.children)
    return found


@misconception(
    "select",
    "Of several children with the same greatest bound it takes the last. The rule is: the first (`max` does so).",
)
def select_last_of_equals(root, weight, rng):
    while root.children:
        fresh = [child for child in root.children if not child.visits]
        if fresh:
            return rng.choice(fresh)
        root = max(reversed(root.children), key=lambda child: given.uct(child, weight))
    return root


@misconception(
    "select",
    "Of several children with the same greatest bound it draws one. The rule is: the first. Only children that were "
    "never visited are drawn.",
)
def select_draws_among_equals(root, weight, rng):
    while root.children:
        bounds = [given.uct(child, weight) for child in root.children]
        root = rng.choice([child for child, bound in zip(root.children, bounds, strict=True) if bound == max(bounds)])
    return root


@misconception(
    "select", "The right node, but visits were counted on the way. Looking changes nothing: that is done later."
)
def select_counts(root, weight, rng):
    found = given.select(root, weight, rng)
    for node in found.path:
        node.visits += 1
    return found


# ---- backpropagate --------------------------------------------------------------------------------------------------


def up(node, reward, first=0, last=None):
    """Count visit and reward on the path, from the node (number 0) upwards."""
    for above in node.path[::-1][first:last]:
        above.visits += 1
        above.total += reward


@misconception(
    "backpropagate", "The question is left out. Its visits are the N_parent of its children: go all the way up."
)
def back_without_the_root(node, reward):
    up(node, reward, last=-1)


@misconception("backpropagate", "The node itself is left out. Begin with it, then its parent, and so on.")
def back_without_the_leaf(node, reward):
    up(node, reward, first=1)


@misconception("backpropagate", "Only the node itself learned of the reward. All its ancestors do, up to the question.")
def back_without_the_ancestors(node, reward):
    up(node, reward, last=1)


@misconception("backpropagate", "Each node's own `value` was added. What travels up is the reward that was handed in.")
def back_adds_the_value(node, reward):
    for above in node.path:
        above.visits += 1
        above.total += above.value or 0.0


@misconception(
    "backpropagate",
    "`total` became a mean. It is the sum of all rewards; whoever wants the mean divides by the visits.",
)
def back_averages(node, reward):
    for above in node.path:
        above.visits += 1
        above.total += (reward - above.total) / above.visits


@misconception("backpropagate", "The reward took the place of the sum. Add it to what is there.")
def back_overwrites(node, reward):
    for above in node.path:
        above.visits += 1
        above.total = reward


@misconception(
    "backpropagate", "The rewards are right, but no visit is counted. A rollout is a visit everywhere on its way."
)
def back_without_visits(node, reward):
    for above in node.path:
        above.total += reward


@misconception(
    "backpropagate", "A reward of zero counts nothing here. It is a visit all the same, or failures would be free."
)
def back_rewarded_only(node, reward):
    if reward:
        up(node, reward)


@misconception(
    "backpropagate", "The reward shrinks on its way up. Here there is no discount: all ancestors get all of it."
)
def back_discounts(node, reward):
    for i, above in enumerate(node.path[::-1]):
        above.visits += 1
        above.total += reward * 0.9**i


# ---- exploration_weight ---------------------------------------------------------------------------------------------

CURVES = {"constant": lambda s: 1.0, "linear": lambda s: 1 - 0.9 * s, "exponential": lambda s: 0.1**s}


def unknown(schedule):
    return ValueError(f"no schedule {schedule}")


def weigh(s, start, schedule):
    if schedule not in CURVES:
        raise unknown(schedule)
    return start * CURVES[schedule](s)


@misconception(
    "exploration_weight",
    "The weight reaches start / 10 in the last rollout. s is rollout / rollouts, which stays below 1.",
)
def weight_one_too_few(rollout, rollouts, start, schedule):
    return weigh(rollout / max(1, rollouts - 1), start, schedule)


@misconception("exploration_weight", "The first rollout has a smaller weight already. Rollouts count from 0.")
def weight_from_one(rollout, rollouts, start, schedule):
    return weigh((rollout + 1) / rollouts, start, schedule)


@misconception("exploration_weight", "The linear schedule falls towards zero. It falls towards a tenth of the start.")
def weight_to_zero(rollout, rollouts, start, schedule):
    return start * (1 - rollout / rollouts) if schedule == "linear" else weigh(rollout / rollouts, start, schedule)


@misconception(
    "exploration_weight",
    "The linear schedule takes off 0.9 s, whatever the start was. It is the start that shrinks by this share.",
)
def weight_takes_off(rollout, rollouts, start, schedule):
    return start - 0.9 * rollout / rollouts if schedule == "linear" else weigh(rollout / rollouts, start, schedule)


@misconception(
    "exploration_weight",
    "The exponential schedule loses a factor of 10 in every rollout. It shall lose it over all of them together.",
)
def weight_by_rollout(rollout, rollouts, start, schedule):
    return start * 0.1**rollout if schedule == "exponential" else weigh(rollout / rollouts, start, schedule)


@misconception("exploration_weight", "The exponential schedule falls with the base e. Its base is 0.1.")
def weight_base_e(rollout, rollouts, start, schedule):
    s = rollout / rollouts
    return start * math.exp(-s) if schedule == "exponential" else weigh(s, start, schedule)


@misconception(
    "exploration_weight",
    "An unknown schedule is taken for one of the three, so a typing error would go unseen. Raise a ValueError.",
)
def weight_for_any_name(rollout, rollouts, start, schedule):
    return weigh(rollout / rollouts, start, schedule if schedule in CURVES else "constant")


# ---- allowed_actions ------------------------------------------------------------------------------------------------

STEP, FINISH, SUBQUESTION, REANSWER, REPHRASE = Action


def follow(node, **changes):
    """The table with some of its rows changed."""
    table = {action and action.name: list(given.FOLLOWERS[action]) for action in given.FOLLOWERS} | changes
    return [] if node.terminal else table[node.action and node.action.name]


def question_may(node, *actions):
    return list(actions) if node.action is None and not node.terminal else follow(node)


@misconception("allowed_actions", "After a terminal node nothing follows, whatever action made it.")
def actions_after_the_end(node):
    return list(given.FOLLOWERS[node.action])


@misconception(
    "allowed_actions",
    "A question can only be rephrased where it still stands alone. Once the reasoning has begun, it stays as it is.",
)
def actions_rephrase_anywhere(node):
    actions = follow(node)
    return [*actions, REPHRASE] if actions and REPHRASE not in actions else actions


@misconception(
    "allowed_actions", "There is no sub-question yet that could be answered again: this follows a sub-question only."
)
def actions_reanswer_anywhere(node):
    actions = follow(node)
    return sorted({*actions, REANSWER}, key=list(Action).index) if actions else []


@misconception(
    "allowed_actions", "A sub-question was answered again and again. Once is all: then the reasoning goes on."
)
def actions_reanswer_twice(node):
    return follow(node, REANSWER=[STEP, FINISH, SUBQUESTION, REANSWER])


@misconception("allowed_actions", "A rephrased question was rephrased once more. Once is all.")
def actions_rephrase_twice(node):
    return follow(node, REPHRASE=[STEP, FINISH, SUBQUESTION, REPHRASE])


@misconception(
    "allowed_actions", "A sub-question follows a step. Who has begun to think in steps goes on so, or finishes."
)
def actions_subquestion_after_step(node):
    return follow(node, STEP=[STEP, FINISH, SUBQUESTION])


@misconception("allowed_actions", "After all remaining steps (FINISH) nothing follows, marked as terminal or not.")
def actions_after_finish(node):
    return follow(node, FINISH=[STEP, FINISH])


@misconception("allowed_actions", "After all remaining steps (FINISH) nothing follows, marked as terminal or not.")
def actions_after_finish_a_subquestion(node):
    return follow(node, FINISH=[STEP, FINISH, SUBQUESTION])


@misconception("allowed_actions", "The question itself can be rephrased, too: an action is missing there.")
def actions_question_as_it_is(node):
    return question_may(node, STEP, FINISH, SUBQUESTION)


@misconception("allowed_actions", "All actions are allowed everywhere. Most of them make sense after some others only.")
def actions_all(node):
    return [] if node.terminal else list(Action)


@misconception(
    "allowed_actions", "It goes by the action of the parent. What made this node decides what may follow it."
)
def actions_of_the_parent(node):
    return (
        given.allowed_actions(Node(action=node.parent.action, text=""))
        if node.parent and not node.terminal
        else follow(node)
    )


# ---- majority_vote --------------------------------------------------------------------------------------------------


def numbers_of(answers):
    return [answer for answer in answers if answer is not None]


def most(answers):
    counts = Counter(answers)
    return counts.most_common(1)[0] if counts else (None, 0)


@misconception(
    "majority_vote", "The share is of the texts that gave a number. Those that gave none were asked, too: they count."
)
def vote_share_of_numbers(answers):
    winner, count = most(numbers_of(answers))
    return winner, count / max(1, len(numbers_of(answers)))


@misconception("majority_vote", "None may win here. A text without a number counts among the votes, but never wins.")
def vote_none_wins(answers):
    winner, count = most(answers)
    return winner, count / len(answers) if answers else 0.0


@misconception("majority_vote", "The second value is how many votes the winner has. It shall be their share of all.")
def vote_count(answers):
    winner, count = most(numbers_of(answers))
    return winner, float(count)


@misconception(
    "majority_vote", "Of answers that are equally frequent, the one that came first wins. This takes the last."
)
def vote_last_of_equals(answers):
    winner, count = most(numbers_of(answers)[::-1])
    return winner, count / len(answers) if answers else 0.0


@misconception(
    "majority_vote", "Of answers that are equally frequent, the one that came first wins. This takes the greatest."
)
def vote_greatest_of_equals(answers):
    counts = Counter(numbers_of(answers))
    winner = max(counts, key=lambda answer: (counts[answer], answer), default=None)
    return winner, counts[winner] / max(1, len(answers))


@misconception(
    "majority_vote", "Of answers that are equally frequent, the one that came first wins. This takes the smallest."
)
def vote_smallest_of_equals(answers):
    counts = Counter(sorted(numbers_of(answers)))
    winner, count = most(counts.elements())
    return winner, count / max(1, len(answers))


@misconception("majority_vote", "This is an average of the numbers. An answer is right or wrong: count equal ones.")
def vote_median(answers):
    some = numbers_of(answers)
    return (statistics.median(some), some.count(statistics.median(some)) / len(answers)) if some else (None, 0.0)


@misconception("majority_vote", "The answer 0 got lost: it counts as false. Leave out what `is None` only.")
def vote_without_zero(answers):
    winner, count = most([answer for answer in answers if answer])
    return winner, count / len(answers) if answers else 0.0


@misconception("majority_vote", "The winner came back without its share. Return both.")
def vote_winner_only(answers):
    return given.majority_vote(answers)[0]


# ---- expand ---------------------------------------------------------------------------------------------------------


def grow(
    node,
    ask,
    depth,
    actions=given.allowed_actions,
    lists=lambda lists: lists,
    read=lambda action, text: given.final_answer(text) if action is FINISH else given.last_number(text),
    choose=lambda texts, votes, winner: texts[votes.index(winner) if winner is not None else 0],
    rewarded=(FINISH, SUBQUESTION),
    valued=lambda answer, share: share if answer is not None else None,
    ends=lambda child, depth: (
        child.action is FINISH or (child.action is SUBQUESTION and child.answer is not None) or child.depth >= depth
    ),
    keep=lambda votes: votes,
):
    """`expand` with parts to be exchanged."""
    for action in actions(node):
        for texts in lists(ask(node, action)):
            if not texts:
                continue
            votes = [read(action, text) for text in texts]
            winner, share = given.majority_vote(votes)
            child = node.add(Node(action=action, text=choose(texts, votes, winner)))
            child.answer = given.final_answer(child.text)
            child.value = valued(child.answer, share) if action in rewarded else None
            child.terminal = ends(child, depth)
            if action is FINISH:
                node.guesses = keep(votes)


@misconception(
    "expand", "Every action gives one child only. Each of the lists that `ask` returns is a child of its own."
)
def expand_one_child(node, ask, depth):
    grow(node, ask, depth, lists=lambda lists: lists[:1])


@misconception("expand", "Every text became a child. The texts of one list are votes on one child.")
def expand_child_per_text(node, ask, depth):
    grow(node, ask, depth, lists=lambda lists: [[text] for texts in lists for text in texts])


@misconception(
    "expand",
    "The child says what the first text of its list says. Let them vote, and take a text that agrees with the winner.",
)
def expand_first_text(node, ask, depth):
    grow(node, ask, depth, choose=lambda texts, votes, winner: texts[0])


@misconception("expand", "Of the texts that agree with the winner, the child shall say the first. This takes the last.")
def expand_last_text(node, ask, depth):
    grow(
        node,
        ask,
        depth,
        choose=lambda texts, votes, winner: (
            texts[len(votes) - 1 - votes[::-1].index(winner)] if winner is not None else texts[0]
        ),
    )


@misconception(
    "expand",
    "All remaining steps were read by their last number. There the vote is on the answer that they state: a text may "
    "go on after it, or never state one.",
)
def expand_last_numbers(node, ask, depth):
    grow(node, ask, depth, read=lambda action, text: given.last_number(text))


@misconception(
    "expand",
    "Sub-questions were read by the answer that they state. Most state none: their votes are the last numbers.",
)
def expand_final_answers(node, ask, depth):
    grow(node, ask, depth, read=lambda action, text: given.final_answer(text))


@misconception(
    "expand",
    "Steps (or other children that nobody voted on) have values. A share of the votes is a value in two actions only.",
)
def expand_values_steps(node, ask, depth):
    grow(node, ask, depth, rewarded=tuple(Action))


@misconception(
    "expand",
    "A sub-question on the way has a value. Its votes are on a part of the problem: only those on the answer to the "
    "question itself are a reward.",
)
def expand_values_parts(node, ask, depth):
    grow(node, ask, depth, valued=lambda answer, share: share)


@misconception(
    "expand", "The last sub-question has no value. It answers the question and was voted on, as all remaining steps."
)
def expand_values_finish_only(node, ask, depth):
    grow(node, ask, depth, rewarded=(FINISH,))


DEPTH = "No child ends at the depth (or only one below it): a child whose own depth is `depth` is terminal."


@misconception("expand", DEPTH)
def expand_one_too_deep(node, ask, depth):
    grow(node, ask, depth + 1)


@misconception("expand", "Children end one step above the depth. It is the child's own depth that is compared.")
def expand_one_too_early(node, ask, depth):
    grow(node, ask, depth - 1)


@misconception("expand", DEPTH)
def expand_without_depth(node, ask, depth):
    grow(node, ask, math.inf)


@misconception("expand", "The last sub-question is not terminal here, although it answers the question.")
def expand_goes_on(node, ask, depth):
    grow(node, ask, depth, ends=lambda child, depth: child.action is FINISH or child.depth >= depth)


@misconception(
    "expand", "Every node that states the answer is terminal here. After a step the reasoning may go on all the same."
)
def expand_ends_with_steps(node, ask, depth):
    grow(
        node,
        ask,
        depth,
        ends=lambda child, depth: child.action is FINISH or child.answer is not None or child.depth >= depth,
    )


@misconception("expand", "The node keeps no guesses. They are the votes on all remaining steps.")
def expand_forgets_guesses(node, ask, depth):
    grow(node, ask, depth, keep=lambda votes: [])


@misconception(
    "expand", "The guesses lack those without an answer. Keep all votes, None included: their number counts later."
)
def expand_keeps_numbers(node, ask, depth):
    grow(node, ask, depth, keep=numbers_of)


@misconception("expand", "It asks for every action. Only some are allowed after this node.")
def expand_by_all_actions(node, ask, depth):
    grow(node, ask, depth, actions=lambda node: list(Action))


# ---- simulate -------------------------------------------------------------------------------------------------------


@misconception("simulate", "A node that has its children already was expanded again, so it has them twice.")
def simulate_expands_always(node, expand, rng):
    while not node.terminal:
        expand(node)
        if not node.children:
            break
        node = rng.choice(node.children)
    return node


@misconception("simulate", "It takes one step only. Go on until a node is terminal.")
def simulate_one_step(node, expand, rng):
    if not node.terminal and not node.children:
        expand(node)
    return rng.choice(node.children) if node.children else node


@misconception("simulate", "It always goes to the first child. Draw one: rng.choice(node.children).")
def simulate_first(node, expand, rng):
    class First(random.Random):
        def choice(self, some):
            return some[0]

    return given.simulate(node, expand, First())


@misconception("simulate", "It walks through children that are there and expands none, so the tree never grows.")
def simulate_never_expands(node, expand, rng):
    while node.children:
        node = rng.choice(node.children)
    return node


@misconception(
    "simulate",
    "The tree was cut back after the walk. Here the nodes of a simulation stay in the tree: they were paid for.",
)
def simulate_detached(node, expand, rng):
    bare = not node.children
    last = given.simulate(node, expand, rng)
    if bare:
        node.children = []
    return last


@misconception("simulate", "Visits were counted on the way. That is done once, by the backpropagation.")
def simulate_counts(node, expand, rng):
    last = given.simulate(node, expand, rng)
    for above in last.path:
        above.visits += 1
    return last


@misconception(
    "simulate", "The value of the last node came back. Return the node: its reward shall travel up from there."
)
def simulate_returns_value(node, expand, rng):
    return given.simulate(node, expand, rng).value


@misconception(
    "simulate", "It stops as soon as a node states the answer. Only terminal nodes (and dead ends) end the walk."
)
def simulate_stops_at_answers(node, expand, rng):
    while not node.terminal and node.answer is None:
        if not node.children:
            expand(node)
        if not node.children:
            break
        node = rng.choice(node.children)
    return node


@misconception("simulate", "Children with a value go first here. The walk is blind: all children have the same chance.")
def simulate_greedy(node, expand, rng):
    while not node.terminal:
        if not node.children:
            expand(node)
        if not node.children:
            break
        node = max(node.children, key=lambda child: child.value or 0.0)
    return node


# ---- search ---------------------------------------------------------------------------------------------------------


def roll(
    question,
    expand,
    rollouts,
    start,
    schedule,
    rng,
    *,
    weight=given.exploration_weight,
    select=given.select,
    simulate=given.simulate,
    learn=lambda node, leaf: given.backpropagate(leaf, leaf.value or 0.0),
):
    """`search` with parts to be exchanged: the root and the last leaf."""
    if rollouts < 1:
        raise ValueError("no rollouts")
    root = leaf = Node(action=None, text=question)
    for k in range(rollouts):
        node = select(root, weight(k, rollouts, start, schedule), rng)
        leaf = simulate(node, expand, rng)
        learn(node, leaf)
    return root, leaf


@misconception(
    "search",
    "The reward was given to the node that was selected, and those above it. It belongs to the leaf where the "
    "simulation ended: the nodes in between were visited as well.",
)
def search_learns_at_the_selected(*args):
    return roll(*args, learn=lambda node, leaf: given.backpropagate(node, leaf.value or 0.0))[0]


@misconception("search", "The weight is the same in all rollouts, whatever the schedule says.")
def search_without_schedule(*args):
    return roll(*args, weight=lambda k, rollouts, start, schedule: start)[0]


@misconception("search", "The weight is one rollout ahead: the first one has number 0.")
def search_counts_from_one(*args):
    return roll(*args, weight=lambda k, *more: given.exploration_weight(k + 1, *more))[0]


@misconception("search", "A leaf without a value counts for nothing. It is a visit with the reward 0.")
def search_skips_dead_ends(*args):
    def learn(node, leaf):
        if leaf.value is not None:
            given.backpropagate(leaf, leaf.value)

    return roll(*args, learn=learn)[0]


@misconception("search", "The last leaf came back. Return the root: the whole tree hangs from it.")
def search_returns_the_leaf(*args):
    return roll(*args)[1]


@misconception("search", "Every rollout starts from a new tree, so nothing is learned. Make the root once.")
def search_forgets(question, expand, rollouts, start, schedule, rng):
    root, _ = roll(question, expand, rollouts, start, schedule, rng)
    for _ in range(1, rollouts):
        root, _ = roll(question, expand, 1, start, schedule, rng)
    return root


@misconception(
    "search", "There is no simulation: what is selected is expanded, and that is all. Walk on to a terminal node."
)
def search_without_simulation(*args):
    def one(node, expand, rng):
        if not node.terminal:
            expand(node)
        return rng.choice(node.children) if node.children else node

    return roll(*args, simulate=one)[0]


@misconception(
    "search", "Rollouts start at the root with a simulation; nothing is selected, so no reward is ever used."
)
def search_without_selection(*args):
    return roll(*args, select=lambda root, weight, rng: root)[0]


@misconception(
    "search", "The reward is 1 for every leaf with an answer. It is the leaf's value, the share of its votes."
)
def search_rewards_all_alike(*args):
    return roll(*args, learn=lambda node, leaf: given.backpropagate(leaf, float(leaf.value is not None)))[0]


@misconception("search", "One rollout too few (or too many): `rollouts` of them, numbers 0 to rollouts - 1.")
def search_one_short(question, expand, rollouts, start, schedule, rng):
    if rollouts < 1:
        raise ValueError("no rollouts")
    root = Node(action=None, text=question)
    for k in range(1, rollouts):
        leaf = given.simulate(
            given.select(root, given.exploration_weight(k, rollouts, start, schedule), rng), expand, rng
        )
        given.backpropagate(leaf, leaf.value or 0.0)
    return root


@misconception(
    "search", "The tree is right, but a search without rollouts finds nothing, and says nothing. Raise a ValueError."
)
def search_without_rollouts(question, expand, rollouts, start, schedule, rng):
    return (
        given.search(question, expand, rollouts, start, schedule, rng) if rollouts else Node(action=None, text=question)
    )


# ---- collect_solutions ----------------------------------------------------------------------------------------------


def those(root, condition):
    return [node for node in root.walk() if condition(node)]


@misconception(
    "collect_solutions", "Only terminal nodes were taken. A step may state the answer though the reasoning could go on."
)
def collect_terminal(root):
    return those(root, lambda node: node.answer is not None and node.terminal)


@misconception("collect_solutions", "Only visited nodes were taken. An answer counts wherever it stands in the tree.")
def collect_visited(root):
    return those(root, lambda node: node.answer is not None and node.visits)


@misconception("collect_solutions", "Below a solution nothing was looked for. There may be more.")
def collect_stops(root):
    if root.answer is not None:
        return [root]
    return [found for child in root.children for found in collect_stops(child)]


@misconception(
    "collect_solutions", "The answer 0 is missing: 0.0 counts as false. Ask whether the answer `is not None`."
)
def collect_truthy(root):
    return those(root, lambda node: node.answer)


@misconception(
    "collect_solutions",
    "Right nodes in the wrong order: this goes level by level. A node's children come right after it.",
)
def collect_breadth_first(root):
    return sorted(given.collect_solutions(root), key=lambda node: node.depth)


@misconception("collect_solutions", "Right nodes in the wrong order: the children come before their parent.")
def collect_children_first(root):
    below = [found for child in root.children for found in collect_children_first(child)]
    return below + ([root] if root.answer is not None else [])


@misconception(
    "collect_solutions", "Right nodes in the wrong order: the last child's come first. Children go in their order."
)
def collect_last_child_first(root):
    below = [found for child in reversed(root.children) for found in collect_last_child_first(child)]
    return ([root] if root.answer is not None else []) + below


@misconception("collect_solutions", "Only nodes with a value were taken. A step may state the answer without any vote.")
def collect_valued(root):
    return those(root, lambda node: node.answer is not None and node.value is not None)


@misconception(
    "collect_solutions", "All nodes came back, or all at the ends. Only those that state an answer are solutions."
)
def collect_leaves(root):
    return those(root, lambda node: not node.children)


# ---- prior_weight ---------------------------------------------------------------------------------------------------


def agreement(guesses, answer):
    return guesses.count(answer) / len(guesses)


def product(shares):
    """As a float, also of nothing: whoever begins with 1.0 is known as well as whoever writes math.prod."""
    return float(math.prod(shares))


def factors(path):
    return [agreement(node.guesses, path[-1].answer) for node in path[:-1] if node.guesses]


@misconception(
    "prior_weight", "The shares were added. Each is a factor: a path that was doubted somewhere loses weight."
)
def prior_sum(path):
    return float(sum(factors(path)))


@misconception("prior_weight", "This is the mean of the shares. Multiply them.")
def prior_mean(path):
    return statistics.mean(factors(path) or [1.0])


@misconception(
    "prior_weight",
    "Guesses without an answer were left out of the count. They are guesses: divide by the number of all.",
)
def prior_of_numbers(path):
    return product(agreement(numbers_of(node.guesses), path[-1].answer) for node in path[:-1] if node.guesses)


@misconception("prior_weight", "The solution's own guesses were counted, too. The product ends one node before it.")
def prior_with_its_own(path):
    return product(agreement(node.guesses, path[-1].answer) for node in path if node.guesses)


@misconception("prior_weight", "A node without guesses gave the factor 0. It says nothing, so its factor is 1.")
def prior_zero_without_guesses(path):
    return product(agreement(node.guesses, path[-1].answer) if node.guesses else 0.0 for node in path[:-1])


@misconception(
    "prior_weight",
    "The factors are the majorities' shares. What counts is how many guesses agree with this path's answer.",
)
def prior_of_the_majority(path):
    return product(given.majority_vote(node.guesses)[1] for node in path[:-1] if node.guesses)


@misconception(
    "prior_weight", "Only the question's guesses (the first node's) were used. Every node on the way has its own."
)
def prior_of_the_question(path):
    return product(factors(path[:1] + path[-1:]))


@misconception("prior_weight", "All guesses of the path were thrown together. Each node gives a share of its own.")
def prior_pooled(path):
    pool = [guess for node in path[:-1] for guess in node.guesses]
    return agreement(pool, path[-1].answer) if pool else 1.0


# ---- select_answer --------------------------------------------------------------------------------------------------


def answered(solutions):
    return [(answer, weight) for answer, weight in solutions if answer is not None]


def over(part, whole):
    return part / whole if whole else 0.0


def select_with(pairs, measure, whole=None):
    """The answer whose weights have the greatest measure, and its share of the sum of all measures."""
    groups: dict = {}
    for answer, weight in pairs:
        groups.setdefault(answer, []).append(weight)
    values = {answer: measure(weights) for answer, weights in groups.items()}
    whole = sum(values.values()) if whole is None else whole
    if not values or not whole:
        return None, 0.0
    winner = max(values, key=values.__getitem__)
    return winner, values[winner] / whole


def weight_of(pairs):
    return sum(weight for _, weight in pairs)


@misconception("select_answer", "The answer 0 got lost: it counts as false. Leave out what `is None` only.")
def select_without_zero(solutions):
    return given.select_answer([pair for pair in solutions if pair[0]])


@misconception(
    "select_answer", "The single heaviest solution won. Equal answers belong together: their weights add up."
)
def answer_not_grouped(solutions):
    pairs = answered(solutions)
    if not weight_of(pairs):
        return None, 0.0
    answer, weight = max(pairs, key=lambda pair: pair[1])
    return answer, weight / weight_of(pairs)


@misconception("select_answer", "Of equal answers only the greatest weight counts here. Add up all of them.")
def answer_by_max(solutions):
    return select_with(answered(solutions), max)


@misconception("select_answer", "The weights of equal answers were averaged. Add them: it counts how many agree.")
def answer_by_mean(solutions):
    return select_with(answered(solutions), statistics.mean)


@misconception("select_answer", "The answers were counted, whatever their weights. Add up the weights.")
def answer_by_count(solutions):
    return select_with(answered(solutions), len)


@misconception(
    "select_answer", "Solutions without an answer were counted in the share. Here they are ignored altogether."
)
def answer_share_with_none(solutions):
    solutions = list(solutions)
    return select_with(answered(solutions), sum, weight_of(solutions))


@misconception("select_answer", "None may win here. Solutions without an answer are ignored altogether.")
def answer_none_wins(solutions):
    return select_with(list(solutions), sum)


@misconception(
    "select_answer", "The second value is the sum of the winner's weights. It shall be its share of all weights."
)
def answer_sum(solutions):
    return select_with(answered(solutions), sum, 1.0 if weight_of(answered(solutions)) else 0.0)


@misconception("select_answer", "The share was divided by the number of solutions. Divide by the sum of their weights.")
def answer_share_of_count(solutions):
    pairs = answered(solutions)
    return select_with(pairs, sum, len(pairs) if weight_of(pairs) else 0.0)


@misconception("select_answer", "Of answers with the same weight, the one that came first wins. This takes the last.")
def answer_last_of_equals(solutions):
    pairs = answered(solutions)
    order = sorted(range(len(pairs)), key=lambda i: [a for a, _ in pairs].index(pairs[i][0]), reverse=True)
    return select_with([pairs[i] for i in order], sum)


@misconception("select_answer", "If all weights are zero, nothing speaks for any answer: (None, 0.0).")
def answer_without_weight(solutions):
    pairs = answered(solutions)
    return select_with(pairs, sum) if weight_of(pairs) or not pairs else (pairs[0][0], 0.0)


# ---- mask_path ------------------------------------------------------------------------------------------------------


def at_the_door(share):
    if not 0 < share <= 1:
        raise ValueError("share")


@misconception("mask_path", "It counts characters. The share is of the words.")
def mask_characters(text, share):
    at_the_door(share)
    return text[: max(1, round(share * len(text)))]


def first_words(text, count):
    return " ".join(text.split()[:count])


@misconception("mask_path", "The number of words is rounded down. `round` takes the nearest.")
def mask_rounds_down(text, share):
    at_the_door(share)
    return first_words(text, max(1, int(share * len(text.split()))))


@misconception("mask_path", "The number of words is rounded up. `round` takes the nearest.")
def mask_rounds_up(text, share):
    at_the_door(share)
    return first_words(text, math.ceil(share * len(text.split())))


@misconception("mask_path", "Of a short text nothing is left. Keep at least one word.")
def mask_everything(text, share):
    at_the_door(share)
    return first_words(text, round(share * len(text.split())))


@misconception("mask_path", "The end of the text is kept. The second model shall see its start.")
def mask_the_start(text, share):
    at_the_door(share)
    words = text.split()
    return " ".join(words[-max(1, round(share * len(words))) :])


@misconception("mask_path", "The share is what is masked here. It shall be what is left.")
def mask_this_share(text, share):
    at_the_door(share)
    words = text.split()
    return first_words(text, max(1, round((1 - share) * len(words))))


@misconception(
    "mask_path",
    "split(' ') takes every single space for a border, and no line break. split() takes what lies between words.",
)
def mask_single_spaces(text, share):
    at_the_door(share)
    words = text.split(" ")
    return " ".join(words[: max(1, round(share * len(words)))])


@misconception("mask_path", "A list of words came back. Join them by single spaces.")
def mask_list(text, share):
    at_the_door(share)
    return given.mask_path(text, share).split()


@misconception("mask_path", "Any number is taken for a share. Raise a ValueError unless 0 < share <= 1.")
def mask_any_share(text, share):
    return first_words(text, max(1, round(share * len(text.split()))))


# ---- mutually_consistent --------------------------------------------------------------------------------------------


def compare_with(
    text,
    complete,
    shares=(0.2, 0.3, 0.4, 0.5),
    needed=2,
    *,
    read=given.final_answer,
    joined="{} {}",
    enough=lambda agreed, needed: agreed >= needed,
    part=lambda agreed, shares, needed: agreed / len(shares),
    mask=given.mask_path,
    doubtful=False,
):
    """`mutually_consistent` with parts to be exchanged."""
    answer = read(text)
    if answer is None and not doubtful:
        return False, 0.0
    prefixes = [mask(text, share) for share in shares]
    endings = complete(prefixes)
    agreed = sum(
        read(joined.format(prefix, ending)) == answer for prefix, ending in zip(prefixes, endings, strict=True)
    )
    return enough(agreed, needed), part(agreed, shares, needed)


@misconception("mutually_consistent", "The threshold is off by one: `needed` agreeing continuations are enough.")
def consistent_more_than_needed(*args):
    return compare_with(*args, enough=lambda agreed, needed: agreed > needed)


@misconception("mutually_consistent", "One agreeing continuation was enough, or `needed` was not looked at.")
def consistent_once(*args):
    return compare_with(*args, enough=lambda agreed, needed: agreed > 0)


@misconception("mutually_consistent", "All continuations had to agree. `needed` of them are enough.")
def consistent_always(text, complete, shares, needed):
    return compare_with(text, complete, shares, needed, enough=lambda agreed, _: agreed == len(shares))


@misconception("mutually_consistent", "`needed` is 2 here whatever was handed in.")
def consistent_two(*args):
    return compare_with(*args, enough=lambda agreed, needed: agreed >= 2)


@misconception("mutually_consistent", "The second value is how many agreed. It shall be their share of all prefixes.")
def consistent_count(*args):
    return compare_with(*args, part=lambda agreed, shares, needed: float(agreed))


@misconception("mutually_consistent", "The share was taken of `needed`. Divide by the number of prefixes.")
def consistent_share_of_needed(*args):
    return compare_with(*args, part=lambda agreed, shares, needed: agreed / needed)


@misconception(
    "mutually_consistent",
    "The continuation was read alone. If the cut comes late, part of the answer (or all of it) stands in the prefix: "
    "read both together.",
)
def consistent_endings_only(text, complete, shares, needed):
    answer = given.final_answer(text)
    if answer is None:
        return False, 0.0
    endings = complete([given.mask_path(text, share) for share in shares])
    agreed = sum(given.final_answer(ending) == answer for ending in endings)
    return agreed >= needed, agreed / len(shares)


@misconception(
    "mutually_consistent",
    "The last number was compared. It may be any number: compare the answers that the texts state.",
)
def consistent_last_numbers(*args):
    return compare_with(*args, read=given.last_number)


@misconception(
    "mutually_consistent",
    "A text that states no answer agreed with continuations that state none: None equals None. There is nothing to "
    "confirm, so do not even ask.",
)
def consistent_none_agrees(*args):
    return compare_with(*args, doubtful=True)


@misconception("mutually_consistent", "The prefixes were cut in characters. Use mask_path, which cuts between words.")
def consistent_characters(*args):
    return compare_with(*args, mask=lambda text, share: text[: round(share * len(text))])


@misconception(
    "mutually_consistent", "The second model was asked once per prefix. Hand it all of them at once: that is faster."
)
def consistent_one_by_one(text, complete, shares, needed):
    return compare_with(text, lambda prefixes: [complete([prefix])[0] for prefix in prefixes], shares, needed)


@misconception(
    "mutually_consistent",
    "The continuations were compared with each other. What they shall confirm is the answer of the text.",
)
def consistent_with_each_other(text, complete, shares, needed):
    if given.final_answer(text) is None:
        return False, 0.0
    prefixes = [given.mask_path(text, share) for share in shares]
    endings = complete(prefixes)
    _, share = given.majority_vote(
        [given.final_answer(f"{prefix} {ending}") for prefix, ending in zip(prefixes, endings, strict=True)]
    )
    return share * len(shares) >= needed, share


# ---- verify_step ----------------------------------------------------------------------------------------------------


def holds(a, sign, b, c, within=1e-9):
    if sign == "/":
        return b != 0 and abs(a / b - c) <= within
    return abs({"+": a + b, "-": a - b, "*": a * b}[sign] - c) <= within


def walk(
    text, known, true=holds, operands=lambda a, b, known: a in known and b in known, learn=lambda known, a, b, c: {c}
):
    """`verify_step` with parts to be exchanged."""
    known = set(known)
    for a, sign, b, c in given.equations(text):
        if not operands(a, b, known) or not true(a, sign, b, c):
            return False
        known |= learn(known, a, b, c)
    return True


@misconception(
    "verify_step",
    "An equation passes if it is true, whatever it calculates with. Its two numbers must be known.",
)
def verify_truth_only(text, known):
    return walk(text, known, operands=lambda a, b, known: True)


@misconception("verify_step", "Where the numbers come from was checked, but not whether the equation is true.")
def verify_operands_only(text, known):
    return walk(text, known, true=lambda a, sign, b, c: sign != "/" or b != 0)


@misconception("verify_step", "One of the two numbers may come from nowhere here. Both must be known.")
def verify_one_operand(text, known):
    return walk(text, known, operands=lambda a, b, known: a in known or b in known)


@misconception("verify_step", "Only the first of the two numbers was looked up. Both must be known.")
def verify_first_operand(text, known):
    return walk(text, known, operands=lambda a, b, known: a in known)


@misconception("verify_step", "Only the first equation was looked at. A text may have several, and all must pass.")
def verify_first_equation(text, known):
    some = given.equations(text)[:1]
    return all(a in known and b in known and holds(a, sign, b, c) for a, sign, b, c in some)


@misconception("verify_step", "The result of an equation is not known to the next one. It is, once it has been found.")
def verify_forgets_results(text, known):
    return walk(text, known, learn=lambda known, a, b, c: set())


@misconception(
    "verify_step", "All results were known from the start. An equation may use those that stand before it only."
)
def verify_knows_the_future(text, known):
    return walk(text, {*known, *(c for *_, c in given.equations(text))})


@misconception(
    "verify_step",
    "The set that was handed in has changed: it holds the results of this text now, also for whoever looks next. Work "
    "on a copy.",
)
def verify_changes_known(text, known):
    for a, sign, b, c in given.equations(text):
        if a not in known or b not in known or not holds(a, sign, b, c):
            return False
        known.add(c)
    return True


@misconception(
    "verify_step",
    "The two sides were compared exactly. In floating point 0.1 + 0.2 is not 0.3: allow for a tiny difference.",
)
def verify_exactly(text, known):
    return walk(text, known, true=partial(holds, within=0.0))


@misconception(
    "verify_step", "A rounded result passes. The two sides may differ by an error of the arithmetic only, 1e-9."
)
def verify_roughly(text, known):
    return walk(text, known, true=partial(holds, within=0.01))


@misconception(
    "verify_step", "The result had to be known before it was found. Only the two numbers on the left must be."
)
def verify_results_known(text, known):
    return all({a, b, c} <= set(known) and holds(a, sign, b, c) for a, sign, b, c in given.equations(text))


@misconception("verify_step", "A text without an equation was rejected. There is nothing wrong in it.")
def verify_wants_equations(text, known):
    return bool(given.equations(text)) and walk(text, known)


@misconception("verify_step", "One good equation was enough. All must pass.")
def verify_any(text, known):
    some, known = given.equations(text), set(known)
    passed = []
    for a, sign, b, c in some:
        passed.append(a in known and b in known and holds(a, sign, b, c))
        known.add(c)
    return any(passed) or not some


# ---- weights_test ---------------------------------------------------------------------------------------------------

MIXED = [8.0, 6.0, 8.0, 5.0, 6.0, 8.0, 8.0]
WEIGHTS = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4]


def sums(answers, weights):
    """What is right."""
    found: dict = {}
    for answer, weight in zip(answers, weights, strict=True):
        found[answer] = found.get(answer, 0.0) + weight
    return found


def close(found, right):
    return found.keys() == right.keys() and all(abs(found[answer] - right[answer]) < 1e-9 for answer in right)


def agrees(total, answers=MIXED, weights=WEIGHTS, alike=close):
    """Whether sums and the right ones are alike, on these inputs."""
    return alike(total(list(answers), list(weights)), sums(answers, weights))


@misconception("weights_test", "All pass your test. What do wrong sums look like that right ones do not?")
def bug_passes_all(total):
    return True


@misconception("weights_test", "The answer is turned round: True is for right sums and False for wrong ones.")
def bug_turned_round(total):
    return not agrees(total)


@misconception(
    "weights_test",
    "All weights of the test are equal, so it makes no difference which solution has which. Let them all differ.",
)
def bug_equal_weights(total):
    return agrees(total, weights=[2.0] * len(MIXED))


@misconception(
    "weights_test",
    "Equal answers of the test stand next to each other, so there is nothing to regroup. Mix them.",
)
def bug_sorted_answers(total):
    return agrees(total, answers=sorted(MIXED))


@misconception(
    "weights_test", "All answers of the test are different, so nothing is ever added. Let some come several times."
)
def bug_different_answers(total):
    return agrees(total, answers=[float(i) for i in range(len(MIXED))])


@misconception("weights_test", "The test has one answer only. Confusions between answers need at least two.")
def bug_one_answer(total):
    return agrees(total, answers=[8.0] * len(MIXED))


@misconception(
    "weights_test",
    "Sums that are right but for rounding do not pass your test. Floats that were added in another order differ in the "
    "last digit: allow for it.",
)
def bug_exactly(total):
    return agrees(total, alike=lambda found, right: found == right)


@misconception(
    "weights_test",
    "The test looks only at the answer that wins. It may win with wrong sums: compare the sums of all answers.",
)
def bug_winner_only(total):
    return agrees(total, alike=lambda found, right: max(found, key=found.get) == max(right, key=right.get))


@misconception(
    "weights_test",
    "The test looks only at all weights together. They may have gone to the wrong answers: compare every sum.",
)
def bug_all_together(total):
    return agrees(total, alike=lambda found, right: abs(sum(found.values()) - sum(right.values())) < 1e-9)


@misconception(
    "weights_test",
    "Right sums in another order do not pass your test. A dict's order says nothing: look each answer up.",
)
def bug_wants_the_order(total):
    def alike(found, right):
        return list(found) == list(right) and close(found, right)

    return agrees(total, alike=alike)


@misconception(
    "weights_test",
    "Right sums in a Counter or a defaultdict do not pass your test. What kind of dict it is makes no difference.",
)
def bug_wants_a_plain_dict(total):
    return agrees(total, alike=lambda found, right: type(found) is dict and close(found, right))


@misconception(
    "weights_test", "The weights of the test decrease, so sorting them changes nothing. Let them go up and down."
)
def bug_decreasing(total):
    return agrees(total, weights=WEIGHTS[::-1])
