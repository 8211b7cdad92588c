"""The questions of Lab 4, diffusion models: what each exercise is asked, and on which inputs.

A noise level is a value a of alpha_bar: x = sqrt(a) z + sqrt(1 - a) noise; steps go from `now` to `then` > `now`.
"""

import torch

from course.checking import Lab
from course.checking.lab3 import gradient, silent, swirl, zero
from course.checking.reply import Reply
from course.shapes import expand_time

lab = Lab("lab4_diffusion", "Diffusion models")
question, check = lab.question, lab.check

# Where levels or times (n,) meet samples, a sample has n numbers along its last axis: to multiply without giving the
# axes their places is then wrong in the values and can be named, and is not only an error.


def double(number):
    return torch.tensor(number, dtype=torch.float64)


def images(draw, n=5):
    return draw.normal(n, 3, 5, 5, dtype=torch.float64)


def levels(draw, n, dtype=torch.float32):
    """n noise levels, (n,)."""
    return draw.uniform_tensor(n, low=0.2, high=0.8, dtype=dtype)


def products(draw, steps):
    """The levels of a chain of so many steps, none of them weak: alpha_bar (steps + 1,)."""
    kept = draw.uniform_tensor(steps, low=0.5, high=0.85, dtype=torch.float64)
    return torch.cat([torch.ones(1, dtype=torch.float64), kept.cumprod(0)])


class StepNetwork(torch.nn.Module):
    """A noise model (x, k) -> like x with two layers, whose weights are drawn; k: a number, 0-d or (n,).

    It computes in the dtype of x: whoever hands it another than that of the data, finds it in what comes back.
    """

    def __init__(self, draw, dim, dtype=torch.float32):
        super().__init__()
        self.inner = torch.nn.Parameter(draw.normal(dim, dim, dtype=dtype) / dim**0.5)
        self.clock = torch.nn.Parameter(draw.uniform_tensor(dim, low=1.0, high=2.0, dtype=dtype))
        self.outer = torch.nn.Parameter(draw.normal(dim, dim, dtype=dtype) / dim**0.5)

    def forward(self, x, k):
        """The value at x (n, ...) in step k."""
        rows = x.flatten(1)
        inner, clock, outer = (p.to(rows.dtype) for p in (self.inner, self.clock, self.outer))
        hidden = torch.tanh(rows @ inner + expand_time(k, rows) / 4 * clock)
        return (rows / 2 + hidden @ outer).reshape(x.shape)


def refusal(reply):
    """The reply to a call that has to be refused: in words, what came of it."""
    if reply.error is None:
        return Reply(value="an answer, and no ValueError")
    return Reply(value="a ValueError") if reply.error.startswith("ValueError") else reply


# ---- schedules ------------------------------------------------------------------------------------------------------


@question
def beta_schedule(answer, draw):
    """Noise schedules"""
    many = {kind: answer(kind, draw.integer(30, 90)) for kind in ("linear", "cosine", "sigmoid")}
    few = draw.integer(4, 8)
    return many | {
        "few steps of the linear one": answer("linear", few),
        "few steps of the cosine one": answer("cosine", few),
        "few steps of the sigmoid one": answer("sigmoid", few),
        "a kind that does not exist": refusal(answer("no such kind", few)),
    }


@question
def alpha_bar(answer, draw):
    """What is left of the data after k steps"""

    def betas(steps, low, high, dtype=torch.float64):
        return draw.uniform_tensor(steps, low=low, high=high, dtype=dtype)

    return {
        "one single step": answer(betas(1, 0.3, 0.6)),
        "a few strong steps": answer(betas(6, 0.2, 0.7)),
        "many weak steps": answer(betas(200, 0.001, 0.03)),
        "betas in float32": answer(betas(12, 0.05, 0.3, torch.float32)),
    }


@question
def snr(answer, draw):
    """The signal-to-noise ratio"""
    return {
        "a level as a float": answer(draw.uniform(0.6, 0.9)),
        "a level in a tensor": answer(double(draw.uniform(0.1, 0.4))),
        "many levels": answer(draw.uniform_tensor(12, low=0.05, high=0.95)),
        "a whole schedule, from the data on": answer(products(draw, 8)),
    }


@question
def q_sample(answer, draw):
    """Any step of the chain at once"""
    one = draw.normal(1, 1, 4, 4, dtype=torch.float64), draw.normal(1, 1, 4, 4, dtype=torch.float64)
    return {
        "one level for all samples": answer(draw.normal(16, 2), draw.uniform(0.3, 0.7), draw.normal(16, 2)),
        "a level in float64": answer(draw.normal(16, 2), double(draw.uniform(0.3, 0.7)), draw.normal(16, 2)),
        "no noise at all": answer(draw.normal(16, 2), 1.0, draw.normal(16, 2)),
        "one level per sample": answer(draw.normal(6, 6), levels(draw, 6), draw.normal(6, 6)),
        "one level per image in float64": answer(images(draw), levels(draw, 5, torch.float64), images(draw)),
        "a single image": answer(one[0], levels(draw, 1, torch.float64), one[1]),
    }


# ---- the posterior and the bound ------------------------------------------------------------------------------------


def neighbours(draw):
    """Two levels of a step that is not long: now and then."""
    now = draw.uniform(0.3, 0.5)
    return now, now + draw.uniform(0.1, 0.2)


def mean_and_variance(value):
    """The two parts of a posterior, the variance as it meets the mean: a number and a tensor are both right."""
    if not isinstance(value, (tuple, list)) or len(value) != 2 or not isinstance(value[0], torch.Tensor):
        return value
    mean, variance = value[0], torch.as_tensor(value[1], dtype=value[0].dtype)
    sizes = zip(reversed(variance.shape), reversed(mean.shape), strict=False)
    if variance.ndim > mean.ndim or any(size not in (1, wanted) for size, wanted in sizes):
        return value
    return mean, variance.broadcast_to(mean.shape)


@question
def posterior(answer, draw):
    """One step back, if the data are known"""

    def ask(*args):
        return answer(*args).map(mean_and_variance)

    x, z, (now, then) = draw.normal(16, 2), draw.normal(16, 2), neighbours(draw)
    nows, image_nows = levels(draw, 6) / 2, levels(draw, 5, torch.float64) / 2
    thens, image_thens = nows + levels(draw, 6) / 2, image_nows + levels(draw, 5, torch.float64) / 2
    return {
        "a short step": ask(x, z, now, then),
        "a long step": ask(x, z, draw.uniform(0.05, 0.15), draw.uniform(0.8, 0.95)),
        "the step to the data": ask(x, z, draw.uniform(0.8, 0.95), 1.0),
        "levels in float64": ask(draw.normal(16, 2), draw.normal(16, 2), double(then - 0.25), double(then)),
        "one step per sample": ask(draw.normal(6, 6), draw.normal(6, 6), nows, thens),
        "one step per image in float64": ask(images(draw), images(draw), image_nows, image_thens),
    }


@question
def gaussian_kl(answer, draw):
    """The divergence of two Gaussians"""

    def variances(*shape, dtype=torch.float32):
        """Variances for the first law, and larger or smaller ones for the second."""
        first = draw.uniform_tensor(*shape, low=0.4, high=1.2, dtype=dtype)
        return first, first * draw.uniform_tensor(*shape, low=0.2, high=0.5, dtype=dtype)

    (wide, narrow), (each, other) = variances(6, 6), variances(6, 1)
    image_wide, image_narrow = variances(5, 1, 1, 1, dtype=torch.float64)
    small, large = draw.uniform(0.3, 0.6), draw.uniform(1.2, 2.0)
    first, second = draw.normal(8, 3, dtype=torch.float64), draw.normal(8, 3, dtype=torch.float64)
    mean = draw.normal(8, 3)
    return {
        "equal variances": answer(draw.normal(8, 3), small, draw.normal(8, 3), small),
        "equal means": answer(mean, small, mean.clone(), large),
        "the narrower law second": answer(draw.normal(8, 3), large, draw.normal(8, 3), small),
        "variances in tensors": answer(first, double(small), second, double(large)),
        "one variance per sample": answer(draw.normal(6, 6), each, draw.normal(6, 6), other),
        "one variance per coordinate": answer(draw.normal(6, 6), wide, draw.normal(6, 6), narrow),
        "images in float64": answer(images(draw), image_narrow, images(draw), image_wide),
    }


@question
def elbo_terms(answer, draw):
    """The terms of the bound"""
    z, noise = draw.normal(7, 3), draw.normal(5, 7, 3)
    points = answer(StepNetwork(draw, 3), products(draw, 5), z, noise)
    exact, image_noise = StepNetwork(draw, 75, torch.float64), draw.normal(3, 4, 3, 5, 5, dtype=torch.float64)
    return {
        "how well the data come back, L_0": points.map(lambda terms: terms[0]),
        "the steps between": points.map(lambda terms: terms[1:-1]),
        "how far the end is from noise, L_T": points.map(lambda terms: terms[-1]),
        "a chain of a single step": answer(
            StepNetwork(draw, 2), products(draw, 1), draw.normal(4, 2), noise[:1, :4, :2]
        ),
        "a model that is zero": answer(zero, products(draw, 4), draw.normal(1, 2), draw.normal(4, 1, 2)),
        "images in float64": answer(exact, products(draw, 3), images(draw, 4), image_noise),
    }


@question
def loss_weight(answer, draw):
    """The weights that the simple loss leaves out"""
    weak = 1 - draw.uniform_tensor(100, low=0.002, high=0.03, dtype=torch.float64)
    chain = answer(products(draw, 7))
    return {
        "the first step": chain.map(lambda weights: weights[0]),
        "the steps after it": chain.map(lambda weights: weights[1:]),
        "a chain of a single step": answer(products(draw, 1)),
        "many weak steps": answer(torch.cat([torch.ones(1, dtype=torch.float64), weak.cumprod(0)])),
    }


@question
def simple_loss(answer, draw):
    """The simple loss"""

    def steps(n):
        """The steps of n samples, in a chain of six: the first and the last are among them."""
        return torch.tensor(draw.shuffled([1, 6, *(draw.integer(1, 6) for _ in range(n - 2))]))

    model = StepNetwork(draw, 6)
    points = answer(model, products(draw, 6), draw.normal(6, 6), steps(6), draw.normal(6, 6))
    exact = StepNetwork(draw, 75, torch.float64)
    return {
        "points": points,
        "the same step for all samples": answer(
            model, products(draw, 6), draw.normal(6, 6), torch.full((6,), draw.integer(2, 5)), draw.normal(6, 6)
        ),
        "a single sample": answer(model, products(draw, 6), draw.normal(1, 6), steps(2)[:1], draw.normal(1, 6)),
        "a model that is zero": answer(zero, products(draw, 6), draw.normal(9, 3), steps(9), draw.normal(9, 3)),
        "images in float64": answer(exact, products(draw, 6), images(draw), steps(5), images(draw)),
        "the gradient in the parameters": points.map(gradient(model)),
    }


# ---- what a model may predict ---------------------------------------------------------------------------------------


def ask_for_a_prediction(answer, draw):
    """The five cases that every conversion is asked."""
    return {
        "one level for all samples": answer(draw.normal(16, 2), draw.normal(16, 2), draw.uniform(0.6, 0.8)),
        "a level in float64": answer(draw.normal(16, 2), draw.normal(16, 2), double(draw.uniform(0.2, 0.4))),
        "one level per sample": answer(draw.normal(6, 6), draw.normal(6, 6), levels(draw, 6)),
        "one level per image in float64": answer(images(draw), images(draw), levels(draw, 5, torch.float64)),
        "a single image": answer(images(draw, 1), images(draw, 1), levels(draw, 1, torch.float64)),
    }


@question
def predict_x0(answer, draw):
    """The data from the noise"""
    return ask_for_a_prediction(answer, draw)


@question
def predict_v(answer, draw):
    """v from the data"""
    return ask_for_a_prediction(answer, draw)


@question
def predict_noise(answer, draw):
    """The noise from v"""
    return ask_for_a_prediction(answer, draw)


# ---- samplers -------------------------------------------------------------------------------------------------------


@question
def ddpm_step(answer, draw):
    """A step of DDPM"""

    def three(*shape, dtype=torch.float32):
        return [draw.normal(*shape, dtype=dtype) for _ in range(3)]

    def ask(tensors, now, then):
        x, eps, noise = tensors
        return answer(x, eps, now, then, noise)

    now, then = neighbours(draw)
    return {
        "a short step": ask(three(16, 2), now, then),
        "a long step": ask(three(16, 2), draw.uniform(0.05, 0.15), draw.uniform(0.8, 0.95)),
        "the step to the data": ask(three(16, 2), draw.uniform(0.8, 0.95), 1.0),
        "levels in float64": ask(three(16, 2), double(then - 0.25), double(then)),
        "an image in float64": ask(three(1, 3, 5, 5, dtype=torch.float64), double(now), double(then)),
    }


@question
def ddim_step(answer, draw):
    """A step of DDIM"""

    def three(*shape, dtype=torch.float32):
        return [draw.normal(*shape, dtype=dtype) for _ in range(3)]

    def ask(tensors, now, then, eta):
        x, eps, noise = tensors
        return answer(x, eps, now, then, eta, noise)

    now, then = neighbours(draw)
    return {
        "eta = 0": ask(three(16, 2), now, then, 0.0),
        "eta = 1": ask(three(16, 2), now, then, 1.0),
        "an eta between": ask(three(16, 2), now, then, draw.uniform(0.4, 0.7)),
        "a long step": ask(three(16, 2), draw.uniform(0.05, 0.15), draw.uniform(0.8, 0.95), draw.uniform(0.4, 0.7)),
        "the step to the data": ask(three(16, 2), draw.uniform(0.8, 0.95), 1.0, draw.uniform(0.4, 0.7)),
        "levels in float64": ask(three(16, 2), double(then - 0.25), double(then), draw.uniform(0.4, 0.7)),
        "an image in float64": ask(three(1, 3, 5, 5, dtype=torch.float64), double(now), double(then), 0.5),
    }


@question
def sub_sequence(answer, draw):
    """A few of the steps"""
    # Where T is no multiple of `count`, `count` is odd: then no step lies halfway between two whole numbers.
    total, count = draw.integer(12, 40), draw.choice([3, 5, 7])
    return {
        "all steps": answer(total, total),
        "one single step": answer(total, 1),
        "every few steps": answer(6 * total, total),
        "steps that do not come out even": answer(count * total + draw.integer(1, count - 1), count),
        "many steps that do not come out even": answer(1000 - draw.choice([1, 3, 7, 9]), 35),
    }


# Steps for `ddim_test`: each is a function of x, eps, now, then, eta and noise, and makes at most one mistake.


def at_the_levels(x, eps, now, then):
    """The levels as they meet the samples, the guess of the data, the posterior's variance (0 on a way back)."""
    now, then = expand_time(now, x), expand_time(then, x)
    z = (x - (1 - now) ** 0.5 * eps) / now**0.5
    variance = torch.as_tensor((1 - then) / (1 - now) * (1 - now / then), dtype=x.dtype)
    return now, then, z, variance.clamp(min=0)


def right_step(x, eps, now, then, eta, noise):
    now, then, z, variance = at_the_levels(x, eps, now, then)
    sigma = eta * variance**0.5
    return then**0.5 * z + (1 - then - sigma**2) ** 0.5 * eps + sigma * noise


def step_from_x(x, eps, now, then, eta, noise):
    now, then, _, variance = at_the_levels(x, eps, now, then)
    sigma, ratio = eta * variance**0.5, (then / now) ** 0.5
    return ratio * x + ((1 - then - sigma**2) ** 0.5 - ratio * (1 - now) ** 0.5) * eps + sigma * noise


def step_in_float64(x, eps, now, then, eta, noise):
    return right_step(x.double(), eps.double(), now, then, eta, noise.double()).to(x.dtype)


def step_by_its_variance(x, eps, now, then, eta, noise):
    now, then, z, variance = at_the_levels(x, eps, now, then)
    fresh = eta**2 * variance
    return then**0.5 * z + fresh**0.5 * noise + (1 - then - fresh) ** 0.5 * eps


def guess_by_the_score(x, eps, now, then, eta, noise):
    now, then, _, variance = at_the_levels(x, eps, now, then)
    sigma = eta * variance**0.5
    score = -eps / (1 - now) ** 0.5
    z = (x + (1 - now) ** 0.5 * score) / now**0.5
    return then**0.5 * z + (1 - then - sigma**2) ** 0.5 * eps + sigma * noise


def score_for_the_noise(x, eps, now, then, eta, noise):
    now, then, z, variance = at_the_levels(x, eps, now, then)
    sigma = eta * variance**0.5
    score = -eps / (1 - now) ** 0.5
    return then**0.5 * z + (1 - then - sigma**2) ** 0.5 * score + sigma * noise


def without_the_root(x, eps, now, then, eta, noise):
    now, then, z, variance = at_the_levels(x, eps, now, then)
    sigma = eta * variance**0.5
    return then * z + (1 - then - sigma**2) ** 0.5 * eps + sigma * noise


def guess_that_is_too_small(x, eps, now, then, eta, noise):
    now, then, z, variance = at_the_levels(x, eps, now, then)
    sigma = eta * variance**0.5
    return then**0.5 * now**0.5 * z + (1 - then - sigma**2) ** 0.5 * eps + sigma * noise


def guess_at_the_wrong_level(x, eps, now, then, eta, noise):
    now, then, _, variance = at_the_levels(x, eps, now, then)
    sigma = eta * variance**0.5
    z = (x - (1 - then) ** 0.5 * eps) / then**0.5
    return then**0.5 * z + (1 - then - sigma**2) ** 0.5 * eps + sigma * noise


def guess_that_is_clipped(x, eps, now, then, eta, noise):
    now, then, z, variance = at_the_levels(x, eps, now, then)
    sigma = eta * variance**0.5
    return then**0.5 * z.clamp(-1, 1) + (1 - then - sigma**2) ** 0.5 * eps + sigma * noise


def old_noise_level(x, eps, now, then, eta, noise):
    now, then, z, variance = at_the_levels(x, eps, now, then)
    sigma = eta * variance**0.5
    return then**0.5 * z + (1 - now - sigma**2) ** 0.5 * eps + sigma * noise


def deaf_to_eta(x, eps, now, then, eta, noise):
    return right_step(x, eps, now, then, 0.0, noise)


def always_full_noise(x, eps, now, then, eta, noise):
    return right_step(x, eps, now, then, 1.0, noise)


def eta_squared(x, eps, now, then, eta, noise):
    return right_step(x, eps, now, then, eta**2, noise)


def sigma_not_taken_out(x, eps, now, then, eta, noise):
    now, then, z, variance = at_the_levels(x, eps, now, then)
    return then**0.5 * z + (1 - then) ** 0.5 * eps + eta * variance**0.5 * noise


def variance_for_sigma(x, eps, now, then, eta, noise):
    now, then, z, variance = at_the_levels(x, eps, now, then)
    sigma = eta * variance
    return then**0.5 * z + (1 - then - sigma**2) ** 0.5 * eps + sigma * noise


def noise_without_sigma(x, eps, now, then, eta, noise):
    now, then, z, variance = at_the_levels(x, eps, now, then)
    return then**0.5 * z + (1 - then - eta**2 * variance) ** 0.5 * eps + eta * noise


def one_noise_for_all(x, eps, now, then, eta, noise):
    return right_step(x, eps, now, then, eta, noise[:1].expand_as(noise))


def both_noises_swapped(x, eps, now, then, eta, noise):
    now, then, z, variance = at_the_levels(x, eps, now, then)
    sigma = eta * variance**0.5
    return then**0.5 * z + (1 - then - sigma**2) ** 0.5 * noise + sigma * eps


STEPS = {
    "the right step": right_step,
    "a right step that starts from x": step_from_x,
    "a right step that computes in float64": step_in_float64,
    "a right step that adds in another order": step_by_its_variance,
    "a step with the score in the place of the noise, in its guess of the data": guess_by_the_score,
    "a step with the score in the place of the noise, in what it adds": score_for_the_noise,
    "a step that forgets the root before the data": without_the_root,
    "a step whose guess of the data is too small": guess_that_is_too_small,
    "a step whose guess of the data takes x to be at the next level": guess_at_the_wrong_level,
    "a step that clips its guess of the data": guess_that_is_clipped,
    "a step that keeps the old noise level": old_noise_level,
    "a step that takes no notice of eta": deaf_to_eta,
    "a step that takes eta to be 1": always_full_noise,
    "a step that squares eta": eta_squared,
    "a step that adds noise and takes none away": sigma_not_taken_out,
    "a step that takes the variance for sigma": variance_for_sigma,
    "a step that adds noise of the wrong size": noise_without_sigma,
    "a step that adds the same noise to every sample": one_noise_for_all,
    "a step that exchanges the predicted and the fresh noise": both_noises_swapped,
}


def unnamed(step):
    """The same step under the name that every step has."""

    def ddim_step(x, eps, now, then, eta, noise):
        return step(x, eps, now, then, eta, noise)

    return ddim_step


@question
def ddim_test(answer, draw):
    """A test that finds the wrong step"""
    steps = STEPS | draw.unseen
    return {name: answer(unnamed(steps[name])) for name in draw.shuffled(steps)}


# ---- continuous time ------------------------------------------------------------------------------------------------

# The forward process dX = f(X, s) ds + g(s) dW runs in s = 1 - t. None of these looks the same at s and at 1 - s.


def pulled(x, s):
    return -(0.4 + 1.5 * expand_time(s, x) ** 2) * x + torch.sin(x.flip(-1))


def pulled_more(x, s):
    return -(0.2 + 2 * expand_time(s, x)) * x


def strengthening(s):
    return 0.6 + 1.5 * s**2


def steadily(s):
    return 1.4 + 0 * s


def ask_for_a_field(answer, draw):
    """The cases that drift and velocity are asked."""
    times, image_times = draw.uniform_tensor(6, low=0.6, high=0.9), draw.uniform_tensor(5, low=0.1, high=0.4)
    t = draw.uniform(0.6, 0.9)
    return {
        "no noise": answer(pulled, silent, swirl, draw.normal(16, 2), draw.uniform(0.6, 0.9)),
        "noise alone": answer(zero, steadily, swirl, draw.normal(16, 2), draw.uniform(0.6, 0.9)),
        "a drift and noise that grows": answer(pulled_more, strengthening, swirl, draw.normal(16, 2), t),
        "a time in a tensor": answer(pulled, strengthening, swirl, draw.normal(16, 2), torch.tensor(1 - t)),
        "one time per sample": answer(pulled, strengthening, swirl, draw.normal(6, 6), times),
        "one time per image in float64": answer(pulled, strengthening, swirl, images(draw), image_times.double()),
    }


@question
def reverse_sde_drift(answer, draw):
    """The drift of the SDE that runs back"""
    return ask_for_a_field(answer, draw)


@question
def probability_flow_velocity(answer, draw):
    """The velocity of the ODE with the same laws"""
    return ask_for_a_field(answer, draw)


@question
def dpm_solver_pp_2m_step(answer, draw):
    """A step of DPM-Solver++(2M)"""

    def three(*shape, dtype=torch.float32):
        return [draw.normal(*shape, dtype=dtype) for _ in range(3)]

    def levels(first=0.1, tensor=False):
        """Three levels that grow, in uneven steps."""
        before = draw.uniform(first, first + 0.1)
        now = before + draw.uniform(0.1, 0.2)
        found = before, now, now + draw.uniform(0.25, 0.35)
        return tuple(map(double, found)) if tensor else found

    x, z, _ = three(16, 2)
    _, now, then = levels()
    last_before, last_now, _ = levels(0.6)
    return {
        "the first step": answer(x, z, None, None, now, then),
        "a step in the middle": answer(*three(16, 2), *levels()),
        "the step to the data": answer(*three(16, 2), last_before, last_now, 1.0),
        "the step to the data, levels in float64": answer(*three(16, 2), *map(double, (last_before, last_now, 1.0))),
        "levels in float64": answer(*three(16, 2), *levels(tensor=True)),
        "an image in float64": answer(*three(1, 3, 5, 5, dtype=torch.float64), *levels(0.3, tensor=True)),
    }
