# ruff: noqa: E501  programs stand on one line, as strings
"""Programs that attack the judge. Each prints ESCAPED where its attack works, which is what its test expects to see:
so a program that is accepted has escaped. Nothing here does harm outside a sandbox that leaks, beyond using time,
memory and files below a folder named in CANARY.
"""

import textwrap

SECRET = "the-expected-output-4711"
CANARY = "/tmp/evalkit-attack-canary"

_CALL = """
import ctypes, os, sys, errno
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    result = libc.syscall(ctypes.c_long(number), *arguments)
    return result if result >= 0 else -ctypes.get_errno()
"""


def _try(statement: str, imports: str = "import os") -> str:
    """ESCAPED unless the statement raises."""
    body = textwrap.indent(textwrap.dedent(statement).strip(), "    ")
    return f"{imports}\ntry:\n{body}\n    print('ESCAPED')\nexcept BaseException as error:\n    print('held', error)\n"


def _call(expression: str) -> str:
    """ESCAPED where a raw system call succeeds (a test `value >= 0` on its result)."""
    return f"{_CALL}\nvalue = {expression}\nprint('ESCAPED' if value >= 0 else 'held %d' % value)\n"


_SOCKETS = {
    "inet_tcp": (2, 1),
    "inet_udp": (2, 2),
    "inet_raw": (2, 3),
    "inet6": (10, 1),
    "unix": (1, 1),
    "netlink": (16, 3),
    "packet": (17, 3),
    "alg": (38, 5),
    "vsock": (40, 1),
    "bluetooth": (31, 3),
}

_RAW_CALLS = {
    "io_uring_setup": "call(425, 8, ctypes.create_string_buffer(256))",
    "userfaultfd": "call(323, 0)",
    "keyctl_new_keyring": "call(250, 1, b'k')",
    "add_key": "call(248, b'user', b'a', b'b', 1, -3)",
    "request_key": "call(249, b'user', b'a', None, -3)",
    "mount_tmpfs": "call(165, b't', b'/tmp', b'tmpfs', 0, None)",
    "umount_root": "call(166, b'/', 2)",
    "pivot_root": "call(155, b'/tmp', b'/tmp')",
    "chroot": "call(161, b'/tmp')",
    "open_tree": "call(428, -100, b'/', 0x1 | 0x80000)",
    "fsopen": "call(430, b'tmpfs', 0)",
    "unshare_user": "call(272, 0x10000000)",
    "unshare_mount": "call(272, 0x20000)",
    "clone_new_user": "call(56, 0x10000000 | 17, None, None, None, None)",
    "clone3": "call(435, (ctypes.c_uint64 * 11)(0x10000000), 88)",
    "setns": "call(308, 0, 0)",
    "bpf": "call(321, 0, ctypes.create_string_buffer(128), 128)",
    "perf_event_open": "call(298, ctypes.create_string_buffer(128), 0, -1, -1, 0)",
    "ptrace_traceme": "call(101, 0, 0, 0, 0)",
    "ptrace_attach_parent": "call(101, 16, os.getppid(), 0, 0)",
    "ptrace_seize_one": "call(101, 0x4206, 1, 0, 0)",
    "process_vm_readv": "call(310, 1, None, 0, None, 0, 0)",
    "process_vm_writev": "call(311, 1, None, 0, None, 0, 0)",
    "pidfd_open_parent": "call(434, 1, 0)",
    "pidfd_getfd": "call(438, 0, 0, 0)",
    "kcmp": "call(312, 1, os.getpid(), 0, 0, 0)",
    "shmget": "call(29, 0, 4096, 0o1600)",
    "semget": "call(64, 0, 1, 0o1600)",
    "msgget": "call(68, 0, 0o1600)",
    "mq_open": "call(240, b'q', 0o102, 0o600, None)",
    "memfd_create": "call(319, b'm', 0)",
    "inotify_init": "call(294, 0)",
    "fanotify_init": "call(300, 0, 0)",
    "name_to_handle_at": "call(303, -100, b'/', ctypes.create_string_buffer(128), ctypes.create_string_buffer(8), 0)",
    "open_by_handle_at": "call(304, -100, ctypes.create_string_buffer(128), 0)",
    "init_module": "call(175, b'x', 1, b'')",
    "reboot": "call(169, 0xfee1dead, 672274793, 0, None)",
    "sethostname": "call(170, b'x', 1)",
    "settimeofday": "call(164, ctypes.create_string_buffer(16), None)",
    "swapon": "call(167, b'/tmp/x', 0)",
    "acct": "call(163, b'/tmp/x')",
    "setuid_root": "call(105, 0)",
    "setgroups": "call(116, 0, None)",
    "capset_all": "call(126, (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(*[0xffffffff] * 6))",
    "personality": "call(135, 0x0040000)",
    "prctl_dumpable": "call(157, 4, 1, 0, 0, 0)",
    "prctl_subreaper": "call(157, 36, 1, 0, 0, 0)",
    "prlimit_of_supervisor": "call(302, 1, 0, (ctypes.c_uint64 * 2)(0, 0), None)",
    "sched_setaffinity_supervisor": "call(203, 1, 8, (ctypes.c_uint64 * 1)(1))",
    "ioprio_set": "call(251, 1, 1, 0)",
    "tiocsti": "call(16, 0, 0x5412, b'x')",
    "quotactl": "call(179, 0, None, 0, None)",
    "splice_vmsplice": "call(278, 1, None, 0, 0)",
    "landlock_create": "call(444, None, 0, 1)",
    "seccomp_user_notification": "call(317, 1, 8, None)",
    "fork_call": "call(57)",
    "vfork_call": "call(58)",
    "clone_process": "call(56, 17, None, None, None, None)",
    "execve_python": "call(59, sys.executable.encode(), None, None)",
    "execveat": "call(322, 0, b'', None, None, 0x1000)",
}

_PLAIN = {
    "fork_os": _try("os.fork()"),
    "fork_bomb": "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        print('held'); break\n",
    "subprocess": _try("subprocess.run(['/bin/true'])", "import subprocess"),
    "popen_shell": _try("os.popen('id').read().strip() or 1 / 0"),
    "exec_shell": _try("os.execv('/bin/sh', ['sh', '-c', 'echo ESCAPED'])"),
    "exec_setuid_su": _try("os.execv('/usr/bin/su', ['su'])"),
    "multiprocessing": _try(
        "p = multiprocessing.get_context('fork').Process(target=print); p.start(); p.join()", "import multiprocessing"
    ),
    "daemon": "import os\ntry:\n    if os.fork() == 0:\n        os.setsid()\n        while True: pass\n    print('ESCAPED')\n"
    "except OSError:\n    print('held')\n",
    "read_passwd": _try("open('/etc/passwd').read()"),
    "read_shadow": _try("open('/etc/shadow').read()"),
    "read_root_home": _try("os.listdir('/root/.ssh')"),
    "list_homes": _try("os.listdir('/home')[0]"),
    "list_root": "import os\nprint('held' if set(os.listdir('/')) & {'etc', 'home', 'var', 'proc', 'sys'} <= {'etc'} else 'ESCAPED')",
    "etc_is_bare": "import os\nprint('ESCAPED' if os.path.isdir('/etc') and set(os.listdir('/etc')) - {'ld.so.cache'} else 'held')",
    "canary_read": _try(f"open('{CANARY}/file').read()"),
    "canary_write": _try(f"open('{CANARY}/file', 'w').write('x')"),
    "canary_chmod": _try(f"os.chmod('{CANARY}/file', 0o777)"),
    "canary_unlink": _try(f"os.unlink('{CANARY}/file')"),
    "canary_symlink": _try(f"os.symlink('{CANARY}/file', '/tmp/l'); open('/tmp/l').read()"),
    "canary_hardlink": _try(f"os.link('{CANARY}/file', '/tmp/h')"),
    "dot_dot": _try(f"os.chdir('/'); open('../../../../{CANARY}/file').read()"),
    "write_root": _try("open('/x', 'w')"),
    "write_interpreter": _try("open(os.__file__, 'a').write('#')"),
    "chmod_interpreter": _try("os.chmod(os.__file__, 0o777)"),
    "chown_interpreter": _try("os.chown(os.__file__, os.getuid(), os.getgid())"),
    "utime_interpreter": _try("os.utime(os.__file__)"),
    "rename_interpreter": _try("os.rename(os.__file__, os.__file__ + 'x')"),
    "link_interpreter": _try("os.link(os.__file__, '/tmp/h'); open('/tmp/h', 'a').write('#')"),
    "setxattr_interpreter": _try("os.setxattr(os.__file__, 'user.a', b'b')"),
    "mknod": _try("os.mknod('/tmp/d', 0o60666, os.makedev(254, 0)); open('/tmp/d', 'rb').read(1)", "import os"),
    "device_disk": _try("open('/dev/vda', 'rb').read(1)"),
    "device_memory": _try("open('/dev/mem', 'rb').read(1)"),
    "device_tty": _try("open('/dev/tty', 'w').write('x')"),
    "device_shm": _try("open('/dev/shm/evalkit', 'w').write('x')"),
    "proc_self_environ": _try("open('/proc/self/environ').read()"),
    "proc_parent_memory": _try("open(f'/proc/{os.getppid()}/mem', 'rb').read(1)"),
    "proc_parent_fds": _try("os.listdir(f'/proc/{os.getppid()}/fd')"),
    "proc_root_escape": _try("os.listdir('/proc/1/root')"),
    "sys_files": _try("os.listdir('/sys')[0]"),
    "environment": "import os\nprint('ESCAPED' if any('SECRET' in k for k in os.environ) else 'held')",
    "environment_in_memory": _CALL
    + "environ = ctypes.POINTER(ctypes.c_char_p).in_dll(libc, 'environ')\ni = 0\nfound = False\n"
    "while environ[i]:\n    found |= b'EVALKIT_ATTACK_SECRET' in environ[i]\n    i += 1\nprint('ESCAPED' if found else 'held')\n",
    "see_processes": "import os\nfound = 0\nfor pid in range(1, 40000):\n    try:\n        os.kill(pid, 0)\n        found += pid not in (1, os.getpid())\n"
    "    except ProcessLookupError:\n        pass\n    except PermissionError:\n        found += 1\nprint('ESCAPED' if found else 'held')\n",
    "kill_parent": "import os, signal, time\nfor s in range(1, 65):\n    if s not in (17, 18, 23, 28):\n        try: os.kill(os.getppid(), s)\n        except OSError: pass\n"
    "time.sleep(0.05)\nprint('ESCAPED' if os.getppid() != 1 and os.getppid() != 0 else 'held')\n",
    "kill_everything": "import os\ntry:\n    os.kill(-1, 9)\nexcept OSError as e:\n    print('held', e)\n",
    "kill_group": "import os\nos.killpg(0, 9)\n",
    "stop_parent": "import os, signal\nos.kill(os.getppid(), signal.SIGSTOP)\nprint('held')\n",
    "open_descriptors": "import os\nfound = []\nfor n in range(3, 4096):\n    try:\n        os.fstat(n); found.append(n)\n    except OSError: pass\n"
    "import stat\nprint('ESCAPED' if any(stat.S_ISSOCK(os.fstat(n).st_mode) for n in found) else 'held')\n",
    "descriptors_full": _try("x = [open('/dev/null') for _ in range(100000)]", ""),
    "secret_in_frames": "import sys\nf = sys._getframe()\nseen = []\nwhile f:\n    seen += [v for d in (f.f_locals, f.f_globals) for v in list(d.values()) if isinstance(v, str)]\n    f = f.f_back\n"
    "print('ESCAPED' if any('expected-output' in v and 'seen' not in v for v in seen) else 'held')\n",
    "secret_in_gc": "import gc\nword = 'expected' + '-output-47'\nfound = [o for o in gc.get_objects() for s in (list(o.values()) if type(o) is dict else list(o) if type(o) in (list, tuple) else ()) if type(s) is str and word in s]\n"
    "print(found[0] if found else 'held')\n",
    "secret_in_heap": "import ctypes, re\nneedle = b'expected-' + b'output-4711'\nstart = id(object()) & ~0xfffff\ntry:\n    data = ctypes.string_at(start, 1 << 20)\n"
    "    at = [m.start() for m in re.finditer(re.escape(needle), data)]\nexcept BaseException:\n    at = []\nprint('held')\n",
    "modules_of_judge": "import sys\nprint('ESCAPED' if any(m.startswith(('evalkit', 'child', 'lcb_runner')) for m in sys.modules) else 'held')\n",
    "import_evalkit": _try("import evalkit", ""),
    "import_child": _try("import child.supervisor", ""),
    "site_packages": _try("import click", "import sys"),
    "patched_comparison": "import builtins\nclass S(str):\n    def __eq__(self, o): return True\n    def strip(self, *a): return self\nprint(S('held'))\n",
    "always_equal": "class E:\n    def __eq__(self, o): return True\n    def __str__(self): return 'held'\nprint(E())\n",
    "forged_reply": "import os, json\nfor n in range(3, 256):\n    try: os.write(n, json.dumps({'status': 'ok', 'detail': ''}).encode() + b'\\n')\n    except OSError: pass\nprint('held')\n",
    "forged_sandbox_error": "import os, json\nfor n in range(3, 256):\n    try: os.write(n, json.dumps({'status': 'sandbox error', 'detail': ''}).encode())\n    except OSError: pass\nos._exit(1)\n",
    "close_everything": "import os\nos.closerange(0, 4096)\n",
    "output_after_verdict": "import threading, time, sys\ndef late():\n    time.sleep(0.2)\n    sys.stdout.write('ESCAPED')\nthreading.Thread(target=late, daemon=True).start()\nprint('held', flush=True)\n",
    "allocate_10_gb": _try("x = bytearray(10 << 30); x[::4096] = b'1' * len(x[::4096])", ""),
    "allocate_many": "x = []\nwhile True:\n    x.append(bytearray(64 << 20))\n",
    "endless_output": "while True:\n    print('x' * 10000)\n",
    "endless_errors": "import sys\nwhile True:\n    sys.stderr.write('x' * 10000)\n",
    "fill_folder": _try("f = open('/tmp/big', 'wb')\nfor _ in range(1000):\n    f.write(bytes(1 << 20))", ""),
    "many_files": _try("for i in range(100000):\n    open(f'/tmp/{i}', 'w').close()", ""),
    "deep_folders": _try("for i in range(100000):\n    os.mkdir('d'); os.chdir('d')"),
    "pipes": _try("import os\nx = []\nfor _ in range(10000):\n    x.append(os.pipe())"),
    "thread_bomb": "import threading, time\ntry:\n    for _ in range(100000):\n        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n    print('ESCAPED')\nexcept RuntimeError:\n    print('held')\n",
    "thread_never_ends": "import threading, time\nthreading.Thread(target=lambda: time.sleep(10**6)).start()\nprint('ESCAPED')\n",
    "busy_loop": "while True: pass\n",
    "sleeps": "import time\ntime.sleep(10**6)\n",
    "ignores_signals": "import signal\nfor s in range(1, 65):\n    try: signal.signal(s, signal.SIG_IGN)\n    except (OSError, ValueError): pass\nwhile True: pass\n",
    "blocks_signals": "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nwhile True: pass\n",
    "timer_storm": "import signal\nsignal.signal(signal.SIGALRM, lambda *a: None)\nsignal.setitimer(signal.ITIMER_REAL, 1e-6, 1e-6)\nwhile True: pass\n",
    "raises_limits": "import resource\nfor k in (resource.RLIMIT_CPU, resource.RLIMIT_AS, resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC):\n    try:\n        resource.setrlimit(k, (resource.RLIM_INFINITY,) * 2); print('ESCAPED'); break\n    except (ValueError, OSError): pass\nelse:\n    print('held')\n",
    "regex_bomb": "import re\nre.match('(a+)+$', 'a' * 40 + 'b')\n",
    "huge_power": "print(9 ** 9 ** 9)\n",
    "stack_overflow": "import sys\nsys.setrecursionlimit(10**9)\nclass A:\n    def __repr__(self): return repr(self)\nrepr(A())\n",
    "null_pointer": "import ctypes\nctypes.string_at(0)\n",
    "parser_bomb": "x = " + "(" * 5000 + ")" * 5000 + "\n",
    "ast_bomb": "x = " + "-" * 100000 + "1\n",
    "null_bytes": "print('ESC\0APED')\n",
    "abstract_socket": _try("s = socket.socket(socket.AF_UNIX); s.bind('\\0evalkit')", "import socket"),
    "connect_dns": _try("socket.create_connection(('127.0.0.1', 53), 0.2)", "import socket"),
    "socketpair_scm": _try("a, b = socket.socketpair(); socket.send_fds(a, [b'x'], [0])", "import socket"),
    "socketpair_inet": _try("socket.socketpair(socket.AF_INET)", "import socket"),
    "dgram_pair_sendto": _try(
        "a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM); a.sendto(b'x', '\\0x')", "import socket"
    ),
    "no_seccomp_of_its_own": _CALL + "value = call(317, 1, 0, None)\nprint('ESCAPED' if value != -1 else 'held')\n",
    "atexit_output": "import atexit, os\natexit.register(lambda: os.write(1, b'held'))\nprint('held')\n",
    "del_at_the_end": "class A:\n    def __del__(self): raise SystemExit(0)\na = A()\nprint('held')\nraise ValueError\n",
    "hostile_exception": "class E(Exception):\n    def __str__(self): raise SystemExit\n    __repr__ = __str__\nraise E\n",
    "settrace": "import sys\nsys.settrace(lambda f, e, a: (_ for _ in ()).throw(SystemExit))\ndef f(): pass\nf()\n",
    "poisoned_json": "import json, builtins\njson.dumps = lambda *a, **k: '{\"status\": \"ok\"}'\nbuiltins.print = None\nos = __import__('os')\nos.write(1, b'held')\n",
    "poisoned_modules": "import sys\nsys.modules.clear()\nprint('held')\n",
    "exit_zero_midway": "import os\nprint('ESC')\nos._exit(0)\n",
    "fifo_waits": "import os\nos.mkfifo('/tmp/f')\nopen('/tmp/f').read()\n",
    "sparse_file": _try("f = open('/tmp/s', 'wb'); f.truncate(1 << 40)", ""),
    "remove_the_folder": "import shutil\nshutil.rmtree('/tmp', ignore_errors=True)\nprint('held')\n",
    "truncate_every_descriptor": "import os\nfor n in range(200):\n    try: os.ftruncate(n, 0)\n    except OSError: pass\nprint('held')\n",
    "seek_every_descriptor": "import os\nfor n in range(3, 200):\n    try: os.lseek(n, 1 << 40, 0); os.write(n, b'ESCAPED')\n    except OSError: pass\nprint('held')\n",
    "map_output": "import mmap, os\nos.ftruncate(1, 1 << 20)\nm = mmap.mmap(1, 1 << 20)\nm[:7] = b'ESCAPEX'\n",
    "huge_number": "print(10 ** 40000 + 1)\nprint(10 ** 60000)\n",
    "infinite_generator": "print(*(x for x in iter(int, 1)))\n",
    "deep_pickle": "import pickle\nx = []\nfor _ in range(10 ** 6): x = [x]\npickle.dumps(x)\n",
    "x32_calls": _CALL + "value = call(0x40000000 + 57)\nprint('ESCAPED' if value >= 0 else 'held')\n",
}

_CPP = {
    "cpp_fork": "#include <unistd.h>\n#include <cstdio>\nint main(){ puts(fork() >= 0 ? \"ESCAPED\" : \"held\"); }",
    "cpp_socket": "#include <sys/socket.h>\n#include <cstdio>\nint main(){ puts(socket(AF_INET, SOCK_STREAM, 0) >= 0 ? \"ESCAPED\" : \"held\"); }",
    "cpp_memory": "#include <cstdlib>\n#include <cstring>\nint main(){ for (;;) { void* p = malloc(1 << 26); if (!p) abort(); memset(p, 1, 1 << 26); } }",
    "cpp_include_secret": f"#include \"{CANARY}/file\"\n#include <cstdio>\nint main(){{ puts(\"ESCAPED\"); }}",
    "cpp_constructor_fork": "#include <unistd.h>\n#include <cstdio>\n__attribute__((constructor)) void early(){ if (fork() >= 0) puts(\"ESCAPED\"); }\nint main(){}",
    "cpp_raw_socket": "#include <cstdio>\nint main(){ long r; asm volatile(\"syscall\" : \"=a\"(r) : \"a\"(41L), \"D\"(2L), \"S\"(1L), \"d\"(0L) : \"rcx\", \"r11\", \"memory\"); puts(r >= 0 ? \"ESCAPED\" : \"held\"); }",
    "cpp_include_passwd": "#include \"/etc/passwd\"\nint main(){}",
    "cpp_include_stdin": "#include \"/dev/stdin\"\n#include <cstdio>\nint main(){ puts(\"held\"); }",
    "cpp_passwd": "#include <fstream>\n#include <iostream>\nint main(){ std::ifstream f(\"/etc/passwd\"); std::cout << (f ? \"ESCAPED\" : \"held\"); }",
}  # fmt: skip


def attacks() -> dict[str, tuple[str, str]]:
    """name: (language, code)."""
    found = {name: ("python", code) for name, code in _PLAIN.items()}
    found |= {f"call_{name}": ("python", _call(expression)) for name, expression in _RAW_CALLS.items()}
    found |= {
        f"socket_{name}": ("python", _try(f"socket.socket({family}, {kind})", "import socket"))
        for name, (family, kind) in _SOCKETS.items()
    }
    return found | {name: ("c++17", code) for name, code in _CPP.items()}
