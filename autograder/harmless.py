"""Makes what a student wrote, or a notebook put out, harmless to look at in the formgrader and in feedback.

Both pages show Markdown, HTML and images on the instructor's origin, with everything that they hold. What may stay is
listed here; the rest becomes plain text or goes.
"""

import base64
import binascii
import html
import json
import re
from collections.abc import Iterable
from typing import Any

import bleach
from bleach.css_sanitizer import CSSSanitizer
from nbformat import NotebookNode
from nbformat.v4 import new_output

from autograder.pictures import DRAWING, FORMATS, is_harmless

MAX_HTML, MAX_TAGS = 500_000, 5000  # characters and tags of a cell's HTML; more is not parsed, and shown as text
MAX_IMAGE = 5_000_000  # bytes in base64
MAX_LINES = 1000  # of text in one output
MAX_OUTPUTS = 200  # of one cell

_TAGS = """
    a abbr b blockquote br caption code col colgroup dd details div dl dt em h1 h2 h3 h4 h5 h6 hr i img kbd li mark ol p
    pre q s samp small span strong sub summary sup table tbody td tfoot th thead tr tt u ul var
"""
_ATTRIBUTES = "align alt border colspan height rowspan start style title width"
_STYLES = """
    background-color border border-bottom border-left color font-family font-size font-style font-weight height margin
    padding text-align text-decoration vertical-align white-space width
"""
_IMAGE_URL = re.compile(r"data:(image/[\w+]+);base64,(.*)", re.DOTALL)


def text(value: object) -> str:
    """A string of characters that every file, terminal and database can hold."""
    clean = str(value).encode("utf-8", "replace").decode()
    return re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f]", "\ufffd", clean)  # but tab, ends of lines, colours


# ---- Markdown -------------------------------------------------------------------------------------------------------


def markdown(source: str, pictures: Iterable[str] = ()) -> str:
    """Markdown without HTML of its own, links that run something, and pictures but the attached ones of these names.

    A tag gets a space behind its `<`: that is no tag any more, and in a formula it changes nothing.
    """
    source = re.sub(r"<(?!/?(?:b|i|em|strong|sub|sup|br|u|code|kbd)\s*/?>)(?=[A-Za-z/!?])", "< ", source)
    names = "|".join(map(re.escape, pictures)) or "(?!)"
    source = re.sub(rf"!(?=\[)(?!\[[^\]\n]*\]\(attachment:({names})\))", "", source)
    source = re.sub(r"(\]\s*[(:]\s*<?\s*)([^\s)>]+)", lambda link: link[1] + _harmless_url(link[2]), source)
    return re.sub(r"\\(?=(?:href|url|style|class|cssId|require|html\w*)\b)", "", source)  # of MathJax


def _harmless_url(url: str) -> str:
    read = html.unescape(re.sub(r"\\([^\w\s])", r"\1", url))
    scheme = re.match(r"([^/?#:]*):", re.sub(r"[\s\x00-\x1f]", "", read))
    return url if not scheme or scheme[1].lower() in {"http", "https", "mailto", "attachment"} else "#"


def attachments(found: Any) -> dict[str, dict[str, str]]:
    """The pictures among a Markdown cell's attachments."""
    if not isinstance(found, dict):
        return {}
    kept: dict[str, dict[str, str]] = {}
    for name, bundle in list(found.items())[:20]:
        if re.fullmatch(r"[\w.-]{1,100}", str(name)) and isinstance(bundle, dict):
            pictures = {kind: data for kind, data in bundle.items() if kind in FORMATS and _is_image(kind, data)}
            if pictures:
                kept[str(name)] = pictures
    return kept


def _is_image(kind: str, data: object) -> bool:
    """Whether these are the bytes of such a picture in base64."""
    if not isinstance(data, str) or len(data) > MAX_IMAGE:
        return False
    try:
        return is_harmless(kind, base64.b64decode("".join(data.split()), validate=True))
    except (binascii.Error, ValueError):
        return False


# ---- outputs --------------------------------------------------------------------------------------------------------


def outputs(data: bytes) -> tuple[list[NotebookNode], int | None]:
    """A cell's outputs and its number from what came out of the sandbox. ValueError if it cannot be read."""
    try:
        message = json.loads(data)
        found, count = message["outputs"], message["execution_count"]
        count = count if isinstance(count, int) and 0 <= count < 10_000 else None
        markup = "".join(str(each.get("data", {}).get("text/html", "")) for each in found)
        rich = len(markup) <= MAX_HTML and markup.count("<") <= MAX_TAGS
        return [output for each in found[:MAX_OUTPUTS] if (output := _output(each, count, rich))], count
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, MemoryError) as error:
        raise ValueError("what it shows cannot be read") from error


def _output(found: dict[str, Any], count: int | None, rich: bool) -> NotebookNode | None:
    kind = found["output_type"]
    if kind == "stream":
        name = "stderr" if found["name"] == "stderr" else "stdout"
        return new_output(kind, name=name, text=_short(text(found["text"])))
    if kind == "error":
        lines = [_short(text(line)) for line in found["traceback"][-100:]]
        return new_output(kind, ename=text(found["ename"])[:200], evalue=text(found["evalue"])[:2000], traceback=lines)
    if kind not in ("display_data", "execute_result"):
        return None
    more = {"execution_count": count} if kind == "execute_result" else {}
    return new_output(kind, data=_bundle(found["data"], rich), **more)


def _bundle(found: dict[str, Any], rich: bool) -> dict[str, str]:
    """What may stay of a MIME bundle."""
    kept = {"text/plain": _short(text(found.get("text/plain", "")))}
    for kind in ("text/markdown", "text/latex"):
        if kind in found:
            kept[kind] = markdown(_short(text(found[kind])))
    if "text/html" in found and rich and (clean := page(text(found["text/html"]))):
        kept["text/html"] = clean
    if DRAWING in found and is_harmless(DRAWING, drawing := text(found[DRAWING]).encode()):
        # as a picture it can neither run nor load anything
        kept["text/html"] = f'<img src="data:{DRAWING};base64,{base64.b64encode(drawing).decode()}">'
    kept |= {kind: found[kind] for kind in FORMATS if kind in found and _is_image(kind, found[kind])}
    return kept


def page(source: str) -> str:
    """HTML without anything that runs, loads or covers other parts of the page; "" if it cannot be read."""
    # with their contents, which bleach would leave as text
    source = re.sub(r"(?is)<(script|style)\b.*?(</\1\s*>|\Z)", "", source)
    try:
        return bleach.clean(
            source,
            tags=set(_TAGS.split()),
            attributes=_allowed,
            protocols={"http", "https", "mailto", "data"},
            css_sanitizer=CSSSanitizer(allowed_css_properties=_STYLES.split()),
            strip=True,
        )
    except (RecursionError, ValueError, AssertionError, KeyError, IndexError, TypeError, AttributeError):
        return ""  # html5lib gives up on what nobody writes by hand


def _allowed(tag: str, name: str, value: str) -> bool:
    if name == "src":
        url = _IMAGE_URL.fullmatch(value)
        return tag == "img" and url is not None and _is_image(url[1], url[2])
    if name == "href":
        return tag == "a" and re.match(r"\s*(https?:|mailto:)", value, re.IGNORECASE) is not None
    return name in _ATTRIBUTES.split()


def _short(value: str) -> str:
    lines = value.split("\n", MAX_LINES)
    return value if len(lines) <= MAX_LINES else "\n".join([*lines[:MAX_LINES], "… the rest is not shown\n"])
