"""The chain that turns data into noise: where it is after k steps, and where it was before.

A level is a value of alpha_bar, in (0, 1], 1 for data.  Levels a, now, then: float, 0-d or (n,).
"""

import torch
from torch import Tensor

from course.diffusion.schedules import check_alpha_bar
from course.paths import Time
from course.shapes import expand_time


def q_step(x: Tensor, beta: Time, noise: Tensor) -> Tensor:
    """One step of the chain, sqrt(1 - beta) x + sqrt(beta) noise, like x (n, ...).  beta: float, 0-d or (n,).

    Ho, Jain & Abbeel (2020), eq. 2.
    """
    beta = expand_time(beta, x)
    return (1 - beta) ** 0.5 * x + beta**0.5 * noise


def q_sample(z: Tensor, a: Time, noise: Tensor) -> Tensor:
    """The chain at level a, all its steps at once: sqrt(a) z + sqrt(1 - a) noise, like z (n, ...).

    Ho, Jain & Abbeel (2020), eq. 4.  Raises ValueError for noise of another shape.
    """
    if noise.shape != z.shape:
        raise ValueError(f"noise has shape {tuple(noise.shape)} and z {tuple(z.shape)}; wanted the same.")
    a = expand_time(a, z)
    return a**0.5 * z + (1 - a) ** 0.5 * noise


def posterior(x: Tensor, z: Tensor, now: Time, then: Time) -> tuple[Tensor, Time]:
    """Mean, like x (n, ...), and variance of the chain at level `then`, given x at level `now` and the data z.

    mean = sqrt(then) (1 - now/then) / (1 - now) z + sqrt(now/then) (1 - then) / (1 - now) x
    variance = (1 - then) / (1 - now) (1 - now/then), a number for numbers, else as it broadcasts over x.
    For neighbouring steps now/then = 1 - beta_k: Ho, Jain & Abbeel (2020), eq. 6 and 7.
    Raises ValueError unless 0 < now < then <= 1: the chain was at `then` before it was at `now`.
    """
    now, then = expand_time(now, x), expand_time(then, x)
    if not torch.as_tensor((now > 0) & (now < then) & (then <= 1)).all():
        raise ValueError(f"now is {now} and then {then}; wanted levels of alpha_bar with 0 < now < then <= 1.")
    kept = now / then
    mean = then**0.5 * (1 - kept) / (1 - now) * z + kept**0.5 * (1 - then) / (1 - now) * x
    return mean, (1 - then) / (1 - now) * (1 - kept)


def posterior_variances(alpha_bar: Tensor) -> Tensor:
    """The posterior's variance at every step, (T,), index k - 1 for the step from k to k - 1; the first is 0.

    alpha_bar: (T+1,).  Raises ValueError for one that does not fall from 1.
    """
    check_alpha_bar(alpha_bar)
    now, then = alpha_bar[1:], alpha_bar[:-1]
    return (1 - then) / (1 - now) * (1 - now / then)


def gaussian_kl(mean1: Tensor, var1: Time, mean2: Tensor, var2: Time) -> Tensor:
    """KL(N(mean1, var1) || N(mean2, var2)) in nats, (n,): coordinates are independent, and summed.

    (var1/var2 + (mean1 - mean2)^2 / var2 - 1 + log(var2/var1)) / 2.  means: (n, ...);  variances > 0: numbers, or
    tensors that broadcast over the means.  Kullback & Leibler (1951).  Raises ValueError for means of other shapes.
    """
    if mean1.shape != mean2.shape:
        raise ValueError(f"The means have shapes {tuple(mean1.shape)} and {tuple(mean2.shape)}; wanted the same.")
    v1, v2 = (torch.as_tensor(var, dtype=mean1.dtype, device=mean1.device) for var in (var1, var2))
    kl = (v1 / v2 + (mean1 - mean2) ** 2 / v2 - 1 + (v2 / v1).log()) / 2
    return kl.flatten(1).sum(1)
