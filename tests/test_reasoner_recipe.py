"""How the small reasoner is trained, and what ships."""

import itertools
import random
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

import course.weights
from course.networks.gpt import Words
from course.reasoners.formats import StoryFormat
from course.reasoners.language import completer, load_reasoner
from course.recipes.reasoner import Recipe, accuracy, alike, batches, number_waves, train_reasoner
from course.search import Action, Asking, Counts, Node, answered, final_answer, mutually_consistent, searching
from course.stories import WORDS, make_stories
from course.weights import made_by


@pytest.mark.parametrize("shape", [(20, 50), (50, 20), (30, 30)])
def test_singular_values_are_brought_near_one_and_vectors_kept(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    made = alike(matrix)
    assert ((torch.linalg.svdvals(made) > 0.4) & (torch.linalg.svdvals(made) < 1.3)).all()
    product = matrix.T @ made  # V S U' U S' V': symmetric only if the vectors are the same
    torch.testing.assert_close(product, product.T)


def test_numbers_that_are_near_have_vectors_that_are_near():
    waves = number_waves(61, 64)
    distance = torch.cdist(waves, waves)
    assert all(float(distance[n, n + 1]) < float(distance[n, n + 5]) for n in range(50))
    torch.testing.assert_close(distance[3, 7], distance[40, 44])


def test_only_what_is_to_be_written_is_learned_and_texts_end():
    words = Words(WORDS)
    for inputs, targets in itertools.islice(batches(words, Recipe(), random.Random(0)), 3):
        assert inputs.shape == targets.shape
        assert inputs.numel() <= Recipe().words or len(inputs) == 1
        for row, wanted in zip(inputs.tolist(), targets.tolist(), strict=True):
            places = [i for i, word in enumerate(wanted) if word != -100]
            assert all(wanted[i] == row[i + 1] for i in places[:-1])  # the next word
            assert wanted[places[-1]] == 0
            story_ends = row.index(words.number["?"])
            assert places[0] >= story_ends or words.number["Again:"] in row[: places[0] + 1]


def test_the_same_recipe_gives_the_same_weights_and_a_falling_loss():
    recipe = Recipe(steps=8, words=200)
    first, again = (train_reasoner(recipe, progress=False) for _ in range(2))
    assert first.losses == again.losses
    assert sum(first.losses[-3:]) < sum(first.losses[:3])
    for a, b in zip(first.model.parameters(), again.model.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_what_ships_is_small_was_made_by_the_recipe_and_is_right_about_as_often_as_it_says():
    """60 stories: a false alarm of 4.9 standard deviations, once in 10^6 sets of weights."""
    assert Path(course.weights.__file__).with_name("reasoner.safetensors").stat().st_size < 4e6
    said = made_by("reasoner")
    assert {name: said[name] for name in asdict(Recipe())} == asdict(Recipe())
    share = said["right of 500 fresh stories"]
    assert 0.40 <= share <= 0.65
    assert abs(accuracy(load_reasoner().model, make_stories(60, seed=77)) - share) < 4.9 * (0.25 / 60) ** 0.5


def test_the_small_model_writes_all_five_formats():
    stories = make_stories(4, seed=8, steps=(2, 3))
    model = load_reasoner(seed=1)
    asking = Asking(StoryFormat(), counts=Counts(votes=4, sub_votes=3))
    nodes = [node for s in stories for node in answered(searching(s.text, asking, 4), model).walk()]
    kinds = {action: [node.text for node in nodes if node.action is action] for action in Action}
    assert all(kinds.values())
    assert all(text.startswith("How many") and "?" in text for text in kinds[Action.SUBQUESTION])
    assert all(text.endswith("have?") or text.endswith("together?") for text in kinds[Action.REPHRASE])
    stated = [final_answer(text) is not None for text in kinds[Action.FINISH]]
    assert sum(stated) > 0.8 * len(stated)


def test_the_small_model_gives_a_second_opinion_and_priors():
    (story,) = make_stories(1, seed=8, steps=(2,), distractors=(0,))
    model = load_reasoner(temperature=0.0)
    kept, survival = mutually_consistent(story.solution, completer(model, story.text))
    assert (kept, survival) == (survival >= 0.5, survival)
    root = Node(story.text)
    for text in (story.solution, "pens pens pens."):
        root.add(Node(text, Action.FINISH))
    likely, absurd = model.prior(root)
    assert likely + absurd == pytest.approx(1)
    assert likely > 10 * absurd
