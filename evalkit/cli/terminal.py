"""The one place where commands print: what files, models and servers say hides nothing from the reader."""

import atexit
import logging
import os
import re
import signal
import sys
import warnings
from typing import NoReturn, TextIO

import click

from evalkit.visible import visible

_COLOURS = re.compile(r"(\x1b\[[0-9;]*m)")


def echo(
    text: object = "",
    *,
    err: bool = False,
    nl: bool = True,
    bold: bool = False,
    red: bool = False,
    coloured: bool = False,
) -> None:
    """Print to stdout, or with `err` to stderr; `bold` and `red` are how a terminal shows it.

    Characters that show nothing are printed as escapes, see `visible`. Line feeds and tabs are left. `coloured` leaves
    the colours that evalkit's own tables have; what stands in their cells was made visible before.
    """
    pieces = _COLOURS.split(str(text)) if coloured else [str(text)]
    shown = "".join(piece if i % 2 else visible(piece) for i, piece in enumerate(pieces))
    if bold or red:
        shown = click.style(shown, fg="red" if red else None, bold=bold or None)
    click.echo(shown, err=err, nl=nl)


def open_closed_streams() -> None:
    """Where stdin, stdout or stderr was closed (`>&-`), it is nothing from now on: what is printed there goes nowhere.

    The descriptor is taken too, or else the next file that is opened would get it, and what libraries print with it.
    """
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is not None:
            continue
        nowhere = os.open(os.devnull, os.O_RDWR)
        if nowhere != descriptor:
            os.dup2(nowhere, descriptor)
            os.close(nowhere)
        os.set_inheritable(descriptor, True)
        setattr(sys, name, open(descriptor, mode, encoding="utf-8", closefd=False))  # noqa: SIM115  # open to the end


def guard_output() -> None:
    """What this process logs or warns of is made visible too, and no character stops a stream that cannot encode it."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    logging.setLogRecordFactory(_VisibleRecord)
    warnings.formatwarning = _plain_warning


def close_output() -> None:
    """Flush what was printed. Raises OSError where it cannot be written; nothing is tried again at the end."""
    try:
        sys.stdout.flush()
    except OSError:
        _silence(sys.stdout)
        raise


def _silence(stream: TextIO) -> None:
    """Let what is left in a stream's buffer go nowhere, so that the interpreter does not stumble over it at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


class _VisibleRecord(logging.LogRecord):
    def getMessage(self) -> str:  # noqa: N802  # the name is logging's
        return visible(super().getMessage())


def _plain_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    return visible(f"{category.__name__}: {message}") + "\n"


def ignore_interrupts() -> None:
    """Let Ctrl-C do nothing while the first one is answered."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def end_process(code: int) -> NoReturn:
    """End with this exit code; Ctrl-C while threads and workers end does so at once, without another word."""
    atexit.register(ignore_interrupts)  # Python gives its own handlers back before libraries are taken down
    signal.signal(signal.SIGINT, lambda *_: os._exit(code))
    sys.exit(code)
