"""Samples and likelihoods from a field, by the solvers of course.solvers."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from course.paths import Field, Time, extend_to_sde, velocity_and_divergence
from course.solvers import euler_maruyama_step, rk4_step, simulate

Rule = Callable[..., Tensor]


def sample_flow(u: Field, x0: Tensor, t: Tensor, step: Rule = rk4_step) -> Tensor:
    """The states at t[-1] of dx/dt = u(x, t) from x0 at t[0], like x0 (n, ...), without gradient.

    t: (m+1,), increasing.  step: a rule step(u, x, t, h) of course.solvers.  All states along the way:
    simulate(partial(step, u), x0, t).  Raises ValueError as simulate does.
    """
    return simulate(partial(step, u), x0, t, keep="last")


def sample_sde(
    u: Field,
    score: Field,
    sigma: Callable[[Time], Time],
    x0: Tensor,
    t: Tensor,
    noise: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The states at t[-1] of dX = (u + sigma(t)^2 / 2 score) dt + sigma(t) dW from x0 at t[0], like x0 (n, ...).

    By Euler-Maruyama, without gradient.  The last step leaves noise of size sigma sqrt(h) in the samples: let it be
    short or sigma small there.
    t: (m+1,), increasing.  noise: (m, n, ...), standard normals for the m steps; None -> drawn from generator.
    Raises ValueError for noise of another shape, and as simulate does.
    """
    step = partial(euler_maruyama_step, extend_to_sde(u, score, sigma), sigma)
    if noise is None:
        return simulate(step, x0, t, keep="last", generator=generator)
    if noise.shape != (len(t) - 1, *x0.shape):
        raise ValueError(
            f"noise has shape {tuple(noise.shape)}; wanted {(len(t) - 1, *x0.shape)}, a row for each step."
        )
    rows = iter(noise)
    return simulate(lambda x, t, h: step(x, t, h, next(rows)), x0, t, keep="last", chunk=max(1, len(x0)))


def log_likelihood(
    u: Field,
    x: Tensor,
    t: Tensor,
    log_base: Callable[[Tensor], Tensor],
    step: Rule = rk4_step,
    probe: Tensor | None = None,
) -> Tensor:
    """log p(x) at time t[-1] when dx/dt = u(x, t) carries the density exp(log_base) from time t[0], (n,).

    log p(x) = log_base(x_0) - the integral of div u along the trajectory from x_0 to x, which is run backwards.
    x: (n, ...).  t: (m+1,), increasing.  log_base: (n, ...) -> (n,).  probe: None -> exact divergence, else as for
    course.paths.divergence, the same at all times.  Chen et al. (2018), theorem 1; Grathwohl et al. (2019).
    """
    shape, n = x.shape[1:], len(x)

    def backwards(state: Tensor, s: Time) -> Tensor:
        y = state[:, :-1].unflatten(1, shape)
        velocity, divergence = velocity_and_divergence(u, y, -s, probe)
        return torch.cat([-velocity.flatten(1), divergence[:, None]], dim=1)

    start = torch.cat([x.flatten(1), x.new_zeros(n, 1)], dim=1)
    chunk = None if probe is None else max(1, n)
    end = simulate(partial(step, backwards), start, -t.flip(0), keep="last", chunk=chunk)
    return log_base(end[:, :-1].unflatten(1, shape)) - end[:, -1]
