"""What students' tests are tried on when they are graded, besides what the course shows them.

An exercise that asks for a test ("find the broken loop") hands the student's function things that are right or wrong.
Those of the course are known to every student, labels and all, so that a function could tell them by their names. Here
are others, one file per exercise: `SUBJECTS`, in an order that says nothing. The text of the file is sent to where the
student's function runs, so it says nowhere what is right; only the answer of the reference does.
"""

import functools
from pathlib import Path

from course.checking.lab import PUBLIC


def unseen(exercise: str, seed: str) -> str:
    """The text of the exercise's file; "" if it has none, and under the public seed, whose answers students have."""
    return "" if seed == PUBLIC else _text(exercise)


@functools.cache
def _text(exercise: str) -> str:
    path = Path(__file__).parent / f"{exercise}.py"
    return path.read_text(encoding="utf-8") if path.exists() else ""
