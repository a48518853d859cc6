# ruff: noqa: E501  programs stand on one line, as strings
"""Odd but right ways in which Python programs read their input and end, with what each mode says of them.

Every program prints the sum of the numbers in its second line (`TESTS`). `FAILS` names those that the official runner of
January 2025 (commit 15808c7), or of May 2025 and later (28fef95), fails: found by running these runners on them.
"""

TESTS = [("3\n1 2 3\n", "6\n"), ("2\n10 -4\n", "6\n"), ("1\n7", "7\n")]
_SUM = "print(sum(map(int, d.split()[1:])))"
_FAST_IO = """
import os, sys
from io import BytesIO, IOBase
class FastIO(IOBase):
    newlines = 0
    def __init__(self, file):
        self._fd = file.fileno()
        self.buffer = BytesIO()
        self.writable = "x" in file.mode or "r" not in file.mode
        self.write = self.buffer.write if self.writable else None
    def read(self):
        while True:
            b = os.read(self._fd, max(os.fstat(self._fd).st_size, 8192))
            if not b: break
            ptr = self.buffer.tell()
            self.buffer.seek(0, 2), self.buffer.write(b), self.buffer.seek(ptr)
        self.newlines = 0
        return self.buffer.read()
    def readline(self):
        while self.newlines == 0:
            b = os.read(self._fd, max(os.fstat(self._fd).st_size, 8192))
            self.newlines = b.count(b"\\n") + (not b)
            ptr = self.buffer.tell()
            self.buffer.seek(0, 2), self.buffer.write(b), self.buffer.seek(ptr)
        self.newlines -= 1
        return self.buffer.readline()
    def flush(self):
        if self.writable:
            os.write(self._fd, self.buffer.getvalue())
            self.buffer.truncate(0), self.buffer.seek(0)
class IOWrapper(IOBase):
    def __init__(self, file):
        self.buffer = FastIO(file)
        self.flush = self.buffer.flush
        self.writable = self.buffer.writable
        self.write = lambda s: self.buffer.write(s.encode("ascii"))
        self.read = lambda: self.buffer.read().decode("ascii")
        self.readline = lambda: self.buffer.readline().decode("ascii")
sys.stdin, sys.stdout = IOWrapper(sys.stdin), IOWrapper(sys.stdout)
input = lambda: sys.stdin.readline().rstrip("\\r\\n")
"""

PROGRAMS = {
    "input": "input()\nprint(sum(map(int, input().split())))",
    "input_prompt": "input('')\nprint(sum(map(int, input('').split())))",
    "read": f"import sys\nd = sys.stdin.read()\n{_SUM}",
    "from_sys_read": f"from sys import stdin\nd = stdin.read()\n{_SUM}",
    "read_size": f"import sys\nd = sys.stdin.read(1 << 20)\n{_SUM}",
    "readline": "import sys\nsys.stdin.readline()\nprint(sum(map(int, sys.stdin.readline().split())))",
    "readline_bound": "import sys\ninput = sys.stdin.readline\ninput()\nprint(sum(map(int, input().split())))",
    "from_sys_readline": "from sys import stdin\nstdin.readline()\nprint(sum(map(int, stdin.readline().split())))",
    "lambda_readline": "import sys\nr = lambda: sys.stdin.readline().rstrip()\nr()\nprint(sum(map(int, r().split())))",
    "readlines": "import sys\na = sys.stdin.readlines()\nprint(sum(map(int, a[1].split())))",
    "iterate": "import sys\nd = ' '.join(sys.stdin)\n" + _SUM,
    "iterate_loop": "import sys\nd = ''\nfor line in sys.stdin: d += line\n" + _SUM,
    "iterate_next": "import sys\nit = iter(sys.stdin)\nnext(it)\nprint(sum(map(int, next(it).split())))",
    "iterate_readline": "import sys\nit = iter(sys.stdin.readline, '')\nnext(it)\nprint(sum(map(int, next(it).split())))",
    "iterate_input": "it = iter(input, None)\nnext(it)\nprint(sum(map(int, next(it).split())))",
    "enumerate": "import sys\nfor i, line in enumerate(sys.stdin):\n    if i == 1: print(sum(map(int, line.split())))",
    "splitlines": "import sys\na = sys.stdin.read().splitlines()\nprint(sum(map(int, a[1].split())))",
    "buffer_read": f"import sys\nd = sys.stdin.buffer.read()\n{_SUM}",
    "buffer_readline": "import sys\nr = sys.stdin.buffer.readline\nr()\nprint(sum(map(int, r().split())))",
    "buffer_readlines": "import sys\na = sys.stdin.buffer.readlines()\nprint(sum(map(int, a[1].split())))",
    "buffer_iterate": "import sys\nd = b' '.join(sys.stdin.buffer)\n" + _SUM,
    "buffer_raw": f"import sys\nd = sys.stdin.buffer.raw.read()\n{_SUM}",
    "buffer_raw_readall": f"import sys\nd = sys.stdin.buffer.raw.readall()\n{_SUM}",
    "buffer_readinto": "import sys\nb = bytearray(100)\nn = sys.stdin.buffer.readinto(b)\nd = bytes(b[:n])\n" + _SUM,
    "buffer_read1": f"import sys\nd = sys.stdin.buffer.read1()\n{_SUM}",
    "buffer_peek": f"import sys\nd = sys.stdin.buffer.peek()\n{_SUM}",
    "detach": f"import sys\nd = sys.stdin.detach().read()\n{_SUM}",
    "open_0": f"d = open(0).read()\n{_SUM}",
    "open_0_lines": "_, a = open(0)\nprint(sum(map(int, a.split())))",
    "open_0_star": "_, *a = open(0).read().split()\nprint(sum(map(int, a)))",
    "open_0_bytes": f"d = open(0, 'rb').read()\n{_SUM}",
    "open_0_with": f"with open(0) as f: d = f.read()\n{_SUM}",
    "open_fileno": f"import sys\nd = open(sys.stdin.fileno()).read()\n{_SUM}",
    "open_dev_stdin": f"d = open('/dev/stdin').read()\n{_SUM}",
    "open_dev_fd": f"d = open('/dev/fd/0').read()\n{_SUM}",
    "stdin_from_dev": "import sys\nsys.stdin = open('/dev/stdin')\ninput()\nprint(sum(map(int, input().split())))",
    "path_dev_stdin": f"from pathlib import Path\nd = Path('/dev/stdin').read_text()\n{_SUM}",
    "os_read": f"import os\nd = os.read(0, 1 << 20)\n{_SUM}",
    "os_read_fstat": f"import os\nd = os.read(0, os.fstat(0).st_size)\n{_SUM}",
    "os_fdopen": f"import os\nd = os.fdopen(0).read()\n{_SUM}",
    "bytesio_input": "import io, os, sys\ninput = io.BytesIO(os.read(0, os.fstat(0).st_size)).readline\ninput()\nprint(sum(map(int, input().split())))",
    "stringio_stdin": "import io, sys\nsys.stdin = io.StringIO(sys.stdin.read())\ninput()\nprint(sum(map(int, input().split())))",
    "textiowrapper": f"import io, sys\nd = io.TextIOWrapper(sys.stdin.buffer).read()\n{_SUM}",
    "mmap": f"import mmap\nd = mmap.mmap(0, 0, access=mmap.ACCESS_READ)[:]\n{_SUM}",
    "fileinput": "import fileinput\nd = ' '.join(fileinput.input())\n" + _SUM,
    "fast_io": f"{_FAST_IO}input()\nprint(sum(map(int, input().split())))\nsys.stdout.flush()",
    "fast_io_read": f"{_FAST_IO}d = sys.stdin.read()\n{_SUM}\nsys.stdout.flush()",
    "mode": "import sys\nassert 'r' in sys.stdin.mode and sys.stdout.mode == 'w'\ninput()\nprint(sum(map(int, input().split())))",
    "name": "import sys\nassert sys.stdin.name == '<stdin>' and sys.stdout.name == '<stdout>'\ninput()\nprint(sum(map(int, input().split())))",
    "encoding": "import sys\nassert sys.stdin.encoding.lower() == 'utf-8'\ninput()\nprint(sum(map(int, input().split())))",
    "isatty": "import sys\nassert not sys.stdin.isatty()\ninput()\nprint(sum(map(int, input().split())))",
    "reconfigure": "import sys\nsys.stdin.reconfigure(encoding='utf-8')\ninput()\nprint(sum(map(int, input().split())))",
    "select": "import select, sys\nassert select.select([0], [], [], 1)[0]\ninput()\nprint(sum(map(int, input().split())))",
    "eof": "d = ''\ntry:\n    while True: d += input() + ' '\nexcept EOFError: pass\n" + _SUM,
    "exit": "input()\nprint(sum(map(int, input().split())))\nexit()",
    "exit_0": "input()\nprint(sum(map(int, input().split())))\nexit(0)",
    "quit": "input()\nprint(sum(map(int, input().split())))\nquit()",
    "sys_exit": "import sys\ninput()\nprint(sum(map(int, input().split())))\nsys.exit()",
    "raise_exit": "input()\nprint(sum(map(int, input().split())))\nraise SystemExit",
    "os_exit": "import os, sys\ninput()\nprint(sum(map(int, input().split())))\nsys.stdout.flush()\nos._exit(0)",
    "exit_in_main": "def main():\n    input()\n    print(sum(map(int, input().split())))\n    exit()\nif __name__ == '__main__':\n    main()",
    "exit_is_there": "exit, quit, copyright if False else None\ninput()\nprint(sum(map(int, input().split())))",
    "main": "def main():\n    input()\n    print(sum(map(int, input().split())))\nif __name__ == '__main__':\n    main()",
    "main_double_quotes": 'def main():\n    input()\n    print(sum(map(int, input().split())))\nif __name__ == "__main__":\n    main()',
    "main_reversed": "def main():\n    input()\n    print(sum(map(int, input().split())))\nif '__main__' == __name__:\n    main()",
    "main_bare": "def main():\n    input()\n    print(sum(map(int, input().split())))\nmain()",
    "class_main": "class Main:\n    def run(self):\n        input()\n        print(sum(map(int, input().split())))\nMain().run()",
    "class_solution": "class Solution:\n    def run(self):\n        input()\n        print(sum(map(int, input().split())))\nSolution().run()",
    "global": "total = 0\ndef f(x):\n    global total\n    total += x\ninput()\nfor x in input().split(): f(int(x))\nprint(total)",
    "thread": "import threading\ndef main():\n    input()\n    print(sum(map(int, input().split())))\nt = threading.Thread(target=main)\nt.start()\nt.join()",
    "thread_stack": "import sys, threading\nsys.setrecursionlimit(10**6)\nthreading.stack_size(1 << 26)\ndef main():\n    input()\n    print(sum(map(int, input().split())))\nt = threading.Thread(target=main)\nt.start()\nt.join()",
    "stack_limit": "import resource, sys\nresource.setrlimit(resource.RLIMIT_STACK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\ninput()\nprint(sum(map(int, input().split())))",
    "stack_soft": "import resource\nresource.setrlimit(resource.RLIMIT_STACK, (1 << 28, -1))\ninput()\nprint(sum(map(int, input().split())))",
    "bom": "\ufeffinput()\nprint(sum(map(int, input().split())))",
    "coding": "# -*- coding: utf-8 -*-\ninput()\nprint(sum(map(int, input().split())))",
    "shebang": "#!/usr/bin/env python3\ninput()\nprint(sum(map(int, input().split())))",
    "crlf": "input()\r\nprint(sum(map(int, input().split())))\r\n",
    "form_feed": "input()\n\x0c\nprint(sum(map(int, input().split())))",
    "future": "from __future__ import annotations\ninput()\nprint(sum(map(int, input().split())))",
    "stdout_write": "import sys\ninput()\nsys.stdout.write(str(sum(map(int, input().split()))))",
    "from_sys_stdout": "from sys import stdout\ninput()\nstdout.write(str(sum(map(int, input().split()))))",
    "stdout_buffer": "import sys\ninput()\nsys.stdout.buffer.write(str(sum(map(int, input().split()))).encode())",
    "os_write": "import os\ninput()\nos.write(1, str(sum(map(int, input().split()))).encode())",
    "print_file": "import sys\ninput()\nprint(sum(map(int, input().split())), file=sys.stdout, flush=True)",
    "dev_stdout": "input()\nwith open('/dev/stdout', 'w') as f: print(sum(map(int, input().split())), file=f)",
    "open_1": "input()\nprint(sum(map(int, input().split())), file=open(1, 'w'))",
    "redirected": "import contextlib, io, sys\nb = io.StringIO()\nwith contextlib.redirect_stdout(b):\n    input()\n    print(sum(map(int, input().split())))\nprint(b.getvalue())",
    "stdout_replaced": "import io, sys, atexit\nout = sys.stdout\nsys.stdout = io.StringIO()\natexit.register(lambda: out.write(sys.stdout.getvalue()))\ninput()\nprint(sum(map(int, input().split())))",
    "atexit": "import atexit\ninput()\natexit.register(print, sum(map(int, input().split())))",
    "asyncio": "import asyncio\nasync def main():\n    input()\n    print(sum(map(int, input().split())))\nasyncio.run(main())",
    "generator": "def numbers():\n    input()\n    yield from map(int, input().split())\nprint(sum(numbers()))",
    "walrus": "import sys\nd = ''\nwhile line := sys.stdin.readline(): d += line\n" + _SUM,
    "numpy_fromstring": "import sys\nimport numpy as np\nd = np.array(sys.stdin.read().split(), dtype=np.int64)\nprint(d[1:].sum())",
    "numpy_loadtxt": "import sys\nimport numpy as np\ninput()\nprint(np.loadtxt(sys.stdin, dtype=int, ndmin=1).sum())",
    "exec_source": "exec('input()\\nprint(sum(map(int, input().split())))')",
    "eval_input": "eval(input())\nprint(eval('+'.join(input().split())))",
}

_BOTH = {
    *("atexit", "bom", "buffer_iterate", "buffer_peek", "buffer_raw", "buffer_raw_readall", "buffer_read1"),
    *("buffer_readinto", "buffer_readline", "buffer_readlines", "bytesio_input", "class_solution", "detach"),
    *("dev_stdout", "encoding", "fast_io", "fast_io_read", "from_sys_stdout", "future", "global", "main_reversed"),
    *("mmap", "mode", "name", "open_0", "open_0_bytes", "open_0_lines", "open_0_star", "open_0_with", "open_1"),
    *("open_dev_fd", "open_dev_stdin", "open_fileno", "os_exit", "os_fdopen", "os_read", "os_read_fstat"),
    *("os_write", "path_dev_stdin", "quit", "reconfigure", "stack_limit", "stack_soft", "stdin_from_dev"),
    *("stdout_buffer", "stdout_replaced", "textiowrapper"),
}
FAILS: dict[str, set[str]] = {
    "script": set(),
    "lcb-compat": _BOTH | {"buffer_read"},
    "lcb-compat-2025-05": _BOTH | {"enumerate", "iterate", "iterate_loop", "iterate_next", "numpy_loadtxt"},
}
