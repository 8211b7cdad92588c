"""The benchmarks run, measure what they say, and notice a wrong result; nothing here is about how fast."""

import subprocess
import sys

import pytest
import torch

from autograder import LABS, ROOT
from autograder.source import labs
from benchmarks import check, grading, ode, sde
from benchmarks.measure import Candidate, Case, Settings, Table, apart, peak, race, ratios, skipped
from course.checking.lab import ANSWERS, load

QUICK = Settings(rounds=2, quick=True)


def files():
    """Everything in the repository but what Python, git and the linters write."""
    return {
        path for path in ROOT.rglob("*") if not {"__pycache__", ".git"} & set(path.parts) and "_cache" not in str(path)
    }


@pytest.fixture(scope="module")
def quick_run():
    before = files()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--markdown"],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, files() - before


def labels(printed):
    return [line.split("|")[1].strip() for line in printed.splitlines() if line.startswith("|")]


@pytest.mark.parametrize("benchmark", [ode, sde])
def test_every_candidate_has_its_row(benchmark, quick_run):
    rows = labels(quick_run[0])
    for case in benchmark.cases(QUICK):
        assert {candidate.name for candidate in case.candidates} <= set(rows)
        assert f"**{case.title} (1.00 = " in quick_run[0]


def test_every_exercise_has_its_row_or_a_sentence_says_why_not(quick_run):
    built = check.LAB in labs() and (ANSWERS / f"{check.LAB}.npz").exists()
    rows = set(labels(quick_run[0]))
    assert (
        set(load(check.LAB).questions) <= rows if built else f"**Checks of {check.LAB}**\n\nSkipped: " in quick_run[0]
    )


def test_both_graders_have_their_row_or_a_sentence_says_why_not(quick_run):
    built = (LABS / grading.LAB / f"{grading.LAB}.ipynb").exists()
    rows = set(labels(quick_run[0]))
    assert {"stock nbgrader autograde", "our autograder"} <= rows if built else "is not built yet." in quick_run[0]


def test_nothing_is_left_behind(quick_run):
    assert quick_run[1] == set()


def test_an_unknown_name_is_answered_with_the_known_ones():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "odes"], cwd=ROOT, text=True, capture_output=True, check=False
    )
    assert done.returncode == 2
    assert "there is no benchmark called odes; there are ode, sde, check, grading" in done.stderr


def numbers(share):
    return round(50_000_000 * share)


def ones(n):
    return torch.ones(n)


def one_number(n):
    return torch.ones(1)


def expect_all(n, result):
    if len(result) != n:
        raise ValueError("numbers are missing")


def test_the_peak_is_that_of_the_candidate_alone():
    case = Case("memory", numbers, [Candidate("all", ones), Candidate("one", one_number)], expect_all)
    kept = torch.ones(100_000_000)  # 400 MB in this process hide nothing
    peaks = [apart(peak, case, candidate, QUICK) for candidate in case.candidates]
    del kept
    assert 190e6 < peaks[0] < 230e6  # 50 million numbers of four bytes
    assert peaks[1] < 10e6


def test_a_wrong_result_stops_the_benchmark():
    case = Case("memory", numbers, [Candidate("all", ones), Candidate("one", one_number)], expect_all)
    with pytest.raises(ValueError, match="memory: one: numbers are missing"):
        race(case, QUICK)


@pytest.mark.parametrize("method", ["euler", "rk4"])
def test_other_samples_than_the_loops_are_noticed(method):
    problem = ode.Problem(1.0, n=64, steps=10, method=method, device="cpu")
    ode.agree(problem, ode.plain_loop(problem))
    with pytest.raises(ValueError, match="not those of the plain loop"):
        ode.agree(problem, ode.plain_loop(problem) * 1.001)


@pytest.mark.parametrize("snapshots", [False, True])
def test_paths_of_another_law_are_noticed(snapshots):
    torch.manual_seed(0)
    problem = sde.Problem(1.0, n=20_000, steps=50, snapshots=snapshots, device="cpu")
    paths = sde.tutorial_loop(problem)
    sde.agree(problem, paths)
    with pytest.raises(ValueError, match="mean"):
        sde.agree(problem, paths + 0.1)
    mean = paths.mean(1, keepdim=True)
    with pytest.raises(ValueError, match="variance"):
        sde.agree(problem, mean + 0.8 * (paths - mean))


def test_a_ratio_compares_the_times_of_one_round():
    assert ratios([1.0, 40.0, 3.0], [2.0, 20.0, 3.0]) == [0.5, 1.0, 2.0]


def test_a_table_can_be_pasted_into_a_page():
    table = Table("A title", ["", "time"], [["first", "1.00"], ["b", "12.50"]], ["A note."])
    assert table.markdown() == (
        "**A title**\n\n|       |  time |\n|---|---:|\n| first |  1.00 |\n| b     | 12.50 |\n\nA note.\n"
    )
    assert table.text() == "A title\n------------\n        time\nfirst   1.00\nb      12.50\nA note.\n"


def test_a_skipped_table_is_a_sentence():
    assert skipped("A title", "it is not built yet.").markdown() == "**A title**\n\nSkipped: it is not built yet.\n"
