"""`measure_fidelity`: students beside their teacher on the same texts, from logits, resumable by text."""

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import numpy as np

from evalkit.engines.base import LoadedModel
from evalkit.errors import EvalkitError
from evalkit.fidelity.models import ForcedModel
from evalkit.fidelity.summary import ALL, MeasuredText, summarize
from evalkit.fidelity.tokens import (
    SharedVocabulary,
    TokenizedTrace,
    forced_text,
    shared_vocabulary,
    tokenize,
)
from evalkit.fidelity.traces import Trace, TraceSet, read_traces
from evalkit.files import make_folders, open_descriptor
from evalkit.results.fidelity import FIDELITY_SCHEMA, FidelityReport, StudentFidelity, write_fidelity
from evalkit.stats.drafting import expected_calls
from evalkit.stats.intervals import Floats
from evalkit.store.lines import LineWriter, read_checked, write_atomically
from evalkit.store.run import validated

logger = logging.getLogger(__name__)

Model = str | Path | LoadedModel
POSITIONS = (0, 16, 64, 256, 1024, 4096, 16384)


@dataclass(frozen=True, slots=True)
class FidelitySettings:
    """What is measured: everything here changes a figure.

    `temperatures` are those of the softened distributions (1 is added where it is missing); a token is undecided where
    the teacher's largest probability is below `undecided`; `gammas` are numbers of drafted tokens. `most_tokens` leaves
    out texts that are longer, prompt included.
    """

    temperatures: tuple[float, ...] = (1.0, 2.0, 4.0)
    top_k: int = 5
    undecided: float = 0.8
    gammas: tuple[int, ...] = (2, 4, 8)
    most_tokens: int | None = None

    def __post_init__(self) -> None:
        if not all(t > 0 for t in self.temperatures):
            raise EvalkitError("A temperature has to be above 0.", "Hinton's losses are usually taken at 1, 2 and 4.")
        if not all(1 <= g <= 64 for g in self.gammas) or self.top_k < 1 or not 0 < self.undecided <= 1:
            raise EvalkitError("A setting is out of range.", "gamma is 1 to 64, top-k 1 or more, undecided in (0, 1].")
        object.__setattr__(self, "temperatures", tuple(sorted({1.0, *map(float, self.temperatures)})))
        object.__setattr__(self, "gammas", tuple(sorted(set(self.gammas))))


def measure_fidelity(
    students: Model | Sequence[Model],
    teacher: Model,
    traces: str | Path | TraceSet,
    *,
    settings: FidelitySettings | None = None,
    engine_options: Mapping[str, object] | None = None,
    output: str | Path | None = None,
    limit: int | None = None,
    per_token: bool = False,
    data: str | None = None,
) -> FidelityReport:
    """Read the same texts with the teacher and each student, and say how far their distributions are apart.

    Args:
        students: Folders, hub ids, or pairs `(model, tokenizer)` that transformers has loaded.
        teacher: One of these.
        traces: A run directory (its completions are the texts) or a file of JSON lines (`read_trace_file`).
        settings: Temperatures and the like.
        engine_options: Options of the transformers engine by name, such as dtype and device.
        output: The folder for fidelity.json; None for the run's own, or `FILE.fidelity` beside a file.
        limit: Only the first `limit` texts.
        per_token: Write the measures of every token as well, one .npz per text.
        data: The data sets of the run's tasks, where they are not where the run had them.

    Returns:
        The report, which also lies in `output`. The same call again measures only what is missing.

    Raises:
        EvalkitError: for a checkpoint or a text that cannot be read.

    Examples:
        >>> report = measure_fidelity("./student", "./teacher", "traces.jsonl")  # doctest: +SKIP
        >>> report.students[0].figure("kl_forward@1").value  # doctest: +SKIP
        0.0176
    """
    settings = settings or FidelitySettings()
    chosen = traces if isinstance(traces, TraceSet) else read_traces(Path(traces), data)
    if limit is not None:
        chosen = TraceSet(chosen.traces[:limit], chosen.source, chosen.model, chosen.folder)
    folder = Path(output) if output is not None else chosen.folder
    first = ForcedModel(teacher, engine_options or {})
    found = []
    for name in _listed(students):
        student = ForcedModel(name, engine_options or {})
        job = _Measurement(first, student, chosen, settings, folder, per_token)
        found.append(job.run())
        student.close()
    report = _report(first, chosen, settings, found)
    folder.mkdir(parents=True, exist_ok=True)
    write_fidelity(folder, report)
    return report


def _report(
    teacher: ForcedModel, traces: TraceSet, settings: FidelitySettings, students: Sequence[StudentFidelity]
) -> FidelityReport:
    return FidelityReport(
        schema=FIDELITY_SCHEMA,
        teacher=teacher.name,
        teacher_fingerprint=teacher.identity["fingerprint"],
        source=traces.source,
        texts_digest=traces.digest,
        written_by=_author(traces.model, teacher.name),
        settings=json.loads(json.dumps({**asdict(settings), "dtype": teacher.identity["dtype"]})),
        students=tuple(students),
    )


def _listed(students: Model | Sequence[Model]) -> list[Model]:
    """The students; a tuple of two is one model and its tokenizer unless it holds names."""
    if isinstance(students, str | Path):
        return [students]
    if isinstance(students, tuple) and not isinstance(students[0], str | Path | tuple):
        return [cast(LoadedModel, students)]
    return list(cast(Sequence[Model], students))


def _author(model: str, teacher: str) -> str:
    def same(a: str, b: str) -> bool:
        return a == b or (Path(a).is_dir() and Path(b).is_dir() and Path(a).resolve() == Path(b).resolve())

    return "teacher" if model and same(model, teacher) else model


class _Measurement:
    """One student on one set of texts."""

    def __init__(
        self,
        teacher: ForcedModel,
        student: ForcedModel,
        traces: TraceSet,
        settings: FidelitySettings,
        folder: Path,
        per_token: bool,
    ) -> None:
        self.teacher, self.student, self.traces, self.settings = teacher, student, traces, settings
        self.vocabulary: SharedVocabulary = shared_vocabulary(teacher.tokenizer, student.tokenizer)
        self.drafts = _author(traces.model, teacher.name) in ("teacher", "")
        identity = [teacher.identity, student.identity, traces.digest, asdict(settings)]
        key = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:8]
        self.folder = folder
        self.path = folder / "fidelity" / f"{Path(student.name).name}-{key}.jsonl"
        self.arrays = self.path.with_suffix("") if per_token else None

    def run(self) -> StudentFidelity:
        """Measure what is missing and sum up."""
        by_teacher = [tokenize(self.teacher.tokenizer, trace) for trace in self.traces.traces]
        by_student = [tokenize(self.student.tokenizer, trace) for trace in self.traces.traces]
        used = [i for i in range(len(by_teacher)) if self._fits(by_teacher[i], by_student[i])]
        if not used:
            raise EvalkitError("There is no text to measure.", "every one is empty or longer than --max-tokens.")
        with self._locked():
            done = {(t.problem, t.sample_index): t for t in self._stored()}
            missing = {self._key(i) for i in used} - done.keys()
            if missing:
                with LineWriter(self.path, self.folder) as writer:
                    for measured in self._measure(by_teacher, by_student, used, missing):
                        done[(measured.problem, measured.sample_index)] = measured
                        writer.append(asdict(measured))
        texts = [done[self._key(i)] for i in used]
        compared = sum(bool(t.groups) for t in texts)
        reason = self.vocabulary.reason
        if not compared and not reason:
            reason = "the tokenizers cut every text into other tokens"
        return StudentFidelity(
            model=self.student.name,
            fingerprint=self.student.identity["fingerprint"],
            traces=len(texts),
            compared=compared,
            reason=reason,
            notes=tuple(self._notes(len(self.traces.traces) - len(used), len(texts) - compared, by_teacher)),
            figures=summarize(texts, self._names(), self.settings.temperatures),
        )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the file for writing. Raises EvalkitError if another process holds it or it cannot be written."""
        from filelock import FileLock, Timeout

        try:
            make_folders(self.path.parent, self.folder)
            own = self.path.with_suffix(".lock")
            os.close(open_descriptor(own, os.O_RDWR | os.O_CREAT, self.folder))
            lock = FileLock(own)
            lock.acquire(timeout=0)
        except Timeout:
            raise EvalkitError(f"Another process measures into {self.path}.", "wait for it to end.") from None
        except OSError as error:
            raise EvalkitError(
                f"{self.path.parent} cannot be written: {error.strerror}.", "give a folder that can be with -o."
            ) from error
        try:
            yield
        finally:
            lock.release()

    def _key(self, number: int) -> tuple[str, int]:
        trace = self.traces.traces[number]
        return trace.problem, trace.sample_index

    def _names(self) -> tuple[str, ...]:
        from evalkit.fidelity.measures import Kernel

        return Kernel(self.vocabulary.size, self.settings.temperatures, self.settings.top_k).names

    def _fits(self, first: TokenizedTrace, second: TokenizedTrace) -> bool:
        text = first.completion[: len(first.completion) - first.ended]
        longest = max(len(t.prompt) + len(t.completion) for t in (first, second))
        return bool(text) and longest <= (self.settings.most_tokens or longest)

    def _notes(self, left_out: int, cut_otherwise: int, by_teacher: Sequence[TokenizedTrace]) -> Iterator[str]:
        if left_out:
            yield f"{left_out} texts that are empty or too long were left out"
        if cut_otherwise and not self.vocabulary.reason:
            yield f"{cut_otherwise} texts that the two tokenizers cut into other tokens were left out of the comparison"
        if self.vocabulary.renamed:
            shown = ", ".join(self.vocabulary.renamed[:3])
            yield f"{len(self.vocabulary.renamed)} added tokens have two names and were compared by id: {shown}"
        if self.teacher.tokenizer.eos_token_id != self.student.tokenizer.eos_token_id:
            yield "the token that ends a response is not one token for both: it was left out of the comparison"
        counted = [(t, len(b.completion)) for t, b in zip(self.traces.traces, by_teacher, strict=True) if t.tokens]
        other = sum(trace.tokens != length for trace, length in counted)
        if other and self.traces.model and _author(self.traces.model, self.teacher.name) == "teacher":
            yield (
                f"{other} of {len(counted)} texts, read from what was stored as text, have another number of tokens "
                "than were generated"
            )
        if not self.drafts:
            yield "tokens per pass of a draft model are told only for texts that the teacher wrote"

    def _stored(self) -> Iterator[MeasuredText]:
        for number, line in read_checked(self.path, self.folder):
            text: MeasuredText = validated(MeasuredText, line, self.path, number)
            yield text

    def _measure(
        self,
        by_teacher: Sequence[TokenizedTrace],
        by_student: Sequence[TokenizedTrace],
        used: Sequence[int],
        missing: set[tuple[str, int]],
    ) -> Iterator[MeasuredText]:
        from evalkit.fidelity.forcing import Forcing

        for model, tokenized in ((self.teacher, by_teacher), (self.student, by_student)):
            model.require_length(max(len(tokenized[i].prompt) + len(tokenized[i].completion) for i in used))
        forcing = Forcing(self.teacher.model, self.student.model, self.vocabulary, self.settings)
        shared = {i: forced_text(by_teacher[i], by_student[i], self.vocabulary.size) for i in used}
        if self.vocabulary.reason:
            shared = dict.fromkeys(used)
        together = {i: text for i, text in shared.items() if text is not None}
        paired = list(together)
        for number, rows in forcing.paired(list(together.values()), lambda n: self._key(paired[n]) in missing):
            i = paired[number]
            self._write_arrays(i, rows)
            yield self._paired_text(self.traces.traces[i], by_teacher[i], rows, forcing.names)
        for i in used:
            if shared[i] is None and self._key(i) in missing:
                student = forcing.alone("student", by_student[i].prompt, by_student[i].completion)
                teacher = forcing.alone("teacher", by_teacher[i].prompt, by_teacher[i].completion)
                yield self._text(self.traces.traces[i], (student, by_student[i]), (teacher, by_teacher[i]), {}, {})

    def _write_arrays(self, number: int, rows: Floats) -> None:
        if self.arrays is None:
            return
        make_folders(self.arrays, self.folder)
        problem, index = self._key(number)
        name = hashlib.sha256(f"{problem}\x1f{index}".encode("utf-8", "surrogatepass")).hexdigest()[:16]
        columns = {column: rows[:, i] for i, column in enumerate(self._names())}
        columns |= {"problem": np.array(problem), "sample_index": np.array(index)}
        writable = os.O_RDWR | os.O_CREAT | os.O_TRUNC
        with os.fdopen(open_descriptor(self.arrays / f"{name}.npz", writable, self.folder), "w+b") as stream:
            np.savez_compressed(stream, allow_pickle=False, **columns)
        told = "One file per text; problem and sample_index say which. float64, per token.\n"
        write_atomically(self.arrays / "README.txt", told, below=self.folder)

    def _paired_text(self, trace: Trace, tokens: TokenizedTrace, rows: Floats, names: Sequence[str]) -> MeasuredText:
        where = {name: i for i, name in enumerate(names)}
        count = len(rows)
        position = np.arange(count)
        undecided = rows[:, where["teacher_largest"]] < self.settings.undecided
        masks = {ALL: np.ones(count, dtype=bool)}
        if tokens.answer_from > 0:
            masks["thinking"] = position < tokens.answer_from
            masks["answer"] = position >= tokens.answer_from
        masks |= {"undecided": undecided, "decided": ~undecided}
        for low, high in zip(POSITIONS, (*POSITIONS[1:], None), strict=True):
            inside = position >= low if high is None else (position >= low) & (position < high)
            masks[f"tokens {low}+" if high is None else f"tokens {low}-{high - 1}"] = inside
        groups = {
            name: (int(mask.sum()), rows[mask].sum(axis=0).tolist()) for name, mask in masks.items() if mask.any()
        }
        passes = {}
        if self.drafts:
            ratio = rows[:, where["teacher_loss"]] - rows[:, where["student_loss"]]
            accepted = np.exp(np.minimum(ratio, 0.0))
            passes = {str(gamma): expected_calls(accepted, gamma) for gamma in self.settings.gammas}
        own = [rows[:, where[f"{side}_loss"]] for side in ("student", "teacher")]
        return self._text(trace, (own[0], tokens), (own[1], tokens), groups, passes)

    def _text(
        self,
        trace: Trace,
        student: tuple[Floats, TokenizedTrace],
        teacher: tuple[Floats, TokenizedTrace],
        groups: Mapping[str, tuple[int, list[float]]],
        passes: Mapping[str, float],
    ) -> MeasuredText:
        def own(losses: Floats, tokens: TokenizedTrace) -> tuple[int, float]:
            text = losses[: len(tokens.completion) - tokens.ended]  # without the token that ends the response
            return len(text), float(text.sum())

        return MeasuredText(
            problem=trace.problem,
            sample_index=trace.sample_index,
            right=trace.right,
            reward=trace.reward,
            bytes=len(trace.text.encode("utf-8", "surrogatepass")),
            student=own(*student),
            teacher=own(*teacher),
            groups=groups,
            passes=passes,
        )
