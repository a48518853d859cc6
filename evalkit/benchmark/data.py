"""Loads the rows of a benchmark: from the hub at a pinned revision, or from local files with the same columns."""

import csv
import hashlib
import io
import json
import os
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit.benchmark.task import DatasetSpec, Task, normalised
from evalkit.errors import EvalkitError

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class LoadedData:
    """A data set that was loaded, as recorded in run.json.

    `fingerprint` is the sha256 of the content. `rows` is None if files were loaded instead of rows.
    """

    hub_id: str
    source: str
    revision: str | None
    rows: int | None
    fingerprint: str


@dataclass(slots=True)
class DataSource:
    """Loads data sets from the local folder `root`, or from the hub if there is none.

    `root` holds the data sets in folders of their names; it may also be the folder of the one data set that is wanted,
    or its file. `loaded` lists the data sets that were loaded. `allow_changed` disables the check of row counts and
    right answers.

    Examples:
        >>> source = DataSource()
        >>> source.rows(DatasetSpec.from_rows([{"question": "What is 6 * 7?", "answer": "42"}]))
        [{'question': 'What is 6 * 7?', 'answer': '42'}]
        >>> [data.rows for data in source.loaded]
        [1]
    """

    root: Path | None = None
    allow_changed: bool = False
    loaded: list[LoadedData] = field(default_factory=list)

    @classmethod
    def from_option(cls, folder: str | None, allow_changed: bool = False) -> "DataSource":
        """A source for `folder`, or by default for the folder in EVALKIT_DATA, or else for the hub.

        Raises EvalkitError if the folder does not exist.
        """
        chosen = folder or os.environ.get("EVALKIT_DATA")
        if chosen is None:
            return cls(allow_changed=allow_changed)
        if not Path(chosen).exists():
            raise EvalkitError(
                f"The data folder {chosen} does not exist.",
                "pass an existing folder with --data or EVALKIT_DATA, or neither to use the hub.",
            )
        return cls(root=Path(chosen), allow_changed=allow_changed)

    def rows(self, spec: DatasetSpec) -> list[Row]:
        """All rows of the split, in order.

        Raises EvalkitError if the data set is missing, gated or damaged, lacks a column, or has another number of rows.
        """
        revision = None
        if spec.own_rows is not None:
            rows, source = [dict(row) for row in spec.own_rows], spec.hub_id
        elif spec.path is not None:
            rows, source = _own_file(spec.path), spec.path
        elif self.root is None:
            rows, revision = _hub_rows(spec)
            source = f"hub:{spec.hub_id}"
        else:
            paths = self._local_files(spec)
            rows = [row for path in paths for row in _read_file(path, spec.zip_password)]
            source = ", ".join(path.split("::")[0] for path in map(str, paths))
        _check_schema(rows, spec, source)
        if spec.rows is not None and len(rows) != spec.rows and not self.allow_changed:
            raise EvalkitError(
                f"{spec.hub_id} has {len(rows)} rows at {source}, but the benchmark has {spec.rows}.",
                "download the whole data set, or pass --allow-changed-data to use your own.",
            )
        content = json.dumps(rows, sort_keys=True, default=str).encode()
        self._note(spec, source, revision, len(rows), hashlib.sha256(content).hexdigest())
        return rows

    def files(self, spec: DatasetSpec) -> list[Path]:
        """The paths of `spec.files`, for data sets that are too large to hold in memory as rows."""
        paths = [_hub_file(spec, name) for name in spec.files] if self.root is None else self._all_local_files(spec)
        digest = hashlib.sha256()
        for path in paths:
            with path.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        source = f"hub:{spec.hub_id}" if self.root is None else ", ".join(map(str, paths))
        self._note(spec, source, spec.revision if self.root is None else None, None, digest.hexdigest())
        return paths

    def _note(self, spec: DatasetSpec, source: str, revision: str | None, rows: int | None, fingerprint: str) -> None:
        self.loaded.append(LoadedData(spec.hub_id, source, revision, rows, fingerprint))

    def _candidates(self, spec: DatasetSpec) -> Iterator[Path]:
        assert self.root is not None
        name = spec.hub_id.split("/")[-1]
        yield from (self.root / spec.hub_id, self.root / name, self.root / spec.hub_id.replace("/", "__"))
        yield self.root

    def _local_files(self, spec: DatasetSpec) -> list[Path]:
        """The first of `spec.files` that exists, or else the files of the split in a layout that the hub exports."""
        if self.root is not None and self.root.is_file():
            return [self.root]
        endings = ("jsonl", "parquet", "csv", "json")
        patterns = [name.split("::")[0] for name in spec.files]
        prefix = f"{spec.config}/" if spec.config else ""
        patterns += [
            f"{p}{spec.split}{shard}.{e}" for p in (prefix, "", "data/") for e in endings for shard in ("", "-*")
        ]
        for folder in self._candidates(spec):
            for pattern in patterns:
                if found := sorted(folder.glob(pattern)):
                    member = next(
                        (f.split("::")[1] for f in spec.files if "::" in f and f.split("::")[0] == pattern), None
                    )
                    return [Path(f"{path}::{member}") for path in found] if member else found
        raise self._missing(spec, patterns[0])

    def _all_local_files(self, spec: DatasetSpec) -> list[Path]:
        if self.root is not None and self.root.is_file():
            return [self.root]
        for folder in self._candidates(spec):
            if found := [folder / name for name in spec.files if (folder / name).is_file()]:
                return found
        raise self._missing(spec, " or ".join(spec.files))

    def _missing(self, spec: DatasetSpec, wanted: str) -> EvalkitError:
        folder = spec.hub_id.split("/")[-1]
        return EvalkitError(
            f"The data folder {self.root} has no {folder}/{wanted}, which {spec.hub_id} needs.",
            f"put the files of https://huggingface.co/datasets/{spec.hub_id} into {self.root}/{folder}/, "
            "or unset --data and EVALKIT_DATA to use the hub.",
        )


DataFolders = str | Path | Mapping[str, str | Path] | None
"""One folder for all tasks, or a folder for each task by name; under `""` stands the one for the others."""


def read_data_options(values: Sequence[str]) -> DataFolders:
    """The folders that `--data DIR` and `--data TASK=DIR` name.

    Raises EvalkitError if two are given for the same tasks.

    Examples:
        >>> read_data_options(["data", "math500=my/MATH-500"])
        {'': 'data', 'math500': 'my/MATH-500'}
    """
    folders: dict[str, str | Path] = {}
    for value in values:
        task, equals, folder = value.partition("=")
        if not equals or Path(value).exists():
            task, folder = "", value
        if task in folders:
            what = f"the task {task}" if task else "all tasks"
            raise EvalkitError(f"--data is given twice for {what}.", "use --data TASK=DIR for the data of one task.")
        folders[task] = folder
    return folders or None


def data_folder_of(task: type[Task] | Task, folders: DataFolders) -> str | None:
    """The folder in `folders` for one task, named by its name or an alias; None for EVALKIT_DATA or the hub."""
    if not isinstance(folders, Mapping):
        return str(folders) if folders else None
    spellings = {normalised(name) for name in (task.name, *task.aliases)}
    found = next((v for k, v in folders.items() if normalised(k) in spellings), folders.get(""))
    return str(found) if found else None


def _check_schema(rows: Sequence[Row], spec: DatasetSpec, source: str) -> None:
    if not rows:
        raise EvalkitError(f"{spec.hub_id} is empty at {source}.", "download the whole data set.")
    for number, row in enumerate(rows, start=1):
        missing = [c for c in spec.columns if not isinstance(row, dict) or row.get(c) is None]
        if missing:
            raise EvalkitError(
                f"Row {number} of {source} has no {', '.join(missing)}.",
                f"{spec.hub_id} needs the columns {', '.join(spec.columns)}.",
            )


def _read_file(path: Path, password: str | None) -> list[Row]:
    name, _, member = str(path).partition("::")
    try:
        if member:
            return _parse(_read_member(Path(name), member, password), member, name)
        if path.suffix == ".parquet":
            import pandas as pd

            return [{str(k): v for k, v in row.items()} for row in pd.read_parquet(path).to_dict("records")]
        return _parse(path.read_bytes(), path.name, name)
    except EvalkitError:
        raise
    except (OSError, ValueError, zipfile.BadZipFile, RuntimeError) as error:
        raise EvalkitError(f"{name} cannot be read: {error}.", "download the file again.") from error


def _own_file(name: str) -> list[Row]:
    if not Path(name).is_file():
        raise EvalkitError(f"There is no file {name}.", "pass the path of a jsonl, json, csv or parquet file.")
    return _read_file(Path(name), None)


def _read_member(archive: Path, member: str, password: str | None) -> bytes:
    with zipfile.ZipFile(archive) as zipped:
        names = [n for n in zipped.namelist() if n == member or n.endswith("/" + member)]
        if not names:
            raise EvalkitError(f"{archive} does not contain {member}.", "download the archive again.")
        return zipped.read(names[0], pwd=password.encode() if password else None)


def _parse(content: bytes, name: str, where: str) -> list[Row]:
    text = content.decode("utf-8")
    if name.endswith(".csv"):
        csv.field_size_limit(1 << 30)
        return list(csv.DictReader(io.StringIO(text, newline="")))
    if name.endswith(".json"):
        value = json.loads(text)
        return value if isinstance(value, list) else [value]
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            raise EvalkitError(
                f"Line {number} of {where} is not JSON: {error}.",
                "the file is damaged or not JSON lines; download it again.",
            ) from error
    return rows


def _hub_problem(spec: DatasetSpec, error: Exception) -> EvalkitError:
    page = f"https://huggingface.co/datasets/{spec.hub_id}"
    kind = type(error).__name__
    text = str(error)
    first_line = f"{kind}: {text.splitlines()[0]}" if text else kind
    if kind == "GatedRepoError" or "gated" in text.lower() or "401" in text or "403" in text:
        return EvalkitError(
            f"The data set {spec.hub_id} is gated and this account has no access to it.",
            f"accept its terms at {page} and log in with `hf auth login`, or pass a local copy with --data DIR.",
        )
    return EvalkitError(
        f"The data set {spec.hub_id} could not be loaded from the hub: {first_line}.",
        f"check the connection, or download {page} and pass its folder with --data DIR or EVALKIT_DATA.",
    )


def _hub_rows(spec: DatasetSpec) -> tuple[list[Row], str]:
    """The rows, and the commit of the spec's revision (or the revision itself if the commit is not known)."""
    import datasets

    datasets.utils.logging.set_verbosity_error()
    try:
        loaded = datasets.load_dataset(spec.hub_id, spec.config, split=spec.split, revision=spec.revision)
        commits = {Path(f["filename"]).parent.name for f in loaded.cache_files}
        commit = commits.pop() if len(commits) == 1 else ""
        return [dict(row) for row in loaded], commit if re.fullmatch("[0-9a-f]{40}", commit) else spec.revision
    except Exception as error:  # the hub's client raises a dozen unrelated types
        raise _hub_problem(spec, error) from error


def _hub_file(spec: DatasetSpec, name: str) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(spec.hub_id, name, repo_type="dataset", revision=spec.revision))
    except Exception as error:  # the hub's client raises a dozen unrelated types
        raise _hub_problem(spec, error) from error
