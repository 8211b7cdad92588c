"""Which of a submission's pictures are shown: what plots and photographs are, and nothing that keeps a browser busy."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from autograder.pictures import is_harmless
from tests.attacks.pages import blank, unfolding


def plot(kind: str) -> bytes:
    """A figure with all that Matplotlib draws by reference: markers, letters, a hatch, a clipped image."""
    figure, (left, right) = plt.subplots(1, 2)
    left.plot([1, 2, 3], "o-", label=r"$\alpha^2$")
    left.fill_between([0, 1], [0, 1], hatch="/")
    left.legend()
    figure.colorbar(right.imshow(np.eye(5)))
    right.scatter(*np.eye(5)[:2], c=np.arange(5))
    file = io.BytesIO()
    figure.savefig(file, format=kind)
    plt.close(figure)
    return file.getvalue()


def moving(size: int, frames: int) -> bytes:
    file = io.BytesIO()
    first, *others = (Image.new("L", (size, size), i) for i in range(frames))
    first.save(file, "GIF", save_all=True, append_images=others)
    return file.getvalue()


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("image/png", plot("png")),
        ("image/jpeg", plot("jpeg")),
        ("image/svg+xml", plot("svg")),
        ("image/gif", moving(100, 20)),
        ("image/png", blank(4000)),
        ("image/svg+xml", unfolding(4).encode()),
    ],
    ids=["png", "jpeg", "svg", "gif", "large", "repeating"],
)
def test_pictures_that_people_make_are_shown(kind, data):
    assert is_harmless(kind, data)


LAUGHS = "<!ENTITY l0 '<g/>'>" + "".join(f"<!ENTITY l{i + 1} '{f'&l{i};' * 10}'>" for i in range(9))
LAUGHS = f"<!DOCTYPE svg [{LAUGHS}]>"
SVG = "<svg xmlns='http://www.w3.org/2000/svg'>{}</svg>"


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("image/png", blank(8000)),
        ("image/png", plot("png")[:20]),
        ("image/png", b"<svg/>"),
        ("image/jpeg", plot("png")),
        ("image/gif", moving(1000, 21)),
        ("image/bmp", b"BM"),
        ("image/svg+xml", unfolding(6).encode()),
        ("image/svg+xml", SVG.format("<g id='a'><use href='#a'/></g>").encode()),
        ("image/svg+xml", SVG.format("<g id='a'><rect fill='url(#b)'/></g><pattern id='b'><use href='#a'/></pattern>")),
        ("image/svg+xml", LAUGHS + SVG.format("&l9;")),
        ("image/svg+xml", SVG.format("<filter id='f'/>")),
        ("image/svg+xml", SVG.format("<style>g { filter: blur(9999px) }</style>")),
        ("image/svg+xml", SVG.format("<style><![CDATA[rect { fill: u\\72l(#a) }]]></style>")),
        ("image/svg+xml", SVG.format("<g style='fil\\74er: blur(9999px)'/>")),
        ("image/svg+xml", SVG.format("<script>steal()</script>")),
        ("image/svg+xml", SVG.format("<g>" * 100 + "</g>" * 100)),
        ("image/svg+xml", "<svg"),
    ],
)
def test_what_a_browser_would_hang_on_is_not(kind, data):
    assert not is_harmless(kind, data.encode() if isinstance(data, str) else data)
