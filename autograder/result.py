"""What comes of grading one submission. It loads at once: whoever only reads results need not import PyTorch."""

import json
from dataclasses import asdict, dataclass


class NoIsolation(RuntimeError):
    """This machine cannot shut a submission in; the message says what is missing."""


@dataclass(frozen=True)
class Result:
    """What became of one submission."""

    student: str
    lab: str
    status: str  # "graded", "timeout", "crashed", "unreadable" or "missing"
    scores: dict[str, float]  # points per exercise; every graded one of the lab is there
    notebook: str  # the graded notebook (JSON), as nbgrader's autograded/ wants it; "" when there was nothing
    digest: str  # sha256 of the submitted bytes
    met: dict[str, str]  # exercise -> "right", "wrong", "open", "stopped" or the hint of the recognised misconception
    seconds: float
    note: str  # one line for the instructor; "" when there is nothing to say

    def to_json(self) -> bytes:
        """All of it as JSON."""
        return json.dumps(asdict(self), sort_keys=True).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "Result":
        """The inverse of `to_json`; ValueError for anything else."""
        try:
            return cls(**json.loads(data))
        except TypeError as error:
            raise ValueError(f"not a result: {error}") from None
