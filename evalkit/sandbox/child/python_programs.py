"""Runs Python programs: as a script with real file descriptors, or one function called with JSON arguments."""

import ast
import atexit
import builtins
import contextlib
import functools
import gc
import io
import json
import os
import sys
import threading
import types
from dataclasses import dataclass
from typing import Any

from .isolation import keeps_no_state
from .values import describe, encode

RECURSION_LIMIT, INT_DIGITS = 50_000, 50_000
_DETAIL_LIMIT = 300

# What the official LiveCodeBench runner makes available before a program's own first line, in its order.
STAR_MODULES = (
    *("string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math", "random", "statistics"),
    *("itertools", "functools", "operator", "io", "sys", "json", "builtins", "typing"),
)
NAMED_MODULES = (
    *("string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math", "random", "statistics"),
    *("itertools", "functools", "operator", "io", "sys", "json"),
)


@dataclass
class Prepared:
    """A program that was compiled and not run."""

    source: str
    code: types.CodeType | None
    fn_name: str | None
    keeps_process: bool
    prelude: bool
    seconds: float
    argv: list[str]


def prepare(request: dict[str, Any]) -> tuple[Prepared | None, dict[str, str] | None]:
    """Compile the program. Returns it, or the reply that says why it cannot be compiled."""
    source, fn_name = request["code"], request["fn_name"]
    sys.setrecursionlimit(RECURSION_LIMIT)
    sys.set_int_max_str_digits(INT_DIGITS)
    if request["mode"] == "lcb-compat":
        return Prepared(source, None, fn_name, True, True, request["limits"]["cpu_seconds"], []), None
    try:
        tree = ast.parse(source)
        code = compile(source, "solution.py", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return None, {"status": "syntax error", "detail": describe(error)[:_DETAIL_LIMIT]}
    prelude = request["prelude"]
    keeps = bool(fn_name) or (prelude and keeps_no_state(tree))
    return Prepared(source, code, fn_name, keeps, prelude, request["limits"]["cpu_seconds"], request["argv"]), None


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
    with contextlib.suppress(OSError):
        os.write(descriptor, json.dumps({"status": status, "detail": detail[:_DETAIL_LIMIT]}).encode())


def failure(error: BaseException) -> tuple[str, str]:
    """The status and the explanation of an exception that a program let through."""
    status = "runtime error"
    if isinstance(error, MemoryError):
        status = "memory limit"
    elif isinstance(error, OSError) and error.errno == 27:  # EFBIG: past RLIMIT_FSIZE
        status = "output limit"
    return status, describe(error)


def serve(prepared: Prepared, kept: dict[str, int]) -> None:
    """Answer the supervisor's calls, one test each, until it closes the pipe."""
    run = _run_function if prepared.fn_name else _run_script
    state: dict[str, Any] = {"prelude": prelude_names() if prepared.prelude else {}}
    while os.read(kept["go"], 1):
        status, detail = run(prepared, kept, state)
        reply(kept["reply"], status, detail)
        if not prepared.keeps_process:
            os._exit(0)


def _run_script(prepared: Prepared, kept: dict[str, int], state: dict[str, Any]) -> tuple[str, str]:
    assert prepared.code is not None
    os.lseek(kept["input"], 0, os.SEEK_SET)
    if state.get("tests", 0):
        _renew(kept)
    state["tests"] = state.get("tests", 0) + 1
    stdout = _text(1, "w")
    set_streams(_text(0, "r"), stdout, _text(2, "w"))
    sys.argv = ["solution.py", *prepared.argv]
    main = types.ModuleType("__main__")
    names = main.__dict__
    names.update(state["prelude"])
    names.update({"__name__": "__main__", "__builtins__": builtins, "__file__": "solution.py"})
    sys.modules["__main__"] = main
    status, detail = "ok", ""
    try:
        exec(prepared.code, names)
    except SystemExit as error:
        detail = f"exit code {error.code}" if error.code else ""
    except BaseException as error:
        status, detail = failure(error)
    try:
        if not prepared.keeps_process:
            threading._shutdown()  # type: ignore[attr-defined]
            atexit._run_exitfuncs()
        for stream in {id(s): s for s in (stdout, sys.stdout)}.values():
            if stream is not None and not stream.closed:
                stream.flush()
    except BaseException as error:
        if status == "ok":
            status, detail = failure(error)
    if prepared.keeps_process:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
        names.clear()
    return status, detail


def _renew(kept: dict[str, int]) -> None:
    """What a program can have changed and the next test must find as new: descriptors, limits, garbage."""
    os.dup2(kept["input"], 0)
    os.dup2(kept["output"], 1)
    os.dup2(kept["stderr"], 2)
    os.lseek(1, 0, os.SEEK_SET)
    os.lseek(2, 0, os.SEEK_SET)
    sys.setrecursionlimit(RECURSION_LIMIT)
    sys.set_int_max_str_digits(INT_DIGITS)
    if not gc.isenabled():
        gc.enable()


def set_streams(stdin: io.TextIOWrapper, stdout: io.TextIOWrapper, stderr: io.TextIOWrapper) -> None:
    for name, stream in (("stdin", stdin), ("stdout", stdout), ("stderr", stderr)):
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _text(descriptor: int, mode: str) -> io.TextIOWrapper:
    """A standard stream on a descriptor, which stays open when the stream is closed."""
    raw = open(descriptor, f"{mode}b", closefd=False)  # noqa: SIM115
    return io.TextIOWrapper(raw, encoding="utf-8", errors="surrogateescape", newline=None if mode == "r" else "\n")


def _run_function(prepared: Prepared, kept: dict[str, int], state: dict[str, Any]) -> tuple[str, str]:
    assert prepared.fn_name is not None
    try:
        if "function" not in state:
            state["function"] = _load_function(prepared, state["prelude"])
        text = read_all(kept["input"]).decode()
        try:
            arguments = [json.loads(line) for line in text.split("\n") if line.strip()]
        except ValueError as error:
            return "bad tests", str(error)
        value = state["function"](*arguments)
        write_all(kept["output"], encode(value))
    except BaseException as error:
        status, detail = failure(error)
        return status, ("SystemExit" if isinstance(error, SystemExit) else detail)
    return "ok", ""


def _load_function(prepared: Prepared, prelude: dict[str, Any]) -> Any:
    assert prepared.code is not None
    assert prepared.fn_name is not None
    module = types.ModuleType("solution")
    sys.modules["solution"] = module
    module.__dict__.update(prelude)
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
