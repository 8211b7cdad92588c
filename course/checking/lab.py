"""A lab's questions, and the instant check that puts them to a student's function."""

import difflib
import functools
import importlib
import inspect
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from course.checking import progress
from course.checking.draw import Draw
from course.checking.reply import Reply, call, decode, encode, pack, read
from course.checking.verdict import CheckFailed, Misconception, Verdict, judge

ANSWERS = Path(__file__).parent / "answers"
PUBLIC = "public"  # the seed of the draws in the notebooks; the grader's are secret

Ask = Callable[[Callable[..., Reply], Draw], dict[str, Reply]]


@dataclass(frozen=True)
class Question:
    """How one exercise is asked: `ask(answer, draw)` returns a reply for every named case."""

    name: str
    title: str
    ask: Ask
    partial: bool = False

    def put(self, function: Callable[..., Any], seed: str, unseen: str = "") -> dict[str, Reply]:
        """What `function` replies to this question, with the draws that `seed` determines.

        unseen: Python that defines SUBJECTS, which a student's test is tried on besides those of the course.
        """
        replies = self.ask(functools.partial(call, function), Draw(f"{seed}/{self.name}", _subjects(unseen)))
        return {case: reply.frozen() for case, reply in replies.items()}


@functools.cache
def _subjects(source: str) -> dict[str, Any]:
    namespace: dict[str, Any] = {"SUBJECTS": []}
    exec(compile(source, "<question>", "exec"), namespace)
    return {f"one that nobody has seen ({i})": subject for i, subject in enumerate(namespace["SUBJECTS"], 1)}


class Lab:
    """The questions of one lab, by the name of the function that answers them."""

    def __init__(self, name: str, title: str):
        self.name, self.title = name, title
        self.questions: dict[str, Question] = {}

    def question(self, ask: Ask | None = None, *, partial: bool = False) -> Any:
        """Decorator: add a question. Its first docstring line is its title; `partial` gives credit by right cases."""
        if ask is None:
            return functools.partial(self.question, partial=partial)
        title = (inspect.getdoc(ask) or ask.__name__).splitlines()[0]
        self.questions[ask.__name__] = Question(ask.__name__, title, ask, partial)
        return ask

    def find(self, name: str) -> Question:
        """The question of that name; ValueError if there is none."""
        if name not in self.questions:
            close = difflib.get_close_matches(name, self.questions, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"its exercises are {', '.join(self.questions)}"
            raise ValueError(f"{self.title} has no exercise called {name!r}; {hint}")
        return self.questions[name]

    def verdict(self, function: Callable[..., Any], exercise: str | None = None) -> Verdict:
        """Put the public question to `function` and compare with the stored answers."""
        if not callable(function):
            raise ValueError(f"check takes a function, for example check(euler_step), not {function!r:.60}")
        question = self.find(exercise or str(getattr(function, "__name__", function)))
        # packed and read back, so that what is compared here is exactly what the grader would compare
        return judge(question.name, read(pack(question.put(function, PUBLIC))), *self.stored(question.name))

    def check(self, function: Callable[..., Any], exercise: str | None = None) -> None:
        """Say whether `function` solves its exercise, and if not, what is wrong.

        The exercise is the one of the function's name, unless `exercise` names another. A wrong answer raises
        `CheckFailed` with the verdict; a right one is displayed. Both are remembered for `course.progress()`.

        Raises ValueError for an unknown exercise or something that is not a function.
        """
        verdict = self.verdict(function, exercise)
        progress.remember(self.name, verdict.exercise, verdict.right)
        if not verdict.right:
            raise CheckFailed(verdict)
        _show(verdict)

    def stored(self, exercise: str) -> tuple[dict[str, Reply], list[Misconception]]:
        """The right and the typical wrong replies to the public question."""
        path = ANSWERS / f"{self.name}.npz"
        if not path.exists():
            raise FileNotFoundError(f"{path.name} is missing from the course's package; reinstall it")
        with np.load(path, allow_pickle=False) as stored:
            return read_answers(stored[exercise].tobytes())


def write_answers(expected: dict[str, Reply], misconceptions: list[Misconception]) -> bytes:
    """One exercise's entry in the file of stored answers."""
    known = [[m.hint, encode(m.replies)] for m in misconceptions]
    return json.dumps({"expected": encode(expected), "misconceptions": known}).encode()


def read_answers(entry: bytes) -> tuple[dict[str, Reply], list[Misconception]]:
    """The inverse of `write_answers`."""
    data = json.loads(entry)
    return decode(data["expected"]), [Misconception(hint, decode(known)) for hint, known in data["misconceptions"]]


@functools.cache
def load(name: str) -> Lab:
    """The lab of that name: the questions of "lab1_odes_sdes" are in `course.checking.lab1`. ValueError if unknown."""
    number = re.match(r"lab\d+(?=_|$)", name)
    try:
        return importlib.import_module(f"course.checking.{number[0]}").lab if number else _unknown(name)
    except ModuleNotFoundError:
        return _unknown(name)


def _unknown(name: str) -> Lab:
    raise ValueError(f"there is no lab called {name!r}; the labs are {', '.join(lab.name for lab in all_labs())}")


def all_labs() -> list[Lab]:
    """Every lab that has questions, in order."""
    modules = sorted((p.stem for p in Path(__file__).parent.glob("lab[0-9]*.py")), key=lambda stem: int(stem[3:]))
    return [importlib.import_module(f"course.checking.{module}").lab for module in modules]


def answer(lab: str, exercise: str, seed: str, unseen: str, namespace: dict[str, Any]) -> bytes:
    """The packed replies of the function of that name in `namespace` to its question.

    This is the student's side of grading: it runs where the notebook runs, and holds no answers.
    """
    function = namespace.get(exercise)
    if not callable(function):

        def function(*args: Any, **kwargs: Any) -> None:
            raise NameError(f"no function called {exercise} was defined")

    return pack(load(lab).find(exercise).put(function, seed, unseen))


def _show(verdict: Verdict) -> None:
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        get_ipython = None
    if get_ipython and get_ipython():
        display({"text/plain": str(verdict), "text/html": verdict._repr_html_()}, raw=True)
    else:
        print(verdict)
