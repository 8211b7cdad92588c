"""The questions of Lab 3, flow matching and score matching: what each exercise is asked, and on which inputs."""

import itertools
import math

import torch

from course.checking import Lab
from course.shapes import expand_time

lab = Lab("lab3_flow_score_matching", "Flow matching and score matching")
question, check = lab.question, lab.check


# Schedules t -> (alpha, beta, d_alpha, d_beta). Besides the linear one: two whose four values all differ, in one of
# them the noise grows.


def linear(t):
    return t, 1 - t, 0 * t + 1, 0 * t - 1


def bent(t):
    return t**2, 1 / (1 + t), 2 * t, -1 / (1 + t) ** 2


def noisier(t):
    return 1 / (1 + t), 0.5 + t**2, -1 / (1 + t) ** 2, 2 * t


# Models and fields: a network where a gradient is wanted, else functions that depend on few things.


class Network(torch.nn.Module):
    """A network (x, t) -> like x with two layers, whose weights are drawn."""

    def __init__(self, draw, dim, dtype=torch.float32):
        super().__init__()
        self.inner = torch.nn.Parameter(draw.normal(dim, dim, dtype=dtype) / dim**0.5)
        self.clock = torch.nn.Parameter(draw.uniform_tensor(dim, low=1.0, high=2.0, dtype=dtype))
        self.outer = torch.nn.Parameter(draw.normal(dim, dim, dtype=dtype) / dim**0.5)

    def forward(self, x, t):
        """The value at x (n, ...) and t, a number, 0-d or (n,)."""
        rows = x.flatten(1)
        hidden = torch.tanh(rows @ self.inner + expand_time(t, rows) * self.clock)
        return (rows / 2 + hidden @ self.outer).reshape(x.shape)


def zero(x, t):
    return torch.zeros_like(x)


def swirl(x, t):
    return (1 + expand_time(t, x) ** 2) * torch.cos(x.flip(-1)) - expand_time(t, x) * x


def rotation(x, t):
    return torch.stack([-x[:, 1], x[:, 0]], dim=1)


def shrinking(x, t):
    return torch.stack([0.4 * x[:, 1] - 0.9 * x[:, 0], -0.3 * x[:, 1]], dim=1)


def pulsing(x, t):
    return (0.8 - 3 * t**2) * x + t


def bending(x, t):
    return (1 + t) * torch.sin(1.3 * x) + 0.4 * x.flip(-1)


def two_hills_score(x, t):
    return 2 * torch.tanh(2 * x) - (1 + t) * x


def silent(t):
    return 0.0


def steady(t):
    return 1.4


def growing(t):
    return 0.6 + t**2


def off_centre(x):
    """The log-density of N(m, I), all coordinates of m being 0.7."""
    return -(x - 0.7).square().sum(1) / 2 - x.shape[1] / 2 * math.log(2 * math.pi)


def double(number):
    return torch.tensor(number, dtype=torch.float64)


# What is asked about a result besides its value.


def gradient(model):
    """The gradient of a loss in all the model's parameters, as a vector: zero for a loss that has none."""

    def of(loss):
        parameters = list(model.parameters())
        if not isinstance(loss, torch.Tensor) or not loss.requires_grad:
            return torch.cat([torch.zeros_like(p).flatten() for p in parameters])
        parts = torch.autograd.grad(
            loss.sum(), parameters, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        return torch.cat([part.flatten() for part in parts])

    return of


def attached(value):
    """In words: does anything in this result carry a gradient?"""
    if value is None:
        return "nothing"
    parts = value if isinstance(value, (list, tuple)) else [value]
    has = any(isinstance(part, torch.Tensor) and part.requires_grad for part in parts)
    return "a result with a gradient" if has else "a result without a gradient"


@question
def flow_matching_loss(answer, draw):
    """The flow matching loss"""
    t, x = draw.uniform_tensor(9, low=0.1, high=0.9), draw.normal(9, 3)
    model = Network(draw, 3)
    points = answer(model, swirl, x, t)
    images = draw.normal(6, 2, 3, 3, dtype=torch.float64)
    image_times = draw.uniform_tensor(6, low=0.1, high=0.9, dtype=torch.float64)
    return {
        "points": points,
        "one coordinate": answer(Network(draw, 1), swirl, draw.normal(7, 1), t[:7]),
        "a model that is right": answer(swirl, swirl, x, t),
        "images in float64": answer(Network(draw, 18, torch.float64), swirl, images, image_times),
        "the gradient in the parameters": points.map(gradient(model)),
    }


def ask_for_a_loss(answer, draw):
    """The five cases that every loss along a path is asked."""
    z, noise, t = draw.normal(9, 3), draw.normal(9, 3), draw.uniform_tensor(9, low=0.1, high=0.8)
    images, image_noise = draw.normal(6, 2, 3, 3, dtype=torch.float64), draw.normal(6, 2, 3, 3, dtype=torch.float64)
    image_times = draw.uniform_tensor(6, low=0.2, high=0.8, dtype=torch.float64)
    model = Network(draw, 3)
    grows = answer(model, noisier, z, t, noise)
    return {
        "the linear schedule": answer(model, linear, z, t, noise),
        "a schedule whose noise grows": grows,
        "a model that is zero": answer(zero, bent, z, t, noise),
        "images in float64": answer(Network(draw, 18, torch.float64), bent, images, image_times, image_noise),
        "the gradient in the parameters": grows.map(gradient(model)),
    }


@question
def conditional_flow_matching_loss(answer, draw):
    """The conditional flow matching loss"""
    return ask_for_a_loss(answer, draw)


def in_turn(loss, batches):
    """A loss () -> 0-d tensor that takes the next batch whenever it is called."""
    batches = itertools.cycle(batches)
    return lambda: loss(*next(batches))


def steps(answer, optimizer, loss, count):
    """The replies to `count` training steps, and the last one or the first that failed."""
    replies = [answer(optimizer, loss) for _ in range(count)]
    return replies, next((reply for reply in replies if reply.error is not None), replies[-1])


@question
def train_step(answer, draw):
    """One training step"""

    def regression(dtype):
        """A network and its loss on batches (x, t, y)."""
        model = Network(draw, 2, dtype)
        batches = [(draw.normal(8, 2, dtype=dtype), draw.uniform(), 3 * draw.normal(8, 2, dtype=dtype)) for _ in "abc"]
        return model, batches, lambda x, t, y: (model(x, t) - y).square().sum(1).mean()

    def parameters(model):
        return lambda _: torch.nn.utils.parameters_to_vector(model.parameters()).detach().clone()

    model, batches, loss = regression(torch.float32)
    plain = torch.optim.SGD(model.parameters(), lr=draw.uniform(0.02, 0.04))
    _, first = steps(answer, plain, in_turn(loss, batches[:1]), 1)
    after_one = first.map(parameters(model))
    _, fourth = steps(answer, plain, in_turn(loss, batches[:1]), 3)
    after_four = fourth.map(parameters(model))

    other, batches, loss = regression(torch.float64)
    adam = torch.optim.Adam(other.parameters(), lr=draw.uniform(0.05, 0.1))
    losses, sixth = steps(answer, adam, in_turn(loss, batches), 6)
    return {
        "the parameters after one step": after_one,
        "the parameters after four steps": after_four,
        "the parameters after six steps of Adam": sixth.map(parameters(other)),
        "the losses that come back": sixth.map(lambda _: [reply.value for reply in losses]),
        "leaving no gradient on the loss": sixth.map(attached),
    }


# Neither an Euler step nor any other good rule: only the one that is handed in gives these numbers.


def turning_step(u, x, t, h):
    return 0.8 * x.flip(-1) + h * u(x, t)


def looking_back_step(u, x, t, h):
    return x + 0.7 * h * u(x - h * u(x, t), t + h / 3)


@question
def sample_flow(answer, draw):
    """Samples from a velocity"""
    x, images = draw.normal(5, 2), draw.normal(3, 1, 4, 4, dtype=torch.float64)
    uneven, later = draw.grid(6), draw.grid(7, start=0.3, stop=1.4, dtype=torch.float64)
    network = answer(Network(draw, 2), x, uneven, turning_step)
    return {
        "even steps": answer(swirl, x, torch.linspace(0, 1, 6), turning_step),
        "one single step": answer(swirl, x, torch.tensor([0.2, 0.9]), looking_back_step),
        "a network and uneven steps": network,
        "images in float64 from a later time": answer(swirl, images, later, looking_back_step),
        "leaving no gradient on the samples": network.map(attached),
    }


@question
def energy_distance(answer, draw):
    """The energy distance between two samples"""
    # No more than 25 points: for more, torch.cdist takes a faster way that is less precise.
    plane, line = draw.normal(20, 2), 2.5 * draw.normal(12, 1)
    return {
        "two single points": answer(draw.normal(1, 2), 4 + draw.normal(1, 2)),
        "two samples of equal size": answer(plane, 0.5 * draw.normal(20, 2) + 1.5),
        "one coordinate and different sizes": answer(line, draw.normal(19, 1) - 2),
        "many coordinates in float64": answer(
            draw.normal(15, 6, dtype=torch.float64), 2 * draw.normal(10, 6, dtype=torch.float64) + 1
        ),
        "the same sample twice": answer(plane.double(), plane.double().clone()).map(lambda d: round(float(d), 6)),
    }


# Losses for `target_test`: each is a 0-d tensor for samples (n, d), and makes at most one mistake.


def along_the_path(schedule, z, t, noise):
    """The place of every sample and the velocity of its path there."""
    alpha, beta, d_alpha, d_beta = schedule(expand_time(t, z))
    return alpha * z + beta * noise, d_alpha * z + d_beta * noise


def mean_square(error):
    return error.square().flatten(1).sum(1).mean()


def right_loss(model, schedule, z, t, noise):
    x, target = along_the_path(schedule, z, t, noise)
    return mean_square(model(x, t) - target)


def loss_by_mse(model, schedule, z, t, noise):
    x, target = along_the_path(schedule, z, t, noise)
    return torch.nn.functional.mse_loss(target, model(x, t)) * z[0].numel()


def loss_by_products(model, schedule, z, t, noise):
    alpha, beta, d_alpha, d_beta = schedule(expand_time(t, z))
    error = (d_alpha * z - model(z * alpha + noise * beta, t) + d_beta * noise).flatten(1)
    return torch.einsum("nd,nd->", error, error) / len(z)


def noise_with_the_other_sign(model, schedule, z, t, noise):
    alpha, beta, d_alpha, d_beta = schedule(expand_time(t, z))
    return mean_square(model(alpha * z + beta * noise, t) - (d_alpha * z - d_beta * noise))


def straight_target(model, schedule, z, t, noise):
    x, _ = along_the_path(schedule, z, t, noise)
    return mean_square(model(x, t) - (z - noise))


def asked_at_the_data(model, schedule, z, t, noise):
    _, target = along_the_path(schedule, z, t, noise)
    return mean_square(model(z, t) - target)


def time_runs_backwards(model, schedule, z, t, noise):
    x, target = along_the_path(schedule, z, t, noise)
    return mean_square(model(x, 1 - t) - target)


def one_time_for_the_batch(model, schedule, z, t, noise):
    return right_loss(model, schedule, z, t[:1].expand(len(z)), noise)


def noise_of_the_neighbour(model, schedule, z, t, noise):
    x, _ = along_the_path(schedule, z, t, noise)
    _, target = along_the_path(schedule, z, t, noise.roll(1, 0))
    return mean_square(model(x, t) - target)


def mean_over_the_dimensions(model, schedule, z, t, noise):
    x, target = along_the_path(schedule, z, t, noise)
    return (model(x, t) - target).square().mean()


def without_the_square_of_the_target(model, schedule, z, t, noise):
    x, target = along_the_path(schedule, z, t, noise)
    value = model(x, t)
    return (value.square() - 2 * value * target).flatten(1).sum(1).mean()


def cut_off(model, schedule, z, t, noise):
    x, target = along_the_path(schedule, z, t, noise)
    return mean_square(model(x, t).detach() - target)


LOSSES = {
    "the right loss": right_loss,
    "a right loss that multiplies a mean by the dimension": loss_by_mse,
    "a right loss made of products": loss_by_products,
    "a loss with the other sign before the noise": noise_with_the_other_sign,
    "a loss whose target fits the linear schedule only": straight_target,
    "a loss that asks the model at the data": asked_at_the_data,
    "a loss that asks the model at time 1 - t": time_runs_backwards,
    "a loss with one time for the whole batch": one_time_for_the_batch,
    "a loss whose target has the noise of another sample": noise_of_the_neighbour,
    "a loss that averages over the dimensions": mean_over_the_dimensions,
    "a loss that leaves out the square of the target": without_the_square_of_the_target,
    "a loss that carries no gradient": cut_off,
}


def unnamed(loss):
    """The same loss under the name that every loss has."""

    def conditional_flow_matching_loss(model, schedule, z, t, noise):
        return loss(model, schedule, z, t, noise)

    return conditional_flow_matching_loss


@question
def target_test(answer, draw):
    """A test that finds the wrong loss"""
    losses = LOSSES | draw.unseen
    return {name: answer(unnamed(losses[name])) for name in draw.shuffled(losses)}


@question
def denoising_score_matching_loss(answer, draw):
    """The denoising score matching loss"""
    return ask_for_a_loss(answer, draw)


@question
def noise_prediction_loss(answer, draw):
    """The noise prediction loss"""
    return ask_for_a_loss(answer, draw)


def ask_for_a_score(answer, draw):
    """The four cases that every way to the score is asked."""
    x, images = draw.normal(9, 3), draw.normal(6, 2, 3, 3, dtype=torch.float64)
    times = draw.uniform_tensor(9, low=0.2, high=0.8)
    image_times = draw.uniform_tensor(6, low=0.2, high=0.8, dtype=torch.float64)
    return {
        "the linear schedule": answer(linear, swirl, x, draw.uniform(0.3, 0.8)),
        "a schedule whose noise grows": answer(noisier, swirl, x, torch.tensor(draw.uniform(0.3, 0.8))),
        "a network and one time per sample": answer(bent, Network(draw, 3), x, times),
        "images in float64": answer(bent, swirl, images, image_times),
    }


@question
def score_from_noise(answer, draw):
    """The score from a noise network"""
    return ask_for_a_score(answer, draw)


@question
def score_from_velocity(answer, draw):
    """The score from a velocity network"""
    return ask_for_a_score(answer, draw)


@question
def sample_sde(answer, draw):
    """Samples with noise"""
    x, noise, uneven = draw.normal(5, 2), draw.normal(6, 5, 2), draw.grid(6)
    images, image_noise = draw.normal(3, 1, 4, 4, dtype=torch.float64), draw.normal(4, 3, 1, 4, 4, dtype=torch.float64)
    later = draw.grid(4, start=0.3, stop=1.2, dtype=torch.float64)
    network = answer(Network(draw, 2), two_hills_score, growing, x, uneven, noise)
    return {
        "no noise": answer(swirl, two_hills_score, silent, x, uneven, noise),
        "constant noise and no score": answer(swirl, zero, steady, x, torch.linspace(0, 1, 7), noise),
        "a network and noise that grows": network,
        "images in float64": answer(swirl, two_hills_score, growing, images, later, image_noise),
        "leaving no gradient on the samples": network.map(attached),
    }


@question
def log_likelihood(answer, draw):
    """The log-likelihood of a flow"""
    x, even = draw.normal(6, 2), torch.linspace(0, 1, 3)
    later = draw.grid(3, start=0.3, stop=1.3, dtype=torch.float64)
    return {
        "a field without divergence": answer(rotation, x, even, off_centre),
        "a linear field": answer(shrinking, x, even, off_centre),
        "a field that changes in time": answer(pulsing, x, even, off_centre),
        "a network": answer(Network(draw, 2), x, even, off_centre),
        "uneven steps from a later time in float64": answer(
            bending, draw.normal(6, 3, dtype=torch.float64), later, off_centre
        ),
    }


@question
def straightness(answer, draw):
    """The straightness of paths"""
    times = draw.grid(6, dtype=torch.float64)
    starts, ways = draw.normal(5, 3, dtype=torch.float64), draw.normal(5, 3, dtype=torch.float64)
    return {
        "even steps": answer(draw.normal(6, 7, 2), torch.linspace(0, 1, 6)),
        "uneven steps": answer(draw.normal(7, 5, 2), draw.grid(6)),
        "straight paths at constant speed": answer(starts + times[:, None, None] * ways, times),
        "straight paths at changing speed": answer(starts + times[:, None, None] ** 2 * ways, times),
        "one coordinate": answer(draw.normal(9, 4, 1), draw.grid(8)),
    }


@question
def ot_pairing(answer, draw):
    """The best pairs"""

    def mixed(points):
        return points[draw.shuffled(range(len(points)))]

    # On the line every point has its partner close by, and far from all others.
    places = torch.arange(12.0)[:, None]
    line = [places + 0.3 * draw.uniform_tensor(12, 1, low=-1.0, high=1.0) for _ in "xz"]
    # Chains from x over a second x, which is close to a z, to a z, with a bend: the shortest way leaves the middle in
    # its place, the least squares do not. Few points in a cloud would not tell the two apart.
    centre, x_end, middle, z_end = 9 * draw.normal(8, 2), [-1.0, 0.0], [0.0, 0.6], [1.0, 0.0]
    chains = [
        torch.cat([centre + torch.tensor(end), centre + torch.tensor(middle)]) + 0.02 * draw.normal(16, 2)
        for end in (x_end, z_end)
    ]
    return {
        "neighbours on a line": answer(mixed(line[0]), mixed(line[1])),
        "points in the plane": answer(draw.normal(20, 2), 2 * draw.normal(20, 2) + 1),
        "chains of points": answer(mixed(chains[0]), mixed(chains[1])),
        "many coordinates in float64": answer(
            draw.normal(18, 6, dtype=torch.float64), draw.normal(18, 6, dtype=torch.float64)
        ),
    }


@question
def reflow_pairs(answer, draw):
    """The pairs that a flow makes"""
    x, images = draw.normal(5, 2), draw.normal(3, 1, 4, 4, dtype=torch.float64)
    uneven, later = draw.grid(6), draw.grid(7, start=0.3, stop=1.4, dtype=torch.float64)
    network = answer(Network(draw, 2), x, uneven, turning_step)
    return {
        "even steps": answer(swirl, x, torch.linspace(0, 1, 6), turning_step),
        "a network and uneven steps": network,
        "images in float64 from a later time": answer(swirl, images, later, looking_back_step),
        "leaving no gradient on the pairs": network.map(attached),
    }
