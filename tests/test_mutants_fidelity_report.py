"""A measurement of two small checkpoints: what it writes, leaves out, refuses and says."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evalkit.errors import EvalkitError
from evalkit.fidelity.measure import FidelitySettings, measure_fidelity
from evalkit.fidelity.models import ForcedModel
from evalkit.fidelity.traces import Trace, TraceSet
from evalkit.results.fidelity import FidelityReport, load_fidelity
from evalkit.stats.drafting import expected_calls

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

FOLDER = Path(__file__).parents[1] / "examples" / "tiny_distill"
TEACHER, STUDENT = str(FOLDER / "teacher"), str(FOLDER / "base")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def fault(call: Callable[[], Any]) -> str:
    with pytest.raises(EvalkitError) as error:
        call()
    return error.value.message


def asked(question: str) -> Any:
    return ({"role": "user", "content": question},)


THINKS = "12 + 30 = 42.</think>It is \\boxed{42}."
TRACES = (
    Trace("sums 1", 0, asked("What is 12 + 30?"), THINKS, prefix="<think>\n", right=True, reward=1.0, tokens=5),
    Trace("sums 1", 1, asked("What is 12 + 30?"), "It is 41.", finished=False, right=False, reward=0.0),
    Trace("sums 2", 0, asked("What is 7 * 9?"), "", right=False),
    Trace("sums 2", 1, asked("What is 7 * 9?"), "7 * 9 = 63. " * 30, right=True),
    Trace("sums 3", 0, asked("And 2 + 2?"), "It is 4, as é says.", right=None),
)
SETTINGS = FidelitySettings(temperatures=(2.0,), gammas=(2,), most_tokens=120, undecided=0.5)


def measured(folder: Path, model: str = TEACHER, **options: Any) -> FidelityReport:
    traces = TraceSet(TRACES, "five texts", model, folder / "own")
    options = {"settings": SETTINGS, "output": folder, **options}
    return measure_fidelity(STUDENT, TEACHER, traces, **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fidelity")
    measured(path, per_token=True)
    return path


def stored(folder: Path) -> Path:
    (path,) = folder.glob("fidelity/*.jsonl")
    return path


def test_the_report_tells_what_was_measured(folder: Path) -> None:
    report = load_fidelity(folder)
    assert report is not None
    teacher, student = (ForcedModel(name, {}) for name in (TEACHER, STUDENT))
    assert (report.schema, report.teacher, report.source, report.written_by) == (1, TEACHER, "five texts", "teacher")
    assert report.teacher_fingerprint == teacher.identity["fingerprint"]
    assert report.texts_digest == TraceSet(TRACES, "", "", folder).digest
    assert report.settings == {
        "temperatures": [1.0, 2.0], "top_k": 5, "undecided": 0.5, "gammas": [2], "most_tokens": 120,
        "dtype": teacher.identity["dtype"],
    }  # fmt: skip
    (one,) = report.students
    assert (one.model, one.fingerprint) == (STUDENT, student.identity["fingerprint"])
    assert teacher.identity["fingerprint"] != student.identity["fingerprint"]
    assert (one.traces, one.compared, one.reason) == (3, 3, "")
    assert list(one.notes) == [
        "2 texts that are empty or too long were left out",
        "1 of 1 texts, read from what was stored as text, have another number of tokens than were generated",
    ]


def rows_of(folder: Path) -> dict[tuple[str, int], dict[str, Any]]:
    lines = [json.loads(line) for line in stored(folder).read_text().splitlines()]
    return {(line["problem"], line["sample_index"]): line for line in lines}


def test_each_text_has_a_line_and_its_arrays(folder: Path) -> None:
    rows = rows_of(folder)
    assert set(rows) == {("sums 1", 0), ("sums 1", 1), ("sums 3", 0)}
    arrays = stored(folder).with_suffix("")
    told = "One file per text; problem and sample_index say which. float64, per token.\n"
    assert (arrays / "README.txt").read_text() == told
    names = {hashlib.sha256(f"{p}\x1f{i}".encode()).hexdigest()[:16] for p, i in rows}
    assert {path.name for path in arrays.iterdir()} == {f"{name}.npz" for name in names} | {"README.txt"}
    tokenizer = ForcedModel(TEACHER, {}).tokenizer
    for trace in TRACES:
        row = rows.get((trace.problem, trace.sample_index))
        if row is None:
            continue
        name = hashlib.sha256(f"{trace.problem}\x1f{trace.sample_index}".encode()).hexdigest()[:16]
        with np.load(arrays / f"{name}.npz") as columns:
            found = dict(columns)
        assert (str(found.pop("problem")), int(found.pop("sample_index"))) == (trace.problem, trace.sample_index)
        ids = tokenizer(trace.text)["input_ids"]
        count = len(ids) + trace.finished
        assert {len(column) for column in found.values()} == {count}
        assert (row["right"], row["reward"]) == (trace.right, trace.reward)
        assert row["bytes"] == len(trace.text.encode())
        for side in ("student", "teacher"):
            own = found[f"{side}_loss"][: len(ids)]
            assert row[side] == [len(ids), pytest.approx(float(own.sum()))]
        accepted = np.exp(np.minimum(found["teacher_loss"] - found["student_loss"], 0))
        assert row["passes"] == {"2": pytest.approx(expected_calls(accepted, 2))}
        masks = {"all": np.ones(count, dtype=bool), "undecided": found["teacher_largest"] < 0.5}
        masks["decided"] = ~masks["undecided"]
        masks["tokens 0-15"] = np.arange(count) < 16
        masks["tokens 16-63"] = ~masks["tokens 0-15"]
        if "</think>" in trace.text:
            close = ids.index(tokenizer.convert_tokens_to_ids("</think>"))
            masks["thinking"] = np.arange(count) < close
            masks["answer"] = np.arange(count) >= close
        assert count <= 64
        assert {name: told[0] for name, told in row["groups"].items()} == {
            name: int(mask.sum()) for name, mask in masks.items() if mask.any()
        }
        for group, (_, sums) in row["groups"].items():
            assert sums == pytest.approx([float(column[masks[group]].sum()) for column in found.values()])


def test_the_same_again_measures_nothing_and_a_missing_text_alone(folder: Path) -> None:
    path = stored(folder)
    before = path.read_bytes()
    assert measured(folder) == load_fidelity(folder)
    assert path.read_bytes() == before
    lines = before.splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2]))
    first = json.loads(lines[0])
    changed = {**first, "student": [first["student"][0], first["student"][1] + 64.0]}
    path.write_bytes(json.dumps(changed).encode() + b"\n" + lines[1])
    measured(folder)
    assert len(path.read_bytes().splitlines()) == 3
    assert rows_of(folder)[first["problem"], first["sample_index"]]["student"][1] == changed["student"][1]
    path.write_bytes(before)
    assert measured(folder) == load_fidelity(folder)


def test_texts_of_another_or_an_unknown_model(tmp_path: Path) -> None:
    note = "tokens per pass of a draft model are told only for texts that the teacher wrote"
    other = measured(tmp_path / "a", "someone/else", limit=2)
    assert (other.written_by, other.students[0].traces) == ("someone/else", 2)
    assert note in other.students[0].notes
    assert not any(f.measure.startswith("tokens_per_pass") for f in other.students[0].figures)
    assert not any("than were generated" in told for told in other.students[0].notes)
    unknown = measure_fidelity([STUDENT], TEACHER, TraceSet(TRACES[:1], "one", "", tmp_path / "own"), settings=SETTINGS)
    assert unknown.written_by == ""
    assert unknown.students[0].notes == ()
    assert any(f.measure == "tokens_per_pass@2" for f in unknown.students[0].figures)
    assert (tmp_path / "own" / "fidelity.json").is_file(), "the texts' own folder, where none is given"
    assert not list((tmp_path / "own").glob("fidelity/*/*.npz"))


def test_what_cannot_be_measured_is_told(tmp_path: Path) -> None:
    assert fault(lambda: measured(tmp_path, settings=FidelitySettings(most_tokens=3))) == "There is no text to measure."
    length = ForcedModel(TEACHER, {})._engine.context_length()
    assert length is not None
    ForcedModel(TEACHER, {}).require_length(length)
    told = fault(lambda: ForcedModel(TEACHER, {}).require_length(length + 1))
    assert told == f"A text has {length + 1:,} tokens, and {TEACHER} has room for {length:,}."
    (tmp_path / "file").write_text("")
    assert fault(lambda: measured(tmp_path / "file")).startswith(
        f"{tmp_path / 'file' / 'fidelity'} cannot be written: "
    )


def test_one_process_at_a_time_measures_into_a_file(folder: Path) -> None:
    from filelock import FileLock

    with FileLock(stored(folder).with_suffix(".lock")):
        assert fault(lambda: measured(folder)) == f"Another process measures into {stored(folder)}."
    assert measured(folder) == load_fidelity(folder)
