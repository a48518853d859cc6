"""Transfer sets: what is kept and what is not, and what an audit says of a set."""

from pathlib import Path
from typing import Any

import pytest
from helpers import evalkit, records, told
from peer_logs import write_lines, write_parquet
from synthetic import aime_rows, write_all

from evalkit import EvalkitError, import_run
from evalkit.transfer import audit_set, make_transfer_set
from evalkit.transfer.quality import is_looping, mixes_languages, same_text

FIELDS = "text=out,problem=problem,gold=gold,finish_reason=end"
GOOD = "<think>\nSix sevens make forty-two, as {way} shows.\n</think>\n\nSo it is \\boxed{{42}}."


def row(outs: list[str], end: str = "stop", problem: str = "What is 6 * 7?") -> dict[str, Any]:
    return {"problem": problem, "gold": "42", "out": outs, "end": end}


RESPONSES = {
    "kept": GOOD.format(way="counting"),
    "wrong": "<think>\nHm.\n</think>\n\n\\boxed{41}",
    "no answer": "<think>\nHm.\n</think>\n\nI cannot say.",
    "looping": "<think>\n" + "We try it once more and get nothing. " * 60 + "\n</think>\n\n\\boxed{42}",
    "mixed languages": "<think>\nFirst 我们把六和七相乘得到四十二 as they say.\n</think>\n\n\\boxed{42}",
    "duplicate": GOOD.format(way="  COUNTING"),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An imported run with one completion for each reason, and five good ones of another problem."""
    folder = tmp_path_factory.mktemp("transfer")
    others = [GOOD.format(way=f"{'every ' * i}way {'of ' * i}{i}") for i in range(5)]
    log = [row(list(RESPONSES.values())), row([*others, GOOD.format(way="a cut one")], problem="What is 40 + 2?")]
    for number, entry in enumerate(log):
        entry["end"] = ["stop"] * 5 + ["length" if number else "stop"]
    write_lines(folder / "log.jsonl", log)
    return import_run(folder / "log.jsonl", folder / "run", fields=FIELDS, model="lab/teacher", workers=1).path


def test_each_reason_of_rejection_is_counted(run: Path) -> None:
    made = make_transfer_set(run, per_problem=3)
    expected = {reason: 1 for reason in RESPONSES if reason != "kept"}
    assert dict(made.rejected) == {**expected, "cut": 1, "beyond k": 2}
    assert made.completions == 12
    assert len(made.examples) == 4
    assert len(made.examples) + sum(made.rejected.values()) == made.completions
    for example in made.examples:
        assert "\\boxed{42}" in example.response
        assert example.gold == "42"


def test_a_problem_has_four_examples_where_nothing_else_is_asked_for(run: Path) -> None:
    assert make_transfer_set(run) == make_transfer_set(run, per_problem=4)
    assert make_transfer_set(run).rejected["beyond k"] == 1


def test_a_run_that_is_named_twice_is_counted_once(run: Path) -> None:
    made = make_transfer_set([run, run.parent, run.parent / "." / run.name], per_problem=3)
    assert made == make_transfer_set(run, per_problem=3)


def test_the_card_tells_the_counts_and_the_reasons(run: Path, tmp_path: Path) -> None:
    made = make_transfer_set(run, per_problem=1)
    path, card = made.save(tmp_path / "set.jsonl")
    text = card.read_text()
    assert "2 examples, kept of 12 completions" in text
    for reason, count in made.rejected.items():
        assert f"| {reason} | {count} |" in text
    assert "lab/teacher" in text
    assert len(records(path)) == 2


def test_lines_and_parquet_hold_the_same_and_the_same_run_gives_the_same(run: Path, tmp_path: Path) -> None:
    from pyarrow import parquet

    for name in ("a.jsonl", "b.jsonl", "c.parquet"):
        make_transfer_set(run, per_problem=2).save(tmp_path / name)
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    rows = records(tmp_path / "a.jsonl")
    assert parquet.read_table(tmp_path / "c.parquet").to_pylist() == rows
    for one in rows:
        assert [m["role"] for m in one["messages"]] == ["user", "assistant"]
        assert "</think>" in one["messages"][1]["content"]
        assert one["source"]["model"] == "lab/teacher"


def test_the_shortest_and_the_most_unlike_are_chosen(run: Path) -> None:
    def ways(choose: Any, k: int) -> list[str]:
        made = make_transfer_set(run, per_problem=k, choose=choose)
        return [e.response.partition("as ")[2].partition(" shows")[0] for e in made.examples if "way" in e.response]

    assert ways("shortest", 1) == ["way 0"]
    diverse = ways("diverse", 2)
    assert "way 0" in diverse
    assert diverse[1].endswith(("3", "4"))
    assert len(set(ways("random", 3))) == 3


def test_problems_that_differ_in_a_sign_alone_are_two(tmp_path: Path) -> None:
    rows = [{**row([GOOD.format(way="it")], problem=f"What is 50 {sign} 8?"), "gold": "42"} for sign in "+-*"]
    write_lines(tmp_path / "log.jsonl", rows)
    done = import_run(tmp_path / "log.jsonl", tmp_path / "run", fields=FIELDS, model="m", workers=1)
    assert len(make_transfer_set(done.path, per_problem=1).examples) == 3


def test_halves_of_characters_are_no_obstacle(tmp_path: Path) -> None:
    from pyarrow import parquet

    write_lines(tmp_path / "log.jsonl", [row([GOOD.format(way="\ud83d")], problem="What is \udc00 6 * 7?")])
    done = import_run(tmp_path / "log.jsonl", tmp_path / "run", fields=FIELDS, model="m", workers=1)
    for name in ("a.jsonl", "a.parquet"):
        make_transfer_set(done.path).save(tmp_path / name)
    (one,) = records(tmp_path / "a.jsonl")
    assert "as \ufffd shows" in one["messages"][1]["content"]
    assert parquet.read_table(tmp_path / "a.parquet").to_pylist() == [one]
    write_lines(tmp_path / "halves.jsonl", [example(GOOD.format(way="\ud83d"), "\udc00?")] * 2)
    assert audit_set(tmp_path / "halves.jsonl").faults["duplicate"].count == 1


@pytest.mark.parametrize(
    ("options", "words"), [({"per_problem": 0}, "per_problem is 0"), ({"choose": "best"}, "no way 'best'")]
)
def test_options_are_checked(run: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(EvalkitError, match=words):
        make_transfer_set(run, **options)


def test_nothing_that_can_be_kept_is_an_error(tmp_path: Path) -> None:
    write_lines(tmp_path / "log.jsonl", [row(["\\boxed{1}"])])
    done = import_run(tmp_path / "log.jsonl", tmp_path / "run", fields=FIELDS, model="m", workers=1)
    assert "1 wrong" in told(evalkit("transfer", done.path, "-o", tmp_path / "set.jsonl", code=2))
    assert not (tmp_path / "set.jsonl").exists()


@pytest.mark.slow
def test_the_commands_hand_on_to_each_other(run: Path, tmp_path: Path) -> None:
    done = evalkit("transfer", run, "-o", tmp_path / "set.jsonl", "-k", "2")
    assert "3 of 12 completions kept" in done.stderr
    audited = evalkit("audit", tmp_path / "set.jsonl", "--gold", "gold")
    assert "3 records" in audited.stdout
    assert "no faults" in audited.stdout
    assert "3 of 3 graded answers are right" in audited.stdout
    assert "cannot be written" in told(evalkit("transfer", run, "-o", tmp_path / "set.csv", code=2))


@pytest.mark.slow
def test_a_set_of_a_benchmarks_problems_is_told_on_the_terminal(tmp_path: Path) -> None:
    data = write_all(tmp_path / "data")
    thought = "<think>\nI double the number.\n</think>\n\n"
    rows = [{"text": f"{thought}\\boxed{{{2 * i}}}", "problem": one["problem"]} for i, one in enumerate(aime_rows())]
    write_lines(tmp_path / "rows.jsonl", rows)
    recorded = ("--engine", "replay", "--recorded", tmp_path / "rows.jsonl", "--map", "text=text,problem=problem")
    options = ("-n", "1", "--limit", "3", "--data", data, "--allow-changed-data", "-o", tmp_path / "run")
    evalkit("run", "m", "-t", "aime24", *recorded, *options)
    done = evalkit("transfer", tmp_path / "run", "-o", tmp_path / "set.jsonl", "--data", data)
    warning = "These are problems of aime24: scores on them say nothing of a model that was trained on this set."
    assert f"warning: {warning}" in done.stderr
    assert warning in (tmp_path / "set.md").read_text()


BAD = {
    "thinking not closed": "<think>\nI wonder, and wonder.",
    "no thinking": "It is \\boxed{42}.",
    "no box": "<think>\na\n</think>\n\nIt is 42.",
    "cut": "<think>\na\n</think>\n\nIt is \\boxed{4",
    "looping": RESPONSES["looping"],
    "mixed languages": RESPONSES["mixed languages"],
    "wrong": "<think>\na\n</think>\n\n\\boxed{41}",
}


def example(response: str, prompt: str = "What is 6 * 7?") -> dict[str, Any]:
    messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
    return {"messages": messages, "gold": "42"}


@pytest.fixture
def flawed(tmp_path: Path) -> Path:
    good = [example(GOOD.format(way=f"way {i}"), f"Problem {i}: what is 6 * 7?") for i in range(12)]
    return write_lines(tmp_path / "set.jsonl", [*good, good[0], {"nothing": 1}, *map(example, BAD.values())])


def test_every_fault_is_found_where_it_is(flawed: Path) -> None:
    found = audit_set(flawed, gold="gold")
    assert found.records == 21
    for number, name in enumerate(BAD, start=15):
        assert f"{flawed}:{number}" in found.faults[name].first, name
    assert found.faults["duplicate"].first == (f"{flawed}:13",)
    assert found.faults["unreadable"].first == (f"{flawed}:14",)
    assert sum(found.histograms["characters of a response"].values()) == 20
    assert found.graded is not None
    right, graded = found.graded
    assert graded - right == found.faults["wrong"].count


@pytest.mark.slow
def test_the_exit_code_is_for_a_pipeline(flawed: Path) -> None:
    done = evalkit("audit", flawed, code=1)
    assert "above what is allowed: looping" in done.stderr
    allowed = [part for name in audit_set(flawed).faults for part in ("--allow", f"{name}=0.9")]
    evalkit("audit", flawed, *allowed)
    assert "no fault 'loping'" in told(evalkit("audit", flawed, "--allow", "loping=1", code=2))


def test_other_layouts_of_a_record_are_read(tmp_path: Path) -> None:
    response = GOOD.format(way="it")
    turns = [{"from": "human", "value": "What?"}, {"from": "gpt", "value": response}]
    prompts = [{"role": "user", "content": "What?"}]
    layouts = [{"conversations": turns}, {"prompt": "What is it?", "completion": response},
               {"prompt": prompts, "completion": [{"role": "assistant", "content": response + " Yes."}]},
               {"problem": "Which?", "generation": response}]  # fmt: skip
    assert not audit_set(write_lines(tmp_path / "a.jsonl", layouts)).faults
    write_parquet(tmp_path / "b.parquet", [example(response)])
    assert audit_set(tmp_path / "b.parquet", gold="gold").graded == (1, 1)


@pytest.mark.parametrize(
    ("text", "mixed"),
    [
        ("Let α and β be roots of x² − 1 = 0, so ∑ αᵢ = 0 and ℝ is meant.", False),
        ("Мы складываем числа x и y и получаем 42.", False),
        ("Это число, а потом 我们继续计算这个问题 дальше.", True),
        ("So the sum is 答案是四十二 as shown.", True),
        ("Naïve Bézier curves are smooth enough.", False),
        ("私はカタカナと漢字を書きます。", False),
        ("", False),
    ],
)
def test_scripts_are_told_apart(text: str, mixed: bool) -> None:
    assert mixes_languages(text) is mixed


def test_loops_are_found_at_the_end_and_inside() -> None:
    varied = " ".join(f"Step {i} adds {i * i} to {i + 3} because of rule {i % 7}." for i in range(200))
    loop = "Wait, let me check this again. " * 50
    assert not is_looping(varied)
    assert is_looping(varied + loop)
    assert is_looping(loop + "So it is 42.")
    assert same_text("A  b\n1.") == "ab1."


@pytest.mark.slow
def test_trl_trains_on_the_set_as_it_is(run: Path, tmp_path: Path) -> None:
    trl = pytest.importorskip("trl", reason="pip install trl")
    import datasets
    from transformers import AutoModelForCausalLM, AutoTokenizer

    checkpoint = Path(__file__).parents[1] / "examples" / "tiny_distill" / "teacher"
    for name, kind in (("set.jsonl", "json"), ("set.parquet", "parquet")):
        make_transfer_set(run).save(tmp_path / name)
        rows = datasets.load_dataset(kind, data_files=str(tmp_path / name), split="train", cache_dir=str(tmp_path))
        model = AutoModelForCausalLM.from_pretrained(checkpoint)
        before = model.model.embed_tokens.weight.detach().clone()
        arguments = trl.SFTConfig(
            output_dir=str(tmp_path / "out"), max_steps=3, per_device_train_batch_size=2, report_to=[], use_cpu=True,
            max_length=256, save_strategy="no", bf16=False, learning_rate=1e-3,
        )  # fmt: skip
        tokenizer = AutoTokenizer.from_pretrained(checkpoint)
        trainer = trl.SFTTrainer(model=model, args=arguments, train_dataset=rows, processing_class=tokenizer)
        assert trainer.train().global_step == 3
        assert not (model.model.embed_tokens.weight.detach() == before).all()
