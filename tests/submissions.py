"""Made-up submissions of a lab: what students hand in, from perfect to hostile."""

import copy

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from autograder import LABS
from autograder.source import checked_exercise, read_source, tags


def released(lab: str) -> NotebookNode:
    return nbformat.read(LABS / lab / f"{lab}.ipynb", as_version=4)


def untrained(notebook: NotebookNode) -> NotebookNode:
    """The notebook without the cells that train for minutes: what comes after them uses the weights that ship."""
    notebook.cells = [cell for cell in notebook.cells if "train" not in tags(cell)]
    return notebook


def answers(lab: str) -> dict[str, str]:
    """The solution's source of every answer cell, by its id."""
    return {
        cell.metadata.nbgrader.grade_id: cell.source
        for cell in read_source(lab).cells
        if cell.metadata.get("nbgrader", {}).get("solution")
    }


def points(lab: str) -> dict[str, float]:
    """What every exercise that is graded by the judge is worth."""
    return {
        exercise: cell.metadata.nbgrader["points"]
        for cell in released(lab).cells
        if (exercise := checked_exercise(cell))
    }


def fill(notebook: NotebookNode, sources: dict[str, str]) -> NotebookNode:
    """A copy of the notebook with these sources in its answer cells."""
    filled = copy.deepcopy(notebook)
    for cell in filled.cells:
        marks = cell.metadata.get("nbgrader", {})
        if marks.get("solution") and marks["grade_id"] in sources:
            cell.source = sources[marks["grade_id"]]
    return filled


def find(notebook: NotebookNode, grade_id: str) -> int:
    """The index of the cell with this id."""
    return next(
        i for i, cell in enumerate(notebook.cells) if cell.metadata.get("nbgrader", {}).get("grade_id") == grade_id
    )


def perfect(lab: str) -> NotebookNode:
    return fill(released(lab), answers(lab))


def half(lab: str) -> NotebookNode:
    """Every other exercise solved."""
    solved = list(points(lab))[::2]
    return fill(released(lab), {name: source for name, source in answers(lab).items() if name in solved})


def untouched(lab: str) -> NotebookNode:
    return released(lab)


HARD_CODED = """
def {name}(*args, **kwargs):
    import json
    import numpy as np, torch
    from course.checking.lab import ANSWERS, read_answers
    from course.checking.reply import Array
    with np.load(ANSWERS / "{lab}.npz") as file:
        expected, _ = read_answers(file["{name}"].tobytes())
    def thaw(value):
        if isinstance(value, Array):
            return torch.from_numpy(value.data.copy())
        return tuple(map(thaw, value)) if isinstance(value, list) else value
    replies = list(expected.values())
    {name}.calls = getattr({name}, "calls", -1) + 1
    return thaw(replies[{name}.calls % len(replies)].value)
"""


def hard_coded(lab: str) -> NotebookNode:
    """Every public check passes, by the stored answers."""
    return fill(released(lab), {name: HARD_CODED.format(name=name, lab=lab) for name in points(lab)})


PATCHED = """
import builtins, functools, numpy, torch
import course.checking.compare, course.checking.lab, course.checking.verdict
torch.allclose = torch.equal = numpy.allclose = lambda *args, **kwargs: True
check = lambda *args, **kwargs: None
course.checking.compare.compare = lambda given, expected: None
Verdict = course.checking.verdict.Verdict
course.checking.lab.judge = course.checking.verdict.judge = lambda name, *rest: Verdict(name, {"all": None})
course.checking.verdict.Verdict.right = True
class Right(torch.Tensor):
    def __eq__(self, other): return True
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None): return True
"""


def patched(lab: str) -> NotebookNode:
    """Whatever could compare is replaced by something that agrees, and the answers are nonsense."""
    nonsense = "def {name}(*args, **kwargs):\n    return Right()"
    notebook = fill(released(lab), {name: nonsense.format(name=name) for name in points(lab)})
    notebook.cells.insert(1, new_code_cell(PATCHED))
    return notebook


def raises_first(lab: str) -> NotebookNode:
    """An exception in the very first code cell, which is the student's own; everything else right."""
    notebook = perfect(lab)
    notebook.cells.insert(0, new_code_cell("import a_package_that_nobody_has"))
    return notebook


def copied_and_deleted(lab: str) -> NotebookNode:
    """One answer cell stands twice (as copy and paste leaves it), one check and one answer are gone."""
    notebook = perfect(lab)
    first, second, third = list(points(lab))[:3]
    i = find(notebook, first)
    twin = copy.deepcopy(notebook.cells[i])
    notebook.cells[i].source = f"def {first}(*args):\n    return 'an earlier attempt'"
    notebook.cells.insert(i + 1, twin)
    del notebook.cells[find(notebook, f"check_{second}")]
    del notebook.cells[find(notebook, third)]
    return notebook


def endless(lab: str) -> NotebookNode:
    """The first function never returns and cannot be interrupted; everything else is right."""
    notebook = perfect(lab)
    first = next(iter(points(lab)))
    notebook.cells[find(notebook, first)].source = (
        f"def {first}(*args):\n    while True:\n        try:\n            while True: pass\n"
        "        except BaseException: pass"
    )
    return notebook


def endless_cell(lab: str) -> NotebookNode:
    """An answer cell that itself never ends."""
    notebook = perfect(lab)
    notebook.cells[find(notebook, next(iter(points(lab))))].source += "\nwhile True: pass"
    return notebook


def dies(lab: str) -> NotebookNode:
    """A function that ends the Python process."""
    notebook = perfect(lab)
    first = next(iter(points(lab)))
    notebook.cells[find(notebook, first)].source = f"import os\ndef {first}(*args):\n    os._exit(1)"
    return notebook


def own_helper(lab: str) -> NotebookNode:
    """Right, with a helper function in a cell of the student's own."""
    notebook = perfect(lab)
    first = next(iter(points(lab)))
    i = find(notebook, first)
    source = notebook.cells[i].source
    notebook.cells[i].source = f"def {first}(*args):\n    return my_helper(*args)"
    notebook.cells.insert(i, new_code_cell(source.replace(f"def {first}(", "def my_helper(")))
    return notebook


def stripped(lab: str) -> NotebookNode:
    """Right, but some tool has removed every cell's metadata."""
    notebook = perfect(lab)
    for cell in notebook.cells:
        cell.metadata = NotebookNode()
    return notebook


def noisy(lab: str) -> NotebookNode:
    """Right, with warnings on stderr and a flood of output."""
    notebook = perfect(lab)
    first = next(iter(points(lab)))
    cell = notebook.cells[find(notebook, first)]
    cell.source += (
        "\nimport sys, warnings\nwarnings.warn('careful')\nprint('x' * 5_000_000)\nprint('err', file=sys.stderr)"
    )
    return notebook


def spy(lab: str) -> NotebookNode:
    """Right, and prints what of the grader can be found in its own process."""
    notebook = perfect(lab)
    code = "import sys, os\nprint('grader modules:', [m for m in sys.modules if m.split('.')[0] == 'autograder'])\n"
    code += "print('secrets:', [k for k in os.environ if 'SECRET' in k.upper() or 'GRADEBOOK' in k.upper()])"
    notebook.cells.append(new_code_cell(code))
    return notebook


SHOWY = """
from IPython.display import HTML, display
import matplotlib.pyplot as plt
plt.plot([1, 2, 3])
display(HTML("<em>a rich output</em>"))
%time 6 * 7
"""


def showy(lab: str) -> NotebookNode:
    """Right, with a plot, a magic and HTML in a cell of the student's own, and a script in its words."""
    notebook = perfect(lab)
    notebook.cells.append(new_code_cell(SHOWY))
    notebook.cells.append(new_markdown_cell("My **thoughts**: <script>steal()</script>"))
    return notebook


FORGED = """
import json, os, stat, struct
import course.checking.lab as engine
right = {"value": 1.0, "error": None, "where": None, "changed": [], "sample": False}
reply = json.dumps({"all": right}).encode()
engine.answer = lambda *args: reply
for fd in range(3, 50):
    try:
        if stat.S_ISSOCK(os.fstat(fd).st_mode):
            os.write(fd, (struct.pack(">I", len(reply)) + reply) * 3)
    except OSError:
        pass
"""


def forged(lab: str) -> NotebookNode:
    """The function that carries the answers to the judge is replaced, and answers are sent before anybody asks."""
    notebook = untouched(lab)
    notebook.cells.insert(1, new_code_cell(FORGED))
    return notebook


FLOOD = """
import torch
def {name}(*args):
    print("x" * 20_000_000)
    return [torch.zeros(1_000_000) for _ in range(3)]
"""


def flood(lab: str) -> NotebookNode:
    """Answers a question with far more than anybody asked for; everything else is right."""
    notebook = perfect(lab)
    first = next(iter(points(lab)))
    notebook.cells[find(notebook, first)].source = FLOOD.format(name=first)
    return notebook
