"""Right solutions of Lab 4 that few people would write."""

import itertools
import math
from fractions import Fraction

import numpy as np
import torch

from course import diffusion, paths
from course.shapes import expand_time
from tests.unusual import unusual

# ---- beta_schedule --------------------------------------------------------------------------------------------------


@unusual("beta_schedule", "number by number, with Python's math and a dict of functions")
def betas_by_loops(kind, steps):
    def logistic(u):
        return 1 / (1 + math.exp(-u))

    def f(s):
        return math.cos(math.pi / 2 * (s + 0.008) / 1.008) ** 2

    rules = {
        "linear": lambda i: (0.1 + 19.9 * i / (steps - 1)) / steps,
        "cosine": lambda i: 1 - f((i + 1) / steps) / f(i / steps),
        "sigmoid": lambda i: (0.1 + 19.9 * logistic(12 * i / (steps - 1) - 6)) / steps,
    }
    if kind not in rules:
        raise ValueError(kind)
    return torch.tensor([min(rules[kind](i), 0.999) for i in range(steps)], dtype=torch.float64)


@unusual("beta_schedule", "NumPy, the logistic function by a hyperbolic tangent, 1 + cos for the square")
def betas_by_numpy(kind, steps):
    low, high = 0.1 / steps, 20 / steps
    if kind == "linear":
        betas = np.linspace(low, high, steps)
    elif kind == "cosine":
        f = 1 + np.cos(np.pi * (np.arange(steps + 1) / steps + 0.008) / 1.008)
        betas = -np.diff(f) / f[:-1]
    elif kind == "sigmoid":
        betas = (low + high) / 2 + (high - low) / 2 * np.tanh(np.linspace(-3, 3, steps))
    else:
        raise ValueError(f"{kind}?")
    return torch.from_numpy(np.minimum(betas, 0.999))


@unusual("beta_schedule", "torch.where for the limit, linear interpolation by lerp, the name looked up by match")
def betas_by_lerp(kind, steps):
    step = torch.arange(1, steps + 1, dtype=torch.double)
    ends = torch.tensor([0.1, 20.0], dtype=torch.double).div(steps)
    match kind:
        case "linear":
            betas = torch.lerp(ends[0], ends[1], (step - 1) / (steps - 1))
        case "sigmoid":
            betas = torch.lerp(ends[0], ends[1], torch.special.expit(12 * (step - 1) / (steps - 1) - 6))
        case "cosine":
            late, early = ((torch.pi / 2.016 * (k / steps + 0.008)).cos() for k in (step, step - 1))
            betas = 1 - (late / early).square()
        case _:
            raise ValueError("linear, cosine or sigmoid")
    return torch.where(betas > 0.999, 0.999, betas)


# ---- alpha_bar ------------------------------------------------------------------------------------------------------


@unusual("alpha_bar", "the exponential of a sum of logarithms")
def products_by_logarithms(betas):
    return torch.nn.functional.pad(torch.log1p(-betas).cumsum(0), (1, 0)).exp()


@unusual("alpha_bar", "itertools.accumulate over Python numbers")
def products_by_accumulation(betas):
    return torch.tensor(
        list(itertools.accumulate(betas.tolist(), lambda left, beta: left - left * beta, initial=1.0)),
        dtype=betas.dtype,
    )


@unusual("alpha_bar", "a table of all factors, multiplied along its rows")
def products_by_a_table(betas):
    k = torch.arange(len(betas) + 1)
    return torch.where(k[:, None] > k[None, :-1], 1 - betas, 1.0).prod(1).to(betas)


# ---- snr ------------------------------------------------------------------------------------------------------------


@unusual("snr", "one over the surplus of 1/a over 1")
def ratio_by_reciprocals(a):
    return 1 / (1 / a - 1)


@unusual("snr", "the exponential of the log-odds, a 0-d tensor for a float")
def ratio_by_logit(a):
    return torch.logit(torch.as_tensor(a)).exp()


@unusual("snr", "a square of a quotient of the path's coefficients")
def ratio_by_the_path(a):
    return (a**0.5 / (1 - a) ** 0.5) ** 2


# ---- q_sample -------------------------------------------------------------------------------------------------------


@unusual("q_sample", "sample by sample, addcmul")
def chain_by_samples(z, a, noise):
    levels = torch.as_tensor(a, dtype=z.dtype).expand(len(z))
    rows = [torch.addcmul(a.sqrt() * row, (1 - a).sqrt(), eps) for row, a, eps in zip(z, levels, noise, strict=True)]
    return torch.stack(rows)


@unusual("q_sample", "an angle on the circle, in float64 and back")
def chain_by_an_angle(z, a, noise):
    angle = torch.acos(torch.as_tensor(a, dtype=torch.float64).sqrt())
    return (
        torch.einsum("n...,n->n...", z.double(), angle.expand(len(z)).cos())
        .add(noise.double() * angle.expand(len(z)).sin().reshape(-1, *[1] * (z.ndim - 1)))
        .to(z.dtype)
    )


@unusual("q_sample", "the path of Lab 2 with a schedule of its own")
def chain_by_the_path(z, a, noise):
    return paths.sample_conditional_path(lambda a: (a**0.5, (1 - a) ** 0.5, None, None), z, a, noise)


# ---- posterior ------------------------------------------------------------------------------------------------------


@unusual("posterior", "what is expected of the data alone, corrected by how far x is from it, as a Kalman filter does")
def posterior_by_a_filter(x, z, now, then):
    now, then = expand_time(now, x), expand_time(then, x)
    gain = (now / then) ** 0.5 * (1 - then) / (1 - now)
    return then**0.5 * z + gain * (x - now**0.5 * z), (1 - then) - gain**2 * (1 - now)


@unusual("posterior", "Ho's betas and alphas, the variance for every number, a list")
def posterior_in_ho_s_terms(x, z, now, then):
    shape = (len(x), *[1] * (x.ndim - 1))
    now, then = (torch.as_tensor(a, dtype=x.dtype).expand(len(x)).reshape(shape) for a in (now, then))
    alpha = now / then
    beta = 1 - alpha
    mean = (then.sqrt() * beta * z + alpha.sqrt() * (1 - then) * x) / (1 - now)
    return [mean, (beta * (1 - then) / (1 - now)).expand_as(x).clone()]


@unusual("posterior", "the joint Gaussian of both states given z, conditioned by its covariance")
def posterior_by_covariances(x, z, now, then):
    means, variances = [], []
    now, then = (torch.as_tensor(a, dtype=torch.float64).expand(len(x)) for a in (now, then))
    for row, data, a, b in zip(x.double(), z.double(), now, then, strict=True):
        kept = (a / b).sqrt()
        covariance = torch.stack([torch.stack([1 - b, kept * (1 - b)]), torch.stack([kept * (1 - b), 1 - a])])
        gain = covariance[0, 1] / covariance[1, 1]
        means.append(b.sqrt() * data + gain * (row - a.sqrt() * data))
        variances.append(covariance[0, 0] - gain * covariance[1, 0])
    variance = torch.stack(variances).reshape(-1, *[1] * (x.ndim - 1))
    return torch.stack(means).to(x.dtype), variance.to(x.dtype)


# ---- gaussian_kl ----------------------------------------------------------------------------------------------------


def spread(variance, mean):
    return torch.as_tensor(variance, dtype=mean.dtype).expand(mean.shape)


@unusual("gaussian_kl", "PyTorch's own")
def kl_by_pytorch(mean1, var1, mean2, var2):
    first, second = (torch.distributions.Normal(m, spread(v, m).sqrt()) for m, v in ((mean1, var1), (mean2, var2)))
    return torch.distributions.kl_divergence(first, second).reshape(len(mean1), -1).sum(-1)


@unusual("gaussian_kl", "the cross-entropy minus the entropy, sample by sample")
def kl_by_entropies(mean1, var1, mean2, var2):
    v1, v2 = spread(var1, mean1), spread(var2, mean2)
    rows = []
    for i in range(len(mean1)):
        cross = torch.log(2 * math.pi * v2[i]) + (v1[i] + (mean2[i] - mean1[i]) ** 2) / v2[i]
        entropy = torch.log(2 * math.pi * math.e * v1[i])
        rows.append(torch.sum(cross - entropy) / 2)
    return torch.stack(rows)


@unusual("gaussian_kl", "the square as an inner product, the logarithm of a quotient of deviations")
def kl_by_einsum(mean1, var1, mean2, var2):
    s1, s2 = spread(var1, mean1).sqrt().flatten(1), spread(var2, mean2).sqrt().flatten(1)
    far, ratio = (mean1.flatten(1) - mean2.flatten(1)) / s2, s1 / s2
    ones = torch.ones_like(far)
    return (torch.einsum("ni,ni->n", far, far) + torch.einsum("ni,ni->n", ratio, ratio)) / 2 - torch.einsum(
        "ni,ni->n", ones, ratio.log() + 0.5
    )


# ---- elbo_terms -----------------------------------------------------------------------------------------------------


@unusual("elbo_terms", "all steps in one batch, PyTorch's divergence and log-density")
@torch.no_grad()
def bound_in_one_batch(model, alpha_bar, z, noise):
    T, n = len(alpha_bar) - 1, len(z)
    normal, kl = torch.distributions.Normal, torch.distributions.kl_divergence
    k = torch.arange(1, T + 1).repeat_interleave(n)
    shape = (-1, *[1] * (z.ndim - 1))
    now, then = (alpha_bar[i].to(z.dtype).reshape(shape) for i in (k, k - 1))
    data = z.repeat(T, *[1] * (z.ndim - 1))
    x = now.sqrt() * data + (1 - now).sqrt() * noise.flatten(0, 1)
    guess = (x - (1 - now).sqrt() * model(x, k)) / now.sqrt()
    first = -normal(guess[:n], (1 - now[:n]).sqrt()).log_prob(z)
    beta = 1 - now / then
    mean, wrong = (
        (then.sqrt() * beta * data + (now / then).sqrt() * (1 - then) * x) / (1 - now) for data in (data, guess)
    )
    variance = beta * (1 - then) / (1 - now)
    steps = kl(normal(mean[n:], variance[n:].sqrt()), normal(wrong[n:], beta[n:].sqrt()))
    last = kl(normal(now[-n:].sqrt() * z, (1 - now[-n:]).sqrt()), normal(0.0, 1.0))
    return torch.cat([first, steps, last]).flatten(1).sum(1).reshape(T + 1, n)


@unusual("elbo_terms", "from the errors of the noise, weighted, and what does not depend on the model; backwards")
def bound_by_weights(model, alpha_bar, z, noise):
    a, d = [float(level) for level in alpha_bar], z[0].numel()
    T = len(a) - 1
    end = 0.5 * (a[T] * z.square().flatten(1).sum(1) - d * (a[T] + math.log(1 - a[T])))
    terms = [end]
    for k in range(T, 0, -1):
        beta = 1 - a[k] / a[k - 1]
        x = math.sqrt(a[k]) * z + math.sqrt(1 - a[k]) * noise[k - 1]
        error = (model(x, k) - noise[k - 1]).detach().square().flatten(1).sum(1)
        if k > 1:
            share = (1 - a[k - 1]) / (1 - a[k])  # of beta, that is the posterior's variance
            constant = d / 2 * (share - 1 - math.log(share))
            terms.insert(0, constant + beta / (2 * (1 - beta) * (1 - a[k])) * error)
        else:
            terms.insert(0, error / (2 * a[1]) + d / 2 * math.log(2 * math.pi * (1 - a[1])))
    return torch.stack(terms)


@unusual("elbo_terms", "sample by sample, into memory allocated at the start")
def bound_by_samples(model, alpha_bar, z, noise):
    T = len(noise)
    terms = torch.empty(T + 1, len(z), dtype=z.dtype)
    with torch.inference_mode():
        for i, k in itertools.product(range(len(z)), range(1, T + 1)):
            data, now, then = z[i : i + 1], alpha_bar[k].item(), alpha_bar[k - 1].item()
            x = diffusion.q_sample(data, now, noise[k - 1, i : i + 1])
            guess = diffusion.predict_x0(x, model(x, torch.tensor([k])), now)
            if k == 1:
                log_density = torch.distributions.Normal(guess, math.sqrt(1 - now)).log_prob(data)
                terms[0, i] = -log_density.sum()
            else:
                mean, variance = diffusion.posterior(x, data, now, then)
                found, _ = diffusion.posterior(x, guess, now, then)
                terms[k - 1, i] = diffusion.gaussian_kl(mean, variance, found, 1 - now / then)
    a = float(alpha_bar[-1])
    terms[T] = diffusion.gaussian_kl(a**0.5 * z, 1 - a, 0 * z, 1.0)
    return terms


# ---- loss_weight ----------------------------------------------------------------------------------------------------


@unusual("loss_weight", "the posterior's factor of the noise, squared, over twice the variance, number by number")
def weight_by_loops(alpha_bar):
    weights = []
    for then, now in itertools.pairwise(alpha_bar.tolist()):
        beta = 1 - now / then
        factor = math.sqrt(then) * beta / (1 - now) * math.sqrt(1 - now) / math.sqrt(now)
        weights.append(factor**2 / (2 * beta))
    return torch.tensor(weights, dtype=alpha_bar.dtype)


@unusual("loss_weight", "1/alpha - 1 in place of beta/alpha")
def weight_by_ratios(alpha_bar):
    return 0.5 * (alpha_bar[:-1] / alpha_bar[1:] - 1) / (1 - alpha_bar[1:])


@unusual("loss_weight", "differences, NumPy")
def weight_by_differences(alpha_bar):
    a = alpha_bar.numpy()
    return torch.from_numpy(-np.diff(a) / (2 * a[1:] * (1 - a[1:])))


# ---- simple_loss ----------------------------------------------------------------------------------------------------


@unusual("simple_loss", "mse_loss with the sum, divided by the number of samples")
def simple_by_mse(model, alpha_bar, z, k, noise):
    x = diffusion.q_sample(z, alpha_bar.to(z.dtype)[k], noise)
    return torch.nn.functional.mse_loss(model(x, k), noise, reduction="sum") / len(z)


@unusual("simple_loss", "sample by sample, the steps as Python integers")
def simple_by_samples(model, alpha_bar, z, k, noise):
    losses = []
    for data, step, eps in zip(z.split(1), k.tolist(), noise.split(1), strict=True):
        a = float(alpha_bar[step])
        losses.append(((model(math.sqrt(a) * data + math.sqrt(1 - a) * eps, step) - eps) ** 2).sum())
    return sum(losses) / len(losses)


@unusual("simple_loss", "the square multiplied out, the levels by index_select")
def simple_by_products(model, alpha_bar, z, k, noise):
    a = alpha_bar.index_select(0, k).type_as(z)[(...,) + (None,) * (z.ndim - 1)]
    value, target = model(a.sqrt() * z + (1 - a).sqrt() * noise, k).flatten(1), noise.flatten(1)
    return (value * (value - 2 * target)).sum(1).mean() + (target**2).sum(1).mean()


# ---- predict_x0 -----------------------------------------------------------------------------------------------------


def circle(a):
    """The schedule whose time is a level."""
    return a**0.5, (1 - a) ** 0.5, 0 * a, 0 * a


@unusual("predict_x0", "Tweedie's formula, with the score that the noise implies")
def data_by_tweedie(x, eps, a):
    a = expand_time(a, x)
    return (x + (1 - a) * (-eps / (1 - a) ** 0.5)) / a**0.5


@unusual("predict_x0", "the conversion of Lab 2")
def data_by_the_path(x, eps, a):
    return paths.noise_to_denoiser(circle, x, a, eps)


@unusual("predict_x0", "the tangent of an angle, in place on its own tensors")
def data_by_an_angle(x, eps, a):
    a = torch.as_tensor(a, dtype=x.dtype).reshape(-1, *[1] * (x.ndim - 1))
    out = x.clone().mul_(a.rsqrt())
    out -= (1 / a - 1).sqrt() * eps
    return out


# ---- predict_v ------------------------------------------------------------------------------------------------------


@unusual("predict_v", "through the noise")
def v_by_the_noise(x, z, a):
    a = expand_time(a, x)
    eps = (x - a**0.5 * z) / (1 - a) ** 0.5
    return a**0.5 * eps - (1 - a) ** 0.5 * z


@unusual("predict_v", "the cotangent of an angle, in float64 and back")
def v_by_an_angle(x, z, a):
    angle = torch.acos(torch.as_tensor(a, dtype=torch.float64).sqrt()).reshape(-1, *[1] * (x.ndim - 1))
    return (x.double() / angle.tan() - z.double() / angle.sin()).to(x.dtype)


@unusual("predict_v", "the derivative of the way along the circle, sample by sample")
def v_by_differentiation(x, z, a):
    rows = []
    for point, data, level in zip(x, z, torch.as_tensor(a, dtype=x.dtype).expand(len(x)), strict=True):
        angle = torch.acos(level.sqrt())
        eps = (point - angle.cos() * data) / angle.sin()

        def place(angle, data=data, eps=eps):
            return angle.cos() * data + angle.sin() * eps

        rows.append(torch.func.jvp(place, (angle,), (torch.ones_like(angle),))[1])
    return torch.stack(rows)


# ---- predict_noise --------------------------------------------------------------------------------------------------


@unusual("predict_noise", "the imaginary part of a rotation")
def noise_by_rotation(x, v, a):
    angle = torch.acos(torch.as_tensor(a, dtype=torch.float64).sqrt()).reshape(-1, *[1] * (x.ndim - 1))
    point = torch.complex(x.double(), v.double()) * torch.polar(torch.ones_like(angle), angle)
    return point.imag.to(x.dtype)


@unusual("predict_noise", "through the data")
def noise_by_the_data(x, v, a):
    a = expand_time(a, x)
    z = a**0.5 * x - (1 - a) ** 0.5 * v
    return (x - a**0.5 * z) / (1 - a) ** 0.5


@unusual("predict_noise", "the two equations, solved as such for each sample")
def noise_by_solving(x, v, a):
    levels = torch.as_tensor(a, dtype=torch.float64).expand(len(x))
    c, s = levels.sqrt(), (1 - levels).sqrt()
    matrices = torch.stack([torch.stack([c, s], dim=1), torch.stack([-s, c], dim=1)], dim=1)
    both = torch.stack([x.flatten(1), v.flatten(1)], dim=1).double()
    return torch.linalg.solve(matrices, both)[:, 1].reshape(x.shape).to(x.dtype)


# ---- ddpm_step ------------------------------------------------------------------------------------------------------


@unusual("ddpm_step", "Ho's formula")
def ddpm_by_ho(x, eps, now, then, noise):
    alpha = now / then
    mean = (x - (1 - alpha) / (1 - now) ** 0.5 * eps) / alpha**0.5
    return mean + ((1 - then) / (1 - now) * (1 - alpha)) ** 0.5 * noise


@unusual("ddpm_step", "a step of DDIM with eta = 1, Python numbers")
def ddpm_by_ddim(x, eps, now, then, noise):
    a, b = float(now), float(then)
    variance = (1 - b) * (1 - a / b) / (1 - a)
    z = (x - math.sqrt(1 - a) * eps) / math.sqrt(a)
    return math.sqrt(b) * z + math.sqrt(1 - b - variance) * eps + math.sqrt(variance) * noise


@unusual("ddpm_step", "Tweedie's formula for the chain: the mean of the past by the score, in place on a clone")
def ddpm_by_the_score(x, eps, now, then, noise):
    score = eps / -((1 - now) ** 0.5)
    out = x.clone().add_(score * (1 - now / then)).div_((now / then) ** 0.5)
    return out.add_(noise * ((1 - then) / (1 - now) * (1 - now / then)) ** 0.5)


# ---- ddim_step ------------------------------------------------------------------------------------------------------


@unusual("ddim_step", "x scaled, and the difference of two noise levels, as in the proof that it is Euler's")
def ddim_by_scaling(x, eps, now, then, eta, noise):
    variance = eta**2 * (1 - then) / (1 - now) * (1 - now / then)
    move = ((1 - then - variance) / then) ** 0.5 - ((1 - now) / now) ** 0.5
    return then**0.5 * (x / now**0.5 + move * eps) + variance**0.5 * noise


@unusual("ddim_step", "a matrix product over data and both noises, sample by sample, Python numbers")
def ddim_by_a_product(x, eps, now, then, eta, noise):
    a, b = float(now), float(then)
    sigma = eta * math.sqrt((1 - b) / (1 - a)) * math.sqrt(1 - a / b)
    factors = torch.tensor([math.sqrt(b), math.sqrt(1 - b - sigma**2), sigma], dtype=x.dtype)
    rows = [
        torch.tensordot(factors, torch.stack([(p - math.sqrt(1 - a) * e) / math.sqrt(a), e, xi]), dims=1)
        for p, e, xi in zip(x, eps, noise, strict=True)
    ]
    return torch.stack(rows)


@unusual("ddim_step", "0-d tensors, fresh noise only where eta is not zero, the noise found again from the data")
def ddim_by_tensors(x, eps, now, then, eta, noise):
    a, b = torch.as_tensor(now, dtype=torch.float64), torch.as_tensor(then, dtype=torch.float64)
    z = (x - (1 - a).sqrt() * eps) / a.sqrt()
    direction = (x - a.sqrt() * z) / (1 - a).sqrt()
    if not eta:
        return b.sqrt() * z + (1 - b).sqrt() * direction
    sigma = eta * ((1 - b) * (b - a) / (b * (1 - a))).sqrt()
    return direction * (1 - b - sigma.square()).sqrt() + b.sqrt() * z + sigma * noise


# ---- sub_sequence ---------------------------------------------------------------------------------------------------


@unusual("sub_sequence", "Python's round of exact fractions")
def steps_by_fractions(T, count):
    return torch.tensor([round(Fraction(T * (count - i), count)) for i in range(count + 1)])


@unusual("sub_sequence", "whole numbers only, turned round")
def steps_by_integers(T, count):
    return (2 * T * torch.arange(count + 1) + count).div(2 * count, rounding_mode="floor").flip(0)


@unusual("sub_sequence", "NumPy's rint")
def steps_by_numpy(T, count):
    return torch.from_numpy(np.rint(np.linspace(T, 0, num=count + 1)).astype(np.int64))


# ---- ddim_test ------------------------------------------------------------------------------------------------------


def formula(x, eps, now, then, eta, noise):
    sigma = eta * math.sqrt((1 - then) / (1 - now) * (1 - now / then))
    z = (x - math.sqrt(1 - now) * eps) / math.sqrt(now)
    return math.sqrt(then) * z + math.sqrt(1 - then - sigma**2) * eps + sigma * noise


def numbers(n, d, seed, dtype=torch.float64):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@unusual("ddim_test", "compares with the formula on many random numbers in float32, as a NumPy bool")
def by_comparison(step):
    x, eps, noise = (3 * numbers(200, 5, seed, torch.float32) for seed in (1, 2, 3))
    found = [step(x, eps, 0.2, then, eta, noise).numpy() for then in (0.35, 0.8) for eta in (0.0, 0.3, 1.0)]
    right = [formula(x, eps, 0.2, then, eta, noise).numpy() for then in (0.35, 0.8) for eta in (0.0, 0.3, 1.0)]
    return np.allclose(found, right, rtol=1e-4, atol=1e-4)


@unusual("ddim_test", "a step is linear: its three factors are read off one by one, on images, and compared")
def by_its_factors(step):
    shape = (3, 2, 2, 2)
    basis = [numbers(3, 8, seed).reshape(shape) for seed in (4, 5, 6)]
    zero = torch.zeros(shape, dtype=torch.float64)
    for now, then, eta in ((0.15, 0.5, 0.0), (0.5, 0.85, 0.7), (0.3, 0.4, 1.0)):
        levels = torch.tensor(now, dtype=torch.float64), torch.tensor(then, dtype=torch.float64)
        variance = eta**2 * (1 - then) * (1 / then - 1 / now) / (1 - 1 / now)
        ratio = math.sqrt(then / now)
        factors = ratio, math.sqrt(1 - then - variance) - ratio * math.sqrt(1 - now), math.sqrt(variance)
        for i, factor in enumerate(factors):
            x, eps, noise = (4 * basis[j] if i == j else zero for j in range(3))
            try:
                torch.testing.assert_close(step(x, eps, *levels, eta, noise), 4 * factor * basis[i])
            except AssertionError:
                return False
    return True


@unusual("ddim_test", "laws instead of formulas: the mean over antithetic noises, the spread, and eta = 1 against DDPM")
def by_laws(step):
    x, eps, noise = (2 * numbers(6, 3, seed) for seed in (7, 8, 9))
    right = True
    for now, then, eta in itertools.product((0.2, 0.4), (0.5, 0.9), (0.0, 0.5, 1.0)):
        up, down = (step(x, eps, now, then, eta, sign * noise) for sign in (1, -1))
        z = diffusion.predict_x0(x, eps, now)
        variance = diffusion.posterior(x, z, now, then)[1]
        along = ((up + down) / 2 - then**0.5 * z) / eps
        right &= torch.allclose((up - down) / 2, eta * variance**0.5 * noise)
        right &= torch.allclose(along**2 + eta**2 * variance, torch.full_like(along, 1 - then))
        right &= bool((along > 0).all())
        if eta == 1:
            right &= torch.allclose(up, diffusion.ddpm_step(x, eps, now, then, noise))
    return torch.tensor(right)


# ---- reverse_sde_drift, probability_flow_velocity -------------------------------------------------------------------


def for_each(rule, x, t):
    """A rule (x, t) sample by sample, t a float."""
    times = torch.as_tensor(t, dtype=x.dtype).expand(len(x)).tolist()
    return torch.cat([rule(x[i : i + 1], s) for i, s in enumerate(times)])


@unusual("reverse_sde_drift", "sample by sample, with Python numbers for the times")
def drift_by_samples(f, g, score, x, t):
    return for_each(lambda x, t: g(1 - t) * g(1 - t) * score(x, t) - f(x, 1 - t), x, t)


@unusual("reverse_sde_drift", "the velocity of the ODE, and Langevin's drift on top of it")
def drift_by_langevin(f, g, score, x, t):
    half = expand_time(g(1 - t), x) ** 2 / 2 * score(x, t)
    return (half - f(x, 1 - t)) + half


@unusual("reverse_sde_drift", "times spread out first, keyword arguments")
def drift_by_spread_times(f, g, score, x, t):
    t = torch.as_tensor(t, dtype=x.dtype).expand(len(x))
    size = torch.as_tensor(g(1 - t), dtype=x.dtype).expand(len(x)).reshape(-1, *[1] * (x.ndim - 1))
    return torch.addcmul(-f(x, 1 - t), size.square(), score(x=x, t=t))


@unusual("probability_flow_velocity", "sample by sample, with Python numbers for the times")
def velocity_by_samples(f, g, score, x, t):
    return for_each(lambda x, t: 0.5 * g(1 - t) ** 2 * score(x, t) - f(x, 1 - t), x, t)


@unusual("probability_flow_velocity", "the drift of the SDE minus half of its score")
def velocity_by_the_sde(f, g, score, x, t):
    variance = expand_time(g(1 - t), x) ** 2
    return diffusion.reverse_sde_drift(f, g, score, x, t) - variance * score(x, t) / 2


@unusual("probability_flow_velocity", "the mean of the forward drift turned round and the SDE's drift back")
def velocity_as_a_mean(f, g, score, x, t):
    drift = f(x, 1 - t)
    return torch.stack([-drift, expand_time(g(1 - t), x) ** 2 * score(x, t) - drift]).mean(0)


# ---- dpm_solver_pp_2m_step ------------------------------------------------------------------------------------------


@unusual("dpm_solver_pp_2m_step", "the paper's r and weights, NumPy numbers, expm1")
def solver_in_the_paper_s_terms(x, z, z_before, before, now, then):
    def lam(a):
        return np.log(np.sqrt(a) / np.sqrt(1 - a))

    if float(then) == 1.0:
        return z.clone()
    a, b = float(now), float(then)
    h, D = lam(b) - lam(a), z
    if z_before is not None:
        r = (lam(a) - lam(float(before))) / h
        D = float(1 + 1 / (2 * r)) * z - float(1 / (2 * r)) * z_before
    return math.sqrt(1 - b) / math.sqrt(1 - a) * x - float(math.sqrt(b) * np.expm1(-h)) * D


@unusual("dpm_solver_pp_2m_step", "a step of DDIM with the line's guess: the noise that belongs to it")
def solver_by_ddim(x, z, z_before, before, now, then):
    guess = z
    if z_before is not None and then != 1:
        odds = [float(a) / (1 - float(a)) for a in (before, now, then)]
        guess = z + math.log(odds[2] / odds[1]) / math.log(odds[1] / odds[0]) / 2 * (z - z_before)
    eps = (x - now**0.5 * guess) / (1 - now) ** 0.5
    return then**0.5 * guess + (1 - then) ** 0.5 * eps


@unusual("dpm_solver_pp_2m_step", "0-d tensors, logit, where h is infinite its line is left out")
def solver_by_logit(x, z, z_before, before, now, then):
    now, then = (torch.as_tensor(a, dtype=torch.float64) for a in (now, then))
    h = 0.5 * (torch.logit(then) - torch.logit(now))
    slope = torch.zeros_like(z)
    if z_before is not None and torch.isfinite(h):
        h_b = 0.5 * (torch.logit(now) - torch.logit(torch.as_tensor(before, dtype=torch.float64)))
        slope = (z - z_before) * (h / h_b)
    shrink = ((1 - then) / (1 - now)).sqrt()
    return shrink * x + then.sqrt() * (1 - torch.exp(-h)) * (z + slope / 2)
