"""`evalkit compare` for a terminal, as markdown, as JSON for programs and as JUnit XML for CI."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any
from xml.etree import ElementTree

from evalkit.errors import EvalkitError, RunIncompleteError
from evalkit.results.compare import Flip, RunComparison, TaskComparison
from evalkit.results.compare_words import gate_sentence, interval, points, sentence
from evalkit.results.formats.escaping import markdown_escape, markdown_sentence, one_line
from evalkit.results.formats.terminal import TextCell, TextTable, cut_middle, draw, fold, terminal_width
from evalkit.results.gates import GateResult
from evalkit.stats import Estimate
from evalkit.visible import json_text
from evalkit.words import counted, listed

LEGEND = "percent, differences in points; in brackets 95%, over problems; established: p < 0.05 after Holm"
DETAILS = (
    "Brackets: 95% intervals, run to run (the same problems, new samples) and over problems (other problems of the "
    "same kind). p: two-sided sign-flip permutation test over problems; of other problems: a permutation test of "
    "Welch's statistic. Holm: adjusted for the number of tasks and runs on which a finding is possible.",
    "n and problems: what shows the difference with 80% power: samples per problem in each run on these problems, or "
    "this many problems at the present n. ≤: with one sample per problem only an upper bound is known.",
)
_VERBOSE_HEADS = ("run to run", "p", "Holm", "n for {}", "problems for {}")


def _p(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def _word(task: TaskComparison) -> str:
    if task.established:
        return "better" if task.result.difference > 0 else "worse"
    return "–"


def _heads(run: RunComparison, verbose: bool) -> list[str]:
    target = f"{100 * run.tasks[0].result.target:g} points"
    more = [head.format(target) for head in _VERBOSE_HEADS] if verbose else []
    return ["task", "n", "A", "B", "B − A", "established", *more]


def _row(task: TaskComparison, verbose: bool) -> list[str]:
    r = task.result
    n = f"{r.a.samples}" if r.a.samples == r.b.samples else f"{r.a.samples} / {r.b.samples}"
    cells = [
        task.title + (" (across protocols)" if task.differences else "") + ("" if r.paired else " (other problems)"),
        n,
        points(r.a.value, False),
        points(r.b.value, False),
        f"{points(r.difference)} {interval(r.interval_problems)}",
        _word(task),
    ]
    if not verbose:
        return cells
    bound = "≤ " if r.needed_is_bound else ""
    needed = "–" if task.samples_needed is None else f"{bound}{task.samples_needed:,}"
    problems = "–" if r.problems_needed is None else f"{r.problems_needed:,}"
    return [*cells, interval(r.interval_run), _p(r.p_value), _p(task.adjusted_p), needed, problems]


def _remarks(run: RunComparison) -> list[str]:
    """What limits a comparison: other settings, problems left out, tasks that only one run has."""
    told = []
    for task in run.tasks:
        if task.differences:
            of_data = task.differences[0].startswith("different data: ")
            how = "A and B have" if of_data else "the settings of A and B differ:"
            told.append(f"{task.title}: {how} {'; '.join(task.differences)}.")
        if task.graded_earlier:
            who, them = listed(task.graded_earlier), "it" if len(task.graded_earlier) == 1 else "them"
            told.append(f"{task.title}: an earlier version of evalkit graded {who}: evalkit score grades {them} again.")
        if task.subset:
            told.append(f"{task.title}: subset of {task.subset}: another benchmark.")
        if task.left_out:
            many, are = counted(task.left_out, "problem"), "is" if task.left_out == 1 else "are"
            told.append(f"{task.title}: {many} that only one of the runs has {are} left out.")
        if task.result.a.samples != task.result.b.samples and task.result.paired:
            fewer = min(task.result.a.samples, task.result.b.samples)
            told.append(f"{task.title}: for p the run with more samples is thinned to n = {fewer}.")
    if run.missing:
        told.append(f"only one of the runs has figures of {', '.join(run.missing)}.")
    return told


def _flip_line(task: TaskComparison) -> str:
    better = sum(f.after > f.before for f in task.flips)
    worse = len(task.flips) - better
    same = len(task.result.by_problem) - len(task.flips)
    sure = sum(f.established for f in task.flips)
    if not task.flips:
        return f"{task.title}: no problem differs, of {same}"
    told = f"{task.title}: {better} problem{'' if better == 1 else 's'} better in B, {worse} worse, {same} the same"
    return told + (f"; {sure} beyond chance (*)" if sure else "")


def _flip_cells(flip: Flip) -> list[str]:
    star = "*" if flip.established else ""
    return [flip.problem_id, points(flip.before, False), points(flip.after, False),
            points(flip.after - flip.before) + star]  # fmt: skip


def comparison_markdown(
    compared: Sequence[RunComparison], gates: Sequence[GateResult] = (), most_flips: int = 10, verbose: bool = False
) -> str:
    """The sentence, the table and the flips of each comparison; the gates first."""
    lines = [markdown_sentence(gate_sentence(g)) + "  " for g in gates] + ([""] if gates else [])
    for run in compared:
        lines += [markdown_sentence(sentence(run)), ""]
        lines += [f"A: {markdown_sentence(_named(run, 'a'))}  ", f"B: {markdown_sentence(_named(run, 'b'))}", ""]
        heads = _heads(run, verbose)
        lines += [f"| {' | '.join(heads)} |", "|:-|" + "-:|" * (len(heads) - 1)]
        for task in run.tasks:
            title, *figures = _row(task, verbose)
            cells = [markdown_escape(title), *figures]
            cells[4] = f"**{cells[4]}**" if task.established else cells[4]
            lines.append(f"| {' | '.join(cells)} |")
        lines += ["", LEGEND, ""]
        if remarks := _remarks(run):
            lines += [*(f"- {markdown_sentence(told)}" for told in remarks), ""]
        for task in run.tasks:
            if task.result.paired:
                lines += [*_markdown_flips(task, most_flips), ""]
    if len(compared) > 1:
        lines += [*_markdown_matrix(compared), ""]
    return "\n".join([*lines, *(DETAILS if verbose else ())]).rstrip("\n") + "\n"


def _named(run: RunComparison, side: str) -> str:
    found = run.a if side == "a" else run.b
    return f"{found.label} ({found.where})" if found.where not in ("", found.label) else found.label


def _markdown_flips(task: TaskComparison, most: int) -> list[str]:
    lines = [markdown_sentence(_flip_line(task)) + "."]
    if task.flips[:most]:
        lines += ["", "| problem | A | B | B − A |", "|:-|-:|-:|-:|"]
    for flip in task.flips[:most]:
        problem, *figures = _flip_cells(flip)
        lines.append(f"| {' | '.join([markdown_escape(problem), *figures])} |")
    if len(task.flips) > most > 0:
        lines += ["", f"and {len(task.flips) - most} more: --flips shows them."]
    return lines


def _pairs(compared: Sequence[RunComparison]) -> tuple[list[str], list[str], dict[tuple[str, str, str], str]]:
    """Names, tasks, and the text of each (task, row, column): the row's run less the column's."""
    names = list(dict.fromkeys(name for run in compared for name in (run.a.label, run.b.label)))
    titles = list(dict.fromkeys(task.title for run in compared for task in run.tasks))
    cells: dict[tuple[str, str, str], str] = {}
    for run in compared:
        for task in run.tasks:
            star = "*" if task.established else ""
            cells[task.title, run.b.label, run.a.label] = points(task.result.difference) + star
            cells[task.title, run.a.label, run.b.label] = points(-task.result.difference) + star
    return names, titles, cells


def _markdown_matrix(compared: Sequence[RunComparison]) -> list[str]:
    names, titles, cells = _pairs(compared)
    lines: list[str] = []
    for title in titles:
        columns = _columns(compared, names)
        lines += [f"{markdown_sentence(title)}: row less column, in points; * established", ""]
        lines.append(f"| | {' | '.join(map(markdown_escape, columns))} |")
        lines.append("|:-|" + "-:|" * len(columns))
        for name in names:
            own = [cells.get((title, name, column), "·" if name == column else "–") for column in columns]
            lines.append(f"| {markdown_escape(name)} | {' | '.join(own)} |")
        lines.append("")
    return lines[:-1]


def _columns(compared: Sequence[RunComparison], names: Sequence[str]) -> list[str]:
    """All runs, or the reference alone where every run was compared with that one."""
    references = {run.a.label for run in compared}
    return list(references) if len(references) == 1 else list(names)


def comparison_terminal(
    compared: Sequence[RunComparison],
    gates: Sequence[GateResult] = (),
    most_flips: int = 10,
    verbose: bool = False,
    width: int | None = None,
    colour: bool = False,
) -> str:
    """As `comparison_markdown`, for a terminal of that width."""
    room = terminal_width(width)
    blocks: list[TextTable | str] = [gate_sentence(g) for g in gates]
    several = len(compared) > 1
    for run in compared:
        blocks += ["", sentence(run), ""] if blocks else [sentence(run), ""]
        blocks.append(f"A: {_named(run, 'a')}   B: {_named(run, 'b')}")
        rows = [_row(task, verbose) for task in run.tasks]
        blocks.append(_text_table(_heads(run, verbose), rows, [task.established for task in run.tasks], room))
        blocks += _remarks(run)
        for task in run.tasks:
            if task.result.paired and (not several or verbose):
                blocks += ["", f"{_flip_line(task)}."]
                rows = [_flip_cells(flip) for flip in task.flips[:most_flips]]
                if rows:
                    heads = ["problem", "A", "B", "B − A"]
                    blocks.append(_text_table(heads, rows, [f.established for f in task.flips[:most_flips]], room))
                if len(task.flips) > most_flips > 0:
                    blocks.append(f"and {len(task.flips) - most_flips} more: --flips shows them.")
    if several:
        names, titles, cells = _pairs(compared)
        columns = _columns(compared, names)
        for title in titles:
            rows = [
                [name, *(cells.get((title, name, c), "·" if name == c else "–") for c in columns)] for name in names
            ]
            blocks += ["", f"{title}: row less column, in points; * established"]
            blocks.append(_text_table(["", *columns], rows, [False] * len(rows), room))
    return draw([*blocks, "", LEGEND, *(DETAILS if verbose else ())], room, colour)


def _text_table(heads: Sequence[str], rows: Sequence[Sequence[str]], strong: Sequence[bool], room: int) -> TextTable:
    """Cells folded where the table is wider than the terminal."""
    most = max((room - 2 * len(heads)) // max(len(heads), 1), 8)

    def table(narrow: bool) -> TextTable:
        def cell(text: str, bold: bool = False) -> TextCell:
            return TextCell(fold(cut_middle(text, 4 * most), most) if narrow else [cut_middle(text, 60)], bold)

        body = [[cell(text, bold) for text in row] for row, bold in zip(rows, strong, strict=True)]
        return TextTable([cell(head) for head in heads], body)

    wide = table(False)
    return wide if sum(wide.widths()) + 2 * len(heads) <= room + 2 else table(True)


def comparison_json(compared: Sequence[RunComparison], gates: Sequence[GateResult] = ()) -> str:
    """Everything, unrounded, in percent and points; what is not known (a single problem's error) is null."""
    content = {
        "schema": 2,
        "unit": "percent; differences in points",
        "comparisons": [_run_record(run) for run in compared],
        "gates": [asdict(g) | {"gate": str(g.gate), "sentence": gate_sentence(g)} for g in gates],
    }
    return json_text(_clean(content), indent=1) + "\n"


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _clean(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(v) for v in value]
    return None if isinstance(value, float) and value - value != 0 else value


def _run_record(run: RunComparison) -> dict[str, Any]:
    return {
        "a": {"label": run.a.label, "path": run.a.where},
        "b": {"label": run.b.label, "path": run.b.where},
        "sentence": sentence(run),
        "missing_tasks": list(run.missing),
        "tasks": [_task_record(task) for task in run.tasks],
    }


def _percent(pair: tuple[float, float]) -> list[float]:
    return [100 * end for end in pair]


def _estimate_record(found: Estimate) -> dict[str, Any]:
    return {
        "value": 100 * found.value,
        "n": found.samples,
        "problems": found.problems,
        "interval_run": _percent(found.interval_run),
        "interval_problems": _percent(found.interval_problems),
    }


def _task_record(task: TaskComparison) -> dict[str, Any]:
    r = task.result
    return {
        "task": task.task,
        "title": task.title,
        "paired": r.paired,
        "a": _estimate_record(r.a),
        "b": _estimate_record(r.b),
        "difference": 100 * r.difference,
        "interval_run": _percent(r.interval_run),
        "interval_problems": _percent(r.interval_problems),
        "p": r.p_value,
        "adjusted_p": task.adjusted_p,
        "established": task.established,
        "target": 100 * r.target,
        "samples_needed": task.samples_needed,
        "problems_needed": r.problems_needed,
        "needed_is_bound": r.needed_is_bound,
        "seen_run": 100 * r.seen_run,
        "seen_problems": 100 * r.seen_problems,
        "settings_that_differ": list(task.differences),
        "graded_earlier": list(task.graded_earlier),
        "problems": task.problems,
        "problems_available": max((n for n in task.available if n is not None), default=None),
        "problems_left_out": task.left_out,
        "flips": [
            {"problem_id": f.problem_id, "a": 100 * f.before, "b": 100 * f.after, "established": f.established}
            for f in task.flips
        ],
    }


def comparison_junit(gates: Sequence[GateResult]) -> str:
    """The gates as JUnit XML: one test case each; a failed one is a failure, an undecided one an error."""
    suite = ElementTree.Element("testsuite", name="evalkit compare", tests=str(len(gates)))
    for kind, outcome in (("failures", "failed"), ("errors", "too few samples")):
        suite.set(kind, str(sum(g.outcome == outcome for g in gates)))
    for gate in gates:
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname=one_line(f"{gate.b} against {gate.a}"),
            name=one_line(f"{gate.task}: {gate.gate}"),
        )
        told = one_line(gate_sentence(gate))
        if gate.outcome == "passed":
            ElementTree.SubElement(case, "system-out").text = told
        else:
            kind = "failure" if gate.outcome == "failed" else "error"
            ElementTree.SubElement(case, kind, type=gate.outcome, message=told)
    return _xml(suite)


def failed_comparison_junit(error: EvalkitError) -> str:
    """A comparison that could not be made, as JUnit XML: one test case with an error that says why."""
    suite = ElementTree.Element("testsuite", name="evalkit compare", tests="1", failures="0", errors="1")
    case = ElementTree.SubElement(suite, "testcase", classname="evalkit compare", name="comparison")
    kind = "run incomplete" if isinstance(error, RunIncompleteError) else "not comparable"
    found = ElementTree.SubElement(case, "error", type=kind, message=one_line(error.message))
    found.text = one_line(f"hint: {error.hint}")
    return _xml(suite)


def failed_comparison_json(error: EvalkitError) -> str:
    """A comparison that could not be made, as JSON: no comparison, no gate, and `error` with its hint."""
    told = {"exit_code": error.exit_code, "message": error.message, "hint": error.hint}
    return json_text({"schema": 2, "comparisons": [], "gates": [], "error": told}, indent=1) + "\n"


def _xml(suite: ElementTree.Element) -> str:
    ElementTree.indent(suite)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suite, encoding="unicode") + "\n"
