"""Time, peak memory and tables: what all benchmarks share.

Candidates take turns in one process, so that a slow minute of the machine hits all of them; a ratio is the median of
the rounds' own ratios. Every peak is measured in a process of its own, so that no candidate hides behind another's.
"""

import gc
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch


@dataclass(frozen=True)
class Settings:
    """How to measure: threads of PyTorch on the CPU, rounds of taking turns, small sizes or real ones."""

    threads: int = 1
    rounds: int = 5
    quick: bool = False


@dataclass(frozen=True)
class Candidate:
    """One way to do the work: run(problem). Timed on `share` of the samples, its time is divided by `share`."""

    name: str
    run: Callable[[Any], Any]
    share: float = 1.0
    note: str = ""


@dataclass(frozen=True)
class Case:
    """One piece of work and the ways to do it, the first of them the base of all ratios.

    make(share) gives the problem with that share of its samples; agree(problem, result) raises if a result is wrong.
    All of it is picklable: top-level functions, partials and numbers. With steps, how many each candidate makes, the
    table says how many a second, not how much memory.
    """

    title: str
    make: Callable[[float], Any]
    candidates: list[Candidate]
    agree: Callable[[Any, Any], None]
    device: str = "cpu"
    notes: list[str] = field(default_factory=list)
    steps: int = 0


def devices() -> list[str]:
    """The kinds of device that this machine has."""
    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


def near(result: torch.Tensor, expected: torch.Tensor, tolerance: torch.Tensor, wrong: str) -> None:
    """Raise ValueError(wrong) unless a result has the expected one's shape and lies within the tolerance of it."""
    if result.shape != expected.shape or not (result - expected).abs().max() < tolerance:
        raise ValueError(wrong)


@dataclass(frozen=True)
class Table:
    """A title, a header, rows of text, and sentences that belong below."""

    title: str
    header: list[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)

    def text(self) -> str:
        """For a terminal."""
        lines = ["  ".join(cells).rstrip() for cells in self._aligned()]
        rule = "-" * max(map(len, [self.title, *lines]))
        return "\n".join([self.title, rule, *lines, *self.notes, ""])

    def markdown(self) -> str:
        """For a page; still aligned, so that its source can be read too."""
        lines = [f"| {' | '.join(cells)} |" for cells in self._aligned()]
        if lines:
            lines.insert(1, "|" + "|".join(["---"] + ["---:"] * (len(self.header) - 1)) + "|")
            lines.append("")
        return "\n".join([f"**{self.title}**", "", *lines, *(f"{note}\n" for note in self.notes)])

    def _aligned(self) -> list[list[str]]:
        if not self.rows:
            return []
        widths = [max(map(len, column)) for column in zip(self.header, *self.rows, strict=True)]
        return [
            [cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))]
            for row in [self.header, *self.rows]
        ]


def skipped(title: str, why: str) -> Table:
    """A table that only says why there is none."""
    return Table(title, [], [], [f"Skipped: {why}"])


def apart(function: Callable[..., Any], *args: Any) -> Any:
    """What `function` returns, called in a fresh process that has imported PyTorch.

    It is forked from a small server, not started from here: a started process inherits the high-water mark of the
    memory of the process that starts it.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.ode", "benchmarks.sde", "benchmarks.marginal", "benchmarks.samplers"])
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *args).result()


def seconds(function: Callable[..., Any], *args: Any, device: str = "cpu") -> float:
    """How long one call takes, without the time to free what it returns."""
    _wait(device)
    start = time.perf_counter()
    result = function(*args)
    _wait(device)
    duration = time.perf_counter() - start
    del result
    return duration


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def race(case: Case, settings: Settings) -> dict[str, list[float]]:
    """Seconds of every candidate in every round, after a first run of each that has to give the right result."""
    torch.set_num_threads(settings.threads)
    problems = {candidate.share: case.make(candidate.share) for candidate in case.candidates}
    for candidate in case.candidates:
        result = candidate.run(problems[candidate.share])
        try:
            case.agree(problems[candidate.share], result)
        except ValueError as error:
            raise ValueError(f"{case.title}: {candidate.name}: {error}") from None
        del result
    times: dict[str, list[float]] = {candidate.name: [] for candidate in case.candidates}
    gc.freeze()  # what loaded code holds need not be looked through in every round
    for _ in range(settings.rounds):
        for candidate in case.candidates:
            gc.collect()  # what another candidate left in cycles
            spent = seconds(candidate.run, problems[candidate.share], device=case.device)
            times[candidate.name].append(spent / candidate.share)
    return times


def ratios(times: list[float], base: list[float]) -> list[float]:
    """Each round's time against the base's in the same round, from the smallest to the largest."""
    return sorted(a / b for a, b in zip(times, base, strict=True))


def peak(case: Case, candidate: Candidate, settings: Settings) -> float:
    """Bytes that one call needs at its highest, its result included, beyond a call on hardly any samples.

    That first call has loaded the code and the libraries' own buffers. Call it `apart`.
    """
    torch.set_num_threads(settings.threads)
    candidate.run(case.make(0.001))
    problem = case.make(1.0)
    before = _high_water(case.device)
    candidate.run(problem)
    return _high_water(case.device) - before


def _high_water(device: str) -> float:
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return high_water()


def high_water() -> float:
    """The most bytes of memory that this process ever held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def measured(case: Case, settings: Settings) -> Table:
    """The table of one case."""
    peaks = [apart(peak, case, candidate, settings) for candidate in case.candidates if not case.steps]
    times = apart(race, case, settings)
    base = times[case.candidates[0].name]
    if case.steps:
        measure, last = "steps per second", [f"{case.steps / median(spent):,.0f}" for spent in times.values()]
    else:
        measure, last = "peak memory", [megabytes(most) for most in peaks]
    rows, notes = [], list(case.notes)
    for candidate, cell in zip(case.candidates, last, strict=True):
        found = ratios(times[candidate.name], base)
        rows.append([candidate.name, f"{median(found):.2f}", f"{found[0]:.2f}-{found[-1]:.2f}", cell])
        if candidate.note:
            notes.append(f"{candidate.name}: {candidate.note}")
    title = f"{case.title} (1.00 = {duration(median(base))})"
    return Table(title, ["", "time", "lowest-highest", measure], rows, notes)


def megabytes(count: float) -> str:
    """Bytes in words: 400 MB."""
    return f"{count / 1e6:,.0f} MB"


def duration(value: float) -> str:
    """Seconds in words: 2.31 s, 12.0 ms."""
    return f"{value:.2f} s" if value >= 1 else f"{1000 * value:.3g} ms"
