"""Scans of small sets for problems whose likeness can be counted by hand: whole results, whole pages, whole files."""

import io
import json
import math
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from peer_logs import write, write_lines, write_parquet

from evalkit import DataSource, EvalkitError, Problem, Score, Task
from evalkit.contamination import index, page, scan
from evalkit.contamination.check import find_contamination
from evalkit.contamination.index import Index, Item
from evalkit.contamination.page import page_beside, page_html
from evalkit.contamination.reading import set_files, texts
from evalkit.contamination.report import (
    Contamination,
    Match,
    ProblemMatches,
    TaskContamination,
    better,
    load_contamination,
)
from evalkit.contamination.side_by_side import side_by_side, summary_lines, surest_first
from evalkit.contamination.tokens import IGNORED, grams, numeric, tokenize, visible

NATO = (
    "alfa bravo charlie delta echo foxtrot golf hotel india juliett kilo lima mike november oscar papa quebec romeo "
    "sierra tango"
)
MASKED = "uniform victor 3 whiskey xray yankee 5 zulu apple banana 7 cherry damson elder 9 fig grape hazel iris jasmine"
CHOICE = "larch maple nettle olive poplar quince rowan spruce"
SQRT = "Simplify $\\sqrt{242}$."
PROBLEMS = [
    Problem("nato", NATO, "1"),
    Problem("masked", MASKED, "2"),
    Problem("choice", f"{CHOICE}\n\nA) one\nB) two", "A", {"choices": ["one", "two"]}),
    Problem("short", SQRT, "3"),
]
NEAR = NATO.replace("juliett", "joker")  # 3 of the 18 triples are other ones
FURTHER = NEAR.replace("papa", "pony")  # 6 of them are
NUMBERS = MASKED.replace("3", "4").replace("5", "6").replace("7", "8").replace("9", "1")  # 12 triples have a number


class Own(Task):
    name, version, title, kind = "own", 1, "Own problems", "math"

    def load(self, source: DataSource) -> list[Problem]:
        return PROBLEMS

    def score(self, problem: Problem, response: str) -> Score:
        return Score(0.0, "wrong")


ROWS: list[Any] = [
    {"text": f"Here it is: {NATO.upper()}! And more."},
    {"q": {"x": ["short", f"So, {NEAR}?"]}, "n": 5},
    {"a": FURTHER, "b": NATO},
    {"prompt": NUMBERS},
    {"t": FURTHER},
    ["Nothing of the kind stands here, as anyone can see.", SQRT],
    {"t": f"{CHOICE}\n\nA) two\nB) one"},
    {"t": "sqrt 242 simplify"},
    {"t": f"Now {SQRT}"},
]


def fault(call: Callable[[], Any]) -> str:
    with pytest.raises(EvalkitError) as error:
        call()
    return error.value.message


def exact(name: str, record: int, field: str, text: str) -> Match:
    return Match("exact", 1.0, 1.0, 1.0, name, record, field, text)


def expected(name: str) -> tuple[ProblemMatches, ...]:
    """18 triples a problem: of a copy with 15 of them, 15 / 18 are covered, and 15 / (18 + 3) is the Jaccard index."""
    near = Match("near", 0.8333, 0.8333, 0.7143, name, 2, "q.x.1", NEAR)
    best = (exact(name, 1, "text", NATO.upper()), exact(name, 3, "b", NATO), near)
    numbers = Match("numbers", 0.3333, 1.0, 0.2, name, 4, "prompt", NUMBERS)
    simplify = exact(name, 6, "1", "Simplify $\\sqrt{242")
    return (
        ProblemMatches("nato", "exact", 4, NATO, best),
        ProblemMatches("masked", "numbers", 1, MASKED, (numbers,)),
        ProblemMatches("choice", "exact", 1, CHOICE, (exact(name, 7, "t", CHOICE),)),
        ProblemMatches("short", "exact", 1, SQRT, (simplify,)),
    )


def every_text(value: Any) -> list[str]:
    return [text for _, text in texts(value)]


def test_the_whole_result_of_a_scan(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "set.jsonl", ROWS)
    found = find_contamination(path, [Own()])
    characters = sum(len(text) for text in every_text(ROWS))
    assert found.sets == ({"name": str(path), "bytes": path.stat().st_size, "records": 9, "characters": characters},)
    assert found.tasks == {"own": TaskContamination("own", 4, (), expected(str(path)))}
    told = {"version": 3, "near": 0.5, "numbers": 0.6, "alike": 0.45}
    assert {name: value for name, value in found.settings.items() if name != "boilerplate"} == told
    assert len(found.settings["boilerplate"]) == 12
    assert found.tasks["own"].ids() == {"nato", "masked", "choice", "short"}
    assert found.tasks["own"].ids(("numbers", "near")) == {"masked"}


def test_several_files_and_batches_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "BATCH", 100)
    paths = [write_lines(tmp_path / "a.jsonl", ROWS[:3]), write_lines(tmp_path / "b.jsonl", ROWS[3:])]
    found = find_contamination(paths, [Own()], partial=tmp_path / "partial")
    assert [(one["name"], one["records"]) for one in found.sets] == [(str(paths[0]), 3), (str(paths[1]), 6)]
    places = {p.problem_id: [(m.set, m.record) for m in p.matches] for p in found.tasks["own"].found}
    first, second = map(str, paths)
    assert places == {
        "nato": [(first, 1), (first, 3), (first, 2)],
        "masked": [(second, 1)],
        "choice": [(second, 4)],
        "short": [(second, 3)],
    }
    assert {p.problem_id: p.records for p in found.tasks["own"].found} == {
        "nato": 4,
        "masked": 1,
        "choice": 1,
        "short": 1,
    }


def test_a_scan_goes_on_after_its_last_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "BATCH", 100)
    path, partial = write_lines(tmp_path / "set.jsonl", ROWS), tmp_path / "partial"
    whole = find_contamination(path, [Own()], partial=partial)
    lines = partial.read_bytes().splitlines(keepends=True)
    assert len(lines) > 4
    partial.write_bytes(b"".join(lines[:3]))
    # what was read is not read again: the first record is another one now, of the same size
    changed = [{"text": "x" * len(ROWS[0]["text"])}, *ROWS[1:]]
    write_lines(path, changed)
    assert find_contamination(path, [Own()], partial=partial) == whole
    assert partial.read_bytes() == b"".join(lines)
    assert find_contamination(path, [Own()], partial=partial) == whole, "nothing is left to be read"
    assert partial.read_bytes() == b"".join(lines)
    write_lines(path, [*changed, {"t": "one more record"}])
    again = find_contamination(path, [Own()], partial=partial)
    assert again.sets[0]["records"] == 10
    assert again.tasks["own"].found[0].records == 3, "another set is read from its beginning"


def word(number: int) -> str:
    """A word of its own for each number: qaaa, qaab, …"""
    return "q" + "".join(chr(97 + number // 26**i % 26) for i in (2, 1, 0))


def words(first: int, count: int) -> str:
    return " ".join(word(i) for i in range(first, first + count))


@pytest.mark.parametrize("length", [12, 127, 128, 129, 300])
@pytest.mark.parametrize("kind", ["exact", "near"])
def test_a_problem_is_found_wherever_it_stands(length: int, kind: str, tmp_path: Path) -> None:
    """Also one that is longer than the blocks of 128 tokens; nearly it is in 19 words out of 20."""
    problem = words(0, length)
    text = (
        problem
        if kind == "exact"
        else " ".join("other" if i % 20 == 6 and i < length - 3 else word(i) for i in range(length))
    )
    before = (0, 1, 100, 116, 127, 128, 129, 250, 256, 400)
    rows = [{"t": f"{words(5000, n)} {text} {words(9000, 300)}"} for n in before]
    path = write_lines(tmp_path / "set.jsonl", [*rows, {"t": words(0, length // 3)}])
    items = [Item("own", "0", words(2000, 12)), Item("own", "1", problem), Item("own", "2", words(3000, 12))]
    found = scan.Scan(Index(items), set_files([str(path)]), None, {}).run()
    assert dict(found.records) == {1: len(before)}
    assert [(m.kind, m.record, m.text) for m in found.best[1]] == [(kind, i, text) for i in (1, 2, 3)]


def test_weights_of_triples_that_problems_share() -> None:
    """Four problems of 30 words, of which the first ten are the same: 8 triples in four, 20 in one."""
    first = " ".join(NATO.split()[:10])
    items = [Item("own", str(i), f"{first} {words(100 * i, 20)}") for i in range(4)]
    made = Index(items)
    shared, own = math.log(31 / 4), math.log(31)
    assert made.totals.tolist() == pytest.approx([8 * shared + 20 * own] * 4)
    assert made.needed.tolist() == pytest.approx([(8 * shared + 20 * own) / 2 - 8 * shared] * 4)
    assert (len(made.known), made.lengths.tolist()) == (80, [30] * 4)
    assert made.known_weights.tolist() == pytest.approx([own] * 80)
    found = made.likeness(2, f"Now: {words(200, 20)}.")
    assert (found.kind, found.start, found.end) == ("near", 1, 21)
    assert found.coverage == pytest.approx(18 * own / (8 * shared + 20 * own))
    assert (found.masked_coverage, found.jaccard) == (found.coverage, 18 / 28)
    many = Index([Item("own", str(i), words(20 * i, 12)) for i in range(100)])
    assert many.totals.tolist() == pytest.approx([10 * math.log(101)] * 100)
    pair = Index([Item("own", "0", words(0, 12)), Item("own", "1", words(0, 12))])
    assert pair.needed.tolist() == pytest.approx([5 * math.log(31 / 2)] * 2)
    at, problem, triple = pair.hits(grams(tokenize([f"x {words(4, 4)}"]).masked[:-1]))
    assert sorted(zip(at.tolist(), problem.tolist(), strict=True)) == [(1, 0), (1, 1), (2, 0), (2, 1)]
    assert pair.known_weights[triple].tolist() == pytest.approx([math.log(31 / 2)] * 4)


def test_phrases_of_problems_in_general_weigh_less() -> None:
    made = Index([Item("own", "0", f"{words(0, 12)} find the value of")])
    # 12 triples reach into own words, "find the value" and "the value of" are phrases
    assert made.totals.tolist() == pytest.approx([(12 + 2 * 0.15) * math.log(31)])
    counted = Index([Item("own", "0", f"{words(0, 6)} 1 2 3 {words(6, 6)}")])
    # of 13 triples the four with two numbers or three tell little: x12, 123, 23x; x1 has one number
    assert counted.totals.tolist() == pytest.approx([(10 + 3 * 0.15) * math.log(31)])


def test_what_is_too_little_is_no_match() -> None:
    made = Index([Item("own", "0", words(0, 22)), Item("own", "1", "one two three four"), Item("own", "2", "a b")])
    assert made.likeness(0, words(0, 13)).kind == "near", "11 of 20 triples"
    less = made.likeness(0, words(0, 11))
    assert (less.kind, less.coverage, less.jaccard) == (None, 0.0, 0.0)
    assert made.likeness(0, "").kind is None
    assert made.likeness(1, "so one two three four it is").kind == "exact"
    assert made.likeness(2, "A, b!").kind == "exact"
    assert made.likeness(2, "a b c").kind is None
    diluted = " ".join(f"{word(i)} x y" for i in range(22))
    assert made.likeness(0, diluted).kind is None


def spelt(text: str) -> list[str]:
    found = tokenize([text])
    kept = [found.buffer[a:b].decode(errors="replace") for a, b in zip(found.starts, found.ends, strict=True)]
    assert kept[-1] == "\x01"
    return kept[:-1]


def test_the_tokens_of_a_text() -> None:
    assert spelt("Let $\\frac{1}{2}x_3 + 40.5$") == ["Let", "1", "2", "x", "3", "40", "5"]
    assert spelt("\\left( a\\times b \\right) align") == ["a", "b"]
    assert spelt("x² ＡＢ９ naïve\u00a0“So”") == ["x", "2", "AB", "9", "naïve", "So"]
    assert spelt("求和 of 数") == ["求", "和", "of", "数"]
    assert spelt("[9:;@Z[`az{/") == ["9", "Z", "az"]
    assert spelt("") == []
    assert visible("a\x01b") == "a b"
    assert spelt("a[asy] draw(x); [/asy]b <asy>1</asy>c [asy]cut") == ["a", "b", "c", "asy", "cut"]
    assert spelt("[/asy] a [asy] b [asy] c [/asy] d [/asy] e") == ["asy", "a", "asy", "b", "d", "asy", "e"]
    apart = tokenize(["a [asy] b", "c [/asy] d [asy] e [/asy] f [/asy]"])
    assert (np.diff(apart.firsts) - 1).tolist() == [3, 5], "a drawing ends in its own text"
    found = tokenize(["The Two", "the two 12", "13"])
    assert found.firsts.tolist() == [0, 3, 7, 9]
    first, second = found.words[:2].tolist(), found.words[3:5].tolist()
    assert first == second
    assert len(set(found.words.tolist())) == 2 + 2 + 1
    assert found.masked[5] == found.masked[7] != found.words[5]
    assert found.text_of(found.firsts[:-1]).tolist() == [0, 1, 2]
    assert len(grams(found.words[:2])) == 0
    numbers = tokenize(["1 2 a b 3 4 5 c"]).masked[:-1]
    assert numeric(numbers).tolist() == [True, False, False, True, True, True]
    assert numeric(numbers[:2]).tolist() == []
    one, other = (grams(tokenize([text]).words[:-1]).tolist() for text in ("a b c a b c", "c b a"))
    assert one[0] == one[3]
    assert len({*one, *other}) == 4


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("naĀx", ["naĀx"]),  # the second byte of Ā is 0x80, the least that is no ASCII
        ("aÿb", ["aÿb"]), ("a–b", ["a", "b"]), ("1×2÷3", ["1", "2", "3"]), ("a\u3000b", ["a", "b"]),
        ("ab1cd", ["ab", "1", "cd"]), ("あい", ["あ", "い"]), ("한글", ["한", "글"]), ("㐀a", ["㐀", "a"]),
        ("a\x00b\x7fc", ["a", "b", "c"]), ("\x01", []), ("\\Left Leftmost", ["Leftmost"]),
    ],
)  # fmt: skip
def test_where_a_token_begins_and_ends(text: str, tokens: list[str]) -> None:
    assert spelt(text) == tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("a [asy] draw(x); [/asy] b", "a b"), ("a <asy>x</asy> b", "a b"), ("[asy]x[/asy]", ""),
        ("a [asy] x", "a asy x"),
        ("a [/asy] b [asy] c", "a asy b asy c"), ("a [asy] x [asy] y [/asy] b", "a asy x b"),
        ("[asy]x[/asy][asy]y[/asy]z", "z"), ("[asy]x[/asy] b [asy] c", "b asy c"), ("asy] b [/asy]", "asy b asy"),
        ("a[asy]x[/asy]b [/asy] c", "a b asy c"), ("a (asy) x (/asy) b", "a asy x asy b"),
    ],
)  # fmt: skip
def test_a_drawing_that_is_closed_is_left_out(text: str, tokens: str) -> None:
    assert spelt(text) == tokens.split()


def test_a_drawing_ends_in_its_own_text() -> None:
    found = tokenize(["a [asy] x", "y [/asy] b"])
    kept = [found.buffer[a:b].decode() for a, b in zip(found.starts, found.ends, strict=True)]
    assert kept == ["a", "asy", "x", "\x01", "y", "asy", "b", "\x01"]


@pytest.mark.parametrize(
    ("text", "start", "alone"),
    [
        ("one two", 0, True), ("one two it", 0, False), ("one two. it", 0, True), ("one two.it", 0, False),
        ("So one two", 1, False), ("So. one two", 1, True), ("So one two it", 1, False), ("So: one two. It", 1, True),
        ("So, one two. It", 1, False), ("So: one two, it", 1, False), ("So:\none two\nit", 1, True),
        ("So\none two\nit", 1, True), ("So! one two? it", 1, True), ("So ; one two ; it", 1, False),
        ("So.) one two.) it", 1, True), (f"So:{' ' * 63}one two", 1, True), (f"So:{' ' * 64}one two", 1, False),
        (f"one two{' ' * 62}. it", 0, True), (f"one two{' ' * 63}. it", 0, False),
    ],
)  # fmt: skip
def test_words_that_stand_alone(text: str, start: int, alone: bool) -> None:
    assert tokenize([text]).stands_alone(start, start + 2) is alone
    if start == 0:
        assert tokenize(["before it", text]).stands_alone(3, 5) is alone, "the mark of the text before"


def test_only_the_words_of_latex_are_left_out() -> None:
    """`pet`, `nyc` and the others begin with the same 16 bits as one of them."""
    for name in IGNORED:
        assert spelt(f"a \\{name} b {name.upper()}") == ["a", "b"], name
    others = ["pet", "nyc", "blx", "eeh", "gbj", "huv", "itk", "mft", "nas", "lefts", "fra", "x"]
    assert spelt(" ".join(others)) == others
    assert spelt("a\ud800 b")[1:] == ["b"], "half of a pair is no fault"


@pytest.mark.parametrize(("one", "other"), [("ABYZ", "abyz"), ("aZ", "Az"), ("xＡ", "XA"), ("a_B", "A b")])
def test_capitals_are_small_letters_to_a_scan(one: str, other: str) -> None:
    words = tokenize([one, other]).words
    half = len(words) // 2
    assert words[: half - 1].tolist() == words[half:-1].tolist()


@pytest.mark.parametrize("count", range(6))
def test_three_tokens_are_the_first_triple(count: int) -> None:
    masked = tokenize(["1 " * count]).masked[:-1]
    triples = max(count - 2, 0)
    assert (len(grams(masked)), numeric(masked).tolist()) == (triples, [True] * triples)


@pytest.mark.parametrize(("text", "most"), [("1 2 a", True), ("1 a b", False), ("a b c", False), ("1 2 3", True)])
def test_a_triple_is_a_number_s_where_two_are(text: str, most: bool) -> None:
    assert numeric(tokenize([text]).masked[:-1]).tolist() == [most]


# reading


def test_every_text_of_a_record_has_its_field() -> None:
    record = {"a": ["x", {"b": "y"}], 3: "z", "c": {"d": {"e": "w"}}, "n": 1, "t": None}
    assert list(texts(record)) == [("a.0", "x"), ("a.1.b", "y"), ("3", "z"), ("c.d.e", "w")]
    assert list(texts([["p"], "q"])) == [("0.0", "p"), ("1", "q")]
    assert list(texts("alone")) == [("", "alone")]


def test_records_after_the_first_ones(tmp_path: Path) -> None:
    rows = [{"a": i} for i in range(4)]
    write(tmp_path / "s" / "a.jsonl", "\n".join(["", *map(json.dumps, rows), ""]))
    write(tmp_path / "s" / "b.json", rows)
    write_parquet(tmp_path / "s" / "c.parquet", rows)
    write(tmp_path / "s" / "d.jsonl", b"")
    found = set_files([f"{tmp_path}/s/", str(tmp_path / "s" / "a.jsonl")])
    names = ("a.jsonl", "b.json", "c.parquet", "d.jsonl", "a.jsonl")
    assert [one.name for one in found] == [f"{tmp_path}/s/{name}" for name in names]
    assert [one.size for one in found][3] == 0
    for one in found[:3]:
        assert list(one.records()) == [(i + 1, row) for i, row in enumerate(rows)]
        assert list(one.records(2)) == [(3, {"a": 2}), (4, {"a": 3})]
        assert list(one.records(4)) == []
    assert list(found[3].records()) == []


def test_a_set_comes_on_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sys, "stdin", io.TextIOWrapper(io.BytesIO("".join(json.dumps(r) + "\n" for r in ROWS).encode()))
    )
    (one,) = set_files(["-"])
    assert (one.name, one.size) == ("stdin", None)
    assert list(one.records(7)) == [(8, ROWS[7]), (9, ROWS[8])]


def test_what_is_no_set_is_told(tmp_path: Path) -> None:
    hint = "a training set is JSON lines, a JSON list or parquet, also as gz or zst."
    path = write(tmp_path / "x.jsonl", '{"a": 1}\n{"a": }\n')
    with pytest.raises(EvalkitError) as error:
        list(set_files([str(path)])[0].records())
    assert error.value.message.startswith(f"Record 2 of {path} is not JSON: Expecting value")
    assert error.value.hint == hint
    write(path, "plain words")
    with pytest.raises(EvalkitError) as error:
        set_files([str(path)])
    assert (error.value.message, error.value.hint) == (f"{path} cannot be read.", hint)
    write(path, '[{"a": 1}, {"a"')
    with pytest.raises(EvalkitError) as error:
        list(set_files([str(path)])[0].records())
    assert error.value.message.startswith(f"{path} cannot be read: it is no whole JSON")
    assert error.value.hint == hint
    assert fault(lambda: set_files(["/dev/null"])) == "/dev/null is not a file."
    write(path, "")
    assert fault(lambda: find_contamination(path, [Own()])) == "The sets hold no record."


# the result as a file, in a terminal and as a page


def shown(**changes: Any) -> Contamination:
    """Five problems of two tasks, found in each way."""
    one = expected("s.jsonl")
    secret = replace(one[1], problem=None, matches=(replace(one[1].matches[0], text=None),), records=1200)
    second = TaskContamination("sums", 1000, ("abc",), (replace(one[2], kind="near", problem_id="x/1"), secret))
    sets: Any = ({"name": "s.jsonl", "bytes": 10, "records": 1234, "characters": 9},)
    return Contamination(sets, {"own": TaskContamination("own", 4, (), one[:3]), "sums": second}, {"version": 2})


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    found, path = shown(), tmp_path / "found.json"
    found.save(path)
    content = json.loads(path.read_text())
    assert list(content) == ["schema", "sets", "tasks", "settings"]
    assert content["schema"] == 1
    assert path.read_text().endswith("}\n")
    assert load_contamination(path) == found

    def told(change: Callable[[Any], Any]) -> str:
        write(path, change(json.loads(json.dumps(content))))
        message = fault(lambda: load_contamination(path))
        return message.removeprefix(f"{path} is not a contamination file: ")

    assert told(lambda c: {**c, "schema": 2}) == "ValueError: schema 2."
    assert told(lambda c: {k: v for k, v in c.items() if k != "settings"}) == "KeyError: 'settings'."

    def unknown(content: Any) -> Any:
        content["tasks"]["own"]["found"][0]["kind"] = "odd"
        return content

    assert told(unknown) == "ValueError: kind 'odd'."
    missing = tmp_path / "gone.json"
    with pytest.raises(EvalkitError) as error:
        load_contamination(missing)
    assert error.value.message == f"{missing} cannot be read: No such file or directory."
    assert error.value.hint == "`evalkit contamination` writes it."


def test_the_surest_match_comes_first() -> None:
    base = Match("near", 0.8, 0.9, 0.7, "b", 5, "f", "t")
    order = [
        replace(base, kind="exact", coverage=0.1),
        replace(base, coverage=0.9, jaccard=0.1),
        replace(base, jaccard=0.8, set="z"),
        replace(base, set="a", record=9),
        base,
        replace(base, record=6),
        replace(base, kind="numbers", coverage=1.0),
        replace(base, kind="odd", coverage=1.0),
    ]
    mixed = [*order[4:], *order[:4]]
    assert sorted(mixed, key=better) == order


def test_counts_and_pairs_in_a_terminal() -> None:
    assert list(summary_lines(shown())) == [
        "| task | problems | found | exact | near | numbers |",
        "|-|-:|-:|-:|-:|-:|",
        "| own | 4 | 3 | 2 | 0 | 1 |",
        "| sums | 1000 | 2 | 0 | 1 | 1 |",
    ]
    found = shown()
    order = [(task, problem.problem_id) for task, problem in surest_first(found)]
    assert order == [("own", "nato"), ("own", "choice"), ("sums", "x/1"), ("own", "masked"), ("sums", "masked")]
    lines = list(side_by_side(found, 3))
    assert lines[:2] == ["", "own nato: exact, coverage 100%, Jaccard 1.00; s.jsonl record 1 text, in 4 records"]
    left = "alfa bravo charlie delta echo foxtrot golf hotel india"
    assert lines[2] == f"  {left:<56} | {left.upper()}"
    assert lines[-5:] == [
        "",
        "sums x/1: exact, coverage 100%, Jaccard 1.00; s.jsonl record 7 t",
        f"  {CHOICE:<56} | {CHOICE}",
        "",
        "2 more are in the file.",
    ]
    every = list(side_by_side(found, 5))
    assert every[-1] == "  (the benchmark's authors ask that its questions be not published)"
    assert every[-2] == "sums masked: numbers, coverage 33%, Jaccard 0.20; s.jsonl record 4 prompt, in 1200 records"
    assert list(side_by_side(found, 0)) == []
    odd = replace(shown().tasks["own"].found[0], problem="\x1b" + "a" * 2000)
    long = Contamination((), {"own": TaskContamination("own", 1, (), (odd,))}, {})
    assert "".join(list(side_by_side(long, 1))[2:]).count("a") == 1199, "1200 characters, of which the first is no text"


def test_the_page_of_a_result() -> None:
    text = page_html(shown())
    body = text.partition("<body>")[2] or text
    for part in (
        "<h1>Benchmark problems in training sets</h1>\n<p>s.jsonl (1,234 records)</p>\n",
        '<th scope="col">task</th><th scope="col">problems</th><th scope="col">found</th>'
        '<th scope="col">exact</th><th scope="col">near</th><th scope="col">numbers</th>',
        '<tr><th scope="row">own</th><td>4</td><td>3</td><td>2</td><td>0</td><td>1</td></tr>\n'
        '<tr><th scope="row">sums</th><td>1,000</td><td>2</td><td>0</td><td>1</td><td>1</td></tr>',
        "<h2>own nato: exact</h2>\n"
        '<p class="where">s.jsonl record 1 text; also s.jsonl record 3 b; also s.jsonl record 2 q.x.1, 4 '
        "records in all; "
        "coverage 100%, with numbers masked 100%, Jaccard 1.00</p>\n"
        f'<div class="pair"><div><h3>problem</h3><p>{NATO}</p></div>'
        f"<div><h3>training set</h3><p>{NATO.upper()}</p></div></div>\n",
        '<p class="where">s.jsonl record 7 t; coverage 100%',
        "uniform victor <mark>3</mark> whiskey xray yankee <mark>5</mark> zulu",
        "uniform victor <mark>4</mark> whiskey xray yankee <mark>6</mark> zulu",
        "<h2>sums masked: numbers</h2>\n"
        '<p class="where">s.jsonl record 4 prompt, 1,200 records in all; coverage 33%, with numbers masked 100%, '
        "Jaccard 0.20</p>\n<p>The benchmark&#x27;s authors ask",
    ):
        assert part.replace("&#x27;", "'") in body.replace("&#x27;", "'"), part
    assert "more are in the file" not in text
    assert [
        text.index(f"<h2>{name}") for name in ("own nato", "own choice", "sums x/1", "own masked", "sums masked")
    ] == sorted(
        text.index(f"<h2>{name}") for name in ("own nato", "own choice", "sums x/1", "own masked", "sums masked")
    )


@pytest.mark.parametrize(("found", "shown", "told"), [(999, 999, ""), (1000, 1000, ""), (1002, 1000, "2")])
def test_a_page_shows_a_thousand(found: int, shown: int, told: str) -> None:
    every = tuple(ProblemMatches(str(i), "exact", 1, None, ()) for i in range(found))
    text = page_html(Contamination((), {"own": TaskContamination("own", found, (), every)}, {}))
    assert text.count("<h2>") == shown
    assert re.findall(r"<p>(.*) more are in the file", text) == ([told] if told else [])


def test_a_page_shows_the_surest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "MOST_SHOWN", 2)
    text = page_html(shown())
    assert text.count("<h2>") == 2
    assert "<p>3 more are in the file.</p>" in text
    monkeypatch.setattr(page, "MOST_SHOWN", 5)
    assert "more are in the file" not in page_html(shown())
    bare = Contamination((), {"own": TaskContamination("own", 1, (), (ProblemMatches("p", "exact", 1, None, ()),))}, {})
    assert page_html(bare).count("<h2>own p: exact</h2>") == 1


def test_words_that_stand_on_one_side_only_are_marked() -> None:
    assert page._marked("So <a> 5, then b\nc.", "so <a> 6 b C!") == (
        "So &lt;a&gt; <mark>5,</mark> <mark>then</mark> b\nc.",
        "so &lt;a&gt; <mark>6</mark> b C!",
    )
    assert page._marked("+ a", "- a") == ("<mark>+</mark> a", "<mark>-</mark> a")


def test_the_page_lies_beside_the_result() -> None:
    assert page_beside(Path("a/found.json")) == Path("a/found.html")
    assert fault(lambda: page_beside(Path("a/found.html"))) == "a/found.html is to hold the result, which is JSON."
    assert index.KINDS == ("exact", "near", "numbers")
