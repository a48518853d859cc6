"""What becomes of a log, whole: every field of the records, how problems are matched, what is refused."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from helpers import records
from peer_logs import write_lines

import evalkit
from evalkit import DataSource, EvalkitError, Problem, RunIncompleteError, Score, Task
from evalkit.benchmark.protocols import Protocol, find_protocol
from evalkit.benchmark.registry import TaskSpec
from evalkit.importers.files import LogFile
from evalkit.importers.problem_set import PROBLEM_SET
from evalkit.importers.reader import Log, LogPart, Reader
from evalkit.importers.record import ImportedSample, LogFacts, PeerVerdict
from evalkit.results.recreate import recreate_problems
from evalkit.run import import_tasks, importing
from evalkit.run.importing import ImportedTask, import_run, match_problems
from evalkit.store.run import RunDirectory, TaskFiles

FIELDS = "text=out,problem=q,gold=a,correct=ok,finish_reason=why,prompt_tokens=pt,completion_tokens=ct,answer=ans"
ROWS = [
    {"q": "What is 6 * 7?", "a": "42", "out": ["So 42.", "So é."], "ok": [True, 0.5], "why": ["stop", "length"],
     "pt": 5, "ct": [3, 4], "ans": ["42", "41"]},
    {"q": "What is 1 + 1?", "a": "2", "out": "two", "ok": False, "why": "odd", "pt": None, "ct": None, "ans": None},
]  # fmt: skip


@pytest.fixture(autouse=True)
def without_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the data sets lie is recorded: these tests have none."""
    monkeypatch.delenv("EVALKIT_DATA", raising=False)


def imported(path: Path, output: Path | None, **options: Any) -> importing.ImportedRun:
    return import_run(path, output, **{"model": "lab/student", "score": False, "fields": FIELDS, **options})


def plain(path: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in record.items() if k != "crc"} for record in records(path)]


def test_plain_rows_whole(tmp_path: Path) -> None:
    done = imported(write_lines(tmp_path / "log.jsonl", ROWS), tmp_path / "run")
    note = "1 of 4 samples are not in the log: holes stay holes"
    (task,) = done.tasks
    assert task == ImportedTask(
        "log", "log", samples=3, problems=2, n=2, missing=1, text_forms={"raw": 3}, notes=[note], graded=True
    )
    assert (done.path, done.model, done.peer) == (tmp_path / "run", "lab/student", "map")
    assert (done.refused, done.reports) == ([], [])
    common = {"task": "log", "seconds": None, "prefix": "", "error": None}
    first = {**common, "problem_id": "0", "prompt_tokens": 5}
    assert plain(done.path / "log/completions.jsonl") == [
        {**first, "sample_index": 0, "text": "So 42.", "finish_reason": "stop", "completion_tokens": 3},
        {**first, "sample_index": 1, "text": "So é.", "finish_reason": "length", "completion_tokens": 4},
        {**common, "problem_id": "1", "sample_index": 0, "text": "two", "finish_reason": "unknown"}
        | {"prompt_tokens": None, "completion_tokens": None},
    ]
    verdict = {"name": "ok", "scope": "sample"}
    same = {"task": "log", "text_form": "raw", "reasoning_chars": 0, "note": ""}
    six = {**same, "problem_id": "0", "gold": "42", "log_problem_id": "0"}
    assert plain(done.path / "log/peer_scores.jsonl") == [
        {**six, "sample_index": 0, "verdicts": [{**verdict, "value": 1.0, "answer": "42"}], "answer": "42"}
        | {"finish_reason": "stop", "text_chars": 6, "text_sha256": hashlib.sha256(b"So 42.").hexdigest()},
        {**six, "sample_index": 1, "verdicts": [{**verdict, "value": 0.5, "answer": "41"}], "answer": "41"}
        | {"finish_reason": "length", "text_chars": 5, "text_sha256": hashlib.sha256(b"So \xc3\xa9.").hexdigest()},
        {**same, "problem_id": "1", "gold": "2", "log_problem_id": "1", "sample_index": 0}
        | {"verdicts": [{**verdict, "value": 0.0, "answer": None}], "answer": None}
        | {"finish_reason": "odd", "text_chars": 3, "text_sha256": hashlib.sha256(b"two").hexdigest()},
    ]
    assert plain(done.path / "log/problems.jsonl") == [
        {"id": "0", "prompt": "What is 6 * 7?", "target": "42", "metadata": {}},
        {"id": "1", "prompt": "What is 1 + 1?", "target": "2", "metadata": {}},
    ]
    held = json.loads((done.path / "run.json").read_text())
    entry = held["tasks"].pop("log")
    (data,) = entry["identity"].pop("data")
    assert held == {
        "schema": 1,
        "evalkit": evalkit.__version__,
        "model": "lab/student",
        "identity": {
            "engine": {"backend": "imported", "model": "lab/student", "peer": "map", "peer_version": None},
            "protocol": {"name": "unknown (imported)"},
            "seed": None,
        },
        "protocol": None,
        "environment": {},
        "imported": {"peer": "plain rows", "versions": [], "refused": []},
        "tasks": {},
    }
    options = {"label": "log", "of_kind": "math"}
    assert entry == {
        "title": "log (imported)",
        "spec": {"name": "log", "file": PROBLEM_SET, "options": options},
        "identity": {
            "version": 1,
            "options": options,
            "task_file_sha256": None,
            "prompt": None,
            "sampling": {"max_tokens": None},
            "data_unchecked": False,
        },
        "sampling": {"n": 2},
        "data_folder": None,
        "problem_ids": ["0", "1"],
        "problems_available": 2,
        "imported": {
            "log": "log",
            "files": ["log.jsonl"],
            "text_forms": {"raw": 3},
            "gold_differences": [],
            "notes": [note],
        },
    }
    assert data["hub_id"] == "imported/log"
    run = RunDirectory(done.path)
    assert [p.target for p in recreate_problems(run.task("log"))] == ["42", "2"], "the data are those of the record"
    assert run.record().is_imported
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.jsonl", "run"]


def test_an_asserted_protocol_and_a_task_of_ours_whole(tmp_path: Path) -> None:
    from evalkit_tasks.arithmetic import test_problems

    ours = test_problems()
    rows = [{"q": ours[i].prompt, "a": gold, "out": "x"} for i, gold in ((7, ours[7].target), (2, "1000"))]
    protocol = Protocol(
        "mine", "me", temperature=0.5, top_k=7, max_tokens=99, prompts={"other": "{letters}: {problem}"}
    )
    done = imported(
        write_lines(tmp_path / "log.jsonl", rows),
        tmp_path / "run",
        fields="text=out,problem=q,gold=a",
        task="arithmetic",
        protocol=protocol,
    )
    (task,) = done.tasks
    difference = f"{ours[2].id}: '1000' in the log, {ours[2].target!r} in the task"
    assert (task.log_task, task.task, task.n, task.missing, task.graded) == ("log", "arithmetic", 1, 0, True)
    assert task.gold_differences == [difference]
    held = json.loads((done.path / "run.json").read_text())
    assert held["identity"]["protocol"] == {
        "name": "mine (asserted)",
        "temperature": 0.5,
        "top_p": 0.95,
        "top_k": 7,
        "max_tokens": 99,
        "system_prompt": None,
        "response_prefix": "<think>\n",
        "asserted": True,
    }
    assert held["protocol"]["name"] == "mine"
    entry = held["tasks"]["arithmetic"]
    assert entry["spec"] == {"name": "arithmetic", "file": None, "options": {}}
    assert entry["title"] == "Two-digit arithmetic"
    assert entry["identity"] == {
        "version": 1,
        "options": {},
        "task_file_sha256": None,
        "prompt": "ABCD: {problem}",
        "sampling": {"temperature": 0.5, "top_p": 0.95, "top_k": 7, "max_tokens": 99},
        "data": [],
        "data_unchecked": False,
    }
    assert entry["problem_ids"] == [ours[2].id, ours[7].id], "in the order of the task"
    assert (entry["problems_available"], entry["data_folder"]) == (200, None)
    assert entry["imported"]["gold_differences"] == [difference]
    assert not (done.path / "arithmetic/problems.jsonl").exists()
    assert [r["log_problem_id"] for r in records(done.path / "arithmetic/peer_scores.jsonl")] == ["0", "1"]
    assert [r["problem_id"] for r in records(done.path / "arithmetic/completions.jsonl")] == [ours[7].id, ours[2].id]


def test_a_named_protocol_is_asserted_too(tmp_path: Path) -> None:
    done = imported(write_lines(tmp_path / "log.jsonl", ROWS), tmp_path / "run", protocol="deepseek-r1")
    held = json.loads((done.path / "run.json").read_text())
    assert held["identity"]["protocol"]["name"] == "deepseek-r1 (asserted)"
    assert held["tasks"]["log"]["identity"]["prompt"] is None, "a set of its own has the prompts of its log"
    assert held["tasks"]["log"]["identity"]["sampling"]["max_tokens"] == find_protocol("deepseek-r1").max_tokens


# Where it comes to lie


def test_a_run_lies_under_its_model_and_a_hash_of_the_log_and_its_reading(tmp_path: Path) -> None:
    log = write_lines(tmp_path / "log.jsonl", ROWS)
    fields = {"text": "out", "gold": "a", "problem": "q"}
    common: dict[str, Any] = {"results": tmp_path / "results", "fields": fields}
    first = imported(log, None, **common)
    read = [["map", "log.jsonl", log.stat().st_size], ["map", [["gold", "a"], ["problem", "q"], ["text", "out"]]]]
    digest = hashlib.sha256(json.dumps(read).encode()).hexdigest()[:8]
    assert first.path == tmp_path / "results" / "lab__student" / f"imported-{digest}"
    with pytest.raises(EvalkitError) as caught:
        imported(log, None, **common)
    assert caught.value.message == f"{first.path} exists already."
    assert "imported before with this map, task, kind and protocol" in caught.value.hint
    others = [imported(log, None, **common, **more) for more in ({"kind": "none"}, {"protocol": "deepseek-r1"})]
    assert len({first.path, *(other.path for other in others)}) == 3
    with pytest.raises(EvalkitError) as caught:
        imported(log, first.path, **common)
    assert caught.value.hint == "give another folder with -o, or remove it."


@pytest.mark.parametrize(
    ("name", "folder"),
    [("lab/my model", "lab__my_model"), ("a.b+c@d-e_f", "a.b+c@d-e_f"), ("../..", "model"), ("_x.", "x")],
)
def test_a_model_s_name_as_a_folder(name: str, folder: str) -> None:
    assert importing._folder(name).replace("__", "_") == folder.replace("__", "_")
    assert importing._folder("lab/x") == "lab__x"


def test_the_label_of_a_log_is_a_folder_of_its_own() -> None:
    assert importing._label("a b/c", {}) == "a_b_c"
    assert importing._label("x", {"x": 1, "x_": 2}) == "x__"
    assert importing._label("y" * 99, {}) == "y" * 80
    assert importing._label("...", {}) == "task"


def test_what_killed_imports_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    dead = 4_194_399  # above the largest number of a process
    for name in (f".run.{dead}.import", f".run.{os.getpid()}.import", ".run.x.import", f".other.{dead}.import"):
        (tmp_path / name / "log").mkdir(parents=True)
    imported(write_lines(tmp_path / "log.jsonl", ROWS), tmp_path / "run")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {".run.x.import", f".other.{dead}.import", "log.jsonl", "run"}


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    log = write_lines(tmp_path / "log.jsonl", ROWS)
    (tmp_path / "file").write_text("")
    with pytest.raises(EvalkitError, match="cannot be written: Not a directory"):
        imported(log, tmp_path / "file" / "run")
    rows = [*ROWS, {"q": "no answer", "out": 3.5}]
    with pytest.raises(EvalkitError):
        imported(write_lines(tmp_path / "bad.jsonl", rows), tmp_path / "run")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.jsonl", "file", "log.jsonl"]


def test_two_logs_are_two_tasks_or_refused(tmp_path: Path) -> None:
    from evalkit_tasks.arithmetic import test_problems

    ours = test_problems()[0]
    rows = [{"q": ours.prompt, "a": ours.target, "out": "x"}]
    for name in ("one", "two"):
        write_lines(tmp_path / "logs" / f"{name}.jsonl", rows)
    fields = "text=out,problem=q,gold=a"
    apart = imported(tmp_path / "logs", tmp_path / "apart", fields=fields, task="two=arithmetic")
    assert [(t.log_task, t.task) for t in apart.tasks] == [("one", "one"), ("two", "arithmetic")]
    assert list(RunDirectory(apart.path).tasks()) == ["one", "arithmetic"]
    with pytest.raises(EvalkitError, match="has two logs that are of arithmetic"):
        imported(tmp_path / "logs", tmp_path / "both", fields=fields, task="arithmetic")
    for wanted in ("three=arithmetic", "two="):
        with pytest.raises(EvalkitError, match="There is no log") as caught:
            imported(tmp_path / "logs", tmp_path / "both", fields=fields, task=wanted)
        assert caught.value.hint == "one, two"


def test_a_log_named_like_a_task_that_it_does_not_fit_is_a_set_of_its_own(tmp_path: Path) -> None:
    log = write_lines(tmp_path / "Arithmetic.jsonl", ROWS)
    (task,) = imported(log, tmp_path / "run").tasks
    assert task.task == "Arithmetic_imported"
    assert task.notes[0].startswith("not taken for arithmetic: 2 of 2 problems of ")
    assert task.notes[0].endswith("Arithmetic.jsonl are not in arithmetic, such as 0.")
    assert RunDirectory(tmp_path / "run").task("Arithmetic_imported").record.title == "Arithmetic (imported)"
    (said,) = imported(log, tmp_path / "said", kind="none").tasks
    assert said.notes[1:] == ["not graded: --kind none"], "it has right answers"
    assert not said.graded
    with pytest.raises(EvalkitError, match="are not in arithmetic, such as 0"):
        imported(log, tmp_path / "asked", task="arithmetic")


def test_names_of_tasks() -> None:
    assert import_tasks.named_like_a_task("AIME-2024") == "aime24"
    assert import_tasks.named_like_a_task("math500") == "math500"
    assert import_tasks.named_like_a_task("math5000") is None


def test_the_problems_of_an_earlier_log_are_a_task_for_a_later_one(tmp_path: Path) -> None:
    first = imported(write_lines(tmp_path / "first.jsonl", ROWS), tmp_path / "one")
    rows = [{"q": f"Please: {row['q']}", "a": row["a"], "out": "y"} for row in ROWS[:1]]
    second = write_lines(tmp_path / "second.jsonl", rows)
    fields = "text=out,problem=q,gold=a"
    done = imported(second, tmp_path / "two", fields=fields, task=str(first.path / "first"))
    entry = json.loads((done.path / "run.json").read_text())["tasks"]["first"]
    assert entry["spec"] == {"name": "first", "file": PROBLEM_SET, "options": {"label": "first", "of_kind": "math"}}
    assert (entry["problem_ids"], entry["problems_available"], entry["data_folder"]) == (["0"], 2, None)
    assert entry["identity"]["data"] == RunDirectory(first.path).task("first").record.identity["data"]
    copied = (done.path / "first/problems.jsonl").read_bytes()
    assert copied == (first.path / "first/problems.jsonl").read_bytes()
    (first.path / "run.json").write_text(
        (first.path / "run.json").read_text().replace(PROBLEM_SET, "another.module:Task")
    )
    with pytest.raises(EvalkitError, match="has no problem set of an imported log"):
        imported(second, tmp_path / "three", fields=fields, task=str(first.path / "first"))


# A log that says everything


class Given(Reader):
    """A log whose samples are given."""

    name = "given"
    title = "The given harness"

    def __init__(self, samples: tuple[ImportedSample, ...], facts: LogFacts) -> None:
        self.given, self.told = samples, facts

    def recognise(self, file: LogFile) -> LogPart | None:
        return None

    def samples(self, log: Log) -> Iterator[ImportedSample]:
        yield from self.given

    def facts(self, log: Log) -> LogFacts:
        return self.told


def log_of(*samples: ImportedSample, facts: LogFacts | None = None) -> Log:
    file: Any = SimpleNamespace(where="x.jsonl", name="x.jsonl", size=1, passes=[])
    return Log(Given(samples, facts or LogFacts()), "log", (LogPart(file, "log"),))


def sample(problem_id: str, index: int = 0, text: str = "t", **fields: Any) -> ImportedSample:
    return ImportedSample(problem_id, index, text, **fields)


def written(folder: Path, log: Log, kind: Any = None) -> tuple[ImportedTask, dict[str, Any]]:
    (folder / "set").mkdir(parents=True, exist_ok=True)
    return importing._write(log, log.facts(), folder, "set", "", kind, None)


def test_all_that_a_log_tells_is_kept(tmp_path: Path) -> None:
    asked = "Which is prime?\nA) 4\nB) 7\n"
    log = log_of(
        sample("q", 2, "Hm.</think>B", prompt=f"{asked}<think>\n", gold="B", seconds=1.5, finish_reason="stop"),
        sample(
            "q", 0, "B", reasoning="It is 7.", prompt=asked, gold="B", verdicts=(PeerVerdict("acc", 1.0, "majority"),)
        ),
        sample("r", 0, "<think>\nx</think>7", prompt="Prime?<think>\n", gold="C", golds=("C", "D"), choices=("1", "2")),
        sample("r", 1, "", prompt="Prime?", gold="C", choices=("1", "2"), error="it died", note="a note"),
        sample(
            "s", 0, "x", problem="P?", prompt="sent", gold="A.", finish_reason="error", text_form="thinking removed"
        ),
        facts=LogFacts("m", "1.2", {"temperature": 0.7, "n": 3, "stop": ["x"]}, ("left aside",)),
    )
    task, entry = written(tmp_path, log)
    rows = plain(tmp_path / "set/completions.jsonl")
    kept = [(r["text"], r["prefix"], r["finish_reason"], r["error"], r["seconds"]) for r in rows]
    assert kept == [
        ("Hm.</think>B", "<think>\n", "stop", None, 1.5),
        ("<think>\nIt is 7.\n</think>\n\nB", "", "unknown", None, None),
        ("<think>\nx</think>7", "", "unknown", None, None),  # the response repeats what opens it
        ("", "", "error", "it died", None),
        ("x", "", "error", "the log does not say what went wrong", None),
    ]
    peer = plain(tmp_path / "set/peer_scores.jsonl")
    assert [(r["text_form"], r["reasoning_chars"], r["text_chars"], r["note"]) for r in peer] == [
        ("raw", 0, 12, ""),
        ("rejoined", 8, 1, ""),
        ("raw", 0, 18, ""),
        ("raw", 0, 0, "a note"),
        ("thinking removed", 0, 1, ""),
    ]
    assert peer[1]["verdicts"] == [{"name": "acc", "value": 1.0, "scope": "majority", "answer": None}]
    assert plain(tmp_path / "set/problems.jsonl") == [
        {"id": "q", "prompt": f"{asked}<think>\n", "target": "B", "metadata": {"choices": ["4", "7"]}},
        {
            "id": "r",
            "prompt": "Prime?<think>\n",
            "target": "C",
            "metadata": {"choices": ["1", "2"], "golds": ["C", "D"]},
        },
        {"id": "s", "prompt": "P?", "target": "A.", "metadata": {}},
    ]
    assert task.text_forms == {"raw": 3, "rejoined": 1, "thinking removed": 1}
    holes = "4 of 9 samples are not in the log: holes stay holes"
    assert task.notes == ["left aside", holes]
    assert (task.samples, task.problems, task.n, task.missing) == (5, 3, 3, 4)
    assert entry["identity"]["sampling"] == {"max_tokens": None, "temperature": 0.7, "n": 3, "stop": ["x"]}
    assert entry["spec"]["options"] == {"label": "set", "of_kind": "choice"}
    assert entry["imported"]["notes"] == ["left aside", holes]


@pytest.mark.parametrize(
    ("golds", "kind"),
    [
        (["A", "(B)", "C."], "choice"),
        ([" J "], "choice"),
        (["A", "7"], "math"),
        (["A", "(b)"], "math"),
        (["K"], "math"),
        (["AB"], "math"),
        (["A", None], "none"),
        (["7", " "], "none"),
    ],
)
def test_how_a_set_of_its_own_is_graded(golds: list[str | None], kind: str, tmp_path: Path) -> None:
    """By letters where all right answers are letters, not at all where one is missing."""
    samples = [sample(str(i), problem=f"p{i}", gold=gold) for i, gold in enumerate(golds)]
    task, entry = written(tmp_path, log_of(*samples))
    assert entry["spec"]["options"]["of_kind"] == kind
    assert task.graded == (kind != "none")
    lacking = f"not graded: 1 of 2 problems has no right answer in the log: {len(golds) - 1}"
    assert task.notes == ([lacking] if kind == "none" else [])


def test_what_cannot_be_graded_as_one_problem_is_refused(tmp_path: Path) -> None:
    without = log_of(sample("a", problem="p", gold="1"), sample("b", problem="q"))
    with pytest.raises(EvalkitError, match="cannot be graded: 1 of 2 problems has no right answer in the log: b"):
        written(tmp_path / "1", without, "math")
    assert written(tmp_path / "2", without, "none")[0].graded is False
    several = log_of(sample("a", 0, problem="p", gold="1"), sample("a", 1, problem="p", gold="2"))
    with pytest.raises(EvalkitError, match="several right answers or orders of the choices for problem a"):
        written(tmp_path / "3", several)
    written(tmp_path / "4", several, "none")
    listed = ["p\nA) 1\nB) 2", "p\nA) 2\nB) 1"]
    moved = log_of(*(sample("a", i, prompt=text, gold="A") for i, text in enumerate(listed)))
    with pytest.raises(EvalkitError, match="for problem a"):
        written(tmp_path / "5", moved)
    by_value = log_of(*(sample("a", i, prompt=text, gold="12") for i, text in enumerate(listed)))
    written(tmp_path / "6", by_value)  # other words in the prompt do not matter there
    shown = [("1", "2"), ("12",)]
    split = log_of(*(sample("a", i, prompt="p", gold="A", choices=each) for i, each in enumerate(shown)))
    with pytest.raises(EvalkitError, match="for problem a"):
        written(tmp_path / "7", split)


@pytest.mark.parametrize(
    ("sampling", "told"),
    [
        ({"temperature": 1, "top_p": 0.5, "max_tokens": 10, "n": None, "seed": -3, "other": "x"}, ""),
        ({"temperature": "hot"}, "The log's temperature is 'hot', which is not a number."),
        ({"temperature": True}, "The log's temperature is True, which is not a number."),
        ({"top_k": 0.5}, ""),
        ({"max_tokens": 10.0}, "The log's max_tokens is 10.0, which is not a number."),
        ({"n": 2.5}, "The log's n is 2.5, which is not a number."),
        ({"seed": False}, "The log's seed is False, which is not a number."),
        ({"top_p": float("nan")}, "The log's top_p is nan, which is not a number."),
        ({"other": [float("inf")]}, "The log's other has a number that is not finite."),
    ],
)
def test_what_a_log_says_of_its_sampling(sampling: dict[str, Any], told: str) -> None:
    facts = LogFacts(sampling=sampling)
    if not told:
        assert importing._sampling(facts) == sampling
        return
    with pytest.raises(EvalkitError) as caught:
        importing._sampling(facts)
    assert caught.value.message == told


def test_logs_of_one_model(caplog: pytest.LogCaptureFixture) -> None:
    assert importing._only_model("x", [LogFacts("a"), LogFacts(None), LogFacts("a")]) == "a"
    assert caplog.records == []
    assert importing._only_model("x", [LogFacts(None), LogFacts("")]) == "unknown"
    assert [r.getMessage() for r in caplog.records] == ["the log does not tell which model it is of: --model names it"]
    with pytest.raises(EvalkitError, match="x holds logs of 2 models: a, b"):
        importing._only_model("x", [LogFacts("b"), LogFacts("a")])


# Which problem of ours is which of the log's


class Words(Task):
    name = "words"
    version = 1
    title = "Words"

    def load(self, source: DataSource) -> list[Problem]:
        return []

    def score(self, problem: Problem, response: str) -> Score:
        return Score(0.0, "wrong")


OURS = [
    Problem("a", "What is the capital of France?", "Paris"),
    Problem("test/b.json", "How many legs has a spider?\n\nA) 8\nB) 6", "8"),
    Problem("c", "Who wrote Faust?", "Goethe"),
]


def matched(*samples: ImportedSample, problems: list[Problem] = OURS) -> dict[str, str]:
    return match_problems(log_of(*samples), Words(), problems)


def test_problems_are_found_by_words_then_by_id_then_by_position() -> None:
    by_words = (
        sample("1", problem="Please say: how many legs has a spider? Think."),
        sample("1", 1, problem="something else that is not looked at"),
        sample("0", prompt="What is the capital of France?"),
    )
    assert matched(*by_words) == {"1": "test/b.json", "0": "a"}
    assert matched(sample("test/a.json"), sample("b"), sample("c")) == {
        "test/a.json": "a",
        "b": "test/b.json",
        "c": "c",
    }
    statement = "Add the two numbers that are given on one line and print their sum"
    twins = [Problem(f"t{i}", f"{statement} {i}. Read from stdin, print to stdout.", "") for i in range(2)]
    assert matched(sample("t1", problem=f"{statement} 1."), problems=twins) == {"t1": "t1"}, "a twin is as near"
    with pytest.raises(EvalkitError, match="such as t1"):
        matched(sample("t1", problem=f"{statement} 2."), problems=twins)
    assert matched(sample("x", position=2, gold="Goethe"), sample("y", position=0, gold=" Paris ")) == {
        "x": "c",
        "y": "a",
    }


@pytest.mark.parametrize(
    ("samples", "told"),
    [
        ([sample("a", problem="What is unknown?")], "1 of 1 problems of x.jsonl are not in words, such as a."),
        ([sample("a"), sample("z"), sample("y")], "2 of 3 problems of x.jsonl are not in words, such as z."),
        ([sample("a"), sample("z", position=2, gold="Goethe")], "1 of 2 problems"),
        ([sample("z", position=3, gold="Goethe")], "1 of 1 problems"),
        ([sample("z", position=2)], "1 of 1 problems"),
        ([sample("z", gold="Goethe")], "1 of 1 problems"),
        ([sample("y", position=0, gold="Paris"), sample("z", position=2, gold="Schiller")], "2 of 2 problems"),
        ([sample("y", position=2, gold="Goethe"), sample("z", problem="Unknown?", position=0, gold="Paris")], "2 of 2"),
        (
            [sample("1", problem="Who wrote Faust?"), sample("2", problem="Who wrote Faust? Say it.")],
            "1 and 2 of x.jsonl are both taken for c.",
        ),
    ],
)  # fmt: skip
def test_problems_that_are_not_found_or_twice(samples: list[ImportedSample], told: str) -> None:
    with pytest.raises(EvalkitError) as caught:
        matched(*samples)
    assert caught.value.message.startswith(told)


def test_letters_need_the_order_of_the_choices() -> None:
    ours = [replace(OURS[2], metadata={"choices": ["Goethe", "Schiller", "Kleist"]})]
    shown = "Who wrote Faust?\n(A) Goethe \nB. Schiller\nC: Kleist"
    for given in (
        sample("c", prompt=shown),
        sample("c", problem="Who wrote Faust?", choices=(" Goethe", "Schiller ", "Kleist")),
    ):
        assert matched(given, problems=ours) == {"c": "c"}
    with pytest.raises(EvalkitError, match="does not tell in which order the choices of c were shown"):
        matched(sample("c", prompt="Who wrote Faust?"), problems=ours)
    for moved in (
        sample("c", prompt="Who wrote Faust?\nA) Schiller\nB) Goethe\nC) Kleist"),
        sample("c", problem="Who wrote Faust?", choices=("Goethe", "Schiller")),
    ):
        with pytest.raises(EvalkitError, match="shows the choices of c in another order than the task"):
            matched(moved, problems=ours)
    with pytest.raises(EvalkitError, match="another order"):
        matched(sample("c", 0, prompt=shown), sample("c", 1, choices=("Kleist", "x", "y")), problems=ours)


@pytest.mark.parametrize(
    ("prompt", "choices"),
    [
        ("Q?\nA) one\nB) two words \n", ["one", "two words"]),
        ("(A) x\n(B) y\n(C) z", ["x", "y", "z"]),
        ("A) alone", []),
        ("B) x\nC) y", []),
        ("A) x\nC) y", []),
        ("A) x\nB) y\nA) z", []),
        ("none", []),
    ],
)
def test_the_choices_that_a_prompt_lists(prompt: str, choices: list[str]) -> None:
    assert importing._choices_in(prompt) == choices


def test_a_log_s_words_for_the_right_answer_may_differ(tmp_path: Path) -> None:
    """A difference is one of values: what the task takes for the same answer is none, and a log may say nothing."""
    known = importing._Target(
        Words(), TaskSpec("words"), {p.id: p for p in OURS}, {"0": "a", "1": "test/b.json", "2": "c"}, DataSource()
    )
    log = log_of(sample("0", gold=" Paris"), sample("1", gold=None), sample("2", gold="Schiller"), sample("2", 1))
    task, entry = importing._write(log, LogFacts(), tmp_path, "words", known, None, None)
    assert task.gold_differences == ["c: 'Schiller' in the log, 'Goethe' in the task"]
    assert entry["problem_ids"] == ["a", "test/b.json", "c"]
    assert entry["title"] == "Words"
    assert not (TaskFiles(tmp_path / "words").folder / "problems.jsonl").exists()


def test_the_prompt_of_a_task_has_its_letters() -> None:
    def prompt(problems: Mapping[str, Problem], **prompts: str) -> str:
        task = Words()
        task.prompt = "{letters}? {problem}"
        known = importing._Target(task, TaskSpec("words"), problems, {}, DataSource())
        return importing._prompt(Protocol("p", "", prompts=prompts), known)

    five = {"a": Problem("a", "", "A", {"choices": list("vwxyz")})}
    assert prompt(five) == "ABCDE? {problem}"
    assert prompt(five, other="One of {letters}") == "One of ABCDE"
    assert prompt(five, math="x") == "ABCDE? {problem}"
    assert prompt({}) == "? {problem}"


# Grading


def test_what_is_graded_has_a_report_and_what_has_holes_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Grading itself is tested elsewhere: here, what is made of its outcome for each task."""
    asked: list[tuple[object, ...]] = []

    def rescored(run: RunDirectory, names: list[str], data: object, workers: object) -> tuple[list[Any], list[Any]]:
        asked.append((run.path, names, data, workers))
        if names == ["holes"]:
            raise RunIncompleteError("3 of 4 completions.", "settle them.")
        return [], [f"report of {names[0]}"]

    monkeypatch.setattr(importing, "rescore_run", rescored)
    bare = [{k: v for k, v in row.items() if k != "a"} for row in ROWS]
    for name, rows in (("bare", bare), ("full", ROWS[:1]), ("holes", ROWS)):
        write_lines(tmp_path / "logs" / f"{name}.jsonl", [{"a": None, **row} for row in rows])
    options: dict[str, Any] = {"score": True, "workers": 3, "data": tmp_path}
    done = imported(tmp_path / "logs", tmp_path / "run", **options)
    tasks = {task.task: task for task in done.tasks}
    assert list(map(str, done.reports)) == ["report of full"]
    assert asked == [(tmp_path / "run", [name], str(tmp_path), 3) for name in ("full", "holes")]
    assert (tasks["full"].failure, tasks["full"].notes) == (None, [])
    assert tasks["holes"].notes[1:] == ["graded, but without figures: 3 of 4 completions."]
    assert isinstance(tasks["holes"].failure, RunIncompleteError)
    assert (tasks["bare"].graded, tasks["bare"].failure) == (False, None)
    assert tasks["bare"].notes[1:] == ["not graded: the log has no right answers"]
