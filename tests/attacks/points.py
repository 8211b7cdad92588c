"""Attacks on points: full marks without an answer."""

import json

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_output

from tests.attacks import Attack

ALL = [
    "linear_flow",
    "euler_step",
    "heun_step",
    "rk4_step",
    "simulate",
    "convergence_order",
    "amplification_factor",
    "loop_test",
]

ANYTHING = """
class Anything:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __getattr__(self, name): return self
    def __call__(self, *args, **kwargs): return self
    def __float__(self): return 1.0
    def __array__(self, *args, **kwargs): import numpy; return numpy.zeros(1)
    def __iter__(self): return iter([self])
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None): return True
"""

SUBCLASS = """
import torch
class Lying(torch.Tensor):
    def __eq__(self, other): return torch.tensor(True)
    def detach(self): return self
    def numpy(self, *args, **kwargs): raise SystemExit
    def clone(self, *args, **kwargs): return self
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        return args[0] if args else True
"""


def reply(value: object) -> str:
    """A packed reply with this value for every case that one could think of."""
    cases = ["all", "one time for all samples", "time zero", "one time per sample", "a constant field"]
    one = {"value": value, "error": None, "where": None, "changed": [], "sample": False}
    return json.dumps(dict.fromkeys(cases, one))


def forging(value: object) -> list[str]:
    return [f"import course.checking.lab as lab\nlab.answer = lab.pack = lambda *a, **k: {reply(value)!r}.encode()"]


def in_process(value: str) -> list[str]:
    """Replaces what turns replies into bytes, wherever it is held."""
    return [
        f"""
import gc, types
import course.checking.lab, course.checking.reply
def forged(*args, **kwargs): return {value}
for function in [course.checking.lab.answer, course.checking.reply.pack, course.checking.reply.encode]:
    function.__code__ = (lambda *args, **kwargs: {value}).__code__
"""
    ]


WRITE_TO_SOCKETS = """
def tell(payload, times=1):
    for fd in range(3, 256):
        try:
            if stat.S_ISSOCK(os.fstat(fd).st_mode):
                os.write(fd, (struct.pack(">I", len(payload)) + payload) * times)
        except OSError:
            pass
"""


def unlock(notebook: NotebookNode) -> None:
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade"):
            cell.metadata.nbgrader.update(locked=False, points=1000)
            cell.source = "100"


def not_a_solution(notebook: NotebookNode) -> None:
    for cell in notebook.cells:
        if "nbgrader" in cell.metadata:
            cell.metadata.nbgrader.update(solution=False, grade=True, locked=True, points=1000)


def own_checks(notebook: NotebookNode) -> None:
    marks = {"grade": True, "solution": False, "locked": True, "points": 1000, "schema_version": 3, "task": False}
    result = new_output("execute_result", {"text/plain": "1000.0"}, execution_count=1)
    for name in ("check_linear_flow", "check_of_my_own", "check_euler_step"):
        cell = new_code_cell("1000.0", outputs=[result], execution_count=1)
        cell.metadata["nbgrader"] = marks | {"grade_id": name}
        notebook.cells.append(cell)


def copies_of_checks(notebook: NotebookNode) -> None:
    checks = [cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade")]
    notebook.cells += [cell.copy() for cell in checks for _ in range(3)]


def no_checks(notebook: NotebookNode) -> None:
    notebook.cells = [cell for cell in notebook.cells if not cell.metadata.get("nbgrader", {}).get("grade")]


def everything_returns(what: str) -> dict[str, str]:
    return {name: f"def {name}(*args, **kwargs):\n    return {what}" for name in ALL}


ATTACKS = [
    Attack(
        "replaces every function that could compare",
        [
            "import torch, numpy, math\n"
            "torch.allclose = torch.equal = torch.isclose = numpy.allclose = numpy.isclose = math.isclose = "
            "numpy.array_equal = numpy.testing.assert_allclose = torch.testing.assert_close = lambda *a, **k: True"
        ],
        everything_returns("torch.zeros(())"),
    ),
    Attack("returns an object that equals everything", [ANYTHING], everything_returns("Anything()")),
    Attack("returns a tensor whose methods lie", [SUBCLASS], everything_returns("torch.zeros(3).as_subclass(Lying)")),
    Attack(
        "replaces the check and the comparison in the course's package",
        [
            "import course.checking.compare as c, course.checking.verdict as v, course.checking.lab as l\n"
            "check = lambda *a, **k: None\nc.compare = v.compare = lambda *a: None\nv.Verdict.right = True\n"
            "v.Verdict.share = 1.0\nv.judge = l.judge = lambda name, *rest: v.Verdict(name, {'all': None})\n"
            "l.Lab.check = l.Lab.verdict = lambda *a, **k: None"
        ],
    ),
    Attack("forges replies that are true", forging(True)),
    Attack("forges replies that are strings of code", forging("__import__('os').system('true')")),
    Attack("forges a number too large for any float", in_process("b'{\"all\": 1' + b'0' * 5000 + b'}'")),
    Attack("forges replies with numbers beyond all arrays", forging(10**400)),
    Attack("forges arrays of objects", forging({"array": "AAAAAAAAAAA=", "numpy": "|O8", "shape": [1], "dtype": "x"})),
    Attack(
        "forges arrays whose shape is nonsense",
        forging(
            {"array": "AAAA", "numpy": "|u1", "shape": [-1, 10**18], "dtype": "uint8", "device": "", "library": "torch"}
        ),
    ),
    Attack(
        "forges an array of NaN in every place",
        forging(
            {"array": "AADAfw==", "numpy": "<f4", "shape": [], "dtype": "float32", "device": "cpu", "library": "torch"}
        ),
    ),
    Attack("forges a dictionary that looks like a verdict", forging({"dict": [["right", True], ["share", 1.0]]})),
    Attack("replaces the code of the functions that pack answers", in_process("b'{}'")),
    Attack("packs something that is not JSON", in_process("b'\\x80\\x04\\x95'")),
    Attack("packs something that is no bytes", in_process("42")),
    Attack(
        "replaces JSON and the sockets",
        [
            "import json, socket\njson.dumps = lambda *a, **k: '{}'\njson.loads = lambda *a, **k: {}\n"
            "import course.checking.reply as r\nr.json = None\nr.base64 = None"
        ],
    ),
    Attack(
        "answers before anybody asks",
        [WRITE_TO_SOCKETS, f"tell({reply(True)!r}.encode(), 50)"],
    ),
    Attack(
        "answers in the place of its own process and ends it",
        [WRITE_TO_SOCKETS],
        {"linear_flow": f"def linear_flow(*args):\n    tell({reply(1.0)!r}.encode(), 20)\n    os._exit(0)"},
    ),
    Attack(
        "tells the grader that its outputs are numbers",
        [
            WRITE_TO_SOCKETS,
            'tell(b\'{"outputs": [{"output_type": "execute_result", "data": '
            '{"text/plain": "50.0"}, "execution_count": 1}], "execution_count": 1}\', 60)',
        ],
    ),
    Attack(
        "empties later cells by an input transformer",
        [
            "ip = get_ipython()\nip.input_transformers_cleanup.append(lambda lines: ['pass\\n'])\n"
            "ip.input_transformers_post.append(lambda lines: ['1000.0\\n'])"
        ],
    ),
    Attack(
        "empties later cells by a syntax tree transformer",
        [
            "import ast\nclass Empty(ast.NodeTransformer):\n    def visit_Module(self, node):\n"
            "        node.body = []\n        return node\nget_ipython().ast_transformers.append(Empty())"
        ],
    ),
    Attack(
        "replaces what runs a cell",
        [
            "from IPython.core.interactiveshell import ExecutionResult, InteractiveShell\n"
            "InteractiveShell.run_cell = InteractiveShell.run_cell_async = type(get_ipython()).run_cell = "
            "lambda self, *a, **k: ExecutionResult(None)"
        ],
    ),
    Attack(
        "formats every result as a number of points",
        [
            "f = get_ipython().display_formatter.formatters['text/plain']\n"
            "f.for_type(object, lambda *a: '1000.0')\n"
            "type(get_ipython().display_formatter).format = lambda *a, **k: ({'text/plain': '1000.0'}, {})\n1"
        ],
        everything_returns("1000.0"),
    ),
    Attack(
        "shows a verdict of its own",
        [
            "from IPython.display import HTML, display\nfrom course.checking.verdict import Verdict\n"
            "for name in ['linear_flow', 'euler_step']:\n    display(Verdict(name, {'all': None}))\n50.0"
        ],
    ),
    Attack(
        "puts a torch of its own beside the notebook",
        [
            "os.makedirs('course/checking', exist_ok=True)\n"
            "for name in ['torch.py', 'numpy.py', 'course/__init__.py', 'sitecustomize.py', 'json.py']:\n"
            "    pathlib.Path(name).write_text('allclose = equal = lambda *a, **k: True')\n"
            "sys.path.insert(0, os.getcwd())\nfor name in ['torch', 'course', 'json']:\n"
            "    sys.modules.pop(name, None)\n"
            "import torch, course"
        ],
    ),
    Attack(
        "executes the reference",
        [
            "for up in ['..', '../..', '../../..', '../../../..', 'ROOT']:\n"
            "    for path in glob.glob(up + '/solutions/*/lab1*.md'):\n"
            "        for cell in open(path).read().split('```{code-cell}')[1:]:\n"
            "            attempt(exec, cell.split('```')[0].split('\\n\\n', 1)[-1], globals())"
        ],
    ),
    Attack(
        "imports the reference",
        [
            "sys.path[:0] = ['ROOT', '/opt', '/opt/course']\ntry:\n    from autograder.reference import reference\n"
            "    globals().update(reference('lab1_odes_sdes').namespace)\n    won()\nexcept BaseException as e:\n"
            "    print(type(e).__name__)"
        ],
    ),
    Attack(
        "executes another student's notebook",
        [
            "import json\nfor path in glob.glob('ROOM/submitted/*/*/*.ipynb'):\n"
            "    for cell in json.load(open(path))['cells']:\n"
            "        cell['cell_type'] == 'code' and attempt(exec, ''.join(cell['source']), globals())"
        ],
        works_unsafe=True,
        earns=0.0,
    ),
    Attack(
        "looks through frames for the expected answers",
        [ANYTHING],
        {
            "linear_flow": "def linear_flow(*args):\n"
            "    frame = sys._getframe()\n    while frame:\n"
            "        for name, value in {**frame.f_globals, **frame.f_locals}.items():\n"
            "            if 'expected' in name or 'reference' in name: found.append((name, value))\n"
            "        frame = frame.f_back\n    return found and found[0][1]\nfound = []"
        },
    ),
    Attack(
        "looks through all objects for the expected answers",
        [],
        {
            "linear_flow": "def linear_flow(x, *args):\n    import gc\n"
            "    from course.checking.reply import Reply, Array\n"
            "    for o in gc.get_objects():\n"
            "        if type(o) is Reply and type(o.value) is Array: return torch.from_numpy(o.value.data)\n"
            "    return x"
        },
    ),
    Attack(
        "answers with what the public checks expect",
        [],
        {
            "euler_step": "def euler_step(*args):\n    import numpy as np\n"
            "    from course.checking.lab import ANSWERS, read_answers\n"
            "    with np.load(ANSWERS / 'lab1_odes_sdes.npz') as file:\n"
            "        expected, _ = read_answers(file['euler_step'].tobytes())\n"
            "    euler_step.n = getattr(euler_step, 'n', -1) + 1\n"
            "    return torch.from_numpy(list(expected.values())[euler_step.n % len(expected)].value.data.copy())"
        },
    ),
    Attack(
        "asks every question with the public seed",
        [
            "import course.checking.draw as d\nd.Draw.__init__.__code__ = (lambda self, seed: setattr(self, '_rng', "
            "__import__('numpy').random.default_rng(0))).__code__"
        ],
    ),
    Attack(
        "removes the cases that it cannot answer",
        ["import course.checking.lab as l\nput = l.Question.put\nl.Question.put = lambda self, function, seed: {}"],
    ),
    Attack(
        "adds cases that are right",
        [
            "import course.checking.lab as l\nfrom course.checking.reply import Reply\nput = l.Question.put\n"
            "l.Question.put = lambda self, f, seed: put(self, f, seed) | {str(i): Reply(1.0) for i in range(1000)}"
        ],
    ),
    Attack(
        "turns its replies into samples, which are compared by their law",
        [
            "import course.checking.lab as l\nimport dataclasses\nput = l.Question.put\n"
            "l.Question.put = lambda self, f, seed: {k: dataclasses.replace(r, sample=True) "
            "for k, r in put(self, f, seed).items()}"
        ],
        everything_returns("torch.zeros(16, 2)"),
    ),
    Attack(
        "reads from closures which loop is broken",
        [],
        {
            "loop_test": "def loop_test(simulate):\n"
            "    return simulate.__closure__[0].cell_contents.__name__ in "
            "('right_loop', 'loop_into_memory', 'loop_in_float64')"
        },
    ),
    Attack(
        "knows every loop of the course by its code, and takes the others for right",
        [],
        {
            "loop_test": "def loop_test(simulate):\n    from course.checking.lab1 import LOOPS\n"
            "    known = {loop.__code__.co_code: name for name, loop in LOOPS.items()}\n"
            "    loop = simulate.__closure__[0].cell_contents\n"
            "    return known.get(loop.__code__.co_code, 'right').startswith(('the right', 'a right', 'right'))"
        },
    ),
    Attack(
        "looks through frames for the name of what it is handed",
        [],
        {
            "loop_test": "def loop_test(simulate):\n    frame, names = sys._getframe(), []\n    while frame:\n"
            "        names += [v for k, v in frame.f_locals.items() if k == 'name']\n        frame = frame.f_back\n"
            "    return any('right' in str(name) for name in names)"
        },
    ),
    Attack("unlocks the checks and makes them worth more", change=unlock),
    Attack("marks the answers in words as checked by machine", change=not_a_solution),
    Attack("adds checks of its own that are worth a thousand points", change=own_checks),
    Attack("copies every check three times", change=copies_of_checks),
    Attack("leaves out the checks", change=no_checks),
]
