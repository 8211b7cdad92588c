import math
from functools import partial

import numpy as np
import pytest
import torch

from course import solvers
from course.problems import GeometricBrownianMotion, LinearODE, Logistic, OrnsteinUhlenbeck, Rotation, Seasonal
from course.solvers import (
    euler_maruyama_step,
    euler_step,
    heun_step,
    midpoint_step,
    milstein_step,
    rk4_step,
    simulate,
)

ORDERS = {euler_step: 1, heun_step: 2, midpoint_step: 2, rk4_step: 4}
rules = pytest.mark.parametrize("rule", ORDERS, ids=lambda rule: rule.__name__)


def uneven(m, stop=1.0, dtype=torch.float64):
    """A grid of m steps that alternate between short and long, three times as long."""
    steps = torch.tensor([1.0, 3.0], dtype=torch.float64).repeat(m // 2)
    return torch.cat([torch.zeros(1, dtype=torch.float64), steps.cumsum(0) * stop / steps.sum()]).to(dtype)


def slope(h, errors):
    return np.polyfit(np.log(h), np.log(errors), 1)[0]


@rules
@pytest.mark.parametrize(
    ("ode", "x0"),
    [
        (LinearODE(1.5), [[1.0], [-2.0]]),
        (Rotation(2.0, damping=0.3), [[1.0, 0.0], [0.5, -1.0]]),
        (Logistic(2.0), [[0.1], [0.4]]),
        (Seasonal(1.0), [[1.0], [-2.0]]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_rule_has_its_order_on_exact_flows(rule, ode, x0, device):
    x0 = torch.tensor(x0, dtype=torch.float64, device=device)
    sizes = [16, 32, 64, 128]
    errors = [
        float((simulate(partial(rule, ode.velocity), x0, uneven(m), keep="last") - ode.flow(x0, 1.0)).norm())
        for m in sizes
    ]
    assert slope([1 / m for m in sizes], errors) == pytest.approx(ORDERS[rule], abs=0.15)


@rules
def test_one_step_on_a_linear_field_multiplies_by_the_truncated_exponential(rule):
    # Hairer & Wanner (1996), IV.2: the stability function of an explicit rule with as many stages as its order.
    z, x = -0.7, torch.tensor([[2.0, -1.0]], dtype=torch.float64)
    step = rule(lambda x, t: -1.4 * x, x, 0.3, 0.5)
    torch.testing.assert_close(step, x * sum(z**k / math.factorial(k) for k in range(ORDERS[rule] + 1)))


@rules
def test_a_rule_asks_the_field_as_often_as_its_order(rule):
    asked = []
    rule(lambda x, t: asked.append(t) or x, torch.ones(1), 0.0, 0.5)
    assert len(asked) == ORDERS[rule]
    assert min(asked) == 0.0
    assert max(asked) <= 0.5


@rules
@pytest.mark.parametrize("shape", [(5,), (5, 2), (5, 1, 4, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64])
def test_trajectories_follow_the_states_shape_dtype_and_device(rule, shape, dtype, device):
    x = torch.ones(shape, dtype=dtype, device=device)
    kept = simulate(partial(rule, LinearODE(1.0).velocity), x, uneven(4))
    assert kept.shape == (5, *shape)
    assert kept.dtype == dtype
    assert kept.device.type == device.type


def test_a_rule_takes_zero_dimensional_times_and_steps():
    x = torch.ones(3, 2)
    for rule in ORDERS:
        tensors = rule(Seasonal().velocity, x, torch.tensor(0.2), torch.tensor(0.1))
        torch.testing.assert_close(tensors, rule(Seasonal().velocity, x, 0.2, 0.1))


def test_the_trajectory_starts_at_the_start_and_moves_by_the_step_of_each_interval():
    t = torch.tensor([0.5, 0.6, 1.0, 1.1], dtype=torch.float64)
    x = torch.zeros(3, 2, dtype=torch.float64)
    seen = []

    def step(x, t, h):
        seen.append((float(t), h))
        return x + h

    kept = simulate(step, x, t)
    torch.testing.assert_close(kept, (t - 0.5)[:, None, None].expand(4, 3, 2))
    np.testing.assert_allclose(seen, [(0.5, 0.1), (0.6, 0.4), (1.0, 0.1)])


def test_keep_chooses_rows_of_the_whole_trajectory(device):
    x, t = torch.randn(50, 2, device=device), uneven(8)
    run = partial(simulate, partial(rk4_step, Rotation(1.0).velocity), x, t, chunk=16)
    whole = run()
    assert torch.equal(whole[0], x)
    assert torch.equal(run(keep="last"), whole[-1])
    assert torch.equal(run(keep=[0, 3, 8]), whole[[0, 3, 8]])
    assert torch.equal(run(keep=[-1, 2]), whole[[-1, 2]])
    assert torch.equal(run(keep=torch.tensor([1, 5])), whole[[1, 5]])
    assert torch.equal(run(keep=range(0, 9, 4)), whole[::4])


@rules
@pytest.mark.parametrize("chunk", [1, 7, 100, 1000])
def test_chunks_do_not_change_an_ode(rule, chunk, device):
    x = torch.randn(100, 2, dtype=torch.float64, device=device)
    step = partial(rule, Rotation(2.0).velocity)
    torch.testing.assert_close(simulate(step, x, uneven(6), chunk=chunk), simulate(step, x, uneven(6), chunk=100))


def test_chunks_do_not_change_the_law_of_an_sde():
    # Mean and variance of 20,000 draws within five standard errors: false alarm below 1e-5; the seed is fixed.
    process, x = OrnsteinUhlenbeck(1.0, 1.0), torch.ones(20_000, 1)
    step = partial(euler_maruyama_step, process.drift, process.diffusion)
    for chunk in (999, 20_000):
        last = simulate(step, x, uneven(40), keep="last", generator=torch.Generator().manual_seed(1), chunk=chunk)
        # The chunks' noise must not repeat either.
        assert len(last.unique()) > 19_000
        variance = process.variance(1.0)
        assert last.mean().item() == pytest.approx(math.exp(-1), abs=5 * math.sqrt(variance / 20_000) + 0.01)
        assert last.var().item() == pytest.approx(variance, rel=5 * math.sqrt(2 / 20_000) + 0.02)


def test_the_automatic_chunk_holds_fewer_samples_the_larger_they_are():
    seen = []

    def step(x, t, h):
        seen.append(len(x))
        return x

    t = torch.tensor([0.0, 1.0])
    for shape in [(100_000, 1), (100_000, 2), (1_000, 1, 28, 28)]:
        seen.clear()
        simulate(step, torch.zeros(shape), t, keep="last")
        assert sum(seen) == shape[0]
        largest = max(seen)
        assert 32 <= largest <= max(32, solvers.ODE_CHUNK // math.prod(shape[1:]))


def test_noise_repeats_with_the_generators_seed_and_leaves_the_global_one_alone(device):
    process, x = OrnsteinUhlenbeck(1.0, 1.0), torch.zeros(100, 2, device=device)
    step = partial(euler_maruyama_step, process.drift, process.diffusion)
    before = torch.get_rng_state()
    first, again, other = (
        simulate(step, x, uneven(4), generator=torch.Generator(device).manual_seed(seed)) for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first[1:], other[1:])
    assert torch.equal(torch.get_rng_state(), before)


def test_without_a_generator_the_global_seed_decides():
    process, x = OrnsteinUhlenbeck(1.0, 1.0), torch.zeros(10, 2)
    step = partial(euler_maruyama_step, process.drift, process.diffusion)
    torch.manual_seed(0)
    first = simulate(step, x, uneven(4))
    torch.manual_seed(0)
    assert torch.equal(first, simulate(step, x, uneven(4)))


def test_the_noise_is_standard_normal_and_fresh_at_every_step(device):
    # 60,000 draws: mean within 5 / sqrt(60,000), correlation of successive steps within 5 / sqrt(20,000), so a
    # false alarm below 1e-5; the seed is fixed.
    x, t = torch.zeros(10_000, 2, device=device), torch.arange(4.0)
    kept = simulate(lambda x, t, h, noise: noise + 0, x, t, generator=torch.Generator(device).manual_seed(0))
    assert abs(kept[1:].mean().item()) < 5 / math.sqrt(60_000)
    assert kept[1:].var().item() == pytest.approx(1, abs=5 * math.sqrt(2 / 60_000))
    assert abs((kept[1] * kept[2]).mean().item()) < 5 / math.sqrt(20_000)


def test_euler_maruyama_has_the_discrete_moments_of_its_recursion():
    # x -> (1 - theta h) x + sigma sqrt(h) noise, whose stationary variance is sigma^2 / (2 theta - theta^2 h).
    # Variance of 40,000 draws within five standard errors: false alarm below 1e-6; the seed is fixed.
    theta, sigma, h = 1.0, 0.7, 0.5
    process = OrnsteinUhlenbeck(theta, sigma)
    step = partial(euler_maruyama_step, process.drift, process.diffusion)
    t = torch.arange(41, dtype=torch.float64) * h
    generator = torch.Generator().manual_seed(0)
    last = simulate(step, torch.zeros(40_000, 1), t, keep="last", generator=generator)
    wanted = sigma**2 / (2 * theta - theta**2 * h)
    assert last.var().item() == pytest.approx(wanted, rel=5 * math.sqrt(2 / 40_000))
    assert abs(last.mean().item()) < 5 * math.sqrt(wanted / 40_000)


def test_simulated_ornstein_uhlenbeck_paths_have_the_exact_moments_and_settle_to_the_stationary_law(device):
    # Five standard errors of 40,000 draws plus the weak error, below h: false alarm below 1e-5; the seed is fixed.
    process, generator = OrnsteinUhlenbeck(2.0, 1.0), torch.Generator(device).manual_seed(0)
    step = partial(euler_maruyama_step, process.drift, process.diffusion)
    t = torch.linspace(0, 4, 401)
    kept = simulate(step, torch.ones(40_000, 1, device=device), t, keep=[25, 100, 400], generator=generator)
    for x, time in zip(kept.cpu(), (0.25, 1.0, 4.0), strict=True):
        variance = process.variance(time)
        assert x.mean().item() == pytest.approx(math.exp(-2 * time), abs=0.01 + 5 * math.sqrt(variance / 40_000))
        assert x.var().item() == pytest.approx(variance, rel=0.02 + 5 * math.sqrt(2 / 40_000))
    assert kept[-1].var().item() == pytest.approx(process.stationary_variance, rel=0.06)


def brownian_steps(m, n, seed):
    """Standard normals of m equal steps over [0, 1] and, from the same paths, those of coarser grids."""
    noise = torch.randn(m, n, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return lambda steps: noise.view(steps, m // steps, n, 1).sum(1) / math.sqrt(m // steps)


def driven(step, x, noise):
    """Integrate over [0, 1] with the given noise."""
    h = 1 / len(noise)
    for i, z in enumerate(noise):
        x = step(x, i * h, h, z)
    return x


def strong_error(step, exact, x0, steps_of, m):
    noise = steps_of(m)
    w = noise.sum(0) / math.sqrt(m)
    return float((driven(step, x0, noise) - exact(w)).abs().mean())


@pytest.mark.parametrize(("method", "order"), [("euler-maruyama", 0.5), ("milstein", 1.0)])
def test_the_strong_order_on_geometric_brownian_motion(method, order):
    # Kloeden & Platen (1992), 10.2-10.3. The slope's standard error over 4,000 paths is below 0.02.
    process, x0 = GeometricBrownianMotion(0.5, 1.0), torch.ones(4_000, 1, dtype=torch.float64)
    slope_of_b = process.diffusion_slope if method == "milstein" else lambda x, t: 0.0
    step = partial(milstein_step, process.drift, process.diffusion, slope_of_b)
    steps_of, sizes = brownian_steps(512, 4_000, seed=0), [32, 64, 128, 256, 512]
    errors = [strong_error(step, lambda w: process.solution(x0, 1.0, w), x0, steps_of, m) for m in sizes]
    assert slope([1 / m for m in sizes], errors) == pytest.approx(order, abs=0.12)


def test_the_weak_order_of_euler_maruyama_on_geometric_brownian_motion_is_one():
    # Against the exact solution on the same paths, which takes most of the noise away from the difference of means.
    # With these the slope's standard error is about 0.05.
    process, x0 = GeometricBrownianMotion(1.5, 0.3), torch.ones(40_000, 1, dtype=torch.float64)
    step = partial(milstein_step, process.drift, process.diffusion, lambda x, t: 0.0)
    steps_of, sizes = brownian_steps(32, 40_000, seed=1), [4, 8, 16, 32]
    errors = []
    for m in sizes:
        noise = steps_of(m)
        w = noise.sum(0) / math.sqrt(m)
        errors.append(float((driven(step, x0, noise) - process.solution(x0, 1.0, w)).mean().abs()))
    assert slope([1 / m for m in sizes], errors) == pytest.approx(1, abs=0.2)


def test_the_strong_order_of_euler_maruyama_is_one_when_the_noise_is_additive():
    # dX = sigma(t) dW - theta X dt against itself on a grid sixteen times as fine.
    step = partial(euler_maruyama_step, lambda x, t: -2 * x, lambda t: 1 + math.sin(3 * t))
    x0, steps_of = torch.ones(500, 1, dtype=torch.float64), brownian_steps(2048, 500, seed=2)
    fine, sizes = driven(step, x0, steps_of(2048)), [16, 32, 64, 128]
    errors = [float((driven(step, x0, steps_of(m)) - fine).abs().mean()) for m in sizes]
    assert slope([1 / m for m in sizes], errors) == pytest.approx(1, abs=0.15)


def test_milstein_with_constant_noise_is_euler_maruyama():
    x, noise = torch.randn(5, 2), torch.randn(5, 2)
    u = Rotation(1.0).velocity
    found = milstein_step(u, lambda x, t: 0.7, lambda x, t: 0.0, x, 0.1, 0.05, noise)
    torch.testing.assert_close(found, euler_maruyama_step(u, lambda t: 0.7, x, 0.1, 0.05, noise))


def test_an_unstable_integration_overflows_without_an_error():
    # |1 - 10| = 9 per step: 9^60 is beyond single precision.
    kept = simulate(partial(euler_step, LinearODE(10.0).velocity), torch.ones(2, 1), torch.arange(61.0))
    assert kept[1].isfinite().all()
    assert not kept[-1].isfinite().any()


def test_the_start_is_left_alone_even_by_a_rule_that_works_in_place():
    x = torch.ones(10, 2)
    kept = simulate(lambda x, t, h: x.mul_(2), x, torch.arange(4.0), chunk=3)
    assert torch.equal(x, torch.ones(10, 2))
    assert torch.equal(kept[:, 0, 0], torch.tensor([1.0, 2.0, 4.0, 8.0]))


def test_a_rule_may_build_its_result_in_the_noise():
    step, t = partial(euler_maruyama_step, lambda x, t: -x, lambda t: 0.5), uneven(6)
    in_place = lambda x, t, h, noise: noise.mul_(0.5 * h**0.5).add_(x - h * x)  # noqa: E731
    found, wanted = (
        simulate(rule, torch.ones(20, 2), t, generator=torch.Generator().manual_seed(0)) for rule in (in_place, step)
    )
    torch.testing.assert_close(found, wanted)


def test_results_carry_no_gradient_but_can_be_trained_on():
    net = torch.nn.Linear(2, 2)
    x = simulate(partial(euler_step, lambda x, t: net(x)), torch.ones(4, 2), torch.linspace(0, 1, 3), keep="last")
    assert not x.requires_grad
    net(x).sum().backward()
    assert net.weight.grad is not None


def test_a_field_that_needs_a_gradient_can_take_one():
    def score(x, t):  # of exp(-x^4 / 4)
        with torch.enable_grad():
            x = x.requires_grad_()
            return torch.autograd.grad((-(x**4) / 4).sum(), x)[0]

    x = simulate(partial(euler_step, score), torch.full((1, 1), 2.0), torch.tensor([0.0, 0.1]), keep="last")
    assert x.item() == pytest.approx(2 - 0.1 * 8)


def test_an_ode_runs_back_to_where_it_came_from():
    def field(x, t):
        return torch.cos(x) + t

    x0, t = torch.randn(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)), torch.linspace(0, 1, 51)
    there = simulate(partial(rk4_step, field), x0, t, keep="last")
    back = simulate(partial(rk4_step, field), there, t.flip(0), keep="last")
    assert torch.allclose(back, x0, atol=1e-7)


def test_a_grid_finer_than_the_states_precision_still_has_its_steps():
    # The differences are taken in the grid's own double precision, before the states' single.
    t = 1e6 + torch.linspace(0, 1, 101, dtype=torch.float64)
    x = simulate(lambda x, t, h: x + h, torch.zeros(1, 1), t, keep="last")
    assert x.item() == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("n", [0, 1])
def test_no_samples_and_a_grid_of_one_time_are_no_special_case(n):
    x = torch.ones(n, 2)
    step = partial(euler_step, LinearODE(1.0).velocity)
    assert torch.equal(simulate(step, x, torch.zeros(1)), x[None])
    assert simulate(step, x, torch.tensor([0.0, 1.0]), keep="last").shape == (n, 2)


def test_a_field_made_for_all_samples_is_told_about_chunks():
    labels = torch.ones(10, 1)
    step = partial(euler_step, lambda x, t: x * labels)
    with pytest.raises(RuntimeError) as caught:
        simulate(step, torch.ones(10, 2), torch.tensor([0.0, 1.0]), chunk=4)
    assert "pass chunk=10" in caught.value.__notes__[0]
    assert simulate(step, torch.ones(10, 2), torch.tensor([0.0, 1.0]), chunk=10).shape == (2, 10, 2)


@pytest.mark.parametrize(
    ("step", "sde"),
    [
        (lambda x, t, h: x, False),
        (lambda x, t, h, noise: noise.clone(), True),
        (lambda x, t, h, noise=None: noise.clone(), True),
        (lambda x, t, h, eps=1e-3: x, False),
        (lambda x, t, h, *, eps=1e-3: x, False),
        (partial(lambda u, x, t, h: x, "u"), False),
        (partial(lambda u, sigma, x, t, h, noise: noise.clone(), "u", "sigma"), True),
    ],
)
def test_a_step_gets_noise_exactly_when_it_asks_for_it(step, sde):
    x = torch.zeros(3, 2)
    last = simulate(step, x, torch.tensor([0.0, 1.0]), keep="last")
    assert torch.equal(last, x) != sde


class Rule:
    def step(self, x, t, h):
        return x + h


def test_a_method_is_a_step_too():
    assert simulate(Rule().step, torch.zeros(1, 1), torch.tensor([0.0, 2.0]), keep="last").item() == 2


x, t, step = torch.zeros(3, 2), torch.linspace(0, 1, 5), partial(euler_step, LinearODE(1.0).velocity)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: simulate(euler_step, x, t), r"\(u: .*partial\(euler_step, u\)"),
        (lambda: simulate(lambda x, t: x, x, t), r"parameters \(x, t\).*\(x, t, h, noise\)"),
        (lambda: simulate(lambda x, t, h, dw: x, x, t), r"\(x, t, h, dw\)"),
        (lambda: simulate(lambda *args: x, x, t), r"\(\*args\)"),
        (lambda: simulate(partial(euler_step, u=step), x, t), "bound first"),
        (lambda: simulate(3, x, t), "step is 3"),
        (lambda: simulate(step, 1.0, t), "x is a float"),
        (lambda: simulate(step, torch.tensor(1.0), t), r"x is a tensor of shape \(\)"),
        (lambda: simulate(step, x.int(), t), "int32"),
        (lambda: simulate(step, x, 0.1), "t is a float"),
        (lambda: simulate(step, x, [0.0, 1.0]), "t is a list"),
        (lambda: simulate(step, x, torch.arange(3)), "int64"),
        (lambda: simulate(step, x, t[:, None]), r"t is a tensor of shape \(5, 1\)"),
        (lambda: simulate(step, x, t[:0]), r"t is a tensor of shape \(0,\)"),
        (lambda: simulate(step, x, torch.tensor([0.0, math.nan, 1.0])), "NaN.*index 1"),
        (lambda: simulate(step, x, torch.tensor([0.0, math.inf])), "infinity, at index 1"),
        (lambda: simulate(lambda x, t, h, noise: x, x, t.flip(0)), "from 1 to 0.75 at index 0.*increase"),
        (lambda: simulate(step, x, torch.tensor([1.0, 0.0, 0.5])), "from 0 to 0.5 at index 1.*decrease"),
        (lambda: simulate(step, x, torch.tensor([0.0, 1.0, 1.0])), "from 1 to 1 at index 1"),
        (lambda: simulate(step, x, t, keep="first"), "keep is 'first'"),
        (lambda: simulate(step, x, t, keep=[0, 5]), r"keep is \[0, 5\].*5 times"),
        (lambda: simulate(step, x, t, keep=[0, 0]), r"keep is \[0, 0\].*different"),
        (lambda: simulate(step, x, t, keep=[4, -1]), "different"),
        (lambda: simulate(step, x, t, keep=[0.5]), r"keep is \[0.5\]"),
        (lambda: simulate(step, x, t, keep=3), "keep is 3"),
        (lambda: simulate(step, x, t, chunk=0), "chunk is 0"),
        (lambda: simulate(step, x, t, chunk=2.0), "chunk is 2.0"),
        (lambda: simulate(lambda x, t, h: x[:, 0], x, t), r"shape \(3, 2\).*shape \(3,\)"),
        (lambda: simulate(lambda x, t, h: x.double(), x, t), "float32.*float64"),
        (lambda: simulate(lambda x, t, h: None, x, t), "NoneType"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(call, named):
    with pytest.raises(ValueError, match=named):
        call()
