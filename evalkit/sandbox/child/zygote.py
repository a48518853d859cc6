"""The process from which every program is forked: it builds the jail once, imports what programs use, and waits."""

import contextlib
import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import sys
import warnings
from collections import deque
from typing import Any, NoReturn

from . import kernel, seccomp, sharing, wire
from .python_programs import prelude_names
from .supervisor import STREAMS, supervise

JAIL_UID = 1000
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
_NOBODY = 65534
_MOST_LEAVING = 1
_NAMESPACES = (
    kernel.CLONE_NEWNS
    | kernel.CLONE_NEWPID
    | kernel.CLONE_NEWNET
    | kernel.CLONE_NEWIPC
    | kernel.CLONE_NEWUTS
    | kernel.CLONE_NEWCGROUP
)


def main(config_text: str) -> NoReturn:
    """Run by the host as `python -c`; `config_text` is JSON: channel, unsafe, binds, hide, preload."""
    config = json.loads(config_text)
    channel = socket.socket(fileno=config["channel"])
    os.setsid()
    for name in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(name, signal.SIG_IGN)
    _raise_limits()
    _preload(config["preload"], config["paths"])
    if config["unsafe"]:
        wire.send(channel, {"layers": {}})
        _serve(channel, None, config)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as stream:
        stream.write("1000")  # should memory run out, a program dies and not the judge
    try:
        layers = _enter_namespaces()
    except OSError as error:
        _refuse(channel, f"no namespaces: {error}")
    parent = os.getppid()
    child = os.fork()
    if child:
        channel.close()
        _watch(child, parent)
    try:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        own_pids = _build_root(config["binds"], config["hide"])
        layers |= {"mount namespace": "an empty root, the interpreter read-only", "landlock": _landlock_state()}
        if not seccomp.supported():
            raise OSError(f"no system-call table for {os.uname().machine}")
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        kernel.bound_capabilities()
        for _ in (seccomp.jail_filter(), seccomp.program_filter(False), seccomp.program_filter(True)):
            pass  # made once, and inherited by those that install them
        layers |= {"seccomp": "an allow-list of system calls", "no new privileges": "yes"}
    except OSError as error:
        _refuse(channel, str(error))
    wire.send(channel, {"layers": layers})
    _serve(channel, own_pids, config)


def _refuse(channel: socket.socket, reason: str) -> NoReturn:
    with contextlib.suppress(wire.Closed):
        wire.send(channel, {"error": reason})
    os._exit(1)


def _raise_limits() -> None:
    """Up to what this user may have: the host has looked that it is enough, and each program gets limits of its own."""
    for kind in (resource.RLIMIT_CPU, resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_AS):
        _, hard = resource.getrlimit(kind)
        with contextlib.suppress(ValueError):
            resource.setrlimit(kind, (hard, hard))


def _preload(names: list[str], paths: list[str]) -> None:
    del sys.path[0]  # the folder of this package
    sys.path += paths
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            importlib.import_module(name)
    _define_exits()
    if names:
        prelude_names()
        sharing.only_callable()
        sharing.predefined()
    for name in [n for n in sys.modules if n == __package__ or n.startswith(f"{__package__}.")]:
        del sys.modules[name]  # a program that imports a module of such a name must not find ours
    sys.argv = [""]
    gc.collect()
    gc.freeze()  # or a collection in each child would copy every page


def _define_exits() -> None:
    """What the module `site` gives every interpreter, without the rest of what it does."""
    import _sitebuiltins
    import builtins

    for name in ("exit", "quit"):
        setattr(builtins, name, _sitebuiltins.Quitter(name, "Ctrl-D (i.e. EOF)"))
    builtins.help = _sitebuiltins._Helper()


def _enter_namespaces() -> dict[str, str]:
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        os.setgroups([])
    wait, go = os.pipe()
    done, told = os.pipe()
    owner = os.getpid()
    writer = os.fork()
    if writer == 0:  # two users can be mapped only from outside the new namespace
        os.close(go)
        os.read(wait, 1)
        try:
            for kind in ("uid", "gid"):
                with open(f"/proc/{owner}/{kind}_map", "w") as stream:
                    stream.write(f"0 0 1\n{JAIL_UID} {_NOBODY} 1\n")
            os.write(told, b"y")
        except OSError:
            os.write(told, b"n")
        os._exit(0)
    kernel.unshare(kernel.CLONE_NEWUSER)
    os.write(go, b"g" if uid == 0 else b"")
    os.close(go)
    mapped = uid == 0 and os.read(done, 1) == b"y"
    os.waitpid(writer, 0)
    for descriptor in (wait, done, told):
        os.close(descriptor)
    if not mapped:
        with open("/proc/self/setgroups", "w") as stream:
            stream.write("deny")
        for kind, identity in (("uid", uid), ("gid", gid)):
            with open(f"/proc/self/{kind}_map", "w") as stream:
                stream.write(f"{JAIL_UID} {identity} 1\n")
    kernel.unshare(_NAMESPACES)
    return {
        "user namespace": "programs run as nobody" if mapped else "programs run as this user, mapped, without rights",
        "pid namespace": "a fresh one for every program",
        "network namespace": "empty",
        "ipc, uts, cgroup namespaces": "yes",
    }


def _watch(child: int, parent: int) -> NoReturn:
    """The first process inside lives as long as the host does: if the host is killed, everything in the jail is."""
    alive = os.pidfd_open(child)
    while not select.select([alive], [], [], 2.0)[0]:
        if os.getppid() != parent:
            os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os._exit(0)


def _build_root(binds: list[list[str]], hide: list[str]) -> int:
    """Pivot into an empty tmpfs with the binds (source, target), read-only. Returns a handle on this pid namespace."""
    kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("tmpfs", "/tmp", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=1m,mode=0755")
    os.mkdir("/tmp/new")
    os.mkdir("/tmp/old")
    kernel.mount("/tmp/new", "/tmp/new", None, kernel.MS_BIND)
    kernel.pivot_root("/tmp", "/tmp/old")
    os.chdir("/")
    own_pids = os.open("/old/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    for source, target in binds:
        _bind("/old" + source, "/new" + target)
    for folder in hide:
        if os.path.isdir("/new" + folder):
            kernel.mount("tmpfs", "/new" + folder, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=4k,mode=0555")
            kernel.make_read_only("/new" + folder, recursive=False)
    for device in DEVICES:
        _bind("/old" + device, "/new" + device, read_only=False)
    os.makedirs("/new/tmp", exist_ok=True)
    os.makedirs(f"/new{STREAMS}")
    os.makedirs("/new/dev/fd")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        os.symlink(f"{STREAMS}/{name}", f"/new/dev/{name}")
        os.symlink(f"{STREAMS}/{name}", f"/new/dev/fd/{number}")
    kernel.umount("/old", kernel.MNT_DETACH)
    os.chdir("/new")
    kernel.pivot_root(".", ".")
    kernel.umount(".", kernel.MNT_DETACH)
    os.chdir("/")
    kernel.make_read_only("/", recursive=False)
    socket.sethostname("sandbox")
    return own_pids


def _bind(source: str, target: str, read_only: bool = True) -> None:
    if os.path.islink(source):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.symlink(os.readlink(source), target)
        return
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "x"):
            pass
    kernel.mount(source, target, None, kernel.MS_BIND | kernel.MS_REC)
    if read_only:
        kernel.make_read_only(target, recursive=True)


def _landlock_state() -> str:
    abi = kernel.landlock_abi()
    return f"ABI {abi}" if abi else "not offered by this kernel; the empty root stands alone"


def _serve(channel: socket.socket, own_pids: int | None, config: dict[str, Any]) -> NoReturn:
    """Fork one supervisor for each request; what it says goes straight to the host, its end is told from here.

    A supervisor that closes its files is told as ended: the kernel takes its namespaces down while the next one starts.
    """
    leaving: deque[int] = deque()
    while True:
        try:
            request, descriptors = wire.receive(channel)
        except wire.Closed:
            os._exit(0)
        try:
            if own_pids is not None:
                kernel.setns(own_pids, kernel.CLONE_NEWPID)
                kernel.unshare(kernel.CLONE_NEWPID)
            alive, held = os.pipe()
            child = os.fork()
        except OSError as error:
            _refuse(channel, f"no new process: {error}")
        if child == 0:
            os.close(alive)
            supervise(channel, request, descriptors, jailed=own_pids is not None, uid=JAIL_UID, devices=DEVICES)
        for descriptor in descriptors:
            os.close(descriptor)
        os.close(held)
        os.read(alive, 1)
        os.close(alive)
        leaving.append(child)
        while len(leaving) > _MOST_LEAVING:
            os.waitpid(leaving.popleft(), 0)
        try:
            wire.send(channel, {"ended": True})
        except wire.Closed:
            os._exit(0)
