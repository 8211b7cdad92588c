"""Every attack is graded between two honest submissions: it gains nothing, learns nothing, changes nothing."""

import base64
import ctypes
import hashlib
import html.parser
import io
import itertools
import json
import os
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import pytest
from nbconvert.exporters import HTMLExporter
from nbconvert.filters import markdown2html_mistune
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image

from autograder import ROOT, sandbox
from autograder.grade import Limits, Result, grade
from tests import submissions
from tests.attacks import PRELUDE, WON, Attack, everything, pages

LAB = "lab1_odes_sdes"
POINTS = submissions.points(LAB)
SECRET = "CONFIDENTIAL-8c1f"
LIMITS = Limits(cell=1, question=1, submission=12, memory=2**30, restarts=3)
ATTACKS = everything()
GIVEN = nbformat.writes(submissions.released(LAB)) + "".join(p.read_text() for p in (ROOT / "course").rglob("*.py"))
SOLUTION = next(  # a line of the solution that is nowhere in what students are given
    line.strip()
    for source in submissions.answers(LAB).values()
    for line in source.partition("### BEGIN SOLUTION")[2].splitlines()
    if len(line.strip()) > 20 and line.strip() not in GIVEN
)
# what an honest neighbour sees of those before it
LOOK_AROUND = """
import glob, os
left = [path for depth in range(4) for path in glob.glob("/" + "*/" * depth + "left")]
print(left, os.listdir(), os.listdir("/dev/shm"))
"""


class Scene:
    """The grader's place: secrets that can be lost, files that can be changed, ports that can be called."""

    def __init__(self, room: Path):
        self.room = room
        work = room / "submitted" / "anna" / LAB
        work.mkdir(parents=True)
        anna = new_notebook(cells=[new_code_cell(f"print('{SECRET}')\nprint('{WON}')")])
        nbformat.write(anna, work / f"{LAB}.ipynb")
        (room / "secret.txt").write_text(f"{SECRET}\nprint('{SECRET}')\n")
        with sqlite3.connect(room / "gradebook.db") as book:
            book.execute("create table grades (name, score)")
            book.execute("insert into grades values (?, 1)", [SECRET])
        book.close()
        self.tcp, self.udp = socket.create_server(("127.0.0.1", 0)), socket.socket(type=socket.SOCK_DGRAM)
        self.port = self.tcp.getsockname()[1]
        self.udp.bind(("127.0.0.1", self.port))
        self.file, self.abstract = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
        self.file.bind(f"{room}/socket")
        self.abstract.bind(f"\0abstract-{self.port}")
        for listener in (self.file, self.abstract):
            listener.listen()
        self.listeners = [self.tcp, self.udp, self.file, self.abstract]
        for listener in self.listeners:
            listener.settimeout(0)
        honest = submissions.half(LAB)
        honest.cells.append(new_code_cell(LOOK_AROUND))
        self.honest_bytes = nbformat.writes(honest).encode()

    def close(self) -> None:
        for listener in self.listeners:
            listener.close()

    # ---- submissions

    def honest(self) -> Result:
        return grade(self.honest_bytes, LAB, "honest", "a secret")

    def bytes_of(self, attack: Attack) -> bytes:
        if attack.file:
            return attack.file()
        notebook = submissions.fill(submissions.released(LAB), attack.answers)
        cells = [PRELUDE, *attack.cells] if attack.cells or attack.answers else []
        first = 1 + next(i for i, cell in enumerate(notebook.cells) if "setup" in cell.metadata.get("tags", []))
        notebook.cells[first:first] = [new_code_cell(self.filled(source)) for source in cells]
        if attack.change:
            attack.change(notebook)
        return json.dumps(notebook).encode()

    def filled(self, source: str) -> str:
        for word, value in {"ROOM": self.room, "ROOT": ROOT, "PORT": self.port, "GRADER": os.getpid()}.items():
            source = source.replace(word, str(value))
        return source

    # ---- what can be won

    def state(self) -> str:
        """Everything in the room, and its rights."""
        seen = hashlib.sha256()
        for path in sorted(self.room.rglob("*")):
            about = path.lstat()
            content = path.read_bytes() if path.is_file() else b""
            seen.update(repr((str(path), about.st_mode, about.st_uid, about.st_mtime, content)).encode())
        return seen.hexdigest()

    def calls(self) -> int:
        """How many have called since the last time."""
        count = 0
        for listener in self.listeners:
            try:
                listener.recv(100) if listener is self.udp else listener.accept()[0].close()
                count += 1
            except BlockingIOError:
                pass
        return count

    def won(self, attack: Attack, unsafe: bool = False) -> list[str]:
        """Grade it, and say what it has got."""
        before = self.state()
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts again
        size = peak()
        result = grade(self.bytes_of(attack), LAB, "mallory", f"{SECRET} of the run", unsafe=unsafe, limits=LIMITS)
        found = []
        if peak() - size > 300e6:
            found.append(f"memory of the grader: {(peak() - size) / 1e6:.0f} MB")
        if sum(result.scores.values()) != attack.earns or result.scores.keys() != POINTS.keys():
            found.append(f"points: {result.scores}")
        outputs = json.dumps([cell.get("outputs") for cell in json.loads(result.notebook)["cells"]])
        words = {WON: "its aim", SECRET: "a secret", json.dumps(SOLUTION)[1:-1]: "the solution"}
        found += [what for word, what in words.items() if word in outputs or word in str(result.met) + result.note]
        if self.state() != before:
            found.append("a change")
        if self.calls():
            found.append("a connection")
        if left := survivors():
            found.append(f"processes: {left}")
        if len(result.notebook) > 20_000_000:
            found.append("a notebook too large to look at")
        elif attack.shows:
            found += dangers(result.notebook)
        return found


TAGS = "script style iframe object embed form input button link meta base svg math video audio"


class Page(html.parser.HTMLParser):
    """Collects what in a page could run, load, or cover the rest."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag in TAGS.split():
            self.found.append(f"<{tag}>")
        for name, value in attributes:
            url = "".join((value or "").split()).lower()
            if name.startswith("on") or "position" in url.partition("steal")[0]:
                self.found.append(f"{tag} {name}={value}")
            if name == "src" and (not url.startswith("data:image/") or drawn(value or "") > 2e7):
                self.found.append(f"{tag} {name}={value:.80}")
            if name == "href" and ":" in url and not url.startswith(("http:", "https:", "mailto:", "attachment:", "#")):
                self.found.append(f"{tag} {name}={value}")


def drawn(url: str) -> float:
    """About how many pixels a browser has to draw for this picture; a shape counts as a hundred."""
    kind, _, data = url.partition(";base64,")
    content = base64.b64decode(data)
    if "svg" not in kind:
        with Image.open(io.BytesIO(content)) as picture:
            return picture.width * picture.height
    root = ElementTree.fromstring(content)
    named = {element.get("id"): element for element in root.iter()}

    def shapes(element: ElementTree.Element) -> Iterator[ElementTree.Element]:
        yield element
        for child in element:
            yield from shapes(child)
        if element.tag.endswith("use"):
            yield from shapes(named[element.get("href", "#")[1:]])

    return 100 * sum(1 for _ in itertools.islice(shapes(root), 300_000))


def dangers(notebook: str) -> list[str]:
    """What is dangerous in what a student has brought into the notebook, as the formgrader shows it."""
    graded = nbformat.reads(notebook, as_version=4)
    release = {cell.source for cell in submissions.released(LAB).cells}
    own = [cell for cell in graded.cells if cell.source not in release or cell.get("outputs")]
    page = Page()
    page.feed(HTMLExporter(template_name="basic").from_notebook_node(new_notebook(cells=own))[0])
    return page.found


def peak() -> int:
    """Bytes of memory that this process has had at most."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


def descendants() -> dict[int, int]:
    """Every living process that this one or one of its descendants has started, with the one that started it."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent, *_ = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if state != "Z":
            parents[int(path.parent.name)] = int(parent)
    found = {os.getpid(): 0}
    while more := {pid: parent for pid, parent in parents.items() if parent in found and pid not in found}:
        found |= more
    del found[os.getpid()]
    return found


def survivors() -> list[int]:
    """Processes that are neither a zygote nor what it was started by; a supervisor has a moment to end."""
    starters = {zygote._process.pid for zygote in sandbox._zygotes.values() if zygote.wall != "none"}
    zygotes = {zygote._process.pid for zygote in sandbox._zygotes.values()}
    for _ in range(50):
        left = [pid for pid, parent in descendants().items() if pid not in zygotes and parent not in starters]
        if not left:
            break
        time.sleep(0.02)
    return left


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: orphans come to us, and are seen
    os.environ["CANARY_TOKEN"] = SECRET
    scene = Scene(tmp_path_factory.mktemp("room"))
    scene.first = scene.honest()
    yield scene
    scene.close()
    del os.environ["CANARY_TOKEN"]
    for pid in survivors():
        os.kill(pid, signal.SIGKILL)


def test_no_attack_is_listed_twice_and_there_are_many():
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) >= 60


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_gains_nothing(scene, attack):
    zygote = sandbox.zygote()
    assert scene.won(attack) == []
    assert sandbox.zygote() is zygote
    after = scene.honest()
    assert (after.status, after.scores, after.notebook) == ("graded", scene.first.scores, scene.first.notebook)


def test_the_neighbours_are_graded_right(scene):
    assert sum(scene.first.scores.values()) == sum(list(POINTS.values())[::2])
    assert "[] [] []" in scene.first.notebook


@pytest.mark.parametrize("attack", [a for a in ATTACKS if a.works_unsafe], ids=lambda attack: attack.name)
def test_without_the_sandbox_it_would_have_got_its_way(scene, attack):
    """Or else the tests above would prove nothing."""
    assert scene.won(attack, unsafe=True) != []


def test_a_page_that_is_shown_as_it_is_would_be_dangerous():
    """Or else the tests above would prove nothing."""
    found = []
    for source in pages.MARKDOWN.values():
        page = Page()
        page.feed(markdown2html_mistune(source) if "attachment" not in source else "")
        found.append(bool(page.found))
    assert sum(found) >= 9, dict(zip(pages.MARKDOWN, found, strict=True))
