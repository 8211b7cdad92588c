import math

import pytest
import torch
from scipy.linalg import sqrtm
from scipy.stats import energy_distance as scipy_energy_distance
from scipy.stats import wasserstein_distance_nd

from course import metrics
from course.distributions import Gaussian, GaussianMixture
from course.metrics import agreement, diversity, energy_distance, floor, frechet_distance, sliced_wasserstein

F64 = torch.float64
both = pytest.mark.parametrize("metric", [energy_distance, sliced_wasserstein], ids=lambda m: m.__name__)


def generator(seed=0, device="cpu"):
    return torch.Generator(device).manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=F64)


def test_on_the_line_the_energy_distance_is_scipys(device):
    # scipy's is the square root of the same statistic.
    x, y = normal(80, 1), 1 + 2 * normal(50, 1, seed=1)
    found = energy_distance(x.to(device), y.to(device))
    assert found == pytest.approx(scipy_energy_distance(x[:, 0], y[:, 0]) ** 2, rel=1e-9)


def test_the_energy_distance_of_points_is_by_hand():
    # From {0, 2} to {1}: 2 * 1 - (0 + 2 + 2 + 0) / 4 - 0.
    assert energy_distance(torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0]])) == pytest.approx(1)


def test_the_energy_distance_of_two_normals_is_the_closed_form():
    # In one dimension E|N(m, s^2)| is known, and X - Y, X - X', Y - Y' are normal. 4,000 samples of each err by about
    # 0.01, hardly ever by 0.06; the seed is fixed.
    def mean_abs(m, s):
        return s * math.sqrt(2 / math.pi) * math.exp(-(m**2) / (2 * s**2)) + m * math.erf(m / (s * math.sqrt(2)))

    x, y = normal(4000, 1), 1.0 + 2.0 * normal(4000, 1, seed=1)
    wanted = 2 * mean_abs(1.0, math.sqrt(5)) - mean_abs(0, math.sqrt(2)) - mean_abs(0, math.sqrt(8))
    assert energy_distance(x, y) == pytest.approx(wanted, abs=0.06)


def test_in_many_dimensions_it_is_the_sum_over_all_pairs():
    x, y = normal(20, 1, 5, 5), normal(30, 1, 5, 5, seed=1)

    def mean(a, b):
        return float((a.flatten(1)[:, None] - b.flatten(1)).square().sum(-1).sqrt().mean())

    assert energy_distance(x, y) == pytest.approx(2 * mean(x, y) - mean(x, x) - mean(y, y), rel=1e-6)


def test_blocks_change_nothing(monkeypatch):
    x, y = normal(70, 2), normal(50, 2, seed=1)
    run = lambda: (energy_distance(x, y), sliced_wasserstein(x, y, 64, generator()))  # noqa: E731
    whole = run()
    monkeypatch.setattr(metrics, "BLOCK_NUMBERS", 120 * 64)  # one draw of directions, so that they are the same
    assert run() == pytest.approx(whole)
    monkeypatch.setattr(metrics, "BLOCK_NUMBERS", 500)
    assert run()[0] == pytest.approx(whole[0])
    assert run()[1] == pytest.approx(whole[1], rel=0.5)


@both
def test_equal_samples_are_at_distance_zero_in_any_order(metric):
    x = normal(100, 3)
    assert metric(x, x.flip(0)) == pytest.approx(0, abs=1e-7)


@both
def test_a_distance_does_not_depend_on_which_comes_first(metric):
    x, y = normal(60, 2), 1 + normal(40, 2, seed=1)
    if metric is sliced_wasserstein:
        assert metric(x, y, generator=generator()) == pytest.approx(metric(y, x, generator=generator()))
    else:
        assert metric(x, y) == pytest.approx(metric(y, x))


def test_on_the_line_the_sliced_distance_is_the_wasserstein_distance():
    # Every direction of the line is +-1. For equal sizes the best transport is the sorted one.
    x, y = normal(30, 1), 1 + 3 * normal(30, 1, seed=1)
    wanted = (x[:, 0].sort().values - y[:, 0].sort().values).square().mean().sqrt()
    assert sliced_wasserstein(x, y) == pytest.approx(float(wanted))


@pytest.mark.parametrize("sizes", [(6, 4), (4, 6), (5, 7), (3, 9), (1, 5)])
def test_samples_of_different_sizes_are_compared_exactly(sizes):
    # Repeating every point as often as the other has points makes the sizes equal and changes neither law.
    n, m = sizes
    x, y = normal(n, 2), 1 + normal(m, 2, seed=1)
    wanted = sliced_wasserstein(x.repeat(m, 1), y.repeat(n, 1), generator=generator())
    assert sliced_wasserstein(x, y, generator=generator()) == pytest.approx(wanted)


def test_a_shift_is_its_length_over_the_root_of_the_dimension(device):
    # (theta.v)^2 over directions is |v|^2 / d on average, with a relative deviation below sqrt(2 / directions): five.
    x, v = normal(50, 3).to(device), torch.tensor([3.0, 0.0, 4.0], dtype=F64, device=device)
    found = sliced_wasserstein(x, x + v, directions=4000, generator=generator(device=device))
    assert found**2 == pytest.approx(25 / 3, rel=5 * (2 / 4000) ** 0.5)


def test_the_sliced_distance_is_no_more_than_the_wasserstein_distance():
    # On a pure shift W_1, by scipy's linear programme, and W_2 are both its length.
    x = normal(12, 2)
    y = x + torch.tensor([2.0, 0.0], dtype=F64)
    assert wasserstein_distance_nd(x, y) == pytest.approx(2)
    assert sliced_wasserstein(x, y, 2000, generator()) < 2


@both
def test_the_floor_is_what_a_perfect_sampler_gets(metric):
    ring = GaussianMixture.ring(5).to(F64)
    found = floor(metric, ring.sample, 300, repeats=20, generator=generator())
    fresh = metric(ring.sample(300, generator(8)), ring.sample(300, generator(9)))
    assert found.mean > 0 and found.std > 0
    assert fresh < found.mean + 6 * found.std
    wrong = Gaussian(torch.zeros(2, dtype=F64), 9.0).sample(300, generator(1))
    assert metric(wrong, ring.sample(300, generator(2))) > found.mean + 6 * found.std


def test_the_energy_distances_floor_is_the_one_its_docstring_says():
    # (1/n + 1/m) E|X - X'| = 2 / 100 * 2 / sqrt(pi) for standard normals on the line.  The mean of 400 repeats is
    # within six standard errors; false alarm 2e-9, seed fixed.
    law = Gaussian(torch.zeros(1, dtype=F64), 1.0)
    found = floor(energy_distance, law.sample, 100, repeats=400, generator=generator())
    assert abs(found.mean - 0.02 * 2 / math.sqrt(math.pi)) < 6 * found.std / 20


@both
def test_single_precision_is_enough(metric):
    x, y = normal(500, 2), 0.1 + normal(500, 2, seed=1)
    kwargs = {"generator": generator()} if metric is sliced_wasserstein else {}
    single = metric(x.float(), y.float(), **kwargs)
    kwargs = {"generator": generator()} if metric is sliced_wasserstein else {}
    assert single == pytest.approx(metric(x, y, **kwargs), rel=0.2 if metric is sliced_wasserstein else 1e-4)


@both
@pytest.mark.parametrize("shapes", [((4, 2), (4, 3)), ((4,), (4,)), ((0, 2), (4, 2))])
def test_samples_of_different_spaces_are_refused(metric, shapes):
    with pytest.raises(ValueError, match="wanted"):
        metric(torch.ones(shapes[0]), torch.ones(shapes[1]))


def test_numbers_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="directions is 0"):
        sliced_wasserstein(torch.ones(3, 2), torch.ones(3, 2), 0)
    with pytest.raises(ValueError, match="repeats is 1"):
        floor(energy_distance, GaussianMixture.ring(3).sample, 10, repeats=1)


def covariance(x):
    c = x - x.mean(0)
    return c.T @ c / (len(x) - 1)


def test_the_frechet_distance_of_normals_on_the_line_is_the_closed_form():
    # (m - m')^2 + (s - s')^2 of the sample's own mean and standard deviation.
    x, y = 3 + 2 * normal(50, 1), normal(40, 1, seed=1)
    wanted = (x.mean() - y.mean()) ** 2 + (x.std() - y.std()) ** 2
    assert frechet_distance(x, y) == pytest.approx(float(wanted))


def test_the_frechet_distance_is_that_of_the_root_of_the_product(device):
    # By scipy's root of a matrix that is not symmetric, as most write it.
    x, y = normal(100, 5) @ normal(5, 5, seed=2), normal(80, 5, seed=1) @ normal(5, 5, seed=3) + 1
    C, D = covariance(x), covariance(y)
    root = torch.as_tensor(sqrtm((C @ D).numpy()).real)
    wanted = (x.mean(0) - y.mean(0)).square().sum() + torch.trace(C + D - 2 * root)
    assert frechet_distance(x.to(device), y.to(device)) == pytest.approx(float(wanted), rel=1e-6)


def test_a_shift_is_its_square_and_the_order_does_not_matter():
    x = normal(60, 4)
    assert frechet_distance(x, x + 3) == pytest.approx(4 * 9)
    assert frechet_distance(x, x.flip(0)) == pytest.approx(0, abs=1e-9)


def test_fewer_samples_than_dimensions_will_do_for_a_frechet_distance():
    x, y = normal(5, 30).float(), normal(7, 30, seed=1).float()
    there, back = frechet_distance(x, y), frechet_distance(y, x)
    assert there > 0
    assert there == pytest.approx(back, rel=1e-5)


@pytest.mark.parametrize(("x", "y", "words"), [((1, 2), (5, 2), "1 and 5 samples"), ((4, 2), (4, 3), "alike")])
def test_a_frechet_distance_that_is_none_is_refused(x, y, words):
    with pytest.raises(ValueError, match=words):
        frechet_distance(torch.zeros(x), torch.zeros(y))


def test_agreement_is_the_share_of_hits():
    log_probs = torch.tensor([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]]).log()
    assert agreement(log_probs, torch.tensor([1, 0, 0])) == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match=r"wanted \(n, classes\) and \(n,\)"):
        agreement(log_probs, torch.tensor([[1], [0], [0]]))


def test_diversity_is_the_mean_distance_within_a_label():
    # Label 0: distances 3, 4, 5 of a right triangle; label 1: two points at distance 2. All far from each other.
    x = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0], [100.0, 0.0], [100.0, 2.0]])
    assert diversity(x, torch.tensor([0, 0, 0, 1, 1])) == pytest.approx((4 + 2) / 2)
    assert diversity(x.reshape(5, 1, 2, 1), torch.tensor([0, 0, 0, 1, 1])) == pytest.approx(3)


def test_diversity_needs_two_of_each_label():
    with pytest.raises(ValueError, match="label 4 occurs once"):
        diversity(torch.zeros(3, 2), torch.tensor([1, 1, 4]))
    with pytest.raises(ValueError, match="one label for each of 3"):
        diversity(torch.zeros(3, 2), torch.tensor([1, 1]))
