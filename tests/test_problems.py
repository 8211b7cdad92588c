import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.stats import kstest

from course.problems import GeometricBrownianMotion, LinearODE, Logistic, OrnsteinUhlenbeck, Rotation, Seasonal

ODES = {
    "decay": (LinearODE(1.3), [[0.7, -2.0], [0.1, 0.4]]),
    "growth": (LinearODE(-0.6), [[0.7, -2.0], [0.1, 0.4]]),
    "rotation": (Rotation(2.0), [[1.0, 0.0], [-0.3, 0.8]]),
    "spiral sink": (Rotation(-3.0, damping=0.5), [[1.0, 0.0], [-0.3, 0.8]]),
    "logistic": (Logistic(2.5), [[0.1, 0.5], [1.5, 0.0]]),
    "seasonal": (Seasonal(1.7), [[0.7, -2.0], [0.1, 0.4]]),
}
odes = pytest.mark.parametrize(("ode", "x0"), ODES.values(), ids=ODES)


@odes
def test_the_flow_is_what_an_adaptive_integrator_finds_from_the_velocity(ode, x0):
    x0 = torch.tensor(x0, dtype=torch.float64)

    def rate(t, y):
        return ode.velocity(torch.from_numpy(y).view_as(x0), t).flatten().numpy()

    found = solve_ivp(rate, (0, 2.2), x0.flatten().numpy(), method="DOP853", rtol=1e-11, atol=1e-12).y[:, -1]
    np.testing.assert_allclose(ode.flow(x0, 2.2).flatten().numpy(), found, rtol=1e-8, atol=1e-9)


@odes
def test_the_flow_starts_at_its_start(ode, x0):
    x0 = torch.tensor(x0, dtype=torch.float64)
    torch.testing.assert_close(ode.flow(x0, 0.0), x0)


@odes
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_time_per_sample_is_each_samples_own_flow_in_its_dtype(ode, x0, dtype, device):
    x0 = torch.tensor(x0, dtype=dtype, device=device)
    t = torch.tensor([0.3, 1.1], device=device)
    together = ode.flow(x0, t)
    assert together.dtype == dtype
    assert together.device.type == device.type
    assert ode.velocity(x0, t).dtype == dtype
    apart = torch.cat([ode.flow(x0[i : i + 1], float(t[i])) for i in range(2)])
    torch.testing.assert_close(together, apart, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(ode.flow(x0, torch.tensor(0.3)), ode.flow(x0, 0.3))


def test_linear_flow_and_velocity_take_samples_of_any_shape():
    x0 = torch.ones(3, 1, 4, 4)
    torch.testing.assert_close(LinearODE(2.0).flow(x0, torch.zeros(3)), x0)
    assert LinearODE(2.0).velocity(x0, 0.0).shape == x0.shape


def test_a_rotation_keeps_the_distance_to_the_origin_and_a_quarter_turn_turns_left():
    x0 = torch.tensor([[2.0, 0.0]], dtype=torch.float64)
    quarter = Rotation(math.pi / 2).flow(x0, 1.0)
    torch.testing.assert_close(quarter, torch.tensor([[0.0, 2.0]], dtype=torch.float64))


def test_ornstein_uhlenbeck_moments_solve_their_differential_equations():
    # d mean / dt = -theta mean;  d var / dt = sigma^2 - 2 theta var, from var = 0
    theta, sigma = 1.7, 0.9
    process, x0 = OrnsteinUhlenbeck(theta, sigma), torch.tensor([[2.0]], dtype=torch.float64)
    rate = lambda t, y: [-theta * y[0], sigma**2 - 2 * theta * y[1]]  # noqa: E731
    mean, variance = solve_ivp(rate, (0, 0.8), [2.0, 0.0], rtol=1e-11, atol=1e-12).y[:, -1]
    assert process.mean(x0, 0.8).item() == pytest.approx(mean, rel=1e-8)
    assert process.variance(0.8) == pytest.approx(variance, rel=1e-8)


def test_ornstein_uhlenbeck_variance_follows_the_kind_of_time_and_ends_at_the_stationary_one():
    process = OrnsteinUhlenbeck(0.5, 2.0)
    assert isinstance(process.variance(0.3), float)
    t = torch.tensor([0.0, 1e-9, 100.0], dtype=torch.float64)
    wanted = torch.tensor([0.0, 4e-9, 4.0], dtype=torch.float64)
    torch.testing.assert_close(process.variance(t), wanted, rtol=1e-8, atol=0)
    assert process.stationary_variance == 4.0
    assert process.diffusion(0.3) == 2.0
    assert process.drift(torch.ones(1), 0.0).item() == -0.5


def test_exact_ornstein_uhlenbeck_samples_have_the_exact_law(device):
    # Kolmogorov-Smirnov, false alarm 1e-6 for each of the four; the seed is fixed.
    process, generator = OrnsteinUhlenbeck(1.2, 0.8), torch.Generator(device).manual_seed(1)
    x0 = torch.tensor([1.0, -2.0], device=device).expand(20_000, 2)
    t = torch.cat([torch.full((10_000,), 0.2), torch.full((10_000,), 3.0)]).to(device)
    x = process.sample(x0, t, generator).cpu().double().numpy()
    for rows, time in ((slice(10_000), 0.2), (slice(10_000, None), 3.0)):
        for column, start in ((0, 1.0), (1, -2.0)):
            mean = start * math.exp(-1.2 * time)
            std = math.sqrt(0.64 / 2.4 * (1 - math.exp(-2.4 * time)))
            assert kstest(x[rows, column], "norm", args=(mean, std)).pvalue > 1e-6


def test_exact_samples_repeat_with_the_generators_seed_and_keep_the_dtype():
    process, x0 = OrnsteinUhlenbeck(1.0, 1.0), torch.zeros(4, 2, dtype=torch.float64)
    first, second = (process.sample(x0, 0.5, torch.Generator().manual_seed(3)) for _ in range(2))
    assert first.dtype == torch.float64
    assert torch.equal(first, second)


def test_geometric_brownian_motion_satisfies_itos_formula():
    # d log X = (mu - sigma^2 / 2) dt + sigma dW: log X is linear in t and w.
    process = GeometricBrownianMotion(0.4, 0.7)
    t = torch.tensor([0.0, 0.5, 2.0], dtype=torch.float64)
    w = torch.tensor([[[0.0]], [[0.3]], [[-1.0]]], dtype=torch.float64)
    x = process.solution(torch.full((1, 1), 2.0, dtype=torch.float64), t, w)
    wanted = math.log(2.0) + (0.4 - 0.245) * t + 0.7 * w.flatten()
    torch.testing.assert_close(x.flatten().log(), wanted)
    x0 = torch.full((1, 1), 2.0, dtype=torch.float64)
    torch.testing.assert_close(process.solution(x0, 2.0, w[2]), x[2])


def test_geometric_brownian_motions_mean_is_the_gaussian_integral_of_its_solution():
    process, t = GeometricBrownianMotion(0.4, 0.7), 1.5
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    w = math.sqrt(t) * torch.from_numpy(nodes)[:, None]
    x0 = torch.full((40, 1), 3.0, dtype=torch.float64)
    integral = weights @ process.solution(x0, t, w).numpy()[:, 0] / math.sqrt(2 * math.pi)
    assert process.mean(x0, t)[0].item() == pytest.approx(integral, rel=1e-10)


def test_geometric_brownian_motions_slope_is_the_derivative_of_its_diffusion():
    process, x = GeometricBrownianMotion(0.4, 0.7), torch.tensor([[1.0, -2.0]], requires_grad=True)
    (slope,) = torch.autograd.grad(process.diffusion(x, 0.0).sum(), x)
    torch.testing.assert_close(process.diffusion_slope(x, 0.0), slope)
    torch.testing.assert_close(process.drift(x, 0.0), 0.4 * x)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: LinearODE("fast"), "theta.*fast"),
        (lambda: LinearODE(math.nan), "theta.*nan"),
        (lambda: Rotation(math.inf), "omega.*inf"),
        (lambda: Seasonal(0.0), "omega is 0"),
        (lambda: Logistic(None), "rate.*None"),
        (lambda: OrnsteinUhlenbeck(0.0, 1.0), "theta is 0"),
        (lambda: OrnsteinUhlenbeck(1.0, -0.5), "sigma is -0.5"),
        (lambda: GeometricBrownianMotion(1.0, -0.5), "sigma is -0.5"),
        (lambda: Rotation(1.0).velocity(torch.zeros(4, 3), 0.0), r"\(4, 3\).*\(n, 2\)"),
        (lambda: Rotation(1.0).flow(1.0, 0.0), "float"),
        (lambda: LinearODE(1.0).flow(1.0, 0.5), "float"),
        (lambda: LinearODE(1.0).flow(torch.zeros(4, 3), torch.zeros(3)), r"t has shape \(3,\)"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(make, named):
    with pytest.raises(ValueError, match=named):
        make()
