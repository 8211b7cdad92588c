"""The benchmarks run, measure what they say, and notice a wrong result; nothing here is about how fast."""

import contextlib
import io
import subprocess
import sys

import pytest
import torch

from autograder import ROOT
from benchmarks import __main__ as command
from benchmarks import diffusion, digits, marginal, ode, samplers, sde, search, training
from benchmarks.measure import Candidate, Case, Settings, Table, apart, peak, race, ratios, skipped
from course.data import Digits

# `check` and `grading` are imported where they are used: `apart` has this file loaded in other processes, too.
QUICK = Settings(rounds=2, quick=True)
# `grading` starts whole nbgrader runs, a minute and more; tests/test_grading.py holds its grader to account
QUICKLY = ["ode", "sde", "training", "marginal", "samplers", "diffusion", "digits", "search", "check"]


@pytest.fixture(scope="module")
def quick_run(tmp_path_factory):
    """What a run prints, and the folder it was started from, empty before."""
    folder, printed = tmp_path_factory.mktemp("quick"), io.StringIO()
    apart(abs, 1)  # starts the server that forks: here, where it finds the benchmarks to load
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.chdir(folder)
        patch.setenv("COURSE_DATA", str(folder))  # no MNIST, and no download: no table of recipes
        patch.setattr(sys, "argv", ["benchmarks", *QUICKLY, "--quick", "--rounds=1", "--markdown"])
        command.main()
    return printed.getvalue(), folder


def labels(printed):
    return [line.split("|")[1].strip() for line in printed.splitlines() if line.startswith("|")]


@pytest.mark.parametrize("benchmark", [ode, sde, training, marginal, samplers, diffusion, digits, search])
def test_every_candidate_has_its_row(benchmark, quick_run):
    rows = labels(quick_run[0])
    for case in benchmark.cases(QUICK):
        assert {candidate.name for candidate in case.candidates} <= set(rows)
        assert f"**{case.title} (1.00 = " in quick_run[0]


def test_every_exercise_has_its_row_or_a_sentence_says_why_not(quick_run):
    from benchmarks import check

    built = check.LAB in check.labs() and (check.ANSWERS / f"{check.LAB}.npz").exists()
    rows = set(labels(quick_run[0]))
    assert (
        set(check.load(check.LAB).questions) <= rows
        if built
        else f"**Checks of {check.LAB}**\n\nSkipped: " in quick_run[0]
    )


def test_without_a_built_lab_grading_says_so(monkeypatch, tmp_path):
    from benchmarks import grading

    monkeypatch.setattr(grading, "LABS", tmp_path)
    (table,) = grading.tables(QUICK)
    assert f"Skipped: labs/{grading.LAB} is not built yet." in table.text()


@pytest.mark.parametrize(
    ("benchmark", "peer", "missing", "row"),
    [
        (ode, "odeint", None, "torchdiffeq"),
        (sde, "sdeint", None, "torchsde"),
        (training, "HAS_TORCHCFM", False, "torchcfm"),
        (samplers, "odeint", None, "torchdiffeq"),
        (diffusion, "HAS_DIFFUSERS", False, "diffusers"),
        (digits, "HAS_DIFFUSERS", False, "diffusers"),
        (samplers, "ODESolver", None, "flow_matching"),
    ],
)
def test_a_peer_that_is_missing_has_a_sentence_instead_of_a_row(benchmark, peer, missing, row, monkeypatch):
    monkeypatch.setattr(benchmark, peer, missing)
    for case in benchmark.cases(QUICK):
        assert not [candidate for candidate in case.candidates if candidate.name.startswith(row)]
        assert [note for note in case.notes if note.startswith(row) and "is not installed" in note]


def test_a_recipe_that_is_tried_gets_its_row(monkeypatch):
    torch.manual_seed(0)
    some = Digits(torch.randn(64, 1, 28, 28), torch.arange(64) % 10, "noise")
    monkeypatch.setattr(digits, "mnist", lambda split: some)
    for this in digits.TRIALS:
        name, spent, *cells = digits.trial(this, 1, small=True)
        assert name == this.name
        assert float(spent) >= 0
        assert len(cells) == len(digits.SCALES)
        assert all(0 <= float(cell.split(" / ")[0]) <= 100 and float(cell.split(" / ")[1]) > 0 for cell in cells)


def test_without_mnist_no_recipe_is_tried(quick_run):
    assert "Skipped: there is no MNIST here." in quick_run[0]


def test_nothing_is_left_behind(quick_run):
    assert list(quick_run[1].iterdir()) == []


def test_an_unknown_name_is_answered_with_the_known_ones():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "odes"], cwd=ROOT, text=True, capture_output=True, check=False
    )
    assert done.returncode == 2
    assert f"there is no benchmark called odes; there are {', '.join(command.NAMES)}" in done.stderr


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


@pytest.mark.parametrize("method", samplers.METHODS)
def test_other_samples_than_the_plain_loops_are_noticed(method):
    case = next(case for case in samplers.cases(QUICK) if f" {method} " in case.title)
    problem = case.make(0.1)
    samples = samplers.plain_loop(problem)
    samplers.agree(problem, samples)
    with pytest.raises(ValueError, match="not those of the plain loop"):
        samplers.agree(problem, samples + 1e-3 * (samples - problem.x))


@pytest.mark.parametrize("sampler", diffusion.SAMPLERS)
def test_other_samples_than_those_of_the_chain_are_noticed(sampler):
    case = next(case for case in diffusion.cases(QUICK) if f" {sampler}, " in case.title)
    problem = case.make(0.1)
    for candidate in case.candidates:
        diffusion.agree(problem, candidate.run(problem))
    with pytest.raises(ValueError, match="not those of the plain loop"):
        diffusion.agree(problem, problem.expected * 1.01)


@pytest.mark.parametrize(("count", "t"), [(5, 0.5), (300, 0.95)])
def test_other_velocities_than_the_exact_ones_are_noticed(count, t):
    problem = marginal.Problem(1.0, n=500, count=count, t=t, repeats=1, device="cpu")
    for blocks in 1, 3:
        velocity = marginal.plainly(problem, marginal.broadcast, blocks)
        marginal.agree(problem, velocity)
    with pytest.raises(ValueError, match="not the exact ones"):
        marginal.agree(problem, marginal.broadcast(problem.x, problem.path.data[1:], t))


def test_a_broadcast_is_cut_only_where_memory_is_short():
    assert marginal.blocks_that_fit(10_000, 5, "cpu") == 1
    assert marginal.blocks_that_fit(10_000, 10**9, "cpu") > 100


def test_a_loop_that_learns_by_another_rule_is_noticed(monkeypatch):
    problem = training.Problem(1.0, batch=64, steps=3, device="cpu")
    training.agree(problem, training.run(problem, training.plain_loop))
    training.agree(problem, training.run(problem, training.with_train))
    monkeypatch.setattr(training, "RATE", 1.1 * training.RATE)
    with pytest.raises(ValueError, match="not those of the plain loop"):
        training.agree(problem, training.run(problem, training.with_train))


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
