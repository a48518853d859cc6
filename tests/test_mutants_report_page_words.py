"""What a distillation's figures say in words, sentence by sentence, and the costs that they tell of."""

import json
import math
import struct
from dataclasses import replace
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_mutants_report_pictures_distillation import (
    AGREEMENT,
    GAP,
    ONE,
    OTHER_GAP,
    SOLVED,
    STUDENT,
    TASK,
    TRIES,
    problem,
    score,
)

from evalkit.results import distill_words as words
from evalkit.results.distill_costs import first_stated, length_ratio
from evalkit.results.distill_models import ModelSide, measure_size, short_name
from evalkit.results.distill_records import Gap, Round, StudentDistillation, TaskDistillation
from evalkit.stats.agreement import ErrorConsistency
from evalkit.stats.clustered import ClusteredMean
from evalkit.stats.passes import Crossing
from evalkit.stats.ratio import Ratio


def verdict(**changes: Any) -> tuple[list[str], list[str]]:
    found = replace(ONE, students=(replace(STUDENT, tasks=(replace(TASK, **changes),)),))
    return words.verdict(found)


def first(**changes: Any) -> str:
    return verdict(**changes)[0][0]


def gap(ratio: Ratio | None, **changes: Any) -> Gap:
    return replace(GAP, recovered=ratio, **changes)


SPAN = "(base 20.0%, teacher 80.0%, over problems)"


@pytest.mark.parametrize(
    ("value", "interval", "told"),
    [
        (0.5, (0.4, 0.65), f"The student recovers 50% [40, 65] of the gap on MATH-500 {SPAN}."),
        (0.5, (0.01, 1.01), f"The student recovers 50% [1, 101] of the gap on MATH-500 {SPAN}."),
        (0.5, (0.01, 1.02),
         f"On MATH-500 the student recovers a part of the gap that is not known closely: 50% [1, 102] {SPAN}."),
        (0.2, (0.0, 0.4),
         f"On MATH-500 it cannot be told whether the student recovers any of the gap: 20% [0, 40] {SPAN}."),
        (-0.2, (-0.4, 0.0),
         f"On MATH-500 it cannot be told whether the student recovers any of the gap: −20% [−40, 0] {SPAN}."),
        (-0.2, (-0.4, -0.1), f"On MATH-500 the student has fallen below the base: −20% [−40, −10] of the gap {SPAN}."),
        (1.2, (1.01, 1.4), f"The student goes beyond the teacher on MATH-500: 120% [101, 140] of the gap {SPAN}."),
        (1.2, (1.0, 1.4), f"The student recovers 120% [100, 140] of the gap on MATH-500 {SPAN}."),
        (None, None,
         "On MATH-500 the gap is not defined: teacher and base cannot be told apart (base 20.0%, teacher 80.0%, "
         "60 problems, n = 4, over problems)."),
    ],
)  # fmt: skip
def test_the_gap_in_words(value: Any, interval: Any, told: str) -> None:
    assert first(gap=gap(Ratio(0.3, 0.6, value, interval))) == told


def test_the_gap_of_published_figures_and_of_a_weaker_teacher() -> None:
    assert first(gap=gap(None)) == (
        "The student recovers 50% [45, 55] of the gap on MATH-500 (base 20.0%, teacher 80.0%, run to run)."
    )
    below = gap(Ratio(0.3, -0.1, 0.5, (0.4, 0.6)), teacher=score("t", 0.1))
    assert first(gap=below) == (
        "On MATH-500 the teacher is below the base (base 20.0%, teacher 10.0%): there is no gap to recover."
    )


def test_without_a_base_the_score_that_is_kept_is_told() -> None:
    assert first(gap=OTHER_GAP) == "The student keeps 83% [70, 95] of the teacher's score on MATH-500."
    unknown = replace(OTHER_GAP, retention_run=Ratio(0.5, 0.0, None, None))
    assert first(gap=unknown) == ("On MATH-500 the teacher's score is too close to 0 to say what share of it is kept.")


def said(start: str, **changes: Any) -> list[str]:
    return [sentence for part in verdict(**changes) for sentence in part if start in sentence]


def test_lost_problems_in_words() -> None:
    assert said("loses") == ["The student loses 1 problem of MATH-500 that the base solved: b1."]
    nine = replace(SOLVED[2], listed=tuple(problem(f"b{i}") for i in range(9)))
    assert said("loses", solved=(nine,)) == [
        "The student loses 9 problems of MATH-500 that the base solved: b0, b1, b2, b3, b4, b5, b6, b7 and 1 more."
    ]
    eight = replace(nine, listed=nine.listed[:8])
    assert said("loses", solved=(eight,))[0].endswith("b6, b7.")
    none = replace(SOLVED[2], listed=())
    assert said("lost", solved=(none,)) == [
        "No problem of MATH-500 is shown to be lost; by the solve rates 5.0% [1.0, 10.0] of them are solved by the "
        "base and not by the student in one try each."
    ]
    few = replace(none, smallest_p=0.051)
    assert said("lost", solved=(few,)) == [
        "60 problems, n = 4 on MATH-500: so few samples cannot show that a single problem is lost."
    ]
    assert "cannot show" not in " ".join(said("lost", solved=(replace(none, smallest_p=0.05),)))
    beyond = replace(SOLVED[3], listed=(problem("c1"), problem("c2")))
    assert said("more often", solved=(beyond,)) == [
        "The student solves 2 problems of MATH-500 more often than the teacher does: c1, c2."
    ]


TAIL = (
    " The base never solves 50.0% [40.0, 60.0] of the problems in 4 tries; 10.0% [5.0, 20.0] are such and solved by "
    "the student in one."
)


@pytest.mark.parametrize(
    ("crossing", "told"),
    [
        (Crossing(None, (None, None), 4), "base and the student cannot be told apart by pass@k up to k = 4."),
        (Crossing(3.5, (2.0, 3.8), 4),
         "the base comes up to the student at k = 3.5 [2.0, 3.8] tries and solves more from there: sharper, not "
         "wider."),
        (Crossing(3.5, (None, 3.8), 4),
         "the base comes up to the student at k = 3.5 [under 1, 3.8] tries: it may be sharper rather than wider."),
        (Crossing(3.5, (2.0, None), 4),
         "the base comes up to the student at k = 3.5 [2.0, over 4] tries: it may be sharper rather than wider."),
        (Crossing(None, None, 4), "the student stays above the base up to k = 4 tries."),
    ],
)  # fmt: skip
def test_tries_in_words(crossing: Crossing, told: str) -> None:
    sentences = said("never solves", tries=replace(TRIES, crossing=crossing))
    assert sentences == [f"On MATH-500 {told}{TAIL}"]


def test_a_student_below_its_base_in_words() -> None:
    tries = replace(TRIES, crossing=Crossing(None, None, 4))
    below = {**TRIES.curves, "student": (0.1, 0.1, 0.1, 0.1)}
    assert "stays below the base" in said("never solves", tries=replace(tries, curves=below))[0]
    later = {**TRIES.curves, "student": (0.2, 0.3, 0.4, 0.5)}
    assert "stays above the base" in said("never solves", tries=replace(tries, curves=later))[0]
    assert said("never solves", tries=replace(tries, crossing=None)) == []


def test_what_says_nothing_is_left_out_and_named() -> None:
    wide = (0.1, 0.7)
    told = (
        "Findings with a 95% interval wider than 50 points say nothing and are left out; the tables have them. This "
        "concerns MATH-500 (60 problems, n = 4)."
    )
    assert said("wider than 50") == []
    assert said("wider than 50", tries=replace(TRIES, unsolved=(0.5, wide), new=(0.1, wide))) == [told]
    assert said("wider than 50", tries=replace(TRIES, unsolved=(0.5, wide))) == [], "one of them is known"
    unclear = replace(AGREEMENT, where_wrong=ClusteredMean(0.3, 0.2, wide, 60))
    assert said("wider than 50", agreement=unclear) == [told]
    lost = replace(SOLVED[2], listed=(), interval=wide)
    assert said("wider than 50", solved=(lost,)) == [told]
    assert said("wider than 50", solved=(replace(lost, interval=(0.1, 0.6)),)) == [], "50 points are not too wide"


@pytest.mark.parametrize(
    ("interval", "word"),
    [((0.01, 0.2), "more than"), ((-0.2, -0.01), "less than"), ((0.0, 0.2), "not more than can be told from")],
)
def test_agreement_in_words(interval: Any, word: str) -> None:
    kappa = ErrorConsistency(0.7, (0.6, 0.8), 0.5, 0.1, interval)
    ends = f"[{interval[0]:.2f}, {interval[1]:.2f}]".replace("-", "−")
    assert said("coincide", agreement=replace(AGREEMENT, consistency=kappa, wrong=1)) == [
        "Where the teacher answers wrongly on MATH-500 (1 sample), the student gives the same wrong answer in 30% "
        f"[20, 45]; the base does in 10% [0, 20]. Right and wrong coincide {word} chance (error "
        f"consistency 0.10 {ends})."
    ]
    alone = replace(AGREEMENT, consistency=kappa, where_wrong=None)
    assert said("coincide", agreement=alone) == [
        f"Right and wrong coincide on MATH-500 {word} chance (error consistency 0.10 {ends})."
    ]


@pytest.mark.parametrize(
    ("interval", "told"),
    [
        ((1.1, 2.0), "are longer than the teacher's: 1.50 [1.10, 2.00] times as long (7 problems that both solve)."),
        ((0.5, 0.9), "are shorter than the teacher's: 1.50 [0.50, 0.90] times as long (7 problems that both solve)."),
        ((1.0, 2.0), "are about as long as the teacher's: 1.50 [1.00, 2.00] times (7 problems that both solve)."),
        ((0.5, 1.0), "are about as long as the teacher's: 1.50 [0.50, 1.00] times (7 problems that both solve)."),
    ],
)
def test_lengths_in_words(interval: Any, told: str) -> None:
    costs = {"student": replace(TASK.costs["student"], length_ratio=ClusteredMean(1.5, 0.1, interval, 7))}
    assert said("as long", costs=costs) == [f"Right answers of the student on MATH-500 {told}"]


def overall(*tasks: TaskDistillation, pooled: Ratio | None = None) -> str:
    student = StudentDistillation("s", "s", STUDENT.size, tasks, pooled, None)
    return words.verdict(replace(ONE, students=(student,)))[0][0]


def test_several_benchmarks_in_words() -> None:
    gapless = replace(TASK, title="A", gap=gap(Ratio(0.1, 0.0, None, None)))
    below = replace(TASK, title="B", gap=gap(Ratio(0.3, -0.1, 0.5, (0.4, 0.6)), teacher=score("t", 0.1)))
    more, pooled = replace(TASK, title="C"), Ratio(0.3, 0.6, 0.5, (0.4, 0.6))
    assert (
        overall(TASK, more, pooled=pooled)
        == "Over the 2 benchmarks together the student recovers 50% [40, 60] of the gap."
    )
    assert overall(TASK, more, gapless, pooled=pooled) == (
        "Over 2 of 3 benchmarks the student recovers 50% [40, 60] of the gap; the gap is not defined on A."
    )
    assert overall(TASK, gapless) == (
        "Only 1 of 2 benchmarks, MATH-500, has a gap that the student could recover; the gap is not defined on A."
    )
    assert overall(gapless, below) == (
        "The student cannot be placed between base and teacher on any of the 2 benchmarks: the gap is not defined on "
        "A; the teacher is below the base on B."
    )
    assert overall(TASK, more, pooled=Ratio(0.3, 0.0, None, None)) == (
        "Over the 2 benchmarks with a gap together it is not defined: it cannot be told from 0."
    )


def test_numbers_in_words() -> None:
    assert [words.percent(v) for v in (0.714, -0.004, -0.2, 0.0)] == ["71%", "0%", "−20%", "0%"]
    assert words.interval_percent((-0.014, 0.5), 1) == "[−1.4, 50.0]"
    assert words.ratio_text(None) == "–"
    assert words.ratio_text(Ratio(1, 0, None, None)) == "not defined"
    assert words.ratio_text(Ratio(1, 2, 0.5, (0.25, 0.75)), 1) == "50.0% [25.0, 75.0]"
    assert words.mean_text(None) == "–"
    assert words.mean_text(ClusteredMean(0.5, nan, (nan, nan), 1)) == "50%"
    assert words.mean_text(ClusteredMean(0.5, 0.4, (-0.3, 1.3), 3)) == "50% [0, 100]"
    assert words.kappa_text(ErrorConsistency(1, (1, 1), 1, None, None)) == "–"
    assert words.kappa_text(ErrorConsistency(1, (1, 1), 1, -0.001, (-0.5, 0.25))) == "0.00 [−0.50, 0.25]"


def test_rounds_in_words() -> None:
    def told(low: float, high: float) -> str:
        step = Round("t", "T", "a", "b", (low + high) / 2, (0, 0), (low, high), 0.1)
        return words.verdict(replace(ONE, rounds=(step,)))[0][-1]

    assert told(0.02, 0.1) == "b after a on T: gains +6.0 points [+2.0, +10.0]."
    assert told(-0.1, -0.02) == "b after a on T: loses −6.0 points [−10.0, −2.0]."
    assert told(0.0, 0.1) == "b after a on T: cannot be told from no change: +5.0 points [+0.0, +10.0]."


@pytest.mark.parametrize(
    ("text", "answer", "end"),
    [
        ("x \\boxed{42} y", "42", 12), ("The answer is 42.", "42", 16), ("ANSWER: 42", "42", 10),
        ("answer 420", "42", None),
        ("6*7=42\nok", "42", 6), ("6*7=42 apples", "42", None), ("my_answer 42", "42", None), ("", "42", None),
        ("42", "", None), ("answer: 1 or \\boxed{2}", "2", 21),
    ],
)  # fmt: skip
def test_where_an_answer_is_stated_first(text: str, answer: str, end: int | None) -> None:
    assert first_stated(text, answer) == end


def test_lengths_are_compared_on_problems_that_both_solve() -> None:
    own, theirs = np.array([[10.0, 30.0], [5.0, 5.0]]), np.array([[10.0, 10.0], [7.0, 7.0]])
    right, none = np.array([[0.0, 1.0], [0.0, 0.0]]), np.zeros((2, 2))
    found = length_ratio(own, right, theirs, np.ones((2, 2)))
    assert found is not None
    assert found.value == pytest.approx(3)
    assert found.clusters == 1
    assert math.isnan(found.interval[0]), "of a single problem"
    assert length_ratio(own, none, theirs, np.ones((2, 2))) is None


def test_a_ratio_that_is_the_same_on_all_problems_tells_no_interval() -> None:
    own, right = np.array([[20.0], [40.0], [60.0]]), np.ones((3, 1))
    same = length_ratio(own, right, own / 2, right)
    assert same is not None
    assert words.length_text(same) == "2.00 (no interval)"
    other = length_ratio(own, right, np.array([[10.0], [20.0], [31.0]]), right)
    assert other is not None
    assert words.length_text(other) == "1.98 [1.89, 2.07]"


def checkpoint(folder: Path, header: bytes, length: int | None = None) -> Any:
    folder.mkdir()
    content = struct.pack("<Q", len(header) if length is None else length) + header
    (folder / "model.safetensors").write_bytes(content)
    size = measure_size(ModelSide(str(folder), "m", {}))
    return size.parameters, size.bytes, len(content)


def test_a_checkpoint_tells_its_size(tmp_path: Path) -> None:
    header = json.dumps({"__metadata__": {}, "a": {"shape": [3, 4]}, "b": {"shape": []}}).encode()
    parameters, size, length = checkpoint(tmp_path / "good", header)
    assert (parameters, size) == (13, length)
    parameters, size, length = checkpoint(tmp_path / "large", header, 100_000_001)
    assert (parameters, size) == (None, length)
    empty = measure_size(ModelSide(str(tmp_path), "m", {}))
    assert (empty.parameters, empty.bytes, empty.tokens_per_second, empty.device) == (None, None, None, None)
    assert [short_name(name) for name in ("org/m", "a/b/c/", "m")] == ["m", "c", "m"]
