"""How long a student waits for a check: every exercise of Lab 1, asked of the solution's own functions."""

import contextlib
import io
import os
import tempfile
from collections.abc import Iterator
from statistics import median
from typing import Any

import torch

from autograder.source import labs
from benchmarks.measure import Settings, Table, apart, duration, high_water, megabytes, seconds, skipped
from course.checking.lab import ANSWERS, PUBLIC, load

LAB = "lab1_odes_sdes"


def tables(settings: Settings) -> Iterator[Table]:
    title = f"Checks of {LAB}"
    if LAB not in labs():
        yield skipped(title, f"solutions/{LAB}/{LAB}.md does not exist yet.")
    elif not (ANSWERS / f"{LAB}.npz").exists():
        yield skipped(title, f"the stored answers, course/checking/answers/{LAB}.npz, are not built yet.")
    else:
        yield _table(title, *apart(_measure, settings))


def _table(title: str, times: dict[str, dict[str, list[float]]], memory: float) -> Table:
    rows = []
    for exercise, spent in times.items():
        first, *later = spent["check"]
        ratio = median(a / b for a, b in zip(later, spent["question"], strict=True))
        rows.append([exercise, f"{ratio:.1f}", *map(duration, [first, median(later), max(spent["check"])])])
    everything = [time for spent in times.values() for time in spent["check"]]
    return Table(
        f"{title} (1.0 = putting the question to the function, without reading answers, judging and telling)",
        ["", "time", "first call", "median", "maximum"],
        rows,
        [
            f"All exercises: median {duration(median(everything))}, maximum {duration(max(everything))}; "
            f"peak memory {megabytes(memory)}."
        ],
    )


def _measure(settings: Settings) -> tuple[dict[str, dict[str, list[float]]], float]:
    """Seconds of every call, first calls first, and the memory that all the checks together added."""
    from autograder.reference import Reference

    torch.set_num_threads(settings.threads)
    os.environ.pop("COURSE_PROGRESS", None)  # a check notes its outcome beside the notebook; that counts too
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
        functions: dict[str, Any] = Reference(LAB).namespace
        lab, before = load(LAB), high_water()
        times: dict[str, dict[str, list[float]]] = {}
        for name, question in lab.questions.items():
            if name not in functions:
                continue
            spent = times[name] = {"check": [seconds(lab.check, functions[name], name)], "question": []}
            for _ in range(4 * settings.rounds):
                spent["question"].append(seconds(question.put, functions[name], PUBLIC))
                spent["check"].append(seconds(lab.check, functions[name], name))
        return times, high_water() - before
