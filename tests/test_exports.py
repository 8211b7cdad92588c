"""Grades as other systems want them, statistics, and Gradescope's autograder run as Gradescope runs it."""

import csv
import dataclasses
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

from autograder import export, gradescope, stats
from autograder.export import Row
from autograder.folder import NoLab
from autograder.result import Result
from autograder.roster import Person
from course.plotting import png
from tests import submissions
from tests.classroom import FIRST, LAB, POINTS, SECOND, THIRD, TOTAL

EVIL = '=HYPERLINK("http://evil", "click")'
ROWS = [
    Row(Person("ada", "Ada", "Lovelace", "ada@example.org", "101"), LAB, "graded", 41.5, 10.0, 60.0),
    Row(Person("bo", "Bo", 'Smith, Jr.\n"B"', "", ""), LAB, "missing", 0.0, 0.0, 60.0),
    Row(Person("@eve", EVIL, "-2+3", "+1", ""), LAB, "graded", 60.0, 0.0, 60.0),
]


def read(text):
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("writer", [export.nbgrader, export.canvas, export.moodle])
def test_no_cell_is_a_formula_and_every_text_is_quoted(writer):
    text = writer(ROWS)
    for row in csv.reader(io.StringIO(text)):
        assert not [cell for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert '"\'@eve"' in text


def test_nbgraders_csv_has_the_columns_of_nbgraders_own_export_and_a_row_for_everybody():
    rows = read(export.nbgrader(ROWS))
    assert [row["student_id"] for row in rows] == ["ada", "bo", "'@eve"]
    own = "assignment duedate timestamp student_id last_name first_name email raw_score late_submission_penalty score"
    assert list(rows[0]) == [*own.split(), "max_score", "status"]
    assert (rows[0]["raw_score"], rows[0]["score"], rows[0]["max_score"]) == ("41.5", "31.5", "60.0")
    assert rows[1]["last_name"] == 'Smith, Jr.\n"B"'


def test_canvas_finds_the_student_and_the_assignment():
    points, ada, *_ = read(export.canvas(ROWS, "Lab 1 (7)"))
    assert (points["Student"].strip(), points["Lab 1 (7)"]) == ("Points Possible", "60.0")
    assert (ada["Student"], ada["ID"], ada["SIS Login ID"], ada["Lab 1 (7)"]) == ("Lovelace, Ada", "101", "ada", "31.5")


def test_moodle_finds_the_student_by_any_of_its_names():
    ada, *_ = read(export.moodle(ROWS))
    assert (ada["Username"], ada["Email address"], ada[LAB]) == ("ada", "ada@example.org", "31.5")


def test_a_penalty_never_makes_a_score_negative():
    assert dataclasses.replace(ROWS[0], penalty=100.0).score == 0


# ---- statistics -----------------------------------------------------------------------------------------------------


def result(student="anna", status="graded", **met):
    said = dict.fromkeys(POINTS, "right") | met
    scores = {name: POINTS[name] if said[name] == "right" else 0.0 for name in POINTS}
    return Result(student, LAB, status, scores, "", "0" * 64, said, 1.0, "")


CLASS = [
    result(),
    result(**{FIRST: "mind the sign"}),
    result(**{FIRST: "mind the sign", SECOND: "open"}),
    result(**{FIRST: "half a step", SECOND: "wrong", THIRD: "stopped"}),
    result(status="unreadable"),
]


def test_every_question_says_how_many_passed_and_which_misconceptions_were_met_how_often():
    first, second, third, *rest = stats.items(CLASS, POINTS)
    assert (first.asked, first.met["right"], first.mean) == (4, 1, 0.25)
    assert first.recognised == [("mind the sign", 2), ("half a step", 1)]
    assert (second.met["open"], second.met["wrong"], second.recognised) == (1, 1, [])
    assert third.met["stopped"] == 1
    assert all(item.met["right"] == 4 for item in rest)
    text = stats.table([first, second, third])
    assert "     2  mind the sign" in text
    assert [line.split()[2:4] for line in text.splitlines() if line.startswith(FIRST)] == [["1", "25%"]]


@pytest.mark.parametrize(
    ("results", "title"),
    [(CLASS, f"{FIRST} was solved least often, by 1 of 4"), (CLASS[:1], "everybody solved"), ([], "nothing is graded")],
)
def test_the_figure_says_what_was_found(results, title):
    statistics = stats.items(results, POINTS)
    fig = stats.draw(LAB, statistics)
    assert title in fig.axes[0].get_title(loc="left")
    image = np.asarray(Image.open(io.BytesIO(png(fig))).convert("RGB"))
    assert image.shape[1] <= 900


# ---- Gradescope -----------------------------------------------------------------------------------------------------


@pytest.fixture
def container(tmp_path) -> Path:
    """What Gradescope has in /autograder when a submission has come in; `setup.sh` has run, but for the download."""
    base = tmp_path / "autograder"
    with zipfile.ZipFile(io.BytesIO(gradescope.archive(LAB, unsafe=True))) as archive:
        archive.extractall(base / "source")
    (base / "source" / ".venv").symlink_to(sys.prefix)
    (base / "submission").mkdir()
    (base / "results").mkdir()
    script = base / "run_autograder"
    script.write_text((base / "source" / "run_autograder").read_text())
    script.chmod(0o755)
    about = {"id": 1, "users": [{"id": 77, "email": "ada@example.org", "name": "Ada"}]}
    (base / "submission_metadata.json").write_text(json.dumps(about))
    return base


def run(base: Path) -> subprocess.CompletedProcess:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(["./run_autograder"], cwd=base, env=environment, capture_output=True, text=True, check=False)


def results(base: Path) -> dict:
    return json.loads((base / "results" / "results.json").read_text())


def test_gradescopes_autograder_grades_a_submission(container):
    nbformat.write(submissions.half(LAB), container / "submission" / "lab1 (2).ipynb")
    done = run(container)
    assert done.returncode == 0, done.stderr
    found = results(container)
    solved = list(POINTS)[::2]
    assert found["score"] == sum(POINTS[name] for name in solved)
    assert {test["name"].partition(":")[0]: test["score"] for test in found["tests"]} == {
        name: POINTS[name] if name in solved else 0 for name in POINTS
    }
    passed, failed, *_ = found["tests"]
    assert (passed["status"], passed["output"]) == ("passed", f"✓ {FIRST}: right")
    assert (failed["status"], failed["max_score"]) == ("failed", POINTS[SECOND])
    assert "not written yet" in failed["output"]
    assert str(container) not in json.dumps(found)


def test_gradescope_says_when_there_is_nothing_to_grade(container):
    (container / "submission" / "essay.pdf").write_bytes(b"%PDF")
    done = run(container)
    assert done.returncode == 0, done.stderr
    assert results(container)["score"] == 0
    assert "No notebook was submitted" in results(container)["output"]


def test_the_archive_holds_what_grading_this_lab_needs_and_nothing_of_the_instructors():
    with zipfile.ZipFile(io.BytesIO(gradescope.archive(LAB))) as archive:
        names = set(archive.namelist())
        scripts = {name: archive.getinfo(name).external_attr >> 16 for name in ("setup.sh", "run_autograder")}
        run_autograder = archive.read("run_autograder").decode()
    assert {f"solutions/{LAB}/{LAB}.md", f"labs/{LAB}/{LAB}.ipynb", "secret", "constraints.txt"} <= names
    assert not [name for name in names if "gradebook.db" in name or "/runs/" in name or "submitted" in name]
    assert {name.split("/")[1] for name in names if name.startswith("solutions/")} == {LAB}
    assert all(mode & 0o111 for mode in scripts.values())
    assert "--unsafe" not in run_autograder


@pytest.mark.parametrize("script", ["setup.sh", "run_autograder"])
def test_the_scripts_are_ones_that_bash_understands(script):
    with zipfile.ZipFile(io.BytesIO(gradescope.archive(LAB))) as archive:
        done = subprocess.run(["bash", "-n"], input=archive.read(script), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_there_is_no_archive_of_a_lab_that_does_not_exist():
    with pytest.raises(NoLab, match="there is no lab called 'lab99'"):
        gradescope.archive("lab99")


def test_a_total_of_gradescopes_is_the_sum_of_its_tests():
    found = json.loads(export.gradescope(CLASS[3], POINTS))
    assert found["score"] == sum(test["score"] for test in found["tests"])
    assert sum(test["max_score"] for test in found["tests"]) == TOTAL
