"""A small classifier of digits, clean or noisy, whose features also measure how far apart two sets of images are."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course.networks.unet import Time, norm, time_embedding


class Classifier(nn.Module):
    """log p(y | x) of images x (n, 1, h, w), (n, classes), where x lies at time t of a path from noise to data.

    t: float, 0-d or (n,); 1, the default, is a clean image.  features(x, t) are the dim numbers that the last layer
    sees.  Works for images of any size from 4 x 4.
    """

    def __init__(self, classes: int = 10, channels: int = 32, dim: int = 64):
        super().__init__()
        self.time = nn.Linear(64, channels)
        self.first = nn.Conv2d(1, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1)
        self.third = nn.Conv2d(2 * channels, 2 * channels, 3, stride=2, padding=1)
        self.norms = nn.ModuleList([norm(channels), norm(2 * channels), norm(2 * channels)])
        self.hidden = nn.Linear(2 * channels * 16, dim)
        self.last = nn.Linear(dim, classes)

    def features(self, x: Tensor, t: Time = 1.0) -> Tensor:
        """What the last layer sees, (n, dim)."""
        t = torch.as_tensor(t, dtype=x.dtype, device=x.device).expand(len(x))
        h = self.first(x) + self.time(time_embedding(t, 64))[:, :, None, None]
        h = F.max_pool2d(F.silu(self.norms[0](h)), 2)
        h = F.silu(self.norms[1](self.second(h)))
        h = F.silu(self.norms[2](self.third(h)))
        return F.silu(self.hidden(F.adaptive_avg_pool2d(h, 4).flatten(1)))

    def forward(self, x: Tensor, t: Time = 1.0) -> Tensor:
        """log p(y | x), (n, classes)."""
        return self.last(self.features(x, t)).log_softmax(1)
