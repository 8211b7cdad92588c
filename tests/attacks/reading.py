"""Attacks on secrets: of the grader, of the solution, of other students."""

from tests.attacks import Attack

SHOW = "def show(path):\n    text = attempt(lambda: open(path, errors='replace').read())\n    print(text)\n"
SYSCALL = "libc = ctypes.CDLL(None, use_errno=True)\n"

ATTACKS = [
    Attack("reads a file of the grader", [SHOW + "show('ROOM/secret.txt')"], works_unsafe=True),
    Attack(
        "reads the gradebook and another student's work",
        [SHOW + "show('ROOM/gradebook.db')\nfor p in glob.glob('ROOM/submitted/*/*/*'): show(p)"],
        works_unsafe=True,
    ),
    Attack(
        "reads the solution",
        [
            "import re\nfor p in glob.glob('ROOT/solutions/*/*.md') + glob.glob('ROOT/autograder/misconceptions/*'):\n"
            "    text = attempt(lambda: open(p).read()) or ''\n"
            "    print('\\n'.join(re.findall('(?s)BEGIN SOLUTION.*?END', text))[:20_000])"
        ],
        works_unsafe=True,
    ),
    Attack(
        "reads the machine's users",
        [SHOW + "show('/etc/shadow')\nif 'daemon:' in open('/etc/passwd').read(): won()"],
        works_unsafe=True,
    ),
    Attack("asks whether a file exists", ["if os.path.exists('ROOM/secret.txt'): won()"], works_unsafe=True),
    Attack(
        "lists the grader's folder",
        ["print(attempt(os.listdir, 'ROOM'))\nif attempt(os.listdir, 'ROOM'): won()"],
        works_unsafe=True,
    ),
    Attack(
        "climbs up from the working folder",
        [
            "for up in range(1, 12):\n    for p in glob.glob('../' * up + '**/secret.txt'): print(open(p).read())\n"
            "print(attempt(lambda: open('../../../../../../../../ROOM/secret.txt').read()))"
        ],
        works_unsafe=True,
    ),
    Attack(
        "reads through a symbolic link",
        [
            SHOW + "os.symlink('ROOM/secret.txt', 'link')\nshow('link')\nos.symlink('ROOM', 'folder')\n"
            "show('folder/secret.txt')"
        ],
        works_unsafe=True,
    ),
    Attack("makes a hard link to a secret", [SHOW + "attempt(os.link, 'ROOM/secret.txt', 'hard')\nshow('hard')"]),
    Attack(
        "reads by way of NumPy, SQLite, a URL and a module loader",
        [
            "import importlib.util, linecache, sqlite3, urllib.request\n"
            "print(attempt(lambda: urllib.request.urlopen('file://ROOM/secret.txt').read()))\n"
            "print(attempt(lambda: sqlite3.connect('file:ROOM/gradebook.db?mode=ro', uri=True).execute("
            "'select * from grades').fetchall()))\nprint(linecache.getlines('ROOM/secret.txt'))\n"
            "import numpy\nprint(attempt(lambda: bytes(numpy.fromfile('ROOM/secret.txt', 'u1'))))"
        ],
        works_unsafe=True,
    ),
    Attack("reads by a shell", ["!cat ROOM/secret.txt\nx = !cat ROOM/secret.txt\nprint(x)"], works_unsafe=True),
    Attack(
        "reads by magics",
        ["%%bash\ncat ROOM/secret.txt", "%%sh\ncat ROOM/secret.txt", "%sx cat ROOM/secret.txt"],
        works_unsafe=True,
    ),
    Attack(
        "loads a file as a cell",
        ["%run ROOM/secret.txt", "%load ROOM/secret.txt", "%cd ROOM", "%pycat ROOM/secret.txt"],
    ),
    Attack(
        "reads through the folders of processes",
        [
            SHOW + "for p in glob.glob('/proc/[0-9]*/'):\n    for tail in ['root', 'cwd', 'fd/0', 'fd/3', 'fd/4']:\n"
            "        show(p + tail + 'ROOM/secret.txt')\n        show(p + tail + '/secret.txt')\n"
            "show('/proc/GRADER/root' + 'ROOM/secret.txt')\nshow('/proc/GRADER/environ')\nshow('/proc/GRADER/cmdline')"
        ],
        works_unsafe=True,
    ),
    Attack(
        "reads its own environment and its parent's",
        [SHOW + "print(dict(os.environ))\nfor p in glob.glob('/proc/*/environ'): show(p)"],
    ),
    Attack(
        "reads the memory of the grader",
        [
            "def scan(pid):\n    with open(f'/proc/{pid}/maps') as maps, open(f'/proc/{pid}/mem', 'rb', 0) as mem:\n"
            "        for line in maps:\n            if 'heap' in line or 'rw-p 00000000 00:00 0 ' in line:\n"
            "                low, high = (int(x, 16) for x in line.split()[0].split('-'))\n"
            "                mem.seek(low)\n"
            "                if bytes(reversed(b'LAITNEDIFNOC')) in mem.read(min(high - low, 1 << 26)):\n"
            "                    won('memory of', pid)\n"
            "attempt(scan, GRADER)\nattempt(scan, os.getppid())"
        ],
    ),
    Attack(
        "finds the reference in its own memory",
        [
            "with open('/proc/self/maps') as maps, open('/proc/self/mem', 'rb', 0) as mem:\n"
            "    for line in maps:\n        if ' rw-p ' in line and int(line.split('-')[0], 16) < 1 << 47:\n"
            "            low, high = (int(x, 16) for x in line.split()[0].split('-'))\n"
            "            try:\n                mem.seek(low)\n                data = mem.read(min(high - low, "
            "1 << 28))\n"
            "            except OSError: continue\n"
            "            for word in (b'NOITULOS NIGEB', b'LAITNEDIFNOC', b'ecnerefer.redargotua'):\n"
            "                if bytes(reversed(word)) in data: won(word)"
        ],
    ),
    Attack(
        "finds the grader's modules",
        [
            "print([m for m in sys.modules if m.startswith('autograder')])\n"
            "if any(m.startswith('autograder') for m in sys.modules): won()\n"
            "if attempt(__import__, 'autograder.reference'): won()"
        ],
    ),
    Attack(
        "traces its parent",
        [
            SYSCALL + "for pid in (GRADER, os.getppid(), 1):\n"
            "    if pid != os.getpid() and pid > 0 and libc.ptrace(16, pid, 0, 0) == 0: won('ptrace', pid)"
        ],
    ),
    Attack(
        "reads its parent's memory by a system call",
        [
            SYSCALL + "class IO(ctypes.Structure): _fields_ = [('b', ctypes.c_void_p), ('n', ctypes.c_size_t)]\n"
            "buffer = ctypes.create_string_buffer(8)\n"
            "for pid in (GRADER, os.getppid()):\n"
            "    a, b = IO(ctypes.addressof(buffer), 8), IO(0x400000, 8)\n"
            "    if pid > 0 and libc.process_vm_readv(pid, ctypes.byref(a), 1, ctypes.byref(b), 1, 0) == 8: won(pid)"
        ],
    ),
    Attack(
        "steals a file descriptor",
        [
            SYSCALL + "for pid in (GRADER, os.getppid()):\n"
            "    fd = libc.syscall(434, pid, 0)\n    for n in range(40):\n"
            "        if fd >= 0 and libc.syscall(438, fd, n, 0) >= 0: won(pid, n)"
        ],
    ),
    Attack(
        "reads the disk and the machine's memory",
        [
            "for p in ['/dev/mem', '/dev/kmem', '/dev/kmsg', '/proc/kcore', '/proc/kmsg', '/proc/kallsyms', "
            "'/dev/port',"
            " *glob.glob('/dev/vd*'), *glob.glob('/dev/sd*'), *glob.glob('/dev/nvme*')]:\n"
            "    data = attempt(lambda: open(p, 'rb').read(64))\n"
            "    if data and data.strip(b'\\x00') and not data.startswith(b'0000000000000000'): won(p)"
        ],
    ),
    Attack(
        "makes a device of its own",
        [
            "attempt(os.mknod, 'disk', 0o600 | stat.S_IFBLK, os.makedev(254, 0))\n"
            "if attempt(lambda: open('disk', 'rb').read(1)): won()"
        ],
    ),
    Attack(
        "mounts something",
        [
            SYSCALL + "os.mkdir('m')\n"
            "if libc.mount(b'none', b'm', b'tmpfs', 0, 0) == 0: won('tmpfs')\n"
            "if libc.mount(b'/', b'm', 0, 4096 | 16384, 0) == 0: won('bind')\n"
            "if libc.umount2(b'/tmp', 2) == 0: won('umount')\n"
            "if libc.mount(b'none', b'/', 0, 32, 0) == 0: won('remount')"
        ],
    ),
    Attack(
        "makes namespaces of its own",
        [
            SYSCALL + "for flag in (0x10000000, 0x10020000, 0x20000000, 0x40000000):\n"
            "    if libc.unshare(flag) == 0: won(hex(flag))"
        ],
    ),
    Attack(
        "enters the grader's namespaces",
        [
            SYSCALL + "for pid in (GRADER, 1, os.getppid()):\n"
            "    for kind in ('user', 'mnt', 'pid', 'net'):\n"
            "        fd = attempt(os.open, f'/proc/{pid}/ns/{kind}', 0)\n"
            "        if fd and libc.setns(fd, 0) == 0: won(pid, kind)"
        ],
    ),
    Attack(
        "breaks out by chroot",
        [
            "os.mkdir('jail')\nd = os.open('.', 0)\n"
            "try:\n    os.chroot('jail')\n    os.fchdir(d)\n    for _ in range(50): os.chdir('..')\n"
            "    os.chroot('.')\n"
            "    won()\nexcept OSError as e: print(e)"
        ],
    ),
    Attack(
        "opens files by handle",
        [
            SYSCALL + "class H(ctypes.Structure):\n"
            "    _fields_ = [('n', ctypes.c_uint), ('t', ctypes.c_int), ('f', ctypes.c_char * 8)]\n"
            "h = H(8, 1, struct.pack('II', 2, 0))\n"
            "fd = libc.open_by_handle_at(os.open('/usr', 0), ctypes.byref(h), 0)\nif fd >= 0: won(os.listdir(fd))"
        ],
    ),
    Attack(
        "becomes root",
        [
            "for f in (lambda: os.setuid(0), lambda: os.setresuid(0, 0, 0), lambda: os.setgid(0), "
            "lambda: os.setgroups([0])):\n    try: f(); won()\n    except OSError as e: print(e)\n"
            "done = attempt(lambda: subprocess.run(['su', '-c', 'id'], input=b'', capture_output=True, timeout=3))\n"
            "if done and b'uid=0' in done.stdout: won('su')"
        ],
    ),
    Attack(
        "keeps privileges",
        [
            SYSCALL + "status = open('/proc/self/status').read()\n"
            "caps = [l for l in status.splitlines() if l.startswith(('CapEff', 'CapPrm', 'CapBnd', 'CapAmb'))]\n"
            "if any(int(l.split()[1], 16) for l in caps): won(caps)\n"
            "if 'NoNewPrivs:\\t1' not in status: won('new privileges')"
        ],
        works_unsafe=True,
    ),
    Attack(
        "loads a program into the kernel",
        [
            SYSCALL + "buffer = ctypes.create_string_buffer(128)\n"
            "if libc.syscall(321, 0, buffer, 128) >= 0: won('bpf')\n"
            "if libc.syscall(298, buffer, 0, -1, -1, 0) >= 0: won('perf')\n"
            "if libc.syscall(425, 8, buffer) >= 0: won('io_uring')\nif libc.syscall(323, 0) >= 0: won('userfaultfd')\n"
            "if libc.syscall(250, 0, -3, 1) >= 0: won('keyring')"
        ],
    ),
    Attack(
        "shows what it was asked with in a later cell's traceback",
        [],
        {"linear_flow": "def linear_flow(*args):\n    raise RuntimeError(str(sys._getframe(2).f_code.co_filename))"},
    ),
    Attack(
        "calls the listener on this machine",
        [
            "for family, kind, to in [(2, 1, ('127.0.0.1', PORT)), (2, 2, ('127.0.0.1', PORT)), (10, 1, ('::1', "
            "PORT))]:\n"
            "    try:\n        s = socket.socket(family, kind)\n        s.settimeout(1)\n        s.connect(to)\n"
            "        s.send(b'hello')\n        won(kind)\n    except OSError as e: print(e)"
        ],
        works_unsafe=True,
    ),
    Attack(
        "calls a socket in the file system and an abstract one",
        [
            "for name in ('ROOM/socket', '\\0abstract-PORT'):\n    try:\n"
            "        s = socket.socket(socket.AF_UNIX)\n        s.connect(name)\n        won(name)\n"
            "    except OSError as e: print(e)"
        ],
        works_unsafe=True,
    ),
    Attack(
        "calls the world",
        [
            "for to in [('1.1.1.1', 53), ('8.8.8.8', 443)]:\n    try:\n        socket.create_connection(to, 1)\n"
            "        won(to)\n"
            "    except OSError as e: print(e)\nprint(attempt(socket.gethostbyname, 'example.org'))"
        ],
    ),
    Attack(
        "uses families of sockets that know no namespaces",
        [
            "for family in (40, 38, 31, 17, 16, 29):\n"
            "    if attempt(lambda: socket.socket(family, "
            "socket.SOCK_RAW if family == 17 else socket.SOCK_DGRAM)): won(family)"
        ],
    ),
    Attack(
        "listens for others",
        [
            "s = socket.socket()\ntry:\n    s.bind(('0.0.0.0', PORT + 1))\n    s.listen()\n"
            "    s.settimeout(0.2)\n    won('bound')\nexcept OSError as e: print(e)"
        ],
        works_unsafe=True,
    ),
]
