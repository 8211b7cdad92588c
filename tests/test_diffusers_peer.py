"""Our diffusion steps against the schedulers of Hugging Face diffusers, on the same betas, noise and model outputs.

Conventions:

    ours                                     diffusers
    step k = 1 ... T; 0 is data              timestep k - 1 = 0 ... T - 1; data has none
    betas[k - 1]                             betas[k - 1]
    alpha_bar[k], k = 1 ... T                alphas_cumprod[k - 1]
    alpha_bar[0] = 1                         final_alpha_cumprod with set_alpha_to_one=True (the default)
    beta_schedule("linear", 1000)            beta_schedule="linear", which does not change with the number of steps
    beta_schedule("sigmoid", 1000)           "sigmoid" (DDPMScheduler alone)
    beta_schedule("cosine", T)               "squaredcos_cap_v2"
    q_sample(z, a, noise)                    add_noise(z, noise, timesteps)
    predict_v(x, z, a)                       get_velocity(z, noise, timesteps)
    eps; v                                   prediction_type="epsilon"; "v_prediction"
    ddpm_step                                DDPMScheduler.step, variance_type="fixed_small", clip_sample=False
    ddim_step, eta                           DDIMScheduler.step, eta, clip_sample=False
    sub_sequence(T, count)                   timestep_spacing="trailing", where count divides T
    sub_sequence's steps, T/count - 1 less   timestep_spacing="leading", the default, and 0 at the end
    dpm_solver_pp_2m_step                    DPMSolverMultistepScheduler, solver_order=2, solver_type="midpoint"
    lambda = log(a / (1 - a)) / 2            lambda_t = log alpha_t - log sigma_t
    the last step, to a = 1, of first order  final_sigmas_type="zero" (the default)

Their tables are float32, ours float64; where digits are compared they are handed ours.
"""

import pytest
import torch

from course.diffusion import (
    alpha_bar,
    beta_schedule,
    ddim_step,
    ddpm_step,
    predict_v,
    predict_x0,
    q_sample,
    sample_ddim,
    sample_dpm_solver_pp,
    sub_sequence,
)

diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed: the test extra has it")

F64, T = torch.float64, 1000
LEFT = alpha_bar(beta_schedule("linear", T))


def normals(*shape, seed=0, dtype=F64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def scheduler(kind, exact=True, **options):
    made = getattr(diffusers, kind)(T, beta_schedule="linear", **options)
    if exact:
        made.alphas_cumprod = LEFT[1:].clone()
    return made


def model(x, k):
    """Some function of both, in the place of a network."""
    return torch.tanh(x.flip(1) * (1 + k / T)) - 0.2 * x


def theirs(made, x, **options):
    """Their loop around the same network; their timestep k - 1 is our step k."""
    for timestep in made.timesteps:
        x = made.step(model(x, int(timestep) + 1), timestep, x, **options).prev_sample
    return x


@pytest.mark.parametrize(
    ("kind", "name"), [("linear", "linear"), ("sigmoid", "sigmoid"), ("cosine", "squaredcos_cap_v2")]
)
def test_the_schedules_are_theirs(kind, name):
    made = diffusers.DDPMScheduler(T, beta_schedule=name)
    torch.testing.assert_close(beta_schedule(kind, T).float(), made.betas, rtol=2e-4, atol=1e-8)
    torch.testing.assert_close(alpha_bar(made.betas)[1:], made.alphas_cumprod)


def test_noising_and_v_are_theirs():
    made, z, noise = scheduler("DDPMScheduler"), normals(6, 2), normals(6, 2, seed=1)
    k = torch.tensor([1, 2, 50, 500, 999, 1000])
    x = q_sample(z, LEFT[k], noise)
    torch.testing.assert_close(x, made.add_noise(z, noise, k - 1))
    torch.testing.assert_close(predict_v(x, z, LEFT[k]), made.get_velocity(z, noise, k - 1), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("k", [1000, 500, 2, 1])
def test_a_ddpm_step_is_theirs(k):
    made, x, eps = scheduler("DDPMScheduler", clip_sample=False), normals(6, 2), normals(6, 2, seed=1)
    step = made.step(eps, k - 1, x, generator=torch.Generator().manual_seed(7))
    ours = ddpm_step(x, eps, LEFT[k], LEFT[k - 1], normals(6, 2, seed=7))
    torch.testing.assert_close(ours, step.prev_sample, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(predict_x0(x, eps, LEFT[k]), step.pred_original_sample)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("count", "k"), [(1000, 1000), (10, 700), (10, 101), (4, 250)])
def test_a_ddim_step_of_any_length_is_theirs(count, k, eta):
    made, x, eps, noise = scheduler("DDIMScheduler", clip_sample=False), *(normals(6, 2, seed=i) for i in range(3))
    made.set_timesteps(count)
    step = made.step(eps, k - 1, x, eta, variance_noise=noise if eta else None)
    ours = ddim_step(x, eps, LEFT[k], LEFT[max(0, k - T // count)], eta, noise)
    torch.testing.assert_close(ours, step.prev_sample, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("count", "exact"), [(8, True), (50, True), (50, False)])
def test_samples_by_ddim_are_theirs(count, exact):
    made, x = scheduler("DDIMScheduler", exact, clip_sample=False, timestep_spacing="trailing"), normals(6, 2)
    made.set_timesteps(count)
    steps = sub_sequence(T, count)
    assert (steps[:-1] - 1).tolist() == made.timesteps.tolist()
    tolerance = 1e-11 if exact else 2e-3  # 1 - alpha_bar from their float32 table has three digits near the data
    torch.testing.assert_close(sample_ddim(model, LEFT, x, steps), theirs(made, x), rtol=tolerance, atol=tolerance)


def test_samples_on_the_default_sub_sequence_are_theirs():
    made, x = scheduler("DDIMScheduler", clip_sample=False), normals(6, 2)
    made.set_timesteps(20)
    steps = [*(sub_sequence(T, 20)[:-1] - (T // 20 - 1)).tolist(), 0]
    assert [k - 1 for k in steps[:-1]] == made.timesteps.tolist()
    torch.testing.assert_close(sample_ddim(model, LEFT, x, steps), theirs(made, x), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("spacing", ["linspace", "trailing"])
@pytest.mark.parametrize("count", [2, 10, 40])
def test_samples_by_dpm_solver_are_theirs_to_float32(spacing, count):
    # It computes in float32 whatever it is given.
    made, x = scheduler("DPMSolverMultistepScheduler", timestep_spacing=spacing), normals(6, 2, dtype=torch.float32)
    made.set_timesteps(count)
    steps = [*(made.timesteps + 1).tolist(), 0]
    torch.testing.assert_close(sample_dpm_solver_pp(model, LEFT, x, steps), theirs(made, x), rtol=1e-4, atol=1e-5)
