"""Diffusion models against closed forms, quadrature, and the paths and solvers of the labs before.

Two-sample tests are Kolmogorov-Smirnov at p = 1e-5: each fails a right sampler in one of 100,000 seeds; ours is fixed.
"""

import math
from functools import partial

import pytest
import torch
from scipy.stats import ks_2samp

from course.diffusion import (
    alpha_bar,
    at,
    beta_schedule,
    chain_schedule,
    ddim_step,
    ddpm_step,
    dpm_solver_pp_2m_step,
    elbo_terms,
    exact_noise_model,
    forward_sde,
    gaussian_kl,
    loss_weight,
    matching_times,
    min_snr_weight,
    posterior,
    posterior_variances,
    predict_noise,
    predict_v,
    predict_x0,
    probability_flow_velocity,
    q_sample,
    q_step,
    reverse_sde_drift,
    sample_ddim,
    sample_ddpm,
    sample_dpm_solver_pp,
    simple_loss,
    slerp,
    snr,
    step_batches,
    step_model,
    sub_sequence,
    vp_schedule,
)
from course.distributions import Gaussian, GaussianMixture
from course.losses import noise_prediction_loss
from course.networks import MLP
from course.paths import (
    MixturePath,
    cosine_schedule,
    extend_to_sde,
    linear_schedule,
    noise_to_score,
    score_to_denoiser,
    score_to_velocity,
    velocity_to_noise,
)
from course.sampling import sample_flow
from course.solvers import euler_maruyama_step, euler_step, heun_step, rk4_step, simulate

F64 = torch.float64
KINDS = ["linear", "cosine", "sigmoid"]
LINE = GaussianMixture(torch.tensor([0.3, 0.7]), torch.tensor([[-1.5], [1.0]]), torch.tensor([0.09, 0.25])).to(F64)
PLANE = GaussianMixture(
    torch.tensor([0.2, 0.5, 0.3]),
    torch.tensor([[-1.5, 0.5], [1.0, 1.0], [0.5, -1.5]]),
    torch.tensor([[[0.2, 0.1], [0.1, 0.3]], [[0.3, 0.0], [0.0, 0.1]], [[0.1, 0.0], [0.0, 0.2]]]),
).to(F64)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normals(*shape, seed=0, dtype=F64):
    return torch.randn(*shape, generator=seeded(seed), dtype=dtype)


def chain(T=50, kind="linear"):
    return alpha_bar(beta_schedule(kind, T))


def assert_same_law(x, y):
    for direction in torch.eye(x.shape[1], dtype=F64) if x.shape[1] < 3 else normals(3, x.shape[1]):
        assert ks_2samp((x @ direction).numpy(), (y @ direction).numpy()).pvalue > 1e-5


# Schedules


def test_the_schedules_have_their_published_values():
    linear, sigmoid = beta_schedule("linear", 1000), beta_schedule("sigmoid", 1000)
    assert float(linear[0]) == pytest.approx(1e-4)
    assert float(linear[-1]) == pytest.approx(0.02)
    assert float(sigmoid.sum()) == pytest.approx(10.05)  # the logistic function is odd about its middle
    left = alpha_bar(beta_schedule("cosine", 1000))
    f = torch.cos((torch.arange(1001, dtype=F64) / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2
    torch.testing.assert_close(left[:999], (f / f[0])[:999])  # the last betas are cut at 0.999


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("T", [2, 10, 1000])
def test_a_schedule_loses_signal_at_every_step(kind, T):
    betas = beta_schedule(kind, T)
    left = alpha_bar(betas)
    assert betas.shape == (T,)
    assert ((betas > 0) & (betas <= 0.999)).all()
    assert left.shape == (T + 1,)
    assert left[0] == 1
    assert (left.diff() < 0).all()
    torch.testing.assert_close(left.log().diff(), torch.log1p(-betas))
    assert snr(left)[0] == math.inf
    torch.testing.assert_close(snr(left)[1:], 1 / (1 / left[1:] - 1))


def test_the_linear_chain_becomes_the_linear_sde_as_steps_get_many():
    gaps = []
    for T in (1000, 10_000):
        t = 1 - torch.arange(T + 1, dtype=F64) / T
        gaps.append(float((vp_schedule(t).alpha ** 2 - chain(T)).abs().max()))
    assert gaps[0] < 2e-3
    assert gaps[0] / gaps[1] == pytest.approx(10, rel=0.05)


@pytest.mark.parametrize("schedule", [vp_schedule, chain_schedule(chain(10))], ids=["vp", "chain"])
def test_a_schedules_derivatives_are_its_derivatives(schedule):
    t = torch.linspace(0.03, 0.97, 32, dtype=F64)  # between the steps
    h = 1e-6
    now, after, before = schedule(t), schedule(t + h), schedule(t - h)
    torch.testing.assert_close(now.alpha**2 + now.beta**2, torch.ones_like(t))
    torch.testing.assert_close((after.alpha - before.alpha) / (2 * h), now.d_alpha, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close((after.beta - before.beta) / (2 * h), now.d_beta, rtol=1e-6, atol=1e-8)
    as_floats = schedule(float(t[5]))
    assert all(isinstance(value, float) for value in as_floats)
    assert as_floats == pytest.approx(tuple(float(value[5]) for value in now))


@pytest.mark.parametrize("kind", KINDS)
def test_a_chain_is_a_path_run_backwards(kind):
    left = chain(30, kind)
    path = chain_schedule(left)(1 - torch.arange(31, dtype=F64) / 30)
    torch.testing.assert_close(path.alpha**2, left, rtol=1e-10, atol=0)
    torch.testing.assert_close(path.beta**2, 1 - left)


@pytest.mark.parametrize("schedule", [linear_schedule, cosine_schedule], ids=lambda s: s.__name__)
def test_the_matching_times_have_the_noise_of_the_steps(schedule):
    left = chain(1000)
    t = matching_times(schedule, left)
    alpha, beta, _, _ = schedule(t)
    torch.testing.assert_close(alpha**2 / (alpha**2 + beta**2), left, rtol=1e-9, atol=0)
    assert t[0] == 1
    assert (t.diff() < 0).all()


def test_the_matching_times_of_a_paths_own_levels_are_its_times():
    t = torch.linspace(1, 0, 21, dtype=F64)
    torch.testing.assert_close(matching_times(vp_schedule, vp_schedule(t).alpha ** 2), t)
    with pytest.raises(ValueError, match="as noisy as the chain at its last step; wanted a path that is"):
        matching_times(vp_schedule, chain(100))


def test_a_sub_sequence_is_even_and_goes_all_the_way():
    assert sub_sequence(10, 10).tolist() == list(range(10, -1, -1))
    assert sub_sequence(1000, 4).tolist() == [1000, 750, 500, 250, 0]
    steps = sub_sequence(1000, 37)
    assert (steps[0], steps[-1], len(steps)) == (1000, 0, 38)
    assert set((-steps.diff()).tolist()) == {27, 28}  # 1000 / 37 = 27.03


# The chain


def test_step_by_step_all_at_once_and_the_sde_have_one_law():
    left, n, k = chain(100), 10_000, 40
    betas, generator = 1 - left[1:] / left[:-1], seeded(1)
    x = LINE.sample(n, generator)
    for beta in betas[:k]:
        x = q_step(x, beta, torch.randn(n, 1, generator=generator, dtype=F64))
    at_once = q_sample(LINE.sample(n, generator), left[k], torch.randn(n, 1, generator=generator, dtype=F64))
    f, g = forward_sde(chain_schedule(left))
    s = torch.linspace(0, k / 100, 8 * k + 1, dtype=F64)
    start = LINE.sample(n, generator)
    diffused = simulate(partial(euler_maruyama_step, f, g), start, s, keep="last", generator=generator)
    exact = LINE.marginal(left[k] ** 0.5, (1 - left[k]) ** 0.5).sample(n, generator)
    for sample in (x, at_once, diffused):
        assert_same_law(sample, exact)


def test_a_step_of_the_chain_is_exactly_the_sde_over_that_time():
    # dX = f ds + g dW with constant coefficients -r and g: over h the mean shrinks by e^-rh, and the variance grows by
    # g^2 (1 - e^-2rh) / 2r
    T, k = 20, 7
    betas = beta_schedule("linear", T)
    f, g = forward_sde(chain_schedule(alpha_bar(betas)))
    s = (k - 0.5) / T  # within the step from k - 1 to k
    r, noise = -float(f(torch.ones(1, 1, dtype=F64), s)), float(g(s))
    assert math.exp(-2 * r / T) == pytest.approx(1 - float(betas[k - 1]))
    assert noise**2 * -math.expm1(-2 * r / T) / (2 * r) == pytest.approx(float(betas[k - 1]))


@pytest.mark.parametrize(("now", "then"), [(0.3, 0.5), (0.1, 0.9), (0.45, 0.46), (0.6, 1 - 1e-4)])
def test_the_posterior_is_that_of_bayes_on_a_grid(now, then):
    x, z = 0.7, -1.2
    mean, variance = posterior(torch.full((1, 1), x, dtype=F64), torch.full((1, 1), z, dtype=F64), now, then)
    middle, width = float(mean), float(variance) ** 0.5
    y = torch.linspace(middle - 12 * width, middle + 12 * width, 20_001, dtype=F64)
    kept = now / then
    logs = -((x - kept**0.5 * y) ** 2) / (2 * (1 - kept)) - (y - then**0.5 * z) ** 2 / (2 * (1 - then))
    weights = logs.softmax(0)
    assert float(weights @ y) == pytest.approx(middle, rel=1e-6)
    assert float(weights @ (y - middle) ** 2) == pytest.approx(width**2, rel=1e-6)


def test_the_posterior_is_a_histogram_of_where_the_chain_was():
    # Five standard errors of the mean and the variance: a right formula fails in one of a million seeds.
    generator, n = seeded(2), 2_000_000
    now, then, x, z = 0.3, 0.6, 0.4, 0.8
    was = then**0.5 * z + (1 - then) ** 0.5 * torch.randn(n, generator=generator, dtype=F64)
    became = (now / then) ** 0.5 * was + (1 - now / then) ** 0.5 * torch.randn(n, generator=generator, dtype=F64)
    seen = was[(became - x).abs() < 0.01]
    mean, variance = posterior(torch.full((1, 1), x, dtype=F64), torch.full((1, 1), z, dtype=F64), now, then)
    assert abs(float(seen.mean() - mean)) < 5 * float(variance / len(seen)) ** 0.5
    assert abs(float(seen.var() / variance) - 1) < 5 * (2 / len(seen)) ** 0.5


def test_the_posteriors_variances_are_those_of_its_steps():
    left = chain(12)
    one = torch.zeros(1, 1, dtype=F64)
    steps = [float(posterior(one, one, left[k], left[k - 1])[1]) for k in range(1, 13)]
    torch.testing.assert_close(posterior_variances(left), torch.tensor(steps, dtype=F64))
    assert steps[0] == 0


def test_the_divergence_of_gaussians_is_torchs():
    m1, m2, v1, v2 = normals(5, 3), normals(5, 3, seed=1), normals(5, 3, seed=2).exp(), normals(5, 3, seed=3).exp()
    p, q = torch.distributions.Normal(m1, v1**0.5), torch.distributions.Normal(m2, v2**0.5)
    torch.testing.assert_close(gaussian_kl(m1, v1, m2, v2), torch.distributions.kl_divergence(p, q).sum(1))
    assert gaussian_kl(m1, 0.7, m1, 0.7).abs().max() < 1e-15
    images = m1[:, :, None, None].expand(5, 3, 2, 2)
    torch.testing.assert_close(gaussian_kl(images, 0.5, 0 * images, 2.0), 4 * gaussian_kl(m1, 0.5, 0 * m1, 2.0))


# The bound


def gauss_hermite(count):
    """Nodes and weights for the mean over N(0, 1)."""
    import numpy as np

    nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    return torch.as_tensor(nodes), torch.as_tensor(weights / weights.sum())


def mean_terms(left, variances=None, count=40):
    """The mean of every term over data from LINE and noise, without drawing either."""
    nodes, weights = gauss_hermite(count)
    z = (LINE.means + LINE.covariances[:, None] ** 0.5 * nodes).flatten()
    share = (LINE.weights[:, None] * weights).flatten()
    pairs = torch.cartesian_prod(z, nodes)
    noise = pairs[:, 1:].expand(len(left) - 1, -1, 1)
    terms = elbo_terms(exact_noise_model(LINE, left), left, pairs[:, :1], noise, variances)
    return terms @ torch.outer(share, weights).flatten()


def quadrature_terms(left):
    """The same from the density of x_k on a grid: the noise's mean squared error is 1 - E[eps(x)^2]."""
    x = torch.linspace(-8, 8, 6001, dtype=F64)[:, None]
    terms = []
    for k in range(1, len(left)):
        now, then = float(left[k]), float(left[k - 1])
        law = LINE.marginal(now**0.5, (1 - now) ** 0.5)
        p = law.log_prob(x).exp() * (x[1] - x[0])
        error = 1 - float((p * (1 - now) * law.score(x)[:, 0] ** 2).sum())
        beta, exact = 1 - now / then, (1 - then) / (1 - now) * (1 - now / then)
        fit = beta / (2 * (1 - beta) * (1 - now)) * error
        widths = math.log(2 * math.pi * beta) if k == 1 else exact / beta - 1 - math.log(exact / beta)
        terms.append(fit + widths / 2)
    square, last = float(LINE.covariance + LINE.mean**2), float(left[-1])
    return torch.tensor([*terms, (last * square - last - math.log1p(-last)) / 2], dtype=F64)


def entropy():
    x = torch.linspace(-8, 8, 6001, dtype=F64)[:, None]
    logs = LINE.log_prob(x)
    return -float((logs.exp() * logs).sum() * (x[1] - x[0]).squeeze())


@pytest.mark.parametrize("kind", KINDS)
def test_every_term_of_the_bound_is_that_of_quadrature(kind):
    left = chain(25, kind)
    torch.testing.assert_close(mean_terms(left), quadrature_terms(left), rtol=2e-4, atol=2e-5)


def test_the_bound_is_below_the_likelihood_and_closes_like_one_over_the_steps():
    gaps = [float(mean_terms(chain(T)).sum()) - entropy() for T in (10, 30, 90)]
    assert min(gaps) > 0
    assert gaps[0] / gaps[1] == pytest.approx(3, rel=0.1)
    assert gaps[1] / gaps[2] == pytest.approx(3, rel=0.1)


def test_with_the_posteriors_variance_the_bound_keeps_half_of_eulers_constant():
    # Near data that are broad, sum_k KL(N(., beta_k) || N(., beta_k (k-1)/k)) tends to 0.5772 / 2 for each dimension.
    left = chain(300)
    variances = posterior_variances(left)
    variances[0] = 1 - left[1]
    gap = float(mean_terms(left, variances, count=24).sum()) - entropy()
    assert 0.5772 / 2 < gap < 1


def test_a_term_grows_with_the_squared_error_of_the_noise_by_its_weight():
    left, z, noise = chain(9), normals(6, 2), normals(9, 6, 2, seed=1)
    wrong = normals(9, 6, 2, seed=2)
    perfect = elbo_terms(lambda x, k: noise[k - 1], left, z, noise)
    terms = elbo_terms(lambda x, k: wrong[k - 1], left, z, noise)
    squares = (noise - wrong).square().sum(-1)
    torch.testing.assert_close((terms - perfect)[:-1], loss_weight(left)[:, None] * squares)
    torch.testing.assert_close(terms[-1], perfect[-1])


@pytest.mark.parametrize("kind", KINDS)
def test_the_bound_weighs_errors_at_little_noise_more_than_the_simple_loss_does(kind):
    weight = loss_weight(chain(1000, kind))
    assert weight[0] == pytest.approx(0.5, rel=1e-3)
    assert (weight[:100].diff() < 0).all()
    assert weight[0] > 20 * weight[100:900].max()


def test_min_snr_cuts_the_weight_of_the_datas_error_at_gamma():
    left = chain(200)
    ratio = snr(left[1:])
    torch.testing.assert_close(min_snr_weight(left, 3.0) * ratio, ratio.clamp(max=3.0))


# Conversions and losses


def test_predictions_form_a_closed_loop():
    x, eps, a = normals(8, 2), normals(8, 2, seed=1), torch.linspace(0.01, 0.99, 8, dtype=F64)
    z = predict_x0(x, eps, a)
    torch.testing.assert_close(q_sample(z, a, eps), x)
    v = predict_v(x, z, a)
    torch.testing.assert_close(predict_noise(x, v, a), eps)
    a = a[:, None]
    torch.testing.assert_close(v, a**0.5 * eps - (1 - a) ** 0.5 * z)


def test_predictions_are_those_of_a_path_and_v_is_its_velocity():
    x, eps, t = normals(8, 2), normals(8, 2, seed=1), torch.linspace(0.1, 0.9, 8, dtype=F64)
    a = cosine_schedule(t).alpha ** 2
    score = noise_to_score(cosine_schedule, x, t, eps)
    z = predict_x0(x, eps, a)
    torch.testing.assert_close(z, score_to_denoiser(cosine_schedule, x, t, score))
    velocity = score_to_velocity(cosine_schedule, x, t, score)
    torch.testing.assert_close(predict_v(x, z, a), -2 / math.pi * velocity)


def test_the_simple_loss_is_lab_threes_noise_prediction_at_the_times_of_the_steps():
    left, z, noise = chain(40), normals(30, 2), normals(30, 2, seed=1)
    k = torch.randint(1, 41, (30,), generator=seeded())
    net = MLP(2, width=8, generator=seeded()).to(F64).requires_grad_(False)
    t = matching_times(cosine_schedule, left)
    model = step_model(net, t)
    expected = noise_prediction_loss(net, cosine_schedule, z, t[k], noise)
    torch.testing.assert_close(simple_loss(model, left, z, k, noise), expected)
    weight = loss_weight(left)
    parts = [float(weight[i - 1] * simple_loss(model, left, z[[j]], k[[j]], noise[[j]])) for j, i in enumerate(k)]
    torch.testing.assert_close(float(simple_loss(model, left, z, k, noise, weight)), sum(parts) / 30)


def test_batches_ask_for_every_step_alike():
    z, k, noise = step_batches(PLANE.sample, 10)(50_000, seeded())
    assert z.shape == noise.shape == (50_000, 2)
    # 5.5 standard deviations of a count: one of a million seeds fails in any of ten
    assert (k.bincount(minlength=11)[1:] - 5000).abs().max() < 5.5 * (50_000 * 0.1 * 0.9) ** 0.5
    assert k.min() == 1


# Steps


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_any_eta_keeps_the_law_of_the_chain(eta):
    # Data in one point: x is N(sqrt(now) z, 1 - now), and a step is linear in x and in the noise.
    now, then, z = 0.2, 0.5, 1.3

    def step(x, noise):
        x = torch.full((1, 1), x, dtype=F64)
        eps = (x - now**0.5 * z) / (1 - now) ** 0.5
        return float(ddim_step(x, eps, now, then, eta, torch.full_like(x, noise)))

    mean = step(now**0.5 * z, 0.0)
    slope, spread = step(now**0.5 * z + 1, 0.0) - mean, step(now**0.5 * z, 1.0) - mean
    assert mean == pytest.approx(then**0.5 * z)
    assert slope**2 * (1 - now) + spread**2 == pytest.approx(1 - then)
    assert spread**2 == pytest.approx(eta**2 * (1 - then) / (1 - now) * (1 - now / then))


def test_ddim_with_eta_one_is_ddpm():
    x, eps, noise = normals(5, 2), normals(5, 2, seed=1), normals(5, 2, seed=2)
    torch.testing.assert_close(ddim_step(x, eps, 0.3, 0.35, 1.0, noise), ddpm_step(x, eps, 0.3, 0.35, noise))
    torch.testing.assert_close(ddim_step(x, eps, 0.3, 1.0, 1.0, noise), predict_x0(x, eps, 0.3))


@pytest.mark.parametrize(("now", "then"), [(0.3, 0.5), (4e-5, 1.0), (0.5, 0.3), (1.0, 0.9)])
def test_ddim_is_euler_for_the_probability_flow_in_the_right_variables(now, then):
    # x / sqrt(a), over the noise-to-signal ratio sqrt((1 - a) / a): its velocity is the noise
    x, eps = normals(6, 2), normals(6, 2, seed=1)
    ratio = [((1 - a) / a) ** 0.5 for a in (now, then)]
    y = euler_step(lambda y, r: eps, x / now**0.5, ratio[0], ratio[1] - ratio[0])
    torch.testing.assert_close(ddim_step(x, eps, now, then), then**0.5 * y, rtol=1e-12, atol=1e-12)


def test_a_first_and_a_last_step_of_dpm_solver_are_ddims():
    x, eps, before = normals(6, 2), normals(6, 2, seed=1), normals(6, 2, seed=2)
    z = predict_x0(x, eps, 0.3)
    torch.testing.assert_close(dpm_solver_pp_2m_step(x, z, None, None, 0.3, 0.5), ddim_step(x, eps, 0.3, 0.5))
    torch.testing.assert_close(dpm_solver_pp_2m_step(x, z, before, 0.1, 0.3, 1.0), ddim_step(x, eps, 0.3, 1.0))


# Samplers, on the ODE of a Gaussian whose solution is a formula


BLOB = Gaussian(torch.tensor([1.0, -0.5]), torch.diag(torch.tensor([0.3, 1.7]))).to(F64)


def blobs_flow(x, t, to, schedule=cosine_schedule):
    """The probability flow carries a Gaussian's points so that their distance from the mean, in deviations, stays."""

    def law(t):
        alpha, beta, _, _ = schedule(t)
        return alpha * BLOB.mean, (alpha**2 * BLOB.covariance.diagonal() + beta**2) ** 0.5

    (mean, width), (to_mean, to_width) = law(t), law(to)
    return to_mean + (x - mean) / width * to_width


def on_grid(t, noise):
    """The chain whose steps m, ..., 1 lie at the increasing times t (m,) of the cosine path, and the noise there."""
    left = torch.cat([t.new_ones(1), (cosine_schedule(t).alpha ** 2).flip(0)])
    return left, step_model(noise, torch.cat([t.new_ones(1), t.flip(0)]))


BLOB_PATH = MixturePath(
    cosine_schedule, GaussianMixture(torch.ones(1, dtype=F64), BLOB.mean[None], BLOB.covariance[None])
)
BLOB_FLOW = partial(probability_flow_velocity, *forward_sde(cosine_schedule), BLOB_PATH.score)


def errors(sampler):
    start, end, x = 0.1, 0.9, normals(200, 2)
    gaps = []
    for m in (16, 32, 64):
        t = torch.linspace(start, end, m + 1, dtype=F64)
        gaps.append(float((sampler(x, t) - blobs_flow(x, start, end)).square().mean() ** 0.5))
    return gaps


def blobs_noise(x, t):
    return -cosine_schedule(t).beta * BLOB_PATH.score(x, t)


def by_ddim(x, t):
    left, model = on_grid(t, blobs_noise)
    return sample_ddim(model, left, x, range(len(t), 0, -1))


def by_dpm_solver(x, t):
    left, model = on_grid(t, blobs_noise)
    return sample_dpm_solver_pp(model, left, x, range(len(t), 0, -1))


@pytest.mark.parametrize(
    ("sampler", "order"),
    [
        (partial(sample_flow, BLOB_FLOW, step=euler_step), 1),
        (by_ddim, 1),
        (partial(sample_flow, BLOB_FLOW, step=heun_step), 2),
        (by_dpm_solver, 2),
        (partial(sample_flow, BLOB_FLOW, step=rk4_step), 4),
    ],
    ids=["Euler", "DDIM", "Heun", "DPM-Solver++(2M)", "RK4"],
)
def test_a_sampler_has_its_order_on_the_exact_flow(sampler, order):
    gaps = errors(sampler)
    assert math.log2(gaps[1] / gaps[2]) == pytest.approx(order, abs=0.2)


def test_there_and_back_by_ddim_is_where_one_was_with_many_steps():
    left, x = chain(1000), PLANE.sample(50, seeded())
    model, gaps = exact_noise_model(PLANE, left), []
    for count in (50, 200):
        steps = sub_sequence(1000, count)
        noise = sample_ddim(model, left, x, steps.flip(0))
        gaps.append(float((sample_ddim(model, left, noise, steps) - x).norm(dim=1).mean()))
    assert gaps[1] < 0.05
    assert gaps[0] / gaps[1] > 2.5


@pytest.mark.parametrize("schedule", [linear_schedule, cosine_schedule, vp_schedule], ids=lambda s: s.__name__)
def test_the_two_ways_back_are_the_velocity_of_the_path_and_its_extension(schedule):
    path, x, t = MixturePath(schedule, PLANE), normals(9, 2), torch.linspace(0.1, 0.9, 9, dtype=F64)
    f, g = forward_sde(schedule)
    torch.testing.assert_close(probability_flow_velocity(f, g, path.score, x, t), path.velocity(x, t))
    extended = extend_to_sde(path.velocity, path.score, lambda t: g(1 - t))
    torch.testing.assert_close(reverse_sde_drift(f, g, path.score, x, t), extended(x, t))
    one = probability_flow_velocity(f, g, path.score, x[:1], 0.1)
    torch.testing.assert_close(one, path.velocity(x, t)[:1])


def test_all_samplers_reach_the_law_of_the_data():
    n, left = 4000, chain(200, "cosine")
    model, generator = exact_noise_model(PLANE, left), seeded(3)
    x, steps = torch.randn(n, 2, generator=generator, dtype=F64), sub_sequence(200, 100)
    path = MixturePath(cosine_schedule, PLANE)
    f, g = forward_sde(cosine_schedule)
    drift, t = partial(reverse_sde_drift, f, g, path.score), torch.linspace(0.001, 1, 301, dtype=F64)
    back = partial(euler_maruyama_step, drift, lambda t: g(1 - t))
    samples = [
        sample_ddpm(model, left, x, generator),
        sample_ddim(model, left, x, steps),
        sample_ddim(model, left, x, steps, 1.0, generator),
        sample_dpm_solver_pp(model, left, x, steps),
        simulate(back, x, t, keep="last", generator=generator),
    ]
    exact = PLANE.sample(n, generator)
    for sample in samples:
        assert_same_law(sample, exact)


# Between Lab 3's fields and the steps of a chain


def test_a_velocity_on_the_linear_path_is_the_noise_model_of_the_same_data():
    left, x = chain(100), normals(20, 2)
    times, path = matching_times(linear_schedule, left), MixturePath(linear_schedule, PLANE)

    def noise(x, t):
        return velocity_to_noise(linear_schedule, x, t, path.velocity(x, t))

    model, exact = step_model(noise, times, linear_schedule), exact_noise_model(PLANE, left)
    for k in (1, 30, 100, torch.arange(1, 100, 5)):
        torch.testing.assert_close(model(x, k), exact(x, k), rtol=1e-8, atol=1e-8)


def test_ddim_takes_a_velocity_network_where_its_own_flow_does():
    net, left, x = MLP(2, generator=seeded()).to(F64), chain(1000), normals(100, 2)
    times = matching_times(linear_schedule, left)

    def noise(x, t):
        return velocity_to_noise(linear_schedule, x, t, net(x, t))

    # A state of the chain is one of the path up to a factor, which is 1 at the data.
    alpha, beta, _, _ = linear_schedule(times[-1])
    t = torch.linspace(float(times[-1]), 1, 201, dtype=F64)
    flow = sample_flow(net, (alpha**2 + beta**2) ** 0.5 * x, t)
    model, gaps = step_model(noise, times, linear_schedule), []
    with torch.no_grad():
        for count in (125, 250, 500):
            y = sample_ddim(model, left, x, sub_sequence(1000, count))
            gaps.append(float((y - flow).norm(dim=1).mean()))
    assert gaps[2] < 0.02
    assert gaps[0] > 1.5 * gaps[1] > 2 * gaps[2]


# What every sampler and rule owes its caller


@pytest.mark.parametrize("sampler", [sample_ddim, sample_dpm_solver_pp])
def test_many_samples_end_where_each_ends_alone(sampler):
    left = chain(30)
    model, x, steps = exact_noise_model(PLANE, left), normals(5000, 2), sub_sequence(30, 6)
    everything = sampler(model, left, x, steps, keep="all")
    assert everything.shape == (7, 5000, 2)
    torch.testing.assert_close(everything[0], x)
    some = [0, 2500, 4999]
    torch.testing.assert_close(everything[-1][some], sampler(model, left, x[some], steps))


def test_results_follow_the_samples_in_shape_and_dtype():
    left = chain(12)
    x = normals(4, 1, 3, 3, dtype=torch.float32)
    model = lambda x, k: 0.1 * x  # noqa: E731
    now, then, k = left[5], left[4], torch.tensor([1, 2, 11, 12])
    results = [
        q_sample(x, now, x),
        posterior(x, x, now, then)[0],
        ddpm_step(x, x, now, then, x),
        ddim_step(x, x, now, then, 0.5, x),
        dpm_solver_pp_2m_step(x, x, x, left[6], now, then),
        predict_v(x, x, now),
        at(left, k, x) * x,
        sample_ddpm(model, left, x),
        sample_ddim(model, left, x, [12, 5, 0], 1.0),
        sample_dpm_solver_pp(model, left, x, [12, 5, 1]),
        slerp(x, x + 1, 0.3),
        simple_loss(model, left, x, k, x) * x,
    ]
    for result in results:
        assert (result.shape, result.dtype) == (x.shape, x.dtype)
    assert at(left, k, x).shape == (4, 1, 1, 1)
    assert at(left, 3, x).shape == ()


def test_a_point_on_the_arc_keeps_its_radius_and_shares_the_angle():
    x, y = torch.tensor([[2.0, 0.0], [1.0, 1.0]], dtype=F64), torch.tensor([[0.0, 2.0], [1.0, 1.0]], dtype=F64)
    torch.testing.assert_close(slerp(x, y, 1 / 3)[0], 2 * torch.tensor([3**0.5 / 2, 0.5], dtype=F64))
    torch.testing.assert_close(slerp(x, y, 1 / 3)[1], x[1], rtol=1e-7, atol=0)
    torch.testing.assert_close(slerp(x, y, 0.0), x)
    torch.testing.assert_close(slerp(x, y, 1.0), y)


ONE, FEW = torch.zeros(3, 2, dtype=F64), chain(5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: beta_schedule("square", 10), "kind is 'square'; wanted"),
        (lambda: beta_schedule("linear", 1), "steps is 1; wanted an integer, at least 2"),
        (lambda: alpha_bar(torch.tensor([0.1, 1.0])), "wanted .T,., every number between 0 and 1"),
        (lambda: sub_sequence(10, 11), "count is 11; wanted from 1 to 10"),
        (lambda: chain_schedule(FEW[1:]), "wanted numbers that fall at every step, from 1"),
        (lambda: q_sample(ONE, 0.5, ONE[:1]), "noise has shape .1, 2. and z .3, 2."),
        (lambda: posterior(ONE, ONE, 0.5, 0.4), "now is 0.5 and then 0.4; wanted"),
        (lambda: gaussian_kl(ONE, 1.0, ONE[:1], 1.0), "means have shapes"),
        (lambda: elbo_terms(lambda x, k: x, FEW, ONE, ONE), "noise has shape .3, 2.; wanted .5, 3, 2."),
        (lambda: elbo_terms(lambda x, k: x, FEW, ONE, torch.zeros(5, 3, 2), FEW), "variances has shape .6,."),
        (lambda: min_snr_weight(FEW, 0.0), "gamma is 0.0; wanted a positive number"),
        (lambda: simple_loss(lambda x, k: x[:1], FEW, ONE, torch.ones(3).long(), ONE), "values have shape .1, 2."),
        (lambda: ddim_step(ONE, ONE, 0.3, 0.4, 1.0), "eta is 1.0 and noise None"),
        (lambda: dpm_solver_pp_2m_step(ONE, ONE, None, None, 0.5, 0.4), "now is 0.5 and then 0.4; wanted"),
        (lambda: sample_ddim(lambda x, k: x, FEW, ONE, [5, 3, 4]), "steps is .5, 3, 4.; wanted"),
        (lambda: sample_ddim(lambda x, k: x, FEW, ONE, [6, 0]), "integers from 5 to 0"),
        (lambda: sample_ddim(lambda x, k: x, FEW, ONE, [0, 5], 1.0), "wanted levels"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_words(call, message):
    with pytest.raises(ValueError, match=message):
        call()
