"""The graders on real data: labelled pairs and letters, MATH-500's own golds, recorded generations."""

import gzip
import json
import random
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from evalkit.grading import grade_choice, grade_math
from evalkit.grading.equality.equivalence import meaning_equal

pytestmark = pytest.mark.real_data
SENTENCE = "Therefore the final answer is $\\boxed{%s}$."
# equal although their problems differ: one names its unknown
TRUE_EQUALITIES = {frozenset(("5", "x=5"))}


def rows(path: Path) -> list[dict[str, Any]]:
    content = path.read_bytes()
    return [json.loads(line) for line in (gzip.decompress(content) if path.suffix == ".gz" else content).splitlines()]


@pytest.fixture(scope="module")
def golds(data_dir: Path) -> list[str]:
    return [row["answer"] for row in rows(data_dir / "MATH-500" / "test.jsonl")]


def test_labelled_pairs(data_dir: Path) -> None:
    counted = [
        row
        for row in rows(data_dir / "grading" / "pairs.jsonl")
        if not row["debatable"] and row["stratum"] != "latex_parser"
    ]
    assert len(counted) == 287
    missed: list[str] = []
    invented: list[str] = []
    for row in counted:
        written = [row["response"]] if "response" in row else [row["pred"], SENTENCE % row["pred"]]
        if any((grade_math(text, row["gold"]).status == "correct") != row["expected"] for text in written):
            (missed if row["expected"] else invented).append(row["id"])
    assert len(missed) + len(invented) <= 0.01 * len(counted), (missed, invented)
    assert len(invented) <= 1, invented


def test_labelled_letters(data_dir: Path) -> None:
    counted = [row for row in rows(data_dir / "grading" / "choices.jsonl") if not row["debatable"]]
    right, wrong = 0, []
    for row in counted:
        options = list((row["options"] or {}).values()) or [""] * row["n_options"]
        answer = grade_choice(row["response"], "A", options).answer
        right += answer == row["expected_letter"]
        if answer not in (None, row["expected_letter"]):
            wrong.append(row["id"])
    assert (right, wrong) == (len(counted), [])


def rewrites(gold: str) -> Iterator[str]:
    """The same answer in other notations, made mechanically."""
    yield from (gold, f"\\boxed{{{gold}}}", f"${gold}$", f"\\displaystyle {gold}.", gold.replace("\\frac", "\\dfrac"))
    yield gold.replace("\\left", "").replace("\\right", "")
    if not re.search(r"\d,|\\!|begin|\\[,]", gold):
        yield re.sub(r"(?<=[+\-=,])|(?=[+\-=,])", " ", gold)
    if re.fullmatch(r"-?\d+", gold):
        yield from (f"{gold}.0", f"x = {gold}", f"{gold}\\text{{ units}}", f"\\text{{{gold}}}", f"{int(gold):,}")
        yield f"{int(gold):,}".replace(",", "{,}")
    fraction = re.fullmatch(r"(-?)\\d?frac\{(\d+)\}\{(\d+)\}", gold)
    if fraction:
        sign, above, below = fraction.groups()
        value = Fraction(int(above), int(below))
        yield from (f"{sign}{above}/{below}", f"\\frac{{{sign}{above}}}{{{below}}}")
        yield f"{sign}\\frac{{{3 * int(above)}}}{{{3 * int(below)}}}"
        if 10**12 % value.denominator == 0:
            yield f"{sign}{float(value)}"
    listed = re.fullmatch(r"(-?\d+), ?(-?\d+)(?:, ?(-?\d+))?", gold)
    if listed and ", " in gold:
        yield ", ".join(reversed([part for part in listed.groups() if part]))
        yield f"\\{{{gold}\\}}"


def test_math500_golds_equal_themselves_in_every_notation(golds: list[str]) -> None:
    missed = [(gold, written) for gold in golds for written in rewrites(gold) if not meaning_equal(gold, written)[0]]
    assert not missed


def test_math500_golds_differ_from_other_golds(golds: list[str]) -> None:
    rng, others = random.Random(0), sorted(set(golds))
    wrong = {
        frozenset((gold, other))
        for gold in golds
        for other in rng.sample(others, 20)
        if gold != other and meaning_equal(gold, other)[0]
    }
    # a numeral in base 9 has a value, and another problem's answer may be that value
    wrong = {pair for pair in wrong if not any(re.search(r"\d_", text) for text in pair)}
    assert wrong <= TRUE_EQUALITIES


def test_recorded_generations(data_dir: Path) -> None:
    """Every disagreement with the recorded verdicts is explained in docs/grading.md."""
    folder = data_dir / "math_recorded"
    math = rows(folder / "Qwen__Qwen2.5-14B-Instruct__math500.jsonl.gz")
    scores = [grade_math(row["code"][0], row["answer"]) for row in math]
    differ = {
        row["idx"] for row, score in zip(math, scores, strict=True) if (score.status == "correct") != row["score"][0]
    }
    assert differ == {184, 198, 217, 284}
    assert sum(row["score"][0] for row in math) == 402
    assert sum(score.status == "correct" for score in scores) == 404
    aime = rows(folder / "Qwen__Qwen2.5-14B-Instruct__aime24.jsonl.gz")
    assert all(grade_math(row["code"][0], row["answer"]).value == row["score"][0] for row in aime)
    assert not any(score.status == "error" for score in scores)


def test_no_letter_is_invented_in_mathematics(data_dir: Path) -> None:
    """Points, sets and unknowns are named A, B, C all over."""
    math = rows(data_dir / "math_recorded" / "Qwen__Qwen2.5-14B-Instruct__math500.jsonl.gz")
    unboxed = [row["code"][0].rsplit("\\boxed", 1)[0] for row in math[::2]]
    assert not [text for text in unboxed if grade_choice(text, "A", [""] * 4).answer]
