"""One step from more noise to less: rules that know a prediction and two levels, nothing else.

A level is a value of alpha_bar, in (0, 1], 1 for data: now, that of x, and then, that of the result; float or 0-d.
x, z, eps, noise: (n, ...), eps the predicted noise and z the predicted data.  Results are like x.
"""

import math
from collections.abc import Callable

from torch import Tensor

from course.diffusion.conversions import predict_x0
from course.diffusion.posterior import posterior
from course.paths import Time

Model = Callable[[Tensor, int | Tensor], Tensor]  # model(x, k) -> predicted noise, like x;  k: int or (n,), 1 ... T


def ddpm_step(x: Tensor, eps: Tensor, now: Time, then: Time, noise: Tensor) -> Tensor:
    """A draw from the posterior of the predicted data: its mean + sqrt(its variance) noise, noise ~ N(0, I).

    Ho, Jain & Abbeel (2020), algorithm 2 with the smaller of the two variances there.
    Raises ValueError unless now < then.
    """
    mean, variance = posterior(x, predict_x0(x, eps, now), now, then)
    return mean + variance**0.5 * noise


def ddim_step(x: Tensor, eps: Tensor, now: Time, then: Time, eta: float = 0.0, noise: Tensor | None = None) -> Tensor:
    """sqrt(then) z + sqrt(1 - then - sigma^2) eps + sigma noise, sigma = eta sqrt(variance of the posterior).

    eta: 0 -> no noise, and then any two levels: then < now goes back from data to noise;  1 -> ddpm_step.
    Song, Meng & Ermon (2021), eq. 12 and 16.  Raises ValueError for eta > 0 without noise or with now >= then.
    """
    z = predict_x0(x, eps, now)
    if eta == 0:
        return then**0.5 * z + (1 - then) ** 0.5 * eps
    if noise is None:
        raise ValueError(f"eta is {eta} and noise None; wanted noise like x, for a step that adds some.")
    variance = eta**2 * posterior(x, z, now, then)[1]
    return then**0.5 * z + (1 - then - variance) ** 0.5 * eps + variance**0.5 * noise


def dpm_solver_pp_2m_step(
    x: Tensor, z: Tensor, z_before: Tensor | None, before: Time | None, now: Time, then: Time
) -> Tensor:
    """sqrt((1 - then) / (1 - now)) x + sqrt(then) (1 - e^-h) D, with lambda = log(a / (1 - a)) / 2 the half log-SNR.

    h = lambda(then) - lambda(now) and D = z + h / (2 h_b) (z - z_before), h_b = lambda(now) - lambda(before): the
    data's prediction, continued to the middle of the step in a straight line.  D = z, an exponential Euler step and
    that of DDIM, where there is none before (None) and where then = 1, for h is infinite there.
    Lu et al. (2022), DPM-Solver++, algorithm 2.  Raises ValueError unless now < then.
    """
    now, then = float(now), float(then)
    if not 0 < now < then <= 1:
        raise ValueError(f"now is {now} and then {then}; wanted levels of alpha_bar with 0 < now < then <= 1.")
    shrink = ((1 - then) / (1 - now)) ** 0.5
    decay = shrink * (now / then) ** 0.5  # e^-h
    D = z
    if z_before is not None and before is not None and then < 1:
        D = z + _half_log_snr(then, now) / (2 * _half_log_snr(now, float(before))) * (z - z_before)
    return shrink * x + then**0.5 * (1 - decay) * D


def _half_log_snr(a: float, b: float) -> float:
    """lambda(a) - lambda(b)."""
    return math.log(a / b * (1 - b) / (1 - a)) / 2
