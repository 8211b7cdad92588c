"""Typical mistakes in Lab 3, flow matching and score matching."""

import functools

import torch
from scipy.optimize import linear_sum_assignment

from autograder.misconceptions import misconception
from course import solvers
from course.paths import velocity_and_divergence
from course.shapes import expand_time


def mean_square(error):
    """The mean over the samples of the squared norm."""
    return error.square().flatten(1).sum(1).mean()


def along_the_path(schedule, z, t, noise):
    """The place and the velocity of every sample on its path, and beta there."""
    alpha, beta, d_alpha, d_beta = schedule(expand_time(t, z))
    return alpha * z + beta * noise, d_alpha * z + d_beta * noise, beta


# ---- flow_matching_loss ---------------------------------------------------------------------------------------------


@misconception(
    "flow_matching_loss",
    "The squares were averaged over the dimensions too. The squared norm of a sample is a sum; only the samples are "
    "averaged.",
)
def known_mean_of_all(model, velocity, x, t):
    return torch.nn.functional.mse_loss(model(x, t), velocity(x, t))


@misconception(
    "flow_matching_loss",
    "The samples were added up too, so a batch twice as large gives a loss twice as large. Average over the samples.",
)
def known_sum_of_all(model, velocity, x, t):
    return (model(x, t) - velocity(x, t)).square().sum()


@misconception(
    "flow_matching_loss",
    "Right for points, but a sample may have several axes: sum over all of them, whatever the sample's shape.",
)
def known_sum_of_the_last_axis(model, velocity, x, t):
    return (model(x, t) - velocity(x, t)).square().sum(-1).mean()


@misconception("flow_matching_loss", "The distances were averaged as they are. Equation (3.3) has their squares.")
def known_distance(model, velocity, x, t):
    return torch.linalg.vector_norm((model(x, t) - velocity(x, t)).flatten(1), dim=1).mean()


@misconception(
    "flow_matching_loss",
    "The value is right, but it does not depend on the parameters any more: something cut it off (no_grad, detach, "
    "item, numpy), so nothing can be learned from it.",
)
def known_without_gradient(model, velocity, x, t):
    with torch.no_grad():
        return mean_square(model(x, t) - velocity(x, t))


@misconception(
    "flow_matching_loss",
    "Both fields were added, so even a model that is right has a large loss. What counts is how far apart they are.",
)
def known_sum_of_the_fields(model, velocity, x, t):
    return mean_square(model(x, t) + velocity(x, t))


# ---- conditional_flow_matching_loss ---------------------------------------------------------------------------------


@misconception(
    "conditional_flow_matching_loss",
    "The squares were averaged over the dimensions too. The squared norm of a sample is a sum; only the samples are "
    "averaged.",
)
def flow_mean_of_all(model, schedule, z, t, noise):
    x, target, _ = along_the_path(schedule, z, t, noise)
    return torch.nn.functional.mse_loss(model(x, t), target)


@misconception(
    "conditional_flow_matching_loss",
    "Right for points, but a sample may have several axes: sum over all of them; `.flatten(1)` makes each a row.",
)
def flow_sum_of_the_last_axis(model, schedule, z, t, noise):
    x, target, _ = along_the_path(schedule, z, t, noise)
    return (model(x, t) - target).square().sum(-1).mean()


@misconception(
    "conditional_flow_matching_loss",
    "alpha and beta changed places in x: alpha brings in the data z, beta takes out the noise.",
)
def flow_with_z_and_noise_exchanged(model, schedule, z, t, noise):
    x, _, _ = along_the_path(schedule, noise, t, z)
    _, target, _ = along_the_path(schedule, z, t, noise)
    return mean_square(model(x, t) - target)


@misconception(
    "conditional_flow_matching_loss",
    "The samples were added up too, so a batch twice as large gives a loss twice as large. Average over the samples.",
)
def flow_sum_of_all(model, schedule, z, t, noise):
    x, target, _ = along_the_path(schedule, z, t, noise)
    return (model(x, t) - target).square().sum()


@misconception(
    "conditional_flow_matching_loss",
    "The noise enters the target with the wrong sign. The derivative of beta is negative already where the noise "
    "decreases; the target is the plain time derivative of the path.",
)
def flow_minus_noise(model, schedule, z, t, noise):
    alpha, beta, d_alpha, d_beta = schedule(expand_time(t, z))
    return mean_square(model(alpha * z + beta * noise, t) - (d_alpha * z - d_beta * noise))


@misconception(
    "conditional_flow_matching_loss",
    "The target is data minus noise, which is the velocity for the linear schedule only. Others bring other "
    "derivatives of alpha and beta.",
)
def flow_straight_target(model, schedule, z, t, noise):
    x, _, _ = along_the_path(schedule, z, t, noise)
    return mean_square(model(x, t) - (z - noise))


@misconception(
    "conditional_flow_matching_loss",
    "The derivative of beta is missing from the target. It is -1 for the linear schedule, but not for others.",
)
def flow_forgets_d_beta(model, schedule, z, t, noise):
    alpha, beta, d_alpha, _ = schedule(expand_time(t, z))
    return mean_square(model(alpha * z + beta * noise, t) - (d_alpha * z - noise))


@misconception(
    "conditional_flow_matching_loss",
    "The target points backwards, from the data to the noise. Time runs from noise at 0 to data at 1.",
)
def flow_backwards(model, schedule, z, t, noise):
    x, target, _ = along_the_path(schedule, z, t, noise)
    return mean_square(model(x, t) + target)


@misconception(
    "conditional_flow_matching_loss",
    "The model was asked at the data z. It must not see them: it is asked at the place on the path at time t.",
)
def flow_asks_at_the_data(model, schedule, z, t, noise):
    _, target, _ = along_the_path(schedule, z, t, noise)
    return mean_square(model(z, t) - target)


@misconception(
    "conditional_flow_matching_loss",
    "The value is right, but it does not depend on the parameters any more: something cut it off (no_grad, detach, "
    "item, numpy), so nothing can be learned from it.",
)
def flow_without_gradient(model, schedule, z, t, noise):
    x, target, _ = along_the_path(schedule, z, t, noise)
    return mean_square(model(x, t).detach() - target)


# ---- train_step -----------------------------------------------------------------------------------------------------


@misconception(
    "train_step",
    "The first step is right and the later ones are not: the old gradients are still there, and backward adds to them. "
    "Clear them in every step.",
)
def never_clears(optimizer, loss):
    value = loss()
    value.backward()
    optimizer.step()
    return value.detach()


@misconception(
    "train_step",
    "The parameters do not move. Either the optimizer never steps, or the gradient has been cleared again before it "
    "does.",
)
def clears_before_the_step(optimizer, loss):
    value = loss()
    value.backward()
    optimizer.zero_grad()
    optimizer.step()
    return value.detach()


@misconception(
    "train_step",
    "The parameters are one step late: the optimizer steps before the gradient of this loss has been found, so it uses "
    "the one of the step before, and the first time none at all.",
)
def steps_before_backward(optimizer, loss):
    optimizer.step()
    optimizer.zero_grad()
    value = loss()
    value.backward()
    return value.detach()


@misconception(
    "train_step",
    "The training is right, but the loss that comes back still drags its whole computation along. Cut it off.",
)
def returns_the_graph(optimizer, loss):
    optimizer.zero_grad()
    value = loss()
    value.backward()
    optimizer.step()
    return value


@misconception(
    "train_step",
    "The loss was measured a second time after the step. That costs another pass, and it is the loss of other "
    "parameters and perhaps of another batch. Return the value that you took the gradient of.",
)
def measures_again(optimizer, loss):
    optimizer.zero_grad()
    loss().backward()
    optimizer.step()
    return loss().detach()


@misconception("train_step", "The training is right, but no loss comes back. The curve needs it.")
def returns_nothing(optimizer, loss):
    optimizer.zero_grad()
    loss().backward()
    optimizer.step()


# ---- sample_flow ----------------------------------------------------------------------------------------------------


def walk(step, u, x, times, sizes):
    """The last state after steps of these sizes at these times."""
    with torch.no_grad():
        for t, h in zip(times, sizes, strict=True):
            x = step(u, x, t, h)
    return x


def euler(u, x, t, h):
    return x + h * u(x, t)


@misconception(
    "sample_flow",
    "Every step is an Euler step, whatever rule was handed in. Use the rule: step(u, x, t, h) is the state at t + h.",
)
def flow_by_euler(u, x0, t, step):
    return walk(euler, u, x0, t[:-1], t.diff())


@misconception(
    "sample_flow", "All steps have the same size. The grid may be uneven: each step is as long as its own gap."
)
def flow_by_even_steps(u, x0, t, step):
    m = len(t) - 1
    return walk(step, u, x0, t[:-1], [(t[-1] - t[0]) / m] * m)


@misconception(
    "sample_flow", "The rule was handed the time at the end of each step. It is told the time where the step begins."
)
def flow_from_the_next_time(u, x0, t, step):
    return walk(step, u, x0, t[1:], t.diff())


@misconception("sample_flow", "One step too few: m + 1 grid points have m gaps, and the last one leads to t[-1].")
def flow_stops_early(u, x0, t, step):
    return walk(step, u, x0, t[:-2], t.diff()[:-1])


@misconception("sample_flow", "The whole trajectory came back. Only the states at the last time are asked for.")
def flow_returns_all_states(u, x0, t, step):
    return torch.stack([walk(step, u, x0, t[:k], t[: k + 1].diff()) for k in range(len(t))])


@misconception(
    "sample_flow",
    "The samples are right, but they still carry the gradient of every step, which costs memory at each of them. "
    "Compute without gradients.",
)
def flow_keeps_the_gradient(u, x0, t, step):
    x = x0
    for k in range(len(t) - 1):
        x = step(u, x, t[k], t[k + 1] - t[k])
    return x


# ---- energy_distance ------------------------------------------------------------------------------------------------


def distances(x, y):
    return torch.linalg.vector_norm(x[:, None] - y[None], dim=2)


@misconception("energy_distance", "The factor 2 before the distances between the two samples is missing.")
def energy_without_the_two(x, y):
    return float(distances(x, y).mean() - distances(x, x).mean() - distances(y, y).mean())


@misconception(
    "energy_distance",
    "Only the distances between the samples were counted, so a sample is far even from itself. Take off the distances "
    "within each of the two.",
)
def energy_between_only(x, y):
    return float(2 * distances(x, y).mean())


@misconception(
    "energy_distance",
    "The distances within the second sample are missing: the formula treats both samples alike.",
)
def energy_within_one_only(x, y):
    return float(2 * distances(x, y).mean() - distances(x, x).mean())


@misconception(
    "energy_distance",
    "The pairs (i, i) were left out. (3.7) divides by all n^2 pairs, those with distance zero too, so that the "
    "distance is never negative.",
)
def energy_without_the_diagonal(x, y):
    def within(x):
        return distances(x, x).sum() / max(1, len(x) * (len(x) - 1))

    return float(2 * distances(x, y).mean() - within(x) - within(y))


@misconception(
    "energy_distance",
    "The distances were squared. With squares, all that is left is twice the squared distance of the two means: the "
    "shape of the samples would not matter.",
)
def energy_of_squares(x, y):
    return float(
        2 * distances(x, y).square().mean() - distances(x, x).square().mean() - distances(y, y).square().mean()
    )


@misconception(
    "energy_distance",
    "The distances are sums of absolute differences. (3.7) has Euclidean distances, which agree with them in one "
    "dimension only.",
)
def energy_of_absolute_values(x, y):
    def mean(x, y):
        return (x[:, None] - y[None]).abs().sum(2).mean()

    return float(2 * mean(x, y) - mean(x, x) - mean(y, y))


@misconception("energy_distance", "This is the root of the energy distance. Here it is asked for as (3.7) has it.")
def energy_root(x, y):
    return float((2 * distances(x, y).mean() - distances(x, x).mean() - distances(y, y).mean()).clamp(min=0).sqrt())


# ---- target_test ----------------------------------------------------------------------------------------------------

DATA = torch.tensor([[1.0, -2.0, 0.4], [0.5, 3.0, -1.0], [-1.5, 0.7, 2.0], [0.2, -0.6, 1.1]], dtype=torch.float64)
NOISE = torch.tensor([[0.3, 1.1, -0.7], [-0.8, 0.2, 0.9], [1.7, -0.4, 0.1], [-0.2, 1.3, 0.6]], dtype=torch.float64)
TIMES = torch.tensor([0.2, 0.45, 0.7, 0.9], dtype=torch.float64)


def curved(t):
    return t**2, torch.exp(-t), 2 * t, -torch.exp(-t)


def straight(t):
    return t, 1 - t, torch.ones_like(t), -torch.ones_like(t)


def aware(x, t, w):
    return w * torch.sin(x) * (1 + t[:, None])


def blind_to_time(x, t, w):
    return w * torch.sin(x)


def blind_to_all(x, t, w):
    return w * torch.ones_like(x)


def agrees(loss, model=aware, schedule=curved, z=DATA, t=TIMES, noise=NOISE, value=True, slope=True):
    """Do value and slope of a loss agree with the right ones, on these inputs?"""

    def look(loss):
        w = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
        found = loss(functools.partial(model, w=w), schedule, z.clone(), t.clone(), noise.clone())
        (derivative,) = torch.autograd.grad(found, w) if found.requires_grad else (torch.zeros_like(w),)
        return found.detach(), derivative

    def right(model, schedule, z, t, noise):
        x, target, _ = along_the_path(schedule, z, t, noise)
        return mean_square(model(x, t) - target)

    (found, derivative), (good, good_derivative) = look(loss), look(right)
    return (not value or torch.allclose(found, good)) and (not slope or torch.allclose(derivative, good_derivative))


@misconception("target_test", "Every loss passes your test. What does a wrong loss return that a right one does not?")
def passes_everything(loss):
    return True


@misconception("target_test", "The answer is turned round: True is for a right loss and False for a wrong one.")
def answers_the_opposite(loss):
    return not agrees(loss)


@misconception(
    "target_test",
    "The test runs on the linear schedule only, whose derivatives are 1 and -1. A target that forgets them looks right "
    "there.",
)
def tests_the_linear_schedule(loss):
    return agrees(loss, schedule=straight)


@misconception(
    "target_test",
    "The model in the test takes no notice of x and t, so a loss that asks it at the wrong place or time goes unseen.",
)
def tests_a_blind_model(loss):
    return agrees(loss, model=blind_to_all)


@misconception(
    "target_test",
    "The model in the test takes no notice of the time, so a loss that hands over a wrong one goes unseen.",
)
def tests_without_time(loss):
    return agrees(loss, model=blind_to_time)


@misconception(
    "target_test",
    "The batch of the test has a single sample. Mistakes in what belongs to which sample need several that differ.",
)
def tests_one_sample(loss):
    return agrees(loss, z=DATA[:1], t=TIMES[:1], noise=NOISE[:1])


@misconception(
    "target_test",
    "All samples of the test have the same time, so a loss that takes one time for the whole batch goes unseen.",
)
def tests_one_time(loss):
    return agrees(loss, t=torch.full_like(TIMES, 0.7))


@misconception(
    "target_test",
    "The samples of the test have one dimension, where the sum over the dimensions and their mean are the same.",
)
def tests_one_dimension(loss):
    return agrees(loss, z=DATA[:, :1], noise=NOISE[:, :1])


@misconception(
    "target_test",
    "Only the value is tested. A loss can have the right value and still carry no gradient to learn from.",
)
def tests_the_value(loss):
    return agrees(loss, slope=False)


@misconception(
    "target_test",
    "Only the gradient is tested. A loss with the right gradient can still have a wrong value, and exercise 2 asks for "
    "the value as well.",
)
def tests_the_gradient(loss):
    return agrees(loss, value=False)


@misconception(
    "target_test",
    "The test asks only whether a perfect model gets zero. A loss with a wrong average, a wrong place for the model or "
    "no gradient gives zero as well.",
)
def tests_a_perfect_model(loss):
    _, target, _ = along_the_path(curved, DATA, TIMES, NOISE)
    value = loss(lambda x, t: target, curved, DATA.clone(), TIMES.clone(), NOISE.clone())
    return torch.allclose(value, torch.zeros_like(value))


# ---- denoising_score_matching_loss ----------------------------------------------------------------------------------


@misconception(
    "denoising_score_matching_loss",
    "The target has the wrong sign: the score points back from where the noise has pushed the sample.",
)
def score_with_the_wrong_sign(model, schedule, z, t, noise):
    x, _, beta = along_the_path(schedule, z, t, noise)
    return mean_square(model(x, t) - noise / beta)


@misconception(
    "denoising_score_matching_loss",
    "The noise was divided by beta squared. That belongs to x - alpha z, which is beta times the noise; the noise "
    "itself is divided by beta once.",
)
def score_with_beta_squared(model, schedule, z, t, noise):
    x, _, beta = along_the_path(schedule, z, t, noise)
    return mean_square(model(x, t) + noise / beta**2)


@misconception(
    "denoising_score_matching_loss",
    "Beta is missing from the target, which is that of noise prediction with a minus sign. The weaker the noise, the "
    "steeper the score.",
)
def score_without_beta(model, schedule, z, t, noise):
    x, _, _ = along_the_path(schedule, z, t, noise)
    return mean_square(model(x, t) + noise)


@misconception(
    "denoising_score_matching_loss",
    "This is the score of the noise around zero. Given z, the sample is spread around alpha z, so the score looks at "
    "the distance from there.",
)
def score_around_zero(model, schedule, z, t, noise):
    x, _, beta = along_the_path(schedule, z, t, noise)
    return mean_square(model(x, t) + x / beta**2)


@misconception(
    "denoising_score_matching_loss",
    "The error was multiplied by beta. That is a good idea, and the loss of the next exercise; (3.9) has no weight.",
)
def score_with_a_weight(model, schedule, z, t, noise):
    x, _, beta = along_the_path(schedule, z, t, noise)
    return mean_square(beta * model(x, t) + noise)


@misconception(
    "denoising_score_matching_loss",
    "The squares were averaged over the dimensions too. The squared norm of a sample is a sum; only the samples are "
    "averaged.",
)
def score_mean_of_all(model, schedule, z, t, noise):
    x, _, beta = along_the_path(schedule, z, t, noise)
    return (model(x, t) + noise / beta).square().mean()


@misconception(
    "denoising_score_matching_loss",
    "Right for points, but a sample may have several axes: sum over all of them; `.flatten(1)` makes each a row.",
)
def score_sum_of_the_last_axis(model, schedule, z, t, noise):
    x, _, beta = along_the_path(schedule, z, t, noise)
    return (model(x, t) + noise / beta).square().sum(-1).mean()


@misconception(
    "denoising_score_matching_loss",
    "alpha and beta changed places in x: alpha brings in the data z, beta takes out the noise.",
)
def score_with_z_and_noise_exchanged(model, schedule, z, t, noise):
    x, _, _ = along_the_path(schedule, noise, t, z)
    _, _, beta = along_the_path(schedule, z, t, noise)
    return mean_square(model(x, t) + noise / beta)


@misconception(
    "denoising_score_matching_loss",
    "The value is right, but it does not depend on the parameters any more: something cut it off (no_grad, detach, "
    "item, numpy), so nothing can be learned from it.",
)
def score_without_gradient(model, schedule, z, t, noise):
    x, _, beta = along_the_path(schedule, z, t, noise)
    return mean_square(model(x, t) + noise / beta).detach()


# ---- noise_prediction_loss ------------------------------------------------------------------------------------------


@misconception(
    "noise_prediction_loss",
    "The network was taught minus the noise. The minus sign belongs to the score; what is predicted here is the noise "
    "as it went in.",
)
def noise_with_the_wrong_sign(model, schedule, z, t, noise):
    x, _, _ = along_the_path(schedule, z, t, noise)
    return mean_square(model(x, t) + noise)


@misconception(
    "noise_prediction_loss",
    "The target was divided by beta: its size explodes near the data again. The point of predicting the noise is that "
    "the target has the same size at all times.",
)
def noise_divided_by_beta(model, schedule, z, t, noise):
    x, _, beta = along_the_path(schedule, z, t, noise)
    return mean_square(model(x, t) - noise / beta)


@misconception(
    "noise_prediction_loss",
    "The target is the noise times beta, the part of x that is noise. What is predicted is the noise before it was "
    "scaled.",
)
def noise_as_it_was_scaled(model, schedule, z, t, noise):
    x, _, beta = along_the_path(schedule, z, t, noise)
    return mean_square(model(x, t) - beta * noise)


@misconception(
    "noise_prediction_loss",
    "The target is the data: this is a denoiser's loss. The noise network says what was added to them.",
)
def noise_is_the_data(model, schedule, z, t, noise):
    x, _, _ = along_the_path(schedule, z, t, noise)
    return mean_square(model(x, t) - z)


@misconception(
    "noise_prediction_loss",
    "The model was asked at z + noise. On the path, data and noise are scaled by alpha and beta first.",
)
def noise_without_the_schedule(model, schedule, z, t, noise):
    return mean_square(model(z + noise, t) - noise)


@misconception(
    "noise_prediction_loss",
    "The squares were averaged over the dimensions too. The squared norm of a sample is a sum; only the samples are "
    "averaged.",
)
def noise_mean_of_all(model, schedule, z, t, noise):
    x, _, _ = along_the_path(schedule, z, t, noise)
    return (model(x, t) - noise).square().mean()


@misconception(
    "noise_prediction_loss",
    "Right for points, but a sample may have several axes: sum over all of them; `.flatten(1)` makes each a row.",
)
def noise_sum_of_the_last_axis(model, schedule, z, t, noise):
    x, _, _ = along_the_path(schedule, z, t, noise)
    return (model(x, t) - noise).square().sum(-1).mean()


@misconception(
    "noise_prediction_loss",
    "alpha and beta changed places in x: alpha brings in the data z, beta takes out the noise.",
)
def noise_with_z_and_noise_exchanged(model, schedule, z, t, noise):
    x, _, _ = along_the_path(schedule, noise, t, z)
    return mean_square(model(x, t) - noise)


@misconception(
    "noise_prediction_loss",
    "The value is right, but it does not depend on the parameters any more: something cut it off (no_grad, detach, "
    "item, numpy), so nothing can be learned from it.",
)
def noise_without_gradient(model, schedule, z, t, noise):
    x, _, _ = along_the_path(schedule, z, t, noise)
    return mean_square(model(x, t) - noise).detach()


# ---- score_from_noise -----------------------------------------------------------------------------------------------


@misconception(
    "score_from_noise",
    "The sign is turned round: noise has pushed the sample away from where the density is high, the score points back.",
)
def noise_score_with_the_wrong_sign(schedule, model, x, t):
    _, beta, _, _ = schedule(expand_time(t, x))
    return model(x, t) / beta


@misconception(
    "score_from_noise",
    "The noise was divided by beta squared. Beta squared is the variance, and divides x - alpha z; the noise is that "
    "divided by beta already.",
)
def noise_score_with_beta_squared(schedule, model, x, t):
    _, beta, _, _ = schedule(expand_time(t, x))
    return -model(x, t) / beta**2


@misconception("score_from_noise", "Beta is missing: the weaker the noise, the steeper the density, and the score.")
def noise_score_without_beta(schedule, model, x, t):
    return -model(x, t)


@misconception(
    "score_from_noise", "The noise was multiplied by beta, the way from the score to the noise. Back means to divide."
)
def noise_score_times_beta(schedule, model, x, t):
    _, beta, _, _ = schedule(expand_time(t, x))
    return -beta * model(x, t)


@misconception(
    "score_from_noise",
    "The noise was divided by alpha, which scales the data. In x = alpha z + beta noise it is beta that scales the "
    "noise.",
)
def noise_score_with_alpha(schedule, model, x, t):
    alpha, _, _, _ = schedule(expand_time(t, x))
    return -model(x, t) / alpha


@misconception(
    "score_from_noise",
    "This is right for the linear schedule only, where beta is 1 - t. Take beta from the schedule.",
)
def noise_score_of_the_linear_schedule(schedule, model, x, t):
    return -model(x, t) / (1 - expand_time(t, x))


# ---- score_from_velocity --------------------------------------------------------------------------------------------


def noise_from_velocity(schedule, model, x, t):
    """The expected noise, and the schedule's values."""
    now = alpha, beta, d_alpha, d_beta = schedule(expand_time(t, x))
    return (alpha * model(x, t) - d_alpha * x) / (alpha * d_beta - d_alpha * beta), now


@misconception(
    "score_from_velocity",
    "The sign is turned round. At time 0 the score must be -x; a sign may be lost in the denominator, or in going from "
    "the noise to the score.",
)
def velocity_score_with_the_wrong_sign(schedule, model, x, t):
    noise, (_, beta, _, _) = noise_from_velocity(schedule, model, x, t)
    return noise / beta


@misconception(
    "score_from_velocity",
    "This is minus the expected noise. The last step to the score is missing: divide by beta.",
)
def velocity_score_without_beta(schedule, model, x, t):
    noise, _ = noise_from_velocity(schedule, model, x, t)
    return -noise


@misconception(
    "score_from_velocity",
    "There is a beta too many in the denominator: the score is minus the expected noise divided by beta once.",
)
def velocity_score_with_beta_squared(schedule, model, x, t):
    noise, (_, beta, _, _) = noise_from_velocity(schedule, model, x, t)
    return -noise / beta**2


@misconception(
    "score_from_velocity",
    "Right for the linear schedule, where alpha is t, beta 1 - t and the derivatives are 1 and -1. Solve the two "
    "equations for any schedule.",
)
def velocity_score_of_the_linear_schedule(schedule, model, x, t):
    s = expand_time(t, x)
    return (s * model(x, t) - x) / (1 - s)


@misconception(
    "score_from_velocity",
    "The derivatives of alpha and beta were taken to be 1 and -1, as they are for the linear schedule only.",
)
def velocity_score_without_derivatives(schedule, model, x, t):
    alpha, beta, _, _ = schedule(expand_time(t, x))
    return (alpha * model(x, t) - x) / (alpha + beta) / beta


@misconception(
    "score_from_velocity",
    "The denominator adds the two products. Eliminate the data from the two equations once more: what is left before "
    "the noise is their difference.",
)
def velocity_score_with_a_sum(schedule, model, x, t):
    alpha, beta, d_alpha, d_beta = schedule(expand_time(t, x))
    return -(alpha * model(x, t) - d_alpha * x) / (alpha * d_beta + d_alpha * beta) / beta


@misconception(
    "score_from_velocity",
    "Alpha and beta changed places: this solves the two equations for the data, not for the noise.",
)
def velocity_score_from_the_data(schedule, model, x, t):
    alpha, beta, d_alpha, d_beta = schedule(expand_time(t, x))
    data = (beta * model(x, t) - d_beta * x) / (beta * d_alpha - d_beta * alpha)
    return -data / beta


# ---- sample_sde -----------------------------------------------------------------------------------------------------


def sde(u, score, sigma, x0, t, noise, weight=None, scale=None, sizes=None, late=0):
    """Euler-Maruyama; weight(sigma) multiplies the score, scale(sigma, h) the noise; sigma is asked at t[k + late]."""
    x = x0
    with torch.no_grad():
        for k, h in enumerate(t.diff() if sizes is None else sizes):
            s = sigma(t[k + late])
            drift = u(x, t[k]) + (s**2 / 2 if weight is None else weight(s)) * score(x, t[k])
            x = x + h * drift + (s * h**0.5 if scale is None else scale(s, h)) * noise[k]
    return x


@misconception(
    "sample_sde",
    "The score has no part in the drift, so the noise spreads the samples and nothing brings them back.",
)
def sde_without_score(u, score, sigma, x0, t, noise):
    return sde(u, score, sigma, x0, t, noise, weight=lambda s: 0)


@misconception(
    "sample_sde",
    "The score comes with half of sigma where (3.15) has half of its square: noise of variance sigma^2 h has to be "
    "balanced.",
)
def sde_with_sigma_in_the_drift(u, score, sigma, x0, t, noise):
    return sde(u, score, sigma, x0, t, noise, weight=lambda s: s / 2)


@misconception("sample_sde", "The score counts twice as much as it should: its factor is one half of sigma squared.")
def sde_without_the_half(u, score, sigma, x0, t, noise):
    return sde(u, score, sigma, x0, t, noise, weight=lambda s: s**2)


@misconception(
    "sample_sde",
    "The score has the wrong sign: it has to pull the samples back to where the density is high, against the noise.",
)
def sde_against_the_score(u, score, sigma, x0, t, noise):
    return sde(u, score, sigma, x0, t, noise, weight=lambda s: -(s**2) / 2)


@misconception(
    "sample_sde",
    "The noise was scaled by the step size. Its variance grows with h, so its standard deviation grows with the root.",
)
def sde_noise_scaled_by_h(u, score, sigma, x0, t, noise):
    return sde(u, score, sigma, x0, t, noise, scale=lambda s, h: s * h)


@misconception(
    "sample_sde",
    "The step size is missing before the noise, so finer grids bring more noise in all. Its variance in a step is "
    "sigma^2 h.",
)
def sde_noise_without_h(u, score, sigma, x0, t, noise):
    return sde(u, score, sigma, x0, t, noise, scale=lambda s, h: s)


@misconception(
    "sample_sde", "Every step got the same noise, that of the first one. There is one row of noise for each step."
)
def sde_with_the_same_noise(u, score, sigma, x0, t, noise):
    return sde(u, score, sigma, x0, t, noise[:1].expand_as(noise))


@misconception(
    "sample_sde",
    "Sigma was taken at the end of each step. Everything in an Euler-Maruyama step belongs to its beginning.",
)
def sde_sigma_at_the_end(u, score, sigma, x0, t, noise):
    return sde(u, score, sigma, x0, t, noise, late=1)


@misconception("sample_sde", "All steps have the same size. The grid may be uneven: each step is as long as its gap.")
def sde_by_even_steps(u, score, sigma, x0, t, noise):
    m = len(t) - 1
    return sde(u, score, sigma, x0, t, noise, sizes=[(t[-1] - t[0]) / m] * m)


@misconception(
    "sample_sde",
    "The samples are right, but they still carry the gradient of every step, which costs memory at each of them. "
    "Compute without gradients.",
)
def sde_keeps_the_gradient(u, score, sigma, x0, t, noise):
    x = x0
    for k, h in enumerate(t.diff()):
        s = sigma(t[k])
        x = x + h * (u(x, t[k]) + s**2 / 2 * score(x, t[k])) + s * h**0.5 * noise[k]
    return x


# ---- log_likelihood -------------------------------------------------------------------------------------------------


def carried(u, x, times, sizes, step=solvers.rk4_step):
    """The states and the integral of the divergence after steps of these sizes at these times."""

    def both(state, t):
        velocity, divergence = velocity_and_divergence(u, state[:, :-1], t)
        return torch.cat([velocity, divergence[:, None]], dim=1)

    state = torch.cat([x, torch.zeros_like(x[:, :1])], dim=1)
    for t, h in zip(times, sizes, strict=True):
        state = step(both, state, t, h)
    return state[:, :-1], state[:, -1]


def carried_back(u, x, t):
    return carried(u, x, t.flip(0)[:-1], -t.diff().flip(0))


@misconception(
    "log_likelihood",
    "The integral of the divergence has the wrong sign. It was run backwards, with negative steps, so l_0 has its "
    "minus sign already: where the flow spreads points out, the density must fall.",
)
def likelihood_with_the_wrong_sign(u, x, t, log_base):
    start, change = carried_back(u, x, t)
    return log_base(start) - change


@misconception(
    "log_likelihood",
    "The divergence is missing: this is the density of the place where the point came from. A flow that stretches the "
    "space thins the density out.",
)
def likelihood_without_divergence(u, x, t, log_base):
    start, _ = carried_back(u, x, t)
    return log_base(start)


@misconception(
    "log_likelihood",
    "The base density was asked at the points themselves. They live at the end of the flow, and the base density at "
    "its beginning.",
)
def likelihood_base_at_the_end(u, x, t, log_base):
    _, change = carried_back(u, x, t)
    return log_base(x) + change


@misconception(
    "log_likelihood",
    "The flow was run forwards from x. The points are where it ends: follow it backwards, from the last time to the "
    "first.",
)
def likelihood_forwards(u, x, t, log_base):
    end, change = carried(u, x, t[:-1], t.diff())
    return log_base(end) - change


@misconception(
    "log_likelihood",
    "The clock runs forwards while the steps go backwards: the first step back starts at the last time of the grid, "
    "and is as long as its last gap.",
)
def likelihood_with_the_clock_forwards(u, x, t, log_base):
    start, change = carried(u, x, t[:-1], -t.diff())
    return log_base(start) + change


@misconception(
    "log_likelihood",
    "The rule was handed the time at which each step arrives. Going back from t[k] to t[k-1], a step begins at t[k].",
)
def likelihood_from_the_wrong_time(u, x, t, log_base):
    start, change = carried(u, x, t.flip(0)[1:], -t.diff().flip(0))
    return log_base(start) + change


@misconception("log_likelihood", "This is the density. Leave it as a logarithm: densities overflow in high dimensions.")
def likelihood_without_the_logarithm(u, x, t, log_base):
    start, change = carried_back(u, x, t)
    return (log_base(start) + change).exp()


@misconception(
    "log_likelihood",
    "One step is missing: with m + 1 grid points there are m steps, and the last one leads to t[0].",
)
def likelihood_stops_early(u, x, t, log_base):
    start, change = carried_back(u, x, t[1:])
    return log_base(start) + change


@misconception("log_likelihood", "The steps are Euler's. The exercise asks for one `solvers.rk4_step` per interval.")
def likelihood_by_euler(u, x, t, log_base):
    start, change = carried(u, x, t.flip(0)[:-1], -t.diff().flip(0), solvers.euler_step)
    return log_base(start) + change


# ---- straightness ---------------------------------------------------------------------------------------------------


def off_the_line(xs, t):
    """The deviation of the velocity from that of the straight line, in each step."""
    return xs.diff(dim=0) / t.diff()[:, None, None] - (xs[-1] - xs[0])


@misconception(
    "straightness",
    "Every step counts the same, though the steps have different sizes. A mean over time weighs each step by its size.",
)
def straightness_mean_over_steps(xs, t):
    return off_the_line(xs, t).square().sum(2).mean().item()


@misconception(
    "straightness",
    "The squares were averaged over the dimensions too. The squared norm of a deviation is a sum; samples and time are "
    "averaged.",
)
def straightness_mean_over_dimensions(xs, t):
    return (t.diff() * off_the_line(xs, t).square().mean((1, 2))).sum().item()


@misconception(
    "straightness",
    "The samples were added up, so more of them make the paths look more crooked. Average over the samples.",
)
def straightness_sum_over_samples(xs, t):
    return (t.diff() * off_the_line(xs, t).square().sum((1, 2))).sum().item()


@misconception(
    "straightness",
    "The displacement of a step was compared with that of the whole path. Divide it by the size of the step: a "
    "velocity is a change per unit of time.",
)
def straightness_of_displacements(xs, t):
    return (t.diff() * (xs.diff(dim=0) - (xs[-1] - xs[0])).square().sum(2).mean(1)).sum().item()


@misconception(
    "straightness",
    "The distances were averaged as they are. (3.19) has their squares.",
)
def straightness_without_squares(xs, t):
    return (t.diff() * torch.linalg.vector_norm(off_the_line(xs, t), dim=2).mean(1)).sum().item()


@misconception(
    "straightness",
    "The deviations were summed over the steps, so a finer grid makes the paths look more crooked. Weigh each step by "
    "its size.",
)
def straightness_sum_over_steps(xs, t):
    return off_the_line(xs, t).square().sum(2).mean(1).sum().item()


@misconception(
    "straightness",
    "This is how far the places are from the straight line. A path can keep to the line and still change its speed; "
    "compare the velocities.",
)
def straightness_of_places(xs, t):
    line = xs[0] + (t - t[0])[:, None, None] * (xs[-1] - xs[0])
    return (t.diff() * (xs - line)[:-1].square().sum(2).mean(1)).sum().item()


# ---- ot_pairing -----------------------------------------------------------------------------------------------------


def pairs(cost):
    """The assignment of least total cost."""
    return torch.as_tensor(linear_sum_assignment(cost.numpy())[1])


@misconception(
    "ot_pairing",
    "Every x took the z that is nearest to it, so some z are taken twice and others never. Each belongs to just one.",
)
def nearest(x, z):
    return torch.cdist(x, z).argmin(1)


@misconception(
    "ot_pairing",
    "Each x in turn took the nearest z that was left. Whoever comes last gets what nobody wanted: the total can be far "
    "from the least.",
)
def greedy(x, z):
    cost = torch.cdist(x, z)
    indices: list[int] = []
    for row in cost:
        row = row.clone()
        row[indices] = torch.inf
        indices.append(int(row.argmin()))
    return torch.tensor(indices)


@misconception(
    "ot_pairing",
    "The total distance is least, but it is the total of the squared distances that is asked for. They differ: one "
    "long way costs more than two of half its length.",
)
def not_squared(x, z):
    return pairs(torch.cdist(x, z))


@misconception(
    "ot_pairing",
    "Both samples were sorted and paired by rank. That is the best pairing on a line, but with more coordinates there "
    "is no such order.",
)
def by_rank(x, z):
    indices = torch.empty(len(x), dtype=torch.int64)
    indices[x[:, 0].argsort()] = z[:, 0].argsort()
    return indices


@misconception(
    "ot_pairing",
    "The pairing is the right one, seen from the other side: your index i belongs to z[i]. Asked for is, for every "
    "x[i], the index of its z.",
)
def from_the_other_side(x, z):
    return pairs(torch.cdist(z, x).square())


@misconception("ot_pairing", "These are the points z themselves, in the order of their partners. Return their indices.")
def reordered(x, z):
    return z[pairs(torch.cdist(x, z).square())]


@misconception("ot_pairing", "These are the pairs with the largest total: the cost has the wrong sign.")
def farthest(x, z):
    return pairs(-torch.cdist(x, z).square())


# ---- reflow_pairs ---------------------------------------------------------------------------------------------------


@misconception(
    "reflow_pairs", "The two changed places: first the starts as they came in, then where the flow carries them."
)
def pairs_swapped(u, x0, t, step):
    return walk(step, u, x0, t[:-1], t.diff()), x0


@misconception("reflow_pairs", "Only the ends came back. A pair needs the start that belongs to each of them, too.")
def pairs_without_starts(u, x0, t, step):
    return walk(step, u, x0, t[:-1], t.diff())


@misconception(
    "reflow_pairs",
    "Both parts are the end of the flow: the start was overwritten on the way. Keep it, or walk with another name.",
)
def pairs_of_the_end(u, x0, t, step):
    x1 = walk(step, u, x0, t[:-1], t.diff())
    return x1, x1


@misconception(
    "reflow_pairs",
    "The ends are those of one Euler step from the starts. Follow the flow along the whole grid, with the rule that "
    "was handed in.",
)
def pairs_of_one_euler_step(u, x0, t, step):
    return x0, walk(euler, u, x0, t[:1], [t[-1] - t[0]])


@misconception(
    "reflow_pairs",
    "Every step is an Euler step, whatever rule was handed in. Use the rule: step(u, x, t, h) is the state at t + h.",
)
def pairs_by_euler(u, x0, t, step):
    return x0, walk(euler, u, x0, t[:-1], t.diff())


@misconception(
    "reflow_pairs", "All steps have the same size. The grid may be uneven: each step is as long as its own gap."
)
def pairs_by_even_steps(u, x0, t, step):
    m = len(t) - 1
    return x0, walk(step, u, x0, t[:-1], [(t[-1] - t[0]) / m] * m)


@misconception(
    "reflow_pairs",
    "The pairs are right, but the ends still carry the gradient of the flow that made them. For the next network they "
    "are data: compute them without gradients.",
)
def pairs_with_gradient(u, x0, t, step):
    return x0, flow_keeps_the_gradient(u, x0, t, step)
