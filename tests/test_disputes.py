"""From a dispute between two graders to a decided table: the second opinion, the list, the decision of a human."""

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pexpect
import pytest
from click.testing import CliRunner
from helpers import EVALKIT, REPOSITORY, evalkit, records, told, write_recorded

from evalkit.cli.main import cli
from evalkit.errors import EvalkitError
from evalkit.results.disputes import disputes, summarise_disputes
from evalkit.store.run import RunDirectory

PROBLEMS = ("add-12-62", "add-42-57")


class Judge(BaseHTTPRequestHandler):
    """A server that takes every answer of 99 for right and every other one for wrong; it cannot judge 13."""

    def log_message(self, *_: object) -> None:
        pass

    def _reply(self, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self._reply({"data": [{"id": "judge-1"}]})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        solution = asked["messages"][0]["content"].partition("Solution:")[2]
        said = "perhaps" if "{13}" in solution else "<think>hm</think>CORRECT." if "{99}" in solution else "WRONG"
        self._reply({"choices": [{"message": {"content": said}}]})


@pytest.fixture(scope="module")
def judge_url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Judge)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()


@pytest.fixture
def disputed(tmp_path: Path, judge_url: str) -> Path:
    """A run of two problems (74 and 99 are right) in which the judge differs on two of four completions."""
    texts = {PROBLEMS[0]: ["\\boxed{99}\x1b[31m", "\\boxed{13}"], PROBLEMS[1]: ["\\boxed{99}", "It is \\boxed{99}!"]}
    recorded = write_recorded(tmp_path / "r.jsonl", texts)
    options = ("--engine", "replay", "--recorded", recorded, "-n", 2, "-o", tmp_path / "run")
    (tmp_path / "two.py").write_text(
        "from evalkit_tasks.arithmetic import Arithmetic\n\n\n"
        "class Two(Arithmetic):\n    name = 'two'\n    rows = targets_sha256 = None\n"
        f"    def load(self, source):\n        return [p for p in super().load(source) if p.id in {PROBLEMS!r}]\n"
    )
    evalkit("run", "m", "-t", "two", "--task-file", tmp_path / "two.py", *options)
    evalkit("score", tmp_path / "run", "--second-opinion", "llm", "--judge-url", judge_url)
    return tmp_path / "run"


@pytest.mark.slow
def test_disputes_are_counted_and_bound_the_score(disputed: Path) -> None:
    task = RunDirectory(disputed).task("two")
    (one,) = disputes(task)
    assert (one.key.problem_id, one.key.sample_index) == (PROBLEMS[0], 0)
    assert (one.ours.status, one.theirs.status) == ("wrong", "correct")
    found = summarise_disputes(task)
    assert found is not None
    assert (found.samples, found.disputed, found.adjudicated, found.unjudged) == (4, 1, 0, 1)
    assert (found.low, found.high) == (50.0, 75.0)
    told_by_table = evalkit("leaderboard", disputed).stdout
    assert "1 of 3 disputed by llm judge-1, score between 50.0 and 75.0 (1 not judged)" in told_by_table


@pytest.mark.slow
@pytest.mark.parametrize("option", ["--judge-url", "--judge-model"])
def test_a_judge_whom_nobody_asks_is_told(option: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["score", str(tmp_path), option, "http://127.0.0.1:9/v1"])
    assert isinstance(done.exception, EvalkitError)
    assert done.exception.message == f"{option} is for a second opinion, and none was asked for."


def test_an_undecided_judge_is_asked_again_and_the_others_are_not(disputed: Path, judge_url: str) -> None:
    assert len(records(disputed / "two" / "second_opinions.jsonl")) == 3
    done = evalkit("score", disputed, "--second-opinion", "llm", "--judge-url", judge_url)
    assert "llm: 0 new opinions" in done.stderr


@pytest.mark.slow
def test_disputed_samples_are_listed(disputed: Path) -> None:
    done = evalkit("samples", disputed, "--disputed")
    assert done.stdout.count("=== ") == 1
    assert "llm judge-1 says correct" in done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.slow
def test_a_human_decides_in_a_terminal(disputed: Path, tmp_path: Path) -> None:
    assert "not a terminal" in told(evalkit("adjudicate", disputed, code=2))
    environment = {**os.environ, "TERM": "dumb", "OMP_NUM_THREADS": "1"}
    child = pexpect.spawn(
        str(EVALKIT), ["adjudicate", str(disputed), "--who", "Ada"], cwd=REPOSITORY, env=environment, timeout=120
    )
    child.expect("right answer  74")
    child.expect("right\\?")
    child.send("x")
    child.expect("right\\?")
    child.send("y")
    child.expect("why")
    child.sendline("both sums are asked")
    child.expect("1 of 1 decided")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    table = evalkit("leaderboard", disputed).stdout
    assert "75.0" in table
    assert "0 of 3 disputed by llm judge-1 (1 not judged); 1 adjudicated" in table
    assert "There is no open dispute" in evalkit("adjudicate", disputed).stderr


@pytest.mark.slow
def test_a_decision_outranks_every_later_grading_and_is_exported(disputed: Path, tmp_path: Path) -> None:
    from evalkit.run.opinions import adjudicate
    from evalkit.store.opinions import Adjudication

    adjudicate(RunDirectory(disputed).task("two"), Adjudication("two", PROBLEMS[0], 0, "correct", "99", "Ada", "so"))
    sample = ("samples", disputed, "--problem", PROBLEMS[0], "--sample", 0)
    again = ("run", "m", "-t", "two", "--task-file", disputed.parent / "two.py", "-n", 2, "-o", disputed)
    for command in (("score", disputed), (*again, "--engine", "replay", "--recorded", disputed.parent / "r.jsonl")):
        evalkit(*command)
        assert '"status": "correct"' in evalkit(*sample, "--json").stdout
        assert "adjudicated by Ada: so" in evalkit(*sample).stdout
    evalkit("adjudicate", disputed, "--export", tmp_path / "rows.jsonl")
    (row,) = records(tmp_path / "rows.jsonl")
    assert (row["gold"], row["status"]) == ("74", "correct")


@pytest.mark.slow
def test_a_judge_without_a_server_is_one_sentence(disputed: Path) -> None:
    assert "needs a server" in told(evalkit("score", disputed, "--second-opinion", "llm", code=2))
    gone = ("--judge-url", "http://127.0.0.1:9/v1")
    assert "does not say which models" in told(evalkit("score", disputed, "--second-opinion", "llm", *gone, code=2))
