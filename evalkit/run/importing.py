"""`import_run`: the log of another harness becomes an ordinary run, with the harness's verdicts kept beside."""

import hashlib
import json
import logging
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import evalkit
from evalkit.benchmark.data import DataSource
from evalkit.benchmark.declared import require_declared
from evalkit.benchmark.loading import load_problems
from evalkit.benchmark.matching import TextIndex, stands_in
from evalkit.benchmark.protocols import Protocol, find_protocol
from evalkit.benchmark.registry import TaskSpec, resolve_task
from evalkit.benchmark.task import Task, choice_letters
from evalkit.errors import EvalkitError, RunIncompleteError
from evalkit.files import is_finite, is_running
from evalkit.importers.files import Partial
from evalkit.importers.mapped import mapped_logs, parse_map
from evalkit.importers.problem_set import PROBLEM_SET, PROBLEMS_FILE, Kind
from evalkit.importers.reader import FoundLogs, Log, find_logs
from evalkit.importers.record import ImportedSample, LogFacts
from evalkit.results.report import Report
from evalkit.run.import_tasks import named_like_a_task, named_tasks, options_by_task, own_set_notes, told_options
from evalkit.run.rescore import rescore_run
from evalkit.store.lines import LineWriter
from evalkit.store.run import RunDirectory, TaskFiles, completion_record
from evalkit.types import Completion, Problem
from evalkit.visible import visible_line
from evalkit.words import listed

logger = logging.getLogger(__name__)

UNKNOWN_PROTOCOL = "unknown (imported)"
UNKNOWN_MODEL = "unknown"
_LETTER = re.compile(r"\(?[A-J]\)?\.?")
_NUMBERS = ("temperature", "top_p", "top_k", "max_tokens", "n", "seed")


@dataclass(slots=True)
class ImportedTask:
    """What became of one log: `task` in the run, `samples` of `problems` with up to `n` each, and what is to be said.

    `missing` samples are holes: the log has others of their problem, or the problem's with a higher index. `failure`
    tells why a graded task has no figures.
    `gold_differences` names problems whose right answer in the log is not the task's.
    """

    log_task: str
    task: str
    samples: int = 0
    problems: int = 0
    n: int = 0
    missing: int = 0
    matched: dict[str, int] = field(default_factory=dict)
    gold_differences: list[str] = field(default_factory=list)
    text_forms: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    graded: bool = False
    failure: RunIncompleteError | None = None


@dataclass(frozen=True, slots=True)
class ImportedRun:
    """An imported run: where it is, what became of each log, the reports of those that were graded."""

    path: Path
    model: str
    peer: str
    tasks: list[ImportedTask]
    refused: list[str]
    reports: list[Report]


@dataclass(frozen=True, slots=True)
class _Target:
    """The task that a log's samples are put under: `ids` maps the log's problem ids to ours."""

    task: Task
    spec: TaskSpec
    problems: Mapping[str, Problem]
    ids: Mapping[str, str]
    source: DataSource


def import_run(
    path: str | Path,
    output: str | Path | None = None,
    *,
    model: str | None = None,
    task: str | None = None,
    kind: Kind | None = None,
    fields: str | Mapping[str, str] | None = None,
    format_name: str | None = None,
    protocol: str | Protocol | None = None,
    partial: bool = False,
    data: str | Path | None = None,
    results: str | Path = "results",
    score: bool = True,
    workers: int | None = None,
    task_options: Sequence[str] = (),
) -> ImportedRun:
    """Turn the log of another harness at `path` into a run directory and grade it.

    `output` is the run directory, None for one below `results` that is named after the log. `model` names the model
    where the log does not. `task` is evalkit's task for the log's problems, or RUN/TASK of a run imported before
    (`LOG=TASK,…` for several logs); without it a log whose name is that of a task is matched to it where all its
    problems are found there, and any other set becomes a task of its own. With `kind` every set does, graded like that.
    `fields` reads plain rows (`text=generation,gold=answer`), `format_name` names the harness where two formats fit.
    `protocol` asserts under which protocol the samples were drawn. `partial` takes an unfinished log as far as it goes.
    `data` is the folder with the tasks' data sets. `task_options` are options of the tasks, `NAME=VALUE` or
    `TASK.NAME=VALUE`.

    Nothing is written unless the whole log could be read. Raises EvalkitError that says what cannot be imported.

    Examples:
        >>> import json, tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> row = {"question": "What is 6 * 7?", "answer": "42", "outputs": ["So it is 42.", "So it is 41."]}
        >>> _ = (folder / "log.jsonl").write_text(json.dumps(row))
        >>> fields = "text=outputs,problem=question,gold=answer"
        >>> done = import_run(folder / "log.jsonl", folder / "run", fields=fields, model="me/mine", workers=1)
        >>> done.reports[0].metric("pass@1").value
        50.0
    """
    found = _find(str(path), fields, format_name, partial)
    facts = {log.task: log.facts() for log in found.logs}
    name = model or _only_model(str(path), facts.values())
    asserted = find_protocol(protocol) if isinstance(protocol, str) else protocol
    mapped = sorted((parse_map(fields) if isinstance(fields, str) else fields or {}).items())
    read_as: dict[str, Any] = {
        "map": mapped,
        "task": task,
        "kind": kind,
        "protocol": asserted.name if asserted else None,
    }
    read_as["options"] = list(task_options)
    target = Path(output) if output is not None else Path(results) / _folder(name) / _run_id(found.logs, read_as)
    if target.exists():
        why = "the log was imported before with this map, task, kind and protocol"
        hint = "give another folder with -o, or remove it" + (f": {why}." if output is None else ".")
        raise EvalkitError(f"{target} exists already.", hint)
    wanted = _wanted_tasks(task, found.logs)
    named = named_tasks(found.logs, wanted, kind)
    options = options_by_task(named.values(), task_options)
    source = DataSource.from_option(str(data) if data else None, allow_changed=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.import")
    _remove_leftovers(target)
    try:
        done: list[ImportedTask] = []
        entries: dict[str, Any] = {}
        for log in found.logs:
            label = _label(log.task, entries)
            aim = _known_target(log, named[log.task], log.task in wanted, source, options)
            if isinstance(aim, _Target) and aim.task.name in entries:
                raise EvalkitError(f"{path} has two logs that are of {aim.task.name}.", "import one of them at a time.")
            imported, entry = _write(log, facts[log.task], temporary, label, aim, kind, asserted)
            done.append(imported)
            entries[imported.task] = entry
        _describe(temporary, name, found, facts, entries, done, asserted)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(temporary, target)
    except OSError as error:
        raise EvalkitError(f"{target} cannot be written: {error.strerror}.", "give another folder with -o.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    reports = _score(RunDirectory(target), done, workers, str(data) if data else None) if score else []
    return ImportedRun(target, name, found.logs[0].reader.name, done, found.refused, reports)


def _remove_leftovers(target: Path) -> None:
    """Remove what imports into the same folder have left that were killed."""
    prefix = f".{target.name}."
    for path in target.parent.glob("*.import") if target.parent.is_dir() else ():
        process = path.name.removeprefix(prefix).removesuffix(".import")
        if path.name.startswith(prefix) and process.isdecimal() and not is_running(int(process)):
            shutil.rmtree(path, ignore_errors=True)


def _find(path: str, fields: str | Mapping[str, str] | None, format_name: str | None, partial: bool) -> FoundLogs:
    if fields is not None:
        return mapped_logs(path, parse_map(fields) if isinstance(fields, str) else fields, partial)
    return find_logs(path, format_name, partial)


def _only_model(path: str, facts: Iterable[LogFacts]) -> str:
    names = sorted({fact.model for fact in facts if fact.model})
    if len(names) > 1:
        raise EvalkitError(
            f"{path} holds logs of {len(names)} models: {', '.join(names[:4])}.", "import one of them at a time."
        )
    if not names:
        logger.warning("the log does not tell which model it is of: --model names it")
        return UNKNOWN_MODEL
    return names[0]


def _folder(name: str) -> str:
    return re.sub(r"[^\w.@+-]+", "__", name).strip("._") or "model"


def _run_id(logs: Iterable[Log], read_as: Mapping[str, Any]) -> str:
    """imported-<hash of the log's files and of how they are read>: the same comes to lie at the same place."""
    named: list[Any] = [(log.reader.name, file.name, file.size) for log in logs for file in log.files]
    named += [(key, value) for key, value in sorted(read_as.items()) if value]
    return f"imported-{hashlib.sha256(json.dumps(named).encode()).hexdigest()[:8]}"


def _label(task: str, taken: Mapping[str, Any]) -> str:
    """A name for the task of a log that is a folder's name as well."""
    label = re.sub(r"[^\w.@+-]+", "_", task).strip("._")[:80] or "task"
    while label in taken:
        label += "_"
    return label


def _wanted_tasks(option: str | None, logs: list[Log]) -> dict[str, str]:
    """The task named for each log: `math500`, or `log=task,log=task`."""
    if option is None:
        return {}
    if "=" not in option:
        return {log.task: option for log in logs}
    wanted = {}
    for pair in option.split(","):
        log_task, _, name = pair.strip().partition("=")
        if log_task not in {log.task for log in logs} or not name:
            raise EvalkitError(f"There is no log {log_task!r} to match.", f"{', '.join(log.task for log in logs)}")
        wanted[log_task] = name
    return wanted


def _known_target(
    log: Log, name: str | None, wanted: bool, source: DataSource, options: Mapping[str, Mapping[str, str]]
) -> "_Target | str":
    """The task of ours that the log's problems are found in, or why they become a task of their own.

    Raises EvalkitError where the task was asked for (`wanted`) and the log does not fit it.
    """
    if name is None:
        return ""
    chosen = dict(options.get(name, {}))
    try:
        if (Path(name) / PROBLEMS_FILE).is_file():
            spec = _set_of_a_run(Path(name))
            root: Path | None = Path(name).parent
        else:
            spec, root = TaskSpec(resolve_task(name).name, None, chosen), source.root
        made = spec.create()
        require_declared(made)
        loaded = DataSource(root=root, allow_changed=True)
        problems = load_problems(made, loaded)
        ids = match_problems(log, made, problems)
    except EvalkitError as error:
        if wanted:
            raise
        return f"not taken for {name}: {error.message}"
    return _Target(made, spec, {p.id: p for p in problems}, ids, loaded)


def _set_of_a_run(folder: Path) -> TaskSpec:
    """The problems that came with an earlier log, as its run has them."""
    spec = RunDirectory(folder.parent).task(folder.name).record.spec
    if spec.get("file") != PROBLEM_SET:
        raise EvalkitError(f"{folder} has no problem set of an imported log.", "give RUN/TASK of an imported run.")
    return TaskSpec(spec["name"], PROBLEM_SET, dict(spec["options"]))


@dataclass(slots=True)
class _LoggedProblem:
    text: str
    gold: str | None
    position: int | None
    choices: tuple[str, ...]


def match_problems(log: Log, task: Task, problems: list[Problem]) -> dict[str, str]:
    """Our problem for each problem of a log: by the prompt's words, else by id, else by position.

    By id where the log has no text, or one that stands word for word in ours. By position only where every right
    answer agrees. Raises EvalkitError where a problem is not found, where two are
    taken for one, and where the choices stand in another order than ours.
    """
    logged: dict[str, _LoggedProblem] = {}
    for sample in log.samples():
        if sample.problem_id not in logged:
            text = sample.problem or sample.prompt or ""
            logged[sample.problem_id] = _LoggedProblem(text, sample.gold, sample.position, sample.choices)
    index = TextIndex((p.id, p.prompt.partition("\n\nA) ")[0]) for p in problems)
    by_id = {p.id: p for p in problems} | {_bare(p.id): p for p in problems}
    ids: dict[str, str] = {}
    lost: list[str] = []
    for own, one in logged.items():
        found = index.find(one.text) if one.text else None
        if found is not None:
            ids[own] = found.key
        elif (known := by_id.get(own) or by_id.get(_bare(own))) and stands_in(one.text, known.prompt):
            ids[own] = known.id
        else:
            lost.append(own)
    if len(lost) == len(logged) and not any(one.text for one in logged.values()):
        ids, lost = _by_position(logged, problems, task)
    if lost:
        told = told_options(task)
        others = f"`evalkit tasks show {task.name}` explains its options, which -T sets; or " if told else ""
        raise EvalkitError(
            f"{len(lost)} of {len(logged)} problems of {log.where} are not in {task.name}{told}, such as {lost[0]}.",
            f"{others}leave -t out to make the log's problems a task of their own.",
        )
    _refuse_twins(log, ids)
    _refuse_permuted(log, ids, {p.id: p for p in problems})
    return ids


def _bare(problem_id: str) -> str:
    """`algebra/1265` of `test/algebra/1265.json`."""
    return problem_id.removeprefix("test/").removesuffix(".json")


def _by_position(
    logged: Mapping[str, _LoggedProblem], problems: list[Problem], task: Task
) -> tuple[dict[str, str], list[str]]:
    ids: dict[str, str] = {}
    for own, one in logged.items():
        if one.position is None or one.position >= len(problems) or one.gold is None:
            return {}, list(logged)
        ours = problems[one.position]
        if not (one.gold == ours.target or task.same_answer(one.gold, ours.target)):
            return {}, list(logged)
        ids[own] = ours.id
    return ids, []


def _refuse_twins(log: Log, ids: Mapping[str, str]) -> None:
    twice = [ours for ours, count in Counter(ids.values()).items() if count > 1]
    if twice:
        names = [own for own, ours in ids.items() if ours == twice[0]]
        raise EvalkitError(
            f"{listed(names[:3])} of {log.where} are both taken for {twice[0]}.",
            "leave -t out to make the log's problems a task of their own.",
        )


def _refuse_permuted(log: Log, ids: Mapping[str, str], problems: Mapping[str, Problem]) -> None:
    """A letter means nothing under another order of the choices."""
    for sample in log.samples():
        ours = problems[ids[sample.problem_id]].metadata.get("choices")
        if ours is None:
            return
        shown = [c.strip() for c in sample.choices] or _choices_in(sample.prompt or "")
        if not shown:
            raise EvalkitError(
                f"{log.where} does not tell in which order the choices of {sample.problem_id} were shown.",
                "their letters cannot be graded; leave -t out to grade them by the log's own right answers.",
            )
        if shown != list(ours):
            raise EvalkitError(
                f"{log.where} shows the choices of {sample.problem_id} in another order than the task.",
                "leave -t out to grade them by the log's own choices and right answers.",
            )


_CHOICE = re.compile(r"^\(?([A-J])[).:] ?(.*)$", re.MULTILINE)


def _choices_in(prompt: str) -> list[str]:
    """The choices that a prompt lists under letters, in their order; none where it has no such list."""
    shown = _CHOICE.findall(prompt)
    lettered = [letter for letter, _ in shown] == list("ABCDEFGHIJ"[: len(shown)])
    return [text.strip() for _, text in shown] if lettered and len(shown) > 1 else []


def _write(
    log: Log,
    facts: LogFacts,
    folder: Path,
    label: str,
    aim: "_Target | str",
    kind: Kind | None,
    protocol: Protocol | None,
) -> tuple[ImportedTask, dict[str, Any]]:
    """Write one log's samples; return what became of it and its entry in run.json."""
    known = aim if isinstance(aim, _Target) else None
    if known is None and named_like_a_task(label) is not None:
        label += "_imported"  # another set than the task of that name
    name = known.task.name if known is not None else label
    imported = ImportedTask(log.task, name)
    imported.notes += ([aim] if aim else own_set_notes(log, kind)) if isinstance(aim, str) else []
    imported.notes += facts.notes
    with ExitStack() as stack:
        files = TaskFiles(folder / name)
        writer = _SampleWriter(stack, files, name, known)
        for sample in log.samples():
            writer.add(sample)
    writer.require_one_text_each(log, kind)
    writer.finish(imported, log)
    if known is not None:
        spec, version, title, data_folder = known.spec, known.task.version, known.task.title, known.source.root
        if spec.file == PROBLEM_SET and data_folder is not None:  # a run has the set of its log in its own folder
            shutil.copyfile(data_folder / name / PROBLEMS_FILE, files.folder / PROBLEMS_FILE)
            data_folder = None
        data = [{"hub_id": d.hub_id, "fingerprint": d.fingerprint} for d in known.source.loaded]
        problem_ids = [p for p in known.problems if p in writer.indices]
        available = len(known.problems)
    else:
        chosen = kind or writer.kind()
        if chosen == "none":
            imported.notes.append(f"not graded: {writer.lack_of_golds() if kind is None else '--kind none'}")
        writer.require_one_gold_each(log, chosen)
        spec = TaskSpec(label, PROBLEM_SET, {"label": label, "of_kind": chosen})
        made = spec.create()
        version, title, data_folder, available = made.version, made.title, None, len(writer.indices)
        data = _own_data(spec, folder)
        problem_ids = list(writer.indices)
    imported.graded = not (known is None and spec.options.get("of_kind") == "none")
    entry = {
        "title": title,
        "spec": asdict(spec),
        "identity": _task_identity(spec, version, data, facts, known, protocol),
        "sampling": {"n": imported.n},
        "data_folder": str(data_folder.resolve()) if data_folder is not None else None,
        "problem_ids": problem_ids,
        "problems_available": available,
        "imported": {
            "log": log.task,
            "files": [file.name for file in log.files],
            "text_forms": imported.text_forms,
            "gold_differences": imported.gold_differences,
            "notes": imported.notes,
            **({"left_out": list(log.partial.left_out)} if log.partial.left_out else {}),
        },
    }
    return imported, entry


def _lacks(partial: Partial) -> list[str]:
    """What a log has no sample of, in words."""
    empty = [partial.empty_rows] if partial.empty_rows else []
    return [*empty, *(f"unfinished log: without {what}" for what in partial.left_out)]


def _prompt(protocol: Protocol, known: "_Target") -> str:
    letters = next((choice_letters(problem) for problem in known.problems.values()), "")
    return protocol.prompts.get(known.task.kind, known.task.prompt).replace("{letters}", letters)


def _task_identity(
    spec: TaskSpec,
    version: int,
    data: list[dict[str, Any]],
    facts: LogFacts,
    known: "_Target | None",
    protocol: Protocol | None,
) -> dict[str, Any]:
    """What changes a task's numbers: as the log tells it, or as the asserted protocol has it."""
    sampling = {"max_tokens": None, **_sampling(facts)}
    if protocol is not None:
        sampling = {key: getattr(protocol, key) for key in ("temperature", "top_p", "top_k", "max_tokens")}
    return {
        "version": version,
        "options": dict(spec.options),
        "task_file_sha256": None,
        "prompt": _prompt(protocol, known) if protocol and known else None,
        "sampling": sampling,
        "data": data,
        "data_unchecked": False,
    }


def _sampling(facts: LogFacts) -> Mapping[str, Any]:
    """The log's sampling. Raises EvalkitError where a setting is not what run.json can hold."""
    for name, value in facts.sampling.items():
        whole = name in ("max_tokens", "n", "seed")
        fits = value is None or (isinstance(value, int if whole else int | float) and not isinstance(value, bool))
        if name in _NUMBERS and not (fits and is_finite(value)):
            raise EvalkitError(
                f"The log's {name} is {visible_line(repr(value))[:60]}, which is not a number.",
                "correct the log; nothing was imported.",
            )
        if not is_finite(value):
            raise EvalkitError(f"The log's {name} has a number that is not finite.", "correct the log.")
    return facts.sampling


def _own_data(spec: TaskSpec, folder: Path) -> list[dict[str, Any]]:
    source = DataSource(root=folder, allow_changed=True)
    spec.create().load(source)
    return [{"hub_id": d.hub_id, "fingerprint": d.fingerprint} for d in source.loaded]


class _SampleWriter:
    """Writes completions, the harness's verdicts, and for a set of its own the problems."""

    def __init__(self, stack: ExitStack, files: TaskFiles, name: str, known: "_Target | None") -> None:
        self._name, self._known, self._files = name, known, files
        self._completions = stack.enter_context(LineWriter(files.completions_path, files.run))
        self._peer = stack.enter_context(LineWriter(files.peer_scores_path, files.run))
        self._problems = (
            None if known is not None else stack.enter_context(LineWriter(files.folder / PROBLEMS_FILE, files.run))
        )
        self.indices: dict[str, int] = {}  # how many samples each problem has
        self._highest = -1
        self._golds: dict[str, str | None] = {}
        self._choices: dict[str, bytes] = {}
        self._permuted: str | None = None
        self._texts: dict[str, bytes] = {}
        self._other_text: str | None = None
        self._forms: Counter[str] = Counter()
        self._differences: dict[str, str] = {}

    def add(self, sample: ImportedSample) -> None:
        ours = self._known.ids[sample.problem_id] if self._known is not None else sample.problem_id
        if ours not in self.indices:
            self._begin(ours, sample)
        self.indices[ours] = self.indices.get(ours, 0) + 1
        self._highest = max(self._highest, sample.sample_index)
        if self._golds[ours] != _gold(sample) or self._choices[ours] != _shown(sample):
            self._permuted = self._permuted or ours
        if sample.problem is not None and self._texts.setdefault(ours, _text_key(sample)) != _text_key(sample):
            self._other_text = self._other_text or ours
        self._forms[sample.response_form] += 1
        reason = "error" if sample.error is not None else sample.finish_reason or "unknown"
        error = sample.error or ("the log does not say what went wrong" if reason == "error" else None)
        completion = Completion(
            self._name,
            ours,
            sample.sample_index,
            sample.response,
            reason,
            sample.prompt_tokens,
            sample.completion_tokens,
            sample.seconds,
            "" if sample.response.startswith(sample.prefix.strip() or "\0") else sample.prefix,
            error,
        )
        self._completions.append(completion_record(completion))
        self._peer.append(_peer_record(completion, sample))

    def _begin(self, ours: str, sample: ImportedSample) -> None:
        self._golds[ours], self._choices[ours] = _gold(sample), _shown(sample)
        if self._known is not None:
            target = self._known.problems[ours].target
            same = sample.gold is None or sample.gold == target or self._known.task.same_answer(sample.gold, target)
            if not same:
                self._differences[ours] = f"{ours}: {sample.gold!r} in the log, {target!r} in the task"
            return
        assert self._problems is not None
        choices = list(sample.choices) or _choices_in(sample.prompt or "")
        metadata: dict[str, Any] = {"choices": choices} if choices else {}
        if sample.golds:
            metadata["golds"] = list(sample.golds)
        prompt = sample.problem or sample.prompt or ""
        record = {"id": ours, "prompt": prompt, "target": sample.gold or "", "metadata": metadata}
        self._problems.append(record)

    def kind(self) -> Kind:
        """How a set of its own is graded: by letters where all right answers are letters."""
        golds = list(self._golds.values())
        if any(gold is None for gold in golds):
            return "none"
        return "choice" if all(_LETTER.fullmatch((gold or "").strip()) for gold in golds) else "math"

    def lack_of_golds(self) -> str:
        """Which problems have no right answer, in words."""
        without = [visible_line(key)[:60] for key, gold in self._golds.items() if gold is None]
        if len(without) == len(self._golds):
            return "the log has no right answers"
        named = ", ".join(without[:4]) + (f" and {len(without) - 4} more" if len(without) > 4 else "")
        have = "has" if len(without) == 1 else "have"
        return f"{len(without)} of {len(self._golds)} problems {have} no right answer in the log: {named}"

    def require_one_text_each(self, log: Log, kind: Kind | None) -> None:
        """Raises EvalkitError where samples of one problem answer different texts, unless none is graded."""
        if self._other_text is not None and kind != "none":
            raise EvalkitError(
                f"{log.where} has several texts of problem {visible_line(self._other_text)[:60]}.",
                "give each problem an id of its own; --kind none imports them with the harness's verdicts alone.",
            )

    def require_one_gold_each(self, log: Log, kind: Kind) -> None:
        if kind != "none" and any(gold is None for gold in self._golds.values()):
            raise EvalkitError(
                f"{log.where} cannot be graded: {self.lack_of_golds()}.",
                "name the task that they are of with -t, or pass --kind none to import them without grading.",
            )
        if self._permuted is not None and kind != "none":
            raise EvalkitError(
                f"{log.where} has several right answers or orders of the choices for problem {self._permuted}.",
                "choices that are permuted anew in each sample cannot be graded as one problem; "
                "--kind none imports them with the harness's verdicts alone.",
            )

    def finish(self, imported: ImportedTask, log: Log) -> None:
        imported.samples, imported.problems = sum(self.indices.values()), len(self.indices)
        imported.n = self._highest + 1
        imported.missing = imported.n * imported.problems - imported.samples
        if imported.missing:
            imported.notes.append(
                f"{imported.missing} of {imported.n * imported.problems} samples are not in the log: holes stay holes"
            )
        imported.notes += _lacks(log.partial)
        imported.text_forms = dict(self._forms)
        imported.gold_differences = list(self._differences.values())


def _gold(sample: ImportedSample) -> str | None:
    """The right answer; a blank one is none."""
    return sample.gold if sample.gold is not None and sample.gold.strip() else None


def _text_key(sample: ImportedSample) -> bytes:
    """A key of the problem's words."""
    words = " ".join((sample.problem or "").split())
    return hashlib.blake2b(words.encode("utf-8", "replace"), digest_size=8).digest()


def _shown(sample: ImportedSample) -> bytes:
    """A key of the choices in their order: the log's own, or those that the prompt of a question by letters lists."""
    choices: Iterable[str] = sample.choices
    if not sample.choices and _LETTER.fullmatch((sample.gold or "").strip()):
        choices = _choices_in(sample.prompt or "")
    return hashlib.blake2b("\x1f".join(choices).encode("utf-8", "replace"), digest_size=8).digest()


def _peer_record(completion: Completion, sample: ImportedSample) -> dict[str, Any]:
    return {
        **completion.key._asdict(),
        "verdicts": [{"name": v.name, "value": v.value, "scope": v.scope, "answer": v.answer} for v in sample.verdicts],
        "answer": sample.answer,
        "gold": sample.gold,
        "log_problem_id": sample.problem_id,
        "finish_reason": sample.peer_finish_reason,
        "text_form": sample.response_form,
        "text_chars": len(sample.text),
        "text_sha256": hashlib.sha256(sample.text.encode("utf-8", "surrogatepass")).hexdigest(),
        "reasoning_chars": len(sample.reasoning or ""),
        "note": sample.note,
    }


def _describe(
    folder: Path,
    model: str,
    found: FoundLogs,
    facts: Mapping[str, LogFacts],
    entries: Mapping[str, Any],
    done: list[ImportedTask],
    protocol: Protocol | None,
) -> None:
    """Write run.json."""
    reader = found.logs[0].reader
    versions = sorted({fact.version for fact in facts.values() if fact.version})
    if protocol is None:
        settings: dict[str, Any] = {"name": UNKNOWN_PROTOCOL}
    else:
        fixed = protocol.fixed_settings()
        settings = {**fixed, "name": f"{protocol.name} (asserted)", "asserted": True}
    engine = {"backend": "imported", "model": model, "peer": reader.name, "peer_version": ", ".join(versions) or None}
    description = {
        "evalkit": evalkit.__version__,
        "model": model,
        "identity": {"engine": engine, "protocol": settings, "seed": None},
        "protocol": asdict(protocol) if protocol is not None else None,
        "environment": {},
        "imported": {"peer": reader.title, "versions": versions, "refused": found.refused},
        "tasks": entries,
    }
    RunDirectory(folder).begin(description)


def _score(run: RunDirectory, done: list[ImportedTask], workers: int | None, data: str | None) -> list[Report]:
    reports: list[Report] = []
    for imported in done:
        if not imported.graded:
            continue
        try:
            reports += rescore_run(run, [imported.task], data, workers)[1]
        except RunIncompleteError as error:
            imported.notes.append(f"graded, but without figures: {error.message}")
            imported.failure = error
    return reports
