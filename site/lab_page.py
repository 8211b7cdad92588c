"""A lab's page from its executed solution: exercises open first, solutions in folds, figures with their words."""

import base64
import html
import io
import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from PIL import Image

from autograder import LABS, SOLUTIONS

_MARKS = re.compile(r"^[ \t]*### (?:BEGIN|END) SOLUTION[ \t]*\n?", re.MULTILINE)


class Lab:
    """A lab that has been built: `title`, `number`, `opening`, `exercises`, `minutes`, `points`, and its notebooks."""

    def __init__(self, name: str):
        self.name = name
        self.notebook = nbformat.read(SOLUTIONS / name / f"{name}.ipynb", as_version=4)
        self.open = nbformat.read(LABS / name / f"{name}.ipynb", as_version=4)
        texts = [cell.source for cell in self.notebook.cells if cell.cell_type == "markdown"]
        self.text = "\n\n".join(texts)
        self.title = re.search(r"^# (.+)$", self.text, re.MULTILINE)[1]
        self.number, self.subject = re.match(r"Lab (\d+) · (.+)", self.title).groups()
        self.opening = self.text.split("\n\n")[1].replace("\n", " ")
        marks = [cell.metadata.get("nbgrader", {}) for cell in self.notebook.cells]
        self.exercises = sum(bool(each.get("solution")) and not each.get("grade") for each in marks)
        self.points = sum(each.get("points", 0) for each in marks)
        self.minutes = sum(map(int, re.findall(r"^\*(\d+) minutes", self.text, re.MULTILINE)))

    def rosetta(self) -> str:
        """The lab's own tables of other people's notation."""
        found = re.search(r"^## Rosetta[^\n]*\n(.*?)(?=^## |\Z)", self.text, re.MULTILINE | re.DOTALL)
        return found[1].strip() if found else ""

    def page(self, figures: Path, repository: str | None) -> NotebookNode:
        """The page as a notebook for myst-nb; figures are written into the folder `figures`."""
        stubs = {cell.id: cell.source for cell in self.open.cells}
        page = nbformat.v4.new_notebook(metadata=self.notebook.metadata)
        page.metadata.pop("built_from", None)
        pictures = 0
        for cell in self.notebook.cells:
            marks, tags = cell.metadata.pop("nbgrader", {}), cell.metadata.get("tags", [])
            if cell.cell_type == "markdown":
                if marks.get("solution"):
                    cell.source = fold("Show the answer", cell.source, "solution")
                page.cells.append(cell)
                continue
            if marks.get("solution"):
                stub = nbformat.v4.new_markdown_cell(f"```python\n{stubs[cell.id].strip()}\n```", id=f"{cell.id}-open")
                page.cells.append(stub)
                cell.source = _MARKS.sub("", cell.source)
                _hide(cell, "Show the solution", "Hide the solution", "solution")
            elif "setup" in tags:
                _hide(cell, "Show the imports", "Hide the imports")
            elif "see" in tags and cell.outputs:
                _hide(cell, "Show the code", "Hide the code")
            for output in cell.outputs:
                if "image/png" in output.get("data", {}):
                    pictures += 1
                    path = figures / f"{self.name}-{pictures}.png"
                    output.data = {"text/html": _picture(output, path)}
            page.cells.append(cell)
        page.cells.insert(1, nbformat.v4.new_markdown_cell(self._ways(repository), id="ways"))
        _split_title(page)
        return page

    def _ways(self, repository: str | None) -> str:
        """Where the lab can be worked through."""
        ways = [f'<a href="../notebooks/{self.name}.ipynb" download>Download the notebook</a> with open exercises']
        if repository:
            place = f"{repository.removeprefix('https://github.com/')}/blob/main/labs/{self.name}/{self.name}.ipynb"
            ways.append(f'<a href="https://colab.research.google.com/github/{place}">open it in Colab</a>')
        rest = "Here every exercise stands open first, and its solution in the fold below it."
        return f'<p class="ways">{", or ".join(ways)}. {rest}</p>'

    def thumbnail(self) -> bytes:
        """The lab's first figure."""
        outputs = (output for cell in self.notebook.cells for output in cell.get("outputs", []))
        images = (output.data["image/png"] for output in outputs if "image/png" in output.get("data", {}))
        return base64.b64decode(next(images))


def fold(summary: str, text: str, kind: str) -> str:
    """Markdown that a click unfolds."""
    return f'<details class="{kind}"><summary>{summary}</summary>\n\n{text}\n\n</details>'


def _hide(cell: NotebookNode, show: str, hide: str, *kind: str) -> None:
    cell.metadata["tags"] = [*cell.metadata.get("tags", []), *kind, "hide-input"]
    cell.metadata["mystnb"] = {"code_prompt_show": show, "code_prompt_hide": hide}


def _picture(output: NotebookNode, path: Path) -> str:
    """Write a figure and say in HTML where it is, how large, and what it shows."""
    content = base64.b64decode(output.data["image/png"])
    path.write_bytes(content)
    width, height = Image.open(io.BytesIO(content)).size
    alt = html.escape(output.metadata["image/png"]["alt"])
    size = f'width="{width}" height="{height}" loading="lazy"'
    return f'<img class="figure" src="../figures/{path.name}" {size} alt="{alt}">'


def _split_title(page: NotebookNode) -> None:
    """The heading alone in the first cell, so that something can stand right below it."""
    first = page.cells[0]
    heading, _, rest = first.source.partition("\n")
    first.source = heading
    page.cells.insert(2, nbformat.v4.new_markdown_cell(rest.strip(), id="opening"))
