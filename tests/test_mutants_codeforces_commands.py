"""`evalkit codeforces` in this process: fetched and imported sets, lists, histograms, ratings in every form."""

import gzip
import json
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from evalkit_tasks.codeforces import contests as contest_sets
from evalkit_tasks.codeforces.api import Api, read_response, unwrap
from evalkit_tasks.codeforces.building import Responses, division, fetch
from evalkit_tasks.codeforces.cli import command
from evalkit_tasks.codeforces.contests import ContestSet, from_json, load_set, save_set, set_names, to_json, user_folder
from evalkit_tasks.codeforces.estimate import rate
from evalkit_tasks.codeforces.percentile import fetch_histogram, load_histogram
from evalkit_tasks.codeforces.summary import describe
from evalkit_tasks.codeforces.table import read_table
from test_codeforces_contests import ApiServer, responses_of, saved, server
from test_mutants_codeforces import contest, without_standings

from evalkit.errors import EvalkitError, RunIncompleteError

__all__ = ["server"]  # a fixture


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EVALKIT_CODEFORCES", str(tmp_path / "home"))
    monkeypatch.delenv("EVALKIT_DATA", raising=False)
    return tmp_path / "home"


def run(*arguments: object) -> Result:
    done = CliRunner().invoke(command, [str(a) for a in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


def online(server: ApiServer) -> tuple[str, ...]:
    return ("--api-url", server.url, "--interval", "0")


def test_a_set_is_fetched_added_to_and_listed(server: ApiServer, home: Path) -> None:
    done = run("contest", "fetch", 102, 101, *online(server))
    path = home / "custom.json"
    held = load_set("custom")
    assert [c.id for c in held.contests] == [102, 101]
    assert done.stdout == f"{path}: 2 contests, 2 with standings, sha256 {held.sha256}\n"
    lines = done.stderr.splitlines()
    assert lines[0] == "5 requests"
    assert lines[1].startswith("102 Codeforces Round 102 (Div. 2): 60 rated participants, ")
    assert lines[1].endswith("changes exactly")
    assert server.asked == [
        "contest.standings 102", "contest.ratingChanges 102",
        "contest.standings 101", "contest.ratingChanges 101", "problemset.problems 0",
    ]  # fmt: skip
    again = run("contest", "fetch", *online(server), "--set", "custom")
    assert again.stderr.splitlines()[0] == "0 requests", "all of the set, from what was kept"
    assert again.stdout == done.stdout
    run("contest", "fetch", 103, *online(server), "--set", "custom")
    assert [c.id for c in load_set("custom").contests] == [102, 101, 103], "added behind"
    refreshed = run("contest", "fetch", 101, *online(server), "--refresh", "-o", home / "one.json", "--set", "x")
    assert refreshed.stderr.splitlines()[0] == "3 requests"
    assert load_set(str(home / "one.json")).name == "x"
    listed = run("contest", "list").stdout.splitlines()
    one, custom = load_set(str(home / "one.json")), load_set("custom")
    assert listed[0] == f"custom: 3 contests, 3 with standings, {custom.sha256[:12]}"
    assert listed[1].startswith("div2-2024: ")
    assert listed[2] == f"one: 1 contests, 1 with standings, {one.sha256[:12]}"


def test_the_contests_of_a_set_are_listed(tmp_path: Path) -> None:
    bare = contest_sets.Contest(7, "Bare", "", "icpc", ())
    path = tmp_path / "mixed.json"
    save_set(ContestSet("mixed", (contest(1), without_standings(5), bare)), path)
    assert run("contest", "list", path).stdout.splitlines() == [
        f"mixed, sha256 {load_set(str(path)).sha256}",
        "      1 2024-01-01 points           5 problems   300 participants  Round 1 (Div. 2)",
        "      5 2024-01-01 points           5 problems       no standings  Round 5 (Div. 2)",
        "      7            icpc   problems not fetched       no standings  Bare",
    ]


def test_a_shipped_set_is_added_to(server: ApiServer, home: Path) -> None:
    shipped = load_set("div2-2024")
    run("contest", "fetch", 101, *online(server), "--set", "div2-2024")
    grown = load_set("div2-2024")
    assert (home / "div2-2024.json").exists()
    assert [c.id for c in grown.contests] == [*(c.id for c in shipped.contests), 101]
    assert grown.name == "div2-2024"
    run("contest", "fetch", 101, *online(server), "--set", "div2-2024", "-o", home / "other.json")
    assert [c.id for c in load_set(str(home / "other.json")).contests] == [101], "another file begins anew"


def test_saved_responses_are_imported(tmp_path: Path, home: Path) -> None:
    done = run("contest", "import", *saved(tmp_path), "--set", "mine")
    assert done.stdout.startswith(f"{home / 'mine.json'}: 1 contests, 1 with standings, sha256 ")
    assert done.stderr.startswith("101 Codeforces Round 101 (Div. 2): 60 rated participants")
    with pytest.raises(EvalkitError, match=r"^No contest was given\."):
        run("contest", "import", tmp_path / "problemset.problems.json.gz")
    with pytest.raises(EvalkitError, match="no standings of contest 101"):
        run("contest", "import", tmp_path / "contest.ratingChanges.json.gz")


def test_users_are_counted(server: ApiServer, home: Path, tmp_path: Path) -> None:
    today = datetime.now(UTC).date().isoformat()
    done = run("histogram", *online(server))
    path = home / "active_users.csv"
    assert done.stdout == f"{path}: 60 active users, {today}\n"
    ratings = sorted(r["rating"] for r in responses_of(101)["user.ratedList"])
    rows = "".join(f"{r},{ratings.count(r)}\n" for r in sorted(set(ratings)))
    assert path.read_text() == f"# date: {today}\nrating,users\n{rows}"
    run("histogram", *online(server), "-o", tmp_path / "a" / "b.csv")
    assert server.asked == ["user.ratedList 0"] * 2, "it is counted anew each time"
    assert load_histogram(tmp_path / "a" / "b.csv").date == today
    server.faults = [(200, b'{"status": "OK", "result": [{"handle": "a"}, {"rating": "7"}]}')]
    with pytest.raises(EvalkitError, match="names no rated user"):
        fetch_histogram(Api(tmp_path / "c", server.url, interval=0), tmp_path / "x.csv", today)


@pytest.fixture
def solves(tmp_path: Path) -> tuple[Path, Path]:
    """A table and a set."""
    path = tmp_path / "set.json"
    save_set(ContestSet("two", (contest(1), contest(3, people=120))), path)
    rows = [
        {"contest": c, "index": i, "solved": s, "samples": 4}
        for c in (1, 3)
        for i, s in zip("ABCDE", (4, 3, 2, 0, 0), strict=True)
    ]
    table = tmp_path / "solves.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return table, path


def test_a_table_is_rated(solves: tuple[Path, Path], tmp_path: Path, home: Path) -> None:
    table, path = solves
    rows, held = read_table(table), load_set(str(path))
    assert run("rate", table, "--contests", path).stdout == describe(rate(rows, held), rows, held, None)
    assert re.search(r"\S\n\Z", run("rate", table, "--contests", path).stdout), "the last line ends, once"
    csv = tmp_path / "users_2025.csv"
    csv.write_text("1000,50\n2000,50\n")
    options = ("--rule", "elo", "--tie-rule", "fastest", "--level", "0.8", "--seed", 3, "--histogram", csv)
    rating = rate(rows, held, rule="elo", tie_rule="fastest", level=0.8, seed=3)
    done = run("rate", table, "--contests", path, *options)
    assert done.stdout == describe(rating, rows, held, load_histogram(csv))
    assert "percentile 50.0 of 100 users (2025)\n" in done.stdout
    found = json.loads(run("rate", table, "--contests", path, *options, "--json").stdout)
    assert (found["rule"], found["tie_rule"], found["level"]) == ("elo", "fastest", 0.8)
    assert found["percentile"] == {"value": 50.0, "interval": None}
    assert found["histogram_date"] == "2025"
    assert found["contest_set"] == {"name": "two", "sha256": held.sha256}
    assert "\n " in run("rate", table, "--contests", path, "--json").stdout
    seeds = [json.loads(run("rate", table, "--contests", path, "--seed", s, "--json").stdout) for s in (1, 2)]
    assert seeds[0]["run_to_run"] != seeds[1]["run_to_run"]
    assert seeds[0]["rating"] == seeds[1]["rating"]
    home.mkdir()
    (home / "active_users.csv").write_text("# date: 2025-01-02\n100,1\n5000,3\n")
    assert "percentile 25.0 [25.0, 25.0] of 4 users (2025-01-02)\n" in run("rate", table, "--contests", path).stdout


def test_plots_are_named(solves: tuple[Path, Path], tmp_path: Path) -> None:
    table, path = solves
    folder = tmp_path / "plots"
    done = run("rate", table, "--contests", path, "--plots", folder)
    names = ("solve_rate.png", "solve_rate.svg", "performances.png", "performances.svg")
    assert done.stderr.splitlines() == [f"wrote {folder / name}" for name in names]


def test_what_is_no_run_or_no_table_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"contest": 1, "index": "A", "solved": 1, "samples": 1}\n')
    with pytest.raises(EvalkitError, match="Nothing can be rated: 1A: contest 1 is not in the set div2-2024"):
        run("rate", path)
    with pytest.raises(EvalkitError):
        run("rate", tmp_path)


# The API


def test_responses_are_unwrapped(tmp_path: Path) -> None:
    assert unwrap({"status": "OK", "result": [1]}, "x") == [1]
    for response, said in (
        ([], "x is no response of the Codeforces API."),
        ({"result": 1}, "x is no response of the Codeforces API."),
        ({"status": "OK"}, "x has no result: it is truncated."),
        ({"status": "FAILED"}, "x: the API gives no reason."),
        ({"status": "FAILED", "comment": "not found", "result": 1}, "x: not found."),
    ):
        with pytest.raises(EvalkitError) as caught:
            unwrap(response, "x")
        assert str(caught.value).startswith(said)
        assert caught.value.hint
    text = b'{"status": "OK", "result": {"a": 1}}'
    for name, content in (("plain", text), ("packed", gzip.compress(text))):
        (tmp_path / name).write_bytes(content)
        assert read_response(tmp_path / name) == {"a": 1}
    for content in (text[:-1], gzip.compress(text)[:-4], b"", b"\x1f\x8b"):
        (tmp_path / "torn").write_bytes(content)
        with pytest.raises(EvalkitError, match=r"torn cannot be read: .*") as caught:
            read_response(tmp_path / "torn")
        assert caught.value.hint == "the response is truncated; get it again."
    with pytest.raises(EvalkitError, match="none cannot be read"):
        read_response(tmp_path / "none")


def test_what_was_fetched_is_kept_under_its_name(server: ApiServer, tmp_path: Path) -> None:
    api = Api(tmp_path / "cache", server.url + "/", interval=0)
    asked = {"showUnofficial": "false", "contestId": 101}
    first = api.get("contest.standings", **asked)  # type: ignore[arg-type]
    (kept,) = (tmp_path / "cache").iterdir()
    assert kept.name == "contest.standings-contestId=101-showUnofficial=false.json.gz"
    assert json.loads(gzip.decompress(kept.read_bytes()))["result"] == first
    assert api.get("contest.standings", contestId=101, showUnofficial="false") == first
    assert (api.requests, server.asked) == (1, ["contest.standings 101"])
    assert Api(tmp_path / "cache", server.url, 0, refresh=True).get("contest.standings", **asked) == first  # type: ignore[arg-type]
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("faults", "requests", "said"),
    [
        ([(404, b"<html>")], 1, "could not be fetched (HTTP 404)."),
        ([(503, b"")] * 5, 5, "could not be fetched (HTTP 503)."),
        ([(429, b"{}")] * 5, 5, "could not be fetched (HTTP 429)."),
        ([(200, b'{"comment": "Call limit exceeded"}')] * 5, 5, "could not be fetched (HTTP 200)."),
        ([(400, b" {}")], 1, "is no response of the Codeforces API."),
        ([(200, b"{")], 1, "The answer to m is cut off: "),
    ],
)
def test_answers_that_are_none(
    server: ApiServer, tmp_path: Path, faults: list[tuple[int, bytes]], requests: int, said: str
) -> None:
    server.faults = list(faults)
    api = Api(tmp_path, server.url, interval=0)
    with pytest.raises((EvalkitError, RunIncompleteError)) as caught:
        api.get("m")
    assert said in str(caught.value)
    assert api.requests == requests
    assert list(tmp_path.iterdir()) == []


def test_five_tries_are_enough(server: ApiServer, tmp_path: Path) -> None:
    server.faults = [(500, b""), (502, b""), (504, b""), (503, b"")]
    api = Api(tmp_path, server.url, interval=0.001)
    begin = time.monotonic()
    assert api.get("contest.ratingChanges", contestId=101)[0]["contestId"] == 101
    assert api.requests == 5
    assert time.monotonic() - begin >= 0.002 + 0.004 + 0.008 + 0.008


# Sets


def test_responses_of_a_fetch(server: ApiServer, tmp_path: Path) -> None:
    found = fetch(Api(tmp_path, server.url, interval=0), [101])
    assert found.standings.keys() == found.changes.keys() == {101}
    assert {key for key in found.problems if key[0] == 101} == {(101, "A"), (101, "B"), (101, "C")}
    assert found.problems[101, "C"]["rating"] == 1900
    made = Responses()
    made.add_problems(
        [3, {"index": "A"}, {"contestId": "1", "index": "A"}, {"contestId": 1}, {"contestId": 1, "index": 2}]
    )
    assert made.problems == {(1, "2"): {"contestId": 1, "index": 2}}


def test_files_that_are_none_of_the_three(tmp_path: Path) -> None:
    changes = responses_of(101)["contest.ratingChanges"]
    for result, said in (
        ([{**changes[0]}, {**changes[1], "contestId": 102}], "holds rating changes of 2 contests"),
        ([], "is none of contest.standings, contest.ratingChanges and problemset.problems"),
        ([{"handle": "a"}], "is none of"),
        ({"rows": []}, "is none of"),
        ({"contest": {}, "rows": []}, "has an entry without id"),
        ({"contest": {"id": 1.5}, "rows": []}, "id 1.5, which is no whole number"),
        ({"contest": {"id": True}, "rows": []}, "id 'True', which is no such number"),
        ("x", "is none of"),
    ):
        (tmp_path / "r").write_text(json.dumps({"status": "OK", "result": result}))
        with pytest.raises(EvalkitError, match=said):
            Responses().add_file(tmp_path / "r")


def test_divisions_are_read_off_names() -> None:
    names = {
        "Codeforces Round 900 (Div. 3)": "3",
        "CodeTON Round 7 (Div. 1 + Div. 2, Rated, Prizes!)": "1+2",
        "Round (Div. 2) and (Div.1) and Div. 2": "1+2",
        "Educational Codeforces Round 1 (Rated for Div. 2)": "edu",
        "An Educational Round": "",
    }
    assert {name: division(name) for name in names} == names


def test_sets_are_looked_for_by_name_and_by_path(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert user_folder() == home
    assert set_names() == ["div2-2024"]
    home.mkdir()
    (home / "notes.txt").write_text("x")
    save_set(ContestSet("inside", (contest(3, people=40),)), home / "b.json")
    save_set(ContestSet("div2-2024", (contest(3, people=40),)), home / "div2-2024.json")
    assert set_names() == ["b", "div2-2024"]
    assert load_set("b").name == "inside"
    assert len(load_set("div2-2024").contests) == 1, "a fetched one before a shipped one"
    with pytest.raises(EvalkitError, match=r"^There is no contest set nowhere\.") as caught:
        load_set("nowhere")
    assert "the sets here: b, div2-2024;" in str(caught.value.hint)
    assert "--set nowhere" in str(caught.value.hint)
    (home / "torn.json").write_text("{")
    with pytest.raises(EvalkitError, match=r"torn\.json is not JSON"):
        load_set("torn")
    monkeypatch.chdir(home)
    assert load_set("b.json").name == "inside"
    assert sorted(p.name for p in home.iterdir()) == ["b.json", "div2-2024.json", "notes.txt", "torn.json"]
    monkeypatch.delenv("EVALKIT_CODEFORCES")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert user_folder() == tmp_path / "data" / "evalkit" / "codeforces"
    save_set(ContestSet("n", (contest(3, people=40),)), tmp_path / "new" / "deep" / "n.json")
    assert (tmp_path / "new" / "deep" / "n.json").read_text().endswith("\n")


def test_a_set_s_own_words() -> None:
    assert from_json({"format": "evalkit-contests", "version": 1, "contests": [
        {"id": 4, "scoring": "icpc", "problems": [{"index": "A"}, {"index": "B", "rating": 900.0, "points": 0.5}]},
    ]}, "/a/b.json") == ContestSet("b", (contest_sets.Contest(4, "contest 4", "", "icpc", (
        contest_sets.ContestProblem("A"), contest_sets.ContestProblem("B", 0.5, 900),
    )),))  # fmt: skip
    good: dict[str, Any] = to_json(ContestSet("x", (without_standings(5),)))
    (entry,) = good["contests"]
    for changed, said in (
        ({"id": "5"}, r"A contest of s has no id \(int\)"),
        ({"id": True}, r"has no id \(int\)"),
        ({"problems": None}, r"Contest 5 of s has no problems \(list\)"),
        ({"problems": [3]}, r"A problem of Contest 5 of s has no index \(str\)"),
        ({"problems": [{"index": "A"}] * 2}, "Contest 5 of s lists a problem twice"),
        ({"problems": [{"index": "A", "points": 1e10}]}, "Problem A of Contest 5 of s has points 10000000000.0"),
        ({"problems": [{"index": "A", "rating": True}]}, "has rating True"),
        ({"scoring": None}, "Contest 5 of s has scoring None"),
        ({"participants": {}}, "The participants of contest 5 cannot be read"),
    ):
        with pytest.raises(EvalkitError, match=said) as caught:
            from_json({**good, "contests": [{**entry, **changed}]}, "s")
        assert caught.value.hint
    for record, said in (
        ({**good, "format": "x"}, "s is no contest set"),
        ({**good, "contests": None}, r"s has no contests \(list\)"),
        ({**good, "contests": [3]}, "s holds a contest that is no object"),
        ({**good, "version": None}, "version None, this evalkit reads version 1"),
    ):
        with pytest.raises(EvalkitError, match=said):
            from_json(record, "s")


def test_a_set_comes_back_as_it_was(tmp_path: Path) -> None:
    made = ContestSet("all", (contest(1), contest(2, "icpc"), without_standings(5)))
    save_set(made, tmp_path / "s.json")
    held = load_set(str(tmp_path / "s.json"))
    assert to_json(held) == to_json(made)
    assert held.sha256 == made.sha256
    assert held.contest(2) is not None
    assert held.contest(9) is None
    (one, two, five) = held.contests
    assert one.problem("C") == one.problems[2]
    assert one.problem("Z") is None
    assert five.standings is None
    grown = held.with_contests([without_standings(1), without_standings(8)])
    assert [(c.id, c.standings is None) for c in grown.contests] == [(1, True), (2, False), (5, True), (8, True)]
    assert two.date == "2024-01-01"
