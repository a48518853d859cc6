"""The demo's checkpoints and the script that trained them."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from evalkit_tasks.arithmetic import test_problems, training_problems

from evalkit import Problem

FOLDER = Path(__file__).parents[1] / "examples" / "tiny_distill"
SEEDS = (0, 1, 2)
CHECKPOINTS = {"teacher": ("teacher", 0), "student-soft": ("student-soft", 0)} | {
    f"{name}-{seed}" if seed else name: (name, seed) for seed in SEEDS for name in ("base", "student-distilled")
}


torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def log() -> dict[str, Any]:
    return dict(json.loads((FOLDER / "log.json").read_text()))


def load(name: str) -> tuple[Any, Any]:
    folder = FOLDER / name
    return (
        transformers.AutoModelForCausalLM.from_pretrained(folder),
        transformers.AutoTokenizer.from_pretrained(folder),
    )


def logged(log: dict[str, Any], checkpoint: str) -> dict[str, Any]:
    name, seed = CHECKPOINTS[checkpoint]
    return next(run for run in log["runs"] if run["model"] == name and run["seed"] == seed)


def test_the_log_has_every_checkpoint_and_they_are_small(log: dict[str, Any]) -> None:
    assert [(run["model"], run["seed"]) for run in log["runs"]] == [
        ("teacher", 0), *((name, seed) for seed in SEEDS for name in ("base", "student-distilled", "student-soft"))
    ]  # fmt: skip
    size = sum(file.stat().st_size for name in CHECKPOINTS for file in (FOLDER / name).iterdir())
    assert size < 6_000_000


@pytest.mark.parametrize("seed", SEEDS)
def test_the_students_of_every_seed_are_beyond_their_base_by_more_than_the_error(
    log: dict[str, Any], seed: int
) -> None:
    by_name = {run["model"]: run["test"] for run in log["runs"] if run["seed"] == seed}
    widest = 1.96 * (2 * 0.25 / len(test_problems())) ** 0.5  # of a difference of two shares
    for student in ("student-distilled", "student-soft"):
        assert by_name[student] - by_name["base"] > widest


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_checkpoint_loads_and_scores_what_the_log_says(train_script: Any, log: dict[str, Any], name: str) -> None:
    model, tokenizer = load(name)
    assert model.config.model_type == "qwen2"
    assert model.dtype == torch.float32
    run = logged(log, name)
    assert model.num_parameters() == run["parameters"]
    # Another processor's rounding may tip a few answers.
    assert train_script.accuracy(model, tokenizer, test_problems()) == pytest.approx(run["test"], abs=0.02)


def test_all_share_one_tokenizer() -> None:
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert len({(FOLDER / name / file).read_bytes() for name in CHECKPOINTS}) == 1


def test_the_tokenizer_reads_back_what_it_wrote(tmp_path: Path) -> None:
    texts = ["What is 37 + 48?", "<think>\n7+8=15\n</think>\n\n\\boxed{85}", "naïve ∑ 数学 \t\n\n  x_1^2", "e\u0301"]
    fast = transformers.AutoTokenizer.from_pretrained(FOLDER / "teacher")
    plain = transformers.PreTrainedTokenizerFast(tokenizer_file=str(FOLDER / "teacher" / "tokenizer.json"))
    fast.save_pretrained(tmp_path)
    again = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in texts:
        ids = fast(text)["input_ids"]
        assert ids == again(text)["input_ids"] == plain(text)["input_ids"]
        assert fast.decode(ids) == ("é" if text == "e\u0301" else text)
    assert len(fast(texts[0])["input_ids"]) < 15
    assert len(fast("37")["input_ids"]) == 2


def test_the_template_opens_the_thinking_and_adds_no_bos(train_script: Any) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(FOLDER / "base")
    prompt = train_script.prompt_text(tokenizer, test_problems()[0])
    assert prompt == "<|im_start|>user\nWhat is 12 + 62?<|im_end|>\n<|im_start|>assistant\n<think>\n"
    assert tokenizer.bos_token is None
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.decode(tokenizer(prompt)["input_ids"], skip_special_tokens=True).endswith("<think>\n")


@pytest.mark.parametrize("problem", [*training_problems(30), *test_problems()[:30]], ids=lambda p: p.id)
def test_the_worked_solution_is_right_line_by_line(train_script: Any, problem: Problem) -> None:
    steps, _, answer = train_script.worked_solution(problem).partition("\n</think>\n\n")
    for line in steps.split("\n"):
        left, _, right = line.partition("=")
        assert eval(left) == int(right)
    assert right == problem.target
    assert answer == f"\\boxed{{{problem.target}}}"


def test_the_tokenizer_is_rebuilt_to_the_byte(train_script: Any, tmp_path: Path) -> None:
    train_script.make_tokenizer(tmp_path)
    assert (tmp_path / "tokenizer.json").read_bytes() == (FOLDER / "teacher" / "tokenizer.json").read_bytes()


def test_only_what_the_model_has_to_write_is_learnt(train_script: Any) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(FOLDER / "teacher")
    problems = training_problems(3)
    data = train_script.labelled(tokenizer, problems)
    for problem, ids, written in zip(problems, data.ids, data.written, strict=True):
        assert tokenizer.decode(ids[written]) == train_script.worked_solution(problem) + "<|im_end|>"
    assert data.rows(torch.tensor([2])).ids.shape[1] == int(data.written[2].nonzero().max()) + 1


def test_distillation_loss_is_hintons(train_script: Any) -> None:
    settings = train_script.Settings(temperature=2.0, soft_weight=0.7)
    torch.manual_seed(0)
    student, teacher = torch.randn(5, 7, requires_grad=True), torch.randn(5, 7)
    labels = torch.tensor([0, 3, 6, 1, 1])
    p, q = torch.softmax(teacher / 2, -1), torch.softmax(student / 2, -1)
    soft = (p * (p / q).log()).sum(-1).mean()
    hard = -torch.log_softmax(student, -1)[range(5), labels].mean()
    loss = train_script.distillation_loss(student, teacher, labels, settings)
    assert loss.item() == pytest.approx((0.7 * 4 * soft + 0.3 * hard).item(), rel=1e-5)
    # A student that agrees with its teacher gets no gradient from the soft part.
    same = teacher.clone().requires_grad_()
    train_script.distillation_loss(same, teacher, labels, train_script.Settings(soft_weight=1.0)).backward()
    assert same.grad.abs().max().item() < 1e-6


@pytest.mark.slow
def test_training_lowers_both_losses_and_repeats_itself(train_script: Any) -> None:
    teacher, tokenizer = load("teacher")
    settings = train_script.Settings()
    hard = train_script.labelled(tokenizer, training_problems(64))
    soft = train_script.with_soft_targets(hard, teacher)
    for data in (hard, soft):
        curves = []
        for _ in range(2):
            student = train_script.make_model(tokenizer, train_script.STUDENT, seed=0)
            curves.append(train_script.train(student, data, 20, 8, 0, settings))
        assert curves[0] == curves[1]
        losses = [point["loss"] for point in curves[0]]
        assert losses[-1] < 0.7 * losses[0]


@pytest.mark.slow
def test_the_whole_script_runs_and_writes_its_checkpoints(
    train_script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--out", str(tmp_path), "--teacher", str(FOLDER / "teacher"), "--no-test", "--seeds", "0", "1"]
    arguments += ["--base-steps", "3", "--labelled-problems", "20", "--student-steps", "3", "--transfer-problems", "20"]
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
    try:
        train_script.main()
    finally:
        torch.use_deterministic_algorithms(False)
    log = json.loads((tmp_path / "log.json").read_text())
    students = [(name, seed) for seed in (0, 1) for name in ("base", "student-distilled", "student-soft")]
    assert [(run["model"], run["seed"]) for run in log["runs"]] == [("teacher", 0), *students]
    assert all("validation" in run and "test" not in run for run in log["runs"])
    assert log["runs"][0]["validation"] > log["runs"][1]["validation"]
    assert log["transfer"]["completions"] == 40
    assert log["transfer"]["examples"] + sum(log["transfer"]["rejected"].values()) == 40
    assert (tmp_path / "transfer.md").exists()
    for name in ("teacher", "base", "base-1", "student-distilled", "student-distilled-1", "student-soft"):
        transformers.AutoModelForCausalLM.from_pretrained(tmp_path / name)
        assert (tmp_path / name / "tokenizer.json").read_bytes() == (FOLDER / name / "tokenizer.json").read_bytes()
