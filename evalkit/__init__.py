"""evalkit: evaluate reasoning models, and say how sure the numbers are."""

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from evalkit.benchmark.task import DatasetSpec, Task
from evalkit.errors import EvalkitError, RunIncompleteError
from evalkit.types import Completion, Message, Metric, Problem, Request, SampleKey, SamplingParams, Score

try:
    __version__ = version("evalkit")
except PackageNotFoundError:  # imported from a source tree that is not installed
    __version__ = "0+unknown"

__all__ = [
    "Completion",
    "DatasetSpec",
    "EvalkitError",
    "Message",
    "Metric",
    "Problem",
    "Request",
    "RunIncompleteError",
    "SampleKey",
    "SamplingParams",
    "Score",
    "Task",
    "__version__",
    "leaderboard",
    "load_results",
]


def __getattr__(name: str) -> Any:
    """`leaderboard` and `load_results` need pandas: they are imported when they are first asked for."""
    if name in ("leaderboard", "load_results"):
        from evalkit.results import leaderboard

        return getattr(leaderboard, name)
    raise AttributeError(f"module 'evalkit' has no attribute {name!r}")
