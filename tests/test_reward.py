"""The grader as a reward, in the signatures of TRL and verl."""

import doctest

import pytest

from evalkit.errors import EvalkitError
from evalkit.grading import compute_score, compute_scores, grade_many, math_reward, reward


def test_the_examples_of_the_docstrings() -> None:
    assert doctest.testmod(reward).failed == 0


def test_trl_passes_texts_or_messages_and_the_columns_of_the_data_set() -> None:
    prompts = ["1 + 1?", "2 + 2?", "1/2?"]
    completions = ["It is 2.", "\\boxed{5}", "The answer is 0.5"]
    golds = ["2", "4", "\\frac12"]
    assert math_reward(prompts=prompts, completions=completions, answer=golds, level=[1, 2, 3]) == [1.0, 0.0, 1.0]
    messages = [[{"role": "assistant", "content": text}] for text in completions]
    asked = [[{"role": "user", "content": text}] for text in prompts]
    assert math_reward(asked, messages, solution=golds) == [1.0, 0.0, 1.0]


def test_a_gold_may_be_a_worked_solution() -> None:
    golds = ["We add: $1 + 1 = \\boxed{2}$.", "He has 1 + 1 = <<1+1=2>>2.\n#### 2"]
    assert math_reward(None, ["\\boxed{2}", "\\boxed{1}"], solution=golds) == [1.0, 0.0]


def test_thinking_that_the_prompt_opened_and_nobody_closed_is_no_answer() -> None:
    prompts = ["<|assistant|><think>\n", "<|assistant|>[THINK]", "<|assistant|>"]
    assert math_reward(prompts, ["maybe \\boxed{2}", "It is 2.", "It is 2."], answer=["2"] * 3) == [0.0, 0.0, 1.0]


def test_verl() -> None:
    assert compute_score("gsm8k", "<think>3?</think>The answer is 2.", "2", {"index": 1}) == 1.0
    assert compute_score(data_source="x", solution_str="3", ground_truth=["2"], extra_info=None, n=1) == 0.0
    assert compute_scores(["x", "x"], ["2", "3"], ["2", "2"], [None, None]) == [1.0, 0.0]


def test_a_batch_is_that_of_single_calls_in_order() -> None:
    samples = [(f"\\boxed{{\\frac{{{n}}}{{2}}}}", f"{n}/2" if n % 3 else "7") for n in range(60)]
    assert [score.value for score in grade_many(samples)] == [float(n % 3 != 0 or n == 14) for n in range(60)]


def test_without_a_gold_it_says_what_to_do() -> None:
    with pytest.raises(EvalkitError, match="needs a column"):
        math_reward(["?"], ["2"], level=[1])
    with pytest.raises(ValueError, match="shorter"):
        math_reward(None, ["2", "3"], answer=["2"])
