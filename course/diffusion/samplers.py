"""From noise to data along the steps of a chain: the rules of course.diffusion.steps in the loop of course.solvers.

model(x, k) -> predicted noise.  alpha_bar: (T+1,).  x: (n, ...), the states at the first step.
keep: "last" -> the states at the last step, (n, ...); "all" -> at every step, (steps, n, ...), without gradient.
"""

from collections.abc import Callable, Sequence
from itertools import cycle, pairwise
from typing import Literal

import torch
from torch import Tensor

from course.diffusion.conversions import predict_x0
from course.diffusion.schedules import check_alpha_bar
from course.diffusion.steps import Model, ddim_step, ddpm_step, dpm_solver_pp_2m_step
from course.solvers import simulate

Steps = Tensor | Sequence[int]
Keep = Literal["last", "all"]


def sample_ddpm(
    model: Model, alpha_bar: Tensor, x: Tensor, generator: torch.Generator | None = None, keep: Keep = "last"
) -> Tensor:
    """The states at step 0 from x ~ N(0, I) at step T by T DDPM steps.  Ho, Jain & Abbeel (2020), algorithm 2."""
    levels = _levels(alpha_bar)

    def rule(x: Tensor, k: int, j: int, noise: Tensor) -> Tensor:
        return ddpm_step(x, model(x, k), levels[k], levels[j], noise)

    return _walk(rule, True, x, range(len(levels) - 1, -1, -1), len(levels), generator, keep)


def sample_ddim(
    model: Model,
    alpha_bar: Tensor,
    x: Tensor,
    steps: Steps,
    eta: float = 0.0,
    generator: torch.Generator | None = None,
    keep: Keep = "last",
) -> Tensor:
    """The states at steps[-1] from x at steps[0] by DDIM.

    steps: integers that fall, such as sub_sequence(T, count); with eta = 0 they may rise instead, which finds the
    noise that a sample comes from.  eta: 0 -> deterministic, 1 -> DDPM on these steps.  Song, Meng & Ermon (2021).
    Raises ValueError for steps that are not in one direction or not from 0 to T.
    """
    levels = _levels(alpha_bar)

    def rule(x: Tensor, k: int, j: int, noise: Tensor | None = None) -> Tensor:
        return ddim_step(x, model(x, k), levels[k], levels[j], eta, noise)

    return _walk(rule, eta != 0, x, steps, len(levels), generator, keep)


def sample_dpm_solver_pp(model: Model, alpha_bar: Tensor, x: Tensor, steps: Steps, keep: Keep = "last") -> Tensor:
    """The states at steps[-1] from x at steps[0] by DPM-Solver++(2M); steps fall.  Lu et al. (2022), algorithm 2."""
    levels, first = _levels(alpha_bar), int(steps[0])
    before: tuple[Tensor | None, float | None] = (None, None)

    def rule(x: Tensor, k: int, j: int) -> Tensor:
        nonlocal before
        z_before, level_before = (None, None) if k == first else before
        z = predict_x0(x, model(x, k), levels[k])
        before = z, levels[k]
        return dpm_solver_pp_2m_step(x, z, z_before, level_before, levels[k], levels[j])

    return _walk(rule, False, x, steps, len(levels), None, keep)


def slerp(x: Tensor, y: Tensor, share: float) -> Tensor:
    """The point that is `share` of the way from x to y, like them (n, ...), on the arc between them.

    Between two draws of N(0, I) in many dimensions, which lie on a sphere, it stays on the sphere; the straight line
    does not.  share: 0 -> x, 1 -> y.  Shoemake (1985).
    """
    u, v = x.flatten(1), y.flatten(1)
    angle = torch.arccos(torch.cosine_similarity(u, v, dim=1).clamp(-1, 1))[:, None]

    def weight(s: float) -> Tensor:
        # sin(s w) / sin(w), which is s where the angle w is 0: sinc(x) = sin(pi x) / (pi x)
        return s * torch.sinc(s * angle / torch.pi) / torch.sinc(angle / torch.pi)

    return (weight(1 - share) * u + weight(share) * v).reshape(x.shape)


def _levels(alpha_bar: Tensor) -> list[float]:
    check_alpha_bar(alpha_bar)
    return alpha_bar.tolist()


def _walk(
    rule: Callable[..., Tensor],
    noisy: bool,
    x: Tensor,
    steps: Steps,
    count: int,
    generator: torch.Generator | None,
    keep: Keep,
) -> Tensor:
    """Run rule(x, k, j) or, if noisy, rule(x, k, j, noise), from each step k to the next, j."""
    steps = [int(k) for k in steps]
    signs = {(j > k) - (j < k) for k, j in pairwise(steps)}
    if len(steps) < 2 or len(signs) > 1 or 0 in signs or not all(0 <= k < count for k in steps):
        raise ValueError(f"steps is {steps}; wanted at least two integers from {count - 1} to 0, falling.")
    pairs = cycle(pairwise(steps))  # simulate may walk several times, with a chunk of the samples each
    positions = torch.arange(len(steps), dtype=torch.float32)
    if noisy:
        return simulate(
            lambda x, t, h, noise: rule(x, *next(pairs), noise), x, positions, keep=keep, generator=generator
        )
    return simulate(lambda x, t, h: rule(x, *next(pairs)), x, positions, keep=keep)
