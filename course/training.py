"""The one training loop, and the batches it is fed."""

import math
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from tqdm.auto import tqdm

Sampler = Callable[[int, torch.Generator | None], Tensor]
Batch = tuple[Tensor, ...]

# Steps whose batches are drawn together: many small draws cost more than a large one.
AHEAD = 32
GOLDEN = (5**0.5 - 1) / 2


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


def labelled_batches(
    images: Tensor, labels: Tensor, spread: float = 1.0
) -> Callable[[int, torch.Generator | None], Batch]:
    """Batches (z, t, x0, y, u) of labelled images for guided_loss and drop_labels, drawn with replacement.

    images: (N, ...);  labels: (N,).  z (n, ...) and y (n,) belong together, x0 is N(0, I), u (n,) uniform on [0, 1).
    t (n,) is the logistic function of a normal of standard deviation `spread`: the middle of the path, where there is
    most to learn, comes most often.  Esser et al. (2024), section 3.1.  Any few times in a row lie evenly over their
    law, which makes the loss of a batch less noisy.
    Raises ValueError if there is not one label for each image.
    """
    if labels.shape != images.shape[:1]:
        raise ValueError(f"labels has shape {tuple(labels.shape)}; wanted one for each of {len(images)} images.")

    def sample_batch(n: int, generator: torch.Generator | None = None) -> Batch:
        dtype, device = images.dtype, images.device
        i = torch.randint(len(images), (n,), generator=generator, device=device)
        # Multiples of the golden ratio, modulo 1, from a random start: every stretch of them is even.
        start = torch.rand((), generator=generator, dtype=dtype, device=device)
        levels = (start + torch.arange(n, dtype=dtype, device=device) * GOLDEN) % 1
        t = (spread * torch.special.ndtri(levels.clamp(1e-6, 1 - 1e-6))).sigmoid()
        x0 = torch.empty((n, *images.shape[1:]), dtype=dtype, device=device).normal_(generator=generator)
        u = torch.rand(n, generator=generator, dtype=dtype, device=device)
        return images[i], t, x0, labels[i], u

    return sample_batch


def ema_update(average: Sequence[Tensor], current: Sequence[Tensor], decay: float) -> None:
    """average <- decay average + (1 - decay) current, in place and outside of any gradient.

    average, current: tensors that correspond, such as the parameters of two networks.  decay: in [0, 1].
    Raises ValueError for another decay.
    """
    if not 0 <= decay <= 1:
        raise ValueError(f"decay is {decay}; wanted a number from 0 to 1.")
    with torch.no_grad():
        for old, new in zip(average, current, strict=True):
            old.lerp_(new, 1 - decay)


def fast_dtype(device: torch.device) -> torch.dtype | None:
    """bfloat16 where the device multiplies it faster than float32, for train(autocast=...); else None."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else None
    known = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return torch.bfloat16 if device.type == "cpu" and known is not None and known() else None


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
    warmup: int = 0,
    clip: float = math.inf,
    autocast: torch.dtype | None = None,
    checkpoint: str | Path | None = None,
    progress: bool = True,
) -> Tensor:
    """Train model in place and return the loss of every step, (steps,), float32, on the CPU.

    loss: loss(model, *batch) -> scalar tensor.
    sample_batch: sample_batch(n, generator) -> tuple of tensors with n independent rows.  It is asked for the batches
        of many steps at once; what concerns a batch as a whole, such as ot_pairing, belongs into the loss.
    lr: the learning rate of Adam, in one fused kernel, at first; it falls to 0 along half a cosine.
    optimizer: another one, used instead; each of its learning rates falls in the same way.
    average: follows the model's weights, AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.99)).
    warmup: steps over which each learning rate rises to its value, in a straight line, before it falls.
    clip: the norm that the gradient is cut down to where it is larger.
    autocast: a dtype for the matrix products and convolutions of the loss, such as bfloat16; see fast_dtype.
    checkpoint: a file, written at the start, every AHEAD steps and at the end.  If it is there, training goes on from
        it, and ends with the weights and losses of a run that nothing interrupted.
    progress: show a bar with the latest loss, which is read from the device only when the bar is drawn.  None of it
        where COURSE_STATIC=1, so that an executed notebook is the same each time.

    The same model, generator state and machine give the same weights (on a GPU, as far as its kernels are
    deterministic).  Interrupt it when you like (KeyboardInterrupt): the model keeps what it has learned, and the
    losses so far are returned.  Raises ValueError for steps or batch_size below 1, batches of another size, a loss that
    is no scalar and a checkpoint of another run; FloatingPointError when the loss is no longer finite.
    """
    for name, count in {"steps": steps, "batch_size": batch_size}.items():
        if not isinstance(count, int) or count < 1:
            raise ValueError(f"{name} is {count!r}; wanted a positive integer.")
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, fused=True) if optimizer is None else optimizer
    rates = [group["lr"] for group in optimizer.param_groups]
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    device = parameters[0].device
    size = {"steps": steps, "batch_size": batch_size, "average": average is not None}
    run = _Run(model, optimizer, average, generator, size)
    history = list(run.resume(checkpoint).to(device).unbind())
    was_training = model.training
    model.train()
    hidden = not progress or os.environ.get("COURSE_STATIC") == "1"
    bar = tqdm(total=steps, initial=len(history), disable=hidden, unit=" steps")
    try:
        while True:
            if checkpoint is not None:
                run.save(checkpoint, history)
            if len(history) == steps:
                break
            for batch in _batches(sample_batch, batch_size, min(AHEAD, steps - len(history)), generator):
                for group, rate in zip(optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate * _share(len(history), warmup, steps)
                optimizer.zero_grad()
                with torch.autocast(device.type, autocast, enabled=autocast is not None):
                    value = loss(model, *batch)
                if value.ndim:
                    raise ValueError(
                        f"The loss has shape {tuple(value.shape)}; wanted a scalar, the mean over a batch."
                    )
                value.backward()
                if clip < math.inf:
                    nn.utils.clip_grad_norm_(parameters, clip)
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


def _share(step: int, warmup: int, steps: int) -> float:
    """The share of its full value that a learning rate has: up a line for `warmup` steps, down half a cosine."""
    if step < warmup:
        return (step + 1) / warmup
    return (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2


class _Run:
    """All that a training run changes, and its size: what a checkpoint holds."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        average: AveragedModel | None,
        generator: torch.Generator | None,
        size: dict[str, int | bool],
    ):
        self.parts: dict[str, Any] = {"model": model, "optimizer": optimizer} | (
            {} if average is None else {"average": average}
        )
        self.generator, self.size = torch.default_generator if generator is None else generator, size

    def save(self, path: str | Path, history: list[Tensor]) -> None:
        """Write everything, the whole file or nothing of it."""
        state = {name: part.state_dict() for name, part in self.parts.items()}
        half_written = Path(f"{path}.part")
        losses = torch.stack(history).cpu() if history else torch.empty(0)
        torch.save(
            {**state, "generator": self.generator.get_state(), "losses": losses, "size": self.size}, half_written
        )
        half_written.replace(path)

    def resume(self, path: str | Path | None) -> Tensor:
        """Take everything over from a file, if there is one, and return the losses so far."""
        if path is None or not Path(path).exists():
            return torch.empty(0)
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, pickle.UnpicklingError):
            raise ValueError(f"{path} is no checkpoint of a training run.") from None
        if state["size"] != self.size:
            raise ValueError(f"{path} is of a run with {state['size']}; wanted {self.size}, or another file.")
        try:
            for name, part in self.parts.items():
                part.load_state_dict(state[name])
        except (KeyError, RuntimeError, ValueError) as error:
            raise ValueError(f"{path} is of another network or optimizer: {error}") from None
        self.generator.set_state(state["generator"])
        return state["losses"]


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
