"""Inputs for a question: everything is determined by one seed, on every platform."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch

T = TypeVar("T")


class Draw:
    """Random inputs from a seed (any string).

    NumPy's PCG64 is used because its stream is the same on every platform and does not depend on PyTorch's version:
    the answers stored with the course were computed on another machine.

    unseen: what the grader adds, by name, to the things that a student's test is tried on; nothing in a notebook.
    """

    def __init__(self, seed: str, unseen: dict[str, Any] | None = None):
        self.unseen = unseen or {}
        digest = hashlib.sha256(seed.encode()).digest()
        self._rng = np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))

    def normal(self, *shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Standard normal numbers."""
        return torch.from_numpy(np.asarray(self._rng.standard_normal(shape))).to(dtype)

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """One number from [low, high)."""
        return float(self._rng.uniform(low, high))

    def uniform_tensor(
        self, *shape: int, low: float = 0.0, high: float = 1.0, dtype: torch.dtype = torch.float32
    ) -> torch.Tensor:
        """Numbers from [low, high)."""
        return torch.from_numpy(np.asarray(self._rng.uniform(low, high, shape))).to(dtype)

    def integer(self, low: int, high: int) -> int:
        """One of low, ..., high."""
        return int(self._rng.integers(low, high, endpoint=True))

    def choice(self, items: Sequence[T]) -> T:
        """One of the items."""
        return items[self.integer(0, len(items) - 1)]

    def shuffled(self, items: Iterable[T]) -> list[T]:
        """The items in random order."""
        items = list(items)
        return [items[i] for i in self._rng.permutation(len(items))]

    def grid(self, m: int, start: float = 0.0, stop: float = 1.0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """An increasing time grid (m + 1,) from start to stop whose steps differ by up to a factor of three."""
        steps = self._rng.uniform(0.5, 1.5, m)
        times = start + (stop - start) * np.concatenate([[0.0], np.cumsum(steps)]) / steps.sum()
        return torch.from_numpy(times).to(dtype)

    def generator(self) -> torch.Generator:
        """A seeded generator, for functions that draw their own noise."""
        return torch.Generator().manual_seed(int(self._rng.integers(2**62)))
