"""Ornstein-Uhlenbeck paths: `simulate` against drawing the normals alone, a tutorial loop and torchsde."""

from collections.abc import Iterator
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from benchmarks.measure import Candidate, Case, Settings, Table, devices, measured
from course.problems import OrnsteinUhlenbeck
from course.solvers import euler_maruyama_step, simulate

try:
    from torchsde import sdeint
except ImportError:
    sdeint = None

SNAPSHOTS = 10


class Problem:
    """n paths that start at 1, and a grid of equal steps, some or all of which are kept."""

    def __init__(self, share: float, *, n: int, steps: int, snapshots: bool, device: str) -> None:
        self.law = OrnsteinUhlenbeck(theta=1.5, sigma=0.8)
        self.x = torch.ones(max(16, round(n * share)), 1, device=device)
        self.t = torch.linspace(0, 1, steps + 1, device=device)
        every = steps // SNAPSHOTS if snapshots else 1
        self.kept = list(range(every if snapshots else 0, steps + 1, every))
        self.keep: Literal["all"] | list[int] = self.kept if snapshots else "all"


@torch.inference_mode()
def normals_alone(p: Problem) -> None:
    """The lower bound: the noise of every step, drawn straight into memory that is as large as the result."""
    rows = p.x.new_empty(len(p.kept), *p.x.shape)
    for i in range(1, len(p.t)):
        rows[i % len(rows)].normal_()


def with_simulate(p: Problem) -> Tensor:
    return simulate(partial(euler_maruyama_step, p.law.drift, p.law.diffusion), p.x, p.t, keep=p.keep)


@torch.inference_mode()
def tutorial_loop(p: Problem) -> Tensor:
    """What most tutorials write: fresh noise, a clone of each state that is kept, a stack in the end."""
    x, kept = p.x.clone(), set(p.kept)
    xs = [x.clone()] if 0 in kept else []
    for i, (t, h) in enumerate(zip(p.t, p.t.diff(), strict=False), start=1):
        x = x + h * p.law.drift(x, t) + p.law.diffusion(t) * torch.sqrt(h) * torch.randn_like(x)
        if i in kept:
            xs.append(x.clone())
    return torch.stack(xs)


class _TorchSDE:
    """The same SDE as torchsde wants it."""

    noise_type, sde_type = "diagonal", "ito"

    def __init__(self, law: OrnsteinUhlenbeck) -> None:
        self.law = law

    def f(self, t: Tensor, x: Tensor) -> Tensor:
        return self.law.drift(x, t)

    def g(self, t: Tensor, x: Tensor) -> Tensor:
        return torch.full_like(x, self.law.sigma)


@torch.no_grad()
def with_torchsde(p: Problem) -> Tensor:
    skip = 0 if p.kept[0] == 0 else 1  # it always keeps the state at the first time
    times = p.t[[0] * skip + p.kept]
    return sdeint(_TorchSDE(p.law), p.x, times, method="euler", dt=1 / (len(p.t) - 1))[skip:]


@torch.inference_mode()
def exact_transitions(p: Problem) -> Tensor:
    """From one snapshot to the next by an exact draw: no steps in between, no error of a solver."""
    rows = p.x.new_empty(len(p.kept), *p.x.shape)
    x, before = p.x, 0.0
    for row, t in zip(rows, p.t[p.kept].tolist(), strict=True):
        x = row.copy_(p.law.sample(x, t - before))
        before = t
    return rows


def agree(p: Problem, result: Tensor | None) -> None:
    """Mean and variance at three kept times: six standard errors, and twice theta h for the steps' own error."""
    if result is None:
        return  # the normals alone solve nothing
    if result.shape != (len(p.kept), *p.x.shape):
        raise ValueError(f"its paths have the shape {tuple(result.shape)}")
    n, steps_error = len(p.x), 2 * p.law.theta / (len(p.t) - 1)
    for row in {len(p.kept) // 4, len(p.kept) // 2, len(p.kept) - 1}:
        t = p.t[p.kept[row]].item()
        mean, variance = p.law.mean(p.x, t)[0].item(), p.law.variance(t)
        x = result[row].double()
        off_mean, off_variance = abs(x.mean().item() - mean), abs(x.var().item() / variance - 1)
        if not off_mean < 6 * (variance / n) ** 0.5 + steps_error * mean:
            raise ValueError(f"at t = {t:g} its mean is off by {off_mean:.2g}")
        if not off_variance < 6 * (2 / n) ** 0.5 + steps_error:
            raise ValueError(f"at t = {t:g} its variance is off by {off_variance:.0%}")


def cases(settings: Settings) -> Iterator[Case]:
    n, steps = (2_000, 50) if settings.quick else (100_000, 1_000)
    share = 0.5 if settings.quick else 0.1
    for device in devices():
        for snapshots in False, True:
            candidates = [
                Candidate("normals alone", normals_alone),
                Candidate("simulate", with_simulate),
                Candidate("tutorial loop", tutorial_loop),
            ]
            notes = []
            if sdeint is None:
                notes = ["torchsde is not installed, so it is not in this table."]
            else:
                said = f"far slower, so timed on {n * share:,.0f} paths, times {1 / share:g}."
                candidates.append(Candidate("torchsde", with_torchsde, share, said))
            if snapshots:
                candidates.append(Candidate("exact transitions", exact_transitions))
            what = f"{SNAPSHOTS} snapshots kept" if snapshots else "all kept"
            yield Case(
                f"Ornstein-Uhlenbeck: {n:,} paths, {steps:,} Euler-Maruyama steps, {what}, {device}",
                partial(Problem, n=n, steps=steps, snapshots=snapshots, device=device),
                candidates,
                agree,
                device,
                notes,
            )


def tables(settings: Settings) -> Iterator[Table]:
    return (measured(case, settings) for case in cases(settings))
