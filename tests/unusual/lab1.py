"""Right solutions of Lab 1 that few people would write."""

import functools
import itertools
import math

import numpy as np
import scipy.integrate
import scipy.stats
import torch

from course.shapes import expand_time
from tests.unusual import unusual

# ---- linear_flow ----------------------------------------------------------------------------------------------------


@unusual("linear_flow", "a loop over the samples")
def sample_by_sample(x0, t, theta):
    times = torch.as_tensor(t).expand(len(x0)).tolist()
    return torch.stack([x * math.exp(-theta * time) for x, time in zip(x0, times, strict=True)])


@unusual("linear_flow", "the change is added: expm1")
def added_change(x0, t, theta):
    return x0 + x0 * torch.expm1(-theta * torch.as_tensor(expand_time(t, x0), dtype=x0.dtype))


@unusual("linear_flow", "einsum over a batch of times")
def einsum_of_times(x0, t, theta):
    factors = (-theta * torch.as_tensor(t, dtype=x0.dtype)).exp().expand(len(x0))
    return torch.einsum("n,n...->n...", factors, x0)


@unusual("linear_flow", "NumPy in double precision, cast back")
def flow_in_numpy(x0, t, theta):
    factors = np.exp(-theta * np.broadcast_to(np.asarray(t, dtype=float), len(x0)))
    return torch.from_numpy((x0.double().numpy().T * factors).T.copy()).to(x0.dtype)


@unusual("linear_flow", "a matrix exponential for each sample")
def matrix_exponential(x0, t, theta):
    rows = x0.flatten(1)
    times = torch.as_tensor(t, dtype=x0.dtype).expand(len(x0)).reshape(-1, 1, 1)
    flow = torch.linalg.matrix_exp(-theta * times * torch.eye(rows.shape[1], dtype=x0.dtype))
    return (flow @ rows[..., None]).reshape(x0.shape)


# ---- euler_step -----------------------------------------------------------------------------------------------------


@unusual("euler_step", "in place on a clone")
def euler_in_place(u, x, t, h):
    y = x.clone()
    y += h * u(x, t)
    return y


@unusual("euler_step", "interpolates between x and x + u")
def euler_by_lerp(u, x, t, h):
    return torch.lerp(x, x + u(x=x, t=t), float(h))


@unusual("euler_step", "one sample at a time, with vmap")
def euler_by_vmap(u, x, t, h):
    return torch.vmap(lambda one: one + h * u(one, t))(x)


@unusual("euler_step", "NumPy in double precision, cast back")
def euler_in_numpy(u, x, t, h):
    return torch.from_numpy(np.asarray(x, dtype=float) + float(h) * u(x, t).double().numpy()).to(x.dtype)


# ---- heun_step ------------------------------------------------------------------------------------------------------


@unusual("heun_step", "the average of x and of two Euler steps in a row")
def heun_of_two_euler_steps(u, x, t, h):
    y = euler_in_place(u, x, t, h)
    return (x + euler_in_place(u, y, t + h, h)) / 2


@unusual("heun_step", "from its tableau")
def heun_from_its_tableau(u, x, t, h):
    return from_tableau(u, x, t, h, [0, 1], [[], [1]], [1 / 2, 1 / 2])


@unusual("heun_step", "corrects the Euler step by half the change of the slope, in preallocated memory")
def heun_as_a_correction(u, x, t, h):
    result = torch.empty_like(x)
    slope = u(x, t)
    torch.add(x, h * slope, out=result)
    result.add_(h * (u(result.clone(), t + h) - slope) / 2)
    return result


def from_tableau(u, x, t, h, nodes, matrix, weights):
    slopes = torch.zeros(len(nodes), *x.shape, dtype=x.dtype)
    for i, (node, row) in enumerate(zip(nodes, matrix, strict=True)):
        change = torch.tensordot(torch.tensor(row, dtype=x.dtype), slopes[:i], dims=1) if i else 0
        slopes[i] = u(x + h * change, t + node * h)
    return x + h * torch.tensordot(torch.tensor(weights, dtype=x.dtype), slopes, dims=1)


# ---- rk4_step -------------------------------------------------------------------------------------------------------


@unusual("rk4_step", "from its tableau, with tensordot")
def rk4_from_its_tableau(u, x, t, h):
    matrix = [[], [1 / 2], [0, 1 / 2], [0, 0, 1]]
    return from_tableau(u, x, t, h, [0, 1 / 2, 1 / 2, 1], matrix, [1 / 6, 1 / 3, 1 / 3, 1 / 6])


@unusual("rk4_step", "slopes that already contain h, summed as they come")
def rk4_of_increments(u, x, t, h):
    total, k = x.clone(), torch.zeros_like(x)
    for part, weight in [(0, 6), (0.5, 3), (0.5, 3), (1, 6)]:
        k = h * u(x + part * k, t + part * h)
        total += k / weight
    return total


@unusual("rk4_step", "from the stages, as the four-stage recursion with x / 3 taken off")
def rk4_of_stages(u, x, t, h):
    a = x + h / 2 * u(x, t)
    b = x + h / 2 * u(a, t + h / 2)
    c = x + h * u(b, t + h / 2)
    return (a + 2 * b + c - x) / 3 + h / 6 * u(c, t + h)


@unusual("rk4_step", "recursion over the stages, keyword arguments, float numbers")
def rk4_by_recursion(u, x, t, h):
    t, h = float(t), float(h)

    @functools.cache
    def slope(i):
        part = (0, 0.5, 0.5, 1)[i]
        return u(x=x + part * h * slope(i - 1) if i else x, t=t + part * h)

    return x + (slope(0) + slope(3) + 2 * (slope(1) + slope(2))) * (h / 6)


# ---- simulate -------------------------------------------------------------------------------------------------------


@unusual("simulate", "itertools.accumulate")
def by_accumulation(step, x, t):
    pairs = zip(t[:-1], t.diff(), strict=True)
    return torch.stack(list(itertools.accumulate(pairs, lambda state, pair: step(state, *pair), initial=x)))


@unusual("simulate", "memory set aside, Python numbers for the times")
def into_memory(step, x, t):
    times = t.tolist()
    xs = torch.empty((len(times), *x.shape), dtype=x.dtype)
    xs[0] = x
    for k in range(1, len(times)):
        xs[k].copy_(step(xs[k - 1], times[k - 1], times[k] - times[k - 1]))
    return xs


@unusual("simulate", "recursion on the grid")
def by_recursion(step, x, t):
    if len(t) == 1:
        return x[None]
    return torch.cat([x[None], by_recursion(step, step(x, t[0], t[1] - t[0]), t[1:])])


@unusual("simulate", "a while loop, keyword arguments, concatenation")
def by_concatenation(step, x, t):
    xs, k = x.unsqueeze(0), 0
    while len(xs) < len(t):
        xs = torch.cat((xs, step(x=xs[-1], t=t[k], h=t[k + 1] - t[k]).unsqueeze(0)))
        k += 1
    return xs


# ---- convergence_order ----------------------------------------------------------------------------------------------


@unusual("convergence_order", "numpy.polyfit")
def order_by_polyfit(h, errors):
    return np.polyfit(np.log(h.numpy()), np.log(errors.numpy()), 1)[0]


@unusual("convergence_order", "torch.linalg.lstsq, returned as a 0-d tensor")
def order_by_lstsq(h, errors):
    lines = torch.stack([torch.ones_like(h), h.log2()], dim=1)
    return torch.linalg.lstsq(lines, errors.log2()[:, None]).solution[1, 0]


@unusual("convergence_order", "scipy.stats.linregress with base 10")
def order_by_regression(h, errors):
    return scipy.stats.linregress(h.log10().numpy(), errors.log10().numpy()).slope


@unusual("convergence_order", "the normal equations, written out with sums over Python numbers")
def order_by_sums(h, errors):
    a, b = [math.log(v) for v in h.tolist()], [math.log(v) for v in errors.tolist()]
    ab, aa = sum(p * q for p, q in zip(a, b, strict=True)), sum(p * p for p in a)
    return (len(a) * ab - sum(a) * sum(b)) / (len(a) * aa - sum(a) ** 2)


# ---- amplification_factor -------------------------------------------------------------------------------------------


@unusual("amplification_factor", "Horner's scheme")
def by_horner(z, order):
    r = torch.ones_like(z)
    for k in range(order, 0, -1):
        r = 1 + z / k * r
    return r


@unusual("amplification_factor", "cumulative products")
def by_cumulative_products(z, order):
    factors = torch.stack([torch.ones_like(z)] + [z / k for k in range(1, order + 1)])
    return factors.cumprod(0).sum(0)


@unusual("amplification_factor", "numpy.polyval in double precision, cast back")
def by_polyval(z, order):
    coefficients = [1 / math.factorial(k) for k in range(order, -1, -1)]
    wide = z.numpy().astype(complex if z.is_complex() else float)
    return torch.from_numpy(np.polyval(coefficients, wide)).to(z.dtype)


@unusual("amplification_factor", "powers in polar form")
def by_polar_form(z, order):
    size, angle = z.abs(), torch.angle(z)
    terms = [torch.polar(size**k / math.factorial(k), k * angle) for k in range(order + 1)]
    total = torch.stack(terms).sum(0)
    return total if z.is_complex() else total.real


# ---- loop_test ------------------------------------------------------------------------------------------------------


@unusual("loop_test", "records what the step rule is handed")
def by_recording(simulate):
    t, calls = torch.tensor([-1.0, 0.5, 0.75, 2.0, 2.25]), []

    def step(x, t, h):
        calls.append((float(t), float(h)))
        return 2 * x + 1

    xs = simulate(step, torch.zeros(2, 1), t)
    rows = torch.tensor([0.0, 1.0, 3.0, 7.0, 15.0]).reshape(5, 1, 1).expand(5, 2, 1)
    handed = list(zip(t[:-1].tolist(), t.diff().tolist(), strict=True))
    return calls == handed and torch.equal(xs, rows)


@unusual("loop_test", "compares with a loop of its own, and lets assertions decide")
def by_assertions(simulate):
    t = torch.tensor([0.3, 0.4, 0.8, 1.9])
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    mine = [x]
    for k in range(3):
        mine.append(heun_of_two_euler_steps(field, mine[-1], t[k], t[k + 1] - t[k]))
    xs = simulate(functools.partial(heun_of_two_euler_steps, field), x.clone(), t)
    try:
        torch.testing.assert_close(xs, torch.stack(mine))
    except AssertionError:
        return False
    return True


def field(x, t):
    return torch.cos(x + t) @ torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.5, 0.0]])


@unusual("loop_test", "many small demands, float rules, a NumPy bool as the answer")
def by_small_demands(simulate):
    t = torch.tensor([1.0, 1.5, 3.5, 4.0, 7.0])
    x = torch.tensor([[2.0], [3.0]])
    states = np.asarray(simulate(lambda x, t, h: x * (1 + float(h) / float(t)), x.clone(), t))
    if states.shape != (5, 2, 1) or not np.array_equal(states[0], x):
        return False
    return np.allclose(states[:, 0, 0], 2 * t) & np.allclose(states[:, 1, 0], 3 * t)


# ---- brownian_path --------------------------------------------------------------------------------------------------


@unusual("brownian_path", "a loop over the steps, into preallocated memory")
def path_by_a_loop(t, noise):
    w = torch.zeros(len(t), *noise.shape[1:], dtype=noise.dtype)
    for k in range(len(noise)):
        w[k + 1] = w[k] + math.sqrt(t[k + 1] - t[k]) * noise[k]
    return w


@unusual("brownian_path", "a lower triangular matrix")
def path_by_a_matrix(t, noise):
    root = torch.ones(len(t), len(t) - 1, dtype=noise.dtype).tril(-1) * t.diff().sqrt()
    return torch.einsum("km,mnd->knd", root, noise)


@unusual("brownian_path", "padding, then the sum")
def path_by_padding(t, noise):
    increments = noise * (t[1:] - t[:-1])[:, None, None] ** 0.5
    return torch.nn.functional.pad(increments, (0, 0, 0, 0, 1, 0)).cumsum(dim=0)


@unusual("brownian_path", "the Cholesky factor of the covariance min(s, t)")
def path_by_cholesky(t, noise):
    times = (t[1:] - t[0]).double()
    root = torch.linalg.cholesky(torch.minimum(times[:, None], times[None, :]))
    path = torch.tensordot(root, noise.double(), dims=1)
    return torch.cat([torch.zeros_like(path[:1]), path]).to(noise.dtype)


# ---- coarsen_noise --------------------------------------------------------------------------------------------------


@unusual("coarsen_noise", "average pooling")
def coarsen_by_pooling(noise, factor):
    m, n, d = noise.shape
    pooled = torch.nn.functional.avg_pool1d(noise.reshape(m, n * d).T[:, None], factor)
    return pooled[:, 0].T.reshape(m // factor, n, d) * factor**0.5


@unusual("coarsen_noise", "differences of the path at the coarse times")
def coarsen_by_differences(noise, factor):
    path = torch.cat([torch.zeros_like(noise[:1]), noise.cumsum(0)])
    return path[::factor].diff(dim=0) / math.sqrt(factor)


@unusual("coarsen_noise", "a sum of strided slices")
def coarsen_by_slices(noise, factor):
    return sum(noise[i::factor] for i in range(factor)) * factor**-0.5


@unusual("coarsen_noise", "numpy.add.reduceat")
def coarsen_by_reduceat(noise, factor):
    sums = np.add.reduceat(noise.numpy(), range(0, len(noise), factor), axis=0)
    return torch.from_numpy(sums / np.sqrt(factor)).to(noise.dtype)


# ---- euler_maruyama_step --------------------------------------------------------------------------------------------


@unusual("euler_maruyama_step", "the increment of Brownian motion first, then addcmul")
def maruyama_by_addcmul(u, sigma, x, t, h, noise):
    increment = noise * math.sqrt(h)
    return torch.addcmul(x + u(x, t) * h, increment, torch.as_tensor(sigma(t), dtype=x.dtype))


@unusual("euler_maruyama_step", "the variance first, in place on a clone")
def maruyama_in_place(u, sigma, x, t, h, noise):
    y = x.clone()
    y.add_(u(x=x, t=t), alpha=float(h))
    y.add_((sigma(t) ** 2 * h) ** 0.5 * noise)
    return y


@unusual("euler_maruyama_step", "the root of h taken out of both terms")
def maruyama_factored(u, sigma, x, t, h, noise):
    root = h**0.5
    return x + root * (root * u(x, t) + sigma(t) * noise)


# ---- milstein_step --------------------------------------------------------------------------------------------------


@unusual("milstein_step", "in the increment of W")
def milstein_in_the_increment(u, b, db, x, t, h, noise):
    dw = noise * h**0.5
    return x + u(x, t) * h + b(x, t) * (dw + db(x, t) / 2 * (dw**2 - h))


@unusual("milstein_step", "a loop over the samples")
def milstein_by_samples(u, b, db, x, t, h, noise):
    def step(x, noise):
        return x + h * (u(x, t) - b(x, t) * db(x, t) / 2) + b(x, t) * noise * (h**0.5 + h / 2 * db(x, t) * noise)

    return torch.stack([step(*pair) for pair in zip(x, noise, strict=True)])


# ---- ornstein_uhlenbeck_moments -------------------------------------------------------------------------------------


@unusual("ornstein_uhlenbeck_moments", "expm1")
def moments_by_expm1(x0, t, theta, sigma):
    return x0 + x0 * math.expm1(-theta * t), -(sigma**2) / (2 * theta) * math.expm1(-2 * theta * t)


@unusual("ornstein_uhlenbeck_moments", "a hyperbolic sine, the variance as a 0-d tensor, the result as a list")
def moments_by_sinh(x0, t, theta, sigma):
    decay = torch.exp(torch.tensor(-theta * t, dtype=x0.dtype))
    return [decay * x0, sigma**2 / theta * decay * math.sinh(theta * t)]


@unusual("ornstein_uhlenbeck_moments", "the variance as a numerical integral")
def moments_by_quadrature(x0, t, theta, sigma):
    variance, _ = scipy.integrate.quad(lambda s: (sigma * math.exp(-theta * (t - s))) ** 2, 0, t)
    return x0 / math.exp(theta * t), variance


@unusual("ornstein_uhlenbeck_moments", "a matrix exponential (Van Loan)")
def moments_by_matrix_exponential(x0, t, theta, sigma):
    block = torch.tensor([[theta, sigma**2], [0.0, -theta]], dtype=torch.float64)
    exponential = torch.linalg.matrix_exp(t * block)
    decay = exponential[1, 1]
    return (decay * x0).to(x0.dtype), decay * exponential[0, 1]


# ---- ornstein_uhlenbeck_sample --------------------------------------------------------------------------------------


@unusual("ornstein_uhlenbeck_sample", "two half steps: the process is Markov")
def sample_in_two_steps(x0, t, theta, sigma, generator=None):
    x, decay = x0, math.exp(-theta * t / 2)
    for _ in range(2):
        noise = torch.randn(x0.shape, generator=generator, dtype=x0.dtype)
        x = decay * x + sigma * math.sqrt((1 - decay**2) / (2 * theta)) * noise
    return x


@unusual("ornstein_uhlenbeck_sample", "Brownian motion in another time (Doob)")
def sample_by_change_of_time(x0, t, theta, sigma, generator=None):
    clock = math.expm1(2 * theta * t) / (2 * theta)
    w = torch.empty_like(x0).normal_(0, math.sqrt(clock), generator=generator)
    return math.exp(-theta * t) * (x0 + sigma * w)


@unusual("ornstein_uhlenbeck_sample", "torch.normal with mean and standard deviation")
def sample_by_torch_normal(x0, t, theta, sigma, generator=None):
    mean, variance = moments_by_expm1(x0, t, theta, sigma)
    return torch.normal(mean, math.sqrt(variance), generator=generator)


@unusual("ornstein_uhlenbeck_sample", "uniform numbers through Box and Muller's formula, with a minus sign")
def sample_by_box_muller(x0, t, theta, sigma, generator=None):
    radius = (-2 * (1 - torch.rand(x0.shape, generator=generator)).log()).sqrt()
    noise = radius * torch.cos(2 * torch.pi * torch.rand(x0.shape, generator=generator))
    mean, variance = moments_by_expm1(x0, t, theta, sigma)
    return mean - math.sqrt(variance) * noise


# ---- langevin_drift -------------------------------------------------------------------------------------------------


@unusual("langevin_drift", "the diffusion D = sigma^2 / 2 first, as a tensor")
def drift_from_the_diffusion(score, sigma, x, t):
    diffusion = 0.5 * torch.as_tensor(sigma(t), dtype=x.dtype).square()
    return torch.mul(score(x=x, t=t), diffusion)


@unusual("langevin_drift", "NumPy in double precision, cast back")
def drift_in_numpy(score, sigma, x, t):
    return torch.from_numpy(np.square(float(sigma(t))) * score(x, t).double().numpy() / 2).to(x.dtype)


@unusual("langevin_drift", "a loop over the samples, in place")
def drift_by_samples(score, sigma, x, t):
    drift = torch.zeros_like(x)
    for i in range(len(x)):
        drift[i] += score(x[i : i + 1], t)[0] * sigma(t) * sigma(t)
    return drift / 2


# ---- strong_and_weak_error ------------------------------------------------------------------------------------------


@unusual("strong_and_weak_error", "the diagonal of all distances")
def errors_by_cdist(x, exact):
    strong = torch.cdist(x.double(), exact.double()).diagonal().mean()
    return strong, torch.dist(x.mean(0), exact.mean(0))


@unusual("strong_and_weak_error", "Python's math.dist, sample by sample, as a list")
def errors_by_math_dist(x, exact):
    strong = sum(math.dist(a, b) for a, b in zip(x.tolist(), exact.tolist(), strict=True)) / len(x)
    return [strong, math.dist(x.mean(0).tolist(), exact.mean(0).tolist())]


@unusual("strong_and_weak_error", "NumPy numbers")
def errors_in_numpy(x, exact):
    gap = x.numpy() - exact.numpy()
    return np.linalg.norm(gap, axis=-1).mean(), np.linalg.norm(gap.mean(axis=0))


@unusual("strong_and_weak_error", "pairwise_distance, which adds a tiny number")
def errors_by_pairwise_distance(x, exact):
    strong = torch.nn.functional.pairwise_distance(x, exact).mean()
    return strong.item(), torch.einsum("d,d->", (x - exact).mean(0), (x - exact).mean(0)).sqrt()
