"""Attacks on time, memory and patience. Some are no attacks at all but what happens to a tired student."""

from tests.attacks import Attack

FIRST = "linear_flow"


def answering(body: str) -> dict[str, str]:
    return {FIRST: f"def {FIRST}(*args, **kwargs):\n    {body}"}


ATTACKS = [
    Attack(
        "never ends and catches every interrupt",
        [
            "for n in range(1, 65):\n    attempt(signal.signal, n, signal.SIG_IGN)\n"
            "while True:\n    try:\n        while True: pass\n    except BaseException: pass"
        ],
        slow=True,
    ),
    Attack("sleeps for ever", ["time.sleep(1e9)"], slow=True),
    Attack("never answers a question", [], answering("while True: pass"), slow=True),
    Attack(
        "waits for somebody to type", ["name = input('who? ')", "import getpass\ngetpass.getpass()", "breakpoint()"]
    ),
    Attack("stops itself", ["os.kill(os.getpid(), signal.SIGSTOP)\nos.kill(os.getpid(), signal.SIGTSTP)"]),
    Attack("runs a shell that never ends", ["!sleep 1000"], slow=True),
    Attack("holds the lock of the interpreter", ["ctypes.PyDLL(None).sleep(1000)"], slow=True),
    Attack(
        "waits for a thread that never ends",
        ["import threading\nt = threading.Thread(target=time.sleep, args=(1e6,))\nt.start()\nt.join()"],
        slow=True,
    ),
    Attack(
        "leaves a busy thread running",
        ["import threading\ndef spin():\n    while True: pass\nthreading.Thread(target=spin, daemon=True).start()"],
    ),
    Attack("awaits what never comes", ["import asyncio\nawait asyncio.Future()"], slow=True),
    Attack(
        "forks without end",
        ["import resource\nfor _ in range(10_000):\n    try: os.fork()\n    except OSError: pass"],
        slow=True,
    ),
    Attack(
        "starts threads without end",
        [
            "import threading\ntry:\n    for _ in range(10_000):\n"
            "        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\n"
            "except RuntimeError as e: print(e)"
        ],
    ),
    Attack("takes all memory", ["blocks = []\nwhile True: blocks.append(b'x' * (1 << 26))"]),
    Attack(
        "takes all memory and catches the error",
        [
            "blocks = []\nwhile True:\n    try:\n        while True: blocks.append(bytearray(b'x') * (1 << 24))\n"
            "    except MemoryError: blocks = blocks[len(blocks) // 2:]"
        ],
        slow=True,
    ),
    Attack(
        "takes memory in many processes",
        [
            "for _ in range(12):\n    if os.fork() == 0:\n        b = []\n        for _ in range(12): "
            "b.append(bytearray(b'x') * (1 << 25))\n        time.sleep(1000)\ntime.sleep(1000)"
        ],
        slow=True,
    ),
    Attack(
        "asks for a tensor larger than any machine",
        ["import torch\ntorch.zeros(10**15)"],
        answering("return torch.zeros(1).expand(10**12)"),
    ),
    Attack(
        "hides memory where no limit counts it",
        [
            "libc = ctypes.CDLL(None)\nfds = []\nfor i in range(300):\n    fd = libc.memfd_create(b'x', 0)\n"
            "    if fd < 0: break\n    attempt(os.ftruncate, fd, 1 << 30)\n    won(fd)\n"
            "if libc.shmget(0, 1 << 33, 0o1666) >= 0: won('shm')"
        ],
    ),
    Attack(
        "fills the disk",
        [
            "try:\n    for i in range(10_000):\n        with open(f'f{i}', 'wb') as f: f.write(b'x' * (1 << 24))\n"
            "except OSError as e: print(e)\n"
            "if sum(p.stat().st_size for p in pathlib.Path('.').iterdir()) > 1 << 30: won()"
        ],
    ),
    Attack(
        "makes files without end",
        [
            "try:\n    for i in range(100_000): open(f'f{i}', 'w').close()\n"
            "except OSError as e: print(e)\nif len(os.listdir('.')) > 50_000: won()"
        ],
    ),
    Attack(
        "opens files without end",
        [
            "fs = []\ntry:\n    while True: fs.append(open(os.devnull))\n"
            "except OSError as e: print(e)\nif len(fs) > 5000: won()"
        ],
    ),
    Attack("prints without end", ["while True: print('x' * 1_000_000)"], slow=True),
    Attack("writes to its standard output without end", ["while True: os.write(1, b'y' * 1_000_000)"]),
    Attack("lets a shell print without end", ["!head -c 300000000 /dev/zero | tr '\\0' 'z'"]),
    Attack(
        "displays without end",
        ["from IPython.display import display, HTML\nfor i in range(20_000): display(HTML('<b>' * 100))"],
    ),
    Attack(
        "displays a picture of a hundred megabytes",
        [
            "from IPython.display import display\n"
            "display({'image/png': 'A' * 100_000_000, 'text/plain': 'x' * 100_000_000}, raw=True)"
        ],
    ),
    Attack(
        "raises an exception with a long story",
        ["raise ValueError('x' * 50_000_000)"],
        answering("raise ValueError('x' * 50_000_000)"),
    ),
    Attack("answers with a hundred megabytes", [], answering("return [torch.zeros(1_000_000)] * 10")),
    Attack("answers with a structure without end", [], answering("a = []\n    a.append(a)\n    return a")),
    Attack(
        "answers with a list that has no end",
        ["class Endless(list):\n    def __iter__(self):\n        while True: yield 1"],
        answering("return Endless()"),
        slow=True,
    ),
    Attack(
        "answers with millions of empty lists",
        [
            "import course.checking.lab\n"
            "def packed(*args, **kwargs):\n"
            '    return b\'{"all": {"error": null, "where": null, "changed": [], "sample": false, "value": [\''
            " + b'[],' * 2_600_000 + b'[]]}}'\n"
            "course.checking.lab.answer.__code__ = packed.__code__"
        ],
    ),
    Attack(
        "answers with tensors that hold no plain numbers",
        [],
        {
            FIRST: f"def {FIRST}(x, *args):\n    return x.to_sparse()",
            "euler_step": "def euler_step(u, x, t, h):\n    return x.to('meta')",
            "heun_step": "def heun_step(u, x, *_):\n    return torch.quantize_per_tensor(x.float(), 1, 0, torch.qint8)",
            "rk4_step": "def rk4_step(u, x, t, h):\n    return torch.nested.nested_tensor([x])",
            "convergence_order": "def convergence_order(*args):\n    return 10**100_000",
            "amplification_factor": "def amplification_factor(*args):\n    return 'x' * 100_000_000",
        },
    ),
    Attack(
        "answers with a tensor that lies in a file which is gone",
        [],
        answering(
            "import numpy\n    open('numbers', 'wb').write(bytes(1 << 20))\n"
            "    tensor = torch.from_numpy(numpy.memmap('numbers', 'f4', 'r+', shape=(1 << 18,)))\n"
            "    os.truncate('numbers', 0)\n    return tensor"
        ),
    ),
    Attack(
        "answers with what explodes when it is looked at",
        [
            "class Bomb(Exception):\n    def __str__(self): raise SystemExit\n"
            "    __repr__ = __len__ = __hash__ = __str__\n"
            "class Key:\n    def __str__(self): raise KeyboardInterrupt\n"
            "class Lazy(dict):\n    def items(self): raise Bomb"
        ],
        {
            FIRST: f"def {FIRST}(*args):\n    raise Bomb",
            "euler_step": "def euler_step(*args):\n    return {Key(): 1}",
            "heun_step": "def heun_step(*args):\n    return Lazy(a=1)",
            "rk4_step": "def rk4_step(*args):\n    return [Bomb(), Bomb]",
        },
    ),
    Attack(
        "falls silent when it is asked once more, for the sake of a hint",
        [],
        {
            FIRST: f"def {FIRST}(*args, calls=[]):\n    calls.append(1)\n"
            "    while len(calls) > 4: pass\n    return 1.0",
            "euler_step": "def euler_step(*args, calls=[]):\n    calls.append(1)\n"
            "    if len(calls) > 4: os._exit(0)\n    return 1.0",
            "heun_step": "def heun_step(u, x, t, h):\n"
            "    k = u(x, t)\n    return x + h / 2 * (k + u(x + h * k, t + h))",
        },
        earns=3.0,
        slow=True,
    ),
    Attack("answers with a million names", [], answering("return {str(i): i for i in range(300_000)}")),
    Attack(
        "sends a message that is said to be enormous",
        [
            "for fd in range(3, 99):\n    try:\n        stat.S_ISSOCK(os.fstat(fd).st_mode) and os.write(fd, "
            "b'\\xff' * 8)\n"
            "    except OSError: pass"
        ],
    ),
    Attack(
        "sends its answer one byte at a time",
        [
            "fd = next(n for n in range(3, 99) if attempt(lambda: stat.S_ISSOCK(os.fstat(n).st_mode)))\n"
            "os.write(fd, struct.pack('>I', 100_000))\nwhile True:\n    time.sleep(0.05)\n    os.write(fd, b' ')"
        ],
        slow=True,
    ),
    Attack(
        "sends noise without end",
        [
            "fd = next(n for n in range(3, 99) if attempt(lambda: stat.S_ISSOCK(os.fstat(n).st_mode)))\n"
            "while True: os.write(fd, os.urandom(65536))"
        ],
    ),
    Attack(
        "sends brackets that nest a million deep",
        [
            "p = b'[' * 1_000_000\nfor fd in range(3, 99):\n    try:\n        if stat.S_ISSOCK(os.fstat(fd).st_mode):\n"
            "            os.write(fd, struct.pack('>I', len(p)) + p)\n    except OSError: pass"
        ],
    ),
    Attack("closes every file", ["os.closerange(0, 65536)"]),
    Attack(
        "reads what the grader sends",
        [
            "for fd in range(3, 99):\n    try:\n        if stat.S_ISSOCK(os.fstat(fd).st_mode):\n"
            "            os.set_blocking(fd, False)\n            print(os.read(fd, 1000))\n"
            "    except OSError: pass"
        ],
    ),
    Attack(
        "ends the process in every way",
        [
            "os._exit(0)",
            "os.abort()",
            "os.kill(os.getpid(), 9)",
            "ctypes.string_at(0)",
            "exit()",
            "quit()",
            "raise SystemExit(3)",
            "raise KeyboardInterrupt",
        ],
        answering("raise GeneratorExit"),
    ),
    Attack(
        "overflows the stack",
        ["sys.setrecursionlimit(10**9)\ndef f(x): return f(x)\nf(1)"],
        answering("return linear_flow(*args)"),
    ),
    Attack(
        "takes Python apart",
        ["import builtins\nfor name in list(vars(builtins)):\n    if name != 'delattr': delattr(builtins, name)", "1"],
    ),
    Attack("takes the modules apart", ["sys.modules.clear()", "import os"]),
    Attack("takes the shell apart", ["ip = get_ipython()\nip.user_ns = None\nip.events = None\nip.display_pub = None"]),
    Attack(
        "crashes when it is looked at",
        [
            "class Bad:\n    def __repr__(self): raise SystemExit\n    def __str__(self): os._exit(1)\n"
            "    def _repr_html_(self): return 3\n    def _repr_png_(self): return {'a': self}\nBad()",
            "class E(Exception):\n    def __str__(self): raise RuntimeError\nraise E",
        ],
    ),
    Attack("installs a package", ["%pip install torch-of-mine", "!pip download numpy"]),
    Attack(
        "switches the random numbers of everybody",
        [
            "import torch, numpy, random\ntorch.seed()\n"
            "torch.set_default_dtype(torch.float64)\ntorch.set_num_threads(64)\n"
            "numpy.random.seed(None)"
        ],
    ),
]
