"""Transfer sets and audits in parts: what is kept and why not, which ones, the card, and each fault of a record."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from peer_logs import write, write_lines

import evalkit
from evalkit import EvalkitError
from evalkit.results.exports.samples import ExportedSample
from evalkit.transfer.audit import Audit, Fault, audit_set
from evalkit.transfer.make import REASONS, Example, TransferSet, _chosen, rejection
from evalkit.transfer.quality import is_looping, mixes_languages, same_text, scripts, whole_characters, word_runs
from evalkit.types import Completion, Message, Problem, Score

GOOD = "<think>\nSix sevens.\n</think>\n\nIt is \\boxed{42}."


def fault(call: Callable[[], Any]) -> str:
    with pytest.raises(EvalkitError) as error:
        call()
    return error.value.message


# what is kept


def test_why_a_completion_is_not_kept() -> None:
    right = Score(1.0, "correct", answer="42")
    whole = Completion("sums", "1", 0, GOOD, "stop", 9, 20, 0.1)

    def why(score: Score | None = right, **change: Any) -> str | None:
        return rejection(ExportedSample(Problem("1", "6 * 7?", "42"), replace(whole, **change), score))

    assert why() is None
    assert why(score=None) == "error"
    assert why(error="gone", finish_reason="error") == "error"
    assert why(score=Score(0.0, "error")) == "error"
    assert why(finish_reason="length") == "cut"
    assert why(finish_reason="repetition") == "cut"
    assert why(score=Score(0.0, "truncated")) == "cut"
    assert why(score=Score(0.0, "no_answer")) == "no answer"
    assert why(score=Score(0.0, "wrong")) == "wrong"
    assert why(score=Score(0.5, "correct")) == "wrong", "right in a part of it"
    assert why(text="<think>\nSix") == "thinking not closed"
    assert why(text="Six sevens. It is 42.") is None
    assert why(text="Six", prefix="<think>\n") == "thinking not closed", "the prompt opened it"
    assert why(text="Again. " * 400) == "looping"
    assert why(text="So the sum is 答案是四十二 as shown.") == "mixed languages"


def example(response: str, tokens: int | None = None) -> Example:
    prompt = (Message(role="system", content="S"), Message(role="user", content="6 * 7?"))
    return Example(prompt, response, {"model": "m", "run": "r"}, "42", tokens)


def test_which_of_a_problems_completions_are_chosen() -> None:
    made = [
        example("a b c d e", 9),
        example("a b c d f"),
        example("x y z w v u", 3),
        example("a b c", 9),
        example("q r s t u v w", 4),
    ]

    def which(choose: Any, most: int, seed: str = "0 0") -> list[int]:
        return [made.index(one) for one in _chosen(made, most, choose, random.Random(seed))]

    assert which("shortest", 5) == which("random", 6) == which("diverse", 5) == [0, 1, 2, 3, 4]
    assert which("shortest", 1) == [2]
    assert which("shortest", 2) == [2, 4], "in the order of the run"
    assert which("shortest", 3) == [0, 2, 4], "of two with 9 tokens the first; 9 characters where tokens are not known"
    assert which("diverse", 1) == [3], "the shortest text"
    assert which("diverse", 2) == [2, 3], "nothing in common, the first of two"
    assert which("diverse", 3) == [2, 3, 4]
    assert which("diverse", 4) == [0, 2, 3, 4]
    assert which("random", 2) == sorted(random.Random("0 0").sample(range(5), 2))
    assert len({tuple(which("random", 2, str(seed))) for seed in range(20)}) > 3


def test_a_row_of_the_set() -> None:
    assert example(GOOD, 20).row() == {
        "messages": [
            {"role": "system", "content": "S"},
            {"role": "user", "content": "6 * 7?"},
            {"role": "assistant", "content": GOOD},
        ],
        "gold": "42",
        "source": {"model": "m", "run": "r"},
    }


MADE = TransferSet(
    tuple(example(GOOD, tokens) for tokens in (30, None, 10, 1500, 20)),
    12345,
    {"wrong": 2000, "beyond k": 3},
    ("runs/a", "runs/b"),
    ("lab/one", "lab/two"),
    {"sums": (1000, 2), "more": (5, 1)},
    {"per_problem": 4, "choose": "random", "seed": 7},
    ("sums",),
)


def test_the_card_of_a_set(tmp_path: Path) -> None:
    expected = f"""# Transfer set

5 examples, kept of 12,345 completions by rejection sampling with evalkit {evalkit.__version__}. Each row has \
`messages` in the chat format, the right answer in `gold`, and `source`.

Written by: lab/one, lab/two.

| task | problems | with an example |
|-|-:|-:|
| sums | 1,000 | 2 |
| more | 5 | 1 |

| left out | completions | why |
|-|-:|-|
| wrong | 2,000 | {REASONS["wrong"]} |
| beyond k | 3 | {REASONS["beyond k"]} |

At most 4 per problem, chosen: random (seed 7). Runs: runs/a, runs/b.

Tokens of a response: median 30, longest 1,500, together 1,560.

These are problems of sums: scores on them say nothing of a model that was trained on this set. `evalkit \
contamination` finds them.
"""
    assert MADE.card() == expected
    written = MADE.save(tmp_path / "new" / "set.jsonl")
    assert written == [tmp_path / "new" / "set.jsonl", tmp_path / "new" / "set.md"]
    assert written[1].read_text() == expected
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["set.jsonl", "set.md"]
    bare = replace(MADE, examples=(example(GOOD),), benchmarks=()).card()
    assert bare.endswith("Runs: runs/a, runs/b.\n")


def test_where_a_set_cannot_be_written(tmp_path: Path) -> None:
    assert fault(lambda: MADE.save(tmp_path / "set.csv")) == "A set cannot be written as set.csv."
    (tmp_path / "file").write_text("")
    assert fault(lambda: MADE.save(tmp_path / "file" / "set.jsonl")).endswith(
        "set.jsonl cannot be written: File exists."
    )
    (tmp_path / "set.jsonl").mkdir()
    assert fault(lambda: MADE.save(tmp_path / "set.jsonl")).endswith("set.jsonl cannot be written: Is a directory.")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "set.jsonl"], "no temporary file is left"


# texts


def test_runs_of_words_and_texts_that_are_one() -> None:
    assert word_runs("A b c D") == word_runs("a B c d") != word_runs("a b c e")
    assert [len(word_runs(text)) for text in ("", "a", "a b c", "a b c d", "a b c a b c")] == [1, 1, 1, 2, 3]
    assert len(word_runs("a b c d", 2)) == 3
    assert same_text(" $A$ b\n") == "ab"
    assert whole_characters("a\ud83db\udfffc") == "a\ufffdb\ufffdc"


def test_loops_inside_a_text() -> None:
    def text(repeated: int, fresh: int) -> str:
        sentence = " ".join(f"w{i}" for i in range(20))
        return f"{' '.join([sentence] * repeated)} {' '.join(f'n{i}' for i in range(fresh))}"

    # of 20 r words in a loop the runs of 12 words that begin in it are 20 different ones, of n fresh ones each
    assert is_looping(text(10, 100))
    assert not is_looping(text(10, 220))
    assert not is_looping(text(3, 20))
    assert not is_looping("")


def test_letters_by_script() -> None:
    assert scripts("ab <tag> \\alpha é 1 α ² 中かカ Ж ª") == {"LATIN": 3, "CJK": 3, "CYRILLIC": 1}
    latin, cyrillic = "a" * 495, "ж"
    assert mixes_languages(latin + cyrillic * 5) is False, "5 of 500 are 1%"
    assert mixes_languages(latin + cyrillic * 6) is True
    assert mixes_languages("a" * 30 + cyrillic * 4) is False
    assert mixes_languages("a" * 30 + cyrillic * 5) is True
    assert mixes_languages("²³ 12") is False


# audits


def record(response: str, prompt: str = "6 * 7?", **more: Any) -> dict[str, Any]:
    return {"prompt": prompt, "response": response, "gold": {"value": 42}, **more}


def audited(path: Path, *rows: Any, **options: Any) -> Audit:
    return audit_set(write_lines(path, list(rows)), **options)


def test_the_whole_audit_of_a_set(tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl"
    boxed = "<think>\nSix.\n</think>\n\n\\boxed{42}"  # 34 characters, 12 of thinking with its tag
    rows = [
        record(boxed),
        record(boxed),
        record(" " + boxed, prompt=" $6$ * 7?"),
        record(boxed, prompt="Another?", finish_reason="length"),
        record(boxed, prompt="A third?", stop_reason="max_tokens"),
        record("<think>\nSix.\n</think>\n\n", prompt="Empty?"),
        record(boxed.replace("42", "41"), prompt="Wrong?"),
        {"prompt": "No gold?", "response": boxed},
        record("<think>\nSix.\n</think>\n\nI cannot say.", prompt="No answer?"),
        {"prompt": 3, "response": boxed},
        record("<think>\nSix", prompt="Open?"),
    ]
    found = audited(path, *rows, gold="gold.value")

    def at(*numbers: int) -> Fault:
        return Fault(len(numbers), tuple(f"{path}:{number}" for number in numbers))

    assert found.records == 11
    assert dict(found.faults) == {
        "unreadable": at(10),
        "empty": at(6),
        "thinking not closed": at(11),
        "no box": at(6, 9, 11),
        "cut": at(4, 5),
        "duplicate": at(2, 3),
        "wrong": at(7),
        "not gradable": at(6, 8, 9, 11),
    }
    assert list(found.faults) == [
        "unreadable", "empty", "thinking not closed", "no box", "cut", "duplicate", "wrong", "not gradable"
    ]  # fmt: skip
    assert found.graded == (5, 6)
    assert sum(found.histograms["characters of a response"].values()) == 10
    assert found.histograms["responses of a prompt"] == {"1": 7, "3": 1}
    assert found.failing({"wrong": 0.1, "no box": 0.3, "not gradable": 1, "duplicate": 1, "cut": 1, "empty": 1}) == [
        "unreadable: 9.09% of 11 records, 0.00% allowed",
        "thinking not closed: 9.09% of 11 records, 0.00% allowed",
    ]
    assert found.failing({name: 1.0 for name in found.faults if name != "wrong"} | {"wrong": 1 / 11}) == []


def test_lengths_are_counted_by_powers_of_two(tmp_path: Path) -> None:
    rows = [record("a" * n, prompt=f"{n}?") for n in (1, 7, 8, 15, 40)]
    rows += [record("b" * 7, prompt="same?") for _ in range(17)]
    found = audited(tmp_path / "set.jsonl", *rows, record("", prompt="0?"))
    assert dict(found.histograms["characters of a response"]) == {
        "1 to 1": 2, "2 to 3": 0, "4 to 7": 18, "8 to 15": 2, "16 to 31": 0, "32 to 63": 1
    }  # fmt: skip
    assert found.histograms["responses of a prompt"] == {"1": 6, "16 or more": 1}
    assert found.graded is None
    assert found.faults["duplicate"].count == 16
    assert len(found.faults["duplicate"].first) == 5
    assert not {"no thinking", "no box"} & set(found.faults), "no record of this set has any"
    thinks = audited(tmp_path / "set.jsonl", record("<think>\n1234\n</think>\nx"), record("<think>\n12345"))
    assert sum(thinks.histograms["characters of thinking"].values()) == 2
    assert set(thinks.histograms["characters of thinking"]) == {"8 to 15"}


def test_a_fault_of_form_where_half_of_the_set_has_it(tmp_path: Path) -> None:
    path, plain = tmp_path / "set.jsonl", "It is 42."
    half = audited(path, record(GOOD), record(plain, prompt="b"))
    assert {name: found.first for name, found in half.faults.items()} == {
        "no thinking": (f"{path}:2",), "no box": (f"{path}:2",)
    }  # fmt: skip
    assert not audited(path, record(GOOD), record(plain, prompt="b"), record(plain + " Yes.", prompt="c")).faults


@pytest.mark.parametrize(
    ("answer", "cut"),
    [
        ("\\boxed{4", True),
        ("\\boxed{\\frac{1}{2}", True),
        ("\\boxed{\\frac{1}{2}}", False),
        ("\\boxed{1} and \\boxed{2", True),
        ("\\boxed{1} } {", False),
        ("So \\[ x", True),
        ("So \\[ x \\]", False),
        ("So \\( x", True),
        ("So \\( x \\) \\)", False),
    ],
)
def test_an_answer_that_stops_within_a_formula(answer: str, cut: bool, tmp_path: Path) -> None:
    assert ("cut" in audited(tmp_path / "set.jsonl", record(answer)).faults) is cut


def test_layouts_of_a_record(tmp_path: Path) -> None:
    user, written = {"role": "user", "content": "Q"}, {"role": "assistant", "content": GOOD}
    system = {"role": "system", "content": "S"}
    same: list[Any] = [
        {"messages": [system, user, written]},
        {"conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": GOOD}]},
        *({name: "Q", "output": GOOD} for name in ("prompt", "problem", "question", "instruction")),
        *({"prompt": "Q", name: GOOD} for name in ("completion", "response", "output", "generation")),
        {"prompt": [system, user], "completion": [written]},
    ]
    found = audited(tmp_path / "set.jsonl", *same)
    assert found.faults == {"duplicate": Fault(10, tuple(f"{tmp_path / 'set.jsonl'}:{n}" for n in range(2, 7)))}
    two = [user, {"role": "assistant", "content": "Then?"}, {"role": "user", "content": "R"}, written]
    assert not audited(tmp_path / "set.jsonl", {"messages": two}, {"prompt": "Q", "output": GOOD}).faults
    joined = audited(tmp_path / "set.jsonl", {"messages": two}, {"prompt": "Q\n\nR", "output": GOOD})
    assert list(joined.faults) == ["duplicate"]
    none: list[Any] = [
        {"messages": [user]},
        {"messages": []},
        {"prompt": "Q"},
        {"messages": [user, {"role": "tool"}]},
        {"a": 1},
    ]
    unread = audited(tmp_path / "set.jsonl", *none)
    assert (unread.records, unread.faults["unreadable"].count) == (5, 5)
    assert set(unread.histograms) == {
        "characters of a response", "characters of thinking", "responses of a prompt"
    }  # fmt: skip
    assert not any(unread.histograms.values())


def test_choices_are_graded_by_letter_and_no_record_is_an_error(tmp_path: Path) -> None:
    rows = [{"prompt": f"{i}?", "response": f"Answer: {letter}", "gold": "B"} for i, letter in enumerate("ABJ")]
    assert audited(tmp_path / "set.jsonl", *rows, gold="gold", kind="choice").graded == (1, 3)
    assert fault(lambda: audit_set(write(tmp_path / "empty.jsonl", ""))) == "The set holds no record."
    several = [write_lines(tmp_path / f"{i}.jsonl", [record(GOOD)]) for i in range(2)]
    assert audit_set(several).faults["duplicate"].first == (f"{several[1]}:1",)


@pytest.mark.parametrize(
    ("reason", "cut"),
    [("length", True), ("max_tokens", True), ("repetition", True), ("stop", False), ("", False), (None, False)],
)
@pytest.mark.parametrize("name", ["finish_reason", "stop_reason"])
def test_a_record_that_says_that_it_was_cut(name: str, reason: str | None, cut: bool, tmp_path: Path) -> None:
    assert ("cut" in audited(tmp_path / "set.jsonl", {**record(GOOD), name: reason}).faults) is cut


@pytest.mark.parametrize(
    ("gold", "graded", "faults"),
    [(42, (1, 1), []), ("42", (1, 1), []), (41, (0, 1), ["wrong"]), (None, (0, 0), ["not gradable"]),
     ("", (0, 0), ["not gradable"])],
)  # fmt: skip
def test_a_gold_of_any_type(gold: Any, graded: tuple[int, int], faults: list[str], tmp_path: Path) -> None:
    found = audited(tmp_path / "set.jsonl", {"prompt": "Q", "response": GOOD, "a": {"b": gold}}, gold="a.b")
    assert (found.graded, list(found.faults)) == (graded, faults)
    assert audited(tmp_path / "set.jsonl", record(GOOD), gold="gold.value.more").graded == (0, 0)


@pytest.mark.parametrize(
    ("letters", "mixed"),
    [("α" * 9, False), ("ʰ" * 9, False), ("𝒜" * 9, False), ("ℝ" * 9, False), ("K" * 9, False), ("Ω" * 9, False),
     ("か" * 9, True), ("ж" * 9, True), ("ж" * 4, False), ("ß" * 9, False), ("ɐ" * 9, False), ("字" * 5, True)],
)  # fmt: skip
def test_letters_of_a_second_script(letters: str, mixed: bool) -> None:
    assert mixes_languages(f"So the sum of all is {letters} here") is mixed


def test_two_scripts_of_one_language_and_names_in_it() -> None:
    assert not mixes_languages("これは漢字とカタカナです")
    assert not mixes_languages("设苹果为 apple 个数")
    assert mixes_languages("设苹果为个数 " + "привет")
    assert mixes_languages("abcdefgh 设苹果为个数"), "the Latin letters are the most here"
