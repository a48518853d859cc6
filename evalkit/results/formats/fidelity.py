"""What fidelity.json says, as markdown or JSON."""

from collections.abc import Iterable, Iterator, Sequence
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
FEWEST = 5  # problems, below which no error bar is told
_HIDDEN = ("teacher_padding", "student_padding")


def measure_title(measure: str) -> str:
    """`soft_loss@2` in words."""
    name, _, at = measure.partition("@")
    return TITLES.get(name, name.replace("_", " ")).format(at)


def figure_text(figure: FidelityFigure | None, problems: int | None = None) -> str:
    """A figure with the half-widths of its 95% interval; shares in percent; `–` where there is none.

    Where it is over another number of problems than `problems`, that of its group, its own is told; and in words that
    there are too few for an error bar.
    """
    if figure is None:
        return "–"
    percent = figure.unit == "share"
    form, scale = (".1f", 100) if percent else (_FORMS.get(figure.unit, ".3g"), 1)
    told = f"{scale * figure.value:{form}}{'%' if percent else ''}"
    noun = "problem" if figure.problems == 1 else "problems"
    if figure.problems < FEWEST:
        return f"{told} (n = {figure.problems} {noun}, too few for an error bar)"
    own = "" if problems in (None, figure.problems) else f" (n = {figure.problems:,} {noun})"
    return f"{told}{_bars(figure, scale, form)}{own}"


def _bars(figure: FidelityFigure, scale: int, form: str) -> str:
    if figure.interval is None:
        return ""
    low, high = figure.interval
    if figure.unit == "perplexity":
        return f" [{low:{form}}, {high:{form}}]"
    form = ".2g" if form == ".3g" else form
    up, down = (f"{scale * side:{form}}" for side in (high - figure.value, figure.value - low))
    return f" ±{up}" if up == down else f" +{up} −{down}"


def group_counts(student: StudentFidelity, groups: Sequence[str]) -> dict[str, tuple[int, int]]:
    """For each group of tokens its tokens and its problems; nothing where the distributions were not compared."""
    found = {group: student.figure("student_loss", group) for group in groups}
    return {group: (figure.n, figure.problems) for group, figure in found.items() if figure is not None}


def measure_rows(student: StudentFidelity, measures: Iterable[str], groups: Sequence[str]) -> list[list[str]]:
    """A row for each measure, by group; above them the tokens and problems of the groups, where they were compared."""
    counts = group_counts(student, groups)
    rows = []
    for place, name in enumerate(("tokens", "problems")):
        if counts:
            rows.append([name, *(f"{counts[g][place]:,}" if g in counts else "–" for g in groups)])
    for name in measures:
        cells = (figure_text(student.figure(name, group), counts.get(group, (0, 0))[1]) for group in groups)
        rows.append([measure_title(name), *cells])
    return rows


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
    """`POSITION_MEASURES` by where in the text the tokens are; each row begins with its name, tokens and problems."""
    told = (f for f in student.figures if f.measure in POSITION_MEASURES)
    groups = dict.fromkeys(f.group for f in told if f.group.startswith("tokens "))
    rows = []
    for group in groups:
        first, *others = (student.figure(measure, group) for measure in POSITION_MEASURES)
        counted = next(figure for figure in (first, *others) if figure is not None)
        cells = (figure_text(figure, counted.problems) for figure in (first, *others))
        rows.append([group, f"{counted.n:,}", f"{counted.problems:,}", *cells])
    return rows


def _student_lines(student: StudentFidelity) -> Iterator[str]:
    first = student.figure("student_loss")
    tokens = f", {first.n:,} tokens" if first else ""
    problems = f" of {first.problems} problems" if first else ""
    yield f"## {markdown_escape(student.model)}"
    yield ""
    counted = f"{student.compared} of {student.traces} texts{problems} compared{tokens}"
    yield f"{counted}. ±: 95%, clustered by problem; + and − where the two sides differ."
    if student.reason:
        yield f"KL and its kin are not defined: {markdown_escape(student.reason)}."
    yield from (f"Note: {markdown_escape(note)}." for note in student.notes)
    yield ""
    names = dict.fromkeys(f.measure for f in student.figures if f.measure not in _HIDDEN)
    columns = [g for g in GROUP_COLUMNS if any(f.group == g for f in student.figures)]
    yield f"| measure | {' | '.join(columns)} |"
    yield f"|-|{'-|' * len(columns)}"
    yield from (f"| {' | '.join(row)} |" for row in measure_rows(student, names, columns))
    if rows := position_rows(student):
        yield ""
        yield "| position | tokens | problems | KL(teacher, student) | same likeliest token | draft acceptance |"
        yield "|-|-|-|-|-|-|"
        yield from (f"| {' | '.join(row)} |" for row in rows)
