"""The tree search: rStar's rules one by one, the same tree however its requests are answered, and bad models."""

import math
import random
from collections import Counter
from fractions import Fraction
from functools import partial

import pytest

from course.reasoners.formats import StoryFormat
from course.reasoners.simulated import Errors, SimulatedReasoner
from course.search import (
    FOLLOWERS,
    Action,
    Ask,
    Asking,
    Bill,
    Counts,
    Meter,
    Node,
    Request,
    allowed_actions,
    answered,
    backpropagate,
    beam,
    best_of,
    collect_solutions,
    counted,
    equations,
    expand,
    exploration_weight,
    final_answer,
    interval,
    last_number,
    majority_vote,
    mask_path,
    mutually_consistent,
    prior_weight,
    puct,
    question,
    search,
    searching,
    select,
    select_answer,
    serve,
    simulate,
    together,
    totals,
    trace,
    uct,
    verify_step,
    vote,
)
from course.stories import make_stories

STEP, FINISH, SUBQUESTION, REANSWER, REPHRASE = Action
STORIES = make_stories(6, seed=5, steps=(3, 4))
FORM = StoryFormat()


def reasoner(seed=0):
    return SimulatedReasoner(Errors(0.2, 0.1), Errors(0.2, 0.05), stories=STORIES, seed=seed)


def shape(root):
    """All that a search can make different."""
    return [
        (n.text, n.action, n.depth, n.visits, n.total, n.value, n.answer, n.guesses, n.terminal) for n in root.walk()
    ]


def chain(*actions):
    """The last node of a path with these actions; its text is its number."""
    node = Node("question")
    for i, action in enumerate(actions):
        node = node.add(Node(str(i), action))
    return node


# the tree


def test_uct_is_the_mean_and_the_bonus():
    child = Node("root", visits=10).add(Node("child", STEP, visits=4, total=3.0))
    assert uct(child, 2) == pytest.approx(0.75 + 2 * math.sqrt(math.log(10) / 4))
    assert uct(child, 0) == 0.75
    assert uct(Node("new", STEP, parent=child), 1.0) == math.inf


def test_puct_prefers_the_probable_before_the_first_visit():
    root = Node("root", visits=9)
    a, b = root.add(Node("a", STEP, prior=0.8)), root.add(Node("b", STEP, prior=0.2))
    assert puct(a, 1.0) == pytest.approx(0.8 * 3)
    assert select(root, 1.0, random.Random(0), puct) is a
    a.visits = 30
    assert select(root, 1.0, random.Random(0), puct) is b


def test_select_takes_unvisited_children_first_and_all_of_them_equally_often():
    """A false alarm happens once in 10^9 seeds."""
    root = Node("root", visits=3)
    root.add(Node("best", STEP, visits=3, total=3.0))
    fresh = [root.add(Node(str(i), STEP)) for i in range(3)]
    rng = random.Random(0)
    seen = Counter(select(root, 2.0, rng).text for _ in range(3000))
    assert set(seen) == {node.text for node in fresh}
    assert all(abs(count - 1000) < 6.1 * math.sqrt(3000 * 2 / 9) for count in seen.values())


def test_select_goes_down_the_greatest_bound_and_takes_the_first_of_equals():
    root = Node("root", visits=4)
    for text in "abc":
        root.add(Node(text, STEP, visits=1, total=0.0 if text == "a" else 1.0))
    assert select(root, 1.0, random.Random(0)).text == "b"
    assert select(Node("alone"), 1.0, random.Random(0)).text == "alone"


def test_a_reward_counts_once_at_every_node_above():
    leaf = chain(STEP, STEP, FINISH)
    backpropagate(leaf, 0.5)
    backpropagate(leaf.parent, 1.0)
    assert [(node.visits, node.total) for node in leaf.path] == [(2, 1.5), (2, 1.5), (2, 1.5), (1, 0.5)]
    assert leaf.path[0].mean == 0.75
    assert Node("new").mean == 0.0


def test_the_schedules_start_at_the_start_and_end_near_a_tenth():
    for schedule in ("constant", "linear", "exponential"):
        weights = [exploration_weight(k, 1000, 2.0, schedule) for k in range(1000)]
        assert weights[0] == 2.0
        assert weights[-1] == pytest.approx(2.0 if schedule == "constant" else 0.2, rel=0.01)
        assert weights == sorted(weights, reverse=True)
    assert exploration_weight(5, 10, 2.0, "linear") == pytest.approx(1.1)
    assert exploration_weight(5, 10, 2.0, "exponential") == pytest.approx(2 / math.sqrt(10))
    with pytest.raises(ValueError, match="schedule is 'cosine'"):
        exploration_weight(0, 1, 2.0, "cosine")


def test_what_may_follow_is_what_the_originals_table_says():
    table = {
        None: "STEP FINISH SUBQUESTION REPHRASE",
        REPHRASE: "STEP FINISH SUBQUESTION",
        SUBQUESTION: "STEP FINISH SUBQUESTION REANSWER",
        REANSWER: "STEP FINISH SUBQUESTION",
        STEP: "STEP FINISH",
        FINISH: "",
    }
    for action, names in table.items():
        assert [each.name for each in allowed_actions(Node("", action))] == names.split()
        assert allowed_actions(Node("", action, terminal=True)) == []
    assert set(FOLLOWERS) == {None, *Action}


def test_a_trace_replaces_what_was_answered_again_and_leaves_the_question_out():
    node = chain(REPHRASE, SUBQUESTION, REANSWER, STEP)
    assert trace(node) == "2 3"
    assert question(node) == "0"
    assert question(chain(STEP)) == "question"
    assert trace(Node("question")) == ""
    assert node.depth == 4
    assert [each.text for each in node.path] == ["question", "0", "1", "2", "3"]


# expansion and search


def table_ask(**texts):
    """ask from a table: texts by the name of the action."""
    return lambda node, action: texts.get(action.name, [])


def test_children_are_the_majoritys_first_text_with_its_share():
    root = Node("q")
    finish = ["so 1. The answer is 7.", "2 = 3.", "or 2. The answer is 9.", "or 3. The answer is 9."]
    ask = table_ask(FINISH=[finish], STEP=[["1 + 1 = 2."], ["The answer is 9."]], SUBQUESTION=[["How? 3.", "How? 4."]])
    expand(root, ask, depth=5)
    one, two, done, asked = root.children
    assert (one.text, one.answer, one.value, one.terminal) == ("1 + 1 = 2.", None, None, False)
    assert (two.answer, two.value, two.terminal) == (9.0, None, False)  # a solution that the search goes on from
    assert (done.text, done.answer, done.value, done.terminal) == (finish[2], 9.0, 0.5, True)
    assert (asked.text, asked.value, asked.terminal) == ("How? 3.", None, False)
    assert root.guesses == [7.0, None, 9.0, 9.0]
    assert all(child.parent is root for child in root.children)


def test_the_last_sub_question_is_voted_on_and_terminal():
    root = Node("q")
    expand(root, table_ask(SUBQUESTION=[["How? 3 + 4 = 7. The answer is 7.", "How? The answer is 8."]]), depth=5)
    (child,) = root.children
    assert (child.answer, child.value, child.terminal) == (7.0, 0.5, True)


def test_at_the_depth_limit_nothing_may_follow():
    node = chain(STEP, STEP)
    expand(node, table_ask(STEP=[["x"]]), depth=3)
    assert node.children[0].terminal
    expand(node.children[0], table_ask(STEP=[["x"]]), depth=3)
    assert node.children[0].children == []


def test_a_walk_ends_at_a_terminal_node_or_where_nothing_grows():
    def grow(node):
        for i in range(2):
            node.add(Node(str(i), STEP, terminal=node.depth == 2))

    root = Node("q")
    leaf = simulate(root, grow, random.Random(0))
    assert leaf.terminal
    assert leaf.depth == 3
    assert simulate(leaf, grow, random.Random(0)) is leaf
    dead = Node("q")
    assert simulate(dead, lambda node: None, random.Random(0)) is dead


@pytest.mark.parametrize("schedule", ["constant", "linear"])
def test_the_coroutine_grows_the_tree_of_the_plain_functions(schedule):
    for i, story in enumerate(STORIES):
        asking = Asking(FORM, counts=Counts(votes=8, sub_votes=4))
        ask = Ask(asking, reasoner())
        plain = search(story.text, partial(expand, ask=ask, depth=5), 8, 2.0, schedule, random.Random(i))
        bill = Bill()
        coroutine = searching(story.text, asking, 8, 5, 2.0, schedule, random.Random(i))
        assert shape(answered(counted(coroutine, bill), reasoner())) == shape(plain)
        assert (bill.tokens, bill.prompt_tokens) == (ask.tokens, ask.prompt_tokens)


def test_searches_that_share_batches_grow_the_trees_they_grow_alone():
    asking = Asking(FORM, counts=Counts(votes=8, sub_votes=4))

    def searches():
        return [searching(story.text, asking, 6, rng=random.Random(i)) for i, story in enumerate(STORIES)]

    shared, meter = Meter(reasoner()), Meter(reasoner())
    roots = answered(together(searches()), shared)
    assert [shape(root) for root in roots] == [shape(answered(each, meter)) for each in searches()]
    assert shared.tokens == meter.tokens
    assert shared.calls < meter.calls / 2


def test_virtual_loss_needs_fewer_batches_and_leaves_no_visits_behind():
    asking, story = Asking(FORM, counts=Counts(votes=4, sub_votes=2)), STORIES[0]
    calls = {}
    for at_once in (1, 8):
        meter, leaves = Meter(reasoner()), []
        watch = lambda rollout, leaf, leaves=leaves: leaves.append((rollout, leaf))  # noqa: E731
        root = answered(searching(story.text, asking, 24, at_once=at_once, watch=watch), meter)
        calls[at_once] = meter.calls
        assert [rollout for rollout, _ in leaves] == list(range(24))
        for node in root.walk():
            through = [leaf for _, leaf in leaves if node in leaf.path]
            assert node.visits == len(through)
            assert node.total == pytest.approx(sum(leaf.value or 0.0 for leaf in through))
    assert calls[8] < calls[1]


def test_a_rollout_takes_in_only_what_the_search_has_grown():
    """Every visited node's parent was visited at least as often, and the root as often as there were rollouts."""
    root = answered(searching(STORIES[1].text, Asking(FORM, counts=Counts(votes=4, sub_votes=2)), 12), reasoner())
    assert root.visits == 12
    for node in root.walk():
        assert node.visits >= sum(child.visits for child in node.children)
        assert node.depth <= 5


def test_a_prior_is_asked_for_once_for_each_expansion():
    seen = []

    def prior(node):
        seen.append(node)
        return [1 / len(node.children)] * len(node.children)

    asking = Asking(FORM, counts=Counts(votes=2, sub_votes=2))
    root = answered(searching(STORIES[0].text, asking, 4, rule=puct, prior=prior), reasoner())
    assert len(seen) == len(set(seen)) == sum(bool(node.children) for node in root.walk())
    assert all(child.prior == 1 / len(node.children) for node in root.walk() for child in node.children)


def test_an_action_that_is_left_out_makes_no_node():
    for left_out in Action:
        asking = Asking(FORM, tuple(a for a in Action if a is not left_out), Counts(votes=2, sub_votes=2))
        root = answered(searching(STORIES[0].text, asking, 6), reasoner())
        assert left_out not in {node.action for node in root.walk()}


def test_with_the_verifier_no_false_equation_gets_into_the_tree():
    story = STORIES[0]
    slips = SimulatedReasoner(Errors(0.5, 0.0), seed=1)
    asking = Asking(FORM, (STEP, FINISH), Counts(votes=8), accept=lambda node, text: "verified" and _true(text))
    root = answered(searching(story.text, asking, 12), slips)
    assert len(list(root.walk())) > 3
    assert all(_true(node.text) for node in root.walk())
    assert {node.answer for node in collect_solutions(root)} <= {story.answer}


def _true(text):
    signs = {"+": "__add__", "-": "__sub__", "*": "__mul__", "/": "__truediv__"}
    return all(getattr(Fraction(int(a)), signs[s])(int(b)) == c for a, s, b, c in equations(text))


# bad models


@pytest.mark.parametrize(
    "text", ["", "   ", "!!!", "How many many many", "The answer is not known.", "7" * 500, "a " * 999]
)
@pytest.mark.parametrize("at_once", [1, 4])
def test_a_model_that_says_nothing_or_nonsense_ends_the_search_without_an_answer(text, at_once):
    root = answered(
        searching(STORIES[0].text, Asking(FORM), 3, at_once=at_once),
        lambda prompts, n, *_: [[text] * n for _ in prompts],
    )
    assert root.visits == 3
    assert collect_solutions(root) == []
    assert select_answer([(node.answer, 1.0) for node in collect_solutions(root)]) == (None, 0.0)


def test_a_search_that_may_do_nothing_returns_the_question():
    root = answered(searching("q", Asking(FORM, actions=()), 4), reasoner())
    assert (root.visits, root.children) == (4, [])


@pytest.mark.parametrize("rollouts", [0, -3])
def test_less_than_one_rollout_is_refused(rollouts):
    with pytest.raises(ValueError, match=f"rollouts is {rollouts}"):
        search("q", lambda node: None, rollouts)
    with pytest.raises(ValueError, match=f"rollouts is {rollouts}"):
        answered(searching("q", Asking(FORM), rollouts), reasoner())
    with pytest.raises(ValueError, match="at_once is 0"):
        answered(searching("q", Asking(FORM), 1, at_once=0), reasoner())


def test_a_model_that_gives_too_few_texts_is_told_so():
    with pytest.raises(ValueError, match=r"gave \[1\] texts; wanted 3 for each of 1 prompts"):
        serve([Request("p", 3, 5)], lambda prompts, n, *_: [["x"] for _ in prompts])


def test_a_budget_is_kept_and_the_search_still_ends():
    meter = Meter(reasoner(), budget=3000)
    root = answered(searching(STORIES[0].text, Asking(FORM), 40), meter)
    assert 0 < meter.tokens <= 3000
    assert root.visits == 40


# answers


@pytest.mark.parametrize(
    ("text", "number"),
    [("12", 12), ("12.0", 12), ("1,200 eggs", 1200), ("-3", -3), ("$5.", 5), ("a 1, then 2.5", 2.5), ("none", None)],
)
def test_the_last_number_is_read_in_all_its_spellings(text, number):
    assert last_number(text) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("5 + 3 = 8. The answer is 8.", 8),
        ("the answer is: $1,250.50", 1250.5),
        ("The answer is 7. No, the answer is 8 of 9.", 8),
        ("It is 8.", None),
        ("The answer is unknown.", None),
    ],
)
def test_only_a_stated_answer_is_final(text, number):
    assert final_answer(text) == number


def test_votes_without_an_answer_count_and_never_win():
    assert majority_vote([8.0, None, 6.0, 8.0]) == (8.0, 0.5)
    assert majority_vote([None, None, 3.0]) == (3.0, 1 / 3)
    assert majority_vote([6.0, 8.0, 8.0, 6.0]) == (6.0, 0.5)
    assert majority_vote([None]) == majority_vote([]) == (None, 0.0)


def test_a_paths_prior_is_the_share_of_guesses_that_agree():
    root = Node("q", guesses=[8.0, 8.0, 6.0, None])
    middle = root.add(Node("m", STEP, guesses=[8.0, 6.0]))
    other = middle.add(Node("o", STEP))
    leaf = other.add(Node("l", FINISH, answer=8.0, guesses=[1.0]))
    assert prior_weight(leaf.path) == 0.25
    assert prior_weight([leaf]) == 1.0


def test_weights_stay_with_their_answers():
    assert totals([8, 6, 8], [0.2, 0.5, 0.4]) == {8: pytest.approx(0.6), 6: 0.5}
    assert select_answer([(8.0, 0.2), (None, 9.0), (6.0, 0.5), (8.0, 0.4)]) == (8.0, pytest.approx(6 / 11))
    assert select_answer([(8.0, 0.0)]) == select_answer([]) == (None, 0.0)
    assert select_answer([(6.0, 1.0), (8.0, 1.0)]) == (6.0, 0.5)


def test_a_mask_leaves_the_first_words():
    assert mask_path("a b  c d\n e", 0.5) == "a b"
    assert mask_path("a b c", 0.01) == "a"
    assert mask_path("", 0.3) == ""
    for share in (0, 1.1):
        with pytest.raises(ValueError, match="share is"):
            mask_path("a", share)


def test_a_trace_is_kept_if_enough_of_its_beginnings_lead_to_its_answer():
    text, asked = "a b c d e f g The answer is 8.", []

    def complete(right):
        def endings(prefixes):
            asked.append(prefixes)
            return ["The answer is 8." if i < right else "The answer is 9." for i in range(len(prefixes))]

        return endings

    assert [mutually_consistent(text, complete(k)) for k in range(5)] == [(k >= 2, k / 4) for k in range(5)]
    assert asked[0] == [mask_path(text, share) for share in (0.2, 0.3, 0.4, 0.5)]
    assert mutually_consistent("no answer", complete(4)) == (False, 0.0)
    assert len(asked) == 5


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("5 + 3 = 8.", True),
        ("5 + 3 = 9.", False),
        ("5 + 4 = 9.", False),
        ("5 + 3 = 8. Then 8 * 3 = 24. So 24 / 8 = 3.", True),
        ("5 * 3 = 15. 15 - 9 = 6.", False),
        ("5 / 0 = 0.", False),
        ("5 / 3 = 1.", False),
        ("no equation", True),
    ],
)
def test_a_step_is_verified_without_an_answer(text, right):
    known = {5.0, 3.0, 0.0}
    assert verify_step(text, known) is right
    assert known == {5.0, 3.0, 0.0}


def test_the_interval_is_wilsons():
    """Newcombe (1998), table I: 81 of 263, and 0 of 20; no continuity correction."""
    assert interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    with pytest.raises(ValueError, match="5 of 4 were right"):
        interval(5, 4)


# what it is compared with


def test_voting_gives_the_most_frequent_answer():
    story = STORIES[2]
    answer, texts = answered(vote(story.text, FORM, 40), reasoner())
    assert len(texts) == 40
    assert answer == Counter(map(final_answer, texts)).most_common(1)[0][0]


def test_the_best_of_n_has_the_highest_score_among_those_that_state_an_answer():
    texts = ["The answer is 1.", "none", "The answer is 3.", "The answer is 2."]
    model = lambda prompts, n, *_: [texts[:n] for _ in prompts]  # noqa: E731
    score = lambda prompt, some: [{"1": 0.1, "3": 0.9, "2": 0.5}[text[-2]] for text in some]  # noqa: E731
    assert answered(best_of("q?", FORM, 4, score), model)[0] == 3.0
    assert answered(best_of("q?", FORM, 1, score), model)[0] == 1.0
    assert answered(best_of("q?", FORM, 2, score), lambda prompts, n, *_: [["x"] * n])[0] is None


def test_a_wide_beam_finds_the_most_probable_trace_where_the_greedy_one_does_not():
    """Three levels of words with known chances, against all traces."""
    chances = {"": {"a": 0.6, "b": 0.4}, "a": {"c": 0.5, "d": 0.5}, "b": {"e": 0.9, "f": 0.1}}

    def following(prompt):
        return chances.get(prompt.split("?")[-1].strip(), {"The answer is 5.": 1.0})

    model = lambda prompts, n, *_: [(list(following(p)) * n)[:n] for p in prompts]  # noqa: E731
    score = lambda prompt, texts: [math.log(following(prompt)[text]) for text in texts]  # noqa: E731
    assert answered(beam("q?", FORM, 2, score), model)[1][0] == "b e The answer is 5."
    assert answered(beam("q?", FORM, 1, score), model) == (5.0, ["a c The answer is 5."])
    assert answered(beam("q?", FORM, 2, score), lambda prompts, n, *_: [[""] * n for _ in prompts])[0] is None
