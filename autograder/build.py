"""Build a lab from its source: `python -m autograder.build` builds every lab, `... --check` says what is stale.

From `solutions/LAB/LAB.md` come
    solutions/LAB/LAB.ipynb           the source executed, with outputs, for reading
    labs/LAB/LAB.ipynb                the student's notebook, made by nbgrader's own generate step
    course/checking/answers/LAB.npz   what right and typically wrong functions answer to the public questions
Building twice changes nothing: ids come from contents, nothing records a time, seeds are fixed.  Where no code has
changed since the last execution, a cell's or a module's, the outputs are kept and nothing is executed.
"""

import argparse
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from traitlets.config import Config

from autograder import LABS, ROOT, SOLUTIONS
from autograder.reference import Reference
from autograder.source import SourceError, labs, read_source, source_path
from course.checking.lab import ANSWERS, PUBLIC, read_answers, write_answers
from course.checking.reply import pack
from course.checking.verdict import judge

MAX_OUTPUTS = 1_500_000  # bytes of one executed notebook's outputs
_IMPORTED = "import sys as _sys; print(*sorted(m for m in _sys.modules if m.partition('.')[0] == 'course'))"


# ---- the stored answers ---------------------------------------------------------------------------------------------


def answers(lab: str) -> dict[str, bytes]:
    """What the reference and every misconception answer to the public questions, one entry per exercise."""
    reference = Reference(lab)
    return {
        name: write_answers(reference.expected(name, PUBLIC), reference.misconceptions(name, PUBLIC))
        for name in reference.lab.questions
    }


def stale_answers(lab: str) -> list[str]:
    """The exercises whose stored answers are not what the solution says now."""
    path = ANSWERS / f"{lab}.npz"
    if not path.exists():
        return [str(path.relative_to(ROOT))]
    with np.load(path, allow_pickle=False) as file:
        stored = {name: file[name].tobytes() for name in file.files}
    current = answers(lab)
    if stored.keys() != current.keys():
        return sorted(stored.keys() ^ current.keys())
    return [name for name in current if not _same_answers(stored[name], current[name])]


def _same_answers(stored: bytes, current: bytes) -> bool:
    """Equal up to the rounding that differs between processors."""
    (expected, known), (expected_now, known_now) = read_answers(stored), read_answers(current)
    return (
        expected.keys() == expected_now.keys()
        and judge("", expected_now, expected, []).right
        and [m.hint for m in known] == [m.hint for m in known_now]
        and all(
            pack(a.replies) == pack(b.replies) or judge("", b.replies, a.replies, []).right
            for a, b in zip(known, known_now, strict=True)
        )
    )


def _write_answers(lab: str) -> None:
    packed = io.BytesIO()
    arrays: dict[str, Any] = {name: np.frombuffer(entry, np.uint8) for name, entry in answers(lab).items()}
    np.savez_compressed(packed, **arrays)
    _replace(ANSWERS / f"{lab}.npz", packed.getvalue())


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.new")
    scratch.write_bytes(content)
    scratch.replace(path)


# ---- the executed notebook ------------------------------------------------------------------------------------------


def _quiet_transport(folder: str) -> dict[str, str]:
    """A KernelManager's settings for sockets that are files in this folder: no open port, and no warning about one."""
    return {"transport": "ipc", "ip": f"{folder}/socket"} if os.name == "posix" else {}


def execute(lab: str) -> NotebookNode:
    """The source executed from a fresh kernel, without anything that differs from run to run."""
    notebook = read_source(lab)
    probe = nbformat.v4.new_code_cell(_IMPORTED, id="probe")
    notebook.cells.append(probe)
    environment = {"COURSE_STATIC": "1", "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"}
    previous = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / lab  # alone in there, so that `progress()` sees this run only
            folder.mkdir()
            client = NotebookClient(
                notebook,
                timeout=1800,
                kernel_name="python3",
                resources={"metadata": {"path": str(folder)}},
                record_timing=False,
                store_widget_state=False,
                coalesce_streams=True,
                on_cell_start=_announce(lab, len(notebook.cells)),
                config=Config({"KernelManager": _quiet_transport(scratch)}),
            )
            client.execute()
    finally:
        for name, value in previous.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)
    notebook.cells.remove(probe)
    modules = probe.outputs[0].text.split()
    notebook.metadata["language_info"] = NotebookNode(name="python")
    notebook.metadata["built_from"] = NotebookNode(
        source=_digest(source_path(lab)), **{module: _digest(path) for module, path in _files(modules).items()}
    )
    size = sum(len(nbformat.v4.writes(nbformat.v4.new_notebook(cells=[cell]))) for cell in notebook.cells)
    size -= sum(len(cell.source) for cell in notebook.cells)
    if size > MAX_OUTPUTS:
        raise SourceError(f"{lab}: the outputs are {size:,} bytes; at most {MAX_OUTPUTS:,} are allowed")
    return notebook


def with_kept_outputs(lab: str) -> NotebookNode | None:
    """The source with the outputs of the last execution; None where a code cell or a module has changed since then."""
    path, notebook = SOLUTIONS / lab / f"{lab}.ipynb", read_source(lab)
    if not path.exists():
        return None
    last = nbformat.read(path, as_version=4)
    built = dict(last.metadata.get("built_from", {}))
    if not built.pop("source", None) or _changed(built):
        return None
    now, then = ([cell for cell in nb.cells if cell.cell_type == "code"] for nb in (notebook, last))
    if [(cell.source, cell.metadata) for cell in now] != [(cell.source, cell.metadata) for cell in then]:
        return None
    for cell, before in zip(now, then, strict=True):
        cell.outputs, cell.execution_count = before.outputs, before.execution_count
    notebook.metadata["language_info"] = last.metadata["language_info"]
    notebook.metadata["built_from"] = NotebookNode(last.metadata["built_from"], source=_digest(source_path(lab)))
    return notebook


def _changed(digests: dict[str, str]) -> list[str]:
    """The modules whose files no longer have these digests."""
    return [module for module, path in _files(list(digests)).items() if _digest(path) != digests[module]]


def _announce(lab: str, total: int):
    def announce(cell: NotebookNode, cell_index: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{lab}: cell {cell_index + 1} of {total}", end="", file=sys.stderr, flush=True)

    return announce


def _files(modules: list[str]) -> dict[str, Path]:
    """The files of the course's modules a notebook imported; the checks' own engine does not shape its outputs."""
    paths = {}
    for module in modules:
        base = ROOT.joinpath(*module.split("."))
        path = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
        if not module.startswith("course.checking"):
            paths[module] = path
    return paths


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.exists() else "missing"


def stale_notebook(lab: str) -> str | None:
    """What has changed since the solution notebook was executed, or None."""
    path = SOLUTIONS / lab / f"{lab}.ipynb"
    if not path.exists():
        return "it was never executed"
    built = dict(nbformat.read(path, as_version=4).metadata.get("built_from", {}))
    if built.pop("source", None) != _digest(source_path(lab)):
        return "its source changed"
    changed = _changed(built)
    return f"{', '.join(changed)} changed" if changed else None


# ---- the student's notebook -----------------------------------------------------------------------------------------


def release(lab: str) -> None:
    """Make `labs/LAB` from the executed solution with nbgrader's stock command, and nothing else in it."""
    with tempfile.TemporaryDirectory() as folder:
        _generate(lab, LABS, folder)


def stale_release(lab: str) -> bool:
    """Whether the student's notebook is not what the generate step makes now."""
    with tempfile.TemporaryDirectory() as folder:
        _generate(lab, Path(folder) / "labs", folder)
        old, new = (root / lab / f"{lab}.ipynb" for root in (LABS, Path(folder) / "labs"))
        return not old.exists() or old.read_bytes() != new.read_bytes()


def _generate(lab: str, destination: Path, scratch: str) -> None:
    command = [
        *(sys.executable, "-m", "nbgrader", "generate_assignment", lab, "--force", "--log-level=WARN"),
        f"--CourseDirectory.release_directory={destination}",
    ]
    environment = os.environ | {
        "COURSE_GRADEBOOK": f"sqlite:///{scratch}/gradebook.db",
        "TRAITLETS_APPLICATION_RAISE_CONFIG_FILE_ERROR": "1",
        # nbgrader starts alembic by its bare name
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
    }
    done = subprocess.run(
        command, cwd=ROOT / "autograder", env=environment, text=True, capture_output=True, check=False
    )
    if done.returncode:
        raise SourceError(f"nbgrader could not release {lab}:\n{done.stderr or done.stdout}")


# ---- the command ----------------------------------------------------------------------------------------------------


def build(lab: str, fresh: bool = False) -> None:
    """Build everything that comes from a lab's source; nothing is replaced unless all of it succeeds up to there.

    fresh: execute the notebook even where no code has changed.
    """
    start = time.monotonic()
    _write_answers(lab)  # first: the notebook's own checks read them
    notebook = (None if fresh else with_kept_outputs(lab)) or execute(lab)
    _replace(SOLUTIONS / lab / f"{lab}.ipynb", (nbformat.writes(notebook) + "\n").encode())
    shutil.rmtree(LABS / lab, ignore_errors=True)
    release(lab)
    print(f"\r{lab}: built in {time.monotonic() - start:.0f} s")


def stale(lab: str) -> list[str]:
    """What of this lab is not up to date, one sentence each."""
    found = []
    if why := stale_notebook(lab):
        found.append(f"solutions/{lab}/{lab}.ipynb is stale: {why}")
    if names := stale_answers(lab):
        found.append(f"course/checking/answers/{lab}.npz is stale: {', '.join(names)}")
    if not found and stale_release(lab):
        found.append(f"labs/{lab}/{lab}.ipynb is stale")
    return found


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m autograder.build", description="Build the labs from their sources."
    )
    parser.add_argument("lab", nargs="*", help="labs to build (default: all)")
    parser.add_argument("--check", action="store_true", help="build nothing; say what is stale")
    parser.add_argument("--fresh", action="store_true", help="execute every notebook, also where no code has changed")
    options = parser.parse_args(arguments)
    try:
        for lab in options.lab:
            source_path(lab)
        chosen = options.lab or labs()
        if options.check:
            found = [line for lab in chosen for line in stale(lab)]
            print("\n".join(found) or "everything is up to date")
            return bool(found)
        for lab in chosen:
            build(lab, options.fresh)
    except (SourceError, CellExecutionError) as error:
        print(f"build: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
