"""What a search is to be compared with: voting, the most probable of many, and a beam of steps, as coroutines."""

from collections.abc import Callable, Sequence

from course.search.answers import final_answer, majority_vote
from course.search.asking import Coroutine, Format

Score = Callable[[str, Sequence[str]], list[float]]


def vote(question: str, form: Format, n: int) -> Coroutine[tuple[float | None, list[str]]]:
    """Self-consistency: the majority's answer among n solutions, and the solutions.  With n = 1, the one it gets.

    Wang et al. (2023), Self-consistency improves chain of thought reasoning in language models.
    """
    (texts,) = yield [form.finish(question, "", n)]
    return majority_vote(map(final_answer, texts))[0], texts


def best_of(question: str, form: Format, n: int, score: Score) -> Coroutine[tuple[float | None, list[str]]]:
    """The answer of the solution with the highest score among n, and the solutions.

    score(prompt, texts) -> a number for each text after the prompt, such as its log-probability.
    """
    request = form.finish(question, "", n)
    (texts,) = yield [request]
    stated = [text for text in texts if final_answer(text) is not None]
    if not stated:
        return None, texts
    scores = score(request.prompt, stated)
    return final_answer(stated[scores.index(max(scores))]), texts


def beam(
    question: str, form: Format, width: int, score: Score, depth: int = 10
) -> Coroutine[tuple[float | None, list[str]]]:
    """A beam of steps: of `width` next steps for each of `width` traces, the `width` best go on.

    score(prompt, texts) adds up along a trace.  It ends when all traces state an answer, or after depth steps; the
    answer is that of the best one that states any.  Returns it and the last traces, the best first.
    """
    traces, scores = [""], [0.0]
    for _ in range(depth):
        going = [i for i, trace in enumerate(traces) if final_answer(trace) is None]
        if not going:
            break
        requests = [form.step(question, traces[i], width) for i in going]
        lists = yield requests
        candidates = {trace: scores[i] for i, trace in enumerate(traces) if i not in going}
        for i, request, texts in zip(going, requests, lists, strict=True):
            steps = sorted({text for text in texts if text.strip()})
            for step, more in zip(steps, score(request.prompt, steps) if steps else [], strict=True):
                candidates[f"{traces[i]} {step.strip()}".strip()] = scores[i] + more
        if not candidates:
            break
        traces = sorted(candidates, key=candidates.__getitem__, reverse=True)[:width]
        scores = [candidates[trace] for trace in traces]
    return next((answer for answer in map(final_answer, traces) if answer is not None), None), traces
