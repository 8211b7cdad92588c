"""The interactive figures: their bytes, their sizes, and what they do in each place they can be in."""

import asyncio
import io
import json
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from IPython.testing.globalipapp import start_ipython
from IPython.utils.capture import capture_output
from PIL import Image

from course import plotting as plot
from course import widgets
from course.plotting import style


def line(slope, height=0.0):
    fig, ax = plot.figure(width=300, height=200)
    plot.curve(ax, torch.linspace(0, 1, 20), slope * torch.linspace(0, 1, 20) + height)
    ax.set(ylim=(-2, 2))
    return fig


def dots(step):
    """About as hard to compress as a frame gets."""
    fig, ax = plot.figure(width=560, height=420)
    x = torch.randn(1000, 2, generator=torch.Generator().manual_seed(step))
    plot.density(ax, lambda x: -(x**2).sum(-1) / 2, 4)
    plot.samples(ax, x)
    ax.set_title(f"Step {step}")
    return fig


def contents(page):
    """The data that a page's script works on."""
    return json.loads(re.search(r"const data = (.*);\n", page)[1])


@pytest.fixture
def static(monkeypatch):
    start_ipython()
    monkeypatch.setenv("COURSE_STATIC", "1")


@pytest.fixture
def live(monkeypatch):
    """A notebook with a kernel; yields what it displays."""
    pytest.importorskip("ipywidgets")
    monkeypatch.delenv("COURSE_STATIC", raising=False)
    monkeypatch.setattr(style, "shell", lambda: SimpleNamespace(kernel=True))
    displayed = []
    monkeypatch.setattr("IPython.display.display", lambda *objects, **_: displayed.extend(objects))
    return displayed


def test_static_explore_shows_one_block_with_its_text_alternative(static):
    with capture_output() as captured:
        widgets.explore(line, slope=[-1, 0, 1], height=[0.0, 0.5], alt="A line.", labels={"slope": "slope a"})
    (output,) = captured.outputs
    assert set(output.data) == {"text/html", "text/plain"}
    assert output.data["text/plain"] == "A line. (slope a = 0, height = 0.5)"
    data = contents(output.data["text/html"])
    assert len(data["frames"]) == len(data["alts"]) == 6
    assert data["controls"] == [["-1", "0", "1"], ["0", "0.5"]]
    assert data["alts"][5] == "A line. (slope a = 1, height = 0.5)"


def test_the_same_widget_gives_the_same_bytes_and_another_has_another_id():
    first, again, other = (
        widgets.static_html(line, {"slope": values}, {"slope": "a"}, "A line.") for values in ([0, 1], [0, 1], [0, 2])
    )
    assert first == again
    assert re.search('id="(.*?)"', first)[1] != re.search('id="(.*?)"', other)[1]


def test_without_javascript_the_middle_frame_is_there_with_its_text(static):
    page = widgets.static_html(line, {"slope": [-1, 0, 1]}, {"slope": "a"}, lambda slope: f"slope {slope}")
    image = re.search(r'<img src="data:image/\w+;base64,.+?" width="(\d+)" height="(\d+)" alt="(.*?)">', page)
    assert image.groups() == ("300", "200", "slope 0")
    assert contents(page)["frames"][1] == ""


def test_a_hard_frame_stays_within_its_budget():
    for step in range(2):
        frame = widgets.encode(style.pixels(dots(step), card=False))
        assert len(frame) <= widgets.FRAME_BYTES
        assert Image.open(io.BytesIO(frame)).size == (560, 420)


def test_nothing_in_a_text_can_break_out_of_the_page():
    nasty = '</script><b>"&%DATA%'
    page = widgets.static_html(line, {"slope": [0, 1]}, {"slope": nasty}, nasty)
    assert page.count("</script>") == 1 and "<b>" not in page


def test_the_page_asks_the_network_for_nothing():
    page = widgets.static_html(line, {"slope": [0, 1]}, {"slope": "a"}, "A line.")
    assert not re.search(r"https?:|src=\"(?!data:)|@import|url\(", page)


def test_player_has_a_play_button_and_the_interval(static):
    with capture_output() as captured:
        widgets.player(line, [0, 0.5, 1], alt=lambda slope: f"A line of slope {slope}.", interval=80, label="slope")
    page = captured.outputs[0].data["text/html"]
    assert contents(page)["interval"] == 80
    assert '<button type="button" class="course-play"' in page
    assert captured.outputs[0].data["text/plain"] == "A line of slope 0.5."


def test_live_explore_draws_on_demand_and_once_per_frame(live):
    drawn = []
    widgets.explore(lambda a: drawn.append(a) or line(a), a=[0, 1, 2], alt="A line.")
    (box,) = live
    image = next(w for w in box.children if w.__class__.__name__ == "Image")
    slider = next(w for w in box.children if w.__class__.__name__ == "SelectionSlider")
    assert drawn == [1]
    first = image.value
    slider.index = 2
    assert drawn == [1, 2] and image.value != first
    slider.index = 1
    assert drawn == [1, 2] and image.value == first


def test_what_the_next_moves_show_is_drawn_while_the_kernel_is_idle(live):
    drawn = []

    def draw(a, b):
        drawn.append((a, b))
        return line(a)

    async def work():
        widgets.explore(draw, a=[0, 1, 2, 3, 4], b=["left", "right"], alt="A line.")
        assert drawn == [(2, "right")]
        slider = next(w for w in live[0].children if w.__class__.__name__ == "SelectionSlider")
        await wait_for(4)
        assert sorted(drawn[1:]) == [(1, "right"), (2, "left"), (3, "right")]
        slider.index = 3
        assert len(drawn) == 4  # it was there already
        await wait_for(10)  # now that somebody plays with it, all the others, what is near first
        assert sorted(drawn[4:6]) == [(3, "left"), (4, "right")]
        assert len(set(drawn)) == 10

    async def wait_for(count):
        for _ in range(2000):
            if len(drawn) == count:
                return
            await asyncio.sleep(0.01)

    asyncio.run(work())


def test_a_kernel_without_ipywidgets_gets_the_static_page(live, monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    widgets.explore(line, slope=[0, 1], alt="A line.")
    assert "course-widget" in live[0]["text/html"]


def test_plain_python_prints_the_texts_and_needs_no_pyplot():
    code = (
        "import sys; from course import plotting as plot, widgets;"
        "plot.show(plot.figure()[0], alt='An empty panel.');"
        "widgets.explore(lambda a: plot.figure()[0], a=[1, 2, 3], alt='A panel.');"
        "widgets.player(lambda t: plot.figure()[0], [0.0, 0.5], alt='A film.', label='time t');"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "An empty panel.\nA panel. (a = 2)\nA film. (time t = 0.5)\n"
    assert done.stderr == ""


WRONG = {
    "no text": (lambda: widgets.explore(line, slope=[1], alt=""), ValueError, "alt"),
    "no slider": (lambda: widgets.explore(line, alt="A line."), ValueError, "every slider"),
    "an empty slider": (lambda: widgets.explore(line, slope=[], alt="A line."), ValueError, "every slider"),
    "too many frames": (
        lambda: widgets.explore(line, slope=range(10), height=range(7), alt="A line."),
        ValueError,
        "At most 60 frames.* make 70",
    ),
    "too fast": (lambda: widgets.player(line, [1], alt="A line.", interval=0), ValueError, "20 milliseconds"),
    "no function": (lambda: widgets.player(3, [1], alt="A line."), TypeError, "function that draws"),
    "no figure": (
        lambda: widgets.static_html(lambda a: None, {"a": [1]}, {"a": "a"}, "x"),
        ValueError,
        "must return a Figure, it returned NoneType",
    ),
    "a label for no slider": (
        lambda: widgets.explore(line, slope=[1], alt="A line.", labels={"slop": "a"}),
        ValueError,
        "no slider called 'slop'",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_input_is_named_in_one_sentence(name):
    call, kind, message = WRONG[name]
    with pytest.raises(kind, match=message) as error:
        call()
    assert str(error.value).endswith(".") and "\n" not in str(error.value)
