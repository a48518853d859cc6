"""LaTeX with booktabs: the best figure in bold, a star where it is better than the next beyond chance."""

import re
import unicodedata
from collections.abc import Sequence

from evalkit.results.formats.escaping import one_line
from evalkit.results.formats.table import Cell, Row, Table

_DASH = "\x00"
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # after the end of a row it would open an argument, as a star would
    "]": "{]}",
    "*": "{*}",
    '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "±": r"$\pm$",
    "−": r"$-$",
    "–": _DASH,
    "≤": r"$\leq$",
    "†": r"\textdagger{}",
    "‡": r"\textdaggerdbl{}",
    "§": r"\S{}",
    "¶": r"\P{}",
}
# What pdflatex sets beyond ASCII with fontenc T1 and textcomp and nothing else: Latin letters and some signs.
_KNOWN = set(map(chr, range(0xA1, 0x180))) - set("\u00adĦħĸĿŀŉŦŧſ") | set("‘’“”—…•€™")


def latex_escape(text: str) -> str:
    """`text` as literal text; no character of it is left to mean something to TeX, none stops pdflatex.

    A letter that pdflatex cannot set without another package is written as its nearest ASCII, else as its code point.
    """
    text = "".join(map(_latex_character, one_line(text)))
    return re.sub(r"([-,])(?=\1)", r"\1{}", text).replace(_DASH, "--")  # two of them would make a dash, or a quote


def _latex_character(character: str) -> str:
    if character in _SPECIAL:
        return _SPECIAL[character]
    if character.isascii() or character in _KNOWN:
        return character
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return "".join(map(_latex_character, plain)) or f"U+{ord(character):04X}"


def _latex_cell(cell: Cell | None) -> str:
    if cell is None:
        return "--"
    figure = latex_escape(cell.figure())
    figure = rf"\textbf{{{figure}}}" if cell.best else figure
    parts = [figure + ("$^{*}$" if cell.significant else "") + latex_escape(cell.mark)]
    if bars := cell.bars():
        parts.append(rf"{{\tiny {latex_escape(' / '.join(bars))}}}")
    if comparison := cell.comparison():
        parts.append(rf"{{\tiny [{latex_escape(comparison)}]}}")
    return _stack(parts, "r")


def _latex_label(row: Row) -> str:
    """The model, and below it which run of it."""
    run = "" if row.published else row.label.removeprefix(row.model).strip()
    name = latex_escape(row.label.removesuffix(run).strip())
    return _stack([name, rf"{{\tiny {latex_escape(run)}}}"], "l") if run else name


def _stack(lines: Sequence[str], side: str) -> str:
    if len(lines) == 1:
        return lines[0]
    return rf"\begin{{tabular}}[t]{{@{{}}{side}@{{}}}}" + r" \\[-2pt] ".join(lines) + r"\end{tabular}"


def render(table: Table) -> str:
    """A `table*`, shrunk where it is wider than the text; n and truncation are in the caption, not in the cells."""
    titles = " & ".join(latex_escape(c.title) for c in table.columns)
    metrics = " & ".join(latex_escape(c.metric) for c in table.columns)
    lines = [
        "% needs \\usepackage{booktabs}, \\usepackage{graphicx}, \\usepackage{textcomp} and \\usepackage[T1]{fontenc}",
        r"\begin{table*}",
        r"\centering\footnotesize\setlength{\tabcolsep}{4pt}",
        rf"\caption{{{latex_escape(' '.join([table.caption, *table.notes, *_bases(table)]))}}}",
        r"\smallskip",
        rf"\sbox0{{\begin{{tabular}}{{l{'r' * len(table.columns)}}}",
        r"\toprule",
        rf"Model & {titles} \\",
        rf" & {metrics} \\",
        r"\midrule",
    ]
    for row in table.rows:
        lines.append(" & ".join([_latex_label(row), *map(_latex_cell, row.cells)]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}}%"]
    lines += [r"\ifdim\wd0>\textwidth\resizebox{\textwidth}{!}{\usebox0}\else\usebox0\fi", r"\end{table*}"]
    return "\n".join(lines) + "\n"


def _bases(table: Table) -> list[str]:
    """For each column, the n and the share that was cut, as ranges over its rows."""
    told = []
    for i, column in enumerate(table.columns):
        cells = [c for row in table.rows if not row.published and (c := row.cells[i]) is not None]
        if ns := sorted({c.n for c in cells if c.n is not None}):
            cut = [100 * c.truncated for c in cells if c.truncated is not None]
            n = f"n = {ns[0]}" if len(ns) == 1 else f"n = {ns[0]} to {ns[-1]}"
            share = f", {min(cut):.1f} to {max(cut):.1f}% cut" if cut else ""
            told.append(f"{column.heading}: {n}{share}.")
    return told
