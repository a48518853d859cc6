"""Runs Python programs: as a script with real file descriptors, or one function called with JSON arguments."""

import ast
import atexit
import builtins
import contextlib
import functools
import importlib
import io
import json
import os
import re
import sys
import threading
import types
from typing import Any

from .sharing import NEVER_SHARE, may_share
from .values import describe, encode

RECURSION_LIMIT, INT_DIGITS = 50_000, 50_000
_DETAIL_LIMIT = 300
_BUFFER = 8192
_MOST_LEFT_MB = 32  # a process whose memory has grown by more serves no other test
_STREAM_NAMES = ("<stdin>", "<stdout>", "<stderr>")
OK = b'{"status": "ok", "detail": ""}'  # the reply on most tests, which nobody then needs to write or to parse

# What the official LiveCodeBench runner makes available before a program's own first line, in its order.
STAR_MODULES = (
    *("string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math", "random", "statistics"),
    *("itertools", "functools", "operator", "io", "sys", "json", "builtins", "typing"),
)
NAMED_MODULES = (
    *("string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math", "random", "statistics"),
    *("itertools", "functools", "operator", "io", "sys", "json"),
)
_WORD = re.compile(r"\w+")
_MAIN_CLAUSE = re.compile(r"""__name__\s*==\s*(?:'__main__'|"__main__")""")  # which looks nothing up

# Rare and slow to import: a program that mentions the word gets the module before its clock starts.
_ON_MENTION = {
    **{name: name for name in ("asyncio", "dataclasses", "inspect", "shutil", "subprocess", "traceback")},
    "concurrent": "concurrent.futures",
    "unittest": "unittest.mock",
}
# With one of these words a program can reach names that its text does not spell out.
_FINDS_NAMES = {
    *("globals", "locals", "vars", "dir", "eval", "exec", "compile", "getattr", "attrgetter", "methodcaller"),
    *("modules", "__import__", "__dict__", "__globals__", "f_globals", "_getframe", "__main__", "importlib", "inspect"),
    *("gc", "doctest", "unittest", "pdb", "runpy", "ctypes", "InteractiveConsole", "InteractiveInterpreter"),
}


class Prepared:
    """A program that was compiled and not run. `prelude` are the names that it finds defined; `shares` says whether
    its tests may run one after another in one process, `lacks_names` whether it then finds fewer names.
    """

    def __init__(self, request: dict[str, Any], source: str, code: types.CodeType | None) -> None:
        self.source = source
        self.fn_name: str | None = request["fn_name"]
        self.argv: list[str] = request["argv"]
        self.seconds: float = request["limits"]["cpu_seconds"]
        self.mode: str = request["mode"]
        self.code = code
        self.shares = self.lacks_names = False
        self.words = set(_WORD.findall(_MAIN_CLAUSE.sub("", source)))
        self.prelude = self._mentioned() if request["prelude"] else {}

    def _mentioned(self) -> dict[str, Any]:
        """The predefined names that the program's text contains: copying all of them costs more than a test."""
        names = prelude_names()
        if self.words & _FINDS_NAMES or not self.source.isascii():  # other letters can be read as these
            return names
        return {word: names[word] for word in self.words if word in names}

    def share(self, tree: ast.Module) -> None:
        """Look whether its tests may share a process."""
        left_out = may_share(self.source, tree, self.prelude)
        if left_out is not None:
            self.shares = True
            self.lacks_names = any(name in left_out for name in self.prelude)
            self.prelude = {name: value for name, value in self.prelude.items() if name not in left_out}

    def import_mentioned(self) -> None:
        for word in self.words & _ON_MENTION.keys():
            with contextlib.suppress(Exception):  # the program's own import will tell
                importlib.import_module(_ON_MENTION[word])


def prepare(request: dict[str, Any]) -> tuple[Prepared | None, dict[str, str] | None]:
    """Compile the program. Returns it, or the reply that says why it cannot be compiled."""
    sys.setrecursionlimit(RECURSION_LIMIT)
    sys.set_int_max_str_digits(INT_DIGITS)
    source = request["code"]
    if request["mode"] != "script":
        prepared = Prepared(request, source, None)
    else:
        source = source.removeprefix("\ufeff")
        try:
            code = compile(source, "solution.py", "exec", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            return None, {"status": "syntax error", "detail": describe(error)[:_DETAIL_LIMIT]}
        prepared = Prepared(request, source, code)
        if request["share"] and source.isascii() and not prepared.words & NEVER_SHARE:
            prepared.share(ast.parse(source))
    prepared.import_mentioned()
    return prepared, None


@functools.cache
def prelude_names() -> dict[str, Any]:
    """The names that a LiveCodeBench program finds defined. The zygote asks once, its children inherit the answer."""
    names: dict[str, Any] = {}
    for module_name in STAR_MODULES:
        module = sys.modules[module_name]
        public = getattr(module, "__all__", None) or [n for n in vars(module) if not n.startswith("_")]
        names.update((name, getattr(module, name)) for name in public)
    names.update((name, sys.modules[name]) for name in NAMED_MODULES)
    return names


def reply(descriptor: int, status: str, detail: str = "") -> None:
    """Tell the supervisor. Where the program has closed the pipe, the exit code tells."""
    text = json.dumps({"status": status, "detail": detail[:_DETAIL_LIMIT]}).encode() if detail or status != "ok" else OK
    with contextlib.suppress(OSError):
        os.write(descriptor, text)


def failure(error: BaseException) -> tuple[str, str]:
    """The status and the explanation of an exception that a program let through."""
    status = "runtime error"
    if isinstance(error, MemoryError):
        status = "memory limit"
    elif isinstance(error, OSError) and error.errno == 27:  # EFBIG: past RLIMIT_FSIZE
        status = "output limit"
    return status, describe(error)


def serve(prepared: Prepared, kept: dict[str, int]) -> None:
    """Answer the supervisor's calls, one test each, until it closes the pipe or too much memory has been used."""
    begin = _resident_mb()
    tests = 0
    while os.read(kept["go"], 1):
        if tests:
            _renew(kept)
        tests += 1
        status, detail = _run(prepared, kept)
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
        leaves = _resident_mb() - begin > _MOST_LEFT_MB
        reply(kept["reply"], status, detail)
        if leaves:
            os._exit(0)


def run_once(prepared: Prepared, kept: dict[str, int]) -> None:
    """Run one test in this process and tell how it went."""
    status, detail = _run(prepared, kept)
    reply(kept["reply"], status, detail)
    os._exit(0)


def _resident_mb() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _run(prepared: Prepared, kept: dict[str, int]) -> tuple[str, str]:
    return _run_function(prepared, kept) if prepared.fn_name else _run_script(prepared)


def _run_script(prepared: Prepared) -> tuple[str, str]:
    assert prepared.code is not None
    stdout = _text(1, "w")
    set_streams(_text(0, "r"), stdout, _text(2, "w"))
    sys.argv = ["solution.py", *prepared.argv]
    main = types.ModuleType("__main__")
    names = main.__dict__
    names.update(prepared.prelude)
    names.update({"__name__": "__main__", "__builtins__": builtins, "__file__": "solution.py", "__annotations__": {}})
    sys.modules["__main__"] = main
    status, detail = "ok", ""
    try:
        exec(prepared.code, names)
    except SystemExit as error:
        detail = f"exit code {error.code}" if error.code else ""
    except BaseException as error:
        status, detail = failure(error)
    try:
        if not prepared.shares:
            join_threads()
            atexit._run_exitfuncs()
        for stream in {id(s): s for s in (stdout, sys.stdout)}.values():
            if stream is not None and not stream.closed:
                stream.flush()
    except BaseException as error:
        if status == "ok":
            status, detail = failure(error)
    if prepared.shares:
        names.clear()
    return status, detail


def join_threads() -> None:
    """Wait for the threads that are no daemons, as an interpreter does when it ends."""
    threading._shutdown()  # type: ignore[attr-defined]


def _renew(kept: dict[str, int]) -> None:
    """What a program on the lists of `sharing` can have changed: offsets, limits, closed descriptors, garbage."""
    os.lseek(kept["input"], 0, os.SEEK_SET)
    os.dup2(kept["input"], 0)
    os.dup2(kept["output"], 1)
    os.dup2(kept["stderr"], 2)
    os.lseek(1, 0, os.SEEK_SET)
    os.lseek(2, 0, os.SEEK_SET)
    sys.setrecursionlimit(RECURSION_LIMIT)
    sys.set_int_max_str_digits(INT_DIGITS)


def set_streams(stdin: io.TextIOWrapper, stdout: io.TextIOWrapper, stderr: io.TextIOWrapper) -> None:
    for name, stream in (("stdin", stdin), ("stdout", stdout), ("stderr", stderr)):
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _text(descriptor: int, mode: str) -> io.TextIOWrapper:
    """A standard stream on a descriptor, which stays open when the stream is closed."""
    raw = io.FileIO(descriptor, mode, closefd=False)
    raw.name = _STREAM_NAMES[descriptor]
    buffer = io.BufferedReader(raw, _BUFFER) if mode == "r" else io.BufferedWriter(raw, _BUFFER)
    stream = io.TextIOWrapper(
        buffer,
        encoding="utf-8",
        errors="backslashreplace" if descriptor == 2 else "surrogateescape",
        newline=None if mode == "r" else "\n",
        line_buffering=descriptor == 2,
    )
    stream.mode = mode  # type: ignore[misc]
    return stream


def _run_function(prepared: Prepared, kept: dict[str, int]) -> tuple[str, str]:
    try:
        function = _load_function(prepared)
        text = read_all(kept["input"]).decode("utf-8", "surrogatepass")
        arguments = [json.loads(line) for line in text.split("\n") if line.strip()]
        value = function(*arguments)
        write_all(kept["output"], encode(value))
    except BaseException as error:
        status, detail = failure(error)
        return status, ("SystemExit" if isinstance(error, SystemExit) else detail)
    return "ok", ""


def _load_function(prepared: Prepared) -> Any:
    assert prepared.code is not None
    assert prepared.fn_name is not None
    module = types.ModuleType("solution")
    sys.modules["solution"] = module
    module.__dict__.update(prepared.prelude)
    exec(prepared.code, module.__dict__)
    solution = module.__dict__.get("Solution")
    if isinstance(solution, type):
        instance = solution()
        if hasattr(instance, prepared.fn_name):
            return getattr(instance, prepared.fn_name)
    return getattr(module, prepared.fn_name)


def read_all(descriptor: int) -> bytes:
    """The whole content of a file, wherever its offset is."""
    chunks, offset = [], 0
    while chunk := os.pread(descriptor, 1 << 20, offset):
        chunks.append(chunk)
        offset += len(chunk)
    return b"".join(chunks)


def write_all(descriptor: int, data: bytes, at: int = 0) -> None:
    """Write `data` at the place `at`, wherever the file's offset is."""
    view, written = memoryview(data), 0
    while written < len(view):
        written += os.pwrite(descriptor, view[written:], at + written)
