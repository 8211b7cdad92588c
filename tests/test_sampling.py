import math
from functools import partial

import pytest
import torch
from scipy.stats import kstest
from torch.distributions import MultivariateNormal

from course.distributions import Gaussian, GaussianMixture
from course.networks import MLP
from course.paths import EmpiricalPath, MixturePath, cosine_schedule, extend_to_sde, linear_schedule
from course.sampling import log_likelihood, sample_flow, sample_sde
from course.solvers import euler_maruyama_step, euler_step, heun_step, midpoint_step, rk4_step, simulate

F64 = torch.float64
MEAN, STD = torch.tensor([[1.0, -2.0]], dtype=F64), 0.4


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def grid(m, stop=1.0, dtype=F64):
    return torch.linspace(0, 1, m + 1, dtype=dtype).pow(0.8) * stop


def gaussian_path(device="cpu", schedule=linear_schedule):
    return MixturePath(schedule, GaussianMixture(torch.ones(1, dtype=F64, device=device), MEAN.to(device), STD**2))


@pytest.mark.parametrize("rule, order", [(euler_step, 1), (heun_step, 2), (midpoint_step, 2), (rk4_step, 4)])
def test_samples_approach_the_gaussians_exact_flow_at_the_rules_order(rule, order, device):
    # N(0, I) to N(m, s^2): x_0 goes to m + s x_0.
    x0 = normal(20, 2).to(device)
    exact = MEAN.to(device) + STD * x0
    path, errors = gaussian_path(device, cosine_schedule), []
    for m in (20, 40):
        x1 = sample_flow(path.velocity, x0, torch.linspace(0, 1, m + 1, dtype=F64), rule)
        errors.append(float((x1 - exact).norm()))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.15)


def test_a_flow_carries_no_gradient_and_leaves_x0_alone():
    x0, model = torch.ones(3, 2), MLP(2)
    x1 = sample_flow(model, x0, grid(4, dtype=torch.float32))
    assert not x1.requires_grad
    assert (x0 == 1).all()
    (x1.sum() * next(model.parameters()).sum()).backward()  # an ordinary tensor: may be used in a loss


def test_the_exact_field_of_a_data_set_ends_in_its_points():
    data = normal(10, 2, seed=1)
    x1 = sample_flow(
        EmpiricalPath(linear_schedule, data).velocity, normal(50, 2), torch.linspace(0, 1, 101, dtype=F64), euler_step
    )
    assert torch.cdist(x1, data).amin(1).max() < 1e-6


@pytest.mark.parametrize("sigma", [0.0, 0.5, 1.5])
def test_the_sde_has_the_flows_law_for_every_sigma(sigma, device):
    # Kolmogorov-Smirnov against the exact law, whitened, false alarm 1e-6 a coordinate, seed fixed. sigma vanishes at
    # the end, so that 200 Euler-Maruyama steps leave an error well below what 4,000 samples resolve.
    path, g = gaussian_path(device), torch.Generator(device).manual_seed(0)
    x0 = torch.randn(4000, 2, generator=g, dtype=F64, device=device)
    t = torch.linspace(0, 1, 201, dtype=F64, device=device)
    x1 = sample_sde(path.velocity, path.score, lambda t: sigma * (1 - t), x0, t, generator=g)
    white = ((x1 - MEAN.to(device)) / STD).cpu().numpy()
    assert all(kstest(white[:, i], "norm").pvalue > 1e-6 for i in range(2))


def test_the_noise_can_be_handed_in():
    path, t, noise = gaussian_path(), grid(5), normal(5, 3000, 2, seed=3)
    x0, sigma = normal(3000, 2), lambda t: 0.5 + t
    drift, x = extend_to_sde(path.velocity, path.score, sigma), x0
    for i in range(5):
        x = euler_maruyama_step(drift, sigma, x, t[i], t[i + 1] - t[i], noise[i])
    torch.testing.assert_close(sample_sde(path.velocity, path.score, sigma, x0, t, noise), x)


def test_without_noise_an_sde_with_sigma_zero_is_eulers_flow():
    path, t, x0 = gaussian_path(), grid(7), normal(9, 2)
    x1 = sample_sde(path.velocity, path.score, lambda t: 0.0, x0, t, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(x1, sample_flow(path.velocity, x0, t, euler_step))


def test_the_same_generator_gives_the_same_samples():
    path, t, x0 = gaussian_path(), grid(7), normal(9, 2)
    a, b = (
        sample_sde(path.velocity, path.score, lambda t: 1.0, x0, t, generator=torch.Generator().manual_seed(4))
        for _ in range(2)
    )
    assert (a == b).all()


def test_noise_of_another_shape_is_refused():
    path = gaussian_path()
    with pytest.raises(ValueError, match=r"\(4, 9, 2\); wanted \(5, 9, 2\)"):
        sample_sde(path.velocity, path.score, lambda t: 1.0, normal(9, 2), grid(5), normal(4, 9, 2))


def log_normal(x):
    return -0.5 * x.flatten(1).square().sum(1) - x[0].numel() / 2 * math.log(2 * math.pi)


def test_the_likelihood_of_an_affine_flow_is_the_change_of_variables(device):
    # dx/dt = A x + b carries N(0, I) to N(m, M M'), with M = exp(A) and m = A^-1 (M - I) b.
    A = torch.tensor([[0.3, -1.2], [0.8, -0.5]], dtype=F64)
    b = torch.tensor([1.0, 2.0], dtype=F64)
    M = torch.linalg.matrix_exp(A)
    mean = torch.linalg.solve(A, (M - torch.eye(2, dtype=F64)) @ b)
    x = mean + normal(50, 2) @ M.T
    wanted = MultivariateNormal(mean, M @ M.T).log_prob(x)
    u = lambda x, t: x @ A.to(device).T + b.to(device)  # noqa: E731
    found = log_likelihood(u, x.to(device), grid(100), log_normal)
    torch.testing.assert_close(found.cpu(), wanted, rtol=0, atol=1e-7)


@pytest.mark.parametrize("rule, order", [(euler_step, 1), (heun_step, 2), (rk4_step, 4)])
def test_the_likelihood_has_the_order_of_its_rule(rule, order):
    u = lambda x, t: torch.cos(2 * t) * torch.tanh(x)  # noqa: E731
    x = normal(10, 2)
    fine = log_likelihood(u, x, torch.linspace(0, 1, 321, dtype=F64), log_normal)
    errors = [
        float((log_likelihood(u, x, torch.linspace(0, 1, m + 1, dtype=F64), log_normal, rule) - fine).norm())
        for m in (10, 20)
    ]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.3)


@pytest.mark.parametrize("schedule", [linear_schedule, cosine_schedule], ids=lambda s: s.__name__)
def test_the_likelihood_of_the_exact_velocity_is_the_mixtures_density(schedule):
    mixture = GaussianMixture.ring(5, std=0.3).to(F64)
    x = mixture.sample(60, torch.Generator().manual_seed(0))
    found = log_likelihood(MixturePath(schedule, mixture).velocity, x, torch.linspace(0, 1, 151, dtype=F64), log_normal)
    torch.testing.assert_close(found, mixture.log_prob(x), rtol=0, atol=2e-4)


def test_a_networks_likelihood_integrates_to_one():
    # A made-up network in one dimension: its density, integrated over a grid.
    model = MLP(1, width=8, generator=torch.Generator().manual_seed(3)).double()
    x = torch.linspace(-8, 8, 401, dtype=F64)[:, None]
    density = log_likelihood(model, x, grid(30), log_normal).exp()
    assert float(density.sum()) * 0.04 == pytest.approx(1, abs=1e-5)


def test_the_likelihood_of_images_and_of_a_part_of_the_time():
    x = normal(6, 1, 2, 2)
    found = log_likelihood(lambda x, t: -x, x, 0.5 + grid(50, stop=0.25), log_normal)
    torch.testing.assert_close(found, log_normal(x * math.exp(0.25)) + 4 * 0.25, rtol=0, atol=1e-8)


def test_a_probe_gives_the_likelihood_on_average():
    # The field's Jacobian is not diagonal, so that one probe errs; all four sign patterns of the plane together do not.
    A = torch.tensor([[0.3, -1.2], [0.8, -0.5]], dtype=F64)
    signs = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]], dtype=F64)
    x = normal(1, 2).expand(4, 2)
    run = partial(log_likelihood, lambda x, t: x @ A.T, x, grid(20), log_normal)
    exact, estimates = run(), run(probe=signs)
    assert (estimates - exact).abs().max() > 0.1
    torch.testing.assert_close(estimates.mean(), exact[0])


def test_a_base_may_be_any_log_density():
    x = normal(5, 2)
    base = Gaussian(torch.tensor([1.0, 0.0], dtype=F64), 0.5)
    torch.testing.assert_close(log_likelihood(lambda x, t: 0 * x, x, grid(2), base.log_prob), base.log_prob(x))


def test_samples_do_not_depend_on_simulates_chunks():
    path, x0 = gaussian_path(), normal(5000, 2)
    whole = simulate(partial(rk4_step, path.velocity), x0, grid(5), keep="last", chunk=5000)
    torch.testing.assert_close(sample_flow(path.velocity, x0, grid(5)), whole)
