"""Training in the plane: `train` against a loop that reads and shows every loss, and torchcfm's tutorial loop."""

import contextlib
import io
import math
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cached_property, partial
from importlib.util import find_spec

import torch
from torch import Tensor, nn
from tqdm import tqdm

from benchmarks.measure import Candidate, Case, Settings, Table, devices, measured
from course.distributions import GaussianMixture
from course.losses import conditional_flow_matching_loss
from course.networks import MLP
from course.paths import linear_schedule
from course.training import Batch, path_batches, train

# It needs POT. Both take seconds to import, which is left to the process that uses them.
HAS_TORCHCFM = find_spec("torchcfm") is not None and find_spec("ot") is not None

SampleBatch = Callable[[int, torch.Generator | None], Batch]
Loop = Callable[[nn.Module, SampleBatch, int, int], Tensor]

RATE = 2e-3
REPLAYED = 50  # steps on batches that all loops share; more than `train` draws at once


class Problem:
    """A network that has learned nothing, and batches from eight modes on a ring."""

    def __init__(self, share: float, *, batch: int, steps: int, device: str) -> None:
        torch.manual_seed(0)
        self.batch, self.steps = max(16, round(batch * share)), steps
        self.model = MLP(2).to(device)
        self.sample_batch = path_batches(GaussianMixture.ring(8).to(device).sample)

    @cached_property
    def stored(self) -> Batch:
        return self.sample_batch(REPLAYED * self.batch, None)

    @cached_property
    def expected(self) -> Tensor:
        return self.replay(plain_loop)

    def replay(self, loop: Loop) -> Tensor:
        """The losses of a loop that is handed the stored rows in their order, however many at once."""
        position = 0

        def next_rows(n: int, generator: torch.Generator | None = None) -> Batch:
            nonlocal position
            position += n
            return tuple(column[position - n : position] for column in self.stored)

        return learn(self.model, loop, next_rows, self.batch, REPLAYED)


def learn(model: nn.Module, loop: Loop, sample_batch: SampleBatch, batch: int, steps: int) -> Tensor:
    """The loss of every step, with a copy of the model, and with what a loop shows on the way kept off the screen."""
    with contextlib.redirect_stderr(io.StringIO()):
        return loop(deepcopy(model), sample_batch, batch, steps)


def decay(optimizer: torch.optim.Optimizer, step: int, steps: int) -> None:
    """The learning rate of `train`, so that all loops follow the same rule."""
    for group in optimizer.param_groups:
        group["lr"] = RATE * (1 + math.cos(math.pi * step / steps)) / 2


def plain_loop(model: nn.Module, sample_batch: SampleBatch, batch: int, steps: int) -> Tensor:
    """What most tutorials write: Adam as it comes; every loss is read, kept and shown."""
    optimizer, losses = torch.optim.Adam(model.parameters(), lr=RATE), []
    bar = tqdm(range(steps))
    for step in bar:
        decay(optimizer, step, steps)
        optimizer.zero_grad()
        z, t, x0 = sample_batch(batch, None)
        x = t[:, None] * z + (1 - t[:, None]) * x0
        value = ((model(x, t) - (z - x0)) ** 2).sum(1).mean()
        value.backward()
        optimizer.step()
        losses.append(value.item())
        bar.set_description(f"loss {losses[-1]:.3f}")
    return torch.tensor(losses)


def torchcfm_loop(model: nn.Module, sample_batch: SampleBatch, batch: int, steps: int) -> Tensor:
    """The loop of torchcfm's Flow_matching_tutorial, which shows next to nothing, with our network and batches."""
    from torchcfm import ConditionalFlowMatcher

    matcher = ConditionalFlowMatcher(sigma=0.0)
    optimizer, losses = torch.optim.Adam(model.parameters(), lr=RATE), []
    for step in range(steps):
        decay(optimizer, step, steps)
        optimizer.zero_grad()
        z, t, x0 = sample_batch(batch, None)
        t, x, u = matcher.sample_location_and_conditional_flow(x0, z, t=t)
        value = torch.mean((model(x, t) - u) ** 2)
        value.backward()
        optimizer.step()
        losses.append(value.detach())
    # Its mean is over the two coordinates as well; Adam does not see a constant factor.
    return 2 * torch.stack(losses).cpu()


def with_train(model: nn.Module, sample_batch: SampleBatch, batch: int, steps: int) -> Tensor:
    def loss(model: nn.Module, z: Tensor, t: Tensor, x0: Tensor) -> Tensor:
        return conditional_flow_matching_loss(model, linear_schedule, z, t, x0)

    return train(loss, model, sample_batch, steps, batch_size=batch, lr=RATE)


def run(p: Problem, loop: Loop) -> tuple[Loop, Tensor]:
    return loop, learn(p.model, loop, p.sample_batch, p.batch, p.steps)


def agree(p: Problem, result: tuple[Loop, Tensor]) -> None:
    """A finite loss for each step; and on the same batches, one after the other, the losses of the plain loop."""
    loop, losses = result
    if losses.shape != (p.steps,) or not losses.isfinite().all():
        raise ValueError(f"its losses have the shape {tuple(losses.shape)} or are not finite")
    if not (p.replay(loop) / p.expected - 1).abs().max() < 1e-3:
        raise ValueError("on the same batches its losses are not those of the plain loop")


def cases(settings: Settings) -> Iterator[Case]:
    steps = 40 if settings.quick else 1_000
    candidates = [Candidate("plain loop", partial(run, loop=plain_loop))]
    notes = []
    if not HAS_TORCHCFM:
        notes = ["torchcfm or POT is not installed, so the loop of torchcfm's tutorial is not in this table."]
    else:
        candidates.append(Candidate("torchcfm's tutorial loop", partial(run, loop=torchcfm_loop)))
    candidates.append(Candidate("train", partial(run, loop=with_train)))
    for device in devices():
        for batch in [256] if settings.quick else [256, 1_000]:
            yield Case(
                f"Flow matching in the plane: {steps:,} steps on batches of {batch:,}, {device}",
                partial(Problem, batch=batch, steps=steps, device=device),
                candidates,
                agree,
                device,
                notes,
                steps,
            )


def tables(settings: Settings) -> Iterator[Table]:
    return (measured(case, settings) for case in cases(settings))
