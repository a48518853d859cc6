"""The pages that are sentences and tables: distillation, fidelity, disputes and decisions."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError
from evalkit.results.distillation import distillation
from evalkit.results.fidelity import StudentFidelity, load_fidelity
from evalkit.results.formats.distillation.markdown import page_notes
from evalkit.results.formats.distillation.tables import page_tables
from evalkit.results.formats.fidelity import (
    GROUP_COLUMNS,
    POSITION_MEASURES,
    measure_rows,
    measure_title,
    position_rows,
    written_by,
)
from evalkit.results.site.options import SiteOptions
from evalkit.results.site.pictures import points, svg
from evalkit.results.site.pieces import write_file
from evalkit.store.opinions import adjudications, opinions
from evalkit.store.run import TaskRun
from evalkit.types import SampleKey


def distillation_page(folder: Path, options: SiteOptions) -> dict[str, Any] | None:
    """Sentences, tables and pictures of the distillation page; None where no teacher was named."""
    if not options.teacher:
        return None
    from evalkit.results.plots.distillation import pictures

    found = distillation(options.students or options.runs, teacher=options.teacher, base=options.base or None)
    drawn = []
    for number, (title, figure) in enumerate(pictures(found)):
        path = f"plots/distillation-{number}.svg"
        write_file(folder / path, svg(figure))
        width, height = (round(96 * side) for side in figure.get_size_inches())
        drawn.append({"file": path, "title": title, "width": width, "height": height, "points": points(figure)})
    return {
        "title": ", ".join(student.label for student in found.students),
        "teacher": found.teacher,
        "base": found.base,
        "verdict": found.verdict,
        "details": found.details,
        "tables": [
            {**_table(table.heading, table.caption, table.columns, table.rows), "words": sorted(table.word_columns)}
            for table in page_tables(found)
        ],
        "pictures": drawn,
        "notes": page_notes(found),
    }


def _table(heading: str, caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> dict[str, Any]:
    return {"heading": heading, "caption": caption, "columns": list(columns), "rows": [list(row) for row in rows]}


def fidelity_pages(runs: Sequence[Path]) -> list[dict[str, Any]]:
    """fidelity.json of each run that has one, as tables. A damaged one is told of, and the others are shown."""
    pages: list[dict[str, Any]] = []
    for number, path in enumerate(runs):
        try:
            report = load_fidelity(path)
        except EvalkitError as error:
            pages.append({"run": number, "teacher": "", "source": "", "notes": [error.message], "tables": []})
            continue
        if report is None:
            continue
        pages.append({
            "run": number,
            "teacher": report.teacher,
            "source": report.source + written_by(report),
            "notes": [f"{s.model}: {note}" for s in report.students for note in (*s.notes, s.reason) if note],
            "tables": [table for student in report.students for table in _student_tables(student)],
        })  # fmt: skip
    return pages


def _student_tables(student: StudentFidelity) -> Iterator[dict[str, Any]]:
    groups = [g for g in GROUP_COLUMNS if any(f.group == g for f in student.figures)]
    measures = dict.fromkeys(f.measure for f in student.figures if not f.measure.endswith("_padding"))
    rows = measure_rows(student, measures, groups)
    caption = (
        f"{student.compared} of {student.traces} texts compared. ±: 95%, clustered by problem; + and − where the two "
        "sides differ."
    )
    yield {**_table(student.model, caption, ["measure", *groups], rows), "words": []}
    if rows := position_rows(student):
        columns = ["position", "tokens", "problems", *map(measure_title, POSITION_MEASURES)]
        yield {**_table(f"{student.model} by position in the text", "", columns, rows), "words": []}


def dispute_records(number: int, task: TaskRun, places: dict[str, int]) -> Iterator[dict[str, Any]]:
    """Every second opinion that differs and every decision of a person, of one task of a run."""
    from evalkit.results.disputes import disputes

    decided, heard = adjudications(task.files), opinions(task.files)
    scores = task.files.latest_scores()

    def record(key: SampleKey) -> dict[str, Any]:
        ours, theirs, decision = scores.get(key), heard.get(key), decided.get(key)
        return {
            "feed": number, "problem": places.get(key.problem_id), "index": key.sample_index,
            "ours": ours.status if ours else None,
            "grader": theirs.grader if theirs else "", "theirs": theirs.status if theirs else None,
            "said": theirs.explanation if theirs else "",
            "verdict": decision.verdict if decision else None, "who": decision.who if decision else "",
            "why": decision.why if decision else "",
        }  # fmt: skip

    for one in disputes(task):
        yield record(one.key)
    for key in decided:
        if key.problem_id in places:
            yield record(key)
