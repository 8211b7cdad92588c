"""Right solutions of Lab 5 that few people would write."""

import functools
import itertools
import math

import numpy as np
import scipy.linalg
import torch
import torch.nn.functional as F

from course import guidance, solvers
from course.metrics import frechet_distance as measured
from course.paths import score_to_velocity
from course.shapes import expand_time
from tests.unusual import unusual

# ---- time_embedding -------------------------------------------------------------------------------------------------


@unusual("time_embedding", "the real and imaginary parts of points on the unit circle")
def time_by_complex_numbers(t, dim, period=0.05):
    count = dim // 2
    octaves = torch.linspace(math.log(4), math.log(period), count, dtype=torch.float64)
    angles = 2 * math.pi * t.double().outer(torch.exp(-octaves))
    points = torch.polar(torch.ones_like(angles), angles)
    return torch.cat([points.imag, points.real], dim=-1).to(t.dtype)


@unusual("time_embedding", "number by number")
def time_by_loops(t, dim, period=0.05):
    periods = [4 * (period / 4) ** (k / (dim / 2 - 1)) for k in range(dim // 2)]
    rows = [[wave(2 * math.pi * s / p) for wave in (math.sin, math.cos) for p in periods] for s in t.tolist()]
    return torch.tensor(rows, dtype=t.dtype)


@unusual("time_embedding", "cosines as sines, a quarter turn ahead, the frequencies by repeated multiplication")
def time_by_sines_alone(t, dim, period=0.05):
    ratio = (4 / period) ** (1 / (dim // 2 - 1))
    omega = [math.pi / 2 * ratio**k for k in range(dim // 2)]
    angles = t.unsqueeze(1).mul(torch.tensor(omega, dtype=t.dtype)).repeat(1, 2)
    angles[:, dim // 2 :] += math.pi / 2
    return angles.sin()


# ---- patchify -------------------------------------------------------------------------------------------------------


@unusual("patchify", "PyTorch's own")
def patches_by_pixel_unshuffle(x, size):
    return F.pixel_unshuffle(x, size)


@unusual("patchify", "every size-th pixel, from each place in the patch")
def patches_by_slices(x, size):
    parts = [x[:, :, i::size, j::size] for i in range(size) for j in range(size)]
    return torch.stack(parts, dim=2).flatten(1, 2)


@unusual("patchify", "a convolution with stride, whose filters pick one pixel each")
def patches_by_convolution(x, size):
    pick = torch.eye(size**2, dtype=x.dtype).reshape(size**2, 1, size, size)
    return F.conv2d(x, pick.repeat(x.shape[1], 1, 1, 1), stride=size, groups=x.shape[1])


@unusual("patchify", "unfold, whose columns are made an image again")
def patches_by_unfold(x, size):
    n, _, h, w = x.shape
    return F.unfold(x, kernel_size=size, stride=size).view(n, -1, h // size, w // size)


# ---- unpatchify -----------------------------------------------------------------------------------------------------


@unusual("unpatchify", "PyTorch's own")
def images_by_pixel_shuffle(patches, size):
    return F.pixel_shuffle(patches, size)


@unusual("unpatchify", "written into every size-th pixel of an empty image")
def images_by_slices(patches, size):
    n, channels, h, w = patches.shape
    x = patches.new_empty(n, channels // size**2, h * size, w * size)
    for i, j in itertools.product(range(size), repeat=2):
        x[:, :, i::size, j::size] = patches[:, i * size + j :: size**2]
    return x


@unusual("unpatchify", "fold, the sum of patches that do not overlap")
def images_by_fold(patches, size):
    n, channels, h, w = patches.shape
    return F.fold(patches.reshape(n, channels, h * w), (h * size, w * size), kernel_size=size, stride=size)


# ---- residual_block -------------------------------------------------------------------------------------------------


@unusual("residual_block", "SiLU by hand, the scale and shift by addcmul, the skip last")
def block_by_addcmul(layers, x, embedding):
    def silu(h):
        return h * torch.sigmoid(h)

    both = layers.modulate(embedding)
    channels = both.shape[1] // 2
    scale, shift = both[:, :channels].reshape(-1, channels, 1, 1), both[:, channels:].reshape(-1, channels, 1, 1)
    h = layers.norm2(layers.conv1(silu(layers.norm1(x))))
    return layers.conv2(silu(torch.addcmul(h + shift, h, scale))) + layers.skip(x)


@unusual("residual_block", "in place on its own tensors")
def block_in_place(layers, x, embedding):
    scale, shift = torch.unflatten(layers.modulate(embedding), 1, (2, -1)).unbind(1)
    h = layers.conv1(F.silu(layers.norm1(x), inplace=True))
    h = torch.einsum("nchw,nc->nchw", layers.norm2(h), scale + 1) + shift[..., None, None]
    out = layers.conv2(F.silu(h, inplace=True))
    out += layers.skip(x)
    return out


@unusual("residual_block", "sample by sample")
def block_by_samples(layers, x, embedding):
    rows = []
    for image, vector in zip(x, embedding, strict=True):
        scale, shift = layers.modulate(vector).tensor_split(2)
        h = layers.norm2(layers.conv1(F.silu(layers.norm1(image[None]))))
        h = h + h * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)
        rows.append(layers.skip(image[None]) + layers.conv2(F.silu(h)))
    return torch.cat(rows)


# ---- attention_block ------------------------------------------------------------------------------------------------


@unusual("attention_block", "PyTorch's own")
def attention_by_pytorch(layers, x):
    q, k, v = (
        part.unflatten(1, (layers.heads, -1)).flatten(3).mT for part in layers.qkv(layers.norm(x)).chunk(3, dim=1)
    )
    return x + layers.out(F.scaled_dot_product_attention(q, k, v).mT.reshape(x.shape))


@unusual("attention_block", "einsum over rows and columns, the softmax by logarithms")
def attention_by_einsum(layers, x):
    n, c, _, _ = x.shape
    q, k, v = layers.qkv(layers.norm(x)).view(n, 3, layers.heads, c // layers.heads, *x.shape[2:]).unbind(1)
    products = torch.einsum("nadij,nadkl->naijkl", q, k) * (layers.heads / c) ** 0.5
    weights = torch.exp(products - products.flatten(4).logsumexp(-1)[..., None, None])
    return x + layers.out(torch.einsum("naijkl,nadkl->nadij", weights, v).flatten(1, 2))


@unusual("attention_block", "sample by sample and head by head")
def attention_by_loops(layers, x):
    h = layers.qkv(layers.norm(x)).flatten(2)
    queries, keys, values = h.split(x.shape[1], dim=1)
    d, found = x.shape[1] // layers.heads, []
    for i, start in itertools.product(range(len(x)), range(0, x.shape[1], d)):
        q, k, v = (part[i, start : start + d] for part in (queries, keys, values))
        weights = F.softmax(k.T @ (q / math.sqrt(d)), dim=0)  # (places looked at, places that look)
        found.append(v @ weights)
    return layers.out(torch.stack(found).reshape(x.shape)) + x


# ---- unet_forward ---------------------------------------------------------------------------------------------------


@unusual("unet_forward", "level by level, by recursion")
def unet_by_recursion(net, x, t, y):
    embedding = net.embed(t, y)

    def run(blocks, h):
        return functools.reduce(lambda h, block: net.residual(block, h, embedding), blocks, h)

    def from_level(i, h):
        if i == len(net.down):
            h = net.attention(net.middle.attention, run([net.middle.before], h))
            return run([net.middle.after], h)
        kept = run(net.down[i].blocks, h)
        coarse = from_level(i + 1, net.down[i].shrink(net.patchify(kept, 2)))
        up = net.up[len(net.up) - 1 - i]
        return run(up.blocks, torch.cat((net.unpatchify(up.grow(coarse), 2), kept), 1))

    h = from_level(0, net.first(net.patchify(x, net.patch)))
    return net.unpatchify(net.last(F.silu(net.norm(h))), net.patch)


@unusual("unet_forward", "PyTorch's pixel_shuffle, skips in a dict by their size")
def unet_by_pixel_shuffle(net, x, t, y):
    embedding, skips = net.embed(t, y), {}
    h = net.first(F.pixel_unshuffle(x, net.patch))
    for level in net.down:
        for block in level.blocks:
            h = net.residual(block, h, embedding)
        skips[h.shape[2:]] = h
        h = level.shrink(F.pixel_unshuffle(h, 2))
    h = net.residual(net.middle.before, h, embedding)
    h = net.residual(net.middle.after, net.attention(net.middle.attention, h), embedding)
    for level in net.up:
        h = F.pixel_shuffle(level.grow(h), 2)
        h = torch.hstack([h, skips[h.shape[2:]]])
        for block in level.blocks:
            h = net.residual(block, h, embedding)
    h = net.norm(h)
    return F.pixel_shuffle(net.last(h * h.sigmoid()), net.patch)


@unusual("unet_forward", "sample by sample")
def unet_by_samples(net, x, t, y):
    times = torch.as_tensor(t, dtype=x.dtype).expand(len(x))
    return torch.cat([unet_by_recursion(net, x[i : i + 1], times[i], y[i : i + 1]) for i in range(len(x))])


# ---- drop_labels ----------------------------------------------------------------------------------------------------


@unusual("drop_labels", "masked_fill")
def drops_by_masked_fill(y, chance, null, u):
    return y.masked_fill(u.lt(chance), null)


@unusual("drop_labels", "arithmetic with the mask")
def drops_by_arithmetic(y, chance, null, u):
    kept = (u >= chance).to(y.dtype)
    return y * kept + null * (1 - kept)


@unusual("drop_labels", "a Python list")
def drops_by_list(y, chance, null, u):
    return torch.tensor([null if number < chance else label for label, number in zip(y.tolist(), u, strict=True)])


@unusual("drop_labels", "written into a copy, where the sign says so")
def drops_into_a_copy(y, chance, null, u):
    new = torch.clone(y)
    new[torch.sign(u - chance) == -1] = null
    return new


# ---- guided_loss ----------------------------------------------------------------------------------------------------


@unusual("guided_loss", "mse_loss with the sum, the target as the derivative of the path by a dual number")
def loss_by_differentiation(model, schedule, z, t, noise, y):
    def path(t):
        alpha, beta, _, _ = schedule(expand_time(t, z))
        return alpha * z + beta * noise

    x, target = torch.func.jvp(path, (t,), (torch.ones_like(t),))
    return F.mse_loss(model(x, t, y), target, reduction="sum") / len(z)


@unusual("guided_loss", "the schedule asked with t (n,), the sum by einsum")
def loss_by_einsum(model, schedule, z, t, noise, y):
    shape = (-1,) + (1,) * (z.ndim - 1)
    alpha, beta, d_alpha, d_beta = (value.reshape(shape) for value in schedule(t))
    error = (d_alpha * z + d_beta * noise - model(noise * beta + z * alpha, t, y)).reshape(len(z), -1)
    return torch.einsum("ni,ni->", error, error) / error.shape[0]


@unusual("guided_loss", "sample by sample, with norms")
def loss_by_samples(model, schedule, z, t, noise, y):
    losses = []
    for i in range(len(z)):
        alpha, beta, d_alpha, d_beta = schedule(t[i])
        value = model((alpha * z[i] + beta * noise[i])[None], t[i : i + 1], y[i : i + 1])[0]
        losses.append(torch.linalg.vector_norm(value - d_alpha * z[i] - d_beta * noise[i]) ** 2)
    return torch.stack(losses).mean()


# ---- ema_update -----------------------------------------------------------------------------------------------------


@unusual("ema_update", "all tensors in one call")
@torch.no_grad()
def average_by_foreach(average, current, decay):
    torch._foreach_lerp_(average, current, 1 - decay)


@unusual("ema_update", "by .data, the difference added")
def average_by_data(average, current, decay):
    for i, new in enumerate(current):
        average[i].data += (1 - decay) * (new.data - average[i].data)


@unusual("ema_update", "copied from a new list, which comes back")
def average_by_copies(average, current, decay):
    new = [(decay * old + (1 - decay) * now).detach() for old, now in zip(average, current, strict=True)]
    for old, value in zip(average, new, strict=True):
        old[...] = value
    return average


# ---- guided_velocity ------------------------------------------------------------------------------------------------


@unusual("guided_velocity", "two calls of the model, and lerp")
def guided_by_lerp(model, x, t, y, w, null):
    s = torch.as_tensor(expand_time(w, x), dtype=x.dtype)
    return torch.lerp(model(x, t, torch.zeros_like(y) + null), model(x, t, y), s)


@unusual("guided_velocity", "labelled and unlabelled samples in turn, weighed by einsum")
def guided_in_turn(model, x, t, y, w, null):
    times, scales = (torch.as_tensor(value, dtype=x.dtype).expand(len(x)) for value in (t, w))
    labels = torch.stack([y, torch.full_like(y, null)], dim=1).flatten()
    both = model(x.repeat_interleave(2, dim=0), times.repeat_interleave(2), labels).unflatten(0, (-1, 2))
    return torch.einsum("nk...,nk->n...", both, torch.stack([scales, 1 - scales], dim=1))


@unusual("guided_velocity", "sample by sample, from the labelled velocity")
def guided_by_samples(model, x, t, y, w, null):
    rows = []
    for i in range(len(x)):
        s = t[i] if isinstance(t, torch.Tensor) and t.ndim else t
        v = w[i] if isinstance(w, torch.Tensor) and w.ndim else w
        given, without = model(x[[i, i]], s, torch.tensor([int(y[i]), null]))
        rows.append(given + (v - 1) * (given - without))
    return torch.stack(rows)


# ---- sample_guided --------------------------------------------------------------------------------------------------


@unusual("sample_guided", "the course's loop and rule")
def samples_by_simulate(model, y, w, x0, t, null):
    def u(x, t):
        return guidance.guided_velocity(model, x, t, y, w, null)

    return solvers.simulate(functools.partial(solvers.euler_step, u), x0, t, keep="last", chunk=len(x0))


@unusual("sample_guided", "functools.reduce over pairs of times, detached at the end")
def samples_by_reduction(model, y, w, x0, t, null):
    def step(x, times):
        a, b = times
        return x + (b - a) * guided_by_lerp(model, x, a, y, w, null)

    return functools.reduce(step, itertools.pairwise(t.tolist()), x0).detach()


@unusual("sample_guided", "in place on a clone, the weights of the two velocities")
@torch.no_grad()
def samples_in_place_on_a_clone(model, y, w, x0, t, null):
    x, nothing = x0.clone(), torch.full_like(y, null)
    for s, h in zip(t, t.diff(), strict=False):
        given, without = model(x, s, y), model(x, s, nothing)
        x += h * expand_time(w, x) * given
        x += h * (1 - expand_time(w, x)) * without
    return x


# ---- guidance_test --------------------------------------------------------------------------------------------------


@unusual("guidance_test", "a field that is a different constant for every sample, label and time, in float32")
def by_constants(guided):
    table = torch.tensor([3.0, -5.0, 7.0, 11.0, -13.0, 17.0, 2.0])

    def model(x, t, y):
        return x**2 + (table[y] * (1 + torch.as_tensor(t).expand(len(x))))[:, None].expand_as(x)

    x, y = torch.arange(10.0).reshape(5, 2) / 4, torch.tensor([1, 4, 0, 2, 3])
    t, w = torch.tensor([0.5, 0.25, 0.75, 1.0, 0.0]), torch.tensor([2.0, -1.0, 0.5, 4.0, 1.0])
    for now, scale in itertools.product((t, t[0], 0.3), (w, w[3], 1.5)):
        found = guided(model, x, now, y, scale, 6)
        growth = 1 + torch.as_tensor(now).expand(5)
        right = x**2 + ((2.0 + torch.as_tensor(scale) * (table[y] - 2.0)) * growth)[:, None]
        if not np.allclose(found.numpy(), right.numpy(), rtol=1e-4, atol=1e-4):
            return np.False_
    return np.True_


@unusual("guidance_test", "compares with another implementation on images, and lets an assertion decide")
def by_comparison(guided):
    numbers = torch.Generator().manual_seed(1)
    x = torch.randn(6, 1, 3, 3, generator=numbers, dtype=torch.float64)
    shifts = torch.randn(9, 1, 3, 3, generator=numbers, dtype=torch.float64)
    t = torch.rand(6, generator=numbers, dtype=torch.float64)

    def model(x, t, y):
        return torch.tanh(x * (0.3 + expand_time(t, x)) + shifts[y])

    y = torch.tensor([5, 2, 7, 1, 0, 3])
    try:
        for w in (0.0, 1.0, -2.0, 3.0, 5 * t.flip(0)):
            torch.testing.assert_close(guided(model, x, t, y, w, 8), guided_by_samples(model, x, t, y, w, 8))
    except AssertionError:
        return False
    return True


@unusual("guidance_test", "a straight line in w through its values at 0 and 1, each looked at for itself")
def by_a_straight_line(guided):
    x = torch.tensor([[0.5, 1.0, -1.0], [2.0, 0.3, 0.7], [-0.4, 1.5, 0.2]], dtype=torch.float64)
    t, y = torch.tensor([0.1, 0.8, 0.6], dtype=torch.float64), torch.tensor([4, 1, 2])

    def model(x, t, y):
        return (x + t[:, None]).cos() * (1.0 + y[:, None])

    start, end = (guided(model, x, t, y, float(w), 5) for w in (0, 1))
    mixed = guided(model, x, t, y, torch.tensor([3.0, 0.5, -1.0], dtype=torch.float64), 5)
    slope = torch.tensor([[3.0], [0.5], [-1.0]]) * (end - start)
    checks = [
        torch.allclose(start, 6 * (x + t[:, None]).cos()),
        torch.allclose(end, (1 + y[:, None]) * (x + t[:, None]).cos()),
        torch.allclose(mixed, start + slope),
    ]
    return torch.tensor(all(checks))


# ---- agreement ------------------------------------------------------------------------------------------------------


@unusual("agreement", "topk, a 0-d tensor")
def agreement_by_topk(log_probs, y):
    return (log_probs.topk(1, dim=-1).indices.squeeze(-1) == y).double().mean()


@unusual("agreement", "Python's max")
def agreement_by_loops(log_probs, y):
    return sum(
        max(range(len(row)), key=row.__getitem__) == int(label)
        for row, label in zip(log_probs.tolist(), y, strict=True)
    ) / len(y)


@unusual("agreement", "where the label's own value is the largest")
def agreement_by_values(log_probs, y):
    own = log_probs.gather(1, y[:, None])
    return float((own == log_probs.amax(1, keepdim=True)).sum()) / y.numel()


# ---- frechet_distance -----------------------------------------------------------------------------------------------


@unusual("frechet_distance", "the nuclear norm of the product of the centred samples")
def frechet_by_nuclear_norm(x, y):
    a, b = ((s - s.mean(0)).double() / math.sqrt(len(s) - 1) for s in (x, y))
    shift = (x.double().mean(0) - y.double().mean(0)).square().sum()
    return shift + a.square().sum() + b.square().sum() - 2 * torch.linalg.matrix_norm(a @ b.T, "nuc")


@unusual("frechet_distance", "SciPy's root of a matrix, its real part")
def frechet_by_scipy(x, y):
    x, y = x.numpy(), y.numpy()
    A, B = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    product = scipy.linalg.sqrtm(A @ B)
    return np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(A + B - 2 * product.real)


@unusual("frechet_distance", "the eigenvalues of a matrix that is not symmetric")
def frechet_by_eigenvalues(x, y):
    x, y = x.double(), y.double()
    A, B = torch.cov(x.T), torch.cov(y.T)
    roots = torch.linalg.eigvals(A @ B).sqrt().real.sum()
    return float(torch.dist(x.mean(0), y.mean(0)) ** 2 + torch.trace(A) + torch.trace(B) - 2 * roots)


@unusual("frechet_distance", "the course's own")
def frechet_by_the_course(x, y):
    return measured(x, y)


# ---- classifier_guided_velocity -------------------------------------------------------------------------------------


@unusual("classifier_guided_velocity", "the gradient by torch.func, a one-hot sum")
def classifier_by_func(u, log_prob, schedule, x, t, y, w):
    def total(x):
        values = log_prob(x, t)
        return (values * F.one_hot(y, values.shape[1])).sum()

    alpha, beta, d_alpha, d_beta = schedule(torch.as_tensor(expand_time(t, x), dtype=x.dtype))
    factor = beta * (d_alpha / alpha * beta - d_beta)
    term = w * factor * torch.func.grad(total)(x)
    return (u(x, t) + torch.where(alpha == 0, 0, term)).detach()


@unusual("classifier_guided_velocity", "the course's conversion of a score into a velocity, cross entropy")
def classifier_by_conversion(u, log_prob, schedule, x, t, y, w):
    place = x.clone().requires_grad_(True)
    with torch.set_grad_enabled(True):
        F.nll_loss(log_prob(place, t), y, reduction="sum").backward()
    added = score_to_velocity(schedule, torch.zeros_like(x), torch.as_tensor(t, dtype=x.dtype), -w * place.grad)
    return u(x, t).detach() + added.nan_to_num(0, 0, 0)


@unusual(
    "classifier_guided_velocity",
    "sample by sample, gradients switched on as a decorator, the factor from the logarithm of alpha / beta",
)
@torch.enable_grad()
def classifier_by_samples(u, log_prob, schedule, x, t, y, w):
    velocity = u(x, t).detach().clone()
    for i, s in enumerate(torch.as_tensor(t, dtype=x.dtype).expand(len(x))):
        alpha, beta, d_alpha, d_beta = schedule(s)
        if alpha == 0:
            continue
        place = x[i : i + 1].clone().requires_grad_()
        (slope,) = torch.autograd.grad(log_prob(place, s.reshape(1))[0, y[i]], place)
        velocity[i] += w * (d_alpha / alpha * beta**2 - d_beta * beta) * slope[0]
    return velocity


# ---- tilted_log_density ---------------------------------------------------------------------------------------------


@unusual("tilted_log_density", "gather")
def tilted_by_gather(log_prob, log_posterior, x, y, w):
    labels = torch.as_tensor(y).expand(len(x))
    return torch.add(log_prob(x), log_posterior(x).gather(1, labels[:, None]).squeeze(1), alpha=w)


@unusual("tilted_log_density", "the negative log-likelihood loss, as another interpolation")
def tilted_by_nll_loss(log_prob, log_posterior, x, y, w):
    labels = torch.full((len(x),), y) if isinstance(y, int) else y
    conditional = log_prob(x) - F.nll_loss(log_posterior(x), labels, reduction="none")  # log p(x, y)
    return (1 - w) * log_prob(x) + w * conditional


@unusual("tilted_log_density", "point by point")
def tilted_by_points(log_prob, log_posterior, x, y, w):
    labels = [int(y)] * len(x) if isinstance(y, int) else y.tolist()
    points = zip(x.split(1), labels, strict=True)
    return torch.cat([log_prob(p) + w * log_posterior(p)[:, label] for p, label in points])
