"""The runs that `evalkit compare` was given, each with a name that tells it from the others."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from evalkit.errors import EvalkitError
from evalkit.results.compare import Side
from evalkit.results.entries import load_entries
from evalkit.results.labels import run_labels
from evalkit.results.metrics import kind_of
from evalkit.visible import visible_line


def load_sides(paths: Sequence[Path], labels: Mapping[str, str] | None = None) -> tuple[list[Side], list[str]]:
    """One side for each path, and a message for each task that is not complete.

    Raises EvalkitError if there are fewer than two, or as `load_entries` does.
    """
    if len(paths) < 2:
        raise EvalkitError(
            "A comparison needs two runs, and one was given.", "name two different runs: one given twice counts once."
        )
    found, notes = [], []
    for path in paths:
        entries, incomplete = load_entries([path])
        found.append(entries)
        notes += incomplete
    names = run_labels([entry for entries in found for entry in entries], labels)
    sides = []
    for path, entries in zip(paths, found, strict=True):
        own = list(dict.fromkeys(names[entry.run] for entry in entries))
        label = own[0] if len(own) == 1 else path.name or str(path)
        sides.append(Side(label, str(path), tuple(entries)))
    if len({side.label for side in sides}) < len(sides):
        sides = [Side(side.where, "", side.entries) for side in sides]
    return sides, [*notes, *_not_compared(sides)]


def _not_compared(sides: Sequence[Side]) -> list[str]:
    """A sentence about the metrics of the tasks' own that two sides have in their tables: pass@1 alone is compared."""
    have: Counter[str] = Counter()
    for side in sides:
        found = {
            f"{name} of {entry.report.task}": None
            for entry in side.entries
            for name in entry.report.headlines
            if kind_of(name).compute is None and entry.report.metric(name) is not None
        }
        have.update(found.keys())
    names = [visible_line(name) for name, count in have.items() if count > 1]
    if not names:
        return []
    return [f"compared is pass@1 only, not {', '.join(names)}: `evalkit leaderboard` shows them side by side"]
