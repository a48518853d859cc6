"""What makes a run the same run: content and settings. What does not: names, places, graders, and what is asked for."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from evalkit_tasks.protocols import ANSWER_LETTER
from helpers import evalkit, records, told, write_recorded

from evalkit import DataSource, EvalkitError, Problem, evaluate
from evalkit.benchmark.data import data_folder_of, read_data_options
from evalkit.benchmark.task import choice_letters
from evalkit.engines.checkpoint import Checkpoint
from evalkit.results.entries import load_entries
from evalkit.results.published import load_published
from evalkit.results.report import load_report
from evalkit.results.reproduction import differences
from evalkit.run.evaluate import plan_run
from evalkit.store.folders import find_runs
from evalkit.store.identity import content_of, run_differences
from evalkit.store.plan import SamplePlan
from evalkit.store.run import RunDirectory

TASK = """
from dataclasses import dataclass
from evalkit import Problem, Score, Task
from evalkit.grading import grade_math

@dataclass(frozen=True)
class Sums(Task):
    name = "sums"
    version = 1
    title = "Sums"
    n = 2
    offset: int = 0
    def load(self, source):
        return [Problem(str(i), f"What is {i} + {i}?", str(2 * i + self.offset)) for i in range(5)]
    def score(self, problem, response):
        return grade_math(response, problem.target)
"""
ASKED = ("-t", "arithmetic", "--limit", 3, "-n", 2, "--max-tokens", 48)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sums.py").write_text(TASK)
    texts = {str(i): [f"so</think>\\boxed{{{2 * i}}}"] * 4 for i in range(5)}
    write_recorded(tmp_path / "recorded.jsonl", texts, prefix="<think>\n")
    return tmp_path


def run(folder: Path, *more: object, file: str = "sums.py", code: int = 0) -> subprocess.CompletedProcess[str]:
    common = ("run", "org/model", "-t", "sums", "--task-file", folder / file, "--engine", "replay")
    return evalkit(*common, "--recorded", folder / "recorded.jsonl", "-o", folder / "run", *more, code=code)


def task_of(folder: Path) -> Any:
    return RunDirectory(folder / "run").task("sums")


@pytest.mark.slow
def test_one_checkpoint_is_one_run_however_its_path_is_spelled(tiny_checkpoint: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_checkpoint, tmp_path / "teacher")
    first = evalkit("run", "teacher", *ASKED, cwd=str(tmp_path))
    for spelling in ("./teacher", "teacher/", tmp_path / "teacher"):
        again = evalkit("run", spelling, *ASKED, cwd=str(tmp_path))
        assert again.stdout == first.stdout
        assert "everything is on disk already" in again.stderr
    (tmp_path / "moved").mkdir()
    (tmp_path / "teacher").rename(tmp_path / "moved" / "student-7")
    moved = evalkit("run", "moved/student-7", *ASKED, cwd=str(tmp_path))
    assert "0 completions to generate, 6 already on disk" in moved.stderr
    (found,) = find_runs(tmp_path / "results")
    assert found.record().model == "moved/student-7", "the name is a label: the last one given"
    entries, _ = load_entries([tmp_path / "results"])
    assert len(entries) == 1


@pytest.mark.parametrize("changed", ["model.safetensors", "tokenizer.json", "chat_template.jinja"])
def test_other_content_is_another_run(tiny_checkpoint: Path, tmp_path: Path, changed: str) -> None:
    shutil.copytree(tiny_checkpoint, tmp_path / "model")
    path = plan_run(tmp_path / "model", "arithmetic", limit=1).default_path(tmp_path / "results")
    content = (tmp_path / "model" / changed).read_bytes()
    other = content[:-1] + bytes([content[-1] ^ 1]) if changed.endswith("safetensors") else content + b" "
    (tmp_path / "model" / changed).write_bytes(other)
    assert plan_run(tmp_path / "model", "arithmetic", limit=1).default_path(tmp_path / "results") != path


def test_code_that_is_run_is_part_of_the_identity(tiny_checkpoint: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_checkpoint, tmp_path / "model")
    (tmp_path / "model" / "modeling_own.py").write_text("A = 1\n")
    trusting = Checkpoint(str(tmp_path / "model"), trust_remote_code=True)
    before = trusting.code_fingerprint()
    (tmp_path / "model" / "modeling_own.py").write_text("A = 2\n")
    assert before != trusting.code_fingerprint() is not None
    assert Checkpoint(str(tmp_path / "model")).code_fingerprint() is None


def test_a_run_of_an_earlier_version_has_no_code_in_its_identity() -> None:
    old = {"engine": {"backend": "vllm", "model": "a", "fingerprint": "0" * 64}, "seed": 0, "protocol": {"name": "p"}}
    new = {**old, "engine": {**old["engine"], "model": "/x/a", "code": "1"}}  # type: ignore[dict-item]
    assert run_differences(old, new) == []
    assert run_differences(new, old) != [], "where it is recorded it has to be equal"
    assert content_of(old) == content_of({**old, "engine": {**old["engine"], "model": "b"}})  # type: ignore[dict-item]
    unknown = {**old, "engine": {**old["engine"], "fingerprint": "main"}}  # type: ignore[dict-item]
    other = {**unknown, "engine": {**unknown["engine"], "model": "b"}}  # type: ignore[dict-item]
    assert run_differences(unknown, other) == [("engine.model", "a", "b")], "a branch is not content: the name counts"


@pytest.mark.slow
def test_a_peek_shows_less_on_its_own_screen_only(folder: Path) -> None:
    run(folder)
    whole = (folder / "run/sums/report.json").read_bytes()
    peek = run(folder, "--limit", 2, "-n", 1)
    assert "| Sums | 2 of 5 | 1 | 100.0" in peek.stdout
    assert task_of(folder).record.plan == SamplePlan.uniform(map(str, range(5)), 2)
    assert (folder / "run/sums/report.json").read_bytes() == whole
    assert "pass@1 n=2 |" in evalkit("leaderboard", folder / "run").stdout
    assert "10 of 10 completions" in evalkit("verify", folder / "run").stdout


@pytest.mark.slow
def test_more_samples_of_some_problems_add_to_what_is_there(folder: Path) -> None:
    run(folder)
    run(folder, "--limit", 2, "-n", 4)
    report = load_report(task_of(folder))
    assert (report.n, report.most_n, report.problems, report.samples) == (2, 4, 5, 14)
    assert "pass@1 n=2–4 |" in evalkit("leaderboard", folder / "run").stdout
    metric = report.metric("pass@1")
    assert metric is not None
    assert (metric.value, metric.n) == (100.0, 14)
    assert report.metric("pass@4") is None, "pass@k needs k samples of every problem"
    run(folder, "-n", 4)
    assert (load_report(task_of(folder)).n, load_report(task_of(folder)).most_n) == (4, None)


@pytest.mark.slow
def test_a_run_that_is_raised_is_shown_as_it_was_until_it_has_finished(folder: Path) -> None:
    run(folder)
    texts = {str(i): [f"so</think>\\boxed{{{2 * i}}}"] * (4 if i else 2) for i in range(5)}
    write_recorded(folder / "recorded.jsonl", texts, prefix="<think>\n")
    description = json.loads((folder / "run/run.json").read_text())
    raised = json.loads(json.dumps(description))
    raised["tasks"]["sums"]["sampling"] = {"n": 4}
    directory = RunDirectory(folder / "run")
    with directory.locked():
        directory.begin(raised)  # and killed before a completion
    assert load_report(task_of(folder)).n == 2


@pytest.mark.slow
@pytest.mark.parametrize("edit", ["moved", "scorer", "version"])
def test_what_only_grades_resumes_and_grades_again(folder: Path, edit: str) -> None:
    run(folder)
    paid = (folder / "run/sums/completions.jsonl").read_bytes()
    if edit == "moved":
        (folder / "elsewhere").mkdir()
        (folder / "sums.py").rename(folder / "elsewhere" / "tasks.py")
        done = run(folder, file="elsewhere/tasks.py")
    else:
        changed = TASK.replace("version = 1", "version = 2") if edit == "version" else TASK
        (folder / "sums.py").write_text(changed.replace("grade_math(response,", "grade_math(response.upper(),"))
        before = (folder / "run/sums/scores.jsonl").read_bytes()
        done = run(folder)
        assert (folder / "run/sums/scores.jsonl").read_bytes() != before, "graded again"
    assert "0 completions to generate, 10 already on disk" in done.stderr
    assert (folder / "run/sums/completions.jsonl").read_bytes() == paid
    assert (load_report(task_of(folder)).n, load_report(task_of(folder)).samples) == (2, 10)


@pytest.mark.slow
def test_what_changes_the_prompt_is_another_run(folder: Path) -> None:
    run(folder)
    (folder / "sums.py").write_text(TASK.replace("What is {i} + {i}?", "What is {i} and {i}?"))
    assert "the prompt of problem 0 was" in told(run(folder, code=2))


@pytest.mark.slow
def test_score_finds_a_task_file_that_moved(folder: Path) -> None:
    run(folder)
    (folder / "sums.py").rename(folder / "moved.py")
    assert "cannot be read" in told(evalkit("score", folder / "run", code=2))
    done = evalkit("score", folder / "run", "--task-file", folder / "moved.py")
    assert "graded Sums in" in done.stderr
    assert "0 of 10 verdicts changed" in done.stderr
    assert task_of(folder).record.spec["file"] == str(folder / "moved.py")


def test_a_ten_way_question_is_asked_for_its_own_letters() -> None:
    ten = Problem("1", "Which?", "J", {"choices": [str(i) for i in range(10)]})
    assert choice_letters(ten) == "ABCDEFGHIJ"
    assert choice_letters(Problem("1", "Which?\n(A) one\n(B) two\n(C) three", "A")) == "ABC"
    assert choice_letters(Problem("1", "Which is it?", "A")) == "ABCD"
    assert ANSWER_LETTER.count("{letters}") == 1


@pytest.mark.slow
def test_the_letters_reach_the_prompt_and_the_record(folder: Path) -> None:
    (folder / "ten.py").write_text(
        TASK.replace("class Sums", "class Ten")
        .replace('name = "sums"', 'name = "ten"\n    kind = "choice"')
        .replace("str(2 * i + self.offset)", 'str(2 * i), {"choices": list("0123456789")}')
    )
    shown = evalkit("run", "m", "-t", "ten", "--task-file", folder / "ten.py", *REPLAY, folder / "recorded.jsonl")
    assert "ten" in shown.stderr
    plan = plan_run("m", "ten", task_file=folder / "ten.py", engine="replay", engine_options=REPLAYED(folder))
    message = plan.plans[0].task.messages(plan.plans[0].problems[0])[0]["content"]
    assert "LETTER is one of ABCDEFGHIJ." in message


def REPLAYED(folder: Path) -> dict[str, object]:  # noqa: N802
    return {"recorded": (str(folder / "recorded.jsonl"),)}


REPLAY = ("--dry-run", "--engine", "replay", "--recorded")


@pytest.mark.slow
def test_a_frozen_dataclass_is_a_task(folder: Path) -> None:
    run(folder, "-T", "offset=1")
    assert load_report(task_of(folder)).statuses["wrong"] == 10


@pytest.mark.slow
def test_replay_claims_no_protocol_and_gets_no_z(folder: Path) -> None:
    run(folder)
    (entry,), _ = load_entries([folder / "run"])
    assert entry.report.protocol == "replayed"
    figure = load_published("deepseek-r1")[0]
    assert "replayed: it is not known under which protocol it was made" in list(differences(entry, figure))
    run(folder, "--protocol", "deepseek-r1")
    assert RunDirectory(folder / "run").record().protocol_name == "deepseek-r1 (asserted)", "it can be said later"


@pytest.mark.slow
def test_replay_of_an_asserted_protocol_says_so(folder: Path) -> None:
    run(folder, "--protocol", "deepseek-r1")
    (entry,), _ = load_entries([folder / "run"])
    assert entry.report.protocol == "deepseek-r1 (asserted)"
    assert not any("replayed" in one for one in differences(entry, load_published("deepseek-r1")[0]))


def test_data_of_one_task_leaves_the_others_alone(tmp_path: Path) -> None:
    from evalkit_tasks.aime24 import AIME24
    from evalkit_tasks.math500 import MATH500

    (tmp_path / "a").mkdir()
    folders = read_data_options([f"math-500={tmp_path / 'a'}"])
    assert data_folder_of(MATH500, folders) == str(tmp_path / "a")
    assert data_folder_of(AIME24, folders) is None
    both = read_data_options([f"math500={tmp_path / 'a'}", str(tmp_path)])
    assert data_folder_of(AIME24, both) == str(tmp_path)
    with pytest.raises(EvalkitError, match="twice for all tasks"):
        read_data_options([str(tmp_path), "other"])


@pytest.mark.real_data
def test_data_of_one_task_may_be_its_own_folder(data_dir: Path, tmp_path: Path) -> None:
    from evalkit_tasks.math500 import MATH500

    shutil.copytree(data_dir / "MATH-500", tmp_path / "mine")
    for place in (data_dir / "MATH-500", tmp_path / "mine", tmp_path / "mine" / "test.jsonl"):
        assert len(MATH500().load(DataSource(place))) == 500


@pytest.mark.slow
def test_a_task_that_is_checked_by_instructions_passes(folder: Path) -> None:
    (folder / "own.py").write_text(
        "from evalkit import Problem, Score, Task\n"
        "class Own(Task):\n"
        "    name, version, title, kind = 'own', 1, 'Own', 'instructions'\n"
        "    def load(self, source):\n"
        "        return [Problem('1', 'Tell me a story without commas.', '')]\n"
        "    def score(self, problem, response):\n"
        "        good = bool(response.strip()) and ',' not in response\n"
        "        return Score(float(good), 'correct' if good else 'wrong')\n"
    )
    done = evalkit("tasks", "check", "own", "--task-file", folder / "own.py")
    assert "an empty response is not graded correct" in done.stdout
    (folder / "own.py").write_text((folder / "own.py").read_text().replace("bool(response.strip()) and", ""))
    assert "breaks 1 of" in told(evalkit("tasks", "check", "own", "--task-file", folder / "own.py", code=2))


@pytest.mark.slow
def test_a_finished_run_again_opens_no_engine(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """The engine is not opened: with an unreadable tokenizer it could not be."""
    checkpoint = tmp_path / "model"
    shutil.copytree(tiny_checkpoint, checkpoint)
    first = evaluate(checkpoint, "arithmetic", n=1, limit=2, max_tokens=48, results=tmp_path / "r", progress=False)
    script = (
        "import sys; from evalkit import evaluate\n"
        f"folder, results = {str(checkpoint)!r}, {str(tmp_path / 'r')!r}\n"
        "run = evaluate(folder, 'arithmetic', n=1, limit=2, max_tokens=48, results=results)\n"
        "print(run.path, 'torch' in sys.modules, 'transformers' in sys.modules, len(run.samples()))"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert out.split() == [str(first.path), "False", "False", "2"]


@pytest.mark.slow
@pytest.mark.parametrize("change", ["weights", "completions", "task_file"])
def test_a_finished_run_that_changed_goes_the_long_way(folder: Path, change: str) -> None:
    run(folder)
    assert "everything is on disk already" in run(folder).stderr
    if change == "completions":
        path = folder / "run/sums/completions.jsonl"
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    elif change == "task_file":
        (folder / "sums.py").write_text(TASK + "\n")
    else:
        (folder / "recorded.jsonl").write_text((folder / "recorded.jsonl").read_text() + "\n")
    done = run(folder, code=2 if change == "weights" else 0)
    assert "everything is on disk already" not in done.stderr


@pytest.mark.slow
def test_the_first_sign_of_life_comes_before_the_imports(folder: Path) -> None:
    done = run(folder)
    assert done.stderr.splitlines()[0] == "org/model: sums"


@pytest.mark.slow
def test_score_says_what_it_did_when_nothing_changed(folder: Path) -> None:
    run(folder)
    done = evalkit("score", folder / "run")
    assert "graded Sums in" in done.stderr
    assert "0 of 10 verdicts changed" in done.stderr
    assert len(records(folder / "run/sums/scores.jsonl")) == 10
