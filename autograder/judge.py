"""Runs a submission and judges it: takes the place of nbgrader's Execute.

A check cell is not run as written. The judge puts its question, with inputs that only this run knows, to the function
in the student's kernel, reads plain values back from a display message, and compares them here, in its own process,
with what the lab's solution answers. Nothing that runs in the kernel can see or change that comparison.

A cell that runs too long or kills its kernel is stopped with its kernel; the notebook is then run again without it, so
that it costs its own points only.
"""

import atexit
import hashlib
import hmac
import os
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import Any

from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_output
from nbgrader.preprocessors import Execute
from traitlets import Integer, Unicode, default

import course
from autograder.rebuild import released
from autograder.reference import reference
from autograder.source import checked_exercise, tags
from course.checking.lab import MIME
from course.checking.reply import MAX_BYTES, Reply, unpack
from course.checking.verdict import Verdict


def quiet_transport() -> dict[str, str]:
    """A KernelManager's settings for sockets that are files: no open port, and no warning about one for each kernel."""
    if os.name != "posix":
        return {}
    folder = tempfile.mkdtemp(prefix="kernel-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    # an absolute path: the kernel's working folder is another
    return {"transport": "ipc", "ip": str(Path(folder) / "socket")}


class Judge(Execute):
    """Executes a rebuilt submission and replaces the outputs of its check cells by verdicts."""

    timeout = Integer(60, help="Seconds that one cell may run.").tag(config=True)
    question_timeout = Integer(20, help="Seconds that a student's function may take for one question.").tag(config=True)
    max_restarts = Integer(5, help="How often a submission is run again without a cell that hangs.").tag(config=True)
    max_output = Integer(2_000_000, help="Bytes of output that are kept of one cell.").tag(config=True)
    secret = Unicode(help="Where the questions' inputs come from; drawn anew for every run if not given.").tag(
        config=True
    )

    @default("secret")
    def _draw_secret(self) -> str:
        return secrets.token_hex(16)

    def seed(self, student: str, lab: str, exercise: str) -> str:
        """The seed of one question to one student: nobody can hand on an answer, and a run can be repeated."""
        message = "\0".join([student, lab, exercise]).encode()
        return hmac.new(self.secret.encode(), message, hashlib.sha256).hexdigest()

    def preprocess(self, nb: NotebookNode, resources: dict, km: Any = None) -> tuple[NotebookNode, dict]:
        """Run and judge the notebook, starting afresh without a cell that had to be stopped."""
        about = resources["nbgrader"]
        self.student, self.lab = about["student"], about["assignment"]
        release = released(self.lab, about["notebook"])
        # figures nobody has edited cannot change a grade
        self.unneeded = {cell.id: cell.source for cell in release.cells if tags(cell) & {"see", "train"}}
        self.stopped: set[str] = set()  # ids of the cells that a new start leaves out
        self.judged: set[str] = set()
        for _ in range(self.max_restarts):
            try:
                return super().preprocess(nb, resources, km)
            except (CellTimeoutError, DeadKernelError) as error:
                cell = self.running
                late = isinstance(error, CellTimeoutError)
                why = f"it ran for more than {self._limit(cell)} seconds" if late else "it ended the Python process"
                self.log.warning("%s: cell %s was stopped: %s", self.student, cell.id, why)
                self.stopped.add(cell.id)
                self._record_stop(cell, why)
        for cell in nb.cells:  # whatever has no verdict by now will not get one
            if checked_exercise(cell) and cell.id not in self.judged:
                self._record_stop(cell, f"the notebook had to be stopped {self.max_restarts} times before this cell")
        return nb, resources

    def preprocess_cell(self, cell: NotebookNode, resources: dict, index: int) -> tuple[NotebookNode, dict]:
        """Run a cell; judge it instead if it is a check; leave it alone if it cannot matter."""
        exercise = checked_exercise(cell)
        skip = self.unneeded.get(cell.id) == cell.source or cell.id in self.stopped or cell.id in self.judged
        if cell.cell_type != "code" or skip:
            return cell, resources
        self.running = cell
        if exercise is None:
            return super().preprocess_cell(cell, resources, index)
        self._judge(cell, exercise, index)
        self.judged.add(cell.id)
        return cell, resources

    def _judge(self, cell: NotebookNode, exercise: str, index: int) -> None:
        seed = self.seed(self.student, self.lab, exercise)
        judge = reference(self.lab)
        given = self._ask(exercise, seed, index)
        self.nb.cells[index] = cell  # nbclient has put what it executed, the request, in the cell's place
        verdict = judge.verdict(exercise, seed, given)
        credit = judge.credit(verdict) * cell.metadata.nbgrader["points"]
        cell.execution_count = None
        if verdict.right:
            cell.outputs = [_shown(verdict)]
        elif credit > 0:  # nbgrader reads partial credit from a result that is a number
            number = new_output("execute_result", {"text/plain": f"{credit:.2f}"}, execution_count=None)
            cell.outputs = [_shown(verdict), number]
        else:
            cell.outputs = [_shown(verdict), _no_points(verdict)]

    def _ask(self, exercise: str, seed: str, index: int) -> dict[str, Reply]:
        """What the student's function replies; nothing if no readable answer comes."""
        # the source is all that reaches the kernel: names and a seed
        request = new_code_cell(
            "__import__('course.checking.lab', fromlist=['answer'])"
            f".answer({self.lab!r}, {exercise!r}, {seed!r}, globals())",
            metadata={"question": True},
        )
        self.execute_cell(request, index, store_history=False)
        answers = [output.data[MIME] for output in request.outputs if MIME in output.get("data", {})]
        if len(answers) != 1 or not isinstance(answers[0], str):
            return {}
        try:
            return unpack(answers[0].encode())
        except ValueError as error:
            self.log.warning("%s: %s: %s", self.student, exercise, error)
            return {}

    def setup_kernel(self, **kwargs: Any) -> Any:
        """Start the kernel with the course that the judge itself uses, and with one thread."""
        environment = os.environ | {
            "PYTHONPATH": str(Path(course.__file__).parents[1]),
            "COURSE_PROGRESS": "off",
            "OMP_NUM_THREADS": "1",
        }
        return super().setup_kernel(env=environment, **kwargs)

    def _limit(self, cell: NotebookNode) -> int:
        is_question = cell.metadata.get("question") or checked_exercise(cell)
        return self.question_timeout if is_question else self.timeout

    def _get_timeout(self, cell: NotebookNode | None) -> int | None:
        return self.timeout if cell is None else self._limit(cell)

    async def _async_handle_timeout(self, timeout: int, cell: NotebookNode | None = None) -> None:
        # no interrupt, which a submission could catch: the kernel is killed when this leaves `preprocess`
        raise CellTimeoutError.error_from_timeout_and_cell("stopped", timeout, cell or self.running)

    def process_message(self, msg: dict, cell: NotebookNode, cell_index: int) -> NotebookNode | None:
        """Keep a cell's outputs up to `max_output` bytes (an answer's up to its own limit), drop the rest."""
        if msg["msg_type"] in {"stream", "display_data", "execute_result", "error", "update_display_data"}:
            limit = MAX_BYTES if cell.metadata.get("question") else self.max_output
            used = self._bytes.get(id(cell), 0) + len(str(msg["content"]))
            self._bytes[id(cell)] = used
            if used > limit:
                return None
        return super().process_message(msg, cell, cell_index)

    def reset_execution_trackers(self) -> None:
        """Forget the last run's counts."""
        super().reset_execution_trackers()
        self._bytes: dict[int, int] = {}

    def _record_stop(self, cell: NotebookNode, why: str) -> None:
        exercise = checked_exercise(cell)
        verdict = Verdict(exercise or "this cell", {"this": f"was stopped: {why}"})
        cell.outputs = [_shown(verdict), _no_points(verdict)]
        if exercise:
            self.judged.add(cell.id)


def _shown(verdict: Verdict) -> NotebookNode:
    return new_output("display_data", {"text/plain": str(verdict), "text/html": verdict._repr_html_()})


def _no_points(verdict: Verdict) -> NotebookNode:
    """What nbgrader takes for a failed test; the words are in the verdict that is shown above it."""
    line = f"{verdict.exercise}: no points"
    return new_output("error", ename="CheckFailed", evalue=line, traceback=[line])
