"""The process that submissions are forked from: Python, PyTorch and the course, imported once, and nothing else.

It is started as a script by `autograder.sandbox`, with a socket to its parent:
    parent -> zygote   settings (JSON), once
    zygote -> parent   {"landlock": 7} when it is ready; {"missing": "..."} if it cannot be walled in, {"failed": "..."}
    parent -> zygote   limits (JSON) and two sockets, for each submission
The first of the two is the submission's: the parent sends {"run": source} or {"ask": [lab, exercise, seed, unseen]},
and gets back a cell's outputs as JSON or packed replies. A message is its length in four bytes, and its bytes. The
other is its supervisor's: whatever is sent, or its end, has the submission killed; why it ended comes back.
"""

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import resource
import select
import shutil
import signal
import socket
import struct
import sys
import tempfile
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import jail

Settings = dict[str, Any]


def main() -> None:
    """Serve until the parent hangs up."""
    control = socket.socket(fileno=int(sys.argv[1]))
    settings = json.loads(receive(control))
    step = "missing"
    try:
        if settings["namespaces"]:
            jail.enter(settings["visible"], settings["hidden"], settings["folders"])
        step = "failed"
        sys.path[:] = settings["path"]
        sys.modules["__main__"] = types.ModuleType("__main__")  # a notebook has its own
        sys.argv = ["notebook"]
        settings = {key: settings[key] for key in ("namespaces", "isolated")}  # the rest names places of the machine
        cells = prepare()
    except Exception as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else f"{type(error).__name__}: {error}"
        control.sendall(json.dumps({step: why[:1000]}).encode())
        return
    control.sendall(json.dumps({"landlock": jail.landlock_version() if settings["isolated"] else 0}).encode())
    while True:
        request, sockets, _, _ = socket.recv_fds(control, 1 << 12, 2)
        if not request:
            return
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:  # supervisors that have ended
                pass
        talk, watch = (socket.socket(fileno=fd) for fd in sockets)
        if os.fork() == 0:
            control.close()
            supervise(cells, talk, watch, settings, json.loads(request))
        talk.close()
        watch.close()


def prepare() -> Any:
    """Import and try out whatever a notebook needs, so that no submission has to."""
    import matplotlib.pyplot as plt
    import torch
    from cells import Cells

    import course
    from course.checking.lab import answer

    inside = sys.path[0]
    torch.set_num_threads(1)
    for module in pkgutil.walk_packages(course.__path__, "course."):
        importlib.import_module(module.name)
    cells = Cells(answer)
    torch.optim.AdamW([torch.zeros(1, requires_grad=True)])  # the first optimizer imports 800 modules
    plt.plot([0, 1])  # reads the fonts
    plt.gcf().savefig(os.devnull, format="png")
    plt.close("all")
    sys.path.remove(inside)
    sys.path.insert(0, "")  # the working folder, as in a notebook
    del sys.modules["cells"], sys.modules["jail"]  # names that are a notebook's to use
    gc.collect()
    gc.freeze()
    return cells


# ---- one submission -------------------------------------------------------------------------------------------------


def supervise(cells: Any, talk: socket.socket, watch: socket.socket, settings: Settings, limits: Settings) -> None:
    """Fork the submission into its own namespaces, and stay outside to end it and everything it has started."""
    why = ""
    folder = None
    try:
        if settings["isolated"]:
            processes = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
        if settings["namespaces"]:
            jail.unshare()
        else:
            folder = tempfile.mkdtemp(prefix="submission-")
        child = os.fork()
        if child == 0:
            watch.close()
            live(cells, talk, settings, limits, folder)
        talk.close()
        pause = 0.1
        while not why and not select.select([watch], [], [], pause)[0]:
            start = time.monotonic()
            if settings["isolated"] and memory(processes, child, limits["memory"]) > limits["memory"]:
                why = f"it used more than {limits['memory'] / 2**30:.3g} GiB of memory"
            pause = max(0.1, 10 * (time.monotonic() - start))
        os.kill(child, signal.SIGKILL)
        if not settings["namespaces"]:
            with contextlib.suppress(OSError):
                os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)  # returns when every process of its namespace has gone
        watch.send((why or "it ended the Python process").encode())
    except Exception as error:  # the machine's fault, not the submission's
        watch.send(f"its supervisor failed ({type(error).__name__}: {error})".encode())
    finally:
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)


def memory(processes: int, child: int, allowed: int) -> int:
    """About how many bytes the processes in the namespace of `child` have for themselves; exactly, if too many."""

    def read(pid: str, name: str) -> bytes:
        file = os.open(f"{pid}/{name}", os.O_RDONLY, dir_fd=processes)
        try:
            return os.read(file, 4096)
        finally:
            os.close(file)

    def each(size: Callable[[str], int]) -> int:
        total = 0
        for pid in filter(str.isdigit, os.listdir(processes)):
            with contextlib.suppress(OSError, KeyError):  # it has ended, or is not of this namespace
                if os.readlink(f"{pid}/ns/pid", dir_fd=processes) == namespace:
                    total += size(pid)
        return total

    def resident(pid: str) -> int:
        _, pages, shared, *_ = map(int, read(pid, "statm").split())
        return (pages - shared) * resource.getpagesize()

    def share(pid: str) -> int:
        """Memory that a fork has in common with others counts in parts."""
        lines = dict(line.split(b":", 1) for line in read(pid, "smaps_rollup").splitlines()[1:])
        return int(lines[b"Pss_Anon"].split()[0]) * 1024

    try:
        namespace = os.readlink(f"{child}/ns/pid", dir_fd=processes)
    except OSError:
        return 0
    about = each(resident)
    return each(share) if about > allowed else about


def live(cells: Any, talk: socket.socket, settings: Settings, limits: Settings, folder: str | None) -> None:
    """Become the submission: give up everything, then do what the parent asks until it hangs up."""
    try:
        try:
            give_up(cells, talk.fileno(), settings, limits, folder)
        except Exception as error:  # the machine's fault, not the submission's
            send(talk, f"{type(error).__name__}: {error}".encode())
            return
        send(talk, b"")
        serve(cells, talk, limits["answer"])
    finally:
        os._exit(1)


def give_up(cells: Any, keep: int, settings: Settings, limits: Settings, folder: str | None) -> None:
    """Everything but the file descriptor `keep`."""
    if settings["namespaces"]:
        jail.die_with_parent()
        jail.scratch(limits["scratch"])
    else:
        os.setsid()
    os.nice(10)  # however many processes it starts, whoever watches them gets a turn
    home = folder or jail.SCRATCH
    os.chdir(home)
    os.environ.update(HOME=home, TMPDIR=home)
    tempfile.tempdir = None
    os.closerange(3, keep)
    os.closerange(keep + 1, 65536)
    cells.begin(limits["output"])
    limit(limits, processes=settings["isolated"])
    if settings["isolated"]:
        jail.give_up_privileges([home, "/dev/shm"])


def limit(limits: Settings, processes: bool) -> None:
    """Set the limits that the kernel keeps; on `processes` only where none but the submission's are counted."""
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    values = {
        resource.RLIMIT_AS: pages * resource.getpagesize() + limits["memory"] if pages else resource.RLIM_INFINITY,
        resource.RLIMIT_FSIZE: limits["file_size"],
        resource.RLIMIT_NOFILE: limits["files"],
        resource.RLIMIT_CPU: limits["cpu"],
        resource.RLIMIT_CORE: 1,  # and not 0, which a core pattern that is a program would not heed
    }
    if processes:
        values[resource.RLIMIT_NPROC] = limits["processes"]
    for what, value in values.items():
        with contextlib.suppress(ValueError, OSError):  # a lower one is in force
            resource.setrlimit(what, (value, value))


def serve(cells: Any, talk: socket.socket, most: int) -> None:
    """Answer until there is nobody left to answer to."""
    while True:
        request = json.loads(receive(talk))
        if "run" in request:
            reply = cells.run(request["run"])
        else:
            try:
                reply = cells.answer(*request["ask"])
            except BaseException:  # a student's function may raise anything
                reply = b""
        if len(reply) > most:
            reply = b""
        send(talk, reply)


def send(talk: socket.socket, message: bytes) -> None:
    """One message."""
    talk.sendall(struct.pack(">I", len(message)) + message)


def receive(talk: socket.socket) -> bytes:
    """The next message; ends the process if there will be none."""
    (length,) = struct.unpack(">I", _exactly(talk, 4))
    return _exactly(talk, length)


def _exactly(talk: socket.socket, length: int) -> bytes:
    parts = []
    while length:
        part = talk.recv(min(length, 1 << 16))
        if not part:
            os._exit(0)
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


if __name__ == "__main__":
    main()
