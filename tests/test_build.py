"""The build: deterministic, nothing stale, nothing that belongs to the solution in what students get."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from autograder import LABS, ROOT, SOLUTIONS, build
from autograder import source as sources
from autograder.misconceptions import misconceptions
from autograder.source import SourceError, labs, read_source
from course.checking.lab import load
from tests.checkout import copy_checkout

LAB_NAMES = labs()


def release(lab):
    return nbformat.read(LABS / lab / f"{lab}.ipynb", as_version=4)


def solution(lab):
    return nbformat.read(SOLUTIONS / lab / f"{lab}.ipynb", as_version=4)


@pytest.mark.parametrize("lab", LAB_NAMES)
def test_nothing_generated_is_stale(lab):
    assert build.stale(lab) == []


@pytest.mark.parametrize("lab", LAB_NAMES)
def test_reading_a_source_twice_gives_the_same_notebook(lab):
    assert nbformat.writes(read_source(lab)) == nbformat.writes(read_source(lab))


@pytest.mark.parametrize("lab", LAB_NAMES)
def test_the_executed_solution_is_its_source_with_outputs(lab):
    executed, source = solution(lab), read_source(lab)
    assert [(c.id, c.cell_type, c.source, c.metadata) for c in executed.cells] == [
        (c.id, c.cell_type, c.source, c.metadata) for c in source.cells
    ]
    assert all(c.execution_count for c in executed.cells if c.cell_type == "code")
    assert not any(o.output_type == "error" for c in executed.cells for o in c.get("outputs", []))


@pytest.mark.parametrize("lab", LAB_NAMES)
def test_every_check_of_the_executed_solution_is_right(lab):
    checks = [cell for cell in solution(lab).cells if cell.source.startswith("check(")]
    assert len(checks) >= 12
    for cell in checks:
        assert [output.data["text/plain"] for output in cell.outputs] == [f"✓ {cell.source[6:-1]}: right"]


@pytest.mark.parametrize("lab", LAB_NAMES)
def test_the_student_gets_no_outputs(lab):
    for cell in release(lab).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def code_lines(source):
    """The lines of a text that say something: long enough not to be found everywhere."""
    return {line.strip() for line in source.splitlines() if len(line.strip()) > 12}


def solution_lines(lab):
    """The lines inside solution regions and model answers that stand nowhere else in the source."""
    inside, outside = set(), set()
    for cell in read_source(lab).cells:
        marks = cell.metadata.get("nbgrader", {})
        if cell.cell_type == "markdown":
            (inside if marks.get("solution") else outside).update(code_lines(cell.source))
            continue
        for i, part in enumerate(re.split(r"### (?:BEGIN|END) SOLUTION", cell.source)):
            (inside if i % 2 else outside).update(code_lines(part))
    return inside, outside


@pytest.mark.parametrize("lab", LAB_NAMES)
def test_the_student_gets_no_line_of_a_solution_and_no_misconception(lab):
    files = [path.read_text() for path in (LABS / lab).rglob("*") if path.is_file()]
    text = "\n".join(cell.source for cell in release(lab).cells)
    inside, outside = solution_lines(lab)
    assert len(inside) > 20
    given = code_lines(text)
    assert (inside - outside) & given == set()
    for exercise in load(lab).questions:
        for function, hint in misconceptions(lab, exercise):
            wrong = {line for line in code_lines(inspect.getsource(function)) if line.startswith(("return ", "def "))}
            assert all(hint not in content for content in files)
            assert (wrong - outside) & given == set()
    assert "SOLUTION" not in text
    assert "ubric" not in text


@pytest.mark.parametrize("lab", LAB_NAMES)
def test_the_student_gets_the_notebook_alone(lab):
    assert [path.name for path in (LABS / lab).iterdir() if not path.name.startswith(".")] == [f"{lab}.ipynb"]


@pytest.mark.parametrize("lab", LAB_NAMES)
def test_every_exercise_leaves_the_idea_to_the_student(lab):
    for cell in release(lab).cells:
        marks = cell.metadata.get("nbgrader", {})
        if marks.get("solution") and cell.cell_type == "code":
            assert "raise NotImplementedError" in cell.source
            assert '"""' in cell.source
        if marks.get("solution") and cell.cell_type == "markdown":
            assert cell.source == "YOUR ANSWER HERE"


@pytest.mark.parametrize("lab", LAB_NAMES)
def test_every_question_has_its_exercise_and_its_check(lab):
    cells = release(lab).cells
    defined = [c.metadata.nbgrader.grade_id for c in cells if c.metadata.get("nbgrader", {}).get("solution")]
    checked = [c.source[6:-1] for c in cells if c.source.startswith("check(")]
    assert checked == list(load(lab).questions)
    assert set(checked) <= set(defined)


@pytest.mark.parametrize("lab", LAB_NAMES)
def test_every_exercise_has_three_hints_before_it(lab):
    hints = 0
    for cell in release(lab).cells:
        hints += cell.source.count("<summary>") if cell.cell_type == "markdown" else 0
        if cell.metadata.get("nbgrader", {}).get("solution") and cell.cell_type == "code":
            assert hints >= 3, cell.metadata.nbgrader.grade_id
            hints = 0


@pytest.mark.parametrize("lab", LAB_NAMES)
def test_cells_are_short_and_outputs_small(lab):
    assert (SOLUTIONS / lab / f"{lab}.ipynb").stat().st_size < 2_000_000
    for cell in read_source(lab).cells:
        if cell.cell_type == "code":
            assert len(cell.source.splitlines()) <= 40, cell.source


@pytest.mark.parametrize("lab", LAB_NAMES)
def test_every_figure_says_in_words_what_it_shows(lab):
    images = [o for c in solution(lab).cells for o in c.get("outputs", []) if "image/png" in o.get("data", {})]
    assert images
    for output in images:
        assert len(output.metadata["image/png"]["alt"]) > 20


def test_no_solution_file_is_copied_to_students(tmp_path):
    """The folder that nbgrader copies from holds the text source: it must be ignored."""
    (tmp_path / "labs").mkdir()
    lab = LAB_NAMES[0]
    build._generate(lab, tmp_path / "labs", str(tmp_path))
    assert [path.name for path in (tmp_path / "labs" / lab).iterdir()] == [f"{lab}.ipynb"]


# ---- bad sources ----------------------------------------------------------------------------------------------------

HEAD = """---
jupytext:
  text_representation:
    format_name: myst
kernelspec:
  display_name: Python 3
  name: python3
---

"""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("```{code-cell}\n### BEGIN SOLUTION\nx = 1\n### END SOLUTION\n```", "must define a function"),
        ("```{code-cell}\n:points: 2\n\nprint(1)\n```", "must be check\\(name\\) alone"),
        ('+++ {"question": "why"}\n\nBecause.', "must be a markdown cell with points"),
        ("```{code-cell}\n:points: 1\n\ncheck(f)\n```\n\n```{code-cell}\n:points: 1\n\ncheck(f)\n```", "two cells"),
    ],
)
def test_a_source_that_breaks_the_rules_is_refused(text, sentence, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "SOLUTIONS", tmp_path)
    (tmp_path / "lab9_x").mkdir()
    (tmp_path / "lab9_x" / "lab9_x.md").write_text(HEAD + text + "\n")
    with pytest.raises(SourceError, match=sentence):
        read_source("lab9_x")


def test_an_unknown_lab_is_named_and_nothing_is_built():
    done = subprocess.run(
        [sys.executable, "-m", "autograder.build", "lab99"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == "build: there is no lab called 'lab99': solutions/lab99/lab99.md does not exist\n"


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A copy of the checkout to break."""
    return copy_checkout(tmp_path)


def check_for_staleness(checkout):
    command = [sys.executable, "-m", "autograder.build", "--check"]
    done = subprocess.run(
        command,
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": "."},
    )
    return done.returncode, done.stdout


def test_a_change_of_the_source_or_of_a_module_it_uses_is_noticed(checkout):
    lab = LAB_NAMES[0]
    path = checkout / "solutions" / lab / f"{lab}.md"
    path.write_text(path.read_text() + "\nOne more sentence.\n")
    solvers = checkout / "course" / "solvers.py"
    solvers.write_text(solvers.read_text() + "\n# changed\n")
    status, out = check_for_staleness(checkout)
    assert status == 1
    assert f"solutions/{lab}/{lab}.ipynb is stale: its source changed" in out


def test_outputs_are_kept_where_only_words_have_changed_and_not_where_code_has(checkout, monkeypatch):
    monkeypatch.setattr(sources, "SOLUTIONS", checkout / "solutions")
    monkeypatch.setattr(build, "SOLUTIONS", checkout / "solutions")
    lab = LAB_NAMES[0]
    path = checkout / "solutions" / lab / f"{lab}.md"
    text = path.read_text()
    path.write_text(text + "\nOne more sentence.\n")
    kept = build.with_kept_outputs(lab)
    before = solution(lab)
    assert "One more sentence." in kept.cells[-1].source
    assert [c.get("outputs") for c in kept.cells if c.cell_type == "code"] == [
        c.get("outputs") for c in before.cells if c.cell_type == "code"
    ]
    assert kept.metadata.built_from["source"] != before.metadata.built_from["source"]
    path.write_text(text.replace("return x + h * u(x, t)\n", "return x + u(x, t) * h\n"))
    assert build.with_kept_outputs(lab) is None
    path.write_text(text)
    monkeypatch.setattr(build, "_digest", lambda path: "another")
    assert build.with_kept_outputs(lab) is None


def test_a_solution_that_answers_otherwise_makes_the_stored_answers_stale(checkout):
    lab = LAB_NAMES[0]
    path = checkout / "solutions" / lab / f"{lab}.md"
    before = path.read_text()
    path.write_text(before.replace("return x + h * u(x, t)\n", "return x + 2 * h * u(x, t)\n"))
    assert path.read_text() != before
    _, out = check_for_staleness(checkout)
    assert f"course/checking/answers/{lab}.npz is stale: euler_step" in out
