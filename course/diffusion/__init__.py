"""Diffusion models: a chain of T steps from data to noise, and the ways back.

Steps are counted k = 0, data, to T, noise; a noise level is a value of alpha_bar, 1 for data.  The course's time runs
the other way, from t = 0, noise, to t = 1, data, and course.diffusion.bridge leads from one to the other.
"""

from course.diffusion.bound import elbo_terms, loss_weight, min_snr_weight
from course.diffusion.bridge import exact_noise_model, matching_times, step_model
from course.diffusion.conversions import predict_noise, predict_v, predict_x0
from course.diffusion.learning import simple_loss, step_batches
from course.diffusion.posterior import gaussian_kl, posterior, posterior_variances, q_sample, q_step
from course.diffusion.samplers import sample_ddim, sample_ddpm, sample_dpm_solver_pp, slerp
from course.diffusion.schedules import alpha_bar, at, beta_schedule, chain_schedule, snr, sub_sequence, vp_schedule
from course.diffusion.sde import forward_sde, probability_flow_velocity, reverse_sde_drift
from course.diffusion.steps import ddim_step, ddpm_step, dpm_solver_pp_2m_step

__all__ = [
    "alpha_bar",
    "at",
    "beta_schedule",
    "chain_schedule",
    "ddim_step",
    "ddpm_step",
    "dpm_solver_pp_2m_step",
    "elbo_terms",
    "exact_noise_model",
    "forward_sde",
    "gaussian_kl",
    "loss_weight",
    "matching_times",
    "min_snr_weight",
    "posterior",
    "posterior_variances",
    "predict_noise",
    "predict_v",
    "predict_x0",
    "probability_flow_velocity",
    "q_sample",
    "q_step",
    "reverse_sde_drift",
    "sample_ddim",
    "sample_ddpm",
    "sample_dpm_solver_pp",
    "simple_loss",
    "slerp",
    "snr",
    "step_batches",
    "step_model",
    "sub_sequence",
    "vp_schedule",
]
