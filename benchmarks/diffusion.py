"""Samples along a chain of 1,000 steps: the course's samplers against diffusers' schedulers, around one network."""

from collections.abc import Iterator
from functools import cached_property, partial
from importlib.util import find_spec
from itertools import pairwise

import torch
from torch import Tensor

from benchmarks.measure import Candidate, Case, Settings, Table, devices, measured, near
from course.diffusion import (
    alpha_bar,
    beta_schedule,
    ddim_step,
    dpm_solver_pp_2m_step,
    predict_x0,
    sample_ddim,
    sample_dpm_solver_pp,
    sub_sequence,
)
from course.networks import MLP

HAS_DIFFUSERS = find_spec("diffusers") is not None
T = 1000
SAMPLERS = {"DDIM": sample_ddim, "DPM-Solver++(2M)": sample_dpm_solver_pp}


class Problem:
    """n points of noise, a network that predicts noise, and the steps of a sub-sequence."""

    def __init__(self, share: float, *, net: MLP, n: int, steps: int, sampler: str, device: str) -> None:
        torch.manual_seed(0)
        self.sampler, self.net = sampler, net.to(device)
        self.x = torch.randn(max(16, round(n * share)), 2).to(device)
        self.left, self.steps = alpha_bar(beta_schedule("linear", T)), sub_sequence(T, steps)

    def model(self, x: Tensor, k: int) -> Tensor:
        return self.net(x, 1 - k / T)

    @cached_property
    def expected(self) -> Tensor:
        return plain_loop(self)


@torch.inference_mode()
def plain_loop(p: Problem) -> Tensor:
    x, levels, steps, z_before, before = p.x, p.left.tolist(), p.steps.tolist(), None, None
    for k, j in pairwise(steps):
        eps = p.model(x, k)
        if p.sampler == "DDIM":
            x = ddim_step(x, eps, levels[k], levels[j])
        else:
            z = predict_x0(x, eps, levels[k])
            x = dpm_solver_pp_2m_step(x, z, z_before, before, levels[k], levels[j])
            z_before, before = z, levels[k]
    return x


def with_the_course(p: Problem) -> Tensor:
    return SAMPLERS[p.sampler](p.model, p.left, p.x, p.steps)


@torch.inference_mode()
def with_diffusers(p: Problem) -> Tensor:
    from diffusers import DDIMScheduler, DPMSolverMultistepScheduler  # takes seconds to import

    options = {"beta_schedule": "linear", "timestep_spacing": "trailing"}
    if p.sampler == "DDIM":
        scheduler = DDIMScheduler(T, clip_sample=False, **options)
    else:
        scheduler = DPMSolverMultistepScheduler(T, **options)
    scheduler.set_timesteps(len(p.steps) - 1)
    x = p.x
    for timestep in scheduler.timesteps:
        x = scheduler.step(p.model(x, int(timestep) + 1), timestep, x).prev_sample
    return x


def agree(p: Problem, result: Tensor) -> None:
    """The same points as the plain loop's, up to a thousandth of how far points travel: their table is float32."""
    travelled = (p.expected - p.x).square().mean().sqrt()
    near(result, p.expected, 1e-3 * travelled, "its samples are not those of the plain loop")


def cases(settings: Settings) -> Iterator[Case]:
    net = MLP(2, generator=torch.Generator().manual_seed(0))
    candidates, notes = [Candidate("plain loop", plain_loop)], []
    if HAS_DIFFUSERS:
        candidates.append(Candidate("diffusers' scheduler", with_diffusers))
    else:
        notes.append("diffusers is not installed, so its schedulers are not in this table.")
    candidates.append(Candidate("course.diffusion", with_the_course))
    for device in devices():
        for n in [1_000] if settings.quick else [1_000, 100_000]:
            for sampler in SAMPLERS:
                yield Case(
                    f"Samples along a chain: {n:,} points, 50 steps of {sampler}, {device}",
                    partial(Problem, net=net, n=n, steps=50, sampler=sampler, device=device),
                    candidates,
                    agree,
                    device,
                    notes,
                )


def tables(settings: Settings) -> Iterator[Table]:
    return (measured(case, settings) for case in cases(settings))
