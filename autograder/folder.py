"""Where things are: nbgrader's course folder, what belongs to one lab in it, and what a lab is graded by."""

import functools
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from autograder import LABS, ROOT, SOLUTIONS

COURSE_ID = "generative-models"


class NoLab(ValueError):
    """There is no such lab, or its files are not where they should be; the message is one line."""


@dataclass(frozen=True)
class Folder:
    """nbgrader's course folder: submissions come in here and grades go out."""

    root: Path = ROOT / "autograder"

    @property
    def gradebook(self) -> str:
        """The address of nbgrader's gradebook: SQLite in the folder, unless COURSE_GRADEBOOK names another."""
        return os.environ.get("COURSE_GRADEBOOK", f"sqlite:///{self.root}/gradebook.db?timeout=60")

    @property
    def submitted(self) -> Path:
        """nbgrader's `submitted/STUDENT/LAB/`."""
        return self.root / "submitted"

    def autograded(self, student: str, lab: str) -> Path:
        """Where nbgrader expects a student's graded notebook."""
        return self.root / "autograded" / student / lab

    def run(self, lab: str) -> Path:
        """Where everything about the grading of a lab is kept: see `autograder.ledger`."""
        return self.root / "runs" / lab


def require(lab: str) -> str:
    """The lab's name if it can be graded: solution and release are there. NoLab otherwise."""
    if not SOLUTIONS.is_dir():
        raise NoLab(f"{SOLUTIONS} does not exist: grading needs the course's checkout; install it with pip install -e")
    known = sorted(path.parent.name for path in SOLUTIONS.glob("lab*/lab*.md") if path.stem == path.parent.name)
    if lab not in known:
        close = [name for name in known if name.startswith(lab)]
        said = f"did you mean {close[0]}?" if len(close) == 1 else f"the labs are {', '.join(known)}"
        raise NoLab(f"there is no lab called {lab!r}; {said}")
    if not (LABS / lab / f"{lab}.ipynb").exists():
        raise NoLab(f"labs/{lab}/{lab}.ipynb does not exist: build it with autograder build {lab}")
    return lab


def points(lab: str) -> dict[str, float]:
    """What every exercise that is graded by the judge is worth, in the lab's order."""
    # here: these two import nbgrader and nbconvert, which a list of labs need not wait for
    from autograder.rebuild import released
    from autograder.source import checked_exercise

    return {
        exercise: float(cell.metadata.nbgrader["points"])
        for cell in released(lab, lab).cells
        if (exercise := checked_exercise(cell))
    }


@functools.cache
def fingerprint(lab: str) -> str:
    """What a lab is graded by, as a number: its solution, its release, and all that its questions are made of.

    A result with another fingerprint was graded by other questions.
    """
    module = lab.partition("_")[0]
    checking = ROOT / "course" / "checking"
    paths = [
        SOLUTIONS / lab / f"{lab}.md",
        LABS / lab / f"{lab}.ipynb",
        ROOT / "autograder" / "misconceptions" / f"{module}.py",
        checking / f"{module}.py",
        *sorted((ROOT / "autograder" / "unseen").glob("*.py")),
        checking / "answers" / f"{lab}.npz",
        *(checking / f"{name}.py" for name in ("compare", "draw", "reply", "verdict")),
    ]
    digest = hashlib.sha256()
    for path in paths:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]
