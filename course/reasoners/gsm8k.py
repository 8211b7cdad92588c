"""GSM8K: 1,319 word problems from a school's mathematics, with their answers.  Cobbe et al. (2021)."""

import json
import os
from pathlib import Path
from typing import NamedTuple

import pooch

from course.search.answers import last_number

URL = "https://raw.githubusercontent.com/openai/grade-school-math/master/grade_school_math/data/test.jsonl"
SHA256 = "3730d312f6e3440559ace48831e51066acaca737f6eabec99bccb9e4b3c39d14"


class Problem(NamedTuple):
    """A problem's text, the worked solution that comes with it, and its answer."""

    text: str
    solution: str
    answer: float


def gsm8k(url: str = URL) -> list[Problem]:
    """The problems of the test split.

    Read from test.jsonl in the folder that the environment variable COURSE_DATA names, or in its folder gsm8k; else
    downloaded once.  Raises ValueError for a file that is not the known one, OSError without a network.
    """
    if folder := os.environ.get("COURSE_DATA"):
        for path in (Path(folder).expanduser() / "gsm8k" / "test.jsonl", Path(folder).expanduser() / "test.jsonl"):
            if path.is_file():
                if pooch.file_hash(path) != SHA256:
                    raise ValueError(f"{path} is not the test split of GSM8K: its SHA-256 is another.")
                return read(path)
    pooch.get_logger().setLevel("WARNING")  # or it tells of every download on the notebook's error stream
    return read(Path(pooch.retrieve(url, f"sha256:{SHA256}", "gsm8k_test.jsonl", pooch.os_cache("generative-course"))))


def read(path: Path) -> list[Problem]:
    """The problems of a file with a JSON object {question, answer} in each line, the answer after ####."""
    problems = []
    for line in path.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        solution, _, answer = record["answer"].rpartition("####")
        number = last_number(answer)
        if number is None:
            raise ValueError(f"{path} has a problem without a number as its answer: {answer!r}.")
        problems.append(Problem(record["question"], solution.strip(), number))
    return problems
