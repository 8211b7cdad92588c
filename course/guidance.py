"""Guidance: samples that agree with a label more than the data do.

A conditional field is u(x, t, y): x (n, ...), t float, 0-d or (n,), y (n,) integer labels; `null` is the label that
means "no label".  w is the guidance scale, float or (n,): 0 ignores the label, 1 is the plain conditional field.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from course.losses import conditional_flow_matching_loss
from course.paths import Field, Schedule, Time
from course.shapes import expand_time
from course.solvers import euler_step, simulate

ConditionalField = Callable[[Tensor, Time, Tensor], Tensor]
LogProb = Callable[[Tensor, Time], Tensor]


def drop_labels(y: Tensor, chance: float, null: int, u: Tensor) -> Tensor:
    """The labels y (n,), with null wherever u (n,), uniform on [0, 1), is below the chance; y itself stays as it is."""
    if not 0 <= chance <= 1:
        raise ValueError(f"chance is {chance}; wanted a probability.")
    if u.shape != y.shape:
        raise ValueError(f"u has shape {tuple(u.shape)} and y {tuple(y.shape)}; wanted one number for each label.")
    return torch.where(u < chance, null, y)


def guided_loss(model: ConditionalField, schedule: Schedule, z: Tensor, t: Time, noise: Tensor, y: Tensor) -> Tensor:
    """E |model(x_t, t, y) - (d_alpha z + d_beta noise)|^2 at x_t = alpha z + beta noise; a scalar.

    z, noise: (n, ...);  y: (n,), some of them null, so that one network learns the field with and without a label.
    Ho & Salimans (2021), algorithm 1.
    """
    return conditional_flow_matching_loss(lambda x, t: model(x, t, y), schedule, z, t, noise)


def guided_velocity(model: ConditionalField, x: Tensor, t: Time, y: Tensor, w: Time, null: int) -> Tensor:
    """u(x, t, null) + w (u(x, t, y) - u(x, t, null)), like x (n, ...).

    One call of the model on 2n samples.  Ho & Salimans (2021), eq. 6, whose w is one less.
    """
    t2 = t.repeat(2) if isinstance(t, Tensor) and t.ndim else t
    plain, labelled = model(torch.cat([x, x]), t2, torch.cat([torch.full_like(y, null), y])).chunk(2)
    return plain + expand_time(w, x) * (labelled - plain)


def sample_guided(
    model: ConditionalField,
    y: Tensor,
    w: Time,
    x0: Tensor,
    t: Tensor,
    null: int,
    step: Callable[..., Tensor] = euler_step,
) -> Tensor:
    """The states at t[-1] of dx/dt = guided velocity, from x0 (n, ...) at t[0], like x0, without gradient.

    y: (n,).  w: float or (n,).  t: (m+1,), increasing.  step: a rule step(u, x, t, h) of course.solvers.
    Raises ValueError for labels that are not (n,) or not in 0, ..., null, and as simulate does.
    """
    if y.shape != x0.shape[:1] or y.is_floating_point():
        raise ValueError(f"y has shape {tuple(y.shape)}, {y.dtype}; wanted one integer label for each of {len(x0)}.")
    if len(y) and not (int(y.min()) >= 0 and int(y.max()) <= null):
        raise ValueError(f"The labels go from {int(y.min())} to {int(y.max())}; wanted 0 to {null}.")

    def velocity(x: Tensor, t: Time) -> Tensor:
        return guided_velocity(model, x, t, y, w, null)

    return simulate(lambda x, t, h: step(velocity, x, t, h), x0, t, keep="last", chunk=max(1, len(x0)))


def classifier_guided_velocity(
    u: Field, log_prob: LogProb, schedule: Schedule, x: Tensor, t: Time, y: Tensor, w: Time
) -> Tensor:
    """u(x, t) + w f(t) grad_x log p_t(y | x), like x, for a velocity u that knows no label.

    f(t) = beta (d_alpha beta - alpha d_beta) / alpha turns a score into a velocity: w times the score of the label
    is added to the score of x.  At alpha(t) = 0, where x knows nothing of the label, the term is left out.
    log_prob(x, t) -> (n, classes): a classifier of noisy x, each sample on its own.  y: (n,);  w: float or (n,).
    The result carries no gradient; torch.no_grad and inference_mode do not matter.
    Song et al. (2021), eq. 14; Dhariwal & Nichol (2021), section 4.
    """
    with torch.inference_mode(False), torch.enable_grad():
        leaf = x.detach().clone().requires_grad_()
        chosen = log_prob(leaf, t).gather(1, y[:, None]).sum()
        (gradient,) = torch.autograd.grad(chosen, leaf)
    alpha, beta, d_alpha, d_beta = map(torch.as_tensor, schedule(torch.as_tensor(expand_time(t, x)).to(x)))
    factor = torch.where(alpha > 0, beta * (d_alpha * beta - alpha * d_beta) / alpha, 0.0)
    return u(x, t).detach() + expand_time(w, x) * factor * gradient


def tilted_log_density(
    log_prob: Callable[[Tensor], Tensor], log_posterior: Callable[[Tensor], Tensor], x: Tensor, y: int | Tensor, w: Time
) -> Tensor:
    """log p(x) + w log p(y | x), (n,), the logarithm of the tilted density up to a constant.

    log_prob(x) -> (n,);  log_posterior(x) -> (n, classes);  y: int, one label for all, or (n,);  w: float or (n,).
    """
    return log_prob(x) + w * log_posterior(x)[torch.arange(len(x), device=x.device), y]
