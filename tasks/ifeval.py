"""IFEval: 541 prompts with instructions that a program can check (Zhou et al. 2023, arXiv:2311.07911).

The checks are the authors' own, in the package if-verifiable (`pip install "evalkit[ifeval]"`), which count sentences
and words with NLTK's punkt_tab (`python -m nltk.downloader punkt_tab`). pass@1 is the strict score by prompt: a
response is right where it follows every instruction. The loose scores also accept a response without its first line,
its last line or its asterisks. White space around the response does not count: what thinking leaves in front of an
answer would be its first paragraph. The language detector is seeded, so that scores can be repeated.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import evalkit
from evalkit import DatasetSpec, EvalkitError, Metric, Problem, Score, Task
from evalkit.benchmark.data import DataSource

_NEEDS_PUNKT = (
    "length_constraints:number_sentences",
    "change_case:capital_word_frequency",
)


class IFEval(Task):
    name = "ifeval"
    version = 1
    title = "IFEval"
    kind = "instructions"
    rows = 541
    headlines = ("pass@1", "prompt loose", "instruction strict", "instruction loose")
    dataset = DatasetSpec(
        hub_id="google/IFEval",
        revision="966cd89545d6b6acfd7638bc708b98261ca58e84",
        split="train",
        columns=("key", "prompt", "instruction_id_list", "kwargs"),
        files=("ifeval_input_data.jsonl", "input_data.jsonl"),
        rows=541,
    )

    def load(self, source: DataSource) -> Sequence[Problem]:
        checks = _checks()
        problems = [_problem(row, checks) for row in source.rows(self.dataset)]
        if any(name in _NEEDS_PUNKT for problem in problems for name in problem.metadata["instructions"]):
            _require_punkt()
        return problems

    def score(self, problem: Problem, response: str) -> Score:
        strict, loose = _followed(problem, response)
        facts = {
            "instructions": len(strict), "strict": sum(strict), "loose": sum(loose), "prompt_loose": all(loose),
        }  # fmt: skip
        broken = [name for name, right in zip(problem.metadata["instructions"], strict, strict=True) if not right]
        right = all(strict)
        return Score(
            float(right), "correct" if right else "wrong", explanation=f"broken: {', '.join(broken)}" if broken else "",
            extracted_by="if-verifiable", metadata=facts,
        )  # fmt: skip

    def gold_response(self, problem: Problem) -> None:
        return None

    def extra_metrics(self, problems: Sequence[Problem], scores: Mapping[str, Sequence[Score]]) -> list[Metric]:
        """The loose score by prompt, and both scores by instruction."""
        loose = [[float(bool(s.metadata.get("prompt_loose"))) for s in scores[p.id]] for p in problems]
        # a response that was cut or has no end of its thinking follows nothing
        of = [len(p.metadata["instructions"]) * len(scores[p.id]) for p in problems]
        metrics = [evalkit.mean_metric("prompt loose", loose)]
        for fact in ("strict", "loose"):
            hits = [sum(int(s.metadata.get(fact) or 0) for s in scores[p.id]) for p in problems]
            metrics.append(evalkit.share_metric(f"instruction {fact}", hits, of))
        return metrics


def _checks() -> Mapping[str, Any]:
    try:
        from if_verifiable.ifeval import instructions
        from if_verifiable.ifeval.instructions_registry import INSTRUCTION_DICT
        from langdetect import DetectorFactory
    except ImportError as error:
        raise EvalkitError(
            f"IFEval's checks are in a package that is not installed: {error.name}.", 'pip install "evalkit[ifeval]"'
        ) from error
    DetectorFactory.seed = 0
    silent = logging.getLogger("evalkit.ifeval.silent")
    silent.disabled = True
    instructions.logging = silent  # it would print a response whose language it cannot tell
    return dict(INSTRUCTION_DICT)


def _require_punkt() -> None:
    import nltk

    try:
        nltk.data.find("tokenizers/punkt_tab")
    except LookupError as error:
        raise EvalkitError(
            "IFEval counts sentences with NLTK's punkt_tab, which is not on this machine.",
            "python -m nltk.downloader punkt_tab, or set NLTK_DATA to a folder that has it.",
        ) from error


def _problem(row: Mapping[str, Any], checks: Mapping[str, Any]) -> Problem:
    names = list(row["instruction_id_list"])
    unknown = [name for name in names if name not in checks]
    if unknown or len(names) != len(row["kwargs"]):
        raise EvalkitError(
            f"Prompt {row['key']} of IFEval has {unknown[0] if unknown else 'instructions without arguments'}, which "
            "the checks do not know.",
            "update if-verifiable, or download the data set again.",
        )
    arguments = [{k: v for k, v in given.items() if v is not None} for given in row["kwargs"]]
    about = {"instructions": names, "arguments": arguments}
    return Problem(str(row["key"]), row["prompt"], json.dumps(names), about)


def _followed(problem: Problem, response: str) -> tuple[list[bool], list[bool]]:
    """Whether each instruction is followed, strictly and loosely."""
    from if_verifiable.common import get_loose_transformations

    response = response.strip()
    checks = _checks()
    variants = [variant for variant in get_loose_transformations(response) if variant.strip()]
    strict, loose = [], []
    for name, arguments in zip(problem.metadata["instructions"], problem.metadata["arguments"], strict=True):
        check = checks[name](name)
        check.build_description(**arguments)
        if len(arguments.get("letter", "")) == 1:
            # In place of a sign this release of the checks draws a letter at random; the authors' later one counts it.
            check._letter = arguments["letter"].lower()
        strict.append(bool(response) and bool(check.check_following(response)))
        loose.append(any(check.check_following(variant) for variant in variants))
    return strict, loose
