"""How a diffusion model learns: the simple loss, and the batches it is fed."""

from collections.abc import Callable

import torch
from torch import Tensor

from course.diffusion.schedules import at
from course.diffusion.steps import Model
from course.training import Batch, Sampler


def simple_loss(
    model: Model, alpha_bar: Tensor, z: Tensor, k: Tensor, noise: Tensor, weight: Tensor | None = None
) -> Tensor:
    """E weight_k |model(x_k, k) - noise|^2 at x_k = sqrt(alpha_bar_k) z + sqrt(1 - alpha_bar_k) noise, a scalar.

    The mean over samples of the sum over coordinates; carries the gradient.  z, noise: (n, ...);  k: (n,), int64,
    1 ... T.  weight: (T,), index k - 1, such as loss_weight or min_snr_weight; None -> 1.
    Ho, Jain & Abbeel (2020), eq. 14.  Raises ValueError if the model's values are not shaped like x.
    """
    x = at(alpha_bar**0.5, k, z) * z + at((1 - alpha_bar) ** 0.5, k, z) * noise
    eps = model(x, k)
    if eps.shape != noise.shape:  # would broadcast, silently
        raise ValueError(f"The model's values have shape {tuple(eps.shape)}; wanted {tuple(noise.shape)}, like x.")
    squares = (eps - noise).square()
    return (squares if weight is None else at(weight, k - 1, z) * squares).sum() / len(z)


def step_batches(data: Sampler, T: int) -> Callable[[int, torch.Generator | None], Batch]:
    """Batches (z, k, noise) for simple_loss: data, steps, each from 1 to T as likely as the next, and N(0, I).

    data: sample(n, generator) -> (n, ...), such as a distribution's method.
    Returns sample_batch(n, generator) -> z (n, ...), k (n,), int64, noise (n, ...), for course.training.train.
    """

    def sample_batch(n: int, generator: torch.Generator | None = None) -> Batch:
        z = data(n, generator)
        k = torch.randint(1, T + 1, (n,), generator=generator, device=z.device)
        return z, k, torch.empty_like(z).normal_(generator=generator)

    return sample_batch
