"""Pictures of images: grids of digits, and what changes with the guidance scale."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.image import AxesImage

from course.plotting import style
from course.plotting.style import ACCENTS, INK, MODEL, MUTED, TRUTH, Array

GAP = 0.12  # between two images, in widths of an image


def image_grid(
    ax: Axes,
    images: Array,
    columns: int | None = None,
    row_names: Sequence[str] = (),
    column_names: Sequence[str] = (),
    color: str = MODEL,
) -> AxesImage:
    """Grey images in rows and columns, in ink of a colour: -1 is paper, 1 is ink, and what is beyond is cut off.

    images: (rows, columns, 1, h, w), or (n, 1, h, w) with `columns` in a row (as many as fill a square if None).
    color: DATA for real images, MODEL for generated ones, NOISE for noise.  Raises ValueError for other shapes, for
    more than one channel and for names that are not one for each row or column.
    """
    pixels = style.array(images)
    if pixels.ndim == 4:
        columns = columns or int(np.ceil(np.sqrt(len(pixels))))
        blank = np.full((-len(pixels) % columns, *pixels.shape[1:]), -1.0)
        pixels = np.concatenate([pixels, blank]).reshape(-1, columns, *pixels.shape[1:])
    if pixels.ndim != 5 or pixels.shape[2] != 1:
        raise ValueError(f"images has shape {pixels.shape}; wanted (n, 1, h, w) or (rows, columns, 1, h, w).")
    rows, columns, _, h, w = pixels.shape
    for names, count, what in ((row_names, rows, "rows"), (column_names, columns, "columns")):
        if len(names) not in (0, count):
            raise ValueError(f"There are {len(names)} names for {count} {what}; wanted one for each, or none.")
    gap = max(1, round(GAP * w))
    sheet = np.full((rows * (h + gap) - gap, columns * (w + gap) - gap), -1.0)
    for i, j in np.ndindex(rows, columns):
        sheet[i * (h + gap) : i * (h + gap) + h, j * (w + gap) : j * (w + gap) + w] = pixels[i, j, 0]
    dark = tuple(0.45 * a + 0.55 * b for a, b in zip(to_rgb(color), to_rgb(INK), strict=True))
    ink = LinearSegmentedColormap.from_list("ink", [(0.0, "white"), (0.5, color), (1.0, dark)])
    shown = ax.imshow(sheet, cmap=ink, vmin=-1, vmax=1, interpolation="nearest")
    ax.grid(False)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    ax.xaxis.tick_top()
    ax.set_xticks([j * (w + gap) + (w - 1) / 2 for j in range(columns)][: len(column_names)], column_names)
    ax.set_yticks([i * (h + gap) + (h - 1) / 2 for i in range(rows)][: len(row_names)], row_names)
    return shown


def over_scale(
    ax: Axes,
    w: Array,
    values: Mapping[str, Array],
    name: str,
    real: float | None = None,
    colors: Mapping[str, str] | None = None,
) -> None:
    """Curves over the guidance scale w (k,), {"name": (k,)}, and what real images have, in black.

    name: what the values are, for the vertical axis.  A single curve is green and not named.
    """
    w, ends = style.array(w), []
    for i, (key, value) in enumerate(values.items()):
        value = style.array(value)
        color = (colors or {}).get(key, MODEL if len(values) == 1 else ACCENTS[i % len(ACCENTS)])
        ax.plot(w, value, "o-", color=color, lw=1.6, ms=4.5, mec="white", mew=0.7, zorder=3)
        ends.append((w[-1], value[-1], key, color))
    if real is not None:
        ax.axhline(real, color=TRUTH, lw=1.2, ls=(0, (4, 2.5)), zorder=2)
        style.label(ax, w[-1], real, "real digits", TRUTH, xytext=(0, -8), ha="right")
    if len(values) > 1:
        style.end_labels(ax, ends)
    style.name_axes(ax, "guidance scale $w$", name)


def loss_over_time(ax: Axes, t: Array, losses: Array, color: str = MODEL, bins: int = 20) -> None:
    """The loss of single samples, losses (n,) at times t (n,), as dots, and its mean in each stretch of time."""
    t, losses = style.array(t).ravel(), style.array(losses).ravel()
    if t.shape != losses.shape:
        raise ValueError(f"There are {len(t)} times and {len(losses)} losses; wanted as many.")
    edges = np.linspace(t.min(), t.max(), bins + 1)
    place = np.clip(np.searchsorted(edges, t, side="right") - 1, 0, bins - 1)
    filled = np.unique(place)
    means = [losses[place == k].mean() for k in filled]
    ax.scatter(t, losses, s=5, color=MUTED, alpha=0.2, linewidths=0, zorder=2)
    ax.plot((edges[:-1] + edges[1:])[filled] / 2, means, color=color, lw=2, zorder=3)
    style.name_axes(ax, "time $t$", "loss of a sample")
