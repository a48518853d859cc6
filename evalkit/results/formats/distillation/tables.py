"""The tables of a distillation page, in plain text: each format sets and escapes them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from evalkit.results.distill_costs import Cost
from evalkit.results.distill_models import Size
from evalkit.results.distill_records import (
    LISTED_AT,
    SOLVED_TITLES,
    Distillation,
    Score,
    StudentDistillation,
    TaskDistillation,
)
from evalkit.results.distill_words import interval_percent, kappa_text, length_text, mean_text, percent, ratio_text
from evalkit.results.formats.fidelity import GROUP_COLUMNS, measure_rows
from evalkit.results.metrics import interval_text
from evalkit.stats.clean import CleanScore
from evalkit.stats.clustered import ClusteredMean
from evalkit.words import counted

_NAMED = 12  # problems named in a cell
_LONG = 34  # characters of a cell from which its column holds words
_FIDELITY = (
    "kl_forward@1", "kl_forward@2", "kl_reverse", "js", "soft_loss@2", "student_loss", "student_bits_per_byte",
    "top1_agreement", "topk_overlap", "acceptance@1", "tokens_per_pass@4", "student_ranking",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PageTable:
    """A table with its heading, a sentence on how to read it, column heads and rows of text; the first column names."""

    heading: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @property
    def word_columns(self) -> set[int]:
        """The columns after the first that hold words and not figures: set from the left, broken into lines."""
        return {i for i in range(1, len(self.columns)) if any(len(row[i]) > _LONG for row in self.rows)}


def page_tables(found: Distillation) -> list[PageTable]:
    """Every table that has rows, in the order of the page."""
    made = [
        _gap_table(found),
        _overall_table(found),
        _clean_table(found),
        _solved_table(found),
        _tries_table(found),
        _agreement_table(found),
        _cost_table(found),
        _budget_table(found),
        _size_table(found),
        _round_table(found),
        *(_fidelity_table(s) for s in found.students if s.fidelity is not None),
    ]
    return [table for table in made if table.rows]


def _each(found: Distillation) -> Iterator[tuple[str, StudentDistillation, TaskDistillation]]:
    """Every student and task, with what names the row: the task, and the student where there are several."""
    for student in found.students:
        for task in student.tasks:
            yield (task.title if len(found.students) == 1 else f"{student.label}, {task.title}"), student, task


def _of(found: Distillation, name: str, what: str) -> str:
    """`what` of the row that `name` names, which goes without saying where there is one."""
    return what if sum(len(s.tasks) for s in found.students) == 1 else f"{name}: {what}"


def score_text(score: Score | None) -> str:
    """`80.5% ±0.7`, `0.0% +15.3 −0.0`: the half-widths of the run-to-run interval, as in the leaderboard."""
    if score is None:
        return "–"
    low, high = score.interval_run
    bar = interval_text(100 * score.value, (100 * low, 100 * high), "%")
    return f"{percent(score.value, 1)} {bar}" + ("†" if score.published else "")


def _gap_table(found: Distillation) -> PageTable:
    rows = []
    for name, _, task in _each(found):
        gap = task.gap
        rows.append((
            name, score_text(gap.base), score_text(gap.student), score_text(gap.teacher), ratio_text(gap.recovered),
            ratio_text(gap.recovered_run), ratio_text(gap.retention or gap.retention_run),
            gap.subset.removesuffix(" problems") or f"{gap.problems}",
            f"{gap.student.n}",
        ))  # fmt: skip
    published = any(s is not None and s.published for _, _, t in _each(found) for s in (t.gap.base, t.gap.teacher))
    dagger = " †: published." if published else ""
    some = any(t.gap.subset for _, _, t in _each(found))
    subsets = " Problems k of m: a subset, which is another benchmark." if some else ""
    return PageTable(
        "How much of the gap is closed",
        "Gap recovered is (student − base) / (teacher − base), retention student / teacher, with 95% intervals: over "
        "problems of the same kind, or run to run for these problems. ±, + and − behind a score: its 95% interval run "
        f"to run. Not defined: teacher and base cannot be told apart.{subsets}{dagger}",
        ("", "base", "student", "teacher", "gap recovered, over problems", "run to run", "retention", "problems", "n"),
        tuple(rows),
    )


def _overall_table(found: Distillation) -> PageTable:
    rows = tuple(
        (
            student.label,
            f"{sum(task.gap.has_gap for task in student.tasks)} of {len(student.tasks)}",
            ratio_text(student.overall),
            ", ".join(task.title for task in student.tasks if not task.gap.has_gap) or "–",
        )
        for student in found.students
        if student.overall is not None
    )
    return PageTable(
        "Over the benchmarks with a gap",
        "One gap of the mean scores, each benchmark counting the same. Left out: benchmarks on which teacher and base "
        "cannot be told apart, or the teacher is below the base.",
        ("student", "benchmarks", "gap recovered, over problems", "left out"),
        rows,
    )


def _clean_table(found: Distillation) -> PageTable:
    rows = []
    for name, student, task in _each(found):
        if task.clean is None:
            continue
        labels = {"base": found.base or "base", "student": student.label, "teacher": found.teacher}
        for role, scores in task.clean.scores.items():
            recovered = ratio_text(task.clean.recovered) if role == "student" else "–"
            rows.append((_of(found, name, labels[role]), *_clean_cells(scores), recovered))
    return PageTable(
        "On clean problems",
        "Clean: not found in the training sets that were scanned. Clean − all is in points, with its 95% interval over "
        "problems. Paraphrases and translations are not found; problems that were found may be the easier ones.",
        ("", "all", "clean", "problems found", "clean − all", "gap recovered on clean problems"),
        tuple(rows),
    )


def _clean_cells(scores: CleanScore) -> tuple[str, ...]:
    if scores.clean is None or scores.difference is None or scores.interval_problems is None:
        return percent(scores.whole.value, 1), "–", f"{scores.contaminated}", "–"
    low, high = (100 * end for end in scores.interval_problems)
    return (
        percent(scores.whole.value, 1),
        percent(scores.clean.value, 1),
        f"{scores.contaminated}",
        f"{100 * scores.difference:+.1f} [{low:+.1f}, {high:+.1f}]".replace("-", "−"),
    )


def _solved_table(found: Distillation) -> PageTable:
    rows = []
    for name, _, task in _each(found):
        for solved in task.solved:
            shown = ", ".join(p.problem_id for p in solved.listed[:_NAMED])
            more = f" and {len(solved.listed) - _NAMED} more" if len(solved.listed) > _NAMED else ""
            rows.append((
                _of(found, name, SOLVED_TITLES[solved.name]),
                f"{percent(solved.expected, 1)} {interval_percent(solved.interval, 1)}",
                f"{len(solved.listed)}",
                shown + more or ("too few samples" if solved.smallest_p > 0.05 else "–"), *task.gap.counts,
            ))  # fmt: skip
    return PageTable(
        "What was learnt and what was lost",
        "Expected: the share of problems in one try of each model, from the solve rates, without bias, with its 95% "
        f"interval over problems. Listed: problems for which an exact test says so, {LISTED_AT}.",
        ("", "expected", "listed", "which", "problems", "n"),
        tuple(rows),
    )


def _tries_table(found: Distillation) -> PageTable:
    rows = []
    for name, student, task in _each(found):
        tries = task.tries
        if tries is None:
            continue
        k = tries.tries
        labels = {"base": found.base or "base", "student": student.label, "teacher": found.teacher}
        for role, curve in tries.curves.items():
            steady = tries.steady[role]
            ends, steady_ends = tries.intervals[role], tries.steady_intervals[role]
            low, high = ends[k - 1]
            rows.append((
                _of(found, name, labels[role]), f"{k}", _share(curve[0], ends[0]), _share(curve[k - 1], ends[k - 1]),
                _share(steady["0.5"], steady_ends["0.5"]), _share(steady["1"], steady_ends["1"]),
                _share(1 - curve[k - 1], (1 - high, 1 - low)), task.gap.counts[0], f"{len(curve)}",
            ))  # fmt: skip
    return PageTable(
        "Sharper or wider",
        "pass@k: at least one of k tries is right; G-Pass@k at 0.5: at least half are; pass^k: all are. Never solved: "
        "in k tries. With 95% intervals, over problems.",
        ("", "k", "pass@1", "pass@k", "G-Pass@k, 0.5", "pass^k", "never solved", "problems", "n"),
        tuple(rows),
    )


def _share(value: float, interval: tuple[float, float]) -> str:
    return f"{percent(value, 1)} {interval_percent(interval, 1)}"


def _agreement_table(found: Distillation) -> PageTable:
    rows = []
    for name, student, task in _each(found):
        if (a := task.agreement) is None:
            continue
        pairs = [(student.label, a.where_right, a.where_wrong, a.consistency)]
        if a.base_consistency is not None:
            pairs.append((found.base or "base", a.base_where_right, a.base_where_wrong, a.base_consistency))
        for label, right, wrong, kappa in pairs:
            rows.append((
                _of(found, name, label), _of_samples(right, a.right), _of_samples(wrong, a.wrong),
                _share(kappa.observed, kappa.observed_interval), percent(kappa.expected, 1), kappa_text(kappa),
            ))  # fmt: skip
    return PageTable(
        "Agreement with the teacher beyond accuracy",
        "How often a sample gives the teacher's answer, where that is right and where it is wrong; n: so many answers "
        "of the teacher, whose samples without an answer do not count. Both right or both "
        "wrong: as observed, and as the accuracies alone would give; error consistency is 0 at chance and 1 at "
        "the most.",
        ("", "same, teacher right", "same, teacher wrong", "right or wrong alike", "by chance", "error consistency"),
        tuple(rows),
    )


def _of_samples(share: ClusteredMean | None, samples: int) -> str:
    return f"{mean_text(share)}, n = {samples:,}" if share is not None else "–"


def _cost_table(found: Distillation) -> PageTable:
    rows = []
    seen = set()
    for name, student, task in _each(found):
        labels = {"base": found.base or "base", "student": student.label, "teacher": found.teacher}
        for role in ("base", "student", "teacher"):
            cost = task.costs.get(role)
            if cost is not None and (task.task, labels[role]) not in seen:
                seen.add((task.task, labels[role]))
                title = task.title if len(found.students) > 1 else name
                n = {"base": task.gap.base, "student": task.gap.student, "teacher": task.gap.teacher}[role]
                counts = task.gap.counts[0], f"{n.n}" if n is not None else "–"
                rows.append((_of(found, title, labels[role]), *_cost_cells(cost, role), *counts))
    return PageTable(
        "What an answer costs",
        "Tokens per completion, of which thinking and answer (divided by characters). After the answer: the share of a "
        "right completion's tokens that follows the first place where its final answer is stated. Length: of right "
        "completions against the teacher's, on problems that both solve at least once (geometric mean). Intervals: "
        "95%, over problems; thinking, answer and after the answer are estimates from the texts and have none.",
        (
            "",
            "tokens",
            "thinking",
            "answer",
            "after the answer",
            "tokens per right answer",
            "length of teacher's",
            "problems",
            "n",
        ),
        tuple(rows),
    )


def _budget_table(found: Distillation) -> PageTable:
    rows = []
    for name, _, task in _each(found):
        budgets = list(task.budgets)
        for budget in dict.fromkeys(budgets[i * (len(budgets) - 1) // 5] for i in range(1, 6) if budgets):
            own, theirs = task.costs["student"].budgets[budget], task.costs["teacher"].budgets[budget]
            gap = task.budgets[budget]
            low, high = (100 * end for end in gap.interval)
            told = f"{100 * gap.value:+.1f} [{low:+.1f}, {high:+.1f}]" if low == low else f"{100 * gap.value:+.1f}"
            ends = (task.costs[role].budget_intervals[budget] for role in ("student", "teacher"))
            rows.append((
                _of(found, name, f"{budget:,} tokens"), *map(_share, (own, theirs), ends), told.replace("-", "−"),
                *task.gap.counts,
            ))  # fmt: skip
    return PageTable(
        "At equal budgets",
        "Accuracy had completions been cut at so many tokens, and the difference in points, paired by problem. 95% "
        "intervals: of the accuracies run to run, of the difference over problems.",
        ("", "student", "teacher", "difference", "problems", "n"),
        tuple(rows),
    )


def _cost_cells(cost: Cost, role: str) -> tuple[str, ...]:
    ratio = "–"
    if role != "teacher" and cost.length_ratio is not None:
        ratio = f"{length_text(cost.length_ratio)}, {counted(cost.length_ratio.clusters, 'problem')}"
    return (
        _tokens(cost.tokens, cost.tokens_interval),
        f"{cost.thinking:,.0f}",
        f"{cost.answer:,.0f}",
        percent(cost.after_answer) if cost.after_answer is not None else "–",
        _tokens(cost.per_right, cost.per_right_interval) if cost.per_right is not None else "–",
        ratio,
    )


def _tokens(value: float, interval: tuple[float, float] | None) -> str:
    ends = f" [{interval[0]:,.0f}, {interval[1]:,.0f}]" if interval is not None else ""
    return f"{value:,.0f}{ends}"


def _size_table(found: Distillation) -> PageTable:
    sizes: dict[str, Size] = {s.label: s.size for s in found.students}
    sizes[found.teacher] = found.teacher_size
    if found.base is not None and found.base_size is not None:
        sizes[found.base] = found.base_size
    known = any(s.parameters or s.tokens_per_second for s in sizes.values())
    rows = tuple((label, *_size_cells(size, found.teacher_size)) for label, size in sizes.items()) if known else ()
    return PageTable(
        "What was compressed",
        "Of local checkpoints; the factor is against the teacher. Tokens per second as the runs measured them: they "
        "compare only where device and load were the same; a replayed or imported run generated nothing.",
        ("", "parameters", "weights on disk", "tokens/s", "device"),
        rows,
    )


def _size_cells(size: Size, teacher: Size) -> tuple[str, ...]:
    def factor(own: float | None, other: float | None) -> str:
        return f" ({own / other:.2f}×)" if own and other and size is not teacher else ""

    return (
        f"{size.parameters:,}{factor(size.parameters, teacher.parameters)}" if size.parameters else "–",
        f"{size.bytes / 1e6:,.1f} MB{factor(size.bytes, teacher.bytes)}" if size.bytes else "–",
        f"{size.tokens_per_second:,.0f}{factor(size.tokens_per_second, teacher.tokens_per_second)}"
        if size.tokens_per_second
        else size.no_speed or "–",
        size.device or "–",
    )


def _round_table(found: Distillation) -> PageTable:
    def points(interval: tuple[float, float]) -> str:
        return f"[{100 * interval[0]:+.1f}, {100 * interval[1]:+.1f}]".replace("-", "−")

    rows = tuple(
        (
            f"{r.title}: {r.after} after {r.before}",
            f"{100 * r.gain:+.1f}".replace("-", "−"),
            points(r.interval_run),
            points(r.interval_problems),
            f"{r.p_value:.3f}",
        )
        for r in found.rounds
    )
    return PageTable(
        "Round by round",
        "What each model gains on the one before, in points, with 95% intervals; p of the paired sign-flip test.",
        ("", "gain", "run to run", "over problems", "p"),
        rows,
    )


def _fidelity_table(student: StudentDistillation) -> PageTable:
    found = student.fidelity
    assert found is not None
    groups: Mapping[str, None] = {g: None for g in GROUP_COLUMNS if any(f.group == g for f in found.figures)}
    told = [measure for measure in _FIDELITY if found.figure(measure) is not None]
    rows = map(tuple, measure_rows(found, told, list(groups)))
    reason = f" {found.reason[0].upper()}{found.reason[1:]}." if found.reason else ""
    return PageTable(
        f"Fidelity of {student.label}",
        f"From logits on {found.compared} of {found.traces} texts; ±: 95%, clustered by problem.{reason}",
        ("", *groups),
        tuple(rows),
    )
