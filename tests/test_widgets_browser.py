"""The static widgets in a real browser: they move, play, keep apart and fit a phone."""

import re

import pytest
import torch

from course import plotting as plot
from course import widgets
from course.plotting import tree
from course.search import Action, Node


def line(slope):
    fig, ax = plot.figure(width=500, height=260)
    plot.curve(ax, torch.linspace(0, 1, 9), slope * torch.linspace(0, 1, 9))
    ax.set(ylim=(-2, 2))
    return fig


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    """A page with a widget, a player, and the widget once more."""
    slider = widgets.static_html(line, {"slope": [-1, 0, 1]}, {"slope": "slope a"}, "A line.")
    film = widgets.static_html(line, {"slope": [0.0, 0.5, 1.0, 1.5]}, {"slope": "time t"}, "A film.", interval=30)
    path = tmp_path_factory.mktemp("page") / "page.html"
    head = '<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    # What the style sheets of notebooks and sites do to common class names must not reach a widget.
    head += "<style>.row::before, .controls::before { content: ' '; display: table; }</style>"
    path.write_text(head + slider + film + slider, encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def page(browser, document):
    page = browser.new_page(viewport={"width": 800, "height": 1200})
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: request.url.startswith("http") and complaints.append(request.url))
    page.goto(document)
    yield page
    page.close()
    assert complaints == []


def roots(page):
    return page.locator(".course-widget")


def source(root):
    return root.locator("img").get_attribute("src")


def test_a_key_on_the_slider_changes_picture_value_and_text(page):
    root = roots(page).nth(0)
    before = source(root)
    root.get_by_label("slope a").press("ArrowRight")
    assert source(root) != before
    assert root.locator("output").inner_text() == "1"
    assert root.locator("img").get_attribute("alt") == "A line. (slope a = 1)"
    assert root.locator("input").get_attribute("aria-valuetext") == "1"
    root.locator("input").press("ArrowLeft")
    assert source(root) == before


def test_every_frame_is_a_picture_the_browser_can_decode(page):
    root = roots(page).nth(0)
    for key in ("Home", "ArrowRight", "ArrowRight"):
        root.locator("input").press(key)
        assert root.locator("img").evaluate("async i => { await i.decode(); return i.naturalWidth; }") == 500


def stop_the_clock(page):
    page.clock.install(time=0)
    page.clock.pause_at(1000)


def test_play_runs_to_the_end_and_starts_again(page):
    stop_the_clock(page)
    root = roots(page).nth(1)
    root.locator("input").press("End")
    root.get_by_role("button", name="Play").press("Enter")
    shown = []
    for _ in range(5):
        shown.append((root.locator("output").inner_text(), root.get_by_role("button").inner_text()))
        page.clock.run_for(30)
    assert shown == [("0", "Pause"), ("0.5", "Pause"), ("1", "Pause"), ("1.5", "Play"), ("1.5", "Play")]


def test_moving_the_slider_stops_the_film(page):
    stop_the_clock(page)
    root = roots(page).nth(1)
    root.get_by_role("button", name="Play").click()
    root.locator("input").press("Home")
    page.clock.run_for(1000)
    assert root.locator("output").inner_text() == "0"
    assert root.get_by_role("button", name="Play").is_visible()


def test_widgets_on_one_page_are_independent_even_the_same_one_twice(page):
    first, film, copy = (roots(page).nth(i) for i in range(3))
    assert first.get_attribute("id") == copy.get_attribute("id")
    before = source(film), source(copy)
    first.locator("input").press("Home")
    assert (source(film), source(copy)) == before
    copy.get_by_text("slope a").click()
    page.keyboard.press("End")
    assert source(copy) not in (before[1], source(first))


def test_label_slider_and_value_stand_in_one_line(page):
    root = roots(page).nth(0)
    boxes = [root.locator(part).bounding_box() for part in ("label span", "input", "output")]
    centres = [box["y"] + box["height"] / 2 for box in boxes]
    assert max(centres) - min(centres) < 3
    assert boxes[0]["x"] < boxes[1]["x"] < boxes[2]["x"]


def test_it_fits_a_phone(page):
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert roots(page).nth(0).locator("input").bounding_box()["width"] >= 200


def test_without_javascript_the_middle_frame_shows_and_no_dead_controls(browser, document):
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(document)
    root = roots(page).nth(0)
    assert root.locator("img").get_attribute("alt") == "A line. (slope a = 0)"
    assert root.locator("img").is_visible() and not root.locator("input").is_visible()
    assert not root.get_by_text("trust the notebook").is_visible()


@pytest.fixture
def untrusted(browser):
    """Show HTML as a notebook does that is not trusted: without scripts, styles and a drawing's tags."""
    page = browser.new_page()

    def show(markup):
        markup = re.sub(r"(?s)<(script|style)>.*?</\1>| hidden\b", "", markup)
        page.set_content(re.sub(r"</?(svg|line|circle|text|title)\b[^>]*>", "", markup))
        return page

    yield show
    page.close()


def test_a_notebook_that_is_not_trusted_shows_a_still_and_says_why(untrusted):
    page = untrusted(widgets.static_html(line, {"slope": [0, 1]}, {"slope": "time t"}, "A film.", interval=30))
    assert page.locator("img").is_visible()
    assert page.get_by_text("To move it, trust the notebook").is_visible()
    assert not page.locator("input").is_visible() and not page.locator("button").is_visible()


def test_of_a_tree_a_notebook_that_is_not_trusted_shows_one_sentence(untrusted):
    root = Node("How many?", visits=1, total=1.0)
    root.add(Node("The answer is 3.", Action.FINISH, answer=3.0))
    page = untrusted(tree._svg(root, "A small tree.", 3.0))
    assert page.inner_text("body").strip() == "A small tree. (To see it, trust the notebook: File → Trust Notebook.)"


def test_a_node_of_a_search_tree_says_its_text_under_the_mouse(browser, tmp_path):
    root = Node("Ben has 3 pens. How many pens does Ben have?", visits=2, total=1.5)
    root.add(Node("The answer is 3.", Action.FINISH, answer=3.0, value=0.75, visits=2, total=1.5))
    root.add(Node("The answer is 4.", Action.STEP, answer=4.0))
    path = tmp_path / "tree.html"
    path.write_text(tree._svg(root, "A small tree.", 3.0), encoding="utf-8")
    page = browser.new_page(viewport={"width": 900, "height": 400})
    page.goto(path.as_uri())
    said = []
    for circle in page.locator("circle").all():
        box = circle.bounding_box()
        middle = [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2]
        page.mouse.move(*middle)
        said.append(page.evaluate("([x, y]) => document.elementFromPoint(x, y).textContent", middle))
    page.close()
    assert len(said) == 3
    assert said[2].endswith("The answer is 3.\nvisits 2, mean reward 0.75\nshare of the votes 0.75")
