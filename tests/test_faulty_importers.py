"""Mistakes of an importer that a stranger has written: each is told in one sentence that names it, nothing is left."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import EvalkitError
from evalkit.importers import reader as readers
from evalkit.importers.files import LogFile
from evalkit.importers.reader import Log, LogPart, Reader
from evalkit.importers.record import ImportedSample, LogFacts, PeerVerdict
from evalkit.run.importing import ImportedRun, import_run

Change = Callable[[dict[str, Any], int, int], object]


class Mine(Reader):
    name = "mine"
    title = "my harness"
    part: Any = None
    told: Any = LogFacts("org/model")
    change: Change | None = None

    def recognise(self, file: LogFile) -> LogPart | None:
        return LogPart(file, "sums") if self.part is None else self.part

    def facts(self, log: Log) -> LogFacts:
        return self.told  # type: ignore[no-any-return]

    def samples(self, log: Log) -> Iterator[ImportedSample]:
        for number, row in enumerate(log.files[0].rows()):
            for k, text in enumerate(row["answers"].texts()):
                fields: dict[str, Any] = {
                    "problem": row["question"].text(),
                    "gold": row["gold"].maybe_label(),
                    "verdicts": (PeerVerdict("right", 1.0),),
                }
                if self.change is not None:
                    self.change(fields, number, k)
                yield ImportedSample(str(number), k, text, **fields)


VERDICT: Any = PeerVerdict
ROWS = [{"question": f"{i} + {i}?", "gold": str(2 * i), "answers": [f"\\boxed{{{2 * i}}}"] * 2} for i in range(4)]


def bring_in(
    folder: Path, monkeypatch: pytest.MonkeyPatch, mine: Reader, rows: Any = ROWS, **options: Any
) -> ImportedRun:
    monkeypatch.setattr(readers, "installed_readers", lambda: {"mine": mine})
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return import_run(folder / "log.jsonl", folder / "run", workers=1, **options)


def refused(folder: Path, monkeypatch: pytest.MonkeyPatch, mine: Reader, **options: Any) -> EvalkitError:
    with pytest.raises(EvalkitError) as caught:
        bring_in(folder, monkeypatch, mine, **options)
    assert not (folder / "run").exists()
    assert "delete that line" not in caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    ("attributes", "sentence"),
    [
        ({"part": True}, "recognise() of the importer mine gives True, not a LogPart or None for "),
        ({"part": "sums"}, "recognise() of the importer mine gives 'sums', not a LogPart or None for "),
        ({"told": {"model": "x"}}, "facts() of the importer mine gives a value of type dict, not LogFacts."),
        ({"told": LogFacts(model=5)}, "facts() of the importer mine gives LogFacts with a model of type int: 5."),  # type: ignore[arg-type]
        ({"told": LogFacts(version=None)}, "LogFacts with a version of type NoneType: None."),  # type: ignore[arg-type]
        ({"told": LogFacts(sampling=None)}, "LogFacts with a sampling of type NoneType: None."),  # type: ignore[arg-type]
        ({"told": LogFacts(notes="x")}, "LogFacts with notes that are no tuple of texts: 'x'."),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_part_and_no_facts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attributes: dict[str, Any], sentence: str
) -> None:
    mine = Mine()
    for name, value in attributes.items():
        setattr(mine, name, value)
    error = refused(tmp_path, monkeypatch, mine)
    assert sentence in error.message
    assert error.hint == "repair the importer; nothing was imported."


def test_facts_that_return_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(Mine):
        def facts(self, log: Log) -> LogFacts:
            return None  # type: ignore[return-value]

    assert "facts() of the importer mine gives None, not LogFacts." in refused(tmp_path, monkeypatch, Silent()).message


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"verdicts": (VERDICT("right", float("nan")),)},
            "the verdict 'right' with the value nan, which is not a number",
        ),
        (
            {"verdicts": (VERDICT("right", 5.0),)},
            "the verdict 'right' with the value 5.0, which is not a number from 0",
        ),
        ({"verdicts": (VERDICT("right", "1"),)}, "the verdict 'right' with the value '1'"),
        ({"verdicts": (VERDICT("right", 1.0, "all"),)}, "the verdict 'right' with the scope 'all'"),
        ({"verdicts": (VERDICT(3, 1.0),)}, "a verdict whose name is 3, not a text"),
        ({"verdicts": (VERDICT("right", 1.0, answer=3),)}, "with an answer of type int: 3"),
        ({"completion_tokens": -5}, "the completion_tokens -5, which is not a number from 0 on"),
        ({"position": -1}, "the position -1, which is not a number from 0 on"),
        ({"seconds": float("nan")}, "the seconds nan, which are not finite"),
    ],
)
def test_a_sample_that_no_run_can_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], sentence: str
) -> None:
    mine = Mine()
    mine.change = lambda given, number, k: given.update(fields) if (number, k) == (2, 1) else None
    error = refused(tmp_path, monkeypatch, mine)
    assert error.message.startswith(f"The importer mine gives for {tmp_path}/log.jsonl (problem '2') ")
    assert sentence in error.message


def test_which_problem_has_no_right_answer_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{**row, "gold": None if number == 3 else row["gold"]} for number, row in enumerate(ROWS)]
    done = bring_in(tmp_path, monkeypatch, Mine(), rows)
    assert done.reports == []
    assert done.tasks[0].samples == 8
    assert done.tasks[0].notes == ["not graded: 1 of 4 problems has no right answer in the log: 3"]


def test_samples_of_one_problem_with_several_texts_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = Mine()
    mine.change = lambda given, number, k: given.update(problem=f"x{k}") if number == 1 else None
    assert "log.jsonl has several texts of problem 1." in refused(tmp_path, monkeypatch, mine).message
    assert bring_in(tmp_path, monkeypatch, mine, kind="none").tasks[0].samples == 8
    spaced = Mine()
    spaced.change = lambda given, number, k: given.update(problem=f"{number}  +\n{number}?" + " " * k)
    other = tmp_path / "other"
    other.mkdir()
    assert len(bring_in(other, monkeypatch, spaced).reports) == 1, "white space is no other text"


@pytest.mark.parametrize("empty", [[0], [2], [3], [1, 3]])
def test_rows_that_give_no_sample_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty: list[int]
) -> None:
    rows = [{**row, "answers": [] if number in empty else row["answers"]} for number, row in enumerate(ROWS)]
    done = bring_in(tmp_path, monkeypatch, Mine(), rows)
    assert done.tasks[0].notes == [f"{len(empty)} of 4 rows gave no sample"]
    mapped = import_run(
        tmp_path / "log.jsonl",
        tmp_path / "mapped",
        fields="text=answers,problem=question,gold=gold",
        model="m",
        workers=1,
    )
    assert mapped.tasks[0].notes == [f"{len(empty)} of 4 rows gave no sample"]


def test_rows_that_are_read_before_are_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Twice(Mine):
        def samples(self, log: Log) -> Iterator[ImportedSample]:
            known = len(list(log.files[0].rows()))
            assert known == len(ROWS)
            yield from super().samples(log)

    class Ahead(Mine):
        def samples(self, log: Log) -> Iterator[ImportedSample]:
            yield from list(super().samples(log))

    for folder, mine in ((tmp_path / "1", Twice()), (tmp_path / "2", Ahead())):
        folder.mkdir()
        assert bring_in(folder, monkeypatch, mine).tasks[0].notes == []
