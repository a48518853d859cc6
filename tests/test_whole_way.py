"""The whole way of a distillation: base, teacher, transfer set, audit, contamination, training, runs, the page."""

import json
from pathlib import Path
from typing import Any

import pytest
from evalkit_tasks.arithmetic import test_problems, training_problems
from helpers import evalkit, records

FOLDER = Path(__file__).parents[1] / "examples" / "tiny_distill"

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


@pytest.mark.slow
def test_from_a_base_to_the_page(train_script: Any, tmp_path: Path) -> None:
    teacher = FOLDER / "teacher"
    tokenizer = transformers.AutoTokenizer.from_pretrained(teacher)
    settings = train_script.Settings()
    problems = training_problems()[train_script.VALIDATION :]

    base = train_script.make_model(tokenizer, train_script.STUDENT, 0)
    train_script.train(base, train_script.labelled(tokenizer, problems[:60]), 60, 32, 0, settings)
    train_script.save(base, tokenizer, tmp_path / "base")

    asked = problems[60:400]
    rows = [{"id": p.id, "problem": p.prompt, "answer": p.target} for p in asked]
    (tmp_path / "asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "bare.json").write_text(json.dumps({"prompts": {}, "max_tokens": 64}))
    results = tmp_path / "results"
    asking = ("--problems", tmp_path / "asked.jsonl", "--kind", "math", "--protocol", tmp_path / "bare.json")
    evalkit("run", teacher, *asking, "-n", "2", "--results", results / "transfer", "--quiet")

    made = tmp_path / "set.jsonl"
    told = evalkit("transfer", results / "transfer", "-o", made, "-k", "1").stderr
    assert "of 680 completions kept" in told
    examples = records(made)
    assert len(examples) > 300

    audit = evalkit("audit", made, "--gold", "gold").stdout
    assert f"{len(examples)} of {len(examples)} graded answers are right" in audit

    found = tmp_path / "contamination.json"
    evalkit("contamination", made, "-t", "arithmetic", "-o", found)
    assert json.loads(found.read_text())["tasks"]["arithmetic"]["problems"] == len(test_problems())

    texts = []
    for example in examples:
        prompt, answer = example["messages"]
        given = tokenizer.apply_chat_template([prompt], tokenize=False, add_generation_prompt=True)
        texts.append((given, answer["content"].removeprefix("<think>\n")))
    curve = train_script.train(base, train_script.encode(tokenizer, texts), 120, 32, 0, settings)
    assert curve[-1]["loss"] < curve[0]["loss"] / 2
    train_script.save(base, tokenizer, tmp_path / "student")

    for model in (tmp_path / "base", tmp_path / "student", teacher):
        evalkit("run", model, "-t", "arithmetic", "--limit", "30", "-n", "4", "--max-tokens", "64", "--results",
                results / "final", "--quiet")  # fmt: skip
    page = tmp_path / "page.html"
    roles = ("--teacher", results / "final" / "teacher", "--base", results / "final" / "base")
    evalkit("distill", results / "final" / "student", *roles, "--without-contaminated", found, "-o", page)
    assert "How much of the gap is closed" in page.read_text()
    assert "On clean problems" in page.read_text()
