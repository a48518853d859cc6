"""The system-call filters: an allow-list for everything in the jail, and a second, smaller one for each program."""

import functools
import platform
import struct

# name:number on x86_64:number on aarch64; an empty number is a call which that architecture does not have
_TABLE = """
read:0:63 write:1:64 readv:19:65 writev:20:66 pread64:17:67 pwrite64:18:68 preadv:295:69 pwritev:296:70
preadv2:327:286 pwritev2:328:287 lseek:8:62 close:3:57 close_range:436:436 dup:32:23 dup2:33: dup3:292:24 open:2:
openat:257:56 creat:85: stat:4: lstat:6: fstat:5:80 newfstatat:262:79 statx:332:291 access:21: faccessat:269:48
faccessat2:439:439 readlink:89: readlinkat:267:78 getcwd:79:17 chdir:80:49 fchdir:81:50 getdents:78:
getdents64:217:61 mkdir:83: mkdirat:258:34 rmdir:84: unlink:87: unlinkat:263:35 rename:82: renameat:264:38
renameat2:316:276 link:86: linkat:265:37 symlink:88: symlinkat:266:36 truncate:76:45 ftruncate:77:46 chmod:90:
fchmod:91:52 fchmodat:268:53 umask:95:166 utimensat:280:88 statfs:137:43 fstatfs:138:44 fsync:74:82 fdatasync:75:83
fadvise64:221:223 fallocate:285:47 flock:73:32 copy_file_range:326:285 sendfile:40:71 pipe:22: pipe2:293:59 poll:7:
ppoll:271:73 select:23: pselect6:270:72 epoll_create:213: epoll_create1:291:20 epoll_ctl:233:21 epoll_wait:232:
epoll_pwait:281:22 eventfd:284: eventfd2:290:19 timerfd_create:283:85 timerfd_settime:286:86 timerfd_gettime:287:87
mmap:9:222 munmap:11:215 mremap:25:216 mprotect:10:226 madvise:28:233 mincore:27:232 mlock:149:228 munlock:150:229
msync:26:227 brk:12:214 rt_sigaction:13:134 rt_sigprocmask:14:135 rt_sigreturn:15:139 rt_sigpending:127:136
rt_sigsuspend:130:133 rt_sigtimedwait:128:137 sigaltstack:131:132 pause:34: alarm:37: setitimer:38:103
getitimer:36:102 timer_create:222:107 timer_settime:223:110 timer_gettime:224:108 timer_delete:226:111
timer_getoverrun:225:109 nanosleep:35:101 clock_nanosleep:230:115 clock_gettime:228:113 clock_getres:229:114
gettimeofday:96:169 time:201: times:100:153 kill:62:129 tgkill:234:131 tkill:200:130 getpid:39:172 gettid:186:178
getppid:110:173 getpgrp:111: getpgid:121:155 getsid:124:156 getuid:102:174 geteuid:107:175 getgid:104:176
getegid:108:177 getresuid:118:148 getresgid:120:150 getgroups:115:158 futex:202:98 set_robust_list:273:99
get_robust_list:274:100 set_tid_address:218:96 rseq:334:293 membarrier:324:283 sched_yield:24:124
sched_getaffinity:204:123 sched_getparam:143:121 sched_getscheduler:145:120 sched_get_priority_max:146:125
sched_get_priority_min:147:126 getpriority:140:141 getcpu:309:168 arch_prctl:158: exit:60:93 exit_group:231:94
restart_syscall:219:128 wait4:61:260 waitid:247:95 getrlimit:97:163 setrlimit:160:164 prlimit64:302:261
getrusage:98:165 sysinfo:99:179 uname:63:160 getrandom:318:278 capget:125:90 ioctl:16:29 fcntl:72:25 prctl:157:167
clone:56:220 fork:57: vfork:58: execve:59:221 execveat:322:281 seccomp:317:277 socketpair:53:199 sendto:44:206
recvfrom:45:207 sendmsg:46:211 recvmsg:47:212 shutdown:48:210 getsockname:51:204 getsockopt:55:209 setsockopt:54:208
pidfd_open:434:434 memfd_create:319:279
"""
_COLUMN = {"x86_64": 1, "aarch64": 2}
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_EPERM, _ENOSYS = 1, 38
_LOAD, _JUMP, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x05, 0x15, 0x35, 0x45, 0x06
_X32 = 0x40000000  # the x32 calls of x86_64 have numbers of their own, from here on
_FIRST_MODERN = 424
_CLONE_THREAD, _CLONE_NEW = 0x10000, 0x7E020000
_TERMINAL_AND_FLAGS = (
    0x5401,
    0x5413,
    0x5421,
    0x541B,
    0x5450,
    0x5451,
)  # TCGETS, TIOCGWINSZ, FIONBIO, FIONREAD, FIO(N)CLEX
_SET_NAME, _SET_VMA = 15, 0x53564D41
_AF_UNIX = 1
# F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC, F_GETPIPE_SZ: no locks, leases, signals or notices
_FCNTL = (0, 1, 2, 3, 4, 1030, 1032)
# MADV_NORMAL, RANDOM, SEQUENTIAL, WILLNEED, DONTNEED, FREE, HUGEPAGE, NOHUGEPAGE, DONTDUMP
_MADVISE = (0, 1, 2, 3, 4, 8, 14, 15, 16)
# what only hints at or waits for a disk is said to be done: it would act on files of the host
_DONE = ("fadvise64", "fsync", "fdatasync", "msync")

Instruction = tuple[int, int, int, int]
_PASS: Instruction = (_RETURN, 0, 0, _ALLOW)


def supported() -> bool:
    return platform.machine() in _COLUMN


def numbers() -> dict[str, int]:
    """The calls that are allowed at all, with their numbers on this machine."""
    column = _COLUMN[platform.machine()]
    rows = (entry.split(":") for entry in _TABLE.split())
    return {row[0]: int(row[column]) for row in rows if row[column]}


def _argument(index: int) -> int:
    return 16 + 8 * index


def _decide(bodies: dict[int, list[Instruction]], otherwise: list[tuple[int, list[Instruction]]]) -> list[Instruction]:
    """A binary search for the call's number, which is loaded: its body, else what `otherwise` says from a number on.

    The kernel tries a new filter on every call there is: a list instead of a tree costs a program a millisecond.
    """
    ends = [start for start, _ in otherwise[1:]] + [_X32]
    starts: dict[int, list[Instruction]] = {}
    for (start, body), end in zip(otherwise, ends, strict=True):
        inside = [number for number in bodies if start <= number < end]
        starts |= {number: body for number in (start, *(n + 1 for n in inside)) if number < end}
        starts |= {number: bodies[number] for number in inside}
    segments: list[tuple[int, list[Instruction]]] = []
    for start, body in sorted(starts.items()):
        if not segments or segments[-1][1] != body:
            segments.append((start, body))
    return _search(segments)


def _search(segments: list[tuple[int, list[Instruction]]]) -> list[Instruction]:
    if len(segments) == 1:
        return segments[0][1]
    middle = len(segments) // 2
    below, above = _search(segments[:middle]), _search(segments[middle:])
    return [(_AT_LEAST, 0, 1, segments[middle][0]), (_JUMP, 0, 0, len(below)), *below, *above]


def _one_of(index: int, values: tuple[int, ...], zero_high: bool = False) -> list[Instruction]:
    """Allow the call where its argument is one of `values`, refuse it elsewhere."""
    tests: list[Instruction] = [(_LOAD, 0, 0, _argument(index))]
    for position, value in enumerate(values):
        tests.append((_EQUAL, len(values) - position, 0, value))
    tests.append((_RETURN, 0, 0, _ERRNO | _EPERM))
    if zero_high:
        tests += [(_LOAD, 0, 0, _argument(index) + 4), (_EQUAL, 1, 0, 0), (_RETURN, 0, 0, _ERRNO | _EPERM)]
    return [*tests, (_RETURN, 0, 0, _ALLOW)]


def assemble(instructions: list[Instruction]) -> bytes:
    return b"".join(struct.pack("HBBI", *instruction) for instruction in instructions)


def _head() -> list[Instruction]:
    return [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 1, 0, _AUDIT_ARCH[platform.machine()]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),
        (_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _ERRNO | _ENOSYS),
    ]


@functools.cache
def jail_filter() -> bytes:
    """Everything in the jail: no sockets, mounts, namespaces, tracing, keys, io_uring, userfaultfd, bpf or IPC."""
    known = numbers()
    arguments = {
        "ioctl": _one_of(1, _TERMINAL_AND_FLAGS),
        "prctl": _one_of(0, (_SET_NAME, _SET_VMA)),
        "prlimit64": _one_of(0, (0,)),
        "socketpair": _one_of(0, (_AF_UNIX,)),
        "sendto": _one_of(4, (0,), zero_high=True),
        "fcntl": _one_of(1, _FCNTL),
        "madvise": _one_of(2, _MADVISE),
        **{name: [(_RETURN, 0, 0, _ERRNO)] for name in _DONE},
        **{name: [(_RETURN, 0, 0, _ERRNO | _EPERM)] for name in ("flock", "setsockopt")},
        "clone": [
            (_LOAD, 0, 0, _argument(0)),
            (_ANY_BIT, 0, 1, _CLONE_NEW),
            (_RETURN, 0, 0, _ERRNO | _EPERM),
            (_RETURN, 0, 0, _ALLOW),
        ],
    }
    bodies = {number: arguments.get(name, [_PASS]) for name, number in known.items()}
    # clone3 is not among them: its flags are out of a filter's sight, and who finds it missing uses clone
    unknown = [(0, [(_RETURN, 0, 0, _ERRNO | _EPERM)]), (_FIRST_MODERN, [(_RETURN, 0, 0, _ERRNO | _ENOSYS)])]
    return assemble(_head() + _decide(bodies, unknown))


@functools.cache
def program_filter(may_exec: bool) -> bytes:
    """On top of the jail's for one program: threads but no processes, and no exec where it needs none."""
    known = numbers()
    refused = ["fork", "vfork", "pidfd_open", "sendmsg", "seccomp", "memfd_create", "statfs", "fstatfs"]
    refused += [] if may_exec else ["execve", "execveat"]
    bodies = {known[name]: [(_RETURN, 0, 0, _ERRNO | _EPERM)] for name in refused if name in known}
    bodies[known["clone"]] = [
        (_LOAD, 0, 0, _argument(0)),
        (_ANY_BIT, 1, 0, _CLONE_THREAD),
        (_RETURN, 0, 0, _ERRNO | _EPERM),
        _PASS,
    ]
    return assemble(_head() + _decide(bodies, [(0, [_PASS])]))
