"""Wrong implementations that people really write, with the hint that each of them needs.

They serve twice: a check that meets one's answer can name the mistake, and the grader's own tests make sure that every
one is rejected and recognised.
"""

import importlib
from collections import defaultdict
from collections.abc import Callable
from typing import Any

Function = Callable[..., Any]
_known: dict[tuple[str, str], list[tuple[Function, str]]] = defaultdict(list)


def misconception(exercise: str, hint: str) -> Callable[[Function], Function]:
    """Decorator: this function is a typical wrong answer to `exercise`, and `hint` helps whoever wrote it."""

    def register(function: Function) -> Function:
        _known[function.__module__.rpartition(".")[2], exercise].append((function, hint))
        return function

    return register


def misconceptions(lab: str, exercise: str) -> list[tuple[Function, str]]:
    """The misconceptions of an exercise of the lab called `lab`, each with its hint."""
    module = lab.partition("_")[0]
    importlib.import_module(f"autograder.misconceptions.{module}")
    return _known[module, exercise]
