"""Every question of every lab, under secrets that nobody has seen: right solutions pass, typical mistakes are named."""

import pytest

from autograder.honesty import verdict
from autograder.misconceptions import misconceptions
from autograder.reference import reference
from autograder.source import checked_exercise, labs, read_source, tags
from course.checking.lab import PUBLIC, load
from course.checking.reply import pack, unpack
from tests import submissions
from tests.unusual import unusual_solutions

SECRETS = [f"secret {i}" for i in range(10)]
GRADED = [(lab, exercise) for lab in labs() for cell in read_source(lab).cells if (exercise := checked_exercise(cell))]
ASKED = [(lab, exercise) for lab in labs() for exercise in load(lab).questions]
WRONG = [
    pytest.param(lab, exercise, function, hint, id=f"{exercise}-{function.__name__}")
    for lab, exercise in ASKED
    for function, hint in misconceptions(lab, exercise)
]
RIGHT = [
    pytest.param(lab, exercise, function, id=f"{exercise}-{function.__name__}")
    for lab, exercise in ASKED
    for function in unusual_solutions(lab, exercise)
]


@pytest.mark.parametrize(("lab", "exercise"), ASKED)
def test_the_solution_is_right_under_a_hundred_secrets(lab, exercise):
    solution = reference(lab).namespace[exercise]
    for i in range(100):
        given = unpack(pack(reference(lab).ask(solution, exercise, f"secret {i}")))
        assert reference(lab).verdict(exercise, f"secret {i}", given).right, i


@pytest.mark.parametrize(("lab", "exercise", "function", "hint"), WRONG)
def test_a_misconception_is_rejected_and_recognised(lab, exercise, function, hint):
    for seed in [PUBLIC, *SECRETS]:
        found = verdict(lab, exercise, function, seed)
        assert not found.right, seed
        assert found.hint == hint, seed


@pytest.mark.parametrize(("lab", "exercise", "function"), RIGHT)
def test_an_unusual_solution_is_accepted(lab, exercise, function):
    for seed in [PUBLIC, *SECRETS]:
        assert verdict(lab, exercise, function, seed).lines == [f"✓ {exercise}: right"], seed


@pytest.mark.parametrize(("lab", "exercise"), GRADED)
def test_every_graded_exercise_has_its_misconceptions_and_unusual_solutions(lab, exercise):
    assert len(misconceptions(lab, exercise)) >= 3
    assert len(unusual_solutions(lab, exercise)) >= 2


@pytest.mark.parametrize(("lab", "exercise"), GRADED)
def test_an_exercise_earns_its_points_though_no_other_one_is_solved(lab, exercise):
    namespace = {}
    for cell in submissions.fill(submissions.released(lab), {exercise: submissions.answers(lab)[exercise]}).cells:
        if cell.cell_type == "code" and not tags(cell) & {"see", "train"} and not cell.source.startswith("check("):
            exec(cell.source, namespace)
    assert verdict(lab, exercise, namespace[exercise], "alone").right


@pytest.mark.parametrize(("lab", "exercise"), ASKED)
def test_different_secrets_ask_for_different_answers(lab, exercise):
    """A stored answer is worth nothing: except for questions with yes-or-no answers, whose order is drawn."""
    packed = {pack(reference(lab).expected(exercise, seed)) for seed in [PUBLIC, *SECRETS]}
    assert len(packed) > 1
