"""Probability paths from noise to data, and their fields, exactly.

A path is x_t = alpha(t) z + beta(t) eps, with data z, noise eps ~ N(0, I) and time from 0, noise, to 1, data.
A schedule is any function t -> (alpha, beta, d_alpha, d_beta), the last two the derivatives in t.
x, z, noise: (n, ...);  t: float, 0-d or (n,), one time per sample;  `*` in shapes below is the shape of a sample.
Lipman et al. (2023), section 4; Albergo, Boffi & Vanden-Eijnden (2023), section 2.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from course.distributions import GaussianMixture
from course.shapes import expand_time

Time = float | Tensor
Field = Callable[[Tensor, Time], Tensor]

# Numbers in a block of points x data: what lies between two passes over it should stay in the cache.
BLOCK_NUMBERS = 2**19


class Coefficients(NamedTuple):
    """alpha(t), beta(t) and their derivatives at a time t; each a float for a float, else a tensor like t."""

    alpha: Time
    beta: Time
    d_alpha: Time
    d_beta: Time


Schedule = Callable[[Time], Coefficients]


def linear_schedule(t: Time) -> Coefficients:
    """alpha = t, beta = 1 - t: straight lines from noise to data.  t: float or tensor.

    The conditional optimal-transport path of Lipman et al. (2023), eq. 20 with sigma_min = 0.
    """
    one = torch.ones_like(t) if isinstance(t, Tensor) else 1.0
    return Coefficients(t, 1 - t, one, -one)


def cosine_schedule(t: Time) -> Coefficients:
    """alpha = sin(pi t / 2), beta = cos(pi t / 2): variance preserving, alpha^2 + beta^2 = 1.  t: float or tensor.

    The trigonometric interpolant of Albergo & Vanden-Eijnden (2023).
    """
    # cos(pi t / 2) as a sine keeps its digits where it vanishes: beta(1) is 0, not 6e-17.
    alpha, beta = _sin(math.pi / 2 * t), _sin(math.pi / 2 * (1 - t))
    return Coefficients(alpha, beta, math.pi / 2 * beta, -math.pi / 2 * alpha)


def sample_conditional_path(schedule: Schedule, z: Tensor, t: Time, noise: Tensor) -> Tensor:
    """x_t = alpha(t) z + beta(t) noise, (n, *), for data z and noise (n, *)."""
    alpha, beta, _, _ = schedule(expand_time(t, z))
    return alpha * z + beta * noise


def conditional_velocity(schedule: Schedule, x: Tensor, t: Time, z: Tensor) -> Tensor:
    """The velocity at x of the path to z, d_alpha z + d_beta (x - alpha z) / beta, (n, *).

    Lipman et al. (2023), theorem 3.  Needs beta(t) > 0, that is t < 1: at t = 1 all of the path is in z, and x
    says nothing about where it came from.
    """
    alpha, beta, d_alpha, d_beta = schedule(expand_time(t, x))
    return d_alpha * z + d_beta / beta * (x - alpha * z)


def conditional_score(schedule: Schedule, x: Tensor, t: Time, z: Tensor) -> Tensor:
    """The score at x of the path to z, the gradient of log N(x; alpha z, beta^2 I): (alpha z - x) / beta^2, (n, *).

    Needs beta(t) > 0, that is t < 1.
    """
    alpha, beta, _, _ = schedule(expand_time(t, x))
    return (alpha * z - x) / beta**2


# One field in the terms of another. Given x_t = x, let z, the denoiser, be the mean of the data and eps, the noise,
# the mean of the noise: then x = alpha z + beta eps, velocity = d_alpha z + d_beta eps, score = -eps / beta.
# Any two of these give the rest; in all of them `value` is a tensor (n, *), the field's value at x and t.


def denoiser_to_velocity(schedule: Schedule, x: Tensor, t: Time, denoiser: Tensor) -> Tensor:
    """d_alpha z + d_beta (x - alpha z) / beta, (n, *).  Needs beta(t) > 0, that is t < 1."""
    return conditional_velocity(schedule, x, t, denoiser)


def denoiser_to_score(schedule: Schedule, x: Tensor, t: Time, denoiser: Tensor) -> Tensor:
    """(alpha z - x) / beta^2, (n, *).  Needs beta(t) > 0, that is t < 1."""
    return conditional_score(schedule, x, t, denoiser)


def denoiser_to_noise(schedule: Schedule, x: Tensor, t: Time, denoiser: Tensor) -> Tensor:
    """(x - alpha z) / beta, (n, *).  Needs beta(t) > 0, that is t < 1."""
    alpha, beta, _, _ = schedule(expand_time(t, x))
    return (x - alpha * denoiser) / beta


def noise_to_velocity(schedule: Schedule, x: Tensor, t: Time, noise: Tensor) -> Tensor:
    """d_alpha (x - beta eps) / alpha + d_beta eps, (n, *).  Needs alpha(t) > 0, that is t > 0."""
    alpha, beta, d_alpha, d_beta = schedule(expand_time(t, x))
    return d_alpha / alpha * (x - beta * noise) + d_beta * noise


def noise_to_score(schedule: Schedule, x: Tensor, t: Time, noise: Tensor) -> Tensor:
    """-eps / beta, (n, *).  Needs beta(t) > 0, that is t < 1."""
    _, beta, _, _ = schedule(expand_time(t, x))
    return -noise / beta


def noise_to_denoiser(schedule: Schedule, x: Tensor, t: Time, noise: Tensor) -> Tensor:
    """(x - beta eps) / alpha, (n, *).  Needs alpha(t) > 0, that is t > 0."""
    alpha, beta, _, _ = schedule(expand_time(t, x))
    return (x - beta * noise) / alpha


def score_to_velocity(schedule: Schedule, x: Tensor, t: Time, score: Tensor) -> Tensor:
    """(d_alpha x + beta (d_alpha beta - alpha d_beta) s) / alpha, (n, *).  Needs alpha(t) > 0, that is t > 0."""
    alpha, beta, d_alpha, d_beta = schedule(expand_time(t, x))
    return (d_alpha * x + beta * (d_alpha * beta - alpha * d_beta) * score) / alpha


def score_to_noise(schedule: Schedule, x: Tensor, t: Time, score: Tensor) -> Tensor:
    """-beta s, (n, *).  Holds for every t."""
    _, beta, _, _ = schedule(expand_time(t, x))
    return -beta * score


def score_to_denoiser(schedule: Schedule, x: Tensor, t: Time, score: Tensor) -> Tensor:
    """Tweedie's formula, (x + beta^2 s) / alpha, (n, *).  Needs alpha(t) > 0, that is t > 0.  Efron (2011)."""
    alpha, beta, _, _ = schedule(expand_time(t, x))
    return (x + beta**2 * score) / alpha


def velocity_to_score(schedule: Schedule, x: Tensor, t: Time, velocity: Tensor) -> Tensor:
    """(alpha u - d_alpha x) / (beta (d_alpha beta - alpha d_beta)), (n, *).  Needs beta(t) > 0, that is t < 1."""
    alpha, beta, d_alpha, d_beta = schedule(expand_time(t, x))
    return (alpha * velocity - d_alpha * x) / (beta * (d_alpha * beta - alpha * d_beta))


def velocity_to_noise(schedule: Schedule, x: Tensor, t: Time, velocity: Tensor) -> Tensor:
    """(d_alpha x - alpha u) / (d_alpha beta - alpha d_beta), (n, *).  Holds for every t."""
    alpha, beta, d_alpha, d_beta = schedule(expand_time(t, x))
    return (d_alpha * x - alpha * velocity) / (d_alpha * beta - alpha * d_beta)


def velocity_to_denoiser(schedule: Schedule, x: Tensor, t: Time, velocity: Tensor) -> Tensor:
    """(beta u - d_beta x) / (d_alpha beta - alpha d_beta), (n, *).  Holds for every t."""
    alpha, beta, d_alpha, d_beta = schedule(expand_time(t, x))
    return (beta * velocity - d_beta * x) / (d_alpha * beta - alpha * d_beta)


class _ExactPath:
    """The path from noise to a mixture, of Gaussians or of points: all its fields are posterior means."""

    def __init__(self, schedule: Schedule, data: Tensor, components: "_EqualSpheres | _Ellipsoids"):
        self.schedule, self._data, self._components = schedule, data, components

    def velocity(self, x: Tensor, t: Time) -> Tensor:
        """The marginal velocity E[d_alpha z + d_beta eps | x_t = x], like x (n, *)."""
        return self._gather(x, [c.d_alpha * z - c.d_beta * c.beta * score for c, z, score in self._posterior(x, t)])

    def score(self, x: Tensor, t: Time) -> Tensor:
        """The gradient of log p_t at x, like x (n, *)."""
        return self._gather(x, [score for _, _, score in self._posterior(x, t)])

    def denoiser(self, x: Tensor, t: Time) -> Tensor:
        """The posterior mean E[z | x_t = x] of the data, like x (n, *)."""
        return self._gather(x, [z for _, z, _ in self._posterior(x, t)])

    def log_prob(self, x: Tensor, t: Time) -> Tensor:
        """log p_t(x), (n,), for x (n, *)."""
        joints = [self._components.log_joint(y, c) for y, c in self._blocks(x, t)]
        return torch.cat([joint.logsumexp(1) for joint in joints]).to(x.dtype)

    def posterior_weights(self, x: Tensor, t: Time) -> Tensor:
        """P(k | x_t = x), the probability that the data came from point or component k, (n, K), for x (n, *)."""
        return torch.cat([self._components.weights(y, c, x.dtype) for y, c in self._blocks(x, t)])

    def sample(self, n: int, t: Time, generator: torch.Generator | None = None) -> Tensor:
        """n independent draws of x_t, (n, *).  t: float, 0-d or (n,)."""
        z = self._draw(n, generator)
        return sample_conditional_path(self.schedule, z, t, torch.empty_like(z).normal_(generator=generator))

    def _draw(self, n: int, generator: torch.Generator | None) -> Tensor:
        raise NotImplementedError

    def _posterior(self, x: Tensor, t: Time) -> Iterator[tuple["_Now", Tensor, Tensor]]:
        """For each block of x the coefficients, E[z | x] and the score."""
        for y, c in self._blocks(x, t):
            weights = self._components.weights(y, c, x.dtype)
            yield c, *self._components.mean_and_score(y, c, weights)

    def _blocks(self, x: Tensor, t: Time) -> Iterator[tuple[Tensor, "_Now"]]:
        """Blocks of x, each sample flat and in the dtype that does not lose digits, with the coefficients there."""
        _check_samples(x, self._data)
        expand_time(t, x)  # raises for times that do not fit
        # No sample at all is one empty block.
        for y, s in _split(x, t, max(1, BLOCK_NUMBERS // self._components.numbers)):
            y = y.flatten(1).to(_exact(x))
            values = self.schedule(expand_time(s, y))
            yield y, _Now(*(torch.as_tensor(value, dtype=y.dtype, device=y.device) for value in values))

    def _gather(self, x: Tensor, blocks: list[Tensor]) -> Tensor:
        return torch.cat(blocks).to(x.dtype).reshape(x.shape)


class EmpiricalPath(_ExactPath):
    """The path from noise to a finite data set, each of its N points as likely as the next.

    schedule: t -> Coefficients.  data: (N, *), floating-point and finite; ValueError otherwise.  Samples x (n, *)
    are to have its dtype and device.

    p_t is the mixture of the N Gaussians N(alpha z_k, beta^2 I).  Every field is finite for 0 <= t <= 1 and at any
    distance from the data.  At t = 1 the velocity and the score have no finite limit off the data; returned there
    (for beta no more than rounding, 4 eps of the dtype) is the mean over all paths that end in the data point z
    nearest to x.  The noise they come from is 0 on average, so that is: denoiser z, velocity d_alpha z, score 0.

    Memory beside the result: about three times that of the data, and blocks of BLOCK_NUMBERS weights.
    """

    def __init__(self, schedule: Schedule, data: Tensor):
        if not isinstance(data, Tensor) or data.ndim < 2 or data.numel() == 0 or not data.is_floating_point():
            given = f"{tuple(data.shape)}, {data.dtype}" if isinstance(data, Tensor) else type(data).__name__
            raise ValueError(f"data is {given}; wanted a floating-point tensor of points, (N, d) or (N, ...).")
        if not data.isfinite().all():
            raise ValueError("data holds NaN or infinity; wanted finite numbers.")
        self.data = data
        log_weights = torch.full((len(data),), -math.log(len(data)), dtype=_exact(data), device=data.device)
        super().__init__(schedule, data, _EqualSpheres(data.flatten(1), log_weights, 0.0))

    def log_prob(self, x: Tensor, t: Time) -> Tensor:
        """log p_t(x), (n,), for x (n, *).  Raises ValueError at t = 1, where a finite data set has no density."""
        if (torch.as_tensor(self.schedule(t)[1]).abs() <= _rounding(self.data)).any():
            raise ValueError("t is 1; wanted t < 1: at the end of its path a finite data set has no density.")
        return super().log_prob(x, t)

    def _draw(self, n: int, generator: torch.Generator | None) -> Tensor:
        return self.data[torch.randint(len(self.data), (n,), generator=generator, device=self.data.device)]


class MixturePath(_ExactPath):
    """The path from noise to a Gaussian mixture: p_t is again one, with covariances alpha^2 C_k + beta^2 I.

    schedule: t -> Coefficients.  mixture: GaussianMixture in d dimensions; ValueError for anything else.  Samples
    x (n, d) are to have its dtype and device.  Every field is exact for 0 <= t <= 1, both ends included, and finite
    at any distance from the modes.
    """

    def __init__(self, schedule: Schedule, mixture: GaussianMixture):
        if not isinstance(mixture, GaussianMixture):
            raise ValueError(f"mixture is a {type(mixture).__name__}; wanted a GaussianMixture.")
        self.mixture = mixture
        C, log_weights = mixture.covariances, mixture.weights.to(_exact(mixture.means)).log()
        if C.ndim == 1 and len(C.unique()) == 1:
            super().__init__(schedule, mixture.means, _EqualSpheres(mixture.means, log_weights, float(C[0])))
        else:
            super().__init__(schedule, mixture.means, _Ellipsoids(mixture.means, log_weights, C))

    def marginal(self, t: float | Tensor) -> GaussianMixture:
        """The law of x_t, a mixture.  t: float or 0-d."""
        alpha, beta, _, _ = self.schedule(t)
        return self.mixture.marginal(alpha, beta)

    def _draw(self, n: int, generator: torch.Generator | None) -> Tensor:
        return self.mixture.sample(n, generator)


def extend_to_sde(u: Field, score: Field, sigma: Callable[[Time], Time]) -> Field:
    """The drift u + sigma(t)^2 / 2 score of the SDE with diffusion sigma and the marginals of dx/dt = u(x, t).

    u, score: the velocity and score of one path.  sigma(t) >= 0: float, 0-d or (n,); any sigma keeps the marginals.
    By the Fokker-Planck equation: Song et al. (2021), appendix D.1; Albergo, Boffi & Vanden-Eijnden (2023).
    """

    def drift(x: Tensor, t: Time) -> Tensor:
        return u(x, t) + expand_time(sigma(t), x) ** 2 / 2 * score(x, t)

    return drift


def divergence(u: Field, x: Tensor, t: Time, probe: Tensor | None = None) -> Tensor:
    """sum_i d u_i / d x_i at each sample, (n,), for x (n, *), by automatic differentiation.

    probe: None -> exact, one backward pass for each number in a sample.  Else e (n, *), independent numbers of mean 0
        and variance 1 (random signs have the least variance) -> e.(du/dx) e, right on average, one backward pass.
        Hutchinson (1989); Grathwohl et al. (2019), section 3.1.
    u is to treat each sample on its own.  The result carries no gradient; torch.no_grad and inference_mode do not
    matter.  Raises ValueError if u does not return one value per value of x.
    """
    return velocity_and_divergence(u, x, t, probe)[1]


def velocity_and_divergence(u: Field, x: Tensor, t: Time, probe: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """u(x, t), (n, *), and its divergence, (n,), at the price of the divergence; everything as there."""
    with torch.inference_mode(False), torch.enable_grad():
        # What was made in inference mode cannot take part in a gradient; a clone can.
        x = x.detach().clone().requires_grad_()
        value = u(x, t.clone() if isinstance(t, Tensor) else t)
        if value.shape != x.shape:
            raise ValueError(
                f"The field turned x of shape {tuple(x.shape)} into {tuple(value.shape)}; wanted one like x."
            )
        if not value.requires_grad:  # the same everywhere
            return value, value.new_zeros(len(x))
        if probe is not None:
            probe = probe.clone()
            return value.detach(), (_gradient((value * probe).sum(), x) * probe).flatten(1).sum(1)
        columns = value.flatten(1).unbind(1)
        rows = (_gradient(column.sum(), x, retain=column is not columns[-1]) for column in columns)
        return value.detach(), torch.stack([row.flatten(1)[:, i] for i, row in enumerate(rows)]).sum(0)


class _Now(NamedTuple):
    """Coefficients as tensors, 0-d or (n, 1)."""

    alpha: Tensor
    beta: Tensor
    d_alpha: Tensor
    d_beta: Tensor


class _EqualSpheres:
    """Components N(alpha m_k, v I), v = alpha^2 variance + beta^2: data points (variance 0) or equal, round modes.

    log P(k | x) = log P(k) + (alpha / v) (x.m_k - alpha |m_k|^2 / 2) + a number for x alone: one matrix product with
    the features (m, -|m|^2 / 2) gives it for all samples and components.
    """

    def __init__(self, means: Tensor, log_weights: Tensor, variance: float):
        exact = means.to(_exact(means))
        half_squares = exact.square().sum(1, keepdim=True) / 2
        features = torch.cat([exact, -half_squares], dim=1)
        self.features = {dtype: features.to(dtype) for dtype in (means.dtype, exact.dtype)}
        self.log_weights, self.variance, self.numbers = log_weights, variance, len(means)
        self.equal_weights = bool((log_weights == log_weights[0]).all())
        self.radius, self.least_beta = float((2 * half_squares).max().sqrt()), _rounding(means)

    def v(self, c: _Now) -> Tensor:
        beta = c.beta if self.variance > 0 else c.beta.abs().clamp(min=self.least_beta)
        return c.alpha**2 * self.variance + beta**2

    def log_joint(self, y: Tensor, c: _Now) -> Tensor:
        """log P(k) p(y | k), (n, K)."""
        v = self.v(c)
        rest = y.square().sum(1, keepdim=True) / v + y.shape[1] * (2 * math.pi * v).log()
        return self.log_weights + self._products(y, c, y.dtype) - rest / 2

    def weights(self, y: Tensor, c: _Now, dtype: torch.dtype) -> Tensor:
        """P(k | y), (n, K), as dtype."""
        # The products cancel to small differences where v is small.  Where rounding them to float32 changes no weight
        # by more than 1e-4 of itself, half the memory traffic is enough.
        reach = self.radius + (y.detach().norm(dim=1).amax() if len(y) else 0.0)
        size = float((c.alpha / self.v(c)).detach().max() * self.radius * reach) if c.alpha.numel() else 0.0
        logits = self._products(y, c, dtype if size * torch.finfo(dtype).eps < 1e-4 else y.dtype)
        return _softmax(logits if self.equal_weights else logits + self.log_weights.to(logits), dtype)

    def mean_and_score(self, y: Tensor, c: _Now, weights: Tensor) -> tuple[Tensor, Tensor]:
        """E[z | y] and the score, (n, d)."""
        m = (weights @ self.features[weights.dtype][:, :-1]).to(y.dtype)
        score = (c.alpha * m - y) / self.v(c)
        if self.variance > 0:
            return m - c.alpha * self.variance * score, score
        return m, torch.where(c.beta.abs() > self.least_beta, score, torch.zeros_like(score))

    def _products(self, y: Tensor, c: _Now, dtype: torch.dtype) -> Tensor:
        k = c.alpha / self.v(c)
        return torch.cat([k * y, (k * c.alpha).expand(len(y), 1)], dim=1).to(dtype) @ self.features[dtype].mT


class _Ellipsoids:
    """Components N(alpha m_k, alpha^2 C_k + beta^2 I), always diagonal in the eigenbasis of C_k, the columns of Q_k."""

    def __init__(self, means: Tensor, log_weights: Tensor, covariances: Tensor):
        C, (K, d) = covariances.to(log_weights), means.shape
        if C.ndim == 1:
            C = C[:, None, None] * torch.eye(d, dtype=C.dtype, device=C.device)
        self.eigenvalues, Q = torch.linalg.eigh(C)
        self.m, self.log_weights, self.numbers = means.to(C), log_weights, K * d
        self.Q, self.Qm = Q.movedim(0, 1).flatten(1), torch.einsum("kij,ki->kj", Q, self.m)

    def log_joint(self, y: Tensor, c: _Now) -> Tensor:
        """log P(k) p(y | k), (n, K)."""
        offset, v = self._in_eigenbasis(y, c)
        return self.log_weights - (offset.square() / v + (2 * math.pi * v).log()).sum(-1) / 2

    def weights(self, y: Tensor, c: _Now, dtype: torch.dtype) -> Tensor:
        """P(k | y), (n, K), as dtype."""
        return _softmax(self.log_joint(y, c), dtype)

    def mean_and_score(self, y: Tensor, c: _Now, weights: Tensor) -> tuple[Tensor, Tensor]:
        """E[z | y] and the score, (n, d)."""
        offset, v = self._in_eigenbasis(y, c)
        weights = weights.to(y.dtype)
        pull = weights[..., None] * offset / v
        # E[z | x, k] = m_k + alpha C_k (alpha^2 C_k + beta^2 I)^-1 (x - alpha m_k)
        z = weights @ self.m + c.alpha * ((self.eigenvalues * pull).flatten(1) @ self.Q.mT)
        return z, -(pull.flatten(1) @ self.Q.mT)

    def _in_eigenbasis(self, y: Tensor, c: _Now) -> tuple[Tensor, Tensor]:
        """y - alpha m_k, (n, K, d), and its variances given k."""
        alpha, beta = (a[..., None] if a.ndim else a for a in (c.alpha, c.beta))
        offset = (y @ self.Q).unflatten(1, self.Qm.shape) - alpha * self.Qm
        return offset, alpha**2 * self.eigenvalues + beta**2


def _softmax(logits: Tensor, dtype: torch.dtype) -> Tensor:
    if logits.dtype != dtype:  # differences first: they are what has to keep its digits
        logits = (logits - logits.detach().amax(1, keepdim=True)).to(dtype)
    return logits.softmax(1)


def _split(x: Tensor, t: Time, rows: int) -> Iterator[tuple[Tensor, Time]]:
    """Blocks of so many samples, at least one, with their times."""
    for start in range(0, max(1, len(x)), rows):
        part = slice(start, start + rows)
        yield x[part], t[part] if isinstance(t, Tensor) and t.ndim else t


def _gradient(value: Tensor, x: Tensor, retain: bool = False) -> Tensor:
    (gradient,) = torch.autograd.grad(value, x, retain_graph=retain, allow_unused=True, materialize_grads=True)
    return gradient


def _sin(t: Time) -> Time:
    return t.sin() if isinstance(t, Tensor) else math.sin(t)


def _exact(x: Tensor) -> torch.dtype:
    """The dtype for what would lose its digits by cancellation (mps has no float64)."""
    return torch.float32 if x.device.type == "mps" else torch.float64


def _rounding(x: Tensor) -> float:
    return 4 * torch.finfo(x.dtype).eps


def _check_samples(x: Tensor, data: Tensor) -> None:
    if not isinstance(x, Tensor) or x.shape[1:] != data.shape[1:] or x.ndim != data.ndim:
        given = f"has shape {tuple(x.shape)}" if isinstance(x, Tensor) else f"is a {type(x).__name__}"
        raise ValueError(f"x {given}; wanted samples like the data, (n, {', '.join(map(str, data.shape[1:]))}).")
    if x.dtype != data.dtype or x.device != data.device:
        raise ValueError(f"x is {x.dtype} on {x.device} and the data {data.dtype} on {data.device}; wanted the same.")
