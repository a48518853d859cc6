"""A distillation page for a paper: the tables with booktabs, the sentences as the first one's caption."""

from collections.abc import Iterator

from evalkit.results.distill_records import Distillation
from evalkit.results.formats.distillation.tables import PageTable, page_tables
from evalkit.results.formats.renderers.latex import latex_escape

_NEEDS = "% needs \\usepackage{booktabs}, \\usepackage{graphicx}, \\usepackage{textcomp} and \\usepackage[T1]{fontenc}"


def render(found: Distillation) -> str:
    """One `table*` per table, shrunk where it is wider than the text."""
    lines = [_NEEDS, *(f"% {sentence}" for sentence in map(latex_escape, (*found.verdict, *found.details)))]
    base = f", base: {found.base}" if found.base is not None else ""
    roles = f" Teacher: {found.teacher}{base}, student: {', '.join(s.label for s in found.students)}."
    for i, table in enumerate(page_tables(found)):
        lines += list(_table(table, "" if i else roles))
    return "\n".join(lines) + "\n"


def _table(table: PageTable, roles: str) -> Iterator[str]:
    yield r"\begin{table*}"
    yield r"\centering\footnotesize\setlength{\tabcolsep}{4pt}"
    yield rf"\caption{{{latex_escape(table.heading)}. {latex_escape(table.caption + roles)}}}"
    yield r"\smallskip"
    sides = (r"p{0.4\textwidth}" if i in table.word_columns else "r" for i in range(1, len(table.columns)))
    yield rf"\sbox0{{\begin{{tabular}}{{l{''.join(sides)}}}"
    yield r"\toprule"
    yield " & ".join(map(latex_escape, table.columns)) + r" \\"
    yield r"\midrule"
    for row in table.rows:
        yield " & ".join(map(latex_escape, row)) + r" \\"
    yield r"\bottomrule"
    yield r"\end{tabular}}%"
    yield r"\ifdim\wd0>\textwidth\resizebox{\textwidth}{!}{\usebox0}\else\usebox0\fi"
    yield r"\end{table*}"
