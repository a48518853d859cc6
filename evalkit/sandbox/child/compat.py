"""Runs a Python program as LiveCodeBench's official runner does, faults included.

Either as that of January 2025 (commit 15808c7), or as that of May 2025 and later (commits 16de2a1 to 28fef95), which
replaces sys.stdin by another object.

All tests run in one process. A stdin program is not run as a script: a closing `if __name__ == '__main__'` is inlined,
imports are pulled to the front, the rest becomes a function's body, and sys.stdin is replaced. SIGALRM raises an
exception after `cpu_seconds` of wall time, which a program can catch. What differs: the comparison is the host's.
"""

import ast
import builtins
import contextlib
import importlib
import io
import os
import signal
import sys
import types
from typing import Any

from .python_programs import (
    NAMED_MODULES,
    RECURSION_LIMIT,
    STAR_MODULES,
    Prepared,
    read_all,
    reply,
    set_streams,
    write_all,
)
from .values import describe, encode

_PRELUDE = "\n".join(
    [
        *(f"from {name} import *" for name in STAR_MODULES),
        *(f"import {name}" for name in NAMED_MODULES),
        f"sys.setrecursionlimit({RECURSION_LIMIT})",
        "",
    ]
)
_REMOVED_FROM_OS = (
    *("kill", "system", "putenv", "remove", "removedirs", "rmdir", "fchdir", "setuid", "fork", "forkpty", "killpg"),
    *("rename", "renames", "truncate", "replace", "unlink", "fchmod", "fchown", "chmod", "chown", "chroot"),
    *("lchflags", "lchmod", "lchown", "getcwd", "chdir"),
)
_BLOCKED_MODULES = ("ipdb", "joblib", "resource", "psutil", "tkinter")


class TimeoutException(Exception):  # noqa: N818  the official runner looks for this name in an exception's repr
    pass


def _alarm(_signal: int, _frame: Any) -> None:
    print("timeout occured: alarm went off")
    raise TimeoutException


class Program:
    """A loaded program: `run()` is one test."""

    def __init__(self, prepared: Prepared, kept: dict[str, int], seconds: float) -> None:
        self.prepared, self.kept, self.seconds = prepared, kept, seconds
        self.newer_stdin = prepared.mode == "lcb-compat-2025-05"
        self.target: Any = None

    def load(self) -> None:
        """Execute the module. Raises what the program raises, SyntaxError included."""
        source = self.prepared.source
        text = source if self.prepared.fn_name else _as_function(source)
        if "__future__" in self.prepared.words:  # which has to stand first and does not, behind the official prelude
            text = f"{_PRELUDE}\n\n{text}"
        module = types.ModuleType("tmp_sol", "")
        module.__dict__.update(self.prepared.prelude)
        module.__dict__.update({name: None for name in ("quit", "help") if name in self.prepared.prelude})
        with self.alarm():
            exec(compile(text, "<string>", "exec", dont_inherit=True), module.__dict__)
            owner = module.__dict__["Solution"]() if "class Solution" in text else module
        self.target = getattr(owner, self.prepared.fn_name or "wrapped_function")

    @contextlib.contextmanager
    def alarm(self) -> Any:
        signal.setitimer(signal.ITIMER_REAL, self.seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def run(self) -> tuple[str, str]:
        """Status and detail of one test, whose input lies in the input file; the output goes to the output file."""
        text = read_all(self.kept["input"]).decode("utf-8", "surrogatepass")
        try:
            output = self._call(text) if self.prepared.fn_name else self._feed(text)
        except Exception as error:
            status = "time limit" if "timeoutexception" in repr(error).lower() else "runtime error"
            return status, describe(error)
        write_all(self.kept["output"], output)
        return "ok", ""

    def _call(self, text: str) -> bytes:
        import json

        arguments = [json.loads(line) for line in text.split("\n")]
        with self.alarm():
            value = self.target(*arguments)
        return encode(value)

    def _feed(self, text: str) -> bytes:
        lines = iter(text.split("\n"))

        def read(*_: Any) -> str:
            return text

        def read_lines(*_: Any) -> list[str]:
            return text.split("\n")

        def read_line(*_: Any) -> str:
            return next(lines)

        captured, before = io.StringIO(), sys.stdout
        captured.close = lambda: None  # type: ignore[method-assign]
        sys.stdout = captured
        stdin, real_open = sys.stdin, builtins.open
        replaced: Any = _StdinWithBuffer(text) if self.newer_stdin else io.StringIO(text)
        # the methods are those of the stream that `from sys import stdin` has bound; by hand, for mock.patch takes
        # longer than most tests
        methods = {"read": read, "readlines": read_lines, "readline": read_line}
        try:
            with self.alarm():
                vars(stdin).update(methods)
                sys.stdin = replaced
                builtins.open = _mocked_open(text)
                with contextlib.suppress(SystemExit):
                    self.target()
        finally:
            sys.stdout, sys.stdin, builtins.open = before, stdin, real_open
            for name in methods:
                vars(stdin).pop(name, None)
        return captured.getvalue().encode("utf-8", "surrogatepass")


class _Buffer:
    """The `buffer` of the newer stand-in: `readline` is the first line for ever."""

    def __init__(self, text: str) -> None:
        self._data = text.encode("utf-8", "surrogatepass")

    def read(self, *_: Any) -> bytes:
        return self._data

    def readline(self, *_: Any) -> bytes:
        return self._data.split(b"\n")[0] + b"\n"


class _StdinWithBuffer:
    """The newer runner's stand-in for sys.stdin: it has a buffer, and cannot be iterated over."""

    def __init__(self, text: str) -> None:
        self._lines = io.StringIO(text)
        self.inputs, self.buffer = text, _Buffer(text)

    def read(self, *_: Any) -> str:
        return self.inputs

    def readline(self, *arguments: Any) -> str:
        return self._lines.readline(*arguments)

    def readlines(self, *_: Any) -> list[str]:
        return self.inputs.split("\n")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lines, name)


def serve(prepared: Prepared, kept: dict[str, int]) -> None:
    """Answer the supervisor's calls, one test each, until it closes the pipe; SystemExit and its like end it."""
    _prepare_process(prepared.words)
    program = Program(prepared, kept, prepared.seconds)
    signal.signal(signal.SIGALRM, _alarm)
    loaded = False
    while os.read(kept["go"], 1):
        status, detail = "ok", ""
        try:
            if not loaded:
                program.load()
                loaded = True
        except SyntaxError as error:
            status, detail = "syntax error", describe(error)
        except Exception as error:
            status, detail = "runtime error", describe(error)
        except BaseException as error:
            reply(kept["reply"], "ended", describe(error))
            os._exit(1)
        if status == "ok":
            try:
                status, detail = program.run()
            except BaseException as error:
                reply(kept["reply"], "ended", describe(error))
                os._exit(1)
        reply(kept["reply"], status, detail)


def _prepare_process(words: set[str]) -> None:
    if "open" in words:
        importlib.import_module("unittest.mock")
    null = open(os.devnull, encoding="utf-8")  # noqa: SIM115
    silent = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    set_streams(null, silent, io.TextIOWrapper(io.FileIO(2, "w", closefd=False)))
    for name in _REMOVED_FROM_OS:
        setattr(os, name, None)
    builtins.quit = builtins.help = None  # type: ignore[assignment]
    for name in _BLOCKED_MODULES:
        sys.modules[name] = None  # type: ignore[assignment]
    for module, names in (("shutil", ("rmtree", "move", "chown")), ("subprocess", ("Popen",))):
        for name in names if module in sys.modules else ():
            setattr(sys.modules[module], name, None)


def _as_function(source: str) -> str:
    """The program as the body of `wrapped_function`, its imports in front; the source itself where that fails."""
    try:
        tree = ast.parse(source)
        last = tree.body[-1]
        if isinstance(last, ast.If) and ast.unparse(last.test).strip() == "__name__ == '__main__'":
            source = "\n".join((ast.unparse(ast.Module(tree.body[:-1], [])), ast.unparse(ast.Module(last.body, []))))
    except (SyntaxError, ValueError, IndexError, RecursionError, MemoryError):
        pass
    try:
        body = ast.parse(source).body
        imports: list[ast.stmt] = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
        rest = [node for node in body if not isinstance(node, ast.Import | ast.ImportFrom)]
        none = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
        function = ast.FunctionDef(name="wrapped_function", args=none, body=rest, decorator_list=[], lineno=-1)
        parts = (ast.unparse(ast.Module(imports, [])), ast.unparse(function))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return source
    return "\n".join(parts)


def _mocked_open(text: str) -> Any:
    """`builtins.open` while a test runs: made only when somebody calls it."""

    def opened(*arguments: Any, **options: Any) -> Any:
        from unittest import mock

        return mock.mock_open(read_data=text)(*arguments, **options)

    return opened
