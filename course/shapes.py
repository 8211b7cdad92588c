"""Where tensors live and how a time meets a batch."""

from numbers import Real

import torch


def device() -> torch.device:
    """The best device here: cuda, else mps (Apple), else cpu."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def expand_time(t: float | torch.Tensor, x: torch.Tensor) -> float | torch.Tensor:
    """Shape a time so that it broadcasts over the samples x.

    t: a number or a 0-d tensor (one time for all samples; returned as it is), or (n,), one time per sample,
    returned as (n, 1, ..., 1) with as many dimensions as x.  x: (n, ...).
    Raises ValueError for any other t.
    """
    if isinstance(t, Real):
        return t
    if not isinstance(t, torch.Tensor):
        raise ValueError(f"t is a {type(t).__name__}; wanted a number or a tensor.")
    if t.ndim == 0:
        return t
    if x.ndim == 0 or t.shape != x.shape[:1]:
        raise ValueError(
            f"t has shape {tuple(t.shape)} and x {tuple(x.shape)}; wanted a number, one time for all "
            f"samples, or one per sample, shape {tuple(x.shape[:1])}."
        )
    return t.reshape(-1, *[1] * (x.ndim - 1))
