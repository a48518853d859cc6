"""A distillation page for a paper: the tables with booktabs, the sentences as the first one's caption."""

from collections.abc import Iterator

from evalkit.results.distillation import Distillation
from evalkit.results.formats.distillation.tables import PageTable, page_tables
from evalkit.results.formats.renderers.latex import latex_escape

_NEEDS = "% needs \\usepackage{booktabs}, \\usepackage{graphicx}, \\usepackage{textcomp} and \\usepackage[T1]{fontenc}"


def render(found: Distillation) -> str:
    """One `table*` per table, shrunk where it is wider than the text."""
    lines = [_NEEDS, *(f"% {sentence}" for sentence in map(latex_escape, found.verdict))]
    for table in page_tables(found):
        lines += list(_table(table))
    return "\n".join(lines) + "\n"


def _table(table: PageTable) -> Iterator[str]:
    yield r"\begin{table*}"
    yield r"\centering\footnotesize\setlength{\tabcolsep}{4pt}"
    yield rf"\caption{{{latex_escape(table.heading)}. {latex_escape(table.caption)}}}"
    yield r"\smallskip"
    yield rf"\sbox0{{\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}"
    yield r"\toprule"
    yield " & ".join(map(latex_escape, table.columns)) + r" \\"
    yield r"\midrule"
    for row in table.rows:
        yield " & ".join(map(latex_escape, row)) + r" \\"
    yield r"\bottomrule"
    yield r"\end{tabular}}%"
    yield r"\ifdim\wd0>\textwidth\resizebox{\textwidth}{!}{\usebox0}\else\usebox0\fi"
    yield r"\end{table*}"
