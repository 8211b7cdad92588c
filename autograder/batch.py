"""Grades a lab for a whole class: takes submissions in, runs what is not graded yet, records, and counts everybody.

Every step can be repeated: what is done is found done. So a run that was killed is continued by the same command.
"""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from autograder import ingest, roster, run
from autograder.folder import Folder, fingerprint, require
from autograder.gradebook import Book, Change, Unavailable
from autograder.ledger import Ledger, Record
from autograder.result import Result

STATUSES = ["graded", "timeout", "crashed", "unreadable", "missing", "failed"]


@dataclass(frozen=True)
class Options:
    """How to grade; the defaults are those of the command."""

    processes: int = 1
    scheduler: str = ""  # the address of a dask scheduler, in place of processes here
    roster: Path | None = None
    download: Path | None = None
    students: Sequence[str] = ()  # nobody else, if any
    again: bool = False
    enrol: bool = False
    unsafe: bool = False
    quiet: bool = False


@dataclass
class Report:
    """What a run came to. `lines` says, one line each, what the instructor should know."""

    lab: str
    people: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    graded_now: int = 0
    changed: dict[str, dict[str, Change]] = field(default_factory=dict)
    strangers: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    incomplete: bool = False  # something was not done that the same command would do when tried again
    seconds: float = 0.0

    def fail(self, student: str, why: str) -> None:
        """Note that a submission was not graded, through no fault of its own."""
        self.failed.append(student)
        self.lines.append(f"{student}: {why}")
        self.incomplete = True

    def facts(self) -> dict[str, Any]:
        """For machines."""
        return asdict(self)


@dataclass(frozen=True)
class _Received:
    """A submission that lies in the ledger; `refused` says why its bytes were not read."""

    student: str
    digest: str
    timestamp: str
    note: str
    refused: str = ""
    receipt: str = ""


def grade_lab(folder: Folder, lab: str, options: Options, work: run.Work = run.work) -> Report:
    """Grade what is not graded yet and record everything.

    Raises NoLab, BadRoster, Busy, NoIsolation, Refused (a download that is none).
    """
    start = time.monotonic()
    report = Report(require(lab))
    ledger = Ledger(folder.run(lab))
    with ledger.lock():
        if options.download:
            _, lines = ingest.collect(options.download, lab, _known(folder, options, report), folder.submitted)
            report.lines += lines
        received = list(_receive(folder, lab, ledger, options, report))
        people = _people(folder, lab, options, report)
        if people is not None:
            report.strangers = sorted({each.student for each in received} - people)
            for student in report.strangers:
                report.lines.append(f"{student}: not on the roster; graded, but not recorded (see --enrol)")
        _run(ledger, lab, _due(ledger, lab, received, options, report), options, report, work)
        if people is not None:
            _record(folder, lab, ledger, people, options, report)
        _count(ledger, people if people is not None else {each.student for each in received}, report)
    report.seconds = time.monotonic() - start
    return report


# ---- who ------------------------------------------------------------------------------------------------------------


def _known(folder: Folder, options: Options, report: Report) -> list[roster.Person]:
    """The roster as it is before this run, to tell whose a downloaded file is."""
    if options.roster:
        return roster.read(options.roster)[0]
    try:
        with Book(folder, report.lab) as book:
            return book.people()
    except Unavailable:
        return []  # said again, and with consequences, when the roster is needed


def _people(folder: Folder, lab: str, options: Options, report: Report) -> set[str] | None:
    """The roster's ids, brought up to date; None if the gradebook cannot be used."""
    people: list[roster.Person] = []
    if options.roster:
        people, lines = roster.read(options.roster)
        report.lines += lines
    try:
        with Book(folder, lab) as book:
            book.register()
            known = {person.id for person in book.people()}
            if options.enrol or not (known or people):
                listed = known | {person.id for person in people}
                submitters = [name for name in ingest.submitters(folder.submitted, lab) if roster.usable(name)]
                people += [roster.Person(student) for student in submitters if student not in listed]
                if not known and not options.roster and people:
                    report.lines.append("there was no roster: everybody who submitted is on it now")
            # in one transaction, so that a run that is killed here leaves no half of a roster
            book.enrol(people)
            return known | {person.id for person in people}
    except Unavailable as error:
        report.lines.append(f"{error}; what is graded is kept, and recorded by the same command later")
        report.incomplete = True
        return None


# ---- what -----------------------------------------------------------------------------------------------------------


def _receive(folder: Folder, lab: str, ledger: Ledger, options: Options, report: Report) -> Iterator[_Received]:
    """Every submission there is, put into the ledger."""
    submitters = ingest.submitters(folder.submitted, lab)
    if not submitters:
        report.lines.append(f"{folder.submitted} holds no submission to {lab}")
    for student in options.students:
        if student not in submitters:
            report.lines.append(f"{student}: there is no submission to {lab}")
    for student in submitters:
        if options.students and student not in options.students:
            continue
        if not roster.usable(student):
            report.lines.append(f"{student!r:.60}: cannot be a student's id; its folder was left alone")
            continue
        try:
            found = ingest.find(folder.submitted, [student, lab], lab)
            digest = ledger.archive(student, found.content, found.name, found.timestamp)
            yield _Received(student, digest, found.timestamp, found.note, receipt=found.receipt)
        except ingest.Missing as why:
            report.lines.append(f"{student}: {why}")
        except ingest.Refused as why:
            digest = ledger.archive(student, b"", "")
            yield _Received(student, digest, "", "", str(why))
        except OSError as error:
            report.fail(student, f"the submission could not be read or kept: {_said(error)}")


def _due(ledger: Ledger, lab: str, received: Iterable[_Received], options: Options, report: Report) -> list[_Received]:
    """What has no result yet, or one for another submission, or one by other questions."""
    due, outdated = [], 0
    for each in received:
        record = ledger.load(each.student)
        handed_in = each.digest, each.timestamp, each.receipt
        same = record is not None and (record.result.digest, record.timestamp, record.receipt) == handed_in
        current = record is not None and record.fingerprint == fingerprint(lab)
        outdated += same and not current
        if options.again or not (same and current):
            due.append(each)
    for student in sorted(ledger.damaged):
        report.lines.append(f"{student}: the earlier result could not be read; graded again")
    if outdated:
        report.lines.append(f"{lab} has changed since {outdated} were graded; they are graded again")
    return due


# ---- doing it -------------------------------------------------------------------------------------------------------


def _run(ledger: Ledger, lab: str, due: list[_Received], options: Options, report: Report, work: run.Work) -> None:
    by_student = {each.student: each for each in due}
    secret, mark = ledger.secret, fingerprint(lab)

    def tasks() -> Iterator[run.Task]:
        for each in due:
            try:
                content = ledger.submission(each.student, each.digest)
            except OSError as error:
                report.fail(each.student, f"the submission could not be read: {_said(error)}")
                continue
            yield run.Task(each.student, lab, content, secret, mark, options.unsafe)

    if options.scheduler:
        outcomes = run.cluster(tasks(), options.scheduler, work)
    else:
        outcomes = run.local(tasks(), min(options.processes, len(due)), work)
    met: Counter[str] = Counter()
    with tqdm(total=len(due), desc=lab, unit=" submissions", disable=True if options.quiet else None) as bar:
        try:
            for outcome in outcomes:
                bar.update()
                if isinstance(outcome, run.Failure):
                    met["failed"] += 1
                    report.fail(outcome.student, f"could not be graded: {outcome.why}")
                else:
                    each = by_student[outcome.student]
                    met[_keep(ledger, outcome, each, mark, report)] += 1
                bar.set_postfix_str(", ".join(f"{count} {status}" for status, count in met.items()))
        except run.Lost as error:
            report.lines.append(f"{error}; what was graded is kept, and the same command goes on")
            report.incomplete = True
    report.graded_now = met.total() - met["failed"]


def _keep(ledger: Ledger, result: Result, received: _Received, mark: str, report: Report) -> str:
    """Save a result; returns its status, or "failed"."""
    if received.refused:
        result = replace(result, status="unreadable", note=received.refused)
    elif received.note:
        result = replace(result, note="; ".join(filter(None, [result.note, received.note])))
    if result.note:
        report.lines.append(f"{result.student}: {result.note}")
    try:
        ledger.save(Record(result, mark, received.timestamp, received.receipt))
    except OSError as error:
        report.fail(result.student, f"the result could not be saved: {_said(error)}")
        return "failed"
    return result.status


def _record(folder: Folder, lab: str, ledger: Ledger, people: set[str], options: Options, report: Report) -> None:
    students = [student for student in ledger.students() if student in people]
    try:
        with Book(folder, lab) as book:
            for student in tqdm(students, desc="gradebook", disable=True if options.quiet else None):
                record = ledger.load(student, notebook=True)
                if record is None:
                    continue
                try:
                    changed = book.record(record)
                except (OSError, ValueError, KeyError) as error:
                    report.lines.append(f"{student}: the grade could not be recorded: {_said(error)}")
                    report.incomplete = True
                    continue
                if changed:
                    report.changed[student] = changed
    except Unavailable as error:
        report.lines.append(f"{error}; the grades are kept, and recorded by the same command later")
        report.incomplete = True


def _count(ledger: Ledger, people: set[str], report: Report) -> None:
    """How many are in which state: everybody is in exactly one."""
    counts: Counter[str] = Counter()
    for student in people:
        record = ledger.load(student)
        counts["failed" if student in report.failed else record.result.status if record else "missing"] += 1
    report.people = len(people)
    report.counts = {status: counts[status] for status in STATUSES if counts[status]}


def _said(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).partition("\n")[0]
