"""Every field of every sample that each reader makes of a small log, and all that it tells of the run."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from peer_logs import ANSWERS, MODEL, PROBLEMS, WRITERS, right, text

from evalkit.importers.reader import find_logs
from evalkit.importers.record import ImportedSample, LogFacts, PeerVerdict, Scope


def verdict(name: str, i: int, k: int, scope: Scope = "sample", answered: bool = True) -> tuple[PeerVerdict, ...]:
    return (PeerVerdict(name, float(right(i, k)), scope, ANSWERS[i][k] if answered else None),)


def mean(name: str, i: int) -> tuple[PeerVerdict, ...]:
    return (PeerVerdict(name, (0.5, 1.0)[i], "problem"),)


def lm_eval(i: int, k: int, names: tuple[str, str], second: Scope) -> dict[str, Any]:
    value, answer = float(right(i, 0)), ANSWERS[i][0]
    first = PeerVerdict(names[0], value, "first sample", answer)
    other = PeerVerdict(names[1], value, second, answer)
    told = (first, other) if k == 0 else (other,) if second != "first sample" else ()
    return {"position": i, "prompt": user(i), "answer": answer if k == 0 else None, "verdicts": told}


def user(i: int) -> str:
    return f"User: {PROBLEMS[i][1]}\n<think>\n"


def lighteval_row(i: int, k: int) -> dict[str, Any]:
    return {"prompt": user(i), "verdicts": mean("math_pass@1:2_samples", i)}


def finished(word: str = "stop", reason: str = "stop") -> dict[str, Any]:
    return {"peer_finish_reason": word, "finish_reason": reason}


def tokens(prompt: int | None, completion: int | None) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "completion_tokens": completion}


def asked(i: int) -> dict[str, Any]:
    return {"position": i, "prompt": PROBLEMS[i][1]}


@dataclass(frozen=True)
class Told:
    """What a log says: its task, the run's facts, how problems are called, and the fields of sample k of problem i."""

    task: str
    facts: LogFacts
    problem_id: Callable[[int], str]
    fields: Callable[[int, int], dict[str, Any]]
    without: frozenset[str] = field(default_factory=frozenset)


def own(i: int) -> str:
    return PROBLEMS[i][0]


LIGHTEVAL = LogFacts(MODEL, "", {"temperature": 0.6})
INSPECT = Told(
    "sums",
    LogFacts(MODEL, "0.3.285", {"temperature": 0.6, "max_tokens": 64}),
    lambda i: f"test/{own(i)}",
    lambda i, k: {
        "prompt": PROBLEMS[i][1], "seconds": 1.5, "answer": ANSWERS[i][k], "verdicts": verdict("match", i, k),
        **tokens(10, 20), **(finished("max_tokens", "length") if k else finished()),
    },
)  # fmt: skip
EXPECTED = {
    "lm_eval": Told(
        "sums",
        LogFacts(MODEL, "0.4.13", {"temperature": 0.6, "top_p": 0.95, "max_tokens": 64}),
        own,
        lambda i, k: lm_eval(i, k, ("exact_match,first", "exact_match,maj@2"), "majority"),
    ),
    "lm_eval 0.4.2": Told(
        "sums",
        LogFacts(MODEL),
        own,
        lambda i, k: lm_eval(i, k, ("exact_match", "exact_match,filter 2"), "first sample"),
    ),
    "lighteval": Told("sums", LIGHTEVAL, str, lambda i, k: {**asked(i), "verdicts": mean("avg@n:n=2", i)}),
    "lighteval 0.10": Told("sums", LIGHTEVAL, str, lighteval_row),
    "lighteval 0.7": Told("sums", LIGHTEVAL, str, lighteval_row),
    "inspect json": INSPECT,
    "inspect deflate": INSPECT,
    "inspect zstandard": INSPECT,
    "evalscope": Told(
        "sums",
        LogFacts(MODEL, "", {"temperature": 0.6}),
        own,
        lambda i, k: {
            **asked(i), **finished(), **tokens(10, 20), "seconds": 1.5, "answer": ANSWERS[i][k],
            "verdicts": verdict("acc", i, k),
        },
        frozenset({"problem"}),
    ),
    "evalscope 0.x": Told(
        "sums",
        LogFacts(MODEL),
        lambda i: f"sums_default#{i}",
        lambda i, k: {
            **asked(i), **finished(), **tokens(3, None), "answer": ANSWERS[i][k], "verdicts": verdict("result", i, k),
        },
    ),
    "opencompass": Told(
        "sums",
        LogFacts("student"),
        lambda i: f"sums_{i}",
        lambda i, k: {**asked(i), "answer": ANSWERS[i][k], "verdicts": verdict("correct", i, k)},
        frozenset({"problem"}),
    ),
    "nemo_skills": Told(
        "sums",
        LogFacts(),
        own,
        lambda i, k: {
            **asked(i), **(finished("length", "length") if k else finished()), "completion_tokens": 20,
            "answer": ANSWERS[i][k], "verdicts": verdict("symbolic_correct", i, k),
        },
    ),
    "skythought": Told(
        "student_sums_1a2b",
        LogFacts(),
        own,
        lambda i, k: {**asked(i), "verdicts": verdict("correctness", i, k, answered=False)},
    ),
    "skythought 2025-01": Told(
        "log", LogFacts(), str, lambda i, k: {"verdicts": verdict("correctness", i, k, answered=False)}
    ),
    "qwen_math": Told(
        "test_qwen25-math-cot_-1_seed0_t0.0_s0_e-1",
        LogFacts(),
        str,
        lambda i, k: {"position": i, "answer": ANSWERS[i][k], "verdicts": verdict("score", i, k)},
    ),
    "limo": Told(
        "test_limo_t0.0_k2_s0_e-1",
        LogFacts(),
        own,
        lambda i, k: {"position": i, "answer": ANSWERS[i][k], "verdicts": verdict("correct", i, k)},
    ),
    "qwq": Told(
        "sums",
        LogFacts(),
        own,
        lambda i, k: {**asked(i), "answer": ANSWERS[i][k], "verdicts": verdict("accuracy", i, k)},
    ),
    "verifiers": Told(
        "sums",
        LogFacts(MODEL, "0.4.0", {"temperature": 0.6}),
        own,
        lambda i, k: {
            **asked(i), **finished(), **tokens(9, 20), "verdicts": verdict("reward", i, k, answered=False),
        },
    ),
    "verifiers 0.1": Told(
        "sums",
        LogFacts(MODEL, "", {"temperature": 0.6}),
        str,
        lambda i, k: {**asked(i), "finish_reason": "stop", "verdicts": verdict("reward", i, k, answered=False)},
    ),
    "evalplus": Told(
        "humaneval",
        LogFacts("student", "", {"temperature": 0.6}),
        lambda i: f"HumanEval/{i}",
        lambda i, k: {
            "answer": f"x = {ANSWERS[i][k]}",
            "verdicts": verdict("base and plus", i, k, answered=False),
        },
        frozenset({"problem", "gold"}),
    ),
    "simple_evals": Told(
        "math",
        LogFacts("student"),
        str,
        lambda i, k: {**asked(i), "answer": ANSWERS[i][k], "verdicts": verdict("score", i, k)},
        frozenset({"problem"}),
    ),
    "matharena": Told(
        "sums",
        LogFacts("lab/student"),
        str,
        lambda i, k: {
            "prompt": PROBLEMS[i][1], **tokens(9, 20), "answer": ANSWERS[i][k], "verdicts": verdict("correct", i, k),
        },
    ),
    "livecodebench": Told(
        "livecodebench",
        LogFacts("student", "", {"temperature": 0.6}),
        own,
        lambda i, k: {
            **asked(i), "answer": "xy"[k], "note": ("", "Wrong Answer")[k],
            "verdicts": verdict("graded", i, k, answered=False),
        },
        frozenset({"gold"}),
    ),
    "openai_batch": Told(
        "output",
        LogFacts(MODEL, notes=("a batch file has no right answers: they come from the task",)),
        own,
        lambda i, k: {"position": i, **finished(), **tokens(9, None)},
        frozenset({"gold", "problem"}),
    ),
    "helm": Told(
        "sums",
        LogFacts(MODEL, "", {"temperature": 0.6, "max_tokens": 64}),
        own,
        lambda i, k: {
            "prompt": PROBLEMS[i][1], **finished(),
            "verdicts": verdict("exact_match", i, k, "problem", answered=False),
        },
    ),
    "evalchemy": Told("Sums", LogFacts(MODEL), own, lambda i, k: {**asked(i), "answer": ANSWERS[i][k]}),
    "verl": Told("sums", LogFacts(), str, lambda i, k: asked(i), frozenset({"problem"})),
}  # fmt: skip


def expected(told: Told, i: int, k: int) -> ImportedSample:
    usual = {"problem": PROBLEMS[i][1], "gold": PROBLEMS[i][2]}
    given: dict[str, Any] = {name: value for name, value in usual.items() if name not in told.without}
    return ImportedSample(told.problem_id(i), k, text(i, k), **given, **told.fields(i, k))


def test_every_layout_has_its_records() -> None:
    assert EXPECTED.keys() == WRITERS.keys()


@pytest.mark.parametrize("layout", WRITERS)
def test_each_field_of_each_sample_and_what_the_log_tells_of_the_run(layout: str, tmp_path: Path) -> None:
    told = EXPECTED[layout]
    found = find_logs(str(WRITERS[layout][1](tmp_path / "log")))
    (log,) = found.logs
    assert (log.task, log.facts()) == (told.task, told.facts)
    assert found.refused == []
    samples = sorted(log.samples(), key=lambda sample: (sample.problem_id, sample.sample_index))
    assert samples == [expected(told, i, k) for i in range(2) for k in range(2)]
