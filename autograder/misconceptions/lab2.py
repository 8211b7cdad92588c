"""Typical mistakes in Lab 2, probability paths."""

import math

import torch

from autograder.misconceptions import misconception
from course import paths
from course.shapes import expand_time

# ---- linear_schedule ------------------------------------------------------------------------------------------------


@misconception("linear_schedule", "The last value has the wrong sign: the noise goes out, so beta falls as t grows.")
def linear_noise_grows(t):
    one = 1 + 0 * t
    return t, 1 - t, one, one


@misconception(
    "linear_schedule",
    "Data and noise changed places. At t = 0 there is only noise: alpha, the factor of the data, is 0 and beta is 1.",
)
def linear_from_data_to_noise(t):
    one = 1 + 0 * t
    return 1 - t, t, -one, one


@misconception(
    "linear_schedule", "The order is wrong: first alpha and beta, then their derivatives, d_alpha before d_beta."
)
def linear_in_another_order(t):
    one = 1 + 0 * t
    return t, one, 1 - t, -one


@misconception(
    "linear_schedule",
    "The derivatives are plain numbers even when t is a tensor. Make them like t, as the given line does with its 1.",
)
def linear_with_plain_numbers(t):
    return t, 1 - t, 1.0, -1.0


@misconception(
    "linear_schedule",
    "The derivatives are zero. What is constant here is the speed of alpha and beta, not alpha and beta themselves.",
)
def linear_without_speed(t):
    return t, 1 - t, 0 * t, 0 * t


# ---- cosine_schedule ------------------------------------------------------------------------------------------------


def sine_and_cosine(t, speed=math.pi / 2):
    sin, cos = (torch.sin, torch.cos) if torch.is_tensor(t) else (math.sin, math.cos)
    return sin(speed * t), cos(speed * t)


@misconception(
    "cosine_schedule", "The chain rule is missing: the angle pi t / 2 itself changes with t, at a rate of pi / 2."
)
def cosine_without_chain_rule(t):
    sin, cos = sine_and_cosine(t)
    return sin, cos, cos, -sin


@misconception("cosine_schedule", "The sign of the last value is wrong: what is the derivative of the cosine?")
def cosine_noise_grows(t):
    sin, cos = sine_and_cosine(t)
    return sin, cos, math.pi / 2 * cos, math.pi / 2 * sin


@misconception(
    "cosine_schedule",
    "Data and noise changed places: alpha starts at 0 and beta at 1. Which of sine and cosine does that?",
)
def cosine_from_data_to_noise(t):
    sin, cos = sine_and_cosine(t)
    return cos, sin, -math.pi / 2 * sin, math.pi / 2 * cos


@misconception(
    "cosine_schedule",
    "The angle is too large by a factor of two: from noise to data it is a quarter of a circle, pi / 2, not a half.",
)
def cosine_of_half_a_circle(t):
    sin, cos = sine_and_cosine(t, math.pi)
    return sin, cos, math.pi * cos, -math.pi * sin


@misconception(
    "cosine_schedule", "The derivatives changed places: the sine has the cosine as its derivative, and so on."
)
def cosine_derivatives_exchanged(t):
    sin, cos = sine_and_cosine(t)
    return sin, cos, -math.pi / 2 * sin, math.pi / 2 * cos


@misconception(
    "cosine_schedule", "The angle lacks its factor: at t = 1 it has to be pi / 2, so that alpha is 1 and beta is 0."
)
def cosine_of_t(t):
    sin, cos = sine_and_cosine(t, 1.0)
    return sin, cos, cos, -sin


# ---- sample_conditional_path ----------------------------------------------------------------------------------------

TIME_ON_THE_LAST_AXIS = (
    "The times landed on the last axis: t (n,) lines up with the coordinates, not with the samples. "
    "Call the schedule at expand_time(t, x)."
)
TIME_WITH_ONE_AXIS = (
    "The times line up for vectors, but not for images: t needs as many trailing axes as a sample has, not just one. "
    "expand_time does this for any shape."
)
ONE_TIME_FOR_ALL = "All samples were treated as if they had the time of the first one: with t (n,), each has its own."
BUILT_IN = "The linear schedule is built in. Use the values of the schedule that is handed in: it may be another one."


def as_column(t):
    return t[:, None] if torch.is_tensor(t) and t.ndim else t


def first(t):
    return t.flatten()[0] if torch.is_tensor(t) else t


def mix(coefficients, z, noise):
    alpha, beta, _, _ = coefficients
    return alpha * z + beta * noise


@misconception(
    "sample_conditional_path", "Data and noise changed places: alpha brings in the data z, beta takes out the noise."
)
def mix_exchanged(schedule, z, t, noise):
    return mix(schedule(expand_time(t, z)), noise, z)


@misconception(
    "sample_conditional_path",
    "The root of beta was taken. In this course beta is the standard deviation of the noise, so it multiplies it as it "
    "is; the variance is beta squared.",
)
def mix_with_root_of_beta(schedule, z, t, noise):
    alpha, beta, _, _ = schedule(expand_time(t, z))
    return alpha * z + beta**0.5 * noise


@misconception(
    "sample_conditional_path", "The noise was multiplied by the variance, beta squared. Its standard deviation is beta."
)
def mix_with_the_variance(schedule, z, t, noise):
    alpha, beta, _, _ = schedule(expand_time(t, z))
    return alpha * z + beta**2 * noise


@misconception(
    "sample_conditional_path", "alpha is missing: at time 0 nothing is to be seen of the data, and alpha is 0 there."
)
def mix_without_alpha(schedule, z, t, noise):
    _, beta, _, _ = schedule(expand_time(t, z))
    return z + beta * noise


@misconception(
    "sample_conditional_path",
    "This is the velocity of the sample: it has the derivatives d_alpha and d_beta where alpha and beta belong.",
)
def mix_of_the_derivatives(schedule, z, t, noise):
    _, _, d_alpha, d_beta = schedule(expand_time(t, z))
    return d_alpha * z + d_beta * noise


@misconception("sample_conditional_path", BUILT_IN)
def mix_on_straight_lines(schedule, z, t, noise):
    return mix(paths.linear_schedule(expand_time(t, z)), z, noise)


@misconception("sample_conditional_path", TIME_ON_THE_LAST_AXIS)
def mix_with_time_on_the_last_axis(schedule, z, t, noise):
    return mix(schedule(t), z, noise)


@misconception("sample_conditional_path", TIME_WITH_ONE_AXIS)
def mix_with_one_axis(schedule, z, t, noise):
    return mix(schedule(as_column(t)), z, noise)


@misconception("sample_conditional_path", ONE_TIME_FOR_ALL)
def mix_at_one_time(schedule, z, t, noise):
    return mix(schedule(first(t)), z, noise)


# ---- conditional_velocity -------------------------------------------------------------------------------------------


def towards(coefficients, x, z):
    alpha, beta, d_alpha, d_beta = coefficients
    return d_alpha * z + d_beta / beta * (x - alpha * z)


@misconception(
    "conditional_velocity",
    "alpha is missing in the bracket: at time t the cloud has its centre at alpha z, not yet at z.",
)
def velocity_about_z(schedule, x, t, z):
    _, beta, d_alpha, d_beta = schedule(expand_time(t, x))
    return d_alpha * z + d_beta / beta * (x - z)


@misconception(
    "conditional_velocity", "d_alpha and d_beta changed places: d_alpha moves the centre, d_beta shrinks the cloud."
)
def velocity_with_derivatives_exchanged(schedule, x, t, z):
    alpha, beta, d_alpha, d_beta = schedule(expand_time(t, x))
    return d_beta * z + d_alpha / beta * (x - alpha * z)


@misconception(
    "conditional_velocity",
    "The division by beta is missing: the noise in x is (x - alpha z) / beta, and d_beta multiplies that.",
)
def velocity_without_beta(schedule, x, t, z):
    alpha, _, d_alpha, d_beta = schedule(expand_time(t, x))
    return d_alpha * z + d_beta * (x - alpha * z)


@misconception(
    "conditional_velocity",
    "The sign of the second part is wrong. d_beta is negative already: that is what makes the cloud shrink.",
)
def velocity_that_spreads(schedule, x, t, z):
    alpha, beta, d_alpha, d_beta = schedule(expand_time(t, x))
    return d_alpha * z - d_beta / beta * (x - alpha * z)


@misconception(
    "conditional_velocity", "The first part is missing: the cloud does not only shrink, its centre alpha z moves too."
)
def velocity_that_only_shrinks(schedule, x, t, z):
    alpha, beta, _, d_beta = schedule(expand_time(t, x))
    return d_beta / beta * (x - alpha * z)


@misconception(
    "conditional_velocity",
    "The centre moves at d_alpha z. Here it moves at alpha z, which is the place where it is, not its velocity.",
)
def velocity_of_the_place(schedule, x, t, z):
    alpha, beta, _, d_beta = schedule(expand_time(t, x))
    return alpha * z + d_beta / beta * (x - alpha * z)


@misconception(
    "conditional_velocity",
    "x took the place of the noise. Those who pass through x started from (x - alpha z) / beta, not from x.",
)
def velocity_from_x_as_noise(schedule, x, t, z):
    _, _, d_alpha, d_beta = schedule(expand_time(t, x))
    return d_alpha * z + d_beta * x


@misconception("conditional_velocity", BUILT_IN)
def velocity_on_straight_lines(schedule, x, t, z):
    return towards(paths.linear_schedule(expand_time(t, x)), x, z)


@misconception("conditional_velocity", TIME_ON_THE_LAST_AXIS)
def velocity_with_time_on_the_last_axis(schedule, x, t, z):
    return towards(schedule(t), x, z)


@misconception("conditional_velocity", TIME_WITH_ONE_AXIS)
def velocity_with_one_axis(schedule, x, t, z):
    return towards(schedule(as_column(t)), x, z)


@misconception("conditional_velocity", ONE_TIME_FOR_ALL)
def velocity_at_one_time(schedule, x, t, z):
    return towards(schedule(first(t)), x, z)


# ---- conditional_score ----------------------------------------------------------------------------------------------


def uphill(coefficients, x, z):
    alpha, beta, _, _ = coefficients
    return -(x - alpha * z) / beta**2


@misconception(
    "conditional_score", "The sign is turned round: the score points uphill, from x towards the centre of the cloud."
)
def score_downhill(schedule, x, t, z):
    return -uphill(schedule(expand_time(t, x)), x, z)


@misconception(
    "conditional_score", "It is divided by beta, the standard deviation. In a Gaussian's exponent stands the variance."
)
def score_with_beta(schedule, x, t, z):
    alpha, beta, _, _ = schedule(expand_time(t, x))
    return -(x - alpha * z) / beta


@misconception(
    "conditional_score", "alpha is missing: at time t the cloud has its centre at alpha z, not yet at z itself."
)
def score_about_z(schedule, x, t, z):
    _, beta, _, _ = schedule(expand_time(t, x))
    return -(x - z) / beta**2


@misconception(
    "conditional_score",
    "The 2 of the exponent is still there, but the derivative of a square brings a factor 2 that cancels it.",
)
def score_with_the_two(schedule, x, t, z):
    return uphill(schedule(expand_time(t, x)), x, z) / 2


@misconception(
    "conditional_score", "The division by the variance is missing: the narrower the cloud, the steeper is its density."
)
def score_without_beta(schedule, x, t, z):
    alpha, _, _, _ = schedule(expand_time(t, x))
    return alpha * z - x


@misconception("conditional_score", "This is the velocity. The score knows nothing of how the cloud moves.")
def score_is_the_velocity(schedule, x, t, z):
    return towards(schedule(expand_time(t, x)), x, z)


@misconception("conditional_score", BUILT_IN)
def score_on_straight_lines(schedule, x, t, z):
    return uphill(paths.linear_schedule(expand_time(t, x)), x, z)


@misconception("conditional_score", TIME_ON_THE_LAST_AXIS)
def score_with_time_on_the_last_axis(schedule, x, t, z):
    return uphill(schedule(t), x, z)


@misconception("conditional_score", TIME_WITH_ONE_AXIS)
def score_with_one_axis(schedule, x, t, z):
    return uphill(schedule(as_column(t)), x, z)


@misconception("conditional_score", ONE_TIME_FOR_ALL)
def score_at_one_time(schedule, x, t, z):
    return uphill(schedule(first(t)), x, z)


# ---- posterior_weights ----------------------------------------------------------------------------------------------


def squares(x, data):
    return (x[:, None, :] - data).square().sum(-1)


def unscaled(exponents):
    densities = exponents.exp()
    return densities / densities.sum(1, keepdim=True)


@misconception(
    "posterior_weights",
    "Far from the data and close to t = 1 every exponential is zero, and 0 / 0 is not a number. Take the largest "
    "exponent out first: that is the log-sum-exp trick.",
)
def weights_that_underflow(schedule, x, t, data):
    alpha, beta, _, _ = schedule(t)
    return unscaled(-squares(x, alpha * data) / (2 * beta**2))


@misconception(
    "posterior_weights",
    "A tiny number in the denominator hides the 0 / 0, but then the weights are all zero where they should sum to 1. "
    "The log-sum-exp trick is exact.",
)
def weights_with_a_tiny_number(schedule, x, t, data):
    alpha, beta, _, _ = schedule(t)
    densities = (-squares(x, alpha * data) / (2 * beta**2)).exp()
    return densities / (densities.sum(1, keepdim=True) + 1e-12)


@misconception(
    "posterior_weights",
    "The squared distance is divided by 2 beta. beta is a standard deviation; in a Gaussian's exponent stands its "
    "variance.",
)
def weights_with_beta(schedule, x, t, data):
    alpha, beta, _, _ = schedule(t)
    return torch.softmax(-squares(x, alpha * data) / (2 * beta), dim=1)


@misconception(
    "posterior_weights", "The factor 2 in the exponent is missing: it is the squared distance over 2 beta squared."
)
def weights_without_the_two(schedule, x, t, data):
    alpha, beta, _, _ = schedule(t)
    return torch.softmax(-squares(x, alpha * data) / beta**2, dim=1)


@misconception(
    "posterior_weights", "The distance is not squared: the exponent of a Gaussian is quadratic in the distance."
)
def weights_of_the_distance(schedule, x, t, data):
    alpha, beta, _, _ = schedule(t)
    return torch.softmax(-squares(x, alpha * data).sqrt() / (2 * beta**2), dim=1)


@misconception("posterior_weights", "alpha is missing: at time t the cloud of z has its centre at alpha z, not at z.")
def weights_about_the_data(schedule, x, t, data):
    _, beta, _, _ = schedule(t)
    return torch.softmax(-squares(x, data) / (2 * beta**2), dim=1)


@misconception(
    "posterior_weights",
    "The weights sum to 1 over the samples. For each sample they have to sum to 1 over the data points: over its row.",
)
def weights_over_the_samples(schedule, x, t, data):
    alpha, beta, _, _ = schedule(t)
    return torch.softmax(-squares(x, alpha * data) / (2 * beta**2), dim=0)


@misconception(
    "posterior_weights",
    "The sign is turned round: the far points got the largest weights. The exponent of a Gaussian is negative.",
)
def weights_of_the_farthest(schedule, x, t, data):
    alpha, beta, _, _ = schedule(t)
    return torch.softmax(squares(x, alpha * data) / (2 * beta**2), dim=1)


@misconception(
    "posterior_weights",
    "These are the prior weights, the same for every data point. The place x says which of them are more probable.",
)
def weights_of_the_prior(schedule, x, t, data):
    return x.new_full((len(x), len(data)), 1 / len(data))


@misconception(
    "posterior_weights",
    "The largest exponent of the whole matrix was taken out. Each place has its own: where all those of a place are "
    "far smaller, every exponential is zero again. Take the maximum of each row.",
)
def weights_with_one_maximum(schedule, x, t, data):
    alpha, beta, _, _ = schedule(t)
    exponents = -squares(x, alpha * data) / (2 * beta**2)
    e = torch.exp(exponents - exponents.max())
    return e / e.sum(1, keepdim=True)


@misconception(
    "posterior_weights",
    "The squares were averaged over the coordinates. A squared distance is their sum.",
)
def weights_of_the_mean_square(schedule, x, t, data):
    alpha, beta, _, _ = schedule(t)
    return torch.softmax(-squares(x, alpha * data) / x.shape[1] / (2 * beta**2), dim=1)


@misconception("posterior_weights", "These are the logarithms of the weights.")
def weights_as_logarithms(schedule, x, t, data):
    alpha, beta, _, _ = schedule(t)
    return torch.log_softmax(-squares(x, alpha * data) / (2 * beta**2), dim=1)


@misconception(
    "posterior_weights", "The axes changed places: one row for each place, one column for each data point, (n, N)."
)
def weights_transposed(schedule, x, t, data):
    alpha, beta, _, _ = schedule(t)
    return torch.softmax(-squares(x, alpha * data) / (2 * beta**2), dim=1).T


# ---- marginal_velocity, marginal_score ------------------------------------------------------------------------------

PRIOR_WEIGHTS = (
    "All data points count equally. That leads to their mean, whatever x is; the weights have to be the posterior's, "
    "which know where the sample is."
)
NEAREST = (
    "Only the most probable data point counts. The field is an average over all of them, with the posterior weights; "
    "they differ most early on, when the choice is still open."
)
WIDE_WEIGHTS = (
    "The weights are not the posterior's: a squared distance has to be divided by 2 beta^2, a variance, not by 2 beta."
)
NAIVE_WEIGHTS = (
    "Far from the data and close to t = 1 this is not a number: every exponential is zero there. Use the weights of "
    "the given line, which have the log-sum-exp trick in them."
)


def posterior_mean(schedule, x, t, data):
    return paths.EmpiricalPath(schedule, data).posterior_weights(x, t) @ data


def naive_mean(schedule, x, t, data):
    return weights_that_underflow(schedule, x, t, data) @ data


def nearest(schedule, x, t, data):
    return data[squares(x, schedule(t)[0] * data).argmin(1)]


def wide_mean(schedule, x, t, data):
    return weights_with_beta(schedule, x, t, data) @ data


@misconception("marginal_velocity", PRIOR_WEIGHTS)
def marginal_velocity_with_prior_weights(schedule, x, t, data):
    return towards(schedule(t), x, data.mean(0))


@misconception("marginal_velocity", NEAREST)
def marginal_velocity_to_the_nearest(schedule, x, t, data):
    # at time 0 all are equally near: the first one
    return towards(schedule(t), x, nearest(schedule, x, t, data))


@misconception("marginal_velocity", WIDE_WEIGHTS)
def marginal_velocity_with_wide_weights(schedule, x, t, data):
    return towards(schedule(t), x, wide_mean(schedule, x, t, data))


@misconception("marginal_velocity", NAIVE_WEIGHTS)
def marginal_velocity_that_underflows(schedule, x, t, data):
    return towards(schedule(t), x, naive_mean(schedule, x, t, data))


@misconception(
    "marginal_velocity", "alpha is missing in the bracket: the centre of the cloud of z is at alpha z at time t."
)
def marginal_velocity_about_the_guess(schedule, x, t, data):
    _, beta, d_alpha, d_beta = schedule(t)
    z = posterior_mean(schedule, x, t, data)
    return d_alpha * z + d_beta / beta * (x - z)


@misconception(
    "marginal_velocity",
    "The division by beta is missing: d_beta / beta is the relative rate at which the noise goes out.",
)
def marginal_velocity_without_beta(schedule, x, t, data):
    alpha, _, d_alpha, d_beta = schedule(t)
    z = posterior_mean(schedule, x, t, data)
    return d_alpha * z + d_beta * (x - alpha * z)


@misconception(
    "marginal_velocity",
    "This is the posterior mean of the data, the place that x is drawn to. The velocity is formula (2.6) with this "
    "mean in the place of z.",
)
def marginal_velocity_is_the_guess(schedule, x, t, data):
    return posterior_mean(schedule, x, t, data)


@misconception(
    "marginal_velocity",
    "The velocities were averaged with weights and divided by N as well. The posterior weights already sum to 1.",
)
def marginal_velocity_divided_by_n(schedule, x, t, data):
    return towards(schedule(t), x, posterior_mean(schedule, x, t, data)) / len(data)


@misconception(
    "marginal_velocity",
    "The brackets are missing in the second part: d_beta / beta multiplies x - alpha z, not x alone.",
)
def marginal_velocity_without_brackets(schedule, x, t, data):
    alpha, beta, d_alpha, d_beta = schedule(t)
    z = posterior_mean(schedule, x, t, data)
    return d_alpha * z + d_beta / beta * x - alpha * z


@misconception("marginal_velocity", BUILT_IN)
def marginal_velocity_on_straight_lines(schedule, x, t, data):
    return (posterior_mean(schedule, x, t, data) - x) / (1 - t)


@misconception("marginal_score", PRIOR_WEIGHTS)
def marginal_score_with_prior_weights(schedule, x, t, data):
    return uphill(schedule(t), x, data.mean(0))


@misconception("marginal_score", NEAREST)
def marginal_score_to_the_nearest(schedule, x, t, data):
    # the most probable point; with alpha = 0 at time 0 it does not matter which
    return uphill(schedule(t), x, nearest(schedule, x, t, data))


@misconception("marginal_score", WIDE_WEIGHTS)
def marginal_score_with_wide_weights(schedule, x, t, data):
    return uphill(schedule(t), x, wide_mean(schedule, x, t, data))


@misconception("marginal_score", NAIVE_WEIGHTS)
def marginal_score_that_underflows(schedule, x, t, data):
    return uphill(schedule(t), x, naive_mean(schedule, x, t, data))


@misconception("marginal_score", "The sign is turned round: the score points from x towards alpha times the mean.")
def marginal_score_downhill(schedule, x, t, data):
    return -uphill(schedule(t), x, posterior_mean(schedule, x, t, data))


@misconception(
    "marginal_score", "It is divided by beta, the standard deviation. A score is divided by the variance, beta^2."
)
def marginal_score_with_beta(schedule, x, t, data):
    alpha, beta, _, _ = schedule(t)
    return (alpha * posterior_mean(schedule, x, t, data) - x) / beta


@misconception("marginal_score", "alpha is missing: the cloud of z has its centre at alpha z at time t, not at z.")
def marginal_score_about_the_guess(schedule, x, t, data):
    _, beta, _, _ = schedule(t)
    return (posterior_mean(schedule, x, t, data) - x) / beta**2


@misconception(
    "marginal_score",
    "This is the marginal velocity. Put the mean into the formula of the score, which has no derivatives in it.",
)
def marginal_score_is_the_velocity(schedule, x, t, data):
    return towards(schedule(t), x, posterior_mean(schedule, x, t, data))


# ---- denoiser -------------------------------------------------------------------------------------------------------


def tweedie(coefficients, x, score):
    alpha, beta, _, _ = coefficients
    return (x + beta**2 * score) / alpha


@misconception(
    "denoiser",
    "The division by alpha is missing. The step along the score leads to alpha times the mean of z: undo this factor.",
)
def denoiser_without_alpha(schedule, x, t, score):
    _, beta, _, _ = schedule(expand_time(t, x))
    return x + beta**2 * score(x, t)


@misconception(
    "denoiser", "The step along the score has length beta. It has to be the variance of the noise, beta squared."
)
def denoiser_with_beta(schedule, x, t, score):
    alpha, beta, _, _ = schedule(expand_time(t, x))
    return (x + beta * score(x, t)) / alpha


@misconception("denoiser", "The sign is turned round: the score points uphill, towards the data, so walk along it.")
def denoiser_downhill(schedule, x, t, score):
    alpha, beta, _, _ = schedule(expand_time(t, x))
    return (x - beta**2 * score(x, t)) / alpha


@misconception(
    "denoiser", "Only the step along the score is divided by alpha. The shrinking of x itself has to be undone as well."
)
def denoiser_divides_the_step(schedule, x, t, score):
    alpha, beta, _, _ = schedule(expand_time(t, x))
    return x + beta**2 / alpha * score(x, t)


@misconception("denoiser", "Only x is divided by alpha. The step along the score comes before the division.")
def denoiser_divides_x(schedule, x, t, score):
    alpha, beta, _, _ = schedule(expand_time(t, x))
    return x / alpha + beta**2 * score(x, t)


@misconception("denoiser", "It was multiplied by alpha. The data were shrunk by alpha on their way: divide by it.")
def denoiser_multiplies_by_alpha(schedule, x, t, score):
    alpha, beta, _, _ = schedule(expand_time(t, x))
    return (x + beta**2 * score(x, t)) * alpha


@misconception("denoiser", "This is the mean of the noise in x, -beta times the score. The data is what else is in x.")
def denoiser_is_the_noise(schedule, x, t, score):
    _, beta, _, _ = schedule(expand_time(t, x))
    return -beta * score(x, t)


@misconception("denoiser", BUILT_IN)
def denoiser_on_straight_lines(schedule, x, t, score):
    return tweedie(paths.linear_schedule(expand_time(t, x)), x, score(x, t))


@misconception("denoiser", TIME_ON_THE_LAST_AXIS)
def denoiser_with_time_on_the_last_axis(schedule, x, t, score):
    return tweedie(schedule(t), x, score(x, t))


@misconception("denoiser", TIME_WITH_ONE_AXIS)
def denoiser_with_one_axis(schedule, x, t, score):
    return tweedie(schedule(as_column(t)), x, score(x, t))


# ---- velocity_to_score ----------------------------------------------------------------------------------------------


def eliminate(coefficients, x, velocity):
    alpha, beta, d_alpha, d_beta = coefficients
    return (alpha * velocity - d_alpha * x) / (beta * (d_alpha * beta - alpha * d_beta))


@misconception("velocity_to_score", "The sign is turned round: for one data point at 0 the score must be -x / beta^2.")
def converted_with_the_wrong_sign(schedule, x, t, velocity):
    return -eliminate(schedule(expand_time(t, x)), x, velocity)


@misconception(
    "velocity_to_score",
    "beta is missing in the denominator. This is minus the mean of the noise; the score is that divided by beta.",
)
def converted_without_beta(schedule, x, t, velocity):
    alpha, beta, d_alpha, d_beta = schedule(expand_time(t, x))
    return (alpha * velocity - d_alpha * x) / (d_alpha * beta - alpha * d_beta)


@misconception(
    "velocity_to_score",
    "The bracket in the denominator is missing. It is 1 for the linear schedule only; solve the two equations again.",
)
def converted_without_the_bracket(schedule, x, t, velocity):
    alpha, beta, d_alpha, _ = schedule(expand_time(t, x))
    return (alpha * velocity - d_alpha * x) / beta


@misconception(
    "velocity_to_score",
    "The sign in the bracket is wrong: it is d_alpha beta minus alpha d_beta, which is positive as d_beta is negative.",
)
def converted_with_a_plus_in_the_bracket(schedule, x, t, velocity):
    alpha, beta, d_alpha, d_beta = schedule(expand_time(t, x))
    return (alpha * velocity - d_alpha * x) / (beta * (d_alpha * beta + alpha * d_beta))


@misconception(
    "velocity_to_score", "In the numerator alpha and d_alpha changed places: it is alpha times u, d_alpha times x."
)
def converted_with_factors_exchanged(schedule, x, t, velocity):
    alpha, beta, d_alpha, d_beta = schedule(expand_time(t, x))
    return (d_alpha * velocity - alpha * x) / (beta * (d_alpha * beta - alpha * d_beta))


@misconception(
    "velocity_to_score",
    "d_alpha is missing in front of x. For the linear schedule it is 1 and nobody notices; in general it is not.",
)
def converted_without_d_alpha(schedule, x, t, velocity):
    alpha, beta, d_alpha, d_beta = schedule(expand_time(t, x))
    return (alpha * velocity - x) / (beta * (d_alpha * beta - alpha * d_beta))


@misconception(
    "velocity_to_score",
    "This is the mean of the data. The equations were solved for z; the score needs the noise in x.",
)
def converted_to_the_data(schedule, x, t, velocity):
    alpha, beta, d_alpha, d_beta = schedule(expand_time(t, x))
    return (beta * velocity - d_beta * x) / (d_alpha * beta - alpha * d_beta)


@misconception(
    "velocity_to_score",
    "Python divides by beta and then multiplies by the bracket. Put the whole denominator in parentheses.",
)
def converted_without_parentheses(schedule, x, t, velocity):
    alpha, beta, d_alpha, d_beta = schedule(expand_time(t, x))
    return (alpha * velocity - d_alpha * x) / beta * (d_alpha * beta - alpha * d_beta)


@misconception("velocity_to_score", BUILT_IN)
def converted_on_straight_lines(schedule, x, t, velocity):
    return eliminate(paths.linear_schedule(expand_time(t, x)), x, velocity)


@misconception("velocity_to_score", TIME_ON_THE_LAST_AXIS)
def converted_with_time_on_the_last_axis(schedule, x, t, velocity):
    return eliminate(schedule(t), x, velocity)


@misconception("velocity_to_score", TIME_WITH_ONE_AXIS)
def converted_with_one_axis(schedule, x, t, velocity):
    return eliminate(schedule(as_column(t)), x, velocity)


# ---- divergence -----------------------------------------------------------------------------------------------------


def jacobian(u, x, t):
    """d u_j / d x_i at each sample, (n, d, d), with j on the first of the two axes."""
    x = x.detach().clone().requires_grad_()
    columns = u(x, t).unbind(1)
    return torch.stack([torch.autograd.grad(column.sum(), x, retain_graph=True)[0] for column in columns], dim=1)


@misconception(
    "divergence",
    "All entries of the Jacobian were added up. The divergence is the sum of its diagonal: each component of u by its "
    "own coordinate. The gradient of u.sum() mixes the components.",
)
def divergence_of_all_entries(u, x, t):
    return jacobian(u, x, t).sum((1, 2))


@misconception(
    "divergence", "Only the first coordinate counts. The divergence adds d u_j / d x_j over all coordinates j."
)
def divergence_in_the_first_coordinate(u, x, t):
    return jacobian(u, x, t)[:, 0, 0]


@misconception(
    "divergence",
    "Of every gradient the first column was kept. From the gradient of component j take the column of coordinate j.",
)
def divergence_of_the_first_column(u, x, t):
    return jacobian(u, x, t)[:, :, 0].sum(1)


@misconception(
    "divergence",
    "The samples were added up as well. Summing u_j over the samples is only a trick to get all gradients at once: "
    "the result has one number for each sample.",
)
def divergence_of_the_batch(u, x, t):
    return jacobian(u, x, t).diagonal(dim1=1, dim2=2).sum()


@misconception("divergence", "The diagonal entries were not added up: the result is one number per sample, (n,).")
def divergence_without_the_sum(u, x, t):
    return jacobian(u, x, t).diagonal(dim1=1, dim2=2)


@misconception("divergence", "This is the mean of the diagonal entries. The divergence is their sum.")
def divergence_as_a_mean(u, x, t):
    return jacobian(u, x, t).diagonal(dim1=1, dim2=2).mean(1)


@misconception(
    "divergence",
    "Only the last coordinate counts: inside the loop the total is overwritten where it should be added to.",
)
def divergence_in_the_last_coordinate(u, x, t):
    return jacobian(u, x, t)[:, -1, -1]


# ---- continuity_residual --------------------------------------------------------------------------------------------


def three_terms(log_density, u, x, t):
    """d log p / dt, div u and u . grad log p at each sample, each (n,)."""
    where = x.detach().clone().requires_grad_()
    times = torch.full_like(x[:, 0], t).requires_grad_()
    d_x, d_t = torch.autograd.grad(log_density(where, times).sum(), (where, times))
    return d_t, paths.divergence(u, x, t), (u(x, t) * d_x).sum(1)


@misconception(
    "continuity_residual",
    "The derivative of the log-density in time is missing: the field has to account for how the density changes.",
)
def residual_without_time(log_density, u, x, t):
    _, div, dot = three_terms(log_density, u, x, t)
    return div + dot


@misconception(
    "continuity_residual",
    "The divergence of u is missing: where a field spreads, the density falls, even if it is flat there.",
)
def residual_without_divergence(log_density, u, x, t):
    d_t, _, dot = three_terms(log_density, u, x, t)
    return d_t + dot


@misconception(
    "continuity_residual",
    "The last term is missing: where a field leads uphill, thinner regions follow, and the density falls. "
    "The divergence of p u has two parts, by the product rule.",
)
def residual_without_gradient(log_density, u, x, t):
    d_t, div, _ = three_terms(log_density, u, x, t)
    return d_t + div


@misconception(
    "continuity_residual",
    "The divergence has the wrong sign. With everything on one side of the equation all three signs are plus.",
)
def residual_minus_divergence(log_density, u, x, t):
    d_t, div, dot = three_terms(log_density, u, x, t)
    return d_t - div + dot


@misconception(
    "continuity_residual",
    "The time derivative has the wrong sign: bring -div(p u) to the other side of the equation, and it is plus.",
)
def residual_minus_time(log_density, u, x, t):
    d_t, div, dot = three_terms(log_density, u, x, t)
    return -d_t + div + dot


@misconception(
    "continuity_residual",
    "The time derivatives of all samples were added up: with one time for all, the gradient is a sum. "
    "Give every sample a time of its own, as the given line does.",
)
def residual_with_one_time(log_density, u, x, t):
    d_t, div, dot = three_terms(log_density, u, x, t)
    return d_t.sum() + div + dot


@misconception(
    "continuity_residual",
    "The product of u and the gradient was added up over the samples too. It is a dot product for each sample: sum "
    "over the coordinates, dimension 1.",
)
def residual_with_one_dot_product(log_density, u, x, t):
    d_t, div, dot = three_terms(log_density, u, x, t)
    return d_t + div + dot.sum()


@misconception(
    "continuity_residual",
    "This is the residual times the density. Divide by p, or work with log p from the start.",
)
def residual_times_the_density(log_density, u, x, t):
    return sum(three_terms(log_density, u, x, t)) * log_density(x, t).exp()


@misconception(
    "continuity_residual",
    "The derivatives are those of p, while the divergence of u stands alone: in the form of (2.21) the density has "
    "been divided out, so take the derivatives of log p.",
)
def residual_with_derivatives_of_p(log_density, u, x, t):
    d_t, div, dot = three_terms(log_density, u, x, t)
    return div + (d_t + dot) * log_density(x, t).exp()


# ---- transport_test -------------------------------------------------------------------------------------------------

POINTS = 1.5 * torch.randn(150, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
TIMES = (0.15, 0.4, 0.7, 0.9)


def largest(u, log_density, x=POINTS, times=TIMES, terms=(1, 1, 1)):
    def size(t):
        parts = three_terms(log_density, u, x, t)
        return sum(c * part for c, part in zip(terms, parts, strict=True)).abs().max().item()

    return max(size(t) for t in times)


@misconception("transport_test", "Every field passes your test. What is not zero for a wrong one?")
def passes_everything(u, log_density):
    return True


@misconception(
    "transport_test",
    "No field passes your test, not even a right one. Its residual is zero only up to rounding, and only in "
    "float64 is that very little: allow for it.",
)
def tests_every_bit(u, log_density):
    return False


@misconception(
    "transport_test",
    "The test looks at time 0 only. There, weights do not depend on the place, and many wrong fields are right.",
)
def tests_the_start(u, log_density):
    return largest(u, log_density, times=(0.0,)) < 1e-6


@misconception(
    "transport_test",
    "The test looks at t = 1/2 only. A field can be right there and wrong before and after: take several times, none "
    "of them special.",
)
def tests_half_time(u, log_density):
    return largest(u, log_density, times=(0.5,)) < 1e-6


@misconception(
    "transport_test",
    "The test looks at the origin only. Symmetry can make a wrong field right in one place: take many random points.",
)
def tests_the_origin(u, log_density):
    return largest(u, log_density, x=torch.zeros(1, 2, dtype=torch.float64)) < 1e-6


@misconception(
    "transport_test",
    "The test looks at points on one line only, an axis. Some mistakes vanish there: spread the points over the plane.",
)
def tests_an_axis(u, log_density):
    line = torch.linspace(-3, 3, 41, dtype=torch.float64)
    return largest(u, log_density, x=torch.stack([line, 0 * line], dim=1)) < 1e-6


@misconception(
    "transport_test",
    "The time derivative of the log-density is missing in your residual, so a field that does not move the density "
    "in the right way goes unseen, and right ones are rejected.",
)
def tests_without_the_time_derivative(u, log_density):
    return largest(u, log_density, terms=(0, 1, 1)) < 1e-6


@misconception(
    "transport_test",
    "The divergence is missing in your residual, so only fields that neither spread nor gather can pass.",
)
def tests_without_the_divergence(u, log_density):
    return largest(u, log_density, terms=(1, 0, 1)) < 1e-6


@misconception(
    "transport_test",
    "The term u . grad log p is missing in your residual: the density at a place also changes because another part of "
    "it is moved there.",
)
def tests_without_the_gradient(u, log_density):
    return largest(u, log_density, terms=(1, 1, 0)) < 1e-6


@misconception(
    "transport_test",
    "The tolerance is so wide that a small or local mistake passes. In float64 a right field has a residual of 1e-10 "
    "or less.",
)
def tests_too_loosely(u, log_density):
    return largest(u, log_density) < 1.5


@misconception(
    "transport_test",
    "The average of the residual is tested, with its sign, so that places with too much and too little cancel. Let the "
    "largest size decide.",
)
def tests_the_average(u, log_density):
    x = torch.cat([POINTS, -POINTS, POINTS.flip(1), -POINTS.flip(1)])
    return all(abs(sum(three_terms(log_density, u, x, t)).mean().item()) < 0.05 for t in TIMES)


@misconception(
    "transport_test",
    "The average size of the residual is tested, so that a mistake in one place drowns among the points where all is "
    "well. Let the largest size decide.",
)
def tests_the_average_size(u, log_density):
    return all(sum(three_terms(log_density, u, POINTS, t)).abs().mean().item() < 0.01 for t in TIMES)


@misconception(
    "transport_test",
    "The test looks at one time only. A field can be right there and wrong later: take several times, early and late.",
)
def tests_one_early_time(u, log_density):
    return largest(u, log_density, times=(0.37,)) < 1e-6


@misconception("transport_test", "The answer is turned round: True is for a field that carries the density along.")
def answers_the_opposite(u, log_density):
    return not largest(u, log_density) < 1e-6


# ---- sde_drift ------------------------------------------------------------------------------------------------------


@misconception(
    "sde_drift", "The half is missing: noise of strength sigma spreads the density with the coefficient sigma^2 / 2."
)
def drift_without_the_half(u, score, sigma, x, t):
    return u(x, t) + sigma(t) ** 2 * score(x, t)


@misconception("sde_drift", "sigma is not squared: what noise does to a density goes with its variance, sigma squared.")
def drift_with_half_of_sigma(u, score, sigma, x, t):
    return u(x, t) + sigma(t) / 2 * score(x, t)


@misconception("sde_drift", "sigma stands there as it is. The score's factor is half of its square.")
def drift_with_sigma(u, score, sigma, x, t):
    return u(x, t) + sigma(t) * score(x, t)


@misconception(
    "sde_drift",
    "The sign of the score is wrong: the noise pushes samples downhill, out of the dense regions; the drift has to "
    "bring them back up.",
)
def drift_downhill(u, score, sigma, x, t):
    return u(x, t) - sigma(t) ** 2 / 2 * score(x, t)


@misconception("sde_drift", "The field u is missing: this drift keeps a density that rests, but here it moves along.")
def drift_of_langevin(u, score, sigma, x, t):
    return sigma(t) ** 2 / 2 * score(x, t)


@misconception("sde_drift", "The score is missing: with the drift u alone, the noise would spread the cloud too far.")
def drift_without_score(u, score, sigma, x, t):
    return u(x, t)


@misconception("sde_drift", "The whole sum was multiplied by sigma^2 / 2. Without noise the drift must be u itself.")
def drift_with_u_scaled(u, score, sigma, x, t):
    return sigma(t) ** 2 / 2 * (u(x, t) + score(x, t))


# ---- memorised_share ------------------------------------------------------------------------------------------------


def distances(x, data):
    return squares(x, data).sqrt()


@misconception(
    "memorised_share",
    "This is the share of data points that have a sample nearby. Count the samples: take the smallest distance over "
    "the data for each sample.",
)
def share_of_the_data(x, data, radius):
    return (distances(x, data).amin(0) <= radius).double().mean().item()


@misconception(
    "memorised_share",
    "This is the share of all pairs of a sample and a data point. A sample counts if it is near at least one point.",
)
def share_of_the_pairs(x, data, radius):
    return (distances(x, data) <= radius).double().mean().item()


@misconception(
    "memorised_share",
    "A sample counts several times if several data points are near it. It is either a copy or it is not.",
)
def share_with_repetition(x, data, radius):
    return (distances(x, data) <= radius).sum().item() / len(x)


@misconception("memorised_share", "This is the number of copies. For a share, divide it by the number of samples.")
def number_of_copies(x, data, radius):
    return float((distances(x, data).amin(1) <= radius).sum())


@misconception("memorised_share", "A squared distance was compared with the radius: take the root, or square both.")
def share_by_squares(x, data, radius):
    return (squares(x, data).amin(1) <= radius).double().mean().item()


@misconception("memorised_share", "This is the share of samples that are not copies: count those within the radius.")
def share_of_the_others(x, data, radius):
    return (distances(x, data).amin(1) > radius).double().mean().item()


@misconception("memorised_share", "A sample exactly at the radius is to count as within: that is <= in the place of <.")
def share_strictly_within(x, data, radius):
    return (distances(x, data).amin(1) < radius).double().mean().item()


@misconception(
    "memorised_share",
    "Every coordinate was compared on its own, so the neighbourhood is a cube. The distance is the root of the sum of "
    "squares over the coordinates.",
)
def share_in_a_cube(x, data, radius):
    return ((x[:, None] - data).abs().amax(-1).amin(1) <= radius).double().mean().item()


@misconception(
    "memorised_share",
    "The sizes of the differences were added up over the coordinates. The distance is the root of the sum of squares.",
)
def share_by_absolute_sums(x, data, radius):
    return ((x[:, None] - data).abs().sum(-1).amin(1) <= radius).double().mean().item()
