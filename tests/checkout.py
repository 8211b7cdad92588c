"""A copy of the checkout, for what changes or breaks it."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from autograder import ROOT

ROOMS = ("course", "autograder", "solutions", "labs")
# an instructor's own files in autograder/, and what programs leave behind
LEFT_OUT = ("submitted", "autograded", "feedback", "exchange", "runs", "gradebook.db*", "grades.csv")
LEFT_OUT += (".ipynb_checkpoints", "__pycache__", "*.log")


def copy_checkout(to: Path, rooms: Iterable[str] = ROOMS) -> Path:
    """Copy these folders, and pyproject.toml, which the release reads the course's address from; returns `to`."""
    for room in rooms:
        shutil.copytree(ROOT / room, to / room, ignore=shutil.ignore_patterns(*LEFT_OUT))
    shutil.copy(ROOT / "pyproject.toml", to)
    return to
