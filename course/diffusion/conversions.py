"""From one prediction to another, at a level a of alpha_bar: x = sqrt(a) z + sqrt(1 - a) noise.

course.paths does the same along any path and has no v; v is what is written here, and the words of the literature.
x, z, eps, v: (n, ...), z and eps predictions of the data and of the noise;  a: float, 0-d or (n,).
"""

from torch import Tensor

from course.paths import Time
from course.shapes import expand_time


def predict_x0(x: Tensor, eps: Tensor, a: Time) -> Tensor:
    """The data z = (x - sqrt(1 - a) eps) / sqrt(a) that belong to a noise, like x.  Needs a > 0.

    Ho, Jain & Abbeel (2020), eq. 15.
    """
    a = expand_time(a, x)
    return (x - (1 - a) ** 0.5 * eps) / a**0.5


def predict_v(x: Tensor, z: Tensor, a: Time) -> Tensor:
    """v = sqrt(a) eps - sqrt(1 - a) z for the noise eps that belongs to z: (sqrt(a) x - z) / sqrt(1 - a), like x.

    Needs a < 1.  The derivative of x along the circle (sqrt(a), sqrt(1 - a)): -2/pi times the velocity of
    course.paths.cosine_schedule.  Salimans & Ho (2022), section 4.
    """
    a = expand_time(a, x)
    return (a**0.5 * x - z) / (1 - a) ** 0.5


def predict_noise(x: Tensor, v: Tensor, a: Time) -> Tensor:
    """The noise eps = sqrt(1 - a) x + sqrt(a) v that belongs to v, like x.  Holds for every a.

    Salimans & Ho (2022), appendix D.
    """
    a = expand_time(a, x)
    return (1 - a) ** 0.5 * x + a**0.5 * v
