"""The questions of Lab 5, conditional images and guidance: what each exercise is asked, and on which inputs."""

import math
from dataclasses import replace

import torch

from course.checking import Lab
from course.checking.lab3 import Network, attached, bent, gradient, linear, noisier, swirl
from course.networks.unet import AttentionLayers, ResidualLayers, UNet
from course.shapes import expand_time

lab = Lab("lab5_guidance", "Conditional images with classifier-free guidance")
question, check = lab.question, lab.check

# Where times, scales or labels (n,) meet samples, a sample has n numbers along its last axis: to multiply without
# giving the axes their places is then wrong in the values and can be named, and is not only an error.


# Networks with drawn weights: layers of the U-Net, a field that is told a label, a classifier.


def drawn(kind, draw, *args, dtype=torch.float32, **kwargs):
    """A module kind(*args, **kwargs) whose weights are drawn, none of them zero or one."""
    with torch.random.fork_rng(devices=[]):  # its own first weights: nobody's random numbers are used up for them
        module = kind(*args, **kwargs).to(dtype)
    with torch.no_grad():
        for p in module.parameters():
            if p.ndim > 1:
                p.copy_(draw.normal(*p.shape, dtype=dtype) / math.sqrt(p[0].numel()))
            else:
                p.copy_(draw.uniform_tensor(*p.shape, low=0.5, high=1.5, dtype=dtype))
    return module


class Parts(UNet):
    """The layers of a U-Net, and nothing that wires them: that is the exercise."""

    forward = torch.nn.Module.forward


class LabelledNetwork(torch.nn.Module):
    """A network (x, t, y) -> like x with two layers and twelve labels, 0 to 11, whose weights are drawn."""

    def __init__(self, draw, dim, dtype=torch.float32):
        super().__init__()
        self.network = Network(draw, dim, dtype)
        self.labels = torch.nn.Parameter(draw.normal(12, dim, dtype=dtype))

    def forward(self, x, t, y):
        """The value at x (n, ...), t, a number, 0-d or (n,), and y (n,)."""
        return self.network(x + self.labels[y].reshape(x.shape), t)


class Posterior(torch.nn.Module):
    """A classifier (x, t) -> log-probabilities (n, classes) with one layer, whose weights are drawn."""

    def __init__(self, draw, dim, classes, dtype=torch.float32):
        super().__init__()
        self.inner = torch.nn.Parameter(draw.normal(dim, classes, dtype=dtype))
        self.clock = torch.nn.Parameter(draw.normal(classes, dtype=dtype))

    def forward(self, x, t):
        """The log-probabilities at x (n, ...) and t, a number, 0-d or (n,)."""
        rows = x.flatten(1)
        return (torch.sin(rows) @ self.inner + expand_time(t, rows) * self.clock).log_softmax(1)


def zero_field(x, t, y):
    """A field that is zero, whatever the label."""
    return torch.zeros_like(x)


def distinct_labels(draw, n, first=0):
    """n labels from first, ..., 9, all of them different."""
    return torch.tensor(draw.shuffled(range(first, 10))[:n])


def the_same_twice(first, second):
    """In words: are these two answers to one and the same call equal?"""

    def compare(value):
        same = torch.as_tensor(value == first.value).all()
        return "the same answer twice" if same else "two answers that differ"

    return second.map(compare)


@question
def time_embedding(answer, draw):
    """Times as vectors"""
    return {
        "one single time": answer(draw.uniform_tensor(1), 6, draw.uniform(0.4, 0.6)),
        "many times": answer(draw.uniform_tensor(9), 14, draw.uniform(0.4, 0.6)),
        "the smallest dim": answer(draw.uniform_tensor(5), 4, draw.uniform(0.7, 0.9)),
        "a short period in float64": answer(draw.uniform_tensor(8, dtype=torch.float64), 10, draw.uniform(0.01, 0.03)),
    }


@question
def patchify(answer, draw):
    """Images as patches"""
    return {
        "one patch": answer(draw.normal(1, 1, 2, 2), 2),
        "images with one channel": answer(draw.normal(2, 1, 6, 6), 2),
        "images with several channels": answer(draw.normal(2, 3, 6, 6), 3),
        "float64 images that are not square": answer(draw.normal(3, 2, 4, 8, dtype=torch.float64), 2),
        "patches of one pixel": answer(draw.normal(2, 2, 3, 3), 1),
    }


@question
def unpatchify(answer, draw):
    """Patches as images"""
    return {
        "one patch": answer(draw.normal(1, 4, 1, 1), 2),
        "images with one channel": answer(draw.normal(2, 4, 3, 3), 2),
        "images with several channels": answer(draw.normal(2, 27, 2, 2), 3),
        "float64 images that are not square": answer(draw.normal(3, 8, 2, 4, dtype=torch.float64), 2),
        "patches of one pixel": answer(draw.normal(2, 2, 3, 3), 1),
    }


@question
def residual_block(answer, draw):
    """The residual block"""
    plain = drawn(ResidualLayers, draw, 16, 16, 5)
    silent = drawn(ResidualLayers, draw, 16, 16, 5)
    torch.nn.init.zeros_(silent.modulate.weight)
    torch.nn.init.zeros_(silent.modulate.bias)
    wider = drawn(ResidualLayers, draw, 8, 16, 5)
    exact = drawn(ResidualLayers, draw, 16, 8, 6, dtype=torch.float64)
    not_square = answer(exact, draw.normal(2, 16, 3, 5, dtype=torch.float64), draw.normal(2, 6, dtype=torch.float64))
    return {
        "as many channels as before": answer(plain, draw.normal(3, 16, 4, 4), draw.normal(3, 5)),
        "a scale and a shift of zero": answer(silent, draw.normal(2, 16, 4, 4), draw.normal(2, 5)),
        "more channels": answer(wider, draw.normal(3, 8, 4, 4), draw.normal(3, 5)),
        "float64 images that are not square": not_square,
        "the gradient in the parameters": not_square.map(gradient(exact)),
    }


@question
def attention_block(answer, draw):
    """The attention block"""
    exact = drawn(AttentionLayers, draw, 12, 2, dtype=torch.float64)
    not_square = answer(exact, draw.normal(2, 12, 2, 5, dtype=torch.float64))
    sharp = drawn(AttentionLayers, draw, 8, 1, dtype=torch.float64)
    with torch.no_grad():
        sharp.qkv.weight *= 60  # the products of queries and keys go into the thousands
    return {
        "one head": answer(drawn(AttentionLayers, draw, 8, 1), draw.normal(3, 8, 3, 3)),
        "several heads": answer(drawn(AttentionLayers, draw, 12, 3), draw.normal(2, 12, 3, 3)),
        "float64 images that are not square": not_square,
        "queries and keys that are very large": answer(sharp, draw.normal(2, 8, 4, 4, dtype=torch.float64)),
        "the gradient in the parameters": not_square.map(gradient(exact)),
    }


@question
def unet_forward(answer, draw):
    """The U-Net"""
    flat = drawn(Parts, draw, channels=(8, 16), patch=2, heads=2, dim=8)
    deep = drawn(Parts, draw, channels=(8, 8, 8), patch=1, heads=2, dim=6, depth=2, dtype=torch.float64)
    images, times = draw.normal(2, 1, 8, 8, dtype=torch.float64), draw.uniform_tensor(2, dtype=torch.float64)
    three_levels = answer(deep, images, times, distinct_labels(draw, 2))
    return {
        "two levels": answer(flat, draw.normal(3, 1, 8, 8), draw.uniform(), distinct_labels(draw, 3)),
        "no label": answer(flat, draw.normal(2, 1, 8, 8), torch.tensor(draw.uniform()), torch.tensor([10, 10])),
        "three levels of two blocks in float64": three_levels,
        "float64 images that are not square": answer(
            deep, draw.normal(1, 1, 8, 12, dtype=torch.float64), draw.uniform(), distinct_labels(draw, 1)
        ),
        "the gradient in the parameters": three_levels.map(gradient(deep)),
    }


@question
def drop_labels(answer, draw):
    """Labels dropped at random"""
    y, u = torch.tensor([draw.integer(0, 9) for _ in range(40)]), draw.uniform_tensor(40)
    some = answer(y, chance := draw.uniform(0.2, 0.35), 10, u)
    never = u.clone()
    never[draw.integer(0, 39)] = 0.0  # as a random number in [0, 1) may be
    return {
        "the same u twice": the_same_twice(some, answer(y, chance, 10, u)),
        "a chance in between": some,
        "a chance of 0": answer(y, 0.0, 10, never),
        "a chance of 1": answer(y, 1.0, 10, u),
        "another number for no label": answer(y + 1, draw.uniform(0.5, 0.7), 0, u.double().flip(0)),
    }


@question
def guided_loss(answer, draw):
    """The loss of a field that is told labels"""
    z, noise, t = draw.normal(7, 7), draw.normal(7, 7), draw.uniform_tensor(7, low=0.1, high=0.8)
    images, image_noise = draw.normal(4, 2, 3, 4, dtype=torch.float64), draw.normal(4, 2, 3, 4, dtype=torch.float64)
    image_times = draw.uniform_tensor(4, low=0.2, high=0.8, dtype=torch.float64)
    y, model = distinct_labels(draw, 7), LabelledNetwork(draw, 7)
    dropped = torch.where(draw.uniform_tensor(7) < 0.4, 10, y)
    grows = answer(model, noisier, z, t, noise, dropped)
    exact = LabelledNetwork(draw, 24, torch.float64)
    return {
        "the same noise twice": the_same_twice(grows, answer(model, noisier, z, t, noise, dropped)),
        "the linear schedule": answer(model, linear, z, t, noise, y),
        "a schedule whose noise grows and some labels dropped": grows,
        "a model that is zero": answer(zero_field, bent, z, t, noise, y),
        "images in float64": answer(exact, bent, images, image_times, image_noise, distinct_labels(draw, 4)),
        "the gradient in the parameters": grows.map(gradient(model)),
    }


def after_updates(answer, average, parameters, decay):
    """The averages themselves after an update towards each of these lists of parameters in turn."""
    for current in parameters:
        before = [p.detach().clone() for p in current]
        reply = answer(list(average), list(current), decay)
        if reply.error is not None:
            return reply
        if any(not torch.equal(p, was) for p, was in zip(current, before, strict=True)):
            return replace(reply, value=None, changed=("current",))
    return replace(reply, value=[tensor.clone() for tensor in average])


@question
def ema_update(answer, draw):
    """A running average of the weights"""
    shapes = [(2, 3), (4,), ()]

    def tensors(dtype=torch.float32):
        return [draw.normal(*shape, dtype=dtype) for shape in shapes]

    def parameters(dtype=torch.float32):
        return [torch.nn.Parameter(tensor) for tensor in tensors(dtype)]

    once = after_updates(answer, tensors(), [parameters()], draw.uniform(0.6, 0.9))
    return {
        "one update": once,
        "four updates in a row": after_updates(
            answer, tensors(), [parameters() for _ in range(4)], draw.uniform(0.6, 0.9)
        ),
        "a decay of 0": after_updates(answer, tensors(), [parameters()], 0.0),
        "weights in float64": after_updates(
            answer, tensors(torch.float64), [parameters(torch.float64)], draw.uniform(0.1, 0.4)
        ),
        "leaving no gradient on the averages": once.map(attached),
    }


@question
def guided_velocity(answer, draw):
    """The velocity of classifier-free guidance"""
    x, y, model = draw.normal(5, 5), distinct_labels(draw, 5), LabelledNetwork(draw, 5)
    times, scales = draw.uniform_tensor(5), draw.uniform_tensor(5, low=1.5, high=4.0)
    images, exact = draw.normal(3, 2, 2, 3, dtype=torch.float64), LabelledNetwork(draw, 12, torch.float64)
    image_times = draw.uniform_tensor(3, dtype=torch.float64)
    return {
        "w = 0": answer(model, x, draw.uniform(), y, 0.0, 10),
        "w = 1": answer(model, x, torch.tensor(draw.uniform()), y, 1.0, 10),
        "a larger w": answer(model, x, draw.uniform(), y, torch.tensor(draw.uniform(2.5, 4)), 10),
        "one time per sample": answer(model, x, times, y, draw.uniform(1.5, 2.5), 11),
        "one w per sample": answer(model, x, times.flip(0), y, scales, 10),
        "images in float64 where 0 is no label": answer(
            exact, images, image_times, distinct_labels(draw, 3, first=1), draw.uniform(1.5, 4), 0
        ),
    }


@question
def sample_guided(answer, draw):
    """Samples with guidance"""
    x, y, model = draw.normal(5, 5), distinct_labels(draw, 5), LabelledNetwork(draw, 5)
    images, exact = draw.normal(3, 2, 2, 3, dtype=torch.float64), LabelledNetwork(draw, 12, torch.float64)
    later, scales = draw.grid(6, start=0.3, stop=1.4, dtype=torch.float64), draw.uniform_tensor(5, low=1.5, high=3.0)
    even = answer(model, y, draw.uniform(1.5, 3), x, torch.linspace(0, 1, 6), 10)
    return {
        "even steps": even,
        "one single step": answer(model, y, 1.0, x, torch.tensor([0.2, 0.9]), 10),
        "uneven steps and one w per sample": answer(model, y, scales, x, draw.grid(5), 11),
        "images in float64 from a later time": answer(
            exact, distinct_labels(draw, 3), draw.uniform(1.5, 3), images, later, 11
        ),
        "leaving no gradient on the samples": even.map(attached),
    }


# Implementations of `guided_velocity` for `guidance_test`, each with at most one mistake.


def implementations():
    """The implementations, right and wrong, by what is said about them."""
    known = {}

    def known_as(words):
        def register(function):
            known[words] = function

        return register

    @known_as("a right one")
    def _(model, x, t, y, w, null):
        times = torch.as_tensor(t, dtype=x.dtype).expand(len(x)).repeat(2)
        without, given = model(torch.cat([x, x]), times, torch.cat([torch.full_like(y, null), y])).chunk(2)
        return without + expand_time(w, x) * (given - without)

    @known_as("a right one that calls the model twice")
    def _(model, x, t, y, w, null):
        given, without = model(x, t, y), model(x, t, torch.full_like(y, null))
        return without + expand_time(w, x) * (given - without)

    @known_as("a right one that weighs the two velocities")
    def _(model, x, t, y, w, null):
        s = expand_time(w, x)
        return s * model(x, t, y) + (1 - s) * model(x, t, torch.full_like(y, null))

    @known_as("a right one that starts from the labelled velocity")
    def _(model, x, t, y, w, null):
        times = torch.as_tensor(t, dtype=x.dtype).expand(len(x)).repeat(2)
        given, without = model(torch.cat([x, x]), times, torch.cat([y, torch.full_like(y, null)])).chunk(2)
        return given + (expand_time(w, x) - 1) * (given - without)

    @known_as("one whose w counts from 0")
    def _(model, x, t, y, w, null):
        given, without = model(x, t, y), model(x, t, torch.full_like(y, null))
        return given + expand_time(w, x) * (given - without)

    @known_as("one with label and no label swapped")
    def _(model, x, t, y, w, null):
        times = torch.as_tensor(t, dtype=x.dtype).expand(len(x)).repeat(2)
        without, given = model(torch.cat([x, x]), times, torch.cat([y, torch.full_like(y, null)])).chunk(2)
        return without + expand_time(w, x) * (given - without)

    @known_as("one with the other sign before w")
    def _(model, x, t, y, w, null):
        given, without = model(x, t, y), model(x, t, torch.full_like(y, null))
        return without - expand_time(w, x) * (given - without)

    @known_as("one that adds the whole labelled velocity")
    def _(model, x, t, y, w, null):
        given, without = model(x, t, y), model(x, t, torch.full_like(y, null))
        return without + expand_time(w, x) * given

    @known_as("one without the parentheses")
    def _(model, x, t, y, w, null):
        given, without = model(x, t, y), model(x, t, torch.full_like(y, null))
        return without + expand_time(w, x) * given - without

    @known_as("one with a w of its own")
    def _(model, x, t, y, w, null):
        given, without = model(x, t, y), model(x, t, torch.full_like(y, null))
        return without + 2.5 * (given - without)

    @known_as("one that cuts w off at 1")
    def _(model, x, t, y, w, null):
        given, without = model(x, t, y), model(x, t, torch.full_like(y, null))
        return without + expand_time(torch.as_tensor(w, dtype=x.dtype).clamp(max=1), x) * (given - without)

    @known_as("one with the first w for every sample")
    def _(model, x, t, y, w, null):
        given, without = model(x, t, y), model(x, t, torch.full_like(y, null))
        return without + torch.as_tensor(w).flatten()[0] * (given - without)

    @known_as("one with the first label for every sample")
    def _(model, x, t, y, w, null):
        given, without = model(x, t, y[:1].expand(len(y))), model(x, t, torch.full_like(y, null))
        return without + expand_time(w, x) * (given - without)

    @known_as("one that takes 0 for no label")
    def _(model, x, t, y, w, null):
        given, without = model(x, t, y), model(x, t, torch.zeros_like(y))
        return without + expand_time(w, x) * (given - without)

    @known_as("one with the first time for every sample")
    def _(model, x, t, y, w, null):
        times = torch.as_tensor(t, dtype=x.dtype).flatten()[:1].expand(len(x))
        given, without = model(x, times, y), model(x, times, torch.full_like(y, null))
        return without + expand_time(w, x) * (given - without)

    @known_as("one that doubles the times in another order than the samples")
    def _(model, x, t, y, w, null):
        times = torch.as_tensor(t, dtype=x.dtype).expand(len(x)).repeat_interleave(2)
        without, given = model(torch.cat([x, x]), times, torch.cat([torch.full_like(y, null), y])).chunk(2)
        return without + expand_time(w, x) * (given - without)

    @known_as("one whose time runs backwards")
    def _(model, x, t, y, w, null):
        given, without = model(x, 1 - t, y), model(x, 1 - t, torch.full_like(y, null))
        return without + expand_time(w, x) * (given - without)

    return known


def unnamed(guided):
    """The same implementation under the name that every one has."""

    def guided_velocity(model, x, t, y, w, null):
        return guided(model, x, t, y, w, null)

    return guided_velocity


@question
def guidance_test(answer, draw):
    """A test that finds the wrong guidance"""
    known = implementations() | draw.unseen
    return {words: answer(unnamed(known[words])) for words in draw.shuffled(known)}


@question
def agreement(answer, draw):
    """How often a classifier agrees"""
    log_probs = (2 * draw.normal(24, 24)).log_softmax(1)
    y = log_probs.argmax(1).clone()
    wrong = draw.shuffled(range(24))[: draw.integer(5, 9)]
    y[wrong] = (y[wrong] + 1) % 24
    few = (2 * draw.normal(5, 5, dtype=torch.float64)).log_softmax(1)
    return {
        "some that agree": answer(log_probs, y),
        "all that agree": answer(log_probs, log_probs.argmax(1)),
        "none that agree": answer(log_probs, log_probs.argmin(1)),
        "one of five that does not": answer(few, torch.cat([few[:1].argmin(1), few[1:].argmax(1)])),
    }


@question
def frechet_distance(answer, draw):
    """The Fréchet distance"""

    def cloud(n, d, dtype=torch.float64):
        """n points of a slanted Gaussian, neither round nor around zero."""
        slant = 0.7 * draw.normal(d, d).tril(-1) + draw.uniform_tensor(d, low=0.6, high=1.8).diag()
        return (draw.normal(n, d) @ slant + draw.normal(d)).to(dtype)

    plane, space = cloud(20, 2, torch.float32), cloud(15, 3)
    return {
        "samples of equal size": answer(plane, 0.6 * cloud(20, 2, torch.float32) + 1),
        "samples of different sizes": answer(cloud(9, 3, torch.float32), cloud(16, 3, torch.float32)),
        "the same sample shifted": answer(space, space + draw.normal(3, dtype=torch.float64)),
        "the same sample twice": answer(space, space.clone()).map(lambda d: round(float(d), 4)),
        "many coordinates": answer(cloud(20, 7), cloud(24, 7)),
        "fewer samples than coordinates": answer(cloud(4, 7), cloud(6, 7) + 2.5),
    }


@question
def classifier_guided_velocity(answer, draw):
    """The velocity of classifier guidance"""
    x, y, judge = draw.normal(6, 6), distinct_labels(draw, 6), Posterior(draw, 6, 10)
    times, from_zero = draw.uniform_tensor(6, low=0.2, high=0.9), draw.uniform_tensor(6, low=0.2, high=0.9)
    from_zero[draw.integer(0, 5)] = 0.0
    images, exact = draw.normal(4, 2, 3, 4, dtype=torch.float64), Posterior(draw, 24, 10, torch.float64)
    image_times = draw.uniform_tensor(4, low=0.2, high=0.9, dtype=torch.float64)
    with torch.no_grad():
        switched_off = answer(swirl, judge, linear, x, torch.tensor(draw.uniform(0.3, 0.8)), y, draw.uniform(1.5, 3))
    network = answer(Network(draw, 6), judge, linear, x, draw.uniform(0.3, 0.8), y, draw.uniform(1.5, 3))
    return {
        "a network and one time": network,
        "a schedule whose noise grows": answer(swirl, judge, noisier, x, times, y, draw.uniform(1.5, 3)),
        "images in float64": answer(
            swirl, exact, bent, images, image_times, distinct_labels(draw, 4), draw.uniform(1.5, 3)
        ),
        "times of which one is 0": answer(swirl, judge, linear, x, from_zero, y, draw.uniform(1.5, 3)),
        "a call under no_grad": switched_off,
        "leaving no gradient on the velocity": network.map(attached),
    }


@question
def tilted_log_density(answer, draw):
    """The tilted density"""
    points, exact = Posterior(draw, 5, 5), Posterior(draw, 12, 4, torch.float64)
    centre = draw.uniform(0.5, 1)

    def log_prob(x):
        return -(x.flatten(1) - centre).square().sum(1) / 2 - 1.5

    def at_the_end(posterior):
        return lambda x: posterior(x, 1.0)

    x, images = draw.normal(5, 5), draw.normal(4, 2, 2, 3, dtype=torch.float64)
    return {
        "w = 0": answer(log_prob, at_the_end(points), x, draw.integer(0, 4), 0.0),
        "w = 1": answer(log_prob, at_the_end(points), draw.normal(5, 5), draw.integer(0, 4), 1.0),
        "one label for all": answer(log_prob, at_the_end(points), x, draw.integer(0, 4), draw.uniform(2, 4)),
        "one label per sample": answer(
            log_prob, at_the_end(points), x, torch.tensor(draw.shuffled(range(5))), draw.uniform(2, 4)
        ),
        "images in float64": answer(
            log_prob, at_the_end(exact), images, torch.tensor(draw.shuffled(range(4))), draw.uniform(2, 4)
        ),
    }
