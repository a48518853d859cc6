"""`make_transfer_set`: rejection sampling from runs, as DeepSeek-R1's 800,000 samples were made.

DeepSeek-AI 2025 (arXiv:2501.12948, section 2.3.3): several responses are sampled for each prompt, and only the right
ones are kept; mixed languages, long paragraphs and code blocks in the thinking are filtered out.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from evalkit.errors import EvalkitError
from evalkit.results.exports.samples import ExportedSample, TaskExport
from evalkit.results.recreate import recreate_problems, recreate_task
from evalkit.store.folders import all_runs
from evalkit.thinking import split_thinking
from evalkit.transfer.quality import is_looping, mixes_languages, same_text, whole_characters, word_runs
from evalkit.transfer.writing import card, write_card, write_rows
from evalkit.types import Message

Choice = Literal["shortest", "random", "diverse"]
CHOICES: tuple[Choice, ...] = get_args(Choice)
REASONS = {
    "error": "the engine or the grader failed, or it was not graded",
    "cut": "cut at the token limit or for repetition",
    "no answer": "no answer was found",
    "wrong": "the answer is wrong",
    "thinking not closed": "thinking was opened and not closed",
    "looping": "it repeats itself",
    "mixed languages": "letters of a second script",
    "duplicate": "the same text is there for the same problem",
    "beyond k": "the problem has enough others",
}
_MOST_COMPARED = 64  # of one problem, when diverse ones are chosen


@dataclass(frozen=True, slots=True)
class Example:
    """One kept completion: the chat messages of its problem and the whole response, with where it is from."""

    prompt: tuple[Message, ...]
    response: str
    source: Mapping[str, Any]
    gold: str
    tokens: int | None

    def row(self) -> dict[str, Any]:
        """As a row of the set: `messages`, as trainers take them, `gold` and `source`."""
        messages = [dict(message) for message in self.prompt]
        return {
            "messages": [*messages, {"role": "assistant", "content": self.response}],
            "gold": self.gold,
            "source": dict(self.source),
        }


@dataclass(frozen=True, slots=True)
class TransferSet:
    """A transfer set in memory.

    `rejected` counts the completions that were left out, by reason. `runs` are the run directories, `tasks` the tasks
    with their numbers of problems, and of those that have an example.
    """

    examples: tuple[Example, ...]
    completions: int
    rejected: Mapping[str, int]
    runs: tuple[str, ...]
    models: tuple[str, ...]
    tasks: Mapping[str, tuple[int, int]]
    settings: Mapping[str, Any]
    benchmarks: tuple[str, ...] = field(default=())

    def save(self, path: str | Path) -> list[Path]:
        """Write the set as .jsonl or .parquet, and its card beside it. Returns both paths.

        Raises EvalkitError for another ending, and if a file cannot be written.
        """
        target = Path(path)
        write_rows(target, (example.row() for example in self.examples))
        return [target, write_card(target, self.card())]

    def card(self) -> str:
        """What the set is made of, in markdown."""
        return card(self, REASONS)


def make_transfer_set(
    runs: str | Path | Sequence[str | Path],
    *,
    per_problem: int = 4,
    choose: Choice = "random",
    seed: int = 0,
    data: str | Path | None = None,
) -> TransferSet:
    """Keep the completions of runs that are right, finished, in one language and not looping.

    Args:
        runs: Run directories, or folders of them; several runs of the same problems are pooled.
        per_problem: The most completions that are kept of a problem.
        choose: Which ones: the `shortest`, `random` ones, or `diverse` ones (each the least like those chosen before).
        seed: Of random choices. The same runs and seed give the same set.
        data: The folder with the tasks' data sets; None for where the runs had them.

    Raises EvalkitError: not a run, data that is not at hand, a benchmark whose authors ask that its questions be not
    published, or nothing that can be kept.
    """
    if per_problem < 1:
        raise EvalkitError(f"per_problem is {per_problem}, it has to be 1 or more.", "1 keeps one for each problem.")
    if choose not in CHOICES:
        raise EvalkitError(f"There is no way {choose!r} to choose.", f"one of {', '.join(CHOICES)}.")
    sources = [runs] if isinstance(runs, str | Path) else list(runs)
    rejected: Counter[str] = Counter()
    kept: defaultdict[tuple[str, str], list[Example]] = defaultdict(list)
    models: dict[str, None] = {}
    problems: defaultdict[str, set[str]] = defaultdict(set)
    completions, folders, benchmarks = 0, [], {}
    for task in _tasks(sources, data):
        folders.append(str(task.run.directory.path))
        models[task.model] = None
        benchmarks[task.name] = task.task.dataset is not None and bool(task.task.dataset.revision)
        for sample in task.samples():
            completions += 1
            problems[task.name].add(sample.problem.id)
            reason = rejection(sample)
            if reason is not None:
                rejected[reason] += 1
                continue
            example = _example(task, sample)
            kept[task.name, same_text(example.prompt[-1]["content"])].append(example)
    examples: list[Example] = []
    have: defaultdict[str, int] = defaultdict(int)
    for number, ((name, _), found) in enumerate(kept.items()):
        distinct = list({same_text(example.response): example for example in reversed(found)}.values())[::-1]
        rejected["duplicate"] += len(found) - len(distinct)
        chosen = _chosen(distinct, per_problem, choose, random.Random(f"{seed} {number}"))
        rejected["beyond k"] += len(distinct) - len(chosen)
        examples += chosen
        have[name] += 1
    if not examples:
        told = ", ".join(f"{count} {reason}" for reason, count in rejected.most_common(3)) or "no completion"
        raise EvalkitError(
            f"No completion can be kept: {told}.", "grade the runs with `evalkit score`, or sample more."
        )
    return TransferSet(
        tuple(examples),
        completions,
        {reason: rejected[reason] for reason in REASONS if rejected[reason]},
        tuple(dict.fromkeys(folders)),
        tuple(models),
        {name: (len(ids), have[name]) for name, ids in problems.items()},
        {"per_problem": per_problem, "choose": choose, "seed": seed},
        tuple(name for name, published in benchmarks.items() if published),
    )


def _tasks(sources: Sequence[str | Path], data: str | Path | None) -> Iterator[TaskExport]:
    for run in all_runs(map(Path, sources)):
        for recorded in run.tasks().values():
            made = recreate_task(recorded)
            problems = {p.id: p for p in recreate_problems(recorded, made, str(data) if data else None)}
            task = TaskExport(recorded, made, problems)
            if task.questions_are_secret:
                raise EvalkitError(
                    f"The authors of {made.title} ask that its questions be not published.",
                    "make the set from runs of other tasks.",
                )
            yield task


def rejection(sample: ExportedSample) -> str | None:
    """Why a completion is not kept, by itself: a key of `REASONS`; None where it may be."""
    score, completion = sample.score, sample.completion
    if completion.error is not None or score is None or score.status == "error":
        return "error"
    if completion.truncated or score.status == "truncated":
        return "cut"
    if score.status != "correct" or score.value < 1:
        return "no answer" if score.status == "no_answer" else "wrong"
    if split_thinking(sample.response).response is None:
        return "thinking not closed"
    if is_looping(sample.response):
        return "looping"
    return "mixed languages" if mixes_languages(sample.response) else None


def _example(task: TaskExport, sample: ExportedSample) -> Example:
    completion = sample.completion
    source = {
        "model": task.model, "run": task.run.directory.path.name, **completion.key._asdict(),
        "completion_tokens": completion.completion_tokens,
    }  # fmt: skip
    prompt = tuple(
        Message(role=message["role"], content=whole_characters(message["content"]))
        for message in task.task.messages(sample.problem)
    )
    return Example(
        prompt, whole_characters(sample.response), source, sample.problem.target, completion.completion_tokens
    )


def _chosen(examples: Sequence[Example], most: int, choose: Choice, rng: random.Random) -> list[Example]:
    if len(examples) <= most:
        return list(examples)
    if choose == "shortest":
        order = sorted(range(len(examples)), key=lambda i: (examples[i].tokens or len(examples[i].response), i))
        return [examples[i] for i in sorted(order[:most])]
    if choose == "random":
        return [examples[i] for i in sorted(rng.sample(range(len(examples)), most))]
    return _diverse(examples[:_MOST_COMPARED], most)


def _diverse(examples: Sequence[Example], most: int) -> list[Example]:
    """The shortest one, then always the one whose most similar chosen one is least like it."""
    runs = [word_runs(example.response) for example in examples]

    def likeness(a: int, b: int) -> float:
        return len(runs[a] & runs[b]) / max(len(runs[a] | runs[b]), 1)

    chosen = [min(range(len(examples)), key=lambda i: (len(examples[i].response), i))]
    while len(chosen) < min(most, len(examples)):
        rest = [i for i in range(len(examples)) if i not in chosen]
        chosen.append(min(rest, key=lambda i: (max(likeness(i, j) for j in chosen), i)))
    return [examples[i] for i in sorted(chosen)]
