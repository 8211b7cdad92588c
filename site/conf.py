"""Sphinx's settings; `site/build.py` puts this file beside the pages it writes and runs Sphinx there."""

import re
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

from docutils import nodes

ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "pyproject.toml").exists())
sys.path.insert(0, str(ROOT))

_about = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
project = "Generative models, by hand"
author = "the course's authors"
project_copyright = "the course's authors. Code: MIT. Texts and figures: CC BY 4.0"
version = release = _about["version"]
language = "en"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.mathjax"]
exclude_patterns = ["_static", "extra"]  # files to be copied, no pages
default_role = "code"
suppress_warnings = ["myst.header"]  # a page of the notation begins each lab's tables at the same depth

# ---- notebooks: what was executed is shown, nothing is executed again
nb_execution_mode = "off"
nb_merge_streams = True
nb_render_markdown_format = "myst"
myst_enable_extensions = ["dollarmath", "amsmath", "deflist", "attrs_inline", "attrs_block"]
myst_heading_anchors = 3
myst_dmath_double_inline = True

# ---- math: MathJax from a package on PyPI, served by the site itself
_mathjax = Path(find_spec("sphinx-mathjax-offline").submodule_search_locations[0]) / "static" / "mathjax"
mathjax_path = "mathjax/tex-chtml.js"
mathjax_options = {"defer": "defer"}
mathjax3_config = {
    "options": {"enableMenu": False, "processHtmlClass": "tex2jax_process|mathjax_process|math|output_area"},
    "tex": {"tags": "none"},
    "chtml": {"scale": 0.96},
}

# ---- the look
html_theme = "furo"
html_title = project
html_static_path = ["_static"]
html_favicon = "_static/icon.svg"
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_show_sphinx = False
html_show_sourcelink = False
html_copy_source = False
html_extra_path = ["extra"]
pygments_style, pygments_dark_style = "a11y-high-contrast-light", "a11y-high-contrast-dark"
_sans = '"Inter", system-ui, -apple-system, "Segoe UI", "Noto Sans", "DejaVu Sans", sans-serif'
html_theme_options = {
    "navigation_with_keys": True,
    "light_css_variables": {
        "font-stack": _sans,
        "color-brand-primary": "#00694c",
        "color-brand-content": "#00694c",
        "color-brand-visited": "#5b4391",
        "color-foreground-muted": "#59636e",
        "color-toc-title-text": "#59636e",
        "color-sidebar-caption-text": "#59636e",
        "color-sidebar-search-border": "#c3cad2",
        "color-api-name": "#00694c",
        "color-api-pre-name": "#00694c",
    },
    "dark_css_variables": {
        "color-brand-primary": "#4fd1a5",
        "color-brand-content": "#4fd1a5",
        "color-brand-visited": "#c3b1f2",
        "color-foreground-muted": "#a4adb8",
        "color-toc-title-text": "#a4adb8",
        "color-sidebar-caption-text": "#a4adb8",
        "color-api-name": "#4fd1a5",
        "color-api-pre-name": "#4fd1a5",
    },
}

# ---- the API reference
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_mock_imports = [name for name in ("distributed", "dask", "fcntl", "resource") if find_spec(name) is None]
python_maximum_signature_line_length = 88
maximum_signature_line_length = 88

_PARAMETER = re.compile(r"(Returns|Raises|\*{0,2}\w+(, \*{0,2}\w+)*( \([^)]*\))?:|\w+\([\w, ]*\)(:| ->))")


def _plain(text):
    """Text of a docstring as reStructuredText that says the same: only code keeps its marks."""
    pieces = re.split(r"``?([^`]+)``?", text)
    return "".join(
        f"``{piece.strip()}``" if i % 2 else re.sub(r"([\\*|_:])", r"\\\1", piece) for i, piece in enumerate(pieces)
    )


def _docstring(app, what, name, obj, options, lines):
    """Our docstrings are plain text, a line for each thing they say: keep the lines, and show examples as code."""
    result = []
    for paragraph in re.split(r"\n\s*\n", "\n".join(lines).strip()):
        rows = paragraph.split("\n")
        if all(row.startswith("  ") for row in rows):
            result += ["::", "", *(f"    {row}" for row in rows), ""]
            continue
        said = []
        for row in rows:
            if said and not _PARAMETER.match(row) and (row.startswith("  ") or len(said[-1]) > 75):
                said[-1] += " " + row.strip()
            else:
                said.append(row.strip())
        result += [f"| {_plain(row)}" for row in said] if len(said) > 1 else [_plain(said[0])]
        result.append("")
    lines[:] = result


# ---- what a reader of the page, rather than of the source, needs
_CHINESE = re.compile(r"[\u3400-\u9fff\uff00-\uffef，。、（）]*[\u3400-\u9fff][\u3400-\u9fff\uff00-\uffef，。、（）]*")

# a formula that would fit on any line, and the bracket or full stop that must not be left alone on the next
_SHORT_FORMULA = re.compile(r'[([]?<span class="math notranslate nohighlight">\\\([^<]{1,40}\\\)</span>[)\].,;:?!]+')


def _signature(match):
    """A signature over several lines, without the list of definitions that define nothing."""
    text = re.sub(r"<(/?)dl>", r"<\1span>", match[0])
    return text.replace("<dd>", '<span class="sig-line">').replace("</dd>", "</span>")


def _finish(app, page, template, context, doctree):
    """What screen readers trip over, and which words are Chinese, so that they are read and drawn as such."""
    if tree := context.get("furo_navigation_tree"):
        context["furo_navigation_tree"] = tree.replace('role="heading"', 'role="heading" aria-level="2"')
    if body := context.get("body"):
        body = body.replace(' aria-label="Toggle hidden content"', "")
        body = re.sub(r'<dt class="sig .*?</dt>', _signature, body, flags=re.DOTALL)
        body = _SHORT_FORMULA.sub(r'<span class="nowrap">\g<0></span>', body)
        parts = re.split(r"(<[^>]+>)", body)
        parts[::2] = [_CHINESE.sub(r'<span lang="zh-Hans">\g<0></span>', text) for text in parts[::2]]
        context["body"] = "".join(parts)


def _formulas(app, doctree):
    """Hand formulas to MathJax as they are: Sphinx puts those of several lines where no number is allowed."""
    for node in doctree.findall(nodes.math_block):
        if not (node.get("no-wrap") or node.get("nowrap")):
            node["no-wrap"] = node["nowrap"] = True
            node.children = [nodes.Text(rf"\[{node.astext()}\]")]


def setup(app):
    """Sphinx calls this."""
    app.connect("autodoc-process-docstring", _docstring)
    app.connect("doctree-read", _formulas)
    app.connect("html-page-context", _finish, priority=900)
