"""The course's helper package: distributions, exact problems, solvers, plots, widgets and instant checks."""

from course.checking import progress
from course.shapes import device, expand_time

__all__ = ["device", "expand_time", "progress"]
