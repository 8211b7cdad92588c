"""Trained weights that come with the course, each file with the way it was made in its metadata."""

import json
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

SUFFIX = ".safetensors"


def names() -> list[str]:
    """What can be loaded."""
    return sorted(entry.name.removesuffix(SUFFIX) for entry in files(__name__).iterdir() if entry.name.endswith(SUFFIX))


def load(name: str) -> dict[str, Tensor]:
    """The tensors of course/weights/<name>.safetensors by name, on the CPU, for module.load_state_dict.

    Raises ValueError for a name that is not in names().
    """
    with _opened(name) as stored:
        return {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118


def made_by(name: str) -> dict[str, Any]:
    """How the weights were made and what was measured with them.  Raises ValueError as load does."""
    with _opened(name) as stored:
        return {key: json.loads(value) for key, value in stored.metadata().items()}


def save(path: str | Path, tensors: dict[str, Tensor], made_by: dict[str, Any]) -> None:
    """Write tensors to a file, with what made_by(name) will say of them: anything JSON can hold."""
    stored = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    save_file(stored, path, {key: json.dumps(value) for key, value in made_by.items()})


def _opened(name: str) -> Any:
    if name not in names():
        raise ValueError(f"There are no weights called {name!r}; there are {', '.join(names()) or 'none'}.")
    with as_file(files(__name__) / f"{name}{SUFFIX}") as path:
        return safe_open(path, "pt")
