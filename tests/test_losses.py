import math

import pytest
import torch

from course.distributions import GaussianMixture
from course.losses import (
    conditional_flow_matching_loss,
    denoising_score_matching_loss,
    flow_matching_loss,
    noise_prediction_loss,
)
from course.networks import MLP
from course.paths import MixturePath, cosine_schedule, linear_schedule, sample_conditional_path, score_to_noise

F64 = torch.float64
PATH_LOSSES = [conditional_flow_matching_loss, denoising_score_matching_loss, noise_prediction_loss]
path_losses = pytest.mark.parametrize("loss", PATH_LOSSES, ids=lambda loss: loss.__name__)


def batch(n=8, shape=(2,), device="cpu", dtype=F64):
    g = torch.Generator().manual_seed(0)
    z, noise = (torch.randn(n, *shape, generator=g, dtype=F64) for _ in range(2))
    t = 0.05 + 0.9 * torch.rand(n, generator=g, dtype=F64)
    return z.to(device, dtype), t.to(device, dtype), noise.to(device, dtype)


def field(x, t):
    time = t.reshape(-1, *[1] * (x.ndim - 1)) if isinstance(t, torch.Tensor) and t.ndim else t
    return torch.sin(2 * x) * (1 + time)


@pytest.mark.parametrize("shape", [(2,), (1, 4, 4)])
def test_each_loss_is_its_formula_sample_by_sample(shape, device):
    z, t, noise = batch(shape=shape, device=device)
    totals = torch.zeros(3, dtype=F64)
    for z_i, t_i, e_i in zip(z, t.tolist(), noise, strict=True):
        a, b = math.sin(math.pi / 2 * t_i), math.cos(math.pi / 2 * t_i)
        value = field((a * z_i + b * e_i)[None], t_i)[0]
        targets = math.pi / 2 * (b * z_i - a * e_i), -e_i / b, e_i
        totals += torch.stack([(value - target).square().sum().cpu() for target in targets])
    for loss, total in zip(PATH_LOSSES, totals, strict=True):
        found = loss(field, cosine_schedule, z, t, noise)
        assert found.shape == ()
        torch.testing.assert_close(found.cpu(), total / len(z))


@path_losses
@pytest.mark.parametrize("t", [0.3, torch.tensor(0.3, dtype=F64)], ids=["float", "0-d"])
def test_one_time_for_all_samples_is_that_time_for_each(loss, t):
    z, _, noise = batch()
    torch.testing.assert_close(
        loss(field, linear_schedule, z, t, noise),
        loss(field, linear_schedule, z, torch.full((8,), 0.3, dtype=F64), noise),
    )


def test_flow_matching_is_the_mean_squared_distance_to_the_known_field():
    x, t, _ = batch()
    found = flow_matching_loss(field, lambda x, t: field(x, t) + torch.tensor([3.0, 4.0]), x, t)
    torch.testing.assert_close(found, torch.tensor(25.0, dtype=F64))


def test_noise_prediction_is_score_matching_with_the_weight_beta_squared():
    z, t, noise = batch()
    score = lambda x, t: -field(x, t) / (1 - t)[:, None]  # noqa: E731
    weighted = denoising_score_matching_loss(score, linear_schedule, z, t, noise, weight=(1 - t) ** 2)
    torch.testing.assert_close(weighted, noise_prediction_loss(field, linear_schedule, z, t, noise))


def test_a_weight_may_be_a_number():
    z, t, noise = batch()
    twice = denoising_score_matching_loss(field, linear_schedule, z, t, noise, weight=2.0)
    torch.testing.assert_close(twice, 2 * denoising_score_matching_loss(field, linear_schedule, z, t, noise))


def test_conditional_and_marginal_flow_matching_have_the_same_gradient():
    # Lipman et al. (2023), theorem 2. 400 batches of 500; each parameter's mean difference is within six of its
    # standard errors (false alarm below 1e-6 for all of them, seed fixed), and batch by batch they do differ.
    g = torch.Generator().manual_seed(0)
    path = MixturePath(linear_schedule, GaussianMixture.ring(4, std=0.5))
    model = MLP(2, width=4, depth=1, frequencies=4, generator=g)
    differences = []
    for _ in range(400):
        z, t, noise = path.mixture.sample(500, g), torch.rand(500, generator=g), torch.randn(500, 2, generator=g)
        x = sample_conditional_path(linear_schedule, z, t, noise)
        difference = conditional_flow_matching_loss(model, linear_schedule, z, t, noise) - flow_matching_loss(
            model, path.velocity, x, t
        )
        differences.append(torch.cat([p.flatten() for p in torch.autograd.grad(difference, list(model.parameters()))]))
    d = torch.stack(differences)
    assert (d.mean(0).abs() <= 6 * d.std(0) / 400**0.5).all()
    assert (d.std(0) > 0).all()


@pytest.mark.parametrize(
    ("loss", "exact"),
    [
        (conditional_flow_matching_loss, lambda path: path.velocity),
        (denoising_score_matching_loss, lambda path: path.score),
        (noise_prediction_loss, lambda path: lambda x, t: score_to_noise(path.schedule, x, t, path.score(x, t))),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_exact_field_is_where_each_loss_is_least(loss, exact):
    # The loss of exact + e v is that of exact + e^2 E|v|^2: least at e = 0 along any direction v.
    # The slope at 0 is within six standard errors (false alarm 2e-9) of 0; the seed is fixed.
    g = torch.Generator().manual_seed(0)
    path = MixturePath(linear_schedule, GaussianMixture.ring(3))
    n = 20_000
    z, t, noise = path.mixture.sample(n, g), 0.9 * torch.rand(n, generator=g), torch.randn(n, 2, generator=g)
    for direction in (lambda x, t: x, lambda x, t: torch.sin(3 * x), lambda x, t: torch.ones_like(x)):
        e = torch.zeros(n, 1, requires_grad=True)
        value = loss(lambda x, t, e=e, v=direction: exact(path)(x, t) + e * v(x, t), linear_schedule, z, t, noise)
        (slopes,) = torch.autograd.grad(value * n, e)
        assert slopes.mean().abs() < 6 * slopes.std() / n**0.5


def test_the_score_loss_has_no_bound_near_the_data_and_noise_prediction_has():
    # With a model that says 0 the two are d E[1 / beta^2] and d: 1e4 apart at t = 0.99.
    z, _, noise = batch(n=2000)
    zero = lambda x, t: torch.zeros_like(x)  # noqa: E731
    score = denoising_score_matching_loss(zero, linear_schedule, z, 0.99, noise)
    assert float(score / noise_prediction_loss(zero, linear_schedule, z, 0.99, noise)) == pytest.approx(1e4)


@path_losses
def test_a_model_whose_values_would_broadcast_is_refused(loss):
    z, t, noise = batch()
    with pytest.raises(ValueError, match=r"\(8, 1\); wanted \(8, 2\)"):
        loss(lambda x, t: x[:, :1], linear_schedule, z, t, noise)
