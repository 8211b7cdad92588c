"""The report on the grader's honesty: it counts what is judged as it should be, and names what is not."""

import dataclasses

import pytest

from autograder import honesty, reference
from autograder.misconceptions import misconceptions
from autograder.source import labs
from tests.unusual import unusual_solutions

LAB = "lab1_odes_sdes"


@pytest.fixture
def one_question(monkeypatch):
    """The lab, reduced to its first question, so that the report is quick."""
    judge = reference.reference(LAB)
    name, question = next(iter(judge.lab.questions.items()))
    monkeypatch.setattr(judge.lab, "questions", {name: question})
    return name


def test_a_grader_that_judges_well_is_told_so(one_question):
    row = honesty.examine(LAB, seeds=3)
    known, unusual = len(misconceptions(LAB, one_question)), len(unusual_solutions(LAB, one_question))
    expected = honesty.Row(LAB, known, known, known, unusual, unusual, 3, 0)
    assert row == expected


def test_whatever_is_judged_wrongly_is_counted_and_named(one_question, monkeypatch):
    verdict = honesty.verdict

    def upside_down(*given):
        found = verdict(*given)
        problems = {"all": "is wrong"} if found.right else {"all": None}
        return dataclasses.replace(found, problems=problems, hint="")

    monkeypatch.setattr(honesty, "verdict", upside_down)
    row = honesty.examine(LAB, seeds=2)
    assert (row.rejected, row.recognised, row.accepted, row.refused) == (0, 0, 0, 2)
    assert len(row.lines) == row.wrong + row.unusual + 2
    assert all(one_question in line for line in row.lines)


def test_attacks_are_counted_from_what_pytest_says(monkeypatch):
    said = (
        "PASSED tests/test_attacks.py::test_an_attack_gains_nothing[is empty]\n"
        "PASSED tests/test_attacks.py::test_an_attack_gains_nothing[sleeps for ever]\n"
        "FAILED tests/test_attacks.py::test_an_attack_gains_nothing[kills everybody] - assert 1 == 2\n"
    )
    monkeypatch.setattr(honesty.subprocess, "run", lambda *a, **k: type("Done", (), {"stdout": said}))
    assert list(honesty.attacks()) == [
        "the attack 'kills everybody' was not defeated",
        "attacks, each between two honest submissions: 3, defeated: 2",
    ]


@pytest.mark.parametrize(("lines", "status"), [([], 0), (["a mistake"], 1)])
def test_the_command_prints_a_row_per_lab_and_fails_if_anything_is_wrong(monkeypatch, capsys, lines, status):
    monkeypatch.setattr(honesty, "examine", lambda lab, seeds: honesty.Row(lab, lines=lines))
    monkeypatch.setattr("sys.argv", ["honesty", "--no-attacks"])
    assert honesty.main() == status
    printed = capsys.readouterr().out
    assert all(lab in printed for lab in labs())
    assert printed.count("a mistake") == (len(labs()) if lines else 0)
