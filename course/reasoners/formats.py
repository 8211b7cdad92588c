"""How problems are written for models: stories in their own small language, word problems for large models."""

import re

from course.search.answers import final_answer, last_number
from course.search.asking import Request
from course.stories import AGAIN, ASK, sentences


class StoryFormat:
    """How a search asks a model of stories for each action; see course.search.asking.Format.

    A question is answered right after it; a sub-question is started for the model; to answer one again, it is put in
    the place of the story's own question and solved from the facts; a story is told once more after `AGAIN`.
    """

    longest = 80  # tokens: more than any solution has

    def step(self, question: str, trace: str, n: int) -> Request:
        """For n next steps, each up to its full stop."""
        return Request(_join(question, trace), n, 16, (".",))

    def finish(self, question: str, trace: str, n: int) -> Request:
        """For n solutions from where the trace stands."""
        return Request(_join(question, trace), n, self.longest)

    def subquestion(self, question: str, trace: str, n: int) -> Request:
        """For n sub-questions, started by `ASK`."""
        return Request(_join(question, trace, ASK), n, 12, ("?",))

    def asked(self, text: str) -> str:
        """The sub-question: what a model wrote after `ASK`, or the first sentence of a node's text."""
        sentence, mark, _ = text.strip().removeprefix(ASK).partition("?")
        return f"{ASK} {sentence.strip()}?" if mark and sentence.strip() else ""

    def is_last(self, question: str, subquestion: str) -> bool:
        """Whether the sub-question is the story's own."""
        return sentences(question)[-1:] == [subquestion]

    def answer(self, question: str, trace: str, subquestion: str, n: int) -> Request:
        """For n answers, each an equation; to the last sub-question, with the sentence that states the answer."""
        last = self.is_last(question, subquestion)
        return Request(_join(question, trace, subquestion), n, 16 if last else 10, () if last else (".",))

    def reanswer(self, question: str, trace: str, subquestion: str, n: int) -> Request:
        """For n solutions of the story that asks the sub-question instead of its own; the trace is not looked at."""
        return Request(_join(*sentences(question)[:-1], subquestion), n, self.longest)

    def replied(self, text: str) -> str:
        """The equation that gives a solution's answer, or its answer alone."""
        answer, found = final_answer(text), _EQUATION.findall(text)
        if found and answer == last_number(found[-1]):
            return f"{found[-1]}."
        return "" if answer is None else f"{answer:g}."

    def rephrase(self, question: str, n: int) -> Request:
        """For n retellings, each up to its question."""
        return Request(_join(question, AGAIN), n, 120, ("?",))

    def rephrased(self, question: str, text: str) -> str:
        """The retelling, if it ends with a question."""
        return text.strip() if text.strip().endswith("?") else ""


_EQUATION = re.compile(r"\d+ [-+*/] \d+ = \d+")


def _join(*parts: str) -> str:
    return " ".join(part for part in parts if part)


class WordProblemFormat:
    """Word problems in everyday English (GSM8K) for models that follow instructions; see Format.

    Each prompt says what to write, shows one example, and ends with the problem.  The example's sentences are what
    `final_answer` and `equations` read: calculations as 3 * 4 = 12, and at the end: The answer is 12.
    """

    longest = 400  # tokens

    def step(self, question: str, trace: str, n: int) -> Request:
        """For n next sentences of a solution."""
        return self._request(_STEP, question, trace, "", n, 100, "\n")

    def finish(self, question: str, trace: str, n: int) -> Request:
        """For n solutions from where the trace stands."""
        return self._request(_FINISH, question, trace, "", n, self.longest)

    def subquestion(self, question: str, trace: str, n: int) -> Request:
        """For n sub-questions."""
        return self._request(_ASK, question, trace, "", n, 80, "\n")

    def asked(self, text: str) -> str:
        """The text up to its first question mark."""
        sentence, mark, _ = text.strip().partition("?")
        return f"{sentence.strip()}?" if mark and sentence.strip() else ""

    def is_last(self, question: str, subquestion: str) -> bool:
        """Whether the sub-question repeats the problem's last sentence."""
        return _plain(sentences(question)[-1:]) == _plain([subquestion])

    def answer(self, question: str, trace: str, subquestion: str, n: int) -> Request:
        """For n answers to the sub-question."""
        last = self.is_last(question, subquestion)
        return self._request(_LAST if last else _ANSWER, question, trace, subquestion, n, 150)

    def reanswer(self, question: str, trace: str, subquestion: str, n: int) -> Request:
        """For n answers to the sub-question, thought through from the beginning."""
        return self._request(_REANSWER, question, trace, subquestion, n, self.longest)

    def replied(self, text: str) -> str:
        """The text in one line; what it states is the sub-question's answer and not the problem's."""
        return re.sub(r"the answer is", "that makes", " ".join(text.split()), flags=re.IGNORECASE)

    def rephrase(self, question: str, n: int) -> Request:
        """For n other ways to put the problem."""
        return self._request(_REPHRASE, question, "", "", n, 200)

    def rephrased(self, question: str, text: str) -> str:
        """The text in one line, if there is a question in it."""
        return " ".join(text.split()) if "?" in text else ""

    def _request(
        self, task: str, question: str, trace: str, subquestion: str, n: int, max_new: int, *stop: str
    ) -> Request:
        parts = [f"{task}\n\n{_EXAMPLE}\n\nProblem: {question}"]
        if trace:
            parts.append(f"So far: {trace}")
        if subquestion:
            parts.append(f"Sub-question: {subquestion}")
        return Request("\n".join(parts) + "\nYou write:", n, max_new, stop)


_EXAMPLE = (
    "This is how a solution looks. Problem: A box holds 3 rows of 4 eggs, and 2 eggs are broken. How many are whole? "
    "Solution: The box holds 3 * 4 = 12 eggs. Without the broken ones there are 12 - 2 = 10. The answer is 10."
)
_STEP = (
    "Write the next sentence of the solution and nothing else: one calculation, such as 3 * 4 = 12. "
    'If nothing is left to calculate, write "The answer is" and the number.'
)
_FINISH = 'Write the rest of the solution, a sentence for each calculation. End with "The answer is" and the number.'
_ASK = (
    "Write the next question whose answer helps to solve the problem, and nothing else. "
    "If the problem's own question can be answered now, repeat it word for word."
)
_ANSWER = "Answer the sub-question in one sentence with its calculation. End with the number that answers it."
_LAST = 'Answer the sub-question in one sentence with its calculation. Then write "The answer is" and the number.'
_REANSWER = "Answer the sub-question, beginning from the problem, a sentence for each calculation. End with the number."
_REPHRASE = "Put the problem in other words: each thing that is given in a short sentence, then the question."


def _plain(parts: list[str]) -> str:
    return re.sub(r"\W+", " ", " ".join(parts)).strip().lower()
