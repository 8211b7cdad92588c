"""GSM8K from a folder, or from a server, and never anything else."""

import hashlib
import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from course.reasoners import gsm8k as data
from course.search import equations, known_numbers, verify_step

SHARED = Path(__file__).parents[2] / "shared" / "data"
LINES = [
    {"question": "Ann has 3 pens and buys 4. How many?", "answer": "She has 3 + 4 = <<3+4=7>>7 pens.\n#### 7"},
    {"question": "What do 5 cars for $2,000 cost?", "answer": "5 * 2000 = $<<5*2000=10000>>10,000\n#### 10,000"},
]


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A small file in the shape of the real one, which counts as the known one."""
    path = tmp_path / "served" / "test.jsonl"
    path.parent.mkdir()
    path.write_text("\n".join(map(json.dumps, LINES)), encoding="utf-8")
    monkeypatch.setattr(data, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setattr(data.pooch, "os_cache", lambda name: tmp_path / "cache")
    monkeypatch.delenv("COURSE_DATA", raising=False)
    return path


@pytest.fixture
def server(file):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(file.parent)))
    threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()


def test_answers_are_the_numbers_after_the_hashes(file):
    assert [problem.answer for problem in data.read(file)] == [7, 10_000]
    assert data.read(file)[0].solution == "She has 3 + 4 = <<3+4=7>>7 pens."


@pytest.mark.parametrize("folder", ["", "gsm8k"])
def test_a_folder_is_read_without_a_network(folder, file, tmp_path, monkeypatch):
    target = tmp_path / "data" / folder
    target.mkdir(parents=True, exist_ok=True)
    (target / "test.jsonl").write_bytes(file.read_bytes())
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "data"))
    assert len(data.gsm8k(url="http://127.0.0.1:9/nowhere")) == 2


def test_another_file_in_the_folder_is_refused(file, tmp_path, monkeypatch):
    (tmp_path / "test.jsonl").write_text("{}", encoding="utf-8")
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    with pytest.raises(ValueError, match="is not the test split of GSM8K"):
        data.gsm8k()


def test_it_is_downloaded_once(server, file):
    first = data.gsm8k(f"{server}/test.jsonl")
    file.unlink()
    assert data.gsm8k(f"{server}/test.jsonl") == first


def test_a_download_that_was_tampered_with_is_refused(server, file):
    file.write_text("tampered", encoding="utf-8")
    with pytest.raises(ValueError, match="SHA256"):
        data.gsm8k(f"{server}/test.jsonl")


def test_a_problem_without_a_number_is_named(file):
    file.write_text(json.dumps({"question": "?", "answer": "#### none"}), encoding="utf-8")
    with pytest.raises(ValueError, match="without a number as its answer: ' none'"):
        data.read(file)


@pytest.mark.skipif(not (SHARED / "gsm8k").exists(), reason="the real file is not on this machine")
def test_the_real_file_has_1319_problems_whose_equations_the_verifier_reads(monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(SHARED))
    problems = data.gsm8k()
    assert len(problems) == 1319
    verified = 0
    for problem in problems:
        plain = "".join(part.split(">>")[-1] for part in problem.solution.split("<<"))
        verified += bool(equations(plain)) and verify_step(plain, known_numbers(problem.text))
    assert verified > 100  # simple ones pass; many use numbers that no text gives, such as the days of a week
