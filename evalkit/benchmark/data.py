"""Loads the rows of a benchmark: from the hub at a pinned revision, or from local files with the same columns."""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evalkit.benchmark.file_cache import kept_for_file
from evalkit.benchmark.files import COMPRESSIONS, FORMATS, Row, Wanted, plain_name, read_rows
from evalkit.benchmark.task import DatasetSpec, Task, normalised
from evalkit.errors import EvalkitError
from evalkit.hub import Repository, is_of_the_hub

_SHARD = re.compile(r"(.*)-(\d{5})-of-(\d{5})(\..+)")


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
    right answers. `beside` is the folder of the task that loads: there its own file is looked for first. `in_order` has
    the fingerprint that earlier versions gave to a set without an order, by its present one.

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
    beside: Path | None = None
    in_order: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_option(cls, folder: str | None, allow_changed: bool = False) -> "DataSource":
        """A source for `folder`, or by default for the folder in EVALKIT_DATA, or else for the hub.

        Raises EvalkitError if the folder does not exist.
        """
        chosen = folder or os.environ.get("EVALKIT_DATA")
        if not chosen:
            return cls(allow_changed=allow_changed)
        if not Path(chosen).exists():
            raise EvalkitError(
                f"The data folder {chosen} does not exist.",
                "pass an existing folder with --data or EVALKIT_DATA, or neither to use the hub.",
            )
        return cls(root=Path(chosen), allow_changed=allow_changed)

    def rows(self, spec: DatasetSpec, wanted: Wanted | None = None) -> list[Row]:
        """The rows of the split, in order: all of them, or those that `wanted` chooses by `spec.columns`.

        Raises EvalkitError if the data set is missing, gated or damaged, lacks a column, or has another number of rows.
        """
        revision = None
        if spec.own_rows is not None:
            source = spec.hub_id
            found = _checked(_chosen(map(dict, spec.own_rows), wanted), spec, source, wanted)
        elif spec.path is not None:
            file = _own_file(spec.path, self.beside)
            source = str(file)
            found = _of_files([file], spec, wanted, source)
        elif self.root is None:
            repository = Repository(spec.hub_id, "dataset")
            revision = repository.commit(spec.revision)
            source = f"hub:{spec.hub_id}"
            found = _of_files(_hub_files(spec, repository, revision), spec, wanted, source)
        else:
            paths = self._local_files(spec)
            source = ", ".join(str(path).split("::")[0] for path in paths)
            found = _of_files(paths, spec, wanted, source)
        rows = list(found)
        if not rows and wanted is None:
            raise EvalkitError(f"{spec.hub_id} is empty at {source}.", "download the whole data set.")
        if spec.rows is not None and wanted is None and len(rows) != spec.rows and not self.allow_changed:
            raise EvalkitError(
                f"{spec.hub_id} has {len(rows)} rows at {source}, but the benchmark has {spec.rows}.",
                "download the whole data set, or pass --allow-changed-data to use your own.",
            )
        fingerprint = _fingerprint(rows if spec.ordered else sorted(rows, key=_line))
        if not spec.ordered:
            self.in_order[fingerprint] = _fingerprint(rows)
        self.loaded.append(LoadedData(spec.hub_id, source, revision, len(rows), fingerprint))
        return rows

    def has_loaded(self, fingerprints: Sequence[str | None]) -> bool:
        """Whether the sets with these recorded fingerprints, of this version or an earlier one, are what was loaded."""
        known = [(data.fingerprint, self.in_order.get(data.fingerprint)) for data in self.loaded]
        return len(known) == len(fingerprints) and all(
            one is not None and one in of_set for one, of_set in zip(fingerprints, known, strict=True)
        )

    def files(self, spec: DatasetSpec) -> list[Path]:
        """The paths of `spec.files`, for data sets that are too large to hold in memory as rows.

        Raises EvalkitError if one of them is missing, unless changed data are allowed and there is another.
        """
        commit = None
        if self.root is None:
            repository = Repository(spec.hub_id, "dataset")
            commit = repository.commit(spec.revision)
            paths = repository.fetch(commit, spec.files)
        else:
            paths = self._all_local_files(spec)
        digest = hashlib.sha256()
        for path in paths:
            digest.update(bytes.fromhex(kept_for_file(path, "sha256", _sha256)))
        source = f"hub:{spec.hub_id}" if self.root is None else ", ".join(map(str, paths))
        self.loaded.append(LoadedData(spec.hub_id, source, commit, None, digest.hexdigest()))
        return paths

    def _candidates(self, spec: DatasetSpec) -> Iterator[Path]:
        assert self.root is not None
        name = spec.hub_id.split("/")[-1]
        yield from (self.root / spec.hub_id, self.root / name, self.root / spec.hub_id.replace("/", "__"))
        yield self.root

    def _local_files(self, spec: DatasetSpec) -> list[Path]:
        """The first of `spec.files` that exists, or else the files of the split in a layout that the hub exports."""
        if self.root is not None and self.root.is_file():
            return [self.root]
        prefix = f"{spec.config}/" if spec.config else ""
        patterns = [name.split("::")[0] for name in spec.files]
        patterns += [f"{name}{ending}" for name in patterns for ending in COMPRESSIONS]
        patterns += [
            f"{folder}{spec.split}{shard}.{form}{compression}"
            for folder in (prefix, "", "data/")
            for form in FORMATS
            for shard in ("", "-*")
            for compression in ("", *COMPRESSIONS)
        ]
        patterns += [f"{folder}{spec.split}/data-*.arrow" for folder in (prefix, "")]  # a saved DatasetDict
        for folder in self._candidates(spec):
            for pattern in patterns:
                if found := sorted(folder.glob(pattern)):
                    member = next(
                        (f.split("::")[1] for f in spec.files if "::" in f and f.split("::")[0] == pattern), None
                    )
                    _require_all_shards(found)
                    return [Path(f"{path}::{member}") for path in found] if member else found
            if found := _saved_dataset(folder, spec.split):
                return found
        raise self._missing(spec, patterns[0])

    def _all_local_files(self, spec: DatasetSpec) -> list[Path]:
        if self.root is not None and self.root.is_file():
            return [self.root]
        for folder in self._candidates(spec):
            found = [folder / name for name in spec.files if (folder / name).is_file()]
            if found and (len(found) == len(spec.files) or self.allow_changed):
                return found
            if found:
                absent = [name for name in spec.files if folder / name not in found]
                raise EvalkitError(
                    f"{folder} lacks {', '.join(absent)}, without which {spec.hub_id} is not whole.",
                    "download the whole data set, or pass --allow-changed-data to use what is there.",
                )
            if packed := [path for name in spec.files for path in folder.glob(f"{name}.*") if path.is_file()]:
                raise EvalkitError(
                    f"{packed[0]} is compressed, and this data set is read in place.", f"unpack it in {folder}."
                )
        raise self._missing(spec, " or ".join(spec.files))

    def _missing(self, spec: DatasetSpec, wanted: str) -> EvalkitError:
        folder = spec.hub_id.split("/")[-1]
        return EvalkitError(
            f"The data folder {self.root} has no {folder}/{wanted}, which {spec.hub_id} needs.",
            f"put the files of {Repository(spec.hub_id, 'dataset').page} into {self.root}/{folder}/, "
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


def _chosen(rows: Iterable[Row], wanted: Wanted | None) -> Iterator[Row]:
    return iter(rows) if wanted is None else filter(wanted, rows)


def _of_files(paths: Sequence[Path], spec: DatasetSpec, wanted: Wanted | None, source: str) -> Iterator[Row]:
    for path in paths:
        where = source if len(paths) == 1 else str(path).split("::")[0]
        yield from _checked(read_rows(path, spec.zip_password, wanted, spec.columns), spec, where, wanted)


def _checked(rows: Iterable[Row], spec: DatasetSpec, source: str, wanted: Wanted | None) -> Iterator[Row]:
    """The rows of one file. They are counted from 1; where only some are `wanted`, those are."""
    for number, row in enumerate(rows, start=1):
        missing = [c for c in spec.columns if not isinstance(row, dict) or row.get(c) is None]
        if missing:
            which = f"Row {number} of" if wanted is None else f"Row {number} of those asked for in"
            raise EvalkitError(
                f"{which} {source} has no {', '.join(missing)}.",
                f"{spec.hub_id} needs the columns {', '.join(spec.columns)}.",
            )
        yield row


def _fingerprint(rows: Sequence[Row]) -> str:
    """The sha256 of the rows as one JSON array."""
    digest = hashlib.sha256(b"[")
    for number, row in enumerate(rows):
        digest.update((", " if number else "").encode() + _line(row).encode())
    digest.update(b"]")
    return digest.hexdigest()


def _line(row: Row) -> str:
    return json.dumps(row, sort_keys=True, default=str)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _own_file(name: str, beside: Path | None) -> Path:
    """The file at a path that is relative to the folder of the task, or else to the current folder."""
    tried = [Path(name)] if beside is None or Path(name).is_absolute() else [beside / name, Path(name)]
    if found := next((path for path in tried if path.is_file()), None):
        return found
    where = " or ".join(dict.fromkeys(str(path.absolute()) for path in tried))
    raise EvalkitError(
        f"There is no file {where}.",
        "pass the path of a jsonl, json, csv or parquet file; a package has to list it as package data.",
    )


def _saved_dataset(folder: Path, split: str) -> list[Path]:
    """The files of a data set that `save_to_disk` wrote without a folder for each split."""
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        names = [Path(each["filename"]).name for each in state["_data_files"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    if state.get("_split") not in (None, split):
        return []
    if absent := [name for name in names if not (folder / name).is_file()]:
        raise EvalkitError(f"{folder} lacks {absent[0]}, which its state.json names.", "copy the whole folder again.")
    return [folder / name for name in names]


def _require_all_shards(paths: Sequence[Path]) -> None:
    """Raises EvalkitError where a file is one of several (`-00000-of-00003`) and another of them is missing."""
    shards = [match for path in paths if (match := _SHARD.fullmatch(path.name))]
    for whole in {(match[1], match[3], match[4]) for match in shards}:
        there = [int(match[2]) for match in shards if (match[1], match[3], match[4]) == whole]
        absent = sorted(set(range(int(whole[1]))) - set(there))
        if absent:
            raise EvalkitError(
                f"{paths[0].parent} lacks {whole[0]}-{absent[0]:05}-of-{whole[1]}{whole[2]}, a part of the data set.",
                "download the whole data set.",
            )


def _hub_files(spec: DatasetSpec, repository: Repository, commit: str) -> list[Path]:
    """The files of the split at a commit: which they are is said by the card and the layout, as `datasets` reads them.

    Offline only what is in the cache is seen, and nothing but this commit is taken.
    """
    import datasets

    datasets.utils.logging.set_verbosity_error()
    snapshot = str(repository.snapshot(commit))
    online = repository.answers(commit)  # asked once: the client of `datasets` would try for half a minute
    try:
        if online:
            config = datasets.load_dataset_builder(spec.hub_id, spec.config, revision=commit).config
        else:
            config = datasets.load_dataset_builder(snapshot, spec.config).config
    except Exception as error:  # the hub's client and `datasets` raise a dozen unrelated types
        if not online and not is_of_the_hub(error):
            raise repository.not_cached(commit) from error
        raise repository.explain(error, commit) from error
    listed = dict(config.data_files or {})
    if spec.split not in listed:
        raise EvalkitError(
            f"{spec.hub_id} has no split {spec.split!r}{f' in {spec.config}' if spec.config else ''}.",
            f"it has {', '.join(map(str, listed)) or 'no data files'}.",
        )
    names = [str(each).removeprefix(f"hf://datasets/{spec.hub_id}@{commit}/") for each in listed[spec.split]]
    names = [str(Path(name).relative_to(snapshot)) if Path(name).is_absolute() else name for name in names]
    _require_all_shards([Path(name) for name in names])
    for name in names:
        if not plain_name(name).endswith(tuple(f".{form}" for form in FORMATS)):
            raise EvalkitError(
                f"{name} of {spec.hub_id} is in a format that is not read here.", f"it has to be {', '.join(FORMATS)}."
            )
    return repository.fetch(commit, names)
