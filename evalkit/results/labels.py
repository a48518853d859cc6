"""Short names of runs for tables and pictures: the end of the model's name that tells it from the others."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from evalkit.errors import EvalkitError
from evalkit.results.entries import Entry


def run_labels(entries: Sequence[Entry], given: Mapping[str, str] | None = None) -> dict[Path, str]:
    """A name for each run, no two alike: `checkpoint-100`, or `math/checkpoint-100` where two end alike.

    Several runs of one model get what tells them apart in brackets: the protocol, or the run's folder. `given` maps a
    run's folder, the folder's name, a model's name or a pattern of one of these to the name that is wanted.

    Raises EvalkitError if a key of `given` fits no run.
    """
    return named_runs({e.run: (e.report.model, e.report.protocol) for e in entries}, given)


def named_runs(
    models_and_protocols: Mapping[Path, tuple[str, str]], given: Mapping[str, str] | None = None
) -> dict[Path, str]:
    """`run_labels` of runs of which the model and the protocol are known."""
    models = {run: _plain(model) for run, (model, _) in models_and_protocols.items()}
    protocols = {run: protocol for run, (_, protocol) in models_and_protocols.items()}
    short = dict(zip(dict.fromkeys(models.values()), shortest(list(dict.fromkeys(models.values()))), strict=True))
    labels: dict[Path, str] = {}
    for model in short:
        runs = [run for run, name in models.items() if name == model]
        told = [protocols[run] for run in runs]
        if len(set(told)) < len(runs):
            told = shortest([str(run) for run in runs])
        for run, difference in zip(runs, told, strict=True):
            labels[run] = short[model] if len(runs) == 1 else f"{short[model]} ({difference})"
    for key, label in (given or {}).items():
        found = [run for run in models if fits(key, run, models[run], labels[run])]
        if not found:
            raise EvalkitError(
                f"There is no run {key!r} to be labelled {label!r}.",
                f"name a run's folder or a model: {', '.join(sorted(set(labels.values()))[:8])}.",
            )
        for run in found:
            labels[run] = label if len(found) == 1 else f"{label} ({labels[run]})"
    return labels


def given_labels(texts: Sequence[str]) -> dict[str, str]:
    """`RUN=NAME` of each as a mapping. Raises EvalkitError if one has another form."""
    found = dict(text.rpartition("=")[::2] for text in texts)
    for key, label in found.items():
        if not key or not label:
            raise EvalkitError(f"{key or label!r} is not a label.", "write RUN=NAME.")
    return found


def fits(pattern: str, run: Path, *names: str) -> bool:
    """Whether a pattern such as `DeepSeek-*` names a run: its folder, the folder's name, or one of its `names`."""
    if pattern.rstrip("/") and (pattern.startswith((".", "/")) or "/" in pattern):
        given = os.path.abspath(pattern)
        if given in (os.path.abspath(run), os.path.abspath(run.parent)):
            return True
    wanted = pattern.lower().rstrip("/")
    ends = {name.lower() for name in (run.name, *names)} | {_plain(name).split("/")[-1].lower() for name in names}
    return any(fnmatchcase(name, wanted) for name in ends)


def shortest(names: Sequence[str]) -> list[str]:
    """The shortest end of each path that no other ends in, equally many parts for those of one folder.

    Examples:
        >>> shortest(["org/a/x", "org/b/x", "org/b/y", "org/z"])
        ['a/x', 'b/x', 'b/y', 'z']
    """
    parts = [name.split("/") for name in names]
    ends = Counter("/".join(part[-k:]) for part in parts for k in range(1, len(part) + 1))
    needed = [next((k for k in range(1, len(p) + 1) if ends["/".join(p[-k:])] == 1), len(p)) for p in parts]
    most: dict[tuple[str, ...], int] = {}
    for part, k in zip(parts, needed, strict=True):
        most[tuple(part[:-1])] = max(most.get(tuple(part[:-1]), 1), k)
    return ["/".join(part[-most[tuple(part[:-1])] :]) for part in parts]


def _plain(model: str) -> str:
    """A model's name without `./` and a slash at its end; a hub id stays as it is."""
    return os.path.normpath(model) if model.strip("/") else model
