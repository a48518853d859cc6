"""A table with every kind of cell in every format, whole; a run as a notebook shows it; signs that must be escaped."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import EvalkitError
from evalkit.results.entries import Entry
from evalkit.results.formats.model_card import model_card
from evalkit.results.formats.parts import interval_svg, run_html, shares_svg
from evalkit.results.formats.renderers import csv as csv_format
from evalkit.results.formats.renderers import html, latex, md, terminal, typst
from evalkit.results.formats.renderers import json as json_format
from evalkit.results.formats.table import Cell, Column, Row, Table
from evalkit.results.leaderboard import build_table
from evalkit.results.metrics import error_bars, figure_text, interval_text, with_error_bars
from evalkit.results.published import PublishedScore
from evalkit.results.report import Report
from evalkit.results.table_options import TableOptions, build
from evalkit.types import Interval, Metric

AIME = Metric(
    "pass@1",
    72.6,
    120,
    "%",
    interval_run=Interval(71.0, 74.2),
    interval_problems=Interval(60.0, 85.2),
)
LOSS = Metric("pass@1", -3.5, 120, "%", interval_run=Interval(-4.0, -1.0))
NOTES = ["† cut <short>.", "‖ other problems.", "‡ published figure: n unknown.", "all in one."]


def table(**fields: Any) -> Table:
    """Two groups: a run of ours with a best, a missing and a verbal figure; a published model."""
    ours = [
        Cell(AIME, n=4, problems=30, truncated=0.104, errors=2, settled=1, mark="†,‖", best=True, z=-0.44,
             verdict="within", seen=4.04),
        None,
        Cell(Metric("rating", 3900.0, 1, "rating", text="above 3,900"), n=1, problems=9),
    ]  # fmt: skip
    theirs = [
        Cell(Metric("pass@1", 70.0, 0, "%"), source="Paper & <co>", mark="‡"),
        Cell(LOSS, n=8, source="Paper & <co>"),
        Cell(Metric("rating", 900.0, 1, "rating"), n=1, source="Paper & <co>"),
    ]
    return Table(
        [
            Column("aime24", "AIME 2024", "pass@1"),
            Column("lcb", "LiveCodeBench (release_v5)", "pass@1"),
            Column("codeforces", "CodeForces", "rating"),
        ],
        [
            Row("org/a_1", "a_1 (run-2)", list(ours), "run-2", "deepseek-r1", group="50% ours", where="x/run-2"),
            Row("P|2", "P|2 (published)", list(theirs), published=True, group="theirs"),
        ],
        NOTES,
        ["more."],
        **fields,
    )


CAPTION = "percent (CodeForces: rating); ±: 95%, run to run; bold: best of our runs, beyond chance"
AGAINST = "a_1 (run-2) against the published figures: AIME 2024 pass@1 z=−0.4 within (4.0)"
FOOTNOTES = [
    AGAINST,
    "cut at the token limit: a_1 (run-2) on AIME 2024 10%",
    "cut: unknown for a_1 (run-2)",
    "LiveCodeBench: release_v5",
    *NOTES,
]


def test_a_table_in_latex() -> None:
    assert latex.render(table(title="Our 5%", label="tab:ours")).splitlines() == [
        "% needs the packages booktabs, threeparttable, siunitx, textcomp, and fontenc with the option T1",
        r"\begin{table*}",
        r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
        r"\sisetup{detect-weight=true}",
        r"\begin{threeparttable}",
        r"\caption{Our 5\%}",
        r"\label{tab:ours}",
        r"\begin{tabular}{@{}lS[table-format=2.1, table-space-text-post={\textsuperscript{\textdagger{},$\Vert$}}]"
        r"S[table-format=-1.1]S[table-format=3.0]@{}}",
        r"\toprule",
        r"Model & {AIME 2024} & {LiveCodeBench} & {CodeForces} \\",
        r" & {pass@1} & {pass@1} & {rating} \\",
        r" & {n=4} & {n=8} & {n=1} \\",
        r"\midrule",
        r"\multicolumn{4}{@{}l}{\itshape 50\% ours} \\",
        r"a\_1 & \bfseries 72.6 {\textsuperscript{\textdagger{},$\Vert$}} & {--} & {above 3,900} \\[-2pt]",
        r"{\scriptsize (run-2)} & {\scriptsize $\pm$1.6} &  &  \\",
        r"\midrule",
        r"\multicolumn{4}{@{}l}{\itshape theirs} \\",
        r"P\textbar{}2 & 70.0 {\textsuperscript{\textdaggerdbl{}}} & -3.5 & 900 \\[-2pt]",
        r"{\scriptsize (published)} &  & {\scriptsize +2.5 $-$0.5} &  \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\begin{tablenotes}[flushleft]\scriptsize",
        r"\item percent (CodeForces: rating); $\pm$: 95\%, run to run; bold: best of our runs, beyond chance.",
        r"\item a\_1 (run-2) against the published figures: AIME 2024 pass@1 z=$-$0.4 within (4.0)",
        r"\item cut at the token limit: a\_1 (run-2) on AIME 2024 10\%",
        r"\item cut: unknown for a\_1 (run-2)",
        r"\item LiveCodeBench: release\_v5",
        r"\item[\textdagger{}] cut \textless{}short\textgreater{}.",
        r"\item[$\Vert$] other problems.",
        r"\item[\textdaggerdbl{}] published figure: n unknown.",
        r"\item all in one.",
        r"\end{tablenotes}",
        r"\end{threeparttable}",
        r"\end{table*}",
    ]


def test_a_verbose_table_in_latex_has_what_a_figure_rests_on() -> None:
    lines = latex.render(table(verbose=True)).splitlines()
    assert lines[5:7] == [r"\caption{Results}", r"\label{tab:results}"]
    assert lines[14:19] == [
        r"a\_1 & \bfseries 72.6 {\textsuperscript{\textdagger{},$\Vert$}} & {--} & {above 3,900} \\[-2pt]",
        r"{\scriptsize (run-2)} & {\scriptsize $\pm$1.6} &  & {\scriptsize cut: unknown} \\[-2pt]",
        r" & {\scriptsize $\pm$12.6} &  &  \\[-2pt]",
        r" & {\scriptsize n=4} &  &  \\[-2pt]",
        r" & {\scriptsize 10.4\% cut} &  &  \\[-2pt]",
    ]
    assert lines[19] == r" & {\scriptsize 2 errors (1 settled)} &  &  \\"
    assert r"\item a\_1 (run-2) against the published figures: AIME 2024 pass@1 z=$-$0.4 within (4.0)" in lines
    assert lines[-4] == r"\item more."


def test_seven_columns_go_on_in_a_second_block() -> None:
    cells = [Cell(Metric("pass@1", float(i), 1, "%"), n=1) for i in range(7)]
    columns = [Column(f"t{i}", f"T{i}", "pass@1") for i in range(7)]
    lines = latex.render(Table(columns, [Row("[m]", "[m]", list(cells))], ["[x]", "*"])).splitlines()
    assert [line for line in lines if "T" in line and "Model" in line] == [
        r"Model & {T0} & {T1} & {T2} & {T3} \\", r"Model & {T4} & {T5} & {T6} \\",
    ]  # fmt: skip
    assert lines.count(r"\par\medskip") == 1
    assert [line for line in lines if "{[}m" in line] == [
        r"{[}m{]} & 0.0 & 1.0 & 2.0 & 3.0 \\", r"{[}m{]} & 4.0 & 5.0 & 6.0 \\",
    ]  # fmt: skip
    assert lines[-5:-3] == [r"\item {[}x{]}", r"\item {*}"]
    six = latex.render(Table(columns[:6], [Row("m", "m", list(cells[:6]))]))
    assert six.count(r"\begin{tabular}") == 1


def test_latex_sets_every_sign_as_text() -> None:
    told = {
        "\\{}$&#%_~^<>|": r"\textbackslash{}\{\}\$\&\#\%\_\textasciitilde{}\textasciicircum{}\textless{}"
        r"\textgreater{}\textbar{}",
        "[]*\"'`": r"{[}{]}{*}\textquotedbl{}\textquotesingle{}\textasciigrave{}",
        "±−–≤": r"$\pm$$-$--$\leq$",
        "†‡§¶‖#": r"\textdagger{}\textdaggerdbl{}\S{}\P{}$\Vert$\#",
        "ᵃ,ᵇᵇ": "a,bb",
        "é ł ÿ ‘’“”—…•€™": "é ł ÿ ‘’“”—…•€™",
        "ſ ŀ ﬁ 中 ½": "s l fi U+4E2D ½",
        "a--b,,c---": "a-{}-b,{},c-{}-{}-",
    }
    assert {text: latex.latex_escape(text) for text in told} == told


def test_a_table_in_typst() -> None:
    assert typst.render(table(title="Our 5%", label="tab:ours")).splitlines() == [
        "#figure(",
        "  caption: figure.caption(position: top)[Our 5%],",
        "  [",
        "    #table(",
        "      columns: 4, stroke: none, align: (left, right, right, right),",
        "      table.hline(),",
        r"      [Model], [AIME 2024 \ pass\@1 \ n\=4], [LiveCodeBench \ pass\@1 \ n\=8], [CodeForces \ rating \ n\=1],",
        "      table.hline(stroke: 0.5pt),",
        "      table.cell(colspan: 4)[_50% ours_],",
        r"      [a\_1 \(run\-2\)], [*72.6†,‖* \ #text(size: 0.75em)[±1.6]], [–], [above 3,900],",
        "      table.hline(stroke: 0.5pt),",
        "      table.cell(colspan: 4)[_theirs_],",
        r"      [P\|2 \(published\)], [70.0‡], [−3.5 \ #text(size: 0.75em)[\+2.5 −0.5]], [900],",
        "      table.hline(),",
        "    )",
        "    #align(left, text(size: 0.8em)["
        + r" \ ".join(typst.typst_escape(note) for note in [f"{CAPTION}.", *FOOTNOTES])
        + "])",
        "  ],",
        ") <tab:ours>",
    ]
    assert typst.render(Table([], [])).splitlines()[-1] == ") <tab:results>"
    signs = "\\#$*_`<>@~=-+/'\"[]{}()|^&:;"
    assert typst.typst_escape(signs) == "".join(f"\\{sign}" for sign in signs)
    assert typst.typst_escape("a 5%.,!?‖") == "a 5%.,!?‖"


def test_a_table_in_markdown() -> None:
    notes = [*FOOTNOTES[:4], "† cut &lt;short&gt;.", *NOTES[1:]]
    assert md.render(table()).splitlines() == [
        CAPTION, "",
        "| model | AIME 2024 pass@1 n=4 | LiveCodeBench pass@1 n=8 | CodeForces rating n=1 |",
        "|:-|-:|-:|-:|",
        "| **50% ours** | | | |",
        "| a\\_1 (run-2) | **72.6†,‖** ±1.6 | – | above 3,900 |",
        "| **theirs** | | | |",
        "| P\\|2 (published) | 70.0‡ | −3.5 +2.5 −0.5 | 900 |", "",
        *("- " + note.replace("_", "\\_") for note in notes),
    ]  # fmt: skip
    verbose = md.render(table(verbose=True)).splitlines()
    assert verbose[0] == (
        "percent (CodeForces: rating); ±: 95%, run to run / over problems; n: samples per problem; cut: stopped at "
        "the token limit or for repetition; bold: best of our runs, beyond chance"
    )
    assert verbose[2] == "| model | AIME 2024 pass@1 | LiveCodeBench pass@1 | CodeForces rating |"
    assert verbose[5] == (
        "| a\\_1 (run-2) | **72.6†,‖** ±1.6 / ±12.6 (n=4, 10.4% cut, 2 errors (1 settled)) \\[z=−0.4 within (4.0)\\] "
        "| – | above 3,900 (n=1, cut: unknown) |"
    )
    assert verbose[7] == "| P\\|2 (published) | 70.0‡ (n unknown) | −3.5 +2.5 −0.5 (n=8) | 900 (n=1) |"
    assert verbose[9:] == ["- LiveCodeBench: release\\_v5", "- † cut &lt;short&gt;.",
                           *(f"- {note}" for note in [*NOTES[1:], "more."])]  # fmt: skip


FIRST = {
    "model": "org/a_1", "run": "run-2", "protocol": "deepseek-r1", "published": False, "task": "aime24",
    "benchmark": "AIME 2024", "metric": "pass@1", "value": 72.6, "unit": "%", "run_low": 71.0, "run_high": 74.2,
    "problems_low": 60.0, "problems_high": 85.2, "n": 4, "problems": 30, "truncated": 0.104, "errors": 2,
    "settled": 1, "mark": "†,‖", "notes": "cut <short>. other problems.", "best": True, "z": -0.44, "z_most": None,
    "seen": 4.04, "verdict": "within", "not_compared": "", "source": "",
}  # fmt: skip


def test_a_table_in_json_and_csv() -> None:
    found = json.loads(json_format.render(table()))
    assert (found["caption"], found["notes"], list(found)) == (CAPTION, NOTES, ["caption", "notes", "cells"])
    assert [(c["model"], c["task"]) for c in found["cells"]] == [
        ("org/a_1", "aime24"), ("org/a_1", "codeforces"), ("P|2", "aime24"), ("P|2", "lcb"), ("P|2", "codeforces"),
    ]  # fmt: skip
    assert found["cells"][0] == FIRST
    assert found["cells"][3] == {
        **dict.fromkeys(("problems_low", "problems_high", "problems", "truncated", "z", "z_most", "seen")),
        **dict.fromkeys(("run", "protocol", "mark", "notes", "verdict", "not_compared"), ""),
        "model": "P|2", "published": True, "task": "lcb", "benchmark": "LiveCodeBench (release_v5)",
        "metric": "pass@1", "value": -3.5, "unit": "%", "run_low": -4.0, "run_high": -1.0, "n": 8, "errors": 0,
        "settled": 0, "best": False, "source": "Paper & <co>",
    }  # fmt: skip
    text = csv_format.render(table())
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 5
    assert rows[0] == {k: "" if v is None else str(v) for k, v in FIRST.items()}
    assert "\r" not in text
    assert csv_format.render(Table([], [])) == ""


def test_a_table_in_html() -> None:
    found = html.table_html(table())

    def head(*lines: str) -> str:
        small = "".join(f"<small>{line}</small>" for line in lines[1:])
        return f'<th scope="col"><button type="button">{lines[0]}</button>{small}</th>'

    notes = [*FOOTNOTES[:4], "† cut &lt;short&gt;.", *NOTES[1:]]
    title = "72.6†,‖ ±1.6 / ±12.6 (n=4, 10.4% cut, 2 errors (1 settled)) [z=−0.4 within (4.0)]"
    assert found.splitlines() == [
        '<div class="scroll"><table class="sorts">',
        f"<caption>{CAPTION}</caption>",
        f'<thead><tr>{head("Model")}{head("AIME 2024", "pass@1", "n=4")}{head("LiveCodeBench", "pass@1", "n=8")}'
        f'{head("CodeForces", "rating", "n=1")}</tr></thead>',
        "<tbody>",
        '<tr class="group"><th colspan="4">50% ours</th></tr>',
        '<tr><th scope="row" data-value="a_1 (run-2)">a_1 (run-2)</th>'
        f'<td data-value="72.6" title="{title}"><b>72.6†,‖</b><small>±1.6</small></td><td>–</td>'
        '<td data-value="3900.0" title="above 3,900 (n=1, cut: unknown)">above 3,900</td></tr>',
        "</tbody><tbody>",
        '<tr class="group"><th colspan="4">theirs</th></tr>',
        '<tr class="published"><th scope="row" data-value="P|2 (published)">P|2 (published)</th>'
        '<td data-value="70.0" title="Paper &amp; &lt;co&gt;">70.0‡</td>'
        '<td data-value="-3.5" title="Paper &amp; &lt;co&gt;">−3.5<small>+2.5 −0.5</small></td>'
        '<td data-value="900.0" title="Paper &amp; &lt;co&gt;">900</td></tr>',
        "</tbody>",
        "</table></div>",
        f"<ul>{''.join(f'<li>{note}</li>' for note in notes)}</ul>",
    ]  # fmt: skip
    page = html.render(table())
    assert "<title>Leaderboard</title>" in page
    assert f"{found}<script>{html.SCRIPT}</script>\n</body>" in page
    assert "<title>Ours</title>" in html.render(table(title="Ours"))


def test_a_table_on_a_terminal() -> None:
    words = [line.split() for line in terminal.render(table(), width=120).splitlines()]
    assert words[:3] == [
        ["AIME", "2024", "LiveCodeBench", "CodeForces"], ["pass@1", "pass@1", "rating"],
        ["model", "n=4", "n=8", "n=1"],
    ]  # fmt: skip
    shown = [" ".join(line) for line in words if line and "─" not in line[0]]
    assert shown[3:7] == [
        "50% ours", "a_1 (run-2) 72.6†,‖* ±1.6 – above 3,900", "theirs",
        "P|2 (published) 70.0‡ −3.5 +2.5 −0.5 900",
    ]  # fmt: skip
    assert shown[7:] == [CAPTION.replace("bold: ", "*: "), *FOOTNOTES]
    coloured = terminal.render(table(), width=120, colour=True)
    assert re.search(r"\x1b\[1m *72\.6†,‖ ±1\.6 *\x1b\[0m", coloured)
    assert re.search(r"\x1b\[2m *70\.0‡ *\x1b\[0m", coloured)
    assert "bold: best of our runs" in coloured
    assert f"  {NOTES[3]}" in coloured.splitlines()
    narrow = terminal.render(table(), width=40).splitlines()
    assert max(map(len, narrow)) <= 40
    assert next(line for line in narrow if "72.6" in line).split() == ["a_1", "(run-2)", "72.6†,‖*", "–"]


def report(**fields: Any) -> Report:
    made: dict[str, Any] = {
        "schema": 8, "model": "org/<m>", "run_id": "r", "task": "aime24", "title": "AIME & co", "task_version": 1,
        "protocol": "deepseek-r1", "max_tokens": 100, "n": 4, "problems": 5, "samples": 20,
        "statuses": {"correct": 15, "wrong": 3, "no_answer": 2, "truncated": 0, "error": 0}, "truncation_rate": 0.0,
        "tokens": None, "metrics": [AIME, Metric("rating", 1500.0, 4, "rating"), Metric("cons@4", 80.0, 20, "%")],
        "values": {}, "bytes_read": [], "headlines": ["rating", "pass@1"],
    }  # fmt: skip
    return Report(**{**made, **fields})


def test_a_run_in_a_notebook() -> None:
    interval = interval_svg(72.6, (71.0, 74.2), (60.0, 85.2), 0, 100)
    samples = f"{shares_svg(report().statuses)} 15 correct, 3 wrong, 2 no answer"
    names = ("task", "metric", "value", "95%", "run to run / over problems", "problems × n", "samples")
    heads = "".join(f'<th scope="col">{name}</th>' for name in names)
    rating = Metric("rating", 1500.0, 4, "rating", interval_problems=Interval(1400.0, 1700.0), text="above <1>")

    def row(*cells: str) -> str:
        return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"

    first = row("AIME &amp; co", "pass@1", "<b>72.6</b>", interval, "±1.6 / ±12.6", "5 × 4", samples)
    second = row(
        "AIME &amp; co", "rating", "<b>1500</b>", interval_svg(1500.0, None, None, 0, 1500.0), "", "5 × 4", samples
    )
    third = row("AIME &amp; co", "rating", "<b>above &lt;1&gt;</b>",
                interval_svg(1500.0, None, (1400.0, 1700.0), 0, 1700.0), "+200 −100 (over problems)", "5 of 30 × 4",
                samples)  # fmt: skip
    entries = [
        Entry(Path("a"), report(), {}, available=5),
        Entry(Path("b"), report(metrics=[rating]), {}, available=30),
    ]
    start = f"<p><b>org/&lt;m&gt;</b> deepseek-r1</p><table><thead><tr>{heads}</tr></thead><tbody>"
    assert run_html(entries, ["<b>x", "y"]) == (
        f"{start}{first}{second}{third}</tbody></table><ul><li>&lt;b&gt;x</li><li>y</li></ul>"
    )
    assert run_html([], []) == f"<table><thead><tr>{heads}</tr></thead><tbody></tbody></table>"


def test_figures_and_their_half_widths_as_text() -> None:
    figures = [(83.94, "%"), (-0.04, "%"), (-1.25, "%"), (1189.4, "rating"), (3, "count"), (2.6, "count"), (2, "mean"),
               (1200.4, "tokens"), (1.25, "seconds")]  # fmt: skip
    assert [figure_text(value, unit) for value, unit in figures] == [  # type: ignore[arg-type]
        "83.9", "0.0", "−1.2", "1189", "3", "2.60", "2.00", "1200", "1.2",
    ]  # fmt: skip
    assert [interval_text(50, ends, "%") for ends in ((48, 52), (48, 52.4), (48, 52.5), (48, 52.6))] == [
        "±2.0", "±2.4", "±2.5", "+2.6 −2.0",
    ]  # fmt: skip
    assert [interval_text(v, (v - 2, v + 2), "%") for v in (98, 98.1, 2, 1.9)] == [
        "±2.0",
        "+2.0 −2.0",
        "±2.0",
        "+2.0 −2.0",
    ]
    assert interval_text(98, (95.5, 100.5), "count") == "±2.50"
    assert (error_bars(AIME), error_bars(LOSS)) == (["±1.6", "±12.6"], ["+2.5 −0.5"])
    assert [with_error_bars(m) for m in (AIME, LOSS, None, Metric("x", 1, 1, "count", text="above 1"))] == [
        "72.6 ±1.6 / ±12.6", "−3.5 +2.5 −0.5", "–", "above 1",
    ]  # fmt: skip


def test_a_model_card_is_of_one_model() -> None:
    card = model_card([Entry(Path("a"), report(model="org/m/"), {}, ("someone/set",), 30)])
    assert card.startswith("---\n")
    assert card.endswith("\n---\n")
    assert "name: m\n" in card
    for line in ("type: text-generation", "type: someone/set", "name: AIME & co", "value: 72.6", "value: 1500",
                 "value: 80"):  # fmt: skip
        assert line in card
    told = " ".join(card.split())
    assert (
        "pass@1 (n=4, protocol deepseek-r1, subset of 5 problems; 95% interval run to run 71.0 to 74.2, over problems "
        "60.0 to 85.2)"
    ) in told
    assert "cons@4 (n=4, protocol deepseek-r1, subset of 5 problems)" in told
    for entries, many in (([], 0), ([Entry(Path(m), report(model=m), {}) for m in "ab"], 2)):
        with pytest.raises(EvalkitError) as raised:
            model_card(entries)
        assert (raised.value.message, raised.value.hint) == (
            f"A model card is of one model, and there are {many}.", "give the run directories of one model.",
        )  # fmt: skip


def test_published_figures_have_rows_of_their_own() -> None:
    def score(model: str, metric: str, value: float, sd: float | None, **fields: Any) -> PublishedScore:
        made: dict[str, Any] = {
            "benchmark": "B",
            "task": "",
            "n": None,
            "protocol": "",
            "settings": {},
            "source": "S",
            "note": "",
        }
        return PublishedScore(model=model, metric=metric, value=value, sd=sd, **{**made, **fields})

    found = build_table([], [
        score("m", "pass@1", 99.5, 1.0, n=16, note="of a graph"), score("m", "rating", 1000.0, 10.0),
        score("n", "pass@1", 0.5, 0.5), score("m", "pass@1", 7.0, None, source="T"), score("m", "pass@1", 8.0, None),
    ])  # fmt: skip
    assert [(c.task, c.title, c.metric) for c in found.columns] == [("B", "B", "pass@1"), ("B", "B", "rating")]
    assert [(r.model, r.label, r.published, [c and c.value for c in r.cells]) for r in found.rows] == [
        ("m", "m (S)", True, [99.5, 1000.0]), ("n", "n", True, [0.5, None]), ("m", "m (T)", True, [7.0, None]),
    ]  # fmt: skip
    first, rating = found.rows[0].cells
    assert first is not None
    assert first.metric == Metric("pass@1", 99.5, 16, "%", interval_run=Interval(97.54, 100.0))
    assert (first.n, first.source, first.remark) == (16, "S", "m, B pass@1 99.5: of a graph.")
    assert rating is not None
    assert rating.metric == Metric("rating", 1000.0, 0, "rating", interval_run=Interval(980.4, 1019.6))
    low = found.rows[1].cells[0]
    assert low is not None
    assert low.metric.interval_run == Interval(0.0, 1.48)
    assert found.notes == ["published: S.", "published: T.", "m, B pass@1 99.5: of a graph."]
    assert found.details == ["± of a published figure: 1.96 times its standard deviation between single runs."]


@pytest.mark.parametrize(
    ("group", "label"),
    [("published", "org/own"), ("Published", "org/own"), ("PUBLISHED", "org/own"), ("papers", "org/own (published)")],
)  # fmt: skip
def test_a_group_of_published_rows_says_so_once(group: str, label: str, tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    head = "model,benchmark,task,metric,value,sd,n,protocol,settings,source,note"
    path.write_text(f"{head}\norg/own,AIME 2024,aime24,pass@1,50,,,,,S,\n")
    ours = Entry(Path("x/own"), report(model="org/own"), {})
    groups = {group: ("*published*",), "ours": ("*",)}
    found = build(TableOptions(published=(str(path),), groups=groups), [ours])
    assert [(row.label, row.group) for row in found.rows] == [(label, group), ("own", "ours")]
