"""evalkit: evaluate reasoning models, and say how sure the numbers are."""

import importlib
from typing import TYPE_CHECKING

from evalkit.benchmark.task import DatasetSpec, Task
from evalkit.errors import EvalkitError, RunIncompleteError
from evalkit.types import Completion, Interval, Message, Metric, Problem, Request, SampleKey, SamplingParams, Score

if TYPE_CHECKING:
    from evalkit.benchmark.data import DataSource
    from evalkit.benchmark.protocols import Protocol
    from evalkit.fidelity.measure import measure_fidelity
    from evalkit.results.distillation import distillation
    from evalkit.results.exports import export_run
    from evalkit.results.frames import leaderboard, load_results
    from evalkit.results.report import Report
    from evalkit.results.runs import Run, load_runs
    from evalkit.results.trackers import log_run
    from evalkit.run.evaluate import evaluate
    from evalkit.run.importing import import_run
    from evalkit.run.rescore import rescore
    from evalkit.stats.percent import mean_metric, share_metric

    __version__: str

__all__ = [
    "Completion",
    "DataSource",
    "DatasetSpec",
    "EvalkitError",
    "Interval",
    "Message",
    "Metric",
    "Problem",
    "Protocol",
    "Report",
    "Request",
    "Run",
    "RunIncompleteError",
    "SampleKey",
    "SamplingParams",
    "Score",
    "Task",
    "__version__",
    "distillation",
    "evaluate",
    "export_run",
    "import_run",
    "leaderboard",
    "load_results",
    "load_runs",
    "log_run",
    "mean_metric",
    "measure_fidelity",
    "rescore",
    "share_metric",
]

_IMPORTED_WHEN_USED = {
    "DataSource": "evalkit.benchmark.data",
    "distillation": "evalkit.results.distillation",
    "measure_fidelity": "evalkit.fidelity.measure",
    "Protocol": "evalkit.benchmark.protocols",
    "Report": "evalkit.results.report",
    "Run": "evalkit.results.runs",
    "evaluate": "evalkit.run.evaluate",
    "export_run": "evalkit.results.exports",
    "import_run": "evalkit.run.importing",
    "leaderboard": "evalkit.results.frames",
    "load_results": "evalkit.results.frames",
    "load_runs": "evalkit.results.runs",
    "log_run": "evalkit.results.trackers",
    "mean_metric": "evalkit.stats.percent",
    "share_metric": "evalkit.stats.percent",
    "rescore": "evalkit.run.rescore",
}


def __getattr__(name: str) -> object:
    """What needs numpy or pydantic is imported when it is first used: `import evalkit` stays quick."""
    if name == "__version__":
        return _version()
    if name in _IMPORTED_WHEN_USED:
        return getattr(importlib.import_module(_IMPORTED_WHEN_USED[name]), name)
    raise AttributeError(f"module 'evalkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names, those too that are not imported yet."""
    return __all__


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("evalkit")
    except PackageNotFoundError:  # imported from a source tree that is not installed
        return "0+unknown"
