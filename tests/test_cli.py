"""The command `autograder`: what it prints, what it ends with, and a whole run of it with the real grader."""

import csv
import functools
import json
import os
import shlex
import signal
import subprocess
import sys
import time
import tomllib

import nbformat
import psutil
import pytest
from click.testing import CliRunner

from autograder import ROOT, batch, cli, grade
from autograder.result import NoIsolation
from tests import stand_in, submissions
from tests.classroom import FIRST, LAB, POINTS, SECOND, TOTAL


@pytest.fixture
def command(classroom, monkeypatch):
    """The command in the classroom, with the stand-in for the grader."""
    monkeypatch.setattr(batch, "grade_lab", functools.partial(batch.grade_lab, work=stand_in.work))

    def run_command(*arguments):
        return CliRunner().invoke(cli.main, ["--course", str(classroom.root), *map(str, arguments)])

    return run_command


def test_a_class_is_graded_in_one_command_that_says_how_it_went(classroom, command):
    classroom.enrol("anna", "ben")
    classroom.hand_in("anna")
    done = command("grade", LAB)
    assert done.exit_code == 0, done.output
    assert f"{LAB}: 2 people: 1 graded, 1 missing (1 graded in " in done.stdout
    done = command("grade", LAB)
    assert f"{LAB}: 2 people: 1 graded, 1 missing (nothing new to grade)" in done.stdout


@pytest.mark.parametrize(
    ("answers", "status"),
    [({FIRST: "wrong"}, 0), (b"no notebook", 1), ({FIRST: "bug"}, 3), ({FIRST: "no isolation"}, 4)],
)
def test_the_exit_status_says_what_is_to_be_done(classroom, command, answers, status):
    classroom.hand_in("anna", answers)
    assert command("grade", LAB).exit_code == status


def test_somebody_who_is_not_on_the_roster_asks_for_a_look(classroom, command):
    classroom.enrol("anna")
    classroom.hand_in("zoe")
    done = command("grade", LAB)
    assert done.exit_code == 1
    assert "zoe: not on the roster" in done.stdout
    assert command("grade", LAB, "--enrol").exit_code == 0


def test_without_isolation_the_command_says_what_is_missing_and_what_it_takes(classroom, command):
    classroom.hand_in("anna", {FIRST: "no isolation"})
    done = command("grade", LAB)
    assert "this machine has no walls" in done.stderr
    assert "--unsafe" in done.stderr


def test_a_run_stopped_by_hand_says_so_and_goes_on_later(classroom, command, monkeypatch):
    for student in ("anna", "ben"):
        classroom.hand_in(student)

    def stopped(task):
        if task.student == "ben":
            raise KeyboardInterrupt
        return stand_in.work(task)

    with monkeypatch.context() as patch:
        patch.setattr(batch, "grade_lab", functools.partial(batch.grade_lab.func, work=stopped))
        done = command("grade", LAB)
    assert done.exit_code == 130
    assert "stopped; what is graded is kept" in done.stderr
    assert "(1 graded in " in command("grade", LAB).stdout


def test_grade_and_status_speak_json(classroom, command):
    classroom.enrol("anna", "ben")
    classroom.hand_in("anna", b"no notebook")
    done = command("grade", LAB, "--json")
    facts = json.loads(done.stdout)
    assert done.exit_code == 1
    assert (facts["counts"], facts["graded_now"]) == ({"unreadable": 1, "missing": 1}, 1)
    found = json.loads(command("status", "--json").stdout)[LAB]
    assert (found["people"], found["counts"]) == (2, {"unreadable": 1, "missing": 1})
    assert "anna: not a notebook" in found["lines"]


def test_status_says_what_waits_for_a_person_and_what_is_not_recorded(classroom, command, monkeypatch):
    assert command("status").stdout == "nothing was graded yet\n"
    classroom.hand_in("anna")
    classroom.write_in_words("anna", "why_stability", "Because.")
    command("grade", LAB)
    classroom.enrol("ben")
    classroom.hand_in("ben")
    monkeypatch.setattr(batch, "_record", lambda *arguments: None)
    command("grade", LAB)
    text = command("status", LAB).stdout
    assert "1 wait for a person to mark written answers" in text
    assert f"1 are not in the gradebook yet: autograder grade {LAB}" in text


def test_a_score_that_changes_is_named(classroom, command):
    classroom.hand_in("anna", {FIRST: "wrong"})
    command("grade", LAB)
    classroom.hand_in("anna", {FIRST: "right"})
    assert f"anna: {FIRST} was 0, is {POINTS[FIRST]:g}" in command("grade", LAB).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["grade", "lab99"], "there is no lab called 'lab99'; the labs are lab1_odes_sdes"),
        (["grade", "lab1"], "did you mean lab1_odes_sdes?"),
        (["status", "lab99"], "there is no lab called 'lab99'"),
        (["grade", LAB, "--from", "nowhere.zip"], "does not exist"),
        (["grade", LAB, "--roster", __file__], "has no column for the students' ids"),
        (["grade", LAB, "--from", __file__], "is neither a folder nor a zip file"),
        (["grade", LAB, "-n", "0"], "is not in the range x>=1"),
        (["export", LAB, "--to", "abacus"], "is not one of"),
    ],
)
def test_a_wrong_command_line_is_answered_in_a_sentence(command, arguments, said):
    done = command(*arguments)
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.output


def test_grades_are_exported_for_everybody_on_the_roster(classroom, command, tmp_path):
    classroom.enrol("anna", "ben")
    classroom.hand_in("anna", {FIRST: "right"})
    command("grade", LAB)
    for to, column in (("nbgrader", "score"), ("canvas", "Lab 1"), ("moodle", "Lab 1")):
        path = tmp_path / f"{to}.csv"
        done = command("export", LAB, "--to", to, "-o", path, "--column", "Lab 1")
        assert (done.exit_code, done.stdout.strip()) == (0, str(path))
        with open(path) as file:
            scores = [float(row[column]) for row in csv.DictReader(file) if "Points" not in row.get("Student", "")]
        assert scores == [POINTS[FIRST], 0.0]
    assert command("export", LAB, "--to", "gradescope", "-o", tmp_path / "results").exit_code == 0
    assert json.loads((tmp_path / "results" / "anna" / "results.json").read_text())["score"] == POINTS[FIRST]


def test_an_export_that_cannot_be_written_is_said_in_a_line(classroom, command, tmp_path):
    done = command("export", LAB, "-o", tmp_path / "no folder" / "grades.csv")
    assert done.exit_code == 3
    assert "could not be written: No such file or directory" in done.stderr


def test_statistics_are_a_table_a_figure_and_json(classroom, command, tmp_path):
    classroom.hand_in("anna", {FIRST: "hint: mind the sign", SECOND: "right"})
    command("grade", LAB)
    done = command("stats", LAB, "--figure", tmp_path / "stats.png")
    assert "     1  mind the sign" in done.stdout
    assert (tmp_path / "stats.png").read_bytes().startswith(b"\x89PNG")
    first, second, *_ = json.loads(command("stats", LAB, "--json").stdout)
    assert (first["misconceptions"], second["right"]) == ({"mind the sign": 1}, 1)


def test_build_says_what_is_stale_by_the_builds_own_words(command):
    done = CliRunner().invoke(cli.main, ["build", "--check", "lab99"])
    assert done.exit_code == 1


def test_the_grade_extra_installs_the_command():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"autograder": "autograder.cli:main"}
    assert any(package.startswith("click") for package in project["optional-dependencies"]["grade"])


def commands_of_the_page():
    lines = (ROOT / "site" / "instructor.md").read_text().splitlines()
    return [line.partition("#")[0].strip() for line in lines if line.startswith("    autograder ")]


@pytest.mark.parametrize("line", commands_of_the_page())
def test_every_command_of_the_instructors_page_is_understood(line, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("roster.csv", "submissions.zip"):
        (tmp_path / name).touch()
    called = []
    for name, known in cli.main.commands.items():
        monkeypatch.setattr(known, "callback", lambda *arguments, name=name, **options: called.append(name))
    done = CliRunner().invoke(cli.main, shlex.split(line)[1:])
    assert done.exit_code == 0, done.output
    assert called == ([] if "--help" in line else [line.split()[1]])


# ---- the real thing -------------------------------------------------------------------------------------------------

STUDENTS = {"perfect": TOTAL, "half": sum(list(POINTS.values())[::2]), "untouched": 0, "patched": 0, "noisy": TOTAL}


def autograder(classroom, *arguments, **options):
    environment = {key: value for key, value in os.environ.items() if key != "COURSE_GRADEBOOK"}
    command = [sys.executable, "-m", "autograder.cli", "--course", str(classroom.root), *arguments]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
    return subprocess.Popen(command, cwd=ROOT, env=environment | {"PYTHONPATH": str(ROOT)}, **options)


def said(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, out + err
    return out


def test_a_real_run_that_is_killed_leaves_no_process_and_is_continued_to_feedback(classroom):
    for student in STUDENTS:
        nbformat.write(getattr(submissions, student)(LAB), classroom.place(student))
    first = autograder(classroom, "grade", LAB, "-n", "1")
    results = classroom.folder.run(LAB) / "results"
    while first.poll() is None and not list(results.glob("[!.]*.json")):
        time.sleep(0.02)
    family = psutil.Process(first.pid).children(recursive=True)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert psutil.wait_procs(family, timeout=20)[1] == []
    assert 0 < len(list(results.glob("[!.]*.json"))) < len(STUDENTS)
    report = json.loads(said(autograder(classroom, "grade", LAB, "-n", "2", "--json")))
    assert report["counts"] == {"graded": len(STUDENTS)}
    assert 0 < report["graded_now"] < len(STUDENTS)
    assert classroom.scores() == STUDENTS
    assert f"{len(STUDENTS)} pages" in said(autograder(classroom, "feedback", LAB))
    page = (classroom.root / "feedback" / "half" / LAB / f"{LAB}.html").read_text()
    assert f"{FIRST}: right" in page
    assert f"{SECOND}: it is not written yet" in page


def test_a_machine_without_isolation_is_asked_before_anything_runs(classroom, monkeypatch):
    """NoIsolation comes from the first submission that is tried; nothing has been graded by then."""

    def refuse(*arguments, **options):
        raise NoIsolation("user namespaces are switched off")

    monkeypatch.setattr(grade, "grade", refuse)
    classroom.hand_in("anna")
    with pytest.raises(NoIsolation, match="switched off"):
        batch.grade_lab(classroom.folder, LAB, batch.Options(quiet=True))
    assert list(classroom.ledger.records()) == []
