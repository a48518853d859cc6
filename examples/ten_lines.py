"""From a checkpoint to a data frame and a plot: `python examples/ten_lines.py FOLDER`."""

import sys

import matplotlib.pyplot as plt

from evalkit import evaluate

run = evaluate("examples/tiny_distill/base", "arithmetic", n=8, limit=20, max_tokens=64, results=sys.argv[1])
curve = run.metrics.query("curve and metric.str.startswith('pass')")
figure, axes = plt.subplots()
axes.errorbar(curve["metric"], curve["value"], [curve["value"] - curve["run_low"], curve["run_high"] - curve["value"]])
figure.savefig(f"{sys.argv[1]}/pass_at_k.png")
