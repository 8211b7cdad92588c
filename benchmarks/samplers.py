"""Samples from a course network: `sample_flow` against a plain loop, torchdiffeq and flow_matching's ODESolver."""

from collections.abc import Callable, Iterator
from functools import cached_property, partial
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.measure import Candidate, Case, Settings, Table, devices, measured, near
from course.networks import MLP
from course.sampling import sample_flow
from course.solvers import euler_step, heun_step, midpoint_step, rk4_step

try:
    from torchdiffeq import odeint
except ImportError:
    odeint = None
try:
    from flow_matching.solver import ODESolver
except ImportError:
    ODESolver = None


class Method(NamedTuple):
    """Our step rule, and what torchdiffeq calls its own."""

    rule: Callable[..., Tensor]
    theirs: str


METHODS = {
    "Euler": Method(euler_step, "euler"),
    "midpoint": Method(midpoint_step, "midpoint"),
    "Heun": Method(heun_step, "heun2"),
    "RK4": Method(rk4_step, "rk4"),
}


class Problem:
    """n points of noise, a network and a grid of equal steps."""

    def __init__(self, share: float, *, model: MLP, n: int, steps: int, method: str, device: str) -> None:
        torch.manual_seed(0)
        self.method, self.model = METHODS[method], model.to(device)
        self.x = torch.randn(max(16, round(n * share)), 2).to(device)
        self.t = torch.linspace(0, 1, steps + 1).to(device)
        # The same grid for solvers that would keep what they return at every time of t: its ends and a step.
        self.ends, self.h = self.t[[0, -1]], 1 / steps

    @cached_property
    def expected(self) -> Tensor:
        return plain_loop(self)


@torch.inference_mode()
def plain_loop(p: Problem) -> Tensor:
    x = p.x
    for t, h in zip(p.t, p.t.diff().tolist(), strict=False):
        x = p.method.rule(p.model, x, t, h)
    return x


def with_sample_flow(p: Problem) -> Tensor:
    return sample_flow(p.model, p.x, p.t, p.method.rule)


@torch.inference_mode()
def with_torchdiffeq(p: Problem) -> Tensor:
    def field(t: Tensor, x: Tensor) -> Tensor:
        return p.model(x, t)

    return odeint(field, p.x, p.ends, method=p.method.theirs, options={"step_size": p.h})[-1]


@torch.inference_mode()
def with_flow_matching(p: Problem) -> Tensor:
    return ODESolver(p.model).sample(p.x, p.h, p.method.theirs, time_grid=p.ends)


def agree(p: Problem, result: Tensor) -> None:
    """The same points as the plain loop's, up to a ten-thousandth of how far points travel."""
    travelled = (p.expected - p.x).square().mean().sqrt()
    near(result, p.expected, 1e-4 * travelled, "its samples are not those of the plain loop")


def cases(settings: Settings) -> Iterator[Case]:
    model = MLP(2, generator=torch.Generator().manual_seed(0))
    candidates, notes = [Candidate("plain loop", plain_loop)], []
    for name, peer, run in [
        ("torchdiffeq", odeint, with_torchdiffeq),
        ("flow_matching's ODESolver", ODESolver, with_flow_matching),
    ]:
        if peer is None:
            notes.append(f"{name} is not installed, so it is not in this table.")
        else:
            candidates.append(Candidate(name, run))
    candidates.append(Candidate("sample_flow", with_sample_flow))
    for device in devices():
        for n in [1_000] if settings.quick else [10_000, 100_000]:
            for method in METHODS:
                yield Case(
                    f"Samples from a network: {n:,} points, 20 {method} steps, {device}",
                    partial(Problem, model=model, n=n, steps=20, method=method, device=device),
                    candidates,
                    agree,
                    device,
                    notes,
                )


def tables(settings: Settings) -> Iterator[Table]:
    return (measured(case, settings) for case in cases(settings))
