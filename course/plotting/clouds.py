"""Pictures of probability paths: clouds at several times, who is probably the origin, a quantity over the plane."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LinearSegmentedColormap, to_rgb

from course.plotting import plane, style
from course.plotting.style import DATA, MODEL, NOISE, TRUTH, Array, Bounds

# Blue below zero, white at zero, red-violet above: the ends are told apart by lightness and by hue.
_SIGNED = LinearSegmentedColormap.from_list("signed", ["#0B4F8A", "#7FB1DA", "#FFFFFF", "#E3A0C4", "#8F1D5F"])


def time_color(t: float) -> tuple[float, float, float]:
    """The colour of a sample at time t: from noise (t = 0) to data (t = 1)."""
    noise, data = np.array(to_rgb(NOISE)), np.array(to_rgb(DATA))
    return tuple((1 - t) * noise + t * data)


def snapshots(
    axes: Sequence[Axes], t: Array, xs: Array, bounds: Bounds, log_prob: Callable | None = None, size: float = 4
) -> None:
    """One cloud per panel: the samples xs[k] (n, 2) at time t[k], grey-blue at t = 0 and orange at t = 1.

    xs: (k, n, 2);  t: (k,);  log_prob(x (j, 2), t) -> (j,) draws the exact contours under the samples.
    """
    left, right, bottom, top = style.box(bounds)
    for ax, now, x in zip(axes, style.array(t), style.array(xs), strict=True):
        now = float(now)
        if log_prob is not None:
            plane.density(ax, lambda place, now=now: log_prob(place, now), bounds, n=110)
        plane.samples(ax, x, time_color(now), size)
        ax.set(xlim=(left, right), ylim=(bottom, top), xlabel="", ylabel="", xticks=[], yticks=[])


def origins(ax: Axes, x: Array, data: Array, weights: Array, bounds: Bounds) -> None:
    """A place x (2,), lines to the data points (N, 2) as thick as their weights (N,), an arrow to the weighted mean."""
    x, data, weights = style.array(x), style.points(data), style.array(weights)
    for point, weight in zip(data, weights, strict=True):
        ax.plot(*zip(x, point, strict=True), color=DATA, lw=0.7 + 6 * weight, alpha=0.25 + 0.6 * weight, zorder=2)
    ax.scatter(data[:, 0], data[:, 1], s=30 + 190 * weights, color=DATA, edgecolors="white", linewidths=0.8, zorder=3)
    mean = weights @ data
    ax.annotate(
        "", mean, x, zorder=5, arrowprops={"arrowstyle": "-|>", "color": MODEL, "lw": 2.6, "shrinkA": 0, "shrinkB": 0}
    )
    ax.plot(*x, "o", ms=7, color=TRUTH, mec="white", zorder=6)
    left, right, bottom, top = style.box(bounds)
    ax.set(xlim=(left, right), ylim=(bottom, top))
    style.plane(ax)


def signed_map(ax: Axes, f: Callable, bounds: Bounds, limit: float, n: int = 90, label: str = "") -> QuadMesh:
    """A signed quantity f(x (k, 2)) -> (k,) over the plane in colours: blue at -limit, white at 0, violet at limit."""
    import torch

    x, y = style.lattice(bounds, n, n)
    values = style.evaluate(torch.enable_grad()(f), np.stack([x.ravel(), y.ravel()], 1)).reshape(x.shape)
    mesh = ax.pcolormesh(x, y, values, cmap=_SIGNED, vmin=-limit, vmax=limit, shading="nearest", zorder=0)
    bar = ax.figure.colorbar(mesh, ax=ax, shrink=0.75, aspect=22, pad=0.03, label=label)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=2, labelsize=8, labelcolor=style.MUTED)
    style.plane(ax)
    return mesh
