"""UCT on trees whose leaves pay with known chances, against theory and exhaustive search."""

import math
import random

import pytest

from course.search.toy import KnownTree, lower_bound, regret_bound, ucb_visits

ARMS = [0.2, 0.3, 0.5, 0.6, 0.4]


def mean_visits(weight, count, runs):
    tree, total = KnownTree(ARMS), [0.0] * len(ARMS)
    for seed in range(runs):
        root = tree.grow()
        for _ in tree.rollouts(root, count, weight, random.Random(seed)):
            pass
        total = [a + b / runs for a, b in zip(total, tree.visits(root), strict=True)]
    return total


@pytest.mark.parametrize("weight", [1.0, math.sqrt(2)])
def test_arms_are_pulled_as_often_as_theory_says(weight):
    """Over 40 runs the mean of each arm is within 15 % of the fluid limit; seen: at most 8 %."""
    seen, theory = mean_visits(weight, 2000, 40), ucb_visits(ARMS, weight, 2000)
    assert sum(theory) == pytest.approx(2000)
    assert seen == pytest.approx(theory, rel=0.15)


def test_regret_stays_below_its_bound_and_grows_like_a_logarithm():
    arms = [0.1, 0.3, 0.8]
    tree = KnownTree(arms)
    runs = [tree.regrets(4000, math.sqrt(2), random.Random(seed)) for seed in range(20)]
    mean = [sum(values) / 20 for values in zip(*runs, strict=True)]
    assert all(mean[n - 1] < regret_bound(arms, n) for n in (10, 100, 1000, 4000))
    for n in (500, 1000, 4000):  # seen: within 3 %
        theory = sum((0.8 - arm) * pulls for arm, pulls in zip(arms, ucb_visits(arms, math.sqrt(2), n), strict=True))
        assert mean[n - 1] == pytest.approx(theory, rel=0.1)
    assert mean[3999] < 2 * mean[499]  # a straight line would grow eightfold
    assert lower_bound(arms, 4000) < mean[3999]


def test_pulling_at_random_regrets_in_proportion():
    tree = KnownTree(ARMS)
    (mean_gap,) = {round(sum(0.6 - chance for chance in ARMS) / 5, 9)}
    never_greedy = tree.regrets(3000, 1e6, random.Random(0))
    assert never_greedy[-1] == pytest.approx(3000 * mean_gap, rel=0.05)


def test_in_a_deep_tree_the_best_leaf_is_found_and_its_path_is_taken_most():
    chances = [0.1, 0.2, 0.3, 0.4, 0.9, 0.05, 0.1, 0.05]
    tree = KnownTree(chances, 2)
    for seed in range(5):
        root = tree.grow()
        for _ in tree.rollouts(root, 1500, math.sqrt(2), random.Random(seed)):
            pass
        visits = tree.visits(root)
        assert visits.index(max(visits)) == 4
        assert root.mean == pytest.approx(0.9, abs=0.1)
        node = root
        while node.children:
            node = max(node.children, key=lambda child: child.visits)
            assert tree.value(node) == 0.9


def test_the_value_of_a_node_is_that_of_its_best_leaf():
    tree = KnownTree([0.1, 0.2, 0.3, 0.4, 0.9, 0.05, 0.1, 0.05, 0.0], 3)
    root = tree.grow()
    assert [tree.value(child) for child in root.children] == [0.3, 0.9, 0.1]
    assert [tree.value(leaf) for leaf in root.children[1].children] == [0.4, 0.9, 0.05]
    assert len(list(root.walk())) == 13
    assert [node.terminal for node in root.walk()].count(True) == 9


def test_the_lower_bound_is_that_of_two_coins():
    """Two arms: the divergence of a fair coin from one with 3/4 is ln(4/3) / 2 + ln(2/3) ... by hand."""
    divergence = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    assert lower_bound([0.5, 0.75], 100) == pytest.approx(math.log(100) * 0.25 / divergence)


def test_trees_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="5 leaves; wanted a power of 2"):
        KnownTree(ARMS, 2)
    with pytest.raises(ValueError, match="between 0 and 1"):
        KnownTree([0.5, 1.5])
    with pytest.raises(ValueError, match="branching is 1"):
        KnownTree([0.5, 0.5], 1)
    with pytest.raises(ValueError, match="at least one"):
        KnownTree([])
    with pytest.raises(ValueError, match="count is 1"):
        ucb_visits(ARMS, 1.0, 1)
