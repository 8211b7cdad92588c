"""How far apart two samples are, and how far apart two samples of one law are: the floor."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

# Numbers in a block of distances or projections.
BLOCK_NUMBERS = 2**18


def energy_distance(x: Tensor, y: Tensor) -> float:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'| of the samples x (n, ...) and y (m, ...), in the units of x.

    The V-statistic: all pairs count, a point with itself too.  So it is never negative, and 0 only between equal
    samples; between two samples of one law it is (1/n + 1/m) E|X - X'| on average: see floor.  Szekely & Rizzo (2013).
    Bounded memory; time grows as (n + m)^2.  Raises ValueError for points of different shapes.
    """
    x, y = _flat(x, y)
    return 2 * _mean_distance(x, y) - _mean_distance(x, x) - _mean_distance(y, y)


def sliced_wasserstein(x: Tensor, y: Tensor, directions: int = 128, generator: torch.Generator | None = None) -> float:
    """The distance of the samples x (n, ...) and y (m, ...) along random directions, in the units of x.

    The root of the mean, over the directions, of the squared 2-Wasserstein distance of the projections, which is
    exact: a shift by v is |v| / sqrt(d) from where it was.  Bonneel, Rabin, Peyre & Pfister (2015).
    Raises ValueError for points of different shapes and for directions below 1.
    """
    if not isinstance(directions, int) or directions < 1:
        raise ValueError(f"directions is {directions!r}; wanted a positive integer.")
    x, y = _flat(x, y)
    n, m, d = len(x), len(y), x.shape[1]
    # Both quantile functions are constant between the levels i/n and j/m; in units of 1/(nm) these are integers.
    levels = torch.cat([m * torch.arange(1, n + 1), n * torch.arange(1, m + 1)]).sort().values.to(x.device)
    width = levels.diff(prepend=levels.new_zeros(1)).to(x) / (n * m)
    total = 0.0
    for count in [block.numel() for block in torch.empty(directions).split(max(1, BLOCK_NUMBERS // (n + m)))]:
        theta = torch.randn(d, count, generator=generator, dtype=x.dtype, device=x.device)
        theta /= theta.norm(dim=0)
        xs, ys = (x @ theta).sort(dim=0).values, (y @ theta).sort(dim=0).values
        if n == m:
            total += float((xs - ys).square().mean(0).sum())
        else:
            total += float((width[:, None] * (xs[(levels - 1) // m] - ys[(levels - 1) // n]).square()).sum())
    return (total / directions) ** 0.5


class Floor(NamedTuple):
    """Mean and standard deviation of a metric between independent samples of one law."""

    mean: float
    std: float


def floor(
    metric: Callable[[Tensor, Tensor], float],
    sample: Callable[[int, torch.Generator | None], Tensor],
    n: int,
    repeats: int = 10,
    generator: torch.Generator | None = None,
) -> Floor:
    """The metric of data against data: what a perfect model gets, (mean, std) over `repeats` pairs of fresh samples.

    metric(x, y) -> float.  sample(n, generator) -> (n, ...), such as a distribution's method.  The n of each sample
    is to be that of the comparison. Raises ValueError for fewer than 2 repeats.
    """
    if repeats < 2:
        raise ValueError(f"repeats is {repeats}; wanted at least 2, for a standard deviation.")
    values = torch.tensor([metric(sample(n, generator), sample(n, generator)) for _ in range(repeats)])
    return Floor(float(values.mean()), float(values.std()))


def _mean_distance(x: Tensor, y: Tensor) -> float:
    mode = "donot_use_mm_for_euclid_dist" if x.shape[1] <= 16 else "use_mm_for_euclid_dist"
    rows = max(1, BLOCK_NUMBERS // len(y))
    return sum(float(torch.cdist(b, y, compute_mode=mode).sum()) for b in x.split(rows)) / (len(x) * len(y))


def _flat(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    if x.ndim < 2 or x.shape[1:] != y.shape[1:] or 0 in (x.numel(), y.numel()):
        raise ValueError(f"x has shape {tuple(x.shape)} and y {tuple(y.shape)}; wanted (n, ...) and (m, ...), alike.")
    return x.detach().flatten(1), y.detach().flatten(1)
