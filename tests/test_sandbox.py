"""The sandbox from the instructor's side: where it works, where it refuses, what it lets through and what it ends."""

import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell

from autograder import ROOT, sandbox
from autograder.grade import Limits, NoIsolation, Result, grade
from autograder.sandbox import Stopped, Zygote, session
from tests import submissions

LAB = "lab1_odes_sdes"
POINTS = submissions.points(LAB)
TOTAL = sum(POINTS.values())
FIRST = next(iter(POINTS))
PERFECT = nbformat.writes(submissions.perfect(LAB)).encode()


@pytest.fixture
def run():
    """Runs cells in one session; returns the last one's outputs."""

    def run(*cells: str, limits: Limits = Limits(cell=10)):  # noqa: B008
        with session(limits, time.monotonic() + 60) as inside:
            return [json.loads(inside.run(source))["outputs"] for source in cells][-1]

    return run


def graded(*cells: str, limits: Limits | None = None, answers: dict[str, str] | None = None) -> Result:
    """The result of a perfect submission with these cells at its end and these answers instead."""
    notebook = submissions.fill(submissions.perfect(LAB), answers or {})
    notebook.cells += [new_code_cell(source) for source in cells]
    return grade(
        nbformat.writes(notebook).encode(), LAB, "anna", "secret", limits=limits or Limits(cell=10, question=10)
    )


def own_outputs(result: Result) -> list[list[dict]]:
    cells = nbformat.reads(result.notebook, as_version=4).cells
    return [cell.outputs for cell in cells if "added-by-student" in cell.metadata.get("tags", [])]


# ---- what it lets through -------------------------------------------------------------------------------------------


def test_plots_magics_and_rich_output_are_in_the_graded_notebook():
    result = graded(
        "import matplotlib.pyplot as plt\nplt.plot([1, 2, 3]);",
        "%%time\nx = 3",
        "from IPython.display import HTML\nHTML('<b>bold</b>')",
        "!echo from a shell",
        "import asyncio\nawait asyncio.sleep(0)\n'awaited'",
        "%%bash\necho from bash",
        "import subprocess\nsubprocess.run(['echo', 'from a program']);",
    )
    plot, magic, rich, shell, awaited, bash, program = own_outputs(result)
    assert plot[0]["data"]["image/png"].startswith("iVBOR")
    assert "Wall time" in magic[0]["text"]
    assert rich[0]["data"]["text/html"] == "<b>bold</b>"
    assert shell[0]["text"] == "from a shell\n"
    assert awaited[0]["data"]["text/plain"] == "'awaited'"
    assert bash[0]["text"] == "from bash\n"
    assert program[0]["text"] == "from a program\n"
    assert sum(result.scores.values()) == TOTAL


def test_an_error_is_shown_as_a_kernel_shows_it(run):
    (error,) = run("def f():\n    return 1 / 0", "f()")
    assert (error["output_type"], error["ename"]) == ("error", "ZeroDivisionError")
    assert "return" in "".join(error["traceback"])


def test_an_update_changes_what_is_shown_and_a_progress_bar_keeps_its_last_line(run):
    shown, line = run(
        "from IPython.display import display\nhandle = display('first', display_id=True)\nhandle.update('second')\n"
        "for i in range(3): print(f'\\r{i} of 3', end='')"
    )
    assert shown["data"]["text/plain"] == "'second'"
    assert line["text"] == "2 of 3"


def test_clear_output_forgets_what_was_shown(run):
    (left,) = run("from IPython.display import clear_output\nprint('old')\nclear_output(wait=True)\nprint('new')")
    assert left["text"] == "new\n"


def test_input_says_that_nobody_is_there(run):
    (error,) = run("input('name? ')")
    assert error["evalue"] == "there is nobody to answer input() while a notebook is graded"


def test_a_module_written_by_a_cell_can_be_imported(run):
    assert run("%%writefile helper.py\ny = 7", "import helper\nhelper.y")[0]["data"]["text/plain"] == "7"


def test_the_working_folder_is_empty_private_and_writable(run):
    look = "import os\nopen('new', 'w').close()\nprint(os.listdir(), os.getcwd() == os.environ['HOME'])"
    text = run(look)
    assert text[0]["text"] == "['new'] True\n"
    assert run("import os\nprint(os.listdir())")[0]["text"] == "[]\n"


def test_the_same_arguments_give_the_same_result():
    noisy = "import torch, random, numpy\nprint(torch.randn(3), random.random(), numpy.random.rand(), hash('a'))"
    first, second = graded(noisy), graded(noisy)
    assert first.scores == second.scores
    assert first.met == second.met


# ---- what it ends ---------------------------------------------------------------------------------------------------


def test_a_result_says_which_cell_was_stopped_and_why():
    result = graded("while True: pass", limits=Limits(cell=1))
    assert (result.status, sum(result.scores.values())) == ("graded", TOTAL)
    assert result.note == "cell added-1 was stopped: it ran for more than 1 seconds"


def test_a_question_without_an_answer_costs_its_own_points():
    result = graded(answers={FIRST: f"def {FIRST}(*args):\n    while True: pass"}, limits=Limits(question=1))
    assert result.met[FIRST] == "stopped"
    assert result.scores == {name: 0.0 if name == FIRST else points for name, points in POINTS.items()}


def test_a_notebook_that_takes_too_long_as_a_whole_keeps_what_it_had_earned():
    after = list(POINTS)[5]
    slow = submissions.answers(LAB)[after] + "\nwhile True: pass"
    result = graded(answers={after: slow}, limits=Limits(cell=60, submission=2.5))
    assert result.status == "timeout"
    assert result.scores[FIRST] == POINTS[FIRST]
    assert result.scores[list(POINTS)[-1]] == 0
    assert result.scores.keys() == POINTS.keys()


def test_a_notebook_that_dies_again_and_again_is_given_up():
    result = graded(answers=dict.fromkeys(list(POINTS)[:5], "import os\nos._exit(1)"), limits=Limits(restarts=3))
    assert result.status == "crashed"
    assert sum(result.scores.values()) == 0
    assert "had to be stopped 3 times" in result.notebook


def test_memory_beyond_the_limit_is_an_error_in_one_process_and_the_end_of_many(run):
    limits = Limits(cell=20, memory=2**29)
    assert run("x = bytearray(10**9)", limits=limits)[0]["ename"] == "MemoryError"
    hungry = "import os, time\nfor _ in range(3):\n    if os.fork() == 0:\n        x = bytearray(b'x') * (2**28)\n" + (
        "        time.sleep(99)\ntime.sleep(99)"
    )
    with pytest.raises(Stopped, match=r"more than 0\.5 GiB of memory"):
        run(hungry, limits=limits)


def test_output_is_cut_and_a_sentence_says_so(run):
    kept = run("for i in range(100_000): print(i)", limits=Limits(output=1000))
    assert "more than 1,000 bytes" in kept[-1]["text"]
    assert len(json.dumps(kept)) < 2000


def test_the_memory_of_the_grader_does_not_grow_with_submissions():
    loud = "print('x' * 3_000_000)\nimport matplotlib.pyplot as plt\nplt.plot([1, 2]);"
    for _ in range(3):
        graded(loud)
    before = _resident()
    for _ in range(15):
        graded(loud)
    gc.collect()
    assert _resident() - before < 20e6


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_a_zygote_that_was_killed_is_replaced():
    os.kill(sandbox.zygote()._process.pid, signal.SIGKILL)
    sandbox.zygote()._process.wait()
    assert sum(graded().scores.values()) == TOTAL


def test_nothing_is_left_when_the_grader_is_killed():
    script = """
        import time
        from autograder.sandbox import Limits, session
        with session(Limits(), time.monotonic() + 60) as cells:
            sleep = "import os, time\\nos.fork() and os.system('exec sleep 98.76')\\ntime.sleep(99)"
            cells._request({"run": sleep}, 60)
            print("started", flush=True)
            cells._reply(1000)
    """
    with _python(script, stdout=subprocess.PIPE) as grader:
        assert grader.stdout.readline() == "started\n"
        while not _running("98.76"):
            time.sleep(0.01)
        grader.kill()
    for _ in range(500):
        if not _running("98.76"):
            break
        time.sleep(0.01)
    assert not _running("98.76")


def _running(argument: str) -> bool:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().rstrip(b"\0").endswith(argument.encode()):
                return True
        except OSError:
            pass
    return False


# ---- where it works -------------------------------------------------------------------------------------------------

GRADE = f"""
    import os
    from pathlib import Path
    from autograder import sandbox
    from autograder.grade import grade
    result = grade(Path(__file__).with_name("perfect.ipynb").read_bytes(), {LAB!r}, "anna", "secret")
    print(os.getuid(), sandbox.zygote().wall, sum(result.scores.values()))
"""


def _python(script: str, *prefix: str, **options) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [*prefix, sys.executable, "-c", textwrap.dedent(script)]
    return subprocess.Popen(command, text=True, env=environment, **options)


def _output(script: str, *prefix: str) -> str:
    with _python(script, *prefix, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err[-3000:]
    return out


# Python may be installed where only root can look: in namespaces of our own, it is put where everybody can
SEEN_BY_ALL = """
    base=$1; top=$2; shift 2; d=$(mktemp -d)
    mount --rbind "$base" "$d" && mount -t tmpfs -o mode=755 none "$top"
    mkdir -p "$base" && mount --move "$d" "$base"
    exec "$@"
"""


def _as_user() -> list[str]:
    """What makes a command run as an ordinary user, whoever we are."""
    if os.getuid():
        return []
    user = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", "env", "HOME=/tmp"]
    closed = [p for p in Path(sys.base_prefix).parents if not p.stat().st_mode & 0o001]
    if not closed:
        return user
    return [
        "unshare",
        "--mount",
        "sh",
        "-c",
        textwrap.dedent(SEEN_BY_ALL),
        "sh",
        sys.base_prefix,
        str(closed[0]),
        *user,
    ]


@pytest.fixture
def script():
    """A script that grades a perfect submission; everybody may read both."""
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to others
        os.chmod(folder, 0o755)
        (Path(folder) / "perfect.ipynb").write_bytes(PERFECT)
        yield GRADE.replace("__file__", repr(f"{folder}/grade.py"))


def test_an_ordinary_user_can_grade(script):
    uid, wall, score = _output(script, *_as_user()).split()
    assert uid != "0"
    assert (wall, float(score)) == ("namespaces", TOTAL)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can try it as root")
def test_root_can_grade_and_its_submissions_are_nobody(run, script):
    assert _output(script).split() == ["0", "namespaces", f"{TOTAL:.1f}"]
    assert run("!id -u")[0]["text"] == "65534\n"


def test_bubblewrap_is_a_wall_as_well(monkeypatch):
    if not shutil.which("bwrap"):
        pytest.skip("bubblewrap is not installed")
    monkeypatch.setattr(sandbox, "_zygotes", {})
    monkeypatch.setattr(sandbox, "_walled", lambda: Zygote("bubblewrap"))
    look = "import os\nprint(os.path.exists({!r}), os.listdir('/tmp'))\nopen('/tmp/left', 'w').close()"
    for _ in range(2):  # nothing is left of the first
        result = graded(look.format(str(ROOT / "solutions")))
        assert sum(result.scores.values()) == TOTAL
        assert own_outputs(result)[0][0]["text"].startswith("False [")
        assert "left" not in own_outputs(result)[0][0]["text"]


# a world, as in a container, in which nobody may make namespaces, not even root
CLOSED = 'echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all --inh-caps=-all "$@"'


def test_it_refuses_where_there_is_no_wall_and_says_what_is_missing(script):
    refusing = textwrap.dedent(script).replace("result = grade", "try: grade").partition("print(os.getuid")[0]
    refusing += "except Exception as error: print(error)"
    said = _output(refusing, "unshare", "--user", "--map-root-user", "sh", "-c", CLOSED, "sh")
    assert said.startswith("this machine does not let us make user namespaces (unshare: ")
    assert "sysctl user.max_user_namespaces is 0" in said
    assert "and bubblewrap" in said


def test_it_grades_there_when_told_to(script):
    unsafe = script.replace('"secret")', '"secret", unsafe=True)').replace("sandbox.zygote()", "sandbox.zygote(True)")
    said = _output(unsafe, "unshare", "--user", "--map-root-user", "sh", "-c", CLOSED, "sh")
    assert said.split()[1:] == ["none", f"{TOTAL:.1f}"]


def test_it_refuses_on_other_systems(monkeypatch):
    monkeypatch.setattr(sandbox, "_zygotes", {})
    monkeypatch.setattr(sandbox.sys, "platform", "darwin")
    monkeypatch.setattr(sandbox.platform, "system", lambda: "Darwin")
    with pytest.raises(NoIsolation, match="Darwin has no way to shut a submission in: use Linux, WSL 2 or a container"):
        grade(PERFECT, LAB, "anna", "secret")


def test_the_grader_is_hidden_even_where_its_folder_must_be_visible(monkeypatch, run):
    rooms = [str(ROOT / room) for room in ("labs", "solutions", "autograder")]
    monkeypatch.setattr(sandbox, "_zygotes", {})
    monkeypatch.setattr(sandbox, "SYSTEM", [*sandbox.SYSTEM, *rooms])
    script = f"import os\nlabs, *rest = {rooms}\nprint(len(os.listdir(labs)) > 0, *map(os.listdir, rest))"
    assert run(script)[0]["text"] == "True [] []\n"
