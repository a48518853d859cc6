"""What several commands read alike: which tasks of a run are meant."""

from evalkit.benchmark.registry import did_you_mean
from evalkit.errors import EvalkitError
from evalkit.store.run import RunDirectory


def tasks_of_run(run: RunDirectory, option: str | None) -> list[str]:
    """The names given with -t (A,B), or all tasks of the run. Raises EvalkitError on one that the run does not have."""
    present = list(run.describe()["tasks"])
    wanted = [part.strip() for part in option.split(",")] if option else present
    for name in wanted:
        if name not in present:
            raise EvalkitError(
                f"{run.path} has no task {name!r}.{did_you_mean(name, present)}", f"it has: {', '.join(present)}."
            )
    return wanted
