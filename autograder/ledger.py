"""What is known about the grading of one lab, on disk, so that a run which is killed loses nothing.

    runs/LAB/run.json                        the secret that the questions' inputs come from, drawn once
    runs/LAB/received/STUDENT/DIGEST.ipynb   every submission as it came, byte for byte; DIGEST.json says when
    runs/LAB/results/STUDENT.json            the latest result of each student; the second line is the graded notebook

Every file is written whole or not at all. The gradebook is made from the results and can be made again.
"""

import contextlib
import datetime
import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from autograder.result import Result


class Busy(RuntimeError):
    """Another run holds this lab."""


@dataclass(frozen=True)
class Record:
    """A result, what graded it, when its submission was handed in, and nbgrader's receipt ("" if there is none)."""

    result: Result
    fingerprint: str
    timestamp: str = ""
    receipt: str = ""


class Ledger:
    """The folder `runs/LAB`; made when something is first written."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.damaged: set[str] = set()  # students whose result could not be read back

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep every other run out while this one lasts, also if it is killed; Busy if one is at work."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(self.folder / "lock", "a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise Busy(f"another run is grading {self.folder.name} at this moment") from None
            yield

    @property
    def secret(self) -> str:
        """The run's secret: the same for every submission to the lab, whenever it is graded."""
        path = self.folder / "run.json"
        if not path.exists():
            write(path, json.dumps({"secret": secrets.token_hex(16), "drawn": _now()}).encode(), mode=0o600)
        return json.loads(path.read_text())["secret"]

    def archive(self, student: str, content: bytes, name: str, timestamp: str = "") -> str:
        """Keep a submission as it came; returns its SHA-256."""
        digest = hashlib.sha256(content).hexdigest()
        path = self._received(student, digest)
        about = path.with_suffix(".json")
        if not about.exists():
            write(path, content)
            facts = {"name": name, "sha256": digest, "bytes": len(content), "received": _now(), "timestamp": timestamp}
            write(about, json.dumps(facts).encode())
        return digest

    def submission(self, student: str, digest: str) -> bytes:
        """A submission as it came."""
        return self._received(student, digest).read_bytes()

    def save(self, record: Record) -> None:
        """Keep a result; OSError if the disk does not take it."""
        facts = json.loads(record.result.to_json())
        notebook = facts.pop("notebook")
        about = {"fingerprint": record.fingerprint, "timestamp": record.timestamp, "receipt": record.receipt}
        head = about | {"result": facts}
        write(self._result(record.result.student), json.dumps(head).encode() + b"\n" + notebook.encode())

    def load(self, student: str, *, notebook: bool = False) -> Record | None:
        """A student's latest result, with its notebook only on demand, or None; one that is damaged is noted."""
        try:
            with open(self._result(student), "rb") as file:
                head = json.loads(file.readline())
                text = file.read().decode() if notebook else ""
            result = Result.from_json(json.dumps(head["result"] | {"notebook": text}).encode())
            return Record(result, head["fingerprint"], head["timestamp"], head["receipt"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError):
            self.damaged.add(student)
            return None

    def students(self) -> list[str]:
        """Everybody who has a result, in order."""
        return sorted(unquote(path.stem) for path in (self.folder / "results").glob("[!.]*.json"))

    def records(self) -> Iterator[Record]:
        """Every result, one at a time and without its notebook."""
        for student in self.students():
            if record := self.load(student):
                yield record

    def _received(self, student: str, digest: str) -> Path:
        return self.folder / "received" / _file_name(student) / f"{digest}.ipynb"

    def _result(self, student: str) -> Path:
        return self.folder / "results" / f"{_file_name(student)}.json"


def write(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write a file whole or not at all, and onto the disk before its name shows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.new")
    try:
        with open(scratch, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            scratch.unlink()
        raise


def _file_name(student: str) -> str:
    """The student's name as a file's, one to one: what may not stand there becomes %XX."""
    name = quote(student, safe=" @+,=")
    return name if not name.startswith(".") else f"%2E{name[1:]}"


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
