"""Builds the labs from their sources and grades submissions; the instructor's side, never imported by `course`."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOLUTIONS = ROOT / "solutions"
LABS = ROOT / "labs"


def repository() -> str:
    """The address of the course's repository, as pyproject.toml states it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["urls"]["Repository"]
