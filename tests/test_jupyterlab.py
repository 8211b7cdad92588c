"""A lab as a student meets it: JupyterLab in a real browser, from Run All to a check that turns green.

Lab 1 always; COURSE_BROWSER_LABS=all tries every lab. Cells that train for minutes are left out: what comes after them
uses the weights that ship.
"""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest

from tests import submissions

ROOT = Path(__file__).parents[1]
LABS = sorted(path.name for path in (ROOT / "labs").iterdir() if path.is_dir())
if os.environ.get("COURSE_BROWSER_LABS") != "all":
    LABS = LABS[:1]

pytest.importorskip("jupyterlab", reason="JupyterLab is not installed")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """JupyterLab over a copy of the labs; its address."""
    home = tmp_path_factory.mktemp("home")
    for lab in LABS:
        (home / "labs" / lab).mkdir(parents=True)
        nbformat.write(submissions.untrained(submissions.released(lab)), home / f"labs/{lab}/{lab}.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("COURSE_", "JUPYTER"))}
    environment |= {"HOME": str(home), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment["COURSE_DATA"] = str(home)  # which holds none: nothing is downloaded
    options = ["--no-browser", "--allow-root", f"--port={port}", "--IdentityProvider.token=", "--expose-app-in-browser"]
    options += [f"--ServerApp.root_dir={home / 'labs'}"]
    with (home / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyter", "lab", *options], env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    address = f"http://127.0.0.1:{port}"
    try:
        until(lambda: answers(f"{address}/api"), 60, lambda: (home / "log").read_text())
        yield address
    finally:
        process.terminate()
        process.wait(30)


def answers(address):
    try:
        with urllib.request.urlopen(address, timeout=5) as response:
            return response.status == 200
    except OSError:
        return False


def until(done, seconds, explain):
    """Wait until done() is true."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, explain()
        time.sleep(0.1)


class Notebook:
    """A lab that is open in a page."""

    def __init__(self, page, address, lab):
        self.page, self.lab = page, lab
        page.goto(f"{address}/lab/workspaces/{lab}/tree/{lab}/{lab}.ipynb")
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
        until(lambda: self.script("panel.sessionContext.session?.kernel?.status") == "idle", 60, lambda: "no kernel")

    def script(self, code, *args):
        """The value of JavaScript about `panel`, the notebook, `cells`, all of it, `args`, and `app`."""
        return self.page.evaluate(
            f"""async args => {{
            const app = window.jupyterapp, panel = app.shell.currentWidget, cells = [...panel.content.widgets];
            return {code};
            }}""",
            args,
        )

    def find(self, text):
        """The number of the code cell that has this text."""
        sources = self.script("cells.map(c => c.model.type === 'code' ? c.model.sharedModel.source : '')")
        (index,) = [i for i, source in enumerate(sources) if text in source]
        return index

    def show(self, index):
        """Select a cell and bring it into view; the cell as the browser has it."""
        self.script("panel.content.activeCellIndex = args[0]", index)
        self.script("panel.content.scrollToItem(args[0], 'start')", index)
        cell = self.page.locator(f".jp-Cell[data-windowed-list-index='{index}']")
        cell.wait_for(state="attached")
        return cell

    def command(self, name, cells=None, seconds=600):
        """Do what a menu does, until all cells, or so many, have been run."""
        self.script("void app.commands.execute(args[0])", name)
        self.page.wait_for_timeout(200)
        until(lambda: self.unrun(cells) == [], seconds, lambda: f"not run: {self.unrun(cells)}")

    def unrun(self, cells=None):
        """The sources of the cells, of all or so many, that have not been run to their end."""
        return self.script(
            """cells.slice(0, args[0] ?? cells.length).filter(c => c.model.type === 'code')
            .filter(c => c.model.sharedModel.source.trim() && c.model.executionCount == null)
            .map(c => c.model.sharedModel.source)""",
            cells,
        )

    def write(self, index, source):
        """Put source into a cell, as somebody does who pastes it, and run it."""
        self.show(index).locator(".cm-content").click()
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.insert_text(source)
        self.command("notebook:run-cell", index + 1)

    def run(self, index):
        self.show(index)
        self.command("notebook:run-cell", index + 1)
        return self.output(index)

    def output(self, index):
        """What stands below a cell, as text."""
        found = self.script("cells[args[0]].model.outputs.toJSON()", index)
        texts = [o.get("traceback") or o.get("text") or o.get("data", {}).get("text/plain", "") for o in found]
        return "".join("".join(text) for text in texts)

    def failures(self, before=None):
        """(source, what stands below it) of every cell that failed, or of those before a cell."""
        found = self.script(
            """cells.slice(0, args[0] ?? cells.length).filter(c => c.model.type === 'code')
            .flatMap(c => c.model.outputs.toJSON().filter(o => o.output_type === 'error')
            .map(o => [c.model.sharedModel.source, o.traceback.join('\\n')]))""",
            before,
        )
        return [(source, re.sub(r"\x1b\[[\d;]*m", "", text)) for source, text in found]


@pytest.fixture(scope="module", params=LABS)
def notebook(browser, server, request):
    """A lab, opened, all of it run once; what the browser complains of fails the test."""
    page = browser.new_page(viewport={"width": 1366, "height": 768})
    complaints = []
    page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    notebook = Notebook(page, server, request.param)
    notebook.command("notebook:run-all-cells")
    yield notebook
    page.close()
    assert complaints == []


def solution(lab, name):
    """The cell of the solved lab that defines this function."""
    return submissions.answers(lab)[name]


def exercises(notebook):
    sources = notebook.script("cells.map(c => c.model.type === 'code' ? c.model.sharedModel.source : '')")
    return [source[len("check(") : -1] for source in sources if source.startswith("check(")]


def test_run_all_goes_to_the_end_and_every_failure_says_in_one_line_what_it_waits_for(notebook):
    for source, text in notebook.failures():
        waits = r"✗ \w+: it is not written yet\.|.*: run .* again when check\(\w+\) is content\."
        assert re.fullmatch(waits, text), (source, text)
    assert notebook.unrun() == []


def test_a_check_turns_from_red_to_green_and_a_restart_remembers_it(notebook):
    name = exercises(notebook)[0]
    check, own = notebook.find(f"check({name})"), notebook.find(f"def {name}(")
    head = solution(notebook.lab, name)
    notebook.write(own, f"def {name}(*arguments):\n    return 0.0")
    assert "✗" in notebook.run(check)
    assert notebook.show(check).get_by_text("✗").is_visible()
    notebook.write(own, head)
    assert notebook.run(check).startswith("✓")
    notebook.script("await panel.sessionContext.session.kernel.restart()")
    last = notebook.script("cells.length - 1")
    notebook.show(last)
    notebook.command("notebook:insert-cell-below")
    notebook.write(last + 1, "from course import progress\nprogress()")
    assert f"✓ {name}" in notebook.output(last + 1)


def test_a_slider_moves_the_figure_that_the_kernel_draws(notebook):
    for name in exercises(notebook):
        notebook.script(
            "cells[args[0]].model.sharedModel.setSource(args[1])",
            notebook.find(f"def {name}("),
            solution(notebook.lab, name),
        )
    sources = notebook.script("cells.map(c => c.model.type === 'code' ? c.model.sharedModel.source : '')")
    index = next(i for i, source in enumerate(sources) if "explore(" in source)
    notebook.show(index)
    notebook.command("notebook:run-all-above", index)
    notebook.run(index)
    open_still = {f"check({name})" for name in exercises(notebook)}
    assert [f for f in notebook.failures(index + 1) if f[0] not in open_still] == []
    cell = notebook.show(index)
    image, slider = cell.locator(".course-live img"), cell.locator(".noUi-handle").first
    image.wait_for()
    before = image.get_attribute("src")
    slider.press("ArrowRight")
    until(lambda: image.get_attribute("src") != before, 10, lambda: "the figure did not move")
