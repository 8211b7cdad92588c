"""Steps of DDIM, as in `course.checking.lab4`."""

from course.checking.lab4 import at_the_levels


def _a(x, eps, now, then, eta, noise):
    now, then, z, variance = at_the_levels(x, eps, now, then)
    sigma = eta * variance**0.5
    return then**0.5 * z + (sigma * noise + (1 - then - eta**2 * variance) ** 0.5 * eps)


def _b(x, eps, now, then, eta, noise):
    now, then, z, variance = at_the_levels(x, eps, now, then)
    sigma = eta * variance**0.5
    return then**0.5 * z + (1 - then - sigma**2) ** 0.5 * -eps + sigma * noise


def _c(x, eps, now, then, eta, noise):
    now, then, z, variance = at_the_levels(x, eps, now, then)
    sigma = eta * variance**0.5
    found = (x - now**0.5 * z) / (1 - now) ** 0.5
    return sigma * noise + (1 - then - sigma**2) ** 0.5 * found + then**0.5 * z


def _d(x, eps, now, then, eta, noise):
    now, then, z, variance = at_the_levels(x, eps, now, then)
    sigma = eta**0.5 * variance**0.5
    return then**0.5 * z + (1 - then - sigma**2) ** 0.5 * eps + sigma * noise


def _e(x, eps, now, then, eta, noise):
    now, then, z, variance = at_the_levels(x, eps, now, then)
    sigma = eta * variance**0.5
    return then**0.5 * z + (1 - then - sigma**2) * eps + sigma * noise


def _f(x, eps, now, then, eta, noise):
    now, then, z, variance = at_the_levels(x, eps, now, then)
    sigma = eta * variance**0.5
    return then**0.5 * z + ((1 - then) ** 0.5 - sigma) * eps + sigma * noise


def _g(x, eps, now, then, eta, noise):
    now, then, _, variance = at_the_levels(x, eps, now, then)
    sigma = eta * variance**0.5
    z = (x - (1 - now) * eps) / now**0.5
    return then**0.5 * z + (1 - then - sigma**2) ** 0.5 * eps + sigma * noise


SUBJECTS = [_c, _e, _g, _a, _d, _b, _f]
