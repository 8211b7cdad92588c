"""Sampling an ODE through a small network: `simulate` against a plain loop and torchdiffeq."""

from collections.abc import Callable, Iterator
from functools import cached_property, partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.measure import Candidate, Case, Settings, Table, devices, measured, near
from course.solvers import euler_step, rk4_step, simulate

try:
    from torchdiffeq import odeint
except ImportError:
    odeint = None

RULES: dict[str, Callable[..., Tensor]] = {"euler": euler_step, "rk4": rk4_step}


class Velocity(nn.Module):
    """A network u(x, t), 2-64-64-2. The time enters as a bias of the first layer, so no candidate copies x for it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(2, 64), nn.Linear(64, 64), nn.Linear(64, 2)
        self.time = nn.Parameter(torch.randn(64))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        hidden = F.silu(F.linear(x, self.first.weight, self.first.bias + t * self.time))
        return self.last(F.silu(self.second(hidden)))


class Problem:
    """n points of the plane, a field and a grid of equal steps."""

    def __init__(self, share: float, *, n: int, steps: int, method: str, device: str) -> None:
        torch.manual_seed(0)
        self.method = method
        self.field = Velocity().to(device)
        self.step = partial(RULES[method], self.field)
        self.x = torch.randn(max(16, round(n * share)), 2).to(device)
        self.t = torch.linspace(0, 1, steps + 1).to(device)

    @cached_property
    def trajectory(self) -> Tensor:
        return plain_loop_all(self)


@torch.inference_mode()
def plain_loop(p: Problem) -> Tensor:
    x = p.x
    for t, h in zip(p.t, p.t.diff().tolist(), strict=False):
        x = p.step(x, t, h)
    return x


@torch.inference_mode()
def plain_loop_all(p: Problem) -> Tensor:
    xs = [p.x]
    for t, h in zip(p.t, p.t.diff().tolist(), strict=False):
        xs.append(p.step(xs[-1], t, h))
    return torch.stack(xs)


def with_simulate(p: Problem, keep: Literal["all", "last"]) -> Tensor:
    return simulate(p.step, p.x, p.t, keep=keep)


@torch.inference_mode()
def with_torchdiffeq(p: Problem, keep: Literal["all", "last"]) -> Tensor:
    def field(t: Tensor, x: Tensor) -> Tensor:
        return p.field(x, t)

    if keep == "all":
        return odeint(field, p.x, p.t, method=p.method)
    ends, step = p.t[[0, -1]], 1 / (len(p.t) - 1)
    return odeint(field, p.x, ends, method=p.method, options={"step_size": step})[-1]


def agree(p: Problem, result: Tensor) -> None:
    """The same points as the plain loop's, up to a ten-thousandth of how far points travel."""
    expected = p.trajectory if result.ndim == 3 else p.trajectory[-1]
    travelled = (p.trajectory[-1] - p.trajectory[0]).square().mean().sqrt()
    near(result, expected, 1e-4 * travelled, "its samples are not those of the plain loop")


def cases(settings: Settings) -> Iterator[Case]:
    steps = 10 if settings.quick else 100
    candidates = [
        Candidate("plain loop, last kept", plain_loop),
        Candidate("simulate, last kept", partial(with_simulate, keep="last")),
        Candidate("plain loop, all kept", plain_loop_all),
        Candidate("simulate, all kept", partial(with_simulate, keep="all")),
    ]
    notes = []
    if odeint is None:
        notes = ["torchdiffeq is not installed, so it is not in this table."]
    else:
        candidates.insert(2, Candidate("torchdiffeq, last kept", partial(with_torchdiffeq, keep="last")))
        candidates.append(Candidate("torchdiffeq, all kept", partial(with_torchdiffeq, keep="all")))
    for device in devices():
        for n in [3_000] if settings.quick else [10_000, 100_000]:
            for method, label in {"euler": "Euler", "rk4": "RK4"}.items():
                yield Case(
                    f"ODE through a network: {n:,} points, {steps} {label} steps, {device}",
                    partial(Problem, n=n, steps=steps, method=method, device=device),
                    candidates,
                    agree,
                    device,
                    notes,
                )


def tables(settings: Settings) -> Iterator[Table]:
    return (measured(case, settings) for case in cases(settings))
