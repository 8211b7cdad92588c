"""A small U-Net for images: what the layers are, and, apart from it, how they are wired.

The functions are the network; the classes hold its weights. A subclass of UNet with functions of its own in their
places has the same weights by the same names, so that it can load what another one has learned.
Ronneberger, Fischer & Brox (2015); Ho, Jain & Abbeel (2020), appendix B; Dhariwal & Nichol (2021), section 3.
"""

import math
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Time = float | Tensor


def time_embedding(t: Tensor, dim: int, period: float = 0.05) -> Tensor:
    """sin and cos of 2 pi t / P_k, (n, dim), for times t (n,): first the dim / 2 sines, then the cosines.

    The periods P_k fall in equal ratios from 4, a quarter turn from t = 0 to t = 1, to `period`, both included.
    Vaswani et al. (2017), section 3.5.  Raises ValueError for a dim that is odd or below 4.
    """
    if dim < 4 or dim % 2:
        raise ValueError(f"dim is {dim}; wanted an even number, at least 4.")
    k = torch.arange(dim // 2, dtype=t.dtype, device=t.device) / (dim // 2 - 1)
    angles = 2 * math.pi * t[:, None] / (4 * (period / 4) ** k)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def patchify(x: Tensor, size: int) -> Tensor:
    """Images (n, c, h, w) as (n, c size^2, h / size, w / size): each size x size patch becomes the channels of a pixel.

    Channel (i size + j) of the first size^2 holds row i and column j of the patches of the first channel, and so on.
    Raises ValueError for images that do not divide into such patches.
    """
    n, c, h, w = x.shape
    if h % size or w % size:
        raise ValueError(
            f"The images are {h} x {w}, here or at an inner level; wanted sides that patches of {size} x {size} divide."
        )
    x = x.reshape(n, c, h // size, size, w // size, size)
    return x.permute(0, 1, 3, 5, 2, 4).reshape(n, c * size**2, h // size, w // size)


def unpatchify(x: Tensor, size: int) -> Tensor:
    """Images from patches, (n, c size^2, h, w) -> (n, c, h size, w size): the inverse of patchify.

    Raises ValueError for a number of channels that size^2 does not divide.
    """
    n, c, h, w = x.shape
    if c % size**2:
        raise ValueError(f"There are {c} channels; wanted a multiple of {size**2}, one for each pixel of a patch.")
    x = x.reshape(n, c // size**2, size, size, h, w)
    return x.permute(0, 1, 4, 2, 5, 3).reshape(n, c // size**2, h * size, w * size)


def residual_block(layers: "ResidualLayers", x: Tensor, embedding: Tensor) -> Tensor:
    """x (n, in, h, w) plus what two convolutions make of it under a scale and a shift from the embedding (n, dim).

    skip(x) + conv2(silu((1 + scale) norm2(h) + shift)) with h = conv1(silu(norm1(x))) and (scale, shift) the halves
    of modulate(embedding), a number for each channel.  Returns (n, out, h, w).
    """
    scale, shift = layers.modulate(embedding)[:, :, None, None].chunk(2, dim=1)
    h = layers.conv1(F.silu(layers.norm1(x)))
    h = layers.conv2(F.silu((1 + scale) * layers.norm2(h) + shift))
    return layers.skip(x) + h


def attention_block(layers: "AttentionLayers", x: Tensor) -> Tensor:
    """x (n, c, h, w) plus what its pixels tell each other: out(softmax(q k / sqrt(d)) v) in each head, like x.

    qkv(norm(x)) holds q, k and v, each (n, heads, d, h w) with d = c / heads; the softmax is over the keys.
    Vaswani et al. (2017), eq. 1.
    """
    n, c, h, w = x.shape
    q, k, v = layers.qkv(layers.norm(x)).reshape(n, 3, layers.heads, c // layers.heads, h * w).unbind(1)
    weights = (q.mT @ k / math.sqrt(c // layers.heads)).softmax(-1)  # (n, heads, queries, keys)
    return x + layers.out((v @ weights.mT).reshape(n, c, h, w))


def unet_forward(net: "UNet", x: Tensor, t: Time, y: Tensor) -> Tensor:
    """The velocity at images x (n, c, h, w), times t (float, 0-d or (n,)) and labels y (n,), like x.

    Down, keeping what each level made; through the middle; and up again, each level seeing also what was kept.
    """
    embedding = net.embed(t, y)
    h, skips = net.first(net.patchify(x, net.patch)), []
    for level in net.down:
        for block in level.blocks:
            h = net.residual(block, h, embedding)
        skips.append(h)
        h = level.shrink(net.patchify(h, 2))
    h = net.residual(net.middle.before, h, embedding)
    h = net.attention(net.middle.attention, h)
    h = net.residual(net.middle.after, h, embedding)
    for level in net.up:
        h = torch.cat([net.unpatchify(level.grow(h), 2), skips.pop()], dim=1)
        for block in level.blocks:
            h = net.residual(block, h, embedding)
    return net.unpatchify(net.last(F.silu(net.norm(h))), net.patch)


class ResidualLayers(nn.Module):
    """The layers of a residual block from `inputs` to `outputs` channels, with an embedding of dim numbers.

    The block starts as the identity (or its skip): conv2 is zero at first.
    """

    def __init__(self, inputs: int, outputs: int, dim: int):
        super().__init__()
        self.norm1, self.conv1 = norm(inputs), nn.Conv2d(inputs, outputs, 3, padding=1)
        self.modulate = nn.Linear(dim, 2 * outputs)
        self.norm2, self.conv2 = norm(outputs), zero(nn.Conv2d(outputs, outputs, 3, padding=1))
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)


class AttentionLayers(nn.Module):
    """The layers of an attention block with `heads` heads.  The block starts as the identity: out is zero at first."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm = norm(channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = zero(nn.Conv2d(channels, channels, 1))


class UNet(nn.Module):
    """A conditional velocity model(x, t, y): x (n, inputs, h, w), t float, 0-d or (n,), y (n,) labels, result like x.

    channels: of each level from the finest to the coarsest, which has half the side of the one before; the first level
    has images of 1 / patch of the side.  classes: labels are 0, ..., classes - 1; `null` = classes is "no label".
    depth: residual blocks on the way down and up at each level but the last.
    Works for images whose sides are multiples of patch * 2**(levels - 1).  Raises ValueError for other sizes and for
    labels out of range.
    """

    time: Any  # modules that know their layers by name: more than nn.Module tells a type checker
    down: Any
    middle: Any
    up: Any

    forward = unet_forward
    residual = staticmethod(residual_block)
    attention = staticmethod(attention_block)
    embedding = staticmethod(time_embedding)
    patchify = staticmethod(patchify)
    unpatchify = staticmethod(unpatchify)

    def __init__(
        self,
        channels: tuple[int, ...] = (32, 64),
        patch: int = 2,
        classes: int = 10,
        inputs: int = 1,
        depth: int = 1,
        heads: int = 4,
        dim: int = 128,
    ):
        super().__init__()
        self.patch, self.null, self.dim = patch, classes, dim
        pixels = inputs * patch**2
        self.time = nn.Sequential(nn.Linear(64, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.label = nn.Embedding(classes + 1, dim)
        self.first = nn.Conv2d(pixels, channels[0], 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for fine, coarse in pairwise(channels):
            down, up = nn.Module(), nn.Module()
            down.blocks = nn.ModuleList(ResidualLayers(fine, fine, dim) for _ in range(depth))
            down.shrink = nn.Conv2d(4 * fine, coarse, 1)
            up.grow = nn.Conv2d(coarse, 4 * fine, 1)
            up.blocks = nn.ModuleList(ResidualLayers(fine if i else 2 * fine, fine, dim) for i in range(depth))
            self.down.append(down)
            self.up.insert(0, up)
        self.middle = nn.Module()
        self.middle.before = ResidualLayers(channels[-1], channels[-1], dim)
        self.middle.attention = AttentionLayers(channels[-1], heads)
        self.middle.after = ResidualLayers(channels[-1], channels[-1], dim)
        self.norm, self.last = norm(channels[0]), zero(nn.Conv2d(channels[0], pixels, 3, padding=1))

    def embed(self, t: Time, y: Tensor) -> Tensor:
        """Time and label as one vector, silu(time(embedding(t)) + label(y)), (n, dim)."""
        if y.device.type == "cpu" and not (int(y.min()) >= 0 and int(y.max()) <= self.null):
            raise ValueError(
                f"The labels go from {int(y.min())} to {int(y.max())}; wanted 0 to {self.null - 1}, or {self.null} "
                "for no label."
            )
        t = torch.as_tensor(t, dtype=self.label.weight.dtype, device=y.device).expand(len(y))
        return F.silu(self.time(self.embedding(t, self.time[0].in_features)) + self.label(y))


def norm(channels: int) -> nn.GroupNorm:
    """Group normalisation in eight groups, or as many as divide the channels."""
    return nn.GroupNorm(math.gcd(8, channels), channels)


def zero(layer: nn.Conv2d) -> nn.Conv2d:
    """The layer with all its weights zero."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
