"""Which exercises are done: remembered in a small file beside the notebook, shown as a table."""

import html
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

FILE = ".course_progress.json"
_MARKS = {"done": "✓", "tried": "✗", "open": "·"}


def remember(lab: str, exercise: str, right: bool) -> None:
    """Note the outcome of a check in the working folder, which is the notebook's.

    COURSE_PROGRESS=off turns it off. A folder that cannot be written is no reason to fail a check: nothing is noted.
    """
    if os.environ.get("COURSE_PROGRESS") == "off":
        return
    known = _read(Path(FILE))
    known.setdefault(lab, {})[exercise] = "done" if right else "tried"
    try:
        with tempfile.NamedTemporaryFile("w", dir=".", prefix=FILE, delete=False, encoding="utf-8") as file:
            json.dump(known, file, indent=1, sort_keys=True)
        os.replace(file.name, FILE)
    except OSError:
        pass


def _read(path: Path) -> dict[str, dict[str, str]]:
    """The file's content; a missing or damaged one counts as empty."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return {str(lab): dict(states) for lab, states in data.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


@dataclass(frozen=True)
class Table:
    """Per lab: its title and (exercise, title, state) rows, state one of "done", "tried", "open"."""

    labs: list[tuple[str, list[tuple[str, str, str]]]]

    def __str__(self) -> str:
        lines = []
        for title, rows in self.labs:
            lines.append(f"{title}: {_count(rows)}")
            lines += [f"  {_MARKS[state]} {name:<30} {what}" for name, what, state in rows]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        # text on a ground of its own, legible whatever the page's theme
        colours = {"done": "#14532d;background:#dcfce7", "tried": "#7f1d1d;background:#fee2e2"}
        colours["open"] = "#374151;background:#e5e7eb"
        parts = []
        for title, rows in self.labs:
            parts.append(f"<p style='margin:.6em 0 .2em'><b>{html.escape(title)}</b>: {_count(rows)}</p><table>")
            parts += [
                "<tr><td style='text-align:left'>"
                f"<span style='color:{colours[state]};border-radius:4px;padding:.1em .5em'>"
                f"<b>{_MARKS[state]}</b> {state}</span></td>"
                f"<td style='text-align:left'><code>{name}</code></td>"
                f"<td style='text-align:left'>{html.escape(what)}</td></tr>"
                for name, what, state in rows
            ]
            parts.append("</table>")
        return "".join(parts)


def _count(rows: list[tuple[str, str, str]]) -> str:
    return f"{sum(state == 'done' for *_, state in rows)} of {len(rows)} done"


def progress() -> Table:
    """What is done and what is open: every lab in whose folder, this one or one beside it, a check has been run."""
    from course.checking.lab import all_labs

    known: dict[str, dict[str, str]] = {}
    for path in [*sorted(Path("..").glob(f"*/{FILE}")), Path(FILE)]:
        for name, states in _read(path).items():
            known.setdefault(name, {}).update(states)
    here = Path.cwd().name
    labs = [lab for lab in all_labs() if lab.name in known or lab.name == here] or all_labs()
    return Table(
        [
            (
                lab.title,
                [(q.name, q.title, known.get(lab.name, {}).get(q.name, "open")) for q in lab.questions.values()],
            )
            for lab in labs
        ]
    )
