"""Functions (answers, weights) -> {answer: sum of its weights}, as in `course.checking.lab6`."""

import itertools


def _a(answers, weights):
    pairs = sorted(zip(answers, weights, strict=True), key=lambda pair: str(pair[0]))  # an answer may be None
    return {each: sum(w for _, w in some) for each, some in itertools.groupby(pairs, key=lambda pair: pair[0])}


def _b(answers, weights):
    sums: dict = {}
    for each, weight in zip(answers, weights, strict=True):
        sums[each] = min(weight, sums.get(each, weight))
    return sums


def _c(answers, weights):
    sums: dict = {}
    for each, weight in zip(answers, weights, strict=True):
        sums[each] = sums[each] + weight if each in sums else 0.0
    return sums


def _d(answers, weights):
    return {each: sum(w for a, w in zip(answers, weights, strict=True) if a == each) for each in set(answers)}


def _e(answers, weights):
    return dict(zip(answers, itertools.accumulate(weights), strict=True))


SUBJECTS = [_e, _a, _c, _d, _b]
