"""`--precision`: the estimate is unbiased, its interval holds, and a run draws no more than it has to."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from helpers import evalkit, told, write_recorded

from evalkit import EvalkitError
from evalkit.results.report import load_report
from evalkit.run.precision import next_sizes, pilot_size
from evalkit.stats import avg_at_n, avg_of_unequal
from evalkit.stats.precision import Allocation, Halves, expected_deviations, mean_of_halves
from evalkit.store.halves import halves_of
from evalkit.store.run import RunDirectory


def simulated(rates: "np.ndarray[tuple[int], np.dtype[np.float64]]", aim: float, seed: int) -> list[Halves]:
    """One run with problems of these solve rates."""
    rng = np.random.default_rng(seed)
    drawn: list[tuple[list[float], list[float]]] = [([], []) for _ in rates]

    def extend(sizes: list[tuple[int, int]]) -> None:
        for rate, halves, pair in zip(rates, drawn, sizes, strict=True):
            for half, size in zip(halves, pair, strict=True):
                half.extend(float(v) for v in rng.random(max(size - len(half), 0)) < rate)

    extend([(2, 2)] * len(rates))
    pilot = pilot_size([Halves(*pair) for pair in drawn], aim, 256)
    extend([(pilot // 2, pilot // 2)] * len(rates))
    for _ in range(8):
        costs = [([1.0] * len(a), [1.0] * len(b)) for a, b in drawn]
        sizes = next_sizes([Halves(*pair) for pair in drawn], costs, pilot, aim, 256)
        if sizes is None:
            break
        extend(sizes)
    return [Halves(*pair) for pair in drawn]


def test_it_is_unbiased_where_the_plain_mean_is_not() -> None:
    """A plain mean over all draws is too high where lucky pilots look like problems that are always solved."""
    rates = np.repeat([1.0, 0.75], 20)
    ours, plain = [], []
    for seed in range(100):
        drawn = simulated(rates, 0.02, seed)
        ours.append(mean_of_halves(drawn).value)
        plain.append(float(np.mean([np.mean([*p.first, *p.second]) for p in drawn])))
    error = float(np.std(ours)) / math.sqrt(len(ours))
    assert abs(np.mean(ours) - rates.mean()) < 3.5 * error
    assert np.mean(plain) - rates.mean() > 2 * error, "the bias that is avoided"


def test_its_interval_holds_and_is_as_narrow_as_asked_for() -> None:
    rng = np.random.default_rng(4)
    rates = np.concatenate([np.full(10, 0.99), np.full(6, 0.01), rng.uniform(0.1, 0.9, 14)])
    held, runs, aim = 0, 60, 0.03
    for seed in range(runs):
        low, high = mean_of_halves(simulated(rates, aim, seed)).interval_run
        assert (high - low) / 2 <= aim
        held += low <= rates.mean() <= high
    assert held >= 0.87 * runs


def test_it_does_not_stop_at_a_pilot_that_nearly_suffices() -> None:
    rates = np.random.default_rng(2).beta(0.8, 0.4, 200)
    for seed in range(6):
        pilot = simulated(rates, 0.4, seed)
        low, high = mean_of_halves(pilot).interval_run
        assert {len(p.first) for p in pilot} == {2}
        aim = 0.98 * (high - low) / 2
        low, high = mean_of_halves(simulated(rates, aim, seed)).interval_run
        assert (high - low) / 2 <= aim


def test_more_draws_go_where_the_outcome_is_uncertain_and_cheap() -> None:
    pilots = [Halves([1, 1, 1, 1], [1, 1, 1, 1]), Halves([1, 0, 1, 0], [0, 1, 1, 0])] * 10
    even = Allocation(pilots, [(1.0, 1.0)] * 20, 400).sizes(0.00005)
    assert sum(even[1]) > 3 * sum(even[0])
    costly = Allocation(pilots, [(1.0, 1.0)] * 10 + [(9.0, 9.0)] * 10, 400).sizes(0.00005)
    assert sum(costly[1]) > 2 * sum(costly[11])
    assert all(a + b <= 400 for a, b in costly)
    assert Allocation(pilots, [(1.0, 1.0)] * 20, 400).sizes(1.0) == [(4, 4)] * 20


def test_a_half_does_not_decide_its_own_size() -> None:
    base = [Halves([1, 1], [1, 0])] * 20
    changed = [Halves([0, 0], [1, 0]), *base[1:]]
    before, after = expected_deviations(base)[:, 1], expected_deviations(changed)[:, 1]
    assert after[0] == pytest.approx(before[0], rel=0.15), "only by way of what is fitted to all problems"


def test_equal_halves_give_what_uniform_sampling_gives() -> None:
    rng = np.random.default_rng(1)
    values = (rng.random((30, 8)) < 0.6).astype(float)
    ours = mean_of_halves([Halves(list(row[0::2]), list(row[1::2])) for row in values])
    plain = avg_at_n(values)
    assert ours.value == pytest.approx(plain.value)
    assert ours.stderr_run == pytest.approx(plain.stderr_run, rel=0.25)
    assert avg_of_unequal(list(values)).value == pytest.approx(plain.value)
    with pytest.raises(EvalkitError, match="fewer than two"):
        mean_of_halves([Halves([1.0], [1.0, 0.0])])


def test_halves_in_the_order_of_the_phases() -> None:
    values = {("p", i): i for i in range(9)}
    assert halves_of(values, "p", 4, [(2, 1), (0, 2)]) == ([0, 2, 4, 5], [1, 3, 6, 7, 8])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve problems: four always right, two never, the others half of the time."""
    from evalkit_tasks.arithmetic import test_problems

    rng = np.random.default_rng(3)
    texts = {}
    for i, problem in enumerate(test_problems()[:12]):
        rate = 1.0 if i < 4 else 0.0 if i < 6 else 0.5
        right = rng.random(200) < rate
        texts[problem.id] = [f"</think>\\boxed{{{problem.target if v else 1000}}}" for v in right]
    write_recorded(tmp_path / "recorded.jsonl", texts, prefix="<think>\n", completion_tokens=10)
    return tmp_path


@pytest.mark.slow
def test_a_run_from_end_to_end(folder: Path) -> None:
    common = ("run", "o/m", "-t", "arithmetic", "--limit", 12, "--engine", "replay")
    command = (*common, "--recorded", folder / "recorded.jsonl", "-o", folder / "run")
    done = evalkit(*command, "--precision", 3, "--max-n", 200)
    run = RunDirectory(folder / "run")
    report = load_report(run.task("arithmetic"))
    metric = report.metric("pass@1")
    assert metric is not None
    assert metric.interval_run is not None
    assert (metric.interval_run[1] - metric.interval_run[0]) / 2 <= 3
    assert report.most_n is not None
    assert report.most_n > 1.5 * report.n
    assert f"| {report.n} to {report.most_n} |" in done.stdout
    assert f"pass@1 n={report.n}–{report.most_n} |" in evalkit("leaderboard", folder / "run").stdout
    assert all(int(m.name.partition("@")[2]) <= report.n for m in report.metrics if m.name.startswith("cons@"))
    counts = run.task("arithmetic").record.plan.counts
    assert sum(list(counts.values())[:6]) < 0.4 * sum(counts.values()), "the certain ones get few"
    before = (folder / "run/arithmetic/completions.jsonl").read_bytes()
    (folder / "run/finished.json").unlink()
    again = evalkit(*command, "--precision", 3, "--max-n", 200)
    assert again.stdout == done.stdout
    assert (folder / "run/arithmetic/completions.jsonl").read_bytes() == before
    peek = evalkit(*command, "-n", 2)
    assert "| 12 of 200 | 2 |" in peek.stdout
    kept = load_report(run.task("arithmetic"))
    assert (kept.n, kept.most_n, kept.metric("pass@1")) == (report.n, report.most_n, metric)


@pytest.mark.slow
def test_it_goes_on_where_it_was_interrupted(folder: Path) -> None:
    common = ("run", "o/m", "-t", "arithmetic", "--limit", 12, "--engine", "replay", "--precision", 3)
    command = (*common, "--recorded", folder / "recorded.jsonl", "--max-n", 200)
    whole = evalkit(*command, "-o", folder / "whole")
    path = folder / "whole/arithmetic/completions.jsonl"
    (folder / "cut/arithmetic").mkdir(parents=True)
    lines = path.read_bytes().splitlines(keepends=True)
    (folder / "cut/arithmetic/completions.jsonl").write_bytes(b"".join(lines[: len(lines) // 2]))
    content = json.loads((folder / "whole/run.json").read_text())
    content["tasks"]["arithmetic"]["sampling"] = {"n": 4}
    (folder / "cut/run.json").write_text(json.dumps(content))
    assert evalkit(*command, "-o", folder / "cut").stdout == whole.stdout
    cut = (folder / "cut/arithmetic/completions.jsonl").read_bytes()
    assert sorted(cut.splitlines()) == sorted(path.read_bytes().splitlines())


@pytest.mark.slow
def test_what_does_not_go_together_is_refused(folder: Path) -> None:
    common = ("run", "o/m", "-t", "arithmetic", "--engine", "replay", "--recorded", folder / "recorded.jsonl")
    assert "-n cannot be set" in told(evalkit(*common, "--precision", 1, "-n", 4, code=2))
    assert "only for --precision" in told(evalkit(*common, "--max-n", 4, code=2))
    assert "does not know what the others scored" in told(evalkit(*common, "--precision", 1, "--shard", "1/2", code=2))
    assert "above 0" in told(evalkit(*common, "--precision", 0, code=2))
