"""Runs a submission where it can reach nothing: the parent's side of `autograder.inside`.

    with session(limits) as cells:
        cells.run("x = 1")  # a cell's outputs
        cells.ask(lab, exercise, seed, unseen)
        cells.answer()  # packed replies: bytes that nobody vouches for

A zygote is started once per process and forked for each session. Deadlines are kept here, by killing. What comes back
is read up to a size and trusted in nothing.
"""

import atexit
import contextlib
import dataclasses
import json
import os
import platform
import shutil
import site
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import matplotlib

import course
from autograder import ROOT
from autograder.result import NoIsolation

Wall = Literal["namespaces", "bubblewrap", "none"]

START = 120.0  # seconds that a zygote may take to import everything on a busy machine
INSIDE = Path(__file__).parent / "inside"
COURSE = "/opt/course"  # where a submission sees the course's package
SEEN_INSIDE = "/opt/inside"  # where the zygote sees its own files
DATA = "/opt/data"
CACHE = "/var/cache"  # where the zygote sees the settings of Matplotlib and IPython
SYSTEM = [
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store"),
    *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives", "/etc/fonts"),
    *("/etc/localtime", "/etc/mime.types", "/etc/nsswitch.conf", "/etc/group"),
]


@dataclass(frozen=True)
class Limits:
    """How much of everything a submission may use."""

    cell: float = 60.0  # seconds that one cell may run
    question: float = 20.0  # seconds that a student's function may take for one question
    submission: float = 600.0  # seconds for all of it, with every new start
    restarts: int = 5  # how often a submission is run, each time without the cells that hung or died
    memory: int = 4 * 2**30  # bytes, all processes together
    cpu: int = 600  # seconds of processor time of one process
    processes: int = 32  # and threads
    files: int = 256  # open at once, in one process
    file_size: int = 64 * 2**20  # bytes of one file
    scratch: int = 256 * 2**20  # bytes of all files
    output: int = 2_000_000  # bytes of output that are kept of one cell
    answer: int = 8_000_000  # bytes of one question's packed replies


class Stopped(Exception):
    """A submission was stopped; the message is the rest of a sentence that begins with "it was stopped: "."""


# ---- the zygote -----------------------------------------------------------------------------------------------------


class Zygote:
    """A process with the course imported, behind a wall, that is forked for each session."""

    def __init__(self, wall: Wall) -> None:
        """Start it and wait until it is ready. NoIsolation, with the reason, if the wall cannot be built."""
        self.wall = wall
        self._control, theirs = socket.socketpair()
        settings = _settings(wall)
        with theirs, tempfile.TemporaryFile() as log:
            prefix, inside = (_bubblewrap(settings), SEEN_INSIDE) if wall == "bubblewrap" else ([], str(INSIDE))
            self._process = subprocess.Popen(
                [*prefix, sys.executable, "-P", "-s", f"{inside}/zygote.py", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=_environment(wall),
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
            theirs.close()
            try:
                self._control.settimeout(START)
                self._control.sendall(_message(json.dumps(settings).encode()))
                hello = json.loads(self._control.recv(1 << 12) or b"{}")
            except OSError:  # it has ended, or takes for ever
                hello = {}
            self.landlock: int = hello.get("landlock", 0)
            if "landlock" not in hello:
                self.close()
                log.seek(0)
                last = log.read()[-300:].decode(errors="replace").strip().rpartition("\n")[2]
                if "failed" in hello or wall == "none":
                    raise RuntimeError(f"no submission can be run: {hello.get('failed') or last}")
                raise NoIsolation(hello.get("missing") or last or f"status {self._process.returncode}")

    def fork(self, limits: Limits) -> tuple[socket.socket, socket.socket]:
        """The sockets of a new submission and of its supervisor. OSError if the zygote is gone."""
        (talk, inside_talk), (watch, inside_watch) = socket.socketpair(), socket.socketpair()
        with inside_talk, inside_watch:
            request = json.dumps(dataclasses.asdict(limits)).encode()
            socket.send_fds(self._control, [request], [inside_talk.fileno(), inside_watch.fileno()])
        return talk, watch

    def close(self) -> None:
        """End it, and with it everything that was forked from it."""
        self._control.close()
        self._process.kill()
        self._process.wait()


def _settings(wall: Wall) -> dict[str, Any]:
    """What the zygote is told: what it may see, and where it finds modules."""
    package = Path(course.__file__).resolve().parent
    packages = [path for path in [*site.getsitepackages(), site.getusersitepackages()] if path in sys.path]
    standard = [path for path in sys.path if Path(path).is_relative_to(sys.base_prefix)]
    roots = [sys.prefix, sys.base_prefix, sys.exec_prefix]
    parts = [f"{root}/{part}" for root in roots for part in ("bin", "lib", "lib64", "pyvenv.cfg")]
    fonts = Path(matplotlib.get_cachedir()).glob("fontlist-*.json")
    visible = {path: path for path in [*SYSTEM, *parts, *packages]}  # where it is seen: where it is
    visible |= {f"{COURSE}/course": str(package), SEEN_INSIDE: str(INSIDE)}
    visible |= {f"{CACHE}/matplotlib/{path.name}": str(path) for path in fonts}
    if "COURSE_DATA" in os.environ:
        visible[DATA] = os.environ["COURSE_DATA"]
    home, inside = (str(package.parent), str(INSIDE)) if wall == "none" else (COURSE, SEEN_INSIDE)
    return {
        "namespaces": wall == "namespaces",
        "isolated": wall != "none",
        "visible": [(os.path.realpath(path), seen) for seen, path in visible.items() if os.path.exists(path)],
        # the grader may lie in a folder that has to be visible
        "hidden": [str(ROOT / room) for room in ("autograder", "solutions", "tests")],
        "folders": [f"{CACHE}/{name}" for name in ("ipython", "matplotlib", "tmp")],
        "path": [inside, home, *dict.fromkeys([*standard, *packages])],
    }


def _environment(wall: Wall) -> dict[str, str]:
    """The environment of every submission: nothing of the grader's own."""
    folder = tempfile.gettempdir() if wall == "none" else CACHE
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ") if name in os.environ}
    if "COURSE_DATA" in os.environ:
        kept["COURSE_DATA"] = os.environ["COURSE_DATA"] if wall == "none" else DATA
    return kept | {
        **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"]),
        "HOME": folder,
        "TMPDIR": folder if wall == "none" else f"{CACHE}/tmp",  # until a submission has its own
        "PYTHONHASHSEED": "0",
        "COURSE_PROGRESS": "off",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MPLCONFIGDIR": f"{folder}/matplotlib",
        "IPYTHONDIR": f"{folder}/ipython",
    }


def _bubblewrap(settings: dict[str, Any]) -> list[str]:
    """The command that puts what follows behind the same wall by means of bubblewrap."""
    binds = [part for source, target in settings["visible"] for part in ("--ro-bind", source, target)]
    seen = [target for _, target in settings["visible"]]
    hidden = [path for path in settings["hidden"] if any(Path(path).is_relative_to(target) for target in seen)]
    covers = [part for path in hidden for part in ("--tmpfs", path)]
    folders = [part for path in settings["folders"] for part in ("--dir", path)]
    places = ["--proc", "/proc", "--dev", "/dev", "--size", str(Limits.scratch), "--tmpfs", "/tmp"]
    return ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", *binds, *covers, *folders, *places]


def _message(content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + content


_zygotes: dict[tuple[int, bool], Zygote] = {}
_starting = threading.Lock()


def zygote(unsafe: bool = False) -> Zygote:
    """This process's zygote, started when first asked for. NoIsolation, unless `unsafe`, if there can be no wall."""
    with _starting:
        key = os.getpid(), unsafe  # a fork of this process has its own
        if key not in _zygotes:
            _zygotes[key] = Zygote("none") if unsafe else _walled()
        return _zygotes[key]


def _forget(zygote: Zygote) -> None:
    zygote.close()
    with _starting:
        for key in [key for key, known in _zygotes.items() if known is zygote]:
            del _zygotes[key]


@atexit.register
def _close() -> None:
    for (pid, _), zygote in list(_zygotes.items()):
        if pid == os.getpid():
            zygote.close()


def _walled() -> Zygote:
    """A zygote behind the best wall that can be built here."""
    if not sys.platform.startswith("linux"):
        raise NoIsolation(f"{platform.system()} has no way to shut a submission in: use Linux, WSL 2 or a container")
    try:
        return Zygote("namespaces")
    except NoIsolation as error:
        why = f"this machine does not let us make user namespaces ({'; '.join([str(error), *_reasons()])})"
    if not shutil.which("bwrap"):
        raise NoIsolation(f"{why}, and bubblewrap (bwrap) is not installed")
    try:
        return Zygote("bubblewrap")
    except NoIsolation as error:
        raise NoIsolation(f"{why}, and bubblewrap does not work either ({error})") from None


def _reasons() -> list[str]:
    """What is known to forbid user namespaces, and is so here."""
    settings = {
        "/proc/sys/kernel/unprivileged_userns_clone": ("0", "sysctl kernel.unprivileged_userns_clone is 0"),
        "/proc/sys/user/max_user_namespaces": ("0", "sysctl user.max_user_namespaces is 0"),
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": (
            "1",
            "sysctl kernel.apparmor_restrict_unprivileged_userns is 1",
        ),
    }
    found = [
        why for path, (bad, why) in settings.items() if Path(path).exists() and Path(path).read_text().strip() == bad
    ]
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        found.append("this is a container; start it with --security-opt seccomp=unconfined and --cap-add SYS_ADMIN")
    return found


# ---- a session ------------------------------------------------------------------------------------------------------


class Session:
    """One notebook that is being run in a fork of the zygote."""

    def __init__(self, zygote: Zygote, limits: Limits, until: float) -> None:
        self._zygote, self._limits, self._until = zygote, limits, until
        self._talk, self._watch = zygote.fork(limits)
        self._due, self._patience = time.monotonic() + START, START
        self._why: str | None = None
        try:
            problem = self._reply(10_000).decode()
        except Stopped as error:
            problem = str(error)
        if problem:
            self.end()
            raise RuntimeError(f"a submission could not be started: {problem}")

    def run(self, source: str) -> bytes:
        """Run a cell: its outputs and its number as JSON. Stopped if that does not end well."""
        self._request({"run": source}, self._limits.cell)
        return self._reply(2 * self._limits.output + 100_000)  # base64 and JSON make it larger

    def ask(self, lab: str, exercise: str, seed: str, unseen: str) -> None:
        """Put a question, as `Question.put` does; Stopped if nobody is there to hear it."""
        self._request({"ask": [lab, exercise, seed, unseen]}, self._limits.question)

    def answer(self) -> bytes:
        """The packed replies to the question: maybe forged, maybe empty. Stopped if none come in time."""
        return self._reply(self._limits.answer)

    def _request(self, request: dict[str, Any], seconds: float) -> None:
        self._due, self._patience = time.monotonic() + seconds, seconds
        with self._heard():
            self._wait()
            self._talk.sendall(_message(json.dumps(request).encode()))

    def _reply(self, most: int) -> bytes:
        with self._heard():
            (length,) = struct.unpack(">I", self._exactly(4))
            if length > most:
                raise Stopped("it sent the grader something that cannot be read")
            return self._exactly(length)

    def _exactly(self, length: int) -> bytes:
        received = bytearray()
        while len(received) < length:
            self._wait()
            part = self._talk.recv(min(length - len(received), 1 << 16))
            if not part:
                raise ConnectionError
            received += part
        return bytes(received)

    def _wait(self) -> None:
        left = min(self._due, self._until) - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._talk.settimeout(left)

    @contextlib.contextmanager
    def _heard(self) -> Iterator[None]:
        """Say in words why there was no answer."""
        try:
            yield
        except TimeoutError:
            whole = self._until < self._due
            seconds = self._limits.submission if whole else self._patience
            what = "the whole notebook" if whole else "it"
            raise Stopped(f"{what} ran for more than {seconds:g} seconds") from None
        except OSError:
            raise Stopped(self.end() or "the sandbox has gone") from None

    def end(self) -> str:
        """Kill everything that the submission has started; why it ended, if its supervisor is left to say so."""
        if self._why is None:
            end = b""
            with contextlib.suppress(OSError):
                self._watch.settimeout(30)
                with contextlib.suppress(OSError):  # it may have ended already, and said why
                    self._watch.send(b".")
                end = self._watch.recv(1 << 12)
            self._why = end.decode()
            if not end or self._zygote.wall == "bubblewrap":
                # its supervisor or the zygote is gone; and bubblewrap's walls are not built for a second one
                _forget(self._zygote)
            self._talk.close()
            self._watch.close()
        return self._why


@contextlib.contextmanager
def session(limits: Limits, until: float, unsafe: bool = False) -> Iterator[Session]:
    """A fork of the zygote, for one run of a notebook that must be over at the time `until` (monotonic)."""
    try:
        cells = Session(zygote(unsafe), limits, until)
    except OSError:  # something has killed the zygote
        _forget(zygote(unsafe))
        cells = Session(zygote(unsafe), limits, until)
    try:
        yield cells
    finally:
        cells.end()
