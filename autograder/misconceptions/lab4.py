"""Typical mistakes in Lab 4, diffusion models."""

import math

import torch

from autograder.misconceptions import misconception
from course import diffusion
from course.checking.lab4 import right_step
from course.shapes import expand_time

NOT_SPREAD = (
    "There is one level per sample, and it met the samples along the wrong axis: sample i needs level i. "
    "`expand_time(a, x)` gives the levels the axes they need."
)
ONE_AXIS = (
    "Right for points, but a sample may have several axes: `[:, None]` gives the levels only one of them. "
    "`expand_time(a, x)` gives as many as are needed."
)
NO_ROOT = (
    "A level is a variance: what multiplies a sample is its square root, sqrt(a) for the data and sqrt(1 - a) for the "
    "noise. The roots are missing."
)
IN_FLOAT32 = (
    "Right as far as float32 goes: something in it computes in float32 though the inputs are float64. torch.linspace, "
    "torch.ones and others have a dtype of their own unless they are told another, and `.float()` forgets digits."
)
CLIPPED = (
    "The guess of the data was cut off at -1 and 1. Image libraries do that, where pixels end there; these data may "
    "lie anywhere, and the formula does not clip."
)


def real(number, like):
    """A number as a tensor of float64, or of the dtype of `like` if it has one of its own for each sample."""
    if isinstance(number, torch.Tensor):
        return expand_time(number, like)
    return torch.tensor(number, dtype=torch.float64)


def one_axis(a):
    """Levels (n,) as (n, 1), whatever they meet."""
    return a.reshape(-1, 1) if isinstance(a, torch.Tensor) and a.ndim else a


# ---- beta_schedule --------------------------------------------------------------------------------------------------


def schedule_of(
    kind, steps, *, low=0.1, high=20.0, square=2, shift=0.008, edge=6, limits=(0.999, 0.999, 0.999), dtype=torch.float64
):
    """The schedule, whose details can be changed one by one; limits: of the linear, cosine and sigmoid one."""
    low, high = low / steps, high / steps
    limit = dict(zip(("linear", "cosine", "sigmoid"), limits, strict=True)).get(kind)
    if kind == "linear":
        betas = torch.linspace(low, high, steps, dtype=dtype)
    elif kind == "cosine":
        f = torch.cos(math.pi / 2 * (torch.arange(steps + 1, dtype=dtype) / steps + shift) / (1 + shift)) ** square
        betas = 1 - f[1:] / f[:-1]
    elif kind == "sigmoid":
        betas = low + (high - low) * torch.linspace(-edge, edge, steps, dtype=dtype).sigmoid()
    else:
        raise ValueError(f"no schedule is called {kind!r}")
    return betas.clamp(max=limit)


def cosine_products(steps):
    """f(0), ..., f(1) of the cosine schedule."""
    return torch.cos(math.pi / 2 * (torch.arange(steps + 1, dtype=torch.float64) / steps + 0.008) / 1.008) ** 2


BETAS_OF_A_THOUSAND_STEPS = (
    "These are the betas of a thousand steps, from 0.0001 to 0.02, whatever T is: with fewer steps the data would "
    "still be there at the end. The two ends have to grow with 1/T."
)


@misconception("beta_schedule", BETAS_OF_A_THOUSAND_STEPS)
def betas_of_a_thousand_steps(kind, steps):
    return schedule_of(kind, steps, low=1e-4 * steps, high=0.02 * steps)


@misconception("beta_schedule", BETAS_OF_A_THOUSAND_STEPS)
def linear_betas_of_a_thousand_steps(kind, steps):
    if kind != "linear":
        return schedule_of(kind, steps)
    return betas_of_a_thousand_steps(kind, steps)


@misconception(
    "beta_schedule",
    "0.1 and 20 are rates per unit of time. A step is 1/T long, so its beta runs from 0.1/T to 20/T.",
)
def betas_without_t(kind, steps):
    return schedule_of(kind, steps, low=0.1 * steps, high=20 * steps)


@misconception(
    "beta_schedule",
    "For the cosine schedule these are 1 - alpha_bar, how much noise there is after k steps in all. beta_k is what "
    "step k adds: one minus the ratio of two neighbouring values of f.",
)
def betas_in_all(kind, steps):
    if kind != "cosine":
        return schedule_of(kind, steps)
    f = cosine_products(steps)
    return (1 - f[1:] / f[0]).clamp(max=0.999)


@misconception(
    "beta_schedule",
    "For the cosine schedule these are the values of alpha_bar. Asked for are the betas, which make them: one minus "
    "the ratio of two neighbours.",
)
def betas_that_are_products(kind, steps):
    if kind != "cosine":
        return schedule_of(kind, steps)
    f = cosine_products(steps)
    return (f[1:] / f[0]).clamp(max=0.999)


@misconception(
    "beta_schedule",
    "The ratio in the cosine schedule is upside down: f falls, so f at the end of the step, k/T, has to be divided by "
    "f at its beginning, (k - 1)/T.",
)
def betas_upside_down(kind, steps):
    if kind != "cosine":
        return schedule_of(kind, steps)
    f = cosine_products(steps)
    return (1 - f[:-1] / f[1:]).clamp(max=0.999)


@misconception(
    "beta_schedule",
    "The square is missing in the cosine schedule: f is the square of a cosine, since alpha_bar is the square of what "
    "multiplies the data.",
)
def betas_without_the_square(kind, steps):
    return schedule_of(kind, steps, square=1)


@misconception(
    "beta_schedule",
    "The small shift 0.008 is missing in the cosine schedule, without which the first steps add hardly any noise.",
)
def betas_without_the_shift(kind, steps):
    return schedule_of(kind, steps, shift=0.0)


@misconception(
    "beta_schedule",
    "The cosine schedule has one step too few: T steps have T + 1 ends, 0/T, 1/T, ..., T/T.",
)
def betas_one_too_few(kind, steps):
    if kind != "cosine":
        return schedule_of(kind, steps)
    f = torch.cos(math.pi / 2 * (torch.linspace(0, 1, steps, dtype=torch.float64) + 0.008) / 1.008) ** 2
    return (1 - f[1:] / f[:-1]).clamp(max=0.999)


@misconception(
    "beta_schedule",
    "The linear schedule does not arrive at 20/T: both ends belong to it, 0.1/T is the first beta and 20/T the last.",
)
def betas_without_the_last_end(kind, steps):
    if kind != "linear":
        return schedule_of(kind, steps)
    share = torch.arange(steps, dtype=torch.float64) / steps
    return ((0.1 + 19.9 * share) / steps).clamp(max=0.999)


@misconception(
    "beta_schedule",
    "Some betas are larger than 0.999. A variance above 1 leaves less than nothing of the data, and at 1 nothing can "
    "be divided any more: cut all three schedules off there.",
)
def betas_not_cut_off(kind, steps):
    return schedule_of(kind, steps, limits=(math.inf, math.inf, math.inf))


@misconception(
    "beta_schedule",
    "Only the cosine schedule is cut off at 0.999. With few steps the others go beyond it, too.",
)
def betas_cut_off_for_the_cosine(kind, steps):
    return schedule_of(kind, steps, limits=(math.inf, 0.999, math.inf))


@misconception(
    "beta_schedule",
    "The betas are cut off at another number than 0.999.",
)
def betas_cut_off_elsewhere(kind, steps):
    return schedule_of(kind, steps, limits=(0.9999, 0.9999, 0.9999))


@misconception(
    "beta_schedule", "The sigmoid schedule takes the logistic function from -3 to 3. Here it runs from -6 to 6."
)
def betas_of_a_flat_sigmoid(kind, steps):
    return schedule_of(kind, steps, edge=3)


@misconception(
    "beta_schedule",
    "The sigmoid schedule is the logistic function alone, from 0 to 1. Stretch it, so that it leads from 0.1/T to "
    "20/T.",
)
def betas_not_stretched(kind, steps):
    if kind != "sigmoid":
        return schedule_of(kind, steps)
    return torch.linspace(-6, 6, steps, dtype=torch.float64).sigmoid().clamp(max=0.999)


@misconception(
    "beta_schedule",
    "The sigmoid schedule does not start at 0.1/T: the logistic function has to be scaled by the difference of the two "
    "ends and moved up by the lower one.",
)
def betas_not_moved(kind, steps):
    if kind != "sigmoid":
        return schedule_of(kind, steps)
    return (20 / steps * torch.linspace(-6, 6, steps, dtype=torch.float64).sigmoid()).clamp(max=0.999)


@misconception(
    "beta_schedule",
    "The betas fall. Step 1 is the one next to the data and adds the least noise; it comes first.",
)
def betas_backwards(kind, steps):
    return schedule_of(kind, steps).flip(0)


@misconception("beta_schedule", "The betas are float32. Differences like 1 - alpha_bar need the digits of float64.")
def betas_in_float32(kind, steps):
    return schedule_of(kind, steps, dtype=torch.float32)


BETAS_FOR_EVERY_NAME = (
    "The three schedules are right, but a name that does not exist is not refused. Whoever mistypes it should hear of "
    "it: raise a ValueError."
)


@misconception("beta_schedule", BETAS_FOR_EVERY_NAME)
def betas_for_every_name(kind, steps):
    return schedule_of(kind if kind in ("linear", "cosine") else "sigmoid", steps)


@misconception("beta_schedule", BETAS_FOR_EVERY_NAME)
def betas_none_for_other_names(kind, steps):
    return schedule_of(kind, steps) if kind in ("linear", "cosine", "sigmoid") else None


# ---- alpha_bar ------------------------------------------------------------------------------------------------------


@misconception(
    "alpha_bar",
    "Step 0 is missing: before the first step all of the data is there, so alpha_bar begins with 1 and has one entry "
    "more than betas.",
)
def products_without_step_0(betas):
    return (1 - betas).cumprod(0)


@misconception(
    "alpha_bar",
    "The betas were multiplied with each other. What a step leaves of the data's variance is 1 - beta.",
)
def products_of_betas(betas):
    return torch.cat([betas.new_ones(1), betas.cumprod(0)])


@misconception(
    "alpha_bar",
    "These are the factors of the single steps, alpha_k = 1 - beta_k. alpha_bar_k is the product of the first k of "
    "them.",
)
def factors_not_multiplied(betas):
    return torch.cat([betas.new_ones(1), 1 - betas])


@misconception(
    "alpha_bar",
    "The betas were added up. A step takes its share of what is left, so what is left gets multiplied by 1 - beta.",
)
def products_by_sums(betas):
    return torch.cat([betas.new_ones(1), 1 - betas.cumsum(0)])


@misconception(
    "alpha_bar",
    "This is exp(-sum of betas), the limit for very many very small steps. A chain of finitely many steps multiplies "
    "the factors 1 - beta.",
)
def products_by_exponentials(betas):
    return torch.cat([betas.new_ones(1), torch.exp(-betas.cumsum(0))])


@misconception(
    "alpha_bar",
    "This is the square root, which multiplies the data themselves. alpha_bar is what is left of their variance.",
)
def products_of_roots(betas):
    return torch.cat([betas.new_ones(1), (1 - betas).sqrt().cumprod(0)])


@misconception(
    "alpha_bar",
    "This is 1 - alpha_bar, how much noise there is. Asked for is what is left of the data.",
)
def products_of_noise(betas):
    return torch.cat([betas.new_zeros(1), 1 - (1 - betas).cumprod(0)])


@misconception(
    "alpha_bar",
    "The list is one step late: the 1 is there, but the last step is missing. T betas make T + 1 entries.",
)
def products_without_the_last_step(betas):
    return torch.cat([betas.new_ones(1), (1 - betas).cumprod(0)[:-1]])


@misconception(
    "alpha_bar",
    "The 1 of step 0 stands at the end of the list. Index k belongs to step k, so it comes first.",
)
def products_with_the_1_at_the_end(betas):
    return torch.cat([(1 - betas).cumprod(0), betas.new_ones(1)])


@misconception(
    "alpha_bar",
    "The list begins with 0. Before the first step all of the data is there: alpha_bar_0 = 1.",
)
def products_from_0(betas):
    return torch.cat([betas.new_zeros(1), (1 - betas).cumprod(0)])


@misconception(
    "alpha_bar",
    "The factors were multiplied from the last step on. alpha_bar_k is the product of the first k.",
)
def products_from_the_last_step(betas):
    return torch.cat([betas.new_ones(1), (1 - betas).flip(0).cumprod(0)])


@misconception("alpha_bar", "The result is float32 whatever the betas are. Their dtype has to be kept.")
def products_in_float32(betas):
    return torch.cat([torch.ones(1), (1 - betas.float()).cumprod(0)])


@misconception("alpha_bar", "The result is float64 whatever the betas are. Their dtype has to be kept.")
def products_in_float64(betas):
    return torch.cat([torch.ones(1), (1 - betas).cumprod(0)]).double()


# ---- snr ------------------------------------------------------------------------------------------------------------


@misconception("snr", "The ratio is upside down: this is noise over signal.")
def ratio_upside_down(a):
    return (1 - a) / a


@misconception(
    "snr", "This is a ratio of standard deviations. The signal-to-noise ratio is that of the variances, without a root."
)
def ratio_of_roots(a):
    return (a / (1 - a)) ** 0.5


@misconception(
    "snr",
    "The level was squared. a is a variance already, the square of what multiplies the data; the noise has the "
    "variance 1 - a.",
)
def ratio_of_squares(a):
    return a**2 / (1 - a**2)


@misconception(
    "snr", "Both were squared. a and 1 - a are the variances of signal and noise; their ratio is all that is asked for."
)
def ratio_squared(a):
    return (a / (1 - a)) ** 2


@misconception("snr", "The signal is missing: this is one over the noise's variance.")
def ratio_without_the_signal(a):
    return 1 / (1 - a)


@misconception("snr", "This is the logarithm of the ratio. Asked for is the ratio itself.")
def ratio_as_a_logarithm(a):
    return math.log(a / (1 - a)) if isinstance(a, float) else (a / (1 - a)).log()


@misconception("snr", "This is the ratio in decibels. Asked for is the ratio itself.")
def ratio_in_decibels(a):
    return 10 * math.log10(a / (1 - a)) if isinstance(a, float) else 10 * (a / (1 - a)).log10()


@misconception("snr", "This is half the logarithm of the ratio, the lambda of a later section. Asked for is the ratio.")
def ratio_as_lambda(a):
    return math.log(a / (1 - a)) / 2 if isinstance(a, float) else (a / (1 - a)).log() / 2


@misconception(
    "snr",
    "A small number was added so that nothing is divided by zero. But without any noise the ratio is infinite, and a "
    "tensor can hold that.",
)
def ratio_that_is_never_infinite(a):
    return a / (1 - a + 1e-8)


@misconception("snr", "The level was compared with 1 instead of with the noise, whose variance is 1 - a.")
def ratio_is_the_level(a):
    return a / 1


@misconception("snr", "The ratio is negative: the noise's variance is 1 - a, not a - 1.")
def ratio_negative(a):
    return a / (a - 1)


# ---- q_sample -------------------------------------------------------------------------------------------------------


@misconception("q_sample", NO_ROOT)
def chain_without_roots(z, a, noise):
    a = expand_time(a, z)
    return a * z + (1 - a) * noise


@misconception(
    "q_sample",
    "The noise got its variance 1 - a as a factor. What multiplies it is its standard deviation, the square root.",
)
def chain_noise_by_its_variance(z, a, noise):
    a = expand_time(a, z)
    return a**0.5 * z + (1 - a) * noise


@misconception("q_sample", "The root before the data is missing: a is what is left of their variance.")
def chain_data_by_its_variance(z, a, noise):
    a = expand_time(a, z)
    return a * z + (1 - a) ** 0.5 * noise


@misconception(
    "q_sample",
    "The level was taken for the factor of the data itself, with sqrt(1 - a^2) for the noise. It is its square.",
)
def chain_level_as_a_factor(z, a, noise):
    a = expand_time(a, z)
    return a * z + (1 - a**2) ** 0.5 * noise


@misconception("q_sample", "The noise was added as it is. With a level a of data there is 1 - a of noise.")
def chain_with_all_of_the_noise(z, a, noise):
    return expand_time(a, z) ** 0.5 * z + noise


@misconception("q_sample", "The noise has the factor 1 - sqrt(a). The two variances add up to 1, not the two factors.")
def chain_factors_that_add_up(z, a, noise):
    root = expand_time(a, z) ** 0.5
    return root * z + (1 - root) * noise


@misconception("q_sample", "Data and noise changed places: a is how much of the data is left.")
def chain_exchanged(z, a, noise):
    a = expand_time(a, z)
    return a**0.5 * noise + (1 - a) ** 0.5 * z


@misconception("q_sample", "The noise has a minus sign. Its law would be the same, but the network is told this noise.")
def chain_minus_noise(z, a, noise):
    a = expand_time(a, z)
    return a**0.5 * z - (1 - a) ** 0.5 * noise


@misconception("q_sample", "There is no noise in it: this is the mean of q(x_k | z) only.")
def chain_without_noise(z, a, noise):
    return expand_time(a, z) ** 0.5 * z


@misconception("q_sample", NOT_SPREAD)
def chain_not_spread(z, a, noise):
    return a**0.5 * z + (1 - a) ** 0.5 * noise


@misconception("q_sample", ONE_AXIS)
def chain_with_one_axis(z, a, noise):
    a = one_axis(a)
    return a**0.5 * z + (1 - a) ** 0.5 * noise


@misconception("q_sample", "All samples got the level of the first one. There may be one per sample.")
def chain_first_level(z, a, noise):
    a = a.flatten()[0] if isinstance(a, torch.Tensor) else a
    return a**0.5 * z + (1 - a) ** 0.5 * noise


@misconception(
    "q_sample",
    "The data were overwritten: `mul_`, `+=` and the like work in place. The caller still needs them as they were.",
)
def chain_in_place(z, a, noise):
    a = expand_time(a, z)
    z *= a**0.5
    z += (1 - a) ** 0.5 * noise
    return z


@misconception("q_sample", IN_FLOAT32)
def chain_in_float32(z, a, noise):
    a = expand_time(torch.as_tensor(a).float(), z)
    return a**0.5 * z.float() + (1 - a) ** 0.5 * noise.float()


# ---- posterior ------------------------------------------------------------------------------------------------------


def weights(now, then):
    """The weights of the data and of x in the posterior's mean, and its variance."""
    kept = now / then
    return then**0.5 * (1 - kept) / (1 - now), kept**0.5 * (1 - then) / (1 - now), (1 - then) / (1 - now) * (1 - kept)


@misconception("posterior", "The second result is the standard deviation. Asked for is the variance.")
def posterior_with_the_deviation(x, z, now, then):
    mean, variance = diffusion.posterior(x, z, now, then)
    return mean, variance**0.5


@misconception(
    "posterior",
    "The variance is that of the step forwards, beta_k = 1 - now/then. Who knows the data too, knows more: the "
    "posterior's variance is smaller, by the factor (1 - then)/(1 - now).",
)
def posterior_with_beta(x, z, now, then):
    mean, _ = diffusion.posterior(x, z, now, then)
    return mean, 1 - expand_time(now, x) / expand_time(then, x)


@misconception(
    "posterior",
    "The variance is that of x at the level `then` given the data alone, 1 - then. But x at the level `now` is known, "
    "too.",
)
def posterior_without_x(x, z, now, then):
    mean, _ = diffusion.posterior(x, z, now, then)
    return mean, 1 - expand_time(then, x)


@misconception(
    "posterior",
    "`now` and `then` changed places. `now` is the level of x, with more noise, step k; `then` the one before it in "
    "the chain, step k - 1, a larger number.",
)
def posterior_at_exchanged_levels(x, z, now, then):
    data, here, variance = weights(real(then, x), real(now, x))
    return data * z + here * x, variance


@misconception("posterior", "The weights of x and z changed places. The nearer `then` is to 1, the more z counts.")
def posterior_with_exchanged_weights(x, z, now, then):
    data, here, variance = weights(expand_time(now, x), expand_time(then, x))
    return here * z + data * x, variance


@misconception("posterior", "The root before the data is missing: sqrt(then) multiplies them, as in the closed form.")
def posterior_without_the_root_of_then(x, z, now, then):
    data, here, variance = weights(expand_time(now, x), expand_time(then, x))
    return expand_time(then, x) ** 0.5 * data * z + here * x, variance


@misconception("posterior", "The root before x is missing: a step multiplies by sqrt(1 - beta), the root of now/then.")
def posterior_without_the_root_of_the_step(x, z, now, then):
    now, then = expand_time(now, x), expand_time(then, x)
    data, here, variance = weights(now, then)
    return data * z + (now / then) ** 0.5 * here * x, variance


@misconception(
    "posterior",
    "alpha_bar stands where alpha belongs. What one step leaves is alpha_k = now/then; `now` is what all steps so far "
    "have left.",
)
def posterior_with_alpha_bar_for_alpha(x, z, now, then):
    now, then = expand_time(now, x), expand_time(then, x)
    return then**0.5 * z + now**0.5 * (1 - then) / (1 - now) * x, 1 - then


@misconception(
    "posterior",
    "The mean is that of q given the data alone, sqrt(then) z. Where x ended up says something about the noise that "
    "was there before: it has a weight of its own.",
)
def posterior_mean_of_the_data_alone(x, z, now, then):
    _, variance = diffusion.posterior(x, z, now, then)
    return expand_time(then, x) ** 0.5 * z, variance


@misconception("posterior", "Only the mean came back. The variance is asked for as well: mean, variance.")
def posterior_without_variance(x, z, now, then):
    return diffusion.posterior(x, z, now, then)[0]


@misconception("posterior", "The two results changed places: first the mean, then the variance.")
def posterior_exchanged_results(x, z, now, then):
    mean, variance = diffusion.posterior(x, z, now, then)
    return variance, mean


@misconception("posterior", "This is the precision, one over the variance, which Bayes' rule adds up. Invert it.")
def posterior_with_the_precision(x, z, now, then):
    mean, variance = diffusion.posterior(x, z, now, then)
    return mean, 1 / torch.as_tensor(variance, dtype=torch.float64)


@misconception("posterior", NOT_SPREAD)
def posterior_not_spread(x, z, now, then):
    data, here, variance = weights(now, then)
    return data * z + here * x, variance


@misconception("posterior", ONE_AXIS)
def posterior_with_one_axis(x, z, now, then):
    data, here, variance = weights(one_axis(now), one_axis(then))
    return data * z + here * x, variance


@misconception(
    "posterior",
    "The mean is right. With one level per sample, the variances (n,) have to come back as they meet the samples, (n, "
    "1, ...): whoever multiplies noise by them would otherwise do it along the wrong axis.",
)
def posterior_variance_not_spread(x, z, now, then):
    mean, _ = diffusion.posterior(x, z, now, then)
    return mean, weights(now, then)[2]


# ---- gaussian_kl ----------------------------------------------------------------------------------------------------


def divergence(mean1, var1, mean2, var2, half=0.5, one=1.0, log=1.0):
    """The terms of the divergence for every number, with these factors."""
    v1, v2 = (torch.as_tensor(v, dtype=mean1.dtype).expand(mean1.shape) for v in (var1, var2))
    return half * (v1 / v2 + (mean1 - mean2) ** 2 / v2 - one + log * torch.log(v2 / v1))


def summed(terms):
    return terms.flatten(1).sum(1)


@misconception(
    "gaussian_kl",
    "The two laws changed places. The divergence is not symmetric: the first law is the one that is averaged over, and "
    "the second one's variance divides.",
)
def kl_the_other_way(mean1, var1, mean2, var2):
    return summed(divergence(mean2, var2, mean1, var1))


@misconception("gaussian_kl", "The factor 1/2 is missing.")
def kl_without_the_half(mean1, var1, mean2, var2):
    return summed(divergence(mean1, var1, mean2, var2, half=1.0))


@misconception(
    "gaussian_kl",
    "The 1 is missing: every coordinate brings a -1/2, so that two equal laws have the divergence 0.",
)
def kl_without_the_one(mean1, var1, mean2, var2):
    return summed(divergence(mean1, var1, mean2, var2, one=0.0))


@misconception(
    "gaussian_kl",
    "The logarithm of the variances' ratio is missing: without it a law that is too wide looks better than the right "
    "one.",
)
def kl_without_the_logarithm(mean1, var1, mean2, var2):
    return summed(divergence(mean1, var1, mean2, var2, log=0.0))


@misconception("gaussian_kl", "The logarithm has the wrong sign: it is that of var2/var1.")
def kl_logarithm_upside_down(mean1, var1, mean2, var2):
    return summed(divergence(mean1, var1, mean2, var2, log=-1.0))


@misconception(
    "gaussian_kl",
    "The logarithm is that of the standard deviations, log(sigma2/sigma1), but with the factor 1/2 of the variances.",
)
def kl_logarithm_of_deviations(mean1, var1, mean2, var2):
    return summed(divergence(mean1, var1, mean2, var2, log=0.5))


@misconception(
    "gaussian_kl",
    "The logarithm is that of the variances, but without the 1/2: log(sigma2/sigma1) is half of log(var2/var1).",
)
def kl_logarithm_twice(mean1, var1, mean2, var2):
    return summed(divergence(mean1, var1, mean2, var2, log=2.0))


@misconception(
    "gaussian_kl", "The variances were taken for standard deviations and squared. They are variances already."
)
def kl_of_deviations(mean1, var1, mean2, var2):
    return summed(divergence(mean1, var1**2, mean2, var2**2))


@misconception(
    "gaussian_kl",
    "The divergence was averaged over the coordinates. They are independent, so their divergences add up.",
)
def kl_mean_of_the_coordinates(mean1, var1, mean2, var2):
    return divergence(mean1, var1, mean2, var2).flatten(1).mean(1)


@misconception("gaussian_kl", "The samples were averaged, too. Asked for is one number for each of them, (n,).")
def kl_mean_of_the_samples(mean1, var1, mean2, var2):
    return summed(divergence(mean1, var1, mean2, var2)).mean()


@misconception("gaussian_kl", "The coordinates were not added up. Asked for is one number for each sample, (n,).")
def kl_of_every_number(mean1, var1, mean2, var2):
    return divergence(mean1, var1, mean2, var2)


@misconception(
    "gaussian_kl",
    "Right for points, but a sample may have several axes: add up all of them; `.flatten(1)` makes each a row.",
)
def kl_sum_of_the_last_axis(mean1, var1, mean2, var2):
    return divergence(mean1, var1, mean2, var2).sum(-1)


@misconception(
    "gaussian_kl",
    "The logarithm and the ratio of the variances count once per sample. Every coordinate has them: add them up, too.",
)
def kl_constants_once(mean1, var1, mean2, var2):
    zero = torch.zeros_like(mean1)
    distance = divergence(mean1, var1, mean2, var2) - divergence(zero, var1, zero, var2)
    return summed(distance) + divergence(zero, var1, zero, var2).flatten(1).mean(1)


@misconception("gaussian_kl", "The distance of the means was not squared.")
def kl_distance_not_squared(mean1, var1, mean2, var2):
    zero = torch.zeros_like(mean1)
    v2 = torch.as_tensor(var2, dtype=mean1.dtype)
    return summed(divergence(zero, var1, zero, var2) + (mean1 - mean2).abs() / v2 / 2)


@misconception("gaussian_kl", "The distance of the means was divided by the first variance. It is the second one's.")
def kl_distance_by_the_first(mean1, var1, mean2, var2):
    zero = torch.zeros_like(mean1)
    v1 = torch.as_tensor(var1, dtype=mean1.dtype)
    return summed(divergence(zero, var1, zero, var2) + (mean1 - mean2) ** 2 / v1 / 2)


# ---- elbo_terms -----------------------------------------------------------------------------------------------------


def between(x, z, guess, now, then):
    """The divergence of a step between: from the posterior to the model's step, whose variance is beta."""
    mean, variance = diffusion.posterior(x, z, now, then)
    return diffusion.gaussian_kl(mean, variance, diffusion.posterior(x, guess, now, then)[0], 1 - now / then)


def reconstruction(z, guess, variance):
    """Minus the log-density of z around the guess."""
    return summed((z - guess) ** 2 / variance + math.log(2 * math.pi * variance)) / 2


def prior(z, a):
    """The divergence of the last step from noise."""
    return diffusion.gaussian_kl(a**0.5 * z, 1 - a, torch.zeros_like(z), 1.0)


@torch.no_grad()
def bound(
    model,
    alpha_bar,
    z,
    noise,
    guess=None,
    asked=lambda k: k,
    level=lambda k: k,
    row=lambda k: k - 1,
    step=between,
    first=reconstruction,
    last=prior,
):
    """The terms of the bound, whose details can be changed one by one."""
    levels, terms = alpha_bar.tolist(), []
    for k in range(1, len(levels)):
        x = diffusion.q_sample(z, levels[level(k)], noise[row(k)])
        eps = model(x, asked(k))
        found = diffusion.predict_x0(x, eps, levels[k]) if guess is None else guess(x, eps, levels[k])
        terms.append(first(z, found, 1 - levels[1]) if k == 1 else step(x, z, found, levels[k], levels[k - 1]))
    return torch.stack([*terms, last(z, levels[-1])])


@misconception(
    "elbo_terms",
    "The samples x_k were made with the level of step k - 1. alpha_bar has step 0 at its front: step k has index k.",
)
def bound_one_level_early(model, alpha_bar, z, noise):
    return bound(model, alpha_bar, z, noise, level=lambda k: k - 1)


@misconception(
    "elbo_terms",
    "The model was asked for step k - 1. x_k is the sample of step k, and steps count from 1.",
)
def bound_asks_one_step_early(model, alpha_bar, z, noise):
    return bound(model, alpha_bar, z, noise, asked=lambda k: k - 1)


@misconception("elbo_terms", "Every step got the same noise, the first row. Each has its own: noise[k - 1] makes x_k.")
def bound_with_one_noise(model, alpha_bar, z, noise):
    return bound(model, alpha_bar, z, noise, row=lambda k: 0)


@misconception(
    "elbo_terms",
    "The rows of the noise are one off: noise has no row for step 0, so that x_k is made by noise[k - 1].",
)
def bound_with_the_next_noise(model, alpha_bar, z, noise):
    return bound(model, alpha_bar, z, noise, row=lambda k: k % len(noise))


@misconception(
    "elbo_terms",
    "The model's noise was taken for its guess of the data. Convert it first: predict_x0.",
)
def bound_with_noise_for_the_data(model, alpha_bar, z, noise):
    return bound(model, alpha_bar, z, noise, guess=lambda x, eps, a: eps)


@misconception(
    "elbo_terms",
    "Both laws of the steps between have the posterior's variance. The model does not know the data; its step has the "
    "variance beta_k, which keeps the bound tight when there are many steps.",
)
def bound_with_the_posterior_variance(model, alpha_bar, z, noise):
    def step(x, z, guess, now, then):
        mean, variance = diffusion.posterior(x, z, now, then)
        return diffusion.gaussian_kl(mean, variance, diffusion.posterior(x, guess, now, then)[0], variance)

    return bound(model, alpha_bar, z, noise, step=step)


@misconception(
    "elbo_terms",
    "Both laws of the steps between have the variance beta_k. That is the model's; the chain's own step back, given "
    "the data, has the posterior's variance.",
)
def bound_with_beta_twice(model, alpha_bar, z, noise):
    def step(x, z, guess, now, then):
        mean, beta = diffusion.posterior(x, z, now, then)[0], 1 - now / then
        return diffusion.gaussian_kl(mean, beta, diffusion.posterior(x, guess, now, then)[0], beta)

    return bound(model, alpha_bar, z, noise, step=step)


@misconception(
    "elbo_terms",
    "The divergences of the steps between go the wrong way: the average is over the chain's posterior, so it comes "
    "first, and the model second.",
)
def bound_the_other_way(model, alpha_bar, z, noise):
    def step(x, z, guess, now, then):
        mean, variance = diffusion.posterior(x, z, now, then)
        return diffusion.gaussian_kl(diffusion.posterior(x, guess, now, then)[0], 1 - now / then, mean, variance)

    return bound(model, alpha_bar, z, noise, step=step)


@misconception(
    "elbo_terms",
    "The steps between hold the squared errors of the noise, as in the simple loss. The bound has divergences, which "
    "weigh them.",
)
def bound_of_the_simple_loss(model, alpha_bar, z, noise):
    def step(x, z, guess, now, then):
        return summed((now / (1 - now)) * (z - guess) ** 2)

    return bound(model, alpha_bar, z, noise, step=step)


@misconception(
    "elbo_terms",
    "The model's steps between lead to the wrong mean: to sqrt(then) times its guess. They use the posterior of the "
    "guess, which knows x_k as well.",
)
def bound_without_x(model, alpha_bar, z, noise):
    def step(x, z, guess, now, then):
        mean, variance = diffusion.posterior(x, z, now, then)
        return diffusion.gaussian_kl(mean, variance, then**0.5 * guess, 1 - now / then)

    return bound(model, alpha_bar, z, noise, step=step)


@misconception(
    "elbo_terms",
    "L_0 has the wrong sign. It is minus the log-density of the data, like all the terms a price in nats.",
)
def bound_with_the_likelihood(model, alpha_bar, z, noise):
    return bound(model, alpha_bar, z, noise, first=lambda *args: -reconstruction(*args))


@misconception(
    "elbo_terms",
    "L_0 is not a whole log-density: its constant, log(2 pi variance) / 2 in every coordinate, is missing.",
)
def bound_without_the_constant(model, alpha_bar, z, noise):
    return bound(model, alpha_bar, z, noise, first=lambda z, guess, v: summed((z - guess) ** 2 / v) / 2)


@misconception("elbo_terms", "L_0 has log(2 pi) in it, but not the logarithm of the variance 1 - alpha_bar_1.")
def bound_without_the_variance_in_the_constant(model, alpha_bar, z, noise):
    def first(z, guess, v):
        return summed((z - guess) ** 2 / v + math.log(2 * math.pi)) / 2

    return bound(model, alpha_bar, z, noise, first=first)


@misconception(
    "elbo_terms", "The constant of L_0 counts once per sample. Every coordinate has it: log(2 pi variance) / 2."
)
def bound_with_the_constant_once(model, alpha_bar, z, noise):
    def first(z, guess, v):
        return summed((z - guess) ** 2 / v) / 2 + math.log(2 * math.pi * v) / 2

    return bound(model, alpha_bar, z, noise, first=first)


@misconception("elbo_terms", "L_0 was given the standard deviation, sqrt(1 - alpha_bar_1), where the variance belongs.")
def bound_with_the_deviation(model, alpha_bar, z, noise):
    return bound(model, alpha_bar, z, noise, first=lambda z, guess, v: reconstruction(z, guess, v**0.5))


@misconception(
    "elbo_terms",
    "L_T is missing. What is left of the data in the last step is not nothing, and costs nats, though no model can "
    "change it.",
)
def bound_without_the_last(model, alpha_bar, z, noise):
    return bound(model, alpha_bar, z, noise)[:-1]


@misconception("elbo_terms", "The root is missing in L_T: the last step's law has the mean sqrt(alpha_bar_T) z.")
def bound_without_the_root(model, alpha_bar, z, noise):
    def last(z, a):
        return diffusion.gaussian_kl(a * z, 1 - a, torch.zeros_like(z), 1.0)

    return bound(model, alpha_bar, z, noise, last=last)


@misconception("elbo_terms", "L_T goes the wrong way: first the chain's last step, then the noise.")
def bound_with_the_last_the_other_way(model, alpha_bar, z, noise):
    def last(z, a):
        return diffusion.gaussian_kl(torch.zeros_like(z), 1.0, a**0.5 * z, 1 - a)

    return bound(model, alpha_bar, z, noise, last=last)


@misconception("elbo_terms", "The terms are in reverse: row 0 is L_0, next to the data, and the last row L_T.")
def bound_reversed(model, alpha_bar, z, noise):
    return bound(model, alpha_bar, z, noise).flip(0)


@misconception("elbo_terms", "L_T stands first. Row 0 is L_0, next to the data, and L_T is the last row.")
def bound_with_the_end_first(model, alpha_bar, z, noise):
    return diffusion.elbo_terms(model, alpha_bar, z, noise).roll(1, 0)


@misconception(
    "elbo_terms",
    "The sign of all terms is wrong. Their sum is above -log p(x_0): divergences, which are never negative, and minus "
    "a logarithm.",
)
def bound_with_the_other_sign(model, alpha_bar, z, noise):
    return -diffusion.elbo_terms(model, alpha_bar, z, noise)


@misconception("elbo_terms", "These are bits. Asked for are nats: natural logarithms, nothing divided by log 2.")
def bound_in_bits(model, alpha_bar, z, noise):
    return bound(model, alpha_bar, z, noise) / math.log(2)


@misconception("elbo_terms", "The samples were averaged. Asked for is a term for each step and sample, (T+1, n).")
def bound_of_the_batch(model, alpha_bar, z, noise):
    return bound(model, alpha_bar, z, noise).mean(1)


@misconception(
    "elbo_terms",
    "The terms were averaged over the coordinates. Their sum is in nats per sample, as the log-likelihood is.",
)
def bound_per_dimension(model, alpha_bar, z, noise):
    return bound(model, alpha_bar, z, noise) / z[0].numel()


@misconception("elbo_terms", "The terms were added up already. Asked for is every one of them, (T+1, n).")
def bound_added_up(model, alpha_bar, z, noise):
    return bound(model, alpha_bar, z, noise).sum(0)


# ---- loss_weight ----------------------------------------------------------------------------------------------------


def factors(alpha_bar):
    """beta_k, alpha_k and alpha_bar_k of the steps."""
    now, then = alpha_bar[1:], alpha_bar[:-1]
    return 1 - now / then, now / then, now


@misconception("loss_weight", "The factor 1/2 of the divergence is missing.")
def weight_without_the_half(alpha_bar):
    beta, alpha, product = factors(alpha_bar)
    return beta / (alpha * (1 - product))


@misconception(
    "loss_weight",
    "alpha_bar stands where alpha belongs. alpha_k = 1 - beta_k = alpha_bar_k / alpha_bar_{k-1} is what one step "
    "leaves.",
)
def weight_with_alpha_bar_for_alpha(alpha_bar):
    beta, _, product = factors(alpha_bar)
    return beta / (2 * product * (1 - product))


@misconception(
    "loss_weight", "alpha stands where alpha_bar belongs: 1 - alpha_bar_k is all the noise that step k has so far."
)
def weight_with_alpha_for_alpha_bar(alpha_bar):
    _, alpha, _ = factors(alpha_bar)
    return 1 / (2 * alpha)


@misconception("loss_weight", "alpha_k is missing below: it comes from the noise's factor in the posterior's mean.")
def weight_without_alpha(alpha_bar):
    beta, _, product = factors(alpha_bar)
    return beta / (2 * (1 - product))


@misconception(
    "loss_weight",
    "beta is squared. The mean brings beta^2, but the divergence divides by the model's variance, which is beta.",
)
def weight_not_divided_by_the_variance(alpha_bar):
    beta, alpha, product = factors(alpha_bar)
    return beta**2 / (2 * alpha * (1 - product))


@misconception(
    "loss_weight",
    "This divides by the posterior's variance. The model's steps have the variance beta_k in this bound.",
)
def weight_by_the_posterior_variance(alpha_bar):
    beta, alpha, _ = factors(alpha_bar)
    weight = beta / (2 * alpha * (1 - alpha_bar[:-1]))
    return torch.cat([1 / (2 * alpha_bar[1:2]), weight[1:]])


@misconception(
    "loss_weight",
    "This divides by the posterior's variance, which is 0 in the first step, so that its weight is infinite. The "
    "model's steps have the variance beta_k in this bound.",
)
def weight_by_the_posterior_variance_in_all_steps(alpha_bar):
    beta, alpha, _ = factors(alpha_bar)
    return beta / (2 * alpha * (1 - alpha_bar[:-1]))


@misconception(
    "loss_weight",
    "This is the weight of the error of the data. The error of the noise is snr times as large, so its weight is the "
    "smaller by that.",
)
def weight_of_the_data(alpha_bar):
    beta, alpha, product = factors(alpha_bar)
    return beta / (2 * alpha * (1 - product)) * product / (1 - product)


@misconception(
    "loss_weight",
    "This is half of how much the signal-to-noise ratio falls in a step: the weight of the error of the data, and for "
    "steps with the posterior's variance. Asked for is that of the noise, for steps with the variance beta_k.",
)
def weight_by_falling_snr(alpha_bar):
    ratio = alpha_bar / (1 - alpha_bar)
    return (ratio[:-1] - ratio[1:]) / 2


@misconception(
    "loss_weight",
    "Brackets are missing: `b / 2 * c * d` divides by 2 alone. All three factors stand below, `b / (2 * c * d)`.",
)
def weight_without_brackets(alpha_bar):
    beta, alpha, product = factors(alpha_bar)
    return beta / 2 * alpha * (1 - product)


@misconception("loss_weight", "This is the signal-to-noise ratio. The weight is made of it, but is not it.")
def weight_is_the_snr(alpha_bar):
    return alpha_bar[1:] / (1 - alpha_bar[1:])


@misconception("loss_weight", "The weight is upside down: it is large where there is little noise.")
def weight_upside_down(alpha_bar):
    beta, alpha, product = factors(alpha_bar)
    return 2 * alpha * (1 - product) / beta


@misconception(
    "loss_weight", "The list has an entry for step 0, where there is no loss. Index k - 1 belongs to step k."
)
def weight_with_step_0(alpha_bar):
    beta, alpha, product = factors(alpha_bar)
    return torch.cat([torch.ones_like(beta[:1]), beta / (2 * alpha * (1 - product))])


@misconception("loss_weight", "The first step is missing. Its term, L_0, has a weight as well.")
def weight_without_the_first_step(alpha_bar):
    beta, alpha, product = factors(alpha_bar)
    return (beta / (2 * alpha * (1 - product)))[1:]


@misconception(
    "loss_weight", "The weights were scaled, so that their mean is 1. The bound needs them as they are, in nats."
)
def weight_scaled(alpha_bar):
    beta, alpha, product = factors(alpha_bar)
    weight = beta / (2 * alpha * (1 - product))
    return weight / weight.mean()


@misconception("loss_weight", "The weights are those of the steps in reverse: the first belongs to step 1.")
def weight_reversed(alpha_bar):
    beta, alpha, product = factors(alpha_bar)
    return (beta / (2 * alpha * (1 - product))).flip(0)


# ---- simple_loss ----------------------------------------------------------------------------------------------------


def at_step(alpha_bar, k, z):
    """alpha_bar_k of the samples, in the dtype of the data, with their axes."""
    return expand_time(alpha_bar[k].to(z.dtype), z)


def noisy(alpha_bar, z, k, noise):
    a = at_step(alpha_bar, k, z)
    return a**0.5 * z + (1 - a) ** 0.5 * noise


def mean_square(error):
    """The mean over the samples of the squared norm."""
    return error.square().flatten(1).sum(1).mean()


@misconception(
    "simple_loss",
    "The squares were averaged over the coordinates too. The squared norm of a sample is a sum; only the samples are "
    "averaged.",
)
def simple_mean_of_all(model, alpha_bar, z, k, noise):
    return (model(noisy(alpha_bar, z, k, noise), k) - noise).square().mean()


@misconception(
    "simple_loss",
    "Right for points, but a sample may have several axes: `.sum(1)` adds up one of them only. `.flatten(1).sum(1)` "
    "adds up all.",
)
def simple_sum_along_one_axis(model, alpha_bar, z, k, noise):
    return (model(noisy(alpha_bar, z, k, noise), k) - noise).square().sum(1).mean()


@misconception(
    "simple_loss",
    "The samples were added up too, so a batch twice as large gives a loss twice as large. Average over the samples.",
)
def simple_sum_of_all(model, alpha_bar, z, k, noise):
    return (model(noisy(alpha_bar, z, k, noise), k) - noise).square().sum()


@misconception(
    "simple_loss",
    "Right for points, but a sample may have several axes: sum over all of them; `.flatten(1)` makes each a row.",
)
def simple_sum_of_the_last_axis(model, alpha_bar, z, k, noise):
    return (model(noisy(alpha_bar, z, k, noise), k) - noise).square().sum(-1).mean()


@misconception("simple_loss", "The distances were averaged as they are. The loss has their squares.")
def simple_distance(model, alpha_bar, z, k, noise):
    return torch.linalg.vector_norm((model(noisy(alpha_bar, z, k, noise), k) - noise).flatten(1), dim=1).mean()


@misconception(
    "simple_loss",
    "The samples were made with the level of step k - 1. alpha_bar has step 0 at its front: step k has index k.",
)
def simple_one_level_early(model, alpha_bar, z, k, noise):
    return mean_square(model(noisy(alpha_bar, z, k - 1, noise), k) - noise)


@misconception("simple_loss", "The model was asked for step k - 1. x_k is the sample of step k; steps count from 1.")
def simple_asks_one_step_early(model, alpha_bar, z, k, noise):
    return mean_square(model(noisy(alpha_bar, z, k, noise), k - 1) - noise)


@misconception(
    "simple_loss",
    "The model was told the level alpha_bar_k. A noise model is told the step: model(x, k).",
)
def simple_tells_the_level(model, alpha_bar, z, k, noise):
    return mean_square(model(noisy(alpha_bar, z, k, noise), alpha_bar[k].to(z.dtype)) - noise)


@misconception("simple_loss", "The model was asked at the data. It sees x_k, data and noise mixed, and nothing else.")
def simple_asks_at_the_data(model, alpha_bar, z, k, noise):
    return mean_square(model(z, k) - noise)


@misconception("simple_loss", "The model was taught the data. Asked for is the loss of a model of the noise.")
def simple_target_is_the_data(model, alpha_bar, z, k, noise):
    return mean_square(model(noisy(alpha_bar, z, k, noise), k) - z)


@misconception(
    "simple_loss",
    "The model was taught minus the noise, which belongs to the score. Its target is the noise as it went in.",
)
def simple_target_is_minus_noise(model, alpha_bar, z, k, noise):
    return mean_square(model(noisy(alpha_bar, z, k, noise), k) + noise)


@misconception(
    "simple_loss",
    "The model was taught the noise times sqrt(1 - alpha_bar_k). Its target is the noise of variance 1.",
)
def simple_target_is_scaled(model, alpha_bar, z, k, noise):
    a = at_step(alpha_bar, k, z)
    return mean_square(model(noisy(alpha_bar, z, k, noise), k) - (1 - a) ** 0.5 * noise)


@misconception("simple_loss", NO_ROOT)
def simple_without_roots(model, alpha_bar, z, k, noise):
    a = at_step(alpha_bar, k, z)
    return mean_square(model(a * z + (1 - a) * noise, k) - noise)


@misconception(
    "simple_loss",
    "The weights of the bound are in it. The simple loss is called so because it leaves them out.",
)
def simple_with_weights(model, alpha_bar, z, k, noise):
    weight = diffusion.loss_weight(alpha_bar)[k - 1].to(z.dtype)
    error = model(noisy(alpha_bar, z, k, noise), k) - noise
    return (weight * error.square().flatten(1).sum(1)).mean()


@misconception(
    "simple_loss",
    "The loss is float64 though the data are float32: alpha_bar is float64, and an index (n,) into it drags all that "
    "it meets along. Bring the levels to the data's dtype first: alpha_bar[k].to(z).",
)
def simple_in_float64(model, alpha_bar, z, k, noise):
    a = expand_time(alpha_bar[k], z)
    return mean_square(model(a**0.5 * z + (1 - a) ** 0.5 * noise, k) - noise)


@misconception("simple_loss", NOT_SPREAD)
def simple_not_spread(model, alpha_bar, z, k, noise):
    a = alpha_bar[k].to(z.dtype)
    a = a if z.shape[-1] == len(a) else expand_time(a, z)
    return mean_square(model(a**0.5 * z + (1 - a) ** 0.5 * noise, k) - noise)


@misconception("simple_loss", ONE_AXIS)
def simple_with_one_axis(model, alpha_bar, z, k, noise):
    a = one_axis(alpha_bar[k].to(z.dtype))
    return mean_square(model(a**0.5 * z + (1 - a) ** 0.5 * noise, k) - noise)


@misconception(
    "simple_loss",
    "The value is right, but it does not depend on the parameters any more: something cut it off (no_grad, detach, "
    "item, numpy), so nothing can be learned from it.",
)
def simple_without_gradient(model, alpha_bar, z, k, noise):
    return mean_square(model(noisy(alpha_bar, z, k, noise), k) - noise).detach()


# ---- predict_x0 -----------------------------------------------------------------------------------------------------


@misconception(
    "predict_x0", "The division is missing: what is left without the noise is sqrt(a) times the data, not the data."
)
def data_not_divided(x, eps, a):
    return x - (1 - expand_time(a, x)) ** 0.5 * eps


@misconception("predict_x0", "This divides by a. What multiplies the data is its square root.")
def data_divided_by_a(x, eps, a):
    a = expand_time(a, x)
    return (x - (1 - a) ** 0.5 * eps) / a


@misconception("predict_x0", "The noise was taken out with the factor 1 - a. It went in with the square root of that.")
def data_with_the_variance(x, eps, a):
    a = expand_time(a, x)
    return (x - (1 - a) * eps) / a**0.5


@misconception("predict_x0", NO_ROOT)
def data_without_roots(x, eps, a):
    a = expand_time(a, x)
    return (x - (1 - a) * eps) / a


@misconception(
    "predict_x0",
    "All of the noise was taken out, without its factor: only sqrt(1 - a) times eps went in.",
)
def data_without_the_factor(x, eps, a):
    return (x - eps) / expand_time(a, x) ** 0.5


@misconception("predict_x0", "The noise was added once more. It has to be taken out.")
def data_with_more_noise(x, eps, a):
    a = expand_time(a, x)
    return (x + (1 - a) ** 0.5 * eps) / a**0.5


@misconception(
    "predict_x0",
    "This takes eps for the score, as in Tweedie's formula: x + (1 - a) score. The noise is -sqrt(1 - a) times the "
    "score.",
)
def data_by_the_score(x, eps, a):
    a = expand_time(a, x)
    return (x + (1 - a) * eps) / a**0.5


@misconception("predict_x0", "The two roots changed places: this solves for the noise, with eps as the data.")
def data_exchanged(x, eps, a):
    a = expand_time(a, x)
    return (x - a**0.5 * eps) / (1 - a) ** 0.5


@misconception(
    "predict_x0", "Only x was divided. The noise has to be divided by sqrt(a), too: parentheses are missing."
)
def data_without_parentheses(x, eps, a):
    a = expand_time(a, x)
    return x / a**0.5 - (1 - a) ** 0.5 * eps


@misconception(
    "predict_x0",
    "The level was taken for the factor of the data itself, with sqrt(1 - a^2) for the noise. It is its square.",
)
def data_level_as_a_factor(x, eps, a):
    a = expand_time(a, x)
    return (x - (1 - a**2) ** 0.5 * eps) / a


@misconception("predict_x0", CLIPPED)
def data_clipped(x, eps, a):
    return diffusion.predict_x0(x, eps, a).clamp(-1, 1)


@misconception("predict_x0", NOT_SPREAD)
def data_not_spread(x, eps, a):
    return (x - (1 - a) ** 0.5 * eps) / a**0.5


@misconception("predict_x0", ONE_AXIS)
def data_with_one_axis(x, eps, a):
    a = one_axis(a)
    return (x - (1 - a) ** 0.5 * eps) / a**0.5


@misconception(
    "predict_x0",
    "The sample was overwritten: `sub_`, `-=`, `/=` and the like work in place. The caller still needs it as it was.",
)
def data_in_place(x, eps, a):
    a = expand_time(a, x)
    x -= (1 - a) ** 0.5 * eps
    x /= a**0.5
    return x


@misconception("predict_x0", IN_FLOAT32)
def data_in_float32(x, eps, a):
    return diffusion.predict_x0(x.float(), eps.float(), torch.as_tensor(a).float())


# ---- predict_v ------------------------------------------------------------------------------------------------------


@misconception("predict_v", "The sign is wrong: v = sqrt(a) eps - sqrt(1 - a) z, the noise counts with a plus.")
def v_with_the_wrong_sign(x, z, a):
    return -diffusion.predict_v(x, z, a)


@misconception("predict_v", "The two terms were added. v is orthogonal to x on the circle: one of them has a minus.")
def v_as_a_sum(x, z, a):
    a = expand_time(a, x)
    return a**0.5 * (x - a**0.5 * z) / (1 - a) ** 0.5 + (1 - a) ** 0.5 * z


@misconception("predict_v", "This is the noise that belongs to the data. v is made of both.")
def v_is_the_noise(x, z, a):
    a = expand_time(a, x)
    return (x - a**0.5 * z) / (1 - a) ** 0.5


@misconception(
    "predict_v",
    "The two roots changed places: sqrt(a) belongs to the noise in v, and sqrt(1 - a) to the data, the other way round "
    "than in x.",
)
def v_exchanged(x, z, a):
    a = expand_time(a, x)
    eps = (x - a**0.5 * z) / (1 - a) ** 0.5
    return (1 - a) ** 0.5 * eps - a**0.5 * z


@misconception("predict_v", "x stands where the noise belongs. Find the noise first: the one that makes x out of z.")
def v_with_x_for_the_noise(x, z, a):
    a = expand_time(a, x)
    return a**0.5 * x - (1 - a) ** 0.5 * z


@misconception(
    "predict_v",
    "z was taken for the noise. Here it is the guess of the data, and the noise has to be found from it.",
)
def v_with_the_data_for_the_noise(x, z, a):
    a = expand_time(a, x)
    data = (x - (1 - a) ** 0.5 * z) / a**0.5
    return a**0.5 * z - (1 - a) ** 0.5 * data


@misconception("predict_v", NO_ROOT)
def v_without_roots(x, z, a):
    a = expand_time(a, x)
    return (a * x - z) / (1 - a)


@misconception("predict_v", "The root below is missing: divide by sqrt(1 - a).")
def v_divided_by_the_variance(x, z, a):
    a = expand_time(a, x)
    return (a**0.5 * x - z) / (1 - a)


@misconception(
    "predict_v", "The division is missing: the noise that belongs to z is (x - sqrt(a) z), divided by sqrt(1 - a)."
)
def v_not_divided(x, z, a):
    return expand_time(a, x) ** 0.5 * x - z


@misconception(
    "predict_v",
    "This is data minus noise, the velocity of a straight path. On the circle of diffusion models the two have the "
    "factors sqrt(1 - a) and sqrt(a).",
)
def v_is_a_straight_velocity(x, z, a):
    a = expand_time(a, x)
    return z - (x - a**0.5 * z) / (1 - a) ** 0.5


@misconception("predict_v", NOT_SPREAD)
def v_not_spread(x, z, a):
    return (a**0.5 * x - z) / (1 - a) ** 0.5


@misconception("predict_v", ONE_AXIS)
def v_with_one_axis(x, z, a):
    a = one_axis(a)
    return (a**0.5 * x - z) / (1 - a) ** 0.5


@misconception("predict_v", IN_FLOAT32)
def v_in_float32(x, z, a):
    return diffusion.predict_v(x.float(), z.float(), torch.as_tensor(a).float())


@misconception(
    "predict_v",
    "The sample was overwritten: `mul_`, `-=`, `/=` and the like work in place. The caller still needs it as it was.",
)
def v_in_place(x, z, a):
    a = expand_time(a, x)
    x *= a**0.5
    x -= z
    x /= (1 - a) ** 0.5
    return x


# ---- predict_noise --------------------------------------------------------------------------------------------------


@misconception("predict_noise", "The sign of v is wrong: it contains the noise with a plus.")
def noise_minus_v(x, v, a):
    a = expand_time(a, x)
    return (1 - a) ** 0.5 * x - a**0.5 * v


@misconception("predict_noise", "The two roots changed places: where there is no noise (a = 1), v is the noise itself.")
def noise_exchanged(x, v, a):
    a = expand_time(a, x)
    return a**0.5 * x + (1 - a) ** 0.5 * v


@misconception("predict_noise", "This is the data, sqrt(a) x - sqrt(1 - a) v. Asked for is the noise.")
def noise_is_the_data(x, v, a):
    a = expand_time(a, x)
    return a**0.5 * x - (1 - a) ** 0.5 * v


@misconception("predict_noise", NO_ROOT)
def noise_without_roots(x, v, a):
    a = expand_time(a, x)
    return (1 - a) * x + a * v


@misconception("predict_noise", "The root before x is missing: it is sqrt(1 - a).")
def noise_x_by_the_variance(x, v, a):
    a = expand_time(a, x)
    return (1 - a) * x + a**0.5 * v


@misconception("predict_noise", "The root before v is missing: it is sqrt(a).")
def noise_v_by_the_variance(x, v, a):
    a = expand_time(a, x)
    return (1 - a) ** 0.5 * x + a * v


@misconception(
    "predict_noise", "v was taken for the data: this is the noise that belongs to a guess of the data, not to v."
)
def noise_v_as_the_data(x, v, a):
    a = expand_time(a, x)
    return (x - a**0.5 * v) / (1 - a) ** 0.5


@misconception("predict_noise", "x is missing: v alone does not say what the noise is.")
def noise_of_v_alone(x, v, a):
    return expand_time(a, x) ** 0.5 * v


@misconception(
    "predict_noise", "This is the score. The noise is -sqrt(1 - a) times the score; it is the noise that is asked for."
)
def noise_as_a_score(x, v, a):
    a = expand_time(a, x)
    return -x - (a / (1 - a)) ** 0.5 * v


@misconception("predict_noise", NOT_SPREAD)
def noise_not_spread(x, v, a):
    return (1 - a) ** 0.5 * x + a**0.5 * v


@misconception("predict_noise", ONE_AXIS)
def noise_with_one_axis(x, v, a):
    a = one_axis(a)
    return (1 - a) ** 0.5 * x + a**0.5 * v


@misconception(
    "predict_noise",
    "The sample was overwritten: `mul_`, `+=` and the like work in place. The caller still needs it as it was.",
)
def noise_in_place(x, v, a):
    a = expand_time(a, x)
    x *= (1 - a) ** 0.5
    x += a**0.5 * v
    return x


@misconception("predict_noise", IN_FLOAT32)
def noise_in_float32(x, v, a):
    return diffusion.predict_noise(x.float(), v.float(), torch.as_tensor(a).float())


# ---- ddpm_step ------------------------------------------------------------------------------------------------------


def ancestral(x, eps, now, then, noise, guess=None, scale=lambda variance, now, then: variance**0.5):
    """The mean of the posterior of the guess, and noise of this scale."""
    found = diffusion.predict_x0(x, eps, now) if guess is None else guess
    mean, variance = diffusion.posterior(x, found, now, then)
    return mean + scale(variance, now, then) * noise


@misconception(
    "ddpm_step", "The noise was multiplied by the variance. What multiplies it is the standard deviation, the root."
)
def ddpm_by_the_variance(x, eps, now, then, noise):
    return ancestral(x, eps, now, then, noise, scale=lambda variance, now, then: variance)


@misconception(
    "ddpm_step",
    "The noise has the variance beta_k = 1 - now/then. That is the other choice of the literature, and it leaves noise "
    "on the data in the last step; asked for is the posterior's variance.",
)
def ddpm_with_beta(x, eps, now, then, noise):
    return ancestral(x, eps, now, then, noise, scale=lambda variance, now, then: (1 - now / then) ** 0.5)


@misconception("ddpm_step", "No noise was added: this is the mean only. The step is a draw from the posterior.")
def ddpm_without_noise(x, eps, now, then, noise):
    return ancestral(x, eps, now, then, noise, scale=lambda variance, now, then: 0)


@misconception("ddpm_step", "The noise was added as it is. Its variance is that of the posterior.")
def ddpm_with_all_of_the_noise(x, eps, now, then, noise):
    return ancestral(x, eps, now, then, noise, scale=lambda variance, now, then: 1)


@misconception(
    "ddpm_step",
    "This makes new noise for the level `then`, sqrt(then) z + sqrt(1 - then) noise, and forgets where x was. The step "
    "goes from x to a state that may well have come before it.",
)
def ddpm_from_the_guess_alone(x, eps, now, then, noise):
    return then**0.5 * diffusion.predict_x0(x, eps, now) + (1 - then) ** 0.5 * noise


@misconception("ddpm_step", "The predicted noise was taken for the guess of the data. Convert it first: predict_x0.")
def ddpm_with_eps_for_the_data(x, eps, now, then, noise):
    return ancestral(x, eps, now, then, noise, guess=eps)


@misconception(
    "ddpm_step",
    "The guess of the data was made for the level `then`. x has the level `now`.",
)
def ddpm_guess_at_the_wrong_level(x, eps, now, then, noise):
    return ancestral(x, eps, now, then, noise, guess=diffusion.predict_x0(x, eps, then))


@misconception(
    "ddpm_step",
    "eps was taken for the score. It is the noise, which is -sqrt(1 - now) times the score: predict_x0 has it.",
)
def ddpm_with_the_score(x, eps, now, then, noise):
    return ancestral(x, eps, now, then, noise, guess=(x + (1 - now) * eps) / now**0.5)


@misconception(
    "ddpm_step",
    "alpha_bar stands where alpha belongs. In Ho's formula (x - beta / sqrt(1 - alpha_bar) eps) / sqrt(alpha) it is "
    "alpha_k = now/then, what one step leaves.",
)
def ddpm_with_alpha_bar_for_alpha(x, eps, now, then, noise):
    variance = (1 - then) / (1 - now) * (1 - now / then)
    return (x - (1 - now) ** 0.5 * eps) / now**0.5 + variance**0.5 * noise


@misconception(
    "ddpm_step",
    "The noise lost its factor: the guess of the data takes out sqrt(1 - now) eps. In Ho's formula, "
    "(x - beta / sqrt(1 - alpha_bar) eps) / sqrt(alpha), it is the root below beta that is missing.",
)
def ddpm_without_the_root(x, eps, now, then, noise):
    variance = (1 - then) / (1 - now) * (1 - now / then)
    return (x - (1 - now / then) / (1 - now) * eps) / (now / then) ** 0.5 + variance**0.5 * noise


@misconception(
    "ddpm_step",
    "In Ho's formula (x - beta / sqrt(1 - alpha_bar) eps) / sqrt(alpha), the division by the root of alpha is missing.",
)
def ddpm_not_divided(x, eps, now, then, noise):
    variance = (1 - then) / (1 - now) * (1 - now / then)
    return x - (1 - now / then) / (1 - now) ** 0.5 * eps + variance**0.5 * noise


@misconception("ddpm_step", CLIPPED)
def ddpm_clipped(x, eps, now, then, noise):
    return ancestral(x, eps, now, then, noise, guess=diffusion.predict_x0(x, eps, now).clamp(-1, 1))


@misconception(
    "ddpm_step", "Predicted and fresh noise changed places: eps tells where the data are, `noise` is what is added."
)
def ddpm_noises_exchanged(x, eps, now, then, noise):
    return ancestral(x, noise, now, then, eps)


@misconception(
    "ddpm_step",
    "This is a step of DDIM with eta = 0: it goes along with the predicted noise and uses no fresh one.",
)
def ddpm_that_is_ddim(x, eps, now, then, noise):
    return right_step(x, eps, now, then, 0.0, noise)


@misconception("ddpm_step", "All samples got the same noise, that of the first one.")
def ddpm_with_one_noise(x, eps, now, then, noise):
    return ancestral(x, eps, now, then, noise[:1].expand_as(noise))


@misconception(
    "ddpm_step",
    "The sample was overwritten: `sub_`, `+=` and the like work in place. The caller still needs it as it was.",
)
def ddpm_in_place(x, eps, now, then, noise):
    x.copy_(diffusion.ddpm_step(x, eps, now, then, noise))
    return x


# ---- ddim_step ------------------------------------------------------------------------------------------------------


def implicit(x, eps, now, then, eta, noise, sigma=None, guess=None, direction=None, old=None, fresh=None):
    """A step of DDIM, whose details can be changed one by one."""
    variance = (1 - then) / (1 - now) * (1 - now / then)
    sigma = eta * variance**0.5 if sigma is None else sigma
    z = diffusion.predict_x0(x, eps, now) if guess is None else guess
    old = (1 - then - sigma**2) ** 0.5 if old is None else old
    return then**0.5 * z + old * (eps if direction is None else direction) + (sigma if fresh is None else fresh) * noise


def deviation(now, then):
    return ((1 - then) / (1 - now) * (1 - now / then)) ** 0.5


@misconception(
    "ddim_step",
    "The guess of the data is (x - eps) / sqrt(now): the score took the place of the noise in it, or the factor "
    "sqrt(1 - now) before the noise is missing.",
)
def ddim_guess_by_the_score(x, eps, now, then, eta, noise):
    return implicit(x, eps, now, then, eta, noise, guess=(x - eps) / now**0.5)


@misconception(
    "ddim_step",
    "The score stands where the noise belongs. The noise is -sqrt(1 - now) times the score: with the score itself the "
    "sample goes away from where it came from.",
)
def ddim_with_the_score(x, eps, now, then, eta, noise):
    return implicit(x, eps, now, then, eta, noise, direction=-eps / (1 - now) ** 0.5)


@misconception(
    "ddim_step",
    "Noise is added, but none is taken away for it: the predicted noise has to shrink to sqrt(1 - then - sigma^2), so "
    "that there is 1 - then of it in all.",
)
def ddim_sigma_not_taken_out(x, eps, now, then, eta, noise):
    return implicit(x, eps, now, then, eta, noise, old=(1 - then) ** 0.5)


@misconception(
    "ddim_step",
    "sigma stands below the root as it is. Variances add up, so it is sigma^2 that is taken out of 1 - then.",
)
def ddim_sigma_not_squared(x, eps, now, then, eta, noise):
    sigma = eta * deviation(now, then)
    return implicit(x, eps, now, then, eta, noise, old=max(1 - then - sigma, 0 * sigma) ** 0.5)


@misconception(
    "ddim_step",
    "The factor of the predicted noise is sqrt(1 - then) - sigma. Variances are subtracted, not standard deviations: "
    "sqrt(1 - then - sigma^2).",
)
def ddim_deviations_subtracted(x, eps, now, then, eta, noise):
    return implicit(x, eps, now, then, eta, noise, old=(1 - then) ** 0.5 - eta * deviation(now, then))


@misconception("ddim_step", "eta changes nothing: this is always the step without fresh noise, of eta = 0.")
def ddim_deaf_to_eta(x, eps, now, then, eta, noise):
    return implicit(x, eps, now, then, 0.0, noise)


@misconception("ddim_step", "eta changes nothing: this is always the step of DDPM, of eta = 1.")
def ddim_always_ddpm(x, eps, now, then, eta, noise):
    return implicit(x, eps, now, then, 1.0, noise)


@misconception(
    "ddim_step", "sigma is eta times the posterior's variance. It is eta times its standard deviation, the root."
)
def ddim_sigma_is_a_variance(x, eps, now, then, eta, noise):
    return implicit(x, eps, now, then, eta, noise, sigma=eta * deviation(now, then) ** 2)


@misconception(
    "ddim_step",
    "Right for eta = 0 and 1, but between them sigma is not eta times the standard deviation: eta is squared.",
)
def ddim_eta_squared(x, eps, now, then, eta, noise):
    return implicit(x, eps, now, then, eta, noise, sigma=eta**2 * deviation(now, then))


@misconception(
    "ddim_step",
    "Right for eta = 0 and 1, but between them sigma is not eta times the standard deviation: the root of eta was "
    "taken, too.",
)
def ddim_root_of_eta(x, eps, now, then, eta, noise):
    return implicit(x, eps, now, then, eta, noise, sigma=eta**0.5 * deviation(now, then))


@misconception(
    "ddim_step",
    "sigma is made of beta_k = 1 - now/then. It is made of the posterior's variance, which is smaller by the factor (1 "
    "- then)/(1 - now), and 0 in the last step.",
)
def ddim_with_beta(x, eps, now, then, eta, noise):
    sigma = eta * (1 - now / then) ** 0.5
    return implicit(x, eps, now, then, eta, noise, sigma=sigma, old=max(1 - then - sigma**2, 0 * sigma) ** 0.5)


@misconception("ddim_step", "The root before the guess of the data is missing: it is multiplied by sqrt(then).")
def ddim_without_the_root(x, eps, now, then, eta, noise):
    return implicit(x, eps, now, then, eta, noise, guess=then**0.5 * diffusion.predict_x0(x, eps, now))


@misconception(
    "ddim_step", "The root before the predicted noise is missing: its factor is the root of 1 - then - sigma^2."
)
def ddim_noise_by_its_variance(x, eps, now, then, eta, noise):
    variance = deviation(now, then) ** 2
    return implicit(x, eps, now, then, eta, noise, old=1 - then - eta**2 * variance)


@misconception("ddim_step", "The predicted noise kept the old level, 1 - now. After the step there is 1 - then of it.")
def ddim_old_noise_level(x, eps, now, then, eta, noise):
    variance = deviation(now, then) ** 2
    return implicit(x, eps, now, then, eta, noise, old=(1 - now - eta**2 * variance) ** 0.5)


@misconception("ddim_step", "The guess of the data was made for the level `then`. x has the level `now`.")
def ddim_guess_at_the_wrong_level(x, eps, now, then, eta, noise):
    return implicit(x, eps, now, then, eta, noise, guess=diffusion.predict_x0(x, eps, then))


@misconception(
    "ddim_step", "The guess of the data is not divided by sqrt(now): what is left without the noise is sqrt(now) z."
)
def ddim_guess_too_small(x, eps, now, then, eta, noise):
    return implicit(x, eps, now, then, eta, noise, guess=x - (1 - now) ** 0.5 * eps)


@misconception("ddim_step", "x stands where the guess of the data belongs. Take the noise out of it first: predict_x0.")
def ddim_x_for_the_data(x, eps, now, then, eta, noise):
    return implicit(x, eps, now, then, eta, noise, guess=x)


@misconception("ddim_step", CLIPPED)
def ddim_clipped(x, eps, now, then, eta, noise):
    return implicit(x, eps, now, then, eta, noise, guess=diffusion.predict_x0(x, eps, now).clamp(-1, 1))


@misconception(
    "ddim_step",
    "The fresh noise has a factor of its own, eta. It is sigma, eta times the posterior's standard deviation.",
)
def ddim_noise_without_sigma(x, eps, now, then, eta, noise):
    return implicit(x, eps, now, then, eta, noise, fresh=eta)


@misconception("ddim_step", "Predicted and fresh noise changed places: sigma belongs to the fresh one.")
def ddim_noises_exchanged(x, eps, now, then, eta, noise):
    return implicit(x, eps, now, then, eta, eps, direction=noise)


@misconception(
    "ddim_step",
    "The sample was overwritten: `sub_`, `+=` and the like work in place. The caller still needs it as it was.",
)
def ddim_in_place(x, eps, now, then, eta, noise):
    x.copy_(implicit(x, eps, now, then, eta, noise))
    return x


# ---- sub_sequence ---------------------------------------------------------------------------------------------------


@misconception(
    "sub_sequence",
    "Numbers were cut off instead of rounded, so the steps are not as even as they can be: `.long()` alone forgets the "
    "digits after the point.",
)
def steps_cut_off(T, count):
    return torch.linspace(T, 0, count + 1, dtype=torch.float64).add(1e-9).long()


@misconception("sub_sequence", "Numbers were rounded up. Take the nearest whole number.")
def steps_rounded_up(T, count):
    return torch.linspace(T, 0, count + 1, dtype=torch.float64).sub(1e-9).ceil().long()


@misconception("sub_sequence", "The steps rise. Sampling begins in the noise, at T, and ends at 0.")
def steps_that_rise(T, count):
    return torch.linspace(0, T, count + 1, dtype=torch.float64).round().long()


@misconception("sub_sequence", "One step too few: `count` jumps have count + 1 ends, T and 0 among them.")
def steps_one_too_few(T, count):
    return torch.linspace(T, 0, count + (count == 1), dtype=torch.float64).round().long()[: max(count, 1)]


@misconception("sub_sequence", "The 0 is missing, so the last jump does not reach the data.")
def steps_without_0(T, count):
    return torch.linspace(T, 0, count + 1, dtype=torch.float64).round().long()[:-1]


@misconception("sub_sequence", "The T is missing, so the first jump does not start in the noise.")
def steps_without_t(T, count):
    return torch.linspace(T, 0, count + 1, dtype=torch.float64).round().long()[1:]


@misconception("sub_sequence", "The last step is 1. The data are step 0, and the last jump leads there.")
def steps_down_to_1(T, count):
    return torch.linspace(T, 1, count + 1, dtype=torch.float64).round().long()


@misconception(
    "sub_sequence",
    "The steps begin with T - 1, as in libraries that count from 0. Here the noise is step T and the data step 0.",
)
def steps_from_t_minus_1(T, count):
    return torch.linspace(T - 1, 0, count + 1, dtype=torch.float64).round().long()


ONE_LENGTH = (
    "All jumps have the same whole length, T / count rounded up or down, so that the last one misses 0, or there are "
    "too few of them, where T is no multiple of count."
)


@misconception("sub_sequence", ONE_LENGTH)
def steps_that_stop_early(T, count):
    return T - torch.arange(count + 1) * (T // count)


@misconception("sub_sequence", ONE_LENGTH)
def steps_by_arange(T, count):
    return torch.arange(T, -1, -T // count)


@misconception("sub_sequence", "These are not whole numbers in int64. Steps are indices: round, then `.long()`.")
def steps_in_float(T, count):
    return torch.linspace(T, 0, count + 1).round()


@misconception("sub_sequence", "The numbers were not rounded. Steps are indices: round, then `.long()`.")
def steps_not_rounded(T, count):
    return torch.linspace(T, 0, count + 1)


# ---- ddim_test ------------------------------------------------------------------------------------------------------

X = torch.tensor([[1.0, -2.0, 0.4], [0.5, 3.0, -1.0], [-1.5, 0.7, 2.0], [0.2, -0.6, 1.1]], dtype=torch.float64)
EPS = torch.tensor([[0.3, 1.1, -0.7], [-0.8, 0.2, 0.9], [1.7, -0.4, 0.1], [-0.2, 1.3, 0.6]], dtype=torch.float64)
NOISE = torch.tensor([[-0.5, 0.8, 1.2], [0.1, -1.4, 0.6], [0.9, 0.3, -0.2], [-1.1, 0.4, 0.7]], dtype=torch.float64)
JUMPS = [(0.3, 0.6), (0.1, 0.9)]


def agrees(step, x=X, eps=EPS, noise=NOISE, jumps=JUMPS, etas=(0.0, 0.4, 1.0)):
    """Does a step say the right thing for all of these jumps and etas?"""
    return all(
        torch.allclose(
            step(x.clone(), eps.clone(), now, then, eta, noise.clone()), right_step(x, eps, now, then, eta, noise)
        )
        for now, then in jumps
        for eta in etas
    )


PASSES = (
    "Every step passes your test. Shape and finite numbers are right for all of them: what does a wrong step return "
    "that a right one does not?"
)


@misconception("ddim_test", PASSES)
def passes_everything(step):
    return True


@misconception("ddim_test", "No step passes your test, not even a right one.")
def passes_nothing(step):
    return False


@misconception("ddim_test", "The answer is turned round: True is for a right step and False for a wrong one.")
def answers_the_opposite(step):
    return not agrees(step)


@misconception(
    "ddim_test",
    "The test asks for eta = 0 only, where there is no fresh noise: whatever happens to eta and to the noise goes "
    "unseen.",
)
def tests_eta_of_zero(step):
    return agrees(step, etas=[0.0])


@misconception(
    "ddim_test",
    "The test asks for eta = 1 only. A step that takes no notice of eta, and always adds noise, goes unseen.",
)
def tests_eta_of_one(step):
    return agrees(step, etas=[1.0])


@misconception(
    "ddim_test",
    "The test asks for eta = 0 and eta = 1 only. A step that is right at these two, and wrong between them, goes "
    "unseen.",
)
def tests_both_ends(step):
    return agrees(step, etas=[0.0, 1.0])


@misconception(
    "ddim_test",
    "The test makes the step to the data only, then = 1, where no noise is left: whatever happens to the predicted "
    "noise, to the fresh one and to eta goes unseen.",
)
def tests_the_last_step(step):
    return agrees(step, jumps=[(0.3, 1.0), (0.9, 1.0)])


@misconception(
    "ddim_test", "The fresh noise in the test is zero, so that it does not matter what the step does with it."
)
def tests_without_noise(step):
    return agrees(step, noise=torch.zeros_like(NOISE))


@misconception(
    "ddim_test",
    "The predicted noise in the test is zero, so that it does not matter where the step puts it, nor with which sign.",
)
def tests_without_predicted_noise(step):
    return agrees(step, eps=torch.zeros_like(EPS))


@misconception(
    "ddim_test",
    "Predicted and fresh noise are the same in the test, so that a step that exchanges them goes unseen.",
)
def tests_one_noise(step):
    return agrees(step, noise=EPS)


@misconception(
    "ddim_test",
    "The batch of the test has a single sample. Mistakes in what belongs to which sample need several that differ.",
)
def tests_one_sample(step):
    return agrees(step, x=X[:1], eps=EPS[:1], noise=NOISE[:1])


@misconception(
    "ddim_test",
    "All numbers in the test are small, so that a step that cuts its guess of the data off at 1 goes unseen.",
)
def tests_small_numbers(step):
    return agrees(step, x=0.1 * X, eps=0.1 * EPS, jumps=[(0.3, 0.6), (0.5, 0.9)])


@misconception("ddim_test", PASSES)
def tests_the_shape(step):
    value = step(X.clone(), EPS.clone(), 0.3, 0.6, 0.5, NOISE.clone())
    return value.shape == X.shape and bool(value.isfinite().all())


@misconception(
    "ddim_test",
    "The test wants every bit to be equal. A right step may add its terms in another order: leave room for rounding, "
    "as torch.allclose does.",
)
def tests_every_bit(step):
    etas = [0.0, 0.4, 1.0]
    return all(
        torch.equal(step(X, EPS, now, then, eta, NOISE), right_step(X, EPS, now, then, eta, NOISE))
        for now, then in JUMPS
        for eta in etas
    )


# ---- reverse_sde_drift, probability_flow_velocity -------------------------------------------------------------------


def backwards(
    f, g, score, x, t, share, sign=-1.0, f_time=None, g_time=None, score_time=None, power=2, spread=expand_time
):
    """sign f + share g^power score, each at its own time."""
    size = spread(g(1 - t if g_time is None else g_time), x)
    drift = f(x, 1 - t if f_time is None else f_time)
    return sign * drift + share * size**power * score(x, t if score_time is None else score_time)


WRONG_SIGN_OF_F = (
    "f has the wrong sign. Time runs the other way now: what pulled the samples towards the noise has to be undone."
)
ALL_SIGNS = (
    "Both signs are those of the literature, where s runs from 1 down to 0. Here t = 1 - s rises, which turns both "
    "round."
)
AGAINST_THE_SCORE = "The score has the wrong sign: it has to pull the samples back to where the density is high."
G_NOT_SQUARED = "g was not squared: noise g dW has the variance g^2 ds, and that is what the score has to balance."
F_AT_T = "f was asked at t. It lives in noising time, s = 1 - t."
G_AT_T = "g was asked at t. It lives in noising time, s = 1 - t."
BOTH_AT_T = "f and g were asked at t. They live in noising time, s = 1 - t."
SCORE_AT_S = "The score was asked at 1 - t. Here it is given in the course's time: score(x, t)."
WITHOUT_F = "f is missing. It vanishes in some models only; here it is handed in."
WITHOUT_SCORE = (
    "The score is missing: without it, time cannot be turned round, since the noise spreads the samples both ways."
)
G_NOT_SPREAD = (
    "There is one time per sample, and g met the samples along the wrong axis: sample i needs g_i. `expand_time(g, x)` "
    "gives it the axes it needs."
)

G_WITH_ONE_AXIS = (
    "Right for points, but a sample may have several axes: `[:, None]` gives g only one of them. `expand_time(g, x)` "
    "gives as many as are needed."
)


@misconception("reverse_sde_drift", WRONG_SIGN_OF_F)
def drift_with_f(f, g, score, x, t):
    return backwards(f, g, score, x, t, 1.0, sign=1.0)


@misconception("reverse_sde_drift", ALL_SIGNS)
def drift_of_the_literature(f, g, score, x, t):
    return backwards(f, g, score, x, t, -1.0, sign=1.0)


@misconception("reverse_sde_drift", AGAINST_THE_SCORE)
def drift_against_the_score(f, g, score, x, t):
    return backwards(f, g, score, x, t, -1.0)


@misconception(
    "reverse_sde_drift",
    "The score has the factor g^2 / 2, that of the ODE. The SDE adds noise on the way back as well, and needs twice "
    "that to balance it.",
)
def drift_of_the_ode(f, g, score, x, t):
    return backwards(f, g, score, x, t, 0.5)


@misconception("reverse_sde_drift", G_NOT_SQUARED)
def drift_with_g(f, g, score, x, t):
    return backwards(f, g, score, x, t, 1.0, power=1)


@misconception("reverse_sde_drift", F_AT_T)
def drift_with_f_at_t(f, g, score, x, t):
    return backwards(f, g, score, x, t, 1.0, f_time=t)


@misconception("reverse_sde_drift", G_AT_T)
def drift_with_g_at_t(f, g, score, x, t):
    return backwards(f, g, score, x, t, 1.0, g_time=t)


@misconception("reverse_sde_drift", BOTH_AT_T)
def drift_with_both_at_t(f, g, score, x, t):
    return backwards(f, g, score, x, t, 1.0, f_time=t, g_time=t)


@misconception("reverse_sde_drift", SCORE_AT_S)
def drift_with_the_score_at_s(f, g, score, x, t):
    return backwards(f, g, score, x, t, 1.0, score_time=1 - t)


@misconception("reverse_sde_drift", WITHOUT_F)
def drift_without_f(f, g, score, x, t):
    return backwards(f, g, score, x, t, 1.0, sign=0.0)


@misconception("reverse_sde_drift", WITHOUT_SCORE)
def drift_without_score(f, g, score, x, t):
    return backwards(f, g, score, x, t, 0.0)


@misconception("reverse_sde_drift", G_NOT_SPREAD)
def drift_not_spread(f, g, score, x, t):
    return backwards(f, g, score, x, t, 1.0, spread=lambda size, x: size)


@misconception("reverse_sde_drift", G_WITH_ONE_AXIS)
def drift_with_one_axis(f, g, score, x, t):
    return backwards(f, g, score, x, t, 1.0, spread=lambda size, x: one_axis(size))


@misconception("probability_flow_velocity", WRONG_SIGN_OF_F)
def velocity_with_f(f, g, score, x, t):
    return backwards(f, g, score, x, t, 0.5, sign=1.0)


@misconception("probability_flow_velocity", ALL_SIGNS)
def velocity_of_the_literature(f, g, score, x, t):
    return backwards(f, g, score, x, t, -0.5, sign=1.0)


@misconception("probability_flow_velocity", AGAINST_THE_SCORE)
def velocity_against_the_score(f, g, score, x, t):
    return backwards(f, g, score, x, t, -0.5)


@misconception(
    "probability_flow_velocity",
    "The score has the whole factor g^2, that of the SDE. Without noise on the way back, half of it is enough.",
)
def velocity_of_the_sde(f, g, score, x, t):
    return backwards(f, g, score, x, t, 1.0)


@misconception(
    "probability_flow_velocity",
    "All of the drift was halved. Only the part with the score is; f keeps its whole size.",
)
def velocity_half_of_all(f, g, score, x, t):
    return backwards(f, g, score, x, t, 1.0) / 2


@misconception("probability_flow_velocity", G_NOT_SQUARED)
def velocity_with_g(f, g, score, x, t):
    return backwards(f, g, score, x, t, 0.5, power=1)


@misconception("probability_flow_velocity", "g / 2 was squared. The factor is half of g^2, not a quarter of it.")
def velocity_with_half_of_g_squared(f, g, score, x, t):
    return backwards(f, g, score, x, t, 0.25)


@misconception("probability_flow_velocity", F_AT_T)
def velocity_with_f_at_t(f, g, score, x, t):
    return backwards(f, g, score, x, t, 0.5, f_time=t)


@misconception("probability_flow_velocity", G_AT_T)
def velocity_with_g_at_t(f, g, score, x, t):
    return backwards(f, g, score, x, t, 0.5, g_time=t)


@misconception("probability_flow_velocity", BOTH_AT_T)
def velocity_with_both_at_t(f, g, score, x, t):
    return backwards(f, g, score, x, t, 0.5, f_time=t, g_time=t)


@misconception("probability_flow_velocity", SCORE_AT_S)
def velocity_with_the_score_at_s(f, g, score, x, t):
    return backwards(f, g, score, x, t, 0.5, score_time=1 - t)


@misconception("probability_flow_velocity", WITHOUT_F)
def velocity_without_f(f, g, score, x, t):
    return backwards(f, g, score, x, t, 0.5, sign=0.0)


@misconception(
    "probability_flow_velocity",
    "The score is missing: f alone is the forward drift turned round, and the spreading of the noise is not undone.",
)
def velocity_without_score(f, g, score, x, t):
    return backwards(f, g, score, x, t, 0.0)


@misconception("probability_flow_velocity", G_NOT_SPREAD)
def velocity_not_spread(f, g, score, x, t):
    return backwards(f, g, score, x, t, 0.5, spread=lambda size, x: size)


@misconception("probability_flow_velocity", G_WITH_ONE_AXIS)
def velocity_with_one_axis(f, g, score, x, t):
    return backwards(f, g, score, x, t, 0.5, spread=lambda size, x: one_axis(size))


# ---- dpm_solver_pp_2m_step ------------------------------------------------------------------------------------------


def half_log_snr(a):
    a = torch.as_tensor(a, dtype=torch.float64)
    return torch.log(a / (1 - a)) / 2


def multistep(x, z, z_before, before, now, then, line=None, middle=None, lam=half_log_snr, everywhere=False):
    """A step of DPM-Solver++(2M); line(h, h_b) is the factor of the difference, middle(h) that of sqrt(then) D."""
    h, D = lam(then) - lam(now), z
    if z_before is not None and (then < 1 or everywhere):
        h_b = lam(now) - lam(before)
        D = z + (h / (2 * h_b) if line is None else line(h, h_b)) * (z - z_before)
    factor = 1 - torch.exp(-h) if middle is None else middle(h)
    return ((1 - then) / (1 - now)) ** 0.5 * x + then**0.5 * factor * D


@misconception(
    "dpm_solver_pp_2m_step",
    "The step before plays no part: this is the method of order 1, a step of DDIM. Continue the guesses of the data to "
    "the middle of the step, with z_before.",
)
def solver_of_order_1(x, z, z_before, before, now, then):
    return multistep(x, z, None, before, now, then)


@misconception(
    "dpm_solver_pp_2m_step",
    "The 2 below is missing: the guesses are continued to the middle of the step, h/2, not to its end.",
)
def solver_to_the_end(x, z, z_before, before, now, then):
    return multistep(x, z, z_before, before, now, then, line=lambda h, h_b: h / h_b)


@misconception(
    "dpm_solver_pp_2m_step",
    "The two step sizes changed places: the slope is (z - z_before) / h_b, and it is followed for h/2.",
)
def solver_with_exchanged_sizes(x, z, z_before, before, now, then):
    return multistep(x, z, z_before, before, now, then, line=lambda h, h_b: h_b / (2 * h))


@misconception(
    "dpm_solver_pp_2m_step",
    "Both steps were taken to be equally long, 3/2 z - 1/2 z_before. In lambda they are not: the factor is h / (2 "
    "h_b).",
)
def solver_with_even_steps(x, z, z_before, before, now, then):
    return multistep(x, z, z_before, before, now, then, line=lambda h, h_b: 0.5)


@misconception(
    "dpm_solver_pp_2m_step",
    "The difference has the wrong sign: D continues from z_before over z, so z - z_before is added, and both h and h_b "
    "are positive.",
)
def solver_with_the_wrong_sign(x, z, z_before, before, now, then):
    return multistep(x, z, z_before, before, now, then, line=lambda h, h_b: -h / (2 * h_b))


@misconception(
    "dpm_solver_pp_2m_step",
    "h_b was measured from `before` to `then`. z_before and z belong to `before` and `now`: their distance is that "
    "from one to the other.",
)
def solver_with_h_b_from_the_start(x, z, z_before, before, now, then):
    return multistep(x, z, z_before, before, now, then, line=lambda h, h_b: h / (2 * (h + h_b)))


@misconception(
    "dpm_solver_pp_2m_step",
    "lambda has the wrong sign: it is the logarithm of signal over noise, and rises towards the data.",
)
def solver_with_lambda_upside_down(x, z, z_before, before, now, then):
    return multistep(x, z, z_before, before, now, then, lam=lambda a: -half_log_snr(a))


@misconception(
    "dpm_solver_pp_2m_step",
    "The half in lambda is missing: lambda = log(alpha/sigma) with alpha = sqrt(a), sigma = sqrt(1 - a), half of log(a "
    "/ (1 - a)).",
)
def solver_without_the_half(x, z, z_before, before, now, then):
    return multistep(x, z, z_before, before, now, then, lam=lambda a: 2 * half_log_snr(a))


@misconception(
    "dpm_solver_pp_2m_step",
    "The step sizes in D are those of alpha_bar. The straight line runs in lambda, where the equation is simple.",
)
def solver_with_sizes_of_alpha_bar(x, z, z_before, before, now, then):
    def line(h, h_b):
        return (then - now) / (2 * (now - before))

    return multistep(x, z, z_before, before, now, then, line=line)


@misconception(
    "dpm_solver_pp_2m_step",
    "The exponential has the wrong sign: the factor is 1 - exp(-h), between 0 and 1, not exp(h) - 1.",
)
def solver_with_a_growing_exponential(x, z, z_before, before, now, then):
    return multistep(x, z, z_before, before, now, then, middle=lambda h: torch.exp(h) - 1)


@misconception(
    "dpm_solver_pp_2m_step",
    "The factor of the guess is negative: in the papers it is minus (exp(-h) - 1), which is 1 - exp(-h).",
)
def solver_with_a_negative_factor(x, z, z_before, before, now, then):
    return multistep(x, z, z_before, before, now, then, middle=lambda h: torch.exp(-h) - 1)


@misconception("dpm_solver_pp_2m_step", "The exponential is missing: h alone is what it becomes for very small steps.")
def solver_without_the_exponential(x, z, z_before, before, now, then):
    return multistep(x, z, z_before, before, now, then, middle=lambda h: h)


@misconception(
    "dpm_solver_pp_2m_step", "The root before x is missing: sigma_then / sigma_now is the root of the ratio."
)
def solver_x_by_the_variance(x, z, z_before, before, now, then):
    right = multistep(x, z, z_before, before, now, then)
    ratio = (1 - then) / (1 - now)
    return right + (ratio - ratio**0.5) * x


@misconception("dpm_solver_pp_2m_step", "The root before the guess is missing: alpha_then is sqrt(then).")
def solver_z_by_the_variance(x, z, z_before, before, now, then):
    return multistep(x, z, z_before, before, now, then, middle=lambda h: then**0.5 * (1 - torch.exp(-h)))


@misconception(
    "dpm_solver_pp_2m_step",
    "This is the DPM-Solver of noise predictions, sqrt(then/now) x - sqrt(1 - then) (exp(h) - 1) D. The one with ++ "
    "works on predictions of the data.",
)
def solver_of_noise_predictions(x, z, z_before, before, now, then):
    h, D = half_log_snr(then) - half_log_snr(now), z
    if z_before is not None and then < 1:
        D = z + h / (2 * (half_log_snr(now) - half_log_snr(before))) * (z - z_before)
    return (then / now) ** 0.5 * x - (1 - then) ** 0.5 * (torch.exp(h) - 1) * D


@misconception(
    "dpm_solver_pp_2m_step",
    "The step to the data is infinite: lambda is infinite at alpha_bar = 1, and so is h / (2 h_b). There D = z.",
)
def solver_of_order_2_to_the_end(x, z, z_before, before, now, then):
    return multistep(x, z, z_before, before, now, then, everywhere=True)
