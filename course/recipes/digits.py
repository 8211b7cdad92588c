"""The digits' networks, from nothing: `python -m course.recipes.digits` makes course/weights anew.

A recipe is a handful of numbers; `fit` follows it with any network and loss of the right signatures.
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from course import weights
from course.data import Digits, mnist
from course.guidance import drop_labels, guided_loss, sample_guided
from course.metrics import agreement, diversity, frechet_distance
from course.networks import Classifier, UNet
from course.paths import linear_schedule
from course.shapes import device as best_device
from course.training import ema_update, fast_dtype, labelled_batches, train

HELD_OUT = 2_000  # images that no classifier is trained on
Model = TypeVar("Model", bound=nn.Module)


@dataclass(frozen=True)
class Recipe:
    """How to train: AdamW with a linear rise and half a cosine's fall of its rate, and an average of the weights."""

    steps: int
    batch_size: int
    lr: float
    clip: float  # of the gradient's norm
    decay: float  # of the average, a step
    drop: float = 0.1  # the chance that a label is dropped
    weight_decay: float = 0.01
    warmup: float = 0.05  # the share of the steps in which the rate rises


QUICK = Recipe(steps=1_700, batch_size=32, lr=3e-3, clip=60, decay=0.995, drop=0.15)
GOOD = Recipe(steps=1_400, batch_size=256, lr=4e-3, clip=60, decay=0.99)  # few large steps, for a GPU's sake
JUDGE = Recipe(steps=1_500, batch_size=64, lr=2e-3, clip=math.inf, decay=0.99, weight_decay=0.05)
GUIDE = Recipe(steps=2_000, batch_size=64, lr=2e-3, clip=math.inf, decay=0.99, weight_decay=0.05)


def dropping_loss(recipe: Recipe) -> Callable[..., Tensor]:
    """loss(model, z, t, x0, y, u) on a batch of labelled_batches: guided_loss with some of the labels dropped."""

    def loss(model: UNet, z: Tensor, t: Tensor, x0: Tensor, y: Tensor, u: Tensor) -> Tensor:
        return guided_loss(model, linear_schedule, z, t, x0, drop_labels(y, recipe.drop, model.null, u))

    return loss


def fit(
    model: Model,
    loss: Callable[..., Tensor],
    sample_batch: Callable[[int, torch.Generator | None], tuple[Tensor, ...]],
    recipe: Recipe,
    *,
    update: Callable[[Sequence[Tensor], Sequence[Tensor], float], None] = ema_update,
    generator: torch.Generator | None = None,
    checkpoint: str | Path | None = None,
    progress: bool = True,
) -> tuple[Model, Tensor]:
    """Train a model by a recipe; returns its average, to be used from then on, and the loss of every step (steps,).

    update(average, current, decay): moves the average, lists of parameters, in place.  The rest is as for train; the
    convolutions are done in bfloat16 where that is faster.
    """
    device = next(model.parameters()).device
    average = AveragedModel(model, multi_avg_fn=lambda old, new, _: update(old, new, recipe.decay))
    optimizer = torch.optim.AdamW(
        model.parameters(), recipe.lr, betas=(0.9, 0.99), weight_decay=recipe.weight_decay, fused=True
    )
    losses = train(
        loss,
        model,
        sample_batch,
        recipe.steps,
        batch_size=recipe.batch_size,
        optimizer=optimizer,
        average=average,
        warmup=round(recipe.warmup * recipe.steps),
        clip=recipe.clip,
        autocast=fast_dtype(device),
        generator=generator,
        checkpoint=checkpoint,
        progress=progress,
    )
    return cast(Model, average.module.eval()), losses


def classifier_batches(digits: Digits, noisy: bool) -> Callable[[int, torch.Generator | None], tuple[Tensor, ...]]:
    """Batches (x, t, y): images that are turned, sheared, scaled and shifted a little; noisy: on the linear path."""

    def sample_batch(n: int, generator: torch.Generator | None = None) -> tuple[Tensor, ...]:
        x, y, device = digits.images, digits.labels, digits.images.device
        i = torch.randint(len(x), (n,), generator=generator, device=device)
        angle, scale, shear, right, down = torch.rand(5, n, generator=generator, device=device).mul(2).sub(1).unbind()
        angle, scale, shear = 0.26 * angle, 1 + 0.12 * scale, 0.2 * shear
        matrix = torch.stack(
            [
                torch.stack([scale * angle.cos(), shear - scale * angle.sin(), 0.14 * right], 1),
                torch.stack([scale * angle.sin(), scale * angle.cos(), 0.14 * down], 1),
            ],
            1,
        )
        grid = F.affine_grid(matrix, [n, *x.shape[1:]], align_corners=False)
        z = F.grid_sample(x[i] + 1, grid, align_corners=False) - 1  # what is outside the image is paper
        if not noisy:
            return z, torch.ones(n, device=device), y[i]
        t = torch.rand(n, generator=generator, device=device)
        noise = torch.empty_like(z).normal_(generator=generator)
        s = t[:, None, None, None]
        return s * z + (1 - s) * noise, t, y[i]

    return sample_batch


def classifier_loss(model: nn.Module, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
    """-log p_t(y | x), on average."""
    return F.nll_loss(model(x, t), y)


class Quality(NamedTuple):
    """What generated digits are held to: agreement, from 0 to 1; the other two in the judge's features."""

    agreement: float
    frechet_distance: float
    diversity: float


@torch.no_grad()
def quality(model: UNet, judge: Classifier, real: Tensor, w: float, n: int = 1_000, steps: int = 20) -> Quality:
    """The quality of n digits, as many of each label, at guidance scale w, by `steps` Euler steps from one fixed noise.

    real: (k, dim), the judge's features of real images.
    """
    device = real.device
    x0 = torch.randn(n, 1, 28, 28, generator=torch.Generator().manual_seed(1)).to(device)
    y = torch.arange(n, device=device) % 10
    t = torch.linspace(0, 1, steps + 1, device=device)
    dtype, images = fast_dtype(device), []
    with torch.autocast(device.type, dtype, enabled=dtype is not None):
        for noise, labels in zip(x0.split(100), y.split(100), strict=True):  # what stays in a processor's cache
            images.append(sample_guided(model, labels, w, noise, t, model.null).clamp(-1, 1))
    features = torch.cat([judge.features(x) for x in images])
    log_probs = judge.last(features).log_softmax(1)
    return Quality(agreement(log_probs, y), frechet_distance(features, real), diversity(features, y))


def learn_classifier(recipe: Recipe, digits: Digits, noisy: bool) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A classifier's weights and how it does on HELD_OUT images: the last ones, clean, or noisy at several times."""
    torch.manual_seed(0)
    model = Classifier().to(digits.images.device)
    seen = digits._replace(images=digits.images[:-HELD_OUT], labels=digits.labels[:-HELD_OUT])
    generator = torch.Generator(digits.images.device).manual_seed(0)
    model, _ = fit(model, classifier_loss, classifier_batches(seen, noisy), recipe, generator=generator)
    x, y, found = digits.images[-HELD_OUT:], digits.labels[-HELD_OUT:], {}
    for t in (0.1, 0.3, 0.5, 0.7, 1.0) if noisy else (1.0,):
        with torch.no_grad():
            noise = torch.empty_like(x).normal_(generator=generator)
            found[f"accuracy at t = {t:g}"] = agreement(model(t * x + (1 - t) * noise, t), y)
    return model.state_dict(), {"held out": HELD_OUT, **found}


def learn_unet(recipe: Recipe, digits: Digits) -> tuple[UNet, Tensor]:
    """A U-Net trained by a recipe, its average, and the loss of every step."""
    torch.manual_seed(0)
    device = digits.images.device
    generator = torch.Generator(device).manual_seed(0)
    batches = labelled_batches(digits.images, digits.labels)
    model, losses = fit(UNet().to(device), dropping_loss(recipe), batches, recipe, generator=generator)
    return model, losses


def main() -> None:
    """Train and write what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m course.recipes.digits", description=__doc__)
    parser.add_argument("names", nargs="*", help="any of judge, guide, unet; the default is all, in this order")
    parser.add_argument("--folder", type=Path, default=Path(weights.__file__).parent, help="where to write")
    options = parser.parse_args()
    names = options.names or ["judge", "guide", "unet"]
    if unknown := set(names) - {"judge", "guide", "unet"}:
        parser.error(f"there is no recipe for {', '.join(sorted(unknown))}")
    digits = mnist("train")
    device = best_device()
    digits = digits._replace(images=digits.images.to(device), labels=digits.labels.to(device))
    about = {"command": "python -m course.recipes.digits", "data": digits.source, "torch": torch.__version__}

    def write(name: str, tensors: dict[str, Tensor], recipe: Recipe, start: float, found: dict[str, Any]) -> None:
        spent = {"recipe": asdict(recipe), "core-seconds": round(time.process_time() - start)}
        weights.save(options.folder / f"digits_{name}.safetensors", tensors, {**about, **spent, **found})
        print(f"{name}: {json.dumps({**spent, **found})}", flush=True)

    for name in names:
        start = time.process_time()
        if name == "unet":
            judge = Classifier().to(device)
            judge.load_state_dict(weights.load("digits_judge"))
            real = weights.load("digits_features")["features"].float().to(device)
            model, _ = learn_unet(GOOD, digits)
            spent = time.process_time()
            found = {f"w = {w:g}": quality(model, judge, real, w)._asdict() for w in (1, 1.5, 2, 3)}
            write(name, model.state_dict(), GOOD, start + time.process_time() - spent, found)
        else:
            recipe = {"judge": JUDGE, "guide": GUIDE}[name]
            tensors, found = learn_classifier(recipe, digits, noisy=name == "guide")
            write(name, tensors, recipe, start, found)
        if name == "judge":
            judge = Classifier().to(device)
            judge.load_state_dict(tensors)
            with torch.no_grad():
                features = torch.cat([judge.features(x) for x in digits.images[-10_000:].split(500)])
            stored = {"features": features.half(), "labels": digits.labels[-10_000:].to(torch.uint8)}
            weights.save(options.folder / "digits_features.safetensors", stored, about)


if __name__ == "__main__":
    main()
