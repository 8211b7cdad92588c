"""The engine behind the checks: draws, replies, their bytes, the comparison, the verdict in words, the progress."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell

from course.checking import Lab, progress, unwritten
from course.checking import lab as engine
from course.checking.compare import compare
from course.checking.draw import Draw
from course.checking.reply import MAX_BYTES, Array, Other, Reply, call, leaves, pack, unpack
from course.checking.verdict import CheckFailed, Misconception, Verdict, judge


def reply(value):
    return Reply(value=value).frozen()


def there_and_back(value):
    return unpack(pack({"case": reply(value)}))["case"].value


# ---- draws ----------------------------------------------------------------------------------------------------------


def test_the_same_seed_draws_the_same_and_another_seed_something_else():
    def drawn(seed):
        draw = Draw(seed)
        return torch.cat([draw.normal(3), draw.uniform_tensor(3), draw.grid(4), torch.tensor([draw.uniform()])])

    assert torch.equal(drawn("a"), drawn("a"))
    assert not torch.equal(drawn("a"), drawn("b"))


def test_draws_do_not_change_between_versions_and_platforms():
    # the stored answers were computed with these numbers
    assert Draw("public").normal(3, dtype=torch.float64).tolist() == pytest.approx(PUBLIC_NORMALS, abs=1e-12)
    assert Draw("public").shuffled("abcdef") == list(PUBLIC_SHUFFLE)


PUBLIC_NORMALS = [-0.15110204205928449, 0.3480200938538728, 1.2064156077087690]
PUBLIC_SHUFFLE = "dfbaec"


def test_a_drawn_grid_increases_from_start_to_stop_in_uneven_steps():
    grid = Draw("grid").grid(20, start=-1.0, stop=2.0, dtype=torch.float64)
    steps = grid.diff()
    assert grid.shape == (21,)
    assert grid[0] == -1
    assert grid[-1] == pytest.approx(2.0)
    assert steps.min() > 0
    assert 1.5 < steps.max() / steps.min() <= 3


# ---- calling and freezing -------------------------------------------------------------------------------------------


def test_an_exception_becomes_part_of_the_reply_with_the_students_own_line():
    def student(x):
        return x.no_such_thing

    answer = call(student, 3)
    assert answer.error == "AttributeError: 'int' object has no attribute 'no_such_thing'"
    assert "return x.no_such_thing" in answer.where


@pytest.mark.parametrize(
    "student",
    [
        lambda: json.loads("{"),
        lambda: np.linalg.inv(np.ones((2, 3))),
        lambda: torch.nn.functional.linear(torch.ones(2), torch.ones(3, 3)),
        lambda: Draw(None),
    ],
)
def test_the_line_is_the_students_own_wherever_the_exception_comes_from(student):
    assert ": lambda: " in call(student).where


def test_where_no_line_is_the_students_own_none_is_shown():
    assert call(json.loads, "{").where is None
    assert call(eval, "1 / 0").where is None  # compiled from a string, which nobody can look up


def test_what_explodes_when_it_is_looked_at_is_an_answer_like_any_other():
    class Bomb(Exception):
        def __str__(self):
            raise SystemExit

        __hash__ = object.__hash__

    def student():
        raise Bomb

    class Lazy(dict):
        def items(self):
            raise Bomb

    assert call(student).error == "Bomb"
    assert reply({Bomb(): 1}).value == Other("dict")
    assert reply(Lazy(a=1)).value == Other("Lazy")


def test_leaving_the_process_is_an_error_like_any_other():
    assert call(lambda: sys.exit(3)).error == "SystemExit: 3"


def test_arguments_changed_in_place_are_named():
    def student(t, x, y):
        y += 1
        return x

    x, y = torch.zeros(2), torch.zeros(2)
    assert call(student, 0.5, x, y).changed == ("y",)
    assert y.tolist() == [0, 0]  # the function had a copy: the next case gets the input as it was drawn
    assert call(lambda *args: args[1].add_(1), x, y).changed == ("argument 2",)


def test_mapping_goes_on_with_the_value_and_passes_an_error_through():
    assert call(lambda: [1, 2]).map(len).value == 2
    assert call(lambda: 3).map(len).error.startswith("TypeError while its result was used")
    assert call(lambda: None).map(len).value is None  # which the comparison explains better
    assert call(lambda: 1 / 0).map(len).error == "ZeroDivisionError: division by zero"


def test_a_tensor_that_the_function_changes_later_was_already_copied():
    buffer = torch.zeros(2)
    answer = call(lambda: buffer)
    buffer += 1
    assert answer.value.tolist() == [0, 0]


@pytest.mark.parametrize(
    "value",
    [
        3,
        2.5,
        True,
        "A3",
        None,
        1 + 2j,
        float("inf"),
        torch.randn(3, 2),
        torch.randn(4, dtype=torch.complex128),
        torch.tensor(2.0),
        torch.zeros(0, 3),
        np.arange(4),
        torch.tensor([True, False]),
        (1, [torch.ones(2), {"mean": 3.0}]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_packing_and_unpacking_changes_no_value(value):
    back = there_and_back(value)
    for (name, a), (other, b) in zip(leaves(reply(value).value), leaves(back), strict=True):
        assert name == other
        if isinstance(a, Array):
            assert (a.dtype, a.device, a.library) == (b.dtype, b.device, b.library)
            assert a.data.dtype == b.data.dtype
            assert np.array_equal(a.data, b.data)
        else:
            assert a == b


def test_what_is_not_a_value_is_known_by_its_type_only():
    assert there_and_back(lambda: 0) == Other("function")
    assert there_and_back(np.array([object()])) == Other("ndarray")


def test_a_tensor_of_absurd_size_is_known_by_its_shape_only():
    assert there_and_back(torch.zeros(1).expand(10**9)) == Other("tensor of shape (1000000000,)")


def test_an_absurdly_long_number_or_string_is_known_by_its_length_only():
    assert there_and_back(2**64) == Other("number of 65 bits")
    assert there_and_back(-(2**63)) == -(2**63)
    assert there_and_back("x" * 1_000_001) == Other("string of 1,000,001 characters")


def test_an_object_that_claims_to_equal_everything_is_only_a_type_name():
    class Yes:
        def __eq__(self, other):
            return True

        __hash__ = None

    assert compare(unpack(pack({"c": reply(Yes())}))["c"], reply(1.0)) == "returned a Yes; wanted a number"


ARRAY = {"array": "AAAA", "numpy": "<f4", "shape": [1], "dtype": "float32", "device": "cpu", "library": "torch"}
SHELL = {"error": None, "where": None, "changed": [], "sample": False}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not json",
        b"[1, 2]",
        b'{"case": 3}',
        b'{"case": {}}',
        b"\xff\xfe",
        b"[" * 100_000,
        json.dumps({"c": SHELL | {"value": ARRAY}}).encode(),  # three bytes are no float32
        json.dumps({"c": SHELL | {"value": ARRAY | {"numpy": "|O"}}}).encode(),
        json.dumps({"c": SHELL | {"value": ARRAY | {"shape": [-1, 10**9]}}}).encode(),
        json.dumps({"c": SHELL | {"value": ARRAY | {"array": "!!"}}}).encode(),
        json.dumps({"c": SHELL | {"value": {"dict": 3}}}).encode(),
        json.dumps({"c": SHELL | {"value": 1, "changed": 3}}).encode(),
    ],
)
def test_bytes_that_are_no_reply_are_refused_in_one_sentence(data):
    with pytest.raises(ValueError, match=r"^the answer cannot be read \(\w+\)$"):
        unpack(data)


def test_an_answer_that_is_too_long_is_not_even_parsed():
    with pytest.raises(ValueError, match="at most 16,000,000 are read"):
        unpack(b"x" * (MAX_BYTES + 1))


def test_an_answer_of_too_many_parts_is_not_even_parsed():
    with pytest.raises(ValueError, match="more than 200,000 parts"):
        unpack(b"[" + b"[]," * 200_001 + b"[]]")


# ---- comparing ------------------------------------------------------------------------------------------------------

EXPECTED = torch.linspace(-1, 1, 12).reshape(4, 3)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (EXPECTED.numpy(), "returned a NumPy array; wanted a tensor"),
        (None, "returned None (is there a `return`?)"),
        ([EXPECTED, None], "returned 2 values; wanted a tensor"),
        (EXPECTED.to_sparse(), "returned a sparse tensor of shape (4, 3); wanted a tensor"),
        (EXPECTED.to("meta"), "returned a meta tensor of shape (4, 3); wanted a tensor"),
        (EXPECTED.T, "returned shape (3, 4); wanted (4, 3)"),
        (EXPECTED.double(), "returned float64 numbers; wanted float32"),
        (EXPECTED / 0, "returned infinity everywhere"),
        (EXPECTED * torch.nan, "returned NaN everywhere"),
        (torch.cat([EXPECTED[:2], EXPECTED[2:] / 0]), "returned infinity in 6 of 12 values"),
        (EXPECTED * 2, "is 2 times the right value everywhere"),
        (-EXPECTED, "has the wrong sign everywhere"),
        (EXPECTED * 0, "is 0 everywhere"),
        (EXPECTED + 0.5, "is 0.5 too large everywhere"),
        (torch.cat([EXPECTED[:2], EXPECTED[2:] ** 2]), "row 2 is the first that is wrong"),
        (EXPECTED * (1 + 1e-3 * torch.randn(4, 3, generator=torch.Generator().manual_seed(0))), "is off by up to"),
    ],
)
def test_a_wrong_tensor_is_described_in_words(given, problem):
    found = compare(reply(given), reply(EXPECTED))
    assert found is not None
    assert problem in found


def test_rounding_in_another_order_is_accepted():
    assert compare(reply(EXPECTED * 3 / 3 + 1e-7), reply(EXPECTED)) is None


def test_float64_is_held_to_a_finer_tolerance_than_float32():
    off = 1 + 1e-5
    assert compare(reply(EXPECTED * off), reply(EXPECTED)) is None
    assert compare(reply(EXPECTED.double() * off), reply(EXPECTED.double())) is not None


def test_infinity_and_nan_are_right_where_they_are_expected():
    strange = torch.tensor([1.0, torch.inf, torch.nan])
    assert compare(reply(strange), reply(strange)) is None
    assert compare(reply(torch.ones(3)), reply(strange)) is not None


@pytest.mark.parametrize("number", [2.0, np.float32(2.0), torch.tensor(2.0), torch.tensor([2.0]), 2])
def test_any_kind_of_number_will_do_where_a_number_is_wanted(number):
    assert compare(reply(number), reply(2.0)) is None


@pytest.mark.parametrize("number", [True, "2", [2.0], torch.ones(2)])
def test_what_is_not_a_number_will_not_do(number):
    assert "wanted a number" in compare(reply(number), reply(2.0))


def test_true_is_not_one():
    assert compare(reply(1), reply(True)) == "returned an integer; wanted True or False"
    assert compare(reply(torch.tensor(True)), reply(True)) is None


def test_parts_of_a_result_are_named():
    assert compare(reply((1.0, 3.0)), reply((1.0, 2.0))) == "returned 3; wanted 2 (part 2 of the result)"
    assert compare(reply((1.0,)), reply((1.0, 2.0))) == "returned 1 value; wanted 2 values"
    assert compare(reply((1.0, None)), reply((1.0, 2.0))) == "returned None; wanted a number (part 2 of the result)"
    assert "entry 'b'" in compare(reply({"a": 1.0, "b": 0.0}), reply({"a": 1.0, "b": 2.0}))


def test_an_input_changed_in_place_is_a_mistake_even_if_the_result_is_right():
    assert "changed `x` in place" in compare(Reply(value=1.0, changed=("x",)), Reply(value=1.0))


def sample(seed, spread=1.0, shape=(4000, 2)):
    return Reply(value=spread * torch.randn(shape, generator=torch.Generator().manual_seed(seed)), sample=True).frozen()


def test_two_samples_of_one_law_agree():
    # 1,000 comparisons of seven tests each at 1e-8: a false alarm in fewer than one of 10,000 runs
    reference = sample(0)
    assert all(compare(sample(seed), reference) is None for seed in range(1, 1001))


def test_samples_of_different_laws_do_not_agree():
    reference = sample(0)
    product = reply(reference.value.data * 0)
    normal = torch.from_numpy(reference.value.data)
    twice = Reply(value=normal * torch.randn(4000, 2, generator=torch.Generator().manual_seed(5)), sample=True).frozen()
    together = Reply(value=normal[:, :1].repeat(1, 2), sample=True).frozen()
    assert "standard deviation" in compare(sample(1, spread=1.2), reference)
    assert "mean and standard deviation are right" in compare(twice, reference)  # but heavier tails
    assert "mean and standard deviation are right" in compare(together, reference)  # but dependent coordinates
    assert compare(product, reference) is not None


# ---- the verdict ----------------------------------------------------------------------------------------------------

toy = Lab("lab0_toy", "A toy lab")


@toy.question
def double(answer, draw):
    """Twice the input"""
    return {"a number": answer(draw.uniform(1, 2)), "a tensor": answer(draw.normal(3))}


@toy.question(partial=True)
def halves(answer, draw):
    """Half of it"""
    return {"one": answer(1.0), "two": answer(2.0)}


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """The toy lab with stored answers, in a folder of its own."""
    here = tmp_path / "lab0_toy"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(engine, "ANSWERS", tmp_path)
    known = Misconception("This is a square: x * x.", toy.find("double").put(lambda x: x * x, engine.PUBLIC))
    entries = {
        "double": engine.write_answers(toy.find("double").put(lambda x: 2 * x, engine.PUBLIC), [known]),
        "halves": engine.write_answers(toy.find("halves").put(lambda x: x / 2, engine.PUBLIC), []),
    }
    np.savez(tmp_path / "lab0_toy.npz", **{name: np.frombuffer(entry, np.uint8) for name, entry in entries.items()})
    return toy


def test_a_right_answer_prints_a_plain_line_outside_a_notebook(lab, capsys):
    lab.check(lambda x: x + x, "double")
    assert capsys.readouterr().out == "✓ double: right\n"


def test_a_recognised_mistake_is_answered_by_its_hint(lab):
    with pytest.raises(CheckFailed, match=r"Hint: This is a square"):
        lab.check(lambda x: x**2, "double")


def test_the_message_says_where_the_answer_is_right_and_where_wrong(lab):
    verdict = lab.verdict(lambda x: 2 * x if isinstance(x, float) else 3 * x, "double")
    assert verdict.lines[0] == "✗ double: right for a number; wrong for a tensor."
    assert verdict.lines[1] == "There it is 1.5 times the right value everywhere."
    assert verdict.share == 0.5


def test_a_mistake_is_recognised_by_the_cases_that_did_answer(lab):
    def student(x):
        if torch.is_tensor(x):
            raise IndexError("too many")
        return x * x

    verdict = lab.verdict(student, "double")
    assert verdict.lines[1].startswith("For a tensor, it raised IndexError: too many (line ")
    assert verdict.lines[2].startswith("For a number, it returned ")
    assert verdict.lines[3] == "Hint: This is a square: x * x."


CASES = {"a": 1.0, "b": 2.0, "c": 3.0}


@pytest.mark.parametrize(
    ("given", "mistakes", "hint"),
    [
        ({"a": None, "b": 4.0, "c": 6.0}, {"twice": [2.0, 4.0, 6.0]}, "twice"),
        ({"a": None, "b": 2.0, "c": 3.0}, {"twice": [2.0, 2.0, 3.0]}, None),  # all that it answered is right
        ({"a": None, "b": None, "c": None}, {"twice": [2.0, 4.0, 6.0]}, None),
        ({"a": None, "b": 4.0, "c": 6.0}, {"right but": [1.0, 4.0, 6.0]}, None),  # there it is not even that
        ({"a": None, "b": 4.0, "c": 6.0}, {"twice": [2.0, 4.0, 6.0], "other": [0.0, 4.0, 6.0]}, None),
        ({"a": 2.0, "b": 4.0, "c": 6.0}, {"twice": [2.0, 4.0, 6.0], "other": [2.0, 4.0, 6.0]}, "twice"),
        ({"a": None, "b": 4.0, "c": 5.0}, {"twice": [2.0, 4.0, 6.0]}, None),
    ],
)
def test_a_hint_is_given_only_where_it_explains_all_that_was_answered(given, mistakes, hint):
    replies = {case: Reply(error="E") if value is None else reply(value) for case, value in given.items()}
    known = [
        Misconception(name, {case: reply(value) for case, value in zip(CASES, values, strict=True)})
        for name, values in mistakes.items()
    ]
    assert judge("f", replies, {case: reply(value) for case, value in CASES.items()}, known).hint == hint


def test_an_exercise_not_yet_written_is_called_so(lab):
    def double(x):
        raise NotImplementedError("your code here")

    assert str(lab.verdict(double)) == "✗ double: it is not written yet."


def test_a_message_is_shown_as_text_not_as_markup(lab):
    def double(x):
        raise ValueError("<script>alert(1)</script>")

    assert "<script>" not in lab.verdict(double)._repr_html_()


def test_a_missing_case_is_wrong():
    assert not judge("x", {}, {"a": reply(1.0)}, []).right


def test_an_unknown_exercise_is_refused_with_a_suggestion(lab):
    with pytest.raises(ValueError, match=r"A toy lab has no exercise called 'doubel'; did you mean 'double'\?"):
        lab.check(lambda x: x, "doubel")
    with pytest.raises(ValueError, match="its exercises are double, halves"):
        lab.check(lambda x: x, "rk4")


def test_something_that_is_no_function_is_refused(lab):
    with pytest.raises(ValueError, match="check takes a function, for example"):
        lab.check(3.0)


def test_an_unknown_lab_is_refused_with_the_list_of_labs():
    with pytest.raises(ValueError, match="no lab called 'lab99_nothing'; the labs are lab1_odes_sdes"):
        engine.load("lab99_nothing")


# ---- in IPython -----------------------------------------------------------------------------------------------------


def test_in_a_notebook_a_failing_check_shows_the_verdict_and_no_traceback(lab):
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell()
    shell.user_ns["check"] = lab.check
    shell.user_ns["f"] = lambda x: x**2
    shown = []
    shell._showtraceback = lambda kind, value, lines: shown.extend(lines)
    shell.run_cell("check(f, 'double')")
    assert shown[0] == "\x1b[1;31m✗ double: wrong in every case.\x1b[0m"
    assert shown[-1] == "  Hint: This is a square: x * x."
    assert not any("Traceback" in line for line in shown)


# ---- progress -------------------------------------------------------------------------------------------------------


def test_progress_remembers_what_was_tried_and_what_is_done(lab, monkeypatch):
    monkeypatch.setattr(engine, "all_labs", lambda: [lab])
    assert "0 of 2 done" in str(progress())
    with pytest.raises(CheckFailed):
        lab.check(lambda x: x, "double")
    assert "✗ double" in str(progress())
    lab.check(lambda x: 2 * x, "double")
    assert str(progress()).splitlines()[0] == "A toy lab: 1 of 2 done"
    assert "✓ double" in str(progress())
    assert "· halves" in str(progress())
    assert "Twice the input" in progress()._repr_html_()


def test_a_damaged_progress_file_counts_as_empty(lab, monkeypatch):
    monkeypatch.setattr(engine, "all_labs", lambda: [lab])
    Path(".course_progress.json").write_text('{"lab0_toy": [')
    assert "0 of 2 done" in str(progress())
    lab.check(lambda x: 2 * x, "double")
    assert "1 of 2 done" in str(progress())


def test_a_folder_that_cannot_be_written_does_not_fail_a_check(lab, monkeypatch, capsys):
    monkeypatch.setattr("tempfile.NamedTemporaryFile", lambda *a, **k: (_ for _ in ()).throw(PermissionError()))
    lab.check(lambda x: 2 * x, "double")
    assert "right" in capsys.readouterr().out


# ---- the package's own promise --------------------------------------------------------------------------------------


def test_the_course_knows_nothing_of_grading():
    code = "import sys, course, course.checking.lab1; print({m.split('.')[0] for m in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "'course'" in done.stdout
    assert not {"autograder", "nbgrader", "tests"} & ast.literal_eval(done.stdout)


def test_a_factor_is_said_only_if_it_explains_also_what_should_be_zero():
    expected = Reply(torch.tensor([0.0, 1.0, 2.0])).frozen()
    assert "everywhere" not in compare(Reply(torch.tensor([5.0, 2.0, 4.0])).frozen(), expected)
    assert compare(Reply(torch.tensor([0.0, 2.0, 4.0])).frozen(), expected) == "is 2 times the right value everywhere"


def test_the_same_problem_in_many_cases_is_said_once_and_a_ratio_of_one_not_at_all():
    problems = {f"case {i}": "raised ValueError: no" for i in range(5)} | {"the last": None}
    assert Verdict("f", problems).lines == [
        "✗ f: right for the last; wrong for case 0, case 1 and 3 more cases.",
        "There it raised ValueError: no.",
    ]
    problems |= {"another": "is 0 everywhere"}
    assert Verdict("f", problems).lines[2] == "For another, it is 0 everywhere."
    off = compare(Reply(torch.ones(3) * 1.0003).frozen(), Reply(torch.ones(3)).frozen())
    assert "times" not in off


# ---- cells that wait for an exercise --------------------------------------------------------------------------------


@pytest.fixture
def shell():
    shell = InteractiveShell()
    unwritten.quiet(shell)
    return shell


def said(capsys):
    return re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out).strip()


OPEN = 'def euler_step(u, x, t, h):\n    raise NotImplementedError("euler_step is yours to write")\n'


def test_a_cell_that_waits_for_an_exercise_says_so_in_one_line_and_still_fails(shell, capsys):
    shell.run_cell(OPEN)
    result = shell.run_cell("x = [euler_step(0, 0, 0, 0) for _ in range(3)]")
    assert isinstance(result.error_in_exec, NotImplementedError)
    words = said(capsys)
    assert words == "euler_step is yours to write: run this cell again when check(euler_step) is content."


@pytest.mark.parametrize(
    "makes",
    [
        "xs = euler_step(0, 0, 0, 0)",
        "first, (xs, *rest) = euler_step(0, 0, 0, 0)",
        "for i in range(3):\n    xs = [euler_step(0, 0, 0, i)]",
        "before = euler_step(0, 0, 0, 0)\ndef xs(): return 0",
        "euler_step(0, 0, 0, 0)\nimport math as xs",
        "%time before = euler_step(0, 0, 0, 0)\nimport asyncio\nawait asyncio.sleep(0)\nxs = 0",
    ],
)
def test_a_cell_that_uses_what_a_waiting_cell_would_have_made_waits_too_and_so_on(shell, capsys, makes):
    shell.run_cell(OPEN + "def use():\n    return xs")
    shell.run_cell(makes)
    capsys.readouterr()
    for source, name in [
        ("longer = [xs]", "xs"),
        ("total = sum(longer)", "longer"),
        ("use()", "xs"),
        ("total", "total"),
    ]:
        result = shell.run_cell(source)
        assert isinstance(result.error_in_exec, NameError)
        words = f"{name} is made by a cell that waits for euler_step: run that cell and this one again"
        assert said(capsys) == f"{words} when check(euler_step) is content."


@pytest.mark.parametrize(
    "uses",
    [
        "nets[1](0)",
        "order[0]",
        "a, b = order",
        "[nets[i] for i in range(3)]",
        "first()",
        "best(0)",
        "last = max(order)",
    ],
)
def test_a_cell_that_fails_at_what_a_waiting_cell_has_begun_to_fill_waits_too(shell, capsys, uses):
    shell.run_cell(OPEN + "def first():\n    return order[0]")
    shell.run_cell("nets, order, best, n = {}, [], None, 7\nfor i in range(3):\n    nets[i] = euler_step(0, 0, 0, 0)")
    capsys.readouterr()
    shell.run_cell(uses)
    words = r"\w+ is made by a cell that waits for euler_step: run that cell and this one again when .* is content\."
    assert re.fullmatch(words, said(capsys))
    shell.run_cell("n + 'text'")
    assert "Traceback" in said(capsys)
    shell.run_cell("nets, order, best = {}, [], 0")  # the cell has run to its end
    shell.run_cell(uses)
    assert "Traceback" in said(capsys)


def test_what_a_cell_waits_for_is_what_it_waited_for_last(shell, capsys):
    shell.run_cell(OPEN + OPEN.replace("euler", "heun"))
    shell.run_cell("xs = euler_step(0, 0, 0, 0) + heun_step(0, 0, 0, 0)")
    shell.run_cell("def euler_step(u, x, t, h): return 0")
    shell.run_cell("xs = euler_step(0, 0, 0, 0) + heun_step(0, 0, 0, 0)")
    capsys.readouterr()
    shell.run_cell("xs")
    assert "waits for heun_step" in said(capsys)
    shell.run_cell("xs = 1")
    shell.run_cell("xs")
    assert "waits" not in said(capsys)


@pytest.mark.parametrize(
    "source",
    [
        "def f():\n    raise NotImplementedError('not for integers')\nf()",
        "def f():\n    raise ValueError('wrong')\nf()",
        "x = 1\nprnt(x)",
        "def f():\n    xs\n    xs = 1\nf()",
        "raise NameError('by hand')",
        "1 +",
    ],
)
def test_every_other_error_is_shown_as_without_us(shell, capsys, source):
    shell.run_cell(OPEN)
    shell.run_cell("xs = euler_step(0, 0, 0, 0)")
    capsys.readouterr()
    result = shell.run_cell(source)
    ours = said(capsys)
    plain = InteractiveShell().run_cell(source)
    assert ours == said(capsys)
    assert len(ours.splitlines()) > 2
    assert repr(result.error_in_exec or result.error_before_exec) == repr(
        plain.error_in_exec or plain.error_before_exec
    )
