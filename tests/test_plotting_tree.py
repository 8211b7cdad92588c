"""Pictures of search: what they draw, not how it looks."""

import random
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from course import plotting as plot
from course.plotting import style
from course.plotting import tree as drawing
from course.reasoners.formats import StoryFormat
from course.reasoners.simulated import Errors, SimulatedReasoner
from course.search import Asking, Counts, answered, searching
from course.stories import make_stories

(STORY,) = make_stories(1, seed=3, steps=(3,))


def grown(rollouts):
    model = SimulatedReasoner(Errors(0.2, 0.1), seed=1)
    asking = Asking(StoryFormat(), counts=Counts(votes=4, sub_votes=2))
    return answered(searching(STORY.text, asking, rollouts, rng=random.Random(0)), model)


def test_a_growing_tree_keeps_its_places():
    small, large = grown(3), grown(10)
    fig, (left, right) = plot.figure(2)
    plot.search_tree(left, small, layout=large, truth=STORY.answer)
    plot.search_tree(right, large, truth=STORY.answer)
    spots = [{tuple(np.round(dots.get_offsets()[0], 6)) for dots in ax.collections[1:]} for ax in (left, right)]
    assert spots[0] < spots[1]
    assert plot.png(fig)


def test_no_two_nodes_of_a_depth_share_a_place_and_parents_stand_over_their_children():
    places = drawing._places(grown(8))
    assert len(set(places.values())) == len(places)
    for key, (x, depth) in places.items():
        below = [places[k][0] for k in places if k[:-1] == key and k]
        assert depth == len(key)
        assert not below or min(below) <= x <= max(below)


def test_the_picture_under_the_mouse_says_every_text_and_is_well_formed(monkeypatch):
    shown = []
    monkeypatch.setattr(style, "publish", shown.append)
    root = grown(6)
    root.children[0].text += ' <b>&"'
    plot.hover_tree(root, alt='A tree & "more".', truth=STORY.answer)
    svg = ElementTree.fromstring(f"<p>{shown[0]['text/html']}</p>").find("svg")
    titles = [circle.get("data-said") for circle in svg.iter("circle")]
    assert len(titles) == len(list(root.walk()))
    drawn = sorted(root.walk(), key=lambda node: node.visits > 0)
    assert all(node.text in title for node, title in zip(drawn, titles, strict=True))
    assert svg.get("aria-label") == shown[0]["text/plain"] == 'A tree & "more".'
    with pytest.raises(ValueError, match="Say in alt"):
        plot.hover_tree(root, alt=" ")


def test_accuracies_have_their_intervals_and_names():
    fig, ax = plot.figure()
    plot.accuracy_by_tokens(ax, {"greedy": [(100, 50, 100)], "voting": [(500, 60, 100), (2000, 70, 100)]})
    assert [list(line.get_ydata()) for line in ax.lines if len(line.get_ydata()) and line.get_marker() == "o"] == [
        [0.5],
        [0.6, 0.7],
    ]
    assert {text.get_text() for text in ax.texts} == {"greedy", "voting"}
    assert plot.png(fig)


def test_regret_visits_beliefs_and_knobs_are_drawn():
    fig, axes = plot.figure(2, 2)
    plot.regret(axes[0, 0], {"UCT": np.cumsum(np.ones((3, 50)), 1)}, {"a bound": np.log(np.arange(1, 51))})
    plot.visits(axes[0, 1], [5, 50, 500], [6, 40, 510], names=["a", "b", "c"])
    plot.beliefs(axes[1, 0], [0.0, 0.1, 0.9, 1.0], [False, False, True, True])
    plot.knob_map(axes[1, 1], [0, 0.1], [0, 0.2], [[0.05, -0.12], [0.0, 0.2]])
    assert [list(line.get_ydata()) for line in axes[1, 0].lines][-1] == [0.0, 1.0]
    plot.beliefs(plot.figure()[1], [], [])  # a tree in which nothing was found: no points, and no warning
    assert [text.get_text() for text in axes[1, 1].texts] == ["+5", "-12", "+0", "+20"]
    assert not re.search("NaN", str(axes[0, 0].lines[0].get_ydata()))
    assert plot.png(fig)
