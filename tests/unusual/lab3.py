"""Right solutions of Lab 3 that few people would write."""

import functools
import itertools
import math

import numpy as np
import scipy.optimize
import scipy.spatial.distance
import torch

from course import solvers
from course.shapes import expand_time
from tests.unusual import unusual


def mixed(schedule, z, t, noise):
    """The place of every sample on its path."""
    alpha, beta, _, _ = schedule(expand_time(t, z))
    return alpha * z + beta * noise


# ---- flow_matching_loss ---------------------------------------------------------------------------------------------


@unusual("flow_matching_loss", "mse_loss with the sum, divided by the number of samples")
def known_by_mse(model, velocity, x, t):
    return torch.nn.functional.mse_loss(model(x, t), velocity(x, t), reduction="sum") / len(x)


@unusual("flow_matching_loss", "squared norms")
def known_by_norms(model, velocity, x, t):
    error = (velocity(x=x, t=t) - model(x=x, t=t)).reshape(len(x), -1)
    return torch.mean(torch.linalg.vector_norm(error, dim=1) ** 2)


@unusual("flow_matching_loss", "sample by sample")
def known_by_samples(model, velocity, x, t):
    errors = [model(x[i : i + 1], t[i : i + 1]) - velocity(x[i : i + 1], t[i : i + 1]) for i in range(len(x))]
    return sum(torch.sum(error * error) for error in errors) / len(errors)


# ---- conditional_flow_matching_loss ---------------------------------------------------------------------------------


@unusual("conditional_flow_matching_loss", "the target from the place: the conditional velocity at x")
def flow_by_conditional_velocity(model, schedule, z, t, noise):
    alpha, beta, d_alpha, d_beta = schedule(expand_time(t, z))
    x = alpha * z + beta * noise
    target = d_alpha * z + d_beta / beta * (x - alpha * z)
    return torch.nn.functional.mse_loss(model(x, t), target) * z[0].numel()


@unusual("conditional_flow_matching_loss", "the target as the derivative of the path, by a dual number")
def flow_by_differentiation(model, schedule, z, t, noise):
    x, target = torch.func.jvp(lambda t: mixed(schedule, z, t, noise), (t,), (torch.ones_like(t),))
    return torch.linalg.vector_norm((model(x, t) - target).flatten(1), dim=1).square().mean()


@unusual("conditional_flow_matching_loss", "the schedule asked with t (n,), the sum by einsum")
def flow_by_einsum(model, schedule, z, t, noise):
    shape = (-1,) + (1,) * (z.ndim - 1)
    alpha, beta, d_alpha, d_beta = (value.reshape(shape) for value in schedule(t))
    error = (d_alpha * z + d_beta * noise - model(noise * beta + z * alpha, t)).reshape(len(z), -1)
    return torch.einsum("ni,ni->n", error, error).mean()


# ---- train_step -----------------------------------------------------------------------------------------------------


@unusual("train_step", "a closure for the optimizer")
def by_closure(optimizer, loss):
    def closure():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    return optimizer.step(closure).detach()


@unusual("train_step", "the gradient taken by torch.autograd.grad and put in its place; a Python number comes back")
def by_autograd(optimizer, loss):
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    value = loss()
    for p, g in zip(parameters, torch.autograd.grad(value, parameters), strict=True):
        p.grad = g
    optimizer.step()
    return value.item()


@unusual("train_step", "the gradients cleared at the end, and only to zero")
def clears_afterwards(optimizer, loss):
    value = loss()
    value.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=False)
    return value.data.clone()


# ---- sample_flow ----------------------------------------------------------------------------------------------------


@unusual("sample_flow", "the course's loop")
def flow_by_simulate(u, x0, t, step):
    return solvers.simulate(functools.partial(step, u), x0, t, keep="last")


@unusual("sample_flow", "functools.reduce over pairs of times, detached at the end")
def flow_by_reduction(u, x0, t, step):
    return functools.reduce(lambda x, ab: step(u, x, ab[0], ab[1] - ab[0]), itertools.pairwise(t), x0).detach()


@unusual("sample_flow", "recursion, Python numbers for the times, keyword arguments")
@torch.no_grad()
def flow_by_recursion(u, x0, t, step):
    times = t.tolist() if isinstance(t, torch.Tensor) else t
    if len(times) < 2:
        return x0
    return flow_by_recursion(u, step(u=u, x=x0, t=times[0], h=times[1] - times[0]), times[1:], step)


# ---- energy_distance ------------------------------------------------------------------------------------------------


@unusual("energy_distance", "a quadratic form over both samples in one")
def energy_by_quadratic_form(x, y):
    points = torch.cat([x, y]).double()
    weights = torch.cat([torch.full((len(x),), 1 / len(x)), torch.full((len(y),), -1 / len(y))]).double()
    gaps = (points[:, None] - points).square().sum(2).sqrt()
    return -(weights @ gaps @ weights)


@unusual("energy_distance", "SciPy, every pair within a sample once, a NumPy number")
def energy_by_scipy(x, y):
    def within(x):
        return 2 * scipy.spatial.distance.pdist(x.numpy()).sum() / len(x) ** 2

    return 2 * scipy.spatial.distance.cdist(x.numpy(), y.numpy()).mean() - within(x) - within(y)


@unusual("energy_distance", "Python's math.dist")
def energy_by_math_dist(x, y):
    def mean(a, b):
        return math.fsum(math.dist(p, q) for p in a for q in b) / (len(a) * len(b))

    a, b = x.tolist(), y.tolist()
    return mean(a, b) + mean(b, a) - mean(a, a) - mean(b, b)


# ---- target_test ----------------------------------------------------------------------------------------------------


def numbers(n, d, seed):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@unusual("target_test", "records what the model is handed, and works out the value from that")
def by_recording(loss):
    z, noise, t = numbers(4, 3, 1), numbers(4, 3, 2), torch.tensor([0.1, 0.9, 0.4, 0.6], dtype=torch.float64)
    w, handed = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64, requires_grad=True), []

    def model(x, t):
        handed.append((x.clone(), t.clone()))
        return w.expand_as(x)

    value = loss(model, lambda t: (2 + 0 * t, 3 + 0 * t, 5 + 0 * t, 7 + 0 * t), z, t, noise)
    ((x, s),) = handed
    if not (torch.allclose(x, 2 * z + 3 * noise) and torch.allclose(s, t)) or not value.requires_grad:
        return False
    error = w.detach() - 5 * z - 7 * noise
    (slope,) = torch.autograd.grad(value, w)
    return torch.allclose(value, (error**2).sum() / 4) and torch.allclose(slope, 2 * error.mean(0))


@unusual("target_test", "compares with a loss of its own on a random network, in float32, as a NumPy bool")
def by_comparison(loss):
    z, noise = numbers(50, 4, 3).float(), numbers(50, 4, 4).float()
    t = torch.linspace(0.1, 0.8, 50)
    weights = numbers(5, 4, 5).float().requires_grad_()

    def model(x, t):
        return torch.tanh(torch.cat([x, t.reshape(-1, 1)], dim=1) @ weights)

    def schedule(t):
        return torch.sin(t), torch.cos(t) + t, torch.cos(t), 1 - torch.sin(t)

    both = []
    for one in (loss, flow_by_conditional_velocity):
        value = one(model, schedule, z, t, noise)
        if not value.requires_grad:
            return False
        both.append(np.append(torch.autograd.grad(value, weights)[0].numpy(), value.item()))
    return np.allclose(*both, rtol=1e-4, atol=1e-4)


@unusual("target_test", "a parabola in one parameter, seen at three points, and lets assertions decide")
def by_a_parabola(loss):
    z, noise, t = numbers(5, 2, 6), numbers(5, 2, 7), torch.linspace(0.2, 0.7, 5, dtype=torch.float64)
    alpha, beta = 1 + t[:, None] ** 3, torch.exp(t[:, None])
    x, target = alpha * z + beta * noise, 3 * t[:, None] ** 2 * z + beta * noise
    direction = torch.cos(x) * t[:, None]
    products = [(a * b).sum(1).mean() for a, b in ((direction, direction), (direction, target), (target, target))]
    try:
        for w in (-1.0, 0.0, 2.0):
            w = torch.tensor(w, dtype=torch.float64, requires_grad=True)

            def model(x, t, w=w):
                return w * torch.cos(x) * t[:, None]

            value = loss(model, lambda t: (1 + t**3, t.exp(), 3 * t**2, t.exp()), z, t, noise)
            value.backward()
            torch.testing.assert_close(
                value.detach(), w.detach() ** 2 * products[0] - 2 * w.detach() * products[1] + products[2]
            )
            torch.testing.assert_close(w.grad, 2 * w.detach() * products[0] - 2 * products[1])
    except (AssertionError, RuntimeError):
        return False
    return True


# ---- denoising_score_matching_loss ----------------------------------------------------------------------------------


@unusual("denoising_score_matching_loss", "the target as the score of a normal distribution, by automatic derivatives")
def score_by_differentiation(model, schedule, z, t, noise):
    alpha, beta, _, _ = schedule(expand_time(t, z))
    x = (alpha * z + beta * noise).requires_grad_()
    log_density = torch.distributions.Normal(alpha * z, beta).log_prob(x).sum()
    (target,) = torch.autograd.grad(log_density, x)
    return (model(x.detach(), t) - target).square().sum() / len(z)


@unusual("denoising_score_matching_loss", "the noise network's error, divided by the variance")
def score_by_weights(model, schedule, z, t, noise):
    alpha, beta, _, _ = schedule(expand_time(t, z))
    error = beta * model(alpha * z + beta * noise, t) + noise
    return torch.mean(error.square().flatten(1).sum(1) / (beta**2).flatten())


@unusual("denoising_score_matching_loss", "from x - alpha z, mse_loss")
def score_by_mse(model, schedule, z, t, noise):
    alpha, beta, _, _ = schedule(expand_time(t, z))
    x = mixed(schedule, z, t, noise)
    return torch.nn.functional.mse_loss((alpha * z - x) / beta**2, model(x, t), reduction="sum").div(len(z))


# ---- noise_prediction_loss ------------------------------------------------------------------------------------------


@unusual("noise_prediction_loss", "mse_loss times the dimension")
def noise_by_mse(model, schedule, z, t, noise):
    return torch.nn.functional.mse_loss(model(mixed(schedule, z, t, noise), t), noise) * noise[0].numel()


@unusual("noise_prediction_loss", "the square multiplied out")
def noise_by_products(model, schedule, z, t, noise):
    value = model(mixed(schedule, z, t, noise), t).flatten(1)
    target = noise.flatten(1)
    return (value * (value - 2 * target)).sum(1).mean() + (target**2).sum(1).mean()


@unusual("noise_prediction_loss", "the denoising loss of the score that the noise implies, weighted by beta squared")
def noise_by_its_score(model, schedule, z, t, noise):
    alpha, beta, _, _ = schedule(expand_time(t, z))
    score = model(torch.lerp(beta * noise, z, alpha) + alpha * beta * noise, t) / -beta
    return ((score + noise / beta) * beta).pow(2).flatten(1).sum(-1).mean(0)


# ---- score_from_noise -----------------------------------------------------------------------------------------------


@unusual("score_from_noise", "sample by sample")
def noise_score_by_samples(schedule, model, x, t):
    times = torch.as_tensor(t, dtype=x.dtype).expand(len(x))
    rows = [-model(x[i : i + 1], s[None]) / schedule(s)[1] for i, s in enumerate(times)]
    return torch.cat(rows)


@unusual("score_from_noise", "through the best guess of the data")
def noise_score_by_the_denoiser(schedule, model, x, t):
    alpha, beta, _, _ = schedule(expand_time(t, x))
    data = (x - beta * model(x=x, t=t)) / alpha
    return (alpha * data - x) / beta**2


@unusual("score_from_noise", "in place, without gradient")
@torch.no_grad()
def noise_score_in_place(schedule, model, x, t):
    return model(x, t).clone().neg_().div_(schedule(expand_time(t, x))[1])


# ---- score_from_velocity --------------------------------------------------------------------------------------------


@unusual("score_from_velocity", "through the best guess of the data")
def velocity_score_by_the_denoiser(schedule, model, x, t):
    alpha, beta, d_alpha, d_beta = schedule(expand_time(t, x))
    data = (model(x, t) - d_beta / beta * x) / (d_alpha - alpha * d_beta / beta)
    return (alpha * data - x) / beta**2


@unusual("score_from_velocity", "the two linear equations, solved as such for each sample")
def velocity_score_by_solving(schedule, model, x, t):
    times = torch.as_tensor(t, dtype=torch.float64).expand(len(x))
    alpha, beta, d_alpha, d_beta = schedule(times)
    matrices = torch.stack([torch.stack([alpha, beta], dim=1), torch.stack([d_alpha, d_beta], dim=1)], dim=1)
    right = torch.stack([x.flatten(1), model(x, t).flatten(1)], dim=1).double()
    noise = torch.linalg.solve(matrices, right)[:, 1]
    return (-noise / beta[:, None]).reshape(x.shape).to(x.dtype)


@unusual("score_from_velocity", "the field in terms of the score, turned round")
def velocity_score_by_rates(schedule, model, x, t):
    alpha, beta, d_alpha, d_beta = schedule(expand_time(t, x))
    growth = d_alpha / alpha
    return (model(x, t) - growth * x) / (beta * (growth * beta - d_beta))


# ---- sample_sde -----------------------------------------------------------------------------------------------------


@unusual("sample_sde", "the course's step rule")
def sde_by_the_rule(u, score, sigma, x0, t, noise):
    def drift(x, t):
        return u(x, t) + sigma(t) * sigma(t) * score(x, t) / 2

    x = x0
    for k in range(len(noise)):
        x = solvers.euler_maruyama_step(drift, sigma, x, t[k], t[k + 1] - t[k], noise[k]).detach()
    return x


@unusual("sample_sde", "increments of Brownian motion first, then addcmul in place on a clone, Python numbers")
def sde_in_place(u, score, sigma, x0, t, noise):
    times, x = t.tolist(), x0.clone()
    increments = noise * t.diff().sqrt().reshape(-1, *[1] * x0.ndim)
    with torch.inference_mode():
        for a, b, dw in zip(times, times[1:], increments, strict=False):
            force = u(x, a) + float(sigma(a)) ** 2 * 0.5 * score(x, a)
            x.add_(force, alpha=b - a).add_(dw, alpha=float(sigma(a)))
    return x.clone()


@unusual("sample_sde", "itertools.accumulate over rows, gradients switched off as a decorator")
@torch.no_grad()
def sde_by_accumulation(u, score, sigma, x0, t, noise):
    def step(x, row):
        s, h, xi = row
        return x + h * u(x, s) + (half := sigma(s) ** 2 * h / 2) * score(x, s) + (2 * half) ** 0.5 * xi

    *_, last = itertools.accumulate(zip(t[:-1], t.diff(), noise, strict=True), step, initial=x0)
    return last


# ---- log_likelihood -------------------------------------------------------------------------------------------------


def exact_divergence(u, x, t):
    """From the whole Jacobian."""
    jacobian = torch.autograd.functional.jacobian(lambda x: u(x, t).sum(0), x)  # (d, n, d)
    return jacobian.diagonal(dim1=0, dim2=2).sum(1).detach()


@unusual("log_likelihood", "the state and the integral apart, the method's four stages written out")
def likelihood_by_stages(u, x, t, log_base):
    integral = torch.zeros(len(x), dtype=x.dtype)
    with torch.no_grad():
        for k in reversed(range(len(t) - 1)):
            h, slope, total_slope, total_divergence = t[k + 1] - t[k], torch.zeros_like(x), 0, 0
            for part, weight in ((0, 1), (0.5, 2), (0.5, 2), (1, 1)):
                y, s = x - part * h * slope, t[k + 1] - part * h
                with torch.enable_grad():
                    divergence = exact_divergence(u, y, s)
                slope = u(y, s)
                total_slope, total_divergence = total_slope + weight * slope, total_divergence + weight * divergence
            x, integral = x - h / 6 * total_slope, integral + h / 6 * total_divergence
    return log_base(x) - integral


@unusual("log_likelihood", "the course's loop on the grid turned round")
def likelihood_by_simulate(u, x, t, log_base):
    def both(state, s):
        return torch.cat([u(state[:, :-1], s), exact_divergence(u, state[:, :-1], s)[:, None]], dim=1)

    state = torch.cat([x, x.new_zeros(len(x), 1)], dim=1)
    end = solvers.simulate(functools.partial(solvers.rk4_step, both), state, t.flip(0), keep="last")
    return log_base(end[:, :-1]) + end[:, -1]


@unusual("log_likelihood", "time reversed: a flow that runs forwards in 1 - t, one point at a time")
def likelihood_in_reversed_time(u, x, t, log_base):
    def reversed_pair(state, s):
        y = state[:, :-1]
        return -torch.cat([u(y, -s).detach(), -exact_divergence(u, y, -s)[:, None]], dim=1)

    values = []
    for point in x:
        state = torch.cat([point, point.new_zeros(1)])[None]
        for a, b in itertools.pairwise((-t).flip(0)):
            state = solvers.rk4_step(reversed_pair, state, a, b - a)
        values.append(log_base(state[:, :-1]) - state[:, -1])
    return torch.cat(values).detach()


# ---- straightness ---------------------------------------------------------------------------------------------------


@unusual("straightness", "the mean square of the velocity minus the square of the mean")
def straightness_by_pythagoras(xs, t):
    xs, h = xs.double(), t.diff().double()
    energy = (xs.diff(dim=0).square().sum(2).mean(1) / h).sum()
    return (energy - (xs[-1] - xs[0]).square().sum(1).mean()).item()


@unusual("straightness", "a loop over steps and samples, a 0-d tensor")
def straightness_by_loops(xs, t):
    total = torch.zeros((), dtype=xs.dtype)
    for k, i in itertools.product(range(len(t) - 1), range(xs.shape[1])):
        h = t[k + 1] - t[k]
        total += h * torch.dist((xs[k + 1, i] - xs[k, i]) / h, xs[-1, i] - xs[0, i]) ** 2
    return total / xs.shape[1]


@unusual("straightness", "NumPy's average with weights")
def straightness_by_numpy(xs, t):
    path, times = xs.numpy().astype(float), t.numpy().astype(float)
    velocity = np.diff(path, axis=0) / np.diff(times).reshape(-1, 1, 1)
    squares = np.sum((path[-1] - path[0] - velocity) ** 2, axis=-1)
    return np.average(squares.mean(axis=1), weights=np.diff(times))


# ---- ot_pairing -----------------------------------------------------------------------------------------------------


@unusual("ot_pairing", "the largest total of inner products")
def pairing_by_products(x, z):
    rows, columns = scipy.optimize.linear_sum_assignment((x.double() @ z.double().T).numpy(), maximize=True)
    return torch.tensor(columns[np.argsort(rows)])


@unusual("ot_pairing", "SciPy's squared distances")
def pairing_by_scipy(x, z):
    cost = scipy.spatial.distance.cdist(x.numpy(), z.numpy(), "sqeuclidean")
    return torch.from_numpy(scipy.optimize.linear_sum_assignment(cost)[1]).long()


@unusual("ot_pairing", "the assignment from the side of z, turned round")
def pairing_from_the_other_side(x, z):
    cost = (z[:, None] - x[None]).double().pow(2).sum(-1)
    return torch.as_tensor(scipy.optimize.linear_sum_assignment(cost)[1]).argsort()


@unusual("ot_pairing", "a linear program")
def pairing_by_a_linear_program(x, z):
    n = len(x)
    cost = torch.cdist(x.double(), z.double(), compute_mode="donot_use_mm_for_euclid_dist").square()
    sums = np.concatenate([np.kron(np.eye(n), np.ones((1, n))), np.kron(np.ones((1, n)), np.eye(n))])
    plan = scipy.optimize.linprog(cost.flatten().numpy(), A_eq=sums, b_eq=np.ones(2 * n), method="highs").x
    return torch.from_numpy(plan.reshape(n, n).argmax(1))


# ---- reflow_pairs ---------------------------------------------------------------------------------------------------


@unusual("reflow_pairs", "the course's loop with both ends kept, as a list")
def pairs_by_simulate(u, x0, t, step):
    return list(solvers.simulate(functools.partial(step, u), x0, t, keep=[0, -1]))


@unusual("reflow_pairs", "a loop that detaches at every step, the start cloned")
def pairs_by_detaching(u, x0, t, step):
    x = x0.clone()
    for a, b in itertools.pairwise(t):
        x = step(u, x, a, b - a).detach()
    return x0.clone(), x


@unusual("reflow_pairs", "unpacked from a stacked tensor")
@torch.no_grad()
def pairs_from_a_stack(u, x0, t, step):
    x = x0
    for k in range(1, len(t)):
        x = step(u=u, x=x, t=float(t[k - 1]), h=float(t[k] - t[k - 1]))
    first, last = torch.stack([x0, x])
    return first, last
