"""The questions of Lab 1, ODEs and SDEs: what each exercise is asked, and on which inputs."""

from dataclasses import replace

import torch

from course.checking import Lab

lab = Lab("lab1_odes_sdes", "ODEs and SDEs")
question, check = lab.question, lab.check


# Vector fields, scores and diffusion coefficients: each depends on few things, so that a wrong answer says on which.


def constant(x, t):
    return torch.full_like(x, 1.5)


def in_space(x, t):
    return torch.sin(2 * x) - 0.5 * x.flip(-1)


def in_time(x, t):
    return (1 + t**3) * torch.ones_like(x)


def in_space_and_time(x, t):
    return (1 + t**2) * torch.cos(x.flip(-1)) - t * x


def still(x, t):
    return torch.zeros_like(x)


def bell_score(x, t):
    return -(x - t) / (1 + t**2)


def two_hills_score(x, t):
    return 2 * torch.tanh(2 * x) - x


def steady(t):
    return 1.7


def silent(t):
    return 0.0


def growing(t):
    return 0.4 + t**2


def for_each_of_16(t):
    return (0.4 + t**2) * torch.linspace(0.5, 2.0, 16)[:, None]


def in_proportion(x, t):
    return 0.7 * x


def its_slope(x, t):
    return torch.full_like(x, 0.7)


def bending(x, t):
    return (1 + t) * torch.sin(x) + 1.2


def its_bend(x, t):
    return (1 + t) * torch.cos(x)


def double(number):
    return torch.tensor(number, dtype=torch.float64)


def whether_same(first, second):
    """One reply that says in words whether two have the same values; it is the one that failed, if one did."""

    def compare(pair):
        tensors = all(torch.is_tensor(value) for value in pair)  # if not, every other case says so
        same = not tensors or torch.allclose(pair[0], pair[1], rtol=1e-4, atol=1e-5, equal_nan=True)
        return "the same values" if same else "other values"

    return second if second.error else replace(first, value=(first.value, second.value)).map(compare)


@question
def linear_flow(answer, draw):
    """The exact flow of a linear field"""
    theta = draw.uniform(0.6, 1.4)
    # As many samples as coordinates: a time that lands on the wrong axis gives wrong numbers, not an exception.
    times = draw.uniform_tensor(6, low=0.2, high=1.5)
    image_times = draw.uniform_tensor(5, low=0.2, high=1.5, dtype=torch.float64)
    return {
        "one time for all samples": answer(draw.normal(16, 2), draw.uniform(0.4, 1.5), theta),
        "time zero": answer(draw.normal(16, 2), 0.0, theta),
        "one time per sample": answer(draw.normal(6, 6), times, theta),
        "one time per image in float64": answer(draw.normal(5, 3, 5, 5, dtype=torch.float64), image_times, theta),
    }


def ask_for_a_step(answer, draw):
    """The four cases that every step rule of an ODE is asked."""
    t, h = draw.uniform(0.4, 0.9), draw.uniform(0.5, 0.8)
    x, images = draw.normal(16, 2), draw.normal(3, 1, 4, 4, dtype=torch.float64)
    return {
        "a constant field": answer(constant, x, t, h),
        "a field that changes in space": answer(in_space, x, t, h),
        "a field that changes in time": answer(in_time, x, torch.tensor(t), torch.tensor(h)),
        "images in float64": answer(in_space_and_time, images, double(t), double(h)),
    }


@question
def euler_step(answer, draw):
    """One Euler step"""
    return ask_for_a_step(answer, draw)


@question
def heun_step(answer, draw):
    """One step of Heun's method"""
    return ask_for_a_step(answer, draw)


@question
def rk4_step(answer, draw):
    """One Runge-Kutta step of order 4"""
    return ask_for_a_step(answer, draw)


# Not an Euler step, and not commuting with itself: only the rule that is handed in gives these numbers.


def turning_step(x, t, h):
    return 0.8 * x.flip(-1) + h * in_space_and_time(x, t)


def timeless_step(x, t, h):
    return 0.8 * x.flip(-1) + h * in_space(x, t)


@question
def simulate(answer, draw):
    """The loop over a time grid"""
    x, images = draw.normal(3, 2), draw.normal(3, 1, 4, 4, dtype=torch.float64)
    uneven, later = draw.grid(6), draw.grid(7, start=0.8, stop=1.9, dtype=torch.float64)
    return {
        "even steps and a rule that ignores time": answer(timeless_step, x, torch.linspace(0, 1, 6)),
        "even steps": answer(turning_step, x, torch.linspace(0, 1, 6)),
        "uneven steps": answer(turning_step, x, uneven),
        "one single step": answer(turning_step, x[:1], torch.tensor([0.2, 0.9])),
        "images in float64 from a later time": answer(turning_step, images, later),
    }


@question
def convergence_order(answer, draw):
    """The order of convergence from errors"""
    h = 0.5 ** torch.arange(1, 6, dtype=torch.float64)
    uneven = torch.tensor([0.4, 0.3, 0.11, 0.05, 0.04, 0.013], dtype=torch.float64)
    order, size = draw.uniform(1.0, 4.0), draw.uniform(0.1, 0.6)
    # Scatter of fixed shape: every other way to fit a line through it gives another slope, under every draw.
    scatter = draw.uniform(0.8, 1.2) * torch.tensor([0.9, -0.3, 0.4, -0.8, 0.5, -0.2], dtype=torch.float64)
    errors = size * uneven**order * scatter.exp()
    shuffled = draw.shuffled(range(len(uneven)))
    return {
        "errors on a straight line": answer(h, size * h**order),
        "errors that scatter": answer(uneven, errors),
        "errors that scatter with the largest step last": answer(uneven.flip(0), errors.flip(0)),
        "errors in float32 in any order": answer(uneven[shuffled].float(), errors[shuffled].float()),
    }


@question
def amplification_factor(answer, draw):
    """What one step multiplies a linear solution by"""

    def plane(*shape, dtype):
        return torch.complex(
            draw.uniform_tensor(*shape, low=-2.5, high=1.0, dtype=dtype),
            draw.uniform_tensor(*shape, low=-2.5, high=2.5, dtype=dtype),
        )

    return {
        "order 1 and real z": answer(draw.uniform_tensor(20, low=-3.0, high=1.0), 1),
        "order 2 and real z": answer(draw.uniform_tensor(20, low=-3.0, high=1.0), 2),
        "order 3 and real z in float64": answer(draw.uniform_tensor(20, low=-3.0, high=1.0, dtype=torch.float64), 3),
        "order 4 and complex z": answer(plane(4, 5, dtype=torch.float32), 4),
        "order 2 and complex z in double precision": answer(plane(4, 5, dtype=torch.float64), 2),
    }


# Loops for `loop_test`: each returns a trajectory for any step rule, and makes at most one mistake.


def right_loop(step, x, t):
    xs = [x]
    for k in range(len(t) - 1):
        xs.append(step(xs[k], t[k], t[k + 1] - t[k]))
    return torch.stack(xs)


def loop_into_memory(step, x, t):
    xs = x.new_empty(len(t), *x.shape)
    xs[0] = x
    for k, h in enumerate(t.diff()):
        xs[k + 1] = step(xs[k], t[k], h)
    return xs


def loop_in_float64(step, x, t):
    try:
        return right_loop(step, x.double(), t).to(x.dtype)
    except Exception:  # a rule with float32 constants cannot take float64
        return right_loop(step, x, t)


def one_step_too_few(step, x, t):
    return right_loop(step, x, t[:-1])


def time_at_the_end(step, x, t):
    xs = [x]
    for k in range(len(t) - 1):
        xs.append(step(xs[k], t[k + 1], t[k + 1] - t[k]))
    return torch.stack(xs)


def time_stands_still(step, x, t):
    xs = [x]
    for k in range(len(t) - 1):
        xs.append(step(xs[k], t[0], t[k + 1] - t[k]))
    return torch.stack(xs)


def even_steps(step, x, t):
    xs = [x]
    for k in range(len(t) - 1):
        xs.append(step(xs[k], t[k], (t[-1] - t[0]) / (len(t) - 1)))
    return torch.stack(xs)


def steps_reversed(step, x, t):
    xs = [x]
    for k, h in enumerate(t.diff().flip(0)):
        xs.append(step(xs[k], t[k], h))
    return torch.stack(xs)


def no_initial_state(step, x, t):
    return right_loop(step, x, t)[1:]


def initial_state_overwritten(step, x, t):
    state = x.clone()
    xs = [state]
    for k in range(len(t) - 1):
        xs.append(step(state, t[k], t[k + 1] - t[k]).clone())
        state.copy_(xs[-1])
    return torch.stack(xs)


def first_step_twice(step, x, t):
    xs = [x]
    state = step(x, t[0], t[1] - t[0])
    for k in range(len(t) - 1):
        state = step(state, t[k], t[k + 1] - t[k])
        xs.append(state)
    return torch.stack(xs)


def always_from_the_start(step, x, t):
    xs = [x]
    for k in range(len(t) - 1):
        xs.append(step(x, t[k], t[k + 1] - t[k]))
    return torch.stack(xs)


LOOPS = {
    "the right loop": right_loop,
    "a right loop that writes into one tensor": loop_into_memory,
    "a right loop that computes in float64": loop_in_float64,
    "a loop that makes one step too few": one_step_too_few,
    "a loop that hands over the time at the end of the step": time_at_the_end,
    "a loop whose time stands still": time_stands_still,
    "a loop that makes even steps on an uneven grid": even_steps,
    "a loop that takes the step sizes in reverse": steps_reversed,
    "a loop that leaves out the initial state": no_initial_state,
    "a loop that overwrites the initial state": initial_state_overwritten,
    "a loop that makes the first step twice": first_step_twice,
    "a loop that always steps from the initial state": always_from_the_start,
}


def unnamed(loop):
    """The same loop under the name that every loop has."""

    def simulate(step, x, t):
        return loop(step, x, t)

    return simulate


@question
def loop_test(answer, draw):
    """A test that finds the broken loop"""
    loops = LOOPS | draw.unseen
    return {name: answer(unnamed(loops[name])) for name in draw.shuffled(loops)}


@question
def brownian_path(answer, draw):
    """Brownian paths from normal increments"""
    t, noise = draw.grid(8), draw.normal(8, 4, 2)
    uneven = answer(t, noise)
    return {
        "the same noise twice": whether_same(uneven, answer(t, noise)),
        "steps of size one": answer(torch.arange(6.0), draw.normal(5, 4, 2)),
        "even steps": answer(torch.linspace(0, 1, 9), draw.normal(8, 4, 2)),
        "uneven steps": uneven,
        "a grid in float64 that starts later": answer(
            draw.grid(6, start=1.0, stop=3.0, dtype=torch.float64), draw.normal(6, 4, 3, dtype=torch.float64)
        ),
    }


@question
def coarsen_noise(answer, draw):
    """The same path seen with larger steps"""
    return {
        "a factor of one": answer(draw.normal(4, 5, 2), 1),
        "a factor of two": answer(draw.normal(12, 5, 2), 2),
        "a factor of three in float64": answer(draw.normal(12, 5, 1, dtype=torch.float64), 3),
        "all steps in one": answer(draw.normal(8, 5, 2), 8),
    }


@question
def euler_maruyama_step(answer, draw):
    """One Euler-Maruyama step"""
    t, h = draw.uniform(0.4, 0.9), draw.uniform(0.3, 0.6)
    x, noise = draw.normal(16, 2), draw.normal(16, 2)
    images, image_noise = draw.normal(3, 1, 4, 4, dtype=torch.float64), draw.normal(3, 1, 4, 4, dtype=torch.float64)
    constant_noise = answer(still, steady, x, t, h, noise)
    return {
        "the same noise twice": whether_same(constant_noise, answer(still, steady, x, t, h, noise)),
        "no noise": answer(in_space_and_time, silent, x, t, h, noise),
        "no drift and constant noise": constant_noise,
        "no drift and noise that grows in time": answer(still, growing, x, torch.tensor(t), torch.tensor(h), noise),
        "no drift and a sigma (n, 1) of its own for each sample": answer(still, for_each_of_16, x, t, h, noise),
        "images in float64": answer(in_space_and_time, growing, images, double(t), double(h), image_noise),
    }


@question
def ornstein_uhlenbeck_moments(answer, draw):
    """Mean and variance of the Ornstein-Uhlenbeck process"""
    # The variance after a long time stays away from 1, where it equals its root, and theta squared from 1 / sigma,
    # where theta in the wrong place and sigma without its square give the same number.
    theta, sigma = draw.uniform(0.75, 0.85), draw.uniform(1.8, 2.2)
    x, images = draw.normal(16, 2), draw.normal(3, 1, 4, 4, dtype=torch.float64)
    return {
        "no noise": answer(x, draw.uniform(0.4, 0.8), theta, 0.0),
        "a short time from zero": answer(torch.zeros(4, 2), draw.uniform(0.3, 0.6), theta, sigma),
        "a long time": answer(x, draw.uniform(5.0, 6.0), theta, sigma),
        "images in float64": answer(images, draw.uniform(0.8, 1.4), theta, sigma),
    }


def from_the_mean(x):
    """How far the draws are from their mean: the law's shape, seen twice as clearly as in the draws themselves."""
    return (x - x.mean(0)).abs()


@question
def ornstein_uhlenbeck_sample(answer, draw):
    """Exact draws from the Ornstein-Uhlenbeck process"""
    theta, generator = draw.uniform(0.9, 1.1), draw.generator()
    start, apart = draw.uniform_tensor(2, low=1.0, high=2.0), draw.normal(1000, 2)
    twin = torch.Generator().set_state(generator.get_state())
    shortly = start.repeat(2000, 1), draw.uniform(0.2, 0.25), theta, draw.uniform(0.4, 0.5)
    short, again, otherwise = answer(*shortly, generator), answer(*shortly, twin), answer(*shortly, draw.generator())
    long = answer(start.repeat(1000, 1), draw.uniform(1.4, 1.6), theta, draw.uniform(1.8, 2.2), draw.generator())
    moved = answer(apart, draw.uniform(0.3, 0.4), theta, draw.uniform(0.4, 0.5), draw.generator())
    return {
        "a short time": short.as_sample(),
        "the distance from the mean after a short time": short.map(from_the_mean).as_sample(),
        "a long time": long.as_sample(),
        "the dependence on the start": moved.map(lambda x: torch.stack([x[:, 0], apart[:, 0]], dim=1)).as_sample(),
        "two draws from the same generator state": whether_same(short, again),
        "two draws from different generator states": whether_same(short, otherwise),
    }


@question
def langevin_drift(answer, draw):
    """The drift that leaves a distribution as it is"""
    t = draw.uniform(0.9, 1.3)
    images = draw.normal(3, 1, 4, 4, dtype=torch.float64)
    return {
        "one bell and constant noise": answer(bell_score, steady, draw.normal(16, 2), t),
        "two hills and noise that grows in time": answer(two_hills_score, growing, draw.normal(16, 2), t),
        "no noise": answer(two_hills_score, silent, draw.normal(16, 2), t),
        "images in float64": answer(bell_score, growing, images, double(t)),
    }


@question
def strong_and_weak_error(answer, draw):
    """Strong and weak error"""
    plane = draw.normal(32, 2)
    shift = draw.uniform_tensor(2, low=0.3, high=0.6)
    # Opposite errors nearly cancel in the mean: the strong error stays large, the weak one is the shift.
    there_and_back = torch.cat([draw.normal(16, 2)] * 2)
    there_and_back[16:] *= -1
    return {
        "the same shift for every sample": answer(plane + shift, plane),
        "opposite errors that cancel": answer(plane + there_and_back + shift, plane),
        "one coordinate": answer(plane[:, :1] + 0.4 + there_and_back[:, :1], plane[:, :1]),
        "many coordinates in float64": answer(
            draw.normal(32, 5, dtype=torch.float64) + 0.5, draw.normal(32, 5, dtype=torch.float64)
        ),
    }


@question
def milstein_step(answer, draw):
    """One Milstein step (stretch)"""
    t, h = draw.uniform(0.4, 0.9), draw.uniform(0.3, 0.6)
    x, noise = draw.normal(16, 1), draw.normal(16, 1)
    many, more_noise = draw.normal(16, 1, dtype=torch.float64), draw.normal(16, 1, dtype=torch.float64)
    return {
        "no noise": answer(in_space_and_time, still, still, x, t, h, noise),
        "noise that does not depend on the state": answer(still, constant, still, x, t, h, noise),
        "noise proportional to the state": answer(still, in_proportion, its_slope, x, t, h, noise),
        "bending noise in float64": answer(in_space, bending, its_bend, many, double(t), double(h), more_noise),
    }
