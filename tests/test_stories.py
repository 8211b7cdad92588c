"""Stories and their exact truth, and the reasoner that errs on purpose."""

import random
import re

import pytest

from course.reasoners.formats import StoryFormat
from course.reasoners.simulated import Errors, SimulatedReasoner, cut
from course.search import (
    Action,
    Asking,
    Node,
    answered,
    final_answer,
    known_numbers,
    mask_path,
    searching,
    verified,
    verify_step,
)
from course.stories import (
    AGAIN,
    ASK,
    LARGEST,
    WORDS,
    ask_for,
    is_right,
    make_example,
    make_stories,
    make_story,
    sentences,
    solve,
)

STORIES = make_stories(300, seed=3)
ORACLE = SimulatedReasoner(Errors(0, 0), stories=STORIES)


def by_trial(story):
    """The answer by putting numbers in until all facts hold: nothing is calculated forwards."""
    patterns = {
        r"(\w+) has (\d+) (\w+)\.": lambda v, a, k, t: v[a] == int(k),
        r"(\w+) has (\d+) more (\w+) than (\w+)\.": lambda v, a, k, t, b: v[a] - v[b] == int(k),
        r"(\w+) has (\d+) fewer (\w+) than (\w+)\.": lambda v, a, k, t, b: v[b] - v[a] == int(k),
        r"(\w+) has (\d+) times as many (\w+) as (\w+)\.": lambda v, a, k, t, b: v[a] == int(k) * v[b],
        r"(\w+) has half as many (\w+) as (\w+)\.": lambda v, a, t, b: 2 * v[a] == v[b],
        r"(\w+) has as many (\w+) as (\w+) and (\w+) together\.": lambda v, a, t, b, c: v[a] == v[b] + v[c],
    }
    values, open_facts = {}, [fact for fact in story.facts if story.steps[0].thing in fact]
    while open_facts:
        for fact in list(open_facts):
            (holds, groups), *_ = ((h, m.groups()) for p, h in patterns.items() if (m := re.fullmatch(p, fact)))
            for number in range(4 * LARGEST):
                try:
                    if holds({**values, groups[0]: number}, *groups):
                        values[groups[0]] = number
                        open_facts.remove(fact)
                        break
                except KeyError:  # about somebody not yet known
                    break
    asked = [name for name in re.findall(r"[A-Z]\w+", story.question) if name in values]
    return sum(values[name] for name in asked)


def test_the_answer_is_the_one_that_makes_all_facts_true():
    assert [by_trial(story) for story in STORIES] == [story.answer for story in STORIES]


def test_solving_the_text_gives_the_steps_that_made_it_in_any_order_of_the_facts():
    rng = random.Random(0)
    for story in STORIES:
        shuffled = " ".join([*rng.sample(story.facts, len(story.facts)), story.question])
        assert solve(story.text) == solve(story.rephrased) == list(story.steps)
        assert {step.equation for step in solve(shuffled)} == {step.equation for step in story.steps}


def test_all_steps_count_and_all_numbers_are_small():
    for story in STORIES:
        assert len(story.steps) == len(set(story.steps))
        assert all(0 < step.value <= LARGEST for step in story.steps)
        assert all(0 < int(number) <= LARGEST for number in re.findall(r"\d+", story.text))
        assert len(set(story.facts)) == len(story.facts)


def test_without_a_fact_that_is_needed_there_is_no_answer_and_distractors_can_go():
    for story in STORIES[:60]:
        for fact in story.facts:
            rest = [other for other in story.facts if other != fact]
            if fact in story.needed:
                with pytest.raises(ValueError, match="Nothing says how many"):
                    ask_for(rest, story.question)
            else:
                assert ask_for(rest, story.question) == story.answer


def test_steps_and_distractors_are_as_many_as_asked_for():
    rng = random.Random(1)
    for steps in range(1, 7):
        for distractors in range(5):
            story = make_story(rng, steps, distractors)
            assert (len(story.steps), len(story.facts) - len(story.needed)) == (steps, distractors)
    with pytest.raises(ValueError, match="steps is 7; wanted 1 to 6"):
        make_story(rng, 7)
    with pytest.raises(ValueError, match="distractors is 5"):
        make_story(rng, 2, 5)


def test_the_same_seed_tells_the_same_stories():
    assert make_stories(5, 7) == make_stories(5, 7) != make_stories(5, 8)


def test_right_solutions_pass_the_verifier_and_slips_do_not():
    for story in STORIES:
        assert verify_step(story.solution, known_numbers(story.text))
    slipping = SimulatedReasoner(Errors(1.0, 0.0))
    texts = slipping([story.text for story in STORIES], 1, 80, [])
    assert not any(verified(Node(story.text), text) for story, (text,) in zip(STORIES, texts, strict=True))


def test_examples_end_with_the_answer_and_use_known_words_only():
    rng, words = random.Random(0), set(WORDS)
    for story in STORIES:
        pieces = make_example(story, rng)
        text = " ".join(text for text, _ in pieces)
        assert set(re.findall(r"Again:|\w+|[^\w\s]", text)) <= words
        if AGAIN not in text:
            assert final_answer(text) == story.answer
        assert not any(learned for piece, learned in pieces if piece == ASK)


def test_a_trace_is_right_until_the_first_wrong_value():
    for story in STORIES[:50]:
        for share in (0.2, 0.5, 1.0):
            whole = " ".join(sentences(mask_path(story.solution, share)))
            assert is_right(story, story.text, whole)
        wrong = story.solution.replace(f"= {story.steps[0].value}.", f"= {story.steps[0].value + 1}.", 1)
        assert not is_right(story, story.text, sentences(wrong)[0])
    assert not is_right(STORIES[0], "nonsense", "")
    assert not is_right(STORIES[0], STORIES[0].text, "The answer is 1000.")


def test_without_errors_the_simulated_reasoner_is_right_in_every_format():
    form = StoryFormat()
    for story in STORIES[:100]:
        text, first = story.text, story.steps[0]
        assert ORACLE([text], 1, 80, []) == [[story.solution]]
        assert ORACLE([f"{text} {AGAIN}"], 1, 120, ["?"]) == [[story.rephrased]]
        assert ORACLE([f"{text} {ASK}"], 1, 12, ["?"]) == [[first.question.removeprefix(ASK).strip()]]
        assert ORACLE([form.answer(text, "", first.question, 1).prompt], 1, 10, ["."]) == [[f"{first.equation}."]]
        last = form.answer(text, " ".join(step.text for step in story.steps[:-1]), story.question, 1)
        assert ORACLE([last.prompt], 1, 16, []) == [[f"{story.steps[-1].equation}. The answer is {story.answer}."]]


def test_the_start_of_a_solution_is_continued_to_the_same_answer_wherever_it_is_cut():
    for story in STORIES[:40]:
        words = story.solution.split()
        for i in range(len(words) + 1):
            start = " ".join(words[:i])
            (ending,) = ORACLE([f"{story.text} {start}"], 1, 80, [])[0]
            assert f"{start} {ending}".strip() == story.solution


def test_slips_come_as_often_as_told():
    """A false alarm happens once in 10^6 seeds: 4.9 standard deviations."""
    model, right, n = SimulatedReasoner(Errors(0.2, 0.0)), 0, 4000
    (texts,) = model([STORIES[0].text], n, 80, [])
    right = sum(final_answer(text) == STORIES[0].answer for text in texts)
    chance = 0.8 ** len(STORIES[0].steps)  # two slips in a row may cancel, rarely
    assert abs(right / n - chance) < 4.9 * (chance * (1 - chance) / n) ** 0.5 + 0.02


def test_a_misread_fact_is_misread_in_every_text_and_only_in_its_format():
    story = make_stories(1, 5, steps=(4,))[0]
    for seed in range(10):
        steps = SimulatedReasoner(Errors(0.0, 0.5), Errors(0.0, 0.0), seed=seed)
        (texts,) = steps([story.text], 20, 80, [])
        assert len(set(texts)) == 1
        assert verified(Node(story.text), texts[0])
        first = story.steps[0]
        assert steps([f"{story.text} {first.question}"], 1, 10, ["."]) == [[f"{first.equation}."]]


def test_asking_again_can_have_errors_of_its_own():
    story, form = make_stories(1, 5, steps=(4,))[0], StoryFormat()
    model = SimulatedReasoner(Errors(0, 1), Errors(0, 1), Errors(0, 0), stories=[story])
    request = form.reanswer(story.text, "", story.steps[0].question, 1)
    (text,) = model([request.prompt], 1, request.max_new, [])[0]
    assert form.replied(text) == f"{story.steps[0].equation}."


@pytest.mark.parametrize("prompt", ["", "?", "How many?", "Ben has 3 pens. How many apples does Ben have?", "xyz"])
def test_what_it_cannot_read_it_does_not_answer(prompt):
    assert ORACLE([prompt], 2, 10, []) == [["", ""]]


def test_texts_are_cut_at_the_stop_and_at_the_length():
    assert cut("Ben has 3. Then more.", 80, ["."]) == "Ben has 3."
    assert cut("Ben has 3. Then more.", 3, []) == "Ben has 3"
    assert cut("Ben has 3.", 80, ["?"]) == "Ben has 3."


def test_errors_are_shares():
    with pytest.raises(ValueError, match=r"misread is 1\.5"):
        Errors(0.1, 1.5)


def test_the_story_format_asks_for_what_the_actions_mean():
    story = make_stories(1, 11, steps=(3,), distractors=(2,))[0]
    root = answered(searching(story.text, Asking(StoryFormat()), 12, rng=random.Random(2)), ORACLE)
    for node in root.walk():
        if node.action is Action.REPHRASE:
            assert node.text == story.rephrased
        elif node.action is not None:
            assert is_right(story, story.text, node.text)
            assert node.answer in (None, story.answer)
    assert {node.action for node in root.walk()} == {None, *Action}
