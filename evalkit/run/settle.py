"""Close samples that can never succeed, so that a run is complete without them."""

from collections.abc import Sequence
from contextlib import suppress

from evalkit.errors import EvalkitError
from evalkit.results.report import load_report
from evalkit.store.lines import LineWriter
from evalkit.store.run import RunDirectory, score_record
from evalkit.store.settled import Settlement, settled, settled_path, settlement_record
from evalkit.types import SampleKey, Score

SETTLED_BY = "settle"


def settle(run: RunDirectory, names: Sequence[str]) -> dict[str, int]:
    """Close every sample of the tasks `names` that is an error; return how many were closed now, by task.

    A closed sample is not asked for or graded again, counts as an error with a score of 0, and is told in the tables.
    Raises EvalkitError if another process is writing to the run.
    """
    closed = {}
    with run.locked():
        for name in names:
            files = run.task(name).files
            scores = files.latest_scores()
            known = settled(files)
            finished = files.finished()
            failed = {
                completion.key: f"engine: {completion.error}"
                for completion in files.completions()
                if completion.error is not None and (completion.problem_id, completion.sample_index) not in finished
            }
            failed |= {key: score.explanation for key, score in scores.items() if score.status == "error"}
            fresh = {key: why for key, why in failed.items() if key not in known}
            with LineWriter(settled_path(files)) as lines, LineWriter(files.scores_path) as graded:
                for key, why in sorted(fresh.items()):
                    lines.append(settlement_record(Settlement(*key, why)))
                    if key not in scores:
                        graded.append(score_record(_score(key, why), SETTLED_BY))
            files.report_path.unlink(missing_ok=True)
            closed[name] = len(fresh)
    _renew_reports(run, names)
    return closed


def reopen(run: RunDirectory, names: Sequence[str]) -> dict[str, int]:
    """Open what `settle` has closed in the tasks `names`; return how many samples that were, by task."""
    opened = {}
    with run.locked():
        for name in names:
            files = run.task(name).files
            opened[name] = len(settled(files))
            settled_path(files).unlink(missing_ok=True)
            files.report_path.unlink(missing_ok=True)
    _renew_reports(run, names)
    return opened


def _renew_reports(run: RunDirectory, names: Sequence[str]) -> None:
    for name in names:
        with suppress(EvalkitError):  # the task has no figures then, and every table says why
            load_report(run.task(name))


def _score(key: SampleKey, why: str) -> Score:
    return Score(0.0, "error", explanation=why, key=key)
