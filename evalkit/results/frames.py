"""Runs and tables as pandas data frames."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.results.entries import load_entries
from evalkit.results.leaderboard import build_table
from evalkit.store.run import RunDirectory, find_runs

if TYPE_CHECKING:
    import pandas as pd


def leaderboard(dirs: str | Path | Sequence[str | Path]) -> "pd.DataFrame":
    """The leaderboard of run directories as a DataFrame: one row per figure, columns as in the CSV format.

    Values are in the unit of the column `unit`; `run_low` to `run_high` and `problems_low` to `problems_high` are 95%
    intervals. Raises EvalkitError where there is no run or where one is damaged, RunIncompleteError where no run is
    complete.
    """
    import pandas as pd

    paths = [Path(d) for d in ([dirs] if isinstance(dirs, str | Path) else dirs)]
    entries, notes = load_entries(paths)
    return pd.DataFrame(list(build_table(entries, notes=notes).records()))


def load_results(path: str | Path) -> "pd.DataFrame":
    """Every sample below `path` as a DataFrame: one row per completion, with its score.

    Columns: model, run, protocol, task, problem_id, sample_index, status, value, answer, finish_reason,
    prompt_tokens, completion_tokens, seconds, text. A completion without a score has None there.
    Raises EvalkitError where there is no run or where one is damaged.
    """
    import pandas as pd

    return pd.DataFrame([row for run in find_runs(Path(path)) for row in sample_records(run)])


def sample_records(run: RunDirectory) -> Iterator[dict[str, Any]]:
    """Every completion of a run that stands, with its score, as a flat record."""
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
