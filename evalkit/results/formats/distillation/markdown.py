"""A distillation page as markdown."""

from evalkit.results.distill_records import Distillation
from evalkit.results.formats.distillation.tables import page_tables
from evalkit.results.formats.escaping import markdown_escape


def render(found: Distillation) -> str:
    """Sentences, then tables."""
    lines = ["# Distillation", "", _roles(found), ""]
    lines += [f"- {markdown_escape(sentence)}" for sentence in found.verdict]
    if found.details:
        lines += ["", "More findings:", "", *(f"- {markdown_escape(sentence)}" for sentence in found.details)]
    for table in page_tables(found):
        lines += ["", f"## {markdown_escape(table.heading)}", "", markdown_escape(table.caption), ""]
        lines.append(f"| {' | '.join(markdown_escape(c) for c in table.columns)} |")
        lines.append(f"|-|{'-:|' * (len(table.columns) - 1)}")
        lines += [f"| {' | '.join(markdown_escape(cell) for cell in row)} |" for row in table.rows]
    notes = page_notes(found)
    if notes:
        lines += ["", "## Notes", "", *(f"- {markdown_escape(note)}" for note in notes)]
    return "\n".join(lines) + "\n"


def _roles(found: Distillation) -> str:
    students = ", ".join(markdown_escape(s.label) for s in found.students)
    base = f", base: {markdown_escape(found.base)}" if found.base is not None else ""
    return f"Teacher: {markdown_escape(found.teacher)}{base}, students: {students}."


def page_notes(found: Distillation) -> list[str]:
    """What a reader has to know of the runs: settings that differ, problems and runs left out, sources."""
    notes = list(found.notes)
    for student in found.students:
        notes += [f"{student.label}, {task.title}: {note}" for task in student.tasks for note in task.notes]
        if student.fidelity is not None:
            notes += [f"{student.label}, fidelity: {note}" for note in student.fidelity.notes]
    return list(dict.fromkeys(notes))
