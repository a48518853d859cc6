"""Runs and tables as pandas data frames."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.results.entries import load_entries
from evalkit.results.leaderboard import build_table
from evalkit.results.runs import Run, run_paths
from evalkit.store.folders import all_runs
from evalkit.store.run import RunDirectory

if TYPE_CHECKING:
    import pandas as pd


logger = logging.getLogger(__name__)


def leaderboard(dirs: str | Path | Run | Sequence[str | Path | Run]) -> "pd.DataFrame":
    """The leaderboard of runs as a DataFrame: one row per figure, with the columns of the CSV format.

    Values are in the unit given by the column `unit`. `run_low` to `run_high` and `problems_low` to `problems_high` are
    95% intervals.

    What is incomplete or damaged is left out with a warning. Raises EvalkitError if there is no run or nothing is left.
    """
    import pandas as pd

    entries, notes = load_entries(run_paths(dirs, "leaderboard"))
    for note in notes:
        logger.warning("%s", note)
    return pd.DataFrame(list(build_table(entries, notes=notes).records()))


def load_results(path: str | Path | Run | Sequence[str | Path | Run]) -> "pd.DataFrame":
    """All samples of the runs below `path` as a DataFrame: one row per completion, with its score.

    Columns: model, run, protocol, task, problem_id, sample_index, status, value, answer, finish_reason,
    prompt_tokens, completion_tokens, seconds, text. The score columns are None for a completion without a score.

    Raises EvalkitError if there is no run or if one is damaged.
    """
    import pandas as pd

    runs = all_runs(run_paths(path, "load_results"))
    return pd.DataFrame([row for run in runs for row in sample_records(run)])


def sample_records(run: RunDirectory) -> Iterator[dict[str, Any]]:
    """Every current completion of a run with its score, as a flat record."""
    for task in run.tasks().values():
        scores = task.files.latest_scores()
        for completion in task.files.standing_completions():
            score = scores.get(completion.key)
            yield {
                "model": task.run.model,
                "run": run.path.name,
                "protocol": task.run.protocol_name,
                **completion.key._asdict(),
                "status": score.status if score else None,
                "value": score.value if score else None,
                "answer": score.answer if score else None,
                "finish_reason": completion.finish_reason,
                "prompt_tokens": completion.prompt_tokens,
                "completion_tokens": completion.completion_tokens,
                "seconds": completion.seconds,
                "text": completion.text,
            }
