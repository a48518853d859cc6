"""fidelity.json: how close students' distributions are to their teacher's on given texts."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, cast

from evalkit.errors import EvalkitError
from evalkit.files import is_finite, read_file
from evalkit.store.lines import write_atomically

FIDELITY_SCHEMA = 1
FILE_NAME = "fidelity.json"

UNITS = {
    "soft_loss": "nats per token",
    "soft_loss_scaled": "nats per token",
    "student_loss": "nats per token",
    "teacher_loss": "nats per token",
    "kl_forward": "nats per token",
    "kl_reverse": "nats per token",
    "js": "nats per token",
    "teacher_entropy": "nats per token",
    "student_entropy": "nats per token",
    "tv": "share",
    "acceptance": "share",
    "top1_agreement": "share",
    "topk_overlap": "share",
    "teacher_largest": "share",
    "teacher_padding": "share",
    "student_padding": "share",
    "student_perplexity": "perplexity",
    "teacher_perplexity": "perplexity",
    "student_bits_per_byte": "bits per byte",
    "teacher_bits_per_byte": "bits per byte",
    "student_ranking": "share",
    "teacher_ranking": "share",
    "student_reward_correlation": "correlation",
    "teacher_reward_correlation": "correlation",
    "tokens_per_pass": "tokens",
    "tokens_per_pass_independent": "tokens",
}
"""The unit of each measure; a temperature, or a number of drafted tokens, follows a name after `@`."""


@dataclass(frozen=True, slots=True)
class FidelityFigure:
    """One measure over one group of tokens, in `unit`, with its 95% interval clustered by problem.

    `n` counts what the mean is over: tokens, for the ranking problems. `interval` lies where the measure can: a share
    in [0, 1], a correlation in [-1, 1], a perplexity from 1 on. `interval` and `stderr` are None where there
    are fewer than two problems, or where an end of it is beyond 1e15.
    """

    measure: str
    group: str
    value: float
    unit: str
    n: int
    problems: int
    stderr: float | None = None
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class StudentFidelity:
    """One student against the teacher.

    `reason` says why the two distributions cannot be compared, empty where they can: then only losses in bits per
    byte and the ranking are there. `compared` of the `traces` were cut into the same tokens by both.
    """

    model: str
    fingerprint: str
    traces: int
    compared: int
    reason: str
    notes: tuple[str, ...]
    figures: tuple[FidelityFigure, ...]

    def figure(self, measure: str, group: str = "all") -> FidelityFigure | None:
        return next((f for f in self.figures if (f.measure, f.group) == (measure, group)), None)


@dataclass(frozen=True, slots=True)
class FidelityReport:
    """The content of fidelity.json: one teacher, one set of texts, any number of students.

    `written_by` is `teacher`, a student's name, another model's, or empty where it is not known who wrote the texts.
    """

    schema: int
    teacher: str
    teacher_fingerprint: str
    source: str
    texts_digest: str
    written_by: str
    settings: Mapping[str, Any]
    students: tuple[StudentFidelity, ...] = field(default=())

    def student(self, model: str) -> StudentFidelity | None:
        return next((s for s in self.students if s.model == model), None)


@cache
def _adapter() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(FidelityReport)


def load_fidelity(folder: Path) -> FidelityReport | None:
    """fidelity.json in `folder`, None where there is none. Raises EvalkitError where it is damaged."""
    path = folder / FILE_NAME
    try:
        report = cast(FidelityReport, _adapter().validate_json(read_file(path, folder)))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise EvalkitError(
            f"{path} cannot be read: {str(error).splitlines()[0]}.", "delete it; `evalkit fidelity` writes it again."
        ) from error
    if not is_finite(asdict(report)):
        raise EvalkitError(f"{path} has a number that is not finite.", "delete it; `evalkit fidelity` writes it again.")
    if report.schema != FIDELITY_SCHEMA:
        raise EvalkitError(f"{path} is of schema {report.schema}, not {FIDELITY_SCHEMA}.", "measure it again.")
    return report


def write_fidelity(folder: Path, report: FidelityReport) -> Path:
    """Write fidelity.json by atomic rename and return its path. Students measured before on the same texts are kept."""
    path = folder / FILE_NAME
    try:
        before = load_fidelity(folder)
    except EvalkitError:
        before = None
    if before is not None and _same_question(before, report):
        fresh = {s.fingerprint for s in report.students}
        kept = [s for s in before.students if s.fingerprint not in fresh]
        report = FidelityReport(
            **{name: getattr(report, name) for name in FidelityReport.__dataclass_fields__ if name != "students"},
            students=tuple(_ordered([*kept, *report.students])),
        )
    write_atomically(path, _adapter().dump_json(report, indent=1).decode() + "\n", below=folder)
    return path


def _same_question(first: FidelityReport, second: FidelityReport) -> bool:
    names = ("schema", "teacher_fingerprint", "texts_digest", "settings")
    texts = [_adapter().dump_python(report, mode="json", include=set(names)) for report in (first, second)]
    return bool(texts[0] == texts[1])


def _ordered(students: Sequence[StudentFidelity]) -> list[StudentFidelity]:
    return sorted(students, key=lambda s: (s.model, s.fingerprint))
