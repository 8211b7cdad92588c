"""Answers: how they are read from texts, voted on, weighed, verified and questioned."""

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence

from course.search.tree import Node

_NUMBER = r"-?\d+(?:,\d{3})*(?:\.\d+)?"
_STATED = re.compile(rf"the answer is:?\s*\$?({_NUMBER})", re.IGNORECASE)
_EQUATION = re.compile(rf"\$?({_NUMBER})\s*([-+*/])\s*\$?({_NUMBER})\s*=\s*\$?({_NUMBER})")


def numbers(text: str) -> list[float]:
    """All numbers in a text."""
    return [_value(n) for n in re.findall(_NUMBER, text)]


WORDS = {"half": 2.0, "twice": 2.0, "double": 2.0, "third": 3.0, "triple": 3.0, "dozen": 12.0}


def known_numbers(question: str) -> set[float]:
    """The numbers that a question gives, in digits or in words such as half and twice."""
    words = re.findall(r"[a-z]+", question.lower())
    return {*numbers(question), *(WORDS[word] for word in words if word in WORDS)}


def last_number(text: str) -> float | None:
    """The last number in a text (12, 12.0, 1,200, -3, $5), None if there is none."""
    found = numbers(text)
    return found[-1] if found else None


def final_answer(text: str) -> float | None:
    """The number after the last "the answer is", None if the text does not state one."""
    found = _STATED.findall(text)
    return _value(found[-1]) if found else None


def equations(text: str) -> list[tuple[float, str, float, float]]:
    """Every a + b = c in a text as (a, sign, b, c), the signs + - * /."""
    return [(_value(a), sign, _value(b), _value(c)) for a, sign, b, c in _EQUATION.findall(text)]


def _value(number: str) -> float:
    return float(number.replace(",", ""))


def majority_vote(answers: Iterable[float | None]) -> tuple[float | None, float]:
    """The most frequent answer, the first of equals, and its share of all the votes.

    None is the vote of a text without an answer: it counts among the votes and never wins.  Without any answer:
    (None, 0.0).
    """
    answers = list(answers)
    counts = Counter(answer for answer in answers if answer is not None)
    if not counts:
        return None, 0.0
    winner, count = counts.most_common(1)[0]
    return winner, count / len(answers)


def interval(right: int, n: int) -> tuple[float, float]:
    """A 95 % confidence interval for a share of which `right` of n were seen.  Wilson (1927).

    Raises ValueError unless 0 <= right <= n and n >= 1.
    """
    if not 0 <= right <= n or n < 1:
        raise ValueError(f"{right} of {n} were right; wanted at least one in all, and not more right than there are.")
    z = 1.959964
    middle, half = right + z * z / 2, z * math.sqrt(right * (n - right) / n + z * z / 4)
    return max(0.0, (middle - half) / (n + z * z)), min(1.0, (middle + half) / (n + z * z))


def collect_solutions(root: Node) -> list[Node]:
    """All nodes of the tree that state an answer to the question, depth first."""
    return [node for node in root.walk() if node.answer is not None]


def prior_weight(path: Sequence[Node]) -> float:
    """How consistent a path (root, ..., solution) is with what was guessed along it.

    The product, over the nodes before the solution, of the share of their guesses that equal its answer; a node
    without guesses does not count.
    """
    answer = path[-1].answer
    return math.prod(node.guesses.count(answer) / len(node.guesses) for node in path[:-1] if node.guesses)


def totals(answers: Iterable[Hashable], weights: Iterable[float]) -> dict[Hashable, float]:
    """The sum of the weights of each answer, in the order in which the answers first come."""
    sums: dict[Hashable, float] = {}
    for answer, weight in zip(answers, weights, strict=True):
        sums[answer] = sums.get(answer, 0.0) + weight
    return sums


def select_answer(solutions: Iterable[tuple[float | None, float]]) -> tuple[float | None, float]:
    """Of pairs (answer, weight >= 0), the answer with the greatest sum of weights, and its share of all the weight.

    Pairs without an answer do not count.  The first of equals; (None, 0.0) if there is no weight at all.
    """
    pairs = [(answer, weight) for answer, weight in solutions if answer is not None]
    sums = totals((answer for answer, _ in pairs), (weight for _, weight in pairs))
    everything = sum(sums.values())
    if not everything > 0:
        return None, 0.0
    winner = max(sums, key=sums.__getitem__)
    return winner, sums[winner] / everything  # type: ignore[return-value]


def mask_path(text: str, share: float) -> str:
    """The first share of a text's words (at least one), joined by single spaces.

    Raises ValueError unless 0 < share <= 1.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share is {share}; wanted a number above 0 and at most 1.")
    words = text.split()
    return " ".join(words[: max(1, round(share * len(words)))])


def mutually_consistent(
    text: str,
    complete: Callable[[list[str]], list[str]],
    shares: Sequence[float] = (0.2, 0.3, 0.4, 0.5),
    needed: int = 2,
) -> tuple[bool, float]:
    """Whether a second model, given the start of a trace, comes to the same answer; and how often.

    complete(prefixes) -> how the second model continues each of them.  The text is kept if at least `needed` of its
    prefixes lead to its own answer.  A text that states no answer: (False, 0.0).
    """
    answer = final_answer(text)
    if answer is None:
        return False, 0.0
    prefixes = [mask_path(text, share) for share in shares]
    endings = complete(prefixes)
    agreed = sum(final_answer(f"{prefix} {ending}") == answer for prefix, ending in zip(prefixes, endings, strict=True))
    return agreed >= needed, agreed / len(shares)


def verify_step(text: str, known: Collection[float]) -> bool:
    """Whether all equations of a text are true and calculate with known numbers only.

    known: the numbers of the question and of earlier results; each equation's result is known to the next.  This needs
    no gold answer, and a wrong step can pass it: one that calculates correctly what nobody asked for.
    """
    known = set(known)
    for a, sign, b, c in equations(text):
        if a not in known or b not in known or not _true(a, sign, b, c):
            return False
        known.add(c)
    return True


def _true(a: float, sign: str, b: float, c: float) -> bool:
    if sign == "/":
        return b != 0 and abs(a / b - c) <= 1e-9
    return abs({"+": a + b, "-": a - b, "*": a * b}[sign] - c) <= 1e-9
