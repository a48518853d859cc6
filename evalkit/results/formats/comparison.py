"""`evalkit compare` as markdown for people and as JSON for programs."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from evalkit.results.formats.escaping import markdown_escape
from evalkit.visible import json_text

if TYPE_CHECKING:
    from evalkit.results.compare import TaskComparison

CAPTION = (
    "B minus A in points, paired by problem. Brackets: 95% intervals, run to run (the same problems, new samples) and "
    "over problems (other problems of the same kind). p: two-sided sign-flip permutation test over problems; Holm: "
    "adjusted for the number of tasks on which a finding is possible."
)


def _points(value: float) -> str:
    return f"{100 * value:+.1f}".replace("-", "−")


def _interval(pair: tuple[float, float]) -> str:
    return f"[{_points(pair[0])}, {_points(pair[1])}]"


def _p(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def _row(c: "TaskComparison") -> list[str]:
    r = c.result
    needed = "–" if r.samples_needed is None else f"{'≤ ' if r.needed_is_bound else ''}{r.samples_needed}"
    return [
        markdown_escape(c.title) + (" (across protocols)" if c.differences else ""),
        str(len(r.by_problem)),
        f"{r.a.samples} / {r.b.samples}",
        f"{100 * r.a.value:.1f}",
        f"{100 * r.b.value:.1f}",
        f"**{_points(r.difference)}**" if c.adjusted_p < 0.05 else _points(r.difference),
        _interval(r.interval_run),
        _interval(r.interval_problems),
        _p(r.p_value),
        _p(c.adjusted_p),
        needed,
        str(r.problems_needed) if r.problems_needed else "–",
    ]


def comparison_markdown(a: str, b: str, compared: "Sequence[TaskComparison]", most_flips: int) -> str:
    """The table, what differs in the protocols, and for each task the problems that moved most."""
    target = f"{100 * compared[0].result.target:g}"
    heads = ["task", "problems", "n A / B", "A", "B", "B − A", "run to run", "over problems", "p", "Holm"]
    heads += [f"n for {target} points", f"problems for {target} points"]
    lines = [f"A: {markdown_escape(a)}  ", f"B: {markdown_escape(b)}", "", CAPTION, ""]
    lines += [f"| {' | '.join(heads)} |", "|:-|" + "-:|" * (len(heads) - 1)]
    lines += [f"| {' | '.join(_row(c))} |" for c in compared]
    lines += [
        "",
        f"n and problems for {target} points: what detects that difference with 80% power at the 5% level: n samples "
        "per problem in each run on these problems, or this many problems at the present n.",
    ]
    if any(c.result.needed_is_bound for c in compared):
        lines += [
            "≤: with one sample per problem the variance between samples is not known; the number is an upper bound."
        ]
    for c in compared:
        r = c.result
        lines += [
            "",
            f"{markdown_escape(c.title)}: a difference of {100 * r.seen_run:.1f} points run to run, "
            f"{100 * r.seen_problems:.1f} over problems, would be detected with 80% power.",
        ]
        if r.a.samples != r.b.samples:
            fewer = min(r.a.samples, r.b.samples)
            lines += [f"p: the run with more samples is thinned to n = {fewer}."]
        if c.differences:
            told = markdown_escape("; ".join(c.differences))
            lines += ["", f"{markdown_escape(c.title)}: the protocols of A and B differ: {told}."]
        if c.left_out:
            lines += [
                "",
                f"{markdown_escape(c.title)}: {c.left_out} problems that only one of the runs has are left out.",
            ]
        lines += ["", *_flips(c, most_flips)]
    return "\n".join(lines) + "\n"


def _flips(c: "TaskComparison", most: int) -> list[str]:
    better = sum(f.after > f.before for f in c.flips)
    worse = len(c.flips) - better
    same = len(c.result.by_problem) - len(c.flips)
    lines = [f"{markdown_escape(c.title)}: {better} problems better in B, {worse} worse, {same} the same."]
    if c.flips[:most]:
        lines += ["", "| problem | A | B | B − A |", "|:-|-:|-:|-:|"]
    for f in c.flips[:most]:
        name = markdown_escape(f.problem_id)
        lines.append(f"| {name} | {100 * f.before:.1f} | {100 * f.after:.1f} | {_points(f.after - f.before)} |")
    if len(c.flips) > most > 0:
        lines += ["", f"and {len(c.flips) - most} more: --flips shows them."]
    return lines


def comparison_json(a: str, b: str, compared: "Sequence[TaskComparison]") -> str:
    """Everything, unrounded, as fractions; NaN (a single problem) becomes null."""

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: clean(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [clean(v) for v in value]
        return None if isinstance(value, float) and value != value else value

    content = {"a": a, "b": b, "caption": CAPTION, "tasks": clean([asdict(c) for c in compared])}
    return json_text(content, indent=1) + "\n"
