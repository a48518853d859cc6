"""The data of a report page of a run of a few samples, whole; what is left out; what is refused."""

import base64
import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from report_runs import Sample, TaskData, write_samples, write_task_file
from snapshots import check_json

import evalkit
from evalkit.errors import EvalkitError
from evalkit.results.entries import load_entries
from evalkit.results.site import texts
from evalkit.results.site.export import Site, write_site
from evalkit.results.site.figures import comparison_records, finite
from evalkit.results.site.options import SiteOptions
from evalkit.results.site.pieces import batches, encoded, write_file, write_piece
from evalkit.results.site.problems import ProblemSet
from evalkit.results.site.redaction import Redaction
from evalkit.results.site.texts import Source, jobs, parse_completion
from evalkit.store.run import RunDirectory
from evalkit.types import Problem, SampleKey

PROBLEMS = [
    Problem(
        "algebra/0", "What is 6 times 7?", "42", {"subject": "Algebra", "level": 1, "offset": 5, "note": "x" * 201}
    ),
    Problem("algebra/1", "What is 1 plus 1?", "2", {"level": 2}),
]


def sample(problem: Problem, i: int) -> Sample:
    """Right; cut; right in the thinking alone; nothing found."""
    target = problem.target
    return (
        Sample(f"It is so.</think>\\boxed{{{target}}}", "correct", target, "equal", tokens=10),
        Sample("Wait. " * 200, "truncated", None, "cut", "length", 300, facts={"verdict": "late"}),
        Sample(f"\\boxed{{{target}}}</think>The answer is 7.", "wrong", "7", "7 is not it", tokens=20),
        Sample("I do not know é", "no_answer", None, "nothing", tokens=5),
    )[i]


def tiny(folder: Path, gated: bool = False, kind: str = "math", **changes: Any) -> RunDirectory:
    task = TaskData("sums", "Sums", PROBLEMS, sample, n=4, gated=gated, kind=kind)
    task = replace(task, **changes)
    file = write_task_file(folder / "tasks", [task])
    return write_samples(folder / "results" / "m" / "run", "org/m", [task], file)


def piece(site: Path, name: str) -> Any:
    text = (site / "data" / f"{name}.js").read_text()
    assert text.startswith(f'evalkitPiece("{name}","')
    return json.loads(gzip.decompress(base64.b64decode(text.split('"')[3])))


def names(site: Path) -> list[str]:
    return sorted(path.stem for path in (site / "data").glob("*.js"))


def without_noise(value: Any) -> Any:
    """With 0 for 1e-17, which other processors compute otherwise."""
    if isinstance(value, float):
        return value if abs(value) > 1e-9 else 0.0
    if isinstance(value, dict):
        return {name: without_noise(inner) for name, inner in value.items()}
    return [without_noise(inner) for inner in value] if isinstance(value, list) else value


def refreshed(folder: Path, site: str = "site", **options: Any) -> tuple[Site, dict[str, Any]]:
    made = Site(folder / site, SiteOptions((folder / "results",), pictures=False, **options))
    assert made.refresh()
    return made, piece(made.folder, "index")


def test_the_data_of_a_page(tmp_path: Path) -> None:
    tiny(tmp_path)
    site, index = refreshed(tmp_path)
    assert names(site.folder) == ["d0-0", "index", "p0", "q0-0", "s0"]
    held = {name: piece(site.folder, name) for name in names(site.folder)}
    text = json.dumps(held).replace(str(tmp_path), "FOLDER").replace(evalkit.__version__, "VERSION")
    check_json("report/tiny page.json", without_noise(json.loads(text)))
    assert (index["schema"], index["version"], index["live"], index["pieces"], index["grams"]) == (1, 1, False, 1, 0)
    assert json.loads((site.folder / "data" / "state.json").read_text()) == {"version": 1}
    assert not site.refresh()
    assert site.version == 1


def test_a_set_of_problems_as_the_index_tells_it(tmp_path: Path) -> None:
    tiny(tmp_path)
    _, index = refreshed(tmp_path)
    assert index["problems"] == [
        {
            "key": 0,
            "name": "sums",
            "title": "Sums",
            "kind": "math",
            "gated": False,
            "redacted": False,
            "missing": "",
            "ids": ["algebra/0", "algebra/1"],
            "gold": ["42", "2"],
            "subjects": ["Algebra", None],
            "levels": ["1", "2"],
            "pieces": 1,
            "pieceSize": 200,
        }
    ]


@pytest.mark.parametrize(
    ("gated", "wanted", "redacted"),
    [(False, None, False), (True, None, True), (True, False, False), (False, True, True), (True, True, True)],
)
def test_texts_of_a_set_are_left_out_as_its_authors_or_the_reader_ask(
    gated: bool, wanted: bool | None, redacted: bool, tmp_path: Path
) -> None:
    tiny(tmp_path, gated)
    site, index = refreshed(tmp_path, redact_prompts=wanted)
    (told,) = index["problems"]
    assert (told["gated"], told["redacted"], told["missing"]) == (gated, redacted, "")
    facts = {"target": "42", "facts": {"subject": "Algebra", "level": 1}}
    assert piece(site.folder, "q0-0")[0] == (facts if redacted else {**facts, "prompt": "What is 6 times 7?"})
    why = "its authors ask that they are not published" if gated else "as was asked"
    assert index["notices"] == (
        [f"Sums: the problems' texts were left out ({why}); quotations of them are masked in the completions."]
        if redacted
        else []
    )


def test_problems_that_are_gone_are_told_of(tmp_path: Path) -> None:
    tiny(tmp_path, gated=True)
    (tmp_path / "tasks" / "problems0.jsonl").unlink()
    site, index = refreshed(tmp_path)
    (told,) = index["problems"]
    assert told["missing"].strip()
    assert (told["gated"], told["redacted"], told["gold"], told["subjects"], told["levels"]) == (
        True, True, [None, None], None, None,
    )  # fmt: skip
    assert piece(site.folder, "q0-0") == [{}, {}]
    assert index["notices"] == [
        "Sums: the problems' texts were left out (its authors ask that they are not published); their completions too, "
        "since what they quote cannot be told."
    ]
    assert index["pieces"] == 1
    assert "p0" not in names(site.folder), "no text is left"
    assert piece(site.folder, "s0")["row"] == [-1] * 8
    assert piece(site.folder, "s0")["piece"] == [-1] * 8


def test_a_program_has_no_short_right_answer(tmp_path: Path) -> None:
    tiny(tmp_path, kind="code")
    _, index = refreshed(tmp_path)
    assert index["problems"][0]["gold"] == [None, None]
    assert index["problems"][0]["kind"] == "code"


@pytest.mark.parametrize(("length", "told"), [(400, True), (401, False)])
def test_a_long_right_answer_is_left_out(length: int, told: bool) -> None:
    found = ProblemSet("t", "T", problems={"a": Problem("a", "?", "y" * length)})
    assert found.target("a") == ("y" * length if told else None)
    assert found.target("b") is None


def test_facts_are_short_and_of_simple_kinds() -> None:
    metadata = {"a": "x" * 200, "b": "x" * 201, "c": 1, "d": 0.5, "e": [1], "f": None, "file": "f", "length": 3}
    found = ProblemSet("t", "T", problems={"a": Problem("a", "?", "", metadata)})
    assert found.facts("a") == {"a": "x" * 200, "c": 1, "d": 0.5}
    assert found.facts("b") == {}


@pytest.mark.parametrize(
    ("own", "subjects", "levels"),
    [
        ({"type": "T", "rating": 900}, ["T"], ["900"]),
        ({"source": "S", "domain": "D", "difficulty": "hard", "rating": 1}, ["D"], ["hard"]),
        ({"category": "C", "topic": "P", "level": 3, "difficulty": "easy"}, ["C"], ["3"]),
        ({"subject": "A", "category": "C"}, ["A"], None),
        ({"topic": "P", "domain": "D"}, ["P"], None),
        ({"other": 1}, None, None),
    ],
)
def test_subject_and_level_go_by_several_names(own: Any, subjects: Any, levels: Any) -> None:
    found = ProblemSet("t", "T", problems={"a": Problem("a", "?", "", own)})
    assert found.place("a") == 0
    summary = found.summary(3, 2)
    assert (summary["subjects"], summary["levels"], summary["key"], summary["pieces"]) == (subjects, levels, 3, 2)
    assert (summary["kind"], summary["gated"], summary["redacted"], summary["missing"]) == ("other", False, False, "")


def test_problems_keep_their_places() -> None:
    found = ProblemSet("t", "T")
    assert [found.place(name) for name in ("b", "a", "b", "c")] == [0, 1, 0, 2]
    assert found.ids == ["b", "a", "c"]


def test_a_redacted_set_masks_its_own_questions_alone() -> None:
    words = "one two three four five six seven eight"
    found = ProblemSet("t", "T", problems={"a": Problem("a", words, "")}, redacted=True)
    secret = found.secret("a")
    assert secret is not None
    assert secret.masked(f"x {words} y") == "x [8 words of the question left out] y"
    assert found.secret("a") is secret
    assert found.secret("b") is None
    assert replace(found, redacted=False).secret("a") is None


def test_quotations_of_eight_words_and_of_short_questions_are_masked() -> None:
    nine = "a b c d e f g h i"
    secret = Redaction([nine])
    assert secret.masked("so: b c d e f g h i!") == "so: [8 words of the question left out]!"
    assert secret.masked("c d e f g h i") == "c d e f g h i"
    assert secret.masked("A, B, C, d e f g h i") == "[9 words of the question left out]"
    assert secret.masked(f"{nine} and {nine}.") == (
        "[9 words of the question left out] and [9 words of the question left out]."
    )
    assert Redaction(["two words"]).masked("The two words here") == "The [2 words of the question left out] here"
    assert Redaction([""]).masked("all") == "all"


def test_at_most_so_many_texts_come_first_samples_first(tmp_path: Path) -> None:
    tiny(tmp_path)
    site, index = refreshed(tmp_path, max_samples=3)
    assert [(one["p"], one["i"]) for one in piece(site.folder, "p0")] == [(0, 0), (0, 1), (1, 0)]
    assert piece(site.folder, "s0")["row"] == [0, 1, -1, -1, 2, -1, -1, -1]
    assert piece(site.folder, "s0")["piece"] == [0, 0, -1, -1, 0, -1, -1, -1]
    assert index["notices"] == [
        "The texts of at most 3 completions of each task of each run are here; figures and lists are of all."
    ]


def test_only_what_is_not_right_and_of_that_so_many(tmp_path: Path) -> None:
    tiny(tmp_path)
    site, index = refreshed(tmp_path, only_wrong=True)
    assert [(one["p"], one["i"]) for one in piece(site.folder, "p0")] == [(p, i) for p in (0, 1) for i in (1, 2, 3)]
    assert index["notices"] == ["The texts of correct completions were left out; figures and lists are of all."]
    both, _ = refreshed(tmp_path, "both", only_wrong=True, max_samples=2)
    assert [(one["p"], one["i"]) for one in piece(both.folder, "p0")] == [(0, 1), (1, 1)]


def test_a_folder_that_holds_something_else_is_not_replaced(tmp_path: Path) -> None:
    tiny(tmp_path)
    options = SiteOptions((tmp_path / "results",), pictures=False)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("precious")
    for taken in (mine, mine / "thesis.tex"):
        with pytest.raises(EvalkitError) as refused:
            write_site(taken, options)
        assert refused.value.message == f"{taken} is not empty and is not a report page."
        assert refused.value.hint == "give a new or empty folder with -o."
    assert [path.name for path in mine.iterdir()] == ["thesis.tex"]
    empty = tmp_path / "empty"
    empty.mkdir()
    site = write_site(empty, options)
    assert site.folder == empty
    (empty / "stale").write_text("")
    told: list[str] = []
    write_site(empty, options, told.append)
    assert len(told) == 1
    assert told[0].startswith("reading ")
    assert "sums" in told[0]
    assert not (empty / "stale").exists()
    assert (empty / "index.html").exists()
    assert (empty / "evalkit-site").read_text() == (
        "A report page of evalkit: `evalkit view -o` replaces this folder.\n"
    )
    assert not (empty / "data" / "state.json").exists(), "nothing asks for newer data"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    tiny(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(EvalkitError) as refused:
        write_site(tmp_path / "file" / "site", SiteOptions((tmp_path / "results",), pictures=False))
    assert refused.value.message.endswith("cannot be written: Not a directory.")
    assert refused.value.hint == "choose a folder that is writable and has free space."


def test_an_incomplete_run_has_no_figures_yet(tmp_path: Path) -> None:
    task = TaskData("sums", "Sums", PROBLEMS, sample, n=4)
    file = write_task_file(tmp_path / "tasks", [task])
    write_samples(tmp_path / "results" / "m" / "run", "org/m", [task], file, until=3)
    _, index = refreshed(tmp_path)
    (feed,) = index["feeds"]
    assert (feed["report"], feed["present"], feed["planned"]) == (None, 3, 8)
    assert feed["statuses"] == [1, 1, 0, 1, 0, 0]
    (note,) = index["leaderboard"]["notes"]
    assert note["text"].endswith("The figures appear when a run is complete.")
    assert (index["comparisons"], index["comparisonsLeftOut"], index["pictures"]) == ([], 0, {})
    assert index["distillation"] is None


def test_a_run_whose_file_has_shrunk_is_read_anew(tmp_path: Path) -> None:
    run = tiny(tmp_path)
    site, _ = refreshed(tmp_path)
    path = run.files("sums").completions_path
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:5]))
    assert site.refresh()
    assert site.version == 2
    assert piece(site.folder, "index")["feeds"][0]["present"] == 5
    path.write_bytes(b"".join(lines))
    assert site.refresh()
    assert piece(site.folder, "index")["feeds"][0]["present"] == 8


def test_data_is_written_by_rename_into_folders_that_are_made(tmp_path: Path) -> None:
    assert write_file(tmp_path / "a" / "b.txt", b"four") == 4
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.txt"]
    size = write_piece(tmp_path, "x", b"[1]")
    assert size == (tmp_path / "data" / "x.js").stat().st_size
    assert piece(tmp_path, "x") == [1]
    with pytest.raises(EvalkitError) as refused:
        write_file(tmp_path / "a" / "b.txt" / "c", b"")
    assert refused.value.message.startswith(f"{tmp_path / 'a' / 'b.txt' / 'c'} cannot be written: ")
    assert refused.value.hint == "choose a folder that is writable and has free space."


def test_pieces_hold_every_text_that_there_is() -> None:
    assert encoded({"a": [1, float("nan"), "é"]}) == '{"a":[1,null,"é"]}'.encode()
    assert json.loads(encoded({"a": "\ud800"})) == {"a": "\ud800"}
    assert b" " not in encoded({"a": "\ud800", "b": [1, 2]})
    assert [list(part) for part in batches(5, 2)] == [[0, 1], [2, 3], [4]]
    assert list(batches(0, 2)) == []
    assert finite({1: (float("inf"), 2.0, [None])}) == {"1": [None, 2.0, [None]]}


def source(path: Path, **changes: Any) -> Source:
    return Source(**{"feed": 3, "path": str(path), "ids": ["a", "b"], "targets": {"a": "1"}, "prompts": None,
                     "allowed": None, **changes})  # fmt: skip


def test_what_a_source_exports(tmp_path: Path) -> None:
    key, other = SampleKey("t", "a", 0), SampleKey("t", "b", 1)
    free = source(tmp_path)
    assert [free.place(name) for name in ("a", "b", "c")] == [0, 1, -1]
    assert free.exports(key)
    assert free.masked("a", "text") == "text"
    assert free.content() == [3, str(tmp_path), ["a", "b"], {"a": "1"}, None, None]
    some = source(tmp_path, allowed=[("a", 0)])
    assert (some.exports(key), some.exports(SampleKey("t", "a", 1)), some.exports(other)) == (True, False, False)
    none = source(tmp_path, allowed=[])
    assert not none.exports(key)
    words = "one two three four five six seven eight"
    redacted = source(tmp_path, prompts={"a": words})
    assert (redacted.exports(key), redacted.exports(other)) == (True, False)
    assert redacted.masked("a", words) == "[8 words of the question left out]"
    assert redacted.masked("b", words) == words


def test_a_worker_writes_pieces_into_the_folder_that_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "_worker", {})
    run = tiny(tmp_path)
    of_sums = source(run.files("sums").completions_path, ids=[problem.id for problem in PROBLEMS])
    texts.prepare_worker(json.loads(json.dumps({"folder": str(tmp_path / "out"), "sources": [of_sums.content()]})))
    ((number, parts),) = jobs([(of_sums, 0, 0)], 4)
    told = texts.write_in_worker([number, parts])
    assert len(told["samples"]) == 8
    assert len(piece(tmp_path / "out", "p4")) == 8


def test_runs_are_compared_on_the_tasks_that_both_have(tmp_path: Path) -> None:
    """A task that one of two runs lacks is none of their comparison."""
    data = {name: TaskData(name, name.title(), PROBLEMS, sample, n=4) for name in ("sums", "more", "other")}
    file = write_task_file(tmp_path / "tasks", list(data.values()))
    runs = []
    for model, names in (("a", ("sums", "more")), ("b", ("sums", "other"))):
        folder = tmp_path / "results" / model / "run"
        runs.append(write_samples(folder, f"org/{model}", [data[name] for name in names], file).path)
    entries, _ = load_entries([tmp_path / "results"])
    (found,), left_out = comparison_records(entries, runs)
    assert (found["a"], found["b"], found["error"], left_out) == (0, 1, "", 0)
    assert [task["task"] for task in found["tasks"]] == ["sums"]


def test_jobs_number_the_pieces_from_the_first(tmp_path: Path) -> None:
    run = tiny(tmp_path)
    path = run.files("sums").completions_path
    ((number, parts),) = jobs([(source(path), 0, 0)], 7)
    assert number == 7
    ((feed, part),) = parts
    assert (feed, part.start, part.lines, part.before, part.length) == (3, 0, 8, 0, path.stat().st_size)
    assert list(jobs([], 7)) == []


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    with pytest.raises(EvalkitError) as refused:
        parse_completion(b"{nonsense", tmp_path / "completions.jsonl", 12)
    assert refused.value.message.startswith(f"Line 12 of {tmp_path / 'completions.jsonl'} is damaged: ")
    assert "it generates only that sample. If that command is not run, the sample is lost." in refused.value.hint
