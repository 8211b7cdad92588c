"""Takes submissions in, as data: nothing is followed, run or believed.

What counts is a plain file called somewhat like the lab, not too large, in a plain folder; everything else that lies
there is left alone. The ways in are nbgrader's `submitted/STUDENT/LAB/` and, through `collect`, a folder or a zip file
as Canvas, Moodle or a person made it.
"""

import os
import re
import stat
import unicodedata
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nbgrader.utils import parse_utc

from autograder.ledger import write
from autograder.roster import Person, usable, whose

MAX_BYTES = 50_000_000  # of one submission
MAX_FILES = 1_000  # that are looked at in one student's folder
MAX_DEPTH = 3
COPY_MARKS = re.compile(r"(?:[\s_.-]*(?:\(\d+\)|-? ?cop(?:y|ie|ia)\d*|kopie|final|v\d+|-\d+))+$")
NOTEBOOK = re.compile(r"\.ipynb(?:\.(?:ipynb|txt|json))?$", re.IGNORECASE)


class Refused(ValueError):
    """This is not read, for the reason that the message gives."""


class Missing(LookupError):
    """There is no notebook here."""


@dataclass(frozen=True)
class Found:
    """One submission's bytes, the name it had, when it was handed in, and what the instructor should know."""

    content: bytes
    name: str
    timestamp: str = ""
    note: str = ""
    receipt: str = ""  # nbgrader's submission_secret.txt, by which its exchange hands the feedback back


def nearness(name: str, lab: str) -> int | None:
    """How near a file's name is to the lab's: 0 its own name, 1 a copy's, 2 the lab's number, 3 any notebook's."""
    if not NOTEBOOK.search(name) or name.startswith("."):
        return None
    if name == f"{lab}.ipynb":
        return 0
    stem = unicodedata.normalize("NFKC", NOTEBOOK.sub("", name)).lower()
    stem = re.sub(r"[\s_-]+", "_", COPY_MARKS.sub("", stem)).strip("_")
    if stem in (lab, lab.partition("_")[0]):
        return 1
    number = lab.partition("_")[0].removeprefix("lab")
    return 2 if lab in stem or re.search(rf"(?<![a-z])lab_?0*{number}(?!\d)", stem) else 3


# ---- nbgrader's folder ----------------------------------------------------------------------------------------------


def submitters(submitted: Path, lab: str) -> list[str]:
    """Everybody who has a folder, or something in its place, in `submitted/` with the lab in it."""
    if not submitted.is_dir():
        return []
    return sorted(entry.name for entry in os.scandir(submitted) if os.path.lexists(Path(entry.path, lab)))


def find(top: Path, inner: Sequence[str], lab: str) -> Found:
    """The submission in a folder below `top`, such as submitted/ and [STUDENT, LAB].

    Missing if there is none, Refused if it is none to read, OSError if reading fails.
    """
    with _opened(top, inner) as folder:
        candidates = sorted(_notebooks(folder, lab))
        if not candidates:
            raise Missing("the folder holds no notebook")
        plain = [path for _, _, path in candidates if stat.S_ISREG(_mode(path, folder))]
        path = (plain or [candidates[0][2]])[0]
        content = _read(path, folder, MAX_BYTES)
        name = path.rpartition("/")[2]
        note = "" if path == f"{lab}.ipynb" else f"it was called {name}"
        if len(plain) > 1:
            note = f"{len(plain)} notebooks were handed in; {path} was taken"
        try:
            timestamp = _read("timestamp.txt", folder, 100).decode().strip()
            parse_utc(timestamp)
        except FileNotFoundError:
            timestamp = ""
        except (OSError, ValueError, OverflowError):
            timestamp, note = "", note or "timestamp.txt holds no time"
        try:
            receipt = _read("submission_secret.txt", folder, 1000).decode().strip()
        except (OSError, ValueError):
            receipt = ""
    return Found(content, name, timestamp, note, receipt)


class _opened:
    """A descriptor of a folder below `top`, on the way to which nothing is a link."""

    def __init__(self, top: Path, inner: Sequence[str]):
        self.descriptor = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
        for name in inner:
            try:
                below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=self.descriptor)
            except OSError as error:
                if isinstance(error, FileNotFoundError):
                    raise Missing(f"{name} does not exist") from None
                if why := _why(name, self.descriptor, "folder"):
                    raise Refused(why) from None
                raise
            finally:
                os.close(self.descriptor)
            self.descriptor = below

    def __enter__(self) -> int:
        return self.descriptor

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)


def _notebooks(folder: int, lab: str) -> Iterator[tuple[int, float, str]]:
    """Distance, minus the time of the last change, and path of whatever is called like a notebook."""
    seen = 0
    for path, folders, files, descriptor in os.fwalk(".", dir_fd=folder, follow_symlinks=False):
        if path.count("/") >= MAX_DEPTH:
            folders.clear()
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            seen += 1
            if seen > MAX_FILES:
                return
            near = nearness(name, lab)
            if near is not None:
                changed = os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mtime
                yield 10 * path.count("/") + near, -changed, f"{path}/{name}".removeprefix("./")


def _read(path: str, folder: int, most: int) -> bytes:
    """The content of a plain file; Refused for anything else."""
    name = path.rpartition("/")[2]
    try:
        # without O_NONBLOCK, opening a FIFO would wait for somebody to write
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError:
        if why := _why(path, folder, "file"):
            raise Refused(why) from None
        raise
    with open(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise Refused(f"{name} is not a plain file")
        content = file.read(most + 1)
    if len(content) > most:
        raise Refused(f"{name} has more than {most:,} bytes")
    return content


def _mode(path: str, folder: int) -> int:
    return os.stat(path, dir_fd=folder, follow_symlinks=False).st_mode


def _why(path: str, folder: int, wanted: str) -> str:
    """What is wrong with something that could not be opened, if that can be seen from outside."""
    name = path.rpartition("/")[2]
    try:
        mode = _mode(path, folder)
    except OSError:
        return ""
    if stat.S_ISLNK(mode):
        return f"{name} is a link, which is not followed"
    is_wanted = stat.S_ISDIR(mode) if wanted == "folder" else stat.S_ISREG(mode)
    return "" if is_wanted else f"{name} is not a plain {wanted}"


# ---- downloads of Canvas, Moodle, or a person's own folder ----------------------------------------------------------

# Ada Lovelace_123_assignsubmission_file_/lab1.ipynb, or the same without the slash
MOODLE = re.compile(r"(?P<name>[^/]+?)_(?P<id>\d+)_assignsubmission_file_?/?(?P<file>.+)")
# lovelaceada_LATE_123_456_lab1.ipynb
CANVAS = re.compile(r"(?:.*/)?(?P<name>[^/_]+)_(?:LATE_)?(?P<id>\d+)_\d+_(?P<file>[^/]+)")


@dataclass(frozen=True)
class _Member:
    """A file in a download: its path there, when it was changed, and where to read it from."""

    path: str
    changed: tuple[float, ...]
    source: Path | zipfile.ZipInfo


def collect(download: Path, lab: str, people: Iterable[Person], submitted: Path) -> tuple[list[str], list[str]]:
    """Copy each student's notebook out of a folder or zip file to `submitted/STUDENT/LAB/LAB.ipynb`.

    Returns the students, and a line about everything that could not be taken. OSError or Refused if the download
    itself cannot be read.
    """
    people = list(people)
    lines: list[str] = []
    found: dict[str, list[tuple[int, _Member]]] = defaultdict(list)
    archive = _zip(download) if not download.is_dir() else None
    members = list(_in_zip(archive) if archive else _in_folder(download))
    top = {member.path.partition("/")[0] for member in members}
    shared = f"{top.pop()}/" if len(top) == 1 and all("/" in member.path for member in members) else ""
    for member in sorted(members, key=lambda member: member.changed, reverse=True):
        path = member.path.removeprefix(shared)
        match = MOODLE.fullmatch(path) or CANVAS.fullmatch(path)
        file = match["file"].rpartition("/")[2] if match else path.rpartition("/")[2]
        near = nearness(file, lab)
        if near is None:
            continue
        student = whose(match["name"], match["id"], people) if match else _plainly(path, lab, people)
        if usable(student):
            found[student].append((near, member))
        else:
            lines.append(f"{path!r:.100}: it does not say whose it is")
    taken = []
    for student, candidates in sorted(found.items()):
        _, member = min(candidates, key=lambda candidate: candidate[0])  # of equals the first, which is the newest
        try:
            content = _from_zip(archive, member) if archive else _from_folder(member)
            target = submitted / student / lab / f"{lab}.ipynb"
            if not target.is_file() or target.read_bytes() != content:
                write(target, content)
            taken.append(student)
        except (Refused, OSError) as error:
            lines.append(f"{student}: {error}")
    return taken, lines


def _plainly(path: str, lab: str, people: list[Person]) -> str:
    """Whose a file is that no platform has named: STUDENT/anything.ipynb, STUDENT_lab1.ipynb or STUDENT.ipynb."""
    folder, slash, _ = path.partition("/")
    if slash:
        return whose(folder, "", people)
    stem = NOTEBOOK.sub("", path)
    for person in people:
        if re.search(rf"(?<![^\W_]){re.escape(person.id)}(?![^\W_])", stem):
            return person.id
    stem = re.sub(rf"[\s_-]*{re.escape(lab)}.*|[\s_-]+{lab.partition('_')[0]}\b.*", "", stem)
    return whose(COPY_MARKS.sub("", stem), "", people)


def _zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile:
        raise Refused(f"{path.name} is neither a folder nor a zip file") from None


def _in_zip(archive: zipfile.ZipFile) -> Iterator[_Member]:
    for info in archive.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        if not info.is_dir() and kind in (0, stat.S_IFREG):
            yield _Member(info.filename.lstrip("/"), info.date_time, info)


def _in_folder(folder: Path) -> Iterator[_Member]:
    for path, folders, files in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            file = Path(path, name)
            yield _Member(file.relative_to(folder).as_posix(), (file.lstat().st_mtime,), file)


def _from_zip(archive: zipfile.ZipFile, member: _Member) -> bytes:
    assert isinstance(member.source, zipfile.ZipInfo)
    try:
        with archive.open(member.source) as file:
            content = file.read(MAX_BYTES + 1)  # whatever size it claims to have
    except (RuntimeError, NotImplementedError, zipfile.BadZipFile, EOFError) as error:
        raise Refused(f"{member.path} cannot be read: {error}") from None
    if len(content) > MAX_BYTES:
        raise Refused(f"{member.path} has more than {MAX_BYTES:,} bytes")
    return content


def _from_folder(member: _Member) -> bytes:
    assert isinstance(member.source, Path)
    folder = os.open(member.source.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return _read(member.source.name, folder, MAX_BYTES)
    finally:
        os.close(folder)
