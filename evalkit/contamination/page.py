"""A scan's result as one HTML page: each problem beside its place in the set. No script, everything escaped."""

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from html import escape
from pathlib import Path

from evalkit.contamination.index import KINDS
from evalkit.contamination.report import Contamination, Match, ProblemMatches
from evalkit.contamination.side_by_side import LONGEST, counts_by_kind, surest_first
from evalkit.errors import EvalkitError
from evalkit.visible import html_page, visible, visible_line

MOST_SHOWN = 1000  # problems
_STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #8881; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 84rem; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.5rem; margin: 0 0 .6rem; }
h2 { font-size: 1rem; margin: 2rem 0 .1rem; overflow-wrap: anywhere; }
p { margin: .1rem 0 .5rem; max-width: 62rem; overflow-wrap: anywhere; }
p.where { font-size: .88rem; color: color-mix(in srgb, CanvasText 75%, Canvas); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .8rem; text-align: right; }
th:first-child { text-align: left; }
.pair { display: grid; gap: .8rem; grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); }
.pair div { background: var(--soft); border: 1px solid var(--line); border-radius: 6px; padding: .6rem .8rem; }
.pair h3 { font-size: .8rem; font-weight: 600; margin: 0 0 .3rem; }
.pair p { margin: 0; white-space: pre-wrap; }
mark { background: #e69f0055; color: inherit; text-decoration: underline; }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_TITLE = "Benchmark problems in training sets"


def page_beside(result: Path) -> Path:
    """Where the page to the file `result` lies: the same name with the ending .html.

    Raises EvalkitError where `result` has that name itself.
    """
    page = result.with_suffix(".html")
    if page == result:
        raise EvalkitError(f"{result} is to hold the result, which is JSON.", "choose a name that ends in .json.")
    return page


def page_html(found: Contamination) -> str:
    """The page: counts of each task, and every problem that was found beside the text that is like it."""
    every = surest_first(found)
    left_out = f"<p>{len(every) - MOST_SHOWN:,} more are in the file.</p>" if len(every) > MOST_SHOWN else ""
    sets = ", ".join(f"{_line(str(one['name']))} ({one['records']:,} records)" for one in found.sets)
    body = f"""<h1>{_TITLE}</h1>
<p>{sets}</p>
{_table(found)}
<p>Paraphrases and translations are not found. Words that stand on one side only are marked.</p>
{"".join(_pair(task, problem) for task, problem in every[:MOST_SHOWN])}{left_out}
"""
    return html_page(_TITLE, _STYLE, _POLICY, body)


def _line(text: str) -> str:
    return escape(visible_line(text))


def _table(found: Contamination) -> str:
    heads = "".join(f'<th scope="col">{name}</th>' for name in ("task", "problems", "found", *KINDS))
    rows = "\n".join(
        f'<tr><th scope="row">{_line(task)}</th>{"".join(f"<td>{number:,}</td>" for number in numbers)}</tr>'
        for task, numbers in counts_by_kind(found)
    )
    return f"<table><thead><tr>{heads}</tr></thead>\n<tbody>{rows}</tbody></table>"


def _pair(task: str, problem: ProblemMatches) -> str:
    best = problem.matches[0] if problem.matches else None
    head = f"<h2>{_line(f'{task} {problem.problem_id}')}: {_line(problem.kind)}</h2>\n"
    if best is None:
        return head
    others = "".join(f"; also {_place(match)}" for match in problem.matches[1:])
    records = f", {problem.records:,} records in all" if problem.records > 1 else ""
    figures = (
        f"coverage {best.coverage:.0%}, with numbers masked {best.masked_coverage:.0%}, Jaccard {best.jaccard:.2f}"
    )
    where = f'<p class="where">{_place(best)}{others}{records}; {figures}</p>\n'
    if problem.problem is None or best.text is None:
        return f"{head}{where}<p>The benchmark's authors ask that its questions be not published.</p>\n"
    ours, theirs = _marked(visible(problem.problem[:LONGEST]), visible(best.text[:LONGEST]))
    return (
        f'{head}{where}<div class="pair"><div><h3>problem</h3><p>{ours}</p></div>'
        f"<div><h3>training set</h3><p>{theirs}</p></div></div>\n"
    )


def _place(match: Match) -> str:
    return _line(f"{match.set} record {match.record} {match.field}")


def _marked(left: str, right: str) -> tuple[str, str]:
    """Both texts as markup, with the words marked that the other one does not have in that order."""
    ours, theirs = re.findall(r"\S+|\s+", left), re.findall(r"\S+|\s+", right)
    a, b = ([_bare(word) for word in words if not word.isspace()] for words in (ours, theirs))
    same_a: set[int] = set()
    same_b: set[int] = set()
    for block in SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks():
        same_a.update(range(block.a, block.a + block.size))
        same_b.update(range(block.b, block.b + block.size))
    return "".join(_words(ours, same_a)), "".join(_words(theirs, same_b))


def _bare(word: str) -> str:
    return re.sub(r"\W+", "", word.casefold()) or word


def _words(words: Sequence[str], same: set[int]) -> Iterator[str]:
    number = 0
    for word in words:
        if word.isspace():
            yield word
            continue
        yield escape(word) if number in same else f"<mark>{escape(word)}</mark>"
        number += 1
