"""Contest sets: the API replayed by a local server, saved responses, torn files; the commands as a user gives them."""

import base64
import gzip
import json
import re
import threading
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from evalkit_tasks.codeforces.api import Api
from evalkit_tasks.codeforces.building import Responses, build_contest, division, fetch
from evalkit_tasks.codeforces.contests import ContestSet, from_json, load_set, save_set, to_json
from evalkit_tasks.codeforces.elo import rating_changes
from helpers import evalkit, told

from evalkit.errors import EvalkitError, RunIncompleteError

PEOPLE, POINTS = 60, (500, 1000, 1500)


def responses_of(contest: int, kind: str = "CF") -> dict[str, Any]:
    """The three responses of one contest in the API's shapes, consistent with the rating formula."""
    rng = np.random.default_rng(contest)
    ratings = rng.integers(900, 2000, PEOPLE)
    solved = rng.random((PEOPLE, 3)) < 1 / (1 + 10 ** ((np.array([800, 1300, 1900]) - ratings[:, None]) / 400))
    worth = np.array(POINTS if kind == "CF" else (1, 1, 1))
    points = (solved * worth).sum(1)
    penalty = np.zeros(PEOPLE, int) if kind == "CF" else rng.integers(0, 100, PEOPLE)
    key = -(points * 1000 - penalty)
    ranks = np.searchsorted(np.sort(key), key) + 1
    changes = rating_changes(ranks, ratings)
    problems = [
        {"contestId": contest, "index": i, "name": f"Problem {i}", "type": "PROGRAMMING", "tags": []} for i in "ABC"
    ]
    if kind == "CF":
        for problem, value in zip(problems, POINTS, strict=True):
            problem["points"] = float(value)
    rows = [
        {
            "party": {"contestId": contest, "members": [{"handle": f"user{i}"}], "participantType": "CONTESTANT"},
            "rank": int(ranks[i]),
            "points": float(points[i]),
            "penalty": int(penalty[i]),
            "problemResults": [
                {"points": float(w * s), "rejectedAttemptCount": 0} for w, s in zip(worth, solved[i], strict=True)
            ],
        }
        for i in range(PEOPLE)
    ]
    rows.append({**rows[0], "party": {"contestId": contest, "members": [{"handle": "a"}, {"handle": "b"}]}})
    recorded = [
        {
            "contestId": contest,
            "contestName": "x",
            "handle": f"user{i}",
            "rank": int(ranks[i]),
            "ratingUpdateTimeSeconds": 1720000000,
            "oldRating": int(ratings[i]),
            "newRating": int(ratings[i] + changes[i]),
        }
        for i in range(PEOPLE)
    ]
    about = {"id": contest, "name": f"Codeforces Round {contest} (Div. 2)", "type": kind, "phase": "FINISHED"}
    about["startTimeSeconds"] = 1720000000
    rated = [{**p, "rating": r} for p, r in zip(problems, (800, 1300, 1900), strict=True)]
    return {
        "contest.standings": {"contest": about, "problems": problems, "rows": rows},
        "contest.ratingChanges": recorded,
        "problemset.problems": {"problems": rated, "problemStatistics": []},
        "user.ratedList": [{"handle": f"user{i}", "rating": int(r)} for i, r in enumerate(ratings)],
    }


class ApiServer(ThreadingHTTPServer):
    """Replays the API; `faults` are answers that it gives before it behaves."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.faults: list[tuple[int, bytes]] = []
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/api"


class Handler(BaseHTTPRequestHandler):
    server: ApiServer

    def do_GET(self) -> None:
        method = urlsplit(self.path).path.rpartition("/")[2]
        asked = parse_qs(urlsplit(self.path).query).get("contestId", ["0"])[0]
        self.server.asked.append(f"{method} {asked}")
        if self.server.faults:
            self.answer(*self.server.faults.pop(0))
        elif int(asked) >= 9000:
            comment = f"contestId: Contest with id {asked} not found"
            self.answer(400, json.dumps({"status": "FAILED", "comment": comment}).encode())
        else:
            content = {"status": "OK", "result": responses_of(int(asked) or 101)[method]}
            if method == "problemset.problems":
                content["result"]["problems"] += responses_of(102)[method]["problems"]
            self.answer(200, json.dumps(content).encode())

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_fetched_contests_hold_all_that_a_rating_needs(server: ApiServer, tmp_path: Path) -> None:
    api = Api(tmp_path, server.url, interval=0)
    contest, notes = build_contest(fetch(api, [101]), 101)
    assert (contest.division, contest.scoring, contest.date) == ("2", "points", "2024-07-03")
    assert [(p.index, p.points, p.rating) for p in contest.problems] == [
        ("A", 500, 800),
        ("B", 1000, 1300),
        ("C", 1500, 1900),
    ]
    assert contest.standings is not None
    assert contest.standings.rating.size == PEOPLE, "the team, which is not rated, is left out"
    assert contest.standings.solved is not None
    totals = sum(((contest.standings.solved >> j) & 1) * POINTS[j] for j in range(3))
    np.testing.assert_array_equal(totals, contest.standings.points)
    assert "100.0% of the recorded rating changes" in notes[1]
    path = tmp_path / "one.json"
    save_set(ContestSet("one", (contest,)), path)
    assert "user1" not in path.read_text()
    again = load_set(str(path))
    assert again.sha256 == ContestSet("one", (contest,)).sha256
    np.testing.assert_array_equal(again.contests[0].standings.rating, contest.standings.rating)  # type: ignore[union-attr]


def test_requests_are_cached_limited_and_tried_again(server: ApiServer, tmp_path: Path) -> None:
    import time

    server.faults = [(503, b"busy"), (400, b'{"status":"FAILED","comment":"Call limit exceeded"}')]
    api = Api(tmp_path, server.url, interval=0.1)
    started = time.monotonic()
    fetch(api, [101, 102])
    assert api.requests == 5 + 2
    assert time.monotonic() - started >= 0.1 * 4 + 0.2 + 0.4
    again = Api(tmp_path, server.url, interval=0.1)
    fetch(again, [101, 102])
    assert again.requests == 0


def test_a_broken_fetch_takes_up_where_it_was(server: ApiServer, tmp_path: Path) -> None:
    fetch(Api(tmp_path, server.url, interval=0), [101])
    server.faults = [(200, b'{"status": "OK", "result": {"contest": {"id"')]
    with pytest.raises(RunIncompleteError, match="cut off"):
        fetch(Api(tmp_path, server.url, interval=0), [101, 102])
    asked = len(server.asked)
    fetch(Api(tmp_path, server.url, interval=0), [101, 102])
    assert server.asked[asked:] == ["contest.standings 102", "contest.ratingChanges 102"]
    with pytest.raises(EvalkitError, match="Contest with id 9001 not found"):
        fetch(Api(tmp_path, server.url, interval=0), [9001])
    with pytest.raises(RunIncompleteError, match="could not be fetched"):
        Api(tmp_path / "none", "http://127.0.0.1:9/api", interval=0).get("problemset.problems")


def saved(tmp_path: Path, contest: int = 101, kind: str = "CF", changed: dict[str, Any] | None = None) -> list[Path]:
    paths = []
    for method, result in {**responses_of(contest, kind), **(changed or {})}.items():
        if method != "user.ratedList":
            path = tmp_path / f"{method}.json.gz"
            path.write_bytes(gzip.compress(json.dumps({"status": "OK", "result": result}).encode()))
            paths.append(path)
    return paths


def imported(paths: list[Path], contest: int = 101) -> None:
    responses = Responses()
    for path in paths:
        responses.add_file(path)
    build_contest(responses, contest)


def test_truncated_responses_are_named(tmp_path: Path) -> None:
    whole = responses_of(101)
    standings = whole["contest.standings"]
    short: dict[str, Any] = {**standings, "rows": standings["rows"][:40]}
    with pytest.raises(EvalkitError, match=r"hold 40 of its 60 rated participants \(40 rows\): they are truncated"):
        imported(saved(tmp_path, changed={"contest.standings": short}))
    with pytest.raises(EvalkitError, match="have no rows"):
        imported(saved(tmp_path, changed={"contest.standings": {**standings, "rows": []}}))
    cut = [{**row, "problemResults": row["problemResults"][:2]} for row in standings["rows"]]
    with pytest.raises(EvalkitError, match="2 results for 3 problems"):
        imported(saved(tmp_path, changed={"contest.standings": {**standings, "rows": cut}}))
    with pytest.raises(EvalkitError, match="none of contest"):
        imported(saved(tmp_path, changed={"contest.ratingChanges": []}))
    with pytest.raises(EvalkitError, match="no rating changes of contest 101"):
        imported(saved(tmp_path)[:1])
    path = saved(tmp_path)[0]
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(EvalkitError, match="truncated"):
        Responses().add_file(path)


@pytest.mark.parametrize(
    ("method", "path", "value", "says"),
    [
        ("contest.ratingChanges", ["*", "oldRating"], None, "oldRating 'None', which is no such number"),
        ("contest.ratingChanges", [0, "newRating"], "1500", "newRating '1500', which is no such number"),
        ("contest.ratingChanges", [0, "oldRating"], 10**30, "oldRating '1000"),
        ("contest.ratingChanges", [0, "rank"], 0, "rank 0, ranks go from 1"),
        ("contest.standings", ["contest", "type"], [], "type"),
        ("contest.standings", ["contest", "startTimeSeconds"], "now", "startTimeSeconds 'now'"),
        ("contest.standings", ["rows"], None, "rows 'None', which is no list"),
        ("contest.standings", ["rows", 0, "party", "members"], {}, "members"),
        ("contest.standings", ["rows", 0, "points"], float("nan"), "points 'nan'"),
        ("contest.standings", ["rows", 0, "penalty"], None, "penalty 'None'"),
        ("contest.standings", ["rows", 0, "problemResults", 0, "points"], None, "points 'None'"),
        ("contest.standings", ["problems", 0, "points"], -(10**30), "points '-1000"),
        ("problemset.problems", ["problems"], None, "problems 'None', which is no list"),
        ("problemset.problems", ["problems", 0, "rating"], "hard", "rating 'hard'"),
    ],
)
def test_values_that_are_none_are_named(tmp_path: Path, method: str, path: list[Any], value: Any, says: str) -> None:
    record = responses_of(101)[method]
    places = [record]
    for step in path[:-1]:
        places = [inner for place in places for inner in (place if step == "*" else [place[step]])]
    for place in places:
        place[path[-1]] = value
    with pytest.raises(EvalkitError, match=re.escape(says)):
        imported(saved(tmp_path, changed={method: record}))


def test_icpc_contests_and_divisions(tmp_path: Path) -> None:
    responses = Responses()
    for path in saved(tmp_path, 103, "ICPC"):
        responses.add_file(path)
    contest, _ = build_contest(responses, 103)
    assert contest.scoring == "icpc"
    assert [p.points for p in contest.problems] == [None] * 3
    names = ["Codeforces Round 944 (Div. 4)", "Pinely Round 4 (Div. 1 + Div. 2)", "Educational Codeforces Round 168"]
    assert [division(n) for n in [*names, "Good Bye 2023"]] == ["4", "1+2", "edu", ""]


def with_column(people: dict[str, Any], name: str, values: list[Any]) -> dict[str, Any]:
    columns = json.loads(zlib.decompress(base64.b64decode(people["columns"])))
    packed = zlib.compress(json.dumps({**columns, name: values}).encode())
    return {**people, "columns": base64.b64encode(packed).decode()}


def test_torn_sets_are_refused(tmp_path: Path) -> None:
    responses = Responses()
    for path in saved(tmp_path):
        responses.add_file(path)
    good = to_json(ContestSet("x", (build_contest(responses, 101)[0],)))

    def broken(**changed: Any) -> dict[str, Any]:
        return {**good, "contests": [{**good["contests"][0], **changed}]}

    people = good["contests"][0]["participants"]
    for record, says in (
        ([], "no contest set"),
        ({**good, "version": 2}, "version 2"),
        ({**good, "contests": []}, "lists no contest"),
        (broken(scoring="IOI"), "has scoring 'IOI'"),
        (broken(problems=[{"points": 3}]), "has no index"),
        (broken(problems=[{"index": "A", "rating": "hard"}]), "is no number"),
        (broken(participants={**people, "count": 3}), "cannot be read"),
        (broken(participants=with_column(people, "rating", [None] * PEOPLE)), "cannot be read"),
        (broken(participants=with_column(people, "points", [float("nan")] * PEOPLE)), "column points holds"),
        (broken(participants={**people, "columns": people["columns"][:80]}), "cannot be read"),
        ({**good, "contests": good["contests"] * 2}, "there twice"),
    ):
        with pytest.raises(EvalkitError, match=says):
            from_json(record, "set.json")


@pytest.mark.slow
def test_commands_fetch_list_rate_and_count_users(server: ApiServer, tmp_path: Path) -> None:
    home: dict[str, Any] = {"EVALKIT_CODEFORCES": str(tmp_path / "home")}
    api = ("--api-url", server.url, "--interval", "0")
    done = evalkit("codeforces", "contest", "fetch", 101, 102, "--set", "two", *api, **home)
    assert "2 contests, 2 with standings" in done.stdout
    assert "two: 2 contests" in evalkit("codeforces", "contest", "list", **home).stdout
    assert "60 participants" in evalkit("codeforces", "contest", "list", "two", **home).stdout
    evalkit("codeforces", "histogram", *api, **home)
    solves = tmp_path / "solves.jsonl"
    rows = [
        {"contest": c, "index": i, "solved": s, "samples": 4}
        for c in (101, 102)
        for i, s in zip("ABC", (4, 2, 0), strict=True)
    ]
    solves.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {**rows[0], "index": "Z"}]))
    said = evalkit("codeforces", "rate", solves, "--contests", "two", "--plots", tmp_path / "plots", **home).stdout
    for part in ("rating ", "95% interval", "percentile ", "by rule elo: ", "upper-quartile", "left out: 101Z"):
        assert part in said
    assert {p.name for p in (tmp_path / "plots").iterdir()} >= {"solve_rate.png", "performances.svg"}
    found = json.loads(evalkit("codeforces", "rate", solves, "--contests", "two", "--json", **home).stdout)
    assert found["method"] == "standings"
    assert found["interval"][0] < found["rating"] < found["interval"][1]
    assert found["contest_set"]["sha256"] == load_set(str(tmp_path / "home" / "two.json")).sha256
    assert found["solved_by_index"]["B"] == {"share": 0.5, "problems": 2}
    codeelo = evalkit("codeforces", "rate", solves, "--contests", "two", "--json", "--rule", "codeelo", **home).stdout
    assert json.loads(codeelo)["rating"] == found["by_rule"]["codeelo"]["rating"]


@pytest.mark.slow
def test_commands_import_and_say_what_is_wrong(tmp_path: Path) -> None:
    home: dict[str, Any] = {"EVALKIT_CODEFORCES": str(tmp_path / "home")}
    output = tmp_path / "set.json"
    done = evalkit("codeforces", "contest", "import", *saved(tmp_path), "-o", output, **home)
    assert "1 contests, 1 with standings" in done.stdout
    assert "no contest set nowhere" in told(evalkit("codeforces", "contest", "list", "nowhere", code=2, **home))
    solves = tmp_path / "solves.jsonl"
    for text, says in (
        ("", "has no row"),
        ('{"contest": 101', "is not JSON"),
        ('{"contest": 101, "index": "A", "solved": 3}', "lacks contest, index, solved or samples"),
        ('{"contest": 101, "index": "A", "solved": 3, "samples": 2}', "3 solved of 2 samples"),
        ('{"contest": 101, "index": "A", "solved": 1, "samples": 2}\n' * 2, "101A twice"),
        ('{"contest": 7, "index": "A", "solved": 1, "samples": 2}', "Nothing can be rated"),
    ):
        solves.write_text(text)
        assert says in told(evalkit("codeforces", "rate", solves, "--contests", output, code=2, **home))
