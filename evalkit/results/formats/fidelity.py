"""What fidelity.json says, as markdown or JSON."""

from collections.abc import Iterator
from dataclasses import asdict

from evalkit.results.fidelity import FidelityFigure, FidelityReport, StudentFidelity
from evalkit.results.formats.escaping import markdown_escape
from evalkit.visible import json_text

_FORMS = {"perplexity": ".4g", "tokens": ".2f", "correlation": ".2f"}
_OWN = ("bits_per_byte", "ranking", "reward_correlation")
GROUP_COLUMNS = ("all", "thinking", "answer", "undecided", "right", "wrong")
POSITION_MEASURES = ("kl_forward@1", "top1_agreement", "acceptance@1")
TITLES = {
    "soft_loss": "soft loss (cross entropy) at T = {}",
    "soft_loss_scaled": "soft loss times T², T = {}",
    "kl_forward": "KL(teacher, student) at T = {}",
    "kl_reverse": "KL(student, teacher)",
    "js": "Jensen-Shannon",
    "tv": "total variation at T = {}",
    "acceptance": "draft acceptance at T = {}",
    "student_loss": "hard loss of the student",
    "teacher_loss": "hard loss of the teacher",
    "student_perplexity": "perplexity of the student",
    "teacher_perplexity": "perplexity of the teacher",
    "student_entropy": "entropy of the student",
    "teacher_entropy": "entropy of the teacher at T = {}",
    "top1_agreement": "same likeliest token",
    "topk_overlap": "likeliest tokens in common",
    "teacher_largest": "teacher's largest probability",
    "student_bits_per_byte": "bits per byte of the student",
    "teacher_bits_per_byte": "bits per byte of the teacher",
    "student_ranking": "right above wrong (AUC), student",
    "teacher_ranking": "right above wrong (AUC), teacher",
    "student_reward_correlation": "rank correlation with reward, student",
    "teacher_reward_correlation": "rank correlation with reward, teacher",
    "tokens_per_pass": "tokens per pass of the teacher, {} drafted",
    "tokens_per_pass_independent": "the same if acceptance were independent, {} drafted",
}
_HIDDEN = ("teacher_padding", "student_padding")


def measure_title(measure: str) -> str:
    """`soft_loss@2` in words."""
    name, _, at = measure.partition("@")
    return TITLES.get(name, name.replace("_", " ")).format(at)


def figure_text(figure: FidelityFigure | None) -> str:
    """A figure with the half-width of its 95% interval; shares in percent; `–` where there is none."""
    if figure is None:
        return "–"
    if figure.unit == "share":
        told, scale, form = f"{100 * figure.value:.1f}%", 100, ".1f"
    else:
        form = _FORMS.get(figure.unit, ".3g")
        told, scale = f"{figure.value:{form}}", 1
    if figure.interval is None:
        return told
    if figure.unit == "perplexity":
        return f"{told} [{figure.interval[0]:{form}}, {figure.interval[1]:{form}}]"
    half = (figure.interval[1] - figure.interval[0]) / 2
    return f"{told} ±{scale * half:{'.2g' if form == '.3g' else form}}"


def fidelity_json(report: FidelityReport) -> str:
    """The report as it stands in fidelity.json."""
    return json_text(asdict(report), indent=1) + "\n"


def fidelity_markdown(report: FidelityReport) -> str:
    """One table per student: measures by group of tokens."""
    texts = markdown_escape(report.source + written_by(report))
    lines = [f"Teacher: {markdown_escape(report.teacher)}. Texts: {texts}.", ""]
    for student in report.students:
        lines += [*_student_lines(student), ""]
    return "\n".join(lines)


def written_by(report: FidelityReport) -> str:
    """Who wrote the texts, as the end of a sentence; empty where it is not known."""
    return {"teacher": ", written by the teacher", "": ""}.get(report.written_by, f", written by {report.written_by}")


def position_rows(student: StudentFidelity) -> list[list[str]]:
    """`POSITION_MEASURES` by where in the text the tokens are; each row begins with its name."""
    told = (f for f in student.figures if f.measure in POSITION_MEASURES)
    groups = dict.fromkeys(f.group for f in told if f.group.startswith("tokens "))
    return [[group, *(figure_text(student.figure(m, group)) for m in POSITION_MEASURES)] for group in groups]


def _student_lines(student: StudentFidelity) -> Iterator[str]:
    first = student.figure("student_loss")
    tokens = f", {first.n:,} tokens" if first else ""
    problems = f" of {first.problems} problems" if first else ""
    yield f"## {markdown_escape(student.model)}"
    yield ""
    counted = f"{student.compared} of {student.traces} texts{problems} compared{tokens}"
    yield f"{counted}. ±: half of the 95% interval, clustered by problem."
    if student.reason:
        yield f"KL and its kin are not defined: {markdown_escape(student.reason)}."
    yield from (f"Note: {markdown_escape(note)}." for note in student.notes)
    yield ""
    names = dict.fromkeys(f.measure for f in student.figures if f.measure not in _HIDDEN)
    columns = [g for g in GROUP_COLUMNS if any(f.group == g for f in student.figures)]
    yield f"| measure | {' | '.join(columns)} |"
    yield f"|-|{'-|' * len(columns)}"
    for name in names:
        cells = (figure_text(student.figure(name, group)) for group in columns)
        yield f"| {measure_title(name)} | {' | '.join(cells)} |"
    if rows := position_rows(student):
        yield ""
        yield "| position | KL(teacher, student) | same likeliest token | draft acceptance |"
        yield "|-|-|-|-|"
        yield from (f"| {' | '.join(row)} |" for row in rows)
