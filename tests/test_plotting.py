"""The figures: what is shown, in which bytes, and what is said when something is handed in wrongly."""

import base64
import io
import itertools
import math

import numpy as np
import pytest
import torch
from IPython.testing.globalipapp import start_ipython
from IPython.utils.capture import capture_output
from PIL import Image

from course import plotting as plot


@pytest.fixture(scope="module")
def shell():
    return start_ipython()


def gaussian(x):
    return -(x**2).sum(-1) / 2 - x.shape[-1] / 2 * math.log(2 * math.pi)


def picture(fig):
    return Image.open(io.BytesIO(plot.png(fig)))


def simple():
    fig, ax = plot.figure()
    plot.samples(ax, torch.randn(200, 2, generator=torch.Generator().manual_seed(0)))
    ax.set_title("Two hundred samples")
    return fig


def test_the_same_figure_gives_the_same_bytes():
    assert plot.png(simple()) == plot.png(simple())


def test_drawing_twice_changes_nothing():
    fig = simple()
    assert plot.png(fig) == plot.png(fig)


def test_the_png_carries_no_metadata_about_its_making():
    assert set(picture(simple()).info) <= {"transparency"}


def test_show_displays_one_picture_with_its_text_alternative(shell):
    with capture_output() as captured:
        assert plot.show(simple(), alt="Dots around the origin.") is None
    (output,) = captured.outputs
    assert set(output.data) == {"image/png", "text/plain"}
    assert output.data["text/plain"] == "Dots around the origin."
    assert output.metadata["image/png"]["alt"] == "Dots around the origin."
    assert base64.b64decode(output.data["image/png"]).startswith(b"\x89PNG")


@pytest.mark.parametrize("alt", ["", "   ", None])
def test_show_asks_for_a_text_alternative(alt):
    with pytest.raises(ValueError, match="alt"):
        plot.show(simple(), alt=alt)


def test_a_figure_of_pyplot_is_shown_once_and_closed(shell):
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots(figsize=(20, 5))
    ax.plot([0, 1])
    with capture_output() as captured:
        plot.show(fig, alt="A line.")
    assert plt.get_fignums() == []
    assert Image.open(io.BytesIO(base64.b64decode(captured.outputs[0].data["image/png"]))).width <= 900


@pytest.mark.parametrize("ncols", [1, 2, 3, 4])
def test_a_figure_is_at_most_900_pixels_wide(ncols):
    assert picture(plot.figure(ncols)[0]).width <= 900


def test_a_wider_figure_is_refused():
    with pytest.raises(ValueError, match="900 pixels wide, got width=1200"):
        plot.figure(width=1200)


def test_the_card_is_white_with_transparent_corners_so_that_it_reads_on_a_dark_page():
    image = picture(plot.figure()[0]).convert("RGBA")
    assert image.getpixel((0, 0))[3] == 0
    assert image.getpixel((20, 5)) == (255, 255, 255, 255)


def test_the_palette_keeps_every_colour_of_the_language():
    fig, ax = plot.figure()
    colors = [plot.NOISE, plot.DATA, plot.MODEL, plot.TRUTH, *plot.ACCENTS]
    for i, color in enumerate(colors):
        ax.axhspan(i, i + 0.9, color=color, lw=0)
    drawn = np.unique(np.asarray(picture(fig).convert("RGBA"))[..., :3].reshape(-1, 3), axis=0).astype(int)
    for color in colors:
        wanted = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
        assert np.abs(drawn - wanted).max(1).min() <= 3


# Viénot, Brettel & Mollon (1999): what is left of linear RGB for a deuteranope and a protanope.
DEUTERAN = [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]]
PROTAN = [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]]


@pytest.mark.parametrize("loss", [DEUTERAN, PROTAN])
def test_noise_data_model_and_truth_differ_for_the_colour_blind(loss):
    def lab(color):
        rgb = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]) ** 2.2
        xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
        x, y, z = np.cbrt(xyz @ np.clip(loss @ rgb, 0, 1) / [0.9505, 1, 1.089])
        return np.array([116 * y, 500 * (x - y), 200 * (y - z)])

    colors = [lab(c) for c in (plot.NOISE, plot.DATA, plot.MODEL, plot.TRUTH)]
    distances = [np.linalg.norm(a - b) for i, a in enumerate(colors) for b in colors[:i]]
    assert min(distances) > 20  # CIE76; about 2 is just noticeable


def test_a_long_title_is_wrapped_inside_the_figure():
    fig, ax = plot.figure(width=400)
    ax.set_title("A sentence that goes on and on about $x^2 + y^2$ until it is much wider than its panel")
    plot.png(fig)
    text = ax.get_title(loc="left")
    assert "\n" in text and "$x^2 + y^2$" in text
    assert ax.sentence.get_window_extent().x1 < 400


def test_tensors_arrays_and_tensors_with_gradients_draw_the_same():
    x = torch.randn(50, 2, generator=torch.Generator().manual_seed(1))

    def drawn(x):
        fig, ax = plot.figure()
        plot.samples(ax, x)
        return plot.png(fig)

    assert drawn(x) == drawn(x.numpy()) == drawn(x.clone().requires_grad_())


def test_the_slope_that_is_read_off_is_the_slope():
    h = 0.5 ** torch.arange(1.0, 6)
    _fig, ax = plot.figure()
    plot.orders(ax, h, {"Euler": 3 * h, "RK4": 0.1 * h**4}, {"Euler": 1, "RK4": 4})
    written = [text.get_text() for text in ax.texts]
    assert "Euler: slope 1.00" in written and "RK4: slope 4.00" in written


def test_names_at_the_ends_of_close_curves_do_not_overlap():
    h = 0.5 ** torch.arange(1.0, 6)
    fig, ax = plot.figure()
    plot.orders(ax, h, {name: c * h for name, c in {"a": 1, "b": 1.01, "c": 0.99}.items()})
    plot.png(fig)
    extents = sorted((t.get_window_extent() for t in ax.texts), key=lambda box: box.y0)
    assert all(low.y1 <= high.y0 + 2 for low, high in itertools.pairwise(extents))


def test_the_contours_of_a_gaussian_enclose_the_mass_they_promise():
    _fig, ax = plot.figure()
    contours = plot.density(ax, gaussian, bounds=5, mass=(0.5,))
    radius = np.linalg.norm(contours.get_paths()[0].vertices, axis=1)
    assert radius == pytest.approx(math.sqrt(2 * math.log(2)), abs=0.03)


def test_the_region_of_order_one_is_the_unit_disc_around_minus_one():
    _fig, ax = plot.figure()
    seen = []
    plot.stability_regions(ax, lambda z, order: seen.append((z, order)) or 1 + z, orders=(1,), values={"a": -1})
    assert seen[0][0].is_complex() and seen[0][1] == 1
    curve = max((p.vertices for c in ax.collections for p in c.get_paths()), key=len)
    assert np.hypot(curve[:, 0] + 1, curve[:, 1]) == pytest.approx(1, abs=1e-3)


def test_quadratic_variation_of_unit_steps_is_the_number_of_steps():
    _fig, ax = plot.figure()
    lines = plot.quadratic_variation(ax, torch.arange(5.0), torch.tensor([0.0, 1, 0, 1, 2])[:, None])
    assert lines[0].get_ydata().tolist() == [0, 1, 2, 3, 4]


def test_every_drawing_function_draws():
    t, g = torch.linspace(0, 1, 21), torch.Generator().manual_seed(0)
    w = torch.randn(21, 5, 1, generator=g).cumsum(0)
    fig, axes = plot.figure(3, 3)
    a, b, c, d, e, f, g_, h, i = axes.ravel()
    plot.vector_field(a, lambda x, t: -x, 0.0, 2)
    plot.trajectories(a, torch.randn(21, 5, 2, generator=g))
    plot.slope_field(b, lambda x, t: -x * t, (0, 1, -2, 2))
    plot.paths(b, t, w[:, 0], label="one")
    plot.paths(c, t, w)
    plot.band(c, t, 0.0, t.sqrt(), label="exact")
    plot.side_histogram(c, w[-1], gaussian)
    plot.histogram(d, w, gaussian, bounds=(-3, 3))
    plot.occupancy(e, t, torch.stack([t, 1 - t], 1), weights=[0.3, 0.7])
    plot.quadratic_variation(f, t, w)
    plot.curve(g_, t, t**2, label="square", at=0.5)
    plot.density(h, gaussian, (-3, 3, -2, 2))
    plot.samples(h, torch.randn(100, 2, generator=g))
    plot.orders(i, [0.1, 0.2], {"one": [0.1, 0.2]})
    assert all(ax.get_xlabel() for ax in (a, b, c, d, e, f, h, i))
    assert len(plot.png(fig)) < 120_000


WRONG = {
    "points": (lambda ax: plot.samples(ax, torch.zeros(5, 3)), r"shape \(n, 2\), got \(5, 3\)"),
    "trajectories": (lambda ax: plot.trajectories(ax, torch.zeros(5, 2)), r"\(m\+1, n, 2\), got \(5, 2\)"),
    "paths": (lambda ax: plot.paths(ax, torch.zeros(5), torch.zeros(4, 2)), r"\(5,\) and \(4, 2\)"),
    "bounds": (lambda ax: plot.density(ax, gaussian, (1, 0, 0, 1)), "left, right, bottom, top"),
    "field": (lambda ax: plot.vector_field(ax, lambda x, t: x[:, :1], 0, 1), r"maps \(k, 2\) to \(k, 2\)"),
    "density": (lambda ax: plot.density(ax, lambda x: x, 1), r"maps \(k, 2\) to \(k,\)"),
    "errors": (lambda ax: plot.orders(ax, [0.1, 0.2], {"Euler": [0.1, 0.0]}), "positive error.*Euler"),
    "deviation": (lambda ax: plot.band(ax, [0, 1], 0, [1, -1]), "not negative, got -1"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_input_is_named_in_one_sentence(name):
    draw, message = WRONG[name]
    with pytest.raises(ValueError, match=message) as error:
        draw(plot.figure()[1])
    assert str(error.value).endswith(".") and "\n" not in str(error.value)


def test_images_stand_in_rows_and_columns_in_ink_of_a_colour():
    images = -torch.ones(2, 3, 1, 8, 8)
    images[1, 2] = 1
    _fig, ax = plot.figure()
    shown = plot.image_grid(ax, images, row_names=["a", "b"], column_names=["0", "1", "2"], color=plot.DATA)
    sheet = np.asarray(shown.get_array())
    assert sheet.shape == (2 * 9 - 1, 3 * 9 - 1)
    assert (sheet[9:, 18:] == 1).all() and sheet.sum() == 64 - (sheet.size - 64)
    red, green, blue, _ = shown.to_rgba(np.array([[1.0]]))[0, 0]
    assert red > green > blue
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "1", "2"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]


def test_images_in_a_list_fill_a_square():
    _fig, ax = plot.figure()
    sheet = np.asarray(plot.image_grid(ax, torch.ones(7, 1, 8, 8)).get_array())
    assert sheet.shape == (3 * 9 - 1, 3 * 9 - 1)
    assert (sheet == 1).sum() == 7 * 64
    assert np.asarray(plot.image_grid(ax, torch.ones(7, 1, 8, 8), 7).get_array()).shape == (8, 7 * 9 - 1)


def test_curves_over_the_guidance_scale_are_named_and_the_mean_loss_is_the_mean():
    fig, (a, b, c) = plot.figure(3)
    plot.over_scale(a, [0, 1, 2], {"agreement": [0.1, 0.9, 1.0]}, "agreement", real=0.99)
    plot.over_scale(b, [0, 1, 2], {"one": [3, 2, 1], "other": [1, 2, 3]}, "distance")
    assert a.get_ylabel() == "agreement" and a.lines[0].get_color() == plot.MODEL
    assert {"one", "other"} <= {text.get_text() for text in b.texts}
    t = torch.linspace(0, 1, 1001)
    plot.loss_over_time(c, t, 2 * t, bins=4)
    assert c.lines[0].get_ydata() == pytest.approx([0.25, 0.75, 1.25, 1.75], abs=2e-3)
    assert len(plot.png(fig)) < 60_000


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda ax: plot.image_grid(ax, torch.zeros(4, 3, 8, 8)), r"images has shape .*wanted \(n, 1, h, w\)"),
        (lambda ax: plot.image_grid(ax, torch.zeros(4, 1, 8, 8), 2, row_names=["a"]), "1 names for 2 rows"),
        (lambda ax: plot.loss_over_time(ax, torch.zeros(3), torch.zeros(4)), "3 times and 4 losses"),
    ],
)
def test_images_that_cannot_be_drawn_are_refused(draw, words):
    with pytest.raises(ValueError, match=words):
        draw(plot.figure()[1])
