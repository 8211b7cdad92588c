"""A class room of Linux users: nbgrader's exchange from release to feedback, each command run by whom it is for."""

import html
import os
import re
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import nbformat
import pytest

from autograder import ROOT
from tests import submissions
from tests.checkout import copy_checkout

LAB = "lab1_odes_sdes"
POINTS = submissions.points(LAB)
TEACHER, ANNA, BEN = "teacher", "anna", "ben"
UIDS = {TEACHER: 45001, ANNA: 45002, BEN: 45003}

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root can be three people")

# these people exist in here only; and Python may be installed where only root can look: here everybody can
WORLD = """
    base=$1; top=$2; people=$3; shift 3
    mount --bind "$people" /etc/passwd
    if [ "$top" ]; then
        d=$(mktemp -d)
        mount --rbind "$base" "$d" && mount -t tmpfs -o mode=755 none "$top"
        mkdir -p "$base" && mount --move "$d" "$base"
        rmdir "$d"
    fi
    exec "$@"
"""


class School:
    """A folder that everybody may look into, with everybody's home, the teacher's checkout and the exchange."""

    def __init__(self, root: Path):
        self.root, self.checkout, self.exchange = root, root / "checkout", root / "exchange"
        self.home = {name: root / name for name in UIDS}
        self.people = root / "passwd"
        others = [line for line in Path("/etc/passwd").read_text().splitlines() if line.partition(":")[0] not in UIDS]
        entries = [f"{name}:x:{uid}:{uid}::{self.home[name]}:/bin/sh" for name, uid in UIDS.items()]
        self.people.write_text("\n".join([*others, *entries, ""]))
        self.people.chmod(0o644)
        for name, home in self.home.items():
            home.mkdir(mode=0o700)
            os.chown(home, UIDS[name], UIDS[name])
        self.exchange.mkdir()
        os.chown(self.exchange, UIDS[TEACHER], UIDS[TEACHER])
        self._copy()

    def _copy(self) -> None:
        copy_checkout(self.checkout, ("course", "autograder", "labs", f"solutions/{LAB}", "site/jupyterhub"))
        for path in (self.checkout, *self.checkout.rglob("*")):
            os.chown(path, UIDS[TEACHER], UIDS[TEACHER])
        for room in ("autograder", "solutions"):
            (self.checkout / room).chmod(0o700)  # the teacher's own

    def run(self, who: str, *command: str) -> subprocess.CompletedProcess:
        """A command as one of them: the teacher's in autograder/, a student's at home."""
        closed = [str(p) for p in Path(sys.base_prefix).parents if not p.stat().st_mode & 0o001]
        world = ["unshare", "--mount", "sh", "-c", textwrap.dedent(WORLD), "sh"]
        world += [sys.base_prefix, closed[-1] if closed else "", str(self.people)]
        user = ["setpriv", f"--reuid={UIDS[who]}", f"--regid={UIDS[who]}", "--clear-groups"]
        folder = self.checkout / "autograder" if who == TEACHER else self.home[who]
        environment = {
            "HOME": str(self.home[who]),
            "USER": who,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.checkout),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TRAITLETS_APPLICATION_RAISE_CONFIG_FILE_ERROR": "1",
            "COURSE_EXCHANGE": str(self.exchange),
            "JUPYTER_CONFIG_PATH": str(self.checkout / "site" / "jupyterhub"),
        }
        inside = ["sh", "-c", 'cd "$1"; shift; exec "$@"', "sh", str(folder), *command]
        return subprocess.run(
            [*world, *user, *inside], env=environment, cwd="/", capture_output=True, text=True, check=False
        )

    def nbgrader(self, who: str, *arguments: str) -> str:
        done = self.run(who, sys.executable, "-m", "nbgrader", *arguments)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stderr

    def hand_in(self, who: str, kind: str) -> None:
        path = self.home[who] / "labs" / LAB / f"{LAB}.ipynb"
        assert path.read_bytes() == (ROOT / "labs" / LAB / f"{LAB}.ipynb").read_bytes()
        nbformat.write(getattr(submissions, kind)(LAB), path)
        self.nbgrader(who, "submit", LAB)


@pytest.fixture(scope="module")
def school():
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let root have mounts of its own")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield School(Path(folder))


@pytest.fixture(scope="module")
def graded(school) -> School:
    """Everything up to the feedback that the students have fetched."""
    school.nbgrader(TEACHER, "generate_assignment", LAB, "--force")
    school.nbgrader(TEACHER, "release_assignment", LAB)
    for who, kind in ((ANNA, "perfect"), (BEN, "half")):
        school.nbgrader(who, "fetch_assignment", LAB)
        school.hand_in(who, kind)
    school.nbgrader(TEACHER, "collect", LAB)
    for command in (("grade", LAB, "-n", "1"), ("feedback", LAB)):
        done = school.run(TEACHER, sys.executable, "-m", "autograder.cli", *command)
        assert done.returncode == 0, done.stdout + done.stderr
    school.nbgrader(TEACHER, "release_feedback", LAB)
    for who in (ANNA, BEN):
        school.nbgrader(who, "fetch_feedback", LAB)
    return school


def feedback(school: School, who: str) -> str:
    (page,) = (school.home[who] / "labs" / LAB / "feedback").rglob("*.html")
    return html.unescape(re.sub(r"<[^>]*>", "", page.read_text()))


def test_what_a_student_hands_in_comes_back_as_feedback(graded):
    perfect, half = feedback(graded, ANNA), feedback(graded, BEN)
    for i, name in enumerate(POINTS):
        assert f"✓ {name}: right" in perfect
        assert (f"✓ {name}: right" if i % 2 == 0 else f"✗ {name}: it is not written yet.") in half


def test_the_feedback_is_the_students_own_file(graded):
    for who in (ANNA, BEN):
        for page in (graded.home[who] / "labs" / LAB / "feedback").rglob("*.html"):
            assert page.stat().st_uid == UIDS[who]


@pytest.mark.parametrize("room", ["inbound", "feedback"])
def test_a_student_sees_nothing_of_the_others_in_the_exchange(graded, room):
    folder = graded.exchange / "generative-models" / room
    assert any(folder.iterdir())
    assert "Permission denied" in graded.run(BEN, "ls", str(folder)).stderr


@pytest.mark.parametrize("room", ["solutions", "autograder/gradebook.db", "autograder/submitted"])
def test_a_student_sees_nothing_of_the_teachers(graded, room):
    assert (graded.checkout / room).exists()
    assert "Permission denied" in graded.run(BEN, "ls", str(graded.checkout / room / "")).stderr
