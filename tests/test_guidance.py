"""Guidance, against mixtures whose labels, densities and fields are known exactly."""

import pytest
import torch

from course.distributions import Gaussian, GaussianMixture
from course.guidance import (
    classifier_guided_velocity,
    drop_labels,
    guided_loss,
    guided_velocity,
    sample_guided,
    tilted_log_density,
)
from course.networks import UNet
from course.paths import MixturePath, cosine_schedule, linear_schedule, velocity_to_score
from course.solvers import heun_step

F64 = torch.float64
NULL = 3


def generator(seed=0, device="cpu"):
    return torch.Generator(device).manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=F64)


# Three labels, a Gaussian each: the field of a label is that of its component.
MIXTURE = GaussianMixture(
    torch.tensor([0.5, 0.3, 0.2], dtype=F64),
    torch.tensor([[2.0, 0.0], [-1.0, 1.5], [0.0, -2.0]], dtype=F64),
    torch.tensor([0.2, 0.5, 0.3], dtype=F64),
)


class Labelled:
    """The exact conditional field, and the exact posterior of the labels at every time."""

    def __init__(self, schedule):
        self.whole = MixturePath(schedule, MIXTURE)
        one = torch.ones(1, dtype=F64)
        self.parts = [
            MixturePath(schedule, GaussianMixture(one, MIXTURE.means[k : k + 1], MIXTURE.covariances[k : k + 1]))
            for k in range(3)
        ]

    def __call__(self, x, t, y):
        fields = torch.stack([path.velocity(x, t) for path in [*self.parts, self.whole]])
        return fields[y, torch.arange(len(x))]

    def log_joint(self, x, t):
        return torch.stack([path.log_prob(x, t) for path in self.parts], 1) + MIXTURE.weights.log()

    def log_posterior(self, x, t):
        return self.log_joint(x, t).log_softmax(1)


@pytest.fixture(params=[linear_schedule, cosine_schedule], ids=["linear", "cosine"])
def schedule(request):
    return request.param


def tilted_score(field, x, t, y, w):
    """The gradient of log p_t(x) + w log p_t(y | x), by automatic differentiation."""
    x = x.clone().requires_grad_()
    joint = field.log_joint(x, t)
    chosen = joint.log_softmax(1).gather(1, y[:, None])[:, 0]
    (gradient,) = torch.autograd.grad((joint.logsumexp(1) + w * chosen).sum(), x)
    return gradient


@pytest.mark.parametrize("w", [0.0, 1.0, 2.5, torch.linspace(0, 4, 60, dtype=F64)], ids=["0", "1", "2.5", "(n,)"])
@pytest.mark.parametrize("t", [0.2, 0.7, torch.linspace(0.1, 0.9, 60, dtype=F64)], ids=["0.2", "0.7", "(n,)"])
def test_a_guided_velocity_has_the_score_of_the_tilted_density_at_its_time(schedule, t, w):
    field, x, y = Labelled(schedule), 2 * normal(60, 2), torch.arange(60) % 3
    wanted = tilted_score(field, x, t, y, w)
    torch.testing.assert_close(
        velocity_to_score(schedule, x, t, guided_velocity(field, x, t, y, w, NULL)), wanted, rtol=1e-6, atol=1e-6
    )
    by_classifier = classifier_guided_velocity(field.whole.velocity, field.log_posterior, schedule, x, t, y, w)
    torch.testing.assert_close(velocity_to_score(schedule, x, t, by_classifier), wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("t", [0.0, 1.0, torch.tensor([0.0, 0.5, 1.0], dtype=F64)], ids=["0", "1", "(n,)"])
def test_at_both_ends_a_classifier_adds_nothing(schedule, t):
    x, y = normal(3, 2), torch.arange(3)
    found = classifier_guided_velocity(
        lambda x, t: x, lambda x, t: torch.cat([x, -x], 1).log_softmax(1), schedule, x, t, y, 2.0
    )
    rows = [0, 1, 2] if isinstance(t, float) else [0, 2]
    torch.testing.assert_close(found[rows], x[rows], rtol=0, atol=1e-12)
    assert found.isfinite().all()


def test_a_classifier_guides_also_where_no_gradient_is_kept():
    field, x, y = Labelled(linear_schedule), normal(6, 2), torch.arange(6) % 3
    arguments = field.whole.velocity, field.log_posterior, linear_schedule
    wanted = classifier_guided_velocity(*arguments, x, 0.5, y, 2.0)
    with torch.inference_mode():
        found = classifier_guided_velocity(*arguments, x.clone(), 0.5, y, 2.0)
    torch.testing.assert_close(found, wanted)
    assert not wanted.requires_grad


def test_both_evaluations_are_one_call_on_twice_the_batch():
    calls = []

    def model(x, t, y):
        calls.append((x, t, y))
        return x * y[:, None]

    x, y, t = normal(4, 2), torch.tensor([0, 1, 2, 1]), torch.linspace(0, 1, 4)
    torch.testing.assert_close(guided_velocity(model, x, t, y, 2.0, NULL), x * (3 + 2 * (y[:, None] - 3)))
    ((double, times, labels),) = calls
    torch.testing.assert_close(double, torch.cat([x, x]))
    torch.testing.assert_close(times, torch.cat([t, t]))
    assert labels.tolist() == [3, 3, 3, 3, 0, 1, 2, 1]


def test_samples_of_scale_one_follow_their_label_and_of_scale_zero_none():
    # Mean and covariance of 4,000 samples within six standard errors; the steps' error is far smaller.
    field, n, t = Labelled(linear_schedule), 4000, torch.linspace(0, 1, 33, dtype=F64)
    x0 = normal(n, 2)
    for k in range(3):
        x = sample_guided(field, torch.full((n,), k), 1.0, x0, t, NULL, heun_step)
        v = float(MIXTURE.covariances[k])
        assert ((x.mean(0) - MIXTURE.means[k]).abs() < 6 * (v / n) ** 0.5 + 0.01).all()
        assert ((x.mT.cov().diagonal() / v - 1).abs() < 6 * (2 / n) ** 0.5 + 0.02).all()
    first = sample_guided(field, torch.zeros(n, dtype=torch.long), 0.0, x0, t, NULL, heun_step)
    second = sample_guided(field, torch.ones(n, dtype=torch.long), 0.0, x0, t, NULL, heun_step)
    torch.testing.assert_close(first, second)
    share = MIXTURE.responsibilities(first).mean(0)
    assert ((share - MIXTURE.weights).abs() < 6 * 0.5 / n**0.5 + 0.01).all()


def test_guidance_beyond_one_is_not_the_tilted_density():
    # For p(x | 0) = N(-1, 1), p(x | 1) = N(1, 1) and w = 3 the tilted mean is known by quadrature; guided samples have
    # another. If they agreed, the two would differ by a standard error of 0.01.
    pair = GaussianMixture(torch.tensor([0.5, 0.5], dtype=F64), torch.tensor([[-1.0], [1.0]], dtype=F64), 1.0)
    parts = [Gaussian(pair.means[k], 1.0) for k in range(2)]

    def log_posterior(x):
        return torch.stack([part.log_prob(x) for part in parts], 1).log_softmax(1)

    grid = torch.linspace(-8, 12, 4001, dtype=F64)[:, None]
    density = tilted_log_density(pair.log_prob, log_posterior, grid, torch.ones(4001, dtype=torch.long), 3.0).exp()
    tilted_mean = float((grid[:, 0] * density).sum() / density.sum())

    whole = MixturePath(linear_schedule, pair)
    alone = MixturePath(linear_schedule, GaussianMixture(torch.ones(1, dtype=F64), pair.means[1:], 1.0))

    def field(x, t, y):
        return torch.where((y == NULL)[:, None], whole.velocity(x, t), alone.velocity(x, t))

    n = 10_000
    x = sample_guided(
        field, torch.ones(n, dtype=torch.long), 3.0, normal(n, 1), torch.linspace(0, 1, 41, dtype=F64), NULL, heun_step
    )
    assert abs(float(x.mean()) - tilted_mean) > 0.1


def test_the_tilted_density_is_the_joint_for_scale_one_and_the_marginal_for_zero():
    field, x, y = Labelled(linear_schedule), 2 * normal(9, 2), torch.arange(9) % 3
    found = [
        tilted_log_density(MIXTURE.log_prob, lambda x: MIXTURE.responsibilities(x).log(), x, y, w) for w in (0.0, 1.0)
    ]
    torch.testing.assert_close(found[0], MIXTURE.log_prob(x))
    torch.testing.assert_close(found[1], field.log_joint(x, 1.0)[torch.arange(9), y])


def test_one_label_for_all_is_the_same_label_for_each(device):
    mixture = GaussianMixture(*(part.to(device) for part in (MIXTURE.weights, MIXTURE.means, MIXTURE.covariances)))
    x = 2 * normal(9, 2).to(device)
    for w in (2.5, torch.linspace(0, 4, 9, dtype=F64, device=device)):
        arguments = mixture.log_prob, lambda x: mixture.responsibilities(x).log(), x
        one_each = tilted_log_density(*arguments, torch.full((9,), 2, device=device), w)
        torch.testing.assert_close(tilted_log_density(*arguments, 2, w), one_each)


def test_labels_are_dropped_where_the_number_is_below_the_chance():
    y, u = torch.tensor([4, 5, 6, 7]), torch.tensor([0.0, 0.09, 0.1, 0.9])
    assert drop_labels(y, 0.1, 10, u).tolist() == [10, 10, 6, 7]
    assert y.tolist() == [4, 5, 6, 7]
    assert drop_labels(y, 0.0, 10, u).tolist() == [4, 5, 6, 7]
    assert drop_labels(y, 1.0, 10, u).tolist() == [10, 10, 10, 10]


def test_what_cannot_be_dropped_is_refused():
    with pytest.raises(ValueError, match=r"chance is 1\.5"):
        drop_labels(torch.zeros(2), 1.5, 10, torch.zeros(2))
    with pytest.raises(ValueError, match="one number for each label"):
        drop_labels(torch.zeros(2), 0.5, 10, torch.zeros(2, 1))


def test_the_loss_is_the_mean_over_images_of_the_squared_length(schedule):
    z, noise, t, y = normal(5, 1, 4, 4), normal(5, 1, 4, 4, seed=1), torch.rand(5, dtype=F64), torch.arange(5)

    def model(x, t, y):
        return x * (1 + y + t)[:, None, None, None]

    wanted = 0.0
    for i in range(5):
        alpha, beta, d_alpha, d_beta = schedule(float(t[i]))
        x = alpha * z[i] + beta * noise[i]
        wanted += float((x * float(1 + y[i] + t[i]) - d_alpha * z[i] - d_beta * noise[i]).square().sum()) / 5
    assert float(guided_loss(model, schedule, z, t, noise, y)) == pytest.approx(wanted)


def test_the_exact_conditional_field_is_where_the_loss_is_least():
    # The gradient of the loss in a factor c of the field vanishes at c = 1, up to the noise of 200,000 samples: the
    # relative error of E[u.(u - target)] is about 0.003 here. Seeded.
    field, n = Labelled(linear_schedule), 200_000
    y = torch.multinomial(MIXTURE.weights, n, replacement=True, generator=generator())
    z = MIXTURE.means[y] + MIXTURE.covariances[y, None].sqrt() * normal(n, 2)
    t, noise = torch.rand(n, generator=generator(2), dtype=F64), normal(n, 2, seed=3)
    y = drop_labels(y, 0.3, NULL, torch.rand(n, generator=generator(4)))
    c = torch.tensor(1.0, dtype=F64, requires_grad=True)
    guided_loss(lambda x, t, y: c * field(x, t, y), linear_schedule, z, t, noise, y).backward()
    scale = float(guided_loss(lambda x, t, y: 0 * x, linear_schedule, z, t, noise, y))
    assert abs(float(c.grad)) < 0.02 * scale


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (torch.tensor([1, 2]), r"y has shape \(2,\)"),
        (torch.tensor([1.0, 2.0, 3.0]), "one integer label"),
        (torch.tensor([1, 2, 11]), "go from 1 to 11; wanted 0 to 10"),
        (torch.tensor([-1, 2, 3]), "go from -1 to 3; wanted 0 to 10"),
    ],
)
def test_labels_that_are_none_are_refused_before_sampling(y, words):
    with pytest.raises(ValueError, match=words):
        sample_guided(UNet(), y, 2.0, torch.zeros(3, 1, 28, 28), torch.linspace(0, 1, 3), 10)


def test_images_are_sampled_without_gradient_in_one_batch(device):
    model, seen = UNet().to(device), []
    model.register_forward_pre_hook(lambda _, arguments: seen.append(len(arguments[0])))
    x0 = torch.randn(40, 1, 28, 28, device=device, generator=generator(device=device))
    x = sample_guided(model, torch.arange(40, device=device) % 10, 2.0, x0, torch.linspace(0, 1, 4), model.null)
    torch.testing.assert_close(x, x0)  # an untrained network says 0 everywhere
    assert seen == [80, 80, 80]
    assert not x.requires_grad
