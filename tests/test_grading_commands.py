"""`evalkit grade` and `evalkit grade-diff`."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from evalkit.cli.grade import command as grade
from evalkit.cli.grade_diff import command as grade_diff
from evalkit.errors import EvalkitError


def shown(*arguments: object, text: str | None = None) -> str:
    result = CliRunner().invoke(grade, [str(a) for a in arguments], input=text, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_grade_shows_what_was_found_where_and_by_which_rule(tmp_path: Path) -> None:
    response = tmp_path / "response.txt"
    response.write_text("<think>\\boxed{9}</think> so we get \\boxed{\\frac{2}{4}}")
    output = shown("--gold", "0.5", "--response", response)
    assert "status       correct" in output
    assert "answer       \\frac{2}{4}" in output
    assert "found by     box" in output
    assert "exact value" in output


def test_grade_reads_standard_input_and_letters() -> None:
    output = shown("--gold", "B", "--choices", "red|green|blue", "--response", "-", text="It is (C), blue.")
    assert "status       wrong" in output
    assert "answer       C" in output


def test_grade_compares_an_answer_alone() -> None:
    assert "correct" in shown("--gold", "x > 2", "--answer", "(2, \\infty)")
    assert "wrong" in shown("--gold", "x > 2", "--answer", "[2, \\infty)")


def test_bad_arguments_are_one_sentence_and_a_hint(tmp_path: Path) -> None:
    with pytest.raises(EvalkitError, match=r"either --response FILE or --answer"):
        shown("--gold", "1")
    with pytest.raises(EvalkitError, match="cannot be read"):
        shown("--gold", "1", "--response", tmp_path / "missing.txt")
    with pytest.raises(EvalkitError, match="There is no run below"):
        CliRunner().invoke(grade_diff, [str(tmp_path), "--against", "evalkit"], catch_exceptions=False)


@pytest.mark.real_data
def test_grade_diff_lists_where_another_grader_differs(data_dir: Path, tmp_path: Path) -> None:
    pytest.importorskip("math_verify")
    from helpers import evalkit

    recorded = data_dir / "math_recorded" / "Qwen__Qwen2.5-14B-Instruct__math500.jsonl.gz"
    run = tmp_path / "run"
    evalkit(
        *("run", "o/m", "-t", "math500", "-n", 1, "--response-prefix", "", "--backend", "replay"),
        *("--recorded", recorded, "--data", data_dir, "-o", run),
    )
    result = CliRunner().invoke(grade_diff, [str(run), "--data", str(data_dir)], catch_exceptions=False)
    assert "prealgebra/1865 sample 0: evalkit correct ('12^{\\\\mathrm{th}} \\\\text{ grade}')" in result.output
    assert "math500: 3 of 500 verdicts differ from math-verify's" in result.output
