"""Fidelity: against direct computations in float64, the losses that a student was trained with, real drafting."""

import json
import math
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from evalkit_tasks.arithmetic import test_problems as arithmetic_problems

from evalkit.cli.main import cli
from evalkit.errors import EvalkitError
from evalkit.fidelity.measure import FidelitySettings, measure_fidelity
from evalkit.fidelity.traces import Trace, TraceSet, read_trace_file
from evalkit.results.distillation import distillation
from evalkit.results.fidelity import FidelityReport, load_fidelity
from evalkit.run.evaluate import evaluate

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

FOLDER = Path(__file__).parents[1] / "examples" / "tiny_distill"
TEACHER, DISTILLED, BASE = (str(FOLDER / name) for name in ("teacher", "student-distilled", "base"))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def texts(train_script: ModuleType) -> list[tuple[Any, str]]:
    """(problem, worked solution); every third solution is wrong in its last digits."""
    found = []
    for i, problem in enumerate(arithmetic_problems()[:24]):
        written = train_script.worked_solution(problem)
        found.append((problem, written.replace("}", "1}") if i % 3 == 0 else written))
    return found


@pytest.fixture(scope="module")
def traces(texts: list[tuple[Any, str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("traces") / "solutions.jsonl"
    lines = [
        {"problem_id": p.id, "prompt": p.prompt, "response": written, "prefix": "<think>\n", "right": i % 3 != 0}
        for i, (p, written) in enumerate(texts)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def load(name: str) -> tuple[Any, Any]:
    model = transformers.AutoModelForCausalLM.from_pretrained(name)
    return model.eval(), transformers.AutoTokenizer.from_pretrained(name)


def full_logits(name: str, texts: Sequence[tuple[Any, str]]) -> tuple[list[Any], list[Any]]:
    """float64 logits before each written token, and those tokens: one batch, padded on the left, full logits."""
    model, tokenizer = load(name)
    rows, lengths = [], []
    for problem, written in texts:
        asked = [{"role": "user", "content": problem.prompt}]
        prompt = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
        answer = tokenizer(written + tokenizer.eos_token)["input_ids"]
        rows.append(tokenizer(prompt)["input_ids"] + answer)
        lengths.append(len(answer))
    longest = max(map(len, rows))
    ids = torch.tensor([[0] * (longest - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    places = (mask.cumsum(-1) - 1).clamp(min=0)
    with torch.inference_mode():
        logits = model(input_ids=ids, attention_mask=mask, position_ids=places).logits.double()
    return (
        [row[-n - 1 : -1] for row, n in zip(logits, lengths, strict=True)],
        [torch.tensor(row[-n:]) for row, n in zip(rows, lengths, strict=True)],
    )


def direct(texts: Sequence[tuple[Any, str]], student: str) -> dict[str, float]:
    """Every measure over all tokens, by its definition."""
    teacher_logits, labels = full_logits(TEACHER, texts)
    student_logits, _ = full_logits(student, texts)
    p, q, y = torch.cat(teacher_logits), torch.cat(student_logits), torch.cat(labels)
    found: dict[str, float] = {}
    for t in (1, 2, 4):
        pt, log_pt, log_qt = (p / t).softmax(-1), (p / t).log_softmax(-1), (q / t).log_softmax(-1)
        found[f"soft_loss@{t}"] = float(-(pt * log_qt).sum(-1).mean())
        found[f"kl_forward@{t}"] = float((pt * (log_pt - log_qt)).sum(-1).mean())
        found[f"teacher_entropy@{t}"] = float(-(pt * log_pt).sum(-1).mean())
    found["soft_loss_scaled@2"] = 4 * found["soft_loss@2"]
    one, two = p.softmax(-1), q.softmax(-1)
    mixture = (one + two) / 2
    found["kl_reverse"] = float((two * (q.log_softmax(-1) - p.log_softmax(-1))).sum(-1).mean())
    js = (one * (one / mixture).log()).sum(-1) + (two * (two / mixture).log()).sum(-1)
    found["js"] = float(js.mean() / 2)
    found["tv@1"] = float((one - two).abs().sum(-1).mean() / 2)
    found["acceptance@1"] = float(torch.minimum(one, two).sum(-1).mean())
    found["student_loss"] = float(torch.nn.functional.cross_entropy(q, y))
    found["teacher_loss"] = float(torch.nn.functional.cross_entropy(p, y))
    found["student_perplexity"] = math.exp(found["student_loss"])
    found["student_entropy"] = float(torch.special.entr(two).sum(-1).mean())
    found["top1_agreement"] = float((p.argmax(-1) == q.argmax(-1)).double().mean())
    five = [set(row.topk(5).indices.tolist()) for row in p], [set(row.topk(5).indices.tolist()) for row in q]
    found["topk_overlap"] = float(np.mean([len(a & b) / 5 for a, b in zip(*five, strict=True)]))
    bits = sum(
        float(torch.nn.functional.cross_entropy(row[:-1], label[:-1], reduction="sum"))
        for row, label in zip(student_logits, labels, strict=True)
    )
    found["student_bits_per_byte"] = bits / math.log(2) / sum(len(written.encode()) for _, written in texts)
    return found


def values(report: FidelityReport, student: str = DISTILLED, group: str = "all") -> dict[str, float]:
    found = report.student(student)
    assert found is not None
    return {f.measure: f.value for f in found.figures if f.group == group}


def test_every_measure_is_that_of_full_logits_in_float64(texts: list[tuple[Any, str]], traces: Path) -> None:
    report = measure_fidelity([DISTILLED, BASE], TEACHER, traces)
    for student in (DISTILLED, BASE):
        measured = values(report, student)
        for name, expected in direct(texts, student).items():
            assert measured[name] == pytest.approx(expected, rel=1e-5), name
    assert values(report, BASE)["kl_forward@1"] > 0.01
    assert 0 < values(report)["kl_forward@1"] < values(report, BASE)["kl_forward@1"] / 10


@pytest.mark.slow
@pytest.mark.parametrize("budget", [448, 448 * 7])
def test_chunks_of_any_size_give_the_same(
    texts: list[tuple[Any, str]], traces: Path, tmp_path: Path, budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evalkit.fidelity import forward

    whole = values(measure_fidelity(DISTILLED, TEACHER, traces, output=tmp_path / "whole"))
    monkeypatch.setattr(forward, "_LOGITS_CPU", budget)
    chunked = values(measure_fidelity(DISTILLED, TEACHER, traces, output=tmp_path / "chunked"))
    assert chunked == pytest.approx(whole, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("kind", ["sliding", "learned positions", "recurrent"])
def test_architectures_read_in_chunks_as_at_once(kind: str) -> None:
    from evalkit.fidelity.forward import Reader

    torch.manual_seed(0)
    if kind == "sliding":
        config = transformers.MistralConfig(
            vocab_size=97, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, sliding_window=8,
        )  # fmt: skip
    elif kind == "recurrent":
        config = transformers.MambaConfig(vocab_size=97, hidden_size=32, num_hidden_layers=2, state_size=4)
    else:
        config = transformers.GPT2Config(vocab_size=97, n_embd=32, n_layer=2, n_head=4, n_positions=64)
    reader = Reader(transformers.AutoModelForCausalLM.from_config(config).eval())
    generator = torch.Generator().manual_seed(1)
    prompt, written = (torch.randint(0, 97, (n,), generator=generator).tolist() for n in (9, 40))
    with torch.inference_mode():
        at_once = reader.together([prompt, prompt[:3]], [written, written])
        for chunk in (3, 11, 64):
            pieces = torch.cat(list(reader.in_chunks(prompt, written, chunk)))
            torch.testing.assert_close(pieces, at_once[0], rtol=1e-4, atol=1e-5)


def padded(name: str, rows: int, folder: Path) -> str:
    """The checkpoint with more rows than its tokenizer has tokens, as Qwen's have."""
    model, tokenizer = load(name)
    before = model.get_input_embeddings().weight.shape[0]
    model.resize_token_embeddings(rows)
    with torch.no_grad():
        model.get_input_embeddings().weight[before:] = 0.05 * torch.randn(
            rows - before, model.config.hidden_size, generator=torch.Generator().manual_seed(rows)
        )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_rows_beyond_the_tokenizer_are_padding(traces: Path, tmp_path: Path) -> None:
    plain = values(measure_fidelity(DISTILLED, TEACHER, traces, output=tmp_path / "plain"))
    student = padded(DISTILLED, 512, tmp_path / "student")
    teacher = padded(TEACHER, 704, tmp_path / "teacher")
    report = measure_fidelity(student, teacher, traces, output=tmp_path / "padded")
    measured = values(report, student)
    assert 0 < measured["teacher_padding"] < 0.1
    for name, value in plain.items():
        if not name.endswith("padding"):
            assert measured[name] == pytest.approx(value, rel=1e-5, abs=1e-9), name


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_tokenizers_padding_side_does_not_matter(traces: Path, tmp_path: Path, side: str) -> None:
    student = tmp_path / "student"
    shutil.copytree(DISTILLED, student)
    settings = json.loads((student / "tokenizer_config.json").read_text())
    (student / "tokenizer_config.json").write_text(json.dumps({**settings, "padding_side": side}))
    measured = values(measure_fidelity(str(student), TEACHER, traces, output=tmp_path / "out"), str(student))
    assert measured == values(measure_fidelity(DISTILLED, TEACHER, traces, output=tmp_path / "other"))


def test_the_losses_are_those_the_student_was_trained_with(train_script: ModuleType, tmp_path: Path) -> None:
    """Soft and hard losses of whole training batches, and their weighted sum, equal train.py's."""
    problems = train_script.training_problems()[:32]
    teacher, tokenizer = load(TEACHER)
    student, _ = load(DISTILLED)
    batch = train_script.with_soft_targets(train_script.labelled(tokenizer, problems), teacher)
    rows = [
        Trace(p.id, 0, ({"role": "user", "content": p.prompt},), train_script.worked_solution(p), prefix="<think>\n")
        for p in problems
    ]
    report = measure_fidelity(DISTILLED, TEACHER, TraceSet(tuple(rows), "batch", "", tmp_path))
    measured = values(report)
    with torch.inference_mode():
        logits = train_script.written_logits(student, batch)
        labels = batch.ids[:, 1:][batch.written[:, 1:]]
        soft = batch.soft[batch.written[:, 1:]]
        for temperature, weight in ((1.0, 0.5), (2.0, 0.7), (4.0, 1.0), (2.0, 0.0)):
            settings = train_script.Settings(temperature=temperature, soft_weight=weight)
            expected = float(train_script.distillation_loss(logits, soft, labels, settings))
            kl = measured[f"kl_forward@{temperature:g}"]
            ours = weight * temperature**2 * kl + (1 - weight) * measured["student_loss"]
            assert ours == pytest.approx(expected, rel=1e-5)


def test_a_measurement_goes_on_where_it_was_cut(traces: Path, tmp_path: Path) -> None:
    whole = measure_fidelity(DISTILLED, TEACHER, traces, output=tmp_path / "whole")
    folder = tmp_path / "cut"
    measure_fidelity(DISTILLED, TEACHER, traces, output=folder)
    (stored,) = (folder / "fidelity").glob("*.jsonl")
    content = stored.read_bytes()
    stored.write_bytes(content[: len(content) * 2 // 3])
    (folder / "fidelity.json").unlink()
    assert measure_fidelity(DISTILLED, TEACHER, traces, output=folder) == whole
    first, second = (json.loads((f / "fidelity.json").read_text()) for f in (tmp_path / "whole", folder))
    assert first == second
    assert sorted(stored.read_bytes().splitlines()) == sorted(content.splitlines())


def test_students_of_the_same_texts_share_a_file_and_other_settings_do_not(traces: Path, tmp_path: Path) -> None:
    measure_fidelity(BASE, TEACHER, traces, output=tmp_path)
    measure_fidelity(DISTILLED, TEACHER, traces, output=tmp_path)
    report = load_fidelity(tmp_path)
    assert report is not None
    assert [s.model for s in report.students] == [BASE, DISTILLED]
    measure_fidelity(BASE, TEACHER, traces, output=tmp_path, settings=FidelitySettings(temperatures=(3,)))
    report = load_fidelity(tmp_path)
    assert report is not None
    assert [s.model for s in report.students] == [BASE]
    assert "kl_forward@3" in values(report, BASE)


def test_a_teacher_is_its_own_best_student(traces: Path, tmp_path: Path) -> None:
    measured = values(measure_fidelity(TEACHER, TEACHER, traces, output=tmp_path), TEACHER)
    for name in ("kl_forward@1", "kl_reverse", "js", "tv@1"):
        assert measured[name] == pytest.approx(0, abs=1e-12)
    assert measured["acceptance@1"] == measured["top1_agreement"] == measured["topk_overlap"] == 1


def test_groups_part_the_tokens(texts: list[tuple[Any, str]], traces: Path, tmp_path: Path) -> None:
    settings = FidelitySettings(undecided=0.9999)
    student = measure_fidelity(DISTILLED, TEACHER, traces, output=tmp_path, settings=settings).students[0]
    count = {f.group: f.n for f in student.figures if f.measure == "kl_forward@1"}
    assert count["thinking"] + count["answer"] == count["all"]
    assert count["undecided"] + count["decided"] == count["all"]
    assert sum(n for group, n in count.items() if group.startswith("tokens ")) == count["all"]
    assert count["right"] + count["wrong"] == count["all"]
    _, tokenizer = load(TEACHER)
    close = tokenizer.convert_tokens_to_ids("</think>")
    thinking = sum(tokenizer(written)["input_ids"].index(close) for _, written in texts)
    assert count["thinking"] == thinking


def test_right_traces_rank_above_wrong_ones_of_the_same_problem(texts: list[tuple[Any, str]], tmp_path: Path) -> None:
    """The AUC within problems against counting pairs of mean log-probabilities from full logits."""
    pairs = [(p, script_text) for p, script_text in texts if script_text.endswith("1}") is False][:8]
    wrong = [(p, written.replace("=", "=1", 1)) for p, written in pairs]
    rows = [
        Trace(p.id, i, ({"role": "user", "content": p.prompt},), text, prefix="<think>\n", right=i == 0, reward=1.0 - i)
        for i, group in enumerate((pairs, wrong))
        for p, text in group
    ]
    report = measure_fidelity(DISTILLED, TEACHER, TraceSet(tuple(rows), "pairs", "", tmp_path))
    scores = []
    for group in (pairs, wrong):
        logits, labels = full_logits(DISTILLED, group)
        losses = [torch.nn.functional.cross_entropy(a[:-1], b[:-1]) for a, b in zip(logits, labels, strict=True)]
        scores.append([-float(loss) for loss in losses])
    expected = np.mean([good > bad for good, bad in zip(*scores, strict=True)])
    assert values(report)["student_ranking"] == pytest.approx(expected)
    assert values(report)["student_reward_correlation"] == pytest.approx(2 * expected - 1)


def other_tokenizer(folder: Path) -> str:
    """The student with two ordinary tokens exchanged: the same texts, other ids."""
    shutil.copytree(DISTILLED, folder)
    content = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = content["model"]["vocab"]
    vocabulary["7"], vocabulary["8"] = vocabulary["8"], vocabulary["7"]
    (folder / "tokenizer.json").write_text(json.dumps(content))
    return str(folder)


def test_other_tokenizers_get_bits_per_byte_and_the_reason(traces: Path, tmp_path: Path) -> None:
    student = other_tokenizer(tmp_path / "student")
    report = measure_fidelity(student, TEACHER, traces, output=tmp_path / "out")
    found = report.students[0]
    assert "the tokenizers differ in 2 tokens" in found.reason
    measured = values(report, student)
    assert {"student_bits_per_byte", "teacher_bits_per_byte"} <= measured.keys()
    assert not any(name.startswith(("kl", "js", "tv", "soft")) for name in measured)
    same = values(measure_fidelity(DISTILLED, TEACHER, traces, output=tmp_path / "same"))
    assert measured["teacher_bits_per_byte"] == pytest.approx(same["teacher_bits_per_byte"], rel=1e-5)


def test_renamed_added_tokens_are_compared_by_id(traces: Path, tmp_path: Path) -> None:
    student = tmp_path / "student"
    shutil.copytree(DISTILLED, student)
    for path in (student / "tokenizer.json", student / "tokenizer_config.json", student / "chat_template.jinja"):
        path.write_text(path.read_text().replace("<|im_start|>", "<|User|>"))
    report = measure_fidelity(str(student), TEACHER, traces, output=tmp_path / "out")
    assert any("<|im_start|> / <|User|>" in note for note in report.students[0].notes)
    same = values(measure_fidelity(DISTILLED, TEACHER, traces, output=tmp_path / "same"))
    assert values(report, str(student)) == pytest.approx(same, rel=1e-5, abs=1e-9)


def test_per_token_arrays_add_up(traces: Path, tmp_path: Path) -> None:
    report = measure_fidelity(DISTILLED, TEACHER, traces, output=tmp_path, per_token=True)
    files = sorted(tmp_path.glob("fidelity/*/*.npz"))
    assert len(files) == report.students[0].traces
    arrays = [np.load(path) for path in files]
    losses = np.concatenate([a["student_loss"] for a in arrays])
    assert losses.mean() == pytest.approx(values(report)["student_loss"])
    rows = [json.loads(line) for line in traces.read_text().splitlines()]
    assert {str(array["problem"]) for array in arrays} == {row["problem_id"] for row in rows}


@pytest.mark.slow
def test_drafting_as_transformers_does_it(texts: list[tuple[Any, str]], tmp_path: Path) -> None:
    """Tokens per pass of the teacher, told from its own samples, against assisted generation's passes."""
    hot = {name: str(tmp_path / name) for name in ("teacher", "student")}
    for name, checkpoint in (("teacher", TEACHER), ("student", BASE)):
        model, tokenizer = load(checkpoint)
        model.config.tie_word_embeddings = False
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight / 1.5)  # temperature 1.5, as a checkpoint
        model.save_pretrained(hot[name])
        tokenizer.save_pretrained(hot[name])
    teacher, tokenizer = load(hot["teacher"])
    student, _ = load(hot["student"])
    gamma = 4
    student.generation_config.num_assistant_tokens = gamma
    student.generation_config.num_assistant_tokens_schedule = "constant"
    student.generation_config.assistant_confidence_threshold = 0.0
    passes = 0

    def count(*_: Any) -> None:
        nonlocal passes
        passes += 1

    hook = teacher.register_forward_pre_hook(count)
    torch.manual_seed(0)
    rows: list[Trace] = []
    generated: list[int] = []
    by_text: list[int] = []
    for problem, _ in texts * 3:
        asked = [{"role": "user", "content": problem.prompt}]
        ids = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        before = passes
        out = teacher.generate(
            ids["input_ids"], assistant_model=student, do_sample=True, temperature=1.0, top_k=0, top_p=1.0,
            max_new_tokens=60, attention_mask=torch.ones_like(ids["input_ids"]),
        )  # fmt: skip
        written = out[0, ids["input_ids"].shape[1] :].tolist()
        ended = written[-1] == tokenizer.eos_token_id
        text = tokenizer.decode(written[:-1] if ended else written)
        if tokenizer(text)["input_ids"] != (written[:-1] if ended else written):
            continue  # sampled bytes that the tokenizer would join otherwise
        trace = Trace(
            problem.id, len(rows), ({"role": "user", "content": problem.prompt},), text, prefix="<think>\n",
            finished=ended,
        )  # fmt: skip
        rows.append(trace)
        generated.append(len(written))
        by_text.append(passes - before)
    hook.remove()
    report = measure_fidelity(
        hot["student"], hot["teacher"], TraceSet(tuple(rows), "samples", "", tmp_path / "out"),
        settings=FidelitySettings(gammas=(gamma,)),
    )  # fmt: skip
    measured = values(report, hot["student"])[f"tokens_per_pass@{gamma}"]
    seen = sum(generated) / sum(by_text)
    spread = np.std([n - seen * p for n, p in zip(generated, by_text, strict=True)]) * math.sqrt(len(rows))
    assert len(rows) > 40
    assert seen < gamma + 0.5
    assert abs(seen - measured) < 4 * spread / sum(by_text)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "is not a trace"),
        ('{"prompt": "a"}', "no prompt or no response"),
        ('{"messages": [{"role": "user", "content": "a"}]}', "do not end with the assistant's"),
        ('{"prompt": "a", "response": 3}', "its response is not text"),
    ],
)
def test_what_is_no_trace_is_named(tmp_path: Path, line: str, told: str) -> None:
    path = tmp_path / "traces.jsonl"
    path.write_text('{"prompt": "a", "response": "b"}\n' + line + "\n")
    with pytest.raises(EvalkitError, match="Line 2") as error:
        read_trace_file(path)
    assert told in str(error.value)


def test_the_command_prints_a_table(traces: Path, tmp_path: Path) -> None:
    from click.testing import CliRunner

    arguments = ["fidelity", DISTILLED, "--teacher", TEACHER, "--traces", str(traces), "-o", str(tmp_path)]
    out = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert "| KL(teacher, student) at T = 1 |" in out.output
    assert (tmp_path / "fidelity.json").exists()


@pytest.mark.slow
def test_a_run_is_read_and_shows_on_the_page_of_its_student(tmp_path: Path) -> None:
    """The demo's own way: evaluate teacher, base and student, measure on the teacher's run, write the page."""
    runs = {}
    for role, checkpoint in (("teacher", TEACHER), ("base", BASE), ("student", DISTILLED)):
        runs[role] = evaluate(
            checkpoint, "arithmetic", n=2, limit=8, max_tokens=64, output=tmp_path / role, progress=False, workers=1
        ).path
    report = measure_fidelity(DISTILLED, TEACHER, runs["teacher"])
    assert report.written_by == "teacher"
    student = report.students[0]
    assert (student.traces, student.compared) == (16, 16)
    assert not student.notes
    assert "tokens_per_pass@4" in values(report)
    own = measure_fidelity(DISTILLED, TEACHER, runs["student"])
    assert own.written_by == DISTILLED
    assert "tokens_per_pass@4" not in values(own)
    page = distillation(runs["student"], teacher=runs["teacher"], base=runs["base"])
    assert page.students[0].fidelity == student
    assert any("differs from the teacher by KL = " in sentence for sentence in page.verdict)
    assert "KL(teacher, student) at T = 1" in page.text("html")
