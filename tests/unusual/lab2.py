"""Right solutions of Lab 2 that few people would write."""

import math

import numpy as np
import scipy.spatial
import scipy.special
import torch

from course import expand_time, paths
from course.distributions import GaussianMixture
from tests.unusual import unusual

# ---- schedules ------------------------------------------------------------------------------------------------------


@unusual("linear_schedule", "ones_like where t is a tensor, an integer where it is not, and a list")
def linear_by_cases(t):
    if isinstance(t, torch.Tensor):
        return [t.clone(), torch.ones_like(t) - t, torch.ones_like(t), -torch.ones_like(t)]
    return [t, 1 - t, 1, -1]


@unusual("linear_schedule", "derivatives by automatic differentiation")
def linear_by_autograd(t):
    times = torch.as_tensor(t).detach().clone().requires_grad_()
    alpha, beta = times * 1, 1 - times
    return alpha, beta, *(torch.autograd.grad(value.sum(), times)[0] for value in (alpha, beta))


@unusual("cosine_schedule", "the sine of the time that is left")
def cosine_by_sines(t):
    wide = torch.as_tensor(t, dtype=torch.float64)
    alpha, beta = torch.sin(math.pi * wide / 2), torch.sin(math.pi * (1 - wide) / 2)
    values = alpha, beta, math.pi / 2 * beta, -math.pi / 2 * alpha
    return tuple(v.to(t.dtype) for v in values) if torch.is_tensor(t) else tuple(v.item() for v in values)


@unusual("cosine_schedule", "the complex exponential")
def cosine_by_complex_numbers(t):
    angle = torch.as_tensor(t) * (math.pi / 2)
    point = torch.polar(torch.ones_like(angle), angle)
    speed = 0.5j * math.pi * point
    return point.imag, point.real, speed.imag, speed.real


@unusual("cosine_schedule", "NumPy in the dtype of the time")
def cosine_in_numpy(t):
    values = np.asarray(t)
    parts = (np.sin(np.pi / 2 * values), np.cos(np.pi / 2 * values))
    parts += (np.pi / 2 * parts[1], -np.pi / 2 * parts[0])
    return [torch.from_numpy(p).to(t.dtype) if torch.is_tensor(t) else p.item() for p in parts]


# ---- paths to one point ---------------------------------------------------------------------------------------------


def times_of(x, t):
    """A tensor of one time for each sample."""
    return torch.as_tensor(t, dtype=x.dtype).expand(len(x))


def by_samples(function, *batches):
    return torch.stack([function(*rows) for rows in zip(*batches, strict=True)])


@unusual("sample_conditional_path", "a loop over the samples, with float times")
def mix_by_samples(schedule, z, t, noise):
    def one(z, t, noise):
        alpha, beta, _, _ = schedule(t.item())
        return alpha * z + beta * noise

    return by_samples(one, z, times_of(z, t), noise)


@unusual("sample_conditional_path", "einsum over the coefficients (n,)")
def mix_by_einsum(schedule, z, t, noise):
    alpha, beta, _, _ = schedule(times_of(z, t))
    return torch.einsum("n,n...->n...", alpha, z) + torch.einsum("n,n...->n...", beta, noise)


@unusual("sample_conditional_path", "samples on the last axis, in double precision")
def mix_on_the_last_axis(schedule, z, t, noise):
    alpha, beta, _, _ = schedule(times_of(z, t).double())
    wide = z.double().movedim(0, -1) * alpha + noise.double().movedim(0, -1) * beta
    return wide.movedim(-1, 0).to(z.dtype)


@unusual("conditional_velocity", "from the noise in x")
def velocity_from_the_noise(schedule, x, t, z):
    alpha, beta, d_alpha, d_beta = schedule(expand_time(t, x))
    noise = (x - alpha * z) / beta
    return d_alpha * z + d_beta * noise


@unusual("conditional_velocity", "sorted by x and z, vmapped over the samples")
def velocity_by_vmap(schedule, x, t, z):
    def one(x, t, z):
        alpha, beta, d_alpha, d_beta = schedule(t)
        return x * (d_beta / beta) + z * (d_alpha - alpha * d_beta / beta)

    return torch.vmap(one)(x, times_of(x, t), z)


@unusual("conditional_velocity", "a loop over the samples in double precision")
def velocity_by_samples(schedule, x, t, z):
    def one(x, t, z):
        alpha, beta, d_alpha, d_beta = schedule(t.item())
        return d_alpha * z + d_beta * (x - alpha * z) / beta

    return by_samples(one, x.double(), times_of(x.double(), t), z.double()).to(x.dtype)


@unusual("conditional_score", "automatic differentiation of the log-density")
def score_by_autograd(schedule, x, t, z):
    alpha, beta, _, _ = schedule(expand_time(t, x))
    where = x.detach().clone().requires_grad_()
    log_density = -((where - alpha * z) ** 2 / (2 * beta**2)).sum()
    return torch.autograd.grad(log_density, where)[0]


@unusual("conditional_score", "torch.distributions, and its gradient")
def score_by_distribution(schedule, x, t, z):
    alpha, beta, _, _ = schedule(expand_time(t, x))
    where = x.detach().clone().requires_grad_()
    law = torch.distributions.Normal(alpha * z, torch.as_tensor(beta, dtype=x.dtype).expand_as(x))
    law.log_prob(where).sum().backward()
    return where.grad


@unusual("conditional_score", "divides by beta twice")
def score_in_two_divisions(schedule, x, t, z):
    alpha, beta, _, _ = schedule(expand_time(t, x))
    return torch.sub(alpha * z, x).div_(beta).div_(beta)


# ---- paths to a data set --------------------------------------------------------------------------------------------


@unusual("posterior_weights", "scipy's log-sum-exp in double precision, cast back")
def weights_by_scipy(schedule, x, t, data):
    alpha, beta, _, _ = schedule(t)
    gap = x.double().numpy()[:, None] - alpha * data.double().numpy()
    exponents = -(gap**2).sum(-1) / (2 * beta**2)
    return torch.from_numpy(np.exp(exponents - scipy.special.logsumexp(exponents, axis=1, keepdims=True))).to(x.dtype)


@unusual("posterior_weights", "cdist, and the largest exponent taken out by hand")
def weights_by_cdist(schedule, x, t, data):
    alpha, beta, _, _ = schedule(t)
    exponents = -0.5 * (torch.cdist(x, alpha * data) / beta) ** 2
    scaled = torch.exp(exponents - exponents.amax(1, keepdim=True))
    return scaled / scaled.sum(1, keepdim=True)


@unusual("posterior_weights", "pairwise ratios: one over the sum of all ratios to the others, in plain float32")
def weights_by_ratios(schedule, x, t, data):
    alpha, beta, _, _ = schedule(t)
    exponents = -(((x.unsqueeze(1) - alpha * data.unsqueeze(0)) / beta) ** 2).sum(2) / 2
    return 1 / (exponents[:, None, :] - exponents[:, :, None]).exp().sum(2)


@unusual("posterior_weights", "a matrix product in double precision: |x|^2 is the same for all data points")
def weights_by_matmul(schedule, x, t, data):
    alpha, beta, _, _ = schedule(t)
    x, z = x.double(), alpha * data.double()
    scores = (x @ z.T - z.square().sum(1) / 2) / beta**2
    return torch.softmax(scores, dim=1).to(data.dtype)


@unusual("posterior_weights", "a loop over samples and torch.distributions.Categorical")
def weights_by_categorical(schedule, x, t, data):
    alpha, beta, _, _ = schedule(t)
    rows = [-((place - alpha * data) ** 2).sum(1) / (2 * beta * beta) for place in x]
    return torch.distributions.Categorical(logits=torch.stack(rows)).probs


@unusual("marginal_velocity", "all conditional velocities (n, N, d), averaged by einsum")
def marginal_velocity_by_einsum(schedule, x, t, data):
    alpha, beta, d_alpha, d_beta = schedule(t)
    all_of_them = d_alpha * data + d_beta / beta * (x[:, None, :] - alpha * data)
    return torch.einsum("nk,nkd->nd", weights_by_cdist(schedule, x, t, data), all_of_them)


@unusual("marginal_velocity", "a loop over the data points, with broadcast weights")
def marginal_velocity_by_points(schedule, x, t, data):
    weights = paths.EmpiricalPath(schedule, data).posterior_weights(x, t)
    total = torch.zeros_like(x)
    for k, z in enumerate(data):
        total += weights[:, k : k + 1] * paths.conditional_velocity(schedule, x, t, z.expand_as(x))
    return total


@unusual("marginal_velocity", "its own weights, all in double precision")
def marginal_velocity_in_double(schedule, x, t, data):
    alpha, beta, d_alpha, d_beta = schedule(t)
    z = weights_by_scipy(schedule, x.double(), t, data.double()) @ data.double()
    return ((d_alpha - d_beta * alpha / beta) * z + d_beta / beta * x.double()).to(x.dtype)


@unusual("marginal_score", "automatic differentiation of log p, by log-sum-exp, in double precision")
def marginal_score_by_autograd(schedule, x, t, data):
    alpha, beta, _, _ = schedule(t)
    where = x.double().requires_grad_()
    exponents = -(where[:, None] - alpha * data.double()).square().sum(-1) / (2 * beta**2)
    return torch.autograd.grad(exponents.logsumexp(1).sum(), where)[0].to(x.dtype)


@unusual("marginal_score", "all conditional scores, averaged by a batched matrix product")
def marginal_score_by_bmm(schedule, x, t, data):
    alpha, beta, _, _ = schedule(t)
    weights = paths.EmpiricalPath(schedule, data).posterior_weights(x, t)
    scores = (alpha * data - x[:, None, :]) / beta**2
    return torch.bmm(weights[:, None, :], scores)[:, 0]


@unusual("marginal_score", "the mixture of Gaussians at time t knows its score")
def marginal_score_of_the_mixture(schedule, x, t, data):
    alpha, beta, _, _ = schedule(t)
    equal = torch.full((len(data),), 1 / len(data), dtype=torch.float64)
    return GaussianMixture(equal, alpha * data.double(), beta**2).score(x.double()).to(x.dtype)


@unusual("denoiser", "by way of the noise, and with the time handed on in its broadcast shape")
def denoiser_by_the_noise(schedule, x, t, score):
    t = expand_time(t, x)
    alpha, beta, _, _ = schedule(t)
    noise = -beta * score(x=x, t=t)
    return (x - beta * noise) / alpha


@unusual("denoiser", "a loop over the samples")
def denoiser_by_samples(schedule, x, t, score):
    def one(x, t):
        alpha, beta, _, _ = schedule(t.item())
        return torch.addcmul(x, score(x[None], t.item())[0], torch.tensor(beta**2, dtype=x.dtype)) / alpha

    return by_samples(one, x, times_of(x, t))


@unusual("denoiser", "the two summands divided one by one, with einsum")
def denoiser_by_einsum(schedule, x, t, score):
    alpha, beta, _, _ = schedule(times_of(x, t))
    return torch.einsum("n,n...->n...", 1 / alpha, x) + torch.einsum("n,n...->n...", beta**2 / alpha, score(x, t))


@unusual("velocity_to_score", "by way of the denoiser")
def score_by_the_denoiser(schedule, x, t, velocity):
    alpha, beta, d_alpha, d_beta = schedule(expand_time(t, x))
    z = (beta * velocity - d_beta * x) / (d_alpha * beta - alpha * d_beta)
    return (alpha * z - x) / beta**2


@unusual("velocity_to_score", "solves the two equations numerically")
def score_by_solving(schedule, x, t, velocity):
    values = [torch.as_tensor(v, dtype=torch.float64).expand(len(x)) for v in schedule(times_of(x.double(), t))]
    alpha, beta, d_alpha, d_beta = values
    system = torch.stack([torch.stack([alpha, beta], -1), torch.stack([d_alpha, d_beta], -1)], -2)
    right = torch.stack([x.double().flatten(1), velocity.double().flatten(1)], dim=1)
    noise = torch.linalg.solve(system, right)[:, 1]
    return (-noise / beta[:, None]).reshape(x.shape).to(x.dtype)


@unusual("velocity_to_score", "factors of u and x, one by one")
def score_by_factors(schedule, x, t, velocity):
    alpha, beta, d_alpha, d_beta = schedule(expand_time(t, x))
    bracket = beta * beta * d_alpha - alpha * beta * d_beta
    return alpha / bracket * velocity - d_alpha / bracket * x


# ---- divergence and continuity --------------------------------------------------------------------------------------


@unusual("divergence", "jacrev of one sample, vmapped")
def divergence_by_jacrev(u, x, t):
    return torch.vmap(lambda row: torch.func.jacrev(lambda y: u(y[None], t)[0])(row).trace())(x)


@unusual("divergence", "forward mode: jvp with each unit vector")
def divergence_by_jvp(u, x, t):
    total = torch.zeros(len(x), dtype=x.dtype)
    for j, unit in enumerate(torch.eye(x.shape[1], dtype=x.dtype)):
        total = total + torch.func.jvp(lambda y: u(y, t), (x,), (unit.expand_as(x),))[1][:, j]
    return total


@unusual("divergence", "the whole Jacobian of the batch, and its diagonal blocks by einsum")
def divergence_by_the_whole_jacobian(u, x, t):
    whole = torch.autograd.functional.jacobian(lambda y: u(y, t), x)
    return torch.einsum("njnj->n", whole)


@unusual("divergence", "one call for each sample and coordinate, with a graph that is kept")
def divergence_by_samples(u, x, t):
    def one(row):
        row = row.clone().requires_grad_()
        values = u(row[None], t)[0]
        return sum(torch.autograd.grad(v, row, create_graph=True)[0][j] for j, v in enumerate(values))

    return torch.stack([one(row) for row in x])


@unusual("continuity_residual", "jacrev and vmap, sample by sample")
def residual_by_vmap(log_density, u, x, t):
    def log_p(row, time):
        return log_density(row[None], time[None])[0]

    def one(row, time):
        d_x, d_t = torch.func.grad(log_p, argnums=(0, 1))(row, time)
        return d_t + torch.func.jacrev(lambda y: u(y[None], t)[0])(row).trace() + u(row[None], t)[0] @ d_x

    return torch.vmap(one)(x, torch.full_like(x[:, 0], t))


@unusual("continuity_residual", "the change of log p along the flow, by one forward-mode call")
def residual_by_jvp(log_density, u, x, t):
    times = torch.full_like(x[:, 0], t)
    _, along = torch.func.jvp(log_density, (x, times), (u(x, t), torch.ones_like(times)))
    return along + divergence_by_jvp(u, x, t)


@unusual("continuity_residual", "one float time for all samples of a single sample's batch, in double precision")
def residual_by_samples(log_density, u, x, t):
    def one(row):
        row, time = row[None].double().requires_grad_(), torch.tensor([t], dtype=torch.float64, requires_grad=True)
        log_density(row, time).sum().backward()
        return time.grad[0] + divergence_by_jvp(u, row.detach(), t)[0] + (u(row, t) * row.grad).sum()

    return torch.stack([one(row) for row in x]).detach().to(x.dtype)


@unusual("continuity_residual", "from the flux p u itself: (dp/dt + div(p u)) / p")
def residual_of_the_flux(log_density, u, x, t):
    times = torch.full_like(x[:, 0], t)
    p, d_t = torch.func.jvp(lambda s: log_density(x, s).exp(), (times,), (torch.ones_like(times),))
    return (d_t + paths.divergence(lambda y, s: log_density(y, s).exp()[:, None] * u(y, s), x, t)) / p


@unusual("transport_test", "on a grid, at random times, relative to the size of the terms")
def tests_on_a_grid(u, log_density):
    axis = torch.linspace(-2.3, 2.4, 12, dtype=torch.float64)
    x = torch.cartesian_prod(axis, axis)
    for t in np.random.default_rng(3).uniform(0.05, 0.95, 3):
        t = float(t)
        residual = residual_by_jvp(log_density, u, x, t)
        if not residual.abs().max() <= 1e-7 * (1 + u(x, t).abs().max()):
            return torch.tensor(False)
    return torch.tensor(True)


@unusual("transport_test", "differences in time and space, with a wide tolerance")
def tests_by_differences(u, log_density):
    x, e = torch.randn(150, 2, generator=torch.Generator().manual_seed(5), dtype=torch.float64) * 1.3, 1e-5

    def slope(f):
        return (f(e) - f(-e)) / (2 * e)

    def residual(t):
        total = slope(lambda s: log_density(x, t + s))
        for j, unit in enumerate(torch.eye(2, dtype=torch.float64)):
            total = total + slope(lambda s, j=j, unit=unit: u(x + s * unit, t)[:, j])
            total = total + u(x, t)[:, j] * slope(lambda s, unit=unit: log_density(x + s * unit, t))
        return total.abs().max()

    return all(bool(residual(t) < 1e-3) for t in (0.12, 0.37, 0.83))


@unusual("transport_test", "in float32, weighted with the density")
def tests_the_mass(u, log_density):
    x = 1.4 * torch.randn(200, 2, generator=torch.Generator().manual_seed(9))
    sizes = []
    for t in (0.2, 0.45, 0.8):
        mass = log_density(x, t).exp() * residual_by_jvp(log_density, u, x, t)
        sizes.append(mass.abs().max().item())
    return max(sizes) < 1e-4


# ---- noise, and memory ----------------------------------------------------------------------------------------------


@unusual("sde_drift", "the diffusion first, then addcmul")
def drift_by_addcmul(u, score, sigma, x, t):
    diffusion = torch.as_tensor(sigma(t), dtype=x.dtype).square() / 2
    return torch.addcmul(u(x=x, t=t), score(x=x, t=t), diffusion)


@unusual("sde_drift", "a loop over the samples, in place")
def drift_by_samples(u, score, sigma, x, t):
    drift = torch.empty_like(x)
    for i in range(len(x)):
        one = x[i : i + 1]
        drift[i] = (2 * u(one, t) + sigma(t) * sigma(t) * score(one, t))[0] / 2
    return drift


@unusual("sde_drift", "NumPy in double precision, cast back")
def drift_in_numpy(u, score, sigma, x, t):
    wide = u(x, t).double().numpy() + np.square(float(sigma(t))) / 2 * score(x, t).double().numpy()
    return torch.from_numpy(wide).to(x.dtype)


@unusual("memorised_share", "a k-d tree")
def share_by_tree(x, data, radius):
    distance, _ = scipy.spatial.KDTree(data.numpy()).query(x.numpy())
    return np.mean(distance <= radius)


@unusual("memorised_share", "a loop over the samples, squares against squares, any")
def share_by_samples(x, data, radius):
    return sum(bool(((data - one) ** 2).sum(1).le(radius**2).any()) for one in x) / len(x)


@unusual("memorised_share", "cdist, returned as a 0-d tensor")
def share_by_cdist(x, data, radius):
    return torch.cdist(x, data).min(dim=1).values.le(radius).float().mean()
