"""What a program finds inside a jail, and what the jail tells of it: raw messages of real processes."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from evalkit.sandbox.child.python_programs import write_all
from evalkit.sandbox.compiling import _in_memory
from evalkit.sandbox.jail import Jail, JailBrokenError, Job, _anonymous_file
from evalkit.sandbox.records import Limits

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's")
ROOT = os.geteuid() == 0 if sys.platform == "linux" else False
LIMITS = Limits(cpu_seconds=20, wall_seconds=60, memory_mb=512, output_mb=1, folder_mb=1)
PYTHON = os.path.realpath(sys.executable)


@pytest.fixture(scope="module")
def jail() -> Iterator[Jail]:
    made = Jail("python", False)
    yield made
    made.close()


@pytest.fixture(scope="module")
def unsafe() -> Iterator[Jail]:
    made = Jail("python", True)
    yield made
    made.close()


@dataclass
class Told:
    """The first answer, the messages on tests, the output file, and whether the end was told."""

    first: dict[str, Any]
    messages: list[dict[str, Any]]
    output: bytes
    ended: bool

    @property
    def tests(self) -> list[dict[str, Any]]:
        return [test for message in self.messages for test in message["tests"]]

    def only(self) -> dict[str, Any]:
        """The one reply, without what depends on the machine."""
        (test,) = self.tests
        return {name: value for name, value in test.items() if name not in ("cpu", "wall", "memory_mb")}


def ask(jail: Jail, job: Job, *texts: bytes) -> Told:
    files = (_anonymous_file(), _anonymous_file())
    try:
        write_all(files[0], b"".join(texts))
        handed = files if job.executable is None else (*files, job.executable)
        first = jail.ask(job.message(jail._folder), 60, handed)
        messages: list[dict[str, Any]] = []
        if first.get("status") == "ready":
            message: Any = {"sizes": [len(text) for text in texts]}
            while not messages or messages[-1]["more"]:
                messages.append(jail.ask(message, 60))
                message = None
            last = jail.ask({"end": True}, 60)
        else:
            last = jail.ask(None, 60) if "status" in first else first
        return Told(first, messages, os.pread(files[1], 32 << 20, 0), last == {"ended": True})
    finally:
        for descriptor in files:
            os.close(descriptor)


def python(code: str, **options: Any) -> Job:
    limits = options.pop("limits", LIMITS)
    return Job("python", limits, code=code, **options)


def command(*argv: str, **options: Any) -> Job:
    return Job("command", options.pop("limits", LIMITS), argv=list(argv), **options)


SEES = """
import builtins, errno, gc, json, os, resource, sys, fcntl
def outcome(work):
    try: return work()
    except OSError as error: return errno.errorcode[error.errno]
def is_open(number):
    try: os.fstat(number)
    except OSError: return False
    return True
standard = (sys.stdin, sys.stdout, sys.stderr)
kinds = ("CORE", "CPU", "FSIZE", "AS", "NOFILE", "NPROC")
print(json.dumps({
    "identity": [os.getuid(), os.geteuid(), os.getgid(), os.getegid(), os.getpid(), os.getppid()],
    "host": os.uname().nodename,
    "folder": [os.getcwd(), os.listdir("/tmp")],
    "devices": sorted(os.listdir("/dev")),
    "links": {n: os.readlink("/dev/" + n) for n in ("stdin", "stdout", "stderr", "fd/0", "fd/1", "fd/2")},
    "others": [name for name in ("/home", "/proc", "/sys", "/var", "/run", "/old", "/new") if os.path.exists(name)],
    "streams' folder": os.listdir("/io"),
    "environment": dict(os.environ),
    "argv": sys.argv,
    "limits of Python": [sys.getrecursionlimit(), sys.get_int_max_str_digits()],
    "descriptors": [n for n in range(4096) if is_open(n)],
    "inherited by an exec": [n for n in range(3, 4096) if is_open(n) and os.get_inheritable(n)],
    "frozen": gc.get_freeze_count() > 1000,
    "the judge's modules": [m for m in sys.modules if m.startswith(("child", "evalkit"))],
    "limits": [resource.getrlimit(getattr(resource, "RLIMIT_" + k)) for k in kinds],
    "stack": resource.getrlimit(resource.RLIMIT_STACK)[0],
    "streams": [[s.name, s.mode, s.encoding, s.errors, s.line_buffering, s.newlines] for s in standard],
    "originals": [s is getattr(sys, "__%s__" % n) for s, n in zip(standard, ("stdin", "stdout", "stderr"))],
    "buffers": [type(s.buffer).__name__ for s in standard],
    "site": [repr(exit), repr(quit), repr(help)[:11]],
    "main": [__name__, __file__, __annotations__, __builtins__ is builtins, sys.modules["__main__"].x],
    "new file": [outcome(lambda: open("/x", "w")), outcome(lambda: os.mkdir("/tmp/../x"))],
    "settings of a device": outcome(lambda: fcntl.ioctl(os.open("/dev/null", os.O_RDWR), 0x5401, bytes(64))),
    "devices work": [len(open("/dev/urandom", "rb").read(3)), open("/dev/zero", "rb").read(2) == bytes(2)],
    "packages": outcome(lambda: os.listdir(os.path.dirname(os.__file__) + "/site-packages")),
    "temporary": outcome(lambda: [os.mkdir("/tmp/a"), os.mkdir("/tmp/b"), os.rename("/tmp/a", "/tmp/b/a")]),
}))
""".replace("import builtins", "x = 7\nimport builtins", 1)


def test_what_a_program_sees(jail: Jail) -> None:
    told = ask(jail, python(SEES, argv=["a", "b"]), b"")
    assert told.first == {"status": "ready", "detail": ""}
    assert told.ended
    names = {"named_streams": False, "said": None, "stale": True, "shared": False, "full": False, "errors": ""}
    del names["named_streams"]
    assert told.only() == names | {"end": "replied", "code": 0, "output": [0, len(told.output)]}
    assert json.loads(told.output) == {
        "identity": [1000, 1000, 1000, 1000, 2, 1],
        "host": "sandbox",
        "folder": ["/tmp", []],
        "devices": ["fd", "null", "random", "stderr", "stdin", "stdout", "urandom", "zero"],
        "links": {
            "stdin": "/io/stdin",
            "stdout": "/io/stdout",
            "stderr": "/io/stderr",
            "fd/0": "/io/stdin",
            "fd/1": "/io/stdout",
            "fd/2": "/io/stderr",
        },
        "others": [],
        "streams' folder": [],
        "environment": {
            "HOME": "/tmp",
            "LANG": "C.UTF-8",
            "LC_ALL": "C.UTF-8",
            "MKL_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "PATH": "/usr/bin:/bin",
            "PYTHONHASHSEED": "0",
            "PYTHONUTF8": "1",
            "TMPDIR": "/tmp",
        },
        "argv": ["solution.py", "a", "b"],
        "limits of Python": [50_000, 50_000],
        "descriptors": [0, 1, 2, 127],
        "inherited by an exec": [],
        "frozen": True,
        "the judge's modules": [],
        "limits": [[0, 0], [22, 22], [1 << 20, 1 << 20], [512 << 20, 512 << 20], [128, 128], [64, 64]],
        "stack": 8 << 20,
        "streams": [
            ["<stdin>", "r", "utf-8", "surrogateescape", False, None],
            ["<stdout>", "w", "utf-8", "surrogateescape", False, None],
            ["<stderr>", "w", "utf-8", "backslashreplace", True, None],
        ],
        "originals": [True, True, True],
        "buffers": ["BufferedReader", "BufferedWriter", "BufferedWriter"],
        "site": ["Use exit() or Ctrl-D (i.e. EOF) to exit", "Use quit() or Ctrl-D (i.e. EOF) to exit", "Type help()"],
        "main": ["__main__", "solution.py", {}, True, 7],
        "new file": ["EROFS", "EROFS"],
        "settings of a device": "EACCES" if "ABI" in jail.layers["landlock"] and _abi(jail) >= 5 else "ENOTTY",
        "devices work": [3, True],
        "packages": [],
        "temporary": [None, None, None],
    }


def _abi(jail: Jail) -> int:
    return int(jail.layers["landlock"].split()[1])


def test_the_layers_are_told(jail: Jail, unsafe: Jail) -> None:
    from evalkit.sandbox.child import kernel

    abi = kernel.landlock_abi()
    assert jail.layers == {
        "user namespace": "programs run as nobody" if ROOT else "programs run as this user, mapped, without rights",
        "pid namespace": "a fresh one for every program",
        "network namespace": "empty",
        "ipc, uts, cgroup namespaces": "yes",
        "mount namespace": "an empty root, the interpreter read-only",
        "landlock": f"ABI {abi}" if abi else "not offered by this kernel; the empty root stands alone",
        "seccomp": "an allow-list of system calls",
        "no new privileges": "yes",
    }
    assert unsafe.layers == {}
    assert (jail.unsafe, unsafe.unsafe, jail.alive, unsafe.alive) == (False, True, True, True)


MOUNTS = """
import json, os, sys
names = ["/", "/tmp", "/io", "/dev/null", os.path.dirname(os.__file__), sys.executable]
def about(name):
    found = os.statvfs(name)
    return [found.f_flag & 15, bool(found.f_flag & 1024), found.f_blocks * found.f_frsize, found.f_files]
def owner(name):
    found = os.stat(name)
    return [found.st_uid, found.st_gid, oct(found.st_mode)]
print(json.dumps([about(name) for name in names]), json.dumps([owner(n) for n in ["/tmp", "/io"]]))
print(json.dumps(sorted(os.listdir("/io"))), json.dumps([owner("/io/" + n) for n in os.listdir("/io")]))
print(json.dumps({n: open(n, "rb").read().hex() for n in os.listdir(".")}), sys.argv, os.getpid(), os.getuid())
"""
READ_ONLY, NO_SUID, NO_DEVICES = 1, 2, 4


@pytest.mark.parametrize("named", [False, True])
def test_what_is_mounted(jail: Jail, named: bool) -> None:
    limits = replace(LIMITS, folder_mb=3, output_mb=2)
    files = {"a.txt": "é\n\ud800", "b": ""}
    options = {"files": files, "named_streams": named, "input_mb": 5, "limits": limits}
    told = ask(jail, command(PYTHON, "-S", "-c", MOUNTS, "z", **options), b"")
    lines = told.output.decode().splitlines()
    assert told.only() == {
        "end": "exited", "code": 0, "said": None, "shared": False, "stale": named, "full": False,
        "errors": "", "output": [0, len(told.output)],
    }  # fmt: skip
    decoder = json.JSONDecoder()
    mounts, at = decoder.raw_decode(lines[0])
    (top, temporary, streams, null, library, interpreter) = mounts
    closed = READ_ONLY | NO_SUID | NO_DEVICES
    assert top[:3] == [closed, False, 1 << 20]
    assert temporary == [NO_SUID | NO_DEVICES, True, 3 << 20, 16384]
    assert streams == ([NO_SUID | NO_DEVICES, True, 11 << 20, 16] if named else top)
    assert null[0] & READ_ONLY == 0
    assert library[0] == interpreter[0] == closed
    folders = json.loads(lines[0][at:])
    assert folders[0][2] == "0o41777"
    assert folders[1][2] == "0o40755"
    names, at = decoder.raw_decode(lines[1])
    assert names == (["stderr", "stdin", "stdout"] if named else [])
    assert json.loads(lines[1][at:]) == [[1000, 1000, "0o100644"]] * len(names)
    assert lines[2] == '{"a.txt": "c3a90aeda080", "b": ""} [\'-c\', \'z\'] 2 1000' or lines[2] == (
        '{"b": "", "a.txt": "c3a90aeda080"} [\'-c\', \'z\'] 2 1000'
    )


def process(jail: Jail) -> list[int]:
    """The jail's first process and the one inside its namespaces."""
    first = jail._process.pid
    return [first, *map(int, Path(f"/proc/{first}/task/{first}/children").read_text().split())]


def test_the_processes_of_a_jail(jail: Jail) -> None:
    first, inside = process(jail)
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{inside}/status").read_text().splitlines() if "\t" in line
    )
    assert status["CapBnd"] == "0" * 16 or not ROOT
    assert status["NoNewPrivs"] == "1"
    ignored = int(status["SigIgn"], 16)
    assert all(ignored >> (number - 1) & 1 for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM))
    assert os.getsid(first) == first != os.getsid(0)
    for pid in (first, inside):
        assert Path(f"/proc/{pid}/oom_score_adj").read_text() == "1000\n"
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            os.kill(pid, number)
    if ROOT:
        for name in ("user", "mnt", "net", "ipc", "uts", "cgroup", "pid"):
            assert os.readlink(f"/proc/{inside}/ns/{name}") != os.readlink(f"/proc/self/ns/{name}"), name
        maps = [" ".join(Path(f"/proc/{inside}/{k}_map").read_text().split()) for k in ("uid", "gid")]
        assert maps == ["0 0 1 1000 65534 1"] * 2
    assert ask(jail, python("print(1)"), b"").output == b"1\n", "it has not been stirred"


def test_where_the_inner_process_dies_the_jail_does() -> None:
    made = Jail("toolchain", False)
    assert made.alive
    os.kill(process(made)[1], signal.SIGKILL)
    assert made._process.wait(20) == 0
    assert not made.alive
    with pytest.raises(JailBrokenError, match="it died"):
        made.ask(None, 20)
    made.close()


@pytest.mark.parametrize("is_unsafe", [False, True])
def test_a_closed_jail_leaves_nothing(is_unsafe: bool) -> None:
    made = Jail("toolchain", is_unsafe)
    folder, pids = Path(made._folder), process(made)
    if is_unsafe:
        assert folder.name.startswith("evalkit-unsafe-")
        (folder / "x").write_text("x")
    made.close()
    assert not made.alive
    assert made._process.poll() is not None
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert folder.exists() is not is_unsafe
    made.close()


ENDS: list[tuple[str, dict[str, Any]]] = [
    ("print(7)", {}),
    ("import os\nos._exit(3)", {"end": "exited", "code": 3}),
    ("import os\nos._exit(0)", {"end": "exited", "code": 0}),
    ("import os\nos.abort()", {"end": "killed", "code": signal.SIGABRT}),
    ("x = 1\nraise ValueError('x')", {"said": ["runtime error", "ValueError: x (line 2)"]}),
    ("raise SystemExit", {}),
    ("import sys\nsys.exit(0)", {}),
    ("import sys\nsys.exit(4)", {"said": ["ok", "exit code 4"]}),
    ("import sys\nsys.exit('bad')", {"said": ["ok", "exit code bad"]}),
    ("raise MemoryError", {"said": ["memory limit", "MemoryError: (line 1)"]}),
    ("x = bytearray(1 << 30)", {"said": ["memory limit", "MemoryError: (line 1)"]}),
    ("raise OSError(27, 'a')", {"said": ["output limit", "OSError: [Errno 27] a (line 1)"]}),
    ("raise OSError(28, 'a')", {"said": ["runtime error", "OSError: [Errno 28] a (line 1)"]}),
    ("raise KeyboardInterrupt", {"said": ["runtime error", "KeyboardInterrupt: (line 1)"]}),
    ("raise ValueError('y' * 400)", {"said": ["runtime error", "ValueError: " + "y" * 288]}),
    ("import atexit\natexit.register(lambda: 1 / 0)", {}),
    ("import sys\nsys.stdout.close()", {}),
    ("import sys\nsys.stdout = None", {}),
    ("import threading\nthreading.Thread(target=print, args=((7),)).start()", {}),
]


SHARING = {
    *("print(7)", "x = 1\nraise ValueError('x')", "raise SystemExit", "import sys\nsys.exit(0)"),
    *("import sys\nsys.exit(4)", "import sys\nsys.exit('bad')", "x = bytearray(1 << 30)"),
    *("raise ValueError('y' * 400)", "import sys\nsys.stdout.close()"),
}


@pytest.mark.parametrize(("code", "changed"), ENDS)
@pytest.mark.parametrize("share", [False, True])
def test_how_programs_end(jail: Jail, code: str, changed: dict[str, Any], share: bool) -> None:
    told = ask(jail, python(code, share=share), b"")
    found = told.only()
    said = changed.get("said")
    if said is not None:
        assert json.loads(found.pop("said")) == dict(zip(("status", "detail"), said, strict=True))
    else:
        assert found.pop("said") is None
    wanted = {"end": "replied", "code": 0, **changed}
    assert (found["end"], found["code"], found["full"], found["errors"]) == (wanted["end"], wanted["code"], False, "")
    assert told.output == (b"7\n" if "(7" in code else b"")
    assert told.tests[0]["cpu"] > 0
    assert 0 < told.tests[0]["wall"] < 60
    keeps = share and code in SHARING
    assert (told.tests[0]["memory_mb"] == 0.0) is keeps, "a process that goes on is not measured"
    if not keeps:
        assert 4 < told.tests[0]["memory_mb"] < 500
    assert told.ended


def test_programs_that_do_not_compile(jail: Jail) -> None:
    for code, detail in (
        ("x = 1\nprint(1", "SyntaxError: '(' was never closed (solution.py, line 2) (line 2)"),
        ("a = 1\x00", "SyntaxError: source code string cannot contain null bytes"),
        ("\ufeffx = (1", "SyntaxError: '(' was never closed (solution.py, line 1) (line 1)"),
    ):
        told = ask(jail, python(code), b"")
        assert told.first == {"status": "syntax error", "detail": detail}
        assert told.ended
    assert ask(jail, python("\ufeffprint(1)"), b"").output == b"1\n", "a mark of the byte order is left out"


def test_tests_share_a_process_where_the_program_leaves_nothing(jail: Jail) -> None:
    code = "print(int(input()) + 1)\nsys.setrecursionlimit(99)"
    told = ask(jail, python(code, share=True, tests=3), b"1\n", b"22\n", b"333\n")
    assert told.output == b"2\n23\n334\n"
    assert [(t["output"], t["shared"], t["stale"], t["memory_mb"]) for t in told.tests] == [
        ([0, 2], False, False, 0.0),
        ([2, 3], True, False, 0.0),
        ([5, 4], True, False, 0.0),
    ]
    apart = ask(jail, python(code, tests=3), b"1\n", b"22\n", b"333\n")
    assert apart.output == told.output
    assert [t["shared"] for t in apart.tests] == [False] * 3
    assert min(t["memory_mb"] for t in apart.tests) > 4
    lacking = ask(jail, python("print(input())\ngcd = 1", share=True, tests=2), b"a\n", b"b\n")
    assert [t["shared"] for t in lacking.tests] == [True, True], "it lacks a predefined name for the sake of sharing"


def test_a_shared_process_is_renewed_for_each_test(jail: Jail) -> None:
    """Offsets, standard streams and limits are those of a new process."""
    code = (
        "import sys\n"
        "print(sys.getrecursionlimit(), sys.argv, sys.stdin.read())\n"
        "sys.setrecursionlimit(999)\n"
        "sys.set_int_max_str_digits(0)\n"
        "sys.stderr.write('e')\n"
        "sys.argv.append(1)\n"
    )
    told = ask(jail, python(code, share=True, tests=3), b"first", b"2", b"")
    assert told.output == b"".join(b"50000 ['solution.py'] %s\n" % text for text in (b"first", b"2", b""))
    assert [t["shared"] for t in told.tests] == [True] * 3, "it lacks `sys` until it imports it"
    big = "print(len(str(10 ** 49000)))\ntry: str(10 ** 51000)\nexcept ValueError: print('long')"
    assert ask(jail, python(big, share=True, tests=2), b"", b"").output == b"49001\nlong\n" * 2


def test_a_batch_ends_with_what_does_not_end_well(jail: Jail) -> None:
    for code, output, count in (
        ("x = int(input())\nprint(x)\n1 / (x - 2)", b"1\n2\n", 2),
        ("import sys\nx = int(input())\nprint(x)\nsys.exit(x - 1)", b"1\n2\n", 2),
        ("import os\nx = int(input())\nprint(x, flush=True)\nif x == 2: os._exit(9)", b"1\n2\n", 2),
        ("x = int(input())\nprint(x)\nif x == 2: open('f', 'w').write('f')", b"1\n2\n", 2),
        ("import os\nprint(input())", b"1\n2\n3\n", 3),
    ):
        told = ask(jail, python(code, share=True, tests=3), b"1\n", b"2\n", b"3\n")
        assert told.output == output, code
        assert len(told.tests) == count
        assert told.tests[-1]["stale"] is ("open" in code)
        assert not told.messages[-1]["more"]


def test_much_output_ends_a_batch(jail: Jail) -> None:
    limits = replace(LIMITS, output_mb=5)
    told = ask(jail, python("print('x' * (4 << 20))", share=True, tests=4, limits=limits), b"", b"", b"", b"")
    size = (4 << 20) + 1
    assert [t["output"] for t in told.tests] == [[0, size], [size, size]]
    full = ask(jail, python("print('x' * (4 << 20))"), b"")
    assert full.tests[0]["output"] == [0, 1 << 20]
    assert full.tests[0]["full"] is True
    assert "output limit" in full.tests[0]["said"]


def test_a_done_test_is_told_while_the_next_one_runs(jail: Jail) -> None:
    code = "import time\nx = input()\nprint(x)\ntime.sleep(0.2 if x == 's' else 0)"
    told = ask(jail, python(code, tests=3), b"a\n", b"s\n", b"b\n")
    assert [([t["output"] for t in m["tests"]], m["more"]) for m in told.messages[:2]] == [
        ([[0, 2]], True),
        ([[2, 2]], True),
    ] or [([t["output"] for t in m["tests"]], m["more"]) for m in told.messages[:2]] == [
        ([[0, 2]], True),
        ([[2, 2], [4, 2]], False),
    ]
    assert told.output == b"a\ns\nb\n"


def test_time_limits(jail: Jail) -> None:
    for code, limits in (
        ("while True: pass", replace(LIMITS, cpu_seconds=0.1, wall_seconds=30)),
        ("import time\ntime.sleep(60)", replace(LIMITS, wall_seconds=0.1)),
        ("import sys\nwhile True: sys.argv", replace(LIMITS, cpu_seconds=0.1, wall_seconds=30)),
    ):
        told = ask(jail, python(code, limits=limits, share="sys" in code), b"")
        assert told.only() | {"stale": False} == {
            "end": "time limit", "code": 1, "said": None, "shared": "sys" in code, "stale": False, "full": False,
            "errors": "", "output": [0, 0],
        }  # fmt: skip
        (test,) = told.tests
        assert (test["cpu"] >= 0.1) is ("while" in code)
        assert test["wall"] >= 0.09
        assert test["wall"] < 30


def test_limits_of_a_process_for_several_tests(jail: Jail) -> None:
    limits = replace(LIMITS, cpu_seconds=2.5, open_files=40, processes=9, stack_mb=3, memory_mb=99)
    code = SEES.replace("range(4096)", "range(300)").replace("range(3, 4096)", "range(3, 300)")
    seen = json.loads(ask(jail, python(code, tests=7, limits=limits), b"").output)
    assert seen["limits"] == [[0, 0], [5, 5], [1 << 20, 1 << 20], [99 << 20, 99 << 20], [40, 40], [9, 9]]
    assert seen["stack"] == 3 << 20
    assert seen["descriptors"] == [0, 1, 2, 39]
    keeping = "def solve(n):\n    import ctypes\n    found = (ctypes.c_ulong * 2)()\n"
    keeping += "    ctypes.CDLL(None).getrlimit(n, found)\n    return list(found)"
    job = python(keeping, fn_name="solve", mode="lcb-compat", tests=7, limits=replace(limits, open_files=64))
    assert json.loads(ask(jail, job, b"0").output) == [20, 20], "for all tests together"


def test_errors_of_commands_are_told(jail: Jail) -> None:
    found = ask(jail, command(PYTHON, "-S", "-c", "import sys; sys.exit('é' * 5000)"), b"")
    assert found.only() == {
        "end": "exited", "code": 1, "said": None, "shared": False, "stale": False, "full": False,
        "errors": "é" * 2000, "output": [0, 0],
    }  # fmt: skip
    echo = ask(jail, command(PYTHON, "-S", "-c", "import sys; print(sys.stdin.read(), end='!')"), b"in\n")
    assert echo.output == b"in\n!"


def test_a_command_that_is_not_there_says_so(jail: Jail) -> None:
    found = ask(jail, command("/nowhere"), b"").only()
    assert json.loads(found["said"]) == {
        "status": "cannot start",
        "detail": "[Errno 2] No such file or directory: '/nowhere'",
    }
    assert found["end"] == "replied"


def test_an_executable_is_run_from_its_descriptor(jail: Jail) -> None:
    argv = ["./solution", "-S", "-c", "import sys, os; print(sys.argv, os.getpid())"]
    executable = _in_memory(Path(PYTHON).read_bytes())
    told = ask(jail, Job("binary", LIMITS, argv=argv, executable=executable), b"")
    os.close(executable)
    assert told.output == b"['-c'] 2\n"
    assert told.only()["end"] == "exited"
    text = _anonymous_file()
    write_all(text, b"no program")
    bad = ask(jail, Job("binary", LIMITS, argv=["./solution"], executable=text), b"").only()
    os.close(text)
    assert json.loads(bad["said"])["status"] == "cannot start"


def test_standard_streams_by_name(jail: Jail) -> None:
    code = (
        "text = open('/dev/stdin').read()\nopen('/dev/stdout', 'w').write(text * 2)\nopen('/dev/fd/2', 'w').write('e')"
    )
    for _ in range(2):
        told = ask(jail, python(code, named_streams=True, input_mb=1), b"ab\n")
        assert told.output == b"ab\nab\n"
        assert (told.tests[0]["stale"], told.tests[0]["shared"]) == (True, False)
    without = ask(jail, python("open('/dev/stdin')"), b"ab\n").tests[0]
    assert "FileNotFoundError" in without["said"]


def test_functions(jail: Jail) -> None:
    for code, text, output in (
        ("def solve(a, b): return [a, b]", b'1\n\n  \n"x"\n', [1, "x"]),
        ("class Solution:\n    def solve(self, a): return (a, gcd(4, 6))", b"null", [None, 2]),
        ("class Solution: pass\ndef solve(a): return a", b"[1]", [1]),
        ("Solution = 3\ndef solve(a): return a", b"2", 2),
        ("def solve(): return [__name__, 1]", b"", ["solution", 1]),
        ("import sys\ndef solve(a): return [sys.stdin.read(), input is None, a]", b"5", ["", False, 5]),
    ):
        told = ask(jail, python(code, fn_name="solve"), text)
        assert json.loads(told.output) == output, code
        assert told.only()["said"] is None
    for code, said in (
        ("def other(): pass", ["runtime error", "AttributeError: module 'solution' has no attribute 'solve'"]),
        ("def solve(a): raise SystemExit(3)", ["runtime error", "SystemExit"]),
        ("def solve(a): 1 / 0", ["runtime error", "ZeroDivisionError: division by zero (line 1)"]),
        ("def solve(a): return 10 ** 60000", ["runtime error", None]),
        ("def solve(a): raise MemoryError", ["memory limit", "MemoryError: (line 1)"]),
    ):
        found = json.loads(ask(jail, python(code, fn_name="solve"), b"1").only()["said"])
        assert found["status"] == said[0]
        assert said[1] in (None, found["detail"])
    assert ask(jail, python("x = (", fn_name="solve"), b"1").first["status"] == "syntax error"


def test_predefined_names(jail: Jail) -> None:
    for code, prelude, output in (
        ("print(gcd(4, 6), deque is collections.deque, sys.argv[0])", True, b"2 True solution.py\n"),
        ("print('gcd' in globals(), 'lcm' in globals(), 'heapq' in globals())", True, b"True True True\n"),
        ("print('gcd' in globals())", False, b"False\n"),
        ("x = 'é'\nprint(x, lcm(2, 3))", True, "é 6\n".encode()),
    ):
        assert ask(jail, python(code, prelude=prelude), b"").output == output
    assert "NameError" in ask(jail, python("gcd", prelude=False), b"").only()["said"]
    few = "def f(): import __main__; return sorted(n for n in __main__.__dict__ if n[0] != '_')\nprint(f(), gcd)"
    assert b"lcm" in ask(jail, python(few), b"").output, "a program that looks names up gets all of them"


def test_the_host_may_speak_while_a_test_runs(jail: Jail) -> None:
    files = (_anonymous_file(), _anonymous_file())
    for code, share in (("import time\nprint(1)\ntime.sleep(60)", False), ("while input(): pass", True)):
        os.ftruncate(files[0], 0)
        job = python(code if not share else "print(1)\nwhile True: pass", share=share, tests=2)
        assert jail.ask(job.message("/tmp"), 60, files)["status"] == "ready"
        with pytest.raises(JailBrokenError, match="it stopped answering"):
            jail.ask({"sizes": [0]}, 0.05)
        assert jail.ask({"stop": True}, 60) == {"tests": [], "more": False}
        assert jail.ask({"end": True}, 60) == {"ended": True}
    for descriptor in files:
        os.close(descriptor)


def test_a_session_goes_on_after_a_test_that_failed(jail: Jail) -> None:
    with jail.session(python("x = int(input())\nprint(1 // x)", share=True, tests=5)) as (session, status, detail):
        assert (status, detail) == ("ready", "")
        found = [(r.failure, o, r.shared) for r, o in session.run_many([b"1\n", b"0\n", b"1\n"])]
        assert found == [(None, b"1\n", False), ("runtime error", b"", True)]
        reply, output = session.run(b"1\n")
        assert (reply.failure, output, reply.shared) == (None, b"1\n", False), "in a new process"
    with jail.session(python("print(1", tests=1)) as (_, status, detail):
        assert (status, detail) == ("syntax error", "SyntaxError: '(' was never closed (solution.py, line 1) (line 1)")
    with pytest.raises(RuntimeError, match="mine"), jail.session(python("print(1)")):
        raise RuntimeError("mine")
    assert not jail.alive, "a session that was left in the middle costs the jail"


def test_the_folder_of_an_unsafe_jail_is_cleared(unsafe: Jail) -> None:
    folder = Path(unsafe._folder)
    code = (
        "import os\nprint(sorted(os.listdir('.')), os.getcwd() == os.environ['TMPDIR'])\n"
        "os.makedirs('a/b')\nopen('a/b/c', 'w').close()\nopen('d', 'w').close()\n"
        "os.symlink('/', 'e')\nos.symlink('x', 'f')"
    )
    told = ask(unsafe, python(code, tests=2), b"", b"")
    assert told.output == b"[] True\n" * 2
    assert [t["stale"] for t in told.tests] == [False, False]
    assert os.listdir(folder) == []
    (folder / "left").write_text("x")
    assert ask(unsafe, python("import os\nprint(os.listdir('.'))"), b"").output == b"[]\n"
    assert Path("/").exists()


def test_a_jail_that_cannot_be_built_says_why() -> None:
    """The zygote as the host starts it, with a bind that is not there."""
    import socket

    from evalkit.sandbox.child import wire

    ours, theirs = socket.socketpair()
    base: dict[str, Any] = {"channel": theirs.fileno(), "unsafe": False, "hide": [], "preload": [], "paths": []}
    config = base | {"binds": [["/no such file", "/no such file"]]}
    start = "import sys; sys.path.insert(0, sys.argv[1]); from child.zygote import main; main(sys.argv[2])"
    package = str(Path(wire.__file__).parent.parent)
    with ours, theirs:
        process_ = subprocess.Popen(
            [PYTHON, "-S", "-c", start, package, json.dumps(config)], pass_fds=[theirs.fileno()], cwd="/"
        )
        theirs.close()
        ours.settimeout(60)
        answer, _ = wire.receive(ours)
        assert process_.wait(60) == 0
    assert answer == {"error": "[Errno 2] mount /new/no such file: No such file or directory"}
