"""A class is graded whole: nothing lost, nothing twice, whatever dies, and the same on a cluster."""

import contextlib
import errno
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter

import psutil
import pytest

from autograder import ROOT, batch, folder, ingest, ledger, run
from autograder.result import NoIsolation
from tests import stand_in
from tests.classroom import ALL_RIGHT, FIRST, LAB, POINTS, SECOND, THIRD, TOTAL, Classroom

LOCAL = run.local  # the classroom replaces it


def about(report: batch.Report, student: str) -> list[str]:
    return [line for line in report.lines if line.startswith(f"{student}:")]


# ---- everybody has a row --------------------------------------------------------------------------------------------


def test_everybody_on_the_roster_is_counted_and_nothing_stops_the_rest(classroom):
    classroom.enrol("anna", "ben", "cleo", "dora", "emil")
    classroom.hand_in("anna")
    classroom.hand_in("ben", b"\x89PNG no notebook")
    link = classroom.place("cleo")
    link.symlink_to("/etc/passwd")
    classroom.place("dora").with_name("report.pdf").write_bytes(b"")
    classroom.hand_in("zoe")
    report = classroom.grade()
    assert report.people == 5
    assert report.counts == {"graded": 1, "unreadable": 2, "missing": 2}
    assert report.strangers == ["zoe"]
    assert about(report, "ben") == ["ben: not a notebook"]
    assert about(report, "cleo") == [f"cleo: {LAB}.ipynb is a link, which is not followed"]
    assert about(report, "dora") == ["dora: the folder holds no notebook"]
    assert about(report, "zoe") == ["zoe: not on the roster; graded, but not recorded (see --enrol)"]
    assert classroom.scores() == {"anna": TOTAL, "ben": 0, "cleo": 0}
    assert not report.incomplete


def test_without_a_roster_whoever_submitted_is_on_it(classroom):
    classroom.hand_in("anna")
    report = classroom.grade()
    assert report.lines == ["there was no roster: everybody who submitted is on it now"]
    classroom.hand_in("late")
    assert classroom.grade().strangers == ["late"]
    assert classroom.scores() == {"anna": TOTAL}
    report = classroom.grade(enrol=True)
    assert (report.strangers, report.graded_now) == ([], 0)
    assert classroom.scores() == {"anna": TOTAL, "late": TOTAL}


def test_a_roster_file_says_who_takes_the_course(classroom, tmp_path):
    (tmp_path / "roster.csv").write_text("id,last_name\nanna,Arendt\nben,Berg\n")
    classroom.hand_in("anna")
    report = classroom.grade(roster=tmp_path / "roster.csv")
    assert report.counts == {"graded": 1, "missing": 1}
    with classroom.gradebook() as book:
        assert book.find_student("ben").last_name == "Berg"


def test_a_folder_with_an_impossible_name_is_left_alone(classroom):
    classroom.hand_in("anna")
    os.mkdir(os.fsencode(classroom.root / "submitted") + b"/\xff\xfe")
    os.mkdir(os.fsencode(classroom.root / "submitted") + b"/\xff\xfe/" + LAB.encode())
    report = classroom.grade()
    assert report.counts == {"graded": 1}
    assert any("cannot be a student's id" in line for line in report.lines)


def test_a_submission_is_kept_byte_for_byte_with_its_time(classroom):
    path = classroom.hand_in("anna")
    first = path.read_bytes()
    classroom.grade()
    classroom.hand_in("anna", {FIRST: "wrong"})
    classroom.grade()
    kept = {file.read_bytes() for file in classroom.folder.run(LAB).glob("received/anna/*.ipynb")}
    assert kept == {first, path.read_bytes()}
    assert len(list(classroom.folder.run(LAB).glob("received/anna/*.json"))) == 2


# ---- again ----------------------------------------------------------------------------------------------------------


def test_a_second_run_does_nothing(classroom, tmp_path, monkeypatch):
    monkeypatch.setenv("STAND_IN_LOG", str(tmp_path / "log"))
    for student in ("anna", "ben"):
        classroom.hand_in(student)
    classroom.grade()
    before = classroom.everything()
    book = (classroom.root / "gradebook.db").read_bytes()
    report = classroom.grade()
    assert (report.graded_now, report.changed) == (0, {})
    assert classroom.everything() == before
    assert (classroom.root / "gradebook.db").read_bytes() == book
    assert sorted((tmp_path / "log").read_text().split()) == ["anna", "ben"]


def test_what_is_handed_in_anew_is_graded_again_and_alone(classroom):
    for student in ("anna", "ben"):
        classroom.hand_in(student, {FIRST: "wrong"})
    classroom.grade()
    classroom.hand_in("ben")
    report = classroom.grade()
    assert report.graded_now == 1
    assert report.changed == {"ben": {name: (0, points) for name, points in POINTS.items()}}
    assert classroom.scores() == {"anna": 0, "ben": TOTAL}


def test_a_fixed_question_changes_only_its_own_scores_and_nothing_a_person_has_entered(classroom, monkeypatch):
    classroom.hand_in("anna", {FIRST: "wrong", SECOND: "right", THIRD: "half"})
    classroom.write_in_words("anna", "why_stability", "Because of the sign.")
    classroom.grade()
    with classroom.gradebook() as book:
        grade = book.find_grade("why_stability", LAB, LAB, "anna")
        grade.manual_score, grade.needs_manual_grade = 3.0, False
        book.find_grade(f"check_{SECOND}", LAB, LAB, "anna").extra_credit = 1.0
        book.find_comment("why_stability", LAB, LAB, "anna").manual_comment = "Which sign?"
        book.db.commit()
    before = classroom.grades("anna")

    def fixed(task):  # the question of the first exercise was wrong, not the answer
        return stand_in.work(run.Task(**vars(task) | {"content": task.content.replace(b"# wrong", b"# right")}))

    monkeypatch.setattr(batch, "fingerprint", lambda lab: "fixed")
    report = classroom.grade(work=fixed)
    assert f"{LAB} has changed since 1 were graded; they are graded again" in report.lines
    assert report.changed == {"anna": {FIRST: (0, POINTS[FIRST])}}
    after = classroom.grades("anna")
    assert after.pop(f"check_{FIRST}") == (POINTS[FIRST], None, False)
    before.pop(f"check_{FIRST}")
    assert after == before
    with classroom.gradebook() as book:
        assert book.find_comment("why_stability", LAB, LAB, "anna").comment == "Which sign?"
        assert book.find_grade(f"check_{SECOND}", LAB, LAB, "anna").extra_credit == 1.0


def test_only_the_students_that_are_named_are_graded(classroom):
    classroom.enrol("anna", "ben")
    for student in ("anna", "ben"):
        classroom.hand_in(student)
    report = classroom.grade(students=["ben", "nobody"])
    assert report.counts == {"graded": 1, "missing": 1}
    assert about(report, "nobody") == [f"nobody: there is no submission to {LAB}"]


def test_two_runs_of_one_lab_keep_out_of_each_others_way(classroom):
    classroom.hand_in("anna")
    with classroom.ledger.lock(), pytest.raises(ledger.Busy, match="another run is grading lab1_odes_sdes"):
        classroom.grade()
    assert classroom.grade().counts == {"graded": 1}


# ---- what goes wrong outside ----------------------------------------------------------------------------------------


def test_a_result_that_the_disk_does_not_take_is_reported_and_made_up_for(classroom, monkeypatch):
    for student in ("anna", "ben", "cleo"):
        classroom.hand_in(student)
    replace = ledger.write

    def full(path, content, mode=0o644):
        if path.name == "ben.json":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(path, content, mode)

    monkeypatch.setattr(ledger, "write", full)
    report = classroom.grade()
    assert about(report, "ben") == ["ben: the result could not be saved: No space left on device"]
    assert report.counts == {"graded": 2, "failed": 1}
    assert report.incomplete
    monkeypatch.undo()
    monkeypatch.setattr(run, "local", __import__("tests.classroom", fromlist=["inline"]).inline)
    report = classroom.grade()
    assert (report.graded_now, report.counts, report.incomplete) == (1, {"graded": 3}, False)


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mount"), reason="needs to mount a small disk")
def test_a_disk_that_is_really_full_is_reported_and_made_up_for(classroom):
    for i in range(12):
        classroom.hand_in(f"s{i:02}")
    classroom.enrol(*(f"s{i:02}" for i in range(12)))
    small = classroom.folder.run(LAB)
    small.mkdir(parents=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", small], capture_output=True).returncode:
        pytest.skip("this machine does not let root mount anything")
    try:
        report = classroom.grade()
        assert report.incomplete
        assert sum(report.counts.values()) == 12
        assert 0 < report.counts["failed"] < 12
        lines = [line for line in report.lines if "No space left on device" in line]
        assert len(lines) == report.counts["failed"] == len(set(lines))
        subprocess.run(["mount", "-o", "remount,size=50m", small], check=True)
        assert classroom.grade().counts == {"graded": 12}
        assert classroom.scores() == {f"s{i:02}": TOTAL for i in range(12)}
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_locked_gradebook_costs_no_result(classroom, monkeypatch):
    monkeypatch.setenv("COURSE_GRADEBOOK", f"sqlite:///{classroom.root}/gradebook.db?timeout=0.1")
    classroom.hand_in("anna")
    classroom.enrol("anna")
    other = sqlite3.connect(classroom.root / "gradebook.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    report = classroom.grade()
    line = "the gradebook cannot be used: another program holds it; what is graded is kept, and recorded by the same"
    assert [each for each in report.lines if each.startswith(line)]
    assert (report.counts, report.incomplete) == ({"graded": 1}, True)
    other.rollback()
    report = classroom.grade()
    assert (report.graded_now, report.incomplete) == (0, False)
    assert classroom.scores() == {"anna": TOTAL}


def test_a_gradebook_that_is_locked_while_grading_costs_no_result(classroom, monkeypatch):
    monkeypatch.setenv("COURSE_GRADEBOOK", f"sqlite:///{classroom.root}/gradebook.db?timeout=0.1")
    for student in ("anna", "ben"):
        classroom.hand_in(student)
    other = sqlite3.connect(classroom.root / "gradebook.db", isolation_level=None)

    def work(task):
        if not other.in_transaction:
            other.execute("BEGIN IMMEDIATE")
        return stand_in.work(task)

    report = classroom.grade(work=work)
    assert [line for line in report.lines if "the grades are kept" in line]
    assert report.incomplete
    other.rollback()
    assert classroom.grade().counts == {"graded": 2}
    assert classroom.scores() == {"anna": TOTAL, "ben": TOTAL}


def test_a_submission_that_cannot_be_read_now_is_read_later(classroom, monkeypatch):
    classroom.enrol("anna", "ben")
    for student in ("anna", "ben"):
        classroom.hand_in(student)
    find = ingest.find

    def broken(top, inner, lab):
        if inner[0] == "anna":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return find(top, inner, lab)

    monkeypatch.setattr(ingest, "find", broken)
    report = classroom.grade()
    assert about(report, "anna") == ["anna: the submission could not be read or kept: Input/output error"]
    assert (report.counts, report.incomplete) == ({"graded": 1, "failed": 1}, True)
    monkeypatch.setattr(ingest, "find", find)
    assert classroom.grade().counts == {"graded": 2}


def test_a_damaged_result_is_graded_again(classroom):
    classroom.hand_in("anna")
    classroom.grade()
    path = classroom.folder.run(LAB) / "results" / "anna.json"
    path.write_bytes(path.read_bytes()[:100])
    report = classroom.grade()
    assert about(report, "anna") == ["anna: the earlier result could not be read; graded again"]
    assert report.counts == {"graded": 1}


def test_a_mistake_of_the_graders_own_costs_one_submission_and_no_points(classroom):
    classroom.enrol("anna", "ben")
    classroom.hand_in("anna", {FIRST: "bug"})
    classroom.hand_in("ben")
    report = classroom.grade()
    assert about(report, "anna") == ["anna: could not be graded: ZeroDivisionError: a mistake of the grader's"]
    assert report.counts == {"graded": 1, "failed": 1}
    assert report.incomplete
    assert classroom.scores() == {"ben": TOTAL}


# ---- killed ---------------------------------------------------------------------------------------------------------

CLASS = {
    **{f"s{i:02}": dict(list(ALL_RIGHT.items())[:i]) for i in range(4)},
    "hint": {FIRST: "hint: mind the sign"},
    "none": {},
}


def fill(classroom: Classroom) -> None:
    for student, answers in CLASS.items():
        classroom.hand_in(student, answers)
    classroom.hand_in("unreadable", b"no notebook")


def killed_after(seconds: float, classroom: Classroom) -> None:
    """A run in a process of its own, killed after that time."""
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            classroom.grade()
        os._exit(0)
    time.sleep(seconds)  # the moment is what this is about
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_a_run_killed_at_any_of_20_moments_is_continued_to_the_same_grades(
    classroom, empty_gradebook, tmp_path, monkeypatch
):
    fill(classroom)
    start = time.monotonic()
    classroom.grade()
    whole = time.monotonic() - start
    undisturbed = classroom.everything()
    log = tmp_path / "log"
    monkeypatch.setenv("STAND_IN_LOG", str(log))
    chance = random.Random(1)
    for moment in range(20):
        other = Classroom(tmp_path / f"killed{moment}")
        shutil.copytree(classroom.root / "submitted", other.root / "submitted")
        shutil.copy(empty_gradebook, other.root)
        log.write_text("")
        killed_after(whole * chance.random(), other)
        report = other.grade()
        assert (report.counts, report.incomplete) == ({"graded": 6, "unreadable": 1}, False)
        assert other.everything() == undisturbed
        times = Counter(log.read_text().split())
        assert times.keys() == {*CLASS, "unreadable"}
        assert times.total() <= len(times) + 1  # at most the one that was being graded
        assert other.grade().graded_now == 0
        shutil.rmtree(other.root)


# ---- processes ------------------------------------------------------------------------------------------------------


def task(student: str, words: str = "right", **other) -> run.Task:
    import nbformat

    content = nbformat.writes(stand_in.write(LAB, {FIRST: words})).encode()
    return run.Task(student, LAB, content, "secret", folder.fingerprint(LAB), **other)


def test_a_process_that_dies_is_replaced_and_costs_nobody_else_anything():
    tasks = [task("a"), task("killer", "kill"), *(task(student) for student in "bcd")]
    outcomes = {outcome.student: outcome for outcome in LOCAL(iter(tasks), 2, stand_in.work)}
    assert outcomes.pop("killer") == run.Failure("killer", "its process died 2 times")
    assert {student: result.scores[FIRST] for student, result in outcomes.items()} == dict.fromkeys(
        "abcd", POINTS[FIRST]
    )
    alive = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    assert [child for child in alive if "spawn_main" in " ".join(child.cmdline())] == []


def test_a_machine_that_cannot_isolate_ends_the_run_at_once():
    with pytest.raises(NoIsolation, match="no walls"):
        list(LOCAL(iter([task("a", "no isolation"), task("b")]), 1, stand_in.work))


def test_a_process_with_another_version_of_the_lab_grades_nothing():
    other = run.Task("anna", LAB, b"", "secret", "another fingerprint")
    outcome = run._outcome(other, run.work)
    assert isinstance(outcome, run.Failure)
    assert "another version of lab1_odes_sdes" in outcome.why


# ---- a cluster ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A scheduler and two workers, each a process started as on a cluster: its address, and the workers."""
    pytest.importorskip("distributed")
    scratch = tmp_path_factory.mktemp("dask")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

    def start(*arguments):
        command = [sys.executable, "-m", "dask", *arguments, "--scheduler-file", str(scratch / "scheduler.json")]
        return subprocess.Popen(
            command, cwd=scratch, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    scheduler = start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
    options = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1"]
    workers = [start("worker", *options) for _ in range(2)]
    try:
        from distributed import Client

        deadline = time.monotonic() + 60
        while not (scratch / "scheduler.json").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        with Client(scheduler_file=str(scratch / "scheduler.json"), set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
            address = client.scheduler.address
        yield address, scheduler, workers
    finally:
        for process in (*workers, scheduler):
            process.kill()
            process.wait()


def test_a_cluster_that_loses_a_worker_in_the_middle_grades_everybody_once(classroom, cluster):
    address, _, workers = cluster
    for i in range(16):
        classroom.hand_in(f"s{i:02}", {FIRST: "right"})
    classroom.hand_in("bug", {FIRST: "bug"})
    saved, save = [], ledger.Ledger.save

    def save_and_kill(self, record):
        save(self, record)
        saved.append(record.result.student)
        if len(saved) == 5:
            workers[0].kill()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger.Ledger, "save", save_and_kill)
        report = classroom.grade(work=stand_in.slow, scheduler=address)
    assert workers[0].wait(10) == -signal.SIGKILL
    assert workers[1].poll() is None
    assert report.counts == {"graded": 16, "failed": 1}
    assert about(report, "bug") == ["bug: could not be graded: ZeroDivisionError: a mistake of the grader's"]
    assert sorted(saved) == [f"s{i:02}" for i in range(16)]
    assert classroom.scores() == {f"s{i:02}": POINTS[FIRST] for i in range(16)}


def test_a_cluster_that_goes_away_is_reported_and_the_same_command_goes_on(classroom, cluster):
    address, scheduler, _ = cluster
    for i in range(8):
        classroom.hand_in(f"s{i}", {FIRST: "right"})
    save = ledger.Ledger.save

    def save_and_kill(self, record):
        save(self, record)
        scheduler.kill()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger.Ledger, "save", save_and_kill)
        report = classroom.grade(work=stand_in.slow, scheduler=address)
    assert report.incomplete
    assert [line for line in report.lines if f"the scheduler at {address} is gone" in line]
    assert 0 < report.graded_now < 8
    report = classroom.grade()
    assert report.counts == {"graded": 8}


def test_no_scheduler_is_said_in_one_line(classroom, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(run, "PATIENCE", 1)
    classroom.hand_in("anna")
    report = classroom.grade(scheduler="tcp://127.0.0.1:1")
    assert report.incomplete
    assert [line for line in report.lines if line.startswith("no scheduler answers at tcp://127.0.0.1:1")]
