"""The five actions of rStar, and which of them may follow which.

Qi et al. (2024), "Mutual reasoning makes smaller LLMs stronger problem-solvers", section 3.2; where the paper leaves a
rule open, it is the one of the authors' code.
"""

from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from course.search.tree import Node


class Action(Enum):
    """How a node continues the reasoning of its parent; the question itself has the action None."""

    STEP = "A1: one step of thought"
    FINISH = "A2: all remaining steps"
    SUBQUESTION = "A3: the next sub-question and its answer"
    REANSWER = "A4: answer the sub-question again"
    REPHRASE = "A5: rephrase the question"


STEP, FINISH, SUBQUESTION, REANSWER, REPHRASE = Action

FOLLOWERS: dict[Action | None, tuple[Action, ...]] = {
    None: (STEP, FINISH, SUBQUESTION, REPHRASE),
    STEP: (STEP, FINISH),
    FINISH: (),
    SUBQUESTION: (STEP, FINISH, SUBQUESTION, REANSWER),
    REANSWER: (STEP, FINISH, SUBQUESTION),
    REPHRASE: (STEP, FINISH, SUBQUESTION),
}


def allowed_actions(node: "Node") -> list[Action]:
    """The actions that may follow a node, in the order A1 to A5; none after a terminal one."""
    return [] if node.terminal else list(FOLLOWERS[node.action])
