"""Pictures of numbers against numbers: histograms and orders of convergence."""

from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.axes import Axes

from course.plotting import style
from course.plotting.style import ACCENTS, MODEL, TRUTH, Array


def histogram(
    ax: Axes,
    x: Array,
    log_prob: Callable | None = None,
    color: str = MODEL,
    bins: int = 60,
    bounds: tuple[float, float] | None = None,
    label: str | None = None,
):
    """A histogram of numbers x, scaled to a density, and the exact density in black.

    x: any shape, flattened;  log_prob(x (k, 1)) -> (k,);  bounds: (left, right).
    """
    x = style.array(x).ravel()
    left, right = bounds or (x.min(), x.max())
    _, _, bars = ax.hist(x, bins, range=(left, right), density=True, color=color, alpha=0.45, label=label, zorder=2)
    if log_prob is not None:
        grid = np.linspace(left, right, 400)
        ax.plot(grid, np.exp(style.evaluate(log_prob, grid[:, None]).ravel()), color=TRUTH, lw=1.6, zorder=3)
    ax.grid(axis="x", visible=False)
    ax.set_xlim(left, right)
    style.name_axes(ax, "$x$", "density")
    return bars


def orders(
    ax: Axes,
    h: Array,
    errors: Mapping[str, Array],
    slopes: Mapping[str, float] | None = None,
    colors: Mapping[str, str] | None = None,
) -> None:
    """Error against step size, log-log: one line per method, named with the slope read off from it.

    h (k,) > 0;  errors: {"Euler": (k,) > 0, ...};  slopes: {"Euler": 1, ...} what theory says, as triangles;
    colors: {"Euler": "#0B6FB8", ...}, so that a method keeps its colour from figure to figure (else ACCENTS in turn).
    """
    h = style.array(h)
    ax.set(xscale="log", yscale="log")
    ends = []
    for i, (name, error) in enumerate(errors.items()):
        error = style.array(error)
        color = (colors or {}).get(name, ACCENTS[i % len(ACCENTS)])
        if error.shape != h.shape or (error <= 0).any() or (h <= 0).any():
            raise ValueError(f"Wanted one positive error per step size for {name!r}, got {error} for h={h}.")
        slope = np.polyfit(np.log(h), np.log(error), 1)[0]
        ax.plot(h, error, "o-", color=color, lw=1.5, ms=5, mec="white", mew=0.7, zorder=3)
        last = np.argmax(h)
        ends.append((h[last], error[last], f"{name}: slope {slope:.2f}", color))
        if slopes and name in slopes:
            _triangle(ax, h, error, slopes[name], color)
    style.end_labels(ax, ends)
    style.name_axes(ax, "step size $h$", "error")


def _triangle(ax, h, error, slope, color):
    """A right triangle of the given slope under the middle of the curve."""
    i = np.argsort(h)[len(h) // 2 - 1 : len(h) // 2 + 1]
    left, right = h[i]
    base = error[i[0]] / 2.2
    top = base * (right / left) ** slope
    ax.fill([left, right, right], [base, base, top], color=color, alpha=0.15, lw=0, zorder=1)
    style.label(ax, right, np.sqrt(base * top), f"{slope:g}", color, fontsize=8)
