"""evalkit compare: paired by problem, never across protocols without saying so."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import evalkit, told
from synthetic_runs import solve_rates, write_run

from evalkit.benchmark.protocols import find_protocol
from evalkit.errors import EvalkitError
from evalkit.results.compare import compare
from evalkit.results.entries import load_entries


def test_difference_flips_and_json(tmp_path: Path) -> None:
    before = [[True, False], [False, False], [True, True], [False, False]]
    after = [[True, True], [True, True], [True, True], [False, True]]
    write_run(tmp_path / "a" / "r", "a", {"aime24": before})
    write_run(tmp_path / "b" / "r", "b", {"aime24": after})
    found = json.loads(evalkit("compare", tmp_path / "a", tmp_path / "b", "-f", "json").stdout)["tasks"][0]
    assert found["result"]["difference"] == pytest.approx(0.5)
    assert [(f["problem_id"], f["before"], f["after"]) for f in found["flips"]] == [
        ("p1", 0, 1), ("p0", 0.5, 1), ("p3", 0, 0.5),
    ]  # fmt: skip
    assert found["result"]["p_value"] == pytest.approx(0.25)  # three moves of one sign: 2 / 2^3
    text = evalkit("compare", tmp_path / "a", tmp_path / "b", "--flips", "1").stdout
    assert "3 problems better in B, 0 worse, 1 the same" in text
    assert "and 2 more" in text


def test_protocols_do_not_mix_in_silence(tmp_path: Path) -> None:
    warm = replace(find_protocol("deepseek-r1"), name="warm", temperature=1.0)
    write_run(tmp_path / "a" / "r", "a", {"aime24": solve_rates(20, 2, 0.5)})
    write_run(tmp_path / "b" / "r", "b", {"aime24": solve_rates(20, 2, 0.5)}, protocol=warm)
    assert "different protocols" in told(evalkit("compare", tmp_path / "a", tmp_path / "b", code=2))
    text = evalkit("compare", tmp_path / "a", tmp_path / "b", "--across-protocols").stdout
    assert "(across protocols)" in text
    assert "temperature 1.0 instead of 0.6" in text


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    for name, task in (("a", "aime24"), ("b", "math500")):
        write_run(tmp_path / name / "r", name, {task: solve_rates(5, 2, 0.5)})
    a, b = load_entries([tmp_path / "a"])[0], load_entries([tmp_path / "b"])[0]
    with pytest.raises(EvalkitError, match="have no task in common"):
        compare(a, b, False, 0.02)
    with pytest.raises(EvalkitError, match="two runs"):
        compare(a + a, a, False, 0.02)


def test_protocols_command_lists_what_each_fixes(tmp_path: Path) -> None:
    out = evalkit("protocols").stdout
    for name in ("deepseek-r1 (default)", "open-r1", "qwq", "temperature", "top_k"):
        assert name in out
    own = json.loads(evalkit("protocols", "qwq", "--json").stdout) | {"name": "mine", "temperature": 0.9}
    (tmp_path / "mine.json").write_text(json.dumps(own))
    assert "0.9" in evalkit("protocols", tmp_path / "mine.json").stdout
