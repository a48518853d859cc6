"""The figure that another harness gave an imported task which is not graded here, in words."""

from evalkit.errors import EvalkitError
from evalkit.results.metrics import with_error_bars
from evalkit.results.peer import peer_figure
from evalkit.results.ungraded import is_ungraded
from evalkit.store.run import TaskRun
from evalkit.words import counted


def harness_figure(task: TaskRun) -> str:
    """` The harness's own figure: 50.0 ±…, 4 samples (evalplus's base of each sample).`

    Empty of a task that is graded, which has that figure as its metric `peer`, and where the harness gave none.
    """
    if not is_ungraded(task):
        return ""
    try:
        found = peer_figure(task, str(task.run.engine.get("peer") or "the log"))
    except EvalkitError:  # a damaged file is told where it is read for a figure of ours
        return ""
    if found is None:
        return ""
    metric = found.metric
    many = counted(metric.n, "sample")
    return f" The harness's own figure: {with_error_bars(metric)}, {many} ({metric.note})."
