"""System calls that Python has no function for: namespaces, mounts, capabilities, Landlock. Linux only."""

import ctypes
import os
import platform
import struct

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOATIME, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 1024, 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, PR_SET_SECUREBITS = 1, 38, 28
_AT_RECURSIVE = 0x8000
# numbers above 423 are the same on every architecture
_MOUNT_SETATTR, _LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 442, 444, 445, 446
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_CAPSET = {"x86_64": 126, "aarch64": 91}
_SECCOMP = {"x86_64": 317, "aarch64": 277}

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def _syscall(what: str, number: int, *arguments: object) -> int:
    return _check(_libc.syscall(ctypes.c_long(number), *arguments), what)


def unshare(flags: int) -> None:
    _check(_libc.unshare(flags), "unshare")


def setns(descriptor: int, flags: int) -> None:
    _check(_libc.setns(descriptor, flags), "setns")


def prctl(option: int, argument: int) -> None:
    _check(_libc.prctl(option, ctypes.c_ulong(argument), 0, 0, 0), "prctl")


def mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    words = [None if w is None else os.fsencode(w) for w in (source, target, kind, data)]
    _check(_libc.mount(words[0], words[1], words[2], ctypes.c_ulong(flags), words[3]), f"mount {target}")


def umount(target: str, flags: int) -> None:
    _check(_libc.umount2(os.fsencode(target), flags), f"umount {target}")


def pivot_root(new: str, old: str) -> None:
    _syscall("pivot_root", _PIVOT_ROOT[platform.machine()], os.fsencode(new), os.fsencode(old))


def make_read_only(target: str, recursive: bool) -> None:
    """The mount at `target`, and with `recursive` those below it: read-only, no set-uid bit, no device."""
    attributes = struct.pack("QQQQ", 1 | 2 | 4, 0, 0, 0)
    path = os.fsencode(target)
    _syscall(
        f"mount_setattr {target}",
        _MOUNT_SETATTR,
        -100,
        path,
        _AT_RECURSIVE if recursive else 0,
        attributes,
        ctypes.c_size_t(32),
    )


def bound_capabilities() -> None:
    """No capability comes back with an exec: in this process and in those that it forks."""
    for capability in range(64):
        _libc.prctl(24, ctypes.c_ulong(capability), 0, 0, 0)  # PR_CAPBSET_DROP; fails above the last one


def drop_capabilities() -> None:
    """No capability is left to this process."""
    header = struct.pack("Ii", 0x20080522, 0)
    _syscall("capset", _CAPSET[platform.machine()], header, bytes(24))


def landlock_abi() -> int:
    """The version of Landlock that the kernel offers, 0 where it offers none."""
    version = _libc.syscall(ctypes.c_long(_LANDLOCK_CREATE), None, ctypes.c_size_t(0), 1)
    return max(0, int(version))


_READ = 1 << 0 | 1 << 2 | 1 << 3  # execute, read_file, read_dir
_FILE_WRITE = 1 << 1 | 1 << 2 | 1 << 14  # write_file, read_file, truncate


def landlock(abi: int, writable: str, devices: tuple[str, ...]) -> None:
    """Confine this process: read and execute anywhere below /, write below `writable`, no TCP, no outside signals."""
    rights = (1 << 13) - 1 | (1 << 13 if abi >= 2 else 0) | (1 << 14 if abi >= 3 else 0) | (1 << 15 if abi >= 5 else 0)
    attributes = struct.pack("QQQ", rights, 3 if abi >= 4 else 0, 3 if abi >= 6 else 0)
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    ruleset = _syscall("landlock", _LANDLOCK_CREATE, attributes[:size], ctypes.c_size_t(size), 0)
    try:
        for path, allowed in [("/", _READ), (writable, rights), *((d, rights & _FILE_WRITE) for d in devices)]:
            anchor = os.open(path, os.O_PATH | os.O_CLOEXEC)
            rule = struct.pack("=Qi", allowed, anchor)
            _syscall("landlock", _LANDLOCK_ADD, ruleset, 1, rule, 0)
            os.close(anchor)
        _syscall("landlock", _LANDLOCK_RESTRICT, ruleset, 0)
    finally:
        os.close(ruleset)


def install_filter(program: bytes) -> None:
    """Install a seccomp filter made by `seccomp.assemble`; needs no_new_privs."""
    buffer = ctypes.create_string_buffer(program, len(program))
    descriptor = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    _syscall("seccomp", _SECCOMP[platform.machine()], 1, 0, descriptor)
