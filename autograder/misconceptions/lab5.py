"""Typical mistakes in Lab 5, conditional images and guidance."""

import math

import torch
import torch.nn.functional as F

from autograder.misconceptions import misconception
from course.shapes import expand_time


def mean_square(error):
    """The mean over the samples of the squared norm."""
    return error.square().flatten(1).sum(1).mean()


# ---- time_embedding -------------------------------------------------------------------------------------------------


def waves(t, exponents, period, longest=4.0):
    """The angles 2 pi t / P with the periods P = longest (period / longest)^exponents."""
    return 2 * math.pi * t[:, None] / (longest * (period / longest) ** exponents)


def evenly(t, dim):
    """The exponents 0, ..., 1 in dim / 2 even steps."""
    return torch.arange(dim // 2, dtype=t.dtype) / (dim // 2 - 1)


def sines_and_cosines(angles):
    return torch.cat([angles.sin(), angles.cos()], dim=1)


# Whoever makes one of the first four mistakes often leaves the dtype of arange to itself too: it is the smaller worry.
TAKING_TURNS = "Sines and cosines take turns. Asked for are all the sines first, and then all the cosines."
COSINES_FIRST = "The cosines come first. Asked for are the sines first, and then the cosines."
NO_TWO_PI = "The factor 2 pi is missing: a wave of period P goes through a whole turn, 2 pi, while t grows by P."
ONE_STEP_SHORT = (
    "The periods do not get as far as the shortest one: the exponents have to reach 1 at the last wave, not stop one "
    "step before."
)


@misconception("time_embedding", TAKING_TURNS)
def time_taking_turns_in_float32(t, dim, period):
    angles = waves(t, torch.arange(dim // 2) / (dim // 2 - 1), period)
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)


@misconception("time_embedding", TAKING_TURNS)
def time_taking_turns(t, dim, period):
    angles = waves(t, evenly(t, dim), period)
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)


@misconception("time_embedding", COSINES_FIRST)
def time_cosines_first(t, dim, period):
    angles = waves(t, evenly(t, dim), period)
    return torch.cat([angles.cos(), angles.sin()], dim=1)


@misconception("time_embedding", COSINES_FIRST)
def time_cosines_first_in_float32(t, dim, period):
    angles = waves(t, torch.arange(dim // 2) / (dim // 2 - 1), period)
    return torch.cat([angles.cos(), angles.sin()], dim=1)


@misconception("time_embedding", NO_TWO_PI)
def time_without_two_pi_in_float32(t, dim, period):
    return sines_and_cosines(waves(t, torch.arange(dim // 2) / (dim // 2 - 1), period) / (2 * math.pi))


@misconception("time_embedding", NO_TWO_PI)
def time_without_two_pi(t, dim, period):
    return sines_and_cosines(waves(t, evenly(t, dim), period) / (2 * math.pi))


@misconception("time_embedding", ONE_STEP_SHORT)
def time_one_step_short_in_float32(t, dim, period):
    return sines_and_cosines(waves(t, torch.arange(dim // 2) / (dim // 2), period))


@misconception("time_embedding", ONE_STEP_SHORT)
def time_one_step_short(t, dim, period):
    return sines_and_cosines(waves(t, torch.arange(dim // 2, dtype=t.dtype) / (dim // 2), period))


@misconception(
    "time_embedding",
    "First and last period are right, those between are not: they have to fall in equal ratios, not in equal "
    "differences.",
)
def time_equal_differences(t, dim, period):
    return sines_and_cosines(2 * math.pi * t[:, None] / (4 + (period - 4) * evenly(t, dim)))


@misconception(
    "time_embedding",
    "First and last wave are right, those between are not: their frequencies grow by equal differences. They have to "
    "grow by equal ratios.",
)
def time_equal_steps_of_the_frequency(t, dim, period):
    return sines_and_cosines(2 * math.pi * t[:, None] * (1 / 4 + (1 / period - 1 / 4) * evenly(t, dim)))


@misconception(
    "time_embedding",
    "The longest period is 1 here, so that t = 0 and t = 1 look alike to the slowest wave. It has to be longer than "
    "the whole path; look up how long.",
)
def time_with_one_whole_turn(t, dim, period):
    return sines_and_cosines(waves(t, evenly(t, dim), period, longest=1.0))


@misconception(
    "time_embedding",
    "The waves are ordered from fast to slow. Asked for is slow to fast: the longest period first.",
)
def time_fast_to_slow(t, dim, period):
    return sines_and_cosines(waves(t, evenly(t, dim).flip(0), period))


@misconception(
    "time_embedding",
    "The time was multiplied by the periods, or divided by a part of them only: in a / b * c it is a that gets "
    "multiplied by c. A long period is a slow wave.",
)
def time_without_parentheses(t, dim, period):
    return sines_and_cosines(2 * math.pi * t[:, None] / 4 * (period / 4) ** evenly(t, dim))


@misconception(
    "time_embedding",
    "The time was multiplied by the periods. A long period is a slow wave: divide by it.",
)
def time_multiplied_by_periods(t, dim, period):
    return sines_and_cosines(2 * math.pi * t[:, None] * (4 * (period / 4) ** evenly(t, dim)))


@misconception(
    "time_embedding",
    "These are the waves of the transformer, made for positions 0, 1, 2, ... with frequencies down to 1 / 10000. Times "
    "in [0, 1] need fast waves too: take the periods of the formula.",
)
def time_as_positions(t, dim, period):
    return sines_and_cosines(t[:, None] * 10000.0 ** -(torch.arange(dim // 2, dtype=t.dtype) / (dim // 2)))


@misconception(
    "time_embedding",
    "There are dim sines and dim cosines. Both together are to be dim numbers.",
)
def time_twice_as_many(t, dim, period):
    return sines_and_cosines(waves(t, evenly(t, 2 * dim), period))


IN_FLOAT32 = (
    "Right as far as float32 goes. The frequencies were computed in float32 though the times are float64: torch.arange "
    "and torch.linspace have a dtype of their own unless they are told another."
)


@misconception("time_embedding", IN_FLOAT32)
def time_in_float32(t, dim, period):
    return sines_and_cosines(waves(t, torch.arange(dim // 2) / (dim // 2 - 1), period))


@misconception("time_embedding", IN_FLOAT32)
def time_by_linspace_in_float32(t, dim, period):
    return sines_and_cosines(waves(t, torch.linspace(0, 1, dim // 2), period))


@misconception(
    "time_embedding",
    "The shortest period is 0.05, whatever `period` says. That is only what it is where none is given.",
)
def time_with_the_usual_period(t, dim, period):
    return sines_and_cosines(waves(t, evenly(t, dim), 0.05))


# ---- patchify -------------------------------------------------------------------------------------------------------


def cut(x, size):
    """The pixels as (n, channel, patch row, row in the patch, patch column, column in the patch)."""
    n, c, h, w = x.shape
    return x.reshape(n, c, h // size, size, w // size, size)


@misconception(
    "patchify",
    "The numbers were only counted off in new portions, along the rows of the image, so that a pixel holds a part of "
    "one row and no patch. Give rows and columns in the patch axes of their own first, then bring the axes in order.",
)
def patches_by_reshape(x, size):
    n, c, h, w = x.shape
    return x.reshape(n, c * size**2, h // size, w // size)


@misconception(
    "patchify",
    "The patches are right, but the channels stand in another order: the image's channel has to vary slowest, then the "
    "row in the patch, then the column.",
)
def patches_channel_last(x, size):
    n, c, h, w = x.shape
    return cut(x, size).permute(0, 3, 5, 1, 2, 4).reshape(n, c * size**2, h // size, w // size)


@misconception(
    "patchify",
    "When the channel and the two axes of the patch were joined, others stood between them. Bring the three side by "
    "side first: what is joined has to be neighbours, in the right order.",
)
def patches_of_axes_that_are_no_neighbours(x, size):
    n, c, h, w = x.shape
    return cut(x, size).permute(0, 1, 2, 4, 3, 5).reshape(n, c * size**2, h // size, w // size)


@misconception(
    "patchify",
    "The patches are right, but rows and columns in them are swapped: the column has to vary fastest.",
)
def patches_transposed(x, size):
    n, c, h, w = x.shape
    return cut(x, size).permute(0, 1, 5, 3, 2, 4).reshape(n, c * size**2, h // size, w // size)


@misconception(
    "patchify",
    "Each pixel of yours holds numbers from all over the image, h/size rows apart. A patch is made of neighbours: "
    "which of the two axes that a row splits into varies faster?",
)
def patches_of_pixels_far_apart(x, size):
    n, c, h, w = x.shape
    pixels = x.reshape(n, c, size, h // size, size, w // size)
    return pixels.permute(0, 1, 2, 4, 3, 5).reshape(n, c * size**2, h // size, w // size)


@misconception(
    "patchify",
    "The picture of patches is on its side: first the patch's row, then its column.",
)
def patches_on_their_side(x, size):
    n, c, h, w = x.shape
    return cut(x, size).permute(0, 1, 3, 5, 4, 2).reshape(n, c * size**2, w // size, h // size)


@misconception(
    "patchify",
    "The patches stand in a row, as unfold returns them. The convolutions want them as an image again, h/size by "
    "w/size.",
)
def patches_in_a_row(x, size):
    return F.unfold(x, size, stride=size)


@misconception(
    "patchify",
    "The patches stand in a list, each with its numbers last, as a transformer wants them. Asked for is an image with "
    "more channels.",
)
def patches_as_tokens(x, size):
    return F.unfold(x, size, stride=size).mT


# ---- unpatchify -----------------------------------------------------------------------------------------------------


def pixels(patches, size):
    """The numbers as (n, channel, row in the patch, column in the patch, patch row, patch column)."""
    n, channels, h, w = patches.shape
    return patches.reshape(n, channels // size**2, size, size, h, w)


def images_from(pixels):
    """The images of pixels (n, channel, patch row, row in it, patch column, column in it)."""
    n, c, h, i, w, j = pixels.shape
    return pixels.reshape(n, c, h * i, w * j)


@misconception(
    "unpatchify",
    "The numbers were only counted off in new portions, so that the pixels of a patch land far from each other. Split "
    "the channels into axes of their own, then bring each axis beside the one it belongs to.",
)
def images_by_reshape(patches, size):
    n, channels, h, w = patches.shape
    return patches.reshape(n, channels // size**2, h * size, w * size)


@misconception(
    "unpatchify",
    "The channels were read in another order than patchify writes them: the image's channel varies slowest, then the "
    "row in the patch, then the column.",
)
def images_channel_last(patches, size):
    n, channels, h, w = patches.shape
    return images_from(patches.reshape(n, size, size, channels // size**2, h, w).permute(0, 3, 4, 1, 5, 2))


@misconception(
    "unpatchify",
    "Every patch is put in its place, but transposed: in the channels the column varies fastest, then the row.",
)
def images_of_transposed_patches(patches, size):
    return images_from(pixels(patches, size).permute(0, 1, 4, 3, 5, 2))


@misconception(
    "unpatchify",
    "The pixels of a patch land h rows apart. In an image's row, the column in the patch varies faster than the patch: "
    "which axis comes first when two are joined?",
)
def images_of_pixels_far_apart(patches, size):
    return images_from(pixels(patches, size).permute(0, 1, 2, 4, 3, 5))


@misconception(
    "unpatchify",
    "The images have one channel, whatever the number of channels in the patches: it is to be divided by size^2.",
)
def images_with_one_channel(patches, size):
    return images_from(pixels(patches, size)[:, :1].permute(0, 1, 4, 2, 5, 3))


@misconception(
    "unpatchify",
    "The images are on their side: the patch's row belongs to the row in the patch, and comes first.",
)
def images_on_their_side(patches, size):
    return images_from(pixels(patches, size).permute(0, 1, 5, 3, 4, 2))


# ---- residual_block -------------------------------------------------------------------------------------------------


def modulation(layers, embedding):
    """Scale and shift, (n, c, 1, 1)."""
    return layers.modulate(embedding)[:, :, None, None].chunk(2, dim=1)


def first_half(layers, x):
    return layers.conv1(F.silu(layers.norm1(x)))


@misconception(
    "residual_block",
    "The input is not carried around the convolutions: the skip is missing. A block is to add to what is there.",
)
def block_without_skip(layers, x, embedding):
    scale, shift = modulation(layers, embedding)
    return layers.conv2(F.silu(layers.norm2(first_half(layers, x)) * (1 + scale) + shift))


@misconception(
    "residual_block",
    "The scale multiplies alone. It says by how much to depart from 1, so a scale of zero changes nothing; here it "
    "wipes the image out.",
)
def block_without_the_one(layers, x, embedding):
    scale, shift = modulation(layers, embedding)
    return layers.skip(x) + layers.conv2(F.silu(layers.norm2(first_half(layers, x)) * scale + shift))


@misconception("residual_block", "Scale and shift changed places: the first half of the channels is the scale.")
def block_with_scale_and_shift_swapped(layers, x, embedding):
    shift, scale = modulation(layers, embedding)
    return layers.skip(x) + layers.conv2(F.silu(layers.norm2(first_half(layers, x)) * (1 + scale) + shift))


@misconception(
    "residual_block",
    "Scale and shift come before the second normalisation, which takes most of them away again. They belong after it.",
)
def block_modulated_before_the_norm(layers, x, embedding):
    scale, shift = modulation(layers, embedding)
    return layers.skip(x) + layers.conv2(F.silu(layers.norm2(first_half(layers, x) * (1 + scale) + shift)))


@misconception(
    "residual_block",
    "Scale and shift come after the second SiLU. They belong between the normalisation and the SiLU.",
)
def block_modulated_after_the_activation(layers, x, embedding):
    scale, shift = modulation(layers, embedding)
    return layers.skip(x) + layers.conv2(F.silu(layers.norm2(first_half(layers, x))) * (1 + scale) + shift)


@misconception(
    "residual_block",
    "Normalisation and SiLU changed places. In each half the order is: normalise, then SiLU, then convolve.",
)
def block_normalised_after_the_activation(layers, x, embedding):
    scale, shift = modulation(layers, embedding)
    h = layers.conv1(layers.norm1(F.silu(x)))
    return layers.skip(x) + layers.conv2(layers.norm2(F.silu(h)) * (1 + scale) + shift)


@misconception("residual_block", "The SiLU before the first convolution is missing.")
def block_without_the_first_activation(layers, x, embedding):
    scale, shift = modulation(layers, embedding)
    h = layers.conv1(layers.norm1(x))
    return layers.skip(x) + layers.conv2(F.silu(layers.norm2(h) * (1 + scale) + shift))


@misconception("residual_block", "The SiLU before the second convolution is missing.")
def block_without_the_second_activation(layers, x, embedding):
    scale, shift = modulation(layers, embedding)
    return layers.skip(x) + layers.conv2(layers.norm2(first_half(layers, x)) * (1 + scale) + shift)


@misconception(
    "residual_block",
    "What is carried around has already been through the first normalisation and SiLU: x was overwritten on the way. "
    "Keep the input for the skip.",
)
def block_with_an_overwritten_input(layers, x, embedding):
    scale, shift = modulation(layers, embedding)
    x = F.silu(layers.norm1(x))
    return layers.skip(x) + layers.conv2(F.silu(layers.norm2(layers.conv1(x)) * (1 + scale) + shift))


@misconception(
    "residual_block",
    "The embedding went through a SiLU first. It comes from one already; give it to `modulate` as it is.",
)
def block_with_the_embedding_activated(layers, x, embedding):
    scale, shift = modulation(layers, F.silu(embedding))
    return layers.skip(x) + layers.conv2(F.silu(layers.norm2(first_half(layers, x)) * (1 + scale) + shift))


@misconception("residual_block", "The activation is ReLU where the formula has SiLU.")
def block_with_relu(layers, x, embedding):
    scale, shift = modulation(layers, embedding)
    h = layers.conv1(F.relu(layers.norm1(x)))
    return layers.skip(x) + layers.conv2(F.relu(layers.norm2(h) * (1 + scale) + shift))


@misconception("residual_block", "The shift is missing: only the scale of the embedding was used.")
def block_without_shift(layers, x, embedding):
    scale, _ = modulation(layers, embedding)
    return layers.skip(x) + layers.conv2(F.silu(layers.norm2(first_half(layers, x)) * (1 + scale)))


NO_GRADIENT = (
    "The values are right, but they do not depend on the parameters any more: something cut them off (no_grad, detach, "
    "numpy), so nothing can be learned."
)


@misconception("residual_block", NO_GRADIENT)
def block_without_gradient(layers, x, embedding):
    scale, shift = modulation(layers, embedding)
    h = layers.conv2(F.silu(layers.norm2(first_half(layers, x)) * (1 + scale) + shift))
    return (layers.skip(x) + h).detach()


# ---- attention_block ------------------------------------------------------------------------------------------------


def queries_keys_values(layers, x):
    """Queries, keys and values, each (n, heads, d, places), and d."""
    n, c, h, w = x.shape
    d = c // layers.heads
    return *layers.qkv(layers.norm(x)).reshape(n, 3, layers.heads, d, h * w).unbind(1), d


def looked_up(layers, x, weights, v):
    """The block's output for these weights (n, heads, places that look, places looked at)."""
    return x + layers.out((v @ weights.mT).reshape(x.shape))


@misconception(
    "attention_block",
    "The products of queries and keys were not divided by the root of the length of a query, so the weights are "
    "sharper than they should be.",
)
def attention_without_scale(layers, x):
    q, k, v, _ = queries_keys_values(layers, x)
    return looked_up(layers, x, (q.mT @ k).softmax(-1), v)


@misconception(
    "attention_block",
    "Right for one head. With several, a query has c / heads numbers, and the root of that many is what its products "
    "are divided by.",
)
def attention_scaled_by_all_channels(layers, x):
    q, k, v, d = queries_keys_values(layers, x)
    return looked_up(layers, x, (q.mT @ k / (d * layers.heads) ** 0.5).softmax(-1), v)


@misconception(
    "attention_block",
    "The products were divided by the length of a query. It is the root of it: a sum of d products of independent "
    "numbers grows like the root of d.",
)
def attention_scaled_without_root(layers, x):
    q, k, v, d = queries_keys_values(layers, x)
    return looked_up(layers, x, (q.mT @ k / d).softmax(-1), v)


@misconception(
    "attention_block",
    "The weights were divided after the softmax, so they do not sum to 1. The root of d belongs inside the softmax.",
)
def attention_scaled_after_the_softmax(layers, x):
    q, k, v, d = queries_keys_values(layers, x)
    return looked_up(layers, x, (q.mT @ k).softmax(-1) / d**0.5, v)


@misconception(
    "attention_block",
    "The softmax runs over the places that look. For every place that looks, the weights of all the places it looks at "
    "have to sum to 1.",
)
def attention_over_the_queries(layers, x):
    q, k, v, d = queries_keys_values(layers, x)
    return looked_up(layers, x, (q.mT @ k / d**0.5).softmax(-2), v)


@misconception(
    "attention_block",
    "Queries and keys changed places. In the channels of qkv the queries come first.",
)
def attention_with_keys_first(layers, x):
    k, q, v, d = queries_keys_values(layers, x)
    return looked_up(layers, x, (q.mT @ k / d**0.5).softmax(-1), v)


@misconception(
    "attention_block",
    "The weights were used the wrong way round: what place i finds is the sum over j of weight (i, j) times the value "
    "at j.",
)
def attention_with_transposed_weights(layers, x):
    q, k, v, d = queries_keys_values(layers, x)
    return looked_up(layers, x, (q.mT @ k / d**0.5).softmax(-1).mT, v)


@misconception("attention_block", "What was found is not added to x: the block returns only that.")
def attention_without_skip(layers, x):
    q, k, v, d = queries_keys_values(layers, x)
    return looked_up(layers, x, (q.mT @ k / d**0.5).softmax(-1), v) - x


@misconception(
    "attention_block",
    "What was found is added to the normalised x: x was overwritten on the way. Keep the input for the sum.",
)
def attention_with_an_overwritten_input(layers, x):
    q, k, v, d = queries_keys_values(layers, x)
    return looked_up(layers, layers.norm(x), (q.mT @ k / d**0.5).softmax(-1), v)


@misconception("attention_block", "The normalisation before qkv is missing.")
def attention_without_norm(layers, x):
    n, c, h, w = x.shape
    d = c // layers.heads
    q, k, v = layers.qkv(x).reshape(n, 3, layers.heads, d, h * w).unbind(1)
    return looked_up(layers, x, (q.mT @ k / d**0.5).softmax(-1), v)


@misconception("attention_block", "The last layer, `out`, is missing before the sum.")
def attention_without_the_last_layer(layers, x):
    q, k, v, d = queries_keys_values(layers, x)
    return x + (v @ (q.mT @ k / d**0.5).softmax(-1).mT).reshape(x.shape)


@misconception(
    "attention_block",
    "Right for one head. The channels of a head were taken from all over the place: each of the three has its heads "
    "one after another, the channels of a head side by side.",
)
def attention_with_heads_taking_turns(layers, x):
    n, c, h, w = x.shape
    d = c // layers.heads
    q, k, v = layers.qkv(layers.norm(x)).reshape(n, 3, d, layers.heads, h * w).transpose(2, 3).unbind(1)
    found = v @ (q.mT @ k / d**0.5).softmax(-1).mT
    return x + layers.out(found.transpose(1, 2).reshape(x.shape))


@misconception(
    "attention_block",
    "Right for one head. The channels of qkv were split into heads first and into queries, keys and values after. All "
    "the queries come first, those of every head.",
)
def attention_with_heads_first(layers, x):
    n, c, h, w = x.shape
    d = c // layers.heads
    q, k, v = layers.qkv(layers.norm(x)).reshape(n, layers.heads, 3, d, h * w).unbind(2)
    return looked_up(layers, x, (q.mT @ k / d**0.5).softmax(-1), v)


@misconception(
    "attention_block",
    "What was found has the places before the channels, and was made an image by counting its numbers off. Bring the "
    "channels in front of the places first.",
)
def attention_not_turned_back(layers, x):
    q, k, v, d = queries_keys_values(layers, x)
    return x + layers.out(((q.mT @ k / d**0.5).softmax(-1) @ v.mT).reshape(x.shape))


@misconception(
    "attention_block",
    "Here channels look at channels. It is the places that look at each other: there are h w of them, and so many "
    "weights for each.",
)
def attention_between_channels(layers, x):
    q, k, v, d = queries_keys_values(layers, x)
    return x + layers.out(((q @ k.mT / d**0.5).softmax(-1) @ v).reshape(x.shape))


@misconception(
    "attention_block",
    "Right for moderate numbers, but the exponentials overflow where the products are large. Only differences between "
    "the products of one place matter: take their largest off first, or use a ready-made softmax.",
)
def attention_that_overflows(layers, x):
    q, k, v, d = queries_keys_values(layers, x)
    weights = (q.mT @ k / d**0.5).exp()
    return looked_up(layers, x, weights / weights.sum(-1, keepdim=True), v)


ONE_MAXIMUM = (
    "The largest product of all was taken off, where each place has its own: where all products of a place are far "
    "below it, every exponential is zero, and 0 / 0 is left."
)


@misconception("attention_block", ONE_MAXIMUM)
def attention_with_one_maximum(layers, x):
    q, k, v, d = queries_keys_values(layers, x)
    products = q.mT @ k / d**0.5
    weights = (products - products.max()).exp()
    return looked_up(layers, x, weights / weights.sum(-1, keepdim=True), v)


@misconception("attention_block", ONE_MAXIMUM)
def attention_with_one_maximum_per_image(layers, x):
    q, k, v, d = queries_keys_values(layers, x)
    products = q.mT @ k / d**0.5
    weights = (products - products.amax((-2, -1), keepdim=True)).exp()
    return looked_up(layers, x, weights / weights.sum(-1, keepdim=True), v)


@misconception("attention_block", NO_GRADIENT)
def attention_without_gradient(layers, x):
    q, k, v, d = queries_keys_values(layers, x)
    return looked_up(layers, x, (q.mT @ k / d**0.5).softmax(-1), v).detach()


@misconception(
    "attention_block",
    "Right for one head. The channels were not split into heads: each head has queries, keys and weights of its own.",
)
def attention_with_a_single_head(layers, x):
    q, k, v, d = queries_keys_values(layers, x)
    q, k, v = (part.flatten(1, 2) for part in (q, k, v))
    return looked_up(layers, x, (q.mT @ k / (d * layers.heads) ** 0.5).softmax(-1), v)


# ---- unet_forward ---------------------------------------------------------------------------------------------------


def start(net, x, t, y):
    return net.first(net.patchify(x, net.patch)), net.embed(t, y)


def down(net, h, embedding, early=False, blocks=slice(None)):
    """The coarsest level, and what each level kept: its end, or, if early, its beginning."""
    kept = []
    for level in net.down:
        before = h
        for block in level.blocks[blocks]:
            h = net.residual(block, h, embedding)
        kept.append(before if early else h)
        h = level.shrink(net.patchify(h, 2))
    return h, kept


def middle(net, h, embedding):
    h = net.residual(net.middle.before, h, embedding)
    h = net.attention(net.middle.attention, h)
    return net.residual(net.middle.after, h, embedding)


def up(net, h, kept, embedding, join=lambda h, skip: [h, skip], blocks=slice(None)):
    for level, skip in zip(net.up, reversed(kept), strict=True):
        h = torch.cat(join(net.unpatchify(level.grow(h), 2), skip), dim=1)
        for block in level.blocks[blocks]:
            h = net.residual(block, h, embedding)
    return h


def end(net, h):
    return net.unpatchify(net.last(F.silu(net.norm(h))), net.patch)


def whole(net, x, t, y, early=False, **kwargs):
    """The right way through, but for what is changed."""
    h, embedding = start(net, x, t, y)
    h, kept = down(net, h, embedding, early)
    return end(net, up(net, middle(net, h, embedding), kept, embedding, **kwargs))


@misconception(
    "unet_forward",
    "The two that are joined stand in the wrong order: first what comes from below, then what was kept.",
)
def unet_with_skips_first(net, x, t, y):
    return whole(net, x, t, y, join=lambda h, skip: [skip, h])


@misconception(
    "unet_forward",
    "What was kept is the image from before the level's blocks. Keep it after them, just before it shrinks.",
)
def unet_with_skips_kept_early(net, x, t, y):
    return whole(net, x, t, y, early=True)


@misconception(
    "unet_forward",
    "The same was joined to itself: on the way up, every level needs what that level kept on the way down.",
)
def unet_without_skips(net, x, t, y):
    return whole(net, x, t, y, join=lambda h, skip: [h, h])


@misconception("unet_forward", "The attention in the middle is missing.")
def unet_without_attention(net, x, t, y):
    h, embedding = start(net, x, t, y)
    h, kept = down(net, h, embedding)
    h = net.residual(net.middle.after, net.residual(net.middle.before, h, embedding), embedding)
    return end(net, up(net, h, kept, embedding))


@misconception("unet_forward", "The middle is missing: between the way down and the way up are three more blocks.")
def unet_without_middle(net, x, t, y):
    h, embedding = start(net, x, t, y)
    h, kept = down(net, h, embedding)
    return end(net, up(net, h, kept, embedding))


@misconception(
    "unet_forward",
    "Right where a level has one block. There may be several, one after another, on the way down and up.",
)
def unet_with_one_block_per_level(net, x, t, y):
    h, embedding = start(net, x, t, y)
    h, kept = down(net, h, embedding, blocks=slice(1))
    return end(net, up(net, middle(net, h, embedding), kept, embedding, blocks=slice(1)))


@misconception("unet_forward", "The last normalisation and SiLU, before the layer `last`, are missing.")
def unet_without_the_last_norm(net, x, t, y):
    h, embedding = start(net, x, t, y)
    h, kept = down(net, h, embedding)
    h = up(net, middle(net, h, embedding), kept, embedding)
    return net.unpatchify(net.last(h), net.patch)


@misconception("unet_forward", "The SiLU after the last normalisation is missing.")
def unet_without_the_last_activation(net, x, t, y):
    h, embedding = start(net, x, t, y)
    h, kept = down(net, h, embedding)
    h = up(net, middle(net, h, embedding), kept, embedding)
    return net.unpatchify(net.last(net.norm(h)), net.patch)


@misconception(
    "unet_forward",
    "The image was added to the result. This network says what the velocity is; unlike a block's, its input is not "
    "carried around it.",
)
def unet_with_the_image_added(net, x, t, y):
    return x + whole(net, x, t, y)


@misconception("unet_forward", NO_GRADIENT)
def unet_without_gradient(net, x, t, y):
    return whole(net, x, t, y).detach()


# ---- drop_labels ----------------------------------------------------------------------------------------------------


KEPT = "The labels are kept with that probability, and dropped with the rest. Small u, dropped label."


@misconception("drop_labels", KEPT)
def drops_the_others(y, chance, null, u):
    return torch.where(u < chance, y, null)


@misconception("drop_labels", KEPT)
def drops_the_large(y, chance, null, u):
    return torch.where(u > chance, null, y)


@misconception(
    "drop_labels",
    "All labels are dropped, or none: the first u decided for the whole batch. Every label has its own u.",
)
def drops_the_batch(y, chance, null, u):
    return torch.full_like(y, null) if u[0] < chance else y.clone()


@misconception(
    "drop_labels",
    "A fixed share of the batch is dropped, always at the same places. Each label is dropped or kept on its own, by "
    "its u.",
)
def drops_the_first(y, chance, null, u):
    y = y.clone()
    y[: round(chance * len(y))] = null
    return y


@misconception(
    "drop_labels",
    "A dropped label became 0, which is a label of its own. It has to become the number that means that there is none.",
)
def drops_to_zero(y, chance, null, u):
    return torch.where(u < chance, 0, y)


@misconception(
    "drop_labels",
    "This is right for ten digits only, where 10 means no label. Use the number that is handed in.",
)
def drops_to_ten(y, chance, null, u):
    return torch.where(u < chance, 10, y)


@misconception(
    "drop_labels",
    "The dropped labels were left out, so there are fewer than before. Put the number for no label in their place.",
)
def leaves_out(y, chance, null, u):
    return y[u >= chance]


@misconception(
    "drop_labels",
    "The labels are right, but they were dropped in the tensor that came in: whoever called still wants them. Return a "
    "new one.",
)
def drops_in_place(y, chance, null, u):
    y[u < chance] = null
    return y


@misconception(
    "drop_labels",
    "The values are right, but no integers any more: labels are integers, for they pick a row of a table.",
)
def drops_to_floats(y, chance, null, u):
    return torch.where(u < chance, float(null), y)


@misconception(
    "drop_labels",
    "With a chance of 0, nothing may be dropped, but u may be exactly 0. Is it less, or less or equal?",
)
def drops_at_equality(y, chance, null, u):
    return torch.where(u <= chance, null, y)


# ---- guided_loss ----------------------------------------------------------------------------------------------------


def along_the_path(schedule, z, t, noise):
    """The place and the velocity of every sample on its path."""
    alpha, beta, d_alpha, d_beta = schedule(expand_time(t, z))
    return alpha * z + beta * noise, d_alpha * z + d_beta * noise


@misconception(
    "guided_loss",
    "The squares were averaged over the pixels too. The squared norm of a sample is a sum; only the samples are "
    "averaged.",
)
def loss_mean_of_all(model, schedule, z, t, noise, y):
    x, target = along_the_path(schedule, z, t, noise)
    return F.mse_loss(model(x, t, y), target)


@misconception(
    "guided_loss",
    "The samples were added up too, so a batch twice as large gives a loss twice as large. Average over the samples.",
)
def loss_sum_of_all(model, schedule, z, t, noise, y):
    x, target = along_the_path(schedule, z, t, noise)
    return (model(x, t, y) - target).square().sum()


FOR_POINTS = "Right for points, but a sample may have several axes: sum over all of them, whatever the sample's shape."


@misconception("guided_loss", FOR_POINTS)
def loss_sum_of_the_first_axis(model, schedule, z, t, noise, y):
    x, target = along_the_path(schedule, z, t, noise)
    return (model(x, t, y) - target).square().sum(1).mean()


@misconception("guided_loss", FOR_POINTS)
def loss_sum_of_the_last_axis(model, schedule, z, t, noise, y):
    x, target = along_the_path(schedule, z, t, noise)
    return (model(x, t, y) - target).square().sum(-1).mean()


@misconception(
    "guided_loss",
    "The noise enters the target with the wrong sign. The derivative of beta is negative already where the noise "
    "decreases; the target is the plain time derivative of the path.",
)
def loss_minus_noise(model, schedule, z, t, noise, y):
    alpha, beta, d_alpha, d_beta = schedule(expand_time(t, z))
    return mean_square(model(alpha * z + beta * noise, t, y) - (d_alpha * z - d_beta * noise))


@misconception(
    "guided_loss",
    "The target is data minus noise, which is the velocity for the linear schedule only. Others bring other "
    "derivatives of alpha and beta.",
)
def loss_with_a_straight_target(model, schedule, z, t, noise, y):
    x, _ = along_the_path(schedule, z, t, noise)
    return mean_square(model(x, t, y) - (z - noise))


@misconception(
    "guided_loss",
    "The target points backwards, from the data to the noise. Time runs from noise at 0 to data at 1.",
)
def loss_backwards(model, schedule, z, t, noise, y):
    x, target = along_the_path(schedule, z, t, noise)
    return mean_square(model(x, t, y) + target)


@misconception(
    "guided_loss",
    "The model was asked at the data z. It must not see them: it is asked at the place on the path at time t.",
)
def loss_at_the_data(model, schedule, z, t, noise, y):
    _, target = along_the_path(schedule, z, t, noise)
    return mean_square(model(z, t, y) - target)


@misconception(
    "guided_loss",
    "The times were multiplied along the last axis of the samples, not along the first. Give them the axes of the "
    "samples first (expand_time).",
)
def loss_with_times_along_the_last_axis(model, schedule, z, t, noise, y):
    alpha, beta, d_alpha, d_beta = schedule(t)
    return mean_square(model(alpha * z + beta * noise, t, y) - (d_alpha * z + d_beta * noise))


@misconception(
    "guided_loss",
    "The value is right, but it does not depend on the parameters any more: something cut it off (no_grad, detach, "
    "item, numpy), so nothing can be learned from it.",
)
def loss_without_gradient(model, schedule, z, t, noise, y):
    x, target = along_the_path(schedule, z, t, noise)
    return mean_square(model(x, t, y).detach() - target)


# ---- ema_update -----------------------------------------------------------------------------------------------------


@misconception(
    "ema_update",
    "The shares are swapped: decay is what stays of the average, and the current weights get the rest.",
)
@torch.no_grad()
def average_with_swapped_shares(average, current, decay):
    for old, new in zip(average, current, strict=True):
        old.lerp_(new, decay)


@misconception(
    "ema_update",
    "The averages are as they were. A new tensor was made, and the name or the place in the list points to it now, but "
    "the tensors that belong to the averaged model are the old ones: change the numbers in them.",
)
@torch.no_grad()
def average_not_in_place(average, current, decay):
    for i in range(len(average)):
        average[i] = decay * average[i] + (1 - decay) * current[i]


@misconception(
    "ema_update",
    "The averages are right, but they carry a gradient now, and with it the whole history of the weights. Update them "
    "where gradients are switched off.",
)
def average_with_gradient(average, current, decay):
    for old, new in zip(average, current, strict=True):
        old.mul_(decay).add_((1 - decay) * new)


@misconception(
    "ema_update",
    "The current weights were added whole, so the average grows and grows. Both shares together have to be 1.",
)
@torch.no_grad()
def average_that_grows(average, current, decay):
    for old, new in zip(average, current, strict=True):
        old.mul_(decay).add_(new)


@misconception(
    "ema_update",
    "The average was replaced by the current weights: nothing of the old one stays.",
)
@torch.no_grad()
def average_as_a_copy(average, current, decay):
    for old, new in zip(average, current, strict=True):
        old.copy_(new)


@misconception(
    "ema_update",
    "Only the first tensor was updated: does the function return inside the loop?",
)
@torch.no_grad()
def average_of_the_first(average, current, decay):
    average[0].lerp_(current[0], 1 - decay)


@misconception(
    "ema_update",
    "The current weights were moved towards the average. They are still in training; the average is what changes.",
)
@torch.no_grad()
def average_the_wrong_way(average, current, decay):
    for old, new in zip(average, current, strict=True):
        new.lerp_(old, decay)


@misconception(
    "ema_update",
    "The old average was multiplied by its share before the difference was taken, so a part of it is gone twice.",
)
@torch.no_grad()
def average_shrunk_twice(average, current, decay):
    for old, new in zip(average, current, strict=True):
        old.mul_(decay)
        old.add_((1 - decay) * (new - old))


# ---- guided_velocity ------------------------------------------------------------------------------------------------


def two_velocities(model, x, t, y, null):
    """The velocities without and with the labels."""
    return model(x, t, torch.full_like(y, null)), model(x, t, y)


@misconception(
    "guided_velocity",
    "This w counts from 0: w = 0 gives the labelled velocity, as in the paper by Ho and Salimans. Here w = 1 is to "
    "give that, and w = 0 the velocity without a label.",
)
def guided_from_the_labelled(model, x, t, y, w, null):
    without, given = two_velocities(model, x, t, y, null)
    return given + expand_time(w, x) * (given - without)


@misconception(
    "guided_velocity",
    "With label and without changed places: w = 0 gives the labelled velocity and w = 1 the other. Does the order in "
    "which the halves went in fit the order in which they come out?",
)
def guided_swapped(model, x, t, y, w, null):
    given, without = two_velocities(model, x, t, y, null)
    return without + expand_time(w, x) * (given - without)


@misconception(
    "guided_velocity",
    "The difference has the wrong sign, so it leads away from the label: it is labelled minus unlabelled.",
)
def guided_away(model, x, t, y, w, null):
    without, given = two_velocities(model, x, t, y, null)
    return without - expand_time(w, x) * (given - without)


@misconception(
    "guided_velocity",
    "The whole labelled velocity was added, w times. Added is only what the label changes, so that w = 1 gives the "
    "labelled velocity alone.",
)
def guided_by_the_whole(model, x, t, y, w, null):
    without, given = two_velocities(model, x, t, y, null)
    return without + expand_time(w, x) * given


@misconception(
    "guided_velocity",
    "This is w times the labelled velocity: the other one has cancelled. Are there parentheses around the difference?",
)
def guided_without_parentheses(model, x, t, y, w, null):
    without, given = two_velocities(model, x, t, y, null)
    return without + expand_time(w, x) * given - without


@misconception(
    "guided_velocity",
    "This is only w times the difference. The velocity without a label, from which it starts, is missing.",
)
def guided_difference_only(model, x, t, y, w, null):
    without, given = two_velocities(model, x, t, y, null)
    return expand_time(w, x) * (given - without)


@misconception(
    "guided_velocity",
    "Right where one w is for all. One w per sample was multiplied along the last axis of the samples, not along the "
    "first: give it the axes of the samples first (expand_time).",
)
def guided_with_w_along_the_last_axis(model, x, t, y, w, null):
    without, given = two_velocities(model, x, t, y, null)
    return without + w * (given - without)


@misconception(
    "guided_velocity",
    "Right where one time is for all. The times of the two halves do not fit the samples: with all the samples of one "
    "half before those of the other, the times have to follow in the same order.",
)
def guided_with_times_taking_turns(model, x, t, y, w, null):
    times = t.repeat_interleave(2) if isinstance(t, torch.Tensor) and t.ndim else t
    without, given = model(torch.cat([x, x]), times, torch.cat([torch.full_like(y, null), y])).chunk(2)
    return without + expand_time(w, x) * (given - without)


@misconception(
    "guided_velocity",
    "Right where one time is for all. With one time per sample, only the first was used.",
)
def guided_with_the_first_time(model, x, t, y, w, null):
    without, given = two_velocities(model, x, t.flatten()[0] if isinstance(t, torch.Tensor) else t, y, null)
    return without + expand_time(w, x) * (given - without)


@misconception(
    "guided_velocity",
    "The result was split as if labelled and unlabelled samples took turns, but one half came after the other.",
)
def guided_with_halves_taking_turns(model, x, t, y, w, null):
    both = torch.cat(two_velocities(model, x, t, y, null))
    return both[::2] + expand_time(w, x) * (both[1::2] - both[::2])


@misconception(
    "guided_velocity",
    "Right where 10 means no label. Use the number that is handed in.",
)
def guided_with_ten_for_no_label(model, x, t, y, w, null):
    without, given = two_velocities(model, x, t, y, 10)
    return without + expand_time(w, x) * (given - without)


@misconception(
    "guided_velocity",
    "The velocity without a label was asked for label 0. That is a label of its own; no label has the number that is "
    "handed in.",
)
def guided_with_zero_for_no_label(model, x, t, y, w, null):
    without, given = two_velocities(model, x, t, y, 0)
    return without + expand_time(w, x) * (given - without)


# ---- sample_guided --------------------------------------------------------------------------------------------------


def right_guidance(model, x, t, y, w, null):
    without, given = two_velocities(model, x, t, y, null)
    return without + expand_time(w, x) * (given - without)


def walk(model, y, w, x, times, sizes, null, guided=right_guidance):
    """The last states after Euler steps of these sizes at these times."""
    with torch.no_grad():
        for t, h in zip(times, sizes, strict=True):
            x = x + h * guided(model, x, t, y, w, null)
    return x


ALL_ALIKE = "All steps have the same size. The grid may be uneven: each step is as long as its own gap."


@misconception("sample_guided", ALL_ALIKE)
def samples_by_the_first_step(model, y, w, x0, t, null):
    return walk(model, y, w, x0, t[:-1], (t[1] - t[0]).expand(len(t) - 1), null)


@misconception("sample_guided", ALL_ALIKE)
def samples_by_even_steps(model, y, w, x0, t, null):
    m = len(t) - 1
    return walk(model, y, w, x0, t[:-1], [(t[-1] - t[0]) / m] * m, null)


@misconception(
    "sample_guided",
    "The steps are those of an even grid from 0 to 1, whatever grid came in. Use the times that are handed in.",
)
def samples_on_their_own_grid(model, y, w, x0, t, null):
    m = len(t) - 1
    return walk(model, y, w, x0, [k / m for k in range(m)], [1 / m] * m, null)


@misconception(
    "sample_guided",
    "The velocity was asked at the time at the end of each step. Euler's method asks where the step begins.",
)
def samples_from_the_next_time(model, y, w, x0, t, null):
    return walk(model, y, w, x0, t[1:], t.diff(), null)


@misconception("sample_guided", "One step too few: m + 1 grid points have m gaps, and the last one leads to t[-1].")
def samples_stopping_early(model, y, w, x0, t, null):
    return walk(model, y, w, x0, t[:-2], t.diff()[:-1], null)


@misconception("sample_guided", "The whole trajectory came back. Only the states at the last time are asked for.")
def samples_with_all_states(model, y, w, x0, t, null):
    return torch.stack([walk(model, y, w, x0, t[:k], t[: k + 1].diff(), null) for k in range(len(t))])


@misconception(
    "sample_guided",
    "The samples follow the labelled velocity as it is: w has no effect. Follow the guided one.",
)
def samples_without_guidance(model, y, w, x0, t, null):
    return walk(model, y, 1.0, x0, t[:-1], t.diff(), null)


@misconception(
    "sample_guided",
    "This w counts from 0, as in the paper by Ho and Salimans. Here w = 1 is to give the labelled velocity.",
)
def samples_from_the_labelled(model, y, w, x0, t, null):
    return walk(model, y, w + 1, x0, t[:-1], t.diff(), null)


@misconception(
    "sample_guided",
    "The velocity was not multiplied by the size of the step: finer grids lead further and further away.",
)
def samples_without_step_size(model, y, w, x0, t, null):
    return walk(model, y, w, x0, t[:-1], torch.ones_like(t[1:]), null)


@misconception(
    "sample_guided",
    "The samples are right, but the noise that came in was overwritten on the way: with += the steps are written into "
    "it. Make a new tensor in every step.",
)
@torch.no_grad()
def samples_in_place(model, y, w, x0, t, null):
    for k in range(len(t) - 1):
        x0 += (t[k + 1] - t[k]) * right_guidance(model, x0, t[k], y, w, null)
    return x0


@misconception(
    "sample_guided",
    "The samples are right, but they still carry the gradient of every step, which costs memory at each of them. "
    "Compute without gradients.",
)
def samples_with_gradient(model, y, w, x0, t, null):
    x = x0
    for k in range(len(t) - 1):
        x = x + (t[k + 1] - t[k]) * right_guidance(model, x, t[k], y, w, null)
    return x


@misconception(
    "sample_guided",
    "Every step starts from the noise again, so only the last one counts. It has to start where the one before ended.",
)
@torch.no_grad()
def samples_starting_again(model, y, w, x0, t, null):
    x = x0
    for k in range(len(t) - 1):
        x = x0 + (t[k + 1] - t[k]) * right_guidance(model, x, t[k], y, w, null)
    return x


# ---- guidance_test --------------------------------------------------------------------------------------------------

X = torch.tensor([[1.0, -2.0], [0.5, 3.0], [-1.5, 0.7], [0.2, -0.6]], dtype=torch.float64)
Y = torch.tensor([3, 0, 1, 2])
TIMES = torch.tensor([0.2, 0.45, 0.7, 0.9], dtype=torch.float64)
SCALES = torch.tensor([3.0, 0.0, 1.7, 2.5], dtype=torch.float64)
SHIFTS = torch.tensor([[0.3, 1.1], [-0.8, 0.2], [1.7, -0.4], [-0.2, 1.3], [0.6, -0.9]], dtype=torch.float64)


def aware(x, t, y):
    return x.sin() * (1 + expand_time(t, x)) + SHIFTS[y] * (2 + x * expand_time(t, x))


def blind_to_time(x, t, y):
    return x.sin() + SHIFTS[y] * (2 + x)


def agrees(
    guided, times=(0.4, TIMES), scales=(0.0, 1.0, 3.0, SCALES), model=aware, x=X, y=Y, null=4, same=torch.allclose
):
    """Does an implementation say the right thing for all of these times and scales?"""

    def right(t, w):
        return same(guided(model, x.clone(), t, y.clone(), w, null), right_guidance(model, x, t, y, w, null))

    return all(right(t, w) for t in times for w in scales)


@misconception(
    "guidance_test",
    "The test asks for w = 1 only, where guidance is just the labelled velocity: other ways to weigh the two agree "
    "there.",
)
def tests_w_of_one(guided):
    return agrees(guided, scales=[1.0])


@misconception(
    "guidance_test",
    "The test asks for w = 0 only, where the label plays no part: whatever happens to it, and to w, goes unseen.",
)
def tests_w_of_zero(guided):
    return agrees(guided, scales=[0.0])


@misconception(
    "guidance_test",
    "The test asks for w = 0 and w = 1 only, one for all. An implementation that treats larger ones, or one w per "
    "sample, in its own way goes unseen.",
)
def tests_both_ends(guided):
    return agrees(guided, scales=[0.0, 1.0])


@misconception(
    "guidance_test",
    "The same w holds for all samples of the test. There may be one per sample.",
)
def tests_one_scale(guided):
    return agrees(guided, scales=[0.0, 1.0, 3.0])


@misconception("guidance_test", "The same time holds for all samples of the test. There may be one per sample.")
def tests_one_time(guided):
    return agrees(guided, times=[0.4])


@misconception("guidance_test", "All samples of the test have the same label, so a mix-up among them goes unseen.")
def tests_one_label(guided):
    return agrees(guided, y=torch.full_like(Y, 2))


@misconception(
    "guidance_test",
    "The batch of the test has a single sample. Mistakes in what belongs to which sample need several that differ.",
)
def tests_one_sample(guided):
    return agrees(guided, times=[0.4, TIMES[:1]], scales=[0.0, 1.0, 3.0, SCALES[:1]], x=X[:1], y=Y[:1])


@misconception(
    "guidance_test",
    "The model in the test takes no notice of the time, so an implementation that hands over a wrong one goes unseen.",
)
def tests_without_time(guided):
    return agrees(guided, model=blind_to_time)


@misconception(
    "guidance_test",
    "In the test, 0 means no label. An implementation that takes 0 for it, whatever number it is handed, goes unseen.",
)
def tests_zero_for_no_label(guided):
    return agrees(guided, y=Y + 1, null=0)


@misconception(
    "guidance_test",
    "The test only looks whether the shape is right, or the numbers are finite. Compare the numbers with those of the "
    "formula.",
)
def tests_the_shape(guided):
    value = guided(aware, X.clone(), 0.4, Y.clone(), 2.0, 4)
    return value.shape == X.shape and bool(value.isfinite().all())


@misconception(
    "guidance_test",
    "Right implementations are taken for wrong ones: they round in different ways, and the test wants the same to the "
    "last digit. Compare up to rounding.",
)
def tests_the_last_digit(guided):
    return agrees(guided, same=torch.equal)


A_HALF = (
    "The test asks for w = 1/2 only, where labelled and unlabelled velocity count the same: nobody can tell there "
    "which is which."
)


@misconception("guidance_test", A_HALF)
def tests_a_half(guided):
    return agrees(guided, scales=[0.5])


@misconception("guidance_test", A_HALF)
def tests_a_half_at_one_time(guided):
    return agrees(guided, times=[0.4], scales=[0.5])


# ---- agreement ------------------------------------------------------------------------------------------------------


@misconception(
    "agreement",
    "The largest value was looked for along the wrong axis, among the samples. Each sample has one row, with a number "
    "for each class.",
)
def agreement_along_the_samples(log_probs, y):
    return (log_probs.argmax(0) == y).double().mean().item()


@misconception("agreement", "This is the number of samples that agree. Divide by how many there are.")
def agreement_as_a_count(log_probs, y):
    return (log_probs.argmax(1) == y).double().sum().item()


@misconception("agreement", "This is in percent. Asked for is a share, from 0 to 1.")
def agreement_in_percent(log_probs, y):
    return 100 * (log_probs.argmax(1) == y).double().mean().item()


@misconception("agreement", "This is the share that does not agree.")
def agreement_of_the_others(log_probs, y):
    return (log_probs.argmax(1) != y).double().mean().item()


@misconception(
    "agreement",
    "This is the mean probability of the label that was asked for. Asked for is how often it is the most probable one.",
)
def agreement_as_a_probability(log_probs, y):
    return log_probs.exp()[torch.arange(len(y)), y].mean().item()


@misconception(
    "agreement",
    "A sample counts here only if the label has more than half of the probability. It is enough if no other label has "
    "more.",
)
def agreement_by_majority(log_probs, y):
    return (log_probs.exp()[torch.arange(len(y)), y] > 0.5).double().mean().item()


@misconception(
    "agreement",
    "The least probable class was compared with the label. Log-probabilities are negative, but "
    "the most probable is still the largest.",
)
def agreement_with_the_least(log_probs, y):
    return (log_probs.argmin(1) == y).double().mean().item()


# ---- frechet_distance -----------------------------------------------------------------------------------------------


def moments(x, correction=1):
    return x.double().mean(0), torch.cov(x.double().T, correction=correction)


def root(A):
    """The symmetric root of a covariance."""
    values, vectors = torch.linalg.eigh(A)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T


def shared_trace(A, B):
    """tr (A B)^(1/2)."""
    return torch.linalg.eigvalsh(root(A) @ B @ root(A)).clamp(min=0).sqrt().sum()


def frechet(x, y, correction=1):
    (m, A), (p, B) = moments(x, correction), moments(y, correction)
    return ((m - p).square().sum() + A.trace() + B.trace() - 2 * shared_trace(A, B)).item()


@misconception(
    "frechet_distance",
    "The covariances were divided by n. Divide by n - 1: the mean was estimated from the same points.",
)
def frechet_divided_by_n(x, y):
    return frechet(x, y, correction=0)


@misconception(
    "frechet_distance",
    "The root was taken of every number in the matrix. The root of a matrix is another one: times itself, it gives the "
    "matrix.",
)
def frechet_with_roots_of_numbers(x, y):
    (m, A), (p, B) = moments(x), moments(y)
    return ((m - p).square().sum() + A.trace() + B.trace() - 2 * (A @ B).abs().sqrt().trace()).item()


@misconception(
    "frechet_distance",
    "The root was taken of the trace. Take the trace of the root: the sum of the roots of the eigenvalues.",
)
def frechet_with_the_root_of_the_trace(x, y):
    (m, A), (p, B) = moments(x), moments(y)
    return ((m - p).square().sum() + A.trace() + B.trace() - 2 * (A @ B).trace().sqrt()).item()


@misconception(
    "frechet_distance",
    "The roots of the two covariances were multiplied. The root of a product is another matrix, unless the two "
    "commute.",
)
def frechet_with_the_product_of_roots(x, y):
    (m, A), (p, B) = moments(x), moments(y)
    return ((m - p).square().sum() + A.trace() + B.trace() - 2 * (root(A) @ root(B)).trace()).item()


@misconception("frechet_distance", "There is no root: the trace of A B was taken off. Asked for is that of its root.")
def frechet_without_root(x, y):
    (m, A), (p, B) = moments(x), moments(y)
    return ((m - p).square().sum() + A.trace() + B.trace() - 2 * (A @ B).trace()).item()


@misconception(
    "frechet_distance",
    "Only the variances of the single coordinates were compared. How they vary together, the rest of the covariance, "
    "counts as well.",
)
def frechet_of_variances(x, y):
    (m, A), (p, B) = moments(x), moments(y)
    spread = A.diagonal().sqrt() - B.diagonal().sqrt()
    return ((m - p).square().sum() + spread.square().sum()).item()


@misconception("frechet_distance", "The factor 2 before the trace of the root is missing.")
def frechet_without_the_two(x, y):
    (m, A), (p, B) = moments(x), moments(y)
    return ((m - p).square().sum() + A.trace() + B.trace() - shared_trace(A, B)).item()


@misconception("frechet_distance", "The distance of the means was added as it is. The formula has its square.")
def frechet_with_the_distance_of_means(x, y):
    (m, A), (p, B) = moments(x), moments(y)
    return (torch.dist(m, p) + A.trace() + B.trace() - 2 * shared_trace(A, B)).item()


@misconception(
    "frechet_distance",
    "The means do not count: a sample that is only shifted has distance 0. Their squared distance is missing.",
)
def frechet_without_means(x, y):
    (_, A), (_, B) = moments(x), moments(y)
    return (A.trace() + B.trace() - 2 * shared_trace(A, B)).item()


@misconception(
    "frechet_distance",
    "This is the root of the squared distance. Asked for is the square, as it is usually reported.",
)
def frechet_root(x, y):
    return max(frechet(x, y), 0.0) ** 0.5


@misconception(
    "frechet_distance",
    "The means were not taken off before the products were averaged, so these are no covariances.",
)
def frechet_not_centred(x, y):
    x, y = x.double(), y.double()
    A, B = x.T @ x / (len(x) - 1), y.T @ y / (len(y) - 1)
    return ((x.mean(0) - y.mean(0)).square().sum() + A.trace() + B.trace() - 2 * shared_trace(A, B)).item()


# ---- classifier_guided_velocity -------------------------------------------------------------------------------------


def label_gradient(log_prob, x, t, y, pick=None):
    """The gradient in x of the sum over the samples of log p_t(y | x), or of what `pick` makes of log_probs and y."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        values = log_prob(x, t)
        chosen = values[torch.arange(len(x)), y] if pick is None else pick(values, y)
        return torch.autograd.grad(chosen.sum(), x)[0]


def conversion(schedule, x, t, factor=None, divisor=None):
    """The factor between score and velocity: left out at alpha = 0, unless another divisor than alpha is given."""
    alpha, beta, d_alpha, d_beta = schedule(torch.as_tensor(expand_time(t, x), dtype=x.dtype))
    if factor is not None:
        return torch.where(alpha > 0, factor(alpha, beta, d_alpha, d_beta), 0.0)
    difference = beta * (d_alpha * beta - alpha * d_beta)
    return torch.where(alpha > 0, difference / alpha, 0.0) if divisor is None else difference / divisor(alpha)


def classifier_guided(u, log_prob, schedule, x, t, y, w, pick=None, **kwargs):
    gradient = label_gradient(log_prob, x, t, y, pick)
    with torch.no_grad():
        return u(x, t) + w * conversion(schedule, x, t, **kwargs) * gradient


WITHOUT_FACTOR = (
    "The gradient was added to the velocity as it is. It is a score; what one unit of score means for the velocity is "
    "the factor in the formula."
)
LINEAR_ONLY = (
    "Right for the linear schedule, where the factor is (1 - t) / t. Work it out from alpha, beta and their "
    "derivatives."
)


@misconception("classifier_guided_velocity", WITHOUT_FACTOR)
def classifier_without_factor_at_any_time(u, log_prob, schedule, x, t, y, w):
    return (u(x, t) + w * label_gradient(log_prob, x, t, y)).detach()


@misconception("classifier_guided_velocity", WITHOUT_FACTOR)
def classifier_without_factor(u, log_prob, schedule, x, t, y, w):
    return classifier_guided(u, log_prob, schedule, x, t, y, w, factor=lambda a, b, da, db: torch.ones_like(a))


@misconception("classifier_guided_velocity", LINEAR_ONLY)
def classifier_with_beta_by_alpha(u, log_prob, schedule, x, t, y, w):
    return classifier_guided(u, log_prob, schedule, x, t, y, w, factor=lambda a, b, da, db: b / a)


@misconception("classifier_guided_velocity", LINEAR_ONLY)
def classifier_with_alpha_for_the_time(u, log_prob, schedule, x, t, y, w):
    return classifier_guided(u, log_prob, schedule, x, t, y, w, factor=lambda a, b, da, db: (1 - a) / a)


@misconception("classifier_guided_velocity", LINEAR_ONLY)
def classifier_for_the_linear_schedule(u, log_prob, schedule, x, t, y, w):
    s = torch.as_tensor(expand_time(t, x), dtype=x.dtype)
    return classifier_guided(
        u, log_prob, schedule, x, t, y, w, factor=lambda a, b, da, db: torch.where(s > 0, (1 - s) / s, 0.0)
    )


@misconception(
    "classifier_guided_velocity",
    "The gradient has the wrong sign: it leads away from the label. The velocity has to grow towards higher "
    "log-probability.",
)
def classifier_against_the_label(u, log_prob, schedule, x, t, y, w):
    return classifier_guided(u, log_prob, schedule, x, t, y, -w)


@misconception(
    "classifier_guided_velocity",
    "The gradient was divided by the number of samples, so a larger batch is guided less. Differentiate the sum over "
    "the samples: each has its own gradient.",
)
def classifier_of_the_mean(u, log_prob, schedule, x, t, y, w):
    return classifier_guided(u, log_prob, schedule, x, t, y, w / len(x))


@misconception(
    "classifier_guided_velocity",
    "This is the gradient of the probability. Asked for is that of its logarithm.",
)
def classifier_of_the_probability(u, log_prob, schedule, x, t, y, w):
    def pick(values, y):
        return values[torch.arange(len(y)), y].exp()

    return classifier_guided(u, log_prob, schedule, x, t, y, w, pick)


@misconception(
    "classifier_guided_velocity",
    "The gradient is that of all the log-probabilities together, whatever label was asked for. Pick each sample's own "
    "label first.",
)
def classifier_of_all_labels(u, log_prob, schedule, x, t, y, w):
    return classifier_guided(u, log_prob, schedule, x, t, y, w, lambda values, y: values)


@misconception(
    "classifier_guided_velocity",
    "The classifier was asked as if x were clean data, at time 1. It is told the time, and knows how noisy x is.",
)
def classifier_at_time_one(u, log_prob, schedule, x, t, y, w):
    return classifier_guided(u, lambda x, t: log_prob(x, 1.0), schedule, x, t, y, w)


@misconception(
    "classifier_guided_velocity",
    "The columns of all the labels were picked in every row, so each sample is drawn to the labels of the others too. "
    "Row i has its own label y[i].",
)
def classifier_of_everybodys_labels(u, log_prob, schedule, x, t, y, w):
    return classifier_guided(u, log_prob, schedule, x, t, y, w, lambda values, y: values[:, y])


@misconception(
    "classifier_guided_velocity",
    "The parentheses in the factor are missing: beta multiplies, and alpha divides, the whole difference.",
)
def classifier_without_parentheses(u, log_prob, schedule, x, t, y, w):
    return classifier_guided(u, log_prob, schedule, x, t, y, w, factor=lambda a, b, da, db: b * da * b - a * db / a)


@misconception(
    "classifier_guided_velocity",
    "The difference in the factor has become a sum, or has the other sign. Solve the two equations, x and the velocity "
    "in terms of data and noise, once more.",
)
def classifier_with_a_sum(u, log_prob, schedule, x, t, y, w):
    return classifier_guided(u, log_prob, schedule, x, t, y, w, factor=lambda a, b, da, db: b * (da * b + a * db) / a)


@misconception(
    "classifier_guided_velocity",
    "The factor has one beta too few. The score is minus the noise divided by beta: one beta comes from there, another "
    "one from solving for the noise.",
)
def classifier_with_a_beta_missing(u, log_prob, schedule, x, t, y, w):
    return classifier_guided(u, log_prob, schedule, x, t, y, w, factor=lambda a, b, da, db: (da * b - a * db) / a)


@misconception(
    "classifier_guided_velocity",
    "Right, except where alpha = 0: there the factor is infinite, and so is the result. Leave the classifier's term "
    "out there.",
)
def classifier_with_infinity(u, log_prob, schedule, x, t, y, w):
    return classifier_guided(u, log_prob, schedule, x, t, y, w, divisor=lambda a: a)


A_TINY_NUMBER = (
    "Right, except where alpha = 0: a tiny number in the place of zero in the denominator makes the term enormous "
    "there. Leave it out."
)


@misconception("classifier_guided_velocity", A_TINY_NUMBER)
def classifier_with_a_tiny_number(u, log_prob, schedule, x, t, y, w):
    return classifier_guided(u, log_prob, schedule, x, t, y, w, divisor=lambda a: a + 1e-8)


@misconception("classifier_guided_velocity", A_TINY_NUMBER)
def classifier_with_a_small_number(u, log_prob, schedule, x, t, y, w):
    return classifier_guided(u, log_prob, schedule, x, t, y, w, divisor=lambda a: a + 1e-6)


@misconception("classifier_guided_velocity", A_TINY_NUMBER)
def classifier_with_a_least_divisor(u, log_prob, schedule, x, t, y, w):
    return classifier_guided(u, log_prob, schedule, x, t, y, w, divisor=lambda a: a.clamp(min=1e-8))


@misconception(
    "classifier_guided_velocity",
    "The velocity is right, but it still carries a gradient, and with it everything that it was computed from. A "
    "sampler would collect that over all its steps: detach it.",
)
def classifier_with_gradient(u, log_prob, schedule, x, t, y, w):
    return u(x, t) + w * conversion(schedule, x, t) * label_gradient(log_prob, x, t, y)


@misconception(
    "classifier_guided_velocity",
    "The scale counts from 1 here. The velocity that comes in knows no label, so w = 1 needs the gradient once.",
)
def classifier_with_one_less(u, log_prob, schedule, x, t, y, w):
    return classifier_guided(u, log_prob, schedule, x, t, y, w - 1)


# ---- tilted_log_density ---------------------------------------------------------------------------------------------


def posterior_of(log_posterior, x, y):
    """log p(y | x), (n,)."""
    return log_posterior(x)[torch.arange(len(x)), y]


@misconception(
    "tilted_log_density",
    "The scale is at the wrong place: it is the posterior that is raised to the power w, not the density.",
)
def tilted_at_the_density(log_prob, log_posterior, x, y, w):
    return w * log_prob(x) + posterior_of(log_posterior, x, y)


@misconception("tilted_log_density", "Both terms were multiplied by w. It is the power of the posterior alone.")
def tilted_both(log_prob, log_posterior, x, y, w):
    return w * (log_prob(x) + posterior_of(log_posterior, x, y))


@misconception(
    "tilted_log_density",
    "The two were weighed by 1 - w and w. The density of x comes in whole, whatever w is.",
)
def tilted_between(log_prob, log_posterior, x, y, w):
    return (1 - w) * log_prob(x) + w * posterior_of(log_posterior, x, y)


@misconception(
    "tilted_log_density",
    "The posterior comes in w + 1 times. At w = 1, this is to be the logarithm of p(x) p(y | x), the joint density.",
)
def tilted_once_more(log_prob, log_posterior, x, y, w):
    return log_prob(x) + (1 + w) * posterior_of(log_posterior, x, y)


@misconception("tilted_log_density", "The logarithms were multiplied. The logarithm of a product is a sum.")
def tilted_product(log_prob, log_posterior, x, y, w):
    return log_prob(x) * w * posterior_of(log_posterior, x, y)


@misconception("tilted_log_density", "This is the density itself. Leave it as a logarithm.")
def tilted_without_logarithm(log_prob, log_posterior, x, y, w):
    return (log_prob(x) + w * posterior_of(log_posterior, x, y)).exp()


@misconception(
    "tilted_log_density",
    "The label picked a row, which is a sample. Labels are columns: each sample's row has a number for every label.",
)
def tilted_by_rows(log_prob, log_posterior, x, y, w):
    return log_prob(x) + w * log_posterior(x)[y]


@misconception(
    "tilted_log_density",
    "Right where one label is for all. With one per sample, row i has to give its column y[i] only.",
)
def tilted_by_all_columns(log_prob, log_posterior, x, y, w):
    return log_prob(x) + w * log_posterior(x)[:, y]


@misconception(
    "tilted_log_density",
    "The posterior was added up over the labels. Only that of the label that is asked for counts.",
)
def tilted_by_the_sum(log_prob, log_posterior, x, y, w):
    return log_prob(x) + w * log_posterior(x).sum(1)


@misconception(
    "tilted_log_density",
    "These are normalised so that the densities of the points at hand sum to 1, which changes with the points. Leave "
    "the constant open.",
)
def tilted_normalised(log_prob, log_posterior, x, y, w):
    return (log_prob(x) + w * posterior_of(log_posterior, x, y)).log_softmax(0)
