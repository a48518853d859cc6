"""Suites and watching: many runs from one file, and checkpoints as they appear."""

import csv
import json
import os
import random
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from helpers import EVALKIT, REPOSITORY, evalkit, told

from evalkit import EvalkitError
from evalkit.benchmark.registry import installed_tasks
from evalkit.cli.main import cli
from evalkit.engines.gpus import GPU
from evalkit.run import suites
from evalkit.run.suites import SuiteRun, plan_suite, read_suite, suite_names
from evalkit.run.watching import Watch, checkpoints_in, step_of, why_incomplete

MODELS = ("teacher", "student-soft", "student-distilled")
TASK = """
from evalkit import Problem, Score, Task
from evalkit.grading import grade_math
class Doubles(Task):
    name, version, title, n = "doubles", 1, "Doubles", 2
    def load(self, source):
        return [Problem(str(i), f"What is {i} + {i}?", str(2 * i)) for i in range(10, 30)]
    def score(self, problem, response):
        return grade_math(response, problem.target)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in MODELS:
        shutil.copytree(REPOSITORY / "examples/tiny_distill" / name, tmp_path / "models" / name)
    (tmp_path / "doubles.py").write_text(TASK)
    models = "".join(f'[[models]]\nmodel = "models/{name}"\ngroup = "students"\n' for name in MODELS)
    (tmp_path / "demo.toml").write_text(
        'name = "demo"\ntask_file = "doubles.py"\ntasks = [{task = "arithmetic", n = 3}, {task = "doubles"}]\n'
        f"[defaults]\nmax_tokens = 64\nlimit = 30\n{models}"
    )
    return tmp_path


def table_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("|")]


def test_the_papers_table_is_a_suite() -> None:
    assert "r1-distill" in suite_names()
    suite, folder = read_suite("r1-distill")
    jobs = plan_suite(suite, folder)
    assert len(jobs) == 6
    assert jobs[0].protocol.n == {"aime24": 64, "math500": 4, "gpqa_diamond": 8, "livecodebench": 16, "codeforces": 8}
    assert set(jobs[0].protocol.n) <= set(installed_tasks())
    assert "DeepSeek-R1-Distill-Llama-70B" in evalkit("suite", "r1-distill", "--dry-run").stdout


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("name = 1", "invalid at name"),
        ('name = "a"\nmodels = []\ntasks = [{task = "arithmetic"}]', "invalid at models"),
        ('name = "a"\nmodels = [{model = "m", gpu = 1}]\ntasks = [{task = "x"}]', "invalid at models.0.gpu"),
        ('name = "../a"\nmodels = [{model = "m"}]\ntasks = [{task = "x"}]', "invalid at name"),
        ("name = ", "is not TOML"),
    ],
)
def test_an_invalid_suite_is_told(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "s.toml").write_text(content)
    with pytest.raises(EvalkitError, match=said):
        read_suite(str(tmp_path / "s.toml"))
    with pytest.raises(EvalkitError, match="Did you mean r1-distill"):
        read_suite("r1-destill")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('tasks = [{task = "arithmatic"}]\nmodels = [{model = "m"}]', "There is no task 'arithmatic'"),
        ('tasks = [{task = "arithmetic", options = {x = 1}}]\nmodels = [{model = "m"}]', "has no option 'x'"),
        ('tasks = [{task = "arithmetic"}]\nmodels = [{model = "m", temperature = nan}]', "models.0.temperature"),
        ('tasks = [{task = "arithmetic"}]\nmodels = [{model = "m", temperature = -1}]', "temperature"),
        ('tasks = [{task = "arithmetic"}]\nmodels = [{model = "m", top_p = 2}]', "top_p"),
        ('tasks = [{task = "arithmetic"}]\nmodels = [{model = "m", max_tokens = 0}]', "max_tokens"),
        ('tasks = [{task = "arithmetic"}]\nmodels = [{model = "m", engine = "vlm"}]', "There is no engine 'vlm'"),
        (
            'tasks = [{task = "arithmetic"}]\nmodels = [{model = "m", engine = "openai", options = {bas_url = "u"}}]',
            "has no option 'bas_url'",
        ),
        ('published = ["nope"]\ntasks = [{task = "arithmetic"}]\nmodels = [{model = "m"}]', "nope"),
        ('protocols = ["r1"]\ntasks = [{task = "arithmetic"}]\nmodels = [{model = "m"}]', "There is no protocol 'r1'"),
    ],
)
def test_what_a_run_would_refuse_is_told_before_any_of_them(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "s.toml").write_text(f'name = "s"\n{content}')
    done = CliRunner().invoke(cli, ["suite", str(tmp_path / "s.toml"), "--dry-run"])
    assert isinstance(done.exception, EvalkitError)
    assert said in done.exception.message


@pytest.mark.slow
def test_what_a_suites_output_cannot_be_is_told_before_any_run(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text('name = "s"\ntasks = [{task = "arithmetic"}]\nmodels = [{model = "m"}]')
    assert "ends with .pdf" in told(evalkit("suite", tmp_path / "s.toml", "-o", tmp_path / "page.pdf", code=2))
    assert "does not say which format" in told(evalkit("leaderboard", "-o", tmp_path / "table.xlsx", code=2))
    assert [path.name for path in tmp_path.iterdir()] == ["s.toml"]


def test_n_of_several_tasks_under_one_name(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text('name = "s"\ntasks = [{task = "forgetting", n = 3}]\nmodels = [{model = "m"}]')
    (job,) = plan_suite(*read_suite(str(tmp_path / "s.toml")))
    assert [job.protocol.n[name] for name in ("gsm8k", "mmlu_pro", "ifeval")] == [3, 3, 3]
    (tmp_path / "s.toml").write_text('name = "s"\ntasks = [{task = "AIME24", n = 3}]\nmodels = [{model = "m"}]')
    (job,) = plan_suite(*read_suite(str(tmp_path / "s.toml")))
    assert job.protocol.n["aime24"] == 3


def test_models_and_protocols_with_their_overrides(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(
        'name = "s"\nprotocols = ["deepseek-r1", "qwq"]\ntasks = [{task = "arithmetic", n = 5}]\n'
        '[defaults]\ntemperature = 1.0\n[[models]]\nmodel = "org/a"\n'
        '[[models]]\nmodel = "org/b"\ntemperature = 0.0\nlimit = 7\nengine = "openai"\n'
        'options = {base_url = ["u", "v"]}\n'
    )
    jobs = plan_suite(*read_suite(str(tmp_path / "s.toml")))
    assert [job.name for job in jobs] == [
        "org/a, deepseek-r1+temperature=1",
        "org/b, deepseek-r1+temperature=0",
        "org/a, qwq+temperature=1",
        "org/b, qwq+temperature=0",
    ]
    assert jobs[2].protocol.n["arithmetic"] == 5
    assert jobs[1].arguments[2:] == ("--limit", "7", "--engine", "openai", "-E", "base_url=u", "-E", "base_url=v")


def test_small_models_run_beside_large_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four GPUs: the model that needs two gets them, small ones get the others, and the last one gets all."""
    monkeypatch.setattr(suites, "visible_gpus", lambda: [GPU(str(i), memory=80 << 30) for i in range(4)])
    (tmp_path / "s.toml").write_text(
        'name = "s"\ntasks = [{task = "arithmetic"}]\nmodels = [{model = "org/small", gpus = 1}, '
        '{model = "org/large", gpus = 2}, {model = "org/other", gpus = 1}, {model = "org/whole", gpus = 4}]'
    )
    run = SuiteRun(read_suite(str(tmp_path / "s.toml"))[0], plan_suite(*read_suite(str(tmp_path / "s.toml"))), tmp_path)
    started: list[tuple[str, list[str]]] = []

    class Running:
        code: int | None = None

        def poll(self) -> int | None:
            return self.code

    def start(self: SuiteRun, state: suites.JobState) -> None:
        state.process = Running()  # type: ignore[assignment]
        started.append((state.job.model, [gpu.name for gpu in state.devices]))

    monkeypatch.setattr(SuiteRun, "_start", start)
    list(run._started())
    assert started == [("org/whole", ["0", "1", "2", "3"])]
    run.states[3].process.code = 0  # type: ignore[union-attr]
    list(run._ended())
    list(run._started())
    assert {name for name, _ in started} == {"org/whole", "org/large", "org/small", "org/other"}
    devices = [gpu for _, gpus in started[1:] for gpu in gpus]
    assert sorted(devices) == ["0", "1", "2", "3"]


@pytest.mark.slow
def test_a_suite_that_is_killed_twice_ends_with_the_same_table(folder: Path) -> None:
    whole = evalkit("suite", folder / "demo.toml", "--results", folder / "whole")
    assert len(table_of(whole.stdout)) == 2 + len(MODELS)
    assert (folder / "whole/suites/demo.html").read_text().count("<tr>") >= len(MODELS)
    draw = random.Random(3)
    command = [str(EVALKIT), "suite", str(folder / "demo.toml"), "--results", str(folder / "killed")]
    for _ in range(2):
        process = subprocess.Popen(
            command,
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        )
        deadline = time.monotonic() + 60
        while not list((folder / "killed").glob("*/*/*/completions.jsonl")) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(draw.uniform(0, 1))
        process.kill()
        process.wait()
        time.sleep(2)  # its runs end with it
    again = evalkit("suite", folder / "demo.toml", "--results", folder / "killed")
    assert table_of(again.stdout) == table_of(whole.stdout)
    shutil.rmtree(folder / "models" / "teacher")
    broken = evalkit("suite", folder / "demo.toml", "--results", folder / "killed", code=1)
    assert re.search(r"1 of 3 runs could not finish: .*teacher.*: (?!hint|error)\S.*teacher", told(broken)), (
        broken.stderr
    )
    assert len(table_of(broken.stdout)) == 2 + len(MODELS) - 1, "the others are shown"


def test_a_run_ends_whose_suite_ended_while_it_started(folder: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    environment = {**os.environ, "EVALKIT_PARENT": str(gone.pid)}
    command = [str(EVALKIT), "run", str(folder / "models/teacher"), "-t", "arithmetic", "--results", str(folder / "r")]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=300)
    assert done.returncode == 1
    assert not (folder / "r").exists()


def test_half_written_checkpoints_are_known(folder: Path) -> None:
    model = folder / "models" / "teacher"
    assert why_incomplete(model, 0.0) is None
    (model / "config.json").touch()
    assert why_incomplete(model, 3600.0) == "it has just changed"
    weights = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(weights[:-100])
    assert why_incomplete(model, 0.0) == "model.safetensors is cut"
    (model / "model.safetensors").write_bytes(weights[:5])
    assert why_incomplete(model, 0.0) == "model.safetensors has no header"
    (model / "model.safetensors").write_bytes(weights)
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "model-2.safetensors"}}))
    assert why_incomplete(model, 0.0) == "model-2.safetensors is missing"
    (model / "model.safetensors.index.json").unlink()
    (model / "config.json").write_text("{")
    assert "JSONDecodeError" in str(why_incomplete(model, 0.0))
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").unlink()
    assert why_incomplete(model, 0.0) == "it has no weights"


def test_steps_and_the_order_of_checkpoints(tmp_path: Path) -> None:
    for name in ("checkpoint-1000", "checkpoint-200"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
    assert [path.name for path in checkpoints_in(tmp_path)] == ["checkpoint-200", "checkpoint-1000"]
    assert step_of(tmp_path / "checkpoint-200") == 200
    (tmp_path / "checkpoint-200" / "trainer_state.json").write_text('{"global_step": 201}')
    assert step_of(tmp_path / "checkpoint-200") == 201


@pytest.mark.slow
def test_watching_five_checkpoints_of_which_one_is_half_written(tmp_path: Path) -> None:
    source = REPOSITORY / "examples/tiny_distill/teacher"
    runs = tmp_path / "sft"
    runs.mkdir()
    options = ("-t", "arithmetic", "--limit", 4, "-n", 1, "--max-tokens", 48, "--every-new", "--settle", 0.5)
    common = ["watch", runs, *options, "--poll", 0.2, "--results", tmp_path / "results", "--until", tmp_path / "end"]
    process = subprocess.Popen(
        [str(EVALKIT), *map(str, common)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
    )
    for step in (100, 200, 300, 400, 500):
        shutil.copytree(source, tmp_path / f"{step}")
        weights = tmp_path / f"{step}" / "model.safetensors"
        content = bytearray(weights.read_bytes())
        content[-1] ^= step // 100  # another checkpoint
        weights.write_bytes(content[: 100_000 if step == 300 else None])
        (tmp_path / f"{step}").rename(runs / f"checkpoint-{step}")
    (tmp_path / "end").touch()
    _, told_ = process.communicate(timeout=300)
    assert process.returncode == 0, told_
    assert "checkpoint-300: not complete: model.safetensors is cut" in told_
    rows = list(csv.DictReader((tmp_path / "results/curves/sft.csv").read_text().splitlines()))
    assert [row["step"] for row in rows] == ["100", "200", "400", "500"]
    assert {row["metric"] for row in rows} == {"pass@1"}
    shutil.copy(source / "model.safetensors", runs / "checkpoint-300" / "model.safetensors")
    watch = Watch(runs, tmp_path / "results", [], settle=0.0, done={runs / f"checkpoint-{s}" for s in (100, 200)})
    assert [path.name for path in watch.waiting()] == ["checkpoint-300", "checkpoint-400", "checkpoint-500"]
    newest = Watch(runs, tmp_path / "results", [], every_new=False, settle=0.0)
    assert [path.name for path in newest.waiting()] == ["checkpoint-500"]


@pytest.mark.slow
def test_the_callback_evaluates_what_a_trainer_saves(tmp_path: Path) -> None:
    from datasets import Dataset
    from transformers import (
        AutoModelForCausalLM,
        AutoTokenizer,
        DataCollatorForLanguageModeling,
        Trainer,
        TrainingArguments,
    )

    from evalkit.run.trainer import trainer_callback

    checkpoint = REPOSITORY / "examples/tiny_distill/teacher"
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    texts = [tokenizer(f"What is {i} + {i}? It is {2 * i}.")["input_ids"] for i in range(10, 26)]
    options = ("--limit", "3", "-n", "1", "--max-tokens", "48", "--engine", "transformers", "--device", "cpu")
    arguments = TrainingArguments(
        output_dir=str(tmp_path / "out"), max_steps=2, save_steps=1, per_device_train_batch_size=4, report_to=[],
        use_cpu=True, learning_rate=1e-2, disable_tqdm=True,
    )  # fmt: skip
    trainer = Trainer(
        AutoModelForCausalLM.from_pretrained(checkpoint),
        arguments,
        DataCollatorForLanguageModeling(tokenizer, mlm=False),
        Dataset.from_dict({"input_ids": texts}),
        processing_class=tokenizer,
        callbacks=[trainer_callback("arithmetic", *options, results=tmp_path / "results", settle=0.3)],
    )
    assert trainer.train().global_step == 2
    rows = list(csv.DictReader((tmp_path / "results/curves/out.csv").read_text().splitlines()))
    assert [(row["step"], row["task"], row["n"]) for row in rows] == [
        ("1", "arithmetic", "1"),
        ("2", "arithmetic", "1"),
    ]
    assert len({row["run"] for row in rows}) == 2
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"checkpoint-1", "checkpoint-2"}


@pytest.mark.parametrize("seconds", ["nan", "-1", "inf", "1e300", "0"])
def test_watch_refuses_what_is_no_time(seconds: str, tmp_path: Path) -> None:
    watch = Watch(tmp_path, tmp_path / "results", [])
    with pytest.raises(EvalkitError, match=r"^poll is .*, it has to be from 0.01 to 604,800 seconds"):
        watch.follow(None, True, float(seconds), print)
    if seconds not in ("0", "1e300"):
        with pytest.raises(EvalkitError, match=r"^settle is "):
            Watch(tmp_path, tmp_path / "results", [], settle=float(seconds))
    told(evalkit("watch", tmp_path, "-t", "arithmetic", "--once", "--poll", seconds, code=2))
