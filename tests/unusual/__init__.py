"""Right solutions that few people would write: the grader must accept every one."""

import importlib
from collections import defaultdict
from collections.abc import Callable
from typing import Any

Function = Callable[..., Any]
_known: dict[tuple[str, str], list[Function]] = defaultdict(list)


def unusual(exercise: str, why: str) -> Callable[[Function], Function]:
    """Decorator: this function is a right but unusual solution of `exercise`; `why` says what is unusual."""

    def register(function: Function) -> Function:
        _known[function.__module__.rpartition(".")[2], exercise].append(function)
        return function

    return register


def unusual_solutions(lab: str, exercise: str) -> list[Function]:
    """The unusual solutions of an exercise of the lab called `lab`."""
    module = lab.partition("_")[0]
    importlib.import_module(f"tests.unusual.{module}")
    return _known[module, exercise]
