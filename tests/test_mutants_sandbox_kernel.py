"""The filters of system calls as the kernel would read them, and what the calls of `kernel` do to a process."""

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import platform
import signal
import socket
import struct
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evalkit.sandbox.child import kernel, seccomp, zygote

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's")

# linux/seccomp.h, linux/audit.h
ALLOW, ERRNO, KILL = 0x7FFF0000, 0x50000, 0x80000000
EPERM, ENOSYS = ERRNO | 1, ERRNO | 38
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
DONE = ("fadvise64", "fsync", "fdatasync", "msync")


def decision(program: bytes, number: int, *arguments: int, architecture: int) -> tuple[int, int]:
    """What a filter says of a call, and in how many steps: an interpreter of the six instructions that are used."""
    words = (*arguments, *[0] * (6 - len(arguments)))
    data = struct.pack("<IIQ6Q", number, architecture, 0, *words)
    at = taken = accumulator = 0
    while True:
        code, jump_true, jump_false, value = struct.unpack_from("<HBBI", program, 8 * at)
        at, taken = at + 1, taken + 1
        if code == 0x06:  # BPF_RET | BPF_K
            return value, taken
        if code == 0x20:  # BPF_LD | BPF_W | BPF_ABS
            (accumulator,) = struct.unpack_from("<I", data, value)
        elif code == 0x05:  # BPF_JMP | BPF_JA
            at += value
        else:  # BPF_JMP | BPF_JEQ, BPF_JGE, BPF_JSET, all with a constant
            holds = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[code]
            at += jump_true if holds else jump_false


@pytest.fixture(params=ARCHITECTURES)
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(platform, "machine", lambda: request.param)
    return str(request.param)


def test_the_jail_allows_what_is_listed_and_nothing_else(machine: str) -> None:
    program, known = seccomp.jail_filter.__wrapped__(), seccomp.numbers()
    names = {number: name for name, number in known.items()}
    refused = {*DONE, "flock", "setsockopt", "ioctl", "prctl", "socketpair", "fcntl", "madvise"}
    for number in range(600):
        name = names.get(number)
        said, steps = decision(program, number, 99, 99, 99, 99, 0, architecture=ARCHITECTURES[machine])
        if name is None:
            assert said == (EPERM if number < 424 else ENOSYS), number
        elif name in DONE:
            assert said == ERRNO, name
        elif name in refused or name == "prlimit64":
            assert said == EPERM, name
        else:
            assert said == ALLOW, name
        assert steps <= 40, "a tree, not a list"
    assert known["read"] == {"x86_64": 0, "aarch64": 63}[machine]
    assert known["openat"] == {"x86_64": 257, "aarch64": 56}[machine]
    assert ("open" in known) is ("fork" in known) is (machine == "x86_64")
    for number in (0x3FFFFFFF, 0x40000000, 0x40000001, 0x40000000 + known["read"], 0xFFFFFFFF):
        assert decision(program, number, architecture=ARCHITECTURES[machine])[0] == ENOSYS
    for other in (0, 0x40000003, ARCHITECTURES["x86_64" if machine == "aarch64" else "aarch64"]):
        assert decision(program, known["read"], architecture=other)[0] == KILL


# call, the argument that is looked at, the values that are allowed (from the kernel's headers)
ARGUMENTS = [
    ("ioctl", 1, (0x5401, 0x5413, 0x5421, 0x541B, 0x5450, 0x5451)),
    ("prctl", 0, (15, 0x53564D41)),
    ("prlimit64", 0, (0,)),
    ("socketpair", 0, (1,)),
    ("sendto", 4, (0,)),
    ("fcntl", 1, (0, 1, 2, 3, 4, 1030, 1032)),
    ("madvise", 2, (0, 1, 2, 3, 4, 8, 14, 15, 16)),
]


@pytest.mark.parametrize(("name", "index", "allowed"), ARGUMENTS)
def test_arguments_that_the_jail_allows(machine: str, name: str, index: int, allowed: tuple[int, ...]) -> None:
    program, number = seccomp.jail_filter.__wrapped__(), seccomp.numbers()[name]
    for value in {*range(64), *(v + d for v in allowed for d in (-1, 0, 1)), 1 << 31} - {-1}:
        arguments = [77 if name != "prlimit64" else 1] * 6
        arguments[index] = value
        said, _ = decision(program, number, *arguments, architecture=ARCHITECTURES[machine])
        assert said == (ALLOW if value in allowed else EPERM), value
    arguments[index] = 1 << 32  # a pointer whose lower half is 0
    said, _ = decision(program, number, *arguments, architecture=ARCHITECTURES[machine])
    assert said == (ALLOW if 0 in allowed and name != "sendto" else EPERM)


NEW_NAMESPACES = {0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000}
THREAD = 0x10000


def test_clone_makes_no_namespace_and_a_program_s_only_threads(machine: str) -> None:
    number = seccomp.numbers()["clone"]
    inside = {"architecture": ARCHITECTURES[machine]}
    for flag in (0, *(1 << bit for bit in range(32))):
        said, _ = decision(seccomp.jail_filter.__wrapped__(), number, flag, **inside)
        assert said == (EPERM if flag in NEW_NAMESPACES else ALLOW), hex(flag)
        for may_exec in (False, True):
            program = seccomp.program_filter.__wrapped__(may_exec)
            said, _ = decision(program, number, flag, **inside)
            assert said == (ALLOW if flag == THREAD else EPERM), hex(flag)
    assert decision(program, number, 0x3D0F00, **inside)[0] == ALLOW, "the flags of pthread_create"


@pytest.mark.parametrize("may_exec", [False, True])
def test_what_a_program_may_not_that_others_in_the_jail_may(machine: str, may_exec: bool) -> None:
    program, known = seccomp.program_filter.__wrapped__(may_exec), seccomp.numbers()
    refused = {"fork", "vfork", "pidfd_open", "sendmsg", "seccomp", "memfd_create", "statfs", "fstatfs"}
    refused |= set() if may_exec else {"execve", "execveat"}
    for number in range(600):
        names = [name for name, n in known.items() if n == number and name in refused]
        said, steps = decision(program, number, THREAD, architecture=ARCHITECTURES[machine])
        assert said == (EPERM if names else ALLOW), number
        assert steps <= 30
    assert decision(program, 0x40000000, architecture=ARCHITECTURES[machine])[0] == ENOSYS
    assert decision(program, known["read"], architecture=1)[0] == KILL


def test_filters_are_for_two_architectures(monkeypatch: pytest.MonkeyPatch) -> None:
    supported = []
    for name in ("x86_64", "aarch64", "riscv64", ""):
        monkeypatch.setattr(platform, "machine", lambda name=name: name)
        supported.append(seccomp.supported())
    assert supported == [True, True, False, False]


def test_constants_are_the_kernels() -> None:
    """As in linux/sched.h, linux/mount.h, linux/prctl.h and the tables of system calls."""
    assert (kernel.CLONE_NEWNS, kernel.CLONE_NEWCGROUP, kernel.CLONE_NEWUTS) == (1 << 17, 1 << 25, 1 << 26)
    assert (kernel.CLONE_NEWIPC, kernel.CLONE_NEWUSER) == (1 << 27, 1 << 28)
    assert (kernel.CLONE_NEWPID, kernel.CLONE_NEWNET) == (1 << 29, 1 << 30)
    assert (kernel.MS_RDONLY, kernel.MS_NOSUID, kernel.MS_NODEV, kernel.MS_NOATIME) == (1, 2, 4, 1 << 10)
    assert (kernel.MS_BIND, kernel.MS_REC, kernel.MS_PRIVATE, kernel.MNT_DETACH) == (1 << 12, 1 << 14, 1 << 18, 2)
    assert (kernel.PR_SET_PDEATHSIG, kernel.PR_SET_NO_NEW_PRIVS, kernel.PR_SET_SECUREBITS) == (1, 38, 28)
    assert kernel._PIVOT_ROOT == {"x86_64": 155, "aarch64": 41}
    assert kernel._CAPSET == {"x86_64": 126, "aarch64": 91}
    assert kernel._SECCOMP == {"x86_64": 317, "aarch64": 277}
    assert zygote._NAMESPACES == 0x6E020000, "mount, cgroup, host name, IPC, pid and network"


@pytest.mark.parametrize(
    ("call", "code", "said"),
    [
        (lambda: kernel.unshare(1), errno.EINVAL, "unshare: Invalid argument"),
        (lambda: kernel.setns(-1, 0), errno.EBADF, "setns: Bad file descriptor"),
        (lambda: kernel.prctl(99999, 0), errno.EINVAL, "prctl: Invalid argument"),
        (lambda: kernel.umount("/no such place", 2), errno.ENOENT, "umount /no such place: No such"),
        (lambda: kernel.mount("a", "/no such place", "tmpfs", 0), errno.ENOENT, "mount /no such place: No such"),
        (lambda: kernel.mount("a", "/", "no such type", 0, "data"), errno.ENODEV, "mount /: No such device"),
        (lambda: kernel.pivot_root("/no such place", "/"), errno.ENOENT, "pivot_root: No such"),
        (lambda: kernel.make_read_only("/no such place", True), errno.ENOENT, "mount_setattr /no such place: No such"),
    ],
)
def test_calls_that_fail_are_named(call: Callable[[], None], code: int, said: str) -> None:
    with pytest.raises(OSError, match="Errno") as caught:
        call()
    if os.geteuid() == 0:  # others are told first that they may not
        assert caught.value.errno == code
        assert said in str(caught.value)


def in_a_process(work: Callable[[], Any]) -> Any:
    """What `work` returns in a process of its own."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            signal.alarm(60)
            os.write(write, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(write)
    with open(read, "rb") as stream:
        text = stream.read()
    os.waitpid(pid, 0)
    return json.loads(text)


def status() -> dict[str, str]:
    return dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)


def test_capabilities_are_dropped_for_good() -> None:
    def work() -> list[str]:
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        kernel.bound_capabilities()
        bound = status()["CapBnd"]
        kernel.drop_capabilities()
        after = status()
        return [bound, after["CapInh"], after["CapPrm"], after["CapEff"], after["NoNewPrivs"]]

    none = "0" * 16
    bound = none if os.geteuid() == 0 else status()["CapBnd"]
    assert in_a_process(work) == [bound, none, none, none, "1"]


def test_an_installed_filter_holds() -> None:
    number = seccomp.numbers()["getppid"]
    refuse_one = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, ERRNO | 7), (0x06, 0, 0, ALLOW)]

    def work() -> list[int]:
        libc = ctypes.CDLL(None, use_errno=True)
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        kernel.install_filter(seccomp.assemble(refuse_one))
        answers = [libc.syscall(number), ctypes.get_errno(), os.getpid() > 0]
        return [*answers, int(status()["Seccomp"])]

    assert in_a_process(work) == [-1, 7, True, 2]


def outcome(work: Callable[[], object]) -> str:
    try:
        work()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "done"


@pytest.mark.parametrize("abi", [1, 2, 3, 4, 5, 6])
def test_what_landlock_leaves_to_a_program(abi: int, tmp_path: Path) -> None:
    if kernel.landlock_abi() < abi:
        pytest.skip("this kernel's Landlock is older")
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder in (inside, outside):
        for name in ("a", "b"):
            (folder / name).mkdir(parents=True)
        (folder / "file").write_text("x")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(f"\0evalkit-{os.getpid()}-{abi}")
    listening.listen()
    tcp = socket.socket()
    tcp.bind(("127.0.0.1", 0))
    tcp.listen()

    def ask_terminal() -> None:
        with open("/dev/null") as null, contextlib.suppress(termios.error):
            fcntl.ioctl(null, 0x5401, bytes(64))  # TCGETS, which a null device does not know

    def acts(folder: Path) -> list[str]:
        return [
            outcome(lambda: (folder / "file").read_text()),
            outcome(lambda: os.listdir(folder)),
            outcome(lambda: (folder / "file").open("a").close()),
            outcome(lambda: (folder / "new").write_text("x")),
            outcome(lambda: os.truncate(folder / "file", 0)),
            outcome(lambda: (folder / "folder").mkdir()),
            outcome(lambda: (folder / "link").symlink_to("x")),
            outcome(lambda: os.mkfifo(folder / "fifo")),
            outcome(lambda: (folder / "a").rename(folder / "b" / "a")),
            outcome(lambda: (folder / "file").unlink()),
        ]

    def work() -> dict[str, Any]:
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        kernel.landlock(abi, str(inside), ("/dev/null",))
        return {
            "inside": acts(inside),
            "outside": acts(outside),
            "write to the device": outcome(lambda: open("/dev/null", "w").close()),
            "truncate the device": outcome(lambda: os.close(os.open("/dev/null", os.O_WRONLY | os.O_TRUNC))),
            "write to another": outcome(lambda: open("/dev/zero", "w").close()),
            "its settings": outcome(ask_terminal),
            "tcp": outcome(lambda: socket.socket().connect(tcp.getsockname())),
            "tcp server": outcome(lambda: socket.socket().bind(("127.0.0.1", 0))),
            "signal": outcome(lambda: os.kill(os.getppid(), 0)),
            "abstract socket": outcome(lambda: socket.socket(socket.AF_UNIX).connect(listening.getsockname())),
            "run": outcome(lambda: os.execv("/bin/true", ["true"]) if os.fork() == 0 else os.wait()),
        }

    found = in_a_process(work)
    listening.close()
    tcp.close()
    no = "EACCES"
    moved = "done" if abi >= 2 else "EXDEV"
    assert found == {
        "inside": ["done"] * 8 + [moved, "done"],
        "outside": ["done", "done", no, no, no if abi >= 3 else "done", no, no, no, no, no],
        "write to the device": "done",
        "truncate the device": "done",
        "write to another": no,
        "its settings": no if abi >= 5 else "ENOTTY",
        "tcp": no if abi >= 4 else "done",
        "tcp server": no if abi >= 4 else "done",
        "signal": "EPERM" if abi >= 6 else "done",
        "abstract socket": "EPERM" if abi >= 6 else "done",
        "run": "done",
    }
