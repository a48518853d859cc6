"""Published figures and their sources."""

import csv
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from evalkit.benchmark.registry import did_you_mean
from evalkit.errors import EvalkitError
from evalkit.files import read_file
from evalkit.results.metrics import unit_of
from evalkit.types import Unit

_LARGEST = 1e9
PAPER = "deepseek-r1"
_COLUMNS = ("model", "benchmark", "task", "metric", "value", "sd", "n", "protocol", "settings", "source", "note")
_REQUIRED = ("model", "benchmark", "metric", "value", "source")


@dataclass(frozen=True, slots=True)
class PublishedScore:
    """One published figure, in percent, or in rating points for the metric `rating`.

    `task` is evalkit's name of the benchmark, or empty. `sd` is the standard deviation between runs, and `n` the number
    of samples per problem (the number of runs if there is an `sd`). Both are None if the source does not give them.
    `protocol` names the preset with the source's settings, or is empty. `settings` holds further settings, such as a
    temperature or an option of the task.
    """

    model: str
    benchmark: str
    task: str
    metric: str
    value: float
    sd: float | None
    n: int | None
    protocol: str
    settings: Mapping[str, str]
    source: str
    note: str

    @property
    def unit(self) -> Unit:
        return unit_of(self.metric)

    @property
    def column(self) -> tuple[str, str]:
        """The column of this figure: the task (or the benchmark's name) and the metric."""
        return self.task or self.benchmark, self.metric


def published_names() -> list[str]:
    """The names of the published tables that come with evalkit."""
    return sorted(f.name.removesuffix(".csv") for f in files("evalkit_published").iterdir() if f.name.endswith(".csv"))


def load_published(name_or_file: str) -> list[PublishedScore]:
    """The figures of a published table, given by name or as a CSV file with the same columns, in file order.

    Raises EvalkitError if the table does not exist or a row is invalid.
    """
    if name_or_file.endswith(".csv"):
        path = Path(name_or_file)
        try:
            text = read_file(path).decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise EvalkitError(
                f"The table {path} cannot be read: {error}.", "pass a CSV file or the name of a published table."
            ) from error
        return list(_rows(text, str(path)))
    names = published_names()
    if name_or_file not in names:
        raise EvalkitError(
            f"There is no published table {name_or_file!r}.{did_you_mean(name_or_file, names)}",
            f"available: {', '.join(names)}; or pass a CSV file.",
        )
    return list(_rows((files("evalkit_published") / f"{name_or_file}.csv").read_text(encoding="utf-8"), name_or_file))


def _rows(text: str, where: str) -> Iterator[PublishedScore]:
    try:
        yield from _parsed(text, where)
    except csv.Error as error:
        raise EvalkitError(f"{where} is no CSV file: {error}.", f"the columns are {', '.join(_COLUMNS)}.") from error


def _parsed(text: str, where: str) -> Iterator[PublishedScore]:
    csv.field_size_limit(1 << 30)
    reader = csv.DictReader(io.StringIO(text, newline=""))
    if missing := [c for c in _REQUIRED if c not in (reader.fieldnames or ())]:
        raise EvalkitError(f"{where} has no column {missing[0]}.", f"the columns are {', '.join(_COLUMNS)}.")
    for row in reader:
        try:
            value = float(row["value"])
            sd, n = float(row["sd"]) if row.get("sd") else None, int(row["n"]) if row.get("n") else None
            settings = _settings(row.get("settings") or "")
            wrong = not (
                abs(value) <= _LARGEST
                and (unit_of(row["metric"]) != "%" or 0 <= value <= 100)
                and all(row[c] for c in _REQUIRED)
                and (n is None or 0 < n <= _LARGEST)
                and (sd is None or 0 <= sd <= _LARGEST)
            )
        except (TypeError, ValueError, AttributeError):
            wrong = True
        if wrong:
            raise EvalkitError(
                f"Line {reader.line_num} of {where} is not a published figure.",
                f"required are {', '.join(_REQUIRED)}; rates are in percent, 0 to 100; settings are written as "
                "temperature=0.8; top_p=0.9.",
            )
        yield PublishedScore(
            model=row["model"],
            benchmark=row["benchmark"],
            task=row.get("task") or "",
            metric=row["metric"],
            value=value,
            sd=sd,
            n=n,
            protocol=row.get("protocol") or "",
            settings=settings,
            source=row["source"],
            note=row.get("note") or "",
        )


def _settings(text: str) -> dict[str, str]:
    """Parse `temperature=0.8; top_p=0.9` into a dict. Raises ValueError if a part does not have that form."""
    pairs = [part.split("=", 1) for part in text.split(";") if part.strip()]
    return {name.strip(): value.strip() for name, value in pairs}


def model_key(name: str) -> str:
    """A key that is equal for two spellings of one model: the last part of its path, in lower case."""
    return re.sub(r"[^a-z0-9.]+", "-", name.rstrip("/").split("/")[-1].lower())
