"""Other harnesses, installed in environments of their own: fresh logs of theirs, and their readers on our exports.

`make test-peers` installs them; EVALKIT_PEERS is the folder with one environment for each. Each runs against a real
server on this machine, whose model is right when a question is asked first, and wrong when it is asked again; lighteval
fetches a pickle when it loads its tasks, so its own logger is fed by hand.
"""

import json
import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from peer_logs import PROBLEMS, write, write_inspect_json, write_lines
from quirk_server import THINKING, Asked, QuirkServer, Sent, answer_of, as_json, reply

from evalkit.importers.reader import find_logs
from evalkit.importers.record import ImportedSample
from evalkit.results.exports import export_run
from evalkit.results.peer import compare_with_peer
from evalkit.run.importing import ImportedRun, import_run
from evalkit.store.run import RunDirectory

pytestmark = pytest.mark.peers

RIGHT = {"p-1": "It is \\boxed{42}.", "p-2": "It is \\boxed{63}."}
WRONG = "It is \\boxed{7}."


def peer(name: str, *arguments: str | Path, cwd: Path, **more: str) -> str:
    """Run a peer's Python on `arguments` and return what it prints."""
    folder = os.environ.get("EVALKIT_PEERS")
    python = Path(folder or "", name, "bin", "python")
    if folder is None or not python.exists():
        pytest.fail(f"{name} is not installed: run make test-peers")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(cwd / "hf"), **more}
    done = subprocess.run(
        [python, *arguments], capture_output=True, text=True, cwd=cwd, timeout=900, env=environment, check=False
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    return done.stdout


def first_right(asked: Asked) -> Sent | None:
    """The first answer to a question is right, all others are wrong; thinking is sent apart from both."""
    if asked.method != "POST":
        return None
    question = re.search(r"What is \d+ . \d+", asked.prompt)
    assert question is not None, asked.prompt
    made = reply(asked)
    choices = []
    for index in range(int(asked.body.get("n") or 1)):
        turn = asked.server.state[question[0]] = asked.server.state.get(question[0], 0) + 1
        text = lettered(asked.prompt, turn == 1) or (answer_of(asked.prompt) if turn == 1 else WRONG)
        message = {"role": "assistant", "content": text, "reasoning_content": THINKING}
        choices.append({"index": index, "message": message, "finish_reason": "stop"})
    return as_json({**made, "choices": choices})


def lettered(prompt: str, right: bool) -> str | None:
    """The answer to a question with choices, None where there are none."""
    choices = re.findall(r"\b([A-D])\) ?(\d+)", prompt)
    value = re.search(r"\d+", answer_of(prompt).partition("{")[2])
    letters = [letter for letter, number in choices if value is not None and (number == value[0]) == right]
    return f"ANSWER: {letters[0]}" if letters else None


@pytest.fixture
def server() -> Iterator[QuirkServer]:
    with QuirkServer(first_right) as started:
        yield started


def samples_of(path: Path) -> dict[tuple[str, int], ImportedSample]:
    (log,) = find_logs(str(path)).logs
    return {(s.problem_id, s.sample_index): s for s in log.samples()}


def graded(path: Path, folder: Path, kind: Any = None) -> ImportedRun:
    """The log as a graded run, whose verdicts are the peer's."""
    done = import_run(path, folder / "run", kind=kind, workers=1)
    (task,) = RunDirectory(done.path).tasks().values()
    found = compare_with_peer(task)
    assert found.compared > 0
    assert found.differences == []
    return done


def rows_of_sums() -> list[dict[str, Any]]:
    return [{"id": i, "problem": problem, "answer": gold} for i, problem, gold in PROBLEMS]


MAKE_INSPECT = """
import sys
from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.scorer import pattern
from inspect_ai.solver import generate
asked = {"p/1": ("What is 12 + 30?", "42"), "p/2": ("What is 7 * 9?", "63")}
samples = [Sample(input=question, target=gold, id=own) for own, (question, gold) in asked.items()]
task = Task(dataset=samples, solver=generate(), scorer=pattern(r"boxed.(\\d+)"), epochs=2, name="sums")
options = {"max_connections": 1, "max_samples": 1, "display": "none", "temperature": 0.6}
log = eval(task, model="openai-api/local/m", log_dir=sys.argv[1], log_format=sys.argv[2], **options)[0]
assert log.status == "success", log.error
"""
OPEN_INSPECT = """
import json, sys
from inspect_ai.log import read_eval_log
log = read_eval_log(sys.argv[1])
told = [[s.id, s.epoch, s.output.completion, s.output.choices[0].stop_reason, s.scores["evalkit"].value]
        for s in log.samples]
print(json.dumps([log.status, log.eval.model, log.results.scores[0].metrics["accuracy"].value, told]))
"""


@pytest.mark.parametrize("form", ["eval", "json"])
def test_fresh_logs_of_inspect_are_imported(form: str, server: QuirkServer, tmp_path: Path) -> None:
    local = {"LOCAL_API_KEY": "none", "LOCAL_BASE_URL": f"{server.url}/v1"}
    peer("inspect", "-c", MAKE_INSPECT, tmp_path / "logs", form, cwd=tmp_path, **local)
    samples = samples_of(tmp_path / "logs")
    assert Counter((key[0], s.text) for key, s in samples.items()) == Counter(
        (i.replace("-", "/"), text) for i in RIGHT for text in (RIGHT[i], WRONG)
    )
    for (problem_id, _), sample in samples.items():
        right = sample.text == RIGHT[problem_id.replace("/", "-")]
        assert sample.verdicts[0].value == float(right)
        assert (sample.reasoning, sample.finish_reason) == (THINKING, "stop")
        assert (sample.prompt_tokens, sample.completion_tokens) == (9, 8)
        assert sample.answer == ("42" if problem_id == "p/1" else "63") if right else "7"
    done = graded(tmp_path / "logs", tmp_path)
    assert done.reports[0].statuses["correct"] == 2


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


LM_EVAL_TASK = """
task: sums
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{problem}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs: {{until: ["END"], max_gen_toks: 32, temperature: 0.6, do_sample: true}}
repeats: 2
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
filter_list:
  - name: boxed
    filter: [{{function: regex, regex_pattern: "boxed.(\\\\d+)"}}, {{function: take_first}}]
"""
OPEN_LM_EVAL = """
import json, sys
from pathlib import Path
from lm_eval.utils import get_file_datetime, get_file_task_name, get_latest_filename, get_results_filenames
from lm_eval.utils import get_sample_results_filenames, make_table
names = [str(p) for p in Path(sys.argv[1]).iterdir()]
results = json.loads(Path(get_latest_filename(get_results_filenames(names))).read_text())
(samples,) = get_sample_results_filenames(names)
rows = [json.loads(line) for line in Path(samples).read_text().splitlines()]
assert "sums" in make_table({**results, "higher_is_better": {}})
print(json.dumps([get_file_task_name(Path(samples).name), get_file_datetime(samples), len(rows), results["results"]]))
"""


def test_fresh_logs_of_lm_eval_are_imported(server: QuirkServer, tmp_path: Path) -> None:
    data = write_lines(tmp_path / "sums.jsonl", rows_of_sums())
    write(tmp_path / "tasks" / "sums.yaml", LM_EVAL_TASK.format(data=data))
    model = f"model=m,base_url={server.url}/v1/chat/completions,num_concurrent=1,tokenized_requests=False"
    arguments = ("--model", "local-chat-completions", "--model_args", model, "--apply_chat_template")
    tasks = ("--tasks", "sums", "--include_path", "tasks", "--log_samples", "--output_path", "out")
    peer("lm_eval", "-m", "lm_eval", *arguments, *tasks, cwd=tmp_path, OPENAI_API_KEY="none")
    samples = samples_of(tmp_path / "out")
    assert sorted(samples) == [(i, k) for i in ("p-1", "p-2") for k in range(2)]
    for i in RIGHT:
        assert [samples[i, k].text for k in range(2)] == [RIGHT[i], WRONG]
        assert [(v.name, v.scope, v.value) for v in samples[i, 0].verdicts] == [
            ("exact_match,boxed", "first sample", 1.0)
        ]
        assert samples[i, 0].answer == samples[i, 0].gold
    graded(tmp_path / "out", tmp_path)


def test_lm_evals_own_functions_find_our_export(tmp_path: Path) -> None:
    run = import_run(write_inspect_json(tmp_path / "log"), tmp_path / "run", workers=1)
    export_run(run.path, "lm-eval", tmp_path / "out")
    told = peer("lm_eval", "-c", OPEN_LM_EVAL, tmp_path / "out" / "lab__student", cwd=tmp_path)
    task, date, rows, results = json.loads(told.splitlines()[-1])
    assert (task, rows) == ("sums", 2)
    assert date
    assert results["sums"]["avg,none"] == 0.75


MAKE_EVALSCOPE = """
import sys
from evalscope import TaskConfig, run_task
data = {"general_mcq": {"local_path": sys.argv[1], "subset_list": ["default"]}}
options = {"datasets": ["general_mcq"], "dataset_args": data, "repeats": 2, "eval_batch_size": 1}
server = {"model": "m", "api_url": sys.argv[3], "api_key": "none", "eval_type": "openai_api"}
run_task(TaskConfig(work_dir=sys.argv[2], generation_config={"temperature": 0.6, "stream": False}, **server, **options))
"""


def test_fresh_logs_of_evalscope_are_imported(server: QuirkServer, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"id": problem_id, "question": problem, "A": "84", "B": gold, "answer": "B"}
        for problem_id, problem, gold in PROBLEMS
    ]
    write_lines(tmp_path / "data" / "default_val.jsonl", rows)
    peer("evalscope", "-c", MAKE_EVALSCOPE, tmp_path / "data", tmp_path / "out", f"{server.url}/v1", cwd=tmp_path)
    samples = samples_of(tmp_path / "out")
    assert sorted(samples) == [(i, k) for i in ("p-1", "p-2") for k in range(2)]
    assert {s.gold for s in samples.values()} == {"B"}
    for key, sample in samples.items():
        assert sample.verdicts[0].scope == "sample"
        assert sample.verdicts[0].value == float(sample.text == "ANSWER: B"), key
        assert (sample.reasoning, sample.finish_reason) == (THINKING, "stop")
    assert Counter(s.text for s in samples.values()) == {"ANSWER: B": 2, "ANSWER: A": 2}
    done = graded(tmp_path / "out", tmp_path)
    assert (done.model, done.reports[0].statuses["correct"]) == ("m", 2)
    (log,) = find_logs(str(tmp_path / "out")).logs
    assert log.facts().version
    assert log.facts().sampling["temperature"] == 0.6


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


def test_every_eval_evers_validator_accepts_our_export(tmp_path: Path) -> None:
    run = import_run(write_inspect_json(tmp_path / "log"), tmp_path / "run", workers=1)
    export_run(run.path, "every-eval-ever", tmp_path / "out")
    files = sorted(path for path in (tmp_path / "out").rglob("*.json*") if path.is_file())
    assert len(files) == 2
    told = peer("every_eval_ever", "-m", "every_eval_ever.validate", "--format", "json", *files, cwd=tmp_path)
    assert all(path.name in told for path in files), told


def test_the_hubs_own_reader_opens_our_results(tmp_path: Path) -> None:
    from huggingface_hub import parse_eval_result_entries

    row = {"problem": "Simplify $\\sqrt{242}$.", "out": "\\boxed{11\\sqrt2}", "gold": "11\\sqrt2"}
    log = write_lines(tmp_path / "x.jsonl", [row])
    data = {"unique_id": "test/prealgebra/1302.json", "problem": row["problem"], "answer": row["gold"]}
    write_lines(tmp_path / "data" / "MATH-500" / "test.jsonl", [{**data, "subject": "Prealgebra", "level": 3}])
    fields = "text=out,problem=problem,gold=gold"
    done = import_run(
        log, tmp_path / "run", fields=fields, task="math500", model="m", data=tmp_path / "data", workers=1
    )
    (path,) = export_run(done.path, "hf-eval-results", tmp_path / "out", data=tmp_path / "data")
    (entry,) = parse_eval_result_entries(yaml.safe_load(path.read_text()))
    assert (entry.dataset_id, entry.value) == ("HuggingFaceH4/MATH-500", 100.0)
