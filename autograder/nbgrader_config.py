"""nbgrader's configuration: run its commands in this folder."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from nbgrader import preprocessors as steps  # noqa: E402

from autograder.judge import Judge  # noqa: E402
from autograder.rebuild import Rebuild, SubmissionExporter  # noqa: E402
from autograder.release import STUB, InstallWhereMissing, LetErrorsPass, NameStubs  # noqa: E402

c = get_config()  # type: ignore[name-defined]  # noqa: F821

c.CourseDirectory.root = str(HERE)
c.CourseDirectory.course_id = "generative-models"
c.CourseDirectory.source_directory = "../solutions"
c.CourseDirectory.release_directory = "../labs"
# whatever is not ignored is copied from solutions/ into the release and into every submission that is graded
c.CourseDirectory.ignore = [
    ".ipynb_checkpoints", "*.md", "*.py", "*.pyc", "__pycache__", ".course_progress.json", "*.pt", "*.safetensors",
]  # fmt: skip
c.CourseDirectory.db_url = os.environ.get("COURSE_GRADEBOOK", f"sqlite:///{HERE}/gradebook.db?timeout=60")
c.Exchange.root = os.environ.get("COURSE_EXCHANGE", str(HERE / "exchange"))

c.ClearSolutions.code_stub = {"python": f'raise NotImplementedError("{STUB}")'}
# nbgrader's own steps, with ours among them
c.GenerateAssignment.preprocessors = [
    steps.LockCells,
    steps.ClearSolutions,
    NameStubs,
    steps.ClearOutput,
    steps.CheckCellMetadata,
    steps.ComputeChecksums,
    steps.SaveCells,
    InstallWhereMissing,
    LetErrorsPass,
]
c.Autograde.exporter_class = SubmissionExporter
c.Autograde.sanitize_preprocessors = [
    Rebuild,
    steps.ClearOutput,
    steps.OverwriteKernelspec,
    steps.OverwriteCells,
    steps.CheckCellMetadata,
]
c.Autograde.autograde_preprocessors = [
    Judge,
    steps.LimitOutput,
    steps.SaveAutoGrades,
    steps.AssignLatePenalties,
    steps.CheckCellMetadata,
]
