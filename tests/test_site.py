"""The site: built once, read as files, and used in a real browser that is served by nobody but us."""

import functools
import html.parser
import http.server
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
from pathlib import Path
from urllib.parse import unquote, urljoin, urlparse

import nbformat
import pytest

from autograder import ROOT, SOLUTIONS, repository
from autograder.source import labs

pytest.importorskip("sphinx", reason="Sphinx is not installed: pip install -e '.[site]'")

LABS = labs()
PAGES = ["index", f"labs/{LABS[0]}", "notation", "glossary", "api/course.solvers", "instructor"]  # one of each kind
AXE = "axe-core@4.14.1"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built as `make site` builds it; a folder in COURSE_SITE is taken as it is."""
    if ready := os.environ.get("COURSE_SITE"):
        return Path(ready)
    out = tmp_path_factory.mktemp("site") / "html"
    done = subprocess.run(
        [sys.executable, "site/build.py", str(out)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return out


# ---- read as files --------------------------------------------------------------------------------------------------


class Page(html.parser.HTMLParser):
    """The links, loads, ids and pictures of a page."""

    def __init__(self, path):
        super().__init__()
        self.links, self.loads, self.ids, self.pictures = [], [], set(), []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids |= {found[key] for key in ("id", "name") if found.get(key)}
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        if tag == "link" and found.get("href") and "canonical" not in found.get("rel", ""):
            self.loads.append(found["href"])
        if tag in ("script", "img", "iframe", "source", "video", "audio", "embed", "object"):
            self.loads += [found[key] for key in ("src", "data", "srcset", "poster") if found.get(key)]
        if tag == "img":
            self.pictures.append(found)


@pytest.fixture(scope="module")
def pages(site):
    return {path.relative_to(site).as_posix(): Page(path) for path in site.rglob("*.html")}


def test_there_is_a_page_for_every_lab_and_every_kind_of_reader(pages):
    readers = ["index", "student", "self-learner", "instructor", "maintainer", "notation", "glossary", "api", "search"]
    assert {f"labs/{lab}.html" for lab in LABS} | {f"{name}.html" for name in readers} <= pages.keys()
    assert {f"labs/{lab}.html" for lab in LABS} <= {urljoin("index.html", link) for link in pages["index.html"].links}


def test_nothing_is_loaded_from_elsewhere(site, pages):
    for name, page in pages.items():
        outside = [load for load in page.loads if re.match(r"(\w+:)?//", load)]
        assert outside == [], name
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", sheet.read_text(encoding="utf-8")), sheet.name
    for script in (path for kind in ("*.js", "*.html") for path in site.rglob(kind)):
        text = script.read_text(encoding="utf-8")
        assert not re.search(r"unpkg\.com|googleapis|cdnjs|gstatic|require\.js", text), script.name
        # MathJax can ask a CDN for its newest version, which only a page that loads `latest.js` does
        assert "jsdelivr" not in text or script.name == "tex-chtml.js", script.name


def test_every_internal_link_leads_somewhere(site, pages):
    broken = []
    for name, page in pages.items():
        for link in {*page.links, *page.loads}:
            if urlparse(link).scheme:
                continue
            target = urlparse(urljoin(name, unquote(link)))
            place = target.path or name
            ids = pages[place].ids if place in pages else {target.fragment}
            if not (site / place).is_file() or (target.fragment and target.fragment not in ids):
                broken.append(f"{name}: {link}")
    assert broken == []


def test_every_picture_has_words_and_every_figure_of_a_lab_is_there(site, pages):
    for name, page in pages.items():
        assert all("alt" in picture for picture in page.pictures), name
    for lab in LABS:
        notebook = nbformat.read(SOLUTIONS / lab / f"{lab}.ipynb", as_version=4)
        data = [o.data for cell in notebook.cells for o in cell.get("outputs", []) if "data" in o]
        stills = sum("image/png" in each for each in data)
        widgets = sum("course-widget" in each.get("text/html", "") for each in data)
        shown = [picture for picture in pages[f"labs/{lab}.html"].pictures if len(picture["alt"]) > 20]
        assert stills and widgets and len(shown) == stills + widgets


def test_the_solutions_stand_in_folds_and_the_open_exercises_before_them(site):
    for lab in LABS:
        text = (site / "labs" / f"{lab}.html").read_text(encoding="utf-8")
        cells = nbformat.read(SOLUTIONS / lab / f"{lab}.ipynb", as_version=4).cells
        solved = [c for c in cells if c.metadata.get("nbgrader", {}).get("solution")]
        assert text.count("Show the solution") == sum(c.cell_type == "code" for c in solved)
        assert text.count("Show the answer") == sum(c.cell_type == "markdown" for c in solved)
        assert text.count("NotImplementedError") >= text.count("Show the solution")
        assert "BEGIN SOLUTION" not in text
        assert text.count("<details") == text.count("</details>") > 3 * len(solved)


def test_the_notation_page_has_the_tables_of_every_lab(site):
    text = (site / "notation.html").read_text(encoding="utf-8")
    for lab in LABS:
        assert f'href="labs/{lab}.html"' in text
    assert text.count("<table") >= len(LABS)


def test_the_glossary_says_every_term_in_both_languages(site):
    text = (site / "glossary.html").read_text(encoding="utf-8")
    terms = re.findall(r"<dt id=\"term-[^\"]*\">(.*?)<a class=\"headerlink\"", text, re.DOTALL)
    chinese = [term for term in terms if 'lang="zh-Hans"' in term]
    assert len(chinese) >= 60
    assert len(terms) == 2 * len(chinese)
    for english, word in [("velocity field", "速度场"), ("probability path", "概率路径"), ("flow matching", "流匹配")]:
        assert english in terms
        assert f'<span lang="zh-Hans">{word}</span>' in terms


# ---- addresses ------------------------------------------------------------------------------------------------------


def test_everything_that_links_to_the_repository_has_the_one_address():
    """Badges, Binder, Colab, and the first cell of each lab, which installs the course where it is missing."""
    owner, name = repository().split("/")[-2:]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    places = re.findall(r"(?:mybinder\.org/v2/gh|colab\.research\.google\.com/github)/([\w-]+)/([\w-]+)", readme)
    assert len(places) == 2 * len(LABS)
    assert set(places) == {(owner, name)}
    for lab in LABS:
        cells = nbformat.read(ROOT / "labs" / lab / f"{lab}.ipynb", as_version=4).cells
        first = next(cell for cell in cells if cell.cell_type == "code")
        assert f"git+{repository()}" in first.source


def test_the_first_cell_of_a_lab_does_nothing_where_the_course_is_installed_and_installs_it_where_not(monkeypatch):
    cells = nbformat.read(ROOT / "labs" / LABS[0] / f"{LABS[0]}.ipynb", as_version=4).cells
    source = next(cell.source for cell in cells if cell.cell_type == "code")
    asked = []
    monkeypatch.setattr(subprocess, "run", lambda command, check: asked.append(command))
    exec(source, {})
    assert asked == []
    exec(source.replace('"course"', '"a_course_that_is_nowhere"'), {})
    assert asked == [[sys.executable, "-m", "pip", "install", "--quiet", f"git+{repository()}"]]


# ---- in a browser ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def address(site):
    """The site behind a server of our own."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def visit(browser, address):
    """visit(page, width, dark) opens a page; in the end nothing may have complained or asked another server."""
    complaints, contexts = [], []

    def visit(name, width=1280, dark=False):
        look = "dark" if dark else "light"
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=look, reduced_motion="reduce"
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: complaints.append(request.url) if _elsewhere(request.url) else None)
        page.on("response", lambda reply: complaints.append(reply.url) if reply.status >= 400 else None)
        page.goto(f"{address}/{name}.html", wait_until="load")
        page.evaluate("window.MathJax?.startup?.promise")
        return page

    def _elsewhere(url):
        return not url.startswith((address, "data:", "blob:"))

    yield visit
    for context in contexts:
        context.close()
    assert complaints == []


def test_a_solution_unfolds(visit):
    page = visit(f"labs/{LABS[0]}")
    fold = page.locator("details:has-text('Show the solution')").first
    code = fold.locator("pre").first
    assert not code.is_visible()
    fold.locator("summary").click()
    assert code.is_visible()
    assert "return" in code.inner_text()


def test_a_hint_and_a_model_answer_unfold(visit):
    page = visit(f"labs/{LABS[0]}")
    for words in ("Hint 1", "Show the answer"):
        fold = page.locator(f"details:has(> summary:has-text('{words}'))").first
        assert not fold.locator("p").first.is_visible()
        fold.locator("summary").click()
        assert fold.locator("p").first.is_visible()


@pytest.mark.parametrize("lab", LABS)
def test_a_slider_moves_a_figure_without_a_kernel(visit, lab):
    page = visit(f"labs/{lab}")
    root = page.locator(".course-widget").first
    before, words = (root.locator("img").get_attribute(name) for name in ("src", "alt"))
    root.locator("input").first.press("ArrowRight")
    assert root.locator("img").get_attribute("src") != before
    assert root.locator("img").get_attribute("alt") != words


@pytest.mark.parametrize("lab", LABS)
def test_all_mathematics_is_set_and_none_of_it_is_an_error(visit, lab):
    page = visit(f"labs/{lab}")
    assert page.locator("mjx-container").count() > 100
    assert page.locator("mjx-merror, [data-mjx-error]").count() == 0
    assert "$" not in page.evaluate(
        "[...document.querySelectorAll('article p, article li')].map(e => e.innerText).join(' ')"
    )


@pytest.mark.parametrize("words", ["probability path", "速度场", "euler_maruyama_step"])
def test_search_finds_a_term(visit, words):
    page = visit("index")
    page.locator("input[name=q]").first.fill(words)
    page.keyboard.press("Enter")
    page.wait_for_selector("#search-results li a")
    results = page.locator("#search-results li a").all_inner_texts()
    assert any(re.search("Glossary|path|step|速度场", text) for text in results)


def test_the_flow_on_the_landing_page_rests_for_who_wants_no_motion_and_plays_when_asked(visit):
    page = visit("index")
    clock, button = page.locator(".flow output"), page.locator(".flow button")
    assert clock.inner_text() == "t = 1.00"
    assert page.evaluate(
        "document.querySelector('canvas').getContext('2d').getImageData(0, 0, 880, 880).data.some(v => v)"
    )
    button.click()
    assert button.inner_text() == "Pause"
    page.wait_for_function("!['t = 1.00', 't = 0.00'].includes(document.querySelector('.flow output').textContent)")
    button.click()
    assert button.inner_text() == "Play"


def test_no_page_is_wider_than_a_phone_a_tablet_or_a_laptop(visit, pages):
    page = visit("index", width=390)
    start = page.url.removesuffix("index.html")
    wide = []
    for name in pages:
        page.goto(start + name)
        page.evaluate("window.MathJax?.startup?.promise")
        for width in (390, 834, 1100, 1320, 1366):
            page.set_viewport_size({"width": width, "height": 900})
            if page.evaluate("document.documentElement.scrollWidth") > width:
                wide.append((name, width))
    assert wide == []


def test_in_dark_mode_the_page_is_dark_and_figures_keep_a_light_card(visit):
    page = visit(f"labs/{LABS[0]}", dark=True)

    def brightness(selector):
        colour = page.locator(selector).first.evaluate("e => getComputedStyle(e).backgroundColor")
        return sum(map(float, re.findall(r"[\d.]+", colour)[:3])) / 3

    assert brightness("body") < 50
    assert brightness(".course-widget") > 200
    assert brightness("img.figure") > 200


@pytest.fixture(scope="module")
def axe(tmp_path_factory):
    """The accessibility checker's script, from the cache, else from npm."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "generative-course"
    script = cache / f"{AXE}.js"
    if not script.exists():
        if not shutil.which("npm"):
            pytest.skip("npm is not there to fetch axe-core")
        folder = tmp_path_factory.mktemp("axe")
        done = subprocess.run(["npm", "pack", "--silent", AXE], cwd=folder, capture_output=True, check=False)
        archives = list(folder.glob("*.tgz"))
        if done.returncode or not archives:
            pytest.skip("npm could not fetch axe-core")
        with tarfile.open(archives[0]) as archive:
            content = archive.extractfile("package/axe.min.js").read()
        cache.mkdir(parents=True, exist_ok=True)
        script.write_bytes(content)
    return script.read_text(encoding="utf-8")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_the_accessibility_checker_has_no_serious_finding(visit, axe, name, dark):
    page = visit(name, dark=dark)
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    serious = [
        (each["id"], node["target"], node["failureSummary"][:300])
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"][:3]
    ]
    assert serious == []
