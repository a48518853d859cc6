"""Real logs of twelve harnesses, every row of them, against what is known of it."""

import csv
import hashlib
from collections import defaultdict
from pathlib import Path

import pytest

from evalkit import EvalkitError
from evalkit.importers.reader import find_logs
from evalkit.importers.record import ImportedSample

pytestmark = pytest.mark.real_data

SCOPES = {
    "sample": "sample",
    "first sample only": "first sample",
    "problem": "problem",
    "problem (mean over samples)": "problem",
    "problem (majority of 3)": "majority",
    "none": "none",
}


def expected_rows(folder: Path) -> dict[str, list[dict[str, str]]]:
    rows = defaultdict(list)
    with (folder / "EXPECTED.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            rows[row["file"]].append(row)
    return rows


def names(row: dict[str, str]) -> list[str]:
    """The names that a row's problem may go by: the data set's id, or the place that the log gives it."""
    own = row["problem_id"].removeprefix("row ").removeprefix("prompt ")
    if row["peer"] in ("opencompass", "simple_evals"):
        return [own]
    return [row["problem_id"], own, row["native_id"]]


def differences(row: dict[str, str], sample: ImportedSample) -> list[str]:
    verdicts = [v for v in sample.verdicts if v.scope == SCOPES[row["verdict_scope"]]]
    told = {
        "gold": (sample.gold, row["gold"]),
        "text length": (len(sample.text), int(row["text_chars"])),
        "text": (hashlib.sha256(sample.text.encode()).hexdigest()[:12], row["text_sha256_12"]),
        "reasoning": (len(sample.reasoning or ""), int(row["reasoning_chars"])),
        "finish reason": (sample.peer_finish_reason or "", row["finish_reason"]),
        "verdict": (verdicts[0].value if verdicts else None, float(v) if (v := row["peer_verdict"]) else None),
        "error": (sample.error is not None, "ERROR" in row["note"]),
    }
    if row["gold"] == "tests":  # a program is judged by its tests
        del told["gold"]
    if row["answer_source"] == "peer":
        answer = row["final_answer_text"]
        told["answer"] = (sample.answer or "", "" if answer == "None" else answer)
    return [f"{name}: {found!r}, not {wanted!r}" for name, (found, wanted) in told.items() if found != wanted]


def test_every_row_of_every_log(data_dir: Path) -> None:
    folder = data_dir / "peer_logs"
    wrong, checked = [], 0
    for file, rows in expected_rows(folder).items():
        if "refuse" in rows[0]["note"]:
            with pytest.raises(EvalkitError, match="log-likelihoods"):
                find_logs(str(folder / file))
            checked += len(rows)
            continue
        (log,) = find_logs(str(folder / file)).logs
        samples = {(s.problem_id, s.sample_index): s for s in log.samples()}
        assert len(samples) == len({(r["problem_id"], r["native_id"], r["sample_index"]) for r in rows}), file
        for row in rows:
            checked += 1
            keys = [(name, int(row["sample_index"])) for name in names(row)]
            sample = next((samples[key] for key in keys if key in samples), None)
            found = ["no such sample"] if sample is None else differences(row, sample)
            wrong += [f"{file} {row['problem_id']} {row['sample_index']}: {told}" for told in found]
    assert not wrong, "\n".join(wrong[:20])
    assert checked > 500


@pytest.mark.parametrize(
    ("folder", "tasks"),
    [
        ("lighteval/v0.13.0-accelerate", {"mc": 3, "mix": 36}),
        ("evalscope", {"aime24": 16, "general_mcq": 6, "math_500": 8}),
        ("nemo_skills", {"mix": 24}),
        ("matharena", {"mix": 24}),
        ("simple_evals", {"math": 24}),
        ("evalplus", {"humaneval": 4}),
        ("qwq_eval", {"aime24_bz2": 24}),
    ],
)
def test_a_folder_is_taken_apart_into_tasks(folder: str, tasks: dict[str, int], data_dir: Path) -> None:
    found = find_logs(str(data_dir / "peer_logs" / folder))
    assert {log.task: len(list(log.samples())) for log in found.logs} == tasks


def test_a_report_alone_tells_what_the_results_tell(data_dir: Path, tmp_path: Path) -> None:
    name = "math_teacher-raw_20261126_122000"
    folder = data_dir / "peer_logs" / "simple_evals"
    alone = tmp_path / f"{name}.html"
    alone.write_bytes((folder / f"{name}.html").read_bytes())
    (whole,) = find_logs(str(folder)).logs
    (report,) = find_logs(str(alone)).logs
    for one, other in zip(whole.samples(), report.samples(), strict=True):
        assert (one.problem_id, one.sample_index, one.text, one.gold) == (
            other.problem_id,
            other.sample_index,
            other.text,
            other.gold,
        )
        assert (one.answer, one.verdicts) == (other.answer, other.verdicts)


def test_recorded_generations_outside_the_peer_logs(data_dir: Path) -> None:
    (log,) = find_logs(str(data_dir / "math_recorded" / "Qwen__Qwen2.5-14B-Instruct__aime24.jsonl.gz")).logs
    assert log.reader.name == "qwen_math"
    assert sum(s.verdicts[0].value for s in log.samples()) == 6
    (log,) = find_logs(str(data_dir / "livecodebench_recorded" / "O1-Mini_880_eval_all.json.gz")).logs
    assert len(list(log.samples())) == 880
