"""Typical mistakes in Lab 1, ODEs and SDEs."""

import itertools
import math

import torch

from autograder.misconceptions import misconception
from course.shapes import expand_time

# ---- linear_flow ----------------------------------------------------------------------------------------------------


@misconception("linear_flow", "The sign is turned round: a field that points back to zero must make the state shrink.")
def grows(x0, t, theta):
    return x0 * torch.exp(theta * torch.as_tensor(expand_time(t, x0), dtype=x0.dtype))


@misconception(
    "linear_flow",
    "This is one Euler step over the whole time t, the tangent at time 0. The exact flow is the curve that it touches.",
)
def tangent(x0, t, theta):
    return x0 * (1 - theta * expand_time(t, x0))


@misconception("linear_flow", "The rate theta is missing: a larger theta must bring the state to zero faster.")
def forgets_the_rate(x0, t, theta):
    return x0 * torch.exp(-torch.as_tensor(expand_time(t, x0), dtype=x0.dtype))


@misconception(
    "linear_flow", "Theta divides where it should multiply. It is a rate, so theta * t has no unit; t / theta has one."
)
def divides_by_the_rate(x0, t, theta):
    return x0 * torch.exp(-torch.as_tensor(expand_time(t, x0), dtype=x0.dtype) / theta)


@misconception(
    "linear_flow",
    "The times landed on the last axis: t (n,) lines up with the coordinates, not with the samples. "
    "Give it one axis of length 1 for every axis of a sample, as course.expand_time does.",
)
def time_along_the_coordinates(x0, t, theta):
    return x0 * torch.exp(-theta * torch.as_tensor(t, dtype=x0.dtype))


@misconception(
    "linear_flow",
    "The times line up for vectors, but not for images: t needs as many trailing axes as a sample has, not just one. "
    "course.expand_time does this for any shape.",
)
def time_with_one_axis_only(x0, t, theta):
    t = torch.as_tensor(t, dtype=x0.dtype)
    return x0 * torch.exp(-theta * (t[:, None] if t.ndim else t))


@misconception("linear_flow", "All samples were moved by the time of the first one: with t (n,), each has its own.")
def one_time_for_all(x0, t, theta):
    return x0 * torch.exp(-theta * torch.as_tensor(t, dtype=x0.dtype).flatten()[0])


# ---- euler_step -----------------------------------------------------------------------------------------------------


@misconception(
    "euler_step",
    "The step size is missing: u is a velocity, a change per unit of time. How far does one get in a time h?",
)
def euler_forgets_the_step_size(u, x, t, h):
    return x + u(x, t)


@misconception("euler_step", "This is only the change over the step. Add it to the state that the step started from.")
def euler_returns_the_change(u, x, t, h):
    return h * u(x, t)


@misconception(
    "euler_step",
    "The field was asked at the end of the step, t + h. Euler's method uses the velocity at its beginning.",
)
def euler_time_at_the_end(u, x, t, h):
    return x + h * u(x, t + h)


@misconception("euler_step", "The step goes backwards: the state moves along the velocity, not against it.")
def euler_backwards(u, x, t, h):
    return x - h * u(x, t)


@misconception(
    "euler_step", "The change is too small by a factor of h: in Taylor's formula the velocity comes with h, not h^2."
)
def euler_squares_the_step_size(u, x, t, h):
    return x + h**2 * u(x, t)


@misconception("euler_step", "The arguments of the field changed places: it is u(x, t) with t the time, not the size.")
def euler_hands_over_the_step_size(u, x, t, h):
    return x + h * u(x, h)


@misconception(
    "euler_step",
    "This is the midpoint method: it looks at the field twice. Euler's method looks once, at the beginning of "
    "the step.",
)
def euler_takes_the_midpoint(u, x, t, h):
    return x + h * u(x + h / 2 * u(x, t), t + h / 2)


# ---- heun_step ------------------------------------------------------------------------------------------------------


@misconception(
    "heun_step",
    "This is the midpoint method, also of order 2. Heun's method averages the slopes at the two ends of the step.",
)
def heun_takes_the_midpoint(u, x, t, h):
    return x + h * u(x + h / 2 * u(x, t), t + h / 2)


@misconception(
    "heun_step",
    "The second slope belongs to the end of the step, but the field was still asked at time t. Move the time on "
    "as well.",
)
def heun_leaves_the_time(u, x, t, h):
    s1 = u(x, t)
    return x + h / 2 * (s1 + u(x + h * s1, t))


@misconception(
    "heun_step",
    "The second slope was taken at the end time, but at the old state. First predict where an Euler step would lead.",
)
def heun_leaves_the_state(u, x, t, h):
    return x + h / 2 * (u(x, t) + u(x, t + h))


@misconception("heun_step", "The two slopes were added, not averaged: in a constant field the step is twice too long.")
def heun_adds_the_slopes(u, x, t, h):
    s1 = u(x, t)
    return x + h * (s1 + u(x + h * s1, t + h))


@misconception(
    "heun_step",
    "Only the slope at the end of the step is used. Heun's method averages it with the one at the beginning.",
)
def heun_uses_the_last_slope_only(u, x, t, h):
    return x + h * u(x + h * u(x, t), t + h)


@misconception(
    "heun_step", "The prediction lacks the step size: to get to time t + h, one follows the slope for a time h."
)
def heun_predicts_without_the_step_size(u, x, t, h):
    s1 = u(x, t)
    return x + h / 2 * (s1 + u(x + s1, t + h))


@misconception(
    "heun_step",
    "The average slope was added to the predicted state. The final step starts again from x, where it began.",
)
def heun_steps_from_the_prediction(u, x, t, h):
    s1 = u(x, t)
    y = x + h * s1
    return y + h / 2 * (s1 + u(y, t + h))


@misconception(
    "heun_step",
    "State and time of the second slope do not belong together: a whole Euler step leads to time t + h, not t + h / 2.",
)
def heun_goes_halfway_in_time(u, x, t, h):
    s1 = u(x, t)
    return x + h / 2 * (s1 + u(x + h * s1, t + h / 2))


@misconception(
    "heun_step", "This is an Euler step. Heun's method takes a second slope at its end, and averages the two."
)
def heun_is_euler(u, x, t, h):
    return x + h * u(x, t)


# ---- rk4_step -------------------------------------------------------------------------------------------------------


def runge_kutta(u, x, t, h, nodes, matrix, weights):
    """An explicit Runge-Kutta step from its tableau."""
    slopes: list[torch.Tensor] = []
    for node, row in zip(nodes, matrix, strict=True):
        state = x + h * sum((a * s for a, s in zip(row, slopes, strict=True)), torch.zeros_like(x))
        slopes.append(u(state, t + node * h))
    return x + h * sum(b * s for b, s in zip(weights, slopes, strict=True))


NODES, MATRIX = (0, 1 / 2, 1 / 2, 1), ((), (1 / 2,), (0, 1 / 2), (0, 0, 1))
WEIGHTS = (1 / 6, 1 / 3, 1 / 3, 1 / 6)


@misconception(
    "rk4_step",
    "The four slopes have equal weights. The two in the middle count twice, as in Simpson's rule.",
)
def rk4_equal_weights(u, x, t, h):
    return runge_kutta(u, x, t, h, NODES, MATRIX, (1 / 4, 1 / 4, 1 / 4, 1 / 4))


@misconception(
    "rk4_step", "The weights are the wrong way round: the slopes in the middle count twice, not the outer ones."
)
def rk4_outer_slopes_count_twice(u, x, t, h):
    return runge_kutta(u, x, t, h, NODES, MATRIX, (1 / 3, 1 / 6, 1 / 6, 1 / 3))


@misconception(
    "rk4_step", "The weights do not add up to one: in a constant field all slopes agree, and the step is too short."
)
def rk4_divides_by_eight(u, x, t, h):
    return runge_kutta(u, x, t, h, NODES, MATRIX, (1 / 8, 1 / 4, 1 / 4, 1 / 8))


@misconception(
    "rk4_step",
    "The last slope was taken halfway. It belongs to the end of the step: a whole step in time and in state.",
)
def rk4_last_slope_halfway(u, x, t, h):
    return runge_kutta(u, x, t, h, (0, 1 / 2, 1 / 2, 1 / 2), ((), (1 / 2,), (0, 1 / 2), (0, 0, 1 / 2)), WEIGHTS)


@misconception(
    "rk4_step",
    "The last slope's state is at the end of the step, but its time is still the middle: move both on to t + h.",
)
def rk4_last_time_halfway(u, x, t, h):
    return runge_kutta(u, x, t, h, (0, 1 / 2, 1 / 2, 1 / 2), MATRIX, WEIGHTS)


@misconception(
    "rk4_step",
    "The last slope's time is the end of the step, but its state is only halfway there: follow the third slope for "
    "the whole of h.",
)
def rk4_last_state_halfway(u, x, t, h):
    return runge_kutta(u, x, t, h, NODES, ((), (1 / 2,), (0, 1 / 2), (0, 0, 1 / 2)), WEIGHTS)


@misconception(
    "rk4_step",
    "The slopes were added, not averaged: the weights 1, 2, 2, 1 add up to six, and in a constant field the step is "
    "six times too long.",
)
def rk4_adds_the_slopes(u, x, t, h):
    return runge_kutta(u, x, t, h, NODES, MATRIX, (1, 2, 2, 1))


@misconception(
    "rk4_step",
    "The two slopes in the middle were taken at time t. Half a step in the state is half a step in time, too.",
)
def rk4_middle_slopes_at_the_start(u, x, t, h):
    return runge_kutta(u, x, t, h, (0, 0, 0, 1), MATRIX, WEIGHTS)


@misconception("rk4_step", "All four slopes were taken at time t. Each has its own: t, twice t + h / 2, and t + h.")
def rk4_time_stands_still(u, x, t, h):
    return runge_kutta(u, x, t, h, (0, 0, 0, 0), MATRIX, WEIGHTS)


@misconception(
    "rk4_step",
    "The third slope starts from the first one, so it repeats the second. Each slope builds on the one before.",
)
def rk4_third_slope_from_the_first(u, x, t, h):
    return runge_kutta(u, x, t, h, NODES, ((), (1 / 2,), (1 / 2, 0), (0, 0, 1)), WEIGHTS)


@misconception("rk4_step", "The last slope starts from the second one. Each slope builds on the one just before it.")
def rk4_last_slope_from_the_second(u, x, t, h):
    return runge_kutta(u, x, t, h, NODES, ((), (1 / 2,), (0, 1 / 2), (0, 1, 0)), WEIGHTS)


@misconception(
    "rk4_step",
    "The middle slopes were taken after a whole step in the state, where half a step leads to time t + h / 2.",
)
def rk4_whole_steps_to_the_middle(u, x, t, h):
    return runge_kutta(u, x, t, h, NODES, ((), (1,), (0, 1), (0, 0, 1)), WEIGHTS)


@misconception(
    "rk4_step",
    "This is Kutta's 3/8 rule, a fine method of order 4, but not the one asked for: the classical one looks "
    "twice at the "
    "middle of the step.",
)
def rk4_three_eighths(u, x, t, h):
    matrix = ((), (1 / 3,), (-1 / 3, 1), (1, -1, 1))
    return runge_kutta(u, x, t, h, (0, 1 / 3, 2 / 3, 1), matrix, (1 / 8, 3 / 8, 3 / 8, 1 / 8))


# ---- simulate -------------------------------------------------------------------------------------------------------


def trajectory(step, x, times, sizes):
    xs = [x]
    for t, h in zip(times, sizes, strict=True):
        xs.append(step(xs[-1], t, h))
    return torch.stack(xs)


@misconception(
    "simulate", "One step too few: m + 1 grid points have m gaps, and the last state belongs to the last time."
)
def simulate_stops_early(step, x, t):
    return trajectory(step, x, t[:-2], t.diff()[:-1])


@misconception(
    "simulate", "The initial state is missing: row 0 of the trajectory is the state at t[0], before any step."
)
def simulate_leaves_out_the_start(step, x, t):
    return trajectory(step, x, t[:-1], t.diff())[1:]


@misconception(
    "simulate", "Only the last state came back. Keep every state on the way, one row for each time of the grid."
)
def simulate_returns_the_last_state(step, x, t):
    return trajectory(step, x, t[:-1], t.diff())[-1]


@misconception(
    "simulate",
    "The rule was handed the time at the end of each step. A step from t[k] to t[k+1] is told where it begins.",
)
def simulate_hands_over_the_next_time(step, x, t):
    return trajectory(step, x, t[1:], t.diff())


@misconception(
    "simulate", "All steps have the same size. The grid may be uneven: each step is as long as its own gap in the grid."
)
def simulate_makes_even_steps(step, x, t):
    m = len(t) - 1
    return trajectory(step, x, t[:-1], [(t[-1] - t[0]) / m] * m)


@misconception(
    "simulate",
    "Every step is as long as the first one. The grid may be uneven: each step is as long as its own gap in the grid.",
)
def simulate_repeats_the_first_size(step, x, t):
    return trajectory(step, x, t[:-1], [t[1] - t[0]] * (len(t) - 1))


@misconception(
    "simulate", "The rule was handed the number of the step, k, as the time. The time at which step k begins is t[k]."
)
def simulate_hands_over_the_index(step, x, t):
    return trajectory(step, x, range(len(t) - 1), t.diff())


@misconception("simulate", "The clock stands still: every step was told the time t[0]. Step k begins at time t[k].")
def simulate_stops_the_clock(step, x, t):
    return trajectory(step, x, [t[0]] * (len(t) - 1), t.diff())


@misconception(
    "simulate",
    "Time was counted from zero. The grid may begin later, and the field must be asked at the grid's own times.",
)
def simulate_counts_time_from_zero(step, x, t):
    return trajectory(step, x, t[:-1] - t[0], t.diff())


@misconception(
    "simulate", "The rule was handed the next time where it wants the step size: how far is it from t[k] to t[k+1]?"
)
def simulate_hands_over_a_time_as_size(step, x, t):
    return trajectory(step, x, t[:-1], t[1:])


@misconception(
    "simulate", "Every step starts from the initial state again. Each one must start where the last one ended."
)
def simulate_starts_again(step, x, t):
    return torch.stack([x] + [step(x, t[k], t[k + 1] - t[k]) for k in range(len(t) - 1)])


@misconception(
    "simulate",
    "The loop counts samples, not times: len(x) is the size of the batch. There is one step for each gap in t.",
)
def simulate_loops_over_the_batch(step, x, t):
    return trajectory(step, x, t[: len(x)], t.diff()[: len(x)])


@misconception(
    "simulate", "Time is on the second axis. The trajectory's first axis is time, its second one the samples."
)
def simulate_stacks_along_the_batch(step, x, t):
    return trajectory(step, x, t[:-1], t.diff()).transpose(0, 1)


@misconception(
    "simulate",
    "All rows are the last state: the same tensor was kept again and again and overwritten by every step. "
    "Keep a new tensor, or a copy, for each time.",
)
def simulate_keeps_one_tensor(step, x, t):
    return trajectory(step, x, t[:-1], t.diff())[-1:].repeat(len(t), *[1] * x.ndim)


# ---- convergence_order ----------------------------------------------------------------------------------------------


def slope(a, b):
    a, b = a.double() - a.double().mean(), b.double() - b.double().mean()
    return float((a * b).sum() / (a * a).sum())


@misconception(
    "convergence_order", "The sign is turned round: errors that shrink together with h have a positive order."
)
def negative_slope(h, errors):
    return -slope(h.log(), errors.log())


@misconception(
    "convergence_order",
    "Only the first and the last point were used. The least-squares slope takes all of them into account.",
)
def slope_of_the_end_points(h, errors):
    return float((errors[-1] / errors[0]).log() / (h[-1] / h[0]).log())


@misconception(
    "convergence_order",
    "This is the average of the slopes between neighbours. The least-squares line is fitted to all points at once.",
)
def mean_of_the_slopes(h, errors):
    return float((errors.log().diff() / h.log().diff()).mean())


@misconception("convergence_order", "Only the errors were put on a logarithmic scale: it is log error against log h.")
def logarithm_of_the_errors_only(h, errors):
    return slope(h, errors.log())


@misconception(
    "convergence_order", "Only the step sizes were put on a logarithmic scale: it is log error against log h."
)
def logarithm_of_the_steps_only(h, errors):
    return slope(h.log(), errors)


@misconception(
    "convergence_order",
    "This is the slope of the errors themselves. A power law becomes a straight line in logarithms.",
)
def no_logarithms(h, errors):
    return slope(h, errors)


@misconception(
    "convergence_order",
    "The line was forced through the origin. In errors = C h^p the constant C shifts the line: let it have an "
    "intercept.",
)
def line_through_the_origin(h, errors):
    a, b = h.double().log(), errors.double().log()
    return float((a * b).sum() / (a * a).sum())


@misconception(
    "convergence_order",
    "The axes changed places: it is the slope of log error against log h, not of log h against log error.",
)
def axes_exchanged(h, errors):
    return slope(errors.log(), h.log())


@misconception(
    "convergence_order",
    "This is the intercept of the line, the logarithm of the constant in front. The order is the slope.",
)
def intercept(h, errors):
    return float(errors.log().mean()) - slope(h.log(), errors.log()) * float(h.log().mean())


@misconception(
    "convergence_order",
    "Taking the logarithm to base 2 of how much the errors shrink is right only if each step is half of the one "
    "before; "
    "here they need not be.",
)
def assumes_halving(h, errors):
    return float((errors[:-1] / errors[1:]).log2().mean())


# ---- amplification_factor -------------------------------------------------------------------------------------------


def series(z, coefficients):
    return sum(c * z**k for k, c in enumerate(coefficients))


def inverse_factorials(order):
    return [1 / math.factorial(k) for k in range(order + 1)]


@misconception(
    "amplification_factor", "The factorials are missing: the term z^k of the exponential series is divided by k!."
)
def no_factorials(z, order):
    return series(z, [1] * (order + 1))


@misconception(
    "amplification_factor", "The terms are divided by k, not by k! = 1 * 2 * ... * k; the two agree up to k = 2."
)
def divides_by_k(z, order):
    return series(z, [1 / max(k, 1) for k in range(order + 1)])


@misconception(
    "amplification_factor",
    "The sum stops one term early: order p goes up to and including z^p. What does range leave out?",
)
def one_term_too_few(z, order):
    return series(z, inverse_factorials(order - 1)) + torch.zeros_like(z)


@misconception(
    "amplification_factor", "There is one term too many: a method of order p agrees with e^z up to z^p, no further."
)
def one_term_too_many(z, order):
    return series(z, inverse_factorials(order + 1))


@misconception(
    "amplification_factor", "The term for k = 0 is missing. With z = 0 nothing happens in a step, so R(0) must be 1."
)
def no_constant_term(z, order):
    return series(z, inverse_factorials(order)) - 1


@misconception(
    "amplification_factor", "e^z is what the exact solution is multiplied by. One step follows only its first terms."
)
def the_whole_exponential(z, order):
    return torch.exp(z)


@misconception(
    "amplification_factor", "This is |R(z)|. Return R(z) itself, with its sign or phase; the size is taken afterwards."
)
def absolute_value(z, order):
    return series(z, inverse_factorials(order)).abs()


@misconception(
    "amplification_factor",
    "z has the wrong sign. z = h * lambda already carries the sign of lambda, negative for a decay.",
)
def sign_of_z(z, order):
    return series(-z, inverse_factorials(order))


@misconception(
    "amplification_factor",
    "This is `order` Euler steps of size h / order in a row, which still have order 1. One step of order p follows e^z "
    "up to z^p.",
)
def many_euler_steps(z, order):
    return (1 + z / order) ** order


# ---- loop_test ------------------------------------------------------------------------------------------------------


UNEVEN = torch.tensor([0.5, 0.6, 0.9, 1.6, 2.1], dtype=torch.float64)
EVEN = torch.linspace(0.5, 2.5, 5, dtype=torch.float64)
STATES = torch.tensor([[1.0, -2.0], [0.3, 2.5], [-1.0, 0.5]], dtype=torch.float64)


def any_rule(x, t, h):
    return x * torch.cos(t) + h * x.flip(-1)


def expected(step, x, t):
    return trajectory(step, x, t[:-1], t.diff())


def agree(simulate, step, t, atol=1e-8):
    xs, right = simulate(step, STATES.clone(), t), expected(step, STATES, t)
    return xs.shape == right.shape and torch.allclose(xs, right, rtol=0, atol=atol)


@misconception("loop_test", "Every loop passes your test. What does a wrong loop return that a right one does not?")
def passes_everything(simulate):
    return True


@misconception(
    "loop_test",
    "Only the shape of the trajectory is tested. A wrong loop may return the right number of wrong states.",
)
def tests_the_shape(simulate):
    return simulate(any_rule, STATES.clone(), UNEVEN).shape == (5, 3, 2)


@misconception(
    "loop_test",
    "The test runs on an even grid only. There, a loop that mixes up its step sizes looks right: take steps that "
    "differ.",
)
def tests_an_even_grid(simulate):
    return agree(simulate, any_rule, EVEN)


@misconception(
    "loop_test",
    "The step rule in the test takes no notice of the time, so a loop that hands over the wrong time goes unseen.",
)
def tests_without_time(simulate):
    return agree(simulate, lambda x, t, h: x + h * torch.sin(x.flip(-1)), UNEVEN)


@misconception(
    "loop_test",
    "The step rule in the test takes no notice of the state, so a loop that steps from the wrong state goes unseen.",
)
def tests_without_state(simulate):
    return agree(simulate, lambda x, t, h: torch.zeros_like(x) + t + h, UNEVEN)


@misconception(
    "loop_test",
    "Only the last state is tested. A loop can arrive at the right end and still return wrong or missing rows "
    "before it.",
)
def tests_the_end(simulate):
    return torch.allclose(simulate(any_rule, STATES.clone(), UNEVEN)[-1], expected(any_rule, STATES, UNEVEN)[-1])


@misconception("loop_test", "Only the first row, the initial state, is tested. Most mistakes happen after it.")
def tests_the_start(simulate):
    return torch.allclose(simulate(any_rule, STATES.clone(), UNEVEN)[0], STATES)


@misconception(
    "loop_test",
    "The test runs a single step. Mistakes in going from one step to the next, and in unequal steps, need several.",
)
def tests_one_step(simulate):
    return agree(simulate, any_rule, UNEVEN[:2])


@misconception(
    "loop_test",
    "The tolerance is so wide that wrong trajectories pass. A right loop differs from the exact rows by rounding only.",
)
def tests_too_loosely(simulate):
    return agree(simulate, lambda x, t, h: x + 0.1 * h * t * x, UNEVEN, atol=0.2)


@misconception(
    "loop_test",
    "The test demands equality to the last bit, so a right loop that rounds differently fails. Allow for rounding.",
)
def tests_every_bit(simulate):
    x, t = STATES.float(), UNEVEN.float()
    return torch.equal(simulate(any_rule, x.clone(), t), expected(any_rule, x, t))


@misconception(
    "loop_test",
    "Right loops fail your test too. If it compares with the exact solution while the rule makes an error of its own, "
    "that error is not the loop's fault: choose a rule that is exact. If your rule is exact: is row 0 of your "
    "expectation x itself, and do you allow for rounding (torch.allclose)?",
)
def tests_the_rule_as_well(simulate):
    xs = simulate(lambda x, t, h: x - h * x, STATES.clone(), UNEVEN)
    exact = STATES * torch.exp(UNEVEN[0] - UNEVEN).reshape(-1, 1, 1)
    return xs.shape == exact.shape and torch.allclose(xs, exact)


@misconception("loop_test", "The answer is turned round: True is for a right loop and False for a wrong one.")
def answers_the_opposite(simulate):
    return not agree(simulate, any_rule, UNEVEN)


# ---- brownian_path --------------------------------------------------------------------------------------------------


def sizes(t):
    return t.diff().reshape(-1, 1, 1)


def from_zero(increments):
    return torch.cat([torch.zeros_like(increments[:1]), increments.cumsum(0)])


@misconception(
    "brownian_path",
    "The increments were scaled by h. It is the variance of an increment that is h: what is its standard deviation?",
)
def path_scaled_by_h(t, noise):
    return from_zero(sizes(t) * noise)


@misconception(
    "brownian_path",
    "The step sizes are missing: an increment over a time h has variance h, standard normals have variance 1.",
)
def path_without_step_sizes(t, noise):
    return from_zero(noise)


@misconception("brownian_path", "The first row is missing: the path starts with W = 0 at t[0], so it has m + 1 rows.")
def path_without_start(t, noise):
    return (sizes(t).sqrt() * noise).cumsum(0)


@misconception(
    "brownian_path",
    "Each W has the right variance, but it was drawn anew at every time. A path adds up its increments.",
)
def path_of_independent_values(t, noise):
    return torch.cat([torch.zeros_like(noise[:1]), (t[1:] - t[0]).sqrt().reshape(-1, 1, 1) * noise])


@misconception("brownian_path", "These are the increments. The path is their sum up to each time.")
def path_of_increments(t, noise):
    return torch.cat([torch.zeros_like(noise[:1]), sizes(t).sqrt() * noise])


@misconception(
    "brownian_path",
    "The increments were added up over the samples. Time is the first axis, and different paths are independent.",
)
def path_summed_over_samples(t, noise):
    return torch.cat([torch.zeros_like(noise[:1]), (sizes(t).sqrt() * noise).cumsum(1)])


@misconception(
    "brownian_path",
    "The noise was added up first and scaled by the root of the time afterwards. Scale each increment, then add.",
)
def path_scaled_after_the_sum(t, noise):
    return (t - t[0]).sqrt().reshape(-1, 1, 1) * from_zero(noise)


@misconception(
    "brownian_path",
    "The sum of the noise was scaled by the root of the last step size alone. Each increment has its own step size: "
    "scale it before it is added.",
)
def path_scaled_by_the_last_step(t, noise):
    return from_zero(noise) * torch.cat([sizes(t)[:1], sizes(t)]).sqrt()


@misconception(
    "brownian_path",
    "The sum of the noise was scaled by the root of t. Scale each increment by the root of its own step size, then "
    "add; and mind that W is zero at t[0], whatever t[0] is.",
)
def path_times_the_root_of_time(t, noise):
    return t.sqrt().reshape(-1, 1, 1) * from_zero(noise)


@misconception("brownian_path", "All increments have the same size. On an uneven grid, each has its own step size.")
def path_with_even_steps(t, noise):
    return from_zero(((t[-1] - t[0]) / (len(t) - 1)).sqrt() * noise)


@misconception(
    "brownian_path",
    "The increments were scaled by the root of the time itself. What counts is how much time passes between two rows.",
)
def path_scaled_by_the_time(t, noise):
    return from_zero(t[1:].sqrt().reshape(-1, 1, 1) * noise)


# ---- coarsen_noise --------------------------------------------------------------------------------------------------


def blocks(noise, factor):
    return noise.reshape(-1, factor, *noise.shape[1:])


@misconception(
    "coarsen_noise",
    "Averaging divides by the factor and makes the path too quiet: a mean of r standard normals has variance 1 / r.",
)
def coarse_mean(noise, factor):
    return blocks(noise, factor).mean(1)


@misconception(
    "coarsen_noise",
    "A sum of r standard normals has variance r. To be standard normal again it must be divided by its root.",
)
def coarse_sum(noise, factor):
    return blocks(noise, factor).sum(1)


@misconception(
    "coarsen_noise",
    "Only the first number of each block is used. That is fine noise, but of another path: a large step must "
    "move as far "
    "as all its small steps together.",
)
def coarse_stride(noise, factor):
    return noise[::factor]


@misconception(
    "coarsen_noise", "Only the last number of each block is used. A large step is the sum of all its small ones."
)
def coarse_last(noise, factor):
    return noise[factor - 1 :: factor]


@misconception(
    "coarsen_noise",
    "The wrong numbers were put together: a large step consists of neighbours in time, not of every so-many-th row.",
)
def coarse_of_distant_steps(noise, factor):
    return noise.reshape(factor, -1, *noise.shape[1:]).sum(0) / math.sqrt(factor)


@misconception(
    "coarsen_noise",
    "The sum was divided by the root of the number of large steps. How many numbers does each sum have?",
)
def coarse_divided_by_steps(noise, factor):
    return blocks(noise, factor).sum(1) / math.sqrt(len(noise) / factor)


@misconception(
    "coarsen_noise",
    "The sum was multiplied by the root of the factor. The variance is already too large: bring it down to 1.",
)
def coarse_multiplied(noise, factor):
    return blocks(noise, factor).sum(1) * math.sqrt(factor)


# ---- euler_maruyama_step --------------------------------------------------------------------------------------------


@misconception(
    "euler_maruyama_step",
    "The noise was scaled by h. The variance of a Brownian increment is h, so its size is the root of h.",
)
def noise_scaled_by_h(u, sigma, x, t, h, noise):
    return x + h * u(x, t) + sigma(t) * h * noise


@misconception(
    "euler_maruyama_step",
    "The noise is as large for a short step as for a long one. How does a Brownian increment grow with h?",
)
def noise_without_step_size(u, sigma, x, t, h, noise):
    return x + h * u(x, t) + sigma(t) * noise


@misconception(
    "euler_maruyama_step",
    "sigma was squared. It is the factor in front of dW itself; sigma squared appears in the variance.",
)
def noise_with_sigma_squared(u, sigma, x, t, h, noise):
    return x + h * u(x, t) + sigma(t) ** 2 * h**0.5 * noise


@misconception("euler_maruyama_step", "The root was taken of sigma as well. Only the step size comes under the root.")
def noise_with_root_of_sigma(u, sigma, x, t, h, noise):
    return x + h * u(x, t) + (sigma(t) * h) ** 0.5 * noise


@misconception(
    "euler_maruyama_step",
    "sigma was asked at the end of the step. Like the drift, it is taken at time t, before the noise is known.",
)
def sigma_at_the_end(u, sigma, x, t, h, noise):
    return x + h * u(x, t) + sigma(t + h) * h**0.5 * noise


@misconception(
    "euler_maruyama_step", "sigma is missing: the noise must be scaled by sigma(t), and vanish where it is zero."
)
def forgets_sigma(u, sigma, x, t, h, noise):
    return x + h * u(x, t) + h**0.5 * noise


@misconception("euler_maruyama_step", "The step size is missing in the drift, which is a change per unit of time.")
def drift_without_step_size(u, sigma, x, t, h, noise):
    return x + u(x, t) + sigma(t) * h**0.5 * noise


@misconception(
    "euler_maruyama_step", "The drift was scaled by the root of h as well. Only the noise is; the drift comes with h."
)
def drift_scaled_by_the_root(u, sigma, x, t, h, noise):
    return x + h**0.5 * (u(x, t) + sigma(t) * noise)


@misconception(
    "euler_maruyama_step",
    "The drift was asked at the state that already has the noise in it. Take it at x, before the step.",
)
def drift_after_the_noise(u, sigma, x, t, h, noise):
    y = x + sigma(t) * h**0.5 * noise
    return y + h * u(y, t)


@misconception(
    "euler_maruyama_step", "All samples were given the noise of the first one. Each has its own row of noise."
)
def noise_shared_by_the_batch(u, sigma, x, t, h, noise):
    return x + h * u(x, t) + sigma(t) * h**0.5 * noise[:1]


@misconception(
    "euler_maruyama_step", "The drift has the wrong sign: it moves the state along u(x, t), as in an Euler step."
)
def drift_subtracted(u, sigma, x, t, h, noise):
    return x - h * u(x, t) + sigma(t) * h**0.5 * noise


@misconception(
    "euler_maruyama_step",
    "The noise was subtracted. That has the same law, but it is another path than the one that the noise belongs to.",
)
def noise_subtracted(u, sigma, x, t, h, noise):
    return x + h * u(x, t) - sigma(t) * h**0.5 * noise


@misconception("euler_maruyama_step", "The drift is missing: without noise, the step must be an Euler step.")
def forgets_the_drift(u, sigma, x, t, h, noise):
    return x + sigma(t) * h**0.5 * noise


@misconception("euler_maruyama_step", "There is no noise in this step: it is Euler's method for the drift alone.")
def forgets_the_noise(u, sigma, x, t, h, noise):
    return x + h * u(x, t)


# ---- milstein_step --------------------------------------------------------------------------------------------------


@misconception(
    "milstein_step",
    "This is Euler-Maruyama: the correction that knows how the noise changes with the state is missing.",
)
def milstein_without_correction(u, b, db, x, t, h, noise):
    return x + h * u(x, t) + b(x, t) * h**0.5 * noise


def with_correction(u, b, x, t, h, noise, correction):
    return x + h * u(x, t) + b(x, t) * h**0.5 * noise + correction


@misconception(
    "milstein_step",
    "The correction must be zero on average, or it adds a drift of its own. What is the mean of the squared noise?",
)
def milstein_without_minus_one(u, b, db, x, t, h, noise):
    return with_correction(u, b, x, t, h, noise, h / 2 * b(x, t) * db(x, t) * noise**2)


@misconception(
    "milstein_step", "The correction is twice too large: the double integral of W dW brings a factor of one half."
)
def milstein_without_half(u, b, db, x, t, h, noise):
    return with_correction(u, b, x, t, h, noise, h * b(x, t) * db(x, t) * (noise**2 - 1))


@misconception(
    "milstein_step",
    "b is missing in the correction. The noise changes by db times how far it moved x, which has b in it.",
)
def milstein_without_b(u, b, db, x, t, h, noise):
    return with_correction(u, b, x, t, h, noise, h / 2 * db(x, t) * (noise**2 - 1))


@misconception(
    "milstein_step", "The derivative of b is missing in the correction: noise that does not depend on x needs none."
)
def milstein_without_db(u, b, db, x, t, h, noise):
    return with_correction(u, b, x, t, h, noise, h / 2 * b(x, t) * (noise**2 - 1))


@misconception(
    "milstein_step", "The correction has the root of h. It is quadratic in the increment of W, so it has the size of h."
)
def milstein_with_root_of_h(u, b, db, x, t, h, noise):
    return with_correction(u, b, x, t, h, noise, h**0.5 / 2 * b(x, t) * db(x, t) * (noise**2 - 1))


@misconception(
    "milstein_step",
    "h was taken away from the squared standard normal. The increment of W squared minus h is right, and that is "
    "h times "
    "the squared noise minus one.",
)
def milstein_minus_h(u, b, db, x, t, h, noise):
    return with_correction(u, b, x, t, h, noise, b(x, t) * db(x, t) * (noise**2 - h) / 2)


@misconception("milstein_step", "The correction has the wrong sign.")
def milstein_with_wrong_sign(u, b, db, x, t, h, noise):
    return with_correction(u, b, x, t, h, noise, h / 2 * b(x, t) * db(x, t) * (1 - noise**2))


# ---- ornstein_uhlenbeck_moments -------------------------------------------------------------------------------------


def moments(x0, t, theta, sigma):
    return math.exp(-theta * t) * x0, sigma**2 / (2 * theta) * (1 - math.exp(-2 * theta * t))


@misconception("ornstein_uhlenbeck_moments", "The second number is the standard deviation. The variance is its square.")
def returns_the_standard_deviation(x0, t, theta, sigma):
    mean, variance = moments(x0, t, theta, sigma)
    return mean, math.sqrt(variance)


@misconception(
    "ornstein_uhlenbeck_moments",
    "The variance is twice too large: integrating an exponential with the rate 2 theta divides by 2 theta.",
)
def variance_without_two(x0, t, theta, sigma):
    mean, variance = moments(x0, t, theta, sigma)
    return mean, 2 * variance


@misconception(
    "ornstein_uhlenbeck_moments",
    "The variance relaxes at the wrong rate: it is quadratic in X, so its exponential decays twice as fast as "
    "the mean's.",
)
def variance_with_single_rate(x0, t, theta, sigma):
    return math.exp(-theta * t) * x0, sigma**2 / (2 * theta) * (1 - math.exp(-theta * t))


@misconception(
    "ornstein_uhlenbeck_moments",
    "The bracket was squared as a whole. It is the exponential inside the integral that is squared.",
)
def variance_with_squared_bracket(x0, t, theta, sigma):
    return math.exp(-theta * t) * x0, sigma**2 / (2 * theta) * (1 - math.exp(-theta * t)) ** 2


@misconception(
    "ornstein_uhlenbeck_moments",
    "This is the variance after an infinite time. At t = 0 nothing has happened yet, and the variance is zero.",
)
def variance_of_the_stationary_law(x0, t, theta, sigma):
    return math.exp(-theta * t) * x0, sigma**2 / (2 * theta)


@misconception(
    "ornstein_uhlenbeck_moments",
    "This is the variance of the noise alone. The pull towards zero makes early noise fade, so the variance "
    "stays bounded.",
)
def variance_of_the_noise_alone(x0, t, theta, sigma):
    return math.exp(-theta * t) * x0, sigma**2 * t


@misconception("ornstein_uhlenbeck_moments", "Your variance contains sigma; it must contain sigma squared.")
def variance_with_sigma(x0, t, theta, sigma):
    return math.exp(-theta * t) * x0, sigma / (2 * theta) * (1 - math.exp(-2 * theta * t))


@misconception(
    "ornstein_uhlenbeck_moments",
    "The variance is multiplied by theta where it should be divided by it: a stronger pull makes it smaller. "
    "In Python, a / 2 * b is (a / 2) * b: put 2 * theta in parentheses.",
)
def variance_times_theta(x0, t, theta, sigma):
    mean, variance = moments(x0, t, theta, sigma)
    return mean, theta**2 * variance


@misconception(
    "ornstein_uhlenbeck_moments",
    "The mean follows one long Euler step. It is the exact flow of the drift that carries it.",
)
def mean_by_euler(x0, t, theta, sigma):
    return x0 * (1 - theta * t), moments(x0, t, theta, sigma)[1]


@misconception(
    "ornstein_uhlenbeck_moments", "The mean grows: the drift pulls towards zero, so its exponential must decay."
)
def mean_that_grows(x0, t, theta, sigma):
    return math.exp(theta * t) * x0, moments(x0, t, theta, sigma)[1]


@misconception(
    "ornstein_uhlenbeck_moments", "The mean decays twice too fast: the rate 2 theta belongs to the variance only."
)
def mean_with_double_rate(x0, t, theta, sigma):
    return math.exp(-2 * theta * t) * x0, moments(x0, t, theta, sigma)[1]


# ---- ornstein_uhlenbeck_sample --------------------------------------------------------------------------------------


OTHER_SEEDS = itertools.cycle(range(5))  # one for each call in the question


def standard_normal(x0, generator):
    return torch.randn(x0.shape, generator=generator, dtype=x0.dtype)


@misconception(
    "ornstein_uhlenbeck_sample",
    "The noise was scaled by the variance. A standard normal number times a has the standard deviation a.",
)
def scales_by_the_variance(x0, t, theta, sigma, generator=None):
    mean, variance = moments(x0, t, theta, sigma)
    return mean + variance * standard_normal(x0, generator)


@misconception(
    "ornstein_uhlenbeck_sample",
    "The draws spread too widely: the variance is twice too large. Its integral divides by 2 theta.",
)
def spreads_twice(x0, t, theta, sigma, generator=None):
    mean, variance = moments(x0, t, theta, sigma)
    return mean + math.sqrt(2 * variance) * standard_normal(x0, generator)


@misconception(
    "ornstein_uhlenbeck_sample",
    "The draws spread too little after a short time: the variance relaxes at the rate 2 theta, twice that of the mean.",
)
def spreads_slowly(x0, t, theta, sigma, generator=None):
    mean, variance = variance_with_single_rate(x0, t, theta, sigma)
    return mean + math.sqrt(variance) * standard_normal(x0, generator)


@misconception(
    "ornstein_uhlenbeck_sample",
    "This is one long Euler-Maruyama step. Its mean and its variance are right only for short times; use the "
    "exact ones.",
)
def one_long_step(x0, t, theta, sigma, generator=None):
    return x0 * (1 - theta * t) + sigma * math.sqrt(t) * standard_normal(x0, generator)


@misconception(
    "ornstein_uhlenbeck_sample",
    "The noise is that of Brownian motion. The pull towards zero makes early noise fade: use the variance of the "
    "process.",
)
def brownian_noise(x0, t, theta, sigma, generator=None):
    return math.exp(-theta * t) * x0 + sigma * math.sqrt(t) * standard_normal(x0, generator)


@misconception(
    "ornstein_uhlenbeck_sample",
    "One noise is shared by the whole batch. Every sample needs noise of its own, shaped like x0.",
)
def one_noise_for_the_batch(x0, t, theta, sigma, generator=None):
    mean, variance = moments(x0, t, theta, sigma)
    return mean + math.sqrt(variance) * standard_normal(x0[:1], generator)


@misconception(
    "ornstein_uhlenbeck_sample",
    "The coordinates of a sample share one noise, so they rise and fall together. They are independent: shape it "
    "like x0.",
)
def one_noise_for_the_coordinates(x0, t, theta, sigma, generator=None):
    mean, variance = moments(x0, t, theta, sigma)
    return mean + math.sqrt(variance) * standard_normal(x0[:, :1], generator)


@misconception(
    "ornstein_uhlenbeck_sample",
    "Mean and variance are right, but the draws are not Gaussian: it looks as if two random numbers were multiplied.",
)
def noise_times_noise(x0, t, theta, sigma, generator=None):
    mean, variance = moments(x0, t, theta, sigma)
    return mean + math.sqrt(variance) * standard_normal(x0, generator) * standard_normal(x0, generator)


@misconception("ornstein_uhlenbeck_sample", "There is no noise in the result: it is the mean of X_t, not a draw of it.")
def returns_the_mean(x0, t, theta, sigma, generator=None):
    return moments(x0, t, theta, sigma)[0]


@misconception(
    "ornstein_uhlenbeck_sample",
    "The mean is missing: the noise must be added to where the drift has carried x0 in the time t.",
)
def forgets_the_mean(x0, t, theta, sigma, generator=None):
    return math.sqrt(moments(x0, t, theta, sigma)[1]) * standard_normal(x0, generator)


@misconception(
    "ornstein_uhlenbeck_sample",
    "The draws are centred on x0 itself. In the time t the drift has pulled the mean closer to zero.",
)
def forgets_the_decay(x0, t, theta, sigma, generator=None):
    return x0 + math.sqrt(moments(x0, t, theta, sigma)[1]) * standard_normal(x0, generator)


@misconception(
    "ornstein_uhlenbeck_sample",
    "These are draws after an infinite time, which have forgotten x0. After a time t, the mean still remembers it.",
)
def draws_from_the_stationary_law(x0, t, theta, sigma, generator=None):
    return sigma / math.sqrt(2 * theta) * standard_normal(x0, generator)


@misconception(
    "ornstein_uhlenbeck_sample",
    "The law is right, but the noise does not come from the generator that was handed in, so a run cannot be repeated.",
)
def ignores_the_generator(x0, t, theta, sigma, generator=None):
    mean, variance = moments(x0, t, theta, sigma)
    # as torch.randn_like(x0), but the same in every build: a noise that no call before has had
    return mean + math.sqrt(variance) * standard_normal(x0, torch.Generator().manual_seed(next(OTHER_SEEDS)))


@misconception(
    "ornstein_uhlenbeck_sample",
    "The law is right, but every call draws the same numbers, whatever the generator: the seed is fixed. The noise "
    "must come from the generator that was handed in.",
)
def fixes_the_seed(x0, t, theta, sigma, generator=None):
    mean, variance = moments(x0, t, theta, sigma)
    return mean + math.sqrt(variance) * standard_normal(x0, torch.Generator().manual_seed(0))


# ---- langevin_drift -------------------------------------------------------------------------------------------------


@misconception(
    "langevin_drift",
    "The drift is twice too strong: the noise spreads with the rate sigma squared over two, and it must balance that.",
)
def langevin_without_half(score, sigma, x, t):
    return sigma(t) ** 2 * score(x, t)


@misconception(
    "langevin_drift",
    "Your drift contains sigma; it must contain sigma squared, for it balances the variance that the noise adds.",
)
def langevin_with_sigma(score, sigma, x, t):
    return sigma(t) * score(x, t)


@misconception(
    "langevin_drift", "Half of sigma is not half of its square: the drift balances the variance that the noise adds."
)
def langevin_with_half_sigma(score, sigma, x, t):
    return sigma(t) / 2 * score(x, t)


@misconception("langevin_drift", "sigma was halved before it was squared, which divides by four.")
def langevin_squares_the_half(score, sigma, x, t):
    return (sigma(t) / 2) ** 2 * score(x, t)


@misconception(
    "langevin_drift",
    "The sign is turned round. The noise drives samples away from where they are many; the drift must bring them back "
    "uphill, along the score.",
)
def langevin_downhill(score, sigma, x, t):
    return -(sigma(t) ** 2) / 2 * score(x, t)


@misconception(
    "langevin_drift", "This is the score alone. The stronger the noise, the stronger the drift that balances it."
)
def langevin_is_the_score(score, sigma, x, t):
    return score(x, t)


@misconception(
    "langevin_drift", "sigma is missing: without noise there is nothing to balance, and the drift must vanish."
)
def langevin_with_unit_sigma(score, sigma, x, t):
    return score(x, t) / 2


# ---- strong_and_weak_error ------------------------------------------------------------------------------------------


def right_errors(x, exact):
    gap = x - exact
    return gap.norm(dim=1).mean().item(), gap.mean(0).norm().item()


@misconception(
    "strong_and_weak_error",
    "The two changed places. The strong error asks how far each path is off, the weak one how far the mean is.",
)
def exchanges_the_errors(x, exact):
    strong, weak = right_errors(x, exact)
    return weak, strong


@misconception(
    "strong_and_weak_error",
    "Both numbers are the mean distance. For the weak error average first: errors of opposite sign cancel.",
)
def strong_twice(x, exact):
    strong, _ = right_errors(x, exact)
    return strong, strong


@misconception(
    "strong_and_weak_error",
    "Both numbers are the distance of the means. For the strong error take the distance of each pair, then average.",
)
def weak_twice(x, exact):
    _, weak = right_errors(x, exact)
    return weak, weak


@misconception(
    "strong_and_weak_error",
    "The strong error is averaged over single coordinates. Take the Euclidean length of each sample's difference "
    "first.",
)
def strong_by_coordinate(x, exact):
    return (x - exact).abs().mean().item(), right_errors(x, exact)[1]


@misconception(
    "strong_and_weak_error",
    "The weak error is averaged over single coordinates. It is the Euclidean length of the difference of the means.",
)
def weak_by_coordinate(x, exact):
    return right_errors(x, exact)[0], (x - exact).mean(0).abs().mean().item()


@misconception(
    "strong_and_weak_error",
    "The strong error is a root of a mean of squares here. It asks for the mean of the distances.",
)
def strong_root_mean_square(x, exact):
    return (x - exact).square().sum(1).mean().sqrt().item(), right_errors(x, exact)[1]


@misconception("strong_and_weak_error", "The distances are still squared: a root is missing in the Euclidean length.")
def squared_distances(x, exact):
    gap = x - exact
    return gap.square().sum(1).mean().item(), gap.mean(0).square().sum().item()


@misconception(
    "strong_and_weak_error",
    "The lengths of all differences were put under one root. The strong error is a mean over samples.",
)
def strong_norm_of_everything(x, exact):
    return (x - exact).norm().item(), right_errors(x, exact)[1]


@misconception(
    "strong_and_weak_error",
    "The weak error compares the mean lengths of x and exact. It compares their means, which are vectors, and "
    "takes the "
    "length of the difference.",
)
def weak_of_the_lengths(x, exact):
    return right_errors(x, exact)[0], (x.norm(dim=1).mean() - exact.norm(dim=1).mean()).abs().item()


@misconception(
    "strong_and_weak_error",
    "The mean was taken over the coordinates of a sample. It is a mean over samples, the first axis.",
)
def mean_over_the_wrong_axis(x, exact):
    gap = x - exact
    return gap.norm(dim=0).mean().item(), gap.mean(1).norm().item()
