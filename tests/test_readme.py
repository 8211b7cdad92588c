"""What the README and the pages say can be done, done."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml

from autograder import ROOT
from autograder.source import labs

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "site").glob("*.md"))]


@pytest.fixture
def house(tmp_path):
    """The checkout with an environment that is already installed: the one that runs the tests."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "labs", tmp_path / "labs")
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    (tmp_path / ".venv" / "installed-lab").touch()
    return tmp_path


def make(folder, *arguments, **options):
    return subprocess.run(["make", *arguments], cwd=folder, capture_output=True, text=True, check=False, **options)


def status(address):
    """What a server answers, once it does: the address is printed just before the server listens."""
    for _ in range(100):
        try:
            with urllib.request.urlopen(address) as reply:
                return reply.status
        except urllib.error.URLError:
            time.sleep(0.2)
    return None


def test_make_lab_opens_jupyterlab_on_the_first_lab_and_prints_the_address(house):
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["make", "lab", f"ARGS=--port={port} --IdentityProvider.token=secret"]
    server = subprocess.Popen(
        command,
        cwd=house,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        lines = []
        for line in server.stdout:
            lines.append(line)
            if address := re.search(rf"http://127\.0\.0\.1:{port}(/\S*)\?token", line):
                break
        else:
            pytest.fail("".join(lines))
        path = address[1]
        assert path == "/lab/tree/labs/lab1_odes_sdes/lab1_odes_sdes.ipynb"
        assert status(f"http://127.0.0.1:{port}/api/contents{path[9:]}?content=0&token=secret") == 200
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(20)


def test_make_lab_names_the_labs_when_asked_for_another(house):
    done = make(house, "lab", "LAB=lab77_nothing")
    assert done.returncode
    assert f"There is no lab called lab77_nothing; the labs are: {' '.join(labs())}" in done.stdout


def test_make_says_which_python_is_needed(tmp_path):
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    old = tmp_path / "python-of-old"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = make(tmp_path, "test", f"PYTHON={old}")
    assert done.returncode
    assert f"{old} is not Python 3.11, 3.12 or 3.13" in done.stdout
    assert not (tmp_path / ".venv").exists()


def test_make_help_lists_every_command():
    listed = set(re.findall(r"^make (\w+)", make(ROOT, "help").stdout, re.MULTILINE))
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
    assert set(phony) - {"help", "format"} <= listed


def test_conda_installs_the_same_as_pip():
    *_, pip = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert pip == {"pip": ["-c constraints.txt", "-e .[lab]"]}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_the_readme_lists_every_lab():
    readme = (ROOT / "README.md").read_text()
    assert all(f"solutions/{lab}/{lab}.ipynb" in readme for lab in labs())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_and_module_that_a_page_names_exists(page):
    for name in re.findall(r"`((?:course|autograder|tests|benchmarks|site|solutions|labs)/[\w./]*)`", page.read_text()):
        if not re.search(r"LAB|labN|submitted", name):
            assert (ROOT / name).exists(), name
