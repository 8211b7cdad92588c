"""The one training loop, and the batches it is fed."""

import math
import os
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from tqdm.auto import tqdm

Sampler = Callable[[int, torch.Generator | None], Tensor]
Batch = tuple[Tensor, ...]

# Steps whose batches are drawn together: many small draws cost more than a large one.
AHEAD = 32


def path_batches(data: Sampler, start: Sampler | None = None) -> Callable[[int, torch.Generator | None], Batch]:
    """Batches (z, t, x0) for a loss on a probability path: data, times, and starting points independent of them.

    data, start: sample(n, generator) -> (n, ...), such as a distribution's method.  start: None -> N(0, I).
    Returns sample_batch(n, generator) -> z (n, ...), t (n,) uniform on [0, 1), x0 (n, ...), for train.
    """

    def sample_batch(n: int, generator: torch.Generator | None = None) -> Batch:
        z = data(n, generator)
        t = torch.rand(n, generator=generator, dtype=z.dtype, device=z.device)
        x0 = torch.empty_like(z).normal_(generator=generator) if start is None else start(n, generator)
        return z, t, x0

    return sample_batch


def pair_batches(x0: Tensor, x1: Tensor) -> Callable[[int, torch.Generator | None], Batch]:
    """Batches (z, t, x0) of pairs that belong together, drawn from x0, x1 (N, ...) with replacement; see path_batches.

    Raises ValueError for different shapes.
    """
    if x0.shape != x1.shape:
        raise ValueError(f"x0 has shape {tuple(x0.shape)} and x1 {tuple(x1.shape)}; wanted the same.")

    def sample_batch(n: int, generator: torch.Generator | None = None) -> Batch:
        i = torch.randint(len(x0), (n,), generator=generator, device=x0.device)
        return x1[i], torch.rand(n, generator=generator, dtype=x0.dtype, device=x0.device), x0[i]

    return sample_batch


def train(
    loss: Callable[..., Tensor],
    model: nn.Module,
    sample_batch: Callable[[int, torch.Generator | None], Batch],
    steps: int,
    *,
    batch_size: int = 512,
    lr: float = 2e-3,
    generator: torch.Generator | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    average: AveragedModel | None = None,
    progress: bool = True,
) -> Tensor:
    """Train model in place and return the loss of every step, (steps,), float32, on the CPU.

    loss: loss(model, *batch) -> scalar tensor.
    sample_batch: sample_batch(n, generator) -> tuple of tensors with n independent rows.  It is asked for the batches
        of many steps at once; what concerns a batch as a whole, such as ot_pairing, belongs into the loss.
    lr: the learning rate of Adam, in one fused kernel, at first; it falls to 0 along half a cosine.
    optimizer: another one, used instead; each of its learning rates falls in the same way.
    average: follows the model's weights, AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.99)).
    progress: show a bar with the latest loss, which is read from the device only when the bar is drawn.  None of it
        where COURSE_STATIC=1, so that an executed notebook is the same each time.

    The same model, generator state and machine give the same weights (on a GPU, as far as its kernels are
    deterministic).  Interrupt it when you like (KeyboardInterrupt): the model keeps what it has learned, and the
    losses so far are returned.  Raises ValueError for steps or batch_size below 1, batches of another size and a
    loss that is no scalar; FloatingPointError when the loss is no longer finite.
    """
    for name, size in {"steps": steps, "batch_size": batch_size}.items():
        if not isinstance(size, int) or size < 1:
            raise ValueError(f"{name} is {size!r}; wanted a positive integer.")
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, fused=True) if optimizer is None else optimizer
    rates = [group["lr"] for group in optimizer.param_groups]
    history: list[Tensor] = []
    was_training = model.training
    model.train()
    bar = tqdm(total=steps, disable=not progress or os.environ.get("COURSE_STATIC") == "1", unit=" steps")
    try:
        while len(history) < steps:
            for batch in _batches(sample_batch, batch_size, min(AHEAD, steps - len(history)), generator):
                for group, rate in zip(optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate * (1 + math.cos(math.pi * len(history) / steps)) / 2
                optimizer.zero_grad()
                value = loss(model, *batch)
                if value.ndim:
                    raise ValueError(
                        f"The loss has shape {tuple(value.shape)}; wanted a scalar, the mean over a batch."
                    )
                value.backward()
                optimizer.step()
                if average is not None:
                    average.update_parameters(model)
                history.append(value.detach())
                if bar.update():
                    bar.set_postfix_str(f"loss {float(history[-1]):.4g}", refresh=False)
            if not history[-1].isfinite():
                last = float(history[-1])
                raise FloatingPointError(f"The loss is {last} after {len(history)} steps; a smaller lr may help.")
    except KeyboardInterrupt:
        bar.set_description_str("interrupted")
    finally:
        bar.close()
        model.train(was_training)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
    return torch.stack(history).float().cpu() if history else torch.empty(0)


def _batches(
    sample_batch: Callable[[int, torch.Generator | None], Batch],
    size: int,
    count: int,
    generator: torch.Generator | None,
) -> Iterator[Batch]:
    """So many batches of a size, drawn together."""
    drawn = sample_batch(size * count, generator)
    if not isinstance(drawn, tuple | list) or any(len(column) != size * count for column in drawn):
        given = [len(column) for column in drawn] if isinstance(drawn, tuple | list) else type(drawn).__name__
        raise ValueError(
            f"sample_batch({size * count}, ...) gave {given}; wanted a tuple of tensors with that many rows."
        )
    return zip(*(column.split(size) for column in drawn), strict=True)
