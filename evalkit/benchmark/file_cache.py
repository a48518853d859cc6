"""What was worked out from a large file, kept for the next start."""

import hashlib
import json
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

logger = logging.getLogger(__name__)

_WORTHWHILE = 16 << 20  # bytes: a smaller file is read faster than what is kept of it


def kept_for_file(path: Path, kind: str, make: Callable[[Path], T], version: int = 1) -> T:
    """What `make` returns for a file, as JSON keeps it: worked out once for each content of large files.

    A content is told by the file's real path, size and time of change. What is kept lies in the user's cache folder
    (XDG_CACHE_HOME), and is worked out anew where it is damaged. Raise `version` when `make` returns something else.
    """
    try:
        state = path.stat()
        place = _folder() / f"{_key(path, state, kind, version)}.json"
    except (OSError, RuntimeError):
        return make(path)
    if state.st_size < _WORTHWHILE:
        return make(path)
    try:
        kept: T = json.loads(place.read_bytes())["value"]
    except FileNotFoundError:
        pass
    except (OSError, ValueError, LookupError, TypeError):
        logger.debug("%s is damaged and worked out anew", place)
    else:
        return kept
    if state.st_size >= 8 * _WORTHWHILE:
        logger.info("%s: reading %.2f GB, once", path.name, state.st_size / 1e9)
    value = make(path)
    _keep(place, path, state, value)
    return value


def _folder() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("evalkit", appauthor=False) / "files"


def _key(path: Path, state: os.stat_result, kind: str, version: int) -> str:
    facts = [str(path.resolve()), state.st_size, state.st_mtime_ns, kind, version]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _keep(place: Path, path: Path, state: os.stat_result, value: object) -> None:
    """Nothing is kept of a file that has changed meanwhile; a cache that cannot be written is no error."""
    partial = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        now = path.stat()
        if (now.st_size, now.st_mtime_ns) == (state.st_size, state.st_mtime_ns):
            place.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps({"file": str(path), "value": value}), encoding="utf-8")
            os.replace(partial, place)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        logger.debug("%s cannot be kept: %s", place, error)
