"""Between fields in the course's time t and models of steps k: one learned object, both languages."""

import torch
from torch import Tensor

from course.diffusion.schedules import check_alpha_bar
from course.diffusion.steps import Model
from course.distributions import GaussianMixture
from course.paths import Field, MixturePath, Schedule, cosine_schedule, score_to_noise
from course.shapes import expand_time


def matching_times(schedule: Schedule, alpha_bar: Tensor) -> Tensor:
    """The times at which a path is as noisy as the steps of a chain, (T+1,), falling from 1, like alpha_bar (T+1,).

    alpha^2 / (alpha^2 + beta^2) = alpha_bar_k, by bisection: the schedule's signal-to-noise ratio has to rise with t.
    Raises ValueError for an alpha_bar that does not fall from 1 and for one that is noisier than the path at t = 0.
    """
    check_alpha_bar(alpha_bar)

    def excess(t: Tensor) -> Tensor:
        alpha, beta, _, _ = schedule(t)
        return beta**2 * alpha_bar - alpha**2 * (1 - alpha_bar)

    low, high = torch.zeros_like(alpha_bar), torch.ones_like(alpha_bar)
    if excess(low)[-1] < -1e-9 * alpha_bar[-1]:
        raise ValueError("At t = 0 the path is not as noisy as the chain at its last step; wanted a path that is.")
    for _ in range(60):
        middle = (low + high) / 2
        too_noisy = excess(middle) > 0
        low, high = torch.where(too_noisy, middle, low), torch.where(too_noisy, high, middle)
    return high


def step_model(noise: Field, times: Tensor, schedule: Schedule | None = None) -> Model:
    """A field noise(x, t), such as a network, as a model(x, k) of the steps that lie at the times (T+1,).

    The field lives on a path with alpha^2 + beta^2 = 1; for another, hand in its schedule: a state x of the chain is
    x sqrt(alpha^2 + beta^2) there.  Another prediction is converted by course.paths: for a velocity u,
    noise = lambda x, t: velocity_to_noise(schedule, x, t, u(x, t)).
    """
    numbers = times.tolist()

    def model(x: Tensor, k: int | Tensor) -> Tensor:
        t = times.to(x.dtype).to(x.device)[k] if isinstance(k, Tensor) else numbers[k]
        if schedule is not None:
            alpha, beta, _, _ = schedule(expand_time(t, x))
            x = (alpha**2 + beta**2) ** 0.5 * x
        return noise(x, t)

    return model


def exact_noise_model(mixture: GaussianMixture, alpha_bar: Tensor) -> Model:
    """The best model there is for data from a mixture: model(x, k) = E[noise | x_k = x], like x (n, d).

    alpha_bar: (T+1,).  x is to have the mixture's dtype and device; k: int or (n,), 0 ... T.
    """
    path = MixturePath(cosine_schedule, mixture)

    def noise(x: Tensor, t: float | Tensor) -> Tensor:
        return score_to_noise(cosine_schedule, x, t, path.score(x, t))

    return step_model(noise, matching_times(cosine_schedule, alpha_bar))
