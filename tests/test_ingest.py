"""Submissions are data: what is taken in, what is refused, and whose it is."""

import os
import socket
import stat
import zipfile

import pytest

from autograder import ingest, roster
from autograder.ingest import Missing, Refused, nearness
from autograder.roster import Person
from tests.classroom import LAB

CLASS = [
    Person("ada", "Ada", "Lovelace", "ada@example.org", "101"),
    Person("emmy", "Emmy", "Noether", "emmy@example.org", "102"),
    Person("sofia-k", "Sofia", "Kowalewskaja", "sofia@example.org", "103"),
]


def find(root, student="anna"):
    return ingest.find(root / "submitted", [student, LAB], LAB)


def place(root, name=f"{LAB}.ipynb", content=b"{}", student="anna"):
    path = root / "submitted" / student / LAB / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


# ---- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("lab1_odes_sdes.ipynb", 0),
        ("lab1_odes_sdes (1).ipynb", 1),
        ("lab1_odes_sdes(12).ipynb", 1),
        ("lab1_odes_sdes-Copy1.ipynb", 1),
        ("lab1_odes_sdes - Kopie.ipynb", 1),
        ("lab1_odes_sdes copy 2.ipynb", 2),
        ("lab1_odes_sdes-2.ipynb", 1),
        ("lab1_odes_sdes_final_v2.ipynb", 1),
        ("Lab1_ODEs_SDEs.ipynb", 1),
        ("lab1 odes sdes.ipynb", 1),
        ("lab1.ipynb", 1),
        ("lab1 (1).ipynb", 1),
        ("lab1_odes_sdes.ipynb.txt", 1),
        ("lab1_odes_sdes.ipynb.ipynb", 1),
        ("ｌａｂ１.ipynb", 1),
        ("Lab 1 Ada Lovelace.ipynb", 2),
        ("ada_lab1_odes_sdes.ipynb", 2),
        ("lab10.ipynb", 3),
        ("lab2.ipynb", 3),
        ("Untitled.ipynb", 3),
        ("lab1.py", None),
        ("lab1_odes_sdes.html", None),
        (".lab1_odes_sdes.ipynb", None),
        ("._lab1_odes_sdes.ipynb", None),
    ],
)
def test_a_name_is_matched_generously(name, near):
    assert nearness(name, LAB) == near


def test_of_several_notebooks_the_labs_own_name_wins_and_a_note_says_so(tmp_path):
    place(tmp_path, "lab1 (1).ipynb", b"a copy")
    place(tmp_path, content=b"the one")
    place(tmp_path, "scratch.ipynb", b"notes")
    found = find(tmp_path)
    assert found.content == b"the one"
    assert found.note == "3 notebooks were handed in; lab1_odes_sdes.ipynb was taken"


def test_of_two_copies_the_newer_one_is_taken(tmp_path):
    for name, time in (("lab1 (1).ipynb", 2_000), ("lab1 (2).ipynb", 3_000), ("lab1 (3).ipynb", 1_000)):
        os.utime(place(tmp_path, name, name.encode()), (time, time))
    assert find(tmp_path).content == b"lab1 (2).ipynb"


def test_a_notebook_of_another_name_and_in_a_folder_of_its_own_is_found(tmp_path):
    place(tmp_path, "handed in/lab one.ipynb", b"mine")
    found = find(tmp_path)
    assert found.content == b"mine"
    assert found.note == "it was called lab one.ipynb"


def test_checkpoints_and_code_are_left_alone(tmp_path):
    for name in (".ipynb_checkpoints/lab1_odes_sdes-checkpoint.ipynb", "torch.py", "torch/__init__.py"):
        place(tmp_path, name)
    with pytest.raises(Missing, match="no notebook"):
        find(tmp_path)


# ---- what is no plain file ------------------------------------------------------------------------------------------


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "secret").write_text("the gradebook")
    path = place(tmp_path)
    path.unlink()
    path.symlink_to(tmp_path / "secret")
    with pytest.raises(Refused, match="is a link"):
        find(tmp_path)


@pytest.mark.parametrize("level", ["student", "lab", "inside"])
def test_a_folder_that_is_a_link_is_not_followed(tmp_path, level):
    place(tmp_path, student="honest", content=b"honest work")
    submitted = tmp_path / "submitted"
    if level == "student":
        (submitted / "anna").symlink_to(submitted / "honest")
    elif level == "lab":
        (submitted / "anna").mkdir()
        (submitted / "anna" / LAB).symlink_to(submitted / "honest" / LAB)
    else:
        (submitted / "anna" / LAB).mkdir(parents=True)
        (submitted / "anna" / LAB / "more").symlink_to(submitted / "honest" / LAB)
    assert "anna" in ingest.submitters(submitted, LAB)
    with pytest.raises((Refused, Missing), match=r"is a link|no notebook"):
        find(tmp_path)


def test_a_pipe_a_socket_and_a_device_are_refused_and_keep_nobody_waiting(tmp_path):
    for student, make in {"pipe": os.mkfifo, "socket": listen, "device": device}.items():
        path = place(tmp_path, student=student)
        path.unlink()
        if make(path) is False:
            continue
        with pytest.raises(Refused, match="not a plain file"):
            find(tmp_path, student)


def listen(path):
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's address is short
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


def device(path):
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))  # /dev/zero, which never ends
    except PermissionError:
        return False


def test_a_plain_notebook_beside_a_link_is_taken(tmp_path):
    path = place(tmp_path)
    path.unlink()
    path.symlink_to("/etc/passwd")
    place(tmp_path, "lab1.ipynb", b"mine")
    assert find(tmp_path).content == b"mine"


def test_a_file_beyond_all_measure_is_refused_without_being_read_whole(tmp_path):
    with open(place(tmp_path), "wb") as file:
        file.truncate(10**12)  # a hole: no disk is used
    with pytest.raises(Refused, match=r"more than 50,000,000 bytes"):
        find(tmp_path)


def test_thousands_of_files_end_the_search(tmp_path):
    place(tmp_path, "a/first.ipynb", b"first")
    for i in range(ingest.MAX_FILES + 50):
        place(tmp_path, f"z/{i}.txt")
    assert find(tmp_path).content == b"first"


def test_the_time_of_handing_in_is_read_if_it_is_one(tmp_path):
    place(tmp_path)
    stamp = place(tmp_path, "timestamp.txt", b"2026-10-01 12:00:00.5 UTC\n")
    assert find(tmp_path).timestamp == "2026-10-01 12:00:00.5 UTC"
    for nonsense in (b"yesterday", b"\xff\xfe", b"9" * 10_000):
        stamp.write_bytes(nonsense)
        found = find(tmp_path)
        assert (found.timestamp, found.note) == ("", "timestamp.txt holds no time")


# ---- downloads ------------------------------------------------------------------------------------------------------


def make_zip(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


CANVAS = {
    "lovelaceada_101_9001_lab1_odes_sdes.ipynb": "ada's",
    "noetheremmy_LATE_102_9002_lab1_odes_sdes-1.ipynb": "emmy's",
    "kowalewskajasofia_103_9003_notes.pdf": "no notebook",
    "turingalan_104_9004_lab1.ipynb": "alan's",
}
MOODLE = {
    "Ada Lovelace_101_assignsubmission_file_/lab1_odes_sdes.ipynb": "ada's",
    "Emmy Noether_5002_assignsubmission_file/my lab.ipynb": "emmy's",
    "Sofia Kowalewskaja_5003_assignsubmission_onlinetext_/onlinetext.html": "no notebook",
    "Alan Turing_5004_assignsubmission_file_lab1.ipynb": "alan's",
}
PLAIN = {
    "week 3/ada/lab1.ipynb": "ada's",
    "week 3/emmy/deep/lab1.ipynb": "emmy's",
    "week 3/alan/Untitled.ipynb": "alan's",
}
FLAT = {"ada.ipynb": "ada's", "lab1_odes_sdes_emmy.ipynb": "emmy's", "alan_lab1_odes_sdes.ipynb": "alan's"}


@pytest.mark.parametrize(
    ("files", "stranger"),
    [(CANVAS, "turingalan"), (MOODLE, "Alan Turing"), (PLAIN, "alan"), (FLAT, "alan")],
    ids=["canvas", "moodle", "folders", "files"],
)
@pytest.mark.parametrize("unpacked", [False, True])
def test_a_download_is_sorted_by_students(tmp_path, files, stranger, unpacked):
    download = make_zip(tmp_path / "download.zip", files)
    if unpacked:
        zipfile.ZipFile(download).extractall(tmp_path / "download")
        download = tmp_path / "download"
    taken, lines = ingest.collect(download, LAB, CLASS, tmp_path / "submitted")
    assert taken == sorted(["ada", "emmy", stranger])
    assert lines == []
    for student, content in (("ada", "ada's"), ("emmy", "emmy's"), (stranger, "alan's")):
        assert find(tmp_path, student).content.decode() == content


def test_of_several_files_of_one_person_the_nearest_name_and_then_the_newest_is_taken(tmp_path):
    with zipfile.ZipFile(tmp_path / "download.zip", "w") as archive:
        for year, name in (
            (2025, "lab1-1.ipynb"),
            (2026, "lab1-2.ipynb"),
            (2024, "lab1-3.ipynb"),
            (2030, "other.ipynb"),
        ):
            info = zipfile.ZipInfo(f"lovelaceada_101_9001_{name}", (year, 1, 1, 0, 0, 0))
            archive.writestr(info, name)
    ingest.collect(tmp_path / "download.zip", LAB, CLASS, tmp_path / "submitted")
    assert find(tmp_path, "ada").content == b"lab1-2.ipynb"


def test_nothing_is_written_outside_of_submitted(tmp_path):
    files = {"../../evil/lab1.ipynb": "x", "/etc/lab1.ipynb": "x", "../lab1.ipynb": "x", "ada/../../lab1.ipynb": "x"}
    download = make_zip(tmp_path / "download.zip", files)
    before = {path for path in tmp_path.rglob("*")}
    _, lines = ingest.collect(download, LAB, CLASS, tmp_path / "submitted")
    new = {path for path in tmp_path.rglob("*")} - before
    assert all(path.is_relative_to(tmp_path / "submitted") for path in new)
    assert len(lines) >= 2


def test_links_in_a_zip_file_are_no_submissions(tmp_path):
    with zipfile.ZipFile(tmp_path / "download.zip", "w") as archive:
        link = zipfile.ZipInfo("ada/lab1.ipynb")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    assert ingest.collect(tmp_path / "download.zip", LAB, CLASS, tmp_path / "submitted") == ([], [])


def test_a_zip_bomb_is_refused_in_one_line_and_the_others_are_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(ingest, "MAX_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "download.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ada/lab1.ipynb", b"0" * 10**7)
        archive.writestr("emmy/lab1.ipynb", b"fine")
    taken, lines = ingest.collect(tmp_path / "download.zip", LAB, CLASS, tmp_path / "submitted")
    assert taken == ["emmy"]
    assert lines == ["ada: ada/lab1.ipynb has more than 1,000 bytes"]


def test_something_that_is_no_download_is_refused(tmp_path):
    (tmp_path / "download.zip").write_bytes(b"no zip file")
    with pytest.raises(Refused, match="neither a folder nor a zip file"):
        ingest.collect(tmp_path / "download.zip", LAB, CLASS, tmp_path / "submitted")


# ---- rosters --------------------------------------------------------------------------------------------------------

ROSTERS = {
    "nbgrader": (
        "id,first_name,last_name,email,lms_user_id\n"
        'ada,Ada,Lovelace,ada@example.org,101\nemmy,Emmy,"Noether",emmy@example.org,102\n'
    ),
    "canvas": (
        "Student,ID,SIS User ID,SIS Login ID,Section,Lab 1 (7)\n"
        "    Points Possible,,,,,60\n"
        '"Lovelace, Ada",101,900,ada,A,\n"Noether, Emmy",102,901,emmy,A,\n'
    ),
    "moodle": (
        "\ufeffIdentifier;Full name;Username;Email address;Status\n"
        "Participant 101;Ada Lovelace;ada;ada@example.org;Submitted\n"
        "Participant 102;Emmy Noether;emmy;emmy@example.org;Submitted\n"
    ),
}


@pytest.mark.parametrize("kind", ROSTERS)
def test_a_roster_of_any_of_three_systems_is_read(tmp_path, kind):
    (tmp_path / "roster.csv").write_text(ROSTERS[kind], encoding="utf-8")
    people, lines = roster.read(tmp_path / "roster.csv")
    assert lines == []
    assert [(p.id, p.first_name, p.last_name, p.lms) for p in people] == [
        ("ada", "Ada", "Lovelace", "101"),
        ("emmy", "Emmy", "Noether", "102"),
    ]


def test_rows_that_cannot_be_used_are_named_and_the_others_are_read(tmp_path):
    (tmp_path / "roster.csv").write_text("id\nada\n../../etc\n..\nada\n\na/b\nemmy\n")
    people, lines = roster.read(tmp_path / "roster.csv")
    assert [person.id for person in people] == ["ada", "emmy"]
    assert [line.partition(":")[0] for line in lines] == [f"roster.csv, line {number}" for number in (3, 4, 5, 7)]


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", "is empty"), (b"name,grade\nx,1\n", "no column"), (b"id\n\xff\xfe\n", "UTF-8")],
)
def test_what_is_no_roster_is_refused_in_a_sentence(tmp_path, content, why):
    (tmp_path / "roster.csv").write_bytes(content)
    with pytest.raises(roster.BadRoster, match=why):
        roster.read(tmp_path / "roster.csv")


def test_two_people_of_one_name_are_never_confused():
    twins = [Person("j1", "Jo", "Smith", lms="1"), Person("j2", "Jo", "Smith", lms="2")]
    assert roster.whose("Jo Smith", "2", twins) == "j2"
    assert roster.whose("Jo Smith", "77", twins) == "Jo Smith"
