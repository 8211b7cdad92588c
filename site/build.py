"""Builds the site: `python site/build.py [FOLDER]` writes it to build/site. Nothing is executed, nothing fetched.

The pages come from the executed solutions, from the hand-written pages beside this file, and from docstrings. They
are put together in build/site-source, where Sphinx turns them into HTML.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

HERE, ROOT = Path(__file__).resolve().parent, Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import nbformat
import picture
from lab_page import Lab

from autograder import LABS, SOLUTIONS, repository
from autograder.source import labs

STAGE = ROOT / "build" / "site-source"
PLACEHOLDER = "OWNER"  # in pyproject.toml's address of the repository, until it has one

# Modules without a page: what is asked and which mistakes are known, what is run inside the sandbox, configuration.
_UNLISTED = re.compile(r"checking\.lab\d|misconceptions|unseen|inside|nbgrader_config|\._|__main__")


def published() -> str | None:
    """Where the repository is; None as long as pyproject.toml holds the placeholder."""
    return None if PLACEHOLDER in repository() else repository()


# ---- the pages ------------------------------------------------------------------------------------------------------


def hand_written(found: list[Lab]) -> None:
    """The pages beside this file, with links into the repository turned into links to pages."""
    for source in HERE.glob("*.md"):
        text = re.sub(r"\(\.\./solutions/(\w+)/\1\.ipynb\)", r"(labs/\1.ipynb)", source.read_text(encoding="utf-8"))
        text = text.replace("%FLOW%", picture.moving()).replace("%LABS%", "\n".join(card(lab) for lab in found))
        _write(source.name, text)
    shutil.copytree(HERE / "static", STAGE / "_static", dirs_exist_ok=True)
    shutil.copytree(HERE / "images", STAGE / "extra" / "figures", dirs_exist_ok=True)


def card(lab: Lab) -> str:
    """A lab on the landing page."""
    (STAGE / "extra" / "figures" / f"{lab.name}.png").write_bytes(lab.thumbnail())
    hours = round(lab.minutes / 60)
    return (
        f'<a class="card" href="labs/{lab.name}.html"><img src="figures/{lab.name}.png" alt="" loading="lazy">'
        f"<strong>Lab {lab.number} · {lab.subject}</strong>"
        f"<span>{lab.exercises} exercises, about {hours} hours of writing</span></a>"
    )


def lab_pages(found: list[Lab]) -> None:
    """A page for each lab, and the notebook with open exercises to take away."""
    (STAGE / "labs").mkdir()
    (STAGE / "extra" / "notebooks").mkdir()
    for lab in found:
        page = lab.page(STAGE / "extra" / "figures", published())
        nbformat.write(page, STAGE / "labs" / f"{lab.name}.ipynb")
        shutil.copy(LABS / lab.name / f"{lab.name}.ipynb", STAGE / "extra" / "notebooks")


def notation(found: list[Lab]) -> None:
    """The tables of every lab that say what others call the same things."""
    parts = [(HERE / "notation.md").read_text(encoding="utf-8")]
    parts += [f"## [{lab.title}](labs/{lab.name}.ipynb)\n\n{lab.rosetta()}" for lab in found if lab.rosetta()]
    _write("notation.md", "\n\n".join(parts) + "\n")


def contents(found: list[Lab]) -> None:
    """What stands in the column on the left: appended to the landing page, which is the root of everything."""
    trees = {
        "Labs": [f"labs/{lab.name}" for lab in found],
        "Look up": ["notation", "glossary", "api"],
        "For whom": ["student", "self-learner", "instructor", "jupyterhub", "maintainer"],
    }
    text = (STAGE / "index.md").read_text(encoding="utf-8")
    for caption, pages in trees.items():
        text += f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n" + "\n".join(pages) + "\n```\n"
    _write("index.md", text)


def modules() -> dict[str, str]:
    """The public modules and the first line of each."""
    found = {}
    for package in ("course", "autograder"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            if not _UNLISTED.search(name):
                docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
                found[name] = docstring.partition("\n")[0]
    return found


def reference() -> None:
    """A page for each module or package of `course` and one for `autograder`, from docstrings, and a list of them."""
    lines = modules()
    pages: dict[str, list[str]] = {}
    for name in lines:
        page = "autograder" if name.startswith("autograder") else ".".join(name.split(".")[:2])
        pages.setdefault(page, []).append(name)
    lists: dict[str, list[str]] = {"course": [], "autograder": []}
    for page, names in pages.items():
        parts = [f"# `{page}`"]
        for name in names:
            members = "" if (ROOT / Path(*name.split("."))).is_dir() else "   :members:\n"
            heading = "" if name == page else f"## `{name}`\n\n"
            parts.append(f"{heading}```{{eval-rst}}\n.. automodule:: {name}\n{members}```")
        _write(f"api/{page}.md", "\n\n".join(parts) + "\n")
        lists[page.partition(".")[0]] += [f"[`{name}`](api/{page}.md)\n: {lines[name]}\n" for name in names]
    text = (HERE / "api.md").read_text(encoding="utf-8")
    for package, entries in lists.items():
        text = text.replace(f"%{package.upper()}%", "\n".join(entries))
    _write("api.md", text + "\n```{toctree}\n:hidden:\n\n" + "\n".join(f"api/{page}" for page in pages) + "\n```\n")


def math() -> None:
    """MathJax and its fonts, and nothing else of the package that carries it."""
    source = Path(find_spec("sphinx-mathjax-offline").submodule_search_locations[0]) / "static" / "mathjax"
    fonts = "output/chtml/fonts/woff-v2"
    shutil.copytree(source / fonts, STAGE / "_static" / "mathjax" / fonts)
    shutil.copy(source / "tex-chtml.js", STAGE / "_static" / "mathjax")


def _write(name: str, text: str) -> None:
    path = STAGE / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def stage() -> None:
    """Put together everything that Sphinx reads."""
    shutil.rmtree(STAGE, ignore_errors=True)
    (STAGE / "extra" / "figures").mkdir(parents=True)
    shutil.copy(HERE / "conf.py", STAGE)
    built = [name for name in labs() if (SOLUTIONS / name / f"{name}.ipynb").exists() and (LABS / name).exists()]
    found = [Lab(name) for name in built]
    hand_written(found)
    lab_pages(found)
    notation(found)
    contents(found)
    reference()
    math()


def main(arguments: list[str]) -> int:
    """Build the site; any warning of Sphinx's is an error."""
    out = Path(arguments[0]) if arguments else ROOT / "build" / "site"
    stage()
    shutil.rmtree(out, ignore_errors=True)
    # the pictures and pages Sphinx remembers go beside its sources, not into what is published
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-q", "-W", "--keep-going", "-d", str(STAGE / ".doctrees")]
    done = subprocess.run([*command, str(STAGE), str(out)], check=False)
    if done.returncode == 0:
        (out / ".nojekyll").touch()
        (out / ".buildinfo").unlink(missing_ok=True)
        print(f"the site is in {os.path.relpath(out)}: open {os.path.relpath(out / 'index.html')}")
    return done.returncode


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
