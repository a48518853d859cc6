"""Signs in a finished task that its number says little: words for the table."""

from collections.abc import Mapping
from itertools import islice

from evalkit.store.run import TaskRun
from evalkit.thinking import has_thinking, opens_thinking, split_thinking
from evalkit.types import Completion, Status

_LOOKED_AT = 256  # completions, in the order of the file
_FEWEST = 4
_EMPTY = 0.01  # of the completions: what can move a score by a point
_ALONE = 0.05  # of those looked at: some models end a few responses within their thinking


def warning_signs(
    run: TaskRun, statuses: Mapping[Status, int], truncation_rate: float | None, empty: int = 0
) -> list[str]:
    """Words such as `no thinking`, empty where nothing is strange.

    `unfinished log`: `evalkit import --partial` took it as far as it goes. `all cut` and `no answers` are about every
    sample; `no thinking` (under a protocol that opens thinking) and `equal completions` (at temperature 0 with several
    a problem) about the first 256. `8 of 24 completions empty`: that many ended without any text, which is a model's
    or a server's fault; `thinking alone in 8 of the first 24`: these ended by themselves before an answer.
    """
    words = []
    imported = run.record.content.get("imported")
    if isinstance(imported, dict) and imported.get("left_out"):
        words.append("unfinished log")
    samples = sum(statuses.values())
    if samples and truncation_rate == 1:
        words.append("all cut")
    if samples and statuses.get("no_answer") == samples:
        words.append("no answers")
    if empty and empty >= _EMPTY * samples:
        words.append(f"{empty:,} of {samples:,} completions empty")
    words += _thinking_alone(run) if samples and statuses.get("no_answer", 0) - empty >= _ALONE * samples else []
    wants_thinking = opens_thinking(str(run.run.protocol.get("response_prefix") or ""))
    repeats = run.record.n > 1 and run.record.identity["sampling"].get("temperature") == 0
    if not (wants_thinking or repeats):
        return words
    made = [c for c in islice(run.files.completions(), _LOOKED_AT) if c.error is None]
    if wants_thinking and len(made) >= _FEWEST and not any(has_thinking(c.prefix + c.text) for c in made):
        words.append("no thinking")
    if repeats and _all_equal(made):
        words.append("equal completions")
    return words


def _thinking_alone(run: TaskRun) -> list[str]:
    made = [c for c in islice(run.files.completions(), _LOOKED_AT) if c.error is None]
    alone = 0
    for one in made:
        alone += one.finish_reason == "stop" and bool(one.text.strip()) and not _answer(one).strip()
    return [f"thinking alone in {alone:,} of the first {len(made):,}"] if alone > _ALONE * len(made) else []


def _answer(completion: Completion) -> str:
    return split_thinking(completion.prefix + completion.text).response or ""


def _all_equal(completions: list[Completion]) -> bool:
    texts: dict[str, list[str]] = {}
    for completion in completions:
        texts.setdefault(completion.problem_id, []).append(completion.text)
    several = [each for each in texts.values() if len(each) > 1]
    return bool(several) and all(len(set(each)) == 1 for each in several)
