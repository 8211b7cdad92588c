"""The labs where there is no JupyterLab: in VS Code and on Colab, as far as that can be seen from here."""

import ast
import re
import tomllib

import nbformat
import pytest
from packaging.requirements import Requirement

from autograder import ROOT
from autograder.rebuild import read, rebuild
from autograder.source import labs
from tests import submissions

# what Colab's kernel has loaded before the first cell runs: googlecolab/colabtools pins this IPython in its setup.py;
# of ipywidgets it is reported to carry 7.7
LOADED_ON_COLAB = {"ipython": "7.34.0", "ipywidgets": "7.7.1"}


@pytest.mark.parametrize("lab", labs())
def test_every_code_cell_is_plain_python(lab):
    """No magic, no shell command, nothing awaited: it runs in any kernel that anything drives."""
    for cell in submissions.released(lab).cells:
        if cell.cell_type == "code":
            ast.parse(cell.source)


@pytest.mark.parametrize("lab", labs())
def test_every_text_is_plain_markdown_with_formulas(lab):
    """No MyST, no styles or scripts, no pasted pictures; formulas as both MathJax and KaTeX (VS Code) read them."""
    for cell in submissions.released(lab).cells:
        if cell.cell_type != "markdown":
            continue
        text = re.sub(r"```.*?```|`[^`\n]*`", "code", cell.source, flags=re.DOTALL)
        assert "attachments" not in cell
        assert not re.search(r"^:::|\{\w+\}code|<(style|script|iframe)|\\(label|ref|eqref)\b", text, re.MULTILINE), text
        for block in re.findall(r"(.?.?)\$\$(.+?)\$\$(.?)", text, re.DOTALL):
            before, formula, after = block
            assert before in ("", "\n\n"), text  # KaTeX wants a display to be a paragraph
            assert "\n\n" not in formula, text
            assert after in ("", "\n"), text
        for formula, after in re.findall(r"\$([^$]+)\$(.?)", re.sub(r"\$\$.+?\$\$|\\\$", "", text, flags=re.DOTALL)):
            assert formula == formula.strip(), text
            assert not after.isdigit(), text


def test_an_installation_on_colab_replaces_nothing_that_its_kernel_has_loaded():
    """Else the first cell is followed by a request to restart, and half of IPython is of another version until then."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {need.name: need.specifier for need in map(Requirement, project["dependencies"])}
    for name, version in LOADED_ON_COLAB.items():
        assert wanted[name].contains(version), f"{name} {wanted[name]}"


def saved_by_colab(notebook):
    """Format 4.0: the cells' ids in their metadata, sources as lines, metadata of its own."""
    notebook = nbformat.from_dict({**notebook, "nbformat_minor": 0})
    notebook.metadata.update(colab={"provenance": [], "toc_visible": True}, accelerator="GPU")
    for cell in notebook.cells:
        cell.metadata.update(id=cell.pop("id"), colab={"base_uri": "https://localhost:8080/"})
    return notebook


def saved_by_vs_code(notebook):
    notebook.metadata.language_info.update(version="3.12.3", codemirror_mode={"name": "ipython", "version": 3})
    for cell in notebook.cells:
        cell.metadata["vscode"] = {"languageId": "python"}
    return notebook


def without_marks(notebook):
    """What is left if a tool drops the cells' metadata, too."""
    for cell in notebook.cells:
        cell.metadata.pop("nbgrader", None)
    return notebook


@pytest.mark.parametrize("lab", labs())
@pytest.mark.parametrize(
    "save", [saved_by_colab, saved_by_vs_code, lambda notebook: without_marks(saved_by_vs_code(notebook))]
)
def test_what_another_program_has_saved_is_graded_as_what_jupyterlab_saves(lab, save):
    perfect, release = submissions.perfect(lab), submissions.released(lab)
    saved = nbformat.writes(save(submissions.perfect(lab)), version=nbformat.NO_CONVERT)
    assert rebuild(read(saved.encode()), release) == rebuild(perfect, release)
