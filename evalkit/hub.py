"""The hub: which commit a revision is, the files of a commit, and what is said where it does not answer.

Everything is loaded by commit. A branch that moves while a run is made, or between two commands, is never mixed with
what it was before.
"""

import errno
import logging
import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from evalkit.errors import EvalkitError

logger = logging.getLogger(__name__)

Kind = Literal["model", "dataset"]

MODELSCOPE_VARIABLES = ("VLLM_USE_MODELSCOPE", "USE_MODELSCOPE_HUB", "USE_MODELSCOPE", "MODELSCOPE")
_COMMIT = re.compile("[0-9a-f]{40}")
_QUERY = re.compile(r"(https?://[^\s?'\"<>)]+)\?[^\s'\"<>)]*")  # signed addresses hold a key
_TOLD_SIZE = 50e6  # bytes: a download above it is announced
_SECONDS_BETWEEN_LINES = 15.0
_UNREACHABLE = {
    "ConnectError",
    "ConnectTimeout",
    "ConnectionError",
    "NetworkError",
    "PoolTimeout",
    "ProtocolError",
    "ProxyError",
    "ReadTimeout",
    "SSLError",
    "TimeoutException",
    "TransportError",
    "UnsupportedProtocol",
    "gaierror",
}
_BROKEN_OFF = {"ReadError", "RemoteProtocolError", "IncompleteRead", "ChunkedEncodingError"}


def may_be_folder(name: str) -> bool:
    """Whether a hub id looks like a path here: its first part is a folder, and the whole is nothing that exists."""
    first, slash, _ = name.partition("/")
    is_id = first not in ("", ".", "..", "~")
    return bool(slash) and is_id and Path(first).is_dir() and not Path(name).exists()


@dataclass(frozen=True, slots=True)
class Repository:
    """A model or data set on the hub, such as `Repository("Qwen/Qwen3-8B")`."""

    name: str
    kind: Kind = "model"

    def __str__(self) -> str:
        return f"the {'data set' if self.kind == 'dataset' else 'model'} {self.name}"

    @property
    def page(self) -> str:
        """The address of its page, at the hub that HF_ENDPOINT names."""
        return f"{endpoint()}/{'datasets/' if self.kind == 'dataset' else ''}{self.name}"

    def commit(self, revision: str | None = None) -> str:
        """The commit (40 hex digits) that a branch, a tag or a short hash stands for; None is the main branch.

        Offline, or where the hub does not answer, it is the commit that was last seen for this revision. Raises
        EvalkitError where there is none.
        """
        refuse_modelscope(self.name)
        wanted = revision or "main"
        if _COMMIT.fullmatch(wanted):
            return wanted
        if is_offline():
            known = self._last_seen(wanted)
            if known is None:
                raise self.not_cached(wanted)
            return known
        from huggingface_hub import HfApi

        try:
            found = str(HfApi().repo_info(self.name, repo_type=self.kind, revision=revision).sha)
        except Exception as error:  # the hub's client raises a dozen unrelated types
            known = self._last_seen(wanted) if _is_unreachable(error) else None
            if known is None:
                raise self.explain(error, revision) from error
            logger.warning(
                "%s does not answer: %s is taken from the cache, at commit %s that was last seen for %s",
                *(endpoint(), self, known, wanted),
            )
            return known
        self._remember(wanted, found)
        return found

    def files(self, commit: str) -> dict[str, int | None]:
        """The sizes in bytes of a commit's files by name; offline those of its files that are in the cache."""
        if is_offline():
            return self.cached_files(commit)
        from huggingface_hub import HfApi

        try:
            info = HfApi().repo_info(self.name, repo_type=self.kind, revision=commit, files_metadata=True)
        except Exception as error:  # the hub's client raises a dozen unrelated types
            if _is_unreachable(error) and (cached := self.cached_files(commit)):
                return dict(cached)
            raise self.explain(error, commit) from error
        return {each.rfilename: each.size for each in getattr(info, "siblings", None) or []}

    def answers(self, commit: str) -> bool:
        """Whether the hub tells of a commit. False where it cannot be asked and the cache has something of it.

        Raises EvalkitError where neither has.
        """
        if is_offline():
            if not self.cached_files(commit):
                raise self.not_cached(commit)
            return False
        from huggingface_hub import HfApi

        try:
            HfApi().repo_info(self.name, repo_type=self.kind, revision=commit)
        except Exception as error:  # the hub's client raises a dozen unrelated types
            if not (_is_unreachable(error) and self.cached_files(commit)):
                raise self.explain(error, commit) from error
            logger.warning("%s does not answer: %s is taken from the cache", endpoint(), self)
            return False
        return True

    def cached_files(self, commit: str) -> dict[str, int | None]:
        """The sizes of a commit's files that are in the cache, by name."""
        folder = self.snapshot(commit)
        found = sorted(path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): path.stat().st_size for path in found}

    def snapshot(self, commit: str) -> Path:
        """The folder of the cache that has, or would have, the files of a commit."""
        return self._cache / "snapshots" / commit

    def fetch(self, commit: str, names: Sequence[str]) -> list[Path]:
        """The paths of files in the cache. What is missing is downloaded; how much, is told before.

        Raises EvalkitError where a file is not to be had, offline where one is not in the cache, and before anything
        is downloaded where the disk has too little room.
        """
        folder = self.snapshot(commit)
        missing = [name for name in names if not (folder / name).is_file()]
        if missing and is_offline():
            raise self.not_cached(commit, missing)
        if missing:
            from huggingface_hub import HfApi

            try:
                self.require_room(commit, missing)
                for name in missing:
                    HfApi().hf_hub_download(
                        self.name, name, repo_type=self.kind, revision=commit, tqdm_class=_progress_class()
                    )
            except EvalkitError:
                raise
            except Exception as error:  # the hub's client raises a dozen unrelated types
                raise self.explain(error, commit) from error
        return [folder / name for name in names]

    def require_room(self, commit: str, names: Sequence[str]) -> None:
        """Announce a large download. Raises EvalkitError where the disk has less room than it needs."""
        cached = self.cached_files(commit)
        sizes = self.files(commit)
        missing = [name for name in names if name not in cached]
        total = sum(sizes.get(name) or 0 for name in missing)
        place = _existing(self._cache)
        free = shutil.disk_usage(place).free
        if total > free:
            raise EvalkitError(
                f"{_capital(self)} needs {_gigabytes(total)} to be downloaded, and {_gigabytes(free)} are free at "
                f"{self._cache.parent}.",
                "free some, or name a folder on a larger disk with HF_HOME.",
            )
        if total > _TOLD_SIZE:
            logger.info(
                "%s: %d files, %s, are downloaded to %s", self, len(missing), _gigabytes(total), self._cache.parent
            )

    def explain(self, error: BaseException, revision: str | None = None) -> EvalkitError:
        """What went wrong at the hub, in one sentence and what to do about it.

        Where the name may be that of a folder that was mistyped, that comes first.
        """
        found = self._explained(error, revision)
        if self.kind != "model" or not may_be_folder(self.name):
            return found
        said = found.message if found.message.startswith("http") else found.message[0].lower() + found.message[1:]
        return EvalkitError(f"There is no folder {self.name} here, and {said}", found.hint)

    def _explained(self, error: BaseException, revision: str | None) -> EvalkitError:
        causes = list(_causes(error))
        own = next((cause for cause in causes if isinstance(cause, EvalkitError)), None)
        if own is not None:
            return own
        names = {each.__name__ for cause in causes for each in type(cause).__mro__}
        status = next((code for cause in causes if (code := _status(cause)) is not None), None)
        if _is_full(causes):
            return EvalkitError(
                f"The disk is full: {self} could not be stored in {self._cache.parent}.",
                "free some room, or name a folder on a larger disk with HF_HOME.",
            )
        return (
            self._access_problem(names, status, causes)
            or self._content_problem(names, causes, revision)
            or self._connection_problem(names, status, causes)
            or EvalkitError(
                f"{_capital(self)} could not be loaded from the hub: {_first_line(error)}.",
                self._way_round("check the connection and the cache"),
            )
        )

    def _access_problem(
        self, names: set[str], status: int | None, causes: Sequence[BaseException]
    ) -> EvalkitError | None:
        gated = any("is a gated dataset" in str(cause) for cause in causes)  # what `datasets` makes of it
        if gated or "GatedRepoError" in names or status == 403:
            if has_token():
                return EvalkitError(
                    f"{_capital(self)} is gated, and this account has no access to it.",
                    self._way_round(f"accept its terms at {self.page}, and log in with `hf auth login` as that user"),
                )
            return EvalkitError(
                f"{_capital(self)} is gated, and nobody is logged in.",
                self._way_round(f"accept its terms at {self.page}, then log in with `hf auth login` or set HF_TOKEN"),
            )
        if "RepositoryNotFoundError" in names or status == 401:
            login = "the token may be expired: `hf auth login`" if has_token() else "log in with `hf auth login`"
            return EvalkitError(
                f"{endpoint()} has no {str(self).removeprefix('the ')}, or it is private.",
                f"check the name; if it is private, {login}.",
            )
        return None

    def _content_problem(
        self, names: set[str], causes: Sequence[BaseException], revision: str | None
    ) -> EvalkitError | None:
        if "RevisionNotFoundError" in names:
            return EvalkitError(
                f"{_capital(self)} has no revision {revision or 'main'}.", f"{self.page}/commits/main lists them."
            )
        if names & {"OfflineModeIsEnabled", "LocalEntryNotFoundError"} and is_offline():
            return self.not_cached(revision or "main")
        if names & {"EntryNotFoundError", "RemoteEntryNotFoundError"} and "LocalEntryNotFoundError" not in names:
            said = next((_first_line(each) for each in causes if "EntryNotFound" in type(each).__name__), "")
            return EvalkitError(
                f"{_capital(self)} lacks a file at {revision or 'main'}: {said}.", f"see {self.page}/tree/main."
            )
        if any("onsistency check failed" in str(cause) for cause in causes) or (
            names & _BROKEN_OFF and not names & {"ConnectError"}
        ):
            return EvalkitError(
                f"The download of {self} broke off.", "run the same command again: what has come is kept."
            )
        return None

    def _connection_problem(
        self, names: set[str], status: int | None, causes: Sequence[BaseException]
    ) -> EvalkitError | None:
        if status is not None:
            advice = "wait and run the same command again" if status == 429 or status >= 500 else "see its page"
            return EvalkitError(
                f"{endpoint()} answered {status} for {self}.", self._way_round(f"{advice} ({self.page})")
            )
        if names & (_UNREACHABLE | {"LocalEntryNotFoundError"}):
            faults = [each for each in causes if {c.__name__ for c in type(each).__mro__} & _UNREACHABLE]
            reason = next((_first_line(each) for each in faults if str(each)), "no answer")
            return EvalkitError(
                f"{endpoint()} cannot be reached for {self}: {reason}.",
                self._way_round("check the connection, or name a mirror with HF_ENDPOINT"),
            )
        return None

    def _way_round(self, advice: str) -> str:
        if self.kind == "dataset":
            return f"{advice}, or pass a folder with its files by --data DIR or EVALKIT_DATA."
        return f"{advice}, or give a folder with its files."

    def not_cached(self, revision: str, names: Sequence[str] = ()) -> EvalkitError:
        what = f" ({names[0]})" if names else ""
        folder = self._cache / "snapshots"
        kept = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        other = ", ".join(kept[:3])
        return EvalkitError(
            f"The hub is offline (HF_HUB_OFFLINE), and the cache does not have revision {revision} of {self}{what}.",
            self._way_round("unset HF_HUB_OFFLINE once to download it")
            if not kept or kept == [revision]
            else self._way_round(f"the cache has {other}: unset HF_HUB_OFFLINE once to download the other"),
        )

    @property
    def _cache(self) -> Path:
        from huggingface_hub import constants

        return Path(constants.HF_HUB_CACHE) / "--".join([f"{self.kind}s", *self.name.split("/")])

    def _last_seen(self, revision: str) -> str | None:
        try:
            commit = (self._cache / "refs" / revision).read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            return None
        return commit if _COMMIT.fullmatch(commit) else None

    def _remember(self, revision: str, commit: str) -> None:
        """Write the cache's own reference, as the client does when it loads by branch: offline it is read."""
        if ".." in revision.split("/") or Path(revision).is_absolute():
            return
        path = self._cache / "refs" / revision
        partial = path.with_name(f"{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(commit, encoding="utf-8")
            partial.replace(path)
        except OSError as error:  # a cache that cannot be written: what follows says so where it matters
            logger.debug("%s cannot be written: %s", path, error)


def endpoint() -> str:
    """The hub's address: https://huggingface.co, or what HF_ENDPOINT names."""
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids requests to the hub."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def has_token() -> bool:
    from huggingface_hub import get_token

    return get_token() is not None


def refuse_modelscope(name: str) -> None:
    """Raises EvalkitError where the environment asks for ModelScope, which has other files under the same names."""
    for variable in MODELSCOPE_VARIABLES:
        if os.environ.get(variable, "").lower() in ("1", "true", "yes", "on"):
            raise EvalkitError(
                f"{variable} asks for ModelScope, and evalkit reads {name} from {endpoint()}, which may be another.",
                f"run `modelscope download --model {name} --local_dir DIR` and give DIR, or unset {variable}.",
            )


def without_keys(text: str) -> str:
    """The text without the queries of addresses: those of signed ones give access."""
    return _QUERY.sub(r"\1", text)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def is_of_the_hub(error: BaseException) -> bool:
    """Whether an exception, or what caused it, comes from the hub or the way to it, and not from a file's content."""
    causes = list(_causes(error))
    names = {each.__name__ for cause in causes for each in type(cause).__mro__}
    own = any(type(cause).__module__.startswith(("huggingface_hub", "httpx", "httpcore")) for cause in causes)
    return own or bool(names & (_UNREACHABLE | _BROKEN_OFF)) or _is_full(causes)


def _is_unreachable(error: BaseException) -> bool:
    causes = list(_causes(error))
    statuses = [code for cause in causes if (code := _status(cause)) is not None]
    names = {each.__name__ for cause in causes for each in type(cause).__mro__}
    return any(code >= 500 for code in statuses) or (not statuses and bool(names & (_UNREACHABLE | _BROKEN_OFF)))


def _status(error: BaseException) -> int | None:
    code = getattr(getattr(error, "response", None), "status_code", None)
    return code if isinstance(code, int) and code >= 400 else None


def _is_full(causes: Sequence[BaseException]) -> bool:
    full = (errno.ENOSPC, errno.EDQUOT)
    return any(getattr(each, "errno", None) in full or "No space left on device" in str(each) for each in causes)


def _first_line(error: BaseException) -> str:
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return without_keys(f"{type(error).__name__}: {line}" if line else type(error).__name__).rstrip(".")


def _capital(thing: object) -> str:
    text = str(thing)
    return text[:1].upper() + text[1:]


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def _existing(path: Path) -> Path:
    """The path or the nearest folder above it that exists."""
    return next(each for each in (path, *path.parents) if each.exists())


def _progress_class() -> Any:
    """The client's bar; where stderr is no terminal, a line in the log from time to time."""
    from huggingface_hub import utils

    bar: Any = utils.tqdm  # type: ignore[attr-defined]  # public, though not listed

    class Lines(bar):  # type: ignore[misc]
        """Shows no bar, and says every 15 seconds how far a download has come."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            self.come, self.whole = options.get("initial") or 0, options.get("total")
            self.about, self.told = options.get("desc") or "", time.monotonic()
            super().__init__(*arguments, **{**options, "disable": True})

        def update(self, n: float | None = 1) -> bool | None:
            self.come += n or 0
            if time.monotonic() - self.told >= _SECONDS_BETWEEN_LINES:
                self.told = time.monotonic()
                whole = f" of {_gigabytes(self.whole)}" if self.whole else ""
                logger.info("%s: %s%s", self.about, _gigabytes(self.come), whole)
            return super().update(n)  # type: ignore[no-any-return]

    try:
        terminal = os.isatty(2)
    except OSError:
        terminal = False
    return bar if terminal else Lines
