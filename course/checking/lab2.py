"""The questions of Lab 2, probability paths: what each exercise is asked, and on which inputs."""

import math

import torch

from course.checking import Lab

lab = Lab("lab2_probability_paths", "Probability paths")
question, check = lab.question, lab.check


# Schedules, t -> (alpha, beta, d_alpha, d_beta): two that everybody knows, and two that nobody can have built in.


def straight(t):
    return t, 1 - t, 1 + 0 * t, 0 * t - 1


def quarter_circle(t):
    sin, cos = (torch.sin, torch.cos) if torch.is_tensor(t) else (math.sin, math.cos)
    angle, speed = math.pi / 2 * t, math.pi / 2
    return sin(angle), cos(angle), speed * cos(angle), -speed * sin(angle)


def bent(t):
    return 1.5 * t - 0.5 * t**2, 1 - t**2, 1.5 - t, -2 * t


def never_quiet(t):
    beta = (0.16 * t**2 + (1 - t) ** 2) ** 0.5
    return t, beta, 1 + 0 * t, (1.16 * t - 1) / beta


# Scores and fields. A time may be a float, a 0-d tensor, or one per sample.


def beside(t, x):
    """The time, so that it broadcasts over the samples x (n, ...)."""
    return t.reshape(-1, *[1] * (x.ndim - 1)) if torch.is_tensor(t) and t.ndim else t


def bell_score(x, t):
    t = beside(t, x)
    return -(x - t) / (0.5 + t**2)


def two_hills_score(x, t):
    return 2 * torch.tanh(2 * x) - (1 + beside(t, x)) * x


def swaying(x, t):
    t = beside(t, x)
    return (1 + t**2) * torch.cos(x.flip(-1)) - t * x


def steady(t):
    return 1.7


def silent(t):
    return 0.0


def growing(t):
    return 0.4 + t**2


def double(number):
    return torch.tensor(number, dtype=torch.float64)


# ---- schedules ------------------------------------------------------------------------------------------------------


def ask_for_a_schedule(answer, draw):
    return {
        "a time as a float": answer(draw.uniform(0.15, 0.4)),
        "many times in a tensor": answer(draw.uniform_tensor(12)),
        "the two ends": answer(torch.tensor([0.0, 1.0])),
        "one time per image in float64": answer(draw.uniform_tensor(5, 1, 1, 1, dtype=torch.float64)),
    }


@question
def linear_schedule(answer, draw):
    """The linear schedule"""
    return ask_for_a_schedule(answer, draw)


@question
def cosine_schedule(answer, draw):
    """The cosine schedule"""
    return ask_for_a_schedule(answer, draw)


# ---- paths to one point ---------------------------------------------------------------------------------------------


def images(draw):
    return draw.normal(5, 3, 5, 5, dtype=torch.float64)


@question
def sample_conditional_path(answer, draw):
    """A draw at any time of the path"""
    # As many samples as coordinates: a time that lands on the wrong axis gives wrong numbers, not an exception.
    times = draw.uniform_tensor(6, low=0.2, high=0.8)
    image_times = draw.uniform_tensor(5, low=0.2, high=0.8, dtype=torch.float64)
    return {
        "one time for all samples": answer(straight, draw.normal(16, 2), draw.uniform(0.2, 0.4), draw.normal(16, 2)),
        "another schedule": answer(bent, draw.normal(16, 2), torch.tensor(draw.uniform(0.2, 0.7)), draw.normal(16, 2)),
        "time zero": answer(quarter_circle, draw.normal(16, 2), 0.0, draw.normal(16, 2)),
        "one time per sample": answer(bent, draw.normal(6, 6), times, draw.normal(6, 6)),
        "one time per image in float64": answer(never_quiet, images(draw), image_times, images(draw)),
    }


def ask_on_the_way_to_a_point(answer, draw):
    """The cases that velocity and score of the path to one point are asked."""
    times = draw.uniform_tensor(6, low=0.2, high=0.8)
    image_times = draw.uniform_tensor(5, low=0.2, high=0.8, dtype=torch.float64)
    late = draw.uniform(0.99, 0.995)
    z, noise = draw.normal(16, 2, dtype=torch.float64), draw.normal(16, 2, dtype=torch.float64)
    late_x = late * z + (1 - late) * noise
    return {
        "the straight path": answer(straight, draw.normal(16, 2), draw.uniform(0.2, 0.4), draw.normal(16, 2)),
        "another schedule with one time per sample": answer(bent, draw.normal(6, 6), times, draw.normal(6, 6)),
        "time zero": answer(never_quiet, draw.normal(16, 2), 0.0, draw.normal(16, 2)),
        "samples about to arrive": answer(straight, late_x, late, z),
        "one time per image in float64": answer(never_quiet, images(draw), image_times, images(draw)),
    }


@question
def conditional_velocity(answer, draw):
    """The field that leads to one data point"""
    return ask_on_the_way_to_a_point(answer, draw)


@question
def conditional_score(answer, draw):
    """The score of the path to one data point"""
    return ask_on_the_way_to_a_point(answer, draw)


# ---- paths to a data set --------------------------------------------------------------------------------------------


def ask_on_the_way_to_the_data(answer, draw):
    """The cases that weights, velocity and score of the path to a data set are asked."""
    # Far away to the left and to the right, and data that differ most in this direction: one point has all the weight,
    # by a factor that is beyond rounding, and every unscaled exponential is zero.
    column = torch.arange(-2.0, 3.0) + draw.uniform_tensor(5, low=-0.1, high=0.1)
    row = torch.stack([column, 0.5 * draw.normal(5)], dim=1)
    far = 2 * draw.normal(7, 2)
    far[:, 0] = torch.tensor([-60.0, 45.0, 50.0, -40.0, 60.0, -50.0, 55.0])
    # Half-way between two points, off by so little that both remain possible although beta is tiny.
    late, data = draw.uniform(0.998, 0.999), draw.normal(6, 2, dtype=torch.float64)
    off = (1 - late) ** 2 * draw.normal(5, 2, dtype=torch.float64)
    between = late * (data[1:] + data[:-1]) / 2 + off
    return {
        "half of the way": answer(straight, 1.5 * draw.normal(8, 2), draw.uniform(0.3, 0.5), 2 * draw.normal(5, 2)),
        "another schedule in three dimensions": answer(
            bent, draw.normal(4, 3, dtype=torch.float64), draw.uniform(0.4, 0.7), draw.normal(9, 3, dtype=torch.float64)
        ),
        "time zero": answer(never_quiet, draw.normal(8, 2), 0.0, draw.normal(5, 2) + 1),
        "places far from all data": answer(bent, far, draw.uniform(0.5, 0.6), row),
        "places between two data points just before the end": answer(straight, between, late, data),
    }


@question
def posterior_weights(answer, draw):
    """Which data point is it going to be?"""
    return ask_on_the_way_to_the_data(answer, draw)


@question
def marginal_velocity(answer, draw):
    """The field that leads to the whole data set"""
    return ask_on_the_way_to_the_data(answer, draw)


@question
def marginal_score(answer, draw):
    """The score of the path to the whole data set"""
    return ask_on_the_way_to_the_data(answer, draw)


@question
def denoiser(answer, draw):
    """The best guess of the data point (Tweedie)"""
    times = draw.uniform_tensor(6, low=0.4, high=0.8)
    image_times = draw.uniform_tensor(5, low=0.4, high=0.8, dtype=torch.float64)
    early = draw.uniform(0.01, 0.02)
    return {
        "the straight path": answer(straight, draw.normal(16, 2), draw.uniform(0.6, 0.8), bell_score),
        "another schedule with one time per sample": answer(bent, draw.normal(6, 6), times, two_hills_score),
        "hardly any data in the sample": answer(
            quarter_circle, draw.normal(16, 2, dtype=torch.float64), early, bell_score
        ),
        "the end of a path that stays noisy": answer(never_quiet, draw.normal(16, 2), 1.0, two_hills_score),
        "one time per image in float64": answer(never_quiet, images(draw), image_times, bell_score),
    }


@question
def velocity_to_score(answer, draw):
    """The score from the velocity"""
    times = draw.uniform_tensor(6, low=0.2, high=0.8)
    image_times = draw.uniform_tensor(5, low=0.2, high=0.8, dtype=torch.float64)
    late = draw.uniform(0.98, 0.99)
    return {
        "the straight path": answer(straight, draw.normal(16, 2), draw.uniform(0.2, 0.4), draw.normal(16, 2)),
        "another schedule with one time per sample": answer(bent, draw.normal(6, 6), times, draw.normal(6, 6)),
        "time zero": answer(never_quiet, draw.normal(16, 2), 0.0, draw.normal(16, 2)),
        "a time just before the end": answer(
            quarter_circle, draw.normal(16, 2, dtype=torch.float64), late, draw.normal(16, 2, dtype=torch.float64)
        ),
        "one time per image in float64": answer(never_quiet, images(draw), image_times, images(draw)),
    }


# ---- divergence and continuity --------------------------------------------------------------------------------------

# Fields and log-densities work on a batch (n, d) and on a single sample (d,), with a float, a 0-d tensor or (n,) for t,
# and can be differentiated in both arguments.


def times_of(x, t):
    """One time per sample, as a tensor."""
    return t.to(x) if torch.is_tensor(t) else torch.full_like(x[..., 0], t)


def column_of(x, t):
    """One time per sample, as a column that broadcasts over the coordinates."""
    return times_of(x, t)[..., None]


def turned(v):
    """Vectors in the plane, turned to the left by a right angle."""
    return torch.stack([-v[..., 1], v[..., 0]], dim=-1)


def turning(x, t):
    return (1 + column_of(x, t)) * turned(x)


def stretching(x, t):
    return (1 + column_of(x, t)) * (x @ torch.tensor([[0.5, 2.0], [-1.0, 1.2]]).to(x))


def bending(x, t):
    return x * x.roll(1, -1) + column_of(x, t) * x**3


def waving(x, t):
    return (1 + column_of(x, t)) * torch.sin(2 * x) + x.flip(-1) ** 2


@question
def divergence(answer, draw):
    """The divergence by automatic differentiation"""
    t = draw.uniform(0.3, 0.8)
    return {
        "a linear field": answer(stretching, draw.normal(8, 2), t),
        "a rotation": answer(turning, draw.normal(8, 2), t),
        "a field on a line": answer(waving, draw.normal(8, 1), t),
        "a field that bends in the plane": answer(waving, draw.normal(8, 2), t),
        "five dimensions in float64": answer(bending, draw.normal(8, 5, dtype=torch.float64), double(t)),
    }


def bell(x, mean, variance):
    """The log-density of N(mean, variance I); mean (..., d) and variance (...) or numbers."""
    squares = (x - mean).square().sum(-1)
    return -squares / (2 * variance) - x.shape[-1] / 2 * torch.log(2 * math.pi * variance)


def growing_bell(x, t):
    return bell(x, 0.0, 1 + times_of(x, t) ** 2)


def outwards(x, t):
    """Carries the growing bell."""
    t = column_of(x, t)
    return t / (1 + t**2) * x


def resting_hills(x, t):
    return torch.log(torch.cosh(2 * x)).sum(-1) - x.square().sum(-1) + 0 * times_of(x, t)


def wandering_bell(x, t):
    t = times_of(x, t)
    mean = torch.stack([torch.sin((k + 1) * t) for k in range(x.shape[-1])], dim=-1)
    return bell(x, mean, 0.5 + t)


def up_to_rounding(residual):
    """What should be zero, without the rounding errors, which differ from one right solution to the next."""
    return torch.round(residual, decimals=6) + 0.0


@question
def continuity_residual(answer, draw):
    """By how much a field violates the continuity equation"""
    t = draw.uniform(0.3, 0.8)
    x, space = draw.normal(8, 2, dtype=torch.float64), draw.normal(8, 3)
    return {
        "a field that carries its density": answer(growing_bell, outwards, x, t).map(up_to_rounding),
        "a growing bell that is only turned": answer(growing_bell, turning, x, t),
        "a density at rest": answer(resting_hills, waving, x, t),
        "a wandering bell": answer(wandering_bell, stretching, x, t),
        "three dimensions in float32": answer(wandering_bell, bending, space, t),
    }


# Pairs of a field and a log-density for `transport_test`. The stars are a mixture of three round bells of width 0.4.

STARS = torch.tensor([[-1.2, 0.5], [0.9, 1.0], [0.3, -1.1]], dtype=torch.float64)
WIDTH = 0.4


def softened(schedule, x, t):
    """The schedule of the path to stars of that width, for their centres: columns."""
    alpha, beta, d_alpha, d_beta = schedule(column_of(x, t))
    spread = (WIDTH**2 * alpha**2 + beta**2) ** 0.5
    return alpha, spread, d_alpha, (WIDTH**2 * alpha * d_alpha + beta * d_beta) / spread


def exponents(x, alpha, variance):
    """Those of the stars' Gaussians, less what is the same for all stars."""
    stars = STARS.to(x)
    return alpha / variance * (x @ stars.T - alpha / 2 * stars.square().sum(-1))


def stars_log_density(schedule, x, t):
    alpha, beta, _, _ = softened(schedule, x, t)
    variance = beta**2
    sums = torch.logsumexp(exponents(x, alpha, variance), dim=-1)
    return sums - (x.square() / (2 * variance)).sum(-1) - torch.log(2 * math.pi * len(STARS) * variance[..., 0])


def guess(x, alpha, variance):
    """The posterior mean of the star."""
    return torch.softmax(exponents(x, alpha, variance), dim=-1) @ STARS.to(x)


def towards(x, z, coefficients):
    alpha, beta, d_alpha, d_beta = coefficients
    return d_alpha * z + d_beta / beta * (x - alpha * z)


def stars_velocity_and_score(schedule, x, t):
    alpha, beta, _, _ = coefficients = softened(schedule, x, t)
    z = guess(x, alpha, beta**2)
    return towards(x, z, coefficients), (alpha * z - x) / beta**2


def straight_stars(x, t):
    return stars_log_density(straight, x, t)


def round_stars(x, t):
    return stars_log_density(quarter_circle, x, t)


def to_straight_stars(x, t):
    return stars_velocity_and_score(straight, x, t)[0]


def to_round_stars_with_a_swirl(x, t):
    velocity, score = stars_velocity_and_score(quarter_circle, x, t)
    return velocity + 0.5 * turned(score)


def unsharp_weights(x, t):
    alpha, beta, _, _ = coefficients = softened(straight, x, t)
    return towards(x, guess(x, alpha, beta), coefficients)


def equal_weights(x, t):
    return towards(x, STARS.mean(0).to(x), softened(straight, x, t))


def to_points(x, t):
    alpha, beta, _, _ = coefficients = straight(column_of(x, t))
    return towards(x, guess(x, alpha, beta**2), coefficients)


def without_shrinking(x, t):
    alpha, beta, d_alpha, _ = softened(straight, x, t)
    return d_alpha * guess(x, alpha, beta**2)


def with_a_pull(x, t):
    velocity, score = stars_velocity_and_score(straight, x, t)
    return velocity + 0.1 * score


def backwards_in_time(x, t):
    return to_straight_stars(x, 1 - t)


def tilted_bell(x, t):
    """An oblong bell that turns to the left, by one radian per unit of time."""
    t = times_of(x, t)
    along = torch.cos(t) * x[..., 0] + torch.sin(t) * x[..., 1]
    across = torch.cos(t) * x[..., 1] - torch.sin(t) * x[..., 0]
    return -(along**2) / 2 - 2 * across**2 - math.log(math.pi)


def to_the_left(x, t):
    return turned(x) + 0 * column_of(x, t)


def to_the_right(x, t):
    return -turned(x) + 0 * column_of(x, t)


def sheared_bell(x, t):
    slipped = x[..., 1] - times_of(x, t) * torch.sin(2 * x[..., 0])
    return -(x[..., 0] ** 2 + slipped**2) / 2 - math.log(2 * math.pi)


def shear(x, t):
    slip = torch.sin(2 * x[..., 0])
    return torch.stack([0 * slip, slip], dim=-1) + 0 * column_of(x, t)


def resting_bell(x, t):
    return -x.square().sum(-1) / 2 - math.log(2 * math.pi) + 0 * times_of(x, t)


def four_leaves(x, t):
    """A flow without divergence that crosses the contours of a round bell except on its axes and diagonals."""
    a, b = x[..., 0], x[..., 1]
    return 0.3 * torch.stack([a**2 * b, -a * b**2], dim=-1) + turning(x, t)


def gust_in_a_corner(x, t):
    gust = 0.5 * torch.exp(-2 * (x - torch.tensor([1.4, -1.2]).to(x)).square().sum(-1))
    return turning(x, t) + torch.stack([gust, 0 * gust], dim=-1)


def faint_gust(x, t):
    gust = 0.05 * torch.exp(-2 * (x + torch.tensor([1.1, 0.4]).to(x)).square().sum(-1))
    return turning(x, t) + torch.stack([0 * gust, gust], dim=-1)


def pull_that_comes_late(x, t):
    """No mistake to speak of before t = 0.5."""
    velocity, score = stars_velocity_and_score(straight, x, t)
    return velocity + 0.1 * torch.sigmoid(200 * (column_of(x, t) - 0.6)) * score


def outwards_at_one_speed(x, t):
    return 0.4 * x + 0 * column_of(x, t)


PAIRS = {
    "the exact field of three stars": (to_straight_stars, straight_stars),
    "an exact field with a swirl along the contours": (to_round_stars_with_a_swirl, round_stars),
    "an oblong bell that turns": (to_the_left, tilted_bell),
    "a bell that is sheared": (shear, sheared_bell),
    "a round bell at rest that turns": (turning, resting_bell),
    "a bell that grows": (outwards, growing_bell),
    "posterior weights that are not sharp enough": (unsharp_weights, straight_stars),
    "a field with equal weights": (equal_weights, straight_stars),
    "a field that takes stars for points": (to_points, straight_stars),
    "a field that moves the centres only": (without_shrinking, straight_stars),
    "a field with half a Langevin step in it": (with_a_pull, straight_stars),
    "a field that runs backwards in time": (backwards_in_time, straight_stars),
    "an oblong bell and the opposite rotation": (to_the_right, tilted_bell),
    "a bell that grows and a rotation": (turning, growing_bell),
    "a bell that grows and a field of constant rate": (outwards_at_one_speed, growing_bell),
    "a mistake that vanishes on axes and diagonals": (four_leaves, resting_bell),
    "a mistake in one corner": (gust_in_a_corner, resting_bell),
    "a faint mistake in one place": (faint_gust, resting_bell),
    "a mistake that comes after half of the time": (pull_that_comes_late, straight_stars),
}


def unnamed(field, log_density):
    """The same pair under the names that every pair has."""

    def u(x, t):
        return field(x, t)

    def log_p(x, t):
        return log_density(x, t)

    return u, log_p


@question
def transport_test(answer, draw):
    """A test that finds the wrong field"""
    pairs = PAIRS | draw.unseen
    return {name: answer(*unnamed(*pairs[name])) for name in draw.shuffled(pairs)}


# ---- noise, and memory ----------------------------------------------------------------------------------------------


@question
def sde_drift(answer, draw):
    """Noise that changes no marginal"""
    t = draw.uniform(0.9, 1.3)
    return {
        "no noise": answer(swaying, bell_score, silent, draw.normal(16, 2), t),
        "constant noise": answer(swaying, bell_score, steady, draw.normal(16, 2), t),
        "noise that grows in time": answer(swaying, two_hills_score, growing, draw.normal(16, 2), torch.tensor(t)),
        "images in float64": answer(
            swaying, bell_score, growing, draw.normal(3, 1, 4, 4, dtype=torch.float64), double(t)
        ),
    }


def scattered(draw, data, radius, factors):
    """Samples beside the first data points, at these multiples of the radius, in diagonal directions."""
    factors = torch.tensor(draw.shuffled(factors), dtype=data.dtype)
    signs = torch.where(draw.normal(len(factors), data.shape[1], dtype=data.dtype) > 0, 1.0, -1.0).to(data)
    return data[torch.arange(len(factors)) % 3] + radius * factors[:, None] * signs / data.shape[1] ** 0.5


@question
def memorised_share(answer, draw):
    """The share of the samples that are copies"""
    corners = torch.tensor([[0.0, 0.0], [40.0, 0.0], [0.0, 40.0], [40.0, 40.0], [80.0, 0.0], [0.0, 80.0], [80.0, 80.0]])
    plane = corners / 10 + 0.3 * draw.normal(7, 2)
    space = torch.cat([torch.eye(5), -torch.eye(5)]).double() * 9 + draw.normal(10, 5, dtype=torch.float64)
    plane_radius, space_radius = draw.uniform(0.4, 0.5), draw.uniform(0.4, 0.5)
    far = draw.integer(1, 3)
    inside, outside = [0.0, 0.3, 0.8, 0.8], [1.2, 1.2, 1.3, 1.3, 1.3]
    x = scattered(draw, plane, plane_radius, inside + outside + far * [3.0])
    in_space = scattered(draw, space, space_radius, inside + outside + far * [3.0])
    edge = corners[draw.shuffled(range(7))[:4]] + draw.choice([torch.tensor([3.0, 4.0]), torch.tensor([4.0, -3.0])])
    return {
        "samples in the plane": answer(x, plane, plane_radius),
        "data points that lie close together": answer(x, torch.cat([plane, plane + 0.01]), 1.05 * plane_radius),
        "five dimensions in float64": answer(in_space, space, space_radius),
        "copies and nothing else": answer(plane[:3].repeat(2, 1), plane, 0.1),
        "samples just at the radius": answer(torch.cat([edge, edge + 10]), corners, 5.0),
    }
