"""What a user may get wrong: one sentence, one hint, no traceback, exit code 2."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from helpers import EVALKIT, evalkit, told, write_recorded
from made_runs import completion, made, score
from synthetic import aime_rows, write_all, write_jsonl

CHECKPOINT = "examples/tiny_distill/student-distilled"
REPLAY = ("--backend", "replay", "--recorded")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_all(tmp_path / "data")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", CHECKPOINT, "-t", "amie24"], "There is no task 'amie24'. Did you mean aime24?"),
        (["run", CHECKPOINT, "-t", ","], "No task was named."),
        (
            ["run", "m", "-t", "arithmetic", "--engine", "openai", "--base-url", "ftp://x/y"],
            "ftp://x/y is no http or https URL.",
        ),
        (["run", "./nowhere", "-t", "arithmetic"], "The checkpoint ./nowhere does not exist."),
        (["run", "nowhere", "-t", "arithmetic"], "The checkpoint nowhere does not exist."),
        (["run", "tests", "-t", "arithmetic"], "The folder tests holds no config.json, so it is no checkpoint."),
        (["run", CHECKPOINT, "-t", "arithmetic", "-n", "0"], "n is 0, it has to be 1 or more."),
        (
            ["run", CHECKPOINT, "-t", "arithmetic", "-n", "99999999999"],
            "n is 99,999,999,999, it can be 100,000 at most.",
        ),
        (
            ["run", CHECKPOINT, "-t", "arithmetic", "--precision", "1", "--max-n", "9999999"],
            "max_n is 9,999,999, it can be 100,000 at most.",
        ),
        (
            ["run", CHECKPOINT, "-t", "arithmetic", "--max-tokens", "99999999999"],
            "max_tokens is 99,999,999,999, it can be 100,000,000 at most.",
        ),
        (["run", CHECKPOINT, "-t", "arithmetic", "--limit", "0"], "limit is 0, it has to be 1 or more."),
        (
            ["run", CHECKPOINT, "-t", "arithmetic", "--temperature", "-1"],
            "temperature is -1.0, it has to be 0 or more.",
        ),
        (
            ["run", CHECKPOINT, "-t", "arithmetic", "--temperature", "nan"],
            "temperature is nan, it has to be 0 or more.",
        ),
        (["run", CHECKPOINT, "-t", "arithmetic", "--top-p", "0"], "top_p is 0.0, it has to be above 0 and at most 1."),
        (["run", CHECKPOINT, "-t", "arithmetic", "--max-tokens", "0"], "max_tokens is 0, it has to be 1 or more."),
        (["run", CHECKPOINT, "-t", "arithmetic", "--backend", "vlm"], "There is no engine 'vlm'. Did you mean vllm?"),
        (["run", CHECKPOINT, "-t", "arithmetic", "--backend", "replay"], "The replay engine has nothing to replay."),
        (["run", CHECKPOINT, "-t", "arithmetic", "--protocol", "r2"], "There is no protocol 'r2'."),
        (["run", CHECKPOINT, "-t", "arithmetic", "--data", "/nowhere"], "The data folder /nowhere does not exist."),
        (["run", CHECKPOINT, "-t", "arithmetic", "-T", "window=1"], "No task of this run has the option 'window=1'."),
        (["run", CHECKPOINT, "-t", "arithmetic", "-T", "window"], "The task option 'window' has no value."),
        (
            ["run", CHECKPOINT, "-t", "arithmetic", "--device", "tpu9"],
            "The device tpu9 is not one that torch can use here.",
        ),
        (
            ["run", CHECKPOINT, "-t", "arithmetic", "--device", "cuda:9"],
            "The device cuda:9 is not one that torch can use",
        ),
        (["run", CHECKPOINT, "-t", "arithmetic", "--dtype", "float3"], "The dtype float3 is not one to compute in."),
        (
            ["run", CHECKPOINT, "-t", "arithmetic", "--backend", "transformers", "--tensor-parallel", "2"],
            "The transformers engine has no option 'tensor_parallel'.",
        ),
        (
            ["run", CHECKPOINT, "-t", "arithmetic", "--backend", "transformers", "--base-url", "http://localhost:1"],
            "The transformers engine has no option 'base_url'.",
        ),
        (["run", CHECKPOINT], "No task was named."),
        (
            ["run", CHECKPOINT, "-t", "arithmetic", "-n", "many"],
            "Invalid value for '-n': 'many' is not a valid integer.",
        ),
        (["rnu"], "There is no command 'rnu'. Did you mean run?"),
        (["score", "/nowhere"], "The folder /nowhere does not exist."),
        (["score", "docs"], "There is no run below docs."),
        (["tasks", "show", "aime42"], "There is no task 'aime42'. Did you mean aime26?"),
        (["tasks", "new", "my-task"], "'my-task' cannot be a task's name."),
        (["tasks", "check", "x", "--task-file", "nowhere.py"], "There is no task file nowhere.py."),
    ],
)
def test_one_sentence_and_a_hint(arguments: list[str], sentence: str) -> None:
    assert told(evalkit(*arguments, code=2)).startswith(sentence)


@pytest.mark.slow
def test_a_pipe_that_is_closed_is_not_an_incomplete_run() -> None:
    """Exit code 1 says that a run is not complete; behind `| head` it is what a shell gives for other commands."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([EVALKIT, "protocols"], stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


_OTHERS_CLOSED = ("2>&-", "<&-", "<&- >&- 2>&-")


@pytest.mark.parametrize("closed", [">&-", *(pytest.param(c, marks=pytest.mark.slow) for c in _OTHERS_CLOSED)])
@pytest.mark.parametrize("arguments", [("leaderboard", "{run}"), ("verify", "{run}"), ("compare", "{run}", "{run}")])
def test_a_stream_that_is_closed_is_nothing(arguments: tuple[str, ...], closed: str, tmp_path: Path) -> None:
    made(tmp_path, [completion(("a", 0)), completion(("a", 1))], [score(("a", 0)), score(("a", 1))])
    command = " ".join(shlex.quote(part.format(run=tmp_path)) for part in (str(EVALKIT), *arguments))
    usual = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    done = subprocess.run(f"{command} {closed}", shell=True, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert done.returncode == usual.returncode
    assert done.stdout == ("" if " >&-" in f" {closed}" else usual.stdout)
    assert done.stderr == ("" if "2>&-" in closed else usual.stderr)


def test_missing_data(tmp_path: Path) -> None:
    done = evalkit("run", CHECKPOINT, "-t", "math500", "--data", tmp_path, code=2)
    assert told(done).endswith("has no MATH-500/test.jsonl, which HuggingFaceH4/MATH-500 needs.")


def test_29_rows_of_aime(data: Path) -> None:
    write_jsonl(data / "aime_2024" / "train.jsonl", aime_rows(29))
    error = told(evalkit("run", CHECKPOINT, "-t", "aime24", "--data", data, code=2))
    assert error.startswith("HuggingFaceH4/aime_2024 has 29 rows")
    assert error.endswith("but the benchmark has 30.")


def test_wrong_schema(data: Path) -> None:
    write_jsonl(data / "aime_2024" / "train.jsonl", [{"question": "?", "gold": "1"}] * 30)
    error = told(evalkit("run", CHECKPOINT, "-t", "aime24", "--data", data, code=2))
    assert error.startswith("Row 1 of")
    assert error.endswith("has no id, problem, answer.")


@pytest.mark.slow
def test_a_set_of_ones_own_is_accepted_when_asked_for(data: Path, tmp_path: Path) -> None:
    recorded = write_recorded(tmp_path / "r.jsonl", {str(i): [f"\\boxed{{{2 * i}}}"] for i in range(30)})
    done = evalkit(
        *("run", "org/model", "-t", "aime24", "-n", 1, "--data", data, "--allow-changed-data", *REPLAY, recorded),
        *("-o", tmp_path / "run"),
    )
    assert "| AIME 2024 | 30 | 1 | 100.0 +0.0 −10.5 / +0.0 −11.1 |" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("content", ["not json\n", '{"text": "no key"}\n', '{"problem_id": "1"}\n', "[]\n"])
def test_recorded_completions_of_no_use(data: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "r.jsonl").write_text(content)
    done = evalkit("run", "org/model", "-t", "arithmetic", *REPLAY, tmp_path / "r.jsonl", code=2)
    assert told(done).startswith(f"Line 1 of {tmp_path}/r.jsonl is no recorded completion")


@pytest.mark.slow
def test_a_results_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    recorded = write_recorded(tmp_path / "r.jsonl", {"add-12-62": ["y"]})
    output = ("-o", tmp_path / "file" / "run")
    done = evalkit("run", "org/model", "-t", "arithmetic", *REPLAY, recorded, *output, code=2)
    assert "cannot be written: Not a directory" in told(done)


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs takes root")
def test_a_full_disk_and_then_room(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    recorded = tmp_path / "r.jsonl"
    arguments = [
        "run",
        "org/model",
        "-t",
        "aime24",
        "-n",
        4,
        "--allow-changed-data",
        "--data",
        write_all(tmp_path / "d"),
    ]
    write_recorded(recorded, {str(i): ["x" * 3000 + f"\\boxed{{{2 * i}}}"] * 4 for i in range(30)})
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=192k", "tmpfs", small], capture_output=True)
    if mounted.returncode:
        pytest.skip("this machine lets nobody mount a tmpfs")
    try:
        done = evalkit(*arguments, *REPLAY, recorded, "-o", small / "run", code=1)
        assert "cannot be written: No space left on device" in told(done)
        assert "resume" in done.stderr
        subprocess.run(["mount", "-o", "remount,size=8m", small], check=True)
        assert "| AIME 2024 | 30 | 4 | 100.0 " in evalkit(*arguments, *REPLAY, recorded, "-o", small / "run").stdout
    finally:
        subprocess.run(["umount", small], check=True)


@pytest.mark.slow
def test_a_run_file_that_is_damaged(tmp_path: Path) -> None:
    recorded = write_recorded(tmp_path / "r.jsonl", {"add-12-62": ["y"]})
    (tmp_path / "run").mkdir()
    for content in ("{", '{"schema": 99, "tasks": {}}', "[]"):
        (tmp_path / "run" / "run.json").write_text(content)
        done = evalkit("run", "o/m", "-t", "arithmetic", *REPLAY, recorded, "-o", tmp_path / "run", code=2)
        assert "run.json" in told(done)
        assert "run.json" in told(evalkit("score", tmp_path / "run", code=2))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "backend", "sentence", "install"),
    [
        ("vllm", ["--backend", "vllm"], "needs the package vllm, which is not installed", '"evalkit[vllm]"'),
        ("torch", [], "needs the package torch, which is not installed", '"evalkit[transformers]"'),
        (
            "transformers",
            ["--backend", "openai", "--api", "completions", "--base-url", "http://127.0.0.1:9"],
            "needs the package transformers, which is not installed",
            "transformers",
        ),
    ],
)
def test_an_engine_that_is_not_installed(
    tmp_path: Path, package: str, backend: list[str], sentence: str, install: str
) -> None:
    """A `sitecustomize` hides the package from the command."""
    hook = f"""
from importlib.machinery import PathFinder
original = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name.split(".")[0] == {package!r} else original(name, *rest)
"""
    (tmp_path / "sitecustomize.py").write_text(hook)
    done = evalkit(
        "run", CHECKPOINT, "-t", "arithmetic", *backend, "-o", tmp_path / "run", code=2, PYTHONPATH=str(tmp_path)
    )
    assert sentence in told(done)
    assert f"pip install {install}" in done.stderr
