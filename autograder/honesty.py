"""What the grader takes for right and what not: `python -m autograder.honesty [LAB ...] [--seeds N] [--no-attacks]`.

Puts every misconception, every unusual but right solution and the reference itself to every question of every lab, and
runs every attack between two honest submissions. Prints a table, and below it whatever was judged wrongly. Ends with 1
if there was any of that. A thousand secrets for the reference take some minutes.
"""

import argparse
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

from autograder import ROOT
from autograder.misconceptions import Function, misconceptions
from autograder.reference import reference
from autograder.source import labs
from course.checking.lab import PUBLIC
from course.checking.reply import Reply, pack, unpack
from course.checking.verdict import Verdict

SEEDS = 1000  # secrets under which the reference is asked
FEW = 3  # secrets, beside the public draws, for everything that is compared with all misconceptions


@dataclass
class Row:
    """What became of one lab's answers: how many there are, and how many were judged as they should be."""

    lab: str
    wrong: int = 0
    rejected: int = 0
    recognised: int = 0
    unusual: int = 0
    accepted: int = 0
    asked: int = 0  # how often the reference was asked
    refused: int = 0  # and how often it was refused
    lines: list[str] = field(default_factory=list)

    def text(self) -> str:
        """A line of the table."""
        return (
            f"{self.lab:28} {self.wrong:6} {self.rejected:9} {self.recognised:11} "
            f"{self.unusual:8} {self.accepted:9} {self.asked:10,} {self.refused:8}"
        )


HEAD = f"{'lab':28}  wrong  rejected  recognised  unusual  accepted  reference  refused"


def examine(lab: str, seeds: int = SEEDS) -> Row:
    """Put everything that is known to be wrong or right to the lab's questions."""
    row, solved = Row(lab), reference(lab)
    secrets = [PUBLIC, *(f"secret {i}" for i in range(FEW))]
    for exercise in solved.lab.questions:
        for function, hint in misconceptions(lab, exercise):
            found = [verdict(lab, exercise, function, seed) for seed in secrets]
            row.wrong += 1
            row.rejected += all(not each.right for each in found)
            row.recognised += all(each.hint == hint for each in found)
            if not all(each.hint == hint for each in found):
                row.lines.append(f"{lab}, {exercise}: {function.__name__} is accepted or not recognised")
        for function in _unusual(lab, exercise):
            right = all(verdict(lab, exercise, function, seed).right for seed in secrets)
            row.unusual += 1
            row.accepted += right
            if not right:
                row.lines.append(f"{lab}, {exercise}: {function.__name__} is right but rejected")
        for i in range(seeds):
            right = verdict(lab, exercise, solved.namespace[exercise], f"secret {i}").right
            row.asked += 1
            row.refused += not right
            if not right:
                row.lines.append(f"{lab}, {exercise}: the reference is rejected under secret {i}")
    return row


def verdict(lab: str, exercise: str, function: Function, seed: str) -> Verdict:
    """As a submission's function is judged: its replies cross as bytes."""
    solved, expected = reference(lab), _expected(lab, exercise, seed)
    given = unpack(pack(solved.ask(function, exercise, seed)))
    found = solved.verdict(exercise, seed, given, expected)
    return found if found.right else solved.explained(found, seed, given, expected, _public(lab, exercise, function))


@functools.lru_cache(maxsize=1)
def _public(lab: str, exercise: str, function: Function) -> dict[str, Reply]:
    return unpack(pack(reference(lab).ask(function, exercise, PUBLIC)))


@functools.lru_cache(maxsize=16)  # all secrets of one exercise that every function is asked under
def _expected(lab: str, exercise: str, seed: str) -> dict[str, Reply]:
    return reference(lab).expected(exercise, seed)


def _unusual(lab: str, exercise: str) -> list[Function]:
    from tests.unusual import unusual_solutions  # beside the package: only a checkout has it

    return unusual_solutions(lab, exercise)


def attacks() -> Iterator[str]:
    """Run the attacks, as the tests do; the names of those that got anything, and at last how many were defeated."""
    command = [sys.executable, "-m", "pytest", "tests/test_attacks.py", "-k", "test_an_attack_gains_nothing", "-rA"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    found = re.findall(r"^(PASSED|FAILED|ERROR) \S+?\[(.*?)\](?: - .*)?$", done.stdout, re.MULTILINE)
    defeated = sum(outcome == "PASSED" for outcome, _ in found)
    yield from (f"the attack {name!r} was not defeated" for outcome, name in found if outcome != "PASSED")
    yield f"attacks, each between two honest submissions: {len(found)}, defeated: {defeated}"


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m autograder.honesty", description=__doc__.partition("\n")[0])
    parser.add_argument("labs", nargs="*", metavar="LAB", help="default: all")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"secrets for the reference (default: {SEEDS})")
    parser.add_argument("--no-attacks", action="store_true", help="leave the attacks out")
    options = parser.parse_args()
    if unknown := set(options.labs) - set(labs()):
        parser.error(f"there is no lab called {', '.join(sorted(unknown))}; the labs are {', '.join(labs())}")
    lines = []
    print(HEAD)
    for lab in options.labs or labs():
        row = examine(lab, options.seeds)
        print(row.text(), flush=True)
        lines += row.lines
    if not options.no_attacks:
        *found, total = attacks()
        lines += found
        print(total)
    for line in lines:
        print(f"  {line}")
    return 1 if lines else 0


if __name__ == "__main__":
    raise SystemExit(main())
