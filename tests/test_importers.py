"""Every reader on a small log of its format: what it tells, and that it invents nothing."""

import gzip
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import peer_logs
import pytest
from damaged_logs import DAMAGED
from helpers import evalkit, package, records, told
from peer_logs import ANSWERS, MODEL, PROBLEMS, WRITERS, write, write_lines

from evalkit import EvalkitError
from evalkit.importers.files import LogFile, log_files
from evalkit.importers.json_stream import beginning
from evalkit.importers.mapped import mapped_logs, parse_map
from evalkit.importers.reader import Log, LogPart, Reader, find_logs, installed_readers
from evalkit.importers.record import ImportedSample

NO_GOLD = {"livecodebench", "evalplus", "openai_batch"}
NO_SAMPLE_VERDICT = {"lighteval", "helm", "openai_batch", "evalchemy", "verl"}
TELLS_FINISH = {"inspect", "evalscope", "nemo_skills", "verifiers", "openai_batch", "helm"}
NO_PROBLEM = {"evalplus", "openai_batch"}


def only_log(path: Path, partial: bool = False) -> Log:
    found = find_logs(str(path), partial=partial)
    assert len(found.logs) == 1, found
    return found.logs[0]


def samples_of(path: Path) -> dict[tuple[int, int], ImportedSample]:
    """(problem's place, sample index) -> sample."""
    samples = list(only_log(path).samples())
    places = {s.problem_id: s for s in samples}
    order = {}
    for problem_id, sample in places.items():
        text = sample.problem or sample.prompt or ""
        number = next((i for i, (_, problem, _) in enumerate(PROBLEMS) if problem in text), None)
        order[problem_id] = number if number is not None else int(problem_id[-1]) - (problem_id[-2] == "-")
    return {(order[s.problem_id], s.sample_index): s for s in samples}


def read_everything(path: Path) -> None:
    for log in find_logs(str(path)).logs:
        for _ in log.samples():
            pass


@pytest.mark.parametrize("layout", WRITERS)
def test_every_sample_with_its_text_gold_and_verdict(layout: str, tmp_path: Path) -> None:
    peer, writer = WRITERS[layout]
    path = writer(tmp_path)
    log = only_log(path)
    assert log.reader.name == peer
    samples = samples_of(path)
    assert sorted(samples) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    for (i, k), sample in samples.items():
        assert sample.text == peer_logs.text(i, k)
        assert sample.gold == (None if peer in NO_GOLD else PROBLEMS[i][2])
        assert sample.error is None
        assert (sample.finish_reason is not None) == (peer in TELLS_FINISH)
        if peer not in NO_PROBLEM:
            assert PROBLEMS[i][1] in (sample.problem or sample.prompt or "")
        told = [v.value for v in sample.verdicts if v.scope == "sample"]
        if peer == "lm_eval":
            first = [v.value for v in sample.verdicts if v.scope == "first sample"]
            assert first == ([float(peer_logs.right(i, 0))] * len(first) if k == 0 else [])
            assert first or k
        elif peer not in NO_SAMPLE_VERDICT:
            assert told == [float(peer_logs.right(i, k))]
    facts = log.facts()
    assert facts.model in (MODEL, "student", None)


def test_each_file_is_claimed_by_one_reader(tmp_path: Path) -> None:
    for number, (_, writer) in enumerate(WRITERS.values()):
        writer(tmp_path / str(number))
    for file in log_files(str(tmp_path)):
        claims = [r.name for r in installed_readers().values() if r.recognise(file) is not None]
        assert len(claims) <= 1, (file.name, claims)


def test_readers_go_by_the_content_and_not_by_the_name(tmp_path: Path) -> None:
    for number, (peer, writer) in enumerate(WRITERS.values()):
        for file in log_files(str(writer(tmp_path / str(number)))):
            part = installed_readers()[peer].recognise(file)
            if part is None or part.refusal:
                continue
            with file.open() as stream:
                renamed = write(tmp_path / "renamed" / f"{number}", stream.read())
            assert only_log(renamed).reader.name == peer
            break
        else:
            pytest.fail(f"{peer}: nothing recognised")


def test_gz_and_zst_are_read_as_what_they_hold(tmp_path: Path) -> None:
    rows = "".join(json.dumps(row) + "\n" for row in peer_logs.lm_eval_rows(("first",))).encode()
    for name, data in (("a.jsonl.gz", gzip.compress(rows)), ("a.jsonl.zst", peer_logs.zstandard(rows))):
        assert len(list(only_log(write(tmp_path / name, data)).samples())) == 4


def test_lm_eval_rows_of_several_filters_are_one_sample(tmp_path: Path) -> None:
    samples = samples_of(peer_logs.write_lm_eval(tmp_path))
    assert [(v.name, v.scope) for v in samples[0, 0].verdicts] == [
        ("exact_match,first", "first sample"),
        ("exact_match,maj@2", "majority"),
    ]
    assert [v.scope for v in samples[0, 1].verdicts] == ["majority"]
    assert samples[0, 0].prefix == "<think>\n"
    assert dict(only_log(tmp_path).facts().sampling) == {"temperature": 0.6, "top_p": 0.95, "max_tokens": 64}


def test_lm_eval_log_likelihoods_are_refused_and_the_rest_is_taken(tmp_path: Path) -> None:
    folder = peer_logs.write_lm_eval(tmp_path)
    row = {
        "doc_id": 0,
        "arguments": {"gen_args_0": {"arg_0": "Q", "arg_1": "A"}},
        "resps": [[["-1.5", "False"]]],
        "target": "0",
    }
    alone = write_lines(folder / "samples_choices_2026-01-02T03-04-05.678901.jsonl", [row])
    with pytest.raises(EvalkitError, match="log-likelihoods"):
        find_logs(str(alone))
    found = find_logs(str(folder))
    assert [log.task for log in found.logs] == ["sums"]
    assert "log-likelihoods" in found.refused[0]


def test_thinking_kept_apart_is_joined_back_and_never_closed_where_it_was_not() -> None:
    answered = ImportedSample("p", 0, "It is 4.", reasoning="2 + 2")
    assert answered.response == "<think>\n2 + 2\n</think>\n\nIt is 4."
    cut = ImportedSample("p", 0, "", reasoning="2 + 2", finish_reason="length")
    assert cut.response == "<think>\n2 + 2"
    tagged = ImportedSample("p", 0, "It is 4.", reasoning="<think>\n2 + 2\n</think>")
    assert tagged.response == "<think>\n2 + 2\n</think>\n\nIt is 4."
    assert {answered.response_form, cut.response_form} == {"rejoined"}
    assert ImportedSample("p", 0, "4").response_form == "raw"


def test_a_matharena_sample_is_the_first_answer_even_where_it_was_asked_again(tmp_path: Path) -> None:
    run = peer_logs.write_matharena(tmp_path)
    file = run / "0.json.zst"
    with log_files(str(file))[0].open() as stream:
        record = json.load(stream)
    again = [
        {"role": "user", "content": "Answer in a box."},
        {"role": "assistant", "type": "response", "content": "\\boxed{42}"},
    ]
    record["messages"][0] += again
    write(file, peer_logs.zstandard(json.dumps(record).encode()))
    sample = samples_of(run)[0, 0]
    assert sample.text == peer_logs.text(0, 0)
    assert "asked again" in sample.note
    assert sample.completion_tokens is None


def test_a_server_count_for_all_samples_is_no_count_of_the_first(tmp_path: Path) -> None:
    assert all(s.completion_tokens is None for s in samples_of(peer_logs.write_skythought(tmp_path)).values())


def test_a_missing_seed_is_a_hole(tmp_path: Path) -> None:
    folder = peer_logs.write_nemo_skills(tmp_path)
    (folder / "output-rs0.jsonl").rename(folder / "output-rs3.jsonl")
    assert sorted({s.sample_index for s in only_log(folder).samples()}) == [1, 3]


def test_an_unfinished_log_needs_partial(tmp_path: Path) -> None:
    path = write(tmp_path / "l.json", {**peer_logs.inspect_header(), "status": "error", "samples": []})
    with pytest.raises(EvalkitError, match="status is error"):
        list(only_log(path).samples())
    content = {**peer_logs.inspect_header(), "status": "cancelled", "samples": peer_logs.inspect_samples()[:3]}
    assert len(list(only_log(write(tmp_path / "l.json", content), partial=True).samples())) == 3


def test_two_runs_of_one_task_are_refused(tmp_path: Path) -> None:
    peer_logs.write_inspect_json(tmp_path)
    other = {**peer_logs.inspect_header(), "samples": peer_logs.inspect_samples()}
    other["eval"] = {**other["eval"], "eval_id": "e2"}
    write(tmp_path / "other.json", other)
    other["eval"]["eval_id"] = "e3"
    write(tmp_path / "a|b.json", other)
    with pytest.raises(EvalkitError, match="3 runs of sums") as error:
        find_logs(str(tmp_path))
    assert shlex.split(error.value.hint.removesuffix("."))[-1] in {str(p) for p in tmp_path.iterdir()}


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("cut.jsonl", b'{"a": "b"}\n{"a": "wor', "it is no whole JSON (Unterminated string at character 6)"),
        ("cut.json", b'[{"a": "b"}, {"a": "wor', "it is no whole JSON (Unterminated string)"),
        ("x.jsonl", b"\x00\xff\xfe", "it is no JSON and no CSV in UTF-8"),
        ("x.csv", b"a\n\xff\n", "it is no CSV in UTF-8"),
    ],
)
def test_what_is_wrong_with_plain_rows_is_told_in_plain_words(
    name: str, content: bytes, reason: str, tmp_path: Path
) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(EvalkitError, match=re.escape(reason)):
        _ = [list(log.samples()) for log in mapped_logs(str(path), {"text": "a"}).logs]


def test_a_cut_archive_is_called_cut(tmp_path: Path) -> None:
    path = peer_logs.write_inspect_deflate(tmp_path)
    write(path, path.read_bytes()[:-200])
    with pytest.raises(EvalkitError, match="it is no whole zip: it is cut or damaged"):
        find_logs(str(path))


def test_a_sample_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    rows = peer_logs.inspect_samples()
    path = write(tmp_path / "l.json", {**peer_logs.inspect_header(), "samples": [*rows, rows[0]]})
    with pytest.raises(EvalkitError, match="twice"):
        list(only_log(path).samples())


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "parquet"])
def test_plain_rows_by_a_map(kind: str, tmp_path: Path) -> None:
    rows = [
        {"q": problem, "out": peer_logs.text(i, k), "gold": gold, "ok": peer_logs.right(i, k), "n": 20 + k}
        for i, (_, problem, gold) in enumerate(PROBLEMS)
        for k in range(2)
    ]
    path = tmp_path / f"mine.{kind}"
    if kind == "jsonl":
        write_lines(path, rows)
    elif kind == "json":
        write(path, rows)
    elif kind == "parquet":
        peer_logs.write_parquet(path, rows)
    else:
        import csv

        with path.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    fields = parse_map("text=out,problem=q,gold=gold,correct=ok,completion_tokens=n")
    samples = list(mapped_logs(str(path), fields).logs[0].samples())
    assert [(s.problem_id, s.sample_index) for s in samples] == [("0", 0), ("0", 1), ("1", 0), ("1", 1)]
    assert [s.verdicts[0].value for s in samples] == [1.0, 0.0, 1.0, 1.0]
    assert samples[1].completion_tokens == 21
    assert samples[1].text == peer_logs.text(0, 1)


def test_a_map_reaches_into_rows_and_takes_lists_of_samples(tmp_path: Path) -> None:
    row = {"meta": {"id": 7}, "gens": ["a", "b"], "ok": [True, False], "gold": 3}
    path = write_lines(tmp_path / "x.jsonl", [row])
    fields = parse_map("text=gens,problem_id=meta.id,correct=ok,gold=gold")
    samples = list(mapped_logs(str(path), fields).logs[0].samples())
    assert [(s.problem_id, s.sample_index, s.text, s.gold, s.verdicts[0].value) for s in samples] == [
        ("7", 0, "a", "3", 1.0),
        ("7", 1, "b", "3", 0.0),
    ]


@pytest.mark.parametrize("text", ["", "gold=x", "text", "text=a,text=b", "txt=a", "text="])
def test_a_wrong_map_is_told(text: str) -> None:
    with pytest.raises(EvalkitError):
        parse_map(text)


@pytest.mark.parametrize("cut", range(1, 60, 3))
def test_the_beginning_of_a_cut_document_is_understood_as_far_as_it_goes(cut: int) -> None:
    whole = '{"a": 1, "b": {"c": [true, "x\\"y"]}, "d": [{"e": null}, 2.5]}'
    value, _ = beginning(whole[:cut])
    assert isinstance(value, dict)
    assert list(value) == ["a", "b", "d"][: len(value)]


def test_answers_come_with_the_samples(tmp_path: Path) -> None:
    for layout in ("inspect json", "evalscope", "opencompass", "nemo_skills", "qwen_math", "limo", "qwq", "matharena"):
        samples = samples_of(WRITERS[layout][1](tmp_path / layout))
        assert {key: s.answer for key, s in samples.items()} == {
            (i, k): ANSWERS[i][k] for i in range(2) for k in range(2)
        }, layout


@pytest.mark.slow
@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_log_is_refused_in_one_sentence(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = DAMAGED[name](tmp_path)
    with pytest.raises(EvalkitError) as refused:
        read_everything(path)
    message = refused.value.message
    assert "\n" not in message
    assert message.endswith(".")
    assert len(message) < 700
    assert "Error" not in message, message
    told = capfd.readouterr()
    assert "harm" not in told.out + told.err
    assert "pickle was run" not in told.out + told.err


def test_evalscope_without_reviews_is_told_apart_by_its_prompts(tmp_path: Path) -> None:
    run = peer_logs.write_evalscope(tmp_path)
    for file in [*run.glob("reviews/*/*"), *run.glob("configs/*")]:
        file.unlink()
    samples = samples_of(run)
    assert sorted(samples) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert samples[0, 1].text == peer_logs.text(0, 1)
    assert samples[0, 1].gold is None
    assert samples[0, 1].note == "not reviewed"


def test_a_list_of_right_answers_that_lm_eval_wrote_as_text(tmp_path: Path) -> None:
    rows = [{**row, "target": "['42', 'forty-two']"} for row in peer_logs.lm_eval_rows(("first",))[:1]]
    sample = next(iter(only_log(write_lines(tmp_path / "s.jsonl", rows)).samples()))
    assert (sample.gold, sample.golds) == ("42", ("42", "forty-two"))


def test_a_log_is_read_where_it_lies(tmp_path: Path) -> None:
    """A zip of a folder, and a store behind fsspec, with the files that belong together."""
    import shutil

    import fsspec

    run = peer_logs.write_evalscope(tmp_path / "log")
    archive = shutil.make_archive(str(tmp_path / "logs"), "zip", tmp_path / "log")
    store = fsspec.filesystem("memory")
    for file in run.rglob("*"):
        if file.is_file():
            store.pipe_file(f"/evalkit-test/{file.relative_to(run).as_posix()}", file.read_bytes())
    for path in (archive, "memory://evalkit-test", f"file://{run}"):
        (log,) = find_logs(path).logs
        samples = list(log.samples())
        assert len(samples) == 4
        assert all(s.verdicts for s in samples), path
    with pytest.raises(EvalkitError, match=r"cannot be reached|There is no"):
        find_logs("memory://nothing-here")


@pytest.mark.slow
def test_an_importer_that_cannot_be_imported_harms_no_other(tmp_path: Path) -> None:
    site = tmp_path / "site"
    path = package(site, "zoo", "evalkit.importers", gone="no_module:Reader", odd="fractions:Fraction")
    WRITERS["qwq"][1](tmp_path / "log")
    imported = evalkit("import", tmp_path / "log", "-o", tmp_path / "run", "--model", "m", PYTHONPATH=path)
    assert "The importer gone of zoo cannot be imported: ModuleNotFoundError" in imported.stderr
    assert "The importer odd of zoo is not a Reader. It is skipped." in imported.stderr
    for name, fault in (("gone", "cannot be imported"), ("odd", "is not a Reader")):
        wanted = ("import", tmp_path / "log", "--format", name, "-o", tmp_path / "other")
        assert f"The importer {name} of zoo {fault}" in told(evalkit(*wanted, code=2, PYTHONPATH=path))


def test_a_failed_sample_without_a_reason_is_an_error(tmp_path: Path) -> None:
    path = package(tmp_path / "site", "failing", "evalkit.importers", failing="failing_reader:Failing")
    (tmp_path / "site" / "failing_reader.py").write_text(FAILING)
    (tmp_path / "x.jsonl").write_text('{"fails": 1}\n')
    log = ("import", tmp_path / "x.jsonl", "--model", "m", "-o", tmp_path / "run")
    assert "| error 1 |" in evalkit(*log, code=1, PYTHONPATH=path).stdout
    (score,) = records(next((tmp_path / "run").rglob("scores.jsonl")))
    assert (score["status"], score["explanation"]) == ("error", "engine: the log does not say what went wrong")


FAILING = """
from evalkit.importers.reader import LogPart, Reader
from evalkit.importers.record import ImportedSample

class Failing(Reader):
    name = title = "failing"

    def recognise(self, file):
        return LogPart(file, "failing") if file.row.has("fails") else None

    def samples(self, log):
        yield ImportedSample("1", 0, "the answer is 4", problem="2 + 2?", gold="4", finish_reason="error")
"""


def test_a_faulty_importer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Mine(Reader):
        name = title = "mine"
        given: Any = None

        def recognise(self, file: LogFile) -> LogPart | None:
            return LogPart(file, "mine") if file.row.has("mine") else None

        def samples(self, log: Log) -> Iterator[ImportedSample]:
            if self.given is None:
                raise ZeroDivisionError("division by zero")
            yield self.given

    reader = Mine()
    monkeypatch.setattr("evalkit.importers.reader.installed_readers", lambda: {"mine": reader})
    file = tmp_path / "mine.jsonl"
    file.write_text('{"mine": 1}\n')
    (log,) = find_logs(str(file)).logs
    with pytest.raises(EvalkitError, match=r"The importer mine fails at .*: ZeroDivisionError: division by zero \("):
        list(log.samples())
    for given, fault in (
        ("text", "a value of type str, not an ImportedSample"),
        (ImportedSample(1, 0, "x"), "a problem_id of type int: 1"),  # type: ignore[arg-type]
    ):
        reader.given = given
        with pytest.raises(EvalkitError, match=fault):
            list(log.samples())
    file.write_text('{"other": "cu\n{"other": "whole"}\n')
    with pytest.raises(EvalkitError, match=r"line 1 of .*it is no whole JSON"):
        find_logs(str(file))
