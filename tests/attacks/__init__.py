"""What hostile and clumsy submissions try. The list only grows.

An attack is a submission: cells of its own, put behind the lab's imports; answers; a change to the notebook; or the
whole file. It knows all that an attacker could know and more: `ROOM` is a folder of the grader with secrets in it,
`PORT` a port where somebody listens, `GRADER` the grader's process, `FIRST` the first exercise. Whoever gets something
done prints what `won(...)` makes of it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from nbformat import NotebookNode

WON = "the-attack-has-won"
PRELUDE = f"""
import ctypes, glob, os, pathlib, signal, socket, stat, struct, subprocess, sys, time
def won(*what):
    print({WON[:10]!r} + {WON[10:]!r}, *what)
def attempt(function, *args):
    try:
        return function(*args)
    except BaseException:
        return None
"""


@dataclass(frozen=True)
class Attack:
    """A submission and what it tries: a sentence that says what must not happen."""

    name: str
    cells: list[str] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    change: Callable[[NotebookNode], None] | None = None
    file: Callable[[], bytes] | None = None
    earns: float = 0.0  # what is honest in it
    shows: bool = False  # whether its notebook is looked at as a page
    works_unsafe: bool = False  # whether it does get its way, and does no harm, when there is no sandbox
    slow: bool = False  # whether it has to be killed


def everything() -> list[Attack]:
    """All attacks."""
    from tests.attacks import changing, files, flooding, pages, points, reading

    modules = [points, reading, changing, flooding, files, pages]
    return [attack for module in modules for attack in module.ATTACKS]
