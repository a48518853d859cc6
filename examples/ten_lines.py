"""From a checkpoint to a data frame and a plot."""

import sys
from pathlib import Path

from evalkit import evaluate

folder = Path(sys.argv[1])
run = evaluate("examples/tiny_distill/student-plain", "arithmetic", n=8, limit=20, max_tokens=64, results=folder)
curve = run.metrics.query("curve and metric.str.startswith('pass')")
axes = curve.plot(x="metric", y="value", yerr=curve[["value"]].sub(curve["run_low"], axis=0).T.to_numpy())
axes.figure.savefig(folder / "pass_at_k.png")
