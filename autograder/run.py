"""Grades many submissions at once: in processes of this machine, or on a dask cluster, with the same function.

Each process imports PyTorch once. Submissions are handed out one by one as processes become free, and results are
handed on as they come, so that memory does not grow with their number.
"""

import contextlib
import functools
import itertools
import multiprocessing
import multiprocessing.forkserver
import os
import pickle
import queue
import signal
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from autograder.far import call
from autograder.folder import fingerprint
from autograder.result import NoIsolation, Result

ATTEMPTS = 2  # at a submission whose process dies: one may be the fault of something else

PATIENCE = 20  # seconds for a scheduler to answer
WORKERLESS = 600  # seconds for a worker to come


@dataclass(frozen=True)
class Task:
    """One submission to grade, and what the lab has to be graded by."""

    student: str
    lab: str
    content: bytes
    secret: str
    fingerprint: str
    unsafe: bool = False


@dataclass(frozen=True)
class Failure:
    """The grader, not the submission, failed; there is no result."""

    student: str
    why: str


Work = Callable[[Task], Result]
Outcome = Result | Failure


class Lost(RuntimeError):
    """The cluster is gone; what it had not handed back is not graded."""


def work(task: Task) -> Result:
    """Grade one submission; this is what runs in every process, here or elsewhere."""
    from autograder.grade import grade  # here: PyTorch is for the processes that grade

    if fingerprint(task.lab) != task.fingerprint:
        raise RuntimeError(f"this process has another version of {task.lab}; restart it with the same checkout")
    with _turn:
        return grade(task.content, task.lab, task.student, task.secret, unsafe=task.unsafe)


_turn = threading.Lock()  # a dask worker may have several threads; the engine is one per process


# ---- processes of this machine --------------------------------------------------------------------------------------


def local(tasks: Iterable[Task], processes: int, work: Work = work) -> Iterator[Outcome]:
    """The outcome of every task, in the order in which they are done. NoIsolation if this machine cannot grade."""
    remaining = iter(tasks)
    attempts: dict[str, int] = {}
    workers: list[_Worker] = []
    warm()
    try:
        waiting: list[Task] = []

        def give(worker: _Worker) -> bool:
            task = waiting.pop() if waiting else next(remaining, None)
            if task is not None:
                attempts[task.student] = attempts.get(task.student, 0) + 1
                worker.give(task)
            return task is not None

        for _ in range(processes):
            worker = _Worker(work)
            workers.append(worker)
            if not give(worker):
                break
        while busy := {worker.pipe: worker for worker in workers if worker.task}:
            for pipe in wait(list(busy)):
                worker = busy[pipe]  # type: ignore[index]
                task = worker.task
                assert task is not None
                try:
                    yield worker.take()
                except EOFError:  # the process is dead
                    worker.end()
                    workers[workers.index(worker)] = worker = _Worker(work)
                    if attempts[task.student] < ATTEMPTS:
                        waiting.append(task)
                    else:
                        yield Failure(task.student, f"its process died {ATTEMPTS} times")
                else:
                    del attempts[task.student]
                give(worker)
    finally:
        for worker in workers:
            worker.end()


def warm() -> None:
    """Begin to import what grading needs, in a process that the others are forked from."""
    with _one_thread():
        _context().set_forkserver_preload(["autograder.grade"])
        multiprocessing.forkserver.ensure_running()


def _context() -> "multiprocessing.context.ForkServerContext":
    return multiprocessing.get_context("forkserver")


class _Worker:
    """A process that grades what it is given, and ends when this one does."""

    def __init__(self, work: Work):
        context = _context()
        self.pipe, theirs = context.Pipe()
        self.task: Task | None = None
        self.process = context.Process(target=_serve, args=(theirs, work), name="grader")
        self.process.start()
        theirs.close()

    def give(self, task: Task) -> None:
        self.task = task
        with contextlib.suppress(BrokenPipeError):  # a dead process shows when its answer is awaited
            self.pipe.send(task)

    def take(self) -> Outcome:
        outcome = self.pipe.recv()
        self.task = None
        if isinstance(outcome, NoIsolation):
            raise outcome
        return outcome

    def end(self) -> None:
        """Stop the process: at once if it is at work, else as soon as it sees that nothing more will come."""
        self.pipe.close()
        if self.task:
            self.process.kill()
        self.process.join(5)
        self.process.kill()
        self.process.join()


def _serve(pipe: Connection, work: Work) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this process
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            task = pipe.recv()
            pipe.send(_outcome(task, work))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _outcome(task: Task, work: Work) -> Outcome | NoIsolation:
    try:
        return work(task)
    except NoIsolation as error:
        return error
    except Exception as error:  # a mistake of the grader's own costs one submission, not the run
        return Failure(task.student, f"{type(error).__name__}: {error}".partition("\n")[0])


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Processes started meanwhile calculate with one thread each: there is one of them per core."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


# ---- a dask cluster -------------------------------------------------------------------------------------------------


def cluster(tasks: Iterable[Task], address: str, work: Work = work) -> Iterator[Outcome]:
    """The same on the workers of a `dask.distributed` scheduler. Lost if it goes away; NoIsolation as `local`.

    Every worker needs this checkout. The scheduler gives a submission to another worker when one dies.
    """
    try:
        from distributed import Client
    except ImportError:
        raise Lost("dask.distributed is not installed: pip install -e '.[dask]'") from None
    try:
        client = Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise Lost(f"no scheduler answers at {address}: {error}") from None
    with client:
        remaining = iter(tasks)
        students: dict[Any, str] = {}
        done: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def give() -> None:
            # one at work and one ready per thread; a cluster that grows by itself needs something to grow for
            wanted = max(4, 2 * sum(client.nthreads().values())) - len(students)
            for task in itertools.islice(remaining, max(wanted, 0)):
                packed = pickle.dumps((functools.partial(_outcome, work=work), task))
                future = client.submit(call, packed, key=f"grade-{task.lab}-{task.student}-{uuid.uuid4()}")
                students[future] = task.student
                future.add_done_callback(done.put)

        try:
            give()
            while students:
                future = _next(done, client, address)
                student = students.pop(future)
                if future.status == "finished":
                    outcome = pickle.loads(future.result(timeout=PATIENCE))
                    if isinstance(outcome, NoIsolation):
                        raise outcome
                    yield outcome
                elif future.status == "error":
                    yield Failure(student, f"its worker died or failed: {future.exception(timeout=PATIENCE)}")
                else:
                    raise Lost(f"the scheduler at {address} is gone")
                del future  # so that the cluster can forget it
                give()
        except (OSError, TimeoutError) as error:
            raise Lost(f"the scheduler at {address} is gone: {error}") from None


def _next(done: "queue.SimpleQueue[Any]", client: Any, address: str) -> Any:
    """The next future that is done; Lost if nothing has been there for long that could do one."""
    idle = 0
    while True:
        try:
            return done.get(timeout=PATIENCE)
        except queue.Empty:
            if client.status != "running":
                raise Lost(f"the scheduler at {address} is gone") from None
            idle = 0 if client.nthreads() else idle + 1
            if idle * PATIENCE >= WORKERLESS:
                raise Lost(f"the scheduler at {address} has had no worker for {WORKERLESS} seconds") from None
