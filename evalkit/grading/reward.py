"""The grader as a reward for reinforcement learning: in the signatures of TRL's trainers and of verl."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from evalkit.errors import EvalkitError
from evalkit.grading.answers.extract import box_contents
from evalkit.grading.math import grade_math
from evalkit.thinking import opened_thinking
from evalkit.types import Score
from evalkit.workers import processors

COLUMNS = ("answer", "ground_truth", "solution", "gold", "target")  # where a data set keeps what is right
Text = str | Sequence[Mapping[str, Any]]


def grade_many(samples: Sequence[tuple[str, str]]) -> list[Score]:
    """The scores of (response, gold) pairs, in their order; comparisons run side by side in worker processes.

    Examples:
        >>> [score.status for score in grade_many([("It is 2.", "2"), ("It is 3.", "2")])]
        ['correct', 'wrong']
    """
    with ThreadPoolExecutor(max_workers=2 + processors()) as threads:
        return list(threads.map(lambda sample: grade_math(*sample), samples))


def math_reward(prompts: Sequence[Text] | None, completions: Sequence[Text], **columns: Any) -> list[float]:
    """1.0 for each completion whose answer is right, else 0.0: a reward function for TRL's GRPOTrainer and RLOOTrainer.

    `columns` are the data set's, one value for each completion; what is right stands in the first of `answer`,
    `ground_truth`, `solution`, `gold`, `target` that is there, as an answer or as a solution that boxes it (or ends in
    `#### 42`). Completions are texts or lists of messages. Where the prompt opens thinking, a completion that was cut
    within it has no answer. A comparison that cannot be finished in time counts 0.0. Raises EvalkitError without such
    a column.

    Examples:
        >>> math_reward(None, ["So it is $\\\\boxed{4}$.", "It is 5."], answer=["4", "4"])
        [1.0, 0.0]
    """
    golds = next((columns[name] for name in COLUMNS if columns.get(name) is not None), None)
    if golds is None:
        raise EvalkitError(
            f"The reward needs a column that says what is right; there are {', '.join(columns) or 'none'}.",
            f"name it {', '.join(COLUMNS[:-1])} or {COLUMNS[-1]}.",
        )
    texts = [_text(completion) for completion in completions]
    openings = [_opening(prompt) for prompt in prompts] if prompts is not None else [""] * len(texts)
    samples = [(opening + text, _gold(gold)) for opening, text, gold in zip(openings, texts, golds, strict=True)]
    return [score.value for score in grade_many(samples)]


def compute_score(
    data_source: str, solution_str: str, ground_truth: Any, extra_info: Mapping[str, Any] | None = None, **_: Any
) -> float:
    """1.0 where the response's answer is right, else 0.0: verl's `custom_reward_function`.

    Examples:
        >>> compute_score("math", "The answer is 1/2.", "0.5")
        1.0
    """
    return grade_math(solution_str, _gold(ground_truth)).value


def compute_scores(
    data_sources: Sequence[str],
    solution_strs: Sequence[str],
    ground_truths: Sequence[Any],
    extra_infos: Sequence[Mapping[str, Any] | None] | None = None,
    **_: Any,
) -> list[float]:
    """`compute_score` of a whole batch, for verl's `reward_model.reward_manager=batch`.

    Examples:
        >>> compute_scores(["math", "math"], [r"\\boxed{2}", "It is 3."], ["2", "4"])
        [1.0, 0.0]
    """
    samples = [(text, _gold(gold)) for text, gold in zip(solution_strs, ground_truths, strict=True)]
    return [score.value for score in grade_many(samples)]


def _text(completion: Text) -> str:
    if isinstance(completion, str):
        return completion
    return "".join(str(message.get("content") or "") for message in completion if message.get("role") != "user")


def _opening(prompt: Text) -> str:
    """What a prompt that is a text has opened of the response."""
    return (opened_thinking(prompt) or "") if isinstance(prompt, str) else ""


def _gold(gold: Any) -> str:
    """The answer of a gold, which may be a worked solution or a list of one."""
    if isinstance(gold, list | tuple) and len(gold) == 1:
        gold = gold[0]
    text = str(gold)
    if "####" in text:
        return text.rpartition("####")[2].strip()
    boxes = box_contents(text)
    return boxes[-1][2].strip() if boxes else text
