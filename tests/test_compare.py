"""evalkit compare: paired by problem, what is established in one sentence, gates; never across protocols in silence."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from helpers import evalkit, told
from synthetic_runs import solve_rates, write_run

from evalkit.benchmark.protocols import find_protocol
from evalkit.errors import EvalkitError, RunIncompleteError
from evalkit.results.compare import RunComparison, compare, compare_runs
from evalkit.results.compare_words import gate_sentence, sentence
from evalkit.results.entries import load_entries
from evalkit.results.formats.comparison import comparison_markdown, failed_comparison_junit
from evalkit.results.formats.escaping import markdown_sentence
from evalkit.results.gates import check_gates, exit_code, parse_gate
from evalkit.results.sides import load_sides
from evalkit.stats import compare_paired, compare_unpaired, samples_to_find

TITLES = {"aime24": "AIME 2024", "math500": "MATH-500"}
Rows = list[list[bool]]


def write(folder: Path, **tasks: Rows) -> Path:
    write_run(folder / "run", f"org/{folder.name}", tasks, titles=TITLES)
    return folder


def compared(*folders: Path, reference: int | None = 0, points: float = 2.0) -> list[RunComparison]:
    return compare_runs(load_sides(folders)[0], reference, False, points / 100)


def shifted(problems: int, n: int, before: float, after: float, seed: int = 0) -> tuple[Rows, Rows]:
    """Two runs of the same problems, every one of which is solved at `before` and at `after`."""
    rng = np.random.default_rng(seed)
    first, second = rng.random((problems, n)) < before, rng.random((problems, n)) < after
    return first.tolist(), second.tolist()


@pytest.mark.slow
def test_difference_flips_and_json_in_points(tmp_path: Path) -> None:
    a = write(tmp_path / "a", aime24=[[True, False], [False, False], [True, True], [False, False]])
    b = write(tmp_path / "b", aime24=[[True, True], [True, True], [True, True], [False, True]])
    found = json.loads(evalkit("compare", a, b, "-f", "json").stdout)
    task = found["comparisons"][0]["tasks"][0]
    assert task["difference"] == pytest.approx(50)
    assert (task["a"]["value"], task["b"]["value"]) == (37.5, 87.5)
    assert [(f["problem_id"], f["a"], f["b"]) for f in task["flips"]] == [
        ("p1", 0, 100), ("p0", 50, 100), ("p3", 0, 50),
    ]  # fmt: skip
    assert task["p"] == pytest.approx(0.25)  # three moves of one sign: 2 / 2^3
    for name in ("interval_run", "interval_problems"):
        low, high = task[name]
        assert low < task["difference"] < high
        assert high - low > 2  # in points, as the difference is
    text = evalkit("compare", a, b, "--flips", "1").stdout
    assert "3 problems better in B, 0 worse, 1 the same" in text
    assert "and 2 more" in text


@pytest.mark.slow
def test_the_sentence_says_what_is_established_and_what_it_would_take(tmp_path: Path) -> None:
    math, better = shifted(300, 8, 0.5, 0.7)
    aime, alike = shifted(30, 8, 0.3, 0.3, 1)
    a, b = write(tmp_path / "a", math500=math, aime24=aime), write(tmp_path / "b", math500=better, aime24=alike)
    (found,) = compared(a, b, points=3)
    text = sentence(found)
    math_task, aime_task = (next(t for t in found.tasks if t.task == name) for name in ("math500", "aime24"))
    assert text.startswith("b is better than a on MATH-500 by ")
    assert ", established; on AIME 2024 the difference is not established (" in text
    assert math_task.established
    assert aime_task.more_samples is not None
    assert text.endswith(f": {aime_task.more_samples:,} more samples per problem would show 3 points.")
    assert "a is worse" in sentence(compared(b, a)[0])
    assert evalkit("compare", a, b, "--points", 3).stdout.startswith("b is better than a on MATH-500 by ")


def test_a_loss_and_a_gain_stand_in_one_sentence(tmp_path: Path) -> None:
    low, high = shifted(200, 4, 0.3, 0.6)
    a, b = write(tmp_path / "a", math500=low, aime24=high), write(tmp_path / "b", math500=high, aime24=low)
    text = sentence(compared(a, b)[0])
    assert "b is better than a on MATH-500 by" in text
    assert "; it is worse on AIME 2024 by" in text
    assert "[-" not in text  # the size of a loss, with its interval, is told without a sign
    assert "[−" not in text


def test_tasks_on_which_nothing_can_differ_do_not_count(tmp_path: Path) -> None:
    low, high = shifted(100, 1, 0.4, 0.65)
    nothing: dict[str, Rows] = {name: [[False]] * 30 for name in ("aime24", "gpqa_diamond", "arithmetic")}
    a, b = write(tmp_path / "a", math500=low, **nothing), write(tmp_path / "b", math500=high, **nothing)
    (found,) = compared(a, b)
    task = next(t for t in found.tasks if t.task == "math500")
    assert task.adjusted_p == task.result.p_value
    assert task.tests == 1
    assert sentence(found).count("too few problems to tell: none of 30 problems differs [−") == 3


def test_nothing_differs_is_said_where_the_problems_are_many(tmp_path: Path) -> None:
    alike: dict[str, Rows] = {"math500": [[False] * 2] * 500, "aime24": [[False] * 2] * 5}
    for name in ("a", "b"):
        write_run(tmp_path / name / "run", f"org/{name}", alike, titles=TITLES, available=500)
    (found,) = compared(tmp_path / "a", tmp_path / "b")
    text = sentence(found)
    assert "on MATH-500 nothing differs [−" in text
    assert "on AIME 2024 too few problems to tell: none of 5 problems differs [−" in text
    assert [task.subset for task in found.tasks if task.task == "aime24"] == ["5 of 500 problems"]
    told = evalkit("compare", tmp_path / "a", tmp_path / "b").stdout
    assert "AIME 2024: subset of 5 of 500 problems: another benchmark." in told
    assert "MATH-500: subset" not in told


@pytest.mark.slow
def test_any_number_of_runs_against_a_reference_and_all_pairs(tmp_path: Path) -> None:
    folders = [write(tmp_path / name, math500=solve_rates(60, 4, mean, 1)) for name, mean in
               (("a", 0.2), ("b", 0.5), ("c", 0.8))]  # fmt: skip
    pairs = [(run.a.label, run.b.label) for run in compared(*folders, reference=None)]
    assert pairs == [("a", "b"), ("a", "c"), ("b", "c")]
    text = evalkit("compare", *folders, "--reference", folders[1]).stdout
    assert "a is worse than b on MATH-500" in text
    assert "c is better than b on MATH-500" in text
    assert "| | b |" in text
    text = evalkit("compare", *folders, "--all-pairs", "--label", "c=Teacher").stdout
    assert "| | a | b | Teacher |" in text
    plus, minus = (line.split(" | ") for line in text.splitlines() if line.startswith(("| a | ·", "| Teacher | +")))
    assert plus[3].strip(" |*\\") == minus[1].strip(" |*\\").replace("+", "−")


def test_what_is_not_compared_is_told(tmp_path: Path) -> None:
    low, high = shifted(8, 4, 0.3, 0.7)
    a, b = write(tmp_path / "a", math500=low), write(tmp_path / "b", math500=high)
    assert load_sides([a, b])[1] == []
    for folder in (a, b):
        path = folder / "run/math500/report.json"
        report = json.loads(path.read_text())
        report["metrics"].append({"name": "even answers", "value": 3, "n": 8, "unit": "count"})
        report["headlines"] = ["pass@1", "pass@4", "even answers", "absent"]
        path.write_text(json.dumps(report))
    told = "compared is pass@1 only, not even answers of math500: `evalkit leaderboard` shows them side by side"
    assert told in load_sides([a, b])[1]


def test_other_problems_are_compared_unpaired(tmp_path: Path) -> None:
    low, high = shifted(80, 4, 0.3, 0.7)
    a, b = write(tmp_path / "a", math500=low), write(tmp_path / "b", math500=high)
    sides, _ = load_sides([a, b])
    (entry,) = sides[1].entries
    elsewhere = {f"q{i}": values for i, values in enumerate(entry.report.values.values())}
    other = replace(entry, report=replace(entry.report, values=elsewhere))
    (found,) = compare_runs([sides[0], replace(sides[1], entries=(other,))], 0, False, 0.02)
    task = found.tasks[0]
    assert not task.result.paired
    assert task.established
    assert not task.flips
    assert "(other problems), established" in sentence(found)
    paired = compare_paired(low, high)
    assert task.result.difference == pytest.approx(paired.difference)


@pytest.mark.slow
def test_the_unpaired_test_holds_its_level() -> None:
    rng = np.random.default_rng(3)
    p_values = []
    for _ in range(200):
        a, b = (rng.beta(1, 3, (m, 1)) > rng.random((m, 4)) for m in (25, 40))
        p_values.append(compare_unpaired(a.astype(float), b.astype(float)).p_value)
    assert np.mean(np.array(p_values) < 0.05) <= 0.09
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.08)


def test_more_samples_do_not_help_where_the_problems_differ_among_themselves() -> None:
    a = [[0.0] * 8] * 15 + [[1.0] * 8] * 15
    b = [[1.0] * 8] * 15 + [[0.0] * 8] * 15
    assert samples_to_find(compare_paired(a, b), 0.1) is None
    steady = compare_paired([[0.0, 1.0] * 4] * 30, [[1.0, 0.0] * 4] * 30)
    few, many = samples_to_find(steady, 0.1), samples_to_find(steady, 0.1, tests=6)
    assert few is not None
    assert many is not None
    assert few < many


@pytest.mark.slow
def test_protocols_do_not_mix_in_silence(tmp_path: Path) -> None:
    warm = replace(find_protocol("deepseek-r1"), name="warm", temperature=1.0)
    write_run(tmp_path / "a" / "r", "a", {"aime24": solve_rates(20, 2, 0.5)})
    write_run(tmp_path / "b" / "r", "b", {"aime24": solve_rates(20, 2, 0.5)}, protocol=warm)
    assert "have other settings: temperature 1.0 instead of 0.6" in told(
        evalkit("compare", tmp_path / "a", tmp_path / "b", code=2)
    )
    text = evalkit("compare", tmp_path / "a", tmp_path / "b", "--across-protocols").stdout
    assert "(across protocols)" in text
    assert "temperature 1.0 instead of 0.6" in text


@pytest.mark.slow
def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    for name, task in (("a", "aime24"), ("b", "math500")):
        write_run(tmp_path / name / "r", name, {task: solve_rates(5, 2, 0.5)})
    a, b = load_entries([tmp_path / "a"])[0], load_entries([tmp_path / "b"])[0]
    with pytest.raises(EvalkitError, match="have no task in common"):
        compare(a, b, False, 0.02)
    with pytest.raises(EvalkitError, match="two runs"):
        compare(a + a, a, False, 0.02)
    twice = evalkit("compare", tmp_path / "a", tmp_path / "a", code=2)
    assert told(twice) == "A comparison needs two runs, and one was given."
    assert "hint: name two different runs: one given twice counts once." in twice.stderr


def gated(tmp_path: Path, before: float, after: float, n: int, *arguments: object, code: int) -> Any:
    low, high = shifted(200, n, before, after)
    a, b = write(tmp_path / "a", math500=low), write(tmp_path / "b", math500=high)
    return evalkit("compare", a, b, *arguments, code=code)


@pytest.mark.slow
def test_a_gate_fails_where_the_loss_is_established(tmp_path: Path) -> None:
    report = tmp_path / "gates.xml"
    done = gated(tmp_path, 0.8, 0.6, 4, "--gate", "math500 >= -1", "--junit", report, "-f", "json", code=3)
    (gate,) = json.loads(done.stdout)["gates"]
    assert gate["outcome"] == "failed"
    assert gate["interval"][1] < -1
    suite = ElementTree.parse(report).getroot()
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("1", "1", "0")
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert "math500 >= -1" in (failure.get("message") or "")


@pytest.mark.slow
def test_a_gate_is_open_where_there_are_too_few_samples(tmp_path: Path) -> None:
    done = gated(tmp_path, 0.5, 0.5, 1, "--gate", "math500 >= -1", code=4)
    assert "too few samples; " in done.stdout
    assert "samples per problem would decide it" in done.stdout


@pytest.mark.slow
def test_a_gate_passes_where_no_such_loss_is_possible(tmp_path: Path) -> None:
    done = gated(tmp_path, 0.5, 0.7, 8, "--gate", "* >= -1", "--gate", "math500>=2", code=0)
    assert done.stdout.count("passed") == 2


@pytest.mark.slow
def test_gates_are_refused_where_they_mean_nothing(tmp_path: Path) -> None:
    for text in ("math500", "math500 > -1", "math500 >= minus one", ">= 1"):
        with pytest.raises(EvalkitError, match="is not a gate"):
            parse_gate(text)
    done = gated(tmp_path, 0.5, 0.5, 1, "--gate", "aime24 >= -1", code=2)
    assert "names no task that was compared" in told(done)


def test_many_gates_are_checked_more_carefully(tmp_path: Path) -> None:
    low, high = shifted(200, 4, 0.6, 0.5)
    (found,) = compared(write(tmp_path / "a", math500=low), write(tmp_path / "b", math500=high))
    one = check_gates([parse_gate("math500 >= -1")], [found])
    many = check_gates([parse_gate("math500 >= -1")] * 10, [found])
    assert many[0].interval[0] < one[0].interval[0] < one[0].interval[1] < many[0].interval[1]
    assert exit_code(one) == 3


def test_protocols_command_lists_what_each_fixes(tmp_path: Path) -> None:
    out = evalkit("protocols").stdout
    for name in ("deepseek-r1 (default)", "open-r1", "qwq", "temperature", "top_k"):
        assert name in out
    own = json.loads(evalkit("protocols", "qwq", "--json").stdout) | {"name": "mine", "temperature": 0.9}
    (tmp_path / "mine.json").write_text(json.dumps(own))
    assert "0.9" in evalkit("protocols", tmp_path / "mine.json").stdout


def test_markdown_sentences_read_as_plain_text(tmp_path: Path) -> None:
    low, high = shifted(60, 4, 0.2, 0.9)
    a, b = write(tmp_path / "base_v1", math500=low), write(tmp_path / "new_v2", math500=high)
    runs = compared(a, b)
    gates = check_gates([parse_gate("* >= -1"), parse_gate("math* >= 5")], runs)
    text = comparison_markdown([replace(runs[0], missing=("aime24",))], gates)
    lines = text.splitlines()
    assert sentence(runs[0]) in lines
    assert [line.rstrip() for line in lines[:2]] == [gate_sentence(gate) for gate in gates]
    assert "\\" not in text.replace("new\\_v2", "")
    assert "- only one of the runs has figures of aime24." in lines
    assert not [line for line in lines if line and not line.strip()]


def test_a_name_in_a_sentence_makes_no_link_and_no_element() -> None:
    assert markdown_sentence("<img src=x> ![a](http://b) [a][b] [a]: b") == (
        "\\<img src=x> ![a\\](http://b) [a\\][b] [a\\]: b"
    )
    assert markdown_sentence("by 2.1 points [0.8, 3.4], p < 0.05, x_1 >= -1") == (
        "by 2.1 points [0.8, 3.4], p < 0.05, x_1 >= -1"
    )


@pytest.mark.slow
@pytest.mark.parametrize(("runs", "gate", "code"), [(("a", "unfinished"), "* >= 0", 1), (("a", "b"), "aime24 >= 0", 2),
                                                    (("a", "b"), "math500", 2)])  # fmt: skip
def test_a_comparison_that_cannot_be_made_still_gives_a_report(
    tmp_path: Path, runs: tuple[str, str], gate: str, code: int
) -> None:
    for name in ("a", "b", "unfinished"):
        write(tmp_path / name, math500=[[True, False]] * 3)
    kept = list((tmp_path / "unfinished").rglob("completions*.jsonl"))
    assert kept
    for path in kept:
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    report = tmp_path / "gates.xml"
    report.write_text("<testsuite/>")  # of an earlier comparison
    done = evalkit("compare", *(tmp_path / name for name in runs), "--gate", gate, "--junit", report, "-f", "json",
                   code=code)  # fmt: skip
    suite = ElementTree.parse(report).getroot()
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("1", "0", "1")
    (error,) = suite.findall("testcase/error")
    message = error.get("message") or ""
    assert message
    assert message in told(done)
    found = json.loads(done.stdout)
    assert (found["comparisons"], found["gates"]) == ([], [])
    assert found["error"]["exit_code"] == code
    assert found["error"]["message"] == message


def test_the_report_of_an_error_holds_hostile_text() -> None:
    text = failed_comparison_junit(RunIncompleteError('a<b>"\x1b[31m\x00 & c', "x]]>\u202e"))
    (error,) = ElementTree.fromstring(text).findall("testcase/error")
    assert error.get("message") == 'a<b>"\\x1b[31m\\x00 & c'
    assert error.text == "hint: x]]>\\u202e"
