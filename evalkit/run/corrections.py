"""Completions that are graded again since right answers were corrected in the task's own data."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from evalkit.benchmark.data import DataSource
from evalkit.benchmark.task import Task
from evalkit.errors import EvalkitError
from evalkit.files import rename, size_of
from evalkit.results.recreate import changed_data
from evalkit.run.planning import digest_of, messages_of
from evalkit.run.queue import TaskPlan
from evalkit.store.answers import (
    data_digest,
    is_corrected,
    is_own_data,
    right_answers,
    told_correction,
    with_corrections,
)
from evalkit.store.identity import prompt_digests
from evalkit.store.opinions import opinions_path
from evalkit.store.run import TaskRun
from evalkit.types import Problem
from evalkit.visible import visible_line

logger = logging.getLogger(__name__)


def may_be_corrected(plan: TaskPlan) -> bool:
    """Whether a task's right answers are its user's own: of a declared set they are not."""
    return plan.task.targets_sha256 is None and is_own_data(data.hub_id for data in plan.data)


def corrected_entry(recorded: TaskRun, task: Task, problems: Sequence[Problem], source: DataSource) -> dict[str, Any]:
    """The entry of a task whose data was corrected, as run.json is to have it. Tells what was corrected.

    Raises EvalkitError where the data is another one, or asks anything else than the completions answer.
    """
    record = recorded.record
    known = prompt_digests(record.content)
    if task.targets_sha256 is not None or known is None or not is_own_data(d.hub_id for d in record.data):
        error = changed_data(recorded, problems)
        error.hint = "pass the folder with the data of the run with --data, or restore the data."
        raise error
    by_id = {p.id: p for p in problems}
    prompts = _prompts(recorded, task, [by_id[key] for key in record.problem_ids if key in by_id])
    for key, digest in known.items():
        if prompts.get(key) != digest:
            why = "has another text" if key in prompts else "is not there"
            raise EvalkitError(
                f"The data of {task.name} has changed since {recorded.directory.path} was run: problem "
                f"{visible_line(repr(key))[:80]} {why}, so its completions are not those of this data.",
                "restore the data; or run it anew in another folder with -o.",
            )
    data = [asdict(each) for each in source.loaded]
    wanted = {
        **record.content,
        "identity": {**record.identity, "data": [{k: d[k] for k in ("hub_id", "fingerprint")} for d in data]},
        "data": data,
        "right_answers": right_answers(by_id[key] for key in record.problem_ids),
    }
    if not is_corrected(record.content, wanted):
        raise changed_data(recorded, problems)
    logger.warning(
        "%s: %s; its completions are graded again", task.name, told_correction(record.content, wanted["right_answers"])
    )
    return with_corrections(record.content, wanted)


def _prompts(recorded: TaskRun, task: Task, problems: Sequence[Problem]) -> dict[str, str]:
    """The digests of the problems' messages under the prompt of the run's protocol."""
    protocol = recorded.run.content.get("protocol")
    prompts = protocol.get("prompts") if isinstance(protocol, Mapping) else None
    if isinstance(prompts, Mapping) and isinstance(prompt := prompts.get(task.kind), str):
        object.__setattr__(task, "prompt", prompt)
    return {p.id: digest_of(messages_of(task, p)) for p in problems}


def set_opinions_aside(task: TaskRun) -> None:
    """Rename what a second grader has said of answers that it compared with other right answers."""
    path = opinions_path(task.files)
    if size_of(path, task.files.run):
        aside = f"before-{data_digest(task.record.content) or 'original'}"
        rename(path, path.with_name(f"{path.stem}.{aside}{path.suffix}"), task.files.run)
