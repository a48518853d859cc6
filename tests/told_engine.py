"""An engine that answers what it is told, and tasks that this process grades: whole runs in milliseconds."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from evalkit import DataSource, Problem, Score, Task
from evalkit.benchmark.protocols import Protocol
from evalkit.benchmark.registry import trust_task_file
from evalkit.engines.base import Engine, option
from evalkit.run.evaluate import RunPlan
from evalkit.run.planning import choose_tasks, plan_task
from evalkit.run.preflight import check_task_prompts
from evalkit.run.shards import Shard, part_of
from evalkit.types import Completion, Request

PROTOCOL = Protocol("mine", "a test", temperature=0.5, max_tokens=100, response_prefix="")


@dataclass(frozen=True)
class ToldOptions:
    """Options of the engine."""

    batch: int = option(8, "How many at once.", recorded=False)
    style: str = option("plain", "How it writes.")


class ToldEngine(Engine):
    """Answers "2" to "1 + 1?" and so on, or what `told` makes of a request. `asked` are the requests."""

    name = "told"
    options_class = ToldOptions
    endings: Any = None
    tokenizer: Any = SimpleNamespace(bos_token_id=None)

    def __init__(self, told: Callable[[Request], Any] | None = None, **attributes: Any) -> None:
        self.told = told or right
        self.asked: list[Request] = []
        self.closed = 0
        self.reserved: list[int] = []
        self.own: dict[str, Any] = {"device": "none"}
        self.called: dict[str, Any] = {"backend": "told", "model": "m", "fingerprint": "f"}
        self.needed: Sequence[Path] | None = ()
        self.context: int | None = None
        for name, value in attributes.items():
            setattr(self, name, value)

    def identity(self) -> dict[str, Any]:
        return self.called

    def environment(self) -> dict[str, Any]:
        return self.own

    def files(self) -> Sequence[Path] | None:
        return self.needed

    def context_length(self) -> int | None:
        return self.context

    def reserve(self, tokens: int) -> None:
        self.reserved.append(tokens)

    def close(self) -> None:
        self.closed += 1

    def generate(self, requests: Iterator[Request]) -> Iterator[Completion]:
        for request in requests:
            self.asked.append(request)
            made = self.told(request)
            yield made if isinstance(made, Completion) else answer(request, made)


def right(request: Request) -> str:
    """The sum that a request asks for."""
    first, _, second = request.messages[-1]["content"].removesuffix("?").partition(" + ")
    return str(int(first) + int(second))


def answer(request: Request, text: str, **fields: Any) -> Completion:
    made: dict[str, Any] = {"finish_reason": "stop", "prompt_tokens": 7, "completion_tokens": 3, "seconds": 0.5}
    return Completion(*request.key, text, **{**made, **fields})


def failed(request: Request, error: str) -> Completion:
    return answer(request, "", finish_reason="error", completion_tokens=None, error=error)


class Sums(Task):
    """`count` problems whose answers are compared as they are."""

    name = "sums"
    version = 2
    title = "Sums"
    n = 2
    count = 3

    def load(self, source: DataSource) -> Sequence[Problem]:
        return [Problem(f"p{i}", f"{i} + {i}?", str(2 * i)) for i in range(self.count)]

    def score(self, problem: Problem, response: str) -> Score:
        if response == "crash":
            raise ValueError("fell over")
        if response == "none":
            return Score(0.0, "no_answer", explanation="there is none")
        correct = response == problem.target
        return Score(float(correct), "correct" if correct else "wrong", response, "compared", "whole")


def sums(**attributes: Any) -> Task:
    """The task, or one like it that has other attributes and that no other process can import."""
    if not attributes:
        return Sums()

    class Other(Sums):
        pass

    for name, value in attributes.items():
        setattr(Other, name, value)
    return Other()


def planned(
    engine: Engine,
    *tasks: Task,
    n: int | None = None,
    limit: int | None = None,
    protocol: Protocol = PROTOCOL,
    seed: int = 0,
    shard: Shard | None = None,
    **more: Any,
) -> RunPlan:
    """The plan that `plan_run` makes for an engine that is at hand."""
    chosen = [replace(one, local=True) for one in choose_tasks(list(tasks) or [sums()])]
    for one in chosen:
        assert one.spec.file is not None
        trust_task_file(one.spec.file)
    plans = [plan_task(one, protocol, DataSource(), seed, n, limit) for one in chosen]
    plans = part_of(plans, shard) if shard is not None else plans
    checks = [check_task_prompts(plan, protocol, engine) for plan in plans]
    return RunPlan("lab/model", protocol, seed, plans, checks, engine, shard, **more)


def plain_records(path: Path) -> list[Mapping[str, Any]]:
    """The lines of a file of records, without their checksums."""
    from helpers import records

    return [{k: v for k, v in record.items() if k != "crc"} for record in records(path)]
