"""A large class, by hand: COURSE_SCALE=1000 python -m pytest -s tests/test_scale.py

Prints what the instructor's page tells: throughput, what is not grading itself, and memory.
"""

import contextlib
import itertools
import json
import os
import subprocess
import sys
import threading
import time

import nbformat
import psutil
import pytest

from autograder import ROOT
from tests import submissions
from tests.classroom import LAB, POINTS, TOTAL

COUNT = int(os.environ.get("COURSE_SCALE", "0"))
pytestmark = pytest.mark.skipif(not COUNT, reason="minutes of work: COURSE_SCALE=1000 runs it with 1,000 submissions")

HALF = sum(list(POINTS.values())[::2])
KINDS = {"perfect": TOTAL, "half": HALF, "untouched": 0, "patched": 0, "stripped": TOTAL, "noisy": TOTAL}


@pytest.fixture
def school(classroom):
    """The class, and what everybody has to get."""
    expected = {}
    notebooks = {kind: nbformat.writes(getattr(submissions, kind)(LAB)) for kind in KINDS}
    for i, kind in zip(range(COUNT), itertools.cycle(KINDS), strict=False):
        student = f"student{i:05}"
        classroom.hand_in(student, notebooks[kind].encode())
        expected[student] = KINDS[kind]
    return classroom, expected


class Watch:
    """The memory of a process and of all its descendants, looked at every second."""

    def __init__(self, pid: int):
        self.own: list[int] = []
        self.all: list[int] = []
        self.process = psutil.Process(pid)
        threading.Thread(target=self.look, daemon=True).start()

    def look(self):
        with contextlib.suppress(psutil.NoSuchProcess):
            while self.process.is_running() and self.process.status() != psutil.STATUS_ZOMBIE:
                family = [self.process, *self.process.children(recursive=True)]
                sizes = []
                for each in family:
                    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                        sizes.append(each.memory_full_info().pss)
                self.own.append(sizes[0])
                self.all.append(sum(sizes))
                time.sleep(1)

    def megabytes(self) -> str:
        """Of the command alone and of everything, after a tenth of the time and at most."""
        tenth = len(self.own) // 10
        early, late = self.own[tenth] / 1e6, max(self.own) / 1e6
        return f"{early:.0f} MB, later at most {late:.0f} MB; with its processes at most {max(self.all) / 1e6:.0f} MB"


def grade(classroom, *options):
    command = [
        sys.executable,
        "-m",
        "autograder.cli",
        "--course",
        str(classroom.root),
        "grade",
        LAB,
        "--json",
        *options,
    ]
    start = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    watch = Watch(process.pid)
    out, _ = process.communicate()
    wall = time.monotonic() - start
    assert process.returncode == 0, out
    work = sum(record.result.seconds for record in classroom.ledger.records())
    print(f"\n{' '.join(options)}: {COUNT} in {wall:.0f} s, {60 * COUNT / wall:.0f} a minute")
    print(f"  grading itself: {work / COUNT:.3f} s each; the rest: {(2 * wall - work) / COUNT:.3f} s of a core each")
    print(f"  memory of the command: {watch.megabytes()}")
    return json.loads(out)


def test_a_large_class_is_graded_by_two_processes(school):
    classroom, expected = school
    report = grade(classroom, "-n", "2")
    assert report["counts"] == {"graded": COUNT}
    assert classroom.scores() == expected
    start = time.monotonic()
    assert grade(classroom, "-n", "2")["graded_now"] == 0
    print(f"  a second run, with nothing to do: {time.monotonic() - start:.0f} s")


def test_a_large_class_is_graded_on_a_cluster_of_two_workers(school, tmp_path):
    pytest.importorskip("distributed")
    classroom, expected = school
    file = ["--scheduler-file", str(tmp_path / "scheduler.json")]
    nothing = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": ROOT}
    dask = [sys.executable, "-m", "dask"]
    cluster = [subprocess.Popen([*dask, "scheduler", "--port", "0", "--no-dashboard", *file], **nothing)]
    cluster += [
        subprocess.Popen([*dask, "worker", "--nthreads", "1", "--no-dashboard", *file], **nothing) for _ in range(2)
    ]
    try:
        while not (tmp_path / "scheduler.json").exists():
            time.sleep(0.1)
        address = json.loads((tmp_path / "scheduler.json").read_text())["address"]
        watch = Watch(cluster[0].pid)
        report = grade(classroom, "--scheduler", address)
        print(f"  memory of the scheduler: {watch.megabytes()}")
    finally:
        for process in cluster:
            process.terminate()
            process.wait()
    assert report["counts"] == {"graded": COUNT}
    assert classroom.scores() == expected
