"""How far apart two samples are, how far two samples of one law are (the floor), and what is asked of images."""

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


def agreement(log_probs: Tensor, y: Tensor) -> float:
    """The share of the samples to which a classifier gives the label they were asked to have, from 0 to 1.

    log_probs: (n, classes), or anything that grows with them.  y: (n,), integers.  Raises ValueError for other shapes.
    """
    if log_probs.ndim != 2 or y.shape != log_probs.shape[:1] or len(y) == 0:
        raise ValueError(
            f"log_probs has shape {tuple(log_probs.shape)} and y {tuple(y.shape)}; wanted (n, classes) and (n,)."
        )
    return float((log_probs.argmax(1) == y).double().mean())


def frechet_distance(x: Tensor, y: Tensor) -> float:
    """|m - m'|^2 + tr(C + C' - 2 (C C')^(1/2)), with the means m, m' and covariances C, C' of x (n, d) and y (k, d).

    The squared 2-Wasserstein distance of two Gaussians with these moments, in squared units of x.  Of images one
    compares the features of a classifier: Dowson & Landau (1982); Heusel et al. (2017).  It is too large for few
    samples, by about d^2 / n: compare at equal n, and with the floor.  Computed in float64.
    Raises ValueError for fewer than two samples and for samples of different dimensions.
    """
    x, y = (side.cpu().double() for side in _flat(x, y))  # mps has no float64
    if min(len(x), len(y)) < 2:
        raise ValueError(f"There are {len(x)} and {len(y)} samples; wanted at least two of each, for a covariance.")
    C, D = x.mT.cov().reshape(x.shape[1], -1), y.mT.cov().reshape(y.shape[1], -1)
    # (C D)^(1/2) has the trace of (R D R)^(1/2) with R = C^(1/2), which is symmetric: no eigenvalue is negative.
    values, vectors = torch.linalg.eigh(C)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.mT
    cross = torch.linalg.eigvalsh(root @ D @ root).clamp(min=0).sqrt().sum()
    return max(0.0, float((x.mean(0) - y.mean(0)).square().sum() + C.trace() + D.trace() - 2 * cross))


def diversity(x: Tensor, y: Tensor) -> float:
    """The mean distance between two different samples of one label, averaged over the labels, in units of x.

    x: (n, ...), features or images;  y: (n,), labels, each of which occurs at least twice; ValueError otherwise.
    """
    if y.shape != x.shape[:1]:
        raise ValueError(f"y has shape {tuple(y.shape)}; wanted one label for each of {len(x)} samples.")
    spreads = []
    for label in y.unique():
        alike = x[y == label].detach().flatten(1)
        n = len(alike)
        if n < 2:
            raise ValueError(f"The label {int(label)} occurs once; wanted at least two samples of each.")
        spreads.append(_mean_distance(alike, alike) * n / (n - 1))  # not a sample with itself
    return sum(spreads) / len(spreads)


def _mean_distance(x: Tensor, y: Tensor) -> float:
    mode = "donot_use_mm_for_euclid_dist" if x.shape[1] <= 16 else "use_mm_for_euclid_dist"
    rows = max(1, BLOCK_NUMBERS // len(y))
    return sum(float(torch.cdist(b, y, compute_mode=mode).sum()) for b in x.split(rows)) / (len(x) * len(y))


def _flat(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    if x.ndim < 2 or x.shape[1:] != y.shape[1:] or 0 in (x.numel(), y.numel()):
        raise ValueError(f"x has shape {tuple(x.shape)} and y {tuple(y.shape)}; wanted (n, ...) and (m, ...), alike.")
    return x.detach().flatten(1), y.detach().flatten(1)
