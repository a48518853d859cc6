"""One writer for a run directory, on this machine and on others that share its file system.

The lock is a lease, a file named `.lease-N` that tells who writes. It needs nothing of a file system but that a file
can be created once (O_EXCL): some have no flock, and on others flock does not reach other machines. The holder touches
its file every `BEAT` seconds. A lease is free when its holder has released it, when its holder was a process of this
machine that has ended, or when it was not touched for `STALE` seconds by the file system's own clock. Whoever finds it
free creates N + 1: nothing is renamed and no number is used twice, so two processes cannot both follow the same lease.
"""

import contextlib
import json
import logging
import os
import platform
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError
from evalkit.files import parse_json, read_file

BEAT = 10.0
STALE = 60.0
_LARGEST = 1 << 16  # bytes of a lease
_SILENT = 2.5 * BEAT  # a holder on another machine that is silent for so long has probably ended: wait for `STALE`

logger = logging.getLogger(__name__)


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold the run directory `folder` for writing; it is created if it does not exist.

    Raises EvalkitError if another process holds it or the folder cannot be written.
    """
    lease = Lease(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lease.acquire()
    except OSError as error:
        raise EvalkitError(
            f"The run directory {folder} cannot be written: {error.strerror}.", "choose a writable folder with -o."
        ) from error
    try:
        yield
    finally:
        lease.release()


def _held(folder: Path, holder: str) -> EvalkitError:
    return EvalkitError(
        f"Another process is writing to {folder}{holder}.",
        "wait for it to finish, or choose another run directory with -o.",
    )


class Lease:
    """The lease of one folder. `acquire` raises EvalkitError if another process holds it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path: Path | None = None
        self._ended = threading.Event()

    def acquire(self) -> None:
        number, path = self._last()
        if path is not None and (holder := self._holder(path)) is not None:
            raise _held(self._folder, f" ({holder})")
        mine = self._folder / f".lease-{number + 1}"
        try:
            handle = os.open(mine, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            raise _held(self._folder, "") from None
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(json.dumps(_this_process()))
        self._path = mine
        for other, old in self._all():
            if other > number + 1:  # the list was not up to date, as it may be on NFS
                self.release()
                raise _held(self._folder, "")
            if other <= number:
                old.unlink(missing_ok=True)
        threading.Thread(target=self._beat, name="lease", daemon=True).start()

    def release(self) -> None:
        """Let others have the folder. The file stays, marked as released, so that its number is not used again."""
        self._ended.set()
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.write_text(json.dumps({"released": True}), encoding="utf-8")
            self._path = None

    def _beat(self) -> None:
        while not self._ended.wait(BEAT):
            path = self._path
            if path is not None:
                with contextlib.suppress(OSError):
                    os.utime(path)

    def _all(self) -> list[tuple[int, Path]]:
        found = [(path.name.removeprefix(".lease-"), path) for path in self._folder.glob(".lease-*")]
        return sorted((int(number), path) for number, path in found if number.isascii() and number.isdigit())

    def _last(self) -> tuple[int, Path | None]:
        found = self._all()
        return found[-1] if found else (0, None)

    def _holder(self, path: Path) -> str | None:
        """Who holds the lease in `path`, as text; None if nobody does."""
        try:
            content = parse_json(read_file(path, self._folder, _LARGEST) or b"{}")
        except FileNotFoundError:
            return None
        except (OSError, ValueError):  # half written, or no file at all
            content = {}
        if not isinstance(content, dict) or content.get("released") is True:
            return None
        told = f"process {content.get('pid', '?')} on {content.get('host', '?')}"
        if content.get("machine") == _machine():
            return told if _is_alive(content) else None
        silent = self._age(path)
        if _SILENT < silent < STALE:
            logger.info("waiting %.0f s for %s, which is silent", STALE - silent, told)
            time.sleep(STALE - silent + 0.1)
            silent = self._age(path)
        return told if silent < STALE else None

    def _age(self, path: Path) -> float:
        """The seconds since `path` was touched, by the clock of the file system."""
        probe = self._folder / f".lease-probe.{secrets.token_hex(6)}"
        try:
            probe.touch()
            return probe.stat().st_mtime - path.stat().st_mtime
        except FileNotFoundError:
            return STALE
        finally:
            probe.unlink(missing_ok=True)


def _this_process() -> dict[str, Any]:
    pid = os.getpid()
    return {"host": platform.node(), "machine": _machine(), "pid": pid, "started": _start_time(pid)}


def _machine() -> str:
    """What distinguishes this boot and process namespace: in another one, equal pids are other processes."""
    parts = [platform.node()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
    with contextlib.suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _start_time(pid: int) -> str:
    """The process's start time in clock ticks, which a later process with the same pid does not have; '' if unknown."""
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    return ""


def _is_alive(process: dict[str, Any]) -> bool:
    pid = process.get("pid")
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return process.get("started") in ("", _start_time(pid))
