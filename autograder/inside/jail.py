"""Shuts this process in, with what Linux gives to every user: namespaces, Landlock, seccomp and limits.

`enter` builds a file system that holds nothing but an allowlist, once for the zygote. `unshare` and `lock` give each
submission a process tree, a network and scratch space of its own, and take every privilege away. They raise OSError,
with what was tried, when the kernel refuses.

Sources: the manual pages user_namespaces(7), pid_namespaces(7), pivot_root(2), mount_setattr(2), landlock(7) and
seccomp(2), and the kernel's headers, whose names are kept.
"""

import contextlib
import ctypes
import errno
import os
import platform
import signal
import struct
from pathlib import Path

NOBODY = 65534  # who a submission is when root grades
SCRATCH = "/tmp"

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
EVERYTHING = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS
ANY_NAMESPACE = EVERYTHING | 0x02000000  # and CLONE_NEWCGROUP
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
ATTR_RDONLY, ATTR_NOSUID, ATTR_NODEV = 1, 2, 4
AT_FDCWD, AT_RECURSIVE, MNT_DETACH = -100, 0x8000, 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 24, 38
# mount_setattr and Landlock's three have one number on every architecture
SYS_MOUNT_SETATTR, SYS_LANDLOCK_CREATE, SYS_LANDLOCK_ADD, SYS_LANDLOCK_RESTRICT = 442, 444, 445, 446
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _must(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _long(value: int | bytes) -> ctypes.c_long | bytes:
    return ctypes.c_long(value) if isinstance(value, int) else value


def _syscall(what: str, number: int, *arguments: int | bytes) -> int:
    return _must(_libc.syscall(*map(_long, (number, *arguments))), what)


def _prctl(what: str, option: int, *arguments: int | bytes) -> None:
    _must(_libc.prctl(ctypes.c_int(option), *map(_long, [*arguments, 0, 0, 0, 0][:4])), what)


def _mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    result = _libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode())
    _must(result, f"mounting {target}")


def _restrict(path: str, attributes: int) -> None:
    """Set the attributes of everything that is mounted at `path` and below."""
    change = struct.pack("QQQQ", attributes, 0, 0, 0)
    _syscall(f"restricting {path}", SYS_MOUNT_SETATTR, AT_FDCWD, path.encode(), AT_RECURSIVE, change, len(change))


# ---- the zygote -----------------------------------------------------------------------------------------------------


def enter(visible: list[tuple[str, str]], hidden: list[str], folders: list[str]) -> None:
    """Go on as the first process of new namespaces whose files are what is `visible`, read-only.

    visible: (real path on the machine, path in here);  hidden: folders in here that are covered by an empty one;
    folders: empty ones, which this process may write to. What called this stays outside and ends with its child. If it
    was root, the child is nobody.
    """
    by_root = os.getuid() == 0
    if by_root:
        _unshare_as_root()
    else:
        _unshare_as_user()
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        os._exit(abs(os.waitstatus_to_exitcode(status)))
    die_with_parent()
    _mount("none", "/", "", MS_PRIVATE | MS_REC)
    _mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "size=64m,mode=755")
    os.chdir("/tmp")
    os.mkdir("old")
    _syscall("pivot_root", SYS_PIVOT_ROOT[platform.machine()], b".", b"old")
    os.chdir("/")
    for source, target in visible:
        if not os.path.lexists(target):  # else it lies in a folder that is there already
            _bind(f"/old{source}", target, ATTR_RDONLY | ATTR_NOSUID | ATTR_NODEV)
    for path in hidden:
        if os.path.isdir(path):
            _mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, "size=4k,mode=555")
    for name in ("null", "zero", "full", "random", "urandom"):
        _bind(f"/old/dev/{name}", f"/dev/{name}", ATTR_NOSUID)
    for i, name in enumerate(("stdin", "stdout", "stderr")):
        os.symlink(f"/proc/self/fd/{i}", f"/dev/{name}")
    os.symlink("/proc/self/fd", "/dev/fd")
    for folder in ("/proc", "/tmp", "/dev/shm", "/etc", *folders):
        os.makedirs(folder, exist_ok=True)
    with contextlib.suppress(OSError):  # a container may forbid it; little needs it
        _mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    _must(_libc.umount2(b"/old", MNT_DETACH), "leaving the old root")
    os.rmdir("/old")
    uid, gid = (NOBODY, NOBODY) if by_root else (os.getuid(), os.getgid())
    Path("/etc/passwd").write_text(f"student:x:{uid}:{gid}::{SCRATCH}:/bin/sh\n")
    if by_root:
        for folder in folders:
            os.chown(folder, uid, gid)
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        _prctl("PR_SET_DUMPABLE", PR_SET_DUMPABLE, 1)  # lets its forks write to their /proc/self/uid_map
    _drop_capabilities()
    die_with_parent()  # a change of user has undone it


def _bind(source: str, target: str, attributes: int) -> None:
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT, 0o644))
    _mount(source, target, "", MS_BIND | MS_REC)
    _restrict(target, attributes)


def _unshare_as_user() -> None:
    """Move into new namespaces in which one user and one group exist: this process's own."""
    uid, gid = os.getuid(), os.getgid()
    _must(_libc.unshare(ctypes.c_int(EVERYTHING)), "unshare")
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{uid} {uid} 1")
    _write("/proc/self/gid_map", f"{gid} {gid} 1")


def _unshare_as_root() -> None:
    """Move into new namespaces in which root, who may build, and nobody exist; only a process outside may say so."""
    done_here, tell_helper = os.pipe()
    pid, helper = os.getpid(), os.fork()
    if helper == 0:
        try:
            os.close(tell_helper)
            os.read(done_here, 1)
            for kind in ("uid_map", "gid_map"):
                _write(f"/proc/{pid}/{kind}", f"0 0 1\n{NOBODY} {NOBODY} 1")
            os._exit(0)
        finally:
            os._exit(1)
    _must(_libc.unshare(ctypes.c_int(EVERYTHING)), "unshare")
    os.close(tell_helper)
    os.close(done_here)
    _, status = os.waitpid(helper, 0)
    if status:
        raise OSError(errno.EPERM, "mapping users: not permitted")


def _write(path: str, text: str) -> None:
    file = os.open(path, os.O_WRONLY)  # in one write, and without creating anything
    os.write(file, text.encode())
    os.close(file)


# ---- a submission ---------------------------------------------------------------------------------------------------


def unshare() -> None:
    """Give what is forked next users, processes, a network and mounts of its own."""
    _unshare_as_user()


def scratch(size: int) -> None:
    """Make everything read-only but new empty folders, in memory and of this size in bytes; show own processes only."""
    _restrict("/", ATTR_RDONLY)
    for folder in (SCRATCH, "/dev/shm"):
        _mount("tmpfs", folder, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, f"size={size},nr_inodes=10000,mode=700")
    with contextlib.suppress(OSError):  # see `enter`
        _mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)


def give_up_privileges(writable: list[str]) -> None:
    """For this process and whatever it starts: no privileges ever, writing below `writable` only, no odd system calls.

    Landlock and seccomp are a second wall, used where the kernel has them.
    """
    _drop_capabilities()
    _prctl("PR_SET_NO_NEW_PRIVS", PR_SET_NO_NEW_PRIVS, 1)
    landlock(["/"], [*writable, "/dev/null"])
    seccomp()


def die_with_parent() -> None:
    """Be killed when the process that forked this one ends."""
    _prctl("PR_SET_PDEATHSIG", PR_SET_PDEATHSIG, int(signal.SIGKILL))


def _drop_capabilities() -> None:
    for capability in range(64):
        with contextlib.suppress(OSError):  # unknown to this kernel, or not held
            _prctl("PR_CAPBSET_DROP", PR_CAPBSET_DROP, capability)
    header, none = struct.pack("Ii", 0x20080522, 0), bytes(24)
    _must(_libc.capset(header, none), "capset")


# linux/landlock.h: rights to files by the ABI that brought them, in the order of their bits
READ_FILE, READ_DIR, EXECUTE, WRITE_FILE, TRUNCATE = 1 << 2, 1 << 3, 1 << 0, 1 << 1, 1 << 14
MAKE_CHAR, MAKE_BLOCK = 1 << 6, 1 << 11
FILE_ONLY = READ_FILE | EXECUTE | WRITE_FILE | TRUNCATE
READ = READ_FILE | READ_DIR | EXECUTE


def landlock_version() -> int:
    """The kernel's Landlock ABI; 0 if there is none."""
    return max(0, _libc.syscall(ctypes.c_long(SYS_LANDLOCK_CREATE), None, ctypes.c_long(0), ctypes.c_long(1)))


def landlock(readable: list[str], writable: list[str]) -> None:
    """Forbid all use of files but reading below `readable` and anything below `writable`; TCP; signals to others."""
    version = landlock_version()
    if not version:
        return
    rights = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)) - 1
    handled = [rights, *([0b11] if version >= 4 else []), *([0b11] if version >= 6 else [])]
    rules = struct.pack(f"{len(handled)}Q", *handled)
    ruleset = _syscall("Landlock", SYS_LANDLOCK_CREATE, rules, len(rules), 0)
    allowed = [(path, READ) for path in readable] + [(path, rights & ~(MAKE_CHAR | MAKE_BLOCK)) for path in writable]
    for path, access in allowed:
        beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
        access &= rights if os.path.isdir(path) else FILE_ONLY & rights
        _syscall(f"Landlock for {path}", SYS_LANDLOCK_ADD, ruleset, 1, struct.pack("=Qi", access, beneath), 0)
        os.close(beneath)
    _syscall("Landlock", SYS_LANDLOCK_RESTRICT, ruleset, 0)
    os.close(ruleset)


# System calls that no notebook needs and that widen the kernel's surface, or get memory that no limit counts:
# ptrace, process_vm_readv, process_vm_writev, pidfd_getfd, kcmp; mount, umount2, pivot_root, chroot, open_tree,
# move_mount, fsopen, fsconfig, fsmount, fspick, mount_setattr; unshare, setns; add_key, request_key, keyctl; bpf,
# perf_event_open, userfaultfd, io_uring_*; memfd_create, memfd_secret, shmget, semget, msgget; open_by_handle_at;
# init_module, finit_module, delete_module, kexec_load; acct, quotactl, swapon, reboot, syslog, personality
ON_ALL = {428, 429, 430, 431, 432, 433, 438, 442, 425, 426, 427, 447}
DENIED = {
    "x86_64": ON_ALL
    | {101, 310, 311, 312, 165, 166, 155, 161, 272, 308, 248, 249, 250, 321, 298, 323, 319, 29, 64, 68, 304}
    | {175, 313, 176, 246, 163, 179, 167, 169, 103, 135},
    "aarch64": ON_ALL
    | {117, 270, 271, 272, 40, 39, 41, 51, 97, 268, 217, 218, 219, 280, 241, 282, 279, 194, 190, 186, 265}
    | {105, 273, 106, 104, 89, 60, 224, 142, 116, 92},
}
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
SYS_CLONE, SYS_SOCKET, SYS_CLONE3 = {"x86_64": 56, "aarch64": 220}, {"x86_64": 41, "aarch64": 198}, 435
X32 = 0x40000000  # another way to number x86_64's calls
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER, ARCH, FIRST_ARGUMENT = 0, 4, 16  # in struct seccomp_data
ALLOW, FAIL = 0x7FFF0000, 0x00050000


def seccomp() -> None:
    """Refuse system calls that a submission has no use for; nothing on a machine other than x86_64 and aarch64."""
    machine = platform.machine()
    if machine not in DENIED:
        return
    code: list[tuple[int, int, int, int]] = [
        # each line: what, how many lines to skip if so, if not so, with which number
        (LOAD, 0, 0, ARCH),
        (EQUAL, 1, 0, AUDIT_ARCH[machine]),
        (RETURN, 0, 0, FAIL | errno.EPERM),
        (LOAD, 0, 0, NUMBER),
        (AT_LEAST, 0, 1, X32),
        (RETURN, 0, 0, FAIL | errno.EPERM),
    ]
    for number in sorted(DENIED[machine]):
        code += [(EQUAL, 0, 1, number), (RETURN, 0, 0, FAIL | errno.EPERM)]
    code += [
        (EQUAL, 0, 1, SYS_CLONE3),  # its flags cannot be read here; glibc then uses clone
        (RETURN, 0, 0, FAIL | errno.ENOSYS),
        (EQUAL, 0, 4, SYS_CLONE[machine]),
        (LOAD, 0, 0, FIRST_ARGUMENT),
        (ANY_BIT, 0, 1, ANY_NAMESPACE),
        (RETURN, 0, 0, FAIL | errno.EPERM),
        (RETURN, 0, 0, ALLOW),
        (EQUAL, 0, 5, SYS_SOCKET[machine]),
        (LOAD, 0, 0, FIRST_ARGUMENT),
        # AF_UNIX, AF_INET, AF_INET6; others, such as AF_VSOCK, know no namespaces
        *((EQUAL, 3 - i, 0, family) for i, family in enumerate((1, 2, 10))),
        (RETURN, 0, 0, FAIL | errno.EAFNOSUPPORT),
        (RETURN, 0, 0, ALLOW),
    ]
    lines = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in code))
    program = struct.pack("HxxxxxxQ", len(code), ctypes.addressof(lines))
    _prctl("seccomp", PR_SET_SECCOMP, 2, program)
