"""Published figures with their provenance, and whether ours reproduces them."""

import csv
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from evalkit.benchmark.registry import did_you_mean
from evalkit.errors import EvalkitError
from evalkit.results.metrics import unit_of
from evalkit.types import Unit

PAPER = "deepseek-r1"
_COLUMNS = ("model", "benchmark", "task", "metric", "value", "sd", "n", "protocol", "settings", "source", "note")
_REQUIRED = ("model", "benchmark", "metric", "value", "source")


@dataclass(frozen=True, slots=True)
class PublishedScore:
    """One published figure: percent, or rating points for the metric `rating`.

    `task` is evalkit's name of the benchmark, empty where there is none. `sd` is the standard deviation between runs
    and `n` the number of samples per problem (of runs where there is an `sd`); None where the source does not tell.
    `protocol` names the preset that has the source's settings, empty where none is known to; `settings` tells others,
    such as a temperature or an option of the task.
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
        """What shares a column with this figure: the task (or the benchmark's own name) and the metric."""
        return self.task or self.benchmark, self.metric


def published_names() -> list[str]:
    """The names of the published tables that come with evalkit."""
    return sorted(f.name.removesuffix(".csv") for f in files("evalkit_published").iterdir() if f.name.endswith(".csv"))


def load_published(name_or_file: str) -> list[PublishedScore]:
    """The figures of a published table: by name, or from a CSV file of the same columns, in the file's order.

    Raises EvalkitError if there is no such table or a row is wrong.
    """
    if name_or_file.endswith(".csv"):
        path = Path(name_or_file)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise EvalkitError(
                f"The table {path} cannot be read: {error}.", "give a CSV file, or one of the names."
            ) from error
        return list(_rows(text, str(path)))
    names = published_names()
    if name_or_file not in names:
        raise EvalkitError(
            f"There is no published table {name_or_file!r}.{did_you_mean(name_or_file, names)}",
            f"available: {', '.join(names)}; or give a CSV file of your own.",
        )
    return list(_rows((files("evalkit_published") / f"{name_or_file}.csv").read_text(encoding="utf-8"), name_or_file))


def _rows(text: str, where: str) -> Iterator[PublishedScore]:
    reader = csv.DictReader(text.splitlines())
    if missing := [c for c in _REQUIRED if c not in (reader.fieldnames or ())]:
        raise EvalkitError(f"{where} has no column {missing[0]}.", f"its columns have to be {', '.join(_COLUMNS)}.")
    for number, row in enumerate(reader, start=2):
        try:
            value = float(row["value"])
            sd, n = float(row["sd"]) if row.get("sd") else None, int(row["n"]) if row.get("n") else None
            settings = _settings(row.get("settings") or "")
            wrong = not (
                math.isfinite(value)
                and all(row[c] for c in _REQUIRED)
                and (n is None or n > 0)
                and (sd is None or (math.isfinite(sd) and sd >= 0))
            )
        except (TypeError, ValueError):
            wrong = True
        if wrong:
            raise EvalkitError(
                f"Line {number} of {where} is not a published figure.",
                f"each needs {', '.join(_REQUIRED)}; settings are written temperature=0.8; top_p=0.9.",
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
    """`temperature=0.8; top_p=0.9` by name. Raises ValueError where a part is not of that form."""
    pairs = [part.split("=", 1) for part in text.split(";") if part.strip()]
    return {name.strip(): value.strip() for name, value in pairs}


def model_key(name: str) -> str:
    """What two spellings of one model have in common: the last part of its path, in lower case."""
    return re.sub(r"[^a-z0-9.]+", "-", name.rstrip("/").split("/")[-1].lower())
