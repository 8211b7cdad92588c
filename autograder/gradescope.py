"""The course's autograder as Gradescope runs it: `python -m autograder.gradescope FOLDER`, and the archive for it.

Gradescope unpacks the archive at /autograder/source, runs `setup.sh` once, then for every submission, in a container of
its own, `run_autograder`, which has to write /autograder/results/results.json.
"""

import io
import json
import secrets
import sys
import zipfile
from pathlib import Path

from autograder import ROOT, folder, ingest
from autograder.export import gradescope
from autograder.grade import NoIsolation, grade

SETUP = """\
#!/usr/bin/env bash
# Installs the course with what grading needs; Gradescope runs this once, when it builds the image.
set -euo pipefail
cd "$(dirname "$0")"
for python in python3 python3.13 python3.12 python3.11; do
    "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && break
    python=
done
if [ -z "$python" ]; then
    apt-get update && apt-get install -y --no-install-recommends python3.11 python3.11-venv
    python=python3.11
fi
"$python" -m venv .venv || {{ apt-get update && apt-get install -y python3-venv && "$python" -m venv .venv; }}
# Exported above this line, PIP_EXTRA_INDEX_URL, the index of CPU builds that PyTorch's installation page names, makes
# the image a tenth of the size.
.venv/bin/pip install --no-cache-dir -c constraints.txt -e '.[grade]'
chmod 700 secret
"""

RUN = """\
#!/usr/bin/env bash
# Grades one submission; Gradescope copies this file to /autograder and runs it there.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
cd "$here/source"
exec .venv/bin/python -m autograder.gradescope "$here" {lab}{unsafe}
"""

ROOMS = ["course", "autograder", "pyproject.toml", "constraints.txt", "README.md", "LICENSE"]
# an instructor's own, and what belongs to no version
LEFT_OUT = {"submitted", "autograded", "feedback", "exchange", "runs", "__pycache__", ".ipynb_checkpoints"}


def archive(lab: str, *, unsafe: bool = False) -> bytes:
    """A zip file to upload as the autograder of a programming assignment. NoLab if there is no such lab."""
    folder.require(lab)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for room in (*ROOMS, f"solutions/{lab}/{lab}.md", f"labs/{lab}"):
            for path in _files(ROOT / room):
                file.write(path, path.relative_to(ROOT).as_posix())
        _script(file, "setup.sh", SETUP.format())
        _script(file, "run_autograder", RUN.format(lab=lab, unsafe=" --unsafe" if unsafe else ""))
        file.writestr("secret", secrets.token_hex(16))
    return packed.getvalue()


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return [
        each
        for each in sorted(path.rglob("*"))
        if each.is_file() and not LEFT_OUT & set(each.relative_to(path).parts) and "gradebook.db" not in each.name
    ]


def _script(file: zipfile.ZipFile, name: str, text: str) -> None:
    info = zipfile.ZipInfo(name)
    info.external_attr = 0o100755 << 16
    file.writestr(info, text)


def run(base: Path, lab: str, *, unsafe: bool = False) -> str:
    """Grade what lies in `base/submission`; returns the text of `results.json`.

    NoIsolation if the container gives no means to shut the submission in and `unsafe` does not allow it to be graded.
    """
    points = folder.points(lab)
    try:
        found = ingest.find(base, ["submission"], lab)
    except ingest.Missing:
        return _nothing("No notebook was submitted: hand in the lab's .ipynb file.")
    except ingest.Refused as why:
        return _nothing(f"The submission could not be read: {why}.")
    secret = (base / "source" / "secret").read_text()
    return gradescope(grade(found.content, lab, _student(base), secret, unsafe=unsafe), points)


def _student(base: Path) -> str:
    """Whoever submitted, as Gradescope's metadata say it; a name that stays the same is all that is needed."""
    try:
        users = json.loads((base / "submission_metadata.json").read_text())["users"]
        return str(users[0].get("id") or users[0]["email"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return "student"


def _nothing(why: str) -> str:
    return json.dumps({"score": 0.0, "output": why, "visibility": "visible", "tests": []}, indent=2)


def main() -> int:
    """What `run_autograder` starts."""
    base, lab, *options = sys.argv[1:]
    try:
        results = run(Path(base), lab, unsafe="--unsafe" in options)
    except NoIsolation as error:
        # no results.json: Gradescope then tells the instructor, and no student gets a zero
        print(f"This container cannot shut submissions in ({error}); make the archive with --unsafe to grade anyway.")
        return 1
    path = Path(base) / "results" / "results.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(results)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
