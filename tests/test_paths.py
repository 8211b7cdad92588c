import math

import pytest
import torch
from scipy.stats import kstest
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from course import paths
from course.distributions import GaussianMixture
from course.paths import (
    Coefficients,
    EmpiricalPath,
    MixturePath,
    conditional_score,
    conditional_velocity,
    cosine_schedule,
    divergence,
    extend_to_sde,
    linear_schedule,
    sample_conditional_path,
    velocity_and_divergence,
)
from course.solvers import rk4_step, simulate

F64 = torch.float64


def tan_schedule(t):
    """One that neither starts at alpha = 0 nor keeps its derivatives apart by symmetry."""
    tan = torch.tan if isinstance(t, torch.Tensor) else math.tan
    alpha = 0.2 + 0.8 * tan(math.pi / 4 * t)
    slope = 0.2 * math.pi * (1 + tan(math.pi / 4 * t) ** 2)
    return Coefficients(alpha, 1 - t**2, slope, -2 * t)


SCHEDULES = [linear_schedule, cosine_schedule, tan_schedule]
schedules = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s.__name__)


def normal(*shape, seed=0, dtype=F64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64).to(dtype)


def mixture(kind, dtype=F64, device="cpu"):
    """Three modes in the plane."""
    A = normal(3, 2, 2, seed=1)
    C = {
        "equal": 0.1,
        "round": torch.tensor([0.05, 0.2, 0.4], dtype=F64),
        "full": A @ A.mT / 4 + 0.05 * torch.eye(2, dtype=F64),
    }[kind]
    weights = torch.tensor([0.2, 0.5, 0.3], dtype=F64)
    C = C.to(device, dtype) if isinstance(C, torch.Tensor) else C
    return GaussianMixture(weights.to(device, dtype), 1.5 * normal(3, 2, seed=2).to(device, dtype), C)


def path_of(kind, schedule=linear_schedule, dtype=F64, device="cpu"):
    if kind == "data":
        return EmpiricalPath(schedule, normal(30, 2, seed=3, dtype=dtype).to(device))
    return MixturePath(schedule, mixture(kind, dtype, device))


KINDS = ["data", "equal", "round", "full"]
kinds = pytest.mark.parametrize("kind", KINDS)


def reference(path, t):
    """p_t by torch.distributions, from the schedule's alpha and beta alone."""
    alpha, beta = path.schedule(t)[:2]
    if isinstance(path, EmpiricalPath):
        weights, means = torch.ones(len(path.data), dtype=F64), path.data
        C = torch.zeros(len(means), 2, 2, dtype=F64)
    else:
        m = path.mixture
        weights, means = m.weights, m.means
        C = m.covariances if m.covariances.ndim == 3 else m.covariances[:, None, None] * torch.eye(2, dtype=F64)
    C = alpha**2 * C + beta**2 * torch.eye(2, dtype=F64)
    return MixtureSameFamily(Categorical(weights), MultivariateNormal(alpha * means, C))


@schedules
@pytest.mark.parametrize("t", [0.0, 0.3, 0.9, 1.0])
def test_a_schedules_derivatives_are_those_of_autograd(schedule, t, device):
    t = torch.tensor(t, dtype=F64, device=device).requires_grad_()
    alpha, beta, d_alpha, d_beta = schedule(t)
    torch.testing.assert_close(d_alpha, torch.autograd.grad(alpha, t, retain_graph=True)[0])
    torch.testing.assert_close(d_beta, torch.autograd.grad(beta, t)[0])


@pytest.mark.parametrize("schedule", [linear_schedule, cosine_schedule], ids=lambda s: s.__name__)
def test_a_schedule_goes_from_all_noise_to_all_data(schedule):
    assert schedule(0.0)[:2] == (0.0, 1.0)
    assert schedule(1.0)[:2] == (1.0, 0.0)


@pytest.mark.parametrize("schedule", [linear_schedule, cosine_schedule], ids=lambda s: s.__name__)
@pytest.mark.parametrize("shape", [(), (4,), (4, 1, 1)])
def test_a_schedules_values_are_like_the_time(schedule, shape, device):
    t = torch.rand(shape, dtype=F64, device=device)
    for value, number in zip(schedule(t), schedule(float(t.flatten()[0])), strict=True):
        assert (value.shape, value.dtype, value.device.type) == (t.shape, F64, device.type)
        assert isinstance(number, float)
        assert float(value.flatten()[0]) == pytest.approx(number)


@schedules
def test_the_conditional_velocity_moves_a_point_along_its_path(schedule):
    z, noise = normal(5, 3), normal(5, 3, seed=1)
    t = torch.linspace(0.05, 0.9, 5, dtype=F64)
    x, velocity = torch.func.jvp(lambda t: sample_conditional_path(schedule, z, t, noise), (t,), (torch.ones_like(t),))
    torch.testing.assert_close(conditional_velocity(schedule, x, t, z), velocity)


@schedules
def test_the_conditional_score_is_the_gradient_of_the_conditional_density(schedule):
    z, x, t = normal(5, 3), normal(5, 3, seed=1).requires_grad_(), 0.4
    alpha, beta, _, _ = schedule(t)
    density = torch.distributions.Normal(alpha * z, beta)
    (gradient,) = torch.autograd.grad(density.log_prob(x).sum(), x)
    torch.testing.assert_close(conditional_score(schedule, x.detach(), t, z), gradient)


@pytest.mark.parametrize("shape", [(6,), (6, 2), (6, 1, 4, 4)])
def test_each_sample_can_have_a_time_of_its_own(shape):
    z, noise, t = normal(*shape), normal(*shape, seed=1), torch.linspace(0, 0.9, 6, dtype=F64)
    x = sample_conditional_path(cosine_schedule, z, t, noise)
    for f in (conditional_velocity, conditional_score):
        each = [f(cosine_schedule, x[i : i + 1], float(t[i]), z[i : i + 1]) for i in range(6)]
        torch.testing.assert_close(f(cosine_schedule, x, t, z), torch.cat(each))
    each = [sample_conditional_path(cosine_schedule, z[i : i + 1], float(t[i]), noise[i : i + 1]) for i in range(6)]
    torch.testing.assert_close(x, torch.cat(each))


@schedules
@pytest.mark.parametrize("t", [0.35, torch.linspace(0.1, 0.9, 7, dtype=F64)], ids=["one time", "a time each"])
def test_every_field_converts_into_every_other(schedule, t):
    # By definition: x = alpha z + beta eps, and the four fields in terms of z and eps.
    z, eps = normal(7, 2), normal(7, 2, seed=1)
    alpha, beta, d_alpha, d_beta = schedule(t if isinstance(t, float) else t[:, None])
    x = alpha * z + beta * eps
    fields = {"denoiser": z, "noise": eps, "velocity": d_alpha * z + d_beta * eps, "score": -eps / beta}
    for source in fields:
        for target in fields.keys() - {source}:
            convert = getattr(paths, f"{source}_to_{target}")
            torch.testing.assert_close(convert(schedule, x, t, fields[source]), fields[target], msg=convert.__name__)


@pytest.mark.parametrize("t", [0.0, 1.0])
def test_conversions_that_hold_for_every_t_are_finite_at_both_ends(t):
    x, value = normal(3, 2), normal(3, 2, seed=1)
    for convert in (paths.score_to_noise, paths.velocity_to_noise, paths.velocity_to_denoiser):
        assert convert(cosine_schedule, x, t, value).isfinite().all()


@kinds
@schedules
@pytest.mark.parametrize("t", [0.0, 0.3, 0.9])
def test_density_and_score_are_those_of_torch_distributions(kind, schedule, t):
    path, x = path_of(kind, schedule), 2 * normal(50, 2).requires_grad_()
    log_prob = reference(path, t).log_prob(x)
    (gradient,) = torch.autograd.grad(log_prob.sum(), x)
    torch.testing.assert_close(path.log_prob(x.detach(), t), log_prob.detach())
    torch.testing.assert_close(path.score(x.detach(), t), gradient)


@kinds
def test_the_score_is_the_gradient_of_log_prob(kind, device):
    path = path_of(kind, device=device)
    x = 2 * normal(50, 2).to(device).requires_grad_()
    (gradient,) = torch.autograd.grad(path.log_prob(x, 0.6).sum(), x)
    torch.testing.assert_close(path.score(x, 0.6), gradient)


@kinds
@schedules
def test_the_velocity_transports_the_density(kind, schedule):
    # The continuity equation, d/dt log p + div u + u . grad log p = 0, with every derivative by autograd.
    path, x = path_of(kind, schedule), normal(40, 2).requires_grad_()
    t = torch.linspace(0.02, 0.9, 40, dtype=F64).requires_grad_()
    d_x, d_t = torch.autograd.grad(path.log_prob(x, t).sum(), (x, t))
    u, div = velocity_and_divergence(path.velocity, x, t)
    torch.testing.assert_close(d_t + div + (u * d_x).sum(1), torch.zeros(40, dtype=F64), rtol=0, atol=1e-9)


@pytest.mark.parametrize("t", [0.1, 0.5, 0.8])
def test_the_denoiser_and_velocity_are_posterior_means_by_quadrature(t):
    # In one dimension, over a grid of data values z, by Bayes' rule.
    m = GaussianMixture(
        torch.tensor([0.3, 0.7], dtype=F64),
        torch.tensor([[-1.0], [2.0]], dtype=F64),
        torch.tensor([0.1, 0.4], dtype=F64),
    )
    path, x = MixturePath(cosine_schedule, m), torch.linspace(-3, 3, 21, dtype=F64)[:, None]
    z = torch.linspace(-6, 8, 40_001, dtype=F64)
    alpha, beta, d_alpha, d_beta = cosine_schedule(t)
    posterior = m.log_prob(z[:, None]).exp() * torch.exp(-((x - alpha * z) ** 2) / (2 * beta**2))
    posterior /= posterior.sum(1, keepdim=True)
    velocities = d_alpha * z + d_beta / beta * (x - alpha * z)
    torch.testing.assert_close(path.denoiser(x, t)[:, 0], posterior @ z, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(path.velocity(x, t)[:, 0], (posterior * velocities).sum(1), rtol=1e-7, atol=1e-7)


def test_the_data_sets_fields_are_averages_with_the_posterior_weights():
    path, x, t = path_of("data"), 2 * normal(20, 2), 0.7
    squares = (x[:, None] - t * path.data).square().sum(-1)
    weights = torch.exp(-squares / (2 * (1 - t) ** 2))
    weights /= weights.sum(1, keepdim=True)
    torch.testing.assert_close(path.posterior_weights(x, t), weights)
    torch.testing.assert_close(path.denoiser(x, t), weights @ path.data)
    each = torch.stack([conditional_velocity(linear_schedule, x, t, z.expand_as(x)) for z in path.data], dim=1)
    torch.testing.assert_close(path.velocity(x, t), (weights[..., None] * each).sum(1))


@kinds
def test_the_mixtures_weights_are_bayes_rule(kind):
    path, x, t = path_of(kind), normal(20, 2), 0.4
    p = reference(path, t)
    joint = p.component_distribution.log_prob(x[:, None]) + p.mixture_distribution.logits
    torch.testing.assert_close(path.posterior_weights(x, t), joint.softmax(1))


def test_a_gaussians_flow_is_the_closed_form():
    # N(0, I) to N(m, s^2): x_t = alpha m + sqrt(alpha^2 s^2 + beta^2) x_0, an affine map at each time.
    mean, std = torch.tensor([[1.0, -2.0]], dtype=F64), 0.3
    path = MixturePath(cosine_schedule, GaussianMixture(torch.ones(1, dtype=F64), mean, std**2))
    x0 = normal(10, 2)
    x1 = simulate(
        lambda x, t, h: rk4_step(path.velocity, x, t, h), x0, torch.linspace(0, 1, 201, dtype=F64), keep="last"
    )
    torch.testing.assert_close(x1, mean + std * x0, rtol=1e-8, atol=1e-8)


@kinds
@pytest.mark.parametrize("schedule", [linear_schedule, cosine_schedule], ids=lambda s: s.__name__)
@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_fields_are_finite_at_both_ends_and_far_away(kind, schedule, dtype, scale, device):
    path, x = path_of(kind, schedule, dtype, device), (scale * normal(20, 2)).to(device, dtype)
    ends = [0.0, 1e-30, 1e-7, 0.5, 1 - 1e-3, 1 - 1e-5, 1 - 1e-7, 1.0, torch.tensor(1.0, dtype=dtype, device=device)]
    for t in [*ends, torch.linspace(0, 1, 20, dtype=dtype, device=device)]:
        for field in (path.velocity, path.score, path.denoiser):
            assert field(x, t).isfinite().all(), t
        torch.testing.assert_close(path.posterior_weights(x, t).sum(1), torch.ones_like(x[:, 0]))


@kinds
@schedules
def test_at_the_start_the_noise_says_nothing_about_the_data(kind, schedule):
    if schedule is tan_schedule:
        return
    path, x = path_of(kind, schedule), normal(20, 2)
    mean = path.data.mean(0) if kind == "data" else path.mixture.mean
    torch.testing.assert_close(path.denoiser(x, 0.0), mean.expand_as(x))
    torch.testing.assert_close(path.velocity(x, 0.0), schedule(0.0).d_alpha * mean + schedule(0.0).d_beta * x)
    torch.testing.assert_close(path.score(x, 0.0), -x)


@pytest.mark.parametrize("kind", ["equal", "round", "full"])
def test_at_the_end_a_mixtures_fields_are_its_own(kind):
    path, x = path_of(kind), normal(20, 2)
    torch.testing.assert_close(path.score(x, 1.0), path.mixture.score(x))
    torch.testing.assert_close(path.log_prob(x, 1.0), path.mixture.log_prob(x))
    torch.testing.assert_close(path.denoiser(x, 1.0), x)
    torch.testing.assert_close(path.velocity(x, 1.0), x)


@pytest.mark.parametrize("t", [1.0, torch.tensor(1.0 + 1e-7), torch.tensor(1.0 - 6e-8), torch.ones(20)])
def test_at_the_end_the_data_sets_fields_are_those_of_the_nearest_point(t):
    path, x = path_of("data", cosine_schedule, torch.float32), normal(20, 2, dtype=torch.float32)
    nearest = path.data[torch.cdist(x, path.data).argmin(1)]
    torch.testing.assert_close(path.denoiser(x, t), nearest)
    torch.testing.assert_close(path.velocity(x, t), 0 * nearest, rtol=0, atol=1e-5)  # d_alpha is 0 at t = 1
    torch.testing.assert_close(EmpiricalPath(linear_schedule, path.data).velocity(x, t), nearest)
    assert (path.score(x, t) == 0).all()
    with pytest.raises(ValueError, match="no density"):
        path.log_prob(x, t)


def test_just_before_the_end_the_velocity_aims_at_the_nearest_point():
    path, x, t = path_of("data"), normal(20, 2), 1 - 1e-9
    nearest = path.data[torch.cdist(x, path.data).argmin(1)]
    torch.testing.assert_close(path.velocity(x, t), (nearest - x) / (1 - t), rtol=1e-6, atol=1e-3)


def test_between_two_equally_near_points_the_end_is_their_mean():
    path = EmpiricalPath(linear_schedule, torch.tensor([[-1.0, 0.0], [1.0, 0.0], [0.0, 9.0]]))
    torch.testing.assert_close(path.denoiser(torch.zeros(1, 2), 1.0), torch.zeros(1, 2))


@kinds
@schedules
def test_single_precision_agrees_with_double(kind, schedule):
    # What is left is the rounding of the data's own digits: eps |z| / beta in the velocity, / beta^2 in the score.
    single, double = path_of(kind, schedule, torch.float32), path_of(kind, schedule)
    if kind == "data":
        double = EmpiricalPath(schedule, single.data.double())
    x = 2 * normal(300, 2, dtype=torch.float32)
    for t in (0.0, 0.2, 0.5, 0.6, 0.7, 0.9, 0.99):
        beta = schedule(t).beta
        for field, size in {
            "log_prob": 1,
            "denoiser": 1,
            "posterior_weights": 1,
            "velocity": 1 / beta,
            "score": 1 / beta**2,
        }.items():
            found, wanted = getattr(single, field)(x, t), getattr(double, field)(x.double(), t)
            assert found.dtype == torch.float32
            slack = 1 if kind == "data" else 30  # there the mixture's own parameters are rounded too
            torch.testing.assert_close(
                found.double(), wanted, rtol=1e-4, atol=slack * 2e-6 * max(1, size), msg=f"{field} {t}"
            )


def test_crowded_data_keep_their_digits_in_single_precision():
    # 2,000 points within 0.05 of each other, far from the origin, and beta between their distances.
    data = torch.tensor([20.0, -30.0]) + 0.05 * torch.rand(2000, 2, generator=torch.Generator().manual_seed(0))
    x, t = data[:100] * 0.998 + 0.002 * normal(100, 2, dtype=torch.float32), 0.998
    single, double = EmpiricalPath(linear_schedule, data), EmpiricalPath(linear_schedule, data.double())
    torch.testing.assert_close(
        single.posterior_weights(x, t).double(), double.posterior_weights(x.double(), t), rtol=1e-4, atol=1e-6
    )


@kinds
def test_far_away_the_score_still_points_home(kind):
    path = path_of(kind, dtype=torch.float32)
    x = 1e5 * torch.tensor([[1.0, 0.5], [-1.0, 2.0], [0.0, -1.0]])
    wanted = path_of(kind).score(x.double(), 0.9)
    torch.testing.assert_close(path.score(x, 0.9).double(), wanted, rtol=1e-3, atol=0)
    assert ((path.score(x, 0.9) * x).sum(1) < 0).all()


@kinds
def test_a_time_for_each_sample_is_that_time_for_each(kind, device):
    path, x = path_of(kind, cosine_schedule, device=device), normal(9, 2).to(device)
    t = torch.linspace(0, 0.95, 9, dtype=F64, device=device)
    for name in ("velocity", "score", "denoiser", "log_prob", "posterior_weights"):
        field = getattr(path, name)
        torch.testing.assert_close(field(x, t), torch.cat([field(x[i : i + 1], t[i]) for i in range(9)]))


@kinds
def test_blocks_change_nothing(kind, monkeypatch):
    path, x, t = path_of(kind), normal(50, 2), torch.linspace(0.1, 0.9, 50, dtype=F64)
    fields = [path.velocity, path.log_prob, path.posterior_weights]
    whole = [field(x, t) for field in fields]
    monkeypatch.setattr(paths, "BLOCK_NUMBERS", 100)
    for field, wanted in zip(fields, whole, strict=True):
        torch.testing.assert_close(field(x, t), wanted)


def test_data_may_be_images():
    data, x = normal(12, 1, 4, 4), normal(5, 1, 4, 4, seed=1)
    images, flat = EmpiricalPath(linear_schedule, data), EmpiricalPath(linear_schedule, data.flatten(1))
    torch.testing.assert_close(images.velocity(x, 0.8).flatten(1), flat.velocity(x.flatten(1), 0.8))
    torch.testing.assert_close(images.log_prob(x, 0.8), flat.log_prob(x.flatten(1), 0.8))
    assert images.sample(3, 0.5).shape == (3, 1, 4, 4)


@kinds
def test_no_samples_at_all_are_no_error(kind):
    path, x = path_of(kind), torch.empty(0, 2, dtype=F64)
    assert path.velocity(x, 0.5).shape == (0, 2)
    assert path.velocity(x, torch.empty(0, dtype=F64)).shape == (0, 2)
    assert path.log_prob(x, 0.5).shape == (0,)


def test_a_hundred_thousand_points_need_no_more_than_blocks():
    # 1,000 samples times 100,000 points would be 800 MB in one piece; a block is at most 2^19 numbers.
    path = EmpiricalPath(linear_schedule, normal(100_000, 2, dtype=torch.float32))
    largest, products = 0, path._components._products

    def watched(*args):
        nonlocal largest
        result = products(*args)
        largest = max(largest, result.numel())
        return result

    path._components._products = watched
    x = normal(20, 2, seed=1, dtype=torch.float32)
    assert path.velocity(x, 0.9).isfinite().all()
    assert largest <= paths.BLOCK_NUMBERS


@kinds
def test_samples_follow_the_marginal(kind, device):
    # Kolmogorov-Smirnov of the first coordinate, whose law is a mixture of normals; false alarm 1e-6, seed fixed.
    path, t = path_of(kind, device=device), 0.8
    x = path.sample(20_000, t, torch.Generator(device).manual_seed(0)).cpu()
    p = reference(path_of(kind), t)
    means, stds = p.component_distribution.loc[:, 0], p.component_distribution.covariance_matrix[:, 0, 0].sqrt()

    def cdf(v):
        return (p.mixture_distribution.probs * torch.special.ndtr((torch.as_tensor(v)[:, None] - means) / stds)).sum(1)

    assert kstest(x[:, 0].numpy(), lambda v: cdf(v).numpy()).pvalue > 1e-6


def test_the_mixtures_marginal_is_the_paths_law():
    path, x = path_of("full", cosine_schedule), normal(20, 2)
    torch.testing.assert_close(path.marginal(0.3).log_prob(x), path.log_prob(x, 0.3))


def test_the_sdes_drift_keeps_the_marginals():
    # Fokker-Planck: d/dt p + div(p drift) - sigma^2 / 2 laplacian p = 0, divided by p; derivatives by autograd.
    path, sigma, t0 = path_of("full"), 0.7, 0.6
    drift = extend_to_sde(path.velocity, path.score, lambda t: sigma)
    x, t = normal(20, 2).requires_grad_(), torch.tensor(t0, dtype=F64).requires_grad_()
    d_t = torch.stack([torch.autograd.grad(path.log_prob(x[i : i + 1], t).sum(), t)[0] for i in range(20)])
    value, div = velocity_and_divergence(drift, x, t0)
    score = path.score(x.detach(), t0)
    laplacian = divergence(path.score, x, t0) + score.square().sum(1)  # laplacian p / p
    residual = d_t + div + (value * score).sum(1) - sigma**2 / 2 * laplacian
    torch.testing.assert_close(residual, torch.zeros(20, dtype=F64), rtol=0, atol=1e-9)


@pytest.mark.parametrize("t", [0.3, torch.tensor(0.3), torch.full((6,), 0.3)], ids=["float", "0-d", "(n,)"])
def test_the_divergence_of_a_linear_field_is_its_trace(t, device):
    A = normal(3, 3, dtype=torch.float32).to(device)
    x, t = normal(6, 3, dtype=torch.float32).to(device), t.to(device) if isinstance(t, torch.Tensor) else t
    time = t[:, None] if isinstance(t, torch.Tensor) and t.ndim else t
    torch.testing.assert_close(divergence(lambda x, s: time * x @ A.T, x, t), 0.3 * A.trace().expand(6))


def test_the_divergence_of_a_field_of_images_sums_over_the_pixels():
    x = normal(4, 1, 3, 3)
    torch.testing.assert_close(divergence(lambda x, t: x**3, x, 0.0), (3 * x**2).flatten(1).sum(1))


def test_the_divergence_of_a_constant_field_is_zero_and_of_a_partly_constant_one_is_right():
    x = normal(4, 2)
    assert (divergence(lambda x, t: torch.ones_like(x), x, 0.0) == 0).all()
    u = lambda x, t: torch.stack([torch.ones(4, dtype=F64), x[:, 1] ** 2], dim=1)  # noqa: E731
    torch.testing.assert_close(divergence(u, x, 0.0), 2 * x[:, 1])


def test_the_divergence_works_where_gradients_are_off():
    x = normal(4, 2)
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            y, t = x + 0, torch.tensor(2.0, dtype=F64) + 0
            torch.testing.assert_close(divergence(lambda x, t: t * x, y, t), torch.full((4,), 4.0, dtype=F64))


def test_random_probes_give_the_divergence_on_average():
    # For signs e the error with u = A x is the sum of A_ij e_i e_j, i != j, of variance sum_{i<j} (A_ij + A_ji)^2.
    # The mean of 20,000 is within five of its standard deviations, false alarm 6e-7; the seed is fixed.
    A, n = normal(3, 3), 20_000
    probe = torch.randint(2, (n, 3), generator=torch.Generator().manual_seed(0)).to(F64) * 2 - 1
    estimates = divergence(lambda x, t: x @ A.T, torch.zeros(n, 3, dtype=F64), 0.0, probe)
    std = (A + A.T).triu(1).square().sum().sqrt()
    assert abs(estimates.mean() - A.trace()) < 5 * std / n**0.5
    assert estimates.std() == pytest.approx(float(std), rel=0.05)


def test_a_field_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="wanted one like x"):
        divergence(lambda x, t: x[:, :1], normal(4, 2), 0.0)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: EmpiricalPath(linear_schedule, torch.ones(3)), r"\(3,\), torch.float32; wanted"),
        (lambda: EmpiricalPath(linear_schedule, torch.ones(3, 2, dtype=torch.int64)), "int64"),
        (lambda: EmpiricalPath(linear_schedule, torch.ones(0, 2)), r"\(0, 2\)"),
        (lambda: EmpiricalPath(linear_schedule, [[1.0]]), "list"),
        (lambda: EmpiricalPath(linear_schedule, torch.full((3, 2), math.nan)), "NaN"),
        (lambda: MixturePath(linear_schedule, torch.ones(3, 2)), "a Tensor; wanted a GaussianMixture"),
        (lambda: path_of("data").velocity(torch.ones(3, 2), 0.5), "float32 on cpu and the data torch.float64"),
        (lambda: path_of("full").velocity(torch.ones(3, 3, dtype=F64), 0.5), r"\(3, 3\); wanted samples like the data"),
        (lambda: path_of("data").velocity(torch.ones(2, dtype=F64), 0.5), r"\(2,\); wanted"),
        (lambda: path_of("data").velocity(0.5, torch.ones(3, 2)), "x is a float"),
        (lambda: path_of("data").score(torch.ones(3, 2, dtype=F64), torch.ones(2)), r"t has shape \(2,\)"),
        (lambda: path_of("data").score(torch.ones(3, 2, dtype=F64), torch.ones(3, 1)), r"t has shape \(3, 1\)"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(make, words):
    with pytest.raises(ValueError, match=words):
        make()
