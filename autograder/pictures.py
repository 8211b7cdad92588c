"""Which pictures may be shown: of a known format, and no larger when they are drawn than a screen needs.

A few kilobytes can stand for a thousand million pixels, or for a drawing that repeats itself as often; whoever opens
the page then waits for a browser that hangs.
"""

import base64
import functools
import io
import re
import warnings
from collections import Counter, defaultdict
from xml.etree import ElementTree

from PIL import Image

FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG", "image/gif": "GIF"}
DRAWING = "image/svg+xml"
MAX_PIXELS = 20_000_000
MAX_SHAPES, MAX_DEPTH = 200_000, 50  # of a drawing
# what Matplotlib and Graphviz draw with, and a little more; no filters and nothing that moves
_ELEMENTS = """
    svg g defs path use rect circle ellipse line polyline polygon text tspan title desc style clipPath marker symbol a
    linearGradient radialGradient stop pattern image metadata RDF Work type date format creator Agent
"""


def is_harmless(kind: str, data: bytes) -> bool:
    """Whether this is a picture of this kind (a MIME type) that any browser draws at once."""
    return _is_small_drawing(data) if kind == DRAWING else _is_small_picture(kind, data)


def _is_small_picture(kind: str, data: bytes) -> bool:
    if kind not in FORMATS:
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=[FORMATS[kind]]) as picture:
                return picture.width * picture.height * getattr(picture, "n_frames", 1) <= MAX_PIXELS
    except Exception:  # Pillow raises many things over a header that lies
        return False


def _is_small_drawing(data: bytes) -> bool:
    """Counts the shapes, each as often as it is drawn again: ten lines can stand for 10^10 of them."""
    elements = set(_ELEMENTS.split())
    sizes: Counter[str] = Counter()  # how many elements are in the one of each id
    references: defaultdict[str, list[str]] = defaultdict(list)  # and what is drawn again by them

    def look(element: ElementTree.Element, around: set[str], depth: int = 0) -> None:
        name = element.tag.rpartition("}")[2]
        sheet = "".join(element.itertext()) if name == "style" else ""
        style = element.get("style", "") + sheet
        if name not in elements or "filter" in element.attrib or depth > MAX_DEPTH:
            raise ValueError
        if re.search(r"filter|\\", style) or re.search(r"url|animation|@", sheet):
            raise ValueError
        others = []
        for value in element.attrib.values():
            inside = re.match(r"data:(image/\w+);base64,", value)
            if inside and not _is_small_picture(inside[1], base64.b64decode(value[inside.end() :])):
                raise ValueError
            others += re.findall(r"url\(\s*[\"']?#([^\"')]+)", value) or re.findall(r"^\s*#(.+)", value)
        around = around | {element.get("id", "")}
        for each in around:
            sizes[each] += 1
            references[each] += others
        for child in element:
            look(child, around, depth + 1)

    @functools.cache
    def drawn(identity: str) -> int:
        return sizes[identity] + sum(map(drawn, references[identity]))

    try:
        source = data.decode()
        if "<!ENTITY" in source or "\0" in source:
            return False
        look(ElementTree.fromstring(source), {""})
        return drawn("") <= MAX_SHAPES
    except (ElementTree.ParseError, ValueError, RecursionError):  # the last for what draws itself again
        return False
