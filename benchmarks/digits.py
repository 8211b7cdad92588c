"""Conditional digits: a training step, sampling, and how good they are after how many core-seconds."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.measure import Candidate, Case, Settings, Table, apart, devices, measured, skipped
from course import weights
from course.data import mnist
from course.guidance import guided_velocity
from course.networks import Classifier, UNet
from course.recipes.digits import GOOD, QUICK, Recipe, dropping_loss, fit, quality
from course.training import fast_dtype, labelled_batches

HAS_DIFFUSERS = find_spec("diffusers") is not None
SCALES = (1.0, 1.5, 2.0)


class Padded(nn.Module):
    """diffusers' UNet2DModel of 1.2 million parameters, the digits padded to 32 x 32, as tutorials do it."""

    null = 10

    def __init__(self) -> None:
        super().__init__()
        from diffusers import UNet2DModel  # takes seconds to import

        self.net = UNet2DModel(
            sample_size=32,
            in_channels=1,
            out_channels=1,
            layers_per_block=1,
            block_out_channels=(32, 64, 64),
            norm_num_groups=8,
            down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
            num_class_embeds=11,
        )

    def forward(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        x = F.pad(x, (2, 2, 2, 2), value=-1)
        return self.net(x, 1000 * torch.as_tensor(t, device=x.device), class_labels=y).sample[..., 2:-2, 2:-2]


class Strided(UNet):
    """The course's U-Net with a strided convolution on the way down, and one after doubling pixels on the way up."""

    def __init__(self) -> None:
        super().__init__()
        for down, up in zip(self.down, reversed(self.up), strict=True):
            fine, coarse = down.shrink.in_channels // 4, down.shrink.out_channels
            down.shrink = nn.Conv2d(fine, coarse, 3, stride=2, padding=1)
            up.grow = nn.Conv2d(coarse, fine, 3, padding=1)

    def forward(self, x: Tensor, t: float | Tensor, y: Tensor) -> Tensor:
        embedding, h, skips = self.embed(t, y), self.first(self.patchify(x, self.patch)), []
        for level in self.down:
            for block in level.blocks:
                h = self.residual(block, h, embedding)
            skips.append(h)
            h = level.shrink(h)
        h = self.residual(self.middle.before, h, embedding)
        h = self.residual(self.middle.after, self.attention(self.middle.attention, h), embedding)
        for level in self.up:
            h = torch.cat([level.grow(F.interpolate(h, scale_factor=2.0)), skips.pop()], dim=1)
            for block in level.blocks:
                h = self.residual(block, h, embedding)
        return self.unpatchify(self.last(F.silu(self.norm(h))), self.patch)


class Problem:
    """Noise in the place of images: what is timed does not depend on what they show."""

    def __init__(self, share: float, *, batch: int, device: str) -> None:
        self.batch, self.device = max(2, round(batch * share)), torch.device(device)
        generator = torch.Generator().manual_seed(0)
        images = torch.randn(256, 1, 28, 28, generator=generator).to(device)
        self.sample_batch = labelled_batches(images, torch.arange(256, device=device) % 10)


def steps(p: Problem, network: Callable[[], nn.Module], count: int, bf16: bool) -> Tensor:
    """The losses of so many training steps."""
    torch.manual_seed(0)
    model = network().to(p.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    losses, loss = [], dropping_loss(QUICK)
    for _ in range(count):
        optimizer.zero_grad()
        with torch.autocast(p.device.type, torch.bfloat16, enabled=bf16):
            value = loss(model, *p.sample_batch(p.batch, None))
        value.backward()
        optimizer.step()
        losses.append(value.detach())
    return torch.stack(losses).cpu()


def guided(p: Problem, network: Callable[[], nn.Module], count: int, bf16: bool) -> Tensor:
    """Digits after so many guided Euler steps."""
    torch.manual_seed(0)
    model = network().to(p.device).eval()
    x = torch.randn(p.batch, 1, 28, 28, device=p.device)
    y = torch.arange(p.batch, device=p.device) % 10
    with torch.no_grad(), torch.autocast(p.device.type, torch.bfloat16, enabled=bf16):
        for k in range(count):
            x = x + guided_velocity(model, x, k / count, y, 2.0, model.null) / count
    return x.cpu()


def channels_last() -> nn.Module:
    """The course's U-Net with its weights in the order that tensor cores read."""
    return UNet().to(memory_format=torch.channels_last)


def compiled() -> nn.Module:
    """The same, compiled; compiling takes longer than the whole training, and is over before the clock starts."""
    return cast(nn.Module, torch.compile(channels_last()))


# On a CPU the first is slower than UNet, and the second no faster.
GPU_ONLY = [("the same, channels last", channels_last), ("the same, compiled", compiled)]


def agree(p: Problem, result: Tensor) -> None:
    """Numbers, all finite; whether they are the right ones is the tests' business and the table of recipes'."""
    if len(result) < 2 or not result.isfinite().all():
        raise ValueError("its result is not finite")


def cases(settings: Settings) -> Iterator[Case]:
    count = 2 if settings.quick else 10
    notes = [] if HAS_DIFFUSERS else ["diffusers is not installed, so its network is not in this table."]
    for device in devices():
        for title, work, batch in (("Training", steps, 64), ("Sampling with guidance", guided, 16)):
            networks = ([("diffusers' UNet2DModel, 32 x 32", Padded)] if HAS_DIFFUSERS else []) + [
                ("strided U-Net", Strided),
                ("course's U-Net", UNet),
            ]
            candidates = [
                Candidate(name, partial(work, network=net, count=count, bf16=False)) for name, net in networks
            ]
            if fast_dtype(torch.device(device)) is not None:
                candidates += [
                    Candidate(name, partial(work, network=network, count=count, bf16=True))
                    for name, network in [("course's, bfloat16", UNet), *(GPU_ONLY if device == "cuda" else [])]
                ]
            what = f"{title}: {count} steps of {batch} digits, {device}"
            yield Case(what, partial(Problem, batch=batch, device=device), candidates, agree, device, notes, count)


@dataclass(frozen=True)
class Trial:
    """A recipe and the network that it trains."""

    name: str
    recipe: Recipe
    network: Callable[[], UNet] = UNet


# The best of an earlier table of recipes: 800 steps of 64 digits. Its loss was a mean over pixels, so its clip of 1 is
# 784 here.
EARLIER = Recipe(steps=800, batch_size=64, lr=3e-3, clip=784, decay=0.99)

TRIALS = [
    Trial("recipe to beat", EARLIER, Strided),
    Trial("a third of quick", replace(QUICK, steps=QUICK.steps // 3)),
    Trial("quick", QUICK),
    Trial("good", GOOD),
]


def trial(this: Trial, threads: int, small: bool) -> list[str]:
    """The row of a trial: core-seconds of training, then agreement and Frechet distance at each scale."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    digits, stored = mnist("train"), weights.load("digits_features")
    judge = Classifier()
    judge.load_state_dict(weights.load("digits_judge"))
    judge.to(device).eval()
    batches = labelled_batches(digits.images.to(device), digits.labels.to(device))
    recipe = replace(this.recipe, steps=4) if small else this.recipe
    generator = torch.Generator(device).manual_seed(0)
    model, clock = this.network().to(device), time.process_time if device.type == "cpu" else time.perf_counter
    start = clock()
    model, _ = fit(model, dropping_loss(recipe), batches, recipe, generator=generator, progress=False)
    spent = clock() - start
    real, n, count = stored["features"].float().to(device), 20 if small else 2_000, 2 if small else 20
    found = [quality(model, judge, real, w, n, count) for w in SCALES]
    cells = [f"{100 * q.agreement:.1f} / {q.frechet_distance:.1f}" for q in found]
    return [this.name, f"{spent:.0f}", *cells]


def tables(settings: Settings) -> Iterator[Table]:
    yield from (measured(case, settings) for case in cases(settings))
    title = "Digits: agreement in % / Frechet distance at guidance scale w"
    digits = mnist("train")
    if digits.images.shape[-1] != 28:
        yield skipped(title, "there is no MNIST here.")
        return
    rows = [apart(trial, this, settings.threads, settings.quick) for this in TRIALS]
    notes = [f"Trained on {digits.source}. Judged by a classifier that ships with the course: {accuracy()}."]
    clock = "seconds" if torch.cuda.is_available() else "core-seconds"
    yield Table(title, ["", clock, *(f"w = {w:g}" for w in SCALES)], rows, notes)


def accuracy() -> str:
    found = weights.made_by("digits_judge")
    return f"{100 * found['accuracy at t = 1']:.1f} % right on {found['held out']:,} images it has not seen"
