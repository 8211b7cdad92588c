"""The evidence lower bound of a diffusion model, term by term, and the weights in it.

The model's reverse step goes to N(posterior mean of the predicted data, sigma_k^2).  sigma_k^2 = beta_k is right where
the data are broad and lets the bound become tight with many steps; the posterior's own variance is right for a single
data point, and leaves a gap of about 0.29 nats a dimension however many the steps.
"""

import math

import torch
from torch import Tensor

from course.diffusion.conversions import predict_x0
from course.diffusion.posterior import gaussian_kl, posterior, q_sample
from course.diffusion.schedules import check_alpha_bar, snr
from course.diffusion.steps import Model


@torch.no_grad()
def elbo_terms(model: Model, alpha_bar: Tensor, z: Tensor, noise: Tensor, variances: Tensor | None = None) -> Tensor:
    """The terms L_0, ..., L_T of the bound, in nats, (T+1, n), without gradient: -log p(z) <= their sum on average.

    Row 0: -log p(z | x_1).  Row k - 1, k = 2 ... T: KL(q(x_{k-1} | x_k, z) || p(x_{k-1} | x_k)).
    Row T: KL(q(x_T | z) || N(0, I)).  Ho, Jain & Abbeel (2020), eq. 5.
    model(x, k) -> predicted noise.  alpha_bar: (T+1,).  z: (n, ...).  noise: (T, n, ...), noise[k-1] makes x_k.
    variances: (T,), sigma_k^2 of p(x_{k-1} | x_k) = N(., sigma_k^2 I) at index k - 1; None -> beta_k.
    Raises ValueError for noise or variances of another shape.
    """
    check_alpha_bar(alpha_bar)
    T, levels = len(alpha_bar) - 1, alpha_bar.tolist()
    if noise.shape != (T, *z.shape):
        raise ValueError(f"noise has shape {tuple(noise.shape)}; wanted {(T, *z.shape)}, a row for each step.")
    variances = 1 - alpha_bar[1:] / alpha_bar[:-1] if variances is None else variances
    if variances.shape != (T,):
        raise ValueError(f"variances has shape {tuple(variances.shape)}; wanted {(T,)}, one for each step.")
    terms = []
    for k, variance in enumerate(variances.tolist(), start=1):
        now, then = levels[k], levels[k - 1]
        x = q_sample(z, now, noise[k - 1])
        guess = predict_x0(x, model(x, k), now)
        if k == 1:
            logs = (z - guess) ** 2 / variance + math.log(2 * math.pi * variance)
            terms.append(logs.flatten(1).sum(1) / 2)
        else:
            mean, exact = posterior(x, z, now, then)
            terms.append(gaussian_kl(mean, exact, posterior(x, guess, now, then)[0], variance))
    terms.append(gaussian_kl(levels[T] ** 0.5 * z, 1 - levels[T], torch.zeros_like(z), 1.0))
    return torch.stack(terms)


def loss_weight(alpha_bar: Tensor) -> Tensor:
    """The weight of |noise - predicted noise|^2 in the bound, beta_k / (2 alpha_k (1 - alpha_bar_k)), (T,).

    Index k - 1 for step k; alpha_k = 1 - beta_k = alpha_bar_k / alpha_bar_{k-1}.  It is large where there is little
    noise; the simple loss puts 1 in its place.  Ho, Jain & Abbeel (2020), eq. 12 with sigma_k^2 = beta_k.
    """
    check_alpha_bar(alpha_bar)
    alpha = alpha_bar[1:] / alpha_bar[:-1]
    return (1 - alpha) / (2 * alpha * (1 - alpha_bar[1:]))


def min_snr_weight(alpha_bar: Tensor, gamma: float = 5.0) -> Tensor:
    """min(snr, gamma) / snr at every step, (T,), index k - 1: a weight for the simple loss.

    In terms of the error of the data it is min(snr, gamma).  Hang et al. (2023).
    Raises ValueError for a gamma that is not positive.
    """
    check_alpha_bar(alpha_bar)
    if not gamma > 0:
        raise ValueError(f"gamma is {gamma!r}; wanted a positive number.")
    ratio = snr(alpha_bar[1:])
    return torch.as_tensor(ratio).clamp(max=gamma) / ratio
