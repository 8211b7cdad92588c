"""The look of every figure of the course: colours, a styled canvas, and one way to show it."""

import base64
import io
import re
import sys
from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import FancyBboxPatch
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from matplotlib.transforms import IdentityTransform
from PIL import Image

NOISE = "#7487A3"  # grey-blue: where a path starts, and whatever is random
DATA = "#E07B00"  # orange: where it ends
MODEL = "#00946B"  # green: what was computed, simulated or learned
TRUTH = "#111111"  # black: what is known exactly
ACCENTS = ["#0B6FB8", "#C2528F", "#8A6A00", "#6B4BA3", "#2496CC"]  # further series, in this order

INK, MUTED, FAINT = "#1B1F24", "#59636E", "#D5DAE0"
HALO = [withStroke(linewidth=2.6, foreground="white")]  # keeps a label legible on top of curves

Array = Any  # a tensor on any device, a numpy array, a list of numbers or a number
Bounds = tuple[float, float, float, float] | float  # left, right, bottom, top; or r: from -r to r both ways

MAX_WIDTH = 900  # pixels
DPI = 100
_WIDTHS, _RATIOS = {1: 600, 2: 880}, {1: 0.62, 2: 0.82}  # by the number of columns
_RADIUS = 10  # of the card's corners, in pixels

_AT_CREATION = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.prop_cycle": cycler(color=ACCENTS),
    "grid.color": "#EBEEF1",
    "grid.linewidth": 0.8,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
}


class _TitledAxes(Axes):
    """Axes whose title is a sentence: on the left, bold, and wrapped when the figure is drawn."""

    sentence = None

    def set_title(self, label, fontdict=None, loc="left", pad=9, **kwargs):
        kwargs = {"fontsize": 10.5, "fontweight": "bold", "color": INK, "linespacing": 1.25, **kwargs}
        self.sentence = super().set_title(label, fontdict, loc, pad, **kwargs)
        return self.sentence

    def wrap_title(self, renderer):
        """Break the title where the panel's share of the figure ends; whether that was needed."""
        if self.sentence is None:
            return False
        slot = self.get_subplotspec()
        share = slot.colspan.stop / slot.get_gridspec().ncols if slot else 1
        room = share * self.figure.bbox.width - self.get_window_extent(renderer).x0 - 14
        text = self.sentence.get_text()
        width = self.sentence.get_window_extent(renderer).width
        if width > room:
            plain = max(len(re.sub(r"[\\${}]", "", line)) for line in text.split("\n"))
            self.sentence.set_text(_wrap(text, int(plain * room / width)))
        return width > room


def _wrap(text, width):
    """Break lines at spaces, never inside a formula $...$."""
    lines = []
    for paragraph in text.split("\n"):
        line = ""
        for word in re.findall(r"(?:\$[^$]*\$|[^\s$])+", paragraph):
            if line and len(line) + 1 + len(word) > width:
                lines.append(line)
                line = word
            else:
                line = f"{line} {word}" if line else word
        lines.append(line)
    return "\n".join(lines)


def figure(
    ncols: int = 1, nrows: int = 1, width: int | None = None, height: int | None = None, **subplot_kw
) -> tuple[Figure, Any]:
    """A styled figure and its axes: `fig, ax = figure()` or `fig, (left, right) = figure(2)`.

    width, height: pixels, at most 900 wide;  subplot_kw: as for `Figure.subplots` (sharey=True, ...).
    Returns (fig, ax) with ax an Axes, or an array of them if there are several panels.
    """
    width = width or _WIDTHS.get(ncols, MAX_WIDTH)
    height = height or round(_RATIOS.get(ncols, 1.0) * width / ncols) * nrows
    if not 100 <= width <= MAX_WIDTH:
        raise ValueError(f"A figure is 100 to {MAX_WIDTH} pixels wide, got width={width}.")
    layout = ConstrainedLayoutEngine(w_pad=0.13, h_pad=0.12, wspace=0.03, hspace=0.04)
    panel = {"axes_class": _TitledAxes, **subplot_kw.pop("subplot_kw", {})}
    with matplotlib.rc_context(_AT_CREATION):
        fig = Figure((width / DPI, height / DPI), dpi=DPI, layout=layout)
        ax = fig.subplots(nrows, ncols, subplot_kw=panel, **subplot_kw)
    for each in np.ravel(ax):
        each.tick_params(length=3)
    return fig, ax


def pixels(fig: Figure, card: bool = True) -> Image.Image:
    """The figure as a Pillow image, at most 900 pixels wide: on a rounded white card, or plain white."""
    dpi = min(fig.get_dpi(), MAX_WIDTH / fig.get_figwidth())
    fig.set_dpi(dpi)
    frame = FancyBboxPatch(
        (1, 1),
        fig.bbox.width - 2,
        fig.bbox.height - 2,
        boxstyle=f"round,pad=0,rounding_size={_RADIUS}",
        facecolor="white",
        edgecolor="#E1E5EA" if card else "white",
        linewidth=0.8,
        zorder=-10,
        in_layout=False,
        transform=IdentityTransform(),
    )
    fig.patch.set(facecolor="none" if card else "white", alpha=0 if card else 1)
    if card:
        fig.add_artist(frame)
    canvas = FigureCanvasAgg(fig)
    renderer = canvas.get_renderer()
    if engine := fig.get_layout_engine():
        engine.execute(fig)
    wrapped = [ax.wrap_title(renderer) for ax in fig.axes if isinstance(ax, _TitledAxes)]
    if not any(wrapped):
        fig.set_layout_engine("none")  # the layout is done already, and it is the slow part
    canvas.draw()
    if card:
        frame.remove()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba()).copy())
    return image if card else image.convert("RGB")


def png(fig: Figure) -> bytes:
    """The figure as PNG bytes: 256 colours, nothing in it that depends on the day or the machine."""
    image = pixels(fig)
    flat = Image.new("RGBA", image.size, "white")
    flat.alpha_composite(image)
    small = flat.convert("RGB").quantize(240, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    # The last sixteen entries are the transparent pixels outside the card's corners and their soft edge.
    alpha, index = np.asarray(image.getchannel("A")), np.array(small)
    index[alpha < 255] = 240 + alpha[alpha < 255] // 16
    result = Image.fromarray(index, "P")
    result.putpalette((small.getpalette() or [])[: 3 * 240] + [225, 229, 234] * 16)
    buffer = io.BytesIO()
    opacity = bytes([255] * 240 + [17 * i for i in range(16)])
    result.save(buffer, "PNG", optimize=True, transparency=opacity)
    return buffer.getvalue()


def show(fig: Figure, *, alt: str) -> None:
    """Show a figure once, as a picture with a text alternative, and close it.

    alt: one or two sentences that say what the figure shows, for those who cannot see it.
    """
    if not isinstance(alt, str) or not alt.strip():
        raise ValueError("Say in alt=... what the figure shows, for readers who cannot see it.")
    data = base64.b64encode(png(fig)).decode("ascii")
    publish({"image/png": data, "text/plain": alt}, {"image/png": {"alt": alt}})
    if "matplotlib.pyplot" in sys.modules:  # a figure of pyplot's would be shown a second time
        sys.modules["matplotlib.pyplot"].close(fig)


def publish(bundle: dict[str, str], metadata: dict[str, dict] | None = None) -> None:
    """Send one display message to the notebook; in a terminal, print its text."""
    if shell() is None:
        print(bundle["text/plain"])
    else:
        from IPython.display import display

        display(bundle, metadata=metadata or {}, raw=True)


def shell():
    """The running IPython shell, or None in plain Python."""
    return sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None


def array(x: Array) -> np.ndarray:
    """A numpy array from a tensor on any device, an array, a list or a number."""
    if hasattr(x, "detach"):
        x = x.detach().cpu()
        x = (x if x.dtype.is_complex else x.double()).numpy()
    return np.asarray(x)


def series(t: Array, xs: Array) -> tuple[np.ndarray, np.ndarray]:
    """t (m+1,) and xs (m+1, ...) as a time axis and a matrix of columns (m+1, N)."""
    t, xs = array(t), array(xs)
    if t.ndim != 1 or xs.ndim < 1 or len(xs) != len(t):
        raise ValueError(f"Wanted times (m+1,) and values (m+1, ...), got shapes {t.shape} and {xs.shape}.")
    return t, xs.reshape(len(t), -1)


def points(x: Array) -> np.ndarray:
    """x as an array (n, 2)."""
    x = array(x)
    if x.ndim != 2 or x.shape[1] != 2:
        raise ValueError(f"Wanted points in the plane, shape (n, 2), got {x.shape}.")
    return x


def box(bounds: Bounds) -> np.ndarray:
    """Bounds (left, right, bottom, top) from four numbers, or r for the square from -r to r."""
    values = np.ravel(array(bounds)).astype(float)
    if values.size == 1:
        values = np.array([-1, 1, -1, 1]) * values
    if values.size != 4 or values[0] >= values[1] or values[2] >= values[3]:
        raise ValueError(f"Wanted bounds (left, right, bottom, top) or one number r > 0, got {bounds}.")
    return values


def lattice(bounds: Bounds, nx: int, ny: int) -> tuple[np.ndarray, ...]:
    """A regular grid in a box: x (ny, nx), y (ny, nx)."""
    left, right, bottom, top = box(bounds)
    return np.meshgrid(np.linspace(left, right, nx), np.linspace(bottom, top, ny))


def evaluate(f: Callable, x: np.ndarray, *args) -> np.ndarray:
    """f at the rows of the array x, which it gets as a tensor of the default dtype."""
    import torch

    with torch.no_grad():
        return array(f(torch.as_tensor(x, dtype=torch.get_default_dtype()), *args))


def plane(ax: Axes, x: str = "$x_1$", y: str = "$x_2$") -> None:
    """Make the panel a plane: equal scales, no grid, a thin frame."""
    ax.set_aspect("equal", adjustable="box")
    ax.grid(False)
    ax.spines[:].set_visible(True)
    name_axes(ax, x, y)


def name_axes(ax: Axes, x: str, y: str) -> None:
    """Name the axes that have no name yet."""
    ax.set_xlabel(ax.get_xlabel() or x)
    ax.set_ylabel(ax.get_ylabel() or y)


def label(ax: Axes, x: float, y: float, text: str, color: str = INK, **kwargs) -> Annotation:
    """Write text at (x, y) in a series' own colour, legible on top of what is drawn there."""
    kwargs = {"fontsize": 9, "va": "center", "path_effects": HALO, "zorder": 6, **kwargs}
    return ax.annotate(text, (x, y), textcoords="offset points", color=color, **{"xytext": (4, 0), **kwargs})


def end_labels(ax: Axes, ends: list[tuple[float, float, str, str]]) -> None:
    """Name curves at their right ends, [(x, y, text, color), ...]; names that would overlap move apart."""
    ax.autoscale_view()
    heights = ax.transData.transform([(x, y) for x, y, _, _ in ends])[:, 1] * 72 / ax.figure.dpi
    ranks = np.argsort(heights, kind="stable")
    places = heights[ranks]
    for i in range(1, len(places)):
        places[i] = max(places[i], places[i - 1] + 11.5)
    places -= (places - heights[ranks]).mean()
    for rank, place in zip(ranks, places, strict=True):
        x, y, text, color = ends[rank]
        label(ax, x, y, text, color, xytext=(6, place - heights[rank]), fontweight="bold")
