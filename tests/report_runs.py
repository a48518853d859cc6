"""Runs as a report page shows them: long thinking, loops, cuts, programs with failing tests, answers not extracted."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from evalkit.benchmark.protocols import Protocol
from evalkit.benchmark.registry import TaskSpec, trust_task_file
from evalkit.results.fidelity import (
    FIDELITY_SCHEMA,
    UNITS,
    FidelityFigure,
    FidelityReport,
    StudentFidelity,
    write_fidelity,
)
from evalkit.store.lines import encode_line
from evalkit.store.run import RunDirectory, completion_record, score_record
from evalkit.types import Completion, FinishReason, Problem, SampleKey, Score, Status

TASK_FILE = """
import json
from pathlib import Path

from evalkit import DatasetSpec, Problem, Score, Task
from evalkit.grading import grade_math

FOLDER = Path(__file__).parent


class _FromFile(Task):
    version = 1

    def load(self, source):
        rows = source.rows(self.dataset)
        return [Problem(r["id"], r["prompt"], r["target"], r["metadata"]) for r in rows]

    def score(self, problem, response):
        return grade_math(response, problem.target)

"""
_CLASS = """
class {name}(_FromFile):
    name, title, kind, prompt = {task!r}, {title!r}, {kind!r}, {prompt!r}
    dataset = DatasetSpec.from_file(FOLDER / {file!r}, ["id", "prompt", "target"])
"""
GATED = """    dataset = __import__("dataclasses").replace(dataset, gated=True)
"""


@dataclass(frozen=True)
class Sample:
    """One completion with its grade."""

    text: str
    status: Status
    answer: str | None = None
    why: str = ""
    finish: FinishReason = "stop"
    tokens: int | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    prefix: str = "<think>\n"


@dataclass(frozen=True)
class TaskData:
    """One task of a run: its problems and the samples of each."""

    name: str
    title: str
    problems: Sequence[Problem]
    sample: Callable[[Problem, int], Sample]
    n: int = 4
    kind: str = "math"
    gated: bool = False
    prompt: str = "{problem}\n\nPut your final answer within \\boxed{}."


def write_task_file(folder: Path, tasks: Sequence[TaskData]) -> Path:
    """A task file for `tasks` with their problems beside it, trusted by this user."""
    folder.mkdir(parents=True, exist_ok=True)
    text = TASK_FILE
    for i, task in enumerate(tasks):
        rows = [asdict(p) | {"metadata": dict(p.metadata)} for p in task.problems]
        (folder / f"problems{i}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        text += _CLASS.format(
            name=f"Task{i}",
            task=task.name,
            title=task.title,
            kind=task.kind,
            prompt=task.prompt,
            file=f"problems{i}.jsonl",
        )
        text += GATED if task.gated else ""
    path = folder / "report_tasks.py"
    path.write_text(text)
    trust_task_file(str(path))
    return path


def write_samples(
    path: Path, model: str, tasks: Sequence[TaskData], task_file: Path | None = None, until: int | None = None
) -> RunDirectory:
    """A run whose samples are those of `tasks`; with `until`, only so many completions of each task are there yet."""
    protocol = Protocol("deepseek-r1", source="test", max_tokens=8192)
    run = RunDirectory(path)
    described = {task.name: _describe(task, task_file) for task in tasks}
    fixed = {k: v for k, v in asdict(protocol).items() if k not in ("n", "prompts", "options", "source")}
    run.rewrite({
        "schema": 1, "evalkit": "0.1.9", "model": model,
        "identity": {"engine": {"backend": "synthetic", "dtype": "bfloat16"}, "protocol": fixed, "seed": 0},
        "protocol": asdict(protocol),
        "environment": {"python": "3.11", "packages": {"torch": "2.13.0"}, "engine": {"device": "H100"}},
        "tasks": described,
    })  # fmt: skip
    for task in tasks:
        append_samples(run, task, 0, until)
    throughput = {"completions": 10, "generated_tokens": 120000, "seconds": 61.5, "generated_tokens_per_second": 1951.2}
    (path / "throughput.jsonl").write_bytes(encode_line(throughput))
    return run


def append_samples(run: RunDirectory, task: TaskData, start: int, stop: int | None = None) -> None:
    """Add the completions and scores from `start` to `stop`, in the order of the problems."""
    files = run.files(task.name)
    files.folder.mkdir(parents=True, exist_ok=True)
    keys = [(problem, i) for problem in task.problems for i in range(task.n)][start:stop]
    with files.completions_path.open("ab") as completions, files.scores_path.open("ab") as scores:
        for problem, i in keys:
            one = task.sample(problem, i)
            tokens = one.tokens if one.tokens is not None else max(1, len(one.text) // 4)
            completion = Completion(
                task.name, problem.id, i, one.text, one.finish, 90, tokens, tokens / 100, one.prefix, one.error
            )
            completions.write(encode_line(completion_record(completion)))
            score = Score(
                float(one.status == "correct"), one.status, one.answer, one.why, "box" if one.answer else "",
                one.facts, key=SampleKey(task.name, problem.id, i),
            )  # fmt: skip
            scores.write(encode_line(score_record(score, f"{task.name}@1")))


def _describe(task: TaskData, task_file: Path | None) -> dict[str, Any]:
    from evalkit.benchmark.data import DataSource

    data = []
    if task_file is not None:
        source = DataSource(allow_changed=True)
        TaskSpec(task.name, str(task_file), {}).create().load(source)
        data = [{"hub_id": d.hub_id, "fingerprint": d.fingerprint} for d in source.loaded]
    sampling = {"temperature": 0.6, "top_p": 0.95, "max_tokens": 8192, "stop": []}
    return {
        "title": task.title,
        "spec": {"name": task.name, "file": str(task_file) if task_file else None, "options": {}},
        "identity": {"version": 1, "options": {}, "prompt": task.prompt, "sampling": sampling, "data": data},
        "sampling": {"n": task.n},
        "data": [],
        "data_folder": None,
        "problem_ids": [p.id for p in task.problems],
        "problems_available": len(task.problems),
    }


SENTENCES = (
    "Let me set up the problem carefully before computing anything.",
    "We have the quadratic $x^2 - {a}x + {b} = 0$, whose roots satisfy $r + s = {a}$ and $rs = {b}$.",
    "So $(r - s)^2 = (r + s)^2 - 4rs = {a}^2 - {c} = {d}$, which is positive.",
    "Wait, I should check the sign of the second term. If it were negative the discriminant would change.",
    "Hmm, maybe there is a neater way: complete the square,"
    " \\[\\left(x - \\frac{{{a}}}{{2}}\\right)^2 = \\frac{{{d}}}{{4}}.\\]",
    "Alternatively, use symmetry: the midpoint of the roots lies at $\\frac{{{a}}}{{2}}$.",
    "Substituting back gives ${a} \\cdot {b} = {c}$, and the two expressions agree.",
    "Let me double-check this with a small case, say $n = {b}$: the count is ${c}$, as expected.",
)


def thinking(rng: random.Random, paragraphs: int, answer: str, at: float = 0.7) -> str:
    """Thinking in paragraphs, in which `answer` is boxed at a share `at` of the way."""
    out = []
    for i in range(paragraphs):
        a, b = rng.randint(3, 40), rng.randint(2, 30)
        picked = rng.sample(SENTENCES, k=rng.randint(1, 3))
        out.append(" ".join(s.format(a=a, b=b, c=4 * b, d=a * a - 4 * b) for s in picked))
        if i == int(at * paragraphs):
            out.append(f"So the answer seems to be \\boxed{{{answer}}}. Let me verify.")
    return "\n\n".join(out)


def maths_problems(count: int = 24) -> list[Problem]:
    return [
        Problem(
            f"algebra/{i:02}",
            f"Let $a = {i + 3}$ and $b = {2 * i + 5}$. Compute the value of \\[ \\frac{{a^2 - b}}{{2}} + {i}. \\]",
            f"{((i + 3) ** 2 - 2 * i - 5) / 2 + i:g}",
            {"subject": ("Algebra", "Geometry", "Number Theory")[i % 3], "level": 1 + i % 4},
        )
        for i in range(count)
    ]


def maths_sample(skill: float, seed: int) -> Callable[[Problem, int], Sample]:
    """Samples of a model that solves a problem with a probability that falls with the level."""

    def sample(problem: Problem, i: int) -> Sample:
        rng = random.Random(f"{seed} {problem.id} {i}")
        level = int(problem.metadata["level"])
        right = rng.random() < skill - 0.12 * level
        other = f"{float(problem.target) + rng.randint(1, 9):g}"
        told = problem.target if right else other
        kind = rng.random()
        body = thinking(rng, rng.randint(6, 40), told)
        if not right and kind < 0.15:  # cut, in a loop
            loop = "\n\nWait, that is not consistent. Let me recompute the discriminant once more. " * 30
            return Sample(body + loop.rstrip(), "truncated", None, "cut before an answer was stated", "length", 8192)
        if not right and kind < 0.3:  # right in the end, but not in a box: graded wrong
            text = f"{body}\n</think>\n\nTherefore the answer is {problem.target}, as computed above.\n\n\\boxed{{}}"
            return Sample(text, "no_answer", None, "the last box is empty")
        if not right and kind < 0.4:
            return Sample(
                f"{body}\n</think>\n\nI could not determine the value.", "no_answer", None, "no answer is stated"
            )
        text = f"{body}\n</think>\n\nWith $a$ and $b$ as given,\n\n\\[\\boxed{{{told}}}\\]"
        return Sample(
            text, "correct" if right else "wrong", told, f"{told} {'equals' if right else 'is not'} {problem.target}"
        )

    return sample


def program_sample(skill: float, seed: int) -> Callable[[Problem, int], Sample]:
    def sample(problem: Problem, i: int) -> Sample:
        rng = random.Random(f"{seed} {problem.id} {i}")
        right = rng.random() < skill
        op = "+" if right else "-"
        code = (
            f"import sys\n\n\ndef solve(a: int, b: int) -> int:\n    return a {op} b  # {problem.id}\n\n\n"
            "print(solve(*map(int, sys.stdin.read().split())))"
        )
        text = f"{thinking(rng, 5, '1')}\n</think>\n\nHere is the program:\n\n```python\n{code}\n```"
        why = (
            "accepted: 12 of 12 tests passed"
            if right
            else "wrong answer: 3 of 12 tests passed; test 4\ninput:\n3 4\nexpected:\n7\ngot:\n-1"
        )
        facts = {"verdict": "accepted" if right else "wrong answer", "language": "python"}
        return Sample(text, "correct" if right else "wrong", code, why, facts=facts)

    return sample


MODELS = (("org/base-1.5B", 0.55), ("org/student-1.5B", 0.85), ("org/teacher-32B", 1.1))


def report_results(folder: Path) -> Path:
    """Results of a base, a student and a teacher on mathematics and programs."""
    programs = [
        Problem(
            f"program-{i}",
            f"Read two integers and print their sum. ({i})",
            "0" * 64,
            {"difficulty": ("easy", "hard")[i % 2]},
        )
        for i in range(4)
    ]

    def tasks(skill: float, seed: int) -> list[TaskData]:
        return [
            TaskData("quadratics", "Quadratics", maths_problems(), maths_sample(skill, seed)),
            TaskData(
                "programs", "Programs", programs, program_sample(skill - 0.2, seed), n=2, kind="code",
                prompt="{problem}\n\nWrite a program.",
            ),
        ]  # fmt: skip

    file = write_task_file(folder / "tasks", tasks(0, 0))
    for seed, (model, skill) in enumerate(MODELS):
        write_samples(
            folder / "results" / model.replace("/", "__") / "deepseek-r1-0123abcd", model, tasks(skill, seed), file
        )
    return folder / "results"


def add_fidelity(run: Path) -> None:
    """fidelity.json of two students, one of which can be compared only by its losses."""
    groups = ("all", "thinking", "answer", "undecided", "right", "wrong", "tokens 0-255", "tokens 256-1023")
    measures = (
        "kl_forward@1", "kl_reverse", "js", "soft_loss@2", "tv@1", "acceptance@1", "top1_agreement", "student_loss",
        "teacher_loss", "student_perplexity", "student_bits_per_byte", "tokens_per_pass@4",
    )  # fmt: skip

    def figures(names: Sequence[str]) -> tuple[FidelityFigure, ...]:
        rng = random.Random(0)
        found = []
        for name in names:
            for group in groups:
                value = rng.uniform(0.1, 0.9)
                found.append(
                    FidelityFigure(
                        name,
                        group,
                        value,
                        UNITS[name.partition("@")[0]],
                        90_000,
                        24,
                        0.01,
                        (value - 0.02, value + 0.02),
                    )
                )
        return tuple(found)

    students = (
        StudentFidelity(
            "org/student-1.5B", "0123", 96, 94, "", ("2 texts are longer than its context",), figures(measures)
        ),
        StudentFidelity(
            "org/other-tokenizer-7B", "4567", 96, 0, "its tokens are not the teacher's", (), figures(measures[-2:-1])
        ),
    )
    report = FidelityReport(
        FIDELITY_SCHEMA,
        "org/teacher-32B",
        "89ab",
        "quadratics",
        "cdef",
        "teacher",
        {"temperatures": [1, 2, 4]},
        students,
    )
    write_fidelity(run, report)
