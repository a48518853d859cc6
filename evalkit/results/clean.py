"""Scores on the problems that a contamination file does not name, beside the scores on all."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from evalkit.contamination.report import Contamination, load_contamination
from evalkit.errors import EvalkitError
from evalkit.results.entries import Entry
from evalkit.stats.clean import CleanScore, clean_score
from evalkit.stats.percent import percent_metric
from evalkit.types import Interval, Metric

CLEAN, DIFFERENCE = "pass@1 clean", "clean − all"
_NOTE = (
    f"{CLEAN}: on the problems that were not found in the training sets ({{}}); {DIFFERENCE}: what that changes, in "
    "brackets with 95% over problems. Paraphrases and translations are not found, and problems that were found may be "
    "the easier ones."
)


def clean_note(entries: Sequence[Entry]) -> str:
    """What the columns of `with_clean_scores` are, with the number of clean problems of each task."""
    told: dict[str, None] = {}
    for entry in entries:
        if entry.clean_problems is not None:
            told[f"{entry.report.title}: {entry.clean_problems:,} of {entry.report.problems:,}"] = None
    return _NOTE.format("; ".join(told))


def read_contamination(source: str | Path | Contamination | None) -> Contamination | None:
    """The content of a contamination file. Raises EvalkitError if it is not one."""
    return source if source is None or isinstance(source, Contamination) else load_contamination(source)


def score_clean(found: Contamination, task: str, values: Mapping[str, Sequence[float]]) -> CleanScore | None:
    """The scores of one task; `values` are by problem id. None where the file says nothing of the task.

    Raises EvalkitError where the file names problems of another data set.
    """
    told = found.tasks.get(task)
    if told is None:
        return None
    bad = told.ids()
    if bad and told.problems == len(values) and not bad <= values.keys():
        raise EvalkitError(
            f"The contamination file names problems of {task} that the run does not have.",
            "make the file again with the data of the run: `evalkit contamination … --data DIR`.",
        )
    return clean_score(np.array(list(values.values())), [i not in bad for i in values])


def with_clean_scores(entries: Sequence[Entry], found: Contamination) -> list[Entry]:
    """The entries with the score on clean problems as further columns of the tasks that the file tells of.

    Raises EvalkitError where it tells of none of them.
    """
    made = []
    told = False
    for entry in entries:
        report = entry.report
        scores = score_clean(found, report.task, report.values)
        if scores is None:
            made.append(entry)
            continue
        told = True
        metrics = [*report.metrics, *_metrics(scores)]
        headlines = [*report.headlines, *(m.name for m in metrics[len(report.metrics) :])]
        changed = replace(report, metrics=metrics, headlines=headlines)
        made.append(replace(entry, report=changed, clean_problems=report.problems - scores.contaminated))
    if not told:
        named = ", ".join(found.tasks) or "no task"
        raise EvalkitError(f"The contamination file tells of {named}, which no run has.", "scan for the runs' tasks.")
    return made


def _metrics(scores: CleanScore) -> list[Metric]:
    if scores.clean is None or scores.difference is None:
        return []
    assert scores.interval_run is not None
    assert scores.interval_problems is not None
    own = percent_metric(CLEAN, scores.clean, f"{scores.clean.problems} problems")
    return [
        own,
        Metric(
            DIFFERENCE,
            100 * scores.difference,
            own.n,
            "%",
            interval_run=Interval(*(100 * end for end in scores.interval_run)),
            interval_problems=Interval(*(100 * end for end in scores.interval_problems)),
            note=f"{scores.contaminated} problems were found in the sets",
        ),
    ]
