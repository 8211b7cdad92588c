"""Pictures in a plane: fields, trajectories, samples, densities, stability regions."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import Collection, LineCollection, PathCollection
from matplotlib.contour import QuadContourSet
from matplotlib.lines import Line2D
from matplotlib.quiver import Quiver

from course.plotting import style
from course.plotting.style import DATA, MODEL, NOISE, TRUTH, Array, Bounds


def vector_field(ax: Axes, u: Callable, t: float, bounds: Bounds, n: int = 17, color: str = NOISE) -> Quiver:
    """The 2-D field u(., t) as arrows: direction as it is, length growing with the speed.

    u(x (k, 2), t) -> (k, 2);  bounds: (left, right, bottom, top), or r for the square from -r to r.
    """
    x, y = style.lattice(bounds, n, n)
    v = style.evaluate(u, np.stack([x.ravel(), y.ravel()], 1), t)
    if v.shape != (x.size, 2):
        raise ValueError(f"A field in the plane maps (k, 2) to (k, 2), this one gave {v.shape} for k={x.size}.")
    speed = np.linalg.norm(v, axis=1, keepdims=True)
    # Slow places stay visible and fast ones do not overlap: length ~ sqrt(speed), at most one mesh width.
    v = v / np.maximum(speed, 1e-12) * np.sqrt(speed / max(speed.max(), 1e-12))
    mesh = (x[0, -1] - x[0, 0]) / (n - 1)
    arrows = ax.quiver(
        x, y, *v.T, color=color, alpha=0.75, angles="xy", pivot="mid", scale_units="xy", scale=1.05 / mesh,
        units="dots", width=1.2, headwidth=4.5, headlength=5, headaxislength=4, minshaft=1.6, minlength=0.5,
        zorder=1,
    )  # fmt: skip
    left, right, bottom, top = style.box(bounds)
    ax.set(xlim=(left, right), ylim=(bottom, top))
    style.plane(ax)
    return arrows


def slope_field(ax: Axes, u: Callable, bounds: Bounds, n: int = 25, color: str = NOISE) -> Collection:
    """The 1-D ODE dx/dt = u(x, t) as short dashes of slope u in the (t, x) plane.

    u(x (k, 1), t) -> (k, 1);  bounds: (t from, t to, x from, x to).
    """
    t, x = style.lattice(bounds, n, round(0.7 * n))
    left, right, bottom, top = style.box(bounds)
    slope = np.stack([style.evaluate(u, x[:, :1], float(ti)).ravel() for ti in t[0]], axis=1)
    # All dashes are equally long on the screen, so measure them in units of the panel's sides.
    dt, dx = np.ones_like(slope) / (right - left), slope / (top - bottom) * 0.62
    dt, dx = (d / np.hypot(dt, dx) * 0.36 / n for d in (dt, dx))
    dt, dx = dt * (right - left), dx * (top - bottom) / 0.62
    dashes = np.stack([np.stack([t - dt, x - dx], -1), np.stack([t + dt, x + dx], -1)], -2).reshape(-1, 2, 2)
    lines = ax.add_collection(LineCollection(list(dashes), colors=color, linewidths=1.2, alpha=0.6, zorder=1))
    ax.set(xlim=(left, right), ylim=(bottom, top))
    ax.grid(False)
    style.name_axes(ax, "time $t$", "$x$")
    return lines


def trajectories(
    ax: Axes, xs: Array, color: str = MODEL, ends: bool = True, label: str | None = None, **kwargs
) -> list[Line2D]:
    """Trajectories in the plane, xs (m+1, n, 2): from a grey-blue dot (start) to an orange one (end)."""
    xs = style.array(xs)
    if xs.ndim != 3 or xs.shape[-1] != 2:
        raise ValueError(f"Wanted trajectories in the plane, shape (m+1, n, 2), got {xs.shape}.")
    kwargs = {
        "lw": 1.3,
        "alpha": 0.35 + 0.5 * np.exp(-xs.shape[1] / 20),
        "color": color,
        "zorder": 2,
        **kwargs,
    }
    lines = ax.plot(xs[..., 0], xs[..., 1], **kwargs)
    if ends:
        size = 9 + 22 * np.exp(-xs.shape[1] / 40)
        for x, c in ((xs[0], NOISE), (xs[-1], DATA)):
            ax.scatter(x[:, 0], x[:, 1], s=size, color=c, edgecolors="white", linewidths=0.5, zorder=3)
    if label:
        style.label(ax, xs[-1, 0, 0], xs[-1, 0, 1], label, color)
    style.plane(ax)
    return lines


def samples(
    ax: Axes,
    x: Array,
    color: str | tuple = MODEL,
    size: float = 5,
    alpha: float | None = None,
    label: str | None = None,
) -> PathCollection:
    """Samples x (n, 2) as small translucent dots."""
    x = style.points(x)
    alpha = alpha or float(np.clip(12 / np.sqrt(len(x)), 0.15, 0.7))
    style.plane(ax)
    return ax.scatter(x[:, 0], x[:, 1], s=size, color=color, alpha=alpha, linewidths=0, zorder=2, label=label)


def density(
    ax: Axes,
    log_prob: Callable,
    bounds: Bounds,
    color: str = TRUTH,
    n: int = 160,
    mass: Sequence[float] = (0.95, 0.8, 0.6, 0.4, 0.2),
) -> QuadContourSet:
    """Contours of a density in the plane; the outermost encloses 95 % of the mass shown, the innermost 20 %.

    log_prob(x (k, 2)) -> (k,);  bounds: (left, right, bottom, top), or r for the square from -r to r.
    """
    x, y = style.lattice(bounds, n, n)
    values = style.evaluate(log_prob, np.stack([x.ravel(), y.ravel()], 1))
    if values.shape != (x.size,):
        raise ValueError(f"A log-density maps (k, 2) to (k,), this one gave {values.shape} for k={x.size}.")
    p = np.exp(values - values.max()).reshape(x.shape)
    ranked = np.sort(p, axis=None)[::-1]
    enclosed = np.cumsum(ranked) / ranked.sum()
    levels = np.unique([ranked[np.searchsorted(enclosed, m)] for m in mass])
    ax.contourf(x, y, p, [*levels, 2.0], colors=color, alpha=0.06, zorder=0)
    for i in range(1, len(levels)):  # the same veil once more inside each contour: darker towards the top
        ax.contourf(x, y, p, [levels[i], 2.0], colors=color, alpha=0.05, zorder=0)
    contours = ax.contour(x, y, p, levels, colors=color, linewidths=0.8, alpha=0.45, zorder=1)
    left, right, bottom, top = style.box(bounds)
    ax.set(xlim=(left, right), ylim=(bottom, top))
    style.plane(ax)
    return contours


def stability_regions(
    ax: Axes,
    amplification: Callable,
    orders: Sequence[int] = (1, 2, 3, 4),
    bounds: Bounds = (-5, 1.5, -3.5, 3.5),
    values: Mapping[str, complex] | None = None,
) -> None:
    """Where |R(z)| <= 1 in the complex plane of z = h lambda, for methods of several orders.

    amplification(z, order) -> R(z), z a complex tensor;  values: {"name": z} marks points h lambda.
    """
    import torch

    x, y = style.lattice(bounds, 391, 421)
    z = torch.complex(*map(torch.as_tensor, (x, y)))
    for order in sorted(orders, reverse=True):
        color = style.ACCENTS[(order - 1) % len(style.ACCENTS)]
        size = np.abs(style.array(amplification(z, order)))
        if size.shape != x.shape:
            raise ValueError(f"R(z) must have the shape of z, {x.shape}, got {size.shape} for order {order}.")
        ax.contourf(x, y, size, [-1, 1], colors=color, alpha=0.10, zorder=1)
        curve = ax.contour(x, y, size, [1], colors=color, linewidths=1.7, zorder=2)
        _name_on_curve(ax, curve, f"order {order}", color)
    ax.axhline(0, color=style.FAINT, lw=0.9, zorder=0)
    ax.axvline(0, color=style.MUTED, lw=0.9, zorder=0)
    for name, value in (values or {}).items():
        value = complex(value)
        ax.plot(value.real, value.imag, "o", ms=6, color=TRUTH, mec="white", zorder=5)
        style.label(ax, value.real, value.imag, name, TRUTH, xytext=(0, 11), ha="center")
    style.plane(ax, r"real part of $h\lambda$", r"imaginary part of $h\lambda$")


def _name_on_curve(ax, curve, text, color):
    """Write on the topmost point of a contour."""
    vertices = max((path.vertices for path in curve.get_paths()), key=len)
    x, y = vertices[np.argmax(vertices[:, 1])]
    style.label(ax, x, y, text, color, xytext=(0, 2), ha="center", va="bottom", fontweight="bold")
