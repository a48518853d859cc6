"""Opening files of strangers: regular files only, and no link is followed below a given folder."""

import errno
import gzip
import io
import json
import os
import platform
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

LARGEST = 1 << 28  # bytes of a file that is read as a whole
_RATIO, _UNPACKED = 500, 1 << 26  # text packs to a tenth, rarely to a hundredth; the first 64 MiB are free
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_PASSIVE = 0  # neither waits nor is inherited
for _flag in ("O_BINARY", "O_CLOEXEC", "O_NOCTTY", "O_NONBLOCK"):
    _PASSIVE |= getattr(os, _flag, 0)
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
HOST = f"{zlib.crc32(platform.node().encode()):08x}"  # hosts of one file system may have equal process numbers
_HAS_OPENAT = os.open in os.supports_dir_fd


def is_single_name(name: str) -> bool:
    """Whether `name` is one component of a path, which stays in the folder that it is put into."""
    try:
        length = len(os.fsencode(name))
    except UnicodeEncodeError:
        return False
    return name not in ("", ".", "..") and length <= 255 and not any(c in name for c in "/\\\0")


def open_descriptor(path: Path, flags: int, below: Path | None = None) -> int:
    """A descriptor of the regular file `path`. Below the folder `below` no link is followed.

    It never waits, whatever lies there. Raises OSError: there is a link, a folder, a pipe or a device.
    """
    with _parent(path, below) as (folder, name):
        link = 0 if below is None else _NO_LINK
        try:
            descriptor = os.open(name, flags | _PASSIVE | link, 0o666, dir_fd=folder)
        except OSError as error:
            raise _told(error, path) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return descriptor


def open_file(path: Path, below: Path | None = None) -> io.BufferedReader:
    """The regular file `path`, open to read bytes. Raises OSError as `open_descriptor` does."""
    return io.BufferedReader(io.FileIO(open_descriptor(path, os.O_RDONLY, below), "rb"), 1 << 20)


def read_file(path: Path, below: Path | None = None, largest: int = LARGEST) -> bytes:
    """The content of a regular file. Raises OSError as `open_descriptor` does, and above `largest` bytes."""
    with open_file(path, below) as stream:
        content = stream.read(largest + 1)
    if len(content) > largest:
        raise OSError(errno.EFBIG, f"it is larger than {largest >> 20} MiB", str(path))
    return content


def replace_file(path: Path, content: bytes, below: Path | None = None, durable: bool = True) -> None:
    """Write a file by atomic rename, with its folders; remove what ended processes have left of such writes.

    Raises OSError.
    """
    make_folders(path.parent, below)
    temporary = f".{path.name}.{os.getpid()}-{HOST}.tmp"
    with _parent(path, below) as (folder, name):
        where = name if folder is not None else str(path)
        partial = temporary if folder is not None else str(path.with_name(temporary))
        _remove_leftovers(path, folder)
        try:
            with suppress(FileNotFoundError):
                os.unlink(partial, dir_fd=folder)
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _PASSIVE, 0o666, dir_fd=folder)
            with io.FileIO(descriptor, "wb") as stream:
                _write_all(stream, content)
                if durable:
                    os.fsync(descriptor)
            os.replace(partial, where, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError as error:
            with suppress(OSError):
                os.unlink(partial, dir_fd=folder)
            raise _told(error, path) from None


def write_output(path: Path, content: bytes, durable: bool = True) -> None:
    """Write the file that a user named: by atomic rename where a link leads to, and into a device or a pipe.

    Raises OSError.
    """
    with suppress(FileNotFoundError):
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            with path.open("wb") as stream:
                stream.write(content)
            return
    replace_file(path.resolve() if path.is_symlink() else path, content, durable=durable)


def make_folders(folder: Path, below: Path | None = None) -> None:
    """Make a folder and its parents. Raises OSError, also where a link takes the place of one below `below`."""
    if below is None or folder == below:
        folder.mkdir(parents=True, exist_ok=True)
        return
    make_folders(folder.parent, below)
    with suppress(FileExistsError):
        folder.mkdir()
    if not stat.S_ISDIR(os.lstat(folder).st_mode):
        raise OSError(errno.ENOTDIR, "it is not a folder", str(folder))


def rename(old: Path, new: Path, below: Path) -> None:
    """Rename a file of one folder. Raises OSError, also where the folder is a link below `below`."""
    with _parent(old, below) as (folder, name):
        os.replace(name, new.name if folder is not None else new, src_dir_fd=folder, dst_dir_fd=folder)


def size_of(path: Path, below: Path | None = None) -> int:
    """The size of a regular file in bytes, 0 where there is none. Raises OSError as `open_descriptor` does."""
    try:
        descriptor = open_descriptor(path, os.O_RDONLY, below)
    except FileNotFoundError:
        return 0
    try:
        return os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)


def parse_json(content: str | bytes) -> Any:
    """One JSON value of UTF-8, which may begin with a byte-order mark. Raises ValueError: no JSON, too deep."""
    text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def is_finite(value: Any, largest: float = 1e15) -> bool:
    """Whether all numbers in lists, tuples and dictionaries are finite, and at most `largest` in size."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        if set(map(type, value)) <= {int, float}:  # the values of all samples, say
            return all(map(largest.__ge__, map(abs, value)))
        return all(is_finite(inner, largest) for inner in value)
    return not isinstance(value, int | float) or abs(value) <= largest


def text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """(number from 1, line) of every line that is not blank in a file of UTF-8, packed where its name ends in .gz.

    Raises OSError as `open_descriptor` does, and ValueError: no UTF-8, damaged, a line or a content that is too large.
    """
    with open_file(path) as raw:
        stream: BinaryIO = raw if path.suffix != ".gz" else cast(BinaryIO, gzip.GzipFile(fileobj=raw))
        most = _UNPACKED + _RATIO * os.fstat(raw.fileno()).st_size
        number = taken = 0
        while line := _next_line(stream):
            number, taken = number + 1, taken + len(line)
            if len(line) == LARGEST:
                raise ValueError(f"line {number} is longer than {LARGEST >> 20} MiB")
            if taken > most:
                raise ValueError(f"it unpacks to more than {_RATIO} times its size")
            if line.strip():
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")


def _next_line(stream: BinaryIO) -> bytes:
    try:
        return stream.readline(LARGEST)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"it is cut or damaged: {error}") from None


@contextmanager
def _parent(path: Path, below: Path | None) -> Iterator[tuple[int | None, str]]:
    """A descriptor of the folder that `path` lies in, and its name there; (None, the path) where links may be."""
    try:
        usable = b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        usable = False
    if not usable:
        raise OSError(errno.EINVAL, "its name is not one that a file can have", str(path))
    if below is None:
        yield None, str(path)
        return
    *folders, name = path.relative_to(below).parts
    if not all(map(is_single_name, (*folders, name))):
        raise OSError(errno.EINVAL, "it leads out of the folder", str(path))
    if not _HAS_OPENAT:
        _refuse_links(below, (*folders, name))
        yield None, str(path)
        return
    descriptor = os.open(below, _FOLDER)
    try:
        for part in folders:
            try:
                inner = os.open(part, _FOLDER | _NO_LINK, dir_fd=descriptor)
            except OSError as error:
                raise _told(error, path, folder=True) from None
            os.close(descriptor)
            descriptor = inner
        yield descriptor, name
    finally:
        os.close(descriptor)


def _refuse_links(below: Path, parts: tuple[str, ...]) -> None:
    place = below
    for part in parts:
        place = place / part
        if place.is_symlink():
            raise OSError(errno.ELOOP, "it is a link, which is not followed", str(place))


def _told(error: OSError, path: Path, folder: bool = False) -> OSError:
    """The same error with the whole path; of a link it says that it is one."""
    if error.errno in (errno.ELOOP, errno.EMLINK) or (folder and error.errno == errno.ENOTDIR):
        what = "it lies behind a link, which is not followed" if folder else "it is a link, which is not followed"
        return OSError(errno.ELOOP, what, str(path))
    if error.errno == errno.ENXIO:  # a pipe that nobody reads, a socket
        return OSError(errno.EINVAL, "it is not a regular file", str(path))
    return OSError(error.errno, error.strerror, str(path))


def _write_all(stream: BinaryIO | io.FileIO, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[stream.write(view) or 0 :]


def _remove_leftovers(path: Path, folder: int | None) -> None:
    """Remove the temporary files of `path` whose process has ended."""
    for name in os.listdir(path.parent if folder is None else folder):
        if name.startswith(f".{path.name}.") and name.endswith(".tmp"):
            process, _, host = name[len(path.name) + 2 : -4].partition("-")
            if host == HOST and process.isdecimal() and not is_running(int(process)):
                with suppress(OSError):
                    os.unlink(name if folder is not None else path.with_name(name), dir_fd=folder)


def is_running(process: int) -> bool:
    """Whether a process of this number runs on this machine."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # another user's
        return True
    return True
