"""Instant checks: a question is put to a student's function, and the answer is compared with stored ones."""

from IPython import get_ipython

from course.checking import unwritten
from course.checking.lab import Lab
from course.checking.progress import progress

__all__ = ["Lab", "progress"]

if (_shell := get_ipython()) is not None:
    unwritten.quiet(_shell)
