# ruff: noqa: E501  programs stand on one line, as strings
"""Programs that try to bend a verdict: to remember, to answer twice, to forge what the judge hears, to outlast a limit.

A program that is accepted has bent its verdict, and one that gets a sandbox error has chosen it. Each kind is a few
lines of data; `suite` makes the programs.
"""

import textwrap
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Bending:
    """A program and how it is judged. `mode`, `fn_name`, `language` as in `evalkit.sandbox`; `checker`: its code."""

    name: str
    code: str
    tests: list[tuple[str, str]]
    mode: str = "script"
    fn_name: str | None = None
    language: str = "python"
    checker: str | None = None
    seconds: float = 5.0
    memory_mb: int = 512
    slow: bool = field(default=False)


# Each counts its runs: it sets n to how often it was there before, and remembers one more. Relative names lie in the
# program's folder. Judged on tests that expect 1, 2, 3.
_MEMORIES = {
    # files, by every road
    "open": "import os\nn = os.path.getsize('m') if os.path.exists('m') else 0\nopen('m', 'a').write('x')",
    "random_os": "import random\nd = random._os\nn = sum(x.startswith('m') for x in d.listdir('.'))\nd.mkdir('m%d' % n)",
    "fileio": "import io\ntry: n = len(io.FileIO('m').readall())\nexcept OSError: n = 0\nio.FileIO('m', 'a').write(b'x')",
    "io_open_code": "import io\ntry: n = len(io.open_code('m').read())\nexcept OSError: n = 0\nio.open('m', 'ab').write(b'x')",
    "typing_sys": "import typing\nm = typing.sys.modules\nn = m.get('mark', 0)\nm['mark'] = n + 1",
    "pathlib": "from pathlib import Path\np = Path('m')\nn = len(p.read_text()) if p.exists() else 0\np.write_text('x' * (n + 1))",
    "tempfile": "import tempfile, os\nn = len([x for x in os.listdir('.') if x.startswith('tmp')])\ntempfile.mkstemp(dir='.')",
    "symlink": "import os\nn = len(os.readlink('l')) if os.path.islink('l') else 0\nif n: os.unlink('l')\nos.symlink('x' * (n + 1), 'l')",
    "fifo": "import os\nn = len([x for x in os.listdir('.') if x.startswith('p')])\nos.mkfifo('p%d' % n)",
    "folder_time": "import os\ns = int(os.stat('.').st_mtime)\nn = s if s < 100 else 0\nos.utime('.', (n + 1, n + 1))",
    "folder_mode": "import os\nm = os.stat('.').st_mode & 7\nn = 0 if m in (0, 5, 7) else m\nos.chmod('.', 0o770 | (n + 1))",
    "folder_links": "import os\nn = os.stat('.').st_nlink - 2\nos.mkdir('d%d' % n)",
    "pickle": "import pickle\ntry: n = pickle.load(open('p', 'rb'))\nexcept OSError: n = 0\npickle.dump(n + 1, open('p', 'wb'))",
    "shelve": "import dbm.dumb\nd = dbm.dumb.open('d', 'c')\nn = int(d.get('n', b'0'))\nd['n'] = str(n + 1)\nd.close()",
    "mmap": "import mmap, os\nf = os.open('m', os.O_RDWR | os.O_CREAT)\nos.ftruncate(f, 4096)\nm = mmap.mmap(f, 4096)\nn = m[0]\nm[0] = n + 1",
    "hidden": "import os\nn = sum(x.startswith('.m') for x in os.listdir('.'))\nopen('.m%d' % n, 'w')",
    "absolute": "import os\nn = sum(x.startswith('m') for x in os.listdir('/tmp'))\nopen('/tmp/m%d' % n, 'w')",
    "truncated": "import os\nn = os.stat('m').st_size if os.path.exists('m') else 0\nopen('m', 'ab').truncate(n + 1)",
    "numpy_tofile": "import numpy as np, os\nn = os.path.getsize('m') if os.path.exists('m') else 0\nnp.zeros(n + 1, dtype=np.uint8).tofile('m')",
    "numpy_attribute": "import numpy as np\nn = getattr(np, 'seen', 0)\nnp.seen = n + 1",
    # what a process keeps in memory
    "math": "import math\nn = getattr(math, 'seen', 0)\nmath.seen = n + 1",
    "math_dict": "import math\nd = math.__dict__\nn = d.get('seen', 0)\nd['seen'] = n + 1",
    "builtins": "import builtins\nn = getattr(builtins, 'seen', 0)\nbuiltins.seen = n + 1",
    "builtins_name": "b = __builtins__\nn = getattr(b, 'seen', 0)\nb.seen = n + 1",
    "modules": "import sys\nn = sys.modules.get('seen', 0)\nsys.modules['seen'] = n + 1",
    "path": "import sys\nn = sys.path.count('seen')\nsys.path.append('seen')",
    "re_cache": "import re\nn = sum(1 for k in re._cache if 'seen' in str(k))\nre.compile('seen' + 'x' * n)",
    "class_attribute": "from collections import Counter\nn = getattr(Counter, 'seen', 0)\nCounter.seen = n + 1",
    "class_alias": "from collections import Counter as C\nT = [C][0]\nn = getattr(T, 'seen', 0)\nT.seen = n + 1",
    "class_of_instance": "from collections import Counter\nT = Counter().__class__\nn = T.__dict__.get('seen', 0)\nT.seen = n + 1",
    "subclass": "from collections import Counter\nclass A(Counter): pass\nf = A.most_common\nn = f.__dict__.get('n', 0)\nf.n = n + 1",
    "function_attribute": "import heapq\nf = heapq.merge\nn = f.__dict__.get('n', 0)\nf.n = n + 1",
    "wraps_func": "import functools\nf = functools.wraps(print).func\nn = f.__dict__.get('n', 0)\nf.n = n + 1",
    "default_argument": "import bisect, heapq, copy\nd = copy.deepcopy.__kwdefaults__ or {}\nn = d.get('n', 0)\nd['n'] = n + 1\ncopy.deepcopy.__kwdefaults__ = d",
    "dispatch_table": "import copy\nt = copy._deepcopy_dispatch\nn = t.get('n', 0)\nt['n'] = n + 1",
    "field_defaults": "from functools import lru_cache\n@lru_cache(None)\ndef f(): pass\nd = f.cache_info()._field_defaults\nn = d.get('n', 0)\nd['n'] = n + 1",
    "random_state": "import random\ns = random.getstate()[2]\nn = int(s) if s else 0\nrandom.setstate(random.getstate()[:2] + (float(n + 1),))",
    "decimal_context": "import decimal\nc = decimal.getcontext()\nn = 0 if c.prec == 28 else c.prec\nc.prec = n + 1",
    "environment": "import os\nn = int(os.environ.get('N', 0))\nos.environ['N'] = str(n + 1)",
    "contextvars": "import contextvars, sys\nv = sys.__dict__.setdefault('v', contextvars.ContextVar('v', default=0))\nn = v.get()\nv.set(n + 1)",
    "warnings_filters": "import warnings\nn = sum('seen' in str(f) for f in warnings.filters)\nwarnings.filterwarnings('ignore', 'seen' + str(n))",
    "copyreg": "import copyreg\nn = copyreg.dispatch_table.get('n', 0)\ncopyreg.dispatch_table['n'] = n + 1",
    "gc_callbacks": "import gc\nn = len(gc.callbacks)\ngc.callbacks.append(lambda *a: None)",
    "gc_garbage": "import gc\nn = len(gc.garbage)\ngc.garbage.append(0)",
    "threshold": "import gc\nt = gc.get_threshold()[0]\nn = 0 if t >= 700 else t\ngc.set_threshold(n + 1)",
    "atexit": "import atexit\nn = atexit._ncallbacks()\natexit.register(int)",
    "switch_interval": "import sys\ns = sys.getswitchinterval()\nn = 0 if s < 0.5 else round(s)\nsys.setswitchinterval(n + 1)",
    "recursion_limit": "import sys\nr = sys.getrecursionlimit()\nn = 0 if r == 50000 else r - 60000\nsys.setrecursionlimit(60000 + n + 1)",
    "int_digits": "import sys\nd = sys.get_int_max_str_digits()\nn = 0 if d == 50000 else d - 60000\nsys.set_int_max_str_digits(60000 + n + 1)",
    "hooks": "import sys\nn = getattr(sys.excepthook, 'n', 0)\ndef h(*a): pass\nh.n = n + 1\nsys.excepthook = h",
    "stream_attribute": "import sys\nn = getattr(sys.stdout, 'n', 0)\nsys.stdout.n = n + 1",
    "stream_replaced": "import sys, io\nclass S(io.StringIO): n = 0\nn = getattr(sys.stdin, 'n', 0)\nS.n = n + 1\nsys.stdin = S()",
    "string_template": "import string\nn = string.Template.__dict__.get('n', 0)\nstring.Template.n = n + 1",
    "abc_registry": "import collections.abc as c\nclass A: pass\nn = getattr(c.Sized, 'n', 0)\nc.Sized.n = n + 1",
    "typing_forwards": "import typing\nT = typing.Counter[int]\nimport collections\nn = getattr(collections.Counter, 'n', 0)\nT.n = n + 1",
    "enum_members": "import re\nn = re.RegexFlag._member_map_.get('n', 0)\nre.RegexFlag._member_map_['n'] = n + 1",
    "frame": "import sys\ng = sys._getframe().f_back.f_globals\nn = g.get('seen', 0)\ng['seen'] = n + 1",
    "generator_frame": "import heapq\ng = heapq.merge([1], [2]).gi_frame.f_globals\nn = g.get('seen', 0)\ng['seen'] = n + 1",
    "ctypes": "import ctypes\nn = getattr(ctypes.c_int, 'n', 0)\nctypes.c_int.n = n + 1",
    "finalizer": "import builtins\nclass A:\n    def __del__(self): builtins.n_seen = getattr(builtins, 'n_seen', 0) + 1\na = A(); a.a = a\nn = getattr(builtins, 'n_seen', 0)\ndel a\nimport gc; gc.collect()",
    # what the kernel keeps for a process or an open file
    "descriptor_flags": "import fcntl, os\nf = fcntl.fcntl(1, fcntl.F_GETFL)\nn = 2 if f & os.O_APPEND and f & os.O_NONBLOCK else 1 if f & os.O_NONBLOCK else 0\nfcntl.fcntl(1, fcntl.F_SETFL, f | (os.O_NONBLOCK if n == 0 else os.O_APPEND))",
    "file_mode": "import os\nm = os.fstat(1).st_mode & 3\nn = 0 if m == 3 else m\nos.fchmod(1, 0o700 | (n + 1))",
    "stdin_mode": "import os\nm = os.fstat(0).st_mode & 3\nn = 0 if m == 3 else m\nos.fchmod(0, 0o700 | (n + 1))",
    "file_time": "import os\ns = int(os.fstat(2).st_atime)\nn = s if s < 100 else 0\nos.utime(2, (n + 1, n + 1))",
    "offset": "import os\nn = os.lseek(2, 0, 1)\nos.lseek(2, n + 1, 0)",
    "kept_descriptor": "import os\nn = 0\nwhile True:\n    try: os.fstat(50 + n); n += 1\n    except OSError: break\nos.dup2(os.open('/dev/null', 0), 50 + n)",
    "umask": "import os\nm = os.umask(0)\nn = m if m < 9 else 0\nos.umask(n + 1)",
    "soft_limit": "import resource\ns, h = resource.getrlimit(resource.RLIMIT_CORE)\ns, h = resource.getrlimit(resource.RLIMIT_STACK)\nn = s % 4096\nresource.setrlimit(resource.RLIMIT_STACK, (s - s % 4096 + n + 1, h))",
    "process_name": "import ctypes\nl = ctypes.CDLL(None)\nb = ctypes.create_string_buffer(16)\nl.prctl(16, b)\nn = int(b.value[1:]) if b.value[:1] == b'#' else 0\nl.prctl(15, b'#%d' % (n + 1))",
    "nice": "import signal\nh = signal.getsignal(signal.SIGUSR1)\nn = getattr(h, 'n', 0)\ndef f(*a): pass\nf.n = n + 1\nsignal.signal(signal.SIGUSR1, f)",
    "timer": "import signal\nn = round(signal.getitimer(signal.ITIMER_REAL)[0] / 1000)\nsignal.setitimer(signal.ITIMER_REAL, 1000 * (n + 1))",
    "working_folder": "import os\nn = len(os.getcwd().split('d')) - 1\nos.mkdir('d'); os.chdir('d')",
    "thread": "import threading, time, sys\nn = sum(t.name == 'seen' for t in threading.enumerate())\nthreading.Thread(target=time.sleep, args=(3,), name='seen', daemon=True).start()",
    "stdin_seals": "import os\nn = os.fstat(0).st_blocks - 8 * -(-os.fstat(0).st_size // 4096)\ntry: os.posix_fallocate(0, 0, 4096)\nexcept OSError: pass\nn //= 8",
}

# What a program does at first, hoping for a second run in which its mark is there.
_FIRST_RUNS = {
    "wrong": ("print('NO')", 5.0),
    "crash": ("1 / 0", 5.0),
    "no_memory": ("bytearray(1 << 40)", 5.0),
    "leave": ("import os; os._exit(3)", 5.0),
    "abort": ("import os; os.abort()", 5.0),
    "burn": ("while True: pass", 0.4),
    "sleep": ("import time; time.sleep(60)", 0.4),
    "signal": ("import os; os.kill(os.getpid(), 40)", 5.0),
    "flood": ("while True: print('x' * 9999)", 5.0),
}
_MARKS = {
    "folder": ("random._os.mkdir('m')", "import random"),
    "file": ("open('m', 'x').close()", ""),
    "absolute": ("os.mkdir('/tmp/m')", "import os"),
    "link": ("os.symlink('x', 'm')", "import os"),
}

# Messages on every descriptor above 2, among which is the one on which the judge listens.
_FORGERIES = {
    "died": '{"status": "died", "detail": ""}',
    "ended": '{"status": "ended", "detail": ""}',
    "sandbox_error": '{"status": "sandbox error", "detail": "x"}',
    "bad_tests": '{"status": "bad tests", "detail": "x"}',
    "ready": '{"status": "ready", "detail": ""}',
    "cannot_start": '{"status": "cannot start", "detail": "x"}',
    "accepted": '{"status": "accepted", "detail": ""}',
    "no_detail": '{"status": "ok"}',
    "no_status": '{"detail": "x"}',
    "number_detail": '{"status": "ok", "detail": ' + "9" * 400 + "}",
    "number_of_5000": '{"status": "ok", "detail": ' + "9" * 3900 + "}",
    "infinite": '{"status": "runtime error", "detail": 1e999}',
    "not_a_number": '{"status": NaN, "detail": NaN}',
    "list_status": '{"status": ["ok"], "detail": ""}',
    "dict_status": '{"status": {}, "detail": ""}',
    "null_status": '{"status": null, "detail": null}',
    "true_status": '{"status": true, "detail": ""}',
    "tests": '{"tests": [], "more": false}',
    "ended_message": '{"ended": true}',
    "error_message": '{"error": "x"}',
    "cpu": '{"status": "ok", "detail": "", "cpu": -1}',
    "list": "[]",
    "nested": "[" * 4000,
    "closed_nested": "[" * 2000 + "]" * 2000,
    "empty_object": "{}",
    "text": "hello",
    "control": '{"status": "runtime error", "detail": "\\u001b]0;x\\u0007\\u202e\\ud800"}',
    "surrogates": '{"status": "\\ud800", "detail": ""}',
    "bytes": "\\xff\\xfe\\x00",
    "zero": "\\0" * 10,
    "two": '{"status": "ok", "detail": ""}{"status": "died", "detail": ""}',
    "long": "x" * 3000,
    "duplicate_keys": '{"status": "ok", "status": "died", "detail": ""}',
}
_FORGE = """
import os
def forge():
    for n in range(3, 256):
        try: os.write(n, {payload!r}.encode('latin-1', 'replace'))
        except OSError: pass
"""

_SIGNALS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 19, 24, 25, 31, 32, 33, 34, 35, 40, 50, 63, 64]

# Source that is hard to read for the compiler; all of it has to be over soon, as a syntax error or a failed test.
_SOURCES = {
    "parentheses": "x = {n}1{m}".format(n="(" * 100000, m=")" * 100000),
    "brackets": "x = " + "[" * 90000 + "]" * 90000,
    "minus": "x = " + "-" * 500000 + "1",
    "not": "x = " + "not " * 200000 + "1",
    "tildes": "x = " + "~" * 900000 + "1",
    "powers": "x = " + "2**" * 100000 + "1",
    "sums": "x = " + "1+" * 300000 + "1",
    "attributes": "x = x" + ".a" * 300000,
    "calls": "x = f" + "()" * 300000,
    "subscripts": "x = f" + "[0]" * 200000,
    "lambdas": "x = " + "lambda: " * 100000 + "1",
    "conditions": "x = " + "1 if 1 else " * 60000 + "1",
    "blocks": "\n".join(" " * i + "if 1:" for i in range(99)) + "\n" + " " * 99 + "pass",
    "functions": "\n".join(" " * i + "def f():" for i in range(900)) + "\n" + " " * 900 + "pass",
    "elifs": "if 0: pass\n" + "elif 0: pass\n" * 60000,
    "f_strings": "x = " + "f'{" * 200 + "1" + "}'" * 200,
    "dictionaries": "x = " + "{1:" * 50000 + "1" + "}" * 50000,
    "comprehensions": "x = " + "[0 for a in " * 5000 + "()" + "]" * 5000,
    "decorators": "@f\n" * 100000 + "def f(): pass",
    "arguments": "def f(" + ",".join(f"a{i}" for i in range(60000)) + "): pass",
    "long_number": "x = " + "9" * 900000,
    "hex_number": "x = 0x" + "f" * 900000,
    "folded_power": "x = " + "**".join(["9"] * 9),
    "folded_string": "x = 'a' * 4000 * 4000 * 4000",
    "folded_tuple": "x = ((0,) * 250) * 250",
    "shift": "x = 1 << 1 << 1 << 1000000000000",
    "names": "\n".join(f"a{i} = {i}" for i in range(50000)),
    "constants": "x = (" + ",".join(map(str, range(100000))) + ")",
    "strings": "x = " + "'a' " * 200000,
    "backslashes": "x = 1" + "\\\n" * 300000,
    "carriage_returns": "x = 1\r" * 200000,
    "zeros": "\0" * 1000,
    "only_a_bom": "\ufeff",
    "surrogate": "x = '\ud800'",
    "starred": "x = [" + "*" * 50000 + "a]",
    "walrus": "x = " + "(y := " * 50000 + "1" + ")" * 50000,
    "awaits": "async def f():\n    x = " + "await " * 90000 + "1",
    "patterns": "match 1:\n    case " + "[" * 50000 + "]" * 50000 + ": pass",
    "comparisons": "x = " + "1<" * 200000 + "1",
    "too_long": "#" * (3 << 20),
}

# Calls that reach beyond the program; each prints ESCAPED where it works.
_LEAKS = {
    "attach_filter": "import socket, struct, ctypes\na, b = socket.socketpair()\nf = struct.pack('HBBI', 6, 0, 0, 0xffffffff)\np = ctypes.create_string_buffer(f)\na.setsockopt(1, 26, struct.pack('HxxxxxxP', 1, ctypes.addressof(p)))",
    "send_buffer": "import socket\na, b = socket.socketpair()\na.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 26)",
    "receive_buffer": "import socket\na, b = socket.socketpair()\na.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 26)",
    "pass_credentials": "import socket\na, b = socket.socketpair()\na.setsockopt(socket.SOL_SOCKET, 16, 1)",
    "notify": "import fcntl, os\nfcntl.fcntl(os.open('/usr/lib', 0), fcntl.F_NOTIFY, fcntl.DN_ACCESS)",
    "lease": "import fcntl\nfcntl.fcntl(open(__import__('os').__file__), fcntl.F_SETLEASE, fcntl.F_RDLCK)",
    "flock": "import fcntl, os\nfcntl.flock(open(os.__file__), fcntl.LOCK_EX)",
    "flock_shared": "import fcntl, os\nfcntl.flock(open(os.__file__), fcntl.LOCK_SH | fcntl.LOCK_NB)",
    "flock_own": "import fcntl\nfcntl.flock(open('m', 'w'), fcntl.LOCK_EX)",
    "lockf": "import fcntl, os\nfcntl.lockf(open(os.__file__), fcntl.LOCK_SH | fcntl.LOCK_NB)",
    "get_lock": "import fcntl, os, struct\nfcntl.fcntl(open(os.__file__), fcntl.F_GETLK, struct.pack('hhqqi', fcntl.F_WRLCK, 0, 0, 0, 0) + bytes(8))",
    "open_description_lock": "import fcntl, os, struct\nfcntl.fcntl(open(os.__file__), 37, struct.pack('hhqqi', fcntl.F_RDLCK, 0, 0, 0, 0) + bytes(8))",
    "owner": "import fcntl, os\nfcntl.fcntl(0, fcntl.F_SETOWN, os.getppid())",
    "signal_of_io": "import fcntl\nfcntl.fcntl(0, fcntl.F_SETSIG, 9)",
    "pipe_size": "import fcntl, os\nfcntl.fcntl(os.pipe()[1], 1031, 1 << 20)",
    "seals": "import fcntl\nfcntl.fcntl(1, 1033, 1)",
    "write_hint": "import fcntl, struct\nfcntl.fcntl(0, 1036, struct.pack('Q', 1))",
    "statvfs": "import os\nos.statvfs('/usr/lib')",
    "fstatvfs": "import os\nos.fstatvfs(os.open('/usr/lib', 0))",
    "disk_usage": "import shutil\nshutil.disk_usage('/')",
    "memfd": "import os\nos.memfd_create('x')",
    "merge_pages": "import mmap\nmmap.mmap(-1, 1 << 20).madvise(12)",
    "page_out": "import mmap\nmmap.mmap(-1, 1 << 20).madvise(21)",
    "hardware_poison": "import mmap\nmmap.mmap(-1, 4096).madvise(100)",
    "packet_pair": "import socket\nsocket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)[0].connect('\\0x')",
    "name_of_host": "import socket\nsocket.gethostbyname('localhost')",
    "read_dev_stdin_of_others": "print(open('/io/stdout').read())",
    "write_io": "open('/io/x', 'w').write('x')",
    "dist_packages": "import os\n[1][len(os.listdir('/usr/lib/python3/dist-packages')) == 0]\nos.listdir('/usr/lib/python3/dist-packages')[0]",
    "proc_through_link": "import os\nos.symlink('/proc/1/root', 'r'); os.listdir('r')",
}

# The official runner lets a program outlast its alarm; here its CPU seconds count.
_BURN = "import time\nbegin = time.process_time()\nwhile time.process_time() - begin < 2.5: pass\n"
_OUTLASTING = {
    "alarm_off": "import signal\nsignal.alarm(0)\n",
    "timer_off": "import signal\nsignal.setitimer(signal.ITIMER_REAL, 0)\n",
    "ignored": "import signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\n",
    "own_handler": "import signal\nsignal.signal(signal.SIGALRM, lambda *a: None)\n",
    "blocked": "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])\n",
    "later": "import signal\nsignal.alarm(100)\n",
}
_THREADS = "import threading, time\ndef burn():\n    begin = time.thread_time()\n    while time.thread_time() - begin < {each}: pass\nts = [threading.Thread(target=burn) for _ in range({count})]\nfor t in ts: t.start()\nfor t in ts: t.join()\n"

_CHECKER = """
import os, sys
given, expected, output = (open(name).read() for name in sys.argv[1:4])
word = output.split()[0] if output.split() else ""
if word.startswith("exit"): sys.exit(int(word[4:]))
if word == "die": os.abort()
if word == "raise": raise ValueError("exit code 3")
if word == "echo": print(output[5:]); sys.exit(0)
if word == "loop":
    while True: pass
if word == "eat": x = bytearray(1 << 40)
print(1 if output.split() == expected.split() else 0)
"""
_CHECKED = [
    "exit1",
    "exit3",
    "exit255",
    "exit-1",
    "die",
    "raise",
    "loop",
    "eat",
    "echo 0",
    "echo no",
    "echo -1",
    "echo nan",
]

_CPP = {
    "template_depth": "template<int n> struct A { static const int v = A<n - 1>::v + A<n - 2>::v; };\nint main() { return A<900000>::v; }",
    "template_width": "template<int d, int n> struct A { A<d - 1, 2 * n> a; A<d - 1, 2 * n + 1> b; };\ntemplate<int n> struct A<0, n> { char c; };\nA<24, 0> x; int main() {}",
    "includes_itself": '#include "solution.cpp"\nint main() {}',
    "includes_zero": '#include "/dev/zero"\nint main() {}',
    "includes_random": '#include "/dev/urandom"\nint main() {}',
    "macros": "#define A x x x x x x x x x x\n#define B A A A A A A A A A A\n#define C B B B B B B B B B B\n#define D C C C C C C C C C C\n#define E D D D D D D D D D D\n#define F E E E E E E E E E E\n#define G F F F F F F F F F F\nG",
    "constant_loop": "constexpr int f(int n) { int s = 0; for (int i = 0; i < 2000000000; i++) for (int j = 0; j < n; j++) s ^= i * j; return s; }\nconstexpr int x = f(2000000000); int main() {}",
    "large_executable": "char a[300 << 20] = {1}; int main() { return a[5]; }",
    "error_flood": "template<class T> void f(T t) { f(&t); }\nint main() { f(1); }",
    "asm_incbin": 'asm(".incbin \\"/etc/passwd\\""); int main() {}',
    "asm_repeat": 'asm(".rept 100000000\\n.quad 1\\n.endr"); int main() {}',
}
_CPP_RUNS = {
    "counts_runs": '#include <cstdio>\nint main() { FILE* f = fopen("m", "a"); fputc(\'x\', f); printf("%ld", ftell(f)); }',
    "counts_in_links": '#include <cstdio>\n#include <sys/stat.h>\nint main() { struct stat s; stat(".", &s); printf("%ld", (long)s.st_nlink - 1); char n[9]; sprintf(n, "d%ld", (long)s.st_nlink); mkdir(n, 0700); }',
    "counts_in_mode": '#include <cstdio>\n#include <sys/stat.h>\nint main() { struct stat s; fstat(1, &s); int n = s.st_mode & 3; if (n == 3) n = 0; fchmod(1, 0700 | (n + 1)); printf("%d", n + 1); }',
    "signal_40": "#include <csignal>\nint main() { raise(40); }",
    "bad_alloc_text": '#include <cstdio>\nint main() { fputs("std::bad_alloc", stderr); return 1; }',
}
COUNTS = [("a", "1"), ("a", "2"), ("a", "3")]
COUNT_PRINT = "\nprint(n + 1)\n"


def counting(name: str) -> str:
    """A program that prints how often it was run, where it can remember."""
    return _MEMORIES[name] + COUNT_PRINT


def memories() -> list[str]:
    return list(_MEMORIES)


def _remembering() -> list[Bending]:
    found = [Bending(f"remembers_{name}", counting(name), COUNTS) for name in _MEMORIES]
    for name, body in _MEMORIES.items():
        inside = textwrap.indent(body, "    ")
        function = f"def f(x):\n{inside}\n    return n + 1\n"
        if name in ("open", "math", "class_attribute", "re_cache", "builtins", "modules", "folder_links", "umask"):
            found.append(Bending(f"function_remembers_{name}", function, COUNTS_OF_FUNCTIONS, fn_name="f"))
    found.append(
        Bending(
            "function_global",
            "n = 0\ndef f(x):\n    global n\n    n += 1\n    return n\n",
            COUNTS_OF_FUNCTIONS,
            fn_name="f",
        )
    )
    found.append(
        Bending(
            "function_cache",
            "seen = []\ndef f(x):\n    seen.append(x)\n    return len(seen)\n",
            COUNTS_OF_FUNCTIONS,
            fn_name="f",
        )
    )
    found.append(
        Bending(
            "class_cache",
            "class Solution:\n    n = 0\n    def f(self, x):\n        Solution.n += 1\n        return self.n\n",
            COUNTS_OF_FUNCTIONS,
            fn_name="f",
        )
    )
    return found


COUNTS_OF_FUNCTIONS = [("1", "1"), ("1", "2"), ("1", "3")]


def _second_chances() -> list[Bending]:
    found = []
    for first, (action, seconds) in _FIRST_RUNS.items():
        for mark, (make, imports) in _MARKS.items():
            code = f"{imports}\ntry:\n    {make}\nexcept OSError:\n    print('YES')\nelse:\n    {action}\n"
            found.append(Bending(f"second_chance_{first}_{mark}", code, [("", "YES")], seconds=seconds))
    return found


def _forging() -> list[Bending]:
    found = []
    for name, payload in _FORGERIES.items():
        forge = _FORGE.format(payload=payload)
        found.append(Bending(f"forged_{name}", f"{forge}forge()\n", [("1", "2")]))
        found.append(
            Bending(f"forged_and_left_{name}", f"{forge}forge()\nos._exit(1)\n", [("1", "2")], mode="lcb-compat")
        )
        function = f"{forge}class Solution:\n    def f(self, x):\n        forge()\n        return 7\n"
        found.append(Bending(f"function_forged_{name}", function, [("1", "2"), ("1", "2")], fn_name="f"))
    return found


def suite() -> list[Bending]:
    """All of them."""
    found = _remembering() + _second_chances() + _forging()
    found += [
        Bending(f"signal_{n}", f"import os, time\nos.kill(os.getpid(), {n})\ntime.sleep(0.05)\n", [("1", "2")])
        for n in _SIGNALS
    ]
    found += [
        Bending(
            f"signal_{n}_compat",
            f"import os\nos.kill = __import__('signal').raise_signal\nos.kill({n})\n",
            [("1", "2")],
            mode="lcb-compat",
        )
        for n in _SIGNALS[::4]
    ]
    found += [
        Bending(f"source_{name}", f"{code}\nprint('held')\n", [("1", "2")], slow=True)
        for name, code in _SOURCES.items()
    ]
    found += [
        Bending(f"source_{name}_compat", f"{code}\n", [("1", "2")], mode="lcb-compat", slow=True)
        for name, code in list(_SOURCES.items())[::3]
    ]
    found += [
        Bending(
            f"leak_{name}",
            "try:\n"
            + textwrap.indent(code, "    ")
            + "\n    print('ESCAPED')\nexcept BaseException as e:\n    print('held', type(e))\n",
            [("", "ESCAPED")],
        )
        for name, code in _LEAKS.items()
    ]
    for mode in ("script", "lcb-compat", "lcb-compat-2025-05"):
        found += [
            Bending(f"outlasts_{name}_{mode}", f"{code}{_BURN}print(1)\n", [("", "1")], mode=mode, seconds=1.0)
            for name, code in _OUTLASTING.items()
        ]
        found.append(
            Bending(
                f"outlasts_threads_{mode}",
                _THREADS.format(each=0.7, count=4) + "print(1)\n",
                [("", "1")],
                mode=mode,
                seconds=1.0,
            )
        )
        caught = (
            f"try:\n{textwrap.indent(_BURN, '    ')}except BaseException:\n{textwrap.indent(_BURN, '    ')}print(1)\n"
        )
        found.append(Bending(f"outlasts_caught_{mode}", caught, [("", "1")], mode=mode, seconds=1.0))
    found += [
        Bending(f"checker_{word.replace(' ', '_')}", f"print({word!r})", [("", "1")], checker=_CHECKER, seconds=1.0)
        for word in _CHECKED
    ]
    found += [
        Bending(f"compiler_{name}", code, [("", "held")], language="c++17", slow=True) for name, code in _CPP.items()
    ]
    found += [Bending(f"cpp_{name}", code, COUNTS, language="c++17") for name, code in _CPP_RUNS.items()]
    return found
