"""The same in continuous time: the forward SDE of a path, and the two ways back along it.

The forward SDE dX = f(X, s) ds + g(s) dW runs in noising time s = 1 - t, from data, s = 0, to noise, s = 1; what goes
back runs in the course's time t.  f(x, s): like x (n, ...);  g(s): float, 0-d or (n,);  score(x, t): like x.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from course.paths import Field, Schedule, Time
from course.shapes import expand_time


def forward_sde(schedule: Schedule) -> tuple[Field, Callable[[Time], Time]]:
    """f and g of the linear SDE that has the law of x_t = alpha z + beta noise at every s = 1 - t, for any data z.

    f = -r x and g^2 = 2 beta (r beta - d_beta), r = d_alpha / alpha, the derivatives being those in t.
    Needs s < 1, where there is some data left.  Lu et al. (2022), DPM-Solver, section 2.1.
    """

    def f(x: Tensor, s: Time) -> Tensor:
        alpha, _, d_alpha, _ = schedule(expand_time(1 - s, x))
        return -d_alpha / alpha * x

    def g(s: Time) -> Time:
        alpha, beta, d_alpha, d_beta = (_exact(value) for value in schedule(1 - s))
        # beta d_beta; where alpha^2 + beta^2 = 1 leaves the data infinitely fast, its limit
        rise = torch.where(d_beta.isinf(), -alpha * d_alpha, beta * d_beta)
        return (2 * (d_alpha / alpha * beta**2 - rise)) ** 0.5

    return f, g


def _exact(value: Time) -> Tensor:
    return value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)


def reverse_sde_drift(f: Field, g: Callable[[Time], Time], score: Field, x: Tensor, t: Time) -> Tensor:
    """-f(x, 1 - t) + g(1 - t)^2 score(x, t), like x: dX = this dt + g(1 - t) dW retraces the laws of the forward SDE.

    t: float, 0-d or (n,).  Anderson (1982); Song et al. (2021), eq. 6.
    """
    return -f(x, 1 - t) + expand_time(g(1 - t), x) ** 2 * score(x, t)


def probability_flow_velocity(f: Field, g: Callable[[Time], Time], score: Field, x: Tensor, t: Time) -> Tensor:
    """-f(x, 1 - t) + g(1 - t)^2 / 2 score(x, t), like x: the ODE with the laws of the forward SDE, and no noise.

    t: float, 0-d or (n,).  Song et al. (2021), eq. 13.
    """
    return -f(x, 1 - t) + expand_time(g(1 - t), x) ** 2 / 2 * score(x, t)
