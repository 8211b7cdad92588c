"""Builds the labs from their sources and grades submissions; the instructor's side, never imported by `course`."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOLUTIONS = ROOT / "solutions"
LABS = ROOT / "labs"
