"""Losses whose minimiser is a field of a probability path: each compares a network with what it is to learn.

All return the mean over the samples of the squared Euclidean distance, a scalar tensor that carries the gradient.
x, z, noise: (n, ...);  t: float, 0-d or (n,), one time per sample;  model(x, t) -> like x.
"""

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from course.paths import Field, Schedule, Time
from course.shapes import expand_time


def flow_matching_loss(model: Field, velocity: Field, x: Tensor, t: Time) -> Tensor:
    """E |model(x, t) - u(x, t)|^2 against a velocity u that is known.  Lipman et al. (2023), eq. 5."""
    return _squared_distance(model(x, t), velocity(x, t))


def conditional_flow_matching_loss(model: Field, schedule: Schedule, z: Tensor, t: Time, noise: Tensor) -> Tensor:
    """E |model(x_t, t) - (d_alpha z + d_beta noise)|^2 at x_t = alpha z + beta noise, (z, t, noise) a batch.

    The minimiser is the marginal velocity.  noise may come from any law, N(0, I) or another data set, and be paired
    with z in any way: learned is a flow from its law to that of z.
    Lipman et al. (2023), eq. 9 and theorem 2; Tong et al. (2024).
    """
    alpha, beta, d_alpha, d_beta = schedule(expand_time(t, z))
    return _squared_distance(model(alpha * z + beta * noise, t), d_alpha * z + d_beta * noise)


def denoising_score_matching_loss(
    model: Field, schedule: Schedule, z: Tensor, t: Time, noise: Tensor, weight: Time | None = None
) -> Tensor:
    """E weight |model(x_t, t) + noise / beta|^2 at x_t = alpha z + beta noise; the minimiser is the marginal score.

    weight: float, 0-d or (n,); None -> 1, and the loss has no bound as t -> 1: it is about d E[weight / beta^2].
    Needs beta(t) > 0.  Vincent (2011); Song et al. (2021), eq. 7.
    """
    alpha, beta, _, _ = schedule(expand_time(t, z))
    score, target = model(alpha * z + beta * noise, t), -noise / beta
    if weight is None:
        return _squared_distance(score, target)
    root = torch.as_tensor(expand_time(weight, z)).to(z) ** 0.5
    return _squared_distance(root * score, root * target)


def noise_prediction_loss(model: Field, schedule: Schedule, z: Tensor, t: Time, noise: Tensor) -> Tensor:
    """E |model(x_t, t) - noise|^2 at x_t = alpha z + beta noise; the minimiser is E[noise | x_t] = -beta score.

    Denoising score matching with the weight beta^2, for the score -model / beta.  Ho, Jain & Abbeel (2020), eq. 14.
    """
    alpha, beta, _, _ = schedule(expand_time(t, z))
    return _squared_distance(model(alpha * z + beta * noise, t), noise)


def _squared_distance(value: Tensor, target: Tensor) -> Tensor:
    if value.shape != target.shape:  # would broadcast, silently, to every sample against every other
        raise ValueError(f"The model's values have shape {tuple(value.shape)}; wanted {tuple(target.shape)}, like x.")
    return mse_loss(value, target, reduction="sum") / len(target)
