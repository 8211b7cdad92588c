"""A small network for a field in a few dimensions."""

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import skip_init

from course.shapes import expand_time

Time = float | Tensor


class MLP(nn.Module):
    """A small network model(x, t) for a field in d dimensions: x (n, d), t float, 0-d or (n,), result like x.

    depth hidden layers of `width` SiLU units.  The time enters the first as cos(pi k t), k = 1, ..., frequencies.
    generator: for the initial weights, uniform within 1 / sqrt(inputs of the layer) (torch's global one if None).
    Raises ValueError for sizes below 1.
    """

    omega: Tensor

    def __init__(
        self,
        dim: int,
        width: int = 64,
        depth: int = 3,
        frequencies: int = 8,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        for name, size in {"dim": dim, "width": width, "depth": depth, "frequencies": frequencies}.items():
            if not isinstance(size, int) or size < 1:
                raise ValueError(f"{name} is {size!r}; wanted a positive integer.")
        linear = partial(skip_init, nn.Linear)  # the weights are drawn below, once
        self.first, self.time = linear(dim, width), linear(frequencies, width, bias=False)
        self.hidden = nn.ModuleList(linear(width, width) for _ in range(depth - 1))
        self.last = linear(width, dim)
        self.register_buffer("omega", math.pi * torch.arange(1, frequencies + 1), persistent=False)
        for layer in (self.first, self.time, *self.hidden, self.last):
            bound = layer.in_features**-0.5
            for parameter in layer.parameters():
                nn.init.uniform_(parameter, -bound, bound, generator=generator)

    def forward(self, x: Tensor, t: Time) -> Tensor:
        """The field at x (n, d) and t (float, 0-d or (n,)), like x."""
        # One time for all samples becomes a bias (width,): x is neither copied nor made longer.
        bias = self.first.bias + self.time((torch.as_tensor(expand_time(t, x)).to(x) * self.omega).cos())
        x = F.linear(x, self.first.weight, bias) if bias.ndim == 1 else torch.addmm(bias, x, self.first.weight.T)
        for layer in self.hidden:
            x = layer(F.silu(x))
        return self.last(F.silu(x))
