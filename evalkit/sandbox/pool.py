"""Warm jails of this process, lent to whoever judges."""

import contextlib
import os
import threading
from collections.abc import Iterator

from evalkit.sandbox.jail import Flavour, Jail, JailBrokenError
from evalkit.sandbox.machine import SandboxUnavailableError, require_resources
from evalkit.sandbox.records import Limits


class Sandbox:
    """Jails on demand, kept warm. Thread-safe; starts anew after a fork of this process.

    `unsafe` runs programs without any isolation, only with limits.
    """

    def __init__(self, *, unsafe: bool = False) -> None:
        self.unsafe = unsafe
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._idle: dict[Flavour, list[Jail]] = {}

    @contextlib.contextmanager
    def lend(self, flavour: Flavour) -> Iterator[Jail]:
        """A jail for one caller. Raises SandboxUnavailableError where this machine cannot isolate."""
        if self._pid != os.getpid():
            self._reset()
        if not hasattr(os, "fork"):
            raise SandboxUnavailableError(
                "Programs cannot be run on this system: it has no fork.", "use Linux, or Linux in a virtual machine."
            )
        jail = self._take(flavour) or Jail(flavour, self.unsafe)
        try:
            yield jail
        except JailBrokenError:
            jail.close()
            raise
        finally:
            if jail.alive:
                with self._lock:
                    self._idle.setdefault(flavour, []).append(jail)

    def _take(self, flavour: Flavour) -> Jail | None:
        with self._lock:
            jails = self._idle.get(flavour, [])
            while jails:
                if (jail := jails.pop()).alive:
                    return jail
                jail.close()
        return None

    def layers(self) -> dict[str, str]:
        """What separates a program from this machine, by layer. Raises SandboxUnavailableError."""
        require_resources(Limits())
        with self.lend("python") as jail:
            return jail.layers

    def close(self) -> None:
        """End the idle jails."""
        if self._pid != os.getpid():
            return
        with self._lock:
            jails = [jail for idle in self._idle.values() for jail in idle]
            self._idle.clear()
        for jail in jails:
            jail.close()

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_shared: dict[bool, Sandbox] = {}
_shared_lock = threading.Lock()


def shared_sandbox(*, unsafe: bool = False) -> Sandbox:
    """The sandbox of this process, made when it is first asked for."""
    with _shared_lock:
        return _shared.setdefault(unsafe, Sandbox(unsafe=unsafe))
