"""Metrics with their error bars, and paired tests: numpy in, numbers out. docs/statistics.md derives each formula."""

from evalkit.stats.intervals import Estimate, wilson
from evalkit.stats.metrics import (
    avg_at_n,
    avg_of_unequal,
    cons_at_k,
    cons_curve,
    equivalence_classes,
    pass_at_k,
    pass_curve,
)
from evalkit.stats.paired import (
    Comparison,
    compare_paired,
    compare_unpaired,
    holm,
    leaders,
    least_p_value,
    problems_needed,
    samples_needed,
    samples_to_find,
    sign_flip_test,
)
from evalkit.stats.published import Distance, distance, error_of_runs, error_towards, published_error
from evalkit.stats.tokens import TokenSummary, token_summary

__all__ = [
    "Comparison",
    "Distance",
    "Estimate",
    "TokenSummary",
    "avg_at_n",
    "avg_of_unequal",
    "compare_paired",
    "compare_unpaired",
    "cons_at_k",
    "cons_curve",
    "distance",
    "equivalence_classes",
    "error_of_runs",
    "error_towards",
    "holm",
    "leaders",
    "least_p_value",
    "pass_at_k",
    "pass_curve",
    "problems_needed",
    "published_error",
    "samples_needed",
    "samples_to_find",
    "sign_flip_test",
    "token_summary",
    "wilson",
]
