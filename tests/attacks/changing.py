"""Attacks on the grader and on others: changed files, killed processes, things left behind."""

from tests.attacks import Attack

SYSCALL = "libc = ctypes.CDLL(None, use_errno=True)\n"
LEAVE = (
    "for p in PLACES:\n    try: pathlib.Path(p).write_text('left'); print('left', p)\n"
    "    except OSError as e: print(e)\n"
)

ATTACKS = [
    Attack(
        "writes into the gradebook",
        [
            "import sqlite3\ndef change():\n    db = sqlite3.connect('ROOM/gradebook.db')\n"
            "    db.execute('update grades set score = 1000')\n    db.commit()\n    won()\nattempt(change)"
        ],
        works_unsafe=True,
    ),
    Attack(
        "overwrites a file of the grader", ["pathlib.Path('ROOM/secret.txt').write_text('mine')"], works_unsafe=True
    ),
    Attack(
        "adds a file to another student's submission",
        ["pathlib.Path('ROOM/submitted/anna/lab1_odes_sdes/torch.py').write_text('')"],
        works_unsafe=True,
    ),
    Attack(
        "deletes another student's submission",
        ["import shutil\nshutil.rmtree('ROOM/submitted/anna', ignore_errors=True)"],
        works_unsafe=True,
    ),
    Attack(
        "changes rights, owners and times of files",
        [
            "attempt(os.chmod, 'ROOM/secret.txt', 0o777)\nattempt(os.utime, 'ROOM/secret.txt', (0, 0))\n"
            "attempt(os.chown, 'ROOM/secret.txt', 65534, 65534)\nattempt(os.truncate, 'ROOM/secret.txt', 0)"
        ],
        works_unsafe=True,
    ),
    Attack("renames the grader's folder", ["attempt(os.rename, 'ROOM/submitted', 'ROOM/gone')"], works_unsafe=True),
    Attack(
        "writes through a link that it has made",
        ["os.symlink('ROOM', 'out')\nattempt(lambda: open('out/new.txt', 'w').write('x'))"],
        works_unsafe=True,
    ),
    Attack(
        "changes the course's package for those who come next",
        [
            "import course.checking.lab1 as m\nfor p in [m.__file__, m.__file__ + 'c', *glob.glob("
            "os.path.dirname(m.__file__) + '/__pycache__/*'), "
            "*glob.glob(os.path.dirname(m.__file__) + '/answers/*')]:\n"
            "    if attempt(lambda: open(p, 'ab')): won(p)"
        ],
    ),
    Attack(
        "changes Python and PyTorch for those who come next",
        [
            "import site, torch\nfor p in [torch.__file__, os.__file__, *site.getsitepackages(), sys.prefix, "
            "sys.executable]:\n"
            "    p = p + '/zzz.pth' if os.path.isdir(p) else p\n    if attempt(lambda: open(p, 'ab')): won(p)"
        ],
    ),
    Attack(
        "leaves files for those who come next",
        [
            "PLACES = ['/tmp/left', '/dev/shm/left', '/var/tmp/left', '/var/cache/matplotlib/left', "
            "'/opt/left', '/left', "
            "'/var/cache/ipython/left', os.path.expanduser('~/.bashrc'), '/etc/left', '/run/left']\n" + LEAVE,
            "os.makedirs(os.path.expanduser('~/.ipython/profile_default/startup'), exist_ok=True)\n"
            "pathlib.Path('~/.ipython/profile_default/startup/00.py').expanduser().write_text('x = 1')\n"
            "pathlib.Path('matplotlibrc').write_text('backend: pdf')",
        ],
    ),
    Attack(
        "writes to the fonts that Matplotlib remembers",
        [
            "import matplotlib\n"
            "for p in glob.glob(matplotlib.get_cachedir() + '/*') + [matplotlib.get_cachedir() + '/x']:\n"
            "    if attempt(lambda: open(p, 'w')): won(p)"
        ],
    ),
    Attack(
        "leaves System V and POSIX objects in memory",
        [
            SYSCALL + "print(libc.shmget(4242, 1 << 20, 0o1666), libc.semget(4242, 1, 0o1666), "
            "libc.msgget(4242, 0o1666))\nfrom multiprocessing import shared_memory\n"
            "print(attempt(lambda: shared_memory.SharedMemory('left', True, 1000)))"
        ],
    ),
    Attack(
        "changes the kernel's settings",
        [
            "for p, v in [('/proc/sys/kernel/core_pattern', '|/bin/sh'), ('/proc/sysrq-trigger', 'h'), "
            "('/proc/sys/vm/drop_caches', '1'), ('/proc/sys/kernel/hostname', 'mine'), "
            "('/proc/1/oom_score_adj', '-1000'), ('/sys/kernel/mm/transparent_hugepage/enabled', 'never')]:\n"
            "    try:\n        with open(p, 'r+') as f: f.write(v)\n        won(p)\n    except OSError as e: print(e)"
        ],
    ),
    Attack(
        "changes the name, the clock and the memory of the machine",
        [
            SYSCALL + "if libc.sethostname(b'mine', 4) == 0: won('name')\n"
            "try: time.clock_settime(time.CLOCK_REALTIME, 0); won('clock')\nexcept OSError as e: print(e)\n"
            "if libc.swapoff(b'/swapfile') == 0: won('swap')\nif libc.reboot(0) == 0: won('reboot')\n"
            "if libc.syscall(175, b'', 0, b'') == 0: won('module')"
        ],
    ),
    Attack(
        "uses the terminal of the grader",
        [
            "import fcntl, termios\nfor fd in (0, 1, 2, attempt(os.open, '/dev/tty', os.O_RDWR)):\n"
            "    for char in b'exit':\n"
            "        if fd is not None and attempt(fcntl.ioctl, fd, termios.TIOCSTI, bytes([char])): won('tty')"
        ],
    ),
    Attack(
        "makes control groups",
        [
            "for p in ['/sys/fs/cgroup', '/sys/fs/cgroup/memory', '/sys/fs/cgroup/unified']:\n"
            "    if attempt(os.mkdir, p + '/mine') is None and os.path.isdir(p + '/mine'): won(p)"
        ],
    ),
    # ---- processes
    Attack(
        "kills the grader",
        ["for pid in (GRADER, os.getppid()):\n    if pid > 0 and attempt(lambda: (os.kill(pid, 9), 1)): won(pid)"],
    ),
    Attack(
        "kills everybody",
        ["attempt(os.kill, -1, 9)\nattempt(os.killpg, 0, 15)\nfor pid in range(2, 3000): attempt(os.kill, pid, 9)"],
    ),
    Attack(
        "stops everybody",
        [
            "attempt(os.kill, -1, signal.SIGSTOP)\nattempt(os.kill, 1, signal.SIGSTOP)\n"
            "attempt(os.kill, os.getppid(), signal.SIGSTOP)"
        ],
    ),
    Attack(
        "slows the grader down",
        [
            "import resource\nfor pid in (GRADER, os.getppid()):\n    if pid > 0 and pid != os.getpid():\n"
            "        if attempt(lambda: (os.setpriority(os.PRIO_PROCESS, pid, 19), 1)): won('nice')\n"
            "        if attempt(lambda: (os.sched_setaffinity(pid, {0}), 1)): won('cores')\n"
            "        if attempt(lambda: (resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, 3)), 1)): won('limits')"
        ],
    ),
    Attack(
        "leaves a process behind",
        [
            "subprocess.Popen(['sleep', '77'], start_new_session=True, stdin=subprocess.DEVNULL, "
            "stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)"
        ],
        works_unsafe=True,
    ),
    Attack(
        "leaves a daemon behind that ignores all signals",
        [
            "if os.fork() == 0:\n    os.setsid()\n    if os.fork(): os._exit(0)\n"
            "    for n in range(1, 65): attempt(signal.signal, n, signal.SIG_IGN)\n"
            "    for fd in range(256): attempt(os.close, fd)\n    time.sleep(77)\n    os._exit(0)"
        ],
        works_unsafe=True,
    ),
    Attack(
        "ends itself and leaves a child with its connection",
        ["if os.fork() == 0:\n    os.setsid()\n    time.sleep(77)\nos._exit(0)"],
        works_unsafe=True,
    ),
    Attack(
        "outlives its parent's death",
        [
            SYSCALL + "libc.prctl(1, 0, 0, 0, 0)\nfor _ in range(3):\n    if os.fork() == 0:\n"
            "        libc.prctl(1, 0, 0, 0, 0)\n        os.setsid()\n        time.sleep(77)\n"
        ],
    ),
    Attack(
        "schedules work for later",
        [
            "!echo 'touch ROOM/later' | at now 2>&1\n!crontab -l 2>&1; (echo '* * * * * id') | "
            "crontab - 2>&1\n!systemd-run --user id 2>&1"
        ],
    ),
    Attack(
        "changes its own deadline",
        [
            "time.monotonic = time.time = lambda: 0.0\nsignal.alarm(0)\nsignal.setitimer(signal.ITIMER_REAL, 0)\n"
            "import resource\nfor limit in (resource.RLIMIT_CPU, resource.RLIMIT_NPROC, resource.RLIMIT_AS):\n"
            "    if attempt(lambda: (resource.setrlimit(limit, (resource.RLIM_INFINITY,) * 2), 1)): won(limit)"
        ],
        works_unsafe=False,
    ),
    Attack(
        "forges an answer from a child after its own end",
        [
            "import stat\nif os.fork() == 0:\n    for fd in range(3, 99):\n"
            "        try:\n            stat.S_ISSOCK(os.fstat(fd).st_mode) and os.write(fd, b'\\0\\0\\0\\2{}' * 30)\n"
            "        except OSError: pass\n    os._exit(0)\nos.wait()"
        ],
    ),
]
