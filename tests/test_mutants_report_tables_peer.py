"""The verdicts of an imported log beside ours, record by record, and what a task's own metrics may be."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from made_runs import completion, description, entry, made, score, write_lines

from evalkit import DataSource, Metric, Problem, Score, Task
from evalkit.errors import EvalkitError
from evalkit.results.own_metrics import (
    NoReportError,
    absent_headlines,
    has_own_metrics,
    own_metrics,
    tell_absent_headlines,
)
from evalkit.results.peer import PeerDifference, compare_with_peer, is_mean, peer_figure
from evalkit.store.run import TaskRun
from evalkit.types import Interval

Sample = tuple[str, int]


def verdict(value: float, scope: str = "sample", name: str = "score", answer: str | None = None) -> dict[str, Any]:
    return {"name": name, "value": value, "scope": scope, "answer": answer}


def judged(
    folder: Path, peer: Mapping[Sample, Sequence[Mapping[str, Any]]], ours: Iterable[dict[str, Any]] = (), n: int = 2
) -> TaskRun:
    """A run of the problems a and b with the verdicts of a log and our scores."""
    samples = [(p, i) for p in "ab" for i in range(n)]
    run = made(folder, map(completion, samples), ours, description({"sums": entry(n=n)}))
    lines = [{"problem_id": p, "sample_index": i, "verdicts": list(told)} for (p, i), told in peer.items()]
    write_lines(run.files("sums").peer_scores_path, lines)
    return run.task("sums")


def test_every_verdict_that_is_not_ours_is_a_record_with_the_reason(tmp_path: Path) -> None:
    ours = [
        score(("a", 0), "correct", answer="1"),
        score(("a", 1), "wrong", answer="2", explanation="2 is not 1"),
        score(("b", 0), "no_answer", answer=None, explanation="no box"),
        score(("b", 1), "truncated", answer=None, explanation="cut"),
    ]
    peer = {
        ("a", 0): [verdict(0.9999995), verdict(0.0, "majority", "maj@2")],
        ("a", 1): [verdict(1.0, answer="2!"), verdict(0.0, "majority", "maj@2")],
        ("b", 0): [
            verdict(1.0, "first sample", "first"), verdict(1.0, "problem", "pass@2"), verdict(0.5, "problem", "mean"),
        ],
        ("b", 1): [verdict(1.0, "majority", "maj@2", "9"), verdict(0.5, "problem", "mean")],
        ("c", 0): [verdict(1.0), verdict(1.0, "problem", "mean")],
    }  # fmt: skip
    found = compare_with_peer(judged(tmp_path, peer, ours))
    assert found.differences == [
        PeerDifference("a sample 1", "score", "sample", 1.0, "2!", 0.0, "2", "wrong: 2 is not 1"),
        PeerDifference("b sample 0", "first", "first sample", 1.0, None, 0.0, None, "no_answer: no box"),
        PeerDifference("b", "mean", "problem", 0.5, None, 0.0, None, "no_answer 1, truncated 1"),
        PeerDifference("b", "maj@2", "majority", 1.0, "9", 0.0, None, "no answer in any sample"),
    ]
    # left out: a's majority, of which two answers have one vote each; the best of two of b; both of c, not scored
    assert (found.compared, found.left_out, found.samples) == (5, 4, 5)
    assert found.in_words("x") == (
        "4 of 5 verdicts of x differ (2 score of each sample, 1 first of the first sample of each problem, 1 mean of "
        "each problem, 1 maj@2 of the majority of each problem); 4 have no counterpart among ours (1 maj@2 of the "
        "majority of each problem, 1 pass@2 of each problem, 1 score of each sample, 1 mean of each problem). The log "
        "has 5 samples."
    )


def test_a_majority_is_that_of_right_answers_or_of_one_wrong_one(tmp_path: Path) -> None:
    ours = [
        score(("a", 0), "wrong", answer="7"), score(("a", 1), "correct", answer="1"),
        score(("a", 2), "correct", answer="1.0"), score(("b", 0), "correct", answer="1"),
        score(("b", 1), "wrong", answer="2"), score(("b", 2), "wrong", answer="2"),
    ]  # fmt: skip
    told = {("a", 0): [verdict(0.0, "majority", "maj")], ("b", 0): [verdict(1.0, "majority", "maj")]}
    found = compare_with_peer(judged(tmp_path, told, ours, n=3))
    assert found.differences == [
        PeerDifference("a", "maj", "majority", 0.0, None, 1.0, "1", "the answer of 2 of 3 samples"),
        PeerDifference("b", "maj", "majority", 1.0, None, 0.0, "2", "the answer of 2 of 3 samples"),
    ]


def test_of_one_sample_the_best_of_several_is_its_mean(tmp_path: Path) -> None:
    told = {("a", 0): [verdict(0.0, "problem", "pass@4")]}
    found = compare_with_peer(judged(tmp_path, told, [score(("a", 0))], n=1))
    assert found.differences == [PeerDifference("a", "pass@4", "problem", 0.0, None, 1.0, None, "correct 1")]


def test_what_is_a_mean_over_samples() -> None:
    names = ("acc", "pass@1", "pass@4", "pass@1:k=1", "acc (k=8)", "cov@1", "maj@8", "mark=3", "pass@16")
    assert [name for name in names if is_mean(name)] == ["acc", "pass@1", "pass@1:k=1", "mark=3"]


def test_the_figure_of_a_log_by_what_its_verdicts_are_of(tmp_path: Path) -> None:
    samples = {
        ("a", 0): [verdict(1.0), verdict(0.0, name="other")], ("a", 1): [verdict(0.0)],
        ("b", 0): [verdict(0.0, name="other"), verdict(1.0)], ("b", 1): [verdict(1.0)],
    }  # fmt: skip
    found = peer_figure(judged(tmp_path / "s", samples), "inspect")
    assert found is not None
    metric = found.metric
    assert (metric.name, metric.value, metric.n, metric.unit) == ("peer", 75.0, 4, "%")
    assert metric.note == "inspect's score of each sample"
    assert metric.interval_run is not None
    assert (found.least, found.most) == (2, 2)
    of_map = peer_figure(judged(tmp_path / "m", samples), "map")
    assert of_map is not None
    assert of_map.metric.note == "the log's score of each sample"

    means = {("a", 0): [verdict(1.0, "problem", "pass@2"), verdict(0.5, "problem", "mean")],
             ("a", 1): [verdict(0.5, "problem", "mean")]}  # fmt: skip
    found = peer_figure(judged(tmp_path / "p", means), "lm-eval")
    assert found is not None
    assert (found.metric.value, found.metric.n, found.least, found.most) == (50.0, 2, 0, 2)
    assert (found.metric.interval_run, found.metric.stderr_run) == (None, None)
    assert found.metric.note == (
        "lm-eval's mean of each problem; 1 of 2 problems have a verdict; no run-to-run error: the log has the mean of "
        "each problem alone"
    )
    one = peer_figure(judged(tmp_path / "one", {(p, 0): [verdict(1.0, "problem")] for p in "ab"}, n=1), "x")
    assert one is not None
    assert one.metric.interval_run is not None, "of one sample each a problem's mean is that sample's verdict"
    assert one.metric.note == "x's score of each problem"

    votes = {("a", 0): [verdict(1.0, "majority")], ("b", 0): [verdict(0.0, "majority")]}
    found = peer_figure(judged(tmp_path / "v", votes), "lighteval")
    assert found is not None
    assert (found.metric.value, found.metric.note) == (50.0, "lighteval's score of the majority of each problem")

    unequal = {("a", 0): [verdict(1.0)], ("a", 1): [verdict(0.0)], ("b", 0): [verdict(1.0)]}
    found = peer_figure(judged(tmp_path / "u", unequal), "x")
    assert found is not None
    assert (found.metric.value, found.metric.n, found.least, found.most) == (75.0, 3, 1, 2)
    first = peer_figure(judged(tmp_path / "f", {(p, 0): [verdict(1.0, "first sample")] for p in "ab"}), "x")
    assert first is not None
    assert (first.metric.note, first.least, first.most) == ("x's score of the first sample of each problem", 1, 1)

    best = {("a", 0): [verdict(1.0, "problem", "pass@2")]}
    assert peer_figure(judged(tmp_path / "n", best), "x") is None


def test_a_damaged_verdict_is_refused(tmp_path: Path) -> None:
    task = judged(tmp_path, {("a", 0): [verdict(1.5)]})
    with pytest.raises(EvalkitError) as raised:
        peer_figure(task, "x")
    assert "peer_scores.jsonl" in raised.value.message
    assert "verdicts.0.value" in raised.value.message


class Own(Task):
    name, version, title = "own", 1, "Own"

    def __init__(self, returned: Any) -> None:
        self.returned = returned

    def load(self, source: DataSource) -> Sequence[Problem]:
        return []

    def score(self, problem: Problem, response: str) -> Score:
        return Score(1.0, "correct")

    def extra_metrics(self, problems: Sequence[Problem], scores: Mapping[str, Sequence[Score]]) -> list[Metric]:
        if isinstance(self.returned, BaseException):
            raise self.returned
        return self.returned  # type: ignore[no-any-return]


class Plain(Own):
    extra_metrics = Task.extra_metrics


RAISED = f" (test_mutants_report_tables_peer.py, line {Own.extra_metrics.__code__.co_firstlineno + 2})"
KEPT = "the completions and scores are kept; when it is repaired, run the same command again."
RETURN = f'let it return a list of evalkit.Metric, such as [Metric("mine", 50.0, n=100, unit="%")]; {KEPT}'
OWN_NAME, REPAIR, OTHER_NAME = (
    f"{start}; {KEPT}" for start in ("give each a name of its own", "repair it", "give it another name")
)


def mine(value: Any = 50.0, name: Any = "mine", unit: Any = "%", **fields: Any) -> Metric:
    return Metric(name, value, n=100, unit=unit, **fields)


@pytest.mark.parametrize(
    ("returned", "message", "hint"),
    [
        (None, "returned None, not a list of Metric.", RETURN),
        ("text", "returned a str, not a list of Metric.", RETURN),
        ({"a": 1}, "returned a dict, not a list of Metric.", RETURN),
        (3, "returned an int, not a list of Metric.", RETURN),
        ([mine(), 3.5], "returned a list with a float, not a Metric.", RETURN),
        ([mine(name=" ")], "returned a Metric without a name.", OWN_NAME),
        ([mine(), mine(name="x"), mine()], "returned two metrics named 'mine'.", OWN_NAME),
        ([mine(name="pass@16")], "returned a metric named 'pass@16', which evalkit computes itself.", OTHER_NAME),
        ([mine(name="peer")], "returned a metric named 'peer', which evalkit computes itself.", OTHER_NAME),
        (KeyError("unit"), f"failed: KeyError: 'unit'{RAISED}.", REPAIR),
        (ValueError(), f"failed: ValueError{RAISED}.", REPAIR),
        (ValueError("x" * 300 + "."), f"failed: ValueError: {'x' * 200}{RAISED}.", REPAIR),
        (SystemExit(3), f"failed: SystemExit: 3{RAISED}.", REPAIR),
        (
            [mine("x")],
            "returned a Metric whose value is 'x': input should be a valid number, unable to parse string as a number.",
            REPAIR,
        ),
        (
            [mine(float("inf"))],
            "returned the metric 'mine', of which a number is not finite or above 1e15: its value is inf.", REPAIR,
        ),
        ([mine(101.0)], "returned the metric 'mine', which is 101 %: a share is from 0 to 100.", None),
        ([mine(-0.1)], "returned the metric 'mine', which is -0.1 %: a share is from 0 to 100.", None),
        (
            [mine(2.5, unit="count")], "returned the metric 'mine', which is 2.5: a count is a whole number.",
            f'give it the unit "mean", or "%" for a share; {KEPT}',
        ),
        (
            [Metric("mine", 50.0, 0, "%")],
            "returned the metric 'mine', whose n is 0: n is the number of completions that it is computed from, "
            "1 at least.",
            REPAIR,
        ),
        (
            [mine(stderr_problems=-1.0)],
            "returned the metric 'mine', whose stderr_problems is -1: a standard error is not below 0.", REPAIR,
        ),
        (
            [mine(interval_run=(60, 70))],
            "returned the metric 'mine', whose interval_run is from 60 to 70: the value, 50, is not in it.", REPAIR,
        ),
        (
            [mine(interval_problems=(60, 40))],
            "returned the metric 'mine', whose interval_problems is from 60 to 40: the lower end comes first.", REPAIR,
        ),
    ],
)  # fmt: skip
def test_what_is_no_metric_is_refused_with_what_to_do(returned: Any, message: str, hint: str | None) -> None:
    with pytest.raises(NoReportError) as raised:
        own_metrics(Own(returned), [], {})
    assert raised.value.message == f"extra_metrics() of the task own {message}"
    assert raised.value.hint == (hint or f"repair it, or give it another unit; {KEPT}")


def test_own_metrics_are_kept_as_plain_numbers() -> None:
    error = EvalkitError("It has no data.", "fetch it.")
    with pytest.raises(NoReportError) as raised:
        own_metrics(Own(error), [], {})
    assert (raised.value.message, raised.value.hint) == ("It has no data.", "fetch it.")
    given = [mine(100.0000005), mine(0, "b", interval_run=(0, 2)), mine(-3, "c", "count"), mine(150, "d", "mean")]
    found = own_metrics(Own(iter(given)), [], {})
    assert found == [
        mine(100.0000005), mine(0.0, "b", interval_run=Interval(0.0, 2.0)), mine(-3.0, "c", "count"),
        mine(150.0, "d", "mean"),
    ]  # fmt: skip
    assert type(found[1].value) is float
    assert own_metrics(Own([]), [], {}) == []
    assert [has_own_metrics(task) for task in (Own([]), Plain([]))] == [True, False]


def test_headlines_that_no_metric_has_are_told() -> None:
    metrics = [mine(), mine(name="b\n")]
    assert absent_headlines(["pass@1", "cons@64", "mine", "rating", "x"], metrics) == ["rating", "x"]
    assert tell_absent_headlines("own", ["mine", "cons@8"], metrics) is None
    assert tell_absent_headlines("own", ["x", "mine", "y\t"], metrics) == (
        "own has no metric 'x', 'y ', which its headlines name; its metrics are mine, b ."
    )
    assert tell_absent_headlines("own", ["x"], []) == (
        "own has no metric 'x', which its headlines name; its metrics are none."
    )
