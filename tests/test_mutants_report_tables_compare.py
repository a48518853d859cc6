"""Comparisons of figures chosen by hand: sentences, tables, gates, records and refusals, each whole."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from synthetic_runs import write_run

from evalkit.benchmark.protocols import find_protocol
from evalkit.errors import EvalkitError, RunIncompleteError
from evalkit.results.compare import Flip, RunComparison, Side, TaskComparison, compare, compare_runs
from evalkit.results.compare_words import gate_sentence, points, sentence
from evalkit.results.entries import load_entries
from evalkit.results.formats.comparison import (
    DETAILS,
    LEGEND,
    comparison_json,
    comparison_junit,
    comparison_markdown,
    comparison_terminal,
    failed_comparison_json,
    failed_comparison_junit,
)
from evalkit.results.formats.parts import comparison_html, interval_svg, shares_svg
from evalkit.results.gates import Gate, GateResult, check_gates, exit_code, parse_gate
from evalkit.results.sides import load_sides
from evalkit.stats import Comparison, Estimate, compare_paired

A, B, C = Side("base", "runs/base", ()), Side("student", "runs/student", ()), Side("third", "third", ())
NAN = float("nan")


def estimate(value: float, samples: int = 4, problems: int = 5) -> Estimate:
    return Estimate(value, 0.01, 0.02, (value - 0.02, value + 0.02), (value - 0.04, value + 0.04), problems, samples)


def result(difference: float = 0.1, **fields: Any) -> Comparison:
    """B less A on five problems; run to run ±2 points, over problems ±4."""
    made: dict[str, Any] = {
        "a": estimate(0.5), "b": estimate(0.5 + difference), "difference": difference, "stderr_run": 0.01,
        "stderr_problems": 0.02, "interval_run": (difference - 0.02, difference + 0.02),
        "interval_problems": (difference - 0.04, difference + 0.04), "p_value": 0.01, "least_p": 0.001,
        "by_problem": (0.5, 0.0, 0.0, 0.0, 0.0), "target": 0.03, "seen_run": 0.028, "seen_problems": 0.056,
        "samples_needed": 9, "problems_needed": 1234, "needed_is_bound": False,
    }  # fmt: skip
    return Comparison(**{**made, **fields})


def task(found: Comparison, title: str = "MATH-500", p: float = 0.5, **fields: Any) -> TaskComparison:
    made: dict[str, Any] = {"differences": (), "left_out": 0, "flips": (), "available": (5, 5), **fields}
    return TaskComparison(title.lower(), title, found, p, **made)


def run(*tasks: TaskComparison, **fields: Any) -> RunComparison:
    return RunComparison(A, B, tasks, **fields)


BETTER = task(
    result(by_problem=(0.5, -0.25, 0.25, 0.0, 0.0)),
    p=0.02,
    samples_needed=1300,
    flips=(Flip("p|1", 0.25, 0.75, True), Flip("p2", 0.5, 0.25), Flip("p3", 0.0, 0.25)),
)
WORSE = task(result(-0.2), "AIME 2024", 0.00001, samples_needed=None)
OPEN = "on MATH-500 the difference is not established (+1.0 [−3.0, 5.0])"


@pytest.mark.parametrize(
    ("tasks", "told"),
    [
        ([BETTER], "student is better than base on MATH-500 by 10.0 points [6.0, 14.0], established."),
        ([WORSE], "student is worse than base on AIME 2024 by 20.0 points [16.0, 24.0], established."),
        (
            [BETTER, WORSE],
            "student is better than base on MATH-500 by 10.0 points [6.0, 14.0], established; it is worse on AIME "
            "2024 by 20.0 points [16.0, 24.0], established.",
        ),
        (
            [BETTER, replace(BETTER, title="X", result=result(by_problem=())), replace(BETTER, title="Y")],
            "student is better than base on MATH-500 by 10.0 points [6.0, 14.0], X by 10.0 points [6.0, 14.0] "
            "(other problems) and on Y by 10.0 points [6.0, 14.0], established.",
        ),
    ],
)  # fmt: skip
def test_what_is_established_is_said_with_its_interval(tasks: list[TaskComparison], told: str) -> None:
    assert sentence(run(*tasks)) == told.replace("], X by", "], on X by")


@pytest.mark.parametrize(
    ("fields", "needed", "told"),
    [
        ({}, 5, f"{OPEN}: 1 more sample per problem would show 3 points"),
        ({}, 1300, f"{OPEN}: 1,296 more samples per problem would show 3 points"),
        ({"needed_is_bound": True}, 6, f"{OPEN}: at most 2 more samples per problem would show 3 points"),
        (
            {"b": estimate(0.51, 8), "needed_is_bound": True}, 1300,
            f"{OPEN}: at most 1,300 samples per problem in both would show 3 points",
        ),
        (
            {}, 4,
            f"{OPEN}: 3 points would have been seen on these problems, sampled again; over problems of this kind 5.6",
        ),
        ({"problems_needed": None}, None, OPEN),
        ({"problems_needed": 5}, None, f"{OPEN}: 3 points would have been seen over problems of this kind"),
        (
            {"problems_needed": 6}, None,
            f"{OPEN}: more samples of these 5 problems would not show 3 points, about 6 would be needed",
        ),
        (
            {"interval_problems": (NAN, NAN), "problems_needed": None}, None,
            "on MATH-500 the difference is not established (+1.0)",
        ),
        (
            {"difference": 0.0, "least_p": 1.0, "interval_problems": (-0.05, 0.05)}, None,
            "on MATH-500 nothing differs [−5.0, 5.0]",
        ),
        (
            {"difference": 0.0, "least_p": 1.0, "interval_problems": (-0.06, 0.05)}, None,
            "on MATH-500 too few problems to tell: none of 5 problems differs [−6.0, 5.0]",
        ),
        (
            {"difference": 0.0, "least_p": 1.0, "interval_problems": (NAN, NAN), "by_problem": (0.0,)}, None,
            "on MATH-500 too few problems to tell: none of 1 problem differs",
        ),
    ],
)  # fmt: skip
def test_what_is_open_is_said_with_what_it_would_take(fields: dict[str, Any], needed: int | None, told: str) -> None:
    found = sentence(run(task(result(0.01, **fields) if "difference" not in fields else result(**fields),
                              samples_needed=needed)))  # fmt: skip
    assert found == f"Between student and base no difference is established; {told}."


def test_a_difference_is_established_below_5_percent_with_0_outside_its_interval() -> None:
    assert task(result(), p=0.0499).established
    assert not task(result(), p=0.05).established
    assert not task(result(0.04), p=0.01).established, "the interval ends at 0"
    assert not task(result(-0.04), p=0.01).established
    assert task(result(-0.05), p=0.01).established
    assert [points(v) for v in (0.021, -0.004, 0.0004, -0.0004)] == ["+2.1", "−0.4", "0.0", "0.0"]


def test_a_subset_is_told_of_what_is_compared() -> None:
    few = task(result(), available=(None, 1500))
    assert (few.problems, few.subset) == (5, "5 of 1,500 problems")
    assert task(result(), available=(None, None)).subset == ""
    assert task(result(), available=(5, None)).subset == ""
    unpaired = task(result(by_problem=(), a=estimate(0.5, 4, 7), b=estimate(0.6, 4, 6)), available=(7, 7))
    assert (unpaired.problems, unpaired.subset) == (6, "6 of 7 problems")


LIMITED = task(
    result(0.01, b=estimate(0.51, 8), needed_is_bound=True),
    "AIME 2024",
    0.5,
    differences=("temperature 0.6, not 1", "n 4, not 8"),
    left_out=3,
    available=(30, None),
    samples_needed=1300,
)
OTHER = task(result(-0.2, by_problem=(), problems_needed=None), "GPQA", 0.5, samples_needed=None)
REMARKS = [
    "AIME 2024: the settings of A and B differ: temperature 0.6, not 1; n 4, not 8.",
    "AIME 2024: subset of 5 of 30 problems: another benchmark.",
    "AIME 2024: 3 problems that only one of the runs has are left out.",
    "AIME 2024: for p the run with more samples is thinned to n = 4.",
    "only one of the runs has figures of lcb, mmlu.",
]


def test_a_comparison_in_markdown() -> None:
    compared = run(BETTER, LIMITED, OTHER, missing=("lcb", "mmlu"))
    told = sentence(compared)
    assert comparison_markdown([compared], (), 2, True).splitlines() == [
        told, "",
        "A: base (runs/base)  ", "B: student (runs/student)", "",
        "| task | n | A | B | B − A | established | run to run | p | Holm | n for 3 points | problems for 3 points |",
        "|:-|-:|-:|-:|-:|-:|-:|-:|-:|-:|-:|",
        "| MATH-500 | 4 | 50.0 | 60.0 | **+10.0 [6.0, 14.0]** | better | [8.0, 12.0] | 0.0100 | 0.0200 | 1,300 "
        "| 1,234 |",
        "| AIME 2024 (across protocols) | 4 / 8 | 50.0 | 51.0 | +1.0 [−3.0, 5.0] | – | [−1.0, 3.0] | 0.0100 | 0.5000 "
        "| ≤ 1,300 | 1,234 |",
        "| GPQA (other problems) | 4 | 50.0 | 30.0 | −20.0 [−24.0, −16.0] | – | [−22.0, −18.0] | 0.0100 | 0.5000 "
        "| – | – |",
        "", LEGEND, "",
        *(f"- {line}" for line in REMARKS), "",
        "MATH-500: 2 problems better in B, 1 worse, 2 the same; 1 beyond chance (*).", "",
        "| problem | A | B | B − A |", "|:-|-:|-:|-:|",
        "| p\\|1 | 25.0 | 75.0 | +50.0* |", "| p2 | 50.0 | 25.0 | −25.0 |", "",
        "and 1 more: --flips shows them.", "",
        "AIME 2024: no problem differs, of 5.", "",
        *DETAILS,
    ]  # fmt: skip
    short = comparison_markdown([run(WORSE)], (), 0).splitlines()
    assert short[5:8] == [
        "| task | n | A | B | B − A | established |", "|:-|-:|-:|-:|-:|-:|",
        "| AIME 2024 | 4 | 50.0 | 30.0 | **−20.0 [−24.0, −16.0]** | worse |",
    ]  # fmt: skip
    assert short[8:] == ["", LEGEND, "", "AIME 2024: no problem differs, of 5."]
    one = replace(BETTER, flips=BETTER.flips[2:])
    assert comparison_markdown([run(one)], (), 0).endswith("MATH-500: 1 problem better in B, 0 worse, 4 the same.\n")


def test_pairs_of_runs_make_a_matrix() -> None:
    pairs = [
        run(BETTER),
        RunComparison(A, C, (task(result(0.01)),)),
        RunComparison(B, C, (replace(WORSE, title="MATH-500"),)),
    ]
    lines = comparison_markdown(pairs).splitlines()
    assert lines[-6:] == [
        "MATH-500: row less column, in points; * established", "",
        "| | base | student | third |", "|:-|-:|-:|-:|",
        "| base | · | −10.0* | −1.0 |", "| student | +10.0* | · | +20.0* |", "| third | +1.0 | −20.0* | · |",
    ][-6:]  # fmt: skip
    assert lines[-7] == "MATH-500: row less column, in points; * established"
    against = comparison_markdown(pairs[:2]).splitlines()
    assert against[-5:] == ["| | base |", "|:-|-:|", "| base | · |", "| student | +10.0* |", "| third | +1.0 |"]
    shown = comparison_terminal(pairs, width=100).splitlines()
    assert [line.split() for line in shown[-8:-2]] == [
        ["MATH-500:", "row", "less", "column,", "in", "points;", "*", "established"],
        ["base", "student", "third"],
        ["──────────────────────────────────"[: len(shown[-6].strip())]],
        ["base", "·", "−10.0*", "−1.0"],
        ["student", "+10.0*", "·", "+20.0*"],
        ["third", "+1.0", "−20.0*", "·"],
    ]
    assert not [line for line in shown if "problem  " in line], "flips of several comparisons are shown with -v"


def test_a_comparison_on_a_terminal() -> None:
    compared = run(BETTER, LIMITED, missing=("lcb", "mmlu"))
    lines = comparison_terminal([compared], (), 2, False, 200).splitlines()
    words = [line.split() for line in lines]
    assert lines[0] == sentence(compared)[: len(lines[0])]
    assert "A: base (runs/base)   B: student (runs/student)" in lines
    start = lines.index("A: base (runs/base)   B: student (runs/student)")
    assert words[start + 1] == ["task", "n", "A", "B", "B", "−", "A", "established"]
    assert words[start + 3] == ["MATH-500", "4", "50.0", "60.0", "+10.0", "[6.0,", "14.0]", "better"]
    assert words[start + 4] == [
        "AIME",
        "2024",
        "(across",
        "protocols)",
        "4",
        "/",
        "8",
        "50.0",
        "51.0",
        "+1.0",
        "[−3.0,",
        "5.0]",
        "–",
    ]
    assert lines[start + 5 : start + 12] == [
        *REMARKS, "", "MATH-500: 2 problems better in B, 1 worse, 2 the same; 1 beyond chance (*).",
    ]  # fmt: skip
    assert words[start + 12] == ["problem", "A", "B", "B", "−", "A"]
    assert words[start + 14 :][:2] == [["p|1", "25.0", "75.0", "+50.0*"], ["p2", "50.0", "25.0", "−25.0"]]
    assert lines[start + 16 :] == [
        "and 1 more: --flips shows them.", "", "AIME 2024: no problem differs, of 5.", "", LEGEND,
    ]  # fmt: skip


def gate(outcome: Any, **fields: Any) -> GateResult:
    made: dict[str, Any] = {"samples": 4, "samples_needed": None, "over": "run", **fields}
    return GateResult(
        Gate("math*", -1.0), "base", "student", "math500", "MATH-500", -2.5, (-4.25, 0.75), outcome, **made
    )


GATES = [gate("passed"), gate("failed", over="problems"), gate("too few samples", samples_needed=1200)]
GATE_TEXTS = [
    "gate math* >= -1 on MATH-500: −2.5 [−4.2, +0.8] run to run, passed",
    "gate math* >= -1 on MATH-500: −2.5 [−4.2, +0.8] over problems, failed",
    "gate math* >= -1 on MATH-500: −2.5 [−4.2, +0.8] run to run, too few samples; 1,200 samples per problem would "
    "decide it if the difference stays (n = 4)",
]


def test_gates_in_every_format() -> None:
    assert [gate_sentence(g) for g in GATES] == GATE_TEXTS
    escaped = [text.replace(">=", "&gt;=") for text in GATE_TEXTS]
    case = '  <testcase classname="student against base" name="math500: math* &gt;= -1">'
    assert comparison_junit(GATES).splitlines() == [
        '<?xml version="1.0" encoding="utf-8"?>',
        '<testsuite name="evalkit compare" tests="3" failures="1" errors="1">',
        case, f"    <system-out>{escaped[0]}</system-out>", "  </testcase>",
        case, f'    <failure type="failed" message="{escaped[1]}" />', "  </testcase>",
        case, f'    <error type="too few samples" message="{escaped[2]}" />', "  </testcase>",
        "</testsuite>",
    ]  # fmt: skip
    assert comparison_markdown([run(WORSE)], GATES).splitlines()[:5] == [
        *(f"{text}  " for text in GATE_TEXTS), "", sentence(run(WORSE)),
    ]  # fmt: skip
    assert comparison_terminal([run(WORSE)], GATES, width=300).splitlines()[:5] == [
        *GATE_TEXTS, "", sentence(run(WORSE)),
    ]  # fmt: skip
    assert json.loads(comparison_json([], GATES[2:])) == {
        "schema": 2,
        "unit": "percent; differences in points",
        "comparisons": [],
        "gates": [
            {
                "gate": "math* >= -1", "a": "base", "b": "student", "task": "math500", "title": "MATH-500",
                "difference": -2.5, "interval": [-4.25, 0.75], "outcome": "too few samples", "samples": 4,
                "samples_needed": 1200, "over": "run", "sentence": GATE_TEXTS[2],
            }
        ],
    }  # fmt: skip
    assert [exit_code(g) for g in (GATES, GATES[::2], GATES[:1], [])] == [3, 4, 0, 0]


def test_a_gate_on_figures() -> None:
    """B has lost 2 points, 4 to 0 run to run and 6 to +2 over problems."""
    compared = [run(task(result(-0.02)), task(result(0.02), "AIME"))]

    def checked(text: str, over: Any = "run") -> tuple[Any, ...]:
        (one,) = check_gates([parse_gate(text)], compared, over)
        low, high = one.interval
        return one.outcome, round(low, 6), round(high, 6), one.samples_needed

    assert checked("math* >= -1") == ("too few samples", -4.0, 0.0, 16)  # 4 × (2 / 1)²
    assert checked("math-500>=−3") == ("too few samples", -4.0, 0.0, 16)
    assert checked("math-500 >= -2.005") == ("too few samples", -4.0, 0.0, None), "no number of samples decides it"
    assert checked("math-500 >= +1") == ("failed", -4.0, 0.0, None)
    assert checked("math-500 >= -4.5") == ("passed", -4.0, 0.0, None)
    assert checked("math-500 >= -1", "problems") == ("too few samples", -6.0, 2.0, None)
    several = check_gates([parse_gate("* >= 0")], compared)
    assert [(g.gate, g.a, g.b, g.task, g.title, g.samples, g.over) for g in several] == [
        (Gate("*", 0.0), "base", "student", "math-500", "MATH-500", 4, "run"),
        (Gate("*", 0.0), "base", "student", "aime", "AIME", 4, "run"),
    ]
    assert [round(end, 3) for end in several[0].interval] == [-4.287, 0.287]  # two gates: ±2 × 2.2414 / 1.96
    with pytest.raises(EvalkitError) as raised:
        check_gates([parse_gate("gpqa >= 1.5")], compared)
    assert (raised.value.message, raised.value.hint) == (
        "The gate 'gpqa >= 1.5' names no task that was compared.", "compared: math-500, aime.",
    )  # fmt: skip


def test_a_comparison_that_failed_in_both_formats() -> None:
    error = EvalkitError("The runs are of <others>.", "compare others.")
    assert failed_comparison_junit(error).splitlines() == [
        '<?xml version="1.0" encoding="utf-8"?>',
        '<testsuite name="evalkit compare" tests="1" failures="0" errors="1">',
        '  <testcase classname="evalkit compare" name="comparison">',
        '    <error type="not comparable" message="The runs are of &lt;others&gt;.">hint: compare others.</error>',
        "  </testcase>",
        "</testsuite>",
    ]
    assert 'type="run incomplete"' in failed_comparison_junit(RunIncompleteError("It lacks one.", "resume it."))
    assert json.loads(failed_comparison_json(error)) == {
        "schema": 2, "comparisons": [], "gates": [],
        "error": {"exit_code": 2, "message": "The runs are of <others>.", "hint": "compare others."},
    }  # fmt: skip


def write(folder: Path, protocol: str = "deepseek-r1", name: str = "run", **tasks: list[list[bool]]) -> Path:
    write_run(folder / name, f"org/{folder.name}", tasks, find_protocol(protocol), titles={"math": "MATH-500"})
    return folder


FIRST = [[True, False], [False, False], [True, True], [False, False]]
SECOND = [[True, True], [True, True], [True, True], [False, True]]


def test_the_record_of_a_comparison(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a", math=FIRST, aime24=FIRST), write(tmp_path / "b", math=SECOND)
    compared = compare_runs(load_sides([a, b])[0], 0, False, 0.02)
    (record,) = json.loads(comparison_json(compared))["comparisons"]
    found = compare_paired(FIRST, SECOND, 0.02)

    def figures(one: Estimate, value: float) -> dict[str, Any]:
        return {
            "value": value, "n": 2, "problems": 4,
            "interval_run": pytest.approx([100 * e for e in one.interval_run]),
            "interval_problems": pytest.approx([100 * e for e in one.interval_problems]),
        }  # fmt: skip

    (of_task,) = record.pop("tasks")
    assert record == {
        "a": {"label": "a", "path": str(a)}, "b": {"label": "b", "path": str(b)},
        "sentence": sentence(compared[0]), "missing_tasks": ["aime24"],
    }  # fmt: skip
    needed = of_task.pop("samples_needed")
    assert needed == compared[0].tasks[0].samples_needed
    assert of_task == {
        "task": "math", "title": "MATH-500", "paired": True,
        "a": figures(found.a, 37.5), "b": figures(found.b, 87.5), "difference": 50.0,
        "interval_run": pytest.approx([100 * e for e in found.interval_run]),
        "interval_problems": pytest.approx([100 * e for e in found.interval_problems]),
        "p": 0.25, "adjusted_p": 1.0, "established": False, "target": 2.0,
        "problems_needed": found.problems_needed, "needed_is_bound": False,
        "seen_run": pytest.approx(100 * found.seen_run), "seen_problems": pytest.approx(100 * found.seen_problems),
        "settings_that_differ": [], "graded_earlier": [],
        "problems": 4, "problems_available": 4, "problems_left_out": 0,
        "flips": [
            {"problem_id": "p1", "a": 0.0, "b": 100.0, "established": False},
            {"problem_id": "p0", "a": 50.0, "b": 100.0, "established": False},
            {"problem_id": "p3", "a": 0.0, "b": 50.0, "established": False},
        ],
    } | {"adjusted_p": of_task["adjusted_p"]}  # fmt: skip
    assert 0.25 <= of_task["adjusted_p"] <= 1


def test_what_is_established_of_a_problem_is_beyond_chance(tmp_path: Path) -> None:
    """Of two problems that move by 16 and by one of 16 samples, the first alone is beyond chance."""
    low, high = [[False] * 16, [True] * 16, [False] * 16], [[True] * 16, [True] * 16, [True] + [False] * 15]
    a, b = write(tmp_path / "a", math=low), write(tmp_path / "b", math=high)
    (found,) = compare_runs(load_sides([a, b])[0], 0, False, 0.02)
    assert found.tasks[0].flips == (Flip("p0", 0.0, 1.0, True), Flip("p2", 0.0, 0.0625, False))
    assert found.tasks[0].tests == 1
    many = [[True, False] * 65], [[False, False] * 65]
    c, d = write(tmp_path / "c", math=many[0]), write(tmp_path / "d", math=many[1])
    (found,) = compare_runs(load_sides([c, d])[0], 0, False, 0.02)
    assert found.tasks[0].flips == (Flip("p0", 0.5, 0.0, False),), "more than 128 samples have no test of their own"


def test_some_problems_of_one_side_are_left_out_or_the_sets_are_others(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a", math=FIRST), write(tmp_path / "b", math=SECOND[:2])
    (one,) = compare_runs(load_sides([a, b])[0], 0, True, 0.02)
    assert (one.tasks[0].left_out, one.tasks[0].problems, one.tasks[0].available) == (2, 2, (4, 2))
    first, second = load_entries([a])[0], load_entries([b])[0]

    def renamed(*ids: str) -> Any:
        values = dict(zip(ids, second[0].report.values.values(), strict=True))
        return [replace(second[0], report=replace(second[0].report, values=values))]

    half = compare(first, renamed("p0", "other"), True, 0.02)[0]
    assert (half.result.paired, half.left_out) == (True, 4)  # p1, p2, p3 and the other
    none = compare(first, renamed("x", "other"), True, 0.02)[0]
    assert (none.result.paired, none.left_out, none.flips, none.title) == (False, 0, (), "MATH-500")
    assert none.result.a.value == 0.375


def test_what_cannot_be_compared_is_refused_with_a_reason(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a", math500=FIRST, gpqa_diamond=FIRST), write(tmp_path / "b", aime24=FIRST)
    sides = load_sides([a, b])[0]
    with pytest.raises(EvalkitError) as raised:
        compare_runs(sides, 0, False, 0.02)
    assert raised.value.message == "The runs have no task in common: a has math500, gpqa_diamond, b has aime24."
    assert raised.value.hint == "compare runs of the same tasks."
    write(tmp_path / "b", name="again", aime24=SECOND)
    with pytest.raises(EvalkitError) as raised:
        compare_runs(load_sides([tmp_path / "b", a])[0], None, False, 0.02)
    assert raised.value.message == (
        f"b has two runs of aime24: {tmp_path / 'b' / 'again'} and {tmp_path / 'b' / 'run'}."
    )
    assert raised.value.hint == "pass one run directory, such as results/<model>/<run-id>."
    with pytest.raises(EvalkitError) as raised:
        load_sides([a])
    assert (raised.value.message, raised.value.hint) == (
        "A comparison needs two runs, and one was given.",
        "name two different runs: one given twice counts once.",
    )
    other = write(tmp_path / "other", "qwq", math500=SECOND)
    first, second = load_entries([a])[0], load_entries([other])[0]
    with pytest.raises(EvalkitError) as raised:
        compare(first, second, False, 0.02)
    assert raised.value.message.startswith("The runs of math500 have other settings: ")
    assert raised.value.hint == "pass --across-protocols to compare them anyway; the table then lists the differences."
    (across,) = compare(first, second, True, 0.02)
    assert across.differences
    assert raised.value.message.endswith(f": {'; '.join(across.differences)}.")


def test_pairs_are_of_all_runs_or_with_one_of_them(tmp_path: Path) -> None:
    paths = [write(tmp_path / name, math=rows) for name, rows in (("a", FIRST), ("b", SECOND), ("c", FIRST))]
    sides = load_sides(paths)[0]
    pairs = [(r.a.label, r.b.label) for r in compare_runs(sides, None, False, 0.02)]
    assert pairs == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [(r.a.label, r.b.label) for r in compare_runs(sides, 1, False, 0.02)] == [("b", "a"), ("b", "c")]
    assert [(s.label, s.where, len(s.entries)) for s in sides] == [
        (name, str(tmp_path / name), 1) for name in ("a", "b", "c")
    ]


def test_a_bar_with_its_intervals() -> None:
    start = '<svg width="120" height="12" viewBox="0 0 120 12" aria-hidden="true">'
    line = '<rect x="0" y="5.5" width="120" height="1" fill="#8888"/>'
    assert interval_svg(50, (40, 60), (25, 75), 0, 100) == (
        f'{start}{line}<rect x="48.0" y="3" width="24.0" height="6" fill="#2f86c5"/>'
        '<rect x="30.0" y="5.2" width="60.0" height="1.6" fill="currentColor"/>'
        '<rect x="59.5" y="0" width="1.5" height="12" fill="currentColor"/></svg>'
    )
    assert interval_svg(-1, None, (NAN, 1.0), -1, 1) == (
        f'{start}{line}<rect x="60.0" y="0" width="1" height="12" fill="#888"/>'
        '<rect x="0" y="0" width="1.5" height="12" fill="currentColor"/></svg>'
    )
    assert interval_svg(200, (100, 100), None, 0, 100) == (  # what is beyond the scale stands at its end
        f'{start}{line}<rect x="120.0" y="3" width="1.0" height="6" fill="#2f86c5"/>'
        '<rect x="119.5" y="0" width="1.5" height="12" fill="currentColor"/></svg>'
    )
    assert 'x="0" y="0"' in interval_svg(3, None, None, 3, 3)


def test_a_bar_of_the_samples_by_status() -> None:
    start = '<svg width="120" height="10" viewBox="0 0 120 10" aria-hidden="true">'
    assert shares_svg({"correct": 2, "wrong": 1, "no_answer": 0, "truncated": 1, "error": 2}) == (
        f'{start}<rect x="0.0" y="1" width="40.0" height="8" fill="#1a9872"/>'
        '<rect x="40.0" y="1" width="20.0" height="8" fill="#c9571f"/>'
        '<rect x="60.0" y="1" width="20.0" height="8" fill="#8f63c7"/>'
        '<rect x="80.0" y="1" width="40.0" height="8" fill="#d0304a"/></svg>'
    )
    assert shares_svg({"no_answer": 1}) == (
        f'{start}<rect x="0.0" y="1" width="120.0" height="8" fill="#a8841a"/></svg>'
    )
    assert shares_svg({}) == f"{start}</svg>"


def test_a_comparison_in_a_notebook() -> None:
    many = tuple(Flip(f"p{i}", 0.0, 0.5) for i in range(9))
    heads = "".join(
        f'<th scope="col">{h}</th>' for h in ("task", "A", "B", "B − A", "95%", "p (Holm)", "gained", "lost")
    )
    rows = [
        ("MATH-500", "50.0", "60.0", "<b>+10.0</b>", interval_svg(0.1, (0.08, 0.12), (0.06, 0.14), -0.14, 0.14),
         "0.0200", "p|1, p3", "p2"),
        ("AIME 2024", "50.0", "30.0", "<b>−20.0</b>",
         interval_svg(-0.2, (-0.22, -0.18), (-0.24, -0.16), -0.24, 0.24), "&lt; 0.0001", "–", "–"),
        ("MATH-500", "50.0", "50.0", "+0.0", interval_svg(0.0, (0.0, 0.0), (NAN, NAN), -0.02, 0.02), "0.0500",
         "p0, p1, p2, p3, p4, p5, p6, p7, … 9 in all", "–"),
    ]  # fmt: skip
    flat = task(result(0.0, interval_run=(0.0, 0.0), interval_problems=(NAN, NAN)), p=0.05, flips=many)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    assert comparison_html("<a>", "b", [BETTER, replace(WORSE, result=replace(
        WORSE.result, interval_run=(-0.22, -0.18), interval_problems=(-0.24, -0.16))), flat]) == (
        "<p>A: &lt;a&gt;<br>B: b</p>"
        f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
    )  # fmt: skip
