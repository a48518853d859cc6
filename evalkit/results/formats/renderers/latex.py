"""LaTeX with booktabs, siunitx and threeparttable: the best figure of a column in bold, notes below the table."""

import re
import unicodedata
from collections.abc import Sequence
from itertools import zip_longest

from evalkit.results.formats.escaping import one_line
from evalkit.results.formats.table import Cell, Row, Table, is_mark
from evalkit.results.formats.terminal import fold

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
    "‖": r"$\Vert$",
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


_PACKAGES = "booktabs, threeparttable, siunitx, textcomp, and fontenc with the option T1"
_SMALL = r"\scriptsize"
_LONGEST = 36  # characters of a name, beyond which it is folded
_PER_BLOCK = 6  # columns, beyond which a table goes on in another block below
_FORM = re.compile(r"−?\d+(\.\d+)?")


def _figure(cell: Cell | None) -> str:
    """A figure for a column of siunitx; what is no number is set as text."""
    if cell is None:
        return "{--}"
    figure, mark = cell.figure(), latex_escape(cell.mark)
    sign = rf"\textsuperscript{{{mark}}}" if mark else ""
    if not _FORM.fullmatch(figure):
        return f"{{{latex_escape(figure)}{sign}}}"
    number = figure.replace("−", "-")
    return (rf"\bfseries {number}" if cell.best else number) + (f" {{{sign}}}" if sign else "")


def _below(table: Table, row: Row, columns: Sequence[int]) -> list[list[str]]:
    """The smaller lines below a row of figures: the interval, and in a verbose table the second one and n."""
    own = [_lines(table, cell, i) if (cell := row.cells[i]) is not None else [] for i in columns]
    lines = max(map(len, own), default=0)
    return [[_small(lines_[i]) if i < len(lines_) else "" for lines_ in own] for i in range(lines)]


def _lines(table: Table, cell: Cell, column: int) -> list[str]:
    """What stands below a figure; n only where the column's head does not tell it for all its figures."""
    if not table.verbose:
        return cell.bar()
    in_head = bool(cell.samples()) and table.has_one_n(column)
    return cell.bars() + cell.basis()[1 if in_head else 0 :]


def _small(text: str) -> str:
    return rf"{{{_SMALL} {latex_escape(text)}}}" if text else ""


def _apart(text: str) -> str:
    r"""`text` behind a command: a bracket or a star at its start would be an option of `\\` or `\item`."""
    return "{}" + text if text[:1] in ("[", "*") else text


def _row(table: Table, row: Row, columns: Sequence[int]) -> list[str]:
    """The lines of a row: the figures, and in smaller type what stands below them and the rest of the name."""
    cells = [row.cells[i] for i in columns]
    name, _, run = row.label.partition(" (")
    first, *more = fold(name, _LONGEST)
    more += [f"({run}"] if run else []
    lines = [" & ".join([_apart(latex_escape(first)), *map(_figure, cells)])]
    nothing = [""] * len(cells)
    for left, texts in zip_longest(map(_small, more), _below(table, row, columns)):
        lines.append(" & ".join([left or "", *(texts or nothing)]))
    return [line + (r" \\[-2pt]" if i < len(lines) - 1 else r" \\") for i, line in enumerate(lines)]


def _format(table: Table, column: int) -> str:
    """The digits of a column before and after the point, for siunitx, with room for marks."""
    cells = [c for row in table.rows if (c := row.cells[column]) is not None and _FORM.fullmatch(c.figure())]
    before = max([len(c.figure().lstrip("−").partition(".")[0]) for c in cells] + [1])
    after = max([len(c.figure().partition(".")[2]) for c in cells] + [0])
    minus = "-" if any(c.figure().startswith("−") for c in cells) else ""
    marks = max((c.mark for c in cells), key=len, default="")
    post = rf", table-space-text-post={{\textsuperscript{{{latex_escape(marks)}}}}}" if marks else ""
    return f"S[table-format={minus}{before}.{after}{post}]"


def _block(table: Table, columns: Sequence[int]) -> list[str]:
    heads = [table.heads(i) for i in columns]
    deepest = max(map(len, heads))
    lines = [
        rf"\begin{{tabular}}{{@{{}}l{''.join(_format(table, i) for i in columns)}@{{}}}}",
        r"\toprule",
    ]
    for i in range(deepest):
        texts = [f"{{{latex_escape(head[i])}}}" if i < len(head) else "" for head in heads]
        lines.append(" & ".join(["Model" if i == 0 else "", *texts]) + r" \\")
    for group, rows in table.groups():
        lines.append(r"\midrule")
        if group:
            lines.append(rf"\multicolumn{{{len(columns) + 1}}}{{@{{}}l}}{{\itshape {latex_escape(group)}}} \\")
        for row in rows:
            lines += _row(table, row, columns)
    return [*lines, r"\bottomrule", r"\end{tabular}"]


def _note(note: str) -> str:
    sign, _, rest = note.partition(" ")
    if rest and is_mark(sign):
        return rf"\item[{latex_escape(sign)}] {latex_escape(rest)}"
    return rf"\item {_apart(latex_escape(note))}"


def render(table: Table) -> str:
    """A `table*` with a short caption; its legend and notes stand below it, in a threeparttable."""
    columns = range(len(table.columns))
    per_block = -(-len(columns) // max(-(-len(columns) // _PER_BLOCK), 1)) or 1
    blocks = [columns[i : i + per_block] for i in range(0, len(columns), per_block)]
    lines = [
        f"% needs the packages {_PACKAGES}",
        r"\begin{table*}",
        r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
        r"\sisetup{detect-weight=true}",
        r"\begin{threeparttable}",
        rf"\caption{{{latex_escape(table.title or 'Results')}}}",
        rf"\label{{{table.label or 'tab:results'}}}",
    ]
    for i, block in enumerate(blocks):
        lines += [*([r"\par\medskip"] if i else []), *_block(table, block)]
    notes = [f"{table.caption}.", *(table.verdicts() if table.verbose else []), *table.footnotes(in_full=True)]
    lines += [r"\begin{tablenotes}[flushleft]\scriptsize", *map(_note, notes), r"\end{tablenotes}"]
    return "\n".join([*lines, r"\end{threeparttable}", r"\end{table*}"]) + "\n"
