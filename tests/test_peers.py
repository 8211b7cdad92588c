"""Our fields and samplers against those of the packages a student will meet.

Conventions, all with time from noise to data:

    ours                             flow_matching                  torchcfm
    linear_schedule                  CondOTScheduler                ConditionalFlowMatcher(sigma=0)
    cosine_schedule                  CosineScheduler                VariancePreservingConditionalFlowMatcher(sigma=0)
    alpha = t, beta = 1 - (1 - s) t  -                              TargetConditionalFlowMatcher(sigma=s)
    alpha, beta, d_alpha, d_beta     alpha_t, sigma_t, d_alpha_t, d_sigma_t
    z, noise                         x_1, x_0                       x1, x0
    u(x, t)                          velocity_model(x, t)           u_t; for torchdiffeq, u(t, x)
    loss: sum over coordinates       mean over coordinates          mean over coordinates
    velocity_to_denoiser, ..._noise  velocity_to_target, ..._epsilon
    sample_flow, log_likelihood      ODESolver.sample, .compute_likelihood
    ot_pairing                       -                              OTPlanSampler("exact")

diffusers: time and the sign of the velocity are reversed (FlowMatchEulerDiscreteScheduler); squaredcos_cap_v2 is the
cosine schedule with a shift of 0.008.
"""

from functools import partial

import pytest
import torch

from course.coupling import ot_pairing
from course.distributions import GaussianMixture
from course.losses import conditional_flow_matching_loss
from course.paths import (
    Coefficients,
    MixturePath,
    conditional_velocity,
    cosine_schedule,
    linear_schedule,
    sample_conditional_path,
    velocity_to_denoiser,
    velocity_to_noise,
)
from course.sampling import log_likelihood
from course.solvers import euler_step, heun_step, midpoint_step, rk4_step, simulate

F64 = torch.float64


def flow_matching():
    return pytest.importorskip("flow_matching.path", reason="flow_matching is not installed: the test extra has it")


def torchcfm():
    # Its requirements bring torchvision and pytorch-lightning; what is used here needs pot alone.
    why = "not installed: pip install pot, then pip install --no-deps torchcfm"
    return pytest.importorskip("torchcfm", reason=why, exc_type=ImportError)


def pair(n=50, d=2):
    g = torch.Generator().manual_seed(0)
    z, noise = (torch.randn(n, d, generator=g, dtype=F64) for _ in range(2))
    return z, torch.rand(n, generator=g, dtype=F64) * 0.98, noise


SCHEDULERS = [(linear_schedule, "CondOTScheduler"), (cosine_schedule, "CosineScheduler")]
schedulers = pytest.mark.parametrize(("schedule", "theirs"), SCHEDULERS, ids=lambda v: v if isinstance(v, str) else "")


@schedulers
def test_the_path_and_its_velocity_are_flow_matchings(schedule, theirs):
    path = flow_matching().AffineProbPath(getattr(flow_matching().scheduler, theirs)())
    z, t, noise = pair()
    sample = path.sample(x_0=noise, x_1=z, t=t)
    x = sample_conditional_path(schedule, z, t, noise)
    torch.testing.assert_close(x, sample.x_t)
    torch.testing.assert_close(conditional_velocity(schedule, x, t, z), sample.dx_t)


@schedulers
def test_the_conversions_are_flow_matchings(schedule, theirs):
    path = flow_matching().AffineProbPath(getattr(flow_matching().scheduler, theirs)())
    x, t, velocity = pair()
    time = t[:, None]
    torch.testing.assert_close(
        velocity_to_denoiser(schedule, x, t, velocity), path.velocity_to_target(velocity, x, time)
    )
    torch.testing.assert_close(velocity_to_noise(schedule, x, t, velocity), path.velocity_to_epsilon(velocity, x, time))


@pytest.mark.parametrize(
    ("schedule", "theirs"),
    [(linear_schedule, "ConditionalFlowMatcher"), (cosine_schedule, "VariancePreservingConditionalFlowMatcher")],
    ids=["linear", "cosine"],
)
def test_the_path_and_its_velocity_are_torchcfms(schedule, theirs):
    z, t, noise = pair()
    _, x, velocity = getattr(torchcfm(), theirs)(sigma=0.0).sample_location_and_conditional_flow(noise, z, t=t)
    torch.testing.assert_close(sample_conditional_path(schedule, z, t, noise), x)
    torch.testing.assert_close(conditional_velocity(schedule, x, t, z), velocity)


@pytest.mark.parametrize("sigma", [0.0, 0.1])
def test_the_velocity_of_the_target_path_is_torchcfms(sigma):
    # Lipman et al. (2023), eq. 20; it draws the noise itself.
    def schedule(t):
        return Coefficients(t, 1 - (1 - sigma) * t, torch.ones_like(t), (sigma - 1) * torch.ones_like(t))

    z, t, noise = pair()
    _, x, velocity = torchcfm().TargetConditionalFlowMatcher(sigma).sample_location_and_conditional_flow(noise, z, t=t)
    torch.testing.assert_close(conditional_velocity(schedule, x, t, z), velocity)


def test_a_conditional_flow_matching_loss_is_torchcfms_times_the_dimension():
    # Theirs, in their tutorials, is the mean over samples and coordinates; ours sums over the coordinates.
    z, t, noise = pair(d=3)
    _, x, target = torchcfm().ConditionalFlowMatcher(sigma=0.0).sample_location_and_conditional_flow(noise, z, t=t)
    model = lambda x, t: torch.sin(x) + t[:, None]  # noqa: E731
    ours = conditional_flow_matching_loss(model, linear_schedule, z, t, noise)
    torch.testing.assert_close(ours, 3 * torch.mean((model(x, t) - target) ** 2))


def test_the_optimal_pairing_is_as_short_as_torchcfms():
    torchcfm()
    from torchcfm.optimal_transport import OTPlanSampler

    z, _, noise = pair()
    plan = torch.from_numpy(OTPlanSampler("exact").get_map(noise, z)) * len(z)
    theirs = (plan * torch.cdist(noise, z).square()).sum()
    torch.testing.assert_close((noise - z[ot_pairing(noise, z)]).square().sum(), theirs)


FIELD = MixturePath(cosine_schedule, GaussianMixture.ring(5, std=0.3).to(F64)).velocity
# torchdiffeq's heun2 is Heun's trapezoid; its rk4 is the 3/8 rule, another method of order 4.
RULES = {"euler": euler_step, "midpoint": midpoint_step, "heun2": heun_step}


@pytest.mark.parametrize("method", RULES)
def test_whole_trajectories_are_torchdiffeqs_up_to_rounding(method):
    torchdiffeq = pytest.importorskip("torchdiffeq")
    t = torch.linspace(0, 1, 31, dtype=F64) ** 1.5
    x0 = pair()[2]
    ours = simulate(partial(RULES[method], FIELD), x0, t)
    theirs = torchdiffeq.odeint(lambda t, x: FIELD(x, t), x0, t, method=method)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_the_classical_rk4_agrees_with_torchdiffeqs_three_eighths_rule_to_fourth_order():
    torchdiffeq = pytest.importorskip("torchdiffeq")
    x0, gaps = pair()[2], []
    for m in (50, 100):
        t = torch.linspace(0, 1, m + 1, dtype=F64)
        theirs = torchdiffeq.odeint(lambda t, x: FIELD(x, t), x0, t, method="rk4")[-1]
        gaps.append(float((simulate(partial(rk4_step, FIELD), x0, t, keep="last") - theirs).norm()))
    assert gaps[1] < 1e-4
    assert gaps[0] / gaps[1] > 2**3.5


def test_samples_and_likelihood_are_those_of_flow_matchings_solver():
    flow_matching()
    from flow_matching.solver import ODESolver

    class Model(torch.nn.Module):
        def forward(self, x, t, **_):
            return FIELD(x, t)

    solver, (x, _, noise), t = ODESolver(Model()), pair(20), torch.linspace(0, 1, 41, dtype=F64)
    theirs = solver.sample(x_init=noise, step_size=None, method="midpoint", time_grid=t)
    torch.testing.assert_close(
        simulate(partial(midpoint_step, FIELD), noise, t, keep="last"), theirs, rtol=0, atol=1e-12
    )

    def log_normal(x):
        return torch.distributions.Normal(0.0, 1.0).log_prob(x).sum(1)

    x = x / 2
    _, theirs = solver.compute_likelihood(
        x, log_normal, step_size=None, method="midpoint", time_grid=t.flip(0), exact_divergence=True
    )
    ours = log_likelihood(FIELD, x, t, log_normal, midpoint_step)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def test_diffusers_rectified_flow_runs_the_linear_path_backwards_with_the_opposite_velocity():
    diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed: the test extra has it")
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(10)
    sigma, k = scheduler.sigmas, 3  # the noise level is 1 - t; theirs falls as the index grows
    z, _, noise = (v.float() for v in pair())
    t, after = float(1 - sigma[k]), float(1 - sigma[k + 1])
    x = sample_conditional_path(linear_schedule, z, t, noise)
    time = scheduler.timesteps[k]
    torch.testing.assert_close(scheduler.scale_noise(z, time[None], noise), x)
    u = lambda x, t: conditional_velocity(linear_schedule, x, t, z)  # noqa: E731
    theirs = scheduler.step(-u(x, t), time, x).prev_sample
    torch.testing.assert_close(theirs, euler_step(u, x, t, after - t), rtol=1e-4, atol=1e-5)


def test_diffusers_cosine_schedule_is_ours_up_to_its_shift():
    diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed: the test extra has it")
    alpha_bar = diffusers.DDPMScheduler(1000, beta_schedule="squaredcos_cap_v2").alphas_cumprod.double()
    # Nichol & Dhariwal (2021), eq. 17: step k of T is our time 1 - (k / T + s) / (1 + s), s = 0.008, and all of it is
    # divided by its value at k = 0
    t = 1 - (torch.arange(0, 1000, dtype=F64) / 1000 + 0.008) / 1.008
    alpha = cosine_schedule(t).alpha
    torch.testing.assert_close(alpha_bar[:900], (alpha[1:901] / alpha[0]) ** 2, rtol=1e-4, atol=1e-6)
