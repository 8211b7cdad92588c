"""Implementations of classifier-free guidance, as in `course.checking.lab5`."""

import torch

from course.shapes import expand_time


def _both(model, x, t, y, null):
    return model(x, t, y), model(x, t, torch.full_like(y, null))


def _a(model, x, t, y, w, null):
    given, without = _both(model, x, t, y, null)
    return without + expand_time(w, x) ** 2 * (given - without)


def _b(model, x, t, y, w, null):
    s = expand_time(w, x)
    given, without = _both(model, x, t, y, null)
    return s * given - (s - 1) * without


def _c(model, x, t, y, w, null):
    given, without = _both(model, x, t, y.roll(1), null)
    return without + expand_time(w, x) * (given - without)


def _d(model, x, t, y, w, null):
    given, without = model(x, t, y), model(x, 0 * t, torch.full_like(y, null))
    return without + expand_time(w, x) * (given - without)


def _e(model, x, t, y, w, null):
    times = torch.as_tensor(t, dtype=x.dtype).expand(len(x)).repeat_interleave(2)
    labels = torch.stack([y, torch.full_like(y, null)], 1).flatten()
    pairs = model(x.repeat_interleave(2, 0), times, labels).unflatten(0, (len(x), 2))
    return pairs[:, 1] + expand_time(w, x) * (pairs[:, 0] - pairs[:, 1])


def _f(model, x, t, y, w, null):
    given, without = _both(model, x, t, y, null)
    return without + expand_time(torch.as_tensor(w, dtype=x.dtype).expand(len(x)).flip(0), x) * (given - without)


SUBJECTS = [_c, _b, _f, _a, _e, _d]
