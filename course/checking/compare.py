"""Is this reply the expected one, and if not, what is wrong with it, in words?"""

import math
from typing import Any

import numpy as np

from course.checking.reply import Array, Other, Reply

TOLERANCE = {"float64": 1e-7, "complex128": 1e-7}  # by dtype
TOLERANCE_OTHERWISE = 1e-4
# A sample is tested along at most ten directions, each by a Kolmogorov-Smirnov test and two z-tests: false alarms of
# 1e-8, 1e-10 and 1e-10 each make fewer than 1e-6 together, with room for tails that are not normal.
KS_ALPHA = 1e-8
Z_LIMIT = 6.5
RAISED = "raised "  # what a problem that is an exception begins with
MAX_WORDS = 200  # characters of an exception's message or of a value that are repeated


def compare(given: Reply, expected: Reply) -> str | None:
    """None when `given` is right, else what is wrong with it: the rest of a sentence that begins with "it"."""
    if given.error is not None:
        if given.error.startswith("NotImplementedError"):
            return "is not written yet"
        return RAISED + _short(given.error) + (f" ({given.where})" if given.where else "")
    if given.changed != expected.changed:
        which = " and ".join(f"`{name}`" if name.isidentifier() else name for name in given.changed) or "nothing"
        return f"changed {which} in place; the caller still needs it, so work on a new tensor"
    if given.value is None and expected.value is not None:
        return "returned None (is there a `return`?)"
    return _compare(given.value, expected.value, expected.sample)


def _compare(given: Any, expected: Any, sample: bool) -> str | None:
    if isinstance(expected, Array):
        return _compare_arrays(given, expected, sample)
    if isinstance(expected, list):
        if not isinstance(given, list) or len(given) != len(expected):
            return f"returned {describe(given)}; wanted {describe(expected)}"
        parts = enumerate(zip(given, expected, strict=True), 1)
        return _compare_parts([(f"part {i} of the result", g, e) for i, (g, e) in parts], sample)
    if isinstance(expected, dict):
        if not isinstance(given, dict) or given.keys() != expected.keys():
            return f"returned {describe(given)}; wanted {describe(expected)}"
        return _compare_parts([(f"entry {key!r}", given[key], expected[key]) for key in expected], sample)
    if isinstance(expected, (float, complex)):  # any kind of number will do where a Python number is wanted
        number = given.data.item() if isinstance(given, Array) and given.data.size == 1 else given
        if isinstance(number, bool) or not isinstance(number, (int, float, complex)):
            return f"returned {describe(given)}; wanted a number"
        return _compare_numbers(np.asarray(number), np.asarray(expected), TOLERANCE_OTHERWISE)
    if isinstance(given, Array) and given.data.size == 1 and isinstance(expected, (bool, int)):
        given = given.data.item()  # a 0-d tensor holding the right bool or int
    if type(given) is not type(expected):
        return f"returned {describe(given)}; wanted {describe(expected)}"
    return None if given == expected else f"returned {_short(repr(given))}; wanted {_short(repr(expected))}"


def _compare_parts(parts: list[tuple[str, Any, Any]], sample: bool) -> str | None:
    for name, given, expected in parts:
        problem = _compare(given, expected, sample)
        if problem:
            return f"{problem} ({name})"
    return None


def _compare_arrays(given: Any, expected: Array, sample: bool) -> str | None:
    if isinstance(given, (int, float)) and not isinstance(given, bool) and expected.data.ndim == 0:
        given = Array(np.asarray(given, expected.data.dtype), expected.dtype)  # a number where a 0-d tensor is wanted
    if not isinstance(given, Array) or given.library != expected.library:
        what = f"a {_kind(given)}" if isinstance(given, Array) else describe(given)
        return f"returned {what}; wanted a {_kind(expected)}"
    if given.data.shape != expected.data.shape:
        return f"returned shape {_shape(given)}; wanted {_shape(expected)}"
    if given.dtype != expected.dtype:
        return f"returned {given.dtype} numbers; wanted {expected.dtype}"
    if given.device != expected.device:
        return f"returned a tensor on {given.device}; wanted one on {expected.device}"
    if sample:
        return _compare_samples(given.data, expected.data)
    return _compare_numbers(given.data, expected.data, TOLERANCE.get(expected.dtype, TOLERANCE_OTHERWISE))


def _compare_numbers(given: np.ndarray, expected: np.ndarray, tolerance: float) -> str | None:
    unexpected = ~np.isfinite(given) & np.isfinite(expected)
    if unexpected.any():
        what = "NaN" if np.isnan(given).any() else "infinity"
        where = " everywhere" if unexpected.all() else f" in {unexpected.sum()} of {given.size} values"
        return f"returned {what}{'' if given.size == 1 else where}"
    if given.dtype.kind in "biu" and expected.dtype.kind in "biu":
        wrong = given != expected
        return f"is wrong in {wrong.sum()} of {wrong.size} values" if wrong.any() else None
    nan = np.isnan(expected)
    if nan.any():  # the reply of a known mistake
        if not np.isnan(given[nan]).all():
            return "is a number where NaN is expected"
        given, expected = given[~nan], expected[~nan]
    scale = np.abs(expected, where=np.isfinite(expected), out=np.zeros(expected.shape))
    rms = float(np.sqrt(np.mean(scale**2))) if scale.size else 0.0
    with np.errstate(invalid="ignore"):  # inf - inf, where both are infinite
        off = np.abs(given - expected)
    off = np.where(given == expected, 0.0, off)
    wrong = ~(off <= tolerance * (scale + rms) + 1e-12)
    if not wrong.any():
        return None
    if given.size == 1:
        return f"returned {given.item():.6g}; wanted {expected.item():.6g}"
    return _pattern(given, expected) or (
        f"is off by up to {np.nanmax(off):.3g}, where the right values are about {rms:.2g} in size{_place(wrong)}"
    )


@np.errstate(invalid="ignore")  # inf - inf, and what is computed from it
def _pattern(given: np.ndarray, expected: np.ndarray) -> str | None:
    """What the values have in common with the right ones, if it is simple."""
    if given.dtype.kind != "f":
        return None
    if not given.any():
        return "is 0 everywhere"
    nonzero = np.abs(expected) > 1e-6
    if nonzero.any():
        centre = float(np.median(given[nonzero] / expected[nonzero]))
        room = 1e-3 * abs(centre) * (np.abs(expected) + 1e-2 * np.abs(expected[nonzero]).max())  # also where it is 0
        alike = np.isfinite(centre) and np.all(np.abs(given - centre * expected) <= room)
        if alike and f"{centre:.4g}" == "-1":
            return "has the wrong sign everywhere"
        if alike and f"{centre:.4g}" not in ("1", "0"):
            return f"is {centre:.4g} times the right value everywhere"
    difference = given - expected
    if np.ptp(difference) <= 1e-3 * np.abs(difference).max():
        return f"is {abs(difference.mean()):.4g} too {'large' if difference.mean() > 0 else 'small'} everywhere"
    return None


def _place(wrong: np.ndarray) -> str:
    """Where the wrong values are, if not everywhere."""
    rows = wrong.reshape(len(wrong), -1).any(axis=1)
    if not rows.all():
        return f"; row {int(np.argmax(rows))} is the first that is wrong"
    return "" if wrong.all() else f"; {wrong.sum()} of {wrong.size} values are wrong"


def _compare_samples(given: np.ndarray, expected: np.ndarray) -> str | None:
    """Are these samples (n, d) of one law? Asked along the axes and along four fixed oblique directions."""
    if not np.isfinite(given).all():
        return f"returned {(~np.isfinite(given)).sum()} values that are NaN or infinite"
    given = given.reshape(len(given), -1).astype(float)
    expected = expected.reshape(len(expected), -1).astype(float)
    dim = given.shape[1]
    oblique = np.random.default_rng(0).standard_normal((dim, 4)) if dim > 1 else np.zeros((dim, 0))
    directions = np.concatenate([np.eye(dim)[:, :6], oblique], axis=1)
    centre = expected.mean(0)
    if not any(_laws_differ((given - centre) @ d, (expected - centre) @ d) for d in directions.T):
        return None
    differing = [
        f"its {name} is {_numbers(of(given))} where {_numbers(of(expected))} is right"
        for name, of in (("mean", lambda x: x.mean(0)), ("standard deviation", lambda x: x.std(0)))
        if np.any(
            np.abs(of(given) - of(expected)) > Z_LIMIT * expected.std(0) * math.sqrt(1 / len(given) + 1 / len(expected))
        )
    ]
    otherwise = [
        "mean and standard deviation are right; is every number drawn on its own, and from the right distribution?"
    ]
    return f"does not follow the right law: {', '.join(differing or otherwise)}"


def _laws_differ(a: np.ndarray, b: np.ndarray) -> bool:
    """Kolmogorov-Smirnov for the shape; z-tests of mean and second moment, which see a change of scale much earlier."""
    a, b = np.sort(a), np.sort(b)
    both = np.concatenate([a, b])
    distance = np.abs(np.searchsorted(a, both, "right") / len(a) - np.searchsorted(b, both, "right") / len(b)).max()
    # P(D > c sqrt(1/n + 1/m)) <= 2 exp(-2 c^2)
    if distance > math.sqrt(-math.log(KS_ALPHA / 2) / 2 * (1 / len(a) + 1 / len(b))):
        return True
    return any(
        abs(p.mean() - q.mean()) > Z_LIMIT * math.sqrt(p.var() / len(p) + q.var() / len(q))
        for p, q in [(a, b), (a**2, b**2)]
    )


def _numbers(values: np.ndarray) -> str:
    text = ", ".join(f"{value:.3g}" for value in values[:3])
    return f"({text}{', …' if len(values) > 3 else ''})" if len(values) > 1 else text


def describe(value: Any) -> str:
    """A frozen value's type and shape in words."""
    if isinstance(value, Array):
        return f"a {_kind(value)} of shape {_shape(value)}"
    if isinstance(value, list):
        return f"{len(value)} value{'' if len(value) == 1 else 's'}"
    if isinstance(value, dict):
        return f"a dict with the keys {_short(', '.join(value)) or '(none)'}"
    if isinstance(value, Other):
        return f"a {value.type}"
    if value is None:
        return "None"
    names = {bool: "True or False", int: "an integer", float: "a number", complex: "a complex number", str: "a string"}
    return names[type(value)]


def _kind(array: Array) -> str:
    return "tensor" if array.library == "torch" else "NumPy array"


def _short(words: str) -> str:
    return words.rstrip(". \n") if len(words) <= MAX_WORDS else f"{words[:MAX_WORDS].rstrip()} …"


def _shape(array: Array) -> str:
    return str(tuple(array.data.shape))
