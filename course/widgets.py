"""Figures to play with: `explore` has a slider per parameter, `player` runs through frames.

Both draw with a function of yours that returns a Figure (see `course.plotting`). In a running notebook `explore`
draws on demand; with COURSE_STATIC=1 in the environment all its frames are drawn beforehand into one piece of HTML
that needs neither a kernel nor a network. `player` is always such a piece of HTML.
"""

import asyncio
import base64
import hashlib
import html
import io
import itertools
import json
import math
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from course.plotting import style

Draw = Callable[..., Figure]
Alt = str | Callable[..., str]

MAX_FRAMES = 60
FRAME_BYTES = 12_000  # aim: sixty frames stay below one megabyte
_TEMPLATE = Path(__file__).with_name("widgets.html")


def explore(draw: Draw, /, *, alt: Alt, labels: dict[str, str] | None = None, **controls) -> None:
    """A figure with one slider per control.

    draw(**values) -> Figure;  controls: name=[value, ...], at most 60 combinations;
    alt: what the figure shows, a text (the values are added to it) or a function alt(**values) -> text;
    labels: {"h": "step size h"} what to write beside a slider. It starts at the middle of every list.

        explore(lambda h: euler_figure(h), h=[0.1, 0.5, 1.0], alt="Euler's method on a decay.")
    """
    controls = {name: list(values) for name, values in controls.items()}
    for name in set(labels or {}) - set(controls):
        raise ValueError(f"There is no slider called {name!r} to label, only {', '.join(controls)}.")
    labels = {name: (labels or {}).get(name, name.replace("_", " ")) for name in controls}
    _check(draw, alt, controls)
    if style.shell() is None:
        print(_alt(alt, labels, {name: values[len(values) // 2] for name, values in controls.items()}))
    elif os.environ.get("COURSE_STATIC") == "1" or not _live(draw, controls, labels, alt):
        _publish(static_html(draw, controls, labels, alt), alt, labels, controls)


def player(draw: Draw, frames: Iterable, /, *, alt: Alt, interval: int = 150, label: str = "frame") -> None:
    """An animation with a play button and a slider: a piece of HTML that needs no kernel.

    draw(value) -> Figure for each value in frames, at most 60;  interval: milliseconds per frame;
    alt: what it shows, a text (the value is added to it) or a function alt(value) -> text;
    label: what the frames' values are, such as "time t".
    """
    controls, labels = {"frame": list(frames)}, {"frame": label}
    _check(draw, alt, controls)
    if not interval >= 20:
        raise ValueError(f"A frame lasts at least 20 milliseconds, got interval={interval}.")
    describe = (lambda frame: alt(frame)) if callable(alt) else alt
    if style.shell() is None:
        print(_alt(describe, labels, {"frame": controls["frame"][len(controls["frame"]) // 2]}))
    else:
        page = static_html(lambda frame: draw(frame), controls, labels, describe, interval)
        _publish(page, describe, labels, controls)


def static_html(draw: Draw, controls: dict[str, list], labels: dict[str, str], alt: Alt, interval: int = 0) -> str:
    """All combinations of the controls drawn beforehand, as a piece of HTML; interval > 0 adds a play button."""
    frames, alts = [], []
    for combination in itertools.product(*controls.values()):
        values = dict(zip(controls, combination, strict=True))
        image = style.pixels(_figure(draw, values), card=False)
        frames.append(encode(image))
        alts.append(_alt(alt, labels, values))
    sizes = [len(values) for values in controls.values()]
    start = [size // 2 for size in sizes]
    middle = sum(s * math.prod(sizes[i + 1 :]) for i, s in enumerate(start))
    data = {
        "controls": [[_text(v) for v in values] for values in controls.values()],
        "interval": interval,
        "alts": alts,
        # The middle frame is in the page already, for readers without JavaScript.
        "frames": ["" if i == middle else _uri(frame) for i, frame in enumerate(frames)],
    }
    payload = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    digest = hashlib.sha256(payload.encode() + frames[middle]).hexdigest()[:12]
    rows = [_row(labels[name], values, len(values) // 2) for name, values in controls.items()]
    parts = {
        "ROOT": f"course-{digest}",
        "SOURCE": _uri(frames[middle]),
        "WIDTH": str(image.width),
        "HEIGHT": str(image.height),
        "ALT": html.escape(alts[middle]),
        "ROWS": "\n".join(rows),
        "BUTTON": _BUTTON if interval else "",
        "DATA": payload,
    }
    template = _TEMPLATE.read_text(encoding="utf-8")
    return re.sub("%([A-Z]+)%", lambda match: parts[match[1]], template)


_BUTTON = '<button type="button" class="course-play" aria-label="Play">Play</button>'


def _row(label, values, start):
    text = html.escape(_text(values[start]))
    return (
        f'<div class="course-row"><label><span>{html.escape(label)}</span>'
        f'<input type="range" min="0" max="{len(values) - 1}" step="1" value="{start}" autocomplete="off"'
        f' aria-valuetext="{text}"></label><output>{text}</output></div>'
    )


def encode(image: Image.Image) -> bytes:
    """The smallest of a few encodings that fits FRAME_BYTES and is still crisp; the same bytes every time."""
    flat = image.quantize(80, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)
    lossless = min(_save(flat, "PNG", optimize=True), _save(flat.convert("RGB"), "WEBP", lossless=True), key=len)
    if len(lossless) <= FRAME_BYTES:
        return lossless
    for quality in (80, 65, 50, 35):
        lossy = _save(image, "WEBP", quality=quality, method=6)
        if len(lossy) <= FRAME_BYTES:
            break
    return min(lossless, lossy, key=len)


def _save(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _uri(frame):
    kind = "png" if frame.startswith(b"\x89PNG") else "webp"
    return f"data:image/{kind};base64,{base64.b64encode(frame).decode('ascii')}"


def _check(draw, alt, controls):
    if not callable(draw):
        raise TypeError(f"The first argument is a function that draws a Figure, got {draw!r}.")
    if not callable(alt) and not (isinstance(alt, str) and alt.strip()):
        raise ValueError("Say in alt=... what the figure shows, for readers who cannot see it.")
    if not controls or not all(controls.values()):
        raise ValueError("Wanted a list of at least one value for every slider.")
    count = math.prod(map(len, controls.values()))
    if count > MAX_FRAMES:
        raise ValueError(f"At most {MAX_FRAMES} frames fit in a page, these sliders make {count}: use fewer values.")


def _figure(draw, values):
    figure = draw(**values)
    if not hasattr(figure, "get_figwidth"):
        raise ValueError(f"The drawing function must return a Figure, it returned {type(figure).__name__}.")
    return figure


def _alt(alt, labels, values):
    if callable(alt):
        return alt(**values)
    return f"{alt} ({', '.join(f'{labels[name]} = {_text(value)}' for name, value in values.items())})"


def _text(value):
    value = value.item() if hasattr(value, "item") else value
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _publish(page, alt, labels, controls):
    middle = {name: values[len(values) // 2] for name, values in controls.items()}
    style.publish({"text/html": page, "text/plain": _alt(alt, labels, middle)})


def _live(draw, controls, labels, alt):
    """Show sliders that draw on demand; False where there is no kernel or no ipywidgets."""
    if not hasattr(style.shell(), "kernel"):
        return False
    try:
        import ipywidgets
    except ImportError:
        return False
    from IPython.display import display

    frames, ahead = {}, iter(())
    sliders = {
        name: ipywidgets.SelectionSlider(
            options=[(_text(v), i) for i, v in enumerate(values)],
            value=len(values) // 2,
            description=labels[name],
            style={"description_width": "initial"},
            layout={"width": "100%"},
        )
        for name, values in controls.items()
    }
    image = ipywidgets.Image(format="webp", layout={"max_width": "100%"})
    caption = ipywidgets.HTML()

    def frame(key):
        if key not in frames:
            values = {name: controls[name][i] for name, i in zip(controls, key, strict=True)}
            picture = style.pixels(_figure(draw, values), card=False)
            frames[key] = _save(picture, "WEBP", lossless=True, method=0), _alt(alt, labels, values)
        return frames[key]

    def update(change=None):
        nonlocal ahead
        key = tuple(slider.value for slider in sliders.values())
        image.value, text = frame(key)
        caption.value = f'<span class="course-hidden" aria-live="polite">{html.escape(text)}</span>'
        # until somebody plays with it, what one move would show; then everything, what is near first
        ahead = mine = iter(_others(key, controls, farthest=1 if change is None else MAX_FRAMES))
        _when_idle(frame, mine, lambda: mine is ahead)

    update()
    for slider in sliders.values():
        slider.observe(update, "value")
    looks = ipywidgets.HTML(_LIVE_STYLE)
    box = ipywidgets.VBox([looks, image, *sliders.values(), caption])
    box.add_class("course-live")
    display(box)
    return True


def _others(key, controls, farthest):
    """The other positions of the sliders, at most so many moves away, the nearest first."""
    positions = itertools.product(*(range(len(values)) for values in controls.values()))
    moves = {other: sum(abs(a - b) for a, b in zip(key, other, strict=True)) for other in positions}
    return sorted((other for other, count in moves.items() if 0 < count <= farthest), key=moves.__getitem__)


def _when_idle(work, items, wanted):
    """Do work(item) for each item while it is wanted(), one at a time, when the kernel has nothing else to do.

    It ends at an error, which waits for a reader.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return

    def once():
        if not wanted():
            return
        try:
            work(next(items))
        except Exception:  # also: no items are left
            return
        loop.call_later(0.05, once)

    loop.call_later(0.3, once)


# The same card as in widgets.html, around ipywidgets' sliders.
_LIVE_STYLE = """<style>
.course-live { width: fit-content; max-width: 100%; padding: 6px 16px 10px 6px;
  background: #fff; color-scheme: light; border: 1px solid #e1e5ea; border-radius: 10px;
  --jp-widgets-label-color: #59636e; --jp-widgets-readout-color: #1b1f24;
  --jp-widgets-slider-track-thickness: 6px; }
.course-live .widget-label { margin-left: 10px; }
.course-live .widget-readout { font-weight: 600; }
.course-live .noUi-target { background: #e6e9ed; border: none; border-radius: 3px; }
.course-live .noUi-target .noUi-connects { background: #e6e9ed; }
.course-live .noUi-target .noUi-handle { background: #00946b; border: none;
  width: 16px; height: 16px; right: -8px; top: -5px; }
.course-hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
</style>"""
