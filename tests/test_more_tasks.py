"""The tasks that measure forgetting, the contests of 2025 and 2026, suites, and files of problems."""

import json
from pathlib import Path
from typing import Any

import pytest
from evalkit_tasks.gsm8k import GSM8K
from evalkit_tasks.matharena import AIME25, AIME26, HMMTFeb25
from evalkit_tasks.mmlu_pro import MMLUPro
from evalkit_tasks.suites import FORGETTING, R1
from helpers import evalkit, told
from peer_logs import write_lines, write_parquet

from evalkit import DataSource, EvalkitError, Problem, Score, Task
from evalkit.benchmark.protocols import available_protocols
from evalkit.benchmark.suites import installed_suites, task_names
from evalkit.importers.problem_file import ProblemFile, parse_fields
from evalkit.run.contract import check_task
from evalkit.run.planning import choose_tasks

TINY = Path(__file__).parents[1] / "examples" / "tiny_distill"


def passed(task: Task, source: DataSource) -> None:
    (chosen,) = choose_tasks(task)
    broken = [check for check in check_task(chosen.spec, source) if check.passed is False]
    assert not broken, broken


CONTESTS: dict[type[Task], list[str]] = {
    AIME25: ["70", "588", "016"],
    AIME26: ["277", "62"],
    HMMTFeb25: ["103", "\\frac{1}{576}", "1-\\frac{2}{\\pi}", "2^{25} \\cdot 26!", "14+4\\sqrt{37}",
                "\\frac{-1+\\sqrt{17}}{2}, \\frac{-1-\\sqrt{17}}{2}"],
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("task", CONTESTS, ids=lambda task: task.name)
def test_a_contest_reads_matharenas_columns_and_grades_its_answers(task: type[Task], tmp_path: Path) -> None:
    answers = CONTESTS[task] * 15
    rows = [{"problem_idx": i, "problem": f"Problem {i}.", "answer": a} for i, a in enumerate(answers[:30], start=1)]
    assert task.dataset is not None
    write_lines(tmp_path / task.dataset.hub_id.split("/")[1] / "train.jsonl", rows)
    source = DataSource(tmp_path, allow_changed=True)
    passed(task(), source)
    problem = task().load(source)[0]
    assert task().score(problem, "I get \\boxed{12345}.").status == "wrong"
    write_lines(tmp_path / task.dataset.hub_id.split("/")[1] / "train.jsonl", rows[:29])
    with pytest.raises(EvalkitError, match="rows"):
        task().load(DataSource(tmp_path))


@pytest.mark.real_data
def test_gsm8k_gold_against_gold(data_dir: Path) -> None:
    passed(GSM8K(), DataSource(data_dir))


def test_gsm8k_takes_the_number_behind_the_marks(tmp_path: Path) -> None:
    rows = [{"question": "How many?", "answer": "He has 1,200 - 3.\n#### 1,197"}]
    write_lines(tmp_path / "gsm8k" / "test.jsonl", rows)
    (problem,) = GSM8K().load(DataSource(tmp_path, allow_changed=True))
    assert problem.target == "1197"
    assert GSM8K().score(problem, "So he has \\boxed{1,197} coins.").status == "correct"
    write_lines(tmp_path / "gsm8k" / "test.jsonl", [{"question": "How many?", "answer": "12"}])
    with pytest.raises(EvalkitError, match="no `####`"):
        GSM8K().load(DataSource(tmp_path, allow_changed=True))


def mmlu_rows() -> list[dict[str, Any]]:
    counts = (10, 4, 7, 3)
    return [
        {"question_id": i, "question": f"Which is number {i}?", "options": [f"choice {j} of {i}" for j in range(n)],
         "answer": "ABCDEFGHIJ"[n - 1], "answer_index": n - 1, "category": ("law", "physics")[i % 2]}
        for i, n in enumerate(counts)
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_the_letters_of_mmlu_pro_come_from_the_problem(kind: str, tmp_path: Path) -> None:
    if kind == "jsonl":
        write_lines(tmp_path / "MMLU-Pro" / "test.jsonl", mmlu_rows())
    else:
        (tmp_path / "MMLU-Pro" / "data").mkdir(parents=True)
        write_parquet(tmp_path / "MMLU-Pro" / "data" / "test-00000-of-00001.parquet", mmlu_rows())
    source = DataSource(tmp_path, allow_changed=True)
    task = MMLUPro()
    task.prompt = available_protocols()["deepseek-r1"].prompts["choice"]
    problems = task.load(source)
    prompts = [task.messages(problem)[0]["content"] for problem in problems]
    for prompt, letters in zip(prompts, ("ABCDEFGHIJ", "ABCD", "ABCDEFG", "ABC"), strict=True):
        assert f"one of {letters}." in prompt
        assert f"\n{letters[-1]}) " in prompt
    assert task.score(problems[0], "Answer: J").status == "correct"
    assert task.score(problems[0], "Answer: A").status == "wrong"
    passed(MMLUPro(), source)
    scores = {p.id: [Score(1.0 if p.metadata["category"] == "law" else 0.0, "correct")] for p in problems}
    assert {m.name: m.value for m in task.extra_metrics(problems, scores)} == {"law": 100.0, "physics": 0.0}


def test_the_suites_name_installed_tasks() -> None:
    suites = installed_suites()
    assert suites == {"r1": R1, "forgetting": FORGETTING}
    assert task_names("r1, gsm8k,forgetting") == [*R1, *FORGETTING]
    assert [chosen.task.name for chosen in choose_tasks("r1")] == list(R1)
    assert "suite: gsm8k, mmlu_pro, ifeval" in evalkit("tasks").stdout


# What the official checks have to say of one response to each kind of instruction: right, then wrong.
INSTRUCTIONS: list[tuple[str, dict[str, Any], str, str]] = [
    ("punctuation:no_comma", {}, "No pauses here.", "Well, one."),
    ("keywords:existence", {"keywords": ["river", "stone"]}, "A stone in the river.", "A stone."),
    ("keywords:frequency", {"keyword": "bee", "frequency": 2, "relation": "at least"}, "Bee and bee.", "One bee."),
    ("keywords:forbidden_words", {"forbidden_words": ["snow"]}, "Rain fell.", "Snow fell."),
    ("keywords:letter_frequency", {"letter": "z", "let_frequency": 3, "let_relation": "at least"}, "zzz", "zebra"),
    ("language:response_language", {"language": "de"}, "Das ist ein ganz gewöhnlicher deutscher Satz.",
     "This is quite an ordinary English sentence."),
    ("length_constraints:number_words", {"num_words": 4, "relation": "at least"}, "one two three four", "one two"),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "First.\n***\nSecond.", "Only one."),
    ("length_constraints:nth_paragraph_first_word", {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "then"},
     "First this.\n\nThen that.", "First this.\n\nThat then."),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "Dear [name], [date].", "Dear [name]."),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Bye.\nP.S. Write soon.", "Bye."),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* one\n* two", "* one"),
    ("detectable_format:constrained_response", {}, "My answer is yes.", "Yes."),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 1}, "This is *bright* now.", "Nothing."),
    ("detectable_format:multiple_sections", {"section_spliter": "Part", "num_sections": 2},
     "Part 1\nA.\nPart 2\nB.", "Part 1\nA."),
    ("detectable_format:json_format", {}, '```json\n{"a": 1}\n```', "a: 1"),
    ("detectable_format:title", {}, "<<A Title>>\nText.", "A Title"),
    ("combination:two_responses", {}, "One way.******Another way.", "One way."),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Sing."}, "Sing.\nLa la.", "La la."),
    ("startend:end_checker", {"end_phrase": "That is all."}, "I sang. That is all.", "That is all. Or not?"),
    ("startend:quotation", {}, '"All of it."', "All of it."),
    ("change_case:english_capital", {}, "THIS IS WRITTEN IN CAPITAL LETTERS.", "This is not."),
    ("change_case:english_lowercase", {}, "this is all written in small letters.", "This is Not."),
]  # fmt: skip
WITH_PUNKT = [
    ("length_constraints:number_sentences", {"num_sentences": 2, "relation": "at least"}, "One. Two.", "One only."),
    ("change_case:capital_word_frequency", {"capital_frequency": 2, "capital_relation": "at least"},
     "BIG and LOUD.", "BIG and quiet."),
]  # fmt: skip

# Where a kind begins and ends: the response, and whether it is followed.
BORDERS: list[tuple[str, dict[str, Any], str, bool]] = [
    ("keywords:existence", {"keywords": ["river"]}, "RIVERBANK", True),
    ("keywords:frequency", {"keyword": "bee", "frequency": 2, "relation": "less than"}, "Bees and a beetle.", False),
    ("keywords:forbidden_words", {"forbidden_words": ["snow"]}, "A snowman.", True),
    ("keywords:forbidden_words", {"forbidden_words": ["snow"]}, "No SNOW!", False),
    ("keywords:letter_frequency", {"letter": "Q", "let_frequency": 2, "let_relation": "less than"}, "q", True),
    ("keywords:letter_frequency", {"letter": "#", "let_frequency": 2, "let_relation": "at least"}, "# A\n# B", True),
    ("keywords:letter_frequency", {"letter": "#", "let_frequency": 2, "let_relation": "at least"}, "# One", False),
    ("keywords:letter_frequency", {"letter": "!", "let_frequency": 1, "let_relation": "less than"}, "Calm.", True),
    ("length_constraints:number_words", {"num_words": 4, "relation": "less than"}, "well-known one", True),
    ("length_constraints:number_words", {"num_words": 4, "relation": "less than"}, "it's well-known", False),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "***\nFirst.\n***\nSecond.\n***", True),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "First.\n***\n***\nSecond.", False),
    ("length_constraints:nth_paragraph_first_word",
     {"num_paragraphs": 2, "nth_paragraph": 1, "first_word": "Rain"}, "'rain, again.\n\nSun.", True),
    ("length_constraints:nth_paragraph_first_word",
     {"num_paragraphs": 2, "nth_paragraph": 1, "first_word": "rain"}, "Rain.\n\nSun.\n\nSnow.", False),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, "Bye.\np. p. s: one more", True),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, "Bye.\nP.S. one more", False),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "- one\n  * two\n**not one**", True),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* one\n* two\n* three", False),
    ("detectable_format:constrained_response", {}, "I think: My answer is maybe.", True),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "**bold** and *thin*", True),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 1}, "* * and **", False),
    ("detectable_format:multiple_sections", {"section_spliter": "PART", "num_sections": 2}, "Part 1\nPart 2", False),
    ("detectable_format:json_format", {}, '{"a": 1', False),
    ("detectable_format:title", {}, "<< >>", False),
    ("combination:two_responses", {}, "******\nThis.\n******\nThat.\n******", True),
    ("combination:two_responses", {}, "This.\n******\nThis.", False),
    ("combination:two_responses", {}, "This.\n******\nThat.\n******\nMore.", False),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Sing."}, "  sing. La la.", True),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Sing."}, "You asked: Sing.", False),
    ("startend:end_checker", {"end_phrase": "That is all."}, '"I sang. that is ALL."', True),
    ("startend:quotation", {}, '"', False),
    ("change_case:english_lowercase", {}, "dies ist ein ganz gewöhnlicher deutscher satz.", False),
]  # fmt: skip


def ifeval_row(key: int, names: list[str], arguments: list[dict[str, Any]]) -> dict[str, Any]:
    return {"key": key, "prompt": f"Do as you are told ({key}).", "instruction_id_list": names, "kwargs": arguments}


def ifeval(folder: Path, rows: list[dict[str, Any]]) -> tuple[Task, list[Problem]]:
    from evalkit_tasks.ifeval import IFEval

    write_lines(folder / "IFEval" / "ifeval_input_data.jsonl", rows)
    task = IFEval()
    return task, list(task.load(DataSource(folder, allow_changed=True)))


def has_punkt() -> bool:
    import nltk

    try:
        nltk.data.find("tokenizers/punkt_tab")
    except LookupError:
        return False
    return True


@pytest.mark.slow
def test_every_instruction_of_ifeval_is_checked(tmp_path: Path) -> None:
    pytest.importorskip("if_verifiable")
    cases = INSTRUCTIONS + (WITH_PUNKT if has_punkt() else [])
    task, problems = ifeval(tmp_path, [ifeval_row(i, [name], [args]) for i, (name, args, *_) in enumerate(cases)])
    passed(task, DataSource(tmp_path, allow_changed=True))
    from if_verifiable.ifeval.instructions_registry import INSTRUCTION_DICT

    assert {name for name, *_ in [*INSTRUCTIONS, *WITH_PUNKT]} == set(INSTRUCTION_DICT)
    for problem, (name, _, right, wrong) in zip(problems, cases, strict=True):
        assert task.score(problem, right).status == "correct", name
        assert task.score(problem, wrong).status == "wrong", name
        assert task.score(problem, "").value == 0, name


def test_the_borders_of_ifevals_instructions(tmp_path: Path) -> None:
    pytest.importorskip("if_verifiable")
    task, problems = ifeval(tmp_path, [ifeval_row(i, [name], [args]) for i, (name, args, *_) in enumerate(BORDERS)])
    for problem, (name, args, response, followed) in zip(problems, BORDERS, strict=True):
        for _ in range(3):  # nothing is drawn at random
            assert (task.score(problem, response).status == "correct") == followed, (name, args, response)


def test_what_thinking_leaves_before_an_answer_is_no_paragraph(tmp_path: Path) -> None:
    pytest.importorskip("if_verifiable")
    arguments = {"num_paragraphs": 1, "nth_paragraph": 1, "first_word": "rain"}
    task, (problem,) = ifeval(tmp_path, [ifeval_row(1, ["length_constraints:nth_paragraph_first_word"], [arguments])])
    assert task.score(problem, "\n\nRain falls.\n").status == "correct"
    loose = task.score(problem, "\n\nSure, here it is:\nRain falls.")
    assert (loose.status, loose.metadata["prompt_loose"]) == ("wrong", True)


def test_a_response_without_letters_is_not_printed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("if_verifiable")
    task, (problem,) = ifeval(tmp_path, [ifeval_row(1, ["language:response_language"], [{"language": "de"}])])
    assert task.score(problem, "\x1b[2;1 12345").status == "correct"  # as the authors have it
    assert caplog.text == ""


def test_ifeval_counts_strictly_and_loosely_by_prompt_and_by_instruction(tmp_path: Path) -> None:
    pytest.importorskip("if_verifiable")
    both = ["punctuation:no_comma", "startend:end_checker"]
    task, problems = ifeval(tmp_path, [ifeval_row(1, both, [{}, {"end_phrase": "The end.", "num_words": None}])])
    (problem,) = problems
    chatty = "Sure, here it is:\nA tale without pauses. The end."
    cut = "A tale. The end.\nI hope that helps"
    scores = [task.score(problem, response) for response in (chatty, cut, "Once. The end.")]
    assert [s.value for s in scores] == [0.0, 0.0, 1.0]
    assert "broken: punctuation:no_comma" in scores[0].explanation
    assert [s.metadata["prompt_loose"] for s in scores] == [True, True, True]
    metrics = {m.name: m.value for m in task.extra_metrics(problems, {problem.id: scores})}
    assert metrics["prompt loose"] == 100.0
    assert metrics["instruction strict"] == pytest.approx(100 * 4 / 6)
    assert metrics["instruction loose"] == 100.0
    assert task.score(problem, chatty) == scores[0]


def test_ifeval_refuses_instructions_that_it_does_not_know(tmp_path: Path) -> None:
    pytest.importorskip("if_verifiable")
    with pytest.raises(EvalkitError, match="do not know"):
        ifeval(tmp_path, [ifeval_row(1, ["poetry:rhyme"], [{}])])


MATH_ROWS = [{"q": "What is 6 * 7?", "meta": {"a": "He has 42.\n#### 42"}}, {"q": "Half of 5?", "meta": {"a": "2.5"}}]
CHOICE_ROWS = [
    {"question": "Which is even?", "options": ["3", "4", "5"], "answer": "B", "id": "x"},
    {"question": "Which is odd?", "options": ["3", "4"], "answer": 0, "id": "y"},
    {"question": "Which is a colour?", "options": ["seven", "red"], "answer": "red", "id": "z"},
]


@pytest.mark.slow
def test_a_file_of_problems_is_a_task(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "own problems.jsonl", MATH_ROWS)
    task = ProblemFile(str(path), "math", "problem=q,gold=meta.a")
    problems = task.load(DataSource())
    assert [(p.id, p.target) for p in problems] == [("1", "42"), ("2", "2.5")]
    assert task.name == "own_problems"
    assert ProblemFile("math500.jsonl", "math").name == "math500_problems"  # never taken for the benchmark
    passed(task, DataSource())
    choice = ProblemFile(str(write_lines(tmp_path / "choice.jsonl", CHOICE_ROWS)), "choice")
    assert [(p.id, p.target) for p in choice.load(DataSource())] == [("x", "B"), ("y", "A"), ("z", "B")]
    choice.prompt = "{problem} LETTER is one of ABCD."
    assert "one of ABC." in choice.messages(choice.load(DataSource())[0])[0]["content"]
    passed(ProblemFile(str(tmp_path / "choice.jsonl"), "choice"), DataSource())


@pytest.mark.parametrize(
    ("rows", "kind", "fields", "words"),
    [
        (MATH_ROWS, "math", "", "No field of"),
        ([{"q": "x", "a": ""}], "math", "problem=q,gold=a", "Row 1 of .* has no gold"),
        (
            [{"question": "x", "answer": "1"}] * 2,
            "math",
            "problem=qestion",
            r"No row of .* has the field 'qestion' of --fields. Did you mean question\?\nhint: it has: question, ans",
        ),
        (MATH_ROWS, "math", "problem=q,gold=meta.b", "No row of .* has the field 'meta.b'"),
        (CHOICE_ROWS, "choice", "problem_id=key", "No row of .* has the field 'key'"),
        ([{"question": "x", "options": ["1"], "answer": "A"}], "choice", "", "no list of 2 to 10 choices"),
        ([{"question": "x", "options": ["1", "2"], "answer": "C"}], "choice", "", "none of its 2 choices"),
    ],
)
def test_a_file_that_is_no_set_of_problems_is_an_error(
    rows: list[dict[str, Any]], kind: Any, fields: str, words: str, tmp_path: Path
) -> None:
    path = write_lines(tmp_path / "p.jsonl", rows)
    with pytest.raises(EvalkitError, match=words):
        ProblemFile(str(path), kind, fields).load(DataSource())


def test_the_map_of_fields_is_checked() -> None:
    assert parse_fields("problem=q, gold=a.b") == {"problem": "q", "gold": "a.b"}
    for text in ("problem", "question=q"):
        with pytest.raises(EvalkitError):
            parse_fields(text)


@pytest.mark.slow
def test_a_file_of_problems_runs_and_its_run_is_read_again(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "sums.jsonl", [{"problem": "What is 20 + 22?", "answer": "42"}])
    bare = tmp_path / "bare.json"
    bare.write_text(json.dumps({"prompts": {}, "max_tokens": 64}))
    arguments = (
        "run",
        TINY / "teacher",
        "--problems",
        path,
        "--protocol",
        bare,
        "-n",
        "4",
        "--results",
        tmp_path / "r",
    )
    assert "How the answers are graded" in told(evalkit(*arguments, code=2))
    evalkit(*arguments, "--kind", "math")
    assert "sums.jsonl" in evalkit("leaderboard", tmp_path / "r").stdout
    evalkit("score", tmp_path / "r")
    done = evalkit("transfer", tmp_path / "r", "-o", tmp_path / "set.jsonl")
    assert "of 4 completions kept" in done.stderr
    assert "No task was named" in told(evalkit("run", TINY / "teacher", code=2))
