"""Pictures of learning: loss curves, errors over the path, pairs, the number of steps a sampler needs."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import Collection, LineCollection
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from course.plotting import style
from course.plotting.style import ACCENTS, DATA, MODEL, NOISE, TRUTH, Array


def loss_curve(
    ax: Axes, losses: Array, floor: float | None = None, color: str = MODEL, label: str | None = None, window: int = 50
) -> None:
    """The loss of every step (steps,), pale, and its running mean over `window` steps.

    floor: the least value the loss can have on average, drawn in black.
    """
    losses = style.array(losses).ravel()
    window = max(1, min(window, len(losses)))
    mean = np.convolve(losses, np.ones(window) / window, "valid")
    steps = np.arange(len(losses))
    ax.plot(steps, losses, color=color, lw=0.6, alpha=0.25, zorder=2)
    ax.plot(steps[window - 1 :], mean, color=color, lw=1.8, zorder=3)
    if floor is not None:
        ax.axhline(floor, color=TRUTH, lw=1.2, ls=(0, (4, 2.5)), zorder=4)
    if label:
        style.label(ax, steps[-1], mean[-1], label, color, fontweight="bold")
    style.name_axes(ax, "training step", "loss")


def error_over_time(ax: Axes, t: Array, errors: Mapping[str, Array], colors: Mapping[str, str] | None = None) -> None:
    """Errors over the path, t (m,) inside (0, 1), {"name": (m,) > 0}; the time axis is stretched at both ends."""
    t, ends = style.array(t), []
    ax.set(xscale="logit", yscale="log")
    for i, (name, error) in enumerate(errors.items()):
        error, color = style.array(error), (colors or {}).get(name, ACCENTS[i % len(ACCENTS)])
        ax.plot(t, error, "o-", color=color, lw=1.5, ms=4, mec="white", mew=0.6, zorder=3)
        ends.append((t[-1], error[-1], name, color))
    ticks = np.array([0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999])
    ax.xaxis.set_major_locator(FixedLocator(ticks[(ticks >= t[0] * 0.99) & (ticks <= t[-1] * 1.001)]))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_minor_formatter(NullFormatter())
    style.end_labels(ax, ends)
    style.name_axes(ax, "time $t$", "relative error")


def pairs(ax: Axes, x0: Array, x1: Array, color: str = MODEL, alpha: float = 0.45) -> Collection:
    """Straight lines between the points of pairs, x0, x1 (n, 2): grey-blue where they start, orange where they end."""
    x0, x1 = style.points(x0), style.points(x1)
    style.plane(ax)
    lines = ax.add_collection(LineCollection(list(np.stack([x0, x1], 1)), colors=color, lw=0.9, alpha=alpha, zorder=1))
    for x, end in ((x0, NOISE), (x1, DATA)):
        ax.scatter(x[:, 0], x[:, 1], s=14, color=end, edgecolors="white", linewidths=0.4, zorder=3)
    return lines


def distance_by_steps(
    ax: Axes,
    steps: Array,
    distances: Mapping[str, Array],
    floor: float,
    colors: Mapping[str, str] | None = None,
) -> None:
    """Distance to the data against the number of steps (k,), log-log, {"name": (k,) > 0}; the floor in black."""
    steps = style.array(steps)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ends = []
    for i, (key, distance) in enumerate(distances.items()):
        distance, color = style.array(distance), (colors or {}).get(key, ACCENTS[i % len(ACCENTS)])
        ax.plot(steps, distance, "o-", color=color, lw=1.5, ms=5, mec="white", mew=0.7, zorder=3)
        ends.append((steps[-1], distance[-1], key, color))
    ax.axhline(floor, color=TRUTH, lw=1.2, ls=(0, (4, 2.5)), zorder=2)
    style.label(ax, steps[0], floor, "data against data", TRUTH, xytext=(-4, -8))
    span = steps[-1] / steps[0]
    ax.set_xlim(steps[0] / span**0.06, steps[-1] * span**0.4)  # room for the names
    low, high = ax.get_ylim()
    ax.set_ylim(min(low, floor / 1.8), high)
    style.end_labels(ax, ends)
    ax.xaxis.set_major_locator(FixedLocator(steps))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())
    style.name_axes(ax, "steps", "energy distance to the data")
