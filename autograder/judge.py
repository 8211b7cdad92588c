"""nbgrader's step that runs a submission and judges it: takes the place of its Execute, and calls `execute`."""

import secrets

from nbformat import NotebookNode
from nbgrader.preprocessors import NbGraderPreprocessor
from traitlets import Bool, Integer, Unicode, default

from autograder.execute import execute
from autograder.sandbox import Limits


class Judge(NbGraderPreprocessor):
    """Executes a rebuilt submission in the sandbox and replaces the outputs of its check cells by verdicts."""

    timeout = Integer(60, help="Seconds that one cell may run.").tag(config=True)
    question_timeout = Integer(20, help="Seconds that a student's function may take for one question.").tag(config=True)
    max_restarts = Integer(5, help="How often a submission is run again without a cell that hangs.").tag(config=True)
    max_output = Integer(2_000_000, help="Bytes of output that are kept of one cell.").tag(config=True)
    unsafe = Bool(help="Run submissions as your own user, with nothing between them and your files.").tag(config=True)
    secret = Unicode(help="Where the questions' inputs come from; drawn anew for every run if not given.").tag(
        config=True
    )

    @default("secret")
    def _draw_secret(self) -> str:
        return secrets.token_hex(16)

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        """Run and judge the notebook."""
        about = resources["nbgrader"]
        limits = Limits(
            cell=self.timeout,
            question=self.question_timeout,
            restarts=self.max_restarts,
            output=self.max_output,
        )
        outcome = execute(nb, about["assignment"], about["student"], self.secret, limits, self.unsafe)
        for cell, why in outcome.stopped.items():
            self.log.warning("%s: cell %s was stopped: %s", about["student"], cell, why)
        return nb, resources
