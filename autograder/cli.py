"""The command `autograder`: build, grade, status, feedback, export, stats.

It ends with 0 if all is well; 1 if something needs a look (the lines say what); 2 for a wrong command line; 3 if
something was left undone that the same command will do when it can; 4 if this machine cannot shut submissions in.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from autograder import ROOT, folder
from autograder.folder import Folder

ATTENTION, INCOMPLETE, UNSAFE, STOPPED = 1, 3, 4, 130
SHOWN = 20  # lines about changed scores


def _refusal(message: str, status: int = ATTENTION) -> click.ClickException:
    """One line on stderr, and the exit status."""
    error = click.ClickException(message)
    error.exit_code = status  # type: ignore[misc]
    return error


def _lab(context: click.Context, parameter: click.Parameter, name: str) -> str:
    try:
        return folder.require(name)
    except folder.NoLab as error:
        raise click.BadParameter(str(error)) from None


lab_argument = click.argument("lab", callback=_lab)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--course",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=ROOT / "autograder",
    help="nbgrader's course folder, with submitted/ in it.  [default: the checkout's autograder/]",
)
@click.pass_context
def main(context: click.Context, course: Path) -> None:
    """Build the labs, and grade a class of any size.

    Ends with 0 if all is well, 1 if something needs a look, 2 for a wrong command line, 3 if something was left undone
    that the same command will do when tried again, 4 if this machine cannot shut submissions in.
    """
    context.obj = Folder(course.resolve())


# ---- build ----------------------------------------------------------------------------------------------------------


@main.command()
@click.argument("labs", nargs=-1)
@click.option("--check", is_flag=True, help="Build nothing; say what is stale.")
@click.option("--fresh", is_flag=True, help="Execute every notebook, also where no code has changed.")
def build(labs: tuple[str, ...], check: bool, fresh: bool) -> None:
    """Build LABS (default: all) from their sources in solutions/."""
    from autograder import build as builder

    sys.exit(builder.main([*labs, *(["--check"] if check else []), *(["--fresh"] if fresh else [])]))


# ---- grade ----------------------------------------------------------------------------------------------------------


@main.command()
@lab_argument
@click.option("--student", "students", multiple=True, help="Grade this student only; may be given several times.")
@click.option("--again", is_flag=True, help="Also grade what is graded already.")
@click.option(
    "--from",
    "download",
    type=click.Path(exists=True, path_type=Path),
    help="First copy submissions from this folder or zip file, as Canvas or Moodle gives it, into submitted/.",
)
@click.option(
    "--roster",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="First put the people in this CSV file (of nbgrader, Canvas or Moodle) on the roster.",
)
@click.option("--enrol", is_flag=True, help="First put everybody who submitted on the roster.")
@click.option("-n", "--processes", type=click.IntRange(1), help="How many at once.  [default: one per core]")
@click.option("--scheduler", default="", metavar="ADDRESS", help="Grade on this dask cluster: tcp://HOST:PORT.")
@click.option("--unsafe", is_flag=True, help="Grade even if submissions can read and change whatever you can.")
@json_option
@click.pass_obj
def grade(course: Folder, as_json: bool, processes: int | None, **given: Any) -> None:
    """Grade LAB: whatever is in submitted/ and not graded yet. A run that was stopped is continued.

    What is graded already is graded again if it was handed in anew, or if the lab has changed since; scores and
    comments that a person has entered are kept.
    """
    from autograder import run

    if not given["scheduler"]:
        run.warm()  # the others import PyTorch while this process imports nbgrader

    from autograder import batch, ingest, ledger, roster
    from autograder.result import NoIsolation

    lab = given.pop("lab")
    options = batch.Options(processes=processes or _cores(), quiet=as_json, **given)
    try:
        report = batch.grade_lab(course, lab, options)
    except NoIsolation as error:
        raise _refusal(f"{error}\nSubmissions are not graded without it, unless you say --unsafe.", UNSAFE) from None
    except (roster.BadRoster, ingest.Refused) as error:
        raise _refusal(str(error), 2) from None
    except (ledger.Busy, OSError) as error:
        raise _refusal(str(error), INCOMPLETE) from None
    except KeyboardInterrupt:
        raise _refusal("stopped; what is graded is kept, and the same command goes on", STOPPED) from None
    if as_json:
        click.echo(json.dumps(report.facts()))
    else:
        for line in report.lines:
            click.echo(f"  {line}")
        for line in _changes(report.changed):
            click.echo(f"  {line}")
        took = f"{report.graded_now} graded in {report.seconds:.0f} s" if report.graded_now else "nothing new to grade"
        click.echo(f"{lab}: {_counted(report.people, report.counts)} ({took})")
    if report.incomplete:
        sys.exit(INCOMPLETE)
    if report.strangers or {"crashed", "unreadable"} & set(report.counts):
        sys.exit(ATTENTION)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _counted(people: int, counts: dict[str, int]) -> str:
    return f"{people} people: " + (", ".join(f"{count} {status}" for status, count in counts.items()) or "nobody")


def _changes(changed: dict[str, dict[str, tuple[float, float]]]) -> list[str]:
    lines = [
        f"{student}: {exercise} was {before:g}, is {now:g}"
        for student, exercises in changed.items()
        for exercise, (before, now) in exercises.items()
    ]
    more = len(lines) - SHOWN
    return [*lines[:SHOWN], f"... and {more} more scores changed (--json tells all)"] if more > 0 else lines


# ---- status ---------------------------------------------------------------------------------------------------------


@main.command()
@click.argument("labs", nargs=-1)
@json_option
@click.pass_obj
def status(course: Folder, labs: tuple[str, ...], as_json: bool) -> None:
    """Say how far the grading of LABS is (default: all that were begun)."""
    chosen = labs or sorted(path.name for path in (course.root / "runs").glob("lab*"))
    facts = {lab: _status(course, _lab_or_refuse(lab)) for lab in chosen}
    if as_json:
        click.echo(json.dumps(facts))
        return
    if not facts:
        click.echo("nothing was graded yet")
    for lab, found in facts.items():
        click.echo(f"{lab}: {_counted(found['people'], found['counts'])}")
        for line in found["lines"]:
            click.echo(f"  {line}")


def _lab_or_refuse(lab: str) -> str:
    try:
        return folder.require(lab)
    except folder.NoLab as error:
        raise _refusal(str(error), 2) from None


def _status(course: Folder, lab: str) -> dict[str, Any]:
    from autograder.ledger import Ledger

    with _book(course, lab) as book:
        people = {person.id for person in book.people()}
        recorded, waiting = book.scores(), book.waiting()
    ledger = Ledger(course.run(lab))
    records = {record.result.student: record for record in ledger.records()}
    counts = Counter(records[student].result.status if student in records else "missing" for student in people)
    unrecorded = sorted(student for student in people if student in records and student not in recorded)
    outdated = sum(record.fingerprint != folder.fingerprint(lab) for record in records.values())
    lines = [f"{student}: {record.result.note}" for student, record in records.items() if record.result.note]
    lines += [f"{student}: graded, but not on the roster" for student in sorted(records.keys() - people)]
    if unrecorded:
        lines.append(f"{len(unrecorded)} are not in the gradebook yet: autograder grade {lab}")
    if outdated:
        lines.append(f"the lab has changed since {outdated} were graded: autograder grade {lab}")
    if waiting:
        lines.append(f"{waiting} wait for a person to mark written answers: jupyter lab, Nbgrader, Formgrader")
    return {"people": len(people), "counts": dict(counts), "waiting": waiting, "lines": lines}


# ---- feedback -------------------------------------------------------------------------------------------------------


@main.command()
@lab_argument
@click.option("--student", default="*", help="For this student only.")
@click.pass_obj
def feedback(course: Folder, lab: str, student: str) -> None:
    """Make the feedback pages of LAB anew, with `nbgrader generate_feedback`, into feedback/STUDENT/LAB/."""
    from tqdm import tqdm

    command = [sys.executable, "-m", "nbgrader", "generate_feedback", lab, "--force", f"--student={student}"]
    command += [f"--CourseDirectory.root={course.root}", f"--CourseDirectory.db_url={course.gradebook}"]
    graded = len(list((course.root / "autograded").glob(f"{student}/{lab}/{lab}.ipynb")))
    if not graded:
        raise _refusal(f"nothing is graded: autograder grade {lab}")
    environment = os.environ | {"TRAITLETS_APPLICATION_RAISE_CONFIG_FILE_ERROR": "1"}
    home = course.root if (course.root / "nbgrader_config.py").exists() else ROOT / "autograder"
    said: list[str] = []
    with (
        subprocess.Popen(command, cwd=home, env=environment, text=True, stderr=subprocess.PIPE) as process,
        tqdm(total=graded, desc=lab, unit=" pages", disable=None) as bar,
    ):
        assert process.stderr is not None
        for line in process.stderr:
            if "| INFO] Converting notebook" in line:
                bar.update()
            elif "| ERROR]" in line:
                said.append(line.partition("] ")[2].strip())
    if process.returncode:
        raise _refusal("\n".join(["nbgrader could not make all feedback:", *said]))
    click.echo(f"{lab}: {graded} pages in {course.root / 'feedback'}")


# ---- export ---------------------------------------------------------------------------------------------------------

TO = ["nbgrader", "canvas", "moodle", "gradescope", "gradescope-autograder"]


@main.command()
@lab_argument
@click.option("--to", type=click.Choice(TO), default="nbgrader", show_default=True, help="For which system.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Where to; a folder for gradescope.  [default: by the lab]"
)
@click.option("--column", default="", help="The assignment's title in Canvas or Moodle.  [default: the lab's name]")
@click.option("--unsafe", is_flag=True, help="Let Gradescope's container be all that shuts submissions in.")
@click.pass_obj
def export(course: Folder, lab: str, to: str, output: Path | None, column: str, unsafe: bool) -> None:
    """Write the grades of LAB for another system, or the autograder itself for Gradescope.

    nbgrader, canvas, moodle: a CSV file with a row for everybody on the roster. gradescope: a results.json for
    everybody graded. gradescope-autograder: a zip file to upload as the autograder of a programming assignment.
    """
    output = output or Path(f"{lab}-{to}" + {"gradescope": "", "gradescope-autograder": ".zip"}.get(to, ".csv"))
    try:
        if to == "gradescope-autograder":
            from autograder import gradescope

            output.write_bytes(gradescope.archive(lab, unsafe=unsafe))
        elif to == "gradescope":
            count = _results(course, lab, output)
            click.echo(f"{count} results in {output}/")
            return
        else:
            from autograder import export as exporter

            writers: dict[str, Callable[..., str]] = {"canvas": exporter.canvas, "moodle": exporter.moodle}
            rows = _rows(course, lab)
            text = writers[to](rows, column) if to in writers else exporter.nbgrader(rows)
            output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise _refusal(f"{output} could not be written: {error.strerror}", INCOMPLETE) from None
    click.echo(output)


def _results(course: Folder, lab: str, output: Path) -> int:
    from autograder.export import gradescope
    from autograder.ledger import Ledger

    ledger, points = Ledger(course.run(lab)), folder.points(lab)
    count = 0
    for student in ledger.students():
        if record := ledger.load(student, notebook=True):
            path = output / student / "results.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(gradescope(record.result, points), encoding="utf-8")
            count += 1
    return count


def _rows(course: Folder, lab: str) -> list[Any]:
    from autograder.export import Row
    from autograder.ledger import Ledger

    ledger = Ledger(course.run(lab))
    rows = []
    with _book(course, lab) as book:
        maximum, submissions = book.maximum(), book.scores()
        for person in book.people():
            record = ledger.load(person.id)
            status = record.result.status if record else "missing"
            found = submissions.get(person.id)
            rows.append(
                Row(
                    person,
                    lab,
                    status if found is None or record else "graded",  # by nbgrader's own autograde
                    found.score if found else 0.0,
                    found.late_submission_penalty or 0.0 if found else 0.0,
                    maximum,
                    str(found.timestamp or "") if found else "",
                    str(found.duedate or "") if found else "",
                )
            )
    return rows


# ---- stats ----------------------------------------------------------------------------------------------------------


@main.command()
@lab_argument
@click.option("--figure", type=click.Path(dir_okay=False, path_type=Path), help="Also draw it, as a PNG file.")
@json_option
@click.pass_obj
def stats(course: Folder, lab: str, figure: Path | None, as_json: bool) -> None:
    """Say per question of LAB how many passed, and which misconceptions were met how often."""
    from autograder import stats as statistics
    from autograder.ledger import Ledger

    results = (record.result for record in Ledger(course.run(lab)).records())
    found = statistics.items(results, folder.points(lab))
    if as_json:
        click.echo(json.dumps([item.facts() for item in found]))
    else:
        click.echo(statistics.finding(lab, found))
        click.echo(statistics.table(found))
    if figure:
        from course.plotting import png

        figure.write_bytes(png(statistics.draw(lab, found)))


def _book(course: Folder, lab: str) -> Any:
    from autograder.gradebook import Book, Unavailable

    try:
        return Book(course, lab)
    except Unavailable as error:
        raise _refusal(str(error), INCOMPLETE) from None


if __name__ == "__main__":
    main()
