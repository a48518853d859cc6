"""Rollouts of verifiers, parts of OpenCompass and seeds of NeMo-Skills with every field that they may have."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peer_logs
import pytest
from peer_logs import write, write_lines

from evalkit import EvalkitError
from evalkit.importers.reader import find_logs
from evalkit.importers.record import ImportedSample, PeerVerdict


def fault(call: Callable[[], Any]) -> str:
    with pytest.raises(EvalkitError) as error:
        call()
    return error.value.message


def samples(path: Path) -> list[ImportedSample]:
    (log,) = find_logs(str(path)).logs
    return list(log.samples())


def episode(**trace: Any) -> dict[str, Any]:
    data = {"idx": 4, "prompt": "Q", "answer": "5"}
    return {"env": {"id": "sums"}, "task": {"data": data}, "errors": [], "traces": [trace] if trace else []}


def test_rollouts_of_verifiers(tmp_path: Path) -> None:
    nodes = [{"message": {"content": "Q"}}, {"message": {"content": "A", "reasoning": "r"}, "sampled": True}]
    usage = {"prompt_tokens": 3, "cached_input_tokens": 6, "completion_tokens": 9}
    call = {"node": 1, "finish_reason": "max_tokens", "usage": usage, "time": {"start": 2.0, "end": 3.5}}
    rewards = {"a": {"score": 0.5, "weight": 0.5}, "b": 0.25, "c": None}
    rows = [
        episode(nodes=nodes, calls=[{"node": 0}, call], rewards=rewards, errors=[]),
        episode(nodes=nodes, calls=[{}, {}], rewards={"a": 1.5}),
        {**episode(nodes=nodes[:1]), "errors": ["gone"]},
        episode(),
    ]
    path = write_lines(tmp_path / "traces.jsonl", rows)
    common: dict[str, Any] = {"position": 4, "problem": "Q", "prompt": "Q", "gold": "5"}
    assert samples(path) == [
        ImportedSample(
            "4", 0, "A", reasoning="r", finish_reason="length", peer_finish_reason="max_tokens", prompt_tokens=9,
            completion_tokens=9, seconds=1.5, verdicts=(PeerVerdict("reward", 0.5),), **common,
        ),
        ImportedSample("4", 1, "A", reasoning="r", **common),
        ImportedSample("4", 2, "", error="gone", **common),
        ImportedSample("4", 3, "", error="nothing was generated", **common),
    ]  # fmt: skip
    write_lines(path, [episode(nodes=[*nodes, nodes[1]])])
    assert "it has 2 sampled messages, which are not one completion" in fault(lambda: samples(path))
    write_lines(path, [{**episode(), "traces": [{}, {}]}])
    assert "it has 2 traces, which are not one completion" in fault(lambda: samples(path))
    write_lines(path, rows[3:])
    assert "nothing was generated: all its completions are empty" in fault(lambda: samples(path))


def test_rollouts_of_verifiers_before_traces(tmp_path: Path) -> None:
    row = {"example_id": 2, "prompt": "Q", "completion": "A", "reward": 0.5, "info": {"answer": "5"}}
    rows = [
        {**row, "is_truncated": True, "token_usage": {"output_tokens": 7.0}},
        {**row, "error": "gone", "is_truncated": False},
        {**row, "completion": [], "reward": 2.0},
    ]
    path = write_lines(tmp_path / "results.jsonl", rows)
    common: dict[str, Any] = {"position": 2, "problem": "Q", "prompt": "Q", "gold": "5"}
    assert samples(path) == [
        ImportedSample(
            "2", 0, "A", finish_reason="length", peer_finish_reason="is_truncated", completion_tokens=7,
            verdicts=(PeerVerdict("reward", 0.5),), **common,
        ),
        ImportedSample("2", 1, "", error="gone", **common),
        ImportedSample("2", 2, "", error="nothing was generated", **common),
    ]  # fmt: skip
    turns = [{"role": "assistant", "content": "A"}, {"role": "user", "content": "And?"}]
    write_lines(path, [{**row, "completion": turns}])
    assert "its completion has 2 messages, which are several turns" in fault(lambda: samples(path))


def test_entries_of_opencompass(tmp_path: Path) -> None:
    entry = {"origin_prompt": "Q", "prediction": ["a", "b"], "gold": ["4", "four"]}
    path = write(tmp_path / "predictions" / "m" / "aime_2024.json", {"1": {**entry, "origin_prompt": "R"}, "0": entry})
    assert samples(path) == [
        ImportedSample(
            f"aime_2024_{i}", k, text, position=i, prompt="QR"[i], gold="4", golds=("4", "four")
        )
        for i in range(2)
        for k, text in enumerate("ab")
    ]  # fmt: skip
    write(path, {"0": entry, "2": entry})
    assert "its entry 1 is missing" in fault(lambda: samples(path))
    write(path, '{"0": %s, "0": %s}' % ((json.dumps(entry),) * 2))
    assert "its entry 0 is there twice" in fault(lambda: samples(path))
    write(path, {"0": entry, "x": entry})
    assert "its entry 'x' is no number" in fault(lambda: samples(path))
    write(path, {"0": entry, "1": {"origin_prompt": "R"}})
    assert "its entry 1 has no prediction" in fault(lambda: samples(path))


def test_runs_that_results_of_opencompass_tell_of(tmp_path: Path) -> None:
    run = peer_logs.write_opencompass(tmp_path)
    write(run / "results" / "student" / "sums.json", {"accuracy (3 runs average)": 75.0, "details": []})
    assert "results/ tells of 3 runs, which its 4 rows do not show" in fault(lambda: samples(run))


def test_fields_of_nemo_skills(tmp_path: Path) -> None:
    row = {
        "problem": "Q", "expected_answer": 5, "generation": "A", "generation_time": 2, "predicted_answer": "5",
        "judgement": "Judgement: **Yes**", "is_correct": 0, "graded_list": [True],
    }  # fmt: skip
    rows = [{**row, "reasoning_content": "r"}, {**row, "problem": "R", "_generation_finished_thinking": True}]
    common: dict[str, Any] = {"gold": "5", "seconds": 2.0, "answer": "5"}
    verdicts = tuple(
        PeerVerdict(name, value, "sample", "5")
        for name, value in (("is_correct", 0.0), ("judgement", 1.0), ("graded_list", 1.0))
    )
    assert samples(write_lines(tmp_path / "sums" / "output-rs3.jsonl", rows)) == [
        ImportedSample("0", 3, "A", "raw", "r", 0, "Q", "Q", verdicts=verdicts, **common),
        ImportedSample("1", 3, "A", "thinking removed", None, 1, "R", "R", verdicts=verdicts, **common),
    ]


def test_a_generation_alone_or_with_programs_is_not_of_nemo_skills(tmp_path: Path) -> None:
    for row in ({"generation": "A"}, {"generation": "A", "generation_time": 1.0, "code": "x"}):
        path = write_lines(tmp_path / "rows.jsonl", [row])
        assert "holds no log of a harness that evalkit knows" in fault(lambda: samples(path))  # noqa: B023


ROW = {"generation": "A", "problem": "Q", "expected_answer": "5"}


@pytest.mark.parametrize(
    ("file", "extra", "task"),
    [
        *(("rows.jsonl", {name: 1}, "rows") for name in
          ("num_generated_tokens", "generation_start_time", "generation_time")),
        *(("rows.jsonl", {name: "x"}, "rows") for name in
          ("predicted_answer", "_full_generation", "serialized_output", "judgement")),
        ("rows.jsonl", {"symbolic_correct": True}, "rows"),
        ("output-rs7.jsonl", {}, "sums"), ("output.jsonl", {}, "sums"), ("output-greedy.jsonl", {}, "sums"),
    ],
)  # fmt: skip
def test_what_is_of_nemo_skills(file: str, extra: dict[str, Any], task: str, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "sums" / file, [{**ROW, **extra}])
    (log,) = find_logs(str(path)).logs
    assert (log.reader.name, log.reader.title, log.task) == ("nemo_skills", "NeMo-Skills", task)
    (sample,) = log.samples()
    assert (sample.text, sample.gold, sample.sample_index) == (
        extra.get("_full_generation", "A"),
        "5",
        7 if "7" in file else 0,
    )


@pytest.mark.parametrize(
    ("file", "row"),
    [
        ("other.jsonl", ROW), ("output-rs.jsonl", ROW), ("output-rs1.json", ROW), ("outputs.jsonl", ROW),
        ("output.jsonl", {"generation": "A"}), ("output-rs1.jsonl", {"expected_answer": "5"}),
        ("output.jsonl", {**ROW, "code": "x"}),
    ],
)  # fmt: skip
def test_what_is_not_of_nemo_skills(file: str, row: dict[str, Any], tmp_path: Path) -> None:
    path = write_lines(tmp_path / "sums" / file, [row])
    assert "holds no log of a harness that evalkit knows" in fault(lambda: samples(path))


@pytest.mark.parametrize("name", ["symbolic_correct", "predicted_answer", "judgement"])
def test_metrics_alone_are_refused_as_such(name: str, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "output-rs0.jsonl", [{name: "x", "expected_answer": "5"}])
    assert fault(lambda: samples(path)).endswith("it was trimmed to metrics and has no generation.")


def test_seeds_of_different_lengths_of_nemo_skills(tmp_path: Path) -> None:
    """A line that the first seed does not have has nothing to be held against."""
    folder = tmp_path / "sums"
    write_lines(folder / "output-rs0.jsonl", [ROW])
    write_lines(folder / "output-rs1.jsonl", [ROW, {**ROW, "problem": "R"}, {**ROW, "problem": "S"}])
    found = [(s.problem_id, s.sample_index, s.problem) for s in samples(folder)]
    assert found == [("0", 0, "Q"), ("0", 1, "Q"), ("1", 1, "R"), ("2", 1, "S")]
    write_lines(folder / "output-rs1.jsonl", [{**ROW, "problem": "R"}])
    assert fault(lambda: samples(folder)).endswith("it has another problem than that line of output-rs0.jsonl.")


@pytest.mark.parametrize(("field", "told"), [("htmls", "3 reports for 4"), ("convos", "4 reports for 3")])
def test_a_result_of_simple_evals_with_a_part_missing(field: str, told: str, tmp_path: Path) -> None:
    content = peer_logs.simple_evals_content()
    content[field].pop()
    path = write(tmp_path / "math_m_allresults.json", content)
    assert fault(lambda: samples(path)) == f"{path} cannot be imported: it has {told} conversations."


@pytest.mark.parametrize(
    ("messages", "told"),
    [
        ([], "it has no question and answer"),
        ([{"role": "assistant", "content": "A"}], "it has no question and answer"),
        ([{"role": "user", "content": "What is 7 * 9?"}, {"role": "user", "content": "R"}],
         "its conversation does not end with the model's message"),
    ],
)  # fmt: skip
def test_a_conversation_of_simple_evals_without_an_answer(messages: Any, told: str, tmp_path: Path) -> None:
    content = peer_logs.simple_evals_content()
    content["convos"][1] = messages
    assert told in fault(lambda: samples(write(tmp_path / "math_m_allresults.json", content)))


@pytest.mark.parametrize(
    ("report", "answer", "score"),
    [
        ("<p>Extracted Answer: 5</p><p>Score: 1.0</p>", "5", 1.0), ("<p>Extracted Answer: None</p>", None, None),
        ("<p>Score: 0</p>", None, 0.0), ("<p>Score: 1.01</p>", None, None), ("<p>Score: -0.1</p>", None, None),
        ("<p>Score: x</p>", None, None), ("<p>Extracted Answer: a &lt; b</p><p>Score: 0.5</p>", "a < b", 0.5),
    ],
)  # fmt: skip
def test_what_a_report_of_simple_evals_tells(
    report: str, answer: str | None, score: float | None, tmp_path: Path
) -> None:
    content = peer_logs.simple_evals_content()
    content["htmls"][0] = report
    sample = samples(write(tmp_path / "math_m_allresults.json", content))[0]
    verdicts = () if score is None else (PeerVerdict("score", score, "sample", answer),)
    assert (sample.answer, sample.verdicts) == (answer, verdicts)
    assert (sample.prompt, sample.text) == (peer_logs.PROBLEMS[0][1], peer_logs.text(0, 0))


def test_a_system_message_of_simple_evals_is_of_the_prompt(tmp_path: Path) -> None:
    content = peer_logs.simple_evals_content()
    for conversation in content["convos"]:
        conversation.insert(0, {"role": "system", "content": "Be brief."})
    found = samples(write(tmp_path / "math_m_allresults.json", content))
    prompts = [f"Be brief.\n\n{problem}" for _, problem, _ in peer_logs.PROBLEMS]
    assert [(s.prompt, s.problem_id, s.sample_index) for s in found] == [
        (prompts[i], str(i), k) for k in range(2) for i in range(2)
    ]


def report_of(*sections: tuple[str, str, str], end: str = "</html>") -> str:
    """A report of simple-evals alone: a question, an answer and what is told of it."""
    shown = "".join(
        f'<h3>Prompt conversation</h3><div class="message user"><pre>{asked}</pre></div><h3>Sampled message</h3>\n'
        f'<div class="message assistant">\n<pre>{text}</pre></div><h3>Results</h3>\n{told}\n'
        for asked, text, told in sections
    )
    return f"<!DOCTYPE html><html>\n{shown}{end}"


TOLD = "<p>Correct Answer: B</p>\n<p>Extracted Answer: A</p>\n<p>Score: 0.0</p>"
CHOICES, SWAPPED = "Which?\n\nA) one\nB) two", "Which?\n\nA) two\nB) one"


def test_a_report_of_simple_evals_alone(tmp_path: Path) -> None:
    text = report_of(
        (CHOICES, "It is A &amp; B.", TOLD),
        ("1 &lt; 2?", "No response (bad request).", "<p>Score: x</p>"),
        (SWAPPED, "A", TOLD),
        ("1 &lt; 2?", "yes", "<p>Score: 1</p>\n<p>Correct Answer: yes</p>"),
    )
    (log,) = find_logs(str(write(tmp_path / "gpqa_o4-mini_20260102_030405.html", text))).logs
    assert (log.reader.name, log.reader.title, log.task) == ("simple_evals", "simple-evals", "gpqa")
    assert log.facts().model == "o4-mini"
    wrong = (PeerVerdict("score", 0.0, "sample", "A"),)
    common: dict[str, Any] = {
        "prompt": CHOICES,
        "gold": "B",
        "choices": ("one", "two"),
        "answer": "A",
        "verdicts": wrong,
    }
    right = (PeerVerdict("score", 1.0, "sample", None),)
    assert list(log.samples()) == [
        ImportedSample("0", 0, "It is A & B.", position=0, **common),
        ImportedSample("1", 0, "", position=1, prompt="1 < 2?", error="the server refused the request"),
        ImportedSample("0", 1, "A", position=0, **{**common, "prompt": SWAPPED, "choices": ("two", "one")}),
        ImportedSample("1", 1, "yes", position=1, prompt="1 < 2?", gold="yes", verdicts=right),
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (report_of(("Q", "A", TOLD), end=""), "the report is cut"),
        (report_of(("Q", "A", TOLD), ("R", "A", "<p>Correct Answer: B</p>")),
         "it has no question, answer and score"),
        (report_of(("Q", "A", TOLD)).replace("message user", "messages user"), "it has no question, answer and score"),
    ],
    ids=["cut", "no score", "no question"],
)  # fmt: skip
def test_a_report_of_simple_evals_that_is_not_whole(text: str, told: str, tmp_path: Path) -> None:
    assert told in fault(lambda: samples(write(tmp_path / "gpqa_m.html", text)))


@pytest.mark.parametrize(
    "text",
    [
        report_of(("Q", "A", TOLD)).removeprefix("<!DOCTYPE html>"), report_of(("Q", "A", "<p>Score: 1</p>")),
        report_of(("Q", "A", TOLD)).replace("Prompt conversation", "Conversation"),
    ],
    ids=["no document", "no answer", "no conversation"],
)  # fmt: skip
def test_what_is_no_report_of_simple_evals(text: str, tmp_path: Path) -> None:
    assert "holds no log of a harness that evalkit knows" in fault(lambda: samples(write(tmp_path / "m.html", text)))


@pytest.mark.parametrize("count", [1, 2, 10])
def test_choices_of_simple_evals_have_the_letters_in_order(count: int, tmp_path: Path) -> None:
    letters = "ABCDEFGHIJ"[:count]
    asked = "Which?\n\n" + "\n".join(f"{letter}) is {letter}" for letter in letters)
    (one,) = samples(write(tmp_path / "mmlu_m.html", report_of((asked, "A", TOLD))))
    assert one.choices == (tuple(f"is {letter}" for letter in letters) if count > 1 else ())
    swapped = asked.replace("A) ", "C) ")
    (other,) = samples(write(tmp_path / "mmlu_m.html", report_of((swapped, "A", TOLD))))
    assert other.choices == ()
