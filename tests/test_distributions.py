import math

import numpy as np
import pytest
import torch
from scipy.stats import chisquare, kstest, multivariate_normal
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from course import distributions
from course.distributions import Checkerboard, Circles, Gaussian, GaussianMixture, Moons, Spiral

TOYS = [Moons(), Circles(), Checkerboard(), Spiral()]
toys = pytest.mark.parametrize("toy", TOYS, ids=lambda toy: type(toy).__name__)


def covariances(K, d, seed=0, dtype=torch.float64):
    A = torch.randn(K, d, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (A @ A.mT / d + 0.1 * torch.eye(d, dtype=torch.float64)).to(dtype)


def mixture(kind, d=2, dtype=torch.float64, device="cpu"):
    generator = torch.Generator().manual_seed(5)
    means = 2 * torch.randn(4, d, generator=generator, dtype=torch.float64)
    weights = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    C = {"full": covariances(4, d), "isotropic": torch.tensor([0.1, 0.5, 1.0, 2.0]), "equal": 0.3}[kind]
    C = C.to(device, dtype) if isinstance(C, torch.Tensor) else C
    return GaussianMixture(weights.to(device, dtype), means.to(device, dtype), C)


def reference(m):
    """The same mixture, by torch.distributions."""
    eye = torch.eye(m.dim, dtype=m.means.dtype, device=m.means.device)
    C = m.covariances if m.covariances.ndim == 3 else m.covariances[:, None, None] * eye
    return MixtureSameFamily(Categorical(m.weights), MultivariateNormal(m.means, C))


kinds = pytest.mark.parametrize("kind", ["full", "isotropic", "equal"])


def points(n, d, scale=3.0, seed=7):
    return scale * torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_gaussian_density_is_scipys(device):
    mean, C, x = points(1, 3)[0], covariances(1, 3)[0], points(20, 3)
    found = Gaussian(mean.to(device), C.to(device)).log_prob(x.to(device)).cpu()
    np.testing.assert_allclose(found, multivariate_normal(mean, C).logpdf(x), rtol=1e-10)


def test_the_gaussian_score_is_the_gradient_of_the_density(device):
    gaussian = Gaussian(points(1, 3)[0].to(device), covariances(1, 3)[0].to(device))
    x = points(20, 3).to(device).requires_grad_()
    (gradient,) = torch.autograd.grad(gaussian.log_prob(x).sum(), x)
    torch.testing.assert_close(gaussian.score(x.detach()), gradient)


def test_a_number_as_covariance_is_that_variance_in_every_direction():
    round_one = Gaussian(torch.zeros(3), 0.25)
    torch.testing.assert_close(round_one.covariance, 0.25 * torch.eye(3))
    torch.testing.assert_close(round_one.score(torch.ones(1, 3)), torch.full((1, 3), -4.0))


def test_whitened_gaussian_samples_are_standard_normal(device):
    # Kolmogorov-Smirnov, false alarm 1e-6 for each coordinate; the seed is fixed.
    mean, C = points(1, 3)[0], covariances(1, 3)[0]
    x = Gaussian(mean.to(device), C.to(device)).sample(20_000, torch.Generator(device).manual_seed(0)).cpu()
    values, vectors = np.linalg.eigh(C.numpy())
    white = ((x - mean).numpy() @ vectors) / np.sqrt(values)
    assert all(kstest(white[:, i], "norm").pvalue > 1e-6 for i in range(3))
    np.testing.assert_allclose(np.corrcoef(white.T), np.eye(3), atol=0.05)


@kinds
@pytest.mark.parametrize("d", [1, 2, 5])
def test_the_mixtures_density_and_score_are_those_of_torch_distributions(kind, d, device):
    m = mixture(kind, d, device=device)
    x = points(300, d).to(device).requires_grad_()
    log_prob = reference(m).log_prob(x)
    (gradient,) = torch.autograd.grad(log_prob.sum(), x)
    torch.testing.assert_close(m.log_prob(x.detach()), log_prob.detach())
    torch.testing.assert_close(m.score(x.detach()), gradient)


@kinds
def test_the_mixtures_density_can_be_differentiated(kind):
    m, x = mixture(kind), points(50, 2).requires_grad_()
    (gradient,) = torch.autograd.grad(m.log_prob(x).sum(), x)
    torch.testing.assert_close(gradient, m.score(x.detach()))


@kinds
def test_the_mixtures_density_integrates_to_one(kind):
    ticks = torch.linspace(-14, 14, 561, dtype=torch.float64)
    density = mixture(kind).log_prob(torch.cartesian_prod(ticks, ticks)).exp()
    assert density.sum().item() * 0.05**2 == pytest.approx(1, abs=1e-6)


@kinds
def test_responsibilities_are_bayes_rule(kind):
    m, x = mixture(kind), points(40, 2)
    parts = reference(m).component_distribution.log_prob(x[:, None]).exp() * m.weights
    torch.testing.assert_close(m.responsibilities(x), parts / parts.sum(1, keepdim=True))


@kinds
def test_single_precision_agrees_with_double(kind):
    single, double, x = mixture(kind, dtype=torch.float32), mixture(kind), points(200, 2)
    for name in ("log_prob", "score", "responsibilities"):
        found = getattr(single, name)(x.float())
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.double(), getattr(double, name)(x), rtol=2e-5, atol=2e-5)


@kinds
@pytest.mark.parametrize("distance", [1e2, 1e5])
def test_far_from_every_mode_the_score_still_points_home(kind, distance):
    m = mixture(kind, dtype=torch.float32)
    x = distance * torch.tensor([[1.0, 0.5], [-1.0, 2.0], [0.0, -1.0]])
    score, wanted = m.score(x), reference(m.to(torch.float64))
    assert m.log_prob(x).isfinite().all()
    torch.testing.assert_close(m.log_prob(x).double(), wanted.log_prob(x.double()), rtol=1e-5, atol=0)
    torch.testing.assert_close(m.responsibilities(x).sum(1), torch.ones(3))
    assert ((score * x).sum(1) < 0).all()


def test_narrow_modes_keep_their_digits_in_single_precision():
    # What a data set looks like just before t = 1: sharp modes far from the origin.
    std = 1e-3
    m = GaussianMixture.ring(8, radius=10.0, std=std)
    offset = std * torch.tensor([[0.5, -1.0], [2.0, 0.0]])
    x = m.means[[0, 4]] + offset
    z = (x.double() - m.means[[0, 4]].double()) / std
    wanted = -0.5 * z.square().sum(1) - math.log(2 * math.pi * std**2) - math.log(8)
    torch.testing.assert_close(m.log_prob(x).double(), wanted, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(m.score(x).double(), -z / std, rtol=2e-3, atol=2.0)


@kinds
def test_the_marginal_is_the_law_of_alpha_z_plus_beta_eps(kind):
    # By convolution: E_z N(x; alpha z, beta^2) on a grid of z.
    m, alpha, beta, x = mixture(kind, d=1), 0.6, 0.8, points(9, 1)
    z = torch.linspace(-18, 18, 6001, dtype=torch.float64)[:, None]
    kernel = torch.distributions.Normal(alpha * z.T, beta).log_prob(x).exp()
    wanted = (kernel * m.log_prob(z).exp()).sum(1) * (36 / 6000)
    torch.testing.assert_close(m.marginal(alpha, torch.tensor(beta)).log_prob(x).exp(), wanted)


@kinds
def test_the_marginal_goes_from_noise_to_data(kind):
    m, x = mixture(kind), points(20, 2)
    torch.testing.assert_close(m.marginal(1.0, 0.0).log_prob(x), m.log_prob(x))
    noise = MultivariateNormal(torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64))
    torch.testing.assert_close(m.marginal(0.0, 1.0).log_prob(x), noise.log_prob(x))


@kinds
def test_mixture_samples_have_the_mixtures_marginal_laws(kind, device):
    # Kolmogorov-Smirnov along three directions, false alarm 1e-6 each; the seed is fixed.
    m = mixture(kind, dtype=torch.float32, device=device)
    x = m.sample(30_000, torch.Generator(device).manual_seed(2)).cpu().double()
    m = m.to("cpu", torch.float64)
    for angle in (0.0, 1.0, 2.0):
        direction = torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64)
        C = m.covariances
        variance = C * 1 if C.ndim == 1 else torch.einsum("i,kij,j->k", direction, C, direction)
        line = torch.distributions.Normal(m.means @ direction, variance.sqrt())
        cdf = lambda s, line=line: (line.cdf(torch.as_tensor(s)[:, None]) @ m.weights).numpy()  # noqa: E731
        assert kstest((x @ direction).numpy(), cdf).pvalue > 1e-6


@kinds
def test_mean_and_covariance_are_those_of_many_samples(kind):
    # Within five standard errors of 200,000 draws: false alarm below 1e-5; the seed is fixed.
    m = mixture(kind)
    x = m.sample(200_000, torch.Generator().manual_seed(4))
    error = 5 * (m.covariance.diagonal() / 200_000).sqrt()
    assert ((x.mean(0) - m.mean).abs() < error).all()
    torch.testing.assert_close(x.T.cov(), m.covariance, rtol=0.02, atol=0.05)


def test_blocks_of_points_change_nothing(monkeypatch):
    m, x = mixture("full"), points(101, 2)
    whole = [m.log_prob(x), m.score(x), m.responsibilities(x)]
    monkeypatch.setattr(distributions, "BLOCK_NUMBERS", 40)
    for found, wanted in zip([m.log_prob(x), m.score(x), m.responsibilities(x)], whole, strict=True):
        torch.testing.assert_close(found, wanted)


def test_a_component_of_weight_zero_takes_no_part():
    m = GaussianMixture(torch.tensor([1.0, 0.0]), torch.tensor([[0.0], [3.0]]), 1.0)
    x = torch.tensor([[3.0], [-1.0]])
    torch.testing.assert_close(m.score(x), -x)
    torch.testing.assert_close(m.responsibilities(x), torch.tensor([[1.0, 0.0], [1.0, 0.0]]))


def test_no_points_give_no_values():
    m = mixture("full")
    none = torch.zeros(0, 2, dtype=torch.float64)
    assert m.log_prob(none).shape == (0,)
    assert m.score(none).shape == (0, 2)
    assert m.responsibilities(none).shape == (0, 4)


def test_a_ring_has_its_modes_evenly_on_the_circle():
    ring = GaussianMixture.ring(6, radius=3.0, std=0.1)
    torch.testing.assert_close(ring.means.norm(dim=1), torch.full((6,), 3.0))
    torch.testing.assert_close((ring.means - ring.means.roll(1, 0)).norm(dim=1), torch.full((6,), 3.0))
    torch.testing.assert_close(ring.mean, torch.zeros(2), atol=1e-6, rtol=0)


def test_a_grid_is_centred_and_has_its_spacing():
    grid = GaussianMixture.grid(3, spacing=2.0)
    assert sorted(map(tuple, grid.means.tolist())) == [(a, b) for a in (-2, 0, 2) for b in (-2, 0, 2)]


def test_to_changes_the_dtype_of_everything():
    for law in (mixture("full", dtype=torch.float32), Gaussian(torch.zeros(2), 1.0)):
        wide = law.to(torch.float64)
        x = wide.sample(3)
        assert x.dtype == wide.score(x).dtype == wide.log_prob(x).dtype == torch.float64


@toys
def test_toy_samples_are_points_of_the_plane_that_repeat_with_the_seed(toy):
    first, again, other = (toy.sample(500, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert first.shape == (500, 2)
    assert first.dtype == torch.float32
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@toys
def test_toy_samples_without_a_generator_follow_the_global_seed(toy):
    torch.manual_seed(0)
    first = toy.sample(10)
    torch.manual_seed(0)
    assert torch.equal(first, toy.sample(10))
    assert not torch.equal(first, toy.sample(10))


def test_circles_without_noise_have_two_radii_and_moons_one():
    radii = Circles(noise=0.0, scale=3.0).sample(200).norm(dim=1).sort().values
    torch.testing.assert_close(radii, torch.tensor([1.5, 3.0]).repeat_interleave(100))
    x = Moons(noise=0.0, scale=2.0).sample(200) / 2
    left = (x - torch.tensor([-0.5, -0.25])).norm(dim=1)
    right = (x - torch.tensor([0.5, 0.25])).norm(dim=1)
    torch.testing.assert_close(torch.minimum((left - 1).abs(), (right - 1).abs()), torch.zeros(200), atol=1e-5, rtol=0)


@pytest.mark.parametrize("toy", [Moons(noise=0.3, scale=4.0), Circles(noise=0.3, scale=4.0)])
def test_a_toys_noise_does_not_grow_with_its_scale(toy):
    # The root mean square of 4,000 normals is within 5 % of 0.3: false alarm about 1e-5; the seed is fixed.
    clean = type(toy)(noise=0.0, scale=4.0)
    generator = torch.Generator().manual_seed(0)
    x, curve = toy.sample(4_000, generator), clean.sample(4_000, generator)
    away = torch.cdist(x, curve).amin(1)
    assert away.square().mean().sqrt().item() == pytest.approx(0.3, rel=0.05)


def test_a_spiral_without_noise_lies_on_its_curve():
    x = Spiral(turns=1.5, noise=0.0, scale=2.0).sample(300)
    s = x.norm(dim=1) / 2
    angle = 3 * math.pi * s
    torch.testing.assert_close(x, 2 * s[:, None] * torch.stack([angle.cos(), angle.sin()], 1), atol=1e-4, rtol=0)


def test_checkerboard_samples_are_uniform_on_the_dark_squares_only(device):
    # Chi-squared over 8 dark squares x 4 quarters, false alarm 1e-6; the seed is fixed.
    board = Checkerboard(cells=4, half_width=2.0)
    x = board.sample(32_000, torch.Generator(device).manual_seed(0))
    assert (board.log_prob(x) == board.log_prob(x)[0]).all()
    counts = np.histogram2d(*x.cpu().numpy().T, bins=8, range=[[-2, 2], [-2, 2]])[0].flatten()
    dark = counts[counts > 0]
    assert len(dark) == 32
    assert counts.reshape(8, 8)[0, 0] > 0
    assert chisquare(dark).pvalue > 1e-6


def test_the_checkerboards_density_integrates_to_one():
    board = Checkerboard(cells=6, half_width=1.5)
    ticks = torch.arange(-2, 2, 0.02, dtype=torch.float64) + 0.01
    density = board.log_prob(torch.cartesian_prod(ticks, ticks)).exp()
    assert density.sum().item() * 0.02**2 == pytest.approx(1, abs=1e-9)


two, means = torch.tensor([0.5, 0.5]), torch.zeros(2, 3)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Gaussian(0.0, 1.0), "mean is a float"),
        (lambda: Gaussian(torch.zeros(2, 2), 1.0), r"mean has shape \(2, 2\).*\(d,\)"),
        (lambda: Gaussian(torch.zeros(2, dtype=torch.int64), 1.0), "int64"),
        (lambda: Gaussian(torch.zeros(2), torch.eye(3)), r"covariance has shape \(3, 3\).*\(2, 2\)"),
        (lambda: Gaussian(torch.zeros(2), -1.0), "covariance has the eigenvalue -1"),
        (lambda: Gaussian(torch.zeros(2), torch.tensor([[1.0, 2], [2, 1]])), "covariance has the eigenvalue -1"),
        (lambda: Gaussian(torch.zeros(2), torch.tensor([[1.0, 0.5], [0, 1]])), "not symmetric"),
        (lambda: Gaussian(torch.zeros(2), 1.0).log_prob(torch.zeros(4, 3)), r"x has shape \(4, 3\).*\(n, 2\)"),
        (lambda: Gaussian(torch.zeros(2), 1.0).score(torch.zeros(2)), r"x has shape \(2,\).*\(n, 2\)"),
        (lambda: Gaussian(torch.zeros(2), 1.0).sample(2.5), "2.5"),
        (lambda: GaussianMixture(two * 0.9, means, 1.0), "weights sum to 0.9"),
        (lambda: GaussianMixture(torch.tensor([1.5, -0.5]), means, 1.0), "-0.5"),
        (lambda: GaussianMixture(torch.tensor([math.nan, 1.0]), means, 1.0), "weights sum to nan"),
        (lambda: GaussianMixture(torch.ones(1), means, 1.0), r"weights has shape \(1,\).*\(2,\)"),
        (lambda: GaussianMixture(two, torch.zeros(2), 1.0), r"means has shape \(2,\).*\(K, d\)"),
        (lambda: GaussianMixture(two, means, torch.eye(3)), r"covariances has shape \(3, 3\).*\(2, 3, 3\)"),
        (lambda: GaussianMixture(two, means, torch.tensor([1.0, -1.0])), "variance -1"),
        (lambda: GaussianMixture(two, means, 0.0), "variance 0"),
        (lambda: GaussianMixture(two, means, math.nan), "variance nan"),
        (lambda: GaussianMixture(two, means, -torch.eye(3).expand(2, 3, 3)), "covariances.*eigenvalue -1"),
        (lambda: GaussianMixture(two, means, 1.0).score(0.5), "x is a float"),
        (lambda: GaussianMixture(two, means, 1.0).score(torch.zeros(3)), r"x has shape \(3,\).*\(n, 3\)"),
        (lambda: GaussianMixture(two, means, 1.0).score(torch.zeros(1, 3).double()), "float64.*float32"),
        (lambda: GaussianMixture(two, means, 1.0).marginal(0.0, 0.0), "alpha is 0 and beta 0"),
        (lambda: GaussianMixture(two, means, 1.0).marginal(torch.ones(2), 0.0), r"alpha has shape \(2,\)"),
        (lambda: GaussianMixture(two, means, 1.0).sample(-1), "-1"),
        (lambda: GaussianMixture.ring(0), "0"),
        (lambda: Checkerboard(cells=3), "cells is 3"),
        (lambda: Moons(noise=-0.1), "noise is -0.1"),
        (lambda: Circles(scale=0.0), "scale is 0.0"),
        (lambda: Spiral(turns=math.nan), "turns is nan"),
        (lambda: Spiral().sample(0), "0"),
        (lambda: Checkerboard().log_prob(torch.zeros(4, 3)), r"\(4, 3\)"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(make, named):
    with pytest.raises(ValueError, match=named):
        make()
