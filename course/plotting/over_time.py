"""Pictures over time: paths, bands, ensembles, occupancy of modes."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import Collection
from matplotlib.lines import Line2D

from course.plotting import style
from course.plotting.style import ACCENTS, MODEL, NOISE, TRUTH, Array


def paths(ax: Axes, t: Array, xs: Array, color: str = NOISE, label: str | None = None, **kwargs) -> list[Line2D]:
    """Sample paths over time.  t (m+1,);  xs (m+1, n) or (m+1, n, 1): one thin line per path."""
    t, xs = style.series(t, xs)
    kwargs = {
        "lw": 1.0,
        "alpha": 0.25 + 0.65 * np.exp(-xs.shape[1] / 15),
        "color": color,
        "zorder": 2,
        **kwargs,
    }
    lines = ax.plot(t, xs, **kwargs)
    if label:
        style.label(ax, t[-1], xs[-1, 0], label, color)
    ax.margins(x=0.02)
    style.name_axes(ax, "time $t$", "$x$")
    return lines


def curve(
    ax: Axes, t: Array, y: Array, color: str = MODEL, label: str | None = None, at: float = 1.0, **kwargs
) -> Line2D:
    """One curve y over t, named where it is: at=1.0 at its right end, 0.5 half-way.  t, y (m+1,)."""
    t, ys = style.series(t, y)
    (line,) = ax.plot(t, ys[:, 0], color=color, **{"lw": 1.8, "zorder": 3, **kwargs})
    if label:
        i = round(at * (len(t) - 1))
        style.label(ax, t[i], ys[i, 0], label, color)
    return line


def band(
    ax: Axes, t: Array, mean: Array, std: Array, width: float = 2, color: str = TRUTH, label: str | None = None
) -> Collection:
    """The mean and the band mean +- width * std over time.  t (m+1,);  mean, std: (m+1,) or a number."""
    t = style.array(t)
    mean, std = (np.broadcast_to(np.squeeze(style.array(v)), t.shape) for v in (mean, std))
    if (std < 0).any():
        raise ValueError(f"A standard deviation is not negative, got {std.min():.3g}.")
    low, high = mean - width * std, mean + width * std
    shade = ax.fill_between(t, low, high, color=color, alpha=0.07, linewidth=0, zorder=1)
    ax.plot(t, mean, color=color, lw=1.6, zorder=4)
    for edge in (low, high):
        ax.plot(t, edge, color=color, lw=1.2, ls=(0, (4, 2.5)), zorder=4)
    if label:
        style.label(ax, t[-1], high[-1], label, color, xytext=(-2, 3), ha="right", va="bottom")
    style.name_axes(ax, "time $t$", "$x$")
    return shade


def side_histogram(ax: Axes, x: Array, log_prob: Callable | None = None, color: str = MODEL, bins: int = 40) -> Axes:
    """A histogram of the end values x, turned on its side at the right edge of ax; returns its Axes.

    log_prob(x (k, 1)) -> (k,): the exact marginal, drawn in black.
    """
    x = style.array(x).ravel()
    side = ax.inset_axes((1.02, 0, 0.22, 1), sharey=ax)
    side.hist(x, bins, density=True, orientation="horizontal", color=color, alpha=0.45)
    if log_prob is not None:
        low, high = ax.get_ylim()
        grid = np.linspace(low, high, 300)
        p = np.exp(style.evaluate(log_prob, grid[:, None]).ravel())
        seen = p > 2e-3 * p.max()
        side.plot(p[seen], grid[seen], color=TRUTH, lw=1.5)
        ax.set_ylim(low, high)
    side.axis("off")
    return side


def occupancy(
    ax: Axes, t: Array, shares: Array, weights: Array | None = None, labels: Sequence[str] | None = None
) -> None:
    """The share of samples in each mode over time, beside the exact weights.

    t (m+1,);  shares (m+1, K);  weights (K,), drawn in black;  labels: the K names of the modes.
    """
    t, shares = style.series(t, shares)
    ends = []
    for k, share in enumerate(shares.T):
        color = ACCENTS[k % len(ACCENTS)]
        curve(ax, t, share, color)
        ends.append((t[-1], share[-1], labels[k] if labels else f"mode {k + 1}", color))
    ax.set_ylim(-0.03, 1.03)
    style.end_labels(ax, ends)
    for weight in np.unique(style.array(weights if weights is not None else []).round(6)):
        ax.axhline(weight, color=TRUTH, lw=1.2, ls=(0, (4, 2.5)), zorder=2)
        style.label(ax, t[0], weight, f"exact: {weight:.3g}", TRUTH, va="bottom")
    style.name_axes(ax, "time $t$", "share of the samples")


def quadratic_variation(ax: Axes, t: Array, w: Array, color: str = MODEL, label: str | None = None) -> list[Line2D]:
    """The running sum of squared increments of each path, beside the exact t.  t (m+1,);  w (m+1, n, ...)."""
    t, w = style.series(t, w)
    total = np.concatenate([np.zeros((1, w.shape[1])), np.cumsum(np.diff(w, axis=0) ** 2, axis=0)])
    lines = paths(ax, t, total, color, label)
    ax.plot(t, t - t[0], color=TRUTH, lw=1.5, zorder=4)
    style.name_axes(ax, "time $t$", "sum of squared increments")
    ax.set_ylabel("sum of squared increments")
    return lines
