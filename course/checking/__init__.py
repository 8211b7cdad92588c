"""Instant checks: a question is put to a student's function, and the answer is compared with stored ones."""

from course.checking.lab import Lab
from course.checking.progress import progress

__all__ = ["Lab", "progress"]
