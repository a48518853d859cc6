"""The errors that users see: a sentence that says what is wrong, and a hint that says what to do."""

import os
import sysconfig
import traceback
from collections.abc import Generator
from contextlib import contextmanager


class EvalkitError(Exception):
    """An error that the user can correct. The command line prints it without a traceback and exits with `exit_code`.

    Examples:
        >>> print(EvalkitError("There is no task 'amie24'.", "did you mean aime24?"))
        There is no task 'amie24'.
        hint: did you mean aime24?
    """

    exit_code = 2

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}"


class RunIncompleteError(EvalkitError):
    """A run that could not finish. Finished work is on disk, and the hint says how to resume.

    Examples:
        >>> RunIncompleteError("The disk is full.", "free some space and run the same command again.").exit_code
        1
    """

    exit_code = 1


class DamagedError(EvalkitError):
    """A file of a run that is damaged or cannot be read. Other runs of the same folder can be shown without it."""


def first_line(error: BaseException) -> str:
    """What an exception says in one line, and where it was raised: `ValueError: too long (engine.py, line 12)`."""
    said = str(error).strip().partition("\n")[0].rstrip(".")
    return f"{type(error).__name__}{f': {said}' if said else ''}{place_of(error)}"


def place_of(error: BaseException) -> str:
    """Where a plug-in raised an error, ` (engine.py, line 12)`; "" where none of its own code did.

    The last line that is neither evalkit's nor a library's, or else the last one of a library.
    """
    here = os.path.dirname(os.path.abspath(__file__)) + os.sep
    libraries = tuple(sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith((here, "<frozen"))]
    frames = [f for f in frames if not f.filename.startswith((*libraries, "<"))] or frames  # "<string>": a dataclass
    return f" ({os.path.basename(frames[-1].filename)}, line {frames[-1].lineno})" if frames else ""


@contextmanager
def plugin_faults(
    owner: object, sentence: str, hint: str, kind: type[EvalkitError] = EvalkitError
) -> Generator[None, None, None]:
    """Tell what a plug-in raises as an error of that `kind`: `sentence: ValueError: too long (engine.py, line 12).`

    `owner` is the plug-in's object or class. What evalkit's own code raises is left as it is: that is a bug of evalkit.
    """
    try:
        yield
    except (EvalkitError, MemoryError):
        raise
    except (Exception, SystemExit) as error:  # a plug-in raises what it likes
        owner_class = owner if isinstance(owner, type) else type(owner)
        if owner_class.__module__.partition(".")[0] == "evalkit":
            raise
        raise kind(f"{sentence}: {first_line(error)}.", hint) from error
