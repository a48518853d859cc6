"""Engines as plug-ins: found by name, given typed options, held to the contract."""

import importlib.util
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from evalkit_tasks.arithmetic import test_problems as arithmetic_problems
from fake_gpus import fake_nvidia_smi
from helpers import REPOSITORY, evalkit, package, records, told, write_recorded

from evalkit.engines import Engine, open_engine
from evalkit.engines.contract import GREEDY, LIMITED, PREFIXED, REQUESTS, check_engine
from evalkit.engines.options import OWN_OPTIONS, VLLMOptions
from evalkit.engines.registry import engine_class, option_fields, read_assignments
from evalkit.engines.vllm.engine import VLLMEngine
from evalkit.errors import EvalkitError
from evalkit.run.scoring import score_completion
from evalkit.types import Completion, Request, Score

ECHO = REPOSITORY / "examples" / "echo_engine.py"


@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, "20000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")],
)
def test_threads_wait_for_each_other_for_a_short_time(given: dict[str, str], spins: str) -> None:
    """Before torch is loaded, and as the user says where the user does."""
    bare = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    code = (
        "import os, sys, evalkit.engines.transformers; print(os.environ.get('GOMP_SPINCOUNT'), 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**bare, **given}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [spins, "False"]


@pytest.fixture(scope="module")
def echo() -> type[Any]:
    spec = importlib.util.spec_from_file_location("echo_engine_under_test", ECHO)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    found: type[Any] = module.EchoEngine
    return found


@pytest.mark.slow
def test_an_engine_in_one_file_passes_and_evaluates(tmp_path: Path) -> None:
    checked = evalkit("engines", "check", "echo", "--engine-file", ECHO)
    assert "BROKEN" not in checked.stdout
    assert checked.stdout.count("\nok ") > 20
    evalkit(
        *("run", "any-model", "-t", "arithmetic", "--limit", 3, "-n", 2, "--engine", "echo", "--engine-file", ECHO),
        *("-E", "words=5", "-o", tmp_path / "run"),
    )
    completions = records(tmp_path / "run" / "arithmetic" / "completions.jsonl")
    assert len(completions) == 6
    assert {len(each["text"].split()) for each in completions} == {5}
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["identity"]["engine"] == {"engine": "echo", "model": "any-model", "words": 5}


def test_the_page_shows_the_file_that_passes() -> None:
    page = (REPOSITORY / "docs" / "adding-an-engine.md").read_text()
    assert textwrap.indent(ECHO.read_text(), "    ") in page


@pytest.mark.slow
def test_a_broken_engine_of_another_package_harms_nobody_else(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "broken_engine.py").write_text("import a_module_that_does_not_exist")
    path = package(tmp_path / "site", "broken-package", broken="broken_engine:Engine", lost="no_module:Engine")
    recorded = write_recorded(tmp_path / "recorded.jsonl", {arithmetic_problems()[0].id: ["\\boxed{1}"]})
    run = ("run", "o/m", "-t", "arithmetic", "--limit", 1, "-n", 1, "-o", tmp_path / "run")
    evalkit(*run, "--engine", "replay", "--recorded", recorded, PYTHONPATH=path)
    listed = evalkit("engines", PYTHONPATH=path)
    assert "broken          cannot be used" in listed.stdout
    assert "replay          installed" in listed.stdout
    error = told(evalkit(*run, "--engine", "broken", code=2, PYTHONPATH=path))
    assert "The engine broken of broken-package cannot be imported: ModuleNotFoundError" in error
    hint = evalkit(*run, "--engine", "replay", "-E", "words=3", code=2, PYTHONPATH=path)
    assert "has no option 'words'" in told(hint)


def test_two_packages_that_claim_a_name_are_told(tmp_path: Path) -> None:
    path = package(tmp_path, "other-package", replay="x:Engine")
    error = told(evalkit("engines", "show", "replay", code=2, PYTHONPATH=path))
    assert error == "Two packages register the engine replay: evalkit and other-package."


@pytest.mark.parametrize("name", OWN_OPTIONS)
def test_our_engines_describe_their_options(name: str) -> None:
    engine = engine_class(name)
    assert engine.options_class is OWN_OPTIONS[name]
    fields = option_fields(engine.options_class)
    assert all(field.help.endswith(".") for field in fields.values())
    shown = evalkit("engines", "show", name).stdout
    flags = evalkit("run", "--help").stdout
    for field in fields:
        assert f"-E {field}=" in shown
        assert f"--{field.replace('_', '-')}" in flags


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"dtpye": "float32"}, r"The transformers engine has no option 'dtpye'\. Did you mean dtype\?"),
        ({"tensor_parallel": 2}, "The transformers engine has no option 'tensor_parallel'."),
        ({"batch_size": 0}, "The option batch_size=0 of transformers is wrong: Input should be greater than 0."),
        ({"batch_size": "many"}, "The option batch_size='many' of transformers is wrong"),
        ({"trust_remote_code": "perhaps"}, "The option trust_remote_code='perhaps' of transformers is wrong"),
    ],
)
def test_options_are_checked(options: dict[str, Any], sentence: str, tiny_checkpoint: Path) -> None:
    with pytest.raises(EvalkitError, match=sentence):
        open_engine("transformers", str(tiny_checkpoint), options)


def test_options_are_converted_as_on_the_command_line(tiny_checkpoint: Path) -> None:
    given = read_assignments(["batch-size=8", "device=none", "trust_remote_code=true", "dtype=float32"])
    engine: Any = open_engine("transformers", str(tiny_checkpoint), given)
    assert (engine.options.batch_size, engine.options.device, engine.options.trust_remote_code) == (8, None, True)
    server: Any = open_engine("openai", "m", read_assignments(["base_url=http://a:1", "base_url=http://b:1"]))
    assert server.options.base_url == ("http://a:1", "http://b:1")
    with pytest.raises(EvalkitError, match="'batch_size' has no value"):
        read_assignments(["batch_size"])


def test_an_option_of_another_engine_is_pointed_to(tmp_path: Path) -> None:
    done = evalkit("run", "o/m", "-t", "arithmetic", "--engine", "replay", "--lora", "x", "-o", tmp_path, code=2)
    assert told(done) == "The replay engine has no option 'lora'."
    assert "hint: it is an option of --engine transformers or vllm." in done.stderr


def test_gpus_are_those_of_all_replicas(tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", fake_nvidia_smi(tmp_path, 8) + os.pathsep + os.environ["PATH"])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3,4")
    assert VLLMEngine(str(tiny_checkpoint), VLLMOptions(tensor_parallel=2)).gpus == 4
    assert VLLMEngine(str(tiny_checkpoint), VLLMOptions(data_parallel=1)).gpus == 1
    with pytest.raises(EvalkitError, match="3 replicas of 2 GPUs need more than the 5 GPUs"):
        VLLMEngine(str(tiny_checkpoint), VLLMOptions(tensor_parallel=2, data_parallel=3))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert VLLMEngine(str(tiny_checkpoint), VLLMOptions()).gpus == 0


@pytest.mark.slow
def test_gpu_hours_are_told_for_any_engine_that_has_gpus(tmp_path: Path) -> None:
    file = tmp_path / "two_gpus.py"
    file.write_text(ECHO.read_text() + "    gpus = 2\n")
    evalkit(
        *("run", "m", "-t", "arithmetic", "--limit", 2, "-n", 1, "--engine", "echo", "--engine-file", file),
        *("-o", tmp_path / "run"),
    )
    (line,) = records(tmp_path / "run" / "throughput.jsonl")
    assert line["gpu_hours"] > 0


def test_recorded_completions_keep_the_contract(tmp_path: Path) -> None:
    recorded = tmp_path / "recorded.jsonl"
    lines = [
        {"problem_id": r.problem_id, "sample_index": r.sample_index, "text": f"{r.problem_id} {r.sample_index}"}
        for r in REQUESTS
    ]
    lines.append({"problem_id": "lazy-0", "text": "0"})
    recorded.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = evalkit("engines", "check", "replay", "-E", f"recorded={recorded}")
    assert "BROKEN" not in done.stdout


Change = Callable[[Iterator[Completion]], Iterator[Completion]]


def twice(completions: Iterator[Completion]) -> Iterator[Completion]:
    for completion in completions:
        yield completion
        yield completion


def but_one(completions: Iterator[Completion]) -> Iterator[Completion]:
    return (c for c in completions if c.problem_id != GREEDY[1].problem_id)


def longer(completions: Iterator[Completion]) -> Iterator[Completion]:
    for c in completions:
        limited = c.problem_id == LIMITED[1].problem_id
        yield replace(c, completion_tokens=99) if limited else c


def called_stop(completions: Iterator[Completion]) -> Iterator[Completion]:
    return (replace(c, finish_reason="stop") for c in completions)


def unexplained(completions: Iterator[Completion]) -> Iterator[Completion]:
    for c in completions:
        yield replace(c, finish_reason="error") if c.problem_id == PREFIXED.problem_id else c


def negative(completions: Iterator[Completion]) -> Iterator[Completion]:
    return (replace(c, seconds=-1.0) for c in completions)


def all_alike(completions: Iterator[Completion]) -> Iterator[Completion]:
    return (replace(c, text="the same") for c in completions)


def eager(completions: Iterator[Completion]) -> Iterator[Completion]:
    return iter(list(completions))


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (twice, "every request is answered exactly once"),
        (but_one, "every request is answered exactly once"),
        (longer, "max_tokens is kept to the token"),
        (called_stop, 'a completion cut at max_tokens has finish_reason "length"'),
        (unexplained, "requests are served without error"),
        (unexplained, "an error, and nothing else, says what went wrong"),
        (negative, "counts and seconds are not negative"),
        (all_alike, "samples of one problem differ"),
        (eager, "requests are drawn when there is room for them"),
    ],
)
def test_the_suite_finds_engines_that_spoil_completions(echo: type[Any], change: Change, rule: str) -> None:
    class Spoilt(echo):  # type: ignore[misc]
        def generate(self, requests: Iterator[Request]) -> Iterator[Completion]:
            return change(super().generate(requests))

    assert rule in broken(Spoilt, echo)


@pytest.mark.parametrize(
    ("member", "value", "rule"),
    [
        ("identity", lambda self: {"id": id(self)}, "identity is JSON and the same each time"),
        ("identity", lambda self: {"path": Path()}, "identity is JSON and the same each time"),
        ("environment", lambda self: {"path": Path()}, "environment is JSON"),
        ("context_length", lambda self: "long", "context_length is a number of tokens or None"),
        ("context_length", lambda self: 4096, "a prompt longer than the context is an error completion"),
        ("gpus", None, "gpus is a count"),
        ("name", "", "it has a name"),
        ("options_class", dict, "its options are a frozen dataclass"),
        ("close", lambda self: 1 / 0, "close may be called twice"),
        ("generate", lambda self, requests: 1 / 0, "generating raises nothing"),
        ("reserve", lambda self, tokens: self.__dict__.update(model=tokens), "identity is the same after generating"),
    ],
)
def test_the_suite_finds_engines_that_break_a_member(echo: type[Any], member: str, value: Any, rule: str) -> None:
    assert rule in broken(type("Broken", (echo,), {member: value}), echo)


def test_the_suite_finds_samples_that_depend_on_what_was_before(echo: type[Any]) -> None:
    class Careless(echo):  # type: ignore[misc]
        made = 0

        def generate(self, requests: Iterator[Request]) -> Iterator[Completion]:
            for completion in super().generate(requests):
                self.made += 1
                yield replace(completion, text=f"{completion.text} {self.made}")

    found = broken(Careless, echo)
    assert "a sample is the same again, in another order and batch" in found
    assert "greedy completions are the same again, in another order" in found


def broken(engine: type[Any], echo: type[Any]) -> list[str]:
    """The rules that an engine breaks, given that the one it is made from breaks none."""

    def make(made: type[Any]) -> Callable[[], Engine]:
        return lambda: made("model", echo.options_class())

    assert [check for check in check_engine(make(echo)) if check.passed is False] == []
    return [check.rule for check in check_engine(make(engine)) if check.passed is False]


FAULTY = {
    "raises": (
        "        raise ValueError('no voice\\nmore')",
        "The engine e failed while generating: ValueError: no voice (",
    ),
    "text": ("        yield 'text'", "The engine e gave a value of type str, not a Completion."),
    "twice": (
        "        for r in requests:\n            yield self.answer(r)\n            yield self.answer(r)",
        "a second time.",
    ),
    "nothing": ("        return None", "generate() of the engine e returned None, not an iterator of completions."),
    "leaves": ("        raise SystemExit(3)", "The engine e failed while generating: SystemExit: 3 (e.py, line "),
    "skips": (
        "        for i, r in enumerate(requests):\n            if i != 1:\n                yield self.answer(r)",
        "The engine e ended and left 1 requests unanswered, such as sample 0 of problem",
    ),
    "wrong": (
        "        for r in requests:\n            yield replace(self.answer(r), text=None)",
        "The engine e gave a Completion whose text is wrong",
    ),
}
FAULTY_ENGINE = """
from dataclasses import dataclass, replace
from evalkit import Completion
from evalkit.engines import Engine, option

@dataclass(frozen=True, slots=True)
class Options:
    words: int = option(3, "Words.")
    batch: int = option(3, "Batch.", recorded=False)

class E(Engine):
    name = "e"
    options_class = Options

    def __init__(self, model, options):
        self.own = options

    def identity(self):
        return {"engine": "e"}

    def answer(self, r):
        return Completion(*r.key, "a " * self.own.words, "stop", None, self.own.words, 0.0)

    def generate(self, requests):
"""


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTY)
def test_a_faulty_engine_is_named(fault: str, tmp_path: Path) -> None:
    body, sentence = FAULTY[fault]
    file = tmp_path / "e.py"
    file.write_text(FAULTY_ENGINE + body + "\n")
    run = ("run", "m", "-t", "arithmetic", "--limit", 3, "-n", 1, "--engine-file", file, "-o", tmp_path / "run")
    found = evalkit(*run, code=1)
    assert sentence in told(found)
    assert "Traceback" not in found.stderr
    assert "engine: e of " in found.stderr
    file.write_text(FAULTY_ENGINE + "        yield from map(self.answer, requests)\n")
    evalkit(*run)
    assert len(records(tmp_path / "run" / "arithmetic" / "completions.jsonl")) == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    "member",
    [
        "identity(self)",
        "environment(self)",
        "render(self, request)",
        "opening(self, request)",
        "context_length(self)",
        "reserve(self, tokens)",
        "files(self)",
    ],
)
def test_an_engine_that_fails_beside_generating_is_named(member: str, tmp_path: Path) -> None:
    file = tmp_path / "e.py"
    answering = "        yield from map(self.answer, requests)\n"
    file.write_text(FAULTY_ENGINE + f"{answering}\n    def {member}:\n        raise OSError('gone')\n")
    run = ("run", "m", "-t", "arithmetic", "--limit", 2, "-n", 1, "--engine-file", file, "-o", tmp_path / "run")
    sentence = told(evalkit(*run, code=2))
    assert f"The engine e failed in {member.partition('(')[0]}(): OSError: gone (e.py, line " in sentence


def test_the_engine_of_a_file_need_not_be_named(tmp_path: Path) -> None:
    assert evalkit("engines", "show", "--engine-file", ECHO).stdout.startswith("echo: ")
    file = tmp_path / "e.py"
    file.write_text(FAULTY_ENGINE + "        yield 'text'\n")
    assert "BROKEN  generating raises nothing" in evalkit("engines", "check", "--engine-file", file, code=1).stdout
    assert told(evalkit("engines", "show", code=2)) == "Name an engine, or give a file with --engine-file."
    file.write_text(FAULTY_ENGINE + "        yield 'text'\n\nclass F(E):\n    name = 'f'\n")
    assert "defines 2 engines" in told(evalkit("engines", "check", "--engine-file", file, code=2))


@pytest.mark.slow
def test_options_that_the_identity_does_not_name_are_compared(tmp_path: Path) -> None:
    file = tmp_path / "e.py"
    file.write_text(FAULTY_ENGINE + "        yield from map(self.answer, requests)\n")
    run = ("run", "m", "-t", "arithmetic", "--limit", 2, "-n", 1, "--engine-file", file, "-o", tmp_path / "run")
    evalkit(*run)
    assert "options.words was None and is now 2" in told(evalkit(*run, "-E", "words=2", code=2))
    evalkit(*run, "-E", "batch=2")
    described = tmp_path / "run" / "run.json"
    old = json.loads(described.read_text())
    assert old["identity"].pop("options") == {}
    described.write_text(json.dumps(old))
    evalkit(*run, "-E", "words=2")
    rule = "identity changes with each option that it names, unless that is declared with recorded=False"
    checked = evalkit("engines", "check", "e", "--engine-file", file, code=1).stdout
    assert f"–       {rule}: recorded by evalkit: words\n" in checked
    file.write_text(file.read_text().replace('{"engine": "e"}', '{"engine": "e", "words": 3}'))
    assert f"BROKEN  {rule}: words\n" in evalkit("engines", "check", "e", "--engine-file", file, code=1).stdout


@pytest.mark.slow
def test_a_completion_that_failed_without_a_word_is_no_wrong_answer(tmp_path: Path) -> None:
    file = tmp_path / "e.py"
    failing = '        for r in requests:\n            yield replace(self.answer(r), finish_reason="error")\n'
    file.write_text(FAULTY_ENGINE + failing)
    run = ("run", "m", "-t", "arithmetic", "--limit", 2, "-n", 1, "--engine-file", file, "-o", tmp_path / "run")
    assert "the engine e does not say what went wrong" in evalkit(*run, code=1).stderr
    (score, _) = records(tmp_path / "run" / "arithmetic" / "scores.jsonl")
    assert (score["status"], score["value"]) == ("error", 0)
    file.write_text(FAULTY_ENGINE + "        yield from map(self.answer, requests)\n")
    evalkit(*run)  # the failed ones are asked for again


def test_a_failed_completion_of_an_older_run_is_an_error() -> None:
    failed = Completion("t", "1", 0, "\\boxed{4}", "error", None, None, 0.0)
    score = score_completion(failed, lambda response: Score(1.0, "correct"))
    assert (score.status, score.value) == ("error", 0.0)


def test_an_engine_file_without_an_engine_says_what_its_class_lacks(tmp_path: Path) -> None:
    file = tmp_path / "e.py"
    file.write_text(FAULTY_ENGINE.replace('    name = "e"\n', "") + "        yield\n")
    error = told(evalkit("engines", "show", "--engine-file", file, code=2))
    assert error.endswith("e.py defines no engine. Its class E has no name.")
    file.write_text("raise SystemExit(3)")
    assert "fails when it is run: SystemExit: 3." in told(evalkit("engines", "show", "--engine-file", file, code=2))


@pytest.mark.slow
def test_an_engine_file_has_to_have_the_engine(tmp_path: Path) -> None:
    lost = evalkit("run", "m", "-t", "arithmetic", "--engine-file", tmp_path / "lost.py", code=2)
    assert told(lost) == f"There is no file {tmp_path / 'lost.py'}."
    other = evalkit("run", "m", "-t", "arithmetic", "--engine", "replay", "--engine-file", ECHO, code=2)
    assert "defines no engine 'replay'" in told(other)
