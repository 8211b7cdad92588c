"""Who takes the course: from nbgrader's gradebook, or from a CSV file as nbgrader, Canvas or Moodle write it."""

import csv
import io
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


class BadRoster(ValueError):
    """The file is no roster; the message says what is missing."""


@dataclass(frozen=True)
class Person:
    """A student, with nbgrader's fields; `lms` is the number by which Canvas or Moodle knows them."""

    id: str
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    lms: str = ""


# column titles in small letters, the best first
ID = ["sis login id", "sis user id", "username", "student_id", "student id", "sid", "id number", "id"]
EMAIL = ["email address", "email", "e-mail"]
LMS = ["lms_user_id", "identifier"]
FIRST = ["first_name", "first name", "firstname"]
LAST = ["last_name", "last name", "lastname", "surname"]
FULL = ["full name", "name", "student"]


def read(path: Path) -> tuple[list[Person], list[str]]:
    """The people in a CSV file, and a line about every row that cannot be used. BadRoster if it is no roster."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadRoster(f"{path.name} is not UTF-8 text; save it as CSV UTF-8") from None
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    rows = list(csv.reader(io.StringIO(text), delimiter=separator))
    if not rows:
        raise BadRoster(f"{path.name} is empty")
    titles = [title.strip().lower() for title in rows[0]]
    canvas = "sis login id" in titles or "sis user id" in titles  # there, ID is Canvas's own number
    id_columns = [title for title in [*ID, *EMAIL] if title in titles and not (canvas and title == "id")]
    if not id_columns:
        raise BadRoster(f"{path.name} has no column for the students' ids, such as id, Username or SIS Login ID")
    people: dict[str, Person] = {}
    lines = []
    for number, cells in enumerate(rows[1:], 2):
        row = dict(zip(titles, (cell.strip() for cell in cells), strict=False))
        # Canvas puts a row of points above the students
        if not any(row.values()) or row.get("student", "").lower().startswith("points possible"):
            continue
        person = _person(row, id_columns, canvas)
        if not usable(person.id):
            lines.append(f"{path.name}, line {number}: {person.id!r:.60} cannot be a student's id")
        elif person.id in people:
            lines.append(f"{path.name}, line {number}: {person.id} is there twice")
        else:
            people[person.id] = person
    return list(people.values()), lines


def _person(row: dict[str, str], id_columns: list[str], canvas: bool) -> Person:
    def cell(columns: Iterable[str]) -> str:
        return next((row[title] for title in columns if row.get(title)), "")

    first, last, full = cell(FIRST), cell(LAST), cell(FULL)
    if full and not last:
        last, comma, first = (part.strip() for part in full.partition(","))
        if not comma:
            first, _, last = full.rpartition(" ")
    lms = row.get("id", "") if canvas else re.sub(r"\D", "", cell(LMS))
    return Person(cell(id_columns), first, last, cell(EMAIL), lms)


def usable(student: str) -> bool:
    """Whether nbgrader can have a folder of this name."""
    return student not in ("", ".", "..") and len(student) <= 100 and student.isprintable() and "/" not in student


def whose(name: str, number: str, people: Iterable[Person]) -> str:
    """The id of the one person a platform means by a name and its own number; the name itself if that is unclear."""
    people = list(people)
    for matches in (
        [person.id for person in people if number and person.lms == number],
        [person.id for person in people if name in (person.id, person.email)],
        [person.id for person in people if _plain(name) in _names(person)],
    ):
        if len(matches) == 1:
            return matches[0]
    return name.strip()


def _names(person: Person) -> set[str]:
    """How platforms write the name: Ada Lovelace, Lovelace Ada; letters and digits only."""
    if not person.last_name:
        return set()
    return {_plain(person.first_name + person.last_name), _plain(person.last_name + person.first_name)}


def _plain(name: str) -> str:
    return "".join(letter for letter in unicodedata.normalize("NFKC", name).casefold() if letter.isalnum())
