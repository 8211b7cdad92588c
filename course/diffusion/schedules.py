"""Noise schedules of a chain of T steps, from step 0, data, to step T, noise, and the same as paths of course.paths.

betas: (T,), the variance that step k adds, at index k - 1.  alpha_bar: (T+1,), what is left of the data's variance at
step k, at index k, with alpha_bar[0] = 1.  Both are float64: differences such as 1 - alpha_bar need the digits.
Step k lies where a path has alpha = sqrt(alpha_bar_k) and beta = sqrt(1 - alpha_bar_k); the course's time falls as k
grows.
"""

import math

import torch
from torch import Tensor

from course.paths import Coefficients, Schedule, Time
from course.shapes import expand_time

LEAST_RATE, GREATEST_RATE, GREATEST_BETA = 0.1, 20.0, 0.999


def beta_schedule(kind: str, steps: int) -> Tensor:
    """The variances that T = steps steps add, (T,), float64, none above 0.999.

    "linear": from 0.1/T to 20/T in equal steps.  Ho, Jain & Abbeel (2020), section 4, there T = 1000.
    "cosine": alpha_bar_k is proportional to cos(pi/2 (k/T + 0.008) / 1.008)^2.  Nichol & Dhariwal (2021), eq. 17.
    "sigmoid": from 0.1/T to 20/T along the logistic function from -6 to 6.  Xu et al. (2022), GeoDiff.
    Raises ValueError for another kind and for fewer than 2 steps.
    """
    if not isinstance(steps, int) or steps < 2:
        raise ValueError(f"steps is {steps!r}; wanted an integer, at least 2.")
    if kind == "linear":
        betas = torch.linspace(LEAST_RATE, GREATEST_RATE, steps, dtype=torch.float64) / steps
    elif kind == "cosine":
        f = (math.pi / 2 * (torch.arange(steps + 1, dtype=torch.float64) / steps + 0.008) / 1.008).cos() ** 2
        betas = 1 - f[1:] / f[:-1]
    elif kind == "sigmoid":
        share = torch.linspace(-6, 6, steps, dtype=torch.float64).sigmoid()
        betas = (LEAST_RATE + (GREATEST_RATE - LEAST_RATE) * share) / steps
    else:
        raise ValueError(f'kind is {kind!r}; wanted "linear", "cosine" or "sigmoid".')
    return betas.clamp(max=GREATEST_BETA)


def alpha_bar(betas: Tensor) -> Tensor:
    """alpha_bar_k = (1 - beta_1) ... (1 - beta_k) with alpha_bar_0 = 1, (T+1,), like betas (T,).

    Ho, Jain & Abbeel (2020), eq. 4.  Raises ValueError for betas that do not lie between 0 and 1.
    """
    if betas.ndim != 1 or not ((betas > 0) & (betas < 1)).all():
        raise ValueError(f"betas has shape {tuple(betas.shape)}; wanted (T,), every number between 0 and 1.")
    return torch.cat([betas.new_ones(1), (1 - betas).cumprod(0)])


def snr(a: Time) -> Time:
    """The signal-to-noise ratio a / (1 - a) at the levels a of alpha_bar, like a; infinite where a tensor is 1."""
    return a / (1 - a)


def sub_sequence(T: int, count: int) -> Tensor:
    """count + 1 steps from T down to 0, as evenly as integers lie, (count+1,), int64.

    Song, Meng & Ermon (2021), section 4.2.  Raises ValueError for a count that is not from 1 to T.
    """
    if not 1 <= count <= T:
        raise ValueError(f"count is {count!r}; wanted from 1 to {T}, the steps there are.")
    return torch.linspace(T, 0, count + 1, dtype=torch.float64).round().long()


def at(values: Tensor, k: int | Tensor, x: Tensor) -> Tensor:
    """values[k] as they broadcast over the samples x (n, ...), in x's dtype and on its device.

    values: (m,), a row for each step.  k: int -> 0-d, or (n,), a step for each sample -> (n, 1, ..., 1).
    """
    k = k.to(values.device) if isinstance(k, Tensor) else k
    return torch.as_tensor(expand_time(values[k].to(x.dtype).to(x.device), x))


def vp_schedule(t: Time) -> Coefficients:
    """The linear schedule for infinitely many steps: log alpha = -(0.1 s + 9.95 s^2) / 2, s = 1 - t.

    alpha^2 + beta^2 = 1.  t: float or tensor.  Song et al. (2021), appendix C.
    """
    s = 1 - torch.as_tensor(t, dtype=None if isinstance(t, Tensor) else torch.float64)
    spread = GREATEST_RATE - LEAST_RATE
    return _variance_preserving(t, -(LEAST_RATE * s + spread * s**2 / 2) / 2, (LEAST_RATE + spread * s) / 2)


def chain_schedule(alpha_bar: Tensor) -> Schedule:
    """The path that passes step k of a chain at t = 1 - k/T: log alpha_bar runs straight from each step to the next.

    Within a step the forward SDE of this path has constant coefficients, and the chain is that SDE, seen at these
    times: not nearly but exactly.  alpha_bar: (T+1,), falling from 1; ValueError otherwise.
    """
    check_alpha_bar(alpha_bar)
    logs, T = alpha_bar.log(), len(alpha_bar) - 1

    def schedule(t: Time) -> Coefficients:
        k = T * (1 - torch.as_tensor(t).to(logs.device).to(logs.dtype))
        i = k.floor().clamp(0, T - 1).long()
        slope = logs[i + 1] - logs[i]
        return _variance_preserving(t, (logs[i] + (k - i) * slope) / 2, -T * slope / 2)

    return schedule


def check_alpha_bar(alpha_bar: Tensor) -> None:
    """Raise ValueError unless alpha_bar is (T+1,), T at least 1, and falls from 1 to a positive number."""
    if alpha_bar.ndim != 1 or len(alpha_bar) < 2:
        raise ValueError(f"alpha_bar has shape {tuple(alpha_bar.shape)}; wanted (T+1,), a number for steps 0 to T.")
    if alpha_bar[0] != 1 or not (alpha_bar.diff() < 0).all() or alpha_bar[-1] <= 0:
        raise ValueError(
            f"alpha_bar goes from {float(alpha_bar[0]):g} to {float(alpha_bar[-1]):g}; "
            "wanted numbers that fall at every step, from 1 to more than 0."
        )


def _variance_preserving(t: Time, log_alpha: Tensor, rate: Tensor) -> Coefficients:
    """alpha, beta = sqrt(1 - alpha^2) and their derivatives, like t, for rate = d log alpha / dt."""
    alpha, beta = log_alpha.exp(), (-torch.expm1(2 * log_alpha)).sqrt()
    d_alpha = rate * alpha
    values = (alpha, beta, d_alpha, -alpha * d_alpha / beta)
    if isinstance(t, Tensor):
        return Coefficients(*(value.to(t.dtype).to(t.device) for value in values))
    return Coefficients(*(float(value) for value in values))
