"""Draws the README's picture with the course's own code: `python site/picture.py`; the site moves it.

A Gaussian cloud follows the exact marginal velocity of a linear path into a spiral: nothing is learned, nothing is
random but the starting points.
"""

import base64
from functools import partial
from pathlib import Path

import torch

from course import plotting as plot
from course.distributions import Spiral
from course.paths import EmpiricalPath, linear_schedule
from course.solvers import heun_step, simulate

IMAGE = Path(__file__).parent / "images" / "flow.png"
SHIFT = 4.6  # from one picture of the cloud to the next


def flow(n: int = 3000, steps: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    """Times (steps+1,) and where n points are at each of them, (steps+1, n, 2)."""
    generator = torch.Generator().manual_seed(3)
    path = EmpiricalPath(linear_schedule, Spiral(turns=1.6, noise=0.02).sample(3000, generator))
    x0 = torch.randn(n, 2, generator=generator)
    t = torch.linspace(0, 1, steps + 1) ** 0.7  # shorter steps near the data
    return t, simulate(partial(heun_step, path.velocity), x0, t)


def moving() -> str:
    """The flow as a piece of HTML that `static/site.js` moves: 16 bits for each coordinate, in thousandths."""
    t, xs = flow(n=1000, steps=40)
    places = base64.b64encode((1000 * xs).round().short().numpy().astype("<i2").tobytes()).decode("ascii")
    times = " ".join(f"{value:.3f}" for value in t.tolist())
    return (
        f'<figure class="flow" data-times="{times}" data-places="{places}">'
        '<canvas width="880" height="880" role="img" aria-label="A round cloud of noise is carried along an exact '
        'flow, point by point, until it is a spiral."></canvas>'
        '<noscript><img src="figures/flow.png" alt="A cloud of noise is carried into a spiral."></noscript>'
        '<figcaption><output>t = 0.00</output><button type="button">Pause</button></figcaption></figure>'
    )


def draw() -> bytes:
    """The picture as PNG."""
    t, xs = flow()
    place = torch.tensor([4 * SHIFT, 0.0]) * t[:, None, None]

    fig, ax = plot.figure(width=900, height=270)
    for i in range(0, 90):
        line = (xs + place)[:, i]
        ax.plot(*line.T, color=plot.MODEL, lw=0.7, alpha=0.35, zorder=1)
    fades = [plot.NOISE, "#98834F", "#AB7F3B", "#BC7F27", plot.DATA]
    for when, color in zip((0.0, 0.25, 0.5, 0.75, 1.0), fades, strict=True):
        k = int((t - when).abs().argmin())
        plot.samples(ax, xs[k] + place[k], color, size=3)
        plot.label(ax, float(place[k, 0, 0]), -3.5, f"t = {when:g}", color, ha="center")
    ax.set(xlim=(-3.4, 4 * SHIFT + 3.4), ylim=(-3.9, 3.4), aspect="equal")
    ax.axis("off")
    return plot.png(fig)


if __name__ == "__main__":
    IMAGE.parent.mkdir(exist_ok=True)
    IMAGE.write_bytes(draw())
