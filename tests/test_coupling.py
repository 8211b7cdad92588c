from itertools import permutations

import pytest
import torch

from course.coupling import ot_pairing, reflow_pairs, straightness
from course.distributions import GaussianMixture
from course.paths import MixturePath, linear_schedule
from course.solvers import rk4_step, simulate

F64 = torch.float64


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


@pytest.mark.parametrize("shape", [(6, 2), (6, 1, 3, 3)])
@pytest.mark.parametrize("seed", range(5))
def test_no_other_pairing_is_shorter(shape, seed, device):
    x, z = normal(*shape, seed=seed).to(device), 3 + 2 * normal(*shape, seed=seed + 100).to(device)
    indices = ot_pairing(x, z)
    assert (indices.device.type, indices.dtype) == (device.type, torch.int64)
    assert sorted(indices.tolist()) == list(range(6))
    costs = [float((x - z[list(p)]).square().sum()) for p in permutations(range(6))]
    assert float((x - z[indices]).square().sum()) == pytest.approx(min(costs), rel=1e-12)


def test_on_the_line_the_best_pairing_is_the_sorted_one():
    x, z = normal(200, 1), normal(200, 1, seed=1)
    order = torch.empty(200, dtype=torch.int64)
    order[x[:, 0].argsort()] = z[:, 0].argsort()
    assert (ot_pairing(x, z) == order).all()


def test_a_shuffle_is_undone():
    z = normal(100, 2)
    shuffle = torch.randperm(100, generator=torch.Generator().manual_seed(0))
    x = 2 * z[shuffle] + 5  # a scaled shift keeps the order of pairings
    assert (ot_pairing(x, z) == shuffle).all()


def test_tensors_that_carry_a_gradient_can_be_paired():
    assert len(ot_pairing(normal(4, 2).requires_grad_(), normal(4, 2))) == 4


@pytest.mark.parametrize("shapes", [((4, 2), (5, 2)), ((4, 2), (4, 3)), ((4,), (4,))])
def test_samples_that_do_not_match_are_refused(shapes):
    with pytest.raises(ValueError, match="wanted the same"):
        ot_pairing(torch.ones(shapes[0]), torch.ones(shapes[1]))


def test_reflow_pairs_are_both_ends_of_the_flow():
    # N(0, I) to N(m, s^2) takes x_0 to m + s x_0.
    mean = torch.tensor([[1.0, -2.0]], dtype=F64)
    path = MixturePath(linear_schedule, GaussianMixture(torch.ones(1, dtype=F64), mean, 0.25))
    start = normal(10, 2)
    x0, x1 = reflow_pairs(path.velocity, start, torch.linspace(0, 1, 101, dtype=F64))
    torch.testing.assert_close(x0, start)
    torch.testing.assert_close(x1, mean + 0.5 * x0, rtol=0, atol=1e-6)


def test_a_straight_path_of_constant_speed_has_straightness_zero(device):
    t = torch.tensor([0.0, 0.1, 0.5, 1.0], dtype=F64, device=device)
    x0, v = normal(5, 2).to(device), normal(5, 2, seed=1).to(device)
    assert straightness(x0 + t[:, None, None] * v, t) == pytest.approx(0, abs=1e-25)


def test_straightness_of_an_accelerating_path_is_the_integral():
    # x = v t^2: |v - 2 t v|^2 integrates to |v|^2 / 3; from the mean velocities of m steps, (1 - 1 / m^2) times that.
    t, v = torch.linspace(0, 1, 11, dtype=F64), torch.tensor([3.0, 4.0], dtype=F64)
    assert straightness(t[:, None, None] ** 2 * v.expand(7, 2), t) == pytest.approx(25 / 3 * (1 - 1 / 100))


def test_straightness_counts_a_step_as_long_as_it_lasts():
    # Standing still for 0.9, then all the way in 0.1: 0.9 * 1 + 0.1 * 81.
    t = torch.tensor([0.0, 0.9, 1.0], dtype=F64)
    assert straightness(torch.tensor([0.0, 0.0, 1.0], dtype=F64)[:, None, None], t) == pytest.approx(9)


def test_straightness_does_not_depend_on_the_grid_in_the_limit():
    path = MixturePath(linear_schedule, GaussianMixture.ring(4).to(F64))
    x0 = normal(100, 2)
    values = []
    for t in (torch.linspace(0, 1, 101, dtype=F64), torch.linspace(0, 1, 101, dtype=F64) ** 1.3):
        values.append(straightness(simulate(lambda x, t, h: rk4_step(path.velocity, x, t, h), x0, t), t))
    assert values[0] == pytest.approx(values[1], rel=3e-2)


def test_optimal_pairs_are_straighter_than_random_ones():
    z = GaussianMixture.ring(8).sample(200, torch.Generator().manual_seed(0)).double()
    x0 = normal(200, 2)
    assert (x0 - z[ot_pairing(x0, z)]).square().sum() < 0.6 * (x0 - z).square().sum()


@pytest.mark.parametrize("shapes", [((3, 5, 2), (4,)), ((3, 5, 2), (3, 1)), ((1, 5, 2), (1,)), ((3,), (3,))])
def test_a_trajectory_that_does_not_fit_its_grid_is_refused(shapes):
    with pytest.raises(ValueError, match="wanted"):
        straightness(torch.ones(shapes[0]), torch.linspace(0, 1, shapes[1][0]).reshape(shapes[1]))
