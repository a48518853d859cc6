"""Graders that work side by side, prompts that are measured, and what is shown while a run goes on."""

import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from told_engine import Sums, ToldEngine, planned

from evalkit import EvalkitError, Problem, rescore
from evalkit.benchmark.registry import TaskSpec
from evalkit.engines.prompts import Prompt
from evalkit.run import rescore as rescore_module
from evalkit.run import scoring
from evalkit.run.evaluate import execute_plan
from evalkit.run.scoring import Scorer, score_in_worker
from evalkit.run.trainer import trainer_callback
from evalkit.store.lines import LineWriter
from evalkit.types import Completion, Request


class Pool:
    """Stands in for grader processes: after the first call, each waits until another one is being made."""

    def __init__(self) -> None:
        self.calls = 0
        self.two = threading.Barrier(2)

    def start(self, count: int) -> None:
        self.started = count

    def call(self, payload: Any, timeout: float) -> Any:
        self.calls += 1
        if self.calls > 1:
            self.two.wait(20)
        return {"value": 1.0, "status": "correct"}

    def close(self) -> None:
        self.closed = True


def test_another_grader_works_as_soon_as_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "processors", lambda: 3)
    monkeypatch.setattr(scoring._GradingTimes, "is_worth_another", lambda self, queued, workers: True)
    scorer = Scorer([(TaskSpec("sums"), Sums())])
    pool: Any = Pool()
    scorer._pool = pool
    assert scorer.workers == 1
    for i in range(5):
        scorer.submit(Problem("p", "", ""), Completion("sums", "p", i, "x", "stop", 1, 1, 1.0))
    found = sorted(score.key.sample_index for score in scorer.results(wait=True) if score.key)
    assert found == [0, 1, 2, 3, 4]
    assert (scorer.workers, scorer.pending) == (3, 0)
    scorer.start()
    assert pool.started == 2
    scorer.close()
    assert pool.closed
    scorer.submit(Problem("p", "", ""), Completion("sums", "p", 9, "x", "stop", 1, 1, 1.0))
    assert pool.calls == 5, "nothing is graded any more"
    few = Scorer([(TaskSpec("sums"), Sums())])
    few._pool = pool
    few.start()
    assert few.workers == 2, "two are started, so two may work"


def test_a_run_is_graded_again_by_several_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    execute_plan(planned(ToldEngine()), tmp_path, progress=False)

    class Several:
        tasks = frozenset({"sums"})
        two = threading.Barrier(2)

        def call(self, payload: Mapping[str, Any], timeout: float) -> Any:
            self.two.wait(20)
            return score_in_worker(payload)

    @contextmanager
    def opened(tasks: object, judge_on: str | None) -> Iterator[Several]:
        assert judge_on == "ray:x"
        yield Several()

    monkeypatch.setattr(rescore_module, "open_judges", opened)
    monkeypatch.setattr(scoring, "_worker_tasks", {"sums": Sums()})
    assert rescore(tmp_path, judge_on="ray:x") == []


def test_prompts_are_measured() -> None:
    lengths = {"p0": 5, "p1": 9, "p2": 2}

    def render(request: Request) -> Prompt:
        return Prompt(request.problem_id, tuple(range(lengths[request.problem_id])), "")

    (check,) = planned(ToldEngine(render=render, opening=lambda request: request.problem_id)).checks
    assert check.first_prompt is not None
    assert (check.first_prompt.text, check.shortest, check.longest) == ("p0", 2, 9)
    assert str(check.opening) == "p0", "of the first request"
    (check,) = planned(ToldEngine()).checks
    assert (check.first_prompt, check.shortest, check.longest, check.opening) == (None, None, None, None)


def test_the_last_line_of_a_run_tells_of_trouble(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine = ToldEngine(trouble=lambda: "1 request was repeated")
    execute_plan(planned(engine), tmp_path)
    line = "sums 6/6, score 100.0, cut 0.0% | done | 1 request was repeated"
    assert capsys.readouterr().err.splitlines()[-1] == line
    execute_plan(planned(ToldEngine(), n=3), tmp_path, progress=False)
    assert capsys.readouterr().err == ""
    execute_plan(planned(ToldEngine(), n=3), tmp_path)
    assert capsys.readouterr().err.splitlines()[-1] == "sums 9/9, score 100.0, cut 0.0% | done", (
        "what is on disk counts"
    )


def test_a_writer_closes_its_file(tmp_path: Path) -> None:
    with LineWriter(tmp_path / "x.jsonl") as writer:
        assert writer.path == tmp_path / "x.jsonl"
    assert writer._file.closed


def test_a_callback_needs_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", SimpleNamespace())
    with pytest.raises(EvalkitError, match="The callback needs the package transformers"):
        trainer_callback("sums")
