"""Other harnesses, installed in environments of their own: fresh logs of theirs, and their readers on our exports.

`make test-peers` installs them; EVALKIT_PEERS is the folder with one environment for each.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from peer_logs import PROBLEMS, write_inspect_json, write_lines

from evalkit.importers.reader import find_logs
from evalkit.results.exports import export_run
from evalkit.run.importing import import_run

pytestmark = pytest.mark.peers

MAKE_INSPECT = """
import sys
from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import includes
from inspect_ai.solver import generate
texts = ["<think>\\nI add\\n</think>\\n\\nIt is 42", "It is 41", "It is 42", "<think>cut"]
outputs = [ModelOutput.from_content("mockllm/model", text) for text in texts]
for output in outputs:
    output.usage = ModelUsage(input_tokens=5, output_tokens=7, total_tokens=12)
samples = [Sample(input="What is 12 + 30?", target="42", id="a/1"), Sample(input="What is 6 * 7?", target="42", id="b")]
task = Task(dataset=samples, solver=generate(), scorer=includes(), epochs=2, name="sums")
model = get_model("mockllm/model", custom_outputs=outputs)
options = {"max_connections": 1, "max_samples": 1, "display": "none"}
assert eval(task, model=model, log_dir=sys.argv[1], log_format=sys.argv[2], **options)[0].status == "success"
"""
OPEN_INSPECT = """
import json, sys
from inspect_ai.log import read_eval_log
log = read_eval_log(sys.argv[1])
told = [[s.id, s.epoch, s.output.completion, s.output.choices[0].stop_reason, s.scores["evalkit"].value]
        for s in log.samples]
print(json.dumps([log.status, log.eval.model, log.results.scores[0].metrics["accuracy"].value, told]))
"""
LM_EVAL_TASK = """
task: sums
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{problem}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs: {{until: ["END"], max_gen_toks: 32}}
repeats: 2
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
"""


def peer(name: str, *arguments: str | Path, cwd: Path) -> str:
    """Run a peer's Python on `arguments` and return what it prints."""
    folder = os.environ.get("EVALKIT_PEERS")
    python = Path(folder or "", name, "bin", "python")
    if folder is None or not python.exists():
        pytest.fail(f"{name} is not installed: run make test-peers")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(cwd / "hf")}
    done = subprocess.run(
        [python, *arguments], capture_output=True, text=True, cwd=cwd, timeout=600, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("form", ["eval", "json"])
def test_fresh_logs_of_inspect_are_imported(form: str, tmp_path: Path) -> None:
    peer("inspect", "-c", MAKE_INSPECT, tmp_path / "logs", form, cwd=tmp_path)
    (log,) = find_logs(str(tmp_path / "logs")).logs
    samples = {(s.problem_id, s.sample_index): s for s in log.samples()}
    assert {key: s.verdicts[0].value for key, s in samples.items()} == {
        ("a/1", 0): 1.0,
        ("b", 0): 0.0,
        ("a/1", 1): 1.0,
        ("b", 1): 0.0,
    }
    assert samples["a/1", 0].text.endswith("It is 42")
    assert samples["b", 1].completion_tokens == 7


def test_inspects_own_reader_opens_our_export(tmp_path: Path) -> None:
    run = import_run(write_inspect_json(tmp_path / "log"), tmp_path / "run", workers=1)
    (path,) = export_run(run.path, "inspect", tmp_path / "out")
    status, model, accuracy, samples = json.loads(peer("inspect", "-c", OPEN_INSPECT, path, cwd=tmp_path))
    assert (status, model, accuracy) == ("success", "lab/student", 0.75)
    assert [(s[0], s[1], s[3]) for s in samples] == [
        ("test/p-1", 1, "stop"),
        ("test/p-2", 1, "stop"),
        ("test/p-1", 2, "max_tokens"),
        ("test/p-2", 2, "max_tokens"),
    ]


def test_fresh_logs_of_lm_eval_are_imported(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"id": i, "problem": problem, "answer": gold} for i, problem, gold in PROBLEMS]
    data = write_lines(tmp_path / "sums.jsonl", rows)
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "sums.yaml").write_text(LM_EVAL_TASK.format(data=data))
    arguments = ("--model", "dummy", "--tasks", "sums", "--include_path", "tasks", "--log_samples")
    peer("lm_eval", "-m", "lm_eval", *arguments, "--output_path", "out", cwd=tmp_path)
    (log,) = find_logs(str(tmp_path / "out")).logs
    samples = {(s.problem_id, s.sample_index): s for s in log.samples()}
    assert sorted(samples) == [(i, k) for i in ("p-1", "p-2") for k in range(2)]
    assert {s.gold for s in samples.values()} == {"42", "63"}
    assert all(s.verdicts[0].value == 0.0 for (_, k), s in samples.items() if k == 0)


MAKE_EVALSCOPE = """
import sys
from evalscope import TaskConfig, run_task
data = {"general_mcq": {"local_path": sys.argv[1], "subset_list": ["default"]}}
options = {"datasets": ["general_mcq"], "dataset_args": data, "repeats": 2, "eval_batch_size": 1}
run_task(TaskConfig(model="mock", eval_type="mock_llm", work_dir=sys.argv[2], **options))
"""


def test_fresh_logs_of_evalscope_are_imported(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"id": problem_id, "question": problem, "A": "84", "B": gold, "answer": "B"}
        for problem_id, problem, gold in PROBLEMS
    ]
    write_lines(tmp_path / "data" / "default_val.jsonl", rows)
    peer("evalscope", "-c", MAKE_EVALSCOPE, tmp_path / "data", tmp_path / "out", cwd=tmp_path)
    (log,) = find_logs(str(tmp_path / "out")).logs
    samples = {(s.problem_id, s.sample_index): s for s in log.samples()}
    assert sorted(samples) == [(i, k) for i in ("p-1", "p-2") for k in range(2)]
    assert {s.gold for s in samples.values()} == {"B"}
    assert {s.finish_reason for s in samples.values()} == {"stop"}
    assert all(v.scope == "sample" for s in samples.values() for v in s.verdicts)
    assert log.facts().version


MAKE_LIGHTEVAL = """
import sys
from lighteval.logging.evaluation_tracker import EvaluationTracker
from lighteval.models.dummy.dummy_model import DummyModelConfig
from lighteval.models.model_output import ModelResponse
from lighteval.tasks.requests import Doc, SamplingMethod
tracker = EvaluationTracker(output_dir=sys.argv[1], save_details=True)
tracker.general_config_logger.log_model_info(model_config=DummyModelConfig(model_name="lab/student"))
for i, (problem, gold) in enumerate([("What is 12 + 30?", "42"), ("What is 7 * 9?", "63")]):
    made = {"id": str(i), "task_name": "sums|0", "sampling_methods": [SamplingMethod.GENERATIVE], "num_samples": 2}
    doc = Doc(query=problem, choices=[gold], gold_index=0, **made)
    response = ModelResponse(text=[f"It is {gold}", "It is 1"], input=problem)
    tracker.details_logger.log("sums|0", doc, response, {"avg@n:n=2": 0.5})
tracker.save()
"""


def test_fresh_logs_of_lightevals_own_tracker_are_imported(tmp_path: Path) -> None:
    peer("lighteval", "-c", MAKE_LIGHTEVAL, tmp_path / "out", cwd=tmp_path)
    (log,) = find_logs(str(tmp_path / "out")).logs
    assert (log.task, log.facts().model) == ("sums", "lab/student")
    samples = {(s.problem_id, s.sample_index): s for s in log.samples()}
    assert {key: (s.text, s.gold) for key, s in samples.items()} == {
        ("0", 0): ("It is 42", "42"),
        ("0", 1): ("It is 1", "42"),
        ("1", 0): ("It is 63", "63"),
        ("1", 1): ("It is 1", "63"),
    }
    assert {v.scope for s in samples.values() for v in s.verdicts} == {"problem"}
