"""Pictures of tree search: the tree itself, accuracy for tokens, regret, visits, and beliefs against the truth."""

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.ticker import FuncFormatter, NullFormatter, PercentFormatter

from course.plotting import style
from course.plotting.style import ACCENTS, FAINT, INK, MODEL, MUTED, NOISE, TRUTH, Array

if TYPE_CHECKING:
    from course.search import Node

REWARD = LinearSegmentedColormap.from_list("reward", ["#E8ECF1", "#9CCDB9", MODEL])  # mean reward 0 to 1
Places = dict[tuple[int, ...], tuple[float, int]]


def search_tree(ax: Axes, root: "Node", layout: "Node | None" = None, truth: float | None = None) -> None:
    """A search tree, the question on top: the greener, the higher the mean reward; the wider, the more visits.

    Nodes never visited are small and grey.  A solution has a ring, black if it is right (truth: the answer), else a
    dashed grey one.
    layout: a later state of the same tree; its places are used, so that a growing tree does not jump.
    """
    places = _places(layout or root)
    lines, widths, shades = [], [], []
    for key, node in _keys(root):
        x, y = places[key]
        if key:
            above_x, above_y = places[key[:-1]]
            lines.append([(above_x, -above_y), (x, -y)])
            widths.append(0.5 if not node.visits else 0.8 + 1.3 * node.visits**0.5)
            shades.append(FAINT if not node.visits else to_hex(REWARD(0.25 + 0.75 * node.mean)))
    ax.add_collection(LineCollection(lines, linewidths=widths, colors=shades, zorder=1, capstyle="round"))
    for key, node in _keys(root):
        x, y = places[key]
        size = 150 if node.visits else 12
        color = REWARD(node.mean) if node.visits else FAINT
        ax.scatter(x, -y, s=size, color=[color], edgecolors="none", zorder=3)
        if node.answer is not None:
            right = truth is not None and node.answer == truth
            ax.scatter(
                x, -y, s=size + 45, facecolors="none", edgecolors=TRUTH if right else MUTED, zorder=4,
                linewidths=1.5 if right else 0.9, linestyles="-" if right else (0, (2, 1.5)),
            )  # fmt: skip
        if node.visits:
            text = f"A{list(type(node.action)).index(node.action) + 1}" if node.action else "Q"
            ax.annotate(text, (x, -y), ha="center", va="center", fontsize=6.5, color=INK, zorder=5)
    width, depth = max(x for x, _ in places.values()), max(y for _, y in places.values())
    ax.set(xlim=(-0.02 * width - 0.5, 1.02 * width + 0.5), ylim=(-depth - 0.4, 0.4))
    ax.set_yticks(range(-depth, 1), [str(d) for d in range(depth, -1, -1)])
    ax.set_xticks([])
    ax.grid(False)
    ax.spines[:].set_visible(False)
    style.name_axes(ax, "", "depth")


def hover_tree(root: "Node", *, alt: str, truth: float | None = None) -> None:
    """The tree as a picture whose nodes say their text, visits and mean reward under the mouse; needs no kernel.

    alt: one or two sentences that say what it shows.  Colours, widths and rings as in search_tree.
    """
    if not alt.strip():
        raise ValueError("Say in alt=... what the tree shows, for readers who cannot see it.")
    style.publish({"text/html": _svg(root, alt, truth), "text/plain": alt})


def _svg(root: "Node", alt: str, truth: float | None) -> str:
    places = _places(root)
    width, depth = max(x for x, _ in places.values()) or 1, max(y for _, y in places.values()) or 1
    spots = {key: (20 + 840 * x / width, 20 + 300 * y / depth) for key, (x, y) in places.items()}
    lines, dots = [], []
    for key, node in sorted(_keys(root), key=lambda pair: pair[1].visits > 0):  # the small ones below the others
        x, y = spots[key]
        if key:
            up_x, up_y = spots[key[:-1]]
            color = to_hex(REWARD(0.25 + 0.75 * node.mean)) if node.visits else FAINT
            thick = 0.5 if not node.visits else 0.8 + 1.3 * node.visits**0.5
            lines.append(
                f'<line x1="{up_x:.0f}" y1="{up_y:.0f}" x2="{x:.1f}" y2="{y:.0f}" stroke="{color}" '
                f'stroke-width="{thick:.1f}"/>'
            )
        ring = ""
        if node.answer is not None:
            right = truth is not None and node.answer == truth
            ring = f' stroke="{TRUTH}" stroke-width="2"' if right else f' stroke="{MUTED}" stroke-dasharray="2 2"'
        name = node.action.value if node.action else "the question"
        said = f"{name}\n{node.text}\nvisits {node.visits}, mean reward {node.mean:.2f}"
        said += f"\nshare of the votes {node.value:.2f}" if node.value is not None else ""
        dots.append(
            f'<circle cx="{x:.1f}" cy="{y:.0f}" r="{6 if node.visits else 3}"{ring} '
            f'fill="{to_hex(REWARD(node.mean)) if node.visits else FAINT}" data-said="{html.escape(said)}"/>'
        )
    # A notebook that is not trusted keeps nothing of this but the text between the tags: let it be one sentence.
    return (
        f'<svg role="img" aria-label="{html.escape(alt)}" viewBox="0 0 880 340" '
        f'style="width:100%;max-width:880px;background:#fff;border:1px solid #e1e5ea;border-radius:10px">'
        f'<text display="none">{html.escape(alt)} (To see it, trust the notebook: File → Trust Notebook.)</text>'
        f"{''.join(lines)}{''.join(dots)}</svg>{_SAY}"
    )


_SAY = """<script>
for (const dot of document.querySelectorAll("circle[data-said]:empty"))
  dot.appendChild(document.createElementNS(dot.namespaceURI, "title")).textContent = dot.dataset.said;
</script>"""


def _keys(root: "Node", key: tuple[int, ...] = ()) -> "Iterator[tuple[tuple[int, ...], Node]]":
    """All nodes with the way to them: which child, and which child of that."""
    yield key, root
    for i, child in enumerate(root.children):
        yield from _keys(child, (*key, i))


def _places(root: "Node") -> Places:
    """x and depth of every node: leaves side by side, a parent over the middle of its children."""
    places: Places = {}
    leaves = 0

    def place(node: "Node", key: tuple[int, ...]) -> float:
        nonlocal leaves
        if node.children:
            x = float(np.mean([place(child, (*key, i)) for i, child in enumerate(node.children)]))
        else:
            x, leaves = float(leaves), leaves + 1
        places[key] = x, len(key)
        return x

    place(root, ())
    return places


def accuracy_by_tokens(
    ax: Axes, results: Mapping[str, Sequence[tuple[float, int, int]]], colors: Mapping[str, str] | None = None
) -> None:
    """Accuracy against tokens per problem, {"name": [(tokens, right, n), ...]}, with 95 % intervals."""
    from course.search import interval

    ends = []
    ax.set_xscale("log")
    for i, (name, points) in enumerate(results.items()):
        color = (colors or {}).get(name, [MODEL, *ACCENTS, NOISE][i % (2 + len(ACCENTS))])
        tokens = np.array([point[0] for point in points], float)
        share = np.array([right / n for _, right, n in points])
        bounds = np.array([interval(right, n) for _, right, n in points])
        ax.errorbar(tokens, share, np.abs(bounds.T - share), color=color, lw=0, elinewidth=0.9, alpha=0.6, zorder=2)
        ax.plot(tokens, share, "o-", color=color, lw=1.5, ms=5, mec="white", mew=0.7, zorder=3)
        ends.append((tokens[-1], share[-1], name, color))
    style.end_labels(ax, ends)
    low, high = ax.get_xlim()
    ax.set_xlim(low, high * (high / low) ** 0.28)  # room for the names
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    style.name_axes(ax, "tokens per problem, read and written", "right answers")


def regret(ax: Axes, regrets: Mapping[str, Array], bounds: Mapping[str, Array] | None = None) -> None:
    """Regret summed up over rollouts, {"name": (runs, rollouts) or (rollouts,)}: the mean, and the middle 80 % of runs.

    bounds: {"name": (rollouts,)}, what theory says, in black; the number of rollouts has a logarithmic axis.
    """
    ends = []
    ax.set_xscale("log")
    for i, (name, values) in enumerate(regrets.items()):
        runs, color = np.atleast_2d(style.array(values)), [MODEL, *ACCENTS][i % (1 + len(ACCENTS))]
        count = np.arange(1, runs.shape[1] + 1)
        if len(runs) > 1:
            ax.fill_between(count, *np.quantile(runs, [0.1, 0.9], axis=0), color=color, alpha=0.15, lw=0, zorder=1)
        ax.plot(count, runs.mean(0), color=color, lw=1.8, zorder=3)
        ends.append((count[-1], runs.mean(0)[-1], name, color))
    for name, values in (bounds or {}).items():
        values = style.array(values)
        ax.plot(np.arange(1, len(values) + 1), values, color=TRUTH, lw=1.2, ls=(0, (4, 2.5)), zorder=2)
        ends.append((len(values), values[-1], name, TRUTH))
    style.end_labels(ax, ends)
    low, high = ax.get_xlim()
    ax.set_xlim(low, high * (high / low) ** 0.22)
    style.name_axes(ax, "rollouts", "regret so far")


def visits(ax: Axes, counts: Array, theory: Array | None = None, names: Sequence[str] | None = None) -> None:
    """How often each arm or leaf was visited, (k,), as bars, and in theory, (k,), as black marks; logarithmic."""
    counts = style.array(counts)
    ax.bar(range(len(counts)), counts, width=0.6, color=MODEL, alpha=0.75, zorder=2)
    if theory is not None:
        ax.scatter(range(len(counts)), style.array(theory), marker="_", s=500, color=TRUTH, linewidths=2, zorder=3)
    ax.set_yscale("log")
    ax.set_xticks(range(len(counts)), names or [str(i) for i in range(len(counts))])
    ax.grid(axis="x", visible=False)
    style.name_axes(ax, "arm", "visits")


def beliefs(ax: Axes, means: Array, right: Array, bins: int = 8) -> None:
    """What the tree believes against the truth: the share of nodes that are right, by their mean reward.

    means (k,) in [0, 1], right (k,) true or false.  The bars below say how many nodes a point is about.
    """
    means, right = style.array(means), style.array(right).astype(float)
    which = np.minimum((means * bins).astype(int), bins - 1)
    counts = np.bincount(which, minlength=bins)
    used = counts > 0
    x = np.bincount(which, means, bins)[used] / counts[used]
    y = np.bincount(which, right, bins)[used] / counts[used]
    centres, heights = (np.arange(bins) + 0.5) / bins, 0.25 * counts / max(1, counts.max())
    ax.bar(centres, heights, 0.9 / bins, color=NOISE, alpha=0.25, zorder=1)
    ax.plot([0, 1], [0, 1], color=TRUTH, lw=1.1, ls=(0, (4, 2.5)), zorder=2)
    ax.plot(x, y, "o-", color=MODEL, lw=1.5, ms=6, mec="white", mew=0.7, zorder=3)
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    style.name_axes(ax, "mean reward of a node", "share of such nodes that are right")


def knob_map(ax: Axes, x: Array, y: Array, difference: Array) -> None:
    """Where one method beats another: their difference in accuracy, (len(y), len(x)), over two knobs.

    Green where it is positive, grey-blue where it is negative, with the number in percentage points.
    """
    x, y, difference = style.array(x), style.array(y), style.array(difference)
    colors = LinearSegmentedColormap.from_list("difference", [NOISE, "#FFFFFF", MODEL])
    most = max(0.1, float(np.abs(difference).max()))
    ax.imshow(difference, origin="lower", cmap=colors, vmin=-most, vmax=most, aspect="auto")
    for i, row in enumerate(difference):
        for j, value in enumerate(row):
            ax.annotate(f"{100 * value:+.0f}", (j, i), ha="center", va="center", fontsize=9, color=INK)
    ax.set_xticks(range(len(x)), [f"{value:g}" for value in x])
    ax.set_yticks(range(len(y)), [f"{value:g}" for value in y])
    ax.grid(False)
