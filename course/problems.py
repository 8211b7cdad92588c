"""Differential equations whose solution is known exactly: the truth that solvers are held against.

Every ODE here has `velocity(x, t)` and `flow(x0, t)`, the state at time t of the trajectory that is at x0 at
time 0.  x, x0: (n, ...);  t: float, 0-d or (n,), one time per sample.
"""

import math

import torch
from torch import Tensor

from course.shapes import expand_time

Time = float | Tensor


class LinearODE:
    """dx/dt = -theta x, with the flow x0 exp(-theta t): decay for theta > 0, growth for theta < 0."""

    def __init__(self, theta: float):
        """theta: a finite number.  Raises ValueError for anything else."""
        self.theta = _number("theta", theta)

    def velocity(self, x: Tensor, t: Time) -> Tensor:
        """-theta x, like x."""
        return -self.theta * x

    def flow(self, x0: Tensor, t: Time) -> Tensor:
        """x0 exp(-theta t), like x0."""
        return torch.exp(-self.theta * _time(t, x0)) * x0


class Rotation:
    """The plane turning about the origin at omega radians per unit of time and shrinking at the rate damping.

    dx/dt = [[-damping, -omega], [omega, -damping]] x, with the flow exp(-damping t) R(omega t) x0, where R(a)
    rotates by the angle a.  x, x0: (n, 2).  With damping > 0 the trajectories are spirals into the origin.
    Raises ValueError for points that are not of the plane.
    """

    def __init__(self, omega: float, damping: float = 0.0):
        """omega, damping: finite numbers.  Raises ValueError for anything else."""
        self.omega, self.damping = _number("omega", omega), _number("damping", damping)

    def velocity(self, x: Tensor, t: Time) -> Tensor:
        """[[-damping, -omega], [omega, -damping]] x, like x."""
        a, b = _plane("x", x).unbind(-1)
        return torch.stack([-self.damping * a - self.omega * b, self.omega * a - self.damping * b], dim=-1)

    def flow(self, x0: Tensor, t: Time) -> Tensor:
        """exp(-damping t) R(omega t) x0, like x0."""
        a, b = _plane("x0", x0).unbind(-1)
        t = _time(t, a)
        cos, sin = torch.cos(self.omega * t), torch.sin(self.omega * t)
        return torch.exp(-self.damping * _time(t, x0)) * torch.stack([cos * a - sin * b, sin * a + cos * b], dim=-1)


class Logistic:
    """dx/dt = rate x (1 - x), not linear; the flow is x0 / (x0 + (1 - x0) exp(-rate t)).

    From 0 < x0 < 1 it rises to 1 without passing it; x0 = 0 and x0 = 1 stay where they are; from x0 < 0 it
    leaves for -infinity in finite time.
    """

    def __init__(self, rate: float = 1.0):
        """rate: a finite number.  Raises ValueError for anything else."""
        self.rate = _number("rate", rate)

    def velocity(self, x: Tensor, t: Time) -> Tensor:
        """rate x (1 - x), like x."""
        return self.rate * x * (1 - x)

    def flow(self, x0: Tensor, t: Time) -> Tensor:
        """x0 / (x0 + (1 - x0) exp(-rate t)), like x0."""
        return x0 / (x0 + (1 - x0) * torch.exp(-self.rate * _time(t, x0)))


class Seasonal:
    """dx/dt = cos(omega t) x, a field that depends on time; the flow is x0 exp(sin(omega t) / omega)."""

    def __init__(self, omega: float = 1.0):
        """omega: a finite number other than 0.  Raises ValueError for anything else."""
        self.omega = _number("omega", omega)
        if self.omega == 0:
            raise ValueError("omega is 0; wanted a number other than 0.")

    def velocity(self, x: Tensor, t: Time) -> Tensor:
        """cos(omega t) x, like x."""
        return torch.cos(self.omega * _time(t, x)) * x

    def flow(self, x0: Tensor, t: Time) -> Tensor:
        """x0 exp(sin(omega t) / omega), like x0."""
        return torch.exp(torch.sin(self.omega * _time(t, x0)) / self.omega) * x0


class OrnsteinUhlenbeck:
    """dX = -theta X dt + sigma dW: a pull to the origin against noise, each coordinate on its own.

    X_t given X_0 = x0 is N(x0 exp(-theta t), sigma^2 / (2 theta) (1 - exp(-2 theta t)) I); as t grows this
    becomes the stationary law N(0, sigma^2 / (2 theta) I).  Uhlenbeck & Ornstein (1930); Gillespie (1996).
    """

    def __init__(self, theta: float, sigma: float):
        """theta > 0, sigma >= 0.  Raises ValueError for anything else."""
        self.theta, self.sigma = _number("theta", theta), _number("sigma", sigma)
        if self.theta <= 0:
            raise ValueError(f"theta is {theta}; wanted a positive number.")
        if self.sigma < 0:
            raise ValueError(f"sigma is {sigma}; wanted a number that is not negative.")

    def drift(self, x: Tensor, t: Time) -> Tensor:
        """-theta x, like x."""
        return -self.theta * x

    def diffusion(self, t: Time) -> float:
        """sigma, at any time."""
        return self.sigma

    @property
    def stationary_variance(self) -> float:
        """sigma^2 / (2 theta), of each coordinate."""
        return self.sigma**2 / (2 * self.theta)

    def mean(self, x0: Tensor, t: Time) -> Tensor:
        """The mean of X_t given X_0 = x0, like x0 (n, ...).  t: float, 0-d or (n,)."""
        return torch.exp(-self.theta * _time(t, x0)) * x0

    def variance(self, t: Time) -> Time:
        """The variance of each coordinate of X_t given X_0: a float for a float, else like t."""
        if isinstance(t, Tensor):
            return -self.stationary_variance * torch.expm1(-2 * self.theta * t)
        return -self.stationary_variance * math.expm1(-2 * self.theta * t)

    def sample(self, x0: Tensor, t: Time, generator: torch.Generator | None = None) -> Tensor:
        """One exact draw of X_t for each X_0 = x0, like x0 (n, ...).  t >= 0: float, 0-d or (n,)."""
        noise = torch.empty_like(x0).normal_(generator=generator)
        return self.mean(x0, t) + self.variance(_time(t, x0)) ** 0.5 * noise


class GeometricBrownianMotion:
    """dX = mu X dt + sigma X dW: growth with noise in proportion to the state, each coordinate on its own.

    X_t = x0 exp((mu - sigma^2 / 2) t + sigma W_t), so the solution on a given Brownian path is known.
    Kloeden & Platen (1992), section 4.4.
    """

    def __init__(self, mu: float, sigma: float):
        """mu: a finite number; sigma >= 0.  Raises ValueError for anything else."""
        self.mu, self.sigma = _number("mu", mu), _number("sigma", sigma)
        if self.sigma < 0:
            raise ValueError(f"sigma is {sigma}; wanted a number that is not negative.")

    def drift(self, x: Tensor, t: Time) -> Tensor:
        """mu x, like x."""
        return self.mu * x

    def diffusion(self, x: Tensor, t: Time) -> Tensor:
        """sigma x, like x."""
        return self.sigma * x

    def diffusion_slope(self, x: Tensor, t: Time) -> Tensor:
        """The derivative of the diffusion in x, sigma, like x."""
        return torch.full_like(x, self.sigma)

    def solution(self, x0: Tensor, t: Time, w: Tensor) -> Tensor:
        """X_t on the Brownian path w with w = 0 at time 0.

        x0: (n, ...).  Either a float or 0-d t with w (n, ...) at that time, or a whole grid t (m+1,) with w
        (m+1, n, ...).  Returns the states there, like w.
        """
        return x0 * torch.exp((self.mu - self.sigma**2 / 2) * _time(t, w) + self.sigma * w)

    def mean(self, x0: Tensor, t: Time) -> Tensor:
        """The mean of X_t given X_0 = x0: x0 exp(mu t), like x0.  t: float, 0-d or (n,)."""
        return torch.exp(self.mu * _time(t, x0)) * x0


def _number(name: str, value: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {value!r}; wanted a number.") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} is {number}; wanted a finite number.")
    return number


def _plane(name: str, x: Tensor) -> Tensor:
    if not isinstance(x, Tensor) or x.ndim < 1 or x.shape[-1] != 2:
        given = f"shape {tuple(x.shape)}" if isinstance(x, Tensor) else f"type {type(x).__name__}"
        raise ValueError(f"{name} has {given}; wanted points of the plane, (n, 2).")
    return x


def _time(t: Time, x: Tensor) -> Tensor:
    """t as a tensor of x's device and dtype that broadcasts over x."""
    if not isinstance(x, Tensor):
        raise ValueError(f"The state is a {type(x).__name__}; wanted a tensor (n, ...).")
    return torch.as_tensor(expand_time(t, x), dtype=x.dtype, device=x.device)
