"""The exact marginal velocity of a finite data set: `EmpiricalPath` against two ways to write it down at once."""

import math
import os
from collections.abc import Callable, Iterator
from functools import cached_property, partial

import torch
from torch import Tensor

from benchmarks.measure import Candidate, Case, Settings, Table, devices, measured, near
from course.distributions import GaussianMixture
from course.paths import EmpiricalPath, linear_schedule


class Problem:
    """n points of p_t, and data points from eight modes on a ring; the velocity is asked for several times."""

    def __init__(self, share: float, *, n: int, count: int, t: float, repeats: int, device: str) -> None:
        torch.manual_seed(0)
        self.path = EmpiricalPath(linear_schedule, GaussianMixture.ring(8).sample(count).to(device))
        self.x = self.path.sample(max(16, round(n * share)), t)
        self.t, self.repeats = t, repeats

    @cached_property
    def expected(self) -> Tensor:
        """In double precision, in blocks."""
        z = self.path.data.double()
        return torch.cat([broadcast(x, z, self.t) for x in self.x.double().split(256)])


def broadcast(x: Tensor, z: Tensor, t: float) -> Tensor:
    """As the formula stands: every point against every data point, weighted conditional velocities."""
    alpha, beta, d_alpha, d_beta = linear_schedule(t)
    offset = x[:, None] - alpha * z  # (n, K, d)
    weights = (-offset.square().sum(-1) / (2 * beta**2)).softmax(1)
    velocities = d_alpha * z + d_beta / beta * offset
    return (weights[..., None] * velocities).sum(1)


def one_product(x: Tensor, z: Tensor, t: float) -> Tensor:
    """The squares written out: one matrix product, one softmax, one more product, for all points at once."""
    alpha, beta, d_alpha, d_beta = linear_schedule(t)
    logits = (alpha * x @ z.T - alpha**2 / 2 * z.square().sum(1)) / beta**2
    mean = logits.softmax(1) @ z
    return d_alpha * mean + d_beta / beta * (x - alpha * mean)


@torch.inference_mode()
def plainly(p: Problem, velocity: Callable[[Tensor, Tensor, float], Tensor], blocks: int = 1) -> Tensor:
    for _ in range(p.repeats):
        parts = p.x.chunk(blocks)
        u = (
            velocity(p.x, p.path.data, p.t)
            if blocks == 1
            else torch.cat([velocity(x, p.path.data, p.t) for x in parts])
        )
    return u


@torch.inference_mode()
def with_path(p: Problem) -> Tensor:
    for _ in range(p.repeats):
        u = p.path.velocity(p.x, p.t)
    return u


def agree(p: Problem, result: Tensor) -> None:
    """The velocity in double precision, up to a thousandth of how fast points are."""
    speed = p.expected.square().mean().sqrt()
    near(result, p.expected, 1e-3 * speed, "its velocities are not the exact ones")


def blocks_that_fit(n: int, count: int, device: str) -> int:
    """In how many blocks a broadcast stays within half of the memory: four arrays (n, K, 2) of four bytes."""
    if device == "cuda":
        memory = torch.cuda.get_device_properties(0).total_memory
    else:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return math.ceil(4 * n * count * 2 * 4 / (memory / 2))


def cases(settings: Settings) -> Iterator[Case]:
    n = 1_000 if settings.quick else 10_000
    # data points, time, repeats
    sizes = [(5, 0.5, 100), (100, 0.5, 20), (1_000, 0.5, 5), (1_000, 0.95, 5), (10_000, 0.5, 1)]
    for device in devices():
        for count, t, repeats in [(5, 0.5, 2), (100, 0.5, 2)] if settings.quick else sizes:
            blocks = blocks_that_fit(n, count, device)
            notes = [f"The broadcast of all points would not fit into memory: {blocks} blocks."] if blocks > 1 else []
            yield Case(
                f"Exact velocity: {n:,} points, {count:,} data points, t = {t:g}, {repeats} times, {device}",
                partial(Problem, n=n, count=count, t=t, repeats=repeats, device=device),
                [
                    Candidate("plain broadcast", partial(plainly, velocity=broadcast, blocks=blocks)),
                    Candidate("one product, softmax", partial(plainly, velocity=one_product)),
                    Candidate("EmpiricalPath.velocity", with_path),
                ],
                agree,
                device,
                notes,
            )


def tables(settings: Settings) -> Iterator[Table]:
    return (measured(case, settings) for case in cases(settings))
